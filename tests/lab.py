"""lab - sandboxes, the gateway that Cordon runs in, and an internet, in namespaces of this machine

    sandbox(es) --- tap0.. [ gateway: cordon ] up0 --- in0 [ internet ]

Theory of operation: a Lab is three or more namespaces `cordon-PID-{sandbox,gateway,internet}` and a
directory that holds everything Cordon reads or writes (cordon.yaml, profiles/, run/, state/, log/).
Sandboxes are hand-made: addresses, a default route, a resolv.conf that names 8.8.8.8, and Cordon's CA in
their trust store; nothing of Cordon runs inside. Programs come from the build tree that $B names. Any
number of labs may run at once. close() is safe to call at any moment and twice; what a killed lab leaves
is swept by the next.
"""

import atexit
import contextlib
import functools
import glob
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import tempfile

import labworld
from labnet import PREFIX, LabError, Space, stat_of, sweep, wait_for
from labwatch import MARKER_PORT, Audit, Capture
from labworld import GATEWAY, ROUTER, Internet, World
from reference import undocumented

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("B", "build/out"))
DAEMONS = ("cordon-netd", "cordon-inspect", "cordon-dns", "cordon-gitproxy", "cordon-keeper", "cordon-mirror")
DIED = re.compile(r"event=part_ended|Assertion")
SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|runtime error:")

CONFIG = {
    "uplink": ["up0"],
    "sandbox_interfaces": ["tap*", "cdn*"],
    "sandbox_networks": ["10.1.0.0/16", "10.199.0.0/16", "fd00:1::/48", "fd63:6f72:6472::/64"],
    "ca": {"names": ["github.com", "gitlab.com", "cordon.internal"]},
}

# The profile that most tests want.
AGENT = {
    "network": {
        "default": "deny",
        "allow": [
            {"host": "pypi.example"},
            {"host": "*.files.example"},
            {"host": "tcp.example", "ports": [7000, 5432], "protocol": "tcp"},
            {"host": "udp.example", "ports": [7000], "protocol": "udp"},
            {"host": "ssh.example", "ports": [22], "protocol": "ssh"},
        ],
        "deny": [{"host": "denied.files.example"}],
    },
    "git": {
        "enabled": True, "source": "upstream", "allowed_hosts": ["github.com"],
        "allowed_repos": ["acme/widgets"],
    },
}


def row(*names, families=(4, 6)):
    """Mark a test as (part of) rows of threats, e.g. @row("B7"). A `family` parameter narrows families."""
    import pytest
    return pytest.mark.row(names, families)


def write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def spelled(address):
    """As the kernel and the audit log spell it."""
    return str(ipaddress.ip_address(address))


@functools.cache
def open_build():
    """The programs where anybody may run them: a tree below a home that is closed to others is copied."""
    folders = [BUILD]
    while folders[-1] != "/":
        folders.append(os.path.dirname(folders[-1]))
    if all(os.stat(folder).st_mode & 1 for folder in folders):
        return BUILD
    copied = tempfile.mkdtemp(prefix="cordon-programs-", dir="/tmp")
    atexit.register(shutil.rmtree, copied, ignore_errors=True)
    os.chmod(copied, 0o755)
    for program in glob.glob(f"{BUILD}/cordon*"):
        shutil.copy(program, copied)
    return copied


