"""Of a long transfer the gateway gathers many bytes before it moves them. What comes late is passed on all the same, in either
direction; and while nothing comes, nothing is done."""

import queue
import time
from pathlib import Path

import pytest
from clients import some_bytes

LONG = 3 * 1024 * 1024
SHORT = [1, 1000, 40_000, 1, 17]


def _switches(gateway):
    """How often its threads have gone to sleep so far."""
    status = [(task / "status").read_text() for task in Path(f"/proc/{gateway.pid}/task").iterdir()]
    return sum(int(text.split("\nvoluntary_ctxt_switches:", 1)[1].split()[0]) for text in status)


def _check(gateway, pass_on):
    """pass_on: sends such bytes, and gives them back when they have arrived."""
    for round in range(2):
        for count in [LONG, *SHORT]:
            content = some_bytes(count, count)
            assert pass_on(content) == content
        before = _switches(gateway)
        time.sleep(0.5)
        assert _switches(gateway) - before < 20, f"it is not idle in round {round}"


@pytest.mark.parametrize("protect", [True, False], ids=["protected", "clear"])
def test_download(protect, scripted, start_gateway, connect):
    backend, wanted = scripted(), queue.Queue()

    def retr(peer, _):
        peer.send(b"150 Here it comes.\r\n")
        data = peer.open_data()
        while content := wanted.get(timeout=30):
            data.sendall(content)
        peer.close_data()
        peer.send(b"226 Done.\r\n")

    backend.on("RETR", retr)
    gateway = start_gateway(backend, "--data-tls", "optional")
    client = connect(gateway, login=backend, protect=protect)
    data = client.open_data("EPSV", "RETR a")

    def pass_on(content):
        wanted.put(content)
        return data.read_exactly(len(content))

    _check(gateway, pass_on)
    wanted.put(b"")
    assert data.read_all() == b""
    client.expect(226)


@pytest.mark.parametrize("protect", [True, False], ids=["protected", "clear"])
def test_upload(protect, scripted, start_gateway, connect):
    backend, got = scripted(), queue.Queue()

    def stor(peer, _):
        peer.send(b"150 Go on.\r\n")
        data = peer.open_data()
        while piece := data.recv(65536):
            got.put(piece)
        got.put(b"")
        peer.close_data()
        peer.send(b"226 Stored.\r\n")

    backend.on("STOR", stor)
    gateway = start_gateway(backend, "--data-tls", "optional")
    client = connect(gateway, login=backend, protect=protect)
    data = client.open_data("EPSV", "STOR a")

    def pass_on(content):
        data.send(content)
        arrived = b""
        while len(arrived) < len(content):
            arrived += got.get(timeout=10)
        return arrived

    _check(gateway, pass_on)
    if protect:
        data.close_notify()
    data.finish()
    assert got.get(timeout=10) == b""
    client.expect(226)
