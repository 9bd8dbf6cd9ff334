"""mirrored - what the rows of mirrored repositories share: repositories, clients, CPU time

Theory of operation: a lab whose sandboxes read acme/* from mirrors, repositories that are the same bytes on
every machine, and accounts of CPU time: a control group of their own for Cordon's daemons and one for the web
server upstream (apache2 with git-http-backend, which is the peer), so that programs that came and went
between two looks are counted too. Clients are counted nowhere; both sides' clients speak TLS.
"""

import contextlib
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import AGENT, DAEMONS, Lab  # noqa: E402
from labhttp import pkt  # noqa: E402
from labnet import ENV, LabError, wait_for  # noqa: E402
from labworld import WWW  # noqa: E402

HOST = "github.com"
PROFILE = {**AGENT, "git": {**AGENT["git"], "source": "host_mirror", "allowed_repos": ["acme/*"]},
           "limits": {"connections": 200, "new_connections_per_second": 1000, "git_transfers": 200}}


# ---- repositories

def commit(number, files):
    """One commit of {path: bytes} in the language of fast-import."""
    out = [b"commit refs/heads/main\nmark :%d\ncommitter A <a@lab.invalid> %d +0000\ndata 7\nchange\n"
           % (number, 1700000000 + number * 60), b"from :%d\n" % (number - 1) if number > 1 else b""]
    for path, body in files.items():
        out.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(body), body))
    return b"".join(out)


