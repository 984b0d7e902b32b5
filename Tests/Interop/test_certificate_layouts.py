"""Certificates as certbot, acme.sh and cert-manager leave them work as they are, and so do their renewals."""

import hashlib
import os
import shutil
import ssl
import subprocess
import time

import pytest
from certificates import Identity
from gateway import binary
from processes import wait_until


class Authority:
    """Signs for localhost, with an intermediate authority between, as public ones do."""

    def __init__(self, folder):
        self.folder = folder
        self._cert("authority", "root")
        self._cert("authority", "middle", "--authority", "root")
        self.issued = 0

    def _cert(self, *arguments):
        subprocess.run([binary(), "cert", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=30)

    def issue(self):
        """(certificate, chain, fullchain, key), each as PEM."""
        self.issued += 1
        name = f"issued{self.issued}"
        self._cert("create", name, "--authority", "middle", "--dns", "localhost", "--ip", "127.0.0.1")
        full = (self.folder / f"{name}.crt").read_text()
        first, second = full.split("-----END CERTIFICATE-----\n", 1)
        leaf = first + "-----END CERTIFICATE-----\n"
        return leaf, second, full, (self.folder / f"{name}.key").read_text()


@pytest.fixture
def authority(scratch):
    folder = scratch / "authority"
    folder.mkdir()
    return Authority(folder)


class Certbot:
    """archive/NAME/fullchainN.pem, and live/NAME/fullchain.pem as a link to the newest."""

    def __init__(self, folder):
        self.archive, self.live = folder / "archive" / "localhost", folder / "live" / "localhost"
        self.archive.mkdir(parents=True)
        self.live.mkdir(parents=True)
        self.files = self.live / "fullchain.pem", self.live / "privkey.pem"
        self.number = 0

    def put(self, leaf, chain, full, key):
        self.number += 1
        for name, text in [("cert", leaf), ("chain", chain), ("fullchain", full), ("privkey", key)]:
            path = self.archive / f"{name}{self.number}.pem"
            path.write_text(text)
            path.chmod(0o600 if name == "privkey" else 0o644)
            link = self.live / f"{name}.pem"
            if link.is_symlink():
                link.unlink()
            link.symlink_to(f"../../archive/localhost/{name}{self.number}.pem")


class AcmeSh:
    """NAME_ecc/fullchain.cer and NAME.key, written over in place."""

    def __init__(self, folder):
        self.folder = folder / "localhost_ecc"
        self.folder.mkdir(parents=True)
        self.files = self.folder / "fullchain.cer", self.folder / "localhost.key"

    def put(self, leaf, chain, full, key):
        for name, text in [("localhost.key", key), ("localhost.cer", leaf), ("ca.cer", chain), ("fullchain.cer", full)]:
            (self.folder / name).write_text(text)
        (self.folder / "localhost.key").chmod(0o600)


class CertManager:
    """A Kubernetes secret as a volume: tls.crt is a link to ..data/tls.crt, and ..data one that is swapped."""

    def __init__(self, folder):
        self.folder = folder / "tls"
        self.folder.mkdir(parents=True)
        self.files = self.folder / "tls.crt", self.folder / "tls.key"
        self.number = 0

    def put(self, leaf, chain, full, key):
        self.number += 1
        content = self.folder / f"..2026_01_0{self.number}"
        content.mkdir()
        for name, text in [("tls.crt", full), ("tls.key", key), ("ca.crt", chain)]:
            (content / name).write_text(text)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(content.name)
        old = (self.folder / "..data").resolve() if (self.folder / "..data").is_symlink() else None
        os.replace(fresh, self.folder / "..data")
        if old:
            shutil.rmtree(old)


def shown(gateway, authority):
    """The certificate that a client sees who trusts the root alone: the chain must be there."""
    context = ssl.create_default_context(cafile=authority.folder / "root.crt")
    import socket

    with (
        socket.create_connection(gateway.address("implicit"), 10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as client,
    ):
        return hashlib.sha256(client.getpeercert(True)).hexdigest()


def digest(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@pytest.mark.parametrize("layout", [Certbot, AcmeSh, CertManager])
def test_the_layout_works_and_its_renewal_is_seen_within_two_seconds(backends, start_gateway, scratch, authority, layout):
    files = layout(scratch / "certificates")
    first = authority.issue()
    files.put(*first)
    gateway = start_gateway(backends("pyftpdlib"), identity=Identity(*files.files))
    assert shown(gateway, authority) == digest(first[0])
    for _ in range(2):
        renewed = authority.issue()
        files.put(*renewed)
        began = time.monotonic()
        wait_until(lambda: shown(gateway, authority) == digest(renewed[0]), 10, "the renewed certificate")  # noqa: B023
        # Written in place, a file may be seen half: the next look comes a second later.
        assert time.monotonic() - began < (2.5 if layout is not AcmeSh else 5)
    assert not gateway.settled().events("reload.failed")


def test_a_broken_renewal_keeps_the_old_certificate_and_says_so_once(backends, start_gateway, scratch, authority):
    files = CertManager(scratch / "certificates")
    first, second = authority.issue(), authority.issue()
    files.put(*first)
    gateway = start_gateway(backends("pyftpdlib"), identity=Identity(*files.files))
    # The key of another certificate.
    files.put(second[0], second[1], second[2], first[3])
    gateway.wait_for_event("reload.failed", timeout=15)
    assert shown(gateway, authority) == digest(first[0])
    assert len(gateway.settled().events("reload.failed")) == 1
    files.put(*second)
    wait_until(lambda: shown(gateway, authority) == digest(second[0]), 10, "the good renewal")
