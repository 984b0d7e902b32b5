#!/usr/bin/env python3
"""The container image as it is used: run with nothing but its settings, asked by real clients, stopped in the middle of a
transfer. Then compose.yaml, with its plain server on an internal network.

With podman all of it happens in two network namespaces of its own: one is the container host, where ports are published, and the
other a client's machine, so that nothing of this machine is touched. Images: deploy/image/build.sh.

Usage: test.py [image] [compose]. What is missing on this machine is named, and the exit status is 77.
"""

import contextlib
import ftplib
import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
WORK = PROJECT / ".build/image"
NETWORKS = Path("/run/containers/networks")
LARGE = os.urandom(1 << 20) * 12
SIZE_LIMIT = 60_000_000
USER, PASSWORD = "ftpuser", "correct-horse"
# Networks for documentation (RFC 5737): the container host's and the client's addresses.
HOST, CLIENT = "192.0.2.1", "192.0.2.10"


def skip(reason):
    print(f"image-test: skipped: {reason}", file=sys.stderr)
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


class Hosts:
    """Two machines and a cable: `host` runs containers, `client` is where clients are."""

    def __init__(self):
        number = os.getpid()
        self.host, self.client = f"fg-host-{number}", f"fg-client-{number}"
        for name in (self.host, self.client):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.host, "link", "add", "outside", "type", "veth", "peer", "name", "eth0", "netns", self.client)
        for name, link, address in ((self.host, "outside", HOST), (self.client, "eth0", CLIENT)):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")
        run("ip", "-n", self.client, "route", "add", "default", "via", HOST)
        self.folder = Path(tempfile.mkdtemp(prefix="ftpsgate-image-"))
        self.folder.chmod(0o755)
        environment = {"CONTAINERS_STORAGE_CONF": WORK / "storage.conf", "CONTAINERS_CONF": WORK / "containers.conf"}
        self.environment = os.environ | {name: str(value) for name, value in environment.items()}

    def podman(self, *words, **options):
        return run("nsenter", f"--net=/run/netns/{self.host}", "podman", *words, env=self.environment, **options)

    def compose(self, *words, environment=None, **options):
        command = ["nsenter", f"--net=/run/netns/{self.host}", "podman-compose", *words]
        return run(*command, env=self.environment | (environment or {}), **options)

    def on_host(self, *words, **options):
        return subprocess.Popen(["nsenter", f"--net=/run/netns/{self.host}", *map(str, words)], **options)

    def on_client(self, *words, **options):
        return run("nsenter", f"--net=/run/netns/{self.client}", *words, **options)

    def start_on_client(self, *words):
        return subprocess.Popen(["nsenter", f"--net=/run/netns/{self.client}", *map(str, words)])

    def python_on_client(self, function, *arguments):
        """Calls a function of this file there."""
        code = f"import runpy, sys; runpy.run_path({str(Path(__file__))!r})[{function.__name__!r}](*sys.argv[1:])"
        return self.on_client(sys.executable, "-c", code, *arguments).stdout

    def remove(self):
        for name in (self.host, self.client):
            run("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def session_with_ftplib(host, port, user, password, folder):
    """Upload, list, download, rename and delete with Python's ftplib; each data connection resumes the control connection's."""

    class Client(ftplib.FTP_TLS):
        def ntransfercmd(self, command, rest=None):
            connection, size = ftplib.FTP.ntransfercmd(self, command, rest)
            return self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session), size

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = Client(context=context)
    client.connect(host, int(port), timeout=20)
    client.login(user, password)
    client.prot_p()
    content = os.urandom(300_000)
    (Path(folder) / "ftplib-up").write_bytes(content)
    with open(Path(folder) / "ftplib-up", "rb") as file:
        client.storbinary("STOR ftplib-file", file)
    pieces = []
    client.retrbinary("RETR ftplib-file", pieces.append)
    assert b"".join(pieces) == content
    assert "ftplib-file" in client.nlst()
    client.rename("ftplib-file", "ftplib-renamed")
    client.delete("ftplib-renamed")
    client.quit()
    print(client.sock.version() if client.sock else "done")


