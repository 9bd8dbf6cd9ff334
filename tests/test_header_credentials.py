"""Credentials of hosts that are no git hosts: who gets them, and that they do not come back (threats C7-C9)."""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import shutil
import socket
import struct

import pytest

import labworld
from lab import AGENT, CONFIG, row
from labhttp import Closed, Wire, chunks, origin_lab
from labhttp import get as _get
from labnet import wait_for
from labregistry import tarball
from netdclient import TYPES
from test_credentials import Secrets, basic, files_below, held, read, spellings, told
from test_netd_parts import REASONS
from test_privilege import Front

SYN = 2
KEY, NPM, PAIR = "k3y/of+an\"API\\0000", "npm_T0kenT0kenT0kenT0ken", "p4ssw0rd-of-a-pair"
HOSTS = ("keys.example", "one.npm.example", "two.npm.example", "free.npm.example", "own.npm.example",
         "open.example", "elsewhere.example")
ALLOW = [
    {"host": "keys.example", "credential": "key",
     "http": [{"methods": ["GET", "HEAD", "POST"], "path": "/v1/**"}]},
    {"host": "*.npm.example", "http": [{"path": "/**"}, {"path": "/@acme%2f*"}], "credential": "npm"},
    {"host": "own.npm.example", "http": [{"path": "/**"}], "credential": "pair"},
    {"host": "free.npm.example", "http": [{"path": "/**"}]},
    {"host": "open.example", "http": [{"path": "/**"}]},
]


def entries(secrets):
    return [
        {"name": "key", "header": {"name": "X-Api-Key", "value_file": secrets.put("key", KEY + "\n")}},
        {"name": "npm", "header": {"scheme": "Bearer", "value_file": secrets.put("npm", NPM)}},
        {"name": "pair", "username": "me",
         "header": {"scheme": "Basic", "value_file": secrets.put("pair", PAIR)}}]


def config(*credentials):
    return {"hosts": {name: labworld.SERVICES[0] for name in HOSTS}, "credentials": list(credentials),
            "ca": {"names": [*CONFIG["ca"]["names"], *HOSTS, "npm.example"]}}


def allow(rows):
    return {**AGENT, "network": {"default": "deny", "allow": rows}}


@contextlib.contextmanager
def lab_of(world, rows, credentials=entries):
    """Up, with a server for all names that tests command; its secrets."""
    with origin_lab(world, dict.fromkeys(HOSTS, labworld.SERVICES[0]), {"agent": allow(rows)}) as lab:
        lab.secrets = Secrets(lab)
        lab.configure(config(*credentials(lab.secrets)))
        lab.up()
        lab.add_sandbox()
        yield lab


@pytest.fixture(scope="module")
def lab(world):
    with lab_of(world, ALLOW) as lab:
        yield lab


def get(path="/v1/a", *fields, host="keys.example", method="GET"):
    return _get(path, *fields, host=host, method=method)


def keys(guest, family=4, name="keys.example"):
    return Wire(guest, name=name, family=family)


def ask(guest, request, family=4, name="keys.example"):
    with keys(guest, family, name) as wire:
        return wire.send(request).response(body=not request.startswith(b"HEAD"))


def received(guest, request, family=4, name="keys.example"):
    """(status, every byte) of an answer that may be cut."""
    with keys(guest, family, name) as wire:
        wire.send(request)
        try:
            got = wire.response()
            return got.status, repr(got.fields).encode() + got.body
        except Closed:
            return None, wire._data


def sent(got, name):
    """The values of a field that arrived."""
    return [v for k, v in got.fields if k.lower().replace("_", "-") == name]


def nothing_arrived(lab, capture):
    """No request, and no connection either; the end of an older one is none."""
    assert not lab.origin.requests
    capture.empty(dst=labworld.SERVICES[0], where=lambda p: p.flags & SYN)


# ---- who gets it ----

