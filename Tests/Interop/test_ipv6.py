"""IPv4 and IPv6 on either side: what the client uses and what the backend uses have nothing to do with each other."""

import clients
import pytest
from clients import Route, round_trip


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("mode", ["explicit", "implicit"])
@pytest.mark.parametrize("family,host", [(4, "::1"), (6, "127.0.0.1"), (6, "::1")])
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize("client", [clients.curl, clients.lftp, clients.ftplib_resuming], ids=lambda client: client.name)
def test_list_upload_download(client, server, family, host, mode, tls, backends, gateways):
    backend = backends(server, host)
    round_trip(client, Route(gateways(backend), backend, mode, family, "EPSV", tls))


@pytest.mark.parametrize("family,setup", [(4, "PASV"), (4, "EPSV"), (4, "PORT"), (4, "EPRT"), (6, "EPSV"), (6, "EPRT")])
@pytest.mark.parametrize("backend_data", ["auto", "active"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_data_mode_across_families(host, backend_data, family, setup, backends, start_gateway, connect):
    backend = backends("pyftpdlib", host)
    gateway = start_gateway(backend, "--backend-data", backend_data)
    content = clients.some_bytes(20_000)
    client = connect(gateway, family=family, login=backend)
    path = backend.path(f"ipv{family}-{setup}-{backend_data}")
    client.upload(path, content, setup)
    assert client.download(path, setup) == content
    client.quit()
