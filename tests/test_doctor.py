"""cordon doctor: each finding provoked on a real host namespace, with its fix; a good host shows none."""

import contextlib
import json
import os
import re
import socket
from dataclasses import dataclass

import pytest

import foreign
import labworld
from conftest import _close
from foreign import Software
from lab import Lab, open_build, write

IP_FREEBIND = 15


def examine(lab, *prefix, **kw):
    """(exit status, findings that are not ok) of `cordon doctor --json`."""
    done = lab.gateway.run([*prefix, f"{open_build()}/cordon", "doctor", "--json", "--config", lab.config_file], **kw)
    assert done.returncode in (0, 1) and not done.stderr, done
    report = json.loads(done.stdout)
    findings = [f for f in report["findings"] if f["severity"] != "ok"]
    count = {s: sum(f["severity"] == s for f in findings) for s in ("problem", "warning")}
    assert (report["problems"], report["warnings"]) == (count["problem"], count["warning"])
    assert done.returncode == (1 if count["problem"] else 0)
    return findings


def found(findings, severity, what, where, fix):
    """The one finding with these words; everything else that was found fails the test."""
    hits = [f for f in findings if what in f["what"] and where in f["where"]]
    assert hits, findings
    for f in hits:
        assert f["severity"] == severity and fix in f["fix"], f
    return [f for f in findings if f not in hits]


@pytest.fixture(scope="module")
def host(world):
    """A lab with a sandbox; each test undoes what it did."""
    with Lab(world, config={"sandbox_interfaces": ["tap*"]}) as lab:
        lab.up()
        lab.add_sandbox()
        yield lab
        assert not examine(lab), "a test left something behind"
        _close(lab)


def test_good_host_has_no_findings(host):
    assert not examine(host)
    done = host.cordon("doctor")
    assert done.returncode == 0 and done.stdout.endswith("0 problems, 0 warnings\n")
    assert all(re.match(r"ok       \S", line) for line in done.stdout.splitlines()[:-1])


def test_before_anything_is_started(labs):
    """No ruleset, no daemon: what an administrator has before `cordon up`."""
    assert not examine(labs(up=False))


def test_wrong_usage(host):
    assert host.cordon("doctor", "now").returncode == 2


RULES = "version: 1\nrules:\n  - {id: mine, description: d, regex: 'corp-[0-9]%s'}\n"


def test_rules_of_the_scanner(labs):
    lab = labs(up=False)
    rules = f"{lab.dir}/rules.yaml"
    lab.configure({"git": {"scan": {"rules": rules}}})
    write(rules, RULES % "+")
    assert not found(examine(lab), "problem", "every push is refused", rules, "cordon check")
    write(rules, RULES % "{6}")
    assert not examine(lab)
    os.chmod(rules, 0o666)
    assert not found(examine(lab), "problem", "others than root can write it", rules, "chmod go-w")


# -- settings

SYSCTLS = {
    "net.netfilter.nf_conntrack_tcp_loose": (1, 0), "net.netfilter.nf_conntrack_tcp_be_liberal": (1, 0),
    "net.netfilter.nf_conntrack_checksum": (0, 1), "net.ipv4.tcp_fwmark_accept": (1, 0),
    "net.ipv4.conf.all.src_valid_mark": (1, 0), "net.ipv4.conf.tap0.rp_filter": (0, 1),
    "net.ipv4.conf.up0.src_valid_mark": (0, 1), "net.ipv6.conf.up0.accept_ra": (1, 2),
    "net.ipv6.conf.tap0.accept_ra": (1, 0), "net.ipv4.conf.up0.forwarding": (0, 1),
    "net.ipv4.conf.tap0.accept_redirects": (1, 0),
}


@pytest.mark.parametrize("name", SYSCTLS)
def test_sysctl(host, name):
    wrong, right = SYSCTLS[name]
    before = host.gateway.run(["sysctl", "-n", name], check=True).stdout.strip()
    host.gateway.run(["sysctl", "-w", f"{name}={wrong}"], check=True)
    try:
        assert not found(examine(host), "problem", f"is {wrong}", name, f"sysctl -w {name}={right}")
    finally:
        host.gateway.run(["sysctl", "-w", f"{name}={before}"], check=True)


def test_loose_source_check_for_all(host):
    host.gateway.sysctl(net__ipv4__conf__all__rp_filter=2)
    try:
        assert not found(examine(host), "problem", "strict source checks loose", "net.ipv4.conf.all.rp_filter",
                         "rp_filter=1")
    finally:
        host.gateway.sysctl(net__ipv4__conf__all__rp_filter=0)


