"""Upstream credentials: rows C7 and D12 of the threats; rotation, permissions, echo, applications."""

import base64
import json
import os
import pwd
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest

import labworld
from lab import AGENT, Lab, row
from labhttp import Closed, Rude, Wire, info_refs
from labnet import wait_for
from test_privilege import Front

OWNER, TWO = "ghp_0wnerOwnerOwner0000", "ghp_tw0/Two+Two\"Two\\22"
GITHUB_TOKENS = (OWNER, TWO)
GIT = {"enabled": True, "source": "upstream", "allowed_hosts": ["github.com", "gitlab.com"],
       "allowed_repos": ["github.com/acme/widgets", "github.com/private/*", "gitlab.com/acme/*"]}


def keeper_uid():
    try:
        return pwd.getpwnam("cordon-keeper").pw_uid
    except KeyError:
        return 63965


class Secrets:
    """Files in a directory of the lab, replaced as an administrator would."""

    def __init__(self, lab):
        self.dir = f"{lab.dir}/secrets"
        os.makedirs(self.dir, mode=0o700)
        os.chown(self.dir, keeper_uid(), -1)

    def path(self, name):
        return f"{self.dir}/{name}"

    def put(self, name, text, mode=0o400, uid=None):
        with open(f"{self.dir}/.{name}.new", "w") as f:
            f.write(text)
        os.chmod(f.name, mode)
        os.chown(f.name, keeper_uid() if uid is None else uid, -1)
        os.rename(f.name, self.path(name))
        return self.path(name)


def basic(token, user="x-access-token"):
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


def spellings(token):
    """Every way in which a token could show."""
    json_text = json.dumps(token)[1:-1]
    yield from {"raw": token, "pair": basic(token)[6:], "base64": base64.b64encode(token.encode()).decode(),
                "urlsafe": base64.urlsafe_b64encode(f"a:{token}".encode()).decode().rstrip("="),
                "percent": urllib.parse.quote(token, safe=""), "json": json_text,
                "json slashes": json_text.replace("/", "\\/"), "hex": token.encode().hex()}.items()


def credentials_lab(world, entries, **config):
    """A lab that is not up yet, its secrets; entries(secrets) are the configuration's."""
    lab = Lab(world, profiles={"agent": {**AGENT, "git": GIT}})
    secrets = Secrets(lab)
    lab.configure({"credentials": entries(secrets), **config})
    for repo, token in (("private/one", OWNER), ("private/two", TWO)):
        lab.web.password(repo, token)
    return lab, secrets


def two_tokens(secrets):
    return [{"name": "owner", "match": "github.com/private/*",
             "token_file": secrets.put("owner", OWNER + "\n")},
            {"match": "github.com/Private/Two", "token_file": secrets.put("two", TWO)},
            {"name": "gitlab", "match": "gitlab.com/*", "token_file": secrets.put("gitlab", TWO)}]


@pytest.fixture
def vault(world, request):
    """(lab, secrets): up, with two tokens for github.com; gitlab.com is a server of the test's."""
    lab, secrets = credentials_lab(world, two_tokens, hosts={"gitlab.com": labworld.SERVICES[0]})
    request.node.labs = [lab]
    with lab:
        lab.up()
        lab.add_sandbox()
        yield lab, secrets
        assert not lab.problems(), lab.problems()


def ls_remote(lab, repo):
    return lab.sandbox.git("ls-remote", f"https://github.com/{repo}")


def settled(lab):
    """How often upstream was asked for private/two; its log is behind its answers, so this asks for another first."""
    def asked(repo):
        return sum(r.path.startswith(f"/{repo}") for r in lab.web.requests())
    before = asked("private/one")
    assert ls_remote(lab, "private/one").returncode == 0
    wait_for("both lines in the server's log", lambda: asked("private/one") >= before + 2)
    return asked("private/two")


def sent(lab, repo):
    """What credentials upstream got for a repository."""
    return {r.authorization for r in lab.web.requests() if r.path.startswith(f"/{repo}")}


def told(lab, what, **fields):
    return lab.audit.wait(src="keeper", event="credential", what=what, **fields)


