"""Pushing through the gate: what a policy lets pass reaches upstream as it is, the rest is refused in git's own words.

Rows D9 and C6 of the threats. vm0 may create and move what REFS names, vm1 everything, vm2 may move but not create.
"""

import glob
import itertools
import os
import shutil

import pytest

from lab import row
from labhttp import FLUSH, Wire, info_refs, post
from labobjects import change, pack
from labpush import (CAPS, FREE, HOST, RECEIVE, ZERO, Work, commands, create, forwarded, lines_of, policy, push_lab,
                     push_raw, raw, refused)

PROFILES = {"agent": policy("host_mirror"), "free": policy("upstream", **FREE),
            "narrow": policy("host_mirror", create=False, refs=["refs/heads/*"], options=False)}
BAD = {"ref_not_allowed", "request_malformed"}
AGENT, MAIN = "refs/heads/agent/x", "refs/heads/main"
_count = itertools.count(1)


@pytest.fixture(scope="module")
def lab(world):
    with push_lab(world, PROFILES) as lab:
        yield lab


@pytest.fixture
def repo(lab):
    """A repository of the test's own."""
    lab.forge.reset()
    lab.audit.mark()
    repo = lab.forge.repository(f"acme/p{next(_count)}")
    yield repo
    repo.remove()


@pytest.fixture
def free(lab):
    return lab.sandboxes["vm1"]


@pytest.fixture
def narrow(lab):
    return lab.sandboxes["vm2"]


# ---- what passes ----

@pytest.mark.parametrize("vm", ["vm0", "vm1"])
def test_branch(lab, repo, vm):
    """By git: a new branch, then more on it; the objects and names upstream are the client's."""
    work = Work(lab, repo, sandbox=lab.sandboxes[vm])
    first = work.commit()
    lab.audit.mark()
    done = work.push("HEAD:agent/x")
    assert done.returncode == 0 and "* [new branch]      HEAD -> agent/x" in done.stderr, done.stderr + lab.logs()
    assert repo.refs()[AGENT] == first
    event = forwarded(lab, repo)
    assert event["commands"] == [{"ref": AGENT, "old": "", "new": first, "op": "create", "result": "ok"}]
    assert event["objects"] == 3 and event["bytes_up"] > 0 and event["sandbox"] == vm
    lab.audit.mark()
    second = work.commit()
    done = work.push("HEAD:agent/x")
    assert done.returncode == 0 and f"{first[:7]}..{second[:7]}" in done.stderr, done.stderr
    assert forwarded(lab, repo)["commands"][0]["op"] == "update"
    assert repo.refs()[AGENT] == second and repo.git("fsck", "--strict") == ""
    assert "remote:" not in done.stderr.replace("remote: cordon:", ""), "nothing is said but by ourselves"


def test_seen_at_once(lab, repo):
    """Who pushes sees it: ls-remote, fetch and clone right after, by whoever may read."""
    work, other = Work(lab, repo), Work(lab, repo, sandbox=lab.sandboxes["vm2"])
    for n in range(3):
        new = work.commit()
        assert work.push("HEAD:agent/x").returncode == 0
        assert work.must("ls-remote", "origin", AGENT).split() == [new, AGENT]
        other.must("fetch", "-q", "origin", "agent/x")
        assert other.must("rev-parse", "FETCH_HEAD") == new
    cloned = Work(lab, repo, "--branch", "agent/x", sandbox=lab.sandboxes["vm1"])
    assert cloned.must("rev-parse", "HEAD") == new


def test_tags_and_notes(lab, repo):
    work = Work(lab, repo)
    work.commit()
    work.must("tag", "-a", "-m", "said", "v1")
    work.must("tag", "light")
    work.must("notes", "add", "-m", "noted")
    done = work.push("HEAD:agent/x", "v1", "light", "refs/notes/commits")
    assert done.returncode == 0, done.stderr
    assert {AGENT, "refs/tags/v1", "refs/tags/light", "refs/notes/commits"} <= set(repo.refs())
    assert repo.refs()["refs/tags/v1"] == work.must("rev-parse", "v1")
    assert {c["op"] for c in forwarded(lab, repo)["commands"]} == {"create"}


