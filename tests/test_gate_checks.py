"""The push gate's checks of all objects of a push together: whole, nothing hidden, what commands do, protected paths, bounds.

Objects are made by hand; what is in the pack and what the mirror has is the test's choice.
"""

import itertools
import re

import pytest

from labchecks import judge
from labobjects import DIR, FILE, LINK, MODULE, PROGRAM, TAG, TREE, Object, blob, commit, tag, tree

MAIN = "refs/heads/main"
WORK = "refs/heads/agent/x"


def files(paths, format="sha1"):
    """[tree, everything below it] of {path: bytes or (mode, Object)}."""
    rows, out, folders = [], [], {}
    for path, what in paths.items():
        head, slash, tail = path.partition("/")
        if slash:
            folders.setdefault(head, {})[tail] = what
        elif isinstance(what, tuple):
            rows.append((what[0], head.encode(), what[1]))
            out += [what[1]] if isinstance(what[1], Object) else []
        else:
            out.append(blob(what, format))
            rows.append((FILE, head.encode(), out[-1]))
    for name, below in folders.items():
        made = files(below, format)
        rows.append((DIR, name.encode(), made[0]))
        out += made
    return [tree(*rows, format=format), *out]


_times = itertools.count(1800000000)


def at(paths, *parents, date=None, format="sha1"):
    """[commit, tree, ...] of files, each commit a second after the one made before."""
    top, *rest = files(paths, format)
    who = b"Ada <ada@lab.invalid> %d +0000" % (next(_times) if date is None else date)
    return [commit(top, *parents, author=who, committer=who, format=format), top, *rest]


def create(c, ref=WORK):
    return [(None, c.id, ref)]


def reasons(v):
    assert (v.verdict == "refused") == bool(v.refused), v
    return v.reasons


# ---- whole

@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_a_whole_push_is_clean(format):
    first = at({"a": b"1", "d/b": b"2", "m": (MODULE, b"\1" * (20 if format == "sha1" else 32))}, format=format)
    second = at({"a": b"1", "d/b": b"3"}, first[0], format=format)
    v = judge(first + second, create(second[0]), format=format)
    assert (v.verdict, v.ops) == ("clean", {0: "create"})
    v = judge(second, [(first[0].id, second[0].id, MAIN)], mirror=first, format=format)
    assert (v.verdict, v.ops) == ("clean", {0: "update"})


def test_what_is_in_neither_pack_nor_mirror_is_asked_for():
    first, second = at({"a": b"1", "d/b": b"2"}), None
    second = at({"a": b"1", "d/b": b"3"}, first[0])
    for lost in [o for o in second if o not in first]:
        v = judge([o for o in second if o is not lost], create(second[0]), mirror=first)
        assert (v.verdict, v.missing) == ("missing", lost.id)
    for lost in first[:1] + [o for o in first if o in second]:
        v = judge([o for o in second if o != lost], create(second[0]), mirror=[o for o in first if o != lost])
        assert (v.verdict, v.missing) == ("missing", lost.id)


def test_an_old_id_that_nobody_has_is_asked_for():
    c, gone = at({"a": b"1"}), at({"a": b"2"})
    v = judge(c, [(gone[0].id, c[0].id, MAIN)])
    assert (v.verdict, v.missing) == ("missing", gone[0].id)


def test_a_tip_that_nobody_has():
    c, gone = at({"a": b"1"}), at({"a": b"2"})
    assert judge(c, create(c[0]) + create(gone[0], MAIN)).missing == gone[0].id


def test_every_command_counts():
    """Not only the first one (CVE-2025-54583)."""
    base, good = at({"a": b"0"}), None
    good, bad = at({"a": b"1"}, base[0]), at({"a": b"2", ".git/config": b"x"}, base[0])
    v = judge(good + [o for o in bad if o not in good], create(good[0]) + create(bad[0], "refs/heads/agent/y"), mirror=base)
    assert "refused" == v.verdict
    v = judge(good, [*create(good[0]), (base[0].id, None, MAIN), (good[0].id, base[0].id, "refs/heads/b")], mirror=base,
              lines=["nodelete", "noforce"])
    assert [(i, reason) for i, reason, _ in v.refused] == [(1, "delete_not_allowed"), (2, "force_not_allowed")]


# ---- hidden

def test_objects_that_no_ref_reaches_are_refused():
    """CVE-2025-54586: a commit, a tree, a blob or a tag beside what is pushed."""
    base, c, other = at({"a": b"0"}), None, at({"secret": b"s"})
    c = at({"a": b"1"}, base[0])
    for hidden in ([blob(b"alone")], files({"x": b"y"}), other, [tag(c[0])], at({"z": b"1"}, c[0]), [tree()]):
        v = judge(c + [o for o in hidden if o not in c], create(c[0]), mirror=base)
        assert reasons(v) == {"hidden_objects"}, hidden
        assert hidden[0].id[:12] in v.refused[0][2]


