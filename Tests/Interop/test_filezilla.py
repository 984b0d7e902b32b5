"""FileZilla itself: it demands that data connections resume the control connection's TLS session, and opens several at once."""

import pytest
from clients import Route, some_bytes
from filezilla import FileZilla

WAYS = [(server, mode, setup) for server in ("vsftpd", "proftpd") for mode, setup in (("implicit", "PASV"), ("explicit", "PORT"))]
WAYS += [
    (server, "explicit", "PASV") for server in ("vsftpd", "proftpd", "pureftpd", "pyftpdlib", "inetutils", "aioftp", "tcllib")
]


@pytest.mark.parametrize("server,mode,setup", WAYS)
def test_list_upload_download(server, mode, setup, start_backend, start_gateway, scratch):
    backend = start_backend(server)
    gateway = start_gateway(backend, "--data-session", "require")
    client = FileZilla(scratch / "filezilla", Route(gateway, backend, mode=mode, setup=setup))
    down = {f"down-{number}": some_bytes(size, number) for number, size in enumerate([0, 1, 16_385, 3_000_000])}
    up = {f"up-{number}": some_bytes(size, number) for number, size in enumerate([0, 1, 16_384, 3_000_001])}
    for name, content in down.items():
        backend.put(name, content)
    for name, content in up.items():
        (client.local / name).write_bytes(content)
    said = client.run(list(down), list(up))
    assert {name: (client.local / name).read_bytes() for name in down} == down
    assert {name: (backend.files / name).read_bytes() for name in up} == up
    assert "Error:" not in said and "not properly shut down" not in said
    transfers = gateway.settled().events("transfer")
    assert all(event["code"] == 226 for event in transfers)
    assert ("PORT" if setup == "PORT" else "PASV") in said