def clients_work(hosts, folder, user, password):
    """curl, lftp and ftplib list, upload and download, explicit and where it is published implicit."""
    up, down = folder / "up", folder / "down"
    up.write_bytes(LARGE)

    def curl(*words):
        return hosts.on_client("curl", "-sS", "-k", "-m", "60", "--ssl-reqd", "--user", f"{user}:{password}", *words).stdout

    curl("-T", up, f"ftp://{HOST}/curl-file")
    assert "curl-file" in curl(f"ftp://{HOST}/")
    # --ftp-skip-pasv-ip is curl's default: without it the address in the 227 is the one that is used.
    curl("--disable-epsv", "--no-ftp-skip-pasv-ip", "-o", down, f"ftp://{HOST}/curl-file")
    assert down.read_bytes() == LARGE
    settings = "set ftp:ssl-force true; set ftp:ssl-protect-data true; set ssl:verify-certificate false; set net:timeout 20"
    script = f"{settings}; put {up} -o lftp-file; cls; get lftp-file -o {down}.lftp; rm lftp-file; rm curl-file; bye"
    listing = hosts.on_client("lftp", "-u", f"{user},{password}", "-e", script, HOST, timeout=60).stdout
    assert "lftp-file" in listing and Path(f"{down}.lftp").read_bytes() == LARGE
    hosts.python_on_client(session_with_ftplib, HOST, 21, user, password, folder)


SERVER_PORT = 2100
SERVER = (
    "import sys; from pyftpdlib.authorizers import DummyAuthorizer as A; from pyftpdlib.handlers import FTPHandler as H;"
    "from pyftpdlib.servers import FTPServer as S; a = A(); a.add_user(*sys.argv[1:4], perm='elradfmwMT'); H.authorizer = a;"
    "S(('0.0.0.0', int(sys.argv[4])), H).serve_forever()"
)


@contextlib.contextmanager
def plain_server(hosts, root):
    """On the container host, as containers reach it."""
    root.mkdir()
    root.chmod(0o777)
    python = PROJECT / ".build/venv/bin/python"
    with open(root.parent / f"{root.name}.log", "w") as log:
        words = [python, "-c", SERVER, USER, PASSWORD, root, SERVER_PORT]
        server = hosts.on_host(*words, stdout=log, stderr=log)
        try:
            yield
        finally:
            server.terminate()
            server.wait(10)


def documented_command(page):
    """The words behind `docker` of the page's first `docker run`."""
    blocks = re.findall(r"```\n(.*?)```", (PROJECT / page).read_text(), re.S)
    block = next(block for block in blocks if "docker run" in block)
    return shlex.split(block[block.index("docker run") :].replace("\\\n", " "))[1:]


RESTRICTED = ["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"]


