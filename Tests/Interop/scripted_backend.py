"""A plain FTP server that plays any peer byte by byte.

As it is, it is a small server that behaves: one user, files in memory, passive and active, IPv4 and IPv6. A test changes what
it wants to be odd about:

    backend.on("FEAT", b"500 Never heard of it.\\r\\n")          bytes are sent as they are
    backend.on("EPSV", b"500 No.\\r\\n", times=1)                 once, then as before
    backend.on("RETR", retr)                                      or a function of (peer, argument)
    backend.greeting = b"220-Welcome\\r\\n 220 not the end\\r\\n220 end\\r\\n"
    backend.bytewise = True                                       every reply in single bytes
    backend.files["a"] = b"content"

    def retr(peer, argument):
        peer.send(b"150 Here it comes.\\r\\n")
        peer.open_data().sendall(b"half of")
        peer.wait(gate)                # a threading.Event that the test sets
        peer.reset_data()
        peer.send(b"226 Done, honestly.\\r\\n")

or writes the whole conversation:

    def script(peer):
        peer.send(b"220 hello\\r\\n")
        assert peer.read_line() == b"USER x\\r\\n"
        ...
    backend = ScriptedBackend(script=script)

What came is in `backend.commands` (all lines, in order, of all sessions) and `backend.sessions[0].received` (bytes). Each session
is a thread; an exception in one fails the test when the backend is stopped. Every wait is bounded.
"""

import os
import re
import socket
import struct
import threading
import time

TIMEOUT = 15.0


