"""Git LFS: objects come the way of their repository, and nobody learns how upstream keeps them."""

import glob
import itertools
import json
import os
import socket
import threading

import pytest
from lab import AGENT, Lab
from labgit import Answer
from labhttp import Closed, Wire, get
from lablfs import LFS_TYPE, LfsServer, LfsWork, TOKEN, batch_body, oid_of
from labnet import PATIENCE, wait_for
from test_credentials import Secrets

POLICY = {**AGENT, "git": {**AGENT["git"], "allowed_hosts": ["gitlab.com"], "allowed_repos": ["acme/*"], "lfs": True}}
SMALL, LARGE = b"a small object\n", os.urandom(3 << 20)
_renewals = itertools.count(1)
FILES = {"small.bin": SMALL, "large.bin": LARGE, "plain.txt": b"no object\n"}


def entries(secrets):
    return [{"name": "lfs", "match": "gitlab.com/acme/*", "token_file": secrets.put("lfs", TOKEN)}]


@pytest.fixture(scope="module")
def lab(world):
    """vm0 and vm1 may have acme/*, with LFS; vm2 without; vm3 with one transfer at once."""
    without = {**POLICY, "git": {**POLICY["git"], "lfs": False}}
    single = {**POLICY, "limits": {"git_transfers": 1}}
    with Lab(world, profiles={"agent": POLICY, "without": without, "single": single}) as lab:
        lab.configure({"hosts": LfsServer.CONFIG, "credentials": entries(Secrets(lab)),
                       "git": {"upstream_ca_file": world.ca_file, "explicit_route": {"port": 8085}}})
        lab.up()
        lab.add_sandbox()
        lab.add_sandbox("vm1")
        lab.add_sandbox("vm2", "without")
        lab.add_sandbox("vm3", "single")
        lab.server = LfsServer(lab)
        lab.repo = lab.server.repository("acme/art", FILES)
        lab.objects = dict(lab.server.store)
        yield lab
        assert not lab.problems(), lab.problems()
        assert_told_nobody(lab)


@pytest.fixture
def server(lab):
    lab.server.reset()
    lab.server.store.update(lab.objects)
    lab.renew(f"-{next(_renewals)}")		# keys of its own
    lab.audit.mark()
    return lab.server


def assert_told_nobody(lab):
    """Nothing that opens upstream's store stands in a log."""
    for name in glob.glob(f"{lab.log_dir}/*"):
        text = open(name, errors="replace").read()
        for secret in lab.server.secrets():
            assert secret not in text, f"{secret} in {name}"


def ask(sandbox, body, *fields, repo="acme/art", type=LFS_TYPE):
    """One batch request by hand."""
    request = get(f"/{repo}.git/info/lfs/objects/batch", f"Content-Type: {type}", f"Content-Length: {len(body)}",
                  *fields, host="gitlab.com", method="POST") + body
    with Wire(sandbox, "gitlab.com") as wire:
        return wire.send(request).response()


def link(sandbox, data):
    """The target of an object's link."""
    got = json.loads(ask(sandbox, batch_body("download", (oid_of(data), len(data)))).body)["objects"][0]
    return got["actions"]["download"]["href"].removeprefix("https://gitlab.com")


def fetch(sandbox, target):
    with Wire(sandbox, "gitlab.com") as wire:
        return wire.send(get(target, host="gitlab.com")).response()


def refused(lab, reason, **fields):
    event = lab.audit.wait_one(decision="deny", reason=reason, event="git", **fields)
    assert event["service"] == "lfs" or reason == "not_git"
    return event


# ---- what must work ----

def test_clone(lab, server):
    """git-lfs gets what the pointers name; upstream sees its own signatures, the sandbox none of it."""
    work = LfsWork(lab, lab.repo)
    assert work.cloned.returncode == 0, work.cloned.stderr + lab.logs()
    for name, data in FILES.items():
        assert work.read(name) == data
    assert {s.oid for s in server.steps} == {oid_of(SMALL), oid_of(LARGE)}
    assert all(s.fields.get("x-lab") == "1" and TOKEN not in str(s.fields) for s in server.steps)
    assert all(f["authorization"] == server.authorization for _, _, f in server.batches)
    events = lab.audit.until(lambda es: sum("oid" in e for e in es) == 2, event="git", service="lfs", decision="allow")
    got = {e["oid"]: e for e in events if "oid" in e}
    assert got[oid_of(LARGE)]["bytes_down"] == len(LARGE) and got[oid_of(LARGE)]["direction"] == "download"
    assert got[oid_of(LARGE)]["repo"] == "acme/art" and "?" not in got[oid_of(LARGE)]["path"]
    assert [e["objects"] for e in events if "objects" in e] == [2]
    assert not lab.audit.events(decision="deny"), lab.audit.describe()


