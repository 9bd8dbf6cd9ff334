"""Upper and lower case in names of repositories: one repository has one spelling, and no right is had by another."""

import contextlib
import itertools
import json
import os
import shutil

import pytest

from lab import AGENT, Lab, row
from labgit import Answer
from labhttp import Wire, ask, get, info_refs, ls_refs, post
from lablfs import CLIENT, LFS_TYPE, OBJECTS, TOKEN, LfsServer, batch_body, oid_of
from labmirror import mirrors
from labpush import token
from test_credentials import Secrets

IGNORES, MINDS, OWN = "gitlab.com", "minds.example", "own.example"	# the last two are nobody's that Cordon knows
EXACT = [f"{MINDS}/exact/{name}" for name in ("direct-Mixed", "mirrored-Mixed", "By-Hand")]
GIT = {"enabled": True, "allowed_hosts": [IGNORES, MINDS, OWN], "lfs": True,
       "allowed_repos": [f"{IGNORES}/acme/*", f"{OWN}/acme/*", f"{MINDS}/wild/*", *EXACT],
       "denied_repos": ["*/secret*"],
       "push": {"allowed_repos": [f"{IGNORES}/acme/pushed-*", f"{IGNORES}/acme/secret*", f"{MINDS}/wild/*", *EXACT],
                "refs": ["refs/heads/agent/*"], "denied_paths": [".github/workflows/**"]}}
MODES = {"direct": "upstream", "mirrored": "host_mirror"}
PROFILES = {name: {**AGENT, "git": {**GIT, "source": source}, "limits": {"new_connections_per_second": 1000}}
            for name, source in MODES.items()}
_names = itertools.count(1)


class Server(LfsServer):
    """Each of the hosts, with one store: it minds case, so what is asked for is what must be spelled right."""

    CONFIG = {**LfsServer.CONFIG, MINDS: LfsServer.CONFIG[IGNORES], OWN: LfsServer.CONFIG[IGNORES]}

    def __init__(self, lab):
        lab.world.make_leaf(MINDS, IGNORES, OWN, OBJECTS)
        super().__init__(lab)
        self._files = f"{lab.world.certs}/{MINDS}.crt", f"{lab.world.certs}/{MINDS}.key"
        self.reset()

    def reset(self):
        super().reset()
        self.received = []

    def repository(self, name, files=None):
        shutil.rmtree(f"{self.root}/{name}.git", ignore_errors=True)	# of the other mode's test
        return super().repository(name, files)

    def _receive(self, repo, first, fields, body):
        self.received.append(repo)
        return super()._receive(repo, first, fields, body)

    def named(self):
        """Every repository that anything was asked of."""
        return {a.repo for a in self.asked} | {b[0] for b in self.batches} | set(self.received)


@pytest.fixture(scope="module")
def lab(world):
    """A sandbox for each mode."""
    with Lab(world, profiles=PROFILES) as lab:
        lab.mirrors = f"{lab.dir}/state/mirrors"
        secrets = Secrets(lab)
        lab.configure({"hosts": Server.CONFIG, "ca": {"names": ["github.com", IGNORES, MINDS, OWN, "cordon.internal"]},
                       "credentials": [{"name": host.split(".")[0], "match": f"{host}/*", "token_file": secrets.put(host, TOKEN)}
                                       for host in (IGNORES, MINDS, OWN)],
                       "git": {"upstream_ca_file": world.ca_file, "ignore_case": [OWN]}})
        lab.up()
        for mode in MODES:
            lab.add_sandbox(mode, mode)
        lab.server = Server(lab)
        yield lab
        assert not lab.problems(), lab.problems()


@pytest.fixture
def server(lab):
    lab.server.reset()
    lab.renew(f"-{next(_names)}")
    lab.audit.mark()
    return lab.server


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def sandbox(lab, mode):
    return lab.sandboxes[mode]


