"""Two hundred small files, one after the other in one session: no port, descriptor or session runs out."""

import clients
import pytest
from clients import Route, some_bytes
from processes import wait_until

COUNT = 200


def _content(number):
    return some_bytes(number * 7, number)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_one_session_after_another_data_connection(server, version, start_backend, start_gateway, connect):
    backend = start_backend(server)
    gateway = start_gateway(backend)
    # One session for each worker: its loop has made what it needs.
    for warm in [connect(gateway, login=backend), connect(gateway, login=backend)]:
        warm.quit()
    wait_until(lambda: len(gateway.events("session.closed")) == 2, what="both sessions have ended")
    files_before = gateway.open_files()
    client = connect(gateway, login=backend, version=version)
    for number in range(COUNT):
        client.upload(backend.path(f"small-{number}"), _content(number), "EPSV" if number % 2 else "PASV")
    names = client.download(backend.path(""), verb="NLST").split()
    assert len(names) == COUNT
    for number in range(COUNT):
        assert client.download(backend.path(f"small-{number}")) == _content(number)
    client.quit()
    wait_until(lambda: gateway.open_files() <= files_before, what="all descriptors are given back")


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_lftp_mirrors_a_folder_both_ways(server, start_backend, start_gateway, scratch):
    backend = start_backend(server)
    route = Route(start_gateway(backend), backend)
    there, back = scratch / "there", scratch / "back"
    there.mkdir()
    for number in range(COUNT):
        (there / f"small-{number}").write_bytes(_content(number))
    clients.lftp.run(route, f"mirror -R {there} folder", f"mirror folder {back}")
    assert {file.name: file.read_bytes() for file in (backend.files / "folder").iterdir()} == {
        file.name: file.read_bytes() for file in there.iterdir()
    }
    assert sorted(file.name for file in back.iterdir()) == sorted(file.name for file in there.iterdir())
    assert all((back / file.name).read_bytes() == file.read_bytes() for file in there.iterdir())


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_curl_takes_two_hundred_in_parallel(server, start_backend, start_gateway, scratch):
    backend = start_backend(server)
    for number in range(COUNT):
        backend.put(f"small-{number}", _content(number))
    route = Route(start_gateway(backend), backend)
    urls = f"{clients.curl.url(route)}small-[0-{COUNT - 1}]"
    arguments = [str(argument) for argument in clients.curl.arguments(route) if argument != "--globoff"]
    clients._run([*arguments, "--parallel", "--parallel-max", "10", "--output", f"{scratch}/got-#1", urls])
    for number in range(COUNT):
        assert (scratch / f"got-{number}").read_bytes() == _content(number), number
