"""Backends as they are: whatever an old or odd FTP server says, the client gets it where it belongs, or a clear refusal."""

import os
import random
import socket
import threading

import pytest
from processes import wait_until
from raw_client import Truncated

MIB = 1024 * 1024

TRICKY = [
    b"Welcome",
    b"226 not the end",
    b"421 nor this",
    b" 230 nor this, for its blank",
    b"230-nor this",
    b"2300 nor this",
    b"",
    b"caf\xe9 \x1b[1m",
]


def _multiline(code, end=b"\r\n"):
    lines = [b"%d-%s" % (code, TRICKY[0]), *TRICKY[1:], b"%d The end" % code]
    return end.join(lines) + end


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
@pytest.mark.parametrize("bytewise", [False, True], ids=["at-once", "bytewise"])
def test_replies_of_many_lines_with_tricky_ones_between(end, bytewise, scripted, start_gateway, connect):
    backend = scripted()
    backend.bytewise = bytewise
    backend.greeting = _multiline(220, end)
    backend.on("USER", _multiline(331, end).replace(b"230", b"331"))
    backend.on("PASS", _multiline(230, end))
    client = connect(start_gateway(backend))
    client.command("USER user", 331)
    reply = client.command("PASS secret", 230)
    assert reply.raw == _multiline(230), "byte for byte, but for the line ends"
    client.command("PWD", 257)


def test_a_bare_lf_inside_a_reply_ends_a_line(scripted, start_gateway, connect):
    backend = scripted()
    backend.on("STAT", b"211-a\nb\r\nc\n211 d\r\n")
    client = connect(start_gateway(backend), login=backend)
    assert client.command("STAT", 211).raw == b"211-a\r\nb\r\nc\r\n211 d\r\n"
    client.command("PWD", 257)


def test_a_slow_reply_reaches_the_client_line_by_line(scripted, start_gateway, connect):
    backend = scripted()
    gate = threading.Event()

    def stat(peer, _):
        peer.send(b"213-Status\r\n one\r\n")
        peer.wait(gate)
        peer.send(b"213 End\r\n")

    backend.on("STAT", stat)
    client = connect(start_gateway(backend), login=backend)
    client.send(b"STAT /\r\n")
    assert client.read_line() == b"213-Status\r\n"
    assert client.read_line() == b" one\r\n"
    gate.set()
    assert client.read_line() == b"213 End\r\n"


def test_a_late_greeting_is_waited_for(scripted, start_gateway, connect):
    gate = threading.Event()

    def greet(peer):
        peer.send(b"120 In a moment\r\n")
        peer.wait(gate)
        peer.send(b"220 Now\r\n")

    backend = scripted()
    backend.greeting = greet
    client = connect(start_gateway(backend))
    client.send(b"USER user\r\n")
    assert client.receives_nothing(0.5)
    assert backend.commands == []
    gate.set()
    client.expect(331)


@pytest.mark.parametrize("greeting", [b"421 Too many of you\r\n", b"530-No\r\n530 Too many of you\r\n", b"450 Later\r\n"])
def test_a_backend_that_refuses(greeting, scripted, start_gateway, connect):
    backend = scripted()
    backend.greeting = greeting
    gateway = start_gateway(backend)
    client = connect(gateway)
    reply = client.command("USER user", 421)
    assert "Backend refused the connection" in reply.text
    assert client.read() == b"" and client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == "backend_refused"


def test_a_backend_that_closes_before_its_greeting(scripted, start_gateway, connect):
    backend = scripted(script=lambda peer: peer.close())
    client = connect(start_gateway(backend))
    assert "greeting" in client.command("USER user", 421).text
    assert client.read() == b""


def test_a_backend_that_refuses_the_second_session_of_an_address(scripted, start_gateway, connect):
    """All of the gateway's sessions come from one address."""
    backend = scripted()
    backend.greeting = lambda peer: peer.send(b"220 Yes\r\n" if len(backend.sessions) == 1 else b"421 One of you is enough\r\n")
    gateway = start_gateway(backend)
    first = connect(gateway, login=backend)
    second = connect(gateway)
    assert "One of you is enough" in second.command("USER user", 421).text
    first.command("PWD", 257)


@pytest.mark.parametrize("answer", [b"500 What?\r\n", b"502 No.\r\n", b"530 Log in.\r\n", b"211 no-features\r\n"])
def test_a_backend_without_feat(answer, scripted, start_gateway, connect):
    backend = scripted()
    backend.on("FEAT", answer)
    client = connect(start_gateway(backend))
    assert client.command("FEAT", 211).raw == b"211-Features:\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n"


