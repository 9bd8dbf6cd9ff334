"""clones - fetching from a real git server through the proxy, against asking it directly

Theory of operation: git-http-backend behind apache with TLS; one lab with Cordon, one with plain
masquerade. Repositories are made alike on every run: `tree` has many objects, as source code does,
`blob` one that does not compress, so it shows the bytes' way. Client, gateway and server share the
machine's cores. The wait for a first byte is told for requests on a kept connection, as git's are, apart from
what connecting takes.
"""

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import AGENT, Lab  # noqa: E402
from labhttp import Wire, info_refs, pkt, post  # noqa: E402
from labclient import tls  # noqa: E402
from labnet import ENV  # noqa: E402
from labworld import GITHUB, WWW, tool  # noqa: E402
from measure import PAIRS, PLAIN_NAT, interleaved, result  # noqa: E402

HOST = "github.com"
FILES, COMMITS, BLOB_MIB = 1500, 600, 32
WAITS = 20				# a round
REPOSITORIES = ("tree", "blob")
PROFILE = {**AGENT, "git": {**AGENT["git"], "allowed_repos": [f"acme/{r}" for r in (*REPOSITORIES, "widgets")]},
           "limits": {"connections": 1000, "new_connections_per_second": 1000000}}


def commit(n, message, files):
    """One commit for git fast-import."""
    head = (f"commit refs/heads/main\nmark :{n}\ncommitter Ada <ada@lab.invalid> {1700000000 + n} +0000\n"
            f"data {len(message)}\n{message}\n" + (f"from :{n - 1}\n" if n > 1 else ""))
    return head.encode() + b"".join(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data)
                                    for name, data in files)


def text(rng, lines):
    return b"".join(b"%s\n" % rng.randbytes(20).hex().encode() for _ in range(lines))


def tree():
    """Many files, then many small changes."""
    rng = random.Random(1)
    yield commit(1, "all", [(f"d{i % 97}/f{i}", text(rng, 60)) for i in range(FILES)])
    for n in range(2, COMMITS + 1):
        i = rng.randrange(FILES)
        yield commit(n, f"change {n}", [(f"d{i % 97}/f{i}", text(rng, 60))])


def blob():
    yield commit(1, "all", [("blob", random.Random(2).randbytes(BLOB_MIB << 20))])


def make_repository(world, name, commits):
    """Packed once: what the server does for a clone is to send it."""
    path = f"{world.repos}/acme/{name}.git"
    env = {**ENV, "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*argv, **kw):
        subprocess.run(["git", "-c", "core.bigFileThreshold=1m", "-C", path, *argv], check=True, env=env, **kw)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True, env=env)
    git("fast-import", "--quiet", input=b"".join(commits))
    git("repack", "-adq")
    tool("chown", "-R", f"{WWW}:{WWW}", path)


class Way:
    """A lab and the address at which its sandbox finds the git host."""

    def __init__(self, lab, address):
        self._lab, self._address = lab, address

    def clone(self, repo):
        """Seconds of a full clone with its files."""
        to = f"{self._lab.sandbox.dir}/home/clone"
        begin = time.monotonic()
        done = self._lab.sandbox.git("-c", f"http.curloptResolve={HOST}:443:{self._address}", "clone", "-q",
                                     f"https://{HOST}/acme/{repo}.git", to, check=True)
        spent = time.monotonic() - begin
        assert not done.stderr, done.stderr
        shutil.rmtree(to)
        return spent

    def connect(self):
        """A connection as git makes it."""
        return Wire.of(tls(self._lab.sandbox, HOST, address=self._address))


def wait(way, request, connecting=False):
    """Milliseconds until the first byte of the answer's body is there."""
    begin = time.monotonic()
    with way.connect() as wire:
        if not connecting:
            begin = time.monotonic()
        wire.send(request).begun()
        spent = (time.monotonic() - begin) * 1e3
        assert wire.response().status == 200
        return spent


def through_cordon(stack):
    lab = stack.enter_context(Lab(profiles={"agent": PROFILE}))
    make_repository(lab.world, "tree", tree())
    make_repository(lab.world, "blob", blob())
    lab.up()
    lab.add_sandbox()
    return lab, Way(lab, lab.sandbox.resolve(HOST))


def directly(stack, world):
    lab = stack.enter_context(Lab(world, profiles={"agent": PROFILE}))
    lab.gateway.sysctl(net__ipv4__ip_forward=1)
    lab.gateway.run(["nft", "-f", "-"], input=PLAIN_NAT, check=True)
    lab.add_sandbox(register=False)
    return Way(lab, GITHUB[0])


def fetch(tip):
    """A shallow fetch, so that the server begins its pack at once."""
    body = (pkt("command=fetch") + pkt("object-format=sha1") + b"0001" + pkt("ofs-delta") + pkt("deepen 1")
            + pkt(f"want {tip}\n") + pkt("done\n") + b"0000")
    return post("acme/widgets.git", body)


def row_clone_upstream(_):
    """A full clone, and the wait for a first byte."""
    with contextlib.ExitStack() as stack:
        lab, ours = through_cordon(stack)
        direct = directly(stack, lab.world)
        for repo in REPOSITORIES:
            figures = interleaved({"ours": lambda: ours.clone(repo), "direct": lambda: direct.clone(repo)}, PAIRS)
            pairs = zip(figures["direct"], figures["ours"])
            size = os.path.getsize(pack_of(lab.world, repo)) >> 20
            r = result(f"clone_upstream_{repo}", *(round(statistics.median(figures[k]), 3) for k in ("ours", "direct")),
                       "s", 0.9, f"full clone of {size} MiB; against the same without a gateway's help; "
                       f"medians of {PAIRS} interleaved pairs", better="lower")
            yield {**r, "ratio": round(statistics.median(d / o for d, o in pairs), 3)}
        refs, pack = info_refs("acme/widgets"), fetch(lab.world.tip("acme/widgets"))
        for row, what, *asked in (("refs", "info/refs on a connection that is there", refs),
                                  ("pack", "a pack on a connection that is there", pack),
                                  ("connect", "info/refs, from connect() on", refs, True)):
            yield added(f"first_byte_{row}", what, lambda: wait(ours, *asked), lambda: wait(direct, *asked))


def added(row, what, ours, direct):
    """Waits through the proxy and without it, in turn."""
    rounds = PAIRS * WAITS
    figures = interleaved({"ours": ours, "direct": direct}, rounds)
    more = statistics.median(o - d for o, d in zip(figures["ours"], figures["direct"]))
    return result(row, round(more, 2), 2, "ms", 1.0, f"added to the wait for the first byte of {what}; against the "
                  f"limit of 2 ms; direct: {statistics.median(figures['direct']):.1f}; median of {rounds} pairs",
                  better="lower")


def pack_of(world, repo):
    dir = f"{world.repos}/acme/{repo}.git/objects/pack"
    return next(f"{dir}/{name}" for name in os.listdir(dir) if name.endswith(".pack"))
