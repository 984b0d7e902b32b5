"""Active data connections: PORT and EPRT, over IPv4 and IPv6, explicit and implicit; each with any mode towards the backend."""

import socket

import clients
import pytest
from clients import Route, round_trip
from processes import free_port
from raw_client import Connection


def _routes():
    for client in clients.ALL:
        for server in ("vsftpd", "pyftpdlib"):
            for family, setup in ((4, "PORT"), (4, "EPRT"), (6, "EPRT")):
                for mode in ("explicit", "implicit"):
                    if client.can(Route(None, None, mode, family, setup)):
                        name = f"{client.name}-{server}-{mode}-ipv{family}-{setup}"
                        yield pytest.param(client, server, mode, family, setup, id=name)


@pytest.mark.parametrize("client,server,mode,family,setup", list(_routes()))
def test_list_upload_download(client, server, mode, family, setup, backends, gateways):
    backend = backends(server)
    round_trip(client, Route(gateways(backend), backend, mode, family, setup))


@pytest.mark.parametrize("backend_data", ["auto", "client", "passive", "active", "pasv", "epsv", "port", "eprt"])
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_every_client_mode_with_every_backend_mode(server, backend_data, backends, start_gateway, connect):
    backend = backends(server)
    gateway = start_gateway(backend, "--backend-data", backend_data)
    content = clients.some_bytes(50_000)
    client = connect(gateway, login=backend)
    for setup in ("PASV", "EPSV", "PORT", "EPRT"):
        path = backend.path(f"{backend_data}-{setup}")
        client.upload(path, content, setup)
        assert client.download(path, setup) == content
        client.command(f"DELE {path}", 250)
    client.quit()


@pytest.mark.parametrize(
    "backend_data,client_verb,backend_verb",
    [
        ("auto", "PASV", "PASV"),
        ("auto", "EPSV", "EPSV"),
        ("auto", "PORT", "PASV"),
        ("auto", "EPRT", "PASV"),
        ("client", "PORT", "PORT"),
        ("client", "EPRT", "EPRT"),
        ("client", "EPSV", "EPSV"),
        ("active", "PASV", "PORT"),
        ("eprt", "EPSV", "EPRT"),
        ("epsv", "PORT", "EPSV"),
    ],
)
def test_what_the_backend_is_asked_for(backend_data, client_verb, backend_verb, scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    client = connect(start_gateway(backend, "--backend-data", backend_data), login=backend)
    assert client.download("a", client_verb) == b"content"
    assert [verb for verb in backend.verbs() if verb in ("PASV", "EPSV", "PORT", "EPRT")] == [backend_verb]


def test_no_address_but_the_clients_own(backends, gateways, connect):
    """FTP bounce: CVE-1999-0017."""
    backend = backends("pyftpdlib")
    client = connect(gateways(backend), login=backend)
    for line in ("PORT 192,0,2,1,200,1", "PORT 127,0,0,2,200,1", "EPRT |1|192.0.2.1|50000|", "PORT 127,0,0,1,0,22"):
        client.command(line, 504)
    for line in ("PORT 1,2,3", "PORT", "EPRT |1|127.0.0.1|", "PORT 127,0,0,1,256,1"):
        client.command(line, 501)
    assert "(1" in client.command("EPRT |2|::1|50000|", 522).text


def test_the_gateways_own_ports_are_its_own_at_its_own_address_only(backends, start_gateway, connect):
    """A client elsewhere may well listen on a number that is a passive port here."""
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    gateway = start_gateway(backend)
    port = gateway.passive_ports()[0]
    client = connect(gateway, login=backend)
    client.command(f"EPRT |1|127.0.0.1|{port}|", 504)
    client.command(f"EPRT |1|127.0.0.1|{gateway.port()}|", 504)
    client.command(f"EPRT |1|127.0.0.1|{gateway.port(family=6)}|", 200)
    client = connect(gateway, login=backend, source=("127.0.0.2", 0))
    with socket.create_server(("127.0.0.2", port)) as listener:
        listener.settimeout(10)
        client.command(f"EPRT |1|127.0.0.2|{port}|", 200)
        client.command(f"RETR {backend.path('small')}", 125, 150)
        data = client.protect_data(Connection(listener.accept()[0]))
        assert data.read_all() == b"content"
        client.expect(226)


def test_a_client_that_does_not_listen_is_told_so(backends, gateways, connect):
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    client = connect(gateways(backend), login=backend)
    listener = client.active("EPRT")
    listener.close()
    client.send(f"RETR {backend.path('small')}\r\n".encode())
    client.expect(125, 150)
    reply = client.expect(425)
    assert f"127.0.0.1:{listener.port}" in reply.text
    assert client.download(backend.path("small")) == b"content", "the session goes on"


@pytest.mark.parametrize("count", [1, 4])
def test_active_connections_come_from_the_ports_that_are_named(count, backends, start_gateway, connect):
    backend = backends("vsftpd")
    backend.put("small", b"content")
    first = free_port()
    ports = range(first, first + count)
    gateway = start_gateway(backend, "--active-source-port", f"{first}-{ports[-1]}" if count > 1 else first)
    client = connect(gateway, login=backend)
    for setup in ("PORT", "EPRT", "PORT"):
        with client.open_data(setup, f"RETR {backend.path('small')}") as data:
            assert data.socket.getpeername()[1] in ports
            assert data.read_all() == b"content"
        client.expect(226)
