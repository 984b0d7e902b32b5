"""systemd's protocols: word of start, reload and end; a watchdog that a stuck loop starves; sockets that it hands over."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gateway import StartFailed
from processes import wait_until
from threads import stopped, thread

INTERVAL = 0.6


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def environment(self, watchdog=None):
        environment = {"NOTIFY_SOCKET": self.address}
        return environment | ({"WATCHDOG_USEC": str(int(watchdog * 1e6))} if watchdog else {})

    def next(self, timeout=10.0):
        """The next message; None where none comes in time."""
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(4096).decode()
        except TimeoutError:
            return None

    def wait_for(self, start, timeout=10.0):
        deadline = time.monotonic() + timeout
        while (message := self.next(max(0.001, deadline - time.monotonic()))) is not None:
            if message.startswith(start):
                return message
        raise AssertionError(f"no {start} within {timeout} s")

    def drop_all(self):
        while self.next(0.001) is not None:
            pass

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(scratch):
    opened = []

    def manager(abstract=True):
        name = f"ftpsgate-{os.getpid()}-{time.monotonic_ns()}"
        one = Manager(f"@{name}" if abstract else str(scratch / "notify"))
        opened.append(one)
        return one

    yield manager
    for one in opened:
        one.close()


@pytest.mark.parametrize("abstract", [True, False])
def test_it_says_when_it_is_ready_when_it_reloads_and_when_it_stops(backends, start_gateway, connect, manager, abstract):
    backend, systemd = backends("pyftpdlib"), manager(abstract)
    gateway = start_gateway(backend, environment=systemd.environment())
    ready = systemd.next()
    assert ready.startswith("READY=1\nSTATUS=Serving: listen=")
    client = connect(gateway, login=backend)

    gateway.signal(signal.SIGHUP)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    reloading = systemd.next()
    stamp = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading)
    assert stamp and abs(int(stamp[1]) - before) < 10_000_000
    assert systemd.next().startswith("READY=1\n")
    client.command("NOOP", 200)

    gateway.signal(signal.SIGTERM)
    assert systemd.next() == "STOPPING=1\nSTATUS=Draining: 1 sessions at the start."
    client.expect(421)
    client.close()
    assert gateway.wait(10) == 0
    assert systemd.next(0.01) is None, "a watchdog that nobody asked for was fed"


def test_the_watchdog_is_fed_while_every_loop_turns(backends, start_gateway, manager):
    systemd = manager()
    start_gateway(backends("pyftpdlib"), environment=systemd.environment(INTERVAL))
    systemd.wait_for("READY=1")
    for _ in range(5):
        assert systemd.next(INTERVAL) == "WATCHDOG=1"


@pytest.mark.parametrize("name", ["worker-0", "worker-1", "main"])
def test_a_stuck_loop_starves_the_watchdog(backends, start_gateway, manager, name):
    systemd = manager()
    gateway = start_gateway(backends("pyftpdlib"), environment=systemd.environment(INTERVAL))
    systemd.wait_for("WATCHDOG=1")
    with stopped(gateway.pid if name == "main" else thread(gateway.pid, name)):
        # The word that was on its way when the loop got stuck.
        systemd.next(INTERVAL)
        systemd.drop_all()
        assert systemd.next(INTERVAL * 2) is None, "fed, although a loop is stuck"
        if name != "main":
            assert gateway.wait_for_event("worker.stuck", workers=name.removeprefix("worker-"))
    systemd.wait_for("WATCHDOG=1", INTERVAL * 4)


def test_a_stuck_worker_does_not_hold_back_the_end(backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, "--drain-timeout", "1s", "--workers", "1")
    connect(gateway, login=backend)
    status = Path(f"/proc/{gateway.pid}/stat")
    with stopped(thread(gateway.pid, "worker-0")):
        gateway.signal(signal.SIGTERM)
        began = time.monotonic()
        # A stopped thread that has not been waited for keeps the exit status back.
        wait_until(lambda: status.read_text().rsplit(")", 1)[1].split()[0] == "Z", 10, "the gateway ends")
        assert time.monotonic() - began < 2
    assert gateway.wait(10) == 1


# Socket activation.

LAUNCHER = """
import os, sys
descriptors, names = [int(n) for n in sys.argv[1].split(",")], sys.argv[2]
high = [os.dup2(os.dup(n), 100 + i) for i, n in enumerate(descriptors)]
for i, n in enumerate(high):
    os.dup2(n, 3 + i)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names}