class Work:
    """A clone by a URL, with one more commit on the branch agent/x."""

    def __init__(self, lab, sandbox, url, files=None):
        self.sandbox, self.to = sandbox, f"work{next(_names)}"
        done = sandbox.git(*CLIENT, "clone", "-q", url, self.to, timeout=60)
        assert done.returncode == 0, done.stderr + lab.logs()
        self.tip = self.must("rev-parse", "HEAD")
        self.must("checkout", "-q", "-b", "agent/x")
        for path, data in (files or {"file": os.urandom(8).hex().encode()}).items():
            path = f"{sandbox.dir}/home/{self.to}/{path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
        self.must("add", "-A")
        self.must("commit", "-q", "-m", "x")

    def git(self, *argv):
        return self.sandbox.git("-C", self.to, *CLIENT, *argv, timeout=60)

    def must(self, *argv):
        done = self.git(*argv)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(self, url, ref="agent/x"):
        return self.git("push", url, f"HEAD:refs/heads/{ref}")


def mirrored(lab):
    """What is on disk: (host, path)."""
    return sorted(tuple(open(f"{m}/about").read().split("\n")[:2]) for m in mirrors(lab)
                  if os.path.exists(f"{m}/about"))


def of(lab, folded):
    """The spellings in which a repository is mirrored."""
    return [(h, p) for h, p in mirrored(lab) if p.lower() == folded]


def audited(lab, folded):
    """The spellings in which the audit has it since mark()."""
    return {e["repo"] for e in lab.audit.events() if e.get("repo", "").lower() == folded}


def spellings(name):
    owner, repo = name.split("/")
    return [name, f"{owner.upper()}/{repo.title()}", f"{owner.title()}/{repo.upper()}.git", f"{name}/",
            f"{owner}/{repo.title()}.git/"]


def cordon_mirror(lab, *words):
    done = lab.cordon("mirror", "--json", *words)
    assert done.returncode == 0, done.stderr + lab.logs()
    return json.loads(done.stdout)


# ---- where case is ignored ----

@row("C3")
def test_one_repository(lab, server, sandbox, mode):
    """Fetched, pushed to and its objects brought by any spelling: one is dialled, mirrored and in the audit."""
    name = f"acme/pushed-{mode}"
    repo = server.repository(name, {"small.bin": b"small\n"})
    urls = [f"https://{IGNORES}/{s}" for s in spellings(name)]
    for n, url in enumerate(urls):
        data = b"object %d\n" % n
        work = Work(lab, sandbox, url, {"new.bin": data})
        assert work.tip == repo.tip()
        assert open(f"{sandbox.dir}/home/{work.to}/small.bin", "rb").read() == b"small\n"
        done = work.push(urls[(n + 1) % len(urls)], f"agent/{n}")
        assert done.returncode == 0, done.stderr + lab.logs()
        assert repo.tip(f"agent/{n}") == work.must("rev-parse", "HEAD")
        assert server.store[name, oid_of(data)] == data
    assert server.named() == {name}
    assert of(lab, name) == [(IGNORES, name)]
    lab.audit.until(lambda es: len(es) == len(urls), event="push", outcome="forwarded")
    assert audited(lab, name) == {name}


@row("C3")
def test_a_server_of_ones_own(lab, server, sandbox, mode):
    """git.ignore_case says of it what Cordon knows of others."""
    repo = server.repository(f"acme/own-{mode}")
    for name in (f"ACME/Own-{mode}", repo.name):
        assert Work(lab, sandbox, f"https://{OWN}/{name}").tip == repo.tip()
    assert server.named() == audited(lab, repo.name) == {repo.name}
    cordon_mirror(lab, "prewarm", f"{OWN}/Acme/OWN-{mode}")
    assert of(lab, repo.name) == [(OWN, repo.name)]


