import pytest


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", ["vsftpd", "pyftpdlib", "scripted"])
def test_first_light(name, version, backends, scripted, gateways, start_gateway, connect):
    if name == "scripted":
        backend = scripted()
        backend.files["files/a"] = b"hello"
        gateway = start_gateway(backend)
        path = "files/a"
    else:
        backend = backends(name)
        backend.put("a", b"hello")
        gateway = gateways(backend)
        path = backend.path("a")
    client = connect(gateway, login=backend, version=version)
    for setup in ["EPSV", "PASV", "EPRT", "PORT"]:
        assert client.download(path, setup) == b"hello"
        client.upload(path + "b", b"x" * 100000, setup)
        assert client.download(path + "b", setup) == b"x" * 100000
    client.quit()
