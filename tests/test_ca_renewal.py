"""cordon ca: another CA takes the place of the one that guests trust, without a gap, or nothing changes."""

import errno
import os
import re
import socket
import struct
import subprocess
import threading

import pytest

import labworld
from lab import BUILD, CONFIG, open_build, write
from labhttp import Wire, get, info_refs
from labnet import wait_for
from netdclient import TYPES, role_uid
from test_doctor import examine, found
from test_git import WIDGETS

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.S)


def renew(lab, *options, status=0):
    done = lab.cordon("ca", "renew", *options)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if not status else done.stderr


def shown(lab, *which):
    """The certificates that `cordon ca show` prints."""
    out = lab.cordon("ca", "show", *which, check=True).stdout
    found = CERTIFICATE.findall(out)
    assert "".join(found) == out
    return found


def trust(guest, *certificates):
    """What the guest's image has, and nothing else of Cordon's."""
    write(guest.ca_bundle, "".join([open(guest.lab.world.ca_file).read(), *certificates]))


def serves(guest):
    done = guest.git("ls-remote", WIDGETS)
    assert done.returncode == 0 or "certificate" in done.stderr, done.stderr
    return done.returncode == 0


def issuer_of(guest, host="github.com"):
    """Who signed what the proxy shows."""
    out = guest.run(["openssl", "s_client", "-connect", f"{guest.resolve(host)}:443", "-servername", host],
                    input="").stdout
    return re.search(r"^issuer=(.*)$", out, re.M)[1]


def subject_of(certificate):
    return subprocess.run(["openssl", "x509", "-noout", "-subject"], input=certificate, text=True, check=True,
                          capture_output=True).stdout.strip().removeprefix("subject=")


def files(lab):
    """Of the CA's directory: owner, mode, and what it is."""
    return {e.name: (e.stat().st_uid, oct(e.stat().st_mode & 0o777), open(e.path, "rb").read())
            for e in os.scandir(f"{lab.dir}/state/ca")}


def unit(lab):
    return lab.pids("cordon-gitproxy") + lab.pids("cordon-keeper") + lab.pids("cordon-netd")


class Busy:
    """A guest that fetches again and again, and what went wrong."""

    def __init__(self, guest):
        self.guest, self.failed, self.done, self.stop = guest, [], 0, threading.Event()
        self.lock, self.free = threading.Lock(), threading.Event()
        self.free.set()

    def __enter__(self):
        self.thread = threading.Thread(target=self.fetch)
        self.thread.start()
        return self

    def fetch(self):
        while not self.stop.is_set():
            self.free.wait()				# a lock alone would go to who had it last
            with self.lock:
                got = self.guest.git("ls-remote", WIDGETS)
            self.failed += [got.stderr] if got.returncode else []
            self.done += 1

    def trust(self, *certificates):
        """Between two fetches: a file that is being written is no bundle."""
        self.free.clear()
        with self.lock:
            trust(self.guest, *certificates)
        self.free.set()

    def more(self):
        """Two more are through: one of them began after now."""
        before = self.done
        wait_for("fetches", lambda: self.done >= before + 2)

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def test_git_goes_on(own_lab):
    """A client that fetches all the time never sees the change; nor does a connection that is there."""
    lab, guest = own_lab, own_lab.sandbox
    old, = shown(lab)
    before, daemons = files(lab), unit(lab)
    trust(guest, old)
    with Busy(guest) as busy, Wire(guest) as wire:
        assert wire.send(info_refs("acme/widgets")).response().status == 200
        busy.more()
        assert "stays in force" in renew(lab)
        assert shown(lab, "current") == [old] and len(shown(lab)) == 2
        both = shown(lab)
        busy.more()
        assert issuer_of(guest) == subject_of(old), "guests that were not told yet are served"
        busy.trust(*both)
        busy.more()
        renew(lab, "--activate")
        busy.more()
        assert issuer_of(guest) == subject_of(both[1]) != subject_of(old)
        assert wire.send(info_refs("acme/widgets")).response().status == 200
        busy.trust(both[1])
        busy.more()
    assert not busy.failed and unit(lab) == daemons
    assert shown(lab) == [both[1]]
    trust(guest, old)
    assert not serves(guest), "the one before is good for nothing"

    now = files(lab)
    assert set(now) == {"ca.pem", "ca.key"}
    for name in now:
        assert now[name][:2] == before[name][:2] and now[name][2] != before[name][2]
    assert now["ca.key"][:2] == (role_uid("keeper"), "0o600")
    events = lab.audit.events(src="keeper", event="ca")
    assert [e["what"] for e in events] == ["in_use", "published", "activated", "published"]
    was, published, activated, _ = events
    assert was["certificate"] == published["certificate"] and "next" not in was
    assert activated["certificate"] == published["next"] != was["certificate"]
    assert lab.cordon("log", "--verify").returncode == 0


