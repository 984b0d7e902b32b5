"""ABOR in the middle of a transfer ends the transfer, not the session."""

import ftplib
import threading

import clients
import pytest
from clients import Route, some_bytes
from raw_client import Truncated

BIG = 64 * 1024 * 1024


def _read_replies_to_abor(client):
    """One or two: a 4yz and one more, or a 2yz alone. Pure-FTPd calls a broken download 150, without a gateway as well."""
    first = client.expect(150, 225, 226, 426, 450, 451)
    if first.code // 100 != 2:
        client.expect(225, 226, 451)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib", "proftpd", "pureftpd"])
def test_a_download_is_aborted_and_the_session_goes_on(server, version, backends, gateways, connect):
    backend = backends(server)
    (backend.put("big", b"")).write_bytes(some_bytes(BIG))
    backend.put("small", b"content")
    gateway = gateways(backend)
    client = connect(gateway, login=backend, version=version)
    for _ in range(3):
        data = client.open_data("EPSV", f"RETR {backend.path('big')}")
        data.read_exactly(100_000)
        client.send(b"ABOR\r\n")
        _read_replies_to_abor(client)
        with pytest.raises(Truncated):
            data.read_all()
        assert client.command("NOOP", 200)
        assert client.download(backend.path("small")) == b"content"
    host, port = client.socket.getsockname()
    client.quit()
    end = gateway.wait_for_event("session.closed", client=f"{host}:{port}")
    aborted = gateway.settled().events("transfer", id=end["id"], reason="aborted")
    assert len(aborted) == 3 and all(100_000 <= transfer["bytes"] <= BIG for transfer in aborted), aborted


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib", "proftpd", "pureftpd"])
def test_an_upload_is_aborted_and_the_session_goes_on(server, backends, gateways, connect):
    backend = backends(server)
    client = connect(gateways(backend), login=backend)
    data = client.open_data("EPSV", f"STOR {backend.path('aborted')}")
    data.send(some_bytes(500_000))
    client.send(b"ABOR\r\n")
    _read_replies_to_abor(client)
    data.close()
    client.command("NOOP", 200)
    client.upload(backend.path("after"), b"content")
    assert (backend.files / "after").read_bytes() == b"content"


def test_abor_with_telnet_signals_and_urgent_data(backends, gateways, connect):
    """IAC IP, IAC DM before it, as RFC 959 has it; over TLS urgency is gone and the bytes remain."""
    backend = backends("vsftpd")
    (backend.put("big", b"")).write_bytes(some_bytes(BIG))
    client = connect(gateways(backend), login=backend)
    data = client.open_data("EPSV", f"RETR {backend.path('big')}")
    data.read_exactly(1000)
    client.send(b"\xff\xf4\xff\xf2ABOR\r\n")
    _read_replies_to_abor(client)
    client.command("NOOP", 200)


@pytest.mark.parametrize("server", ["vsftpd", "proftpd", "pureftpd", "inetutils"])
def test_abor_with_urgent_data_on_a_clear_control_connection(server, backends, start_gateway, connect):
    """As Telnet's Synch has it (RFC 959 section 4.1.3): IAC IP, then DM as TCP's urgent byte, in line for whoever reads it."""
    backend = backends(server)
    (backend.put("big", b"")).write_bytes(some_bytes(BIG))
    gateway = start_gateway(backend, "--control-tls", "optional", "--data-tls", "optional")
    client = connect(gateway, secure=False, login=backend)
    setup = "PASV" if server == "inetutils" else "EPSV"
    data = client.open_data(setup, f"RETR {backend.path('big')}")
    data.read_exactly(1000)
    client.send(b"\xff\xf4\xff", urgent=True)
    client.send(b"\xf2", urgent=True)
    client.send(b"ABOR\r\n")
    _read_replies_to_abor(client)
    data.close()
    client.command("NOOP", 200)
    client.command("PWD", 257)


def test_the_backend_gets_no_urgent_data(scripted, start_gateway, connect):
    """Some servers never read it: ABOR goes to them as a line like any other."""
    backend = scripted()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"some bytes")
        assert peer.read_line() == b"ABOR\r\n"
        peer.send(b"426 Aborted\r\n226 ABOR done\r\n")
        peer.close_data()

    backend.on("RETR", retr)
    client = connect(start_gateway(backend, "--control-tls", "optional"), secure=False, login=backend)
    client.command("AUTH TLS", 503)
    other = connect(start_gateway(backend), login=backend)
    data = other.open_data("EPSV", "RETR a")
    data.read_exactly(10)
    other.send(b"\xff\xf4\xff\xf2ABOR\r\n")
    other.expect(426)
    other.expect(226)
    assert b"\xff" not in backend.sessions[1].received and b"\xf2" not in backend.sessions[1].received


def test_abor_when_nothing_runs(backends, gateways, connect):
    backend = backends("pyftpdlib")
    client = connect(gateways(backend), login=backend)
    client.command("ABOR", 225, 226)
    client.command("NOOP", 200)


def test_a_client_that_does_not_read_can_abort(backends, gateways, connect):
    """Its data connection is full to the brim, and its ABOR must come through all the same."""
    backend = backends("vsftpd")
    (backend.put("big", b"")).write_bytes(some_bytes(BIG))
    client = connect(gateways(backend), login=backend)
    data = client.open_data("EPSV", f"RETR {backend.path('big')}")
    assert client.receives_nothing(0.5), "the transfer cannot be over"
    client.send(b"ABOR\r\n")
    _read_replies_to_abor(client)
    data.close()
    client.command("NOOP", 200)


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_python_closes_early_and_goes_on(server, backends, gateways):
    """What most programs do instead of ABOR."""
    backend = backends(server)
    (backend.put("big", b"")).write_bytes(some_bytes(BIG))
    backend.put("small", b"content")
    with clients.ftplib_resuming.open(Route(gateways(backend), backend)) as ftp:
        connection = ftp.transfercmd(f"RETR {backend.path('big')}")
        connection.recv(1000)
        connection.close()
        with pytest.raises(ftplib.error_temp, match="426|450|451"):
            ftp.voidresp()
        got = []
        ftp.retrbinary(f"RETR {backend.path('small')}", got.append)
        assert b"".join(got) == b"content"


def test_quit_and_noop_during_a_transfer(scripted, start_gateway, connect):
    """NOOP is answered at once, since most servers would answer only after the transfer; QUIT waits its turn."""
    backend = scripted()
    gate = threading.Event()

    def retr(peer, _):
        peer.send(b"150 Soon.\r\n")
        data = peer.open_data()
        data.sendall(b"first half, ")
        peer.wait(gate)
        data.sendall(b"second half")
        peer.close_data()
        peer.send(b"226 Done.\r\n")

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_exactly(12) == b"first half, "
    client.command("NOOP", 200)
    client.send(b"QUIT\r\n")
    assert client.receives_nothing(0.2)
    gate.set()
    assert data.read_all() == b"second half"
    client.expect(226)
    client.expect(221)
    assert "NOOP" not in backend.verbs()
