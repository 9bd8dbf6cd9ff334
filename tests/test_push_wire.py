"""Pushes on their way: what of the protocol is taken, how each outcome is told, and what is left of it."""

import gzip
import os
import threading

import pytest

from lab import row, write
from labhttp import FLUSH, Wire, pkt, post
from labnet import has_ended, is_sanitized, wait_for
from labobjects import blob, change, pack
from labpush import CAPS, FREE, HOST, RECEIVE, ZERO, Work, commands, create, policy, push_lab, push_raw, raw, report_of

from test_push_keeper import works

MIB = 1 << 20


def profile(source="upstream", **push):
    p = policy(source, **push)
    del p["git"]["push"]["denied_paths"]
    return p


PROFILES = {"agent": profile(), "free": profile("host_mirror", **FREE), "small": profile(max_pack_bytes=MIB)}


@pytest.fixture(scope="module")
def lab(world):
    with push_lab(world, PROFILES) as lab:
        lab.free, lab.small = lab.sandboxes["vm1"], lab.sandboxes["vm2"]
        yield lab


@pytest.fixture
def repo(lab, request):
    lab.forge.reset()
    name = request.node.name
    for c in "[]_ ":
        name = name.replace(c, "-")
    repo = lab.forge.repository("acme/" + name.strip("-"))
    yield repo
    wait_for("the end of what upstream does", lambda: not works(lab.forge))
    repo.remove()


def posts(lab, repo, method="POST", service=RECEIVE):
    return [r for r in lab.forge.requests(method=method) if r.path.startswith(f"/{repo.name}") and service in r.path]


def quarantines(lab):
    return os.listdir(f"{lab.dir}/state/mirrors/push")


def nothing_left(lab, *ids):
    """Of a push that was refused, once it is over."""
    wait_for("empty quarantine", lambda: not quarantines(lab))
    for top, _, files in os.walk(f"{lab.dir}/state/mirrors"):
        for name in files:
            assert not any(i in name or f"{i[:2]}/{i[2:]}" in f"{top}/{name}" for i in ids)


def pushed(audit, repo, **fields):
    """The one line of its push."""
    line, = audit.until(len, event="push", repo=repo.name)
    assert {k: line[k] for k in fields} == fields, line
    return line


class Pushing(threading.Thread):
    """A push that goes on by itself; join() gives its CompletedProcess."""

    def __init__(self, work, *argv):
        super().__init__(daemon=True)
        self._work, self._argv = work, argv
        self.start()

    def run(self):
        self.done = self._work.push(*self._argv)

    def join(self):
        super().join()
        return self.done


# ---- what is taken

@row("C6")
def test_probe(lab, audit, repo):
    """What git sends before a large push: answered here, and no push for the audit."""
    got = raw(lab, repo, FLUSH)
    assert (got.status, got.body) == (200, b"") and got.fields["content-type"] == f"application/x-{RECEIVE}-result"
    assert not posts(lab, repo)
    assert push_raw(lab, repo, create(repo, change(repo.tip()))).refs == {"refs/heads/agent/x": "ok"}
    pushed(audit, repo, outcome="forwarded")


def test_push(lab, audit, repo):
    """A branch, a tag, options, --atomic; the forge sees what git would have said."""
    work = Work(lab, repo)
    new = work.commit()
    work.must("tag", "-a", "-m", "a tag", "v1")
    done = work.push("--push-option=ci.skip", "--atomic", "HEAD:refs/heads/agent/x", "v1")
    assert done.returncode == 0, done.stderr
    assert repo.refs()["refs/heads/agent/x"] == new and repo.refs()["refs/tags/v1"] == work.must("rev-parse", "v1")
    assert "GIT_PUSH_OPTION_0=ci.skip" in repo.ran()
    line = pushed(audit, repo, outcome="forwarded", decision="allow", n_commands=2)
    assert {(c["ref"], c["op"], c["result"]) for c in line["commands"]} == {
        ("refs/heads/agent/x", "create", "ok"), ("refs/tags/v1", "create", "ok")}


