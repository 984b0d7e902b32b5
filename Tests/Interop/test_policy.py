"""Presets, lists of commands and users, --hide-backend: the backend never hears of what is refused."""

import pytest
from raw_client import Connection

VERBS = {
    "reads": ["RETR a", "HASH a", "XCRC a"],
    "writes": ["STOR a", "STOU", "APPE a", "MKD a", "XMKD a", "RNFR a", "RNTO a", "MFMT 20200101000000 a", "SITE CHMOD 777 a"]
    + ["MDTM 20200101000000 a"],
    "deletes": ["DELE a", "RMD a", "XRMD a", "RMDA a", "SITE RMDIR a"],
    "lists": ["LIST", "NLST", "MLSD", "MLST a", "SIZE a", "MDTM a", "STAT a"],
    "unknown": ["XYZZY a", "SITE EXEC ls", "SITE CPFR /etc/passwd"],
    "neutral": [
        "CWD a",
        "PWD",
        "CDUP",
        "TYPE I",
        "NOOP",
        "SYST",
        "STAT",
        "HELP",
        "SITE HELP",
        "REST 0",
        "ALLO 1",
        "OPTS UTF8 ON",
        "ABOR",
    ],
}
PERMITTED = {
    "full": {"reads", "writes", "deletes", "lists", "unknown", "neutral"},
    "read-only": {"reads", "lists", "neutral"},
    "upload-only": {"writes", "neutral"},
    "list-only": {"lists", "neutral"},
}


@pytest.mark.parametrize("preset", PERMITTED)
def test_presets(preset, scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--access", preset)
    client = connect(gateway, login=backend)
    for kind, lines in VERBS.items():
        for line in lines:
            before = len(backend.commands)
            reply = client.command(line)
            is_refused = reply.text == "550 Not permitted by this gateway."
            assert is_refused == (kind not in PERMITTED[preset]), (line, reply)
            if is_refused:
                assert len(backend.commands) == before, f"{line} reached the backend"
    refused = sum(len(lines) for kind, lines in VERBS.items() if kind not in PERMITTED[preset])
    assert len(gateway.settled().events("command.refused", reason="not_permitted")) == refused


def test_a_deny_list_with_arguments(scripted, start_gateway, connect):
    backend = scripted()
    backend.features = ["MFMT", "MLST size*;", "SIZE"]
    gateway = start_gateway(backend, "--deny-command", "MFMT,MLSD,SITE=CHMOD*,DELE=*.key")
    client = connect(gateway, login=backend)
    client.command("MFMT 20200101000000 a", 550)
    client.command("site chmod 777 a", 550)
    client.command("SITE  CHMOD 777 a", 550)
    client.command(b"SITE CH\xff\xf1MOD 777 a", 550)
    client.command("DELE\tother", 501)
    client.command("SITE CHMOD 777 a", 550)
    client.command("DELE secret.key", 550)
    assert client.command("DELE other").text == "550 No such file."
    features = client.command("FEAT", 211).text
    assert "MFMT" not in features and "MLST" not in features and " SIZE" in features
    assert "MFMT" not in backend.verbs()


def test_an_allow_list(scripted, start_gateway, connect):
    backend = scripted()
    backend.files["pub/a"] = b"content"
    client = connect(start_gateway(backend, "--allow-command", "RETR=pub/*,LIST"), login=backend)
    assert client.download("pub/a") == b"content"
    assert client.download("", verb="LIST") == b"pub/a\r\n"
    client.command("RETR other", 550)
    client.command("STOR a", 550)
    client.command("CWD a", 550)
    client.command("XYZZY", 550)
    client.command("PWD", 257)


def test_users(scripted, start_gateway, connect):
    backend = scripted()
    gateway = start_gateway(backend, "--deny-user", "root", "--deny-user", "*admin*")
    client = connect(gateway)
    client.command("USER root", 530)
    client.command("USER webadmin", 530)
    client.command("USER  Root ", 530)
    client.command(b"USER ro\xff\xf1ot", 530)
    client.command("USER user", 331)
    assert backend.commands == ["USER user"]
    assert len(gateway.settled().events("command.refused", reason="user_denied")) == 4
    only = connect(start_gateway(backend, "--allow-user", "us?r"))
    only.command("USER other", 530)
    only.command("USER user", 331)


def test_hide_backend(scripted, start_gateway, connect):
    backend = scripted()
    backend.greeting = b"220 filer7.internal\r\n"
    backend.on("PASS", b"230-filer7 welcomes you\r\n230 Have fun\r\n")
    backend.on("STAT", b"211-filer7 status\r\n Listening on 10.9.8.7:21 and [fd00::7]\r\n211 End\r\n")
    backend.on("QUIT", b"221 filer7 says goodbye\r\n")
    client = connect(start_gateway(backend, "--hide-backend"))
    client.command("USER user", 331)
    assert client.command("PASS secret", 230).raw == b"230 Logged in.\r\n"
    status = client.command("STAT", 211).text
    assert "10.9.8.7" not in status and "fd00::7" not in status and "127.0.0.1:21" in status
    assert client.command("PWD", 257).raw == b'257 "/" is where you are.\r\n'
    assert "filer7" not in client.command("QUIT", 221).text


def test_the_greeting_is_the_gateways(scripted, start_gateway, connect):
    backend = scripted()
    backend.greeting = b"220 filer7.internal version 1.2.3\r\n"
    gateway = start_gateway(backend, "--greeting", "Hello there")
    with Connection.dial(gateway.address()) as connection:
        assert connection.read_line() == b"220 Hello there\r\n"
    client = connect(gateway)
    assert "filer7" not in client.command("USER user", 331).text


def test_nothing_for_two_servers_at_once(scripted, start_gateway, connect):
    """FXP and what prepares it."""
    backend = scripted()
    client = connect(start_gateway(backend), login=backend)
    for line in ["SSCN ON", "SSCN", "CPSV", "SPSV", "LPSV", "LPRT 4,4,127,0,0,1,2,100,0", "P@SW"]:
        client.command(line, 502)
    client.command("MODE Z", 504)
    client.command("MODE B", 504)
    client.command("STRU R", 504)
    client.command("REIN", 502)
    assert not {"SSCN", "CPSV", "SPSV", "LPSV", "LPRT", "P@SW", "STRU", "REIN", "MODE"} & set(backend.verbs())


def test_epsv_all(scripted, start_gateway, connect):
    backend = scripted()
    backend.files["a"] = b"content"
    client = connect(start_gateway(backend), login=backend)
    client.command("EPSV ALL", 200)
    for line in ["PASV", "PORT 127,0,0,1,100,0", "EPRT |1|127.0.0.1|25600|"]:
        client.command(line, 503)
    assert client.download("a", "EPSV") == b"content"
    assert "ALL" not in " ".join(backend.commands)