def test_a_submodule_reaches_nothing():
    """Its commit is of another repository: one in the pack is hidden."""
    other = at({"secret": b"s"})
    c = at({"m": (MODULE, bytes.fromhex(other[0].id))})
    assert judge(c, create(c[0])).verdict == "clean"
    v = judge(c + other, create(c[0]))
    assert reasons(v) == {"hidden_objects"}


def test_what_only_an_old_object_reaches_is_hidden():
    """An object of the mirror in the pack hides nothing: what only it reaches is the mirror's, or refused."""
    base = at({"a": b"0", "d/x": b"1"})
    c = at({"a": b"2"}, base[0])
    assert judge(c + base, create(c[0]), mirror=base).verdict == "clean"
    bases = [o for o in base if o.data in (b"0", b"1")]		# as git index-pack --fix-thin puts them there
    assert judge(c + bases, create(c[0]), mirror=base).verdict == "clean"
    hole = [o for o in base if o.data != b"1"]			# a mirror that has a tree and not what is in it
    folder = next(o for o in base if o.data.startswith(b"100644 x"))
    v = judge(c + [folder, blob(b"1")], create(c[0]), mirror=hole)
    assert reasons(v) == {"hidden_objects"}
    assert blob(b"1").id[:12] in v.refused[0][2]


def test_what_a_tag_reaches_is_not_hidden():
    c = at({"a": b"1"})
    t = tag(c[0])
    tt = tag(t, name=b"v2")
    b = blob(b"pushed by itself")
    v = judge([*c, t, tt, b], create(tt, "refs/tags/v2") + create(b, "refs/tags/blob"))
    assert v.verdict == "clean"


def test_deletion_alone():
    base = at({"a": b"1"})
    v = judge([], [(base[0].id, None, MAIN)], mirror=base)
    assert (v.verdict, v.ops) == ("clean", {0: "delete"})
    assert reasons(judge([blob(b"x")], [(base[0].id, None, MAIN)], mirror=base)) == {"hidden_objects"}


# ---- types

def test_objects_of_another_type():
    b, c = blob(b"x"), at({"a": b"1"})
    for wrong in (tree((DIR, b"d", b)), tree((FILE, b"f", c[1])), tree((LINK, b"f", c[0]))):
        bad = commit(wrong)
        v = judge([bad, wrong, b, *c], create(bad) + create(c[0], MAIN) + create(b, "refs/tags/b"))
        assert reasons(v) == {"pack_malformed"}
    bad = commit(b)
    assert reasons(judge([bad, b], create(bad))) == {"pack_malformed"}
    bad = commit(c[1], c[1])
    assert reasons(judge([bad, *c], create(bad) + create(c[0], MAIN))) == {"pack_malformed"}
    bad = Object(TAG, tag(b).data.replace(b"type blob", b"type tree"))
    assert reasons(judge([bad, b], create(bad, "refs/tags/v"))) == {"pack_malformed"}


def test_objects_of_the_mirror_of_another_type():
    base = at({"a": b"0", "d/b": b"1"})
    c, folder, b = base[0], base[1], blob(b"0")
    for wrong in (tree((DIR, b"d", c)), tree((DIR, b"d", b)), tree((FILE, b"f", folder)), tree((FILE, b"f", c)), tree((FILE, b"f", b), (DIR, b"g", b))):
        bad = commit(wrong, c)
        v = judge([bad, wrong], create(bad), base)
        assert reasons(v) == {"pack_malformed"}
    for bad in (commit(c), commit(b), commit(folder, folder), commit(folder, b)):
        assert reasons(judge([bad], create(bad), base)) == {"pack_malformed"}
    bad = Object(TAG, tag(b).data.replace(b"type blob", b"type commit"))
    assert reasons(judge([bad], create(bad, "refs/tags/v"), base)) == {"pack_malformed"}
    fine = commit(tree((DIR, b"d", folder), (FILE, b"f", b)), c)
    assert judge([fine, tree((DIR, b"d", folder), (FILE, b"f", b))], create(fine), base).verdict == "clean"


def test_a_branch_is_a_commit():
    c, b = at({"a": b"1"}), blob(b"x")
    for o in (b, c[1], tag(c[0])):
        v = judge([*c, b, tag(c[0])], create(c[0]) + create(tag(c[0]), "refs/tags/t") + create(b, "refs/tags/b") + create(o, MAIN))
        assert [(i, r) for i, r, _ in v.refused] == [(3, "pack_malformed")]


def test_a_malformed_object_refuses_the_push():
    bad = Object(1, b"no commit")
    v = judge([bad], create(bad))
    assert list(v.objects) == [bad.id]
    assert reasons(v) == {"pack_malformed"}


# ---- what commands do

def line(n, start=None, **kw):
    """A history of n commits, each [commit, tree, ...]."""
    out, parent = [], [start] if start else []
    for i in range(n):
        made = at({"f": b"%d %d" % (i, next(_times))}, *parent, **kw)
        out.append(made)
        parent = [made[0]]
    return out


