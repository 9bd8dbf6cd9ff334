"""connects - what Cordon adds to connect() of a flow that is granted without inspection"""

import statistics

from measure import CALL_NAME, PAIRS, SERVER, calls, interleaved, result

COUNT = 2000			# a round
LIMIT = 50			# microseconds that Cordon may add at the 99th percentile


def row_connect_latency(bench):
    """A `tcp` grant against plain masquerade."""
    cordon, plain = bench.lab("cordon"), bench.lab("plain")
    synthetic = cordon.sandbox.resolve(CALL_NAME)
    figures = interleaved({"cordon": lambda: calls(cordon, synthetic, COUNT),
                           "nat": lambda: calls(plain, SERVER, COUNT)}, PAIRS)
    for at, what in ((0, "p50"), (1, "p99")):
        ours, peer = ([c[at] for c in figures[k]] for k in ("cordon", "nat"))
        added = statistics.median(a - b for a, b in zip(ours, peer))
        yield result(f"connect_latency_{what}", round(added, 1), LIMIT, "us", 1.0,
                     f"added to connect(), against the limit of {LIMIT} us; whole: {statistics.median(ours):.1f}, plain "
                     f"nftables masquerade {statistics.median(peer):.1f}; medians of {PAIRS} pairs of {COUNT} calls",
                     better="lower")
