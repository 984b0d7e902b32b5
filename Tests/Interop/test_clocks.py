"""Every wait has a clock, and every clock its own reply and its own reason in the log (each one shortened by its flag)."""

import socket
import threading

import pytest
from raw_client import Connection, Truncated


def _ends(client, gateway, code, reason):
    """The session ends with this reply, close_notify, and this reason."""
    text = client.expect(code).text
    assert client.read() == b"" and client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == reason
    return text


def test_tls_handshake(scripted, start_gateway, connect):
    gateway = start_gateway(scripted(), "--handshake-timeout", "300ms")
    client = connect(gateway, secure=False)
    client.command("AUTH TLS", 234)
    assert client.read() == b"" and client.ended == "fin", "nothing is said in the clear"
    assert gateway.wait_for_event("session.closed")["reason"] == "handshake_timeout"


def test_login(scripted, start_gateway, connect):
    """However busy the client is without logging in."""
    backend = scripted()
    gateway = start_gateway(backend, "--login-timeout", "1500ms")
    client = connect(gateway)
    client.command("USER user", 331)
    assert "No login in time" in _ends(client, gateway, 421, "login_timeout")


def test_idle(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--idle-timeout", "1s")
    assert "Idle" in _ends(connect(gateway, login=backend), gateway, 421, "idle_timeout")


def test_connecting_and_the_greeting(scripted, start_gateway, connect):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        address = silent.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)
            gateway = start_gateway(f"127.0.0.1:{address[1]}", "--connect-timeout", "400ms")
            client = connect(gateway, protect=False)
            client.send(b"USER user\r\n")
            assert "no answer in time" in _ends(client, gateway, 421, "backend_connect_timeout")


def test_a_reply(scripted, start_gateway, connect):
    backend = scripted()
    backend.on("PWD", lambda peer, _: None)
    gateway = start_gateway(backend, "--reply-timeout", "1s")
    client = connect(gateway, login=backend)
    client.send(b"PWD\r\n")
    assert "did not answer" in _ends(client, gateway, 421, "backend_reply_timeout")


def test_the_reply_behind_the_data(scripted, start_gateway, connect):
    backend = scripted()
    gate = threading.Event()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"content")
        peer.close_data()
        peer.wait(gate)

    backend.on("RETR", retr)
    gateway = start_gateway(backend, "--reply-timeout", "2s", "--idle-timeout", "1s")
    client = connect(gateway, login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_all() == b"content"
    _ends(client, gateway, 421, "backend_reply_timeout")
    gate.set()


def test_a_data_connection_that_never_comes(scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    gateway = start_gateway(backend, "--data-timeout", "2s")
    client = connect(gateway, login=backend)
    host, port = client.passive()
    client.command("RETR a", 150)
    cure = "(A firewall or NAT on the way; operator: open or forward that port, or --passive-address.)"
    told = f"425 Data connection not opened: client did not connect to {host}:{port}. {cure}"
    assert client.expect(425).text == told
    assert gateway.wait_for_event("transfer")["reason"] == "client_never_connected"
    assert client.download("a") == b"content", "the session goes on"


@pytest.mark.parametrize("verb", ["RETR", "STOR"])
def test_a_transfer_in_which_nothing_moves(verb, scripted, start_gateway, connect):
    backend = scripted()
    gate = threading.Event()

    def transfer(peer, _):
        peer.send(b"150 Here\r\n")
        data = peer.open_data()
        if verb == "RETR":
            data.sendall(b"some bytes")
        peer.wait(gate)
        peer.close_data()
        peer.send(b"426 Broken\r\n")

    backend.on(verb, transfer)
    gateway = start_gateway(backend, "--data-timeout", "2s", "--idle-timeout", "1s")
    client = connect(gateway, login=backend)
    data = client.open_data("EPSV", f"{verb} a")
    if verb == "RETR":
        assert data.read_exactly(10) == b"some bytes"
    else:
        data.send(b"some bytes")
    assert "stalled" in client.expect(426).text
    gate.set()
    assert gateway.wait_for_event("transfer")["reason"] == "data_timeout"
    with pytest.raises((Truncated, ConnectionResetError)):
        data.read_all()


def test_a_handshake_on_the_data_connection(scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    gateway = start_gateway(backend, "--handshake-timeout", "1500ms")
    client = connect(gateway, login=backend)
    address = client.passive()
    client.command("RETR a", 150)
    with Connection.dial(address) as data:
        data.begin_tls(client.context)
        assert "TLS failed" in client.expect(522).text
    assert gateway.wait_for_event("transfer")["reason"] == "handshake_timeout"
    assert client.download("a") == b"content"


def test_a_goodbye_that_the_backend_does_not_say(scripted, start_gateway, connect):
    backend = scripted()
    backend.on("QUIT", lambda peer, _: None)
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    client.send(b"QUIT\r\n")
    assert _ends(client, gateway, 221, "client_quit") == "221 Goodbye."
