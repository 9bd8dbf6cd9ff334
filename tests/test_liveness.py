"""Names stay alive: dead addresses are left, names in use followed (A11), unused ones forgotten."""

import contextlib
import ipaddress
import math
import socket
import struct
import threading
import time

import labworld
from lab import row, spelled
from labclient import refused, works
from labnet import MOMENT, PATIENCE, wait_for
from netdclient import Part, pin
from probe import until_works
from test_netd_parts import REASONS, Alone, elements

SITE = "pypi.example"
STREAM = "tcp.example"
SECOND = ("93.184.216.78", "2606:2800:220:1::78")		# of STREAM, besides SERVICES


def reals(lab, family):
    """{synthetic: real} of the kernel."""
    return {spelled(k): spelled(v["elem"]["val"] if isinstance(v, dict) else v)
            for k, v in ((e[0]["elem"]["val"] if isinstance(e[0], dict) else e[0], e[1])
                         for e in elements(lab, "map", f"real{family}"))}


def real_of(lab, name, family):
    synthetic = spelled(lab.sandbox.resolve(name, family))
    return reals(lab, family)[synthetic]


def silence(lab, *addresses, port):
    """From now on nothing out there answers a TCP packet to these."""
    lab.internet.run(["nft", "add table inet silent; add chain inet silent input "
                             "{ type filter hook input priority 0; policy accept; }"], check=True)
    for a in addresses:
        lab.internet.run(["nft", f"add rule inet silent input {'ip6' if ':' in a else 'ip'} daddr {a} "
                                 f"tcp dport {port} drop"], check=True)


def second_addresses(lab):
    lab.internet.ip(f"addr add {SECOND[0]}/32 dev in0", f"addr add {SECOND[1]}/128 dev in0 nodad")


def parrot(lab, *addresses, port=7000):
    """Echoes one message of each connection, and ends it."""
    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with contextlib.suppress(OSError), peer:
                    peer.settimeout(PATIENCE)
                    peer.sendall(peer.recv(100))
    for a in addresses:
        s = lab.internet.listen(a, port)
        s.settimeout(None)
        threading.Thread(target=serve, args=(s,), daemon=True).start()


def echo(lab, address, port):
    """Echoes for as long as a connection lasts."""
    s = lab.internet.listen(address, port)
    s.settimeout(None)
    threading.Thread(target=labworld._echo_streams, args=(s,), daemon=True).start()


def moved_once(lab, name, family, dead, alive):
    event, = lab.audit.events(event="moved", name=name)
    assert (event["from"], event["to"]) == (spelled(dead), spelled(alive))
    assert real_of(lab, name, family) == spelled(alive)


@row("A11")
def test_silent_address_of_a_stream(own_lab, family):
    """An unmodified client's own SYN, sent again, goes to the name's other address."""
    lab, six = own_lab, family == 6
    second_addresses(lab)
    pair = (labworld.SERVICES[six], SECOND[six])
    lab.dns.set(STREAM, *labworld.SERVICES, *SECOND)
    parrot(lab, *pair)
    dead = real_of(lab, STREAM, family)
    alive = next(a for a in pair if spelled(a) != dead)
    silence(lab, dead, port=7000)
    with lab.capture() as capture:
        done = lab.sandbox.run(["curl", "-sS", f"-{family}", "-m", f"{PATIENCE:g}", f"telnet://{STREAM}:7000"], input="hello\n")
        assert done.stdout == "hello\n", done
        assert len(capture.packets(dst=dead, dport=7000)) >= 2, "one lost SYN is no reason"
        assert len({p.sport for p in capture.packets(dst=spelled(alive), dport=7000)}) == 1, "the client's own"
    moved_once(lab, STREAM, family, dead, alive)
    lab.audit.no_refusals()


@row("A11")
def test_silent_address_of_a_site(own_lab, family):
    """The same for an inspected flow: the inspector takes the SYN again, of another conntrack entry."""
    lab, six = own_lab, family == 6
    pair = (labworld.WEB[six], labworld.GITHUB[six])
    lab.dns.set(SITE, *labworld.WEB, *labworld.GITHUB)
    dead = real_of(lab, SITE, family)
    alive = next(a for a in pair if spelled(a) != dead)
    silence(lab, dead, port=443)
    assert lab.sandbox.fetches(f"https://{SITE}/", family=family, timeout=PATIENCE)
    moved_once(lab, SITE, family, dead, alive)
    assert lab.sandbox.fetches(f"https://{SITE}/", family=family)
    lab.audit.no_refusals()


