"""The way to the upstream: its deadlines, slow lines, and the proxy that a site may demand."""

import contextlib
import re
import socket
import threading

import pytest

import labworld
from lab import AGENT, write
from labhttp import UPLOAD, Closed, Rude, Wire, ask, info_refs, ls_refs, pkt, post
from labnet import wait_for
from test_git import WIDGETS

GITLAB = {**AGENT, "git": {**AGENT["git"], "allowed_hosts": ["github.com", "gitlab.com"]}}


@pytest.fixture
def hurried(labs):
    """hurried(**times): a lab whose other times are the defaults, and a server of ours as gitlab.com."""
    def make(**times):
        lab = labs(profiles={"agent": GITLAB}, sandbox=False, up=False)
        lab.configure({"hosts": {"gitlab.com": labworld.SERVICES[0]},
                       "git": {"upstream_ca_file": lab.world.ca_file, "timeouts": times}})
        text = open(lab.config_file).read()		# times stand without quotes
        for value in times.values():
            text = text.replace(f'"{value}"', value)
        write(lab.config_file, text)
        lab.up()
        lab.add_sandbox()
        certs = lab.world.certs
        return lab, Rude(lab.internet, labworld.SERVICES, f"{certs}/gitlab.com.crt",
                         f"{certs}/gitlab.com.key")
    return make


def until_closed(s):
    """Hold a connection until its peer is gone."""
    with contextlib.suppress(OSError):
        while s.recv(65536):
            pass


def head(n):
    return f"HTTP/1.1 200 OK\r\nContent-Type: {UPLOAD}-advertisement\r\nContent-Length: {n}\r\n\r\n".encode()


# ---- deadlines ----

def late(lab, outcome):
    """The keeper's log says which time it was."""
    event = lab.audit.wait(src="keeper", event="upstream", reason="deadline_exceeded")[0]
    assert outcome in event["outcome"]
    lab.audit.wait_one(src="gitproxy", reason="deadline_exceeded")


def test_no_answer(hurried):
    """In words that git prints, on refs and on a request."""
    lab, rude = hurried(connect="5s", first_byte="1s")
    rude.answer = lambda s, request: until_closed(s)
    done = lab.sandbox.git("ls-remote", "https://gitlab.com/acme/widgets")
    assert done.returncode and "remote: deadline_exceeded\nremote: The peer took too long." in done.stderr
    got = ask(lab.sandbox, post("acme/widgets", ls_refs(), host="gitlab.com"), name="gitlab.com")
    assert got.body[4:].startswith(b"ERR deadline_exceeded: ")
    late(lab, "first_byte")


def test_no_handshake(hurried):
    """A server that takes the connection, and says nothing in TLS."""
    lab, rude = hurried(connect="1s")
    rude.greet = until_closed
    done = lab.sandbox.git("ls-remote", "https://gitlab.com/acme/widgets")
    assert done.returncode and "remote: upstream_unreachable" in done.stderr
    lab.audit.wait_one(src="gitproxy", decision="deny", reason="upstream_unreachable")


def test_stops_in_the_middle(hurried):
    """What is out cannot be taken back: a broken answer, never a clean end."""
    lab, rude = hurried(idle="1s")

    def answer(s, _):
        s.sendall(head(1000000) + pkt("# service=git-upload-pack\n"))
        until_closed(s)
    rude.answer = answer
    with Wire(lab.sandbox, "gitlab.com") as wire, pytest.raises(Closed):
        wire.send(info_refs("acme/widgets", host="gitlab.com")).response()
    late(lab, "idle")


def test_never_ends(hurried):
    """A byte now and then keeps the idle time away, not the total one."""
    lab, rude = hurried(total="5s")

    def answer(s, _):
        s.sendall(head(1000000))
        s.settimeout(0.1)
        with contextlib.suppress(OSError):
            while True:
                s.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    s.recv(1)
    rude.answer = answer
    with Wire(lab.sandbox, "gitlab.com") as wire, pytest.raises(Closed):
        wire.send(info_refs("acme/widgets", host="gitlab.com")).response()
    event = lab.audit.wait(src="gitproxy", event="git", reason="deadline_exceeded")[0]
    assert event["bytes_down"] > 0


def test_no_connection(hurried):
    """A server whose SYNs go nowhere."""
    lab, _ = hurried(connect="1s")
    lab.internet.run(["nft", "add table inet hole"], check=True)
    lab.internet.run(["nft", "add chain inet hole in { type filter hook input priority 0; }"], check=True)
    lab.internet.run(["nft", f"add rule inet hole in ip daddr {labworld.SERVICES[0]} tcp dport 443 drop"],
                     check=True)
    done = lab.sandbox.git("ls-remote", "https://gitlab.com/acme/widgets")
    assert done.returncode and "remote: upstream_unreachable" in done.stderr
    lab.audit.wait(src="keeper", event="upstream", reason="upstream_unreachable")


