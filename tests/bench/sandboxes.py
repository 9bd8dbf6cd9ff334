"""sandboxes - what ten thousand registered sandboxes cost: additions, memory, a restart, and the one that works

Theory of operation: two labs, each with one working sandbox; the second has 10,000 idle ones besides
(interfaces that are up, registered) and 10,000 names. Latency and throughput are measured in turn in both,
so that what the machine does meanwhile hits both. SANDBOXES=1000 makes it smaller.
"""

import json
import os
import signal
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import measure  # noqa: E402
from fleet import Control, Fleet, memory, percentile  # noqa: E402
from lab import Lab  # noqa: E402
from labnet import wait_for  # noqa: E402
from netdclient import Part  # noqa: E402

SIZE = int(os.environ.get("SANDBOXES", 10000))
CONNECTS = 400			# a round
PROFILE = {
    "network": {"default": "deny", "allow": [
        {"host": measure.BENCH_NAME}, {"host": "*.many.example"},
        {"host": measure.CALL_NAME, "ports": [measure.CALL_PORT], "protocol": "tcp"}]},
    "limits": {"connections": 100000, "new_connections_per_second": 1000000, "names": 100000},
}


def cpu_ms(pid):
    """User and system time of a process."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def netd(lab):
    return lab.pids("cordon-netd")[0]


def made(bench):
    lab = Lab(bench.world, profiles={"agent": PROFILE})
    lab.up()
    lab.add_sandbox()
    measure.serve(lab)
    return lab


def settled(lab):
    """Wait until netd has nothing left to do in the background."""
    def idle():
        before = cpu_ms(netd(lab))
        time.sleep(0.2)
        return cpu_ms(netd(lab)) - before <= 10
    wait_for("netd to be idle", idle, 300)


def pin_names(lab):
    """Names as the resolver has them granted; milliseconds of each, waited for one by one."""
    took = []
    with Part(lab, "dns") as dns:
        dns.read_snapshot()
        profile = next(p["id"] for p in json.loads(lab.cordon("status", "--json").stdout)["netd"]["profiles"]
                       if p["name"] == "agent")
        with Control(lab) as control:
            sandbox = next(s["id"] for s in control.must("LS") if s["name"] == "vm0")
        for k in range(SIZE):
            begin = time.perf_counter()
            assert dns.pin(profile, sandbox, f"n{k}.many.example", "93.184.216.34")[0] == 0
            took.append((time.perf_counter() - begin) * 1000)
    return took


def connects(lab, family=4):
    """Median and 99th percentile of connect() to a `tcp` grant, in microseconds."""
    return measure.calls(lab, lab.sandbox.resolve(measure.CALL_NAME, family), CONNECTS)


def restart(lab):
    """Seconds from kill -9 to the first answer of the next netd, its start included."""
    begin = time.monotonic()
    old = set(lab.signal("cordon-netd", signal.SIGKILL))
    while not (set(lab.pids("cordon-netd")) - old and lab.cordon("ls").returncode == 0):
        time.sleep(0.01)
    return time.monotonic() - begin


def additions(lab, fleet):
    """The last tenth of the fleet, added, removed and added again: {what: milliseconds each}, and netd's CPU time."""
    some = max(SIZE // 10, 1)
    settled(lab)
    before = cpu_ms(netd(lab))
    fleet.took = []
    fleet.register(SIZE - some, SIZE)
    spent = (cpu_ms(netd(lab)) - before) / some
    removed = [t * 1000 for t in fleet.remove(SIZE - some, SIZE)]
    fleet.register(SIZE - some, SIZE)
    return [t * 1000 for t in fleet.took], removed, spent


def timed(action):
    begin = time.monotonic()
    action()
    return (time.monotonic() - begin) * 1000


def one_against_many(one, many):
    """The working sandbox: throughput of a decided flow and connect latency, next to 10,000 others or alone."""
    synthetic = {lab: lab.sandbox.resolve(measure.BENCH_NAME) for lab in (one, many)}
    flow = measure.interleaved({
        "many": lambda: measure.transfer(many, synthetic[many], measure.BENCH_PORT, "D"),
        "one": lambda: measure.transfer(one, synthetic[one], measure.BENCH_PORT, "D")}, measure.PAIRS)
    yield {**measure.result("sandboxes_10k_throughput", round(statistics.median(flow["many"]), 2),
                        round(statistics.median(flow["one"]), 2), "Gbit/s", 1.0,
                        f"a decided flow, {SIZE} sandboxes registered; against one"),
           "ratio": measure.paired_ratio(flow["many"], flow["one"])}
    for family in (4, 6):
        calls = measure.interleaved({"many": lambda f=family: connects(many, f), "one": lambda f=family: connects(one, f)},
                                measure.PAIRS)
        for at, what in ((0, "p50"), (1, "p99")):
            ours, peer = ([c[at] for c in calls[k]] for k in ("many", "one"))
            yield {**measure.result(f"sandboxes_10k_connect{family}_{what}", round(statistics.median(ours), 1),
                                round(statistics.median(peer), 1), "us", 1.0,
                                f"connect() to a tcp grant over IPv{family}, {SIZE} sandboxes registered; against one",
                                better="lower"),
                   "ratio": measure.paired_ratio(peer, ours)}


def row_sandboxes_10k(bench):
    """Ten thousand registered sandboxes: what they cost each other, the one that works, and netd."""
    one, many = made(bench), None
    try:
        many = made(bench)
        begin = time.monotonic()
        fleet = Fleet(many, SIZE)
        links = time.monotonic() - begin
        fleet.register(0, SIZE - max(SIZE // 10, 1))
        added, removed, spent = additions(many, fleet)
        for what, values, limit in (("add", added, 5), ("rm", removed, None)):
            for p in (50, 99):
                yield measure.result(f"sandboxes_10k_{what}_p{p}", round(percentile(values, p), 2),
                                 limit if p == 99 else None, "ms", 1.0 if limit and p == 99 else None,
                                 f"`cordon {what}` as netd answers it, {SIZE} registered"
                                 + (f"; netd's CPU {spent:.2f} ms each; links made in {links:.1f} s"
                                    if what == "add" else ""), better="lower")
        pins = pin_names(many)
        yield measure.result("sandboxes_10k_pin_p99", round(percentile(pins, 99), 2), None, "ms", None,
                         f"a new name granted, one at a time, up to {SIZE} names")
        settled(many)
        unique, proportional = memory(netd(many))
        yield measure.result("sandboxes_10k_memory", round(proportional, 1), 32, "MiB", 1.0,
                         f"netd resident (PSS; its own {unique:.1f}), {SIZE} sandboxes and {SIZE} names", better="lower")
        yield from one_against_many(one, many)
        yield measure.result("sandboxes_10k_ls", round(timed(lambda: many.cordon("ls", check=True))), None, "ms", None,
                         f"`cordon ls`, {SIZE} rows; `cordon status`: "
                         f"{timed(lambda: many.cordon('status', check=True)):.0f} ms; `cordon rm` of nobody: "
                         f"{timed(lambda: many.cordon('rm', 'nobody')):.0f} ms")
        unchanged = timed(lambda: many.cordon("reload", check=True))
        many.profile("agent", {**PROFILE, "limits": {**PROFILE["limits"], "connections": 50000}})
        yield measure.result("sandboxes_10k_reload", round(timed(lambda: many.cordon("reload", check=True))), None, "ms",
                         None, f"a reload that changes the profile and the limits of {SIZE} sandboxes; one that "
                         f"changes nothing: {unchanged:.0f} ms")
        yield measure.result("sandboxes_10k_restart", round(restart(many), 2), None, "s", None,
                         f"kill -9 of netd to its answer, {SIZE} sandboxes and {SIZE} names read back")
        settled(many)
        unique, proportional = memory(netd(many))
        yield measure.result("sandboxes_10k_memory_restarted", round(proportional, 1), 32, "MiB", 1.0,
                         f"the same netd after its restart; its own {unique:.1f}", better="lower")
        many.audit.mark()
        many.gateway.run(["nft", "flush", "ruleset"], check=True)
        event = many.audit.wait(event="ruleset", timeout=60)[0]
        yield measure.result("sandboxes_10k_flush", event["ms"], None, "ms", None,
                         "from netd's notice of `nft flush ruleset` to the last element written again")
    finally:
        for lab in (one, many):
            if lab:
                lab.close()
