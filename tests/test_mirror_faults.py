"""Mirrors under stress: storms of clones while references move, killed daemons and children, full disks (D13).

No answer is ever corrupt: each clone is checked by git fsck and stands on a commit that upstream had. Nothing hangs:
a client that does runs into the patience of the lab.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import threading

import pytest

from lab import row
from labhttp import Closed, Wire, ls_refs, post
from labmirror import (Crowd, ask_repo, clone, fetch_body, head, mirror_git, mirror_lab, mirror_of, mirrors, objects_of, pack_of,
                       sources, spooled, warm)
from labnet import ENV, PATIENCE, stat_of, wait_for
from test_mirror_rights import restart_mirror

# What the mirror runs instead of git. Flags are files beside the mirrors, where it may look.
GIT = """#!/bin/sh
real=/usr/lib/git-core/git
for word in "$@"; do
	test -e "MIRRORS/kill-$word" || continue
	case $word in
	upload-pack) $real "$@" | head -c 3000;;			# in the middle of an answer
	index-pack) head -c 100 >/dev/null;;				# in the middle of a pack
	update-ref) : >"${1#--git-dir=}/refs/heads/main.lock";;		# with a lock in its hands
	esac
	echo >>"MIRRORS/killed-$word"
	kill -9 $$
done
for word in "$@"; do
	test -e "MIRRORS/hang-$word" || continue
	$real "$@" | head -c 3000
	echo >>"MIRRORS/hangs-$word"
	exec sleep 1000
