"""What one sandbox, or one upstream, can take of the mirrors away from others: no more than its share."""

import os
import subprocess
import threading
import time
from collections import Counter

import pytest

from labgit import Answer, Repository
from labhttp import Wire, ls_refs, post
from labmirror import MIRRORED, Crowd, abouts, ask_repo, fetch_body, mirror_lab, mirrors, objects_of, pack_of, sources, warm
from labnet import ENV, wait_for

FREE = {**MIRRORED, "limits": {}}
ELSEWHERE = {**FREE, "git": {**FREE["git"], "allowed_hosts": ["github.com"], "allowed_repos": ["acme/*"]}}
SANDBOX_FILLS, FILLS = 2, 8		# at once: gitproxy/mirror/behind.h


@pytest.fixture(scope="module")
def lab(world):
    with mirror_lab(world, profiles={"agent": FREE, "second": FREE, "elsewhere": ELSEWHERE}) as lab:
        lab.add_sandbox("second", "second")
        lab.add_sandbox("elsewhere", "elsewhere")
        yield lab


@pytest.fixture
def server(lab):
    lab.server.reset()
    yield lab.server
    lab.server.reset()


@pytest.fixture
def origin(server, request):
    repo = server.repository("acme/" + request.node.name.replace("[", "-").replace("]", "").replace("_", "-"), 10)
    yield repo
    repo.remove()


def spellings(name, n):
    return ["".join(c.upper() if k >> i & 1 else c for i, c in enumerate(name)) for k in range(n)]


def is_fill(asked):
    return asked.kind == "fetch" and b"no-progress" in asked.body


@pytest.fixture
def held(server):
    """Fills wait for held.set(); held.now: how many do."""
    go = threading.Event()
    go.now = Counter()

    def change(asked, answer):
        if not is_fill(asked):
            return None

        def wait(s):
            go.now[asked.repo] += 1
            go.wait(100)
            s.sendall(answer.text())
        return wait
    server.change = change
    yield go
    go.set()


def many(lab, server, sandbox, names, tip):
    """A fetch of each, of objects that are anywhere; all are answered."""
    with Wire(sandbox, "gitlab.com", timeout=60) as wire:
        for name in names:
            assert wire.send(post(name, fetch_body(tip), host="gitlab.com")).response().status == 200


def test_fills_are_few_and_leave_room(lab, server, held):
    """Who names many repositories fills two at a time, another sandbox still fills, and questions are still asked."""
    repos = [server.repository(f"acme/few-{i}", 3) for i in range(8)]
    other = Repository(lab.world.repos, "acme/elsewhere", 3)
    try:
        tips = [r.tip() for r in repos]
        for repo, tip in zip(repos[:6], tips):
            many(lab, server, lab.sandbox, [repo.name], tip)
        wait_for("fills", lambda: len(held.now) == SANDBOX_FILLS)
        many(lab, server, lab.sandboxes["second"], [repos[6].name], tips[6])
        wait_for("a fill for another", lambda: repos[6].name in held.now)
        assert len(held.now) == SANDBOX_FILLS + 1
        done = lab.sandboxes["elsewhere"].git("ls-remote", other.url)
        assert done.returncode == 0, done.stderr
        held.set()
        warm(lab, repos[5])			# as soon as there is a place
    finally:
        for repo in (*repos, other):
            repo.remove()


def test_all_spellings_are_one_mirror(lab, server, origin):
    """gitlab.com does not mind case: no sandbox fills the disk with spellings of one name, and each is served."""
    warm(lab, origin)
    before = mirrors(lab)
    for spelling in spellings(origin.name.split("/")[1], 12)[1:]:
        lab.audit.mark()
        many(lab, server, lab.sandbox, [f"acme/{spelling}"], origin.tip())
        event, = lab.audit.until(lambda es: len(es) == 1, event="git", decision="allow")
        assert event["source"] in ("mirror", "spool") and event["repo"] == origin.name
    assert mirrors(lab) == before
    assert {a.repo for a in server.asked} == {origin.name}


