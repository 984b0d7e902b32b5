"""Four ways in, four ways on: each pair moves each kind of transfer, byte for byte (requirement D5)."""

import clients
import pytest
from sizes import full

SIZES = [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, *full([64 * 1024 * 1024], [])]


@pytest.mark.parametrize("onward", ["pasv", "epsv", "port", "eprt"])
@pytest.mark.parametrize("setup", ["PASV", "EPSV", "PORT", "EPRT"])
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_each_transfer_command(server, setup, onward, start_backend, start_gateway, connect):
    backend = start_backend(server)
    client = connect(start_gateway(backend, "--backend-data", onward), login=backend, timeout=60)
    for size in SIZES:
        content = clients.some_bytes(size, size)
        path = backend.path(f"stored-{size}")
        client.upload(path, content, setup)
        assert (backend.files / f"stored-{size}").read_bytes() == content
        assert client.download(path, setup) == content
        client.upload(path, b"and more", setup, verb="APPE")
        assert (backend.files / f"stored-{size}").read_bytes() == content + b"and more"
        before = set(backend.files.iterdir())
        client.command(f"CWD {backend.path('')}", 250)
        client.upload("" if server == "pyftpdlib" else "unique", content, setup, verb="STOU")
        (new,) = set(backend.files.iterdir()) - before
        assert new.read_bytes() == content
        new.unlink()
    names = sorted(f"stored-{size}" for size in SIZES)
    listed = client.download(backend.path(""), setup, verb="NLST").decode().split()
    assert sorted(name.rpartition("/")[2] for name in listed) == names
    listed = client.download(backend.path(""), setup, verb="LIST").decode().splitlines()
    assert sorted(line.split()[-1] for line in listed) == names
    if "MLSD" in backend.features:
        listed = client.download(backend.path(""), setup, verb="MLSD").decode().splitlines()
        assert sorted(line.split("; ")[-1] for line in listed if "type=file" in line) == names
    client.quit()


@pytest.mark.parametrize("refusal", [500, 502, 522])
@pytest.mark.parametrize(
    "mode,asked,refused,taken",
    [
        ("auto", "EPSV", "EPSV", "PASV"),
        ("auto", "PASV", "PASV", "EPSV"),
        ("passive", "PASV", "PASV", "EPSV"),
        ("active", "EPSV", "PORT", "EPRT"),
        ("client", "EPRT", "EPRT", "PORT"),
        ("client", "PORT", "PORT", "EPRT"),
    ],
)
def test_what_a_backend_refuses_is_replaced_and_remembered(
    mode, asked, refused, taken, refusal, scripted, start_gateway, connect
):
    """Whatever FEAT says: it lists all four, or none."""
    for features in ([], ["EPSV", "EPRT"]):
        backend = scripted()
        backend.features = features
        backend.files["a"] = b"content"
        backend.on(refused, b"%d No.\r\n" % refusal)
        # Each worker learns it for itself.
        gateway = start_gateway(backend, "--backend-data", mode, "--workers", 1)
        for _ in range(3):
            client = connect(gateway, login=backend)
            assert client.download("a", asked) == b"content"
            client.quit()
        assert backend.verbs().count(refused) == 1, "the next session remembers"
        assert backend.verbs().count(taken) == 3
