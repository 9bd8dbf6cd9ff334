"""Git through the proxy: what works, and rows C1-C5, C7-C12 of the threats."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading

import pytest

import labworld
from lab import AGENT, row
from labclient import tls
from labhttp import (UPLOAD, Closed, Rude, Wire, allowed, ask, chunks, get, gzipped, info_refs, ls_refs, pkt,
                     post, refused)
from labnet import PATIENCE, wait_for

WIDGETS = "https://github.com/acme/widgets"


@pytest.fixture
def guest(lab, audit):
    """The shared lab's sandbox, its home empty, its log its own."""
    for entry in os.scandir(f"{lab.sandbox.dir}/home"):
        shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
    return lab.sandbox


@pytest.fixture
def seen(lab):
    """What github.com's own server got since the test began."""
    before = len(lab.web.requests())
    return lambda: lab.web.requests()[before:]


# ---- what must work ----

@pytest.mark.parametrize("version", [0, 1, 2])
def test_clone(lab, guest, seen, family, version):
    """An unmodified git, every version of the protocol, both families, both spellings."""
    spelling = WIDGETS + (".git" if family == 6 else "")
    done = guest.git("-c", f"protocol.version={version}", "clone", f"-{family}", spelling, "w")
    assert done.returncode == 0, done.stderr
    assert guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/widgets")
    events = allowed(lab, lambda events: sum(e["bytes_down"] for e in events) > 10000)
    assert {e["repo"] for e in events} == {"acme/widgets"}
    assert {e["rule"] for e in events} == {"git.allowed_repos: acme/widgets"}
    assert {r.git_protocol for r in seen()} == {f"version={version}" if version else "-"}


def test_clone_over_plain_http(lab, guest, seen, family):
    """Port 80 of a git host is served by the same code; upstream it is TLS all the same."""
    done = guest.git("clone", f"-{family}", "http://github.com/acme/widgets", "w")
    assert done.returncode == 0, done.stderr
    allowed(lab, lambda events: {e["port"] for e in events} == {80})
    assert len(seen()) >= 2


def test_shallow_deepen_fetch_ls_remote(lab, guest):
    for argv in (["clone", "--depth", "1", WIDGETS, "w"], ["-C", "w", "fetch", "--deepen", "10"],
                 ["-C", "w", "fetch", "--unshallow"], ["-C", "w", "fetch", "--tags"],
                 ["ls-remote", WIDGETS]):
        done = guest.git(*argv)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
    assert guest.git("-C", "w", "rev-list", "--count", "HEAD").stdout.strip() == "300"
    allowed(lab)


def test_partial_clone(lab, guest):
    """Blobs come one small request after the other."""
    done = guest.git("clone", "--filter=blob:none", WIDGETS, "w")
    assert done.returncode == 0, done.stderr
    assert guest.git("-C", "w", "log", "-p", "-3").returncode == 0
    allowed(lab)


def test_fetch_with_many_haves(lab, guest):
    """git gzips a body of over 1 KiB: hundreds of commits that upstream does not know."""
    assert guest.git("init", "-q", "w").returncode == 0
    script = "".join(f"commit refs/heads/mine\ncommitter A <a@lab.invalid> {1600000000 + i} +0000\n"
                     "data 2\nx\n\n" for i in range(600))
    assert guest.git("-C", "w", "fast-import", "--quiet", input=script).returncode == 0
    done = guest.git("-C", "w", "fetch", WIDGETS, "main",
                     env={"GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"})
    assert done.returncode == 0, done.stderr
    assert "content-encoding: gzip" in done.stderr.lower()
    allowed(lab, lambda events: max((e["bytes_up"] for e in events), default=0) > 1024)


@row("C5")
@pytest.mark.parametrize("form", ["length", "chunked", "gzip", "gzip-chunked", "expect"])
def test_forms_of_a_body(lab, guest, family, form):
    """As git sends it, as libgit2 does (chunked, after 100 Continue), small and large."""
    body = ls_refs("refs/heads/main", *(f"refs/none/{i}" for i in range(300)))
    wire_body = gzipped(body) if "gzip" in form else body
    fields = ["Content-Encoding: gzip"] if "gzip" in form else []
    with Wire(guest, family=family) as wire:
        if form == "expect":
            wire.send(post("acme/widgets", b"", "Transfer-Encoding: chunked",
                           "Expect: 100-continue", length=False))
            assert wire.response().status == 100
            wire.send(chunks(body))
        elif "chunked" in form:
            wire.send(post("acme/widgets", chunks(wire_body), "Transfer-Encoding: chunked",
                           *fields, length=False))
        else:
            wire.send(post("acme/widgets", wire_body, *fields))
        got = wire.response()
    assert got.status == 200 and lab.world.tip("acme/widgets").encode() in got.body
    allowed(lab, lambda events: events and events[-1]["bytes_up"] == len(body))


