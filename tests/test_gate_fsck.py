"""What `git fsck --strict` calls an error, the push gate refuses; what git takes, it takes, but for what stands here.

Objects made by hand, good and bad, go into a repository and through the gate's checks.
"""

import os
import random
import re
import subprocess
import zlib

import pytest

from labchecks import judge
from labobjects import ADA, BLOB, COMMIT, DIR, FILE, LINK, MODULE, NAMES, PROGRAM, TAG, TREE, Object, blob, commit, tree

FORMATS = ["sha1", "sha256"]


# ---- what git says

OF_OTHERS = re.compile("broken|git.*(Blob|Missing)")	# that an object points to what is not there, or is another type


def store(git, o):
    path = f"{git}/objects/{o.id[:2]}/{o.id[2:]}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(zlib.compress(b"%s %d\0" % (NAMES[o.kind], len(o.data)) + o.data))


def git_errors(folder, objects, format):
    """{id: git's words} of the objects that git fsck --strict finds at fault by themselves."""
    git = f"{folder}/fsck.git"
    env = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder), "LC_ALL": "C"}
    subprocess.run(["git", "init", "-q", "--bare", f"--object-format={format}", git], check=True, env=env)
    for o in objects:
        store(git, o)
    done = subprocess.run(["git", "--git-dir", git, "fsck", "--strict", "--no-dangling", "--no-progress"], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    lines = done.stdout.decode(errors="replace").splitlines()
    assert not any(line.startswith("fatal") for line in lines), lines
    found = [re.match(r"error in \w+ ([0-9a-f]+): (\w+)", line) or
             re.match(r"error: ([0-9a-f]{40,64}): (object could not be parsed)", line) for line in lines]
    blobs = {o.id for o in objects if o.kind == BLOB}		# some tree takes it for a tree
    return {m[1]: m[2] for m in found if m and not OF_OTHERS.match(m[2]) and not ("parsed" in m[2] and m[1] in blobs)}


def compare(folder, objects, format, stricter=()):
    """stricter: ids that the gate alone refuses."""
    objects = list({o.id: o for o in objects}.values())
    git = git_errors(folder, objects, format)
    ours = judge(objects, format=format).objects
    by_id = {o.id: o for o in objects}
    missed = {i: (git[i], by_id[i].data) for i in by_id if i in git and i not in ours}
    assert not missed
    if stricter is not None:
        extra = {i: (ours[i], by_id[i].data) for i in ours if i not in git and i not in stricter}
        assert not extra
        assert all(i in ours for i in stricter)
    return git, ours


# ---- trees

NAMES_REFUSED = [
    b"", b".", b"..", b"a/b", b"/", b".git", b".GIT", b".Git", b".git.", b".git ", b".git...", b".git . .", b".git:x",
    b".git::$INDEX_ALLOCATION", b".gIt. :", b"git~1", b"GIT~1", b"git~1.", b"git~1 :x", b"a\\.git", b"a\\.git\\b", b"\\git~1",
    b".git\\hooks", b"git~1\\x",
    b".g\xe2\x80\x8cit", b"\xe2\x80\x8d.git", b".git\xef\xbb\xbf", b".\xe2\x80\xaegit", b".gi\xe2\x81\xaft", b".\xe2\x80\x8eGiT\xe2\x80\x8f",
    b".git\xff", b".git\xc0\xaf", b".git\xe2\x80", b".git\xed\xa0\x80", b".git\xf5\x80\x80\x80",
]
NAMES_TAKEN = [
    b"a", b".gi", b".gitx", b".git2", b"git", b"git~2", b"git~10", b".gitkeep", b".github", b"..a", b"...", b". ", b".. ",
    b"a\\b", b"a\\.gitx", b"x.git", b".git\xe2\x80\x9cx", b".g it", b"-x", b" ", b"a\nb", b"\xff", b"\xe2\x80\x8c", b".git\xc3\xa4",
    b"con", b"a:b", b".git\xe2\x82\xac", b"con.txt", b"\\", b".git-\\x",
]
MODULES = [b".gitmodules", b".GITMODULES", b".gitmodules.", b".gitmodules ", b".gitmodules:x", b"gitmod~1", b"GITMOD~4",
           b"gi7eba~1", b"gi7eb~10", b"gi7~1000", b"g~100000", b"~1000000", b"GI7EBA~9", b"gi7eba~1 . :", b".git\xe2\x80\x8cmodules",
           b"x\\.gitmodules", b"x\\gitmod~2"]
NOT_MODULES = [b"gitmod~5", b"gitmod~0", b"gi7eba~0", b"gi7ebx~1", b".gitmodulesx", b"gitmodules", b"gi7eba~1x", b"gitmod~1\\x"]
ATTRIBUTES = [b".gitattributes", b".GitAttributes", b"gitatt~1", b"gi7d29~1", b".gitattributes ..", b".gitat\xe2\x80\x8dtributes"]


@pytest.mark.parametrize("format", FORMATS)
def test_names_in_trees(tmp_path, format):
    b = blob(b"x", format)
    refused = [tree((FILE, n, b), format=format) for n in NAMES_REFUSED]
    taken = [tree((FILE, n, b), format=format) for n in NAMES_TAKEN + NOT_MODULES]
    taken += [tree((LINK, n, b), format=format) for n in NOT_MODULES + ATTRIBUTES]
    links = [tree((LINK, n, b), format=format) for n in MODULES]
    # git says so too, of the entry's blob, which it would not find, or find to be none
    folders = [tree((mode, n, e), format=format) for n in MODULES + ATTRIBUTES
               for mode, e in ((DIR, tree(format=format)), (MODULE, b"\1" * len(b.digest)))]
    git, ours = compare(tmp_path, [b, tree(format=format), *refused, *taken, *links, *folders], format,
                        [t.id for t in folders])
    assert all(t.id in ours and t.id in git for t in refused + links)
    assert not any(t.id in ours or t.id in git for t in taken)


def raw(*rows, format="sha1", id=None):
    b = blob(b"x", format)
    return Object(TREE, b"".join(b"%s %s\0%s" % (mode, name, b.digest if id is None else id) for mode, name in rows), format)


@pytest.mark.parametrize("format", FORMATS)
def test_shapes_of_trees(tmp_path, format):
    b, size = blob(b"x", format), 20 if format == "sha1" else 32
    f, d = FILE, DIR
    good = [raw((f, b"a"), (f, b"b"), format=format), raw((f, b"a.b"), (d, b"a"), (f, b"a0"), format=format),
            raw((b"100664", b"a"), format=format), raw((PROGRAM, b"a"), (MODULE, b"b"), (LINK, b"c"), format=format),
            raw((b"100600", b"a"), format=format), raw((b"100775", b"a"), format=format), raw(format=format)]
    bad = [raw((f, b"b"), (f, b"a"), format=format), raw((f, b"a"), (f, b"a"), format=format),
           raw((f, b"a"), (d, b"a"), format=format), raw((d, b"a"), (f, b"a"), format=format),
           raw((f, b"a"), (f, b"a.b"), (d, b"a"), format=format),
           raw((f, b"a"), (f, b"a!"), (f, b"a.b"), (d, b"a.b"), (d, b"a"), format=format),
           raw((f, b"a"), (f, b"a!"), (d, b"a!"), (f, b"a-"), (d, b"a"), (f, b"b"), format=format),
           raw((LINK, b"a"), (f, b"a-"), (d, b"a"), format=format), raw((d, b"a"), (f, b"a.b"), format=format),
           raw((b"0100644", b"a"), format=format), raw((b"040000", b"a"), format=format),
           raw((f, b"a"), format=format, id=b"\0" * size)]
    whole = good[0].data
    cut = [Object(TREE, whole[:n], format) for n in (1, 5, 6, 7, 8, 9, 8 + size - 1, len(whole) - 1)]
    cut += [Object(TREE, b, format) for b in (b"x" * 40, b" a\0" + b"1" * size, b"1x0644 a\0" + b"1" * size, b"100644", whole + b"1")]
    odd = [raw((m, b"a"), format=format) for m in (b"140000", b"0", b"7", b"100", b"777777", b"1000644", b"104755", b"40755")]
    git, ours = compare(tmp_path, [b, *good, *bad, *cut, *odd], format, [o.id for o in odd if o.data[:1] != b"0"])
    assert all(o.id in ours for o in bad + cut)
    assert not any(o.id in ours or o.id in git for o in good)


# ---- commits and tags

IDENTS_REFUSED = [
    b"<a> 1 +0000", b"Ada<a> 1 +0000", b"Ada <a 1 +0000", b"Ada a> 1 +0000", b"Ada <a>1 +0000", b"Ada <a> +0000", b"Ada <a> x +0000",
    b"Ada <a> 01 +0000", b"Ada <a> 00 +0000", b"Ada <a> 1 0000", b"Ada <a> 1 +000", b"Ada <a> 1 +00000", b"Ada <a> 1 +00x0", b"Ada <a> 1",
    b"Ada <a> 1 ", b"Ada <a> 1+0000", b"Ada <a> 1  +0000", b"Ada <a> 9223372036854775808 +0000", b"Ada <a> 18446744073709551616 +0000",
    b"Ada <a> 99999999999999999999999 +0000", b"Ada <a><b> 1 +0000", b"Ada <<a> 1 +0000", b"A>da <a> 1 +0000", b"", b"Ada", b"Ada <a> -1 +0000",
    b"Ada <a> 1 +0000 ", b"Ada <a>> 1 +0000", b"<>", b" ",
]
IDENTS_TAKEN = [ADA, b" <> 0 +0000", b"Ada <> 0 -9999", b"\xff\xfe <\x01> 1 +0000", b"A B C <a b> 123 +1234", b"Ada <a> 9223372036854775806 +0000"]
IDENTS_OURS = [b"Ada <a>  1 +0000", b"Ada <a> +1 +0000"]


def commits(format):
    t = tree((FILE, b"a", blob(b"x", format)), format=format)
    p = commit(t, format=format)
    i, n = t.id.encode(), 40 if format == "sha1" else 64
    line, pl = b"tree %s\n" % i, b"parent %s\n" % p.id.encode()
    a, c = b"author %s\n" % ADA, b"committer %s\n" % ADA
    bad = [b"", b"x", line, line + a, line + c, a + c, pl + a + c, a + line + c, line + a + c + b"\0\n\nx", line + a + c + b"\nx\0y",
           line + a + a + c, line + c + a, line + a + pl + c, line[:-2] + b"\n" + a + c, b"tree " + b"g" * n + b"\n" + a + c,
           b"tree %s\n" % (b"1" * (n - 1)) + a + c, line + b"parent x\n" + a + c, line + pl[:-1] + b" \n" + a + c, b"Tree" + line[4:] + a + c,
           b"tree  %s\n" % i + a + c, line + a + b"committer", line + a + c[:-1], line + b"\n" + a + c, line + a + b"\n" + c,
           b"tree %s%s\n" % (i, i) + a + c, line + b"author\n" + c, line + b"x y\n" + a + c, line + pl + line + a + c]
    good = [line + a + c, line + a + c + b"\n", line + a + c + b"\nm", line + pl + pl + a + c + b"\nm\n", line + a + c + b"encoding x\nx y\n\nm",
            line + a + c + b"gpgsig -----\n a\n b\n\nm", line + pl + a + c + b"junk\n", line + a + c + b"\n\xff\xfe"]
    bad += [line + b"author %s\n" % x + c + b"\n" for x in IDENTS_REFUSED] + [line + a + b"committer %s\n" % x + b"\n" for x in IDENTS_REFUSED]
    good += [line + b"author %s\n" % x + c + b"\n" for x in IDENTS_TAKEN]
    ours = [line + b"author %s\n" % x + c + b"\n" for x in IDENTS_OURS]
    made = [[Object(COMMIT, x, format) for x in some] for some in (bad, good, ours)]
    return [t, p, blob(b"x", format)], *made


@pytest.mark.parametrize("format", FORMATS)
def test_commits(tmp_path, format):
    around, bad, good, stricter = commits(format)
    git, ours = compare(tmp_path, [*around, *bad, *good, *stricter], format, [o.id for o in stricter])
    assert {o.data for o in bad if o.id not in ours} == set()
    assert {o.data for o in good if o.id in ours} == set()


def tags(format):
    b = blob(b"x", format)
    o, t, n, g = b"object %s\n" % b.id.encode(), b"type blob\n", b"tag v1\n", b"tagger %s\n" % ADA
    bad = [b"", o, o + t, o + n + g, t + n + g, o[:-2] + b"\n" + t + n + g, o + b"type x\n" + n + g, o + b"type \n" + n + g,
           o + b"type blobx\n" + n + g, o + b"type blo\n" + n + g, o + t + g, o + t + n + g + b"\0\n\n", o + t + n + g[:-1], o + t + b"tag",
           b"object x\n" + t + n + g, o + b"typ blob\n" + n + g]
    bad += [o + t + n + b"tagger %s\n\n" % x for x in IDENTS_REFUSED]
    good = [o + t + n + g, o + t + n + g + b"\nm\n", o + t + n + b"\nm", o + t + n + g + b"\nm\0m", o + t + b"tag a b..\n" + g, o + t + n + g + b"x y\n\nm",
            o + t + b"tag \n" + g]
    return b, [Object(TAG, x, format) for x in bad], [Object(TAG, x, format) for x in good]


@pytest.mark.parametrize("format", FORMATS)
def test_tags(tmp_path, format):
    b, bad, good = tags(format)
    git, ours = compare(tmp_path, [b, *bad, *good], format)
    assert {o.data for o in bad if o.id not in ours} == set()
    assert {o.data for o in good if o.id in ours} == set()


# ---- .gitmodules and .gitattributes

def modules(**keys):
    name = keys.pop("name", "m")
    return f'[submodule "{name}"]\n'.encode() + b"".join(b"\t%s = %s\n" % (k.encode(), v) for k, v in keys.items())


URLS_REFUSED = [
    b"-u", b"--upload-pack=x", b"./a%0ab", b"../%0Ax", b"git://h/%0ax", b"https://h/%0ahost=evil", b"https://a%0ab/x", b"http://%0a@h/",
    b"..//h/x", b"../:x", b"./../../:x", b".//../:x".replace(b"//", b"/"), b"..\\\\/x", b"https:///x", b"http://", b"https://?x", b"https://#x",
    b"https::x", b"http::://h/x", b"ftp:///x", b"ftps::https:///x", b"https://user@/x", b"https://u:p@/x", b"http::https://?x",
    b'"-u"', b"\"-\"u", b"https://h/\\nx", b'"https://h/\\n"',
]
URLS_TAKEN = [
    b"https://h/x", b"https://u:p@h/x.git", b"../x", b"./x", b"../../x/y", b"git://h/x", b"ssh://h/x", b"git@h:x/y.git", b"/abs/x", b"x", b"",
    b"http::https://h/x", b"https://h", b"https://h?x", b"https://h/%0", b"https://h/%0d%20", b"..x", b"../x:y", b"file:///x", b"https://h/a b",
]
MODULES_REFUSED = [
    *(modules(path=b"x", url=u) for u in URLS_REFUSED),
    *(modules(path=b"x", url=b"https://h/x", name=n) for n in ("..", "../x", "x/..", "a/../b", "..\\\\x", "a\\\\..", "", "a/../..")),
    modules(path=b"-x", url=b"https://h/x"), modules(path=b'"-x"', url=b"https://h/x"), modules(update=b"!rm"), modules(update=b'"!"x'),
    b"[SubModule \"m\"]\nURL = -x\n", b"[submodule.m]\nurl = -x\n", b"[submodule  \t\"m\"]url=-x", b"[submodule \"m\"] url = -x ; c",
    b"[submodule \"m\"]\nurl = \\\n-x\n", b"[submodule \"m\"]\r\nurl = -x\r\n",
    b"[submodule \"m\"]\nurl = https://h/x\n[submodule \"m\"]\nurl = -x", b"[a]b=c\n[submodule.a.b]\nurl=-x", b"# c\n; d\n[submodule \"\\.\\.\"]\nx=y",
    b"[submodule \"m\"]\nurl = https://h/x\nupdate = !x\n[broken", b"[submodule \"m\"]\nx\nurl\nurl = -x", b"[submodule \"..\"]\nx",
    b"[submodule \"m\"]\npath = -p # comment\n", b"[submodule \"a.b\"]\nurl = -x", b"[submodule.] \nurl = -x",
]
MODULES_TAKEN = [
    b"", b"\n", b"[core]\n\tbare = true\n", modules(path=b"x", url=b"https://h/x"), b"[submodule]\nurl = -x\n", b"[submodulex \"m\"]\nurl = -x",
    *(modules(path=b"x", url=u) for u in URLS_TAKEN), modules(update=b"rebase"), modules(path=b"a/b c"), modules(name="..a/b.."), b"url = -x\n",
    modules(name="a\\b"), b"[submodule.x \"../y\"]\nz = 1\n", b"[submodule \"m\"]\n\tpath = x ; -y\n\turl\n", b"[submodule \"m\"]\n#url = -x\n", b"[x \"submodule\"]\nurl=-x\n",
]
# Besides git: what is no configuration, and what leaves the work tree.
MODULES_OURS = [
    b"\xef\xbb\xbf[submodule \"m\"]\nurl=-x",
    b"[submodule \"m\"\nurl = x\n", b"[submodule m]\n", b"[]\n", b"\xef\xbb[a]\n", b"[submodule \"m\"]\nurl = \"x\n", b"<<<<<<< a\n",
    modules(path=b"../x"), modules(path=b"/x"), modules(path=b".git/x"), modules(path=b"a/.GIT"), modules(path=b"a/git~1/b"),
    modules(path=b'"x\r"'), modules(path=b'"x\\n"'), b"[submodule \"m\"]\npath = a\0b\n", modules(name="a\x01b", url=b"x"), b"[submodule \"m\"]\n1x = y\n",
    modules(url=b"git@h:a%0ab"), b"[submodule \"m\"]\nurl = \\q\n",
]
LINE = 2048
ATTRIBUTES_REFUSED = [b"x" * LINE, b"a\n" + b"x" * LINE + b"\nb\n"]
ATTRIBUTES_TAKEN = [b"", b"* text\n", b"x" * (LINE - 1) + b"\n" + b"x" * (LINE - 1), b"\n" * 10000]


def named(name, data, format):
    """[commit, tree, blob] of a file of that name."""
    b = blob(data, format)
    t = tree((FILE, name, b), format=format)
    return [commit(t, format=format), t, b]


def refusal(name, data, format="sha1", mirror=False):
    c, t, b = named(name, data, format)
    v = judge([c, t] + [b] * (not mirror), [(None, c.id, "refs/heads/x")], [b] * mirror, format=format)
    assert not v.objects
    assert v.verdict == ("refused" if v.refused else "clean"), v
    return {b.id[:12] in text and reason for _, reason, text in v.refused} or None


def test_gitmodules(tmp_path):
    """Each by itself here, and all in one repository there."""
    every = {data: named(b".gitmodules", data, "sha1") for data in MODULES_REFUSED + MODULES_TAKEN + MODULES_OURS}
    git = git_errors(tmp_path, [o for made in every.values() for o in made], "sha1")
    says = {data: git.get(made[2].id) for data, made in every.items()}
    assert not {d for d in MODULES_REFUSED if not says[d]} - {b"[submodule \"m\"]\nurl = https://h/x\nupdate = !x\n[broken"} - {
        modules(path=b"x", url=u) for u in (b"https://h/\\nx", b'"https://h/\\n"')}
    assert not {d: w for d, w in says.items() if w and d not in MODULES_REFUSED}
    wrong = {d: refusal(b".gitmodules", d) for d in MODULES_REFUSED + MODULES_OURS}
    assert not {d: w for d, w in wrong.items() if w != {"pack_malformed"}}
    assert not {d: w for d in MODULES_TAKEN if (w := refusal(b".gitmodules", d))}


def test_changed_gitmodules(tmp_path):
    """Whatever a few changed bytes make of one: what git refuses is refused."""
    rng = random.Random(7)
    seeds = [b"[submodule \"a\"]\n\tpath = x\n\turl = -x\n", b"[submodule \"../b\"]\n\tpath = \"y\"\n\tupdate = !z\n", MODULES_REFUSED[0]]
    every = {data: named(b".gitmodules", data, "sha1") for s in seeds for data in (mutate(rng, s) for _ in range(60))}
    git = git_errors(tmp_path, [o for made in every.values() for o in made], "sha1")
    bad = [d for d, made in every.items() if made[2].id in git]
    assert len(bad) > 30
    assert not [d for d in bad if refusal(b".gitmodules", d) != {"pack_malformed"}]


def test_gitattributes(tmp_path):
    every = {data: named(b".gitattributes", data, "sha1") for data in ATTRIBUTES_REFUSED + ATTRIBUTES_TAKEN}
    git = git_errors(tmp_path, [o for made in every.values() for o in made], "sha1")
    assert {d for d, made in every.items() if made[2].id in git} == set(ATTRIBUTES_REFUSED)
    assert all(refusal(b".gitattributes", d) == {"pack_malformed"} for d in ATTRIBUTES_REFUSED)
    assert not any(refusal(b".gitattributes", d) for d in ATTRIBUTES_TAKEN)


@pytest.mark.parametrize("name", [b".gitmodules", b"GITMOD~1", b".git\xe2\x80\x8cmodules", b"x\\.gitmodules"])
@pytest.mark.parametrize("format", FORMATS)
def test_gitmodules_under_other_names(name, format):
    assert refusal(name, MODULES_REFUSED[0], format) == {"pack_malformed"}
    assert not refusal(b"modules", MODULES_REFUSED[0], format)


def test_gitmodules_that_came_under_another_name_before():
    """A blob of the mirror is read too, once a tree calls it .gitmodules."""
    assert refusal(b".gitmodules", MODULES_REFUSED[0], mirror=True) == {"pack_malformed"}
    assert not refusal(b".gitmodules", MODULES_TAKEN[3], mirror=True)


# ---- any bytes

def mutate(rng, data):
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(out) + 1)
        what = rng.randrange(4)
        if what == 0 and out:
            out[at % len(out)] = rng.choice((0, 10, 32, 46, 47, 48, 60, 62, 92, 126, rng.randrange(256)))
        elif what == 1:
            out[at:at] = bytes([rng.choice((0, 10, 32, 46, 48, 60, 62, rng.randrange(256)))])
        elif what == 2:
            del out[at:at + rng.choice((1, 1, 5, 30))]
        else:
            start = rng.randrange(len(out) + 1)
            out[at:at] = out[start:start + rng.choice((4, 30, 60))]
    return bytes(out)


@pytest.mark.parametrize("format", FORMATS)
def test_changed_bytes(tmp_path, format):
    """Nothing that a few changed bytes make of good objects passes here and not there."""
    rng = random.Random(6)
    b = blob(b"x", format)
    t = tree((FILE, b".gitignore", b), (FILE, b"a.b", b), (DIR, b"a", tree(format=format)), (LINK, b"git", b), (PROGRAM, b"z~1", b), format=format)
    seeds = [t, commit(t, commit(t, format=format), headers=b"x y\n", format=format), tags(format)[2][1]]
    objects = [b, t, tree(format=format), *seeds]
    objects += [Object(o.kind, mutate(rng, o.data), format) for o in seeds for _ in range(400)]
    git, ours = compare(tmp_path, objects, format, stricter=None)
    assert len(git) > 250
