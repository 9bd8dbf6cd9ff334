"""The documentation names what there is: all of it, once, and nothing else.

Keys of policies are printed into docs/policy.md from their table, and test_policy_host compares the two.
"""

import glob
import os
import re
import shlex
import subprocess
import textwrap

import pytest

from lab import BUILD, ROOT
from reference import audit_reference, read, reasons

PARTS = ("base", "policy", "nft", "netd", "dns", "gitproxy", "cli")
PAGES = sorted(glob.glob("docs/*.md", root_dir=ROOT)) + ["README.md"]
MANUALS = sorted(glob.glob("deploy/man/*", root_dir=ROOT))
EXAMPLES = sorted(p for p in glob.glob("deploy/**", root_dir=ROOT, recursive=True)
                  if os.path.isfile(f"{ROOT}/{p}") and "/man/" not in p)


def once(names):
    assert len(names) == len(set(names)), sorted({n for n in names if list(names).count(n) > 1})
    return set(names)


def sources(parts=PARTS):
    for part in parts:
        for path in glob.glob(f"{ROOT}/{part}/**/*.c", recursive=True):
            with open(path) as f:
                yield f.read()


def test_reasons():
    """In the order of policy/reason.h, each with something to say."""
    there = re.findall(r'X\([A-Z_]+, "(\w+)",', read("policy/reason.h"))
    assert len(there) > 50 and [name for name, _ in reasons()] == there
    assert all(cells[0] for _, cells in reasons())


# -- the audit log

def test_audit_events():
    text = "\n".join(sources())
    there = set(re.findall(r'\.event = "(\w+)"', text)) | set(re.findall(r'write_event\(a, "(\w+)"', text))
    there |= set(re.findall(r'\.event = [^"\n]*"(\w+)"[^"\n]*"(\w+)"', text)[0])
    assert once(audit_reference().event_rows) == there


def test_audit_fields():
    """Of lines and of the items of their lists: what is written is documented, and the other way round."""
    ref = audit_reference()
    text = "\n".join(sources())
    there = set(re.findall(r'audit_(?:str|rd|u64|list)\(\s*&?\w+,\s*"(\w+)"', text)) | {"ipv4", "ipv6"}
    there |= set(re.findall(r'put_oid\(\s*l,\s*"(\w+)"', text)) | {"ts", "seq", "src", "prev", "count", "cut"}
    items = set().union(*(once(fields) for fields in ref.items.values()))
    assert once(ref.always) | once(ref.fields) | items == there
    assert set().union(*ref.events.values()) <= set(ref.fields)
    assert set(ref.fields) - set().union(*ref.events.values()) == {"count", "cut"}
    assert set(ref.items) <= set(ref.fields)


def test_a_line_that_is_not_documented_is_noticed():
    ref = audit_reference()
    good = {"event": "push", "src": "keeper", "commands": [{"ref": "x"}], **dict.fromkeys(ref.always[6:], "")}
    assert ref.missing(good) == []
    assert ref.missing({**good, "surprise": 1, "commands": [{"tip": "x"}]}) == ["push.surprise", "push.commands[].tip"]
    assert ref.missing({**good, "src": "dns"}) == ["push by dns"]
    assert ref.missing({**good, "event": "pull"}) == ["event pull"]


# -- the command line

