"""image - a small Debian for virtual machines: the host's own release, with the kernel that it packages

Theory of operation: mmdebstrap unpacks and configures packages into build/vm/DIGEST/root, nothing of which
touches the host; DIGEST is over everything that decides the content, so a tree is made once and kept. A
machine boots from an ext4 file made of that tree, to which a test may add files of its own first, and
runs on a snapshot of it. `python3 tests/vm/image.py` makes the tree ahead of the tests.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import BUILD, DAEMONS, ROOT, write  # noqa: E402
from labnet import ENV, LabError, tool  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
WHERE = f"{ROOT}/build/vm"
# What a machine is, what the Makefile says that running Cordon needs and no more, and what guests use.
PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "udev", "kmod", "iproute2",
            *re.search(r"^RUN_PKGS\s*:= (.*)$", open(f"{ROOT}/Makefile").read(), re.M)[1].split(),
            "ca-certificates", "git", "curl", "bind9-dnsutils", "iputils-ping")
DISK = "1200M"
SCRIPTS = ("vm-init", "vm-agent")	# to /usr/local/sbin


def release():
    """bookworm, trixie, ..."""
    return re.search(r"^VERSION_CODENAME=(\w+)", open("/etc/os-release").read(), re.M)[1]


def libraries():
    """Packages of the shared libraries that Cordon's programs were linked with here."""
    found = set()
    for program in ("cordon", *DAEMONS):
        found |= set(re.findall(r"=> \S+/(\S+) ", tool("ldd", f"{BUILD}/{program}")))
    owners = tool("dpkg-query", "-S", *(f"*/{name}" for name in sorted(found)))
    return sorted({line.split(":")[0] for line in owners.splitlines()} - {"libc6", "libgcc-s1", "zlib1g"})


def tree():
    """The directory of a configured Debian; made when it is not there yet."""
    packages = ",".join(sorted({*PACKAGES, *libraries()}))
    digest = hashlib.sha256(f"{release()} {packages}".encode()).hexdigest()[:12]
    where = f"{WHERE}/{digest}"
    if not os.path.exists(f"{where}/root"):
        shutil.rmtree(WHERE, ignore_errors=True)
        os.makedirs(where)
        mirror = os.environ.get("VM_MIRROR")
        done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", release(),
                               f"{where}/new", *([mirror] if mirror else [])], env={**ENV, "TMPDIR": where},
                              capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"mmdebstrap: {done.stderr[-2000:]}")
        os.rename(f"{where}/new", f"{where}/root")
    return f"{where}/root"


def boot_files():
    """(kernel, initrd) of the tree."""
    return tuple(sorted(glob.glob(f"{tree()}/boot/{name}-*"))[-1] for name in ("vmlinuz", "initrd.img"))


def disk(path, add=None):
    """Make an ext4 file of the tree; add(directory) puts more into it. The directory is path + ".d"."""
    directory = f"{path}.d"
    tool("cp", "-a", "--reflink=auto", tree(), directory)
    for script in SCRIPTS:
        shutil.copy(f"{HERE}/{script}", f"{directory}/usr/local/sbin/{script}")
        os.chmod(f"{directory}/usr/local/sbin/{script}", 0o755)
    write(f"{directory}/etc/hostname", "vm\n")
    if add:
        add(directory)
    tool("mke2fs", "-q", "-t", "ext4", "-d", directory, path, DISK)
    shutil.rmtree(directory)
    return path


if __name__ == "__main__":
    print(tree())
