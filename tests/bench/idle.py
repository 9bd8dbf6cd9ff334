"""idle - what kept connections to the proxy cost

Theory of operation: eight sandboxes hold 250 TLS connections each, every one of which has had an answer
and waits for its next request, as clients with connection pools leave them. The proxy ends a connection
that waits for a minute, so each asks again when another sandbox has made its own; the count is checked.
"""

import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from daemons import resident  # noqa: E402
from lab import AGENT, Lab  # noqa: E402
from labclient import tls  # noqa: E402
from labhttp import get  # noqa: E402
from measure import result  # noqa: E402

SANDBOXES, EACH = 40, 50		# no sandbox may hold much of what all use
UNIT = ("cordon-gitproxy", "cordon-keeper")
PROFILE = {**AGENT, "limits": {"connections": EACH, "new_connections_per_second": 1000}}


def held(lab):
    """MiB of the front and the keeper together."""
    return sum(resident(pid) for daemon in UNIT for pid in lab.pids(daemon))


def connection(sandbox, address):
    """One that has had its answer, whole."""
    s = tls(sandbox, "github.com", address=address)
    ask(s)
    return s


def ask(s):
    s.sendall(get("/"))
    s.recv(65536)


def threads(lab):
    pid, = lab.pids("cordon-gitproxy")
    return len(os.listdir(f"/proc/{pid}/task"))


def row_proxy_idle(_):
    """Memory of 2,000 idle TLS connections to a git host."""
    with Lab(profiles={"agent": PROFILE}) as lab, contextlib.ExitStack() as kept:
        lab.up()
        sandboxes = [lab.add_sandbox(f"vm{n}") for n in range(SANDBOXES)]
        connection(sandboxes[0], sandboxes[0].resolve("github.com")).close()
        empty, before = held(lab), threads(lab)
        connections = []
        for sandbox in sandboxes:
            for s in connections:
                ask(s)
            address = sandbox.resolve("github.com")
            for _ in range(EACH):
                connections.append(kept.enter_context(connection(sandbox, address)))
        full, n = held(lab), threads(lab) - before
        if n < SANDBOXES * EACH - 1:
            raise RuntimeError(f"only {n} connections are left")
    yield result("proxy_idle", round((full - empty) * 1024 / n, 1), 128, "KiB", 1.0,
                 f"a connection, against the limit of 128; {n} of them: {full:.0f} MiB of front and keeper",
                 better="lower")