def test_sandboxes_are_shown_both(own_lab):
    guest = own_lab.sandbox

    def page():
        with Wire(guest, "cordon.internal", port=80) as wire:
            return wire.send(get("/ca.pem", host="cordon.internal")).response().body.decode()

    first = page()
    assert CERTIFICATE.findall(first) == shown(own_lab)
    renew(own_lab)
    assert page() == "".join(shown(own_lab)) and page().startswith(first) and page() != first
    renew(own_lab, "--activate")
    assert CERTIFICATE.findall(page()) == shown(own_lab) and page() != first


@pytest.mark.parametrize("harm", [lambda f: os.chown(f, 0, 0), lambda f: os.chmod(f, 0o644),
                                  lambda f: os.truncate(f, 40), os.unlink], ids=["owner", "mode", "torn", "gone"])
def test_a_next_key_that_the_keeper_cannot_read(own_lab, harm):
    """Nothing has changed, but that the command says so; the keeper goes on."""
    lab, guest = own_lab, own_lab.sandbox
    old, daemons = shown(lab), unit(lab)
    renew(lab)
    harm(f"{lab.dir}/state/ca/next.key")
    there = files(lab)
    assert "the keeper cannot use it" in renew(lab, "--activate", status=1)
    assert files(lab) == there and shown(lab, "current") == old
    assert issuer_of(guest) == subject_of(old[0])
    trust(guest, *old)
    assert serves(guest) and unit(lab) == daemons
    assert not lab.audit.events(event="ca", what="activated")
    renew(lab, "--discard")
    assert shown(lab) == old and set(files(lab)) == {"ca.pem", "ca.key"}
    renew(lab, "--now")
    assert issuer_of(guest) == subject_of(*shown(lab)) != subject_of(old[0])


@pytest.mark.parametrize("harm", [lambda f: os.chmod(f, 0o644), os.unlink], ids=["mode", "gone"])
def test_a_key_that_cannot_be_read_at_a_start(own_lab, harm):
    """No other CA is made behind the administrator's back, and without one nothing is served."""
    lab, guest = own_lab, own_lab.sandbox
    key = f"{lab.dir}/state/ca/ca.key"
    kept, certificate = open(key, "rb").read(), shown(lab)
    harm(key)
    lab.signal("cordon-keeper")
    wait_for("the keeper to say so", lambda: "event=ca_failed" in lab.logs())
    with lab.capture() as capture:
        assert not guest.fetches(f"{WIDGETS}.git/info/refs?service=git-upload-pack", timeout=3)
        capture.empty(dst=labworld.GITHUB[0])
    assert shown(lab) == certificate
    write(key, kept.decode(), 0o600)
    wait_for("service", lambda: serves(guest))
    assert shown(lab) == certificate


def ask(lab, body, *fds):
    """RENEW on the control socket, as the command sends it; the reply's code, None when netd hangs up."""
    with lab.gateway.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(f"{lab.dir}/run/control.sock")
        socket.send_fds(s, [struct.pack("<HHI", TYPES["RENEW"], len(body), 1) + body], fds)
        reply = s.recv(65536)
        return struct.unpack_from("<i", reply, 8)[0] if reply else None


