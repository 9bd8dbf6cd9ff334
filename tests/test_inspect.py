"""What an attacker does to the first bytes of a granted TLS flow (B4, B7-B12)."""

import contextlib
import os
import random
import signal
import socket
import threading
import time

import pytest

import labworld
from lab import row, spelled
from labclient import get, tls
from labhello import RANDOM, Handshake, extension, hello, message, records, server_hello, sni
from labnet import MOMENT, PATIENCE, end_process, wait_for
from labtcp import ACK, FIN, RST, SYN, URG, Frames, RawFlow, ip_packet
from labwatch import Capture

NAME, EVIL = "pypi.example", "evil.example"
GOOD = hello(sni(NAME.encode()))
BAD = hello(sni(EVIL.encode()))
assert len(GOOD) == len(BAD)


def server(family):
    return labworld.WEB[family == 6]


def connect(lab, family):
    s = lab.sandbox.connect(lab.sandbox.resolve(NAME, family), 443)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def is_reset(s, timeout=PATIENCE):
    """Whether the connection ends with a reset, now."""
    s.settimeout(timeout)
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except OSError:
        return False
    return False


def raw(lab, family, **kw):
    return RawFlow(lab.sandbox, lab.sandbox.resolve(NAME, family), **kw)


# ---- B7: what must work, however it is cut

@row("B7")
@pytest.mark.parametrize("pieces, size", [(1, 16384), (7, 16384), (10**6, 1), (3, 5), (10**6, 16384)],
                         ids=["one-byte segments", "segments of 7", "one-byte records", "both small", "whole"])
def test_hello_in_pieces(lab, audit, family, pieces, size):
    with connect(lab, family) as s:
        client = Handshake(s, NAME, lab.sandbox.ca_bundle)
        wire = client.rerecord(size)
        for i in range(0, len(wire), pieces):
            s.sendall(wire[i:i + pieces])
        assert client.fetch(NAME).endswith(b"200 OK")
    audit.wait(event="flow", decision="allow", name=NAME)
    audit.no_refusals()


@row("B7")
def test_hello_larger_than_a_segment(lab, audit, family):
    """As post-quantum hellos are: two segments, or one unsegmented packet above the MTU."""
    with connect(lab, family) as s:
        client = Handshake(s, NAME, lab.sandbox.ca_bundle, alpn=[f"padding-{i:022}" for i in range(60)] + ["http/1.1"])
        assert len(client.hello) > 1800
        s.sendall(client.hello)
        assert client.fetch(NAME).endswith(b"200 OK")
    audit.no_refusals()


@row("B7")
def test_half_a_hello_then_the_rest(lab, audit, family):
    """Three seconds of silence are no offence; the pause is the test."""
    with connect(lab, family) as s:
        client = Handshake(s, NAME, lab.sandbox.ca_bundle)
        s.sendall(client.hello[:100])
        time.sleep(3)
        s.sendall(client.hello[100:])
        assert client.fetch(NAME).endswith(b"200 OK")
    audit.no_refusals()


@row("B7")
def test_half_a_hello_then_nothing(lab, audit):
    """Refused after the deadline, in both families; the rest never leaves."""
    with connect(lab, 4) as four, connect(lab, 6) as six, lab.capture() as capture:
        for s in (four, six):
            s.sendall(GOOD[:30])
        for address in labworld.WEB:
            assert audit.wait(reason="hello_timeout", real=address)
        capture.clear()
        for s in (four, six):
            s.sendall(GOOD[30:])
            assert is_reset(s)
        capture.empty(contains=NAME.encode())


@row("B7")
def test_hello_in_reverse_order(lab, audit, family):
    """What comes too early is dropped, and passes when TCP sends it again."""
    with raw(lab, family).open() as flow:
        flow.send(ACK, 31, GOOD[30:])
        flow.send(ACK, 1, GOOD[:30])
        flow.acked(30)
        flow.send(ACK, 31, GOOD[30:])
        flow.acked(len(GOOD))
    audit.no_refusals()


# ---- B8: two views of one stream

@row("B8")
def test_retransmission_with_other_bytes(lab, audit, capture, family):
    with raw(lab, family).open() as flow:
        flow.send(ACK, 1, GOOD[:-1])
        flow.acked(len(GOOD) - 1)
        flow.send(ACK, 1, BAD)
        flow.reset()
        flow.send(ACK, 1 + len(GOOD) - 1, GOOD[-1:])
        capture.empty(contains=EVIL.encode())
        assert not capture.packets(dst=server(family), where=lambda p: p.payload.endswith(GOOD[-4:]))
    audit.only("stream_inconsistent", name=NAME)


