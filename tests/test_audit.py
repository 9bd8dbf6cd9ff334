"""The audit log over rotations: no line is lost, every chain goes on, and cordon reads all of it as one."""

import contextlib
import glob
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest

from lab import BUILD, ROOT
from labnet import PATIENCE, wait_for
from netdclient import NAMES, TYPES, connect_as

SOURCES = ("netd", "dns", "gitproxy", "keeper")
BEGIN = "0" * 64


def files_of(lab, source):
    """A source's files, oldest first: by the number of their first lines."""
    def first(path):
        line = open(path, "rb").readline()
        return json.loads(line)["seq"] if line else 1 << 62
    while True:
        with contextlib.suppress(FileNotFoundError):		# it was given another name meanwhile
            return sorted(glob.glob(f"{lab.log_dir}/{source}[-.]*jsonl*"), key=first)


def is_new(path):
    """There, and empty."""
    with contextlib.suppress(FileNotFoundError):
        return not os.path.getsize(path)


def lines_of(lab, source):
    """Every event of a source in order, the chain checked over all of its files."""
    events, want = [], BEGIN
    for path in files_of(lab, source):
        raw = open(path, "rb").read()
        assert raw == b"" or raw.endswith(b"\n"), path
        for line in raw.split(b"\n")[:-1]:
            event = json.loads(line)
            assert event["prev"] == want and event["seq"] == len(events) + 1, f"{path}: {line}"
            want = hashlib.sha256(line).hexdigest()
            events.append(event)
    return events


def log(lab, *argv, **kw):
    return lab.cordon("log", *argv, **kw)


def rotate(lab, *argv):
    """The names of the files that were renamed."""
    return log(lab, "--rotate", *argv, check=True).stdout.split()


class Askers:
    """The sandbox asks for names that are not granted, each once, until it is told to stop."""

    def __init__(self, lab, number=3):
        self.lab, self.names, self.stop = lab, set(), threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(number)]

    def ask(self, number):
        count = 0
        while not self.stop.is_set():
            name = f"n{count}.t{number}.evil.example"
            count += 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                if "NXDOMAIN" in self.lab.sandbox.dig(name):
                    self.names.add(name)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_rotation_under_load(own_lab):
    """Every refusal that was answered is in one of the files, once, and no chain is broken."""
    lab = own_lab
    renamed = []
    with Askers(lab) as askers:
        for _ in range(8):
            seen = len(askers.names)
            wait_for("some refusals", lambda: len(askers.names) > seen + 3)
            renamed += rotate(lab)
    assert len(set(renamed)) == len(renamed) >= 8 * 2
    wait_for("the last lines", lambda: askers.names <= {e.get("name") for e in lines_of(lab, "dns")})
    names = [e["name"] for e in lines_of(lab, "dns") if e["event"] == "dns"]
    assert set(names) >= askers.names and len(names) == len(set(names))
    for source in SOURCES:
        events = lines_of(lab, source)
        assert sum(e["event"] == "rotate" for e in events) == len(files_of(lab, source)) - 1
        assert not [e for e in events if e["event"] == "lost"]
    done = log(lab, "--verify")
    assert done.returncode == 0 and done.stdout.count(", unbroken\n") == sum(
        len(files_of(lab, s)) for s in SOURCES), done.stdout
    shown = [json.loads(line).get("name") for line in log(lab, "--json", check=True).stdout.splitlines()]
    assert sorted(n for n in shown if n in askers.names) == sorted(askers.names), "each once"


