"""Who may have what of a mirror: rows D1 and D13 of the threats.

All that is refused here lies on this host, whole and warm: what counts is what upstream says now.
"""

import base64
import fcntl
import itertools
import os
import re
import socket

import pytest

from lab import row
from labgit import Answer
from labhttp import Wire, ls_refs, post
from labmirror import (MIRRORED, STALE, ask_repo, clone, fetch_body, head, mirror_lab, mirror_of, objects_of, pack_of,
                       sources, spooled, warm)
from labnet import wait_for

TOKENS = {"private/one": "glpat-one-0000000000", "private/two": "glpat-two-0000000000"}
NARROW = {**MIRRORED, "git": {**MIRRORED["git"], "allowed_repos": ["acme/*"]}}
_names = itertools.count(1)


def entries(secrets):
    return [{"name": repo.split("/")[1], "match": f"gitlab.com/{repo}",
             "token_file": secrets.put(repo.split("/")[1], token)} for repo, token in TOKENS.items()]


def gate(asked, answer):
    """Who brings the right token is let in, as gitlab does it."""
    token = TOKENS.get(asked.repo)
    given = base64.b64decode((asked.authorization or "").removeprefix("Basic ")).decode()
    if token and not given.endswith(f":{token}"):
        return Answer("401 Unauthorized", "text/plain", b"no", ['WWW-Authenticate: Basic realm="x"'])
    return None


@pytest.fixture(scope="module")
def lab(world):
    """vm0 may have all, and what is here when upstream is away; vm1 not what is private; vm2 nothing stale."""
    with mirror_lab(world, profiles={"agent": STALE, "narrow": NARROW, "strict": MIRRORED}, entries=entries,
                    times={"connect": "5s", "first_byte": "5s"}) as lab:
        lab.add_sandbox("vm1", "narrow")
        lab.add_sandbox("vm2", "strict")
        yield lab


@pytest.fixture
def server(lab):
    lab.server.reset()
    lab.server.change = gate
    return lab.server


def made(lab, server, name):
    repo = server.repository(name)
    warm(lab, repo)
    server.asked.clear()
    return repo


@pytest.fixture
def one(lab, server):
    repo = made(lab, server, "private/one")
    yield repo
    repo.remove()


@pytest.fixture
def two(lab, server):
    repo = made(lab, server, "private/two")
    yield repo
    repo.remove()


@pytest.fixture
def origin(lab, server):
    repo = made(lab, server, f"acme/r{next(_names)}")
    yield repo
    repo.remove()


def refuses(lab, repo, reason, sandbox=None):
    """Neither references nor an object that is known by its id; nothing of a pack.

    Answers, refusals too, are shared for a second: which refusal it is may take that long, never whether.
    """
    sandbox = sandbox or lab.sandbox

    def refs():
        done = sandbox.git("ls-remote", repo.url)
        assert done.returncode and not done.stdout, done.stdout + done.stderr
        return re.search(f"remote( error)?: {reason}", done.stderr)

    def objects():
        got = ask_repo(lab, repo, fetch_body(repo.tip()), sandbox)
        assert b"PACK" not in got.body and b"packfile" not in got.body, got
        return got.reason == reason or re.match(f"....ERR {reason}".encode(), got.body)
    wait_for(f"{reason} for its references", refs)
    wait_for(f"{reason} for its objects", objects)


# ---- the policy ----

@row("D1", "D13")
def test_profile_that_does_not_grant_it(lab, server, one):
    """Its own sandbox beside it has it from here, in the same second; no question goes upstream for the other."""
    vm1 = lab.sandboxes["vm1"]
    assert head(lab, clone(lab, one)) == one.tip()
    server.asked.clear()
    refuses(lab, one, "repository_not_allowed", vm1)
    event = lab.audit.wait_one(sandbox="vm1", decision="deny", reason="repository_not_allowed")
    assert event["repo"] == "private/one" and lab.audit.keys(sandbox="vm1") and len(lab.audit.keys(sandbox="vm1")) == 1
    assert not server.asked