def test_follow_tags_and_all_of_a_history(lab, repo):
    """Merges, renames, modes and links, in one push of many commits."""
    work = Work(lab, repo)
    work.commit({"a/b/c": "x" * 100, "run": "#!/bin/sh\n"})
    work.must("update-index", "--chmod=+x", "run")
    work.sandbox.run(["ln", "-s", "a/b/c", f"{work.path}/link"], check=True)
    work.commit({"d": "y"})
    work.must("checkout", "-q", "-b", "side", "HEAD~1")
    work.commit({"e": "z"})
    work.must("checkout", "-q", "main")
    work.must("merge", "-q", "--no-ff", "-m", "both", "side")
    work.must("mv", "a", "moved")
    work.commit({})
    work.must("tag", "-a", "-m", "said", "v2")
    done = work.push("--follow-tags", "HEAD:agent/x")
    assert done.returncode == 0, done.stderr
    assert repo.git("rev-list", "--count", AGENT) == "8" and "refs/tags/v2" in repo.refs()
    assert repo.git("fsck", "--strict") == ""


def test_push_options(lab, repo):
    work = Work(lab, repo)
    work.commit()
    done = work.push("HEAD:agent/x", "-oci.skip", "-o=", "--push-option=topic=it's \u00fc\\n")
    assert done.returncode == 0, done.stderr
    told = repo.ran()
    assert "GIT_PUSH_OPTION_COUNT=3" in told and "GIT_PUSH_OPTION_0=ci.skip" in told
    assert "GIT_PUSH_OPTION_2=topic=it's \u00fc\\n" in told


@row("D8")
def test_push_options_are_refused(lab, repo, narrow):
    """Unless the policy takes them: GitLab merges by them, past every pattern of refs."""
    work = Work(lab, repo, sandbox=narrow)
    new = work.commit()
    with refused(lab, repo, "capability_not_allowed"):
        done = work.push("HEAD:main", "-omerge_request.create", "-omerge_request.merge_when_pipeline_succeeds")
        assert done.returncode == 1 and "the policy takes no push options" in done.stderr, done.stderr
    assert work.push("HEAD:main").returncode == 0 and repo.refs()[MAIN] == new


def test_upstream_says_and_rejects(lab, repo):
    """What its hooks say is shown, cleaned; what it rejects is told as its own."""
    repo.will(do="say", text="see https://ci.example/1\n\x1b[31mred\x1b[0m \u009b\n")
    work = Work(lab, repo)
    work.commit()
    done = work.push("HEAD:agent/x")
    assert done.returncode == 0 and "remote: see https://ci.example/1" in done.stderr, done.stderr
    assert "\x1b[31m" not in done.stderr and "\u009b" not in done.stderr
    repo.will(do="exit")
    forwarded(lab, repo)
    lab.audit.mark()
    work.commit()
    before = repo.refs()
    done = work.push("HEAD:agent/x")
    assert done.returncode and "! [remote rejected] HEAD -> agent/x (pre-receive hook declined)" in done.stderr
    event, = lab.audit.wait(event="push", repo=repo.name)
    assert event["outcome"] == "upstream_rejected" and repo.refs() == before
    assert event["commands"][0]["result"] != "ok"


def test_atomic(lab, repo, free):
    """Upstream hears of it: one ref that it does not move, none moves."""
    old = repo.tip()
    moved = repo.commit()
    lab.audit.mark()
    objects = change(old)
    body = commands((ZERO, objects[0].id, AGENT), (old, objects[0].id, MAIN), caps=f"{CAPS} atomic") + pack(*objects)
    report = push_raw(lab, repo, body, sandbox=free)
    assert set(report.refs) == {AGENT, MAIN} and "ok" not in report.refs.values(), report
    event, = lab.audit.wait(event="push", repo=repo.name)
    assert event["outcome"] == "upstream_rejected" and AGENT not in repo.refs() and repo.tip() == moved
    work = Work(lab, repo, sandbox=free)
    work.commit()
    assert work.push("--atomic", "HEAD:agent/x", "HEAD:agent/y").returncode == 0
    assert {AGENT, "refs/heads/agent/y"} <= set(repo.refs())


def test_force_with_lease(lab, repo, free):
    """Only as long as upstream has what the client saw."""
    work = Work(lab, repo, sandbox=free)
    work.must("commit", "-q", "--amend", "-m", "anew")
    assert work.push("HEAD:main").returncode			# the client itself
    seen = work.must("rev-parse", "origin/main")
    done = work.push("HEAD:main", "--force-with-lease")
    assert done.returncode == 0 and "(forced update)" in done.stderr, done.stderr
    assert lab.audit.wait(event="push", repo=repo.name)[-1]["commands"][0]["op"] == "force"
    repo.commit()
    work.must("commit", "-q", "--amend", "-m", "and again")
    done = work.push("HEAD:main", f"--force-with-lease=main:{seen}")
    assert done.returncode and "stale info" in done.stderr


