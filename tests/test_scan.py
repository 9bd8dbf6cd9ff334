"""cordon scan and cordon exception: what is found, where it is said to be, and what is never printed."""

import json
import os
import re
import subprocess
import zlib

import pytest

from lab import open_build
from labgate import ENV, Repo, token


def cordon(*argv, **kw):
    return subprocess.run([f"{open_build()}/cordon", *map(str, argv)], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, timeout=120, **kw)


@pytest.fixture
def scan(tmp_path_factory):
    """Scan with no exceptions but those of the test; every report is looked through for the secrets."""
    exceptions = tmp_path_factory.mktemp("host") / "exceptions.yaml"

    def run(*paths, status, secrets=(token(),)):
        done = cordon("scan", "--json", "--exceptions", exceptions, *paths)
        text = cordon("scan", "--exceptions", exceptions, *paths)
        assert done.returncode == text.returncode == status, done.stderr + text.stderr
        for out in (done.stdout, done.stderr, text.stdout, text.stderr):
            for secret in secrets:
                assert not any(secret[i:i + 8] in out for i in range(len(secret) - 7))
        return json.loads(done.stdout) if status < 2 else done.stderr
    run.exceptions = exceptions
    return run


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "repo")


# -- files

def test_a_clean_tree(scan, tmp_path):
    (tmp_path / "a").write_text("int main(void) { return 0; }\n")
    (tmp_path / "empty").write_text("")
    got = scan(tmp_path, status=0)
    assert (got["verdict"], got["findings"], got["objects"]) == ("clean", [], 2)


def test_place_and_fingerprint(scan, tmp_path):
    (tmp_path / "d" / ".hidden").mkdir(parents=True)
    (tmp_path / "d" / ".hidden" / "a").write_bytes(b"\xef\xbb\xbfx\r\n  k=" + token().encode() + b"\r\n")
    (tmp_path / "b").write_text(token())
    got = {f["path"]: f for f in scan(tmp_path, status=1)["findings"]}
    a, b = got[f"{tmp_path}/d/.hidden/a"], got[f"{tmp_path}/b"]
    assert (a["rule"], a["line"], a["column"]) == ("github-pat", 2, 5)
    assert (b["line"], b["column"]) == (1, 1)
    assert a["fingerprint"] == b["fingerprint"] and re.fullmatch("[0-9a-f]{32}", a["fingerprint"])


def test_names_and_links_are_scanned_and_not_shown(scan, tmp_path):
    (tmp_path / "plain").symlink_to(f"/nowhere/{token(1)}")
    (tmp_path / f"file-{token(2)}").write_text(token(3))
    got = scan(tmp_path, status=1, secrets=(token(1), token(2), token(3)))
    assert sorted(f["path"] for f in got["findings"])[:2] == ["(path not shown: a secret is in it)"] * 2
    assert len(got["findings"]) == 3


def test_escapes_of_the_terminal_are_not_printed(scan, tmp_path):
    (tmp_path / "a\x1b[2Jb").write_text(token())
    done = cordon("scan", "--exceptions", scan.exceptions, tmp_path)
    assert done.returncode == 1 and "\x1b" not in done.stdout and "\\x1b" in done.stdout


def test_what_is_scanned_cannot_exempt_itself(scan, tmp_path):
    (tmp_path / "a").write_text(f"{token()} # gitleaks:allow\n")
    (tmp_path / ".gitleaks.toml").write_text("[allowlist]\npaths = ['''.*''']\n")
    (tmp_path / ".gitleaksignore").write_text("a:github-pat:1\n")
    (tmp_path / "exceptions.yaml").write_text("version: 1\n")
    assert len(scan(tmp_path, status=1)["findings"]) == 1


def test_a_fifo_and_a_device_do_not_hang(scan, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "null").symlink_to("/dev/zero")
    assert scan(tmp_path, status=0)["objects"] == 1


