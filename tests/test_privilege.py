"""Privilege: what each daemon holds, and what a daemon that was taken over can do to the others.

The first half reads /proc of every daemon of the lab: docs/architecture.md has the same table. The second
speaks to netd and to the keeper as somebody would who runs code in cordon-dns or cordon-gitproxy.
"""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import struct
import threading

import pytest

import labobjects
import labpush

from lab import BUILD, row
from labnet import PATIENCE, wait_for
from netdclient import NAMES, TYPES, Part, connect_as, descriptor_of, group, hello, is_pair, pack_addr, pin, role_uid
from test_netd_parts import REASONS, Alone

NET_ADMIN = 1 << 12
NONE, FILTER = 0, 2		# seccomp modes
UNIX, NETLINK, INET = "unix", "netlink", "inet"

# uid's role, capabilities, seccomp, what descriptors may be (besides log, audit file and the loop)
PROCESSES = {
    "cordon-netd": ("netd", NET_ADMIN, FILTER, {UNIX, NETLINK}),
    "cordon-spawn": ("netd", NET_ADMIN, NONE, {UNIX}),
    "cordon-inspect": ("netd", NET_ADMIN, FILTER, {UNIX, NETLINK}),
    "cordon-dns": ("dns", 0, FILTER, {UNIX, INET}),
    "cordon-gitproxy": ("gitproxy", 0, FILTER, {UNIX, INET}),
    "cordon-keeper": ("keeper", 0, FILTER, {UNIX}),
    "cordon-mirror": ("mirror", 0, FILTER, {UNIX}),
}
JUDGE = ("mirror", 0, FILTER, {UNIX})		# cordon-scan, from the first push on
# Files that may be open, by process; memory files of replies come and go.
FILES = {
    "cordon-netd": r"/(netd\.jsonl|netd\.log)$",
    "cordon-spawn": r"/(netd\.log|cordon-inspect)$",
    "cordon-inspect": r"/netd\.log$",
    "cordon-dns": r"/(dns\.jsonl|dns\.log)$",
    "cordon-gitproxy": r"/(gitproxy\.jsonl|gitproxy\.log)$",
    "cordon-keeper": r"/(keeper\.jsonl|gitproxy\.log)$",
    "cordon-mirror": r"/(mirrors(/spool)?|gitproxy\.log|cordon-scan)$",
}
PROGRAM = "anon_inode:bpf-prog"		# the look at checksum offload, for when the ruleset has to be loaded again
QUIET = re.compile(r"^(/dev/null|anon_inode:\[?(eventpoll|signalfd|pidfd|eventfd)\]?|pipe:\[\d+\])$")


def status_of(pid):
    """/proc/PID/status as a dict."""
    return dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)


def the_pid(lab, name):
    return wait_for(name, lambda: (lab.pids(name) + [None])[0])


def sockets_of(pid):
    """{inode: kind} of the network namespace of a process."""
    kinds = {}
    for table, kind, column in (("unix", UNIX, 6), ("netlink", NETLINK, 9), ("tcp", INET, 9), ("tcp6", INET, 9),
                                ("udp", INET, 9), ("udp6", INET, 9), ("raw", "raw", 9), ("raw6", "raw", 9),
                                ("packet", "packet", 8)):
        for line in open(f"/proc/{pid}/net/{table}").read().splitlines()[1:]:
            fields = line.split()
            if len(fields) > column:
                kinds[fields[column]] = kind
    return kinds


