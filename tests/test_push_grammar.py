"""The bytes of a push, by hand: rows D8 and C5 of the threats, and CVE-2025-54584.

Each row is one lie. Whatever is answered is whole and comes at once; upstream hears of none of them.
"""

import gzip
import hashlib
import itertools
import zlib

import pytest

from lab import row
from labhttp import FLUSH, Wire, pkt, post
from labobjects import blob, change, delta, insert, pack
from labpush import (CAPS, FREE, HOST, RECEIVE, ZERO, commands, create, policy, push_lab, push_raw, raw, refused,
                     report_of, token)

AGENT, MAIN = "refs/heads/agent/x", "refs/heads/main"
BAD = {"pack_malformed", "capability_not_allowed", "ref_not_allowed", "pack_limit_exceeded", "request_malformed",
       "body_too_large"}
_count = itertools.count(1)


@pytest.fixture(scope="module")
def lab(world):
    with push_lab(world, {"agent": policy("host_mirror"), "free": policy("upstream", **FREE)}) as lab:
        yield lab


@pytest.fixture
def repo(lab):
    lab.forge.reset()
    lab.audit.mark()
    repo = lab.forge.repository(f"acme/g{next(_count)}")
    yield repo
    repo.remove()


def line(new, ref=AGENT, old=ZERO, caps=None):
    text = f"{old} {new} {ref}".encode()
    return pkt(text + (b"" if caps is None else b"\0" + caps.encode()))


# name: body of (tip, objects of a good push)
def of(head):
    return lambda tip, o: head(o[0].id) + pack(*o)


def first(n):
    return line(n, caps=CAPS)


def options(said, caps=f"{CAPS} push-options"):
    return lambda tip, o: commands((ZERO, o[0].id, AGENT), caps=caps, options=said) + pack(*o)


GRAMMAR = {
    "shallow without an id": of(lambda n: pkt(f"shallow {n[:39]}") + first(n) + FLUSH),
    "shallow between": of(lambda n: first(n) + pkt(f"shallow {n}") + FLUSH),
    "push-cert": of(lambda n: pkt(b"push-cert\0" + CAPS.encode()) + pkt("certificate version 0.1\n") + pkt("push-cert-end\n")
                    + FLUSH),
    "push-cert capability": of(lambda n: line(n, caps=f"{CAPS} push-cert=x") + FLUSH),
    "unknown capability": of(lambda n: line(n, caps=f"{CAPS} new-thing") + FLUSH),
    "unknown with a value": of(lambda n: line(n, caps=f"{CAPS} filter=blob:none") + FLUSH),
    "capabilities on the second line": of(lambda n: line(n) + line(n, f"{AGENT}2", caps=CAPS) + FLUSH),
    "capabilities on both": of(lambda n: first(n) + line(n, f"{AGENT}2", caps=CAPS) + FLUSH),
    "another format": of(lambda n: line(n, caps=f"{CAPS} object-format=sha256") + FLUSH),
    "two formats": of(lambda n: line(n, caps=f"{CAPS} object-format=sha1 object-format=sha256") + FLUSH),
    "no such format": of(lambda n: line(n, caps=f"{CAPS} object-format=md5") + FLUSH),
    "delimiter": of(lambda n: first(n) + b"0001" + FLUSH),
    "response end": of(lambda n: first(n) + b"0002" + FLUSH),
    "length 3": of(lambda n: first(n) + b"0003" + FLUSH),
    "empty line": of(lambda n: first(n) + b"0004" + FLUSH),
    "no hex": of(lambda n: first(n) + b"00zz" + FLUSH),
    "signed hex": of(lambda n: first(n) + b"+00a" + b"x" * 6 + FLUSH),
    "blank hex": of(lambda n: first(n) + b" 00a" + b"x" * 6 + FLUSH),
    "0x": of(lambda n: first(n) + b"0x0a" + b"x" * 6 + FLUSH),
    "line of 65521": of(lambda n: first(n) + b"fff1" + line(n, "refs/heads/agent/" + "y" * 65413)[4:] + FLUSH),
    "line of 65520": of(lambda n: first(n) + b"fff0" + line(n, "refs/heads/agent/" + "y" * 65412)[4:] + FLUSH),
    "line of 65535": of(lambda n: first(n) + b"ffff" + b"y" * 65531 + FLUSH),
    "nothing but a flush first": lambda tip, o: FLUSH + commands((ZERO, o[0].id, AGENT)) + pack(*o),
    "no flush": of(first),
    "no command": lambda tip, o: pkt(b"\0" + CAPS.encode()) + FLUSH + pack(*o),
    "one id": of(lambda n: pkt(f"{n} {AGENT}".encode() + b"\0" + CAPS.encode()) + FLUSH),
    "two blanks": of(lambda n: pkt(f"{ZERO}  {n} {AGENT}".encode() + b"\0" + CAPS.encode()) + FLUSH),
    "tab": of(lambda n: pkt(f"{ZERO}\t{n}\t{AGENT}".encode() + b"\0" + CAPS.encode()) + FLUSH),
    "no ref": of(lambda n: pkt(f"{ZERO} {n} ".encode() + b"\0" + CAPS.encode()) + FLUSH),
    "short id": of(lambda n: pkt(f"{ZERO} {n[:39]} {AGENT}".encode() + b"\0" + CAPS.encode()) + FLUSH),
    "long id": of(lambda n: pkt(f"{ZERO} {n}0 {AGENT}".encode() + b"\0" + CAPS.encode()) + FLUSH),
    "wide id": of(lambda n: pkt(f"{ZERO + '0' * 24} {n + '0' * 24} {AGENT}".encode() + b"\0" + CAPS.encode()) + FLUSH),
    "nothing to nothing": of(lambda n: line(ZERO, caps=CAPS) + FLUSH),
    "options that were not announced": options(["a"], caps=CAPS),
    "options announced and absent": options(None),
    "65 options": options(["a"] * 65),
    "an option of 1100 bytes": options(["a" * 1100]),
    "an option with NUL": options(["a\0b"]),
    "an option with a newline inside": options(["a\nb"]),
    "20001 commands": lambda tip, o: commands(*((ZERO, tip, f"{AGENT}{i}") for i in range(20001))) + pack(*o),
}