@row("C7")
def test_each_host_gets_its_own(lab, guest, origin, family):
    """By an unmodified curl; the most specific row counts, and the secret is nowhere else."""
    for host, path, field, value in (
            ("keys.example", "/v1/a", "x-api-key", KEY),
            ("one.npm.example", "/a", "authorization", f"Bearer {NPM}"),
            ("two.npm.example", "/a", "authorization", f"Bearer {NPM}"),
            ("own.npm.example", "/a", "authorization", basic(PAIR, "me")),
            ("free.npm.example", "/a", "authorization", None),
            ("open.example", "/a", "authorization", None)):
        done = guest.curl(f"https://{host}{path}", "-v", family=family)
        assert done.returncode == 0 and done.stdout.endswith("\n200\n"), done.stderr
        got = origin.requests[-1]
        assert got["host"] == host and sent(got, field) == ([value] if value else []), got.head
        assert len(got.names & {"x-api-key", "authorization"}) == bool(value)
        assert not any(held(t, done.stdout + done.stderr) for t in (KEY, NPM, PAIR))
    shown = guest.curl("http://cordon.internal/", family=family).stdout
    assert "credential: key" in shown and not any(held(t, shown) for t in (KEY, NPM, PAIR))
    events = lab.audit.until(lambda events: len(events) == 6, event="http", decision="allow")
    assert [e.get("credential") for e in events] == ["key", "npm", "npm", "pair", None, None]
    lab.audit.no_refusals(event="http")
    places = list(files_below(lab.log_dir, f"{lab.dir}/run", f"{lab.dir}/state", guest.dir))
    places += [f"/proc/{pid}/{what}" for pid in os.listdir("/proc") if pid.isdigit()
               for what in ("cmdline", "environ")]
    assert any("keeper.jsonl" in p for p in places)
    for token in (KEY, NPM, PAIR):
        for place in places:
            assert not held(token, read(place)), place


def private_registry(package):
    """An npm registry of one package, for who shows the token."""
    metadata = json.dumps({"name": "@acme/pad", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
        "name": "@acme/pad", "version": "1.0.0", "dist": {
            "tarball": "https://one.npm.example/@acme/pad/-/pad-1.0.0.tgz",
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()}}}}).encode()
    served = {"/@acme%2fpad": metadata, "/@acme/pad/-/pad-1.0.0.tgz": package}

    def answer(s, got):
        known = got.target in served and sent(got, "authorization") == [f"Bearer {NPM}"]
        body = served[got.target] if known else b"{}"
        s.sendall(f"HTTP/1.1 {'200 OK' if known else '401 Unauthorized'}\r\nContent-Length: {len(body)}\r\n"
                  "Content-Type: application/json\r\n\r\n".encode() + body)
    return answer


def test_npm_installs_a_private_package(lab, guest, origin):
    """An unmodified npm that has no token, and one with a token that is not the registry's."""
    if not shutil.which("npm"):
        pytest.skip("npm is missing: make test-deps")
    origin.does(private_registry(tarball({"package/package.json": json.dumps(
        {"name": "@acme/pad", "version": "1.0.0", "main": "x.js"}), "package/x.js": "module.exports = 7"})))
    for number, settings in enumerate(("", "//one.npm.example/:_authToken=mine\n")):
        home = f"{guest.dir}/home/npm{number}"
        os.makedirs(home)
        with open(f"{home}/.npmrc", "w") as f:
            f.write(f"registry=https://one.npm.example/\n{settings}")
        env = {"HOME": home, "NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt"}
        done = guest.run(["npm", "install", "@acme/pad"], env=env, cwd=home)
        assert done.returncode == 0, done.stdout + done.stderr
        done = guest.run(["node", "-p", "require('@acme/pad')"], cwd=home)
        assert done.stdout == "7\n", done.stderr
        assert not any(held(NPM, read(p)) for p in files_below(home))
    asked = [g for g in origin.requests if "pad" in g.target]
    assert len(asked) >= 4 and all(sent(g, "authorization") == [f"Bearer {NPM}"] for g in asked)
    assert "mine" not in "".join(g.head for g in origin.requests)


@row("C1", "C7")
def test_what_is_refused_carries_none(lab, guest, origin, family, capture):
    """Another path, method or host: nothing is dialled."""
    with keys(guest, family) as wire:
        for request, reason in (
                (get("/v2/a"), "path_not_allowed"), (get("/v1/../v2/a"), "path_not_allowed"),
                (get(method="DELETE"), "method_not_allowed"), (get(method="TRACE"), "method_not_allowed"),
                (get("/v1/a", host="one.npm.example"), "host_mismatch"),
                (get("/v1/b", host="evil.example"), "host_mismatch")):
            assert wire.send(request).response().reason == reason
    nothing_arrived(lab, capture)
    denied = lab.audit.until(lambda events: len(events) == 6, event="http", decision="deny")
    assert not any("credential" in e for e in denied)


