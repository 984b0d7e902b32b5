"""A transfer that was cut never looks complete, on either side, whoever cut it and wherever."""

import random
import threading

import clients
import pytest
from clients import some_bytes
from processes import wait_until
from raw_client import Truncated

OFFSETS = [0, 1, 16 * 1024 - 1, 16 * 1024, 100_000]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("ending", ["FIN", "RST"])
@pytest.mark.parametrize("offset", OFFSETS)
def test_an_upload_without_close_notify(offset, ending, version, scripted, start_gateway, connect):
    """The client is told that it is incomplete; the backend sees a reset and never a FIN."""
    backend = scripted()
    endings = []

    def stor(peer, argument):
        peer.send(b"150 Go on.\r\n")
        peer.open_data()
        endings.append(peer.read_data())
        peer.close_data()
        # Whatever it says: the worst one says that all is well.
        peer.send(b"226 Stored, says the backend.\r\n")

    backend.on("STOR", stor)
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend, version=version)
    data = client.open_data("EPSV", "STOR a")
    data.send(some_bytes(offset))
    if ending == "FIN":
        data.finish()
    else:
        data.reset()
    assert "close_notify" in client.expect(426).text
    wait_until(lambda: endings, what="the backend's data connection has ended")
    assert endings[0][1] == "reset"
    client.command("NOOP", 200)
    assert backend.wait_for_command("ABOR")
    event = gateway.wait_for_event("transfer")
    assert (event["code"], event["reason"]) == (426, "upload_truncated" if ending == "FIN" else "upload_reset")


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib", "proftpd", "pureftpd"])
def test_real_servers_do_not_report_a_cut_upload_as_complete(server, backends, gateways, connect):
    backend = backends(server)
    client = connect(gateways(backend), login=backend)
    for offset in OFFSETS:
        path = backend.path(f"cut-{offset}")
        data = client.open_data("EPSV", f"STOR {path}")
        data.send(some_bytes(offset))
        data.finish()
        client.expect(426)
        data.close()
        client.command("NOOP", 200)
    client.upload(backend.path("whole"), b"content")
    assert (backend.files / "whole").read_bytes() == b"content"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("cut", ["within a record", "within a header"])
def test_an_upload_that_ends_inside_a_record(cut, version, scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend, "--upload-eof", "lenient"), login=backend, version=version)
    data = client.open_data("EPSV", "STOR a")
    data.send(b"whole record")
    record = data.encrypt(b"cut record")
    data.send_below_tls(record[:-3] if cut == "within a record" else record[:3])
    data.finish()
    client.expect(426)


def test_lenient_forgives_a_fin_between_records_and_nothing_else(scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend, "--upload-eof", "lenient:127.0.0.0/8"), login=backend)
    data = client.open_data("EPSV", "STOR a")
    data.send(b"content")
    data.finish()
    client.expect(226)
    assert backend.files["a"] == b"content"
    data = client.open_data("EPSV", "STOR b")
    data.send(b"content")
    data.reset()
    client.expect(426)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_reset_after_close_notify_is_complete(version, scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend), login=backend, version=version)
    content = some_bytes(200_000)
    for number in range(10):
        data = client.open_data("EPSV", f"STOR file-{number}")
        data.send(content)
        data.close_notify()
        data.close()
        client.expect(226)
        assert backend.files[f"file-{number}"] == content


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("final", [b"226 All fine, says the backend.\r\n", b"426 Broken.\r\n", b"451 Disk.\r\n"])
@pytest.mark.parametrize("offset", OFFSETS)
def test_a_download_that_the_backend_breaks_off(offset, final, version, scripted, start_gateway, connect):
    backend = scripted()

    def retr(peer, _):
        peer.send(b"150 Here it comes.\r\n")
        peer.open_data().sendall(some_bytes(offset))
        # A reset destroys what is in flight; the gateway has it all only once the client has.
        peer.wait(arrived)
        peer.reset_data()
        peer.send(final)

    backend.on("RETR", retr)
    arrived = threading.Event()
    client = connect(start_gateway(backend), login=backend, version=version)
    data = client.open_data("EPSV", "RETR a")
    data.read_exactly(offset)
    arrived.set()
    with pytest.raises(Truncated):
        data.read_all()
    reply = client.expect(426, 451)
    if final[:1] == b"4":
        assert reply.raw == final
    client.command("NOOP", 200)


@pytest.mark.parametrize("who", ["client", "backend"])
def test_the_control_connection_dies_first(who, scripted, start_gateway, connect):
    """In the middle of an upload: the backend must see a reset, and the client no order."""
    backend = scripted()
    endings = []

    def stor(peer, _):
        peer.send(b"150 Go on.\r\n")
        data = peer.open_data()
        assert data.recv(1) == b"x"
        if who == "backend":
            peer.socket.close()
        endings.append(peer.read_data())

    backend.on("STOR", stor)
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "STOR a")
    data.send(b"x" * 50_000)
    if who == "client":
        client.reset()
    else:
        client.expect(451)
        client.expect(421)
    wait_until(lambda: endings, what="the backend's data connection has ended")
    assert endings[0][1] == "reset"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_uploads_cut_at_random_are_never_complete(version, scripted, start_gateway, connect):
    backend = scripted()
    backend.on("ABOR", b"226 Nothing to abort.\r\n")
    client = connect(start_gateway(backend), login=backend, version=version)
    chance = random.Random(version)
    for number in range(100):
        size = chance.randrange(0, 300_000)
        data = client.open_data("EPSV", f"STOR file-{number}")
        data.send(some_bytes(size))
        if chance.random() < 0.5:
            data.finish()
        else:
            data.reset()
        client.expect(426)
        data.close()
    assert backend.files == {}, "the backend took a cut upload for a whole one"


@pytest.mark.parametrize("client", [clients.curl, clients.lftp, clients.ftplib_resuming], ids=lambda client: client.name)
def test_real_clients_notice_a_cut_download(client, scripted, start_gateway):
    backend = scripted()

    def retr(peer, _):
        peer.send(b"150 Here it comes.\r\n")
        peer.open_data().sendall(b"half")
        peer.reset_data()
        peer.send(b"226 All fine.\r\n")

    # Some try again from where they are: there is nothing there any more.
    backend.on("RETR", b"550 Gone.\r\n")
    backend.on("RETR", retr, times=1)
    route = clients.Route(start_gateway(backend), backend)
    with pytest.raises(clients.ClientFailed):
        client.download(route, "a")
