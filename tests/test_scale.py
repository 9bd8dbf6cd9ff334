"""Many sandboxes: what is done for one does not depend on how many there are, and nothing of one stays behind.

The size of `make test` is small; tests/bench/sandboxes.py measures ten thousand.
"""

import json
import os
import signal

import pytest

from fleet import Control, Fleet, memory
from lab import AGENT, row
from labnet import is_sanitized, wait_for
from netdclient import Part

SIZE = int(os.environ.get("SANDBOXES", 150))
SITE = "pypi.example"
MAPS = {"identity4": "map", "identity6": "map", "new_flows": "set", "flows": "set", "dns_queries": "set"}


def elements(lab, name, kind="set", family="inet"):
    done = lab.gateway.run(["nft", "-j", "list", kind, family, "cordon", name], check=True)
    return next(o[kind] for o in json.loads(done.stdout)["nftables"] if kind in o).get("elem", [])


def restart(lab, number=signal.SIGKILL):
    old = set(lab.signal("cordon-netd", number))
    wait_for("a new netd", lambda: set(lab.pids("cordon-netd")) - old)
    wait_for("its answer", lambda: lab.cordon("ls").returncode == 0)


def rows_of(lab):
    with Control(lab) as control:
        return {s["name"]: s for s in control.must("LS")}


@pytest.fixture(scope="module")
def many(world):
    """A lab with SIZE idle sandboxes besides vm0, for tests that leave them as they were."""
    from conftest import _close
    from lab import Lab
    with Lab(world) as lab:
        lab.up()
        lab.add_sandbox()
        fleet = Fleet(lab, SIZE).register()
        yield lab, fleet
        _close(lab)


def test_all_are_there_and_vm0_is_served(many):
    lab, fleet = many
    assert set(rows_of(lab)) == {"vm0", *(s.name for s in fleet.sandboxes)}
    for name, kind in MAPS.items():
        assert len(elements(lab, name, kind)) == SIZE + 1, name
    assert len(elements(lab, "neighbours", family="arp")) == SIZE + 1
    assert lab.sandbox.fetches(f"https://{SITE}/", family=4) and lab.sandbox.fetches(f"https://{SITE}/", family=6)
    done = lab.cordon("ls")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == SIZE + 2
    assert json.loads(lab.cordon("status", "--json").stdout)["netd"]["sandboxes"] == SIZE + 1


@row("B17")
def test_restart_reads_all_of_them_back(many):
    lab, _ = many
    before = rows_of(lab)
    restart(lab)
    wait_for("every link to have been looked at", lambda: rows_of(lab) == before)
    assert lab.sandbox.fetches(f"https://{SITE}/")


@row("B18")
def test_flushed_ruleset_comes_back_whole(many):
    lab, _ = many
    lab.audit.mark()
    lab.gateway.run(["nft", "flush", "ruleset"], check=True)
    lab.audit.wait(event="ruleset")
    for name, kind in MAPS.items():
        assert len(elements(lab, name, kind)) == SIZE + 1, name
    assert lab.sandbox.fetches(f"https://{SITE}/")


@row("B16", families=(4,))
def test_reload_replaces_the_limits_of_all(many):
    lab, _ = many
    lab.profile("agent", {**AGENT, "limits": {"connections": 77}})
    try:
        lab.cordon("reload", check=True)
        assert {e["elem"]["ct count"]["val"] for e in elements(lab, "flows")} == {77}
    finally:
        lab.profile("agent", AGENT)
        lab.cordon("reload", check=True)
    assert {e["elem"]["ct count"]["val"] for e in elements(lab, "flows")} == {256}


@row("B18")
def test_every_link_down_and_up_again(many):
    lab, fleet = many
    lab.gateway.ip(*(f"link set {s.interface} down" for s in fleet.sandboxes))
    wait_for("them to be down", lambda: sum(s["up"] for s in rows_of(lab).values()) == 1)
    lab.gateway.ip(*(f"link set {s.interface} up" for s in fleet.sandboxes))
    wait_for("them to be up", lambda: all(s["up"] for s in rows_of(lab).values()))
    routes = lab.gateway.run(["ip", "route"], check=True).stdout
    assert all(f"{s.address[0]} dev {s.interface}" in routes for s in fleet.sandboxes), "routes went with the links"


@row("B18")
def test_lost_link_events(many):
    """More happens than the socket holds: then every link is looked at."""
    lab, fleet = many
    first, second = fleet.sandboxes[0], fleet.sandboxes[SIZE // 2]
    pids = lab.signal("cordon-netd", signal.SIGSTOP)
    try:
        for _ in range(-(-6000 // SIZE)):
            lab.gateway.ip(*(f"link set {s.interface} {to}" for to in ("down", "up") for s in fleet.sandboxes))
        lab.gateway.ip(f"link set {first.interface} down", f"link set {second.interface} down",
                       f"link set {second.interface} name lan77", "link set lan77 up")
    finally:
        for pid in pids:
            lab.resume(pid)
    wait_for("word of it", lambda: "event=link_events_lost" in lab.logs())
    down = {first.name, second.name}
    wait_for("the right picture", lambda: {n for n, s in rows_of(lab).items() if not s["up"]} == down)
    wait_for("the renamed link to be taken down", lambda: not int(
        lab.gateway.run(["cat", "/sys/class/net/lan77/flags"]).stdout, 16) & 1)
    lab.gateway.ip(f"link set lan77 name {second.interface}", f"link set {second.interface} up",
                   f"link set {first.interface} up")
    wait_for("them to be up", lambda: all(s["up"] for s in rows_of(lab).values()))


@row("B1")
def test_replaced_sandboxes_inherit_nothing(many):
    """The same links and addresses, other sandboxes: other ids, and not one element too many."""
    lab, fleet = many
    before = rows_of(lab)
    fleet.remove(0, 50)
    assert len(elements(lab, "flows")) == SIZE - 49
    fleet.register(0, 50)
    after = rows_of(lab)
    assert set(after) == set(before)
    assert not {after[s.name]["id"] for s in fleet.sandboxes[:50]} & {s["id"] for s in before.values()}
    for name, kind in MAPS.items():
        assert len(elements(lab, name, kind)) == SIZE + 1, name


def test_names_and_memory(many):
    """A name for every sandbox; what netd holds stays far below its bound."""
    lab, _ = many
    with Part(lab, "dns") as dns:
        dns.read_snapshot()
        status = json.loads(lab.cordon("status", "--json").stdout)["netd"]
        profile = next(p["id"] for p in status["profiles"] if p["name"] == "agent")
        sandbox = rows_of(lab)["vm0"]["id"]
        for k in range(min(SIZE, 500)):
            assert dns.pin(profile, sandbox, f"n{k}.files.example", "93.184.216.34")[0] == 0
    pid = lab.pids("cordon-netd")[0]
    if not is_sanitized(pid):
        assert memory(pid)[0] < 8 + SIZE / 500, "MiB of netd's own"


def test_removing_all_leaves_nothing(many):
    lab, fleet = many
    fleet.remove()
    assert set(rows_of(lab)) == {"vm0"}
    for name, kind in MAPS.items():
        assert len(elements(lab, name, kind)) == 1, name
    assert len(elements(lab, "neighbours", family="arp")) == 1
    routes = lab.gateway.run(["ip", "route"], check=True).stdout
    assert not any(s.interface in routes for s in fleet.sandboxes)
