"""Clients unmodified, served from mirrors: what test_git*.py shows of them holds for protocol 2 from here, too.

The tests are those modules' own, run in a lab whose repositories are mirrored and warm; each must have been served
from here, or else it would show nothing.
"""

import re

import pytest

import test_git_clients as clients
from lab import Lab
from labmirror import MIRRORED
from labnet import wait_for
from test_git import WIDGETS, allowed, guest, seen, test_partial_clone  # noqa: F401 (fixtures, tests)
from test_git import test_fetch_with_many_haves, test_shallow_deepen_fetch_ls_remote  # noqa: F401
from test_git import test_forms_of_a_body, test_upstream_order_of_headers  # noqa: F401
from test_git_clients import jgit, test_lazy_fetches, test_same_headers, url  # noqa: F401

HERE = {"mirror", "spool"}


def warm(lab, repo):
    """Until objects come from here; the clone is removed again."""
    def served():
        lab.audit.mark()
        done = lab.sandbox.git("clone", "-q", "--mirror", url(repo), "warm")
        assert done.returncode == 0, done.stderr
        lab.sandbox.run(["rm", "-r", f"{lab.sandbox.dir}/home/warm"], check=True)
        lab.audit.until(lambda es: len(es) >= 3, event="git", decision="allow")
        return {e.get("source") for e in lab.audit.events(event="git", decision="allow")} & HERE
    wait_for(f"the mirror of {repo}", served)


@pytest.fixture(scope="module")
def lab(world, tmp_path_factory):
    clients.superproject_and_parts(world, tmp_path_factory.mktemp("super"))
    with Lab(world, profiles={"agent": {**MIRRORED, "git": {**MIRRORED["git"], "allowed_repos": [
            f"acme/{r}" for r in ("widgets", "many", "sub", "super", "hashed", "moving")]}}}) as lab:
        lab.up()
        lab.add_sandbox()
        for repo in ("widgets", "many", "sub", "super"):
            warm(lab, repo)
        yield lab
        assert not lab.problems()


ELSEWHERE = ("forms_of_a_body", "order_of_headers", "same_headers", "shallow-exclude",
             "libgit2", "dulwich", "jgit")		# which speak version 0


@pytest.fixture(autouse=True)
def _served_from_here(request, lab):
    yield
    if not any(word in request.node.name for word in ELSEWHERE):
        lab.audit.until(lambda es: {e.get("source") for e in es} & HERE, event="git", decision="allow")


@pytest.mark.parametrize("options", next(m.args[1] for m in clients.test_clones.pytestmark if m.args[0] == "options"),
                         ids="".join)
def test_clones(lab, guest, options):
    clients.test_clones(lab, guest, 2, options)


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_clone(lab, guest, family, scheme):
    done = guest.git("clone", "-q", f"-{family}", f"{scheme}://github.com/acme/widgets.git", "w")
    assert done.returncode == 0, done.stderr
    assert guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/widgets")
    assert guest.git("-C", "w", "fsck", "--full").returncode == 0
    allowed(lab)


def test_deepen(lab, guest):
    clients.test_deepen(lab, guest, 2)


def test_submodules(lab, guest):
    clients.test_submodules(lab, guest)


def test_many_refs(lab, guest):
    clients.test_many_refs(lab, guest, 2)


def test_libgit2(lab, guest):
    clients.test_libgit2(lab, guest, "https")


def test_dulwich(lab, guest):
    clients.test_dulwich(lab, guest)


def test_prune(lab, guest):
    """Of a mirror that follows: what was deleted and moved upstream is so here."""
    path = clients.bare(lab.world, "moving")
    clients.git("-C", path, "fetch", "-q", f"{lab.world.repos}/acme/widgets.git", "main:main", "main:gone")
    clients.served(path)
    warm(lab, "moving")
    lab.audit.mark()
    clients.test_prune(lab, guest)


def test_sha256(lab, guest, tmp_path):
    """A repository of the other format has a mirror of that format."""
    work, path = f"{tmp_path}/w", clients.bare(lab.world, "hashed", "--object-format=sha256")
    clients.git("init", "-q", "-b", "main", "--object-format=sha256", work)
    clients.git("commit", "-q", "--allow-empty", "-m", "x", cwd=work)
    clients.git("push", "-q", path, "main", cwd=work)
    clients.served(path)
    warm(lab, "hashed")
    lab.audit.mark()
    assert guest.git("clone", "-q", url("hashed"), "w").returncode == 0
    clients.git("commit", "-q", "--allow-empty", "-m", "y", cwd=work)
    clients.git("push", "-q", path, "main", cwd=work)
    clients.served(path)
    tip = clients.git("rev-parse", "HEAD", cwd=work)

    def follows():
        done = guest.git("-C", "w", "pull", "-q")
        assert done.returncode == 0, done.stderr
        return guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == tip
    wait_for("the new commit", follows)
    assert len(tip) == 64 and guest.git("-C", "w", "fsck").returncode == 0
    allowed(lab)


def test_same_words(lab, guest, tmp_path):
    """What git shows without us, but for what pack-objects says of another pack: rates, times, numbers of objects."""
    def plain(text):
        lines = [line.rstrip() for line in re.split(r"[\r\n]", text)]
        lines = [re.sub(r", \d.*(bytes|iB).*, done", ", done", line) for line in lines if line]
        return sorted(line for line in lines if "%" not in line and not line.startswith("remote: "))

    def remote(text):
        return {m for m in re.findall(r"remote: (\w+)", text)} - {"Counting", "Compressing"}	# what it need not do

    steps = (["clone", "--progress", WIDGETS, "w"], ["-C", "w", "fetch", "--progress", "--tags"],
             ["-C", "w", "fetch", "-v"], ["-C", "w", "pull"], ["ls-remote", WIDGETS],
             ["clone", "--depth=2", "--progress", WIDGETS, "s"], ["-C", "s", "fetch", "--progress", "--unshallow"],
             ["-C", "w", "remote", "show", "origin"], ["-C", "w", "fetch", "origin", "no-such-branch"])
    for argv in steps:
        ours = guest.git(*argv)
        theirs = clients.direct(lab, *argv, dir=f"{tmp_path}/d")
        assert ours.returncode == theirs.returncode, ours.stderr + theirs.stderr
        assert ours.stdout == theirs.stdout, argv
        assert plain(ours.stderr) == plain(theirs.stderr), argv
        assert remote(ours.stderr) == remote(theirs.stderr), argv
    allowed(lab)


def test_jgit(lab, guest, jgit):
    """Another implementation of the protocol."""
    done = jgit("clone", WIDGETS, "w")
    assert done.returncode == 0, done.stdout + done.stderr
    assert guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/widgets")
    assert guest.git("-C", "w", "fsck", "--full").returncode == 0
    allowed(lab)
