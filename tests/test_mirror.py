"""Mirrors: never older than upstream, and asked for once by all who ask the same; row D13 of the threats."""

import threading

import pytest

from lab import row
from labgit import Repository
from labhttp import ls_refs
from labmirror import (Crowd, ask_repo, asked, clone, fetch_body, head, mirror_git, mirror_lab, mirror_of, objects_of, pack_of, sources,
                       warm)
from labnet import wait_for

MANY = 50


@pytest.fixture(scope="module")
def lab(world):
    with mirror_lab(world, window="1ms") as lab:		# so what is shared is what is on its way
        yield lab


@pytest.fixture
def server(lab):
    lab.server.reset()
    return lab.server


@pytest.fixture
def origin(server, request):
    """A repository of the test's own on gitlab.com."""
    repo = server.repository(f"acme/{request.node.name.replace('[', '-').replace(']', '')}")
    yield repo
    repo.remove()


@pytest.fixture
def warmed(lab, server, origin):
    warm(lab, origin)
    server.asked.clear()
    return origin


def fetched(lab, to, *argv):
    done = lab.sandbox.git("-C", to, "fetch", "-q", *argv)
    assert done.returncode == 0, done.stderr
    return done


def seen(lab, repo, refs):
    """ls-remote shows this, at once."""
    done = lab.sandbox.git("ls-remote", "--symref", repo.url)
    assert (done.returncode, done.stdout) == (0, refs), done.stderr


def upstream(lab, repo):
    """What ls-remote says on the server itself."""
    return repo.git("ls-remote", "--symref", repo.path) + "\n"


# ---- where answers come from ----

def test_from_upstream_then_mirror_then_spool(lab):
    """apache, as github.com. The first clone is not kept waiting; the same one later is not even made again."""
    repo = Repository(lab.world.repos, "acme/sourced", 60)
    try:
        clone(lab, repo)
        lab.audit.until(lambda es: len(es) == 3, event="git", decision="allow")
        assert sources(lab) == [("upstream", 0), ("upstream", 0)]
        warm(lab, repo)
        assert head(lab, clone(lab, repo)) == repo.tip()
        lab.audit.until(lambda es: "spool" in {e.get("source") for e in es}, event="git", decision="allow")
        assert sources(lab)[0][0] == "upstream"		# references always are
    finally:
        repo.remove()


@pytest.mark.parametrize("version", [0, 1])
def test_older_protocols_are_upstreams(lab, server, warmed, version):
    done = lab.sandbox.git("-c", f"protocol.version={version}", "clone", "-q", warmed.url, f"old{version}")
    assert done.returncode == 0, done.stderr
    lab.audit.until(lambda es: len(es) == 2, event="git", decision="allow")
    assert sources(lab) == [("upstream", 0)]
    assert {a.protocol for a in server.asked} == {f"version={version}" if version else ""}


# ---- freshness ----

def test_what_is_pushed_is_seen(lab, server, warmed):
    """Commits, forced ones, branches and tags that come, go, move and turn into folders; HEAD."""
    to = clone(lab, warmed)
    first = warmed.tip()

    def now():
        seen(lab, warmed, upstream(lab, warmed))
        fetched(lab, to, "--prune", "--prune-tags", "--force", "--tags")
        theirs = warmed.git("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads", "refs/tags")
        ours = lab.sandbox.git("-C", to, "for-each-ref", "--format=%(objectname) %(refname:lstrip=3)",
                               "refs/remotes/origin").stdout
        ours = [line for line in ours.splitlines() if not line.endswith(" HEAD")]
        ours += lab.sandbox.git("-C", to, "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)",
                                "refs/tags").stdout.splitlines()
        assert sorted(ours) == sorted(theirs.splitlines())
        assert lab.sandbox.git("-C", to, "fsck", "--connectivity-only").returncode == 0

    warmed.commit()
    now()
    warmed.git("update-ref", "refs/heads/main", first)		# back, and another way on
    warmed.commit()
    warmed.git("update-ref", "refs/heads/a", first)
    warmed.commit("b", onto="main")
    now()
    warmed.git("update-ref", "-d", "refs/heads/a")			# what was a file is a folder
    warmed.commit("a/b", onto="main")
    warmed.git("update-ref", "-d", "refs/heads/b")
    now()
    warmed.git("update-ref", "-d", "refs/heads/a/b")
    warmed.commit("a", onto="main")
    warmed.git("-c", "user.name=a", "-c", "user.email=a@x", "tag", "-m", "one", "v1", "main")
    now()
    warmed.git("-c", "user.name=a", "-c", "user.email=a@x", "tag", "-f", "-m", "two", "v1", "a")
    warmed.git("symbolic-ref", "HEAD", "refs/heads/a")
    now()
    assert head(lab, clone(lab, warmed)) == warmed.tip("a")
    assert {s for s, _ in sources(lab)} <= {"upstream", "mirror", "spool"}
    assert server.count("fetch") >= 5				# each was new; none of them by a client
    assert {a.agent for a in server.asked if a.kind == "fetch"} == {server.asked[0].agent}


