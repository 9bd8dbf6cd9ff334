"""Secrets in pushes: wherever they hide, again and again, and what an operator may accept. Rows D5, D6 and D7.

No answer, audit line or log of any part may hold the secret, or a part of it.
"""

import glob
import itertools
import subprocess

import pytest

from lab import row
from labmirror import ask_repo, fetch_body, mirrors
from labobjects import DIR, FILE, LINK, MODULE, PROGRAM, blob, change, commit, copy, delta, insert, pack, tag, tree
from labpush import CAPS, ZERO, Work, commands, create, forwarded, policy, push_lab, push_raw, refused, token

AGENT = "refs/heads/agent/x"
OPEN = {"refs": ["refs/**"]}
_count = itertools.count(1)


@pytest.fixture(scope="module")
def lab(world):
    with push_lab(world, {"agent": policy("host_mirror", **OPEN), "upstream": policy("upstream", **OPEN),
                          "warn": policy("host_mirror", secrets="warn", **OPEN)}) as lab:
        yield lab


@pytest.fixture
def repo(lab):
    lab.forge.reset()
    lab.audit.mark()
    repo = lab.forge.repository(f"acme/s{next(_count)}")
    yield repo
    repo.remove()


def unsaid(lab, secret, *answers):
    """Nobody says it: neither to the client nor to the operator."""
    for part in (secret, secret[4:24], secret[-20:]):
        for answer in answers:
            assert part not in (answer if isinstance(answer, bytes) else answer.encode()), answer
        for name in glob.glob(f"{lab.log_dir}/*"):
            assert part not in open(name, "rb").read(), name


# ---- where they hide. Each gives (commands' keywords, ref, objects) ----

def files(**named):
    return lambda tip, t: change(tip, files={k.encode(): v.replace(b"@", t) for k, v in named.items()})


def nested(depth):
    def make(tip, t):
        leaf = blob(b"key: %s\n" % t)
        trees = [tree((FILE, b"deep", leaf))]
        for _ in range(depth):
            trees.insert(0, tree((DIR, b"d", trees[0])))
        return [commit(trees[0], tip), *trees, leaf]
    return make


def said(**where):
    """In a field of the commit itself."""
    def make(tip, t):
        fields = {k: v.replace(b"@", t) for k, v in where.items()}
        return change(tip, **fields)
    return make


def entry(mode, name, leaf=b"x\n"):
    """As (or below) a name."""
    def make(tip, t):
        content = blob(leaf.replace(b"@", t))
        if mode == DIR:
            inner = tree((FILE, b"f", content))
            top = tree((DIR, name.replace(b"@", t), inner))
            return [commit(top, tip), top, inner, content]
        top = tree((mode, name.replace(b"@", t), content))
        return [commit(top, tip), top, content]
    return make


def tagged(**fields):
    def make(tip, t):
        objects = change(tip)
        return [tag(objects[0], **{k: v.replace(b"@", t) for k, v in fields.items()}), *objects]
    return make


def tag_of_a_blob_alone(tip, t):
    leaf = blob(b"tagged %s\n" % t)
    return [tag(leaf), leaf]


def evil_merge(tip, t):
    """What is in neither parent."""
    left, right = change(tip, files={b"a": b"1\n"}), change(tip, files={b"b": b"2\n"})
    leaf = blob(t + b"\n")
    top = tree((FILE, b"a", left[2]), (FILE, b"b", right[2]), (FILE, b"c", leaf))
    return [commit(top, left[0], right[0]), top, leaf, *left, *right]


def added_and_removed(tip, t):
    with_it = change(tip, files={b"a": b"token %s\n" % t})
    return [*change(with_it[0], files={b"a": b"nothing\n"}), *with_it]


def on_a_side(tip, t):
    """Only in the history of the second parent."""
    side = change(tip, files={b"a": b"token %s\n" % t})
    clean = change(tip, files={b"a": b"clean\n"})
    return [commit(clean[1], clean[0], side[0]), *clean, *side]