@row("D13")
def test_reload_that_takes_it_away(lab, server, one):
    to = clone(lab, one)
    lab.profile("agent", {**STALE, "git": {**STALE["git"], "allowed_repos": ["acme/*"]}})
    try:
        lab.cordon("reload", check=True)
        server.asked.clear()
        lab.audit.mark()
        refuses(lab, one, "repository_not_allowed")
        assert lab.sandbox.git("-C", to, "fetch").returncode
        lab.audit.only("repository_not_allowed", sandbox="vm0", repo="private/one")	# repeats of vm1 are told later
        assert not server.asked
    finally:
        lab.profile("agent", STALE)
        lab.cordon("reload", check=True)
    assert lab.sandbox.git("-C", to, "fetch").returncode == 0


# ---- other repositories ----

@row("D1")
def test_objects_of_another_repository(lab, server, one, two):
    """By its id, in each direction, and beside what is there: upstream's own words, and no byte."""
    for mine, other in ((one, two), (two, one)):
        for wants in ((other.tip(),), (mine.tip(), other.tip()), (other.git("rev-parse", "main:src/file1.txt"),)):
            got = ask_repo(lab, mine, fetch_body(*wants))
            assert re.fullmatch(rb"....ERR upload-pack: not our ref [0-9a-f]{40}\n?", got.body), got.body
    for repo in (one, two):
        assert repo.tip() in objects_of(pack_of(ask_repo(lab, repo, fetch_body(repo.tip())).body)[0])
    found = {mirror_of(lab, one), mirror_of(lab, two)}
    assert len(found) == 2 and not [f for m in found for f in files(m) if "alternates" in f]


def files(dir):
    return [f"{at}/{name}" for at, _, names in os.walk(dir) for name in names]


@row("D1", "D13")
def test_each_credential_has_its_own(lab, server, one, two):
    """The credential's name is part of what a mirror is: each question bears its own, each answer stands apart."""
    server.asked.clear()
    for repo in (one, two):
        assert repo.tip().encode() in ask_repo(lab, repo, ls_refs("HEAD", f"refs/asked/{repo.name}")).body
    assert {(a.repo, base64.b64decode(a.authorization[6:]).decode().split(":")[1]) for a in server.asked} == \
        set(TOKENS.items())
    for repo in (one, two):
        about = open(f"{mirror_of(lab, repo)}/about").read().splitlines()
        assert about == ["gitlab.com", repo.name, repo.name.split("/")[1]]
        domain = mirror_of(lab, repo).rsplit("/")[-1]
        assert [f for f in spooled(lab) if f.startswith(domain)]


@row("D13")
def test_credential_that_is_not_let_in_any_more(lab, server, one):
    """The file now holds another token."""
    lab.secrets.put("one", "glpat-wrong-000000000")
    try:
        wait_for("a refusal", lambda: lab.sandbox.git("ls-remote", one.url).returncode)
        refuses(lab, one, "upstream_denied")
        lab.audit.wait(src="keeper", event="credential", what="changed")
        assert all(not a.authorization or "wrong" in base64.b64decode(a.authorization[6:]).decode()
                   for a in server.asked[-1:])
    finally:
        lab.secrets.put("one", TOKENS["private/one"])
    wait_for("it is let in again", lambda: lab.sandbox.git("ls-remote", one.url).returncode == 0)


# ---- what upstream says ----

def moved(asked, answer):
    return Answer("302 Found", "text/plain", b"", ["Location: https://evil.example/"])


def untrusted(server):
    certs = server._files[0].rsplit("/", 1)[0]
    server.certificate(f"{certs}/github.com.crt", f"{certs}/github.com.key")


NO = {
    "401": (lambda s: setattr(s, "change", lambda a, b: Answer("401 Unauthorized", "text/plain", b"x",
                                                               ["WWW-Authenticate: Basic"])), "upstream_denied"),
    "403": (lambda s: setattr(s, "change", lambda a, b: Answer("403 Forbidden")), "upstream_denied"),
    "404": (lambda s: setattr(s, "change", lambda a, b: Answer("404 Not Found")), "upstream_denied"),
    "redirect": (lambda s: setattr(s, "change", moved), "redirect_not_allowed"),
    "page": (lambda s: setattr(s, "change", lambda a, b: Answer(type="text/html", body=b"<html>log in")),
             "dumb_http_not_allowed"),
    "certificate": (untrusted, "upstream_untrusted"),
}


