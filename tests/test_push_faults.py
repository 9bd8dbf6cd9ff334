"""Pushes while something dies, row D11: the outcome is told and audited as it is, and nothing is sent twice or left behind.

Upstream is cut off or killed before the pack, in it, behind it and in its report; clients vanish; daemons are killed.
"""

import contextlib
import glob
import itertools
import os
import shutil
import socket

import pytest

from lab import row
from labhttp import Closed, Wire, post
from labmirror import Crowd
from labnet import wait_for
from labobjects import change, pack
from labpush import (FREE, HOST, RECEIVE, ZERO, Work, below, commands, create, policy, push_lab, push_raw, raw,
                     report_of)

AGENT, MAIN = "refs/heads/agent/x", "refs/heads/main"
NOISE = os.urandom(2 << 20)
_count = itertools.count(1)


def narrow(lab):
    """The kernel holds little of what is on its way: of a pack that is cut the keeper knows that it did not send all."""
    lab.gateway.sysctl(net__ipv4__tcp_wmem="4096 16384 65536")
    lab.internet.sysctl(net__ipv4__tcp_rmem="4096 16384 65536")


@pytest.fixture(scope="module")
def lab(world):
    times = {"connect": "10s", "first_byte": "20s", "idle": "5s"}
    with push_lab(world, {"agent": policy("host_mirror"), "free": policy("upstream", **FREE)}, times=times, prepare=narrow) as lab:
        yield lab


@pytest.fixture
def forge(lab):
    lab.forge.reset()
    yield lab.forge
    lab.forge.reset()


@pytest.fixture
def repo(lab, forge):
    lab.audit.mark()
    repo = forge.repository(f"acme/f{next(_count)}")
    yield repo
    shutil.rmtree(repo.path, ignore_errors=True)		# upstream may be at it still


def in_thread(work):
    """Run it aside; call what is returned for the result."""
    crowd = Crowd(1, lambda _: work())
    return lambda: crowd.results()[0]


def event_of(lab, repo, outcome):
    event, = lab.audit.wait(event="push", repo=repo.name)
    assert event["outcome"] == outcome, event
    assert event["decision"] == ("deny" if outcome == "rejected" else "allow"), event
    return event


def received(repo):
    """How often upstream was given a push."""
    return repo.ran("pre-receive") is not None


def quiet(lab):
    """Nothing of a push is left: no child of the daemons beyond those that always are, no file of a quarantine."""
    def probe():
        scan = [p for s in lab.pids("cordon-scan") for p in below(s)]
        git = lab.gateway.pids("git")
        return not scan and not git and not leftovers(lab)
    wait_for("the end of what a push started", probe)


def leftovers(lab):
    return glob.glob(f"{lab.mirrors}/push/*")


# ---- upstream ----

@row("D11")
@pytest.mark.parametrize("up", [700, 1200, 100_000, 1_000_000])
def test_cut_on_the_way(lab, forge, repo, up):
    """While it is connected to, in the commands, in the pack: not received, and told so."""
    objects = change(repo.tip(), files={b"noise": NOISE})
    before = repo.snapshot()
    raw(lab, repo, b"0000")
    forge.relay.cut()
    forge.relay.cut_after(up=up + 4096)		# behind the advertisement that the gate asks for
    report = push_raw(lab, repo, create(repo, objects))
    assert report.refs[AGENT] != "ok" and repo.snapshot() == before and not received(repo)
    event_of(lab, repo, "upstream_rejected")
    forge.relay.reset()
    lab.audit.mark()
    assert push_raw(lab, repo, create(repo, objects)).refs == {AGENT: "ok"}
    event_of(lab, repo, "forwarded")
    quiet(lab)