@row("D8")
@pytest.mark.parametrize("name", GRAMMAR)
def test_grammar(lab, repo, name):
    body = GRAMMAR[name](repo.tip(), change(repo.tip()))
    with refused(lab, repo, BAD, event=None):
        got = raw(lab, repo, body)
        assert got.status in (200, 400) and b"ok refs/" not in got.body, got


def short(o, n):
    return pack(*o)[:n]


LONE = blob(b"lone\n")
LONE_Z = zlib.compress(LONE.data)
PACKS = {
    "none": lambda o: b"",
    "four bytes": lambda o: b"PACK",
    "no trailer": lambda o: short(o, -20),
    "half a trailer": lambda o: short(o, -10),
    "half": lambda o: short(o, len(pack(*o)) // 2),
    "another trailer": lambda o: pack(*o, trailer=b"\1" * 20),
    "a byte more": lambda o: pack(*o) + b"\0",
    "a pack more": lambda o: pack(*o) + pack(LONE),
    "an empty pack more": lambda o: pack(*o) + pack(),
    "junk first": lambda o: b"x" + pack(*o),
    "an empty pack first": lambda o: pack() + pack(*o),
    "a pkt-line first": lambda o: pkt(b"x") + pack(*o),
    "version 1": lambda o: pack(*o, version=1),
    "version 4": lambda o: pack(*o, version=4),
    "more than counted": lambda o: pack(*o, count=len(o) - 1),
    "fewer than counted": lambda o: pack(*o, count=len(o) + 1),
    "four milliards counted": lambda o: pack(*o, count=0xffffffff),
    "no objects": lambda o: pack(),
    "type 0": lambda o: pack(*o, b"\x01" + b"x\x9c\x03\0\0\0\0\1"),
    "type 5": lambda o: pack(*o, b"\x51" + b"x\x9c\x03\0\0\0\0\1"),
    "no zlib": lambda o: pack(*o, b"\x35hello world"),
    "longer than it says": lambda o: pack(*o, b"\x31" + LONE_Z),
    "shorter than it says": lambda o: pack(*o, b"\x3f" + LONE_Z),
    "a delta over nothing": lambda o: pack(*o, delta(b"\3" * 20, 4, insert(b"more"), base_size=4)),
    "a delta over itself": lambda o: pack(*o, b"\x60\x00" + LONE_Z),
    "a delta of garbage": lambda o: pack(*o, delta(LONE, 4, b"\0\0\0"), LONE),
    "a delta of another size": lambda o: pack(*o, delta(LONE, 400, insert(b"more")), LONE),
    "a delta beyond its base": lambda o: pack(*o, delta(LONE, 100, b"\x90\x64"), LONE),
}


@row("D8", "D10")
@pytest.mark.parametrize("name", PACKS)
@pytest.mark.parametrize("vm", ["vm0", "vm1"])
def test_packs(lab, repo, name, vm):
    """What follows the flush is one whole pack to the last byte, or nothing of it goes anywhere."""
    objects = change(repo.tip())
    body = commands((ZERO, objects[0].id, AGENT)) + PACKS[name](objects)
    with refused(lab, repo, {"pack_malformed", "hidden_objects", "pack_limit_exceeded", "request_malformed"}) as events:
        report = push_raw(lab, repo, body, sandbox=lab.sandboxes[vm])
        assert report.refs[AGENT] != "ok" and report.why() != "scan_failed", report
    assert events[0]["reason"] == report.why()


@row("D8")
@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_forms_that_are_fine(lab, format):
    """An empty pack for what upstream has; newlines behind commands; no capabilities; one byte a chunk."""
    repo = lab.forge.repository(f"acme/fine-{format}", format=format)
    zero, tip = "0" * (64 if format == "sha256" else 40), repo.tip()
    told = " object-format=sha256" if format == "sha256" else ""
    empty = pack(format=format)
    report = push_raw(lab, repo, commands((zero, tip, f"{AGENT}1"), caps=CAPS + told) + empty)
    assert report.refs == {f"{AGENT}1": "ok"}
    objects = change(tip, format=format)
    body = pkt(f"{zero} {objects[0].id} {AGENT}2".encode() + b"\0 " + (CAPS + told).encode() + b"\n")
    body += pkt(f"{zero} {tip} {AGENT}3\n") + FLUSH + pack(*objects, format=format)
    report = push_raw(lab, repo, body, chunked=True, size=1)
    assert report.refs == {f"{AGENT}2": "ok", f"{AGENT}3": "ok"}
    if format == "sha1":
        body = pkt(f"{zero} {tip} {AGENT}4") + FLUSH + empty
        got = raw(lab, repo, body)
        assert (got.status, got.body) == (200, b"") and f"{AGENT}4" in repo.refs(), "nobody asked for a report"
        body = commands((zero, tip, f"{AGENT}5"), caps="report-status") + empty
        assert report_of(raw(lab, repo, body).body, banded=False).refs == {f"{AGENT}5": "ok"}
        report = report_of(raw(lab, repo, commands((zero, tip, f"{AGENT}6"), caps="side-band-64k") + empty).body)
        assert report.refs == {} and f"{AGENT}6" in repo.refs()
    repo.remove()


@row("D8")
def test_deletions_have_no_pack(lab, repo):
    """Bytes behind them are none of git's."""
    free = lab.sandboxes["vm1"]
    repo.git("branch", "gone", "main")
    body = commands((repo.tip(), ZERO, "refs/heads/gone"))
    with refused(lab, repo, BAD):
        assert "ok" not in push_raw(lab, repo, body + pack(*change(repo.tip())), sandbox=free).refs.values()
    assert push_raw(lab, repo, body, sandbox=free).refs == {"refs/heads/gone": "ok"}
    with refused(lab, repo, "delete_not_allowed"):
        push_raw(lab, repo, commands((repo.tip(), ZERO, AGENT)))


@row("D8")
@pytest.mark.parametrize("caps, options", [("atomic", None), ("push-options", ["a"])], ids=["atomic", "options"])
def test_what_upstream_does_not_offer(lab, repo, caps, options):
    """atomic and push options are refused where upstream would not honour them."""
    repo.git("config", "receive.advertiseAtomic", "false")
    repo.git("config", "receive.advertisePushOptions", "false")
    objects = change(repo.tip())
    with refused(lab, repo, "capability_not_allowed", event=None):
        got = raw(lab, repo, commands((ZERO, objects[0].id, AGENT), caps=f"{CAPS} {caps}", options=options)
                  + pack(*objects))
        assert b"capability_not_allowed" in got.body


@row("C5")
@pytest.mark.parametrize("coding, packed", [
    ("deflate", gzip.compress), ("identity, gzip", gzip.compress), ("gzip, gzip", lambda b: gzip.compress(gzip.compress(b))),
    ("br", gzip.compress), ("gzip", lambda b: gzip.compress(b)[:-9]), ("gzip", lambda b: gzip.compress(b) + b"x"),
    ("gzip", lambda b: gzip.compress(gzip.compress(b))), ("gzip", lambda b: 2 * gzip.compress(b))],
    ids=["deflate", "a list", "twice", "another", "cut", "more", "in itself", "two members"])
def test_encodings(lab, repo, coding, packed):
    """Nothing but one layer of gzip, to its end and no further."""
    with refused(lab, repo, {"request_malformed", "pack_malformed", "not_git"}, event=None):
        got = raw(lab, repo, packed(create(repo, change(repo.tip()))), fields=[f"Content-Encoding: {coding}"])
        assert got.status in (200, 400, 415) and b"ok refs/" not in got.body, got


@row("C5")
def test_one_layer_of_gzip(lab, repo):
    """As JGit sends it."""
    packed = gzip.compress(create(repo, change(repo.tip())))
    assert push_raw(lab, repo, packed, fields=["Content-Encoding: gzip"]).refs == {AGENT: "ok"}


def test_another_content_type(lab, repo):
    body = create(repo, change(repo.tip()))
    with Wire(lab.sandbox, HOST) as wire:
        with refused(lab, repo, {"request_malformed", "not_git"}, event=None):
            text = post(f"{repo.name}.git", body, service=RECEIVE, host=HOST, protocol=0)
            got = wire.send(text.replace(b"x-git-receive-pack-request", b"x-git-upload-pack-request")).response()
            assert got.status >= 400


@pytest.mark.parametrize("version", [1, 2])
def test_protocol_header(lab, repo, version):
    """A push is version 0, whatever the client's header wants."""
    with Wire(lab.sandbox, HOST) as wire:
        body = create(repo, change(repo.tip()))
        got = wire.send(post(f"{repo.name}.git", body, service=RECEIVE, host=HOST, protocol=version)).response()
    assert report_of(got.body).refs == {AGENT: "ok"}
    assert {r.git_protocol for r in lab.forge.requests()} & {"version=1", "version=2"} <= {"version=2"}
    assert all(r.git_protocol == "-" for r in lab.forge.requests(method="POST") if r.path.endswith(RECEIVE))


@row("D4")
@pytest.mark.parametrize("place", ["ref", "agent", "option", "message", "blob"])
def test_pack_is_not_searched_for(lab, repo, place):
    """CVE-2025-54584: the four letters stand elsewhere first, with a harmless pack behind them where bytes allow it."""
    harmless, tip = pack(*change(repo.tip())), repo.tip()
    ref, caps, options = AGENT, CAPS, None
    if place == "ref":
        ref = "refs/heads/agent/PACK"
    elif place == "agent":
        caps = f"{CAPS}-PACK"
    elif place == "option":
        caps, options = f"{CAPS} push-options", [bytes(b if b >= 0x20 and b != 0x7f else 0x20 for b in harmless[:200])]
    message = harmless.replace(b"\0", b" ") if place == "message" else b"x\n"
    objects = change(tip, files={b"a": harmless if place == "blob" else b"a\n", b"b": token()}, message=message)
    with refused(lab, repo, "secret_detected"):
        report = push_raw(lab, repo, commands((ZERO, objects[0].id, ref), caps=caps, options=options) + pack(*objects))
        assert report.why() == "secret_detected", report


def test_connection_goes_on(lab, repo):
    """What was refused has been read to its end, so that the next request on the connection is understood."""
    objects = change(repo.tip())
    bad = commands((ZERO, objects[0].id, MAIN)) + pack(*objects, blob(b"x" * 300000))
    good = create(repo, objects)
    with Wire(lab.sandbox, HOST) as wire:
        for body, want in ((bad, "ref_not_allowed"), (good, "ok")):
            got = wire.send(post(f"{repo.name}.git", body, service=RECEIVE, host=HOST, protocol=0)).response()
            assert report_of(got.body).why() == want


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large(lab, repo, chunked):
    """Beyond max_pack_bytes: told, not buffered without end; a length that says so at once."""
    lab.profile("small", policy("host_mirror", max_pack_bytes=65536))
    assert lab.cordon("reload").returncode == 0
    small = lab.sandboxes.get("small") or lab.add_sandbox("small", "small")
    lab.renew()
    noise = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(4000))
    objects = change(repo.tip(), files={b"noise": noise})
    with refused(lab, repo, {"pack_limit_exceeded", "body_too_large"}, event=None):
        got = raw(lab, repo, create(repo, objects), sandbox=small, chunked=chunked)
        assert b"pack_limit_exceeded" in got.body or got.reason in ("pack_limit_exceeded", "body_too_large")
    assert push_raw(lab, repo, create(repo, change(repo.tip())), sandbox=small).refs == {AGENT: "ok"}
