"""What clients are told to connect to: by address, name, interface and network, and through NAT with other port numbers."""

import ctypes
import os
import socket
import subprocess
import threading

import pytest
from processes import free_port
from raw_client import DataListener, RawClient, tls_context

# Linux: a network of one's own for the calling thread, and for what it starts.
_CLONE_NEWNET = 0x40000000


@pytest.mark.parametrize(
    "rule,source,told",
    [
        ("192.0.2.7", None, "192.0.2.7"),
        ("localhost", None, "127.0.0.1"),
        ("interface:lo", None, "127.0.0.1"),
        ("auto", None, "127.0.0.1"),
        ("192.0.2.7,127.0.0.2=192.0.2.8,127.0.0.0/8=192.0.2.9", "127.0.0.2", "192.0.2.8"),
        ("192.0.2.7,127.0.0.2=192.0.2.8,127.0.0.0/8=192.0.2.9", "127.0.0.3", "192.0.2.9"),
        ("192.0.2.7,127.0.0.2=192.0.2.8", "127.0.0.3", "192.0.2.7"),
        ("interface:lo,127.0.0.2=192.0.2.8", "127.0.0.2", "192.0.2.8"),
    ],
)
def test_the_address_in_a_227(rule, source, told, backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, "--passive-address", rule)
    client = connect(gateway, login=backend, source=(source, 0) if source else None)
    host, port = client.passive("PASV")
    assert (host, port in gateway.passive_ports()) == (told, True)
    # A 229 names a port alone.
    assert "192" not in client.command("EPSV", 229).text


class Forwarder:
    """What NAT does: one port leads to another."""

    def __init__(self, port, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        try:
            while True:
                client, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
                for pair in ((client, there), (there, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()
        except OSError:
            pass

    @staticmethod
    def _pass(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self._listener.close()


@pytest.mark.parametrize("way", ["offset", "map"])
def test_ports_that_are_forwarded_have_other_numbers(way, backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    ours, theirs = free_port(), free_port()
    flags = {"offset": ("--passive-port-offset", theirs - ours), "map": ("--passive-port-map", f"{ours}={theirs}")}[way]
    gateway = start_gateway(backend, "--passive-ports", ours, *flags)
    forwarder = Forwarder(theirs, ours)
    client = connect(gateway, login=backend)
    for setup in ("PASV", "EPSV"):
        path = backend.path(f"forwarded-{way}-{setup}")
        assert client.passive(setup)[1] == theirs
        client.upload(path, b"through another port", setup)
        assert client.download(path, setup) == b"through another port"
    forwarder.close()


def test_the_refusal_names_what_the_client_was_told_and_the_cure(backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    ours = free_port()
    gateway = start_gateway(
        backend, "--passive-ports", ours, "--passive-port-map", f"{ours}=61234", "--passive-address", "192.0.2.7",
        "--data-timeout", "1s",
    )  # fmt: skip
    client = connect(gateway, login=backend)
    client.passive("PASV")
    client.command(f"RETR {backend.path('small')}", 125, 150)
    text = client.expect(425).text
    assert "192.0.2.7:61234" in text and "--passive-address" in text
    assert gateway.wait_for_event("transfer", reason="client_never_connected")["detail"] == "192.0.2.7:61234"


def test_a_promise_that_nobody_keeps_ends_with_the_data_timeout(backends, start_gateway, connect):
    """Nothing is sent after PASV: another session of the same user gets the only port."""
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    gateway = start_gateway(backend, "--passive-ports", "0:1", "--data-timeout", "1s")
    first, second = connect(gateway, login=backend), connect(gateway, login=backend)
    first.passive("EPSV")
    # Whichever ends first, the promise or the wait for it: the next attempt is served.
    second.command("EPSV", 229, 425)
    assert second.download(backend.path("small")) == b"content"
    assert "did not connect" in first.command(f"RETR {backend.path('small')}", 425).text
    assert first.download(backend.path("small")) == b"content"


def test_exhaustion_is_counted(backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, "--passive-ports", "0:1", "--data-timeout", "2s")
    clients = [connect(gateway, login=backend) for _ in range(4)]
    for client in clients:
        client.send(b"EPSV\r\n")
    replies = [client.reply() for client in clients]
    assert {reply.code for reply in replies} <= {229, 425}
    assert sum(reply.code == 425 for reply in replies) >= 2
    assert gateway.wait_for_event("command.refused", reason="ports_exhausted")
    assert gateway.wait_for_event("passive_ports.exhausted")["ports"] == 1


@pytest.fixture
def own_network():
    """This thread, and what it starts, in a network of its own with nothing but the loopback and a link-local address."""
    if os.geteuid() != 0:
        pytest.skip("a network of one's own takes root")
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        if libc.unshare(_CLONE_NEWNET) != 0:
            pytest.skip(f"this machine gives no network of one's own: {os.strerror(ctypes.get_errno())}")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            subprocess.run(["ip", "address", "add", "fe80::1/64", "dev", "lo", "nodad"], check=True)
            yield
        finally:
            assert libc.setns(before.fileno(), 0) == 0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_at_a_link_local_address(version, own_network, start_backend, start_gateway, identity):
    """Its addresses have a scope, which no FTP command can name."""
    backend = start_backend("pyftpdlib")
    gateway = start_gateway(backend, "--listen", "[::]:0")
    client = RawClient(("fe80::1%lo", gateway.port()), context=tls_context(identity, version))
    client.expect(220)
    client.secure()
    client.login(backend.user, backend.password)
    client.upload(backend.path("file"), b"content", "EPSV")
    listener = DataListener("fe80::1%lo")
    client.command(f"EPRT |2|fe80::1|{listener.port}|", 200)
    client.command(f"RETR {backend.path('file')}", 125, 150)
    data = client.protect_data(listener.accept())
    assert data.read_all() == b"content"
    client.expect(226)
    # Another's link-local address is no address of the client's.
    client.command("EPRT |2|fe80::2|50000|", 504)
    client.command("PASV", 501)
    client.quit()
    client.close()