@row("D11")
def test_cut_when_it_is_done(lab, forge, repo):
    """Upstream moved its refs, and its report is lost: the gate asks, and says that it is pushed."""
    objects = change(repo.tip())
    with repo.held("reference-transaction") as waiting:
        push = in_thread(lambda: push_raw(lab, repo, create(repo, objects)))
        waiting()
        forge.relay.cut()
        report = push()
    assert report.refs == {AGENT: "ok"} and repo.refs()[AGENT] == objects[0].id, report
    event_of(lab, repo, "forwarded")
    assert forge.posts(repo) == 1


@row("D11")
@pytest.mark.parametrize("down", [1, 40, 90])
def test_cut_in_the_report(lab, forge, repo, down):
    """Some bytes of it came."""
    objects = change(repo.tip())
    with repo.held("reference-transaction") as waiting:
        push = in_thread(lambda: push_raw(lab, repo, create(repo, objects)))
        waiting()
        forge.relay.cut_after(down=down)
    report = push()
    assert report.refs == {AGENT: "ok"}, report
    event_of(lab, repo, "forwarded")


@row("D11")
def test_cut_while_upstream_still_decides(lab, forge, repo):
    """It has all of the pack, and its hook goes on: that nothing has moved yet proves nothing."""
    objects = change(repo.tip())
    with repo.held() as waiting:
        push = in_thread(lambda: push_raw(lab, repo, create(repo, objects)))
        waiting()
        forge.relay.cut()
        report = push()
        assert AGENT not in repo.refs()
    assert report.refs[AGENT].startswith("outcome unknown"), report
    event_of(lab, repo, "indeterminate")


@row("D11")
@pytest.mark.parametrize("hook", ["pre-receive", "reference-transaction"])
def test_killed_and_gone(lab, forge, repo, hook):
    """Nobody is there to be asked: unknown, to the client, by git's status and in the audit; and not sent again."""
    work = Work(lab, repo)
    work.commit()
    with repo.held(hook) as waiting:
        push = in_thread(lambda: work.push("HEAD:agent/x"))
        waiting()
        lab.audit.mark()
        forge.kill()
        done = push()
    assert done.returncode == 1 and "! [remote rejected] HEAD -> agent/x (outcome unknown" in done.stderr, done.stderr
    event = event_of(lab, repo, "indeterminate")
    assert event["commands"][0]["result"] != "ok"
    forge.start()
    assert forge.posts(repo) == 1
    assert (AGENT in repo.refs()) == (hook == "reference-transaction")
    again = work.push("HEAD:agent/x")
    assert again.returncode == 0, again.stderr
    quiet(lab)


@row("D11")
def test_receive_pack_dies(lab, forge, repo):
    """The server answers, without a report: it is asked."""
    repo.will(do="kill")
    report = push_raw(lab, repo, create(repo, change(repo.tip())))
    assert report.refs[AGENT] != "ok" and AGENT not in repo.refs()
    assert lab.audit.wait(event="push", repo=repo.name)[0]["outcome"] in ("upstream_rejected", "indeterminate")


@row("D11")
def test_some_moved_and_some_not(lab, forge, repo):
    """Two refs, one of which upstream refuses: each is told as it is."""
    free = lab.sandboxes["vm1"]
    write_hook(repo, "update", '#!/bin/sh\n[ "$1" != refs/heads/agent/b ]\n')
    new = change(repo.tip())
    rows = [(ZERO, new[0].id, f"refs/heads/agent/{n}") for n in "abc"]
    report = push_raw(lab, repo, commands(*rows) + pack(*new), sandbox=free)
    assert report.refs.pop("refs/heads/agent/b") == "hook declined" and set(report.refs.values()) == {"ok"}
    event, = lab.audit.wait(event="push", repo=repo.name)
    assert [c["result"] == "ok" for c in event["commands"]] == [True, False, True]


def write_hook(repo, name, text):
    path = f"{repo.path}/hooks/{name}"
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)


@row("D11")
def test_unreachable_before_anything(lab, forge, repo):
    """Told as that, and nothing was sent."""
    forge.relay.refuse()
    try:
        work = create(repo, change(repo.tip()))
        got = raw(lab, repo, work)
        assert b"upstream_unreachable" in got.body
    finally:
        forge.relay.listen()
    assert not received(repo)
    assert {e["reason"] for e in lab.audit.wait(decision="deny", repo=repo.name)} == {"upstream_unreachable"}


