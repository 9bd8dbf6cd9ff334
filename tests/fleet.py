"""fleet - any number of idle sandboxes in a lab, made and registered fast

Theory of operation: an idle sandbox is an interface that is up and a registration. Interfaces come in
pairs (veth, both ends in the gateway), by one `ip -batch`. Registration speaks to netd's control socket
directly, as the cordon command would: a process for each would take longer than what is measured.
"""

import array
import contextlib
import json
import os
import socket
import struct
import time

from labnet import LabError
from netdclient import NAMES, TYPES, pack_addr

FIRST_NETWORK = 64		# 10.1.64.0 and up; the lab's own sandboxes are below


class Control:
    """A connection to netd as the cordon command has one."""

    def __init__(self, lab):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.socket.connect(f"{lab.dir}/run/control.sock")

    def ask(self, kind, body=b""):
        """(code, text, data) of the reply."""
        self.socket.send(struct.pack("<HHI", TYPES[kind], len(body), 1) + body)
        data, control, _, _ = self.socket.recvmsg(65536, 1024)
        if not data:
            raise LabError("netd closed the control connection")
        kind, length, _ = struct.unpack_from("<HHI", data)
        assert NAMES[kind] == "REPLY" and length == len(data) - 8
        code, _ = struct.unpack_from("<iI", data, 8)
        value = None
        for _, _, fds in control:
            for fd in array.array("i", fds):
                with os.fdopen(fd) as f:
                    f.seek(0)
                    value = json.load(f)
        return code, data[16:].split(b"\0", 1)[0].decode(), value

    def must(self, kind, body=b""):
        code, text, value = self.ask(kind, body)
        if code:
            raise LabError(f"{kind}: {text}")
        return value

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Idle:
    """Number k of a fleet."""

    def __init__(self, k, per_link=1):
        self.name, self.interface = f"idle{k}", f"cdn{k // per_link}"
        self.mac = bytes([6, 0, 0x0b, k >> 16, k >> 8 & 255, k & 255])
        self.address = (f"10.1.{FIRST_NETWORK + (k >> 8)}.{k & 255}", f"fd00:1:0:ffff::{k:x}")

    def add_message(self, profile="agent", dhcp=0):
        def text(value, size):
            return value.encode().ljust(size, b"\0")
        return (text(self.name, 64) + text(profile, 64) + text(self.interface, 16) + self.mac + bytes([dhcp, 0])
                + b"".join(pack_addr(a) for a in self.address))

    def rm_message(self):
        return self.name.encode().ljust(64, b"\0")


class Fleet:
    """`size` sandboxes in the gateway. Registered one by one, in order; `took` has the seconds of each."""

    def __init__(self, lab, size, per_link=1):
        self.lab, self.sandboxes, self.took = lab, [Idle(k, per_link) for k in range(size)], []
        lab.gateway.sysctl(net__ipv6__conf__default__addr_gen_mode=1)
        links = -(-size // per_link)
        lines = [f"link add cdn{k} type veth peer name cdn{k + 1}" for k in range(0, links, 2)]
        lines += [f"link set cdn{k} up" for k in range(links + links % 2)]
        lab.gateway.ip(*lines)

    def register(self, start=0, stop=None, profile="agent"):
        with Control(self.lab) as control:
            for s in self.sandboxes[start:stop]:
                begin = time.perf_counter()
                control.must("ADD", s.add_message(profile))
                self.took.append(time.perf_counter() - begin)
        return self

    def remove(self, start=0, stop=None):
        took = []
        with Control(self.lab) as control:
            for s in self.sandboxes[start:stop]:
                begin = time.perf_counter()
                control.must("RM", s.rm_message())
                took.append(time.perf_counter() - begin)
        return took


def percentile(values, p):
    """The value that p of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


def memory(pid):
    """(unique, proportional) resident MiB."""
    values = {}
    with open(f"/proc/{pid}/smaps_rollup") as f, contextlib.suppress(ValueError):
        for line in f:
            key, _, rest = line.partition(":")
            if rest.endswith("kB\n"):
                values[key] = int(rest.split()[0]) / 1024
    return values["Private_Clean"] + values["Private_Dirty"], values["Pss"]
