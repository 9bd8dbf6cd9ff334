"""What is refused on and around a git host, and the words that its clients print.

A refusal that nobody sees is a hang to the person in front of it: each row asks the real client and
reads what it says. Threats C7, C10, B2.
"""

import pytest

import labworld
from lab import AGENT, row
from labhttp import Origin, Wire, get, info_refs
from test_git import TAIL, WIDGETS, guest, refused, seen  # noqa: F401 (fixtures)

HTTPS = "https://github.com/OWNER/REPOSITORY"
SSH = ["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null",
       "-o", "StrictHostKeyChecking=no"]


def silent(capture, lab, port):
    """Nothing reached the git host on this port."""
    for address in labworld.GITHUB:
        capture.empty(dst=address, dport=port)


# ---- SSH ----

def test_ssh_client_is_told(lab, guest, capture, family):
    """OpenSSH prints the description of the disconnect and leaves; nobody waits for a deadline."""
    done = guest.run(["ssh", f"-{family}", *SSH, "git@github.com"])
    assert done.returncode == 255
    assert "ssh_not_supported: " in done.stderr and HTTPS in done.stderr
    event = refused(lab, "ssh_not_supported", name="github.com")
    assert (event["port"], event["src"]) == (22, "gitproxy")
    silent(capture, lab, 22)


@pytest.mark.parametrize("url", ["git@github.com:acme/widgets", "ssh://git@github.com/acme/widgets.git"])
def test_git_over_ssh_is_told(lab, guest, capture, url):
    done = guest.git("clone", url, "w", env={"GIT_SSH_COMMAND": " ".join(["ssh", *SSH])})
    assert done.returncode and HTTPS in done.stderr
    refused(lab, "ssh_not_supported", name="github.com")
    silent(capture, lab, 22)


@pytest.mark.parametrize("sent", [b"", b"SSH-2.0-x\r\n" + bytes(100000), b"GET / HTTP/1.1\r\n\r\n"],
                         ids=["silent", "flood", "http"])
def test_ssh_port_reads_nothing(lab, guest, family, sent):
    """The answer does not depend on what the client sends, and is one whole packet."""
    with guest.connect(guest.resolve("github.com", family), 22) as s:
        s.sendall(sent[:4096])
        said = b""
        try:
            s.sendall(sent[4096:])
            while more := s.recv(4096):
                said += more
        except ConnectionError:
            assert len(sent) > 4096		# nobody promises to read a flood
    if len(sent) <= 4096:
        version, packet = said.split(b"\r\n", 1)
        assert version.startswith(b"SSH-2.0-") and packet[5] == 1
        assert len(packet) == 4 + int.from_bytes(packet[:4], "big") and len(packet) % 8 == 0
        assert HTTPS.encode() in packet
    refused(lab, "ssh_not_supported", name="github.com")


def test_explain_ssh(lab):
    for what in ("github.com:22", "ssh://github.com/acme/widgets"):
        done = lab.cordon("explain", "--profile", "agent", what)
        assert done.returncode == 1 and "ssh_not_supported" in done.stdout
        assert "https://github.com/" in done.stdout


# ---- git's own port ----

@row("B2")
def test_git_protocol_is_reset(lab, guest, capture, family):
    """git:// is refused by a reset, at once."""
    done = guest.git("clone", "git://github.com/acme/widgets", "w")
    assert done.returncode and "Connection refused" in done.stderr
    with pytest.raises(ConnectionRefusedError):
        guest.connect(guest.resolve("github.com", family), 9418)
    lab.audit.wait(decision="deny", reason="port_not_granted", port=9418)
    assert {e["reason"] for e in lab.audit.events(decision="deny")} <= {"port_not_granted", "state_invalid"}
    silent(capture, lab, 9418)


# ---- what is on the same host ----

BESIDE = {
    "archive": "/acme/widgets/archive/refs/heads/main.tar.gz", "zip": "/acme/widgets/zipball/main",
    "tarball": "/acme/widgets/tarball/main", "raw": "/acme/widgets/raw/main/README",
    "release": "/acme/widgets/releases/download/v1/a.bin", "rest": "/api/v3/repos/acme/widgets",
    "graphql": "/api/graphql", "commit": "/acme/widgets/commit/deadbeef.patch", "gist": "/gist/1",
}


@row("C10")
def test_beside_git(lab, guest, seen, family):
    """Reads and writes that are not git: curl shows the sentence; upstream hears nothing."""
    for what, path in BESIDE.items():
        for method in ("GET", "POST"):
            done = guest.curl(f"https://github.com{path}", "-X", method, family=family)
            assert done.stdout == ("not_git\nOnly git requests are allowed on this host.\n\n403\n"), what
    refused(lab, "not_git")
    assert not seen()


@row("C10")
@pytest.mark.parametrize("name", ["api.github.com", "codeload.github.com", "gist.github.com",
                                  "raw.githubusercontent.com", "objects.githubusercontent.com",
                                  "uploads.github.com", "ssh.github.com"])
