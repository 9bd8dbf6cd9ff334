"""cordon-scan: where secrets hide in a push, what makes a finding harmless, and the files of a pack that is clean."""

import hashlib
import os
import subprocess

import pytest

import labobjects as lo
from labgate import ENV, ZERO, Judge, Repo, push_rules, token

MAIN = "refs/heads/main"


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    j = Judge(tmp_path_factory.mktemp("gate"))
    yield j
    assert "killed" not in j.close()


@pytest.fixture(params=["sha1", "sha256"])
def repo(request, tmp_path):
    r = Repo(tmp_path / "work", request.param)
    r.commit({"README": "hello\n", "src/a.c": "int a;\n"}, "first")
    return r


class Push:
    """A mirror of what is there, then commits, then their push."""

    def __init__(self, judge, repo, tmp_path):
        self.judge, self.repo, self.old = judge, repo, repo.head()
        self.mirror = repo.mirror(str(tmp_path / "mirror.git"), self.old)

    def __call__(self, new=None, ref=MAIN, have=True, **kw):
        new = new or self.repo.head()
        pack = kw.pop("pack", None) or self.repo.pack(new, self.old, thin=kw.pop("thin", True))
        return self.judge.push([(self.old if ref == MAIN else None, new, ref)], pack, self.mirror if have else "",
                               form=self.repo.form, **kw)


@pytest.fixture
def push(judge, repo, tmp_path):
    return Push(judge, repo, tmp_path)


def only(a, **want):
    """Refused for one secret, which is not in any message; what is said of it."""
    assert (a.verdict, a.reason) == ("refused", "secret_detected"), a
    assert len(a.findings) == 1 and a.judged["counts"] == {"held": 1}, a
    got = {k: a.findings[0][k] for k in want}
    assert got == want and a.files() == []
    said = repr((a.findings, a.commands, a.judged, a.progress))
    assert not any(token()[i:i + 8] in said for i in range(len(token()) - 7))
    return a.findings[0]


# -- what is clean

def repository_with(a, repo, mirror, pack):
    """The mirror, with what the quarantine holds, as git sees it."""
    name = f"pack-{a.judged['pack']}"
    assert a.files() == ([f"{name}.idx", f"{name}.pack"] if a.judged["thin"] else [f"{name}.idx"])
    for f in a.files():
        os.rename(f"{a.folder}/{f}", f"{mirror}/objects/pack/{f}")
    if not a.judged["thin"]:
        with open(f"{mirror}/objects/pack/{name}.pack", "wb") as f:
            f.write(pack)


@pytest.mark.parametrize("thin", [True, False])
def test_a_clean_push_leaves_a_pack_that_git_takes(push, repo, thin):
    repo.commit({"src/a.c": "int a;\n" * 200, "src/deep/er/b": os.urandom(3000)})
    repo.commit({"src/a.c": "int a;\n" * 200 + "int b;\n", "README": "hello\nworld\n" * 90})
    pack = repo.pack(repo.head(), push.old, thin=thin)
    a = push(pack=pack)
    assert (a.verdict, a.reason, a.findings, a.judged["detail"]) == ("clean", "none", [], "")
    assert [p["phase"] for p in a.progress] == ["received", "index", "scan", "check"]
    assert a.commands == [{"index": 0, "reason": "none", "op": 2, "text": ""}]
    repository_with(a, repo, push.mirror, pack)
    new = repo.head()
    subprocess.run(["git", "-C", push.mirror, "update-ref", MAIN, new], env=ENV, check=True)
    subprocess.run(["git", "-C", push.mirror, "fsck", "--full", "--strict"], env=ENV, check=True)
    index = f"{push.mirror}/objects/pack/pack-{a.judged['pack']}.idx"
    again = index[:-3] + "again"
    subprocess.run(["git", "-C", push.mirror, "index-pack", f"--object-format={repo.form}", "-o", again, index[:-3] + "pack"],
                   env=ENV, check=True, stdout=subprocess.DEVNULL)
    assert open(again, "rb").read() == open(index, "rb").read(), "byte for byte as git makes it"


