"""`ftpsgate healthcheck` says whether the gateway with the same settings serves."""

import os
import subprocess
import time

import pytest
from gateway import binary
from processes import free_port
from threads import stopped, thread


def healthcheck(*flags, environment=None):
    result = subprocess.run(
        [binary(), "healthcheck", *map(str, flags)],
        capture_output=True,
        text=True,
        timeout=20,
        env=os.environ | (environment or {}),
    )
    assert len((result.stdout + result.stderr).splitlines()) == 1, result
    return result


def test_an_explicit_listener_greets(gateways, backends):
    gateway = gateways(backends("pyftpdlib"))
    result = healthcheck("--listen", f"127.0.0.1:{gateway.port()}")
    assert (result.returncode, result.stdout) == (0, "ftpsgate is healthy.\n")
    assert healthcheck("--listen", f"[::1]:{gateway.port(family=6)}").returncode == 0


def test_settings_come_from_the_environment_as_well(gateways, backends, scratch):
    gateway = gateways(backends("pyftpdlib"))
    assert healthcheck(environment={"FTPSGATE_LISTEN": f"127.0.0.1:{gateway.port()}"}).returncode == 0
    (scratch / "settings").write_text(f"listen 127.0.0.1:{gateway.port()}\n")
    assert healthcheck("--config", scratch / "settings").returncode == 0


def test_an_implicit_listener_finishes_a_handshake(backends, start_gateway):
    gateway = start_gateway(backends("pyftpdlib"), "--listen-implicit", "127.0.0.1:0")
    assert healthcheck("--listen-implicit", f"127.0.0.1:{gateway.port('implicit')}").returncode == 0


def test_an_unspecified_host_is_asked_on_loopback(backends, start_gateway):
    gateway = start_gateway(backends("pyftpdlib"), "--listen", "0.0.0.0:0")
    port = gateway.ready["listen"].rpartition(":")[2]
    assert healthcheck("--listen", f"0.0.0.0:{port}").returncode == 0
    assert healthcheck("--listen", port).returncode == 0


def test_nobody_there(backends):
    result = healthcheck("--listen", f"127.0.0.1:{free_port()}")
    assert result.returncode == 1
    assert result.stderr.startswith("ftpsgate is not healthy: 127.0.0.1:")
    assert "Connection refused" in result.stderr


def test_another_server_is_not_taken_for_the_gateway(scripted):
    backend = scripted()
    backend.greeting = b"SSH-2.0-other\r\n"
    result = healthcheck("--listen", backend.address)
    assert result.returncode == 1
    assert "instead of 220" in result.stderr


def test_an_unknown_port_is_said():
    result = healthcheck("--listen", "0")
    assert result.returncode == 1
    assert "give the same --listen" in result.stderr


def test_a_gateway_that_turns_this_machine_away_is_healthy(backends, start_gateway):
    flags = ["--allow-from", "192.0.2.0/24"]
    gateway = start_gateway(backends("pyftpdlib"), *flags)
    listen = ["--listen", f"127.0.0.1:{gateway.port()}"]
    assert healthcheck(*listen, *flags).returncode == 0
    # Without knowing of the list it cannot tell.
    assert healthcheck(*listen).returncode == 1


def test_a_full_gateway_is_healthy(backends, start_gateway, connect):
    gateway = start_gateway(backends("pyftpdlib"), "--max-sessions", "1")
    connect(gateway, secure=False)
    assert healthcheck("--listen", f"127.0.0.1:{gateway.port()}").returncode == 0


@pytest.mark.parametrize("mode", ["explicit", "implicit"])
def test_a_stuck_worker_is_found(backends, start_gateway, mode):
    gateway = start_gateway(backends("pyftpdlib"), "--workers", "1")
    flag = "--listen" if mode == "explicit" else "--listen-implicit"
    with stopped(thread(gateway.pid, "worker-0")):
        began = time.monotonic()
        result = healthcheck(flag, f"127.0.0.1:{gateway.port(mode)}")
        assert result.returncode == 1
        assert "within 3" in result.stderr
        # The limit of three seconds, and the start of a debug build on a busy machine.
        assert time.monotonic() - began < 8
    assert healthcheck(flag, f"127.0.0.1:{gateway.port(mode)}").returncode == 0


def test_it_leaves_no_line_in_an_ordinary_log(backends, start_gateway):
    gateway = start_gateway(backends("pyftpdlib"), "--log-level", "info")
    before = gateway.wait_for_log("ready") and gateway.log
    for mode, flag in [("explicit", "--listen"), ("implicit", "--listen-implicit")]:
        assert healthcheck(flag, f"127.0.0.1:{gateway.port(mode)}").returncode == 0
    gateway.end()
    after = gateway.log[len(before) :].splitlines()
    assert [line for line in after if "drain" not in line] == []


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_admin_server_is_asked_where_there_is_one(backends, start_gateway, scratch, kind):
    address = f"127.0.0.1:{free_port()}" if kind == "tcp" else f"unix:{scratch}/admin"
    gateway = start_gateway(backends("pyftpdlib"), "--admin", address)
    # No listener is named: only --admin can be what answers.
    assert healthcheck("--admin", address, "--listen", "0").returncode == 0
    gateway.end()
    result = healthcheck("--admin", address)
    assert result.returncode == 1
    assert "--admin does not answer" in result.stderr
