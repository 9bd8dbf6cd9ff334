"""Peers and daemons that end at the worst moment: nothing hangs, nothing stays behind.

After each fault the unit must be as it was before it: threads, descriptors and children are counted in
/proc, and the next fetch works. No test measures time; one that hangs runs into the client's own limit.
"""

import contextlib
import os
import signal
import socket
import subprocess

import pytest

import labworld
from lab import AGENT
from labhttp import UPLOAD, Closed, Rude, Wire, get, info_refs, ls_refs, pkt, post
from labnet import PATIENCE, wait_for
from test_git import WIDGETS

GITLAB = {**AGENT, "git": {**AGENT["git"], "allowed_hosts": ["github.com", "gitlab.com"]}}
LIMIT = PATIENCE		# that a client may take before the test calls it hung
UNIT = ("cordon-gitproxy", "cordon-keeper")
RESET = b"\1\0\0\0\0\0\0\0"


@pytest.fixture
def shop(labs):
    """A lab whose gitlab.com is a server of ours, and that server."""
    lab = labs(profiles={"agent": GITLAB}, config={"hosts": {"gitlab.com": labworld.SERVICES[0]}})
    certs = lab.world.certs
    return lab, Rude(lab.internet, labworld.SERVICES, f"{certs}/gitlab.com.crt", f"{certs}/gitlab.com.key")


