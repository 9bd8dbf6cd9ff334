"""labmirror - what the tests of mirrors share: profiles, a lab, and clients that ask by hand"""

import contextlib
import itertools
import json
import os
import subprocess
import tempfile
import threading

from lab import AGENT, Lab, write
from labgit import GitServer
from labhttp import Wire, pkt, post
from labnet import ENV, wait_for
from test_credentials import Secrets

MIRRORED = {**AGENT,
            "git": {**AGENT["git"], "source": "host_mirror", "allowed_hosts": ["github.com", "gitlab.com"],
                    "allowed_repos": ["acme/*", "private/*"]},
            "limits": {"git_transfers": 200, "new_connections_per_second": 1000}}
STALE = {**MIRRORED, "git": {**MIRRORED["git"], "stale": "allow"}}
_clones = itertools.count(1)


@contextlib.contextmanager
def mirror_lab(world, *, profiles=None, entries=None, times=None, window="1s", prepare=None):
    """A lab whose sandbox has mirrors, and `lab.server` as gitlab.com.

    entries(secrets): the configuration's credentials; times: its git.timeouts; window: how
    old answers may be that are shared; prepare(lab): before it is up.
    """
    with Lab(world, profiles={"agent": MIRRORED, **(profiles or {})}) as lab:
        lab.secrets = Secrets(lab)
        lab.configure({"hosts": GitServer.CONFIG, "credentials": entries(lab.secrets) if entries else [],
                       "git": {"upstream_ca_file": lab.world.ca_file, "timeouts": times or {},
                               "mirrors": {"window": window}}})
        text = open(lab.config_file).read()		# times stand without quotes
        for value in (window, *(times or {}).values()):
            text = text.replace(f'"{value}"', value)
        write(lab.config_file, text)
        lab.mirrors = f"{lab.dir}/state/mirrors"	# as we see it
        if prepare:
            prepare(lab)
        lab.up()
        lab.add_sandbox()
        lab.server = GitServer(lab)
        yield lab
        assert not lab.problems(), lab.problems()


def clone(lab, repo, *options, sandbox=None, to=None):
    """A clone by git; its folder."""
    to = to or f"clone{next(_clones)}"
    done = (sandbox or lab.sandbox).git("clone", "-q", *options, repo.url, to)
    assert done.returncode == 0, done.stderr + lab.logs()
    return to


def head(lab, to, ref="HEAD"):
    return lab.sandbox.git("-C", to, "rev-parse", ref).stdout.strip()


def sources(lab, method="POST"):
    """Where the answers came from, in order: (source, coalesced)."""
    return [(e.get("source"), e.get("coalesced", 0))
            for e in lab.audit.events(event="git", decision="allow", method=method)]


def warm(lab, repo, sandbox=None):
    """Clone until objects come from the mirror."""
    def served():
        lab.audit.mark()
        clone(lab, repo, sandbox=sandbox)
        lab.audit.until(lambda es: len(es) >= 3, event="git", decision="allow", repo=repo.name)
        return {s for s, _ in sources(lab)} & {"mirror", "spool"}
    wait_for("an answer of the mirror", served)
    lab.audit.mark()


def events(lab, what, repo):
    """Audit events of the mirror of a repository, since the lab began."""
    with open(f"{lab.log_dir}/keeper.jsonl") as f:
        lines = [json.loads(line) for line in f if line.endswith("\n")]
    return [e for e in lines if e["event"] == "mirror" and e["what"] == what and e["repo"] == repo.name]


def maintained(lab, repo):
    """Wait until maintenance after the first fetch is over."""
    wait_for("maintenance", lambda: events(lab, "maintained", repo))


def fetch_body(*wants, haves=(), options=(), format="sha1"):
    """Body of a protocol v2 fetch."""
    lines = [*options, *(f"want {w}" for w in wants), *(f"have {h}" for h in haves), "done"]
    return (pkt("command=fetch") + pkt("agent=git/2.39.5") + pkt(f"object-format={format}") + b"0001"
            + b"".join(pkt(f"{line}\n") for line in ("ofs-delta", *lines)) + b"0000")


