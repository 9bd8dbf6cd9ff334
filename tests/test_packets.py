"""Packets that nothing grants: literals, ports, protocols (B2), the host and its surroundings (B5)."""

import socket
import struct

import pytest

import labworld
from lab import row
from labclient import raw, refused, udp
from labtcp import Frames, checksum, ip_packet

CLOSED_PORTS = (1, 22, 25, 80, 444, 5432, 8080, 8443, 65535)
PROTOCOLS = {"sctp": 132, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "ipip": 4, "ip6ip": 41, "udplite": 136, "test": 253}
# Connection tracking knows SCTP, DCCP and UDP-Lite and calls a packet out of the blue invalid first.
PROTOCOL_REASONS = {"protocol_not_allowed", "state_invalid"}
MULTICAST = {4: ("224.0.0.251", "239.255.255.250"), 6: ("ff02::fb", "ff05::c")}
METADATA = {4: "169.254.169.254", 6: "fd00:ec2::254"}


def echo_request(family, payload):
    head = struct.pack("!BBHHH", 128 if family == 6 else 8, 0, 0, 7, 1)
    total = sum(struct.unpack(f"!{(len(head + payload)) // 2}H", head + payload))
    total = (total & 0xffff) + (total >> 16)
    return head[:2] + struct.pack("!H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + head[4:] + payload


@row("B2")
@pytest.mark.parametrize("port", [443, 80, 22])
def test_literal_of_a_granted_server(lab, audit, capture, family, port):
    """That the name is granted does not open the address behind it."""
    address = labworld.WEB[family == 6]
    lab.sandbox.resolve("pypi.example", family)
    capture.clear()
    assert refused(lab.sandbox.connect, address, port)
    capture.empty(dst=address)
    event = audit.only("address_not_granted", daddr=address, port=port)
    assert event["sandbox"] == "vm0" and event["src"] == "netd" and event["rule"]


@row("B2")
def test_udp_to_a_literal(lab, audit, capture, family):
    address = labworld.SERVICES[family == 6]
    with udp(lab.sandbox, address, 7000) as s:
        s.send(b"leak")
        capture.empty(dst=address)
    audit.only("address_not_granted", daddr=address, port=7000)


@row("B2")
@pytest.mark.parametrize("port", CLOSED_PORTS)
def test_port_that_is_not_granted(lab, audit, capture, family, port):
    address = lab.sandbox.resolve("pypi.example", family)
    capture.clear()
    assert refused(lab.sandbox.connect, address, port)
    capture.empty(dst=labworld.WEB[family == 6])
    audit.only("port_not_granted", port=port)


@row("B2", "B14")
def test_quic_is_rejected(lab, audit, capture, family):
    with udp(lab.sandbox, lab.sandbox.resolve("pypi.example", family), 443) as s:
        s.send(b"\xc0" + bytes(1199))
        with pytest.raises(OSError):
            s.recv(10)
        capture.empty(dst=labworld.WEB[family == 6])
    audit.only("quic_not_allowed", port=443)


@row("B2")
@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("real", [True, False], ids=["literal", "granted-name"])
def test_protocol(lab, audit, capture, family, name, real):
    """Neither to a literal nor to the address of a granted name."""
    address = labworld.WEB[family == 6] if real else lab.sandbox.resolve("pypi.example", family)
    raw(lab.sandbox, family, PROTOCOLS[name], address, struct.pack("!HH", 7000, 443) + bytes(60))
    capture.empty(proto=PROTOCOLS[name])
    capture.empty(dst=labworld.WEB[family == 6], contains=bytes(60))
    audit.wait_one(decision="deny", reason=PROTOCOL_REASONS, daddr=address)


@row("B2")
@pytest.mark.parametrize("real", [True, False], ids=["literal", "granted-name"])
def test_icmp_with_payload(lab, audit, capture, family, real):
    address = labworld.WEB[family == 6] if real else lab.sandbox.resolve("pypi.example", family)
    secret = b"exfiltrated over icmp!"
    raw(lab.sandbox, family, 58 if family == 6 else 1, address, echo_request(family, secret))
    capture.empty(contains=secret)
    audit.only("protocol_not_allowed", daddr=address)


@pytest.fixture
def host_ports(lab):
    """Things that a host has listening on every address: a TCP and a UDP port."""
    made = []
    for kind, port in ((socket.SOCK_STREAM, 22), (socket.SOCK_DGRAM, 5353)):
        s = lab.gateway.socket(socket.AF_INET6, kind, timeout=0)
        made.append(s)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", port))
    made[0].listen()
    yield made
    for s in made:
        s.close()


def heard_nothing(host_ports):
    tcp, datagrams = host_ports
    with pytest.raises(BlockingIOError):
        tcp.accept()
    with pytest.raises(BlockingIOError):
        datagrams.recv(100)


@row("B5")
@pytest.mark.parametrize("which", ["gateway", "uplink"])
def test_host_ports(lab, audit, host_ports, family, which):
    """Every address of the host, its own side of the link first."""
    address = (lab.sandbox.gateway if which == "gateway" else labworld.GATEWAY)[family == 6]
    assert refused(lab.sandbox.connect, address, 22)
    with udp(lab.sandbox, address, 5353) as s:
        s.send(b"leak")
    heard_nothing(host_ports)
    audit.wait(reason="host_access", daddr=address, port=22)
    audit.wait(reason="host_access", daddr=address, port=5353)
    assert {key[4] for key in audit.keys()} == {"host_access"}


@row("B5")
def test_every_host_port_is_closed(lab, audit, host_ports, family):
    """A scan of the gateway finds nothing that answers."""
    address = lab.sandbox.gateway[family == 6]
    for port in (1, 21, 22, 23, 80, 111, 443, 631, 3128, 5432, 8080, 8443, 9747, 17220, 65535):
        assert refused(lab.sandbox.connect, address, port), port
    audit.wait(reason="host_access")


@row("B5")
def test_proxy_and_resolver_are_not_addressed_directly(lab, audit, family):
    """The services' own addresses answer only what is steered to them."""
    for index, port in ((80, 8443), (53, 8443), (1, 8443), (80, 443)):
        address = f"fd63:6f72:646f::{index:x}" if family == 6 else f"198.18.0.{index}"
        assert refused(lab.sandbox.connect, address, port), address
        audit.wait(reason={"address_not_granted", "port_not_granted", "host_access"}, daddr=address, port=port)


@row("B5")
def test_multicast_and_broadcast(lab, capture, host_ports, family):
    targets = [*MULTICAST[family], *(["255.255.255.255", "10.1.0.255"] if family == 4 else [])]
    for address in targets:
        with lab.sandbox.socket(*labworld.socket_kind(family, "udp")) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            scope = (address, 5353, 0, socket_scope(lab)) if family == 6 else (address, 5353)
            if family == 4:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            s.sendto(b"who is there", scope)
    heard_nothing(host_ports)
    capture.empty(contains=b"who is there")


def socket_scope(lab):
    with lab.sandbox.entered():
        return socket.if_nametoindex("eth0")


@row("B5")
def test_metadata_service(lab, audit, capture, family):
    address = METADATA[family]
    assert refused(lab.sandbox.connect, address, 80)
    capture.empty(dst=address)
    audit.only(reason="address_not_granted", daddr=address, port=80)


@row("B5")
def test_other_sandbox(labs, family):
    """Two sandboxes of the same profile, each with an open port, do not see each other."""
    lab = labs()
    other = lab.add_sandbox("vm1")
    address = other.address[family == 6]
    with other.socket(*labworld.socket_kind(family, "tcp"), timeout=0) as listener:
        listener.bind((address, 7777))
        listener.listen()
        lab.audit.mark()
        assert refused(lab.sandbox.connect, address, 7777)
        with pytest.raises(BlockingIOError):
            listener.accept()
    lab.audit.only("peer_sandbox", sandbox="vm0", daddr=address, port=7777)


MARK = b"a letter to an accomplice"
ACCOMPLICE = labworld.SERVICES


def icmp6(source, destination, kind, body):
    """An ICMPv6 message with its checksum."""
    message = struct.pack("!BBH", kind, 0, 0) + body
    pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
    pseudo += struct.pack("!II", len(message), socket.IPPROTO_ICMPV6)
    return message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]


