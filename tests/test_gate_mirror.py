"""What the gate reads of a mirror for its checks: packs with deltas in them, loose objects, in both formats."""

import os
import subprocess

import pytest

import labobjects as lo
from labgate import ENV, Judge, Repo, push_rules

WORK = "refs/heads/agent/x"


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    j = Judge(tmp_path_factory.mktemp("gate"))
    yield j
    j.close()


def lines(n, changed):
    return "".join(f"line {i} {'x' if i <= changed else ''} of a file that is stored as deltas\n" for i in range(n))


@pytest.fixture(scope="module", params=["sha1", "sha256"])
def history(request, tmp_path_factory):
    """Of objects that lean on each other."""
    repo = Repo(tmp_path_factory.mktemp("history") / "work", request.param)
    for n in range(16):
        repo.commit({"big": lines(300, n), "d/small": f"{n}\n", **({f"d/f{i}": "x\n" for i in range(60)} if not n else {})})
    repo.tip = repo.head()
    return repo


@pytest.fixture(scope="module", params=["packed", "packs", "loose"])
def mirror(request, history, tmp_path_factory):
    path = tmp_path_factory.mktemp("mirror") / "mirror.git"
    repo = history
    repo.git("reset", "-q", "--hard", repo.tip)
    if request.param == "loose":
        subprocess.run(["git", "clone", "-q", "--bare", "--no-hardlinks", repo.path, path], env=ENV, check=True)
        return path
    repo.mirror(path, repo.id("rev-parse", "HEAD~5"))
    if request.param == "packs":
        data = repo.pack("HEAD", "HEAD~5", thin=True)
        subprocess.run(["git", "-C", path, "index-pack", "--stdin", "--fix-thin"], env=ENV, check=True, input=data, stdout=subprocess.DEVNULL)
        subprocess.run(["git", "-C", path, "update-ref", "refs/heads/main", repo.head()], env=ENV, check=True)
    else:
        repo.git("reset", "-q", "--hard", "HEAD~5")
    return path


@pytest.fixture
def repo(history, mirror):
    """The history as far as the mirror has it."""
    return history


def raw(repo, what):
    return bytes.fromhex(repo.id("rev-parse", what))


def pushed(judge, repo, mirror, top, parent="HEAD", old=None, **rules):
    commit = lo.commit(top, repo.id("rev-parse", parent), format=repo.form)
    return judge.push([(old and repo.id("rev-parse", old), commit.id, WORK)], lo.pack(commit, top, format=repo.form), mirror,
                      form=repo.form, rules=push_rules(**rules))


def test_stored_as_deltas(repo, mirror):
    """Else the tests here show nothing."""
    packs = [f for f in os.listdir(f"{mirror}/objects/pack") if f.endswith(".idx")]
    depths = [line.split()[-2] for p in packs for line in subprocess.run(
        ["git", "-C", mirror, "verify-pack", "-v", f"objects/pack/{p}"], env=ENV, check=True, capture_output=True, text=True).stdout.splitlines()
        if len(line.split()) == 7]
    assert not packs or max(map(int, depths)) >= 3


def test_what_the_mirror_has_is_what_it_is_taken_for(judge, repo, mirror):
    """Each kind of object, old and new ones, in a new tree."""
    for back in ("HEAD", "HEAD~5", "HEAD~9"):
        folder, file, commit = raw(repo, f"{back}:d"), raw(repo, f"{back}:big"), raw(repo, back)

        def of(*rows):
            return lo.tree(*rows, format=repo.form)
        assert pushed(judge, repo, mirror, of((lo.DIR, b"d", folder), (lo.FILE, b"f", file), (lo.MODULE, b"m", b"\1" * len(file)))).verdict == "clean"
        for wrong in ((lo.DIR, b"d", file), (lo.DIR, b"d", commit), (lo.FILE, b"f", folder), (lo.LINK, b"f", commit)):
            a = pushed(judge, repo, mirror, of(wrong))
            assert (a.verdict, a.reason) == ("refused", "pack_malformed"), wrong
        a = pushed(judge, repo, mirror, of((lo.FILE, b"f", b"\7" * len(file))))
        assert (a.verdict, a.judged["missing"]) == ("missing", "07" * len(file))


def test_ancestors_are_found_in_the_mirror(judge, repo, mirror):
    top = lo.tree((lo.DIR, b"d", raw(repo, "HEAD:d")), format=repo.form)
    for old, parent, op in (("HEAD", "HEAD", 2), ("HEAD~9", "HEAD", 2), ("HEAD", "HEAD~9", 3), ("HEAD~1", "HEAD~2", 3)):
        a = pushed(judge, repo, mirror, top, parent, old)
        assert (a.verdict, a.commands[0]["op"]) == ("clean", op)
        a = pushed(judge, repo, mirror, top, parent, old, force=False)
        assert (a.verdict, a.reason) == (("clean", "none") if op == 2 else ("refused", "force_not_allowed"))


def test_protected_paths_are_compared_with_the_mirrors(judge, repo, mirror):
    entries = [(lo.FILE, b"big", raw(repo, "HEAD:big")), (lo.DIR, b"d", raw(repo, "HEAD:d"))]
    same = lo.tree(*entries, (lo.FILE, b"new", raw(repo, "HEAD~3:big")), format=repo.form)
    old_folder = lo.tree(entries[0], (lo.DIR, b"d", raw(repo, "HEAD~3:d")), format=repo.form)
    old_file = lo.tree((lo.FILE, b"big", raw(repo, "HEAD~3:big")), entries[1], format=repo.form)
    for denied in (["d/"], ["d/*"], ["**/small"], ["big", "d/small"], ["**"], ["*", "d/**"]):
        judged = [pushed(judge, repo, mirror, t, denied=denied).reason for t in (same, old_folder, old_file)]
        assert judged[0] == ("path_protected" if denied[0] in ("**", "*") else "none"), denied
        assert judged[1] == "path_protected", denied
        assert judged[2] == ("path_protected" if denied[0] in ("**", "*", "big") else "none"), denied