def held(lab):
    """What the unit holds: {daemon: (threads, descriptors, children)}, kept connections not counted."""
    found = {}
    for daemon in UNIT:
        pid, = lab.pids(daemon)
        children = open(f"/proc/{pid}/task/{pid}/children").read().split()
        found[daemon] = (len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd")), len(children))
    return found


def settled(lab, before):
    """All of it is back. Rested upstream connections are closed after half a minute."""
    def same():
        with contextlib.suppress(OSError, ValueError):
            now = held(lab)
            return all(a <= b for daemon in UNIT for a, b in zip(now[daemon], before[daemon])) and now
    wait_for(f"the unit to be as before: {before}, is {held(lab)}", same, step=0.1)


def warm(lab):
    """Everything that is made once has been made; what is held then."""
    for name in ("github.com", "gitlab.com"):
        lab.sandbox.git("ls-remote", f"https://{name}/acme/widgets", timeout=LIMIT)
    lab.sandbox.git("ls-remote", WIDGETS, timeout=LIMIT)
    return held(lab)


def head(n="1000000", kind="advertisement"):
    return (f"HTTP/1.1 200 OK\r\nContent-Type: {UPLOAD}-{kind}\r\nCache-Control: no-cache\r\n"
            f"Content-Length: {n}\r\n\r\n").encode()


ADVERTISED = pkt("# service=git-upload-pack\n") + b"0000" + pkt("version 2\n") + b"0000"
STAGES = {
    "before": b"", "in status": b"HTTP/1.1 2", "in headers": head()[:60], "after headers": head(),
    "in body": head() + ADVERTISED, "in chunk": head().replace(b"Content-Length: 1000000",
                                                               b"Transfer-Encoding: chunked") + b"ff\r\nab",
    "after": head(len(ADVERTISED)) + ADVERTISED,
}


@pytest.mark.parametrize("how", ["end", "reset"])
def test_upstream_killed(shop, how):
    """At every stage: the client has an answer or a broken one, and the unit is as before."""
    lab, rude = shop
    rude.says(body=ADVERTISED)
    before = warm(lab)
    for stage, data in STAGES.items():
        def answer(s, _):
            s.sendall(data)
            if how == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                s.close()
        rude.answer = answer
        done = lab.sandbox.git("-c", "protocol.version=2", "ls-remote", "https://gitlab.com/acme/widgets",
                               timeout=LIMIT)
        assert done.returncode, stage		# ls-refs is answered with the advertisement: never right
        for _ in range(5):
            with Wire(lab.sandbox, "gitlab.com", timeout=LIMIT) as wire:
                wire.send(info_refs("acme/widgets", host="gitlab.com"))
                with contextlib.suppress(Closed):
                    wire.response()
    settled(lab, before)
    assert lab.sandbox.git("ls-remote", WIDGETS, timeout=LIMIT).returncode == 0


GREETINGS = {"silent": b"", "half a record": b"\x16\x03\x03\x00\x7a\x02\x00", "no TLS": b"HTTP/1.1 400 No\r\n\r\n",
             "an alert": b"\x15\x03\x03\x00\x02\x02\x28"}


@pytest.mark.parametrize("how", ["end", "reset"])
def test_upstream_killed_before_a_request(shop, how):
    """While the connection is made, and inside its handshake."""
    lab, rude = shop
    rude.says(body=ADVERTISED)
    before = warm(lab)
    lab.audit.mark()
    for what, data in GREETINGS.items():
        def greet(s):
            s.recv(65536)			# unread bytes would make an end a reset
            s.sendall(data)
            if how == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        rude.greet = greet
        with Wire(lab.sandbox, "gitlab.com", timeout=LIMIT) as wire:
            for _ in range(5):
                got = wire.send(info_refs("acme/widgets", host="gitlab.com")).response()
                assert (got.status, got.reason) == (502, "upstream_unreachable"), what
    lab.audit.wait_one(src="gitproxy", decision="deny", reason="upstream_unreachable")
    settled(lab, before)
    assert lab.sandbox.git("ls-remote", WIDGETS, timeout=LIMIT).returncode == 0


def test_upstream_refuses_connections(shop):
    lab, rude = shop
    rude.says(body=ADVERTISED)
    before = warm(lab)
    lab.audit.mark()
    for rule in ("add table inet shut", "add chain inet shut in { type filter hook input priority 0; }",
                 "add rule inet shut in ip daddr %s tcp dport 443 reject with tcp reset" % labworld.SERVICES[0]):
        lab.internet.run(["nft", rule], check=True)
    done = lab.sandbox.git("ls-remote", "https://gitlab.com/acme/widgets", timeout=LIMIT)
    assert done.returncode and "remote: upstream_unreachable" in done.stderr
    lab.audit.wait_one(src="gitproxy", decision="deny", reason="upstream_unreachable")
    settled(lab, before)


def stalling(s, _):
    """An upstream that sends a part and then waits for ever."""
    s.settimeout(None)
    s.sendall(head() + ADVERTISED)
    with contextlib.suppress(OSError):
        while s.recv(65536):
            pass


CLIENT = {
    "nothing": b"", "half a head": b"GET /acme/widg", "a head": info_refs("acme/widgets", host="gitlab.com"),
    "half a body": post("acme/widgets", b"0011", "Content-Length: 100", length=False, host="gitlab.com"),
    "half a chunk": post("acme/widgets", b"ff\r\nab", "Transfer-Encoding: chunked", length=False,
                         host="gitlab.com"),
    "a request": post("acme/widgets", ls_refs(), host="gitlab.com"),
    "two requests": info_refs("acme/widgets", host="gitlab.com") * 2,
    "refused, unread": get("/", host="gitlab.com") * 20,
}


@pytest.mark.parametrize("how", ["end", "reset"])
def test_client_vanishes(shop, how):
    """At every stage, while the upstream stalls: its threads and its transfers end with it."""
    lab, rude = shop
    rude.says(body=ADVERTISED)
    before = warm(lab)
    rude.answer = stalling
    for data in CLIENT.values():
        for _ in range(4):
            with Wire(lab.sandbox, "gitlab.com") as wire:
                wire.send(data)
                if how == "reset":
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    for sent in (b"", b"\x16\x03\x01\x02"):		# and inside the handshake
        with lab.sandbox.connect(lab.sandbox.resolve("gitlab.com"), 443) as s:
            s.sendall(sent)
    settled(lab, before)
    assert lab.sandbox.git("ls-remote", WIDGETS, timeout=LIMIT).returncode == 0


def test_git_killed(shop):
    """git itself, kill -9 in the middle of a clone."""
    lab, rude = shop
    rude.says(body=ADVERTISED)
    before = warm(lab)
    rude.answer = stalling
    for n in range(3):
        started = len(rude.requests)
        process = lab.sandbox.start(["git", "clone", "https://gitlab.com/acme/widgets", f"{lab.dir}/x{n}"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the request to arrive", lambda: len(rude.requests) > started)
        os.killpg(process.pid, signal.SIGKILL)
    settled(lab, before)


@pytest.mark.parametrize("victim", ["cordon-gitproxy", "cordon-keeper", "cordon-netd"])
def test_daemon_killed_during_a_clone(shop, victim):
    """The clone fails or (netd) may go on; nobody hangs, and the next one works."""
    lab, rude = shop
    rude.says(body=ADVERTISED)
    before = warm(lab)
    rude.requests.clear()
    rude.answer = stalling
    process = lab.sandbox.start(["git", "clone", "https://gitlab.com/acme/widgets", f"{lab.dir}/x"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for("the request to arrive", lambda: rude.requests)
    old = set(lab.signal(victim))
    if victim != "cordon-netd":
        assert process.wait(LIMIT)
    wait_for("its successor", lambda: (new := set(lab.pids(victim))) and not new & old)
    wait_for("a fetch", lambda: lab.sandbox.git("ls-remote", WIDGETS, timeout=LIMIT).returncode == 0)
    if victim == "cordon-netd":			# kept, or ended by the revocation: not left hanging
        lab.cordon("rm", lab.sandbox.guest, check=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        settled(lab, before)


def test_netd_restarts_during_a_clone(shop):
    """A clone over a slow upstream outlives netd, whose successor reads the kernel's maps back."""
    lab, _ = shop
    shaped = lab.internet.run(["tc", "qdisc", "add", "dev", "in0", "root", "tbf", "rate", "200kbit",
                               "burst", "4kb", "latency", "2s"])
    assert shaped.returncode == 0, shaped.stderr
    process = lab.sandbox.start(["git", "clone", WIDGETS, f"{lab.dir}/x"], stderr=subprocess.PIPE,
                                env={"HOME": f"{lab.sandbox.dir}/home"})
    wait_for("its first request", lambda: lab.audit.events(event="git", decision="allow"))
    lab.signal("cordon-netd")
    process.wait(2 * LIMIT)
    wait_for("a fetch", lambda: lab.sandbox.git("ls-remote", WIDGETS, timeout=LIMIT).returncode == 0)