def test_delete(lab, repo, free):
    """Without a pack; with other refs in one push."""
    repo.git("branch", "gone", "main")
    repo.git("branch", "gone2", "main")
    work = Work(lab, repo, sandbox=free)
    lab.audit.mark()
    done = work.push(":gone")
    assert done.returncode == 0 and "[deleted]         gone" in done.stderr, done.stderr
    assert forwarded(lab, repo)["commands"][0]["op"] == "delete"
    work.commit()
    done = work.push(":gone2", "HEAD:agent/x")
    assert done.returncode == 0, done.stderr
    assert set(repo.refs()) == {MAIN, AGENT}
    assert work.push(":nowhere").returncode


def test_many_refs(lab, free):
    """Thousands at once, made and deleted."""
    repo = lab.forge.repository("acme/many", hooks=())		# git runs one for each
    lab.audit.mark()
    tip, n = repo.tip(), 2000
    names = [f"refs/heads/many/{i:05}" for i in range(n)]
    report = push_raw(lab, repo, commands(*((ZERO, tip, name) for name in names)) + pack(), sandbox=free)
    assert report.unpack == "ok" and report.refs == dict.fromkeys(names, "ok")
    assert len(repo.refs()) == n + 1
    event = forwarded(lab, repo)
    assert len(event["commands"]) == 64 and event["n_commands"] == n
    work = Work(lab, repo, "--single-branch", sandbox=free)
    done = work.push("--quiet", *(f":{name}" for name in names[:500]))
    assert done.returncode == 0 and len(repo.refs()) == n - 499, done.stderr
    repo.remove()


def test_nothing_to_do(lab, repo):
    """Everything up to date: no push at all, upstream or in the audit."""
    work = Work(lab, repo)
    lab.audit.mark()
    done = work.push("main:main")
    assert done.returncode == 0 and "Everything up-to-date" in done.stderr
    assert not lab.audit.events(event="push", repo=repo.name) and not lab.forge.posts(repo)


def test_empty_repository(lab, repo, free):
    """The first push of all."""
    repo.git("update-ref", "-d", MAIN)
    objects = change()
    report = push_raw(lab, repo, create(repo, objects, MAIN), sandbox=free)
    assert report.refs == {MAIN: "ok"} and repo.refs() == {MAIN: objects[0].id}
    assert Work(lab, repo, sandbox=free).must("rev-parse", "HEAD") == objects[0].id


def test_sha256(lab):
    repo = lab.forge.repository("acme/wide", format="sha256")
    lab.audit.mark()
    work = Work(lab, repo)
    new = work.commit()
    done = work.push("HEAD:agent/x")
    assert len(new) == 64 and done.returncode == 0, done.stderr
    assert repo.refs()[AGENT] == new and repo.git("fsck", "--strict") == ""
    assert forwarded(lab, repo)["commands"][0]["new"] == new
    with refused(lab, repo, "ref_not_allowed"):
        assert work.push("HEAD:main").returncode
    repo.remove()


def test_thin_pack(lab, repo):
    """A delta over what upstream has; what the mirror does not know yet is fetched first."""
    repo.git("fast-import", "--quiet", "--force", input=(
        f"commit refs/heads/big\ncommitter A <a@lab.invalid> 1800000000 +0000\ndata 1\nx\n"
        f"from {repo.tip()}\nM 100644 inline big\ndata 200000\n{'0123456789' * 20000}\n"))
    work = Work(lab, repo)
    work.must("checkout", "-q", "big")
    work.commit({"big": "0123456789" * 20000 + "more"})
    done = work.push("HEAD:agent/x")
    assert done.returncode == 0, done.stderr
    assert forwarded(lab, repo)["bytes_up"] < 5000
    repo.commit("big")				# by somebody else: nobody here has it
    new = Work(lab, repo, "--branch", "big", sandbox=lab.sandboxes["vm1"])
    new.commit({"big": "0123456789" * 20000 + "most"})
    done = new.push("HEAD:agent/y")
    assert done.returncode == 0, done.stderr
    assert repo.git("fsck", "--strict") == ""