def test_side_doors(lab, guest, name):
    """Other names of the same service are other names: downloads, releases, gists, the REST interface."""
    done = guest.curl(f"https://{name}/repos/acme/widgets")
    assert done.returncode == 6 and name in done.stderr		# could not resolve
    assert "EDE: 15 (Blocked)" in guest.dig(name)
    refused(lab, "name_not_allowed", name=name)


API = {"host": "api.github.com", "http": [{"methods": ["GET", "HEAD"], "path": "/repos/acme/**"}]}
WRITES = {
    "an issue": ("POST", "/repos/acme/widgets/issues", "method_not_allowed"),
    "a file": ("PUT", "/repos/acme/widgets/contents/README", "method_not_allowed"),
    "a ref": ("PATCH", "/repos/acme/widgets/git/refs/heads/main", "method_not_allowed"),
    "a branch's end": ("DELETE", "/repos/acme/widgets/git/refs/heads/main", "method_not_allowed"),
    "GraphQL": ("POST", "/graphql", "path_not_allowed"),
    "a gist": ("POST", "/gists", "path_not_allowed"),
    "another repository": ("GET", "/repos/other/widgets", "path_not_allowed"),
}


@row("C10", families=(4,))
def test_writes_by_the_rest_interface(labs, world):
    """Where its reads are granted its writes are not: each is refused in a sentence, and on record."""
    world.make_leaf("api.github.com")
    lab = labs(profiles={"agent": {**AGENT, "network": {"default": "deny", "allow": [API]}}},
               config={"hosts": {"api.github.com": labworld.SERVICES[0]}})
    origin = Origin(lab.internet, labworld.SERVICES, f"{world.certs}/api.github.com.crt",
                    f"{world.certs}/api.github.com.key")
    for what, (method, path, reason) in WRITES.items():
        body = [] if method == "GET" else ["-d", "{}"]
        done = lab.sandbox.curl(f"https://api.github.com{path}", "-X", method, *body,
                                "-H", "Authorization: Bearer t0ken")
        word, sentence, _, status = done.stdout.splitlines()
        assert (word, status) == (reason, "403") and sentence.startswith("The policy does not allow"), what
        event = lab.audit.wait_one(decision="deny", method=method, path=path)
        assert event["reason"] == reason
    assert not origin.requests
    assert lab.sandbox.fetches("https://api.github.com/repos/acme/widgets")
    assert [r.target for r in origin.requests] == ["/repos/acme/widgets"]


def test_wiki(lab, guest, seen):
    """A wiki is a repository of its own."""
    done = guest.git("clone", WIDGETS + ".wiki.git", "w")
    assert done.returncode and "remote: repository_not_allowed" in done.stderr
    refused(lab, "repository_not_allowed", repo="acme/widgets.wiki")
    assert not seen()


def test_archive_over_git(lab, guest, seen):
    """git 2.44 and later ask for the service; the older ones do not know how."""
    done = guest.git("archive", f"--remote={WIDGETS}", "main")
    assert done.returncode
    with Wire(guest) as wire:
        got = wire.send(info_refs("acme/widgets", service="git-upload-archive")).response()
    assert (got.status, got.reason) == (403, "service_not_allowed")
    refused(lab, "service_not_allowed", repo="acme/widgets")
    assert not seen()


# ---- LFS and the dumb protocol ----

@pytest.mark.parametrize("path", ["objects/batch", "locks", "locks/verify", "objects/" + "0" * 64])
def test_lfs(lab, guest, seen, path):
    """501, so that a client neither asks for a password nor tries again."""
    done = guest.curl(f"{WIDGETS}.git/info/lfs/{path}", "-X", "POST", "-d", "{}",
                      "-H", "Content-Type: application/vnd.git-lfs+json")
    assert done.stdout == ('{"message": "lfs_not_allowed: The policy does not allow Git LFS.", '
                           '"documentation_url": "http://cordon.internal/"}\n\n501\n')
    refused(lab, "lfs_not_allowed", repo="acme/widgets")
    assert not seen()


@pytest.mark.parametrize("path", ["HEAD", "info/refs", "objects/info/packs", "objects/info/alternates",
                                  "objects/00/" + "0" * 38, f"objects/pack/pack-{'0' * 40}.pack",
                                  f"objects/pack/pack-{'0' * 40}.idx"])
def test_dumb_http(lab, guest, seen, path):
    """Files of a repository: the old protocol would read around want and have."""
    done = guest.curl(f"{WIDGETS}/{path}")
    assert done.stdout.endswith("\n403\n")
    first = lab.audit.wait_one(decision="deny")
    assert first["reason"] in ("dumb_http_not_allowed", "not_git")
    assert done.stdout.startswith(first["reason"])
    assert not seen()


# ---- one answer, whatever upstream says ----

def test_authorization_of_git_is_not_asked_for(lab, guest, seen):
    """No refusal is a 401: git would ask for a password, or forget a good one."""
    for path in (f"/acme/payroll{TAIL}", "/acme/widgets/settings", "/acme/widgets.git/info/lfs/locks"):
        with Wire(guest) as wire:
            got = wire.send(get(path)).response()
        assert got.status != 401 and "www-authenticate" not in got.fields
    assert not seen()
