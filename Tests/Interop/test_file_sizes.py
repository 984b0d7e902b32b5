"""Files of every awkward size arrive whole, both ways, compared by SHA-256."""

import hashlib

import clients
import pytest
from clients import Route, some_bytes

SIZES = [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 64 * 1024 * 1024]


def _digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize("client", [clients.curl, clients.lftp, clients.ftplib_resuming], ids=lambda client: client.name)
def test_up_and_down(client, server, size, backends, gateways):
    backend = backends(server)
    name = f"{client.name}-{size}"
    content = some_bytes(size)
    route = Route(gateways(backend), backend)
    client.upload(route, name, content)
    file = backend.files / name
    assert file.stat().st_size == size
    assert _digest(file.read_bytes()) == _digest(content)
    assert _digest(client.download(route, name)) == _digest(content)
    file.unlink()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("size", SIZES[:-1])
@pytest.mark.parametrize("setup", ["PASV", "EPRT"])
def test_up_and_down_in_one_session(setup, size, version, backends, gateways, connect):
    backend = backends("pyftpdlib")
    content = some_bytes(size)
    path = backend.path(f"raw-{setup}-{size}-{version}")
    client = connect(gateways(backend), login=backend, version=version)
    client.upload(path, content, setup)
    assert _digest(client.download(path, setup)) == _digest(content)
    client.command(f"DELE {path}", 250)