def test_by_hand(lab, server):
    """The administrator may spell it in any way, too."""
    repo = server.repository("acme/by-hand")
    for word in ("acme/by-hand", "ACME/By-Hand", "Acme/by-hand.git"):
        for verb in ("prewarm", "ls", "gc"):
            row, = cordon_mirror(lab, verb, f"{IGNORES}/{word}")
            assert row["repo"] == repo.name
    assert of(lab, repo.name) == [(IGNORES, repo.name)]
    assert server.named() == {repo.name}
    cordon_mirror(lab, "rm", f"{IGNORES}/ACME/BY-HAND")
    assert not of(lab, repo.name)


@row("C3")
def test_a_link_is_of_the_repository(lab, server, sandbox):
    """What was offered under one spelling is had under another: the right is the repository's."""
    server.repository("acme/linked", {"small.bin": b"linked\n"})
    body = batch_body("download", (oid_of(b"linked\n"), 7))
    with Wire(sandbox, IGNORES) as wire:
        for path in ("/acme/linked.git/", "/Acme/LINKED.git/"):
            got = wire.send(get("/ACME/Linked.git/info/lfs/objects/batch", f"Content-Type: {LFS_TYPE}",
                                f"Content-Length: {len(body)}", host=IGNORES, method="POST") + body).response()
            href = json.loads(got.body)["objects"][0]["actions"]["download"]["href"]
            assert href.startswith(f"https://{IGNORES}/acme/linked.git/")
            target = href.replace(f"https://{IGNORES}/acme/linked.git/", path)
            assert wire.send(get(target, host=IGNORES)).response().body == b"linked\n"


@contextlib.contextmanager
def refused(lab, server, reason, **fields):
    """Nothing is asked of upstream meanwhile, and the audit has one line that says why."""
    lab.renew(f"-{next(_names)}")
    lab.audit.mark()
    server.asked.clear()
    server.batches.clear()
    server.received.clear()
    yield
    lab.audit.wait_one(decision="deny", reason=reason, **fields)
    assert not server.named()


@row("C3")
@pytest.mark.parametrize("repo", ["acme/secret-plans", "ACME/Secret-Plans", "acme/SECRET-plans.git"])
def test_a_denial_is_of_all_spellings(lab, server, sandbox, repo):
    """Of fetches, pushes, and objects of LFS."""
    server.repository("acme/secret-plans")
    what = {"repo": "acme/secret-plans", "event": "git"}
    with refused(lab, server, "repository_not_allowed", **what):
        done = sandbox.git("ls-remote", f"https://{IGNORES}/{repo}")
        assert done.returncode and "repository_not_allowed" in done.stderr
    with refused(lab, server, "repository_not_allowed", **what):
        assert ask(sandbox, post(repo, ls_refs("refs/heads/main"), host=IGNORES), name=IGNORES).reason == "repository_not_allowed"
    with refused(lab, server, "repository_not_allowed", **what):
        assert ask(sandbox, info_refs(repo, service="git-receive-pack", host=IGNORES), name=IGNORES).reason == "repository_not_allowed"
    with refused(lab, server, "repository_not_allowed", **what):
        body = batch_body("download", (oid_of(b"x"), 1))
        request = get(f"/{repo}/info/lfs/objects/batch", f"Content-Type: {LFS_TYPE}", f"Content-Length: {len(body)}",
                      host=IGNORES, method="POST") + body
        assert ask(sandbox, request, name=IGNORES).status == 403
    assert not of(lab, "acme/secret-plans")


