"""machine - one virtual machine: qemu in software emulation, spoken to over a serial port

Theory of operation: the kernel and the initrd are the image's, so the boot is the distribution's own. Its
interfaces are taps that the test made, with virtio-net and all of its offloads, as real guests have them.
The console goes to a file, which a failing test shows; commands go to vm-agent on the second serial port.
"""

import base64
import itertools
import os
import socket
import subprocess

import image
from labnet import LabError, wait_for

ACCELERATOR = os.environ.get("VM_ACCEL", "tcg,tb-size=256")
BOOT_SECONDS = 900		# emulated, on a busy machine


class Machine:
    """Runs from the constructor to close(). taps: [(interface of the space, guest's MAC)]."""

    def __init__(self, space, disk, taps, append, memory=768):
        self._console = f"{disk}.console"
        self._numbers = itertools.count(1)
        self._stream = None
        self._data = b""
        agent = f"{disk}.agent"
        kernel, initrd = image.boot_files()
        argv = ["qemu-system-x86_64", "-accel", ACCELERATOR, "-cpu", "max", "-m", str(memory), "-nodefaults",
                "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
                "-append", f"root=/dev/vda rw console=ttyS0 net.ifnames=0 {append}",
                "-drive", f"file={disk},if=virtio,format=raw,snapshot=on", "-serial", f"file:{self._console}",
                "-chardev", f"socket,id=agent,path={agent},server=on,wait=off", "-serial", "chardev:agent"]
        for i, (tap, mac) in enumerate(taps):
            argv += ["-netdev", f"tap,id=n{i},ifname={tap},script=no,downscript=no,vnet_hdr=on",
                     "-device", f"virtio-net-pci,netdev=n{i},mac={mac}"]
        self._process = space.start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for("qemu", lambda: self._connect(agent))

    def _connect(self, path):
        if self._process.poll() is not None:
            raise LabError(f"qemu ended: {self._process.stderr.read().decode()}")
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
        except OSError:
            s.close()
            return False
        self._stream = s
        return True

    def console(self):
        with open(self._console, errors="replace") as f:
            return f.read()

    def _line(self, timeout):
        self._stream.settimeout(timeout)
        while b"\n" not in self._data:
            try:
                more = self._stream.recv(65536)
            except TimeoutError:
                raise LabError(f"the machine is silent for {timeout} s:\n{self.console()[-3000:]}") from None
            if not more:
                raise LabError(f"the machine ended:\n{self.console()[-3000:]}")
            self._data += more
        line, self._data = self._data.split(b"\n", 1)
        return line.decode().strip()

    def ready(self):
        """Return when the machine takes commands."""
        while self._line(BOOT_SECONDS) != "ready":
            pass
        return self

    def run(self, script, timeout=180, check=False):
        """Run shell commands inside. CompletedProcess with text."""
        number = str(next(self._numbers))
        self._stream.sendall(f"{number} {timeout} {base64.b64encode(script.encode()).decode()}\n".encode())
        while True:
            word = self._line(timeout + 120).split()
            if word[:1] == [number]:
                break
        out, err = (base64.b64decode(w[1:]).decode(errors="replace") for w in word[2:4])
        done = subprocess.CompletedProcess(script, int(word[1]), out, err)
        if check and done.returncode:
            raise LabError(f"in the machine: {script}: exit {done.returncode}: {err or out}")
        return done

    def put(self, path, text):
        """Write a file inside."""
        data = base64.b64encode(text.encode()).decode()
        self.run(f"mkdir -p {os.path.dirname(path)} && echo {data} | base64 -d >{path}", check=True)

    def close(self):
        if self._stream:
            self._stream.close()
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()
