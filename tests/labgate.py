"""labgate - cordon-scan, asked as cordon-mirror asks it

Theory of operation: message numbers and field sizes are read from gitproxy/gate/gate_ipc.h and its neighbours,
bodies are packed as their structs are laid out. A Judge is one cordon-scan on a pair; push() asks and gives back
an Answer with everything that came before the socket's end.
"""

import array
import contextlib
import fcntl
import hashlib
import os
import re
import socket
import string
import struct
import subprocess
from dataclasses import dataclass, field

from lab import BUILD, ROOT
from labnet import PATIENCE

HEADER = open(f"{ROOT}/gitproxy/gate/gate_ipc.h").read()


def enum(name):
    body = re.sub(r"/\*.*?\*/", "", re.search(rf"enum {name} \{{(.*?)\}}", HEADER, re.S)[1], flags=re.S)
    names = re.findall(r"\b(?:GATE|JUDGE)_([A-Z_]+)\b", body)
    return {i: n.lower() for i, n in enumerate(names)}


MESSAGES, VERDICTS = enum("gate_message"), enum("judge_verdict")
PLACES, WEIGHTS, PHASES = enum("gate_place"), enum("gate_weight"), enum("gate_phase")
NUMBER = {name: number for number, name in MESSAGES.items()}
REASONS = ["none", *re.findall(r'\tX\([A-Z_]+, "([a-z_]+)"', open(f"{ROOT}/policy/reason.h").read())]
ZERO = {"sha1": "0" * 40, "sha256": "0" * 64}
SEALS = 0x1 | 0x2 | 0x4 | 0x8		# F_SEAL_*: SEAL, SHRINK, GROW, WRITE
F_ADD_SEALS = 1033
ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1",
       "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example", "GIT_COMMITTER_NAME": "a",
       "GIT_COMMITTER_EMAIL": "a@example", "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}


def token(n=1):
    """The nth secret that the scanner knows. Never written out: tests are scanned too."""
    letters = string.ascii_letters + string.digits
    return "ghp" + "_" + "".join(letters[(n * 7919 + i * i * 31 + i * 17) % len(letters)] for i in range(36))


def sealed(data):
    fd = os.memfd_create("x", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, F_ADD_SEALS, SEALS)
    return fd


def oid(text):
    return bytes.fromhex(text).ljust(32, b"\0")


def push_list(commands, options=(), form="sha1"):
    """commands: (old, new, ref), old and new in hexadecimal, None for none."""
    pack = any(new for _, new, _ in commands)
    head = struct.pack("<IIBBBBB3x", len(commands), len(options), form == "sha256", 0, 0, pack, 127 & ~8)
    rows = b"".join(oid(old or ZERO[form]) + oid(new or ZERO[form]) + ref.encode().ljust(256, b"\0")
                    for old, new, ref in commands)
    return head + rows + b"".join(o.encode().ljust(1024, b"\0") for o in options)


def push_rules(refs=("refs/heads/**",), denied=(), warn=False, force=True, delete=True, create=True, lfs=False):
    def patterns(p):
        return b"".join(x.encode().ljust(256, b"\0") for x in p).ljust(64 * 256, b"\0")
    return struct.pack("<BBBBBB2xIIQ", 1, create, force, delete, warn, lfs, len(refs), len(denied), 1 << 30) \
        + patterns(refs) + patterns(denied)


def text(raw):
    return raw.split(b"\0")[0].decode()


def object_id(raw):
    return raw[:20].hex() if not any(raw[20:]) else raw.hex()


def progress(body):
    phase, done, total = struct.unpack("<I4xQQ", body)
    return {"phase": PHASES[phase], "done": done, "total": total}


