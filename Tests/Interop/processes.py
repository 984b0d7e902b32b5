"""Programs that tests start: with a log each, and an end that is certain."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None)


def wait_until(condition, timeout=10.0, what="condition"):
    """Calls `condition` until it gives something true, which is returned. Bounded: fails with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.005)


def free_port(host="127.0.0.1"):
    """A port that nobody listens on, below the kernel's own range: for servers that cannot choose one by themselves."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = random.randint(20000, 31999)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue


def _end_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Process:
    """A program in a session of its own, so that its children end with it."""

    def __init__(self, name, arguments, folder, *, stdout=None, stderr=None, environment=None, cwd=None, descriptors=()):
        self.name = name
        self.log_path = Path(folder) / f"{name}.log"
        with open(self.log_path, "ab") as log:
            self._popen = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log if stderr is None else stderr,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                pass_fds=descriptors,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self.pid = self._popen.pid
        self.stdout = self._popen.stdout

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def exit_status(self):
        """None while it runs."""
        return self._popen.poll()

    def signal(self, number):
        self._popen.send_signal(number)

    def wait(self, timeout=10.0):
        return self._popen.wait(timeout)

    def wait_for_port(self, host, port, timeout=10.0):
        def is_open():
            if self.exit_status is not None:
                raise AssertionError(f"{self.name} ended with status {self.exit_status}:\n{self.log[-2000:]}")
            try:
                socket.create_connection((host, port), 1).close()
                return True
            except OSError:
                return False

        wait_until(is_open, timeout, f"{self.name} listens on {host} port {port}")

    def stop(self, timeout=10.0):
        """SIGTERM, and SIGKILL to what is left of the program's own session. Gives the exit status."""
        if self.exit_status is None:
            self._popen.terminate()
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        status = self._popen.wait(5)
        if self.stdout:
            self.stdout.close()
        return status

    # What the kernel says of it.

    def resident_bytes(self, peak=False):
        """Memory in RAM now, or at most so far."""
        name = "VmHWM:" if peak else "VmRSS:"
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name} in /proc/{self.pid}/status")

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def context_switches(self):
        """Of all threads: how often it has slept or been interrupted."""
        total = 0
        for status in Path(f"/proc/{self.pid}/task").glob("*/status"):
            for line in status.read_text().splitlines():
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
        return total

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
