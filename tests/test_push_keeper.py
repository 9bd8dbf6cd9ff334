"""The keeper and pushes: what it sends on for cordon-mirror's process, and what it never sends for anyone.

The mirror's process is stopped, and the test speaks in its place: what is refused here is refused to whoever
runs code there, with all that a gate could have been talked into.
"""

import contextlib
import os
import subprocess

import pytest

from lab import Lab, write
from labmirrortaken import (ALL, ATOMIC, FORWARDED, INFO_REFS, NONE_ID, REJECTED, REPORT, SENT, Frames,
                            Taken, push_list, receive, send, sealed)
from labnet import wait_for
from labobjects import change, pack
from labpush import HOST, TOKEN, USER, Forge, below, policy, report_of
from test_credentials import Secrets
from test_internal import told

REF = "refs/heads/agent/x"
MAX = 4096


def profile(**push):
    p = policy(allowed_repos=["acme/*"], **push)
    del p["git"]["push"]["denied_paths"]
    return p


AGENT = profile(max_pack_bytes=MAX)


def furnish(lab):
    secrets = Secrets(lab)
    lab.configure({"hosts": Forge.CONFIG, "git": {"upstream_ca_file": lab.world.ca_file},
                   "credentials": [{"name": "forge", "match": f"{HOST}/*", "username": USER,
                                    "token_file": secrets.put("forge", TOKEN + "\n")}]})
    lab.forge = Forge(lab)
    lab.up()
    lab.add_sandbox()
    return lab


@pytest.fixture(scope="module")
def lab(world):
    with Lab(world, profiles={"agent": AGENT, "default": AGENT}) as lab:
        yield furnish(lab)
        assert not lab.problems(), lab.problems()


@pytest.fixture
def forge(lab, audit):
    lab.forge.reset()
    return lab.forge


def works(forge):
    """Does upstream still do something for a push?"""
    found = False
    for pid in below(forge._process.pid):
        with contextlib.suppress(OSError):
            found |= b"receive-pack" in open(f"/proc/{pid}/cmdline", "rb").read()
    return found


@pytest.fixture
def repo(forge, request):
    repo = forge.repository(f"acme/k{abs(hash(request.node.name))}")
    yield repo
    wait_for("the end of what upstream does", lambda: not works(forge))
    repo.remove()


@pytest.fixture
def taken(lab, repo):
    keeper = lab.pids("cordon-keeper")
    taken = Taken(lab, HOST)
    yield taken
    taken.close()
    assert lab.pids("cordon-keeper") == keeper, "the keeper is the one that was there before"


@pytest.fixture
def push(taken, repo):
    with taken.push(repo.name) as push:
        yield push


def event(lab, **fields):
    """The one line about the push."""
    [line] = lab.audit.wait(src="keeper", event="push", **fields)
    return line


# ---- what is sent on

def test_a_push_is_sent_on(lab, repo, push):
    """Commands as listed, the pack as it is, upstream's report as it comes; one line in the audit."""
    objects = change(repo.tip())
    frames = push.create(objects)
    assert (frames.reason, frames.end) == ("", ""), frames.data
    assert frames.push == SENT | ALL
    assert report_of(frames.data).refs == {REF: "ok"}
    assert repo.refs()[REF] == objects[0].id and repo.has(*(o.id for o in objects))
    push.tell(FORWARDED, "", (1, 1, "", NONE_ID, objects[0].id, REF))
    push.over()
    line = event(lab)
    assert (line["decision"], line["outcome"], line["repo"], line["host"]) == ("allow", "forwarded", repo.name, HOST)
    assert line["rule"] == "git.push.allowed_repos: acme/*" and line["credential"] == "forge"
    assert line["commands"] == [{"ref": REF, "old": "", "new": objects[0].id, "op": "create", "result": "ok"}]
    assert (line["objects"], line["bytes_up"], line["n_findings"], line["findings"]) == (3, 100, 0, [])
    assert TOKEN not in open(f"{lab.log_dir}/keeper.jsonl").read()


def test_options_and_capabilities(repo, push):
    """Only what upstream is said to offer is asked for."""
    objects = change(repo.tip())
    frames = push.send(push_list((NONE_ID, objects[0].id, REF), upstream=ALL - ATOMIC, options=["ci.skip", "a=b"]),
                       pack(*objects))
    assert report_of(frames.data).refs == {REF: "ok"}
    assert "GIT_PUSH_OPTION_0=ci.skip\nGIT_PUSH_OPTION_1=a=b\n" in repo.ran()


