"""labregistry - package registries made of files, behind the names that clients ask by default

Theory of operation: what PyPI, npm, crates.io and Debian's archive serve to a client that installs are
trees of files with a fixed layout. They are built here, with one or two small packages each, and served by
an apache2 of their own at the lab's SERVICES addresses; the index of crates.io is also a git repository
on the lab's github.com. Layouts: PEP 503, npm's package metadata, cargo's registry index, Debian's archive.
"""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile

import labworld
from labnet import ENV, LabError, tool, wait_for
from labworld import APACHE_CONF, MODULES, SERVICES, WWW, Web

PYPI, FILES = "pypi.org", "files.pythonhosted.org"
NPM = "registry.npmjs.org"
CRATES, INDEX = "static.crates.io", "index.crates.io"
DEBIAN = "deb.debian.org"
NAMES = (PYPI, FILES, NPM, CRATES, INDEX, DEBIAN)

SITE = r"""
<VirtualHost *:80>
ServerName {name}
DocumentRoot {dir}/sites/{name}
</VirtualHost>
<VirtualHost *:443>
ServerName {name}
DocumentRoot {dir}/sites/{name}
SSLEngine on
SSLCertificateFile {certs}/registries.crt
SSLCertificateKeyFile {certs}/registries.key
AllowEncodedSlashes On
SetOutputFilter DEFLATE
DeflateAlterETag NoChange
{more}
</VirtualHost>
"""

# What a client sees of the type and the age of an answer.
MORE = {
    PYPI: "ForceType text/html",
    FILES: "SetEnv no-gzip 1",
    NPM: r"""AliasMatch "^/((?:@[^/]+/)?[^/@]+)$" "{dir}/sites/registry.npmjs.org/metadata/$1.json"
<LocationMatch "^/(@[^/]+/)?[^/@]+$">
ForceType application/json
</LocationMatch>""",
    CRATES: "SetEnv no-gzip 1",
    INDEX: "ForceType text/plain",
    DEBIAN: "SetEnv no-gzip 1",
}


