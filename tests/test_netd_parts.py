"""netd and its parts: who may connect, who is waited for, and what a resolver may have granted (A10)."""

import contextlib
import json
import os
import re
import struct
import threading

import pytest

from fleet import Control, Fleet
from lab import BUILD, ROOT, row
from labnet import MOMENT, PATIENCE, wait_for
from netdclient import Part, TYPES, pin, role_uid

REASONS = ["", *re.findall(r"X\([A-Z_]+, \"(\w+)\",", open(f"{ROOT}/policy/reason.h").read())]
PROFILE = {"network": {"default": "deny", "allow": [
    {"host": "web.example"}, {"host": "*.wild.example"},
    {"host": "db.example", "ports": [5432], "protocol": "tcp", "private": True}]},
    "git": {"enabled": True, "source": "upstream", "allowed_hosts": ["github.com"]},
    "limits": {"names": 3}}


class Alone:
    """netd without the other daemons, one sandbox, and the numbers that messages need."""

    def __init__(self, lab):
        self.lab = lab
        ready, theirs = os.pipe()
        log = open(f"{lab.dir}/netd.log", "w")
        self.process = lab.gateway.start([f"{BUILD}/cordon-netd", "--config", lab.config_file, "--ready-fd",
                                          str(theirs)], pass_fds=[theirs], stderr=log)
        os.close(theirs)
        assert os.read(ready, 1), open(f"{lab.dir}/netd.log").read()
        os.close(ready)

    def netd(self):
        return json.loads(self.lab.cordon("status", "--json").stdout)["netd"]

    def ids(self):
        profile = next(p["id"] for p in self.netd()["profiles"] if p["name"] == "agent")
        rows = json.loads(self.lab.cordon("ls", "--json", check=True).stdout)
        return profile, next(s["id"] for s in rows)


@pytest.fixture
def alone(labs):
    lab = labs(up=False, profiles={"agent": PROFILE})
    lab.cordon("firewall", "start", check=True)
    netd = Alone(lab)
    lab.add_sandbox()
    yield netd
    netd.process.terminate()
    assert netd.process.wait(PATIENCE) == 0, open(f"{lab.dir}/netd.log").read()


@pytest.fixture
def dns(alone):
    with Part(alone.lab, "dns") as part:
        yield part.read_snapshot()


def elements(lab, kind, name):
    done = lab.gateway.run(["nft", "-j", "list", kind, "inet", "cordon", name], check=True)
    return next(o[kind] for o in json.loads(done.stdout)["nftables"] if kind in o).get("elem", [])


def test_snapshot(alone, dns):
    assert set(dns.snapshot) == {"PROFILE", "SANDBOX"}, "names are for those who hold names"
    assert len(dns.snapshot["PROFILE"]) == 2 and len(dns.snapshot["SANDBOX"]) == 1
    with Part(alone.lab, "keeper") as keeper:
        assert keeper.read_snapshot().snapshot["SANDBOX"] == dns.snapshot["SANDBOX"]


@pytest.mark.parametrize("what", ["another user", "root", "protocol", "build", "inspect's role", "no hello",
                                  "unknown type", "short"])
def test_strangers_are_cut_off(alone, what):
    options = {"another user": {"uid": role_uid("keeper")}, "root": {"uid": 0},
               "protocol": {"protocol": 2}, "build": {"build": "0.0.0"}}.get(what, {})
    role = "inspect" if what == "inspect's role" else "dns"
    with Part(alone.lab, role, say_hello=what not in ("no hello", "unknown type", "short"), **options) as part:
        if what == "no hello":
            part.send("PIN", bytes(816))
        if what == "unknown type":
            part.socket.send(struct.pack("<HHI", len(TYPES) + 7, 0, 1))
        if what == "short":
            part.socket.send(b"\1\0")
        assert part.ended()
    assert alone.netd()["parts"] == [p for p in alone.netd()["parts"] if p["role"] == "inspect"]


def test_malformed_message_ends_the_connection(alone, dns):
    dns.send("PIN", bytes(10))
    assert dns.ended()
    assert alone.lab.audit.wait(event="part", part="dns", what="sent what does not belong here")


def test_one_keeper_replaces_the_other(alone):
    with Part(alone.lab, "keeper") as first, Part(alone.lab, "keeper") as second:
        second.read_snapshot()
        assert first.ended()


def test_one_daemon_does_not_shut_the_others_out(alone):
    with contextlib.ExitStack() as stack:
        for _ in range(70):
            with contextlib.suppress(OSError):		# netd hung up before our hello
                stack.enter_context(Part(alone.lab, "dns"))
        stack.enter_context(Part(alone.lab, "keeper")).read_snapshot()


def test_add_waits_for_the_parts(alone, dns):
    """Not answered, and nothing in the kernel, before the last part knows the sandbox."""
    lab = alone.lab
    other = lab.add_sandbox("vm1", register=False)
    with Part(lab, "keeper") as keeper:
        keeper.read_snapshot()
        adding = threading.Thread(target=lab.register, args=(other,))
        adding.start()
        kind, sequence, body = dns.receive()
        assert kind == "SANDBOX" and b"vm1" in body
        dns.done(sequence)
        kind, sequence, _ = keeper.receive()
        assert len(elements(lab, "map", "identity4")) == 1
        keeper.done(sequence)
        adding.join()
        assert len(elements(lab, "map", "identity4")) == 2


