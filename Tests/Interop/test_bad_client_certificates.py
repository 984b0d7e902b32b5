"""No bad client certificate gets in: each is refused with its reason in the log, its counter, and its TLS alert."""

import ctypes
import datetime
import http.client
import os
import re
import socket
import ssl
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from certificates import Identity
from gateway import Gateway, binary
from processes import wait_until
from raw_client import Connection, tls_context

# The reason, and what OpenSSL calls the alert in TLS 1.2 and 1.3.
BAD = {
    "expired": ("expired", "certificate expired"),
    "future": ("not_yet_valid", "bad certificate"),
    "purpose": ("wrong_purpose", "unsupported certificate"),
    "unknown": ("unknown_authority", "unknown ca"),
    "revoked": ("revoked", "certificate revoked"),
    "selfsigned": ("self_signed", "unknown ca"),
    "deep": ("chain_too_long", "unknown ca"),
    "none": ("none_sent", {"1.2": "handshake failure", "1.3": "certificate required"}),
}


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def dated(folder, name, start, end, authority="ca"):
    """A client's certificate with dates that `ftpsgate cert` does not make."""
    openssl(
        folder, "req", "-newkey", "ed25519", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
    )
    (folder / f"{name}.index").touch()
    (folder / f"{name}.serial").write_text("7001\n")
    (folder / f"{name}.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndefault_md=sha256\npolicy=p\nunique_subject=no\nnew_certs_dir=.\n"
        f"database={name}.index\nserial={name}.serial\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nextendedKeyUsage=clientAuth\n"
    )
    openssl(
        folder,
        *("ca", "-batch", "-notext", "-config", f"{name}.cnf", "-cert", f"{authority}.crt", "-keyfile", f"{authority}.key"),
        *("-in", f"{name}.csr", "-out", f"{name}.crt", "-startdate", start, "-enddate", end),
    )