def test_delete_and_force(lab, audit, repo):
    """As separate rights have it: here both are given."""
    work = Work(lab, repo, sandbox=lab.free)
    work.commit()
    assert work.push("HEAD:refs/heads/agent/x").returncode == 0
    work.must("fetch", "-q")
    work.must("commit", "-q", "--amend", "-m", "anew")
    assert "non-fast-forward" in work.push("HEAD:refs/heads/agent/x").stderr
    done = work.push("--force-with-lease", "HEAD:refs/heads/agent/x")
    assert done.returncode == 0 and "forced update" in done.stderr, done.stderr
    done = work.push(":refs/heads/agent/x")
    assert done.returncode == 0, done.stderr
    assert "refs/heads/agent/x" not in repo.refs()
    lines = audit.until(lambda e: len(e) == 3, event="push", repo=repo.name)
    assert [c["op"] for e in lines for c in e["commands"]] == ["create", "force", "delete"]


def test_first_push_deletes(lab, repo):
    """Nothing is known of the repository yet, and no object comes."""
    repo.git("update-ref", "refs/heads/agent/x", "HEAD")
    report = push_raw(lab, repo, commands((repo.tip(), ZERO, "refs/heads/agent/x")), sandbox=lab.free)
    assert report.refs == {"refs/heads/agent/x": "ok"} and "refs/heads/agent/x" not in repo.refs()


def test_empty_repository(lab, repo):
    """Nothing is there to compare with."""
    for ref in repo.refs():
        repo.git("update-ref", "-d", ref)
    work = Work(lab, repo)
    new = work.commit()
    done = work.push("HEAD:refs/heads/agent/x")
    assert done.returncode == 0 and repo.refs() == {"refs/heads/agent/x": new}, done.stderr


def test_sha256(lab, audit):
    lab.forge.reset()
    repo = lab.forge.repository("acme/sha256", format="sha256")
    objects = change(repo.tip(), format="sha256")
    assert push_raw(lab, repo, create(repo, objects)).refs == {"refs/heads/agent/x": "ok"}
    assert repo.has(*(o.id for o in objects))
    report = push_raw(lab, repo, commands((ZERO, "1" * 40, "refs/heads/agent/y")) + pack(blob(b"x")))
    assert report.why() == "capability_not_allowed"
    repo.remove()


def test_lease_is_upstreams(lab, repo):
    """The old id goes on as the client gave it: who is late is refused by upstream."""
    first = change(repo.tip())
    report = push_raw(lab, repo, create(repo, first, "refs/heads/agent/x"))
    assert report.refs == {"refs/heads/agent/x": "ok"}
    late = change(repo.tip(), files={b"late": b"late"})
    report = push_raw(lab, repo, create(repo, late, "refs/heads/agent/x"))
    assert report.refs["refs/heads/agent/x"] not in ("ok", "") and repo.refs()["refs/heads/agent/x"] == first[0].id


def test_large(lab, repo):
    """Beyond http.postBuffer: the probe, then chunks."""
    work = Work(lab, repo)
    new = work.commit({"large": os.urandom(8 * MIB)})
    done = work.push("HEAD:refs/heads/agent/x")
    assert done.returncode == 0, done.stderr
    assert repo.refs()["refs/heads/agent/x"] == new


def test_many_refs(lab, audit, repo):
    work = Work(lab, repo)
    work.commit()
    work.must("update-ref", "--stdin", input="".join(f"create refs/heads/agent/{i} HEAD\n" for i in range(1000)))
    done = work.push("--atomic", "refs/heads/agent/*:refs/heads/agent/*")
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(repo.refs()) == 1001
    assert len(pushed(audit, repo, n_commands=1000)["commands"]) == 64


@row("C5")
def test_gzip(lab, repo):
    """JGit packs small pushes so."""
    body = create(repo, change(repo.tip()))
    report = push_raw(lab, repo, gzip.compress(body), fields=["Content-Encoding: gzip"])
    assert report.refs == {"refs/heads/agent/x": "ok"}
    report = push_raw(lab, repo, gzip.compress(create(repo, change(repo.tip(), files={b"b": b"b"}), "refs/heads/agent/y")),
                      fields=["Content-Encoding: gzip"], chunked=True, size=7)
    assert report.refs == {"refs/heads/agent/y": "ok"}


BAD_CODES = [("gzip", b"not gzip"), ("gzip", gzip.compress(b"0000")[:-1]), ("gzip", gzip.compress(FLUSH) + b"x"),
             ("br", FLUSH), ("gzip, gzip", FLUSH)]