def test_upstream_order_of_headers(lab, guest):
    """git's own tests look at it."""
    got = ask(guest, info_refs("acme/widgets"))
    assert got.status == 200 and got.fields["content-type"] == f"{UPLOAD}-advertisement"
    shown = [k for k in got.order if k in ("expires", "pragma", "cache-control", "content-type")]
    assert shown == ["expires", "pragma", "cache-control", "content-type"]
    assert set(got.order) <= {*shown, "transfer-encoding", "content-length"}


# ---- what is refused ----

def test_other_repository(lab, guest, seen, family):
    done = guest.git("clone", f"-{family}", "https://github.com/acme/payroll", "p")
    assert done.returncode and "remote: repository_not_allowed" in done.stderr
    assert "ask the host's administrator" in done.stderr
    event = refused(lab, "repository_not_allowed", repo="acme/payroll")
    assert (event["status"], event["service"], event["src"]) == (403, "git-upload-pack", "gitproxy")
    assert not seen()


def test_missing_repository_looks_the_same(lab, guest):
    """A refusal does not say whether the repository exists."""
    there, missing = (ask(guest, info_refs(f"acme/{r}")) for r in ("payroll", "no-such"))
    assert there == missing


def test_push(lab, guest, seen, family):
    """In words that git prints, before a byte of a pack is sent."""
    assert guest.git("clone", WIDGETS, "w").returncode == 0
    identity = ["-c", "user.name=a", "-c", "user.email=a@lab.invalid"]
    assert guest.git("-C", "w", *identity, "commit", "-q", "--allow-empty", "-m",
                     "x").returncode == 0
    done = guest.git("-C", "w", "push", f"-{family}", "origin", "HEAD:refs/heads/agent/x")
    assert done.returncode and "remote: push_not_allowed" in done.stderr
    refused(lab, "push_not_allowed", repo="acme/widgets", service="git-receive-pack")
    assert not [r for r in seen() if "receive-pack" in r.path]


@row("C2", "C6")
def test_push_without_asking(lab, guest, seen):
    """The service is what the path says: with or without .git, probe or pack. As an error that git shows."""
    for repo in ("acme/widgets", "acme/widgets.git"):
        command = pkt("0" * 40 + " " + "1" * 40 + " refs/heads/x\0report-status\n")
        for body in (b"0000", command + b"0000PACK"):
            got = ask(guest, post(repo, body, service="git-receive-pack", protocol=0))
            assert got.status == 200 and got.reason == "push_not_allowed"
            assert got.fields["content-type"] == "application/x-git-receive-pack-result"
            assert got.body[4:].startswith(b"\3cordon: push_not_allowed: ")
    refused(lab, "push_not_allowed")
    assert not seen()


TAIL = "/info/refs?service=git-upload-pack"
TRICKS = [f"{p}{TAIL}" for p in (
    "/acme/../acme/widgets", "/acme/widgets/../payroll", "/acme/./widgets", "//acme/widgets",
    "/acme//widgets",
    "/acme/widgets/", "/acme/%2e%2e/acme/widgets", "/acme/%252e%252e/widgets", "/acme%2fwidgets",
    "/acme/widgets%3f", "/acme/widgets%00", "/acme\\widgets", "/acme;x/widgets", "/acme/widgets;x",
    "/acme/%77idgets",
    "/acme/widgets.", "/acme/widgets%20", "/acme/widgets/x", "/acme", "", "/-acme/widgets")]
OTHERS = ["/", "/acme/widgets", "/acme/widgets/objects/info/packs",
          "/acme/widgets/archive/main.tar.gz", "/acme/widgets/raw/main/README",
          "/api/v3/repos/acme/widgets", "/graphql", "/acme/widgets/settings", "/login",
          "/acme/widgets/git-upload-pack/", "/acme/widgets/Info/refs?service=git-upload-pack"]


@row("C1", "C10")
def test_paths(lab, guest, seen, family):
    """What the grammar does not know is not passed on, however it is spelled."""
    for path in TRICKS + OTHERS:
        got = ask(guest, get(path), family)
        assert (got.status, got.reason) == (403, "not_git"), f"{path}: {got}"
    refused(lab, "not_git")
    assert not seen()


@row("C1", "C4")
def test_targets_that_are_malformed(lab, guest, seen, family):
    """Absolute form, authority form, fragments, spaces, bytes outside ASCII: refused as HTTP."""
    for path in (f"https://github.com/acme/widgets{TAIL}", "github.com:443", "*",
                 f"/acme/widgets#x{TAIL}",
                 f"/acme/widgets {TAIL}", f"/acme/widgets\xe9{TAIL}", f"/acme/widgets\0{TAIL}",
                 "acme/widgets"):
        assert ask(guest, get(path), family).status == 400, path
    refused(lab, "request_malformed")
    assert not seen()


