"""labmirrortaken - the front's and the mirror's ends of the keeper, for a test to speak on

Theory of operation: cordon-mirror is stopped, so what the keeper sends it stays for whoever reads its end of the
pair: the test. A Push is one request for receive-pack as the front brings it, and what the mirror's process gets
for it; ask() is what cordon-mirror would send when its gate found the push clean, with whatever a taken-over one
would make of it. Structs are those of gitproxy/mirror_ipc.h, keeper_ipc.h and push_command.h.
"""

import contextlib
import fcntl
import os
import signal
import socket
import struct

from labnet import PATIENCE, wait_for
from labobjects import pack
from netdclient import NAMES, TYPES, descriptor_of, is_pair
from test_netd_parts import REASONS

INFO_REFS, RPC, UPLOAD, RECEIVE = 1, 2, 1, 2
UNKNOWN = (1 << 64) - 1
REPORT, SIDE_BAND, FORMAT, ATOMIC, QUIET, OPTIONS, DELETE, ALL = 1, 2, 4, 8, 16, 32, 64, 127
SENT = 1 << 31
STATUS, DATA, END = 1, 2, 3			# kinds of frames
REJECTED, FORWARDED, UPSTREAM_REJECTED, INDETERMINATE = range(4)
NONE_ID = "0" * 40


def keeper_open(host, repo, kind=RPC, service=RECEIVE, protocol=0, length=UNKNOWN):
    return (struct.pack("<BBB5xQ48x", kind, service, protocol, length) + host.encode().ljust(256, b"\0")
            + repo.encode().ljust(256, b"\0") + b"git/2".ljust(128, b"\0"))


def sealed(data, seal=True):
    """A memory file with these bytes, as base/ipc.c makes them."""
    fd = os.memfd_create("lab", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if seal:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    return fd


def push_list(*rows, upstream=ALL, options=(), format=0, has_pack=None, atomic=0):
    """struct push_list of (old, new, ref)."""
    has_pack = any(new != NONE_ID for _, new, _ in rows) if has_pack is None else has_pack
    out = struct.pack("<IIBBBBB3x", len(rows), len(options), format, atomic, 0, has_pack, upstream)
    for old, new, ref in rows:
        out += bytes.fromhex(old).ljust(32, b"\0") + bytes.fromhex(new).ljust(32, b"\0") + ref.encode().ljust(256, b"\0")
    return out + b"".join(o.encode().ljust(1024, b"\0") for o in options)


def pushed(outcome, reason, commands=(), n=None):
    """struct mirror_pushed, and what stands in its memory file: commands (op, accepted, reason, old, new, ref)."""
    head = struct.pack("<IIIIBBB5xQQ160s", outcome, REASONS.index(reason), len(commands) if n is None else n, 0,
                       len(commands), 0, 0, 3, 100, b"by the test")
    return head, b"".join(
        struct.pack("<BB2xI32s32s256s", op, accepted, REASONS.index(why), bytes.fromhex(old), bytes.fromhex(new), ref.encode())
        for op, accepted, why, old, new, ref in commands)


def send(sock, kind, body, *fds):
    socket.send_fds(sock, [struct.pack("<HHI", TYPES[kind], len(body), 1) + body], fds)


def receive(sock):
    """(kind, body, descriptors) of one message; kind None at the end."""
    data, fds, _, _ = socket.recv_fds(sock, 65536, 8)
    if not data:
        return None, b"", fds
    return NAMES[struct.unpack_from("<H", data)[0]], data[8:], fds


class Frames:
    """An answer of the keeper, read to its end."""

    def __init__(self, sock):
        self.reason = self.push = self.end = None
        self.data = b""
        sock.settimeout(PATIENCE)
        with sock:
            while frame := sock.recv(1 << 17):
                kind, reason = struct.unpack_from("<II", frame.ljust(8, b"\0"))
                if kind == STATUS:
                    self.reason, self.push = REASONS[reason], struct.unpack_from("<I", frame, 36)[0]
                    if reason:
                        return
                elif kind == DATA:
                    self.data += frame[4:]
                elif kind == END:
                    self.end = REASONS[reason]
                    return


class Taken:
    """cordon-mirror of this lab, stopped, and the front's way to the keeper for a sandbox's connection."""

    def __init__(self, lab, host):
        self.lab, self.host = lab, host
        self.pid = lab.daemon("cordon-mirror")
        lab.signalled = True
        os.kill(self.pid, signal.SIGSTOP)
        self.pair = descriptor_of(self.pid, is_pair)
        self.pair.settimeout(PATIENCE)
        [front] = lab.pids("cordon-gitproxy")
        self.front = descriptor_of(front, is_pair)
        self.guest = lab.sandbox.socket()
        self.guest.connect((lab.sandbox.resolve(host), 443))
        self.client = wait_for("the sandbox's connection at the front", lambda: descriptor_of(
            front, lambda s: s.family == socket.AF_INET and s.getpeername()[0] == lab.sandbox.address[0]))

    def close(self):
        for s in (self.pair, self.front, self.client, self.guest):
            s.close()
        self.lab.resume(self.pid)

    def open(self, repo, **fields):
        """The socket of the answer to a request of the front."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        send(self.front, "OPEN", keeper_open(self.host, repo, **fields), self.client.fileno(), theirs.fileno())
        theirs.close()
        ours.settimeout(PATIENCE)
        return ours

    def push(self, repo):
        return Push(self, repo)

    def ask(self, domain, repo, **fields):
        """MIRROR_ASK; its Frames."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        send(self.pair, "MIRROR_ASK", domain + bytes(8) + keeper_open(self.host, repo, **fields), theirs.fileno())
        theirs.close()
        return Frames(ours)


class Push:
    """One push at the mirror's process."""

    def __init__(self, taken, repo):
        self.taken = taken
        self.answer = taken.open(repo)
        kind, body, fds = receive(taken.pair)
        assert kind == "MIRROR_SERVE", kind
        self.domain, self.fds = body[:96], fds
        self.to_front, self.socket, self.rules = (socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1]),
                                                  os.pread(fds[2], 1 << 17, 0))
        self.fds = fds[2:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.answer, self.to_front, self.socket):
            s.close()
        for fd in self.fds:
            with contextlib.suppress(OSError):
                os.close(fd)

    def send(self, list_bytes, pack_bytes=b"", told=None, seal=True, descriptors=None, wait=True):
        """PUSH; the keeper's Frames for it, or (not wait) the socket they come on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = [theirs.fileno(), sealed(list_bytes, seal)]
        if pack_bytes:
            fds.append(sealed(pack_bytes, False))
        if descriptors is not None:
            fds = fds[:2] + descriptors
        send(self.socket, "MIRROR_PUSH", struct.pack("<Q", len(pack_bytes) if told is None else told), *fds)
        for fd in fds[1:3]:
            os.close(fd)
        theirs.close()
        return Frames(ours) if wait else ours

    def create(self, objects, ref="refs/heads/agent/x", **kw):
        return self.send(push_list((NONE_ID, objects[0].id, ref)), pack(*objects), **kw)

    def tell(self, outcome, reason, *commands, **kw):
        head, lists = pushed(outcome, reason, commands, **kw)
        fd = sealed(lists)
        send(self.socket, "MIRROR_PUSHED", head, fd)
        os.close(fd)

    def over(self, reason=""):
        """VERDICT: served."""
        send(self.socket, "MIRROR_VERDICT", struct.pack("<IIIIQ160s", 1, REASONS.index(reason), 0, 0, 0, b""))
