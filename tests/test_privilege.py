"""Privilege: what each daemon holds, and what a daemon that was taken over can do to the others.

The first half reads /proc of every daemon of the lab: docs/architecture.md has the same table. The second
speaks to netd and to the keeper as somebody would who runs code in cordon-dns or cordon-gitproxy.
"""

import os
import re
import stat

import pytest

from lab import BUILD, row
from labnet import wait_for
from netdclient import group, role_uid

NET_ADMIN = 1 << 12
NONE, FILTER = 0, 2		# seccomp modes
UNIX, NETLINK, INET = "unix", "netlink", "inet"

# uid's role, capabilities, seccomp, what descriptors may be (besides log, audit file and the loop)
PROCESSES = {
    "cordon-netd": ("netd", NET_ADMIN, FILTER, {UNIX, NETLINK}),
    "cordon-spawn": ("netd", NET_ADMIN, NONE, {UNIX}),
    "cordon-inspect": ("netd", NET_ADMIN, FILTER, {UNIX, NETLINK}),
    "cordon-dns": ("dns", 0, FILTER, {UNIX, INET}),
    "cordon-gitproxy": ("gitproxy", 0, FILTER, {UNIX, INET}),
    "cordon-keeper": ("keeper", 0, FILTER, {UNIX}),
}
# Files that may be open, by process; memory files of replies come and go.
FILES = {
    "cordon-netd": r"/(netd\.jsonl|netd\.log)$",
    "cordon-spawn": r"/(netd\.log|cordon-inspect)$",
    "cordon-inspect": r"/netd\.log$",
    "cordon-dns": r"/(dns\.jsonl|dns\.log)$",
    "cordon-gitproxy": r"/(gitproxy\.jsonl|gitproxy\.log)$",
    "cordon-keeper": r"/(keeper\.jsonl|gitproxy\.log)$",
}
QUIET = re.compile(r"^(/dev/null|anon_inode:\[?(eventpoll|signalfd|pidfd|eventfd)\]?|pipe:\[\d+\])$")


def status_of(pid):
    """/proc/PID/status as a dict."""
    return dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)


def the_pid(lab, name):
    return wait_for(name, lambda: (lab.pids(name) + [None])[0])


def sockets_of(pid):
    """{inode: kind} of the network namespace of a process."""
    kinds = {}
    for table, kind, column in (("unix", UNIX, 6), ("netlink", NETLINK, 9), ("tcp", INET, 9), ("tcp6", INET, 9),
                                ("udp", INET, 9), ("udp6", INET, 9), ("raw", "raw", 9), ("raw6", "raw", 9),
                                ("packet", "packet", 8)):
        for line in open(f"/proc/{pid}/net/{table}").read().splitlines()[1:]:
            fields = line.split()
            if len(fields) > column:
                kinds[fields[column]] = kind
    return kinds


@pytest.mark.parametrize("name", PROCESSES)
def test_rights(lab, name):
    """Own user, own capabilities and no way to more: as the kernel tells it, not as the code intends it."""
    role, caps, seccomp, _ = PROCESSES[name]
    pid = the_pid(lab, name)
    status = status_of(pid)
    uid, gid = str(role_uid(role)), str(group())
    inherited = caps if name == "cordon-spawn" else 0		# it hands its one capability down
    assert status["Uid"].split() == [uid] * 4 and uid != "0"
    assert status["Gid"].split() == [gid] * 4 and status["Groups"].split() == [gid]
    assert {k: int(status[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": inherited, "CapPrm": caps, "CapEff": caps, "CapBnd": 0, "CapAmb": 0}
    assert (status["NoNewPrivs"], int(status["Seccomp"])) == ("1", seccomp)
    limits = open(f"/proc/{pid}/limits").read()
    assert re.search(r"Max core file size\s+0\s+0\s", limits)
    # What is not dumpable belongs to root: no debugger, no /proc/PID/mem for others of its user.
    assert os.stat(f"/proc/{pid}/status").st_uid == 0


def test_the_supervisor_keeps_what_it_needs(lab):
    """It stays root, to start daemons that begin as root; a quarter of root's capabilities is enough for that."""
    status = status_of(the_pid(lab, "cordon-super"))
    ours = int(status_of("self")["CapBnd"], 16)			# a container's root has not all of them
    want = sum(1 << cap for cap in (0, 1, 3, 5, 6, 7, 8, 10, 12, 14, 24)) & ours
    assert {int(status[k], 16) for k in ("CapPrm", "CapEff", "CapBnd")} == {want} != {ours}
    assert status["NoNewPrivs"] == "1" and int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_each_daemon_is_its_own_user(lab):
    users = {name: status_of(the_pid(lab, name))["Uid"].split()[0] for name in PROCESSES}
    apart = [users[n] for n in ("cordon-netd", "cordon-dns", "cordon-gitproxy", "cordon-keeper")]
    assert len(set(apart)) == 4


def test_every_thread_is_confined(lab):
    """A filter is a thread's: one that was started too early would go without."""
    for name in ("cordon-gitproxy", "cordon-keeper"):
        pid = the_pid(lab, name)
        for task in os.listdir(f"/proc/{pid}/task"):
            status = status_of(f"{pid}/task/{task}")
            assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")


@pytest.mark.parametrize("name", PROCESSES)
def test_descriptors(lab, name):
    """Nothing is open that its work does not need: no directory, no device, no file of another part."""
    pid = the_pid(lab, name)
    kinds = sockets_of(pid)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            mode = os.stat(f"/proc/{pid}/fd/{fd}").st_mode
        except FileNotFoundError:
            continue			# closed meanwhile
        if QUIET.match(target) or target.startswith("/memfd:"):
            continue
        if stat.S_ISSOCK(mode):
            kind = kinds.get(target[len("socket:["):-1], UNIX)		# an unbound pair is in no list
            assert kind in PROCESSES[name][3], f"{name} has a socket of kind {kind}"
        else:
            assert stat.S_ISREG(mode) and re.search(FILES[name], target), f"{name} holds {target}"


def test_no_process_without_a_row(lab):
    """Whatever of ours runs in the gateway is in the table, or is the supervisor."""
    names = {open(f"/proc/{pid}/comm").read().strip() for pid in lab.gateway.pids()}
    assert {n for n in names if n.startswith("cordon")} == set(PROCESSES) | {"cordon-super"}
