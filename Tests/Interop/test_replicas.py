"""Gateways behind one address share the keys of session tickets: a session from one goes on at the other, and keys change."""

import base64
import os

import pytest
from processes import wait_until
from raw_client import Connection, tls_context


def greeted(gateway, context, session=None):
    """(the session to resume next, whether this one was resumed)"""
    with Connection.dial(gateway.address("implicit")) as client:
        client.start_tls(context, session=session)
        assert client.read_line().startswith(b"220")
        return client.session, client.is_resumed


@pytest.fixture
def replicas(backends, start_gateway, scratch):
    """Two gateways with these flags, each with a state directory of its own."""

    def start(*flags):
        return [
            start_gateway(backends("pyftpdlib"), *flags, "--state-directory", scratch / f"state{number}") for number in range(2)
        ]

    return start


def write(path, content):
    """As careful programs do it, so that nobody reads half a file."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    os.replace(fresh, path)


def lines(*keys):
    return b"".join(base64.b64encode(key) + b"\n" for key in keys)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["file", "secret"])
def test_a_session_from_one_resumes_on_the_other(replicas, scratch, identity, kind, version):
    path = scratch / "shared"
    write(path, lines(os.urandom(80), os.urandom(80)) if kind == "file" else os.urandom(32))
    one, two = replicas("--ticket-keys" if kind == "file" else "--ticket-secret-file", path)
    context = tls_context(identity, version)
    session, is_resumed = greeted(one, context)
    assert not is_resumed
    session, is_resumed = greeted(two, context, session)
    assert is_resumed
    assert greeted(one, context, session)[1]
    assert not one.settled().events("key.readable")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_without_shared_keys_nothing_is_resumed(replicas, identity, version):
    one, two = replicas()
    context = tls_context(identity, version)
    session, _ = greeted(one, context)
    assert not greeted(two, context, session)[1]
    assert greeted(one, context, session)[1]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_keys_rotate_in_the_file_one_replica_after_the_other(backends, start_gateway, scratch, identity, version):
    """Each replica has a copy of the file, and gets the new one at a time of its own."""
    keys = [os.urandom(80) for _ in range(5)]
    copies, gateways = [scratch / "copy0", scratch / "copy1"], []
    for number, copy in enumerate(copies):
        write(copy, lines(*keys[:2]))
        flags = ("--ticket-keys", copy, "--state-directory", scratch / f"state{number}")
        gateways.append(start_gateway(backends("pyftpdlib"), *flags))
    context = tls_context(identity, version)

    def rotate(number, which):
        before = len(gateways[number].settled().events("reload.done"))
        write(copies[number], lines(*which))
        wait_until(lambda: len(gateways[number].events("reload.done")) > before, 10, "the reload")

    one, two = gateways
    old, _ = greeted(one, context)
    # One has the new key, and encrypts with the one before it, which the other has already.
    rotate(0, keys[:3])
    between, is_resumed = greeted(one, context, old)
    assert is_resumed
    assert greeted(two, context, between)[1]
    rotate(1, keys[:3])
    for gateway in gateways:
        for session in (old, between):
            assert greeted(gateway, context, session)[1]
    # The first key is gone: what it encrypted gets a full handshake, what is newer goes on.
    for number in range(2):
        rotate(number, keys[1:4])
    for gateway in gateways:
        assert not greeted(gateway, context, old)[1]
        assert greeted(gateway, context, between)[1]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_another_secret_is_another_set_of_keys(replicas, scratch, identity, version):
    path = scratch / "secret"
    write(path, os.urandom(32))
    one, two = replicas("--ticket-secret-file", path)
    context = tls_context(identity, version)
    session, _ = greeted(one, context)
    write(path, os.urandom(32))
    for gateway in (one, two):
        gateway.wait_for_event("reload.done")
    for gateway in (one, two):
        assert not greeted(gateway, context, session)[1]
    session, _ = greeted(one, context)
    assert greeted(two, context, session)[1]


def test_data_connections_resume_at_the_replica_of_their_control_connection(replicas, scratch, identity, backends, connect):
    """A session got at one replica opens no data connection of a session at the other."""
    path = scratch / "shared"
    write(path, os.urandom(32))
    one, two = replicas("--ticket-secret-file", path, "--data-session", "require")
    backend = backends("pyftpdlib")
    backend.put("replica.bin", b"content")
    first = connect(one, login=backend)
    assert first.download(backend.path("replica.bin")) == b"content"
    second = connect(two, login=backend)
    stranger, _ = greeted(one, second.context)
    data = Connection.dial(second.passive())
    second.command(f"RETR {backend.path('replica.bin')}", 125, 150)
    second.protect_data(data, session=stranger)
    assert "resume" in second.expect(522).text
    data.close()


def test_a_key_file_that_everyone_can_read_is_warned_of(backends, start_gateway, scratch):
    path = scratch / "shared"
    path.write_bytes(os.urandom(32))
    path.chmod(0o644)
    gateway = start_gateway(backends("pyftpdlib"), "--ticket-secret-file", path)
    assert gateway.wait_for_event("key.readable")["key"] == str(path)
