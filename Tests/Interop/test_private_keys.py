"""Private keys: encrypted ones open with what the operator names, and one that everyone can read is warned of."""

import subprocess

import pytest
from certificates import Identity
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
    assert "ge heim" not in gateway.log


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
