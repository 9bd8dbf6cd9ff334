"""demo - the main job as a readable transcript (make demo); test_demo.py runs the same steps

Each step is a function of (show, lab, family). It does something inside the sandbox with an unmodified
program, prints what a user would see, and checks both what the sandbox saw and what the far side and
the audit log hold. A check that does not hold is told and remembered; the exit status is then 1.
"""

import os
import shlex
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))

import labworld  # noqa: E402
from lab import AGENT, DAEMONS, Lab  # noqa: E402
from labnet import LabError, wait_for  # noqa: E402
from labwatch import Capture  # noqa: E402
from probe import TCP_PORT, Probe, until_works  # noqa: E402

NOBODY = 65534
# What the agents of the demo may do: read one repository, and push to branches of their own there.
PROFILE = {**AGENT, "git": {**AGENT["git"], "push": {"allowed_repos": ["acme/widgets"],
                                                     "refs": ["refs/heads/agent/*"]}}}
TOKEN = "ghp_" + "x8Kq2Lw9Zr4Tn6Vb1Mc3Yd5Hs7Jf0PgAe8Uo"	# looks like one, and is none


class Show:
    """The transcript: to the terminal and to a file."""

    def __init__(self, path=None):
        self._file = open(path, "w") if path else None
        self.failed = []

    def say(self, text=""):
        print(text, flush=True)
        if self._file:
            self._file.write(text + "\n")
            self._file.flush()

    def heading(self, text):
        self.say(f"\n== {text}")

    def output(self, prompt, argv, done, lines=14):
        self.say(f"{prompt} {shlex.join(map(str, argv))}")
        for line in (done.stdout + done.stderr).splitlines()[:lines]:
            self.say(f"    {line}")

    def check(self, what, good, detail=""):
        self.say(f"  {'ok  ' if good else 'FAIL'}  {what}" + (f"\n        {detail}" if detail and not good else ""))
        if not good:
            self.failed.append(what)


class Quiet(Show):
    """For pytest: a check that does not hold is an assertion."""

    def say(self, text=""):
        print(text)

    def check(self, what, good, detail=""):
        assert good, f"{what}\n{detail}"


def inside(show, lab, *argv, **kw):
    """Run in the sandbox and show it. What hangs ends the step: a program that speaks was given an answer."""
    done = lab.sandbox.run(argv, **kw)
    show.output("sandbox#", argv, done)
    return done


def refused(show, lab, reason, **fields):
    """Check that the audit log holds exactly one refusal, for this reason."""
    try:
        event = lab.audit.only(reason, **fields)
        show.check(f"audit: one refusal, {reason}, rule {event['rule']!r}, sandbox {event['sandbox']}", True)
    except AssertionError as e:
        show.check(f"audit: one refusal, {reason}", False, str(e)[:2000])


def nothing_arrived(show, capture, what, **fields):
    try:
        capture.empty(**fields)
        show.check(f"internet: no packet {what}", True)
    except AssertionError as e:
        show.check(f"internet: no packet {what}", False, str(e))


def fresh(lab, name):
    """A path in the sandbox's home that does not exist yet."""
    fresh.n = getattr(fresh, "n", 0) + 1
    return f"{lab.sandbox.dir}/home/{name}-{fresh.n}"


def clone(lab, family, repo="acme/widgets"):
    """Clone into a new directory; (git's result, directory)."""
    where = fresh(lab, repo.split("/")[1])
    return lab.sandbox.git("clone", "-q", f"--ipv{family}", f"https://github.com/{repo}", where), where


def step_clone_allowed(show, lab, family):
    """The allowed repository clones; its tip equals upstream's; gitproxy checked the repository"""
    where = fresh(lab, "widgets")
    done = inside(show, lab, "git", "clone", f"--ipv{family}", "https://github.com/acme/widgets", where)
    show.check("git clone succeeds", done.returncode == 0)
    tip = inside(show, lab, "git", "-C", where, "rev-parse", "HEAD")
    show.check("its tip equals upstream's", tip.stdout.strip() == lab.world.tip("acme/widgets"))
    allowed = lab.audit.wait(src="gitproxy", decision="allow", repo="acme/widgets")
    show.check(f"gitproxy checked the repository: rule {allowed[0]['rule']!r}", True)
    show.check("nothing was refused", not lab.audit.keys(), lab.audit.describe())


