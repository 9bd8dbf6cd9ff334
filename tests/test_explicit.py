"""The explicit route: git that is told where the gateway is, with a scope token."""

import json
import re
import signal

import pytest

from lab import AGENT, Lab, row
from labhttp import Wire, ask, get, ls_refs, post, info_refs
from labnet import wait_for

PORT = 8085
WIDGETS = "https://github.com/acme/widgets"
BAD = "0" * 40


@pytest.fixture(scope="module")
def lab(world):
    """One lab with the route for all tests that only look."""
    with Lab(world, config=config(world)) as lab:
        lab.up()
        lab.add_sandbox()
        lab.add_sandbox("vm1")
        yield lab
        problems = lab.problems()
    assert not problems, "\n".join(problems)


@pytest.fixture(autouse=True)
def _own_keys(request):
    """Each test that shares the lab has its own keys in the audit log."""
    if "lab" in request.fixturenames:
        request.getfixturevalue("audit")


def config(world, port=PORT):
    return {"git": {"upstream_ca_file": world.ca_file, "explicit_route": {"port": port}}}


def environment(lab, sandbox, *options, check=True):
    """What `cordon env` prints, as a dict."""
    done = lab.cordon("env", "--sandbox", sandbox.guest, *options, check=check)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def token(lab, sandbox, *options):
    return json.loads(lab.cordon("env", "--json", "--sandbox", sandbox.guest, *options, check=True).stdout)["token"]


def target(scope, rest, host="github.com"):
    return f"/git/{scope}/{host}{rest}"


REFS = "/acme/widgets.git/info/refs?service=git-upload-pack"


class Plain(Wire):
    """A connection to the route's port of the gateway."""

    def __init__(self, sandbox, family=4, port=PORT):
        self.address = sandbox.gateway[family == 6]
        self.host = f"[{self.address}]:{port}" if family == 6 else f"{self.address}:{port}"
        self.socket = sandbox.connect(self.address, port, 10.0)
        self._data = b""

    def get(self, path, *fields, host=None):
        return self.send(get(path, *fields, host=host or self.host)).response()


def refused(lab, reason, **fields):
    """One key was refused, for this reason, and no line holds a token."""
    event = lab.audit.wait_one(decision="deny", reason=reason, **fields)
    assert not re.search(r"[0-9a-f]{40}\W", json.dumps({**event, "policy": "", "prev": ""})), event
    return event


# ---- what must work ----

def test_environment(lab):
    env = environment(lab, lab.sandbox)
    assert env["GIT_CONFIG_COUNT"] == "4"
    keys = {env[f"GIT_CONFIG_KEY_{i}"] for i in range(4)}
    assert len(keys) == 1
    assert re.fullmatch(rf"url\.http://10\.1\.0\.1:{PORT}/git/[0-9a-f]{{40}}/github\.com/\.insteadOf", keys.pop())
    values = {env[f"GIT_CONFIG_VALUE_{i}"] for i in range(4)}
    assert values == {"https://github.com/", "http://github.com/", "ssh://git@github.com/", "git@github.com:"}
    event = lab.audit.wait_one(event="scope")
    assert event["seconds"] == 86400 and not re.search(r"[0-9a-f]{40}\b", event.get("what", ""))


@pytest.mark.parametrize("url", [WIDGETS, WIDGETS + ".git", "git@github.com:acme/widgets", "ssh://git@github.com/acme/widgets.git"])
def test_clone(lab, url):
    """An unmodified git with that environment; no name is resolved, and SSH URLs work too."""
    sandbox = lab.sandbox
    sandbox.run(["rm", "-rf", "w"])
    done = sandbox.git("clone", url, "w", env=environment(lab, sandbox))
    assert done.returncode == 0, done.stderr
    assert sandbox.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/widgets")
    done = sandbox.git("-C", "w", "fetch", "--prune", env=environment(lab, sandbox))
    assert done.returncode == 0, done.stderr
    events = lab.audit.until(lambda found: len(found) >= 4, event="git", decision="allow")
    assert {(e["host"], e["repo"], e["port"]) for e in events} == {("github.com", "acme/widgets", PORT)}
    assert not [e for e in events if "/git/" in e["path"]]
    lab.audit.no_refusals(src="gitproxy")


def test_clone_over_tls(lab):
    """https://cordon.internal/git/...: the client verifies the gateway."""
    sandbox = lab.sandbox
    sandbox.run(["rm", "-rf", "w"])
    env = environment(lab, sandbox, "--tls")
    assert env["GIT_CONFIG_KEY_0"].startswith("url.https://cordon.internal/git/")
    done = sandbox.git("clone", WIDGETS, "w", env=env)
    assert done.returncode == 0, done.stderr
    assert sandbox.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/widgets")
    lab.audit.no_refusals(src="gitproxy")


