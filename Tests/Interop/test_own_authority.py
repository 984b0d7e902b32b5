"""Own authority in five commands: the walk of the README, with real clients at its end.

An authority, a server's and a client's certificate, trust, and a gateway that requires it; then curl, lftp and Python log in
with the client's certificate, and none of them without.
"""

import contextlib
import ftplib
import re
import ssl
import subprocess
from pathlib import Path

import pytest
from certificates import Identity
from gateway import binary
from processes import free_port, wait_until
from raw_client import Connection, Truncated, tls_context


class Desk:
    """A folder in which `ftpsgate cert` is called, and what came of it."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def cert(self, *arguments, status=0):
        done = subprocess.run(
            [binary(), "cert", *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def identity(self, name):
        return Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def __getitem__(self, name):
        return self.folder / name


@pytest.fixture
def desk(scratch):
    """The first four commands: everything but the gateway."""
    desk = Desk(scratch)
    desk.cert("authority", "my-authority")
    desk.cert("create", "ftps.example.com", "--authority", "my-authority", "--dns", "localhost", "--ip", "127.0.0.1")
    desk.cert("create", "joe", "--for", "client", "--authority", "my-authority")
    desk.cert("trust", "add", "my-authority.crt", "--state-directory", scratch / "state")
    return desk


def guarded(start_gateway, desk, backend, *flags):
    """The fifth command."""
    return start_gateway(
        backend,
        "--client-cert",
        "require",
        "--state-directory",
        desk["state"],
        *flags,
        identity=desk.identity("ftps.example.com"),
    )


def curl(gateway, backend, desk, *arguments, mode="explicit", tls=None):
    host, port = gateway.address(mode)
    scheme = "ftps" if mode == "implicit" else "ftp"
    versions = {None: [], "1.2": ["--tls-max", "1.2"], "1.3": ["--tlsv1.3"]}[tls]
    return subprocess.run(
        ["curl", "-sS", "-v", "--ssl-reqd", "--cacert", desk["my-authority.crt"], "-u", f"{backend.user}:{backend.password}"]
        + ["--max-time", "30", *versions, *arguments, f"{scheme}://{host}:{port}{backend.path('')}"],
        capture_output=True,
        text=True,
        timeout=60,
    )


def lftp(gateway, backend, desk, *settings, mode="explicit"):
    host, port = gateway.address(mode)
    commands = [f"set ssl:ca-file {desk['my-authority.crt']}", "set ftp:ssl-force true", "set ftp:ssl-protect-data true"]
    commands += ["set net:max-retries 1", "set net:timeout 10", "set cmd:fail-exit true", "set ftp:use-mode-z false", *settings]
    commands += [f"open -u {backend.user},'{backend.password}' {'ftps' if mode == 'implicit' else 'ftp'}://{host}:{port}"]
    commands += [f"ls {backend.path('')}"]
    return subprocess.run(["lftp", "-c", "; ".join(commands)], capture_output=True, text=True, timeout=60)


def python(gateway, backend, desk, name):
    context = ssl.create_default_context(cafile=desk["my-authority.crt"])
    if name:
        context.load_cert_chain(desk[f"{name}.crt"], desk[f"{name}.key"])
    with ftplib.FTP_TLS(context=context, timeout=10) as client:
        client.connect(*gateway.address())
        client.login(backend.user, backend.password)
        client.prot_p()
        return client.nlst(backend.path(""))


@pytest.mark.parametrize("mode", ["explicit", "implicit"])
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_curl_logs_in_with_the_certificate_and_not_without(backends, start_gateway, desk, mode, tls):
    backend = backends("pyftpdlib")
    backend.put("curl.txt", b"x")
    gateway = guarded(start_gateway, desk, backend)
    show = ("--cert", desk["joe.crt"], "--key", desk["joe.key"])
    good = curl(gateway, backend, desk, *show, mode=mode, tls=tls)
    assert good.returncode == 0 and "curl.txt" in good.stdout, good.stderr
    accepted = gateway.wait_for_event("tls.client_accepted", subject="CN=joe")
    assert accepted["id"] == gateway.wait_for_event("login")["id"]

    none = curl(gateway, backend, desk, mode=mode, tls=tls)
    assert none.returncode != 0
    # The alert arrives: it is not overtaken by a reset.
    assert "reset" not in none.stderr.lower()
    assert "alert" in none.stderr, none.stderr
    gateway.wait_for_event("tls.client_rejected", reason="none_sent", channel="control")
    assert len(gateway.settled().events("login")) == 1


def test_lftp_logs_in_with_the_certificate_and_not_without(backends, start_gateway, desk):
    backend = backends("pyftpdlib")
    backend.put("lftp.txt", b"x")
    gateway = guarded(start_gateway, desk, backend)
    good = lftp(gateway, backend, desk, f"set ssl:cert-file {desk['joe.crt']}", f"set ssl:key-file {desk['joe.key']}")
    assert good.returncode == 0 and "lftp.txt" in good.stdout, good.stderr
    none = lftp(gateway, backend, desk)
    assert none.returncode != 0
    gateway.wait_for_event("tls.client_rejected", reason="none_sent")


def test_python_logs_in_with_the_certificate_and_not_without(backends, start_gateway, desk):
    backend = backends("pyftpdlib")
    backend.put("python.txt", b"x")
    gateway = guarded(start_gateway, desk, backend)
    assert any(name.endswith("python.txt") for name in python(gateway, backend, desk, "joe"))
    with pytest.raises((ssl.SSLError, EOFError, ftplib.error_perm)):
        python(gateway, backend, desk, None)
    gateway.wait_for_event("tls.client_rejected", reason="none_sent")


def test_openssl_shows_the_alert(backends, start_gateway, desk):
    gateway = guarded(start_gateway, desk, backends("pyftpdlib"))
    host, port = gateway.address("implicit")
    for version, words in [("-tls1_2", "handshake failure"), ("-tls1_3", "alert number 116")]:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{host}:{port}", version, "-CAfile", desk["my-authority.crt"], "-ign_eof"],
            input="",
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert words in done.stderr or words in done.stdout, done.stderr


def test_a_certificate_signed_by_the_server_logs_in(backends, start_gateway, scratch):
    """The founding text's own case: the client's certificate must be signed by the server's."""
    desk = Desk(scratch)
    desk.cert("create", "server", "--signs-clients", "--dns", "localhost", "--ip", "127.0.0.1")
    desk.cert("create", "joe", "--for", "client")
    desk.cert("sign", "joe.csr", "--authority", "server")
    desk.cert("create", "eve", "--for", "client")
    backend = backends("pyftpdlib")
    gateway = start_gateway(
        backend, "--client-cert", "require", "--client-ca", desk["server.crt"], identity=desk.identity("server")
    )

    def log_in(name):
        context = ssl.create_default_context(cafile=desk["server.crt"])
        context.load_cert_chain(desk[f"{name}.crt"], desk[f"{name}.key"])
        with ftplib.FTP_TLS(context=context, timeout=10) as client:
            client.connect(*gateway.address())
            return client.login(backend.user, backend.password)

    assert log_in("joe").startswith("230")
    with pytest.raises((ssl.SSLError, EOFError)):
        log_in("eve")
    gateway.wait_for_event("tls.client_rejected", reason="self_signed", subject="CN=eve")


