"""What a pack may hold: nothing hidden, nothing malformed, no bombs, no protected paths. Rows D3 and D10.

The objects are made by hand, since git would make none of them; CVE-2025-54586 is the first.
"""

import itertools
import zlib

import pytest

from lab import row
from labobjects import (ADA, COMMIT, DIR, FILE, LINK, MODULE, TREE, Object, blob, change, commit, copy, delta, insert,
                        pack, tag, tree)
from labpush import FREE, ZERO, Work, commands, policy, push_lab, push_raw, refused

AGENT = "refs/heads/agent/x"
_count = itertools.count(1)


@pytest.fixture(scope="module")
def lab(world):
    with push_lab(world, {"agent": policy("host_mirror", denied_paths=[".github/workflows/**"]), "free": policy("upstream", **FREE)}) as lab:
        yield lab


@pytest.fixture
def repo(lab):
    lab.forge.reset()
    lab.audit.mark()
    repo = lab.forge.repository(f"acme/c{next(_count)}")
    yield repo
    repo.remove()


def request(objects, ref=AGENT, packed=None):
    return commands((ZERO, objects[0].id, ref)) + (pack(*objects) if packed is None else packed)


# ---- D3: hidden objects ----

def gitlink(good, tip):
    """A submodule's entry names a commit; it reaches nothing."""
    inner = change(files={b"hidden": b"by a gitlink\n"})
    top = tree((FILE, b"a", good[2]), (MODULE, b"m", inner[0].digest))
    return [commit(top, tip), top, good[2], *inner]


HIDDEN = {
    "a blob": lambda good, tip: [*good, blob(b"hidden\n")],
    "a blob first": lambda good, tip: [good[0], blob(b"hidden\n"), *good[1:]],
    "a tree": lambda good, tip: [*good, tree((FILE, b"x", good[2]))],
    "a commit": lambda good, tip: [*good, *change(good[0])],
    "a commit below": lambda good, tip: [*good, *change()],
    "a tag": lambda good, tip: [*good, tag(good[0])],
    "a second history": lambda good, tip: [*good, *change(TWO[0]), *TWO],
    "behind a gitlink": gitlink,
    "named in the message": lambda good, tip: _named(good, tip),
    "a base of a delta": lambda good, tip: _base(good, tip),
}


TWO = change(files={b"f": b"a root\n"})


def _named(good, tip):
    leaf = blob(b"hidden\n")
    return [commit(good[1], tip, message=b"see %s\n" % leaf.id.encode()), *good[1:], leaf]


def _base(good, tip):
    base = blob(b"hidden base\n" * 10)
    leaf = blob(base.data + b"x")
    top = tree((FILE, b"a", leaf))
    return [commit(top, tip), top, delta(base, len(leaf.data), copy(0, len(base.data)) + insert(b"x")), base]


@row("D3")
@pytest.mark.parametrize("what", HIDDEN)
@pytest.mark.parametrize("vm", ["vm0", "vm1"])
def test_hidden(lab, repo, what, vm):
    """CVE-2025-54586: an object that no ref of the push reaches is refused, however it is packed."""
    tip = repo.tip()
    objects = HIDDEN[what](change(tip), tip)
    with refused(lab, repo, "hidden_objects"):
        report = push_raw(lab, repo, request(objects), sandbox=lab.sandboxes[vm])
        assert report.why() == "hidden_objects", report


@row("D3")
def test_hidden_in_a_deletion_too(lab, repo):
    """With a ref that is made beside one that is deleted, and behind refs that upstream has already."""
    repo.git("branch", "gone", "main")
    free, tip = lab.sandboxes["vm1"], repo.tip()
    with refused(lab, repo, "hidden_objects"):
        push_raw(lab, repo, commands((tip, ZERO, "refs/heads/gone"), (ZERO, tip, AGENT)) + pack(*change(tip)), sandbox=free)
    with refused(lab, repo, "hidden_objects"):
        push_raw(lab, repo, commands((ZERO, tip, AGENT)) + pack(blob(b"hidden\n")))


