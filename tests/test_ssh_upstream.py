"""Repositories whose upstream is reached by ssh, served to clients of https by way of the mirror.

The server is OpenSSH's sshd in the lab's internet, with a user `git` whose home holds the repositories.
"""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from lab import AGENT, Lab, write
from labgit import Repository
from labhttp import Wire, get
from labnet import ENV, PATIENCE, LabError, tool, wait_for
from labtcp import SYN
from labworld import GITHUB, WWW
from test_credentials import Secrets
from test_privilege import NONE, UNIX, check_closed, check_descriptors, check_rights

GIT = {"enabled": True, "source": "host_mirror", "allowed_hosts": ["github.com"], "allowed_repos": ["acme/*"]}
SSHD = """
Port 22
{listen}
HostKey {dir}/host_key
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {dir}/authorized_keys
AllowUsers git
{accept}
ForceCommand {dir}/command
"""
# Says what it was asked, waits while it is told to, and does it.
COMMAND = """#!/bin/sh
echo "$SSH_ORIGINAL_COMMAND|$GIT_PROTOCOL" >>{dir}/commands
if [ -e {dir}/hold ] && [ "$(wc -l <{dir}/commands)" -gt "$(cat {dir}/hold)" ]; then
	while [ -e {dir}/hold ]; do sleep 0.05; done
fi
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""
ASKED = {"for": "mirror"}		# the event of what the mirror asked, not of what that meant for a sandbox


def keygen(path):
    """A new key pair at the path; "ssh-ed25519 AAAA..." of it."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path)
    return " ".join(open(f"{path}.pub").read().split()[:2])


def fingerprint(path):
    return tool("ssh-keygen", "-lf", f"{path}.pub").split()[1]


class Sshd:
    """The server; `accept`: it passes GIT_PROTOCOL on."""

    def __init__(self, lab):
        self.lab, self.dir, self.process = lab, f"{lab.dir}/sshd", None
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o777)
        write(f"{self.dir}/passwd", open("/etc/passwd").read() + f"git:*:{WWW}:{WWW}::{lab.world.repos}:/bin/sh\n")
        write(f"{self.dir}/commands", "", 0o666)
        write(f"{self.dir}/command", COMMAND.format(dir=self.dir), 0o755)
        self.host_key = keygen(f"{self.dir}/host_key")

    def allow(self, public_key):
        write(f"{self.dir}/authorized_keys", public_key + "\n")

    def start(self, accept=True):
        listen = "\n".join(f"ListenAddress {f'[{a}]' if ':' in a else a}" for a in GITHUB)
        write(f"{self.dir}/config", SSHD.format(dir=self.dir, listen=listen,
                                                accept="AcceptEnv GIT_PROTOCOL" if accept else ""))
        script = (f"mount --bind {self.dir}/passwd /etc/passwd && mount -t tmpfs none /run && mkdir /run/sshd && "
                  f"exec /usr/sbin/sshd -D -e -f {self.dir}/config")
        self.process = self.lab.internet.start(["unshare", "--mount", "sh", "-c", script],
                                               stderr=open(f"{self.dir}/log", "a"))
        wait_for("sshd", self._ready)

    def _ready(self):
        if self.process.poll() is not None:
            raise LabError(f"sshd ended: {open(self.dir + '/log').read()}")
        return self.lab.internet.listening(GITHUB[0], 22)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.lab.internet.processes.remove(self.process)

    def commands(self):
        """What git was asked for, and the GIT_PROTOCOL that came along."""
        return [tuple(line.split("|")) for line in open(f"{self.dir}/commands").read().splitlines()]

    @contextlib.contextmanager
    def hold(self, after=0):
        """Connections beyond that many wait meanwhile."""
        write(f"{self.dir}/hold.new", f"{after}\n")
        os.rename(f"{self.dir}/hold.new", f"{self.dir}/hold")
        try:
            yield
        finally:
            os.unlink(f"{self.dir}/hold")