@row("C2")
def test_service_parameter(lab, guest, seen, family):
    for query in ("service=git-upload-pack&service=git-receive-pack",
                  "service=git-receive-pack&service=git-upload-pack",
                  "service=git%2dupload-pack", "service=GIT-UPLOAD-PACK",
                  "Service=git-upload-pack", "%73ervice=git-upload-pack",
                  "service=git-upload-pack;x", "service=git-upload-pack&x=1",
                  "x=1&service=git-upload-pack",
                  "service=git-upload-archive", "service=", "service", "?service=git-upload-pack"):
        got = ask(guest, get(f"/acme/widgets/info/refs?{query}"), family)
        assert (got.status, got.reason) == (403, "service_not_allowed"), f"{query}: {got}"
    event = refused(lab, "service_not_allowed")
    assert event["repo"] == "acme/widgets"
    assert not seen()


def test_dumb_protocol(lab, guest, seen):
    done = guest.git("ls-remote", WIDGETS, env={"GIT_SMART_HTTP": "0"})
    assert done.returncode and "dumb_http_not_allowed" in done.stderr
    refused(lab, "dumb_http_not_allowed")
    assert not seen()


def test_lfs(lab, guest, seen):
    got = ask(guest, get("/acme/widgets.git/info/lfs/objects/batch", "Content-Length: 2",
                         method="POST") + b"{}")
    assert (got.status, got.reason) == (501, "lfs_not_allowed")
    refused(lab, "lfs_not_allowed", repo="acme/widgets")
    assert not seen()


@row("C3")
def test_spellings_of_an_allowed_repository(lab, guest, seen, family):
    """One canonical form is checked, dialled and audited."""
    repos = ("acme/widgets", "acme/widgets.git", "ACME/Widgets", "acme/WIDGETS.git")
    for repo in repos:
        assert ask(guest, info_refs(repo), family).status == 200
    assert {r.path for r in seen()} == {f"/acme/widgets.git{TAIL}"}
    events = lab.audit.until(lambda events: len(events) == len(repos), event="git")
    assert {e["repo"] for e in events} == {"acme/widgets"}


@row("C3")
@pytest.mark.parametrize("repo, reason", [
    ("acme/widgets.wiki", "repository_not_allowed"),
    ("acme/widgets.wiki.git", "repository_not_allowed"),
    ("ACME/PAYROLL", "repository_not_allowed"), ("acme/payroll.git", "repository_not_allowed"),
    ("acme/widgets.git.git", "not_git"), ("acme/widgets.GIT", "not_git"),
    ("acme/widgets.Git.git", "not_git"),
    ("acme/widgets.", "not_git"), ("acme/.git", "not_git"), ("acme/widgets/", "not_git")])
def test_spellings_of_others(lab, guest, seen, repo, reason):
    got = ask(guest, info_refs(repo))
    assert (got.status, got.reason) == (403, reason)
    refused(lab, reason)
    assert not seen()


# ---- requests (C4, C5) ----

@row("C4")
def test_second_request_on_a_connection(lab, guest, seen, family):
    """An allowed request buys nothing for the next, kept alive or pipelined."""
    with Wire(guest, family=family) as wire:
        assert wire.send(info_refs("acme/widgets")).response().status == 200
        assert wire.send(info_refs("acme/payroll")).response().reason == "repository_not_allowed"
        assert wire.send(info_refs("acme/widgets")).response().status == 200
        wire.send(info_refs("acme/widgets") + info_refs("acme/payroll") + info_refs("acme/widgets"))
        assert [wire.response().status for _ in range(3)] == [200, 403, 200]
        body = ls_refs("refs/heads/main")
        wire.send(post("acme/widgets", body) + post("acme/payroll", body))
        assert wire.response().status == 200
        got = wire.response()
        assert (got.status, got.reason) == (200, "repository_not_allowed")
        assert got.body[4:8] == b"ERR "
    refused(lab, "repository_not_allowed", repo="acme/payroll", service="git-upload-pack")
    assert {r.path.split("/info")[0].split("/git-")[0] for r in seen()} == {"/acme/widgets.git"}


HIDDEN = get(f"/acme/payroll{TAIL}")
SMUGGLING = {
    "cl-te": post("acme/widgets", b"0\r\n\r\n" + HIDDEN, "Transfer-Encoding: chunked"),
    "te-cl": post("acme/widgets", chunks(HIDDEN), "Transfer-Encoding: chunked",
                  "Content-Length: 4", length=False),
    "two-lengths": post("acme/widgets", b"0000" + HIDDEN, "Content-Length: 4"),
    "plus": post("acme/widgets", b"0000", "Content-Length: +4", length=False),
    "xchunked": post("acme/widgets", chunks(b"0000"), "Transfer-Encoding: xchunked", length=False),
    "te-list": post("acme/widgets", chunks(b"0000"), "Transfer-Encoding: gzip, chunked",
                    length=False),
    "te-space": get("/acme/widgets/git-upload-pack", "Transfer-Encoding : chunked",
                    method="POST") + chunks(b"0000"),
    "fold": get(f"/acme/widgets{TAIL}", "X: a", " Host: evil.example"),
    "bare-lf": get(f"/acme/widgets{TAIL}").replace(b"\r\n", b"\n"),
    "get-body": get(f"/acme/widgets{TAIL}", f"Content-Length: {len(HIDDEN)}") + HIDDEN,
    "lower-case": get(f"/acme/widgets{TAIL}", method="get"),
    "connect": get("github.com:443", method="CONNECT"),
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two-hosts": get(f"/acme/widgets{TAIL}", "Host: github.com"),
    "http-1.0": get(f"/acme/widgets{TAIL}").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "long-line": get(f"/acme/widgets{TAIL}", "X: " + "a" * 65536),
    "many-fields": get(f"/acme/widgets{TAIL}", *("X: a" for _ in range(200))),
    "control": get(f"/acme/widgets{TAIL}", "User-Agent: git/\x1b[2J"),
}


