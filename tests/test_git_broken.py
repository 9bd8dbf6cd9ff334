"""A git answer that breaks off says why: the client prints it, beside what it makes of the rest.

The upstream is a server of ours that hands requests on to the real one and gives part of its answers.
"""

import os
import socket
import ssl

import pytest

import labworld
from labhttp import UPLOAD, Closed, Wire, ls_refs, pkt, post
from test_git_upstream import hurried, until_closed  # noqa: F401 (a fixture)

URL = "https://gitlab.com/acme/widgets"
BROKE = "cordon: upstream_unreachable: The server's answer broke off; try again later."
LATE = "cordon: deadline_exceeded: The peer took too long."
LIMIT = 60


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()


class Part:
    """Hands on to the server at GITHUB; of an answer with `mark` in it, `cut(body)` bytes, then `end`."""

    def __init__(self, lab, rude, mark, cut, end, chunked=True):
        self._internet, self._mark, self._cut, self._end, self._chunked = lab.internet, mark, cut, end, chunked
        self._context = ssl.create_default_context(cafile=lab.world.ca_file)
        rude.answer = self._answer

    def _ask(self, request):
        request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        with self._internet.connect(labworld.GITHUB[0], 443) as raw:
            with self._context.wrap_socket(raw, server_hostname="gitlab.com") as s:
                s.sendall(request)
                return Wire.of(s).response()

    def _answer(self, s, request):
        got = self._ask(request)
        kind, body = got.fields["content-type"], got.body
        whole = self._mark not in body
        part = body if whole else body[:self._cut(body)]
        framing = "Transfer-Encoding: chunked" if self._chunked else f"Content-Length: {len(body)}"
        s.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode())
        if not self._chunked:
            s.sendall(part)
        else:
            for i in range(0, len(part), 5000):
                s.sendall(b"%x\r\n%s\r\n" % (len(part[i:i + 5000]), part[i:i + 5000]))
        if not whole:
            self._end(s)
        elif self._chunked:
            s.sendall(b"0\r\n\r\n")


def event_of(lab, reason):
    """One line: the request was allowed, and did not come to its end."""
    events = lab.audit.wait(src="gitproxy", event="git", reason=reason)
    assert [(e["decision"], e["status"]) for e in events] == [("allow", 200)], events
    return events[0]


ENDS = {"end": (lambda s: None, BROKE), "reset": (reset, BROKE), "stall": (until_closed, LATE)}


def in_the_pack(body):
    """In the middle of a packet, some way behind the pack's beginning."""
    return body.index(b"PACK") + 9000


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_clone(hurried, protocol, how):
    """In the middle of the pack: on band 3, which git shows as the server's own words."""
    lab, rude = hurried(idle="1s")
    end, said = ENDS[how]
    Part(lab, rude, b"PACK", in_the_pack, end)
    done = lab.sandbox.git("-c", f"protocol.version={protocol}", "clone", URL, f"{lab.dir}/w", timeout=LIMIT)
    assert done.returncode and f"remote: {said}\n" in done.stderr, done.stderr
    assert not os.path.exists(f"{lab.dir}/w")
    assert event_of(lab, said.split(":")[1].strip())["bytes_down"] > 0


PLACES = {
    "half a length": ("clone", b"packfile\n", lambda body: 2),
    "no pack yet": ("clone", b"packfile\n", lambda body: body.index(b"packfile\n") + len("packfile\n")),
    "references": ("ls-remote", b"refs/heads/main", lambda body: len(body) - 20),
    "advertisement": ("ls-remote", b"version 2", lambda body: len(body) - 20),
}


@pytest.mark.parametrize("what", PLACES)
def test_before_the_pack(hurried, what):
    """Where there are no bands yet it is an ERR packet; git shows that, too."""
    lab, rude = hurried()
    command, mark, cut = PLACES[what]
    Part(lab, rude, mark, cut, lambda s: None)
    done = lab.sandbox.git("-c", "protocol.version=2", command, URL, *[f"{lab.dir}/w"][:command == "clone"], timeout=LIMIT)
    assert done.returncode and BROKE in done.stderr, done.stderr


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "length"])
def test_where_nothing_can_be_said(hurried, chunked):
    """A pack without bands, or a length that was announced: a broken answer, never a clean end."""
    lab, rude = hurried()
    Part(lab, rude, b"PACK", in_the_pack, reset, chunked)
    want = pkt(f"want {lab.world.tip('acme/widgets')} {'' if chunked else 'side-band-64k '}ofs-delta\n") + b"0000" + pkt("done\n")
    with Wire(lab.sandbox, "gitlab.com", timeout=LIMIT) as wire, pytest.raises(Closed):
        wire.send(post("acme/widgets", want, protocol=0, host="gitlab.com")).response()
    event_of(lab, "upstream_unreachable")


def test_nothing_of_a_whole_answer_is_changed(hurried):
    """What goes through the packets' keeper is what came, whatever the pieces."""
    lab, rude = hurried()
    Part(lab, rude, b"never", len, reset)
    done = lab.sandbox.git("clone", "-q", URL, f"{lab.dir}/w", timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert lab.sandbox.git("-C", f"{lab.dir}/w", "fsck", "--strict").returncode == 0
    with Wire(lab.sandbox, "gitlab.com", timeout=LIMIT) as wire:
        for _ in range(2):			# the connection is kept
            got = wire.send(post("acme/widgets", ls_refs(), host="gitlab.com")).response()
            assert got.status == 200 and got.body.endswith(b"0000")
            assert got.fields["content-type"] == f"{UPLOAD}-result"
    lab.audit.no_refusals()
