"""Repositories that are mirrored on the host: fresh, shared, produced once; rows D1 and D13 of the threats."""

import copy
import os
import shutil
import subprocess

import pytest

from lab import AGENT
from labnet import ENV, wait_for
from labworld import WWW, fast_import

MIRRORED = copy.deepcopy(AGENT)
MIRRORED["git"] |= {"source": "host_mirror", "allowed_repos": ["acme/*"]}


class Origin:
    """A repository upstream that a test may change."""

    def __init__(self, world, name, commits=60):
        self.name, self.path = name, f"{world.repos}/{name}.git"
        fast_import(self.path, name, commits)
        self._owned()

    def git(self, *argv, **kw):
        out = subprocess.run(["git", "-c", "safe.directory=*", "-C", self.path, *argv], env=ENV, check=True,
                             capture_output=True, text=True, **kw).stdout.strip()
        self._owned()
        return out

    def _owned(self):
        subprocess.run(["chown", "-hR", f"{WWW}:{WWW}", self.path], check=True)

    def commit(self, branch="main", text="more\n", parent=True):
        """One commit more on a branch; its id."""
        tip = self.git("rev-parse", "--verify", "-q", f"refs/heads/{branch}") if parent else ""
        self.git("fast-import", "--quiet", "--force",
                 input=f"commit refs/heads/{branch}\ncommitter A <a@lab.invalid> 1800000000 +0000\ndata {len(text)}\n{text}"
                       + (f"from {tip}\n" if tip else "") + f"M 100644 inline added.txt\ndata {len(text)}\n{text}\n")
        return self.tip(branch)

    def tip(self, branch="main"):
        return self.git("rev-parse", f"refs/heads/{branch}")

    def remove(self):
        shutil.rmtree(self.path)


@pytest.fixture
def lab(labs):
    return labs(profiles={"agent": MIRRORED})


@pytest.fixture
def origin(lab):
    repo = Origin(lab.world, f"acme/m{os.getpid()}")
    yield repo
    repo.remove()


def url(origin):
    return f"https://github.com/{origin.name}"


def clone(lab, origin, to, *options):
    done = lab.sandbox.git("clone", "-q", *options, url(origin), to)
    assert done.returncode == 0, done.stderr + lab.logs()
    return lab.sandbox.git("-C", to, "rev-parse", "HEAD").stdout.strip()


def sources(lab):
    """Where the answers to POSTs came from, in order."""
    return [e["source"] for e in lab.audit.events(event="git", decision="allow", method="POST") if "source" in e]


def warm(lab, origin, tries=[0]):
    """Clone until objects come from the mirror."""
    def served():
        tries[0] += 1
        assert clone(lab, origin, f"warm{tries[0]}") == origin.tip()
        return set(sources(lab)) & {"mirror", "spool"}
    wait_for("an answer of the mirror", served)


def test_from_upstream_then_mirror_then_spool(lab, origin):
    """The first clone is not kept waiting; the same one later is not even made again."""
    warm(lab, origin)
    assert clone(lab, origin, "again") == origin.tip()
    wait_for("an answer of the spool", lambda: "spool" in sources(lab))
    assert sources(lab)[:2] == ["upstream", "upstream"]