def test_mlst_is_shown_and_mlsd_is_unknown(scripted, start_gateway, connect):
    """The client is told the truth about the backend, and hears its refusal."""
    backend = scripted()
    backend.features = ["MLST type*;size*;"]
    client = connect(start_gateway(backend), login=backend)
    assert b" MLST type*;size*;\r\n" in client.command("FEAT", 211).raw
    client.passive()
    client.command("MLSD", 502)
    client.command("PWD", 257)


def test_feat_is_asked_only_when_the_client_asks(scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend), login=backend)
    client.download("", verb="LIST")
    assert "FEAT" not in backend.verbs()


def test_user_answered_with_230(scripted, start_gateway, connect):
    backend = scripted()
    backend.on("USER", b"230 No password needed\r\n")
    backend.files["a"] = b"content"
    client = connect(start_gateway(backend), login=backend)
    assert client.download("a") == b"content"
    assert "PASS" not in backend.verbs()


def test_a_reply_that_cannot_be_the_answer(scripted, start_gateway, connect):
    backend = scripted()
    backend.on("USER", b"226 Transfer complete\r\n", times=1)
    backend.on("PASV", b"200 Fine\r\n", times=1)
    gateway = start_gateway(backend)
    client = connect(gateway)
    assert "Unexpected reply" in client.command("USER user", 451).text
    client.login(backend.user, backend.password)
    client.command("PASV", 451)
    assert client.download("", "PASV", verb="LIST") == b""
    odd = gateway.settled().events("backend.unexpected_reply")
    assert [(event["command"], event["code"]) for event in odd] == [("USER", 226), ("PASV", 200)]


