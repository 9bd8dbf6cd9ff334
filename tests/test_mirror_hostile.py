"""Upstreams that lie to the mirror: nothing bad is served or kept, and the client has upstream's own answer or a refusal.

Each lie is told to whoever asks, so the client sees through it or is refused by its own git; then the server is
honest again, and the mirror works as if nothing had been.
"""

import hashlib
import os
import re
import struct
import zlib

import pytest

from lab import row
from labgit import Answer
from labhttp import pkt
from labmirror import (abouts, ask_repo, clone, fetch_body, head, mirror_git, mirror_lab, mirror_objects, mirror_of, objects_of,
                       pack_of, threads, warm)
from labnet import wait_for

FLUSH = b"0000"


@pytest.fixture(scope="module")
def lab(world):
    with mirror_lab(world, times={"connect": "5s", "first_byte": "5s", "idle": "3s"}) as lab:
        yield lab


@pytest.fixture
def server(lab):
    lab.server.reset()
    return lab.server


@pytest.fixture
def origin(server, request):
    repo = server.repository("acme/" + re.sub(r"[^a-z0-9-]+", "-", request.node.name).strip("-"))
    yield repo
    repo.remove()


@pytest.fixture
def warmed(lab, server, origin):
    warm(lab, origin)
    server.asked.clear()
    return origin


def banded(pack, progress=b"", sizes=1000):
    out = pkt(b"packfile\n") + (pkt(b"\2" + progress) if progress else b"")
    return out + b"".join(pkt(b"\1" + pack[i:i + sizes]) for i in range(0, len(pack), sizes)) + FLUSH


def pack(*objects, count=None, trailer=None):
    """A pack of (type, bytes)."""
    out = struct.pack(">4sII", b"PACK", 2, len(objects) if count is None else count)
    for kind, data in objects:
        n, first = len(data) >> 4, (kind << 4) | (len(data) & 15)
        while n:
            out += bytes([first | 0x80])
            n, first = n >> 7, n & 0x7f
        out += bytes([first]) + zlib.compress(data)
    return out + (trailer or hashlib.sha1(out).digest())


def unlinked(asked, answer):
    """A commit whose tree and parent are nowhere."""
    text = b"tree " + b"2" * 40 + b"\nparent " + b"3" * 40 + b"\nauthor a <a@x> 1 +0000\ncommitter a <a@x> 1 +0000\n\nx\n"
    return Answer(body=banded(pack((1, text))))


def spoiled(change):
    """The honest answer to a fetch, its body changed."""
    return lambda asked, answer: Answer(body=change(answer.body))


def endless(progress):
    def tell(asked, answer):
        def run(s):
            s.sendall(Answer(body=b"", length=1 << 40).text() + pkt(b"packfile\n"))
            for _ in range(300):				# until the test has seen enough: 18 MB
                s.sendall(pkt(progress))
        return run
    return tell


def wrong_trailer(body):
    packed, progress = pack_of(body)
    return banded(packed[:-1] + bytes([packed[-1] ^ 1]), progress)


def flipped(body):
    """A byte of the first object's data; the trailer is right."""
    packed = bytearray(pack_of(body)[0][:-20])
    packed[20] ^= 0x55
    return banded(bytes(packed) + hashlib.sha1(packed).digest())


