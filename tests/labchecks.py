"""labchecks - the push gate's checks alone: objects made by hand go in, a verdict comes out"""

import os
import re
import subprocess
from dataclasses import dataclass, field

from lab import ROOT
from labobjects import NAMES

CHECKED = os.path.join(ROOT, os.environ.get("CHECKED", "build/checked"))
ENV = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


@dataclass
class Verdict:
    verdict: str = ""
    missing: str = ""
    objects: dict = field(default_factory=dict)		# id: "reason text"
    refused: list = field(default_factory=list)		# (index or "push", reason, text)
    ops: dict = field(default_factory=dict)			# index: op
    pointers: dict = field(default_factory=dict)		# blob: size
    places: dict = field(default_factory=dict)		# id: (commit, before, path)

    @property
    def reasons(self):
        return {reason for _, reason, _ in self.refused}


def zero(format="sha1"):
    return "0" * (40 if format == "sha1" else 64)


def text_of(pack, mirror, commands, lines, format):
    out = [f"format {format}".encode(), *(line.encode() for line in lines)]
    out += [f"command {old or zero(format)} {new or zero(format)} {ref}".encode() for old, new, ref in commands]
    where = {}
    for place, objects in (("pack", pack), ("mirror", mirror)):
        for o in objects:
            where[o.id] = ("both" if where.get(o.id, (place,))[0] != place else place, o)
    for place, o in where.values():
        out += [b"object %s %s %s %d" % (place.encode(), o.id.encode(), NAMES[o.kind], len(o.data)), o.data]
    return b"\n".join(out) + b"\n"


def judge(pack, commands=(), mirror=(), lines=(), format="sha1"):
    """commands: (old id or None, new id or None, ref). lines: of tests/tools/gate_check.c."""
    done = subprocess.run([f"{CHECKED}/gate-check"], input=text_of(pack, mirror, commands, lines, format), env=ENV,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    v = Verdict()
    for line in done.stdout.decode(errors="surrogateescape").splitlines():
        word, *rest = re.split(" ", line, maxsplit=1)
        rest = rest[0].split(" ") if rest else []
        if word == "object":
            v.objects[rest[0]] = " ".join(rest[1:])
        elif word == "refused":
            v.refused.append((rest[0] if rest[0] == "push" else int(rest[0]), rest[1], " ".join(rest[2:])))
        elif word == "op":
            v.ops[int(rest[0])] = rest[1]
        elif word == "pointer":
            v.pointers[rest[0]] = int(rest[1])
        elif word == "place":
            v.places[rest[0]] = (rest[1], rest[2], " ".join(rest[3:]))
        elif word == "verdict":
            v.verdict, v.missing = rest[0], rest[1]
    return v
