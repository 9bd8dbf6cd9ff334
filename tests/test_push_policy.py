"""What a profile says of pushes, before any is made: cordon check and cordon explain."""

import json
import subprocess

import pytest

from lab import BUILD, write

REPO = "https://github.com/acme/widgets"
PROFILE = """version: 1
sandbox:
  git:
    enabled: true
    allowed_hosts: [github.com]
    allowed_repos: [acme/widgets, acme/gadgets]
    push:
      allowed_repos: [acme/widgets]
      refs: ["refs/heads/agent/*", refs/heads/shared]
      create: %s
      denied_paths: [".github/**"]
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration that nobody runs."""
    dir = tmp_path_factory.mktemp("etc")
    (dir / "profiles").mkdir()
    write(dir / "cordon.yaml", "version: 1\nuplink: [lo]\nca: {names: [github.com, cordon.internal]}\n")
    write(dir / "profiles/agent.yaml", PROFILE % "true")
    write(dir / "profiles/settled.yaml", PROFILE % "false")
    return dir / "cordon.yaml"


@pytest.fixture
def cordon(config):
    return lambda *argv: subprocess.run([f"{BUILD}/cordon", *argv, "--config", config], capture_output=True, text=True)


@pytest.mark.parametrize("what, reason, text", [
    (f"{REPO}", "", "refs: allowed are refs/heads/agent/*, refs/heads/shared"),
    (f"{REPO} refs/heads/agent/x", "", "judged by the gate"),
    (f"{REPO} agent/x", "", "rule: git.push.allowed_repos: acme/widgets"),
    (f"{REPO}.git HEAD:refs/heads/agent/x", "", "judged by the gate"),
    ("https://github.com/ACME/Widgets agent/x", "", "judged by the gate"),
    ("https://github.com/ACME/Widgets main", "ref_not_allowed", "refs: allowed are refs/heads/agent/*"),
    (f"{REPO} main", "ref_not_allowed", "refs: allowed are refs/heads/agent/*, refs/heads/shared"),
    (f"{REPO} agent/x/y", "ref_not_allowed", "a pattern in git.push.refs"),
    (f"{REPO} refs/tags/v1", "ref_not_allowed", "a pattern in git.push.refs"),
    (f"{REPO} refs/pull/1/head", "ref_not_allowed", "never pushed"),
    (f"{REPO} +agent/x", "force_not_allowed", "git.push.force: true"),
    (f"{REPO} :agent/x", "delete_not_allowed", "git.push.delete: true"),
    ("https://github.com/acme/gadgets agent/x", "push_not_allowed", "acme/gadgets in git.push.allowed_repos"),
    ("https://github.com/acme/payroll agent/x", "repository_not_allowed", "acme/payroll in git.allowed_repos"),
])
def test_explain(cordon, what, reason, text):
    done = cordon("explain", "--profile", "agent", "git", "push", *what.split())
    assert done.returncode == (1 if reason else 0) and not done.stderr, done
    assert (f"refused, {reason}\n" if reason else "with profile agent: allowed\n") in done.stdout and text in done.stdout


def test_explain_where_nothing_may_be_made(cordon):
    """A ref that exists may be moved all the same."""
    done = cordon("explain", "--profile", "settled", "git", "push", REPO, "agent/x")
    assert done.returncode == 0 and "refs: only if it exists" in done.stdout
    done = cordon("explain", "--json", "--profile", "settled", "git", "push", REPO, "main")
    assert json.loads(done.stdout)["refs"].startswith("allowed are ")


@pytest.mark.parametrize("ref", [":", "+", "HEAD:", "x" * 600])
def test_explain_of_no_ref(cordon, ref):
    done = cordon("explain", "--profile", "agent", "git", "push", REPO, ref)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done


def test_check_prints_what_compiles_to_the_same(cordon, config, tmp_path):
    done = cordon("check", config.parent / "profiles/agent.yaml")
    assert '      refs:\n        - "refs/heads/agent/*"\n        - "refs/heads/shared"\n' in done.stdout
    write(tmp_path / "agent.yaml", done.stdout)
    assert cordon("check", tmp_path / "agent.yaml").stdout == done.stdout