def flat(lists):
    return list({o.id: o for made in lists for o in made}.values())


@pytest.mark.parametrize("new", [0, 1, 5])
def test_fast_forward(new):
    """Whether the old one is in the pack's history or the mirror's."""
    main = line(6)
    mirror, pack = main[:6 - new], main[6 - new:]
    for i in range(6 - new):
        v = judge(flat(pack), [(main[i][0].id, main[5][0].id, MAIN)], flat(mirror))
        assert (v.verdict, v.ops[0]) == ("clean", "update")


def test_everything_else_is_force():
    main = line(6)
    side = line(3, start=main[2][0])
    lone = line(2)
    for old, tip in ((main[5], side[2]), (side[2], main[5]), (main[5], main[4]), (main[1], main[0]), (main[5], lone[1]), (main[3], side[0])):
        everything = flat(main + side + lone)
        v = judge([], [(old[0].id, tip[0].id, MAIN)], everything)
        assert (v.verdict, v.ops[0]) == ("clean", "force")
        v = judge([], [(old[0].id, tip[0].id, MAIN)], everything, lines=["noforce"])
        assert reasons(v) == {"force_not_allowed"}


def test_dates_do_not_decide():
    """Commits whose dates lie, either way: the answer is the same."""
    for dates in ([9, 8, 7, 6, 5], [1, 9, 1, 9, 1], [5, 5, 5, 5, 5], [0, 2 ** 62, 3, 0, 1]):
        main = []
        for d in dates:
            main.append(at({"f": b"%d %d" % (d, next(_times))}, *([main[-1][0]] if main else []), date=d))
        fork = at({"f": b"fork"}, main[1][0], date=2 ** 40)
        for i, j in itertools.product(range(5), range(5)):
            v = judge([], [(main[i][0].id, main[j][0].id, MAIN)], flat(main))
            assert v.ops[0] == ("update" if i <= j else "force")
        for i in range(5):
            v = judge(fork, [(main[i][0].id, fork[0].id, MAIN)], flat(main))
            assert v.ops[0] == ("update" if i <= 1 else "force")


def test_merges():
    main = line(4)
    side = line(3, start=main[0][0])
    merge = at({"f": b"merged"}, main[3][0], side[2][0])
    for old in main + side:
        v = judge(merge + flat(side[1:]), [(old[0].id, merge[0].id, MAIN)], flat(main + side[:1]))
        assert (v.verdict, v.ops[0]) == ("clean", "update")


def test_no_history_is_read_for_a_fork_near_its_end():
    """The rest of it is not even there: what the old one descends from needs no reading."""
    main = line(40)
    side = line(2, start=main[37][0])
    v = judge(flat(side), [(main[39][0].id, side[1][0].id, MAIN)], flat(main[30:]))
    assert (v.verdict, v.ops[0]) == ("clean", "force")


def test_tags_and_others_are_force():
    main = line(2)
    old, new = main[0][0], main[1][0]
    t1, t2 = tag(old), tag(new)
    everything = flat(main) + [t1, t2]
    for ref, a, b in (("refs/tags/v1", t1, t2), ("refs/tags/v1", old, new), ("refs/x/y", t1, t2), ("refs/x/y", old, t2), ("refs/x/y", main[0][1], main[1][1])):
        assert judge([], [(a.id, b.id, ref)], everything).ops[0] == "force"
    assert judge([], [(old.id, new.id, "refs/x/y")], everything).ops[0] == "update"


def test_names_that_are_never_pushed():
    c = at({"a": b"1"})
    refs = ["refs/pull/1/head", "refs/replace/" + c[0].id, "HEAD", "refs/merge-requests/1/head"]
    v = judge(c, [(None, c[0].id, ref) for ref in refs] + create(c[0]))
    assert [(i, r) for i, r, _ in v.refused] == [(i, "ref_not_allowed") for i in range(4)]


# ---- protected paths

GUARD = ["denied .github/workflows/", "denied Makefile", "denied **/secret*.pem", "denied docs/*.md"]
BASE = {"a": b"0", "Makefile": b"all:", ".github/workflows/ci.yml": b"on: push", ".github/x": b"1", "docs/a.md": b"a", "docs/b.txt": b"b",
        "k/secret1.pem": b"k"}


def guarded(*steps, base=BASE, lines=GUARD):
    """Commits on top of each other, the first on base; what is refused."""
    first = at(base)
    made, parent = [], first[0]
    for s in steps:
        made.append(at({k: v for k, v in {**base, **s}.items() if v is not None}, parent))
        parent = made[-1][0]
    known = {o.id for o in first}
    v = judge([o for o in flat(made) if o.id not in known], create(parent), first, lines)
    assert v.verdict in ("clean", "refused")
    return v