os.execv(sys.argv[3], sys.argv[3:])
"""


def activate(start_gateway, backend, sockets, names, *flags, **options):
    """Starts a gateway as systemd would for a socket unit."""
    descriptors = [one.fileno() for one in sockets]
    launcher = [sys.executable, "-c", LAUNCHER, ",".join(map(str, descriptors)), names]
    return start_gateway(backend, *flags, launcher=launcher, descriptors=descriptors, **options)


def test_sockets_are_handed_over_by_name(backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    backend.put("activated", b"through a socket of systemd's")
    sockets = [
        socket.create_server(("127.0.0.1", 0)),
        socket.create_server(("127.0.0.1", 0)),
        socket.create_server(("::1", 0), family=socket.AF_INET6),
    ]
    ports = [one.getsockname()[1] for one in sockets]
    gateway = activate(
        start_gateway, backend, sockets, "ftp:ftps:ftp", "--listen", "systemd:ftp", "--listen-implicit", "systemd:ftps"
    )
    assert gateway.port("explicit", 4) == ports[0]
    assert gateway.port("implicit", 4) == ports[1]
    assert gateway.port("explicit", 6) == ports[2]
    for mode, family in [("explicit", 4), ("implicit", 4), ("explicit", 6)]:
        client = connect(gateway, mode=mode, family=family, login=backend)
        assert client.download(backend.path("activated")) == b"through a socket of systemd's"
    for one in sockets:
        one.close()


def test_a_restart_refuses_nobody(backends, start_gateway, connect, identity):
    backend = backends("vsftpd")
    content = os.urandom(1 << 20) * 24
    backend.put("over-the-restart", content)
    listener = socket.create_server(("127.0.0.1", 0))
    old = activate(start_gateway, backend, [listener], "ftp", "--listen", "systemd:ftp")
    client = connect(old, login=backend)
    data = client.open_data("EPSV", f"RETR {backend.path('over-the-restart')}")
    first = data.read_exactly(1000)
    old.signal(signal.SIGTERM)
    old.wait_for_event("drain.listeners_closed")
    # Nobody accepts at the moment, and nobody is refused.
    waiting = socket.create_connection(listener.getsockname(), 5)
    new = activate(start_gateway, backend, [listener], "ftp", "--listen", "systemd:ftp")
    waiting.settimeout(10)
    assert waiting.recv(4) == b"220 "
    waiting.close()
    assert connect(new, login=backend).command("PWD", 257)
    assert first + data.read_all() == content
    client.expect(226)
    client.expect(421)
    client.close()
    assert old.wait(10) == 0
    listener.close()


def test_a_name_without_a_socket_is_a_mistake_that_is_told(backends, start_gateway):
    listener = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(StartFailed) as failure:
        activate(start_gateway, backends("pyftpdlib"), [listener], "web", "--listen", "systemd:ftp")
    listener.close()
    assert failure.value.status == 64
    assert "--listen systemd:ftp: the service manager has handed over only: web" in failure.value.log


def test_a_socket_that_does_not_listen_is_named(backends, start_gateway):
    stray = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with pytest.raises(StartFailed) as failure:
        activate(start_gateway, backends("pyftpdlib"), [stray], "ftp", "--listen", "systemd:ftp")
    stray.close()
    assert failure.value.status == 64
    assert 'the socket "ftp" (descriptor 3)' in failure.value.log


def test_the_real_activator_works(backends, connect, scratch, identity):
    """systemd's own tool, where the machine has it."""
    from gateway import binary
    from processes import Process, free_port
    from raw_client import RawClient, tls_context

    activator = "/usr/bin/systemd-socket-activate"
    if not os.path.exists(activator):
        pytest.skip(f"{activator} is not here; Debian's package systemd has it")
    backend, port = backends("pyftpdlib"), free_port()
    process = Process(
        "activator",
        [activator, "-l", f"127.0.0.1:{port}", "--fdname=ftp", binary(), "--listen", "systemd:ftp"]
        + ["--backend", backend.address, "--passive-ports", "0:2", "--state-directory", scratch],
        scratch,
    )
    try:
        # It starts the gateway for the first connection and hands over the socket, with the connection still in its queue.
        process.wait_for_port("127.0.0.1", port)
        with RawClient(("127.0.0.1", port), context=tls_context()) as client:
            client.expect(220)
            client.secure()
            client.login(backend.user, backend.password)
    finally:
        assert process.stop() in (0, -signal.SIGTERM)


def test_units_are_what_systemd_understands(scratch):
    """systemd-analyze finds nothing to say about the units."""
    from processes import PROJECT

    if subprocess.run(["systemd-analyze", "--version"], capture_output=True).returncode != 0:
        pytest.skip("systemd-analyze is not here; Debian's package systemd has it")
    # Its verification wants the program to be where the unit says.
    for unit in (PROJECT / "deploy/systemd").iterdir():
        text = unit.read_text().replace("/usr/bin/ftpsgate", "/bin/true")
        (scratch / unit.name).write_text(text)
    units = sorted(str(path) for path in scratch.iterdir())
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    ours = [line for line in (result.stdout + result.stderr).splitlines() if "ftpsgate" in line]
    assert ours == []
    assert result.returncode == 0, result.stderr
