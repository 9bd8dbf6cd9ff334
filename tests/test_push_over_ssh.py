"""Pushing to an upstream that is reached by ssh, with an identity and a pinned host key; clients speak https as always."""

import contextlib
import os

import pytest

from lab import AGENT as PROFILE
from lab import Lab, write
from labmirror import Crowd
from labnet import wait_for
from labobjects import change
from labpush import FREE, PUSH, Work, create, forwarded, raw, report_of
from test_ssh_upstream import Setting, fingerprint, keygen, ssh_pids

AGENT = "refs/heads/agent/x"


def profile(source, **push):
    return {**PROFILE, "git": {"enabled": True, "source": source, "allowed_hosts": ["github.com"],
                               "allowed_repos": ["acme/*"], "push": {**PUSH, **push}}}


@pytest.fixture(scope="module")
def setting(world):
    profiles = {"agent": profile("host_mirror"), "default": profile("host_mirror"), "free": profile("host_mirror", **FREE)}
    with Lab(world, profiles=profiles, accounts=True) as lab:
        s = Setting(lab)
        try:
            lab.up()
            lab.add_sandbox()
            lab.add_sandbox("vm1", "free")
            s.sshd.start()
            yield s
            assert not lab.problems(), lab.problems()
        finally:
            s.origin.remove()


@pytest.fixture
def repo(setting):
    """The one repository, as it was at first."""
    origin = setting.origin
    for ref in origin.git("for-each-ref", "--format=%(refname)", "refs/heads/agent").split():
        origin.git("update-ref", "-d", ref)
    setting.lab.audit.mark()
    write(f"{setting.sshd.dir}/commands", "", 0o666)
    return origin


def push_raw(lab, repo, body, **kw):
    got = raw(lab, repo, body, host="github.com", **kw)
    assert got.status == 200, got
    return report_of(got.body)


@pytest.mark.parametrize("vm", ["vm0", "vm1"])
def test_push(setting, repo, vm):
    lab = setting.lab
    work = Work(lab, repo, sandbox=lab.sandboxes[vm])
    for _ in range(2):
        new = work.commit()
        lab.audit.mark()
        done = work.push("HEAD:agent/x")
        assert done.returncode == 0, done.stderr + lab.logs()
        assert repo.git("rev-parse", AGENT) == new
        forwarded(lab, repo)
        assert work.must("ls-remote", "origin", AGENT).split() == [new, AGENT]
    assert (f"git-receive-pack '{repo.name}.git'", "") in setting.sshd.commands()
    assert not lab.web.requests(host="github.com"), "nothing goes to the same host by https"
    if vm == "vm1":
        lab.audit.mark()
        assert work.push(":agent/x").returncode == 0
        forwarded(lab, repo)


def test_refused(setting, repo):
    """The gate's own refusals start no command upstream but the look at its refs."""
    lab = setting.lab
    report = push_raw(lab, repo, create(repo, change(repo.tip()), "refs/heads/main2"))
    assert report.why() == "ref_not_allowed"
    assert "refs/heads/main2" not in repo.git("for-each-ref")
    event, = lab.audit.wait(event="push", repo=repo.name)
    assert (event["outcome"], event["reason"]) == ("rejected", "ref_not_allowed")


def test_hook_rejects(setting, repo):
    path = f"{repo.path}/hooks/pre-receive"
    write(path, "#!/bin/sh\ncat >/dev/null\necho not today >&2\nexit 1\n", 0o755)
    try:
        report = push_raw(setting.lab, repo, create(repo, change(repo.tip())))
        assert report.refs == {AGENT: "pre-receive hook declined"} and "not today" in report.progress
        assert setting.lab.audit.wait(event="push", repo=repo.name)[0]["outcome"] == "upstream_rejected"
    finally:
        os.unlink(path)


def test_another_host_key(setting, repo):
    """Whoever answers with another key gets nothing; refused and audited."""
    s, lab = setting, setting.lab
    expected = fingerprint(f"{s.sshd.dir}/host_key")
    saved = {n: open(f"{s.sshd.dir}/{n}").read() for n in ("host_key", "host_key.pub")}
    s.sshd.stop()
    keygen(f"{s.sshd.dir}/host_key")
    s.sshd.start()
    try:
        got = raw(lab, repo, create(repo, change(repo.tip())), host="github.com")
        assert b"upstream_untrusted" in got.body and b"ok refs/" not in got.body, got
        event = lab.audit.wait(src="keeper", event="upstream", reason="upstream_untrusted")[0]
        assert expected in event["outcome"] and s.sshd.commands() == []
        done = lab.sandbox.git("ls-remote", repo.url)
        assert done.returncode
    finally:
        s.sshd.stop()
        for name, text in saved.items():
            write(f"{s.sshd.dir}/{name}", text, 0o600)
        s.sshd.start()
    objects = change(repo.tip())
    wait_for("trust", lambda: push_raw(lab, repo, create(repo, objects)).refs == {AGENT: "ok"}, step=0.2)


def test_killed_in_the_middle(setting, repo):
    """ssh dies with the push: its outcome is asked for."""
    s, lab = setting, setting.lab
    path = f"{repo.path}/hooks/reference-transaction"
    write(path, f'#!/bin/sh\n[ "$1" = committed ] || exit 0\n: >{s.sshd.dir}/moved\n'
                f'while [ -e {s.sshd.dir}/wait ]; do sleep 0.02; done\n', 0o755)
    write(f"{s.sshd.dir}/wait", "")
    try:
        objects = change(repo.tip())
        push = Crowd(1, lambda _: push_raw(lab, repo, create(repo, objects)))
        wait_for("upstream's refs", lambda: os.path.exists(f"{s.sshd.dir}/moved"))
        for pid in ssh_pids(lab):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        report, = push.results()
        assert report.refs == {AGENT: "ok"}, report
    finally:
        os.unlink(f"{s.sshd.dir}/wait")
        os.unlink(path)
    assert lab.audit.wait(event="push", repo=repo.name)[0]["outcome"] == "forwarded"
    wait_for("the end of ssh", lambda: not ssh_pids(lab))
