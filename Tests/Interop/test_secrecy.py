"""Passwords pass unchanged, are never logged, and do not stay in the gateway's memory."""

import re

import pytest


def _memory(pid):
    """All that the process can read and write."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not match:
                continue
            start, end = (int(part, 16) for part in match.groups())
            try:
                memory.seek(start)
                found.append(memory.read(end - start))
            except OSError:
                pass
    return b"".join(found)


@pytest.mark.parametrize("mode", ["explicit", "implicit"])
def test_a_password_does_not_stay_in_memory(mode, scripted, start_gateway, connect):
    backend = scripted()
    backend.password = "Xq7-correct-horse-battery-9zK"
    gateway = start_gateway(backend, "--workers", 1)
    client = connect(gateway, mode=mode)
    client.command(f"USER {backend.user}", 331)
    client.command("PASS wrong-horse-battery-9zK", 530)
    client.command(f"USER {backend.user}", 331)
    client.command(f"PASS {backend.password}", 230)
    client.command("ACCT my-account-battery-9zK", 502)
    client.command("PWD", 257)
    assert f"PASS {backend.password}" in backend.commands
    try:
        memory = _memory(gateway.pid)
    except PermissionError:
        pytest.skip("the kernel lets nobody read another process's memory here")
    assert b"FTPS gateway ready" in memory, "the memory was read"
    assert b"battery-9zK" not in memory


def test_passwords_are_not_logged(scripted, start_gateway, connect):
    backend = scripted()
    backend.password = "Geheim0"
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    lines = [
        b"PASS Geheim1",
        b"pass\tGeheim2",
        b"PASS:Geheim3",
        b"ACCT Geheim4",
        b"SITE PSWD Geheim5 Geheim6",
        b"PASS Geheim7\0",
        b"site cpwd Geheim8",
    ]
    for line in lines:
        client.command(line)
    client.command("PWD", 257)
    gateway.wait_for_event("command", line="PWD")
    assert "Geheim" not in gateway.settled().log


@pytest.mark.parametrize(
    "password", [b"", b" ", b" two  blanks ", b"caf\xe9\xff\xff\xfe", b"p\xc3\xa4ss\xf0\x9f\x94\x92", b"a" * 1024]
)
def test_passwords_pass_byte_for_byte(password, scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend))
    client.command("USER user", 331)
    client.command(b"PASS " + password, 530)
    assert backend.sessions[0].received == b"USER user\r\nPASS " + password + b"\r\n"
