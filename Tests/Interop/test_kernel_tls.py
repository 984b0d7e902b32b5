"""--ktls: the kernel encrypts long downloads where it can; where it cannot, all is as without it, unless that is refused.

What needs such a kernel is left out where there is none; `make test-ktls` boots one that can and runs all of it there.
"""

import ctypes
import errno
import re
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import clients
import pytest
from clients import Route, some_bytes
from gateway import StartFailed, binary
from processes import wait_until
from raw_client import Connection, Truncated

MIB = 1024 * 1024
LONG = some_bytes(5 * MIB + 17)
# The first of it is never the kernel's.
THRESHOLD = MIB
TCP_ULP = 31


def _kernel_can():
    """Asked as the gateway asks, and by other means."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except OSError as error:
            return error.errno == errno.ENOTCONN
    return True


on_such_a_kernel = pytest.mark.skipif(not _kernel_can(), reason="this kernel cannot encrypt: make test-ktls boots one that can")


def _downloads(gateway):
    """Of the metrics: by whom how many were encrypted."""
    with urllib.request.urlopen(f"http://{gateway.ready['admin']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {by: int(count) for by, count in re.findall(r'^ftpsgate_encrypted_downloads_total\{by="(\w+)"\} (\d+)$', text, re.M)}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("choice", ["auto", "on", "off"])
def test_every_choice_moves_the_same_bytes(choice, version, start_backend, start_gateway, scratch):
    backend = start_backend("vsftpd")
    if choice == "on" and not _kernel_can():
        with pytest.raises(StartFailed) as failure:
            start_gateway(backend, "--ktls", choice)
        assert failure.value.status == 64
        assert "--ktls on: this kernel does not encrypt for sockets" in failure.value.log
        return
    gateway = start_gateway(backend, "--ktls", choice, "--admin", "127.0.0.1:0")
    route = Route(gateway, backend, tls=version)
    backend.put("long", LONG)
    backend.put("short", b"short")
    for client in (clients.curl, clients.lftp):
        assert client.download(route, "long") == LONG
        assert client.download(route, "short") == b"short"
        client.upload(route, "back", LONG)
        assert (backend.files / "back").read_bytes() == LONG
    wait_until(lambda: len(gateway.events("transfer")) >= 6, what="every transfer is in the log")
    counts = _downloads(gateway)
    told = {name for name in ("ktls.present", "ktls.absent") if gateway.settled().events(name)}
    if choice == "off":
        assert counts == {} and told == set()
    elif _kernel_can():
        assert counts == {"kernel": 2, "gateway": counts["gateway"]} and told == {"ktls.present"}
    else:
        assert counts == {} and told == {"ktls.absent"}


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_check_says_whether_the_kernel_can(choice, scratch):
    command = [binary(), "check", "--backend", "127.0.0.1:21", "--state-directory", scratch, "--ktls", choice]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if choice == "auto" or _kernel_can():
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 64
        sentence = re.escape("this kernel does not encrypt for sockets (")
        assert re.fullmatch(rf"ftpsgate: --ktls on: {sentence}.*\); load its module with modprobe tls.*\n", done.stderr), (
            done.stderr
        )


# On a kernel that can.

SUITES = {
    "1.2": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    "1.3": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
}
RECORD = 16 * 1024
SIZES = [0, 1, RECORD - 1, RECORD, RECORD + 1, MIB - 1, MIB, MIB + 1, MIB + RECORD, 2 * MIB, 4 * MIB + 1, 9 * MIB + 4321]


@pytest.fixture
def start(start_gateway):
    """A gateway whose kernel encrypts, with its metrics."""

    def start(backend, *flags):
        defaults = ["--ktls", "on", "--admin", "127.0.0.1:0", "--workers", "1"]
        return start_gateway(backend, *defaults, *([] if "--rekey-bytes" in flags else ["--rekey-bytes", "64GiB"]), *flags)

    return start


def _kernel_connections():
    """How many have ever been encrypted by this kernel."""
    return int(re.search(r"^TlsTxSw\s+(\d+)$", Path("/proc/net/tls_stat").read_text(), re.M)[1])


def _announcing(scripted, content, *, announced=None, gate=None, first=None):
    """A backend that says how much comes, sends `first` bytes of it, and the rest once `gate` is set."""
    backend = scripted()

    def retr(peer, argument):
        size = len(content) if announced is None else announced
        peer.send(b"150 Here it comes (%d bytes).\r\n" % size if size else b"150 Here it comes.\r\n")
        data = peer.open_data()
        data.sendall(content[:first])
        if gate:
            peer.wait(gate)
        try:
            data.sendall(content[first or 0 :] if gate else b"")
        except OSError:
            # The transfer was cut.
            peer.close_data()
            return
        peer.close_data()
        peer.send(b"226 Done.\r\n")

    backend.on("RETR", retr)
    return backend


def _start_reading(client, name="a", count=3 * MIB):
    """A download of which so much has come: by then the kernel encrypts."""
    data = client.open_data("EPSV", f"RETR {name}")
    return data, data.read_exactly(count)


@on_such_a_kernel
@pytest.mark.parametrize(("version", "suite"), [(version, suite) for version in SUITES for suite in SUITES[version]])
def test_every_size_with_every_cipher(version, suite, start_backend, start, connect):
    backend = start_backend("vsftpd")
    gateway = start(backend, "--tls-ciphers" if version == "1.2" else "--tls-ciphersuites", suite)
    client = connect(gateway, login=backend, version=version)
    before, long_ones = _kernel_connections(), [size for size in SIZES if size >= THRESHOLD]
    for size in SIZES:
        content = some_bytes(size, size)
        backend.put("file", content)
        assert client.download(backend.path("file")) == content, f"{size} bytes"
    assert client.cipher == suite
    assert b"file" in client.download(backend.path(""), verb="LIST")
    assert _kernel_connections() - before == len(long_ones)
    assert _downloads(gateway) == {"kernel": len(long_ones), "gateway": len(SIZES) + 1 - len(long_ones)}
    sizes = [event["bytes"] for event in gateway.settled().events("transfer", command="RETR", code=226)]
    assert sizes == SIZES


@on_such_a_kernel
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_off_leaves_the_kernel_alone(version, start_backend, start_gateway, connect):
    backend = start_backend("vsftpd")
    backend.put("long", LONG)
    client = connect(start_gateway(backend, "--ktls", "off"), login=backend, version=version)
    before = _kernel_connections()
    assert client.download(backend.path("long")) == LONG
    assert _kernel_connections() == before


@on_such_a_kernel
def test_bytes_go_through_a_pipe(start_backend, start, connect):
    backend = start_backend("vsftpd")
    backend.put("long", LONG)

    def pipe_ends(gateway):
        return sum(str(one.readlink()).startswith("pipe:") for one in Path(f"/proc/{gateway.pid}/fd").iterdir())

    ends = []
    for choice in ("off", "on"):
        gateway = start(backend, "--ktls", choice)
        client = connect(gateway, login=backend)
        # One pipe, which is kept for the next transfer.
        for _ in range(2):
            assert client.download(backend.path("long")) == LONG
            ends.append(pipe_ends(gateway))
    assert ends == [ends[0], ends[0], ends[0] + 2, ends[0] + 2]


@on_such_a_kernel
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_others_are_served_beside_it(version, start_backend, start, connect):
    backend = start_backend("vsftpd")
    backend.put("long", LONG * 4)
    gateway = start(backend)
    first = connect(gateway, login=backend, version=version)
    data, begin = _start_reading(first, backend.path("long"))
    second = connect(gateway, login=backend, version=version)
    second.upload(backend.path("back"), LONG)
    assert (backend.files / "back").read_bytes() == LONG
    assert second.download(backend.path("long")) == LONG * 4
    assert b"back" in second.download(backend.path(""), verb="NLST")
    assert begin + data.read_all() == LONG * 4
    first.expect(226)
    assert _downloads(gateway)["kernel"] == 2


@on_such_a_kernel
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_reader_that_is_slow_gets_the_end(version, start_backend, start, connect):
    """The kernel has taken everything long before the client has: the last records, and close_notify, wait in it."""
    backend = start_backend("vsftpd")
    backend.put("long", LONG)
    gateway = start(backend)
    client = connect(gateway, login=backend, version=version)
    for pause in (0.0, 0.002, 0.01):
        address = client.passive()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.settimeout(20)
        sock.connect(address)
        data = Connection(sock)
        client.command(f"RETR {backend.path('long')}", 150)
        client.protect_data(data)
        content = b""
        while piece := data.read():
            content += piece
            time.sleep(pause)
        assert data.ended == "close_notify" and content == LONG
        client.expect(226)
        data.close()
    assert _downloads(gateway) == {"kernel": 3}


@on_such_a_kernel
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_backend_that_breaks_off(version, scripted, start, connect):
    gate = threading.Event()
    backend = scripted()

    def retr(peer, argument):
        peer.send(b"150 Here it comes (%d bytes).\r\n" % len(LONG))
        peer.open_data().sendall(LONG[: 4 * MIB])
        peer.wait(gate)
        peer.reset_data()
        peer.send(b"426 Broken.\r\n")

    backend.on("RETR", retr)
    gateway = start(backend)
    client = connect(gateway, login=backend, version=version)
    data, begin = _start_reading(client)
    gate.set()
    with pytest.raises(Truncated) as cut:
        data.read_all()
    assert LONG.startswith(begin + cut.value.received)
    client.expect(426)
    client.command("NOOP", 200)
    event = gateway.wait_for_event("transfer", code=426)
    assert len(begin) <= event["bytes"] <= 4 * MIB
    assert _downloads(gateway) == {"kernel": 1}


@on_such_a_kernel
@pytest.mark.parametrize("way", ["resets", "closes", "says close_notify", "aborts"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_that_has_enough(version, way, start_backend, start, connect):
    backend = start_backend("vsftpd")
    backend.put("long", LONG * 10)
    gateway = start(backend)
    client = connect(gateway, login=backend, version=version)
    data, _ = _start_reading(client, backend.path("long"))
    if way == "resets":
        data.reset()
    elif way == "closes":
        data.close()
    elif way == "says close_notify":
        data.close_notify()
        data.finish()
    else:
        client.send(b"ABOR\r\n")
    client.expect(426)
    if way == "aborts":
        client.expect(225, 226)
        with pytest.raises(Truncated):
            data.read_all()
    client.command("NOOP", 200)
    event = gateway.wait_for_event("transfer")
    assert event["reason"] == ("aborted" if way == "aborts" else "client_closed_data")
    assert 3 * MIB <= event["bytes"] < len(LONG) * 10
    backend.put("after", b"after")
    assert client.download(backend.path("after")) == b"after"
    assert _downloads(gateway) == {"kernel": 1, "gateway": 1}


class _OpenSSLClient:
    """OpenSSL's own client on a connected socket: Python's cannot change keys."""

    REQUESTED = 1

    def __init__(self, sock):
        sock.settimeout(None)
        sock.setblocking(True)
        self._socket, self._ssl = sock, ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(self._ssl, name).restype = ctypes.c_void_p
        for name, count in (("SSL_CTX_new", 1), ("SSL_new", 1), ("SSL_connect", 1), ("SSL_do_handshake", 1)):
            getattr(self._ssl, name).argtypes = [ctypes.c_void_p] * count
        for name in ("SSL_set_fd", "SSL_key_update", "SSL_get_error"):
            getattr(self._ssl, name).argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._ssl.SSL_read.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        self._pointer = self._ssl.SSL_new(self._ssl.SSL_CTX_new(self._ssl.TLS_client_method()))
        self._ssl.SSL_set_fd(self._pointer, sock.fileno())
        assert self._ssl.SSL_connect(self._pointer) == 1

    def change_keys(self, and_ask):
        assert self._ssl.SSL_key_update(self._pointer, self.REQUESTED if and_ask else 0) == 1
        assert self._ssl.SSL_do_handshake(self._pointer) == 1

    def read(self, count=None):
        """So many bytes, or all up to the end, and whether that was in order."""
        content, buffer = bytearray(), ctypes.create_string_buffer(65536)
        while count is None or len(content) < count:
            wanted = len(buffer) if count is None else min(len(buffer), count - len(content))
            got = self._ssl.SSL_read(self._pointer, buffer, wanted)
            if got <= 0:
                return bytes(content), self._ssl.SSL_get_error(self._pointer, got) == 6
            content += buffer.raw[:got]
        return bytes(content), None


@on_such_a_kernel
@pytest.mark.parametrize("asks", [False, True], ids=["changes its own", "asks for ours"])
@pytest.mark.parametrize("when", ["early", "late"])
def test_a_client_that_changes_keys(when, asks, scripted, start, connect):
    """Its own are none of the kernel's. Ours cannot be changed once the kernel has them; before that all is as ever."""
    gate = threading.Event()
    content = LONG * 3
    first = 100_000 if when == "early" else 4 * MIB
    backend = _announcing(scripted, content, gate=gate, first=first)
    gateway = start(backend)
    client = connect(gateway, login=backend, version="1.3")
    address = client.passive()
    sock = socket.create_connection(address, 20)
    client.command("RETR a", 150)
    data = _OpenSSLClient(sock)
    begin, _ = data.read(first)
    data.change_keys(asks)
    if asks and when == "late":
        reply = client.expect(426)
        assert "new TLS keys were asked for" in reply.text
        rest, is_whole = data.read()
        assert not is_whole and content.startswith(begin + rest)
        gate.set()
        event = gateway.wait_for_event("transfer")
        assert (event["reason"], event["code"]) == ("ktls_key_update", 426)
    else:
        # The gateway has heard of it before it sends more.
        client.command("NOOP", 200)
        gate.set()
        rest, is_whole = data.read()
        assert is_whole and begin + rest == content
        client.expect(226)
        assert _downloads(gateway) == {"gateway" if asks else "kernel": 1}
    sock.close()
    client.command("NOOP", 200)


