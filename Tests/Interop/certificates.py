"""Certificates for tests, made once a run."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """A certificate that signs itself and names localhost and its addresses: clients trust it as an authority."""

    certificate: Path
    key: Path


def make_identity(folder, name="gateway", common_name="localhost", names="DNS:localhost,IP:127.0.0.1,IP:::1"):
    certificate, key = Path(folder) / f"{name}.crt", Path(folder) / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
        + ["-subj", f"/CN={common_name}", "-addext", f"subjectAltName={names}"]
        + ["-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return Identity(certificate, key)
