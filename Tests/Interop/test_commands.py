"""The commands around transfers: APPE, STOU, REST, MLSD, MLST, SIZE, MDTM, RNFR, folders; names in UTF-8 and in 8 bits."""

import clients
import pytest
from clients import Route, some_bytes

SERVERS = ["vsftpd", "pyftpdlib", "proftpd", "pureftpd"]


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize("client", clients.ALL, ids=lambda client: client.name)
def test_append_and_resume(client, server, backends, gateways):
    backend = backends(server)
    route = Route(gateways(backend), backend)
    name = f"appended-{client.name}"
    content, more = some_bytes(40_000), some_bytes(30_000, 1)
    client.upload(route, name, content)
    client.append(route, name, more)
    assert (backend.files / name).read_bytes() == content + more
    assert client.resume(route, name, 12_345) == (content + more)[12_345:]


@pytest.mark.parametrize("server", SERVERS)
def test_rest_and_stor_go_on_where_an_upload_ended(server, backends, gateways, connect):
    backend = backends(server)
    content = some_bytes(50_000)
    client = connect(gateways(backend), login=backend)
    path = backend.path("restarted")
    client.upload(path, content[:20_000])
    data_address = client.passive("EPSV")
    client.command("TYPE I", 200)
    client.command("REST 20000", 350)
    client.command(f"STOR {path}", 125, 150)
    data = client.dial_data(data_address)
    data.send(content[20_000:])
    data.close_notify()
    data.finish()
    client.expect(226)
    assert (backend.files / "restarted").read_bytes() == content


HUGE = 5 * 1024**3


@pytest.mark.parametrize("setup", ["PASV", "EPSV"])
@pytest.mark.parametrize("server", SERVERS)
def test_rest_beyond_4_gib(server, setup, backends, gateways, connect):
    """A sparse file of 5 GiB, whose end is read and then written on."""
    backend = backends(server)
    file = backend.put(f"huge-{setup}", b"")
    content = some_bytes(100_000)
    with open(file, "r+b") as sparse:
        sparse.truncate(HUGE)
        sparse.seek(HUGE - len(content))
        sparse.write(content)
    client = connect(gateways(backend), login=backend)
    path = backend.path(file.name)
    assert client.command(f"SIZE {path}", 213).text.split() == ["213", str(HUGE)]
    # In the order in which clients send them: some say REST before PASV, most behind it.
    client.command(f"REST {HUGE - len(content)}", 350)
    assert client.download(path, setup) == content
    address = client.passive(setup)
    client.command(f"REST {HUGE - 10}", 350)
    client.command(f"STOR {path}", 125, 150)
    with client.dial_data(address) as data:
        data.send(b"beyond 4 GiB it goes on")
        data.close_notify()
        data.finish()
        client.expect(226)
    assert file.stat().st_size == HUGE - 10 + 23
    with open(file, "rb") as sparse:
        sparse.seek(HUGE - 12)
        assert sparse.read() == content[-12:-10] + b"beyond 4 GiB it goes on"
    file.unlink()


@pytest.mark.parametrize("client", [clients.curl, clients.newer_curl, clients.ftplib_resuming], ids=lambda client: client.name)
def test_real_clients_resume_beyond_4_gib(client, backends, gateways):
    backend = backends("vsftpd")
    file = backend.put(f"huge-{client.name}", b"")
    content = some_bytes(50_000)
    with open(file, "r+b") as sparse:
        sparse.truncate(HUGE)
        sparse.seek(HUGE - len(content))
        sparse.write(content)
    assert client.resume(Route(gateways(backend), backend), file.name, HUGE - len(content)) == content
    file.unlink()


def test_lftp_resumes_beyond_4_gib(backends, gateways, scratch):
    """It goes on where the local file ends, which is as sparse as the other one."""
    backend = backends("vsftpd")
    file = backend.put("huge-lftp", b"")
    content = some_bytes(50_000)
    local = scratch / "huge-lftp"
    with open(file, "r+b") as sparse, open(local, "wb") as part:
        part.truncate(HUGE - len(content))
        sparse.truncate(HUGE)
        sparse.seek(HUGE - len(content))
        sparse.write(content)
    clients.lftp.run(Route(gateways(backend), backend), f"get -c {file.name} -o {local}")
    assert local.stat().st_size == HUGE
    with open(local, "rb") as whole:
        whole.seek(HUGE - len(content))
        assert whole.read() == content
    file.unlink()


@pytest.mark.parametrize("server", SERVERS)
def test_stou_names_the_file_itself(server, backends, gateways, connect):
    backend = backends(server)
    client = connect(gateways(backend), login=backend)
    client.command(f"CWD {backend.path('')}", 250)
    before = set(backend.files.iterdir())
    client.upload("", b"unique content", verb="STOU")
    made = set(backend.files.iterdir()) - before
    assert [file.read_bytes() for file in made] == [b"unique content"]
    made.pop().unlink()


