"""load - what goes on meanwhile: names are granted, sandboxes come and go, flows open

Theory of operation: one thread each, from start to close, over netd's own sockets and from inside the
sandbox. A daemon that dies or a reload that runs makes an attempt fail; it is tried again. `done` counts what
succeeded, so that a test can wait for it to go on.
"""

import contextlib
import itertools
import threading
import time

from fleet import Control, Fleet
from labnet import LabError, wait_for
from netdclient import Part

PAUSE = 0.005
SITE = "pypi.example"
EXPECTED = (OSError, EOFError, LabError, AssertionError, StopIteration, ValueError, KeyError)


class Load:
    """`with Load(lab) as load: ...; load.goes_on()`"""

    def __init__(self, lab, guest="vm0", profile="agent"):
        self.lab, self.guest, self.profile = lab, guest, profile
        self.fleet = Fleet(lab, 8, per_link=4)
        self.done = {"pin": 0, "add": 0, "fetch": 0}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(what,), daemon=True) for what in self.done]

    def _repeat(self, what):
        steps = getattr(self, f"_{what}")
        while not self._stop.is_set():
            with contextlib.suppress(*EXPECTED):
                for _ in steps():
                    self.done[what] += 1
                    if self._stop.wait(PAUSE):
                        return
            time.sleep(PAUSE)

    def _pin(self):
        """Names under a wildcard, as a resolver asks for them."""
        with Control(self.lab) as control, Part(self.lab, "dns") as dns:
            dns.socket.settimeout(5)		# then anew, as a resolver would
            dns.read_snapshot()
            profile = next(p["id"] for p in control.must("STATUS")["profiles"] if p["name"] == self.profile)
            sandbox = next(s["id"] for s in control.must("LS") if s["name"] == self.guest)
            for k in itertools.count():
                dns.send("PIN", _pin_body(profile, sandbox, f"l{k % 100}.files.example"), 7)
                while (got := dns.receive())[0] != "PINNED":
                    self._follow(dns, *got)
                yield

    @staticmethod
    def _follow(dns, kind, sequence, body):
        """What a resolver answers to what else it is sent."""
        if kind == "PREPARE":
            generation, count = body[:4], body[8:12]
            for _ in range(int.from_bytes(count, "little")):
                while dns.receive()[0] != "PROFILE":
                    pass
            dns.send("READY", generation + bytes(4) + count, sequence)
        elif sequence:
            dns.done(sequence)

    def _add(self):
        with Control(self.lab) as control:
            for s in itertools.cycle(self.fleet.sandboxes):
                control.ask("RM", s.rm_message())
                code, text, _ = control.ask("ADD", s.add_message(self.profile))
                if code:
                    assert "reload" in text or "try again" in text, text
                yield

    def _fetch(self):
        while self.lab.sandbox.fetches(f"https://{SITE}/", timeout=2):
            yield

    def goes_on(self, *what):
        """Wait until each kind of work (or these) has succeeded a few times more."""
        before = dict(self.done)
        for one in what or before:
            wait_for(f"more of {one}", lambda one=one: self.done[one] > before[one] + 2)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def _pin_body(profile, sandbox, name):
    from netdclient import pin
    return pin(profile, sandbox, name, "93.184.216.34")