@pytest.mark.parametrize("refusal", [500, 502, 522, 550])
def test_epsv_refused_becomes_pasv(refusal, scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    backend.on("EPSV", b"%d No.\r\n" % refusal)
    gateway = start_gateway(backend, "--workers", 1)
    for _ in range(2):
        client = connect(gateway, login=backend)
        assert client.download("a", "EPSV") == b"content"
    assert backend.verbs().count("EPSV") == 1, "the next session remembers"
    assert backend.verbs().count("PASV") == 2


@pytest.mark.parametrize(
    "form",
    [
        "227 Entering Passive Mode ({h},{p}).",
        "227 Entering Passive Mode {h},{p}",
        "227 =127,0,0,1,{p}",
        "227 Mode 2 of 3,4 ({h},{p})",
        "227 (10,0,0,99,{p})",
        "227 (0,0,0,0,{p})",
        "227 (192,168,1,1,{p})",
        "227-Here it is\r\n ({h},{p})\r\n227 Done",
    ],
)
def test_odd_227s(form, scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"

    def pasv(peer, _):
        port = peer.listen()
        peer.send(form.format(h="127,0,0,1", p=f"{port // 256},{port % 256}").encode() + b"\r\n")

    backend.on("PASV", pasv)
    client = connect(start_gateway(backend), login=backend)
    assert client.download("a", "PASV") == b"content"


@pytest.mark.parametrize(
    "rule,dialled",
    [("control", "127.0.0.1"), ("any", "127.0.0.2"), ("127.0.0.2/32,192.0.2.0/24", "127.0.0.2"), ("192.0.2.0/24", "127.0.0.1")],
)
def test_which_address_of_a_227_is_believed(rule, dialled, scripted, start_gateway, connect):
    backend = scripted()

    def pasv(peer, _):
        # The same number on both addresses: who is dialled shows in where the connection comes to.
        port = peer.listen(host="0.0.0.0")
        peer.send(f"227 (127,0,0,2,{port // 256},{port % 256})\r\n".encode())

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        data = peer.open_data()
        data.sendall(data.getsockname()[0].encode())
        peer.close_data()
        peer.send(b"226 Done\r\n")

    backend.on("PASV", pasv)
    backend.on("RETR", retr)
    client = connect(start_gateway(backend, "--backend-pasv-address", rule), login=backend)
    assert client.download("a", "PASV") == dialled.encode()


@pytest.mark.parametrize("kind", ["A", "I", "L 8"])
def test_no_byte_of_a_file_is_changed_whatever_its_type(kind, scripted, start_gateway, connect):
    """Line ends are the business of the client and the server; the type is passed on."""
    backend = scripted()
    content = b"dos\r\nunix\nmac\rnul\0both\n\r\xff\xfe\xff\xf4\r\0end\x1a" * 3000
    backend.files["a"] = content
    client = connect(start_gateway(backend), login=backend)
    client.command(f"TYPE {kind}", 200)
    assert client.download("a") == content
    client.upload("b", content)
    assert backend.files["b"] == content
    assert f"TYPE {kind}" in backend.commands


@pytest.mark.parametrize("form", ["(!!!{p}!)", "(|||{p}|)", "~~~{p}~", "Extended (((({p}("])
def test_odd_229s(form, scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    backend.on("EPSV", lambda peer, _: peer.send(b"229 " + form.format(p=peer.listen()).encode() + b"\r\n"))
    client = connect(start_gateway(backend), login=backend)
    assert client.download("a", "EPSV") == b"content"


@pytest.mark.parametrize("answer", [b"227 (127,0,0,1,0,0)", b"227 (1,2,3)", b"227 (300,0,0,1,4,5)", b"227 Passive"])
def test_a_227_without_a_port_is_425(answer, scripted, start_gateway, connect):
    backend = scripted()
    backend.on("PASV", answer + b"\r\n", times=1)
    client = connect(start_gateway(backend), login=backend)
    client.command("PASV", 425)
    assert client.download("", "PASV", verb="LIST") == b""


def test_125_for_150_and_250_for_226(scripted, start_gateway, connect):
    backend = scripted()

    def retr(peer, _):
        peer.send(b"125 Already open\r\n")
        peer.open_data().sendall(b"content")
        peer.close_data()
        peer.send(b"250 Fine\r\n")

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_all() == b"content"
    client.expect(250)


def test_no_150_at_all(scripted, start_gateway, connect):
    backend = scripted()

    def retr(peer, _):
        peer.open_data().sendall(b"content")
        peer.close_data()
        peer.send(b"226 There\r\n")

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend)
    address = client.passive()
    client.send(b"RETR a\r\n")
    with client.dial_data(address) as data:
        assert data.read_all() == b"content"
    client.expect(226)


def test_226_before_the_data_has_ended(scripted, start_gateway, connect):
    backend = scripted()
    gate = threading.Event()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        data = peer.open_data()
        data.sendall(b"first half, ")
        peer.send(b"226 Done, says who\r\n")
        peer.wait(gate)
        data.sendall(b"second half")
        peer.close_data()

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_exactly(12) == b"first half, "
    assert client.receives_nothing(0.3), "the 226 waits for the last byte"
    gate.set()
    assert data.read_all() == b"second half"
    client.expect(226)


def test_226_long_after_the_data_has_ended(scripted, start_gateway, connect):
    backend = scripted()
    gate = threading.Event()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"content")
        peer.close_data()
        peer.wait(gate)
        peer.send(b"226 At last\r\n")

    backend.on("RETR", retr)
    client = connect(start_gateway(backend, "--idle-timeout", "1s"), login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_all() == b"content"
    assert client.receives_nothing(1.5), "a session that waits for the backend is not idle"
    gate.set()
    client.expect(226)


def test_421_in_the_middle_of_a_transfer(scripted, start_gateway, connect):
    backend = scripted()
    gate = threading.Event()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"first half")
        peer.wait(gate)
        peer.send(b"421 Going down\r\n")
        peer.close()

    backend.on("RETR", retr)
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_exactly(10) == b"first half"
    gate.set()
    with pytest.raises(Truncated):
        data.read_all()
    assert "Going down" in client.expect(421).text
    assert client.read() == b"" and client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == "backend_421"


def test_a_backend_that_closes_control_with_the_data(scripted, start_gateway, connect):
    backend = scripted()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"content")
        peer.close_data()
        peer.send(b"226 Done, and goodbye\r\n")
        peer.close()

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_all() == b"content"
    client.expect(226)
    client.expect(421)
    assert client.read() == b""


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_backend_that_goes_without_a_word(end, scripted, start_gateway, connect):
    backend = scripted()
    backend.on("PWD", lambda peer, _: peer.close() if end == "close" else peer.reset())
    client = connect(start_gateway(backend), login=backend)
    assert "closed" in client.command("PWD", 421).text
    assert client.read() == b"" and client.ended == "close_notify"