done
exec $real "$@"
"""


def instead_of_git(lab):
    path = f"{lab.dir}/git"
    with open(path, "w") as f:
        f.write(GIT.replace("MIRRORS", f"{lab.dir}/state/mirrors"))
    os.chmod(path, 0o755)
    lab.gateway.run(["mount", "--bind", path, "/usr/bin/git"], check=True)


@pytest.fixture(scope="module")
def lab(world):
    with mirror_lab(world, prepare=instead_of_git) as lab:
        yield lab


@pytest.fixture
def flag(lab):
    """flag(name): raised until the test ends, or lowered by flag(name, False)."""
    raised = set()

    def set_flag(name, up=True):
        path = f"{lab.mirrors}/{name}"
        if up:
            open(path, "w").close()
            raised.add(path)
        else:
            os.unlink(path)
            raised.discard(path)
    yield set_flag
    for path in raised:
        os.unlink(path)


@pytest.fixture
def server(lab):
    lab.server.reset()
    return lab.server


@pytest.fixture
def origin(server, request):
    repo = server.repository("acme/" + request.node.name.replace("[", "-").replace("]", "").replace("_", "-"), 40)
    yield repo
    repo.remove()


@pytest.fixture
def warmed(lab, origin):
    warm(lab, origin)
    return origin


def descendants(lab):
    """Every process of git below the mirror: {pid: command line}."""
    below, found = {lab.daemon("cordon-mirror")}, {}
    more = True
    while more:
        more = False
        for pid in lab.gateway.pids():
            if pid not in below and stat_of(pid)[1] in below:
                below.add(pid)
                more = True
                with contextlib.suppress(OSError):
                    found[pid] = open(f"/proc/{pid}/cmdline").read().replace("\0", " ")
    return found


def whole(lab, to):
    done = lab.sandbox.git("-C", to, "fsck", "--full", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


# ---- storms ----

STORM, ROUNDS = 200, 3		# clients at once, by hand, and clones of each; beside them a few real gits
KINDS = {"whole": [], "shallow": ["deepen 1"], "blobless": ["filter blob:none"]}


class Pusher(threading.Thread):
    """Forces, makes and deletes branches of a repository until it is left; .pushed: what heads ever were."""

    def __init__(self, repo):
        super().__init__(daemon=True)
        self._repo, self._over, self._error = repo, threading.Event(), None
        self.pushed = {repo.tip()}
        self.pushes = 0

    def run(self):
        try:
            base = self._repo.git("rev-parse", "main~20")
            while not self._over.is_set():
                self._push(self.pushes, base)
                self.pushes += 1
        except BaseException as e:
            self._error = e

    def _push(self, n, base):
        if n % 3 == 2:
            old = self._repo.git("rev-parse", f"{base}~{n % 7}")
            self.pushed.add(old)
            self._repo.git("update-ref", "refs/heads/main", old)
        self._repo.commit(before=self.pushed.add)
        if n % 2:
            self._repo.commit(f"side/{n % 5}", onto="main", before=self.pushed.add)
        else:
            self._repo.git("update-ref", "-d", f"refs/heads/side/{(n + 1) % 5}")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()
        if self._error:
            raise self._error


def refs_of(body):
    """{name: id} of an answer to ls-refs."""
    assert body.endswith(b"0000"), body[-100:]
    return {name: oid for oid, name in re.findall(r"([0-9a-f]{40}) (\S+)", body.decode())}


def packfile_of(body):
    """(id that is shallow or None, pack) of an answer to a fetch; no error, no rest."""
    shallow = re.match(rb"0011shallow-info\n0034shallow ([0-9a-f]{40})0001", body)
    return shallow and shallow[1].decode(), pack_of(body[shallow.end() if shallow else 0:])[0]


def storm_clones(lab, repo, pushed, kind, together):
    """Clones by hand, one after the other: [(repo, kind, what was wanted, the pack)]."""
    with Wire(lab.sandbox, "gitlab.com", timeout=2 * PATIENCE) as wire:
        together.wait()
        return [storm_clone(repo, pushed, kind, lambda body: wire.send(post(repo.name, body, host="gitlab.com")).response().body)
                for _ in range(ROUNDS)]


def storm_clone(repo, pushed, kind, ask):
    refs = refs_of(ask(ls_refs("HEAD", "refs/heads/", "refs/tags/")))
    heads = {oid for name, oid in refs.items() if not name.startswith("refs/tags/")}
    assert heads <= pushed, heads - pushed
    wants = [refs["HEAD"]] if kind == "shallow" else sorted(heads)
    body = ask(fetch_body(*wants, options=["no-progress", *KINDS[kind]]))
    assert b"packfile" in body, body[:200]
    shallow, pack = packfile_of(body)
    assert shallow == (wants[0] if kind == "shallow" else None)
    return repo, kind, tuple(wants), pack


def expected(repo, kind, wants):
    """Ids of all that such an answer has, as upstream says."""
    words = {"whole": [], "shallow": ["--max-count=1"], "blobless": ["--filter=blob:none"]}[kind]
    return {line.split()[0] for line in repo.git("rev-list", "--objects", *words, *wants).splitlines()}


@row("D13")
def test_storm(world):
    """Two hundred clients of two repositories, all begun at once, while their branches are forced, made and deleted: each
    clone has exactly the objects that it asked for, as upstream has them, and none of another; no want is unknown."""
    with mirror_lab(world, window="20ms") as lab:		# or they would all ask for the same
        repos = [lab.server.repository(f"acme/storm{i}", 40) for i in range(2)]
        for repo in repos:
            warm(lab, repo)
        storm(lab, *repos)


def storm(lab, one, two):
    together, kinds = threading.Barrier(STORM), list(KINDS)
    with Pusher(one) as first, Pusher(two) as second:
        crowd = Crowd(STORM, lambda i: storm_clones(lab, *((one, first.pushed), (two, second.pushed))[i % 2],
                                                    kinds[i // 2 % 3], together))
        gits = [clone(lab, one, *options) for options in ([], ["--depth=1"], ["--filter=blob:none"], ["--no-tags"])]
        answers = sum(crowd.results(), [])
    assert len(answers) == STORM * ROUNDS
    assert len({(repo, wants) for repo, _, wants, _ in answers}) >= 6		# or it was no storm
    for repo, kind, wants, pack in set(answers):
        assert objects_of(pack) == expected(repo, kind, wants), (repo.name, kind, wants)
    for to in gits:
        assert head(lab, to) in first.pushed
        whole(lab, to)
    for repo in (one, two):
        done = subprocess.run(["git", "-c", "safe.directory=*", f"--git-dir={mirror_of(lab, repo)}/repo.git", "fsck",
                               "--full"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    lab.audit.until(lambda es: len(es) >= 2 * STORM * ROUNDS, event="git", decision="allow", method="POST")
    assert {s for s, _ in sources(lab)} >= {"mirror"}
    lab.audit.no_refusals()


# ---- children ----

VICTIMS = ["index-pack", "upload-pack", "update-ref", "cat-file", "for-each-ref", "symbolic-ref"]


@row("D13")
@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_child(lab, server, warmed, flag, victim):
    """One of git's programs is killed in the middle whenever it runs. A client has its answer by another way, or a
    broken one; then all is as before, with nothing left over."""
    flag(f"kill-{victim}")
    for n in range(2):
        warmed.git("symbolic-ref", "HEAD", "refs/heads/" + ("main" if n else "other"))
        warmed.commit("other", onto="main")
        fresh = warmed.commit()
        try:
            assert fresh in objects_of(pack_of(ask_repo(lab, warmed, fetch_body(fresh)).body)[0])
        except Closed:
            assert victim == "upload-pack"
    wait_for("it to have been killed", lambda: os.path.exists(f"{lab.mirrors}/killed-{victim}"))
    flag(f"kill-{victim}", False)
    fresh = warmed.commit()
    lab.audit.mark()
    for _ in range(2):
        assert fresh in objects_of(pack_of(ask_repo(lab, warmed, fetch_body(fresh)).body)[0])
    lab.audit.until(lambda es: len(es) == 2, event="git", decision="allow")
    assert sources(lab)[1][0] == "spool"
    wait_for("no child to be left", lambda: not descendants(lab))
    assert not os.path.exists(f"{mirror_of(lab, warmed)}/incoming")
    assert not [f for f in files_of(mirror_of(lab, warmed)) if f.endswith(".lock") and "/objects/" not in f]


@row("D13")
def test_left_behind_locks(lab, server, warmed):
    """Lock files of programs that were killed do not stop the references for ever."""
    git = f"{mirror_of(lab, warmed)}/repo.git"
    for name in ("HEAD.lock", "packed-refs.lock", "refs/heads/main.lock", "refs/heads/new.lock", "config.lock"):
        with open(f"{git}/{name}", "w"):
            pass
    warmed.commit("new", onto="main")
    fresh = warmed.commit()
    assert fresh in objects_of(pack_of(ask_repo(lab, warmed, fetch_body(fresh)).body)[0])
    wait_for("the mirror's branch", lambda: mirror_git(lab, warmed, "rev-parse", "refs/heads/main").strip() == fresh)
    assert mirror_git(lab, warmed, "rev-parse", "refs/heads/new").strip() == warmed.tip("new")


# ---- the daemon ----

@row("B17", "D13")
def test_restart_finds_everything(lab, server, warmed):
    """After a kill -9 mirrors and answers are there, half-made ones are not, and nothing runs on."""
    body = fetch_body(warmed.tip(), options=["include-tag"])
    assert warmed.tip() in objects_of(pack_of(ask_repo(lab, warmed, body).body)[0])
    folder = mirror_of(lab, warmed)
    kept = [f for f in spooled(lab) if f.startswith(folder.rsplit("/", 1)[1])]
    assert kept
    os.mkdir(f"{folder}/incoming")
    open(f"{lab.mirrors}/spool/new-0000000000000007", "w").close()
    other = server.repository("acme/half", 3)
    held = threading.Event()
    server.change = lambda asked, answer: (held.wait(PATIENCE) and None) if asked.kind == "fetch" and \
        asked.repo == other.name and "cordon" in asked.agent else None
    clone(lab, other)
    wait_for("its fetch", lambda: [a for a in server.asked if a.repo == other.name and "cordon" in a.agent
                                   and a.kind == "fetch"])
    half = set(mirrors(lab)) - {folder}
    assert half
    children = descendants(lab)
    restart_mirror(lab, warmed)
    held.set()
    wait_for("its children to be gone", lambda: not [p for p in children if os.path.exists(f"/proc/{p}")])
    server.reset()
    lab.audit.mark()
    assert warmed.tip() in objects_of(pack_of(ask_repo(lab, warmed, body).body)[0])
    lab.audit.until(lambda es: "spool" in {e.get("source") for e in es}, event="git", decision="allow")
    assert server.count("fetch") == 0
    assert not [f for f in spooled(lab) if f == "new-0000000000000007"]
    warm(lab, other)
    other.remove()


@row("B17", "D13")
@pytest.mark.parametrize("how", ["kill", "down"])
def test_killed_while_it_serves(lab, server, warmed, flag, how):
    """In the middle of an answer, its git at work: the client knows that it is broken; nothing runs on."""
    warmed.commit()
    flag("hang-upload-pack")
    clients = Crowd(3, lambda i: broken(lab, warmed))
    wait_for("git at work", lambda: os.path.exists(f"{lab.mirrors}/hangs-upload-pack"))
    children = descendants(lab)
    assert children
    if how == "kill":
        restart_mirror(lab, warmed)
    else:
        lab.signalled = True
        lab.cordon("down", check=True)
    assert clients.results() == [True] * 3
    wait_for("its children to be gone", lambda: not [p for p in children if os.path.exists(f"/proc/{p}")])
    flag("hang-upload-pack", False)
    os.unlink(f"{lab.mirrors}/hangs-upload-pack")
    if how == "down":
        lab.up()
        wait_for("the unit", lambda: lab.sandbox.git("ls-remote", warmed.url).returncode == 0)
    warm(lab, warmed)


def broken(lab, repo):
    """Whether it was no whole answer."""
    try:
        pack_of(ask_repo(lab, repo, fetch_body(repo.tip())).body)
    except (Closed, OSError, AssertionError):
        return True
    return False


@row("D13")
def test_abandoned(lab, server, warmed, flag):
    """All who wanted an answer have left: git is ended, not left to itself."""
    flag("hang-upload-pack")
    with contextlib.suppress(OSError):
        os.unlink(f"{lab.mirrors}/hangs-upload-pack")
    client = lab.sandbox.start(["git", "clone", "-q", warmed.url, f"{lab.sandbox.dir}/home/abandoned", "--depth=7"])
    wait_for("git at work", lambda: os.path.exists(f"{lab.mirrors}/hangs-upload-pack"))
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    wait_for("git to be ended", lambda: not descendants(lab))


@row("B17")
def test_stopped(lab, server, warmed):
    """While it is stopped nobody gets a wrong answer; a client that gives up leaves nothing; then it goes on."""
    pid = lab.daemon("cordon-mirror")
    lab.signalled = True
    os.kill(pid, signal.SIGSTOP)
    try:
        waiting = Crowd(4, lambda i: ask_repo(lab, warmed, fetch_body(warmed.tip(), options=[f"deepen {i + 1}"])))
        gone = lab.sandbox.start(["git", "clone", "-q", warmed.url, f"{lab.sandbox.dir}/home/gone"])
        wait_for("a client of it", lambda: gone.poll() is None)
        os.killpg(gone.pid, signal.SIGKILL)
        gone.wait()
    finally:
        os.kill(pid, signal.SIGCONT)
    for got in waiting.results():
        assert b"packfile" in got.body
    warm(lab, warmed)


# ---- programs that hang ----

@row("D13")
@pytest.mark.parametrize("victim", ["upload-pack", "for-each-ref"])
def test_hung_child(world, victim):
    """git.timeouts.idle is also git's: what says nothing for so long is ended, and the client has another answer or knows
    that his is broken."""
    with mirror_lab(world, times={"idle": "2s"}, prepare=instead_of_git) as lab:
        repo = lab.server.repository("acme/hung", 40)
        warm(lab, repo)
        fresh = repo.commit()
        path = f"{lab.mirrors}/hang-{victim}"
        open(path, "w").close()
        client = Crowd(1, lambda i: broken(lab, repo))
        wait_for("git at work", lambda: os.path.exists(f"{lab.mirrors}/hangs-{victim}"))
        assert client.results() == [victim == "upload-pack"]
        wait_for("git to be ended", lambda: not descendants(lab))
        os.unlink(path)
        warm(lab, repo)
        assert head(lab, clone(lab, repo)) == fresh


@row("D13")
def test_what_a_child_may_take(lab, server, warmed, flag, tmp_path):
    """Its memory is bounded, and that is enough for packs that are larger than the bound: those, here, under a smaller one
    and as it is told to work."""
    flag("hang-upload-pack")
    with contextlib.suppress(OSError):
        os.unlink(f"{lab.mirrors}/hangs-upload-pack")
    client = lab.sandbox.start(["git", "clone", "-q", warmed.url, f"{lab.sandbox.dir}/home/bounded", "--depth=9"])
    wait_for("git at work", lambda: os.path.exists(f"{lab.mirrors}/hangs-upload-pack"))
    git = next(iter(descendants(lab)))
    limits = open(f"/proc/{git}/limits").read()
    env = dict(word.split("=", 1) for word in open(f"/proc/{git}/environ").read().split("\0") if word)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    assert int(re.search(r"Max data size +(\d+)", limits)[1]) <= 6 << 30
    assert int(re.search(r"Max core file size +(\d+)", limits)[1]) == 0
    repo = large_pack(f"{tmp_path}/large", PACK_BYTES)
    bound = ["prlimit", f"--data={PACK_BYTES // 2}"]
    tip = subprocess.run(["git", "-C", repo, "rev-parse", "main"], capture_output=True, check=True, env=ENV).stdout.decode()
    packed = {**env, "GIT_PROTOCOL": "version=2"}
    done = subprocess.run([*bound, "git", f"--git-dir={repo}", "upload-pack", "--stateless-rpc", "--strict", repo],
                          input=fetch_body(tip.strip(), options=["no-progress"]), capture_output=True, env=packed)
    assert done.returncode == 0 and len(done.stdout) > PACK_BYTES, done.stderr
    for argv in (["repack", "--geometric=2", "-d", "-q", "--write-midx", "--write-bitmap-index"], ["fsck", "--full"]):
        done = subprocess.run([*bound, "git", f"--git-dir={repo}", *argv], capture_output=True, env=env)
        assert done.returncode == 0, done.stderr


PACK_BYTES = 160 << 20


def large_pack(path, size):
    """A repository whose one pack is larger than this."""
    init = ["git", "init", "-q", "--bare", "-b", "main", path]
    subprocess.run(init, check=True, env=ENV)
    feed = subprocess.Popen(["git", "-C", path, "-c", "core.compression=0", "-c", "core.bigFileThreshold=1g", "fast-import",
                             "--quiet"], stdin=subprocess.PIPE, env=ENV)
    piece = 1 << 20
    with feed.stdin as to:
        for n in range(size // piece + 1):
            to.write(b"commit refs/heads/main\ncommitter A <a@x> %d +0000\ndata 1\nx\nM 100644 inline f%d\ndata %d\n"
                     % (1800000000 + n, n, piece) + random.Random(n).randbytes(piece) + b"\n")
    assert feed.wait() == 0
    return path


# ---- the disk ----

def small_disk(lab):
    """8 MB for mirrors; test and daemon see it by different names."""
    os.makedirs(lab.mirrors, 0o711)
    lab.gateway.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0711", "tmpfs", lab.mirrors], check=True)
    lab.mirrors = f"/proc/{lab.gateway._holder.pid}/root{lab.mirrors}"


def fill(lab, leave):
    """Leave so many bytes free."""
    with open(f"{lab.mirrors}/ballast", "wb") as f:
        with contextlib.suppress(OSError):
            while True:
                f.write(bytes(1 << 16))
                f.flush()
        f.truncate(f.tell() - leave - (1 << 16))


@row("D13")
def test_full_disk(world):
    """What cannot be written here comes from upstream; at most one answer is cut short, and none is wrong."""
    with mirror_lab(world, prepare=small_disk) as lab:
        repo = lab.server.repository("acme/large", 5)
        repo.git("fast-import", "--quiet", input="commit refs/heads/large\ncommitter A <a@x> 1800000000 +0000\ndata 1\nx"
                 f"\nM 100644 inline f\ndata {1 << 20}\n" + os.urandom(1 << 19).hex() + "\n")
        warm(lab, repo)
        cut = 0
        other = lab.server.repository("acme/other", 5)
        for n in range(6):
            if n in (0, 3):
                fill(lab, 0 if n else 400 << 10)		# almost full, then full
            for want in (repo.commit("large"), repo.git("rev-parse", f"large~{n + 1}")):
                try:
                    assert want in objects_of(pack_of(ask_repo(lab, repo, fetch_body(want)).body)[0])
                except Closed:
                    cut += 1
            assert head(lab, clone(lab, other)) == other.tip()
        assert cut <= 1
        os.unlink(f"{lab.mirrors}/ballast")
        restart_mirror(lab, repo)
        warm(lab, repo)
        warm(lab, other)


def files_of(dir):
    return [f"{at}/{name}" for at, _, names in os.walk(dir) for name in names]