@row("C4", "C11", "C12")
def test_ambiguous_heads(lab, guest, seen, family):
    """What two readers could read in two ways is 400, and the connection ends there."""
    for what, request in SMUGGLING.items():
        with Wire(guest, family=family) as wire:
            got = wire.send(request).response()
            assert (got.status, got.reason) == (400, "request_malformed"), what
            assert wire.ends(), what
    refused(lab, "request_malformed")
    assert not seen()


@row("C4", "C5")
def test_ambiguous_bodies(lab, guest, seen, family):
    bodies = {
        "extension": b"4;x=y\r\n0000\r\n0\r\n\r\n", "request for a trailer": b"4\r\n0000\r\n0\r\n",
        "folded trailer": b"4\r\n0000\r\n0\r\nX: y\r\n z\r\n\r\n",
        "bare-lf": b"4\n0000\n0\n\n", "plus": b"+4\r\n0000\r\n0\r\n\r\n",
        "too-long": b"4\r\n00000\r\n0\r\n\r\n",
        "no-size": b"\r\n", "huge": b"fffffffff\r\n",
    }
    for what, body in bodies.items():
        with Wire(guest, family=family) as wire:
            wire.send(post("acme/widgets", body + HIDDEN, "Transfer-Encoding: chunked",
                           length=False))
            assert wire.response().status == 400, what
            assert wire.ends(), what
    refused(lab, "request_malformed", repo="acme/widgets")
    assert not seen()


@row("C4", "C5")
def test_request_behind_trailers(lab, guest, seen, family):
    """They are read to their end and dropped; what comes behind them is a request of its own."""
    body = b"4\r\n0000\r\n0\r\nX: y\r\nHost: evil.example\r\n\r\n"
    with Wire(guest, family=family) as wire:
        wire.send(post("acme/widgets", body + HIDDEN, "Transfer-Encoding: chunked", length=False))
        assert [wire.response().status for _ in range(2)] == [200, 403]
    refused(lab, "repository_not_allowed", repo="acme/payroll")
    wait_for("the request to be heard of", seen)
    assert not [r for r in seen() if "payroll" in r.path]


@row("C5")
def test_encodings(lab, guest, seen):
    """gzip once, whole, with nothing behind it; anything else is 415 or 400."""
    body = ls_refs("refs/heads/main")
    packed = gzipped(body)
    for what, data, encoding, want in (
            ("twice", gzipped(packed), "gzip, gzip", 415), ("deflate", packed, "deflate", 415),
            ("brotli", packed, "br", 415),
            ("truncated", packed[:-4], "gzip", 400), ("garbage behind", packed + b"x", "gzip", 400),
            ("not gzip", body, "gzip", 400), ("two members", packed + packed, "gzip", 400)):
        got = ask(guest, post("acme/widgets", data, f"Content-Encoding: {encoding}"))
        assert (got.status, got.reason) == (want, "request_malformed"), what
    refused(lab, "request_malformed")
    assert not seen()


@row("C5")
def test_bomb(lab, guest, seen):
    """A megabyte is the limit, decoded and on the wire."""
    for request in (post("acme/widgets", gzipped(bytes(64 << 20)), "Content-Encoding: gzip"),
                    post("acme/widgets", b"", "Content-Length: 2000000", length=False),
                    post("acme/widgets", chunks(bytes(1200000), 60000),
                         "Transfer-Encoding: chunked", length=False)):
        got = ask(guest, request)
        assert got.reason == "body_too_large" and got.body[4:8] == b"ERR "
    refused(lab, "body_too_large", repo="acme/widgets")
    assert not seen()


@row("C4")
@pytest.mark.parametrize("request_, reason", [
    (get(f"/acme/widgets{TAIL}", host="evil.example"), "host_mismatch"),
    (get(f"/acme/widgets{TAIL}", host="github.com:8443"), "host_mismatch"),
    (get(f"/acme/widgets{TAIL}", "Upgrade: h2c", "Connection: Upgrade"), "upgrade_not_allowed"),
    (get(f"/acme/widgets{TAIL}", method="TRACE"), "method_not_allowed"),
    (get(f"/acme/widgets{TAIL}", method="DELETE"), "method_not_allowed"),
    (get(f"/acme/widgets{TAIL}", "Content-Length: 0", method="POST"), "method_not_allowed"),
    (get("/acme/widgets/git-upload-pack"), "method_not_allowed"),
], ids=["host", "port", "upgrade", "trace", "delete", "post-refs", "get-rpc"])
def test_policy_of_a_request(lab, guest, seen, request_, reason):
    got = ask(guest, request_)
    assert (got.status, got.reason) == (403, reason)
    refused(lab, reason)
    assert not seen()


