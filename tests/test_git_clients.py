"""Clients unmodified: what git does against a server works through Cordon, and reads the same.

Each operation of a real client that tests/test_git.py does not have, and the words and headers that a
client sees compared with those of the same operation straight from the internet's own namespace.
"""

import os
import re
import shutil
import subprocess
import tempfile

import pytest

import labworld
from labhttp import ask, info_refs
from labnet import end_process, wait_for
from labworld import ENV, WWW, fast_import
from test_git import WIDGETS, allowed, guest, refused, seen  # noqa: F401 (fixtures)
from lab import AGENT, Lab

PROFILE = {**AGENT, "git": {**AGENT["git"],
                            "allowed_repos": [f"acme/{r}" for r in
                                              ("widgets", "many", "sub", "super", "hashed", "moving", "big")]}}


def git(*argv, cwd=None, **kw):
    """The machine's git, on the server's own files."""
    with tempfile.NamedTemporaryFile("w") as trust:	# git's children read safe.directory only there
        trust.write("[safe]\ndirectory = *\n[protocol \"file\"]\nallow = always\n")
        trust.flush()
        return subprocess.run(["git", *argv], cwd=cwd, check=True, capture_output=True, text=True,
                              env={**ENV, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": trust.name,
                                   "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@lab.invalid",
                                   "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@lab.invalid"},
                              **kw).stdout.strip()


def bare(world, name, *options):
    path = f"{world.repos}/acme/{name}.git"
    shutil.rmtree(path, ignore_errors=True)
    git("init", "-q", "--bare", "-b", "main", *options, path)
    git("-C", path, "config", "uploadpack.allowFilter", "true")
    return path


def served(path):
    subprocess.run(["chown", "-hR", f"{WWW}:{WWW}", path], check=True)


def superproject(world, tmp):
    """acme/super, with acme/sub (granted) and acme/payroll (not) as submodules."""
    work = f"{tmp}/super"
    git("init", "-q", "-b", "main", work)
    for name, repo in (("good", "sub"), ("bad", "payroll")):
        commit = world.tip(f"acme/{repo}")
        git("update-index", "--add", "--cacheinfo", f"160000,{commit},{name}", cwd=work)
        git("config", "-f", ".gitmodules", f"submodule.{name}.path", name, cwd=work)
        git("config", "-f", ".gitmodules", f"submodule.{name}.url", f"../{repo}.git", cwd=work)
    git("add", ".gitmodules", cwd=work)
    git("commit", "-q", "-m", "modules", cwd=work)
    path = bare(world, "super")
    git("push", "-q", path, "main", cwd=work)
    served(path)


def many(world):
    """3,000 refs: more than one pkt-line's worth, more than one read."""
    path = bare(world, "many")
    git("-C", path, "fetch", "-q", f"{world.repos}/acme/widgets.git", "main:main")
    tip = git("-C", path, "rev-parse", "main")
    git("-C", path, "update-ref", "--stdin",
        input="".join(f"create refs/heads/b/{i:05} {tip}\n" for i in range(3000)))
    git("-C", path, "pack-refs", "--all")
    served(path)


def superproject_and_parts(world, tmp):
    """acme/sub, acme/super and acme/many, made anew."""
    sub = f"{world.repos}/acme/sub.git"
    shutil.rmtree(sub, ignore_errors=True)
    fast_import(sub, "sub", 3)
    served(sub)
    superproject(world, tmp)
    many(world)


@pytest.fixture(scope="module")
def lab(world, tmp_path_factory):
    superproject_and_parts(world, tmp_path_factory.mktemp("super"))
    with Lab(world, profiles={"agent": PROFILE}) as lab:
        lab.up()
        lab.add_sandbox()
        yield lab
        assert not lab.problems()


def url(repo):
    return f"https://github.com/acme/{repo}"


# ---- kinds of fetches ----

@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("options", [
    ["--depth=1"], ["--shallow-since=2023-11-15T00:00:00Z"], ["--shallow-exclude=v2"], ["--single-branch"],
    ["--no-tags"], ["--filter=blob:none", "--no-checkout"], ["--filter=tree:0", "--no-checkout"],
    ["--filter=blob:limit=100", "--no-checkout"], ["--mirror"], ["--branch=v1"], ["--depth=5", "--no-single-branch"]],
    ids=lambda o: "".join(o) if isinstance(o, list) else f"v{o}")
