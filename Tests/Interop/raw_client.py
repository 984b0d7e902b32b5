"""An FTP client that does exactly what a test says, on the level of bytes, TLS records and TCP segments.

    with RawClient(gateway.address(), context=tls_context(identity)) as client:
        client.expect(220)
        client.secure()                              # AUTH TLS, handshake, PBSZ 0, PROT P
        client.login(backend.user, backend.password)
        data = client.open_data("EPSV", "RETR files/a.txt")      # connected and handshaken, the 150 is read
        content = data.read_all()                    # raises Truncated where no close_notify comes
        assert client.reply().code == 226

Lower down:

    client.send(b"NOOP\\r\\nNOOP\\r\\n")                pipelined, one TLS record
    client.send_bytewise(b"NOOP\\r\\n")                one record and one segment for each byte
    client.send_below_tls(b"junk")                   past TLS, into the socket
    client.send(b"...", urgent=True)                 as TCP urgent data (its last byte)
    data.close_notify(); data.finish(); data.close() in order: close_notify, FIN, close
    data.finish(); data.reset()                      FIN without close_notify; RST

TLS runs over memory buffers (`ssl.MemoryBIO`), so a test can hold back or cut what OpenSSL makes. Every wait is bounded by
`timeout`. Data connections resume the control connection's TLS session, unless told `resume=False`.
"""

import re
import socket
import ssl
import struct
from dataclasses import dataclass

DEFAULT_TIMEOUT = 10.0


class Truncated(Exception):
    """The peer ended without close_notify. `received` is what came before."""

    def __init__(self, received=b""):
        super().__init__(f"the connection ended without close_notify after {len(received)} bytes")
        self.received = received