def step_clone_refused(show, lab, family):
    """Another repository of the same host is refused, and git says why"""
    before = len(lab.web.requests(host="github.com"))
    done = inside(show, lab, "git", "clone", f"--ipv{family}", "https://github.com/acme/payroll",
                        fresh(lab, "payroll"))
    show.check("git clone fails", done.returncode != 0)
    show.check("git prints repository_not_allowed and the sentence",
               "repository_not_allowed" in done.stderr and "ask the host's administrator" in done.stderr)
    show.check("upstream heard nothing of it", len(lab.web.requests(host="github.com")) == before)
    refused(show, lab, "repository_not_allowed")


def commit(lab, where, name, text):
    """One more commit in that clone; its id."""
    with open(f"{where}/{name}", "w") as f:
        f.write(text)
    lab.sandbox.git("-C", where, "add", name, check=True)
    lab.sandbox.git("-C", where, "-c", "user.name=agent", "-c", "user.email=agent@example.com", "commit", "-qm",
                    f"Add {name}", check=True)
    return lab.sandbox.git("-C", where, "rev-parse", "HEAD", check=True).stdout.strip()


def push(show, lab, where, ref):
    return inside(show, lab, "git", "-C", where, "push", "origin", f"HEAD:{ref}")


def step_push(show, lab, family):
    """A push goes to the branches that are the agent's, and only without secrets"""
    where = clone(lab, family)[1]
    branch = f"refs/heads/agent/ipv{family}"
    good = commit(lab, where, f"notes{family}.txt", "nothing to hide\n")
    done = push(show, lab, where, branch)
    show.check("git push to the agent's own branch succeeds", done.returncode == 0)
    show.check("upstream's branch is that commit", lab.world.tip("acme/widgets", branch) == good)
    show.check("nothing was refused so far", not lab.audit.keys(), lab.audit.describe())
    main = lab.world.tip("acme/widgets")
    done = push(show, lab, where, "refs/heads/main")
    show.check("a push to main is rejected, and git prints what is allowed",
               done.returncode != 0 and "ref_not_allowed" in done.stderr and "refs/heads/agent/*" in done.stderr)
    show.check("upstream's main is what it was", lab.world.tip("acme/widgets") == main)
    commit(lab, where, f"config{family}.py", f"token = '{TOKEN}'\n")
    done = push(show, lab, where, branch)
    show.check("a token in a file is found, and told where",
               done.returncode != 0 and "secret_detected" in done.stderr and f"config{family}.py" in done.stderr)
    show.check("but not what it is", TOKEN not in done.stderr + lab.audit.describe() + lab.logs())
    show.check("upstream's branch is what it was", lab.world.tip("acme/widgets", branch) == good)
    lab.audit.until(lambda events: {e["reason"] for e in events} == {"ref_not_allowed", "secret_detected"},
                    event="push", decision="deny")
    show.check("audit: a line for each of the two", True)


def queued(lab):
    """Packets that the inspector's queue has ever had."""
    text = lab.gateway.run(["cat", "/proc/net/netfilter/nfnetlink_queue"]).stdout
    return sum(int(line.split()[7]) for line in text.splitlines())


def step_pass_through(show, lab, family):
    """A TLS site passes with upstream's own certificate; once decided, the kernel forwards alone"""
    before = queued(lab)
    with lab.capture() as capture:
        done = inside(show, lab, "curl", "-sS", f"-{family}", "--cacert", lab.world.ca_file,
                         "https://pypi.example/")
        show.check("curl gets the page, trusting upstream's CA only", done.stdout == "this is pypi.example\n")
        first = queued(lab) - before
        done = inside(show, lab, "curl", "-sS", f"-{family}", "--cacert", lab.world.ca_file, "-o", "/dev/null",
                         "-w", "%{size_download}", "https://pypi.example/big")
        show.check("a megabyte comes through", done.stdout == "1048576")
        arrived = len(capture.packets(dst=labworld.WEB[family == 6], dport=443))
    both = queued(lab) - before
    show.check(f"packets queued: {first} for the small page, {both - first} for the megabyte: the decided flow "
               f"is not queued", 0 < both - first <= first + 8, f"{arrived} packets arrived upstream")
    show.check("nothing was refused", not lab.audit.keys(), lab.audit.describe())


