"""spools - what sending a kept answer costs

Theory of operation: an answer of 64 MiB that the spool holds is asked for again and again over one kept
connection by a client that only reads (take.c). Counted is the CPU time of all of Cordon's daemons, of which
the proxy's front takes nearly all; bandwidth of a core is bytes by that time.
"""

import statistics

from lab import BUILD
from labnet import wait_for
from measure import PAIRS, result
from mirrored import HOST, Repository, account_ours, bulk, mirrored_lab, spooled, warm

ROUND = 8			# answers
WAITS = 200


def take(lab, body, path, count, tls):
    """[(bytes, microseconds to the first, to the last)] of `count` answers."""
    out = lab.sandbox.run([f"{BUILD}/bench-take", lab.sandbox.resolve(HOST), 443 if tls else 80, HOST, path, body, count,
                           *([lab.sandbox.ca_bundle] if tls else [])], check=True).stdout
    return [tuple(map(int, line.split())) for line in out.splitlines()]


def kept(lab, repository, *options):
    """The file of a request whose answer is in the spool."""
    body = f"{lab.dir}/body-{len(options)}"
    with open(body, "wb") as f:
        f.write(repository.fetch_body(*options))
    before = spooled(lab)
    fields = ["Content-Type: application/x-git-upload-pack-request", "Git-Protocol: version=2"]
    lab.sandbox.run(["curl", "-fsS", "-o", "/dev/null", "--data-binary", f"@{body}",
                     *(word for field in fields for word in ("-H", field)),
                     f"{repository.url}.git/git-upload-pack"], check=True)
    wait_for("a kept answer", lambda: spooled(lab) > before)
    return body


def row(name, bench, tls, expected):
    with mirrored_lab(bench) as lab, account_ours(lab) as us:
        repository = Repository(lab, "acme/bulk", bulk)
        warm(lab, repository)
        path = f"/{repository.name}.git/git-upload-pack"
        whole, small = kept(lab, repository), kept(lab, repository, "filter tree:0")
        rates = []
        for _ in range(PAIRS):
            spent, answers = us.spent(lambda: take(lab, whole, path, ROUND, tls))
            rates.append(sum(a[0] for a in answers) / spent / 1e3)
        firsts = [a[1] / 1e3 for a in take(lab, small, path, WAITS, tls)]
        size = answers[0][0] >> 20
        yield result(name, round(statistics.median(rates)), expected, "MB/s", 1.0,
                     f"bandwidth of one core's time: bytes by CPU time of all daemons, answers of {size} MiB from the "
                     f"spool over {'TLS' if tls else 'plain HTTP'}; against the goal; best {max(rates):.0f}")
        yield result(f"{name}_first_byte", round(statistics.median(firsts), 2), 3, "ms", 1.0,
                     "from a request on a kept connection to the first byte of the body; against the limit of 3 ms; "
                     f"median of {WAITS}", better="lower")


def row_spool_tls(bench):
    """Bandwidth per core of a kept answer over TLS, and the wait for its first byte."""
    return row("spool_tls", bench, True, 800)


def row_spool_plain(bench):
    """The same without TLS."""
    return row("spool_plain", bench, False, 1500)