def test_what_comes_unasked_answers_nothing(scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend), login=backend)
    backend.wait_for_session().send(b"226 Here I am\r\n200-And\r\n200 here\r\n")
    client.expect(226)
    client.expect(200)
    assert client.command("PWD", 257).code == 257


def test_421_unasked_ends_the_session(scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend), login=backend)
    backend.wait_for_session().send(b"421 Time out\r\n")
    assert client.expect(421).text == "421 Time out"
    assert client.read() == b"" and client.ended == "close_notify"


def test_lines_that_are_no_replies(scripted, start_gateway, connect):
    backend = scripted()
    backend.on("PWD", b'what?\r\n257 "/"\r\n', times=4)
    backend.on("SYST", b"999 no\r\n215 UNIX\r\n")
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    for _ in range(4):
        assert client.command("PWD", 257).raw == b'257 "/"\r\n'
    assert "no replies" in client.command("SYST", 421).text
    assert client.read() == b""
    assert len(gateway.settled().events("backend.not_a_reply")) == 5


def test_an_endless_line_and_an_endless_reply(scripted, start_gateway, connect):
    """They end the session, and cost no memory worth speaking of."""
    backend = scripted()

    def endless(piece):
        def handler(peer, _):
            try:
                while True:
                    peer.socket.sendall(piece)
            except OSError:
                pass

        return handler

    backend.on("SYST", endless(b"x" * 65536))
    backend.on("STAT", endless(b"211-\r\n and so on\r\n" * 1000))
    gateway = start_gateway(backend)
    before = gateway.resident_bytes()
    for command, first in [("SYST", b""), ("STAT", b"211-\r\n")]:
        client = connect(gateway, login=backend)
        client.send(command.encode() + b"\r\n")
        last = client.read_line()
        assert last.startswith(first or b"421 Backend sent an endless reply.")
        while line := client.read_line():
            last = line
        assert last == b"421 Backend sent an endless reply.\r\n"
    assert [event["reason"] for event in gateway.settled().events("session.closed")] == ["backend_endless_reply"] * 2
    assert gateway.resident_bytes() - before < 16 * MIB


def test_a_long_reply_within_the_bounds_passes_whole(scripted, start_gateway, connect):
    backend = scripted()
    lines = b"".join(b" -rw-r--r-- file %06d\r\n" % number for number in range(19_000))
    backend.on("STAT", b"213-Status\r\n" + lines + b"213 End\r\n")
    client = connect(start_gateway(backend), login=backend)
    assert client.command("STAT /", 213).raw == b"213-Status\r\n" + lines + b"213 End\r\n"
    client.command("PWD", 257)


@pytest.mark.parametrize("setup", ["PASV", "EPSV"])
def test_a_backend_that_waits_for_the_data_connection_for_a_moment_only(setup, scripted, start_gateway, connect):
    """It is connected to before the client is answered, however long that one takes then."""
    backend = scripted()
    backend.files["a"] = b"content"
    has_given_up = threading.Event()

    def passive(peer, _):
        peer.behave(setup)
        listener, peer._data_listener = peer._data_listener, None
        listener.settimeout(1)
        connection, _ = listener.accept()
        listener.close()
        peer.open_data = lambda: setattr(peer, "_data", connection) or connection
        has_given_up.set()

    backend.on(setup, passive)
    client = connect(start_gateway(backend), login=backend)
    address = client.passive(setup)
    assert has_given_up.wait(10)
    client.command("RETR a", 150)
    with client.dial_data(address) as data:
        assert data.read_all() == b"content"
    client.expect(226)


def test_a_backend_that_gives_up_before_the_transfer(scripted, start_gateway, connect):
    """Its data connection is gone when the command comes: it says so, and the next transfer works."""
    backend = scripted()
    backend.files["a"] = b"content"

    def passive(peer, _):
        peer.behave("EPSV")
        peer.open_data()
        peer.close_data()

    def retr(peer, _):
        peer.send(b"425 You took too long.\r\n")

    backend.on("EPSV", passive, times=1)
    backend.on("RETR", retr, times=1)
    client = connect(start_gateway(backend), login=backend)
    client.passive()
    assert client.command("RETR a", 425).text == "425 You took too long."
    assert client.download("a") == b"content"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may listen on a port below 1024")
