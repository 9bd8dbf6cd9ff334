"""Names stay alive: dead addresses are left, names in use followed (A11), unused ones forgotten."""

import contextlib
import ipaddress
import json
import math
import os
import socket
import threading
import time

import pytest

import labworld
from lab import AGENT, row, spelled
from labclient import refused, serves, tls, works
from labnet import wait_for
from netdclient import Part
from test_netd_parts import REASONS, Alone, elements

SITE = "pypi.example"
STREAM = "tcp.example"
SECOND = ("93.184.216.78", "2606:2800:220:1::78")		# of STREAM, besides SERVICES


def reals(lab, family):
    """{synthetic: real} of the kernel."""
    return {spelled(k): spelled(v["elem"]["val"] if isinstance(v, dict) else v)
            for k, v in ((e[0]["elem"]["val"] if isinstance(e[0], dict) else e[0], e[1])
                         for e in elements(lab, "map", f"real{family}"))}


def real_of(lab, name, family):
    synthetic = spelled(lab.sandbox.resolve(name, family))
    return reals(lab, family)[synthetic]


def silence(lab, *addresses, port):
    """From now on nothing out there answers a TCP packet to these."""
    with_family = {4: "ip", 6: "ip6"}
    lab.internet.run(["nft", "add table inet silent; add chain inet silent input "
                             "{ type filter hook input priority 0; policy accept; }"], check=True)
    for a in addresses:
        lab.internet.run(["nft", f"add rule inet silent input {with_family[ipaddress.ip_address(a).version]} "
                                 f"daddr {a} tcp dport {port} drop"], check=True)


def second_addresses(lab):
    lab.internet.ip(f"addr add {SECOND[0]}/32 dev in0", f"addr add {SECOND[1]}/128 dev in0 nodad")


def parrot(lab, *addresses, port=7000):
    """Echoes one message of each connection, and ends it."""
    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with contextlib.suppress(OSError), peer:
                    peer.settimeout(10)
                    peer.sendall(peer.recv(100))
    for a in addresses:
        s = lab.internet.listen(a, port)
        s.settimeout(None)
        threading.Thread(target=serve, args=(s,), daemon=True).start()


def moved_once(lab, name, family, dead, alive):
    event, = lab.audit.events(event="moved", name=name)
    assert (event["from"], event["to"]) == (spelled(dead), spelled(alive))
    assert real_of(lab, name, family) == spelled(alive)


@row("A11")
def test_silent_address_of_a_stream(own_lab, family):
    """An unmodified client's own SYN, sent again, goes to the name's other address."""
    lab, six = own_lab, family == 6
    second_addresses(lab)
    pair = (labworld.SERVICES[six], SECOND[six])
    lab.dns.set(STREAM, *labworld.SERVICES, *SECOND)
    parrot(lab, *pair)
    dead = real_of(lab, STREAM, family)
    alive = next(a for a in pair if spelled(a) != dead)
    silence(lab, dead, port=7000)
    with lab.capture() as capture:
        done = lab.sandbox.run(["curl", "-sS", f"-{family}", "-m", "40", f"telnet://{STREAM}:7000"], input="hello\n")
        assert done.stdout == "hello\n", done
        assert len(capture.packets(dst=dead, dport=7000)) in (2, 3), "the SYNs at 0 and 1 s, perhaps at 2"
        sources = {p.sport for p in capture.packets(dst=spelled(alive), dport=7000)}
        assert len(sources) == 1
    moved_once(lab, STREAM, family, dead, alive)
    lab.audit.no_refusals()


@row("A11")
def test_silent_address_of_a_site(own_lab, family):
    """The same for an inspected flow: the inspector takes the SYN again, of another conntrack entry."""
    lab, six = own_lab, family == 6
    pair = (labworld.WEB[six], labworld.GITHUB[six])
    lab.dns.set(SITE, *labworld.WEB, *labworld.GITHUB)
    dead = real_of(lab, SITE, family)
    alive = next(a for a in pair if spelled(a) != dead)
    silence(lab, dead, port=443)
    assert lab.sandbox.fetches(f"https://{SITE}/", family=family, timeout=40)
    moved_once(lab, SITE, family, dead, alive)
    assert lab.sandbox.fetches(f"https://{SITE}/", family=family)
    lab.audit.no_refusals()