class ScriptedBackend:
    def __init__(self, host="127.0.0.1", script=None, timeout=TIMEOUT):
        self.host = host
        self.user = "user"
        self.password = "secret"
        self.greeting = b"220 Scripted backend.\r\n"
        self.bytewise = False
        self.files = {}
        # What the backend says it can do; a FEAT line each.
        self.features = ["EPSV", "EPRT", "MDTM", "SIZE", "REST STREAM", "UTF8"]
        self.sessions = []
        self.problems = []
        self.timeout = timeout
        self._script = script
        self._handlers = {}
        self._changed = threading.Condition()
        self._is_stopping = False
        self._commands = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=256)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop(check=kind is None)

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def path(self, name):
        return name

    # What it does

    def on(self, verb, action, times=None):
        """Answers `verb` with bytes, or by calling a function of (peer, argument: bytes); `times`: so often, then as before."""
        self._handlers.setdefault(verb.upper(), []).insert(0, [action, times])

    def _handler(self, verb):
        for entry in self._handlers.get(verb, []):
            if entry[1] is None:
                return entry[0]
            if entry[1] > 0:
                entry[1] -= 1
                return entry[0]
        return None

    # What it saw

    @property
    def commands(self):
        """Every line that came, without its end, as text."""
        with self._changed:
            return list(self._commands)

    def verbs(self):
        return [line.split(" ")[0].upper() for line in self.commands]

    def wait_for_command(self, prefix, timeout=10.0, count=1):
        """The first (or count-th) line that begins so, as soon as it is there."""

        def found():
            lines = [line for line in self._commands if line.upper().startswith(prefix.upper())]
            return lines[count - 1] if len(lines) >= count else None

        return self._wait(found, timeout, f"command {prefix}")

    def wait_for_session(self, count=1, timeout=10.0):
        """The count-th session's peer."""
        return self._wait(lambda: self.sessions[count - 1] if len(self.sessions) >= count else None, timeout, "a session")

    def _wait(self, found, timeout, what):
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                result = found()
                if result is not None:
                    return result
                left = deadline - time.monotonic()
                assert left > 0, f"the backend did not see {what} within {timeout} s; it saw {self._commands}"
                self._changed.wait(left)

    # Its life

    def close_listener(self):
        """New connections are refused from now on."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def stop(self, check=True):
        """Ends all sessions. check: what went wrong in one of them is raised here."""
        self._is_stopping = True
        self.close_listener()
        for peer in self.sessions:
            peer.abandon()
        for peer in self.sessions:
            peer.thread.join(5)
        if check and self.problems:
            raise self.problems[0]

    def _accept(self):
        while not self._is_stopping:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            peer = Peer(self, sock)
            with self._changed:
                self.sessions.append(peer)
                self._changed.notify_all()
            peer.thread.start()

    def _heard(self, line):
        with self._changed:
            self._commands.append(line)
            self._changed.notify_all()

    def _failed(self, problem):
        if not self._is_stopping:
            self.problems.append(problem)


class Peer:
    """One control connection as the backend sees it."""

    def __init__(self, backend, sock):
        self.backend = backend
        self.socket = sock
        self.address = sock.getpeername()
        self.received = b""
        self.ended = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._buffer = b""
        self._data_listener = None
        self._data_target = None
        self._data = None
        self._rest = 0
        self._rename_from = None
        self._user = None
        sock.settimeout(backend.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # Saying and hearing

    def send(self, data, bytewise=None):
        if self.backend.bytewise if bytewise is None else bytewise:
            for index in range(len(data)):
                self.socket.sendall(data[index : index + 1])
        else:
            self.socket.sendall(data)

    def read_line(self):
        """One line with its end; b"" when the gateway has ended the connection."""
        while b"\n" not in self._buffer:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                self.ended = "reset"
                return b""
            if not piece:
                self.ended = "fin"
                return b""
            self.received += piece
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.backend._heard(line.rstrip(b"\r").decode("utf-8", "surrogateescape"))
        return line + b"\n"

    def wait(self, event, timeout=None):
        """Until the test has set the threading.Event."""
        assert event.wait(timeout or self.backend.timeout), "the test did not set the event that the backend waits for"

    def close(self):
        """FIN on the control connection, and the end of the session."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def reset(self):
        """RST on the control connection."""
        _reset(self.socket)

    def abandon(self):
        for sock in (self._data, self._data_listener, self.socket):
            if sock:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                sock.close()

    # Data connections

    def listen(self, host=None):
        """A data port on the control connection's address, or another; its number."""
        if self._data_listener:
            self._data_listener.close()
        host = host or self.socket.getsockname()[0]
        self._data_listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._data_listener.settimeout(self.backend.timeout)
        self._data_target = None
        return self._data_listener.getsockname()[1]

    def open_data(self):
        """The data connection's socket: accepted, or dialled where PORT or EPRT came."""
        if self._data_target:
            self._data = socket.create_connection(self._data_target, self.backend.timeout)
            self._data_target = None
        else:
            assert self._data_listener, "no PASV, EPSV, PORT or EPRT came before the transfer"
            self._data, _ = self._data_listener.accept()
            self._data_listener.close()
            self._data_listener = None
        self._data.settimeout(self.backend.timeout)
        return self._data

    def read_data(self):
        """All of the data connection up to its end, and how it ended: "fin" or "reset"."""
        pieces = []
        while True:
            try:
                piece = self._data.recv(262144)
            except ConnectionResetError:
                return b"".join(pieces), "reset"
            if not piece:
                return b"".join(pieces), "fin"
            pieces.append(piece)

    def close_data(self):
        """FIN."""
        if self._data:
            self._data.close()
            self._data = None

    def reset_data(self):
        """RST."""
        if self._data:
            _reset(self._data)
            self._data = None

    # A server that behaves

    def _run(self):
        try:
            if self.backend._script:
                self.backend._script(self)
            else:
                self._serve()
        except Exception as problem:
            self.backend._failed(problem)
        finally:
            self.abandon()

    def _serve(self):
        greeting = self.backend.greeting
        if callable(greeting):
            greeting(self)
        else:
            self.send(greeting)
        while True:
            try:
                line = self.read_line()
                if not line:
                    return
                verb, _, argument = line.rstrip(b"\r\n").partition(b" ")
                self.handle(verb.decode("latin-1").upper(), argument)
            except (BrokenPipeError, ConnectionResetError):
                return
            except OSError:
                if self.socket.fileno() < 0:
                    return
                raise

    def handle(self, verb, argument=b""):
        """As the test has it with `on`, else as a server that behaves."""
        action = self.backend._handler(verb)
        if isinstance(action, bytes):
            self.send(action)
        elif action:
            action(self, argument)
        else:
            self.behave(verb, argument)

    def behave(self, verb, argument=b""):
        """What a server that behaves does; for handlers that only sometimes don't."""
        method = getattr(self, f"_do_{verb.lower()}", None)
        if method:
            method(argument)
        else:
            self.send(b"502 " + verb.encode() + b" is not known here.\r\n")

    def _do_user(self, argument):
        self._user = argument.decode("utf-8", "surrogateescape")
        self.send(b"331 Password, please.\r\n")

    def _do_pass(self, argument):
        is_right = (self._user, argument.decode("utf-8", "surrogateescape")) == (self.backend.user, self.backend.password)
        self.send(b"230 Welcome.\r\n" if is_right else b"530 Wrong.\r\n")

    def _do_syst(self, _):
        self.send(b"215 UNIX Type: L8\r\n")

    def _do_feat(self, _):
        lines = "".join(f" {feature}\r\n" for feature in self.backend.features)
        self.send(f"211-Features:\r\n{lines}211 End\r\n".encode())

    def _do_type(self, _):
        self.send(b"200 Type set.\r\n")

    _do_mode = _do_stru = _do_opts = _do_allo = _do_type

    def _do_noop(self, _):
        self.send(b"200 Nothing done.\r\n")

    def _do_stat(self, _):
        self.send(b"211-Status\r\n fine\r\n211 End\r\n")

    def _do_pwd(self, _):
        self.send(b'257 "/" is where you are.\r\n')

    def _do_cwd(self, _):
        self.send(b"250 There you are.\r\n")

    def _do_pasv(self, _):
        port = self.listen()
        host = self.socket.getsockname()[0].replace(".", ",")
        self.send(f"227 Entering passive mode ({host},{port // 256},{port % 256}).\r\n".encode())

    def _do_epsv(self, _):
        self.send(f"229 Entering extended passive mode (|||{self.listen()}|).\r\n".encode())

    def _do_port(self, argument):
        numbers = [int(number) for number in argument.split(b",")]
        self._data_target = ".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5]
        self.send(b"200 Noted.\r\n")

    def _do_eprt(self, argument):
        _, _, host, port, _ = argument.decode().split(argument.decode()[0])
        self._data_target = host, int(port)
        self.send(b"200 Noted.\r\n")

    def _do_rest(self, argument):
        self._rest = int(argument)
        self.send(b"350 Restarting there.\r\n")

    def _do_size(self, argument):
        content = self.backend.files.get(argument.decode("utf-8", "surrogateescape"))
        self.send(b"550 No such file.\r\n" if content is None else b"213 %d\r\n" % len(content))

    def _do_dele(self, argument):
        gone = self.backend.files.pop(argument.decode("utf-8", "surrogateescape"), None)
        self.send(b"550 No such file.\r\n" if gone is None else b"250 Gone.\r\n")

    def _do_retr(self, argument):
        content = self.backend.files.get(argument.decode("utf-8", "surrogateescape"))
        if content is None:
            return self.send(b"550 No such file.\r\n")
        self.serve_data(content[self._rest :])
        self._rest = 0

    def _do_nlst(self, _):
        self.serve_data("".join(f"{name}\r\n" for name in self.backend.files).encode("utf-8", "surrogateescape"))

    _do_list = _do_nlst

    def serve_data(self, content):
        self.send(b"150 Here it comes.\r\n")
        try:
            self.open_data().sendall(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_data()
            return self.send(b"426 You did not want it.\r\n")
        self.close_data()
        self.send(b"226 That was it.\r\n")

    def _do_stor(self, argument, append=False):
        name = argument.decode("utf-8", "surrogateescape")
        self.send(b"150 Let me have it.\r\n")
        self.open_data()
        content, ending = self.read_data()
        self.close_data()
        if ending == "reset":
            return self.send(b"426 You broke it off.\r\n")
        self.backend.files[name] = (self.backend.files.get(name, b"") if append else b"") + content
        self.send(b"226 I have it.\r\n")

    def _do_appe(self, argument):
        self._do_stor(argument, append=True)

    def _do_stou(self, _):
        name = f"unique-{os.urandom(4).hex()}".encode()
        self.send(b"150 FILE: " + name + b"\r\n")
        self.open_data()
        content, ending = self.read_data()
        self.close_data()
        if ending == "reset":
            return self.send(b"426 You broke it off.\r\n")
        self.backend.files[name.decode()] = content
        self.send(b"226 I have it.\r\n")

    def _do_abor(self, _):
        self.send(b"226 Nothing to abort.\r\n")

    def _do_quit(self, _):
        self.send(b"221 Goodbye.\r\n")
        self.close()


def _reset(sock):
    # Set first: the thread that shutdown wakes closes the socket as well.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        # Wakes a thread that waits in recv: while it does, close has no effect.
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    sock.close()


def port_of_227(reply):
    """The port that a 227 names: for handlers that send an address of their own making."""
    numbers = re.search(rb"\d+,\d+,\d+,\d+,(\d+),(\d+)", reply)
    return int(numbers[1]) * 256 + int(numbers[2])
