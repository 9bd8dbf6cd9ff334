"""Addresses that are granted without a name (cidr), and how flows may begin (B4) on every kind of grant."""

import contextlib
import copy
import json
import socket
import struct

import pytest

import labworld
from conftest import _close
from lab import AGENT, Lab, row
from labclient import refused, udp, works
from labnet import PATIENCE
from labtcp import ACK, SYN, URG, Frames, RawFlow, ip_packet

NETWORK = ("151.101.64.0/25", "2a04:4e42:40::/112")
FIRST = ("151.101.64.0", "2a04:4e42:40::")
INSIDE = ("151.101.64.10", "2a04:4e42:40::10")
LAST = ("151.101.64.127", "2a04:4e42:40::ffff")
NEAR = ("151.101.64.11", "2a04:4e42:40::11")		# nobody listens on these two until a test does
FAR = ("151.101.64.100", "2a04:4e42:40::fff0")
BEFORE = ("151.101.63.255", "2a04:4e42:3f:ffff:ffff:ffff:ffff:ffff")
BEYOND = ("151.101.64.128", "2a04:4e42:40::1:0")
TCP, UDP, CLOSED = 7000, 7001, 7002


def profile(networks=NETWORK):
    """The usual profile, and these ranges."""
    body = copy.deepcopy(AGENT)
    for network in networks:
        body["network"]["allow"] += [{"cidr": network, "ports": [TCP, 9000]},
                                     {"cidr": network, "ports": [UDP], "protocol": "udp"}]
    return body


def furnish(lab):
    """Servers at both ends of the ranges and just outside, on granted ports and on one that is not."""
    addresses = [a for pair in (FIRST, INSIDE, LAST, BEFORE, BEYOND) for a in pair]
    lab.internet.ip(*(f"addr add {a}/{'128 nodad' if ':' in a else '32'} dev in0" for a in addresses))
    for port in (TCP, CLOSED):
        lab.internet.echo(port, addresses=addresses)
    lab.internet.echo(UDP, socket.SOCK_DGRAM, addresses)
    lab.internet.echo(7000)
    return lab


@pytest.fixture(scope="module")
def lab(world):
    with Lab(world, profiles={"agent": profile()}) as lab:
        lab.up()
        lab.add_sandbox()
        yield furnish(lab)
        _close(lab)


@pytest.fixture
def ranged(labs):
    """A lab to be broken, with ranges."""
    return furnish(labs(profiles={"agent": profile()}))


def reload_with(lab, *networks):
    lab.profile("agent", profile(networks))
    lab.cordon("reload", check=True)


# ---- what is granted, and where that ends ----

@pytest.mark.parametrize("where", [FIRST, INSIDE, LAST], ids=["first", "inside", "last"])
def test_range_is_reached(lab, audit, capture, family, where):
    """By address, with nothing looked up; the host's address is what the server sees."""
    address = where[family == 6]
    with lab.sandbox.connect(address, TCP) as tcp, udp(lab.sandbox, address, UDP) as datagrams:
        assert works(tcp) and works(datagrams)
    for port in (TCP, UDP):
        assert capture.wait(dst=address, dport=port).src == labworld.GATEWAY[family == 6]
    audit.no_refusals()


@row("B2")
@pytest.mark.parametrize("where,port", [(INSIDE, CLOSED), (INSIDE, UDP), (INSIDE, 22), (BEFORE, TCP), (BEYOND, TCP)],
                         ids=["port", "protocol", "ssh", "before", "beyond"])
def test_beside_the_range(lab, audit, capture, family, where, port):
    address = where[family == 6]
    assert refused(lab.sandbox.connect, address, port)
    capture.empty(dst=address)
    assert audit.only("address_not_granted", daddr=address, port=port)["rule"] == "default"


@row("B2")
@pytest.mark.parametrize("where,port", [(INSIDE, TCP), (BEFORE, UDP), (BEYOND, UDP)], ids=["protocol", "before", "beyond"])
def test_datagrams_beside_the_range(lab, audit, capture, family, where, port):
    address = where[family == 6]
    with udp(lab.sandbox, address, port) as s:
        s.send(b"leak")
        capture.empty(dst=address)
    audit.only("address_not_granted", daddr=address, port=port)


@row("B2")
def test_resolver_inside_a_range_is_still_ours(lab, audit, capture, family):
    """Port 53 goes to Cordon whatever is granted."""
    assert "10.20" not in lab.sandbox.dig("evil.example", "A", server=INSIDE[family == 6])
    capture.empty(dst=INSIDE[family == 6])
    audit.only("name_not_allowed", name="evil.example")


