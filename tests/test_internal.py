"""http://cordon.internal/: what a sandbox may know of its own policy, and nothing else."""

import json

import pytest

import labworld
from lab import row
from labclient import refused as connect_refused
from labhttp import Closed, Wire, ask, get
from labnet import wait_for

NAME = "cordon.internal"
V4, V6 = "198.18.0.1", "fd63:6f72:646f::1"
JSON = "Accept: text/html;q=0.5, application/json"


def page(path, *fields, **kw):
    return get(path, *fields, host=NAME, **kw)


def read(sandbox, path="/", *fields, family=4, port=80):
    return ask(sandbox, page(path, *fields), family=family, name=NAME, port=port)


def told(sandbox, name=NAME, family=4):
    """What /refusals says, oldest last."""
    got = ask(sandbox, page("/refusals", JSON), family=family, name=name, port=80)
    assert got.status == 200 and got.fields["content-type"] == "application/json"
    return json.loads(got.body)["refusals"]


def until_told(sandbox, reason, what):
    """Refusals come by way of netd: until this one has."""
    return wait_for(f"{reason} {what}", lambda: next(
        (r for r in told(sandbox) if r["reason"] == reason and what in r["what"]), None))


def test_resolves_for_everybody(labs):
    """The same two addresses under every policy, one that allows nothing included; no query leaves."""
    lab = labs(profiles={"nothing": {"network": {"default": "deny", "allow": []}}},
               sandbox=False)
    for guest, profile in (("vm0", "agent"), ("vm1", "nothing")):
        sandbox = lab.add_sandbox(guest, profile)
        assert (sandbox.resolve(NAME, 4), sandbox.resolve(NAME, 6)) == (V4, V6)
        assert sandbox.dig("CORDON.internal.", "A", "+short").split() == [V4]
        assert sandbox.dig("-x", V4, "+short").split() == [f"{NAME}."]
        assert sandbox.dig(NAME, "HTTPS", "+short") == ""
        assert read(sandbox).status == 200
    assert lab.dns.queries(NAME) == []
    lab.audit.no_refusals(src="dns")


def test_policy_as_text(lab, audit, family):
    got = read(lab.sandbox, family=family)
    assert got.status == 200 and got.fields["content-type"].startswith("text/plain")
    text = got.body.decode()
    assert lab.sandbox.guest in text and "profile agent" in text
    for shown in ("pypi.example", "5432", "acme/widgets", "github.com", "connections: 256"):
        assert shown in text
    audit.wait(event="internal", decision="allow")
    audit.no_refusals(src="gitproxy")


def test_policy_as_json(lab, audit, family):
    got = read(lab.sandbox, "/", JSON, family=family)
    value = json.loads(got.body)
    assert (value["sandbox"], value["profile"], len(value["sha256"])) == (lab.sandbox.guest, "agent", 64)
    sandbox = value["policy"]["sandbox"]
    assert {"host": "tcp.example", "ports": [5432, 7000], "protocol": "tcp"} in sandbox["network"]["allow"]
    assert sandbox["git"]["allowed_repos"] == ["acme/widgets"]
    assert sandbox["limits"]["request_bytes"] == "1MiB" and sandbox["limits"]["connections"] == 256


def test_tls_and_ca(lab, audit, family):
    """The certificate it gives is the one that it is itself verified by."""
    with_tls = read(lab.sandbox, "/ca.pem", family=family, port=443)
    plain = read(lab.sandbox, "/ca.pem", family=family)
    assert with_tls.status == plain.status == 200
    assert plain.body.decode() == with_tls.body.decode() == lab.ca_certificate()
    assert lab.sandbox.fetches(f"https://{NAME}/", family=family)
    assert lab.sandbox.fetches(f"http://{NAME}/refusals", family=family)


def test_nothing_leaves_the_host(lab, audit, capture):
    assert read(lab.sandbox).status == 200
    assert read(lab.sandbox, port=443).status == 200
    capture.empty(dst=V4)
    capture.empty(contains=NAME.encode())
    assert lab.web.requests(host=NAME) == []


def test_head(lab, audit):
    with Wire(lab.sandbox, NAME, port=80) as wire:
        got = wire.send(page("/", method="HEAD")).response(body=False)
        assert got.status == 200 and int(got.fields["content-length"]) > 100
        assert wire.send(page("/")).response().status == 200		# and the connection goes on


@row("C1", "C4", "C10")
@pytest.mark.parametrize("request_, status, reason", [
    (page("/other"), 404, "path_not_allowed"),
    (page("/?x=1"), 404, "path_not_allowed"),
    (page("//"), 404, "path_not_allowed"),
    (page("/refusals/"), 404, "path_not_allowed"),
    (page("/%72efusals"), 404, "path_not_allowed"),
    (page("/../ca.pem"), 404, "path_not_allowed"),
    (page("/acme/widgets/info/refs?service=git-upload-pack"), 404, "path_not_allowed"),
    (page("/", method="POST"), 405, "method_not_allowed"),
    (page("/", method="DELETE"), 405, "method_not_allowed"),
    (get("/", host="github.com"), 403, "host_mismatch"),
    (get("/", host="evil.example"), 403, "host_mismatch"),
    (page("/", "Content-Length: 4") + b"abcd", 400, "request_malformed"),
    (page("/", "Content-Length: 0", "Transfer-Encoding: chunked"), 400, "request_malformed"),
], ids=lambda v: v.split(b"\r\n")[0].decode() if isinstance(v, bytes) else None)
def test_all_else_is_refused(lab, audit, capture, request_, status, reason):
    got = ask(lab.sandbox, request_, name=NAME, port=80)
    assert (got.status, got.reason) == (status, reason)
    assert got.body.decode().splitlines()[0] == reason
    assert (got.fields.get("allow") == "GET, HEAD") == (status == 405)
    audit.wait_one(event="internal", decision="deny", reason=reason)
    capture.empty(contains=b"widgets")