@row("D13")
@pytest.mark.parametrize("no", NO)
def test_upstream_says_no(lab, server, origin, no):
    """Whatever the policy says of stale answers: refused, and what was kept of answers is gone. Also later, when
    upstream is away, and by a mirror that was started anew."""
    spoil, reason = NO[no]
    domain = mirror_of(lab, origin).rsplit("/", 1)[1]
    assert [f for f in spooled(lab) if f.startswith(domain)]
    spoil(server)
    wait_for("a refusal", lambda: lab.sandbox.git("ls-remote", origin.url).returncode)
    refuses(lab, origin, reason)
    assert not [f for f in spooled(lab) if f.startswith(domain)]
    server.stop()
    refuses(lab, origin, "upstream_unreachable")
    server.reset()
    server.change = gate
    wait_for("it is let in again", lambda: lab.sandbox.git("ls-remote", origin.url).returncode == 0)
    lab.audit.mark()

    def served():		# upstream serves while the mirror hears the yes
        assert head(lab, clone(lab, origin)) == origin.tip()
        return {e.get("source") for e in lab.audit.events(event="git", decision="allow")} & {"mirror", "spool"}
    wait_for("an answer of the mirror", served)


@row("D13")
def test_error_in_a_good_answer(lab, server, origin):
    """ERR with a status of 200 is a no as well."""
    line = b"ERR access denied or repository not exported"
    said = b"%04x" % (len(line) + 4) + line
    server.change = lambda a, b: Answer(body=said) if a.kind != "advertisement" else None
    wait_for("a refusal", lambda: "access denied" in lab.sandbox.git("ls-remote", origin.url).stderr)
    assert ask_repo(lab, origin, fetch_body(origin.tip())).body == said
    server.stop()
    assert b"packfile" not in ask_repo(lab, origin, fetch_body(origin.tip())).body


# ---- upstream is away ----

def overloaded(server):
    server.change = lambda a, b: Answer("503 Service Unavailable")


AWAY = {"refused": (lambda s: s.stop(), "upstream_unreachable"), "503": (overloaded, "upstream_unreachable")}


def stale_refs(lab, origin):
    """ls-remote shows what was there, marked as stale."""
    lab.audit.mark()
    done = lab.sandbox.git("ls-remote", origin.url)
    assert done.stdout == origin.git("ls-remote", origin.path) + "\n", done.stderr
    lab.audit.until(lambda es: [e.get("source") for e in es if e["method"] == "POST"] == ["stale"],
                    event="git", decision="allow", repo=origin.name)


@pytest.mark.parametrize("away", AWAY)
def test_stale(lab, server, origin, away):
    """What is here is served where the policy says so, and marked; elsewhere it is refused. What is new is not here."""
    spoil, reason = AWAY[away]
    origin.commit()
    wait_for("the commit", lambda: head(lab, clone(lab, origin)) == origin.tip())
    vm2 = lab.sandboxes["vm2"]
    spoil(server)
    assert reason in wait_for("a refusal of vm2", lambda: (d := vm2.git("ls-remote", origin.url)).returncode and d.stderr)
    stale_refs(lab, origin)
    restart_mirror(lab, origin)
    stale_refs(lab, origin)
    lab.audit.mark()
    assert head(lab, clone(lab, origin)) == origin.tip()
    lab.audit.until(lambda es: len(es) == 3, event="git", decision="allow", repo=origin.name)
    assert [s for s, _ in sources(lab)] == ["stale", "stale"]
    origin.commit()
    got = ask_repo(lab, origin, fetch_body(origin.tip()))
    assert got.reason == reason and b"packfile" not in got.body


