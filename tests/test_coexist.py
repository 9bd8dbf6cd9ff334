"""Other software on the host: whatever it accepts, marks, translates or forgets, a drop here stays a drop."""

import contextlib
import itertools
import json
import re
import socket
import struct

import pytest

import foreign
import labworld
from conftest import _close
from lab import Lab, row
from labclient import offer, refused, serves, tls, udp, works
from labhello import hello, sni
from labtcp import SYN, Frames, ip_packet
from labnet import MOMENT, wait_for
from probe import Probe, dns_query, until_works

SITE = "pypi.example"
OTHER = {"network": {"default": "deny", "allow": [{"host": "web.example"}]}}
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
LIE = hello(sni(b"evil.example"))		# of a flow to SITE, and what must not get out of any other
_runs = itertools.count(1)


@pytest.fixture(scope="module")
def host(world):
    """A lab that other software is loaded into, with two sandboxes of different profiles."""
    with Lab(world, profiles={"other": OTHER}) as lab:
        lab.up()
        lab.add_sandbox()
        lab.add_sandbox("vm1", "other")
        lab.internet.echo(7000)
        lab.internet.echo(7000, socket.SOCK_DGRAM)
        yield lab
        _close(lab)


@pytest.fixture
def coexist(host):
    """Load software into the host; everything but Cordon is gone after the test."""
    with contextlib.ExitStack() as stack:
        def load(software):
            stack.callback(software.unload, host.gateway)
            software.load(host.gateway)
        host.renew(f"-f{next(_runs)}")
        yield load


def literal(lab, family):
    return labworld.SERVICES[family == 6]


def try_all(lab, family):
    """One forbidden probe of each kind from vm0; {reason: what must be its only key}."""
    guest, v6 = lab.sandbox, family == 6
    site = guest.resolve(SITE, family)
    assert refused(guest.connect, literal(lab, family), 443)
    assert refused(guest.connect, site, 8443)
    assert refused(guest.connect, guest.gateway[v6], 22)
    with Frames(guest) as frames:
        datagram = struct.pack("!HHHH", 4000, 4000, 12, 0) + b"leak"
        frames.send(ip_packet(labworld.GITHUB[v6], labworld.SERVICES[v6], socket.IPPROTO_UDP, datagram))
    with udp(guest, labworld.RESOLVERS[v6], 53) as s:
        s.send(dns_query("leak.evil.example"))
        assert s.recv(512)[3] & 15 == 3, "not NXDOMAIN"
    with pytest.raises(OSError):
        tls(guest, SITE, family, address=site, sni="evil.example").close()
    return {"address_not_granted", "port_not_granted", "host_access", "source_spoofed", "name_not_allowed",
            "sni_mismatch"}


def nothing_arrived(lab, capture, family):
    v6 = family == 6
    capture.empty(dst={literal(lab, family), labworld.RESOLVERS[v6]})
    capture.empty(dst=labworld.WEB[v6], dport=8443)
    capture.empty(contains=b"evil.example")
    assert not lab.dns.queries("leak.evil.example")


def stays_closed(lab, family, unheard=()):
    """Each probe is refused, arrives nowhere, and is one key of the audit log with its own reason. unheard:
    reasons of what the other software drops before Cordon hears of it."""
    with lab.capture() as capture:
        reasons = try_all(lab, family) - set(unheard)
        for reason in reasons:
            lab.audit.wait_one(decision="deny", reason=reason, sandbox="vm0")
        nothing_arrived(lab, capture, family)
    keys = lab.audit.keys(sandbox="vm0")
    assert {k[4] for k in keys} == reasons and len(keys) == len(reasons), lab.audit.describe()


def echoes(guest, family, kind):
    name = "tcp.example" if kind == "tcp" else "udp.example"
    address = guest.resolve(name, family)
    with contextlib.suppress(OSError):
        s = guest.connect(address, 7000, timeout=5) if kind == "tcp" else udp(guest, address, 7000)
        with s:
            return works(s, timeout=5)
    return False


