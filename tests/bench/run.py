"""bench - measure Cordon against what one would otherwise run (make bench [ONLY=row,...])

Theory of operation: every row is a function that yields result dictionaries {row, ours, peer, unit,
ratio, expected, note}; ratio is 1 or more where we are better, whatever the unit. Candidates are measured
in turn, A B C A B C, so that what the machine does meanwhile hits all of them, and medians are compared.
All traffic stays in namespaces. Run: run.py OUT.json [ROW...]
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labworld  # noqa: E402
from lab import BUILD, DAEMONS, Lab  # noqa: E402
from labnet import LabError, wait_for  # noqa: E402

PAIRS = int(os.environ.get("PAIRS", 9))
SECONDS = float(os.environ.get("SECONDS", 1))
BENCH_NAME, BENCH_PORT = "tcp.example", 443
PROFILE = {"network": {"default": "deny", "allow": [{"host": BENCH_NAME}]}}

PLAIN_NAT = """
table inet plain {
	chain post { type nat hook postrouting priority srcnat; oifname "up0" masquerade; }
}
"""

HAPROXY = """
global
	maxconn 1000
defaults
	mode tcp
	timeout connect 5s
	timeout client 1m
	timeout server 1m
{splice}
listen bench
	bind {gateway}:9443
	server real {real}:{port}
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
            self._serve(lab)
        return self._labs[kind]

    @staticmethod
    def _serve(lab):
        lab.internet.start([f"{BUILD}/bench-flow", "server", labworld.SERVICES[0], BENCH_PORT],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the bulk server", lambda: lab.internet.listening(labworld.SERVICES[0], BENCH_PORT))

    def haproxy(self, lab):
        """haproxy in TCP mode on the plain gateway, splicing as its manual advises for bulk."""
        conf = f"{lab.dir}/haproxy.cfg"
        with open(conf, "w") as f:
            f.write(HAPROXY.format(gateway=lab.sandbox.gateway[0], real=labworld.SERVICES[0], port=BENCH_PORT,
                                   splice="\toption splice-auto"))
        lab.gateway.start(["haproxy", "-db", "-f", conf])
        wait_for("haproxy", lambda: lab.gateway.listening(lab.sandbox.gateway[0], 9443))

    def close(self):
        for lab in self._labs.values():
            lab.close()


def transfer(lab, address, port, direction):
    out = lab.sandbox.run([f"{BUILD}/bench-flow", "client", address, port, BENCH_NAME, direction, SECONDS], check=True)
    return float(out.stdout) * 8 / 1e9


def row_throughput(bench):
    """A decided flow through Cordon, plain masquerade, and haproxy in TCP mode."""
    cordon, plain = bench.lab("cordon"), bench.lab("plain")
    bench.haproxy(plain)
    synthetic = cordon.sandbox.resolve(BENCH_NAME)
    for direction, suffix, what in (("D", "", "server to sandbox"), ("U", "_up", "sandbox to server")):
        figures = interleaved({
            "cordon": lambda: transfer(cordon, synthetic, BENCH_PORT, direction),
            "nat": lambda: transfer(plain, labworld.SERVICES[0], BENCH_PORT, direction),
            "haproxy": lambda: transfer(plain, plain.sandbox.gateway[0], 9443, direction),
        }, PAIRS)
        ours = figures["cordon"]
        for peer, expected, text in (("nat", 0.95, "plain nftables masquerade"), ("haproxy", 1.0, "haproxy, TCP mode")):
            r = result(f"throughput{suffix}" + ("" if peer == "nat" else "_haproxy"),
                       round(statistics.median(ours), 2), round(statistics.median(figures[peer]), 2), "Gbit/s",
                       expected, f"{what}; against {text}; medians of {PAIRS} interleaved pairs of {SECONDS:g} s")
            yield {**r, "ratio": paired_ratio(ours, figures[peer])}


def resident(pid):
    """Proportional resident memory in MiB: shared pages count once over those that share them."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1]) / 1024


def row_memory(bench):
    """Resident memory of each daemon after a flow and a name."""
    lab = bench.lab("cordon")
    transfer(lab, lab.sandbox.resolve(BENCH_NAME), BENCH_PORT, "D")
    for daemon in DAEMONS:
        pids = lab.pids(daemon)
        total = round(sum(map(resident, pids)), 2)
        yield result(f"memory_{daemon.removeprefix('cordon-')}", total, None, "MiB", None,
                     f"proportional set size of {len(pids)} process(es), one sandbox")


def row_run_start(bench):
    """From `cordon run` to the command's first instruction, daemons up."""
    lab = bench.lab("cordon")
    home = f"{lab.dir}/user"
    os.makedirs(home, exist_ok=True)
    os.chown(home, 65534, 65534)
    stamp = f"{home}/stamp"
    with open(f"{BUILD}/bench-stamp", "rb") as src, open(stamp, "wb") as dst:
        dst.write(src.read())
    os.chmod(stamp, 0o755)
    env = {"SUDO_UID": "65534", "SUDO_GID": "65534"}

    def cordon():
        begin = time.monotonic_ns()
        done = lab.cordon("run", "--", stamp, env=env, cwd=home, check=True)
        return (int(done.stdout) - begin) / 1e6

    def bwrap():
        begin = time.monotonic_ns()
        done = lab.gateway.run(["bwrap", "--ro-bind", "/", "/", "--unshare-all", "--", stamp], cwd=home, check=True)
        return (int(done.stdout) - begin) / 1e6
    figures = interleaved({"cordon": cordon, "bwrap": bwrap}, PAIRS)
    ours, bare = (statistics.median(figures[k]) for k in ("cordon", "bwrap"))
    yield result("run_start", round(ours, 1), 150, "ms", 1.0,
                 f"against the limit of 150 ms; bubblewrap alone, no network: {bare:.1f} ms", better="lower")


ROWS = {"throughput": row_throughput, "memory": row_memory, "run_start": row_run_start}


def table(results):
    """Markdown, as docs/benchmarks.md has it."""
    lines = ["| row | ours | peer | unit | ratio | expected | note |", "|---|---|---|---|---|---|---|"]
    for r in results:
        cells = [r[k] if r[k] is not None else "" for k in ("row", "ours", "peer", "unit", "ratio", "expected", "note")]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main(out, only):
    if os.geteuid() != 0:
        sys.exit("bench: needs root (namespaces): sudo make bench")
    unknown = set(only) - set(ROWS)
    if unknown:
        sys.exit(f"bench: no row {', '.join(sorted(unknown))}; there are: {', '.join(ROWS)}")
    bench, results = Bench(), []
    try:
        for name in only or ROWS:
            print(f"{name}: {ROWS[name].__doc__}", flush=True)
            results += ROWS[name](bench)
    finally:
        bench.close()
    with open(out, "w") as f:
        json.dump(results, f, indent=1)
        f.write("\n")
    if os.environ.get("SUDO_UID"):
        os.chown(out, int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", -1)))
    print("\n" + table(results))
    return 0


if __name__ == "__main__":
    import sandboxes			# it imports this module
    ROWS["sandboxes_10k"] = sandboxes.row_sandboxes_10k
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except LabError as e:
        sys.exit(f"bench: {e}")
