"""Ten thousand idle sessions fit into a GiB (fewer of them into as much less), and others are served beside them."""

import pytest
from crowd import Crowd, descriptors
from processes import wait_until
from sizes import full

SESSIONS = 10_000
MEMORY = 1024 * 1024 * 1024
# A session's connections: the client's and the backend's.
DESCRIPTORS_EACH = 2

pytestmark = pytest.mark.alone


@pytest.fixture
def crowd(scratch):
    crowd = Crowd(scratch)
    yield crowd
    crowd.end()


def test_a_crowd_that_idles(crowd, start_gateway, connect):
    count = min(full(SESSIONS, 4000), (descriptors() - 500) // DESCRIPTORS_EACH)
    gateway = start_gateway(crowd, "--log-level", "warning")
    before = gateway.open_files()
    crowd.join(gateway, "idle", count * 9 // 10)
    crowd.join(gateway, "idle", count // 10, files=1, size=100_000)
    assert gateway.open_files() - before > (count - 2 * crowd.processes) * DESCRIPTORS_EACH
    assert gateway.resident_bytes() < MEMORY * count // SESSIONS

    client = connect(gateway, login=("someone", "secret"))
    assert len(client.download("f/1000000")) == 1_000_000
    client.quit()
    crowd.end()
    # A worker that had hardly begun has a few descriptors more since.
    wait_until(lambda: gateway.open_files() < before + 10, 20, "all of them are gone")