@row("B8")
def test_fake_hello_with_a_low_ttl(lab, audit, capture, family):
    """It reaches the server like everything else that passes, and what differs from it is refused."""
    with raw(lab, family).open() as flow:
        flow.send(ACK, 1, GOOD, ttl=2)
        flow.send(ACK, 1, BAD)
        flow.reset()
        assert capture.wait(contains=NAME.encode(), dst=server(family))
        capture.empty(contains=EVIL.encode())
    audit.only("stream_inconsistent", name=NAME)


@row("B8")
def test_overlap_with_other_bytes(lab, audit, capture, family):
    cut = GOOD.index(NAME.encode())
    with raw(lab, family).open() as flow:
        flow.send(ACK, 1, GOOD[:cut + 2])
        flow.acked(cut + 2)
        flow.send(ACK, 1 + cut, BAD[cut:])
        flow.reset()
        capture.empty(contains=EVIL.encode()[2:])
    audit.only("stream_inconsistent", name=NAME)


@row("B8")
def test_fakes_do_not_make_it_forget(lab, audit, capture, family):
    """A reset that the server does not believe, a FIN out of place: the hello is still inspected."""
    cut = BAD.index(EVIL.encode()) + 3
    with raw(lab, family).open() as flow:
        flow.send(ACK, 1, BAD[:cut])
        flow.acked(cut)
        flow.send(RST, 1 + cut + 500)
        flow.send(FIN | ACK, 1 + cut + 700)
        flow.send(ACK, 1 + cut, BAD[cut:])
        flow.reset()
        capture.empty(contains=EVIL.encode())
        capture.empty(contains=BAD[cut:])
    audit.wait_one(reason="sni_mismatch", name=NAME)


@row("B8")
def test_syn_in_an_undecided_flow(lab, audit, capture, family):
    """A new ISN that makes a good hello end where the server has acknowledged an evil one's start."""
    cut = 40
    with raw(lab, family).open() as flow:
        flow.send(ACK, 1, BAD[:cut])
        flow.acked(cut)
        capture.clear()
        rebased = flow.isn + cut - len(GOOD)
        flow.send(SYN, 0, isn=rebased)
        flow.send(ACK, 1, GOOD, isn=rebased)
        flow.send(ACK, 1 + cut, BAD[cut:])
        capture.empty(dst=server(family), where=lambda p: p.flags & SYN)
        capture.empty(contains=NAME.encode())
        capture.empty(contains=BAD[cut:])
    audit.wait(reason="state_invalid")


@row("B8")
def test_syn_in_a_decided_flow(lab, audit, capture, family):
    """Dropped there too, and the flow lives on."""
    address = lab.sandbox.resolve(NAME, family)
    with tls(lab.sandbox, NAME, family, address=address) as s:
        assert get(s, NAME)
        sport = s.getsockname()[1]
        capture.clear()
        with RawFlow(lab.sandbox, address, sport=sport) as flow:
            flow.send(SYN, 0)
            capture.empty(dst=server(family), where=lambda p: p.flags & SYN)
            assert get(s, NAME)
            flow.server_isn, flow._next = None, 2**31	# leaving resets nothing
    audit.only("state_invalid", port=443)


MPTCP, TCP_IS_MPTCP = 262, 43		# linux/in.h, linux/tcp.h


@row("B8")
def test_multipath_tcp_is_not_negotiated(own_lab, family):
    """Its mappings take a good hello out of the stream and read an evil one from early data, behind all that was
    inspected. The client goes on with plain TCP at once."""
    address = labworld.SERVICES[family == 6]
    own_lab.dns.set("a.files.example", address)
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    with own_lab.internet.socket(kind, socket.SOCK_STREAM, MPTCP) as listener, \
            own_lab.sandbox.socket(kind, socket.SOCK_STREAM, MPTCP) as client, \
            Capture(own_lab.gateway, own_lab.sandbox.interface) as said:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 443))
        listener.listen()
        synthetic = own_lab.sandbox.resolve("a.files.example", family)
        client.connect((synthetic, 443))
        assert len(said.packets(dst=spelled(synthetic), dport=443, flags=SYN)) == 1, "its first SYN is answered"
        with listener.accept()[0] as s:
            s.settimeout(PATIENCE)
            good = hello(sni(b"a.files.example"))
            client.sendall(good)
            assert s.recv(len(good)) == good
            assert not s.getsockopt(socket.IPPROTO_TCP, TCP_IS_MPTCP)


# ---- B4: segments that conntrack lets through

