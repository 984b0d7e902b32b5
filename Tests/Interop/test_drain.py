"""SIGTERM: new clients are refused, idle ones are told 421, and transfers finish, within --drain-timeout."""

import hashlib
import os
import signal
import socket
import time

import pytest
from raw_client import Truncated

# More than all buffers between backend and client hold: it is not over before the client reads.
LARGE = os.urandom(1 << 20) * 48


def digest(content):
    return hashlib.sha256(content).hexdigest()


def is_refused(gateway):
    try:
        socket.create_connection(gateway.address(), 5).close()
        return False
    except ConnectionRefusedError:
        return True


def begin_download(connect, gateway, backend, name):
    """A client in the middle of a download, with all of LARGE but the first bytes to come."""
    client = connect(gateway, login=backend)
    data = client.open_data("EPSV", f"RETR {backend.path(name)}")
    return client, data, data.read_exactly(1000)


def test_an_idle_session_is_told_421(backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    unsecured = connect(gateway, secure=False)
    gateway.signal(signal.SIGTERM)
    began = time.monotonic()
    assert "again later" in client.expect(421).text
    assert client.read() == b"", "something follows the 421"
    unsecured.expect(421)
    client.close()
    unsecured.close()
    assert gateway.wait(10) == 0
    assert time.monotonic() - began < 5
    assert len(gateway.settled().events("session.closed", reason="shutdown")) == 2


def test_a_running_download_finishes(backends, start_gateway, connect):
    backend = backends("vsftpd")
    backend.put("large-drain", LARGE)
    gateway = start_gateway(backend)
    client, data, first = begin_download(connect, gateway, backend, "large-drain")
    gateway.signal(signal.SIGTERM)
    gateway.wait_for_event("drain.listeners_closed")
    assert is_refused(gateway)
    assert digest(first + data.read_all()) == digest(LARGE)
    data.close()
    client.expect(226)
    client.expect(421)
    client.close()
    assert gateway.wait(10) == 0


def test_a_running_upload_finishes(backends, start_gateway, connect):
    backend = backends("vsftpd")
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    data = client.open_data("EPSV", f"STOR {backend.path('drained-upload')}")
    half = len(LARGE) // 2
    data.send(LARGE[:half])
    gateway.signal(signal.SIGTERM)
    gateway.wait_for_event("drain.listeners_closed")
    data.send(LARGE[half:])
    data.close_notify()
    data.finish()
    client.expect(226)
    client.expect(421)
    data.close()
    client.close()
    assert gateway.wait(10) == 0
    assert digest((backend.files / "drained-upload").read_bytes()) == digest(LARGE)


@pytest.mark.parametrize("setup", ["PASV", "EPSV", "PORT"])
def test_a_session_at_work_may_still_begin_a_transfer(backends, start_gateway, connect, setup):
    backend = backends("pyftpdlib")
    content = b"begun while the gateway drains"
    backend.put("begun-in-drain", content)
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    gateway.signal(signal.SIGTERM)
    gateway.wait_for_event("drain.listeners_closed")
    for _ in range(2):
        assert client.download(backend.path("begun-in-drain"), setup) == content
    client.expect(421)
    client.close()
    assert gateway.wait(10) == 0


def test_new_clients_are_taken_during_the_delay(backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, "--drain-delay", "2s")
    gateway.signal(signal.SIGTERM)
    began = time.monotonic()
    gateway.wait_for_event("drain.started")
    client = connect(gateway, login=backend)
    assert not gateway.settled().events("drain.listeners_closed")
    gateway.wait_for_event("drain.listeners_closed")
    assert time.monotonic() - began >= 1.9
    assert is_refused(gateway)
    client.expect(421)
    client.close()
    assert gateway.wait(10) == 0


def test_what_is_left_at_the_limit_is_cut(backends, start_gateway, connect):
    backend = backends("vsftpd")
    backend.put("large-drain", LARGE)
    gateway = start_gateway(backend, "--drain-timeout", "1500ms")
    client, data, _ = begin_download(connect, gateway, backend, "large-drain")
    gateway.signal(signal.SIGTERM)
    began = time.monotonic()
    assert gateway.wait(10) == 1
    assert 1.4 < time.monotonic() - began < 2.5
    with pytest.raises((Truncated, ConnectionResetError)):
        data.read_all()
    client.expect(421)
    assert gateway.settled().events("drain.forced", sessions=1)
    (cut,) = gateway.events("transfer", reason="shutdown")
    assert 0 < cut["bytes"] < len(LARGE), cut


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(backends, start_gateway, connect, second):
    backend = backends("vsftpd")
    backend.put("large-drain", LARGE)
    gateway = start_gateway(backend)
    _, data, _ = begin_download(connect, gateway, backend, "large-drain")
    gateway.signal(signal.SIGTERM)
    gateway.wait_for_event("drain.listeners_closed")
    began = time.monotonic()
    gateway.signal(second)
    assert gateway.wait(10) == 1
    assert time.monotonic() - began < 1
    with pytest.raises((Truncated, ConnectionResetError)):
        data.read_all()


def test_a_hangup_during_the_drain_does_no_harm(backends, start_gateway, connect):
    backend = backends("vsftpd")
    backend.put("large-drain", LARGE)
    gateway = start_gateway(backend)
    client, data, first = begin_download(connect, gateway, backend, "large-drain")
    gateway.signal(signal.SIGTERM)
    gateway.wait_for_event("drain.started")
    gateway.signal(signal.SIGHUP)
    gateway.wait_for_event("reload.ignored")
    assert digest(first + data.read_all()) == digest(LARGE)
    client.expect(226)
    client.expect(421)
    client.close()
    assert gateway.wait(10) == 0


def test_zero_is_no_limit(backends, start_gateway, connect):
    backend = backends("vsftpd")
    backend.put("large-drain", LARGE)
    gateway = start_gateway(backend, "--drain-timeout", "0")
    client, data, first = begin_download(connect, gateway, backend, "large-drain")
    gateway.signal(signal.SIGTERM)
    gateway.wait_for_event("drain.listeners_closed")
    # Another client's 421 takes a moment; a limit of zero taken by its word would have cut both by then.
    assert data.receives_nothing(0.01) is not None
    assert digest(first + data.read_all()) == digest(LARGE)
    client.expect(226)
    client.expect(421)
    client.close()
    assert gateway.wait(10) == 0
    assert not gateway.settled().events("drain.forced")