@row("D3")
def test_what_upstream_has_is_not_hidden(lab, repo):
    """A pack may hold more than is needed, as a shallow clone's does."""
    tip = repo.tip()
    there = repo.git("cat-file", "-p", "main:src/file1.txt") + "\n"
    good = change(tip)
    report = push_raw(lab, repo, request([*good, blob(there.encode())]))
    assert report.refs == {AGENT: "ok"}, report


@row("D3")
@pytest.mark.parametrize("missing", [1, 2])
def test_missing(lab, repo, missing):
    """A tree or a blob that is nowhere; a parent that is nowhere."""
    objects = change(repo.tip())
    del objects[missing]
    with refused(lab, repo, "pack_malformed"):
        report = push_raw(lab, repo, request(objects))
        assert "missing" in report.refs[AGENT]
    with refused(lab, repo, "pack_malformed"):
        push_raw(lab, repo, request(change("4" * 40)))


@row("D3")
def test_tip_of_another_kind(lab, repo):
    """A branch is a commit; a tag may be anything."""
    leaf = blob(b"x\n")
    with refused(lab, repo, {"pack_malformed", "ref_not_allowed"}):
        push_raw(lab, repo, request([leaf]))
    assert push_raw(lab, repo, request([leaf], "refs/tags/leaf")).refs == {"refs/tags/leaf": "ok"}


# ---- D10: what git fsck --strict refuses ----

def of_tree(*entries, sort=False):
    return lambda tip: _of(tree(*entries, sort=sort), tip)


X = blob(b"x\n")
INNER = tree((FILE, b"config", X))


def _of(top, tip, *more):
    return [commit(top, tip), top, *(more or (X,))]


def modules(text, mode=FILE, name=b".gitmodules"):
    leaf = blob(text)
    return lambda tip: _of(tree((mode, name, leaf)), tip, leaf)


def dotgit(name):
    return lambda tip: _of(tree((DIR, name, INNER)), tip, INNER, X)


def raw_tree(data):
    return lambda tip: _of(Object(TREE, data), tip)


def raw_commit(change_of):
    """A good commit's text, changed."""
    def make(tip):
        good = change(tip)
        return [Object(COMMIT, change_of(good[0].data)), *good[1:]]
    return make


def a_commit_as_a_folder(tip):
    top = tree((DIR, b"a", bytes.fromhex(tip)))
    return [commit(top, tip), top]


def raw_tag(change_of):
    def make(tip):
        good = change(tip)
        whole = tag(good[0])
        return [Object(whole.kind, change_of(whole.data)), *good]
    return make


DOTGIT = (b".git", b".GIT", b".Git", b"git~1", b"GIT~1", b".git.", b".git ", b".git...", b".g\xe2\x80\x8cit",
          b".\xe2\x80\x8dgit", b".git::$INDEX_ALLOCATION", b".git\\x", b".", b"..")
