"""Who does not read what he asked for costs the gateway little, and it is the backend that waits."""

import socket
import threading
import time

import pytest
from processes import wait_until
from raw_client import Connection

MIB = 1024 * 1024
BUFFER = 256 * 1024
# Areas that all sessions of a worker share, and what the allocator keeps.
SHARED = 8 * MIB

pytestmark = pytest.mark.alone


class Sender:
    """A backend that sends for ever, and counts."""

    def __init__(self, scripted):
        self.backend = scripted(timeout=60)
        self.backend.on("RETR", self._retr)
        self.sent = 0
        self._lock = threading.Lock()
        self._block = bytes(64 * 1024)

    def _retr(self, peer, _):
        peer.send(b"150 Here it comes.\r\n")
        data = peer.open_data()
        try:
            while True:
                count = data.send(self._block)
                with self._lock:
                    self.sent += count
        except (BrokenPipeError, ConnectionResetError):
            peer.close_data()
            peer.send(b"426 You did not want it.\r\n")

    def wait_until_paused(self):
        """Every buffer on the way is full."""

        def is_paused():
            before = self.sent
            time.sleep(0.2)
            return self.sent == before

        wait_until(is_paused, 20, "the backend waits")
        return self.sent


def _begin(client):
    """A download of which nothing has been read, by one whose kernel takes hardly more for him."""
    address = client.passive("EPSV")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(address)
    client.command("RETR endless", 150)
    return client.protect_data(Connection(connection))


@pytest.fixture
def begin_downloads(scripted, start_gateway, connect):
    def begin(count):
        """As many downloads, none of them read: the backend, the gateway, the clients, their data, and memory before."""
        sender = Sender(scripted)
        gateway = start_gateway(sender.backend, "--log-level", "info", "--workers", "1")
        clients = [connect(gateway, login=sender.backend) for _ in range(count)]
        before = gateway.resident_bytes()
        return sender, gateway, clients, [_begin(client) for client in clients], before

    return begin


def test_downloads_that_stall(begin_downloads):
    sender, gateway, clients, downloads, before = begin_downloads(500)
    sender.wait_until_paused()
    assert gateway.resident_bytes() - before < len(downloads) * BUFFER + SHARED

    # The backend hears of it by the end of its data connection: it is busy sending.
    for client in clients:
        client.send(b"ABOR\r\n")
    for client in clients:
        client.expect(426)
        client.expect(226)
    clients[-1].command("NOOP", 200)
    ends = gateway.settled().events("transfer", reason="aborted")
    assert len(ends) == len(downloads)
    for data in downloads:
        data.close()


def test_downloads_read_by_the_kibibyte(begin_downloads):
    sender, gateway, _, downloads, before = begin_downloads(20)
    held = sender.wait_until_paused()
    for _ in range(4):
        time.sleep(1)
        for data in downloads:
            assert len(data.socket.recv(1024, socket.MSG_WAITALL)) == 1024
        assert gateway.resident_bytes() - before < len(downloads) * BUFFER + SHARED
    # What has gone out of the gateway's and the kernel's buffers comes in again, by whole segments.
    assert sender.wait_until_paused() - held < len(downloads) * MIB
    for data in downloads:
        data.reset()
