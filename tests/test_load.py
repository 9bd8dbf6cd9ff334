"""Failures, reloads and revocation while pins, additions and flows go on (B17 to B20): no leak, no lost decided flow."""

import contextlib
import signal
import socket
import threading

import pytest

import labworld
from fleet import Control
from lab import AGENT, DAEMONS, row
from labclient import serves, tls, udp
from labnet import MOMENT, PATIENCE, wait_for
from load import Load
from probe import Probe, until_works

SITE = "pypi.example"


def fetches(lab, family=4):
    return lab.sandbox.fetches(f"https://{SITE}/", family=family, timeout=5)


# The keeper and the mirror end with the proxy, whatever it is sent.
ENDS = [(daemon, how) for daemon in DAEMONS for how in ("KILL", "TERM") if not (how == "TERM" and daemon in ("cordon-keeper", "cordon-mirror"))]


@row("B17")
@pytest.mark.parametrize("daemon, how", ENDS)
def test_restart_of_a_daemon(own_lab, daemon, how):
    """An upgrade is a SIGTERM and a new start: the supervisor does the same after a death."""
    lab = own_lab
    with tls(lab.sandbox, SITE) as flow, tls(lab.sandbox, SITE, 6) as flow6, lab.capture() as capture:
        assert serves(flow, SITE) and serves(flow6, SITE)
        with Load(lab) as load, Probe(lab.sandbox, capture):
            old = set(lab.signal(daemon, signal.Signals[f"SIG{how}"]))
            wait_for(f"a new {daemon}", lambda: set(lab.pids(daemon)) - old)
            load.goes_on()
        assert serves(flow, SITE) and serves(flow6, SITE), "the decided flow died with the daemon"


def without(host):
    rules = [r for r in AGENT["network"]["allow"] if r["host"] != host]
    return {**AGENT, "network": {**AGENT["network"], "allow": rules}}


@row("B19", "B20")
def test_reloads(own_lab, family):
    """Each is in force when it is answered, for flows that are there, too; what both grant is not touched."""
    lab, other = own_lab, "a.files.example"
    address = lab.sandbox.resolve(other, family)
    with tls(lab.sandbox, SITE, family) as flow, lab.capture() as capture:
        assert serves(flow, SITE)
        with Load(lab) as load, Probe(lab.sandbox, capture):
            for _ in range(3):
                with tls(lab.sandbox, other, family) as stream:
                    assert serves(stream, other)
                    lab.profile("agent", without("*.files.example"))
                    lab.cordon("reload", check=True)
                    assert not serves(stream, other, MOMENT), "outlived its grant"
                with pytest.raises(OSError):
                    lab.sandbox.connect(address, 443, timeout=MOMENT).close()
                load.goes_on("add", "fetch")
                lab.profile("agent", AGENT)
                lab.cordon("reload", check=True)
                until_works("the grant", lambda: lab.sandbox.fetches(f"https://{other}/", family=family, timeout=2))
                load.goes_on()
        assert serves(flow, SITE)


@row("B19", families=(4,))
def test_broken_policy(own_lab):
    lab = own_lab
    with tls(lab.sandbox, SITE) as flow, Load(lab) as load:
        lab.profile("agent", "version: 1\nsandbox: {network: {allow: [{hsot: a.example}]}}\n")
        for _ in range(3):
            done = lab.cordon("reload")
            assert done.returncode == 2 and "hsot" in done.stderr, done
        load.goes_on()
        assert serves(flow, SITE)


@row("B18", "B17")
def test_flushed_ruleset(own_lab, family):
    """Other software takes the table away again and again."""
    lab = own_lab
    with lab.capture() as capture, Load(lab) as load, Probe(lab.sandbox, capture):
        for _ in range(3):
            lab.audit.mark()
            lab.gateway.run(["nft", "flush", "ruleset"], check=True)
            lab.audit.wait(event="ruleset")
            until_works("a fetch", lambda: fetches(lab, family))
        load.goes_on()