FETCHES = {
    "truncated": spoiled(lambda b: b[:len(b) // 2]),
    "without-its-flush": spoiled(lambda b: b[:-4]),
    "more-behind-it": spoiled(lambda b: b + pkt(b"x")),
    "trailer": spoiled(wrong_trailer),
    "flipped": spoiled(flipped),
    "fewer-than-it-says": lambda a, b: Answer(body=banded(pack((3, b"x"), count=2))),
    "unlinked": unlinked,
    "something-else": lambda a, b: Answer(body=banded(pack((3, b"not what was wanted")))),
    "err": lambda a, b: Answer(body=pkt(b"ERR upload-pack: no")),
    "band-3": spoiled(lambda b: b[:-4] + pkt(b"\3fatal: out of memory") + FLUSH),
    "uris": lambda a, b: Answer(body=pkt(b"packfile-uris\n") + pkt(b"1" * 40 + b" https://evil.example/p\n") + b"0001"
                                + b.body),
    "not-pkt-lines": lambda a, b: Answer(body=b"zzzz" * 100),
    "empty": lambda a, b: Answer(body=b""),
    "length-lies": lambda a, b: Answer(body=b.body, length=len(b.body) + 100),
    "slow-to-death": lambda a, b: (lambda s: (s.sendall(Answer(body=b.body[:30], length=len(b.body)).text()),
                                              s.recv(1))),
}


HARMLESS = {"length-lies"}		# to git, which has a whole pack by then; the mirror does not take it
WHOLE = {"something-else"}		# a right pack, though not of what was wanted


@row("D10", "D13")
@pytest.mark.parametrize("lie", FETCHES)
def test_lie_in_a_fetch(lab, server, warmed, lie):
    """What was wanted is not there after it, so it is not served; nothing of it stays on the disk."""
    before = mirror_objects(lab, warmed)
    fresh = warmed.commit()
    server.change = lambda asked, answer: FETCHES[lie](asked, answer) if asked.kind == "fetch" else None
    done = fetch_id(lab, warmed, fresh)
    assert (done.returncode != 0) == (lie not in HARMLESS), done.stderr
    assert server.count("fetch") >= 2				# the mirror's, and the client's own
    assert mirror_objects(lab, warmed) == before or lie in WHOLE
    assert not os.path.exists(f"{mirror_of(lab, warmed)}/incoming")
    server.change = None
    wait_for("the mirror to work again", lambda: head(lab, clone(lab, warmed)) == fresh)
    assert mirror_objects(lab, warmed) != before


def fetch_id(lab, repo, oid):
    """git fetches an object by its id: it asks for no references, so nothing that is shared for a second."""
    to = f"by-id-{oid}"
    assert lab.sandbox.git("init", "-q", to).returncode == 0
    return lab.sandbox.git("-C", to, "fetch", "-q", repo.url, oid)


@row("D2", "D13")
@pytest.mark.parametrize("lie", ["err", "truncated", "endless"])
def test_lie_while_it_is_filled(lab, server, origin, lie):
    """A first fetch that fails leaves no mirror; the clone beside it is upstream's own."""
    lies = {**FETCHES, "endless": endless(b"\2" + b"x" * 60000)}
    server.change = lambda asked, answer: (lies[lie](asked, answer) if asked.kind == "fetch"
                                           and asked.agent == server.asked[0].agent and "cordon" in asked.agent else None)
    clone(lab, origin)
    wait_for("the mirror's fetch", lambda: [a for a in server.asked if a.kind == "fetch" and "cordon" in a.agent])
    server.change = None
    warm(lab, origin)


NAMES = [b"refs/heads/../../../x", b"refs/heads/a.lock", b"refs/heads/-a", b"refs/heads/a b", b"refs/heads/\xff\xfe",
         b"HEAD.lock", b"refs/heads/" + b"a" * 2000, b"refs/heads//a", b"config"]


@row("D9", "D13")
def test_absurd_names(lab, server, warmed):
    """A list with such names is the client's to judge; the mirror takes nothing of it."""
    tip = warmed.tip().encode()
    for name in NAMES:
        server.change = lambda asked, answer: (Answer(body=pkt(tip + b" HEAD symref-target:refs/heads/main\n")
                                                      + pkt(tip + b" " + name + b"\n") + FLUSH)
                                               if asked.kind == "ls-refs" else None)
        got = ask_repo(lab, warmed, fetch_body("4" * 40))	# not here: the mirror asks for the list
        assert b"not our ref" in got.body, name
    server.change = None
    assert head(lab, clone(lab, warmed)) == warmed.tip()
    refs = open(f"{mirror_of(lab, warmed)}/repo.git/HEAD").read()
    assert refs == "ref: refs/heads/main\n"


def test_file_and_folder(lab, server, warmed):
    """`a` and `a/b` at once, as no repository has them: served from upstream, and no harm is done."""
    fresh = warmed.commit()
    line = warmed.tip().encode()
    server.change = lambda asked, answer: (Answer(body=pkt(line + b" HEAD symref-target:refs/heads/a\n")
                                                  + pkt(line + b" refs/heads/a\n") + pkt(line + b" refs/heads/a/b\n") + FLUSH)
                                           if asked.kind == "ls-refs" else None)
    assert fresh in objects_of(pack_of(ask_repo(lab, warmed, fetch_body(fresh)).body)[0])
    server.change = None
    again = warmed.commit()
    assert again in objects_of(pack_of(ask_repo(lab, warmed, fetch_body(again)).body)[0])
    wait_for("the mirror's references", lambda: head(lab, clone(lab, warmed)) == again)


def test_thousands_of_references(lab, server, warmed):
    tip = warmed.tip()
    warmed.git("update-ref", "--stdin", input="".join(f"create refs/heads/b/{i:05} {tip}\n" for i in range(2000)))
    fresh = warmed.commit()
    lab.audit.mark()
    to = wait_for("a clone of the tip", lambda: head(lab, to := clone(lab, warmed)) == fresh and to)
    assert lab.sandbox.git("-C", to, "branch", "-r").stdout.count("origin/b/") == 2000
    lab.audit.until(lambda es: {e.get("source") for e in es} >= {"mirror"}, event="git", decision="allow")


def test_thousands_of_references_at_first(lab, server, origin):
    """They come in one file, not in one each; then they move as others do."""
    tip = origin.tip()
    origin.git("update-ref", "--stdin", input="".join(f"create refs/heads/b/{i:05} {tip}\n" for i in range(3000)))
    warm(lab, origin)

    def same():
        theirs = origin.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
        return mirror_git(lab, origin, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"
                          ).strip() == theirs
    assert same()
    refs = f"{mirror_of(lab, origin)}/repo.git/refs/heads"
    assert not [name for _, _, names in os.walk(refs) for name in names]
    origin.git("update-ref", "--stdin", input="".join(f"delete refs/heads/b/{i:05}\n" for i in range(10)))
    origin.commit("b/00020", onto="main")
    fresh = origin.commit("b/00000", onto="main")
    assert fresh in objects_of(pack_of(ask_repo(lab, origin, fetch_body(fresh)).body)[0])
    wait_for("the mirror's references", same)


def odd_list(change):
    """A list of references, and what is said of the first of them."""
    return lambda asked, answer: Answer(body=change(answer.body)) if asked.kind == "ls-refs" else None


@row("D9", "D13")
@pytest.mark.parametrize("odd", ["file-and-folder", "far-folder", "no-commit"])
def test_references_at_first_that_git_would_not_take(lab, server, origin, odd):
    """No mirror comes of it, and clients have upstream's own words; one that is right is taken."""
    tip, blob = origin.tip().encode(), origin.git("rev-parse", "main:src/file1.txt").encode()
    more = {"file-and-folder": [(b"a", tip), (b"a/b", tip)], "far-folder": [(b"a", tip), (b"a-b", tip), (b"a/b/c/d", tip)],
            "no-commit": [(b"a", blob)]}[odd]
    extra = b"".join(pkt(oid + b" refs/heads/" + name + b"\n") for name, oid in more)
    server.change = odd_list(lambda body: body[:-4] + extra + FLUSH)
    failures = f"event=refresh_failed host=gitlab.com repo={origin.name}"

    def failed():
        got = ask_repo(lab, origin, fetch_body(origin.tip()))
        assert origin.tip() in objects_of(pack_of(got.body)[0])
        return failures in lab.logs()
    wait_for("it to be refused", failed)
    assert origin.name not in abouts(lab).values()
    server.change = None
    warm(lab, origin)


@row("D2")
def test_what_is_not_ours_is_not_advertised(lab, server, origin):
    """Of upstream's capabilities those that the mirror has; a server that knows only version 0 is upstream's own."""
    said = [b"version 2\n", b"agent=git/99\n", b"ls-refs=unborn\n", b"fetch=shallow wait-for-done filter packfile-uris\n",
            b"server-option\n", b"object-format=sha1\n", b"object-info\n", b"bundle-uri\n"]
    server.change = lambda asked, answer: (Answer(type=answer.type, body=b"".join(map(pkt, said)) + FLUSH)
                                           if asked.kind == "advertisement" else None)
    done = lab.sandbox.git("ls-remote", origin.url, env={"GIT_TRACE_PACKET": "1"})
    assert done.returncode == 0
    for word in ("packfile-uris", "server-option", "object-info", "bundle-uri", "git/99"):
        assert word not in done.stderr, word
    for word in ("ls-refs=unborn", "fetch=shallow wait-for-done filter", "object-format=sha1"):
        assert word in done.stderr, word


def test_server_of_version_0(lab, server, origin):
    """It does not know version 2: all of it is upstream's own."""
    def old(asked, answer):
        asked.protocol = ""
        return server._honest(asked)
    server.change = old
    for n in range(2):
        assert head(lab, clone(lab, origin)) == origin.tip()
    lab.audit.until(lambda es: len(es) == 4, event="git", decision="allow")
    assert {e["source"] for e in lab.audit.events(event="git", decision="allow")} == {"upstream"}


@row("D13")
def test_nothing_is_left_running(lab, server, warmed):
    """After all of this the daemon has no more threads, descriptors and children than before it."""
    before = held(lab)
    for lie in ("flipped", "truncated", "err", "endless"):
        lies = {**FETCHES, "endless": endless(b"\1" + b"x" * 60000)}
        server.change = lambda asked, answer: lies[lie](asked, answer) if asked.kind == "fetch" else None
        assert fetch_id(lab, warmed, warmed.commit()).returncode
    server.change = None
    wait_for(f"the mirror to be as before: {before}", lambda: all(a <= b for a, b in zip(held(lab), before)))


def held(lab):
    """(threads, descriptors, children); answers that are shared for a minute are memory files, and not counted."""
    pid = max(lab.pids("cordon-mirror"), key=lambda p: len(os.listdir(f"/proc/{p}/task")))
    fds = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            fds += "memfd:answer" not in os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return threads(lab), fds, len(open(f"/proc/{pid}/task/{pid}/children").read().split())
