"""FileZilla as it is, on a screen that nobody sees (Xvfb): it works off the queue that it finds in its own database.

Judged by what arrives, and by FileZilla's own log. The one thing that takes a key is "process the queue".
"""

import base64
import os
import re
import sqlite3
import ssl
import subprocess

from processes import Process, wait_until

# FileZilla's numbers.
FTPS_IMPLICIT, FTPS_EXPLICIT = 3, 4
DOWNLOAD = 16
OVERWRITE = 1

_SCHEMA = """
CREATE TABLE servers (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, host TEXT NOT NULL, port INTEGER, user TEXT,
    password TEXT, account TEXT, keyfile TEXT, protocol INTEGER, type INTEGER, logontype INTEGER, timezone_offset INTEGER,
    transfer_mode TEXT, max_connections INTEGER, encoding TEXT, bypass_proxy INTEGER, post_login_commands TEXT, name TEXT,
    parameters TEXT, site_path TEXT DEFAULT NULL);
CREATE TABLE files (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, server INTEGER NOT NULL, source_file TEXT,
    target_file TEXT, local_path INTEGER, remote_path INTEGER, size INTEGER, error_count INTEGER, priority INTEGER,
    flags INTEGER, default_exists_action INTEGER, extra_flags TEXT);
CREATE INDEX server_index ON files (server);
CREATE TABLE local_paths (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, path TEXT NOT NULL);
CREATE TABLE remote_paths (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, path TEXT NOT NULL);
"""


class FileZilla:
    """One run: a site that it connects to at its start, and a queue."""

    def __init__(self, folder, route):
        self.folder = folder
        self.local = folder / "local"
        self.settings = folder / "home" / ".config" / "filezilla"
        self.settings.mkdir(parents=True)
        self.local.mkdir()
        self.route = route
        self._log = folder / "filezilla.log"
        self._protocol = FTPS_IMPLICIT if route.mode == "implicit" else FTPS_EXPLICIT
        self._mode = "MODE_PASSIVE" if route.is_passive else "MODE_ACTIVE"
        # "1 0 5 files 3 sub" is /files/sub.
        parts = route.backend.path("").strip("/").split("/")
        self._remote = " ".join(["1", "0", *(f"{len(part)} {part}" for part in parts)])
        self._write_settings()

    @property
    def log(self):
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _write(self, name, content):
        (self.settings / name).write_text(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<FileZilla3 platform="*nix">{content}</FileZilla3>\n'
        )

    def _write_settings(self):
        values = {"Update Check": 0, "Disable update check": 1, "Greeting version": "99.0.0", "Logging file": self._log}
        settings = "".join(f'<Setting name="{name}">{value}</Setting>' for name, value in values.items())
        self._write("filezilla.xml", f"<Settings>{settings}</Settings>")
        pem = self.route.gateway.identity.certificate.read_text()
        end = "-----END CERTIFICATE-----\n"
        der = ssl.PEM_cert_to_DER_cert(pem[: pem.index(end) + len(end)])
        trusted = f"<Data>{der.hex()}</Data><ActivationTime>1</ActivationTime><ExpirationTime>9999999999</ExpirationTime>"
        trusted += f"<Host>{self.route.host}</Host><Port>{self.route.port}</Port><TrustSANs>0</TrustSANs>"
        self._write("trustedcerts.xml", f"<TrustedCerts><Certificate>{trusted}</Certificate></TrustedCerts>")
        password = base64.b64encode(self.route.secret.encode()).decode()
        site = f"<Host>{self.route.host}</Host><Port>{self.route.port}</Port><Protocol>{self._protocol}</Protocol><Type>0</Type>"
        site += f'<User>{self.route.user}</User><Pass encoding="base64">{password}</Pass><Logontype>1</Logontype>'
        site += f"<PasvMode>{self._mode}</PasvMode><Name>gateway</Name><LocalDir>{self.local}</LocalDir>"
        self._write("sitemanager.xml", f"<Servers><Server>{site}<RemoteDir>{self._remote}</RemoteDir></Server></Servers>")

    def run(self, downloads, uploads, timeout=60):
        """Works off the queue, then ends. Gives what it said."""
        queue = sqlite3.connect(self.settings / "queue.sqlite3")
        queue.executescript(_SCHEMA)
        queue.execute(
            "INSERT INTO servers (id, host, port, user, password, protocol, type, logontype, timezone_offset, transfer_mode,"
            " max_connections, encoding, bypass_proxy, name) VALUES (1, ?, ?, ?, ?, ?, 0, 1, 0, ?, 0, 'Auto', 0, 'gateway')",
            (self.route.host, self.route.port, self.route.user, self.route.secret, self._protocol, self._mode),
        )
        queue.execute("INSERT INTO local_paths VALUES (1, ?)", (f"{self.local}/",))
        queue.execute("INSERT INTO remote_paths VALUES (1, ?)", (self._remote,))
        for name in [*downloads, *uploads]:
            size = (self.route.backend.files / name if name in downloads else self.local / name).stat().st_size
            queue.execute(
                "INSERT INTO files (server, source_file, local_path, remote_path, size, error_count, priority, flags,"
                " default_exists_action) VALUES (1, ?, 1, 1, ?, 0, 2, ?, ?)",
                (name, size, DOWNLOAD if name in downloads else 0, OVERWRITE),
            )
        queue.commit()
        queue.close()
        reading, writing = os.pipe()
        screen = Process(
            "xvfb",
            ["Xvfb", "-displayfd", writing, "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
            self.folder,
            descriptors=(writing,),
        )
        os.close(writing)
        with os.fdopen(reading) as display:
            environment = {"DISPLAY": f":{display.readline().strip()}", "HOME": str(self.folder / "home"), "XDG_CONFIG_HOME": ""}
        try:
            program = Process("filezilla", ["filezilla", "-c", "0/gateway"], self.folder, environment=environment)
            try:
                self._expect("Directory listing of .* successful", 1, timeout)
                self._press("ctrl+p", environment)
                self._expect("File transfer successful", len(downloads) + len(uploads), timeout)
            finally:
                program.stop(5)
        finally:
            screen.stop(5)
        return self.log

    def _expect(self, pattern, count, timeout):
        wait_until(
            lambda: len(re.findall(pattern, self.log)) >= count, timeout, lambda: f"{count} × {pattern} in:\n{self.log[-4000:]}"
        )

    @staticmethod
    def _press(key, environment):
        def xdotool(*arguments):
            done = subprocess.run(
                ["xdotool", *arguments], capture_output=True, text=True, timeout=10, env={**os.environ, **environment}
            )
            return done.stdout.split()

        window = wait_until(lambda: xdotool("search", "--onlyvisible", "--name", "FileZilla"), 20, "FileZilla's window")[-1]
        xdotool("windowfocus", "--sync", window)
        xdotool("key", key)
