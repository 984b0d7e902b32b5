"""A backend that is not there, or goes away: 421 with a reason, in order, and the next client is served again."""

import socket

import clients
import pytest
from backends import PASSWORD
from clients import ClientFailed, Route
from processes import free_port


class _Nobody:
    """An address where nobody listens."""

    def __init__(self):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.user, self.password = "user", PASSWORD

    def path(self, name):
        return f"/{name}"


@pytest.mark.parametrize("mode", ["explicit", "implicit"])
@pytest.mark.parametrize("client", clients.ALL, ids=lambda client: client.name)
def test_clients_are_told(client, mode, start_gateway):
    nobody = _Nobody()
    route = Route(start_gateway(nobody), nobody, mode)
    # What they make of a 421 differs; that they have read it, they show when asked to be talkative.
    with pytest.raises(ClientFailed, match="421 Backend is not available: Connection refused"):
        if client is clients.curl:
            client.run(route, "--verbose")
        elif client is clients.lftp:
            client.run(route, "cls", is_verbose=True)
        else:
            client.listing(route)


def test_the_421_names_the_reason(start_gateway, connect):
    nobody = _Nobody()
    gateway = start_gateway(nobody)
    client = connect(gateway, protect=False)
    # The backend is dialled when TLS is up: the answer may come before the first command.
    client.send(b"USER user\r\n")
    reply = client.expect(421)
    assert "refused" in reply.text.lower(), reply
    assert client.read() == b"", "close_notify follows"
    event = gateway.wait_for_event("session.closed")
    assert event["reason"] == "backend_unavailable"
    assert nobody.address in gateway.settled().log


def test_a_backend_that_says_nothing(start_gateway, connect):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        # The one place in the queue is taken: no connection to it comes about.
        address = silent.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)
            gateway = start_gateway(f"127.0.0.1:{address[1]}", "--connect-timeout", "500ms")
            client = connect(gateway, protect=False)
            client.send(b"USER user\r\n")
            assert "421" in client.expect(421).text
            assert gateway.wait_for_event("session.closed")["reason"] == "backend_connect_timeout"


def test_a_backend_that_goes_away_and_comes_back(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    backend.wait_for_session().reset()
    assert "Backend" in client.expect(421).text
    assert client.read() == b""
    again = connect(gateway, login=backend)
    again.command("PWD", 257)
    again.quit()


def test_a_backend_that_refuses_with_a_reason(scripted, start_gateway, connect):
    backend = scripted()
    backend.greeting = b"421 Too many users, try later.\r\n"
    client = connect(start_gateway(backend), protect=False)
    client.send(b"USER user\r\n")
    assert "Too many users" in client.expect(421).text


def test_the_next_backend_takes_over(backends, start_gateway, connect):
    nobody, backend = _Nobody(), backends("pyftpdlib")
    gateway = start_gateway(nobody, "--backend", nobody.address, "--backend", backend.address)
    client = connect(gateway, login=backend)
    client.command("PWD", 257)
    client.quit()