def step_no_such_name(show, lab, family):
    """A name that is not granted does not exist, and nobody outside hears of the question"""
    kind = "AAAA" if family == 6 else "A"
    done = inside(show, lab, "dig", f"@{labworld.RESOLVERS[family == 6]}", "+tries=1", "+noall", "+comments",
                     "+authority", "evil.example", kind)
    show.check("NXDOMAIN", "status: NXDOMAIN" in done.stdout)
    show.check("EDE 15 (blocked)", "EDE: 15" in done.stdout)
    show.check("with an SOA", "SOA" in done.stdout)
    done = inside(show, lab, "curl", "-sS", f"-{family}", "https://evil.example/")
    show.check("curl cannot resolve it", "Could not resolve host" in done.stderr)
    show.check("the internet's DNS server saw no such query", not lab.dns.queries("evil.example"))
    refused(show, lab, "name_not_allowed")


def step_fronting(show, lab, family):
    """Another tenant of the same address, by its SNI, is reset"""
    url, front = "https://evil.example/", "evil.example:443:pypi.example:443"
    done = inside(show, lab, "curl", "-sS", f"-{family}", "--connect-to", front, url)
    show.check("the connection is reset", done.returncode == 35 or "reset" in done.stderr.lower())
    show.check("the site saw no request", not lab.web.requests(host="evil.example"))
    refused(show, lab, "sni_mismatch")


def step_literal(show, lab, family):
    """A real address is not reachable: the first attempt is answered"""
    address = labworld.WEB[family == 6]
    literal = f"[{address}]" if family == 6 else address
    with lab.capture() as capture, Capture(lab.gateway, lab.sandbox.interface) as asked:
        done = inside(show, lab, "curl", "-sS", "-k", f"https://{literal}/")
        show.check("refused", done.returncode == 7)
        show.check("at once: no SYN was sent twice", len(asked.packets(dst=address, dport=443)) == 1)
        nothing_arrived(show, capture, f"to {address}", dst=address)
    refused(show, lab, "address_not_granted", port=443)


def step_other_resolver(show, lab, family):
    """DNS to any server is answered by Cordon; DNS over TLS is reset"""
    server = labworld.RESOLVERS[family == 6]
    kind = "AAAA" if family == 6 else "A"
    with lab.capture() as capture:
        for transport in ("+notcp", "+tcp"):
            done = inside(show, lab, "dig", f"@{server}", "+tries=1", transport, "+short", "pypi.example", kind)
            synthetic = done.stdout.startswith("fd63:6f72:646f:" if family == 6 else "198.1")
            show.check("the answer is a synthetic address", synthetic)
        show.check("nothing was refused so far", not lab.audit.keys(), lab.audit.describe())
        done = inside(show, lab, "dig", f"@{server}", "+tries=1", "+tls", "+short", "pypi.example", kind)
        show.check("port 853 is refused", done.returncode != 0 and "refused" in done.stdout + done.stderr)
        nothing_arrived(show, capture, f"to {server}", dst=server)
    refused(show, lab, "address_not_granted", port=853)


def recovers(show, lab, what):
    try:
        took = until_works(what, lambda: clone(lab, 4)[0].returncode == 0)
        show.check(f"{what}: the allowed clone works again, without touching the sandbox ({took:.1f} s)", True)
    except AssertionError as e:
        show.check(f"{what}: the allowed clone works again", False, f"{e}\n{lab.logs()[-3000:]}")