def ask_repo(lab, repo, body, sandbox=None, timeout=60):
    """One POST by hand; the response."""
    host = repo.url.split("/")[2]
    with Wire(sandbox or lab.sandbox, host, timeout=timeout) as wire:
        return wire.send(post(repo.name, body, host=host)).response()


def pack_of(body):
    """(pack, progress) of an answer to a fetch that has nothing but a pack; AssertionError when it is no such answer."""
    at, pack, progress, first = 0, b"", b"", True
    while True:
        n = int(body[at:at + 4], 16)
        data, at = body[at + 4:at + max(n, 4)], at + max(n, 4)
        if n == 0:
            assert at == len(body), "bytes behind the flush"
            return pack, progress
        if first:
            assert data == b"packfile\n", data[:200]
            first = False
        elif data[0] == 1:
            pack += data[1:]
        else:
            assert data[0] == 2, data
            progress += data[1:]


def objects_of(pack):
    """Ids of the objects in a whole pack."""
    with tempfile.TemporaryDirectory() as dir:
        subprocess.run(["git", "init", "-q", "--bare", dir], check=True, env=ENV)
        subprocess.run(["git", "-C", dir, "index-pack", "--stdin", "--fix-thin"], input=pack, check=True, env=ENV,
                       capture_output=True)
        out = subprocess.run(["git", "-C", dir, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)"],
                             check=True, env=ENV, capture_output=True, text=True).stdout
    return set(out.split())


def threads(lab, daemon="cordon-mirror"):
    """How many it has; a child that is about to be git bears its name for a moment."""
    found = [0]
    for pid in lab.pids(daemon):
        with contextlib.suppress(OSError):
            found.append(len(os.listdir(f"/proc/{pid}/task")))
    return max(found)


def asked(lab):
    """How many requests with a body the mirror has, and has not answered yet."""
    found = [0]
    for pid in lab.pids("cordon-mirror"):
        n = 0
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    n += "memfd:body" in os.readlink(f"/proc/{pid}/fd/{fd}")
        found.append(n)
    return max(found)


class Crowd:
    """Many clients at once, each a thread: results() are what they returned, in no order."""

    def __init__(self, n, work):
        self._got, self._errors = [], []
        self._threads = [threading.Thread(target=self._run, args=(work, i), daemon=True) for i in range(n)]
        for t in self._threads:
            t.start()

    def _run(self, work, i):
        try:
            self._got.append(work(i))
        except BaseException as e:
            self._errors.append(e)

    def results(self):
        for t in self._threads:
            t.join(120)
            assert not t.is_alive(), "a client hangs"
        if self._errors:
            raise self._errors[0]
        return self._got


def mirrors(lab):
    """Folders of the mirrors there are."""
    root = lab.mirrors
    return sorted(f"{root}/{d}" for d in os.listdir(root) if len(d) == 64) if os.path.isdir(root) else []


def spooled(lab):
    root = f"{lab.mirrors}/spool"
    return sorted(os.listdir(root)) if os.path.isdir(root) else []


def abouts(lab):
    """{folder: name of its repository} of the mirrors that have one; they come and go."""
    found = {}
    for folder in mirrors(lab):
        with contextlib.suppress(FileNotFoundError):
            found[folder] = open(f"{folder}/about").read().split("\n")[1]
    return found


def mirror_of(lab, repo):
    """The folder of the mirror of a repository, asserted to be one."""
    found = [folder for folder, name in abouts(lab).items() if name == repo.name]
    assert len(found) == 1, found
    return found[0]


def mirror_git(lab, repo, *argv):
    """What git says in the mirror of a repository; "" when it fails."""
    return subprocess.run(["git", "-c", "safe.directory=*", f"--git-dir={mirror_of(lab, repo)}/repo.git", *argv],
                          capture_output=True, text=True, env=ENV).stdout


def mirror_objects(lab, repo):
    """Ids of all that the mirror holds; maintenance may pack them otherwise meanwhile."""
    out = mirror_git(lab, repo, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(out.split())
