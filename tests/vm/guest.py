"""A guest that nobody prepared: Debian's kernel, a tap, a static address (make vm-test).

The ruleset is there before the machine is switched on, the daemons come while it boots, and from its first
instruction it tries what must never pass.
"""

import pytest

import image
import labworld
from lab import row
from machine import Machine
from probe import LEAK, until_works

ADDRESS = ("10.1.9.2", "fd00:1:0:9::2")
HOST = ("10.1.9.1", "fd00:1:0:9::1")
BAD = labworld.SERVICES


class Guest:
    """What Lab.register() wants to know of a sandbox."""
    guest, interface, mac, address = "vm9", "tap9", "06:00:0a:01:09:02", ADDRESS


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    return image.disk(f"{tmp_path_factory.mktemp('guest')}/disk")


@pytest.fixture
def bare(labs):
    return labs(up=False)


@pytest.fixture
def guest(bare, disk):
    lab = bare
    lab.gateway.ip("tuntap add tap9 mode tap vnet_hdr", f"addr add {HOST[0]}/24 dev tap9",
                   f"addr add {HOST[1]}/64 dev tap9 nodad")
    lab.cordon("firewall", "start", check=True)
    lab.gateway.ip("link set tap9 up")
    addresses = {"vm_ip4": f"{ADDRESS[0]}/24", "vm_gw4": HOST[0], "vm_ip6": f"{ADDRESS[1]}/64", "vm_gw6": HOST[1],
                 "vm_bad4": BAD[0], "vm_bad6": BAD[1]}
    words = " ".join(f"{k}={v}" for k, v in addresses.items())
    machine = Machine(lab.gateway, disk, [("tap9", Guest.mac)], f"quiet init=/usr/local/sbin/vm-init {words}")
    yield machine
    print(machine.console()[-3000:])
    machine.close()


def more_rounds(guest):
    """Everything forbidden has been tried from the beginning to the end once more."""
    guest.run("touch /run/vm-hostile; n=$(($(wc -l </run/vm-hostile) + 2)); "
              "until [ $(wc -l </run/vm-hostile) -ge $n ]; do sleep 0.5; done", check=True)


def reaches_what_is_granted(lab, guest, family):
    record = "AAAA" if family == 6 else "A"
    synthetic = guest.run(f"dig +short pypi.example {record}", check=True).stdout.split()[-1]
    assert synthetic.startswith("fd63:" if family == 6 else "198.18."), synthetic
    fetched = guest.run(f"curl -{family}sS -m 60 https://pypi.example/", check=True)
    assert fetched.stdout == "this is pypi.example\n"
    cloned = guest.run(f"cd /tmp && rm -rf widgets && git clone -{family} https://github.com/acme/widgets && "
                       "git -C widgets rev-parse HEAD")
    assert cloned.stdout.strip() == lab.world.tip("acme/widgets"), cloned


def is_refused_the_rest(guest, family):
    """The repository by its name, the name by no answer, the literal by a reset: all of it at once."""
    clone = guest.run(f"cd /tmp && git clone -{family} https://github.com/acme/payroll")
    assert clone.returncode and "repository_not_allowed" in clone.stderr, clone
    name = guest.run(f"curl -{family}sS -m 30 https://evil.example/")
    assert name.returncode == 6, name
    web = labworld.WEB[family == 6]
    literal = guest.run(f"curl -{family}sSk -m 30 https://{f'[{web}]' if family == 6 else web}/")
    assert literal.returncode == 7, literal


def moves_much(guest):
    """With offloads a guest's segments are larger than any frame, and their checksums unfinished."""
    down = guest.run("curl -sS -m 60 https://pypi.example/big -o /dev/null -w '%{size_download}'", check=True)
    assert down.stdout == str(16 << 16), down
    up = guest.run("head -c 500000 /dev/zero | curl -sS -m 60 --data-binary @- https://pypi.example/ -o /dev/null "
                   "-w '%{size_upload}'", check=True)
    assert up.stdout == "500000", up


@row("B18", "B1", "B2")
def test_guest_from_power_on(bare, guest):
    lab = bare
    with lab.capture() as capture:
        guest.ready()
        print(guest.run("uname -a").stdout)
        more_rounds(guest)
        lab.up()
        more_rounds(guest)
        lab.register(Guest)
        guest.put("/etc/ssl/certs/ca-certificates.crt", open(lab.world.ca_file).read() + lab.ca_certificate())
        until_works("a fetch", lambda: guest.run("curl -4sS -m 10 https://pypi.example/").returncode == 0, 300)
        for family in (4, 6):
            reaches_what_is_granted(lab, guest, family)
            is_refused_the_rest(guest, family)
        moves_much(guest)
        more_rounds(guest)
        capture.empty(dst=set(BAD) | set(labworld.RESOLVERS))
        assert not lab.dns.queries(LEAK) and not lab.dns.queries("evil.example")
        assert not [r for r in lab.web.requests() if "payroll" in r.path]
    refused = {"sandbox": Guest.guest, "decision": "deny"}
    lab.audit.wait(reason="repository_not_allowed", **refused)
    lab.audit.wait(reason="address_not_granted", daddr=labworld.WEB[0], **refused)