def image_test(hosts):
    name = f"ftpsgate-test-{os.getpid()}"
    volume, network = f"{name}-state", f"{name}-network"
    folder = hosts.folder

    facts = json.loads(hosts.podman("image", "inspect", "localhost/ftpsgate:latest").stdout)[0]
    assert facts["Size"] <= SIZE_LIMIT, facts["Size"]
    config = facts["Config"]
    assert config["User"] == "65532:65532" and config["StopSignal"] == "SIGTERM", config
    assert facts["Healthcheck"]["Test"] == ["CMD", "/usr/bin/ftpsgate", "healthcheck"], facts
    labels = facts["Labels"]
    for key in ("title", "description", "licenses", "version", "revision", "created"):
        assert labels.get(f"org.opencontainers.image.{key}"), labels
    yield f"{facts['Size'] / 1e6:.1f} MB; user 65532, SIGTERM, health check and labels are set"

    for shell in ("/bin/sh", "/bin/bash", "/usr/bin/apt-get"):
        result = hosts.podman("run", "--rm", "--network", "none", "--entrypoint", shell, "ftpsgate", "-c", "true", check=False)
        assert result.returncode in (126, 127), (shell, result)
    assert hosts.podman("run", "--rm", "--network", "none", "ftpsgate", "--version").stdout.startswith("ftpsgate ")
    yield "no shell and no package manager is in it; the program starts"

    result = hosts.podman("run", "--rm", "--network", "none", "ftpsgate", check=False)
    assert result.returncode == 64 and "--backend: missing; name the plain FTP server" in result.stderr, result
    yield "without a backend it says so and ends with 64"

    # A plain server on the container host, as the container reaches it.
    hosts.podman("network", "create", network)
    gateway_address = json.loads(hosts.podman("network", "inspect", network).stdout)[0]["subnets"][0]["gateway"]
    root = folder / "files"
    backend = f"FTPSGATE_BACKEND={gateway_address}:{SERVER_PORT}"
    published = ["--publish", "21:2121", "--publish", "990:9990", "--publish", "50000:50000"]
    settings = ["--env", backend, "--env", f"FTPSGATE_PASSIVE_ADDRESS={HOST}"]

    def start(*more):
        words = ["run", "--detach", "--name", name, "--network", network, *RESTRICTED, *published, *settings, *more, "ftpsgate"]
        hosts.podman(*words)
        # podman says "unhealthy" or "healthy" only when it has asked.
        wait_until(lambda: healthcheck() == 0, 20, lambda: f"healthy: {logs()}")

    def healthcheck():
        return hosts.podman("healthcheck", "run", name, check=False).returncode

    def logs():
        result = hosts.podman("logs", name)
        return result.stdout + result.stderr

    def exit_status():
        return json.loads(hosts.podman("inspect", name).stdout)[0]["State"]["ExitCode"]

    cleanup = contextlib.ExitStack()
    cleanup.callback(hosts.podman, "network", "rm", "--force", network, check=False)
    cleanup.callback(hosts.podman, "volume", "rm", "--force", volume, check=False)
    cleanup.callback(hosts.podman, "rm", "--force", "--volumes", "--time", "1", name, check=False)
    with cleanup, plain_server(hosts, root):
        start("--volume", f"{volume}:/var/lib/ftpsgate")
        pid = json.loads(hosts.podman("inspect", name).stdout)[0]["State"]["Pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        for pattern in (r"^Uid:\s+65532\s+65532\s", r"^CapEff:\s+0+$", r"^NoNewPrivs:\s+1$"):
            assert re.search(pattern, status, re.M), status
        mounts = Path(f"/proc/{pid}/mountinfo").read_text()
        assert re.search(r" / / ro[, ]", mounts), mounts
        yield "it runs as uid 65532, without a capability, without new privileges, on a read-only root; its health check passes"

        fingerprint = re.search(r"certificate.self_signed .*sha256=([0-9A-F:]+)", logs())[1]
        shown = hosts.on_client("openssl", "s_client", "-connect", f"{HOST}:21", "-starttls", "ftp", input="").stdout
        fields = run("openssl", "x509", "-noout", "-fingerprint", "-sha256", input=shown).stdout
        assert fingerprint in fields, (fingerprint, fields)
        yield "it made itself a certificate, and clients get the one whose fingerprint is in the log"

        clients_work(hosts, folder, USER, PASSWORD)
        implicit = ["curl", "-sS", "-k", "-m", "60", "--user", f"{USER}:{PASSWORD}", f"ftps://{HOST}:990/"]
        hosts.on_client(*implicit)
        yield "curl, lftp and ftplib work through published ports and one data port, PASV and EPSV; implicit FTPS as well"

        down = folder / "drained"
        (root / "large").write_bytes(LARGE)
        slow = hosts.start_on_client(
            "curl", "-sS", "-k", "-m", "60", "--ssl-reqd", "--limit-rate", "3M", "--user", f"{USER}:{PASSWORD}",
            "-o", down, f"ftp://{HOST}/large",
        )  # fmt: skip
        wait_until(lambda: down.exists() and down.stat().st_size > 0, 10, "the download begins")
        began = time.monotonic()
        hosts.podman("stop", "--time", "70", name)
        took = time.monotonic() - began
        assert slow.wait(30) == 0 and down.read_bytes() == LARGE
        assert exit_status() == 0, logs()
        assert took < 20, took
        yield f"stop waited {took:.1f} s for a running download, which is whole; exit status 0"

        hosts.podman("rm", name)
        for page in ("README.md", "deploy/OPERATIONS.md"):
            replaced = {
                "ftpsgate:/var/lib/ftpsgate": f"{volume}:/var/lib/ftpsgate",
                "FTPSGATE_BACKEND=192.168.1.20": backend,
                "FTPSGATE_PASSIVE_ADDRESS=203.0.113.5": f"FTPSGATE_PASSIVE_ADDRESS={HOST}",
            }
            words = [replaced.pop(word, word) for word in documented_command(page)]
            assert not replaced, (page, replaced)
            words[words.index("--name") + 1] = name
            words[words.index("run") + 1 : words.index("run") + 1] = ["--network", network]
            hosts.podman(*words)
            wait_until(lambda: healthcheck() == 0, 20, "healthy")
            clients_work(hosts, folder, USER, PASSWORD)
            hosts.podman("rm", "--force", "--time", "5", name)
            yield f"the command of {page}, word for word but for names and addresses, gives a gateway that works"

        start("--volume", f"{volume}:/var/lib/ftpsgate")
        assert fingerprint in logs()
        hosts.podman("rm", "--force", "--time", "5", name)
        yield "the next container with the same volume has the same certificate"

        certificates = folder / "certificates"
        certificates.mkdir()
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", "/CN=ftp.example.com", "-addext", f"subjectAltName=DNS:ftp.example.com,IP:{HOST}",
            "-keyout", certificates / "tls.key", "-out", certificates / "tls.crt",
        )  # fmt: skip
        (certificates / "tls.key").chmod(0o400)
        os.chown(certificates / "tls.key", 65532, 65532)
        own = ["--env", "FTPSGATE_CERT=/certificates/tls.crt", "--env", "FTPSGATE_KEY=/certificates/tls.key"]
        start("--volume", f"{certificates}:/certificates:ro", *own)
        trusting = ["curl", "-sS", "-m", "60", "--ssl-reqd", "--cacert", certificates / "tls.crt"]
        listing = hosts.on_client(*trusting, "--user", f"{USER}:{PASSWORD}", f"ftp://{HOST}/").stdout
        assert "large" in listing and "self_signed" not in logs()
        hosts.podman("rm", "--force", "--time", "5", name)
        yield "with a mounted certificate clients verify it, control and data connections alike"

        several = ["--env", "FTPSGATE_PASSIVE_PORTS=50000-50031", "--env", "FTPSGATE_LOG_FORMAT=json"]
        counts = {}
        for limit in ([], ["--cpus", "1"]):
            start(*several, *limit)
            counts[" ".join(limit)] = int(re.search(r'"event":"ready".*"workers":(\d+)', logs())[1])
            hosts.podman("rm", "--force", "--time", "5", name)
        assert counts == {"": len(os.sched_getaffinity(0)), "--cpus 1": 1}, counts
        yield f"event loops follow the CPU quota: {counts['']} without one, 1 with --cpus 1"