def test_stale_when_upstream_says_nothing(lab, server, origin):
    """A connection, and then silence until git.timeouts.first_byte."""
    def wait(s):
        while s.recv(4096):
            pass
    server.change = lambda a, b: wait if a.kind == "ls-refs" else None
    wait_for("the shared answers to be too old", lambda: not lab.sandbox.git("ls-remote", origin.url).returncode
             and "stale" in {s for s, _ in sources(lab)})
    stale_refs(lab, origin)


@pytest.fixture
def wide(lab, server):
    """A repository of very many branches, which come to its mirror at first, so in one file."""
    origin = server.repository(f"acme/r{next(_names)}")
    tip = origin.tip()
    with open(f"{origin.path}/packed-refs", "w") as f:
        f.write("# pack-refs with: sorted \n" + "".join(f"{tip} refs/heads/b/{i:05}\n" for i in range(20000)))
    warm(lab, origin)
    yield origin
    origin.remove()


def test_stale_answers_cannot_be_changed(lab, server, wide):
    """The front is given them for reading alone: while it sends one, nobody can write to it, not even the front."""
    origin = wide
    server.stop()
    stale_refs(lab, origin)
    raw = lab.sandbox.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((lab.sandbox.resolve("gitlab.com"), 80))
    front, = lab.pids("cordon-gitproxy")[:1]
    with Wire.of(raw) as wire:
        wire.send(post(origin.name, ls_refs("refs/heads/b"), host="gitlab.com"))
        wire.begun()
        found = [f"/proc/{front}/fd/{fd}" for fd in os.listdir(f"/proc/{front}/fd")]
        found = [path for path in found if os.path.exists(path) and "memfd:answer" in os.readlink(path)]
        assert found
        for path in found:
            with open(path, "rb") as f:
                assert fcntl.fcntl(f, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        assert wire.response().body.count(b"refs/heads/b/") == 20000


# ---- the right is asked for, not remembered ----

@row("D13")
def test_a_right_that_ended_is_good_for_a_minute_at_most(lab, server, origin):
    """An object by its id, without a question for references, is not asked upstream about anew: until somebody has heard
    the no. From then on nobody gets any."""
    tip = origin.tip()
    assert lab.sandbox.git("ls-remote", origin.url).returncode == 0
    server.change = lambda a, b: Answer("403 Forbidden")
    server.asked.clear()
    assert tip in objects_of(pack_of(ask_repo(lab, origin, fetch_body(tip)).body)[0])
    assert not server.asked
    wait_for("a refusal", lambda: lab.sandbox.git("ls-remote", origin.url).returncode)
    refuses(lab, origin, "upstream_denied")


@row("D1", "D13")
def test_right_is_asked_for(lab, server, origin):
    """A mirror that has just started knows of nobody's right: it asks before it serves. Upstream says no: nothing."""
    tip = origin.tip()
    restart_mirror(lab, origin)
    server.change = lambda a, b: Answer("403 Forbidden")
    server.asked.clear()
    got = ask_repo(lab, origin, fetch_body(tip))
    assert got.reason == "upstream_denied" and b"packfile" not in got.body
    assert [a.kind for a in server.asked] == ["ls-refs"]
    restart_mirror(lab, origin)
    server.stop()
    got = ask_repo(lab, origin, fetch_body(tip))			# its last word was no, whatever the policy says
    assert got.reason == "upstream_unreachable" and b"packfile" not in got.body
    server.reset()
    server.change = gate
    server.asked.clear()
    got = wait_for("it is back", lambda: (a := ask_repo(lab, origin, fetch_body(tip))).reason is None
                   and b"ERR" not in a.body[:8] and a)		# a refusal, too, is shared for a second
    assert tip in objects_of(pack_of(got.body)[0])
    assert [a.kind for a in server.asked] == ["ls-refs"]


def restart_mirror(lab, origin):
    """kill -9, and until the unit is back; nothing of this repository is asked for meanwhile."""
    old = set(lab.signal("cordon-mirror"))
    wait_for("a new mirror", lambda: (new := set(lab.pids("cordon-mirror"))) and not new & old)
    wait_for("the unit", lambda: lab.sandbox.git("ls-remote", "https://github.com/acme/widgets").returncode == 0)
