"""A guest that asks the host's own DHCP server for its address (`cordon add --dhcp`), and who may not (B5, B6)."""

import json
import signal

import pytest

import dhcpclient
import labworld
from lab import row
from labnet import MOMENT, wait_for


def register(lab, *options):
    sandbox = lab.sandbox
    lab.cordon("add", sandbox.guest, "--interface", sandbox.interface, "--mac", sandbox.mac, "--ip",
               sandbox.address[0], "--ip", sandbox.address[1], "--profile", "agent", *options, check=True)


@pytest.fixture
def served(labs):
    """A lab with a DHCP server for a sandbox that is not registered yet."""
    lab = labs(sandbox=False)
    lab.add_sandbox(register=False)
    dhcpclient.serve(lab, lab.sandbox)
    return lab


@row("B6", families=(4,))
def test_lease_and_renewal(served):
    lab = served
    register(lab, "--dhcp")
    with dhcpclient.Client(lab.sandbox) as client:
        assert client.lease() == lab.sandbox.address[0]
        assert client.renew(lab.sandbox.gateway[0]) == lab.sandbox.address[0]
    assert lab.sandbox.fetches("https://pypi.example/")
    lab.audit.no_refusals()


@row("B5", "B6", families=(4,))
def test_refused_without_the_option(served):
    """No server of the host is heard of, neither by a guest without an address nor by one that has it."""
    lab = served
    register(lab)
    with dhcpclient.Client(lab.sandbox) as client:
        assert client.ask(dhcpclient.DISCOVER, timeout=MOMENT) is None
        lab.audit.only("source_spoofed", daddr="255.255.255.255", port=67)
        assert client.renew(lab.sandbox.gateway[0], timeout=MOMENT) is None
        assert lab.audit.wait(reason="host_access", daddr=lab.sandbox.gateway[0], port=67)
    leases = lab.gateway.run(["cat", f"{lab.dir}/leases-{lab.sandbox.interface}"]).stdout
    assert lab.sandbox.address[0] not in leases


@row("B6", families=(4,))
def test_only_for_that_guest_and_only_here(served):
    """Another MAC is not answered, and nothing of it leaves the host."""
    lab = served
    register(lab, "--dhcp")
    with dhcpclient.Client(lab.sandbox) as client, lab.capture() as capture:
        client.mac = bytes.fromhex("06000a017777")
        assert client.ask(dhcpclient.DISCOVER, timeout=MOMENT) is None
        lab.audit.only("source_spoofed", daddr="255.255.255.255", port=67)
        assert client.renew(labworld.SERVICES[0], timeout=MOMENT) is None
        capture.empty(dst=labworld.SERVICES[0])


@row("B17", families=(4,))
def test_survives_a_restart_and_ends_with_the_sandbox(served):
    lab = served
    register(lab, "--dhcp")
    old = set(lab.signal("cordon-netd", signal.SIGKILL))
    wait_for("a new netd", lambda: set(lab.pids("cordon-netd")) - old)
    wait_for("its answer", lambda: lab.cordon("ls").returncode == 0)
    with dhcpclient.Client(lab.sandbox) as client:
        assert client.lease() == lab.sandbox.address[0]
        lab.cordon("rm", lab.sandbox.guest, check=True)
        assert client.ask(dhcpclient.DISCOVER, timeout=MOMENT) is None
    done = lab.gateway.run(["nft", "-j", "list", "set", "inet", "cordon", "dhcp"], check=True)
    assert not any(o["set"].get("elem") for o in json.loads(done.stdout)["nftables"] if "set" in o)
