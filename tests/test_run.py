"""cordon run: the command's world, its end, and what is left afterwards (row B21)."""

import contextlib
import os
import pty
import shutil
import signal
import socket
import sys
import tempfile
import time

import pytest

from lab import BUILD, open_build, row
from labnet import PATIENCE, wait_for

UID = 62000 + os.getpid() % 1000		# nobody's, but this run's
USER = {"SUDO_UID": str(UID), "SUDO_GID": str(UID)}


class Runs:
    """cordon run in a lab's gateway, as a user with a working directory."""

    def __init__(self, lab):
        self.lab = lab
        self.dir = f"{lab.dir}/work"
        os.makedirs(self.dir, exist_ok=True)
        os.chown(self.dir, UID, UID)

    def __call__(self, *argv, options=(), env=USER, cwd=None, **kw):
        return self.lab.cordon("run", *options, "--", *argv, env=env, cwd=cwd or self.dir, **kw)

    def python(self, code, *argv, **kw):
        return self(sys.executable, "-c", code, *argv, **kw)

    def start(self, *argv, cwd=None, **popen):
        return self.lab.gateway.start([f"{BUILD}/cordon", "run", "--config", self.lab.config_file, "--", *argv],
                                      env=USER, cwd=cwd or self.dir, text=True, **popen)

    def links(self):
        out = self.lab.gateway.run(["ip", "-o", "link"]).stdout
        return [line.split(":")[1].strip().split("@")[0] for line in out.splitlines() if ": cdn" in line]

    def nothing_left(self):
        assert self.links() == []
        assert self.lab.cordon("ls").stdout.strip() == ""
        assert not os.path.exists(f"{self.lab.dir}/run/runs") or os.listdir(f"{self.lab.dir}/run/runs") == []
        mine = [p for p in os.listdir("/proc") if p.isdigit() and owner(p) == UID]
        assert mine == []


def owner(pid):
    """Who runs it; zombies of a killed run are process 1's to reap, which some containers' does not."""
    with contextlib.suppress(OSError):
        if open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
            return os.stat(f"/proc/{pid}").st_uid
    return None


@pytest.fixture(scope="module")
def up(world):
    from lab import Lab
    with Lab(world) as lab:
        lab.up()
        yield lab


@pytest.fixture
def run(up):
    return Runs(up)


def bind_relative(s, path):
    here = os.getcwd()
    os.chdir(os.path.dirname(path))
    s.bind(os.path.basename(path))
    os.chdir(here)


def bind_and_rename(s, path):
    s.bind(f"{path}.first")
    os.rename(f"{path}.first", path)


def bind_and_link(s, path):
    s.bind(f"{path}.first")
    os.link(f"{path}.first", path)


def bind_by_descriptor(s, path):
    fd = os.open(os.path.dirname(path), os.O_PATH)
    s.bind(f"/proc/self/fd/{fd}/{os.path.basename(path)}")
    os.close(fd)


# What /proc/net/unix says of where a socket can be found.
BINDINGS = {
    "path": lambda s, path: s.bind(path), "relative": bind_relative, "renamed": bind_and_rename,
    "linked": bind_and_link, "descriptor": bind_by_descriptor,
}


@contextlib.contextmanager
def unix_socket(path, bind=BINDINGS["path"], kind=socket.SOCK_STREAM):
    """A socket of the host that anybody may connect to."""
    with socket.socket(socket.AF_UNIX, kind) as s:
        bind(s, path)
        if path[0] != "\0":
            os.chmod(path, 0o777)
        if kind == socket.SOCK_STREAM:
            s.listen()
        s.setblocking(False)
        yield s


CONNECT = ("import socket,sys\ntry:\n"
           "    if sys.argv[2:]: print('ready', flush=True); sys.stdin.readline()\n"
           "    socket.socket(socket.AF_UNIX).connect(sys.argv[1].replace('@', chr(0)))\n"
           "    print('connected')\n"
           "except OSError as e: print(e.errno)")
NO_FAMILY = "97\n"				# EAFNOSUPPORT


# -- the way in

def test_root_is_refused_with_what_to_do(run):
    done = run("true", env={})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "--as-root" in done.stderr


