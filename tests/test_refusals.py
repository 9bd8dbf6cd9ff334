"""What was refused, exactly: the kernel's counts, `cordon ls` and the audit log agree, floods included."""

import json
import struct

import labworld
from lab import row
from labtcp import Frames, ip_packet
from labwatch import Audit
from probe import until_works

FLOOD = 3000			# far beyond what is logged one by one
STRANGER = ("10.1.77.77", "fd00:1::77")


def datagram(source, destination, port):
    """UDP over IPv4 needs no checksum; over IPv6 the ruleset refuses before anybody looks."""
    return ip_packet(source, destination, 17, struct.pack("!HHHH", 4000, port, 9, 0) + b"x")


def flood(sandbox, packet):
    with Frames(sandbox) as frames:
        for _ in range(FLOOD):
            frames.send(packet)


def refused(lab, name="vm0"):
    """What `cordon ls --json` says was refused, by reason. Asking makes netd read the kernel's counts."""
    return {s["name"]: s for s in json.loads(lab.cordon("ls", "--json", check=True).stdout)}[name]["refused"]


def total(events):
    return sum(e.get("count", 1) for e in events)


def counted(lab, audit, reason):
    """The packets that the audit log accounts for. What repeats within ten seconds is written at netd's end, too."""
    lab.cordon("down", check=True)
    return total(audit.events(reason=reason))


@row("B2", "B16")
def test_flood_is_counted_to_the_last_packet(labs, family):
    lab = labs()
    audit, server = Audit(lab.log_dir), labworld.SERVICES[family == 6]
    with lab.capture() as capture:
        flood(lab.sandbox, datagram(lab.sandbox.address[family == 6], server, 7000))
        capture.empty(dst=server)
    assert refused(lab) == {"address_not_granted": FLOOD}
    assert counted(lab, audit, "address_not_granted") == FLOOD


@row("B2", "B16", families=(4,))
def test_count_of_a_flood_is_written_while_netd_runs(labs):
    lab = labs()
    audit = Audit(lab.log_dir)
    flood(lab.sandbox, datagram(lab.sandbox.address[0], labworld.SERVICES[0], 7000))
    assert refused(lab) == {"address_not_granted": FLOOD}
    told = audit.until(lambda events: total(events) >= FLOOD, reason="address_not_granted")
    assert total(told) == FLOOD and len(told) < 20, "not a line for each"


@row("B1", "B16")
def test_flood_from_a_stranger_is_counted(labs, family):
    """Of a source that is not accepted the link is known, and through it the sandbox."""
    lab = labs()
    audit = Audit(lab.log_dir)
    flood(lab.sandbox, datagram(STRANGER[family == 6], labworld.SERVICES[family == 6], 7000))
    assert refused(lab) == {"source_spoofed": FLOOD}
    assert counted(lab, audit, "source_spoofed") == FLOOD


def test_counts_go_with_the_sandbox(labs):
    """Who gets the interface and the address next begins at nothing."""
    lab = labs()
    packet = datagram(lab.sandbox.address[0], labworld.SERVICES[0], 7000)
    with Frames(lab.sandbox) as frames:
        frames.send(packet)
        assert refused(lab) == {"address_not_granted": 1}
        lab.cordon("rm", "vm0", check=True)
        lab.register(lab.sandbox)
        assert refused(lab) == {}
        frames.send(packet)
        assert refused(lab) == {"address_not_granted": 1}


def test_restarted_netd_tells_nothing_twice(labs):
    lab = labs()
    flood(lab.sandbox, datagram(lab.sandbox.address[0], labworld.SERVICES[0], 7000))
    assert refused(lab) == {"address_not_granted": FLOOD}
    lab.signal("cordon-netd")
    audit = Audit(lab.log_dir)
    until_works("cordon ls", lambda: lab.cordon("ls").returncode == 0)
    assert refused(lab) == {"address_not_granted": FLOOD}
    assert not [e for e in audit.events() if e["reason"] == "address_not_granted"]