@row("A11")
def test_all_addresses_silent(own_lab, family):
    """No storm: each move waits twice as long as the last."""
    lab, six = own_lab, family == 6
    second_addresses(lab)
    lab.dns.set(STREAM, *labworld.SERVICES, *SECOND)
    synthetic = lab.sandbox.resolve(STREAM, family)
    silence(lab, labworld.SERVICES[six], SECOND[six], port=7000)
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        def try_again():
            s = stack.enter_context(lab.sandbox.socket(socket.AF_INET6 if six else socket.AF_INET))
            s.setblocking(False)
            s.connect_ex((synthetic, 7000))
            return len(lab.audit.events(event="moved")) > 2
        wait_for("three moves", try_again, step=0.1)
    moves = len(lab.audit.events(event="moved"))
    assert moves <= 1 + math.log2((time.monotonic() - begin) / 2 + 1), "at 0, 2, 6, 14 s at most"
    lab.audit.no_refusals()


@row("A11")
def test_one_sandbox_does_not_move_a_name_that_works_for_another(own_lab, family):
    """A port that nobody answers on, while another flow to the same address is answered."""
    lab, six = own_lab, family == 6
    other = lab.add_sandbox("vm1")
    second_addresses(lab)
    lab.dns.set(STREAM, *labworld.SERVICES, *SECOND)
    for a in (labworld.SERVICES[six], SECOND[six]):
        echo(lab, a, 5432)
    real = real_of(lab, STREAM, family)
    synthetic = other.resolve(STREAM, family)
    silence(lab, labworld.SERVICES[six], SECOND[six], port=7000)
    with lab.capture() as capture, other.connect(synthetic, 5432) as flow, \
            lab.sandbox.socket(socket.AF_INET6 if six else socket.AF_INET) as s:
        s.setblocking(False)
        s.connect_ex((synthetic, 7000))
        wait_for("five SYNs", lambda: works(flow) and len(capture.packets(dst=real, dport=7000)) >= 5, step=0.2)
    assert not lab.audit.events(event="moved")
    assert real_of(lab, STREAM, family) == real


@row("A11")
def test_dead_connection_is_no_witness(own_lab, family):
    """A server that answered a moment ago and is silent now, while a client still holds a connection to it."""
    lab, six = own_lab, family == 6
    second_addresses(lab)
    lab.dns.set(STREAM, *labworld.SERVICES, *SECOND)
    for a in (labworld.SERVICES[six], SECOND[six]):
        echo(lab, a, 5432)
    dead = real_of(lab, STREAM, family)
    synthetic = lab.sandbox.resolve(STREAM, family)
    with lab.sandbox.connect(synthetic, 5432) as held:
        assert works(held)
        silence(lab, dead, port=5432)
        assert not works(held, timeout=MOMENT), "sent, and not acknowledged"
        with lab.sandbox.connect(synthetic, 5432) as again:
            assert works(again)
    assert len(lab.audit.events(event="moved", name=STREAM)) == 1


# ---- names in use follow their addresses ----

def forgetting(labs, after, up=True, **options):
    """A lab whose names are forgotten so soon. Names in use are looked at and told each quarter of it."""
    lab = labs(up=False, **options)
    text = open(lab.config_file).read()
    with open(lab.config_file, "w") as f:
        f.write(text.rstrip()[:-1] + f', "dns": {{"forget": {after}}}}}\n')		# a time is not quoted
    if up:
        lab.up()
        lab.add_sandbox()
    return lab


@row("A11")
def test_name_is_followed_though_the_client_never_asks_again(labs, family):
    """The client keeps a synthetic address; its live flow stays, a new one goes where the name is now."""
    lab, six = forgetting(labs, "12s"), family == 6
    second_addresses(lab)
    parrot(lab, SECOND[six])
    echo(lab, labworld.SERVICES[six], 7000)
    synthetic = lab.sandbox.resolve(STREAM, family)
    with lab.sandbox.connect(synthetic, 7000) as flow:
        assert works(flow)
        lab.dns.set(STREAM, *SECOND)
        wait_for("the real address to follow",
                 lambda: reals(lab, family)[spelled(synthetic)] == spelled(SECOND[six]), step=0.1)
        assert works(flow), "the live flow stays with its server"
        with lab.capture() as capture:
            with lab.sandbox.connect(synthetic, 7000) as again:
                assert works(again)
            assert capture.packets(dst=spelled(SECOND[six]), dport=7000)
            capture.empty(dst=spelled(labworld.SERVICES[six]), flags=2)
    lab.audit.no_refusals()


PROFILE = {"network": {"default": "deny", "allow": [
    {"host": STREAM, "ports": [7000], "protocol": "tcp"}, {"host": "*.wild.example"},
    {"host": "**.long.example", "ports": [7000], "protocol": "tcp"}]},
    "limits": {"names": 3}}


