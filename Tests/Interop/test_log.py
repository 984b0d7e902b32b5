"""Who reads the log may stand still: no session waits for that."""

import json
import os
import threading

import pytest
from processes import wait_until


@pytest.fixture
def unread(scripted, start_gateway):
    """A gateway whose log goes into a pipe, the pipe's other end, and how to log in."""
    backend = scripted()
    end, stderr = os.pipe()
    gateway = start_gateway(backend, "--workers", "1", stderr=stderr)
    os.close(stderr)
    yield gateway, end, (backend.user, backend.password)
    os.close(end)


def _flood(client, commands):
    """Two lines for each command, at debug level."""
    for _ in range(commands // 100):
        client.send(b"NOOP\r\n" * 100)
        for _ in range(100):
            client.expect(200)


def test_a_log_that_nobody_reads_holds_no_session_up(unread, connect):
    gateway, end, login = unread
    # The pipe takes 64 KiB, what waits behind it some 8,000 lines.
    _flood(connect(gateway, login=login), 6000)
    connect(gateway, login=login).command("QUIT", 221)
    lines = Lines(end)
    wait_until(lambda: lines.events("log.lost"), what="a line that tells of those that were lost")
    assert gateway.end() == 0
    lines.finish()
    lost = sum(event["lines"] for event in lines.events("log.lost"))
    assert lost > 0
    # Each command and each reply is in the log, or among the lost.
    told = sum(event["event"] in ("command", "reply") for event in lines.all)
    assert told + lost >= 2 * 6000
    assert lines.events("drain.started"), "what came after the loss is there"


def test_the_end_does_not_wait_for_a_reader(unread, connect):
    gateway, _, login = unread
    client = connect(gateway, login=login)
    _flood(client, 1000)
    client.command("QUIT", 221)
    assert gateway.end(timeout=10) == 0


class Lines:
    """Reads a gateway's log from a pipe until its end."""

    def __init__(self, descriptor):
        self._text = b""
        self._thread = threading.Thread(target=self._read, args=[descriptor], daemon=True)
        self._thread.start()

    def _read(self, descriptor):
        while data := os.read(descriptor, 65536):
            self._text += data

    def finish(self):
        self._thread.join(10)
        assert not self._thread.is_alive(), "the log has an end"

    @property
    def all(self):
        return [json.loads(line) for line in self._text[: self._text.rfind(b"\n") + 1].splitlines()]

    def events(self, name):
        return [event for event in self.all if event["event"] == name]