@pytest.mark.parametrize("step", [
    {"Makefile": b"evil"}, {"Makefile": None}, {"Makefile": (PROGRAM, blob(b"all:"))}, {"Makefile": (LINK, blob(b"a"))},
    {"Makefile": None, "Makefile/x": b"1"}, {".github/workflows/ci.yml": b"evil"}, {".github/workflows/new.yml": b"x"},
    {".github/workflows/ci.yml": None}, {".github/workflows/deep/er/x": b"x"}, {".github/workflows/ci.yml": None, ".github/workflows": b"x"},
    {".github/workflows/ci.yml": None, ".github/x": None, ".github": (LINK, blob(b"evil"))},
    {".github/workflows/ci.yml": None, ".github/x": None, ".github": (MODULE, b"\1" * 20)},
    {".github/workflows/m": (MODULE, b"\1" * 20)}, {"k/secret1.pem": b"x"}, {"secret.pem": b"x"}, {"deep/er/secret-2.pem": b"x"},
    {"docs/a.md": b"x"}, {"docs/c.md": b"x"}, {"docs/a.md": None, "docs/b.txt": None}, {".GitHub/Workflows/x": b"x"}, {"MAKEFILE": b"x"},
    {".github/workflows/ci.yml": None, ".github/workflows2/ci.yml": b"on: push"}, {"k/secret1.pem": None, "k/other": b"k"},
], ids=lambda s: "+".join(f"{k}{'-' if v is None else ''}" for k, v in s.items()))
def test_changes_of_protected_paths(step):
    v = guarded(step)
    assert reasons(v) == {"path_protected"}
    v = guarded({"a": b"1"}, {"a": b"2", **step}, {"a": b"3", **step})		# it is found within a longer push, once
    assert [r for _, r, _ in v.refused] == ["path_protected"]
    assert any(name in v.refused[0][2] for name in [*step, *(k.split("/")[0] for k in step)]), v.refused


@pytest.mark.parametrize("step", [
    {"a": b"1"}, {".github/x": b"2"}, {".github/y/z": b"2"}, {"docs/b.txt": b"x"}, {"docs/sub/c.md": b"x"}, {"new/Makefile": b"x"}, {"secret.key": b"x"},
    {"docs2/a.md": b"x"}, {"k/x": b"x"}, {".github/workflows2/a": b"x"}, {"a": None}, {"a": None, "a/b/c": b"x"},
], ids=lambda s: "+".join(s))
def test_changes_elsewhere(step):
    assert guarded(step).verdict == "clean"
    assert guarded(step, lines=GUARD + ["denied zzz/**", "denied *.nothing"]).verdict == "clean"


def test_all_reasons_are_told():
    """A ref that may not be, and a path that may not change: both."""
    base = at(BASE)
    c = at({**BASE, "Makefile": b"evil"}, base[0])
    v = judge([o for o in c if o not in base], create(c[0], "refs/pull/1/head") + create(c[0]), base, GUARD)
    assert {(i, reason) for i, reason, _ in v.refused} == {(0, "ref_not_allowed"), ("push", "path_protected")}


def test_a_change_that_is_taken_back():
    v = guarded({"Makefile": b"evil"}, {})
    assert [r for _, r, _ in v.refused] == ["path_protected", "path_protected"]


def test_everything_protected():
    for pattern in ("**", "*", "a*", "**/a", "**a", "?a".replace("?", "*")):
        assert reasons(guarded({"a": b"1"}, lines=[f"denied {pattern}"])) == {"path_protected"}
    assert guarded({"docs/a.md": b"1"}, lines=["denied *"]).verdict == "clean"
    assert reasons(guarded({"docs/a.md": b"1"}, lines=["denied **.md"])) == {"path_protected"}
    assert reasons(guarded({"docs/x/y/a.md": b"1"}, lines=["denied docs/**"])) == {"path_protected"}
    assert reasons(guarded({"docs/x/y/a.md": b"1"}, lines=["denied do**y/*.md"])) == {"path_protected"}


def merge_of(ours, theirs, result, lines=GUARD, more=()):
    base = at(BASE)
    one, two = at({**BASE, **ours}, base[0]), at({**BASE, **theirs}, base[0])
    m = at({**BASE, **result}, one[0], two[0], *more)
    mirror = flat([base, one, two])
    known = {o.id for o in mirror}
    return judge([o for o in m if o.id not in known], [(one[0].id, m[0].id, MAIN)], mirror, lines)


def test_merges_take_what_a_parent_has():
    """Upstream may change protected paths; a merge takes either side, path by path, and nothing else."""
    new, old = {"Makefile": b"new"}, {}
    both = {"Makefile": b"new", "docs/a.md": b"new"}
    assert merge_of(old, new, new).verdict == "clean"
    assert merge_of(new, old, new).verdict == "clean"
    assert merge_of({"Makefile": b"new"}, {"docs/a.md": b"new"}, both).verdict == "clean"
    assert merge_of({".github/workflows/a": b"1"}, {".github/workflows/b": b"2"},
                    {".github/workflows/a": b"1", ".github/workflows/b": b"2"}).verdict == "clean"
    for evil in ({"Makefile": b"evil"}, {**new, "docs/a.md": b"evil"}, {**new, ".github/workflows/x": b"evil"}):
        assert reasons(merge_of(old, new, evil)) == {"path_protected"}, evil


