"""What every interop test can ask for.

    identity                 a certificate for the gateway, which clients trust
    start_backend(name)      a real server of the test's own: vsftpd, pyftpdlib, proftpd, pureftpd, inetutils, aioftp, tcllib
    backends(name, host)     one shared by the tests of a process: for tests that only need some server
    scripted(...)            a backend that plays any peer (scripted_backend.py)
    start_gateway(backend, *flags)   a gateway of the test's own
    gateways(backend)        one shared by the tests of a process, before a shared backend
    connect(gateway, ...)    a raw client (raw_client.py), closed at the test's end

All of it ends with the test, or with the process; the logs of what a failed test used are shown with it.
"""

import os
import shutil
import tempfile
from pathlib import Path

import backends as servers
import pytest
from certificates import make_identity
from gateway import Gateway
from raw_client import RawClient, tls_context
from scripted_backend import ScriptedBackend


def _scratch():
    """Servers change users: unlike pytest's own folders, this one can be entered by all."""
    folder = Path(tempfile.mkdtemp(prefix="ftpsgate-test-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def session_folder():
    folder = _scratch()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def scratch():
    """A folder for this test alone."""
    folder = _scratch()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def identity(session_folder):
    return make_identity(session_folder)


@pytest.fixture(scope="session")
def backends(session_folder):
    running = {}

    def backend(name, host="127.0.0.1"):
        if (name, host) not in running:
            folder = session_folder / f"{name}-{len(running)}"
            folder.mkdir()
            running[name, host] = servers.start(name, folder, host)
        return running[name, host]

    yield backend
    for one in running.values():
        one.stop()


@pytest.fixture(scope="session")
def gateways(session_folder, identity):
    running = {}

    def gateway(backend):
        if backend.address not in running:
            folder = session_folder / f"gateway-{len(running)}"
            folder.mkdir()
            running[backend.address] = Gateway(folder, backend.address, identity=identity)
        return running[backend.address]

    yield gateway
    for one in running.values():
        _end_well(one)


@pytest.fixture
def start_backend(scratch, _used):
    started = []

    def start(name, host="127.0.0.1"):
        folder = scratch / f"{name}-{len(started)}"
        folder.mkdir()
        backend = servers.start(name, folder, host)
        started.append(backend)
        _used.append(backend.process)
        return backend

    yield start
    for backend in started:
        backend.stop()


@pytest.fixture
def scripted():
    started = []

    def start(**options):
        backend = ScriptedBackend(**options)
        started.append(backend)
        return backend

    yield start
    for backend in started:
        backend.stop()


@pytest.fixture
def start_gateway(scratch, identity, _used):
    started = []

    def start(backend, *flags, identity=identity, **options):
        """backend: anything with an `address`, or the flag's value."""
        # One that did not start has left a folder as well.
        folder = scratch / f"gateway-{len(list(scratch.glob('gateway-*')))}"
        folder.mkdir()
        address = backend if isinstance(backend, str) else backend.address
        gateway = Gateway(folder, address, *flags, identity=identity, **options)
        started.append(gateway)
        _used.append(gateway)
        return gateway

    yield start
    for gateway in started:
        _end_well(gateway)


@pytest.fixture
def connect(identity):
    opened = []

    def connect(gateway, *, mode="explicit", family=4, version=None, secure=True, login=None, protect=True, **options):
        """A client that has read the 220, has TLS unless told otherwise, is logged in (login: a backend, or (user, password))."""
        if "context" not in options:
            options["context"] = tls_context(identity, version)
        client = RawClient(gateway.address(mode, family), implicit=mode == "implicit", **options)
        opened.append(client)
        client.expect(220)
        if secure and mode == "explicit":
            client.secure(protect=protect)
        if login:
            client.login(*(login if isinstance(login, tuple) else (login.user, login.password)))
        return client

    yield connect
    for client in opened:
        client.close()


def _end_well(gateway):
    """Whatever a test did, the gateway must still be there, and end in order when it is told to."""
    status = gateway.exit_status
    if status is not None:
        assert not gateway.has_crashed(), f"the gateway has crashed:\n{gateway.log[-4000:]}"
        return
    status = gateway.end()
    # Idle sessions that a test left behind end at once: there is nothing that could force the end.
    assert status == 0, f"the gateway ended with status {status}:\n{gateway.log[-4000:]}"


@pytest.fixture
def _used():
    return []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for process in item.funcargs.get("_used", []):
            if process.log_path.exists():
                lines = int(os.environ.get("FTPSGATE_TEST_LOG_LINES", "60"))
                report.sections.append((process.name, "\n".join(process.log.splitlines()[-lines:])))
