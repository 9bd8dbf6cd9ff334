"""run - measure Cordon against what one would otherwise run (make bench [ONLY=row,...])

Theory of operation: measure.py says how, one file per group of rows says what; here is the list of rows
and the table. Run: run.py OUT.json [ROW...]
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import clones  # noqa: E402
import connects  # noqa: E402
import daemons  # noqa: E402
import flood  # noqa: E402
import idle  # noqa: E402
import judge  # noqa: E402
import lsrefs  # noqa: E402
import mirrors  # noqa: E402
import push  # noqa: E402
import sandboxes  # noqa: E402
import scan  # noqa: E402
import spools  # noqa: E402
import terminated  # noqa: E402
import throughput  # noqa: E402
from labnet import LabError  # noqa: E402
from measure import Bench  # noqa: E402

ROWS = {
    "throughput": throughput.row_throughput,
    "connect_latency": connects.row_connect_latency,
    "refused_flood": flood.row_refused_flood,
    "memory": daemons.row_memory,
    "proxy_idle": idle.row_proxy_idle,
    "clone_upstream": clones.row_clone_upstream,
    "http_terminated": terminated.row_http_terminated,
    "clone_storm": mirrors.row_clone_storm,
    "mirror_warm": mirrors.row_mirror_warm,
    "spool_tls": spools.row_spool_tls,
    "spool_plain": spools.row_spool_plain,
    "ls_refs": lsrefs.row_ls_refs,
    "push_small": push.row_push_small,
    "push_large": push.row_push_large,
    "push_memory": push.row_push_memory,
    "run_start": daemons.row_run_start,
    "sandboxes_10k": sandboxes.row_sandboxes_10k,
    "scan_bytes": scan.row_scan_bytes,
    "judge_small": judge.row_judge_small,
    "judge_large": judge.row_judge_large,
}


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
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except LabError as e:
        sys.exit(f"bench: {e}")
