"""How kept answers reach their clients: files, over TLS and plain, to whoever reads slowly or leaves."""

import random
import socket
import ssl

import pytest

from labgit import Repository
from labhttp import Wire, post
from labmirror import fetch_body, mirror_lab, pack_of, warm
from labnet import wait_for

SIZE = 3 << 20			# incompressible, so the answer is larger than all buffers on its way


@pytest.fixture(scope="module")
def lab(world):
    with mirror_lab(world) as lab:
        yield lab


@pytest.fixture(scope="module")
def question(lab):
    """A fetch whose answer is kept, and the answer."""
    repo = Repository(lab.world.repos, "acme/sent", 5)
    data = random.Random(3).randbytes(SIZE).hex()
    repo.git("fast-import", "--quiet", "--force",
             input=f"commit refs/heads/main\ncommitter A <a@lab.invalid> 1800000000 +0000\ndata 2\nx\n"
                   f"from refs/heads/main^0\nM 100644 inline big\ndata {len(data)}\n{data}\n")
    warm(lab, repo)
    request = post(f"{repo.name}.git", fetch_body(repo.tip(), options=["no-progress"]))
    answers = []

    def kept():
        with Wire(lab.sandbox) as wire:
            response = wire.send(request).response()
        answers.append(response.body)
        return response.fields.get("content-length")	# known from the start: the spool holds it
    wait_for("a kept answer", kept)
    assert len(pack_of(answers[-1])[0]) > SIZE
    yield request, answers[-1]
    repo.remove()


def slowly(sandbox, port):
    """A connection with a small window, so that the proxy has to wait for it again and again."""
    raw = sandbox.socket(socket.AF_INET)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((sandbox.resolve("github.com"), port))
    return raw


@pytest.mark.parametrize("port", [443, 80])
def test_a_slow_client_has_all_of_it_twice(lab, question, port):
    """The same bytes each time, and the connection is good for more."""
    request, answer = question
    raw = slowly(lab.sandbox, port)
    if port == 443:
        context = ssl.create_default_context(cafile=lab.sandbox.ca_bundle)
        raw = context.wrap_socket(raw, server_hostname="github.com")
    with Wire.of(raw) as wire:
        for _ in range(2):
            response = wire.send(request).response()
            assert response.status == 200
            assert response.body == answer


def test_one_who_leaves_in_the_middle_takes_nothing_from_others(lab, question):
    request, answer = question
    with Wire(lab.sandbox) as stays:
        for _ in range(3):
            with Wire(lab.sandbox) as leaves:
                assert leaves.send(request).response(body=False).status == 200
        assert stays.send(request).response().body == answer