def test_method_override_is_only_a_field(lab, guest, seen):
    """It is dropped like every field that is not on the list."""
    assert ask(guest, info_refs("acme/widgets", "X-HTTP-Method-Override: DELETE",
                                "X-Original-URL: /acme/payroll")).status == 200
    wait_for("the request in the server's log", seen)
    assert [r.path for r in seen()] == [f"/acme/widgets.git{TAIL}"]
    allowed(lab)


@row("B9", "B10")
def test_server_name(lab, guest, family):
    """The name of the hello must be the name of the address, also where TLS is terminated."""
    with pytest.raises(OSError):
        tls(guest, "github.com", family, sni="evil.example")
    event = refused(lab, "sni_mismatch", name="github.com")
    assert event["sni"] == "evil.example"


@row("B9", "B12")
def test_not_tls(lab, guest, family):
    with guest.connect(guest.resolve("github.com", family), 443) as s:
        s.sendall(get(f"/acme/widgets{TAIL}"))
        assert not _drain(s).startswith(b"HTTP")
    refused(lab, "not_tls", name="github.com")


def _drain(s):
    data = b""
    try:
        while more := s.recv(4096):
            data += more
    except OSError:
        pass
    return data


# ---- credentials (C7) ----

@row("C7")
def test_foreign_token(lab, guest, seen, family):
    """A token that the sandbox brought along is neither used nor passed on."""
    for value in ("Basic eC1hY2Nlc3MtdG9rZW46Z2hwX3NlY3JldA==", "Bearer ghp_secret", "x"):
        got = ask(guest, info_refs("acme/widgets", f"Authorization: {value}"), family)
        assert (got.status, got.reason) == (403, "credential_not_allowed")
        assert "www-authenticate" not in got.fields
    refused(lab, "credential_not_allowed", port=443)
    assert not seen()
    assert "ghp_secret" not in lab.audit.describe() + lab.logs()


@row("C7")
def test_userinfo_in_the_url(lab, guest, seen):
    """git only sends it when asked for a password, which never happens."""
    done = guest.git("ls-remote", "https://user:ghp_secret@github.com/acme/widgets")
    assert done.returncode == 0, done.stderr
    assert {r.authorization for r in seen()} == {"-"}
    allowed(lab)


@row("C7")
def test_fields_that_are_not_passed_on(lab, guest, labs):
    """Cookies, proxies' fields and everything else that is not on the list."""
    rude_lab, rude = _rude(labs)
    rude.says(body=b"001e# service=git-upload-pack\n0000")
    fields = ("Cookie: session=1", "Proxy-Authorization: Basic eDp5",
              "Proxy-Connection: keep-alive", "X-Forwarded-For: 10.0.0.1",
              "X-Forwarded-Host: evil.example", "Forwarded: for=10.0.0.1", "Accept-Encoding: gzip",
              "Referer: http://x/",
              "Git-Protocol: version=2:agent=x", "User-Agent: git/2.39.5", "X-Anything: y",
              "Range: bytes=0-5", "If-None-Match: x")
    assert ask(rude_lab.sandbox, info_refs("acme/widgets", *fields, host="gitlab.com"),
               name="gitlab.com").status == 200
    sent = rude.requests[0].decode().lower()
    names = {line.split(":")[0] for line in sent.split("\r\n")[1:] if line}
    assert names == {"host", "user-agent", "accept", "pragma"}, sent
    assert "git/2.39.5" in sent and "10.0.0.1" not in sent


# ---- upstreams that misbehave (C8, C9, failures) ----

def _rude(labs):
    """A lab whose gitlab.com is a server of ours, and that server."""
    profile = {**AGENT, "git": {**AGENT["git"], "allowed_hosts": ["github.com", "gitlab.com"]}}
    lab = labs(profiles={"agent": profile}, config={"hosts": {"gitlab.com": labworld.SERVICES[0]}})
    certs = lab.world.certs
    rude = Rude(lab.internet, labworld.SERVICES, f"{certs}/gitlab.com.crt",
                f"{certs}/gitlab.com.key")
    return lab, rude


def _git_says(lab, *argv):
    done = lab.sandbox.git(*(argv or ("ls-remote", "https://gitlab.com/acme/widgets")))
    assert done.returncode, done.stdout
    return done.stderr


