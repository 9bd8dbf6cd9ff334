"""labgit - repositories upstream that a test may change, and a git server that a test may spoil

Theory of operation: a Repository is a bare one on the server's side; its history is made by fast-import,
so it costs milliseconds. A GitServer is HTTPS in the lab's internet in front of `git upload-pack`: every
question is noted as what it is (advertisement, ls-refs, fetch), and `change` may replace its answer.
"""

import contextlib
import os
import re
import shutil
import ssl
import subprocess
import threading
from dataclasses import dataclass, field

import labworld
from labhttp import UPLOAD, Rude
from labnet import ENV, PATIENCE, wait_for
from labworld import WWW, fast_import

GIT = {**ENV, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


class Repository:
    """A bare repository upstream: of apache as github.com, or of a GitServer."""

    def __init__(self, root, name, commits=5, owner=WWW, host="github.com", format="sha1"):
        self.name, self.path, self.url = name, f"{root}/{name}.git", f"https://{host}/{name}"
        self._owner, self._count = owner, 0
        fast_import(self.path, name, commits, format)
        self._owned()

    def git(self, *argv, **kw):
        out = subprocess.run(["git", "-c", "safe.directory=*", "-C", self.path, *argv], env=GIT, check=True,
                             capture_output=True, text=True, **kw).stdout.strip()
        self._owned()
        return out

    def _owned(self):
        """All of it is the server's; again when a git or a hook of its own took a file away meanwhile."""
        argv = ["chown", "-hR", f"{self._owner}:{self._owner}", self.path]
        if self._owner:
            wait_for("an owner", lambda: not subprocess.run(argv, stderr=subprocess.DEVNULL).returncode)

    def commit(self, branch="main", parent=True, onto=None, before=None):
        """One commit more, on top of a branch (of another branch, or of nothing); its id. No two are alike.

        before(id): called when it is there and no branch shows it yet.
        """
        self._count += 1
        text = f"{self.name} {self._count}\n"
        tip = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{onto or branch}") if parent else ""
        made = "refs/made" if before else f"refs/heads/{branch}"
        self.git("fast-import", "--quiet", "--force",
                 input=f"commit {made}\ncommitter A <a@lab.invalid> {1800000000 + self._count} +0000\n"
                       f"data {len(text)}\n{text}" + (f"from {tip}\n" if tip else "")
                       + f"M 100644 inline added.txt\ndata {len(text)}\n{text}\n")
        if before:
            before(self.git("rev-parse", made))
            self.git("update-ref", f"refs/heads/{branch}", made)
        return self.tip(branch)

    def tip(self, branch="main"):
        return self.git("rev-parse", f"refs/heads/{branch}")

    def remove(self):
        """Also while a git of upstream, cut off, removes what it had begun there."""
        while os.path.exists(self.path):
            shutil.rmtree(self.path, ignore_errors=True)


@dataclass
class Asked:
    """One question: kind is "advertisement", "ls-refs", "fetch" or "other"."""
    kind: str
    repo: str
    protocol: str
    authorization: str
    agent: str
    body: bytes

    @property
    def wants(self):
        return re.findall(rb"want ([0-9a-f]{40,64})", self.body)


@dataclass
class Answer:
    """What is said; length: what is claimed of the body, true or not."""
    status: str = "200 OK"
    type: str = f"{UPLOAD}-result"
    body: bytes = b""
    fields: list = field(default_factory=list)
    length: int = None

    def text(self):
        return "\r\n".join([f"HTTP/1.1 {self.status}", "Expires: Fri, 01 Jan 1980 00:00:00 GMT", "Pragma: no-cache",
                            "Cache-Control: no-cache, max-age=0, must-revalidate", f"Content-Type: {self.type}",
                            *self.fields, f"Content-Length: {len(self.body) if self.length is None else self.length}",
                            "Connection: close", "", ""]).encode() + self.body


class GitServer(Rude):
    """gitlab.com, when the lab's `hosts` says so. change(asked, answer): what is said instead, or None."""

    CONFIG = {"gitlab.com": labworld.SERVICES[0]}

    def __init__(self, lab, root=None):
        certs = lab.world.certs
        self.root = root or f"{lab.dir}/gitlab"
        self.asked, self.change = [], None
        self._internet = lab.internet
        self._files = f"{certs}/gitlab.com.crt", f"{certs}/gitlab.com.key"
        super().__init__(lab.internet, (), *self._files)
        self.answer = self._answer
        self._listeners = []
        self.listen()

    def repository(self, name, commits=5):
        return Repository(self.root, name, commits, owner=None, host="gitlab.com")

    def listen(self):
        for address in labworld.SERVICES:
            listener = self._internet.listen(address, 443)
            listener.settimeout(None)
            self._listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self):
        """Refuse connections from now on."""
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(2)
            listener.close()
        self._listeners.clear()

    def reset(self):
        """An honest server again, that was asked nothing."""
        self.certificate(*self._files)
        self.change = None
        self.asked.clear()
        if not self._listeners:
            self.listen()

    def count(self, kind, repo=None):
        return sum(a.kind == kind and repo in (None, a.repo) for a in self.asked)

    def _answer(self, s, request):
        head, body = request.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        method, target, _ = lines[0].split(" ")
        path = re.fullmatch(r"/(.+)\.git/(info/refs|git-upload-pack)(\?.*)?", target)
        command = re.match(rb"....command=([a-z-]+)", body)
        asked = Asked("advertisement" if method == "GET" else command[1].decode() if command else "other",
                      path[1] if path else target, fields.get("git-protocol", ""), fields.get("authorization"),
                      fields.get("user-agent"), body)
        self.asked.append(asked)
        answer = self._honest(asked)
        answer = (self.change and self.change(asked, answer)) or answer
        if callable(answer):
            answer(s)
        else:
            s.sendall(answer.text())
        with contextlib.suppress(OSError, ssl.SSLError):
            s.unwrap()

    def _honest(self, asked):
        first = asked.kind == "advertisement"
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "-c", "uploadpack.allowFilter=true", "upload-pack", "--stateless-rpc",
             *(["--http-backend-info-refs"] if first else []), f"{self.root}/{asked.repo}.git"],
            input=asked.body, capture_output=True, env={**GIT, "GIT_PROTOCOL": asked.protocol}, timeout=PATIENCE)
        if done.returncode and not done.stdout:
            return Answer("404 Not Found", "text/plain", b"no such repository\n")
        if not first:
            return Answer(body=done.stdout)
        service = b"" if "2" in asked.protocol else b"001e# service=git-upload-pack\n0000"
        return Answer(type=f"{UPLOAD}-advertisement", body=service + done.stdout)