def test_a_missing_path_is_usage(scan, tmp_path):
    assert "No such file" in scan(tmp_path / "nothing", status=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes nobody")
def test_unprivileged_and_what_cannot_be_read_fails(scan, tmp_path):
    (tmp_path / "closed").write_text("x")
    (tmp_path / "closed").chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:-2]):		# all below /tmp
        folder.chmod(0o755)
    done = cordon("scan", "--json", tmp_path, user=65534, group=65534, extra_groups=[])
    assert done.returncode == 1 and json.loads(done.stdout)["verdict"] == "failed"
    assert "closed: Permission denied" in done.stderr


def test_own_rules(scan, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nrules:\n  - {id: mine, description: d, regex: 'corp-[0-9]{6}'}\n")
    (tmp_path / "a").write_text("corp-123456")
    done = cordon("scan", "--json", "--exceptions", scan.exceptions, "--rules", rules, tmp_path / "a")
    assert [f["rule"] for f in json.loads(done.stdout)["findings"]] == ["mine"]
    rules.write_text("version: 1\nrules:\n  - {id: mine, description: d, regex: 'corp-[0-9]+'}\n")
    done = cordon("scan", "--rules", rules, tmp_path / "a")
    assert done.returncode == 2 and f"{rules}:3:" in done.stderr and "bound its repeats" in done.stderr


# -- the host's configuration

RULE = "version: 1\nrules:\n  - {id: mine, description: d, regex: 'corp-[0-9]%s'}\n"


@pytest.fixture
def check(tmp_path):
    """cordon check of a host whose configuration names these rules and exceptions; (status, stderr)."""
    def run(rules=None, exceptions=None):
        for name, text in (("rules.yaml", rules), ("exceptions.yaml", exceptions)):
            if text is not None:
                (tmp_path / name).write_text(text)
        (tmp_path / "profiles").mkdir(exist_ok=True)
        (tmp_path / "cordon.yaml").write_text(
            "version: 1\nuplink: [lo]\nca: {names: [github.com, cordon.internal]}\n"
            f"git: {{scan: {{rules: {tmp_path}/rules.yaml, exceptions: {tmp_path}/exceptions.yaml}}}}\n")
        done = cordon("check", "--config", tmp_path / "cordon.yaml")
        return done.returncode, done.stderr
    return run


def test_check_reads_the_rules(check, tmp_path):
    """By the gate's own parser and compiler: what it would not take is told, with the place."""
    status, said = check(RULE % "{6}")
    assert status == 0, said
    status, said = check(RULE % "+")
    assert status == 2 and f"{tmp_path}/rules.yaml:3:" in said and "bound its repeats" in said, said
    status, said = check("version: 1\nrules:\n  - {id: mine, description: d, regexp: x}\n")
    assert status == 2 and f'{tmp_path}/rules.yaml:3:' in said and 'did you mean "regex"?' in said, said


def test_check_misses_the_rules(check, tmp_path):
    status, said = check()
    assert status == 2 and f"{tmp_path}/rules.yaml: error: cannot be read: No such file" in said, said


def test_check_reads_the_exceptions(check, tmp_path):
    """Together with errors in the rules, so that one look is enough."""
    status, said = check(RULE % "+", "version: 1\nexceptions: [what]\n")
    assert status == 2 and f"{tmp_path}/exceptions.yaml:2:" in said and f"{tmp_path}/rules.yaml:3:" in said, said


# -- repositories

def test_history(scan, repo):
    """What was removed again is still there, told with the first commit that has it, and once."""
    repo.commit({"a": "x"})
    first = repo.commit({"src/key": token(), "copy": token()})
    repo.git("branch", "other")
    repo.commit({"src/key": "gone", "copy": "gone", "src/moved": token()})
    got = scan(repo.path, status=1)
    assert [(f["commit"], f["line"], f["column"]) for f in got["findings"]] == [(first, 1, 1)]
    assert got["findings"][0]["path"] in ("src/key", "copy")
    assert scan("--files", repo.path, status=1)["findings"][0]["path"] == f"{repo.path}/src/moved"


def test_bare_and_packed(scan, repo, tmp_path):
    first = repo.commit({"a": token()})
    repo.commit({"a": "gone"})
    subprocess.run(["git", "clone", "-q", "--bare", repo.path, tmp_path / "bare.git"], env=ENV, check=True)
    assert [f["commit"] for f in scan(tmp_path / "bare.git", status=1)["findings"]] == [first]


def test_messages_tags_and_names(scan, repo):
    repo.commit({"a": "x"}, message=f"subject\n\nwith {token(1)}")
    repo.git("tag", "-a", "v1", "-m", token(2))
    repo.commit({f"dir-{token(3)}/a": "y"})
    got = scan(repo.path, status=1, secrets=(token(1), token(2), token(3)))
    assert {f["path"] for f in got["findings"]} == {"(commit)", "v1", "(path not shown: a secret is in it)"}


def test_a_big_blob_and_binary(scan, repo):
    filler = zlib.compress(bytes(range(256)) * 50, 0) * 250
    repo.commit({"big": filler[:3 << 20] + b"\n" + token().encode() + b"\n" + filler[:1 << 20]})
    assert len(scan(repo.path, status=1)["findings"]) == 1


def test_an_empty_repository(scan, repo):
    assert scan(repo.path, status=0)["objects"] == 0


def lose(repo, what):
    oid = repo.id("rev-parse", what)
    os.unlink(f"{repo.path}/.git/objects/{oid[:2]}/{oid[2:]}")


def test_a_missing_object_is_no_success(scan, repo):
    repo.commit({"a": "one", "b": "two"})
    lose(repo, "HEAD:a")
    assert scan(repo.path, status=1)["verdict"] == "failed"


def test_a_repository_starts_nothing(scan, repo, tmp_path):
    """Not even to fetch what its configuration promises."""
    repo.commit({"a": "one"})
    lose(repo, "HEAD:a")
    for key, value in {"core.repositoryformatversion": "1", "extensions.partialclone": "o", "remote.o.promisor": "true",
                       "remote.o.url": f"ext::sh -c touch% {tmp_path}/ran", "protocol.ext.allow": "always",
                       "core.fsmonitor": f"touch {tmp_path}/ran", "core.pager": f"touch {tmp_path}/ran"}.items():
        repo.git("config", key, value)
    assert scan(repo.path, status=1)["verdict"] == "failed"
    assert not (tmp_path / "ran").exists()


# -- exceptions

def exception(scan, *argv):
    return cordon("exception", *argv, "--file", scan.exceptions)


def test_an_accepted_finding(scan, tmp_path):
    (tmp_path / "a").write_text(token())
    fingerprint = scan(tmp_path, status=1)["findings"][0]["fingerprint"]
    assert exception(scan, "add", fingerprint, "--comment", "of the test", "--expires", "1d").returncode == 0
    got = scan(tmp_path, status=0)["findings"][0]
    assert got["fingerprint"] == fingerprint and re.fullmatch(r"\d{4}-\d\d-\d\d", got["accepted_until"])
    assert "already" in exception(scan, "add", fingerprint, "--comment", "x").stderr
    (tmp_path / "b").write_text(token(2))
    assert scan(tmp_path, status=1, secrets=(token(2),))
    (tmp_path / "b").unlink()
    scan.exceptions.write_text(re.sub(r"expires: .*", "expires: 2020-01-01", scan.exceptions.read_text()))
    assert "expired" in exception(scan, "ls").stdout
    scan(tmp_path, status=1)
    assert exception(scan, "rm", fingerprint).returncode == 0
    assert json.loads(exception(scan, "ls", "--json").stdout) == []
    assert "is not in" in exception(scan, "rm", fingerprint).stderr


def test_the_configured_file(scan, tmp_path):
    """What the gate reads is what the commands change and heed."""
    (tmp_path / "cordon.yaml").write_text(f"version: 1\ngit: {{scan: {{exceptions: {tmp_path}/mine.yaml}}}}\n")
    config = ("--config", tmp_path / "cordon.yaml")
    (tmp_path / "a").write_text(token())
    fingerprint = scan(tmp_path, status=1)["findings"][0]["fingerprint"]
    done = cordon("exception", "add", fingerprint, "--comment", "of the test", *config)
    assert done.returncode == 0 and fingerprint in (tmp_path / "mine.yaml").read_text(), done.stderr
    assert fingerprint in cordon("exception", "ls", *config).stdout
    assert cordon("scan", *config, tmp_path / "a").returncode == 0
    (tmp_path / "cordon.yaml").write_text("version: 1\ngit: {scam: {}}\n")
    assert "cordon.yaml:2:" in cordon("exception", "ls", *config).stderr


def test_others_must_not_write_the_exceptions(scan, tmp_path):
    scan.exceptions.write_text("version: 1\nexceptions:\n")
    scan.exceptions.chmod(0o666)
    assert "others could write it" in scan(tmp_path, status=2)


def test_editing_keeps_what_else_is_in_the_file(scan):
    one, two, three = ("%032x" % n for n in (1, 2, 3))
    scan.exceptions.write_text(f"# ours\nversion: 1\nexceptions:\n# first\n- fingerprint: '{one}'\n  comment: a: b\n".replace("a: b", "'a: b'") +
                               f"  expires: 2090-01-01\n# second\n- {{fingerprint: '{two}', expires: 2090-01-01, comment: c}}\n# end\n")
    assert exception(scan, "add", three, "--comment", 'a "b" \\ #').returncode == 0
    assert exception(scan, "rm", one).returncode == 0
    text = scan.exceptions.read_text()
    assert all(f"# {word}\n" in text for word in ("ours", "first", "second", "end"))
    rows = json.loads(exception(scan, "ls", "--json").stdout)
    assert [(r["fingerprint"], r["comment"]) for r in rows] == [(two, "c"), (three, 'a "b" \\ #')]
    assert exception(scan, "rm", two).returncode == exception(scan, "rm", three).returncode == 0


def test_a_form_that_lines_cannot_change_is_left_alone(scan):
    one, two = ("%032x" % n for n in (1, 2))
    three = "%032x" % 3
    before = "version: 1\nexceptions: [" + ", ".join(
        f"{{fingerprint: '{x}', expires: 2090-01-01, comment: c}}" for x in (one, three)) + "]\n"
    scan.exceptions.write_text(before)
    for argv in (["add", two, "--comment", "x"], ["rm", one]):
        done = exception(scan, *argv)
        assert done.returncode == 2 and "edit it by hand" in done.stderr
        assert scan.exceptions.read_text() == before
    assert os.listdir(scan.exceptions.parent) == ["exceptions.yaml"]


@pytest.mark.parametrize("text, error", [
    ("version: 2\n", "version: must be 1"),
    ("version: 1\nexception: []\n", 'unknown key "exception"'),
    ("version: 1\nexceptions: 3\n", "a list of"),
    ("version: 1\nexceptions:\n  - {fingerprint: abc, expires: 2090-01-01, comment: x}\n", ":3:5: error: fingerprint"),
    ("version: 1\nexceptions:\n  - {fingerprint: '%032x', expires: 2090-02-30, comment: x}\n" % 1, "expires: a day"),
    ("version: 1\nexceptions:\n  - {fingerprint: '%032x', comment: x}\n" % 1, "expires is missing"),
    ("version: 1\nexceptions:\n" + "  - {fingerprint: '%032x', expires: 2090-01-01, comment: x}\n" % 1 * 2, "a second time"),
])
def test_a_wrong_file_accepts_nothing(scan, tmp_path, text, error):
    scan.exceptions.write_text(text)
    (tmp_path / "a").write_text(token())
    assert error in scan(tmp_path, status=2)
    assert exception(scan, "ls").returncode == 2


@pytest.mark.parametrize("argv, text", [
    (["accept"], "add, ls or rm"),
    (["add"], "give a fingerprint"),
    (["add", "A" * 32, "--comment", "x"], "give a fingerprint"),
    (["add", "0" * 32], "say why"),
    (["add", "0" * 32, "--comment", "x", "--expires", "2020-01-01"], "days to come"),
    (["add", "0" * 32, "--comment", "x", "--expires", "3h"], "days to come"),
    (["add", "0" * 32, "--comment", "a\nb"], "one line"),
    (["ls", "0" * 32], "unexpected word"),
    (["rm", "0" * 32, "--comment", "x"], "are of add"),
])
def test_mistakes(scan, argv, text):
    done = exception(scan, *argv)
    assert done.returncode == 2 and text in done.stderr and not scan.exceptions.exists()
