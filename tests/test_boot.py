"""Boot: the units and what they name, the service manager, the hook that registers guests."""

import os
import re
import shutil
import socket
import subprocess
import sys

import pytest

from lab import BUILD, ROOT, write
from labnet import ENV

PROGRAMS = ("bin/cordon", *(f"libexec/cordon/cordon-{part}" for part in ("netd", "dns", "gitproxy")))
HOOK = f"{ROOT}/deploy/examples/libvirt/qemu"
DOMAIN = """<domain type="kvm"><name>vm0</name>
<metadata><cordon:sandbox xmlns:cordon="urn:cordon" {sandbox}/></metadata>
<devices>{interfaces}</devices></domain>"""
TAP = '<interface type="{kind}"><mac address="06:00:0a:01:00:02"/><target dev="tap0"/></interface>'


# -- the units, as installed

@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """PREFIX with the units as `make install` lays them, and programs for them to name."""
    prefix = tmp_path_factory.mktemp("prefix")
    make = os.environ.get("MAKE", "make")
    subprocess.run([make, "-s", "-C", ROOT, "install-units", f"PREFIX={prefix}", "DESTDIR="], check=True,
                   env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")}, capture_output=True)
    for program in PROGRAMS:
        os.makedirs(os.path.dirname(f"{prefix}/{program}"), exist_ok=True)
        write(f"{prefix}/{program}", "#!/bin/sh\n", 0o755)
    return str(prefix)


def units(prefix):
    directory = f"{prefix}/lib/systemd/system"
    return {n: open(f"{directory}/{n}").read() for n in os.listdir(directory) if os.path.isfile(f"{directory}/{n}")}


def verify(*files):
    if not shutil.which("systemd-analyze", path=ENV["PATH"]):
        pytest.skip("systemd-analyze is missing: make test-deps")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, env=ENV)
    return done.stdout + done.stderr


def test_units_are_understood(installed, tmp_path):
    """No unknown key, no program that is not there, no cycle in the order."""
    directory = f"{installed}/lib/systemd/system"
    assert verify(*(f"{directory}/{name}" for name in units(installed))) == ""
    broken = tmp_path / "cordon-broken.service"
    broken.write_text("[Service]\nExecStart=/nonexistent/cordon\nProtectSytem=yes\n")
    said = verify(str(broken))
    assert "ProtectSytem" in said and "/nonexistent/cordon" in said, "the check itself finds nothing"


def test_nothing_is_left_to_fill_in(installed):
    for root, _, files in os.walk(f"{installed}/lib"):
        for name in files:
            assert "@PREFIX@" not in open(f"{root}/{name}").read(), name


def values(text, key):
    """Every word of every line KEY=... of a unit."""
    return [word for line in re.findall(rf"^{key}=(.*)$", text, re.M) for word in line.split()]


def test_nothing_comes_before_the_ruleset(installed):
    """It precedes what makes interfaces; every other unit of ours needs it and waits for it."""
    found = units(installed)
    firewall = found.pop("cordon-firewall.service")
    assert {"network-pre.target", "libvirtd.service", "virtqemud.service"} <= set(values(firewall, "Before"))
    assert {"nftables.service", "local-fs.target"} <= set(values(firewall, "After"))
    assert values(firewall, "DefaultDependencies") == ["no"] and values(firewall, "ExecStop") == []
    for name, text in found.items():
        for key in ("Requires", "After"):
            assert "cordon-firewall.service" in values(text, key), f"{name}: {key}"
    for example in ("libvirt/cordon.conf", "firecracker/firecracker@.service"):
        text = open(f"{ROOT}/deploy/examples/{example}").read()
        assert "cordon-firewall.service" in values(text, "Requires"), example
        assert {"cordon-firewall.service", "cordon.target"} <= set(values(text, "After")), example


# -- the service manager is told, and left alone

