"""labpush - a forge to push to, and clients that push by git or by hand

Theory of operation: a Forge is apache2 with git-http-backend as gitlab.com: TLS, a password that the gate's
credential alone knows, receive-pack as git has it. Between it and the gateway stands a Relay, which counts the
bytes of each direction and cuts where a test says. A Pushed repository's hooks tell what reached it, and say,
wait or die on demand. push_lab() is a lab in front of it with a sandbox per policy. Work is a clone inside a
sandbox; raw() speaks receive-pack by hand, for what git would not send.
"""

import base64
import contextlib
import itertools
import os
import random
import socket
import string
import struct
import subprocess
import threading
from dataclasses import dataclass, field

import labworld
from lab import AGENT, Lab, write
from labgit import GIT, Repository
from labhttp import FLUSH, Wire, chunks, pkt, post
from labnet import LabError, end_process, tool, wait_for
from labobjects import pack
from labwatch import same
from labworld import APACHE_CONF, MODULES, WWW, Request

HOST, PORT = "gitlab.com", 4430			# the relay listens where the world looks, apache behind it
TOKEN = "glpat-lab_0123456789abcdefghij"
USER = "x-access-token"
RECEIVE = "git-receive-pack"
ZERO = "0" * 40
CAPS = "report-status side-band-64k agent=git/2.39.5"
REFS = ["refs/heads/agent/*", "refs/tags/*", "refs/notes/**"]
PUSH = {"allowed_repos": ["acme/*"], "refs": REFS, "denied_paths": [".github/workflows/**"],
        "options": True}
POLICY = {**AGENT,
          "git": {**AGENT["git"], "allowed_hosts": [HOST], "allowed_repos": ["acme/*", "other/*"], "push": PUSH},
          "limits": {"git_transfers": 200, "new_connections_per_second": 1000}}
_names = itertools.count(1)


def policy(source="upstream", **push):
    """A profile that may push, with these keys changed."""
    return {**POLICY, "git": {**POLICY["git"], "source": source, "push": {**PUSH, **push}}}


FREE = {"refs": ["refs/**"], "force": True, "delete": True, "denied_paths": []}

SITE = """
LoadModule log_forensic_module /usr/lib/apache2/modules/mod_log_forensic.so
ForensicLog {begun}
<VirtualHost {listen}>
ServerName {host}
SSLEngine on
SSLCertificateFile {certs}/{host}.crt
SSLCertificateKeyFile {certs}/{host}.key
ScriptAlias / /usr/lib/git-core/git-http-backend/
SetEnv GIT_PROJECT_ROOT {repos}
SetEnv GIT_HTTP_EXPORT_ALL 1
SetEnv GIT_CONFIG_NOSYSTEM 1
SetEnvIf Git-Protocol "(.*)" GIT_PROTOCOL=$1
MaxKeepAliveRequests 0
<Location "/">
AuthType Basic
AuthName lab
AuthBasicProvider file
AuthUserFile {password}
Require valid-user
</Location>
</VirtualHost>
"""

GITCONFIG = """
[safe]
	directory = *
[http]
	sslCAInfo = {ca}
	extraHeader = "Authorization: {authorization}"
	curloptResolve = {host}:443:{address}
"""

# What a hook reads is kept, and the push options; then it does what stands below its name.
HOOK = """#!/bin/sh
name=$(basename "$0")
if [ "$name" = reference-transaction ]; then
	[ "$1" = committed ] || exit 0
fi
cd {say}
(env | grep ^GIT_PUSH_OPTION; cat) >"$name.now"
mv "$name.now" "$name.ran"
[ ! -e "$name.say" ] || cat "$name.say" >&2
while [ -e "$name.hold" ]; do sleep 0.02; done
[ ! -e "$name.kill" ] || kill -9 $PPID
[ ! -e "$name.exit" ]
"""
HOOKS = ("pre-receive", "reference-transaction", "post-receive")