def fragments(family, source, destination, payload):
    """One datagram in two pieces."""
    whole = struct.pack("!HHHH", 4000, UDP, 8 + len(payload), 0) + payload
    if family == 6:
        return [ip_packet(source, destination, 44, struct.pack("!BBHI", 17, 0, offset | more, 7) + piece)
                for offset, more, piece in ((0, 1, whole[:16]), (16, 0, whole[16:]))]
    pieces = []
    for flags, piece in ((0x2000, whole[:16]), (2, whole[16:])):
        packet = bytearray(ip_packet(source, destination, 17, piece))
        packet[6:8] = struct.pack("!H", flags)
        packet[10:12] = bytes(2)
        total = sum(struct.unpack("!10H", packet[:20]))
        packet[10:12] = struct.pack("!H", ~((total & 0xffff) + (total >> 16)) & 0xffff)
        pieces.append(bytes(packet))
    return pieces


@row("B3")
def test_fragments_to_a_range(lab, audit, capture, family):
    address = INSIDE[family == 6]
    with Frames(lab.sandbox) as frames:
        for piece in fragments(family, lab.sandbox.address[family == 6], address, b"in two pieces, to the end"):
            frames.send(piece)
    audit.wait(reason="fragment_not_allowed", daddr=address)
    assert {key[4] for key in audit.keys()} == {"fragment_not_allowed"}
    capture.empty(dst=address)


@row("B5")
def test_host_that_moves_into_a_range(ranged, family):
    """An address that the host gets later is the host's, whatever was granted before."""
    address = INSIDE[family == 6]
    lab = ranged
    lab.internet.ip(f"addr del {address}/{128 if family == 6 else 32} dev in0")
    lab.gateway.ip(f"addr add {address}/{'128 nodad' if family == 6 else '32'} dev up0")
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    with lab.gateway.socket(kind, socket.SOCK_STREAM, timeout=0) as listener:
        listener.bind((address, TCP))
        listener.listen()
        lab.audit.mark()
        assert refused(lab.sandbox.connect, address, TCP)
        with pytest.raises(BlockingIOError):
            listener.accept()
    lab.audit.only("host_access", daddr=address, port=TCP)
    with lab.sandbox.connect(LAST[family == 6], TCP) as neighbour:
        assert works(neighbour)

    done = lab.cordon("reload")
    assert done.returncode == 2 and f"contains {address}/" in done.stderr and "an address of this host" in done.stderr
    lab.audit.mark()
    lab.signal("cordon-dns")		# a part that starts now takes what is in force
    lab.audit.wait(event="daemon", src="dns", what="start")
    assert lab.sandbox.fetches("https://pypi.example/", family=family)


# ---- how a flow may begin ----

def option(kind, *body):
    return bytes([kind, 2 + len(body), *body])


def proxied(lab, family):
    return lab.sandbox.resolve("github.com", family), 443


def inspected(lab, family):
    return lab.sandbox.resolve("pypi.example", family), 443


def named(lab, family):
    return lab.sandbox.resolve("tcp.example", family), 7000


def ranges(lab, family):
    return INSIDE[family == 6], TCP


GRANTS = {"range": (ranges, INSIDE), "tcp": (named, labworld.SERVICES), "tls": (inspected, labworld.WEB),
          "proxied": (proxied, labworld.GITHUB)}

LIES = {
    "payload": dict(flags=SYN, data=b"early"),
    "one-byte": dict(flags=SYN, data=b"!"),
    "payload-after-options": dict(flags=SYN, data=b"early", options=option(2, 5, 180)),
    "urgent": dict(flags=SYN | URG),
    "fast-open-request": dict(flags=SYN, options=option(34)),
    "fast-open-cookie": dict(flags=SYN, options=option(34, *range(8)), data=b"early"),
    "fast-open-experimental": dict(flags=SYN, options=option(254, 0xf9, 0x89, *range(4))),
    "md5": dict(flags=SYN, options=option(19, *range(16))),
    "ao": dict(flags=SYN, options=option(29, 1, 1, *range(12))),
}


@row("B4")
@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.parametrize("lie", LIES)
def test_syn_that_brings_more(lab, audit, capture, family, grant, lie):
    """Neither data nor what makes a server see another stream than we do, on any kind of grant."""
    find, real = GRANTS[grant]
    address, port = find(lab, family)
    capture.clear()
    with RawFlow(lab.sandbox, address, port) as flow:
        flow.send(seq=0, **LIES[lie])
        audit.only("state_invalid", daddr=address, port=port)
        with pytest.raises(AssertionError):
            flow.wait("answer", lambda s: True, timeout=0.05)
        capture.empty(dst=real[family == 6])