@row("C7")
def test_the_clients_own_field_is_replaced(lab, guest, origin, family):
    """Many clients do not start without a key: what they send in its place goes nowhere."""
    for fields in (["X-Api-Key: mine"], ["x-api-key: mine", "X-API-KEY: mine"], ["X-Api-Key:"],
                   ["X_Api_Key: mine"], ["X-Api-Key: mine", "X-Api-Keys: other"]):
        assert ask(guest, get("/v1/a", *fields), family).status == 200
        got = origin.requests[-1]
        assert sent(got, "x-api-key") == [KEY] and "mine" not in got.head, got.head
    assert ask(guest, get("/a", "Authorization: Bearer mine", host="one.npm.example"), family,
               "one.npm.example").status == 200
    assert sent(origin.requests[-1], "authorization") == [f"Bearer {NPM}"]
    events = lab.audit.until(lambda events: len(events) == 6, event="http", decision="allow")
    assert [e.get("own_credential") for e in events] == ["dropped"] * 3 + [None] + ["dropped"] * 2
    assert ask(guest, get("/a", "Authorization: Bearer mine", host="open.example"), family,
               "open.example").status == 200
    assert sent(origin.requests[-1], "authorization") == ["Bearer mine"], "no credential: as before"


@row("C7")
def test_a_second_account_is_refused(lab, guest, origin, family, capture):
    """Which of two the server would take is not ours to know."""
    for request in (get("/v1/a", "Authorization: Bearer mine"), get("/v1/b", "Cookie: session=mine"),
                    get("/v1/c", "PRIVATE-TOKEN: mine"), get("/v1/d", "X-Api-Key: x", "api_key: y", "Cookie: z"),
                    get("/v1/e?access_token=mine"), get("/v1/f?a=b&%61pi_key=mine")):
        got = ask(guest, request, family)
        assert (got.status, got.reason) == (403, "credential_not_allowed"), request
    with keys(guest, family) as wire:
        wire.send(get("/v1/a", "Authorization: Bearer mine", "Content-Length: 4", method="POST") + b"body")
        assert wire.response().reason == "credential_not_allowed"
    nothing_arrived(lab, capture)
    denied = lab.audit.until(lambda events: len(events) == 7, event="http", decision="deny")
    assert {e["reason"] for e in denied} == {"credential_not_allowed"}
    assert "mine" not in lab.audit.describe()


def test_connections_are_of_one_credential(lab, guest, origin):
    """One that carried a secret does not carry requests without it, nor the other way round."""
    for _ in range(2):
        for host in ("keys.example", "open.example", "one.npm.example", "free.npm.example"):
            assert ask(guest, get(host=host), name=host).status == 200
    numbers = [(g["host"], g.connection) for g in origin.requests]
    assert len(set(numbers)) == 4 and len({n for _, n in numbers}) == 4, numbers


@pytest.mark.parametrize("what, says", [
    ("https://keys.example/v1/a?b=c", ["allowed", "credential: key, added to each request",
                                       "rule: network.allow: keys.example"]),
    ("https://one.npm.example/@acme%2fpad", ["allowed", "credential: npm,", "rule: network.allow: *.npm.example"]),
    ("https://keys.example/v2/a", ["refused, path_not_allowed", "a path that meets /v2/a"]),
    ("https://keys.example/v1/../v1/a", ["refused, path_not_allowed"]),
    ("https://free.npm.example/", ["allowed", "rule: network.allow: free.npm.example"]),
], ids=["key", "npm", "path", "dots", "none"])
def test_explain(lab, what, says):
    done = lab.cordon("explain", "--profile", "agent", what)
    assert all(text in done.stdout for text in says), done.stdout
    assert done.returncode == ("allowed" not in says)
    assert ("credential" in done.stdout) == any("credential" in text for text in says)


# ---- files ----

