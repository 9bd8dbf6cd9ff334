"""labwatch - what a test may look at: packets that arrived, and what the audit log says

Theory of operation: a Capture is an AF_PACKET socket of a namespace with a large buffer; it is open, so
counting, when the constructor returns. Before it is judged, settle() sends a datagram of its own from the
gateway and reads until that has come by: whatever left before it has arrived. An Audit reads
LOG/*.jsonl from where the files ended when it was made, so that tests that share a lab do not see each
other's lines.
"""

import glob
import ipaddress
import itertools
import json
import os
import socket
import struct
import time
from dataclasses import dataclass

from labnet import PATIENCE

ETH_P_ALL = 0x0003
SO_RCVBUFFORCE = 33
MARKER_PORT = 9		# discard; the lab's own datagrams
_markers = itertools.count(1)

ANY = object()


@dataclass
class Packet:
    """One IP packet. proto is the number of what follows the (extension) headers that we skip."""
    family: int
    src: str
    dst: str
    proto: int
    sport: int
    dport: int
    flags: int
    payload: bytes		# from the transport header on
    raw: bytes

    def __str__(self):
        return (f"{self.src}:{self.sport} > {self.dst}:{self.dport} proto {self.proto} "
                f"flags {self.flags:#x} {len(self.payload)} bytes")


def parse_packet(frame):
    """The Packet in an ethernet frame, or None if it is not IP."""
    if len(frame) < 34:
        return None
    kind, ip = struct.unpack_from("!H", frame, 12)[0], frame[14:]
    if kind == 0x0800:
        family, proto, header = 4, ip[9], (ip[0] & 15) * 4
        src, dst = ip[12:16], ip[16:20]
        rest = ip[header:struct.unpack_from("!H", ip, 2)[0]]
    elif kind == 0x86dd and len(ip) >= 40:
        family, proto, src, dst = 6, ip[6], ip[8:24], ip[24:40]
        rest = ip[40:40 + struct.unpack_from("!H", ip, 4)[0]]
    else:
        return None
    ports = proto in (6, 17, 33, 132) and len(rest) >= 4
    sport, dport = struct.unpack_from("!HH", rest) if ports else (0, 0)
    flags = rest[13] if proto == 6 and len(rest) >= 14 else 0
    return Packet(family, str(ipaddress.ip_address(src)), str(ipaddress.ip_address(dst)), proto,
                  sport, dport, flags, rest, ip)


class Capture:
    """Everything that one interface of a space sees, since the constructor returned.

    marker: called to send a datagram that must come by here (see Lab.marker); None: no settling.
    incoming: only packets towards the host that has the interface.
    """

    def __init__(self, space, interface, marker=None, incoming=True):
        self._packets = []
        self._marker = marker
        self._incoming = incoming
        self._socket = space.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._socket.bind((interface, ETH_P_ALL))

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self, timeout):
        """Take what is there, waiting at most timeout for the first frame. False when nothing came."""
        self._socket.settimeout(timeout)
        try:
            frame, where = self._socket.recvfrom(65536)
        except (TimeoutError, BlockingIOError):
            return False
        packet = parse_packet(frame)
        if packet and not (self._incoming and where[2] == socket.PACKET_OUTGOING):
            self._packets.append(packet)
        return True

    def settle(self):
        """Return when everything that left the gateway before this call is in our list."""
        if self._marker:
            text = b"cordon-lab-marker %d" % next(_markers)
            self._marker(text)
            end = time.monotonic() + PATIENCE
            while not any(text in p.payload for p in self._packets[-64:]):
                if not self._read(1.0) and time.monotonic() > end:
                    raise AssertionError("the capture's own marker did not arrive")
        while self._read(0):
            pass
        self._packets = [p for p in self._packets
                         if not (p.dport == MARKER_PORT and b"cordon-lab-marker" in p.payload)]

    def packets(self, contains=None, where=None, **fields):
        """Packets whose attributes equal fields (a value may be a set), that contain these bytes."""
        self.settle()

        return [p for p in self._packets
                if all(same(getattr(p, name), want) for name, want in fields.items())
                and (contains is None or contains in p.raw) and (where is None or where(p))]

    def wait(self, contains=None, where=None, timeout=PATIENCE, **fields):
        """The first such packet, waiting for it."""
        end = time.monotonic() + timeout
        while True:
            found = self.packets(contains, where, **fields)
            if found:
                return found[0]
            assert time.monotonic() < end, f"no packet {fields} {contains or ''} within {timeout} s"
            self._read(0.05)

    def empty(self, contains=None, where=None, **fields):
        """Assert that no such packet arrived. Neighbour discovery of the link itself does not count."""
        found = [p for p in self.packets(contains, where, **fields) if not _link_chatter(p)]
        assert not found, "leaked: " + "; ".join(map(str, found[:5]))

    def clear(self):
        self.settle()
        self._packets = []


