"""The C unit tests and the replay of every fuzz corpus, as make built them under sanitizers."""

import glob
import os
import subprocess

import pytest

from lab import ROOT

TREE = os.path.join(ROOT, os.environ.get("CHECKED", "build/checked"))
ENV = {**os.environ, "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:allocator_may_return_null=1",
       "UBSAN_OPTIONS": "print_stacktrace=1"}


def run(*argv):
    done = subprocess.run(argv, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, timeout=300, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-8000:]


@pytest.mark.parametrize("name", os.environ.get("UNITS", "").split())
def test_unit(name):
    run(f"{TREE}/{name}")


@pytest.mark.parametrize("name", os.environ.get("REPLAYS", "").split())
def test_replay(name):
    """Every input that the corpus holds goes through its parser without a report."""
    inputs = glob.glob(f"{ROOT}/tests/fuzz/corpus/{name.removeprefix('replay_')}/*")
    assert inputs, f"{name} has no corpus"
    run(f"{TREE}/{name}", *sorted(inputs))