def test_trust_given_and_taken_counts_at_once(backends, start_gateway, desk):
    backend = backends("pyftpdlib")
    gateway = guarded(start_gateway, desk, backend)
    desk.cert("authority", "partner")
    desk.cert("create", "ann", "--for", "client", "--authority", "partner")
    with pytest.raises((ssl.SSLError, EOFError)):
        python(gateway, backend, desk, "ann")
    gateway.wait_for_event("tls.client_rejected", reason="unknown_authority", subject="CN=ann")
    desk.cert("trust", "add", "partner.crt", "--state-directory", desk["state"])
    gateway.wait_for_event("reload.done")
    assert isinstance(python(gateway, backend, desk, "ann"), list)
    desk.cert("trust", "remove", "partner", "--state-directory", desk["state"])
    wait_until(lambda: len(gateway.events("reload.done")) == 2, 10, "the second reload")
    with pytest.raises((ssl.SSLError, EOFError)):
        python(gateway, backend, desk, "ann")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_revoked_certificate_ends_with_the_next_connection_data_included(backends, start_gateway, desk, connect, version):
    backend = backends("pyftpdlib")
    desk.cert("crl", "--authority", "my-authority")
    gateway = guarded(start_gateway, desk, backend, "--client-crl", desk["my-authority.crl"], "--client-crl-check", "hard")
    context = tls_context(Identity(desk["my-authority.crt"], None), version, certificate=desk.identity("joe"))
    client = connect(gateway, context=context, login=(backend.user, backend.password))
    client.download(backend.path(""), verb="LIST")

    desk.cert("revoke", "joe", "--authority", "my-authority")
    gateway.wait_for_event("reload.done")
    # The session's own TLS session is not resumed any more, and the full handshake is refused.
    address = client.passive()
    client.command("LIST", 125, 150)
    with pytest.raises((ssl.SSLError, Truncated, ConnectionError)):
        client.dial_data(address).read_all()
    assert client.reply().code == 522
    gateway.wait_for_event("tls.client_rejected", reason="revoked", subject="CN=joe", channel="data")
    with pytest.raises((ssl.SSLError, EOFError)):
        python(gateway, backend, desk, "joe")
    gateway.wait_for_event("tls.client_rejected", reason="revoked", subject="CN=joe", channel="control")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("session", ["prefer", "off"])
