"""What packs of pushes under way may take of the mirrors' disk: a quarter, and one sandbox no more than it leaves to others."""

import contextlib
import glob
import itertools
import os

import pytest

from lab import row, write
from labhttp import Closed, Wire, post
from labnet import wait_for
from labobjects import change
from labpush import HOST, RECEIVE, create, policy, push_lab, push_raw, refused, report_of, token
from test_push_faults import leftovers, quiet

AGENT = "refs/heads/agent/x"
MB = 1 << 20			# max_bytes is 64 of them: 16 for all pushes, 8 for one alone
_count = itertools.count(1)


def small(lab):
    """Sizes stand without quotes."""
    write(lab.config_file, open(lab.config_file).read().replace('"64MiB"', "64MiB"))


@pytest.fixture(scope="module")
def lab(world):
    mirrors = {"window": "1ms", "max_bytes": "64MiB"}
    with push_lab(world, {"agent": policy("host_mirror"), "second": policy("upstream")}, git={"mirrors": mirrors},
                  prepare=small) as lab:
        yield lab


@pytest.fixture
def make(lab):
    """Repositories of the test's own."""
    lab.forge.reset()
    lab.audit.mark()
    made = []

    def repository():
        made.append(lab.forge.repository(f"acme/r{next(_count)}"))
        return made[-1]
    yield repository
    for repo in made:
        repo.remove()


def large(repo, size, **kw):
    return create(repo, change(repo.tip(), files={b"noise": os.urandom(size)}), **kw)


def arrived(lab):
    """Bytes of packs that are on the disk."""
    return sum(os.stat(f).st_size for f in glob.glob(f"{lab.mirrors}/push/*/pack"))


@contextlib.contextmanager
def arriving(lab, repo, size, vm="vm0"):
    """A push of which all but the end is on the disk; finish() sends that, and gives the report."""
    text, before = post(f"{repo.name}.git", large(repo, size), service=RECEIVE, host=HOST, protocol=0), arrived(lab)
    with Wire(lab.sandboxes[vm], HOST) as wire:
        wire.send(text[:-10])
        wait_for("a pack", lambda: arrived(lab) >= before + size)

        def finish():
            return report_of(wire.send(text[-10:]).response().body)
        yield finish


def passes(lab, repo, size, vm="vm0", held=0):
    """It does, and its place is free again: then `held` others are under way."""
    report = push_raw(lab, repo, large(repo, size), sandbox=lab.sandboxes[vm])
    assert report.refs == {AGENT: "ok"}, report
    wait_for("its place", lambda: len(leftovers(lab)) == held)


@row("D10", families=(4,))
def test_one_that_never_fits(lab, make):
    """It is told as a limit, and what came of it is gone before it was all sent."""
    repo = make()
    text = post(f"{repo.name}.git", large(repo, 9 * MB), service=RECEIVE, host=HOST, protocol=0)
    with refused(lab, repo, "pack_limit_exceeded"), Wire(lab.sandbox, HOST) as wire:
        wire.send(text[:-10])
        wait_for("its place", lambda: leftovers(lab) and not arrived(lab))
        report = report_of(wire.send(text[-10:]).response().body)
        assert "git.mirrors.max_bytes" in report.refs[AGENT], report
    passes(lab, make(), 7 * MB)
    quiet(lab)


def test_no_more_than_it_leaves_to_others(lab, make):
    """A second one of the same sandbox has to wait, another sandbox's has not; the first is none the worse."""
    first, second = make(), make()
    with arriving(lab, first, 5 * MB) as finish:
        with refused(lab, second, "unavailable"):
            report = push_raw(lab, second, large(second, 5 * MB))
            assert "no room for more packs" in report.refs[AGENT], report
        passes(lab, second, 4 * MB, "vm1", held=1)
        passes(lab, make(), MB, held=1)
        assert finish().refs == {AGENT: "ok"}
    wait_for("its place", lambda: not leftovers(lab))
    passes(lab, make(), 7 * MB)


@pytest.mark.parametrize("way", ["vanished", "refused"])
def test_room_comes_back(lab, make, way):
    """However a push ends: more of them than would fit at once, and then one that needs nearly all."""
    for _ in range(4):
        repo = make()
        if way == "refused":
            with refused(lab, repo, "secret_detected"):
                push_raw(lab, repo, create(repo, change(repo.tip(), files={b"a": token(), b"noise": os.urandom(5 * MB)})))
            continue
        with arriving(lab, repo, 5 * MB):
            pass
        wait_for("nothing left", lambda: not leftovers(lab))
    passes(lab, make(), 7 * MB)
    quiet(lab)


@row("B17", families=(4,))
def test_room_after_a_kill(lab, make):
    """What was under way then is gone with the daemon's next start."""
    with arriving(lab, make(), 5 * MB):
        lab.signal("cordon-mirror")
    repo = make()

    def pushed():
        with contextlib.suppress(Closed, OSError, AssertionError):
            passes(lab, repo, 7 * MB)
            return True
    wait_for("a push that fits", pushed, step=0.1)
    quiet(lab)


def kept(lab, size):
    """Packs of mirrors that are at least so large."""
    return [f for f in glob.glob(f"{lab.mirrors}/*/repo.git/objects/pack/*.pack") if os.stat(f).st_size >= size]


def test_what_is_not_kept_is_no_loss(lab, make):
    """A push beside which there is no room for an index goes on, and the mirror fetches its objects when they are needed."""
    repo = make()
    noise = change(repo.tip(), files={b"noise": os.urandom(6 * MB)})
    assert push_raw(lab, repo, create(repo, noise, "refs/heads/agent/a")).why() == "ok"
    assert not kept(lab, 6 * MB)
    child = change(noise[0], files={b"more": b"1\n"})
    assert push_raw(lab, repo, create(repo, child, "refs/heads/agent/b")).why() == "ok"
    wait_for("what was not kept", lambda: kept(lab, 6 * MB))


def test_what_is_kept(lab, make):
    repo = make()
    noise = change(repo.tip(), files={b"noise": os.urandom(2 * MB)})
    assert push_raw(lab, repo, create(repo, noise)).why() == "ok"
    wait_for("its pack in the mirror", lambda: [f for f in kept(lab, 2 * MB) if os.stat(f).st_size < 3 * MB])
