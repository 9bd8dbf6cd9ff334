"""Boot: the units and what they name, and the order in which ruleset, interfaces and daemons come (B18)."""

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

import labworld
from lab import BUILD, ROOT, row, write
from labclient import serves, tls
from labnet import ENV, MOMENT, wait_for
from probe import Probe, until_works

SITE = "pypi.example"
PARTS = ("netd", "dns", "gitproxy")
PROGRAMS = ("bin/cordon", *(f"libexec/cordon/cordon-{part}" for part in ("netd", "dns", "gitproxy")))
CORDON = f"{BUILD}/cordon"
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


def test_the_proxy_is_bounded():
    """Its memory; and its tasks, to no fewer than its own limits let it have."""
    text = open(f"{ROOT}/deploy/systemd/cordon-gitproxy.service").read()
    assert values(text, "MemoryMax") == ["75%"] and values(text, "OOMPolicy") == ["continue"]

    def limit(file, name):
        return int(re.search(rf"\b{name} = (\d+)", open(f"{ROOT}/gitproxy/{file}").read())[1])
    jobs = limit("keeper/serve.h", "SERVE_JOBS_MAX")
    threads = (limit("front/conns.h", "CONNS_MAX") + jobs + 256 + limit("keeper/serve.h", "SERVE_SIGNS_MAX")
               + limit("keeper/serve.h", "SERVE_ASKS_MAX") + limit("keeper/serve.h", "SERVE_FETCHES_MAX")
               + 2 * limit("mirror/mirror.c", "JOBS_MAX") + limit("keeper/ssh_spawner.h", "SSH_CHILDREN_MAX"))
    assert 2 * threads <= int(values(text, "TasksMax")[0])


# -- the service manager is told, and left alone

def start(lab, part, **env):
    """One daemon alone, as a unit starts it, with no more rights than the unit gives."""
    unit = open(f"{ROOT}/deploy/systemd/cordon-{part}.service").read()
    rights = ",".join(c.lower().replace("cap_", "+") for c in values(unit, "CapabilityBoundingSet"))
    env.update((k, v) for k, v in os.environ.items() if k.endswith("SAN_OPTIONS"))
    with open(f"{lab.log_dir}/{part}.log", "ab") as log:
        lab.gateway.start(["setpriv", "--no-new-privs", f"--bounding-set=-all,{rights}", f"{BUILD}/cordon-{part}",
                           "--config", lab.config_file], stderr=log, env=env)


@pytest.mark.parametrize("part", PARTS)
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
            start(lab, name, **({"NOTIFY_SOCKET": path} if name == part else {}))
        assert manager.recv(64) == b"READY=1"
    lab.signalled = True


@pytest.fixture
def booted(tmp_path):
    """booted(state, program, *argv): run it where systemd says that of cordon-netd.service and where
    /etc/cordon/cordon.yaml is there, in namespaces of its own."""
    def run(state, *argv, text="version: 1\nuplink: [lo]\n"):
        fake = tmp_path / "systemctl"
        write(str(fake), f"#!/bin/sh\necho {state}\n", 0o755)
        config = tmp_path / "cordon.yaml"
        write(str(config), text)
        script = ("set -e; mount -t tmpfs none /run; mkdir -p /run/systemd/system; "
                  "mount -t tmpfs none /etc; mkdir -p /etc/cordon/profiles; "
                  f"cp {config} /etc/cordon/; mount --bind {fake} /usr/bin/systemctl; exec \"$@\"")
        return subprocess.run(["unshare", "--mount", "--net", "sh", "-c", script, "sh", *argv],
                              capture_output=True, text=True, env=ENV)
    return run


@pytest.mark.parametrize("unit", ["firewall", *PARTS])
def test_units_call_programs_rightly(installed, booted, unit):
    """Each finds /etc/cordon/cordon.yaml, here one that does not compile."""
    program, *argv = values(units(installed)[f"cordon-{unit}.service"], "ExecStart")
    done = booted("inactive", f"{BUILD}/{os.path.basename(program)}", *argv, text="version: 9\n")
    assert done.returncode == 2 and "/etc/cordon/cordon.yaml:1:" in done.stderr, done


@pytest.mark.parametrize("state", ["active", "activating", "reloading"])
def test_up_and_down_leave_the_units_alone(booted, state):
    up, down = booted(state, CORDON, "up"), booted(state, CORDON, "down", "--purge")
    assert up.returncode == 1 and f"cordon-netd.service is {state}" in up.stderr, up
    assert down.returncode == 1 and "systemctl stop cordon.target" in down.stderr, down


def test_down_where_no_unit_runs(booted):
    down = booted("inactive", CORDON, "down")
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


# -- the order of things, without a service manager

def fetches(lab, family=4):
    return lab.sandbox.fetches(f"https://{SITE}/", family=family, timeout=5)


def clones(lab):
    return lab.sandbox.run(["timeout", "5", "git", "ls-remote", "https://github.com/acme/widgets"]).returncode == 0


def more_rounds(probe, n=15):
    """The probe has tried n more times."""
    rounds = probe.rounds
    wait_for("the probe's rounds", lambda: probe.rounds > rounds + n)