def granted(lab, family):
    """What of the granted traffic does not work; empty when all does."""
    guest = lab.sandbox
    done = {
        "tls": guest.fetches(f"https://{SITE}/", family=family, timeout=8),
        "git": guest.git("-c", f"http.curloptResolve=github.com:443:{guest.resolve('github.com', family)}",
                         "ls-remote", "https://github.com/acme/widgets", timeout=30).returncode == 0,
        "tcp": echoes(guest, family, "tcp"),
        "udp": echoes(guest, family, "udp"),
        "dns over tcp": "198.18." in guest.dig(SITE, "A", "+tcp", "+short"),
    }
    return [what for what, ok in done.items() if not ok]


# -- rules that accept

def our_priorities(lab):
    out = json.loads(lab.gateway.run(["nft", "-j", "list", "chains"], check=True).stdout)["nftables"]
    return {c["chain"]["prio"] for c in out if c.get("chain", {}).get("table") == "cordon" and "prio" in c["chain"]}


def around(priorities):
    """Before, at and after each of ours, and the usual ones; -200 is connection tracking's own."""
    return {q for p in priorities for q in (p - 1, p, p + 1)} | {-500, -400, -300, -225, -150, -100, 0, 100, 300}


@row("B22")
def test_everything_accepted(host, coexist, family):
    """Chains that accept all, in every hook, before, at and after each of ours."""
    coexist(foreign.every_hook(around(our_priorities(host))))
    stays_closed(host, family)
    assert not granted(host, family)


@row("B22")
def test_everything_accepted_by_what_was_loaded_first(labs, host, family):
    """At equal priorities the chain that was there first comes first."""
    lab = labs(up=False)
    foreign.every_hook(around(our_priorities(host))).load(lab.gateway)
    lab.up()
    lab.add_sandbox()
    lab.internet.echo(7000)
    lab.internet.echo(7000, socket.SOCK_DGRAM)
    stays_closed(lab, family)
    assert not granted(lab, family)


@row("B22")
@pytest.mark.parametrize("statement", ["notrack", "ct zone set 7"])
def test_untracked(host, coexist, family, statement):
    """Other software takes everything out of connection tracking, or tracks it apart: nothing opens."""
    guest = host.sandbox
    site = guest.resolve(SITE, family)
    coexist(foreign.every_hook({-300}, statement, ("prerouting", "output")))
    with host.capture() as capture:
        offer(guest, dict.fromkeys([(literal(host, family), 443), (site, 443), (site, 8443)], LIE))
        nothing_arrived(host, capture, family)


# -- software as it is

QUIET = {"libvirt": foreign.LIBVIRT, "kube-proxy": foreign.KUBE, "tailscale": foreign.TAILSCALE,
         "calico": foreign.CALICO, "connmark": foreign.CONNMARK, "masquerade": foreign.MASQUERADE,
         "nat": foreign.NAT}
@row("B22")
@pytest.mark.parametrize("name", QUIET)
def test_software(host, coexist, family, name):
    coexist(QUIET[name])
    stays_closed(host, family)
    assert not granted(host, family)


def drops_told(lab):
    """The fixes of the drops that `cordon doctor` finds."""
    done = lab.cordon("doctor", "--json")
    rows = json.loads(done.stdout)["findings"]
    assert done.returncode == 1
    return {r["fix"].split("   (")[0] for r in rows if r["severity"] == "problem" and "drops" in r["what"]}


@row("B22")
def test_docker(host, coexist, family):
    """Docker's FORWARD drops granted flows; doctor says which commands let them by, and they open no more."""
    coexist(foreign.DOCKER)
    guest = host.sandbox
    site = {(guest.resolve(SITE, family), 443): b""}
    assert not offer(guest, site)
    fixes = drops_told(host)
    assert all(re.fullmatch(r"ip6?tables -I DOCKER-USER -[io] '(tap|cdn)\+' -j ACCEPT", fix) for fix in fixes), fixes
    for fix in fixes:
        host.gateway.run(["sh", "-ec", fix], check=True)
    until_works("what was dropped", lambda: offer(guest, site))
    stays_closed(host, family)
    assert not granted(host, family)