class Setting:
    def __init__(self, lab, first_byte=None):
        self.lab, self.secrets, self.sshd = lab, Secrets(lab), Sshd(lab)
        public = keygen(f"{self.sshd.dir}/identity")
        self.sshd.allow(public)
        self.identity = self.secrets.put("deploy_key", open(f"{self.sshd.dir}/identity").read())
        lab.configure({"credentials": [{"name": "deploy", "match": "github.com/acme/*", "transport": "ssh",
                                        "identity_file": self.identity,
                                        "known_host_key": self.sshd.host_key}]})
        if first_byte:		# times stand without quotes
            text = open(lab.config_file).read()
            write(lab.config_file, text.replace('"git": {', '"git": { "timeouts": {"first_byte": %s},' % first_byte))
        self.origin = Repository(lab.world.repos, f"acme/s{os.getpid()}")
        self.url = self.origin.url

    def clone(self, to, *options):
        done = self.lab.sandbox.git("clone", "-q", *options, self.url, to)
        assert done.returncode == 0, done.stderr + self.lab.logs()
        return self.lab.sandbox.git("-C", to, "rev-parse", "HEAD").stdout.strip()

    def ls_remote(self, *options):
        return self.lab.sandbox.git(*options, "ls-remote", "--symref", self.url)

    def refused(self, reason, **fields):
        """A client is told so; the keeper's event that says why."""
        done = self.ls_remote()
        assert done.returncode and reason in done.stderr, done.stderr + self.lab.logs()
        return self.lab.audit.wait(src="keeper", event="upstream", reason=reason, **fields)[0]


@pytest.fixture
def setting(world, request):
    """setting(**options): a lab that is up, with an sshd that is not."""
    with contextlib.ExitStack() as stack:
        def make(lfs=False, **options):
            profile = {**AGENT, "git": {**GIT, "lfs": lfs}}
            lab = stack.enter_context(Lab(world, profiles={"agent": profile, "default": profile}, accounts=True))
            request.node.labs = [lab]
            s = Setting(lab, **options)
            stack.callback(s.origin.remove)
            stack.callback(check, lab)
            lab.up()
            lab.add_sandbox()
            return s

        def check(lab):
            assert not lab.problems(), lab.problems()
        yield make


@pytest.mark.parametrize("accept", [True, False], ids=["v2", "v0"])
def test_clone_and_fetch(setting, accept):
    """From a server that speaks protocol v2, and one that was not told that the client does."""
    s = setting()
    s.sshd.start(accept)
    s.origin.git("-c", "user.name=A", "-c", "user.email=a@lab.invalid", "tag", "-a", "-m", "said", "annotated", "main")
    assert s.clone("one") == s.origin.tip()
    assert s.lab.sandbox.git("-C", "one", "fsck", "--strict").returncode == 0
    assert s.clone("shallow", "--depth", "1") == s.origin.tip()
    assert s.clone("partial", "--filter=blob:none") == s.origin.tip()
    listed = s.ls_remote().stdout
    there = [f"{s.origin.tip()} HEAD", *s.origin.git("show-ref", "-d").splitlines()]
    assert listed.splitlines() == ["ref: refs/heads/main\tHEAD", *(line.replace(" ", "\t") for line in there)]
    assert "annotated^{}" in listed
    more = s.origin.commit()
    done = s.lab.sandbox.git("-C", "one", "fetch", "-q", "origin")
    assert done.returncode == 0, done.stderr + s.lab.logs()
    assert s.lab.sandbox.git("-C", "one", "rev-parse", "origin/main").stdout.strip() == more
    assert set(s.sshd.commands()) == {(f"git-upload-pack '{s.origin.name}.git'", "version=2" if accept else "")}
    assert not s.lab.web.requests(host="github.com"), "nothing goes to the same host by https"
    assert not s.lab.audit.events(decision="deny")
    done = s.lab.sandbox.git("-C", "one", "fetch", "-q", "origin", "1" * 40)
    assert done.returncode and "upstream_denied" in done.stderr, "what is nowhere is told, and changes nothing"
    assert s.clone("after") == more


def test_lfs(setting):
    """Git LFS speaks https alone; who asks is told so, and nothing is asked of anybody."""
    s = setting(lfs=True)
    body = b'{"operation":"download","objects":[{"oid":"%s","size":1}]}' % (b"0" * 64)
    with Wire(s.lab.sandbox) as wire:
        got = wire.send(get(f"/{s.origin.name}.git/info/lfs/objects/batch", "Content-Type: application/vnd.git-lfs+json",
                            f"Content-Length: {len(body)}", method="POST") + body).response()
    assert (got.status, got.reason) == (501, "lfs_needs_https")
    assert b"this one is reached by ssh" in got.body
    assert s.lab.audit.wait_one(decision="deny", reason="lfs_needs_https")["repo"] == s.origin.name
    assert not s.lab.web.requests() and not s.sshd.commands()


def test_an_empty_repository(setting):
    s = setting()
    s.sshd.start(accept=False)
    s.origin.git("update-ref", "-d", "refs/heads/main")
    assert s.ls_remote().stdout == "" and s.ls_remote().returncode == 0