@pytest.mark.parametrize("setup", ["PASV", "EPSV"])
def test_a_passive_port_below_1024(setup, scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"

    def passive(peer, _):
        for port in random.sample(range(600, 1000), 50):
            try:
                peer._data_listener = socket.create_server(("127.0.0.1", port))
                break
            except OSError:
                continue
        peer._data_listener.settimeout(15)
        if setup == "PASV":
            peer.send(b"227 Entering Passive Mode (127,0,0,1,%d,%d).\r\n" % (port // 256, port % 256))
        else:
            peer.send(b"229 Entering Extended Passive Mode (|||%d|)\r\n" % port)

    backend.on(setup, passive)
    client = connect(start_gateway(backend), login=backend)
    assert client.download("a", setup) == b"content"


def test_a_backend_that_serves_one_connection_at_a_time(scripted, start_gateway, connect):
    """The second session waits in the backend's queue, and is served when the first has gone."""
    turn = threading.Lock()

    def greet(peer):
        peer.turn = turn
        assert turn.acquire(timeout=15)
        peer.send(b"220 Your turn\r\n")

    def leave(peer, _):
        peer.send(b"221 Next\r\n")
        turn.release()
        peer.close()

    backend = scripted()
    backend.files["a"] = b"content"
    backend.greeting = greet
    backend.on("QUIT", leave)
    gateway = start_gateway(backend)
    first = connect(gateway, login=backend)
    second = connect(gateway)
    second.send(b"USER user\r\n")
    assert first.download("a") == b"content"
    assert second.receives_nothing(0.3)
    first.quit()
    second.expect(331)
    second.command("PASS secret", 230)
    assert second.download("a") == b"content"


def test_data_addresses_of_the_backend_never_reach_the_client(scripted, start_gateway, connect):
    """Unasked, twice, or in answer to something else: 227 and 229 say where to connect to."""
    backend = scripted()
    backend.files["a"] = b"content"

    def pasv(peer, _):
        port = peer.listen()
        told = b"227 Entering Passive Mode (127,0,0,1,%d,%d).\r\n" % (port // 256, port % 256)
        peer.send(told + b"227 Entering Passive Mode (192,0,2,66,1,1).\r\n")

    backend.on("PASV", pasv)
    backend.on("XPSV", b"227 Entering Passive Mode (192,0,2,66,1,1).\r\n")
    backend.on("SITE", b"229 Entering Extended Passive Mode (|||66|)\r\n")
    gateway = start_gateway(backend)
    client = connect(gateway, login=backend)
    backend.wait_for_session().send(b"227 Entering Passive Mode (192,0,2,66,1,1).\r\n")
    assert client.download("a", "PASV") == b"content"
    client.command("XPSV", 451)
    client.command("SITE PASSIVE", 451)
    client.command("PWD", 257)
    assert len(gateway.settled().events("backend.unasked_reply")) == 2
    assert len(gateway.events("backend.unexpected_reply")) == 2


def test_two_final_replies_to_one_command(scripted, start_gateway, connect):
    """The second comes when nothing is asked: it passes, and the next command gets its own answer."""
    backend = scripted()
    backend.on("NOOP", b"200 Once\r\n200 Twice\r\n")
    client = connect(start_gateway(backend), login=backend)
    client.command("NOOP", 200)
    client.expect(200)
    client.command("PWD", 257)
    client.command("SYST", 215)


def test_a_refused_password_and_then_the_right_one_without_another_user(scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    client = connect(start_gateway(backend))
    client.command("USER user", 331)
    client.command("PASS wrong", 530)
    client.command("PASS secret", 230)
    assert client.download("a") == b"content"


def test_a_backend_that_never_answers(scripted, start_gateway, connect):
    backend = scripted()
    backend.on("PWD", lambda peer, _: None)
    gateway = start_gateway(backend, "--reply-timeout", "1s")
    client = connect(gateway, login=backend)
    assert "did not answer" in client.command("PWD", 421).text
    assert client.read() == b""
    assert gateway.wait_for_event("session.closed")["reason"] == "backend_reply_timeout"


def test_a_backend_that_cannot_be_dialled(start_gateway, connect):
    gateway = start_gateway("127.0.0.1:1")
    client = connect(gateway)
    assert "not available" in client.command("USER user", 421).text
    assert client.read() == b""
    assert gateway.wait_for_event("session.closed")["reason"] == "backend_unavailable"


def _abortable(answers):
    """RETR that sends until ABOR comes, which is answered so."""

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"some bytes")
        line = peer.read_line()
        assert line == b"ABOR\r\n", line
        for answer in answers:
            peer.send(answer)
        peer.close_data()

    return retr


@pytest.mark.parametrize(
    "answers",
    [
        [b"426 Aborted\r\n", b"226 ABOR done\r\n"],
        [b"426 Aborted\r\n226 ABOR done\r\n"],
        [b"226 Done\r\n226 ABOR done\r\n"],
        [b"226 ABOR done\r\n"],
        [b"225 Nothing to abort\r\n"],
        [b"451 Aborted\r\n", b"225 Fine\r\n"],
    ],
    ids=["426-226", "one-piece", "226-226", "226", "225", "451-225"],
)
def test_abor_in_every_way_that_servers_answer_it(answers, scripted, start_gateway, connect):
    backend = scripted()
    backend.on("RETR", _abortable(answers), times=1)
    backend.files["b"] = b"content"
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_exactly(10) == b"some bytes"
    client.send(b"ABOR\r\nPWD\r\n")
    expected = b"".join(answers)
    for line in expected.splitlines():
        assert client.expect(int(line[:3])).raw == line + b"\r\n"
    assert client.expect(257), "the next command gets its own answer"
    with pytest.raises(Truncated):
        data.read_all()
    assert client.download("b") == b"content"


def test_a_late_226_to_abor_is_nobodys_answer(scripted, start_gateway, connect):
    backend = scripted()
    gate = threading.Event()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"some bytes")
        assert peer.read_line() == b"ABOR\r\n"
        peer.send(b"226 Transfer done\r\n")
        peer.close_data()
        assert peer.read_line() == b"PWD\r\n"
        peer.send(b"226 ABOR done\r\n")
        peer.wait(gate)
        peer.send(b'257 "/"\r\n')

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "RETR a")
    data.read_exactly(10)
    client.command("ABOR", 226)
    client.send(b"PWD\r\nSYST\r\n")
    client.expect(226)
    assert client.receives_nothing(0.2) and backend.verbs()[-1] == "PWD", "the 226 was not taken for PWD's answer"
    gate.set()
    client.expect(257)
    client.expect(215)


def test_a_backend_that_answers_nothing_to_abor(scripted, start_gateway, connect):
    """426 and 226 are ours; a NOOP finds the backend's place again, and its late answers are dropped."""
    backend = scripted()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"some bytes")
        assert peer.read_line() == b"ABOR\r\n"
        assert peer.read_line() == b"NOOP\r\n"
        peer.send(b"426 Late\r\n226 Later\r\n200 NOOP\r\n")

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend, timeout=20)
    data = client.open_data("EPSV", "RETR a")
    data.read_exactly(10)
    client.command("ABOR", 426)
    client.expect(226)
    client.command("PWD", 257)