@row("C7")
def test_rotation_while_serving(lab, guest, origin):
    """The file is replaced: the next value is used within a second, on another connection."""
    assert ask(guest, get()).status == 200
    new = "n3xt-key-next-key"
    lab.secrets.put("key", new)
    try:
        wait_for("the new key", lambda: ask(guest, get()).status == 200
                 and sent(origin.requests[-1], "x-api-key") == [new])
        values = [sent(g, "x-api-key")[0] for g in origin.requests]
        assert values == sorted(values, key=[KEY, new].index), "never the old one again"
        by_connection = {(g.connection, sent(g, "x-api-key")[0]) for g in origin.requests}
        assert len({n for n, _ in by_connection}) == len(by_connection)
        told(lab, "changed", name="key")
        origin.says(body=new.encode())
        assert received(guest, get())[0] is None, "the new one is looked for"
        origin.says(body=KEY.encode())
        assert received(guest, get())[0] is None, "and the one before"
        origin.says(body=b"all is well")
        assert ask(guest, get()).status == 200
    finally:
        lab.secrets.put("key", KEY)
        wait_for("the old key", lambda: ask(guest, get()).status == 200
                 and sent(origin.requests[-1], "x-api-key") == [KEY])
    assert not any(held(new, read(p)) for p in files_below(lab.log_dir))


FAULTS = {
    "gone": (lambda s: os.unlink(s.path("key")), "No such file"),
    "others may read it": (lambda s: os.chmod(s.path("key"), 0o404), "is open to others (mode 0404)"),
    "short": (lambda s: s.put("key", "1234567"), "is too short for a secret"),
    "short behind a scheme": (lambda s: s.put("key", "Bearer 1234567"), "is too short for a secret"),
    "two lines": (lambda s: s.put("key", "one-of-two\r\nX-Evil: two-of-two"), "control characters"),
    "no header's value": (lambda s: s.put("key", "k3y k3y k3y "), "holds bytes that no header's value has"),
}


@row("C7")
@pytest.mark.parametrize("what", FAULTS)
def test_a_file_gone_bad_ends_its_use(lab, guest, origin, what):
    """Refused, told once; the request is not sent without it, and other hosts are served."""
    spoil, says = FAULTS[what]
    assert ask(guest, get()).status == 200
    spoil(lab.secrets)
    try:
        got = wait_for("the refusal", lambda: (r := ask(guest, get())).status != 200 and r)
        assert (got.status, got.reason) == (403, "upstream_denied")
        asked = len(origin.requests)
        assert ask(guest, get()).reason == "upstream_denied" and len(origin.requests) == asked
        assert all(sent(g, "x-api-key") == [KEY] for g in origin.requests)
        assert ask(guest, get("/a", host="one.npm.example"), name="one.npm.example").status == 200
        assert ask(guest, get(host="open.example"), name="open.example").status == 200
        denied = lab.audit.only("upstream_denied", event="http", host="keys.example")
        assert denied["credential"] == "key"
        event = lab.audit.wait(src="keeper", event="upstream", reason="upstream_denied")[0]
        assert event["credential"] == "key" and event["outcome"] == "its credential cannot be used"
        failed = lab.audit.wait(event="credential", what="failed")
        assert len(failed) == 1 and failed[0]["name"] == "key" and says in failed[0]["outcome"], failed
        assert failed[0]["file"] == lab.secrets.path("key")
    finally:
        lab.secrets.put("key", KEY)
        wait_for("its use", lambda: ask(guest, get()).status == 200)


# ---- what comes back ----

@row("C7", "C9")
def test_an_echo_never_comes_back(lab, guest, origin, family):
    """In a header or in the body, in each spelling, whole or in pieces: not a byte of it arrives."""
    page = b"x" * 40000
    origin.says(body=page)
    assert ask(guest, get(), family).body == page, "else the rest proves nothing"
    wide = [("utf-16", KEY.encode("utf-16-le")), ("html", KEY.replace('"', "&quot;").encode())]
    for name, secret in [*((n, s.encode()) for n, s in spellings(KEY)), *wide]:
        origin.says(body=page + secret + b" and more")
        status, data = received(guest, get(), family)
        assert status is None and not held(KEY, data) and secret[:8] not in data, name
        if name != "utf-16":
            origin.says("200 OK", f"X-Debug: {secret.decode()}", body=page)
            got = ask(guest, get(), family)
            assert (got.status, got.reason) == (502, "upstream_untrusted"), name
            assert not held(KEY, repr(got.fields).encode() + got.body)
    for field in ("Location", "Set-Cookie", "WWW-Authenticate"):	# passed on, or not
        origin.says("302 Found", f"{field}: /{KEY}")
        assert ask(guest, get(), family).reason == "upstream_untrusted"
    origin.does(lambda s, _: s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                       + chunks(page + KEY.encode(), 7)))
    status, data = received(guest, get(), family)
    assert status is None and KEY.encode()[:8] not in data
    lab.audit.until(lambda events: {e["reason"] for e in events} == {"upstream_untrusted"}, src="keeper",
                    event="upstream")
    event = lab.audit.events(src="keeper", event="upstream")[0]
    assert event["outcome"] == "the answer holds the secret of credential key" and event["credential"] == "key"
    assert not any(held(KEY, read(p)) for p in files_below(lab.log_dir))


