"""make lab - a shell in a sandbox of the lab, with Cordon up; all of it goes when the shell ends"""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))

from labnet import ENV, LabError  # noqa: E402
from lab import BUILD, Lab  # noqa: E402


def main():
    if os.geteuid() != 0:
        sys.exit("make lab: needs root (namespaces): sudo make lab")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with Lab() as lab:
        lab.up()
        sandbox = lab.add_sandbox()
        print(f"""
You are root in sandbox {sandbox.guest} ({', '.join(sandbox.address)}), profile {lab.dir}/profiles/agent.yaml
  allowed   git clone https://github.com/acme/widgets     curl https://pypi.example
  refused   git clone https://github.com/acme/payroll     curl https://evil.example
On the host's side, from another terminal:
  nsenter --net=/run/netns/{lab.gateway.name} {BUILD}/cordon log --config {lab.config_file}
""")
        # The shell is in our session, for job control; the lab's own programs are not.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        shell = [os.environ.get("SHELL") if os.path.exists(os.environ.get("SHELL", "")) else "/bin/sh"]
        with open(f"{sandbox.dir}/home/.bashrc", "w") as f:	# the system's own sets another prompt
            f.write("PS1='sandbox# '\n")
        env = {**ENV, "HOME": f"{sandbox.dir}/home", "TERM": os.environ.get("TERM", "dumb"), "PS1": "sandbox# "}
        return subprocess.call(sandbox.argv(shell, f"{sandbox.dir}/home"), env=env,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as e:
        sys.exit(f"make lab: {e}")
