"""Mirrors, for the administrator: configuration, disk space, and `cordon mirror`."""

import contextlib
import json
import os
import random
import re
import socket
import stat
import struct
import subprocess
import threading
import time

import pytest

from lab import ROOT, write
from labgit import GIT, Repository
from labmirror import mirrors as folders
from labmirror import MIRRORED, Crowd, abouts, clone, events, head, maintained, mirror_of, warm
from labnet import wait_for


@pytest.fixture
def mirrors(labs, world):
    """lab, origin = mirrors(window="1s"): a lab with this git.mirrors, and a repository. `mirrors.more()` makes another."""
    made = []

    def more(**options):
        made.append(Repository(world.repos, f"acme/a{os.getpid()}-{len(made)}", **options))
        return made[-1]

    def make(profiles=None, **mirrors):
        lab = labs(profiles=profiles or {"agent": MIRRORED}, up=False,
                   config={"git": {"upstream_ca_file": world.ca_file, "mirrors": mirrors}})
        text = open(lab.config_file).read()
        for value in filter(lambda v: isinstance(v, str), mirrors.values()):
            text = text.replace(f'"{value}"', str(value))	# times and sizes stand without quotes
        write(lab.config_file, text)
        lab.mirrors = f"{lab.dir}/state/mirrors"
        lab.up()
        lab.add_sandbox()
        return lab, more()
    make.more = more
    yield make
    for origin in made:
        origin.remove()


def bulk(repo, n):
    """Make a repository so large: a commit with bytes that do not compress."""
    text = random.Random(repo.name).randbytes(n)
    repo.git("config", "core.bigFileThreshold", "1g")
    blob = f"{repo.path}/bulk"
    with open(blob, "wb") as f:
        f.write(text)
    oid = repo.git("hash-object", "-w", blob)
    repo.git("fast-import", "--quiet",
             input="commit refs/heads/main\ncommitter A <a@lab.invalid> 1800000000 +0000\ndata 1\nx"
                   f"from {repo.tip()}\nM 100644 {oid} bulk\n")
    os.unlink(blob)


def disk(lab):
    """Bytes that mirrors and answers take."""
    total = 0
    for dir, _, names in os.walk(f"{lab.dir}/state/mirrors"):
        for name in names:
            try:
                total += os.stat(f"{dir}/{name}").st_blocks * 512
            except FileNotFoundError:		# it is at work
                pass
    return total


def mirrored(lab):
    """Names of the repositories that are on disk."""
    return set(abouts(lab).values())


def listed(lab, origin):
    done = lab.sandbox.git("ls-remote", origin.url, "refs/heads/main")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


# ---- git.mirrors ----

@pytest.mark.parametrize("window, fresh", [("60s", False), ("1ms", True)])
def test_answers_are_shared_within_the_window(mirrors, window, fresh):
    lab, origin = mirrors(window=window)
    before = listed(lab, origin)
    after = origin.commit()
    assert listed(lab, origin) == (after if fresh else before)


def test_who_was_shown_a_commit_is_shown_no_older_one(mirrors):
    """Within the window answers to other questions are shared no more when a later one contradicts them."""
    lab, origin = mirrors(window="60s")
    before = listed(lab, origin)
    first = head(lab, clone(lab, origin))
    after = origin.commit()
    assert listed(lab, origin) == first == before != after
    assert after in lab.sandbox.git("ls-remote", "--heads", origin.url).stdout, "a question that nobody asked before"
    assert listed(lab, origin) == after
    assert head(lab, clone(lab, origin)) == after


def test_mirrors_and_answers_stay_within_max_bytes(mirrors):
    """The repository that was used longest ago goes; it is fetched again when it is asked for again."""
    lab, first = mirrors(max_bytes="8MiB")
    every = [first] + [mirrors.more() for _ in range(4)]
    for repo in every:
        bulk(repo, 3 << 19)
        warm(lab, repo)
    wait_for("an eviction", lambda: events(lab, "evicted", first))
    wait_for("no more than allowed", lambda: disk(lab) <= 8 << 20)
    assert first.name not in mirrored(lab)
    assert not events(lab, "evicted", every[-1])
    warm(lab, first)
    assert head(lab, clone(lab, first)) == first.tip()


