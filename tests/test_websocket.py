"""Connections that a rule lets become WebSockets (RFC 6455), and all that may not (threats C4)."""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import os
import signal
import socket
import ssl
import struct
import threading

import pytest
import websockets

import labworld
from lab import AGENT, row, write
from labhttp import Closed, Wire, get, origin_lab
from labnet import wait_for

_turns = itertools.count(1)
REAL = "93.184.216.78"		# where the server of the library listens
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASK = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
HOSTS = {"ws.example": labworld.SERVICES[0], "real.example": REAL, "plain.example": labworld.SERVICES[0]}
ALLOW = [
    {"host": "ws.example", "http": [{"path": "/**"}, {"path": "/ws/**", "upgrade": True},
                                    {"path": "/up", "methods": ["POST"]}]},
    {"host": "ws.example", "ports": [80]},
    {"host": "real.example", "http": [{"path": "/chat", "upgrade": True}]},
    {"host": "real.example", "ports": [80]},
    {"host": "plain.example", "ports": [80]},
]
AGENT = {**AGENT, "network": {"default": "deny", "allow": ALLOW}}
CLOSED = {**AGENT, "network": {"default": "deny", "allow": [
    {**r, "http": [{"path": "/**"}]} if "http" in r else r for r in ALLOW]}}


def serve_library(internet, certs):
    """A server of python3-websockets on both ports: says back what it hears, and sends on its own."""
    async def handler(connection, *_):
        async for message in connection:
            await connection.send(message)
            if message == "more":
                for n in range(100):
                    await connection.send(f"{n}")

    async def main(listeners):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{certs}/ws.example.crt", f"{certs}/ws.example.key")
        for port, s in listeners.items():
            await websockets.serve(handler, sock=s, ssl=context if port == 443 else None,
                                   subprotocols=["chat.v2"], max_size=1 << 24)
        await asyncio.Future()
    internet.ip(f"addr add {REAL}/32 dev lo")
    listeners = {port: internet.listen(REAL, port) for port in (443, 80)}
    for s in listeners.values():
        s.setblocking(False)
    threading.Thread(target=lambda: asyncio.run(main(listeners)), daemon=True).start()


def make_lab(world, profile=AGENT, **config):
    return origin_lab(world, HOSTS, {"agent": profile, "few": {**AGENT, "limits": {"upgrades": 2}}}, **config)


@pytest.fixture(scope="module")
def lab(world):
    with make_lab(world) as lab:
        serve_library(lab.internet, world.certs)
        lab.up()
        lab.add_sandbox()
        lab.add_sandbox("few", "few")
        yield lab


def ask(path="/ws/a", *fields, host="ws.example", without=(), method="GET"):
    kept = [f for f in ASK if f.split(":")[0] not in without]
    return get(path, *kept, *fields, host=host, method=method)


def accept_of(key):
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


def switch(got, *fields, **instead):
    """A 101 to this request; `instead` replaces a field, or with None leaves it out."""
    said = {"Upgrade": "websocket", "Connection": "Upgrade",
            "Sec_WebSocket_Accept": accept_of(got["sec-websocket-key"]), **instead}
    lines = [f"{k.replace('_', '-')}: {v}" for k, v in said.items() if v is not None]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, *fields, "", ""]).encode()


