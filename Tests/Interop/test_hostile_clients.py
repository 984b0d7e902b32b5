"""What strangers send cannot make the gateway do anything but refuse, whatever it costs them."""

import json
import socket
import threading

import pytest
from processes import wait_until
from raw_client import Connection

MIB = 1024 * 1024


def _greeted(gateway):
    connection = Connection.dial(gateway.address())
    assert connection.read_line().startswith(b"220")
    return connection


def _everything(connection):
    """All that comes up to the end, however it ends."""
    received = b""
    try:
        while piece := connection.read():
            received += piece
    except OSError:
        pass
    return received


# Before TLS


def test_nothing_reaches_the_backend_before_tls(scripted, start_gateway):
    backend = scripted()
    gateway = start_gateway(backend)
    with _greeted(gateway) as connection:
        for line in [b"USER user", b"PASS secret", b"SYST", b"PASV", b"RETR a", b"STAT", b"REIN", b"SITE HELP", b"user x"]:
            connection.send(line + b"\r\n")
            assert connection.read_line() == b"530 Encryption required: send AUTH TLS first.\r\n"
        connection.send(b"FEAT\r\nNOOP\r\nCLNT x\r\nOPTS UTF8 ON\r\nHOST nowhere.example\r\nHOST localhost\r\n")
        answers = [connection.read_line() for _ in range(10)]
        assert answers[1:4] == [b" AUTH TLS\r\n", b" PBSZ\r\n", b" PROT\r\n"]
        assert [answer[:3] for answer in answers[4:]] == [b"211", b"200", b"200", b"200", b"504", b"220"]
        connection.send(b"QUIT\r\n")
        assert connection.read_line() == b"221 Goodbye.\r\n"
        assert connection.read() == b""
    assert backend.sessions == []
    assert len(gateway.settled().events("command.refused", reason="before_tls")) == 9


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO x\r\n",
        b"A\r\nB\r\nC\r\n",
        b"post /x HTTP/1.0\r\n\r\n",
    ],
)
def test_other_protocols_are_closed_without_a_word(request_bytes, scripted, start_gateway):
    backend = scripted()
    gateway = start_gateway(backend)
    with _greeted(gateway) as connection:
        connection.send(request_bytes)
        received = _everything(connection)
        assert received.count(b"530") <= 2 and b"HTTP" not in received
    assert gateway.wait_for_event("session.closed")["reason"] == "not_ftp"
    assert backend.sessions == []


def test_tls_on_the_explicit_port_is_closed(scripted, start_gateway):
    gateway = start_gateway(scripted())
    with _greeted(gateway) as connection:
        connection.send(bytes.fromhex("1603010200010001fc0303"))
        assert _everything(connection) == b""
    assert gateway.wait_for_event("session.closed")["reason"] == "tls_on_explicit_port"


def test_the_client_hello_may_come_in_single_bytes(scripted, start_gateway, connect):
    gateway = start_gateway(scripted())
    client = connect(gateway, secure=False)
    client.command("AUTH TLS", 234)
    client.start_tls(client.context, bytewise=True)
    client.protect()
    client.login("user", "secret")


def test_garbage_instead_of_a_handshake_ends_the_connection(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway, secure=False)
    client.command("AUTH TLS", 234)
    client.send(b"USER user\r\nPASS secret\r\n")
    assert b"331" not in _everything(client) and b"421" not in _everything(client)
    assert gateway.wait_for_event("session.closed")["reason"] == "tls_failed"
    assert backend.sessions == []


def test_a_silent_handshake_and_a_silent_login_are_timed(scripted, start_gateway, connect):
    gateway = start_gateway(scripted(), "--handshake-timeout", "1s", "--login-timeout", "2s")
    client = connect(gateway, secure=False)
    client.command("AUTH TLS", 234)
    assert _everything(client) == b""
    slow = connect(gateway)
    assert slow.expect(421)
    assert slow.read() == b"" and slow.ended == "close_notify"
    reasons = [event["reason"] for event in gateway.settled().events("session.closed")]
    assert reasons == ["handshake_timeout", "login_timeout"]