@row("D11")
def test_patience_while_upstream_works(lab, forge, repo):
    """Its hook takes longer than any deadline of silence towards the client: something is said meanwhile."""
    with repo.held() as waiting, Wire(lab.sandbox, HOST) as wire:
        wire.send(post(f"{repo.name}.git", create(repo, change(repo.tip())), service=RECEIVE, host=HOST, protocol=0))
        waiting()
        wire.until(b"0005\2")			# every five seconds
        repo.release()
        wire.until(b"ok refs/heads/agent/x\n")
    event_of(lab, repo, "forwarded")


# ---- clients ----

@row("D11")
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_client_vanishes_in_its_pack(lab, forge, repo, share):
    """Nothing is forwarded, nothing stays; its places are free again."""
    body = create(repo, change(repo.tip(), files={b"noise": NOISE}))
    before = repo.snapshot()
    for _ in range(10):				# more than the places that a sandbox has
        text = post(f"{repo.name}.git", body, service=RECEIVE, host=HOST, protocol=0)
        with Wire(lab.sandbox, HOST) as wire:
            wire.send(text[:int((len(text) - 1) * share) + 300 * (share == 0.0)])
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    quiet(lab)
    assert repo.snapshot() == before and not received(repo)
    assert push_raw(lab, repo, body).refs == {AGENT: "ok"}


@row("D11")
def test_client_vanishes_while_upstream_works(lab, forge, repo):
    """What went out is told in the audit all the same."""
    objects = change(repo.tip())
    with repo.held() as waiting:
        with Wire(lab.sandbox, HOST) as wire:
            wire.send(post(f"{repo.name}.git", create(repo, objects), service=RECEIVE, host=HOST, protocol=0))
            waiting()
    event, = lab.audit.wait(event="push", repo=repo.name)
    assert (event["outcome"] == "forwarded") == (AGENT in repo.refs()) or event["outcome"] == "indeterminate", event
    quiet(lab)


# ---- daemons ----

@row("D11", "B17")
@pytest.mark.parametrize("daemon", ["cordon-mirror", "cordon-scan", "cordon-gitproxy", "cordon-keeper"])
def test_killed_while_upstream_works(lab, forge, repo, daemon):
    """The client hears of it or is cut off; upstream gets the push once at most; the next push works."""
    objects = change(repo.tip())
    with repo.held() as waiting:
        push = in_thread(lambda: _ended(lambda: raw(lab, repo, create(repo, objects))))
        waiting()
        lab.signal(daemon)
        if daemon == "cordon-scan":		# it has done its part
            repo.release()
        got = push()
        assert daemon == "cordon-scan" or got is None or b"ok refs/" not in got.body
    works_again(lab, repo)


def _ended(work):
    try:
        return work()
    except (Closed, OSError):
        return None


def works_again(lab, repo):
    objects = change(repo.tip())

    def pushed():
        with contextlib.suppress(Closed, OSError, AssertionError):
            return push_raw(lab, repo, create(repo, objects, "refs/heads/agent/again")).why() == "ok"
    wait_for("a push that works", pushed, step=0.1)
    quiet(lab)