def merged(parents, result, mirror, lines=GUARD):
    m = at({k: v for k, v in {**BASE, **result}.items() if v is not None}, *(p[0] for p in parents))
    known = {o.id for o in mirror}
    pack = [o for o in flat([*parents, m]) if o.id not in known]
    v = judge(pack, create(m[0]), mirror, lines)
    assert reasons(v) <= {"path_protected"} and v.verdict in ("clean", "refused")
    return v


def verdicts(parents, result, mirror):
    """The same whichever parent comes first."""
    got = {merged(p, result, mirror).verdict for p in itertools.permutations(parents)}
    assert len(got) == 1
    return got.pop()


def step_on(parent, **changes):
    return at({k: v for k, v in {**BASE, **changes}.items() if v is not None}, parent[0])


@pytest.mark.parametrize("change", [{"Makefile": b"new"}, {"Makefile": None}, {".github/workflows/z": b"1"}, {"docs/a.md": (PROGRAM, blob(b"a"))}],
                         ids=["changed", "deleted", "added", "mode"])
def test_merges_do_not_undo_upstreams_changes(change):
    """What one side alone changed is taken; to keep the other's is a change of one's own."""
    old = at(BASE)
    mid = at({**BASE, "a": b"m"}, old[0])
    main = at({k: v for k, v in {**BASE, "a": b"m", **change}.items() if v is not None}, mid[0])
    mirror = flat([old, mid, main])
    mine = at({**BASE, "a": b"mine"}, old[0])
    assert verdicts([mine, main], change, mirror) == "clean"
    assert verdicts([mine, main], {}, mirror) == "refused"
    assert verdicts([old, main], {}, mirror) == "refused"		# an ancestor: git would not even merge
    assert verdicts([old, main], change, mirror) == "clean"
    assert verdicts([mine, main, mid], change, mirror) == "clean"
    assert verdicts([mine, main, mid], {}, mirror) == "refused"
    m = at({**BASE, "a": b"mine"}, mine[0], main[0])			# exactly its first parent, as git merge -s ours makes it
    assert reasons(judge([o for o in flat([mine, m]) if o not in mirror], create(m[0]), mirror, GUARD)) == {"path_protected"}


def test_merges_of_two_changes():
    """Where upstream has two versions besides the first one, somebody chooses."""
    old = at(BASE)
    one, two = step_on(old, Makefile=b"one"), step_on(old, Makefile=b"two")
    mirror = flat([old, one, two])
    assert verdicts([one, two], {"Makefile": b"one"}, mirror) == "clean"
    assert verdicts([one, two], {"Makefile": b"two"}, mirror) == "clean"
    assert verdicts([one, two], {}, mirror) == "refused"
    assert verdicts([one, two], {"Makefile": None}, mirror) == "refused"
    assert verdicts([one, two, old], {}, mirror) == "refused"


def test_merges_of_histories_that_merged_each_other():
    """With two common ancestors, neither of which descends from the other, and dates that lie about it."""
    for dates in ((1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1), (1, 9, 2, 8, 3, 7)):
        d = iter(dates)

        def stepped(changes, *parents):
            return at({**BASE, **changes}, *(p[0] for p in parents), date=next(d))
        old = stepped({})
        one, two = stepped({"Makefile": b"one"}, old), stepped({"a": b"two"}, old)
        m1, m2 = stepped({"Makefile": b"one", "a": b"two"}, one, two), stepped({"Makefile": b"one", "a": b"two", "b": b"x"}, two, one)
        main = stepped({"Makefile": b"next", "a": b"two", "b": b"x"}, m2)
        mirror = flat([old, one, two, m1, m2, main])
        # m1's version is one's, but two's differs: it counts as changed there
        assert merged([m1, main], {"Makefile": b"next"}, mirror).verdict == "clean"
        assert merged([m1, main], {"Makefile": b"one"}, mirror).verdict == "clean"
        assert merged([m1, main], {}, mirror).verdict == "refused"
        assert merged([one, main], {"Makefile": b"one"}, mirror).verdict == "refused"
        assert merged([two, main], {}, mirror).verdict == "refused"


def test_ancestors_that_descend_from_each_other():
    """Dates that lie make an older one look like the last common one: it is taken out."""
    old = at(BASE, date=100)
    mid = at({**BASE, "Makefile": b"mid"}, old[0], date=50)
    main = at({**BASE, "Makefile": b"new"}, mid[0], date=200)
    mirror = flat([old, mid, main])
    low = at({**BASE, "Makefile": b"mid", "a": b"low"}, mid[0], date=1)
    side = at({**BASE, "a": b"side"}, old[0], date=300)
    mine = at({**BASE, "Makefile": b"mid", "a": b"mine"}, low[0], side[0], date=400)
    known = mirror + flat([low, side])
    assert merged([mine, main], {"Makefile": b"mid"}, known).verdict == "refused"
    assert merged([mine, main], {"Makefile": b"new"}, known).verdict == "clean"