def test_as_root_runs_as_nobody(run):
    os.chmod(run.dir, 0o777)
    done = run("id", "-u", options=["--as-root"], env={})
    assert (done.returncode, done.stdout) == (0, "63999\n"), done.stderr


def test_a_normal_user_is_told_to_use_sudo(run):
    argv = [f"{open_build()}/cordon", "run", "--config", run.lab.config_file, "--", "true"]
    done = run.lab.gateway.run(["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *argv])
    assert (done.returncode, done.stderr) == (1, "cordon: run needs root: use sudo cordon run\n")


@pytest.mark.parametrize("options, status, text", [
    (["--profile", "nope"], 1, "nope"),
    (["--profile", "./own.yaml"], 2, "not supported yet"),
    (["--rw", "/"], 2, "below it"),
    (["--rw", "/nonexistent"], 2, "No such file"),
    (["--prfile", "x"], 2, "did you mean --profile?"),
])
def test_bad_options_start_nothing(run, options, status, text):
    done = run("touch", "started", options=options)
    assert text in done.stderr
    assert done.returncode == status
    assert not os.path.exists(f"{run.dir}/started")
    run.nothing_left()


# -- the command's world

@pytest.mark.parametrize("script, status", [
    ("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -9 $$", 137),
])
def test_exit_status_is_the_commands(run, script, status):
    assert run("sh", "-c", script).returncode == status


def test_missing_command_is_127(run):
    assert run("no-such-program").returncode == 127


def test_runs_as_the_user_without_rights(run):
    done = run("sh", "-c", "id -u; id -G; grep -E 'Cap|NoNewPrivs' /proc/self/status | cut -f2 | sort -u")
    assert done.stdout.split() == [str(UID), str(UID), "0000000000000000", "1"], done.stderr


def test_only_the_working_directory_is_writable(run):
    extra = tempfile.mkdtemp(dir=run.lab.dir)
    os.chown(extra, UID, UID)
    own = f"/tmp/{os.path.basename(extra)}"
    done = run("sh", "-c", f"echo yes > here; echo yes > {extra}/there; echo no > {run.lab.dir}/home; "
               f"echo no > /etc/x; echo tmp > {own} && cat {own}", options=["--rw", extra])
    assert done.stdout == "tmp\n"
    assert open(f"{run.dir}/here").read() == open(f"{extra}/there").read() == "yes\n"
    assert not os.path.exists(own) and not os.path.exists(f"{run.lab.dir}/home")


def test_cordons_directories_are_masked(run):
    dirs = " ".join(f"{run.lab.dir}/{d}" for d in ("run", "state", "log", "profiles", "cordon.yaml"))
    done = run("sh", "-c", f"cat {run.lab.config_file}; ls -A {dirs}")
    assert done.stdout.replace("\n", "") == "" or "yaml" not in done.stdout, done.stdout
    assert "control.sock" not in done.stdout and "jsonl" not in done.stdout


def test_interfaces_of_the_host_are_not_listed(run):
    done = run("sh", "-c", "ls -A /sys/class/net /sys/devices/virtual/net; ls /proc/net/dev_snmp6")
    assert "up0" not in done.stdout and "cdn" not in done.stdout and "eth0" in done.stdout


def test_working_directory_that_holds_the_configuration(run):
    done = run.lab.gateway.run([f"{BUILD}/cordon", "run", "--config", "cordon.yaml", "--", "ls", "-A"], env=USER,
                               cwd=run.lab.dir)
    assert "is empty inside" in done.stderr and "yaml" not in done.stdout and done.returncode == 0, done


def test_environment_is_clean(run):
    done = run("env", env={**USER, "SSH_AUTH_SOCK": "/x", "XDG_RUNTIME_DIR": "/run/user/0", "TOKEN": "secret",
                           "TERM": "vt100"})
    names = {line.split("=")[0] for line in done.stdout.splitlines()}
    assert names == {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "SSL_CERT_FILE", "PWD",
                     "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} - (
                         set() if "PWD" in names else {"PWD"}) - (set() if "LANG" in names else {"LANG"})


def test_environment_of_the_processes_around_the_command_is_clean(run):
    """bubblewrap's reaper is process 1 inside and the user's own: /proc shows what it was started with."""
    done = run("sh", "-c", "cat /proc/[0-9]*/environ | tr '\\0' '\\n'", env={**USER, "TOKEN": "secret"})
    assert "HOME=" in done.stdout and "secret" not in done.stdout


def test_trust_store_has_cordons_certificate(run):
    done = run("sh", "-c", "cat $SSL_CERT_FILE")
    own = open(f"{run.lab.dir}/state/ca.pem").read().strip()
    assert own in done.stdout


def test_resolver_and_hosts_line(run):
    done = run("sh", "-c", "cat /etc/resolv.conf; grep hosts /etc/nsswitch.conf")
    assert done.stdout == ("# made by cordon run\nnameserver 198.18.0.53\nnameserver fd63:6f72:646f::35\n"
                           "hosts: files dns\n")


def test_own_name_is_localhost(run):
    """A program that looks its own name up is not refused, whatever the host's files say."""
    done = run("sh", "-c", "cat /proc/sys/kernel/hostname")
    assert done.stdout == "localhost\n"


# -- B21: ways out that are not the network

@pytest.fixture
def elsewhere():
    """A directory that is neither private nor masked inside."""
    with tempfile.TemporaryDirectory(prefix="cordon-test-", dir="/var/lib") as path:
        os.chmod(path, 0o755)
        yield path


@row("B21")
@pytest.mark.parametrize("binding", BINDINGS)
def test_no_unix_socket_of_the_host(run, elsewhere, binding):
    """However it came to its name: the user can connect, the user's command cannot."""
    path = f"{elsewhere}/host.sock"
    with unix_socket(path, BINDINGS[binding]):
        outside = run.lab.gateway.run(["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups",
                                       sys.executable, "-c", CONNECT, path])
        assert outside.stdout == "connected\n", outside
        done = run.python(CONNECT, path)
    assert done.stdout == NO_FAMILY, done


@row("B21")
def test_no_unix_socket_made_later(run, elsewhere):
    p = run.start(sys.executable, "-c", CONNECT, f"{elsewhere}/late.sock", "wait", stdin=-1, stdout=-1)
    assert p.stdout.readline() == "ready\n"
    with unix_socket(f"{elsewhere}/late.sock"):
        assert p.communicate("\n", timeout=PATIENCE)[0] == NO_FAMILY


@row("B21")
def test_no_abstract_unix_socket(run):
    with run.lab.gateway.entered():			# cordon's own network namespace
        held = unix_socket(f"\0cordon-test-{os.getpid()}")
        held.__enter__()
    assert run.python(CONNECT, f"@cordon-test-{os.getpid()}").stdout == NO_FAMILY
    held.__exit__(None, None, None)


@row("B21")
def test_no_datagram_to_a_unix_socket(run, elsewhere):
    """Of a pair's datagram sockets each can send to any path, or connect to it."""
    code = ("import socket,sys\n"
            "for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC):\n"
            "    try: socket.socketpair(socket.AF_UNIX, kind)[0].sendto(b'x', sys.argv[1])\n"
            "    except OSError as e: print(e.errno)")
    with unix_socket(f"{elsewhere}/datagrams", kind=socket.SOCK_DGRAM) as s:
        assert run.python(code, f"{elsewhere}/datagrams").stdout == 3 * NO_FAMILY
        with pytest.raises(BlockingIOError):
            s.recv(10)


@row("B21")
def test_pairs_work_and_cannot_be_connected_anew(run, elsewhere):
    code = ("import socket,sys\n"
            "for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):\n"
            "    a, b = socket.socketpair(socket.AF_UNIX, kind); a.send(b'pair'); print(b.recv(9).decode())\n"
            "    b.close()\n"
            "    for use in (lambda: a.connect(sys.argv[1]), lambda: a.sendto(b'x', sys.argv[1])):\n"
            "        try: use(); print('reached')\n"
            "        except OSError: pass")
    with unix_socket(f"{elsewhere}/host.sock"), contextlib.suppress(BrokenPipeError):
        done = run.python(code, f"{elsewhere}/host.sock")
    assert done.stdout == "pair\npair\n" and done.returncode == 0, done


@row("B21")
@pytest.mark.parametrize("call", ["x32", "socketcall"])
def test_unix_sockets_of_other_abis(run, call):
    """The process ends; by a signal of its own where the kernel has no such calls."""
    code = {"x32": "import ctypes; print(ctypes.CDLL(None).syscall(0x40000029, 1, 1, 0))",
            "socketcall": "import ctypes, mmap\n"
                          "m = mmap.mmap(-1, 4096, prot=7); m.write(bytes.fromhex('b866000000bb01000000cd80c3'))\n"
                          "at = ctypes.addressof(ctypes.c_char.from_buffer(m))\n"
                          "print(ctypes.CFUNCTYPE(ctypes.c_int)(at)())"}[call]
    done = run.python(code)
    assert done.stdout == "" and done.returncode in (128 + signal.SIGSYS, 128 + signal.SIGSEGV), done


@row("B21")
def test_unix_family_with_more_bits(run):
    """The kernel looks at 32 of the 64."""
    code = ("import ctypes; l = ctypes.CDLL(None, use_errno=True)\n"
            "for f in (1, 0x100000001, 0x8000000000000001):\n"
            "    l.syscall(41, ctypes.c_ulong(f), 1, 0); print(ctypes.get_errno())")
    assert run.python(code).stdout == 3 * NO_FAMILY


@row("B21")
def test_every_process_inside_is_filtered(run):
    """bubblewrap's reaper too: the command may trace it, and make it call what it likes."""
    done = run("sh", "-c", "grep -h ^Seccomp: /proc/[0-9]*/status | sort | uniq -c; ls -d /proc/1")
    count, _, mode = done.stdout.split()[:3]
    assert mode == "2" and int(count) >= 3 and done.stdout.count("Seccomp") == 1, done


@row("B21")
@pytest.mark.parametrize("where", ["/run", "/var/tmp", "runtime"])
def test_private_directories(run, elsewhere, where):
    """Like docker's in /run, an agent's in XDG_RUNTIME_DIR: not even the names are there."""
    place = elsewhere if where == "runtime" else where
    path = f"{place}/cordon-test-{os.getpid()}.sock"
    with unix_socket(path):
        done = run("ls", path, env={**USER, "XDG_RUNTIME_DIR": place})
    os.unlink(path)
    assert "No such file" in done.stderr, done


@row("B21")
def test_descriptors_of_the_caller_are_closed(run, elsewhere):
    """A socket that listens, a directory: what came along beyond 2 stays outside."""
    with unix_socket(f"{elsewhere}/inherited") as s:
        p = run.start("sh", "-c", "ls /proc/self/fd; cat <&%d" % s.fileno(), stdout=-1, stderr=-1, pass_fds=[s.fileno()])
        out, err = p.communicate(timeout=PATIENCE)
    assert out.split() == ["0", "1", "2", "3"] and p.returncode, (out, err)	# 3: ls's own


@row("B21")
def test_no_process_of_the_host(run):
    sleeper = run.lab.gateway.start(["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups",
                                     "sleep", "1000"])
    done = run("sh", "-c", "ls -d /proc/[0-9]* | wc -l; ls /proc/$0; kill -0 $0", str(sleeper.pid))
    assert int(done.stdout.split()[0]) < 8
    assert done.returncode != 0
    assert "No such" in done.stderr, done.stderr
    code = ("import ctypes; l = ctypes.CDLL(None, use_errno=True)\n"
            f"print(l.ptrace(16, {sleeper.pid}, 0, 0), ctypes.get_errno())")
    assert run.python(code).stdout == "-1 3\n"		# PTRACE_ATTACH: ESRCH
    sleeper.kill()
    sleeper.wait()


SYSCALLS = {
    "io_uring_setup": (425, 1), "io_uring_enter": (426, 1), "io_uring_register": (427, 1), "keyctl": (250, 1),
    "add_key": (248, 1), "request_key": (249, 1), "bpf": (321, 1), "perf_event_open": (298, 1),
    "userfaultfd": (323, 1), "open_by_handle_at": (304, 1),
}


@row("B21")
def test_denied_system_calls(run):
    code = ("import ctypes, sys; l = ctypes.CDLL(None, use_errno=True)\n"
            "for n in sys.argv[1:]:\n"
            "    l.syscall(int(n), 0, 0, 0, 0, 0, 0); print(ctypes.get_errno())")
    done = run.python(code, *[str(n) for n, _ in SYSCALLS.values()])
    assert [int(e) for e in done.stdout.split()] == [e for _, e in SYSCALLS.values()], done.stdout


@row("B21")
@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_PACKET", "AF_ALG", "AF_BLUETOOTH", "AF_KEY", "AF_CAN"])
def test_denied_socket_families(run, family):
    number = getattr(socket, family)
    done = run.python(f"import socket\ntry: socket.socket({number}, {2 if number == 40 else 1})\n"
                      "except OSError as e: print(e.errno)")
    assert done.stdout == "97\n"			# EAFNOSUPPORT


@row("B21")
def test_families_that_programs_need_work(run):
    done = run.python("import socket\nfor f in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):"
                      " socket.socket(f, socket.SOCK_DGRAM)\nsocket.socketpair(); print('yes')")
    assert done.stdout == "yes\n", done.stderr


@row("B21")
@pytest.mark.parametrize("flags", [["-U"], ["-Ur"], ["-Un"], ["-n"], ["-m"], ["-p"]])
def test_no_new_namespaces(run, flags):
    done = run("unshare", *flags, "true")
    assert done.returncode != 0


@row("B21")
def test_no_raw_sockets(run):
    done = run.python("import socket\ntry: socket.socket(socket.AF_INET, socket.SOCK_RAW, 6)\n"
                      "except OSError as e: print(e.errno)")
    assert done.stdout == "1\n"


@row("B21")
def test_typing_into_the_terminal(run):
    """TIOCSTI, also with other bits above the 32 that the kernel looks at."""
    code = ("import ctypes; l = ctypes.CDLL(None, use_errno=True)\n"
            "for r in (0x5412, 0x100005412, 0x541c):\n"
            "    l.syscall(16, 0, ctypes.c_ulong(r), b'x'); print(ctypes.get_errno())")
    assert run.python(code).stdout == "1\n1\n1\n"


@row("B21")
@pytest.mark.parametrize("what", ["directory", "tcp", "listening", "datagrams", "unbound"])
def test_standard_input_that_leads_out(run, elsewhere, what):
    """connect(2) of a socket that the caller made is in the caller's network."""
    with contextlib.ExitStack() as stack:
        if what == "directory":
            stdin = os.open("/", os.O_RDONLY)
            stack.callback(os.close, stdin)
        elif what == "listening":
            stdin = stack.enter_context(unix_socket(f"{elsewhere}/stdin"))
        else:
            stdin = stack.enter_context(socket.socket(*{
                "tcp": (socket.AF_INET,), "datagrams": (socket.AF_UNIX, socket.SOCK_DGRAM),
                "unbound": (socket.AF_UNIX,)}[what]))
        p = run.start("true", stdin=stdin, stderr=-1)
        err = p.communicate(timeout=PATIENCE)[1]
    assert p.returncode == 1 and "descriptor 0" in err and err.count("\n") == 1, err
    run.nothing_left()


def test_standard_input_from_a_pair(run):
    """As programs hand it to their children."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"from outside\n")
        p = run.start("head", "-1", stdin=theirs, stdout=-1)
        assert p.communicate(timeout=PATIENCE)[0] == "from outside\n"


# -- what people run

PROGRAMS = {
    "python": ["/usr/bin/python3", "-c",
               "import asyncio, multiprocessing as m, subprocess\n"
               "async def run(): return await (await asyncio.create_subprocess_exec('true')).wait()\n"
               "assert asyncio.run(run()) == 0 and subprocess.check_output('id')\n"
               "with m.get_context('fork').Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]"],
    "git": ["sh", "-c", "rm -rf w && git clone -q https://github.com/acme/widgets w && git -C w fsck"],
    "curl": ["curl", "-kfsS", "https://pypi.example/"],
    "node": ["node", "-e", "const c = require('child_process');\n"
             "if (process.send) process.send('hello'), process.disconnect();\n"
             "else { c.execFileSync('id');\n"
             "  require('https').get({ host: 'pypi.example', rejectUnauthorized: false }, r => r.resume());\n"
             "  c.spawn(process.execPath, ['-e', \"process.send('up', () => process.disconnect())\"],\n"
             "    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }).on('message', m => console.log(m)); }"],
    "bash": ["bash", "-c", "set -m; sleep 1000 & jobs; kill -STOP %1; kill -CONT %1; kill %1; wait %1; "
             "[ $? = 143 ] && id && diff <(echo a) <(echo a)"],
}


@pytest.mark.parametrize("program", [p for p, argv in PROGRAMS.items() if shutil.which(argv[0])])
def test_programs_that_people_run(run, program):
    done = run(*PROGRAMS[program])
    assert done.returncode == 0 and "refused" not in done.stderr, done


# -- the end

def test_summary_names_each_refusal_once(run):
    done = run("sh", "-c", "for i in 1 2 3; do getent ahostsv4 evil.example; done; true")
    lines = done.stderr.splitlines()
    assert "1 refused" in lines[0] and len(lines) == 2, done.stderr
    assert "evil.example" in lines[1] and "name_not_allowed" in lines[1]


def test_address_refusal_is_in_the_summary(run, family):
    where = "192.0.2.7" if family == 4 else "[2001:db8::7]"
    done = run("curl", "-sS", "-m", "5", f"https://{where}/")
    assert "address_not_granted" in done.stderr and where + ":443" in done.stderr, done.stderr


def test_nothing_is_said_without_refusals(run):
    assert run("getent", "ahosts", "pypi.example").stderr == ""


def test_two_at_once(run):
    both = [run.start("sh", "-c", "ip -o -4 addr show eth0; read x", stdin=-1, stdout=-1) for _ in range(2)]
    addresses = {p.stdout.readline().split()[3] for p in both}
    names = [line.split()[0] for line in run.lab.cordon("ls").stdout.splitlines()[1:]]
    assert len(addresses) == 2 and len(names) == 2 and all(n.startswith("run-") for n in names)
    for p in both:
        p.communicate("\n")
        assert p.returncode == 0
    run.nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_command_and_leaves_nothing(run, number):
    p = run.start("sh", "-c", "echo ready; exec sleep 1000", stdout=-1)
    assert p.stdout.readline() == "ready\n"
    p.send_signal(number)
    assert p.wait(PATIENCE) == 128 + number
    run.nothing_left()


def test_command_that_holds_its_own_init(run):
    """It traces bubblewrap's reaper and outlives TERM: neither keeps the sandbox."""
    code = ("import ctypes, os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "l = ctypes.CDLL(None); assert l.ptrace(16, 1, 0, 0) == 0; os.waitpid(1, 0x40000000)\n"	# __WALL
            "print('ready', flush=True); time.sleep(1000)")
    p = run.start(sys.executable, "-c", code, stdout=-1)
    assert p.stdout.readline() == "ready\n"
    p.terminate()
    assert p.wait(PATIENCE) == 128 + signal.SIGKILL
    run.nothing_left()


def test_command_may_handle_the_signal(run):
    p = run.start("sh", "-c", "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done", stdout=-1)
    assert p.stdout.readline() == "ready\n"
    p.terminate()
    assert p.wait(PATIENCE) == 5
    assert p.stdout.read() == "bye\n"
    run.nothing_left()


def test_sigint_at_any_moment_leaves_nothing(run):
    for ms in range(0, 60, 4):
        p = run.start("sleep", "1000", stderr=-1)
        time.sleep(ms / 1000)
        p.send_signal(signal.SIGINT)
        assert p.wait(PATIENCE) in (130, -2), p.stderr.read()	# -2: before it could block the signal
        p.stderr.close()
        run.nothing_left()


def test_killed_run_leaves_nothing_but_its_lock_file(run):
    p = run.start("sh", "-c", "echo ready; exec sleep 1000", stdout=-1)
    assert p.stdout.readline() == "ready\n"
    p.kill()
    p.wait()
    wait_for("the kernel to remove the link", lambda: not run.links())
    wait_for("netd to forget it", lambda: not run.lab.cordon("ls").stdout.strip())
    assert run("true").returncode == 0			# takes the same number
    run.nothing_left()


def test_terminal_ctrl_c_reaches_only_the_command(run):
    """A program that handles SIGINT itself (a REPL) must live through Ctrl-C."""
    controller, terminal = pty.openpty()
    p = run.start("sh", "-c", "trap 'echo caught' INT; echo ready; read x; echo end; exit 3",
                  stdin=terminal, stdout=terminal, stderr=terminal,
                  preexec_fn=lambda: __import__("fcntl").ioctl(terminal, 0x540e, 0))	# TIOCSCTTY
    os.close(terminal)
    seen = b""

    def read_until(text):
        nonlocal seen
        while text not in seen:
            seen += os.read(controller, 1000)
    read_until(b"ready")
    os.write(controller, b"\x03")
    read_until(b"caught")
    os.write(controller, b"\n")
    assert p.wait(PATIENCE) == 3, seen
    os.close(controller)
    run.nothing_left()


def test_netd_restarted_meanwhile(labs):
    run = Runs(labs(sandbox=False))
    p = run.start("sh", "-c", "echo ready; read x; until getent ahosts pypi.example; do sleep 0.02; done",
                  stdin=-1, stdout=-1)
    assert p.stdout.readline() == "ready\n"
    before = run.lab.pids("cordon-netd")
    run.lab.signal("cordon-netd")
    wait_for("netd", lambda: run.lab.pids("cordon-netd") not in ([], before))
    wait_for("the registration", lambda: "run-" in run.lab.cordon("ls").stdout)
    out, _ = p.communicate("\n", timeout=PATIENCE)
    assert "198.18." in out and p.returncode == 0
    run.nothing_left()


def test_runs_start_and_stop_everything(labs):
    """Nothing is up: the first run brings it up, the last one takes all of it down again."""
    run = Runs(labs(up=False))
    first = run.start("sh", "-c", "echo ready; read x", stdin=-1, stdout=-1)
    assert first.stdout.readline() == "ready\n"
    assert run("true").returncode == 0
    assert run.lab.pids("cordon-netd")			# the other still runs
    first.communicate("\n")
    assert run.lab.gateway.pids("cordon-netd") == [] and run.lab.gateway.pids("cordon-super") == []
    assert run.lab.gateway.run(["nft", "list", "tables"]).stdout == ""
    rules = run.lab.gateway.run(["ip", "rule"]).stdout.split("\n")
    assert len([r for r in rules if r]) == 3


def test_in_a_container(labs):
    """Processes of its own, of which few are left: number 2, as bubblewrap's child is called inside, is none of them."""
    lab = labs(up=False)
    run = Runs(lab)
    container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", '/bin/true; exec "$@"', "sh"]
    done = lab.gateway.run([*container, f"{BUILD}/cordon", "run", "--config", lab.config_file, "--", "echo", "inside"], env=USER, cwd=run.dir)
    assert (done.returncode, done.stdout) == (0, "inside\n"), done.stderr
    assert run.links() == []


def test_sigint_while_everything_starts_leaves_nothing(labs):
    """Nothing is up: at whatever moment the person gives up, the host is as before."""
    run = Runs(labs(up=False))
    before = run.lab.gateway.run(["ip", "-6", "rule"]).stdout
    for ms in (5, 15, 25, 40, 60, 90, 130, 180, 240, 310, 400):
        p = run.start("sleep", "1000", stderr=-1)
        time.sleep(ms / 1000)
        p.send_signal(signal.SIGINT)
        assert p.wait(PATIENCE) in (130, -2), p.stderr.read()
        p.stderr.close()
        wait_for("the end of all that was begun", lambda: run.links() == [] and not any(
            run.lab.gateway.pids(d) for d in ("cordon-super", "cordon-netd", "cordon-dns", "cordon-gitproxy", "cordon-keeper")))
        assert run.lab.gateway.run(["nft", "list", "tables"]).stdout == ""
        assert run.lab.gateway.run(["ip", "-6", "rule"]).stdout == before


def test_what_up_started_stays(labs):
    run = Runs(labs(up=False))
    first = run.start("sh", "-c", "echo ready; read x", stdin=-1, stdout=-1)
    assert first.stdout.readline() == "ready\n"
    run.lab.up()
    first.communicate("\n")
    assert run.lab.pids("cordon-netd")
