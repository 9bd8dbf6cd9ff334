"""Git LFS in pushes: objects are held, scanned, and go upstream before the references that need them."""

import contextlib
import glob
import itertools
import json
import os

import pytest

from lab import AGENT, Lab, row, write
from labgit import Answer
from labhttp import Closed, Wire, get
from lablfs import LFS_TYPE, TOKEN, LfsServer, LfsWork, batch_body, oid_of, pointer
from labnet import has_ended, wait_for
from test_credentials import Secrets
from test_lfs import SMALL, ask, assert_told_nobody, entries
from test_mirror_faults import fill, small_disk

PUSH = {"allowed_repos": ["acme/*"], "refs": ["refs/heads/**"], "max_pack_bytes": 4 << 20}
POLICY = {**AGENT, "git": {**AGENT["git"], "allowed_hosts": ["gitlab.com"], "allowed_repos": ["acme/*"], "lfs": True,
                           "push": PUSH},
          "limits": {"new_connections_per_second": 1000}}
READER = {**POLICY, "git": {k: v for k, v in POLICY["git"].items() if k != "push"}}
PLAIN = {**POLICY, "git": {**POLICY["git"], "lfs": False}}
SECRET = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"".join(
    b"MIIEpAIBAAKCAQEA%02dZ3VS5JJcds3xfn0ygWyF8PbnGy0AHB7MbzYLdZ7ZvVy7F7V\n" % i for i in range(20)) \
    + b"-----END RSA PRIVATE KEY-----\n"
_names = itertools.count(1)


@pytest.fixture(scope="module")
def lab(world):
    """vm0 and vm1 may push, vm2 only read, vm3 push without LFS."""
    with Lab(world, profiles={"agent": POLICY, "reader": READER, "plain": PLAIN}) as lab:
        lab.configure({"hosts": LfsServer.CONFIG, "credentials": entries(Secrets(lab)),
                       "git": {"upstream_ca_file": world.ca_file}})
        lab.up()
        lab.add_sandbox()
        lab.add_sandbox("vm1")
        lab.add_sandbox("vm2", "reader")
        lab.add_sandbox("vm3", "plain")
        lab.server = LfsServer(lab)
        yield lab
        assert not lab.problems(), lab.problems()
        assert_told_nobody(lab)


@pytest.fixture
def server(lab):
    lab.server.reset()
    lab.renew(f"-{next(_names)}")
    lab.audit.mark()
    return lab.server


@pytest.fixture
def repo(server):
    return server.repository(f"acme/art{next(_names)}", {"small.bin": SMALL})


def made(lab, repo, files, sandbox=None):
    """A clone with one more commit on the branch new: files are {path: bytes}."""
    work = LfsWork(lab, repo, sandbox=sandbox)
    assert work.cloned.returncode == 0, work.cloned.stderr + lab.logs()
    work.must("checkout", "-q", "-b", "new")
    for path, data in files.items():
        work.write(path, data)
    work.must("add", ".")
    work.must("commit", "-q", "-m", "x")
    return work


def bring(sandbox, repo, data, size=None, oid=None, **kw):
    """An object by hand: its batch, the PUT; the response, and its target."""
    oid = oid or oid_of(data)
    got = json.loads(ask(sandbox, batch_body("upload", (oid, len(data) if size is None else size)),
                         repo=repo.name).body)["objects"][0]
    target = got["actions"]["upload"]["href"].removeprefix("https://gitlab.com")
    return put(sandbox, target, data, **kw), target


def put(sandbox, target, data, *fields):
    with Wire(sandbox, "gitlab.com") as wire:
        return wire.send(get(target, "Content-Type: application/octet-stream", f"Content-Length: {len(data)}", *fields,
                             host="gitlab.com", method="PUT") + data).response()


def held(lab):
    return sorted(glob.glob(f"{lab.dir}/state/mirrors/lfs/*"))


def begun(lab, size):
    """Of what is held, that which has come so far; it may go while we look."""
    found = []
    for path in held(lab):
        with contextlib.suppress(FileNotFoundError):
            found += [path] * (os.stat(path).st_size == size)
    return found


# ---- what must work ----

