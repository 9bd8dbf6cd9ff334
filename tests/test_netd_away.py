"""netd is started anew: who is served by the proxy waits for a moment, and is not refused.

Front and keeper each have netd's picture, and get it again at different times. A netd that was killed is
back within a second; what a client sees meanwhile is an answer that takes longer. The time is bounded, and
then the reason says what it is. Threats B17.
"""

import contextlib
import os
import signal

import pytest

from lab import AGENT, row
from labhttp import Wire, get, info_refs
from labnet import PATIENCE, wait_for

WIDGETS = "https://github.com/acme/widgets"
ROLES = {"cordon-gitproxy": "gitproxy", "cordon-keeper": "keeper"}


def sockets(lab, daemon):
    pid, = lab.pids(daemon)
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return {name for name in found if name.startswith("socket:")}


class Away:
    """netd's socket has another name: nobody who is not connected can connect."""

    def __init__(self, lab):
        self._path = f"{lab.dir}/run/parts/netd.sock"

    def __enter__(self):
        os.rename(self._path, self._path + ".away")
        return self

    def back(self):
        os.rename(self._path + ".away", self._path)

    def __exit__(self, *_):
        if os.path.exists(self._path + ".away"):
            self.back()


@contextlib.contextmanager
def without_picture(lab, daemon):
    """netd was started anew, and this daemon, which has noticed, finds it no more. The other is in step."""
    pid, = lab.signal(daemon, signal.SIGSTOP)
    had = sockets(lab, daemon)
    try:
        lab.audit.mark()
        lab.signal("cordon-netd")
        for role in {"dns", *ROLES.values()} - {ROLES[daemon]}:
            lab.audit.wait(event="part", part=role, what="connected")
        with Away(lab) as away:
            lab.resume(pid)
            wait_for(f"{daemon} to notice", lambda: had - sockets(lab, daemon))
            yield away
    finally:
        lab.resume(pid)


@pytest.fixture
def warm(labs):
    """A lab whose proxy has served: certificates are made."""
    plain = {"host": "web.example", "protocol": "http"}
    network = {**AGENT["network"], "allow": [*AGENT["network"]["allow"], plain]}
    lab = labs(profiles={"agent": {**AGENT, "network": network}})
    done = lab.sandbox.git("ls-remote", WIDGETS)
    assert done.returncode == 0, done.stderr
    return lab


# What only the front decides, and what the keeper has to, of both kinds of hosts: name, port, requests.
KINDS = {"git": ("github.com", 443, get("/"), info_refs("acme/widgets")),
         "http": ("web.example", 80, get("/", host="github.com"), get("/", host="web.example"))}


@row("B17", families=(4,))
@pytest.mark.parametrize("kind", KINDS)
def test_keeper_is_late(warm, kind):
    """The front is in step, the keeper not yet: a request waits there, and is served."""
    lab = warm
    name, port, refused, granted = KINDS[kind]
    with without_picture(lab, "cordon-keeper") as away, Wire(lab.sandbox, name, port=port, timeout=PATIENCE) as wire:
        assert wire.send(refused).response().status == 403		# the front alone
        had = sockets(lab, "cordon-keeper")
        wire.send(granted)
        wait_for("the request to arrive", lambda: len(sockets(lab, "cordon-keeper") - had) >= 2)
        away.back()
        assert wire.response().status == 200
    assert not lab.audit.events(reason={"internal_error", "unavailable"})


@row("B17", families=(4,))
def test_front_is_late(warm):
    """New connections wait to be taken, requests of old ones to be judged."""
    lab = warm
    with Wire(lab.sandbox, timeout=PATIENCE) as old:
        assert old.send(get("/")).response().reason == "not_git"
        with without_picture(lab, "cordon-gitproxy") as away:
            new = lab.sandbox.connect(lab.sandbox.resolve("github.com"), 80, PATIENCE)
            new.sendall(get("/"))
            old.send(info_refs("acme/widgets"))
            away.back()
            assert old.response().status == 200
            with new:
                assert Wire.of(new).response().reason == "not_git"
    assert not lab.audit.events(reason={"internal_error", "unavailable", "interface_unregistered"})


@row("B17", families=(4,))
@pytest.mark.parametrize("daemon, kind", [*((daemon, "git") for daemon in ROLES), ("cordon-keeper", "http")])
def test_netd_stays_away(warm, daemon, kind):
    """Not for ever: the reason is one that says to come back."""
    lab = warm
    name, port, refused, granted = KINDS[kind]
    with Wire(lab.sandbox, name, port=port, timeout=PATIENCE) as wire:
        assert wire.send(refused).response().status == 403
        with without_picture(lab, daemon):
            got = wire.send(granted).response()
            assert (got.status, got.reason) == (503, "unavailable") and int(got.fields["retry-after"]) > 0
            assert got.body == b"unavailable\nThe gateway is busy or being started anew; try again in a moment.\n"
        lab.audit.wait_one(decision="deny", reason="unavailable")
    done = lab.sandbox.git("ls-remote", WIDGETS, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def blocks(pid, number):
    with open(f"/proc/{pid}/status") as f:
        mask = next(line.split()[1] for line in f if line.startswith("SigBlk:"))
    return int(mask, 16) >> (number - 1) & 1


def test_told_to_end_before_it_serves(own_lab):
    """The keeper has not said yet that it is ready: nobody waits for that who is to end."""
    lab = own_lab
    netd, = lab.signal("cordon-netd", signal.SIGSTOP)		# so the keeper waits, too
    old = lab.pids("cordon-keeper")
    lab.signal("cordon-gitproxy")
    keeper = None
    try:
        wait_for("a new one", lambda: (new := lab.pids("cordon-keeper")) and not set(new) & set(old))
        keeper, = lab.signal("cordon-keeper", signal.SIGSTOP)
        front, = lab.pids("cordon-gitproxy")
        wait_for("it to expect the signal", lambda: blocks(front, signal.SIGTERM))
        os.kill(front, signal.SIGTERM)
        wait_for("its end", lambda: front not in lab.pids("cordon-gitproxy"))
    finally:
        for pid in (keeper, netd):
            if pid:
                lab.resume(pid)
    with open(f"{lab.log_dir}/supervisor.log") as f:
        codes = [line.split("code=")[1].split()[0] for line in f if "part=gitproxy" in line and "code=" in line]
    assert codes == ["-9", "0"], codes		# it did not give up on the keeper: it ended as it was told