@row("C3", "D1", "D3", "D6")
def test_no_right_by_another_spelling(lab, server, sandbox, mode):
    """Which repositories may be pushed to, which refs, which paths, what is in it: the same under each."""
    read_only, repo = server.repository(f"acme/read-{mode}"), server.repository(f"acme/pushed-rights-{mode}")
    for name in (f"ACME/Read-{mode}", f"acme/READ-{mode}.git"):
        with refused(lab, server, "push_not_allowed", repo=read_only.name, event="git"):
            got = ask(sandbox, info_refs(name, service="git-receive-pack", host=IGNORES), name=IGNORES)
            assert got.reason == "push_not_allowed"
    url, other = repo.url, f"https://{IGNORES}/ACME/Pushed-RIGHTS-{mode}"
    plain = Work(lab, sandbox, other)
    workflow = Work(lab, sandbox, url, {".github/workflows/x.yml": b"on: push\n"})
    secret = Work(lab, sandbox, url, {"config": token() + b"\n"})
    for work, ref, reason in ((plain, "main", "ref_not_allowed"), (workflow, "agent/x", "path_protected"),
                              (secret, "agent/x", "secret_detected")):
        lab.audit.mark()
        done = work.push(other, ref)
        assert done.returncode and reason in done.stderr, done.stderr
        event = lab.audit.wait_one(event="push")
        assert (event["decision"], event["reason"], event["repo"]) == ("deny", reason, repo.name)
    assert repo.git("for-each-ref", "--format=%(refname)", "refs/heads/agent") == ""
    assert plain.push(other).returncode == 0
    assert repo.tip("agent/x") == plain.must("rev-parse", "HEAD")


def moved(name, asked_repo, tail):
    """Upstream insists on its own spelling."""
    if asked_repo == name or asked_repo.lower() != name.lower():
        return None
    return Answer("301 Moved Permanently", "text/plain", fields=[f"Location: https://{IGNORES}/{name}.git/{tail}"])


@row("C8")
def test_upstream_insists_on_its_spelling(lab, server, sandbox, mode):
    """It is asked by that then, for each of a push's requests, too; everything else keeps the one spelling."""
    name = f"Acme/Pushed-Real-{mode}"
    repo = server.repository(name)
    tails = {"advertisement": "info/refs?service=git-upload-pack"}
    server.change = lambda asked, answer: moved(name, asked.repo, tails.get(asked.kind, "git-upload-pack"))
    server.spoil = lambda what, at, first: what == "push" and moved(
        name, at, "info/refs?service=git-receive-pack" if first else "git-receive-pack")
    for url in (f"https://{IGNORES}/{name.lower()}", f"https://{IGNORES}/{name}", f"https://{IGNORES}/{name.upper()}"):
        work = Work(lab, sandbox, url)
        assert work.tip == repo.tip()
        ref = f"agent/{next(_names)}"
        done = work.push(url, ref)
        assert done.returncode == 0, done.stderr + lab.logs()
        assert repo.tip(ref) == work.must("rev-parse", "HEAD")
    assert server.named() == {name, name.lower()}
    assert of(lab, name.lower()) == [(IGNORES, name.lower())]
    lab.audit.until(lambda es: len(es) == 3, event="push", outcome="forwarded")
    assert audited(lab, name.lower()) == {name.lower()}
    assert not [e for e in lab.audit.events() if "moved" in e]


@row("C8")
def test_upstream_insists_without_end(lab, server, sandbox):
    """It is asked once more, not for ever."""
    tail = "info/refs?service=git-upload-pack"
    server.change = lambda asked, answer: Answer("301 Moved Permanently", "text/plain", fields=[
        f"Location: https://{IGNORES}/{asked.repo.swapcase()}.git/{tail}"])
    done = sandbox.git("ls-remote", f"https://{IGNORES}/acme/ring")
    assert done.returncode and "redirect_not_allowed" in done.stderr
    lab.audit.wait_one(src="gitproxy", decision="deny", reason="redirect_not_allowed", repo="acme/ring")
    assert 2 <= len(server.asked) <= 4			# a mirror's question and the client's own
    assert server.named() == {"acme/ring", "ACME/RING"}


# ---- where case counts ----

