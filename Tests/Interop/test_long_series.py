"""A thousand transfers, and none is lost, none takes another's TLS session, and none that was cut looks whole."""

import random
import re

import pytest
from clients import some_bytes
from processes import wait_until
from sizes import FULL_TIMEOUT, full

COUNT = full(1000, 40)
SIZES = [0, 1, 16 * 1024, full(10, 1) * 1024 * 1024]


@pytest.mark.timeout(FULL_TIMEOUT)
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_uploads_of_clients_that_never_read_and_close_at_once(server, start_backend, start_gateway, connect):
    """As old curl does: unread bytes would turn its close into a reset that destroys the upload's tail (DESIGN 3.11, TLS 1.3)."""
    backend = start_backend(server)
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend, version="1.3", timeout=60)
    for number in range(COUNT):
        size = SIZES[number % len(SIZES)]
        content = some_bytes(size, number)
        data = client.open_data("EPSV", f"STOR {backend.path('file')}")
        data.send(content)
        data.close_notify()
        data.close()
        client.expect(226)
        assert (backend.files / "file").read_bytes() == content, f"upload {number} of {size} bytes"
    assert len(gateway.settled().events("transfer", code=226)) == COUNT
    assert gateway.events("transfer", reason=None, code=226) == gateway.events("transfer")


@pytest.mark.timeout(FULL_TIMEOUT)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_each_ticket_used_once_and_every_transfer_resumed(version, start_backend, start_gateway, connect):
    """In one session. With TLS 1.3 a client such as OpenSSL's needs a fresh ticket before each data connection."""
    backend = start_backend("pyftpdlib")
    backend.put("file", b"content")
    gateway = start_gateway(backend, "--data-session", "require")
    client = connect(gateway, login=backend, version=version, timeout=60)
    used = set()
    for number in range(COUNT):
        address = client.passive("EPSV" if number % 2 else "PASV")
        session = client.session
        if version == "1.3":
            assert session.id not in used, f"no fresh ticket before transfer {number}"
            used.add(session.id)
        data = client.dial_data(address, session=session)
        client.command(f"RETR {backend.path('file')}", 125, 150)
        assert data.is_resumed, f"transfer {number}"
        assert data.read_all() == b"content"
        data.close()
        client.expect(226)


@pytest.mark.timeout(FULL_TIMEOUT)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("server", ["vsftpd", "proftpd"])
def test_cut_uploads_are_never_complete(server, version, start_backend, start_gateway, connect):
    """The client hears no 226, and a real server's own log calls none of them complete."""
    backend = start_backend(server)
    client = connect(start_gateway(backend), login=backend, version=version, timeout=60)
    chance = random.Random(version)
    count = COUNT // 2
    for number in range(count):
        size = chance.randrange(0, 300_000)
        data = client.open_data("EPSV", f"STOR {backend.path(f'cut-{number}')}")
        data.send(some_bytes(size))
        if chance.random() < 0.5:
            data.finish()
        else:
            data.reset()
        client.expect(426)
        data.close()
        assert client.command("NOOP").code == 200
    client.upload(backend.path("whole"), b"content")

    wait_until(lambda: "whole" in backend.transfers_log, what="the whole upload in the server's log")
    complete = re.compile("OK UPLOAD" if server == "vsftpd" else r" c$")
    cut = re.compile("FAIL UPLOAD" if server == "vsftpd" else r" i$")
    lines = [line for line in backend.transfers_log.splitlines() if "/cut-" in line or "/whole" in line]
    assert [line for line in lines if complete.search(line) and "/whole" not in line] == []
    # Those that were cut before the server had accepted their connection need not be in its log at all.
    assert len([line for line in lines if cut.search(line)]) > count // 2
