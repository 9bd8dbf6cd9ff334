"""labtcp - TCP without the guest's kernel: segments made and read by hand

Theory of operation: a raw socket of the sandbox's namespace sends what a test wants to be on the wire.
The guest's kernel knows nothing of the connection and would reset it, so a rule in the guest drops what
it sends from the flow's port; our own segments carry a mark. Sequence numbers are relative to each side's
ISN, as in the tables of tests/unit/test_flow.c.
"""

import contextlib
import itertools
import random
import socket
import struct
import time
from dataclasses import dataclass

from labnet import PATIENCE

FIN, SYN, RST, ACK, URG = 1, 2, 4, 16, 32
OURS = 0x77
_ports = itertools.count(20000)


@dataclass
class Segment:
    flags: int
    seq: int
    ack: int
    data: bytes


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


class Frames:
    """Ethernet frames of a sandbox by hand, to its gateway; with `offload`, as a guest's driver sends them."""

    NEEDS_CHECKSUM = 1
    SOL_PACKET, PACKET_VNET_HDR, ALL = 263, 15, 3

    def __init__(self, sandbox, offload=False):
        link = sandbox.lab.gateway.run(["cat", f"/sys/class/net/{sandbox.interface}/address"], check=True).stdout
        self._macs = bytes.fromhex((link.strip() + sandbox.mac).replace(":", ""))
        self._socket = sandbox.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        if offload:
            self._socket.setsockopt(self.SOL_PACKET, self.PACKET_VNET_HDR, 1)
        self._socket.bind(("eth0", self.ALL))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, packet, checksum_at=None, cut=(0, 0, 0)):
        """One IP packet. checksum_at=(start, offset) in it: the kernel is to write a checksum there; cut=(GSO type,
        length of the headers, size): and to cut it into packets of that size."""
        frame = self._macs + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\0") + packet
        if checksum_at:
            start, offset = checksum_at
            kind, head, size = cut
            frame = struct.pack("=BBHHHH", self.NEEDS_CHECKSUM, kind, 14 + head if kind else 0, size, 14 + start,
                                offset) + frame
        self._socket.send(frame)


def ip_packet(source, destination, protocol, payload, hops=64):
    """A plain IPv4 or IPv6 packet."""
    if ":" in source:
        return (struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) +
                socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, hops, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


class RawFlow:
    """One connection to address:port by hand. A context manager."""

    def __init__(self, sandbox, address, port=443, isn=None, sport=None):
        self.v6 = ":" in address
        self.space, self.address, self.port = sandbox, address, port
        self.source = sandbox.address[self.v6]
        self.sport = sport or next(_ports)
        self.isn = random.getrandbits(32) if isn is None else isn
        self.server_isn = None
        family = socket.AF_INET6 if self.v6 else socket.AF_INET
        self._socket = sandbox.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, OURS)
        self._table = f"raw{self.sport}"
        self._own_port = sport is None
        if self._own_port:
            sandbox.run(["nft", f"table inet {self._table} {{ chain out {{ type filter hook output priority 0; "
                         f"tcp sport {self.sport} meta mark != {OURS} drop; }}; }}"], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.send(RST, self._next if self.server_isn is not None else 1)
        self._socket.close()
        if self._own_port:
            self.space.run(["nft", "delete", "table", "inet", self._table])

    _next = 1

    def segment(self, flags, seq, data=b"", ack=1, isn=None, options=b""):
        """The bytes of a segment; ack (relative) defaults to the first byte of the server."""
        options += bytes(-len(options) % 4)
        number = (self.server_isn or 0) + ack if flags & ACK else 0
        head = struct.pack("!HHIIBBHHH", self.sport, self.port,
                           ((self.isn if isn is None else isn) + seq) % 2**32, number % 2**32,
                           (5 + len(options) // 4) << 4, flags, 64000, 0, 1 if flags & URG else 0)
        family = socket.AF_INET6 if self.v6 else socket.AF_INET
        data = options + data
        pseudo = socket.inet_pton(family, self.source) + socket.inet_pton(family, self.address)
        length = len(head) + len(data)
        pseudo += struct.pack("!II", length, 6) if self.v6 else struct.pack("!HH", 6, length)
        return head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:] + data

    def send(self, flags, seq, data=b"", ack=1, ttl=64, isn=None, options=b""):
        """Send one segment; options are padded."""
        if self.v6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        self._socket.sendto(self.segment(flags, seq, data, ack, isn, options), (self.address, 0))
        if isn is None and data:
            self._next = max(self._next, seq + len(data))

    def _read(self):
        packet, peer = self._socket.recvfrom(65536)
        tcp = packet if self.v6 else packet[(packet[0] & 15) * 4:]
        sport, dport, seq, ack = struct.unpack_from("!HHII", tcp)
        if (sport, dport) != (self.port, self.sport):
            return None
        if self.server_isn is None and tcp[13] & SYN:
            self.server_isn = seq
        return Segment(tcp[13], (seq - (self.server_isn or 0)) % 2**32, (ack - self.isn) % 2**32,
                       tcp[(tcp[12] >> 4) * 4:])

    def wait(self, what, test, timeout=PATIENCE):
        """The first segment for which test() is true."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                segment = self._read()
                if segment and test(segment):
                    return segment
        raise AssertionError(f"no {what} within {timeout} s")

    def open(self):
        """The three-way handshake."""
        self.send(SYN, 0)
        self.wait("SYN-ACK", lambda s: s.flags & (SYN | ACK) == SYN | ACK and s.ack == 1)
        self.send(ACK, 1)
        return self

    def acked(self, n, timeout=PATIENCE):
        """Wait until the server has acknowledged n bytes."""
        return self.wait(f"ACK of {n}", lambda s: s.ack >= 1 + n and not s.flags & RST, timeout)

    def reset(self, timeout=PATIENCE):
        """Wait for a reset."""
        return self.wait("reset", lambda s: s.flags & RST, timeout)
