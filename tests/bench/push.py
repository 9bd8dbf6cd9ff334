"""push - what the gate adds to a push, and what a large one costs

Theory of operation: a small push is asked for as git does, the advertisement and then the commands with five
objects, on a kept connection; once through Cordon and once at the same web server directly, in turn, each to a
repository of its own, every push on top of the one before. So the difference is all that Cordon adds, upstream's
own work taken out. A large one is a prepared pack whose last file holds a secret: it is received, indexed, checked
and scanned whole, and then refused, so that nothing of upstream is in its time. The reference is git index-pack
--strict of the same file. Memory is that of the daemons while they take it; the scanner, where indexing happens,
is told apart.
"""

import contextlib
import os
import random
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labworld  # noqa: E402
from daemons import resident  # noqa: E402
from labclient import tls  # noqa: E402
from labhttp import Wire, get, info_refs, post  # noqa: E402
from labnet import ENV  # noqa: E402
from labobjects import DIR, FILE, blob, commit, pack, tree  # noqa: E402
from labpush import CAPS, HOST, RECEIVE, ZERO, authorization, below, commands, policy, push_lab, report_of  # noqa: E402
from measure import PAIRS, result  # noqa: E402
from mirrored import commit as commit_text  # noqa: E402
from mirrored import sources  # noqa: E402

PUSHES = 40				# a round of pairs
COMMITS = int(os.environ.get("PUSH_COMMITS", 66600))		# 400,000 objects
REF = "refs/heads/agent/x"
OURS = ("cordon-gitproxy", "cordon-keeper", "cordon-mirror")
AGENT = policy("host_mirror", max_pack_bytes=1 << 30)


@contextlib.contextmanager
def bench_lab(bench):
    with push_lab(bench.world, {"agent": AGENT}, relay=False) as lab:
        yield lab


# ---- five objects

class Pusher:
    """Pushes five objects at a time on a kept connection."""

    def __init__(self, forge, name, connect, *fields):
        self.repo = forge.repository(f"acme/{name}", hooks=())
        self.wire, self.fields = Wire.of(connect()), fields
        self.old, self.parent, self.count = ZERO, self.repo.tip(), 0

    def push(self):
        """Milliseconds of one."""
        self.count += 1
        text = [b"%s %d %d\n" % (self.repo.name.encode(), self.count, n) for n in range(2)]
        blobs = [blob(t * 20) for t in text]
        under = tree((FILE, b"b", blobs[1]))
        top = tree((FILE, b"a", blobs[0]), (DIR, b"d", under))
        new = commit(top, self.parent)
        body = commands((self.old, new.id, REF), caps=CAPS) + pack(new, top, under, *blobs)
        begin = time.monotonic()
        told = self.wire.send(info_refs(f"{self.repo.name}.git", *self.fields, service=RECEIVE, host=HOST)).response()
        assert told.status == 200, told
        got = self.wire.send(post(f"{self.repo.name}.git", body, *self.fields, service=RECEIVE, host=HOST,
                                  protocol=0)).response()
        spent = (time.monotonic() - begin) * 1e3
        assert report_of(got.body).refs == {REF: "ok"}, got
        self.old = self.parent = new.id
        return spent


def direct(lab):
    """TLS to the web server, from the gateway."""
    context = ssl.create_default_context(cafile=lab.world.ca_file)
    return context.wrap_socket(lab.gateway.connect(labworld.SERVICES[0], 443), server_hostname=HOST)


def quantile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def row_push_small(bench):
    """What the gate adds to a push of five objects."""
    with bench_lab(bench) as lab:
        ways = {"ours": Pusher(lab.forge, "ours", lambda: tls(lab.sandbox, HOST)),
                "direct": Pusher(lab.forge, "direct", lambda: direct(lab), f"Authorization: {authorization()}")}
        figures = {name: [] for name in ways}
        rounds = PAIRS * PUSHES
        for n in range(rounds + 5):
            for name in list(ways) if n % 2 else reversed(ways):
                spent = ways[name].push()
                if n >= 5:			# the first ones warm up
                    figures[name].append(spent)
        for share, limit in ((0.5, 15), (0.99, 50)):
            ours, plain = (quantile(figures[k], share) for k in ("ours", "direct"))
            yield result(f"push_small_p{share * 100:.0f}", round(ours - plain, 1), limit, "ms", 1.0,
                         f"added to a push of five objects, advertisement and all, against the limit of {limit} ms; whole: "
                         f"{ours:.1f}, the same web server directly: {plain:.1f}; {rounds} pairs", better="lower")


# ---- hundreds of thousands

