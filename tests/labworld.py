"""labworld - the internet of the lab: real servers behind one link

Theory of operation: one namespace holds every address that the tests call "outside": the web server
(apache2 with TLS by a lab CA, git-http-backend as github.com), the DNS server (dnsmasq, every query
logged) and sockets that tests open themselves. World is what does not change between labs of one
session, made once: the CA, the leaf certificates, the repositories with their commits. Addresses are
public ones, used inside the namespaces only: documentation ranges would be refused as reserved.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading

from labnet import ENV, LabError, Space, family_of, tool, wait_for

# Both families of everything. The web sites share one address: that is a CDN.
GATEWAY = ("93.184.216.1", "2606:2800:220:1::1")
ROUTER = ("93.184.216.2", "2606:2800:220:1::2")
DNS = ("93.184.216.53", "2606:2800:220:1::53")
WEB = ("93.184.216.34", "2606:2800:220:1::34")
GITHUB = ("140.82.121.4", "2606:50c0:8000::4")
SERVICES = ("93.184.216.77", "2606:2800:220:1::77")	# tests listen here
RESOLVERS = ("8.8.8.8", "2001:4860:4860::8888")		# a resolver that must never hear of us
ALL = (ROUTER, DNS, WEB, GITHUB, SERVICES, RESOLVERS)

SITES = ("pypi.example", "evil.example", "web.example")
NAMES = {
    "github.com": GITHUB,
    "gitlab.com": GITHUB,
    **{site: WEB for site in SITES},
    "a.files.example": WEB,
    "b.files.example": WEB,
    "tcp.example": SERVICES,
    "udp.example": SERVICES,
    "ssh.example": SERVICES,
    "granted.evil.example": WEB,
}
REPOSITORIES = {"acme/widgets": 300, "acme/payroll": 250, "private/one": 20, "private/two": 20}
PRIVATE = ("private/one", "private/two")	# need what Web.password() says
WWW = 33		# www-data of base-passwd, in every Debian

APACHE_CONF = """
ServerRoot {dir}
ServerName lab.invalid
PidFile {dir}/httpd.pid
DefaultRuntimeDir {dir}
Mutex file:{dir} default
ErrorLog {dir}/error.log
LogLevel error
LogFormat "%{{Host}}i\\t%m\\t%U%q\\t%>s\\t%{{Authorization}}i\\t%{{Cookie}}i\\t%{{Git-Protocol}}i\\t%{{User-Agent}}i\\t%a" lab
CustomLog {dir}/access.log lab
User #{uid}
Group #{uid}
{listen}
{modules}
StartServers 1
ThreadsPerChild 32
MaxRequestWorkers 128
ServerLimit 4
MinSpareThreads 1
KeepAliveTimeout 15
DirectoryIndex index.html
ScriptSock {dir}/cgid.sock
SSLSessionCache none
SSLProtocol -all +TLSv1.2 +TLSv1.3
<Directory {dir}>
Require all granted
</Directory>
<Directory /usr/lib/git-core>
Require all granted
</Directory>
{sites}
"""

PLAIN_SITE = """
<VirtualHost *:443>
ServerName {name}
ServerAlias {alias}
DocumentRoot {dir}/sites/{name}
SSLEngine on
SSLCertificateFile {certs}/{name}.crt
SSLCertificateKeyFile {certs}/{name}.key
</VirtualHost>
<VirtualHost *:80>
ServerName {name}
ServerAlias {alias}
DocumentRoot {dir}/sites/{name}
</VirtualHost>
"""

GIT_SITE = r"""
<VirtualHost *:443>
ServerName {name}
DocumentRoot {dir}/sites/{name}
SSLEngine on
SSLCertificateFile {certs}/{name}.crt
SSLCertificateKeyFile {certs}/{name}.key
RedirectMatch permanent "^/acme/renamed(\.git)?/(.*)$" "/acme/widgets.git/$2"
RedirectMatch temp "^/acme/taken(\.git)?/(.*)$" "/acme/payroll.git/$2"
RedirectMatch permanent "^/acme/away(\.git)?/(.*)$" "https://gitlab.com/acme/widgets.git/$2"
RedirectMatch permanent "^/acme/ping(\.git)?/(.*)$" "/acme/pong.git/$2"
RedirectMatch permanent "^/acme/pong(\.git)?/(.*)$" "/acme/ping.git/$2"
ScriptAlias / /usr/lib/git-core/git-http-backend/
SetEnv GIT_PROJECT_ROOT {repos}
SetEnv GIT_HTTP_EXPORT_ALL 1
SetEnvIf Git-Protocol "(.*)" GIT_PROTOCOL=$1
{private}
</VirtualHost>
"""

PRIVATE_REPOSITORY = """
<LocationMatch "^/{repo}[./]">
AuthType Basic
AuthName lab
AuthBasicProvider file
AuthUserFile {file}
Require valid-user
</LocationMatch>
"""

MODULES = {"mpm_event": "mpm_event", "authz_core": "authz_core", "cgid": "cgid", "ssl": "ssl",
           "auth_basic": "auth_basic", "authn_core": "authn_core", "authn_file": "authn_file",
           "authz_user": "authz_user", "alias": "alias", "env": "env", "setenvif": "setenvif", "dir": "dir"}


def fast_import(repo, name, commits, format="sha1"):
    """Deterministic history: same bytes, same ids, on every machine and day."""
    out = []
    for i in range(1, commits + 1):
        text = f"{name} {i}\n" * 20
        message = f"{name}: change {i}\n"
        out += [f"commit refs/heads/main\nmark :{i}\n"
                f"author Ada <ada@lab.invalid> {1700000000 + i * 60} +0000\n"
                f"committer Ada <ada@lab.invalid> {1700000000 + i * 60} +0000\n"
                f"data {len(message)}\n{message}"
                + (f"from :{i - 1}\n" if i > 1 else "")
                + f"M 100644 inline src/file{i % 40}.txt\ndata {len(text)}\n{text}\n"]
        if i % 100 == 0:
            out.append(f"reset refs/tags/v{i // 100}\nfrom :{i}\n\n")
    env = {**ENV, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", f"--object-format={format}", repo], check=True, env=env)
    subprocess.run(["git", "-C", repo, "fast-import", "--quiet"], input="".join(out).encode(), check=True, env=env)
    for key, value in (("http.receivepack", "true"), ("uploadpack.allowFilter", "true")):
        subprocess.run(["git", "-C", repo, "config", key, value], check=True, env=env)


class World:
    """Certificates and repositories, made once in `dir`."""

    def __init__(self, dir):
        self.dir = dir
        self.certs = f"{dir}/certs"
        self.repos = f"{dir}/repos"
        self.ca_file = f"{self.certs}/ca.crt"
        os.makedirs(self.certs, mode=0o755)
        self._make_ca()
        for name in ("github.com", "gitlab.com", *SITES):
            self.make_leaf(name, *(("*.files.example",) if name == "web.example" else ()))
        for repo, commits in REPOSITORIES.items():
            self._make_repo(repo, commits)

    def _make_ca(self):
        tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "3", "-subj", "/CN=lab internet CA", "-keyout", f"{self.certs}/ca.key",
             "-out", self.ca_file, "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def make_leaf(self, name, *alias):
        """Certificate and key certs/NAME.{crt,key} by the lab CA."""
        base = f"{self.certs}/{name}"
        san = ",".join(f"DNS:{n}" for n in (name, *alias))
        with open(f"{base}.ext", "w") as f:
            f.write(f"subjectAltName={san}\nextendedKeyUsage=serverAuth\n")
        tool("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-subj", f"/CN={name}", "-keyout", f"{base}.key", "-out", f"{base}.csr")
        tool("openssl", "x509", "-req", "-in", f"{base}.csr", "-CA", self.ca_file,
             "-CAkey", f"{self.certs}/ca.key", "-days", "2", "-extfile", f"{base}.ext", "-out", f"{base}.crt")

    def _make_repo(self, repo, commits):
        path = f"{self.repos}/{repo}.git"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fast_import(path, repo, commits)
        os.symlink(os.path.basename(path), path[:-len(".git")])		# both spellings, as the real one
        tool("chown", "-hR", f"{WWW}:{WWW}", path, path[:-len(".git")])

    def tip(self, repo, ref="refs/heads/main"):
        return tool("git", "-c", "safe.directory=*", "-C", f"{self.repos}/{repo}.git",
                    "rev-parse", ref).strip()


class Request:
    """One line of the web server's access log."""
    FIELDS = ("host", "method", "path", "status", "authorization", "cookie", "git_protocol", "agent", "peer")

    def __init__(self, line):
        for field, value in zip(self.FIELDS, line.split("\t")):
            setattr(self, field, value)

    def __repr__(self):
        return f"{self.method} {self.host}{self.path} {self.status}"