def held(token, text):
    """The spelling of the token that a text holds, or None."""
    text = text if isinstance(text, bytes) else text.encode()
    return next((name for name, spelling in spellings(token) if spelling.encode() in text), None)


# ---- which one, and nowhere else ----

def files_below(*dirs):
    for dir in dirs:
        for at, _, names in os.walk(dir):
            yield from (f"{at}/{name}" for name in names)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""			# a process that has ended, a socket


@row("C7", "D12")
def test_each_repository_gets_its_own(vault):
    """A real git clones two private repositories, with two tokens, and sees neither."""
    lab, secrets = vault
    trace = ""
    for repo in ("private/one", "private/two", "acme/widgets"):
        done = lab.sandbox.git("clone", f"https://github.com/{repo}", repo.replace("/", "-"),
                               env={"GIT_TRACE_CURL": "1", "GIT_TRACE_PACKET": "1", "GIT_TRACE_REDACT": "0"})
        assert done.returncode == 0, done.stderr
        trace += done.stdout + done.stderr
    assert sent(lab, "private/one") == {basic(OWNER)}
    assert sent(lab, "private/two") == {basic(TWO)}
    assert sent(lab, "acme/widgets") == {"-"}, "no credential serves it, so none is sent"
    loaded = {e["name"] for e in lab.audit.events(event="credential", what="loaded")}
    assert loaded == {"owner", "github.com/private/two", "gitlab"}
    keeper, = lab.pids("cordon-keeper")
    places = [p for p in files_below(lab.log_dir, f"{lab.dir}/run", f"{lab.dir}/state", lab.sandbox.dir)]
    places += [f"/proc/{pid}/{what}" for pid in os.listdir("/proc") if pid.isdigit()
               for what in ("cmdline", "environ")]
    assert any("keeper.jsonl" in p for p in places) and len(trace) > 10000
    for token in GITHUB_TOKENS:
        assert not held(token, trace)
        for path in places:
            assert not held(token, read(path)), path
    limits = read(f"/proc/{keeper}/limits").decode()
    assert "Max core file size        0                    0 " in limits
    status = dict(line.split(":\t", 1) for line in read(f"/proc/{keeper}/status").decode().splitlines())
    assert int(status["VmLck"].split()[0]) >= 4096, "secrets are locked"


def test_what_upstream_refuses_is_refused(vault):
    """A token that is not right any more: one refusal, and no question at the guest."""
    lab, _ = vault
    lab.web.password("private/one", "another-password")
    done = ls_remote(lab, "private/one")
    assert done.returncode and "upstream_denied" in done.stderr and "Username" not in done.stderr
    event = lab.audit.wait(src="keeper", event="upstream", reason="upstream_denied")[0]
    assert event["status"] == 401


@row("C7")
def test_a_foreign_credential_is_refused_here_too(vault):
    """The guest's own is not mixed with ours."""
    lab, _ = vault
    with Wire(lab.sandbox) as wire:
        got = wire.send(info_refs("private/one", f"Authorization: {basic('mine-own-token')}")).response()
    assert got.reason == "credential_not_allowed"
    assert not sent(lab, "private/one")
    lab.audit.wait_one(decision="deny", reason="credential_not_allowed", port=443)


# ---- rotation and permissions ----

def test_rotation_while_serving(vault):
    """The file is replaced: the next token is used within a second, without a signal."""
    lab, secrets = vault
    assert ls_remote(lab, "private/one").returncode == 0
    token = "ghp_n3xtNextNextNext0001"
    lab.web.password("private/one", token)
    secrets.put("owner", token + "\n")
    wait_for("the new token", lambda: ls_remote(lab, "private/one").returncode == 0)
    assert sent(lab, "private/one") == {basic(OWNER), basic(token)}
    assert sent(lab, "private/two") == set()
    told(lab, "changed", name="owner")
    assert not any(held(token, read(p)) for p in files_below(lab.log_dir))