def test_merges_of_strangers():
    """A history that has nothing in common does not delete what it never had."""
    main, lone = at(BASE), at({"other": b"1"})
    without = {k: None for k in BASE if k not in ("a", ".github/x", "docs/b.txt")}
    assert verdicts([lone, main], {"other": b"1"}, main) == "clean"
    assert verdicts([lone, main], {"other": b"1", **without}, main) == "refused"
    assert verdicts([lone, main], {"other": b"1", "Makefile": None}, main) == "refused"


def test_first_commits():
    """One without parents may have none: neither by itself nor merged."""
    lone = at({"Makefile": b"x", "a": b"1"})
    assert reasons(judge(lone, create(lone[0]), lines=GUARD)) == {"path_protected"}
    fine = at({"a": b"1"})
    assert judge(fine, create(fine[0]), lines=GUARD).verdict == "clean"
    base = at(BASE)
    m = at({**BASE, "Makefile": b"x"}, base[0], lone[0])
    v = judge([o for o in flat([m, lone]) if o not in base], create(m[0]), base, GUARD)
    assert reasons(v) == {"path_protected"}
    assert lone[0].id[:12] in v.refused[0][2]


def test_what_upstream_has_already():
    """Old commits that change protected paths may be pushed as a new branch, and sent again (CVE-2025-54585)."""
    first = at(BASE)
    second = at({**BASE, "Makefile": b"new"}, first[0])
    mirror = flat([first, second])
    assert judge([], create(second[0]), mirror, GUARD).verdict == "clean"
    assert judge(flat([first, second]), create(second[0]), mirror, GUARD).verdict == "clean"
    on_top = at({**BASE, "Makefile": b"new", "a": b"1"}, second[0])
    assert judge(flat([on_top, second]), create(on_top[0]), mirror, GUARD).verdict == "clean"


def test_merges_of_many_sides_that_differ():
    """Each side is held against each other; what is read for that is counted."""
    v1, v2 = ({**{f"f{i}": b"" for i in range(2000)}, "Makefile": b"%d" % n} for n in (1, 2))
    first = at(v1)
    second = at(v2, first[0])
    top = [o for o in first if o.kind == TREE][0], [o for o in second if o.kind == TREE][0]
    sides = [commit(top[n % 2], (first, second)[n % 2][0], message=b"%d" % n) for n in range(40)]
    merge = commit(top[0], *sides)
    more = [merge, *sides]
    assert reasons(judge(more, create(merge), flat([first, second]), GUARD)) == {"path_protected"}
    v = judge(more, create(merge), flat([first, second]), [*GUARD, "limit steps 20000"])
    assert reasons(v) == {"pack_limit_exceeded"}


def test_trees_that_are_tagged_themselves():
    top, *rest = files({"Makefile": b"x"})
    t = tag(top)
    assert reasons(judge([top, *rest], create(top, "refs/tags/t"), lines=GUARD)) == {"path_protected"}
    assert reasons(judge([t, top, *rest], create(t, "refs/tags/t"), lines=GUARD)) == {"path_protected"}
    top, *rest = files({"a": b"x"})
    assert judge([top, *rest], create(top, "refs/tags/t"), lines=GUARD).verdict == "clean"


def test_trees_that_are_tagged_and_in_a_harmless_folder():
    """Who pointed to it first is nothing that a client may choose by."""
    for n in range(8):
        top, *rest = files({".github/workflows/a": b"%d" % n})
        outer = tree((DIR, b"harmless", top))
        c, t = commit(outer), tag(top)
        push = create(c) + create(t, "refs/tags/t")
        assert reasons(judge([c, outer, t, top, *rest], push, lines=GUARD)) == {"path_protected"}
        assert judge([c, outer, top, *rest], create(c), lines=GUARD).verdict == "clean"


def test_old_modes_of_upstream_are_no_change():
    b = blob(b"all:")
    old = tree((b"100664", b"Makefile", b), (b"040000", b"d", files({"x": b"1"})[0]), (FILE, b"a", blob(b"0")))
    base = [commit(old), old, b, *files({"x": b"1"}), blob(b"0")]
    c = at({"Makefile": b"all:", "a": b"1", "d/x": b"1"}, base[0])
    known = {o.id for o in base}
    v = judge([o for o in c if o.id not in known], create(c[0]), base, GUARD + ["denied d/*"])
    assert v.verdict == "clean"


# ---- bounds

def bomb(width, height):
    out = files({f"f{i}": b"x" for i in range(width)})[:2]
    for _ in range(height - 1):
        out.insert(0, tree(*((DIR, b"d%d" % i, out[0]) for i in range(width))))
    return [commit(out[0]), *out]


