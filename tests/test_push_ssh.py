"""Pushes whose upstream is reached by ssh, at the keeper: the test speaks for cordon-mirror's process."""

import contextlib
import itertools
import os

import pytest

from lab import AGENT, Lab, write
from labmirrortaken import ALL, ATOMIC, INFO_REFS, NONE_ID, REJECTED, REPORT, SENT, SIDE_BAND, Frames, Taken, push_list
from labnet import wait_for
from labobjects import change, pack
from labpush import Work, report_of
from test_ssh_upstream import Setting, fingerprint, keygen

HOST, REF = "github.com", "refs/heads/agent/x"
GIT = {"enabled": True, "source": "upstream", "allowed_hosts": [HOST], "allowed_repos": ["acme/*"],
       "push": {"allowed_repos": ["acme/*"], "refs": ["refs/heads/agent/*"], "force": True, "delete": True, "options": True}}
PROFILE = {**AGENT, "git": {**GIT, "source": "host_mirror"}, "limits": {"git_transfers": 20}}
_numbers = itertools.count(1)


def works(s):
    """Does git upstream still do something for a push?"""
    found = False
    for pid in s.lab.internet.pids():
        with contextlib.suppress(OSError):
            found |= s.origin.name.encode() in open(f"/proc/{pid}/cmdline", "rb").read()
    return found


@pytest.fixture(scope="module")
def up(world, request):
    with Lab(world, profiles={"agent": PROFILE, "default": PROFILE}, accounts=True) as lab:
        s = Setting(lab)
        s.sshd.start()
        lab.up()
        lab.add_sandbox()
        yield s
        wait_for("the end of what upstream does", lambda: not works(s))
        s.origin.remove()
        assert not lab.problems(), lab.problems()


@pytest.fixture
def s(up, request):
    request.node.labs = [up.lab]
    up.lab.renew(f"-{next(_numbers)}")
    write(f"{up.sshd.dir}/commands", "", 0o666)
    refs = up.origin.git("for-each-ref", "--format=%(refname)", "refs/heads/agent").split()
    for name in [*refs, "receive.advertisePushOptions", "receive.advertiseAtomic"]:
        up.origin.git(*(["update-ref", "-d", name] if name in refs else ["config", name, "true"]))
    return up


@pytest.fixture
def taken(s):
    taken = Taken(s.lab, HOST)
    yield taken
    taken.close()


@pytest.fixture
def push(s, taken):
    with taken.push(s.origin.name) as push:
        yield push


def test_git_pushes(s):
    """All of it, with git in the sandbox and cordon-mirror at work: by https to Cordon, by ssh from there."""
    work = Work(s.lab, s.origin)
    tip = work.commit()
    done = work.push("HEAD:refs/heads/agent/x")
    assert done.returncode == 0, done.stderr + s.lab.logs()
    assert ref(s) == tip
    [line] = s.lab.audit.wait(src="keeper", event="push")
    assert (line["outcome"], line["decision"], line["credential"]) == ("forwarded", "allow", "deploy")
    done = work.push("HEAD:refs/heads/main")
    assert done.returncode and "ref_not_allowed: allowed are refs/heads/agent/*" in done.stderr
    done = work.push("--delete", "refs/heads/agent/x")
    assert done.returncode == 0 and not ref(s), done.stderr


def ref(s, name=REF):
    out = s.origin.git("for-each-ref", "--format=%(objectname)", name)
    return out.strip()


def reason_of(s, push, reason):
    push.tell(REJECTED, reason)
    push.over()
    [line] = s.lab.audit.wait(src="keeper", event="push", reason=reason)
    return line


def test_a_push_is_sent_on(s, push):
    objects = change(s.origin.tip())
    frames = push.create(objects)
    assert (frames.reason, frames.end) == ("", ""), frames.data
    assert frames.push == SENT | ALL and report_of(frames.data).refs == {REF: "ok"}
    assert ref(s) == objects[0].id
    assert s.sshd.commands() == [(f"git-receive-pack '{s.origin.name}.git'", "")]


