"""ARP from a sandbox (B6): who is registered is answered, everybody else is neither heard nor remembered."""

import contextlib
import json
import socket
import struct

import pytest

from lab import row
from labnet import MOMENT, PATIENCE

ARP, REQUEST, REPLY = 0x0806, 1, 2
BROADCAST, NOBODY = b"\xff" * 6, b"\0" * 6
FAMILIES = (4,)


def octets(mac):
    return bytes.fromhex(mac.replace(":", ""))


class Arp:
    """A packet socket of a sandbox that speaks ARP."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.mac = octets(sandbox.mac)
        self.ip, self.gateway = sandbox.address[0], sandbox.gateway[0]
        self._socket = sandbox.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind(("eth0", ARP))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, operation=REQUEST, mac=None, ip=None, target=None, frame=None):
        """mac and ip are what the message claims, frame is the ethernet source."""
        mac = mac or self.mac
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + socket.inet_aton(ip or self.ip)
        body += NOBODY + socket.inet_aton(target or self.gateway)
        self._socket.send(BROADCAST + (frame or mac) + struct.pack("!H", ARP) + body)

    def answered(self, target, timeout=PATIENCE):
        """Did somebody say that he has the address."""
        self._socket.settimeout(timeout)
        with contextlib.suppress(TimeoutError):
            while True:
                frame = self._socket.recv(100)
                if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(target):
                    return True
        return False


def neighbours(lab, interface):
    shown = lab.gateway.run(["ip", "-4", "-j", "neigh", "show", "dev", interface], check=True).stdout
    return {n["dst"] for n in json.loads(shown or "[]")}


@row("B6", families=FAMILIES)
def test_registered_sender_is_answered(lab, audit):
    with Arp(lab.sandbox) as arp:
        arp.send()
        assert arp.answered(arp.gateway)
    audit.no_refusals()


LIES = {
    "another's address": {"ip": "10.1.0.99"},
    "the gateway's address": {"ip": "gateway"},
    "another's mac": {"mac": octets("06:00:00:00:00:99")},
    "another's mac inside": {"mac": octets("06:00:00:00:00:99"), "frame": "own"},
    "another's frame": {"frame": octets("06:00:00:00:00:99")},
    "an unasked reply": {"operation": REPLY, "ip": "10.1.0.99"},
}


@row("B6", families=FAMILIES)
@pytest.mark.parametrize("lie", LIES)
def test_liar_is_neither_answered_nor_remembered(lab, audit, lie):
    claim = dict(LIES[lie])
    with Arp(lab.sandbox) as arp:
        if claim.get("ip") == "gateway":
            claim["ip"] = arp.gateway
        if claim.get("frame") == "own":
            claim["frame"] = arp.mac
        arp.send(**claim)
        audit.only("source_spoofed", interface=lab.sandbox.interface)
        assert not arp.answered(arp.gateway, timeout=MOMENT)
    assert neighbours(lab, lab.sandbox.interface) == {lab.sandbox.address[0]}


@row("B6", families=FAMILIES)
def test_invented_neighbours_fill_no_table(own_lab):
    """The neighbour table has one limit for all networks of the host."""
    lab = own_lab
    with Arp(lab.sandbox) as arp:
        for n in range(2000):
            arp.send(ip=f"10.1.{4 + n // 250}.{n % 250 + 1}")
        arp.send()
        assert arp.answered(arp.gateway)
    assert neighbours(lab, lab.sandbox.interface) == {lab.sandbox.address[0]}


@row("B6", families=FAMILIES)
def test_probe_for_a_duplicate_finds_none(lab, audit):
    """Clients that get an address ask for it first, from 0.0.0.0 (RFC 5227): no attack, and no answer."""
    with Arp(lab.sandbox) as arp:
        arp.send(ip="0.0.0.0", target=arp.ip)
        arp.send(ip="0.0.0.0", target=arp.gateway)
        assert not arp.answered(arp.gateway, timeout=MOMENT)
    audit.no_refusals()


@row("B5", families=FAMILIES)
def test_no_other_address_of_the_host_is_told(lab, audit):
    """The host says only what the sandbox's own link has."""
    addresses = json.loads(lab.gateway.run(["ip", "-4", "-j", "address", "show", "dev", "up0"], check=True).stdout)
    address = addresses[0]["addr_info"][0]["local"]
    with Arp(lab.sandbox) as arp:
        arp.send(target=address)
        assert not arp.answered(address, timeout=MOMENT)