def test_another_host_key(setting):
    """Whoever answers there with another key is not spoken to; the audit says which was expected and which came."""
    s = setting()
    expected = fingerprint(f"{s.sshd.dir}/host_key")
    keygen(f"{s.sshd.dir}/host_key")
    s.sshd.start()
    event = s.refused("upstream_untrusted", **ASKED)
    assert event["host"] == "github.com" and expected in event["outcome"]
    assert fingerprint(f"{s.sshd.dir}/host_key") in event["outcome"]
    assert s.sshd.commands() == []


def test_a_host_key_of_another_type(setting):
    s = setting()
    tool("sh", "-c", f"rm {s.sshd.dir}/host_key*; ssh-keygen -q -t ecdsa -N '' -f {s.sshd.dir}/host_key")
    s.sshd.start()
    assert "known_host_key is SHA256:" in s.refused("upstream_untrusted", **ASKED)["outcome"]
    assert s.sshd.commands() == []


def test_an_identity_that_is_not_let_in(setting):
    s = setting()
    s.sshd.allow(keygen(f"{s.sshd.dir}/other"))
    s.sshd.start()
    event = s.refused("upstream_denied", **ASKED)
    assert "Permission denied" in event["outcome"] and s.sshd.commands() == []


def test_a_repository_that_is_not_there(setting):
    s = setting()
    s.sshd.start()
    done = s.lab.sandbox.git("ls-remote", "https://github.com/acme/nothing")
    assert done.returncode and "upstream_denied" in done.stderr
    event = s.lab.audit.wait(src="keeper", event="upstream", reason="upstream_denied", **ASKED)[0]
    assert event["outcome"].startswith("git on the server: ")


def test_an_identity_that_others_can_read(setting):
    """Within a second it is not used any more, and nothing is connected to."""
    s = setting()
    s.sshd.start()
    assert s.ls_remote().returncode == 0
    os.chmod(s.identity, 0o440)
    s.lab.audit.wait(src="keeper", event="credential", what="loaded", name="deploy")

    def seen():				# until then ssh has it, and refuses by itself to use it
        s.ls_remote()
        return s.lab.audit.events(src="keeper", event="credential", what="failed", name="deploy")
    failed = wait_for("the keeper to see it", seen)[0]
    with s.lab.capture() as capture:
        s.refused("upstream_denied")
        capture.empty(dst=set(GITHUB), where=lambda p: p.flags & SYN)	# not the end of an older connection
    assert "is open to others (mode 0440)" in failed["outcome"]
    os.chmod(s.identity, 0o400)
    wait_for("it is used again", lambda: not s.ls_remote().returncode)


def test_private_addresses_are_not_dialled(setting):
    """The name of the host may not lead ssh into the host's own network."""
    s = setting()
    s.lab.dns.set("github.com", "10.9.9.9", "127.0.0.1")
    with s.lab.capture() as capture:
        s.refused("rebinding_blocked", **ASKED)
        capture.empty(dport=22)


def test_nobody_answers(setting):
    s = setting()
    assert "Connection refused" in s.refused("upstream_unreachable", **ASKED)["outcome"]


def test_clients_of_older_protocols_are_told(setting):
    s = setting()
    s.sshd.start()
    done = s.ls_remote("-c", "protocol.version=0")
    assert done.returncode and "protocol_too_old" in done.stderr and "2.26" in done.stderr
    assert s.sshd.commands() == []


BESIDES = 3		# advertisement, references, and whether it may; then the fetch of the first copy


def waiting(s, *options):
    """A clone whose first copy does not come; what it says is read as it comes."""
    return s.lab.sandbox.start(["git", "clone", *options, s.url, f"{s.lab.sandbox.dir}/home/early"], text=True,
                               stderr=subprocess.PIPE, env={"HOME": f"{s.lab.sandbox.dir}/home"})


def told(client, what):
    """Until it was said."""
    said = ""
    while what not in said:
        more = client.stderr.read(1)
        assert more, said
        said += more
    return said


def ended(client):
    """Its exit status, and the rest of what it said."""
    rest = client.stderr.read()
    return client.wait(PATIENCE), rest


