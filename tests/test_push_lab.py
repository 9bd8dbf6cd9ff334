"""The forge of the push tests by itself: git pushes to it directly, its hooks and its relay do what they are told."""

import subprocess

import pytest

from lab import Lab
from labgit import GIT
from labhttp import FLUSH
from labnet import wait_for
from labobjects import blob, change, copy, delta, insert, pack
from labpush import ZERO, Forge, commands, create, report_of

@pytest.fixture(scope="module")
def lab(world):
    with Lab(world) as lab:
        lab.forge = Forge(lab)
        yield lab


@pytest.fixture
def forge(lab):
    lab.forge.reset()
    return lab.forge


@pytest.fixture
def repo(forge, request):
    repo = forge.repository("acme/" + request.node.name.replace("_", "-").replace("[", "-").replace("]", ""))
    yield repo
    repo.remove()


def push(forge, repo, *refspecs, options=()):
    """From the repository itself: what it has under another name is new there."""
    return forge.direct("-C", repo.path, "push", *options, repo.url, *refspecs)


def start_push(forge, repo, refspec="main:agent/x"):
    return forge.lab.internet.start(["git", "-C", repo.path, "push", "-q", repo.url, refspec], env=forge.env,
                                    stderr=subprocess.DEVNULL)


def receive(repo, body):
    """receive-pack by hand."""
    done = subprocess.run(["git", "-c", "safe.directory=*", "receive-pack", "--stateless-rpc", repo.path], input=body,
                          capture_output=True, env=GIT)
    return report_of(done.stdout)


def test_push(forge, repo):
    done = push(forge, repo, "main:agent/x", options=["-o", "a=b"])
    assert done.returncode == 0, done.stderr
    assert repo.refs()["refs/heads/agent/x"] == repo.tip()
    assert "GIT_PUSH_OPTION_0=a=b" in repo.ran() and "refs/heads/agent/x" in repo.ran()
    wait_for("the server's log", lambda: {r.status for r in forge.requests(method="POST") if repo.name in r.path} == {"200"})


def test_password(forge, repo):
    done = forge.direct("-c", "http.extraHeader=", "ls-remote", repo.url)
    assert done.returncode and "could not read Username" in done.stderr


def test_rejects_and_says(forge, repo):
    repo.will(do="exit")
    repo.will(do="say", text="not today\n")
    done = push(forge, repo, "main:agent/x")
    assert done.returncode and "remote: not today" in done.stderr and "pre-receive hook declined" in done.stderr


@pytest.mark.parametrize("hook", ["pre-receive", "reference-transaction"])
def test_cut_while_it_waits(forge, repo, hook):
    """The client does not hear of it; upstream goes on by itself or not, and the hook tells how far it was."""
    with repo.held(hook) as waiting:
        client = start_push(forge, repo)
        waiting()
        forge.relay.cut()
        assert client.wait() != 0
        assert ("refs/heads/agent/x" in repo.refs()) == (hook == "reference-transaction")


def test_cut_by_bytes(forge, repo):
    forge.relay.cut_after(down=1500)
    assert push(forge, repo, "main:agent/x").returncode
    assert "refs/heads/agent/x" not in repo.refs()
    assert push(forge, repo, "main:agent/x").returncode == 0


def test_killed_and_back(forge, repo):
    with repo.held() as waiting:
        client = start_push(forge, repo)
        waiting()
        forge.kill()
        assert client.wait() != 0
    assert push(forge, repo, "main:agent/x").returncode
    forge.start()
    assert push(forge, repo, "main:agent/x").returncode == 0


@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_objects_by_hand(forge, format):
    """git takes what labobjects makes."""
    repo = forge.repository(f"acme/hand-{format}", format=format)
    objects = change(repo.tip(), format=format)
    report = receive(repo, create(repo, objects))
    assert (report.unpack, report.refs) == ("ok", {"refs/heads/agent/x": "ok"})
    assert repo.has(*(o.id for o in objects)) and repo.git("fsck", "--strict") == ""
    repo.remove()


def test_deltas_by_hand(forge, repo):
    base = blob(b"0123456789" * 100)
    whole = blob(base.data[:500] + b"more")
    thin = delta(base, len(whole.data), copy(0, 500) + insert(b"more"))
    commit, tree, _ = change(repo.tip(), files={b"a": whole.data})
    report = receive(repo, commands((ZERO, commit.id, "refs/heads/agent/x")) + pack(commit, tree, thin, base))
    assert report.refs == {"refs/heads/agent/x": "ok"} and repo.has(whole.id)


def test_report_is_read_strictly():
    assert report_of(FLUSH).refs == {}
    for bad in (b"", b"0005\1", b"0006\1a0000x", b"zzzz"):
        with pytest.raises((AssertionError, ValueError)):
            report_of(bad)
