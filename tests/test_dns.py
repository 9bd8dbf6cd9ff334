"""The resolver that sandboxes get, whichever they ask: rows A1 to A13.

Two labs: the shared one with dnsmasq outside, and `scripted`, whose upstream is a DNS server of this file
that answers what a test wants: chains, loops, forged and private addresses.
"""

import contextlib
import signal
import socket
import struct
import threading
import time

import pytest

import labworld
from conftest import _close, _renewals
from lab import Lab, row, write
from labnet import MOMENT, PATIENCE, wait_for
from labwatch import SO_RCVBUFFORCE, Capture

A, NS, CNAME, NULL, PTR, TXT, AAAA, DNAME, OPT, HTTPS, ANY = 1, 2, 5, 10, 12, 16, 28, 39, 41, 65, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
RESOLVER = {4: "9.9.9.%d", 6: "2620:fe::%x"}


# -- messages

def wire(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".") if x) + b"\0"


def head(flags=0x0100, qd=1, an=0, ns=0, ar=0, id=0x1234):
    return struct.pack("!6H", id, flags, qd, an, ns, ar)


def question(name, kind=A, cls=1):
    return (name if isinstance(name, bytes) else wire(name)) + struct.pack("!HH", kind, cls)


def query(name, kind=A, id=0x1234):
    return head(id=id) + question(name, kind)