def test_trees_that_unfold():
    b = bomb(10, 12)
    assert len(b) < 20
    assert reasons(judge(b, create(b[0]))) == {"pack_limit_exceeded"}
    assert reasons(judge(b, create(b[0]), lines=["denied **/x"])) == {"pack_limit_exceeded"}
    b = bomb(10, 3)
    assert judge(b, create(b[0]), lines=["limit paths 1110"]).verdict == "clean"
    assert reasons(judge(b, create(b[0]), lines=["limit paths 1109"])) == {"pack_limit_exceeded"}


def test_deep_and_long_paths():
    def deep(n, name="d"):
        c = files({"f": b"x"})
        for _ in range(n):
            c.insert(0, tree((DIR, name.encode(), c[0])))
        c.insert(0, commit(c[0]))
        return c, create(c[0])
    assert judge(*deep(100), lines=["limit depth 101"]).verdict == "clean"
    assert reasons(judge(*deep(100), lines=["limit depth 100"])) == {"pack_limit_exceeded"}
    assert judge(*deep(10, "dd"), lines=["limit path 31"]).verdict == "clean"
    assert reasons(judge(*deep(10, "dd"), lines=["limit path 30"])) == {"pack_limit_exceeded"}
    assert reasons(judge(*deep(1100))) == {"pack_limit_exceeded"}
    assert reasons(judge(*deep(30, "d" * 200))) == {"pack_limit_exceeded"}
    assert judge(*deep(900), lines=["denied **/x"]).verdict == "clean"


def test_large_ones():
    c = at({"a": b"1", "b": b"2", "c": b"3"})
    assert judge(c, create(c[0]), lines=["limit entries 3"]).verdict == "clean"
    v = judge(c, create(c[0]), lines=["limit entries 2"])
    assert v.objects[c[1].id].startswith("pack_malformed")
    p = [at({"a": b"%d" % i}) for i in range(3)]
    m = at({"a": b"m"}, *(x[0] for x in p))
    assert judge(flat([m, *p]), create(m[0]), lines=["limit parents 3"]).verdict == "clean"
    assert reasons(judge(flat([m, *p]), create(m[0]), lines=["limit parents 2"])) == {"pack_malformed"}
    big = commit(c[1], message=b"m" * 1000)
    assert judge([big, *c[1:]], create(big), lines=["limit message 2000"]).verdict == "clean"
    assert reasons(judge([big, *c[1:]], create(big), lines=["limit message 1000"])) == {"pack_malformed"}
    size = sum(len(o.data) for o in c)
    assert judge(c, create(c[0]), lines=[f"limit inflated {size}"]).verdict == "clean"
    assert reasons(judge(c, create(c[0]), lines=[f"limit inflated {size - 1}"])) == {"pack_limit_exceeded"}


def test_too_much_to_compare():
    base = at({f"d{i}/f{j}": b"x" for i in range(30) for j in range(30)})
    c = at({f"d{i}/f{j}": b"y" for i in range(30) for j in range(30)}, base[0])
    assert judge(c, create(c[0]), base, ["denied **/z*"]).verdict == "clean"
    assert reasons(judge(c, create(c[0]), base, ["denied **/z/**", "limit steps 20"])) == {"pack_limit_exceeded"}


# ---- trees that are much like others

def test_many_versions_of_a_tree():
    """What is remembered of trees seen before changes nothing: order and doubles are found in each."""
    names = [f"f{i:03}" for i in range(200)]
    versions, parent = [], []
    for i in range(30):
        made = at({**{n: b"x" for n in names if n != names[i]}, names[i * 3]: b"%d" % i, "g/x": b"%d" % i}, *parent)
        versions.append(made)
        parent = [made[0]]
    assert judge(flat(versions), create(versions[-1][0])).verdict == "clean"
    top = versions[10][1].data
    rows = re.findall(rb"(?s)\d+ [^\0]+\0.{20}", top)
    assert b"".join(rows) == top
    for bad in ([rows[1], rows[0], *rows[2:]], rows + rows[-1:], rows[:50] + rows[49:], rows[:-1] + [rows[-2].replace(b"100644", b"40000"), rows[-1]]):
        t = Object(2, b"".join(bad))
        v = judge([*flat(versions), t, commit(t)], create(versions[-1][0]) + create(commit(t), MAIN))
        assert list(v.objects) == [t.id]
        assert v.objects[t.id].startswith("pack_malformed")


def test_more_large_trees_than_are_remembered():
    b = blob(b"x")
    trees = [tree(*((FILE, b"%d-%05d" % (i, n), b) for n in range(20000))) for i in range(100, 136)]
    entry = len(trees[0].data) // 20000
    bad = [Object(2, t.data[:entry * i] + t.data[entry * (i - 1):]) for i, t in enumerate(trees, 1)]
    assert set(judge([b, *trees, *bad]).objects) == {t.id for t in bad}