def check_rights(pid, role, caps, seccomp, inherited=0):
    """Own user, own capabilities and no way to more."""
    status = status_of(pid)
    uid, gid = str(role_uid(role)), str(group())
    assert status["Uid"].split() == [uid] * 4 and uid != "0"
    assert status["Gid"].split() == [gid] * 4 and status["Groups"].split() == [gid]
    assert {k: int(status[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": inherited, "CapPrm": caps, "CapEff": caps, "CapBnd": 0, "CapAmb": 0}
    assert (status["NoNewPrivs"], int(status["Seccomp"])) == ("1", seccomp)
    limits = open(f"/proc/{pid}/limits").read()
    assert re.search(r"Max core file size\s+0\s+0\s", limits)


def check_closed(pid):
    """What is not dumpable belongs to root: no debugger, no /proc/PID/mem for others of its user."""
    assert os.stat(f"/proc/{pid}/status").st_uid == 0


@pytest.mark.parametrize("name", PROCESSES)
def test_rights(lab, name):
    """As the kernel tells it, not as the code intends it."""
    role, caps, seccomp, _ = PROCESSES[name]
    pid = the_pid(lab, name)
    check_rights(pid, role, caps, seccomp, caps if name == "cordon-spawn" else 0)	# it hands its one capability down
    check_closed(pid)


def test_the_supervisor_keeps_what_it_needs(lab):
    """It stays root, to start daemons that begin as root; a quarter of root's capabilities is enough for that."""
    status = status_of(the_pid(lab, "cordon-super"))
    ours = int(status_of("self")["CapBnd"], 16)			# a container's root has not all of them
    want = sum(1 << cap for cap in (0, 1, 3, 5, 6, 7, 8, 10, 12, 14, 24, 38, 39)) & ours
    assert {int(status[k], 16) for k in ("CapPrm", "CapEff", "CapBnd")} == {want} != {ours}
    assert status["NoNewPrivs"] == "1" and int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_each_daemon_is_its_own_user(lab):
    users = {name: status_of(the_pid(lab, name))["Uid"].split()[0] for name in PROCESSES}
    apart = [users[n] for n in ("cordon-netd", "cordon-dns", "cordon-gitproxy", "cordon-keeper", "cordon-mirror")]
    assert len(set(apart)) == 5


def test_every_thread_is_confined(lab):
    """A filter is a thread's: one that was started too early would go without."""
    for name in ("cordon-gitproxy", "cordon-keeper", "cordon-mirror"):
        pid = the_pid(lab, name)
        looked_at = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):		# one that has ended
                status = status_of(f"{pid}/task/{task}")
                assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
                looked_at += 1
        assert looked_at


def check_descriptors(name, pid, allowed, files):
    """Sockets of these kinds, files that match."""
    kinds = sockets_of(pid)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            mode = os.stat(f"/proc/{pid}/fd/{fd}").st_mode
        except FileNotFoundError:
            continue			# closed meanwhile
        if QUIET.match(target) or target.startswith("/memfd:") or (name, target) == ("cordon-netd", PROGRAM):
            continue
        if stat.S_ISSOCK(mode):
            kind = kinds.get(target[len("socket:["):-1], UNIX)		# an unbound pair is in no list
            assert kind in allowed, f"{name} has a socket of kind {kind}"
        else:
            folder = target.endswith(("/mirrors", "/mirrors/spool", "/judged")) and stat.S_ISDIR(mode)
            assert (stat.S_ISREG(mode) or folder) and re.search(files, target), f"{name} holds {target}"


@pytest.fixture(scope="module")
def pushing(world):
    """Somebody has asked what there is to push to: cordon-scan is there."""
    with labpush.push_lab(world, {"agent": labpush.policy()}) as lab:
        repo = lab.forge.repository("acme/rights")
        work = labpush.Work(lab, repo)
        work.commit()
        done = work.push("HEAD:refs/heads/agent/x")
        assert done.returncode == 0, done.stderr + lab.logs()
        yield lab, repo


def test_rights_of_the_judge(pushing):
    """Of cordon-scan; and of the process that it makes for a push, while that is at work."""
    lab, repo = pushing
    role, caps, seccomp, allowed = JUDGE
    pid = the_pid(lab, "cordon-scan")
    check_rights(pid, role, caps, seccomp)
    check_closed(pid)
    check_descriptors("cordon-scan", pid, allowed, r"/gitproxy\.log$")
    blobs = [labobjects.blob(os.urandom(1 << 20)) for _ in range(30)]
    top = labobjects.tree(*((labobjects.FILE, b"f%d" % i, b) for i, b in enumerate(blobs)))
    body = labpush.create(repo, [labobjects.commit(top), top, *blobs], ref="refs/heads/agent/y")

    def confined():
        for child in open(f"/proc/{pid}/task/{pid}/children").read().split():
            with contextlib.suppress(OSError):		# one that has ended
                if status_of(child)["Seccomp_filters"] == "2":
                    os.kill(int(child), signal.SIGSTOP)
                    return int(child)
        return None
    with labpush.Wire(lab.sandbox, labpush.HOST, timeout=60) as wire:
        wire.send(labpush.post("acme/rights.git", body, service=labpush.RECEIVE, host=labpush.HOST, protocol=0))
        child = wait_for("a judge at work", confined, step=0.001)
        assert open(f"/proc/{child}/comm").read() == "cordon-judge\n"
        check_rights(child, role, caps, seccomp)
        check_closed(child)
        check_descriptors("cordon-judge", child, allowed,
                          r"/(gitproxy\.log|mirrors/push/\d+/(pack|judged)|exceptions\.yaml|mirrors/[0-9a-f]{64}/.*)$")
        os.kill(child, signal.SIGCONT)
        assert labpush.report_of(wire.response().body).refs == {"refs/heads/agent/y": "ok"}


@pytest.mark.parametrize("name", PROCESSES)
def test_descriptors(lab, name):
    """Nothing is open that its work does not need: no directory, no device, no file of another part."""
    check_descriptors(name, the_pid(lab, name), PROCESSES[name][3], FILES[name])


def test_confined_daemons_take_a_large_policy(labs):
    """What a filter lacks shows with size: the C library sorts a long list in other ways than a short one."""
    hosts = [{"host": "pypi.example"}, *({"host": f"h{number}.example"} for number in range(2000))]
    profile = {"network": {"default": "deny", "allow": hosts},
               "git": {"enabled": True, "source": "upstream", "allowed_hosts": ["github.com"],
                       "allowed_repos": [f"acme/r{number}" for number in range(2000)]}}
    lab = labs(profiles={"agent": profile})
    pids = {name: lab.pids(name) for name in PROCESSES}
    assert lab.sandbox.resolve("pypi.example")
    hosts.append({"host": "new.example"})
    lab.profile("agent", profile)
    lab.cordon("reload", check=True)
    assert lab.sandbox.resolve("pypi.example") and pids == {name: lab.pids(name) for name in PROCESSES}


def test_no_process_without_a_row(lab):
    """Whatever of ours runs in the gateway is in the table, or is the supervisor."""
    names = set()
    for pid in lab.gateway.pids():
        with contextlib.suppress(OSError):			# one that has ended
            names.add(open(f"/proc/{pid}/comm").read().strip())
    assert {n for n in names if n.startswith("cordon")} == set(PROCESSES) | {"cordon-super"}


# -- a resolver or a proxy that was taken over, at netd's socket

PROFILE = {"network": {"default": "deny", "allow": [
    {"host": "web.example"}, {"host": "*.wild.example"},
    {"host": "db.example", "ports": [5432], "protocol": "tcp", "private": True}],
    "deny": [{"host": "no.wild.example"}]},
    "git": {"enabled": True, "source": "upstream", "allowed_hosts": ["github.com"],
            "allowed_repos": ["acme/widgets"]}}
NEVER = ["127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.0.1", "169.254.169.254", "192.0.0.8",
         "198.18.1.0", "198.19.255.255", "224.0.0.1", "240.0.0.1", "255.255.255.255",
         "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "fe80::1", "ff02::1", "fd00:ec2::254",
         "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2001::1", "fd63:6f72:646f::100",
         "10.1.0.1", "10.1.0.2", "fd00:1::1", "fd00:1::2"]		# the last: gateway and sandbox
PRIVATE = ["10.9.9.9", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fc00::1", "fd12::1"]


@pytest.fixture
def taken(labs):
    """netd alone with one sandbox; at the end it must be the one that started, as sound as before."""
    lab = labs(up=False, profiles={"agent": PROFILE})
    lab.cordon("firewall", "start", check=True)
    netd = Alone(lab)
    lab.add_sandbox()
    yield netd
    assert netd.process.poll() is None, open(f"{lab.dir}/netd.log").read()
    netd.process.terminate()
    assert netd.process.wait(PATIENCE) == 0, open(f"{lab.dir}/netd.log").read()


def kernel(lab):
    """Every element of every map, as the kernel has it."""
    done = lab.gateway.run(["nft", "-j", "list", "ruleset"], check=True)
    return {o["map"]["name"]: json.dumps(strip(o["map"].get("elem", [])), sort_keys=True)
            for o in json.loads(done.stdout)["nftables"] if "map" in o}


def strip(value):
    """Without counters and timers."""
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in ("counter", "expires", "timeout")}
    return [strip(v) for v in value] if isinstance(value, list) else value


def host_addresses(lab):
    rows = json.loads(lab.gateway.run(["ip", "-j", "addr"], check=True).stdout)
    return [a["local"] for row_ in rows for a in row_["addr_info"]]


def reason_of(part, profile, sandbox, name, *addresses):
    """What netd answers, and that it promises no family when it refuses."""
    answer = part.pin(profile, sandbox, name, *addresses)
    reason = REASONS[answer[0]]
    assert not reason or answer[2:] == (0, 0)
    return reason


@row("A10")
def test_no_name_can_be_pinned_to_what_none_may_have(taken):
    lab, (profile, sandbox) = taken.lab, taken.ids()
    before = kernel(lab)
    with Part(lab, "dns") as dns:
        dns.read_snapshot()
        for address in NEVER + host_addresses(lab):
            for name in ("web.example", "db.example"):
                assert reason_of(dns, profile, sandbox, name, address) == "rebinding_blocked", (name, address)
        for address in PRIVATE:
            assert reason_of(dns, profile, sandbox, "web.example", address) == "rebinding_blocked", address
    assert {k: v for k, v in kernel(lab).items() if not k.startswith("names")} == \
           {k: v for k, v in before.items() if not k.startswith("names")}
    assert lab.audit.wait(event="part", part="dns", reason="rebinding_blocked")


def test_no_grant_can_be_widened(taken):
    lab, (profile, sandbox) = taken.lab, taken.ids()
    other = next(p["id"] for p in taken.netd()["profiles"] if p["id"] != profile)
    real = "93.184.216.34"
    asks = [(profile, sandbox, name) for name in (
        "evil.example", "example", "wild.example", "a.b.wild.example", "no.wild.example", "web.example.evil.example",
        "xweb.example", "localhost", "cordon.internal.evil", "gitlab.com")]
    asks += [(p, s, "web.example") for p, s in ((other, sandbox), (0, sandbox), (4095, sandbox), (65535, sandbox),
                                                (profile, 0), (profile, sandbox % 65535 + 1), (profile, 65535))]
    before = kernel(lab)
    with Part(lab, "dns") as dns:
        dns.read_snapshot()
        for ask in asks:
            assert reason_of(dns, *ask, real) in ("name_not_allowed", "name_denied", "internal_error"), ask
    assert kernel(lab) == before
    assert lab.audit.wait(event="part", part="dns", reason="name_not_allowed")


def lying_pins(profile, sandbox):
    good = bytearray(pin(profile, sandbox, "web.example", "93.184.216.34"))
    offset = {"n4": 4, "n6": 5, "family": 12, "name": 12 + 2 * 16 * 17}

    def changed(at, value):
        return bytes(good[:at]) + value + bytes(good[at + len(value):])
    return {
        "seventeen addresses": changed(offset["n4"], b"\x11"),
        "255 addresses of each": changed(offset["n4"], b"\xff\xff"),
        "no end of the name": changed(offset["name"], b"a" * 256),
        "upper case": changed(offset["name"], b"WEB"),
        "a control character": changed(offset["name"], b"we\n"),
        "one byte less": bytes(good[:-1]),
        "one byte more": bytes(good) + b"\0",
        "nothing": b"",
    }


def test_lies_end_the_connection(taken):
    lab, (profile, sandbox) = taken.lab, taken.ids()
    before = kernel(lab)
    for what, body in lying_pins(profile, sandbox).items():
        with Part(lab, "dns") as dns:
            dns.read_snapshot()
            dns.send("PIN", body)
            assert dns.ended(), what
    assert kernel(lab) == before
    # Addresses of no family, or of the other one, are none.
    for family in (0, 5, 6, 255):
        body = bytearray(pin(profile, sandbox, "web.example", "93.184.216.34"))
        body[12] = family
        with Part(lab, "dns") as dns:
            dns.read_snapshot()
            dns.send("PIN", bytes(body))
            with contextlib.suppress(EOFError, ConnectionError):
                _, _, answer = dns.receive()
                assert struct.unpack_from("<I", answer)[0] and not any(answer[8:10]), family
    assert not json.loads(kernel(lab)["grants4"])


@pytest.mark.parametrize("role", ["dns", "gitproxy", "keeper"])
def test_each_part_may_say_its_own_messages_only(taken, role):
    """Every type there is, and some there are not, empty and full: only an answer to a question is let be."""
    lab, (profile, sandbox) = taken.lab, taken.ids()
    good = pin(profile, sandbox, "web.example", "93.184.216.34")
    let_be = {"DONE", "READY"} | ({"PIN"} if role == "dns" else set())
    before = kernel(lab)
    for number in [*range(len(TYPES) + 2), 255, 65535]:
        if NAMES.get(number) in let_be:
            continue
        for body in (b"", good, hello("gitproxy"), hello("dns")):
            with Part(lab, role) as part:
                part.read_snapshot()
                part.send(number, body)
                assert part.ended(), (NAMES.get(number), len(body))
    assert kernel(lab) == before
    assert lab.audit.wait(event="part", part=role, what="sent what does not belong here")


def test_an_answer_that_nobody_waits_for_changes_nothing(taken):
    """A part answers for itself: twice, in advance or with another's number counts for nobody else."""
    lab = taken.lab
    other = lab.add_sandbox("vm1", register=False)
    with Part(lab, "dns") as dns, Part(lab, "keeper") as keeper:
        dns.read_snapshot()
        keeper.read_snapshot()
        for number in (0, 1, 2, 3, 1 << 31, (1 << 32) - 1):
            dns.done(number)
        adding = threading.Thread(target=lab.register, args=(other,))
        adding.start()
        _, sequence, _ = dns.receive()
        for _ in range(3):
            dns.done(sequence)
        assert "vm1" not in str(lab.cordon("ls").stdout), "the keeper has not answered"
        kind, sequence, _ = keeper.receive()
        assert kind == "SANDBOX"
        keeper.done(sequence)
        adding.join()
        assert "vm1" in lab.cordon("ls").stdout
        dns.done(sequence, -5)		# late, and a failure: its own end
        assert dns.ended()


@pytest.mark.parametrize("what", ["descriptors", "too many", "with hello", "credentials"])
def test_descriptors_do_not_pile_up(taken, what):
    lab, (profile, sandbox) = taken.lab, taken.ids()
    body = pin(profile, sandbox, "web.example", "93.184.216.34")
    pid = taken.process.pid
    before = len(os.listdir(f"/proc/{pid}/fd"))
    null = os.open("/dev/null", os.O_RDONLY)
    for _ in range(40):
        with Part(lab, "dns", say_hello=what != "with hello") as dns, contextlib.suppress(OSError):
            for _ in range(200):		# until netd has hung up
                if what == "credentials":
                    dns.socket.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS,
                                                 struct.pack("iII", os.getpid(), 0, 0))])
                elif what == "with hello":
                    dns.send("HELLO", hello("dns"), fds=[null])
                else:
                    dns.send("PIN", body, fds=[null] * (4 if what == "descriptors" else 200))
    os.close(null)
    with Part(lab, "keeper") as keeper:
        keeper.read_snapshot()			# others are served
    wait_for("as many descriptors as before", lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before)