def tls_context(identity=None, version=None, *, minimum=None, maximum=None, ciphers=None, certificate=None, alpn=None):
    """A client's context that trusts `identity` alone (none: anything) and takes an end without close_notify for what it is.

    version: "1.2" or "1.3" alone. certificate: an Identity to show when asked.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Python forgives a missing close_notify unless told otherwise.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    context.minimum_version = versions.get(minimum or version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = versions.get(maximum or version, ssl.TLSVersion.MAXIMUM_SUPPORTED)
    if identity:
        context.load_verify_locations(identity.certificate)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if ciphers:
        context.set_ciphers(ciphers)
    if certificate:
        context.load_cert_chain(certificate.certificate, certificate.key)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class Connection:
    """A TCP connection that may turn to TLS (as its client) at any time."""

    def __init__(self, sock, timeout=DEFAULT_TIMEOUT):
        self.socket = sock
        self.timeout = timeout
        self.tls = None
        self._incoming = None
        self._outgoing = None
        self._buffer = b""
        # "close_notify", "fin" or "reset" once the peer has ended.
        self.ended = None
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def dial(cls, address, timeout=DEFAULT_TIMEOUT, source=None):
        return cls(socket.create_connection(address, timeout, source_address=source), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # TLS

    def start_tls(self, context, *, session=None, name="localhost", bytewise=False):
        """The handshake, to its end. session: one to resume (`connection.session`)."""
        self.begin_tls(context, session=session, name=name, bytewise=bytewise)
        self._run(self.tls.do_handshake)

    def begin_tls(self, context, *, session=None, name="localhost", bytewise=False):
        """Sends the ClientHello and does not wait for an answer; `finish_handshake` goes on."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = self._outgoing.read()
        if bytewise:
            self._send_each_byte(hello)
        else:
            self.socket.sendall(hello)

    def finish_handshake(self):
        self._run(self.tls.do_handshake)

    @property
    def session(self):
        """The TLS session to resume: with TLS 1.3 the newest ticket that a read has brought."""
        return self.tls.session

    @property
    def is_resumed(self):
        return self.tls.session_reused

    @property
    def version(self):
        return self.tls.version()

    @property
    def cipher(self):
        return self.tls.cipher()[0]

    def close_notify(self, wait=False):
        """Sends close_notify. wait: reads until the peer's has come; what came before it is lost."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass
        except ssl.SSLError:
            # Data of the peer's stands in the way of its close_notify; ours is made all the same.
            pass
        self._flush()
        if wait:
            try:
                while self.read():
                    pass
            except (Truncated, OSError):
                pass

    def stop_tls(self, behind=b""):
        """Ends TLS on both sides and goes on in the clear: close_notify, in one segment with `behind`, then the peer's."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        self.socket.sendall(self._outgoing.read() + behind)
        while True:
            try:
                self.tls.unwrap()
                break
            except ssl.SSLWantReadError:
                self._fill()
        self._buffer = self._incoming.read()
        self.tls = None

    # Sending

    def send(self, data, urgent=False):
        """Through TLS where it is on, in as few records as possible."""
        if self.tls:
            view = memoryview(data)
            while view:
                count = self._run(lambda: self.tls.write(view))  # noqa: B023
                view = view[count:]
        elif urgent:
            self.socket.send(data, socket.MSG_OOB)
        else:
            self.socket.sendall(data)

    def send_bytewise(self, data):
        """Each byte in a TCP segment, and in a TLS record, of its own."""
        for index in range(len(data)):
            self.send(data[index : index + 1])

    def send_below_tls(self, data, bytewise=False):
        """Into the socket, past TLS."""
        if bytewise:
            self._send_each_byte(data)
        else:
            self.socket.sendall(data)

    def encrypt(self, data):
        """The TLS records of `data`, not sent: to be cut, mixed, or sent with `send_below_tls`."""
        self.tls.write(data)
        return self._outgoing.read()

    # Reading

    def read(self, limit=65536):
        """Some bytes; b"" at the end in order (close_notify, or FIN in the clear). Raises Truncated, ConnectionResetError."""
        if self._buffer:
            data, self._buffer = self._buffer[:limit], self._buffer[limit:]
            return data
        if self.ended in ("close_notify", "fin"):
            return b""
        try:
            data = self._run(lambda: self.tls.read(limit)) if self.tls else self.socket.recv(limit)
        except (ConnectionResetError, BrokenPipeError):
            self.ended = "reset"
            raise
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLEOFError as problem:
            self.ended = "fin"
            raise Truncated() from problem
        if not data:
            self.ended = "close_notify" if self.tls else "fin"
        return data

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.read(count - len(data))
            if not piece:
                raise EOFError(f"{len(data)} of {count} bytes came")
            data += piece
        return data

    def read_all(self):
        """Everything up to the end in order. Raises Truncated, with what came, where it is not in order."""
        pieces = []
        while True:
            try:
                piece = self.read()
            except (Truncated, ConnectionResetError) as problem:
                raise Truncated(b"".join(pieces)) from problem
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def read_line(self):
        """One line with its end; b"" at the end in order."""
        while b"\n" not in self._buffer:
            held, self._buffer = self._buffer, b""
            try:
                piece = self.read()
            finally:
                self._buffer = held
            if not piece:
                if held:
                    raise EOFError(f"ended within the line {held!r}")
                return b""
            self._buffer = held + piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def receives_nothing(self, seconds):
        """Whether nothing at all comes for so long."""
        if self._buffer:
            return False
        self.socket.settimeout(seconds)
        try:
            if self.tls and self._incoming.pending:
                return False
            return self.socket.recv(1, socket.MSG_PEEK) is None
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(self.timeout)

    # Ends

    def finish(self):
        """FIN: nothing more is sent. Without a `close_notify` before it, this truncates."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """RST, at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        """Closes the socket: FIN, or RST where unread bytes are in it."""
        self.socket.close()

    # Beneath

    def _run(self, operation):
        while True:
            try:
                result = operation()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                try:
                    self._flush()
                except OSError:
                    pass
                raise

    def _flush(self):
        data = self._outgoing.read()
        if data:
            self.socket.sendall(data)

    def _fill(self):
        data = self.socket.recv(262144)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _send_each_byte(self, data):
        for index in range(len(data)):
            self.socket.sendall(data[index : index + 1])


@dataclass(frozen=True)
class Reply:
    code: int
    # All of it, byte by byte, line ends included.
    raw: bytes

    @property
    def text(self):
        return self.raw.decode("utf-8", "replace").rstrip("\r\n")

    @property
    def lines(self):
        return self.raw.splitlines()

    def __str__(self):
        return self.text