@row("B22")
def test_firewalld(host, coexist, family):
    """firewalld's input drops DNS queries; with the interfaces in zone trusted, as doctor says, no more opens."""
    with contextlib.ExitStack() as stack:
        foreign.FIREWALLD.load(host.gateway)
        stack.callback(foreign.FIREWALLD.unload, host.gateway)
        with udp(host.sandbox, labworld.RESOLVERS[family == 6], 53, MOMENT) as s, pytest.raises(OSError):
            s.send(dns_query(SITE))
            s.recv(512)
        assert any("--zone=trusted --add-interface='tap+'" in fix for fix in drops_told(host))
    coexist(foreign.FIREWALLD_TRUSTED)
    stays_closed(host, family, unheard={"source_spoofed"} if family == 6 else ())	# its IPv6_rpfilter
    assert not granted(host, family)


def transparent(space, family, kind, port):
    """A socket of the host that takes what tproxy gives it."""
    s = space.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind, timeout=0)
    if family == 6:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
    else:
        s.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::" if family == 6 else "0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


@row("B22")
@pytest.mark.parametrize("priority", [-300, -150, -100, 0, 250])
def test_intercepting_sockets(host, coexist, family, priority):
    """Other software's TPROXY, with sockets that listen, gets nothing of a sandbox: neither what is refused
    nor what is Cordon's to answer."""
    guest, v6 = host.sandbox, family == 6
    github, site = guest.resolve("github.com", family), guest.resolve(SITE, family)
    protocol = "ip6" if v6 else "ip"
    tproxy = (f"meta nfproto ipv{family} iifname tap0 meta l4proto {{ tcp, udp }} tproxy {protocol} to :3129 meta mark set meta mark | 1 accept")
    with transparent(host.gateway, family, socket.SOCK_STREAM, 3129) as stream, \
         transparent(host.gateway, family, socket.SOCK_DGRAM, 3129) as datagrams, host.capture() as capture:
        coexist(foreign.every_hook({priority}, tproxy, ("prerouting",)))
        with udp(guest, labworld.RESOLVERS[v6], 53, MOMENT) as s:
            s.send(dns_query("leak.evil.example"))
            offer(guest, dict.fromkeys([(literal(host, family), 443), (site, 443), (github, 443),
                                        (labworld.RESOLVERS[v6], 53)], LIE))
            with contextlib.suppress(OSError):
                s.recv(512)
        with pytest.raises(BlockingIOError):
            stream.accept()
        with pytest.raises(BlockingIOError):
            datagrams.recv(512)
        nothing_arrived(host, capture, family)


@row("B22")
def test_source_translated_at_the_input(host, coexist, family):
    """The address of a proxied connection is its identity: no rule of others changes it on the way in."""
    thief, owner = host.sandbox, host.sandboxes["vm1"]
    false = owner.address[family == 6]
    protocol = "ip6" if family == 6 else "ip"
    coexist(foreign.Software(nft="table inet everything {\n\tchain in {\n\t\ttype nat hook input priority -10; policy accept;\n"
                             f"\t\tiifname tap0 snat {protocol} to {false}\n\t}}\n}}\n"))
    kind = "AAAA" if family == 6 else "A"
    assert "ANSWER: 1" not in thief.dig("web.example", kind, "+tcp", "+comments", server=labworld.RESOLVERS[family == 6])
    assert "NXDOMAIN" in thief.dig("web.example", kind, "+comments")
    assert not host.audit.events(sandbox="vm1", src="dns")
    host.audit.only("name_not_allowed", sandbox="vm0", name="web.example")


# -- marks of other software

def identity_of(lab, guest):
    """The mark that the kernel gives a sandbox's packets."""
    text = lab.gateway.run(["nft", "list", "table", "inet", "cordon"], check=True).stdout
    return int(re.search(rf"{re.escape(guest.address[0])} (?:comment \"[^\"]*\" )?: (0x[0-9a-f]+)", text)[1], 16)