def test_clones(lab, guest, version, options):
    """The same objects, whichever protocol carries them."""
    done = guest.git("-c", f"protocol.version={version}", "clone", *options, WIDGETS, "w")
    assert done.returncode == 0, done.stderr
    assert guest.git("-C", "w", "fsck", "--connectivity-only").returncode == 0
    tip = "refs/tags/v1" if options == ["--branch=v1"] else "refs/heads/main"
    assert guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/widgets", tip)
    allowed(lab)


@pytest.mark.parametrize("version", [0, 2])
def test_deepen(lab, guest, version):
    v = ["-c", f"protocol.version={version}"]
    assert guest.git(*v, "clone", "--depth=1", WIDGETS, "w").returncode == 0
    for options, count in ((["--deepen=9"], "10"), (["--depth=3"], "3"),
                           (["--shallow-since=2023-11-15T02:00:00Z"], None), (["--unshallow"], "300")):
        done = guest.git("-C", "w", *v, "fetch", *options)
        assert done.returncode == 0, done.stderr
        got = guest.git("-C", "w", "rev-list", "--count", "HEAD").stdout.strip()
        assert count in (None, got), options
    allowed(lab)


def test_lazy_fetches(lab, guest):
    """A partial clone asks for what it lacks, when it is looked at, with many small requests."""
    assert guest.git("clone", "--filter=blob:none", "--no-checkout", WIDGETS, "w").returncode == 0
    missing = guest.git("-C", "w", "rev-list", "--objects", "--missing=print", "HEAD").stdout.count("\n?")
    assert missing > 100
    for n in (1, 50, 150):
        done = guest.git("-C", "w", "show", f"HEAD~{n}:src/file1.txt")
        assert done.returncode == 0 and "acme/widgets" in done.stdout, done.stderr
    assert guest.git("-C", "w", "checkout", "-q", "main").returncode == 0
    allowed(lab)


def test_prune(lab, guest):
    """A branch that upstream has deleted goes away here too; a moved one follows."""
    path = bare(lab.world, "moving")
    git("-C", path, "fetch", "-q", f"{lab.world.repos}/acme/widgets.git", "main:main", "main:gone")
    served(path)
    assert guest.git("clone", url("moving"), "w").returncode == 0
    assert "origin/gone" in guest.git("-C", "w", "branch", "-r").stdout
    git("-C", path, "branch", "-D", "gone")
    git("-C", path, "update-ref", "refs/heads/main", "main~5")
    done = guest.git("-C", "w", "fetch", "--prune")
    assert done.returncode == 0 and "[deleted]" in done.stderr and "(forced update)" in done.stderr
    assert "origin/gone" not in guest.git("-C", "w", "branch", "-r").stdout
    allowed(lab)


