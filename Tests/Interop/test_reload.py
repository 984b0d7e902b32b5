"""What the operator changes is taken up without a restart, all or nothing, and nobody who is here notices."""

import hashlib
import http.client
import os
import re
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from certificates import make_identity
from processes import wait_until
from raw_client import tls_context


@pytest.fixture
def two_identities(scratch):
    """The one in use, in files of its own, and the one that is to replace it."""
    first, second = scratch / "first", scratch / "second"
    first.mkdir()
    second.mkdir()
    return make_identity(first), make_identity(second)


def shown(gateway, name=None):
    """The SHA-256 of the certificate that the gateway shows now, to clients that ask for a name."""
    context = ssl._create_unverified_context()
    with (
        socket.create_connection(gateway.address("implicit"), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as client,
    ):
        return hashlib.sha256(client.getpeercert(binary_form=True)).hexdigest()


def digest(identity):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(Path(identity.certificate).read_text())).hexdigest()


def replace(target, source):
    """As careful programs do it: written beside, renamed over."""
    fresh = Path(f"{target}.new")
    fresh.write_bytes(Path(source).read_bytes())
    os.replace(fresh, target)


def log_in(connect, gateway, backend, identity):
    return connect(gateway, context=tls_context(identity), login=(backend.user, backend.password))


def test_a_renamed_certificate_is_shown_within_two_seconds_and_sessions_go_on(backends, start_gateway, two_identities, connect):
    first, second = two_identities
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, identity=first)
    old_certificate = make_copy(first)
    client = log_in(connect, gateway, backend, old_certificate)
    assert shown(gateway) == digest(first)

    replace(first.key, second.key)
    replace(first.certificate, second.certificate)
    began = time.monotonic()
    wait_until(lambda: shown(gateway) == digest(second), 5, "the new certificate")
    assert time.monotonic() - began < 2.5

    # The session from before still works, and its data connection still resumes its TLS session.
    data = client.open_data("EPSV", "NLST")
    data.read_all()
    assert client.reply().code == 226
    assert data.is_resumed
    gateway.wait_for_event("reload.done", cause="files")


def make_copy(identity):
    copy = Path(f"{identity.certificate}.copy")
    copy.write_bytes(Path(identity.certificate).read_bytes())
    return type(identity)(copy, identity.key)


def test_one_of_several_certificates_is_replaced(backends, start_gateway, identity, scratch):
    names = ["one.example.com", "two.example.com", "three.example.com"]
    identities = {name: make_identity(scratch, name, name, f"DNS:{name}") for name in names}
    everyone = {None: identity, **identities}
    flags = [part for i in everyone.values() for part in ("--cert", i.certificate, "--key", i.key)]
    gateway = start_gateway(backends("pyftpdlib"), *flags)
    assert {name: shown(gateway, name) for name in everyone} == {name: digest(i) for name, i in everyone.items()}

    (scratch / "new").mkdir()
    new = make_identity(scratch / "new", "two", names[1], f"DNS:{names[1]}")
    replace(identities[names[1]].key, new.key)
    replace(identities[names[1]].certificate, new.certificate)
    wait_until(lambda: shown(gateway, names[1]) == digest(new), 5, "the new certificate")
    assert {name: shown(gateway, name) for name in everyone} == {
        name: digest(new if name == names[1] else i) for name, i in everyone.items()
    }
    # And none is lost by another reload.
    gateway.signal(signal.SIGHUP)
    gateway.wait_for_event("reload.done", cause="signal")
    assert {name: shown(gateway, name) for name in everyone} == {name: digest(i) for name, i in everyone.items()}


def test_a_swapped_link_is_a_change(backends, start_gateway, scratch):
    """Kubernetes' layout: NAME -> ..data/NAME, ..data -> a folder; a new ..data is renamed over the old one."""
    mount = scratch / "mount"
    for name in ("..1", "..2"):
        (mount / name).mkdir(parents=True)
        make_identity(mount / name, name="tls")
    (mount / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (mount / name).symlink_to(f"..data/{name}")
    identity = type(make_identity(scratch))(mount / "tls.crt", mount / "tls.key")
    gateway = start_gateway(backends("pyftpdlib"), identity=identity)
    before = shown(gateway)
    (mount / "..new").symlink_to("..2")
    os.replace(mount / "..new", mount / "..data")
    wait_until(lambda: shown(gateway) != before, 5, "the certificate behind the new link")


def test_a_broken_file_leaves_all_as_it_was(backends, start_gateway, two_identities, connect):
    first, second = two_identities
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, identity=first)
    old = digest(first)
    replace(first.certificate, second.certificate)  # its key is another's
    gateway.signal(signal.SIGHUP)
    event = gateway.wait_for_event("reload.failed")
    assert "does not belong to the certificate" in event["reason"]
    assert shown(gateway) == old

    Path(first.certificate).write_text("-----BEGIN CERTIFICATE-----\nnothing\n")
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: len(gateway.events("reload.failed", cause="signal")) >= 2, 5, "the second refusal")
    assert shown(gateway) == old

    replace(first.certificate, second.certificate)
    replace(first.key, second.key)
    wait_until(lambda: shown(gateway) == digest(second), 5, "the whole pair")


