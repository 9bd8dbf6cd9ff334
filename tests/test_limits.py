"""Limits of a sandbox, enforced by the kernel before anything that sandboxes share (A14, B16)."""

import contextlib
import json
import select
import socket

import pytest

from lab import AGENT, row
from labclient import udp, works
from labnet import MOMENT, PATIENCE, LabError
from probe import dns_query, until_works

NEW, FLOWS, QUERIES = 20, 12, 30
LIMITS = {"new_connections_per_second": NEW, "connections": FLOWS, "dns_queries_per_second": QUERIES}


@pytest.fixture
def limited(labs):
    lab = labs(profiles={"agent": {**AGENT, "limits": LIMITS}, "free": AGENT})
    lab.add_sandbox("vm1", profile="free")
    return lab


def answering(sandbox, address, port, count, most):
    """How many of `count` UDP flows, each from a port of its own, are answered; `most` may be."""
    with contextlib.ExitStack() as held:
        flows = [held.enter_context(udp(sandbox, address, port)) for _ in range(count)]
        for flow in flows:
            flow.send(b"ping")
        silent, answers = set(flows), 1
        while silent and answers:
            answered = count - len(silent)
            answers = select.select(silent, [], [], PATIENCE if not answered or most == count else MOMENT)[0]
            silent -= set(answers)
        return count - len(silent)


@row("B16")
def test_flows_at_once(limited, family):
    """As many as the profile says, and another when one has ended; nobody else pays."""
    lab, name = limited, "tcp.example"
    lab.internet.echo(7000)
    with contextlib.ExitStack() as held:
        address = lab.sandbox.resolve(name, family)
        flows = [held.enter_context(lab.sandbox.connect(address, 7000)) for _ in range(FLOWS)]
        assert all(works(flow) for flow in flows)
        with pytest.raises(OSError):
            lab.sandbox.connect(address, 7000, timeout=MOMENT).close()
        lab.audit.only("too_many_connections", sandbox="vm0")
        other = lab.sandboxes["vm1"]
        with other.connect(other.resolve(name, family), 7000) as flow:
            assert works(flow)
        flows[0].close()
        until_works("a flow in place of the one that ended", lambda: opens(lab.sandbox, address))


def opens(sandbox, address):
    try:
        with sandbox.connect(address, 7000, timeout=0.5) as flow:
            return works(flow)
    except OSError:
        return False


@row("B16")
def test_new_flows_a_second(limited, family):
    """Datagrams of a hundred flows at once: a second's worth passes. The other's are not counted with them."""
    lab = limited
    lab.internet.echo(7000, socket.SOCK_DGRAM)
    address = lab.sandbox.resolve("udp.example", family)
    assert 1 <= answering(lab.sandbox, address, 7000, 100, FLOWS) <= FLOWS
    lab.audit.wait(reason="rate_limited", sandbox="vm0")
    other = lab.sandboxes["vm1"]
    assert answering(other, other.resolve("udp.example", family), 7000, 40, 40) == 40


@row("A14")
def test_questions_a_second(limited, family):
    """A flood ends in the kernel: the resolver hears at most four times what it may answer."""
    lab = limited
    server = ("8.8.8.8", "2001:4860:4860::8888")[family == 6]
    with udp(lab.sandbox, server, 53) as s:
        for n in range(2000):
            s.send(dns_query("pypi.example", id=n))
    until_works("the count", lambda: refused(lab).get("rate_limited", 0) > 1000)
    lab.audit.wait(reason="rate_limited", sandbox="vm0")
    assert lab.sandboxes["vm1"].resolve("pypi.example", family)


def refused(lab):
    return {s["name"]: s for s in json.loads(lab.cordon("ls", "--json", check=True).stdout)}["vm0"]["refused"]


@row("A14", "B16")
def test_questions_over_tcp_are_flows(limited, family):
    lab = limited
    server = ("8.8.8.8", "2001:4860:4860::8888")[family == 6]
    with contextlib.ExitStack() as held:
        for _ in range(FLOWS):
            held.enter_context(lab.sandbox.connect(server, 53))
        with pytest.raises(OSError):
            lab.sandbox.connect(server, 53, timeout=MOMENT).close()
    lab.audit.only("too_many_connections", sandbox="vm0")


@row("B16")
def test_without_limits_nothing_opens(own_lab, family):
    """An element that is missing, for whatever reason, is no limit of infinity."""
    lab = own_lab
    address = lab.sandbox.resolve("tcp.example", family)
    lab.internet.echo(7000)
    with lab.capture() as capture:
        lab.gateway.run(["nft", "flush", "set", "inet", "cordon", "new_flows"], check=True)
        with pytest.raises((OSError, LabError)):
            lab.sandbox.connect(address, 7000, timeout=MOMENT)
        capture.empty(dport=7000)
    lab.audit.only("rate_limited", sandbox="vm0")
