"""The static part without any daemon: the ruleset as text and as loaded by hand, sysctls, the backstop."""

import os
import re

import pytest

import labworld
from lab import ROOT, row

RULESET = os.path.join(ROOT, "nft", "cordon.nft")
SERVER = labworld.WEB
TERMINAL = re.compile(r"(drop|accept|goto \w+|meta mark set [^;]* accept)")
RETURNING = {"answered", "open_call", "open_name", "open_flow", "count_flow", "plain_syn", "plain_syn4",
             "plain_syn6", "remember_sandbox", "remember_none"}	# they only mark, or sort out what is worse
SORTING = {"guard_version", "guard6", "guard_fragment", "steer_decided", "remember_mark", "remember_decided", "forward_decided",
           "replies_undecided", "replies_sandbox"}	# parts of base chains, behind a test that few packets pass
SYSCTLS = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.netfilter.nf_conntrack_tcp_loose",
           "net.ipv4.tcp_fwmark_accept")


def chains(text):
    """{name: [statements]} of the chains, without comments; base chains have `type` first."""
    found = {}
    for name, body in re.findall(r"^\tchain (\w+) \{\n(.*?)^\t\}", text, re.M | re.S):
        lines = [re.sub(r"\s*#.*", "", line).strip() for line in body.splitlines()]
        found[name] = [line for line in lines if line]
    return found


@pytest.mark.parametrize("name, rules", sorted(chains(open(RULESET).read()).items()))
def test_every_chain_ends(name, rules):
    """A chain entered by goto or from a map ends in a verdict without a condition; a base chain
    does nothing to sandbox packets but sort and mark. An end that returns would be an opening."""
    if rules[0].startswith("type "):
        for rule in rules[1:]:
            assert "$SANDBOXES" in rule or "$UPLINKS" in rule or rule.split(" jump ")[-1] in SORTING, \
                f"{name}: not sorted by interface: {rule}"
            assert not rule.endswith(" accept"), f"{name}: a base chain accepts: {rule}"
    elif name in RETURNING | SORTING:
        assert rules[-1] == "return" or TERMINAL.fullmatch(rules[-1])
    else:
        assert TERMINAL.fullmatch(rules[-1].removeprefix("counter ")), f"{name} ends in: {rules[-1]}"


def test_gotos_lead_somewhere():
    text = open(RULESET).read()
    for target in set(re.findall(r"(?:goto|jump) (\w+)$", text, re.M)):
        assert target in chains(text), target


def tcp(space, address, port=443):
    """curl's exit status for a TCP connection: 7 refused, 28 timed out, 0 and others connected."""
    host = f"[{address}]" if ":" in address else address
    return space.run(["curl", "-s", "-m", "2", "-o", "/dev/null", f"http://{host}:{port}/"]).returncode


@pytest.fixture
def bare(labs):
    """A lab without Cordon: forwarding on, one sandbox, nothing loaded."""
    lab = labs(up=False)
    lab.add_sandbox(register=False)
    lab.gateway.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    return lab


@row("B4", "B18")
def test_by_hand_with_empty_maps(bare, family):
    """`nft -f cordon.nft` alone: nothing of the sandbox passes, everything else goes on."""
    lab, server = bare, SERVER[family == 6]
    lab.internet.run(["ip", "route", "add", lab.sandbox.address[family == 6],
                      "via", labworld.GATEWAY[family == 6]], check=True)
    assert tcp(lab.sandbox, server) in (0, 52), "the lab itself does not forward"
    lab.gateway.run(["nft", "-f", RULESET], check=True)
    with lab.capture() as capture:
        assert tcp(lab.sandbox, server) == 28
        assert tcp(lab.sandbox, lab.sandbox.gateway[family == 6], 22) == 28
        capture.empty(src=lab.sandbox.address[family == 6])
    assert tcp(lab.gateway, server) in (0, 52), "the host's own traffic is touched"


@row("B18")
def test_backstop_without_nftables(bare, family):
    """After `nft flush ruleset`, with no daemon there to notice, routing keeps it closed."""
    lab, server = bare, SERVER[family == 6]
    lab.cordon("firewall", "start", check=True)
    lab.gateway.run(["nft", "flush", "ruleset"], check=True)
    with lab.capture() as capture:
        assert tcp(lab.sandbox, server) == 7, "not refused at once by the routing rule"
        capture.empty(src=lab.sandbox.address[family == 6])


def sysctls(lab):
    return lab.gateway.run(["sysctl", *SYSCTLS], check=True).stdout


def test_start_and_stop_leave_no_trace(labs):
    lab = labs(up=False)
    lab.gateway.run(["nft", "add table ip other"], check=True)		# conntrack's sysctls need a user
    lab.gateway.sysctl(net__ipv4__ip_forward=0, net__ipv4__tcp_fwmark_accept=1)
    before = sysctls(lab), lab.gateway.run(["ip", "rule"]).stdout, lab.gateway.run(["ip", "-6", "rule"]).stdout
    lab.cordon("firewall", "start", check=True)
    assert "ip_forward = 1" in sysctls(lab)
    lab.cordon("firewall", "start", check=True)			# twice: our values are not saved as the host's
    lab.cordon("firewall", "stop", check=True)
    assert before == (sysctls(lab), lab.gateway.run(["ip", "rule"]).stdout,
                      lab.gateway.run(["ip", "-6", "rule"]).stdout)
    tables = lab.gateway.run(["nft", "list", "tables"]).stdout
    assert "cordon" not in tables and "other" in tables


def test_reload_keeps_elements(labs):
    lab = labs(up=False)
    lab.cordon("firewall", "start", check=True)
    lab.gateway.run(["nft", 'add element inet cordon names4 { 198.18.1.0 comment "a.example" }'], check=True)
    lab.cordon("firewall", "start", check=True)
    assert "a.example" in lab.gateway.run(["nft", "list", "set", "inet", "cordon", "names4"]).stdout


def test_stop_is_refused_while_a_sandbox_is_up(bare):
    lab = bare
    lab.cordon("firewall", "start", check=True)
    done = lab.cordon("firewall", "stop")
    assert done.returncode == 1 and lab.sandbox.interface in done.stderr and "link set" in done.stderr
    assert "cordon" in lab.gateway.run(["nft", "list", "tables"]).stdout


def test_rendered_ruleset_names_the_configuration(labs):
    """The pools, networks and interfaces of the configuration stand in the kernel's rules."""
    lab = labs(up=False, config={"addresses": {"ipv4": "100.100.0.0/16", "ipv6": "fd99::/64"},
                                 "sandbox_interfaces": ["vm*"]})
    lab.cordon("firewall", "start", check=True)
    rules = lab.gateway.run(["nft", "list", "table", "inet", "cordon"]).stdout
    assert '"vm*"' in rules and "100.100.0.53:53" in rules and "[fd99::35]:53" in rules
    assert '"tap*"' not in rules and "198.18." not in rules


@pytest.mark.parametrize("strictness", [1, 2], ids=["strict", "loose"])
def test_source_validation_on_the_uplink(labs, strictness):
    """rp_filter, as distributions set it on every interface, drops no reply."""
    lab = labs(up=False)
    lab.gateway.sysctl(net__ipv4__conf__all__rp_filter=strictness, net__ipv4__conf__up0__rp_filter=strictness)
    lab.up()
    lab.add_sandbox()
    assert lab.sandbox.fetches("https://pypi.example/", family=4)
    assert lab.sandbox.git("ls-remote", "https://github.com/acme/widgets").returncode == 0
