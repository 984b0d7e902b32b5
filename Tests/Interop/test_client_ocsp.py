"""The authority's responder is asked about clients' certificates, and nobody but the client in question waits for it."""

import socket
import ssl
import subprocess
import threading

import pytest
from certificates import Identity
from gateway import binary
from processes import Process, free_port, wait_until
from raw_client import Connection, tls_context


class Authority:
    """Makes clients' certificates that name a responder, and plays that responder with `openssl ocsp`."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        for arguments in (["authority", "ca"], ["create", "server", "--authority", "ca", "--dns", "localhost"]):
            self.run(binary(), "cert", *arguments)
        self.server = Identity(folder / "server.crt", folder / "server.key")
        lines = []
        for serial, (name, status) in enumerate({"good": "V", "revoked": "R", "strange": None, "plain": "V"}.items(), 0x1001):
            self.run(
                "openssl",
                "req",
                "-newkey",
                "ed25519",
                "-nodes",
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.csr",
                "-subj",
                f"/CN={name}",
            )
            place = "" if name == "plain" else f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{self.port}/\n"
            (folder / "extensions").write_text(f"extendedKeyUsage=clientAuth\n{place}")
            self.run(
                *(
                    "openssl",
                    "x509",
                    "-req",
                    "-in",
                    f"{name}.csr",
                    "-CA",
                    "ca.crt",
                    "-CAkey",
                    "ca.key",
                    "-set_serial",
                    str(serial),
                ),
                *("-days", "30", "-extfile", "extensions", "-out", f"{name}.crt"),
            )
            if status:
                revoked = "250101000000Z,keyCompromise" if status == "R" else ""
                lines.append(f"{status}\t351231235959Z\t{revoked}\t{serial:X}\tunknown\t/CN={name}\n")
        (folder / "index.txt").write_text("".join(lines))

    def run(self, *command):
        subprocess.run(list(map(str, command)), cwd=self.folder, check=True, capture_output=True, timeout=30)

    def answer(self):
        files = [self.folder / name for name in ("index.txt", "ca.crt", "ca.crt", "ca.key")]
        options = zip(("-index", "-CA", "-rsigner", "-rkey"), files, strict=True)
        command = ["openssl", "ocsp", "-port", str(self.port), "-ndays", "1", *(str(word) for pair in options for word in pair)]
        self.process = Process("responder", command, self.folder)
        wait_until(lambda: "waiting for OCSP client connections" in self.process.log, 10, "the responder")

    def stop(self):
        if self.process:
            self.process.stop(2)

    def context(self, name, version=None):
        certificate = Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return tls_context(Identity(self.folder / "ca.crt", None), version, certificate=certificate)


@pytest.fixture
def authority(scratch):
    folder = scratch / "authority"
    folder.mkdir()
    authority = Authority(folder)
    yield authority
    authority.stop()


@pytest.fixture
def guarded(backends, start_gateway, authority):
    def start(check, *flags):
        rules = ("--client-cert", "require", "--client-ca", authority.folder / "ca.crt", "--client-ocsp", check)
        return start_gateway(backends("pyftpdlib"), *rules, *flags, identity=authority.server)

    return start


def greeting(gateway, context, session=None):
    with Connection.dial(gateway.address("implicit")) as client:
        client.start_tls(context, session=session)
        return client.read_line(), client.session


@pytest.mark.parametrize("check", ["soft", "hard"])
def test_whom_the_responder_calls_good_gets_in_and_resumes(guarded, authority, check):
    authority.answer()
    gateway = guarded(check)
    context = authority.context("good")
    line, session = greeting(gateway, context)
    assert line.startswith(b"220")
    gateway.wait_for_event("tls.client_accepted", subject="CN=good")
    # It is not asked again: what it said counts for a while.
    authority.stop()
    authority.process = None
    assert greeting(gateway, context, session)[0].startswith(b"220")
    assert greeting(gateway, context)[0].startswith(b"220")
    assert not gateway.settled().events("ocsp.client_failed")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("check", ["soft", "hard"])
def test_whom_it_calls_revoked_is_turned_away(guarded, authority, check, version):
    authority.answer()
    gateway = guarded(check)
    context = authority.context("revoked", version)
    # The handshake is over by the time that the answer comes: the connection ends in order, and without a greeting.
    line, _ = greeting(gateway, context)
    assert line == b""
    event = gateway.wait_for_event("tls.client_rejected", reason="revoked", subject="CN=revoked", channel="control")
    gateway.wait_for_event("session.closed", id=event["id"], reason="certificate_rejected")
    # From then on it is known, and the alert says why.
    with pytest.raises(ssl.SSLError, match="(?i)certificate.revoked"):
        greeting(gateway, context)
    assert not gateway.settled().events("tls.client_accepted")


@pytest.mark.parametrize("kind", ["good", "strange", "plain"])
def test_without_an_answer_soft_takes_it_and_hard_does_not(guarded, authority, kind):
    """Nobody listens; the responder does not know it; the certificate names none."""
    if kind == "strange":
        authority.answer()
    context = authority.context(kind)
    gateway = guarded("soft")
    assert greeting(gateway, context)[0].startswith(b"220")
    assert bool(gateway.settled().events("ocsp.client_failed")) == (kind != "plain")
    gateway = guarded("hard")
    assert greeting(gateway, context)[0] == b""
    gateway.wait_for_event("tls.client_rejected", reason="no_ocsp_answer", subject=f"CN={kind}")


def test_a_responder_that_says_nothing_holds_up_nobody_else(guarded, authority):
    gateway = guarded("soft", "--workers", "1")
    silent = socket.create_server(("127.0.0.1", authority.port))
    silent.settimeout(20)
    lines = []
    waits = threading.Thread(target=lambda: lines.append(greeting(gateway, authority.context("good"))[0]), daemon=True)
    waits.start()
    question, _ = silent.accept()
    # It waits for the answer; another client of the same worker does not.
    assert greeting(gateway, authority.context("plain"))[0].startswith(b"220")
    assert not lines
    # After five seconds it is let in, and for a while the responder is left alone.
    waits.join(20)
    assert lines and lines[0].startswith(b"220")
    silent.close()
    question.close()
    assert greeting(gateway, authority.context("good"))[0].startswith(b"220")