@pytest.mark.parametrize("option, in_force", [("--activate", 1), ("--discard", 0)])
def test_an_activation_that_was_cut_short(own_lab, option, in_force):
    """The keeper signs by the next one and the files do not say so yet: who trusts both is served, and either
    way leads out."""
    lab, guest = own_lab, own_lab.sandbox
    renew(lab)
    both = shown(lab)
    trust(guest, *both)
    with open(f"{lab.dir}/state/ca.pem") as text:
        assert ask(lab, struct.pack("<I", 2), text.fileno()) == 0
    assert issuer_of(guest) == subject_of(both[1]) and shown(lab) == both and serves(guest)
    renew(lab, option)
    assert shown(lab) == [both[in_force]] and issuer_of(guest) == subject_of(both[in_force])
    trust(guest, both[in_force])
    assert serves(guest)


def test_requests_that_are_none(own_lab):
    """netd takes a step and one file, and nothing has changed after anything else."""
    lab = own_lab
    daemons, pair = unit(lab), os.pipe()
    with open(f"{lab.dir}/state/ca.pem") as text:
        whole = text.fileno()
        for body, fds in ((1, ()), (0, (whole,)), (3, (whole,)), (1, (pair[0],)), (2, (whole, whole))):
            assert ask(lab, struct.pack("<I", body), *fds) == -errno.EPROTO, (body, fds)
        assert ask(lab, b"", whole) is None
    with open(f"{lab.dir}/big", "w+") as big, open(f"{lab.dir}/none", "w+") as none:
        big.write("x" * 65537)
        big.flush()
        for text in (big, none):
            assert ask(lab, struct.pack("<I", 1), text.fileno()) == 0
    with Wire(lab.sandbox, "cordon.internal", port=80) as wire:
        page = wire.send(get("/ca.pem", host="cordon.internal")).response().body.decode()
    assert CERTIFICATE.findall(page) == shown(lab) and unit(lab) == daemons and serves(lab.sandbox)
    for end in pair:
        os.close(end)


def test_one_step_at_a_time(own_lab):
    lab = own_lab
    old = shown(lab)
    for option in ("--activate", "--discard"):
        assert "no next one waits" in renew(lab, option, status=1)
    assert "no such certificate" in lab.cordon("ca", "show", "next").stderr
    renew(lab)
    both, there = shown(lab), files(lab)
    for option in ((), ("--now",)):
        assert "one waits already" in renew(lab, *option, status=1)
    assert "one or the other" in renew(lab, "--now", "--discard", status=2)
    assert shown(lab) == both and files(lab) == there and shown(lab, "next") == both[1:]
    renew(lab, "--discard")
    assert shown(lab) == old
    for as_other in ("65534", str(role_uid("netd"))):
        done = lab.gateway.run(["setpriv", f"--reuid={as_other}", "--clear-groups", f"{open_build()}/cordon", "ca", "renew",
                                "--config", lab.config_file])
        assert done.returncode == 1 and "sudo" in done.stderr
    assert shown(lab) == old and set(files(lab)) == {"ca.pem", "ca.key"}


def test_names_of_the_configuration(labs):
    """What came into ca.names later is the next one's to sign for."""
    lab = labs()
    write(lab.config_file, open(lab.config_file).read().replace('"cordon.internal"', '"cordon.internal", "more.example"'))
    finding, = examine(lab)
    assert "more.example" in finding["what"] and finding["severity"] == "warning" and "ca renew" in finding["fix"]
    renew(lab)
    renew(lab, "--activate")
    text = subprocess.run(["openssl", "x509", "-noout", "-text"], input=shown(lab)[0], text=True, check=True,
                          capture_output=True).stdout
    assert all(f"DNS:{name}\n" in text for name in (*CONFIG["ca"]["names"], "more.example"))
    assert not examine(lab)


