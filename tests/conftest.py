"""Fixtures: one lab for tests that only look, a lab of their own for tests that break things.

    lab        session: Cordon is up, sandbox vm0 with profile agent; never kill, flush or reload it
    audit      what the shared lab wrote since this test began
    capture    what arrived in its internet since this test began
    labs       function: labs(**options) makes further labs, each closed with the test
    own_lab    function: a lab like `lab`, to be broken
    family     4 and 6: the test runs over both
    guest      the lab's sandbox, with what was logged since this test began
    origin     the server of labhttp.origin_lab(), which answers as it does at first
"""

import itertools
import os
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from lab import BUILD, Lab, World  # noqa: E402
from rows import ROWS  # noqa: E402

NEEDED = ("ip", "nft", "nsenter", "unshare", "dnsmasq", "apache2", "openssl", "git", "curl", "dig")
_covered = {}
_renewals = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "row(names, families): the threat rows that a test covers")

    def stop(*_):
        raise KeyboardInterrupt		# so that fixtures end the labs
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):	# in the background INT may be ignored
        signal.signal(number, stop)


def missing():
    """Why a lab cannot be made here, or None."""
    if os.geteuid() != 0:
        return "needs root (namespaces)"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for program in NEEDED:
        if not shutil.which(program, path=path):
            return f"{program} is missing: make test-deps"
    if not os.path.exists(f"{BUILD}/cordon"):
        return f"{BUILD}/cordon is not built: make"
    return None


@pytest.fixture(scope="session")
def world():
    """CA, certificates and repositories, shared by every lab of the run."""
    why = missing()
    if why:
        pytest.skip(why)
    dir = tempfile.mkdtemp(prefix="cordon-world-", dir="/tmp")
    try:
        os.chmod(dir, 0o755)
        yield World(f"{dir}/world")
    finally:
        shutil.rmtree(dir, ignore_errors=True)


def _close(lab):
    """End a lab; whatever its daemons' logs hold that is a bug fails here."""
    problems = lab.problems()
    lab.shut()
    problems = problems or [p for p in lab.problems() if "Sanitizer" in p or "docs/audit.md" in p]
    lab.close()
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="session")
def lab(world):
    with Lab(world) as lab:
        lab.up()
        lab.add_sandbox()
        yield lab
        _close(lab)


@pytest.fixture
def audit(lab):
    lab.renew(f"-{next(_renewals)}")
    return lab.audit


@pytest.fixture(autouse=True)
def _known_name(request):
    """A test that shares the lab but not its log finds the sandbox under its plain name."""
    if "lab" in request.fixturenames and "audit" not in request.fixturenames:
        lab = request.getfixturevalue("lab")
        if isinstance(lab, Lab):
            lab.renew()


@pytest.fixture
def capture(lab):
    with lab.capture() as capture:
        yield capture


@pytest.fixture
def labs(world, request):
    made = []

    def make(up=True, sandbox=True, **options):
        lab = Lab(world, **options)
        made.append(lab)
        request.node.labs = made
        if up:
            lab.up()
        if up and sandbox:
            lab.add_sandbox()
        return lab
    try:
        yield make
        for lab in made:
            _close(lab)
    finally:
        for lab in made:
            lab.close()


@pytest.fixture
def own_lab(labs):
    return labs()


@pytest.fixture
def guest(lab, audit):
    return lab.sandbox


@pytest.fixture
def origin(lab):
    lab.origin.says()
    return lab.origin


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request):
    return request.param


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI forbids: {report.longrepr}"
    if report.when != "call":
        return
    for mark in item.iter_markers("row"):
        names, families = mark.args
        params = getattr(item, "callspec", None)
        if params and "family" in params.params:
            families = (params.params["family"],)
        report.user_properties.append(("rows", (list(names), list(families))))
    if report.failed:
        labs = list(getattr(item, "labs", [])) + [v for k, v in item.funcargs.items() if k in ("lab", "own_lab")]
        for lab in {id(x): x for x in labs}.values():
            report.sections.append(("audit", lab.audit.describe()[-8000:]))
            report.sections.append(("daemons", lab.logs()[-8000:]))


def pytest_runtest_logreport(report):
    """Here, and not where the test ran: that may have been another process (pytest-xdist)."""
    for key, value in report.user_properties:
        if key == "rows" and report.when == "call":
            for name in value[0]:
                _covered.setdefault(name, []).append((value[1], report.outcome))


def pytest_terminal_summary(terminalreporter):
    """Which rows of the threats this run covered, by family."""
    if not _covered:
        return
    write = terminalreporter.write_line
    terminalreporter.section("threat rows")
    unknown = set(_covered) - set(ROWS)
    for name, title in [*ROWS.items(), *((u, "no such row") for u in sorted(unknown))]:
        tests = _covered.get(name)
        if not tests:
            continue
        counts = " ".join(f"ipv{f}:{sum(f in fs for fs, _ in tests)}" for f in (4, 6))
        bad = sum(outcome == "failed" for _, outcome in tests)
        write(f"{name:4} {counts:16} {'FAILED ' + str(bad) if bad else 'ok':9} {title}")
    open_rows = [name for name in ROWS if name not in _covered]
    write(f"{len(_covered)} rows covered; none yet for: {' '.join(open_rows)}")