class Web:
    """apache2 with a configuration of its own; knows nothing of the system's."""

    def __init__(self, space, world, dir):
        self._space, self._world, self.dir = space, world, dir
        self._log = f"{dir}/access.log"

    def start(self):
        world, dir = self._world, self.dir
        os.makedirs(dir)
        for site in (*SITES, "github.com", "gitlab.com"):
            os.makedirs(f"{dir}/sites/{site}")
            with open(f"{dir}/sites/{site}/index.html", "w") as f:
                f.write(f"this is {site}\n")
        with open(f"{dir}/sites/pypi.example/big", "wb") as f:
            f.write(b"0123456789abcdef" * (1 << 16))
        private = "".join(PRIVATE_REPOSITORY.format(repo=r, file=self._password_file(r)) for r in PRIVATE)
        values = {"dir": dir, "certs": world.certs, "repos": world.repos, "private": private}
        sites = [PLAIN_SITE.format(name=n, alias="*.files.example" if n == "web.example" else n, **values)
                 for n in SITES]
        sites += [GIT_SITE.format(name=n, **values) for n in ("github.com", "gitlab.com")]
        modules = "\n".join(f"LoadModule {n}_module /usr/lib/apache2/modules/mod_{f}.so"
                            for n, f in MODULES.items())
        with open(f"{dir}/httpd.conf", "w") as f:
            listen = "\n".join(f"Listen {f'[{a}]' if ':' in a else a}:{port}"
                               for pair in (WEB, GITHUB) for a in pair for port in (80, 443))
            f.write(APACHE_CONF.format(uid=WWW, listen=listen, modules=modules, sites="\n".join(sites), **values))
        program = shutil.which("apache2", path=ENV["PATH"]) or shutil.which("httpd", path=ENV["PATH"])
        if not program:
            raise LabError("apache2 is missing: make test-deps")
        self._process = self._space.start([program, "-D", "FOREGROUND", "-f", f"{dir}/httpd.conf"])

    def _password_file(self, repo):
        return f"{self.dir}/password-{repo.replace('/', '-')}"

    def password(self, repo, password, user="x-access-token"):
        """What a private repository wants to hear from now on."""
        hashed = tool("openssl", "passwd", "-apr1", "-stdin", text=password).strip()
        file = self._password_file(repo)
        with open(f"{file}.new", "w") as f:
            f.write(f"{user}:{hashed}\n")
        os.rename(f"{file}.new", file)

    def ready(self):
        def probe():
            if self._process.poll() is not None:
                raise LabError(f"apache2 ended: {open(self.dir + '/error.log').read()}")
            return self._space.listening(WEB[0], 443)
        wait_for("apache2", probe)

    def requests(self, **fields):
        """What arrived, oldest first; fields select (host="github.com")."""
        with open(self._log, errors="replace") as f:
            got = [Request(line.rstrip("\n")) for line in f]
        return [r for r in got if all(getattr(r, k) == v for k, v in fields.items())]