def test_half_messages(taken):
    lab = taken.lab
    for data in (b"\x01", b"\x01\0\0\0", struct.pack("<HHI", TYPES["HELLO"], 72, 0),
                 struct.pack("<HHI", TYPES["HELLO"], 65535, 0) + bytes(72), bytes(9000), b""):
        with Part(lab, "dns", say_hello=False) as dns:
            dns.socket.send(data)
            assert dns.ended(), data[:8]


def test_flood_of_pins_is_bounded(taken):
    """Whoever asks faster than it takes answers is not read; others are, and memory stays what it is."""
    lab, (profile, sandbox) = taken.lab, taken.ids()
    body = pin(profile, sandbox, "web.example", "93.184.216.34")
    sent = 0
    with Part(lab, "dns") as dns:
        dns.read_snapshot()
        dns.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < 50000:
                dns.send("PIN", body, sent)
                sent += 1
        assert 1 < sent < 50000, "netd stopped reading"
        assert int(status_of(taken.process.pid)["VmRSS"].split()[0]) < 64 << 10
        with Part(lab, "keeper") as keeper:
            keeper.read_snapshot()
        assert lab.cordon("ls").returncode == 0
        dns.socket.settimeout(PATIENCE)
        for number in range(sent):		# taken at last: every answer is there, once, in order
            kind, sequence, answer = dns.receive()
            assert (kind, sequence, answer[0]) == ("PINNED", number, 0)


