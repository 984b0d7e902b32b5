"""A scanner that looks for every weakness of TLS that has a name finds none, on both kinds of listeners."""

import json
import subprocess
import tempfile
from pathlib import Path

import pytest
from gateway import binary
from processes import PROJECT

SSLYZE = PROJECT / ".build" / "scanner" / "bin" / "sslyze"


@pytest.fixture(scope="module")
def folder(session_folder):
    # A module's fixtures may be made several times in a process.
    folder = Path(tempfile.mkdtemp(prefix="scanned-", dir=session_folder))
    for arguments in (["authority", "ca"], ["create", "ec"], ["create", "rsa", "--key-type", "rsa-3072"]):
        names = ["--authority", "ca", "--dns", "localhost"] if arguments[0] == "create" else []
        subprocess.run([binary(), "cert", *arguments, *names], cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


@pytest.mark.parametrize("mode", ["explicit", "implicit"])
def test_sslyze_finds_mozillas_intermediate_configuration_and_no_weakness(backends, start_gateway, folder, scratch, mode):
    gateway = start_gateway(
        backends("pyftpdlib"),
        *("--cert", folder / "rsa.crt", "--key", folder / "rsa.key"),
        *("--cert", folder / "ec.crt", "--key", folder / "ec.key"),
        identity=None,
    )
    report = scratch / "report.json"
    done = subprocess.run(
        [SSLYZE, "--mozilla_config=intermediate", f"--json_out={report}", f"--certinfo_ca_file={folder / 'ca.crt'}"]
        + (["--starttls=ftp"] if mode == "explicit" else [])
        + [f"localhost:{gateway.port(mode)}"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    scan = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]

    def result(name):
        assert scan[name]["status"] == "COMPLETED", (name, scan[name], done.stdout)
        return scan[name]["result"]

    for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert not result(f"{version}_cipher_suites")["accepted_cipher_suites"], version
    for version in ("tls_1_2", "tls_1_3"):
        suites = [suite["cipher_suite"]["name"] for suite in result(f"{version}_cipher_suites")["accepted_cipher_suites"]]
        assert suites
        for name in suites:
            assert "GCM" in name or "CHACHA20" in name, name
            assert version == "tls_1_3" or "DHE" in name, name
    assert not result("tls_compression")["supports_compression"]
    assert not result("heartbleed")["is_vulnerable_to_heartbleed"]
    assert not result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"]
    assert result("robot")["robot_result"].startswith("NOT_VULNERABLE")
    renegotiation = result("session_renegotiation")
    assert renegotiation["supports_secure_renegotiation"] and not renegotiation["is_vulnerable_to_client_renegotiation_dos"]
    assert result("tls_fallback_scsv")["supports_fallback_scsv"]
    assert result("tls_extended_master_secret")["supports_ems_extension"]
    # A certificate of each kind, each with its chain.
    deployments = result("certificate_info")["certificate_deployments"]
    assert {len(deployment["received_certificate_chain"]) for deployment in deployments} == {1}
    assert len(deployments) == 2
    assert "OK - Compliant." in done.stdout