def large_pack(dir):
    """Path of a pack whose last file holds a secret, and its tip. 300 MB and 400,000 objects: a history of text."""
    bare = f"{dir}/large.git"
    rnd = random.Random(3)
    secret = "ghp_" + "".join(rnd.choices("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=36))
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], check=True, env=ENV)
    with subprocess.Popen(["git", "-C", bare, "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"],
                          stdin=subprocess.PIPE, env=ENV) as importer:
        for piece in sources(commits=COMMITS, lines=92):
            importer.stdin.write(piece)
        importer.stdin.write(commit_text(COMMITS + 1, {"last.txt": f"token {secret}\n".encode()}))
    tip = subprocess.run(["git", "-C", bare, "rev-parse", "main"], check=True, env=ENV, capture_output=True, text=True)
    folder = f"{bare}/objects/pack"
    packs = [f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".pack")]
    assert len(packs) == 1
    return packs[0], tip.stdout.strip()


def count_of(path):
    with open(path, "rb") as f:
        return int.from_bytes(f.read(12)[8:], "big")


def index_pack(path):
    """Seconds of git index-pack --strict into an empty repository."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as to, open(path, "rb") as f:
        subprocess.run(["git", "init", "-q", "--bare", to], check=True, env=ENV)
        begin = time.monotonic()
        subprocess.run(["git", "-C", to, "index-pack", "--stdin", "--strict"], stdin=f, stdout=subprocess.DEVNULL,
                       check=True, env=ENV)
        return time.monotonic() - begin


def push_file(lab, repo, path, tip):
    """Seconds from the request to the refusal."""
    head = commands((ZERO, tip, REF))
    fields = ["Content-Type: application/x-git-receive-pack-request", "Transfer-Encoding: chunked"]
    with Wire(lab.sandbox, HOST, timeout=600) as wire, open(path, "rb") as f:
        begin = time.monotonic()
        wire.send(get(f"/{repo.name}.git/{RECEIVE}", *fields, host=HOST, method="POST"))
        wire.send(b"%x\r\n%s\r\n" % (len(head), head))
        while piece := f.read(1 << 20):
            wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        report = report_of(wire.send(b"0\r\n\r\n").response().body)
        spent = time.monotonic() - begin
    assert report.why() == "secret_detected", report
    return spent


class Memory:
    """The most that programs took meanwhile: .most of each name, .before of ours together."""

    def __init__(self, lab):
        self._lab, self._over = lab, threading.Event()
        self.before, self.most, self.scanner = self._now(), 0, 0

    def _now(self):
        total = 0
        for name in OURS:
            for pid in self._lab.pids(name):
                with contextlib.suppress(OSError, TypeError):
                    total += resident(pid)
        return total

    def _watch(self):
        scan = self._lab.pids("cordon-scan")
        while not self._over.wait(0.02):
            self.most = max(self.most, self._now())
            below_it = 0
            for pid in {p for s in scan for p in (s, *below(s))}:
                with contextlib.suppress(OSError, TypeError):
                    below_it += resident(pid)
            self.scanner = max(self.scanner, below_it)

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def large(bench):
    with bench_lab(bench) as lab, tempfile.TemporaryDirectory(prefix="cordon-bench-", dir="/tmp") as dir:
        path, tip = large_pack(dir)
        yield lab, lab.forge.repository("acme/large", hooks=()), path, tip


def row_push_large(bench):
    """A push of 300 MB and 400,000 objects, judged whole."""
    with large(bench) as (lab, repo, path, tip):
        ours, theirs = [], []
        index_pack(path)		# warm
        for _ in range(max(PAIRS // 3, 1)):
            theirs.append(index_pack(path))
            ours.append(push_file(lab, repo, path, tip))
        ratio = statistics.median(t / o for t, o in zip(theirs, ours))
        yield {**result("push_large", round(statistics.median(ours), 2), round(statistics.median(theirs), 2), "s", 0.5,
                        f"{os.path.getsize(path) >> 20} MiB and {count_of(path)} objects, from the request to the "
                        f"refusal of its last file; against git index-pack --strict; medians of {len(ours)} pairs",
                        better="lower"),
               "ratio": round(ratio, 3)}


def row_push_memory(bench):
    """What the daemons take for it."""
    with large(bench) as (lab, repo, path, tip):
        push_file(lab, repo, path, tip)		# what stays is there
        with Memory(lab) as memory:
            push_file(lab, repo, path, tip)
        yield result("push_memory", round(memory.most - memory.before, 2), 8, "MiB", 1.0,
                     f"that gitproxy, keeper and mirror take more during a push of {os.path.getsize(path) >> 20} MiB; "
                     f"against the limit of 8 MiB; the scanner and its index-pack: {memory.scanner:.0f} MiB",
                     better="lower")
