"""Renamed repositories, and upstreams that send clients elsewhere. Threats C8."""

import pytest

from lab import AGENT, row
from labhttp import ask, info_refs, ls_refs, post
from labnet import wait_for
from test_git import _rude

REPOS = ["acme/widgets", "acme/renamed", "acme/taken", "acme/away", "acme/ping", "acme/pong"]


@pytest.fixture(scope="module")
def names(world):
    """A lab whose profile grants every one of the old names, and of the new ones only acme/widgets."""
    from lab import Lab
    profile = {**AGENT, "git": {**AGENT["git"], "allowed_hosts": ["github.com", "gitlab.com"],
                                "allowed_repos": [f"github.com/{r}" for r in REPOS]}}
    with Lab(world, profiles={"agent": profile}) as lab:
        lab.up()
        lab.add_sandbox()
        yield lab
        assert not lab.problems()


@row("C8")
def test_renamed(names, family):
    """Cloned under its old name, every request of it; the new name is the one that is dialled."""
    names.renew(f"-renamed{family}")
    before = len(names.web.requests())
    done = names.sandbox.git("clone", f"-{family}", "https://github.com/acme/renamed", f"r{family}")
    assert done.returncode == 0, done.stderr
    head = names.sandbox.git("-C", f"r{family}", "rev-parse", "HEAD").stdout.strip()
    assert head == names.world.tip("acme/widgets")
    events = names.audit.until(lambda found: len(found) >= 3, event="git", decision="allow")
    assert {(e["repo"], e["moved"]) for e in events} == {("acme/renamed", "acme/widgets")}
    names.audit.no_refusals()
    wait_for("the server's log", lambda: {
        ("POST", "/acme/renamed.git/git-upload-pack", "301"),
        ("POST", "/acme/widgets.git/git-upload-pack", "200")} <= {
        (r.method, r.path, r.status) for r in names.web.requests()[before:]})


@row("C8")
@pytest.mark.parametrize("repo", ["taken", "away", "ping"])
def test_not_granted(names, family, repo):
    """A new name without a grant, another host (though it is granted too), a ring: one word for all."""
    names.renew(f"-{repo}{family}")
    before = len(names.web.requests())
    done = names.sandbox.git("clone", f"-{family}", f"https://github.com/acme/{repo}", "x")
    assert done.returncode and "remote: redirect_not_allowed" in done.stderr
    assert "payroll" not in done.stderr and "gitlab" not in done.stderr
    names.audit.only("redirect_not_allowed", repo=f"acme/{repo}")
    want = ["ping", "pong"] if repo == "ping" else [repo]

    def asked():			# a server logs after it has answered
        return [(r.host, r.path.split("/info")[0]) for r in names.web.requests()[before:]]
    wait_for("the server's log", lambda: len(asked()) >= len(want))
    assert asked() == [("github.com", f"/acme/{name}.git") for name in want]
    event = names.audit.wait(src="keeper", event="upstream", reason="redirect_not_allowed")[0]
    assert event["outcome"].startswith("redirects to ") and event["status"] in (301, 302)


@row("C8")
def test_of_a_request(names):
    """A POST is judged like the rest of its repository."""
    names.renew("-post")
    body = ls_refs("refs/heads/main")
    got = ask(names.sandbox, post("acme/renamed", body))
    assert got.status == 200 and names.world.tip("acme/widgets").encode() in got.body
    got = ask(names.sandbox, post("acme/taken", body))
    assert (got.status, got.reason) == (200, "redirect_not_allowed") and got.body[4:8] == b"ERR "


@row("C8")
def test_where_it_leads(labs):
    """Another scheme, port or spelling of the place, another request: nothing of it is followed."""
    lab, rude = _rude(labs)
    tail = "/info/refs?service=git-upload-pack"
    for status, location in (
            ("301 x", f"http://gitlab.com/acme/widgets.git{tail}"),
            ("301 x", f"https://gitlab.com:8443/acme/widgets.git{tail}"),
            ("301 x", f"//gitlab.com/acme/widgets.git{tail}"),
            ("301 x", f"https://x:y@gitlab.com/acme/widgets.git{tail}"),
            ("301 x", f"https://gitlab.com.evil.example/acme/widgets.git{tail}"),
            ("301 x", "https://gitlab.com/acme/widgets.git/info/refs?service=git-receive-pack"),
            ("301 x", "https://gitlab.com/users/sign_in"),
            ("303 x", f"https://gitlab.com/acme/widgets.git{tail}"),
            ("300 x", f"https://gitlab.com/acme/widgets.git{tail}"),
            ("302 x", f"https://gitlab.com/acme/other.git{tail}")):	# the very name that was asked for
        rude.says(status, f"Location: {location}")
        got = ask(lab.sandbox, info_refs("acme/other", host="gitlab.com"), name="gitlab.com")
        assert got.reason == "repository_not_allowed"
        repo = "acme/widgets"
        if location.endswith(f"acme/widgets.git{tail}") and status[:3] in ("301", "302"):
            rude.says(status, f"Location: {location}")
        got = ask(lab.sandbox, info_refs(repo, host="gitlab.com"), name="gitlab.com")
        assert (got.status, got.reason) == (403, "redirect_not_allowed"), location
        assert len(rude.requests) == 1, location
        assert "location" not in got.fields


@row("C8")
def test_denials_look_alike(labs):
    """401, 403, 404, 410 and a redirect to nowhere: the sandbox sees the same bytes, the audit does not."""
    lab, rude = _rude(labs)
    seen = {}
    for status in ("401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone", "451 x"):
        rude.says(status, 'WWW-Authenticate: Basic realm="x"', body=status.encode() * 9, type="text/plain")
        seen[status[:3]] = (ask(lab.sandbox, info_refs("acme/widgets", host="gitlab.com"), name="gitlab.com"),
                            ask(lab.sandbox, post("acme/widgets", ls_refs(), host="gitlab.com"),
                                name="gitlab.com"))
    first = seen["404"]
    assert first[0].reason == first[1].reason == "upstream_denied"
    assert all(answers == first for answers in seen.values())
    events = lab.audit.until(lambda found: len(found) >= len(seen), src="keeper", event="upstream")
    assert {str(e["status"]) for e in events} == set(seen)
    lab.audit.wait_one(src="gitproxy", decision="deny", reason="upstream_denied")