class Pushed(Repository):
    """A bare repository upstream that is pushed to."""

    def __init__(self, root, name, commits=3, format="sha1", hooks=HOOKS):
        super().__init__(root, name, commits, host=HOST, format=format)
        self._say = f"{self.path}/say"
        os.mkdir(self._say)
        for hook in hooks:
            write(f"{self.path}/hooks/{hook}", HOOK.format(say=self._say), 0o755)
        self.git("config", "receive.advertisePushOptions", "true")
        self.git("config", "receive.denyDeleteCurrent", "ignore")

    def snapshot(self):
        """All that a push could change: references, and ids of objects."""
        return (self.git("for-each-ref", "--format=%(objectname) %(refname)"),
                self.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)"))

    def refs(self):
        """{name: id}"""
        out = self.git("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split() for line in out.splitlines())

    def give(self, branch, objects):
        """Upstream has these from elsewhere: the branch stands on the first of them."""
        subprocess.run(["git", "-c", "safe.directory=*", "-C", self.path, "unpack-objects", "-q"], input=pack(*objects),
                       check=True, env=GIT)
        self.git("update-ref", f"refs/heads/{branch}", objects[0].id)

    def has(self, *ids):
        """Whether it holds all of these objects."""
        return set(ids) <= set(self.snapshot()[1].split())

    def ran(self, hook="pre-receive"):
        """What the hook read, or None when it has not run."""
        with contextlib.suppress(FileNotFoundError):
            return open(f"{self._say}/{hook}.ran").read()
        return None

    def forget(self):
        """No hook has run yet."""
        for hook in HOOKS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._say}/{hook}.ran")

    def will(self, hook="pre-receive", do="exit", text=""):
        """From now on that hook does it: exit (with an error), say, hold, kill (what called it)."""
        write(f"{self._say}/{hook}.{do}", text)

    def release(self, hook="pre-receive"):
        os.unlink(f"{self._say}/{hook}.hold")

    @contextlib.contextmanager
    def held(self, hook="pre-receive"):
        """Pushes wait in that hook meanwhile; waiting() is true when one does."""
        self.forget()
        self.will(hook, "hold")
        try:
            yield lambda: wait_for(f"hook {hook}", lambda: self.ran(hook) is not None)
        finally:
            with contextlib.suppress(FileNotFoundError):
                self.release(hook)


class Relay:
    """TCP from gitlab.com's address to apache's port; knows no TLS."""

    def __init__(self, internet):
        self._internet, self._pairs, self._listener = internet, set(), None
        self._lock = threading.Lock()
        self.accepted = 0			# connections, ever
        self.reset()
        self.listen()

    def reset(self):
        """Cut nowhere, count from zero."""
        self.up = self.down = 0
        self._cut_up = self._cut_down = None

    def listen(self):
        self._listener = self._internet.listen(labworld.SERVICES[0], 443)
        self._listener.settimeout(None)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self):
        """Nobody gets in from now on, until listen()."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut_after(self, up=None, down=None):
        """Reset everything once that many more bytes went up, or down."""
        with self._lock:
            self._cut_up = None if up is None else self.up + up
            self._cut_down = None if down is None else self.down + down

    def cut(self):
        """Reset all connections now."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
            self._cut_up = self._cut_down = None
        for s in itertools.chain(*pairs):
            with contextlib.suppress(OSError):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)		# wakes who reads from it
                s.close()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                client.settimeout(None)
                try:
                    server = self._internet.connect("127.0.0.1", PORT)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                pair = (client, server)
                with self._lock:
                    self.accepted += 1
                    self._pairs.add(pair)
                for way in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=(pair, *way), daemon=True).start()

    def _carry(self, pair, source, target, up):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                data, cut = self._count(data, up)
                target.sendall(data)
                if cut:
                    self.cut()
                    return
            target.shutdown(socket.SHUT_WR)
            return
        for s in pair:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def _count(self, data, up):
        """What of it may pass, and whether that was the last."""
        with self._lock:
            now, limit = (self.up, self._cut_up) if up else (self.down, self._cut_down)
            cut = limit is not None and now + len(data) >= limit
            if cut:
                data = data[:limit - now]
            if up:
                self.up += len(data)
            else:
                self.down += len(data)
            return data, cut


