"""Implicit FTPS (TLS from the first byte): real clients list, upload and download, before real servers, with TLS 1.2 and 1.3."""

import clients
import pytest
from clients import Route, round_trip
from raw_client import Connection


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize("client", clients.ALL, ids=lambda client: client.name)
def test_list_upload_download(client, server, tls, backends, gateways):
    backend = backends(server)
    round_trip(client, Route(gateways(backend), backend, mode="implicit", tls=tls))


def test_data_is_protected_from_the_start(backends, gateways, connect):
    """Many implicit clients never send PBSZ and PROT."""
    backend = backends("vsftpd")
    backend.put("small", b"content")
    client = connect(gateways(backend), mode="implicit", login=backend)
    assert client.download(backend.path("small")) == b"content"
    client.command("PROT P", 200)
    client.command("AUTH TLS", 503)


def test_no_greeting_before_the_handshake(backends, gateways):
    with Connection.dial(gateways(backends("vsftpd")).address("implicit")) as plain:
        assert plain.receives_nothing(0.3)


def test_plain_text_gets_an_alert_and_the_end(backends, gateways):
    gateway = gateways(backends("vsftpd"))
    with Connection.dial(gateway.address("implicit")) as plain:
        plain.send(b"USER anonymous\r\n")
        answer = plain.read_all()
    # A TLS alert (type 21), fatal (2); no word of FTP.
    assert answer[:1] == b"\x15" and answer[5:6] == b"\x02", answer