@on_such_a_kernel
def test_what_would_need_new_keys_is_not_the_kernels(scripted, start, connect):
    """--rekey-bytes is a promise that the kernel cannot keep."""
    for announced, version, by in [
        (len(LONG), "1.3", "gateway"),
        (0, "1.3", "gateway"),
        (len(LONG), "1.2", "kernel"),
        (0, "1.2", "kernel"),
    ]:
        backend = _announcing(scripted, LONG, announced=announced)
        gateway = start(backend, "--rekey-bytes", "2MiB")
        client = connect(gateway, login=backend, version=version)
        assert client.download("a") == LONG
        assert _downloads(gateway) == {by: 1}, (announced, version)


@on_such_a_kernel
def test_a_file_that_outgrows_what_was_announced_is_cut_in_time(scripted, start, connect):
    backend = _announcing(scripted, LONG, announced=2 * MIB)
    gateway = start(backend, "--rekey-bytes", "3MiB")
    client = connect(gateway, login=backend, version="1.3")
    data = client.open_data("EPSV", "RETR a")
    with pytest.raises(Truncated) as cut:
        data.read_all()
    assert LONG.startswith(cut.value.received) and len(cut.value.received) <= 3 * MIB
    assert "more came than was announced" in client.expect(426).text
    assert gateway.wait_for_event("transfer")["reason"] == "ktls_keys_used_up"
    client.command("NOOP", 200)


@on_such_a_kernel
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_reader_that_stalls_is_cut(version, start_backend, start, connect):
    backend = start_backend("vsftpd")
    backend.put("long", LONG * 20)
    gateway = start(backend, "--data-timeout", "2s")
    client = connect(gateway, login=backend, version=version)
    _data, _ = _start_reading(client, backend.path("long"))
    assert "stalled" in client.expect(426).text
    client.command("NOOP", 200)
    assert gateway.wait_for_event("transfer")["reason"] == "data_timeout"
    assert _downloads(gateway) == {"kernel": 1}


@on_such_a_kernel
def test_a_drain_waits_for_it(scripted, start, connect):
    gate = threading.Event()
    backend = _announcing(scripted, LONG, gate=gate, first=4 * MIB)
    gateway = start(backend)
    client = connect(gateway, login=backend)
    data, begin = _start_reading(client)
    gateway.signal(15)
    gateway.wait_for_event("drain.started")
    gate.set()
    assert begin + data.read_all() == LONG
    client.expect(226)
    client.close()
    assert gateway.wait(15) == 0