@row("B22")
@pytest.mark.parametrize("priority", [-500, -301, -300, -299, -225, -150, -149, -100, 0])
@pytest.mark.parametrize("what", ["meta mark", "ct mark"])
def test_no_other_identity_by_a_mark(host, coexist, family, what, priority):
    """Other software writes another sandbox's mark on the packets: that sandbox's grants stay its own."""
    thief, owner = host.sandbox, host.sandboxes["vm1"]
    address = owner.resolve("web.example", family)
    coexist(foreign.every_hook({priority}, f'iifname "{thief.interface}" {what} set {identity_of(host, owner):#x}',
                               ("prerouting",)))
    with host.capture() as capture:
        assert not offer(thief, {(address, 443): hello(sni(b"web.example"))})
        capture.empty(dst=labworld.WEB[family == 6], where=lambda p: p.flags & SYN)	# not the end of an older flow
    events = host.audit.wait(decision="deny", daddr=address, port=443)
    assert {e["sandbox"] for e in events} == {"vm0"}, host.audit.describe()
    assert owner.fetches("https://web.example/", family=family)


STATES = {"forward": 0x10000000, "inspect": 0x20000000, "decided": 0x60000000, "steered": 0x80000000, "all": 0xf0000000,
          "none": 0}


@row("B22")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("how", ["set", "or"])
@pytest.mark.parametrize("whose", ["sandbox", "every"])
def test_states_of_packets_written_by_others(host, coexist, family, state, how, whose):
    """Whatever other software makes of packets' marks in mangle: no drop becomes a pass, and no flow of the
    proxy goes on without it."""
    guest, v6 = host.sandbox, family == 6
    github = guest.resolve("github.com", family)
    site = guest.resolve(SITE, family)
    value = f"{STATES[state]:#x}" if how == "set" else f"meta mark | {STATES[state]:#x}"
    only = 'iifname "tap*" ' if whose == "sandbox" else 'iifname { "tap0", "up0" } '
    coexist(foreign.every_hook({-150}, f"{only}meta mark set {value}", ("prerouting",)))
    with host.capture() as capture:
        with udp(guest, labworld.RESOLVERS[v6], 53) as s, contextlib.suppress(OSError):
            s.send(dns_query("leak.evil.example"))
        offer(guest, dict.fromkeys([(literal(host, family), 443), (site, 443), (site, 8443), (github, 22),
                                    (github, 443)], LIE))
        nothing_arrived(host, capture, family)
        capture.empty(dst=labworld.GITHUB[v6], where=lambda p: p.flags & SYN)	# the keeper's own are older


@row("B22", "B20")
@pytest.mark.parametrize("name", ["tailscale", "calico", "connmark"])
def test_revocation_beside_marks(labs, family, name):
    """Software that keeps marks with connections does not keep a removed sandbox's flows alive."""
    lab = labs()
    QUIET[name].load(lab.gateway)
    server = lab.internet.listen(literal(lab, family), 7000, socket.SOCK_DGRAM)
    lab.internet.echo(5432)
    with udp(lab.sandbox, lab.sandbox.resolve("udp.example", family), 7000) as flow, \
         tls(lab.sandbox, SITE, family) as decided, lab.sandbox.connect(lab.sandbox.resolve("tcp.example", family), 5432) as stream:
        peer = None
        for n in range(4):			# both ways, so that every chain has seen the flow
            flow.send(b"ping")
            peer = server.recvfrom(100)[1]
            server.sendto(b"pong", peer)
            assert flow.recv(100) == b"pong" and works(stream) and serves(decided, SITE)
        lab.cordon("rm", "vm0", check=True)
        server.sendto(b"late", peer)
        flow.settimeout(MOMENT)
        with pytest.raises(OSError):
            flow.recv(100)
        assert not works(stream, timeout=MOMENT) and not serves(decided, SITE, MOMENT)
    left = lab.gateway.run(["conntrack", "-L"]).stdout
    assert lab.sandbox.address[family == 6] not in left, left


# -- connection tracking loses its memory, or has no room

def forget(lab):
    lab.gateway.run(["conntrack", "-F"], check=True)


def survives_or_dies(connection):
    """A flow whose entry is gone may go on or end; it must not hang the test."""
    with contextlib.suppress(OSError):
        serves(connection, SITE, MOMENT)