FAULTS = {
    "others may read it": (lambda path: os.chmod(path, 0o444), "is open to others (mode 0444)"),
    "its group may read it": (lambda path: os.chmod(path, 0o440), "is open to others (mode 0440)"),
    "another's": (lambda path: os.chown(path, 1, -1), "cannot be read by us"),
    "gone": (os.unlink, "No such file"),
    "a link": (lambda path: (os.rename(path, path + ".x"), os.symlink(path + ".x", path)), "symbolic link"),
    "empty": (lambda path: open(path, "w").close(), "too short"),
    "two lines": (lambda path: open(path, "w").write("token-one\r\nX-Header: token-two"), "control characters"),
}


@row("C7")
def test_a_file_gone_bad_ends_its_use(vault):
    """Refused within a second; neither a broader credential nor none is sent instead."""
    lab, secrets = vault
    for what, (spoil, says) in FAULTS.items():
        assert wait_for("its use", lambda: ls_remote(lab, "private/two").returncode == 0)
        spoil(secrets.path("two"))
        failed = wait_for("the refusal", lambda: (d := ls_remote(lab, "private/two")).returncode and d)
        asked = settled(lab)
        assert "upstream_denied" in failed.stderr, what
        assert ls_remote(lab, "private/two").returncode and settled(lab) == asked, what
        assert ls_remote(lab, "private/one").returncode == 0, "others go on"
        assert sent(lab, "private/two") == {basic(TWO)}
        lab.audit.until(lambda events: any(says in e["outcome"] for e in events), src="keeper",
                        event="credential", what="failed", name="github.com/private/two")
        secrets.put("two", TWO)
    failed = lab.audit.events(event="credential", what="failed")
    assert len(failed) == len(FAULTS), "each told once"
    assert all(e["file"] == secrets.path("two") for e in failed)


def test_wrong_files_at_the_start(world, request):
    """`check` and `up` name the file and what to run; a keeper that starts all the same refuses."""
    lab, secrets = credentials_lab(world, two_tokens)
    request.node.labs = [lab]
    with lab:
        assert "credential owner (token) serves github.com/private/*" in lab.cordon("check").stdout
        for spoil, says in (
                (lambda: secrets.put("owner", OWNER, 0o404), "is open to others (mode 0404); run: chown"),
                (lambda: secrets.put("owner", OWNER, 0o400, 0), "belongs to user 0, not to"),
                (lambda: (secrets.put("owner", OWNER), os.chown(secrets.dir, 0, 0)), "cannot be reached by")):
            spoil()
            for command in ("check", "up"):
                done = lab.cordon(command)
                assert done.returncode == 2, done.stdout
                assert "cordon.yaml:" in done.stderr and secrets.path("owner") in done.stderr
                assert says in done.stderr and "run: chown" in done.stderr, done.stderr
        os.chown(secrets.dir, keeper_uid(), 0)
        lab.up()
        lab.add_sandbox()
        assert ls_remote(lab, "private/one").returncode == 0
        os.chmod(secrets.path("owner"), 0o444)
        lab.signal("cordon-keeper", signal.SIGKILL)
        failed = wait_for("a proxy again", lambda: "upstream_denied" in (d := ls_remote(
            lab, "private/one")).stderr and d)
        assert failed.returncode
        told(lab, "failed", name="owner")


def test_a_changed_list_is_not_taken_for_used(vault):
    """The keeper has closed itself in around the directories that it knew; reload says what to do."""
    lab, secrets = vault
    done = lab.cordon("reload", check=True)
    assert "credentials" not in done.stdout + done.stderr
    entries = two_tokens(secrets)
    entries[0]["match"] = "github.com/acme/*"
    lab.configure({"credentials": entries, "hosts": {"gitlab.com": labworld.SERVICES[0]}})
    done = lab.cordon("reload", check=True)
    assert "restart cordon-gitproxy" in done.stdout + done.stderr
    assert ls_remote(lab, "private/one").returncode == 0
    assert sent(lab, "private/one") == {basic(OWNER)}


# ---- the keeper decides ----

