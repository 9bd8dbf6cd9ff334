"""flood - what a sandbox that is refused as fast as one core generates takes from another

Theory of operation: the flood is of UDP packets, each to another port of an address that is not granted,
sent by a program that is bound to one core; the gateway's work for them runs on that core too. Another
sandbox's decided flow is measured meanwhile. On a machine of two cores most of what it loses it loses to
the core that generates, so there are two baselines: the same program on the same core while plain
nftables drops its packets at ingress, before anything else is done with them; and while it only spins.
"""

import contextlib
import os
import signal
import socket
import statistics
import struct
import subprocess
import time

from lab import BUILD
from labnet import tool
from measure import BENCH_NAME, BENCH_PORT, PAIRS, interleaved, paired_ratio, result, transfer

CPU = os.cpu_count() - 1
NOWHERE = "203.0.113.9"
INGRESS_DROP = """
table netdev plain_drop {{
	chain ingress {{ type filter hook ingress device "{}" priority 0; policy drop; }}
}}
"""


def frame(lab, sandbox):
    """Hex of an empty UDP datagram as the sandbox would send it."""
    router = tool("ip", "netns", "exec", lab.gateway.name, "cat", f"/sys/class/net/{sandbox.interface}/address").strip()
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, socket.inet_aton(sandbox.address[0]),
                         socket.inet_aton(NOWHERE))
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xffff) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~total & 0xffff) + header[12:]
    ether = bytes.fromhex((router + sandbox.mac).replace(":", "")) + b"\x08\x00"
    return (ether + header + struct.pack("!HHHH", 4000, 4000, 8, 0)).hex()


@contextlib.contextmanager
def flooding(sandbox, words, sent):
    """The program runs meanwhile; packets a second are appended to `sent`."""
    process = sandbox.start([f"{BUILD}/bench-flood", CPU, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    begin = time.monotonic()
    yield
    process.send_signal(signal.SIGTERM)
    took = time.monotonic() - begin
    sent.append(int(process.communicate(timeout=10)[0]) / took)
    assert process.returncode == 0


def row_refused_flood(bench):
    """Throughput of one sandbox while another is refused."""
    lab = bench.lab("cordon")
    victim, flooder = lab.sandbox, lab.sandboxes.get("flooder") or lab.add_sandbox("flooder")
    synthetic, packets = victim.resolve(BENCH_NAME), {"refused": [], "ingress": [], "spin": []}
    words = ("eth0", frame(lab, flooder))

    def measure(kind, words):
        with flooding(flooder, words, packets[kind]):
            return transfer(lab, synthetic, BENCH_PORT, "D")

    def ingress():
        lab.gateway.run(["nft", "-f", "-"], input=INGRESS_DROP.format(flooder.interface), check=True)
        try:
            return measure("ingress", words)
        finally:
            lab.gateway.run(["nft", "delete", "table", "netdev", "plain_drop"], check=True)
    lab.audit.mark()
    figures = interleaved({
        "refused": lambda: measure("refused", words),
        "ingress": ingress,
        "spin": lambda: measure("spin", ("spin",)),
        "alone": lambda: transfer(lab, synthetic, BENCH_PORT, "D"),
    }, PAIRS)
    lab.audit.wait(reason="address_not_granted", sandbox="flooder")
    per_second = {k: statistics.median(v) / 1000 for k, v in packets.items()}
    ours, alone = figures["refused"], statistics.median(figures["alone"])
    for peer, suffix, text in (("ingress", "", "while plain nftables drops the flood at ingress"),
                               ("spin", "_spin", "while the core of the flood only spins")):
        r = result(f"refused_flood{suffix}", round(statistics.median(ours), 2),
                   round(statistics.median(figures[peer]), 2), "Gbit/s", 0.8,
                   f"a decided flow while another sandbox is refused, {per_second['refused']:.0f} k packets a second; "
                   f"against {text}" + (f", {per_second[peer]:.0f} k packets" if peer == "ingress" else "")
                   + f"; alone: {alone:.2f}")
        yield {**r, "ratio": paired_ratio(ours, figures[peer])}
