"""The cordon command: usage, policy errors, up and down, registration, the log."""

import json
import os
import re

import pytest

from lab import BUILD, ROOT, open_build, write
from labnet import wait_for

BROKEN = "version: 1\nsandbox:\n  network:\n    default: deny\n    alow: []\n    default: deny\n"


@pytest.fixture
def bare(labs):
    return labs(up=False)


def one_line(done, status):
    """An error is one line: what, where, what to do."""
    assert done.returncode == status, done
    assert re.fullmatch(r"cordon: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


def plain(lab, *argv, **kw):
    return lab.gateway.run([f"{BUILD}/cordon", *argv], **kw)


# -- usage

@pytest.mark.parametrize("argv, text", [
    (["stauts"], "did you mean status?"),
    (["zzz"], "cordon help lists"),
    (["add", "vm9", "--interfac", "tap0"], "did you mean --interface?"),
    (["add"], "too few words"),
    (["ls", "x"], "unexpected word x"),
    (["firewall", "restart"], "start or stop"),
    (["ca", "revoke"], "show or renew"),
    (["ca", "show", "old"], "current or next"),
    (["ca", "renew", "--now", "--activate"], "one or the other"),
    (["ca", "show", "--now"], "current and next"),
    (["rm", "a", "--purge"], "unknown option --purge"),
    (["log", "--since", "yesterday"], "10m"),
    (["status", "--config"], "needs a value"),
])
def test_mistakes_are_one_line_and_status_2(lab, argv, text):
    done = plain(lab, *argv, "--config", lab.config_file) if argv[-1] != "--config" else plain(lab, *argv)
    assert text in one_line(done, 2)


@pytest.mark.parametrize("argv", [["help"], ["--help"], ["help", "run"], ["run", "--help"], ["--help", "run"]])
def test_help_has_usage_and_examples(lab, argv):
    done = plain(lab, *argv)
    assert done.returncode == 0 and done.stdout.startswith("usage: cordon")
    assert "run" not in argv or "examples:\n  sudo cordon run" in done.stdout


def test_every_command_has_help(lab):
    names = re.findall(r"^  (\w+) ", plain(lab, "help").stdout.split("every command")[0], re.M)
    assert {"up", "down", "firewall", "run", "add", "rm", "ls", "status", "check", "reload", "log"} <= set(names)
    for name in set(names) - {"help", "version"}:
        assert f"cordon {name}" in plain(lab, name, "--help").stdout


def test_manual_has_every_command(lab):
    manual = open(f"{ROOT}/deploy/man/cordon.1").read()
    for name in re.findall(r"^  (\w+) ", plain(lab, "help").stdout.split("every command")[0], re.M):
        assert name in ("help", "version") or f".TP\n.B {name}\n" in manual, name


def test_schema(lab):
    out = plain(lab, "check", "--schema").stdout
    assert "sandbox.network.allow" in out and "sandbox_interfaces" in out


def test_version(lab):
    assert re.fullmatch(r"cordon \d+\.\d+\.\d+\n", plain(lab, "version").stdout)
    assert plain(lab, "--version").stdout == plain(lab, "version").stdout


# -- policy errors: all of them, status 2, nothing started or changed

@pytest.mark.parametrize("command", [["up"], ["run", "--", "true"], ["check"]])
def test_policy_errors_start_nothing(bare, command):
    bare.profile("broken", BROKEN)
    bare.profile("worse", "version: 2\n")
    done = bare.gateway.run([f"{BUILD}/cordon", command[0], "--config", bare.config_file, *command[1:]],
                            env={"SUDO_UID": "63000", "SUDO_GID": "63000"})
    assert done.returncode == 2, done
    assert re.search(r"broken\.yaml:5:\d+: error: .*alow.*allow", done.stderr), done.stderr
    assert "broken.yaml:6:" in done.stderr and "worse.yaml:1:" in done.stderr
    assert bare.gateway.run(["nft", "list", "tables"]).stdout == ""
    assert not bare.pids("cordon-netd") and not os.path.exists(f"{bare.dir}/state")


def test_configuration_errors(bare):
    write(bare.config_file, "version: 1\nuplnk: [up0]\ndirectories: {run: 5, state: [], log: /x}\n")
    done = bare.cordon("up")
    assert done.returncode == 2 and "did you mean" in done.stderr and done.stderr.count("error:") >= 3, done.stderr


def test_missing_configuration(lab):
    done = plain(lab, "status", "--config", "/nonexistent/cordon.yaml")
    assert done.returncode == 2 and "/nonexistent/cordon.yaml" in done.stderr
    assert "share/doc/cordon/examples" in done.stderr


def test_log_before_the_first_up(bare):
    assert "sudo cordon up" in one_line(bare.cordon("log"), 1)


def test_check_takes_only_files_of_profiles(lab, tmp_path):
    (tmp_path / "d.yaml").mkdir()
    (tmp_path / "p.yml").write_text("version: 1\n")
    for name, text in (("d.yaml", "Is a directory"), ("none.yaml", "No such file"), ("p.yml", "NAME.yaml")):
        done = lab.cordon("check", tmp_path / name)
        assert done.returncode == 2 and f"{name}: error: " in done.stderr and text in done.stderr, done


def test_check_prints_a_canonical_form_that_compiles_to_itself(lab, tmp_path):
    done = lab.cordon("check", f"{lab.dir}/profiles/agent.yaml")
    assert done.returncode == 0, done.stderr
    again = tmp_path / "agent.yaml"
    again.write_text(done.stdout)
    assert lab.cordon("check", again).stdout == done.stdout
    [row] = json.loads(lab.cordon("check", again, "--json").stdout)
    assert row["sha256"] in done.stdout and row["name"] == "agent"


def test_check_one_file_with_errors(lab, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(BROKEN)
    done = lab.cordon("check", path)
    assert done.returncode == 2 and done.stdout == "" and f"{path}:5:" in done.stderr


# -- up and down

def test_a_second_up_is_harmless(lab):
    before = lab.pids("cordon-netd")
    done = lab.cordon("up")
    assert (done.returncode, done.stdout) == (0, "cordon is already up\n")
    assert lab.pids("cordon-netd") == before


@pytest.mark.parametrize("command", ["up", "down", "reload", "status"])
def test_not_root_is_one_line(lab, command):
    done = lab.gateway.run(
        ["setpriv", "--reuid=63000", "--regid=63000", "--clear-groups", f"{open_build()}/cordon", command,
         "--config", lab.config_file])
    assert "sudo cordon" in one_line(done, 1)


def test_down_leaves_the_closed_ruleset_and_purge_nothing(bare):
    before = {k: bare.gateway.run(["ip", k, "rule"]).stdout for k in ("-4", "-6")}
    bare.up()
    bare.add_sandbox()
    assert "tap0" in one_line(bare.cordon("down", "--purge"), 1)
    assert bare.pids("cordon-netd"), "refused before anything was stopped"
    assert bare.cordon("down").returncode == 0
    assert "table inet cordon" in bare.gateway.run(["nft", "list", "tables"]).stdout
    assert not bare.pids("cordon-netd") and not bare.pids("cordon-dns") and not bare.pids("cordon-keeper")
    assert "tap0" in one_line(bare.cordon("down", "--purge"), 1)
    bare.gateway.ip("link set tap0 down")
    assert bare.cordon("down", "--purge").returncode == 0
    assert bare.gateway.run(["nft", "list", "tables"]).stdout == ""
    assert {k: bare.gateway.run(["ip", k, "rule"]).stdout for k in ("-4", "-6")} == before


def test_up_without_a_way_out_says_so(bare):
    config = json.loads(open(bare.config_file).read())
    del config["uplink"]
    write(bare.config_file, json.dumps(config))
    bare.gateway.run(["ip", "route", "flush", "table", "main"], check=True)
    bare.gateway.run(["ip", "-6", "route", "flush", "table", "main"], check=True)
    done = bare.cordon("firewall", "start")
    assert done.returncode == 0 and "no default route" in done.stderr and "uplink:" in done.stderr, done


def test_down_when_nothing_is_up(bare):
    done = bare.cordon("down")
    assert done.returncode == 0 and "already down" in done.stdout


def test_up_again_after_down(bare):
    bare.up()
    bare.cordon("down", check=True)
    bare.cordon("up", check=True)
    assert bare.cordon("status").returncode == 0


def test_two_ups_at_once(bare):
    both = [bare.gateway.start([f"{BUILD}/cordon", "up", "--config", bare.config_file], stdout=-1, text=True)
            for _ in range(2)]
    bare.up_called = True
    said = sorted(p.communicate()[0] for p in both)
    assert said == ["cordon is already up\n", "cordon is up\n"]
    assert len(bare.pids("cordon-netd")) == 1
    bare.cordon("down")


def test_up_names_the_daemon_that_fails(bare):
    """netd cannot make its socket where a directory is."""
    os.makedirs(f"{bare.dir}/run/parts/netd.sock/x")
    bare.signalled = True
    done = bare.cordon("up")
    assert done.returncode == 1 and "cordon-netd did not start" in done.stderr, done.stderr
    assert "netd.log: " in done.stderr
    wait_for("everything to end", lambda: not bare.pids("cordon-dns") and not bare.pids("cordon-super"))


def test_dead_daemons_come_back(labs):
    lab = labs(sandbox=False)
    for daemon in ("cordon-netd", "cordon-dns", "cordon-gitproxy"):
        before = lab.pids(daemon)
        lab.signal(daemon)
        wait_for(daemon, lambda: lab.pids(daemon) and not set(lab.pids(daemon)) & set(before))
    wait_for("status", lambda: lab.cordon("status").returncode == 0)


def test_daemons_die_with_the_supervisor(labs):
    lab = labs(sandbox=False)
    lab.signal("cordon-super")
    for daemon in ("cordon-netd", "cordon-dns", "cordon-gitproxy", "cordon-inspect", "cordon-keeper"):
        wait_for(f"the end of {daemon}", lambda: not lab.pids(daemon))
    lab.cordon("up", check=True)


def test_firewall_alone(bare):
    assert bare.cordon("firewall", "start").returncode == 0
    assert bare.cordon("firewall", "start").returncode == 0
    assert "table inet cordon" in bare.gateway.run(["nft", "list", "tables"]).stdout
    assert bare.cordon("firewall", "stop").returncode == 0
    assert bare.gateway.run(["nft", "list", "tables"]).stdout == ""


def test_firewall_stays_while_the_daemons_run(labs):
    """The ruleset would come back, the sysctls would not."""
    lab = labs(sandbox=False)
    assert "sudo cordon down" in one_line(lab.cordon("firewall", "stop"), 1)
    forwarding = lab.gateway.run(["sysctl", "-n", "net.ipv4.ip_forward"]).stdout
    assert forwarding == "1\n" and "table inet cordon" in lab.gateway.run(["nft", "list", "tables"]).stdout


# -- registration

def test_ls_and_rm(labs):
    lab = labs()
    [row] = json.loads(lab.cordon("ls", "--json").stdout)
    assert (row["name"], row["interface"], row["profile"]) == ("vm0", "tap0", "agent")
    table = lab.cordon("ls").stdout.splitlines()
    assert table[0].split() == ["NAME", "PROFILE", "INTERFACE", "MAC", "IPV4", "IPV6"]
    assert table[1].split()[:3] == ["vm0", "agent", "tap0"]
    assert lab.cordon("rm", "vm0").returncode == 0
    assert json.loads(lab.cordon("ls", "--json").stdout) == []
    assert "cordon ls" in one_line(lab.cordon("rm", "vm0"), 1)


@pytest.mark.parametrize("changed, status, text", [
    ({"name": "vm0"}, 1, "vm0"),			# taken
    ({"--ip": "10.1.0.2"}, 1, "10.1.0.2"),		# taken
    ({"--interface": "tap77"}, 1, "tap77"),		# not there
    ({"--interface": "up0"}, 1, "up0"),			# not a sandbox's
    ({"--profile": "nope"}, 1, "nope"),
    ({"--mac": "6:0:a"}, 2, "must look like"),
    ({"--ip": "10.1.0.300"}, 2, "not an IPv4 or IPv6 address"),
])
def test_add_says_what_is_wrong(lab, changed, status, text):
    lab.gateway.ip("link add tap66 type veth peer name far66", "link set tap66 up")
    try:
        v = {"name": "other", "--interface": "tap66", "--mac": "06:00:0a:01:42:02", "--ip": "10.1.66.2",
             "--profile": "agent", **changed}
        name = v.pop("name")
        done = lab.cordon("add", name, *[x for pair in v.items() for x in pair])
        assert text in one_line(done, status)
    finally:
        lab.gateway.ip("link del tap66")


def test_add_refuses_a_bridged_interface(lab):
    lab.gateway.ip("link add tap67 type veth peer name far67", "link add br67 type bridge", "link set tap67 master br67")
    try:
        done = lab.cordon("add", "other", "--interface", "tap67", "--mac", "06:00:0a:01:43:02", "--ip", "10.1.67.2",
                          "--profile", "agent")
        assert "bridge" in one_line(done, 1)
    finally:
        lab.gateway.ip("link del tap67", "link del br67")


def test_questions_when_down(bare):
    for command in (["ls"], ["rm", "x"], ["reload"], ["status"]):
        done = bare.cordon(*command)
        assert done.returncode == 1 and "cordon is not up: sudo cordon up\n" in done.stderr, done


def test_reload(labs):
    lab = labs()
    before = json.loads(lab.cordon("status", "--json").stdout)["netd"]["policy"]
    lab.profile("agent", {"network": {"default": "deny", "allow": [{"host": "other.example"}]}})
    assert lab.cordon("reload").returncode == 0
    after = json.loads(lab.cordon("status", "--json").stdout)["netd"]["policy"]
    assert before != after
    lab.profile("agent", BROKEN)
    done = lab.cordon("reload")
    assert done.returncode == 2 and "agent.yaml:5:" in done.stderr
    assert json.loads(lab.cordon("status", "--json").stdout)["netd"]["policy"] == after


# -- status and log

def test_status_lists_daemons(lab):
    done = lab.cordon("status")
    assert done.returncode == 0, done.stderr
    for part in ("supervisor", "netd", "dns", "gitproxy"):
        assert re.search(rf"^{part} +up  pid \d+$", done.stdout, re.M), done.stdout
    data = json.loads(lab.cordon("status", "--json").stdout)
    assert [d["up"] for d in data["daemons"]] == [True] * 4 and len(data["netd"]["policy"]) == 64


def test_log_shows_a_refusal(lab, audit):
    lab.sandbox.dig("refused-for-the-log.example")
    audit.wait(decision="deny", name="refused-for-the-log.example")
    done = lab.cordon("log", "--deny", "--sandbox", lab.sandbox.guest, "--since", "1m")
    [line] = [x for x in done.stdout.splitlines() if "refused-for-the-log" in x]
    assert re.fullmatch(r"\S+Z  vm0\S* +deny +dns +A refused-for-the-log\.example +name_not_allowed +default", line)
    assert "refused-for" not in lab.cordon("log", "--sandbox", "vm1").stdout
    events = [json.loads(x) for x in lab.cordon("log", "--deny", "--json").stdout.splitlines()]
    assert all(e["decision"] == "deny" for e in events) and events
    assert [e["ts"] for e in events] == sorted(e["ts"] for e in events)


def test_log_follows(lab):
    p = lab.gateway.start([f"{BUILD}/cordon", "log", "-f", "--deny", "--since", "10m", "--config", lab.config_file],
                          stdout=-1, text=True)
    for name in ("there-at-first.example", "followed.example"):
        lab.sandbox.dig(name)
        assert any(name in line for line in p.stdout)
    p.terminate()
    p.wait()
    p.stdout.close()


def test_verify_finds_what_was_changed(labs):
    lab = labs(sandbox=False)
    done = lab.cordon("log", "--verify")
    assert done.returncode == 0 and "unbroken" in done.stdout
    path = f"{lab.log_dir}/netd.jsonl"
    lab.cordon("down", check=True)
    lines = open(path).read().splitlines(True)
    assert len(lines) >= 3
    for change in (lambda x: [x[0].replace("netd", "nted", 1)] + x[1:], lambda x: x[:1] + x[2:],
                   lambda x: [x[1], x[0]] + x[2:]):
        write(path, "".join(change(lines)))
        done = lab.cordon("log", "--verify")
        assert done.returncode == 1 and f"{path}:2: " in done.stdout, done.stdout
    write(path, "".join(lines))
    assert lab.cordon("log", "--verify").returncode == 0


def test_log_cannot_be_used_against_the_terminal(bare):
    os.makedirs(bare.log_dir)
    event = {"ts": "2026-01-01T00:00:00.000Z", "src": "netd", "sandbox": "a\x1b[2J", "decision": "deny",
             "name": "x\x9b31m\r\n", "qtype": "A", "reason": "r\x7f", "rule": "\x07"}
    write(f"{bare.log_dir}/netd.jsonl", json.dumps(event) + "\n")
    out = bare.cordon("log").stdout
    assert out.count("\n") == 1 and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", out), repr(out)


def test_ca_show(lab):
    assert lab.cordon("ca", "show").stdout.startswith("-----BEGIN CERTIFICATE-----")