def cordon(*argv):
    done = subprocess.run([f"{BUILD}/cordon", *argv], stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout


@pytest.fixture(scope="module")
def commands():
    """{name: (usage, {long option: (letter, value)})}, as the help has them; None is what every command takes."""
    if not os.path.exists(f"{BUILD}/cordon"):
        pytest.skip(f"{BUILD}/cordon is not built: make")
    found = {}
    for name in (None, *re.findall(r"^  (\w+) ", cordon("help").split("every command")[0], re.M)):
        if name in ("help", "version"):
            continue
        text = cordon("help", *([name] if name else []))
        options = re.findall(r"^  (?:-(\w), )?--([a-z-]+)(?: (\S+))?  ", text.split("options:\n" if name else "every command:\n")[1], re.M)
        found[name] = (text.split("\n")[0].removeprefix("usage: "), {n: (letter, value) for letter, n, value in options})
    assert set(found[None][1]) == {"config", "json", "help"}
    for name in found:
        if name:
            for o in found[None][1]:
                del found[name][1][o]
    return found


def plain(troff):
    """A manual's text: macros off, one space between words."""
    text = re.sub(r"^\.(?:B|I|R|BR|RB|BI|IB|RI|IR) ", " ", troff, flags=re.M)
    text = re.sub(r'\\&|"|^\.\w+.*$', "", text, flags=re.M).replace("\\-", "-")
    return re.sub(r"\s+", " ", text)


def manual_sections():
    """{command: plain text} of cordon(1)'s section COMMANDS."""
    body = read("deploy/man/cordon.1").split(".SH COMMANDS\n")[1].split(".SH ")[0]
    parts = re.split(r"^\.TP\n\.B (\w+)\n", body, flags=re.M)
    return {name: plain(text) for name, text in zip(parts[1::2], parts[2::2])}


def tight(usage):
    return re.sub(r" ?(\[|\]|\||\.\.\.) ?", r"\1", usage.strip())


def test_usage_names_every_option(commands):
    for name, (usage, options) in commands.items():
        for option, (letter, _) in options.items():
            assert name is None or re.search(rf"--{option}\b", usage) or (letter and f"[-{letter}]" in usage), (name, option)


def test_manual_has_every_usage(commands):
    synopsis = read("deploy/man/cordon.1").split(".SH SYNOPSIS\n")[1].split(".SH ")[0]
    lines = [tight(plain(line)) for line in synopsis.split(".br\n")]
    for name, (usage, _) in commands.items():
        assert name is None or tight(usage) in lines, (usage, lines)


def test_manual_has_every_option(commands):
    """Each in its command's paragraph, and there no other."""
    sections = manual_sections()
    assert set(sections) == set(commands) - {None}
    for name, text in sections.items():
        options = commands[name][1]
        assert set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text)) - set(commands[None][1]) == set(options), name
        letters = {letter for letter, _ in options.values() if letter}
        assert set(re.findall(r"(?<![\w-])-([a-z])\b", text)) == letters, name


def code(path):
    """Lines of commands in a page: code spans and blocks, examples of manuals, comments and lines of files."""
    text = read(path)
    if path in MANUALS:
        return plain("\n".join(re.findall(r"\.nf\n(.*?)\.fi", text, re.S)).replace("\n", "\n;")).split(";")
    if path not in PAGES:
        return text.splitlines()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.S | re.M)
    return "\n".join(blocks).splitlines() + re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", rest) + re.findall(r"^    (.*)$", rest, re.M)


def calls(line):
    """[(command, words)] of each `cordon COMMAND ...` in a line."""
    for part in re.split(r"&&|\|\||[;|>#()`]", line):
        m = re.search(r"(?:^|bin/|[ \"'=])cordon ((?:--config \S+ )?)([a-z]+)((?: .*)?)$", part.rstrip())
        if m:
            lexer = shlex.shlex(m[3], posix=True, punctuation_chars=False)
            lexer.whitespace_split, lexer.commenters, lexer.quotes = True, "", '"'
            yield m[2], list(lexer)


@pytest.mark.parametrize("path", PAGES + MANUALS + EXAMPLES)
def test_commands_in_texts_exist(commands, path):
    for line in code(path):
        for name, argv in calls(line):
            assert name in commands or name in ("help", "version"), line
            known = {**commands[None][1], **(commands.get(name) or commands[None])[1]}
            letters = {letter for letter, _ in known.values()}
            for word in argv[:argv.index("--")] if "--" in argv else argv:
                option = re.match(r"(--?)([a-z-]+)", word.strip("[]"))
                if option:
                    assert option[2] in (known if option[1] == "--" else letters), line


def test_examples_of_the_help_exist(commands):
    for name in filter(None, commands):
        test_lines = cordon("help", name).split("examples:\n")[1].splitlines()
        assert test_lines and all(f"cordon {name}" in line or "cordon --config" in line for line in test_lines), name
        for line in test_lines:
            for command, argv in calls(line):
                known = {**commands[None][1], **commands[command][1]}
                letters = {letter for letter, _ in known.values()}
                for word in argv[:argv.index("--")] if "--" in argv else argv:
                    option = re.match(r"(--?)([a-z-]+)$", word)
                    assert not option or option[2] in (known if option[1] == "--" else letters), line


# -- what pages point at

def anchors(path):
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", read(path), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("path", PAGES)
def test_links(path):
    for target in re.findall(r"\]\(([^)]+)\)", read(path)):
        file, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        assert os.path.exists(f"{ROOT}/{file}"), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("path", PAGES)
