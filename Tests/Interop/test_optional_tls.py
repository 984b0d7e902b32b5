"""--control-tls optional, --data-tls optional, --autodetect: TLS where the client wants it, no hang and no mix elsewhere."""

import time

import pytest
from processes import free_port
from raw_client import Connection, RawClient, Truncated, tls_context


@pytest.fixture
def optional(scripted, start_gateway):
    backend = scripted()
    backend.files["a"] = b"content"
    return backend, start_gateway(backend, "--control-tls", "optional", "--data-tls", "optional")


@pytest.mark.parametrize("setup", ["PASV", "EPSV", "PORT", "EPRT"])
def test_a_session_in_the_clear(setup, optional, connect):
    backend, gateway = optional
    client = connect(gateway, secure=False)
    assert backend.sessions == [], "the backend is dialled when a command needs it"
    client.login(backend.user, backend.password)
    assert client.download("a", setup) == b"content"
    client.upload("b", b"more", setup)
    assert backend.files["b"] == b"more"
    client.quit()
    assert not {"AUTH", "PBSZ", "PROT"} & set(backend.verbs())


@pytest.mark.parametrize("setup", ["PASV", "EPSV", "PORT", "EPRT"])
def test_prot_c_behind_tls(setup, optional, connect):
    backend, gateway = optional
    client = connect(gateway, protect=False, login=backend)
    assert client.download("a", setup) == b"content", "AUTH TLS alone leaves data in the clear"
    client.protect()
    assert client.download("a", setup) == b"content"
    client.command("PROT C", 200)
    client.protects_data = False
    assert client.download("a", setup) == b"content"


def test_auth_ssl_protects_data_at_once(optional, connect):
    backend, gateway = optional
    client = connect(gateway, secure=False)
    client.secure(mechanism="SSL", protect=False)
    client.protects_data = True
    client.login(backend.user, backend.password)
    assert client.download("a") == b"content"