def finding(body):
    place, weight, index, line, column, obj, commit, rule, mark, path = struct.unpack_from(
        "<BB2xIQQ32s32s64s33s1028s", body)
    return {"place": PLACES[place], "weight": WEIGHTS[weight], "index": index, "line": line, "column": column,
            "object": object_id(obj), "commit": object_id(commit), "rule": text(rule), "fingerprint": text(mark),
            "path": text(path)}


def command(body):
    index, reason, op, why = struct.unpack("<III4x160s", body)
    return {"index": index, "reason": REASONS[reason], "op": op, "text": text(why)}


def pointer(body):
    size, sha, blob = struct.unpack("<Q32s32s", body)
    return {"size": size, "sha256": sha.hex(), "blob": object_id(blob)}


def judged(body):
    verdict, reason, objects, size, *counts = struct.unpack_from("<IIQQ8III", body)
    thin, pack, missing, detail = struct.unpack_from("<B7x32s32s160s", body, 64)
    return {"verdict": VERDICTS[verdict], "reason": REASONS[reason], "objects": objects, "bytes": size,
            "counts": {WEIGHTS[i]: n for i, n in enumerate(counts[:8]) if n}, "untold": counts[8], "pointers": counts[9],
            "thin": bool(thin), "pack": object_id(pack), "missing": object_id(missing), "detail": text(detail)}


PARSERS = {"progress": progress, "finding": finding, "command": command, "pointer": pointer, "judged": judged}


@dataclass
class Answer:
    """Without `judged`: the socket ended before."""
    progress: list = field(default_factory=list)
    findings: list = field(default_factory=list)
    commands: list = field(default_factory=list)
    pointers: list = field(default_factory=list)
    judged: dict = None
    folder: str = ""

    @property
    def verdict(self):
        return self.judged["verdict"] if self.judged else "failed"

    @property
    def reason(self):
        return self.judged["reason"] if self.judged else "scan_failed"

    def files(self):
        return sorted(os.listdir(self.folder))


class Asked:
    def __init__(self, sock, folder):
        self.sock, self.folder = sock, folder
        sock.settimeout(10 * PATIENCE)

    def next(self):
        """(kind, message), or None at the end."""
        raw = self.sock.recv(16384)
        if not raw:
            return None
        kind, length, _ = struct.unpack_from("<HHI", raw)
        assert len(raw) == 8 + length
        name = MESSAGES[kind]
        return name, PARSERS[name](raw[8:])

    def answer(self):
        a = Answer(folder=self.folder)
        lists = {"progress": a.progress, "finding": a.findings, "command": a.commands, "pointer": a.pointers}
        while (got := self.next()):
            assert a.judged is None, "JUDGED is the last word"
            if got[0] == "judged":
                a.judged = got[1]
            else:
                lists[got[0]].append(got[1])
        self.sock.close()
        return a


