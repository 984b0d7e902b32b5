"""The gateway and what it is compared with, each as a running process with a port.

Raw relays (HAProxy, nginx, hitch, stunnel) carry bytes over TLS and know nothing of FTP: they show what a data connection
costs. FTPS servers (ProFTPD with mod_proxy before the same backend; vsftpd and Pure-FTPd with files of their own) show what a
whole session costs. All of them run with one worker, where they have workers, and the same certificate.
"""

import os
import shutil
import subprocess
from pathlib import Path

from processes import PROJECT, Missing, Process, find, free_port

PASSWORD = "bench"


class Peer:
    """One competitor: `kind` is raw or ftps."""

    name = ""
    kind = "raw"
    # What the load generator needs to log in.
    login = {}
    # A process for each session: thousands would measure the machine, not the program.
    forks = False
    # Seconds until it must listen.
    patience = 10
    # A program that starts it, and says when it serves (start.c).
    stopwatch = None

    def __init__(self, folder, backend, certificate, stopwatch=None):
        self.folder = folder / self.name.replace(" ", "-")
        self.folder.mkdir()
        self.backend = backend
        self.certificate = certificate
        self.stopwatch = stopwatch
        for attempt in range(3):
            self.port = free_port()
            try:
                self.process = self.start()
                if not stopwatch:
                    self.process.wait_for_port(self.port, self.patience)
                return
            except RuntimeError:
                if attempt == 2:
                    raise

    def start(self):
        raise NotImplementedError

    def run(self, *arguments, **more):
        if self.stopwatch:
            arguments = [self.stopwatch, self.port, *arguments]
            more["stdout"] = subprocess.PIPE
        return Process(arguments, self.folder / "log", **more)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def stop(self):
        self.process.stop()


class Certificate:
    def __init__(self, folder):
        self.certificate, self.key, self.both = folder / "cert.pem", folder / "key.pem", folder / "both.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            + ["-subj", "/CN=localhost", "-keyout", self.key, "-out", self.certificate],
            check=True,
            capture_output=True,
        )
        self.both.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        self.both.chmod(0o600)


class Gateway(Peer):
    name, kind = "ftpsgate", "ftps"
    passive_ports = 1000
    listen = "--listen"

    @staticmethod
    def program():
        program = Path(os.environ.get("FTPSGATE", PROJECT / ".build/release/ftpsgate"))
        if not program.is_file():
            raise Missing(f"{program} is missing: run `make build`, or set FTPSGATE")
        return program

    def arguments(self):
        files = ["--cert", self.certificate.certificate, "--key", self.certificate.key, "--state-directory", self.folder]
        return [
            *[self.program(), self.listen, f"127.0.0.1:{self.port}", "--backend", f"127.0.0.1:{self.backend.ftp}"],
            *[*files, "--passive-ports", f"0:{self.passive_ports}", "--workers", "1"],
        ]

    def start(self):
        return self.run(*self.arguments(), stdout=subprocess.DEVNULL)


class ImplicitGateway(Gateway):
    """TLS from the first byte, as with a raw relay."""

    listen = "--listen-implicit"


# MARK: Raw relays


class HAProxy(Peer):
    name = "haproxy"
    settings = ""

    def start(self):
        configuration = self.write(
            "haproxy.cfg",
            f"""
global
    nbthread 1
    maxconn 8000
    {self.settings}
defaults
    mode tcp
    timeout connect 5s
    timeout client 5m
    timeout server 5m
frontend tls
    bind 127.0.0.1:{self.port} ssl crt {self.certificate.both}
    default_backend plain
backend plain
    server plain 127.0.0.1:{self.backend.raw}
""",
        )
        return self.run(find("haproxy"), "-db", "-f", configuration)


class HAProxyTuned(HAProxy):
    name, settings = "haproxy tuned", "tune.bufsize 131072"


class Nginx(Peer):
    name = "nginx"
    settings = ""

    def start(self):
        folders = [Path(folder) / "nginx/modules" for folder in ("/usr/lib", "/usr/lib64")]
        module = next((m for folder in folders if (m := folder / "ngx_stream_module.so").exists()), None)
        configuration = self.write(
            "nginx.conf",
            f"""
{f"load_module {module};" if module else ""}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log;
events {{ worker_connections 20000; }}
stream {{
    server {{
        listen 127.0.0.1:{self.port} ssl backlog=4096;
        ssl_certificate {self.certificate.certificate};
        ssl_certificate_key {self.certificate.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_pass 127.0.0.1:{self.backend.raw};
        {self.settings}
    }}
}}
""",
        )
        return self.run(find("nginx"), "-p", self.folder, "-c", configuration)


class NginxTuned(Nginx):
    name, settings = "nginx tuned", "proxy_buffer_size 256k;"


class Hitch(Peer):
    name = "hitch"

    def start(self):
        configuration = self.write(
            "hitch.conf",
            f"""
frontend = "[127.0.0.1]:{self.port}"
backend = "[127.0.0.1]:{self.backend.raw}"
pem-file = "{self.certificate.both}"
workers = 1
backlog = 4096
daemon = off
{'user = "nobody"' if os.geteuid() == 0 else ""}
""",
        )
        return self.run(find("hitch"), f"--config={configuration}")


class Stunnel(Peer):
    name = "stunnel"

    def start(self):
        configuration = self.write(
            "stunnel.conf",
            f"""
foreground = yes
debug = err
pid =
[relay]
accept = 127.0.0.1:{self.port}
connect = 127.0.0.1:{self.backend.raw}
cert = {self.certificate.both}
""",
        )
        return self.run(find("stunnel", "stunnel4"), configuration)