@row("C7")
def test_an_echo_of_a_token_or_a_password(lab, guest, origin):
    """Without its scheme, and the pair with or without base64."""
    for host, texts in (("one.npm.example", [NPM, f"Bearer {NPM}"]),
                        ("own.npm.example", [PAIR, f"me:{PAIR}", basic(PAIR, "me")[6:]])):
        origin.says()
        assert ask(guest, get(host=host), name=host).status == 200
        for text in texts:
            origin.says("401 Unauthorized", f"X-Why: {text}")
            assert ask(guest, get(host=host), name=host).reason == "upstream_untrusted", text
    origin.says("401 Unauthorized", "WWW-Authenticate: Bearer")
    got = ask(guest, get(host="one.npm.example"), name="one.npm.example")
    assert got.status == 401 and "www-authenticate" not in got.fields


@row("C5", "C7")
def test_answers_that_cannot_be_searched(lab, guest, origin, family):
    """The client's wish for them stays here; what is compressed or a part all the same is refused."""
    wishes = ("Accept-Encoding: gzip, br", "Range: bytes=0-9", "If-Range: \"x\"", "A-IM: gzip", "IM: x")
    assert ask(guest, get("/v1/a", *wishes), family).status == 200
    got = origin.requests[0]
    assert got["accept-encoding"] == "identity"
    assert not got.names & {"range", "if-range", "a-im", "im"}, got.head
    compressed = gzip.compress(KEY.encode())
    for status, *fields in (("200 OK", "Content-Encoding: gzip"), ("200 OK", "Content-Encoding: identity, br"),
                            ("206 Partial Content", "Content-Range: bytes 0-9/20"),
                            ("226 IM Used", "IM: vcdiff")):
        origin.says(status, *fields, body=compressed)
        got = ask(guest, get("/v1/a", *wishes), family)
        assert (got.status, got.reason) == (502, "upstream_untrusted"), fields
        assert compressed not in got.body
    event = lab.audit.wait(src="keeper", event="upstream", reason="upstream_untrusted")[0]
    assert event["outcome"] == "the answer is encoded, so it cannot be searched for the credential's secret"
    origin.says("200 OK", "Content-Encoding: identity")
    assert ask(guest, get(), family).body == b"hello\n"
    origin.does(lambda s, _: s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
                                       + chunks(compressed)))
    status, data = received(guest, get("/v1/a", "TE: gzip"), family)
    assert compressed not in data and not held(KEY, data), "decoded and found, or not taken at all"
    assert status in (None, 502)
    origin.says("206 Partial Content", "Content-Encoding: gzip", body=compressed)
    got = ask(guest, get("/a", *wishes, host="open.example"), family, "open.example")
    assert (got.status, got.body) == (206, compressed), "without a credential: as before"
    assert origin.requests[-1]["range"] == "bytes=0-9"


