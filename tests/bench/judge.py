"""judge - what it takes to judge a push, by the process that does it, without the way there and back"""

import os
import pathlib
import random
import resource
import statistics
import subprocess
import tempfile
import time

from labgate import ENV, Judge, Repo
from measure import PAIRS, interleaved, paired_ratio, result
from scan import SHAPES, WORDS

COMMITS = int(os.environ.get("JUDGE_COMMITS", 30000))		# each: a commit, two trees, a file
FILES, LINES, ROUNDS = 400, 300, 200
MAIN = "refs/heads/main"


def line(dice):
    a, b, c = (dice.choice(WORDS) for _ in range(3))
    return dice.choice(SHAPES).format(a=a, b=b, c=c, n=dice.randrange(4096), x=dice.getrandbits(32)) + "\n"


def history(to):
    """For git fast-import: source files that change by a few lines, the same each time."""
    dice = random.Random(1)
    files = [[line(dice) for _ in range(LINES)] for _ in range(FILES)]
    for n in range(COMMITS):
        f = n % FILES if n < FILES else dice.randrange(FILES)
        for _ in range(3):
            files[f][dice.randrange(LINES)] = line(dice)
        text = "".join(files[f]).encode()
        to.write(b"commit %s\ncommitter a <a@example> %d +0000\ndata 7\nchange\n\nM 644 inline d%02d/f%03d.c\ndata %d\n"
                 % (MAIN.encode(), 1700000000 + n, f % 20, f, len(text)))
        to.write(text + b"\n")
    to.write(b"done\n")


def large_pack(folder):
    """Path of a pack with all of it, and its tip."""
    repo = Repo(folder / "large")
    fed = subprocess.Popen(["git", "-C", repo.path, "fast-import", "--quiet", "--done", "--depth=50"], env=ENV, stdin=subprocess.PIPE)
    history(fed.stdin)
    fed.stdin.close()
    assert fed.wait() == 0
    tip = repo.id("rev-parse", MAIN)
    path = folder / "large.pack"
    path.write_bytes(repo.pack(tip, thin=False))
    return path, tip


def cpu_of_judges(judge):
    """Seconds that its processes took which have ended."""
    user, system = open(f"/proc/{judge.child.pid}/stat").read().rsplit(")", 1)[1].split()[13:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def row_judge_large(bench):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path, tip = large_pack(folder)
        judge, seen = Judge(folder), {}

        def ours():
            before = cpu_of_judges(judge)
            with open(path, "rb") as f:
                a = judge.push([(None, tip, MAIN)], f.fileno(), max_inflated=1 << 40)
            assert a.verdict == "clean", a.judged
            seen.update(a.judged)
            while judge.judges():
                time.sleep(0.01)
            return cpu_of_judges(judge) - before

        def git():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(["git", "index-pack", "--strict", "-o", folder / "git.idx", path], env=ENV, check=True,
                           stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            os.unlink(folder / "git.idx")
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        figures = interleaved({"judge": ours, "git": git}, min(PAIRS, 3))
        judge.close()
        mib = os.path.getsize(path) >> 20
    mine, theirs = (round(statistics.median(figures[k]), 2) for k in ("judge", "git"))
    row = result("judge_large", mine, theirs, "s", 0.5,
                 f"processor time to index, scan and check a push of {seen['objects']} objects, {mib} MiB, {seen['bytes'] >> 20} MiB "
                 f"inflated; against git index-pack --strict of the same pack, which scans nothing", better="lower")
    row["ratio"] = paired_ratio(figures["git"], figures["judge"])
    yield row


def row_judge_small(bench):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        repo = Repo(folder / "work")
        for i in range(20):
            repo.commit({f"d{i}/f{k}": f"{i} {k}\n" * 50 for k in range(20)})
        old = repo.head()
        mirror = repo.mirror(str(folder / "mirror.git"), old)
        new = repo.commit({"d3/f3": "changed\n" * 60, "d3/f4": "changed too\n" * 60})
        pack, judge, took = repo.pack(new, old), Judge(folder), []
        for _ in range(ROUNDS):
            before = time.perf_counter()
            a = judge.push([(old, new, MAIN)], pack, mirror)
            took.append((time.perf_counter() - before) * 1000)
            assert a.verdict == "clean" and a.judged["objects"] == 5
        judge.close()
    yield result("judge_small", round(statistics.median(took[5:]), 2), None, "ms", 8,
                 f"from the question to the verdict on a push of five objects, thin; a process is made for it, confined, and ends; "
                 f"median of {ROUNDS}", better="lower")
