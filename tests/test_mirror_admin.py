"""Mirrors, for the administrator: configuration, disk space, and `cordon mirror`."""

import os

import pytest

from lab import write
from test_mirror import MIRRORED, Origin, url


@pytest.fixture
def mirrors(labs, world):
    """lab, origin = mirrors(window="1s"): a lab with this git.mirrors, and a repository."""
    made = []

    def make(profiles=None, **mirrors):
        lab = labs(profiles=profiles or {"agent": MIRRORED}, up=False,
                   config={"git": {"upstream_ca_file": world.ca_file, "mirrors": mirrors}})
        text = open(lab.config_file).read()
        for value in mirrors.values():
            text = text.replace(f'"{value}"', str(value))	# times and sizes stand without quotes
        write(lab.config_file, text)
        lab.up()
        lab.add_sandbox()
        made.append(Origin(lab.world, f"acme/a{os.getpid()}-{len(made)}"))
        return lab, made[-1]
    yield make
    for origin in made:
        origin.remove()


def listed(lab, origin):
    done = lab.sandbox.git("ls-remote", url(origin), "refs/heads/main")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


@pytest.mark.parametrize("window, fresh", [("60s", False), ("1ms", True)])
def test_answers_are_shared_within_the_window(mirrors, window, fresh):
    lab, origin = mirrors(window=window)
    before = listed(lab, origin)
    after = origin.commit()
    assert listed(lab, origin) == (after if fresh else before)