# -- a proxy that was taken over, at the keeper

INFO_REFS, RPC = 1, 2
UPLOAD, RECEIVE = 1, 2		# enum git_service
EACCES = 13


def keeper_open(host="github.com", repo="acme/widgets", kind=INFO_REFS, service=UPLOAD, protocol=2, length=0):
    return (struct.pack("<BBB5xQ48x", kind, service, protocol, length) + host.encode().ljust(256, b"\0")
            + repo.encode().ljust(256, b"\0") + b"git/2".ljust(128, b"\0"))


class Front:
    """What runs in the front: its end of the pair to the keeper, and a connection of the sandbox."""

    def __init__(self, lab):
        self.lab = lab
        self.keeper = the_pid(lab, "cordon-keeper")
        self.pair = descriptor_of(the_pid(lab, "cordon-gitproxy"), is_pair)
        self.guest = lab.sandbox.socket()
        self.guest.connect((lab.sandbox.resolve("github.com"), 443))
        self.client = wait_for("the sandbox's connection at the front", lambda: descriptor_of(
            the_pid(lab, "cordon-gitproxy"), lambda s: s.family == socket.AF_INET
            and s.getpeername()[0] == lab.sandbox.address[0]))

    def ask(self, kind, body, *fds):
        """The keeper's answer, or b"" when it hangs up without one."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.settimeout(PATIENCE)
            order = [theirs.fileno()] if kind == "SIGN" else [*fds[:1], theirs.fileno(), *fds[1:]]
            socket.send_fds(self.pair, [struct.pack("<HHI", TYPES[kind], len(body), 1) + body], order)
            theirs.close()
            data, given, _, _ = socket.recv_fds(ours, 65536, 4)
            for fd in given:
                os.close(fd)
            return data

    def open(self, *fds, **fields):
        """The reason of the keeper's STATUS."""
        answer = self.ask("OPEN", keeper_open(**fields), *(fds or [self.client.fileno()]))
        kind, reason = struct.unpack_from("<II", answer)
        assert kind == 1
        return REASONS[reason]

    def sign(self, name):
        """Whether there is a certificate."""
        answer = self.ask("SIGN", name.encode().ljust(256, b"\0"))
        result, length = struct.unpack_from("<iI", answer, 8)
        assert (result == 0) == (length > 0) and result in (0, -EACCES)
        return result == 0

    def close(self):
        for s in (self.pair, self.client, self.guest):
            s.close()