def test_a_large_pack(s, push):
    """More than pipes hold."""
    objects = change(s.origin.tip(), files={b"x": os.urandom(8 << 20)})
    assert report_of(push.create(objects).data).refs == {REF: "ok"} and ref(s) == objects[0].id


def test_a_deletion_has_no_pack(s, push):
    s.origin.git("update-ref", REF, s.origin.tip())
    frames = push.send(push_list((s.origin.tip(), NONE_ID, REF)))
    assert report_of(frames.data).refs == {REF: "ok"} and not ref(s)


def test_options_go_along(s, push):
    write(f"{s.origin.path}/hooks/pre-receive", '#!/bin/sh\necho "told $GIT_PUSH_OPTION_0" >&2\n', 0o755)
    frames = push.send(push_list((NONE_ID, s.origin.tip(), REF), options=["a=b"]), pack())
    assert "told a=b" in report_of(frames.data).progress


def test_without_side_band(s, push):
    objects = change(s.origin.tip())
    frames = push.send(push_list((NONE_ID, objects[0].id, REF), upstream=REPORT), pack(*objects))
    assert frames.push == SENT | REPORT and report_of(frames.data, banded=False).refs == {REF: "ok"}


@pytest.mark.parametrize("upstream", [0, SIDE_BAND])
def test_without_a_report(s, push, upstream):
    """How git ended tells that it was done; what of it, is for who asked to find out."""
    objects = change(s.origin.tip())
    frames = push.send(push_list((NONE_ID, objects[0].id, REF), upstream=upstream), pack(*objects))
    assert (frames.reason, frames.end, frames.push) == ("", "", SENT | upstream) and ref(s) == objects[0].id


def test_what_the_server_does_not_offer_is_not_asked_for(s, push):
    """A quiet push may be loud; but one that is not atomic is another push."""
    s.origin.git("config", "receive.advertiseAtomic", "false")
    objects = change(s.origin.tip())
    frames = push.send(push_list((NONE_ID, objects[0].id, REF)), pack(*objects))
    assert frames.push == SENT | (ALL - ATOMIC) and report_of(frames.data).refs == {REF: "ok"}


@pytest.mark.parametrize("key, what", [("receive.advertiseAtomic", {"atomic": 1}),
                                       ("receive.advertisePushOptions", {"options": ["a=b"]})])
def test_what_is_wanted_and_not_offered_is_not_left_out(s, push, key, what):
    s.origin.git("config", key, "false")
    objects = change(s.origin.tip())
    frames = push.send(push_list((NONE_ID, objects[0].id, REF), **what), pack(*objects))
    assert (frames.reason, frames.push) == ("upstream_untrusted", 0) and not ref(s)


def test_another_format_of_objects(s, push):
    """The list is of a repository that this one is not."""
    new = "1" * 64
    frames = push.send(push_list(("0" * 64, new, REF), format=1), pack())
    assert (frames.reason, frames.push) == ("upstream_untrusted", 0)


def test_a_pack_that_is_none(s, push):
    """The server stops to read, and its report says why."""
    frames = push.send(push_list((NONE_ID, "1" * 40, REF)), b"no pack" + bytes(4 << 20))
    report = report_of(frames.data)
    assert report.unpack != "ok" and report.refs[REF] == "unpacker error" and not ref(s)


def test_the_advertisement(s, taken):
    with taken.push(s.origin.name) as push:
        domain = push.domain
    got = taken.ask(domain, s.origin.name, kind=INFO_REFS, length=0)
    assert (got.reason, got.end) == ("", "")
    assert got.data.startswith(b"001f# service=git-receive-pack\n0000") and got.data.endswith(b"0000")
    assert s.origin.tip().encode() in got.data and b"report-status" in got.data
    assert s.sshd.commands() == [(f"git-receive-pack '{s.origin.name}.git'", "")]


def test_a_repository_that_is_not_there(s, taken):
    with taken.push("acme/nothing") as push:
        frames = push.create(change(s.origin.tip()))
        assert (frames.reason, frames.push) == ("upstream_denied", 0)
        assert reason_of(s, push, "upstream_denied")["detail"] == "by the test"