def test_before_the_first_start(labs):
    lab = labs(up=False)
    assert "there is no CA yet" in renew(lab, status=1)
    assert not os.path.exists(f"{lab.dir}/state/ca")


def test_while_nothing_runs(labs):
    """The files alone; whoever starts takes what is there."""
    lab = labs(sandbox=False)
    old = shown(lab)
    lab.shut()
    assert "made and published" in renew(lab)
    lab.up()
    assert shown(lab, "current") == old and len(shown(lab)) == 2
    lab.shut()
    os.rename(f"{lab.dir}/state/ca/next.key", f"{lab.dir}/next.key")
    assert "next.key is missing" in renew(lab, "--activate", status=1)
    os.rename(f"{lab.dir}/next.key", f"{lab.dir}/state/ca/next.key")
    renew(lab, "--activate")
    lab.up()
    lab.add_sandbox()
    assert len(shown(lab)) == 1 and issuer_of(lab.sandbox) == subject_of(*shown(lab)) != subject_of(*old)
    assert serves(lab.sandbox)


def test_a_keeper_that_was_not_told(own_lab):
    """The files changed while nobody could tell it: it sees so by itself."""
    lab = own_lab
    old = shown(lab)
    renew(lab)
    lab.gateway.run([f"{BUILD}/cordon-keeper", "--config", lab.config_file, "--ca", "activate"], check=True)
    event, = lab.audit.wait(src="keeper", event="ca", what="activated")
    assert event["certificate"] != lab.audit.events(event="ca", what="in_use")[0]["certificate"]
    assert issuer_of(lab.sandbox) == subject_of(*shown(lab)) != subject_of(*old)


# -- doctor

MINIMAL = """[ca]
default_ca = x
[x]
database = index
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
x509_extensions = v3
[any]
commonName = supplied
[v3]
basicConstraints = critical,CA:TRUE,pathlen:0
nameConstraints = """


def forged(tmp_path, start, end):
    """A CA's certificate of these times, for the names of the lab."""
    write(f"{tmp_path}/cnf", MINIMAL + ",".join(f"permitted;DNS:{n}" for n in CONFIG["ca"]["names"]) + "\n")
    write(f"{tmp_path}/index", "")
    write(f"{tmp_path}/serial", "01\n")
    run = ["openssl ecparam -name prime256v1 -genkey -noout -out k",
           "openssl req -new -key k -subj /CN=x -out csr",
           f"openssl ca -batch -selfsign -keyfile k -in csr -out pem -notext -config cnf "
           f"-startdate {start}000000Z -enddate {end}000000Z"]
    subprocess.run(["sh", "-ec", "\n".join(run)], cwd=tmp_path, check=True, capture_output=True)
    return open(f"{tmp_path}/pem").read()


def in_days(n):
    return subprocess.run(["date", "-ud", f"{n} days", "+%Y%m%d"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("days, severity", [(-3, "problem"), (30, "warning"), (88, "warning"), (92, None)])
def test_doctor_looks_at_the_end(labs, tmp_path, days, severity):
    lab = labs(up=False)
    os.makedirs(f"{lab.dir}/state", mode=0o711)
    path = f"{lab.dir}/state/ca.pem"
    write(path, forged(tmp_path, in_days(-10), in_days(days)))
    if severity is None:
        assert not examine(lab)
        return
    assert not found(examine(lab), severity, "the CA end", path, "sudo cordon ca renew, ")
    write(path, open(path).read() + forged(tmp_path, in_days(-1), in_days(999)))
    assert not found(examine(lab), severity, "the CA end", path, "sudo cordon ca renew --activate")


def test_doctor_looks_at_a_damaged_certificate(labs):
    lab = labs(up=False)
    os.makedirs(f"{lab.dir}/state", mode=0o711)
    write(f"{lab.dir}/state/ca.pem", "nothing\n")
    assert not found(examine(lab), "warning", "is no certificate", "ca.pem", "restart")