def test_the_explicit_route(lab, server):
    """Links lead the way that the client came, with its own token; none of them stands in a log."""
    text = lab.cordon("env", "--sandbox", lab.sandbox.guest, check=True).stdout
    env = dict(line.split("=", 1) for line in text.splitlines())
    work = LfsWork(lab, lab.repo, env=env)
    assert work.cloned.returncode == 0, work.cloned.stderr + lab.logs()
    assert work.read("large.bin") == LARGE
    events = lab.audit.until(lambda es: sum("oid" in e for e in es) == 2, event="git", service="lfs", decision="allow")
    assert {e["port"] for e in events} == {8085} and not [e for e in events if "/git/" in e["path"]]


def test_the_next_batch_waits_for_no_transfer(lab, server):
    """All transfers that the policy permits are under way, and git-lfs asks for the next objects."""
    begun, go_on = threading.Event(), threading.Event()

    def held(s):
        begun.set()
        go_on.wait(PATIENCE)
        s.sendall(Answer(type=OBJECT, body=SMALL).text())
    sandbox = lab.sandboxes["vm3"]
    target = link(sandbox, SMALL)
    server.spoil = lambda what, *a: held if what == "object" else None
    with Wire(sandbox, "gitlab.com", timeout=2 * PATIENCE) as wire:
        wire.send(get(target, host="gitlab.com"))
        assert begun.wait(PATIENCE)
        assert ask(sandbox, batch_body("download", (oid_of(LARGE), len(LARGE)))).status == 200
        go_on.set()
        assert wire.response().body == SMALL


def test_answer(lab, server):
    """The links are ours, short-lived, and all that is told."""
    done = ask(lab.sandbox, batch_body("download", (oid_of(SMALL), len(SMALL)), ("0" * 64, 5)))
    assert (done.status, done.fields["content-type"]) == (200, LFS_TYPE)
    assert not [s for s in server.secrets() if s.encode() in done.body]
    first, second = json.loads(done.body)["objects"]
    assert first["authenticated"] and "header" not in first["actions"]["download"]
    assert 0 < first["actions"]["download"]["expires_in"] <= 300
    assert second["error"]["code"] == 404 and "actions" not in second
    got = fetch(lab.sandbox, first["actions"]["download"]["href"].removeprefix("https://gitlab.com"))
    assert (got.status, got.body, got.fields["content-length"]) == (200, SMALL, str(len(SMALL)))


def test_the_credential_goes_to_its_own_host_alone(lab, server):
    """Where upstream names no authorization, objects.example gets none."""
    server.names_fields = False
    assert fetch(lab.sandbox, link(lab.sandbox, SMALL)).body == SMALL
    assert "authorization" not in server.steps[0].fields


def test_sha256_of_the_largest_is_checked_on_the_way(lab, server):
    """The last bytes wait for the hash: a wrong object is never whole."""
    server.spoil = lambda what, *a: (Answer(type="application/octet-stream", body=LARGE[:-1] + bytes([LARGE[-1] ^ 1]))
                                     if what == "object" else None)
    target = link(lab.sandbox, LARGE)
    with Wire(lab.sandbox, "gitlab.com") as wire, pytest.raises(Closed):
        wire.send(get(target, host="gitlab.com")).response()
    assert lab.audit.wait_one(event="upstream", reason="lfs_object_mismatch")["repo"] == "acme/art"


# ---- what must not ----

def test_without_lfs(lab, server):
    """lfs: false stays 501, with the sentence, and nothing is asked of upstream."""
    work = LfsWork(lab, lab.repo, sandbox=lab.sandboxes["vm2"])
    assert "lfs_not_allowed: The policy does not allow Git LFS." in work.cloned.stderr
    lab.audit.wait_one(decision="deny", reason="lfs_not_allowed", repo="acme/art", status=501)
    assert not server.batches


def test_another_sandbox_has_no_use_for_a_link(lab, server):
    target = link(lab.sandbox, SMALL)
    got = fetch(lab.sandboxes["vm1"], target)
    assert (got.status, got.reason) == (403, "lfs_link_invalid")
    refused(lab, "lfs_link_invalid", sandbox="vm1", oid=oid_of(SMALL))
    assert not server.steps
    assert fetch(lab.sandbox, target).body == SMALL


