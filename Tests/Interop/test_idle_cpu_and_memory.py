"""A large file costs no memory, an idle gateway costs no CPU, and others are served beside a transfer."""

import statistics
import time

import clients
import pytest
from processes import wait_until
from raw_client import Connection

GIB = 1024 * 1024 * 1024
MEMORY_LIMIT = 64 * 1024 * 1024
BLOCK = clients.some_bytes(1024 * 1024)

pytestmark = pytest.mark.alone


@pytest.fixture
def setting(start_backend, start_gateway):
    backend = start_backend("vsftpd")
    return backend, start_gateway(backend, "--log-level", "info", "--workers", "1")


def _block(number):
    """Blocks that differ, so that one in another's place is noticed."""
    return number.to_bytes(8, "big") + BLOCK[8:]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_gibibyte_up_and_down(version, setting, connect):
    backend, gateway = setting
    client = connect(gateway, login=backend, version=version)
    path = backend.path("large")

    with client.open_data("EPSV", f"STOR {path}") as data:
        for number in range(GIB // len(BLOCK)):
            data.send(_block(number))
        data.close_notify()
        data.finish()
        client.expect(226)
    with open(backend.files / "large", "rb") as file:
        for number in range(GIB // len(BLOCK)):
            assert file.read(len(BLOCK)) == _block(number), f"block {number} is wrong at the backend"
        assert file.read(1) == b""

    with client.open_data("EPSV", f"RETR {path}") as data:
        for number in range(GIB // len(BLOCK)):
            assert data.read_exactly(len(BLOCK)) == _block(number), f"block {number} is wrong at the client"
        assert data.read() == b"" and data.ended == "close_notify"
    client.expect(226)
    assert gateway.resident_bytes(peak=True) < MEMORY_LIMIT
    client.quit()


@pytest.mark.parametrize("direction", ["RETR", "STOR"])
def test_a_second_session_is_answered_beside_a_transfer(direction, setting, connect):
    backend, gateway = setting
    large = backend.files / "large"
    if direction == "RETR":
        with open(large, "wb") as file:
            file.truncate(GIB)
    mover = connect(gateway, login=backend)
    other = connect(gateway, login=backend)
    data = mover.open_data("EPSV", f"{direction} {backend.path('large')}")
    data.socket.settimeout(30)
    waits = []
    moved = 0
    deadline = time.monotonic() + 20
    while len(waits) < 100 and time.monotonic() < deadline:
        # Some megabytes between two questions, so that each is asked in the thick of it.
        if direction == "RETR":
            piece = data.read()
            assert piece, "the transfer was over too soon"
            moved += len(piece)
            if moved < 4 * 1024 * 1024 * (len(waits) + 1):
                continue
        else:
            for _ in range(4):
                data.send(BLOCK)
        asked = time.monotonic()
        other.command("NOOP", 200)
        waits.append(time.monotonic() - asked)
    data.reset()
    assert len(waits) == 100
    # The median tells of the gateway; the worst tells of whatever else this machine does as well.
    assert statistics.median(waits) < 0.020, sorted(waits)[-10:]
    assert sorted(waits)[-3] < 0.100, sorted(waits)[-10:]


def test_idle_sessions_cost_no_cpu(setting, connect):
    backend, gateway = setting
    sessions = [connect(gateway, login=backend) for _ in range(20)]
    for session in sessions:
        session.command("NOOP", 200)
    switches, seconds = gateway.context_switches(), gateway.cpu_seconds()
    time.sleep(3)
    assert gateway.cpu_seconds() - seconds <= 0.02
    # A loop that spins wakes thousands of times; a few timers may go off.
    assert gateway.context_switches() - switches < 30


def test_stalled_transfers_cost_no_cpu(setting, connect):
    """A client that does not read its download, and one that does not go on with its upload."""
    backend, gateway = setting
    with open(backend.files / "large", "wb") as file:
        file.truncate(GIB)
    reader, writer = connect(gateway, login=backend), connect(gateway, login=backend)
    unread = reader.open_data("EPSV", f"RETR {backend.path('large')}")
    unwritten = writer.open_data("EPSV", f"STOR {backend.path('part')}")
    unwritten.send(b"x" * 100_000)

    def has_stalled():
        before = gateway.cpu_seconds()
        time.sleep(0.3)
        return gateway.cpu_seconds() == before

    wait_until(has_stalled, what="the download has filled every buffer")
    switches, seconds = gateway.context_switches(), gateway.cpu_seconds()
    time.sleep(2)
    assert gateway.cpu_seconds() - seconds <= 0.02
    assert gateway.context_switches() - switches < 30
    unread.reset()
    unwritten.reset()


def test_memory_and_descriptors_come_back(setting, connect):
    backend, gateway = setting
    warm = connect(gateway, login=backend)
    warm.quit()
    files = gateway.open_files()
    for _ in range(3):
        sessions = [connect(gateway, login=backend) for _ in range(30)]
        for session in sessions:
            session.quit()
    wait_until(lambda: gateway.open_files() <= files, what="all descriptors are given back")
    for _ in range(50):
        Connection.dial(gateway.address("implicit")).close()
        Connection.dial(gateway.address()).reset()
    wait_until(lambda: gateway.open_files() <= files, what="all descriptors are given back")
    assert gateway.resident_bytes() < MEMORY_LIMIT
