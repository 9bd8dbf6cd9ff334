"""labhttp - HTTP spoken by hand: a client that may lie, and a server that may be rude

Theory of operation: git and curl are too polite for most rows of threats section C. Wire is a
connection from a sandbox on which a test writes bytes and reads whole responses; Rude is an HTTPS
server in the lab's internet whose every answer is a function of the test's; Origin is one that keeps
connections, takes bodies, and speaks plain HTTP too.
"""

import contextlib
import gzip
import re
import socket
import ssl
import threading
from dataclasses import dataclass

import labclient
import labworld
from lab import CONFIG, Lab
from labnet import PATIENCE

UPLOAD = "application/x-git-upload-pack"
FLUSH = b"0000"
LATE = "state_invalid"		# packets of connections that an earlier test left; the proxy has reasons of its own


def pkt(text):
    """One pkt-line."""
    data = text if isinstance(text, bytes) else text.encode()
    return b"%04x" % (len(data) + 4) + data


def ls_refs(*prefixes):
    """Body of a protocol v2 ls-refs request."""
    return (pkt("command=ls-refs\n") + pkt("object-format=sha1") + b"0001" + pkt("peel\n")
            + b"".join(pkt(f"ref-prefix {p}\n") for p in prefixes) + FLUSH)


def get(path, *fields, host="github.com", method="GET"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *fields, "",
                        ""]).encode("latin-1")


def info_refs(repo, *fields, service="git-upload-pack", host="github.com"):
    return get(f"/{repo}/info/refs?service={service}", *fields, host=host)


def post(repo, body, *fields, service="git-upload-pack", length=True, host="github.com",
         protocol=2):
    fields = [f"Content-Type: application/x-{service}-request", *fields]
    if protocol:
        fields.append(f"Git-Protocol: version={protocol}")
    if length:
        fields.append(f"Content-Length: {len(body)}")
    return get(f"/{repo}/{service}", *fields, host=host, method="POST") + body


def chunks(body, size=100):
    out = [b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body),
                                                                                      size)]
    return b"".join(out) + b"0\r\n\r\n"


def gzipped(body):
    return gzip.compress(body, mtime=0)


@dataclass
class Response:
    status: int
    fields: dict
    order: list
    body: bytes

    @property
    def reason(self):
        return self.fields.get("x-cordon-reason")


class Closed(Exception):
    """The connection ended; whole responses that came before it were read."""


