"""Explicit FTPS (AUTH TLS): real clients list, upload and download, before real servers, with TLS 1.2 and 1.3."""

import clients
import pytest
from clients import Route, round_trip
from raw_client import tls_context


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize("client", clients.ALL, ids=lambda client: client.name)
def test_list_upload_download(client, server, tls, backends, gateways):
    backend = backends(server)
    round_trip(client, Route(gateways(backend), backend, tls=tls))


@pytest.mark.parametrize("mechanism,level", [("TLS", "C"), ("TLS-C", "C"), ("SSL", "P"), ("TLS-P", "P")])
def test_every_mechanism_of_auth_and_the_protection_level_that_it_implies(mechanism, level, backends, gateways, connect):
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    client = connect(gateways(backend), secure=False)
    client.secure(mechanism=mechanism, protect=False)
    client.login(backend.user, backend.password)
    if level == "C":
        # Nothing leaves unprotected: the client is told what to do.
        client.passive("EPSV")
        assert client.command(f"RETR {backend.path('small')}", 521).text.startswith("521 Use PROT P first")
    else:
        client.protects_data = True
        assert client.download(backend.path("small")) == b"content"


def test_nothing_of_value_passes_before_tls(scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend), secure=False)
    for line in ["USER user", "PASS secret", "LIST", "PASV", "STOR x", "CWD /", "SITE HELP"]:
        reply = client.command(line, 530)
        assert "AUTH TLS" in reply.text
    assert client.command("FEAT", 211).lines[1:-1] == [b" AUTH TLS", b" PBSZ", b" PROT"]
    client.command("NOOP", 200)
    client.quit()
    assert backend.sessions == [], "a client without TLS reached the backend"


def test_431_where_no_certificate_fits_the_settings(scripted, start_gateway, connect):
    """The key is of an elliptic curve, and the only ciphers are RSA's."""
    gateway = start_gateway(scripted(), "--tls-max", "1.2", "--tls-ciphers", "ECDHE-RSA-AES128-GCM-SHA256")
    client = connect(gateway, secure=False)
    assert client.command("AUTH TLS", 431).text == "431 No certificate fits the TLS settings: ask the operator."
    client.command("NOOP", 200)
    assert len(gateway.settled().events("command.refused", reason="no_certificate")) == 1
    fits = start_gateway(scripted(), "--tls-max", "1.2", "--tls-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256")
    connect(fits, version="1.2").command("NOOP", 200)


def test_auth_tells_apart_what_it_does_not_know(backends, gateways, connect):
    client = connect(gateways(backends("pyftpdlib")), secure=False)
    client.command("AUTH KERBEROS_V4", 504)
    client.command("AUTH", 501)
    client.command("PBSZ 0", 503)
    client.command("PROT P", 503)
    client.secure(protect=False)
    client.command("PROT P", 503)
    assert client.command("PBSZ 1", 200).text == "200 PBSZ=0"
    client.command("PROT S", 536)
    client.command("PROT E", 536)
    client.command("PROT X", 504)
    client.command("PROT C", 534)
    client.command("PROT P", 200)
    client.command("AUTH TLS", 503)


def test_a_handshake_that_comes_byte_by_byte(backends, gateways, connect, identity):
    backend = backends("pyftpdlib")
    client = connect(gateways(backend), secure=False)
    client.send_bytewise(b"AUTH TLS\r\n")
    client.expect(234)
    client.start_tls(tls_context(identity), bytewise=True)
    client.send_bytewise(b"PBSZ 0\r\nPROT P\r\n")
    client.expect(200)
    client.expect(200)
    client.protects_data = True
    client.login(backend.user, backend.password)
    client.quit()