def test_push(lab, server, repo):
    """Objects first, then the reference; upstream has them, and the gateway holds nothing any more."""
    large = os.urandom(3 << 20)
    work = made(lab, repo, {"large.bin": large, "again.bin": SMALL, "new.bin": b"another\n"})
    before = held(lab)
    server.steps.clear()
    done = work.git("push", "origin", "new")
    assert done.returncode == 0, done.stderr + lab.logs()
    assert repo.tip("new") == work.must("rev-parse", "HEAD").strip()
    assert server.store[repo.name, oid_of(large)] == large
    assert sorted(s.oid for s in server.steps) == sorted([oid_of(large), oid_of(b"another\n")])
    assert {t[1] for t in server.told} == {oid_of(large), oid_of(b"another\n")}
    assert held(lab) == before
    events = lab.audit.until(lambda es: len(es) == 2, event="lfs")
    assert {(e["oid"], e["size"], e["direction"], e["outcome"]) for e in events} == {
        (oid_of(d), len(d), "upload", "forwarded") for d in (large, b"another\n")}
    assert lab.audit.wait_one(event="push")["outcome"] == "forwarded"
    assert not lab.audit.events(decision="deny", event="push")
    again = LfsWork(lab, repo, "-c", "init.defaultBranch=x")
    again.must("checkout", "-q", "new")
    assert again.read("large.bin") == large


def test_nothing_goes_before_the_push(lab, server, repo):
    """An upload alone reaches nobody."""
    before = len(held(lab))
    got, target = bring(lab.sandbox, repo, b"held\n")
    assert (got.status, got.body) == (200, b"")
    assert not server.steps and (repo.name, oid_of(b"held\n")) not in server.store
    assert len(held(lab)) == before + 1
    with Wire(lab.sandbox, "gitlab.com") as wire:
        body = json.dumps({"oid": oid_of(b"held\n"), "size": 5}).encode()
        verified = wire.send(get(target.replace("?", "/verify?"), f"Content-Type: {LFS_TYPE}",
                                 f"Content-Length: {len(body)}", host="gitlab.com", method="POST") + body).response()
    assert verified.status == 200
    event = lab.audit.wait_one(event="git", decision="allow", method="PUT")
    assert (event["oid"], event["direction"], event["bytes_up"]) == (oid_of(b"held\n"), "upload", 5)


def test_what_upstream_has_need_not_be_brought(lab, server, repo):
    got = json.loads(ask(lab.sandbox, batch_body("upload", (oid_of(SMALL), len(SMALL))), repo=repo.name).body)
    assert "actions" not in got["objects"][0] and "error" not in got["objects"][0]


def test_locks_do_not_hinder(lab, server, repo):
    """git-lfs asks for locks before a push, and goes on without."""
    work = made(lab, repo, {"a.bin": b"a\n"})
    done = work.git("-c", f"lfs.{repo.url}.git/info/lfs.locksverify=true", "push", "origin", "new")
    assert done.returncode == 0, done.stderr


