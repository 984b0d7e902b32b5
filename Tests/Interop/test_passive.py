"""Passive data connections: PASV and EPSV, over IPv4 and IPv6, explicit and implicit, with real clients and servers."""

import contextlib
import socket

import clients
import pytest
from clients import Route, round_trip
from gateway import StartFailed


def _routes():
    for client in clients.ALL:
        for server in ("vsftpd", "pyftpdlib"):
            for family, setup in ((4, "PASV"), (4, "EPSV"), (6, "EPSV")):
                for mode in ("explicit", "implicit"):
                    if client.can(Route(None, None, mode, family, setup)):
                        name = f"{client.name}-{server}-{mode}-ipv{family}-{setup}"
                        yield pytest.param(client, server, mode, family, setup, id=name)


@pytest.mark.parametrize("client,server,mode,family,setup", list(_routes()))
def test_list_upload_download(client, server, mode, family, setup, backends, gateways):
    backend = backends(server)
    round_trip(client, Route(gateways(backend), backend, mode, family, setup))


def test_the_ports_are_the_operators(backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, "--passive-ports", "0:3")
    ports = set(gateway.passive_ports())
    assert len(ports) == 3
    client = connect(gateway, login=backend)
    for _ in range(10):
        assert client.passive("EPSV")[1] in ports
        host, port = client.passive("PASV")
        assert (host, port in ports) == ("127.0.0.1", True)


def test_the_address_is_the_operators(backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, "--passive-address", "192.0.2.7")
    client = connect(gateway, login=backend)
    assert client.passive("PASV")[0] == "192.0.2.7"


def test_pasv_over_ipv6_names_the_way_out(backends, gateways, connect):
    backend = backends("pyftpdlib")
    client = connect(gateways(backend), family=6, login=backend)
    assert "EPSV" in client.command("PASV", 501).text


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_a_stranger_gets_nothing_and_spoils_nothing(server, backends, gateways, connect):
    """From another address of this machine; the client itself is served afterwards."""
    backend = backends(server)
    backend.put("mine", b"mine alone")
    client = connect(gateways(backend), login=backend)
    address = client.passive("EPSV")
    # The RST may be quicker than connect.
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(address, 5, source_address=("127.0.0.2", 0)) as stranger,
    ):
        stranger.recv(1)
    data = client.dial_data(address, protect=False)
    client.send(f"RETR {backend.path('mine')}\r\n".encode())
    client.expect(125, 150)
    client.protect_data(data)
    assert data.read_all() == b"mine alone"
    client.expect(226)


def test_a_new_plan_replaces_the_old_one(backends, gateways, connect):
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    client = connect(gateways(backend), login=backend)
    for _ in range(5):
        client.passive("EPSV")
        client.passive("PASV")
    assert client.download(backend.path("small")) == b"content"


def test_a_transfer_without_a_plan_is_told_what_is_missing(backends, gateways, connect):
    backend = backends("pyftpdlib")
    client = connect(gateways(backend), login=backend)
    assert "PASV" in client.command("LIST", 425).text


@pytest.mark.parametrize("setup", ["PASV", "EPSV"])
@pytest.mark.parametrize("moment", ["before the command", "after the 150"])
def test_the_data_handshake_may_come_early_or_late(moment, setup, backends, gateways, connect):
    backend = backends("vsftpd")
    content = clients.some_bytes(300_000)
    backend.put("some", content)
    client = connect(gateways(backend), login=backend)
    address = client.passive(setup)
    data = client.dial_data(address, protect=moment == "before the command")
    client.command(f"RETR {backend.path('some')}", 150)
    if moment == "after the 150":
        client.protect_data(data)
    assert data.read_all() == content
    client.expect(226)


def test_without_a_single_port_there_is_no_gateway(backends, start_gateway):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(StartFailed) as failure:
            start_gateway(backends("pyftpdlib"), "--passive-ports", port)
    assert failure.value.status == 1
    assert "not one port of --passive-ports can be listened on; choose another range." in failure.value.log


def test_many_ports_are_all_there_once_it_is_ready(backends, start_gateway, connect):
    """They are opened some at a time; ready is said after the last."""
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, "--passive-ports", "0:500", "--workers", "3")
    ports = gateway.passive_ports()
    assert len(set(ports)) == 500
    client = connect(gateway, login=backend)
    seen = {client.passive("EPSV")[1] for _ in range(20)}
    assert seen <= set(ports)
    for port in (ports[0], ports[-1]):
        # Somebody listens: a stranger is let in and reset, sometimes before he knows that he is in.
        with contextlib.suppress(ConnectionResetError):
            socket.create_connection(("127.0.0.1", port), 5).close()
