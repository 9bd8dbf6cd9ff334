"""The demo's steps as tests; number 6 is the second family."""

import pytest

import demo
from lab import row

READING = {
    demo.step_clone_allowed: row("C1"),
    demo.step_clone_refused: row("C3"),
    demo.step_pass_through: row("B7"),
    demo.step_no_such_name: row("A6", "A4"),
    demo.step_fronting: row("B10"),
    demo.step_literal: row("B2"),
    demo.step_other_resolver: row("A4", "A1"),
}


@pytest.mark.parametrize("step", [pytest.param(s, id=s.__name__, marks=m) for s, m in READING.items()])
def test_step(step, lab, audit, family):
    step(demo.Quiet(), lab, family)


@row("D4", "D6")
@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_push(labs, family):
    demo.step_push(demo.Quiet(), labs(profiles={"agent": demo.PROFILE}), family)


@row("B17", "B18")
def test_failures(own_lab):
    demo.step_failures(demo.Quiet(), own_lab, 4)


@row("B21")
@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_run(own_lab, family):
    demo.step_run(demo.Quiet(), own_lab, family)