@row("C8")
def test_redirects_are_the_clients_to_follow(lab, guest, origin, family):
    """Passed back, never followed with the secret; and where they lead does not get it."""
    origin.says("307 Temporary Redirect", "Location: https://open.example/next")
    got = ask(guest, get(), family)
    assert (got.status, got.fields["location"]) == (307, "https://open.example/next")
    assert [g["host"] for g in origin.requests] == ["keys.example"]
    origin.says()
    assert ask(guest, get("/next", host="open.example"), family, "open.example").status == 200
    assert KEY not in origin.requests[-1].head
    origin.says("302 Found", "Location: https://elsewhere.example/")
    assert ask(guest, get(), family).reason == "redirect_not_allowed"
    assert len(origin.requests) == 1
    origin.does(lambda s, got: s.sendall(
        b"HTTP/1.1 302 Found\r\nLocation: https://open.example/\r\nContent-Length: 0\r\n\r\n"
        if got["host"] == "keys.example" else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    done = guest.curl("https://keys.example/v1/a", "-L", "-o", "/dev/null", family=family)
    assert done.stdout.endswith("\n200\n"), done.stderr
    assert [(g["host"], sent(g, "x-api-key")) for g in origin.requests] == [("keys.example", [KEY]),
                                                                           ("open.example", [])]


# ---- the keeper decides ----

class HttpFront(Front):
    """As Front, for requests to hosts that are none of git's."""

    def __init__(self, lab):
        with lab.sandbox.socket() as s:		# the front forgets who it was when it ends
            s.connect((lab.sandbox.resolve("keys.example"), 443))
        super().__init__(lab)

    def ask_http(self, target, fields="", method="GET", host="keys.example", port=443):
        """The reason of the keeper's HEAD."""
        request = struct.pack("<QHB5x20s256s4x", 0, port, 0, method.encode(), host.encode())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.settimeout(10)
            ours.send(struct.pack("<II", 5, 0) + request + f"{target}\n{fields}".encode())
            head = struct.pack("<HHI8x", TYPES["OPEN_HTTP"], 8, 1)
            socket.send_fds(self.pair, [head], [self.client.fileno(), theirs.fileno()])
            theirs.close()
            kind, reason = struct.unpack_from("<II", ours.recv(65536))
        assert kind == 4
        return REASONS[reason]


@row("C7")
def test_a_front_that_was_taken_over_gets_no_use_of_it(world, request):
    """Path, method, host, port and a second account are judged again where the secret is."""
    with lab_of(world, ALLOW) as lab:
        request.node.labs = [lab]
        origin = lab.origin
        front = HttpFront(lab)
        try:
            assert front.ask_http("/v1/a") == "" and sent(origin.requests[0], "x-api-key") == [KEY]
            for reason, target, how in (
                    ("path_not_allowed", "/v2/a", {}), ("path_not_allowed", "/v1/../a", {}),
                    ("method_not_allowed", "/v1/a", {"method": "PUT"}),
                    ("host_not_allowed", "/v1/a", {"host": "elsewhere.example"}),
                    ("port_not_granted", "/v1/a", {"port": 80}),
                    ("credential_not_allowed", "/v1/a", {"fields": "Authorization: Bearer x\n"}),
                    ("credential_not_allowed", "/v1/a?api_key=x", {})):
                assert front.ask_http(target, **how) == reason
                lab.audit.wait(src="keeper", event="upstream", reason=reason)
            assert front.ask_http("/v1/b", "X-Api-Key: mine\nRange: bytes=0-1\nAccept-Encoding: gzip\n") == ""
            assert len(origin.requests) == 2 and sent(origin.requests[1], "x-api-key") == [KEY]
            assert origin.requests[1]["accept-encoding"] == "identity" and not origin.requests[1]["range"]
        finally:
            front.close()


def test_a_new_credential_waits_for_a_restart(world, request):
    """reload takes the profile and says what is missing; until then its host is refused, not served without."""
    with lab_of(world, [ALLOW[4]], lambda _: []) as lab:
        request.node.labs = [lab]
        lab.profile("agent", allow([ALLOW[0], ALLOW[4]]))
        done = lab.cordon("reload")
        assert done.returncode == 2 and "there is no credential \"key\"" in done.stdout + done.stderr
        lab.configure(config(entries(lab.secrets)[0]))
        done = lab.cordon("check", check=True)
        assert "# credential key (header X-Api-Key) serves what profiles name it for" in done.stdout
        done = lab.cordon("reload", check=True)
        assert "restart cordon-gitproxy" in done.stdout + done.stderr
        assert ask(lab.sandbox, get()).reason == "upstream_denied"
        assert ask(lab.sandbox, get(host="open.example"), name="open.example").status == 200
        assert [g["host"] for g in lab.origin.requests] == ["open.example"]
        lab.audit.wait(src="keeper", event="upstream", reason="upstream_denied", credential="key")