def solicitation(mac, source, target, destination=None, extra=b""):
    """A neighbour solicitation with the source's link-layer address."""
    destination = destination or target
    body = bytes(4) + socket.inet_pton(socket.AF_INET6, target) + b"\1\1" + mac + extra
    return ip_packet(source, destination, socket.IPPROTO_ICMPV6, icmp6(source, destination, 135, body), hops=255)


@row("B6", families=(6,))
def test_solicitations_do_not_fill_the_neighbour_table(own_lab):
    """Each of a thousand invented neighbours would be an entry in a table that the whole host shares."""
    lab = own_lab
    guest = lab.sandbox
    mac = bytes.fromhex(guest.mac.replace(":", ""))
    with Frames(guest) as frames:
        for n in range(1000):
            frames.send(solicitation(mac, f"fe80::bad:{n:x}", guest.gateway[1]))
    entries = lab.gateway.run(["ip", "-6", "neigh", "show", "dev", guest.interface]).stdout.splitlines()
    invented = [e for e in entries if "bad:" in e]
    assert invented, "the solicitations were not understood: this test shows nothing"
    assert len(invented) < 100
    assert guest.fetches("https://pypi.example/", family=6)


@row("B3", "B6", families=(6,))
@pytest.mark.parametrize("to", [labworld.WEB[1], "2001:db8:ffff::1", "gateway", "ff02::1"])
def test_host_carries_no_letter_in_a_discovery_error(lab, audit, capture, to):
    """A solicitation that the host answers with an error would go, quoted, to the source it claims."""
    to = lab.sandbox.gateway[1] if to == "gateway" else to
    mac = bytes.fromhex(lab.sandbox.mac.replace(":", ""))
    with Frames(lab.sandbox) as frames:
        frames.send(solicitation(mac, ACCOMPLICE[1], lab.sandbox.gateway[1], destination=to, extra=MARK))
    audit.only("source_spoofed", saddr=ACCOMPLICE[1])
    capture.empty(contains=MARK)