def step_failures(show, lab, family):
    """kill -9 of each daemon in turn, and `nft flush ruleset`: a forbidden probe never gets through"""
    for v6 in (0, 1):
        lab.internet.listen(labworld.SERVICES[v6], TCP_PORT)
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        for daemon in DAEMONS:
            pids = lab.signal(daemon)
            show.say(f"host# kill -9 {' '.join(map(str, pids))}    # {daemon}")
            wait_for(f"a new {daemon}", lambda: set(lab.pids(daemon)) - set(pids))
            recovers(show, lab, f"{daemon} killed")
        show.say("host# nft flush ruleset")
        lab.gateway.run(["nft", "flush", "ruleset"], check=True)
        recovers(show, lab, "ruleset flushed")
    show.check(f"{probe.rounds} rounds of the forbidden probe: nothing got through", True)


def step_run(show, lab, family):
    """cordon run, as a normal user under sudo; then the audit log, readable"""
    uid = int(os.environ.get("SUDO_UID") or 0) or NOBODY
    home = f"{lab.dir}/user"
    os.makedirs(home, exist_ok=True)
    os.chown(home, uid, uid)
    env = {"SUDO_UID": str(uid), "SUDO_GID": str(os.environ.get("SUDO_GID") or uid), "HOME": home}

    def run(*argv):
        done = lab.cordon("run", "--", *argv, env=env, cwd=home, timeout=60)
        show.output("user$ sudo cordon run --", argv, done)
        return done
    done = run("git", "clone", f"--ipv{family}", "https://github.com/acme/widgets", f"w{family}")
    show.check("git clone succeeds inside cordon run", done.returncode == 0)
    head = f"{home}/w{family}/.git/HEAD"
    show.check("what it made belongs to the user", os.path.exists(head) and os.stat(head).st_uid == uid)
    done = run("git", "clone", "https://github.com/acme/payroll", "p")
    show.check("a refused repository fails there too", "repository_not_allowed" in done.stderr and done.returncode != 0)
    done = lab.cordon("log", "--deny")
    show.output("host#", ["cordon", "log", "--deny"], done, lines=60)
    shown = [line for line in done.stdout.splitlines() if "repository_not_allowed" in line and "acme/payroll" in line]
    show.check("cordon log prints a line per refusal: sandbox, what, reason, rule", bool(shown))


# (number, step, tried over both families)
STEPS = (
    ("1", step_clone_allowed, True),
    ("2", step_clone_refused, True),
    ("2b", step_push, True),
    ("3", step_pass_through, True),
    ("4", step_no_such_name, True),
    ("5a", step_fronting, True),
    ("5b", step_literal, True),
    ("5c", step_other_resolver, True),
    ("7", step_failures, False),
    ("8", step_run, False),
)


def perform(show, lab):
    """Every step over IPv4, those of 1 to 5 again over IPv6 (which is number 6), then the failures."""
    plan = [(n, step, 4) for n, step, both in STEPS if both]
    plan += [(f"6 ({n})", step, 6) for n, step, both in STEPS if both]
    plan += [(n, step, 4) for n, step, both in STEPS if not both]
    for number, step, family in plan:
        show.heading(f"{number}. {step.__doc__}" + (" (IPv6)" if family == 6 else ""))
        lab.use(f"vm{family}")
        try:
            step(show, lab, family)
        except (AssertionError, LabError, OSError, subprocess.TimeoutExpired) as e:
            show.check(f"the step itself: {e}", False)


def main(path):
    if os.geteuid() != 0:
        sys.exit("demo: needs root (namespaces): sudo make demo")

    def stop(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    show = Show(path)
    if os.environ.get("SUDO_UID"):
        os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", -1)))
    with Lab(profiles={"agent": PROFILE}) as lab:
        show.say("Cordon's main job, in three namespaces of this machine; nothing leaves them.")
        lab.up()
        for name in ("vm4", "vm6"):		# one for each family, so that the log shows them apart
            lab.add_sandbox(name)
        perform(show, lab)
        show.failed += lab.problems()
    show.say(f"\n{'all steps as expected' if not show.failed else f'{len(show.failed)} checks FAILED'}; "
             f"transcript in {path}")
    return 1 if show.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except LabError as e:
        sys.exit(f"demo: {e}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; everything was removed")