def test_both_families_and_pages_between(lab, family):
    """Several requests on one connection, of the route and of cordon.internal, each judged by itself."""
    scope = token(lab, lab.sandbox)
    with Plain(lab.sandbox, family) as wire:
        for _ in range(2):
            assert wire.get(target(scope, REFS), "Git-Protocol: version=2").status == 200
    with Wire(lab.sandbox, "cordon.internal", family, 80) as wire:
        for path, status in ((target(scope, REFS), 200), ("/ca.pem", 200), (target(scope, REFS), 200),
                             ("/nothing", 404), (target(BAD, REFS), 403), ("/ca.pem", 200)):
            assert wire.send(get(path, host="cordon.internal")).response().status == status, path


def test_post(lab):
    body = ls_refs("refs/heads/main")
    scope = token(lab, lab.sandbox)
    with Plain(lab.sandbox) as wire:
        request = post("acme/widgets", body, host=wire.host).replace(b"POST /", f"POST /git/{scope}/github.com/".encode())
        got = wire.send(request).response()
    assert got.status == 200 and lab.world.tip("acme/widgets").encode() in got.body


def test_upstream_sees_no_token(lab):
    before = len(lab.web.requests())
    scope = token(lab, lab.sandbox)
    with Plain(lab.sandbox) as wire:
        assert wire.get(target(scope, REFS)).status == 200
    seen = wait_for("the server's log", lambda: lab.web.requests()[before:])
    assert [(r.host, r.path) for r in seen] == [("github.com", REFS)]


def test_the_transparent_route_goes_on(lab):
    assert ask(lab.sandbox, info_refs("acme/widgets")).status == 200


# ---- who may ----

def test_wrong_token(lab, family):
    for scope in (BAD, BAD[1:], "x" * 40, token(lab, lab.sandbox)[::-1]):
        with Plain(lab.sandbox, family) as wire:
            got = wire.get(target(scope, REFS))
            assert (got.status, got.reason) == (403, "scope_invalid")
    refused(lab, "scope_invalid")


def test_git_says_so(lab):
    env = {k: re.sub(r"[0-9a-f]{40}", BAD, v) for k, v in environment(lab, lab.sandbox).items()}
    done = lab.sandbox.git("ls-remote", WIDGETS, env=env)
    assert done.returncode and "scope token is not valid" in done.stderr, done.stderr
    refused(lab, "scope_invalid")


def test_token_of_another_sandbox(lab, family):
    """What the kernel says of who asks counts; a token that was carried over opens nothing."""
    first, second = lab.sandboxes["vm0"], lab.sandboxes["vm1"]
    scope = token(lab, first)
    with Plain(second, family) as wire:
        assert wire.get(target(scope, REFS)).reason == "scope_invalid"
    refused(lab, "scope_invalid", sandbox="vm1")
    with Plain(first, family) as wire:
        assert wire.get(target(scope, REFS)).status == 200


def test_expired_token(lab):
    scope = token(lab, lab.sandbox, "--ttl", "1s")
    other = token(lab, lab.sandbox)

    def reason():
        with Plain(lab.sandbox) as wire:
            return wire.get(target(scope, REFS)).reason
    wait_for("the token's end", lambda: reason() == "scope_invalid")
    refused(lab, "scope_invalid")
    with Plain(lab.sandbox) as wire:
        assert wire.get(target(other, REFS)).status == 200


def test_ninth_token_replaces_the_first(lab):
    scopes = [token(lab, lab.sandbox, "--ttl", f"{i + 1}h") for i in range(9)]
    with Plain(lab.sandbox) as wire:
        assert [wire.get(target(s, REFS)).status for s in scopes] == [403] + [200] * 8


def test_removed_sandbox(lab):
    """Who gets name and address anew has none of the old tokens."""
    sandbox = lab.sandbox
    scope = token(lab, sandbox)
    lab.cordon("rm", sandbox.guest, check=True)
    lab.register(sandbox)
    with Plain(sandbox) as wire:
        assert wire.get(target(scope, REFS)).reason == "scope_invalid"


# ---- what it may not do ----

