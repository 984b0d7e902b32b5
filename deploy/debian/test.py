#!/usr/bin/env python3
"""The life of the Debian package on a machine with systemd: a Debian of its own, booted as a container (systemd-nspawn) in a
network of its own, in which the package is installed, configured, started, used, reloaded, upgraded while a transfer runs,
removed and purged.

Usage: test.py. Needs root, and Debian's packages debootstrap, systemd-container, iproute2 and curl; what is
missing is named, and the exit status is 77.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "Tests/Interop"))
from threads import stopped, thread  # noqa: E402

WORK = PROJECT / ".build/deb"
BASE = WORK / "root"
# What the machine has beside the package's dependencies: systemd, and a plain FTP server to put the gateway before.
PACKAGES = "systemd,systemd-sysv,dbus,adduser,procps,vsftpd,libevent-core-2.1-7,libevent-extra-2.1-7,libssl3,libstdc++6"
PASSWORD = "correct-horse"
LARGE = os.urandom(1 << 20) * 12


def require(*tools):
    missing = [tool for tool in tools if not shutil.which(tool)] + ([] if os.geteuid() == 0 else ["root"])
    if missing:
        print(f"deb-test: skipped: this needs {', '.join(missing)}", file=sys.stderr)
        sys.exit(77)


def run(*command, check=True, timeout=120, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: status {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def wait_until(condition, timeout, what):
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.05)
    return result


def debian_mirror():
    targets = run("apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", check=False).stdout
    found = re.search(r"^(\S+) bookworm$", targets, re.M)
    assert found, "apt knows no mirror of Debian 12: run apt-get update"
    return found[1]


def make_base():
    if (BASE / "etc/debian_version").exists():
        return
    print("deb-test: making a Debian with systemd from Debian's packages")
    shutil.rmtree(BASE, ignore_errors=True)
    BASE.parent.mkdir(parents=True, exist_ok=True)
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", BASE, debian_mirror(), timeout=900)


class Machine:
    """The Debian, booted: its changes are thrown away at the end."""

    def __init__(self):
        self.name = f"ftpsgate-deb-{os.getpid()}"
        self.folder = Path(tempfile.mkdtemp(prefix="machine-", dir=WORK))
        self.root = self.folder / "root"
        for name in ("root", "upper", "work"):
            (self.folder / name).mkdir()
        layers = f"lowerdir={BASE},upperdir={self.folder}/upper,workdir={self.folder}/work"
        run("mount", "-t", "overlay", "overlay", "-o", layers, self.root)
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.log = open(self.folder / "boot.log", "w+")
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "-q", "-D", str(self.root), "--register=no", "--keep-unit", "--boot"]
            + [f"--network-namespace-path=/run/netns/{self.name}", f"--machine={self.name}"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        self.leader = wait_until(self._leader, 20, "the container's first process")
        wait_until(self._is_up, 60, "systemd is up")

    def _leader(self):
        children = run("pgrep", "-P", self.nspawn.pid, check=False).stdout.split()
        return int(children[0]) if children else None

    def _is_up(self):
        if self.nspawn.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended:\n{(self.folder / 'boot.log').read_text()[-2000:]}")
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def run(self, *command, **options):
        return run("nsenter", "-t", self.leader, "-m", "-u", "-i", "-p", "-n", "--", *command, **options)

    def start(self, *command):
        words = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-p", "-n", "--", *map(str, command)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def show(self, *properties, unit="ftpsgate.service"):
        text = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).stdout
        return dict(line.split("=", 1) for line in text.splitlines())

    def journal(self):
        return self.run("journalctl", "-u", "ftpsgate.service", "--no-pager", check=False).stdout

    def main_pid(self):
        """Of the service, as the host counts."""
        inside = self.show("MainPID")["MainPID"]
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                numbers = re.search(r"^NSpid:\s+(\d+)\s+(\d+)$", status.read_text(), re.M)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if numbers and numbers[2] == inside and self._is_inside(numbers[1]):
                return int(numbers[1])
        raise AssertionError(f"no process {inside} in the container")

    def _is_inside(self, pid):
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{self.leader}/ns/pid")

    def write(self, path, text):
        (self.root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path.lstrip("/")).write_text(text)

    def read(self, path):
        return (self.root / path.lstrip("/")).read_bytes()

    def exists(self, path):
        return (self.root / path.lstrip("/")).exists()

    def curl(self, *arguments, start=False, implicit=False):
        """On the host, in the container's network."""
        words = ["nsenter", f"--net=/run/netns/{self.name}", "curl", "-sS", "-k", "-m", "60", "--user", f"anna:{PASSWORD}"]
        words += [] if implicit else ["--ssl-reqd"]
        words += map(str, arguments)
        return subprocess.Popen(words) if start else run(*words)

    def stop(self):
        self.nspawn.send_signal(signal.SIGTERM)
        try:
            self.nspawn.wait(30)
        except subprocess.TimeoutExpired:
            os.kill(self.leader, signal.SIGKILL)
            self.nspawn.wait(10)
        run("umount", self.root, check=False)
        run("ip", "netns", "del", self.name, check=False)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def test(machine, old, new):
    """Each yield is a thing that has been shown."""
    conf = "/etc/ftpsgate/ftpsgate.conf"
    for package in (old, new):
        shutil.copy(package, machine.root / "root")
    files = machine.folder / "files"
    files.mkdir()
    (files / "small").write_bytes(b"a small file\n")
    (files / "large").write_bytes(LARGE)

    machine.run("useradd", "--create-home", "--shell", "/bin/sh", "anna")
    machine.run("chpasswd", input=f"anna:{PASSWORD}\n")
    machine.write(
        "/etc/vsftpd.conf",
        "listen=YES\nlisten_port=2100\nlisten_address=127.0.0.1\nlocal_enable=YES\nwrite_enable=YES\n"
        "pam_service_name=vsftpd\nsecure_chroot_dir=/var/run/vsftpd/empty\nseccomp_sandbox=NO\n",
    )
    machine.run("systemctl", "restart", "vsftpd")

    # Its dependencies are there already: apt has nothing to fetch.
    machine.run("apt-get", "install", "-y", f"/root/{old.name}")
    assert machine.run("getent", "passwd", "ftpsgate").stdout.startswith("ftpsgate:x:")
    assert machine.show("ActiveState")["ActiveState"] == "inactive"
    yield "installed: the system user is there, and nothing has been started"

    result = machine.run("systemctl", "start", "ftpsgate", check=False)
    assert result.returncode != 0
    shown = machine.show("ExecMainStatus", "NRestarts", "ActiveState")
    assert shown == {"ExecMainStatus": "64", "NRestarts": "0", "ActiveState": "failed"}, shown
    assert "--backend: missing; name the plain FTP server" in machine.journal()
    yield "without a backend it says so in the journal, ends with 64, and is not started again and again"

    text = machine.read(conf).decode().replace("#backend 192.168.1.20:21", "backend 127.0.0.1:2100")
    text = text.replace("#listen-implicit 990", "listen-implicit 990")
    machine.write(conf, text)
    assert machine.run("ftpsgate", "check", "--config", conf).stdout == "The configuration is good.\n"
    machine.run("systemctl", "enable", "--now", "ftpsgate")
    shown = machine.show("ActiveState", "StatusText", "NotifyAccess", "WatchdogUSec")
    assert shown["ActiveState"] == "active" and shown["StatusText"].startswith("Serving: listen=[::]:21"), shown
    yield f"configured and started: systemd knows its status: {shown['StatusText']}"

    status = Path(f"/proc/{machine.main_pid()}/status").read_text()
    user = machine.run("id", "-u", "ftpsgate").stdout.strip()
    assert re.search(rf"^Uid:\s+{user}\s+{user}\s", status, re.M), status
    assert re.search(r"^CapEff:\s+0000000000000400$", status, re.M), status
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M) and re.search(r"^Seccomp:\s+2$", status, re.M), status
    yield "it runs as ftpsgate, with CAP_NET_BIND_SERVICE and no other capability, no new privileges, a system call filter"

    machine.curl("-T", files / "small", "ftp://127.0.0.1/small")
    machine.curl("-T", files / "large", "ftps://127.0.0.1:990/large", implicit=True)
    assert "small" in machine.curl("ftp://127.0.0.1/").stdout
    fetched = machine.folder / "fetched"
    machine.curl("-o", fetched, "ftp://127.0.0.1/large")
    assert fetched.read_bytes() == LARGE == machine.read("/home/anna/large")
    yield "curl lists, uploads and downloads, explicit and implicit"

    assert machine.run("ftpsgate", "healthcheck", "--config", conf).returncode == 0
    certificate = machine.read("/var/lib/ftpsgate/ftpsgate.crt")
    mode = (machine.root / "var/lib/ftpsgate/ftpsgate.key").stat().st_mode & 0o777
    assert mode == 0o600, oct(mode)
    yield "healthcheck passes; the self-signed certificate is kept, its key for nobody else to read"

    before = machine.main_pid()
    machine.run("systemctl", "reload", "ftpsgate")
    wait_until(lambda: "reload.done" in machine.journal(), 10, "the reload is done")
    wait_until(lambda: machine.show("ActiveState")["ActiveState"] == "active", 10, "systemd has heard of it")
    assert machine.main_pid() == before
    yield "reload: the same process goes on"

    machine.write("/etc/systemd/system/ftpsgate.service.d/test.conf", "[Service]\nWatchdogSec=2\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "ftpsgate")
    stuck = machine.main_pid()
    with stopped(thread(stuck, "worker-0")):
        wait_until(lambda: "Watchdog timeout" in machine.journal(), 15, "systemd's watchdog bites")
    wait_until(lambda: machine.show("ActiveState")["ActiveState"] == "active", 15, "the service is back")
    assert machine.show("NRestarts")["NRestarts"] == "1" and machine.main_pid() != stuck
    assert "small" in machine.curl("ftp://127.0.0.1/").stdout
    (machine.root / "etc/systemd/system/ftpsgate.service.d/test.conf").unlink()
    machine.run("systemctl", "daemon-reload")
    yield "a loop that is stuck starves the watchdog, and systemd starts the gateway anew"

    assert machine.read("/var/lib/ftpsgate/ftpsgate.crt") == certificate
    fetched.unlink()
    slow = machine.curl("--limit-rate", "3M", "-o", fetched, "ftp://127.0.0.1/large", start=True)
    wait_until(lambda: fetched.exists() and fetched.stat().st_size > 0, 10, "the download begins")
    began = time.monotonic()
    machine.run("systemctl", "stop", "ftpsgate")
    took = time.monotonic() - began
    assert slow.wait(30) == 0 and fetched.read_bytes() == LARGE
    assert machine.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    yield f"systemctl stop waited {took:.1f} s for a running download, which is whole; exit status 0"

    machine.run("systemctl", "start", "ftpsgate")
    before = machine.main_pid()
    fetched.unlink()
    slow = machine.curl("--limit-rate", "3M", "-o", fetched, "ftp://127.0.0.1/large", start=True)
    wait_until(lambda: fetched.exists() and fetched.stat().st_size > 0, 10, "the download begins")
    machine.run("dpkg", "-i", f"/root/{new.name}")
    assert slow.wait(30) == 0 and hashlib.sha256(fetched.read_bytes()).digest() == hashlib.sha256(LARGE).digest()
    assert machine.main_pid() != before and machine.show("ActiveState")["ActiveState"] == "active"
    version = machine.run("dpkg-query", "-W", "-f", "${Version}", "ftpsgate").stdout
    assert f"_{version}_" in new.name and machine.read(conf).decode() == text
    assert "small" in machine.curl("ftp://127.0.0.1/").stdout
    yield f"upgraded to {version} while a download ran: it is whole, the new one serves, the settings are kept"

    activated = text.replace("listen 21\n", "listen systemd:ftp\n")
    machine.write(conf, activated.replace("listen-implicit 990", "listen-implicit systemd:ftps"))
    machine.run("systemctl", "stop", "ftpsgate")
    machine.run("systemctl", "enable", "--now", "ftpsgate.socket", "ftpsgate-implicit.socket")
    assert machine.show("ActiveState")["ActiveState"] == "inactive"
    assert "small" in machine.curl("ftp://127.0.0.1/").stdout
    assert machine.show("ActiveState")["ActiveState"] == "active"
    assert "small" in machine.curl("ftps://127.0.0.1/", implicit=True).stdout
    count = 0
    for _ in range(5):
        # More starts than systemd allows in so short a time.
        machine.run("systemctl", "reset-failed", "ftpsgate")
        restart = machine.start("systemctl", "restart", "ftpsgate")
        while restart.poll() is None:
            assert "small" in machine.curl("ftp://127.0.0.1/").stdout
            count += 1
        assert restart.wait(60) == 0
    yield f"socket activation: the first client starts it, and of {count} clients during five restarts none was refused"

    machine.write(
        "/etc/systemd/system/ftpsgate.service.d/credentials.conf",
        "[Service]\nLoadCredential=tls.crt:/root/tls.crt\nLoadCredential=tls.key:/root/tls.key\n"
        "Environment=FTPSGATE_CERT=%d/tls.crt FTPSGATE_KEY=%d/tls.key\n",
    )
    certificate = machine.folder / "tls.crt"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", machine.root / "root/tls.key", "-out", certificate,
    )  # fmt: skip
    shutil.copy(certificate, machine.root / "root/tls.crt")
    (machine.root / "root/tls.key").chmod(0o400)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "reset-failed", "ftpsgate")
    machine.run("systemctl", "restart", "ftpsgate")
    listing = run(
        "nsenter", f"--net=/run/netns/{machine.name}", "curl", "-sS", "-m", "20", "--ssl-reqd", "--cacert", certificate,
        "--user", f"anna:{PASSWORD}", "ftp://127.0.0.1/",
    ).stdout  # fmt: skip
    assert "small" in listing
    shutil.rmtree(machine.root / "etc/systemd/system/ftpsgate.service.d")
    machine.run("systemctl", "daemon-reload")
    yield "a key that only root may read comes in by LoadCredential, and clients verify its certificate"

    machine.run("dpkg", "-r", "ftpsgate")
    assert not machine.exists("/usr/bin/ftpsgate") and not machine.exists("/lib/systemd/system/ftpsgate.service")
    assert machine.exists(conf) and machine.exists("/var/lib/ftpsgate/ftpsgate.crt")
    listening = run("nsenter", f"--net=/run/netns/{machine.name}", "ss", "-Hltn").stdout
    assert ":21 " not in listening and ":990 " not in listening, listening
    yield "removed: it has ended, and its settings and its certificate are kept"

    machine.run("dpkg", "-P", "ftpsgate")
    assert not machine.exists("/etc/ftpsgate") and not machine.exists("/var/lib/ftpsgate")
    assert not machine.exists("/etc/default/ftpsgate")
    assert machine.run("getent", "passwd", "ftpsgate", check=False).returncode == 2
    assert machine.run("dpkg-query", "-W", "ftpsgate", check=False).returncode == 1
    left = machine.run("find", "/etc", "/usr", "/lib/systemd", "/var/lib", "-xdev", "-name", "*ftpsgate*").stdout
    assert left == "", left
    yield "purged: nothing of it is left, its user neither"


def packages():
    """The one of this version, and the same program as version 999: `make deb-test` builds both."""
    found = sorted((WORK).glob("ftpsgate_*.deb"), key=lambda path: path.stat().st_mtime)
    new = [path for path in found if path.name.startswith("ftpsgate_999_")]
    old = [path for path in found if path not in new]
    if not old or not new:
        print("deb-test: no packages in .build/deb; run `make deb-test`", file=sys.stderr)
        sys.exit(1)
    return old[-1].resolve(), new[-1].resolve()


def main():
    old, new = packages()
    require("debootstrap", "systemd-nspawn", "ip", "curl", "nsenter", "pgrep")
    make_base()
    machine = Machine()
    passed = 0
    try:
        for shown in test(machine, old, new):
            passed += 1
            print(f"ok {passed} {shown}", flush=True)
    except AssertionError as failure:
        print(f"FAILED after {passed}: {failure}\n{machine.journal()[-4000:]}", flush=True)
        print(f"{passed} passed, 1 failed")
        sys.exit(1)
    finally:
        machine.stop()
    print(f"{passed} passed, 0 failed")


main()