def test_a_delta_on_what_the_mirror_has(push, repo, judge):
    """Thin, and by id: what git sends when offsets are not offered."""
    text = "".join(f"line {i}\n" for i in range(2000))
    repo.commit({"big": text})
    push.old = repo.head()
    push.mirror = repo.mirror(push.mirror + "2", push.old)
    repo.commit({"big": text + "more\n"})
    pack = repo.pack(repo.head(), push.old, flags=())
    assert len(pack) < 1000, "it is thin"
    a = push(pack=pack)
    assert a.verdict == "clean" and a.judged["thin"]
    repository_with(a, repo, push.mirror, pack)
    assert repo.git("-C", push.mirror, "cat-file", "-p", f"{repo.head()}:big").decode() == text + "more\n"


def test_loose_objects_of_the_mirror_count(push, repo):
    pack = repo.pack(push.old, thin=False)
    push.mirror += "2"
    subprocess.run(["git", "init", "-q", "--bare", f"--object-format={repo.form}", push.mirror], env=ENV, check=True)
    subprocess.run(["git", "-C", push.mirror, "unpack-objects", "-q"], env=ENV, input=pack, check=True)
    assert not os.listdir(f"{push.mirror}/objects/pack")
    repo.commit({"src/a.c": "int a;\nint b;\n" * 50})
    assert push().verdict == "clean"


def test_what_the_mirror_lacks_is_missing(push, repo):
    """Then the mirror is brought up to date, and asked once more; a base, or a parent."""
    text = "".join(f"line {i}\n" for i in range(2000))
    repo.commit({"big": text})
    late = repo.head()
    repo.commit({"big": text + "more\n"})
    for thin in (True, False):
        a = push(pack=repo.pack(repo.head(), late, thin=thin))
        assert (a.verdict, a.reason, a.files()) == ("missing", "none", []), a
        assert a.judged["missing"] != ZERO[repo.form]


def test_a_first_push_into_nothing(judge, repo):
    new = repo.commit({"a": "b"})
    a = judge.push([(None, new, MAIN)], repo.pack(new), form=repo.form)
    assert a.verdict == "clean" and [c["op"] for c in a.commands] == [1]


def test_an_empty_pack(push, repo):
    """A new name for what is there already."""
    pack = repo.git("pack-objects", "--stdout", "-q", data=b"")
    a = push(push.old, "refs/heads/other", pack=pack)
    assert (a.verdict, a.judged["objects"], [c["op"] for c in a.commands]) == ("clean", 0, [1])
    repository_with(a, repo, push.mirror, pack)
    done = subprocess.run(["git", "-C", push.mirror, "fsck", "--full"], env=ENV, check=True, stderr=subprocess.PIPE, text=True)
    assert "error" not in done.stderr
    a = push("2" * len(push.old), "refs/heads/other", pack=pack)
    assert (a.verdict, a.judged["missing"]) == ("missing", "2" * len(push.old))


def test_deletions_bring_no_pack(push, repo, judge):
    a = judge.push([(push.old, None, "refs/heads/gone")], None, push.mirror, form=repo.form)
    assert (a.verdict, [c["op"] for c in a.commands], a.files()) == ("clean", [4], [])


# -- where secrets hide

def test_a_file(push, repo):
    repo.commit({"src/key.txt": f"a\nb\n  k={token()}\n"})
    f = only(push(), place="blob", rule="github-pat", path="src/key.txt", line=3, column=5, commit=repo.head(), weight="held")
    assert f["object"] == repo.id("rev-parse", "HEAD:src/key.txt") and len(f["fingerprint"]) == 32


def test_a_binary_file(push, repo):
    repo.commit({"blob": b"\0\1\2" + token().encode() + b"\0\xff"})
    only(push(), path="blob")


def test_added_and_removed_within_the_push(push, repo):
    there = repo.commit({"oops": token()})
    repo.commit({"oops": None, "other": "x"})
    only(push(), path="oops", commit=there)