@row("C8", "C9")
def test_rude_upstream(labs, tmp_path):
    """Each failure has its reason, git prints it, and none of the server's own words."""
    lab, rude = _rude(labs)
    refs = f"{UPLOAD}-advertisement"
    cases = [
        ("upstream_denied", ("404 Not Found",),
         {"type": "text/plain", "body": b"no such repository"}),
        ("upstream_denied", ("403 Forbidden",), {}),
        ("upstream_denied", ("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'), {}),
        ("redirect_not_allowed",
         ("301 Moved", "Location: https://gitlab.com/acme/payroll/info/refs"), {}),
        ("redirect_not_allowed", ("302 Found", "Location: https://evil.example/"), {}),
        ("upstream_unreachable", ("500 Oops",), {}),
        ("dumb_http_not_allowed", ("200 OK",), {"type": "text/html", "body": b"<html>log in"}),
        ("upstream_unreachable", ("200 OK", "Content-Encoding: gzip"),
         {"type": refs, "body": gzipped(b"x")}),
    ]
    for reason, says, keywords in cases:
        rude.says(*says, **keywords)
        text = _git_says(lab)
        assert f"remote: {reason}" in text, f"{says}: {text}"
        for leak in ("no such repository", "payroll", "evil.example", "log in", "Username",
                     "realm"):
            assert leak not in text
        assert len(rude.requests) == 1, f"{says}: followed or asked again"
    lab.audit.until(lambda events: {e["reason"] for e in events} == {c[0] for c in cases},
                    event="git", decision="deny")
    lab.audit.wait(src="keeper", event="upstream", reason="upstream_denied")


@row("C9")
def test_upstream_headers(labs):
    lab, rude = _rude(labs)
    rude.says("200 OK", "Set-Cookie: a=b", "Alt-Svc: h3=\":443\"",
              "Location: https://evil.example/", "WWW-Authenticate: Basic",
              "Strict-Transport-Security: max-age=1", "Cache-Control: no-cache", "X-Anything: y",
              body=b"001e# service=git-upload-pack\n0000")
    got = ask(lab.sandbox, info_refs("acme/widgets", host="gitlab.com"), name="gitlab.com")
    assert got.status == 200
    assert got.order == ["content-type", "cache-control", "content-length"]
    trailers = b"Cache-Control: evil\r\nExpires: evil\r\nContent-Length: 9\r\n"
    rude.answer = lambda s, _: s.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {UPLOAD}-advertisement\r\n"
                                         "Transfer-Encoding: chunked\r\nPragma: x\r\n\r\n0\r\n".encode()
                                         + trailers + b"\r\n")
    got = ask(lab.sandbox, info_refs("acme/widgets", host="gitlab.com"), name="gitlab.com")
    assert (got.status, got.order) == (200, ["content-type", "pragma", "transfer-encoding"])


def test_untrusted_upstream(labs, tmp_path):
    """A certificate that nobody vouches for, and one for another name."""
    lab, rude = _rude(labs)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-subj", "/CN=gitlab.com", "-addext", "subjectAltName=DNS:gitlab.com",
                    "-keyout", tmp_path / "k",
                    "-out", tmp_path / "c"], check=True, capture_output=True)
    certs = lab.world.certs
    for certificate, key in ((tmp_path / "c", tmp_path / "k"),
                             (f"{certs}/github.com.crt", f"{certs}/github.com.key")):
        rude.certificate(certificate, key)
        rude.says(body=b"x")
        assert "remote: upstream_untrusted" in _git_says(lab)
        assert not rude.requests
    lab.audit.wait(src="keeper", event="upstream", reason="upstream_untrusted")
    lab.audit.wait_one(src="gitproxy", decision="deny", reason="upstream_untrusted")


def test_dead_upstream(labs):
    lab = labs(profiles={"agent": {**AGENT,
                                   "git": {**AGENT["git"],
                                           "allowed_hosts": ["github.com", "gitlab.com"]}}},
               config={"hosts": {"gitlab.com": labworld.SERVICES[0]}})
    assert "remote: upstream_unreachable" in _git_says(lab)
    lab.audit.wait(src="keeper", event="upstream", reason="upstream_unreachable")


@row("A10")
def test_forbidden_address_is_not_dialled(labs):
    """The filter runs where the connection is made, whatever the resolver said."""
    lab = labs(profiles={"agent": {**AGENT,
                                   "git": {**AGENT["git"],
                                           "allowed_hosts": ["github.com", "gitlab.com"]}}})
    for address in ("127.0.0.1", "169.254.169.254", "10.1.0.1", "::ffff:127.0.0.1"):
        lab.dns.set("gitlab.com", address)
        assert "remote: rebinding_blocked" in _git_says(lab), address
    lab.audit.wait_one(src="gitproxy", decision="deny", reason="rebinding_blocked")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_upstream_that_dies_in_the_middle(labs, chunked):
    """The client must see a broken answer, never a clean end."""
    lab, rude = _rude(labs)
    rude.cuts(pkt("# service=git-upload-pack\n") + b"0000" + b"x" * 3000, chunked)
    with Wire(lab.sandbox, "gitlab.com") as wire:
        with pytest.raises(Closed):
            wire.send(info_refs("acme/widgets", host="gitlab.com")).response()
    event = lab.audit.wait(src="gitproxy", event="git", repo="acme/widgets")[0]
    assert event["reason"] == "upstream_unreachable" and event["bytes_down"] > 0
    assert lab.sandbox.git("ls-remote", "https://gitlab.com/acme/widgets").returncode