def test_large_and_chunked(lab, repo):
    """Over git's 1 MiB, with its probe before; bytes that do not compress."""
    work = Work(lab, repo)
    with open(f"{work.path}/noise", "wb") as f, open("/dev/urandom", "rb") as r:
        f.write(r.read(3 << 20))
    new = work.commit({})
    done = work.push("HEAD:agent/x", env={"GIT_CURL_VERBOSE": "1"})
    assert done.returncode == 0 and "transfer-encoding: chunked" in done.stderr.lower(), done.stderr
    assert repo.refs()[AGENT] == new
    assert forwarded(lab, repo)["bytes_up"] > 3 << 20


@row("C6")
@pytest.mark.parametrize("chunked", [False, True])
def test_probe(lab, repo, chunked):
    """Four bytes that ask whether one may come in: yes, and upstream does not hear of it."""
    up = lab.forge.relay.up
    got = raw(lab, repo, FLUSH, chunked=chunked)
    assert (got.status, got.body) == (200, b"") and lab.forge.relay.up == up
    assert not lab.audit.events(event="push", repo=repo.name) and not lab.audit.events(decision="deny", repo=repo.name)


def test_expect_continue(lab, repo):
    """libgit2's way."""
    body = create(repo, change(repo.tip()))
    with Wire(lab.sandbox, HOST) as wire:
        wire.send(post(f"{repo.name}.git", b"", "Transfer-Encoding: chunked", "Expect: 100-continue", service=RECEIVE,
                       length=False, host=HOST, protocol=0))
        assert wire.response().status == 100
        got = wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)).response()
        assert got.status == 200 and AGENT in repo.refs()
        again = wire.send(info_refs(f"{repo.name}.git", service=RECEIVE, host=HOST)).response()
        assert again.status == 200 and AGENT.encode() in again.body, "the connection goes on"


# ---- the advertisement ----

CAPABILITIES = {"report-status", "delete-refs", "side-band-64k", "quiet", "atomic", "ofs-delta",
                "push-options"}


def advertised(lab, repo, **kw):
    with Wire(kw.get("sandbox") or lab.sandbox, HOST) as wire:
        got = wire.send(info_refs(f"{repo.name}.git", service=RECEIVE, host=HOST)).response()
    assert got.status == 200 and got.fields["content-type"] == f"application/x-{RECEIVE}-advertisement"
    assert got.fields["cache-control"] == "no-cache, max-age=0, must-revalidate"
    lines = lines_of(got.body)
    assert lines[:2] == [b"# service=git-receive-pack\n", None] and lines[-1] is None and None not in lines[2:-1]
    first, caps = lines[2].rstrip(b"\n").split(b"\0")
    return [line.rstrip(b"\n").decode() for line in [first, *lines[3:-1]]], caps.decode().split()


def test_advertisement(lab, repo):
    """Upstream's refs, and of its capabilities those that the gate keeps."""
    refs, caps = advertised(lab, repo)
    assert refs == [f"{repo.tip()} {MAIN}"]
    plain = {c for c in caps if "=" not in c}
    assert {"report-status", "side-band-64k", "delete-refs"} <= plain <= CAPABILITIES
    assert {c.split("=")[0] for c in caps} - plain == {"agent", "object-format"}
    assert "object-format=sha1" in caps and next(c for c in caps if c[:6] == "agent=").startswith("agent=git/cordon-")
    repo.git("config", "receive.certNonceSeed", "seed")
    repo.git("config", "receive.advertiseAtomic", "false")
    repo.git("config", "receive.advertisePushOptions", "false")
    refs, caps = advertised(lab, repo)
    assert not {"atomic", "push-options"} & set(caps) and not any("push-cert" in c for c in caps)


def test_no_have_lines(lab, repo):
    """What other repositories of the server have is not told."""
    other = lab.forge.repository("other/shared")
    other.commit()
    with open(f"{repo.path}/objects/info/alternates", "w") as f:
        f.write(f"{other.path}/objects\n")
    refs, _ = advertised(lab, repo)
    assert [r.split()[1] for r in refs] == [MAIN]
    other.remove()


def test_advertisement_is_fresh(lab, repo):
    for _ in range(3):
        tip = repo.commit()
        assert advertised(lab, repo)[0] == [f"{tip} {MAIN}"]


# ---- what is refused: which refs, and what is done with them ----