def test_no_ipv6(labs):
    lab = labs(up=False)
    lab.gateway.sysctl(net__ipv6__conf__all__disable_ipv6=1)
    rest = found(examine(lab), "warning", "no IPv6 for sandboxes", "net.ipv6.conf.all.disable_ipv6", "disable_ipv6=0")
    assert not [f for f in rest if f["severity"] == "problem"]


# -- what commands of a shell do to the host

@dataclass
class Case:
    do: str
    undo: str
    severity: str
    what: str
    where: str
    fix: str
    more: int = 0		# other findings that come with it


VETH = "ip link add {0} type veth peer name peer0"
CASES = {
    "bridge": Case(f"{VETH.format('tap7')}; ip link add br0 type bridge; ip link set tap7 master br0",
                   "ip link del tap7; ip link del br0", "problem", "is a port of bridge br0", "tap7",
                   "ip link set tap7 nomaster", 1),
    "bridge named as a sandbox": Case("ip link add tap8 type bridge", "ip link del tap8", "problem", "is a bridge", "tap8",
                                      "sandbox_interfaces"),
    "macvlan": Case("ip link add over0 link tap0 type macvlan", "ip link del over0", "problem",
                    "stands on sandbox interface tap0", "over0", "ip link del over0"),
    "unregistered": Case(f"{VETH.format('tap9')}; ip link set tap9 up", "ip link del tap9", "warning",
                         "no sandbox registered", "tap9", "cordon add NAME --interface tap9"),
    "second default route": Case(f"{VETH.format('lan0')}; ip addr add 172.20.0.1/24 dev lan0; ip link set lan0 up; "
                                 "ip route add default via 172.20.0.2 dev lan0 metric 900 onlink", "ip link del lan0",
                                 "warning", "flows may not leave there", "lan0", "`uplink`"),
    "uplink down": Case("ip link set up0 down", "ip link set up0 up; "
                        f"ip addr replace {labworld.GATEWAY[1]}/64 dev up0 nodad; "
                        f"ip route add default via {labworld.ROUTER[0]}; ip route add default via {labworld.ROUTER[1]}",
                        "problem", "is down", "uplink up0", "ip link set up0 up", 1),
    "route in the pool": Case(f"ip route add 198.18.5.0/24 via {labworld.ROUTER[0]}", "ip route del 198.18.5.0/24",
                              "problem", "synthetic addresses 198.18.0.0/15", "198.18.5.0/24 dev up0", "`addresses`"),
    "route in the pool, IPv6": Case(f"ip route add fd63:6f72:646f:0:7::/80 via {labworld.ROUTER[1]}",
                                    "ip route del fd63:6f72:646f:0:7::/80", "problem", "the synthetic addresses",
                                    "fd63:6f72:646f:0:7::/80", "`addresses`"),
    "route in the sandboxes'": Case(f"ip route add 10.1.77.0/24 via {labworld.ROUTER[0]}", "ip route del 10.1.77.0/24",
                                    "problem", "sandbox network 10.1.0.0/16", "10.1.77.0/24", "`sandbox_networks`"),
    "route in cordon run's": Case(f"ip route add 10.199.77.0/24 via {labworld.ROUTER[0]}", "ip route del 10.199.77.0/24",
                                  "problem", "10.199.0.0/16", "10.199.77.0/24", "choose another"),
    "route in our table": Case(f"ip route add 172.21.0.0/16 via {labworld.ROUTER[0]} table 17220",
                               "ip route del 172.21.0.0/16 table 17220", "problem", "is in the table", "172.21.0.0/16 dev",
                               "another table"),
    "rule before ours": Case("ip rule add pref 50 lookup 500", "ip rule del pref 50", "warning",
                             "comes before Cordon's backstop", "ip -4 rule pref 50", "above 200"),
    "rule on our bits": Case("ip -6 rule add pref 300 fwmark 0x10000000/0x10000000 lookup 500", "ip -6 rule del pref 300",
                             "warning", "reads mark bits 28-31", "pref 300 fwmark 0x10000000/0x10000000", "0xf0000000"),
    "rule on our bits before ours": Case("ip rule add pref 50 fwmark 0x20000000/0x20000000 lookup 500",
                                         "ip rule del pref 50", "problem", "reads mark bits 28-31", "pref 50",
                                         "0xf0000000"),
}


