"""lablfs - a git server with Git LFS, whose objects lie on another host

Theory of operation: an LfsServer is gitlab.com (git by `git upload-pack` and `git receive-pack`, batch requests
behind a password that the gate's credential alone knows) and objects.example, where a step needs the signature
in its URL and the fields that the batch named. It keeps what it was asked, and `spoil` may replace an answer.
LfsWork is a clone inside a sandbox, by the real git and git-lfs.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets as random
import ssl
import subprocess
from dataclasses import dataclass, field

import labworld
from labgit import GIT, Answer, GitServer, Repository
from labnet import PATIENCE

OBJECTS = "objects.example"
TOKEN = "lfs-token_0123456789abcdefghij"
LFS_TYPE = "application/vnd.git-lfs+json"
CLIENT = ["-c", "filter.lfs.smudge=git-lfs smudge -- %f", "-c", "filter.lfs.process=git-lfs filter-process",
          "-c", "filter.lfs.clean=git-lfs clean -- %f", "-c", "filter.lfs.required=true",
          "-c", "user.name=a", "-c", "user.email=a@lab.invalid", "-c", "lfs.transfer.maxretries=1"]
ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
_works = itertools.count(1)


def oid_of(data):
    return hashlib.sha256(data).hexdigest()


def pointer(data):
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid_of(data)}\nsize {len(data)}\n"


@dataclass
class Step:
    """One request for an object, as objects.example got it."""
    method: str
    oid: str
    fields: dict = field(default_factory=dict)
    body: bytes = b""


class LfsServer(GitServer):
    CONFIG = {"gitlab.com": labworld.SERVICES[0], OBJECTS: labworld.SERVICES[0]}

    def __init__(self, lab):
        world = lab.world
        if not os.path.exists(f"{world.certs}/{OBJECTS}.crt"):
            world.make_leaf(OBJECTS, "gitlab.com")
        super().__init__(lab, f"{lab.dir}/lfs")
        self._files = f"{world.certs}/{OBJECTS}.crt", f"{world.certs}/{OBJECTS}.key"
        self.certificate(*self._files)
        self.authorization = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        self.reset()

    def reset(self):
        super().reset()
        self.store = {}			# (repository, oid): bytes
        self.batches, self.steps, self.told = [], [], []
        self.signatures = {}		# of steps that were named: (method, repository, oid, field)
        self.spoil = None		# spoil(what, ...): another answer, or None
        self.action = {}		# more of each step that is named
        self.host = "gitlab.com"	# that steps for itself name
        self.names_fields = True

    def repository(self, name, files=None):
        """A bare repository whose main has these files; those of *.bin by pointer, their objects in the store."""
        repo = Repository(self.root, name, 1, owner=None, host="gitlab.com")
        repo.git("config", "http.receivepack", "true")
        entries = {".gitattributes": ATTRIBUTES.encode(), **(files or {})}
        out = f"commit refs/heads/main\ncommitter A <a@lab.invalid> 1800000000 +0000\ndata 2\nx\nfrom {repo.tip()}\n"
        for path, data in entries.items():
            if path.endswith(".bin"):
                self.store[name, oid_of(data)] = data
                data = pointer(data).encode()
            out += f"M 100644 inline {path}\ndata {len(data)}\n{data.decode()}\n"
        repo.git("fast-import", "--quiet", input=out)
        return repo

    # ---- what is served ----

    def _answer(self, s, request):
        head, body = request.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        method, target, _ = lines[0].split(" ")
        if fields["host"] == OBJECTS:
            answer = self._object(method, target, fields, body)
        elif match := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", target):
            answer = self._batch(match[1], fields, body)
        elif match := re.fullmatch(r"/(.+)\.git/lfs-verify", target):
            answer = self._verify(match[1], fields, body)
        elif match := re.fullmatch(r"/(.+)\.git/(info/refs\?service=)?git-receive-pack", target):
            answer = self._receive(match[1], bool(match[2]), fields, body)
        else:
            super()._answer(s, request)
            return
        if callable(answer):
            answer(s)
            return
        s.sendall(answer.text())
        with contextlib.suppress(OSError, ssl.SSLError):
            s.unwrap()

    def _spoiled(self, what, *args):
        return self.spoil(what, *args) if self.spoil else None

    def _may(self, fields):
        return fields.get("authorization") == self.authorization

    def _batch(self, repo, fields, body):
        asked = json.loads(body)
        self.batches.append((repo, asked, fields))
        if spoiled := self._spoiled("batch", repo, asked):
            return spoiled
        if not self._may(fields):
            return Answer("401 Unauthorized", LFS_TYPE, b'{"message": "who are you"}',
                          ["WWW-Authenticate: Basic realm=lab"])
        objects = [self._entry(repo, asked["operation"], o) for o in asked["objects"]]
        return Answer(type=LFS_TYPE, body=json.dumps({"transfer": "basic", "objects": objects}).encode())

    def _entry(self, repo, operation, o):
        entry, there = {"oid": o["oid"], "size": o["size"]}, (repo, o["oid"]) in self.store
        if operation == "download" and not there:
            return {**entry, "error": {"code": 404, "message": "Object does not exist"}}
        if operation == "upload" and there:
            return entry
        actions = {operation: self._name("GET" if operation == "download" else "PUT", repo, o["oid"])}
        if operation == "upload":
            actions["verify"] = {"href": f"https://{self.host}/{repo}.git/lfs-verify", **self.action}
        return {**entry, "authenticated": True, "actions": actions}

    def _name(self, method, repo, oid):
        signature, secret = random.token_hex(16), f"Signed {random.token_hex(16)}"
        self.signatures[signature] = (method, repo, oid, secret if self.names_fields else None)
        step = {"href": f"https://{OBJECTS}/{oid}?X-Amz-Signature={signature}", "expires_in": 300}
        if self.names_fields:
            step["header"] = {"Authorization": secret, "X-Lab": "1"}
            if method == "PUT":		# as GitLab does it
                step["header"]["Transfer-Encoding"] = "chunked"
        return {**step, **self.action}

    def _object(self, method, target, fields, body):
        match = re.fullmatch(r"/([0-9a-f]{64})\?X-Amz-Signature=([0-9a-f]{32})", target)
        oid = match[1] if match else target
        self.steps.append(Step(method, oid, fields, body))
        if spoiled := self._spoiled("object", method, oid):
            return spoiled
        named = self.signatures.get(match[2]) if match else None
        if not named or named[0] != method or named[2] != oid or (named[3] and fields.get("authorization") != named[3]):
            return Answer("403 Forbidden", "text/plain", b"no\n")
        if method == "GET":
            return Answer(type="application/octet-stream", body=self.store[named[1], oid])
        if oid_of(body) != oid:
            return Answer("400 Bad Request", "text/plain", b"another hash\n")
        self.store[named[1], oid] = body
        return Answer(type="text/plain")

    def _verify(self, repo, fields, body):
        told = json.loads(body)
        self.told.append((repo, told["oid"], told["size"]))
        good = self._may(fields) and len(self.store.get((repo, told["oid"]), b"")) == told["size"]
        return Answer("200 OK" if good else "404 Not Found", LFS_TYPE, b"{}")

    def _receive(self, repo, first, fields, body):
        if spoiled := self._spoiled("push", repo, first):
            return spoiled
        if not self._may(fields):
            return Answer("401 Unauthorized", "text/plain", b"no\n", ["WWW-Authenticate: Basic realm=lab"])
        done = subprocess.run(["git", "-c", "safe.directory=*", "receive-pack", "--stateless-rpc",
                               *(["--http-backend-info-refs"] if first else []), f"{self.root}/{repo}.git"],
                              input=body, capture_output=True, env=GIT, timeout=PATIENCE)
        if first:
            return Answer(type="application/x-git-receive-pack-advertisement",
                          body=b"001f# service=git-receive-pack\n0000" + done.stdout)
        return Answer(type="application/x-git-receive-pack-result", body=done.stdout)

    def secrets(self):
        """Every text that must never reach a sandbox or a log."""
        return [TOKEN, self.authorization[6:], OBJECTS, *self.signatures,
                *(s[3].split(" ")[1] for s in self.signatures.values() if s[3])]


class LfsWork:
    """A clone inside a sandbox, by git and git-lfs."""

    def __init__(self, lab, repo, *options, sandbox=None, env=None):
        self.sandbox, self.to = sandbox or lab.sandbox, f"lfs{next(_works)}"
        self.cloned = self.sandbox.git(*CLIENT, *options, "clone", "-q", repo.url, self.to, timeout=60, env=env)

    def git(self, *argv, **kw):
        return self.sandbox.git("-C", self.to, *CLIENT, *argv, timeout=60, **kw)

    def must(self, *argv, **kw):
        done = self.git(*argv, **kw)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, name, data):
        with open(f"{self.sandbox.dir}/home/{self.to}/{name}", "wb") as f:
            f.write(data)

    def read(self, name):
        with open(f"{self.sandbox.dir}/home/{self.to}/{name}", "rb") as f:
            return f.read()


def batch_body(operation, *objects, **more):
    """objects: (oid, size)"""
    return json.dumps({"operation": operation, "transfers": ["basic"],
                       "objects": [{"oid": o, "size": n} for o, n in objects], **more}).encode()
