"""Sandboxes: who is let in (B1), what `cordon add` refuses, what a restart and a reload leave alone."""

import json
import os
import signal
import socket
import struct

import pytest

import labworld
from lab import AGENT, BUILD, row
from labclient import tls, serves, works
from labnet import MOMENT, PATIENCE, wait_for

SITE = "pypi.example"


def add(lab, name, check=False, **options):
    """`cordon add` with what the first sandbox has, but for these options (None: leave it out)."""
    sandbox = lab.sandbox
    values = {"interface": sandbox.interface, "mac": sandbox.mac, "ip": sandbox.address, "profile": "agent",
              **options}
    ips = [v for ip in ([values.pop("ip")] if isinstance(values["ip"], str) else values.pop("ip"))
           for v in ("--ip", ip)]
    rest = [v for k, value in values.items() if value is not None for v in (f"--{k}", value)]
    return lab.cordon("add", name, *rest, *ips, check=check)


def listed(lab):
    return {s["name"]: s for s in json.loads(lab.cordon("ls", "--json", check=True).stdout)}


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frame(sandbox, family, src, dst, payload, mac=None, port=7000):
    """An ethernet frame with a UDP datagram, from any source."""
    af = socket.AF_INET6 if family == 6 else socket.AF_INET
    a, b = socket.inet_pton(af, src), socket.inet_pton(af, dst)
    length = 8 + len(payload)
    pseudo = a + b + (struct.pack("!II", length, 17) if family == 6 else struct.pack("!HH", 17, length))
    udp = struct.pack("!HHHH", 4000, port, length, 0) + payload
    udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xffff) + udp[8:]
    if family == 6:
        ip = struct.pack("!IHBB", 6 << 28, length, 17, 64) + a + b
    else:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, 17, 0) + a + b
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    gateway = sandbox.lab.gateway.run(["cat", f"/sys/class/net/{sandbox.interface}/address"]).stdout.strip()
    ether = bytes.fromhex(gateway.replace(":", "")) + bytes.fromhex((mac or sandbox.mac).replace(":", ""))
    return ether + struct.pack("!H", 0x86dd if family == 6 else 0x0800) + ip + udp


def inject(sandbox, data):
    with sandbox.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind(("eth0", 0))
        s.send(data)


@pytest.fixture
def pinned(lab, family):
    """The synthetic address of a UDP service that vm0 may reach, and proof that it does."""
    lab.internet.echo(7000, socket.SOCK_DGRAM)
    address = lab.sandbox.resolve("udp.example", family)
    with lab.capture() as capture:
        inject(lab.sandbox, frame(lab.sandbox, family, lab.sandbox.address[family == 6], address, b"as itself"))
        capture.wait(contains=b"as itself")
    lab.audit.mark()
    return address


@row("B1")
def test_spoofed_source(lab, family, pinned, capture):
    """Another address of the same network, and one from anywhere."""
    mine = lab.sandbox.address[family == 6]
    neighbour = mine[:-1] + "9"
    for source in (neighbour, labworld.SERVICES[family == 6]):
        inject(lab.sandbox, frame(lab.sandbox, family, source, pinned, b"spoofed"))
    capture.empty(contains=b"spoofed")
    event = lab.audit.wait(reason="source_spoofed", saddr=neighbour)[0]
    assert event["sandbox"] == "vm0" and event["daddr"] == pinned


@row("B1")
def test_spoofed_mac(lab, family, pinned, capture):
    inject(lab.sandbox, frame(lab.sandbox, family, lab.sandbox.address[family == 6], pinned, b"spoofed",
                              mac="06:00:0a:01:77:77", port=7001))
    capture.empty(contains=b"spoofed")
    assert lab.audit.only("source_spoofed", daddr=pinned, port=7001)["sandbox"] == "vm0"


@row("B1")
def test_address_of_another_sandbox(own_lab, family):
    """The other one's address, even with its MAC: the interface is not its own."""
    lab, victim = own_lab, own_lab.sandbox
    attacker = lab.add_sandbox("vm1", register=False)
    lab.profile("nothing", {"network": {"default": "deny", "allow": []}})
    lab.cordon("reload", check=True)
    lab.register(attacker, "nothing")
    lab.internet.echo(7000, socket.SOCK_DGRAM)
    address = victim.resolve("udp.example", family)
    source = victim.address[family == 6]
    lab.audit.mark()
    with lab.capture() as capture:
        for mac in (attacker.mac, victim.mac):
            inject(attacker, frame(attacker, family, source, address, b"stolen", mac=mac))
        capture.empty(contains=b"stolen")
    event = lab.audit.only("source_spoofed", saddr=source)
    assert event["sandbox"] == "vm1" and event["interface"] == attacker.interface


