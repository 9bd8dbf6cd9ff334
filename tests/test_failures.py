"""Death and stop of each daemon (B17), boot order and lost rules (B18), revocation (B19, B20)."""

import signal
import socket

import pytest

import labworld
from lab import AGENT, DAEMONS, row
from labclient import serves, tls, udp, works
from labhttp import Wire, info_refs
from labnet import MOMENT, PATIENCE, wait_for
from probe import Probe, until_works

SITE = "pypi.example"


def fetches(lab, family=4, timeout=5):
    return lab.sandbox.fetches(f"https://{SITE}/", family=family, timeout=timeout)


def clones(lab):
    out = lab.sandbox.run(["timeout", "5", "git", "ls-remote", "https://github.com/acme/widgets"])
    return out.returncode == 0


@row("B17")
@pytest.mark.parametrize("daemon", DAEMONS)
def test_killed_daemon(own_lab, daemon, family):
    """Nothing forbidden passes, a decided flow lives on, the allowed things work again by themselves."""
    lab = own_lab
    with tls(lab.sandbox, SITE, family) as flow, lab.capture() as capture:
        assert serves(flow, SITE)
        with Probe(lab.sandbox, capture):
            old = set(lab.signal(daemon))
            wait_for(f"a new {daemon}", lambda: set(lab.pids(daemon)) - old)
            until_works(f"a fetch after {daemon} died", lambda: fetches(lab, family))
            until_works(f"git after {daemon} died", lambda: clones(lab))
        assert serves(flow, SITE), "the decided flow died with the daemon"


@row("B17")
@pytest.mark.parametrize("daemon", DAEMONS)
def test_stopped_daemon(own_lab, daemon):
    """A daemon that hangs opens nothing; when it goes on, so does everything else."""
    lab = own_lab
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        pids = lab.signal(daemon, signal.SIGSTOP)
        try:
            rounds = probe.rounds
            wait_for("the probe's rounds", lambda: probe.rounds > rounds + 40)
        finally:
            for pid in pids:
                lab.resume(pid)
        until_works(f"a fetch after {daemon} was stopped", lambda: fetches(lab))
        until_works(f"git after {daemon} was stopped", lambda: clones(lab))