class Far:
    """The server's end of each tunnel, kept for the test."""

    def __init__(self, origin, *fields, first=b""):
        self.ends, self.done = [], threading.Event()

        def answer(s, got):
            s.sendall(switch(got, *fields) + first)
            self.ends.append(s)
            self.done.wait(30)
            return False
        origin.does(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.done.set()

    def end(self, n=1):
        wait_for("the server's end", lambda: len(self.ends) >= n)
        return self.ends[n - 1]


def wire(guest, family=4, name="ws.example", **kw):
    return Wire(guest, name=name, family=family, **kw)


def opened(guest, family=4, **kw):
    """A connection whose tunnel is open."""
    w = wire(guest, family, **kw)
    got = w.send(ask()).response(body=False)
    assert (got.status, got.fields["upgrade"].lower()) == (101, "websocket")
    assert got.fields["connection"].lower() == "upgrade"
    assert got.fields["sec-websocket-accept"] == accept_of(KEY)
    return w


def exactly(s, n):
    data = bytearray()			# of many megabytes, as a rule in small pieces
    while len(data) < n and (more := s.recv(min(n - len(data), 1 << 16))):
        data += more
    return bytes(data)


def ended(s):
    """True: a proper end; False: a reset. Nothing else comes."""
    if isinstance(s, ssl.SSLSocket):
        s.suppress_ragged_eofs = False			# without a goodbye it was cut
    try:
        assert s.recv(1) == b""
        return True
    except (ConnectionError, ssl.SSLError):
        return False


def over(lab, **fields):
    return lab.audit.wait_one(event="upgrade", src="gitproxy", decision="allow", **fields)


# ---- what must work ----

@pytest.mark.parametrize("port", [443, 80])
def test_library(lab, guest, family, port):
    """An unmodified client and server: large and small, both ways, compressed, pings, subprotocol, close."""
    async def talk(raw):
        tls = {"ssl": ssl.create_default_context(cafile=guest.ca_bundle), "server_hostname": "real.example"}
        async with websockets.connect(f"ws{'s' if port == 443 else ''}://real.example/chat", sock=raw,
                                      subprotocols=["chat.v1", "chat.v2"], max_size=1 << 24,
                                      **(tls if port == 443 else {})) as c:
            assert c.subprotocol == "chat.v2"
            for message in ("hello", b"\0" * 5, os.urandom(3 << 20), "", "\u00fc" * 70000):
                await c.send(message)
                assert await c.recv() == message
            await asyncio.wait_for(await c.ping(), 10)
            await asyncio.gather(*(c.send(f"{n}") for n in range(200)), c.send("more"))
            got = [await c.recv() for _ in range(301)]
            assert got[:200] == [f"{n}" for n in range(200)] and got[-1] == "99"
    raw = guest.connect(guest.resolve("real.example", family), port)
    raw.setblocking(False)
    asyncio.run(talk(raw))
    first = lab.audit.wait_one(event="http", decision="allow")
    assert (first["status"], first["path"], first["port"]) == (101, "/chat", port)
    last = over(lab, outcome="ended by the server", reason="")
    assert last["bytes_up"] > 3 << 20 and last["bytes_down"] > 3 << 20 and last["path"] == "/chat"
    assert not lab.audit.events(decision="deny", event="http")


@row("C4")
def test_nothing_is_read_any_more(lab, guest, origin, family):
    """What looks like a request is none; what came with the handshake belongs to the tunnel; the
    connection upstream serves nothing else before or after."""
    evil = get("/forbidden", host="evil.example") + b"GET\0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    origin.says()
    with wire(guest, family) as before:
        before.send(get("/", host="ws.example")).response()
        used = origin.requests[0].connection
    with Far(origin, first=evil) as far:
        with wire(guest, family) as w:
            w.send(ask() + evil)
            assert w.response(body=False).status == 101
            assert w._exactly(len(evil)) == evil
            s = far.end()
            assert origin.requests[0].connection != used
            w.send(evil)
            # Origin's own reader may hold what came with the head.
            seen = b""
            while len(seen) < len(evil):
                seen += s.recv(65536)
            assert (evil + evil).endswith(seen)
            w.socket.shutdown(socket.SHUT_RDWR)
        far.done.set()
    number = origin.requests[0].connection
    assert len(origin.requests) == 1
    origin.says()
    with wire(guest, family) as after:
        after.send(get("/", host="ws.example")).response()
    assert origin.requests[0].connection != number
    assert not lab.audit.events(decision="deny", event="http")


@row("C4")
def test_fields_of_a_handshake(lab, guest, origin, family):
    """Those of RFC 6455 pass with an upgrade and never without; Host and Connection are our own."""
    offer = ("Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: x; p=1, y", "Origin: https://x",
             "Cookie: c=1", "Sec-WebSocket-Accept: evil", "Keep-Alive: 5", "X-Forwarded-For: 1.2.3.4")
    with Far(origin, "Sec-WebSocket-Protocol: b", "Sec-WebSocket-Extensions: y; q=2", "Set-Cookie: a=b",
             "X-Other: 1", "Alt-Svc: x") as far:
        with wire(guest, family) as w:
            got = w.send(ask("/ws/a?b=c", *offer)).response(body=False)
        far.end()
    assert got.order == ["sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions", "x-other",
                         "upgrade", "connection"]
    asked = origin.requests[0]
    assert asked.target == "/ws/a?b=c" and asked["sec-websocket-key"] == KEY
    assert asked.names == {"host", "upgrade", "connection", "sec-websocket-version", "sec-websocket-key",
                           "sec-websocket-protocol", "sec-websocket-extensions", "origin", "cookie"}
    origin.says("200 OK", "Sec-WebSocket-Accept: x", "Upgrade: websocket")
    with wire(guest, family) as w:
        fields = [f for f in ASK if f.startswith("Sec")]
        got = w.send(get("/ws/a", *fields, *offer, host="ws.example")).response()
    assert got.order == ["content-length"]
    assert origin.requests[0].names == {"host", "origin", "cookie"}


@row("C11")
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_each_direction_by_itself(lab, guest, origin, family, up):
    """Who does not read holds up the other, and not itself; nothing is lost, and little is kept."""
    with Far(origin) as far, opened(guest, family) as w:
        writer, reader = (w.socket, far.end()) if up else (far.end(), w.socket)
        writer.settimeout(1.0)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                sent += writer.send(bytes(1 << 16))
        assert sent < 32 << 20
        writer.settimeout(20.0)
        reader.settimeout(20.0)
        for n in range(20):				# the way back is free
            reader.sendall(b"%04d" % n)
            assert exactly(writer, 4) == b"%04d" % n
        assert exactly(reader, sent) == bytes(sent)


def test_ends(lab, guest, origin, family):
    """Whoever ends it: the other hears it behind all that was sent, and the audit says who."""
    size = 300000
    with Far(origin) as far, opened(guest, family, port=80) as w:
        s = far.end()
        w.socket.sendall(bytes(size))
        w.socket.shutdown(socket.SHUT_WR)
        assert len(exactly(s, size + 1)) == size
        assert ended(w.socket)
    last = over(lab, outcome="ended by the client", reason="")
    assert (last["bytes_up"], last["bytes_down"], last["status"]) == (size, 0, 101)
    lab.audit.mark()
    with Far(origin) as far, opened(guest, family) as w:
        far.end().sendall(bytes(size))
        far.done.set()
        assert len(exactly(w.socket, size)) == size
        assert ended(w.socket)
    assert over(lab, outcome="ended by the server", reason="")["bytes_down"] == size


def test_breaks(lab, guest, origin, family):
    """A reset is a reset on the other side too, never what looks like an end."""
    with Far(origin) as far, opened(guest, family) as w:
        s = far.end()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.close(s)
        assert not ended(w.socket)
    over(lab, outcome="the server failed", reason="upstream_unreachable")
    lab.audit.mark()
    with Far(origin) as far, opened(guest, family) as w:
        s = far.end()
        w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        w.socket.close()
        assert ended(s) in (True, False)		# it ends, and says nothing more
    over(lab, outcome={"cut", "the client has gone"}, reason="")


# ---- what is refused ----

REFUSED = {
    "no-rule": (ask("/other"), "upgrade_not_allowed"), "h2c": (
        ask("/ws/a", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", without=["Upgrade"]),
        "upgrade_not_allowed"),
    "list": (ask("/ws/a", "Upgrade: websocket, h2c", without=["Upgrade"]), "upgrade_not_allowed"),
    "tls": (ask("/ws/a", "Upgrade: TLS/1.0", without=["Upgrade"]), "upgrade_not_allowed"),
    "empty": (ask("/ws/a", "Upgrade:", without=["Upgrade"]), "upgrade_not_allowed"),
    "no-connection": (ask(without=["Connection"]), "upgrade_not_allowed"),
    "head": (ask(method="HEAD"), "request_malformed"),
    "twice": (ask("/ws/a", "Upgrade: h2c"), "request_malformed"),
    "no-key": (ask(without=["Sec-WebSocket-Key"]), "request_malformed"),
    "two-keys": (ask("/ws/a", f"Sec-WebSocket-Key: {KEY}"), "request_malformed"),
    "short-key": (ask("/ws/a", "Sec-WebSocket-Key: AAAA", without=["Sec-WebSocket-Key"]), "request_malformed"),
    "version": (ask("/ws/a", "Sec-WebSocket-Version: 8", without=["Sec-WebSocket-Version"]),
                "request_malformed"),
    "body": (ask("/ws/a", "Content-Length: 5") + b"hello", "request_malformed"),
    "path": (ask("/ws/../x"), "path_not_allowed"), "host": (ask(host="evil.example"), "host_mismatch"),
    "post": (ask(method="POST"), "method_not_allowed"),
}


@row("C4")
@pytest.mark.parametrize("what", REFUSED)
def test_refused(lab, guest, origin, what):
    request, reason = REFUSED[what]
    with wire(guest) as w:
        got = w.send(request).response(body=what != "head")
        assert got.reason == reason and got.status == (400 if reason == "request_malformed" else 403)
    assert lab.audit.only(reason, event="http")["host"] == "ws.example"
    assert not origin.requests


@row("C4")
def test_refused_where_no_rule_is(lab, guest, origin, family):
    """A host on port 80 that may be asked anything may not be upgraded."""
    with wire(guest, family, name="plain.example", port=80) as w:
        assert w.send(ask(host="plain.example")).response().reason == "upgrade_not_allowed"
        assert w.send(get("/", host="plain.example")).response().status == 200
    lab.audit.only("upgrade_not_allowed", event="http")
    assert [r.names for r in origin.requests] == [{"host"}]


LIES = {
    "accept": {"Sec_WebSocket_Accept": accept_of("x")}, "no-accept": {"Sec_WebSocket_Accept": None},
    "no-upgrade": {"Upgrade": None}, "other": {"Upgrade": "h2c"}, "list": {"Upgrade": "websocket, h2c"},
    "no-connection": {"Connection": None}, "keep-alive": {"Connection": "keep-alive"},
    "protocol": {"Sec_WebSocket_Protocol": "b"}, "extension": {"Sec_WebSocket_Extensions": "x, z"},
    "length": {"Content_Length": "0"}, "chunked": {"Transfer_Encoding": "chunked"},
}


@row("C4", "C9")
def test_answers_that_do_not_fit(lab, guest, origin, family):
    """A 101 must be the one to this very request; else there is no tunnel, and HTTP goes on."""
    with wire(guest, family) as w:
        for what, lie in LIES.items():
            origin.does(lambda s, got, lie=lie: s.sendall(switch(got, **lie) + b"evil"))
            got = w.send(ask("/ws/a", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Extensions: x; y=z"),
                         ).response()
            assert (got.status, got.reason) == (502, "upstream_unreachable"), what
        origin.does(lambda s, got: s.sendall(switch(got, f"Sec-WebSocket-Accept: {accept_of(KEY)}")))
        assert w.send(ask()).response().reason == "upstream_unreachable"
        origin.says()
        assert w.send(get("/", host="ws.example")).response().body == b"hello\n"
    lab.audit.until(lambda events: events and all("101" in e["outcome"] for e in events), src="keeper",
                    event="upstream", reason="upstream_unreachable")


@row("C4", "C9")
def test_a_101_that_nobody_asked_for(lab, guest, origin, family):
    for answer in (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nevil",
                   b"HTTP/1.1 101 Switching Protocols\r\n\r\n"):
        origin.does(lambda s, _, a=answer: s.sendall(a))
        with wire(guest, family) as w:
            got = w.send(get("/ws/a", host="ws.example")).response()
            assert (got.status, got.reason) == (403, "upgrade_not_allowed")
            origin.says()
            assert w.send(get("/", host="ws.example")).response().body == b"hello\n"
    lab.audit.wait_one(src="keeper", event="upstream", reason="upgrade_not_allowed")
    lab.audit.only("upgrade_not_allowed", src="gitproxy")


@row("C4", "C8")
def test_other_answers(lab, guest, origin, family):
    """Status and fields pass as those of any answer, the body does not; what was pipelined is judged."""
    with wire(guest, family) as w:
        for status, fields, order in (
                ("401 Unauthorized", ["WWW-Authenticate: Basic", "X-A: 1"], ["x-a"]),
                ("426 Upgrade Required", ["Sec-WebSocket-Version: 13", "Upgrade: websocket"], []),
                ("200 OK", ["Content-Type: text/html", "Content-Encoding: gzip", "X-A: 1"], ["x-a"]),
                ("302 Found", ["Location: /other"], ["location"])):
            origin.says(status, *fields)
            got = w.send(ask()).response()
            assert (f"{got.status}", got.order, got.body) == (status[:3], [*order, "content-length"], b"")
        origin.says("302 Found", "Location: https://evil.example/")
        assert w.send(ask()).response().reason == "redirect_not_allowed"
        origin.says("404 Not Found")
        w.send(ask() + get("/ws/../x", host="ws.example") + get("/b", host="ws.example"))
        got = [w.response() for _ in range(3)]
        assert [r.status for r in got] == [404, 403, 404]
        assert [r.target for r in origin.requests] == ["/ws/a", "/b"]


def test_interim_answers(lab, guest, origin, family):
    """Those before the 101 are passed over, within a limit."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    for n, status in ((3, 101), (9, 502)):
        origin.does(lambda s, got, n=n: s.sendall(hint * n + switch(got)) or False)
        with wire(guest, family) as w:
            assert w.send(ask()).response(body=status != 101).status == status


# ---- limits and revocation ----

def test_at_most_so_many(lab, origin):
    """limits.upgrades: one more is refused, and has room when one has ended."""
    lab.audit.mark()
    guest = lab.sandboxes["few"]
    with Far(origin) as far, opened(guest) as first, opened(guest):
        with wire(guest) as w:
            got = w.send(ask()).response()
            assert (got.status, got.reason) == (429, "too_many_connections")
            assert lab.audit.wait_one(reason="too_many_connections", event="http")["status"] == 429
            far.end(2)
            first.socket.close()
            wait_for("its end in the audit", lambda: lab.audit.events(event="upgrade"))

            def again():
                return w.send(ask()).response(body=False).status == 101
            assert again() or wait_for("room", again)


@row("B19", "B20")
@pytest.mark.parametrize("how", ["reload", "rm", "without-front"])
def test_revocation(labs, world, family, how):
    """Both ends of a tunnel are cut, by the keeper alone if need be; what is asked for next is refused."""
    with make_lab(world) as lab:
        lab.up()
        guest = lab.add_sandbox()
        with Far(lab.origin) as far, opened(guest, family) as w:
            s = far.end()
            s.sendall(b"here")
            assert exactly(w.socket, 4) == b"here"
            if how == "reload":
                lab.profile("agent", CLOSED)
                lab.cordon("reload")
            elif how == "rm":
                lab.cordon("rm", guest.guest)
            else:
                pid, = lab.pids("cordon-gitproxy")
                os.kill(pid, signal.SIGSTOP)
                done = threading.Thread(target=lab.cordon, args=("rm", guest.guest), kwargs={"check": False})
                done.start()
            assert ended(s)
            if how == "without-front":
                os.kill(pid, signal.SIGCONT)
                done.join()
            if how != "without-front":		# what it says now, the ruleset keeps from who is no sandbox
                s.settimeout(10)
                ended(w.socket)
        lab.audit.wait_one(event="upgrade", src="gitproxy")
        if how == "reload":
            assert over(lab, outcome="cut")
            with wire(guest, family) as w:
                assert w.send(ask()).response().reason == "upgrade_not_allowed"


# ---- time ----

@pytest.fixture
def hasty(hasty_lab):
    hasty_lab.renew(f"-h{next(_turns)}")
    return hasty_lab


@contextlib.contextmanager
def timed(world, **times):
    """A lab with these git.timeouts."""
    with make_lab(world, git={"upstream_ca_file": world.ca_file, "timeouts": times}) as lab:
        text = open(lab.config_file).read()		# times stand without quotes
        for value in times.values():
            text = text.replace(f'"{value}"', value)
        write(lab.config_file, text)
        lab.up()
        lab.add_sandbox()
        yield lab


@pytest.fixture(scope="module")
def hasty_lab(world):
    with timed(world, idle="1s") as lab:
        yield lab


@row("C11", families=(4,))
def test_old_tunnel(world):
    """One that never rests ends after git.timeouts.total."""
    with timed(world, total="5s") as lab, Far(lab.origin) as far, opened(lab.sandbox) as w:
        s = far.end()

        def talk():
            with contextlib.suppress(OSError, ssl.SSLError):
                while not far.done.wait(0.1):
                    s.sendall(b"x")
        talker = threading.Thread(target=talk)
        talker.start()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while w.socket.recv(100):
                pass
        far.done.set()
        talker.join()
        assert over(lab, outcome={"too old", "the server failed"})["reason"] == "deadline_exceeded"


@row("C11")
def test_idle_tunnel(hasty, family):
    """Nobody says anything: both ends are cut, and the audit says why."""
    with Far(hasty.origin) as far, opened(hasty.sandbox, family) as w:
        s = far.end()
        assert not ended(w.socket)
        ended(s)
    assert over(hasty, outcome={"idle", "the server failed"})["reason"] == "deadline_exceeded"


@row("C11")
@pytest.mark.parametrize("begun", [False, True], ids=["head", "body"])
def test_idle_server(hasty, family, begun):
    """A server that stops within its answer: a refusal where none has begun, else a reset."""
    done = threading.Event()

    def answer(s, _):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" + (b"\r\nhalf" if begun else b""))
        done.wait(30)
        return False
    hasty.origin.does(answer)
    with wire(hasty.sandbox, family) as w:
        w.send(get("/", host="ws.example"))
        if begun:
            with pytest.raises(Closed):
                w.response()
        else:
            got = w.response()
            assert (got.status, got.reason) == (504, "deadline_exceeded")
        done.set()
    assert "git.timeouts.idle" in hasty.audit.wait_one(src="keeper", event="upstream",
                                                       reason="deadline_exceeded")["outcome"]
    hasty.audit.wait_one(src="gitproxy", event="http", reason="deadline_exceeded",
                         decision="allow" if begun else "deny")


@row("C11")
def test_idle_client(hasty, family):
    """A client that stops within its body is told so, and the server never gets the rest."""
    over_ = threading.Event()

    def answer(s, got):
        try:
            got.body()
        except (OSError, Closed):
            over_.set()
        return False
    hasty.origin.does(answer, reads=False)
    with wire(hasty.sandbox, family) as w:
        w.send(get("/up", "Content-Length: 9", host="ws.example", method="POST") + b"half")
        got = w.response()
        assert (got.status, got.reason) == (504, "deadline_exceeded")
        assert w.ends()
    assert over_.wait(10)
    hasty.audit.wait_one(src="gitproxy", event="http", reason="deadline_exceeded", decision="deny")