@row("C5")
@pytest.mark.parametrize("coding, body", BAD_CODES, ids=range(len(BAD_CODES)))
def test_encodings_refused(lab, repo, coding, body):
    got = raw(lab, repo, body, fields=[f"Content-Encoding: {coding}"])
    assert got.status == 400 and got.reason == "request_malformed", got
    assert not posts(lab, repo)


# ---- what is not

def line(old=ZERO, new="1" * 40, ref="refs/heads/agent/x", caps=CAPS):
    return commands((old, new, ref), caps=caps)


TOLD = {		# the client's wishes are known: it is told by a report
    "unknown capability": line(caps=CAPS + " teleport") + b"PACK",
    "report version 2": line(caps=CAPS + " report-status-v2") + b"PACK",
    "no pack": line(),
    "pack for a deletion": commands(("3" * 40, ZERO, "refs/heads/agent/x")) + b"PACK",
    "second command without an id": line()[:-4] + pkt("x") + FLUSH + b"PACK",
    "cut": line()[:-4],
    "delimiter": line()[:-4] + b"0001" + b"PACK",
}
UNTOLD = {
    "not hexadecimal": b"zzzz", "length 3": b"0003", "nothing": b"", "two flushes": FLUSH + FLUSH, "pack alone": FLUSH + b"PACK",
    "certificate": pkt("push-cert\0" + CAPS) + pkt("certificate version 0.1") + FLUSH,
    "upload-pack": pkt("command=ls-refs") + b"0001" + FLUSH,
}


@row("D8")
@pytest.mark.parametrize("what", TOLD)
def test_malformed_is_told(lab, audit, repo, what):
    report = push_raw(lab, repo, TOLD[what])
    reason = pushed(audit, repo, outcome="rejected")["reason"]
    assert reason in ("request_malformed", "capability_not_allowed")
    assert all(why.startswith(reason) for why in report.refs.values())
    assert report.refs or report.unpack.startswith(reason)
    assert not posts(lab, repo) and not repo.ran()
    nothing_left(lab)


@row("D8")
def test_one_reference_twice(lab, audit, repo):
    got = raw(lab, repo, commands(*2 * [(ZERO, "1" * 40, "refs/heads/agent/x")]) + b"PACK")
    assert got.body.count(b"ng refs/heads/agent/x request_malformed: one reference twice") == 2
    pushed(audit, repo, outcome="rejected", reason="request_malformed")
    assert not posts(lab, repo)


@row("D8")
@pytest.mark.parametrize("what", UNTOLD)
def test_malformed(lab, audit, repo, what):
    got = raw(lab, repo, UNTOLD[what])
    assert got.status in (200, 400) and got.reason == "request_malformed", got
    assert pushed(audit, repo, outcome="rejected", reason="request_malformed")
    assert not posts(lab, repo)
    nothing_left(lab)


@row("D9")
def test_refused_by_name(lab, audit, repo):
    """One of three: none goes, each is told why, and git shows it."""
    work = Work(lab, repo)
    new = work.commit()
    done = work.push("HEAD:refs/heads/agent/x", "HEAD:refs/heads/main", "HEAD:refs/heads/agent/y")
    assert done.returncode
    assert " ! [remote rejected] HEAD -> main (ref_not_allowed: allowed are refs/heads/agent/*, refs/notes/**, " \
           "refs/tags/*)" in done.stderr
    assert done.stderr.count("(not pushed: another ref of this push was refused)") == 2
    got = pushed(audit, repo, outcome="rejected", reason="ref_not_allowed", decision="deny")
    assert {c["result"] for c in got["commands"]} == {"ref_not_allowed"}
    assert not posts(lab, repo) and list(repo.refs()) == ["refs/heads/main"]
    nothing_left(lab, new)


def test_refused_while_it_is_sent(lab, repo):
    """It is read to its end, to nowhere: git listens only then."""
    work = Work(lab, repo)
    new = work.commit({"large": os.urandom(12 * MIB)})
    done = work.push("HEAD:refs/heads/main")
    assert done.returncode and "(ref_not_allowed: " in done.stderr, done.stderr
    nothing_left(lab, new)


def test_too_large(lab, audit, repo):
    """Its end is told, however much larger it is."""
    work = Work(lab, repo, sandbox=lab.small)
    new = work.commit({"large": os.urandom(2 * MIB)})
    done = work.push("HEAD:refs/heads/agent/x")
    assert done.returncode and "(pack_limit_exceeded: " in done.stderr, done.stderr
    pushed(audit, repo, outcome="rejected", reason="pack_limit_exceeded")
    assert not posts(lab, repo)
    nothing_left(lab, new)