def test_no_side_band(repo, push):
    objects = change(repo.tip())
    frames = push.send(push_list((NONE_ID, objects[0].id, REF), upstream=REPORT), pack(*objects))
    assert frames.push == SENT | REPORT and report_of(frames.data, banded=False).refs == {REF: "ok"}


def test_several_commands(repo, push):
    objects = change(repo.tip())
    frames = push.send(push_list(*((NONE_ID, objects[0].id, f"refs/heads/agent/{n}") for n in range(3)), atomic=1),
                       pack(*objects))
    assert set(report_of(frames.data).refs.values()) == {"ok"} and len(repo.refs()) == 4


def test_upstreams_hook_is_heard(repo, push):
    repo.will(do="say", text="not today\n")
    repo.will(do="exit")
    report = report_of(push.create(change(repo.tip())).data)
    assert "not today" in report.progress and report.refs == {REF: "pre-receive hook declined"}


def test_the_rules_that_come_along(push):
    """For the gate: as policy/push.h has them."""
    assert push.rules[:6] == bytes([1, 1, 0, 0, 0, 0])
    assert b"refs/heads/agent/*" in push.rules


# ---- what is never sent

def lists(repo):
    """{what is wrong: ((list, pack), reason)}"""
    objects = change(repo.tip())
    new, data = objects[0].id, pack(*objects)

    def of(*rows, **kw):
        return push_list(*rows, **kw), data
    return {
        "a branch of others": (of((NONE_ID, new, "refs/heads/main")), "ref_not_allowed"),
        "deeper": (of((NONE_ID, new, "refs/heads/agent/x/y")), "ref_not_allowed"),
        "another case": (of((NONE_ID, new, "refs/heads/Agent/x")), "ref_not_allowed"),
        "a pull request": (of((NONE_ID, new, "refs/pull/1/head")), "ref_not_allowed"),
        "HEAD": (of((NONE_ID, new, "HEAD")), "ref_not_allowed"),
        "the second of two": (of((NONE_ID, new, REF), (NONE_ID, new, "refs/heads/main")), "ref_not_allowed"),
        "the last of many": (of(*((NONE_ID, new, f"refs/heads/agent/{n}") for n in range(50)),
                                (repo.tip(), new, "refs/heads/main")), "ref_not_allowed"),
        "a deletion": ((push_list((repo.tip(), NONE_ID, REF)), b""), "delete_not_allowed"),
        "a tag that moves": (of((repo.tip(), new, "refs/tags/v1")), "force_not_allowed"),
        "more than a pack may be": ((push_list((NONE_ID, new, REF)), data + bytes(MAX)), "pack_limit_exceeded"),
        "no pack": ((push_list((NONE_ID, new, REF)), b""), "pack_malformed"),
        "a name twice": (of((NONE_ID, new, REF), (NONE_ID, new, REF)), "internal_error"),
        "no name": (of((NONE_ID, new, "")), "internal_error"),
        "a name of two lines": (of((NONE_ID, new, REF + "\nx")), "internal_error"),
        "a name with a NUL": (of((NONE_ID, new, REF + "\0 report-status")), "internal_error"),
        "nothing": ((push_list(), data), "internal_error"),
        "what upstream does not offer": ((push_list((NONE_ID, new, REF), atomic=1, upstream=ALL - ATOMIC), data),
                                         "internal_error"),
        "an option of two lines": (of((NONE_ID, new, REF), options=["a\nb"]), "internal_error"),
        "bytes behind": ((push_list((NONE_ID, new, REF)) + b"\0", data), "internal_error"),
        "no bytes": ((b"", data), "internal_error"),
        "a pack said not to be": ((push_list((NONE_ID, new, REF), has_pack=False), b""), "internal_error"),
    }


WRONG = ["a branch of others", "deeper", "another case", "a pull request", "HEAD", "the second of two", "the last of many",
         "a deletion", "a tag that moves", "more than a pack may be", "no pack", "a name twice", "no name", "a name of two lines",
         "a name with a NUL", "nothing", "what upstream does not offer", "an option of two lines", "bytes behind", "no bytes",
         "a pack said not to be"]