class Resolver(Part):
    """netd's only part: answers what netd wants acknowledged, in a thread of its own, but for `kept`."""

    def __init__(self, lab):
        super().__init__(lab, "dns")
        self.read_snapshot()
        self.kept, self.pinned, self._lock = [], [], threading.Condition()
        self.keep = False
        self.socket.settimeout(None)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, sequence, body = self.receive()
                with self._lock:
                    if kind == "PINNED":
                        self.pinned.append(body)
                    elif kind != "IN_USE":
                        self.kept.append((kind, sequence, body))
                    self._lock.notify_all()
                if kind != "PINNED" and sequence and not self.keep:
                    self.done(sequence)

    def pin(self, *args, **kw):
        """(reason's text, index)"""
        with self._lock:
            self.pinned.clear()
            self.send("PIN", pin(*args, **kw), 7)
            assert self._lock.wait_for(lambda: self.pinned, PATIENCE)
            reason, index, _, _ = struct.unpack_from("<IIBB", self.pinned[0])
        return REASONS[reason], index

    def gone(self):
        """Names that netd told to be gone, with the sequences to acknowledge."""
        with self._lock:
            return {body[4:].split(b"\0")[0].decode(): sequence
                    for kind, sequence, body in self.kept if kind == "NAME_GONE"}


@contextlib.contextmanager
def netd_alone(labs, forget="25h"):
    lab = forgetting(labs, forget, up=False, profiles={"agent": PROFILE})
    lab.cordon("firewall", "start", check=True)
    netd = Alone(lab)
    lab.add_sandbox()
    try:
        yield lab, netd
    finally:
        netd.process.terminate()
    assert netd.process.wait(PATIENCE) == 0, open(f"{lab.dir}/netd.log").read()


@row("A11")
def test_rotation_through_300_addresses(labs, family):
    """Each answer brings another address: the first flow lives, each new one goes to the newest."""
    six = family == 6
    with netd_alone(labs) as (lab, netd), Resolver(lab) as dns:
        ids = netd.ids()
        addresses = [f"2606:2800:220:1::1:{i:x}" if six else f"93.184.{217 + i // 250}.{i % 250 + 1}"
                     for i in range(300)]
        lab.gateway.ip("route add 93.184.217.0/24 dev up0", "route add 93.184.218.0/24 dev up0")
        lab.internet.ip(*(f"addr add {a} dev in0 {'nodad' if six else ''}" for a in addresses))
        echo(lab, "::" if six else "0.0.0.0", 7000)
        _, index = dns.pin(*ids, STREAM, addresses[0], ttl=1)
        synthetic = str(ipaddress.ip_address("fd63:6f72:646f::" if six else "198.18.0.0") + index)
        with lab.sandbox.connect(synthetic, 7000) as flow, lab.capture() as capture:
            assert works(flow)
            for i, a in enumerate(addresses[1:]):
                assert dns.pin(*ids, STREAM, a, ttl=1) == ("", index), "a name keeps its address"
                if i % 50 == 0:
                    with lab.sandbox.connect(synthetic, 7000) as fresh:
                        assert works(fresh)
                    assert capture.packets(dst=spelled(a), dport=7000)
                    assert works(flow), "the first flow lives"
            assert reals(lab, family) == {spelled(synthetic): spelled(addresses[-1])}


# ---- names without use are forgotten ----

def test_unused_name_is_forgotten(labs):
    """Kernel, resolver, index: and one with a live flow stays."""
    lab = forgetting(labs, "3s")
    lab.gateway.sysctl(net__netfilter__nf_conntrack_tcp_timeout_close=1)	# ten seconds by default
    lab.internet.echo(7000)
    synthetic = lab.sandbox.resolve("ssh.example")
    with lab.sandbox.connect(lab.sandbox.resolve(STREAM), 7000) as flow:
        assert works(flow)
        lab.audit.wait(event="forgotten", name="ssh.example")
        assert spelled(synthetic) not in reals(lab, 4)
        assert refused(lab.sandbox.connect, synthetic, 22)
        lab.audit.only("address_not_granted", daddr=synthetic, port=22)
        assert lab.sandbox.resolve("ssh.example") != synthetic, "another index"
        lab.audit.mark()
        lab.audit.wait(event="forgotten", name="ssh.example")
        assert not lab.audit.events(event="forgotten", name=STREAM)
        assert works(flow)
        flow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))	# a reset ends it at once
    lab.audit.wait(event="forgotten", name=STREAM)