class Judge:
    def __init__(self, tmp, rules=None, wrapper=(), quarantines=None):
        self.tmp, self.count, self.quarantines = tmp, 0, quarantines or tmp
        self.pair, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = self.log = open(tmp / "scan.log", "w+")
        fds = [os.dup(theirs.fileno()), os.open(rules or os.devnull, os.O_RDONLY)]

        def place():
            moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
            for to, fd in zip((3, 4), moved):
                os.dup2(fd, to)
        self.child = subprocess.Popen([*wrapper, f"{BUILD}/cordon-scan", str(rules or "builtin")], stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log, pass_fds=(3, 4) if not fds else (), close_fds=False,
                                      preexec_fn=place)
        for fd in fds:
            os.close(fd)
        theirs.close()

    def ask(self, kind, body, fds, folder=""):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        numbers = [theirs.fileno(), *fds]
        self.pair.sendmsg([struct.pack("<HHI", NUMBER[kind], len(body), 0) + body],
                          [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers))])
        theirs.close()
        return Asked(ours, folder)

    def start(self, commands, pack=None, repository="", options=(), form="sha1", rules=None, exceptions=None,
              max_objects=1 << 20, max_inflated=1 << 34, max_written=1 << 40, raw_list=None, removed=False, sandbox=1):
        """pack: bytes, or an open file's number."""
        self.count += 1
        folder = self.quarantines / f"quarantine{self.count}"
        folder.mkdir()
        with contextlib.ExitStack() as stack:
            def keep(fd):
                stack.callback(os.close, fd)
                return fd
            fds = [keep(sealed(raw_list or push_list(commands, options, form))), keep(os.open(folder, os.O_RDONLY | os.O_DIRECTORY)),
                   keep(sealed(rules or push_rules()))]
            if removed:
                folder.rmdir()
            if pack is not None:
                if isinstance(pack, bytes):
                    (self.tmp / f"pack{self.count}").write_bytes(pack)
                    pack = keep(os.open(self.tmp / f"pack{self.count}", os.O_RDONLY))
                fds.append(pack)
            if exceptions is not None:
                fds.append(keep(os.open(exceptions, os.O_RDONLY)))
            body = struct.pack("<BBBxIH6xQQ1024s", form == "sha256", pack is not None, exceptions is not None, max_objects, sandbox,
                               max_inflated, max_written, str(repository).encode())
            return self.ask("judge", body, fds, str(folder))

    def push(self, *args, **kw):
        return self.start(*args, **kw).answer()

    def file(self, data, size=None, sha256=None, rules=None):
        path = self.tmp / "object"
        path.write_bytes(data)
        body = struct.pack("<Q32sB7x", len(data) if size is None else size, sha256 or hashlib.sha256(data).digest(), 0)
        fd, r = os.open(path, os.O_RDONLY), sealed(rules or push_rules())
        try:
            return self.ask("scanfile", body, [fd, r]).answer()
        finally:
            os.close(fd)
            os.close(r)

    def judges(self):
        """Processes that are at work."""
        return [int(p) for p in open(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read().split()]

    def logs(self):
        self.log.flush()
        return open(self.log.name).read()

    def close(self):
        self.pair.close()
        status = self.child.wait(PATIENCE)
        said = self.logs()
        self.log.close()
        assert status == 0, said
        assert "Sanitizer" not in said and "runtime error" not in said, said
        return said


class Repo:
    """A repository made by git, and its pushes as a client would pack them."""

    def __init__(self, path, form="sha1"):
        self.path, self.form = str(path), form
        subprocess.run(["git", "init", "-q", "-b", "main", f"--object-format={form}", self.path], env=ENV, check=True)

    def git(self, *argv, data=None, **kw):
        done = subprocess.run(["git", "-C", self.path, *map(str, argv)], env={**ENV, **kw}, check=True, input=data,
                              stdout=subprocess.PIPE)
        return done.stdout

    def id(self, *argv, data=None):
        return self.git(*argv, data=data).decode().strip()

    def commit(self, files, message="x"):
        for name, content in files.items():
            full = os.path.join(self.path, name)
            if content is None:
                os.unlink(full)
                continue
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as f:
                f.write(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def head(self):
        return self.id("rev-parse", "HEAD")

    def pack(self, new, *have, thin=True, flags=("--delta-base-offset",)):
        revs = "\n".join([*([new] if isinstance(new, str) else new), *(f"^{h}" for h in have)]) + "\n"
        return self.git("pack-objects", "--revs", "--stdout", "-q", *flags, *(["--thin"] if thin else []), data=revs.encode())

    def mirror(self, path, tip):
        """A bare repository that has this and no more."""
        subprocess.run(["git", "init", "-q", "--bare", f"--object-format={self.form}", path], env=ENV, check=True)
        pack = self.pack(tip, thin=False)
        subprocess.run(["git", "-C", path, "index-pack", "--stdin"], env=ENV, check=True, input=pack, stdout=subprocess.DEVNULL)
        subprocess.run(["git", "-C", path, "update-ref", "refs/heads/main", tip], env=ENV, check=True)
        return path
