"""terminated - requests that the proxy reads, against nginx and mitmproxy as TLS-to-TLS reverse proxies

Theory of operation: one kind of lab, three gateways: Cordon with an `http:` rule, nginx with kept
upstream connections and a worker for each core, mitmproxy in reverse mode. Client (wrk) and origin
(nginx with files) are the same for all. Measured is the work of the gateway's processes for a request:
their user and system time, so it does not matter that client and origin share the machine's cores. What
the kernel does for them outside of a system call counts for none of the three.
"""

import contextlib
import os
import re
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import CONFIG, Lab  # noqa: E402
from labnet import LabError, wait_for  # noqa: E402
from labworld import SERVICES, WWW  # noqa: E402
from measure import PAIRS, PLAIN_NAT, SECONDS, interleaved, paired_ratio, result  # noqa: E402

NAME, ORIGIN = "tcp.example", SERVICES[0]
BODIES = {"1k": 1 << 10, "64k": 1 << 16}
CONNECTIONS = 8
PROFILE = {
    "network": {"default": "deny", "allow": [{"host": NAME, "http": [{"path": "/**"}]}]},
    "limits": {"connections": 1000, "new_connections_per_second": 1000000},
}

NGINX = """
daemon off;
user www-data;
worker_processes {workers};
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
	access_log {log};
	client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
	ssl_certificate {certs}/{name}.crt;
	ssl_certificate_key {certs}/{name}.key;
	ssl_session_tickets off;
	tcp_nodelay on;
	sendfile on;
	{http}
	server {{
		listen {listen}:443 ssl;
		{server}
	}}
}}
"""
FILES = "root {dir}/files; keepalive_requests 1000000;"
UPSTREAM = "upstream origin {{ server {origin}:443; keepalive 32; }}"
REVERSE = """location / {{
			proxy_pass https://origin;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host {name};
			proxy_ssl_server_name on;
			proxy_ssl_name {name};
			proxy_ssl_verify on;
			proxy_ssl_trusted_certificate {ca};
		}}"""


def nginx(lab, space, role, listen, http, server, log):
    """Start an nginx of our own configuration; its master's Popen."""
    dir = f"{lab.dir}/{role}"
    os.makedirs(f"{dir}/files")
    values = {"dir": dir, "certs": lab.world.certs, "ca": lab.world.ca_file, "name": NAME, "origin": ORIGIN}
    text = NGINX.format(workers=os.cpu_count(), listen=listen, log=log.format(**values),
                        http=http.format(**values), server=server.format(**values), **values)
    with open(f"{dir}/nginx.conf", "w") as f:
        f.write(text)
    os.chown(dir, WWW, WWW)
    process = space.start(["nginx", "-e", f"{dir}/error.log", "-c", f"{dir}/nginx.conf"])
    wait_for("nginx", lambda: space.listening(listen, 443))
    return process


def origin(lab):
    """The server that all three ask."""
    nginx(lab, lab.internet, "origin", ORIGIN, "", FILES, "off")
    for name, size in BODIES.items():
        with open(f"{lab.dir}/origin/files/{name}", "wb") as f:
            f.write(b"0123456789abcdef" * (size // 16))


class Gateway:
    """A lab, where its sandbox finds the name, and the processes that count."""

    def __init__(self, lab, address, comms):
        self._lab, self._comms = lab, comms
        self._hosts = f"{lab.dir}/hosts"
        with open(self._hosts, "w") as f:
            f.write(f"{address} {NAME}\n")

    def cpu(self):
        return sum(busy(pid) for comm in self._comms for pid in self._lab.pids(comm))

    def load(self, body):
        """Requests per second of its CPU."""
        before = self.cpu()
        done = self._lab.sandbox.run(["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"',
                                      self._hosts, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(SECONDS))}s",
                                      f"https://{NAME}/{body}"], check=True)
        spent = self.cpu() - before
        count = re.search(r"(\d+) requests in", done.stdout)
        if not count or "Non-2xx" in done.stdout or "Socket errors" in done.stdout or not spent:
            raise LabError(f"wrk: {done.stdout}")
        return int(count[1]) / spent


def busy(pid):
    """Seconds that a process has run, with those of its threads that are gone; nothing of idle ones."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def plain(stack, world):
    lab = stack.enter_context(Lab(world, profiles={"agent": PROFILE}))
    lab.gateway.sysctl(net__ipv4__ip_forward=1)
    lab.gateway.run(["nft", "-f", "-"], input=PLAIN_NAT, check=True)
    lab.add_sandbox(register=False)
    origin(lab)
    return lab


def through_cordon(stack):
    lab = stack.enter_context(Lab(profiles={"agent": PROFILE},
                                  config={"ca": {"names": [*CONFIG["ca"]["names"], NAME]}}))
    lab.world.make_leaf(NAME)
    lab.up()
    lab.add_sandbox()
    origin(lab)
    return lab, Gateway(lab, lab.sandbox.resolve(NAME), ("cordon-gitproxy", "cordon-keeper"))


def through_nginx(stack, world):
    lab = plain(stack, world)
    address = lab.sandbox.gateway[0]
    nginx(lab, lab.gateway, "reverse", address, UPSTREAM, REVERSE, "{dir}/access.log")
    return Gateway(lab, address, ("nginx",))


def through_mitmproxy(stack, world):
    lab = plain(stack, world)
    address, pem = lab.sandbox.gateway[0], f"{lab.dir}/mitm.pem"
    with open(pem, "w") as f:
        for part in ("key", "crt"):
            f.write(open(f"{world.certs}/{NAME}.{part}").read())
    lab.gateway.start(["mitmdump", "-q", "--mode", f"reverse:https://{NAME}:443", "--listen-host", address,
                       "--listen-port", "443", "--certs", pem, "--set", f"confdir={lab.dir}/mitm",
                       "--set", f"ssl_verify_upstream_trusted_ca={world.ca_file}", "--set", "keep_host_header=true",
                       "--set", "connection_strategy=lazy", "--set", "http2=false"], stdout=open(f"{lab.dir}/mitm.log", "w"))
    wait_for("mitmproxy", lambda: lab.gateway.listening(address, 443), 30)
    return Gateway(lab, address, ("mitmdump",))


def row_http_terminated(_):
    """Terminated requests per second of the gateway's CPU."""
    with contextlib.ExitStack() as stack:
        lab, ours = through_cordon(stack)
        peers = {"nginx": (through_nginx(stack, lab.world), 1.0, "nginx, TLS to TLS"),
                 "mitmproxy": (through_mitmproxy(stack, lab.world), 10.0, "mitmproxy, reverse mode")}
        for body in BODIES:
            figures = interleaved({"cordon": lambda: ours.load(body),
                                   **{name: lambda p=p: p[0].load(body) for name, p in peers.items()}}, PAIRS)
            for name, (_, expected, text) in peers.items():
                r = result(f"http_terminated_{body}_{name}", round(statistics.median(figures["cordon"])),
                           round(statistics.median(figures[name])), "requests/CPU s", expected,
                           f"{CONNECTIONS} kept connections, bodies of {BODIES[body] >> 10} KiB; against {text}; "
                           f"medians of {PAIRS} interleaved pairs of {SECONDS:g} s")
                yield {**r, "ratio": paired_ratio(figures["cordon"], figures[name])}