# MARK: FTPS servers


class ModProxy(Peer):
    """ProFTPD's mod_proxy, the one free gateway beside this one; with what is known to make it faster."""

    name, kind, forks = "mod_proxy", "ftps", True

    def start(self):
        program = find("proftpd", "proftpd-core")
        modules = self.folder / "modules"
        modules.mkdir(exist_ok=True)
        for folder in ["/usr/lib/proftpd", *(PROJECT / ".build/backends").glob("proftpd-*/usr/lib/proftpd")]:
            for module in Path(folder).glob("*.so"):
                if not (modules / module.name).exists():
                    (modules / module.name).symlink_to(module)
        for name in ("mod_proxy.so", "mod_tls.so"):
            if not (modules / name).exists():
                raise Missing(f"ProFTPD's {name} is not installed")
        shutil.rmtree(self.folder / "tables", ignore_errors=True)
        (self.folder / "tables").mkdir()
        configuration = self.write(
            "proftpd.conf",
            f"""
ModulePath {modules}
LoadModule mod_proxy.c
LoadModule mod_tls.c
ServerType standalone
ServerName bench
DefaultAddress 127.0.0.1
SocketBindTight on
Port {self.port}
UseIPv6 off
User root
Group root
RequireValidShell off
MaxInstances none
PidFile {self.folder}/proftpd.pid
ScoreboardFile {self.folder}/scoreboard
SystemLog {self.folder}/system.log
DelayEngine off
WtmpLog off
TransferLog none
UseReverseDNS off
ProxyEngine on
ProxyRole reverse
ProxyTables {self.folder}/tables
ProxyReverseServers ftp://127.0.0.1:{self.backend.ftp}
ProxyTLSEngine off
ProxyTLSCACertificateFile {self.certificate.certificate}
TLSEngine on
TLSRequired on
TLSProtocol TLSv1.2 TLSv1.3
TLSECCertificateFile {self.certificate.certificate}
TLSECCertificateKeyFile {self.certificate.key}
TLSCACertificateFile {self.certificate.certificate}
TLSVerifyClient off
TLSOptions NoSessionReuseRequired
""",
        )
        return self.run(program, "-n", "-q", "-c", configuration)


class FileServer(Peer):
    """An FTPS server with files of its own: f/SIZE, as the load generator asks for them."""

    kind, forks = "ftps", True

    def make_files(self):
        root = self.folder / "root"
        (root / "f").mkdir(parents=True, exist_ok=True)
        for size in (4096, *(2**power for power in range(20, 31))):
            with open(root / "f" / str(size), "wb") as file:
                file.truncate(size)
        if os.geteuid() != 0:
            raise Missing(f"{self.name} changes users; run as root")
        shutil.chown(root / "f", "daemon", "daemon")
        return root


class VsFTPd(FileServer):
    name = "vsftpd"

    def start(self):
        program = find("vsftpd", "vsftpd")
        root = self.make_files()
        (self.folder / "empty").mkdir(exist_ok=True)
        settings = {
            "listen": "YES",
            "listen_address": "127.0.0.1",
            "listen_port": self.port,
            "background": "NO",
            "anonymous_enable": "YES",
            "local_enable": "NO",
            "no_anon_password": "NO",
            "anon_root": root,
            "ftp_username": "daemon",
            "nopriv_user": "nobody",
            "secure_chroot_dir": self.folder / "empty",
            "write_enable": "YES",
            "anon_upload_enable": "YES",
            "anon_other_write_enable": "YES",
            "anon_world_readable_only": "NO",
            "connect_from_port_20": "NO",
            "seccomp_sandbox": "NO",
            "session_support": "NO",
            "xferlog_enable": "NO",
            "ssl_enable": "YES",
            "allow_anon_ssl": "YES",
            "ssl_tlsv1": "YES",
            "ssl_request_cert": "NO",
            "require_ssl_reuse": "NO",
            "ssl_ciphers": "HIGH",
            "rsa_cert_file": self.certificate.certificate,
            "rsa_private_key_file": self.certificate.key,
        }
        configuration = self.write("vsftpd.conf", "".join(f"{name}={value}\n" for name, value in settings.items()))
        return self.run(program, configuration)


class PureFTPd(FileServer):
    name, login = "pure-ftpd", {"user": "bench", "password": PASSWORD}

    def start(self):
        program = find("pure-ftpd", "pure-ftpd")
        root = self.make_files()
        # A quick hash: Pure-FTPd's own would make a benchmark of Argon2.
        made = subprocess.run(["openssl", "passwd", "-1", PASSWORD], check=True, capture_output=True, text=True)
        passwords = self.write("passwd", f"bench:{made.stdout.strip()}:1:1::{root}/./::::::::::::\n")
        database = self.folder / "pdb"
        subprocess.run([find("pure-pw", "pure-ftpd"), "mkdb", database, "-f", passwords], check=True, capture_output=True)
        both = shutil.copy(self.certificate.both, self.folder / "both.pem")
        return self.run(
            program,
            *["-S", f"127.0.0.1,{self.port}", "-l", f"puredb:{database}", "-u", "1", "-A", "-E", "-H", "-c", "5000"],
            *["-C", "5000", "-Y", "2", "-2", both, "-g", self.folder / "pid"],
        )


RAW = [HAProxy, HAProxyTuned, Nginx, NginxTuned, Hitch, Stunnel]
FTPS = [ModProxy, VsFTPd, PureFTPd]