class RawClient(Connection):
    """A control connection."""

    def __init__(
        self, address, *, context=None, implicit=False, timeout=DEFAULT_TIMEOUT, source=None, session=None, bytewise=False
    ):
        """context: for TLS on control and data. implicit: TLS at once. session: a TLS session to resume at once."""
        super().__init__(socket.create_connection(address, timeout, source_address=source), timeout)
        self.host = address[0]
        self.context = context or tls_context()
        self.protects_data = False
        if implicit:
            self.start_tls(self.context, session=session, bytewise=bytewise)
            self.protects_data = True

    # Commands and replies

    def reply(self):
        """The next reply; b"" as its raw bytes and code 0 where the connection ends in order."""
        first = self.read_line()
        if not first:
            return Reply(0, b"")
        raw = first
        if re.match(rb"\d{3}-", first):
            end = re.compile(rb"%s( |\r?\n)" % first[:3])
            while True:
                line = self.read_line()
                assert line, f"the connection ended within the reply {raw!r}"
                raw += line
                if end.match(line):
                    break
        return Reply(int(first[:3]), raw)

    def expect(self, *codes):
        """The next reply, which must have one of these codes."""
        reply = self.reply()
        assert reply.code in codes, f"expected {codes}, got: {reply.raw!r}"
        return reply

    def command(self, line, *codes):
        """Sends the line (str or bytes, without its end) and gives the reply, which must have one of the codes that are named."""
        self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.expect(*codes) if codes else self.reply()

    def secure(self, *, session=None, name="localhost", mechanism="TLS", protect=True):
        """AUTH and the handshake, then PBSZ 0 and PROT P unless told otherwise."""
        self.command(f"AUTH {mechanism}", 234)
        self.start_tls(self.context, session=session, name=name)
        if protect:
            self.protect()

    def protect(self):
        self.command("PBSZ 0", 200)
        self.command("PROT P", 200)
        self.protects_data = True

    def login(self, user, password, binary=True):
        """USER and PASS, and TYPE I: some servers change line ends without it."""
        reply = self.command(f"USER {user}", 230, 331)
        if reply.code == 331:
            reply = self.command(f"PASS {password}", 230)
        if binary:
            self.command("TYPE I", 200)
        return reply

    def quit(self):
        """QUIT, and the connection's end in order."""
        reply = self.command("QUIT", 221)
        assert self.read() == b"", "something follows the 221"
        return reply

    # Data connections

    def passive(self, verb="EPSV"):
        """Sends PASV or EPSV, and gives the address that the reply names."""
        reply = self.command(verb, 229 if verb == "EPSV" else 227)
        if verb == "EPSV":
            return self.host, int(re.search(r"\|\|\|(\d+)\|", reply.text)[1])
        numbers = [int(number) for number in re.search(r"(\d+,){5}\d+", reply.text)[0].split(",")]
        return ".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5]

    def active(self, verb="EPRT", source_host=None):
        """Listens, tells PORT or EPRT where, and gives the listener, whose `accept` is a Connection."""
        host = source_host or self.socket.getsockname()[0]
        listener = DataListener(host, self.timeout)
        port = listener.port
        if verb == "PORT":
            self.command(f"PORT {host.replace('.', ',')},{port // 256},{port % 256}", 200)
        else:
            self.command(f"EPRT |{2 if ':' in host else 1}|{host}|{port}|", 200)
        return listener

    def dial_data(self, address, *, protect=None, resume=True, context=None, session=None, source=None):
        """A data connection to an address that `passive` gave, handshaken where data is protected."""
        data = Connection.dial(address, self.timeout, source)
        return self.protect_data(data, protect=protect, resume=resume, context=context, session=session)

    def protect_data(self, data, *, protect=None, resume=True, context=None, session=None):
        if self.protects_data if protect is None else protect:
            if resume and session is None and self.tls:
                session = self.session
            data.start_tls(context or self.context, session=session)
        return data

    def open_data(self, setup, transfer, *, resume=True):
        """The usual order of things: `setup` (PASV, EPSV, PORT, EPRT), the transfer command, connection, 150, handshake."""
        if setup in ("PASV", "EPSV"):
            data = Connection.dial(self.passive(setup), self.timeout)
            self.command(transfer, 125, 150)
        else:
            listener = self.active(setup)
            self.command(transfer, 125, 150)
            data = listener.accept()
        return self.protect_data(data, resume=resume)

    def download(self, path, setup="EPSV", verb="RETR", resume=True):
        """The content, which came in order and was followed by a 226."""
        with self.open_data(setup, f"{verb} {path}", resume=resume) as data:
            content = data.read_all()
        self.expect(226, 250)
        return content

    def upload(self, path, content, setup="EPSV", verb="STOR", resume=True):
        """Sends it all, ends in order, and reads the 226."""
        with self.open_data(setup, f"{verb} {path}".rstrip(), resume=resume) as data:
            data.send(content)
            if data.tls:
                data.close_notify()
            data.finish()
            return self.expect(226, 250)


class DataListener:
    """Where an active data connection comes to; used up by one `accept`."""

    def __init__(self, host, timeout=DEFAULT_TIMEOUT):
        self.host = host
        # A link-local address brings its scope: fe80::1%lo.
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self._socket = socket.create_server(address, family=family)
        self._socket.settimeout(timeout)
        self._timeout = timeout
        self.port = self._socket.getsockname()[1]

    def accept(self):
        sock, _ = self._socket.accept()
        self._socket.close()
        return Connection(sock, self._timeout)

    def close(self):
        self._socket.close()