# Lines


@pytest.mark.parametrize(
    "line", [b"MKD a\rDELE b", b"RETR a\0", b"RETR a\0.txt", b"\0NOOP", b"MKD a\r\0b", b"CWD \xc4\x8d\rX"], ids=repr
)
def test_cr_and_nul_never_reach_the_backend(line, scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend), login=backend)
    client.command(line, 501)
    client.command("PWD", 257)
    received = backend.sessions[0].received
    assert b"\0" not in received and b"\r" not in received.replace(b"\r\n", b"")
    assert backend.verbs()[-1] == "PWD" and "MKD" not in backend.verbs() and "RETR" not in backend.verbs()


def test_a_long_line_is_dropped_whole_and_the_third_ends_the_session(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    client.command(b"CWD " + b"x" * 8188, 250)
    client.command(b"CWD " + b"x" * 8189, 500)
    client.command(b"CWD " + b"x" * 100_000 + b" DELE a", 500)
    client.command("PWD", 257)
    client.command(b"x" * 9000, 421)
    assert client.read() == b""
    assert backend.verbs().count("CWD") == 1 and "DELE" not in backend.verbs()
    assert gateway.wait_for_event("session.closed")["reason"] == "too_many_bad_lines"
    assert len(gateway.settled().events("line.refused", reason="line_too_long")) == 3


def test_before_tls_lines_are_short(scripted, start_gateway):
    gateway = start_gateway(scripted())
    with _greeted(gateway) as connection:
        connection.send(b"CLNT " + b"x" * 507 + b"\r\nCLNT " + b"x" * 508 + b"\r\n")
        assert connection.read_line().startswith(b"200")
        assert connection.read_line().startswith(b"500")


def test_a_line_that_never_ends_costs_no_memory(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--idle-timeout", "2s")
    client = connect(gateway, login=backend)
    before = gateway.resident_bytes()
    piece = b"x" * 65536
    try:
        for _ in range(1024):
            client.send(piece)
    except OSError:
        pass
    assert gateway.resident_bytes() - before < 8 * MIB


def test_names_of_users_and_passwords_are_bounded(scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend))
    client.command("USER " + "u" * 257, 501)
    client.command("USER " + "u" * 256, 331)
    client.command("PASS " + "p" * 1025, 501)
    client.command("PASS " + "p" * 1024, 530)
    assert [len(line) for line in backend.commands] == [261, 1029]


def test_telnet_signals_and_urgent_data_are_taken_out(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--control-tls", "optional")
    client = connect(gateway, secure=False, login=backend)
    client.send(b"\xff\xf4\xff", urgent=True)
    client.send(b"\xf2ABOR\r\n")
    client.expect(226)
    client.send(b"\xff\xfd\x00NOOP\r\n")
    client.expect(200)
    client.command(b"DELE a\xff\xffb", 550)
    assert b"ABOR\r\nNOOP\r\nDELE a\xff\xffb\r\n" in backend.sessions[0].received


@pytest.mark.parametrize(
    "line", [b"DELE\ta", b"\tDELE a", b"DELE\x0ba", b"\xa0DELE a", b"PORT\t192,0,2,1,100,0", b"\xff\xffDELE a"]
)
def test_no_verb_hides_behind_what_servers_take_for_a_blank(line, scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend, "--deny-command", "DELE"), login=backend)
    client.command(line, 501)
    client.command("PWD", 257)
    assert backend.verbs()[-2:] == ["TYPE", "PWD"]


def test_lines_that_are_no_commands_are_not_answered_for_ever(scripted, start_gateway):
    gateway = start_gateway(scripted())
    with _greeted(gateway) as connection:
        connection.send(b"\x01\r\n" * 40)
        answers = _everything(connection).splitlines()
    assert [answer[:3] for answer in answers] == [b"501"] * 19 + [b"421"]
    assert gateway.wait_for_event("session.closed")["reason"] == "too_many_bad_lines"


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1000 21\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12),
    ],
    ids=["v1", "v2"],
)
def test_a_proxy_header_of_a_stranger_is_not_believed(header, scripted, start_gateway, connect):
    """It is a line like any other before TLS: refused, or the end where it says QUIT."""
    backend = scripted()
    gateway = start_gateway(backend)
    with _greeted(gateway) as connection:
        connection.send(header + b"USER user\r\n")
        received = _everything(connection) if b"QUIT" in header else connection.read_line() + connection.read_line()
        assert b"331" not in received and b"230" not in received
        assert set(line[:1] for line in received.splitlines()) <= {b"5", b"2"}
    assert backend.sessions == []
    assert not [event for event in gateway.settled().events() if event.get("client", "").startswith("10.")]


