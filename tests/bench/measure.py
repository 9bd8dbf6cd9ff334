"""measure - what every row needs: two labs, runs in turn, ratios

Theory of operation: candidates are measured in turn, A B C then C B A, so that what the machine does
meanwhile hits all of them, and the ratio is the median of the ratios of neighbours. A row is a function
that yields result() dictionaries; its ratio is 1 or more where we are better, whatever the unit. All
traffic stays in namespaces.
"""

import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labworld  # noqa: E402
from lab import BUILD, Lab  # noqa: E402
from labnet import wait_for  # noqa: E402

PAIRS = int(os.environ.get("PAIRS", 9))
SECONDS = float(os.environ.get("SECONDS", 1))
SERVER = labworld.SERVICES[0]
BENCH_NAME, BENCH_PORT = "tcp.example", 443		# inspected, then decided
CALL_NAME, CALL_PORT = "udp.example", 7000		# granted without inspection
PROFILE = {
    "network": {"default": "deny", "allow": [
        {"host": BENCH_NAME}, {"host": CALL_NAME, "ports": [CALL_PORT], "protocol": "tcp"}]},
    "limits": {"connections": 100000, "new_connections_per_second": 1000000},
}

PLAIN_NAT = """
table inet plain {
	chain post { type nat hook postrouting priority srcnat; oifname "up0" masquerade; }
}
"""


def result(row, ours, peer, unit, expected=None, note="", better="higher"):
    """ratio >= 1: ours is better."""
    ratio = None
    if peer and ours:
        ratio = round(ours / peer if better == "higher" else peer / ours, 3)
    return {"row": row, "ours": ours, "peer": peer, "unit": unit, "ratio": ratio, "expected": expected, "note": note}


def interleaved(candidates, rounds):
    """{name: [one figure a round]} of {name: measure()}; a round of warming up first."""
    figures = {name: [] for name in candidates}
    for measure in candidates.values():
        measure()
    for n in range(rounds):
        order = list(candidates.items())
        for name, measure in order if n % 2 == 0 else reversed(order):
            figures[name].append(measure())
    return figures


def paired_ratio(ours, peer):
    """Median of the ratios of pairs that ran next to each other."""
    return round(statistics.median(a / b for a, b in zip(ours, peer)), 3)


class Bench:
    """The labs that rows share: one with Cordon, one with plain masquerade and nothing else."""

    def __init__(self):
        self._labs = {}
        self._world = None

    def lab(self, kind):
        if kind not in self._labs:
            lab = Lab(self._world, profiles={"agent": PROFILE})
            self._labs[kind] = lab
            self._world = self._world or lab.world
            if kind == "cordon":
                lab.up()
            else:
                lab.gateway.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
                lab.gateway.run(["nft", "-f", "-"], input=PLAIN_NAT, check=True)
            lab.add_sandbox(register=kind == "cordon")
            serve(lab)
        return self._labs[kind]

    @property
    def world(self):
        """Certificates and repositories, made once: lab() makes them."""
        self.lab("cordon")
        return self._world

    def close(self):
        for lab in self._labs.values():
            lab.close()


def serve(lab):
    """The servers that bench-flow talks to."""
    for kind, port in (("server", BENCH_PORT), ("answer", CALL_PORT)):
        for address in labworld.SERVICES:
            lab.internet.start([f"{BUILD}/bench-flow", kind, address, port],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for("a server", lambda a=address, p=port: lab.internet.listening(a, p))


def transfer(lab, address, port, direction, flows=1):
    """Gbit/s of bulk flows together, D: server to sandbox, U: the other way."""
    out = lab.sandbox.run([f"{BUILD}/bench-flow", "client", address, port, BENCH_NAME, direction, SECONDS, flows],
                          check=True)
    return float(out.stdout) * 8 / 1e9


def calls(lab, address, count):
    """Median and 99th percentile of connect() to the granted port of that address, in microseconds."""
    out = lab.sandbox.run([f"{BUILD}/bench-flow", "calls", address, CALL_PORT, count], check=True)
    took = sorted(map(float, out.stdout.split()))
    return took[len(took) // 2], took[len(took) * 99 // 100]
