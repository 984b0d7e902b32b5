"""Real FTP clients behind the same few verbs, so that one test can say what all of them must be able to do.

    route = Route(gateway, backend, mode="implicit", family=6, setup="EPSV", tls="1.2")
    curl.upload(route, "name", b"content")
    assert "name" in lftp.listing(route)
    assert ftplib_resuming.download(route, "name") == b"content"

Names are those in the backend's folder `files`. A client that fails raises ClientFailed with what it said.
"""

import ftplib
import io
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pycurl
from backends import Backend
from gateway import LOOPBACK, Gateway
from raw_client import tls_context

TIMEOUT = 60


@dataclass(frozen=True)
class Route:
    """From a client through a gateway to a backend, and how."""

    gateway: Gateway
    backend: Backend
    # explicit or implicit.
    mode: str = "explicit"
    # 4 or 6.
    family: int = 4
    # The data connection: PASV, EPSV, PORT or EPRT.
    setup: str = "EPSV"
    # The one version that is allowed: "1.2" or "1.3"; None: what the client likes.
    tls: str | None = None
    password: str | None = None

    @property
    def host(self):
        return LOOPBACK[self.family]

    @property
    def port(self):
        return self.gateway.port(self.mode, self.family)

    @property
    def user(self):
        return self.backend.user

    @property
    def secret(self):
        return self.backend.password if self.password is None else self.password

    @property
    def is_passive(self):
        return self.setup in ("PASV", "EPSV")

    def but(self, **changes):
        return replace(self, **changes)


class ClientFailed(Exception):
    pass


def _run(arguments, stdin=None, timeout=TIMEOUT):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, input=stdin, timeout=timeout)
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode(errors="replace")[-3000:]
        raise ClientFailed(f"{arguments[0]} ended with status {done.returncode}: {said}")
    return done.stdout


class Curl:
    name = "curl"

    def can(self, route):
        # curl sends EPSV over IPv6, and PASV only where it is told to. Debian's, 7.88, never starts TLS on an active data
        # connection (a regression of 7.87, mended in 8.0): active mode is left to NewerCurl.
        return route.is_passive and (route.family == 4 or route.setup == "EPSV")

    def arguments(self, route, *more, is_verbose=False):
        arguments = ["curl", "--silent", "--show-error", "--max-time", TIMEOUT, "--globoff", "--ssl-reqd"]
        arguments += ["--cacert", route.gateway.identity.certificate, "--user", f"{route.user}:{route.secret}"]
        if route.tls:
            arguments += [f"--tlsv{route.tls}", "--tls-max", route.tls]
        arguments += {
            "PASV": ["--disable-epsv"],
            "EPSV": [],
            "PORT": ["--ftp-port", "-", "--disable-eprt"],
            "EPRT": ["--ftp-port", "-"],
        }[route.setup]
        return arguments + (["--verbose"] if is_verbose else []) + list(more)

    def url(self, route, name=""):
        host = f"[{route.host}]" if ":" in route.host else route.host
        scheme = "ftps" if route.mode == "implicit" else "ftp"
        return f"{scheme}://{host}:{route.port}/{quote(route.backend.path(name))}"

    def run(self, route, *more, name="", stdin=None):
        """curl with further arguments, on the URL of `name`; its standard output."""
        return _run(self.arguments(route, *more, self.url(route, name)), stdin)

    def upload(self, route, name, content):
        self.run(route, "--upload-file", "-", name=name, stdin=content)

    def append(self, route, name, content):
        self.run(route, "--append", "--upload-file", "-", name=name, stdin=content)

    def download(self, route, name):
        return self.run(route, name=name)

    def resume(self, route, name, offset):
        """The rest of the file from `offset` on."""
        return self.run(route, "--continue-at", offset, name=name)

    def listing(self, route):
        return self.run(route, "--list-only").decode("utf-8", "surrogateescape").splitlines()


