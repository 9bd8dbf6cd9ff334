"""A guest says where the kernel is to write the checksum of its packet (B8). Anywhere but in the packet's own checksum,
two bytes of the packet would change after it was granted."""

import array
import contextlib
import fcntl
import itertools
import socket
import struct
import threading

import pytest

import labworld
from lab import BUILD, Lab, row
from labclient import udp
from labhello import hello, server_hello, sni
from labtcp import ACK, Frames, RawFlow, checksum, ip_packet

TCP_AT, UDP_AT = 16, 6				# the checksum, from the transport header
PORT = 7000
TLS = "ssh.example"
FILL = b"never to leave this way." * 8
PROFILE = {
    "network": {"default": "deny", "allow": [
        {"host": "tcp.example", "ports": [PORT], "protocol": "tcp"},
        {"host": "udp.example", "ports": [PORT], "protocol": "udp"},
        {"host": TLS},
    ]},
    "git": {"enabled": True, "source": "upstream", "allowed_hosts": ["github.com"], "allowed_repos": ["acme/widgets"]},
}
_names = itertools.count(1)

# Of a packet whose transport header is `at` bytes from its start: (where the sum begins, how far behind that it is
# written).
PLACES = {
    "destination port": lambda n, at: (at, 2),
    "destination address": lambda n, at: (at - 4, 0),
    "protocol": lambda n, at: (6, 0 if at == 40 else 2),
    "ethernet header": lambda n, at: (-14, 0),		# newer kernels take no such thing from a driver
    "payload": lambda n, at: (at, n - at - 100),
    "last bytes": lambda n, at: (at, n - at - 2),
    "beside the checksum": lambda n, at: (at + 2, TCP_AT - 2),
    "another protocol's checksum": lambda n, at: (at, UDP_AT if n - at == 20 + len(FILL) else TCP_AT),
}


def transmits_checksums(space, interface, on):
    """As `ethtool -K INTERFACE tx on|off`. Off: the kernel writes them itself, as towards most cards it would not."""
    SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
    value = array.array("I", [ETHTOOL_STXCSUM, on])
    with space.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), value.buffer_info()[0]))


def serve_tls(listener):
    """As far as the inspector looks: an answer to each hello; what follows is kept unread."""
    def answer(s):
        with contextlib.suppress(OSError):
            s.recv(65536)
            s.sendall(server_hello())

    listener.settimeout(None)
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        while True:		# one that says nothing keeps no other waiting
            s = stack.enter_context(listener.accept()[0])
            threading.Thread(target=answer, args=(s,), daemon=True).start()


@pytest.fixture(scope="module")
def offload_lab(world):
    """A lab whose gateway writes what checksums guests leave to it: a veth would pass the request on."""
    with Lab(world, profiles={"agent": PROFILE}) as lab:
        lab.up()
        lab.add_sandbox()
        transmits_checksums(lab.gateway, "up0", False)
        lab.internet.echo(PORT)
        lab.internet.echo(PORT, socket.SOCK_DGRAM)
        for address in labworld.SERVICES:
            threading.Thread(target=serve_tls, args=(lab.internet.listen(address, 443),), daemon=True).start()
        yield lab


@pytest.fixture
def here(offload_lab):
    """That lab, with keys of the test's own."""
    offload_lab.renew(f"-{next(_names)}")
    return offload_lab


class Stream:
    """A TCP flow by hand."""
    proto, port = socket.IPPROTO_TCP, PORT

    def __init__(self, lab, family, name="tcp.example", port=PORT):
        self.lab, self.port = lab, port
        self.address = lab.sandbox.resolve(name, family)
        self._flow = RawFlow(lab.sandbox, self.address, port)
        self._sent = 1

    def __enter__(self):
        self._flow.__enter__().open()
        return self

    def __exit__(self, *error):
        self._flow.__exit__(*error)

    def say(self, data):
        """Bytes in the ordinary way; the server has them."""
        self._flow.send(ACK, self._sent, data)
        self._sent += len(data)
        self._flow.acked(self._sent - 1)

    def packet(self):
        return ip_packet(self._flow.source, self.address, self.proto, self._flow.segment(ACK, self._sent, FILL))

    def answered(self):
        self._flow.acked(self._sent - 1 + len(FILL))


class Long(Stream):
    """What a driver leaves to the kernel to cut."""
    DATA = bytes(range(256)) * 12

    def packet(self):
        return ip_packet(self._flow.source, self.address, self.proto, self._flow.segment(ACK, self._sent, self.DATA))

    def answered(self):
        self._flow.acked(self._sent - 1 + len(self.DATA))


class Decided(Stream):
    """A TLS flow that the inspector has let go."""

    def __init__(self, lab, family):
        super().__init__(lab, family, TLS, 443)

    def __enter__(self):
        super().__enter__()
        self.say(hello(sni(TLS.encode())))
        self.lab.audit.wait(event="flow", decision="allow", name=TLS)
        return self


class Undecided(Stream):
    """One that it has heard half of."""

    def __init__(self, lab, family):
        super().__init__(lab, family, TLS, 443)

    def __enter__(self):
        super().__enter__()
        self.say(hello(sni(TLS.encode()))[:20])
        return self


class Proxied(Stream):
    def __init__(self, lab, family):
        super().__init__(lab, family, "github.com", 443)


