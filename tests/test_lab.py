"""The lab itself: its servers answer, its watchers see what there is to see. Needs no Cordon."""

import os
import subprocess
import sys

import pytest

import labworld
from lab import PREFIX, ROOT
from labnet import PATIENCE, wait_for


@pytest.fixture
def bare(labs):
    return labs(up=False)


def test_servers_answer_on_both_families(bare, family):
    trust = ["--cacert", bare.world.ca_file]
    for site in labworld.SITES:
        done = bare.gateway.run(["curl", "-sS", f"-{family}", *trust, f"https://{site}/"])
        assert done.stdout == f"this is {site}\n", done.stderr
    assert ("A" if family == 4 else "AAAA", "pypi.example", labworld.GATEWAY[0]) in bare.dns.queries("pypi.example")
    wait_for("the server's log", lambda: [r.status for r in bare.web.requests(host="evil.example")] == ["200"])


def test_git_server_serves_both_spellings(bare):
    for url in ("https://github.com/acme/widgets", "https://github.com/acme/payroll.git"):
        out = bare.gateway.run(["git", "-c", f"http.sslCAInfo={bare.world.ca_file}", "ls-remote", url]).stdout
        repo = url.removeprefix("https://github.com/").removesuffix(".git")
        assert f"{bare.world.tip(repo)}\trefs/heads/main" in out


def test_capture_sees_what_leaves_the_gateway(bare, family):
    with bare.capture() as capture:
        s = bare.gateway.socket(*labworld.socket_kind(family, "udp"))
        capture.empty(dport=4242)
        s.sendto(b"leak", (labworld.SERVICES[family == 6], 4242))
        assert [p.family for p in capture.packets(dport=4242, contains=b"leak")] == [family]
        with pytest.raises(AssertionError, match="leaked"):
            capture.empty(dport=4242)
        s.close()


def test_two_labs_do_not_meet(labs):
    one, two = labs(up=False), labs(up=False)
    assert {one.gateway.name, two.gateway.name} <= set(os.listdir("/run/netns"))
    with one.capture() as capture:
        two.gateway.run(["ping", "-c1", "-W1", labworld.RESOLVERS[0]])
        capture.empty(proto=1)


def test_a_killed_lab_leaves_nothing(world):
    """SIGTERM at the worst moment: inside a child that has just built everything."""
    code = ("import sys; sys.path.insert(0, 'tests'); import conftest, signal, lab\n"
            "class C:\n  addinivalue_line = lambda *a: None\n"
            "conftest.pytest_configure(C)\n"
            "with lab.Lab() as l:\n  l.add_sandbox(register=False); print(l.dir, flush=True); signal.pause()\n")
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
    where = child.stdout.readline().strip()
    child.terminate()
    child.wait(PATIENCE)
    child.stdout.close()
    assert where and not os.path.exists(where)
    assert not [n for n in os.listdir("/run/netns") if n.startswith(f"{PREFIX}{child.pid}-")]