class Sandbox(Space):
    """A guest: root inside, one interface. `index` numbers its networks."""

    def __init__(self, lab, name, index, suffix):
        self.lab, self.guest, self.index = lab, name, index
        self.profile = None
        self.dir = f"{lab.dir}/{name}"
        self.interface = f"tap{index}"
        self.mac = f"06:00:0a:01:{index:02x}:02"
        self.address = (f"10.1.{index}.2", spelled(f"fd00:1:0:{index:x}::2"))
        self.gateway = (f"10.1.{index}.1", spelled(f"fd00:1:0:{index:x}::1"))
        os.makedirs(f"{self.dir}/home", mode=0o755)
        self.ca_bundle = f"{self.dir}/ca-certificates.crt"
        self.resolv = f"{self.dir}/resolv.conf"
        write(f"{self.dir}/nsswitch.conf", "hosts: files dns\npasswd: files\ngroup: files\n")
        write(self.resolv, "nameserver 8.8.8.8\noptions timeout:1 attempts:5\n")	# a lost query costs a second
        write(self.ca_bundle, open(lab.world.ca_file).read())
        super().__init__(f"{lab.prefix}-{suffix}", {
            "/etc/resolv.conf": self.resolv,
            "/etc/nsswitch.conf": f"{self.dir}/nsswitch.conf",
            "/etc/ssl/certs/ca-certificates.crt": self.ca_bundle,
        })
        self._wire()
        self.hold()

    def _wire(self):
        gw = self.lab.gateway
        self.sysctl(net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__all__accept_dad=0)
        self.ip("link set lo up",
                f"link add eth0 address {self.mac} type veth peer name {self.interface} netns {gw.name}",
                f"addr add {self.address[0]}/24 dev eth0",
                f"addr add {self.address[1]}/64 dev eth0 nodad",
                "link set eth0 up")
        gw.ip(f"addr add {self.gateway[0]}/24 dev {self.interface}",
              f"addr add {self.gateway[1]}/64 dev {self.interface} nodad",
              f"link set {self.interface} up")
        self.ip(f"route add default via {self.gateway[0]}", f"route add default via {self.gateway[1]}")

    def trust_cordon(self):
        """Cordon's CA into the trust store, as the guest's image would have it."""
        write(self.ca_bundle, open(self.lab.world.ca_file).read() + self.lab.ca_certificate())

    def run(self, argv, **kw):
        kw["env"] = {"HOME": f"{self.dir}/home", "GIT_TERMINAL_PROMPT": "0", **(kw.get("env") or {})}
        kw.setdefault("cwd", f"{self.dir}/home")
        return super().run(argv, **kw)

    def dig(self, name, kind="A", *options, server="8.8.8.8"):
        """dig's text; `+noall +answer` and the like as options."""
        return self.run(["dig", f"@{server}", "+tries=1", "+time=5", *options, name, kind]).stdout

    def resolve(self, name, family=4):
        """The synthetic address of a name."""
        out = self.dig(name, "AAAA" if family == 6 else "A", "+short").split()
        if not out or ";" in out[0]:
            raise AssertionError(f"{name} does not resolve: {' '.join(out)}\n{self.lab.audit.describe()}")
        return out[-1]

    def curl(self, url, *options, family=None, timeout=15):
        """CompletedProcess of curl; its output ends with a line `HTTP-status`."""
        which = [f"-{family}"] if family else []
        return self.run(["curl", "-sS", "-m", str(timeout), *which, "-w", "\\n%{http_code}\\n", *options, url],
                        timeout=timeout + 10)

    def fetches(self, url, *options, **kw):
        """Whether curl gets a 200 from there."""
        done = self.curl(url, *options, **kw)
        return done.returncode == 0 and done.stdout.endswith("\n200\n")

    def git(self, *argv, **kw):
        return self.run(["git", *argv], **kw)