@pytest.mark.parametrize("status", [400, 408, 413, 429])
def test_what_concerns_one_question_is_no_refusal(lab, server, origin, status):
    """Only the question itself fails; the mirror and its answers stay, for everybody."""
    warm(lab, origin)
    server.change = lambda a, b: Answer(f"{status} Not Now", "text/plain", b"not now") if b"refs/odd" in a.body else None
    got = ask_repo(lab, origin, ls_refs("refs/odd"))
    assert got.reason == "upstream_denied"
    assert server.count("ls-refs") > 0
    lab.audit.mark()
    assert b"packfile" in ask_repo(lab, origin, fetch_body(origin.tip()), sandbox=lab.sandboxes["second"]).body
    lab.audit.until(lambda es: len(es) == 1, event="git", decision="allow")
    assert sources(lab)[0][0] in ("mirror", "spool")
    assert not [f for f in mirrors(lab) if os.path.exists(f"{f}/refused")]


def test_what_git_does_not_take_is_fetched_less_and_less(lab, server, origin):
    """A repository that cannot be mirrored is upstream's, and is not downloaded anew for each request."""
    blob = origin.git("hash-object", "-w", "--stdin", input="x")
    twice = (b"100644 a\0" + bytes.fromhex(blob)) * 2
    tree = subprocess.run(["git", "-c", "safe.directory=*", "-C", origin.path, "hash-object", "-w", "-t", "tree", "--literally",
                           "--stdin"], input=twice, capture_output=True, check=True, env=ENV).stdout.decode().strip()
    commit = origin.git("-c", "user.name=a", "-c", "user.email=a@x", "commit-tree", "-m", "x", tree)
    origin.git("update-ref", "refs/heads/bad", commit)
    failures = f"event=refresh_failed host=gitlab.com repo={origin.name}"

    def failed():
        many(lab, server, lab.sandbox, [origin.name], origin.tip())
        return lab.logs().count(failures)
    for n in (1, 2, 3):
        wait_for(f"failure {n}", lambda: failed() >= n)
    tried = sum(map(is_fill, server.asked))
    since = time.monotonic()
    while time.monotonic() < since + 3:		# three seconds of requests: one more try, after one
        failed()
    assert sum(map(is_fill, server.asked)) - tried <= 2
    assert origin.name not in abouts(lab).values()


def test_an_odd_want_keeps_nobody_waiting(lab, server, origin):
    """While upstream takes its time for an object that is on no reference, others have what is new."""
    warm(lab, origin)
    odd = origin.commit("odd", onto="main")
    origin.git("update-ref", "-d", "refs/heads/odd")
    begun, go = threading.Event(), threading.Event()

    def change(asked, answer):
        if asked.kind != "fetch" or asked.wants != [odd.encode()] or not is_fill(asked):
            return None

        def slow(s):
            begun.set()
            go.wait(100)
            s.sendall(answer.text())
        return slow
    server.change = change
    first = Crowd(1, lambda i: ask_repo(lab, origin, fetch_body(odd)))
    assert begun.wait(60)
    for _ in range(2):
        new = origin.commit()
        got = ask_repo(lab, origin, fetch_body(new), sandbox=lab.sandboxes["second"])
        assert new in objects_of(pack_of(got.body)[0])
    go.set()
    assert odd in objects_of(pack_of(first.results()[0].body)[0])


def test_an_answer_is_never_older_than_the_window(lab, server, origin):
    """Who asks while an old question is still on its way has a question of his own."""
    asked, go = threading.Event(), threading.Event()

    def change(a, answer):
        if a.kind != "ls-refs" or asked.is_set():
            return None
        asked.set()

        def slow(s):
            go.wait(100)
            s.sendall(answer.text())
        return slow
    server.change = change
    first = Crowd(1, lambda i: ask_repo(lab, origin, ls_refs("refs/heads/")))
    assert asked.wait(60)
    new = origin.commit()
    since = time.monotonic()
    wait_for("the window to pass", lambda: time.monotonic() > since + 1.1)
    assert new.encode() in ask_repo(lab, origin, ls_refs("refs/heads/")).body
    go.set()
    assert new.encode() not in first.results()[0].body