@row("C1", "C2", "C3")
@pytest.mark.parametrize("rest, host, reason", [
    ("/acme/payroll/info/refs?service=git-upload-pack", "github.com", "repository_not_allowed"),
    ("/acme/widgets/info/refs?service=git-receive-pack", "github.com", "push_not_allowed"),
    ("/acme/widgets/info/refs", "github.com", "dumb_http_not_allowed"),
    ("/acme/%77idgets/info/refs?service=git-upload-pack", "github.com", "not_git"),
    ("/../acme/widgets/info/refs?service=git-upload-pack", "github.com", "not_git"),
    ("/acme/widgets/archive/main.zip", "github.com", "not_git"),
    ("/acme/widgets.git/info/lfs/objects/batch", "github.com", "lfs_not_allowed"),
    (REFS, "gitlab.com", "host_not_allowed"),
    (REFS, "pypi.example", "host_not_allowed"),
    (REFS, "cordon.internal", "host_not_allowed"),
    (REFS, "140.82.121.4", "scope_invalid"),
    (REFS, "GITHUB.com", "scope_invalid"),
    (REFS, "github.com:443", "scope_invalid"),
])
def test_the_policy_is_the_same(lab, rest, host, reason):
    scope = token(lab, lab.sandbox)
    before = len(lab.web.requests())
    with Plain(lab.sandbox) as wire:
        assert wire.get(target(scope, rest, host)).reason == reason
    refused(lab, reason)
    assert len(lab.web.requests()) == before


@row("C7")
def test_credentials_and_hosts(lab):
    scope = token(lab, lab.sandbox)
    with Plain(lab.sandbox) as wire:
        assert wire.get(target(scope, REFS), "Authorization: Basic eDp5").reason == "credential_not_allowed"
    for host in ("github.com", "cordon.internal", f"10.1.1.1:{PORT}", "10.1.0.1"):
        with Plain(lab.sandbox) as wire:
            assert wire.get(target(scope, REFS), host=host).reason == "host_mismatch"
    with Plain(lab.sandbox) as wire:
        assert wire.get("/").reason == "not_git"		# the pages are cordon.internal's
        assert wire.get("/acme/widgets.git/info/refs?service=git-upload-pack").reason == "not_git"


def test_other_gateways_are_not_reached(lab, family):
    """The route is on the sandbox's own gateway; another link's address is the host, as ever."""
    other = lab.sandboxes["vm1"].gateway[family == 6]
    with pytest.raises(OSError):
        lab.sandboxes["vm0"].connect(other, PORT)
    event = refused(lab, "host_access", sandbox="vm0")
    assert event["port"] == PORT


# ---- off, restarts, mistakes ----

def test_off_unless_configured(labs):
    lab = labs()
    done = lab.cordon("env", "--sandbox", "vm0")
    assert done.returncode == 1 and "explicit_route.port" in done.stderr
    for port in (PORT, 0):
        with pytest.raises(OSError):
            lab.sandbox.connect(lab.sandbox.gateway[0], port)
    got = ask(lab.sandbox, get(target(BAD, REFS), host="cordon.internal"), name="cordon.internal", port=80)
    assert (got.status, got.reason) == (404, "path_not_allowed")


def test_restart_of_netd_ends_tokens(labs, world):
    """They are kept in memory alone. Until netd is back nobody is served."""
    lab = labs(config=config(world))
    scope = token(lab, lab.sandbox)
    lab.signal("cordon-netd", signal.SIGKILL)
    wait_for("netd", lambda: lab.cordon("ls").returncode == 0)

    def reason():
        try:
            with Plain(lab.sandbox) as wire:
                return wire.get(target(scope, REFS)).reason
        except Exception:			# not served yet
            return None
    wait_for("an answer", lambda: reason() == "scope_invalid")
    fresh = token(lab, lab.sandbox)
    with Plain(lab.sandbox) as wire:
        assert wire.get(target(fresh, REFS)).status == 200


def test_mistakes(lab):
    for argv, status, said in (((), 2, "--sandbox"), (("--sandbox", "nobody"), 1, "no such sandbox"),
                               (("--sandbox", lab.sandbox.guest, "--ttl", "0s"), 2, "--ttl"),
                               (("--sandbox", lab.sandbox.guest, "--ttl", "soon"), 2, "--ttl"),
                               (("--sandbox", lab.sandbox.guest, "--ttl", "10000d"), 1, "365d")):
        done = lab.cordon("env", *argv)
        assert done.returncode == status and said in done.stderr, (argv, done)
        assert not re.search(r"[0-9a-f]{40}", done.stdout + done.stderr)


def test_profile_without_git(labs, world):
    lab = labs(config=config(world), profiles={"plain": {"network": AGENT["network"]}}, sandbox=False)
    lab.add_sandbox(profile="plain")
    done = lab.cordon("env", "--sandbox", "vm0")
    assert done.returncode == 1 and "no git hosts" in done.stderr