@pytest.fixture
def front(lab, audit):
    front = Front(lab)
    yield front
    front.close()
    assert lab.pids("cordon-keeper") == [front.keeper], "the keeper is the one that was there before"


def test_the_keeper_serves_what_the_policy_allows(front):
    """Else the refusals below would prove nothing."""
    assert front.open() == "" and front.sign("github.com")


@pytest.mark.parametrize("fields, reason", [
    ({"host": "evil.example"}, "host_not_allowed"),
    ({"host": "pypi.example"}, "host_not_allowed"),
    ({"host": "gitlab.com"}, "host_not_allowed"),
    ({"host": "localhost"}, "host_not_allowed"),
    ({"repo": "acme/payroll"}, "repository_not_allowed"),
    ({"repo": "acme/widgets.wiki"}, "repository_not_allowed"),
    ({"service": RECEIVE}, "push_not_allowed"),
    ({"kind": RPC, "length": 4}, "internal_error"),
], ids=lambda v: str(v))
def test_the_keeper_decides_again(lab, front, capture, fields, reason):
    """Host, repository and service are the policy's to allow, whatever the front says."""
    asked = len(lab.web.requests())
    assert front.open(**fields) == reason
    lab.audit.wait(src="keeper", reason=reason)
    assert len(lab.web.requests()) == asked
    if "host" in fields:
        capture.empty(contains=fields["host"].encode())


