"""daemons - what they take: memory, and the time until a command runs"""

import os
import re
import statistics
import time

from lab import BUILD, DAEMONS
from measure import BENCH_NAME, BENCH_PORT, PAIRS, interleaved, result, transfer


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
