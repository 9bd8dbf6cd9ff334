"""Mirrors, for the administrator: configuration, disk space, and `cordon mirror`."""

import json
import os
import random

import pytest

from lab import write
from labgit import Repository
from labmirror import mirrors as folders
from labmirror import MIRRORED, clone, head, warm
from labnet import wait_for


@pytest.fixture
def mirrors(labs, world):
    """lab, origin = mirrors(window="1s"): a lab with this git.mirrors, and a repository. `mirrors.more()` makes another."""
    made = []

    def more(**options):
        made.append(Repository(world.repos, f"acme/a{os.getpid()}-{len(made)}", **options))
        return made[-1]

    def make(profiles=None, **mirrors):
        lab = labs(profiles=profiles or {"agent": MIRRORED}, up=False,
                   config={"git": {"upstream_ca_file": world.ca_file, "mirrors": mirrors}})
        text = open(lab.config_file).read()
        for value in mirrors.values():
            text = text.replace(f'"{value}"', str(value))	# times and sizes stand without quotes
        write(lab.config_file, text)
        lab.up()
        lab.add_sandbox()
        return lab, more()
    make.more = more
    yield make
    for origin in made:
        origin.remove()


def bulk(repo, n):
    """Make a repository so large: a commit with bytes that do not compress."""
    text = random.Random(repo.name).randbytes(n)
    repo.git("config", "core.bigFileThreshold", "1g")
    blob = f"{repo.path}/bulk"
    with open(blob, "wb") as f:
        f.write(text)
    oid = repo.git("hash-object", "-w", blob)
    repo.git("fast-import", "--quiet",
             input="commit refs/heads/main\ncommitter A <a@lab.invalid> 1800000000 +0000\ndata 1\nx"
                   f"from {repo.tip()}\nM 100644 {oid} bulk\n")
    os.unlink(blob)


def disk(lab):
    """Bytes that mirrors and answers take."""
    total = 0
    for dir, _, names in os.walk(f"{lab.dir}/state/mirrors"):
        for name in names:
            try:
                total += os.stat(f"{dir}/{name}").st_blocks * 512
            except FileNotFoundError:		# it is at work
                pass
    return total


def events(lab, what, repo):
    """Audit events of the mirror, since it began."""
    with open(f"{lab.log_dir}/keeper.jsonl") as f:
        lines = [json.loads(line) for line in f if line.endswith("\n")]
    return [e for e in lines if e["event"] == "mirror" and e["what"] == what and e["repo"] == repo.name]


def mirrored(lab):
    """Names of the repositories that are on disk."""
    return {open(f"{m}/about").read().split("\n")[1] for m in folders(lab) if os.path.exists(f"{m}/about")}


def listed(lab, origin):
    done = lab.sandbox.git("ls-remote", origin.url, "refs/heads/main")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


# ---- git.mirrors ----

@pytest.mark.parametrize("window, fresh", [("60s", False), ("1ms", True)])
def test_answers_are_shared_within_the_window(mirrors, window, fresh):
    lab, origin = mirrors(window=window)
    before = listed(lab, origin)
    after = origin.commit()
    assert listed(lab, origin) == (after if fresh else before)


def test_mirrors_and_answers_stay_within_max_bytes(mirrors):
    """The repository that was used longest ago goes; it is fetched again when it is asked for again."""
    lab, first = mirrors(max_bytes="8MiB")
    every = [first] + [mirrors.more() for _ in range(4)]
    for repo in every:
        bulk(repo, 3 << 19)
        warm(lab, repo)
    wait_for("an eviction", lambda: events(lab, "evicted", first))
    wait_for("no more than allowed", lambda: disk(lab) <= 8 << 20)
    assert first.name not in mirrored(lab)
    assert not events(lab, "evicted", every[-1])
    warm(lab, first)
    assert head(lab, clone(lab, first)) == first.tip()


def test_a_repository_that_is_too_large_is_upstreams(mirrors):
    lab, origin = mirrors(max_bytes="8MiB")
    bulk(origin, 3 << 20)
    clone(lab, origin)
    wait_for("its size to be known", lambda: events(lab, "too_large", origin))
    for _ in range(2):
        assert head(lab, clone(lab, origin)) == origin.tip()
    assert len(events(lab, "too_large", origin)) == 1
    assert {e["source"] for e in lab.audit.events(event="git", repo=origin.name) if "source" in e} == {"upstream"}
    assert disk(lab) < 2 << 20
