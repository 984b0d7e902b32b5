"""No bad client certificate gets in: each is refused with its reason in the log, its counter, and its TLS alert."""

import datetime
import ssl
import subprocess
import time

import pytest
from certificates import Identity
from gateway import binary
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
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


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
    folder = session_folder / "bad-clients"
    folder.mkdir()

    def cert(*arguments):
        subprocess.run([binary(), "cert", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)

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


@pytest.fixture(scope="module")
def gateway(folder, backends, session_folder):
    from gateway import Gateway

    own = session_folder / "gateway-for-bad-clients"
    own.mkdir()
    gateway = Gateway(
        own,
        backends("pyftpdlib").address,
        *("--client-cert", "require", "--client-ca", folder / "ca.crt", "--client-crl", folder / "ca.crl"),
        *("--client-cert-depth", "1", "--admin", f"unix:{own}/admin"),
        identity=Identity(folder / "server.crt", folder / "server.key"),
    )
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


def rejections(gateway, reason):
    return [event for event in gateway.events("tls.client_rejected") if event["reason"] == reason]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", BAD)
def test_it_is_refused_with_reason_alert_and_counter(gateway, folder, kind, version):
    reason, alert = BAD[kind]
    alert = alert if isinstance(alert, str) else alert[version]
    before = len(rejections(gateway, reason))
    with pytest.raises(ssl.SSLError) as failure:
        dial(gateway, context(folder, kind, version))
    assert alert.replace(" ", "_") in str(failure.value).lower().replace(" ", "_"), failure.value
    wait_until(lambda: len(rejections(gateway, reason)) == before + 1, 5, "the log line")
    event = rejections(gateway, reason)[-1]
    assert event["channel"] == "control" and event.get("subject") == (None if kind == "none" else f"CN={kind}")
    wait_until(lambda: gateway.events("session.closed", id=event["id"], reason="certificate_rejected"), 5, "the session's end")
    assert not gateway.events("login")


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


def test_every_reason_is_counted(gateway, folder):
    for kind in BAD:
        with pytest.raises(ssl.SSLError):
            dial(gateway, context(folder, kind, "1.3"))
    gateway.wait_for_event("tls.client_rejected", reason="none_sent")
    import http.client
    import socket

    class Local(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(5)
            self.sock.connect(str(gateway.log_path.parent / "admin"))

    def metrics():
        connection = Local("localhost")
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()

    def all_there():
        text = metrics()
        return all(f'event="tls.client_rejected",reason="{reason}"' in text for reason, _ in BAD.values())

    wait_until(all_there, 5, "a counter for each reason")