def test_the_keeper_asks_the_kernel_who_the_client_is(lab, front, capture):
    """Not a sandbox's connection: not served, whoever's it is."""
    listener = lab.gateway.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    local = lab.gateway.socket()
    local.connect(listener.getsockname())
    ours, theirs = socket.socketpair()
    with listener, local, ours, theirs, open("/dev/null") as null:
        asked = len(lab.web.requests())
        for fd in (local.fileno(), listener.fileno(), ours.fileno(), null.fileno()):
            assert front.open(fd) == "internal_error"
        assert len(lab.web.requests()) == asked


@pytest.mark.parametrize("body", ["pipe", "directory", "device", "short", "long"])
def test_the_keeper_reads_files_of_the_told_length_only(lab, front, body, tmp_path):
    """Anything else could hold a thread for ever."""
    (tmp_path / "four").write_bytes(b"0000")
    rd, wr = os.pipe()
    fd, length = {"pipe": (rd, 4), "directory": (os.open(tmp_path, os.O_RDONLY), 4),
                  "device": (os.open("/dev/zero", os.O_RDONLY), 4),
                  "short": (os.open(tmp_path / "four", os.O_RDONLY), 5),
                  "long": (os.open(tmp_path / "four", os.O_RDONLY), 3)}[body]
    assert front.open(front.client.fileno(), fd, kind=RPC, length=length) == "internal_error"
    for number in {fd, rd, wr}:
        os.close(number)


