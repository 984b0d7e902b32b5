"""--allow-ccc: after login the control connection goes on in the clear, without a byte lost; data stay protected."""

import pytest


def test_without_the_flag_it_is_refused(scripted, start_gateway, connect):
    backend = scripted()
    client = connect(start_gateway(backend), login=backend)
    client.command("CCC", 534)
    client.command("PWD", 257)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("setup", ["PASV", "EPSV", "PORT"])
def test_transfers_go_on_behind_it(setup, version, scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    gateway = start_gateway(backend, "--allow-ccc", "--data-session", "require")
    client = connect(gateway, version=version, login=backend)
    client.command("CCC", 200)
    session = client.session
    # Plain text right behind our close_notify, in one segment with it.
    client.stop_tls(behind=b"PWD\r\nNOOP\r\n")
    client.expect(257)
    client.expect(200)
    if setup == "PORT":
        listener = client.active("PORT")
        client.command("RETR a", 150)
        data = client.protect_data(listener.accept(), protect=True, session=session)
    else:
        address = client.passive(setup)
        client.command("RETR a", 150)
        # Which resumes nothing: from here on the address is what counts.
        data = client.dial_data(address, protect=True, resume=False)
    assert data.read_all() == b"content"
    client.expect(226)
    client.command("AUTH TLS", 503)
    client.command("QUIT", 221)
    assert client.read() == b"" and client.ended == "fin"
    assert gateway.events("control.cleared")


def test_commands_that_came_behind_ccc_within_tls_wait(scripted, start_gateway, connect):
    """A client that does not wait for the 200: nothing is said between the two close_notify."""
    backend = scripted()
    client = connect(start_gateway(backend, "--allow-ccc"), login=backend)
    client.send(b"CCC\r\nPWD\r\n")
    client.expect(200)
    client.stop_tls(behind=b"SYST\r\n")
    client.expect(257)
    client.expect(215)


def test_a_client_that_never_ends_tls_is_timed(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--allow-ccc", "--idle-timeout", "500ms")
    client = connect(gateway, login=backend)
    client.command("CCC", 200)
    assert client.read() == b"" and client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == "idle_timeout"