class Forge:
    """gitlab.com, when the lab's `hosts` says so."""

    CONFIG = {HOST: labworld.SERVICES[0]}

    def __init__(self, lab, relay=True):
        """relay=False: apache itself stands where the world looks."""
        self.lab, self.dir, self.root = lab, f"{lab.dir}/forge", f"{lab.dir}/forge/repos"
        self._address = ("127.0.0.1", PORT) if relay else (labworld.SERVICES[0], 443)
        os.makedirs(self.root)
        hashed = tool("openssl", "passwd", "-apr1", "-stdin", text=TOKEN).strip()
        write(f"{self.dir}/password", f"{USER}:{hashed}\n")
        modules = "\n".join(f"LoadModule {n}_module /usr/lib/apache2/modules/mod_{f}.so" for n, f in MODULES.items())
        listen = f"{self._address[0]}:{self._address[1]}"
        site = SITE.format(listen=listen, host=HOST, certs=lab.world.certs, repos=self.root,
                           password=f"{self.dir}/password", begun=f"{self.dir}/begun.log")
        write(f"{self.dir}/httpd.conf", APACHE_CONF.format(dir=self.dir, uid=WWW, listen=f"Listen {listen}",
                                                           modules=modules, sites=site))
        write(f"{self.dir}/gitconfig", GITCONFIG.format(ca=lab.world.ca_file, authorization=authorization(), host=HOST,
                                                        address=labworld.SERVICES[0]))
        self.start()
        self.relay = Relay(lab.internet) if relay else None

    def start(self):
        self._process = self.lab.internet.start(["apache2", "-D", "FOREGROUND", "-f", f"{self.dir}/httpd.conf"])
        wait_for("apache2", self._ready)

    def _ready(self):
        if self._process.poll() is not None:
            raise LabError(f"apache2 ended: {open(self.dir + '/error.log').read()}")
        return self.lab.internet.listening(*self._address)

    def kill(self):
        """Every process of it, and what they run for requests; start() brings it back."""
        process, self._process = self._process, None
        self.lab.internet.processes.remove(process)
        for pid in [process.pid, *below(process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        end_process(process)

    def reset(self):
        if not self._process:
            self.start()
        self.relay.reset()

    def repository(self, name, **kw):
        return Pushed(self.root, name, **kw)

    def requests(self, **fields):
        """What was answered, oldest first; fields select (method="POST")."""
        with open(f"{self.dir}/access.log", errors="replace") as f:
            got = [Request(line.rstrip("\n")) for line in f]
        return [r for r in got if all(getattr(r, k) == v for k, v in fields.items())]

    @property
    def env(self):
        """With it git in the internet itself has the credential."""
        return {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": f"{self.dir}/gitconfig", "GIT_TERMINAL_PROMPT": "0"}

    def posts(self, repo):
        """How many pushes of this repository have reached its web server, which notes them before it does anything."""
        text = f"|POST /{repo.name}.git/{RECEIVE} HTTP/"
        with open(f"{self.dir}/begun.log", errors="replace") as f:
            return sum(text in line for line in f)

    def direct(self, *argv, **kw):
        """git, with nothing between it and the server."""
        return self.lab.internet.run(["git", *argv], env=self.env, **kw)


def authorization():
    return "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()


def below(pid):
    """Every process that comes from this one."""
    found, last = [], [pid]
    while last:
        children = []
        for parent in last:
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{parent}/task"):
                    children += map(int, open(f"/proc/{parent}/task/{task}/children").read().split())
        found += children
        last = children
    return found


# ---- the lab

@contextlib.contextmanager
def push_lab(world, profiles, *, times=None, prepare=None, config=None, git=None, relay=True):
    """A lab with a Forge as lab.forge. The first profile is vm0's, the second vm1's, and so on.

    times: git.timeouts; prepare(lab): before it is up; git: further keys of the configuration's `git`.
    """
    from test_credentials import Secrets
    with Lab(world, profiles=profiles) as lab:
        lab.secrets = Secrets(lab)
        lab.mirrors = f"{lab.dir}/state/mirrors"	# as we see it
        lab.exceptions = f"{lab.dir}/exceptions.yaml"
        write(lab.exceptions, "version: 1\nexceptions:\n")
        lab.configure({
            "hosts": Forge.CONFIG,
            "credentials": [{"name": "forge", "match": f"{HOST}/*", "username": USER,
                             "token_file": lab.secrets.put("forge", TOKEN + "\n")}],
            "git": {"upstream_ca_file": lab.world.ca_file, "timeouts": times or {}, "mirrors": {"window": "1ms"},
                    "scan": {"exceptions": lab.exceptions}, **(git or {})}, **(config or {})})
        text = open(lab.config_file).read()		# times stand without quotes
        for value in ("1ms", *(times or {}).values()):
            text = text.replace(f'"{value}"', value)
        write(lab.config_file, text)
        if prepare:
            prepare(lab)
        lab.forge = Forge(lab, relay)
        lab.up()
        for n, name in enumerate(profiles):
            lab.add_sandbox(f"vm{n}", name)
        yield lab
        assert not lab.problems(), lab.problems()


@contextlib.contextmanager
def refused(lab, repo, reason, event="push"):
    """What is pushed meanwhile reaches nobody, and the audit has one line that says why; [that line], afterwards.

    reason: the one, or some of which it is one. event: None where it is the proxy's or the gate's; where the gate
    could not even read who asks what, it is both's, each in its own file.
    """
    repo.forget()
    before, posts, found = repo.snapshot(), lab.forge.posts(repo), []
    lab.audit.mark()
    yield found
    lab.audit.wait(repo=repo.name, decision="deny", **({"event": event} if event else {}))
    events = lab.audit.events(repo=repo.name, decision="deny")
    reasons = {e["reason"] for e in events}
    assert len(reasons) == 1 and same(reasons.pop(), reason), lab.audit.describe()
    found += [e for e in events if event in (e["event"], None)]
    assert len(found) == len({e["event"] for e in found}), lab.audit.describe()
    del found[1:]
    assert len(found) == 1 and found[0].get("count", 1) == 1, lab.audit.describe()
    assert repo.snapshot() == before and repo.ran() is None and lab.forge.posts(repo) == posts, "it reached upstream"
    if event == "push":
        assert found[0]["outcome"] == "rejected"


def forwarded(lab, repo, **fields):
    """The one line that the audit has for a push that upstream took; mark() stands before it."""
    event, = lab.audit.wait(event="push", repo=repo.name)
    assert (event["decision"], event["outcome"]) == ("allow", "forwarded"), event
    assert {k: event[k] for k in fields} == fields, event
    assert not lab.audit.events(repo=repo.name, decision="deny"), lab.audit.describe()
    return event


def token():
    """A secret that nobody else has."""
    return b"ghp_" + "".join(random.SystemRandom().choices(string.ascii_letters + string.digits, k=36)).encode()


# ---- clients

@dataclass
class Report:
    """What receive-pack answered: unpack, {ref: "ok" or why not}, what stood on band 2."""
    unpack: str = None
    refs: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    progress: str = ""
    body: bytes = b""

    def why(self):
        """The one reason for all refs."""
        reasons = {text.split(":")[0] for text in self.refs.values()}
        assert len(reasons) == 1, self
        return reasons.pop()


def lines_of(data):
    """pkt-lines of data to its end: bytes, or None for a flush. AssertionError when they are none."""
    at, out = 0, []
    while at < len(data):
        n = int(data[at:at + 4], 16)
        assert n == 0 or 4 <= n <= len(data) - at, f"a length that lies: {data[at:at + 40]}"
        out.append(data[at + 4:at + n] if n else None)
        at += max(n, 4)
    return out


def report_of(body, banded=True):
    """The Report in an answer, which must be whole: flushes where git wants them, nothing behind."""
    report, text = Report(body=body), body
    if banded:
        lines = lines_of(body)
        assert lines and lines[-1] is None and None not in lines[:-1], body
        text = b"".join(line[1:] for line in lines[:-1] if line[:1] == b"\1")
        report.progress = b"".join(line[1:] for line in lines[:-1] if line[:1] == b"\2").decode()
        assert all(line[:1] in (b"\1", b"\2") for line in lines[:-1] if line), body
    if not text:
        return report
    lines = lines_of(text)
    assert lines[-1] is None and None not in lines[:-1], body
    last = None
    for line in (line.decode().rstrip("\n") for line in lines[:-1]):
        word, _, rest = line.partition(" ")
        if word == "unpack":
            assert report.unpack is None
            report.unpack = rest
        elif word == "option":
            report.options.setdefault(last, []).append(rest)
        else:
            assert word in ("ok", "ng"), line
            last, _, why = rest.partition(" ")
            assert last not in report.refs, "told twice"
            report.refs[last] = "ok" if word == "ok" else why
    return report


def commands(*rows, caps=CAPS, options=None):
    """pkt-lines of (old, new, ref), capabilities on the first, the flush; push options (a list) and theirs."""
    out = b""
    for n, (old, new, ref) in enumerate(rows):
        ref = ref if isinstance(ref, bytes) else ref.encode()
        out += pkt(f"{old} {new} ".encode() + ref + (b"\0 " + caps.encode() if n == 0 else b""))
    out += FLUSH
    if options is not None:
        out += b"".join(pkt(o) for o in options) + FLUSH
    return out


def create(repo, objects, ref="refs/heads/agent/x", new=None, **kw):
    """A whole request that creates a ref at the first of the objects."""
    format = objects[0].format
    zero = "0" * (64 if format == "sha256" else 40)
    caps = CAPS + (" object-format=sha256" if format == "sha256" else "")
    return commands((zero, (new or objects[0]).id, ref), **{"caps": caps, **kw}) + pack(*objects, format=format)


def raw(lab, repo, body, *, sandbox=None, fields=(), chunked=False, host=HOST, timeout=60, size=65536):
    """POST it; the response."""
    sent = chunks(body, size) if chunked else body
    fields = [*fields, *(["Transfer-Encoding: chunked"] if chunked else [])]
    with Wire(sandbox or lab.sandbox, host, timeout=timeout) as wire:
        return wire.send(post(f"{repo.name}.git", sent, *fields, service=RECEIVE, length=not chunked, host=host,
                              protocol=0)).response()


def push_raw(lab, repo, body, **kw):
    """POST it; the Report, of an answer as receive-pack's."""
    got = raw(lab, repo, body, **kw)
    assert got.status == 200 and got.fields["content-type"] == f"application/x-{RECEIVE}-result", got
    return report_of(got.body)


class Work:
    """A clone in a sandbox."""

    def __init__(self, lab, repo, *options, sandbox=None):
        self.sandbox, self.repo = sandbox or lab.sandbox, repo
        self.name = f"w{next(_names)}"
        home = f"{self.sandbox.dir}/home"
        if not os.path.exists(f"{home}/.gitconfig"):
            write(f"{home}/.gitconfig", "[user]\n\tname = A\n\temail = a@lab.invalid\n")
        done = self.sandbox.git("clone", "-q", *options, repo.url, self.name)
        assert done.returncode == 0, done.stderr + lab.logs()
        self.path = f"{home}/{self.name}"

    def git(self, *argv, **kw):
        return self.sandbox.git("-C", self.name, *argv, **kw)

    def must(self, *argv, **kw):
        done = self.git(*argv, **kw)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, files=None, message="change", parent="HEAD"):
        """A commit on what is checked out; its id. files: {path: text or bytes}, else one unlike any other."""
        for path, data in (files or {"file": f"change {next(_names)}\n"}).items():
            path = f"{self.path}/{path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data.encode() if isinstance(data, str) else data)
        self.must("add", "-A")
        self.must("commit", "-q", "--allow-empty", "-m", message)
        return self.must("rev-parse", "HEAD")

    def push(self, *argv, **kw):
        """git push to upstream; CompletedProcess. Nothing may ask or hang."""
        return self.git("push", *(a for a in argv if a.startswith("-")), "origin",
                        *(a for a in argv if not a.startswith("-")), **kw)