@row("C7", "D12")
def test_a_front_that_was_taken_over_gets_no_use_of_it(world, request):
    """The policy allows one repository; for another the keeper neither dials nor reads a token."""
    lab, secrets = credentials_lab(world, two_tokens)
    request.node.labs = [lab]
    with lab:
        lab.profile("agent", {**AGENT, "git": {**GIT, "allowed_repos": ["github.com/acme/widgets"]}})
        lab.up()
        lab.add_sandbox()
        front = Front(lab)
        try:
            assert front.open() == ""
            assert front.open(repo="private/one") == "repository_not_allowed"
            assert front.open(repo="private/two") == "repository_not_allowed"
        finally:
            front.close()
        assert wait_for("the server's log", lambda: sent(lab, "acme/widgets")) == {"-"}
        assert not sent(lab, "private/one") and not sent(lab, "private/two")


# ---- echo ----

def _received(wire, request):
    """Every byte that comes back until the connection ends or is whole."""
    wire.send(request)
    try:
        got = wire.response()
        return got.status, repr(got.fields).encode() + got.body
    except Closed:
        return None, wire._data


@row("C7", "C9")
def test_an_echo_never_comes_back(vault):
    """In a header or in the body, in each spelling, whole or in pieces: not a byte of it arrives."""
    lab, _ = vault
    rude = Rude(lab.internet, labworld.SERVICES, f"{lab.world.certs}/gitlab.com.crt",
                f"{lab.world.certs}/gitlab.com.key")
    page = b"001e# service=git-upload-pack\n0000 " + b"x" * 40000
    request = info_refs("acme/widgets", host="gitlab.com")

    def ask():
        with Wire(lab.sandbox, "gitlab.com") as wire:
            return _received(wire, request)
    rude.says("200 OK", "Cache-Control: no-cache", body=page)
    assert ask()[0] == 200, "else the rest proves nothing"
    assert f"authorization: {basic(TWO)}".lower() in rude.requests[0].decode().lower()
    for name, spelling in spellings(TWO):
        secret = spelling.encode()
        rude.says("200 OK", body=page + secret + b" and more")
        status, data = ask()
        assert status is None and not held(TWO, data) and secret[:8] not in data, name
        rude.says("200 OK", f"Cache-Control: {spelling}", body=page)
        status, data = ask()
        assert status == 502 and b"upstream_untrusted" in data and not held(TWO, data), name
    rude.says("200 OK", f"X-Debug: {basic(TWO)}", body=page)
    assert ask()[0] == 502, "also in a header that would not be passed on"
    _in_pieces(rude, page, TWO.encode())
    status, data = ask()
    assert status is None and TWO.encode()[:8] not in data
    event = lab.audit.wait(src="keeper", event="upstream", reason="upstream_untrusted")[0]
    assert event["outcome"] == "the answer holds the secret of credential gitlab"
    assert not any(held(TWO, read(p)) for p in files_below(lab.log_dir))


def _in_pieces(rude, page, secret):
    """Answer with the secret one byte a record."""
    def answer(s, _):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n"
                  b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(page) + len(secret), page))
        for i in range(len(secret)):
            s.sendall(secret[i:i + 1])
    rude.requests.clear()
    rude.answer = answer


# ---- applications ----

class Api(Rude):
    """The part of an API that gives installation tokens."""

    def __init__(self, lab, public_key):
        super().__init__(lab.internet, labworld.SERVICES, f"{lab.world.certs}/api.github.com.crt",
                         f"{lab.world.certs}/api.github.com.key")
        self.lab, self.public_key = lab, public_key
        self.life, self.status, self.wrong = 3600, "201 Created", []
        self.token = "ghs_app1" + "A" * 30
        self.lock = threading.Lock()
        self.answer = self._token

    def _check(self, request):
        head = request.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1)[:1] + line.split(": ", 1)[1:] for line in head[1:] if ": " in line)
        if head[0] != "POST /app/installations/42/access_tokens HTTP/1.1":
            self.wrong.append(head[0])
        scheme, jwt = fields["authorization"].split(" ")
        signed, _, signature = jwt.rpartition(".")
        header, claims = (json.loads(base64.urlsafe_b64decode(p + "==")) for p in signed.split("."))
        if (scheme, header) != ("Bearer", {"alg": "RS256", "typ": "JWT"}) or str(claims["iss"]) != "7" or not \
                claims["iat"] <= time.time() < claims["exp"] <= time.time() + 600:
            self.wrong.append(claims)
        with open(f"{self.lab.dir}/signature", "wb") as f:
            f.write(base64.urlsafe_b64decode(signature + "=="))
        done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.public_key, "-signature", f.name],
                              input=signed.encode(), capture_output=True)
        if done.returncode:
            self.wrong.append(done.stdout)

    def _token(self, s, request):
        with self.lock:
            self._check(request)
            expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.life))
            body = json.dumps({"token": self.token, "expires_at": expires}).encode()
            s.sendall(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                      b"Connection: close\r\n\r\n%s" % (self.status.encode(), len(body), body))


