"""netdclient - a part of our own on netd's socket, to say what no part of this build would say

Theory of operation: message numbers are read from base/msg.h, bodies are packed as its structs are laid
out. netd asks the kernel who connects, so connect() happens in a child that has become the role's user and
hands the socket back.
"""

import array
import contextlib
import ctypes
import ipaddress
import os
import re
import socket
import struct

from lab import ROOT
from labnet import PATIENCE

HEADER = open(f"{ROOT}/base/msg.h").read()
TYPES = {name: i for i, name in enumerate(re.findall(
    r"\bMSG_([A-Z_]+)\b", re.sub(r"/\*.*?\*/", "", re.search(r"enum msg_type \{(.*?)\}", HEADER, re.S)[1],
                                 flags=re.S)))}
NAMES = {number: name for name, number in TYPES.items()}
ROLES = {"netd": 1, "inspect": 2, "dns": 3, "gitproxy": 4, "keeper": 5, "mirror": 6}
UID_BASE = 63960
BUILD_TEXT = re.search(r"VERSION := (\S+)", open(f"{ROOT}/Makefile").read())[1]


def role_uid(role):
    import pwd
    try:
        return pwd.getpwnam(f"cordon-{role}").pw_uid
    except KeyError:
        return UID_BASE + ROLES[role]


def group():
    import grp
    try:
        return grp.getgrnam("cordon").gr_gid
    except KeyError:
        return UID_BASE


def connect_as(path, uid, gid=None):
    """A connection whose SO_PEERCRED is that user. OSError when that user cannot connect."""
    gid = group() if gid is None else gid
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([gid])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(path)
            socket.send_fds(theirs, [b"x"], [s.fileno()])
        finally:
            os._exit(0)
    theirs.close()
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(pid, 0)
    ours.close()
    if not fds:
        raise PermissionError(path)
    return socket.socket(fileno=fds[0])


def pack_addr(a):
    ip = ipaddress.ip_address(a)
    return bytes([ip.version]) + ip.packed.ljust(16, b"\0")


def hello(role, protocol=1, build=BUILD_TEXT):
    return struct.pack("<II", protocol, ROLES[role]) + build.encode().ljust(64, b"\0")


def pin(profile, sandbox, name, *addresses, ttl=60):
    fours = [pack_addr(a) for a in addresses if "." in a]
    sixes = [pack_addr(a) for a in addresses if "." not in a]
    return (struct.pack("<HHBBHI", profile, sandbox, len(fours), len(sixes), 0, ttl)
            + b"".join(fours).ljust(17 * 16, b"\0") + b"".join(sixes).ljust(17 * 16, b"\0")
            + name.encode().ljust(256, b"\0"))


PIDFD_GETFD = 438


def descriptor_of(pid, wanted):
    """A socket that a process holds, ours as well from now on: the first for which wanted(socket) is true."""
    pidfd = os.pidfd_open(pid)
    try:
        for number in sorted(int(n) for n in os.listdir(f"/proc/{pid}/fd")):
            fd = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, number, 0)
            if fd < 0:
                continue
            try:
                s = socket.socket(fileno=fd)
            except OSError:			# no socket
                os.close(fd)
                continue
            with contextlib.suppress(OSError):
                if wanted(s):
                    return s
            s.close()
    finally:
        os.close(pidfd)
    return None


def is_pair(s):
    """One end of an inherited pair: connected, and nowhere in the file system."""
    return (s.family == socket.AF_UNIX and s.type == socket.SOCK_SEQPACKET
            and not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            and not s.getpeername() and not s.getsockname())


class Part:
    """One connection. `snapshot` is {type: [body]} of what came before END."""

    def __init__(self, lab, role, say_hello=True, uid=None, **options):
        self.socket = connect_as(f"{lab.dir}/run/parts/netd.sock", role_uid(role) if uid is None else uid)
        self.socket.settimeout(PATIENCE)
        self.snapshot = {}
        if say_hello:
            self.send("HELLO", hello(role, **options))

    def read_snapshot(self):
        while True:
            kind, _, body = self.receive()
            if kind == "END":
                return self
            self.snapshot.setdefault(kind, []).append(body)

    def send(self, kind, body=b"", sequence=1, fds=()):
        number = TYPES[kind] if isinstance(kind, str) else kind
        data = struct.pack("<HHI", number, len(body), sequence) + body
        if fds:
            socket.send_fds(self.socket, [data], fds)
        else:
            self.socket.send(data)

    def receive(self):
        """(type, sequence, body); EOFError at the end of the connection."""
        data, control, _, _ = self.socket.recvmsg(65536, 1024)
        for _, _, fds in control:
            for fd in array.array("i", fds):
                os.close(fd)
        if not data:
            raise EOFError
        kind, length, sequence = struct.unpack_from("<HHI", data)
        assert length == len(data) - 8
        return NAMES[kind], sequence, data[8:]

    def done(self, sequence, result=0):
        self.send("DONE", struct.pack("<i", result), sequence)

    def pin(self, *args, **kw):
        """(reason, index, has4, has6)"""
        self.send("PIN", pin(*args, **kw), 7)
        kind, sequence, body = self.receive()
        assert (kind, sequence) == ("PINNED", 7)
        return struct.unpack_from("<IIBB", body)

    def ended(self):
        """Whether netd closed the connection."""
        try:
            while True:
                self.receive()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