@pytest.mark.parametrize("where", ["author", "committer"])
def test_author_and_committer(push, repo, where):
    for key in ("NAME", "EMAIL"):
        before = repo.head()
        repo.git("commit", "-q", "--allow-empty", "-m", key, **{f"GIT_{where.upper()}_{key}": token()})
        only(push(), place="commit", object=repo.head(), commit=repo.head(), path="")
        repo.git("reset", "-q", "--hard", before)


def test_a_message(push, repo):
    repo.commit({"a": "b"}, f"subject\n\nuse {token()} for it\n")
    only(push(), place="commit", object=repo.head())


def test_a_header_of_a_commit(push, repo):
    new = repo.id("hash-object", "-t", "commit", "-w", "--stdin", data=(
        f"tree {repo.id('rev-parse', 'HEAD^{tree}')}\nparent {push.old}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n"
        f"gpgsig x\n y {token()}\n\nm\n").encode())
    only(push(new), place="commit", object=new)


def test_a_tag_and_its_message(push, repo):
    repo.git("tag", "-a", "v1", "-m", f"for {token()}")
    new = repo.id("rev-parse", "refs/tags/v1")
    only(push(new, "refs/tags/v1", rules=push_rules(["refs/**"])), place="tag", object=new)


def test_a_tag_of_a_blob(push, repo):
    blob = repo.id("hash-object", "-w", "--stdin", data=token().encode())
    repo.git("tag", "-a", "v2", "-m", "of a blob", blob)
    new = repo.id("rev-parse", "refs/tags/v2")
    only(push(new, "refs/tags/v2", rules=push_rules(["refs/**"])), place="blob", object=blob)


def test_notes(push, repo):
    repo.git("notes", "add", "-m", f"reviewed with {token()}")
    new = repo.id("rev-parse", "refs/notes/commits")
    only(push(new, "refs/notes/commits", rules=push_rules(["refs/**"])), place="blob")


@pytest.mark.parametrize("name", ["dir/{}", "{}/file", "a/{}.pem/b"])
def test_names_are_scanned_and_not_shown(push, repo, name):
    repo.commit({name.format(token()): "harmless\n"})
    only(push(), place="name")