class NewerCurl:
    """libcurl of a later version than Debian's, as a Python package brings it."""

    name = "libcurl"

    def can(self, route):
        return route.family == 4 or route.setup in ("EPSV", "EPRT")

    def _perform(self, route, name, **options):
        received = io.BytesIO()
        said = []
        handle = pycurl.Curl()
        settings = {
            "URL": curl.url(route, name),
            "USERNAME": route.user,
            "PASSWORD": route.secret,
            "USE_SSL": pycurl.USESSL_ALL,
            "CAINFO": str(route.gateway.identity.certificate),
            "TIMEOUT": TIMEOUT,
            "WRITEFUNCTION": received.write,
            "DEBUGFUNCTION": lambda kind, text: said.append(text),
            "VERBOSE": 1,
            "FTP_USE_EPSV": route.setup == "EPSV" or route.family == 6,
            "FTP_USE_EPRT": route.setup == "EPRT",
        }
        if route.tls:
            version = {"1.2": pycurl.SSLVERSION_TLSv1_2, "1.3": pycurl.SSLVERSION_TLSv1_3}[route.tls]
            maximum = {"1.2": pycurl.SSLVERSION_MAX_TLSv1_2, "1.3": pycurl.SSLVERSION_MAX_TLSv1_3}[route.tls]
            settings["SSLVERSION"] = version | maximum
        if not route.is_passive:
            settings["FTPPORT"] = "-"
        for option, value in {**settings, **options}.items():
            handle.setopt(getattr(pycurl, option), value)
        try:
            handle.perform()
        except pycurl.error as problem:
            text = b"".join(said).decode("utf-8", "replace")[-2000:]
            raise ClientFailed(f"{self.name}: {problem}\n{text}") from problem
        finally:
            handle.close()
        return received.getvalue()

    def upload(self, route, name, content):
        self._perform(route, name, UPLOAD=1, READFUNCTION=io.BytesIO(content).read)

    def append(self, route, name, content):
        self._perform(route, name, UPLOAD=1, APPEND=1, READFUNCTION=io.BytesIO(content).read)

    def download(self, route, name):
        return self._perform(route, name)

    def resume(self, route, name, offset):
        return self._perform(route, name, RESUME_FROM_LARGE=offset)

    def listing(self, route):
        return self._perform(route, "", DIRLISTONLY=1).decode("utf-8", "surrogateescape").splitlines()


class Lftp:
    name = "lftp"

    def can(self, route):
        # lftp sends EPRT over IPv6 alone.
        return route.setup in (("EPSV", "PASV", "PORT") if route.family == 4 else ("EPSV", "EPRT"))

    def run(self, route, *commands, settings=None, is_verbose=False):
        """lftp's commands after the login; its standard output."""
        versions = {"1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2", "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3", None: "NORMAL"}
        values = {
            "cmd:fail-exit": "yes",
            "net:max-retries": "1",
            "net:timeout": "20",
            "net:persist-retries": "0",
            "xfer:clobber": "yes",
            "ftp:ssl-force": "yes",
            "ftp:ssl-protect-data": "yes",
            "ftp:ssl-protect-list": "yes",
            "ftp:passive-mode": "yes" if route.is_passive else "no",
            "ftp:prefer-epsv": "yes" if route.setup == "EPSV" else "no",
            "ssl:ca-file": route.gateway.identity.certificate,
            "ssl:verify-certificate": "yes",
            "ssl:priority": f"'{versions[route.tls]}'",
            "mirror:parallel-transfer-count": "1",
            **(settings or {}),
        }
        host = f"[{route.host}]" if ":" in route.host else route.host
        scheme = "ftps" if route.mode == "implicit" else "ftp"
        script = ["debug 5"] if is_verbose else []
        script += [f"set {name} {value}" for name, value in values.items()]
        script.append(f"open -u {self.quoted(route.user)},{self.quoted(route.secret)} {scheme}://{host}:{route.port}")
        script += [f"cd {self.quoted(route.backend.path(''))}", *commands]
        return _run(["lftp", "--norc", "-c", "\n".join(script)])

    @staticmethod
    def quoted(text):
        return "'" + str(text).replace("\\", "\\\\").replace("'", "\\'") + "'"

    def upload(self, route, name, content):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self.run(route, f"put {self.quoted(file.name)} -o {self.quoted(name)}")

    def append(self, route, name, content):
        """lftp has no APPE: it goes on with REST and STOR where a longer file is there."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.download(route, name) + content)
            file.flush()
            self.run(route, f"put -c {self.quoted(file.name)} -o {self.quoted(name)}")

    def download(self, route, name):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "whole"
            self.run(route, f"get {self.quoted(name)} -o {self.quoted(path)}")
            return path.read_bytes()

    def resume(self, route, name, offset):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part"
            path.write_bytes(b"?" * offset)
            self.run(route, f"get -c {self.quoted(name)} -o {self.quoted(path)}")
            return path.read_bytes()[offset:]

    def listing(self, route):
        return self.run(route, "cls -1 -a --all").decode("utf-8", "surrogateescape").splitlines()


class FTPS(ftplib.FTP_TLS):
    """Python's client, which lacks three things: implicit TLS, resumption on data connections, a choice of data commands."""

    def __init__(self, route, resumes):
        self.context_for_data = tls_context(route.gateway.identity, route.tls)
        super().__init__(context=self.context_for_data, timeout=TIMEOUT)
        self.route = route
        self.resumes = resumes
        self.encoding = "utf-8"
        self.is_resumed = []
        self._is_implicit = route.mode == "implicit"
        self._hides_socket = False

    def open(self):
        """Connected, protected, logged in."""
        self.connect(self.route.host, self.route.port)
        self.login(self.route.user, self.route.secret, secure=not self._is_implicit)
        self.prot_p()
        self.set_pasv(self.route.is_passive)
        return self

    # Implicit TLS: the socket is wrapped before the 220 is read.
    @property
    def sock(self):
        return self._socket

    @sock.setter
    def sock(self, value):
        if getattr(self, "_is_implicit", False) and value is not None and not hasattr(value, "context"):
            value = self.context.wrap_socket(value, server_hostname="localhost")
        self._socket = value

    def makepasv(self):
        if self.route.setup == "EPSV":
            return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())
        return super().makepasv()

    def sendport(self, host, port):
        return self.sendeprt(host, port) if self.route.setup == "EPRT" else super().sendport(host, port)

    def ntransfercmd(self, cmd, rest=None):
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            session = self.sock.session if self.resumes else None
            connection = self.context.wrap_socket(connection, server_hostname=self.route.host, session=session)
            self.is_resumed.append(connection.session_reused)
        return connection, size


