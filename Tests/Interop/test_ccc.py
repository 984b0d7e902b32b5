"""--allow-ccc: after login the control connection goes on in the clear, without a byte lost; data stay protected."""

import clients
import pytest
from clients import Route, some_bytes


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
    assert gateway.settled().events("control.cleared")


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
    gateway = start_gateway(backend, "--allow-ccc", "--idle-timeout", "1s")
    client = connect(gateway, login=backend)
    client.command("CCC", 200)
    assert client.read() == b"" and client.ended == "close_notify"
    assert gateway.wait_for_event("session.closed")["reason"] == "idle_timeout"


def test_the_client_ends_tls_first_where_it_does_so_at_once(scripted, start_gateway, connect):
    """lftp takes a close_notify that is there before its own for the connection's end."""
    client = connect(start_gateway(backend := scripted(), "--allow-ccc"), login=backend)
    client.command("CCC", 200)
    assert client.receives_nothing(0.1)
    client.stop_tls()
    client.command("PWD", 257)


def test_a_client_that_waits_for_our_close_notify_and_does_not_answer_it(scripted, start_gateway, connect):
    """curl, told so (--ftp-ssl-ccc-mode passive), goes on in the clear at once."""
    client = connect(start_gateway(backend := scripted(), "--allow-ccc"), login=backend)
    client.command("CCC", 200)
    assert client.read() == b"" and client.ended == "close_notify"
    client.ended, client.tls = None, None
    client.send_bytewise(b"PWD\r\n")
    client.expect(257)
    client.command("SYST", 215)


@pytest.mark.parametrize("mode", ["active", "passive"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curls_own(version, mode, backends, start_gateway):
    backend = backends("vsftpd")
    gateway = start_gateway(backend, "--allow-ccc")
    content = some_bytes(70_000)
    backend.put(f"curl-{mode}-{version}", content)
    route = Route(gateway, backend, tls=version)
    got = clients.curl.run(route, "--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", mode, name=f"curl-{mode}-{version}")
    assert got == content
    assert gateway.settled().events("control.cleared")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("setup", ["PASV", "EPSV", "PORT"])
@pytest.mark.parametrize("server", ["vsftpd", "proftpd"])
def test_lftps_own(server, setup, version, backends, start_gateway):
    """lftp sends CCC behind its login, and goes on in the clear."""
    backend = backends(server)
    gateway = start_gateway(backend, "--allow-ccc")
    route = Route(gateway, backend, setup=setup, tls=version)
    content = some_bytes(70_000)
    name = f"cleared-{setup}-{version}"
    backend.put(name, content)
    settings = {"ftp:ssl-use-ccc": "yes"}
    said = clients.lftp.run(route, f"cat {name}", "cls -1", f"put {__file__} -o {name}.py", "pwd", settings=settings)
    assert content in said
    assert name.encode() in said.replace(content, b"")
    assert (backend.files / f"{name}.py").read_bytes() == open(__file__, "rb").read()
    assert gateway.settled().events("control.cleared")
    assert gateway.wait_for_event("session.closed")["reason"] in ("client_quit", "client_closed")