@pytest.mark.parametrize(
    "flags,mode,mechanism,is_private",
    [
        ([], "explicit", "TLS", False),
        ([], "explicit", "TLS-C", False),
        ([], "explicit", "SSL", True),
        ([], "explicit", "TLS-P", True),
        ([], "implicit", None, True),
        (["--prot-default-explicit", "P"], "explicit", "TLS", True),
        (["--prot-default-explicit", "P"], "explicit", "TLS-C", False),
        (["--auth-ssl-prot", "C"], "explicit", "SSL", False),
        (["--auth-ssl-prot", "C"], "explicit", "TLS-P", True),
        (["--implicit-default-prot", "C"], "implicit", None, False),
    ],
)
def test_the_level_of_protection_before_prot(flags, mode, mechanism, is_private, scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    gateway = start_gateway(backend, "--data-tls", "optional", *flags)
    client = connect(gateway, mode=mode, secure=False)
    if mechanism:
        client.secure(mechanism=mechanism, protect=False)
    client.login(backend.user, backend.password)
    client.protects_data = is_private
    for setup in ("EPSV", "PORT"):
        assert client.download("a", setup) == b"content"
    if is_private or mode == "implicit":
        client.command("PROT P", 200)
    else:
        client.command("PROT P", 503)
        client.protect()
    client.protects_data = True
    assert client.download("a") == b"content"


def test_where_clear_data_are_the_default_and_forbidden_the_client_says_prot(scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    gateway = start_gateway(backend, "--implicit-default-prot", "C", "--pbsz-optional")
    implicit = connect(gateway, mode="implicit", login=backend)
    implicit.passive()
    implicit.command("RETR a", 521)
    implicit.command("PROT P", 200)
    assert implicit.download("a") == b"content"
    explicit = connect(gateway, protect=False, login=backend)
    explicit.command("PROT P", 200)
    explicit.protects_data = True
    assert explicit.download("a") == b"content"


def test_data_in_the_clear_where_tls_is_due_is_refused_in_time(optional, connect, start_gateway):
    """A client that says PROT P and then does not begin TLS."""
    backend, _ = optional
    gateway = start_gateway(backend, "--handshake-timeout", "1s")
    client = connect(gateway, login=backend)
    address = client.passive()
    client.command("RETR a", 150)
    with Connection.dial(address):
        assert "PROT P" in client.expect(425).text
    client.command("PWD", 257)
    address = client.passive()
    client.command("STOR b", 150)
    with Connection.dial(address) as data:
        data.send(b"clear bytes where a ClientHello should be")
        client.expect(425, 522)
    client.command("PWD", 257)
    assert "b" not in backend.files or backend.files["b"] == b""


def test_tls_where_clear_data_are_due_does_not_hang(optional, connect):
    backend, gateway = optional
    client = connect(gateway, protect=False, login=backend)
    address = client.passive()
    client.command("RETR a", 150)
    data = Connection.dial(address)
    data.begin_tls(client.context)
    with pytest.raises(Exception):  # noqa: B017
        data.finish_handshake()
    client.expect(226, 426)
    client.command("PWD", 257)


def test_clear_data_where_tls_is_required_are_521_at_once(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--control-tls", "optional")
    for secure in (False, True):
        client = connect(gateway, secure=secure, protect=False, login=backend)
        for setup in ("PASV", "EPSV"):
            client.passive(setup)
            assert client.command("RETR a", 521).text == "521 Use PROT P first."
        if secure:
            client.command("PROT C", 503)
            client.protect()
            client.command("PROT C", 534)
    assert "RETR" not in backend.verbs()


def test_a_connection_made_in_the_clear_does_not_survive_prot_p(optional, connect):
    backend, gateway = optional
    client = connect(gateway, protect=False, login=backend)
    address = client.passive()
    data = Connection.dial(address)
    backend.wait_for_command("EPSV")
    client.command("PWD", 257)
    client.protect()
    reply = client.command("RETR a")
    if reply.code == 150:
        # It came so late that the rule had changed: then it must be TLS.
        client.protect_data(data, protect=True, resume=False)
        assert data.read_all() == b"content"
        client.expect(226)
    else:
        assert reply.code == 425
        with pytest.raises((Truncated, ConnectionResetError)):
            data.read_all()


def test_autodetect_serves_both_on_one_port(scripted, start_gateway, identity, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    gateway = start_gateway(backend, "--autodetect")
    begun = time.monotonic()
    explicit = connect(gateway, login=backend)
    assert time.monotonic() - begun < 2
    assert explicit.download("a") == b"content"
    implicit = RawClient(gateway.address(), implicit=True, context=explicit.context)
    with implicit:
        implicit.expect(220)
        implicit.login(backend.user, backend.password)
        assert implicit.download("a") == b"content", "data are private without PBSZ and PROT"
    slow = RawClient(gateway.address(), implicit=True, context=explicit.context, bytewise=True)
    with slow:
        slow.expect(220)


def test_autodetect_greets_within_300_ms(scripted, start_gateway):
    gateway = start_gateway(scripted(), "--autodetect")
    best = 10.0
    for _ in range(3):
        begun = time.monotonic()
        with Connection.dial(gateway.address()) as connection:
            assert connection.read_line().startswith(b"220")
        best = min(best, time.monotonic() - begun)
    assert 0.2 < best < 0.3


def test_autodetect_does_not_make_clear_commands_pass(scripted, start_gateway):
    backend = scripted()
    gateway = start_gateway(backend, "--autodetect")
    with Connection.dial(gateway.address()) as connection:
        connection.send(b"USER user\r\n")
        assert connection.read_line().startswith(b"220")
        assert connection.read_line().startswith(b"530")
    assert backend.sessions == []


def test_implicit_refuses_clear_bytes(scripted, start_gateway):
    backend = scripted()
    gateway = start_gateway(backend)
    with Connection.dial(gateway.address("implicit")) as connection:
        connection.send(b"USER user\r\n")
        try:
            assert b"220" not in connection.read() + connection.read()
        except ConnectionResetError:
            pass
    assert gateway.wait_for_event("session.closed")["reason"] == "tls_failed"
    assert backend.sessions == []


def test_what_is_required_goes_by_listener_and_by_network(scripted, start_gateway, identity):
    backend = scripted()
    backend.files["a"] = b"content"
    strict, lenient = free_port(), free_port()
    start_gateway(
        backend,
        *("--listen", f"127.0.0.1:{strict}", "--listen", f"127.0.0.1:{lenient}"),
        *("--control-tls", f"required,{lenient}=optional", "--data-tls", f"required,127.0.0.2=optional,{lenient}=optional"),
    )

    def connect(port, source=None):
        return RawClient(("127.0.0.1", port), context=tls_context(identity), source=source)

    for source in (None, ("127.0.0.2", 0)):
        with connect(strict, source) as client:
            client.expect(220)
            client.command("USER user", 530, 534)
    with connect(lenient) as client:
        client.expect(220)
        client.login(backend.user, backend.password)
        assert client.download("a") == b"content"
    for source, code in ((None, 534), (("127.0.0.2", 0), 200)):
        with connect(strict, source) as client:
            client.expect(220)
            client.secure(protect=False)
            client.login(backend.user, backend.password)
            client.command("PBSZ 0", 200)
            client.command("PROT C", code)