@row("B4")
@pytest.mark.parametrize("flags, data", [(SYN, GOOD), (SYN | URG, b"")], ids=["payload", "urgent"])
def test_syn_with_more(lab, capture, family, flags, data):
    with raw(lab, family) as flow:
        flow.send(flags, 0, data)
        capture.empty(dst=server(family))


@row("B4")
def test_urgent_data(lab, capture, family):
    with raw(lab, family).open() as flow:
        capture.clear()
        flow.send(ACK | URG, 1, GOOD)
        capture.empty(contains=NAME.encode())


@row("B4")
def test_stopped_inspector(own_lab, family):
    """An inspector that does nothing lets nothing through, and serves again when it goes on."""
    lab = own_lab
    address = lab.sandbox.resolve(NAME, family)
    with lab.capture() as capture:
        pids = lab.signal("cordon-inspect", signal.SIGSTOP)
        try:
            with pytest.raises(OSError):
                lab.sandbox.connect(address, 443, timeout=MOMENT)
            capture.empty(dst=server(family))
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert lab.sandbox.fetches(f"https://{NAME}/", family=family)


# ---- B9, B11, B12: hellos and no hellos

ECH = extension(0xfe0d, b"\0" + bytes(40))
REFUSED = {
    "another tenant": (BAD, "sni_mismatch"),
    "no name": (hello(extension(43, b"\2\3\4")), "sni_missing"),
    "no extension": (hello(), "sni_missing"),
    "two extensions": (hello(sni(NAME.encode()), sni(EVIL.encode())), "hello_malformed"),
    "the same twice": (hello(sni(NAME.encode()), sni(NAME.encode())), "hello_malformed"),
    "two names": (hello(sni(NAME.encode(), EVIL.encode())), "hello_malformed"),
    "NUL": (hello(sni(NAME.encode() + b"\0." + EVIL.encode())), "hello_malformed"),
    "IPv4 literal": (hello(sni(b"93.184.216.34")), "hello_malformed"),
    "IPv6 literal": (hello(sni(b"2606:2800::34")), "hello_malformed"),
    "two dots": (hello(sni(NAME.encode() + b"..")), "hello_malformed"),
    "another type": (hello(sni(NAME.encode(), kind=1)), "hello_malformed"),
    "empty record": (records(b"", 1) + b"\x16\3\1\0\0" + GOOD, "hello_malformed"),
    "two hellos": (records(message(sni(NAME.encode())) + message(sni(EVIL.encode()))), "hello_malformed"),
    "SSLv2": (b"\x80\x2e\1\3\1\0\x15\0\0\0\x10" + bytes(21) + RANDOM[:16], "not_tls"),
    "garbage first": (b"\n" + GOOD, "not_tls"),
    "ECH": (hello(sni(NAME.encode()), ECH), "ech_not_allowed"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2 " + RANDOM + b"\r\n", "not_tls"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: pypi.example\r\nX: " + RANDOM + b"\r\n\r\n", "not_tls"),
    "WireGuard": (b"\1\0\0\0" + RANDOM + bytes(112), "not_tls"),
    "STUN": (b"\0\1\0\0\x21\x12\xa4\x42" + RANDOM[:12] + RANDOM, "not_tls"),
    "random": (random.Random(7).randbytes(200).replace(b"\x16", b"x") + RANDOM, "not_tls"),
}
ROWS = {"another tenant": "B10", "ECH": "B11", **dict.fromkeys(("SSH", "HTTP", "WireGuard", "STUN", "random"), "B12")}


@pytest.mark.parametrize("what", [pytest.param(w, marks=row(ROWS.get(w, "B9"))) for w in REFUSED])
def test_refused_hello(lab, audit, capture, family, what):
    """Nothing of it leaves, the client is reset at once, the audit says why, once."""
    wire, reason = REFUSED[what]
    with connect(lab, family) as s:
        s.sendall(wire)
        assert is_reset(s)
        capture.empty(dst=server(family), where=lambda p: p.dport == 443 and len(p.payload) > (p.payload[12] >> 4) * 4)
    event = audit.only(reason, name=NAME, port=443)
    assert event["sandbox"] == "vm0" and event["rule"] and event["event"] == "flow"


@row("B10")
def test_wrong_name_before_the_hello_ends(lab, audit, capture, family):
    """The segment that completes the name does not leave, though the hello is not whole yet."""
    wire = hello(sni(EVIL.encode()), extension(21, bytes(300)))
    with connect(lab, family) as s:
        s.sendall(wire[:40])
        s.sendall(wire[40:200])
        assert is_reset(s)
        capture.empty(contains=EVIL.encode())
    audit.only("sni_mismatch", name=NAME)