def test_far_too_large(lab, audit, repo):
    """So much that not even its end is waited for: git says why all the same."""
    work = Work(lab, repo, sandbox=lab.small)
    work.commit({"large": os.urandom(48 * MIB)})
    done = work.push("HEAD:refs/heads/agent/x")
    assert done.returncode and "pack_limit_exceeded" in done.stderr, done.stderr
    first = audit.until(len, event="push", repo=repo.name)[0]	# git sends what it has left as a request of its own
    assert (first["outcome"], first["reason"]) == ("rejected", "pack_limit_exceeded")
    assert not posts(lab, repo)
    nothing_left(lab)


@pytest.mark.parametrize("wishes", ["side-band-64k", "report-status", ""])
def test_other_wishes(lab, repo, wishes):
    """A client that wants no bands, or no report, gets none, and the push is refused all the same."""
    got = raw(lab, repo, line(ref="refs/heads/main", caps=wishes) + pack(*change(repo.tip())))
    if wishes == "report-status":
        assert report_of(got.body, banded=False).why() == "ref_not_allowed"
    elif wishes:
        report = report_of(got.body)
        assert report.unpack is None and "ref_not_allowed" in report.progress
    else:
        assert got.reason == "ref_not_allowed"
    assert not posts(lab, repo)


# ---- upstream's word

def test_upstream_refuses(lab, audit, repo):
    """Its words are passed on, harmless."""
    repo.will(do="exit")
    repo.will(do="say", text="not \x1b[31mtoday\n")
    work = Work(lab, repo)
    work.commit()
    done = work.push("HEAD:refs/heads/agent/x")
    assert done.returncode and "remote: not ?[31mtoday" in done.stderr, done.stderr
    assert "(pre-receive hook declined)" in done.stderr
    got = pushed(audit, repo, outcome="upstream_rejected", reason="upstream_denied")
    assert [c["result"] for c in got["commands"]] == ["refused"]


@row("D11")
def test_cut_when_it_is_done(lab, audit, repo):
    """Upstream has it, and its answer breaks off: upstream is asked, and the client is told the truth."""
    work = Work(lab, repo)
    new = work.commit()
    with repo.held("post-receive") as waiting:
        push = Pushing(work, "HEAD:refs/heads/agent/x")
        waiting()
        lab.forge.relay.cut()
        done = push.join()
    assert done.returncode == 0 and repo.refs()["refs/heads/agent/x"] == new, done.stderr
    pushed(audit, repo, outcome="forwarded")
    assert len(posts(lab, repo)) <= 1


@row("D11")
def test_cut_before_it_is_done(lab, audit, repo):
    """Its hook is at it still: nothing has moved, which proves nothing."""
    repo.will(do="exit")
    work = Work(lab, repo)
    work.commit()
    with repo.held() as waiting:
        push = Pushing(work, "HEAD:refs/heads/agent/x")
        waiting()
        lab.forge.relay.cut()
        done = push.join()
    assert done.returncode and "(outcome unknown: the server has it, and has not taken it yet)" in done.stderr, done.stderr
    assert pushed(audit, repo, outcome="indeterminate")["commands"][0]["result"] != "ok"


@row("D11")
def test_nobody_can_tell(lab, audit, repo):
    """Upstream is gone for good in the middle of it."""
    work = Work(lab, repo)
    work.commit()
    with repo.held() as waiting:
        push = Pushing(work, "HEAD:refs/heads/agent/x")
        waiting()
        lab.forge.relay.refuse()
        lab.forge.relay.cut()
        done = push.join()
    lab.forge.relay.listen()
    assert done.returncode and "(outcome unknown: " in done.stderr, done.stderr
    pushed(audit, repo, outcome="indeterminate")


def test_upstream_away(lab, audit, repo):
    """Nothing was sent: that is known."""
    objects = change(repo.tip())
    assert push_raw(lab, repo, create(repo, objects)).refs == {"refs/heads/agent/x": "ok"}
    lab.forge.relay.refuse()
    try:
        report = push_raw(lab, repo, create(repo, change(repo.tip(), files={b"b": b"b"}), "refs/heads/agent/y"))
    finally:
        lab.forge.relay.listen()
    assert report.why() == "upstream_unreachable"
    last = audit.until(lambda e: len(e) == 2, event="push", repo=repo.name)[-1]
    assert (last["outcome"], last["reason"]) == ("rejected", "upstream_unreachable")


