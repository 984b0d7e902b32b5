"""Whose data connection is it? What clients do with TLS sessions, and what `--data-session` makes of it."""

import ssl

import pytest
from raw_client import tls_context


def _backend(backends):
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    return backend, backend.path("small")


def _fetch(client, path, session, resumes):
    """One download with that session offered (None: none)."""
    data = client.dial_data(client.passive("EPSV"), resume=session is not None, session=session)
    client.command(f"RETR {path}", 125, 150)
    assert data.is_resumed is resumes
    assert data.read_all() == b"content"
    data.close()
    client.expect(226)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_one_ticket_for_ever(version, backends, start_gateway, connect):
    backend, path = _backend(backends)
    client = connect(start_gateway(backend, "--data-session", "require"), login=backend, version=version)
    client.passive("EPSV")
    first = client.session
    for _ in range(20):
        _fetch(client, path, first, True)


def test_session_ids_without_tickets(backends, start_gateway, connect, identity):
    """TLS 1.2 before RFC 5077, as on some appliances."""
    backend, path = _backend(backends)
    context = tls_context(identity, "1.2")
    context.options |= ssl.OP_NO_TICKET
    client = connect(start_gateway(backend, "--data-session", "require"), login=backend, context=context)
    assert not client.session.has_ticket
    for _ in range(20):
        _fetch(client, path, client.session, True)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_anothers_session_is_declined(version, backends, start_gateway, connect, identity):
    """Programs with one cache for all connections. By the address alone it is the client, and that is counted."""
    backend, path = _backend(backends)
    context = tls_context(identity, version)
    for choice in ("prefer", "require"):
        gateway = start_gateway(backend, "--data-session", choice)
        one = connect(gateway, login=backend, context=context)
        other = connect(gateway, login=backend, context=context)
        one.passive("EPSV")
        foreign = one.session
        if choice == "prefer":
            _fetch(other, path, foreign, False)
            assert gateway.wait_for_event("data.would_be_refused")["reason"] == "data_session_foreign"
        else:
            data = other.dial_data(other.passive("EPSV"), session=foreign)
            other.send(f"RETR {path}\r\n".encode())
            other.expect(125, 150, 522)
            other.expect(522) if not gateway.settled().events("transfer") else None
            assert gateway.wait_for_event("transfer")["reason"] == "data_session_foreign"
            data.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_control_connection_that_resumes_another_has_sessions_of_its_own(version, backends, start_gateway, connect, identity):
    backend, path = _backend(backends)
    gateway = start_gateway(backend, "--data-session", "require", "--passive-ports", "0:1")
    context = tls_context(identity, version)
    first = connect(gateway, login=backend, context=context)
    first.passive("EPSV")
    second = connect(gateway, context=context, secure=False)
    second.secure(session=first.session)
    assert second.is_resumed == (version == "1.3" or second.session.has_ticket)
    second.login(backend.user, backend.password)
    first.command("NOOP", 200)
    for _ in range(5):
        for client in (first, second):
            _fetch_with_newest(client, path)


def _fetch_with_newest(client, path):
    address = client.passive("EPSV")
    data = client.dial_data(address, session=client.session)
    client.command(f"RETR {path}", 125, 150)
    assert data.is_resumed and data.read_all() == b"content"
    data.close()
    client.expect(226)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    "rule,is_served",
    [("off", True), ("prefer", True), ("require", False), ("require,127.0.0.0/8=prefer", True), ("off,127.0.0.1=require", False)],
)
def test_who_never_resumes(rule, is_served, version, backends, start_gateway, connect):
    backend, path = _backend(backends)
    gateway = start_gateway(backend, "--data-session", rule)
    client = connect(gateway, login=backend, version=version)
    for _ in range(3):
        if is_served:
            _fetch(client, path, None, False)
        else:
            data = client.dial_data(client.passive("EPSV"), protect=False)
            client.command(f"RETR {path}", 125, 150)
            client.protect_data(data, resume=False)
            assert "resumed" in client.expect(522).text
            data.close()
    counted = len(gateway.settled().events("data.would_be_refused", reason="data_not_resumed"))
    assert counted == (3 if "prefer" in rule else 0)
