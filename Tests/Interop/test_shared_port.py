"""One passive port for everybody behind one address: each gets its own file, whatever its client does about TLS sessions."""

import threading

import clients
import pytest
from clients import Route, some_bytes
from raw_client import RawClient, tls_context
from sizes import FULL_TIMEOUT, full

SESSIONS = full(200, 16)
# Sessions of one crowd wait for each other; on a loaded machine that adds up.
PATIENCE = 120.0


def _content(number):
    return b"%d:" % number + some_bytes(3000 + number * 41, number)


class Crowd:
    """Sessions that begin at once, each in a thread of its own."""

    def __init__(self):
        self._begin = threading.Event()
        self._threads = []
        self.failures = []

    def add(self, who, work):
        def run():
            self._begin.wait(PATIENCE)
            try:
                work()
            except Exception as problem:
                self.failures.append(f"{who}: {problem!r}")

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def run(self):
        self._begin.set()
        for thread in self._threads:
            thread.join(FULL_TIMEOUT)
        assert not any(thread.is_alive() for thread in self._threads), "sessions that do not end"


@pytest.mark.timeout(FULL_TIMEOUT)
@pytest.mark.parametrize("users", ["one user", "many users"])
@pytest.mark.parametrize("habit", ["resuming", "not resuming"])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_crowd_behind_one_address(version, workers, habit, users, start_backend, start_gateway, identity, scratch):
    backend = start_backend("pyftpdlib")
    gateway = start_gateway(backend, "--passive-ports", "0:1", "--workers", workers, "--log-level", "info")
    for number in range(SESSIONS):
        backend.put(f"down-{number}", _content(number))
    crowd = Crowd()
    resumed = []

    def session(number):
        with RawClient(gateway.address(), context=tls_context(identity, version), timeout=PATIENCE) as client:
            client.expect(220)
            client.secure()
            client.login("user" if users == "one user" else f"user-{number}", backend.password)
            for transfer in range(2):
                with client.open_data("EPSV", f"RETR {backend.path(f'down-{number}')}", resume=habit == "resuming") as data:
                    resumed.append(data.is_resumed)
                    assert data.read_all() == _content(number), "another's file, or a part"
                client.expect(226)
                client.upload(backend.path(f"up-{number}-{transfer}"), _content(number + 1000), resume=habit == "resuming")
            client.quit()

    def curl_in_parallel():
        route = Route(gateway, backend, tls=version)
        arguments = [str(argument) for argument in clients.curl.arguments(route) if argument != "--globoff"]
        more = [] if habit == "resuming" else ["--no-sessionid"]
        urls = f"{clients.curl.url(route)}down-[0-{SESSIONS - 1}]"
        arguments[arguments.index("--max-time") + 1] = str(FULL_TIMEOUT)
        clients._run(
            [*arguments, *more, "--parallel", "--parallel-max", "20", "--output", f"{scratch}/curl-#1", urls],
            timeout=FULL_TIMEOUT,
        )

    for number in range(SESSIONS):
        crowd.add(f"session {number}", lambda number=number: session(number))
    crowd.add("curl", curl_in_parallel)
    crowd.run()
    assert crowd.failures == []
    for number in range(SESSIONS):
        assert (scratch / f"curl-{number}").read_bytes() == _content(number), f"curl's file {number}"
        for transfer in range(2):
            assert (backend.files / f"up-{number}-{transfer}").read_bytes() == _content(number + 1000), number
    assert all(resumed) if habit == "resuming" else not any(resumed)
    assert [event for event in gateway.settled().events("transfer") if event["code"] != 226] == []
    assert gateway.events("data.turned_away") == []
    assert len(gateway.passive_ports()) == 1
