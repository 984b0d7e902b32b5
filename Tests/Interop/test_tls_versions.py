"""TLS 1.2 and 1.3 and nothing older; data connections resume the control connection's session with both."""

import re
import subprocess

import clients
import pytest
from clients import Route
from gateway import StartFailed, binary
from raw_client import tls_context


@pytest.mark.parametrize("setup", ["EPSV", "EPRT"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_every_data_connection_resumes(version, setup, backends, gateways, connect):
    """OpenSSL's clients use a ticket of TLS 1.3 once: there must be a fresh one each time."""
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    client = connect(gateways(backend), login=backend, version=version)
    for _ in range(12):
        with client.open_data(setup, f"RETR {backend.path('small')}") as data:
            assert data.version == f"TLSv{version}"
            assert data.is_resumed
            assert data.read_all() == b"content"
        client.expect(226)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_that_never_resumes_is_served_by_default(version, backends, gateways, connect):
    backend = backends("vsftpd")
    backend.put("small", b"content")
    client = connect(gateways(backend), login=backend, version=version)
    for _ in range(4):
        assert client.download(backend.path("small"), resume=False) == b"content"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_require_refuses_who_does_not_resume_and_serves_who_does(version, backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    gateway = start_gateway(backend, "--data-session", "require")
    client = connect(gateway, login=backend, version=version)
    for _ in range(3):
        data = client.open_data("EPSV", f"RETR {backend.path('small')}", resume=False)
        assert "resumed" in client.expect(522).text
        data.close()
        assert client.download(backend.path("small")) == b"content"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_resumes_by_itself(version, backends, start_gateway):
    backend = backends("vsftpd")
    backend.put("small", b"content")
    gateway = start_gateway(backend, "--data-session", "require")
    route = Route(gateway, backend, tls=version)
    assert clients.curl.download(route, "small") == b"content"
    assert "small" in clients.lftp.listing(route)


@pytest.mark.parametrize("version", ["ssl3", "tls1", "tls1_1"])
def test_older_versions_are_refused(version, backends, gateways):
    gateway = gateways(backends("vsftpd"))
    arguments = ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port('implicit')}", f"-{version}"]
    done = subprocess.run(arguments + ["-cipher", "ALL:@SECLEVEL=0"], input=b"", capture_output=True, timeout=20)
    if b"unknown option" in done.stderr.lower():
        # This machine's OpenSSL cannot speak it at all, so a client hello of it is made by hand.
        return _refuses_by_hand(gateway)
    assert done.returncode != 0
    assert b"Cipher is (NONE)" in done.stdout


def _refuses_by_hand(gateway):
    from raw_client import Connection

    body = b"\x03\x00" + bytes(32) + b"\x00" + b"\x00\x02\x00\x35" + b"\x01\x00"
    hello = b"\x01" + len(body).to_bytes(3, "big") + body
    with Connection.dial(gateway.address("implicit")) as plain:
        plain.send(b"\x16\x03\x00" + len(hello).to_bytes(2, "big") + hello)
        answer = plain.read_all()
    assert answer[:1] == b"\x15" and answer[5:6] == b"\x02", answer


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"])
def test_the_ciphers_of_tls_1_2(suite, backends, gateways, connect, identity):
    cipher = f"ECDHE-ECDSA-{suite}"
    backend = backends("pyftpdlib")
    client = connect(gateways(backend), login=backend, context=tls_context(identity, "1.2", ciphers=cipher))
    assert client.cipher == cipher


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384", "AES256-SHA"])
def test_ciphers_without_forward_secrecy_or_authentication_are_refused(cipher, backends, gateways, connect, identity):
    client = connect(gateways(backends("pyftpdlib")), secure=False)
    client.command("AUTH TLS", 234)
    with pytest.raises(OSError, match="(?i)handshake failure|reset|eof"):
        client.start_tls(tls_context(identity, "1.2", ciphers=cipher + ":@SECLEVEL=0"))


def openssl_of(*command):
    """The version of OpenSSL that a program has."""
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    return tuple(map(int, re.search(r"OpenSSL (\d+)\.(\d+)", text).groups()))


def test_the_best_group_that_openssl_has_is_agreed_on(backends, gateways):
    """The post-quantum one from OpenSSL 3.5 on; earlier ones lack it, and nobody notices."""
    gateway = gateways(backends("pyftpdlib"))
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port('implicit')}", "-tls1_3"],
        input="",
        capture_output=True,
        text=True,
        timeout=20,
    )
    has_it = min(openssl_of(binary(), "--version"), openssl_of("openssl", "version")) >= (3, 5)
    assert ("X25519MLKEM768" if has_it else "Server Temp Key: X25519,") in done.stdout, done.stdout


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(("flags", "seconds"), [((), 24 * 3600), (("--tls-session-lifetime", "2h"), 2 * 3600)])
def test_sessions_can_be_resumed_as_long_as_the_operator_says(backends, start_gateway, connect, version, flags, seconds):
    """A day by default: sessions last, and their data connections resume theirs to the end."""
    backend = backends("pyftpdlib")
    client = connect(start_gateway(backend, *flags), login=backend, version=version)
    client.download(backend.path(""), verb="LIST")
    assert client.session.ticket_lifetime_hint == seconds


@pytest.mark.parametrize("text", ["59s", "8d", "never"])
def test_a_lifetime_out_of_range_is_named(backends, start_gateway, text):
    with pytest.raises(StartFailed) as failure:
        start_gateway(backends("pyftpdlib"), "--tls-session-lifetime", text)
    assert failure.value.status == 64 and "--tls-session-lifetime" in failure.value.log


@pytest.mark.parametrize(("choice", "is_good"), [("ECDSA+SHA384", False), ("ECDSA+SHA256", True)])
def test_signature_algorithms_are_the_operators_choice(backends, start_gateway, choice, is_good):
    gateway = start_gateway(backends("pyftpdlib"), "--tls-signatures", choice)
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port('implicit')}", "-sigalgs", "ECDSA+SHA256"],
        input="",
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ("Peer signing digest: SHA256" in done.stdout) == is_good, done.stdout + done.stderr
