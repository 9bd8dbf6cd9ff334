"""make install and make uninstall: what is installed works from where it is, and goes again, all of it."""

import os
import re
import subprocess

import pytest

from lab import BUILD, ROOT

PREFIX = "usr/local"


def make(*argv):
    """Without the variables of the make that runs the tests: it builds nothing, whatever those are."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run([os.environ.get("MAKE", "make"), "-s", "-C", ROOT, f"B={BUILD}", *argv], env=env, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def files(root):
    return {os.path.relpath(os.path.join(top, name), root) for top, _, names in os.walk(root) for name in names}


@pytest.fixture
def root(tmp_path):
    if not os.path.exists(f"{BUILD}/cordon"):
        pytest.skip(f"{BUILD}/cordon is not built: make")
    make("install-files", f"DESTDIR={tmp_path}", f"PREFIX=/{PREFIX}")
    return tmp_path


def test_installed(root):
    """Every program, page and example; the command runs, and units name what is there."""
    there = files(root)
    built = {name for name in os.listdir(BUILD) if name.startswith("cordon")}
    assert {f"{PREFIX}/libexec/cordon/{name}" for name in built - {"cordon"}} | {f"{PREFIX}/bin/cordon"} <= there
    assert {f"{PREFIX}/share/man/man{page[-1]}/{page}" for page in os.listdir(f"{ROOT}/deploy/man")} <= there
    assert {f"{PREFIX}/share/doc/cordon/examples/{name}" for name in files(f"{ROOT}/deploy/examples")} <= there
    done = subprocess.run([root / PREFIX / "bin/cordon", "version"], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.startswith("cordon ")
    for unit in (name for name in there if "/systemd/system/" in name):
        for program in re.findall(rf"/{PREFIX}/[\w./-]+", (root / unit).read_text()):
            assert program[1:] in there, f"{unit}: {program}"


def test_uninstalled(root):
    """What others put beside it stays."""
    other = root / PREFIX / "lib/systemd/system/nftables.service.d/other.conf"
    other.write_text("[Service]\n")
    make("uninstall", f"DESTDIR={root}", f"PREFIX=/{PREFIX}")
    assert files(root) == {str(other.relative_to(root))}