@pytest.mark.parametrize("name", CASES)
def test_host(host, name):
    case = CASES[name]
    host.gateway.run(["sh", "-ec", case.do], check=True)
    try:
        rest = found(examine(host), case.severity, case.what, case.where, case.fix)
        assert len(rest) <= case.more, rest
    finally:
        host.gateway.run(["sh", "-ec", case.undo], check=True)


def test_sandbox_interface_without_a_ruleset(labs):
    lab = labs(up=False)
    lab.add_sandbox(register=False)
    rest = found(examine(lab), "problem", "no ruleset is loaded", "tap0", "sudo cordon firewall start")
    assert not rest


def test_uplink_that_does_not_exist(labs):
    lab = labs(up=False, config={"uplink": ["wan9"]})
    rest = found(examine(lab), "problem", "no such interface", "uplink wan9", lab.config_file)
    assert not [f for f in rest if f["severity"] == "problem"]


def test_no_uplink_at_all(labs):
    lab = labs(up=False, config={"uplink": []})
    lab.gateway.ip("route flush default", "link set up0 down")
    found(examine(lab), "problem", "no default route", "uplink", "`uplink`")


# -- rules of other software

@contextlib.contextmanager
def loaded(lab, software):
    try:
        software.load(lab.gateway)
        yield examine(lab)
    finally:
        software.unload(lab.gateway)


def nft(hook, priority, *rules, policy="accept", kind="filter", family="inet"):
    body = "\n".join(f"\t\t{r}" for r in rules)
    return Software(nft=f"table {family} site {{\n\tchain c {{\n\t\ttype {kind} hook {hook} priority {priority}; "
                        f"policy {policy};\n{body}\n\t}}\n}}\n")


QUIET = {"libvirt": foreign.LIBVIRT, "kube-proxy": foreign.KUBE, "tailscale": foreign.TAILSCALE,
         "calico": foreign.CALICO, "masquerade": foreign.MASQUERADE, "firewalld trusted": foreign.FIREWALLD_TRUSTED,
         "everything accepted": foreign.every_hook({-300, 0, 100}),
         "drops others": nft("forward", 0, 'iifname "wlan*" drop', 'iifname { "docker0", "br-1" } drop', 'iif "lo" drop',
                             "ip saddr 172.17.0.0/16 drop", "ct state invalid drop", "tcp dport 25 drop",
                             "ct state vmap { established : accept, related : accept, invalid : drop }"),
         "drops with our accept": nft("forward", 0, 'iifname "tap*" accept', 'oifname "tap*" accept', policy="drop"),
         "marks of its own bits": nft("forward", 0, "meta mark set meta mark | 0x4000", "meta mark set meta mark & 0xfff0ffff")}


@pytest.mark.parametrize("name", QUIET)
def test_software_without_conflict(host, name):
    with loaded(host, QUIET[name]) as findings:
        assert not findings