def test_use_of_a_proxied_name_counts(own_lab, family):
    """Its flows end at the proxy, but they are flows to the name."""
    address = own_lab.sandbox.resolve("github.com", family)
    assert own_lab.sandbox.git("ls-remote", "https://github.com/acme/widgets").returncode == 0
    with own_lab.sandbox.connect(address, 443):
        used = [e["elem"]["val"] for e in elements(own_lab, "set", f"used{family}")]
    assert spelled(address) in map(spelled, used)


def test_forgetting_waits_for_the_resolver(labs):
    """While the resolver may still tell the address, it is granted; a pin meanwhile keeps the name."""
    with netd_alone(labs, "3s") as (lab, netd), Resolver(lab) as dns:
        ids = netd.ids()
        dns.keep = True
        _, index = dns.pin(*ids, STREAM, labworld.SERVICES[0])
        wait_for("NAME_GONE", lambda: STREAM in dns.gone())
        assert len(reals(lab, 4)) == 1
        assert dns.pin(*ids, STREAM, labworld.SERVICES[0]) == ("", index)
        sequence = dns.gone()[STREAM]
        dns.kept.clear()
        dns.done(sequence)
        wait_for("NAME_GONE again", lambda: STREAM in dns.gone())
        assert not lab.audit.events(event="forgotten")
        dns.done(dns.gone()[STREAM])
        lab.audit.wait(event="forgotten", name=STREAM)
        assert not reals(lab, 4) and not elements(lab, "map", "grants4") and not elements(lab, "set", "names6")
        assert dns.pin(*ids, STREAM, labworld.SERVICES[0])[1] != index


def test_wildcard_names_count_until_they_are_forgotten(labs):
    with netd_alone(labs, "3s") as (lab, netd), Resolver(lab) as dns:
        ids = netd.ids()
        for i in range(3):
            assert dns.pin(*ids, f"n{i}.wild.example", labworld.WEB[0])[0] == ""
        assert dns.pin(*ids, "n3.wild.example", labworld.WEB[0])[0] == "wildcard_budget_exceeded"
        wait_for("room", lambda: dns.pin(*ids, "n3.wild.example", labworld.WEB[0])[0] == "", step=0.2)
        assert lab.audit.events(event="forgotten")


def test_refresh_gives_nothing_new(labs):
    """As sandbox 0 a resolver can neither make a name nor reach another profile."""
    with netd_alone(labs) as (lab, netd), Resolver(lab) as dns:
        profile, sandbox = netd.ids()
        other = next(p["id"] for p in netd.netd()["profiles"] if p["name"] == "default")
        assert dns.pin(profile, 0, STREAM, labworld.SERVICES[0])[0] == "name_not_allowed"
        assert dns.pin(profile, sandbox, STREAM, labworld.SERVICES[0])[0] == ""
        assert dns.pin(other, 0, STREAM, labworld.SERVICES[0])[0] == "name_not_allowed"
        assert dns.pin(profile, 0, STREAM, "127.0.0.1")[0] == "rebinding_blocked"
        assert dns.pin(profile, 0, STREAM, SECOND[0])[0] == ""
        assert list(reals(lab, 4).values()) == [SECOND[0]]


# ---- the kernel is the database ----

def test_longest_name_outlives_netd(own_lab, family):
    """253 bytes are what a comment holds: read back after a restart, its flow runs on."""
    lab = own_lab
    name = ".".join(["x" * 61] * 3 + ["y" * 53, "files", "example"])
    assert len(name) == 253
    rule = {"host": "**.files.example", "ports": [443, 7000], "protocol": "tcp"}
    lab.profile("agent", {"network": {"default": "deny", "allow": [rule]}})
    lab.cordon("reload", check=True)
    lab.dns.set(name, *labworld.SERVICES)
    echo(lab, labworld.SERVICES[family == 6], 7000)
    address = lab.sandbox.resolve(name, family)
    with lab.sandbox.connect(address, 7000) as flow:
        assert works(flow)
        old = set(lab.signal("cordon-netd"))
        wait_for("a new netd", lambda: set(lab.pids("cordon-netd")) - old)
        start = lab.audit.until(lambda found: len(found) == 2, event="daemon", src="netd", what="start")[-1]
        assert start["names"] == 1
        assert works(flow), "the flow died with netd"
        with lab.sandbox.connect(address, 7000) as again:
            assert works(again), "the name was not read back"
    until_works("the resolver", lambda: name_is(lab, name, family) == spelled(address))


def name_is(lab, name, family):
    """Its address as the resolver tells it, or None."""
    try:
        return spelled(lab.sandbox.resolve(name, family))
    except (AssertionError, ValueError):
        return None