# Login


def test_before_login_only_the_login_is_let_through(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway)
    for line in [
        "PWD",
        "PASV",
        "EPSV",
        "RETR a",
        "LIST",
        "STOR a",
        "SITE HELP",
        "STAT",
        "MODE S",
        "TYPE I",
        "XYZZY",
        "ABOR",
        "DELE a",
    ]:
        client.command(line, 530)
    for line in ["REIN", "LPSV", "LPRT 1", "SSCN ON", "CPSV", "SPSV", "P@SW"]:
        client.command(line, 502)
    assert backend.commands == []
    assert len(gateway.settled().events("command.refused", reason="before_login")) == 13


def test_guessing_passwords_ends_the_session(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--max-login-attempts", "3")
    client = connect(gateway)
    for _ in range(3):
        client.command("USER user", 331)
        client.command("PASS guess", 530)
    client.expect(421)
    assert client.read() == b"" and client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == "too_many_login_failures"


# Bounce


@pytest.mark.parametrize(
    "line",
    [
        "PORT 127,0,0,2,100,0",
        "PORT 192,0,2,1,100,0",
        "PORT 127,0,0,1,0,25",
        "EPRT |1|127.0.0.2|25600|",
        "EPRT |1|127.0.0.1|1023|",
    ],
)
def test_bounce_is_refused(line, scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    client.command(line, 504)
    assert len(gateway.settled().events("command.refused", reason="bounce_refused")) == 1
    assert not {"PORT", "EPRT", "PASV", "EPSV"} & set(backend.verbs())


def test_active_mode_to_a_port_of_the_gateway_is_refused(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    for port in (gateway.port(), gateway.passive_ports()[0]):
        client.command(f"PORT 127,0,0,1,{port // 256},{port % 256}", 504)


# Floods


def test_replies_that_are_not_read_stop_the_client_and_cost_no_memory(scripted, start_gateway, connect):
    """Commands that the gateway answers by itself, by the million."""
    # The backend has nothing to do while a debug build takes its time with the flood.
    gateway = start_gateway(scripted(timeout=60), "--idle-timeout", "3s", "--log-level", "info")
    client = connect(gateway)
    before = gateway.resident_bytes()
    client.socket.settimeout(1)
    sent = 0
    flood = client.encrypt(b"PBSZ 0\r\n" * 1500)
    try:
        for _ in range(10_000):
            client.socket.sendall(flood)
            sent += len(flood)
            flood = client.encrypt(b"PBSZ 0\r\n" * 1500)
    except TimeoutError:
        pass
    assert sent < 100 * MIB, "the gateway goes on reading what a client sends that reads nothing"
    assert gateway.resident_bytes() - before < 8 * MIB
    gateway.wait_for_event("session.closed", timeout=30, reason="idle_timeout")


def test_stat_and_noop_floods_in_a_transfer_cost_no_memory(scripted, start_gateway, connect):
    backend = scripted()
    gate = threading.Event()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"first half")
        peer.wait(gate)
        peer.close_data()
        peer.send(b"226 Done\r\n")

    backend.on("RETR", retr)
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    data = client.open_data("EPSV", "RETR a")
    data.read_exactly(10)
    before = gateway.resident_bytes()
    client.socket.settimeout(0.5)
    try:
        for _ in range(200):
            client.send(b"STAT\r\n" * 2000)
    except TimeoutError:
        pass
    assert gateway.resident_bytes() - before < 8 * MIB
    gate.set()


def test_pasv_in_a_row_takes_one_port(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--passive-ports", "0:3", "--workers", 1)
    client = connect(gateway, login=backend)
    for _ in range(50):
        client.passive("PASV")
    other = connect(gateway, login=backend)
    assert other.download("", verb="LIST") == b""


def test_many_pipelined_commands_are_each_answered_in_turn(scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend), login=backend)
    client.send(b"CWD a\r\nPWD\r\nXYZZY\r\nNOOP\r\n" * 100)
    assert [client.reply().code for _ in range(400)] == [250, 257, 502, 200] * 100


# The log


def test_what_strangers_say_cannot_forge_the_log(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--log-format", "text")
    client = connect(gateway)
    client.command(b'USER x" event=login user=root\x1b[2J\x07\xe2\x80\xae\xff', 331)
    client.command("PASS guess", 530)
    gateway.wait_for_log("login.failed")
    log = gateway.log_path.read_bytes()
    assert not any(byte < 32 and byte != 10 or byte == 127 for byte in log)
    assert b"\xe2\x80\xae" not in log
    lines = [line for line in log.decode().splitlines() if "login.failed" in line]
    assert len(lines) == 1 and '\\"' in lines[0]
    assert not [line for line in log.decode().splitlines() if " login " in line]


def test_the_json_log_stays_json(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway)
    client.command(b'USER a"}\x1b\xff\xe2\x80\xa8{"event":"login"', 331)
    gateway.wait_for_event("command", line='USER a"}\x1b\ufffd\u2028{"event":"login"')
    for line in gateway.settled().log.splitlines():
        json.loads(line)


# The end


def test_the_last_reply_is_not_lost_to_a_reset(scripted, start_gateway, connect):
    """Bytes of the client's that nobody has read make the kernel reset a connection that is closed at once."""
    backend = scripted()
    client = connect(start_gateway(backend, "--max-login-attempts", "1"))
    client.command("USER user", 331)
    client.send(b"PASS guess\r\n" + b"NOOP\r\n" * 1000)
    client.expect(530)
    client.expect(421)
    assert client.read() == b"" and client.ended == "close_notify"


def test_close_notify_without_quit_is_the_end(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    client.close_notify(wait=True)
    assert client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == "client_closed"
    wait_until(lambda: backend.sessions[0].ended, 5, "the backend's connection ends too")


def test_a_reset_is_the_end_too(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    client.reset()
    assert gateway.wait_for_event("session.closed")["reason"] == "client_reset"
    wait_until(lambda: backend.sessions[0].ended, 5, "the backend's connection ends too")


def test_strangers_by_the_hundred_do_not_stand_in_the_way(scripted, start_gateway, connect):
    """Silent ones, garbage, half a line: a client is served beside them."""
    backend = scripted()
    backend.files["a"] = b"content"
    gateway = start_gateway(backend, "--handshake-timeout", "2s", "--login-timeout", "3s")
    strangers = []
    for number in range(200):
        stranger = socket.create_connection(gateway.address())
        if number % 3 == 1:
            stranger.sendall(b"AUTH TLS\r\n")
        elif number % 3 == 2:
            stranger.sendall(b"USER")
        strangers.append(stranger)
    client = connect(gateway, login=backend)
    assert client.download("a") == b"content"
    client.quit()
    wait_until(lambda: len(gateway.events("session.closed")) >= 201, 15, "every stranger is sent away in time")
    for stranger in strangers:
        stranger.close()
