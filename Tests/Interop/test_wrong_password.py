"""A wrong password is the backend's to refuse; the client may try again, and no password is ever logged."""

import clients
import pytest
from backends import PASSWORD
from clients import ClientFailed, Route


@pytest.mark.parametrize("mode", ["explicit", "implicit"])
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize("client", clients.ALL, ids=lambda client: client.name)
def test_clients_are_refused(client, server, mode, backends, gateways):
    backend = backends(server)
    route = Route(gateways(backend), backend, mode, password="wrong")
    with pytest.raises(ClientFailed, match="(?i)530|login|access denied"):
        client.listing(route)


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_another_try_in_the_same_session(server, backends, start_gateway, connect):
    backend = backends(server)
    gateway = start_gateway(backend)
    client = connect(gateway)
    client.command(f"USER {backend.user}", 331)
    client.command("PASS a wrong one", 530)
    client.command("PWD", 530)
    client.login(backend.user, backend.password)
    client.command("PWD", 257)
    client.quit()
    gateway.wait_for_event("session.closed")
    assert PASSWORD not in gateway.settled().log
    assert "a wrong one" not in gateway.log
    assert len(gateway.settled().events("login.failed")) == 1, gateway.settled().log


def test_too_many_wrong_ones_end_the_session(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--max-login-attempts", "3")
    client = connect(gateway)
    for _ in range(2):
        client.command("USER user", 331)
        client.command("PASS wrong", 530)
    client.command("USER user", 331)
    client.command("PASS wrong", 530)
    client.expect(421)
    assert client.read() == b"", "close_notify follows the 421"
    assert gateway.wait_for_event("session.closed")["reason"] == "too_many_login_failures"
