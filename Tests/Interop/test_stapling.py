"""An authority's word that the certificate is not revoked lies beside it as FILE.ocsp, and clients that ask get it."""

import subprocess

import pytest
from certificates import Identity, make_identity
from gateway import StartFailed


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, timeout=30, **options)


@pytest.fixture
def signed(scratch):
    """A certificate signed by an authority, with the authority's behind it in the file, and the means to answer for it."""
    authority = make_identity(scratch, name="authority", common_name="Authority")
    key, request, leaf = scratch / "server.key", scratch / "server.csr", scratch / "leaf.crt"
    openssl(
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        key,
        "-out",
        request,
        "-subj",
        "/CN=localhost",
    )
    openssl(
        "x509",
        "-req",
        "-in",
        request,
        "-CA",
        authority.certificate,
        "-CAkey",
        authority.key,
        "-set_serial",
        "4660",
        "-days",
        "30",
        "-out",
        leaf,
    )
    chain = scratch / "server.crt"
    chain.write_text(leaf.read_text() + authority.certificate.read_text())
    return Identity(chain, key), leaf, authority


def answer(scratch, leaf, authority, target, *, status="V", days="7"):
    index = scratch / "index.txt"
    revoked = "250101000000Z,keyCompromise" if status == "R" else ""
    index.write_text(f"{status}\t351231235959Z\t{revoked}\t1234\tunknown\t/CN=localhost\n")
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