# ---- the unit ----

@pytest.mark.parametrize("victim", ["cordon-gitproxy", "cordon-keeper"])
def test_both_die_together(own_lab, victim):
    """kill -9 of either ends both; the supervisor starts the unit anew and it serves."""
    def unit():
        return set(own_lab.pids("cordon-gitproxy") + own_lab.pids("cordon-keeper"))

    old = unit()
    assert len(old) == 2
    own_lab.signal(victim)
    wait_for("both to be replaced", lambda: len(new := unit()) == 2 and not old & new)
    wait_for("a fetch", lambda: own_lab.sandbox.git("ls-remote", WIDGETS).returncode == 0)


@row("B20")
def test_removal_closes_connections(own_lab):
    """An idle connection and one in the middle of a body."""
    sandbox = own_lab.sandbox
    with Wire(sandbox) as idle, Wire(sandbox) as busy:
        assert idle.send(info_refs("acme/widgets")).response().status == 200
        busy.send(post("acme/widgets", b"", "Content-Length: 100", length=False))
        own_lab.cordon("rm", sandbox.guest, check=True)
        # The kernel lets nothing through any more, a reset least of all: ask the gateway.
        wait_for("no connection",
                 lambda: not own_lab.gateway.run(["ss", "-Htn", "state", "established", "sport",
                                                  "=", ":443"]).stdout)


def _begins_an_answer(rude):
    """It sends a part of one and waits; what is given back is set when who asked has gone."""
    ended = threading.Event()

    def answer(s, _):
        s.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {UPLOAD}-advertisement\r\n"
                  "Content-Length: 1000000\r\n\r\n".encode() + bytes(1000))
        with contextlib.suppress(OSError):
            while s.recv(1000):
                pass
        ended.set()
    rude.answer = answer
    return ended


@row("B20")
def test_removal_ends_transfers(labs):
    """What the keeper was fetching for a sandbox that is gone is not fetched on."""
    lab, rude = _rude(labs)
    ended = _begins_an_answer(rude)
    with Wire(lab.sandbox, "gitlab.com") as wire:
        wire.send(info_refs("acme/widgets", host="gitlab.com"))
        wait_for("a part of the answer", lambda: wire.socket.recv(100))
        lab.cordon("rm", lab.sandbox.guest, check=True)
        assert ended.wait(PATIENCE)


@row("B19")
def test_stricter_policy(labs):
    """A reload holds for the next request on a kept connection, and ends what lost its grant."""
    lab, rude = _rude(labs)
    ended = _begins_an_answer(rude)
    with Wire(lab.sandbox, "gitlab.com") as busy, Wire(lab.sandbox) as kept:
        assert kept.send(info_refs("acme/widgets")).response().status == 200
        busy.send(info_refs("acme/widgets", host="gitlab.com"))
        wait_for("a part of the answer", lambda: busy.socket.recv(100))
        lab.profile("agent", {**AGENT, "git": {**AGENT["git"], "allowed_repos": ["acme/payroll"]}})
        lab.cordon("reload", check=True)
        assert ended.wait(PATIENCE)
        with contextlib.suppress(Closed, OSError):
            assert kept.send(info_refs("acme/widgets")).response().status == 403
    assert ask(lab.sandbox, info_refs("acme/widgets")).reason == "repository_not_allowed"


@row("C11")
def test_slow_peers(labs):
    """Silence, half a hello, half a head: each ends at its deadline, others are served."""
    lab = labs()
    guest, address = lab.sandbox, lab.sandbox.resolve("github.com")
    silent, half_hello, half_head = (guest.connect(address, port, 15) for port in (443, 443, 80))
    half_hello.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    half_head.sendall(b"GET /acme/widgets HTTP/1.1\r\nHost: gith")
    assert guest.git("ls-remote", WIDGETS).returncode == 0
    for s in (silent, half_hello, half_head):
        with s, contextlib.suppress(ConnectionError):
            assert s.recv(100) == b""
    lab.audit.wait_one(decision="deny", reason="hello_timeout", name="github.com")


@row("C11")
def test_many_stalled_handshakes(labs):
    """As many threads of the front at work at once: its C library opens no file for that many."""
    lab = labs()
    guest, address = lab.sandbox, lab.sandbox.resolve("github.com")
    unit = lab.pids("cordon-gitproxy") + lab.pids("cordon-keeper")
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            with contextlib.suppress(OSError):		# a dead proxy is the finding below
                s = stack.enter_context(guest.connect(address, 443))
                s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        held = guest.git("clone", WIDGETS, "held")
    ended = guest.git("clone", WIDGETS, "ended")	# all those threads end meanwhile
    assert lab.pids("cordon-gitproxy") + lab.pids("cordon-keeper") == unit, lab.logs()
    assert (held.returncode, ended.returncode) == (0, 0), held.stderr + ended.stderr


