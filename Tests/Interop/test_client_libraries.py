"""What programs are built with works through the gateway as it does without: aioftp, Net::FTP, commons-net and rclone."""

import clients
import library_clients
import pytest
from clients import Route, round_trip, some_bytes

SERVERS = ["vsftpd", "pyftpdlib", "proftpd", "pureftpd", "inetutils", "tcllib"]


# aioftp cannot read the listings of inetutils, with or without a gateway.
PAIRS = [
    (client, server)
    for client in [*clients.ALL, *library_clients.ALL]
    for server in SERVERS
    if (client.name, server) != ("aioftp", "inetutils")
]


@pytest.mark.parametrize("client,server", PAIRS, ids=[f"{client.name}-{server}" for client, server in PAIRS])
def test_list_upload_download(client, server, backends, gateways):
    backend = backends(server)
    round_trip(client, Route(gateways(backend), backend, setup="PASV" if server == "inetutils" else "EPSV"))


@pytest.mark.parametrize("mode,setup", [("explicit", "PASV"), ("implicit", "EPSV"), ("implicit", "PASV")])
@pytest.mark.parametrize("client", library_clients.ALL, ids=lambda client: client.name)
def test_implicit_and_pasv(client, mode, setup, backends, gateways):
    backend = backends("vsftpd")
    round_trip(client, Route(gateways(backend), backend, mode=mode, setup=setup))


@pytest.mark.parametrize("client", [library_clients.ALL[1], library_clients.ALL[2]], ids=lambda client: client.name)
def test_active(client, backends, gateways):
    backend = backends("pyftpdlib")
    round_trip(client, Route(gateways(backend), backend, setup="PORT"))


@pytest.mark.parametrize("setup", ["PASV", "EPSV", "PORT"])
@pytest.mark.parametrize("client", clients.ALL, ids=lambda client: client.name)
def test_a_server_of_another_age(client, setup, backends, gateways):
    """Tcl's, in a language of its own: no EPSV, no FEAT, no PBSZ, "500 Unknown command" to all that is new."""
    backend = backends("tcllib")
    route = Route(gateways(backend), backend, setup=setup)
    if client.can(route):
        round_trip(client, route)


@pytest.mark.parametrize("client", [*clients.ALL, *library_clients.ALL], ids=lambda client: client.name)
def test_aioftps_server(client, backends, gateways):
    """It knows no NLST, which several of them list with."""
    backend = backends("aioftp")
    route = Route(gateways(backend), backend)
    name, content = f"from-{client.name}", some_bytes(50_000)
    client.upload(route, name, content)
    assert (backend.files / name).read_bytes() == content
    assert client.download(route, name) == content