def _link_chatter(p):
    """Neighbour and router discovery and multicast reports: the link talking to itself."""
    return p.family == 6 and (p.dst.startswith("ff02:") or p.src.startswith("fe80:")
                              or (p.proto == 58 and p.payload[:1] in (b"\x87", b"\x88")))


class Audit:
    """Events of LOG/*.jsonl written since this object was made (or since `mark()`)."""

    def __init__(self, log_dir):
        self._dir = log_dir
        self._names = None
        self.mark()

    def watch(self, names):
        """Only events of these sandboxes (and of none) from now on, shown under their names: {real: shown}."""
        self._names = names if isinstance(names, dict) else {n: n for n in names}
        self.mark()

    def _ours(self, event):
        """The event as a test should see it, or None."""
        name = event.get("sandbox", "")
        if self._names is None or not (name or event.get("profile")):
            return event			# a profile and no sandbox: of one that is gone
        return {**event, "sandbox": self._names[name]} if name in self._names else None

    def _files(self):
        return sorted(glob.glob(os.path.join(self._dir, "*.jsonl")))

    def mark(self):
        """Forget what is there by now."""
        self._from = {f: os.path.getsize(f) for f in self._files()}

    def events(self, **fields):
        """Every event whose fields have these values; a value may be ANY or a set."""
        found = []
        for name in self._files():
            with open(name, "rb") as f:
                f.seek(self._from.get(name, 0))
                for line in f.read().split(b"\n")[:-1]:
                    event = self._ours(json.loads(line))
                    if event and all(same(event.get(name), want) for name, want in fields.items()):
                        found.append(event)
        return sorted(found, key=lambda e: e.get("ts", ""))

    def keys(self, **fields):
        """The distinct refusals among the events: what an operator would see as one line each."""
        fields.setdefault("decision", "deny")
        return {key_of(e) for e in self.events(**fields)}

    def wait(self, timeout=PATIENCE, **fields):
        """At least one such event, waiting for it; all of them."""
        end = time.monotonic() + timeout
        while True:
            found = self.events(**fields)
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"no audit event {fields} within {timeout} s; there are:\n"
                                     + self.describe())
            time.sleep(0.01)

    def until(self, test, timeout=PATIENCE, **fields):
        """Such events when test(events) is true of them: a line may be written after its answer was sent."""
        end = time.monotonic() + timeout
        while not test(found := self.events(**fields)):
            if time.monotonic() > end:
                raise AssertionError(f"audit events {fields} are not as expected:\n" + self.describe())
            time.sleep(0.01)
        return found

    def wait_one(self, timeout=PATIENCE, **fields):
        """Wait for such an event and assert that all of them are one key; the first event."""
        found = self.wait(timeout, **fields)
        keys = {key_of(e) for e in found}
        assert len(keys) == 1, f"{len(keys)} keys for {fields}:\n" + self.describe()
        return found[0]

    def only(self, reason, timeout=PATIENCE, **fields):
        """Exactly one key was refused, and for this reason; the first event."""
        first = self.wait_one(timeout, decision="deny", reason=reason, **fields)
        others = self.keys(sandbox=first["sandbox"]) - {key_of(first)}
        assert not others, f"more was refused than expected:\n{self.describe()}"
        return first

    def no_refusals(self, **fields):
        found = self.events(decision="deny", **fields)
        assert not found, "unexpected refusals:\n" + self.describe()

    def describe(self):
        return "\n".join(json.dumps(e, ensure_ascii=False) for e in self.events()) or "(no events)"


def same(got, want):
    """want is a value, a collection of values, or ANY (but not missing)."""
    if want is ANY:
        return got is not None
    return got in want if isinstance(want, (set, list, tuple, range)) else got == want


def key_of(event):
    """What makes two refusals the same: sandbox, what was asked for, port, reason."""
    what = event.get("name") or event.get("repo") or event.get("daddr") or event.get("host")
    return (event.get("sandbox"), what, event.get("proto"), event.get("port"), event.get("reason"))