@row("D11", "B17")
@pytest.mark.parametrize("daemon", ["cordon-mirror", "cordon-scan", "cordon-gitproxy", "cordon-keeper"])
def test_killed_while_the_pack_comes(lab, forge, repo, daemon):
    """Half a pack is nobody's: it is gone with the daemon, or at its next start."""
    objects = change(repo.tip(), files={b"noise": NOISE})
    before = repo.snapshot()
    text = post(f"{repo.name}.git", create(repo, objects), service=RECEIVE, host=HOST, protocol=0)
    with Wire(lab.sandbox, HOST) as wire:
        wire.send(text[:len(text) // 2])
        wait_for("a quarantine", lambda: leftovers(lab))
        lab.signal(daemon)
        if daemon == "cordon-scan":		# the push needs it later on
            wire.send(text[len(text) // 2:])
            got = _ended(wire.response)
            assert got is None or report_of(got.body).refs[AGENT] == "ok" or report_of(got.body).why() == "scan_failed"
        else:
            assert repo.snapshot() == before
    works_again(lab, repo)


# ---- many at once ----

def test_two_sandboxes_one_branch(lab, forge, repo):
    """Both push to it from the same commit: one gets it, the other is told; upstream is whole."""
    tip = repo.tip()
    made = [change(tip) for _ in range(2)]
    names = list(lab.sandboxes)[:2]
    reports = Crowd(2, lambda n: push_raw(lab, repo, create(repo, made[n]), sandbox=lab.sandboxes[names[n]])).results()
    assert sorted(r.refs[AGENT] == "ok" for r in reports) == [False, True], reports
    assert repo.refs()[AGENT] in {m[0].id for m in made} and repo.git("fsck", "--no-dangling") == ""
    outcomes = sorted(e["outcome"] for e in lab.audit.until(lambda es: len(es) == 2, event="push", repo=repo.name))
    assert outcomes == ["forwarded", "upstream_rejected"]


def test_a_crowd(lab, forge, repo):
    """Branches of their own, all at once, with a bad one among them; fetches meanwhile."""
    tip, names = repo.tip(), list(lab.sandboxes)[:2]

    def one(n):
        guest = lab.sandboxes[names[n % 2]]
        if n % 5 == 4:
            done = guest.git("ls-remote", repo.url)
            assert done.returncode == 0, done.stderr
            return None
        ref = MAIN if n == 6 else f"refs/heads/agent/c{n}"		# vm0 may not
        return ref, push_raw(lab, repo, create(repo, change(tip), ref), sandbox=guest).refs[ref]
    told = dict(filter(None, Crowd(15, one).results()))
    assert told.pop(MAIN).startswith("ref_not_allowed") and set(told.values()) == {"ok"}
    assert set(told) == set(repo.refs()) - {MAIN} and repo.tip() == tip
    quiet(lab)


@row("C11")
def test_slow_client(lab, forge, repo):
    """A pack that stops coming ends at the deadline of silence, and its place is free."""
    body = create(repo, change(repo.tip()))
    text = post(f"{repo.name}.git", body, service=RECEIVE, host=HOST, protocol=0)
    with Wire(lab.sandbox, HOST) as wire:
        wire.send(text[:-20])
        got = _ended(wire.response)
        assert got is None or b"ok refs/" not in got.body
    quiet(lab)
    assert not received(repo)


@row("C11", families=(4,))
def test_a_push_that_never_ends(world):
    """A byte now and then is no silence: the push ends when its total time is over, whatever comes."""
    times = {"total": "2s", "idle": "1h"}
    with push_lab(world, {"agent": policy("upstream")}, times=times) as lab:
        repo = lab.forge.repository("acme/endless")
        before = repo.snapshot()
        text = post(f"{repo.name}.git", create(repo, change(repo.tip(), files={b"noise": NOISE})), service=RECEIVE,
                    host=HOST, protocol=0)
        rest = iter(text[len(text) // 2:-1])		# a million bytes: it does not end by itself
        with Wire(lab.sandbox, HOST) as wire:
            wire.send(text[:len(text) // 2])
            wire.socket.settimeout(0.02)

            def over():
                wire.send(bytes([next(rest)]))
                try:
                    wire.response()
                except TimeoutError:
                    return False
                except Closed:
                    return True
                return True
            wait_for("the end of it", over)
        event, = lab.audit.wait(event="push", repo=repo.name)
        assert (event["decision"], event["reason"]) == ("deny", "deadline_exceeded"), event
        quiet(lab)
        assert repo.snapshot() == before and not received(repo) and not lab.forge.posts(repo)