@pytest.mark.parametrize("server", SERVERS)
def test_size_mdtm_rename_folders(server, backends, gateways, connect):
    backend = backends(server)
    client = connect(gateways(backend), login=backend)
    path = backend.path("facts")
    client.upload(path, b"x" * 4321)
    client.command("TYPE I", 200)
    assert client.command(f"SIZE {path}", 213).text.split() == ["213", "4321"]
    assert len(client.command(f"MDTM {path}", 213).text.split()[1]) == 14
    client.command(f"RNFR {path}", 350)
    client.command(f"RNTO {backend.path('renamed')}", 250)
    assert (backend.files / "renamed").exists() and not (backend.files / "facts").exists()
    client.command(f"MKD {backend.path('folder')}", 257)
    client.command(f"CWD {backend.path('folder')}", 250)
    assert "folder" in client.command("PWD", 257).text
    client.command("CDUP", 200, 250)
    client.command(f"RMD {backend.path('folder')}", 250)
    client.command(f"DELE {backend.path('renamed')}", 250)
    client.command(f"SIZE {backend.path('renamed')}", 550)


@pytest.mark.parametrize("setup", ["EPSV", "PORT"])
@pytest.mark.parametrize("server", ["pyftpdlib", "proftpd", "pureftpd"])
def test_mlsd_and_mlst(server, setup, backends, gateways, connect):
    backend = backends(server)
    backend.put("listed", b"12345")
    client = connect(gateways(backend), login=backend)
    assert b"MLST" in client.command("FEAT", 211).raw
    lines = client.download(backend.path(""), setup, verb="MLSD").decode().splitlines()
    listed = [line for line in lines if line.endswith(" listed")]
    assert len(listed) == 1 and "size=5;" in listed[0].lower() and "type=file;" in listed[0].lower()
    assert "size=5;" in client.command(f"MLST {backend.path('listed')}", 250).text.lower()


@pytest.mark.parametrize("server", ["vsftpd"])
def test_what_the_backend_lacks_is_not_listed(server, backends, gateways, connect):
    backend = backends(server)
    client = connect(gateways(backend), login=backend)
    features = client.command("FEAT", 211).text
    assert "MLST" not in features
    for ours in (" AUTH TLS", " PBSZ", " PROT"):
        assert features.splitlines().count(ours) == 1


NAMES = {
    "UTF-8": "Grüße aus Łódź 日本語".encode(),
    "blanks": b"two  blanks and a trailing dot.",
    "quotes": b'it\'s "quoted" {[(&;$`)]}',
    "Latin-1": "Grüße".encode("latin-1"),
    "Shift-JIS": "日本".encode("shift-jis"),
}


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib", "pureftpd"])
@pytest.mark.parametrize("kind", NAMES)
def test_names_pass_byte_for_byte(kind, server, backends, gateways, connect):
    backend = backends(server)
    name = NAMES[kind]
    client = connect(gateways(backend), login=backend)
    client.command(f"CWD {backend.path('')}", 250)
    with client.open_data("EPSV", b"STOR " + name) as data:
        data.send(b"content")
        data.close_notify()
        client.expect(226)
    assert name in [bytes(file.name, "utf-8", "surrogateescape") for file in backend.files.iterdir()]
    assert name in client.download("", verb="NLST").splitlines()
    with client.open_data("EPSV", b"RETR " + name) as data:
        assert data.read_all() == b"content"
    client.expect(226)
    client.command(b"DELE " + name, 250)


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize("client", clients.ALL, ids=lambda client: client.name)
def test_real_clients_with_names_in_utf_8(client, server, backends, gateways):
    backend = backends(server)
    clients.round_trip(client, Route(gateways(backend), backend), name=f"Grüße-{client.name} 日本")


@pytest.mark.parametrize("level", ["required", "optional"])
def test_prot_c_where_it_is_allowed_and_where_not(level, backends, start_gateway, connect):
    backend = backends("pyftpdlib")
    backend.put("small", b"content")
    client = connect(start_gateway(backend, "--data-tls", level), login=backend)
    if level == "required":
        client.command("PROT C", 534)
        return
    client.command("PROT C", 200)
    client.protects_data = False
    for setup in ("PASV", "EPSV", "PORT", "EPRT"):
        assert client.download(backend.path("small"), setup) == b"content"
        client.upload(backend.path("clear"), b"in the clear", setup)
        assert (backend.files / "clear").read_bytes() == b"in the clear"
    client.command("PROT P", 200)
    client.protects_data = True
    assert client.download(backend.path("small")) == b"content"