def test_detached_head(lab, server, warmed):
    """HEAD on a commit that no branch holds."""
    lone = warmed.commit("lone", onto="main")
    warmed.git("update-ref", "--no-deref", "HEAD", lone)
    warmed.git("update-ref", "-d", "refs/heads/lone")
    seen(lab, warmed, upstream(lab, warmed))
    assert head(lab, clone(lab, warmed)) == lone
    wait_for("the mirror's HEAD", lambda: open(f"{mirror_of(lab, warmed)}/repo.git/HEAD").read().strip() == lone)


def test_empty_repository(lab, server, origin):
    """A HEAD that is not born yet, then is; and a mirror that was filled with nothing."""
    origin.git("update-ref", "-d", "refs/heads/main")
    to = clone(lab, origin)
    assert lab.sandbox.git("-C", to, "symbolic-ref", "HEAD").stdout == "refs/heads/main\n"
    commit = origin.commit()
    seen(lab, origin, upstream(lab, origin))
    done = lab.sandbox.git("-C", to, "pull", "-q")
    assert done.returncode == 0, done.stderr
    assert head(lab, to) == commit


def test_renamed_repository(lab):
    """A redirect upstream is followed to the new name, whose mirror serves; the old name has none."""
    old, new = "https://github.com/acme/renamed", "https://github.com/acme/widgets"
    for url in (new, old, old, new):
        done = lab.sandbox.git("clone", "-q", url, f"r{len(lab.audit.events())}")
        assert done.returncode == 0, done.stderr
    events = lab.audit.until(lambda es: len(es) >= 12, event="git", decision="allow")
    assert {e.get("moved") for e in events if e["repo"] == "acme/renamed"} == {"acme/widgets"}
    lab.audit.no_refusals()


@row("D13")
def test_deleted_repository(lab, server, warmed):
    """Refused as upstream refuses, though all of it is here; back when it is back."""
    to = clone(lab, warmed)
    server.change = lambda asked, answer: answer.__class__("404 Not Found", "text/plain", b"gone")
    def gone():
        done = lab.sandbox.git("-C", to, "ls-remote", "origin")
        return done.returncode and done.stderr
    assert "upstream_denied" in wait_for("the refusal", gone)
    got = ask_repo(lab, warmed, fetch_body(warmed.tip()))
    assert got.reason == "upstream_denied" and b"PACK" not in got.body
    server.change = None
    wait_for("it is back", lambda: lab.sandbox.git("-C", to, "fetch").returncode == 0)


# ---- what was shown stays ----

@row("D13")
def test_what_was_advertised_stays(lab, server, warmed):
    """A force-push between a client's two requests: here and upstream the old tip is on no branch."""
    shown = warmed.commit()
    seen(lab, warmed, upstream(lab, warmed))
    refs = ask_repo(lab, warmed, ls_refs("refs/heads/main")).body
    assert shown.encode() in refs
    warmed.git("update-ref", "refs/heads/main", f"{shown}~2")
    warmed.commit()
    clone(lab, warmed)						# another sandbox's: it moves the mirror on
    got = ask_repo(lab, warmed, fetch_body(shown))
    assert shown in objects_of(pack_of(got.body)[0])