@row("B18", families=(4,))
def test_interface_that_leaves_the_pattern_and_comes_back(own_lab):
    lab, interface = own_lab, own_lab.sandbox.interface
    with lab.capture() as capture, Load(lab) as load, Probe(lab.sandbox, capture) as probe:
        for _ in range(3):
            lab.gateway.ip(f"link set {interface} down", f"link set {interface} name lan7", "link set lan7 up")
            rounds = probe.rounds
            wait_for("the probe's rounds", lambda: probe.rounds > rounds + 20)
            wait_for("the stray link to be taken down", lambda: not int(
                lab.gateway.run(["cat", "/sys/class/net/lan7/flags"]).stdout, 16) & 1)
            load.goes_on("add")
            lab.gateway.ip(f"link set lan7 name {interface}")
            until_works("a fetch", lambda: fetches(lab))


# ---- revocation, seen from the server: it speaks without being asked ----

class Server:
    """A flow of the sandbox's and its far end."""

    def __init__(self, lab, family, kind):
        real = labworld.SERVICES[family == 6]
        self.listener = lab.internet.listen(real, 7000, kind)
        address = lab.sandbox.resolve("udp.example" if kind == socket.SOCK_DGRAM else "tcp.example", family)
        if kind == socket.SOCK_DGRAM:
            self.flow = udp(lab.sandbox, address, 7000)
            self.flow.send(b"first")
            peer = self.listener.recvfrom(100)[1]
            self.say = lambda text: self.listener.sendto(text, peer)
        else:
            self.flow = lab.sandbox.connect(address, 7000)
            self.end = self.listener.accept()[0]
            self.say = self.end.send

    def heard(self, text, timeout=PATIENCE):
        """Whether it came through to the sandbox."""
        self.flow.settimeout(timeout)
        with contextlib.suppress(OSError):
            self.say(text)
            return self.flow.recv(100) == text
        return False

    def close(self):
        for s in (self.flow, self.listener, getattr(self, "end", self.flow)):
            s.close()


def remove(lab):
    with Control(lab) as control:
        control.must("RM", lab.sandbox.guest.encode().ljust(64, b"\0"))


def tighten(lab):
    lab.profile("agent", {**AGENT, "network": {**AGENT["network"], "allow": [{"host": SITE}]}})
    lab.cordon("reload", check=True)


@row("B20")
@pytest.mark.parametrize("how", [remove, tighten])
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_revocation_stops_the_server(own_lab, family, how, kind):
    """Its words of a moment later do not arrive, although the sandbox's kernel waits for them."""
    server = Server(own_lab, family, kind)
    try:
        assert server.heard(b"unasked")
        how(own_lab)
        assert not server.heard(b"afterwards", MOMENT)
    finally:
        server.close()


@row("B20", "B1")
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_heir_of_an_address_hears_nothing(own_lab, family, kind):
    """The next sandbox has the same link and address and may reach the same: the old flow is not its own."""
    lab = own_lab
    server = Server(lab, family, kind)
    try:
        assert server.heard(b"unasked")
        remove(lab)
        lab.sandbox.guest = "heir"
        lab.register(lab.sandbox)
        assert not server.heard(b"for the one before", MOMENT)
    finally:
        server.close()


@row("B20", families=(4,))
def test_sandbox_removed_while_it_asks(own_lab):
    """A pin on its way and its sandbox's end: nothing is left of either."""
    lab = own_lab
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            lab.sandbox.dig("tcp.example", "A", "+short", "+time=1")
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(5):
            lab.cordon("rm", lab.sandbox.guest, check=True)
            assert not lab.gateway.run(["nft", "list", "map", "inet", "cordon", "identity4"]).stdout.count("vm0")
            lab.register(lab.sandbox)
    finally:
        stop.set()
        asking.join()
    until_works("a fetch", lambda: fetches(lab))