@pytest.fixture
def app(world, request):
    """(lab, secrets, API): private/* is served by an application's tokens."""
    def entries(secrets):
        return [{"name": "app", "match": "github.com/private/*",
                 "github_app": {"id": 7, "installation": 42, "key_file": secrets.path("key")}}]
    if not os.path.exists(f"{world.certs}/api.github.com.crt"):
        world.make_leaf("api.github.com")
    lab, secrets = credentials_lab(world, entries, hosts={"api.github.com": labworld.SERVICES[0]})
    request.node.labs = [lab]
    with lab:
        key = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, text=True, check=True).stdout
        secrets.put("key", key)
        public = f"{lab.dir}/public.pem"
        subprocess.run(["openssl", "pkey", "-pubout", "-out", public], input=key, text=True, check=True)
        api = Api(lab, public)
        lab.web.password("private/one", api.token)
        lab.up()
        lab.add_sandbox()
        yield lab, secrets, api
        assert not api.wrong, api.wrong
        assert not any(held(api.token, read(p)) or b"PRIVATE KEY" in read(p)
                       for p in files_below(lab.log_dir, f"{lab.dir}/run"))
        assert not lab.problems(), lab.problems()


def test_an_applications_token(app):
    """Asked for once by many requests at once, with a signature of the key; then it is there."""
    lab, _, api = app
    assert not api.requests, "not before it is needed"
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(ls_remote(lab, "private/one").returncode))
               for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert codes == [0] * 6
    assert len(api.requests) == 1
    done = lab.sandbox.git("clone", "https://github.com/private/one", "w")
    assert done.returncode == 0, done.stderr
    assert len(api.requests) == 1 and sent(lab, "private/one") == {basic(api.token)}
    told(lab, "token", name="app")


def test_an_applications_token_is_renewed_early(app):
    """Five minutes before its end, beside requests that go on with the old one."""
    lab, _, api = app
    api.life = 302
    assert ls_remote(lab, "private/one").returncode == 0
    first = api.token
    api.life, api.token = 3600, "ghs_app2" + "B" * 30
    wait_for("the next token", lambda: (ls_remote(lab, "private/one"), len(api.requests) == 2)[1])
    told(lab, "renewed", name="app")
    lab.web.password("private/one", api.token)
    assert wait_for("its use", lambda: ls_remote(lab, "private/one").returncode == 0)
    assert sent(lab, "private/one") == {basic(first), basic(api.token)}
    assert len(api.requests) == 2


@pytest.mark.parametrize("how", ["refuses", "nonsense", "expired", "no key", "untrusted"])
def test_an_application_without_a_token(app, how):
    """No token, no request: refused, told once, and the API is not asked again at once."""
    lab, secrets, api = app
    if how == "refuses":
        api.status = "403 Forbidden"
    elif how == "nonsense":
        api.token = "has space"
    elif how == "expired":
        api.life = -10
    elif how == "no key":
        secrets.put("key", "-----BEGIN NOTHING-----\n")
        wait_for("a second look", lambda: (ls_remote(lab, "private/one"), lab.audit.events(
            event="credential", what="changed"))[1])
    else:
        api.certificate(f"{lab.world.certs}/github.com.crt", f"{lab.world.certs}/github.com.key")
    before = len(api.requests)
    for _ in range(3):
        done = ls_remote(lab, "private/one")
        assert done.returncode and "upstream_denied" in done.stderr
    assert len(api.requests) - before <= 1
    assert all(a == "-" or how == "no key" for a in sent(lab, "private/one"))
    told(lab, "failed", name="app")
    assert len(lab.audit.events(event="credential", what="failed")) == 1