def compose_test(hosts):
    folder = hosts.folder / "project"
    shutil.copytree(PROJECT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("debian", "image"))
    (folder / "deploy/certificates").mkdir()
    file = ["-f", folder / "deploy/compose.yaml"]
    environment = {"FTP_PASSWORD": PASSWORD, "PASSIVE_ADDRESS": HOST}

    result = hosts.compose(*file, "--dry-run", "up", check=False)
    assert result.returncode != 0 and "FTP_PASSWORD" in result.stdout + result.stderr, result
    yield "compose.yaml: without a password for the FTP user it says what to set"

    hosts.compose(*file, "up", "-d", environment=environment)
    try:
        containers = hosts.podman("ps", "--format", "{{.Names}} {{.Ports}}").stdout
        names = dict(line.partition(" ")[::2] for line in containers.splitlines())
        gateway = next(name for name in names if "vsftpd" not in name)
        server = next(name for name in names if "vsftpd" in name)
        assert not names[server].strip(), names
        health = lambda: hosts.podman("healthcheck", "run", gateway, check=False).returncode == 0  # noqa: E731
        wait_until(health, 20, "the gateway is healthy")
        yield "compose.yaml is up: two containers, and the plain server has no published port"

        address = json.loads(hosts.podman("inspect", server).stdout)[0]["NetworkSettings"]["Networks"]
        plain = next(iter(address.values()))["IPAddress"]
        reached = hosts.on_client("curl", "-sS", "-m", "3", f"ftp://{plain}/", check=False)
        assert reached.returncode != 0, reached
        yield "the client's machine cannot reach the plain server"

        clients_work(hosts, hosts.folder, USER, PASSWORD)
        yield "curl, lftp and ftplib work through two published ports, with the backend's name from the engine's DNS"

        workers = []
        (hosts.folder / "up").write_bytes(LARGE)
        for number in range(6):
            words = ["-T", hosts.folder / "up", f"ftp://{HOST}/parallel-{number}"]
            command = ["curl", "-sS", "-k", "-m", "60", "--ssl-reqd", "--user", f"{USER}:{PASSWORD}", *words]
            workers.append(hosts.start_on_client(*command))
        assert [worker.wait(60) for worker in workers] == [0] * 6
        listing = hosts.on_client("curl", "-sS", "-k", "--ssl-reqd", "--user", f"{USER}:{PASSWORD}", f"ftp://{HOST}/").stdout
        sizes = re.findall(rf" {len(LARGE)} .* parallel-\d", listing)
        assert len(sizes) == 6, listing
        yield "six uploads at a time share the one data port"

        logs = hosts.podman("logs", gateway)
        assert PASSWORD not in logs.stdout + logs.stderr
        hosts.podman("stop", "--time", "70", gateway)
        status = json.loads(hosts.podman("inspect", gateway).stdout)[0]["State"]["ExitCode"]
        assert status == 0
        yield "it stops in order, and no password is in its log"
    except BaseException:
        sys.stderr.write(hosts.compose(*file, "logs", environment=environment, check=False).stderr[-3000:])
        raise
    finally:
        hosts.compose(*file, "down", "-v", environment=environment, check=False)

    file = ["-f", folder / "deploy/compose.own-server.yaml"]
    result = hosts.compose(*file, "--dry-run", "up", check=False)
    assert result.returncode != 0 and "BACKEND" in result.stdout + result.stderr, result
    environment = {"BACKEND": f"host.docker.internal:{SERVER_PORT}", "PASSIVE_ADDRESS": HOST, "HOST_GATEWAY": HOST}
    with plain_server(hosts, hosts.folder / "own-files"), contextlib.ExitStack() as cleanup:
        cleanup.callback(hosts.compose, *file, "down", "-v", environment=environment, check=False)
        hosts.compose(*file, "up", "-d", environment=environment)
        gateway = hosts.podman("ps", "--format", "{{.Names}}").stdout.strip()
        wait_until(lambda: hosts.podman("healthcheck", "run", gateway, check=False).returncode == 0, 20, "healthy")
        clients_work(hosts, hosts.folder, USER, PASSWORD)
    yield "compose.own-server.yaml wants the server's name, and serves a server on the container host by it"