def test_silent_part_is_cut_off(alone, dns):
    lab = alone.lab
    other = lab.add_sandbox("vm1", register=False)
    lab.register(other)
    assert dns.ended()


def test_part_that_cannot_apply_is_cut_off(alone, dns):
    lab = alone.lab
    other = lab.add_sandbox("vm1", register=False)
    adding = threading.Thread(target=lab.register, args=(other,))
    adding.start()
    _, sequence, _ = dns.receive()
    dns.done(sequence, -12)
    adding.join()
    assert dns.ended()


def test_reload_is_dropped_when_a_part_refuses(alone, dns):
    lab = alone.lab
    before = alone.netd()["policy"]
    lab.profile("agent", {**PROFILE, "limits": {"names": 4}})
    result = []
    reloading = threading.Thread(target=lambda: result.append(lab.cordon("reload")))
    reloading.start()
    kind, sequence, body = dns.receive()
    generation, _, count = struct.unpack("<IiI", body)
    assert kind == "PREPARE" and count == 2
    assert [dns.receive()[0] for _ in range(count)] == ["PROFILE"] * 2
    dns.send("READY", struct.pack("<IiI", generation, -22, count), sequence)
    assert dns.receive()[0] == "ABORT"
    reloading.join()
    assert result[0].returncode == 1 and "old one stays" in result[0].stderr
    assert alone.netd()["policy"] == before


def test_part_that_comes_during_a_reload_waits(alone, dns):
    lab = alone.lab
    lab.profile("agent", {**PROFILE, "limits": {"names": 4}})
    reloading = threading.Thread(target=lambda: lab.cordon("reload", check=True))
    reloading.start()
    _, sequence, body = dns.receive()
    generation, _, count = struct.unpack("<IiI", body)
    with Part(lab, "keeper") as keeper:
        keeper.socket.settimeout(MOMENT)
        with pytest.raises(TimeoutError):
            keeper.receive()
        keeper.socket.settimeout(PATIENCE)
        for _ in range(count):
            dns.receive()
        dns.send("READY", struct.pack("<IiI", generation, 0, count), sequence)
        kind, sequence, _ = dns.receive()
        assert kind == "COMMIT"
        dns.done(sequence)
        keeper.read_snapshot()
        assert {struct.unpack_from("<HHI", b)[2] for b in keeper.snapshot["PROFILE"]} == {generation}
    reloading.join()


def picture_of(part, answering):
    """{sandbox id: name} as the part knows it at END, its acknowledgements sent."""
    known = {}
    while True:
        kind, sequence, body = part.receive()
        if kind == "END":
            return known
        number = struct.unpack_from("<H", body)[0]
        if kind == "SANDBOX":
            known[number] = body[38:].split(b"\0", 1)[0].decode()
        if kind == "GONE":
            known.pop(number, None)
        if sequence:
            answering.append(kind)
            part.done(sequence)


def test_what_changes_during_a_snapshot_is_in_it(alone):
    """The snapshot of many waits for a slow reader in pieces, and what is published meanwhile corrects it."""
    fleet, answered = Fleet(alone.lab, 1500, per_link=150), []
    fleet.register(0, 1490)
    with Part(alone.lab, "keeper") as keeper, Control(alone.lab) as control:
        wait_for("the snapshot to be under way", lambda: [p["state"] for p in control.must("STATUS")["parts"]
                                                          if p["role"] == "keeper"] == ["snapshot"])
        assert all(p["queued"] < 1000 for p in control.must("STATUS")["parts"]), "piece by piece"
        before = len(control.must("LS"))
        changes = [threading.Thread(target=fleet.remove, args=(k, k + 1)) for k in (0, 1400)]
        changes.append(threading.Thread(target=fleet.register, args=(1490, 1500)))
        for change in changes:
            change.start()
        wait_for("two to be closing", lambda: len(control.must("LS")) == before - 2)
        wait_for("a third to be opening", lambda: control.must("STATUS")["sandboxes"] == before + 1)
        known = picture_of(keeper, answered)
        for change in changes:
            keeper.socket.settimeout(0.2)
            while change.is_alive():
                with contextlib.suppress(TimeoutError):
                    kind, sequence, body = keeper.receive()
                    number = struct.unpack_from("<H", body)[0]
                    known.pop(number, None)
                    if kind == "SANDBOX":
                        known[number] = body[38:].split(b"\0", 1)[0].decode()
                    keeper.done(sequence)
            change.join()
        rows = control.must("LS")
        assert known == {s["id"]: s["name"] for s in rows} and len(rows) == 1499
        assert "GONE" in answered and "SANDBOX" in answered, "changes came before END"
        assert [p["state"] for p in control.must("STATUS")["parts"] if p["role"] == "keeper"] == ["serving"]