def test_words_of_a_refusal(lab, repo):
    """As git shows it best: the ref, the reason, and what would be allowed."""
    work = Work(lab, repo)
    work.commit()
    with refused(lab, repo, "ref_not_allowed") as events:
        done = work.push("HEAD:main")
        assert done.returncode == 1
    assert ("! [remote rejected] HEAD -> main (ref_not_allowed: allowed are refs/heads/agent/*, "
            "refs/notes/**, refs/tags/*)") in done.stderr, done.stderr
    assert "error: failed to push some refs" in done.stderr
    command, = events[0]["commands"]
    assert (command["ref"], command["op"]) == (MAIN, "update") and command["result"] == "ref_not_allowed"


def moves(repo):
    """name: (old, new, objects) of each kind of command upon main."""
    tip, first = repo.tip(), repo.git("rev-parse", "main~2")
    up, aside = change(tip), change(first)
    return {"update": (tip, up[0].id, up), "force": (tip, aside[0].id, aside), "back": (tip, first, []),
            "delete": (tip, ZERO, None)}


@pytest.mark.parametrize("kind, reason", [("update", None), ("force", "force_not_allowed"), ("back", "force_not_allowed"),
                                          ("delete", "delete_not_allowed")])
def test_rights(lab, repo, narrow, free, kind, reason):
    """Each is a right of its own. vm2 may move forwards and nothing else; vm1 all."""
    old, new, objects = moves(repo)[kind]
    body = commands((old, new, MAIN)) + (b"" if objects is None else pack(*objects))
    if reason:
        with refused(lab, repo, reason):
            assert push_raw(lab, repo, body, sandbox=narrow).why() == reason
    else:
        assert push_raw(lab, repo, body, sandbox=narrow).refs == {MAIN: "ok"}
        forwarded(lab, repo)
        return
    lab.audit.mark()
    assert push_raw(lab, repo, body, sandbox=free).refs == {MAIN: "ok"}
    forwarded(lab, repo)


def test_create_is_a_right(lab, repo, narrow):
    with refused(lab, repo, "ref_not_allowed"):
        report = push_raw(lab, repo, create(repo, change(repo.tip()), "refs/heads/new"), sandbox=narrow)
    assert report.why() == "ref_not_allowed" and "none created" in report.refs["refs/heads/new"]


def test_old_value_that_lies(lab, repo, narrow):
    """A forced update is one whatever the client says was there before: upstream compares."""
    tip, first = repo.tip(), repo.git("rev-parse", "main~2")
    aside = change(first)
    for old in (first, ZERO):
        lab.audit.mark()
        report = push_raw(lab, repo, commands((old, aside[0].id, MAIN)) + pack(*aside), sandbox=narrow)
        assert report.refs[MAIN] != "ok" and repo.tip() == tip
        event, = lab.audit.wait(event="push", repo=repo.name)
        assert event["outcome"] in ("rejected", "upstream_rejected")


@row("D4")
@pytest.mark.parametrize("order", [0, 1, 2])
def test_one_bad_among_good(lab, repo, order):
    """CVE-2025-54583: each is judged, wherever it stands, and none is forwarded."""
    objects = change(repo.tip())
    rows = [(ZERO, objects[0].id, "refs/heads/agent/a"), (ZERO, objects[0].id, "refs/tags/a")]
    rows.insert(order, (repo.tip(), objects[0].id, MAIN))
    with refused(lab, repo, "ref_not_allowed") as events:
        report = push_raw(lab, repo, commands(*rows) + pack(*objects))
    assert report.refs.pop(MAIN).startswith("ref_not_allowed")
    assert set(report.refs.values()) == {"not pushed: another ref of this push was refused"}
    assert len(events[0]["commands"]) == 3


BAD_NAMES = [
    "HEAD", "refs/heads", "main", "agent/x", "refs/heads/agent/", "refs//heads/agent/x", "/refs/heads/agent/x",
    "refs/heads/agent/../main", "refs/heads/agent/..", "refs/heads/agent/x.lock", "refs/heads/agent/.x",
    "refs/heads/agent/a..b", "refs/heads/agent/x~1", "refs/heads/agent/x^", "refs/heads/agent/x:y",
    "refs/heads/agent/x?", "refs/heads/agent/[x", "refs/heads/agent/*", "refs/heads/agent/a b",
    "refs/heads/agent/x@{1}", "refs/heads/agent/a\\b", "refs/heads/agent/x.", "refs/heads/agent/\x7f",
    "refs/heads/agent/\x01", "refs/heads/agent/x\n", "refs/heads/agent/@{", "@", "-x",
    "refs/heads/agent/" + "x" * 300,
]
OTHER_NAMES = [
    "refs/heads/Agent/x", "refs/Heads/agent/x", "REFS/heads/agent/x", "refs/heads/agent", "refs/heads/agentx",
    "refs/heads/agent/x/y", "refs/heads/main", "refs/heads/agent\u2215x", "refs/heads/\uff41gent/x",
    "refs/pull/1/head", "refs/replace/" + "1" * 40, "refs/notesx/a", "refs/tags/a/b", "refs/remotes/origin/agent/x",
    "refs/heads/agent\u200b/x", "refs/heads/a\u0308gent/x", "refs/hidden/x", "refs/keep/x", "refs/meta/config",
    "refs/heads/-x", "refs/stash", "refs/bisect/x", "refs/worktree/x",
]


