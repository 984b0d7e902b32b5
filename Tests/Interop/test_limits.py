"""--max-command-line and its kin: beyond each limit there is one clear refusal, with its reason in the log."""

import threading
import time

import pytest
from processes import wait_until
from raw_client import RawClient, tls_context


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


def test_handshakes_are_let_in_at_their_rate(start_gateway, scripted, connect, identity):
    """Far more clients than may come: those who are let in keep the rate, the others wait, and nobody is turned away."""
    rate, seconds = 40, 3
    gateway = start_gateway(scripted(), "--max-handshake-rate", rate, "--workers", "1")
    # Who is here is not slowed down.
    inside = connect(gateway)
    times = []
    ends = threading.Event()

    def crowd():
        while not ends.is_set():
            with RawClient(gateway.address("implicit"), implicit=True, context=tls_context(identity), timeout=30) as client:
                client.expect(220)
                times.append(time.monotonic())

    threads = [threading.Thread(target=crowd, daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(times) > rate // 2, what="the first clients")
    began, first = time.monotonic(), len(times)
    while time.monotonic() - began < seconds:
        inside.command("NOOP", 200)
    passed, let_in = time.monotonic() - began, len(times) - first
    ends.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "everybody's turn comes"
    assert rate * passed * 0.9 - 1 <= let_in <= rate * passed * 1.1 + rate / 10
    assert len(gateway.settled().events("accept.throttled", rate=rate)) == 1