# what is asked, what is offered, the reason, the families
PINS = {
    "granted": ("web.example", ["93.184.216.34", "2606:2800:220:1::34"], "", (1, 1)),
    "one family": ("web.example", ["93.184.216.34"], "", (1, 0)),
    "under a wildcard": ("a.wild.example", ["93.184.216.34"], "", (1, 0)),
    "not granted": ("evil.example", ["93.184.216.34"], "name_not_allowed", (0, 0)),
    "the wildcard's apex": ("wild.example", ["93.184.216.34"], "name_not_allowed", (0, 0)),
    "loopback": ("web.example", ["127.0.0.1"], "rebinding_blocked", (0, 0)),
    "metadata": ("web.example", ["169.254.169.254", "fd00:ec2::254"], "rebinding_blocked", (0, 0)),
    "private": ("web.example", ["10.9.9.9"], "rebinding_blocked", (0, 0)),
    "private where the rule says so": ("db.example", ["10.9.9.9"], "", (1, 0)),
    "a sandbox's address, private or not": ("db.example", ["10.1.0.2"], "rebinding_blocked", (0, 0)),
    "the host's address": ("db.example", ["93.184.216.1"], "rebinding_blocked", (0, 0)),
    "synthetic": ("db.example", ["198.18.1.0"], "rebinding_blocked", (0, 0)),
    "one of two": ("web.example", ["127.0.0.1", "93.184.216.34"], "", (1, 0)),
    "proxied, no address": ("github.com", [], "", (1, 1)),
}


@row("A10")
@pytest.mark.parametrize("what", PINS)
def test_pin(alone, dns, what):
    name, addresses, reason, has = PINS[what]
    profile, sandbox = alone.ids()
    answer = dns.pin(profile, sandbox, name, *addresses)
    assert (REASONS[answer[0]], answer[2:]) == (reason, has)
    grants = elements(alone.lab, "map", "grants4") + elements(alone.lab, "map", "grants6")
    assert bool(grants) == (not reason)


@pytest.mark.parametrize("who", ["no such sandbox", "another profile"])
def test_pin_for_somebody_else(alone, dns, who):
    profile, sandbox = alone.ids()
    if who == "another profile":
        profile = next(p["id"] for p in alone.netd()["profiles"] if p["id"] != profile)
    else:
        sandbox = sandbox % 65535 + 1
    assert REASONS[dns.pin(profile, sandbox, "web.example", "93.184.216.34")[0]] == "internal_error"
    assert not elements(alone.lab, "map", "grants4")


@pytest.mark.parametrize("name", ["UPPER.example", "web.example.", "1.2.3.4", "a b.example", ""])
def test_pin_of_what_is_no_canonical_name(alone, dns, name):
    profile, sandbox = alone.ids()
    dns.send("PIN", pin(profile, sandbox, name, "93.184.216.34"))
    assert dns.ended()


def test_wildcard_names_are_limited_and_take_no_index(alone, dns):
    profile, sandbox = alone.ids()
    for i in range(3):
        assert dns.pin(profile, sandbox, f"n{i}.wild.example", "93.184.216.34")[0] == 0
    for i in range(3, 6):
        answer = dns.pin(profile, sandbox, f"n{i}.wild.example", "93.184.216.34")
        assert REASONS[answer[0]] == "wildcard_budget_exceeded"
    assert alone.netd()["names"] == 3
    assert dns.pin(profile, sandbox, "n0.wild.example", "93.184.216.34")[0] == 0


def test_pin_waits_for_the_proxy(alone, dns):
    """Two questions for one new name: neither is answered before the name is known everywhere."""
    profile, sandbox = alone.ids()
    with Part(alone.lab, "gitproxy") as proxy:
        proxy.read_snapshot()
        body = pin(profile, sandbox, "web.example", "93.184.216.34")
        dns.send("PIN", body, 1)
        kind, sequence, _ = proxy.receive()
        assert kind == "NAME_IS"
        dns.send("PIN", body, 2)
        dns.socket.settimeout(MOMENT)
        with pytest.raises(TimeoutError):
            dns.receive()
        assert not elements(alone.lab, "map", "grants4")
        dns.socket.settimeout(PATIENCE)
        proxy.done(sequence)
        assert sorted(dns.receive()[1] for _ in range(2)) == [1, 2]
        assert elements(alone.lab, "map", "grants4")


def test_element_that_somebody_deleted_is_put_back(alone, dns):
    """The next change of the name repairs what is missing."""
    profile, sandbox = alone.ids()
    dns.pin(profile, sandbox, "web.example", "93.184.216.34")
    alone.lab.gateway.run(["nft", "flush", "map", "inet", "cordon", "real4"], check=True)
    assert dns.pin(profile, sandbox, "web.example", "93.184.216.35")[0] == 0
    assert "93.184.216.35" in json.dumps(elements(alone.lab, "map", "real4"))


def test_inspector_that_dies_is_replaced(alone):
    lab = alone.lab
    old = lab.signal("cordon-inspect")
    wait_for("a new inspector", lambda: alone.netd()["inspect"]["serving"]
             and alone.netd()["inspect"]["pid"] not in old)