def test_without_lfs_pointers_are_plain_files(lab, server, repo):
    """lfs: false: nothing is uploaded, and what the push says of objects is not looked at."""
    sandbox = lab.sandboxes["vm3"]
    assert sandbox.git("clone", "-q", repo.url, "plain", env={"GIT_LFS_SKIP_SMUDGE": "1"}).returncode == 0
    with open(f"{sandbox.dir}/home/plain/x.bin", "w") as f:
        f.write(pointer(b"nowhere"))
    assert sandbox.git("-C", "plain", "add", ".").returncode == 0
    done = sandbox.git("-C", "plain", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x")
    assert done.returncode == 0, done.stderr
    done = sandbox.git("-C", "plain", "push", "--no-verify", "-q", "origin", "HEAD:refs/heads/plain")
    assert done.returncode == 0, done.stderr


# ---- what must not ----

@row("D6", families=(4,))
def test_a_secret_in_an_object(lab, server, repo):
    """The upload is refused with what was found; so is a push that goes on without it."""
    work, before = made(lab, repo, {"key.bin": SECRET}), held(lab)
    server.steps.clear()
    done = work.git("push", "origin", "new")
    assert done.returncode and "secret_detected" in done.stderr and "private-key in line " in done.stderr
    assert b"MIIEpAIBAAKCAQEA" not in done.stderr.encode()
    event = lab.audit.wait_one(decision="deny", reason="secret_detected", event="git")
    assert (event["oid"], event["direction"]) == (oid_of(SECRET), "upload")
    told = lab.audit.wait_one(event="upstream", reason="secret_detected")
    assert "private-key" in told["outcome"]
    done = work.git("push", "--no-verify", "origin", "new")
    assert done.returncode and "lfs_object_missing" in done.stderr and oid_of(SECRET) in done.stderr
    assert not server.steps and held(lab) == before and repo.git("for-each-ref", "refs/heads/new") == ""


@row("D6", families=(4,))
def test_a_pointer_without_its_object(lab, server, repo):
    work = made(lab, repo, {"a.bin": b"never brought\n"})
    done = work.git("push", "--no-verify", "origin", "new")
    assert done.returncode and "lfs_object_missing" in done.stderr and oid_of(b"never brought\n") in done.stderr
    assert repo.git("for-each-ref", "refs/heads/new") == ""
    assert lab.audit.wait_one(event="push", decision="deny")["reason"] == "lfs_object_missing"


def test_an_object_of_another_sandbox(lab, server, repo):
    """What vm1 brought helps no push of vm0."""
    got, _ = bring(lab.sandboxes["vm1"], repo, b"of vm1\n")
    assert got.status == 200
    work = made(lab, repo, {"a.bin": b"of vm1\n"})
    done = work.git("push", "--no-verify", "origin", "new")
    assert done.returncode and "lfs_object_missing" in done.stderr
    assert (repo.name, oid_of(b"of vm1\n")) not in server.store


def test_an_object_of_another_repository(lab, server, repo):
    other = server.repository(f"acme/other{next(_names)}")
    got, _ = bring(lab.sandbox, other, b"of another\n")
    assert got.status == 200
    work = made(lab, repo, {"a.bin": b"of another\n"})
    done = work.git("push", "--no-verify", "origin", "new")
    assert done.returncode and "lfs_object_missing" in done.stderr


LIES = {
    "longer": dict(data=b"x" * 11, size=10), "shorter": dict(data=b"x" * 9, size=10),
    "other bytes": dict(data=b"x" * 10, oid=oid_of(b"y" * 10)),
}


@pytest.mark.parametrize("lie", LIES)
def test_objects_that_are_not_what_they_say(lab, server, repo, lie):
    before = held(lab)
    got, target = bring(lab.sandbox, repo, **LIES[lie])
    assert (got.status, got.reason) == (422, "lfs_object_mismatch")
    assert held(lab) == before
    lab.audit.wait_one(decision="deny", reason="lfs_object_mismatch", event="git")
    body = b"{}"
    with Wire(lab.sandbox, "gitlab.com") as wire:
        verified = wire.send(get(target.replace("?", "/verify?"), f"Content-Type: {LFS_TYPE}", "Content-Length: 2",
                                 host="gitlab.com", method="POST") + body).response()
    assert verified.reason == "lfs_object_missing"


def test_a_link_of_another_sandbox(lab, server, repo):
    _, target = bring(lab.sandbox, repo, b"mine\n")
    got = put(lab.sandboxes["vm1"], target, b"mine\n")
    assert (got.status, got.reason) == (403, "lfs_link_invalid")
    lab.audit.wait_one(decision="deny", reason="lfs_link_invalid", sandbox="vm1")


def test_a_link_one_way(lab, server, repo):
    """One to bring an object by gives none, and back."""
    _, target = bring(lab.sandbox, repo, b"one way\n")
    with Wire(lab.sandbox, "gitlab.com") as wire:
        assert wire.send(get(target, host="gitlab.com")).response().reason == "lfs_link_invalid"


def test_too_large(lab, server, repo):
    got = json.loads(ask(lab.sandbox, batch_body("upload", ("0" * 64, (4 << 20) + 1)), repo=repo.name).body)
    assert got["objects"][0]["error"]["code"] == 413


def test_who_may_only_read(lab, server, repo):
    got = ask(lab.sandboxes["vm2"], batch_body("upload", (oid_of(b"x"), 1)), repo=repo.name)
    assert (got.status, got.reason) == (403, "push_not_allowed")
    assert not server.batches


def test_an_upload_that_breaks_off(lab, server, repo):
    """Half an object leaves nothing."""
    got = json.loads(ask(lab.sandbox, batch_body("upload", (oid_of(b"x" * 100), 100)), repo=repo.name).body)["objects"][0]
    target = got["actions"]["upload"]["href"].removeprefix("https://gitlab.com")
    with Wire(lab.sandbox, "gitlab.com") as wire:
        wire.send(get(target, "Content-Length: 100", host="gitlab.com", method="PUT") + b"x" * 50)
        wait_for("half of it", lambda: begun(lab, 50))
    wait_for("nothing left", lambda: not begun(lab, 50))


UPSTREAM = {
    "refuses the object": lambda what, *a: Answer("507 Full") if what == "object" and a[0] == "PUT" else None,
    "redirects it": lambda what, *a: Answer("307 Moved", fields=["Location: https://github.com/acme/widgets"])
                    if what == "object" and a[0] == "PUT" else None,
    "refuses to say": lambda what, *a: Answer("500 Oops") if what == "batch" else None,
}


@pytest.mark.parametrize("how", UPSTREAM)
def test_upstream(lab, server, repo, how):
    """No reference goes when an object did not; the next push brings both."""
    work = made(lab, repo, {"a.bin": how.encode()})
    got, _ = bring(lab.sandbox, repo, how.encode())
    assert got.status == 200
    server.spoil = UPSTREAM[how]
    done = work.git("push", "--no-verify", "origin", "new")
    assert done.returncode and repo.git("for-each-ref", "refs/heads/new") == ""
    assert "upstream_unreachable" in done.stderr or "redirect_not_allowed" in done.stderr, done.stderr
    assert not lab.web.requests()
    server.spoil = None
    done = work.git("push", "--no-verify", "origin", "new")
    assert done.returncode == 0, done.stderr
    assert server.store[repo.name, oid_of(how.encode())] == how.encode()


def test_a_scanner_that_died(lab, server, repo):
    """No word of the scanner is no clean one; the next upload finds a new one."""
    killed = lab.signal("cordon-scan")
    wait_for("its end", lambda: all(map(has_ended, killed)))
    got, _ = bring(lab.sandbox, repo, b"after that\n")
    assert got.status == 200


@row("C11", families=(4,))
def test_an_upload_that_never_ends(world):
    """A byte now and then is no silence: it ends when its total time is over, whatever comes."""
    with Lab(world, profiles={"agent": POLICY}) as lab:
        lab.configure({"hosts": LfsServer.CONFIG, "credentials": entries(Secrets(lab)),
                       "git": {"upstream_ca_file": world.ca_file, "timeouts": {"total": "5s", "idle": "1h"}}})
        text = open(lab.config_file).read()		# times stand without quotes
        write(lab.config_file, text.replace('"5s"', "5s").replace('"1h"', "1h"))
        lab.up()
        lab.add_sandbox()
        lab.server = LfsServer(lab)
        repo = lab.server.repository("acme/endless")
        got = ask(lab.sandbox, batch_body("upload", (oid_of(b"x" * 100000), 100000)), repo=repo.name)
        target = json.loads(got.body)["objects"][0]["actions"]["upload"]["href"].removeprefix("https://gitlab.com")
        with Wire(lab.sandbox, "gitlab.com") as wire:
            wire.send(get(target, "Content-Length: 100000", host="gitlab.com", method="PUT") + b"x")
            wire.socket.settimeout(0.02)

            def over():
                wire.send(b"x")
                try:
                    wire.response()
                except TimeoutError:
                    return False
                except Closed:
                    return True
                return True
            wait_for("the end of it", over)
        assert lab.audit.wait_one(event="git", decision="deny", method="PUT")["reason"] == "deadline_exceeded"
        wait_for("nothing left", lambda: not held(lab))


def test_full_disk(world):
    """What does not fit is refused and gone, objects and packs alike; with room again both pass."""
    with Lab(world, profiles={"agent": POLICY}) as lab:
        lab.configure({"hosts": LfsServer.CONFIG, "credentials": entries(Secrets(lab)), "git": {"upstream_ca_file": world.ca_file}})
        lab.mirrors = f"{lab.dir}/state/mirrors"
        small_disk(lab)
        lab.up()
        lab.add_sandbox()
        lab.server = LfsServer(lab)
        repo, data = lab.server.repository("acme/full"), os.urandom(3 << 20)
        work = made(lab, repo, {"plain": data, "a.bin": data[1:]})
        fill(lab, 1 << 20)
        lab.audit.mark()
        got, _ = bring(lab.sandbox, repo, data[1:])
        assert (got.status, got.reason) == (503, "unavailable"), got
        lab.audit.wait_one(event="git", decision="deny", reason="unavailable")
        assert not glob.glob(f"{lab.mirrors}/lfs/*")
        done = work.git("push", "--no-verify", "origin", "new")
        assert done.returncode and "unavailable: the gateway has no room for the pack" in done.stderr, done.stderr
        lab.audit.wait_one(event="push", decision="deny", reason="unavailable")
        assert not glob.glob(f"{lab.mirrors}/push/*") and not repo.git("for-each-ref", "refs/heads/new")
        os.unlink(f"{lab.mirrors}/ballast")
        done = work.git("push", "origin", "new")
        assert done.returncode == 0, done.stderr + lab.logs()
        assert lab.server.store[repo.name, oid_of(data[1:])] == data[1:]
        assert not lab.problems(), lab.problems()


def test_secrets_stay(lab, server, repo):
    """What the credential is stands in no answer."""
    got = ask(lab.sandbox, batch_body("upload", (oid_of(b"x"), 1)), repo=repo.name)
    assert not [s for s in [TOKEN, *server.secrets()] if s.encode() in got.body]