@row("C3")
def test_the_policys_spelling_is_meant(lab, server, sandbox, mode):
    """An exact rule is one repository: under any spelling it is that one, and never the other of that name."""
    server.host = MINDS
    mine = server.repository(f"exact/{mode}-Mixed", {"small.bin": b"mine\n"})
    others = [server.repository(f"exact/{mode}-mixed"), server.repository(f"Exact/{mode}-Mixed")]
    for n, name in enumerate([mine.name, *(r.name for r in others), f"EXACT/{mode}-MIXED.git"]):
        work = Work(lab, sandbox, f"https://{MINDS}/{name}", {"new.bin": b"new %d\n" % n})
        assert work.tip == mine.tip()
        done = work.push(f"https://{MINDS}/{name}", f"agent/{n}")
        assert done.returncode == 0, done.stderr + lab.logs()
        assert mine.tip(f"agent/{n}") == work.must("rev-parse", "HEAD")
    assert server.named() == {mine.name}
    assert of(lab, mine.name.lower()) == [(MINDS, mine.name)]
    lab.audit.until(lambda es: len(es) == 4, event="push", outcome="forwarded")
    assert audited(lab, mine.name.lower()) == {mine.name}


@row("C3", "C8")
def test_a_redirect_leads_to_no_other_of_that_name(lab, server, sandbox, mode):
    """What is granted as it is spelled is not had as upstream spells it."""
    mine, other = server.repository(f"exact/{mode}-Mixed"), server.repository(f"exact/{mode}-mixed")
    server.change = lambda asked, answer: Answer("301 Moved Permanently", "text/plain", fields=[
        f"Location: https://{MINDS}/{other.name}.git/" + (
            "info/refs?service=git-upload-pack" if asked.kind == "advertisement" else "git-upload-pack")])
    done = sandbox.git("ls-remote", f"https://{MINDS}/{mine.name}")
    assert done.returncode and "redirect_not_allowed" in done.stderr
    lab.audit.wait_one(src="gitproxy", decision="deny", reason="redirect_not_allowed", repo=mine.name)
    assert server.named() == {mine.name}


@row("C3")
def test_under_a_pattern_each_is_its_own(lab, server, sandbox, mode):
    """Two repositories, two mirrors; each push reaches its own."""
    repos = [server.repository(f"wild/{name}{mode}", {"which": name.encode()}) for name in ("one", "One")]
    assert repos[0].tip() != repos[1].tip()
    for repo in repos:
        url = repo.url.replace(IGNORES, MINDS)
        work = Work(lab, sandbox, url)
        assert work.tip == repo.tip()
        done = work.push(url)
        assert done.returncode == 0, done.stderr + lab.logs()
        assert repo.tip("agent/x") == work.must("rev-parse", "HEAD")
    assert repos[0].tip("agent/x") != repos[1].tip("agent/x")
    assert of(lab, repos[0].name.lower()) == sorted((MINDS, r.name) for r in repos)


@row("C3")
@pytest.mark.parametrize("name, why", [("Wild/one", "another owner"), ("WILD/one.git", "another owner"),
                                       ("wild/Secret", "denied"), ("wild/secret", "denied")])
def test_a_pattern_grants_no_other_owner(lab, server, sandbox, name, why):
    """Anyone can be called so there, where case makes another one. A denial covers it, whatever the case."""
    repo = server.repository(name.removesuffix(".git"))
    for service in ("git-upload-pack", "git-receive-pack"):
        with refused(lab, server, "repository_not_allowed", repo=name.removesuffix(".git"), event="git"):
            got = ask(sandbox, info_refs(name, service=service, host=MINDS), name=MINDS)
            assert got.reason == "repository_not_allowed"
    assert (MINDS, repo.name) not in mirrored(lab)


def test_by_hand_where_case_counts(lab, server):
    """A spelling that is granted is that repository; any other means an exact rule's."""
    name = server.repository("exact/By-Hand").name
    for word in (name, "EXACT/by-hand"):
        row, = cordon_mirror(lab, "prewarm", f"{MINDS}/{word}")
        assert row["repo"] == name
    assert of(lab, name.lower()) == [(MINDS, name)] and server.named() == {name}
    done = lab.cordon("mirror", "--json", "prewarm", f"{MINDS}/WILD/one")
    assert done.returncode == 1 and "no profile" in json.loads(done.stdout)[0]["text"]
    assert not server.count("advertisement", "WILD/one")