def test_the_old_file_is_done_with_when_the_command_returns(own_lab):
    """So it can be compressed or shipped: nobody has it open any more."""
    lab = own_lab
    old = rotate(lab)
    assert {os.path.basename(f).split("-")[0] for f in old} == set(SOURCES)
    inodes = {os.stat(f).st_ino for f in old}
    for pid in lab.gateway.pids():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                assert os.stat(f"/proc/{pid}/fd/{fd}").st_ino not in inodes
    for source in SOURCES:
        st, before = os.stat(f"{lab.log_dir}/{source}.jsonl"), os.stat(next(f for f in old if f"/{source}-" in f))
        assert (st.st_uid, st.st_gid, st.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_by_size(own_lab):
    lab = own_lab
    assert rotate(lab, "--larger", "1GiB") == []
    size = os.path.getsize(f"{lab.log_dir}/netd.jsonl")
    assert [os.path.basename(f)[:5] for f in rotate(lab, "--larger", str(size))] == ["netd-"]
    done = log(lab, "--rotate", "--larger", "64 MB")
    assert done.returncode == 2 and "64MiB" in done.stderr


@pytest.mark.parametrize("argv", [["--rotate", "--reopen"], ["--larger", "1"]])
def test_misuse(lab, argv):
    assert log(lab, *argv).returncode == 2


def test_hangup_rotates(own_lab):
    """SIGHUP: the supervisor rotates; the daemons, who cannot, go on unmoved."""
    lab = own_lab
    pids = {d: lab.pids(d) for d in ("cordon-netd", "cordon-inspect", "cordon-dns", "cordon-gitproxy", "cordon-keeper")}
    for pid in {p for ps in pids.values() for p in ps}:
        os.kill(pid, signal.SIGHUP)
    os.kill(lab.pids("cordon-super")[0], signal.SIGHUP)
    wait_for("new files", lambda: all(len(files_of(lab, s)) == 2 for s in SOURCES))
    wait_for("their first lines", lambda: all(any(e["event"] == "rotate" for e in lines_of(lab, s)) for s in SOURCES))
    assert pids == {d: lab.pids(d) for d in pids}


def test_a_daemon_that_starts_continues_the_chain(own_lab):
    """Rotated while a daemon was away: its first line goes on from the last of the renamed file."""
    lab = own_lab
    old = lab.signal("cordon-dns", signal.SIGSTOP)[0]
    rotate_while = threading.Thread(target=log, args=(lab, "--rotate"))
    rotate_while.start()			# netd waits for the resolver, and cuts it off
    wait_for("the new file", lambda: is_new(f"{lab.log_dir}/dns.jsonl"))
    os.kill(old, signal.SIGKILL)
    rotate_while.join()
    wait_for("a new resolver", lambda: set(lab.pids("cordon-dns")) - {old})
    wait_for("its first line", lambda: os.path.getsize(f"{lab.log_dir}/dns.jsonl"))
    assert len(files_of(lab, "dns")) == 2 and lines_of(lab, "dns")
    assert log(lab, "--verify").returncode == 0


def test_rotation_without_netd(own_lab):
    """Nothing is lost when nobody can hand the new files out: daemons write on to the old ones."""
    lab = own_lab
    lab.cordon("down", check=True)
    done = log(lab, "--rotate")
    assert done.returncode == 0 and "netd does not run" in done.stderr
    lab.cordon("up", check=True)
    for source in SOURCES:
        assert len(files_of(lab, source)) == 2
        lines_of(lab, source)


def test_logrotate_hands_over(own_lab):
    """Renamed by something else: --reopen makes the new files, and lines go on in them."""
    lab = own_lab
    for name in (".jsonl.1", ".jsonl.2"):
        for source in SOURCES:
            path = f"{lab.log_dir}/{source}.jsonl"
            if name == ".jsonl.2":
                os.rename(f"{path}.1", f"{path}.2")
            os.rename(path, f"{path}.1")
        log(lab, "--reopen", check=True)
    for source in SOURCES:
        assert len(files_of(lab, source)) == 3
        assert [e["event"] for e in lines_of(lab, source)].count("rotate") == 2
    assert log(lab, "--verify").returncode == 0


def test_the_example_for_logrotate_is_what_the_command_wants(lab):
    text = open(f"{ROOT}/deploy/examples/logrotate.d/cordon").read()
    assert "cordon log --reopen" in text and "/var/log/cordon/*.jsonl" in text
    for word in ("nocreate", "sharedscripts", "delaycompress", "maxsize"):
        assert word in text.split()


@pytest.mark.parametrize("what", ["a line", "a file", "the end of a file"])
def test_verify_finds_what_is_missing(own_lab, what):
    """Also across files: the first line of each tells what the last one of the file before was."""
    lab = own_lab
    for _ in range(3):
        rotate(lab)
    assert log(lab, "--verify").returncode == 0
    victim = files_of(lab, "netd")[1 if what == "a file" else 0]
    raw = open(victim, "rb").read().split(b"\n")
    if what == "a file":
        os.unlink(victim)
    else:
        keep = raw[:1] + raw[2:] if what == "a line" else raw[:-2] + [b""]
        open(victim, "wb").write(b"\n".join(keep))
    done = log(lab, "--verify")
    assert done.returncode == 1
    assert ("is missing, or its end was changed" if what != "a line" else "changed, removed or added") in done.stdout


def test_follow_goes_on_over_a_rotation(own_lab):
    """Each line once, whatever happens to the files."""
    lab = own_lab
    out = open(f"{lab.dir}/followed", "w")
    process = lab.gateway.start([f"{BUILD}/cordon", "log", "--config", lab.config_file, "-f", "--json"], stdout=out)

    def followed():
        text = open(f"{lab.dir}/followed").read()
        return [json.loads(line).get("name") for line in text.split("\n")[:-1]]
    names = []
    for number in range(4):
        for what in ("before", "after"):
            names.append(f"{what}{number}.evil.example")
            lab.sandbox.dig(names[-1])
            if what == "before":
                wait_for(names[-1], lambda: names[-1] in followed())
        rotate(lab)
    wait_for("all names", lambda: set(names) <= set(followed()))
    assert sorted(n for n in followed() if n in names) == sorted(names)
    process.terminate()
    process.wait(PATIENCE)


@pytest.mark.parametrize("what", ["none", "too few", "too many", "no file", "nobody's", "the inspector's"])
def test_rotate_message_must_bring_what_it_says(own_lab, what, tmp_path):
    """Refused whole: nobody changes over."""
    lab = own_lab
    roles = {"nobody's": 1 << 0, "the inspector's": 1 << 2}.get(what, 1 << 1 | 1 << 3)
    count = {"none": 0, "too few": 1, "too many": 3, "nobody's": 1, "the inspector's": 1}.get(what, 2)
    path = "/dev/null" if what == "no file" else tmp_path / "new.jsonl"
    fds = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) for _ in range(count)]
    with connect_as(f"{lab.dir}/run/control.sock", 0, 0) as s:
        s.settimeout(PATIENCE)
        socket.send_fds(s, [struct.pack("<HHI", TYPES["ROTATE"], 4, 1) + struct.pack("<I", roles)], fds)
        data = s.recv(10000)
    for fd in fds:
        os.close(fd)
    kind, _, _, code = struct.unpack_from("<HHIi", data)
    assert NAMES[kind] == "REPLY" and code < 0
    assert what == "no file" or not fds or os.path.getsize(path) == 0
    assert not any(e["event"] == "rotate" for s in SOURCES for e in lines_of(lab, s))