def test_git_dies_over_it(s, push):
    """It was sent: what became of it is not known."""
    write(f"{s.origin.path}/hooks/pre-receive", "#!/bin/sh\nkill -9 $PPID\n", 0o755)
    frames = push.create(change(s.origin.tip()))
    assert frames.push & SENT and frames.end != "" and not ref(s)


@contextlib.contextmanager
def another_key(s):
    """The server answers with a new host key meanwhile."""
    keys = {name: open(name).read() for name in (f"{s.sshd.dir}/host_key", f"{s.sshd.dir}/host_key.pub")}
    s.sshd.stop()
    keygen(f"{s.sshd.dir}/host_key")
    s.sshd.start()
    try:
        yield
    finally:
        s.sshd.stop()
        for name, text in keys.items():
            write(name, text, 0o644 if name.endswith(".pub") else 0o600)
        s.sshd.start()


def test_another_host_key(s, push, taken):
    """Whoever answers there with another key gets nothing; the audit says which was expected and which came."""
    expected = fingerprint(f"{s.sshd.dir}/host_key")
    with another_key(s):
        came = fingerprint(f"{s.sshd.dir}/host_key")
        frames = push.create(change(s.origin.tip()))
        asked = taken.ask(push.domain, s.origin.name, kind=INFO_REFS, length=0)
    assert (frames.reason, frames.push, asked.reason) == ("upstream_untrusted", 0, "upstream_untrusted")
    push.over()
    [line] = s.lab.audit.wait(src="keeper", event="push", reason="upstream_untrusted")
    assert (line["outcome"], line["decision"]) == ("rejected", "deny")
    assert expected in line["detail"] and came in line["detail"]
    assert s.sshd.commands() == [] and not ref(s)


def test_nobody_answers(s, push):
    s.sshd.stop()
    try:
        frames = push.create(change(s.origin.tip()))
        assert (frames.reason, frames.push) == ("upstream_unreachable", 0)
    finally:
        s.sshd.start()


COUNT = '''#!/bin/sh
mkdir -p {dir}/at
mkdir {dir}/at/$$
ls {dir}/at | wc -l >>{dir}/seen
while [ -e {dir}/wait ]; do sleep 0.05; done
rmdir {dir}/at/$$
'''


def test_one_sandbox_leaves_room(s, taken):
    """However many pushes it may make: half of the places are for others, and who waits gets one in the end."""
    places, dir = 16, s.sshd.dir
    write(f"{s.origin.path}/hooks/pre-receive", COUNT.format(dir=dir), 0o755)
    write(f"{dir}/wait", "")
    with contextlib.ExitStack() as stack:
        pushes = [stack.enter_context(taken.push(s.origin.name)) for _ in range(places + 1)]
        answers = []
        for n, push in enumerate(pushes):
            answers.append(push.create(change(s.origin.tip()), ref=f"refs/heads/agent/{n}", wait=False))
            if n < places:		# sshd lets few in at once that it does not know yet
                wait_for("it upstream", lambda: os.path.exists(f"{dir}/seen")
                         and len(open(f"{dir}/seen").readlines()) == n + 1)
        os.unlink(f"{dir}/wait")
        for answer in answers:
            assert set(report_of(Frames(answer).data).refs.values()) == {"ok"}
    seen = [int(line) for line in open(f"{dir}/seen")]
    assert len(seen) == places + 1 and max(seen) <= places
    os.unlink(f"{s.origin.path}/hooks/pre-receive")


def test_who_asked_goes_away(s, push):
    """ssh ends with the request."""
    write(f"{s.origin.path}/hooks/pre-receive", COUNT.format(dir=s.sshd.dir), 0o755)
    write(f"{s.sshd.dir}/wait", "")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{s.sshd.dir}/seen")
    answer = push.create(change(s.origin.tip()), wait=False)
    wait_for("git upstream", lambda: os.path.exists(f"{s.sshd.dir}/seen"))
    assert s.lab.pids("ssh")
    answer.close()
    wait_for("ssh's end", lambda: not s.lab.pids("ssh"))
    os.unlink(f"{s.sshd.dir}/wait")
    push.socket.close()
    [line] = s.lab.audit.wait(src="keeper", event="push")
    assert line["outcome"] == "indeterminate"