LIES = [
    ("oid", lambda t: t.replace(oid_of(SMALL), oid_of(LARGE))),
    ("repository", lambda t: t.replace("acme/art", "acme/other")),
    ("random", lambda t: t[:-1] + ("0" if t[-1] != "0" else "1")),
    ("none", lambda t: t.split("?")[0]),
    ("empty", lambda t: t.split("=")[0] + "="),
    ("more", lambda t: t + "&x=1"),
    ("capitals", lambda t: t.split("=")[0] + "=" + "A" * 32),
]


@pytest.mark.parametrize("what,lie", LIES, ids=[n for n, _ in LIES])
def test_a_link_is_good_for_what_it_says(lab, server, what, lie):
    target = lie(link(lab.sandbox, SMALL))
    got = fetch(lab.sandbox, target)
    assert (got.status, got.reason) == (403, "lfs_link_invalid")
    assert not server.steps


def test_a_link_is_used_up(lab, server):
    target = link(lab.sandbox, SMALL)
    assert fetch(lab.sandbox, target).body == SMALL
    assert fetch(lab.sandbox, target).reason == "lfs_link_invalid"
    assert len(server.steps) == 1


def test_a_link_ends_with_upstreams(lab, server):
    """expires_in of upstream bounds it; what was not used is not good any more then."""
    server.action = {"expires_in": 1}
    target = link(lab.sandbox, SMALL)
    server.spoil = lambda what, *a: Answer("500 Oops") if what == "object" else None	# does not use it up

    wait_for("the link's end", lambda: fetch(lab.sandbox, target).reason == "lfs_link_invalid")
    server.spoil = None
    assert fetch(lab.sandbox, target).reason == "lfs_link_invalid"