class Dns:
    """dnsmasq as the authority for everything; each query is a line in a file."""

    def __init__(self, space, dir):
        self._space, self._dir = space, dir
        self._log = f"{dir}/dns.log"
        self._records = {name: list(addresses) for name, addresses in NAMES.items()}
        self._extra = []
        self._process = None

    def start(self):
        lines = ["no-resolv", "no-hosts", "keep-in-foreground", "log-queries=extra", f"log-facility={self._log}",
                 "user=root", "local-ttl=2", "cache-size=0", f"pid-file={self._dir}/dns.pid", "port=53",
                 "bind-interfaces", "auth-ttl=2", "local=/#/"]
        lines += [f"host-record={name},{address}" for name, addresses in self._records.items()
                  for address in addresses]
        with open(f"{self._dir}/dnsmasq.conf", "w") as f:
            f.write("\n".join(lines + self._extra) + "\n")
        self._process = self._space.start(["dnsmasq", "-C", f"{self._dir}/dnsmasq.conf"])

    def ready(self):
        def probe():
            if self._process.poll() is not None:
                raise LabError(f"dnsmasq ended with {self._process.returncode}")
            return self._space.listening(DNS[0], 53)
        wait_for("dnsmasq", probe)

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._space.processes.remove(self._process)

    def restart(self):
        self.stop()
        self.start()
        self.ready()

    def set(self, name, *addresses, options=()):
        """Answer these addresses for the name from now on; options are raw dnsmasq lines."""
        self._records[name] = list(addresses)
        self._extra += options
        self.restart()

    def queries(self, name=None):
        """[(type, name, peer)] of every query, oldest first."""
        with open(self._log, errors="replace") as f:
            found = re.findall(r"query\[(\S+)\] (\S+) from (\S+)", f.read())
        return [q for q in found if name is None or q[1].lower() == name]