def test_other_ports_are_refused(lab, audit, family):
    address = (V4, V6)[family == 6]
    for port in (22, 8443, 8080):
        assert connect_refused(lab.sandbox.connect, address, port, 3.0)
    events = audit.until(lambda found: len(found) == 3, decision="deny", event="flow")
    assert {e["reason"] for e in events} == {"port_not_granted"}


def test_refusals_of_every_part(lab, audit, family):
    """Of the kernel, the inspector, the resolver and the proxy, each with its sentence."""
    sandbox = lab.sandbox
    assert told(sandbox) == []
    sandbox.dig("evil.example", "AAAA" if family == 6 else "A")
    until_told(sandbox, "name_not_allowed", "evil.example")
    assert connect_refused(sandbox.connect, labworld.SERVICES[family == 6], 7000, 3.0)
    until_told(sandbox, "address_not_granted", labworld.SERVICES[family == 6])
    sandbox.git("ls-remote", "https://github.com/acme/payroll")
    until_told(sandbox, "repository_not_allowed", "acme/payroll")
    sandbox.curl("https://pypi.example/", "--connect-to", f"web.example:443:{sandbox.resolve('pypi.example')}:443",
                 "https://web.example/", family=4)
    until_told(sandbox, "sni_mismatch", "pypi.example")
    text = read(sandbox, "/refusals").body.decode()
    assert "The policy does not allow this repository" in text
    assert all(r["sentence"] and r["time"].endswith("Z") for r in told(sandbox))


def test_refusals_are_the_callers_own(labs):
    """Two sandboxes of one profile; and who gets the name and the address anew finds nothing."""
    lab = labs()
    first, second = lab.sandbox, lab.add_sandbox("vm1")
    first.dig("secret-of-first.example")
    until_told(first, "name_not_allowed", "secret-of-first.example")
    assert told(second) == []
    lab.cordon("rm", "vm0", check=True)
    lab.register(first)
    assert told(first) == []


@row("C12")
def test_refusals_are_bounded_and_harmless(lab, audit):
    """A sandbox that makes up names, some of them with what a terminal or a log would obey."""
    sandbox = lab.sandbox
    for i in range(40):
        sandbox.dig(f"made-up-{i}.example", "A", "+tries=1")
    sandbox.dig("a\\027[31m\\010b\\195\\155.example", "A")
    with Wire(sandbox, NAME, port=80) as wire:
        wire.send(page("/\x1b[31mred".replace("\x1b", "%1b")))
        assert wire.response().status == 404
    until_told(sandbox, "name_not_allowed", "made-up-39")
    body = read(sandbox, "/refusals").body
    assert 0 < len(told(sandbox)) <= 16
    assert all(c == 10 or 32 <= c < 127 for c in body)


def test_asking_has_a_rate(lab, audit):
    """A page costs more than its request: so many a second, then 429; others are served all the same."""
    got = []
    with Wire(lab.sandbox, NAME, port=80) as wire:
        wire.send(page("/ca.pem") * 40)
        try:
            for _ in range(40):
                got.append(wire.response().status)
        except Closed as e:
            raise AssertionError(f"{len(got)} answers") from e
    assert set(got) == {200, 429} and got[:10] == [200] * 10
    audit.wait_one(event="internal", reason="rate_limited")


@pytest.mark.parametrize("what, status, text", [
    ("http://cordon.internal/", 0, "answered by Cordon itself"), ("https://cordon.internal/refusals", 0, "by Cordon itself"),
    ("cordon.internal:22", 1, "port_not_granted"), ("udp://cordon.internal:443", 1, "port_not_granted"),
])
def test_explain_knows_the_name(lab, what, status, text):
    done = lab.cordon("explain", "--profile", "agent", what)
    assert done.returncode == status and text in done.stdout, done


def test_without_netd_nobody_is_told_anything(labs):
    """Who asks cannot be known: the connection is refused, not answered from an old picture."""
    lab = labs()
    address = lab.sandbox.resolve(NAME)
    assert read(lab.sandbox).status == 200
    import signal
    pids = lab.signal("cordon-netd", signal.SIGSTOP)
    try:
        with lab.sandbox.connect(address, 80) as s:
            s.sendall(page("/refusals"))
            head = s.recv(4096)
        assert head.startswith(b"HTTP/1.1 503 ") and b"unavailable" in head and b"Retry-After: " in head
    finally:
        for pid in pids:
            lab.resume(pid)
    wait_for("refusals again", lambda: read(lab.sandbox, "/refusals").status == 200)
