"""labnet - network namespaces, and processes and sockets inside them

Theory of operation: a Space is one named network namespace plus one mount namespace with a few files of
/etc bind-mounted over, so that nothing of the machine itself changes. The mount namespace is held by a
process that reads a pipe of ours and ends with us. Programs enter both with nsenter; sockets are opened
by stepping into the network namespace for the length of one socket() call: a socket stays in the
namespace it was made in. Names are `cordon-PID[.N]-ROLE`; spaces of a PID that is gone are swept by the
next lab, so that even SIGKILL leaves nothing behind for long.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

PATIENCE = 60.0		# seconds for what must come: how busy the machine is decides nothing, and only a failure waits
MOMENT = 0.5		# for what must not come
CLONE_NEWNET = 0x40000000
NETNS = "/run/netns"
QUIET = ("06", "0A")		# of /proc/net/tcp: TIME_WAIT, LISTEN
PREFIX = "cordon-"
_libc = ctypes.CDLL(None, use_errno=True)
_setns_lock = threading.Lock()

ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
}


class LabError(Exception):
    """The lab itself failed, not what is tested."""


def wait_for(what, probe, timeout=PATIENCE, step=0.005):
    """Ask probe() until it gives something true; that is returned. Fails with `what` after timeout."""
    end = time.monotonic() + timeout
    while True:
        got = probe()
        if got:
            return got
        if time.monotonic() > end:
            raise LabError(f"gave up after {timeout:g} s waiting for {what}")
        time.sleep(step)


def tool(*argv, text=None, check=True):
    """Run a program of the machine; its output. LabError with what it said when it fails."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, env=ENV)
    if check and done.returncode:
        raise LabError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Space:
    """A network namespace with its own view of some files.

    files: {path on the machine: file that stands there inside}.
    """

    def __init__(self, name, files=None):
        self.name = name
        self.path = f"{NETNS}/{name}"
        self.files = files or {}
        self.processes = []
        self._holder = None
        tool("ip", "netns", "add", name)
        self.inode = os.stat(self.path).st_ino

    def ip(self, *lines):
        """Commands of ip(8), one per line, in one run."""
        tool("ip", "-n", self.name, "-force", "-batch", "-", text="\n".join(lines) + "\n")

    def sysctl(self, **values):
        """net__ipv4__ip_forward=1 writes /proc/sys/net/ipv4/ip_forward."""
        pairs = [f"{k.replace('__', '/')}={v}" for k, v in values.items()]
        tool("nsenter", f"--net={self.path}", "sysctl", "-q", "-w", *pairs)

    def hold(self):
        """Make the mount namespace. Call when the files exist."""
        script = ["set -e", "mount -t sysfs sysfs /sys"]
        script += [f"mount --bind '{src}' '{dst}'" for dst, src in self.files.items()]
        script += ["echo localhost >/proc/sys/kernel/hostname"]	# git looks its own name up
        script += ["echo ready", "exec cat"]
        self._holder = subprocess.Popen(
            ["nsenter", f"--net={self.path}", "unshare", "--mount", "--uts", "--propagation", "private", "--",
             "sh", "-c", "\n".join(script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV,
            start_new_session=True)
        if self._holder.stdout.readline() != b"ready\n":
            raise LabError(f"{self.name}: {self._holder.stderr.read().decode().strip()}")

    def argv(self, argv, cwd="/"):
        """argv that runs inside this space. It execs: the pid stays."""
        ns = f"/proc/{self._holder.pid}/ns"
        return ["nsenter", f"--net={self.path}", f"--mount={ns}/mnt", f"--uts={ns}/uts", "--",
                "env", "-C", str(cwd), *map(str, argv)]

    def run(self, argv, *, timeout=2 * PATIENCE, check=False, env=None, cwd="/", input=None):
        """Run to the end. CompletedProcess with text output; stderr apart."""
        process = subprocess.Popen(
            self.argv(argv, cwd), text=True, errors="replace",
            env={**ENV, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(input, timeout=timeout)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        done = subprocess.CompletedProcess(list(map(str, argv)), process.returncode, out, err)
        if check and done.returncode:
            raise LabError(f"{self.name}: {' '.join(done.args)}: exit {done.returncode}: {err or out}")
        return done

    def start(self, argv, *, env=None, cwd="/", **popen):
        """Start a long-lived program; it is ended with the space. A Popen."""
        popen.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(self.argv(argv, cwd), env={**ENV, **(env or {})},
                                   start_new_session=True, **popen)
        self.processes.append(process)
        return process

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is in this network namespace meanwhile."""
        with _setns_lock, open("/proc/thread-self/ns/net") as home, open(self.path) as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def enter_thread(self):
        """Move the calling thread here for the rest of its life."""
        with open(self.path) as there:
            _setns(there.fileno())

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0, timeout=PATIENCE):
        """A socket of this namespace."""
        with self.entered():
            s = socket.socket(family, kind, proto)
        s.settimeout(timeout)
        return s

    def connect(self, address, port, timeout=PATIENCE):
        s = self.socket(family_of(address), timeout=timeout)
        try:
            s.connect((address, port))
        except BaseException:
            s.close()
            raise
        return s

    def listening(self, address, port):
        """Whether something accepts there, asked from inside."""
        try:
            self.connect(address, port, timeout=1.0).close()
        except OSError:
            return False
        return True

    def pids(self, comm=None):
        """Processes in this network namespace, perhaps only those of one name."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}/ns/net").st_ino != self.inode:
                    continue
                if comm is None or comm_of(entry) == comm:
                    found.append(int(entry))
        return found

    def end_connections(self):
        """Reset the TCP connections that are left, so that none of them says another word."""
        rows = [line.split() for version in ("tcp", "tcp6")
                for line in open(f"/proc/{self._holder.pid}/net/{version}").readlines()[1:]]
        if any(row[3] not in QUIET for row in rows):
            self.run(["ss", "-K", "-t", "state", "connected"])

    def close(self):
        """End everything inside, then the namespace itself. Never raises for what is gone already."""
        end_processes(self.processes)
        with contextlib.suppress(OSError):
            end = time.monotonic() + PATIENCE
            while (left := [p for p in self.pids() if not self._holder or p != self._holder.pid]) and time.monotonic() < end:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)
        if self._holder:
            self._holder.stdin.close()
            self._holder.wait(PATIENCE)
            self._holder.stdout.close()
            self._holder.stderr.close()
        tool("ip", "netns", "del", self.name, check=False)


def comm_of(pid):
    with open(f"/proc/{pid}/comm") as f:
        return f.read().rstrip("\n")


def stat_of(pid):
    """(state, parent) of a process, or (None, None)."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat") as f:
            state, parent = f.read().rpartition(")")[2].split()[:2]
        return state, int(parent)
    return None, None


def has_ended(pid):
    """It holds nothing any more; whoever started it may have to hear of it yet."""
    return stat_of(pid)[0] in (None, "Z", "X")


def is_sanitized(pid):
    """Then its memory says little: what it gave back is kept for a while."""
    with open(f"/proc/{pid}/maps") as f:
        return "libasan" in f.read()


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def end_process(process, timeout=5.0):
    """SIGTERM, then SIGKILL after the timeout; its status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()
    return process.returncode


def end_processes(processes, timeout=0.5):
    """SIGTERM to all of them, then SIGKILL: a web server waits for its clients longer than we do."""
    end = time.monotonic() + timeout
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        end_process(process, max(0, end - time.monotonic()))


def sweep():
    """Remove what labs of ended processes left: their namespaces, what runs inside, their directories."""
    for name in os.listdir(NETNS) if os.path.isdir(NETNS) else ():
        owner = re.fullmatch(PREFIX + r"(\d+)(\.\d+)?-[a-z0-9]+", name)
        if not owner or os.path.exists(f"/proc/{owner[1]}"):
            continue
        for pid in tool("ip", "netns", "pids", name, check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        tool("ip", "netns", "del", name, check=False)
    for name in os.listdir("/tmp"):
        owner = re.fullmatch(PREFIX + r"(\d+)(\.\d+)?-\w+", name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            shutil.rmtree(f"/tmp/{name}", ignore_errors=True)