@row("D13")
def test_what_the_mirror_had_stays_though_upstream_forgot_it(lab, server, warmed):
    """The same when upstream has thrown it away: nobody can fetch it there any more."""
    shown = warmed.tip()
    warmed.git("update-ref", "refs/heads/main", f"{shown}~2")
    warmed.commit()
    warmed.git("-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now")
    clone(lab, warmed)
    assert shown in objects_of(pack_of(ask_repo(lab, warmed, fetch_body(shown)).body)[0])


def test_wanted_on_no_reference(lab, server, warmed):
    """A commit that no reference holds, as a submodule's may be, and a tree: asked of upstream once, then kept."""
    lone = warmed.commit("lone", onto="main")
    warmed.git("update-ref", "-d", "refs/heads/lone")
    tree = warmed.git("rev-parse", f"{lone}^{{tree}}")
    for want in (lone, tree, lone):
        assert want in objects_of(pack_of(ask_repo(lab, warmed, fetch_body(want)).body)[0])
    assert server.count("fetch") == 1
    assert lone in mirror_refs(lab, warmed)


def mirror_refs(lab, repo):
    return mirror_git(lab, repo, "for-each-ref")


def test_want_that_does_not_exist(lab, server, warmed):
    """Upstream says so, in its own words; who asks for what is there is not held up."""
    missing = "1" * 40
    got = ask_repo(lab, warmed, fetch_body(missing))
    assert b"ERR upload-pack: not our ref " + missing.encode() in got.body
    fresh = warmed.commit()
    held = threading.Event()
    server.change = lambda asked, answer: held.wait(60) and None if asked.kind == "ls-refs" else None
    bad = Crowd(3, lambda i: ask_repo(lab, warmed, fetch_body(f"{i}" * 40)))
    good = Crowd(3, lambda i: ask_repo(lab, warmed, fetch_body(fresh)))
    wait_for("all of them to wait", lambda: asked(lab) == 6)
    held.set()
    assert all(fresh in objects_of(pack_of(got.body)[0]) for got in good.results())
    assert all(b"not our ref" in got.body for got in bad.results())


# ---- one question for all ----

def test_one_ls_refs_for_all(world):
    """While one is on its way, whoever asks the same within the window waits for it."""
    with mirror_lab(world, window="1m") as lab:
        server = lab.server
        warmed = server.repository("acme/one-for-all", 5)
        warm(lab, warmed)
        one_ls_refs_for_all(lab, server, warmed)


def one_ls_refs_for_all(lab, server, warmed):
    held = threading.Event()
    server.change = lambda asked, answer: held.wait(60) and None
    body = ls_refs("HEAD", "refs/heads/")
    before = server.count("ls-refs")
    crowd = Crowd(MANY, lambda i: ask_repo(lab, warmed, body))
    wait_for("all of them to wait", lambda: asked(lab) == MANY)
    held.set()
    bodies = {got.body for got in crowd.results()}
    assert len(bodies) == 1 and warmed.tip().encode() in bodies.pop()
    assert server.count("ls-refs") == before + 1
    lab.audit.until(lambda es: len(es) == MANY, event="git", decision="allow")
    assert {s for s, _ in sources(lab)} == {"upstream"} and max(c for _, c in sources(lab)) == MANY - 1


def test_one_fetch_and_one_pack_for_all(lab, server, warmed):
    """Fifty who want what is not here yet: one fetch, one pack, the same bytes."""
    fresh = warmed.commit()
    held = threading.Event()
    server.change = lambda asked, answer: held.wait(60) and None
    crowd = Crowd(MANY, lambda i: ask_repo(lab, warmed, fetch_body(fresh, options=["deepen 1"])))
    wait_for("all of them to wait", lambda: asked(lab) == MANY)
    held.set()
    bodies = {got.body for got in crowd.results()}
    assert len(bodies) == 1 and b"shallow-info" in bodies.pop()
    assert server.count("fetch") == 1
    events = lab.audit.until(lambda es: len(es) == MANY, event="git", decision="allow")
    assert [e["source"] for e in events].count("upstream") == 0
    assert [(e["source"], e.get("coalesced", 0)) for e in events].count(("mirror", 0)) == 1
