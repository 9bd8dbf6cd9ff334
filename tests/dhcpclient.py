"""dhcpclient - asks for an address as a guest without one does, and renews it as one that has it

Theory of operation: before it has an address a guest sends and reads whole frames; afterwards an ordinary
datagram from its address to the server's does. The server is dnsmasq in the gateway, on the sandbox's link.
"""

import contextlib
import os
import select
import socket
import struct
import time

from labnet import PATIENCE

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
COOKIE = b"\x63\x82\x53\x63"


def serve(lab, sandbox):
    """dnsmasq that gives the sandbox its address, and nobody anything else."""
    leases = f"{lab.dir}/leases-{sandbox.interface}"
    process = lab.gateway.start(
        ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping", "--bind-interfaces",
         f"--interface={sandbox.interface}", f"--dhcp-range={sandbox.address[0]},static,255.255.255.0,1h",
         f"--dhcp-host={sandbox.mac},{sandbox.address[0]}", f"--dhcp-leasefile={leases}", "--user=root",
         "--pid-file="])
    end = time.monotonic() + PATIENCE
    while f":{67:04X} " not in lab.gateway.run(["cat", "/proc/net/udp"]).stdout:
        assert process.poll() is None and time.monotonic() < end, "dnsmasq does not serve"
        time.sleep(0.01)
    return process


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def message(kind, mac, transaction, client="0.0.0.0", options=b""):
    fixed = struct.pack("!BBBBIHH", 1, 1, 6, 0, transaction, 0, 0) + socket.inet_aton(client) + bytes(12)
    return (fixed + mac + bytes(10 + 64 + 128) + COOKIE + bytes([53, 1, kind]) + options + b"\xff").ljust(300, b"\0")


def option(number, value):
    return bytes([number, len(value)]) + value


def broadcast(mac, payload, source="0.0.0.0"):
    """The frame of a client that has no address."""
    src, dst = socket.inet_aton(source), b"\xff" * 4
    length = 8 + len(payload)
    udp = struct.pack("!HHHH", 68, 67, length, 0) + payload
    total = checksum(src + dst + struct.pack("!HH", 17, length) + udp)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, 17, 0) + src + dst
    return (b"\xff" * 6 + mac + b"\x08\x00" + ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
            + udp[:6] + struct.pack("!H", total or 0xffff) + udp[8:])


def parse(bootp):
    """(transaction, address, {option: value})"""
    options, at = {}, 240
    while at < len(bootp) and bootp[at] != 255:
        if bootp[at]:
            options[bootp[at]] = bootp[at + 2:at + 2 + bootp[at + 1]]
            at += 1 + bootp[at + 1]
        at += 1
    return struct.unpack_from("!I", bootp, 4)[0], socket.inet_ntoa(bootp[16:20]), options


class Client:
    """One guest's client, on its eth0."""

    def __init__(self, sandbox):
        self.sandbox, self.mac = sandbox, bytes.fromhex(sandbox.mac.replace(":", ""))
        self.transaction = int.from_bytes(os.urandom(4), "big")
        self.raw = sandbox.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.raw.bind(("eth0", 0x0800))
        self.port = sandbox.socket(socket.AF_INET, socket.SOCK_DGRAM)	# else the guest's kernel complains of answers
        self.port.bind(("", 68))

    def ask(self, kind, options=b"", timeout=PATIENCE):
        """Broadcast from no address; (address, options) of the answer, or None."""
        self.raw.send(broadcast(self.mac, message(kind, self.mac, self.transaction, options=options)))
        end = time.monotonic() + timeout
        while select.select([self.raw], [], [], max(0, end - time.monotonic()))[0]:
            frame = self.raw.recv(2048)
            if frame[23] != 17 or frame[36:38] != struct.pack("!H", 68):
                continue
            transaction, address, got = parse(frame[42:])
            if transaction == self.transaction:
                return address, got
        return None

    def lease(self, timeout=PATIENCE):
        """The whole conversation; the address, or None when nobody answers."""
        offer = self.ask(DISCOVER, timeout=timeout)
        if not offer:
            return None
        assert offer[1][53][0] == OFFER
        ack = self.ask(REQUEST, option(50, socket.inet_aton(offer[0])) + option(54, offer[1][54]), timeout)
        assert ack and ack[1][53][0] == ACK
        return ack[0]

    def renew(self, server, timeout=PATIENCE):
        """As one that has its address: straight to the server. The address, or None."""
        self.port.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while self.port.recv(2048):		# answers to what the raw socket asked
                pass
        self.port.settimeout(timeout)
        self.port.sendto(message(REQUEST, self.mac, self.transaction, self.sandbox.address[0]), (server, 67))
        with contextlib.suppress(TimeoutError, ConnectionError, PermissionError):
            transaction, given, options = parse(self.port.recv(2048))
            assert transaction == self.transaction and options[53][0] == ACK
            return given
        return None

    def close(self):
        self.raw.close()
        self.port.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