def test_slow_line(labs):
    """256 kbit/s and 200 ms: a clone takes its time and succeeds by the defaults."""
    lab = labs()
    shaped = lab.internet.run(["tc", "qdisc", "add", "dev", "in0", "root", "netem", "delay", "200ms",
                               "rate", "256kbit"])
    if shaped.returncode:
        lab.internet.run(["tc", "qdisc", "add", "dev", "in0", "root", "tbf", "rate", "256kbit",
                          "burst", "4kb", "latency", "2s"], check=True)
    done = lab.sandbox.git("clone", WIDGETS, "w")
    assert done.returncode == 0, done.stderr
    lab.audit.no_refusals()


# ---- the proxy ----

class Connect:
    """An HTTP proxy in the lab's internet that knows CONNECT; what it was asked for."""

    def __init__(self, lab, refuse=False):
        self.lab, self.refuse, self.heads = lab, refuse, []
        listener = lab.internet.listen(labworld.SERVICES[0], 3128)
        listener.settimeout(None)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(listener.accept()[0],), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            data = b""
            while b"\r\n\r\n" not in data:
                data += client.recv(4096)
            self.heads.append(data.decode())
            if self.refuse:
                client.sendall(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
                return
            host, port = re.match(r"CONNECT ([\w.]+):(\d+) ", self.heads[-1]).groups()
            with self.lab.internet.connect(labworld.NAMES[host][0], int(port)) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\n\r\n")
                threading.Thread(target=self._copy, args=(server, client), daemon=True).start()
                self._copy(client, server)

    @staticmethod
    def _copy(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)


PLAIN = {**AGENT, "network": {"default": "deny", "allow": [{"host": "web.example", "protocol": "http"}]}}


def proxied(labs, url, **kw):
    lab = labs(profiles={"agent": PLAIN}, up=False)
    lab.configure({"git": {"upstream_ca_file": lab.world.ca_file, "upstream_proxy": url}})
    proxy = Connect(lab, **kw)
    lab.up()
    lab.add_sandbox()
    return lab, proxy


@pytest.mark.parametrize("host", [labworld.SERVICES[0], "tcp.example"], ids=["address", "name"])
def test_proxy(labs, host):
    """Everything goes through it; the upstream's certificate is verified all the same."""
    lab, proxy = proxied(labs, f"http://{host}:3128")
    with lab.capture() as capture:
        done = lab.sandbox.git("clone", WIDGETS, "w")
        assert done.returncode == 0, done.stderr
        capture.empty(dst=labworld.GITHUB[0], where=lambda p: p.src != labworld.SERVICES[0])
    lab.audit.no_refusals()
    assert proxy.heads
    for text in proxy.heads:
        assert text.startswith("CONNECT github.com:443 HTTP/1.1\r\n")
        assert not {"git-protocol", "authorization", "content-type"} & {
            line.split(":")[0].lower() for line in text.split("\r\n")}
    assert not lab.dns.queries("github.com")		# the proxy looks it up, nobody else


def test_proxy_for_plain_http(labs):
    """CONNECT to port 80: the proxy sees a host and a port, and of the request nothing."""
    lab, proxy = proxied(labs, f"http://{labworld.SERVICES[0]}:3128")
    with lab.capture() as capture:
        done = lab.sandbox.curl("http://web.example/?secret=s3cr3t", "-H", "Cookie: c=d")
        assert done.stdout == "this is web.example\n\n200\n", done
        capture.empty(dst=labworld.WEB[0], where=lambda p: p.src != labworld.SERVICES[0])
    lab.audit.no_refusals()
    assert len(proxy.heads) == 1 and proxy.heads[0].startswith("CONNECT web.example:80 HTTP/1.1\r\n")
    assert "s3cr3t" not in proxy.heads[0] and "c=d" not in proxy.heads[0]
    request, = wait_for("the server's log", lambda: lab.web.requests(host="web.example"))
    assert request.path.endswith("?secret=s3cr3t") and request.cookie == "c=d"


def test_proxy_that_refuses_plain_http(labs):
    lab, _ = proxied(labs, f"http://{labworld.SERVICES[0]}:3128", refuse=True)
    done = lab.sandbox.curl("http://web.example/")
    assert done.stdout == "upstream_unreachable\nThe server could not be reached; try again later.\n\n502\n", done
    lab.audit.only("upstream_unreachable", host="web.example", src="gitproxy")
    assert "407" in lab.audit.wait(src="keeper", event="upstream")[0]["outcome"]
    assert not lab.web.requests(host="web.example")


def test_proxy_that_refuses(labs):
    lab, proxy = proxied(labs, f"http://{labworld.SERVICES[0]}:3128", refuse=True)
    done = lab.sandbox.git("ls-remote", WIDGETS)
    assert done.returncode and "remote: upstream_unreachable" in done.stderr
    assert "407" in lab.audit.wait(src="keeper", event="upstream")[0]["outcome"]


def test_proxy_is_not_the_host_itself(labs):
    """The filter of addresses holds for the proxy: nothing of this host is dialled."""
    lab, proxy = proxied(labs, "http://127.0.0.1:3128")
    done = lab.sandbox.git("ls-remote", WIDGETS)
    assert done.returncode and "remote: rebinding_blocked" in done.stderr
    assert not proxy.heads