ECN = 0xc0
HONEST = {
    "bare": dict(flags=SYN),
    "mss": dict(flags=SYN, options=option(2, 5, 180)),
    "usual": dict(flags=SYN, options=option(2, 5, 180) + option(4) + option(8, 0, 0, 0, 1, 0, 0, 0, 0) + b"\1" + option(3, 7)),
    "ecn": dict(flags=SYN | ECN, options=option(2, 5, 180)),
    "mptcp": dict(flags=SYN, options=option(2, 5, 180) + option(4) + option(8, 0, 0, 0, 1, 0, 0, 0, 0) + b"\1"
                  + option(3, 7) + option(30, 1, 1)),
    "forty": dict(flags=SYN, options=option(2, 5, 180) + b"\1" * 36),
}


@row("B4")
@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.parametrize("client", HONEST)
def test_honest_syn(lab, audit, family, grant, client):
    address, port = GRANTS[grant][0](lab, family)
    with RawFlow(lab.sandbox, address, port) as flow:
        flow.send(seq=0, **HONEST[client])
        flow.wait("SYN-ACK", lambda s: s.flags & (SYN | ACK) == SYN | ACK and s.ack == 1)
        flow.send(ACK, 1)
    audit.no_refusals(src="netd")


# ---- what is taken away ----

FROM_GUEST, FROM_SERVER = b"a letter out", b"a letter in"


class Flows:
    """A TCP and a UDP flow to one address, both ends in the test's hands."""

    def __init__(self, lab, address):
        self._audit, self._address = lab.audit, address
        lab.internet.ip(f"addr add {address}/{'128 nodad' if ':' in address else '32'} dev in0")
        self._stack = contextlib.ExitStack()
        keep = self._stack.enter_context
        family = 6 if ":" in address else 4
        listener = keep(lab.internet.listen(address, 9000))
        self.guest_tcp = keep(lab.sandbox.connect(address, 9000))
        self.server_tcp = keep(contextlib.closing(listener.accept()[0]))
        self.server_udp = keep(lab.internet.socket(*labworld.socket_kind(family, "udp")))
        self.server_udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.server_udp.bind((address, UDP))
        self.guest_udp = keep(udp(lab.sandbox, address, UDP))
        self.guest_udp.send(b"hello")
        self.server_udp.connect(self.server_udp.recvfrom(100)[1])
        self.ends = ((self.guest_tcp, self.server_tcp), (self.guest_udp, self.server_udp))
        for end in (self.guest_tcp, self.server_tcp):
            end.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def alive(self):
        """Every direction carries data."""
        for guest, server in self.ends:
            for a, b in ((guest, server), (server, guest)):
                a.send(b"still there")
                assert b.recv(100) == b"still there"

    def dead(self, capture):
        """To the host the server's packets belong to nobody now, and it says so at once."""
        for guest, server in self.ends:
            server.send(FROM_SERVER)
            with pytest.raises((ConnectionResetError, ConnectionRefusedError)):
                server.recv(100)
            guest.settimeout(0)
            with pytest.raises(BlockingIOError):
                guest.recv(100)
            guest.send(FROM_GUEST)
        self._audit.wait(reason="state_invalid", daddr=self._address, port=9000, rule="default")
        self._audit.wait(reason="address_not_granted", daddr=self._address, port=UDP, rule="default")
        capture.empty(contains=FROM_GUEST)


@row("B19", "B20")
def test_reload_that_removes_a_range(ranged, family):
    lab, address = ranged, INSIDE[family == 6]
    with Flows(lab, FAR[family == 6]) as flows, lab.capture() as capture:
        flows.alive()
        reload_with(lab, NETWORK[family == 4])		# the other family's stays
        flows.dead(capture)
        assert refused(lab.sandbox.connect, address, TCP)
        capture.empty(dst=address)
    lab.audit.wait_one(reason="address_not_granted", daddr=address, port=TCP)
    with lab.sandbox.connect(INSIDE[family == 4], TCP) as s:
        assert works(s)


@row("B19")
def test_range_that_shrinks_and_grows(ranged, family):
    """Flows of what stays granted go on; the kernel takes ranges that overlap those they replace."""
    lab = ranged
    smaller = ("151.101.64.0/26", "2a04:4e42:40::/120")
    wider = ("151.101.64.0/23", "2a04:4e42:40::/96")
    with Flows(lab, NEAR[family == 6]) as kept, Flows(lab, FAR[family == 6]) as lost, lab.capture() as capture:
        reload_with(lab, *smaller)
        kept.alive()
        lost.dead(capture)
        reload_with(lab, *wider)
        kept.alive()
        with lab.sandbox.connect(BEYOND[family == 6], TCP) as s:
            assert works(s)
        reload_with(lab, *wider, *smaller, *NETWORK)		# swallowed
        kept.alive()