# ---- while it lasts

def test_kept_awake(lab, repo):
    """Upstream is silent; who waits on the way hears something."""
    with repo.held() as waiting, Wire(lab.sandbox, HOST) as wire:
        wire.send(post(f"{repo.name}.git", create(repo, change(repo.tip())), service=RECEIVE, host=HOST, protocol=0))
        waiting()
        wire.until(b"0005\2")


def test_client_leaves(lab, audit, repo):
    """What has gone upstream goes on, and the audit tells of it."""
    with repo.held() as waiting:
        with Wire(lab.sandbox, HOST) as wire:
            wire.send(post(f"{repo.name}.git", create(repo, change(repo.tip())), service=RECEIVE, host=HOST, protocol=0))
            waiting()
    pushed(audit, repo, outcome="forwarded")
    assert "refs/heads/agent/x" in repo.refs()


def test_client_leaves_early(lab, audit, repo):
    """Half a pack: nothing goes upstream, and nothing is left."""
    body = create(repo, change(repo.tip(), files={b"large": os.urandom(MIB)}))
    with Wire(lab.sandbox, HOST) as wire:
        wire.send(post(f"{repo.name}.git", body, service=RECEIVE, host=HOST, protocol=0)[:-1000])
        wait_for("quarantine", lambda: quarantines(lab))
    nothing_left(lab)
    pushed(audit, repo, outcome="rejected", detail="the client left before its end")
    assert not posts(lab, repo)


# ---- what is left

def test_next_push_fetches_nothing(lab, repo):
    """What upstream took is part of the mirror: thin packs on top of it are judged by that alone."""
    work = Work(lab, repo, sandbox=lab.free)
    for n in range(3):
        work.commit()
        assert work.push("HEAD:refs/heads/agent/x").returncode == 0
        nothing_left(lab)
        fetches = len(posts(lab, repo, service="git-upload-pack"))
        if n:
            assert fetches == before
        before = fetches


def test_others_see_it_at_once(lab, repo):
    """The mirror serves what was pushed through it, and its references."""
    work = Work(lab, repo, sandbox=lab.free)
    new = work.commit()
    assert work.push("HEAD:refs/heads/agent/x").returncode == 0
    other = Work(lab, repo, "--branch", "agent/x", sandbox=lab.free)
    assert other.must("rev-parse", "HEAD") == new


def test_leftovers_go(lab, repo):
    """A quarantine that a kill left is not there after the start."""
    left = f"{lab.dir}/state/mirrors/push/77"
    os.makedirs(f"{left}/judged")
    write(f"{left}/pack", "PACK")
    owner = os.stat(f"{lab.dir}/state/mirrors/push")
    for path in (left, f"{left}/judged", f"{left}/pack"):
        os.chown(path, owner.st_uid, owner.st_gid)
    lab.cordon("down", check=True)
    lab.cordon("up", check=True)
    wait_for("mirror", lambda: not os.path.exists(left))
    assert push_raw(lab, repo, create(repo, change(repo.tip()))).refs == {"refs/heads/agent/x": "ok"}


def test_judge_dies(lab, audit, repo):
    """No verdict, no push; the next finds another judge."""
    assert push_raw(lab, repo, create(repo, change(repo.tip()))).refs == {"refs/heads/agent/x": "ok"}
    killed = lab.signal("cordon-scan")
    wait_for("its end", lambda: all(map(has_ended, killed)))
    report = push_raw(lab, repo, create(repo, change(repo.tip(), files={b"b": b"b"}), "refs/heads/agent/y"))
    assert report.refs == {"refs/heads/agent/y": "ok"}


def peak(pid):
    """Bytes of memory it ever had."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(text.split()[1]) for text in f if text.startswith("VmHWM:")) * 1024


def test_front_keeps_nothing(lab, repo):
    """However large a push is, the front holds no more of it than a few buffers."""
    work = Work(lab, repo)
    work.commit({"large": os.urandom(64 * MIB)})
    front, = lab.pids("cordon-gitproxy")
    before = peak(front)
    assert work.push("HEAD:refs/heads/agent/x").returncode == 0
    assert peak(front) - before < 8 * MIB or is_sanitized(front)
