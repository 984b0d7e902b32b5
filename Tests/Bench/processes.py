"""Processes under measurement: their starts and ends, CPU time and memory; and the C programs beside this file."""

import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """A program that this benchmark would use is not on this machine."""


def raise_limits():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    """Below the ports that the kernel gives to connections: who tries such a one until somebody listens may meet himself."""
    while True:
        port = random.randrange(11000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def find(name, *packages):
    """A program from the PATH, or from a Debian package that `make deps` has unpacked."""
    for folder in os.environ["PATH"].split(":") + ["/usr/sbin", "/usr/local/sbin"]:
        if os.access(f"{folder}/{name}", os.X_OK):
            return f"{folder}/{name}"
    for package in packages:
        for folder in ("usr/sbin", "usr/bin"):
            program = PROJECT / ".build" / "backends" / package / folder / name
            if program.is_file():
                return str(program)
    raise Missing(f"{name} is not installed")


def compile_programs():
    """load, backend, start and floor, made anew where their source is."""
    folder = PROJECT / ".build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    openssl = ["-lssl", "-lcrypto"]
    for name, libraries in (("backend", []), ("load", openssl), ("start", openssl), ("floor", openssl)):
        source, program = HERE / f"{name}.c", folder / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(
                ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program, source, *libraries], check=True
            )
    return folder / "load", folder / "backend"


def tls_alone(certificate, version, resume, files=2000):
    """Microseconds of CPU that OpenSSL needs for one small file's TLS (floor.c)."""
    program = PROJECT / ".build" / "bench" / "floor"
    arguments = [certificate.certificate, certificate.key, version, str(resume), str(files)]
    return json.loads(subprocess.run([program, *arguments], check=True, capture_output=True).stdout)["us"]


class Process:
    """A program of ours and all that it has started."""

    def __init__(self, arguments, log, environment=None, stdin=subprocess.DEVNULL, stdout=None):
        self.log = Path(log)
        with open(self.log, "wb") as output:
            self.popen = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=stdin,
                stdout=stdout or output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self.pid = self.popen.pid

    def wait_for_port(self, port, limit):
        deadline = time.monotonic() + limit
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError as error:
                if self.popen.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"nothing listens on {port}:\n{self.log.read_text()[-2000:]}") from error
                time.sleep(0.0005)

    def stop(self):
        """SIGTERM to the group, which it leads; SIGKILL where that does not help."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, number)
                self.popen.wait(3)
                break
            except (subprocess.TimeoutExpired, ProcessLookupError):
                continue
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe:
                pipe.close()

    def tree(self):
        """Its process ids: the program's and its descendants'."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = _stat(int(entry))
                if fields:
                    parents[int(entry)] = int(fields[1])
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def cpu(self):
        """Seconds of CPU, user and system, of all of them; of those that ended what their parents were told."""
        total = 0.0
        for pid in self.tree():
            fields = _stat(pid)
            if not fields:
                continue
            own = (int(fields[11]) + int(fields[12])) / TICKS
            try:
                # The process's CPU clock: the same sum, in nanoseconds instead of ticks (clock_getcpuclockid(3)).
                own = time.clock_gettime((~pid << 3) | 2)
            except OSError:
                pass
            total += own + (int(fields[13]) + int(fields[14])) / TICKS
        return total

    def memory(self):
        """Bytes: what is theirs alone, and their share of what is shared."""
        total = 0
        for pid in self.tree():
            try:
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
            except OSError:
                pass
        return total

    def resident(self, field="VmRSS", pid=None):
        for line in Path(f"/proc/{pid or self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        return 0


def _stat(pid):
    """The fields of /proc/PID/stat behind the name: [0] is the state, [1] the parent, [11] to [14] the CPU times."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


class Backend(Process):
    """The plain FTP server behind gateways and relays. rate: bytes a second that it sends on a connection; 0 is no limit."""

    def __init__(self, program, folder, rate=0):
        self.program = program
        super().__init__([program, rate], folder / "backend.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        words = dict(word.split("=") for word in self.popen.stdout.readline().decode().split()[1:])
        self.ftp, self.raw = int(words["ftp"]), int(words["raw"])


class Load(Process):
    """One run of the load generator: made ready by the constructor, measured between `go` and `result`, ended by `close`."""

    count = 0

    def __init__(self, program, mode, folder, nice=0, **settings):
        arguments = [f"{key.replace('_', '-')}={value}" for key, value in settings.items()]
        self.what = f"{mode} {' '.join(arguments)}"
        Load.count += 1
        super().__init__(
            ["nice", "-n", nice, program, mode, *arguments] if nice else [program, mode, *arguments],
            folder / f"load-{Load.count}.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self.popen.stdout.readline() != b"ready\n":
            self.stop()
            raise RuntimeError(f"{self.what}: {self.log.read_text()[-600:]}")

    def go(self):
        self.popen.stdin.write(b"\n")
        self.popen.stdin.flush()

    def result(self, limit=120):
        """Waits for the end of the measured part; the sessions stay open until `stop`."""
        readable, _, _ = select.select([self.popen.stdout], [], [], limit)
        line = self.popen.stdout.readline() if readable else b""
        if not line:
            self.stop()
            raise RuntimeError(f"{self.what}: {self.log.read_text()[-600:] or f'no end after {limit} s'}")
        return json.loads(line)

    def close(self):
        """Ends what only holds sessions."""
        self.popen.stdin.close()
        self.popen.wait(60)
        self.popen.stdout.close()


def scratch():
    """A folder for one run, in memory where the machine has that."""
    parent = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else PROJECT / ".build"
    folder = parent / f"ftpsgate-bench-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder.chmod(0o755)
    return folder