MALFORMED = {
    **{f"folder {name!r}": dotgit(name) for name in DOTGIT},
    "an empty name": of_tree((FILE, b"", X)), "a slash in a name": of_tree((FILE, b"a/b", X)),
    "twice": of_tree((FILE, b"a", X), (FILE, b"a", X)),
    "file and folder": lambda tip: _of(tree((FILE, b"a", X), (DIR, b"a", INNER)), tip, INNER, X),
    "unsorted": of_tree((FILE, b"b", X), (FILE, b"a", X)), "mode with a zero": of_tree((b"0100644", b"a", X)),
    "mode of nothing": of_tree((b"", b"a", X)), "null id": of_tree((FILE, b"a", b"\0" * 20)),
    "a cut tree": raw_tree(b"100644 a\0" + b"\1" * 10), "no blank": raw_tree(b"100644a\0" + b"\1" * 20),
    "a file that is a folder": lambda tip: _of(tree((FILE, b"a", INNER)), tip, INNER, X),
    "a folder that is a file": of_tree((DIR, b"a", X)), "a folder that is a commit": a_commit_as_a_folder,
    ".gitmodules is a link": modules(b"/etc/passwd", LINK),
    ".GITMODULES is a link": modules(b"x", LINK, b".GITMODULES"),
    "submodule's url is an option": modules(b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n'),
    "submodule's url has a newline": modules(b'[submodule "x"]\n\tpath = x\n\turl = "https://x/\\nhost=evil"\n'),
    "submodule's path is an option": modules(b'[submodule "x"]\n\tpath = -x\n\turl = https://x/y\n'),
    "submodule's name climbs": modules(b'[submodule "../../x"]\n\tpath = x\n\turl = https://x/y\n'),
    "submodule runs a program": modules(b'[submodule "x"]\n\tpath = x\n\turl = https://x/y\n\tupdate = !id\n'),
    "gitmodules~1": modules(b'[submodule "../../x"]\n\tpath = x\n\turl = https://x/y\n', FILE, b"GITMOD~1"),
    "no tree": raw_commit(lambda d: d[d.index(b"parent"):]),
    "no author": raw_commit(lambda d: d.replace(b"author", b"autho")),
    "no committer": raw_commit(lambda d: d[:d.index(b"committer")] + b"\nx\n"),
    "bad parent": raw_commit(lambda d: d.replace(b"parent ", b"parent z")),
    "NUL in the head": raw_commit(lambda d: d.replace(b"Ada", b"A\0a")),
    "no date": raw_commit(lambda d: d.replace(b"1800000000 +0000", b"", 1)),
    "date overflows": raw_commit(lambda d: d.replace(b"1800000000", b"99999999999999999999", 1)),
    "no zone": raw_commit(lambda d: d.replace(b" +0000", b"", 1)),
    "no mail": raw_commit(lambda d: d.replace(b"<ada@lab.invalid>", b"", 1)),
    "two authors": raw_commit(lambda d: d.replace(b"committer", b"author %s\ncommitter" % ADA)),
    "an empty commit": raw_commit(lambda d: b""), "cut": raw_commit(lambda d: d[:60]),
    "tag of nothing": raw_tag(lambda d: d[d.index(b"type"):]),
    "tag of another type": raw_tag(lambda d: d.replace(b"type commit", b"type blob")),
    "tag of no type": raw_tag(lambda d: d.replace(b"type commit", b"type x")),
    "tag without name": raw_tag(lambda d: d.replace(b"tag v1\n", b"")),
}


@row("D10")
@pytest.mark.parametrize("what", MALFORMED)
def test_malformed(lab, repo, what):
    """Refused before anybody checks it out, and not by upstream."""
    objects = MALFORMED[what](repo.tip())
    ref = "refs/tags/v1" if what.startswith("tag") else AGENT
    with refused(lab, repo, "pack_malformed"):
        report = push_raw(lab, repo, request(objects, ref))
        assert report.why() == "pack_malformed", report


@row("D10")
def test_what_is_old_upstream_may_be_odd(lab, repo):
    """The same is no reason to refuse where upstream has it already: only what is new is judged."""
    objects = MALFORMED["mode with a zero"](repo.tip())
    repo.give("main", objects)
    report = push_raw(lab, repo, request(change(objects[0])))
    assert report.refs == {AGENT: "ok"}, report


# ---- D10: bombs ----

def zeros(size):
    """An entry of a pack: a blob of that many zeros, in a thousandth of it."""
    head, n = bytes([0xb0 | size & 15]), size >> 4
    while n:
        head, n = head[:-1] + bytes([head[-1] | 0x80]) + bytes([n & 0x7f]), n >> 7
    squeeze, out = zlib.compressobj(9), b""
    block = bytes(1 << 20)
    for _ in range(size >> 20):
        out += squeeze.compress(block)
    return head + out + squeeze.flush()


def delta_bomb(tip):
    """2 GiB out of 200 KB of instructions over 64 KiB."""
    base = blob(bytes(1 << 16))
    times = 1 << 15
    big = delta(base, times << 16, copy(0, 1 << 16) * times)
    return [*change(tip), base, big]


def chain(tip, depth=20000):
    base = blob(b"0" * 100)
    items, last = [base], base
    for n in range(depth):
        data = b"%d" % n
        nxt = blob(last.data[:90] + data.rjust(10))
        items.append(delta(last, 100, copy(0, 90) + insert(data.rjust(10))))
        last = nxt
    top = tree((FILE, b"a", last))
    return [commit(top, tip), top, *items]


def deep(tip, depth=5000):
    at = tree((FILE, b"a", X))
    trees = [at]
    for _ in range(depth):
        at = tree((DIR, b"a", at))
        trees.append(at)
    return [commit(at, tip), *reversed(trees), X]


def doubling(tip, levels=60):
    """A tree of 2^60 files in sixty objects."""
    at = tree((FILE, b"a", X), (FILE, b"b", X))
    trees = [at]
    for _ in range(levels):
        at = tree((DIR, b"a", at), (DIR, b"b", at))
        trees.append(at)
    return [commit(at, tip), *reversed(trees), X]


def long_path(tip):
    name = b"n" * 4000
    at = tree((FILE, name, X))
    trees = [at]
    for _ in range(20):
        at = tree((DIR, name, at))
        trees.append(at)
    return [commit(at, tip), *reversed(trees), X]


def many_parents(tip):
    made = [change(tip) for _ in range(3000)]
    return [commit(made[0][1], *(m[0] for m in made)), *(o for m in made for o in m)]


@row("D10")
@pytest.mark.parametrize("what", [delta_bomb, chain, deep, long_path, many_parents], ids=lambda f: f.__name__)
def test_bombs(lab, repo, what):
    """Refused within bounds: the parts that judged it are there for the next push."""
    objects = what(repo.tip())
    with refused(lab, repo, {"pack_limit_exceeded", "pack_malformed"}):
        report = push_raw(lab, repo, request(objects))
        assert report.why() in ("pack_limit_exceeded", "pack_malformed"), report
    assert push_raw(lab, repo, request(change(repo.tip()))).refs == {AGENT: "ok"}


@row("D10")
def test_zlib_bomb(lab, repo):
    """A gigabyte in a megabyte of pack is read in pieces: it is judged as any other object, here as one too many."""
    objects = change(repo.tip())
    with refused(lab, repo, {"hidden_objects", "pack_limit_exceeded"}):
        push_raw(lab, repo, request(objects, packed=pack(*objects, zeros(1 << 30))), timeout=120)


@row("D10")
def test_doubling_tree(lab, repo):
    """Few objects, more paths than there are atoms: each object is looked at once."""
    report = push_raw(lab, repo, request(doubling(repo.tip())))
    assert set(report.refs) == {AGENT} and (report.refs[AGENT] == "ok" or report.why() == "pack_limit_exceeded"), report


# ---- protected paths ----

def github(leaf, folder=b".github", under=b"workflows", name=b"ci.yaml", mode=FILE):
    """A root with .github/workflows/ci.yaml, and its parts."""
    flows = tree((mode, name, leaf))
    hub = tree((DIR, under, flows))
    return [tree((DIR, folder, hub), (FILE, b"a", X)), hub, flows, leaf, X]


@pytest.fixture
def ci(lab, repo):
    """Upstream's main has a workflow; its commit."""
    parts = github(blob(b"on: push\n"))
    new = commit(parts[0], repo.tip())
    repo.give("main", [new, *parts])
    return new


def protected(parent):
    """name: objects of a change that touches a protected path of parent."""
    evil = github(blob(b"on: evil\n"))
    flows = tree((FILE, b"ci.yaml", blob(b"on: push\n")), (FILE, b"more.yaml", X))
    hub = tree((DIR, b"workflows", flows))
    added = [tree((DIR, b".github", hub)), hub, flows, X]
    deleted = tree((FILE, b"a", X))
    renamed = github(blob(b"on: push\n"), name=b"cj.yaml")
    moved = github(blob(b"on: push\n"), under=b"workflowz")
    mode = github(blob(b"on: push\n"), mode=b"100755")
    link = blob(b"../evil")
    as_link = tree((LINK, b".github", link), (FILE, b"a", X))
    inner_link = tree((LINK, b"workflows", link))
    under_link = tree((DIR, b".github", inner_link), (FILE, b"a", X))
    as_file = tree((DIR, b".github", tree((FILE, b"workflows", X))), (FILE, b"a", X))
    module = tree((DIR, b".github", tree((MODULE, b"workflows", b"\7" * 20))), (FILE, b"a", X))
    first = commit(evil[0], parent)
    side = change(parent)
    return {
        "changed": [commit(evil[0], parent), *evil], "added": [commit(added[0], parent), *added],
        "deleted": [commit(deleted, parent), deleted, X], "renamed": [commit(renamed[0], parent), *renamed],
        "folder renamed": [commit(moved[0], parent), *moved], "mode": [commit(mode[0], parent), *mode],
        "a link instead of .github": [commit(as_link, parent), as_link, link, X],
        "a link instead of workflows": [commit(under_link, parent), under_link, inner_link, link, X],
        "a file instead of workflows": [commit(as_file, parent), as_file, tree((FILE, b"workflows", X)), X],
        "a submodule instead of workflows": [commit(module, parent), module, tree((MODULE, b"workflows", b"\7" * 20)), X],
        "changed and changed back": [commit(github(blob(b"on: push\n"))[0], first), first, *evil],
        "in a merge": [commit(evil[0], parent, side[0]), *evil, *side],
        "in a root": [commit(evil[0]), *evil],
        "on a side": [commit(github(blob(b"on: push\n"))[0], parent, first), first, *evil],
    }


PROTECTED = list(protected(change("1" * 40)[0]))


@pytest.mark.parametrize("what", PROTECTED)
def test_protected_paths(lab, repo, ci, what):
    """Each commit of the push is looked at, not only the last."""
    with refused(lab, repo, "path_protected") as events:
        report = push_raw(lab, repo, request(protected(ci)[what]))
        assert report.why() == "path_protected" and ".github" in report.refs[AGENT], report


def test_paths_beside(lab, repo, ci):
    """What is upstream's may come along in a merge; files beside are free; vm1 protects nothing."""
    tip = repo.git("rev-parse", "main~1")
    mine = change(tip)
    top = github(blob(b"on: push\n"))[0]
    merge = commit(top, mine[0], ci)
    report = push_raw(lab, repo, request([merge, *mine]))
    assert report.refs == {AGENT: "ok"}, report
    leaf = blob(b"x: y\n")
    other, flows = tree((FILE, b"ci.yaml", leaf)), tree((FILE, b"ci.yaml", blob(b"on: push\n")))
    hub = tree((DIR, b"other", other), (DIR, b"workflows", flows))
    top = tree((DIR, b".github", hub), (FILE, b"a", X))
    report = push_raw(lab, repo, request([commit(top, ci), top, hub, other, leaf], "refs/heads/agent/y"))
    assert report.refs == {"refs/heads/agent/y": "ok"}, report
    changed = protected(ci)["changed"]
    report = push_raw(lab, repo, request(changed, "refs/heads/agent/z"), sandbox=lab.sandboxes["vm1"])
    assert report.refs == {"refs/heads/agent/z": "ok"}, report


def test_upstream_moves_on(lab, repo, ci):
    """What a branch of upstream's leads to is upstream's, also when that branch stands where the mirror has not been."""
    top = github(blob(b"on: push\n"))[0]
    assert push_raw(lab, repo, request([commit(top, ci, message=b"one\n")])).refs == {AGENT: "ok"}
    repo.git("update-ref", "-d", AGENT)
    repo.give("main", [commit(top, ci, message=b"moved on\n")])
    report = push_raw(lab, repo, request([commit(top, ci, message=b"two\n")], "refs/heads/agent/y"))
    assert report.refs == {"refs/heads/agent/y": "ok"}, report


@pytest.mark.parametrize("how", ["named", "sent again", "built on", "by a tag"])
def test_protected_in_commits_that_no_reference_has(lab, repo, ci, how):
    """A server gives out by its id what a fork has, and what was deleted. That the mirror has it does not make it
    upstream's own: else who has a fork gets a workflow of theirs to run."""
    evil, top = protected(ci)["changed"], github(blob(b"on: push\n"))[0]
    harmless = [commit(top, ci, message=b"harmless\n")]
    repo.give("fork", evil)
    repo.give("harmless", harmless)
    for branch in ("fork", "harmless"):
        repo.git("update-ref", "-d", f"refs/heads/{branch}")
    work = Work(lab, repo)
    work.must("fetch", "-q", "origin", evil[0].id, harmless[0].id)

    def sent(objects, ref):
        if how == "built on":
            return request([commit(objects[1] if objects is evil else top, objects[0])], ref)
        if how == "by a tag":
            return request([tag(objects[0])], ref.replace("heads/agent", "tags"))
        return request(objects, ref, None if how == "sent again" else pack())

    before = repo.refs()
    with refused(lab, repo, "path_protected"):
        report = push_raw(lab, repo, sent(evil, AGENT))
        assert report.why() == "path_protected", report
    assert repo.refs() == before
    report = push_raw(lab, repo, sent(harmless, "refs/heads/agent/y"))
    assert list(report.refs.values()) == ["ok"], report
    lab.audit.wait(event="push", repo=repo.name, outcome="forwarded")
    repo.git("update-ref", "refs/heads/theirs", evil[0].id)
    lab.audit.mark()
    work.must("ls-remote", "origin")
    work.must("push", "-q", "origin", f"{evil[0].id}:refs/heads/agent/z")
    assert repo.refs()["refs/heads/agent/z"] == evil[0].id


@pytest.mark.parametrize("what", ["commit", "tag"])
def test_protected_in_what_is_too_large_to_be_read(lab, repo, ci, what):
    """Git bounds no message. What is known of such a commit, or of a tag of one, is not enough to let it pass."""
    evil, text = protected(ci)["changed"], b"x" * 1023 + b"\n"
    if what == "commit":
        evil = [commit(evil[1], ci, message=text * (17 << 10)), *evil[1:]]
    named = evil[0] if what == "commit" else tag(evil[0], message=text * (17 << 10))
    repo.give("fork", evil if named in evil else [*evil, named])
    if named not in evil:
        repo.git("update-ref", "refs/tags/theirs", named.id)
    Work(lab, repo).must("fetch", "-q", "origin", named.id)
    repo.git("update-ref", "-d", "refs/heads/fork")
    if named not in evil:
        repo.git("update-ref", "-d", "refs/tags/theirs")
    with refused(lab, repo, "scan_failed"):
        report = push_raw(lab, repo, commands((ZERO, named.id, "refs/tags/mine")) + pack())
        assert report.why() == "scan_failed", report


def test_protected_in_the_words_of_git(lab, repo, ci):
    work = Work(lab, repo)
    work.commit({".github/workflows/ci.yaml": "on: evil\n"})
    with refused(lab, repo, "path_protected"):
        done = work.push("HEAD:agent/x")
        assert "! [remote rejected] HEAD -> agent/x (path_protected: " in done.stderr, done.stderr
        assert "ci.yaml" in done.stderr