def in_mounts_of_our_own():
    """podman keeps the state of its networks, and its name server, in one place for the whole machine: not in this test's.

    The network namespaces are in there too, and go with it.
    """
    if os.environ.get("FTPSGATE_OWN_MOUNTS"):
        NETWORKS.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", NETWORKS)
        return
    os.environ["FTPSGATE_OWN_MOUNTS"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def end_name_server():
    file = NETWORKS / "aardvark-dns/aardvark.pid"
    if file.exists():
        try:
            os.kill(int(file.read_text()), signal.SIGTERM)
        except ProcessLookupError:
            pass


def main():
    wanted = sys.argv[1:] or ["image", "compose"]
    tools = ["podman", "runc", "ip", "nsenter", "curl", "lftp", "openssl"] + ["podman-compose"] * ("compose" in wanted)
    missing = [tool for tool in tools if not shutil.which(tool)] + ([] if os.geteuid() == 0 else ["root"])
    if not (Path("/usr/lib/podman/netavark").exists() or shutil.which("netavark")):
        missing.append("netavark")
    if missing:
        skip(f"this needs {', '.join(missing)}")
    if not (WORK / "storage.conf").exists():
        skip("the image is not in podman's store: run `make image` on a machine without a Docker engine")
    in_mounts_of_our_own()
    hosts = Hosts()
    passed = 0
    try:
        for part in wanted:
            for shown in {"image": image_test, "compose": compose_test}[part](hosts):
                passed += 1
                print(f"ok {passed} {shown}", flush=True)
    except AssertionError as failure:
        print(f"FAILED after {passed}: {failure}")
        print(f"{passed} passed, 1 failed")
        sys.exit(1)
    finally:
        end_name_server()
        hosts.remove()
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
