"""labobjects - git objects and packs made by hand, so that a test may push what git would not make

Theory of operation: an Object is a type and bytes; its id follows. pack() is what git-receive-pack gets after
the commands, whole unless a test says otherwise, with objects in the order in which they are given. Entries of
trees and fields of commits are written as they come: nothing here checks anything.
"""

import hashlib
import itertools
import struct
import zlib
from dataclasses import dataclass

COMMIT, TREE, BLOB, TAG, OFS, REF = 1, 2, 3, 4, 6, 7
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
FILE, PROGRAM, LINK, DIR, MODULE = b"100644", b"100755", b"120000", b"40000", b"160000"
HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
ADA = b"Ada <ada@lab.invalid> 1800000000 +0000"
_counter = itertools.count(1)


@dataclass(frozen=True)
class Object:
    kind: int
    data: bytes
    format: str = "sha1"

    @property
    def digest(self):
        return HASHES[self.format](b"%s %d\0" % (NAMES[self.kind], len(self.data)) + self.data).digest()

    @property
    def id(self):
        return self.digest.hex()


@dataclass(frozen=True)
class Delta:
    """An object as instructions over another, named by its id: bytes is the whole entry's content."""
    base: bytes		# id
    data: bytes


def blob(data, format="sha1"):
    return Object(BLOB, data, format)


def tree(*entries, sort=True, format="sha1"):
    """Of (mode, name, Object or raw id)."""
    rows = [(mode, name, e.digest if isinstance(e, Object) else e) for mode, name, e in entries]
    if sort:
        rows.sort(key=lambda row: row[1] + (b"/" if row[0] == DIR else b""))
    return Object(TREE, b"".join(b"%s %s\0%s" % row for row in rows), format)


def commit(tree, *parents, message=b"change\n", author=ADA, committer=ADA, headers=b"", format="sha1"):
    """headers: whole lines, each with its end."""
    text = b"tree %s\n" % tree.id.encode()
    text += b"".join(b"parent %s\n" % (p.id if isinstance(p, Object) else p).encode() for p in parents)
    return Object(COMMIT, text + b"author %s\ncommitter %s\n%s\n%s" % (author, committer, headers, message), format)


def tag(target, name=b"v1", message=b"tag\n", tagger=ADA):
    text = b"object %s\ntype %s\ntag %s\ntagger %s\n\n" % (target.id.encode(), NAMES[target.kind], name, tagger)
    return Object(TAG, text + message, target.format)


def change(*parents, files=None, message=b"change\n", format="sha1", **kw):
    """[commit, tree, blobs...] with these files at its top ({name: bytes}); unlike any other when none are named."""
    if files is None:
        files = {b"file": b"change %d\n" % next(_counter)}
    blobs = {name: blob(data, format) for name, data in files.items()}
    top = tree(*((FILE, name, b) for name, b in blobs.items()), format=format)
    return [commit(top, *parents, message=message, format=format, **kw), top, *blobs.values()]


# ---- packs

def _size(n):
    """As deltas write a number."""
    out = b""
    while True:
        out += bytes([n & 0x7f | (0x80 if n > 0x7f else 0)])
        n >>= 7
        if not n:
            return out


def insert(data):
    """Delta instructions that spell data out."""
    return b"".join(bytes([len(data[i:i + 127])]) + data[i:i + 127] for i in range(0, len(data), 127))


def copy(offset, size):
    """Delta instruction: that much of the base, from there."""
    return b"\xff" + struct.pack("<I", offset) + struct.pack("<I", size)[:3]


def delta(base, result_size, instructions, base_size=None):
    """Of an Object, or of what has that raw id."""
    size = len(base.data) if base_size is None else base_size
    return Delta(base.digest if isinstance(base, Object) else base, _size(size) + _size(result_size) + instructions)


def entry(item):
    """One object as a pack holds it."""
    kind, data = (REF, item.data) if isinstance(item, Delta) else (item.kind, item.data)
    n, first = len(data) >> 4, (kind << 4) | (len(data) & 15)
    head = b""
    while n:
        head += bytes([first | 0x80])
        n, first = n >> 7, n & 0x7f
    head += bytes([first])
    return head + (item.base if isinstance(item, Delta) else b"") + zlib.compress(data)


def pack(*items, count=None, version=2, trailer=None, format="sha1"):
    """A pack of Objects, Deltas and raw entries."""
    out = struct.pack(">4sII", b"PACK", version, len(items) if count is None else count)
    out += b"".join(item if isinstance(item, bytes) else entry(item) for item in items)
    return out + (HASHES[format](out).digest() if trailer is None else trailer)
