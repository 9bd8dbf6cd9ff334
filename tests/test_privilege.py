"""Privilege: what each daemon holds, and what a daemon that was taken over can do to the others.

The first half reads /proc of every daemon of the lab: docs/architecture.md has the same table. The second
speaks to netd and to the keeper as somebody would who runs code in cordon-dns or cordon-gitproxy.
"""

import contextlib
import json
import os
import re
import socket
import stat
import struct
import threading

import pytest

from lab import BUILD, row
from labnet import wait_for
from netdclient import NAMES, TYPES, Part, connect_as, descriptor_of, group, hello, is_pair, pin, role_uid
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
}
# Files that may be open, by process; memory files of replies come and go.
FILES = {
    "cordon-netd": r"/(netd\.jsonl|netd\.log)$",
    "cordon-spawn": r"/(netd\.log|cordon-inspect)$",
    "cordon-inspect": r"/netd\.log$",
    "cordon-dns": r"/(dns\.jsonl|dns\.log)$",
    "cordon-gitproxy": r"/(gitproxy\.jsonl|gitproxy\.log)$",
    "cordon-keeper": r"/(keeper\.jsonl|gitproxy\.log)$",
}
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


@pytest.mark.parametrize("name", PROCESSES)
def test_rights(lab, name):
    """Own user, own capabilities and no way to more: as the kernel tells it, not as the code intends it."""
    role, caps, seccomp, _ = PROCESSES[name]
    pid = the_pid(lab, name)
    status = status_of(pid)
    uid, gid = str(role_uid(role)), str(group())
    inherited = caps if name == "cordon-spawn" else 0		# it hands its one capability down
    assert status["Uid"].split() == [uid] * 4 and uid != "0"
    assert status["Gid"].split() == [gid] * 4 and status["Groups"].split() == [gid]
    assert {k: int(status[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": inherited, "CapPrm": caps, "CapEff": caps, "CapBnd": 0, "CapAmb": 0}
    assert (status["NoNewPrivs"], int(status["Seccomp"])) == ("1", seccomp)
    limits = open(f"/proc/{pid}/limits").read()
    assert re.search(r"Max core file size\s+0\s+0\s", limits)
    # What is not dumpable belongs to root: no debugger, no /proc/PID/mem for others of its user.
    assert os.stat(f"/proc/{pid}/status").st_uid == 0


def test_the_supervisor_keeps_what_it_needs(lab):
    """It stays root, to start daemons that begin as root; a quarter of root's capabilities is enough for that."""
    status = status_of(the_pid(lab, "cordon-super"))
    ours = int(status_of("self")["CapBnd"], 16)			# a container's root has not all of them
    want = sum(1 << cap for cap in (0, 1, 3, 5, 6, 7, 8, 10, 12, 14, 24)) & ours
    assert {int(status[k], 16) for k in ("CapPrm", "CapEff", "CapBnd")} == {want} != {ours}
    assert status["NoNewPrivs"] == "1" and int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_each_daemon_is_its_own_user(lab):
    users = {name: status_of(the_pid(lab, name))["Uid"].split()[0] for name in PROCESSES}
    apart = [users[n] for n in ("cordon-netd", "cordon-dns", "cordon-gitproxy", "cordon-keeper")]
    assert len(set(apart)) == 4


def test_every_thread_is_confined(lab):
    """A filter is a thread's: one that was started too early would go without."""
    for name in ("cordon-gitproxy", "cordon-keeper"):
        pid = the_pid(lab, name)
        for task in os.listdir(f"/proc/{pid}/task"):
            status = status_of(f"{pid}/task/{task}")
            assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")


@pytest.mark.parametrize("name", PROCESSES)
def test_descriptors(lab, name):
    """Nothing is open that its work does not need: no directory, no device, no file of another part."""
    pid = the_pid(lab, name)
    kinds = sockets_of(pid)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            mode = os.stat(f"/proc/{pid}/fd/{fd}").st_mode
        except FileNotFoundError:
            continue			# closed meanwhile
        if QUIET.match(target) or target.startswith("/memfd:"):
            continue
        if stat.S_ISSOCK(mode):
            kind = kinds.get(target[len("socket:["):-1], UNIX)		# an unbound pair is in no list
            assert kind in PROCESSES[name][3], f"{name} has a socket of kind {kind}"
        else:
            assert stat.S_ISREG(mode) and re.search(FILES[name], target), f"{name} holds {target}"


def test_no_process_without_a_row(lab):
    """Whatever of ours runs in the gateway is in the table, or is the supervisor."""
    names = {open(f"/proc/{pid}/comm").read().strip() for pid in lab.gateway.pids()}
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
    assert netd.process.wait(10) == 0, open(f"{lab.dir}/netd.log").read()


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
        dns.socket.settimeout(10)
        for number in range(sent):		# taken at last: every answer is there, once, in order
            kind, sequence, answer = dns.receive()
            assert (kind, sequence, answer[0]) == ("PINNED", number, 0)
