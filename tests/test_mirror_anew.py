"""Another repository under the name of one that is gone: it has nothing of the old one's mirror (row D13).

Whether the old one was seen to be gone, or nobody asked meanwhile. And what only was away for a while is not
fetched anew.
"""

import itertools

import pytest

from lab import row
from labgit import Answer
from labhttp import Wire, info_refs
from labmirror import MIRRORED, ask_repo, clone, events, fetch_body, head, mirror_lab, mirror_objects, warm
from labnet import wait_for
from labworld import fast_import
from test_mirror_rights import restart_mirror

_names = itertools.count(1)
NOT_OURS = b"ERR upload-pack: not our ref "


def entries(secrets):
    return [{"name": "one", "match": "gitlab.com/private/*", "token_file": secrets.put("one", "glpat-one-0000000000")}]


@pytest.fixture(scope="module")
def lab(world):
    with mirror_lab(world, profiles={"agent": MIRRORED}, entries=entries, window="1ms") as lab:
        yield lab


@pytest.fixture
def server(lab):
    lab.server.reset()
    return lab.server


@pytest.fixture
def make(lab, server):
    made = []

    def make(folder="acme"):
        made.append(server.repository(f"{folder}/anew{next(_names)}"))
        warm(lab, made[-1])
        server.asked.clear()
        return made[-1]
    yield make
    for repo in made:
        repo.remove()


@pytest.fixture
def origin(make):
    return make()


def replace(repo, commits=5):
    """Deleted, and made anew with a history of its own."""
    repo.remove()
    fast_import(repo.path, f"another {next(_names)}", commits)


def says(server, status):
    fields = ["WWW-Authenticate: Basic realm=x"] if status.startswith("401") else []
    server.change = lambda asked, answer: Answer(status, "text/plain", b"no", fields)


def is_refused(lab, repo):
    return wait_for("a refusal", lambda: lab.sandbox.git("ls-remote", repo.url).returncode)


def has_nothing(lab, repo, *old):
    """By their ids: upstream's own words, and no byte of them; nor of anything that is kept."""
    for oid in old:
        got = ask_repo(lab, repo, fetch_body(oid))
        assert NOT_OURS + oid.encode() in got.body, got.body[:200]


def now_serves_the_new(lab, repo, old):
    warm(lab, repo)
    assert head(lab, clone(lab, repo)) == repo.tip()
    has_nothing(lab, repo, *old)
    assert not mirror_objects(lab, repo) & set(old)
    assert len(events(lab, "replaced", repo)) == 1


def inside(repo):
    """Ids of all that it has."""
    return set(repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())


# ---- seen to be gone ----

@row("D13")
@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "401 Unauthorized"])
def test_made_anew_after_a_refusal(lab, server, origin, status):
    """Not even the first who asks, before anybody fetched what is new, has an old object."""
    old = [origin.tip(), origin.git("rev-parse", "main:src/file1.txt")]
    says(server, status)
    is_refused(lab, origin)
    replace(origin)
    server.change = None
    wait_for("it is let in", lambda: lab.sandbox.git("ls-remote", origin.url).returncode == 0)
    has_nothing(lab, origin, *old)
    now_serves_the_new(lab, origin, old)


@row("D13")
def test_made_anew_while_the_mirror_was_started_anew(lab, server, origin):
    """What it doubted it doubts after a kill -9."""
    old = [origin.tip()]
    says(server, "404 Not Found")
    is_refused(lab, origin)
    replace(origin)
    restart_mirror(lab, origin)
    server.change = None
    has_nothing(lab, origin, *old)
    now_serves_the_new(lab, origin, old)


@row("D13")
def test_made_anew_with_a_part_of_the_old(lab, server, make):
    """One old branch of three is there again: that does not open the others."""
    origin = make()
    for name in ("x", "y"):
        origin.commit(name, onto="main")
    warm(lab, origin)
    old = [origin.tip("x"), origin.tip("y")]
    says(server, "404 Not Found")
    is_refused(lab, origin)
    kept = origin.tip()
    for name in ("x", "y"):
        origin.git("update-ref", "-d", f"refs/heads/{name}")
    origin.git("-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now")
    server.change = None
    wait_for("it is let in", lambda: lab.sandbox.git("ls-remote", origin.url).returncode == 0)
    has_nothing(lab, origin, *old)
    assert origin.tip() == kept
    now_serves_the_new(lab, origin, old)


# ---- nobody saw it ----

@row("D13")
@pytest.mark.parametrize("asks", ["references", "by id"])
def test_made_anew_unseen(lab, server, origin, asks):
    """No question went upstream between the two; the first that does tells."""
    old = [origin.tip(), origin.git("rev-parse", "main:src/file1.txt")]
    replace(origin)
    if asks == "references":
        assert origin.tip() in lab.sandbox.git("ls-remote", origin.url).stdout
    else:
        restart_mirror(lab, origin)		# which knows of no right: it asks
    has_nothing(lab, origin, *old)
    now_serves_the_new(lab, origin, old)


@row("D13")
def test_an_advertisement_shows_no_references(lab, server, origin):
    """That it is let in is not enough for objects: whose they are only references tell."""
    old = [origin.tip()]
    restart_mirror(lab, origin)
    replace(origin)
    with Wire(lab.sandbox, "gitlab.com") as wire:
        assert wire.send(info_refs(origin.name, "Git-Protocol: version=2", host="gitlab.com")).response().status == 200
    has_nothing(lab, origin, *old)


@row("D13")
def test_made_anew_and_empty(lab, server, origin):
    """As it is between its making and the first push."""
    old = [origin.tip()]
    origin.git("update-ref", "-d", "refs/heads/main")
    origin.git("-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now")
    assert lab.sandbox.git("ls-remote", origin.url).stdout == ""
    has_nothing(lab, origin, *old)
    wait_for("the mirror to be empty", lambda: not mirror_objects(lab, origin))


# ---- it is the same ----

def mirrors_fetches(server):
    return [a for a in server.asked if a.kind == "fetch" and "cordon" in a.agent]


@row("D13")
@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "403 Forbidden"])
def test_back_after_an_outage(lab, server, make, status):
    """Its references are what they were: nothing is fetched, and what is here is served again."""
    origin = make()
    before = mirror_objects(lab, origin)
    says(server, status)
    is_refused(lab, origin)
    server.change = None
    wait_for("it is let in", lambda: lab.sandbox.git("ls-remote", origin.url).returncode == 0)
    warm(lab, origin)
    assert mirrors_fetches(server) == [] and mirror_objects(lab, origin) == before
    assert not events(lab, "replaced", origin)


@row("D13")
@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_credential_that_was_no_good_says_nothing_of_the_repository(lab, server, make, status):
    """Though all its branches moved meanwhile: only what is new is fetched."""
    origin = make("private")
    shown = origin.tip()
    says(server, status)
    is_refused(lab, origin)
    origin.git("update-ref", "refs/heads/main", f"{shown}~2")
    origin.commit()
    server.change = None
    wait_for("it is let in", lambda: lab.sandbox.git("ls-remote", origin.url).returncode == 0)
    warm(lab, origin)
    fetches = mirrors_fetches(server)
    assert len(fetches) == 1 and b"have " + shown.encode() in fetches[0].body
    assert shown in mirror_objects(lab, origin) and not events(lab, "replaced", origin)