@row("B22")
def test_flush_under_flows(labs, family):
    lab = labs()
    until_works("the first fetch", lambda: lab.sandbox.fetches(f"https://{SITE}/", family=family))
    site = lab.sandbox.resolve(SITE, family)
    with lab.capture() as capture, Probe(lab.sandbox, capture):
        with tls(lab.sandbox, SITE, family) as decided, lab.sandbox.connect(site, 443) as undecided:
            assert serves(decided, SITE)
            undecided.sendall(b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03" + bytes(20))
            for n in range(20):
                forget(lab)
                survives_or_dies(decided) if n in (0, 19) else None
            forget(lab)
            with contextlib.suppress(OSError):
                undecided.sendall(b"evil.example")
                undecided.settimeout(MOMENT)
                undecided.recv(10)
        until_works("a fetch after the flush", lambda: lab.sandbox.fetches(f"https://{SITE}/", family=family))
        capture.empty(contains=b"evil.example")


def conntrack_entry(n):
    """A netlink message that makes an assured UDP entry of which there is no other."""
    def attribute(kind, body):
        size = 4 + len(body)
        return struct.pack("=HH", size, kind) + body + bytes(-size % 4)

    def tuples(kind, source, destination, sport, dport):
        ip = attribute(1, socket.inet_aton(source)) + attribute(2, socket.inet_aton(destination))
        proto = (attribute(1, bytes([socket.IPPROTO_UDP])) + attribute(2, struct.pack("!H", sport))
                 + attribute(3, struct.pack("!H", dport)))
        return attribute(kind | 0x8000, attribute(1 | 0x8000, ip) + attribute(2 | 0x8000, proto))
    low, high = n % 60000 + 1000, n // 60000 + 1
    there, back = "192.0.2.1", "192.0.2.2"
    body = (struct.pack("=BBH", socket.AF_INET, 0, 0) + tuples(1, there, back, low, high)
            + tuples(2, back, there, high, low) + attribute(3, struct.pack("!I", 0xe)) + attribute(7, struct.pack("!I", 600)))
    return struct.pack("=IHHII", 16 + len(body), 1 << 8, 0x1 | 0x400, 1, 0) + body


NETLINK_NETFILTER = 12


def enter(lab, begin, end):
    """Put entries of these numbers into the table; what there is no room for is not entered."""
    with lab.gateway.entered():
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    with s:
        for at in range(begin, end, 400):
            s.send(b"".join(conntrack_entry(n) for n in range(at, at + 400)))


def fill(lab):
    """Assured entries until there is room for no other. The limit counts per namespace: nobody else notices."""
    limit = int(open("/proc/sys/net/netfilter/nf_conntrack_max").read())
    enter(lab, 0, limit + 400)
    count = int(lab.gateway.run(["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]).stdout)
    assert count >= limit - 100, f"{count} of {limit} entries"
    return limit + 400


def stays_out(lab, capture, site, number):
    """Fill again what has ended since, and try: no flow opens, and nothing of it gets out."""
    enter(lab, number, number + 2000)
    capture.clear()
    try:
        lab.sandbox.connect(site, 443, timeout=MOMENT).close()
    except OSError:
        capture.empty(dst=set(labworld.WEB))
        return True
    return False


@row("B22")
def test_full_table(labs):
    """No room for another flow: none opens, the forbidden stay shut, and all works when there is room."""
    lab = labs()
    other = lab.add_sandbox("vm1")
    lab.gateway.run(["nft", "-f", "-"], check=True, input="table inet marker {\n chain out {\n type filter hook output "
                    "priority -300;\n udp dport 9 notrack\n }\n}\n")
    assert lab.sandbox.fetches(f"https://{SITE}/")
    sites = {f: lab.sandbox.resolve(SITE, f) for f in (4, 6)}
    numbers = itertools.count(fill(lab), 2000)
    assert "entries: when it is full no flow opens" in lab.cordon("doctor").stdout
    with lab.capture() as capture, Probe(lab.sandbox, capture) as probe:
        for family, site in sites.items():
            until_works("the full table", lambda: stays_out(lab, capture, site, next(numbers)))
        wait_for("the probe's rounds", lambda: probe.rounds > 40)
        forget(lab)
        for guest in (lab.sandbox, other):
            for family in (4, 6):
                until_works("a fetch when there is room", lambda: guest.fetches(f"https://{SITE}/", family=family))