NOISY = {
    "docker": (foreign.DOCKER, "problem", "drops what sandboxes are granted", "ip filter FORWARD",
               "iptables -I DOCKER-USER -i 'tap+' -j ACCEPT"),
    "docker, replies": (foreign.DOCKER, "problem", "drops replies to sandboxes", "ip filter FORWARD",
                        "iptables -I DOCKER-USER -o 'tap+' -j ACCEPT"),
    "docker, IPv6": (foreign.DOCKER, "problem", "drops what sandboxes are granted", "ip6 filter FORWARD",
                     "ip6tables -I DOCKER-USER -i 'tap+' -j ACCEPT"),
    "firewalld": (foreign.FIREWALLD, "problem", "drops the sandboxes' DNS queries", "inet firewalld filter_INPUT",
                  "firewall-cmd --permanent --zone=trusted --add-interface='tap+'"),
    "iptables": (Software(iptables="*filter\n:FORWARD DROP\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n"),
                 "problem", "drops what sandboxes are granted", "ip filter FORWARD", "iptables -I FORWARD -i 'tap+' -j ACCEPT"),
    "policy drop": (nft("forward", 0, "ct state established,related accept", policy="drop"), "problem",
                    "drops what sandboxes are granted", "inet site c", "nft insert rule inet site c iifname '\"tap*\"' accept"),
    "reject": (nft("forward", 10, 'iifname "lan0" accept', "reject with icmpx admin-prohibited"), "problem",
               "drops replies to sandboxes", "inet site c", "oifname '\"tap*\"' accept"),
    "maybe": (nft("forward", 0, "ip daddr 10.0.0.0/8 accept", policy="drop", family="ip"), "warning",
              "may drop what sandboxes are granted", "ip site c", "nft insert rule ip site c"),
    "input": (nft("input", 0, 'iifname "lo" accept', "ct state established accept", "tcp dport 22 accept",
                  policy="drop"), "problem",
              "drops what sandboxes send to the git proxy", "inet site c", "iifname '\"tap*\"' accept"),
    "prerouting": (nft("prerouting", -250, policy="drop"), "problem", "drops what sandboxes send", "inet site c", "accept"),
    "output": (nft("output", 0, "udp dport 53 accept", policy="drop"), "problem", "drops", "inet site c",
               "oifname '\"tap*\"' accept"),
    "mark": (nft("forward", -150, "meta mark set 0x40000000"), "problem", "bits 0xf0000000 of the packet mark",
             "inet site c", "0xf0000000"),
    "mark, one bit": (nft("prerouting", -150, "meta mark set meta mark | 0x10000000"), "problem",
                      "bits 0x10000000 of the packet mark", "inet site c", "0xf0000000"),
    "mark of all": (foreign.CONNMARK, "problem", "bits 0xffffffff of the conntrack mark", "ip mangle POSTROUTING",
                    "0xf0000000"),
    "ct mark": (nft("prerouting", -150, "ct mark set ct mark & 0xffff0000 | 0x7"), "warning",
                "bits 0xffff of the conntrack mark", "inet site c", "except the sandbox interfaces"),
    "redirect": (nft("prerouting", -100, "tcp dport { 80, 443 } redirect to :3128", kind="nat"), "warning",
                 "translates what sandboxes send", "inet site c", "iifname != "),
    "dnat": (Software(iptables="*nat\n:PREROUTING ACCEPT\n-A PREROUTING -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.9.9.9\nCOMMIT\n"),
             "warning", "translates what sandboxes send", "ip nat PREROUTING", "iifname != "),
    "tproxy": (nft("prerouting", -150, "meta l4proto tcp tproxy to :3129"), "problem", "a socket that is not Cordon's",
               "inet site c", "except the sandbox interfaces"),
    "tproxy by iptables": (Software(iptables="*mangle\n:PREROUTING ACCEPT\n-A PREROUTING -p tcp -m tcp --dport 443 -j TPROXY "
                                    "--on-port 3129 --tproxy-mark 0x1/0x1\nCOMMIT\n"), "problem", "a socket that is not Cordon's",
                           "ip mangle PREROUTING", "except the sandbox interfaces"),
    "notrack": (nft("prerouting", -300, "notrack"), "problem", "out of connection tracking", "inet site c", "except"),
    "zone": (nft("prerouting", -300, "ct zone set 7"), "problem", "another conntrack zone", "inet site c", "except"),
    "ingress": (Software(nft="table netdev site {\n\tchain c {\n\t\ttype filter hook ingress device tap0 priority 0;\n"
                             "\t\tmeta l4proto sctp drop\n\t}\n}\n"), "warning", "sees packets of tap0", "netdev site c", "only drops"),
    "ingress forward": (Software(nft="table netdev site {\n\tchain c {\n\t\ttype filter hook ingress device tap0 priority 0;\n"
                                     "\t\tmeta l4proto sctp fwd to up0\n\t}\n}\n"), "problem", "forwards packets of tap0",
                        "netdev site c", "remove the rule"),
}


@pytest.mark.parametrize("name", NOISY)
def test_software_in_conflict(host, name):
    software, severity, what, where, fix = NOISY[name]
    with loaded(host, software) as findings:
        found(findings, severity, what, where, fix)


@pytest.mark.parametrize("name", ["docker", "policy drop", "input", "iptables"])
def test_fix_mends(host, name):
    """The commands that it prints, run as they stand, are all that is needed."""
    software = NOISY[name][0]
    try:
        software.load(host.gateway)
        fixes = {f["fix"].split("   (")[0] for f in examine(host) if f["severity"] == "problem"}
        assert fixes
        for fix in fixes:
            host.gateway.run(["sh", "-ec", fix], check=True)
        assert not examine(host)
    finally:
        software.unload(host.gateway)


def test_rules_of_iptables_legacy(labs):
    lab = labs(up=False)
    lab.gateway.run(["iptables-legacy", "-t", "filter", "-S"], check=True)
    assert not found(examine(lab), "warning", "cannot be looked at", "iptables-legacy (table filter)", "iptables-legacy -S")


# -- resolvers and sockets

@contextlib.contextmanager
def resolv_conf(lab, text):
    path = f"{lab.dir}/gateway-resolv.conf"
    before = open(path).read()
    write(path, text)
    try:
        yield
    finally:
        write(path, before)


