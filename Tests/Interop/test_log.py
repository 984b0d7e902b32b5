"""Who reads the log may stand still: no session waits for that."""

import json
import os
import threading

from processes import wait_until


def test_a_log_that_nobody_reads_holds_no_session_up(start_gateway, scripted, connect):
    backend = scripted()
    end, stderr = os.pipe()
    try:
        gateway = start_gateway(backend, "--workers", "1", stderr=stderr)
        os.close(stderr)
        client = connect(gateway, login=(backend.user, backend.password))
        # The pipe takes 64 KiB, what waits behind it some 8,000 lines: two for each command, of which many are sent at a time.
        for _ in range(60):
            client.send(b"NOOP\r\n" * 100)
            for _ in range(100):
                client.expect(200)
        other = connect(gateway, login=(backend.user, backend.password))
        other.command("QUIT", 221)
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
    finally:
        os.close(end)


def test_the_end_does_not_wait_for_a_reader(start_gateway, scripted, connect):
    backend = scripted()
    end, stderr = os.pipe()
    try:
        gateway = start_gateway(backend, "--workers", "1", stderr=stderr)
        os.close(stderr)
        client = connect(gateway, login=(backend.user, backend.password))
        for _ in range(10):
            client.send(b"NOOP\r\n" * 100)
            for _ in range(100):
                client.expect(200)
        client.command("QUIT", 221)
        assert gateway.end(timeout=10) == 0
    finally:
        os.close(end)


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
