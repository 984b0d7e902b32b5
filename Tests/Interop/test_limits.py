"""--max-command-line and its kin: beyond each limit there is one clear refusal, with its reason in the log."""

import pytest


def test_command_lines(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--max-command-line", "1KiB")
    client = connect(gateway, login=backend)
    client.command("CWD " + "x" * 1020, 250)
    for _ in range(2):
        assert client.command("CWD " + "x" * 1021, 500).text == "500 Line too long."
    client.command("CWD " + "x" * 100_000, 421)
    assert client.read() == b"" and client.ended == "close_notify"
    assert len(gateway.settled().events("line.refused", reason="line_too_long")) == 3
    assert gateway.wait_for_event("session.closed")["reason"] == "too_many_bad_lines"
    assert backend.verbs().count("CWD") == 1


def test_names_passwords_and_paths(scripted, start_gateway, connect):
    backend = scripted()
    flags = ["--max-user-length", "8", "--max-password-length", "16", "--max-path-length", "32"]
    gateway = start_gateway(backend, *flags)
    client = connect(gateway)
    for line in ["USER " + "u" * 9, "PASS " + "p" * 17, "ACCT " + "a" * 17]:
        assert client.command(line, 501).text == "501 Argument too long."
    client.login(backend.user, backend.password)
    for verb in ["CWD", "STOR", "RETR", "DELE", "XYZZY"]:
        client.command(f"{verb} " + "x" * 33, 501)
    client.command("CWD " + "x" * 32, 250)
    assert len(gateway.settled().events("command.refused", reason="argument_too_long")) == 8
    assert backend.commands == ["USER user", "PASS secret", "TYPE I", "CWD " + "x" * 32]
    assert "pppp" not in gateway.settled().log


@pytest.mark.parametrize(
    "flag,limit,fits,exceeds",
    [
        ("--max-reply-line", "600", b"211 " + b"x" * 596 + b"\r\n", b"211 " + b"x" * 597 + b"\r\n"),
        ("--max-reply-lines", "4", b"211-1\r\n2\r\n3\r\n211 4\r\n", b"211-1\r\n2\r\n3\r\n4\r\n211 5\r\n"),
        ("--max-reply-bytes", "64KiB", b"211-\r\n" + b" x\r\n" * 16_000 + b"211 \r\n", b"211-\r\n" + b" x\r\n" * 17_000),
    ],
    ids=["line", "lines", "bytes"],
)
def test_replies(flag, limit, fits, exceeds, scripted, start_gateway, connect):
    backend = scripted()
    backend.on("STAT", exceeds)
    backend.on("STAT", fits, times=1)
    gateway = start_gateway(backend, flag, limit, *(["--max-reply-line", "1KiB"] if flag == "--max-reply-bytes" else []))
    client = connect(gateway, login=backend)
    assert client.command("STAT", 211).raw == fits
    client.send(b"STAT\r\n")
    last = b""
    while line := client.read_line():
        last = line
    assert last == b"421 Backend sent an endless reply.\r\n"
    assert client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == "backend_endless_reply"


def test_replies_that_nobody_asked_for(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    backend.wait_for_session().send(b"200 Still here\r\n" * 1000)
    for _ in range(99):
        client.expect(200)
    assert client.expect(421).text == "421 Backend sent replies that answer nothing."
    assert client.read() == b"" and client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == "backend_unasked_replies"
    assert len(gateway.settled().events("backend.unasked_reply")) == 100