def fragment4(source, destination, flags):
    packet = bytearray(ip_packet(source, destination, socket.IPPROTO_UDP, bytes(24)))
    packet[6:8], packet[10:12] = struct.pack("!H", flags), bytes(2)
    packet[10:12] = struct.pack("!H", checksum(bytes(packet[:20])))
    return bytes(packet)


def fragment6(source, destination, behind_options, hops):
    piece = struct.pack("!BBHI", socket.IPPROTO_UDP, 0, 1, 7) + bytes(24)
    if behind_options:
        return ip_packet(source, destination, socket.IPPROTO_HOPOPTS, b"\x2c\0\1\4" + bytes(4) + piece, hops)
    return ip_packet(source, destination, socket.IPPROTO_FRAGMENT, piece, hops)


# Flag "more" or an offset, also beside the flag that forbids fragments, and the one that means nothing.
FRAGMENTS = {4: [(0x2000,), (0x6000,), (0x4002,), (0x8001,)], 6: [(False, 64), (False, 0), (True, 64), (True, 0)]}


@row("B3")
@pytest.mark.parametrize("n", range(4))
def test_fragment(lab, audit, capture, family, n):
    """However its header is filled in beside: dropped before anything waits for the rest of it."""
    address = f"2001:db8:ffff::{n + 1}" if family == 6 else f"198.51.100.{n + 1}"
    make = fragment6 if family == 6 else fragment4
    with Frames(lab.sandbox) as frames:
        frames.send(make(lab.sandbox.address[family == 6], address, *FRAGMENTS[family][n]))
    assert audit.wait(reason="fragment_not_allowed", daddr=address)
    assert {key[4] for key in audit.keys()} == {"fragment_not_allowed"}
    capture.empty(dst=address)