@pytest.mark.parametrize("name", ["evil.example", "github.com.evil.example", "notgithub.com", "com", "pypi.example",
                                  "localhost"])
def test_the_keeper_signs_nothing_outside_the_ca_names(front, name):
    assert not front.sign(name)
    assert front.sign("github.com"), "and goes on"


MALFORMED = {
    "a literal": ("OPEN", keeper_open(host="127.0.0.1")),
    "upper case": ("OPEN", keeper_open(host="GITHUB.com")),
    "a line's end": ("OPEN", keeper_open(host="github.com\r\n")),
    "up and out": ("OPEN", keeper_open(repo="../widgets")),
    "a query": ("OPEN", keeper_open(repo="acme/widgets?x")),
    "no such service": ("OPEN", keeper_open(service=9)),
    "no such kind": ("OPEN", keeper_open(kind=7)),
    "one byte less": ("OPEN", keeper_open()[:-1]),
    "a wildcard": ("SIGN", b"*.github.com".ljust(256, b"\0")),
    "no end": ("SIGN", b"a" * 256),
    "another message": ("PIN", bytes(816)),
}


def test_what_no_front_says_ends_front_and_keeper(own_lab):
    """Both die, nothing was dialled or signed for it, and both come back."""
    for what, (kind, body) in MALFORMED.items():
        asked = len(own_lab.web.requests())
        front = Front(own_lab)
        old = front.keeper, the_pid(own_lab, "cordon-gitproxy")
        own_lab.signalled = True
        assert front.ask(kind, body, front.client.fileno()) == b"", what
        front.close()
        wait_for("a new keeper", lambda: set(own_lab.pids("cordon-keeper")) - {old[0]})
        wait_for("a new front", lambda: set(own_lab.pids("cordon-gitproxy")) - {old[1]})
        assert len(own_lab.web.requests()) == asked, what
        wait_for("service", lambda: own_lab.sandbox.fetches(
            "https://github.com/acme/widgets/info/refs?service=git-upload-pack"))
        wait_for("its line in the server's log", lambda: len(own_lab.web.requests()) > asked)


# -- an inspector that was taken over, at netd

def verdict(mark=0, reason=0, sni=b"x", length=None, port=443, address="198.18.1.0", lost=0):
    return (struct.pack("<II", mark, reason) + pack_addr("10.1.0.2") + pack_addr(address)
            + struct.pack("<HHHH2xI", 1, port, len(sni) if length is None else length, 0, lost)
            + sni.ljust(256, b"\0"))


def test_an_inspector_can_report_and_nothing_else(own_lab):
    """What it reports is written; what it is not to say costs it its life; neither changes a map."""
    lab = own_lab
    before = kernel(lab)
    netd = the_pid(lab, "cordon-netd")
    number = struct.calcsize("<II") + 2 * 17
    bad = {
        "reason": ("VERDICT", verdict(reason=9999)), "length of the name": ("VERDICT", verdict(length=257)),
        "short": ("VERDICT", verdict()[:number]), "pin": ("PIN", bytes(816)), "hello": ("HELLO", hello("inspect")),
        "ready": ("READY", struct.pack("<IiI", 1, 0, 1)), "spawn": ("SPAWN", b""), "audit": ("AUDIT", b""),
    }
    for what, (kind, body) in bad.items():
        pid = wait_for("an inspector that serves", lambda: (lambda i: i["serving"] and i["pid"])(
            json.loads(lab.cordon("status", "--json").stdout)["netd"]["inspect"]))
        with descriptor_of(pid, is_pair) as pair:
            for mark in (0, 1, 0xffffffff, 0x0fff0001):		# nonsense that has the right form
                pair.send(struct.pack("<HHI", TYPES["VERDICT"], len(verdict()), 0)
                          + verdict(mark=mark, reason=1, sni=b"\x1b[2J\n", address="8.8.8.8"))
            pair.send(struct.pack("<HHI", TYPES[kind], len(body), 7) + body)
        wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}"))
    assert lab.pids("cordon-netd") == [netd] and kernel(lab) == before
    lab.audit.wait(event="part", part="inspect", what="sent what does not belong here")
    assert all(e["sni"] == "\\x1b[2J\\x0a" for e in lab.audit.events(event="flow", daddr="8.8.8.8"))