@row("B1")
def test_unregistered_interface(own_lab, family):
    lab = own_lab
    stranger = lab.add_sandbox("vm1", register=False)
    address = lab.sandbox.resolve(SITE, family)
    lab.audit.mark()
    with lab.capture() as capture:
        inject(stranger, frame(stranger, family, stranger.address[family == 6], address, b"who am I"))
        capture.empty(contains=b"who am I")
        capture.empty(dst=labworld.WEB[family == 6])
    event = lab.audit.only("interface_unregistered", daddr=address)
    assert event["sandbox"] == "" and event["interface"] == stranger.interface


@row("B1")
def test_reused_address_inherits_nothing(own_lab, family):
    """The same link and addresses under another profile: neither grants nor flows come along."""
    lab, sandbox = own_lab, own_lab.sandbox
    lab.internet.echo(7000)
    lab.profile("nothing", {"network": {"default": "deny", "allow": []}})
    lab.cordon("reload", check=True)
    address = sandbox.resolve("tcp.example", family)
    first = listed(lab)["vm0"]["id"]
    with sandbox.connect(address, 7000) as flow:
        assert works(flow)
        lab.cordon("rm", "vm0", check=True)
        add(lab, "heir", check=True, profile="nothing")
        with lab.capture() as capture:
            assert not works(flow, b"inherited", MOMENT)
            with pytest.raises(OSError):
                sandbox.connect(address, 7000, timeout=MOMENT).close()
            capture.empty(contains=b"inherited")
            capture.empty(dst=labworld.SERVICES[family == 6])
    assert listed(lab)["heir"]["id"] != first, "ids rest before they are used again"