@row("B3", families=(6,))
@pytest.mark.parametrize("option", [0xbe, 0xfe, 0xc2])
def test_host_carries_no_letter_in_an_option_error(lab, capture, option):
    """The kernel answers a bad hop-by-hop option before any hook; the answer quotes the packet."""
    options = bytes([socket.IPPROTO_UDP, 0, option, 4, 1, 2, 3, 4]) + bytes(8) + MARK
    with Frames(lab.sandbox) as frames:
        for n in range(5):
            frames.send(ip_packet(ACCOMPLICE[1], labworld.WEB[1], socket.IPPROTO_HOPOPTS, options))
    capture.empty(contains=MARK)


@row("B3", families=(6,))
@pytest.mark.parametrize("option", [0xbe, 0xfe, 0xc2])
def test_option_error_goes_by_no_other_interface_either(own_lab, option):
    """Cordon polices neither that network nor the way there, which the host may have for itself."""
    lab = own_lab
    options = bytes([socket.IPPROTO_UDP, 0, option, 4, 1, 2, 3, 4]) + bytes(8) + MARK
    lab.gateway.ip("link add side0 type veth peer name side1", "link set side1 up",
                   "addr add 2a00:77::1/64 dev side0 nodad", "link set side0 up",
                   "neigh add 2a00:77::2 lladdr 02:00:00:00:00:02 dev side0")
    with lab.gateway.socket(socket.AF_PACKET, socket.SOCK_RAW, 0, timeout=1) as watch, Frames(lab.sandbox) as frames:
        watch.bind(("side1", Frames.ALL))
        for n in range(5):
            frames.send(ip_packet("2a00:77::2", lab.sandbox.gateway[1], socket.IPPROTO_HOPOPTS, options))
        with pytest.raises(TimeoutError):
            while MARK not in watch.recv(65536):
                pass


@row("B16")
def test_flood_of_flows_is_limited_before_what_is_shared(own_lab, family):
    """A sandbox cannot take every port that masquerading has for a destination: another's flow still opens."""
    lab = own_lab
    other = lab.add_sandbox("vm1")
    name = "udp.example"
    flooded = (lab.sandbox.resolve(name, family), 7000)
    packet = ip_packet(lab.sandbox.address[family == 6], flooded[0], socket.IPPROTO_UDP, bytes(9))
    head = len(packet) - 9
    with Frames(lab.sandbox) as frames:
        for port in range(1024, 65535):
            datagram = struct.pack("!HHHH", port, flooded[1], 9, 0) + b"x"
            frames.send(packet[:head] + datagram)
    lab.audit.wait(decision="deny", reason={"rate_limited", "too_many_connections"}, sandbox="vm0")
    sink = lab.internet.listen(labworld.SERVICES[family == 6], 7000, socket.SOCK_DGRAM)
    with sink, udp(other, other.resolve(name, family), 7000) as s:
        s.send(b"other")
        while sink.recv(100) != b"other":
            pass


@row("B1")
def test_flood_of_spoofed_packets_silences_nobody_else(own_lab, family):
    lab = own_lab
    other = lab.add_sandbox("vm1")
    false = labworld.SERVICES[family == 6]
    packet = ip_packet(false, labworld.WEB[family == 6], socket.IPPROTO_UDP, struct.pack("!HHHH", 1, 2, 8, 0))
    with Frames(lab.sandbox) as flood, Frames(other) as once:
        for n in range(3000):
            flood.send(packet)
        once.send(packet)
    lab.audit.wait_one(decision="deny", reason="source_spoofed", sandbox="vm1")