def test_a_repository_that_is_too_large_is_upstreams(mirrors):
    lab, origin = mirrors(max_bytes="8MiB")
    bulk(origin, 3 << 20)
    clone(lab, origin)
    wait_for("its size to be known", lambda: events(lab, "too_large", origin))
    for _ in range(2):
        assert head(lab, clone(lab, origin)) == origin.tip()
    assert len(events(lab, "too_large", origin)) == 1
    assert {e["source"] for e in lab.audit.events(event="git", repo=origin.name) if "source" in e} == {"upstream"}
    assert disk(lab) < 2 << 20


# ---- cordon mirror ----

def message_type(name):
    """Its number in base/msg.h."""
    text = open(f"{ROOT}/base/msg.h").read()
    names = re.sub(r"/\*.*?\*/", "", re.search(r"enum msg_type \{(.*?)\};", text, re.S)[1], flags=re.S)
    return [n.split("=")[0].strip() for n in names.split(",")].index(name)


def ask(lab, *words, status=0):
    """Rows of `cordon mirror --json`."""
    done = lab.cordon("mirror", "--json", *words)
    assert done.returncode == status, done.stderr + lab.logs()
    return json.loads(done.stdout)


def full(repo):
    return repo.url.removeprefix("https://")


def repository(lab, repo):
    """The bare repository of its mirror."""
    return f"{mirror_of(lab, repo)}/repo.git"