def test_submodules(lab, guest):
    """Each is its own decision: the granted one is there, the other says why not."""
    assert guest.git("clone", url("super"), "w").returncode == 0
    done = guest.git("-C", "w", "submodule", "update", "--init", "good")
    assert done.returncode == 0, done.stderr
    assert guest.git("-C", "w/good", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/sub")
    done = guest.git("-C", "w", "submodule", "update", "--init", "bad")
    assert done.returncode and "remote: repository_not_allowed" in done.stderr
    refused(lab, "repository_not_allowed", repo="acme/payroll")


def test_clone_with_submodules(lab, guest):
    """In one command: it ends with the reason, and what is granted can be had."""
    done = guest.git("clone", "--recurse-submodules", url("super"), "w")
    assert done.returncode and "remote: repository_not_allowed" in done.stderr, done.stderr
    refused(lab, "repository_not_allowed", repo="acme/payroll")
    assert guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/super")
    done = guest.git("clone", "--recurse-submodules=good", url("super"), "x")
    assert done.returncode == 0, done.stderr
    assert guest.git("-C", "x/good", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/sub")
    assert not lab.web.requests(path="/acme/payroll.git/info/refs?service=git-upload-pack")


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "5" * 64 + "\nsize 12345\n"
LFS = ["-c", "filter.lfs.smudge=git-lfs smudge -- %f", "-c", "filter.lfs.process=git-lfs filter-process",
       "-c", "filter.lfs.required=true"]


def test_lfs(lab, guest, tmp_path):
    """git-lfs prints the sentence, asks for no password and does not try again; the history is there."""
    if not shutil.which("git-lfs"):
        pytest.skip("git-lfs is missing: make test-deps")
    work, path = f"{tmp_path}/w", bare(lab.world, "big")
    git("init", "-q", "-b", "main", work)
    for name, text in ((".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"), ("a.bin", POINTER)):
        blob = git("hash-object", "-w", "--stdin", cwd=work, input=text)
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", cwd=work)
    git("commit", "-q", "-m", "x", cwd=work)
    git("push", "-q", "--no-verify", path, "main", cwd=work)
    served(path)
    done = guest.git(*LFS, "clone", url("big"), "w", timeout=60)
    said = "lfs_not_allowed: The policy does not allow Git LFS."
    assert done.returncode and f"batch response: {said}" in done.stderr, done.stderr
    event = refused(lab, "lfs_not_allowed", repo="acme/big")
    assert (event["status"], event.get("count", 1)) == (501, 1)
    assert guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == lab.world.tip("acme/big")
    assert guest.git("-C", "w", "show", "HEAD:a.bin").stdout == POINTER
    assert not [r for r in lab.web.requests() if "/info/lfs" in r.path]


@pytest.mark.parametrize("version", [0, 2])
def test_sha256(lab, guest, tmp_path, version):
    work, path = f"{tmp_path}/w", bare(lab.world, "hashed", "--object-format=sha256")
    git("init", "-q", "-b", "main", "--object-format=sha256", work)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=work)
    git("push", "-q", path, "main", cwd=work)
    served(path)
    done = guest.git("-c", f"protocol.version={version}", "clone", url("hashed"), "w")
    assert done.returncode == 0, done.stderr
    head = guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip()
    assert len(head) == 64 and head == git("rev-parse", "HEAD", cwd=work)
    allowed(lab)


@pytest.mark.parametrize("version", [0, 2])
def test_many_refs(lab, guest, version):
    done = guest.git("-c", f"protocol.version={version}", "ls-remote", url("many"))
    assert done.returncode == 0 and done.stdout.count("refs/heads/b/") == 3000
    done = guest.git("-c", f"protocol.version={version}", "clone", url("many"), "w")
    assert done.returncode == 0, done.stderr
    allowed(lab)


# ---- other clients ----

LIBGIT2 = """
import pygit2, sys
r = pygit2.clone_repository(sys.argv[1], 'w')
print(r.head.target)
r.remotes['origin'].fetch()
"""


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_libgit2(lab, guest, scheme):
    """Its HTTP is its own: always chunked, 100-continue. So is its TLS: Debian's is built with an mbedTLS that
    knows no name constraints, and takes our CA since they are not critical."""
    pytest.importorskip("pygit2")
    done = guest.run(["/usr/bin/python3", "-c", LIBGIT2, f"{scheme}://github.com/acme/widgets"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == lab.world.tip("acme/widgets")
    allowed(lab)


def test_libgit2_refused(lab, guest):
    """It shows the status of a failure and nothing else, but says what a packet says."""
    pytest.importorskip("pygit2")
    done = guest.run(["/usr/bin/python3", "-c", LIBGIT2, url("payroll")])
    assert done.returncode and "repository_not_allowed: " in done.stderr, done.stderr
    assert refused(lab, "repository_not_allowed", repo="acme/payroll")["status"] == 200


LIBGIT2_PUSH = """
import pygit2, sys
r = pygit2.init_repository('p', bare=True)
a = pygit2.Signature('a', 'a@lab.invalid')
r.create_commit('refs/heads/x', a, a, 'x', r.TreeBuilder().write(), [])
r.remotes.create('origin', sys.argv[1]).push(['refs/heads/x'])
"""


def test_libgit2_push_refused(lab, guest):
    pytest.importorskip("pygit2")
    done = guest.run(["/usr/bin/python3", "-c", LIBGIT2_PUSH, WIDGETS])
    assert done.returncode and "push_not_allowed: " in done.stderr, done.stderr
    refused(lab, "push_not_allowed", repo="acme/widgets")


def test_dulwich(lab, guest):
    pytest.importorskip("dulwich")
    script = ("import sys\nfrom dulwich import porcelain\n"
              "print(porcelain.clone(sys.argv[1], 'w', depth=int(sys.argv[2]) or None).head().decode())\n")
    for depth in ("0", "1"):
        shutil.rmtree(f"{guest.dir}/home/w", ignore_errors=True)
        done = guest.run(["/usr/bin/python3", "-c", script, WIDGETS, depth])
        assert done.returncode == 0, done.stderr
        assert lab.world.tip("acme/widgets") in done.stdout
    allowed(lab)


@pytest.mark.parametrize("agent, packet", [
    ("git/2.39.5", False), ("git/2.0.5", False), ("curl/7.88.1", False), ("jgit/4", False), ("", False),
    ("JGit/4.11.9.201909030838-r", True), ("JGit/6.10.0.202406032230-r", True), ("git/2.0 (libgit2 1.5.1)", True),
    ("git/2.0 (cargo 1.95.0)", True)])
def test_form_of_a_refusal(lab, guest, seen, agent, packet):
    """Which a client is shown is all that its name decides."""
    got = ask(guest, info_refs("acme/payroll", f"User-Agent: {agent}"))
    assert got.fields["x-cordon-reason"] == "repository_not_allowed" and not seen()
    assert got.status == (200 if packet else 403)
    if packet:
        assert got.fields["content-type"] == "application/x-git-upload-pack-advertisement"
        assert re.fullmatch(rb"001e# service=git-upload-pack\n0000[0-9a-f]{4}ERR repository_not_allowed: .*\n", got.body)
        assert int(got.body[34:38], 16) == len(got.body) - 34
    refused(lab, "repository_not_allowed", repo="acme/payroll")


@pytest.fixture
def jgit(lab, guest, tmp_path):
    """Debian's jgit, which needs more of its jars than its script names. Java has a trust store of its own."""
    for tool in ("jgit", "keytool"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}: make test-deps")
    store = f"{tmp_path}/trust.p12"
    subprocess.run(["keytool", "-importcert", "-noprompt", "-keystore", store, "-storepass", "changeit",
                    "-file", f"{lab.dir}/state/ca.pem"], check=True, capture_output=True)
    env = {"JGIT_CLASSPATH": "/usr/share/java/*", 
           "JAVA_TOOL_OPTIONS": f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"}
    return lambda *argv: guest.run(["jgit", *argv], env=env)


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_jgit(lab, guest, jgit, scheme):
    """Another implementation of the protocol, HTTP and TLS: everything, then what is new. (It has no shallow
    clones before 6.3.)"""
    path = bare(lab.world, "moving")
    git("-C", path, "fetch", "-q", f"{lab.world.repos}/acme/widgets.git", "main:main")
    tip = git("-C", path, "rev-parse", "main")
    git("-C", path, "update-ref", "refs/heads/main", "main~5")
    served(path)
    done = jgit("clone", f"{scheme}://github.com/acme/moving", "w")
    assert done.returncode == 0, done.stdout + done.stderr
    assert guest.git("-C", "w", "rev-parse", "HEAD").stdout.strip() == git("-C", path, "rev-parse", "main")
    git("-C", path, "update-ref", "refs/heads/main", tip)
    done = jgit("--git-dir", "w/.git", "fetch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert guest.git("-C", "w", "rev-parse", "origin/main").stdout.strip() == tip
    assert guest.git("-C", "w", "fsck", "--full").returncode == 0
    allowed(lab)


def test_jgit_refused(lab, guest, jgit):
    """It has words of its own for a 403, and does not show the server's; but it shows a packet's."""
    done = jgit("clone", url("payroll"), "w")
    assert done.returncode and "repository_not_allowed: " in done.stderr, done.stdout + done.stderr
    refused(lab, "repository_not_allowed", repo="acme/payroll")


# ---- a stolen key ----

ISSUE = r"""
cd "$1"; test -n "$2"
openssl ecparam -name prime256v1 -genkey -noout -out "$2.key"
openssl req -new -key "$2.key" -subj "/CN=$2" -out "$2.csr"
printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:%s\n' "$2" >"$2.ext"
openssl x509 -req -in "$2.csr" -CA "$3/ca.pem" -CAkey "$3/ca.key" -days 2 -extfile "$2.ext" -out "$2.pem"
"""

READS = {
    "openssl": lambda port, host: ["curl", "-sS", "--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}/"],
    "gnutls": lambda port, host: ["git", "-c", f"http.curloptResolve={host}:{port}:127.0.0.1", "ls-remote",
                                  f"https://{host}:{port}/a/b"],
}
REJECTS = r"permitted subtree violation|server certificate verification failed"


@pytest.mark.parametrize("library", READS)
def test_stolen_key(lab, guest, tmp_path, library):
    """With the CA's own key nobody can be what the CA has no business with, though its constraints are not
    critical: git (GnuTLS) and curl (OpenSSL) heed them."""
    for port, (host, good) in enumerate((("github.com", True), ("pypi.example", False)), 4433):
        subprocess.run(["sh", "-ec", ISSUE, "issue", str(tmp_path), host, f"{lab.dir}/state/ca"], check=True,
                       capture_output=True)
        server = guest.start(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-www",
                              "-cert", f"{tmp_path}/{host}.pem", "-key", f"{tmp_path}/{host}.key"])
        try:
            wait_for("s_server", lambda: guest.run(["ss", "-Hltn", f"sport = :{port}"]).stdout)
            said = guest.run(READS[library](port, host)).stderr
        finally:
            end_process(server)
        assert bool(re.search(REJECTS, said)) is not good, said


# ---- the same words ----

def direct(lab, *argv, dir):
    """The same git, from the internet's own namespace to the same server."""
    os.makedirs(dir, exist_ok=True)
    return lab.internet.run(
        ["git", "-c", f"http.sslCAInfo={lab.world.ca_file}",
         "-c", f"http.curloptResolve=github.com:443:{labworld.GITHUB[0]}", *argv],
        env={"HOME": dir, "GIT_TERMINAL_PROMPT": "0"}, cwd=dir)


@pytest.mark.parametrize("version", [0, 2])
def test_same_words(lab, guest, tmp_path, version):
    """Output and error stream of each operation, but for rates and times."""
    def plain(text):
        """The lines that stay, without sizes and rates."""
        lines = [line.rstrip() for line in re.split(r"[\r\n]", text)]
        lines = [line for line in lines if "%" not in line or "done" in line]
        return [re.sub(r", \d.*(bytes|iB).*, done", ", done", line) for line in lines if line]

    steps = (["clone", "--progress", WIDGETS, "w"], ["-C", "w", "fetch", "--progress", "--tags"],
             ["-C", "w", "fetch", "-v"], ["-C", "w", "pull"], ["ls-remote", WIDGETS],
             ["clone", "--depth=2", "--progress", WIDGETS, "s"], ["-C", "s", "fetch", "--unshallow"],
             ["-C", "w", "remote", "show", "origin"], ["-C", "w", "fetch", "origin", "no-such-branch"])
    for argv in steps:
        ours = guest.git("-c", f"protocol.version={version}", *argv)
        theirs = direct(lab, "-c", f"protocol.version={version}", *argv, dir=f"{tmp_path}/d")
        assert ours.returncode == theirs.returncode, ours.stderr + theirs.stderr
        assert ours.stdout == theirs.stdout, argv
        # Two processes of git write there, each when it is its turn.
        assert sorted(plain(ours.stderr)) == sorted(plain(theirs.stderr)), argv
    allowed(lab)


def test_same_headers(lab, guest, seen):
    """Those that are passed on stand in upstream's order, with upstream's values."""
    done = lab.internet.run(["curl", "-sS", "-D-", "-o/dev/null", "--cacert", lab.world.ca_file,
                             "--resolve", f"github.com:443:{labworld.GITHUB[0]}",
                             f"{WIDGETS}.git/info/refs?service=git-upload-pack"])
    theirs = [line.split(": ", 1) for line in done.stdout.split("\n")[1:] if line]
    kept = ("expires", "pragma", "cache-control", "content-type")
    got = ask(guest, info_refs("acme/widgets"))
    assert [k for k in got.order if k in kept] == [k.lower() for k, _ in theirs if k.lower() in kept]
    for name, value in theirs:
        assert name.lower() not in kept or got.fields[name.lower()] == value