def test_the_file_of_settings_is_taken_up(backends, start_gateway, scratch, identity, connect):
    backend = backends("pyftpdlib")
    settings = scratch / "settings"
    settings.write_text("deny-command SITE\n")
    gateway = start_gateway(backend, "--config", settings)
    before = connect(gateway, login=(backend.user, backend.password))
    assert before.command("MKD made-before").code == 257

    settings.write_text("access read-only\nlisten 127.0.0.1:1\npassive-ports 1\n")
    gateway.wait_for_event("reload.done")
    # A session keeps the rules that it began with; the next one has the new ones.
    assert before.command("RMD made-before").code == 250
    after = connect(gateway, login=(backend.user, backend.password))
    assert after.command("MKD made-after").code == 550

    # The command line still wins: nothing else was said there of what needs a restart.
    assert not gateway.settled().events("reload.needs_restart")

    settings.write_text("access sideways\n")
    assert "access" in gateway.wait_for_event("reload.failed")["reason"]
    again = connect(gateway, login=(backend.user, backend.password))
    assert again.command("MKD made-again").code == 550


def test_what_needs_a_restart_is_said(backends, start_gateway, scratch):
    settings = scratch / "settings"
    settings.write_text("idle-timeout 5m\n")
    gateway = start_gateway(backends("pyftpdlib"), "--config", settings, "--listen", "127.0.0.1:0")
    settings.write_text("listen-implicit 127.0.0.1:0\n")
    assert gateway.wait_for_event("reload.needs_restart")["flags"] == "--listen"


def test_without_watching_only_the_signal_counts(backends, start_gateway, two_identities):
    first, second = two_identities
    gateway = start_gateway(backends("pyftpdlib"), "--no-watch", identity=first)
    replace(first.key, second.key)
    replace(first.certificate, second.certificate)
    gateway.signal(signal.SIGHUP)
    gateway.wait_for_event("reload.done", cause="signal")
    wait_until(lambda: shown(gateway) == digest(second), 5, "the new certificate")


RELOADS = int(os.environ.get("FTPSGATE_TEST_RELOADS", "100"))


def number_of(gateway, name):
    """A gauge of /metrics."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(5)
    connection.sock.connect(str(gateway.log_path.parent / "admin"))
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(re.search(rf"^{name} (\d+)$", text, re.MULTILINE)[1])


class Load(threading.Thread):
    """A session that sends and fetches files without end, and compares them."""

    def __init__(self, client, backend, number):
        super().__init__(daemon=True)
        self.client, self.path = client, backend.path(f"load{number}.bin")
        self.content = os.urandom(200_000)
        self.transfers, self.failure = 0, None
        self.ends = threading.Event()

    def run(self):
        try:
            while not self.ends.is_set():
                self.client.upload(self.path, self.content)
                assert self.client.download(self.path) == self.content
                self.transfers += 2
            self.client.quit()
        except Exception as failure:  # told by the test
            self.failure = failure


@pytest.mark.alone
@pytest.mark.timeout(300 + RELOADS)
def test_many_reloads_under_load_cost_nothing(start_backend, start_gateway, two_identities, connect, scratch):
    """FTPSGATE_TEST_RELOADS: how many."""
    first, second = two_identities
    backend = start_backend("pyftpdlib")
    # The folder that the gateway gets, whose name stands in no fixture.
    admin = scratch / "gateway-0" / "admin"
    gateway = start_gateway(backend, "--no-watch", "--log-level", "info", "--admin", f"unix:{admin}", identity=first)
    old, new = make_copy(first), make_copy(second)
    pairs = [(Path(i.certificate).read_bytes(), Path(i.key).read_bytes()) for i in (second, first)]
    loads = [Load(log_in(connect, gateway, backend, old), backend, number) for number in range(6)]
    for load in loads:
        load.start()
    settled, began = None, time.monotonic()
    for number in range(RELOADS):
        for path, text in zip((first.certificate, first.key), pairs[number % 2], strict=True):
            Path(path).write_bytes(text)
        gateway.signal(signal.SIGHUP)
        wait_until(lambda n=number: gateway.log.count('"reload.done"') > n, 20, "a reload")
        if number % 10 == 9:
            # Whoever comes now is let in, and sees what is new.
            with connect(gateway, context=tls_context((new, old)[number % 2]), login=(backend.user, backend.password)) as other:
                other.command("NOOP", 200)
        if number == 9:
            moved = [load.transfers for load in loads]
            wait_until(
                lambda m=moved: all(a.transfers > b for a, b in zip(loads, m, strict=True)), 60, "transfers of each session"
            )
            settled = gateway.resident_bytes()
    seconds = time.monotonic() - began
    for load in loads:
        load.ends.set()
    for load in loads:
        load.join(60)
        assert not load.failure, load.failure
        assert load.transfers, "a session that has moved nothing"
    assert not gateway.settled().events("reload.failed")
    assert not [event for event in gateway.events("transfer") if event["code"] != 226]
    resident = gateway.resident_bytes()
    print(
        f"{RELOADS} reloads in {seconds:.0f} s, {sum(load.transfers for load in loads)} transfers,"
        f" {settled // 1024} KiB after 10 reloads, {resident // 1024} KiB at the end"
    )
    assert resident <= settled * 1.05 + 2 * 1024 * 1024
    # Sessions that are over let go of the certificates that they began with.
    wait_until(lambda: number_of(gateway, "ftpsgate_sessions_active") == 0, 10, "the sessions' end")
    wait_until(lambda: number_of(gateway, "ftpsgate_tls_contexts") == 1, 10, "one set of certificates")
    idle = gateway.open_files()
    for _ in range(10):
        done = gateway.settled().log.count('"reload.done"')
        gateway.signal(signal.SIGHUP)
        wait_until(lambda n=done: gateway.log.count('"reload.done"') > n, 20, "a reload")
    wait_until(lambda: gateway.open_files() <= idle, 5, "no descriptor more")