@row("C11")
def test_refusals_do_not_fill_the_log(labs):
    """Beyond the profile's lines per second they are counted together; the number stays exact."""
    lab = labs(profiles={"agent": {**AGENT, "limits": {"audit_lines_per_second": 10}}})
    with Wire(lab.sandbox) as wire:
        for i in range(300):
            assert wire.send(info_refs(f"acme/n{i}")).response().status == 403
    lab.signal("cordon-gitproxy", signal.SIGTERM)		# it writes its counts
    events = wait_for("the count", lambda: (e := lab.audit.events(
        event="git", reason="repository_not_allowed")) and sum(x.get("count", 1) for x in e) == 300 and e)
    assert len(events) < 100 and {e["repo"] for e in events} >= {"acme/n0", "*"}


@row("C11")
def test_failures_do_not_fill_the_log(labs):
    """The keeper's lines about one sandbox's requests have the same limit."""
    lab = labs(profiles={"agent": {**AGENT, "limits": {"audit_lines_per_second": 10},
                                   "git": {**AGENT["git"], "allowed_hosts": ["gitlab.com"],
                                           "allowed_repos": ["acme/*"]}}},
               config={"hosts": {"gitlab.com": labworld.SERVICES[0]}})
    with Wire(lab.sandbox, "gitlab.com") as wire:
        for i in range(300):
            assert wire.send(info_refs(f"acme/n{i}", host="gitlab.com")).response().status == 502
    lab.signal("cordon-keeper", signal.SIGTERM)
    events = wait_for("the count", lambda: (e := lab.audit.events(
        src="keeper", event="upstream", reason="upstream_unreachable"))
        and sum(x.get("count", 1) for x in e) == 300 and e)
    assert len(events) < 100 and {e["repo"] for e in events} >= {"acme/n0", "*"}


@row("C11")
def test_connections_of_one_sandbox(labs):
    """The profile's limit holds, another sandbox is not concerned, and a closed one makes room."""
    lab = labs(profiles={"agent": {**AGENT, "limits": {"connections": 5}}})
    first, second = lab.sandbox, lab.add_sandbox("vm1")
    held = [Wire(first) for _ in range(5)]
    with pytest.raises(TimeoutError):		# unanswered: a client tries again by itself until there is room
        Wire(first, timeout=1.5)
    lab.audit.wait_one(decision="deny", reason="too_many_connections", sandbox=first.guest)
    assert ask(second, info_refs("acme/widgets")).status == 200
    for wire in held:
        wire.socket.close()
    wait_for("room", lambda: first.git("ls-remote", WIDGETS).returncode == 0)


def test_privilege(lab):
    """No capability, no other account's rights, seccomp on; the CA's key is the keeper's alone."""
    uids = set()
    for daemon in ("cordon-gitproxy", "cordon-keeper"):
        text = open(f"/proc/{lab.pids(daemon)[0]}/status").read()
        status = dict(line.split(":\t", 1) for line in text.splitlines())
        assert {status[k].strip("0") for k in ("CapPrm", "CapEff", "CapBnd", "CapInh",
                                               "CapAmb")} == {""}
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        uid, = set(status["Uid"].split())
        uids.add(uid)
    assert "0" not in uids and len(uids) == 2
    ca, key = (os.stat(f"{lab.dir}/state/ca{p}") for p in ("", "/ca.key"))
    assert (ca.st_mode & 0o777, key.st_mode & 0o777) == (0o700, 0o600) and str(key.st_uid) in uids
    assert os.stat(f"{lab.dir}/state/ca.pem").st_mode & 0o777 == 0o644


def test_certificates(lab, guest):
    """Constrained CA, exact leaves, nothing below TLS 1.2, no tickets, no HTTP/2."""
    text = subprocess.run(["openssl", "x509", "-in", f"{lab.dir}/state/ca.pem", "-noout", "-text"],
                          capture_output=True, text=True, check=True).stdout
    assert "Name Constraints: \n" in text and "DNS:github.com" in text and "pathlen:0" in text
    assert "IP:0.0.0.0/0.0.0.0" in text and "NIST CURVE: P-256" in text
    out = guest.run(["openssl", "s_client", "-connect", f"{guest.resolve('github.com')}:443",
                     "-servername", "github.com",
                     "-CAfile", guest.ca_bundle, "-alpn", "h2,http/1.1", "-verify_return_error"],
                    input="").stdout
    assert "Verify return code: 0 (ok)" in out and "ALPN protocol: http/1.1" in out
    assert "New Session Ticket arrived" not in out
    old = guest.run(["openssl", "s_client", "-connect", f"{guest.resolve('github.com')}:443",
                     "-servername", "github.com",
                     "-tls1_1"], input="")
    assert "Cipher is (NONE)" in old.stdout