def test_another_clients_good_certificate_opens_no_data_connection(backends, start_gateway, desk, connect, version, session):
    """Data connections must be the same client: two that are both trusted cannot take each other's files."""
    desk.cert("create", "ann", "--for", "client", "--authority", "my-authority")
    backend = backends("pyftpdlib")
    backend.put("secret.txt", b"for joe alone")
    gateway = guarded(start_gateway, desk, backend, "--data-session", session)

    def context(name):
        return tls_context(Identity(desk["my-authority.crt"], None), version, certificate=desk.identity(name))

    client = connect(gateway, context=context("joe"), login=(backend.user, backend.password))
    for command in (f"RETR {backend.path('secret.txt')}", f"STOR {backend.path('new.txt')}"):
        with Connection.dial(client.passive()) as data:
            client.command(command, 125, 150)
            with contextlib.suppress(ssl.SSLError, OSError, Truncated):
                client.protect_data(data, context=context("ann"), resume=False)
                assert data.read() in (b"", None)
        reply = client.reply()
        assert reply.code == 522 and "certificate" in reply.text, reply.text
    event = gateway.wait_for_event("transfer", code=522)
    assert event["reason"] == "data_certificate_differs" and event["bytes"] == 0
    # None at all is refused in the handshake.
    with Connection.dial(client.passive()) as data:
        client.command(f"RETR {backend.path('secret.txt')}", 125, 150)
        nobody = tls_context(Identity(desk["my-authority.crt"], None), version)
        with contextlib.suppress(ssl.SSLError, OSError, Truncated):
            client.protect_data(data, context=nobody, resume=False)
            data.read()
    assert client.reply().code == 522
    # The session goes on, with its own certificate: resumed, and in a full handshake.
    for resume in (True, False):
        assert client.download(backend.path("secret.txt"), resume=resume) == b"for joe alone"


def test_rules_about_the_certificate_count_at_the_gate(backends, start_gateway, desk):
    desk.cert("create", "ann", "--for", "client", "--authority", "my-authority")
    shown = desk.cert("show", "joe.crt")
    serial, pin = (re.search(rf"{name} +(\S+)", shown)[1] for name in ("serial", "key SHA-256"))
    backend = backends("pyftpdlib")
    for flags, who, detail in [
        (("--client-cert-deny", f"serial={serial}"), ["ann"], f"the rule serial={serial.lstrip('0')} keeps it out"),
        (("--client-cert-allow", f"spki={pin}"), ["joe"], "no rule lets it in"),
        (("--client-cert-allow", "cn=joe", "--client-cert-deny", "issuer=CN=my-*"), [], "the rule issuer=CN=my-* keeps it out"),
        (("--client-cert-allow", "issuer=CN=my-authority"), ["ann", "joe"], None),
    ]:
        gateway = guarded(start_gateway, desk, backend, *flags)
        for name in ("ann", "joe"):
            if name in who:
                assert isinstance(python(gateway, backend, desk, name), list)
            else:
                with pytest.raises((ssl.SSLError, EOFError)):
                    python(gateway, backend, desk, name)
        if detail:
            assert gateway.wait_for_event("tls.client_rejected", reason="not_allowed")["detail"] == detail