@pytest.mark.parametrize("what", WRONG)
def test_what_the_policy_does_not_allow_is_not_sent(lab, repo, push, what):
    """Whatever was found of it: nothing is dialled."""
    (listed, data), reason = lists(repo)[what]
    dialled, before = lab.forge.relay.accepted, repo.snapshot()
    frames = push.send(listed, data)
    assert (frames.reason, frames.push, frames.data) == (reason, 0, b"")
    push.over()
    line = event(lab, reason=reason)
    assert (line["decision"], line["outcome"]) == ("deny", "rejected")
    assert lab.forge.relay.accepted == dialled and repo.snapshot() == before and repo.ran() is None


def test_every_row_is_tried(repo):
    assert list(lists(repo)) == WRONG


def test_a_file_that_can_change_is_not_read(lab, repo, push):
    """A list that is not sealed could be another one when it is sent."""
    dialled = lab.forge.relay.accepted
    assert push.create(change(repo.tip()), seal=False).reason == "internal_error"
    assert lab.forge.relay.accepted == dialled


@pytest.mark.parametrize("which", ["shorter", "longer", "pipe", "device", "folder"])
def test_the_pack_is_a_file_of_the_told_length(lab, repo, push, tmp_path, which):
    objects = change(repo.tip())
    data = pack(*objects)
    (tmp_path / "pack").write_bytes(data)
    rd, wr = os.pipe()
    told = len(data) + {"shorter": 1, "longer": -1}.get(which, 0)
    fd = {"pipe": rd, "device": os.open("/dev/zero", os.O_RDONLY), "folder": os.open(tmp_path, os.O_RDONLY)}.get(
        which) or os.open(tmp_path / "pack", os.O_RDONLY)
    dialled = lab.forge.relay.accepted
    frames = push.send(push_list((NONE_ID, objects[0].id, REF)), told=told, descriptors=[fd])
    assert frames.reason == "pack_malformed" and lab.forge.relay.accepted == dialled
    os.close(wr)


def test_once(lab, repo, push):
    """The socket is good for one push: a second one is not sent, whatever became of the first."""
    assert report_of(push.create(change(repo.tip())).data).refs == {REF: "ok"}
    dialled = lab.forge.relay.accepted
    frames = push.create(change(repo.tip()), ref="refs/heads/agent/y")
    assert (frames.reason, frames.push) == ("internal_error", 0)
    assert lab.forge.relay.accepted == dialled and "refs/heads/agent/y" not in repo.refs()


def test_a_refused_one_is_not_tried_again(lab, repo, push):
    objects = change(repo.tip())
    assert push.create(objects, ref="refs/heads/main").reason == "ref_not_allowed"
    dialled = lab.forge.relay.accepted
    assert push.create(objects).reason == "internal_error" and lab.forge.relay.accepted == dialled


def test_not_after_it_was_told_of(lab, repo, push):
    push.tell(REJECTED, "secret_detected")
    dialled = lab.forge.relay.accepted
    assert push.create(change(repo.tip())).reason == "internal_error" and lab.forge.relay.accepted == dialled
    assert event(lab)["reason"] == "secret_detected"


def test_the_policy_of_this_moment_counts(lab, repo, push):
    """What was allowed when the push began may not be when it would go out."""
    try:
        lab.profile("agent", profile(refs=["refs/tags/*"]))
        lab.cordon("reload", check=True)
        dialled = lab.forge.relay.accepted
        assert push.create(change(repo.tip())).reason == "ref_not_allowed" and lab.forge.relay.accepted == dialled
    finally:
        lab.profile("agent", AGENT)
        lab.cordon("reload", check=True)


def test_options_of_this_moment(lab, repo, push):
    try:
        lab.profile("agent", profile(options=False))
        lab.cordon("reload", check=True)
        objects, dialled = change(repo.tip()), lab.forge.relay.accepted
        frames = push.send(push_list((NONE_ID, objects[0].id, REF), options=["ci.skip"]), pack(*objects))
        assert frames.reason == "capability_not_allowed" and lab.forge.relay.accepted == dialled
    finally:
        lab.profile("agent", AGENT)
        lab.cordon("reload", check=True)


def test_another_repository_has_another_socket(lab, forge, repo, taken, push):
    """Nothing in PUSH names one: what goes over a push's socket goes to that push's repository."""
    other = forge.repository("acme/other-of-keeper")
    objects = change(repo.tip())
    with taken.push(other.name) as second:
        assert report_of(second.create(objects).data).refs == {REF: "missing necessary objects"}
        assert report_of(push.create(objects).data).refs == {REF: "ok"}
    assert REF in repo.refs() and REF not in other.refs()
    other.remove()