def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def tarball(files):
    """A .tar.gz of {name: text}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


# ---- pip ----

def wheel(name, requires=()):
    """A wheel of one module that says its name (the binary distribution format)."""
    module, out = name.replace("-", "_"), io.BytesIO()
    info = f"{module}-1.0.dist-info"
    files = {
        f"{module}.py": f"NAME = {name!r}\nDATA = {os.urandom(200000).hex()!r}\n",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0",
                                       *(f"Requires-Dist: {r}" for r in requires), "", ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{n},,\n" for n in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for n, text in files.items():
            z.writestr(n, text)
    return f"{module}-1.0-py3-none-any.whl", out.getvalue()


def python_package(root, name, requires=()):
    """The page of a package, and its file on the other host (PEP 503)."""
    file, data = wheel(name, requires)
    digest = hashlib.sha256(data).hexdigest()
    path = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{file}"
    put(f"{root}/{FILES}/{path}", data)
    put(f"{root}/{PYPI}/simple/{name}/index.html",
        f"<!DOCTYPE html>\n<html><body><a href=\"https://{FILES}/{path}#sha256={digest}\">{file}</a>"
        f"{'<br>' * 500}</body></html>\n")
    return path


# ---- npm ----

def node_package(root, name, requires=()):
    """Metadata, and the tarball below `-`."""
    about = {"name": name, "version": "1.0.0", "main": "index.js", "dependencies": {r: "^1.0.0" for r in requires}}
    data = tarball({"package/package.json": json.dumps(about),
                    "package/index.js": f"module.exports = {json.dumps(name)}\n"})
    file = f"{name}/-/{name.rpartition('/')[2]}-1.0.0.tgz"
    put(f"{root}/{NPM}/{file}", data)
    dist = {"tarball": f"https://{NPM}/{file}",
            "shasum": hashlib.sha1(data).hexdigest(),
            "integrity": f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"}
    put(f"{root}/{NPM}/metadata/{name}.json", json.dumps(
        {"_id": name, "name": name, "dist-tags": {"latest": "1.0.0"}, "readme": "x" * 3000,
         "versions": {"1.0.0": {**about, "dist": dist}}}))


# ---- cargo ----

def crate(root, name, requires=()):
    """The crate's file; its path in the index, and the index's line."""
    manifest = "\n".join([f"[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2018\"", "[dependencies]",
                          *(f"{r} = \"1\"" for r in requires), ""])
    data = tarball({f"{name}-1.0.0/Cargo.toml": manifest, f"{name}-1.0.0/src/lib.rs": "// nothing\n"})
    put(f"{root}/{CRATES}/crates/{name}/1.0.0/download", data)
    deps = [{"name": r, "req": "^1", "features": [], "optional": False, "default_features": True,
             "target": None, "kind": "normal"} for r in requires]
    return f"{name[:2]}/{name[2:4]}/{name}", json.dumps(
        {"name": name, "vers": "1.0.0", "deps": deps, "cksum": hashlib.sha256(data).hexdigest(),
         "features": {}, "yanked": False}) + "\n"


def crate_index(root, repos, crates):
    """The index, as files to fetch one by one and as a git repository."""
    files = {"config.json": json.dumps({"dl": f"https://{CRATES}/crates", "api": "https://crates.io"}), **crates}
    for path, text in files.items():
        put(f"{root}/{INDEX}/{path}", text)
    repo = f"{repos}/rust-lang/crates.io-index"
    shutil.rmtree(f"{repo}.git", ignore_errors=True)
    os.makedirs(os.path.dirname(repo), exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for path, text in files.items():
            put(f"{work}/{path}", text)
        env = {**ENV, "HOME": work, "GIT_CONFIG_NOSYSTEM": "1"}
        for argv in (["init", "-q", "-b", "master"], ["add", "."],
                     ["-c", "user.name=a", "-c", "user.email=a@lab.invalid", "commit", "-q", "-m", "crates"],
                     ["clone", "-q", "--bare", ".", f"{repo}.git"]):
            subprocess.run(["git", *argv], cwd=work, check=True, env=env)
    if not os.path.islink(repo):
        os.symlink("crates.io-index.git", repo)
    tool("chown", "-hR", f"{WWW}:{WWW}", f"{repo}.git", repo)


# ---- apt ----

def debian_archive(root, work):
    """A suite `lab` of one package whose file name has what clients escape."""
    root, package = f"{root}/{DEBIAN}/debian", f"{work}/hello-lab"
    control = ("Package: hello-lab\nVersion: 1.0~x+1\nArchitecture: all\nMaintainer: A <a@lab.invalid>\n"
               "Description: nothing\n")
    put(f"{package}/DEBIAN/control", control)
    put(f"{package}/data", os.urandom(300000))
    os.makedirs(f"{root}/pool")
    tool("dpkg-deb", "--build", "--root-owner-group", package, f"{root}/pool")
    [name] = os.listdir(f"{root}/pool")
    with open(f"{root}/pool/{name}", "rb") as f:
        data = f.read()
    index = (f"{control}Filename: pool/{name}\nSize: {len(data)}\n"
             f"SHA256: {hashlib.sha256(data).hexdigest()}\n").encode()
    machine = tool("dpkg", "--print-architecture").strip()
    put(f"{root}/dists/lab/main/binary-{machine}/Packages", index)
    put(f"{root}/dists/lab/Release",
        f"Suite: lab\nCodename: lab\nComponents: main\nArchitectures: {machine}\nSHA256:\n "
        f"{hashlib.sha256(index).hexdigest()} {len(index)} main/binary-{machine}/Packages\n")


# ---- all of them ----

class Registries(Web):
    """Every registry of a lab, at NAMES; packages `left-pad` (needs another), and `other`."""

    def __init__(self, lab):
        super().__init__(lab.internet, lab.world, f"{lab.dir}/registries")

    def start(self):
        dir, world = self.dir, self._world
        root = f"{dir}/sites"
        os.makedirs(root)
        world.make_leaf("registries", *NAMES)
        self.files = {n: python_package(root, n, r) for n, r in
                      (("left-pad", ["right-pad"]), ("right-pad", []), ("other", []))}
        for name, requires in (("left-pad", ["@acme/pad"]), ("@acme/pad", []), ("other", []), ("@other/pad", [])):
            node_package(root, name, requires)
        crate_index(root, world.repos, dict(crate(root, name, requires) for name, requires in
                                            (("left-pad", ["right-pad"]), ("right-pad", []), ("other", []))))
        debian_archive(root, dir)
        sites = [SITE.format(name=n, dir=dir, certs=world.certs, more=MORE[n].format(dir=dir)) for n in NAMES]
        modules = {**MODULES, "deflate": "deflate", "filter": "filter"}
        put(f"{dir}/httpd.conf", APACHE_CONF.format(
            dir=dir, uid=WWW, sites="\n".join(sites),
            listen="\n".join(f"Listen {f'[{a}]' if ':' in a else a}:{p}" for a in SERVICES for p in (80, 443)),
            modules="\n".join(f"LoadModule {n}_module /usr/lib/apache2/modules/mod_{f}.so"
                              for n, f in modules.items())))
        program = shutil.which("apache2", path=ENV["PATH"]) or shutil.which("httpd", path=ENV["PATH"])
        if not program:
            raise LabError("apache2 is missing: make test-deps")
        self._process = self._space.start([program, "-D", "FOREGROUND", "-f", f"{dir}/httpd.conf"])

    def ready(self):
        def probe():
            if self._process.poll() is not None:
                raise LabError(f"the registries ended: {open(self.dir + '/error.log').read()}")
            return self._space.listening(labworld.SERVICES[0], 443)
        wait_for("the registries", probe)
