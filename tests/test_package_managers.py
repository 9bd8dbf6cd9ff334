"""Package managers, unmodified and as they are configured by default, against their registries' layouts.

The policy is the example that docs/packages.md explains; TLS of the registries ends at Cordon, whose CA
the clients trust by the variables that `cordon run` sets, and by nothing else.
"""

import glob
import json
import os
import re
import shutil

import pytest

from lab import ROOT, Lab, row
from labnet import wait_for
from labregistry import CRATES, DEBIAN, FILES, INDEX, NAMES, NPM, PYPI, Registries
from labworld import SERVICES

EXAMPLE = f"{ROOT}/deploy/examples/packages"
TRUST = {name: "/etc/ssl/certs/ca-certificates.crt" for name in (
    "SSL_CERT_FILE", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")}
PYTHON = "/usr/bin/python3"
PIP = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
# Cargo reads its index from git up to 1.69, and file by file from 1.68: each is asked for by name.
CARGO = {"git": (["/usr/bin/cargo"], {"CARGO_REGISTRIES_CRATES_IO_PROTOCOL": "git"}),
         "sparse": (["/usr/bin/cargo", "-Z", "sparse-registry"], {"RUSTC_BOOTSTRAP": "1"})}


def example(name):
    with open(f"{EXAMPLE}/{name}") as f:
        return f.read()


@pytest.fixture(scope="module")
def lab(world):
    for program in ("/usr/bin/pip3", "/usr/bin/cargo", "npm", "apt-get"):
        if not shutil.which(program):
            pytest.skip(f"{program} is missing: make test-deps")
    signed = re.search(r"names: \[(.*)\]", example("cordon.yaml"))[1].split(", ")
    with Lab(world, profiles={"packages": example("packages.yaml")}, config={
            "hosts": {name: SERVICES[0] for name in NAMES}, "ca": {"names": signed}}) as lab:
        lab.registries = Registries(lab)
        lab.registries.start()
        lab.registries.ready()
        lab.up()
        lab.add_sandbox(profile="packages")
        yield lab
        problems = lab.problems()
        assert not problems, "\n".join(problems)


@pytest.fixture
def guest(lab, audit):
    """The sandbox with an empty home."""
    home = f"{lab.sandbox.dir}/home"
    shutil.rmtree(home)
    os.mkdir(home)
    return lab.sandbox


@pytest.fixture
def arrived(lab):
    """(host, method, path, status) of what came to the registries since it was asked last, these at least: a
    server writes its line when its answer is out."""
    seen = len(lab.registries.requests())

    def fresh():
        return [(r.host, r.method, r.path, int(r.status)) for r in lab.registries.requests()[seen:]]

    def news(expected=()):
        nonlocal seen
        wait_for(f"{expected} in the servers' log", lambda: set(fresh()) >= set(expected))
        got = fresh()
        seen += len(got)
        return got
    return news


def run(guest, *argv, env=None, **kw):
    return guest.run(list(argv), env={**TRUST, **(env or {})}, **kw)


def works(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def refusals(lab):
    return {(e["host"], e["method"], e["path"], e["reason"])
            for e in lab.audit.events(event="http", decision="deny")}


def refused(lab, reason, host, path, method="GET"):
    """Exactly one key of the audit log, whatever the client asked for besides."""
    lab.audit.wait_one(event="http", decision="deny", reason=reason, host=host, path=path, method=method)
    return refusals(lab) - {(host, method, path, reason)}


# ---- pip ----

def test_pip(lab, guest, arrived):
    """A package and what it needs; the second time only questions whether anything changed."""
    for status in (200, 304):
        works(run(guest, *PIP, "install", "--target", "t", "--upgrade", "left-pad"))
        done = run(guest, PYTHON, "-c", "import left_pad, right_pad; print(right_pad.NAME)",
                   cwd=f"{guest.dir}/home/t")
        assert done.stdout == "right-pad\n", done.stderr
        expected = {*((PYPI, "GET", f"/simple/{n}/index.html", status) for n in ("left-pad", "right-pad")),
                    *((FILES, "GET", f"/{lab.registries.files[n]}", status) for n in ("left-pad", "right-pad"))}
        assert set(arrived(expected)) == expected
    lab.audit.until(lambda events: len(events) == 8, event="http", decision="allow")
    assert not refusals(lab)


def test_pip_reads_pieces(lab, guest, arrived):
    """Metadata out of the middle of a wheel: HEAD, then ranges."""
    works(run(guest, *PIP, "--use-feature=fast-deps", "download", "--no-deps", "left-pad"))
    path = f"/{lab.registries.files['left-pad']}"
    arrived({(FILES, "HEAD", path, 200), (FILES, "GET", path, 206)})
    assert not refusals(lab)


def test_pip_refused(lab, guest, arrived):
    """pip takes a page that it may not read for a package without versions, and ends at once."""
    done = run(guest, *PIP, "download", "-vv", "other")
    assert done.returncode and "No matching distribution found for other" in done.stderr
    assert "Forbidden (path_not_allowed)" in done.stdout + done.stderr
    assert not refused(lab, "path_not_allowed", PYPI, "/simple/other/")
    assert arrived() == []


def test_pip_refused_file(lab, guest, arrived):
    done = run(guest, *PIP, "download", f"https://{FILES}/elsewhere/other-1.0-py3-none-any.whl")
    assert done.returncode and "403 Client Error: Forbidden (path_not_allowed)" in done.stderr
    assert not refused(lab, "path_not_allowed", FILES, "/elsewhere/other-1.0-py3-none-any.whl")
    assert arrived() == []


def test_pip_upload(lab, guest, arrived):
    """What twine sends, to where it sends it by default, and to what may be read."""
    for host, path in (("upload.pypi.org", "/legacy/"), (PYPI, "/simple/left-pad/")):
        done = run(guest, "curl", "-sS", "-F", ":action=file_upload", "-F", "content=@/etc/hostname",
                   f"https://{host}{path}")
        assert ("Could not resolve" in done.stderr) == (host != PYPI)
        assert done.stdout.startswith("method_not_allowed\n") == (host == PYPI)
    lab.audit.wait_one(event="dns", decision="deny", name="upload.pypi.org", reason="name_not_allowed")
    assert not refused(lab, "method_not_allowed", PYPI, "/simple/left-pad/", "POST")
    assert arrived() == []


# ---- npm ----

# What npm asks besides: for its own newest version, and for known faults of what it installs.
ASIDE = re.compile(r"/npm|/-/npm/.*")


def npm(guest, *argv, **kw):
    return run(guest, "npm", *argv, **kw)


def others(found):
    return {r for r in found if not ASIDE.fullmatch(r[2])}


def test_npm(lab, guest, arrived):
    """A package, and one of a scope that it needs: the slash of its name comes escaped."""
    works(npm(guest, "install", "left-pad"))
    done = run(guest, "node", "-p", "require('left-pad') + ' ' + require('@acme/pad')")
    assert done.stdout == "left-pad @acme/pad\n", done.stderr
    expected = {(NPM, "GET", path, 200) for path in (
        "/left-pad", "/left-pad/-/left-pad-1.0.0.tgz", "/@acme/pad", "/@acme/pad/-/pad-1.0.0.tgz")}
    assert set(arrived(expected)) == expected
    events = lab.audit.until(lambda events: len(events) == 4, event="http", decision="allow")
    assert {e["path"] for e in events} == {"/left-pad", "/left-pad/-/left-pad-1.0.0.tgz", "/@acme%2fpad",
                                           "/@acme/pad/-/pad-1.0.0.tgz"}
    assert all(e["bytes_down"] < 1000 for e in events)		# as it was compressed
    works(npm(guest, "install", "left-pad"))
    assert set(arrived()) <= {(NPM, "GET", "/left-pad", 304)}		# npm asks again, or takes what it has
    assert not others(refusals(lab))


@row("C1")
@pytest.mark.parametrize("name", ["other", "@other/pad"])
def test_npm_refused(lab, guest, arrived, name):
    done = npm(guest, "install", name)
    path = f"/{name.replace('/', '%2f')}"
    assert done.returncode
    assert f"403 Forbidden (path_not_allowed) - GET https://{NPM}{path}" in done.stderr
    assert not others(refused(lab, "path_not_allowed", NPM, path))
    assert arrived() == []


def test_npm_publish(lab, guest, arrived):
    """Of a package that may be read, by somebody with a token that would be good for it."""
    with open(f"{guest.dir}/home/package.json", "w") as f:
        json.dump({"name": "left-pad", "version": "2.0.0"}, f)
    with open(f"{guest.dir}/home/.npmrc", "w") as f:
        f.write(f"//{NPM}/:_authToken=tok\n")
    done = npm(guest, "publish")
    assert done.returncode
    assert f"403 Forbidden (method_not_allowed) - PUT https://{NPM}/left-pad" in done.stderr
    assert not others(refused(lab, "method_not_allowed", NPM, "/left-pad", "PUT"))
    assert {method for _, method, _, _ in arrived()} <= {"GET"}


# ---- cargo ----

def cargo(guest, index, *argv, needs=""):
    """cargo in a package of its own."""
    os.makedirs(f"{guest.dir}/home/c/src", exist_ok=True)
    with open(f"{guest.dir}/home/c/Cargo.toml", "w") as f:
        f.write("[package]\nname = \"mine\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n"
                f"description = \"x\"\n[dependencies]\n{needs}\n")
    open(f"{guest.dir}/home/c/src/lib.rs", "w").close()
    program, env = CARGO[index]
    return run(guest, *program, *argv, env=env, cwd=f"{guest.dir}/home/c")


@pytest.mark.parametrize("index", CARGO)
def test_cargo(lab, guest, arrived, index):
    """The index from git or as files, the crates themselves as files."""
    works(cargo(guest, index, "fetch", needs="left-pad = \"1\""))
    got = set(arrived({(CRATES, "GET", f"/crates/{n}/1.0.0/download", 200) for n in ("left-pad", "right-pad")}))
    lines = {(INDEX, "GET", f"/{path}", 200) for path in ("config.json", "le/ft/left-pad", "ri/gh/right-pad")}
    assert got & lines == (lines if index == "sparse" else set())
    assert bool(lab.audit.events(event="git", decision="allow", repo="rust-lang/crates.io-index")) == (
        index == "git")
    assert not refusals(lab)


@pytest.mark.parametrize("index, host, path", [
    ("git", CRATES, "/crates/other/1.0.0/download"), ("sparse", INDEX, "/ot/he/other")])
def test_cargo_refused(lab, guest, arrived, index, host, path):
    """An index in git names every crate; its file is another matter."""
    done = cargo(guest, index, "fetch", needs="other = \"1\"")
    assert done.returncode and "403" in done.stderr and f"https://{host}{path}" in done.stderr
    assert not refused(lab, "path_not_allowed", host, path)
    assert (host, "GET", path) not in {request[:3] for request in arrived()}


def test_cargo_publish(lab, guest, arrived):
    """It goes to a host that installing does not need."""
    done = cargo(guest, "git", "publish", "--no-verify", "--token", "tok")
    assert done.returncode and "crates.io" in done.stderr
    lab.audit.wait_one(event="dns", decision="deny", name="crates.io", reason="name_not_allowed")
    assert arrived() == [] and not refusals(lab)


# ---- apt ----

def apt(guest, family):
    """apt-get with a world of its own, since the machine's is not to be touched."""
    home = f"{guest.dir}/home/apt"
    for d in ("lists/partial", "cache/archives/partial", "etc/apt/preferences.d", "out"):
        os.makedirs(f"{home}/{d}")
    with open(f"{home}/sources.list", "w") as f:
        f.write(f"deb [trusted=yes] http://{DEBIAN}/debian lab main\n")
    open(f"{home}/status", "w").close()
    options = {"Dir::State::status": f"{home}/status", "Dir::State::lists": f"{home}/lists",
               "Dir::Cache": f"{home}/cache", "Dir::Etc": f"{home}/etc/apt",
               "Dir::Etc::sourcelist": f"{home}/sources.list", "Dir::Etc::sourceparts": "-",
               "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Acquire::Retries": "0",
               f"Acquire::ForceIPv{family}": "true"}
    return ["apt-get", "-q", *(word for k, v in options.items() for word in ("-o", f"{k}={v}"))]


def test_apt(lab, guest, arrived, family):
    """Update and download over plain HTTP, and again with nothing new."""
    command, out = apt(guest, family), f"{guest.dir}/home/apt/out"
    for status in (200, 304):
        done = works(run(guest, *command, "update"))
        assert "Err" not in done.stdout, done.stdout
        arrived({(DEBIAN, "GET", "/debian/dists/lab/Release", status)})
    works(run(guest, *command, "download", "hello-lab", cwd=out))
    [name] = os.listdir(out)
    [served] = glob.glob(f"{lab.registries.dir}/sites/{DEBIAN}/debian/pool/*.deb")
    with open(f"{out}/{name}", "rb") as got, open(served, "rb") as want:
        assert got.read() == want.read()
    lab.audit.until(lambda events: events[-1]["path"].endswith(".deb"), event="http", port=80)
    assert not refusals(lab)
    assert {(e.get("name"), e["reason"]) for e in lab.audit.events(event="dns", decision="deny")} <= {
        (f"_http._tcp.{DEBIAN}", "name_not_allowed")}


# ---- the whole of it ----

def test_in_cordon_run(lab, arrived):
    """The same by `cordon run`, as a user: its variables are all that the clients are told."""
    uid = str(61000 + os.getpid() % 1000)
    work = f"{lab.dir}/work"
    os.makedirs(f"{work}/c/src")
    with open(f"{work}/c/Cargo.toml", "w") as f:
        f.write("[package]\nname = \"mine\"\nversion = \"1.0.0\"\n[dependencies]\nleft-pad = \"1\"\n")
    open(f"{work}/c/src/lib.rs", "w").close()
    for path in glob.glob(f"{work}/**", recursive=True):
        os.chown(path, int(uid), int(uid))
    script = (f"export HOME=$PWD\n{' '.join(PIP)} install -q --target t left-pad &&\n"
              "npm install left-pad && cd c && cargo fetch\n")
    works(lab.cordon("run", "--profile", "packages", "--", "sh", "-c", script, cwd=work,
                     env={"SUDO_UID": uid, "SUDO_GID": uid}))
    assert {host for host, _, _, _ in arrived()} >= {PYPI, FILES, NPM, CRATES}


def test_recipes():
    """What the documentation tells to write is what was tested here, all of it."""
    def lines(text):
        return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    with open(f"{ROOT}/docs/packages.md") as f:
        blocks = [lines(block) for block in re.findall(r"```yaml\n(.*?)```", f.read(), re.S)]
    shown = blocks.pop(0)
    assert shown == lines(example("cordon.yaml"))[1:]
    assert sum(blocks, []) == lines(example("packages.yaml"))[5:]