@pytest.mark.parametrize("step,why", [
    ({"href": "http://objects.example/x"}, "in the clear"),
    ({"href": "https://objects.example:8443/x"}, "another port"),
    ({"href": "https://93.184.216.77/x"}, "an address"),
    ({"href": "https://user@objects.example/x"}, "userinfo"),
    ({"href": "file:///etc/passwd"}, "a file"),
    ({"href": "https://objects.example/x\r\nX: y"}, "a line feed"),
    ({"header": {"Host": "github.com"}}, "a host"),
    ({"header": {"X": "a\r\nY: b"}}, "two fields"),
    ({"header": {"Range": "bytes=0-1"}}, "a part"),
    ({"header": [1]}, "no fields"),
    ({"expires_in": -1}, "over"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_steps_that_are_not_taken(lab, server, step, why):
    server.action = step
    done = ask(lab.sandbox, batch_body("download", (oid_of(SMALL), len(SMALL))))
    entry = json.loads(done.body)["objects"][0]
    assert entry["error"]["code"] == 403 and "actions" not in entry


def test_private_address(lab, server):
    """Where a step leads is dialled under the same filter as all else: here the host's own address."""
    lab.dns.set("inside.example", "10.1.2.3")
    server.action = {"href": "https://inside.example/x"}
    got = fetch(lab.sandbox, link(lab.sandbox, SMALL))
    assert (got.status, got.reason) == (403, "rebinding_blocked")
    refused(lab, "rebinding_blocked", oid=oid_of(SMALL))


def test_redirect(lab, server):
    """A redirect would take the signed fields along."""
    server.spoil = lambda what, *a: (Answer("302 Found", fields=["Location: https://github.com/acme/widgets"])
                                     if what == "object" else None)
    got = fetch(lab.sandbox, link(lab.sandbox, SMALL))
    assert (got.status, got.reason) == (403, "redirect_not_allowed")
    assert not lab.web.requests()
    refused(lab, "redirect_not_allowed", oid=oid_of(SMALL))


OBJECT = "application/octet-stream"
BROKEN = {
    "longer": (Answer(type=OBJECT, body=SMALL + b"x"), "lfs_object_mismatch"),
    "shorter": (Answer(type=OBJECT, body=SMALL[:-1]), "lfs_object_mismatch"),
    "announced longer": (Answer(type=OBJECT, body=SMALL, length=len(SMALL) + 1), "lfs_object_mismatch"),
    "a page": (Answer(type="text/html", body=b"x" * len(SMALL)), "lfs_object_mismatch"),
    "denied": (Answer("403 Forbidden", body=b"no"), "upstream_denied"),
    "gone": (Answer("404 Not Found", body=b"no"), "upstream_denied"),
    "broken": (Answer("503 Oops", body=b"no"), "upstream_unreachable"),
    "encoded": (Answer(type=OBJECT, body=SMALL, fields=["Content-Encoding: gzip"]), "upstream_unreachable"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_objects(lab, server, name):
    answer, reason = BROKEN[name]
    server.spoil = lambda what, *a: answer if what == "object" else None
    target = link(lab.sandbox, SMALL)
    with Wire(lab.sandbox, "gitlab.com") as wire:
        try:
            got = wire.send(get(target, host="gitlab.com")).response()
            assert got.status != 200 and got.reason == reason
        except Closed:
            pass
    lab.audit.wait_one(event="upstream", reason=reason)


def test_upstream_fails_in_the_middle(lab, server):
    """Half an object, then a reset: the client sees one too."""
    def cut(s):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:1 << 20])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    server.spoil = lambda what, *a: cut if what == "object" else None
    work = LfsWork(lab, lab.repo)
    assert work.cloned.returncode
    lab.audit.until(bool, event="upstream", reason="upstream_unreachable")
    target = link(lab.sandbox, LARGE)
    with Wire(lab.sandbox, "gitlab.com") as wire, pytest.raises(Closed):
        wire.send(get(target, host="gitlab.com")).response()


@pytest.mark.parametrize("secret", ["token", "field", "signature"])
def test_a_secret_that_comes_back(lab, server, secret):
    """An object that holds what opens upstream's store is cut before it."""
    def told(what, *args):
        if what != "object":
            return None
        words = {"token": TOKEN, "field": list(server.signatures.values())[-1][3].split(" ")[1],
                 "signature": list(server.signatures)[-1]}
        return Answer(type=OBJECT, body=(b"x" * (1 << 20) + words[secret].encode()).ljust(len(LARGE), b"y"))
    server.spoil = told
    target = link(lab.sandbox, LARGE)
    with Wire(lab.sandbox, "gitlab.com") as wire:
        with pytest.raises(Closed):
            wire.send(get(target, host="gitlab.com")).response()
        assert not [s for s in server.secrets() if s.encode() in wire._data]
    lab.audit.wait_one(event="upstream", reason="upstream_untrusted")


BATCHES = {
    "not JSON": b"<html>", "a list": b"[]", "no operation": b'{"objects":[{"oid":"%s","size":1}]}' % (b"0" * 64),
    "another operation": batch_body("erase", ("0" * 64, 1)), "no objects": batch_body("download"),
    "too many objects": batch_body("download", *(("0" * 64, 1) for _ in range(1001))),
    "a short id": batch_body("download", ("0" * 63, 1)), "capitals": batch_body("download", ("A" * 64, 1)),
    "a path": batch_body("download", ("../" * 21 + "x", 1)), "negative": batch_body("download", ("0" * 64, -1)),
    "too large": batch_body("download", ("0" * 64, 1 << 60)), "a text": batch_body("download", ("0" * 64, "1")),
    "another hash": batch_body("download", ("0" * 64, 1), hash_algo="md5"),
    "deep": b"[" * 100000, "deep objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "twice": b'{"operation":"download","operation":"upload","objects":[{"oid":"%s","size":1}]}' % (b"0" * 64),
}


@pytest.mark.parametrize("name", BATCHES)
def test_malformed_batches(lab, server, name):
    got = ask(lab.sandbox, BATCHES[name])
    assert (got.status, got.reason) == (400, "request_malformed")
    assert json.loads(got.body)["message"].startswith("request_malformed: ")
    refused(lab, "request_malformed")
    assert not server.batches


@pytest.mark.parametrize("path,method,status,reason", [
    ("locks", "GET", 501, "lfs_locks_not_supported"), ("locks?path=x", "GET", 501, "lfs_locks_not_supported"),
    ("locks", "POST", 501, "lfs_locks_not_supported"), ("locks/verify", "POST", 501, "lfs_locks_not_supported"),
    ("locks/1/unlock", "POST", 501, "lfs_locks_not_supported"),
    ("objects", "POST", 403, "not_git"), ("objects/" + "A" * 64, "GET", 403, "not_git"),
    ("objects/batch?x=1", "POST", 403, "not_git"), ("other", "GET", 403, "not_git"),
    ("objects/batch", "GET", 403, "method_not_allowed"), ("objects/" + "0" * 64, "POST", 403, "method_not_allowed"),
    ("objects/" + "0" * 64, "DELETE", 403, "method_not_allowed"),
    ("objects/" + "0" * 64, "PUT", 403, "push_not_allowed"),
])
def test_other_paths(lab, server, path, method, status, reason):
    got = fetch_as(lab.sandbox, method, f"/acme/art.git/info/lfs/{path}")
    assert (got.status, got.reason) == (status, reason)
    lab.audit.wait_one(decision="deny", reason=reason)
    assert not server.batches and not server.steps


def fetch_as(sandbox, method, target):
    with Wire(sandbox, "gitlab.com") as wire:
        return wire.send(get(target, f"Content-Type: {LFS_TYPE}", "Content-Length: 0", host="gitlab.com",
                             method=method)).response()


def test_locks_are_told_about(lab, server):
    """git-lfs shows the sentence."""
    work = LfsWork(lab, lab.repo)
    done = work.git("lfs", "lock", "small.bin")
    assert done.returncode and "lfs_locks_not_supported: Locks of Git LFS are not available here" in done.stderr
    lab.audit.until(bool, decision="deny", reason="lfs_locks_not_supported")


def test_a_version_of_gits_protocol_means_nothing(lab, server):
    got = ask(lab.sandbox, batch_body("download", (oid_of(SMALL), len(SMALL))), "Git-Protocol: version=2")
    assert got.status == 200 and b"actions" in got.body


def test_other_repositories(lab, server):
    got = ask(lab.sandbox, batch_body("download", (oid_of(SMALL), len(SMALL))), repo="other/art")
    assert (got.status, got.reason) == (403, "repository_not_allowed")
    refused(lab, "repository_not_allowed", repo="other/art")
    assert not server.batches


def test_pushing_needs_its_own_right(lab, server):
    got = ask(lab.sandbox, batch_body("upload", (oid_of(SMALL), len(SMALL))))
    assert (got.status, got.reason) == (403, "push_not_allowed")
    refused(lab, "push_not_allowed", direction="upload")
    assert not server.batches


def test_credentials_of_the_sandbox(lab, server):
    got = ask(lab.sandbox, batch_body("download", (oid_of(SMALL), len(SMALL))), "Authorization: Basic eDp5")
    assert (got.status, got.reason) == (403, "credential_not_allowed")
    assert not server.batches


ANSWERS = {
    "denied": (Answer("403 Forbidden", LFS_TYPE, b"{}"), "upstream_denied"),
    "no password": (Answer("401 Unauthorized", LFS_TYPE, b"{}"), "upstream_denied"),
    "redirect": (Answer("307 Moved", LFS_TYPE, b"", ["Location: https://github.com/x"]), "redirect_not_allowed"),
    "broken": (Answer("500 Oops", LFS_TYPE, b"{}"), "upstream_unreachable"),
    "no JSON": (Answer(type=LFS_TYPE, body=b"<html>"), "upstream_unreachable"),
    "no objects": (Answer(type=LFS_TYPE, body=b"{}"), "upstream_unreachable"),
    "another transfer": (Answer(type=LFS_TYPE, body=b'{"transfer":"tus","objects":[]}'), "upstream_unreachable"),
    "endless": (Answer(type=LFS_TYPE, body=b" " * (1 << 20)), "upstream_unreachable"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_upstream(lab, server, name):
    answer, reason = ANSWERS[name]
    server.spoil = lambda what, *a: answer if what == "batch" else None
    got = ask(lab.sandbox, batch_body("download", (oid_of(SMALL), len(SMALL))))
    assert got.reason == reason and got.status != 401
    refused(lab, reason, repo="acme/art")


def test_another_size(lab, server):
    """What upstream knows by another size is not linked, whatever the sandbox says of it."""
    def other(what, repo, asked):
        o = asked["objects"][0]
        return Answer(type=LFS_TYPE, body=json.dumps({"objects": [
            {"oid": o["oid"], "size": len(SMALL), "actions": {"download": {"href": "https://objects.example/x"}}}]}).encode())
    server.spoil = lambda what, *a: other(what, *a) if what == "batch" else None
    done = ask(lab.sandbox, batch_body("download", (oid_of(SMALL), 1)))
    assert json.loads(done.body)["objects"][0]["error"]["code"] == 422