def note(tip, t):
    leaf = blob(b"note %s\n" % t)
    top = tree((FILE, tip.encode(), leaf))
    return [commit(top), top, leaf]


def as_delta(tip, t):
    """Spelled by two instructions, from an object of the same pack."""
    base = blob(b"prefix " * 30 + t[:20] + b"\n")
    whole = base.data[:-1] + t[20:] + b"\n"
    leaf = blob(whole)
    top = tree((FILE, b"a", base), (FILE, b"b", leaf))
    return [commit(top, tip), top, base, delta(base, len(whole), copy(0, len(base.data) - 1) + insert(t[20:] + b"\n"))]


def at(offset, size=0):
    """So that it stands across that offset."""
    def make(tip, t):
        data = bytearray(b"0123456789abcde\n" * (max(offset + 64, size) // 16 + 1))
        data[offset - 20:offset + 22] = b" " + t + b"\n"
        return change(tip, files={b"big": bytes(data)})
    return make


def submodule(tip, t):
    modules = blob(b'[submodule "m"]\n\tpath = m\n\turl = https://x:%s@gitlab.com/acme/m.git\n' % t)
    top = tree((FILE, b".gitmodules", modules), (MODULE, b"m", b"\7" * 20))
    return [commit(top, tip), top, modules]


def exempted(tip, t):
    """What scanners of repositories would be told by the pusher."""
    return change(tip, files={b".gitleaks.toml": b"[allowlist]\npaths = ['.*']\n", b".gitleaksignore": b"*\n",
                              b".gitattributes": b"* -text -diff linguist-vendored export-ignore filter=x\n",
                              b"a": b'k = "%s" # gitleaks:allow nosec pragma: allowlist secret\n' % t})


PLACES = {
    "blob": files(a=b"token @\n"), "no newline": files(a=b"@"), "quoted": files(a=b'{"k":"@"}'),
    "crlf": files(a=b"x\r\n@\r\n"), "binary": files(a=b"\0\xff\x7fELF\0 @ \0\xfe"),
    "program": entry(PROGRAM, b"run", b"#!/bin/sh\nT=@\n"),
    "lock file": files(**{"package-lock.json": b'"x": "@"\n'}),
    "minified": files(**{"jquery.min.js": b"a" * 5000 + b";@;" + b"a"}),
    "image": files(**{"a.png": b"\x89PNG\r\n\x1a\n\0 @"}), "deep": nested(200), "exempted by itself": exempted,
    "message": said(message=b"use @\n"), "long message": said(message=b"x\n" + b"y" * 70000 + b"\n@\n"),
    "author": said(author=b"@ <a@lab.invalid> 1800000000 +0000"), "email": said(author=b"Ada <@> 1800000000 +0000"),
    "committer": said(committer=b"Ada <x-@> 1800000000 +0000"), "header": said(headers=b"x-token @\n"),
    "encoding": said(headers=b"encoding @\n"),
    "signature": said(headers=b"gpgsig -----BEGIN PGP SIGNATURE-----\n @\n -----END PGP SIGNATURE-----\n"),
    "mergetag": said(headers=b"mergetag object %s\n type commit\n tag v\n tagger A <a> 1 +0000\n \n @\n" % (b"1" * 40)),
    "tag message": tagged(message=b"v1 @\n"), "tagger": tagged(tagger=b"@ <a@x> 1 +0000"), "tag of a blob": tag_of_a_blob_alone,
    "name of a file": entry(FILE, b"x-@"), "name of a folder": entry(DIR, b"@"),
    "name with a blank": entry(FILE, b"a @ b"), "symbolic link": entry(LINK, b"link", b"/run/@/x"),
    "added and removed": added_and_removed, "evil merge": evil_merge, "a side of a merge": on_a_side,
    "delta": as_delta, "submodule": submodule, "64 KiB": at(1 << 16), "1 MiB": at(1 << 20),
    "at the end of 3 MiB": at((3 << 20) - 40), "16 MiB": at(1 << 24),
}
TAGS = ("tag message", "tagger", "tag of a blob")


def request(tip, objects, ref=AGENT, **kw):
    return commands((ZERO, objects[0].id, ref), **kw) + pack(*objects)


@row("D6")
@pytest.mark.parametrize("place", PLACES)
def test_places(lab, repo, place):
    """Refused wherever it is, and found as what it is."""
    secret = token()
    objects = PLACES[place](repo.tip(), secret)
    with refused(lab, repo, "secret_detected") as events:
        report = push_raw(lab, repo, request(repo.tip(), objects, "refs/tags/v1" if place in TAGS else AGENT))
        assert report.why() == "secret_detected", report
    finding = events[0]["findings"][0]
    assert finding["rule"] == "github-pat" and len(finding["fingerprint"]) == 32
    assert finding["fingerprint"] in report.progress and "github-pat" in report.progress
    unsaid(lab, secret, report.body)


@row("D6")
@pytest.mark.parametrize("place", ["ref", "option", "note", "option of many"])
def test_places_outside_objects(lab, repo, place):
    """Names of refs and push options go upstream, too."""
    secret, tip = token(), repo.tip()
    objects, ref, kw = change(tip), AGENT, {}
    if place == "ref":
        ref = f"refs/heads/agent/{secret.decode()}"
    elif place == "note":
        objects, ref = note(tip, secret), "refs/notes/commits"
    else:
        options = [b"topic=x"] * (63 if "many" in place else 1) + [b"token=" + secret]
        kw = {"caps": f"{CAPS} push-options", "options": options}
    with refused(lab, repo, "secret_detected"):
        report = push_raw(lab, repo, request(tip, objects, ref, **kw))
        assert set(report.refs.values()) and "secret_detected" in report.why()
    body = report.body.replace(secret, b"") if place == "ref" else report.body		# the client's own ref is told back
    unsaid(lab, secret, body)


HELD, UNSCANNED = "(a name that holds a secret)", "(a name that could not be scanned)"
NAMES = {
    "refused by name": ("ref_not_allowed", "refs/pull/@/head", lambda objects: pack(*objects)),
    "no pack": ("pack_malformed", "refs/heads/agent/@", lambda objects: b"PACKED"),
    "objects missing": ("pack_malformed", "refs/heads/agent/@", lambda objects: pack(*objects[1:])),
}


@row("D6")
@pytest.mark.parametrize("how", NAMES)
def test_names_of_refused_refs(lab, repo, how):
    """Refused before anybody judged its objects: what the audit has of it is no secret either."""
    secret, tip = token(), repo.tip()
    reason, name, packed = NAMES[how]
    objects = change(tip)
    rows = [(ZERO, objects[0].id, AGENT), (ZERO, objects[0].id, name.replace("@", secret.decode())),
            (ZERO, objects[0].id, "refs/heads/agent/plain")]
    with refused(lab, repo, reason) as events:
        body = push_raw(lab, repo, commands(*rows) + packed(objects)).body
    assert [c["ref"] for c in events[0]["commands"]] == [AGENT, HELD, "refs/heads/agent/plain"]
    unsaid(lab, secret, body.replace(secret, b""))


def test_names_that_nobody_can_scan(world):
    """Without rules nothing is pushed, and no name is written down."""
    with push_lab(world, {"agent": policy("upstream", **OPEN)}, git={"scan": {"rules": "/nonexistent"}}) as lab:
        repo = lab.forge.repository("acme/names")
        for ref, reason in (("refs/pull/1/head", "ref_not_allowed"), (AGENT, "scan_failed")):
            with refused(lab, repo, reason) as events:
                push_raw(lab, repo, request(repo.tip(), change(repo.tip()), ref))
            assert [c["ref"] for c in events[0]["commands"]] == [UNSCANNED]


@row("D6")
def test_a_protected_path_with_a_secret(lab, repo):
    """Why it is refused is told without the path."""
    secret, tip = token(), repo.tip()
    leaf = blob(b"on: push\n")
    inner = tree((FILE, b"%s.yml" % secret, leaf))
    outer = tree((DIR, b"workflows", inner))
    top = tree((DIR, b".github", outer))
    objects = [commit(top, tip), top, outer, inner, leaf]
    with refused(lab, repo, {"path_protected", "secret_detected"}) as events:
        report = push_raw(lab, repo, request(tip, objects))
    assert "path not shown" in events[0]["detail"], events
    unsaid(lab, secret, report.body)


@row("D6")
@pytest.mark.parametrize("vm", ["vm0", "vm1"])
def test_delta_over_upstreams_object(lab, repo, vm):
    """Half of it is upstream's, and no byte of the pack looks like a secret."""
    secret = token()
    tip = repo.git("fast-import", "--quiet", "--force", input=(
        f"commit refs/heads/main\ncommitter A <a@lab.invalid> 1900000000 +0000\ndata 1\nx\nfrom {repo.tip()}\n"
        f"M 100644 inline half\ndata 300\n{secret[:24].decode():>300}\n")) or repo.tip()
    base = blob(b"%300s" % secret[:24])
    assert repo.has(base.id)
    whole = blob(base.data + secret[24:] + b"\n")
    top = tree((FILE, b"half", whole))
    new = commit(top, tip)
    thin = delta(base, len(whole.data), copy(0, 300) + insert(whole.data[300:]))
    body = commands((ZERO, new.id, AGENT)) + pack(new, top, thin)
    with refused(lab, repo, "secret_detected"):
        assert push_raw(lab, repo, body, sandbox=lab.sandboxes[vm]).why() == "secret_detected"


@row("D6")
def test_pieces(lab, repo):
    """The pack in HTTP chunks of one byte."""
    with refused(lab, repo, "secret_detected"):
        body = request(repo.tip(), change(repo.tip(), files={b"a": token()}))
        assert push_raw(lab, repo, body, chunked=True, size=1).why() == "secret_detected"


@row("D6")
def test_sha256(lab):
    repo = lab.forge.repository("acme/wide-secret", format="sha256")
    lab.audit.mark()
    with refused(lab, repo, "secret_detected"):
        body = create(repo, change(repo.tip(), files={b"a": token()}, format="sha256"))
        assert push_raw(lab, repo, body).why() == "secret_detected"
    repo.remove()


def test_all_at_once(lab, repo):
    """Every finding in one answer, with file, line and commit, as git shows it."""
    work = Work(lab, repo)
    secrets = [token() for _ in range(5)]
    ids = []
    for n, secret in enumerate(secrets):
        ids.append(work.commit({f"dir/f{n}": b"line\n" * n + b"key " + secret + b"\n"}))
    with refused(lab, repo, "secret_detected") as events:
        done = work.push("HEAD:agent/x")
        assert "! [remote rejected] HEAD -> agent/x (secret_detected: 5 findings" in done.stderr, done.stderr
    for n, made in enumerate(ids):
        assert f"dir/f{n}:{n + 1}" in done.stderr and made[:7] in done.stderr, done.stderr
    assert "cordon exception add" in done.stderr
    assert {(f["path"], f["line"]) for f in events[0]["findings"]} == {(f"dir/f{n}", n + 1) for n in range(5)}
    for secret in secrets:
        unsaid(lab, secret, done.stderr)


def test_very_many(lab, repo):
    """The audit line is cut and says so; the answer has an end."""
    with refused(lab, repo, {"secret_detected", "scan_failed"}) as events:
        report = push_raw(lab, repo, request(repo.tip(), change(repo.tip(), files={
            b"f%d" % n: token() + b"\n" for n in range(300)})))
    assert len(events[0]["findings"]) == 64 and events[0]["n_findings"] >= 256 and len(report.progress) < 100000


@row("D6")
def test_only_what_is_new(lab, repo):
    """CVE-2025-54585, both sides of it: what upstream has is no finding on a new branch, what it lacks is, all of it."""
    secret, tip = token(), repo.tip()
    there = change(tip, files={b"old": secret + b"\n"})
    repo.give("main", there)
    on_top = [commit(there[1], there[0], message=b"more\n")]
    report = push_raw(lab, repo, request(tip, on_top))
    assert report.refs == {AGENT: "ok"}, report
    forwarded(lab, repo)
    bad = change(there[0], files={b"new": token() + b"\n"})		# a parent that nobody has approved
    child = change(bad[0], files={b"new": b"clean\n"})
    with refused(lab, repo, "secret_detected"):
        push_raw(lab, repo, request(tip, [*child, *bad], "refs/heads/agent/y"))


def test_pre_existing(lab, repo):
    """A file that had it before and changes elsewhere is told, and passes."""
    secret = token()
    there = change(repo.tip(), files={b"conf": b"key %s\nmode a\n" % secret})
    repo.give("main", there)
    report = push_raw(lab, repo, request(None, change(there[0], files={b"conf": b"key %s\nmode b\n" % secret})))
    assert report.refs == {AGENT: "ok"} and "github-pat" in report.progress, report
    assert forwarded(lab, repo)["findings"][0]["path"] == "conf"
    unsaid(lab, secret, report.body)
    with refused(lab, repo, "secret_detected"):			# another file has it: that is new
        push_raw(lab, repo, request(None, change(there[0], files={b"conf2": b"key %s\n" % secret}), "refs/heads/agent/y"))


def test_warn(lab, repo):
    """secrets: warn: told and audited, and forwarded."""
    secret = token()
    report = push_raw(lab, repo, request(None, change(repo.tip(), files={b"a": secret})), sandbox=lab.sandboxes["vm2"])
    assert report.refs == {AGENT: "ok"} and "github-pat" in report.progress
    assert forwarded(lab, repo)["findings"][0]["rule"] == "github-pat"
    unsaid(lab, secret, report.body)


# ---- D5: what was refused is not known ----

def leftovers(lab):
    """Places of pushes."""
    return glob.glob(f"{lab.mirrors}/push/*")


@row("D5")
@pytest.mark.parametrize("vm", ["vm0", "vm1"])
def test_again_with_more_commits(lab, repo, vm):
    """By git, and by a client that leaves out what it has sent before."""
    guest = lab.sandboxes[vm]
    work = Work(lab, repo, sandbox=guest)
    secret = token()
    work.commit({"a": secret})
    for n in range(3):
        with refused(lab, repo, "secret_detected"):
            assert work.push("HEAD:agent/x").returncode
        work.commit({"a": "clean\n", f"b{n}": "more\n"})
    bad = change(repo.tip(), files={b"a": token()})
    with refused(lab, repo, "secret_detected"):
        push_raw(lab, repo, request(None, bad), sandbox=guest)
    child = change(bad[0], files={b"a": b"clean\n"})
    renamed = tree((FILE, b"z", bad[2]))
    for objects in (child, child[:2], [commit(bad[1], repo.tip())], [commit(renamed, repo.tip()), renamed]):
        with refused(lab, repo, "pack_malformed"):
            report = push_raw(lab, repo, request(None, objects), sandbox=guest)
            assert "missing" in report.refs[AGENT], report
    with refused(lab, repo, "pack_malformed"):			# no object at all
        push_raw(lab, repo, commands((ZERO, bad[0].id, AGENT)) + pack(), sandbox=guest)
    whole = blob(bad[2].data + b"x\n")
    top = tree((FILE, b"a", whole))
    new = commit(top, repo.tip())
    with refused(lab, repo, "pack_malformed"):			# over a base that was refused
        push_raw(lab, repo, commands((ZERO, new.id, AGENT))
                 + pack(new, top, delta(bad[2], len(whole.data), copy(0, len(bad[2].data)) + insert(b"x\n"))), sandbox=guest)


@row("D1", "D5")
def test_refused_objects_are_nowhere(lab, repo):
    """They cannot be fetched by id, by whoever pushed them or another; no file of them is left."""
    bad = change(repo.tip(), files={b"a": token() + b"\n" * 5000})
    with refused(lab, repo, "secret_detected"):
        push_raw(lab, repo, request(None, bad))
    held = set()
    for mirror in mirrors(lab):
        held |= set(subprocess.run(["git", "-c", "safe.directory=*", f"--git-dir={mirror}/repo.git", "cat-file",
                                    "--batch-all-objects", "--batch-check=%(objectname)"], capture_output=True,
                                   text=True).stdout.split())
    assert not held & {o.id for o in bad}
    for vm in ("vm0", "vm1"):
        for o in bad:
            got = ask_repo(lab, repo, fetch_body(o.id), sandbox=lab.sandboxes[vm])
            assert b"packfile" not in got.body, got
    assert not leftovers(lab), leftovers(lab)


# ---- D7: exceptions ----

@row("D7")
def test_exception(lab, repo):
    """The operator's counts, at once and for that secret alone; the push says that it was accepted."""
    secret = token()
    objects = change(repo.tip(), files={b"a": secret})
    with refused(lab, repo, "secret_detected") as events:
        push_raw(lab, repo, request(None, objects))
    print_of = events[0]["findings"][0]["fingerprint"]
    done = lab.cordon("exception", "add", "--file", lab.exceptions, print_of, "--comment", "a test", "--expires", "2d")
    assert done.returncode == 0, done.stderr
    lab.audit.mark()
    report = push_raw(lab, repo, request(None, objects))
    assert report.refs == {AGENT: "ok"}, report
    finding, = forwarded(lab, repo)["findings"]
    assert (finding["fingerprint"], finding["weight"]) == (print_of, "accepted")
    with refused(lab, repo, "secret_detected"):			# another one in the same file
        push_raw(lab, repo, request(None, change(repo.tip(), files={b"a": secret + b"\n" + token()}), "refs/heads/agent/y"))
    assert lab.cordon("exception", "rm", "--file", lab.exceptions, print_of).returncode == 0
    with refused(lab, repo, "secret_detected"):
        push_raw(lab, repo, request(None, change(repo.tip(), files={b"b": secret}), "refs/heads/agent/z"))
    unsaid(lab, secret, report.body)


@row("D7")
def test_exceptions_from_inside(lab, repo):
    """A file like the operator's in the repository is a file."""
    secret = token()
    with refused(lab, repo, "secret_detected") as events:
        push_raw(lab, repo, request(None, change(repo.tip(), files={b"a": secret})))
    text = (b'version: 1\nexceptions:\n  - fingerprint: "%s"\n    expires: 2099-01-01\n    comment: x\n'
            % events[0]["findings"][0]["fingerprint"].encode())
    with refused(lab, repo, "secret_detected"):
        push_raw(lab, repo, request(None, change(repo.tip(), files={
            b"a": secret, b"exceptions.yaml": text, b".cordon.yaml": text + b"\n", b"cordon-exceptions": text + b"#\n"})))


@row("D7")
def test_broken_exceptions(lab, repo):
    """A file that cannot be read as one accepts nothing: pushes are refused until it is mended."""
    good = open(lab.exceptions).read()
    try:
        with open(lab.exceptions, "w") as f:
            f.write("version: 1\nexceptions: [\n")
        with refused(lab, repo, {"scan_failed", "secret_detected"}):
            push_raw(lab, repo, request(None, change(repo.tip(), files={b"a": token()})))
    finally:
        with open(lab.exceptions, "w") as f:
            f.write(good)
