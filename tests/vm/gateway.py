"""A Debian host of its own kernel and systemd as the gateway (make vm-test).

Cordon is installed as `make install` does it and enabled; the machine boots with it. Its uplink is a tap in
the lab's internet; its sandbox is a network namespace that a unit makes at boot, as a unit would start a
virtual machine. So kernel, nft, systemd and the units are the floor's, whatever this host has.
"""

import json
import os
import shutil
import subprocess
import tempfile

import pytest

import image
import labworld
from lab import AGENT, BUILD, CONFIG, ROOT, row, write
from labnet import PREFIX, Space
from labwatch import MARKER_PORT, Capture
from labworld import GATEWAY, ROUTER, Internet
from machine import Machine
from probe import until_works

MAC = "06:00:0a:01:00:02"
IN = "ip netns exec guest env CURL_CA_BUNDLE=/etc/cordon/trusted.pem GIT_SSL_CAINFO=/etc/cordon/trusted.pem HOME=/root "
UNITS = ("cordon-firewall.service", "cordon-netd.service", "cordon-dns.service", "cordon-gitproxy.service",
         "cordon.target", "guest.service")
GUEST_UP = f"""#!/bin/sh
set -e
ip netns add guest
ip link add tap0 type veth peer name eth0 address {MAC} netns guest
ip addr add 10.1.0.1/24 dev tap0
ip addr add fd00:1::1/64 dev tap0 nodad
ip link set tap0 up
ip -n guest addr add 10.1.0.2/24 dev eth0
ip -n guest addr add fd00:1::2/64 dev eth0 nodad
ip -n guest link set lo up
ip -n guest link set eth0 up
ip -n guest route add default via 10.1.0.1
ip -n guest route add default via fd00:1::1
cordon add vm0 --interface tap0 --mac {MAC} --ip 10.1.0.2 --ip fd00:1::2 --profile agent
"""
FILES = {
    # What starts a guest needs the wall and waits for the rest: docs/deployment.md.
    "etc/systemd/system/guest.service": """[Unit]
Requires=cordon-firewall.service
Wants=cordon.target
After=cordon-firewall.service cordon.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/guest-up
[Install]
WantedBy=multi-user.target
""",
    # Looks at what is there when the first manager of networks starts.
    "etc/systemd/system/look.service": """[Unit]
DefaultDependencies=no
After=network-pre.target
Before=systemd-networkd.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'nft list table inet cordon >/run/look; ip -o link >>/run/look'
[Install]
WantedBy=systemd-networkd.service
""",
    "etc/systemd/system/vm-agent.service": """[Service]
ExecStart=/usr/local/sbin/vm-agent /dev/ttyS1
[Unit]
After=multi-user.target
[Install]
WantedBy=graphical.target
""",
    "etc/systemd/network/uplink.network": f"""[Match]
Name=eth0
[Network]
Address={GATEWAY[0]}/24
Address={GATEWAY[1]}/64
Gateway={ROUTER[0]}
Gateway={ROUTER[1]}
IPv6AcceptRA=no
""",
    "etc/resolv.conf": f"nameserver {labworld.DNS[0]}\n",
    "etc/netns/guest/resolv.conf": "nameserver 8.8.8.8\n",
    "usr/local/sbin/guest-up": GUEST_UP,
}