@pytest.mark.parametrize("part", ["netd", "dns", "gitproxy"])
def test_daemons_tell_a_service_manager(own_lab, part):
    """READY=1 comes to NOTIFY_SOCKET from the process itself, after it gave up its rights."""
    lab = own_lab
    lab.cordon("down", check=True)
    path = f"{lab.dir}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        os.chmod(path, 0o777)
        manager.settimeout(20)
        for name in dict.fromkeys(("netd", part)):	# netd first: the others are ready with its picture
            told = {"NOTIFY_SOCKET": path} if name == part else {}
            env = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
            with open(f"{lab.log_dir}/{name}.log", "ab") as log:
                lab.gateway.start([f"{BUILD}/cordon-{name}", "--config", lab.config_file], stderr=log,
                                  env={**env, **told})
        assert manager.recv(64) == b"READY=1"
    lab.signalled = True


@pytest.fixture
def booted(tmp_path):
    """booted(state, *argv): run cordon where systemd says that of cordon-netd.service, with a default
    configuration, in namespaces of its own."""
    def run(state, *argv):
        fake = tmp_path / "systemctl"
        write(str(fake), f"#!/bin/sh\necho {state}\n", 0o755)
        config = tmp_path / "cordon.yaml"
        write(str(config), "version: 1\nuplink: [lo]\n")
        script = ("set -e; mount -t tmpfs none /run; mkdir -p /run/systemd/system; "
                  "mount -t tmpfs none /etc; mkdir -p /etc/cordon/profiles; "
                  f"cp {config} /etc/cordon/; mount --bind {fake} /usr/bin/systemctl; exec \"$@\"")
        return subprocess.run(["unshare", "--mount", "--net", "sh", "-c", script, "sh", f"{BUILD}/cordon", *argv],
                              capture_output=True, text=True, env=ENV)
    return run


@pytest.mark.parametrize("state", ["active", "activating", "reloading"])
def test_up_and_down_leave_the_units_alone(booted, state):
    up, down = booted(state, "up"), booted(state, "down", "--purge")
    assert up.returncode == 1 and f"cordon-netd.service is {state}" in up.stderr, up
    assert down.returncode == 1 and "systemctl stop cordon.target" in down.stderr, down


def test_down_where_no_unit_runs(booted):
    down = booted("inactive", "down")
    assert down.returncode == 0 and "already down" in down.stdout, down


# -- the libvirt hook

@pytest.fixture
def hook(tmp_path):
    """hook(operation, phase, xml): its result, and how it called cordon."""
    calls = tmp_path / "calls"
    write(str(tmp_path / "cordon"), f'#!/bin/sh\necho "$*" >>{calls}\ntest "$1" != rm\n', 0o755)

    def run(operation, phase, xml):
        calls.write_text("")
        done = subprocess.run([sys.executable, HOOK, "vm0", operation, phase, "-"], input=xml, text=True,
                              capture_output=True, env={**ENV, "PATH": f"{tmp_path}:{ENV['PATH']}"})
        return done, calls.read_text().splitlines()
    return run


def domain(sandbox='profile="agent" ip="10.1.0.2"', kind="ethernet", count=1):
    return DOMAIN.format(sandbox=sandbox, interfaces=TAP.format(kind=kind) * count)


def test_hook_registers_before_the_guest_runs(hook):
    done, calls = hook("start", "begin", domain('profile="agent" ip="10.1.0.2" ip6="fd00:1::2"'))
    assert done.returncode == 0, done
    assert calls == ["rm vm0", "add vm0 --interface tap0 --mac 06:00:0a:01:00:02 --ip 10.1.0.2 "
                               "--ip fd00:1::2 --profile agent"]
    done, calls = hook("release", "end", domain())
    assert done.returncode == 0 and calls == ["rm vm0"]


@pytest.mark.parametrize("xml", [domain(kind="bridge"), domain(kind="network"), domain(count=2), domain(count=0),
                                 domain('profile="agent"'), domain('ip="10.1.0.2"')])
def test_hook_keeps_a_guest_from_running(hook, xml):
    done, calls = hook("start", "begin", xml)
    assert done.returncode != 0 and "cordon hook: vm0: " in done.stderr and calls == []


def test_hook_leaves_other_guests_alone(hook):
    done, calls = hook("start", "begin", "<domain><metadata/><devices/></domain>")
    assert done.returncode == 0 and calls == []