def sources(files=1500, commits=4000, changed=2, lines=120):
    """A tree of text of which each commit changes some lines: 25,000 objects, 10 MiB as a tree."""
    rnd = random.Random(1)
    words = ["".join(rnd.choices("abcdefghijklmnopqrstuvwxyz_", k=rnd.randint(2, 11))) for _ in range(4000)]

    def line():
        return "\t" * rnd.randint(0, 3) + " ".join(rnd.choices(words, k=rnd.randint(1, 9))) + "\n"
    names = [f"d{n % 40}/file{n}.c" for n in range(files)]
    text = {name: [line() for _ in range(rnd.randint(lines // 2, 3 * lines // 2))] for name in names}
    yield commit(1, {name: "".join(text[name]).encode() for name in names})
    for number in range(2, commits + 1):
        now = rnd.sample(names, changed)
        for name in now:
            text[name][rnd.randrange(len(text[name]))] = line()
        yield commit(number, {name: "".join(text[name]).encode() for name in now})


def bulk(files=16, size=4 << 20):
    """What no packing makes smaller."""
    rnd = random.Random(2)
    yield commit(1, {f"file{n}": rnd.randbytes(size) for n in range(files)})


class Repository:
    """One upstream, packed as a forge would have it; without bitmaps. Made once in a world."""

    def __init__(self, lab, name, commits):
        self.name, self.path = name, f"{lab.world.repos}/{name}.git"
        if not os.path.exists(self.path):
            self._make(commits())
        self.tip = git("-C", self.path, "rev-parse", "refs/heads/main").strip()

    def _make(self, stream):
        git("init", "-q", "--bare", "-b", "main", self.path)
        with subprocess.Popen(["git", "-C", self.path, "fast-import", "--quiet"], stdin=subprocess.PIPE,
                              env=ENV) as importer:
            for piece in stream:
                importer.stdin.write(piece)
        git("-C", self.path, "-c", "repack.writeBitmaps=false", "repack", "-q", "-a", "-d", "-f")
        subprocess.run(["chown", "-hR", f"{WWW}:{WWW}", self.path], check=True)

    @property
    def url(self):
        return f"https://{HOST}/{self.name}"

    def fetch_body(self, *options):
        """A request for all of it, as git sends one."""
        lines = [pkt("command=fetch"), pkt("agent=git/2.39.5"), pkt("object-format=sha1"), b"0001",
                 *(pkt(o) for o in ("thin-pack", "no-progress", "ofs-delta", *options)),
                 pkt(f"want {self.tip}\n"), pkt("done\n"), b"0000"]
        return b"".join(lines)


def git(*argv):
    return subprocess.run(["git", "-c", "safe.directory=*", *argv], env=ENV, check=True, capture_output=True,
                          text=True).stdout


# ---- the lab

@contextlib.contextmanager
def mirrored_lab(bench):
    with Lab(bench.world, profiles={"agent": PROFILE}) as lab:
        lab.up()
        lab.add_sandbox()
        yield lab


CLONES = """
i=0
while [ $i -lt $1 ]; do
	(git clone -q --bare $4 "$2" "$3/$i" && [ "$(git -C "$3/$i" rev-parse HEAD)" = $5 ] || echo "clone $i failed") &
	i=$((i + 1))
done
wait
"""


def clones(space, repository, count, *options, ca=None):
    """That many at once, each checked; seconds until all had ended."""
    to = subprocess.run(["mktemp", "-d", "/tmp/cordon-bench-XXXXXX"], capture_output=True, text=True,
                        check=True).stdout.strip()
    begin = time.monotonic()
    try:
        done = space.run(["sh", "-c", CLONES, "sh", count, repository.url, to, " ".join(options), repository.tip],
                         env={"GIT_SSL_CAINFO": ca} if ca else None, timeout=600)
    finally:
        subprocess.run(["rm", "-rf", to], check=True)
    if done.returncode or "failed" in done.stdout:
        raise LabError(f"clones: {done.stdout}{done.stderr}")
    return time.monotonic() - begin


def ours(lab, repository, count, *options):
    return clones(lab.sandbox, repository, count, *options)


def theirs(lab, repository, count, *options):
    """Straight from the web server."""
    return clones(lab.gateway, repository, count, *options, ca=lab.world.ca_file)


def mirror_folder(lab, repository):
    """Of the mirror, or None."""
    root = f"{lab.dir}/state/mirrors"
    for name in os.listdir(root):
        with contextlib.suppress(OSError), open(f"{root}/{name}/about") as f:
            if repository.name in f.read():
                return f"{root}/{name}/repo.git"
    return None


def warm(lab, repository):
    """Clone until there is a mirror; then wait for its first maintenance, which packs it and writes the bitmap."""
    def there():
        ours(lab, repository, 1, "--depth", "1")
        return mirror_folder(lab, repository)
    folder = wait_for("a mirror", there, step=0.2)
    graphs = f"{folder}/objects/info/commit-graphs/commit-graph-chain"
    wait_for("its maintenance", lambda: os.path.exists(graphs), step=0.1, timeout=300)	# what it writes last


def spooled(lab):
    """Names of the answers that are kept."""
    folder = f"{lab.dir}/state/mirrors/spool"
    return {f"{folder}/{name}" for name in os.listdir(folder) if not name.startswith("new-")}


def forget_answers(lab):
    """What was kept is gone; the mirrors stay."""
    for name in spooled(lab):
        os.unlink(name)


# ---- CPU time

def group_root():
    """Where control groups of version 2 are."""
    with open("/proc/mounts") as f:
        return next(fields[1] for fields in map(str.split, f) if fields[2] == "cgroup2")


class Account:
    """CPU time of these processes, their threads, and all that they start from now on."""

    def __init__(self, name, pids):
        self._home = group_root()
        self._group = f"{self._home}/cordon-bench-{os.getpid()}-{name}"
        os.mkdir(self._group)
        self._move(pids, self._group)

    @staticmethod
    def _move(pids, group):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError), open(f"{group}/cgroup.procs", "w") as f:
                f.write(str(pid))

    def ms(self):
        with open(f"{self._group}/cpu.stat") as f:
            return next(int(v) / 1000 for k, v in map(str.split, f) if k == "usage_usec")

    def spent(self, action):
        """(milliseconds of CPU, what action() gave)."""
        before = self.ms()
        got = action()
        return self.ms() - before, got

    def close(self):
        with open(f"{self._group}/cgroup.procs") as f:
            self._move(f.read().split(), self._home)
        with contextlib.suppress(OSError):		# a program that ends just now
            os.rmdir(self._group)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def account_ours(lab):
    return Account("ours", [pid for daemon in DAEMONS for pid in lab.pids(daemon)])


def account_theirs(lab):
    return Account("theirs", lab.internet.pids("apache2"))