def test_a_backend_that_hears_nothing_during_a_transfer(scripted, start_gateway, connect):
    """STAT is answered behind the 226, and no other command gets that answer."""
    backend = scripted()
    gate = threading.Event()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        peer.open_data().sendall(b"content")
        peer.wait(gate)
        peer.close_data()
        peer.send(b"226 Done\r\n")

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "RETR a")
    client.send(b"STAT\r\nPWD\r\n")
    assert data.read_exactly(7) == b"content"
    wait_until(lambda: b"STAT" in backend.sessions[0].received or gate.is_set() or gate.set() or True)
    gate.set()
    assert data.read_all() == b""
    client.expect(226)
    client.expect(211)
    client.expect(257)


def test_stat_during_a_transfer_is_answered_at_once(scripted, start_gateway, connect):
    backend = scripted()

    def retr(peer, _):
        peer.send(b"150 Here\r\n")
        data = peer.open_data()
        data.sendall(b"first half, ")
        assert peer.read_line() == b"STAT\r\n"
        peer.send(b"211-Half way\r\n226 looks like the end\r\n211 End\r\n")
        assert peer.read_line() == b"STAT\r\n"
        peer.send(b"502 Not again\r\n")
        data.sendall(b"second half")
        peer.close_data()
        peer.send(b"226 Done\r\n")

    backend.on("RETR", retr)
    client = connect(start_gateway(backend), login=backend)
    data = client.open_data("EPSV", "RETR a")
    assert data.read_exactly(12) == b"first half, "
    assert b"looks like the end" in client.command("STAT", 211).raw
    client.command("STAT", 502)
    assert data.read_all() == b"second half"
    client.expect(226)
