"""Other clients than git push through the gate and read its refusals: libgit2, dulwich, JGit, and git as it was.

Their words are their own; that a reason reaches the person and that the status tells it, is ours.
"""

import itertools
import os

import pytest

from labpush import FREE, HOST, RECEIVE, Work, forwarded, policy, push_lab, refused, token
from test_git_clients import jgit  # noqa: F401 (fixture)

AGENT = "refs/heads/agent/x"
_count = itertools.count(1)


@pytest.fixture(scope="module")
def lab(world):
    with push_lab(world, {"agent": policy("host_mirror"), "free": policy("upstream", **FREE)}) as lab:
        yield lab


@pytest.fixture
def guest(lab):
    return lab.sandbox


@pytest.fixture
def repo(lab):
    lab.audit.mark()
    repo = lab.forge.repository(f"acme/k{next(_count)}")
    yield repo
    repo.remove()


LIBGIT2 = """
import pygit2, sys
class Told(pygit2.RemoteCallbacks):
    def push_update_reference(self, name, message):
        print(name, message or 'ok')
    def sideband_progress(self, text):
        sys.stdout.write(text)
r = pygit2.Repository(sys.argv[1])
r.remotes['origin'].push(sys.argv[2:], callbacks=Told())
"""


def libgit2(work, *refspecs):
    pytest.importorskip("pygit2")
    return work.sandbox.run(["/usr/bin/python3", "-c", LIBGIT2, work.name, *refspecs])


DULWICH = """
import sys
from dulwich import porcelain
from dulwich.repo import Repo
porcelain.push(Repo(sys.argv[1]), sys.argv[2], [s.encode() for s in sys.argv[3:]], errstream=sys.stdout.buffer)
"""


def dulwich(work, *refspecs):
    pytest.importorskip("dulwich")
    return work.sandbox.run(["/usr/bin/python3", "-c", DULWICH, work.name, work.repo.url, *refspecs])


@pytest.fixture(params=["libgit2", "dulwich", "jgit"])
def push(request, lab):
    if request.param == "libgit2":
        return libgit2
    if request.param == "dulwich":
        return dulwich
    java = request.getfixturevalue("jgit")
    return lambda work, *refspecs: java("--git-dir", f"{work.name}/.git", "push", "origin", *refspecs)


def test_push(lab, repo, push):
    work = Work(lab, repo)
    for n in range(2):
        new = work.commit({"a": f"{n}\n" * 1000})
        lab.audit.mark()
        done = push(work, f"refs/heads/main:{AGENT}")
        assert done.returncode == 0 and repo.refs().get(AGENT) == new, done.stdout + done.stderr
        forwarded(lab, repo)
    assert repo.git("fsck", "--strict") == ""


def test_refused(lab, repo, push):
    """By the policy, and for a secret: the reason is shown."""
    work = Work(lab, repo)
    work.commit()
    with refused(lab, repo, "ref_not_allowed"):
        done = push(work, "refs/heads/main:refs/heads/main")
        assert "ref_not_allowed" in done.stdout + done.stderr, done


def test_secret(lab, repo, push):
    secret = token().decode()
    work = Work(lab, repo)
    work.commit({"a": secret})
    with refused(lab, repo, "secret_detected"):
        done = push(work, f"refs/heads/main:{AGENT}")
        assert "secret_detected" in done.stdout + done.stderr and secret not in done.stdout + done.stderr, done


@pytest.mark.parametrize("option", [
    "protocol.version=0", "protocol.version=1", "push.negotiate=true", "http.postBuffer=200", "pack.window=0",
    "core.compression=0", "http.version=HTTP/2", "submodule.recurse=true", "transfer.advertiseSID=true"])
def test_ways_of_git(lab, repo, option):
    work = Work(lab, repo)
    new = work.commit({"a": "text\n" * 5000})
    done = work.git("-c", option, "push", "origin", "HEAD:agent/x")
    assert done.returncode == 0 and repo.refs().get(AGENT) == new, done.stderr


def test_kinds_of_clones(lab, repo):
    """Shallow, partial, sparse and bare ones push what they have."""
    for n, options in enumerate((["--depth=1"], ["--depth=2"], ["--filter=blob:none"], ["--filter=tree:0", "--sparse"],
                                 ["--bare"])):
        work = Work(lab, repo, *options)
        if options == ["--bare"]:
            assert work.git("push", "-q", "origin", f"main:agent/k{n}").returncode == 0
            continue
        new = work.commit({"a": f"{n}"})
        done = work.push(f"HEAD:agent/k{n}")
        assert done.returncode == 0 and repo.refs()[f"refs/heads/agent/k{n}"] == new, f"{options}: {done.stderr}"
    assert repo.git("fsck", "--strict") == ""
    assert not os.path.exists(f"{repo.path}/shallow")


def test_history_that_nobody_has(lab, repo):
    """A shallow clone of another repository does not become the whole of this one."""
    other = Work(lab, lab.forge.repository("acme/longer", commits=9), "--depth=1")
    other.commit({"a": "b"})
    other.must("remote", "set-url", "origin", f"https://{HOST}/{repo.name}")
    with refused(lab, repo, "pack_malformed"):
        assert other.push("HEAD:agent/k").returncode == 1


def test_over_plain_http(lab, repo):
    """Port 80 of the git host; upstream it is TLS all the same."""
    work = Work(lab, repo)
    new = work.commit()
    work.must("remote", "set-url", "origin", repo.url.replace("https:", "http:"))
    done = work.push("HEAD:agent/x")
    assert done.returncode == 0 and repo.refs().get(AGENT) == new, done.stderr


def test_both_families(lab, repo):
    for family in (4, 6):
        work = Work(lab, repo)
        new = work.commit()
        done = work.push(f"-{family}", f"HEAD:agent/v{family}")
        assert done.returncode == 0 and repo.refs().get(f"refs/heads/agent/v{family}") == new, done.stderr


def test_exit_status_and_porcelain(lab, repo):
    """What programs read."""
    work = Work(lab, repo)
    work.commit()
    done = work.push("--porcelain", "HEAD:agent/x")
    assert done.returncode == 0 and f"*\tHEAD:{AGENT}\t[new branch]" in done.stdout, done
    work.commit()
    done = work.push("--porcelain", "HEAD:main", "HEAD:agent/x")
    assert done.returncode == 1 and "!\tHEAD:refs/heads/main\t[remote rejected] (ref_not_allowed: " in done.stdout, done
    assert "[remote rejected] (not pushed: another ref of this push was refused)" in done.stdout
    assert "Username" not in done.stderr and "Password" not in done.stderr


def test_foreign_token(lab, repo):
    """A credential of the sandbox's own is neither used nor passed on."""
    work = Work(lab, repo)
    work.commit()
    work.must("remote", "set-url", "origin", repo.url.replace("https://", "https://x:glpat-own-0123456789@"))
    done = work.push("HEAD:agent/x")
    assert AGENT not in repo.refs() or done.returncode == 0
    assert not any("glpat-own" in (r.authorization or "") for r in lab.forge.requests())
    assert all(r.path.endswith(RECEIVE) or "info/refs" in r.path or "upload-pack" in r.path for r in lab.forge.requests())