class Datagram:
    proto, port = socket.IPPROTO_UDP, PORT

    def __init__(self, lab, family):
        self._space = lab.sandbox
        self.address = lab.sandbox.resolve("udp.example", family)
        self._socket = udp(lab.sandbox, self.address, PORT)
        self._source = self._socket.getsockname()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def packet(self):
        datagram = struct.pack("!HHHH", self._source[1], PORT, 8 + len(FILL), 0) + FILL
        return ip_packet(self._source[0], self.address, self.proto, datagram)

    def answered(self):
        assert self._socket.recv(65536) == FILL


FLOWS = {"forwarded": Stream, "datagram": Datagram, "decided": Decided, "undecided": Undecided, "proxied": Proxied}


def transport(packet):
    return 40 if packet[0] >> 4 == 6 else 20


def with_pseudo_sum(packet, proto):
    """As a driver gets it: in the checksum's place the sum of addresses, protocol and length."""
    at, where = transport(packet), TCP_AT if proto == socket.IPPROTO_TCP else UDP_AT
    addresses = packet[8:40] if at == 40 else packet[12:20]
    total = 0xffff ^ checksum(addresses + struct.pack("!II", len(packet) - at, proto))
    return packet[:at + where] + struct.pack("!H", total) + packet[at + where + 2:]


@row("B8")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("flow", FLOWS)
def test_checksum_anywhere_else(here, family, flow, place):
    with FLOWS[flow](here, family) as flow, here.capture() as capture, Frames(here.sandbox, offload=True) as frames:
        packet = flow.packet()
        try:
            frames.send(packet, PLACES[place](len(packet), transport(packet)))
        except OSError:
            assert place == "ethernet header"
            return
        here.audit.only("state_invalid", daddr=flow.address, port=flow.port)
        capture.empty(contains=FILL[24:48])


@row("B8")
@pytest.mark.parametrize("flow", ["forwarded", "datagram", "decided"])
def test_checksum_in_its_place(here, family, flow):
    """Which is what every guest's driver asks for."""
    with FLOWS[flow](here, family) as flow, here.capture() as capture, Frames(here.sandbox, offload=True) as frames:
        packet = with_pseudo_sum(flow.packet(), flow.proto)
        frames.send(packet, (transport(packet), TCP_AT if flow.proto == socket.IPPROTO_TCP else UDP_AT))
        flow.answered()
        capture.wait(contains=FILL, dst=labworld.SERVICES[family == 6])
        here.audit.no_refusals()


@row("B8")
def test_bulk_of_an_honest_guest(here, family):
    """Its kernel leaves checksums and segmentation to the host; nothing of it is refused."""
    data = bytes(range(256)) * 4096
    transmits_checksums(here.sandbox, "eth0", True)
    with here.sandbox.connect(here.sandbox.resolve("tcp.example", family), PORT) as s, here.capture() as capture:
        threading.Thread(target=s.sendall, args=(data,), daemon=True).start()
        got = b""
        while len(got) < len(data):
            got += s.recv(1 << 20)
        assert got == data
        assert capture.packets(dst=labworld.SERVICES[family == 6])
    here.audit.no_refusals()


def start(lab, *around):
    """`cordon firewall start`, perhaps by way of another program."""
    return lab.gateway.run([*around, f"{BUILD}/cordon", "firewall", "start", "--config", lab.config_file])


def chain(lab):
    return lab.gateway.run(["nft", "list", "chain", "inet", "cordon", "check_offload"], check=True).stdout


def seen_again(lab):
    """Loading the ruleset with everything at hand puts the rule there, once."""
    for _ in range(2):
        seeing = start(lab)
        assert seeing.returncode == 0 and "offload" not in seeing.stderr, seeing
        assert chain(lab).count("bpf goto drop_invalid") == 1


def test_kernel_that_cannot_look(labs):
    """It is told so, and as safe as its guests' drivers are honest."""
    lab = labs(up=False)
    blind = start(lab, "unshare", "-m", "sh", "-ec", "mount -t tmpfs none /sys/kernel/btf; exec \"$@\"", "sh")
    assert blind.returncode == 0 and "checksum offload cannot be checked: no type information" in blind.stderr, blind
    assert "return" in chain(lab) and "bpf" not in chain(lab)
    seen_again(lab)


def test_who_may_not_look_leaves_it_closed(labs):
    """A kernel that could, and a process without the rights: not the rule that lets everything on, neither at
    first nor in place of the one that looks."""
    lab = labs(up=False)
    rightless = "setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon"
    for _ in range(2):
        refused = start(lab, *rightless)
        assert refused.returncode == 1 and "CAP_BPF" in refused.stderr, refused
        assert "return" not in chain(lab) and "drop" in chain(lab)
        seen_again(lab)


GSO = {4: 1, 6: 4}				# VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6


def send_cut(frames, packet, family, size):
    at = transport(packet)
    frames.send(with_pseudo_sum(packet, socket.IPPROTO_TCP), (at, TCP_AT), cut=(GSO[family], at + 20, size))


@row("B16")
@pytest.mark.parametrize("size", [1, 100])
def test_one_frame_does_not_become_thousands(here, family, size):
    """Each piece would be a place in the inspector's queue, which all sandboxes share."""
    with Long(here, family) as flow, here.capture() as capture, Frames(here.sandbox, offload=True) as frames:
        send_cut(frames, flow.packet(), family, size)
        here.audit.only("state_invalid", daddr=flow.address, port=flow.port)
        capture.empty(dport=PORT, where=lambda p: len(p.payload) > 20)


@row("B16")
def test_frame_that_is_cut_as_usual(here, family):
    with Long(here, family) as flow, Frames(here.sandbox, offload=True) as frames:
        send_cut(frames, flow.packet(), family, 1000)
        flow.answered()