def test_the_first_copy_takes_long(setting):
    """A client waits for it, however long git.timeouts.first_byte is, and is told how far it is."""
    s = setting(first_byte="1s")
    s.sshd.start()
    with s.sshd.hold(after=BESIDES):
        client = waiting(s, "--progress")
        for _ in range(2):
            told(client, "cordon: fetching the first copy of it: 0.0 MiB")
    status, rest = ended(client)
    assert status == 0 and "cordon: fetching the first copy of it: done" in rest, rest + s.lab.logs()
    assert s.lab.sandbox.git("-C", "early", "fsck", "--strict").returncode == 0
    assert s.lab.sandbox.git("-C", "early", "rev-parse", "HEAD").stdout.strip() == s.origin.tip()
    s.lab.audit.until(lambda es: [e["source"] for e in es] == ["upstream", "mirror"], event="git", method="POST")
    s.lab.audit.no_refusals()


@pytest.mark.parametrize("options", [["--quiet"], ["--progress", "--depth=1"], ["--quiet", "--filter=blob:none"]],
                         ids=lambda o: o[-1])
def test_the_first_copy_takes_long_and_nothing_can_be_said(setting, options):
    """Who wants no progress, or an answer that does not begin with the pack, waits as well."""
    s = setting(first_byte="1s")
    s.sshd.start()
    with s.sshd.hold(after=BESIDES):
        client = waiting(s, *options)
        wait_for("the fetch", lambda: len(s.sshd.commands()) > BESIDES)
        since = time.monotonic()
        wait_for("longer than the first byte may take", lambda: time.monotonic() > since + 2.5)
        assert client.poll() is None
    status, rest = ended(client)
    assert status == 0 and "cordon:" not in rest, rest + s.lab.logs()
    assert s.lab.sandbox.git("-C", "early", "rev-parse", "HEAD").stdout.strip() == s.origin.tip()


def test_the_first_copy_never_comes(setting):
    """A client that waits is told so, on the band for errors."""
    s = setting()
    s.sshd.start()
    with s.sshd.hold(after=BESIDES):
        client = waiting(s, "--progress")
        told(client, "cordon: fetching the first copy of it")
        s.sshd.stop()
        for pid in s.lab.internet.pids("sshd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status, rest = ended(client)
    assert status and "upstream_unreachable" in rest, rest + s.lab.logs()
    s.lab.audit.wait(event="git", reason="upstream_unreachable")


def ssh_pids(lab):
    return lab.gateway.pids("ssh")


def test_ssh_is_confined_and_dies_with_its_request(setting):
    """Empty environment, no secret among its arguments, rights of the keeper's user and no more."""
    s = setting()
    s.sshd.start()
    pid, = s.lab.pids("cordon-ssh")
    check_rights(pid, "keeper", 0, NONE)
    check_closed(pid)
    check_descriptors("cordon-ssh", pid, {UNIX}, r"/gitproxy\.log$")
    with s.sshd.hold():
        client = s.lab.sandbox.start(["git", "ls-remote", s.url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env={"HOME": f"{s.lab.sandbox.dir}/home"})
        wait_for("the command", s.sshd.commands)
        ssh, = ssh_pids(s.lab)
        check_rights(ssh, "keeper", 0, NONE)
        assert open(f"/proc/{ssh}/environ").read().split("\0")[:-1] == [f"PATH={ENV['PATH']}"]
        argv = open(f"/proc/{ssh}/cmdline").read().split("\0")[:-1]
        assert argv[:4] == ["ssh", "-F", "none", "-T"] and argv[-3] == "--" and argv[-2] in GITHUB
        assert argv[-1] == f"git-upload-pack '{s.origin.name}.git'"
        assert "HostKeyAlias=github.com" in argv and not any("PRIVATE KEY" in a for a in argv)
        client.kill()
        s.lab.signal("cordon-mirror")		# whoever asked is gone
        wait_for("the end of ssh", lambda: ssh not in ssh_pids(s.lab))


def test_a_spawner_that_was_killed_comes_back(setting):
    """Its ssh dies with it, and the keeper is started anew with another."""
    s = setting()
    s.sshd.start()
    with s.sshd.hold():
        client = s.lab.sandbox.start(["git", "ls-remote", s.url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env={"HOME": f"{s.lab.sandbox.dir}/home"})
        wait_for("the command", s.sshd.commands)
        ssh, = ssh_pids(s.lab)
        first, = s.lab.signal("cordon-ssh")
        wait_for("the end of ssh", lambda: ssh not in ssh_pids(s.lab))
        assert client.wait() != 0
    wait_for("another", lambda: set(s.lab.pids("cordon-ssh")) - {first})
    wait_for("an answer", lambda: s.ls_remote().returncode == 0)


def test_nobody_needs_ssh(lab):
    """Without such a credential there is no process that could start it."""
    assert not lab.pids("cordon-ssh")