# -- sockets and directories

def netd_says(lab):
    """What netd prints that does not start."""
    done = lab.gateway.run([f"{BUILD}/cordon-netd", "--config", lab.config_file])
    assert done.returncode == 1, done
    return done.stderr


def test_sockets_have_the_rights_they_need(lab):
    def rights(path):
        st = os.lstat(f"{lab.dir}/run{path}")
        return stat.filemode(st.st_mode), st.st_uid, st.st_gid
    assert rights("") == ("drwx--x--x", 0, 0)
    assert rights("/control.sock") == ("srw-------", 0, 0)
    assert rights("/parts") == ("drwxr-x---", 0, group())
    assert rights("/parts/netd.sock") == ("srw-rw----", 0, group())


@pytest.mark.parametrize("role", ["netd", "inspect", "dns", "gitproxy", "keeper"])
def test_control_is_for_root_alone(own_lab, role):
    """Twice: the file's mode, and if that were lost, the kernel's word on who connects."""
    path = f"{own_lab.dir}/run/control.sock"
    with pytest.raises(OSError):
        connect_as(path, role_uid(role))
    os.chmod(path, 0o666)
    with connect_as(path, role_uid(role)) as s:
        s.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            s.send(struct.pack("<HHI", TYPES["STATUS"], 0, 1))
            assert s.recv(10000) == b""
    assert f"event=control_refused uid={role_uid(role)}" in wait_for(
        "a word", lambda: (lambda t: t if "control_refused" in t else None)(own_lab.logs()))


def test_parts_socket_is_for_the_group_alone(lab):
    with pytest.raises(OSError):
        connect_as(f"{lab.dir}/run/parts/netd.sock", 65534, 65534)


@pytest.mark.parametrize("kind", ["symlink", "file", "directory"])
@pytest.mark.parametrize("name", ["control.sock", "parts/netd.sock"])
def test_no_socket_in_the_place_of_something_else(labs, kind, name, tmp_path):
    lab = labs(up=False)
    lab.cordon("firewall", "start", check=True)
    os.makedirs(f"{lab.dir}/run/parts", mode=0o755)
    path, target = f"{lab.dir}/run/{name}", tmp_path / "target"
    {"symlink": lambda: os.symlink(target, path), "file": lambda: open(path, "w").close(),
     "directory": lambda: os.mkdir(path)}[kind]()
    said = netd_says(lab)
    assert f"{path}: File exists: something that is no socket lies there; remove it" in said
    assert not target.exists() and os.path.lexists(path)


@pytest.mark.parametrize("what", ["others can write", "a group can write", "somebody else's", "a symlink",
                                  "where all can write"])
def test_no_socket_where_others_can_write(labs, what):
    lab = labs(up=False)
    lab.cordon("firewall", "start", check=True)
    run = f"{lab.dir}/run"
    if what == "a symlink":
        os.mkdir(f"{lab.dir}/elsewhere", 0o755)
        os.symlink("elsewhere", run)
    elif what == "where all can write":
        os.chmod(lab.dir, 0o777)
    else:
        os.mkdir(run)
        os.chmod(run, {"others can write": 0o757, "a group can write": 0o775}.get(what, 0o755))
        os.chown(run, role_uid("dns") if what == "somebody else's" else 0, 0)
    said = netd_says(lab)
    assert f"cordon-netd: {run}: " in said and "that nobody else can write into or replace" in said
    assert not os.path.exists(f"{run}/control.sock")
    done = lab.cordon("up")
    assert done.returncode == 1 and run in done.stderr