def record(name, kind, data, ttl=30):
    return wire(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def opt(version=0, data=b""):
    return b"\0" + struct.pack("!HHIH", OPT, 1232, version << 16, len(data)) + data


class Reply:
    def __init__(self, data):
        self.data = data
        self.id, self.flags, self.qd, self.an, self.ns, self.ar = struct.unpack_from("!6H", data)
        self.rcode, self.opcode = self.flags & 15, self.flags >> 11 & 15


def udp_ask(sandbox, family, server, payload, timeout=PATIENCE):
    """The Reply, which must come from where the question went; None when there is none."""
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    with sandbox.socket(kind, socket.SOCK_DGRAM, timeout=timeout) as s:
        s.sendto(payload, (server, 53))
        try:
            data, peer = s.recvfrom(4096)
        except TimeoutError:
            return None
        assert peer[:2] == (server, 53)
        return Reply(data)


def waiting(pid):
    """Whether a datagram lies in a socket of this process's host that nobody has read."""
    with open(f"/proc/{pid}/net/udp") as f:
        return any(int(line.split()[4].split(":")[1], 16) for line in list(f)[1:])


def take(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def tcp_read(s):
    return Reply(take(s, *struct.unpack("!H", take(s, 2))))


def framed(payload):
    return struct.pack("!H", len(payload)) + payload


def ends(s):
    """The peer closes the connection, having said nothing."""
    s.settimeout(PATIENCE)
    try:
        return s.recv(100) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


# -- A1, A2: over TCP

@row("A1")
def test_tcp_to_any_server_is_policed(lab, audit, capture, family):
    server = labworld.RESOLVERS[family == 6]
    name = f"a1-{family}.evil.example"
    with lab.sandbox.connect(server, 53) as s:
        s.sendall(framed(query("pypi.example")))
        assert tcp_read(s).an == 1
        s.sendall(framed(query(name)))
        assert tcp_read(s).rcode == NXDOMAIN
    capture.empty(dst=server)
    assert not lab.dns.queries(name)
    event = audit.only("name_not_allowed", name=name)
    assert event["proto"] == "tcp" and event["daddr"] == server and event["rule"] == "default"


@row("A2")
def test_two_messages_in_one_segment(lab, audit, capture, family):
    name = f"a2-{family}.evil.example"
    with lab.sandbox.connect(RESOLVER[family] % 2, 53) as s:
        s.sendall(framed(query("pypi.example", id=1)) + framed(query(name, id=2)) + framed(query("github.com", id=3)))
        replies = {r.id: r for r in (tcp_read(s) for _ in range(3))}
    assert [replies[i].rcode for i in (1, 2, 3)] == [NOERROR, NXDOMAIN, NOERROR]
    assert not lab.dns.queries(name)
    audit.only("name_not_allowed", name=name)


@row("A2")
def test_one_message_in_many_segments(lab, audit, family):
    with lab.sandbox.connect(RESOLVER[family] % 2, 53) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(query("pypi.example")):
            s.sendall(bytes([byte]))
        assert tcp_read(s).an == 1
    audit.no_refusals(sandbox="vm0")


@row("A2")
@pytest.mark.parametrize("length", [0, 65535])
def test_length_that_no_question_has(lab, audit, family, length):
    with lab.sandbox.connect(RESOLVER[family] % (length & 0xff or 1), 53) as s:
        s.sendall(struct.pack("!H", length))
        assert ends(s)
    audit.only("query_malformed")


@row("A2")
def test_message_that_stalls(lab, audit, family):
    """Half a message, and bytes that trickle: the deadline is the message's, not the last byte's."""
    with lab.sandbox.connect(RESOLVER[family] % 3, 53) as s:
        s.sendall(framed(query("pypi.example"))[:4])
        s.settimeout(MOMENT)
        with pytest.raises(ConnectionError):
            for _ in range(60):		# far past the deadline
                s.sendall(b"\0")
                with contextlib.suppress(TimeoutError):
                    if not s.recv(10):
                        raise ConnectionError("ended")
    audit.only("deadline_exceeded")


@row("A2", "A14")
def test_connections_are_bounded(lab, audit, family):
    server = RESOLVER[family] % 4
    with contextlib.ExitStack() as held:
        for _ in range(16):
            held.enter_context(lab.sandbox.connect(server, 53))
        with lab.sandbox.connect(server, 53) as s:
            assert ends(s)
    audit.only("too_many_connections")


# -- A3: malformed

LONG = b"".join(b"\x3f" + b"a" * 63 for _ in range(4)) + b"\0"
MALFORMED = {
    "qdcount-0": (head(qd=0), FORMERR),
    "qdcount-2": (head(qd=2) + question("pypi.example") * 2, FORMERR),
    "opcode-status": (head(0x1000, qd=0), NOTIMP),
    "opcode-update": (head(0x2900) + question("pypi.example"), NOTIMP),
    "class-ch": (head() + question("version.bind", TXT, 3), REFUSED),
    "class-any": (head() + question("pypi.example", A, 255), REFUSED),
    "trailing": (query("pypi.example") + b"x", FORMERR),
    "pointer": (head() + question(b"\xc0\x0c"), FORMERR),
    "pointer-after-label": (head() + question(b"\4pypi\xc0\x0c"), FORMERR),
    "label-64": (head() + question(b"\x40" + b"a" * 64 + b"\0"), FORMERR),
    "name-257": (head() + question(LONG), FORMERR),
    "dot-in-label": (head() + question(b"\x0cpypi.example\0"), FORMERR),
    "nul-in-label": (head() + question(b"\x05pypi\0\7example\0"), FORMERR),
    "cut": (head() + b"\4pyp", FORMERR),
    "answer-in-question": (head(an=1) + question("pypi.example") + record("pypi.example", A, b"\1\2\3\4"), FORMERR),
    "two-opt": (head(ar=2) + question("pypi.example") + opt() * 2, FORMERR),
}


@row("A3")
@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(lab, audit, capture, family, case):
    payload, rcode = MALFORMED[case]
    server = RESOLVER[family] % (16 + list(MALFORMED).index(case))
    before = len(lab.dns.queries())
    reply = udp_ask(lab.sandbox, family, server, payload)
    assert (reply.rcode, reply.an, reply.id) == (rcode, 0, 0x1234)
    capture.empty(dst=server)
    assert len(lab.dns.queries()) == before
    audit.only("query_malformed")
    assert udp_ask(lab.sandbox, family, server, query("pypi.example")).an == 1


@row("A3")
def test_edns_version_is_negotiated(lab, audit, family):
    reply = udp_ask(lab.sandbox, family, RESOLVER[family] % 5, head(ar=1) + question("pypi.example") + opt(1))
    assert (reply.rcode, reply.an, reply.ar, reply.data[-6:-5]) == (0, 0, 1, b"\1")	# 16: BADVERS
    audit.no_refusals(sandbox="vm0")


# -- A4: others

@row("A4")
def test_every_resolver_is_cordon(lab, audit, capture, family):
    for last in (1, 2, 3):
        server = RESOLVER[family] % (100 + last)
        assert udp_ask(lab.sandbox, family, server, query("pypi.example")).an == 1
        capture.empty(dst=server)
    audit.no_refusals(sandbox="vm0")


@row("A4")
def test_what_is_not_dns_on_53(lab, audit, capture, family):
    server = RESOLVER[family] % 6
    assert udp_ask(lab.sandbox, family, server, b"\1" + b"tunnel" * 200).an == 0
    capture.empty(contains=b"tunnel")
    audit.only("query_malformed")


@row("A4")
def test_dot_is_reset(lab, audit, capture, family):
    server = RESOLVER[family] % 7
    with pytest.raises(ConnectionRefusedError):
        lab.sandbox.connect(server, 853)
    capture.empty(dst=server)
    audit.only("address_not_granted", port=853)


# -- A6, A7: nothing leaves for a name that is not granted

@row("A6", "A7")
@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT", "NULL", "TYPE65280", "ANY", "HTTPS", "PTR", "MX"])
def test_labels_of_a_refused_zone_go_nowhere(lab, audit, capture, family, kind):
    name = f"c2vjcmv0.{kind.lower()}{family}.evil.example"
    out = lab.sandbox.dig(name, kind, server=labworld.RESOLVERS[family == 6])
    assert "status: NXDOMAIN" in out and "EDE: 15" in out and "SOA" in out
    capture.empty(contains=b"c2vjcmv0")
    assert not lab.dns.queries(name)
    event = audit.only("name_not_allowed", name=name)
    assert event["qtype"] == kind and event["profile"] == "agent"


@row("A6")
@pytest.mark.parametrize("kind", ["TXT", "NULL", "TYPE65280", "MX", "SRV"])
def test_other_types_of_a_granted_name_stay(lab, audit, family, kind):
    name = f"{kind.lower()}{family}.files.example"
    out = lab.sandbox.dig(name, kind, server=labworld.RESOLVERS[family == 6])
    assert "status: NOERROR" in out and "ANSWER: 0" in out
    assert not lab.dns.queries(name)
    audit.only("type_not_allowed", name=name)


def test_a_and_aaaa_are_one_refusal(lab, audit, family):
    name = f"both{family}.evil.example"
    for kind in (A, AAAA):
        assert udp_ask(lab.sandbox, family, RESOLVER[family] % 8, query(name, kind)).rcode == NXDOMAIN
    assert len(audit.wait(name=name)) == 1


# -- A12: what stub resolvers need

@row("A12")
def test_shapes_that_stubs_expect(lab, audit, family):
    dig, server = lab.sandbox.dig, labworld.RESOLVERS[family == 6]
    for kind in ("HTTPS", "SVCB", "SOA", "DNSKEY"):
        out = dig("pypi.example", kind, server=server)
        assert "status: NOERROR" in out and "ANSWER: 0" in out and "EDE" not in out
    assert "RFC8482" in dig("pypi.example", "ANY", server=server)
    assert "status: NOERROR" in dig("example", "SOA", server=server)		# above granted names
    assert "status: NOERROR" in dig(".", "NS", server=server)
    assert "status: NXDOMAIN" in dig("use-application-dns.net", "A", server=server)
    assert "status: NXDOMAIN" in dig("mask.icloud.com", "A", server=server)
    assert "ANSWER: 0" in dig("_dns.resolver.arpa", "SVCB", server=server)
    assert "127.0.0.1" in dig("localhost", "A", server=server)
    assert "OPT" in dig("pypi.example", "A", "+edns", server=server)
    assert "OPT" not in dig("pypi.example", "A", "+noedns", server=server)
    assert "PyPi.ExAmPlE." in dig("PyPi.ExAmPlE", "A", server=server)
    audit.no_refusals(sandbox="vm0")


def test_address_above_granted_names(lab, audit, family):
    """`*.files.example` does not grant files.example: a refusal, though the name must not be said not to be."""
    for kind in ("A", "AAAA"):
        out = lab.sandbox.dig("files.example", kind, server=labworld.RESOLVERS[family == 6])
        assert "status: NOERROR" in out and "ANSWER: 0" in out and "name_not_allowed" in out
    audit.only("name_not_allowed", name="files.example")
    assert not lab.dns.queries("files.example")


@row("A12")
def test_reverse_of_a_synthetic_address(lab, audit, family):
    address = lab.sandbox.resolve("pypi.example", family)
    assert lab.sandbox.run(["dig", "+short", "-x", address]).stdout == "pypi.example.\n"
    audit.no_refusals(sandbox="vm0")


@row("A13")
@pytest.mark.parametrize("label", [b"0x7f.1", b"0177.0.0.1", b"2130706433", b"127.0.0.1", b"evil-github.com",
                                   b"github.com.evil.test", "\uff11.example".encode(), b"pypi.example\r\n",
                                   b"user@pypi.example", b"[::1]", b"*.files.example"])
def test_spellings(lab, audit, family, label):
    name = b"".join(bytes([len(x)]) + x for x in label.split(b".")) + b"\0"
    before = len(lab.dns.queries())
    reply = udp_ask(lab.sandbox, family, RESOLVER[family] % 9, query(name) if family == 4 else query(name, AAAA))
    assert (reply.rcode, reply.an) == (NXDOMAIN, 0)
    assert len(lab.dns.queries()) == before


# -- A8: forged

@row("A8")
def test_answers_from_the_sandbox_are_ignored(lab, audit, capture, family):
    server = RESOLVER[family] % 10
    forged = head(0x8180, an=1) + question("pypi.example") + record("pypi.example", A, b"\6\6\6\6")
    assert udp_ask(lab.sandbox, family, server, forged, MOMENT) is None
    capture.empty(dst=server)
    audit.only("query_malformed")
    assert "6.6.6.6" not in lab.sandbox.dig("pypi.example")


# -- with an upstream of our own

class Script:
    """A DNS server in the internet. answers[name]: function (asked kind) -> (rcode, records), or None."""

    def __init__(self, lab, address):
        self.answers, self.asked = {}, []
        self.socket = lab.internet.listen(address, 53, socket.SOCK_DGRAM)
        self.socket.settimeout(None)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                data, peer = self.socket.recvfrom(4096)
                if len(data) < 12:
                    return
                for reply in self._reply(data):
                    self.socket.sendto(reply, peer)

    def _reply(self, data):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, kind = ".".join(labels), struct.unpack_from("!H", data, at + 1)[0]
        self.asked.append((name, kind, data))
        answer = self.answers.get(name, lambda kind: (NXDOMAIN, []))(kind)
        if answer is None:
            return
        rcode, records = answer
        good = data[:2] + struct.pack("!5H", 0x8180 | rcode, 1, len(records), 0, 0) + data[12:at + 5] + b"".join(records)
        yield struct.pack("!H", struct.unpack("!H", data[:2])[0] ^ 1) + good[2:].replace(b"\x5d\xb8", b"\6\6")	# wrong ID
        yield good

    def set(self, name, *addresses, also=(), rcode=NOERROR):
        """Plain addresses, and further records of any kind before them."""
        def answer(kind):
            family = {A: socket.AF_INET, AAAA: socket.AF_INET6}[kind]
            found = [a for a in addresses if (":" in a) == (kind == AAAA)]
            return rcode, [*also, *(record(name, kind, socket.inet_pton(family, a)) for a in found)]
        self.answers[name] = answer


BUDGETS = {
    "names": ("*", {"names_per_minute": 5}),
    "bytes": ("**", {"label_bytes_per_hour": 100}),
}


@pytest.fixture(scope="module")
def scripted(world):
    profile = {"network": {"default": "deny", "allow": [
        {"host": "*.files.example", "wildcard_budget": {"names_per_minute": 1000, "label_bytes_per_hour": 100000}},
        {"host": "*.default.budget.example"},
        *({"host": f"{stars}.{kind}{family}.budget.example", "wildcard_budget": budget}
          for kind, (stars, budget) in BUDGETS.items() for family in (4, 6)),
        {"host": "*.inner.example"}, {"host": "static.corp.example"},
        {"host": "private.corp.example", "ports": [5432], "protocol": "tcp", "private": True}]}}
    config = {"dns": {"upstream": [labworld.SERVICES[0]],
                      "zones": {"example": ["93.184.216.253"], "inner.example": [labworld.RESOLVERS[1]],
                                "files.example": [labworld.SERVICES[0]], "budget.example": [labworld.SERVICES[0]],
                                "corp.example": [labworld.SERVICES[0]]}},
              "hosts": {"static.corp.example": labworld.WEB[0]}}
    with Lab(world, config=config, profiles={"agent": profile}) as lab:
        lab.script = Script(lab, labworld.SERVICES[0])
        lab.zone = Script(lab, labworld.RESOLVERS[1])
        lab.up()
        lab.add_sandbox()
        yield lab
        _close(lab)


@pytest.fixture
def script(scripted):
    scripted.renew(f"-{next(_renewals)}")
    return scripted.script


def ask(lab, name, kind=A, family=4):
    return udp_ask(lab.sandbox, family, RESOLVER[family] % 11, query(name, kind))


# -- A6: what a sandbox makes up below a granted wildcard

def second_sandbox(lab):
    return lab.sandboxes.get("vm1") or lab.add_sandbox("vm1")


def over_budget(lab, zone):
    """Whatever was made up is one refusal: of the sandbox and the rule."""
    event = lab.audit.only("wildcard_budget_exceeded", name="*")
    assert event["sandbox"] == "vm0" and event["rule"].endswith("." + zone)


def below(script, zone):
    """Names of the zone that upstream has heard."""
    return {name for name, _, _ in script.asked if name.endswith(zone)}


def twelfths(begin):
    """What a budget of five a minute has grown by since, begun ones counted."""
    return int((time.monotonic() - begin) / 12 + 1)


@row("A6")
def test_new_names_below_a_wildcard_are_bounded(scripted, script, family):
    """Names per minute: the rest is refused here; what was asked before goes on; another sandbox has its own."""
    zone = f"names{family}.budget.example"
    names = [f"n{i}.{zone}" for i in range(40)]
    for name in names:
        script.set(name, *labworld.WEB)
    begin = time.monotonic()
    replies = [ask(scripted, name, A, family) for name in names]
    heard = below(script, zone)
    assert 5 <= len(heard) <= 5 + twelfths(begin)
    assert [r.an for r in replies] == [int(name in heard) for name in names]
    assert {r.rcode for r in replies if not r.an} == {NXDOMAIN}
    over_budget(scripted, zone)
    assert all(ask(scripted, names[0], kind, family).an == 1 for kind in (A, AAAA) for _ in range(20))
    told = [scripted.sandbox.dig(name, "A", server=labworld.RESOLVERS[family == 6]) for name in names[30:]]
    denied = [out for out in told if "status: NXDOMAIN" in out]
    assert denied and all("EDE: 15" in out and "wildcard_budget_exceeded" in out for out in denied)
    other, theirs = second_sandbox(scripted), next(name for name in names if name not in below(script, zone))
    assert udp_ask(other, family, RESOLVER[family] % 11, query(theirs)).an == 1
    assert len(below(script, zone)) <= 5 + twelfths(begin) + 1
    over_budget(scripted, zone)


@row("A6")
def test_bytes_below_a_wildcard_are_bounded(scripted, script, family):
    zone = f"bytes{family}.budget.example"
    names = [f"{'x' * 17}{i}.{i}.{zone}" for i in range(1, 10)]			# 20 bytes each
    for name in names:
        script.set(name, *labworld.WEB)
    assert [ask(scripted, name, A, family).an for name in names] == [1] * 5 + [0] * 4
    assert below(script, zone) == set(names[:5])
    over_budget(scripted, zone)


@row("A6", families=(4,))
def test_the_default_budget(scripted, script):
    zone = "default.budget.example"
    names = [f"m{i}-{'e' * 40}.{zone}" for i in range(200)]
    begin = time.monotonic()
    with scripted.sandbox.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for i, name in enumerate(names):
            s.sendto(query(name, id=i), ("8.8.8.8", 53))
            time.sleep(0.01)
    over_budget(scripted, zone)
    wait_for("the budget to be used up", lambda: len(below(script, zone)) >= 60)
    heard = below(script, zone)
    assert len(heard) <= 61 + time.monotonic() - begin
    assert sum(len(name.split(".")[0]) for name in heard) <= 4096


@row("A8")
def test_upstream_hears_only_what_it_must(scripted, script, family):
    """Lower case, EDNS of our own, no option of the client's; a wrong ID is not believed."""
    name = f"quiet{family}.files.example"
    script.set(name, *labworld.WEB)
    option = opt(data=struct.pack("!HH", 8, 8) + b"\0\1\x18\0secr")
    payload = head(ar=1) + question(name.upper()) + option
    assert udp_ask(scripted.sandbox, family, RESOLVER[family] % 12, payload).an == 1
    heard = [x for x in script.asked if x[0].lower() == name]
    assert sorted(kind for _, kind, _ in heard) == [A, AAAA]
    for asked, _, data in heard:
        assert asked == name and b"secr" not in data and data.endswith(b"\0\0\x29\x04\xd0" + bytes(6))
    assert ask(scripted, name, AAAA).an == 1
    assert len([x for x in script.asked if x[0] == name]) == 2		# and the answer is known now
    scripted.audit.no_refusals(sandbox="vm0")


@row("A9")
def test_alias_to_a_name_that_is_not_granted(scripted, script, family):
    name, target = f"alias{family}.files.example", f"cdn{family}.evil.example"
    script.set(name, also=[record(name, CNAME, wire(target)), record(target, A, b"\x5d\xb8\xd8\x22"),
                           record("other.example", A, b"\6\6\6\6")])
    reply = ask(scripted, name, A, family)
    assert (reply.rcode, reply.an) == (NOERROR, 1)
    assert reply.data[-4:-2] == b"\xc6\x12"						# synthetic, no alias
    assert ask(scripted, target, A, family).rcode == NXDOMAIN
    assert not [x for x in script.asked if x[0] == target]
    scripted.audit.only("name_not_allowed", name=target)


def chain(name, hops):
    names = [name, *(f"hop{i}.evil.example" for i in range(hops))]
    return [record(a, CNAME, wire(b)) for a, b in zip(names, names[1:])] + [record(names[-1], A, b"\x5d\xb8\xd8\x22")]


@row("A9")
@pytest.mark.parametrize("case,works", [("loop", False), ("hops16", True), ("hops17", False), ("dname", False), ("stranger", None)])
def test_chains(scripted, script, family, case, works):
    name = f"{case}v{family}.files.example"
    also = {
        "loop": [record(name, CNAME, wire("b.evil.example")), record("b.evil.example", CNAME, wire(name))],
        "hops16": chain(name, 16),
        "hops17": chain(name, 17),
        "dname": [record("files.example", DNAME, wire("evil.example")), record(name, A, b"\x5d\xb8\xd8\x22")],
        "stranger": [record("b.evil.example", A, b"\6\6\6\6")],
    }[case]
    script.set(name, also=also)
    reply = ask(scripted, name, A, family)
    if works is None:
        assert (reply.rcode, reply.an) == (NOERROR, 0)
    else:
        assert (reply.rcode, reply.an) == ((NOERROR, 1) if works else (SERVFAIL, 0))
    if works is False:
        scripted.audit.only("resolver_unreachable", name=name)
    else:
        scripted.audit.no_refusals(sandbox="vm0")


FORBIDDEN = """127.0.0.1 0.0.0.0 0.1.2.3 169.254.169.254 10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 192.0.0.8 198.18.0.53
    224.0.0.251 240.0.0.1 255.255.255.255 93.184.216.1 10.1.0.1
    ::1 :: fe80::1 fc00::1 fd00:ec2::254 ::ffff:10.0.0.1 ::10.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 2002:a00:1::1
    2001:0:a00:1::1 2606:2800:220:1::1 ff02::1""".split()


@row("A10", families=(4, 6))
@pytest.mark.parametrize("address", FORBIDDEN)
def test_rebinding(scripted, script, address):
    name = f"rebind{FORBIDDEN.index(address)}.files.example"
    script.set(name, address)
    reply = ask(scripted, name, *(AAAA, 6) if ":" in address else (A, 4))
    assert (reply.rcode, reply.an) == (NXDOMAIN, 0)
    scripted.audit.only("rebinding_blocked", name=name)


@row("A10", families=(4,))
def test_one_bad_address_does_not_hide_a_good_one(scripted, script):
    script.set("mixed.files.example", "10.0.0.1", *labworld.WEB)
    assert ask(scripted, "mixed.files.example").an == 1
    scripted.audit.no_refusals(sandbox="vm0")


@row("A10", families=(4,))
def test_private_rule_lifts_private_only(scripted, script):
    script.set("private.corp.example", "10.9.9.9")
    assert ask(scripted, "private.corp.example").an == 1
    assert ask(scripted, "private.corp.example", AAAA).an == 0			# has none: no data
    scripted.audit.no_refusals(sandbox="vm0")


def test_static_hosts_come_first(scripted, script):
    assert ask(scripted, "static.corp.example").an == 1
    assert not [x for x in script.asked if x[0] == "static.corp.example"]


def test_name_with_one_family_has_no_other(scripted, script):
    script.set("only4.files.example", labworld.WEB[0])
    assert ask(scripted, "only4.files.example").an == 1
    reply = ask(scripted, "only4.files.example", AAAA)
    assert (reply.rcode, reply.an, reply.ns) == (NOERROR, 0, 1)


def test_dead_upstream_is_servfail(scripted, script):
    script.answers["dead.files.example"] = lambda kind: None
    assert ask(scripted, "dead.files.example").rcode == SERVFAIL
    scripted.audit.only("resolver_unreachable", name="dead.files.example")


def test_truncated_answer_is_fetched_over_tcp(scripted, script):
    """On TCP the internet's own server answers, so the address can only have come that way."""
    script.answers["b.files.example"] = lambda kind: (0x0200, [])		# TC
    assert ask(scripted, "b.files.example").an == 1
    scripted.audit.no_refusals(sandbox="vm0")


def test_zone_has_its_own_resolver(scripted, script):
    """The longest zone wins; its names are asked nowhere else."""
    scripted.zone.set("a.inner.example", *labworld.WEB)
    assert ask(scripted, "a.inner.example").an == 1
    assert not [x for x in script.asked if x[0] == "a.inner.example"]
    assert len([x for x in scripted.zone.asked if x[0] == "a.inner.example"]) == 2


def test_identical_questions_are_one(scripted, script):
    """Fifty at once: two queries upstream, and fifty answers."""
    name = "many.files.example"
    script.set(name, *labworld.WEB)
    with scripted.sandbox.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for i in range(50):
            s.sendto(query(name, A if i % 2 else AAAA, id=i), ("8.8.8.8", 53))
        replies = [Reply(s.recv(4096)) for _ in range(50)]
    assert {r.id for r in replies} == set(range(50)) and all(r.an == 1 for r in replies)
    assert len([x for x in script.asked if x[0] == name]) == 2


@row("A12", families=(4,))
def test_search_domains(scripted, script):
    """Three search domains and ndots 5, as Kubernetes has it: refusals are answers, granted names work."""
    script.set("search.files.example", *labworld.WEB)
    sandbox = scripted.sandbox
    write(sandbox.resolv, "nameserver 8.8.8.8\nsearch a.test svc.b.test c.test\noptions ndots:5\n")
    try:
        with Capture(scripted.gateway, sandbox.interface) as asked:
            assert sandbox.run(["getent", "ahosts", "refused.evil.example"]).returncode != 0
            questions = [p.payload[8:] for p in asked.packets(dst="8.8.8.8", dport=53)]
        # Four names, two types: a question without an answer would be sent again.
        assert len(questions) == len(set(questions)) == 8
        assert sandbox.run(["getent", "ahosts", "search.files.example"]).stdout
    finally:
        write(sandbox.resolv, "nameserver 8.8.8.8\n")


@row("A12", families=(4,))
def test_forwarder_inside_the_guest(scripted, script):
    """dnsmasq in the guest: granted names work, refusals are cached, nobody is taken for a broken server."""
    script.set("forwarded.files.example", *labworld.WEB)
    sandbox = scripted.sandbox
    sandbox.start(["dnsmasq", "-k", "--no-resolv", "--server=8.8.8.8", "--port=5300", "--user=root", "--pid-file=",
                   "--conf-file=/dev/null"])
    wait_for("dnsmasq in the guest", lambda: sandbox.listening("127.0.0.1", 5300))
    for kind in ("A", "AAAA"):
        assert "ANSWER: 1" in sandbox.dig("forwarded.files.example", kind, "-p", "5300", server="127.0.0.1")
    for _ in range(3):
        assert "NXDOMAIN" in sandbox.dig("forwarded.evil.example", "A", "-p", "5300", server="127.0.0.1")
    events = scripted.audit.wait(name="forwarded.evil.example")
    assert [e.get("count", 1) for e in events] == [1]


@row("A14", families=(4,))
def test_budget_is_per_sandbox(scripted, script):
    other = scripted.sandboxes.get("vm1") or scripted.add_sandbox("vm1")
    script.set("flood.files.example", *labworld.WEB)
    assert ask(scripted, "flood.files.example").an == 1
    begin = time.monotonic()
    with scripted.sandbox.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        for i in range(3000):
            s.sendto(query("flood.files.example", id=i), ("8.8.8.8", 53))
        assert udp_ask(other, 4, "8.8.8.8", query("flood.files.example")).an == 1
        scripted.audit.wait(reason="rate_limited", sandbox="vm0")
        got = len([s.recv(4096) for _ in range(100)])
        s.settimeout(MOMENT)
        with contextlib.suppress(TimeoutError):
            while s.recv(4096):
                got += 1
    assert got <= 200 * (time.monotonic() - begin + 1), "two hundred a second, and as many at once"


@row("B19")
def test_reload_takes_names_away_at_once(labs, family):
    """Cached answers of the old policy are not given under the new one."""
    lab = labs()
    assert lab.sandbox.resolve("pypi.example", family) and lab.sandbox.resolve("a.files.example", family)
    lab.profile("agent", {"network": {"default": "deny", "allow": [{"host": "a.files.example"}]}})
    lab.cordon("reload", check=True)
    server = RESOLVER[family] % 15
    assert udp_ask(lab.sandbox, family, server, query("pypi.example")).rcode == NXDOMAIN
    assert udp_ask(lab.sandbox, family, server, query("a.files.example")).an == 1
    assert udp_ask(lab.sandbox, family, server, query("b.files.example")).rcode == NXDOMAIN


@row("B17")
def test_questions_outlive_a_death_of_netd(labs, family):
    """Those asked from then on wait for the new netd's snapshot and are answered by it."""
    lab = labs()
    assert lab.sandbox.resolve("pypi.example", family)
    lab.audit.mark()
    server, name = RESOLVER[family] % 13, "killed.evil.example"
    told = lab.logs().count("event=netd_lost")		# as it was at the start
    lab.signal("cordon-netd")
    wait_for("the resolver to notice", lambda: lab.logs().count("event=netd_lost") > told)
    replies = [udp_ask(lab.sandbox, family, server, query(n))
               for n in ("a.files.example", "pypi.example", name)]
    assert [(r.rcode, r.an) for r in replies] == [(NOERROR, 1), (NOERROR, 1), (NXDOMAIN, 0)]
    assert not lab.dns.queries(name)
    lab.audit.only("name_not_allowed", name=name)


@row("B17", families=(4,))
def test_question_that_netd_did_not_live_to_hear(labs):
    """Its PIN cannot be sent, and the resolver does not know yet that netd is gone: it waits, too."""
    lab = labs()
    with lab.sandbox.socket(socket.AF_INET, socket.SOCK_DGRAM, timeout=PATIENCE) as s:
        pid, = lab.signal("cordon-dns", signal.SIGSTOP)
        try:
            s.sendto(query("github.com"), ("8.8.8.8", 53))
            wait_for("the question to be there", lambda: waiting(pid))
            old = lab.signal("cordon-netd")
            wait_for("its end", lambda: not set(old) & set(lab.pids("cordon-netd")))
        finally:
            lab.resume(pid)
        reply = Reply(s.recvfrom(4096)[0])
    assert (reply.rcode, reply.an) == (NOERROR, 1)


@row("B17")
def test_a_dead_resolver_answers_nothing_and_returns(labs, family):
    lab = labs()
    lab.signal("cordon-dns")
    reply = wait_for("an answer", lambda: udp_ask(lab.sandbox, family, RESOLVER[family] % 14, query("pypi.example"), 0.2))
    assert reply.rcode == NOERROR and reply.an == 1


def test_a_resolver_that_hangs_up_does_not_end_it(labs):
    """c-ares writes to TCP connections with writev(2), which tells of a closed one by SIGPIPE."""
    lab = labs()
    before = lab.pids("cordon-dns")
    lab.signal("cordon-dns", signal.SIGPIPE)
    assert lab.sandbox.resolve("pypi.example")
    assert lab.pids("cordon-dns") == before


def test_without_netd_it_is_servfail(labs):
    lab = labs()
    pid, = lab.signal("cordon-netd", signal.SIGSTOP)
    try:
        reply = udp_ask(lab.sandbox, 4, "8.8.8.8", query("b.files.example"))
        assert (reply.rcode, reply.an) == (SERVFAIL, 0)
    finally:
        lab.resume(pid)