REFUSED = {
    "name": ({"name": "vm0"}, "taken"),
    "address": ({"mac": "06:00:0a:01:00:99"}, "10.1.0.2 is taken by sandbox vm0"),
    "interface and mac": ({"ip": "10.1.0.99"}, "taken by sandbox vm0"),
    "missing interface": ({"ip": "10.1.0.99", "interface": "tap99"}, "tap99 does not exist"),
    "other interface": ({"interface": "up0"}, "sandbox_interfaces"),
    "profile": ({"ip": "10.1.0.99", "mac": "06:00:0a:01:00:99", "profile": "nobody"}, "no profile nobody"),
    "network": ({"ip": "192.0.2.1", "mac": "06:00:0a:01:00:99"}, "outside sandbox_networks"),
    "host's own": ({"ip": "10.1.0.1", "mac": "06:00:0a:01:00:99"}, "this host's own"),
    "no name": ({"name": "a b"}, "letters"),
    "group address": ({"ip": "10.1.0.99", "mac": "01:00:5e:00:00:01"}, "not a group address"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_add_refuses_in_one_line(lab, what):
    options, word = REFUSED[what]
    options = dict(options)
    done = add(lab, options.pop("name", "vm9"), **options)
    assert done.returncode == 1 and word in done.stderr, done
    assert len(done.stderr.strip().splitlines()) == 1
    assert set(listed(lab)) == {"vm0"}


def test_add_refuses_a_bridged_interface(own_lab):
    lab = own_lab
    lab.gateway.ip("link add br0 type bridge", "link add tap7 type veth peer name peer7",
                   "link set tap7 master br0")
    done = add(lab, "vm7", interface="tap7", ip="10.1.7.2")
    assert done.returncode == 1 and "bridge" in done.stderr and "nomaster" in done.stderr, done


def test_interface_that_joins_a_bridge_is_taken_down(own_lab):
    lab = own_lab
    lab.gateway.ip("link add br0 type bridge", "link set br0 up", f"link set {lab.sandbox.interface} master br0")
    lab.audit.wait(event="sandbox", what="interface is in a bridge")
    wait_for("the link to go down", lambda: not listed(lab)["vm0"]["up"])
    lab.gateway.ip(f"link set {lab.sandbox.interface} nomaster")
    wait_for("the link to come back", lambda: lab.sandbox.fetches(f"https://{SITE}/", timeout=2))


def test_rm_of_nobody(lab):
    done = lab.cordon("rm", "nobody")
    assert done.returncode == 1 and "no sandbox of that name" in done.stderr


@row("B17")
def test_killed_netd_reads_everything_back(own_lab, family):
    """Ids, synthetic addresses and flows are those of before; nobody has to register again."""
    lab = own_lab
    lab.internet.echo(7000)
    before, address = listed(lab), lab.sandbox.resolve("tcp.example", family)
    with lab.sandbox.connect(address, 7000) as flow:
        assert works(flow)
        old = set(lab.signal("cordon-netd", signal.SIGKILL))
        assert works(flow), "the kernel forwards alone"
        wait_for("a new netd", lambda: set(lab.pids("cordon-netd")) - old)
        wait_for("its answer", lambda: lab.cordon("ls").returncode == 0)
        assert works(flow)
    assert listed(lab) == before
    wait_for("the resolver", lambda: lab.sandbox.dig("tcp.example", "A", "+short"))
    assert lab.sandbox.resolve("tcp.example", family) == address


def test_profile_that_is_gone_at_the_start_takes_its_sandboxes_along(own_lab):
    """What the kernel holds for a profile that nobody wrote down is removed, not guessed at."""
    lab = own_lab
    assert lab.sandbox.fetches(f"https://{SITE}/")
    lab.cordon("down", check=True)
    os.unlink(f"{lab.dir}/profiles/agent.yaml")
    lab.cordon("up", check=True)
    assert listed(lab) == {}
    with lab.capture() as capture:
        assert not lab.sandbox.fetches(f"https://{SITE}/", timeout=1)
        capture.empty(dst=labworld.WEB[0])


@row("B19", families=(4,))
def test_reload_that_takes_away_one_name_leaves_the_others(own_lab):
    lab = own_lab
    lab.internet.echo(7000)
    stream = lab.sandbox.connect(lab.sandbox.resolve("tcp.example"), 7000)
    with tls(lab.sandbox, SITE) as flow, stream:
        assert works(stream) and serves(flow, SITE)
        rules = [r for r in AGENT["network"]["allow"] if r["host"] != "tcp.example"]
        lab.profile("agent", {**AGENT, "network": {**AGENT["network"], "allow": rules}})
        lab.cordon("reload", check=True)
        assert not works(stream, timeout=MOMENT) and serves(flow, SITE)


def test_reload_refuses_to_drop_a_profile_in_use(own_lab):
    lab = own_lab
    os.unlink(f"{lab.dir}/profiles/agent.yaml")
    done = lab.cordon("reload")
    assert done.returncode == 1 and "vm0 uses it" in done.stderr, done
    assert lab.sandbox.fetches(f"https://{SITE}/")


def test_reload_refuses_what_needs_a_restart(own_lab):
    lab = own_lab
    lab.configure({"sandbox_interfaces": ["tap*", "vm*"]})
    done = lab.cordon("reload")
    assert done.returncode == 1 and "sandbox_interfaces" in done.stderr, done


def test_static_sandbox_waits_for_its_interface(labs):
    """`sandboxes:` of the configuration; the guest comes later."""
    vm = {"name": "fixed", "interface": "tap0", "mac": "06:00:0a:01:00:02", "ipv4": "10.1.0.2",
          "ipv6": "fd00:1::2", "profile": "agent"}
    lab = labs(up=False, config={"sandboxes": [vm]})
    lab.up()
    assert listed(lab)["fixed"]["up"] is False
    sandbox = lab.add_sandbox("fixed", register=False)
    wait_for("the link", lambda: listed(lab)["fixed"]["up"])
    assert sandbox.fetches(f"https://{SITE}/")


def flags(lab, interface):
    return int(lab.gateway.run(["cat", f"/sys/class/net/{interface}/flags"]).stdout or "0", 16)


@row("B18")
@pytest.mark.parametrize("how", ["flush table inet cordon", "flush chain inet cordon identify",
                                 "insert rule inet cordon steer accept"])
def test_changed_rules_are_restored(own_lab, how, family):
    """Chains without their rules accept: they are put back, once, with the flows left alone."""
    lab = own_lab
    with tls(lab.sandbox, SITE, family) as flow:
        assert serves(flow, SITE)
        lab.audit.mark()
        lab.gateway.run(["nft", *how.split()], check=True)
        lab.audit.wait(event="ruleset")
        assert serves(flow, SITE)
    with pytest.raises(OSError):
        lab.sandbox.connect(labworld.WEB[family == 6], 443, timeout=MOMENT).close()
    assert lab.sandbox.fetches(f"https://{SITE}/", family=family)
    assert len(lab.audit.events(event="ruleset")) == 1


@row("B18")
def test_renamed_interface_is_taken_down_and_comes_back(own_lab):
    lab, interface = own_lab, own_lab.sandbox.interface
    assert lab.sandbox.fetches(f"https://{SITE}/")
    lab.gateway.ip(f"link set {interface} down", f"link set {interface} name lan7")
    lab.audit.wait(event="sandbox", what="interface lost")
    lab.gateway.ip("link set lan7 up")
    wait_for("the stray link to be taken down", lambda: not flags(lab, "lan7") & 1)
    lab.gateway.ip(f"link set lan7 name {interface}")
    wait_for("the link to come back", lambda: lab.sandbox.fetches(f"https://{SITE}/", timeout=2))


def test_policy_hash_can_be_demanded(labs):
    """A daemon that was started for one policy takes no other: not at the start, not by reload."""
    lab = labs(up=False)
    lab.cordon("firewall", "start", check=True)
    done = lab.gateway.run([f"{BUILD}/cordon-netd", "--config", lab.config_file, "--policy-sha256", "0" * 64])
    assert done.returncode == 2 and "--policy-sha256" in done.stderr


def test_netd_does_not_start_on_a_policy_with_errors(labs):
    lab = labs(up=False)
    lab.profile("agent", "version: 1\nsandbox:\n  netwrok: {}\n  git: {enabled: maybe}\n")
    done = lab.gateway.run([f"{BUILD}/cordon-netd", "--config", lab.config_file])
    assert done.returncode == 2 and "netwrok" in done.stderr and "enabled" in done.stderr
    assert "cordon" not in lab.gateway.run(["nft", "list", "tables"]).stdout, "nothing was touched"


@row("B18")
def test_link_that_got_the_number_of_a_deleted_one_is_left_alone(own_lab):
    """Between a deletion and our look, somebody else may have made a link of that index."""
    lab, interface = own_lab, own_lab.sandbox.interface
    index = lab.gateway.run(["cat", f"/sys/class/net/{interface}/ifindex"]).stdout.strip()
    lab.gateway.ip(f"link del {interface}", f"link add lan9 index {index} type veth peer name lan10",
                   "link set lan9 up")
    lab.audit.wait(event="sandbox", what="interface lost")
    wait_for("netd to have seen it", lambda: not listed(lab)["vm0"]["up"])
    assert flags(lab, "lan9") & 1


@row("B18")
def test_link_that_is_made_again_serves_again(own_lab):
    """Another link of the same name, with settings, routes and neighbours of its own."""
    lab, sandbox = own_lab, own_lab.sandbox
    lab.gateway.ip(f"link del {sandbox.interface}")
    lab.audit.wait(event="sandbox", what="interface lost")
    sandbox._wire()
    wait_for("the link to be fitted out", lambda: listed(lab)["vm0"]["up"])
    assert sandbox.fetches(f"https://{SITE}/", family=4) and sandbox.fetches(f"https://{SITE}/", family=6)
    assert lab.gateway.run(["cat", f"/proc/sys/net/ipv4/conf/{sandbox.interface}/rp_filter"]).stdout == "1\n"
    assert "PERMANENT" in lab.gateway.run(["ip", "neigh", "show", sandbox.address[0]]).stdout


def test_alternative_name_of_an_interface_is_no_interface(own_lab):
    """Rules go by the name that packets come with."""
    lab = own_lab
    lab.gateway.ip("link add lan8 type veth peer name lan9", "link property add dev lan8 altname tap88")
    done = add(lab, "vm8", interface="tap88", ip="10.1.8.2", mac="06:00:0a:01:08:02")
    assert done.returncode == 1 and "tap88 does not exist" in done.stderr, done


@row("A10", "B5")
def test_name_whose_server_becomes_the_host_loses_it(own_lab, family):
    """An address that the host gets while netd runs is the host's own, for flows that are there too."""
    lab, sandbox, own = own_lab, own_lab.sandbox, labworld.SERVICES[family == 6]
    lab.internet.echo(7000)
    address = sandbox.resolve("tcp.example", family)
    with sandbox.connect(address, 7000) as flow:
        assert works(flow)
        lab.gateway.ip(f"addr add {own}/{128 if family == 6 else 32} dev lo")
        wait_for("the flow's end", lambda: not works(flow, timeout=MOMENT))
    lab.audit.mark()
    with pytest.raises(OSError):
        sandbox.connect(address, 7000, timeout=MOMENT).close()
    assert lab.audit.wait(reason="port_not_granted", daddr=address)


def opens(sandbox, address, within=PATIENCE):
    """Another flow to the echo service, or None."""
    try:
        return sandbox.connect(address, 7000, timeout=within)
    except OSError:
        return None


@row("B16", families=(4,))
def test_limits_follow_the_policy(own_lab):
    """A reload replaces them, and so does a restart with another policy; flows that are there stay, uncounted."""
    lab, sandbox, flows = own_lab, own_lab.sandbox, []
    lab.internet.echo(7000)

    def limit(connections):
        lab.profile("agent", {**AGENT, "limits": {"connections": connections}})

    def fill(room):
        flows.extend(opens(sandbox, address) for _ in range(room))
        assert all(flows) and not opens(sandbox, address, MOMENT)

    limit(2)
    lab.cordon("reload", check=True)
    address = sandbox.resolve("tcp.example")
    try:
        fill(2)
        assert lab.audit.wait(reason="too_many_connections", daddr=address, port=7000)
        lab.cordon("reload", check=True)
        fill(0)
        limit(1)
        lab.cordon("reload", check=True)
        fill(1)
        limit(3)
        old = set(lab.signal("cordon-netd", signal.SIGKILL))
        wait_for("a new netd", lambda: set(lab.pids("cordon-netd")) - old)
        wait_for("its answer", lambda: lab.cordon("ls").returncode == 0)
        fill(3)
        assert all(works(flow) for flow in flows)
    finally:
        for flow in flows:
            if flow:
                flow.close()


def conntrack(lab):
    return lab.gateway.run(["cat", "/proc/net/nf_conntrack"], check=True).stdout


@row("B1", families=(4,))
def test_restart_ends_what_a_former_sandbox_left(own_lab):
    """Elements and flows of an id that nobody has any more: somebody removed it while netd was down."""
    lab, sandbox = own_lab, own_lab.sandbox
    lab.internet.echo(7000)
    address = sandbox.resolve("tcp.example")
    with sandbox.connect(address, 7000) as flow:
        assert works(flow) and f"dst={address}" in conntrack(lab)
        lab.cordon("down", check=True)
        lab.gateway.run(["nft", "flush", "map", "inet", "cordon", "identity4"], check=True)
        lab.gateway.run(["nft", "flush", "map", "inet", "cordon", "identity6"], check=True)
        lab.cordon("up", check=True)
        assert listed(lab) == {}
        assert f"dst={address}" not in conntrack(lab)
    for kind in ("new_flows", "flows", "dns_queries"):
        done = lab.gateway.run(["nft", "-j", "list", "set", "inet", "cordon", kind], check=True)
        assert not any(o["set"].get("elem") for o in json.loads(done.stdout)["nftables"] if "set" in o), kind


def backstops(lab):
    """The interfaces that have a routing rule of their own."""
    out = lab.gateway.run(["ip", "-6", "rule"], check=True).stdout
    return {line.split(" iif ")[1].split()[0] for line in out.splitlines() if "unreachable" in line and " iif " in line}


@row("B18", families=(6,))
def test_every_policed_interface_has_its_backstop(own_lab):
    """From its beginning, registered or not, until it is gone; a restarted netd finds out what is missing."""
    lab = own_lab
    assert backstops(lab) == {"tap0"}
    lab.gateway.ip("link add tap50 type veth peer name lan50")
    wait_for("its backstop", lambda: backstops(lab) == {"tap0", "tap50"})
    wait_for("its settings", lambda: lab.gateway.run(
        ["cat", "/proc/sys/net/ipv4/conf/tap50/rp_filter"]).stdout == "1\n")
    lab.cordon("down", check=True)
    lab.gateway.ip("link del tap50", "link add tap51 type veth peer name lan51")
    lab.cordon("up", check=True)
    wait_for("the difference", lambda: backstops(lab) == {"tap0", "tap51"})
    lab.cordon("rm", "vm0", check=True)
    assert "tap0" in backstops(lab), "the interface is still there"
    lab.gateway.ip("link del tap51")
    wait_for("the end of it", lambda: backstops(lab) == {"tap0"})


@row("B18", "B1")
def test_missing_identity_is_no_lie(own_lab, family):
    """While elements are written again a known source is refused, but not called spoofed."""
    lab, mine = own_lab, own_lab.sandbox.address[family == 6]
    lab.gateway.run(["nft", "flush", "map", "inet", "cordon", f"identity{family}"], check=True)
    with lab.capture() as capture:
        inject(lab.sandbox, frame(lab.sandbox, family, mine, labworld.SERVICES[family == 6], b"nobody knows me"))
        capture.empty(contains=b"nobody knows me")
    event = lab.audit.wait(saddr=mine, proto="udp")[0]
    assert (event["reason"], event["sandbox"]) == ("internal_error", "vm0")
