"""An authority's word that the certificate is not revoked lies beside it as FILE.ocsp, and clients that ask get it."""

import subprocess

import pytest
from certificates import Identity, make_identity
from gateway import StartFailed
from processes import Process, free_port, wait_until


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, timeout=30, **options)


def sign(scratch, *extensions):
    """A certificate signed by an authority, with the authority's behind it in the file, and the means to answer for it."""
    authority = make_identity(scratch, name="authority", common_name="Authority")
    key, request, leaf = scratch / "server.key", scratch / "server.csr", scratch / "leaf.crt"
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key)
    openssl("req", *new_key, "-out", request, "-subj", "/CN=localhost")
    (scratch / "extensions").write_text("\n".join(["basicConstraints=CA:FALSE", *extensions]))
    by = ("-CA", authority.certificate, "-CAkey", authority.key, "-set_serial", "4660", "-days", "30")
    openssl("x509", "-req", "-in", request, *by, "-extfile", scratch / "extensions", "-out", leaf)
    chain = scratch / "server.crt"
    chain.write_text(leaf.read_text() + authority.certificate.read_text())
    return Identity(chain, key), leaf, authority


@pytest.fixture
def signed(scratch):
    return sign(scratch)


def write_index(scratch, status="V"):
    index = scratch / "index.txt"
    revoked = "250101000000Z,keyCompromise" if status == "R" else ""
    index.write_text(f"{status}\t351231235959Z\t{revoked}\t1234\tunknown\t/CN=localhost\n")
    return index


def answer(scratch, leaf, authority, target, *, status="V", days="7"):
    index = write_index(scratch, status)
    openssl(
        "ocsp", "-index", index, "-CA", authority.certificate, "-rsigner", authority.certificate, "-rkey", authority.key,
        "-issuer", authority.certificate, "-cert", leaf, "-ndays", days, "-respout", target, "-noverify",
    )  # fmt: skip


def shown(gateway):
    host, port = gateway.address("implicit")
    return openssl("s_client", "-connect", f"{host}:{port}", "-status", input="").stdout


def test_a_response_beside_the_certificate_is_stapled(backends, start_gateway, scratch, signed):
    identity, leaf, authority = signed
    answer(scratch, leaf, authority, f"{identity.certificate}.ocsp")
    gateway = start_gateway(backends("pyftpdlib"), identity=identity)
    text = shown(gateway)
    assert "OCSP Response Status: successful" in text
    assert "Cert Status: good" in text


def test_without_one_nothing_is_stapled(backends, start_gateway, signed):
    identity, _, _ = signed
    gateway = start_gateway(backends("pyftpdlib"), identity=identity)
    assert "OCSP response: no response sent" in shown(gateway)


def test_a_fresh_response_is_taken_up(backends, start_gateway, scratch, signed):
    identity, leaf, authority = signed
    gateway = start_gateway(backends("pyftpdlib"), identity=identity)
    answer(scratch, leaf, authority, scratch / "fresh")
    (scratch / "fresh").rename(f"{identity.certificate}.ocsp")
    gateway.wait_for_event("reload.done")
    assert "Cert Status: good" in shown(gateway)


def test_a_response_that_is_no_good_is_named(backends, start_gateway, scratch, signed):
    identity, leaf, authority = signed
    staple = f"{identity.certificate}.ocsp"
    stranger = make_identity(scratch, name="stranger", common_name="Authority")

    def refused():
        with pytest.raises(StartFailed) as failure:
            start_gateway(backends("pyftpdlib"), identity=identity)
        assert failure.value.status == 64
        return failure.value.log

    answer(scratch, leaf, authority, staple, status="R")
    assert "it says that the certificate is not good" in refused()
    answer(scratch, leaf, stranger, staple)
    assert "it is not signed by the certificate's issuer" in refused()
    with open(staple, "w") as file:
        file.write("nonsense")
    assert "it is no OCSP response in DER" in refused()


@pytest.fixture
def responder(scratch):
    """OpenSSL's own responder, and a certificate that names it."""
    port = free_port()
    identity, _, authority = sign(scratch, f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/")
    answers = ("-index", write_index(scratch), "-CA", authority.certificate, "-ndays", "7")
    signer = ("-rsigner", authority.certificate, "-rkey", authority.key)
    command = ["openssl", "ocsp", "-port", str(port), *map(str, answers), *map(str, signer)]
    process = Process("responder", command, scratch)
    # A connection without a request would keep it busy.
    wait_until(lambda: "waiting for OCSP client connections" in process.log, 10, "the responder")
    yield identity
    process.stop(2)


def test_the_responder_is_asked_where_the_operator_wants_it(backends, start_gateway, responder):
    gateway = start_gateway(backends("pyftpdlib"), "--ocsp-fetch", identity=responder)
    gateway.wait_for_event("ocsp.stapled")
    assert "Cert Status: good" in shown(gateway)


def test_it_is_not_asked_unless_told(backends, start_gateway, responder):
    gateway = start_gateway(backends("pyftpdlib"), identity=responder)
    assert "OCSP response: no response sent" in shown(gateway)
    assert not gateway.settled().events("ocsp.stapled")


def test_a_responder_that_is_not_there_does_no_harm(backends, start_gateway, scratch):
    identity, _, _ = sign(scratch, f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{free_port()}/")
    gateway = start_gateway(backends("pyftpdlib"), "--ocsp-fetch", identity=identity)
    assert gateway.wait_for_event("ocsp.failed")["reason"] == "it cannot be reached"
    wait_until(lambda: "OCSP response: no response sent" in shown(gateway), 5, "a handshake without a staple")