class Ftplib:
    def __init__(self, resumes):
        self.resumes = resumes
        self.name = "ftplib-resuming" if resumes else "ftplib"

    def can(self, route):
        return route.family == 4 or route.setup in ("EPSV", "EPRT")

    def open(self, route):
        """A session of its own, to be used as a context manager."""
        return FTPS(route, self.resumes).open()

    def _do(self, route, work):
        try:
            with self.open(route) as ftp:
                result = work(ftp)
                if self.resumes:
                    assert all(ftp.is_resumed), f"data connections resumed: {ftp.is_resumed}"
                return result
        except (ftplib.Error, OSError, EOFError) as problem:
            raise ClientFailed(f"{self.name}: {problem!r}") from problem

    def upload(self, route, name, content):
        self._do(route, lambda ftp: ftp.storbinary(f"STOR {route.backend.path(name)}", io.BytesIO(content)))

    def append(self, route, name, content):
        self._do(route, lambda ftp: ftp.storbinary(f"APPE {route.backend.path(name)}", io.BytesIO(content)))

    def download(self, route, name):
        return self.resume(route, name, None)

    def resume(self, route, name, offset):
        pieces = []
        self._do(route, lambda ftp: ftp.retrbinary(f"RETR {route.backend.path(name)}", pieces.append, rest=offset))
        return b"".join(pieces)

    def listing(self, route):
        def names(ftp):
            ftp.cwd(route.backend.path(""))
            return ftp.nlst()

        return self._do(route, names)


curl = Curl()
newer_curl = NewerCurl()
lftp = Lftp()
ftplib_plain = Ftplib(resumes=False)
ftplib_resuming = Ftplib(resumes=True)
ALL = [curl, newer_curl, lftp, ftplib_plain, ftplib_resuming]


def some_bytes(count, seed=0):
    """Bytes that look random and can be made again."""
    block = bytes((index * 167 + seed * 59 + (index >> 8) * 13) & 0xFF for index in range(65521))
    return (block * (count // len(block) + 1))[:count]


def round_trip(client, route, name=None, content=None):
    """What everybody does: upload, look, download; each judged at the backend's own folder."""
    name = name or f"{client.name}-{os.urandom(6).hex()}"
    content = some_bytes(70_001, len(name)) if content is None else content
    file = route.backend.files / name
    client.upload(route, name, content)
    assert file.read_bytes() == content, "what arrived at the backend differs"
    assert name in [re.sub(r".*/", "", line) for line in client.listing(route)]
    assert client.download(route, name) == content, "what came back differs"
    file.unlink()