@row("B17", "B20")
def test_range_that_went_while_netd_was_away(ranged, family):
    """What the kernel still has is compared with the policy before anything is served."""
    lab = ranged
    with Flows(lab, NEAR[family == 6]) as flows, lab.capture() as capture:
        lab.profile("agent", profile((NETWORK[family == 4],)))
        flows.alive()
        lab.audit.mark()
        lab.signal("cordon-netd")
        lab.audit.wait(event="daemon", src="netd", what="start")
        flows.dead(capture)
    with lab.sandbox.connect(INSIDE[family == 4], TCP) as s:
        assert works(s)


@row("B18")
def test_flushed_ruleset_gets_its_ranges_back(ranged, family):
    lab = ranged
    lab.audit.mark()
    lab.gateway.run(["nft", "flush", "ruleset"], check=True)
    lab.audit.wait(event="ruleset")
    with lab.sandbox.connect(INSIDE[family == 6], TCP) as s:
        assert works(s)
    assert refused(lab.sandbox.connect, BEYOND[family == 6], TCP)


def test_range_of_another_profile(ranged, family):
    """The default profile has none."""
    other = ranged.add_sandbox("vm1", "default")
    address = INSIDE[family == 6]
    with ranged.capture() as capture:
        assert refused(other.connect, address, TCP)
        capture.empty(dst=address)
    ranged.audit.only("address_not_granted", sandbox="vm1", daddr=address, port=TCP)


@pytest.mark.parametrize("what,reason,text", [
    (f"{INSIDE[0]}:{TCP}", "", f"rule: network.allow: {NETWORK[0]}\n"),
    (f"tcp://[{INSIDE[1]}]:9000", "", f"rule: network.allow: {NETWORK[1]}\n"),
    (f"udp://{LAST[0]}:{UDP}", "", f"rule: network.allow: {NETWORK[0]}\n"),
    (f"{BEYOND[0]}:{TCP}", "address_not_granted", f'{{cidr: "{BEYOND[0]}/32", ports: [{TCP}], protocol: tcp}}'),
    (f"udp://[{INSIDE[1]}]:{TCP}", "address_not_granted", f'{{cidr: "{INSIDE[1]}/128", ports: [{TCP}], protocol: udp}}'),
    ("8.8.8.8:53", "", "answered by Cordon's resolver"),
    ("udp://pypi.example:443", "quic_not_allowed", "fall back to TCP"),
    ("127.0.0.2:80", "address_not_granted", "no row can grant it (loopback)"),
    (f"{labworld.GATEWAY[0]}:22", "address_not_granted", "no row can grant it (an address of this host)"),
    ("pypi.example", "", "TLS server name"),
    ("tcp.example:5432", "", "unread"),
    ("tcp.example:22", "port_not_granted", "ports: [22]"),
    ("https://evil.example/x", "name_not_allowed", "host: evil.example, ports: [443], protocol: tls"),
    ("denied.files.example", "name_denied", "rule: network.deny: denied.files.example"),
    ("git clone https://github.com/acme/widgets.git", "", "rule: git.allowed_repos: acme/widgets"),
    ("git clone https://github.com/acme/payroll", "repository_not_allowed", "acme/payroll in git.allowed_repos"),
    ("git push https://github.com/acme/widgets main", "push_not_allowed", "acme/widgets in git.push.allowed_repos"),
    ("git push https://github.com/acme/gadgets main", "repository_not_allowed", "acme/gadgets in git.allowed_repos"),
])
def test_explain(lab, what, reason, text):
    done = lab.cordon("explain", "--profile", "agent", *what.split())
    assert done.returncode == (1 if reason else 0) and not done.stderr, done
    assert (f"refused, {reason}\n" if reason else "with profile agent: allowed\n") in done.stdout and text in done.stdout


@pytest.mark.parametrize("what", ["", ":", "10.20.3.4:0", "10.20.3.4:65536", "10.20.3.4:x", "a b", "[::1", "tcp://a.example",
                                  "0x7f.1:80", "git clone", "x" * 600])
def test_explain_of_no_destination(lab, what):
    done = lab.cordon("explain", what)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout, done


def test_explain_in_json(lab):
    done = lab.cordon("explain", "--json", "--profile", "agent", f"{BEYOND[0]}:{TCP}")
    row = json.loads(done.stdout)
    assert (row["decision"], row["reason"], row["rule"]) == ("deny", "address_not_granted", "default")


def test_check_shows_ranges(lab):
    done = lab.cordon("check", check=True)
    for network in NETWORK:
        assert f'- {{cidr: "{network}", ports: [{TCP}, 9000], protocol: tcp}}' in done.stdout
        assert f'- {{cidr: "{network}", ports: [{UDP}], protocol: udp}}' in done.stdout
