"""Requests to hosts that the proxy reads: terminated TLS and plain HTTP (threats C, A5, B13, B15)."""

import hashlib
import itertools
import os
import re
import select
import socket
import ssl
import threading

import pytest

import labhttp
import labworld
from lab import AGENT, row
from labclient import tls
from labhttp import Closed, Wire, chunks, origin_lab, refused
from labhttp import get as _get
from labnet import PATIENCE, is_sanitized, wait_for

HOSTS = ("api.example", "deb.example", "second.example", "elsewhere.example")
ALLOW = [
    {"host": "api.example", "http": [
        {"methods": ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"], "path": "/v1/**"},
        {"path": "/health"}]},
    {"host": "api.example", "ports": [80]},
    {"host": "second.example", "http": [{"path": "/**"}]},
    {"host": "web.example", "http": [{"path": "/**"}]},
    {"host": "web.example", "ports": [80]},
    {"host": "deb.example", "protocol": "http"},
]


def make_lab(world, limits):
    """With profiles of these {name: limits}."""
    network = {"default": "deny", "allow": ALLOW}
    return origin_lab(world, dict.fromkeys(HOSTS, labworld.SERVICES[0]),
                      {name: {**AGENT, "network": network, "limits": own} for name, own in limits.items()}, ["web.example"])


@pytest.fixture(scope="module")
def lab(world):
    """A lab of our own: three names are one server that tests command."""
    with make_lab(world, {"agent": {"request_bytes": 64 << 20}, "small": {"request_bytes": 64 << 10}}) as lab:
        lab.up()
        lab.add_sandbox()
        lab.add_sandbox("small", "small")
        yield lab


def get(path, *fields, host="api.example", method="GET"):
    return _get(path, *fields, host=host, method=method)


def post(path, body, *fields, method="POST", host="api.example"):
    return get(path, f"Content-Length: {len(body)}", *fields, method=method, host=host) + body


def api(guest, family=4, name="api.example", **kw):
    return Wire(guest, name=name, family=family, **kw)


def ask(guest, request, family=4, **kw):
    with api(guest, family, **kw) as wire:
        return wire.send(request).response(body=not request.startswith(b"HEAD"))


def allowed(lab, test=bool):
    return labhttp.allowed(lab, test, "http")


# ---- what must work ----

def test_curl(lab, guest, origin, family):
    """Three requests on one connection, each with its line in the audit, none with its query."""
    urls = [f"https://api.example/v1/{i}?secret=s3cr3t" for i in range(3)]
    done = guest.curl(urls[2], *urls[:2], "-o", "/dev/null", "-w", "%{num_connects} %{http_code}\n",
                      family=family)
    assert done.returncode == 0, done.stderr
    assert [r.target for r in origin.requests] == [f"/v1/{i}?secret=s3cr3t" for i in range(3)]
    events = allowed(lab, lambda events: len(events) == 3)
    assert {(e["host"], e["port"], e["method"], e["status"], e["rule"]) for e in events} == {
        ("api.example", 443, "GET", 200, "network.allow: api.example")}
    assert [e["path"] for e in events] == ["/v1/0", "/v1/1", "/v1/2"]
    assert all(e["bytes_down"] == 6 and e["ms"] >= 0 for e in events)
    assert "s3cr3t" not in lab.audit.describe() + lab.logs()


@row("B15", "C4")
def test_pipelining(lab, guest, origin, family):
    """Every request of a connection is decided; one that is refused buys or costs the others nothing."""
    with api(guest, family) as wire:
        wire.send(get("/v1/a") + get("/v2/b") + post("/v1/c", b"x" * 50) + get("/v1/d", method="PATCH")
                  + get("/health", method="HEAD") + get("/v1/e"))
        got = [wire.response(body=i != 4) for i in range(6)]
    assert [r.status for r in got] == [200, 403, 200, 403, 200, 200]
    assert [r.reason for r in got] == [None, "path_not_allowed", None, "method_not_allowed", None, None]
    assert [r.target for r in origin.requests] == ["/v1/a", "/v1/c", "/health", "/v1/e"]
    lab.audit.until(lambda events: {e["reason"] for e in events} == {"path_not_allowed",
                                                                    "method_not_allowed"},
                    event="http", decision="deny")


def test_a_whole_request_keeps_its_connection(lab, guest, origin):
    """However soon the answer comes: the body has been read, so the next request can be."""
    with api(guest) as wire:
        for _ in range(100):
            wire.send(post("/v1/c", b"x" * 50))
            answer = wire.response()
            assert (answer.status, answer.fields.get("connection")) == (200, None)


def test_plain_http(lab, guest, origin, family):
    """Port 80 stays port 80, with the same rules."""
    assert ask(guest, get("/v1/a"), family, port=80).status == 200
    assert ask(guest, get("/any%20thing", host="deb.example"), family, port=80,
               name="deb.example").status == 200
    assert {(r.port, r.target) for r in origin.requests} == {(80, "/v1/a"), (80, "/any%20thing")}
    allowed(lab, lambda events: {e["port"] for e in events} == {80} and len(events) == 2)
    assert ask(guest, get("/v2/a"), family, port=80).reason == "path_not_allowed"
    assert len(origin.requests) == 2


def test_head_and_answers_without_a_body(lab, guest, origin, family):
    with api(guest, family) as wire:
        got = wire.send(get("/v1/a", method="HEAD")).response(body=False)
        assert (got.status, got.fields["content-length"]) == (200, "6")
        for status in ("204 No Content", "304 Not Modified"):
            origin.says(status, "ETag: x", body=b"", length=False)
            got = wire.send(get("/v1/a")).response(body=False)
            assert f"{got.status}" == status[:3] and got.fields["etag"] == "x"
            assert "transfer-encoding" not in got.fields
        origin.says()
        assert wire.send(get("/v1/a")).response().body == b"hello\n"
    allowed(lab, lambda events: [e["status"] for e in events] == [200, 204, 304, 200])


def test_ranges(lab, guest, family):
    """A real server, and a file in pieces."""
    big = bytes(range(256)) * 8000
    with open(f"{lab.web.dir}/sites/web.example/big", "wb") as f:
        f.write(big)
    out = f"{guest.dir}/home/big"
    with open(out, "wb") as f:
        f.write(big[:1000000])
    done = guest.curl("https://web.example/big", "-C", "-", "-o", out, family=family)
    assert done.returncode == 0 and done.stdout.endswith("\n206\n"), done.stderr
    assert open(out, "rb").read() == big
    os.unlink(out)
    allowed(lab, lambda events: events and events[-1]["bytes_down"] == len(big) - 1000000)


@pytest.mark.parametrize("form", ["length", "chunked", "expect"])
def test_uploads(lab, guest, origin, family, form):
    """Bodies larger than any buffer on the way, and the request behind them."""
    body = os.urandom(3 << 20)
    with api(guest, family) as wire:
        if form == "chunked":
            wire.send(get("/v1/up", "Transfer-Encoding: chunked", method="PUT") + chunks(body, 50000))
        elif form == "expect":
            wire.send(get("/v1/up", f"Content-Length: {len(body)}", "Expect: 100-continue", method="PUT"))
            assert wire.response().status == 100
            wire.send(body)
        else:
            wire.send(post("/v1/up", body, method="PUT"))
        assert wire.response().status == 200
        assert wire.send(post("/v1/next", b"small")).response().status == 200
    first, second = origin.requests
    assert hashlib.sha256(first.body).digest() == hashlib.sha256(body).digest()
    assert second.body == b"small"
    assert ("transfer-encoding" in first.names) == (form == "chunked")
    allowed(lab, lambda events: [e["bytes_up"] for e in events] == [len(body), 5])


@row("C11")
def test_length_of_a_body(lab, origin, family):
    """request_bytes of the profile: to the byte, announced or not, and nothing whole goes upstream."""
    guest = lab.sandboxes["small"]
    most, path = bytes(64 << 10), f"/v1/up{family}"	# its own line of the audit for each
    for request in (post(path, most), get(path, "Transfer-Encoding: chunked", method="POST") + chunks(most, 9999)):
        assert ask(guest, request, family).status == 200
    assert [len(r.body) for r in origin.requests] == [len(most)] * 2
    allowed(lab, lambda events: [e["bytes_up"] for e in events] == [len(most)] * 2)
    over = f"Content-Length: {len(most) + 1}"
    for what, request in {
            "length": post(path, most + b"1"), "head": get(path, over, method="POST"),
            "expect": get(path, over, "Expect: 100-continue", method="POST"),
            "chunks": get(path, "Transfer-Encoding: chunked", method="POST") + chunks(most + b"1", 9999)}.items():
        with api(guest, family) as wire:
            got = wire.send(request).response()
            assert (got.status, got.reason) == (413, "body_too_large"), what
            assert got.fields["connection"] == "close" and wire.ends(), what
    assert refused(lab, "body_too_large", event="http", src="gitproxy")["status"] == 413
    assert len(origin.requests) == 2			# of the others none came to its end


@row("C4")
def test_expect_is_no_way_around(lab, guest, origin, family):
    """Who is refused is not told to go on, and what it sends nevertheless is no request."""
    head = get("/v2/up", f"Content-Length: {len(get('/v1/hidden'))}", "Expect: 100-continue", method="POST")
    with api(guest, family) as wire:
        wire.send(head + get("/v1/hidden") + get("/v1/next"))
        got = wire.response()
        assert (got.status, got.reason, got.fields["connection"]) == (403, "path_not_allowed", "close")
        assert wire.ends()
    with api(guest, family) as wire:
        got = wire.send(get("/v1/a", "Expect: 200-ok")).response()
        assert (got.status, got.reason) == (400, "request_malformed")
    assert not origin.requests
    lab.audit.until(lambda events: {e["reason"] for e in events} == {"path_not_allowed", "request_malformed"},
                    event="http", decision="deny")


@row("C1", "C11")
def test_ranges_are_decided(lab, guest, origin, family):
    """A range is a request like any other, one after the other and pipelined."""
    origin.says("206 Partial Content", "Content-Range: bytes 0-5/10")
    with api(guest, family) as wire:
        wire.send(get("/v1/a", "Range: bytes=0-5") + get("/v2/a", "Range: bytes=0-5")
                  + get("/v1/b", "Range: bytes=0-1,4-5", "If-Range: x"))
        got = [wire.response() for _ in range(3)]
        assert [r.status for r in got] == [206, 403, 206]
        assert got[0].fields["content-range"] == "bytes 0-5/10"
        origin.says("416 Range Not Satisfiable", "Content-Range: bytes */10", body=b"")
        assert wire.send(get("/v1/a", "Range: bytes=99-")).response().status == 416
    assert [r["range"] for r in origin.requests] == ["bytes=99-"]
    events = lab.audit.until(lambda events: len(events) == 4, event="http")
    assert [(e["path"], e["decision"], e["status"]) for e in events] == [
        ("/v1/a", "allow", 206), ("/v2/a", "deny", 403), ("/v1/b", "allow", 206), ("/v1/a", "allow", 416)]


@row("C11")
def test_back_pressure(lab, guest, origin):
    """A server that does not read stops the client, and nothing is piled up in between."""
    go, size = threading.Event(), 64 << 20
    seen = []

    def answer(s, got):
        go.wait(PATIENCE)
        seen.append(len(got.body()))
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    origin.does(answer, reads=False)

    def memory():
        pages = [int(open(f"/proc/{pid}/statm").read().split()[1])
                 for name in ("cordon-gitproxy", "cordon-keeper") for pid in lab.pids(name)]
        return sum(pages) * 4096
    before = memory()
    with api(guest) as wire:
        wire.socket.settimeout(2.0)
        sent, piece = 0, bytes(1 << 16)
        wire.socket.sendall(get("/v1/up", f"Content-Length: {size}", method="PUT"))
        with pytest.raises(TimeoutError):
            while sent < size:
                sent += wire.socket.send(piece)
        assert sent < size // 2
        assert memory() - before < 16 << 20 or is_sanitized(lab.pids("cordon-keeper")[0])
        go.set()
        wire.socket.settimeout(PATIENCE)
        # What send() took of the piece that timed out is not known: the rest is not sent.
    wait_for("the server's end of it", lambda: origin.requests)
    assert not seen


def test_answer_before_the_body_ends(lab, guest, origin, family):
    """A server may refuse what it has not read; the client hears it."""
    def answer(s, got):
        s.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
        got.body()
    origin.does(answer, reads=False)
    with api(guest, family) as wire:
        wire.send(get("/v1/up", "Content-Length: 1000000", method="PUT") + bytes(1000))
        got = wire.response()
        assert (got.status, got.body) == (413, b"large")
        assert got.fields["connection"] == "close"
    allowed(lab, lambda events: [e["status"] for e in events] == [413])


def test_slow_answers_arrive_as_they_come(lab, guest, origin):
    """Head and first piece are not held back for the rest (events of a stream)."""
    go = threading.Event()

    def answer(s, _):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        go.wait(PATIENCE)
        s.sendall(b"6\r\ndata:1\r\n")
        go.clear()
        go.wait(PATIENCE)
        s.sendall(b"0\r\n\r\n")
    origin.does(answer)
    with api(guest) as wire:
        wire.send(get("/v1/events"))
        assert b"event-stream" in wire.until(b"\r\n\r\n")
        go.set()
        assert wire.until(b"data:1\r\n") == b"6\r\n"
        wait_for("the server to have noticed", lambda: not go.is_set())
        go.set()
        assert wire.until(b"\r\n\r\n") == b"0"


def test_connections_upstream_are_reused(lab, guest, origin):
    """Of one sandbox, host and port only."""
    for _ in range(3):
        assert ask(guest, get("/v1/a")).status == 200
    assert ask(guest, get("/a", host="second.example"), name="second.example").status == 200
    assert ask(guest, get("/v1/a"), port=80).status == 200
    numbers = [r.connection for r in origin.requests]
    assert len(set(numbers[:3])) == 1 and len(set(numbers)) == 3
    other = lab.sandboxes.get("vm1") or lab.add_sandbox("vm1")
    assert ask(other, get("/v1/a")).status == 200
    assert origin.requests[-1].connection not in numbers


def threads(lab):
    """Of the keeper."""
    pid, = lab.pids("cordon-keeper")
    return len(os.listdir(f"/proc/{pid}/task"))


def test_requests_of_one_connection(lab, guest, origin, family):
    """All kinds in turn: what one leaves behind is not taken for a part of the next."""
    big = os.urandom(200_000)
    turns = [(get("/v1/a"), 200, b"hello\n"), (post("/v1/b", b"known"), 200, b"hello\n"),
             (get("/v1/c", "Transfer-Encoding: chunked", method="PUT") + chunks(b"unknown"), 200, b"hello\n"),
             (get("/admin"), 403, None), (get("/v1/d", method="HEAD"), 200, b""),
             (post("/v1/e", big, method="PUT"), 200, b"hello\n"), (get("/v1/f"), 200, b"hello\n")]
    with api(guest, family) as wire:
        for request, status, body in turns * 2:
            answer = wire.send(request).response(body=not request.startswith(b"HEAD"))
            assert answer.status == status
            assert body is None or answer.body == body
        origin.says(body=big)
        for _ in range(3):
            assert wire.send(get("/v1/g")).response().body == big
        origin.says("204 No Content", length=False)
        assert wire.send(get("/v1/h")).response().status == 204
        origin.says()
        assert wire.send(get("/v1/i")).response().body == b"hello\n"


def test_a_resting_connection_holds_no_thread_of_the_keeper(lab, guest, origin):
    """And goes on afterwards."""
    wait_for("conversations of earlier tests to end", lambda: threads(lab) <= 2)
    with api(guest) as wire:
        assert wire.send(get("/v1/a")).response().status == 200
        assert threads(lab) >= 3
        wait_for("the conversation to end", lambda: threads(lab) == 2)
        assert wire.send(get("/v1/b")).response().status == 200


# ---- what is refused ----

PATHS = ["/", "/v1", "/v10/a", "/V1/a", "/v1/../admin", "/v1/%2e%2e/admin", "/v1/..%20/admin", "/v1/%c0%ae%c0%ae/admin",
         "/v1/%252e%252e/admin",
         "/v1//a", "//v1/a", "/v1/./a", "/v1/..", "/v1\\a", "/v1/a;x=y", "/v1/a%2fb", "/v1/a%00",
         "/v1/a%0d%0aX:y", "/v1/%", "/healthy", "/health/", "/%76%31/../x"]


@row("C1", "C10")
def test_paths(lab, guest, origin, family):
    with api(guest, family) as wire:
        for path in PATHS:
            got = wire.send(get(path)).response()
            assert (got.status, got.reason) == (403, "path_not_allowed"), f"{path}: {got}"
            assert got.fields["content-type"] == "text/plain" and len(got.body.splitlines()) == 2
    lab.audit.until(lambda events: {e["reason"] for e in events} == {"path_not_allowed"},
                    event="http", decision="deny")
    assert not origin.requests


@pytest.mark.parametrize("path, method, phrase", [
    ("/v2/a", "GET", b"403 Forbidden (path_not_allowed)"), ("/v1/../a", "HEAD", b"403 Forbidden (path_not_allowed)"),
    ("/v1/a", "PATCH", b"403 Forbidden (method_not_allowed)"), ("/v1/#", "GET", b"400 Bad Request (request_malformed)")])
def test_reason_behind_the_status(lab, guest, origin, path, method, phrase):
    """pip and npm show this, and no body."""
    with api(guest) as wire:
        assert wire.send(get(path, method=method)).until(b"\r\n") == b"HTTP/1.1 " + phrase
    assert not origin.requests


HIDDEN = get("/v2/hidden")
MALFORMED = {
    "absolute": get("https://api.example/v1/a"), "authority": get("api.example:443", method="CONNECT"),
    "asterisk": get("*", method="OPTIONS"), "fragment": get("/v1/a#b"),
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "lower-case": get("/v1/a", method="get"),
    "cl-te": post("/v1/a", b"0\r\n\r\n" + HIDDEN, "Transfer-Encoding: chunked"),
    "two-lengths": post("/v1/a", b"0000" + HIDDEN, "Content-Length: 4"),
    "plus": get("/v1/a", "Content-Length: +4", method="POST") + b"0000",
    "te": get("/v1/a", "Transfer-Encoding: xchunked", method="POST") + chunks(b"0000"),
    "te-list": get("/v1/a", "Transfer-Encoding: gzip, chunked", method="POST") + chunks(b"0000"),
    "te-space": get("/v1/a", "Transfer-Encoding : chunked", method="POST") + chunks(b"0000"),
    "te-get": get("/v1/a", "Transfer-Encoding: chunked") + chunks(HIDDEN),
    "fold": get("/v1/a", "X: a", " Host: evil.example"), "two-hosts": get("/v1/a", "Host: api.example"),
    "bare-lf": get("/v1/a").replace(b"\r\n", b"\n"), "nul": get("/v1/a", "X: a\0b"),
    "1.0": get("/v1/a").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "connection": get("/v1/a", "Connection: close, Authorization"),
    "latin-1": get("/v1/a", "X-Y: \xe9"), "long": get("/v1/a", "X: " + "a" * 20000),
}


@row("C4", "C11", "C12")
def test_malformed_requests(lab, guest, origin, family):
    """One reading or none; the connection ends, and what was hidden behind is not served."""
    for what, request in MALFORMED.items():
        with api(guest, family) as wire:
            got = wire.send(request).response()
            assert (got.status, got.reason) == (400, "request_malformed"), what
            with pytest.raises(Closed):
                wire.response()
    refused(lab, "request_malformed", event="http")
    assert not origin.requests


@row("C4")
def test_malformed_bodies(lab, guest, origin, family):
    """Seen while the body is passed on: upstream never gets its end, and no request hides in it."""
    bodies = {"extension": b"4;x=y\r\n0000\r\n0\r\n\r\n",
              "request-for-trailer": b"4\r\n0000\r\n0\r\n" + HIDDEN,
              "folded-trailer": b"4\r\n0000\r\n0\r\nX: y\r\n z\r\n\r\n",
              "long-trailer": b"4\r\n0000\r\n0\r\nX: " + b"y" * 5000 + b"\r\n\r\n",
              "bare-lf": b"4\n0000\n0\n\n", "too-long": b"4\r\n00000\r\n0\r\n\r\n",
              "no-size": b"\r\n", "huge": b"fffffffff\r\n"}
    for what, body in bodies.items():
        with api(guest, family) as wire:
            wire.send(get("/v1/a", "Transfer-Encoding: chunked", method="POST") + body + HIDDEN)
            got = wire.response()
            assert (got.status, got.reason) == (400, "request_malformed"), what
            assert wire.ends(), what
    refused(lab, "request_malformed", path="/v1/a")
    assert not origin.requests			# none came to its end


TRAILERS = (b"Authorization: Bearer evil\r\nContent-Length: 60\r\nHost: evil.example\r\nX-Late: 1\r\n"
            b"X-Cordon-Reason: evil\r\nSet-Cookie: evil=1\r\nTransfer-Encoding: chunked\r\nAge: 1\r\n")


@row("C4")
def test_trailers_to_the_server(lab, guest, origin, family):
    """Read to their end and dropped; what comes behind them is the next request."""
    body = b"4\r\n0000\r\n0\r\n" + TRAILERS + b"\r\n"
    with api(guest, family) as wire:
        wire.send(get("/v1/a", "Transfer-Encoding: chunked", "Trailer: X-Late", method="POST") + body
                  + HIDDEN + get("/v1/b"))
        assert [wire.response().status for _ in range(3)] == [200, 403, 200]
    first, second = origin.requests
    assert first.body == b"0000" and first.names == {"host", "transfer-encoding"}
    assert (second.target, second.names) == ("/v1/b", {"host"})


@row("C4", "C9")
@pytest.mark.parametrize("body", [b"4\r\nbody\r\n", b""], ids=["body", "empty"])
def test_trailers_to_the_client(lab, guest, origin, family, body):
    """Not one becomes a header, also where no body stands between."""
    answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\nETag: x\r\n\r\n" + body
              + b"0\r\n" + TRAILERS + b"\r\n")
    origin.does(lambda s, _: s.sendall(answer))
    with api(guest, family) as wire:
        for _ in range(2):
            got = wire.send(get("/v1/a")).response()
            assert (got.status, got.order) == (200, ["etag", "transfer-encoding"])
            assert got.body == body[3:7]
    assert len(origin.requests) == 2
    allowed(lab, lambda events: len(events) == 2)


@row("C4")
@pytest.mark.parametrize("request_, reason", [
    (get("/v1/a", host="evil.example"), "host_mismatch"),
    (get("/v1/a", host="api.example:8443"), "host_mismatch"),
    (get("/v1/a", host="second.example"), "host_mismatch"),
    (get("/v1/a", "Upgrade: websocket", "Connection: Upgrade"), "upgrade_not_allowed"),
    (get("/v1/a", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"), "upgrade_not_allowed"),
    (get("/v1/a", method="TRACE"), "method_not_allowed"),
    (get("/v1/a", method="CONNECT"), "method_not_allowed"),
    (get("/v1/a", method="PROPFIND"), "method_not_allowed"),
    (get("/health", "Content-Length: 0", method="POST"), "method_not_allowed"),
], ids=["host", "port", "other", "websocket", "h2c", "trace", "connect", "propfind", "post"])
def test_policy_of_a_request(lab, guest, origin, request_, reason):
    got = ask(guest, request_)
    assert (got.status, got.reason) == (403, reason)
    refused(lab, reason, event="http")
    assert not origin.requests


@row("A5")
def test_dns_over_https(lab, guest, origin, family):
    """By type, by parameter (also spelled with escapes), by path."""
    for request in (post("/v1/q", b"\0\0", "Content-Type: application/dns-message"),
                    get("/v1/q", "Accept: text/html, Application/DNS-Message"),
                    get("/v1/q", "Accept: application/dns-json"),
                    get("/v1/q?dns=AAABAAABAAAAAAAA"), get("/v1/q?a=b&%64n%73=AAAB"),
                    get("/v1/resolve?name=evil.example"), get("/v1/q?x=1;dns=AAAB")):
        got = ask(guest, request, family)
        assert (got.status, got.reason) == (403, "doh_not_allowed"), request
    assert not origin.requests
    origin.says("200 OK", "Content-Type: application/dns-message")
    assert ask(guest, get("/v1/q"), family).reason == "doh_not_allowed"
    lab.audit.until(lambda events: {e["reason"] for e in events} == {"doh_not_allowed"}, event="http",
                    decision="deny")
    assert ask(guest, get("/v1/resolve?q=x"), family).reason == "doh_not_allowed"	# still that server


@row("C7")
def test_fields_to_the_server(lab, guest, origin, family):
    """A token for the host itself is the host's business; what speaks for others is kept back."""
    kept = ("Proxy-Authorization: Basic eDp5", "Proxy-Connection: keep-alive", "X-Forwarded-For: 10.0.0.1",
            "X-Forwarded-Host: evil.example", "Forwarded: for=10.0.0.1", "X-Real-IP: 10.0.0.1",
            "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE", "X-Original-URL: /admin",
            "X-Rewrite-URL: /admin", "X_Forwarded_For: 10.0.0.1", "Keep-Alive: timeout=5", "TE: trailers",
            "Trailer: X", "Connection: keep-alive, TE", "Via: 1.1 me", "X-Cordon-Reason: x")
    passed = ("Authorization: Bearer tok", "Cookie: session=1", "Accept: text/html", "X-Api-Key: k",
              "Range: bytes=0-1", "If-None-Match: x", "User-Agent: me/1", "Accept-Encoding: gzip", "X-Empty:")
    assert ask(guest, get("/v1/a", *kept, *passed), family).status == 200
    got = origin.requests[0]
    assert got.names == {"host", *(f.split(":")[0].lower() for f in passed)}, got.head
    assert (got["authorization"], got["x-empty"], got["host"]) == ("Bearer tok", "", "api.example")
    allowed(lab)
    assert "tok" not in re.findall(r"Bearer \w+", lab.audit.describe() + lab.logs())


@row("C9")
def test_fields_to_the_client(lab, guest, origin, family):
    """What would outlive the answer is not passed on; the rest is, in order."""
    origin.says("401 Unauthorized", "X-One: 1", "Set-Cookie: a=b", "WWW-Authenticate: Basic realm=x",
                "Alt-Svc: h3=\":443\"", "Proxy-Authenticate: Basic", "X-Two: 2", "Refresh: 0;url=https://x/",
                "Keep-Alive: timeout=9", "ETag: \"x\"", "X-Odd: \xe9")
    got = ask(guest, get("/v1/a"), family)
    assert got.status == 401 and got.body == b"hello\n"
    assert got.order == ["x-one", "x-two", "etag", "content-length"]
    allowed(lab)


PASSES = ("Date: Sun, 22 Nov 2026 12:00:00 GMT", "Server: lab", "Via: 1.1 cache", "Age: 1", "Vary: *",
          "Cache-Control: max-age=1", "Expires: 0", "ETag: x", "Last-Modified: Sun, 22 Nov 2026 12:00:00 GMT",
          "Content-Type: text/html", "Content-Encoding: identity", "Content-Disposition: inline",
          "Content-Location: /v1/b", "Content-Security-Policy: default-src 'none'", "Accept-Ranges: bytes",
          "Link: </v1/b>; rel=\"next\"", "Strict-Transport-Security: max-age=31536000", "Retry-After: 1",
          "Access-Control-Allow-Origin: *", "X-Content-Type-Options: nosniff", "X-RateLimit-Remaining: 5")
STAYS = ("Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=9", "Proxy-Authenticate: Basic",
         "Proxy-Connection: x", "TE: trailers", "Trailer: X", "Upgrade: h2,h2c", "HTTP2-Settings: x",
         "Sec-WebSocket-Accept: x", "Set-Cookie: a=b", "Set-Cookie2: a=b", "Alt-Svc: h3=\":443\"",
         "WWW-Authenticate: Basic", "Authentication-Info: x", "Refresh: 0", "NEL: {}", "Report-To: {}",
         "Reporting-Endpoints: a=\"https://x/\"", "Public-Key-Pins: pin-sha256=x", "Expect-CT: enforce",
         "X-Cordon-Reason: path_not_allowed", "X_Under: 1", "X.Dot: 1", "connection: x-other", "X-Other: 1")


@row("C9")
def test_policy_of_an_answer(lab, guest, origin, family):
    """Which fields of an answer pass, each by name; and a field that Connection names does not."""
    mixed = [f for pair in itertools.zip_longest(STAYS, PASSES) for f in pair if f]
    origin.says("200 OK", *mixed)
    got = ask(guest, get("/v1/a"), family)
    assert got.order == [f.split(":")[0].lower() for f in PASSES] + ["content-length"]
    assert got.body == b"hello\n"
    origin.says("200 OK", "Connection: " + "x" * 300)
    assert ask(guest, get("/v1/a"), family).reason == "upstream_unreachable"


@row("C8", "C9")
def test_redirects(lab, guest, origin, family):
    """Only to places that the client could ask for anyway. Never followed by us."""
    for location in ("/v1/b", "b?c=d", "https://api.example/v1/b", "http://api.example/v1/b",
                     "https://web.example/x", "//second.example/"):
        origin.says("302 Found", f"Location: {location}")
        got = ask(guest, get("/v1/a"), family)
        assert (got.status, got.fields.get("location")) == (302, location)
        assert len(origin.requests) == 1
    for location in ("https://elsewhere.example/", "http://web.example/", "https://web.example:8443/",
                     "//evil.example/", "https://api.example@evil.example/", "https:\\\\evil.example/",
                     "https://140.82.121.4/", "javascript:alert(1)", "https://[::1]/", "/\\evil.example"):
        origin.says("302 Found", f"Location: {location}")
        got = ask(guest, get("/v1/a"), family)
        assert (got.status, got.reason) == (403, "redirect_not_allowed"), location
        assert "location" not in got.fields and b"evil" not in got.body
    origin.says("201 Created", "Location: https://elsewhere.example/")
    got = ask(guest, get("/v1/a"), family)
    assert got.status == 201 and "location" not in got.fields
    lab.audit.until(lambda events: {e["reason"] for e in events} == {"redirect_not_allowed"}, event="http",
                    decision="deny")


@row("B9", "B10")
def test_server_name(lab, guest, family):
    with pytest.raises(OSError):
        tls(guest, "api.example", family, sni="second.example")
    assert refused(lab, "sni_mismatch", name="api.example")["sni"] == "second.example"


@row("B13")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(lab, guest, origin, family, version):
    """Not with a session of another host, and not with one of the same: there are no tickets."""
    context = ssl.create_default_context(cafile=guest.ca_bundle)
    context.minimum_version = context.maximum_version = version

    def connect(name, session=None):
        raw = guest.connect(guest.resolve(name, family), 443)
        s = context.wrap_socket(raw, server_hostname=name, session=session)
        assert Wire.of(s).send(get("/v1/a", host=name)).response().status == 200
        return s
    with connect("second.example") as first:
        session = first.session
        assert not session or not session.has_ticket
        for name in ("api.example", "second.example"):
            with connect(name, session) as second:
                assert not second.session_reused


# ---- upstreams that fail ----

def _reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()
    return False


@row("C9")
def test_upstream_ends_early(lab, guest, origin, family):
    """At each stage: a refusal while nothing is out, then a reset; never what looks like an end."""
    stages = {
        "before": b"", "head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    }
    for what, data in stages.items():
        for end in (_reset, lambda s: s.shutdown(socket.SHUT_RDWR) or False):
            def answer(s, _, data=data, end=end):
                s.sendall(data)
                return end(s)
            origin.does(answer)
            with api(guest, family) as wire:
                wire.send(get("/v1/a"))
                try:
                    got = wire.response()
                    # A reset may overtake what was sent before it.
                    assert what in ("before", "head") or end is _reset, what
                    assert (got.status, got.reason) == (502, "upstream_unreachable"), what
                except Closed:
                    assert what not in ("before", "head")
    lab.audit.until(lambda events: {e["reason"] for e in events} == {"upstream_unreachable"},
                    src="keeper", event="upstream")
    origin.says()
    assert ask(guest, get("/v1/a"), family).status == 200


def test_upstream_that_lies(lab, guest, origin, family):
    """More than its length is cut; two framings are one; an answer of no status is none."""
    origin.does(lambda s, _: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalfHTTP/1.1 200 OK\r\n"))
    with api(guest, family) as wire:
        assert wire.send(get("/v1/a")).response().body == b"half"
        origin.says()
        assert wire.send(get("/v1/a")).response().body == b"hello\n"
    for answer in (b"HTTP/1.1 99 Low\r\n\r\nhello", b"hello\r\n\r\n",
                   b"HTTP/1.1 407 Proxy\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
                   b"HTTP/1.1 200 OK\r\n" + b"X-Y: " + b"a" * 9000 + b"\r\nX-Z: " + b"a" * 9000 + b"\r\n\r\n"):
        origin.does(lambda s, _, a=answer: s.sendall(a) or _reset(s))
        got = ask(guest, get("/v1/a"), family)
        assert got.status in (403, 502) and got.reason in ("upstream_unreachable", "upstream_denied"), answer


def test_upstream_dies_during_an_upload(lab, guest, origin):
    def answer(s, _):
        return _reset(s)
    origin.does(answer, reads=False)
    with api(guest) as wire:
        wire.send(get("/v1/up", "Content-Length: 4000000", method="PUT") + bytes(100000))
        assert wire.response().reason == "upstream_unreachable"
        assert wire.ends()


def test_client_vanishes(lab, guest, origin):
    """In the middle of its upload, and in the middle of an answer: upstream is let go at once."""
    ended = threading.Event()

    def answer(s, got):
        try:
            got.body()
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            while s.recv(1):
                pass
        except (OSError, Closed):
            pass
        ended.set()
        return False
    for request in (get("/v1/a", "Content-Length: 100", method="PUT") + b"half", get("/v1/a")):
        ended.clear()
        origin.does(answer, reads=False)
        with api(guest) as wire:
            wire.send(request)
            wait_for("the request upstream", lambda: origin.requests)
            if not request.startswith(b"PUT"):
                wire.until(b"half\r\n")
        wait_for("upstream to be let go", ended.is_set)


# ---- places that all share ----

def hold_all(lab, guest, most):
    """Requests that stay, until one is refused: how many stay, and the refusal."""
    held = []
    while len(held) <= most:
        arrived = len(lab.origin.requests)
        wire = api(guest, name="deb.example", port=80).send(get("/stay", host="deb.example"))
        wait_for("a request that stays, or an answer", lambda: len(lab.origin.requests) > arrived
                 or select.select([wire.socket], [], [], 0)[0])
        if len(lab.origin.requests) == arrived:
            return held, wire
        held.append(wire)
    pytest.fail(f"{len(held)} requests of one sandbox at once")


@row("B16")
def test_who_holds_much_leaves_room(world):
    """The keeper's places: one sandbox may have half, the next a share, and others are served as before."""
    many = {"connections": 2000, "new_connections_per_second": 2000}
    with make_lab(world, {"agent": many}) as lab:
        lab.up()
        end = threading.Event()
        lab.origin.does(lambda s, got: got.target != "/stay" and s.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") is None or (end.wait(), False)[1])
        for name, places in (("half", 256), ("share", 64)):
            guest = lab.add_sandbox(name)
            held, last = hold_all(lab, guest, places)
            got = last.response()
            assert len(held) == places
            assert (got.status, got.reason, got.fields["retry-after"]) == (503, "unavailable", "2")
            lab.audit.wait_one(src="gitproxy", event="http", decision="deny", reason="unavailable", sandbox=name)
        other = lab.add_sandbox("other")
        assert ask(other, get("/v1/a")).status == 200
        assert other.git("ls-remote", "https://github.com/acme/widgets").returncode == 0
        end.set()