class Wire:
    """A connection of a sandbox to a name, TLS unless port 80."""

    def __init__(self, sandbox, name="github.com", family=4, port=443, timeout=PATIENCE):
        if port == 80:
            self.socket = sandbox.connect(sandbox.resolve(name, family), 80, timeout)
        else:
            self.socket = labclient.tls(sandbox, name, family, port=port, timeout=timeout)
        self._data = b""

    @classmethod
    def of(cls, connected):
        """The same on a socket that is there."""
        wire = cls.__new__(cls)
        wire.socket, wire._data = connected, b""
        return wire

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        with contextlib.suppress(ConnectionError, ssl.SSLError):	# refused before all of it was sent
            self.socket.sendall(data)
        return self

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError) as e:
            raise Closed(str(e)) from e
        if not data:
            raise Closed("end")
        self._data += data

    def until(self, mark):
        while mark not in self._data:
            self._more()
        head, self._data = self._data.split(mark, 1)
        return head

    def _exactly(self, n):
        while len(self._data) < n:
            self._more()
        got, self._data = self._data[:n], self._data[n:]
        return got

    def _chunks(self):
        out = b""
        while True:
            n = int(self.until(b"\r\n"), 16)
            out += self._exactly(n)
            assert self._exactly(2) == b"\r\n"
            if not n:
                return out

    def body(self, fields):
        if "chunked" in fields.get("transfer-encoding", "").lower():
            return self._chunks()
        return self._exactly(int(fields.get("content-length", 0)))

    def begun(self):
        """A byte of a body is there; it and its head are still to be read."""
        while not self._data.partition(b"\r\n\r\n")[2]:
            self._more()

    def response(self, body=True):
        """The next whole response. Closed when it does not come, or not whole."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = [(k.lower(), v.strip()) for k, v in (line.split(":", 1) for line in lines)]
        fields = dict(pairs)
        status = int(first.split()[1])
        if status == 100 or not body:
            content = b""
        else:
            content = self.body(fields)
        return Response(status, fields, [k for k, _ in pairs], content)

    def ends(self):
        """Nothing more comes, and the connection closes."""
        try:
            while True:
                self._more()
        except Closed:
            return not self._data


def ask(sandbox, request, family=4, **kw):
    """One request on a connection of its own; the response."""
    with Wire(sandbox, family=family, **kw) as wire:
        return wire.send(request).response()


def refused(lab, reason, **fields):
    """One key was refused, for this reason; the event."""
    first = lab.audit.wait_one(decision="deny", reason=reason, **fields)
    _only(lab, {reason, LATE})
    return first


def allowed(lab, test=bool, event="git"):
    """Nothing was refused, and test() is true of what was served; that."""
    served = lab.audit.until(test, event=event, decision="allow")
    _only(lab, {LATE})
    return served


def _only(lab, reasons):
    assert {e["reason"] for e in lab.audit.events(decision="deny")} <= reasons, lab.audit.describe()


class Rude:
    """HTTPS in the lab's internet; answer(socket, request) serves each connection.

    `greet`, where a test sets it, gets the connection before any TLS, and it ends there.
    """

    def __init__(self, internet, addresses, certificate, key):
        self.answer = self.greet = None
        self.requests = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        for address in addresses:
            listener = internet.listen(address, 443)
            listener.settimeout(None)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def certificate(self, certificate, key):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ssl.SSLError), connection:
            connection.settimeout(PATIENCE)
            if self.greet:
                self.greet(connection)
                return
            with self._context.wrap_socket(connection, server_side=True) as s:
                data = b""
                while b"\r\n\r\n" not in data:
                    more = s.recv(65536)
                    if not more:
                        return
                    data += more
                while len(data) < self._whole(data) and (more := s.recv(65536)):
                    data += more
                self.requests.append(data)
                self.answer(s, data)

    @staticmethod
    def _whole(data):
        """Bytes of the whole request; closing with unread bytes would be a reset."""
        length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", data, re.I)
        return data.index(b"\r\n\r\n") + 4 + int(length[1] if length else 0)

    def says(self, status="200 OK", *fields, body=b"", type=f"{UPLOAD}-advertisement", length=None):
        """Answer like this from now on. length: what Content-Length claims, true or not."""
        head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {type}", *fields,
                            f"Content-Length: {len(body) if length is None else length}",
                            "Connection: close", "", ""]).encode()
        self.requests.clear()
        self.answer = lambda s, request: s.sendall(head + body)

    def cuts(self, body, chunked=False):
        """Answer with part of a body from now on, then a reset."""
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body) + 1000}"
        type = f"{UPLOAD}-advertisement"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {type}\r\n{framing}\r\n\r\n".encode()

        def answer(s, _):
            s.sendall(head + (b"%x\r\n%s\r\n" % (len(body), body) if chunked else body))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        self.requests.clear()
        self.answer = answer


@dataclass
class Got:
    """A request as the origin read it."""
    port: int
    connection: int
    method: str
    target: str
    fields: list
    head: str
    body: bytes = b""

    def __getitem__(self, name):
        return next((v for k, v in self.fields if k.lower() == name.lower()), None)

    @property
    def names(self):
        return {k.lower() for k, _ in self.fields}


class Origin:
    """HTTP/1.1 on ports 443 and 80 of some addresses; answer(socket, Got) serves each request.

    `reads` False: the answer is asked for before the body is read, with a reader of it as got.body.
    """

    def __init__(self, internet, addresses, certificate, key):
        self.requests, self.reads = [], True
        self.says()
        self._count = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        for address in addresses:
            for port in (443, 80):
                listener = internet.listen(address, port)
                listener.settimeout(None)
                threading.Thread(target=self._accept, args=(listener, port), daemon=True).start()

    def says(self, status="200 OK", *fields, body=b"hello\n", length=None):
        """Answer like this from now on. length: what Content-Length claims; False: no such field."""
        lines = [f"HTTP/1.1 {status}", *fields]
        if length is not False:
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")

        def answer(s, got):
            s.sendall(head + (b"" if got.method == "HEAD" else body))
        self.requests.clear()
        self.reads, self.answer = True, answer

    def does(self, answer, reads=True):
        self.requests.clear()
        self.reads, self.answer = reads, answer

    def _accept(self, listener, port):
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                self._count += 1
                threading.Thread(target=self._serve, args=(connection, port, self._count),
                                 daemon=True).start()

    def _serve(self, connection, port, number):
        with contextlib.suppress(OSError, ssl.SSLError, Closed), connection:
            connection.settimeout(PATIENCE)
            s = connection if port == 80 else self._context.wrap_socket(connection, server_side=True)
            with s:
                wire = Wire.of(s)
                while self._one(wire, s, port, number):
                    pass

    def _one(self, wire, s, port, number):
        head = wire.until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        got = Got(port, number, method, target, fields, head)
        got.body = lambda: wire.body({k.lower(): v for k, v in fields})
        if self.reads:
            got.body = got.body()
        self.requests.append(got)
        return self.answer(s, got) is not False


@contextlib.contextmanager
def origin_lab(world, hosts, profiles, names=(), **config):
    """A lab that is not up yet, with lab.origin behind these {name: address}. `names`: others that the CA may sign for."""
    leaf, *others = hosts
    world.make_leaf(leaf, *others)
    with Lab(world, profiles=profiles,
             config={"hosts": hosts, "ca": {"names": [*CONFIG["ca"]["names"], *hosts, *names]}, **config}) as lab:
        lab.origin = Origin(lab.internet, labworld.SERVICES, f"{world.certs}/{leaf}.crt", f"{world.certs}/{leaf}.key")
        yield lab
        problems = lab.problems()
        assert not problems, "\n".join(problems)
