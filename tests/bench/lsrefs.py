"""lsrefs - fifty clients that ask for references at once

Theory of operation: each has its connection and has been let in; then all ask, and are read in turn, first
through the mirror, then straight from the web server upstream. Upstream's own log says how often it was
asked.
"""

import contextlib
import os
import ssl
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from labclient import tls  # noqa: E402
from labhttp import Wire, ls_refs, post  # noqa: E402
from labworld import GITHUB  # noqa: E402
from measure import PAIRS, interleaved, result  # noqa: E402
from mirrored import HOST, Repository, mirrored_lab, sources, warm  # noqa: E402

CLIENTS = 50
WINDOW = 1.0			# seconds for which an answer of upstream is shared


def directly(lab):
    """A connection from the gateway to upstream."""
    context = ssl.create_default_context(cafile=lab.world.ca_file)
    return context.wrap_socket(lab.gateway.connect(GITHUB[0], 443), server_hostname=HOST)


def asked(lab, connect, question):
    """(milliseconds until the last has its answer, how often upstream was asked)."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire.of(connect(lab))) for _ in range(CLIENTS)]
        time.sleep(WINDOW)				# what the last round asked is too old to be shared
        before = len(lab.web.requests(method="POST"))
        begin = time.monotonic()
        for wire in wires:
            wire.send(question)
        answers = {wire.response().body for wire in wires}
        spent = (time.monotonic() - begin) * 1e3
    assert len(answers) == 1
    return spent, len(lab.web.requests(method="POST")) - before


def row_ls_refs(bench):
    """Questions for references that reach upstream, and the wait of fifty clients."""
    with mirrored_lab(bench) as lab:
        repository = Repository(lab, "acme/sources", sources)
        warm(lab, repository)
        question = post(f"{repository.name}.git", ls_refs("HEAD", "refs/heads/", "refs/tags/"))
        address = lab.sandbox.resolve(HOST)
        figures = interleaved({
            "ours": lambda: asked(lab, lambda lab: tls(lab.sandbox, HOST, address=address), question),
            "direct": lambda: asked(lab, directly, question)}, max(PAIRS, 3))
        wait, count = ({k: [f[at] for f in figures[k]] for k in figures} for at in (0, 1))
        yield result("ls_refs", max(count["ours"]), max(count["direct"]), "questions", CLIENTS,
                     f"that reach upstream when {CLIENTS} clients ask at once; the most of {len(count['ours'])} rounds",
                     better="lower")
        yield result("ls_refs_wait", *(round(statistics.median(wait[k]), 1) for k in ("ours", "direct")), "ms", 1.0,
                     f"until the last of {CLIENTS} has its answer; against asking git-http-backend directly",
                     better="lower")