def test_resolver_that_does_not_answer(host):
    with resolv_conf(host, f"nameserver {labworld.DNS[0]}\nnameserver 93.184.216.200\n"):
        assert not found(examine(host), "warning", "resolver 93.184.216.200 does not answer", "/etc/resolv.conf", "dns.upstream")
    with resolv_conf(host, "nameserver 93.184.216.200\n"):
        assert not found(examine(host), "problem", "resolver 93.184.216.200 does not answer", "/etc/resolv.conf", "dns.upstream")


def test_no_resolver(host):
    with resolv_conf(host, "search example\n"):
        assert not found(examine(host), "problem", "names no resolver", "/etc/resolv.conf", "dns.upstream")


@pytest.mark.parametrize("kind, proto", [(socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")])
def test_listener_on_a_synthetic_address(host, kind, proto):
    with host.gateway.socket(socket.AF_INET, kind) as s:
        s.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        s.bind(("198.18.5.5", 53))
        if kind == socket.SOCK_STREAM:
            s.listen()
        assert not found(examine(host), "problem", "listens on a synthetic address", f"{proto} 198.18.5.5 port 53", "`addresses`")


def test_resolver_of_the_host_on_every_address(labs):
    lab = labs(up=False)
    with lab.gateway.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("0.0.0.0", 53))
        assert not found(examine(lab), "warning", "listens on every address", "port 53", "bind-interfaces")


# -- files, accounts, units

@pytest.mark.parametrize("path, mode, what", [
    ("cordon.yaml", 0o666, "others than root can write"), ("profiles/agent.yaml", 0o646, "others than root can write"),
    ("profiles", 0o777, "others than root can write"), ("secrets/token", 0o644, "a secret that others can read"),
    ("secrets", 0o755, "a secret that others can read"), ("state/ca", 0o755, "a secret that others can read"),
    ("state/ca/ca.key", 0o640, "a secret that others can read"), ("log", 0o777, "everybody can write"),
])
def test_permissions(host, path, mode, what):
    os.makedirs(f"{host.dir}/secrets", mode=0o700, exist_ok=True)
    write(f"{host.dir}/secrets/token", "x", 0o600)
    full = f"{host.dir}/{path}"
    before = os.stat(full).st_mode & 0o7777
    os.chmod(full, mode)
    try:
        assert not found(examine(host), "problem", what, full, "chmod")
    finally:
        os.chmod(full, before)


def over(mounts):
    """A command line that runs what follows with these files or directories over the machine's."""
    lines = " && ".join(f"mount --bind {source} {target}" for target, source in mounts.items())
    return ["unshare", "-m", "sh", "-ec", lines + ' && exec "$@"', "sh"]


def test_accounts(host, tmp_path):
    os.chmod(tmp_path, 0o755)
    write(f"{tmp_path}/passwd", open("/etc/passwd").read() + "cordon-netd:x:991:991::/:/usr/sbin/nologin\n")
    write(f"{tmp_path}/other", open("/etc/passwd").read() + "alice:x:63962:63962::/:/bin/sh\n")
    rest = found(examine(host, *over({"/etc/passwd": f"{tmp_path}/passwd"})), "warning", "is missing while others are there",
                 "account cordon-", "cordon-")
    assert all("group cordon" in f["where"] for f in rest)
    assert not found(examine(host, *over({"/etc/passwd": f"{tmp_path}/other"})), "problem", "stands in for cordon-", "account alice",
                     "systemd-sysusers")


def test_nftables_service_that_flushes(host, tmp_path):
    wants = tmp_path / "sysinit.target.wants"
    wants.mkdir()
    (wants / "nftables.service").symlink_to("/lib/systemd/system/nftables.service")
    write(f"{tmp_path}/nftables.conf", "#!/usr/sbin/nft -f\n\nflush ruleset\n")
    mounts = {"/etc/systemd/system": tmp_path, "/etc/nftables.conf": f"{tmp_path}/nftables.conf"}
    assert not found(examine(host, *over(mounts)), "warning", "flushes every ruleset", "nftables.service", "nftables.service.d/cordon.conf")
    (tmp_path / "nftables.service.d").mkdir()
    write(f"{tmp_path}/nftables.service.d/cordon.conf", "[Service]\n")
    assert not examine(host, *over(mounts))


def test_without_root(host):
    """What it could not look at is said; nothing is claimed about it."""
    findings = examine(host, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    assert findings and all(f["what"] == "not looked at" and f["severity"] == "warning" and "sudo" in f["fix"]
                            for f in findings), findings
    assert {"kernel", "other filters", "sysctls"} <= {f["where"] for f in findings}