def test_a_file_that_a_known_folder_hides():
    """a, a.b, a/ : the folder is the one of another tree, the file new."""
    b, d = blob(b"x"), tree()
    fine = [tree((FILE, b"a.b", b), (FILE, b"a.c%d" % i, b), (DIR, b"a", d)) for i in range(20)]
    bad = tree((FILE, b"a", b), (FILE, b"a.b", b), (FILE, b"a.c1", b), (DIR, b"a", d))
    v = judge([b, d, *fine, bad], [])
    assert list(v.objects) == [bad.id]


# ---- pointers of LFS

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n"


def test_pointers():
    sha = b"0123456789abcdef" * 4
    known = blob(POINTER % (sha, 7))
    base = at({"old": (FILE, known)})
    taken = [POINTER % (sha, 12345), (POINTER % (sha, 1)).replace(b"\n", b"\r\n"), (POINTER % (sha.upper(), 2)), (POINTER % (sha, 3))[:-1],
             b"version https://hawser.github.com/spec/v1\noid sha256:%s\nsize 4\n" % sha, POINTER % (sha, 0),
             b"version https://git-lfs.github.com/spec/v1\next-0-x sha256:%s\noid sha256:%s\nsize 5\n" % (sha, sha)]
    none = [b"x", b"", POINTER % (sha[1:], 1), b"version 1\noid sha256:%s\nsize 1\n" % sha, POINTER % (sha, 1) + b"x" * 1024,
            b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\n" % sha, b"a\n" + POINTER % (sha, 6)]
    c = at({"old": (FILE, known), **{f"t{i}": d for i, d in enumerate(taken)}, **{f"n{i}": d for i, d in enumerate(none)}}, base[0])
    v = judge(c, create(c[0]), base)
    assert v.pointers == {blob(d).id: n for d, n in zip(taken, (12345, 1, 2, 3, 4, 0, 5))}


# ---- places

def test_where_an_object_came_in():
    base = at({"src/a.c": b"old", "x": b"1"})
    c = [at({"src/a.c": b"old", "x": b"1", "y": b"1"}, base[0])]
    c.append(at({"src/a.c": b"secret", "x": b"1"}, c[0][0]))
    for i in range(3):
        c.append(at({"src/a.c": b"secret", "x": b"%d" % i, "deep/er/z": b"z"}, c[-1][0]))
    pack = [o for o in flat(c) if o not in base]
    secret, z = blob(b"secret"), blob(b"z")
    v = judge(pack, create(c[-1][0]), base, [f"find {o.id}" for o in (secret, z, c[3][0], blob(b"old"), c[2][1])])
    none = "0" * 40
    assert v.verdict == "clean"
    assert v.places[secret.id] == (c[1][0].id, blob(b"old").id, "src/a.c")
    assert v.places[z.id] == (c[2][0].id, none, "deep/er/z")
    assert v.places[c[3][0].id] == (c[3][0].id, none, "-")
    assert v.places[c[2][1].id][0] == c[2][0].id and v.places[c[2][1].id][2] == ""
    assert "No such file" in " ".join(v.places[blob(b"old").id])


def test_where_on_a_branch_that_was_merged():
    base = at({"a": b"base"})
    side = at({"a": b"secret"}, base[0])
    other = at({"a": b"base", "b": b"1"}, base[0])
    m = at({"a": b"secret", "b": b"1"}, other[0], side[0])
    last = at({"a": b"secret", "b": b"2"}, m[0])
    pack = [o for o in flat([side, other, m, last]) if o not in base]
    v = judge(pack, create(last[0]), base, [f"find {blob(b'secret').id}"])
    assert v.places[blob(b"secret").id] == (side[0].id, blob(b"base").id, "a")


def test_where_of_what_no_commit_has():
    b = blob(b"x")
    t = tag(b)
    v = judge([t, b], create(t, "refs/tags/t"), lines=[f"find {b.id}"])
    assert v.verdict == "clean"
    assert v.places[b.id] == ("0" * 40, "0" * 40, "-")


def test_where_in_a_push_that_is_refused():
    """Findings of such a push are told too, as far as they can be placed."""
    b, c = blob(b"secret"), at({"a": b"1"})
    wrong = tree((DIR, b"d", b))
    bad = commit(wrong)
    v = judge([bad, wrong, b, *c], create(bad) + create(c[0], MAIN), lines=[f"find {b.id}"])
    assert reasons(v) == {"pack_malformed"}
    assert v.places[b.id][0] in (bad.id, "0" * 40)
    lost = at({"x/y": b"1", "x/z": b"2"})
    kept = [o for o in lost if o.data != b"2"]
    v = judge(kept, create(lost[0]), lines=[f"find {blob(b'1').id}"])
    assert (v.verdict, v.missing) == ("missing", blob(b"2").id)
    assert v.places[blob(b"1").id][2] == "x/y"
