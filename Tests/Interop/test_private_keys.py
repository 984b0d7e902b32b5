"""Private keys: encrypted ones open with what the operator names, and one that everyone can read is warned of."""

import os
import re
import signal
import subprocess

import pytest
from certificates import Identity, make_identity
from gateway import StartFailed, binary
from raw_client import Connection, tls_context


@pytest.fixture
def encrypted(scratch):
    (scratch / "passphrase").write_text("ge heim\n")
    subprocess.run(
        [binary(), "cert", "create", "server", "--dns", "localhost", "--encrypt", "--passphrase-file", "passphrase"],
        cwd=scratch,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return Identity(scratch / "server.crt", scratch / "server.key")


@pytest.mark.parametrize("source", ["file", "env", "command"])
def test_an_encrypted_key_opens(backends, start_gateway, scratch, encrypted, source):
    value = {"file": scratch / "passphrase", "env": "SECRET", "command": f"cat {scratch}/passphrase"}[source]
    gateway = start_gateway(
        backends("pyftpdlib"),
        *(f"--key-passphrase-{source}", value),
        identity=encrypted,
        environment={"SECRET": "ge heim"},
    )
    with Connection.dial(gateway.address("implicit")) as client:
        client.start_tls(tls_context(encrypted))
        assert client.read_line().startswith(b"220")
    assert "ge heim" not in gateway.settled().log


def test_without_a_passphrase_the_start_fails_with_one_sentence(backends, start_gateway, encrypted):
    with pytest.raises(StartFailed) as failure:
        start_gateway(backends("pyftpdlib"), identity=encrypted)
    status, log = failure.value.status, failure.value.log
    assert status == 64
    assert len(log.strip().splitlines()) == 1 and "is encrypted, and no passphrase was given" in log


def test_a_key_that_everyone_can_read_is_warned_of(backends, start_gateway, identity, scratch):
    key = scratch / "open.key"
    key.write_bytes(identity.key.read_bytes())
    key.chmod(0o644)
    gateway = start_gateway(backends("pyftpdlib"), identity=Identity(identity.certificate, key))
    assert "chmod 600" in gateway.wait_for_event("key.readable")["remedy"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_are_resumed_after_a_restart(backends, start_gateway, identity, scratch, version):
    flags = ("--state-directory", scratch / "kept-state")
    context = tls_context(identity, version)
    first = start_gateway(backends("pyftpdlib"), *flags)
    with Connection.dial(first.address("implicit")) as client:
        client.start_tls(context)
        assert client.read_line().startswith(b"220")
        session = client.session
    assert first.end() == 0
    second = start_gateway(backends("pyftpdlib"), *flags)
    with Connection.dial(second.address("implicit")) as client:
        client.start_tls(context, session=session)
        assert client.read_line().startswith(b"220")
        assert client.is_resumed
    assert oct((scratch / "kept-state" / "ticket.secret").stat().st_mode & 0o777) == "0o600"


def bundle_of_openssl(scratch, identity, passphrase, *options):
    """As `openssl pkcs12 -export` makes it: the root before the intermediate, the key's certificate anywhere."""
    bundle = scratch / "openssl.p12"
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", identity.certificate, "-inkey", identity.key, "-name", "gateway"]
        + ["-passout", f"pass:{passphrase}", "-out", bundle, *map(str, options)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    bundle.chmod(0o600)
    return bundle


def bundle_of_ftpsgate(scratch, identity, passphrase):
    (scratch / "export-passphrase").write_text(f"{passphrase}\n")
    subprocess.run(
        [binary(), "cert", "export", "own", "--cert", identity.certificate, "--key", identity.key, "--force"]
        + ["--passphrase-file", "export-passphrase"],
        cwd=scratch,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return scratch / "own.p12"


def greets(gateway, trusted):
    """A client that trusts this certificate alone is greeted."""
    with Connection.dial(gateway.address("implicit")) as client:
        client.start_tls(tls_context(trusted))
        assert client.read_line().startswith(b"220")


@pytest.mark.parametrize("maker", [bundle_of_openssl, bundle_of_ftpsgate])
@pytest.mark.parametrize("source", ["file", "env", "command"])
def test_a_bundle_serves_as_certificate_and_key(backends, start_gateway, scratch, identity, maker, source):
    bundle = maker(scratch, identity, "ge heim ü")
    (scratch / "passphrase").write_bytes("ge heim ü\r\n".encode())
    (scratch / "passphrase").chmod(0o600)
    value = {"file": scratch / "passphrase", "env": "SECRET", "command": f"cat {scratch}/passphrase"}[source]
    flags = ("--cert", bundle, f"--key-passphrase-{source}", value)
    gateway = start_gateway(backends("pyftpdlib"), *flags, identity=None, environment={"SECRET": "ge heim ü"})
    greets(gateway, identity)
    assert "ge heim" not in gateway.settled().log
    assert not gateway.events("key.readable")


def test_a_passphrase_comes_from_a_descriptor_and_survives_a_reload(backends, start_gateway, scratch, identity):
    bundle = bundle_of_openssl(scratch, identity, "by pipe")
    reading, writing = os.pipe()
    os.write(writing, b"by pipe\nnot this\n")
    os.close(writing)
    flags = ("--cert", bundle, "--key-passphrase-fd", reading)
    gateway = start_gateway(backends("pyftpdlib"), *flags, identity=None, descriptors=(reading,))
    os.close(reading)
    greets(gateway, identity)
    gateway.signal(signal.SIGHUP)
    gateway.wait_for_event("reload.done")
    greets(gateway, identity)


def test_a_bundle_without_passphrase_and_an_old_one_work(backends, start_gateway, scratch, identity):
    gateway = start_gateway(backends("pyftpdlib"), "--cert", bundle_of_openssl(scratch, identity, ""), identity=None)
    greets(gateway, identity)
    old = ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1")
    flags = ("--cert", bundle_of_openssl(scratch, identity, "old", *old), "--key-passphrase-env", "SECRET")
    gateway = start_gateway(backends("pyftpdlib"), *flags, identity=None, environment={"SECRET": "old"})
    greets(gateway, identity)


def test_a_bundle_brings_its_chain_in_order(backends, start_gateway, scratch):
    def cert(*arguments):
        subprocess.run([binary(), "cert", *arguments], cwd=scratch, check=True, capture_output=True, timeout=30)

    cert("authority", "root")
    for name, above in [("upper", "root"), ("lower", "upper")]:
        cert("authority", name, "--authority", above)
    cert("create", "server", "--authority", "lower", "--dns", "localhost")
    (scratch / "others.pem").write_text("".join((scratch / f"{name}.crt").read_text() for name in ("root", "upper")))
    bundle = bundle_of_openssl(
        scratch, Identity(scratch / "server.crt", scratch / "server.key"), "x", "-certfile", scratch / "others.pem"
    )
    flags = ("--cert", bundle, "--key-passphrase-env", "SECRET")
    gateway = start_gateway(backends("pyftpdlib"), *flags, identity=None, environment={"SECRET": "x"})
    host, port = gateway.address("implicit")
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", scratch / "root.crt", "-showcerts"],
        input="",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "Verify return code: 0 (ok)" in done.stdout
    assert re.findall(r"s:CN = (\w+)", done.stdout)[:3] == ["server", "lower", "upper"]


def test_a_renewed_bundle_is_taken_up(backends, start_gateway, scratch, identity):
    first = bundle_of_openssl(scratch, identity, "x")
    flags = ("--cert", first, "--key-passphrase-env", "SECRET")
    gateway = start_gateway(backends("pyftpdlib"), *flags, identity=None, environment={"SECRET": "x"})
    (scratch / "renewed").mkdir()
    renewed = make_identity(scratch / "renewed")
    bundle_of_ftpsgate(scratch, renewed, "x").rename(first)
    gateway.wait_for_event("reload.done", cause="files")
    greets(gateway, renewed)
    # One that another passphrase opens changes nothing.
    bundle_of_ftpsgate(scratch, identity, "another").rename(first)
    assert "The passphrase does not open" in gateway.wait_for_event("reload.failed", timeout=15)["reason"]
    greets(gateway, renewed)


@pytest.mark.parametrize("kind", ["wrong", "none", "nokey", "junk", "missing", "rc2", "with_key"])
def test_a_bundle_that_does_not_open_gets_one_sentence(backends, start_gateway, scratch, identity, kind):
    options = {
        "nokey": ("-nokeys",),
        "rc2": ("-legacy", "-certpbe", "PBE-SHA1-RC2-40"),
    }.get(kind, ())
    bundle = bundle_of_openssl(scratch, identity, "x", *options)
    if kind == "junk":
        bundle.write_text("hello\n")
    if kind == "missing":
        bundle.unlink()
    flags = ["--cert", bundle]
    if kind != "none":
        flags += ["--key-passphrase-env", "SECRET"]
    if kind == "with_key":
        flags += ["--key", identity.key]
    with pytest.raises(StartFailed) as failure:
        secret = "y" if kind == "wrong" else "x"
        start_gateway(backends("pyftpdlib"), *flags, identity=None, environment={"SECRET": secret})
    expected = {
        "wrong": "The passphrase does not open",
        "none": "is encrypted, and no passphrase was given; name one of --key-passphrase-file",
        "nokey": "is no PKCS #12 bundle of a key and its certificate",
        "junk": "is no PKCS #12 bundle of a key and its certificate",
        "missing": "No such file or directory",
        "rc2": "an old cipher (RC2 or single DES)",
        "with_key": "give each --cert its --key, and a .p12 or .pfx file none",
    }[kind]
    assert failure.value.status == 64
    assert expected in failure.value.log and len(failure.value.log.strip().splitlines()) == 1, failure.value.log