@pytest.mark.parametrize("name, reason", [("other/one", "push_not_allowed"), ("third/one", "repository_not_allowed")])
def test_a_repository_that_may_not_be_pushed_to(lab, taken, name, reason):
    """Not even the mirror's process hears of it."""
    assert Frames(taken.open(name)).reason == reason
    taken.pair.settimeout(0)
    with pytest.raises(BlockingIOError):
        receive(taken.pair)


def test_the_advertisement(lab, repo, taken):
    """Asked for where some profile may push, with the domain's own credential; nothing else of receive-pack is."""
    with taken.push(repo.name) as push:
        domain = push.domain
    got = taken.ask(domain, repo.name, kind=INFO_REFS, length=0)
    assert (got.reason, got.end) == ("", "") and got.data.startswith(b"001f# service=git-receive-pack\n0000")
    asked = len(lab.forge.requests())
    assert taken.ask(domain, "other/one", kind=INFO_REFS, length=0).reason == "push_not_allowed"
    assert taken.ask(bytes(96), repo.name, kind=INFO_REFS, length=0).reason == "upstream_denied"
    assert len(lab.forge.requests()) == asked


# ---- what is told

def test_what_is_told_is_held_against_what_was_seen(lab, push):
    """A push that was never sent was not forwarded."""
    push.tell(FORWARDED, "", n=1)
    push.over()
    line = event(lab)
    assert (line["outcome"], line["decision"], line["reason"]) == ("rejected", "deny", "internal_error")


def test_what_was_sent_was_not_rejected(lab, repo, push):
    push.create(change(repo.tip()))
    push.tell(REJECTED, "ref_not_allowed")
    push.over()
    assert event(lab)["outcome"] == "indeterminate"


def test_told_by_nobody(lab, repo, push):
    """The mirror's process dies after the push went out: it is in the audit all the same."""
    push.create(change(repo.tip()))
    push.socket.close()
    line = event(lab)
    assert (line["outcome"], line["reason"], line["decision"]) == ("indeterminate", "internal_error", "allow")
    assert Frames(push.answer).reason == "internal_error"


def test_dead_before_it_said_anything(lab, push):
    push.socket.close()
    line = event(lab)
    assert (line["outcome"], line["reason"]) == ("rejected", "internal_error")


def test_the_sandbox_is_told(lab, push):
    """Of a refusal on its own page, like of any other; and whoever reads the log sees which finding it was."""
    push.tell(REJECTED, "ref_not_allowed", (1, 0, "ref_not_allowed", NONE_ID, "1" * 40, "refs/heads/main"))
    push.over()
    line = event(lab)
    what = f"push {HOST}/{line['repo']} refs/heads/main"
    shown = wait_for("the refusal", lambda: [r for r in told(lab.sandbox) if r["what"] == what])
    assert shown[0]["reason"] == "ref_not_allowed"
    assert f"{what} rejected" in lab.cordon("log", "--deny").stdout


def test_a_flood_of_refusals_is_counted(lab, repo, taken):
    """Beyond audit_lines_per_second they are one line without lists, with how many there were."""
    many = 7
    try:
        lab.profile("agent", {**AGENT, "limits": {**AGENT["limits"], "audit_lines_per_second": 1}})
        lab.cordon("reload", check=True)
        for _ in range(many):
            with taken.push(repo.name) as push:
                push.tell(REJECTED, "ref_not_allowed", (1, 0, "ref_not_allowed", NONE_ID, "1" * 40, "refs/heads/main"))
                push.over()
        lines = wait_for("all of them", lambda: (found := lab.audit.events(src="keeper", event="push"))
                         and sum(e.get("count", 1) for e in found) == many and found)
        assert len(lines) < many and any("commands" not in e for e in lines), lines
    finally:
        lab.profile("agent", AGENT)
        lab.cordon("reload", check=True)


def test_lists_are_cut_and_counted(lab, push):
    rows = [(1, 0, "ref_not_allowed", NONE_ID, "1" * 40, f"refs/heads/{'x' * 200}{n}") for n in range(64)]
    push.tell(REJECTED, "ref_not_allowed", *rows, n=20000)
    push.over()
    line = event(lab)
    assert line["n_commands"] == 20000 and len(line["commands"]) == 64
    assert line["commands"][63]["ref"].endswith("x63") and line["commands"][63]["result"] == "ref_not_allowed"