class Lab:
    """One lab. Use as a context manager, or the fixtures of conftest.py."""

    _count = 0

    def __init__(self, world=None, config=None, profiles=None, accounts=False):
        Lab._count += 1
        n = f".{Lab._count}" if Lab._count > 1 else ""
        self.prefix = f"{PREFIX}{os.getpid()}{n}"
        self._stack = contextlib.ExitStack()
        self.build = BUILD
        self.up_called = False
        self.signalled = False		# by us: then a daemon may have died
        self.sandboxes = {}
        self._used = None
        with self._closing_on_error():
            sweep()
            self.dir = tempfile.mkdtemp(prefix=f"{self.prefix}-", dir="/tmp")
            self._stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
            os.chmod(self.dir, 0o755)
            self.world = world or World(f"{self.dir}/world")
            self.log_dir = f"{self.dir}/log"
            self.config_file = f"{self.dir}/cordon.yaml"
            os.mkdir(f"{self.dir}/profiles", 0o755)
            self.configure(config)
            for name, body in {"agent": AGENT, "default": AGENT, **(profiles or {})}.items():
                self.profile(name, body)
            self._build_network(accounts)
            self.audit = Audit(self.log_dir)

    @contextlib.contextmanager
    def _closing_on_error(self):
        try:
            yield
        except BaseException:
            self._stack.close()
            raise

    # -- configuration. YAML is written as JSON, which it contains.

    def configure(self, config=None):
        """Write cordon.yaml: CONFIG with the lab's directories, and these keys over it."""
        directories = {k: f"{self.dir}/{k}" for k in ("run", "state", "log")}
        value = {"version": 1, **CONFIG, "directories": directories,
                 "git": {"upstream_ca_file": self.world.ca_file}, **(config or {})}
        write(self.config_file, json.dumps(value, indent=1) + "\n")

    def profile(self, name, body):
        """Write profiles/NAME.yaml from a dict (what stands below `sandbox:`) or text."""
        if not isinstance(body, str):
            body = json.dumps({"version": 1, "sandbox": body}, indent=1) + "\n"
        write(f"{self.dir}/profiles/{name}.yaml", body)

    # -- network

    def _space(self, cls, *args):
        space = cls(*args)
        self._stack.callback(space.close)
        return space

    def _accounts(self):
        """passwd with the keeper's account, which ssh wants to see; deploy/sysusers.d makes it where it is installed."""
        text = open("/etc/passwd").read()
        if "\ncordon-keeper:" not in text:
            text += "cordon-keeper:*:63965:63960::/nonexistent:/usr/sbin/nologin\n"
        write(f"{self.dir}/gateway-passwd", text)
        return {"/etc/passwd": f"{self.dir}/gateway-passwd"}

    def _build_network(self, accounts):
        resolv = f"{self.dir}/gateway-resolv.conf"
        write(resolv, f"nameserver {labworld.DNS[0]}\n")
        self.gateway = self._space(Space, f"{self.prefix}-gateway", {"/etc/resolv.conf": resolv, **(self._accounts() if accounts else {})})
        self.internet = self._space(Internet, f"{self.prefix}-internet", self.world, self.dir)
        self.dns, self.web = self.internet.dns, self.internet.web
        for space in (self.gateway, self.internet):
            space.sysctl(net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__all__accept_dad=0)
        addresses = [f"addr add {a}/{'64 nodad' if ':' in a else '24'} dev in0"
                     for a in ROUTER]
        addresses += [f"addr add {a}/{'128 nodad' if ':' in a else '32'} dev in0"
                      for pair in labworld.ALL[1:] for a in pair]
        self.internet.ip("link set lo up",
                         f"link add in0 type veth peer name up0 netns {self.gateway.name}", *addresses,
                         "link set in0 up")
        self.gateway.ip("link set lo up", f"addr add {GATEWAY[0]}/24 dev up0",
                        f"addr add {GATEWAY[1]}/64 dev up0 nodad", "link set up0 up",
                        f"route add default via {ROUTER[0]}", f"route add default via {ROUTER[1]}")
        self.internet.ip(f"route add default via {GATEWAY[0]}", f"route add default via {GATEWAY[1]}")
        self.gateway.hold()
        self.internet.serve()
        self._marker = self.gateway.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._stack.callback(self._marker.close)

    def marker(self, text):
        """A datagram from the gateway to the internet, for Capture.settle()."""
        self._marker.sendto(text, (ROUTER[0], MARKER_PORT))

    def capture(self):
        """What arrives in the internet from now on. Also a context manager."""
        return Capture(self.internet, "in0", self.marker)

    # -- Cordon

    def cordon(self, command, *args, **kw):
        """Run `cordon COMMAND --config ... ARGS` in the gateway. CompletedProcess."""
        return self.gateway.run([f"{self.build}/cordon", command, "--config", self.config_file, *args], **kw)

    def up(self):
        """Ruleset and daemons."""
        if not os.path.exists(f"{BUILD}/cordon"):
            raise LabError(f"{BUILD}/cordon is not built: make")
        self.up_called = True
        self._stack.callback(self.shut)
        self.cordon("up", check=True)
        for sandbox in self.sandboxes.values():
            sandbox.trust_cordon()
        return self

    def shut(self):
        """`cordon down`; what that does not end, close() does."""
        if self.up_called:
            self.up_called = False
            with contextlib.suppress(Exception):
                self.cordon("down", timeout=20)

    def add_sandbox(self, name="vm0", profile="agent", register=True):
        """Make a sandbox and `cordon add` it. The first one's namespace is cordon-PID-sandbox."""
        index = len(self.sandboxes)
        sandbox = self._space(Sandbox, self, name, index, f"sandbox{index or ''}")
        self.sandboxes[name] = sandbox
        if self.up_called:
            sandbox.trust_cordon()
        if register:
            self.register(sandbox, profile)
        return sandbox

    def register(self, sandbox, profile="agent", check=True):
        """`cordon add`."""
        sandbox.profile = profile
        return self.cordon("add", sandbox.guest, "--interface", sandbox.interface, "--mac", sandbox.mac,
                           "--ip", sandbox.address[0], "--ip", sandbox.address[1], "--profile", profile,
                           check=check)

    @property
    def sandbox(self):
        """The first sandbox, or the one that use() chose."""
        return self.sandboxes.get(self._used) or next(iter(self.sandboxes.values()))

    def use(self, name):
        """`sandbox` is this one from now on."""
        self._used = name
        self.audit.watch({name})

    def renew(self, suffix=""):
        """Register every sandbox anew, as NAME-SUFFIX; Audit.events() goes on showing it as NAME.

        Refusals of one key within ten seconds are one line, so tests that share a sandbox would wait for
        each other's lines, or find them. A test that does this has its own keys. Connections that were left are
        reset before: their late packets would be refused, as nobody's.
        """
        shown = {}
        for name, sandbox in self.sandboxes.items():
            new = name + suffix
            if sandbox.guest != new:
                sandbox.end_connections()
                self.cordon("rm", sandbox.guest, check=True)
                sandbox.guest = new
                self.register(sandbox, sandbox.profile)
            shown[new] = name
        self.audit.watch(shown)

    def ca_certificate(self):
        """PEM of Cordon's CA, the public part."""
        return wait_for("Cordon's CA", lambda: next(
            (open(f).read() for f in glob.glob(f"{self.dir}/state/ca/*.[pc][er][mt]")
             if "BEGIN CERTIFICATE" in open(f).read()), None))

    def pids(self, daemon):
        """Process ids of a daemon by its name, e.g. "cordon-netd"."""
        return self.gateway.pids(daemon)

    def daemon(self, name):
        """Its process, and no child that is about to be another program and bears its name for a moment."""
        pids = self.pids(name)
        return next(p for p in pids if stat_of(p)[1] not in (None, *pids))

    def signal(self, daemon, number=signal.SIGKILL):
        """Send a signal to every process of that name; their pids."""
        self.signalled = True
        pids = self.pids(daemon)
        if not pids:
            raise LabError(f"{daemon} does not run")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    @staticmethod
    def resume(pid):
        """SIGCONT after a SIGSTOP; it may have been replaced meanwhile."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def problems(self):
        """What the daemons' logs hold that no test may pass with: sanitizer reports, deaths, undocumented lines."""
        found = []
        for name in sorted(glob.glob(f"{self.log_dir}/*.log")):
            text = open(name, errors="replace").read()
            if SANITIZER.search(text) or (not self.signalled and DIED.search(text)):
                found.append(f"--- {os.path.basename(name)}\n{text[-20000:]}")
        for name in sorted(glob.glob(f"{self.log_dir}/*.jsonl")):
            found += [f"{os.path.basename(name)}: {what}: docs/audit.md does not have it" for what in undocumented(name)]
        return found

    def logs(self):
        """Everything the daemons said, for a failure's report."""
        return "\n".join(f"--- {os.path.basename(n)}\n{open(n, errors='replace').read()[-4000:]}"
                         for n in sorted(glob.glob(f"{self.log_dir}/*.log")))

    def close(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