@row("B9")
@pytest.mark.parametrize("name", ["PyPI.Example", "pypi.example."])
def test_spellings_that_are_the_same(lab, audit, family, name):
    wire = hello(sni(name.encode()))
    with raw(lab, family).open() as flow:
        flow.send(ACK, 1, wire)
        flow.acked(len(wire))
    audit.no_refusals()


# ---- B10: a second hello

RETRY, RETRY_REAL = "tcp.example", "udp.example"	# their address is the test's own to listen on


@pytest.fixture(scope="module")
def retry_lab(world):
    from lab import Lab
    profile = {"network": {"default": "deny", "allow": [{"host": RETRY}, {"host": RETRY_REAL}]}}
    with Lab(world, profiles={"agent": profile}) as lab:
        lab.up()
        lab.add_sandbox()
        yield lab


def asks_for_another(listener, got):
    """A server that answers every hello by a HelloRetryRequest, and keeps what it reads."""
    with contextlib.suppress(OSError):
        s, _ = listener.accept()
        with s:
            s.settimeout(PATIENCE)
            got.append(s.recv(65536))
            s.sendall(server_hello(retry=True))
            while data := s.recv(65536):
                got.append(data)
                s.sendall(server_hello())


@row("B10")
@pytest.mark.parametrize("second", ["another name", "another name, at once", "the same"])
def test_second_hello(retry_lab, family, second):
    lab = retry_lab
    lab.audit.mark()
    first, other = (hello(sni(n.encode())) for n in (RETRY, "evil.exampl"))
    listener, got = lab.internet.listen(labworld.SERVICES[family == 6], 443), []
    threading.Thread(target=asks_for_another, args=(listener, got), daemon=True).start()
    with listener, lab.sandbox.connect(lab.sandbox.resolve(RETRY, family), 443) as s, lab.capture() as capture:
        s.settimeout(PATIENCE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(first + (other if second == "another name, at once" else b""))
        if second != "another name, at once":
            assert s.recv(65536) == server_hello(retry=True)
        if second == "the same":
            assert not lab.audit.events(event="flow", decision="allow"), "decided by a retry"
            s.sendall(first)
            assert s.recv(65536) == server_hello()
            lab.audit.wait(event="flow", decision="allow", name=RETRY)
            return
        if second == "another name":
            s.sendall(other)
        assert is_reset(s)
        capture.empty(contains=b"evil.exampl")
        lab.audit.wait_one(decision="deny", name=RETRY,
                           reason="sni_mismatch" if second == "another name" else "hello_malformed")
    assert b"evil.exampl" not in b"".join(got)


@row("B10")
def test_retry_of_a_real_server(retry_lab, family):
    """OpenSSL that knows only a group for which the client sent no share: it must work, hello by hello."""
    lab, address = retry_lab, labworld.SERVICES[family == 6]
    lab.audit.mark()
    where = f"[{address}]:443" if family == 6 else f"{address}:443"
    certs = lab.world.certs
    server = lab.internet.start(["openssl", "s_server", "-accept", where, "-tls1_3", "-groups", "P-384", "-www", "-quiet",
                                 "-cert", f"{certs}/{NAME}.crt", "-key", f"{certs}/{NAME}.key"])
    wait_for("openssl", lambda: lab.internet.listening(address, 443))
    try:
        with lab.capture() as capture:
            assert lab.sandbox.fetches(f"https://{RETRY_REAL}/", "-k", family=family)
            assert len(capture.packets(contains=RETRY_REAL.encode(), dst=address)) == 2, "the server did not retry"
        lab.audit.wait(event="flow", decision="allow", name=RETRY_REAL)
    finally:
        end_process(server)


@row("B8", "B10")
def test_checksum_written_over_the_name(lab, audit, capture, family):
    """A guest says where the kernel is to write a packet's checksum, here over two letters of the name. What
    the inspector judges must be what leaves; where the ruleset can look, it does not get that far."""
    with raw(lab, family).open() as flow, Frames(lab.sandbox, offload=True) as frames:
        segment = flow.segment(ACK, 1, GOOD)
        packet = ip_packet(flow.source, flow.address, socket.IPPROTO_TCP, segment)
        start = len(packet) - len(segment) + 18			# the urgent pointer, a free word
        frames.send(packet, (start, packet.index(NAME.encode()) - start))
        audit.wait_one(decision="deny", reason={"state_invalid", "sni_mismatch", "hello_malformed", "sni_missing"})
        capture.empty(dst=server(family), contains=b"\x16\x03")