def test_windows_principal_names_bind_users(start_backend, start_gateway, desk):
    """A certificate as a Windows directory makes it, by `openssl`."""
    backend = start_backend("pyftpdlib")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]
        + ["-CA", "my-authority.crt", "-CAkey", "my-authority.key", "-keyout", "upn.key", "-out", "upn.crt"]
        + ["-subj", "/OU=Printers/CN=whoever", "-addext", "extendedKeyUsage=clientAuth", "-addext", "basicConstraints=CA:FALSE"]
        + ["-addext", f"subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:{backend.user}@corp.example"],
        cwd=desk.folder,
        check=True,
        capture_output=True,
        timeout=30,
    )
    flags = ("--client-cert-user", "upn=*@corp.example", "--client-cert-allow", "ou=Print*")
    gateway = guarded(start_gateway, desk, backend, *flags)
    assert isinstance(python(gateway, backend, desk, "upn"), list)


def test_the_certificate_names_its_user(start_backend, start_gateway, desk):
    backend = start_backend("pyftpdlib")
    desk.cert("create", "client", "--for", "client", "--authority", "my-authority", "--email", f"{backend.user}@example.com")
    gateway = guarded(start_gateway, desk, backend, "--client-cert-user", "email=*@example.com")
    assert isinstance(python(gateway, backend, desk, "client"), list)
    with pytest.raises(ftplib.error_perm, match="530 The certificate is another user's"):
        python(gateway, backend, desk, "joe")
    gateway.wait_for_event("command.refused", reason="other_certificate")


def test_a_certificate_logs_in_without_a_password(start_backend, start_gateway, desk):
    backend = start_backend("pyftpdlib")
    desk.cert("create", "client", "--for", "client", "--authority", "my-authority", "--common-name", backend.user)
    logins = desk["logins"]
    logins.write_text(f"{backend.user} {backend.password}\n")
    logins.chmod(0o600)
    gateway = guarded(start_gateway, desk, backend, "--client-cert-login", logins)
    context = ssl.create_default_context(cafile=desk["my-authority.crt"])
    context.load_cert_chain(desk["client.crt"], desk["client.key"])
    with ftplib.FTP_TLS(context=context, timeout=10) as client:
        client.connect(*gateway.address())
        client.auth()
        assert client.sendcmd(f"USER {backend.user}") == "232 Logged in by certificate."
        client.prot_p()
        assert client.pwd()
    done = curl(gateway, backend, desk, "--cert", desk["client.crt"], "--key", desk["client.key"], "-u", f"{backend.user}:")
    assert done.returncode == 0, done.stderr
    good = lftp(gateway, backend, desk, f"set ssl:cert-file {desk['client.crt']}", f"set ssl:key-file {desk['client.key']}")
    assert good.returncode == 0, good.stderr
    # The log is at debug level: every command and reply is in it.
    assert backend.password not in gateway.settled().log


def test_each_port_and_each_name_has_rules_of_its_own(backends, start_gateway, desk):
    backend = backends("pyftpdlib")
    free, guarded_port = free_port(), free_port()
    start_gateway(
        backend,
        *("--listen", f"127.0.0.1:{free}", "--listen", f"127.0.0.1:{guarded_port}", "--state-directory", desk["state"]),
        *("--client-cert-for", f"{guarded_port}=require", "--client-cert-for", "partner.example.com=require"),
        identity=desk.identity("ftps.example.com"),
    )

    def greeting(port, name, certificate=None):
        context = ssl.create_default_context(cafile=desk["my-authority.crt"])
        context.check_hostname = False
        if certificate:
            context.load_cert_chain(desk[f"{certificate}.crt"], desk[f"{certificate}.key"])
        with ftplib.FTP_TLS(context=context, timeout=10) as client:
            client.connect("127.0.0.1", port)
            client.host = name
            return client.login(backend.user, backend.password)

    assert greeting(free, "localhost").startswith("230")
    assert greeting(guarded_port, "localhost", "joe").startswith("230")
    assert greeting(free, "partner.example.com", "joe").startswith("230")
    for port, name in [(guarded_port, "localhost"), (free, "partner.example.com")]:
        with pytest.raises((ssl.SSLError, EOFError)):
            greeting(port, name)


def test_the_bundle_is_what_programs_with_windows_want(desk):
    (desk["pass"]).write_text("geheim\n")
    desk.cert("export", "joe", "--passphrase-file", "pass")
    done = subprocess.run(
        ["openssl", "pkcs12", "-in", desk["joe.p12"], "-passin", "pass:geheim", "-nodes"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "BEGIN PRIVATE KEY" in done.stdout and "CN = joe" in done.stdout