@pytest.fixture(scope="module")
def folder(session_folder):
    # A module's fixtures may be made several times in a process.
    folder = Path(tempfile.mkdtemp(prefix="bad-clients-", dir=session_folder))

    def cert(*arguments):
        subprocess.run([binary(), "cert", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    for name in ("ca", "other"):
        cert("authority", name)
    cert("authority", "middle", "--authority", "ca")
    cert("authority", "lower", "--authority", "middle")
    cert("create", "server", "--authority", "ca", "--dns", "localhost", "--ip", "127.0.0.1")
    for name, authority in [("good", "ca"), ("revoked", "ca"), ("unknown", "other"), ("deep", "lower")]:
        cert("create", name, "--for", "client", "--authority", authority)
    cert("create", "purpose", "--for", "server", "--authority", "ca")
    cert("create", "selfsigned", "--for", "client")
    cert("revoke", "revoked", "--authority", "ca")
    dated(folder, "expired", "20200101000000Z", "20210101000000Z")
    dated(folder, "future", "20400101000000Z", "20410101000000Z")
    return folder


def start(name, folder, backends, session_folder, *flags):
    own = Path(tempfile.mkdtemp(prefix=f"gateway-{name}-", dir=session_folder))
    secret = folder / "ticket.secret"
    if not secret.exists():
        secret.write_bytes(os.urandom(32))
        secret.chmod(0o600)
    return Gateway(
        own,
        backends("pyftpdlib").address,
        *(*flags, "--admin", f"unix:{own}/admin", "--ticket-secret-file", secret),
        identity=Identity(folder / "server.crt", folder / "server.key"),
    )


@pytest.fixture(scope="module")
def gateway(folder, backends, session_folder):
    flags = ("--client-cert", "require", "--client-ca", folder / "ca.crt", "--client-crl", folder / "ca.crl")
    gateway = start("for-bad-clients", folder, backends, session_folder, *flags, "--client-cert-depth", "1")
    yield gateway
    gateway.end()


@pytest.fixture(scope="module")
def lax(folder, backends, session_folder):
    """A replica with the same ticket keys that asks nobody for a certificate."""
    gateway = start("for-everyone", folder, backends, session_folder)
    yield gateway
    gateway.end()


def context(folder, name, version):
    certificate = None if name == "none" else Identity(folder / f"{name}.crt", folder / f"{name}.key")
    return tls_context(Identity(folder / "ca.crt", None), version, certificate=certificate)


def dial(gateway, context, session=None):
    """An implicit connection's greeting."""
    with Connection.dial(gateway.address("implicit")) as connection:
        connection.start_tls(context, session=session)
        greeting = connection.read_line()
        return greeting, connection.session, connection.is_resumed


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def count(gateway, reason):
    """The counter of such rejections."""
    connection = Local(gateway.log_path.parent / "admin")
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.search(rf'event="tls.client_rejected",reason="{reason}"}} (\d+)', text)
    return int(found[1]) if found else 0


class Thief:
    """A TLS client that shows one certificate and signs with another's key. OpenSSL refuses such a pair, so that the
    certificate in its memory is given the other public key; the bytes that it sends stay as they are."""

    def __init__(self, certificate, key, version):
        self.lib = ctypes.CDLL("libssl.so.3")
        self.crypto = ctypes.CDLL("libcrypto.so.3")
        lib, pointer = self.lib, ctypes.c_void_p
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "SSL_CTX_get0_certificate", "SSL_get1_session"):
            getattr(lib, name).restype = pointer
        for name in ("BIO_new_file", "PEM_read_bio_PrivateKey"):
            getattr(self.crypto, name).restype = pointer
        self.context = pointer(lib.SSL_CTX_new(pointer(lib.TLS_client_method())))
        wire = {"1.2": 0x0303, "1.3": 0x0304}[version]
        for control in (123, 124):  # the oldest and the newest version
            lib.SSL_CTX_ctrl(self.context, control, ctypes.c_long(wire), None)
        assert lib.SSL_CTX_use_certificate_file(self.context, os.fsencode(certificate), 1) == 1
        file = pointer(self.crypto.BIO_new_file(os.fsencode(key), b"r"))
        foreign = pointer(self.crypto.PEM_read_bio_PrivateKey(file, None, None, None))
        shown = pointer(lib.SSL_CTX_get0_certificate(self.context))
        assert self.crypto.X509_set_pubkey(shown, foreign) == 1
        assert lib.SSL_CTX_use_PrivateKey(self.context, foreign) == 1

    def handshake(self, address, session=None):
        """(whether a greeting came, the session, OpenSSL's errors)"""
        lib, pointer = self.lib, ctypes.c_void_p
        with socket.create_connection(address, 10) as raw:
            raw.settimeout(None)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
            ssl_pointer = pointer(lib.SSL_new(self.context))
            lib.SSL_set_fd(ssl_pointer, raw.fileno())
            if session:
                lib.SSL_set_session(ssl_pointer, session)
            buffer = ctypes.create_string_buffer(100)
            is_in = lib.SSL_connect(ssl_pointer) == 1 and lib.SSL_read(ssl_pointer, buffer, 100) > 0
            said = []
            while code := self.crypto.ERR_get_error():
                text = ctypes.create_string_buffer(300)
                self.crypto.ERR_error_string_n(ctypes.c_ulong(code), text, 300)
                said.append(text.value.decode())
            got = pointer(lib.SSL_get1_session(ssl_pointer)) if is_in else None
            lib.SSL_free(ssl_pointer)
        return is_in and buffer.value.startswith(b"220"), got, " ".join(said)


def rejections(gateway, reason):
    return [event for event in gateway.settled().events("tls.client_rejected") if event["reason"] == reason]


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", BAD)
def test_it_is_refused_with_reason_alert_and_counter(gateway, lax, folder, kind, version, resumed):
    """resumed: it offers a session that it got where nobody is asked for a certificate, with the same ticket keys."""
    reason, alert = BAD[kind]
    alert = alert if isinstance(alert, str) else alert[version]
    before, counted = len(rejections(gateway, reason)), count(gateway, reason)
    own, session = context(folder, kind, version), None
    if resumed:
        greeting, session, _ = dial(lax, own)
        assert greeting.startswith(b"220")
        assert dial(lax, own, session)[2], "the session itself can be resumed"
    with pytest.raises(ssl.SSLError) as failure:
        dial(gateway, own, session)
    assert alert.replace(" ", "_") in str(failure.value).lower().replace(" ", "_"), failure.value
    wait_until(lambda: len(rejections(gateway, reason)) == before + 1, 5, "the log line")
    event = rejections(gateway, reason)[-1]
    assert event["channel"] == "control" and event.get("subject") == (None if kind == "none" else f"CN={kind}")
    wait_until(lambda: gateway.events("session.closed", id=event["id"], reason="certificate_rejected"), 5, "the session's end")
    assert count(gateway, reason) == counted + 1
    assert not gateway.settled().events("login")


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_certificate_without_its_key_is_refused(gateway, lax, folder, version, resumed):
    """A thief of certificates, which are no secret: the handshake is signed with another key."""
    before, counted = len(rejections(gateway, "other")), count(gateway, "other")
    session = None
    thief = Thief(folder / "good.crt", folder / "unknown.key", version)
    if resumed:
        _, session, _ = thief.handshake(lax.address("implicit"))
    is_in, _, said = thief.handshake(gateway.address("implicit"), session)
    assert not is_in and "alert decrypt error" in said, said
    wait_until(lambda: len(rejections(gateway, "other")) == before + 1, 5, "the log line")
    event = rejections(gateway, "other")[-1]
    assert event["detail"] == "the client does not have the certificate's private key"
    assert count(gateway, "other") == counted + 1


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_was_good_is_judged_anew_when_it_resumes(folder, backends, start_gateway, scratch, version):
    """Revoked, no longer trusted, too deep, not asked for before: each time the session from before is worth nothing."""
    settings = scratch / "settings"
    good = [f"client-cert require\nclient-ca {folder / 'both.pem'}\nclient-cert-depth 3\n"]
    (folder / "both.pem").write_text((folder / "ca.crt").read_text() + (folder / "other.crt").read_text())
    settings.write_text(good[0])
    identity = Identity(folder / "server.crt", folder / "server.key")
    gateway = start_gateway(backends("pyftpdlib"), "--config", settings, identity=identity)
    cases = {
        "revoked": (f"client-crl {folder / 'ca.crl'}\n", "revoked"),
        "unknown": (None, "unknown_authority"),
        "deep": ("client-cert-depth 1\n", "chain_too_long"),
        "good": ("client-cert-deny cn=good\n", "not_allowed"),
    }
    for kind, (change, reason) in cases.items():
        own = context(folder, kind, version)
        greeting, session, _ = dial(gateway, own)
        assert greeting.startswith(b"220") and dial(gateway, own, session)[2]
        before = len(gateway.settled().events("reload.done"))
        settings.write_text(good[0] + change if change else good[0].replace("both.pem", "ca.crt"))
        wait_until(lambda n=before: len(gateway.events("reload.done")) > n, 10, "the stricter rules")
        with pytest.raises(ssl.SSLError):
            dial(gateway, own, session)
        wait_until(lambda r=reason: rejections(gateway, r), 5, "the log line")
        settings.write_text(good[0])
        wait_until(lambda n=before: len(gateway.events("reload.done")) > n + 1, 10, "the rules from before")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_good_one_gets_in_and_resumes(gateway, folder, version):
    own = context(folder, "good", version)
    greeting, session, _ = dial(gateway, own)
    assert greeting.startswith(b"220")
    greeting, _, is_resumed = dial(gateway, own, session)
    assert greeting.startswith(b"220") and is_resumed


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_ends_with_its_certificate(gateway, folder, version):
    """Resumed: it was good when the session began, and has expired since."""
    name = f"short{version.replace('.', '')}"
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=4)
    dated(folder, name, "20200101000000Z", end.strftime("%Y%m%d%H%M%SZ"))
    own = context(folder, name, version)
    greeting, session, _ = dial(gateway, own)
    assert greeting.startswith(b"220")
    wait_until(lambda: time.time() > end.timestamp() + 1, 10, "the certificate's end")
    with pytest.raises(ssl.SSLError) as failure:
        dial(gateway, own, session)
    assert "expired" in str(failure.value).lower()
    wait_until(lambda: [e for e in rejections(gateway, "expired") if e.get("subject") == f"CN={name}"], 5, "the log line")