def test_files_and_targets(path):
    """Files of the repository, programs and targets of make that a page names."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.M))
    parts = [read(os.path.relpath(p, ROOT)) for p in glob.glob(f"{ROOT}/**/part.mk", recursive=True)]
    programs = set(re.findall(r"\b(cordon-[a-z]+)", "\n".join(parts))) | set(re.findall(r'"(cordon-[a-z]+)', "\n".join(sources())))
    for line in code(path):
        for word in re.findall(r"(?<![\w./~@-])((?:\.ci|tests|docs|deploy|examples|policy|netd|dns|gitproxy|cli|nft|base)/[\w./*@-]*\w)", line):
            word = f"deploy/{word}" if word.startswith("examples/") else word
            assert glob.glob(f"{ROOT}/{word}") or re.search("[A-Z]{3}", word), word
        for word in re.findall(r"(?:^|sudo |&& )make ([a-z][a-z-]*)\b", line):
            assert word in targets, line
        for word in re.findall(r"(?<![\w/.-])(cordon-[a-z]+)(?![\w.-])", line):
            assert word in programs, line


def keys():
    found = re.findall(r"^\| `([^`]+)` \|", read("docs/policy.md"), re.M)
    return {k.replace("[]", "") for k in found} | {k.replace("[]", "").removeprefix("sandbox.") for k in found}


@pytest.mark.parametrize("path", PAGES)
def test_keys(path):
    """What looks like a key of a policy is one."""
    known = keys()
    first = {k.split(".")[0] for k in known}
    for word in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:: [^`]*)?`", read(path)):
        if word.split(".")[0] in first and not word.endswith((".jsonl", ".yaml")):
            assert word in known, word


def test_manual_of_the_configuration_names_keys():
    known = keys()
    heads = re.findall(r"^\.TP\n\.B (.*)$", read("deploy/man/cordon.yaml.5"), re.M)
    assert heads and all(key in known for head in heads for key in head.split(", ")), heads


# -- YAML of pages

HOSTS = "github.com, pypi.org, files.pythonhosted.org, registry.npmjs.org, index.crates.io, static.crates.io"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "H" * 43
# What a block may be beside a host configuration: a profile, what stands below `sandbox:`, rows of what is allowed.
PROFILES = (("", 0), ("sandbox:\n", 2), ("sandbox:\n  network:\n    default: deny\n    allow:\n", 6))


def version(text):
    return text if text.startswith("version:") else f"version: 1\n{text}"


def check(at, config, profile):
    """Whether these compile, and what is said."""
    os.makedirs(at / "profiles", exist_ok=True)
    (at / "cordon.yaml").write_text(config)
    (at / "profiles/p.yaml").write_text(profile)
    done = subprocess.run([f"{BUILD}/cordon", "check", "--config", at / "cordon.yaml"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if ": error: " in line]
    return not [line for line in errors if "without an account" not in line], done.stderr	# that is the machine's affair


def compile_as_something(at, config, text):
    """True: it is a host configuration; False: of a profile."""
    tries = [check(at, version(text), "version: 1\nsandbox: {}\n")]
    tries += [check(at, config, version(head + textwrap.indent(textwrap.dedent(text), " " * n))) for head, n in PROFILES]
    assert any(ok for ok, _ in tries), "\n".join([text, *(said for _, said in tries)])
    return tries[0][0]


@pytest.mark.parametrize("path", PAGES)
def test_yaml(commands, path, tmp_path):
    """Every block compiles; one of two files is split at the comments that name them, and the first counts for the second."""
    for block in re.findall(r"^```yaml\n(.*?)^```", read(path), re.S | re.M):
        if "exceptions:\n" in block:
            (tmp_path / "exceptions.yaml").write_text(block)
            assert cordon("exception", "ls", "--file", str(tmp_path / "exceptions.yaml")), block
            continue
        config = f"version: 1\nca: {{names: [{HOSTS}]}}\n"
        for part in re.split(r"^# \S+\.yaml.*\n", block.replace("ssh-ed25519 AAAAC3Nza...", HOST_KEY), flags=re.M):
            if part.strip() and compile_as_something(tmp_path, config, part):
                config = version(part)


def test_readme_has_every_page():
    assert {f"docs/{name}" for name in os.listdir(f"{ROOT}/docs")} <= set(re.findall(r"\]\((docs/[\w.]+)\)", read("README.md")))