@row("D9")
def test_names_that_are_none(lab, repo):
    """git check-ref-format refuses them, and so do we, whatever the patterns say. Told once each."""
    objects = change(repo.tip())
    for name in BAD_NAMES:
        with refused(lab, repo, BAD):
            got = raw(lab, repo, create(repo, objects, name))
            assert got.status in (200, 400, 403) and b"ok refs/" not in got.body and b"\x01" not in got.body[20:], name


@row("D9")
@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names_of_others(lab, repo, name):
    """Bytes decide, not what they look like."""
    with refused(lab, repo, "ref_not_allowed"):
        report = push_raw(lab, repo, create(repo, change(repo.tip()), name))
        assert report.why() == "ref_not_allowed"


@row("D9")
@pytest.mark.parametrize("name", ["HEAD", "refs/pull/1/head", "refs/replace/" + "1" * 40])
def test_names_that_nobody_may(lab, repo, free, name):
    """Although refs/** is allowed."""
    with refused(lab, repo, "ref_not_allowed"):
        assert push_raw(lab, repo, create(repo, change(repo.tip()), name), sandbox=free).why() == "ref_not_allowed"


@row("D9")
def test_names_that_are_fine(lab, repo):
    """Unicode and long ones, within what is allowed."""
    tip = repo.tip()
    names = ["refs/heads/agent/\u00e4\u00f6\u4e2d", "refs/heads/agent/" + "x" * 200, "refs/heads/agent/a-b_c.d",
             "refs/heads/agent/x'y\"z;$(id)", "refs/notes/a/b/c"]
    report = push_raw(lab, repo, commands(*((ZERO, tip, n) for n in names)) + pack())
    assert report.refs == dict.fromkeys(names, "ok") and set(names) < set(repo.refs())
    event = forwarded(lab, repo)
    assert [c["ref"] for c in event["commands"]] == names


def test_a_ref_twice(lab, repo):
    """Two commands for one ref: which of them counts is nobody's guess."""
    one, two = change(repo.tip()), change(repo.tip())
    body = commands((ZERO, one[0].id, AGENT), (ZERO, two[0].id, AGENT)) + pack(*one, *two)
    with refused(lab, repo, BAD):
        assert b"ok refs/" not in raw(lab, repo, body).body


def test_another_repository(lab, repo):
    """Readable, but not to be pushed to: told before a byte of a pack is sent."""
    other = lab.forge.repository("other/one")
    work = Work(lab, other)
    work.commit()
    with refused(lab, other, "push_not_allowed", event="git"):
        done = work.push("HEAD:agent/x")
        assert done.returncode and "remote: push_not_allowed" in done.stderr, done.stderr
    with refused(lab, other, "push_not_allowed", event="git"):
        got = raw(lab, other, create(other, change(other.tip())))
        assert got.status == 200 and b"push_not_allowed" in got.body
    other.remove()


# ---- where it is built ----

def closed(lab):
    """The programs are where root alone may look, as below a home: what drops its rights cannot open them any more."""
    os.mkdir(f"{lab.dir}/home", 0o700)
    for program in glob.glob(f"{lab.build}/cordon*"):
        shutil.copy(program, f"{lab.dir}/home")
    lab.build = f"{lab.dir}/home"


def test_built_in_a_home(world):
    with push_lab(world, {"agent": policy("host_mirror")}, prepare=closed) as lab:
        repo = lab.forge.repository("acme/home")
        work = Work(lab, repo, sandbox=lab.sandbox)
        first = work.commit()
        done = work.push("HEAD:agent/x")
        assert done.returncode == 0, done.stderr + lab.logs()
        assert repo.refs()[AGENT] == first
