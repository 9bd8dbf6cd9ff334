"""throughput - decided flows through Cordon, plain masquerade, and haproxy in TCP mode"""

import statistics

from labnet import wait_for
from measure import BENCH_PORT, PAIRS, SECONDS, SERVER, interleaved, paired_ratio, result, transfer

PROXY_PORT = 9443
HAPROXY = """
global
	maxconn 1000
defaults
	mode tcp
	timeout connect 5s
	timeout client 1m
	timeout server 1m
{splice}
listen bench
	bind {gateway}:{proxy}
	server real {real}:{port}
"""

PEERS = (("nat", "", 0.95, "plain nftables masquerade"), ("haproxy", "_haproxy", 1.0, "haproxy, TCP mode"))
DIRECTIONS = (("D", "", "server to sandbox"), ("U", "_up", "sandbox to server"))


def haproxy(lab):
    """haproxy in TCP mode on the plain gateway, splicing as its manual advises for bulk."""
    conf, gateway = f"{lab.dir}/haproxy.cfg", lab.sandbox.gateway[0]
    with open(conf, "w") as f:
        f.write(HAPROXY.format(gateway=gateway, proxy=PROXY_PORT, real=SERVER, port=BENCH_PORT,
                               splice="\toption splice-auto"))
    lab.gateway.start(["haproxy", "-db", "-f", conf])
    wait_for("haproxy", lambda: lab.gateway.listening(gateway, PROXY_PORT))


def row_throughput(bench):
    """One decided flow and eight, both directions."""
    cordon, plain = bench.lab("cordon"), bench.lab("plain")
    haproxy(plain)
    for flows in (1, 8):
        for direction, suffix, what in DIRECTIONS:
            yield from compare(cordon, plain, flows, direction, suffix, what)


def compare(cordon, plain, flows, direction, suffix, what):
    synthetic = cordon.sandbox.resolve("tcp.example")
    figures = interleaved({
        "cordon": lambda: transfer(cordon, synthetic, BENCH_PORT, direction, flows),
        "nat": lambda: transfer(plain, SERVER, BENCH_PORT, direction, flows),
        "haproxy": lambda: transfer(plain, plain.sandbox.gateway[0], PROXY_PORT, direction, flows),
    }, PAIRS)
    ours = figures["cordon"]
    for peer, peer_suffix, expected, text in PEERS:
        r = result(f"throughput_{flows}{suffix}{peer_suffix}", round(statistics.median(ours), 2),
                   round(statistics.median(figures[peer]), 2), "Gbit/s", expected,
                   f"{flows} flow{'s' if flows > 1 else ''}, {what}; against {text}; "
                   f"medians of {PAIRS} interleaved pairs of {SECONDS:g} s")
        yield {**r, "ratio": paired_ratio(ours, figures[peer])}