def test_the_client_went_away(lab, repo, push):
    """While upstream works: the connection is given up, what became of it is not known."""
    with repo.held() as waiting:
        frames = push.create(change(repo.tip()), wait=False)
        waiting()
        frames.close()
        push.socket.close()
        assert event(lab)["outcome"] == "indeterminate"


# ---- upstream fails

def test_upstream_is_away(lab, forge, repo, push):
    """Nothing was sent, and that is said."""
    forge.relay.refuse()
    try:
        frames = push.create(change(repo.tip()))
        assert (frames.reason, frames.push) == ("upstream_unreachable", 0)
    finally:
        forge.relay.listen()
    push.tell(REJECTED, "upstream_unreachable")
    push.over()
    assert event(lab)["outcome"] == "rejected"


@pytest.mark.parametrize("hook", ["pre-receive", "reference-transaction"])
def test_the_connection_breaks(lab, forge, repo, push, hook):
    """What was sent may have been done or not: sent, and no report."""
    with repo.held(hook) as waiting:
        frames = push.create(change(repo.tip()), wait=False)
        waiting()
        forge.relay.cut()
        got = Frames(frames)
    assert got.push & SENT and got.end != "" and (got.reason or got.end)
    assert forge.posts(repo) == 1, "it is sent once"


def test_the_password_is_wrong(lab, forge, repo, push):
    """A 401 is upstream_denied; the gate finds out whether anything was done."""
    write(f"{forge.dir}/password", f"{USER}:x\n")
    hashed = subprocess.run(["openssl", "passwd", "-apr1", "-stdin"], input=TOKEN, capture_output=True, text=True).stdout.strip()
    try:
        frames = push.create(change(repo.tip()))
        assert frames.reason == "upstream_denied" and repo.ran() is None
    finally:
        write(f"{forge.dir}/password", f"{USER}:{hashed}\n")


# ---- the audit cannot be written

@pytest.fixture
def small(labs):
    """A lab whose log is a file system of its own."""
    lab = labs(up=False, profiles={"agent": AGENT, "default": AGENT})
    lab.gateway.run(["sh", "-c", f"mkdir -p {lab.log_dir} && mount -t tmpfs -o size=1m,mode=755 lab {lab.log_dir}"],
                    check=True)
    return furnish(lab)


def test_nothing_is_pushed_while_the_audit_cannot_be_written(small):
    lab, forge = small, small.forge
    repo = forge.repository("acme/small")
    taken = Taken(lab, HOST)
    dialled, filler = forge.relay.accepted, f"{lab.log_dir}/filler"
    full = lab.gateway.run(["sh", "-c", f"cat /dev/zero >{filler}"])
    assert "No space left" in full.stderr
    with taken.push(repo.name) as push:
        assert push.create(change(repo.tip())).reason == "audit_unavailable"
        assert forge.relay.accepted == dialled and repo.ran() is None
    lab.gateway.run(["rm", filler], check=True)
    with taken.push(repo.name) as push:
        assert report_of(push.create(change(repo.tip())).data).refs == {REF: "ok"}, "and goes on"
    taken.close()


# ---- what the mirror's process never says

@pytest.mark.parametrize("what", ["a push without a request", "a push as a question", "a push of protocol 2"])
def test_what_no_mirror_says_ends_the_keeper(labs, what):
    lab = furnish(labs(up=False, profiles={"agent": AGENT, "default": AGENT}))
    forge, repo = lab.forge, lab.forge.repository("acme/never")
    old = lab.pids("cordon-keeper")
    taken = Taken(lab, HOST)
    with taken.push(repo.name) as push:
        domain = push.domain
    dialled = forge.relay.accepted
    objects = change(repo.tip())
    if what == "a push without a request":
        fds = [sealed(b""), sealed(push_list((NONE_ID, objects[0].id, REF))), sealed(pack(*objects))]
        send(taken.pair, "MIRROR_PUSH", len(pack(*objects)).to_bytes(8, "little"), *fds)
    elif what == "a push as a question":
        assert taken.ask(domain, repo.name).reason is None
    else:
        assert taken.ask(domain, repo.name, kind=INFO_REFS, length=0, protocol=2).reason is None
    wait_for("a new keeper", lambda: set(lab.pids("cordon-keeper")) - set(old))
    assert forge.relay.accepted == dialled and repo.ran() is None
    taken.close()