class Internet(Space):
    """The namespace, its addresses and its servers."""

    def __init__(self, name, world, dir):
        super().__init__(name)
        self.world = world
        self.web = Web(self, world, f"{dir}/web")
        self.dns = Dns(self, dir)
        self._sockets = []

    def serve(self):
        """Start the servers; return when they answer."""
        self.hold()
        self.web.start()
        self.dns.start()
        self.web.ready()
        self.dns.ready()

    def listen(self, address, port, kind=socket.SOCK_STREAM, backlog=64):
        """A listening (or, for datagrams, bound) socket out there; closed with the lab."""
        s = self.socket(family_of(address), kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        if kind == socket.SOCK_STREAM:
            s.listen(backlog)
        self._sockets.append(s)
        return s

    def echo(self, port, kind=socket.SOCK_STREAM, addresses=SERVICES):
        """Send back what comes to these addresses and port."""
        for address in addresses:
            s = self.listen(address, port, kind)
            s.settimeout(None)
            serve = _echo_datagrams if kind == socket.SOCK_DGRAM else _echo_streams
            threading.Thread(target=serve, args=(s,), daemon=True).start()

    def close(self):
        for s in self._sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)	# wakes the thread that waits on it
            s.close()
        super().close()


def _echo_datagrams(s):
    with contextlib.suppress(OSError):
        while True:
            data, peer = s.recvfrom(65536)
            if not data and peer is None:
                return
            s.sendto(data, peer)


def _echo_streams(listener):
    def serve(s):
        with contextlib.suppress(OSError), s:
            while data := s.recv(65536):
                s.sendall(data)
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def socket_kind(family, proto):
    """(4 or 6, "tcp" or "udp") as the arguments of socket()."""
    return (socket.AF_INET6 if family == 6 else socket.AF_INET,
            socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM)
