"""Real plain FTP servers, each in a scratch folder on a port of its own.

`start(name, folder, host)` gives a running `Backend`. The server's root has one folder, `files`, that can be written to.
Servers come from Debian's packages, unpacked under .build/backends, and from PyPI; nothing of the machine's set-up is touched.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from processes import PROJECT, Process, free_port

PACKAGES = PROJECT / ".build" / "backends"
IS_ROOT = os.geteuid() == 0
PASSWORD = "correct horse"


@dataclass
class Backend:
    name: str
    host: str
    port: int
    user: str
    password: str
    # The server's root as this machine sees it.
    root: Path
    process: Process
    # What of FTP it knows beside what all do.
    features: set = field(default_factory=set)
    # Where the client finds `files`: a server that cannot lock its users in shows the machine's own paths.
    prefix: str = ""

    @property
    def files(self):
        """The folder that clients write to, as this machine sees it; clients call it `path("")`."""
        return self.root / "files"

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def path(self, name):
        """What a client calls the file of that name in `files`."""
        return f"{self.prefix}/files/{name}"

    @property
    def transfers_log(self):
        """What vsftpd and ProFTPD wrote down about transfers."""
        path = self.root.parent / "transfers.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def put(self, name, content):
        """A file that clients can read, change and remove."""
        path = self.files / name
        path.write_bytes(content)
        _give_away(path)
        return path

    def stop(self):
        self.process.stop(3)


def start(name, folder, host="127.0.0.1"):
    """Starts the server of that name: vsftpd, pyftpdlib, proftpd, pureftpd, inetutils, aioftp or tcllib."""
    folder = Path(folder)
    root = folder / "root"
    (root / "files").mkdir(parents=True)
    _give_away(root / "files")
    if not IS_ROOT:
        root.chmod(0o755)
    for attempt in range(5):
        try:
            return _STARTERS[name](folder, root, host)
        except AssertionError:
            # Somebody else may have taken the port that was free a moment ago.
            if attempt == 4:
                raise


NAMES = ["vsftpd", "pyftpdlib"]


def _give_away(path):
    """Servers act as the user `daemon`, who has a home on every Debian, where they can change users at all."""
    if IS_ROOT:
        shutil.chown(path, "daemon", "daemon")


def _program(package, path):
    program = PACKAGES / package / path
    assert program.is_file(), f"{program} is missing: run `make deps`"
    return program


def _account():
    return "daemon" if IS_ROOT else os.environ.get("USER", "nobody")


def _pyftpdlib(folder, root, host):
    script = Path(__file__).with_name("pyftpdlib_server.py")
    process = Process("pyftpdlib", [sys.executable, script, host, root, "user", PASSWORD], folder, stdout=subprocess.PIPE)
    words = process.stdout.readline().split()
    assert words[:1] == [b"ready"], process.log
    return Backend("pyftpdlib", host, int(words[1]), "user", PASSWORD, root, process, {"MLSD", "MFMT"})


def _vsftpd(folder, root, host):
    """Anonymous with one valid password: the one login that vsftpd judges by itself."""
    port = free_port(host)
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "passwords").write_text(PASSWORD + "\n")
    settings = {
        "listen": "NO" if ":" in host else "YES",
        "listen_ipv6": "YES" if ":" in host else "NO",
        "listen_address6" if ":" in host else "listen_address": host,
        "listen_port": port,
        "background": "NO",
        "anonymous_enable": "YES",
        "local_enable": "NO",
        "anon_root": root,
        "ftp_username": _account(),
        "nopriv_user": "nobody",
        "secure_chroot_dir": folder / "empty",
        "secure_email_list_enable": "YES",
        "email_password_file": folder / "passwords",
        "write_enable": "YES",
        "anon_upload_enable": "YES",
        "anon_mkdir_write_enable": "YES",
        "anon_other_write_enable": "YES",
        "anon_world_readable_only": "NO",
        "anon_umask": "022",
        "async_abor_enable": "YES",
        "connect_from_port_20": "NO",
        "seccomp_sandbox": "NO",
        "session_support": "NO",
        "xferlog_enable": "YES",
        "vsftpd_log_file": folder / "transfers.log",
        "delay_failed_login": "0",
        "max_login_fails": "10",
        "utf8_filesystem": "YES",
        "run_as_launching_user": "NO" if IS_ROOT else "YES",
    }
    configuration = folder / "vsftpd.conf"
    configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    process = Process("vsftpd", [_program("vsftpd", "usr/sbin/vsftpd"), configuration], folder)
    process.wait_for_port(host, port)
    return Backend("vsftpd", host, port, "anonymous", PASSWORD, root, process, {"ABOR"}, prefix="" if IS_ROOT else str(root))


def _proftpd(folder, root, host):
    port = free_port(host)
    passwords = folder / "passwords"
    ids = (_account_id(), _account_id())
    passwords.write_text(f"user:{_crypt(PASSWORD)}:{ids[0]}:{ids[1]}::{root}:/bin/sh\n")
    passwords.chmod(0o600)
    configuration = folder / "proftpd.conf"
    configuration.write_text(f"""
        ServerType standalone
        ServerName "plain server"
        DefaultAddress {host}
        SocketBindTight on
        Port {port}
        UseIPv6 {"on" if ":" in host else "off"}
        {"User root" if IS_ROOT else ""}
        AuthOrder mod_auth_file.c
        AuthUserFile {passwords}
        RequireValidShell off
        {"DefaultRoot ~" if IS_ROOT else "DefaultChdir ~"}
        AllowOverwrite on
        AllowStoreRestart on
        AllowRetrieveRestart on
        PidFile {folder}/proftpd.pid
        ScoreboardFile {folder}/scoreboard
        DelayEngine off
        WtmpLog off
        TransferLog {folder}/transfers.log
        SystemLog {folder}/proftpd-system.log
        UseReverseDNS off
        TimeoutLinger 1
        Umask 022
    """)
    program = _program("proftpd-core", "usr/sbin/proftpd")
    process = Process("proftpd", [program, "-n", "-q", "-c", configuration], folder)
    process.wait_for_port(host, port)
    return Backend(
        "proftpd", host, port, "user", PASSWORD, root, process, {"MLSD", "MFMT", "ABOR"}, prefix="" if IS_ROOT else str(root)
    )


def _pureftpd(folder, root, host):
    assert IS_ROOT, "Pure-FTPd changes users and has no way round it: run these tests as root"
    port = free_port(host)
    passwords, database = folder / "pureftpd.passwd", folder / "pureftpd.pdb"
    if not database.exists():
        subprocess.run(
            [_program("pure-ftpd", "usr/bin/pure-pw"), "useradd", "user", "-u", "daemon", "-g", "daemon"]
            + ["-d", root, "-f", passwords, "-F", database, "-m"],
            input=f"{PASSWORD}\n{PASSWORD}\n".encode(),
            check=True,
            capture_output=True,
        )
    # -u 1: daemon's number; -A: locked in; -E: no anonymous; -H: no names looked up.
    arguments = ["-S", f"{host},{port}", "-l", f"puredb:{database}", "-u", "1", "-A", "-E", "-H", "-g", folder / "pureftpd.pid"]
    process = Process("pureftpd", [_program("pure-ftpd", "usr/sbin/pure-ftpd"), *arguments], folder)
    process.wait_for_port(host, port)
    return Backend("pureftpd", host, port, "user", PASSWORD, root, process, {"MLSD", "MFMT", "ABOR"})


def _inetutils(folder, root, host):
    """A user of its own in files of its own, thanks to nss_wrapper."""
    assert IS_ROOT, "inetutils ftpd changes users: run these tests as root"
    port = free_port(host)
    (folder / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        f"user:{_crypt(PASSWORD)}:1:1::{root}:/bin/sh\n"
    )
    (folder / "group").write_text("root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n")
    environment = {
        "LD_PRELOAD": "libnss_wrapper.so",
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }
    # It has no option for an address: a relay that binds one starts it for each connection, as inetd does.
    script = Path(__file__).with_name("inetd.py")
    program = _program("inetutils-ftpd", "usr/sbin/ftpd")
    process = Process(
        "inetutils", [sys.executable, script, host, port, program, "-a", "default"], folder, environment=environment
    )
    process.wait_for_port(host, port)
    return Backend("inetutils", host, port, "user", PASSWORD, root, process, {"ABOR"}, prefix=str(root))


def _aioftp(folder, root, host):
    script = Path(__file__).with_name("aioftp_server.py")
    process = Process("aioftp", [sys.executable, script, host, root, "user", PASSWORD], folder, stdout=subprocess.PIPE)
    words = process.stdout.readline().split()
    assert words[:1] == [b"ready"], process.log
    return Backend("aioftp", host, int(words[1]), "user", PASSWORD, root, process, {"MLSD"})


def _tcllib(folder, root, host):
    """Knows neither EPSV nor FEAT nor any other command that is younger than it; it locks nobody in."""
    script = Path(__file__).with_name("tcllib_server.tcl")
    process = Process("tcllib", ["tclsh", script, host, "user", PASSWORD], folder, stdout=subprocess.PIPE)
    words = process.stdout.readline().split()
    assert words[:1] == [b"ready"], process.log
    return Backend("tcllib", host, int(words[1]), "user", PASSWORD, root, process, prefix=str(root))


def _account_id():
    return 1 if IS_ROOT else os.geteuid()


def _crypt(password):
    made = subprocess.run(["openssl", "passwd", "-6", password], check=True, capture_output=True, text=True)
    return made.stdout.strip()


_STARTERS = {
    "vsftpd": _vsftpd,
    "pyftpdlib": _pyftpdlib,
    "proftpd": _proftpd,
    "pureftpd": _pureftpd,
    "inetutils": _inetutils,
    "aioftp": _aioftp,
    "tcllib": _tcllib,
}