def installed(world):
    """A function that puts Cordon and the units of this test into an image's directory."""
    def add(root):
        subprocess.run(["make", "-s", "-C", ROOT, f"B={BUILD}", "install", f"DESTDIR={root}"], check=True,
                       capture_output=True, env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
        config = {"version": 1, **CONFIG, "git": {"upstream_ca_file": "/etc/cordon/internet.pem"}}
        del config["uplink"]		# those of the default routes, which come after the ruleset
        files = {**FILES, "etc/cordon/cordon.yaml": json.dumps(config),
                 "etc/cordon/profiles/agent.yaml": json.dumps({"version": 1, "sandbox": AGENT}),
                 "etc/cordon/internet.pem": open(world.ca_file).read()}
        for name, text in files.items():
            os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
            if os.path.lexists(f"{root}/{name}"):
                os.unlink(f"{root}/{name}")
            write(f"{root}/{name}", text, 0o755 if "sbin" in name else 0o644)
        for unit in ("cordon.target", "nftables.service", "systemd-networkd.service", "guest.service", "look.service",
                     "vm-agent.service"):
            subprocess.run(["systemctl", "--root", root, "enable", unit], check=True, capture_output=True)
    return add


@pytest.fixture(scope="module")
def internet(world):
    """The lab's internet on the far end of a tap."""
    name = f"{PREFIX}{os.getpid()}.9-internet"
    directory = tempfile.mkdtemp(prefix=name, dir="/tmp")
    os.chmod(directory, 0o755)		# the web server's user reads it
    space = Internet(name, world, directory)
    try:
        space.sysctl(net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__all__accept_dad=0)
        addresses = [f"addr add {a}/{'64 nodad' if ':' in a else '24'} dev in0" for a in ROUTER]
        addresses += [f"addr add {a}/{'128 nodad' if ':' in a else '32'} dev in0"
                      for pair in labworld.ALL[1:] for a in pair]
        space.ip("link set lo up", "tuntap add in0 mode tap vnet_hdr", *addresses, "link set in0 up",
                 f"route add default via {GATEWAY[0]}", f"route add default via {GATEWAY[1]}")
        space.serve()
        yield space
    finally:
        space.close()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def host(world, internet, tmp_path_factory):
    """The gateway, booted."""
    disk = image.disk(f"{tmp_path_factory.mktemp('gateway')}/disk", installed(world))
    machine = Machine(internet, disk, [("in0", "06:00:5d:b8:d8:01")], "", memory=1024)
    try:
        yield machine.ready()
    finally:
        print(machine.console()[-6000:])
        print(machine.run("journalctl -b --no-pager -n 150 -u 'cordon*' -u guest -u look -u nftables").stdout)
        machine.close()


@pytest.fixture
def capture(internet, host):
    def marker(text):
        host.run(f"bash -c 'printf %s \"{text.decode()}\" >/dev/udp/{ROUTER[0]}/{MARKER_PORT}'", check=True)
    with Capture(internet, "in0", marker) as capture:
        yield capture


def state(host, unit, key="ActiveState"):
    return host.run(f"systemctl show -p {key} --value {unit}", check=True).stdout.strip()


def fetches(host, family=4):
    return host.run(f"{IN} curl -{family}sS -m 60 https://pypi.example/").stdout == "this is pypi.example\n"


def working(host):
    until_works("a fetch from the sandbox", lambda: fetches(host), 300)


def nothing_forbidden(host, capture):
    for family in (4, 6):
        address = labworld.SERVICES[family == 6]
        host.run(f"{IN} curl -s -m 1 http://{f'[{address}]' if family == 6 else address}:443/")
        host.run(f"{IN} ping -c 1 -W 1 {address}")
    capture.empty(dst=set(labworld.SERVICES) | set(labworld.RESOLVERS))


@row("B18")
def test_boot(host):
    """Every unit is up, and the closed ruleset was there before the first interface was configured."""
    print(host.run("uname -r; nft --version; systemctl --version | head -1; systemd-analyze").stdout)
    failed = host.run("systemctl --failed --no-legend --plain").stdout
    assert not failed.strip(), failed + host.run("journalctl -b --no-pager -p warning").stdout
    assert {unit: state(host, unit) for unit in UNITS} == dict.fromkeys(UNITS, "active")
    seen = host.run("cat /run/look").stdout
    assert "chain drop_uninspected" in seen and "tap0" not in seen


@row("B18")
def test_sandbox_behind_it(host, capture, world):
    host.run("cat /etc/cordon/internet.pem /var/lib/cordon/ca/ca.pem >/etc/cordon/trusted.pem", check=True)
    working(host)
    for family in (4, 6):
        assert fetches(host, family)
        cloned = host.run(f"cd /tmp && rm -rf widgets && {IN} git clone -{family} https://github.com/acme/widgets && "
                          "git -C widgets rev-parse HEAD")
        assert cloned.stdout.strip() == world.tip("acme/widgets"), cloned
        refused = host.run(f"cd /tmp && {IN} git clone -{family} https://github.com/acme/payroll")
        assert refused.returncode and "repository_not_allowed" in refused.stderr, refused
    nothing_forbidden(host, capture)


@row("B18")
@pytest.mark.parametrize("how", ["reload", "restart"])
def test_nftables_service(host, capture, how):
    """Debian's nftables.service flushes every table, also while nobody of ours is there to notice."""
    host.run(f"systemctl {how} nftables", check=True)
    working(host)
    host.run("systemctl stop cordon-netd", check=True)
    host.run(f"systemctl {how} nftables", check=True)
    assert host.run("nft list chain inet cordon drop_uninspected").returncode == 0
    nothing_forbidden(host, capture)
    host.run("systemctl start cordon.target", check=True)
    working(host)


@row("B17")
@pytest.mark.parametrize("part", ["netd", "dns", "gitproxy"])
def test_killed_daemon_is_started_again(host, capture, part):
    before = state(host, f"cordon-{part}", "MainPID")
    host.run(f"kill -9 {before}", check=True)
    host.run(f"until [ $(systemctl show -p MainPID --value cordon-{part}) -gt 1 ] && "
             f"systemctl -q is-active cordon-{part}; do sleep 0.2; done", check=True)
    assert state(host, f"cordon-{part}", "MainPID") != before
    working(host)
    nothing_forbidden(host, capture)


def test_command_leaves_the_units_alone(host):
    assert "already up" in host.run("cordon up", check=True).stdout
    down = host.run("cordon down")
    assert down.returncode == 1 and "systemctl stop cordon.target" in down.stderr
    assert fetches(host)


@row("B18", "B19")
def test_broken_configuration(host, capture):
    """Nothing starts on it: what runs stays, and after a stop no guest comes back up."""
    host.run("cp /etc/cordon/cordon.yaml /tmp/; echo 'uplnk: [x]' >>/etc/cordon/cordon.yaml", check=True)
    assert host.run("systemctl reload cordon-firewall").returncode != 0
    assert fetches(host)
    host.run("systemctl stop cordon-firewall; ip link del tap0; nft delete table inet cordon; "
             "nft delete table arp cordon")
    assert state(host, "guest") == "inactive", "it requires the ruleset"
    assert host.run("systemctl start guest").returncode != 0
    assert state(host, "cordon-firewall") == "failed"
    assert host.run("nft list chain inet cordon drop_uninspected").returncode == 0, "closed all the same"
    host.run("cp /tmp/cordon.yaml /etc/cordon/; ip netns del guest; systemctl restart cordon.target guest", check=True)
    working(host)
    nothing_forbidden(host, capture)