def silent(flow):
    """Nothing comes any more; an end is as good."""
    flow.settimeout(MOMENT)
    try:
        return not flow.recv(100)
    except OSError:
        return True


@row("B18")
def test_interface_before_everything(labs):
    """A host at boot forwards nothing; the ruleset is there before forwarding is switched on."""
    lab = labs(up=False)
    lab.gateway.sysctl(net__ipv4__ip_forward=0, net__ipv6__conf__all__forwarding=0)
    lab.add_sandbox(register=False)
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        more_rounds(probe)
        lab.cordon("firewall", "start", check=True)
        forwarding = lab.gateway.run(["sysctl", "-n", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"])
        assert forwarding.stdout.split() == ["1", "1"]
        more_rounds(probe)
        lab.up()
        more_rounds(probe)
        lab.register(lab.sandbox)
        until_works("a fetch", lambda: fetches(lab))


@row("B18")
def test_flow_from_before_the_ruleset_ends_with_it(labs, family):
    """Something else had forwarding on: neither direction of such a flow goes on behind the ruleset."""
    lab = labs(up=False)
    lab.add_sandbox(register=False)
    lab.gateway.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    service = lab.internet.listen(labworld.SERVICES[family == 6], 7000)
    with lab.sandbox.connect(labworld.SERVICES[family == 6], 7000) as flow, lab.capture() as capture:
        server = service.accept()[0]
        with server:
            flow.sendall(b"before")
            assert server.recv(10) == b"before"
            lab.cordon("firewall", "start", check=True)
            capture.clear()
            flow.sendall(b"to the server, behind")
            server.sendall(b"to the sandbox, behind")
            assert silent(flow)
            capture.empty(contains=b"behind")


@row("B18")
@pytest.mark.parametrize("order", itertools.permutations(PARTS), ids="-".join)
def test_daemons_in_any_order(labs, order):
    """Whatever is missing, nothing passes; when all are there, everything works by itself."""
    lab = labs(up=False)
    lab.cordon("firewall", "start", check=True)
    lab.add_sandbox(register=False)
    os.makedirs(lab.log_dir, exist_ok=True)
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        for part in order:
            start(lab, part)
            more_rounds(probe)
        until_works("the registration", lambda: lab.register(lab.sandbox, check=False).returncode == 0)
        lab.sandbox.trust_cordon()
        until_works("a fetch", lambda: fetches(lab))
        until_works("git", lambda: clones(lab))


@row("B18")
def test_interface_after_everything(labs):
    """The order of the units: a registration that stands in the configuration waits for its interface."""
    guest = {"name": "vm0", "interface": "tap0", "mac": "06:00:0a:01:00:02", "ipv4": "10.1.0.2",
             "ipv6": "fd00:1::2", "profile": "agent"}
    lab = labs(up=False, config={"sandboxes": [guest]})
    lab.up()
    lab.add_sandbox(register=False)
    with lab.capture() as capture, Probe(lab.sandbox, capture):
        for family in (4, 6):
            until_works("a fetch", lambda: fetches(lab, family))


@row("B18")
def test_name_outside_the_pattern_from_the_start(labs):
    """No rule sees such an interface: routing refuses what comes from a sandbox network, daemons or not."""
    lab = labs(up=False)
    lab.add_sandbox(register=False)
    lab.gateway.ip("link set tap0 down", "link set tap0 name lan7", "link set lan7 up")
    lab.cordon("firewall", "start", check=True)
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        more_rounds(probe)
        lab.up()
        more_rounds(probe)
        assert lab.register(lab.sandbox, check=False).returncode == 1, "there is no tap0"
        lab.gateway.ip("link set lan7 down", "link set lan7 name tap0", "link set tap0 up",
                       f"addr replace {lab.sandbox.gateway[1]}/64 dev tap0 nodad")
        lab.register(lab.sandbox)
        until_works("a fetch", lambda: fetches(lab))


# -- what the units do while Cordon runs

@row("B18")
def test_start_again_under_running_daemons(own_lab, family):
    """As before each start of cordon-netd: decided flows go on, new ones are inspected again."""
    lab = own_lab
    with tls(lab.sandbox, SITE, family) as flow, lab.capture() as capture, Probe(lab.sandbox, capture):
        assert serves(flow, SITE)
        for _ in range(3):
            lab.cordon("firewall", "start", check=True)
            assert serves(flow, SITE)
            until_works("a fetch", lambda: fetches(lab, family))


@row("B18")
@pytest.mark.parametrize("held", [False, True], ids=["at-once", "netd-late"])
def test_flushed_and_loaded_by_others(own_lab, held, family):
    """As nftables.service with our drop-in does it: netd may see the new table only, which is empty."""
    lab = own_lab
    until_works("the first fetch", lambda: fetches(lab, family))
    lab.audit.mark()
    with lab.capture() as capture, Probe(lab.sandbox, capture):
        pids = lab.signal("cordon-netd", signal.SIGSTOP) if held else []
        lab.gateway.run(["nft", "flush", "ruleset"], check=True)
        lab.cordon("firewall", "start", check=True)
        for pid in pids:
            lab.resume(pid)
        until_works("a fetch", lambda: fetches(lab, family))
    assert lab.audit.wait(event="ruleset"), lab.audit.describe()
