"""The gateway under test, as a process."""

import json
import os
import re
import select
import socket
import subprocess
import time
from pathlib import Path

from processes import PROJECT, Process, wait_until

LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def binary():
    """FTPSGATE, else the release build, else the debug build."""
    named = os.environ.get("FTPSGATE")
    candidates = [Path(named)] if named else [PROJECT / ".build" / kind / "ftpsgate" for kind in ("release", "debug")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    raise AssertionError(f"no gateway at {' or '.join(map(str, candidates))}: run `make build`, or set FTPSGATE")


class Gateway(Process):
    """`ftpsgate serve` on ports that the kernel chose, explicit and implicit, on 127.0.0.1 and ::1.

    Flags given replace the defaults of the same name: `Gateway(..., "--passive-ports", "0:1")`.
    launcher: words before the command. descriptors: files that it inherits. stderr: where its log goes instead.
    """

    def __init__(
        self,
        folder,
        backend,
        *flags,
        identity=None,
        name="gateway",
        environment=None,
        launcher=(),
        descriptors=(),
        stderr=None,
    ):
        folder = Path(folder)
        flags = [str(flag) for flag in flags]
        self.identity = identity
        self._markers = set()
        self._level = flags[flags.index("--log-level") + 1] if "--log-level" in flags else "debug"
        defaults = []

        def default(name, *values):
            if name not in flags:
                for value in values:
                    defaults.extend([name, str(value)])

        if "--listen" not in flags and "--listen-implicit" not in flags:
            default("--listen", "127.0.0.1:0", "[::1]:0")
            default("--listen-implicit", "127.0.0.1:0", "[::1]:0")
        default("--backend", backend)
        if identity:
            default("--cert", identity.certificate)
            default("--key", identity.key)
        default("--passive-ports", "0:20")
        default("--state-directory", folder / "state")
        default("--log-level", "debug")
        default("--log-format", "json")
        default("--workers", 2)
        super().__init__(
            name,
            [*launcher, binary(), "serve", *defaults, *flags],
            folder,
            stdout=subprocess.PIPE,
            stderr=stderr,
            environment=environment,
            descriptors=descriptors,
        )
        self.ready_line = self._read_ready_line()
        self.ready = dict(field.split("=", 1) for field in self.ready_line.split()[1:])

    def _read_ready_line(self, timeout=20.0):
        deadline = time.monotonic() + timeout
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self.stdout], [], [], max(0, deadline - time.monotonic()))
            byte = os.read(self.stdout.fileno(), 1) if readable else b""
            if not byte:
                status = self.stop(1)
                raise StartFailed(status, self.log)
            line += byte
        text = line.decode().strip()
        assert text.startswith("ready "), f"the gateway's first line is {text!r}"
        return text

    # Where clients connect to.

    def port(self, mode="explicit", family=4):
        """The control port: mode explicit or implicit, family 4 or 6."""
        field = "listen" if mode == "explicit" else "listen-implicit"
        for address in self.ready.get(field, "").split(","):
            host, _, port = address.rpartition(":")
            if host in ("[::]", f"[{LOOPBACK[6]}]" if family == 6 else LOOPBACK[4]):
                return int(port)
        raise AssertionError(f"no {mode} listener for IPv{family} in: {self.ready_line}")

    def address(self, mode="explicit", family=4):
        return LOOPBACK[family], self.port(mode, family)

    def passive_ports(self):
        ports = []
        for part in self.ready["passive"].split(","):
            first, _, last = part.partition("-")
            ports.extend(range(int(first), int(last or first) + 1))
        return ports

    # What it logged. Lines are written by a thread of their own, a few milliseconds after what they tell of.

    def settled(self):
        """This gateway, once all that has happened so far is in its log."""
        if self.exit_status is None:
            with socket.create_connection(self._any_address(), 5) as marker:
                client = "{}:{}".format(*marker.getsockname())
                self._markers.add(client)
                # Who says nothing leaves a line at debug level only.
                if self._level != "debug":
                    marker.sendall(b"QUIT\r\n")
                # Lines keep their order.
                wait_until(lambda: f'"{client}"' in self.log, what=lambda: f"{client} in the log:\n{self.log[-3000:]}")
        return self

    def _any_address(self):
        host, _, port = self.ready["listen"].split(",")[0].rpartition(":")
        return LOOPBACK[4] if host in ("[::]", "0.0.0.0") else host.strip("[]"), int(port)

    def events(self, name=None, **fields):
        """The log's events of that name, with these fields, oldest first; each is a dictionary. See `settled`."""
        found = []
        for line in self.log.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("client") in self._markers:
                continue
            if name in (None, event.get("event")) and all(event.get(key) == value for key, value in fields.items()):
                found.append(event)
        return found

    def wait_for_event(self, name, timeout=10.0, **fields):
        """The first such event, as soon as it is there."""
        return wait_until(
            lambda: self.events(name, **fields), timeout, lambda: f"event {name} {fields} in the log:\n{self.log[-3000:]}"
        )[0]

    def wait_for_log(self, pattern, timeout=10.0):
        return wait_until(lambda: re.search(pattern, self.log), timeout, lambda: f"/{pattern}/ in the log:\n{self.log[-3000:]}")

    # Its end.

    def end(self, timeout=15.0):
        """SIGTERM, and the exit status, which is 0 after an end in order."""
        return self.stop(timeout)

    def has_crashed(self):
        return self.exit_status is not None and (self.exit_status < 0 or "Fatal error" in self.log)


class StartFailed(Exception):
    """The gateway ended before it served."""

    def __init__(self, status, log):
        super().__init__(f"the gateway ended with status {status} before it served:\n{log[-4000:]}")
        self.status = status
        self.log = log