def test_a_link_and_a_submodule(push, repo):
    os.symlink(f"/srv/{token()}", f"{repo.path}/link")
    repo.commit({})
    only(push(), place="blob", path="link")
    os.unlink(f"{repo.path}/link")
    repo.git("reset", "-q", "--hard", push.old)
    repo.commit({".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = https://{token()}@git.example/x.git\n'})
    only(push(), place="blob", path=".gitmodules", line=3)


def test_the_name_of_a_ref_and_push_options(push, repo):
    repo.commit({"a": "b"})
    a = push(ref=f"refs/heads/{token()}")
    only(a, place="ref", index=0, path="", object=ZERO[repo.form][:40])
    a = push(options=["ci.skip", f"token={token()}"])
    only(a, place="option", index=1, path="")


def test_only_in_a_merge(push, repo):
    """Content that neither parent has."""
    repo.git("checkout", "-q", "-b", "side")
    repo.commit({"side": "x"})
    repo.git("checkout", "-q", "main")
    repo.commit({"main": "x"})
    repo.git("merge", "-q", "--no-commit", "--no-ff", "side")
    repo.commit({"evil": token()}, "merge")
    only(push(), path="evil", commit=repo.head())


def test_a_delta_against_an_existing_base(push, repo):
    """The new bytes are a part of a token, the rest of which upstream has."""
    text = "".join(f"line {i}\n" for i in range(3000))
    repo.commit({"big": text + token()[:20] + "\n"})
    push.old = repo.head()
    push.mirror = repo.mirror(push.mirror + "2", push.old)
    repo.commit({"big": text + token() + "\n"})
    pack = repo.pack(repo.head(), push.old)
    assert len(pack) < 1000
    only(push(pack=pack), path="big", line=3001)


@pytest.mark.parametrize("size", [256 << 10, 1 << 20, 16 << 20])
def test_across_borders_of_large_files(judge, repo, size):
    """Whole, in pieces, and on the border between the two ways."""
    for shift in (-20, 0):
        blob = b"\0" * (size + shift) + token().encode() + b"\0" * 99
        repo.commit({"large": blob})
        a = judge.push([(None, repo.head(), MAIN)], repo.pack(repo.head()), form=repo.form)
        assert a.reason == "secret_detected"
        assert {f["column"] for f in a.findings if f["path"] == "large"} == {size + shift + 1}
        repo.git("reset", "-q", "--hard", "HEAD^")
        repo.git("reflog", "expire", "--expire=now", "--all")


def test_every_version_is_told(push, repo):
    for i in range(5):
        repo.commit({"a": f"{i}\n{token(i)}\n"})
    a = push()
    assert len(a.findings) == 5 == a.judged["counts"]["held"] and len({f["fingerprint"] for f in a.findings}) == 5


def test_an_object_that_no_name_leads_to(judge):
    """It is scanned; and refused anyhow."""
    c, t, b = lo.change()
    a = judge.push([(None, c.id, MAIN)], lo.pack(c, t, b, lo.blob(token().encode())))
    assert a.verdict == "refused" and a.judged["counts"] == {"held": 1}
    assert "hidden_objects" in [x["reason"] for x in a.commands]


# -- what is harmless, and what is not

@pytest.mark.parametrize("kind", ["tag", "tree", "blob"])
def test_a_history_that_leads_to_what_is_no_commit(judge, kind):
    """The way back to upstream's version ends there, whatever stands beside it in memory: dates are a client's."""
    def at(content, *parents, date=1):
        who = b"Ada <ada@lab.invalid> %d +0000" % date
        top = lo.tree((lo.FILE, b"a", leaf := lo.blob(content)))
        return [lo.commit(top, *parents, author=who, committer=who), top, leaf]
    far = [at(b"%d" % n, date=2000 << 32 | 0x7f000000 + n) for n in range(20)]
    odd = {"tag": lo.tag(far[0][0]), "tree": far[0][1], "blob": far[0][2]}[kind]
    before = at(b"x", odd)
    tip = at(token().encode(), before[0])
    objects = list(dict.fromkeys([odd, *(f[0] for f in far), *(o for f in far for o in f[1:]), *before, *tip]))
    a = judge.push([(None, tip[0].id, MAIN), *((None, f[0].id, f"refs/heads/{n}") for n, f in enumerate(far))],
                   lo.pack(*objects))
    assert (a.verdict, a.reason) == ("refused", "pack_malformed"), (a, judge.logs())
    assert [f["weight"] for f in a.findings] == ["held"]


def test_what_upstream_has_at_that_path_is_known(push, repo):
    """Not elsewhere, not another secret beside it, not under another name."""
    repo.commit({"test/key": token(), "other": "x"})
    push.old = repo.head()
    push.mirror = repo.mirror(push.mirror + "2", push.old)
    repo.commit({"test/key": token() + "\nmore\n"})
    repo.commit({"test/key": token() + "\nmore\nand more\n"})
    a = push()
    assert a.verdict == "clean" and [f["weight"] for f in a.findings] == ["known", "known"]
    repo.commit({"other": "y" + "\n" + token() + "\n"})
    a = push()
    assert a.verdict == "refused" and a.judged["counts"] == {"held": 1, "known": 2}
    assert a.findings[0]["path"] == "other", "those that refuse come first"
    repo.git("reset", "-q", "--hard", push.old)
    repo.commit({"test/key": token() + "\n" + token(2)})
    a = push()
    assert a.judged["counts"] == {"held": 1, "known": 1} and a.verdict == "refused"


def test_a_name_that_upstream_has_is_known(push, repo):
    repo.commit({f"d/{token()}": "x"})
    push.old = repo.head()
    push.mirror = repo.mirror(push.mirror + "2", push.old)
    repo.commit({"d/other": "y"})
    a = push()
    assert a.verdict == "clean" and a.judged["counts"] == {"known": 1}


def test_a_refused_push_makes_nothing_known(push, repo):
    repo.commit({"a": token()})
    assert push().reason == "secret_detected"
    for i in range(3):
        repo.commit({"a": f"{token()}{i * '!'}\n"})
        a = push()
        assert a.reason == "secret_detected" and a.judged["counts"] == {"held": i + 2}


def test_what_is_pushed_cannot_exempt_itself(push, repo):
    repo.commit({"a": f"{token()} # gitleaks:allow\n", ".gitleaks.toml": "[allowlist]\npaths = ['''.*''']\n",
                 ".gitleaksignore": "a:github-pat:1\n", "exceptions.yaml": "version: 1\n"})
    only(push(), path="a")


def test_exceptions(push, repo, tmp_path):
    repo.commit({"a": token(), "b": token() + "!", "c/d": token(2)})
    a = push()
    marks = {f["path"]: f["fingerprint"] for f in a.findings}
    assert marks["a"] == marks["b"] != marks["c/d"]

    def accept(*which, expires="2099-01-01"):
        (tmp_path / "exceptions.yaml").write_text("version: 1\nexceptions:\n" + "".join(
            f'  - {{fingerprint: "{marks[w]}", expires: {expires}, comment: test}}\n' for w in which))
        return push(exceptions=tmp_path / "exceptions.yaml")
    a = accept("a")
    assert a.verdict == "refused" and a.judged["counts"] == {"held": 1, "accepted": 2}
    assert a.findings[0]["path"] == "c/d"
    a = accept("a", "c/d")
    assert a.verdict == "clean" and a.judged["counts"] == {"accepted": 3} and {f["weight"] for f in a.findings} == {"accepted"}
    assert accept("a", "c/d", expires="2020-01-01").reason == "secret_detected", "they ended"


def test_the_policy_may_only_warn(push, repo):
    repo.commit({"a": token()}, f"with {token(2)}")
    a = push(rules=push_rules(warn=True))
    assert (a.verdict, a.reason) == ("clean", "none") and {f["weight"] for f in a.findings} == {"warned"} and len(a.findings) == 2


def test_a_cut_scan_refuses_even_then(push, repo):
    """More in one file than is told of one; more in all than is kept."""
    repo.commit({"a": "\n".join(token(i) for i in range(1, 300))})
    assert push(rules=push_rules(warn=True)).reason == "scan_failed"
    a = push()
    assert a.reason == "secret_detected" and a.judged["counts"]["held"] == 256 == len(a.findings)
    repo.git("reset", "-q", "--hard", push.old)
    repo.commit({f"f{n}": "\n".join(token(100 * n + i) for i in range(1, 200)) for n in range(3)})
    a = push()
    assert len(a.findings) == 256 and a.judged["untold"] == a.judged["counts"]["held"] - 256 > 0


def test_a_failed_scan_refuses(tmp_path, repo):
    """A rule that takes too long on what is pushed, whatever else is found or not."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nrules:\n  - {id: slow, description: d, regex: 'ka{200}c', "
                     "allowlist: {regexes: ['^k(?:a|aa)*[^ac]']}}\n")
    j = Judge(tmp_path, rules)
    new = repo.commit({"a": "k" + "a" * 200 + "c"})
    a = j.push([(None, new, MAIN)], repo.pack(new), form=repo.form, rules=push_rules(warn=True))
    j.close()
    assert (a.verdict, a.reason) == ("failed", "scan_failed"), a.judged
    assert a.files() == []


def test_own_rules(tmp_path, repo):
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nrules:\n  - {id: mine, description: d, regex: 'corp-[0-9]{6}', allowlist: {paths: ['.*']}}\n")
    j = Judge(tmp_path, rules)
    new = repo.commit({"a": "corp-123456 " + token()})
    a = j.push([(None, new, MAIN)], repo.pack(new), form=repo.form)
    j.close()
    assert [f["rule"] for f in a.findings] == ["mine"], "no path that a client chooses exempts"


def test_rules_that_are_none_end_it(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nrules:\n  - {id: mine, description: d, regex: '('}\n")
    j = Judge(tmp_path, rules)
    assert j.child.wait(60) == 1 and f"{rules}:3:" in j.logs()
    j.pair.close()


def test_a_secret_in_a_path_hides_it(push, repo):
    """A file in a folder of that name: neither is shown."""
    repo.commit({f"{token(3)}/key": token()})
    a = push()
    assert {f["place"] for f in a.findings} == {"blob", "name"} and token(3) not in repr(a)
    assert "(path not shown: a secret is in it)" in [f["path"] for f in a.findings]


def test_escapes_in_paths(push, repo):
    repo.commit({"a\x1b[2J\n": token()})
    only(push(), path="a\\x1b[2J\\x0a")


# -- objects of Git LFS

@pytest.mark.parametrize("size", [0, 3000, 17 << 20])
def test_pointers_of_lfs(judge, size):
    """Clients read the beginning of a file, however long it is; so does the judge, also of one that comes in pieces."""
    sha = hashlib.sha256(b"x").hexdigest()
    data = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize 1\n".encode().ljust(size, b"\n")
    c, *rest = lo.change(files={b"a": data, b"b": data[1:]})
    a = judge.push([(None, c.id, MAIN)], lo.pack(c, *rest))
    assert a.verdict == "clean" and a.judged["pointers"] == 1
    assert [(p["sha256"], p["size"], p["blob"]) for p in a.pointers] == [(sha, 1, lo.blob(data).id)]


def test_lfs_objects(judge):
    clean = os.urandom(3 << 20)
    assert judge.file(clean).verdict == "clean"
    a = judge.file(clean[:1 << 20] + b"\n" + token().encode() + b"\n" + clean)
    assert (a.verdict, a.reason) == ("refused", "secret_detected")
    assert a.findings[0]["place"] == "lfs" and a.judged["bytes"] == (4 << 20) + len(token()) + 2
    assert judge.file(token().encode(), rules=push_rules(warn=True)).verdict == "clean"


def test_lfs_objects_are_what_they_are_called(judge):
    for kw in ({"size": 5}, {"size": 3}, {"sha256": hashlib.sha256(b"else").digest()}):
        a = judge.file(b"this", **kw)
        assert (a.verdict, a.reason) == ("failed", "scan_failed")


# -- SHA-1 is no proof

def test_an_object_that_collides_is_refused(judge, tmp_path):
    """Two objects of one id: what upstream has under it, and what is pushed. (Made by planting the first.)"""
    repo = Repo(tmp_path / "work")
    old = repo.commit({"a": "one\n"})
    mirror = repo.mirror(str(tmp_path / "mirror.git"), old)
    pushed = lo.blob(b"evil\n")
    fake = lo.pack(lo.blob(b"good\n"))
    subprocess.run(["git", "-C", mirror, "index-pack", "--stdin"], env=ENV, check=True, input=fake, stdout=subprocess.DEVNULL)
    for name in os.listdir(f"{mirror}/objects/pack"):
        if name.endswith(".idx"):
            data = open(f"{mirror}/objects/pack/{name}", "rb").read()
            if lo.blob(b"good\n").digest in data:
                os.chmod(f"{mirror}/objects/pack/{name}", 0o644)
                first, last = lo.blob(b"good\n").digest[0], pushed.digest[0]
                fan = b"".join((1 if i >= last else 0).to_bytes(4, "big") for i in range(256))
                data = data[:8] + fan + data[8 + 1024:].replace(lo.blob(b"good\n").digest, pushed.digest)
                open(f"{mirror}/objects/pack/{name}", "wb").write(data)
    c = lo.change(lo.Object(lo.COMMIT, b""), files={b"b": b"evil\n"})
    top = lo.tree((lo.FILE, b"b", pushed))
    new = lo.commit(top, old)
    a = judge.push([(old, new.id, MAIN)], lo.pack(new, top, pushed), mirror)
    assert (a.verdict, a.reason) == ("refused", "pack_malformed") and "collides" in a.judged["detail"], c
