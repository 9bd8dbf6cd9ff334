"""mirrors - what clones of mirrored repositories cost the server

Theory of operation: see mirrored.py. The peer is what a user would run otherwise, apache2 with
git-http-backend, asked without Cordon between. One answer made by git is one file more in the spool.
"""

import statistics

from measure import PAIRS, interleaved, paired_ratio, result
from mirrored import (Repository, account_ours, account_theirs, forget_answers, mirrored_lab, ours, sources,
                      spooled, theirs, warm)

STORM, FULL = 50, 5
SHALLOW = ("--depth", "1")


def storm(lab, account, repository):
    """CPU ms of one clone of fifty, and how many answers git made."""
    forget_answers(lab)
    spent, _ = account.spent(lambda: ours(lab, repository, STORM, *SHALLOW))
    return spent / STORM, len(spooled(lab))


def row_clone_storm(bench):
    """Fifty clones of depth 1 at once, from a warm mirror that has not made this answer yet."""
    with mirrored_lab(bench) as lab, account_ours(lab) as us, account_theirs(lab) as them:
        repository = Repository(lab, "acme/sources", sources)
        warm(lab, repository)
        theirs(lab, repository, 2, *SHALLOW)
        peer = them.spent(lambda: theirs(lab, repository, STORM, *SHALLOW))[0] / STORM
        runs = [storm(lab, us, repository) for _ in range(3)]
        kept = us.spent(lambda: ours(lab, repository, STORM, *SHALLOW))[0] / STORM
        mine, made = statistics.median(r[0] for r in runs), max(r[1] for r in runs)
        yield result("clone_storm", round(mine, 2), round(peer, 1), "ms", 50,
                     f"server CPU a clone, {STORM} clones of depth 1 at once; {made} answer made by git in all; "
                     "against apache2 with git-http-backend", better="lower")
        yield result("clone_storm_kept", round(kept, 2), round(peer, 1), "ms", None,
                     "the same once more: the answer is kept", better="lower")


def history():
    """The same tree with four times the commits: 98,000 objects."""
    return sources(commits=16000)


def row_mirror_warm(bench):
    """Full clones that git makes anew each time: mirror with bitmap, git-http-backend without."""
    with mirrored_lab(bench) as lab, account_ours(lab) as us, account_theirs(lab) as them:
        for name, content, what in (("mirror_warm", sources, "25,000"), ("mirror_warm_history", history, "98,000")):
            repository = Repository(lab, f"acme/{content.__name__}", content)
            warm(lab, repository)

            def mine():
                forget_answers(lab)
                return us.spent(lambda: ours(lab, repository, 1))[0]

            def peer():
                return them.spent(lambda: theirs(lab, repository, 1))[0]
            figures = interleaved({"ours": mine, "theirs": peer}, max(PAIRS, FULL))
            yield {**result(name, round(statistics.median(figures["ours"]), 1),
                            round(statistics.median(figures["theirs"]), 1), "ms", 3.0,
                            f"server CPU of a full clone of {what} objects that is made anew; against "
                            "git-http-backend without bitmaps", better="lower"),
                   "ratio": paired_ratio(figures["theirs"], figures["ours"])}