@row("B17", "B4")
def test_undecided_flow_dies_with_the_inspector(own_lab, family):
    """Half a hello, then the inspector dies: the other half never makes a connection."""
    lab = own_lab
    address = lab.sandbox.resolve(SITE, family)
    until_works("the first fetch", lambda: fetches(lab, family))
    with lab.sandbox.connect(address, 443) as s, lab.capture() as capture:
        s.sendall(b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03" + bytes(20))
        old = set(lab.signal("cordon-inspect"))
        wait_for("a new inspector", lambda: set(lab.pids("cordon-inspect")) - old)
        until_works("another flow", lambda: fetches(lab, family))
        capture.clear()
        marker = b"after the inspector died"
        s.sendall(marker)
        s.settimeout(MOMENT)
        try:
            assert s.recv(10) == b""
        except OSError:
            pass
        capture.empty(contains=marker)


@row("B18")
def test_interface_and_sandbox_before_the_daemons(labs):
    """Ruleset at boot, then the guest runs, then the daemons come, then it is registered."""
    lab = labs(up=False)
    lab.cordon("firewall", "start", check=True)
    with lab.capture() as capture:
        lab.add_sandbox(register=False)
        with Probe(lab.sandbox, capture) as probe:
            wait_for("rounds before the daemons", lambda: probe.rounds > 30)
            lab.up()
            rounds = probe.rounds
            wait_for("rounds before the registration", lambda: probe.rounds > rounds + 30)
            lab.register(lab.sandbox)
            until_works("a fetch", lambda: fetches(lab))


LOST = {
    "flush": "flush ruleset",
    "delete": "delete table inet cordon",
}


@row("B18")
@pytest.mark.parametrize("how", LOST)
def test_lost_ruleset_comes_back(own_lab, how, family):
    lab = own_lab
    until_works("the first fetch", lambda: fetches(lab, family))
    lab.audit.mark()
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        lab.gateway.run(["nft", *LOST[how].split()], check=True)
        until_works(f"a fetch after `nft {LOST[how]}`", lambda: fetches(lab, family))
        wait_for("the probe's rounds", lambda: probe.rounds > 20)
    assert len(lab.audit.wait(event="ruleset")) == 1, lab.audit.describe()


@row("B18")
def test_flush_while_netd_is_stopped(own_lab):
    """Nobody is there to reload: the routing backstop holds alone."""
    lab = own_lab
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        pids = lab.signal("cordon-netd", signal.SIGSTOP)
        try:
            lab.gateway.run(["nft", "flush", "ruleset"], check=True)
            rounds = probe.rounds
            wait_for("the probe's rounds", lambda: probe.rounds > rounds + 40)
        finally:
            for pid in pids:
                lab.resume(pid)
        until_works("a fetch", lambda: fetches(lab))


@row("B18")
def test_renamed_interface(own_lab):
    """An interface that leaves the pattern takes nothing along."""
    lab = own_lab
    interface = lab.sandbox.interface
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        lab.gateway.ip(f"link set {interface} down", f"link set {interface} name lan7", "link set lan7 up")
        rounds = probe.rounds
        wait_for("the probe's rounds", lambda: probe.rounds > rounds + 40)
        assert not fetches(lab, timeout=1)


def stricter():
    """The agent's profile without the site, the streams and the repository."""
    network = {**AGENT["network"], "allow": [{"host": "other.example"}]}
    return {"network": network, "git": {**AGENT["git"], "allowed_repos": []}}


@pytest.fixture
def flows(own_lab, family):
    """A lab with one live flow of each kind: {name: asks whether it still works, for so long}."""
    lab, sandbox = own_lab, own_lab.sandbox
    lab.internet.echo(7000)
    lab.internet.echo(7000, socket.SOCK_DGRAM)
    site = tls(sandbox, SITE, family)
    stream = sandbox.connect(sandbox.resolve("tcp.example", family), 7000)
    datagrams = udp(sandbox, sandbox.resolve("udp.example", family), 7000)
    live = {"tls": lambda timeout: serves(site, SITE, timeout), "tcp": lambda timeout: works(stream, timeout=timeout),
            "udp": lambda timeout: works(datagrams, timeout=timeout)}
    for name, alive in live.items():
        assert alive(PATIENCE), name
    yield live
    for s in (site, stream, datagrams):
        s.close()


@row("B19")
def test_reload_to_a_stricter_policy(own_lab, flows):
    """Flows that lost their grant are dead when it is answered; the others and the sandbox stay."""
    own_lab.profile("agent", stricter())
    own_lab.cordon("reload", check=True)
    for name, alive in flows.items():
        assert not alive(MOMENT), f"the {name} flow outlived its grant"
    assert not fetches(own_lab)
    assert not clones(own_lab)


@row("B19", "B20")
def test_restart_with_a_stricter_policy(own_lab, family):
    """What the last netd granted ends, the server's direction too: it may speak without being asked."""
    lab = own_lab
    service = lab.internet.listen(labworld.SERVICES[family == 6], 7000, socket.SOCK_DGRAM)
    with udp(lab.sandbox, lab.sandbox.resolve("udp.example", family), 7000) as flow:
        flow.send(b"first")
        _, peer = service.recvfrom(100)
        service.sendto(b"unasked", peer)
        assert flow.recv(100) == b"unasked"
        old = set(lab.pids("cordon-netd"))
        lab.profile("agent", stricter())
        lab.signal("cordon-netd")
        wait_for("a new netd", lambda: set(lab.pids("cordon-netd")) - old)
        until_works("a registry", lambda: lab.cordon("ls").returncode == 0)
        service.sendto(b"unasked", peer)
        flow.settimeout(MOMENT)
        with pytest.raises(TimeoutError):
            flow.recv(100)


@row("B19", "B17", families=(4,))
def test_reload_while_the_proxy_hangs(own_lab):
    """The first is called off and says why; what the second takes away ends when the proxy is back."""
    lab = own_lab
    with Wire(lab.sandbox) as session:
        assert session.send(info_refs("acme/widgets")).response().status == 200
        pids = lab.signal("cordon-gitproxy", signal.SIGSTOP)
        try:
            lab.profile("agent", stricter())
            done = lab.cordon("reload")
            assert done.returncode == 1 and "did not answer in time" in done.stderr, done
            assert fetches(lab), "the old policy is in force"
            lab.cordon("reload", check=True)
            assert not fetches(lab)
        finally:
            for pid in pids:
                lab.resume(pid)
        assert session.ends(), "the session goes on by the old policy"


@row("B19", families=(4,))
def test_reload_to_an_unchanged_policy_touches_nothing(own_lab):
    with tls(own_lab.sandbox, SITE) as flow:
        own_lab.cordon("reload", check=True)
        assert serves(flow, SITE)


@row("B19", families=(4,))
def test_policy_that_does_not_compile_changes_nothing(own_lab):
    with tls(own_lab.sandbox, SITE) as flow:
        own_lab.profile("agent", "version: 1\nsandbox:\n  netwrok: {}\n  git: {enabled: maybe}\n")
        done = own_lab.cordon("reload")
        assert done.returncode == 2, done
        assert "netwrok" in done.stderr and "enabled" in done.stderr, "all errors at once"
        assert serves(flow, SITE) and fetches(own_lab)


@row("B20")
def test_removed_sandbox_is_cut_off(own_lab, flows, family):
    """Both directions, when `rm` is answered: no reply comes back either, and the next tenant inherits nothing."""
    own_lab.cordon("rm", "vm0", check=True)
    for name, alive in flows.items():
        assert not alive(MOMENT), f"the {name} flow outlived the sandbox"
    with own_lab.capture() as capture:
        assert not fetches(own_lab, family, timeout=1)
        capture.empty(dst=labworld.WEB[family == 6])
