"""Bytes that came in the clear behind AUTH are never executed (CVE-2011-0411 and its kin): the connection ends."""

import threading

import pytest
from raw_client import Connection

INJECTED = b"USER user\r\nPASS secret\r\nDELE precious\r\n"


def _is_refused(gateway, backend, connection):
    """The client gets nothing that could be an answer to what was injected, and then the end; the backend hears nothing."""
    answer = b""
    try:
        answer = connection.read_all()
    except Exception:  # noqa: BLE001
        pass
    assert b"331" not in answer and b"230" not in answer, answer
    assert gateway.wait_for_event("session.closed")["reason"] == "pipelined_before_tls"
    assert backend.sessions == []


@pytest.mark.parametrize("flags", [(), ("--control-tls", "optional")], ids=["required", "optional"])
def test_in_the_same_segment(flags, scripted, start_gateway):
    backend = scripted()
    gateway = start_gateway(backend, *flags)
    with Connection.dial(gateway.address()) as connection:
        assert connection.read_line().startswith(b"220")
        connection.send(b"AUTH TLS\r\n" + INJECTED)
        _is_refused(gateway, backend, connection)


def test_a_part_of_a_line_is_enough(scripted, start_gateway):
    backend = scripted()
    gateway = start_gateway(backend)
    with Connection.dial(gateway.address()) as connection:
        assert connection.read_line().startswith(b"220")
        connection.send(b"AUTH TLS\r\nU")
        _is_refused(gateway, backend, connection)


def test_a_client_hello_that_does_not_wait_for_the_234(scripted, start_gateway):
    """Whoever sits on the line could have put it there: nothing that came before the 234 is taken for the client's."""
    backend = scripted()
    gateway = start_gateway(backend)
    with Connection.dial(gateway.address()) as connection:
        assert connection.read_line().startswith(b"220")
        connection.send(b"AUTH TLS\r\n\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03")
        _is_refused(gateway, backend, connection)


def test_replies_injected_on_the_backends_side_answer_nothing(scripted, start_gateway, connect):
    """Two replies to one command: the second is passed as it comes and is nobody's answer."""
    backend = scripted()
    said = threading.Event()

    def syst(peer, _):
        peer.send(b"215 UNIX\r\n200 and this one is too much\r\n")
        said.set()

    backend.on("SYST", syst)
    client = connect(start_gateway(backend), login=backend)
    client.command("SYST", 215)
    client.expect(200)
    assert client.command("PWD", 257).code == 257
