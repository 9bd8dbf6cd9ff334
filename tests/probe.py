"""probe - what must never get through, tried in a loop from inside a sandbox

Theory of operation: a thread opens sockets in the sandbox's namespace and tries, over both families and
without pause worth the name: TCP to a real address that listens, UDP to the same, a DNS query to a
resolver out there. Used around everything that could open a gap: death of a daemon, a flushed ruleset, a
late start. The judge is the capture in the internet, not what the sandbox sees.
"""

import contextlib
import socket
import struct
import threading
import time

import labworld
from labnet import PATIENCE

LEAK = "leak.evil.example"
TCP_PORT, UDP_PORT = 443, 4242
PAUSE = 0.002
ROUNDS_MIN = 10
DNS_EVERY = 20		# rounds; the sandbox has a budget of questions, which the test itself needs too


def dns_query(name, kind=1, id=0x4c4b):
    """A query as it goes over UDP."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", id, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


class Probe:
    """Runs from start to close. `with Probe(lab.sandbox, capture): ...` asserts at the end."""

    def __init__(self, sandbox, capture):
        self._sandbox, self._capture = sandbox, capture
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.rounds = 0
        self.connected = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            until_works("the probe", lambda: self.rounds > ROUNDS_MIN)
        self._stop.set()
        self._thread.join(10)
        if kind is None:
            self.check()

    def check(self):
        """Nothing of ours arrived, and we did try."""
        assert self.rounds > ROUNDS_MIN, "the probe hardly ran"
        assert not self.connected, f"{self.connected} connections were accepted"
        self._capture.empty(dst=set(labworld.SERVICES) | set(labworld.RESOLVERS))
        leaked = self._sandbox.lab.dns.queries(LEAK)
        assert not leaked, f"the internet's resolver heard {leaked[0]}"

    def _run(self):
        self._sandbox.enter_thread()
        while not self._stop.wait(PAUSE):
            for v6 in (0, 1):
                self._once(v6)
            self.rounds += 1

    def _once(self, v6):
        family = socket.AF_INET6 if v6 else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            with contextlib.suppress(OSError):
                s.sendto(b"leak", (labworld.SERVICES[v6], UDP_PORT))
            if self.rounds % DNS_EVERY == 0:
                s.sendto(dns_query(LEAK), (labworld.RESOLVERS[v6], 53))
        with contextlib.suppress(OSError), socket.socket(family) as s:
            s.settimeout(0.02)
            s.connect((labworld.SERVICES[v6], TCP_PORT))
            self.connected += 1


def until_works(what, attempt, timeout=PATIENCE):
    """Retry attempt() until it is true; how long that took."""
    begin = time.monotonic()
    while not attempt():
        assert time.monotonic() - begin < timeout, f"{what} does not work again after {timeout:g} s"
        time.sleep(0.02)
    return time.monotonic() - begin
