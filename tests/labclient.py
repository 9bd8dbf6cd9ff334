"""labclient - connections that a test keeps in its hand

Theory of operation: where curl and git do (tests/demo.py), they are used. Where a test must hold a flow
open while something happens to Cordon, it needs the socket: these are plain Python sockets opened inside
the sandbox's namespace, with the TLS of the standard library on top.
"""

import contextlib
import select
import socket
import ssl
import time

from labnet import PATIENCE, family_of


def tls(sandbox, name, family=4, address=None, port=443, sni=None, timeout=PATIENCE):
    """A TLS connection from the sandbox to a name; the name is resolved there. ssl.SSLSocket."""
    address = address or sandbox.resolve(name, family)
    context = ssl.create_default_context(cafile=sandbox.ca_bundle)
    raw = sandbox.connect(address, port, timeout)
    try:
        return context.wrap_socket(raw, server_hostname=sni or name)
    except BaseException:
        raw.close()
        raise


def get(connection, host, path="/"):
    """One request on a kept connection; the body. ConnectionError when it is dead."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += _more(connection)
    return body


def _more(connection):
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed")
    return data


def works(connection, data=b"ping", timeout=PATIENCE):
    """Whether an echo comes back over a stream or connected datagram socket."""
    connection.settimeout(timeout)
    try:
        connection.send(data)
        return connection.recv(65536) == data
    except OSError:
        return False


def serves(connection, host, timeout=PATIENCE):
    """Whether a kept TLS connection still answers."""
    connection.settimeout(timeout)
    try:
        return bool(get(connection, host))
    except OSError:
        return False


def udp(sandbox, address, port, timeout=PATIENCE):
    """A datagram socket of the sandbox, connected."""
    s = sandbox.socket(family_of(address), socket.SOCK_DGRAM, timeout=timeout)
    s.connect((address, port))
    return s


def raw(sandbox, family, protocol, address, payload):
    """One packet of any protocol, made by the guest's root."""
    with sandbox.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_RAW, protocol) as s:
        s.sendto(payload, (address, 0))


def refused(connect, *args, **kw):
    """Whether connecting is refused (not timed out); what was opened is closed."""
    try:
        with contextlib.closing(connect(*args, **kw)):
            return False
    except (ConnectionRefusedError, ConnectionResetError, PermissionError):
        return True
    except OSError as e:
        return e.errno in (101, 113)	# unreachable: an answer too


def offer(sandbox, said, timeout=0.3):
    """Connect to each (address, port) of `said` at once and say its bytes there, until each has ended or been
    silent for the timeout. Those that were connected."""
    connected = set()
    with contextlib.ExitStack() as stack:
        trying = {}
        for where in said:
            s = stack.enter_context(sandbox.socket(family_of(where[0]), timeout=0))
            s.connect_ex(where)
            trying[s] = where
        end, opened = time.monotonic() + timeout, []
        while (trying or opened) and (left := end - time.monotonic()) > 0:
            readable, writable, _ = select.select(opened, trying, [], left)
            for s in writable:
                where = trying.pop(s)
                if not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    connected.add(where)
                    opened.append(s)
                    with contextlib.suppress(OSError):
                        s.sendall(said[where])
            opened = [s for s in opened if s not in readable]
    return connected
