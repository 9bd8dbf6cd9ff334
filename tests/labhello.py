"""labhello - ClientHellos: hand-made ones that lie, and real ones cut into pieces"""

import ssl
import struct

RANDOM = b"lab-inspector-random-of-32-bytes"	# what a capture looks for
TLS_RECORD = 16384


def extension(kind, body):
    return struct.pack("!HH", kind, len(body)) + body


def sni(*names, kind=0):
    """A server_name extension; more than one name is a lie."""
    entries = b"".join(struct.pack("!BH", kind, len(n)) + n for n in names)
    return extension(0, struct.pack("!H", len(entries)) + entries)


def records(data, size=TLS_RECORD, kind=22):
    return b"".join(struct.pack("!BHH", kind, 0x0301, len(data[i:i + size])) + data[i:i + size]
                    for i in range(0, len(data), size))


def message(extensions, version=0x0303):
    """A ClientHello message with these extensions."""
    body = struct.pack("!H", version) + RANDOM + b"\0" + b"\0\2\x13\1" + b"\1\0"
    body += struct.pack("!H", len(extensions)) + extensions
    return b"\1" + len(body).to_bytes(3, "big") + body


def hello(*extensions, size=TLS_RECORD):
    """A ClientHello with these extensions, in records of `size` bytes."""
    return records(message(b"".join(extensions)), size)


def server_hello(retry=False):
    """A server's first message; a HelloRetryRequest is one with a random of its own (RFC 8446 s4.1.3)."""
    special = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    body = b"\3\3" + (special if retry else bytes(32)) + b"\0\x13\1\0"
    return records(b"\2" + len(body).to_bytes(3, "big") + body)


class Handshake:
    """A real TLS client over a socket that the test owns, so that it can send the hello as it likes."""

    def __init__(self, sock, name, ca_file, alpn=()):
        context = ssl.create_default_context(cafile=ca_file)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self._sock = sock
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.hello = self._out.read()

    def rerecord(self, size):
        """The hello in records of `size` bytes: the handshake itself does not see records."""
        body, rest = b"", self.hello
        while rest:
            n = struct.unpack_from("!H", rest, 3)[0]
            body, rest = body + rest[5:5 + n], rest[5 + n:]
        return records(body, size)

    def _step(self, call, *args):
        while True:
            try:
                return call(*args)
            except ssl.SSLWantReadError:
                self._sock.sendall(self._out.read())
                data = self._sock.recv(65536)
                if not data:
                    raise ConnectionError("closed") from None
                self._in.write(data)

    def fetch(self, host, path="/"):
        """Finish the handshake; the first line of the answer to one request."""
        self._step(self._tls.do_handshake)
        self._tls.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        self._sock.sendall(self._out.read())
        return self._step(self._tls.read, 65536).split(b"\r\n")[0]