def mirror_git(lab, repo, *argv):
    """git in it, as who owns it."""
    path = repository(lab, repo)
    owner = os.stat(path)
    done = subprocess.run(["git", "--git-dir", path, *argv], user=owner.st_uid, group=owner.st_gid, extra_groups=[],
                          env=GIT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def packs(lab, repo):
    return {n for n in os.listdir(f"{repository(lab, repo)}/objects/pack") if n.endswith(".pack")}


def test_prewarm_makes_the_first_clone_the_mirrors(mirrors):
    """And ls shows it, with what it cost; nothing that no profile grants is fetched."""
    lab, origin = mirrors()
    row, = ask(lab, "prewarm", full(origin))
    assert row["result"] == "up to date" and row["state"] in ("ready", "maintaining")
    row, = ask(lab, "ls")
    assert (row["host"], row["repo"], row["credential"]) == ("github.com", origin.name, "")
    assert row["refs"] >= 2 and row["refreshed"]
    event, = events(lab, "refreshed", origin)
    assert event["objects"] == int(origin.git("rev-list", "--all", "--objects", "--count")) and event["bytes"] > 0
    assert head(lab, clone(lab, origin)) == origin.tip()
    lab.audit.until(lambda es: len(es) >= 3, event="git", decision="allow")
    assert lab.audit.events(event="git", method="POST")[-1]["source"] == "mirror"
    wait_for("its use to be known", lambda: ask(lab, "ls")[0]["used"])
    text = lab.cordon("mirror", "ls").stdout
    assert f"github.com/{origin.name}" in text and "REPOSITORY" in text
    refused, = ask(lab, "prewarm", "github.com/other/thing", status=1)
    assert refused["result"] == "failed" and "grants" in refused["text"]
    assert not lab.web.requests(host="github.com", path="/other/thing.git/info/refs")
    counts = json.loads(lab.cordon("status", "--json").stdout)["mirrors"]
    assert counts["count"] == 1 and counts["misses"] >= 1 and counts["bytes"] > 0


def test_what_was_saved(mirrors):
    """Of each mirror, and of all: what clients had from here and upstream had not to send; how upstream answered."""
    lab, origin = mirrors(window="60s")
    other = mirrors.more()
    for repo in (origin, other):
        bulk(repo, 1 << 20)
    ask(lab, "prewarm", full(origin))
    size = ask(lab, "ls", full(origin))[0]["received_bytes"]
    assert size > 1 << 20
    for _ in range(3):
        clone(lab, origin)

    def counted():
        row, = ask(lab, "ls", full(origin))
        return row["served_bytes"] >= 3 * size - (3 << 16) and row
    row = wait_for("its counts", counted)
    assert row["received_bytes"] == size and row["saved_bytes"] == row["served_bytes"] - size
    assert row["questions"] >= 2 and row["questions_shared"] >= 2 and 0 <= row["upstream_ms"] < 60000
    ask(lab, "prewarm", full(other))
    unused, = ask(lab, "ls", full(other))
    assert unused["served_bytes"] == unused["saved_bytes"] == 0 < unused["received_bytes"]
    total = json.loads(lab.cordon("status", "--json").stdout)["mirrors"]
    for key in ("served_bytes", "received_bytes", "questions", "questions_shared"):
        assert total[key] == row[key] + unused[key], key
    text = lab.cordon("mirror", "ls").stdout
    assert "SAVED" in text and " MiB" in text


@pytest.mark.parametrize("words, status, said", [
    ([], 2, "too few words"), (["zzz"], 2, "ls, prewarm, gc, rm or verify"), (["rm"], 2, "or --all"),
    (["prewarm"], 2, "git.mirrors.prewarm is empty"), (["gc", "acme/widgets"], 2, "HOST/OWNER/NAME"),
    (["rm", "github.com/acme/none"], 1, "cordon mirror ls"), (["ls", "github.com/acme/none"], 1, "cordon mirror ls"),
])
def test_what_cannot_be_done_says_what_to_do(lab, words, status, said):
    done = lab.cordon("mirror", *words)
    assert done.returncode == status and said in done.stderr and done.stderr.count("\n") == 1


def test_only_root_may_ask(lab):
    sock = os.stat(f"{lab.dir}/run/mirror.sock")
    assert stat.S_IMODE(sock.st_mode) == 0o600 and sock.st_uid == 0
    os.chmod(f"{lab.dir}/run/mirror.sock", 0o666)		# even so: the kernel says who it is
    try:
        done = lab.gateway.run(["setpriv", "--reuid=63000", "--regid=63000", "--clear-groups", "python3", "-c",
                                "import socket,sys; s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
                                f"s.connect('{lab.dir}/run/mirror.sock'); sys.exit(len(s.recv(100)))"])
        assert done.returncode == 0, done.stderr		# closed without a word
    finally:
        os.chmod(f"{lab.dir}/run/mirror.sock", 0o600)


def control(lab):
    s = lab.gateway.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(60)
    s.connect(f"{lab.dir}/run/mirror.sock")
    return s


def question(command, full=0, host=b"", repo=b"", kind="MSG_MIRROR_DO", cut=None):
    """struct msg_mirror_do, as cordon sends it."""
    body = struct.pack("=II256s256s", command, full, host, repo)[:cut]
    return struct.pack("=HHI", message_type(kind), len(body), 1) + body


LIST, PREWARM, REMOVE, VERIFY = 1, 2, 4, 5		# enum msg_mirror_command
CONNECTIONS = 16


@pytest.mark.parametrize("bad", [
    b"", b"\0", question(0), question(99), question(VERIFY, full=2), question(REMOVE, host=b"github.com"),
    question(REMOVE, repo=b"acme/widgets"), question(REMOVE, host=b"github.com", repo=b"acme/\x1b[2J"),
    question(REMOVE, host=b"g" * 256, repo=b"r" * 256), question(PREWARM), question(LIST, cut=-1),
    question(LIST) + b"\0", question(LIST, kind="MSG_MIRROR_ASK"), question(LIST, kind="MSG_DONE"),
], ids=lambda b: str(len(b)))
def test_a_malformed_question_ends_its_connection_alone(lab, bad):
    """Nothing is done, nothing is said, and others are served as before."""
    before = sorted(os.listdir(f"{lab.dir}/state/mirrors"))
    with control(lab) as good, control(lab) as s:
        s.send(bad)
        assert s.recv(1 << 16) == b""
        good.send(question(LIST))
        said = good.recv(1 << 16)
    assert struct.unpack("=HHI", said[:8])[0] in (message_type("MSG_MIRROR_ROW"), message_type("MSG_REPLY"))
    assert sorted(os.listdir(f"{lab.dir}/state/mirrors")) == before


def served(lab):
    """A connection that was answered, or None."""
    s = control(lab)
    with contextlib.suppress(ConnectionError):
        s.send(question(LIST))
        if s.recv(1 << 16):
            return s
    s.close()
    return None


def test_so_many_may_ask_at_once(lab):
    """Who is one too many finds his connection ended; when one goes there is room."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(wait_for("a place", lambda: served(lab))) for _ in range(CONNECTIONS)]
        with control(lab) as one_more:
            assert one_more.recv(100) == b""
        held.pop().close()
        stack.enter_context(wait_for("room", lambda: served(lab)))


def test_rm_takes_the_repository_and_its_answers(mirrors):
    lab, origin = mirrors()
    other = mirrors.more()
    for repo in (origin, other):
        warm(lab, repo)
    row, = ask(lab, "rm", full(origin))
    assert row["result"] == "removed" and mirrored(lab) == {other.name}
    assert len(events(lab, "removed", origin)) == 1
    domains = {os.path.basename(m) for m in folders(lab)}
    assert {n.split(".")[0] for n in os.listdir(f"{lab.dir}/state/mirrors/spool")} <= domains
    warm(lab, origin)						# and it comes back when it is wanted
    assert {r["repo"] for r in ask(lab, "rm", "--all")} == {origin.name, other.name}
    assert ask(lab, "ls") == []


def test_clones_go_on_while_mirrors_are_removed(mirrors):
    """Whatever is removed under them, clients get what upstream has, or an error: never something else."""
    lab, origin = mirrors()
    bulk(origin, 1 << 20)
    warm(lab, origin)
    ended = threading.Event()
    crowd = Crowd(4, lambda i: [clones(lab, origin, f"c{i}-{n}", ended) for n in range(6)])
    try:
        for _ in range(8):
            lab.cordon("mirror", "rm", full(origin))
            lab.cordon("mirror", "prewarm", full(origin), check=True)
    finally:
        ended.set()
    assert any(any(r) for r in crowd.results())


def clones(lab, repo, to, ended=None):
    """Did it? Then it is all there."""
    done = lab.sandbox.git("clone", "-q", repo.url, to)
    if done.returncode == 0:
        assert head(lab, to) == repo.tip()
        assert lab.sandbox.git("-C", to, "fsck", "--full").returncode == 0
    return done.returncode == 0


def test_verify_removes_what_is_damaged(mirrors):
    lab, origin = mirrors()
    bulk(origin, 1 << 20)
    warm(lab, origin)
    maintained(lab, origin)
    assert ask(lab, "verify")[0]["result"] == "whole"
    assert ask(lab, "verify", "--full")[0]["result"] == "whole"
    pack = max((f"{repository(lab, origin)}/objects/pack/{n}" for n in packs(lab, origin)), key=os.path.getsize)
    os.chmod(pack, 0o600)
    with open(pack, "r+b") as f:
        f.seek(os.path.getsize(pack) // 2)
        f.write(b"damage")
    row, = ask(lab, "verify", "--full", status=1)
    assert row["result"] == "failed" and "damaged" in row["text"]
    assert mirrored(lab) == set() and len(events(lab, "damaged", origin)) == 1
    warm(lab, origin)
    assert head(lab, clone(lab, origin)) == origin.tip()
    assert ask(lab, "verify", "--full")[0]["result"] == "whole"


def test_leaving_a_command_harms_nothing(mirrors):
    """Interrupted while upstream keeps it waiting; what it began is finished."""
    lab, origin = mirrors()
    bulk(origin, 8 << 20)
    with control(lab) as s:				# and gone at once
        s.send(question(PREWARM, host=b"github.com", repo=origin.name.encode()))
    wait_for("the mirror", lambda: ask(lab, "ls") and events(lab, "refreshed", origin))
    assert mirrored(lab) == {origin.name}


# ---- maintenance ----

def test_maintenance_joins_packs_and_writes_an_index(mirrors):
    """In the background, after the first fetch; again when packs have come together."""
    lab, origin = mirrors(window="1ms")
    warm(lab, origin)
    maintained(lab, origin)
    names = os.listdir(f"{repository(lab, origin)}/objects/pack")
    assert "multi-pack-index" in names and [n for n in names if n.endswith(".bitmap")]
    assert os.path.exists(f"{repository(lab, origin)}/objects/info/commit-graphs/commit-graph-chain")
    for _ in range(8):
        origin.commit()
        ask(lab, "prewarm", full(origin))
    ask(lab, "gc", full(origin))
    assert len(packs(lab, origin)) <= 3
    mirror_git(lab, origin, "fsck", "--full")
    assert head(lab, clone(lab, origin)) == origin.tip()


def test_expired_pins_go_and_the_others_stay(mirrors):
    lab, origin = mirrors()
    warm(lab, origin)
    day, tip = int(time.time()) // 86400, origin.tip()
    for ago in (-1, 0, 1, 2, 3, 400):
        mirror_git(lab, origin, "update-ref", f"refs/keep/{day - ago}/{tip}", tip)
    ask(lab, "gc", full(origin))
    left = mirror_git(lab, origin, "for-each-ref", "--format=%(refname)", "refs/keep/").split()
    assert {int(name.split("/")[2]) - day for name in left} == {1, 0, -1}


def test_leavings_of_killed_programs_go(mirrors):
    lab, origin = mirrors()
    warm(lab, origin)
    maintained(lab, origin)
    path = repository(lab, origin)
    left = [f"{path}/packed-refs.lock", f"{path}/refs/heads/main.lock", f"{path}/objects/pack/tmp_pack_abc",
            f"{path}/objects/pack/multi-pack-index.lock", f"{path}/objects/pack/.tmp-1-pack-abc.pack"]
    for name in left:
        write(name, "")
    ask(lab, "gc", full(origin))
    assert not [name for name in left if os.path.exists(name)]


def test_clones_beside_maintenance_are_exact(mirrors):
    """Maintenance in a loop, upstream changing, and clients that clone all the while."""
    lab, origin = mirrors(window="1ms")
    bulk(origin, 1 << 20)
    warm(lab, origin)
    ended = threading.Event()

    def maintain(_):
        n = 0
        while not ended.is_set():
            ask(lab, "gc", full(origin))
            n += 1
        return n

    keeper = Crowd(1, maintain)
    try:
        for i in range(12):
            tip = origin.commit()
            for depth in ([], ["--depth", "1"]):
                to = clone(lab, origin, *depth)
                assert head(lab, to) == tip
                assert lab.sandbox.git("-C", to, "fsck", "--full").returncode == 0
    finally:
        ended.set()
    assert keeper.results()[0] > 0
    sources = {e["source"] for e in lab.audit.events(event="git", method="POST") if "source" in e}
    assert "mirror" in sources
    mirror_git(lab, origin, "fsck", "--full")


# ---- the prewarm list ----

def test_the_list_is_fetched_at_the_start_and_kept_fresh(mirrors, world):
    """Though no profile grants it; and nothing but one question a time while nothing changes."""
    listed = mirrors.more()
    lab, other = mirrors(profiles={"agent": {**MIRRORED, "git": {**MIRRORED["git"], "allowed_repos": ["private/*"]}}},
                         prewarm=[full(listed)], prewarm_every="1s")
    first, = wait_for("the first fetch", lambda: events(lab, "refreshed", listed))
    assert mirrored(lab) == {listed.name}

    def posts():
        return len([r for r in lab.web.requests(host="github.com", method="POST") if listed.name in r.path])
    before = posts()
    wait_for("three more looks", lambda: posts() >= before + 3)
    assert len(events(lab, "refreshed", listed)) == 1
    tip = listed.commit()
    wait_for("the commit", lambda: tip in mirror_git(lab, listed, "rev-parse", "refs/heads/main"))
    refused, = ask(lab, "prewarm", full(other), status=1)
    assert "git.mirrors.prewarm" in refused["text"]
