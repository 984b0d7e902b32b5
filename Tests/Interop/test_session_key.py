"""The third of the four steps, as the founding text has it: the client makes the session key and encrypts it with the server's
public key, so that the server's private key file opens it again. It takes flags to get there; by default it cannot be done.
"""

import hashlib
import hmac
import socket
import ssl
import struct
import subprocess
import threading

import pytest
from certificates import Identity
from gateway import binary


class Recorder:
    """Stands between client and server, passes everything on, and keeps it."""

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.from_client, self.from_server = bytearray(), bytearray()
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self):
        client, _ = self._listener.accept()
        server = socket.create_connection(self._target)
        back = threading.Thread(target=self._pass, args=(server, client, self.from_server), daemon=True)
        back.start()
        self._pass(client, server, self.from_client)
        back.join(10)

    @staticmethod
    def _pass(source, sink, kept):
        source.settimeout(10)
        try:
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def join(self):
        self._threads[0].join(20)
        self._listener.close()


def handshake_messages(stream):
    """(type, message with its header) of all handshake messages in clear: up to the first ChangeCipherSpec."""
    content, place = b"", 0
    while place + 5 <= len(stream):
        kind, length = stream[place], struct.unpack("!H", stream[place + 3 : place + 5])[0]
        if kind == 20:
            break
        if kind == 22:
            content += bytes(stream[place + 5 : place + 5 + length])
        place += 5 + length
    messages = []
    while len(content) >= 4:
        length = int.from_bytes(content[1:4], "big")
        messages.append((content[0], content[: 4 + length]))
        content = content[4 + length :]
    return messages


def prf(secret, label, seed, count):
    """TLS 1.2's pseudo-random function with SHA-256 (RFC 5246 section 5)."""
    seed, block, output = label + seed, label + seed, b""
    while len(output) < count:
        block = hmac.digest(secret, block, "sha256")
        output += hmac.digest(secret, block + seed, "sha256")
    return output[:count]


@pytest.fixture
def rsa(scratch):
    subprocess.run(
        [binary(), "cert", "create", "server", "--key-type", "rsa-2048", "--dns", "localhost"],
        cwd=scratch,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return Identity(scratch / "server.crt", scratch / "server.key")


def record_session(gateway, identity, keylog, ciphers):
    recorder = Recorder(gateway.address("implicit"))
    context = ssl.create_default_context(cafile=identity.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    context.keylog_filename = str(keylog)
    with socket.create_connection(recorder.address, 10) as raw, context.wrap_socket(raw, server_hostname="localhost") as client:
        cipher = client.cipher()[0]
        assert client.recv(4) == b"220 "
    recorder.join()
    return recorder, cipher


BOTH = "AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"


def test_the_legacy_profile_still_prefers_forward_secrecy(backends, start_gateway, scratch, rsa):
    gateway = start_gateway(backends("pyftpdlib"), "--tls-legacy", identity=rsa)
    _, cipher = record_session(gateway, rsa, scratch / "keys", BOTH)
    assert cipher.startswith("ECDHE")


@pytest.mark.parametrize("flags", [("--tls-legacy",), ("--tls-ciphers", "AES128-GCM-SHA256")])
def test_the_key_file_opens_the_session_key_where_rsa_key_exchange_is_switched_on(backends, start_gateway, scratch, rsa, flags):
    gateway = start_gateway(backends("pyftpdlib"), *flags, identity=rsa)
    keylog = scratch / "keys"
    recorder, cipher = record_session(gateway, rsa, keylog, "AES128-GCM-SHA256")
    assert cipher == "AES128-GCM-SHA256"

    from_client = handshake_messages(recorder.from_client)
    key_exchange = next(message for kind, message in from_client if kind == 16)
    (scratch / "encrypted").write_bytes(key_exchange[6:])
    premaster = subprocess.run(
        ["openssl", "pkeyutl", "-decrypt", "-inkey", rsa.key, "-in", scratch / "encrypted", "-pkeyopt", "rsa_padding_mode:pkcs1"],
        check=True,
        capture_output=True,
    ).stdout
    # 48 bytes that the client made, the first two its version.
    assert len(premaster) == 48 and premaster[:2] == b"\x03\x03"

    # And it is the session's: the master secret that follows from it is the one that the client wrote down.
    from_server = handshake_messages(recorder.from_server)
    until_key = [message for kind, message in from_client if kind in (1, 16)]
    transcript = (
        until_key[0] + b"".join(message for kind, message in from_server if kind in (2, 11, 12, 13, 14, 22)) + until_key[1]
    )
    master = prf(premaster, b"extended master secret", hashlib.sha256(transcript).digest(), 48)
    written = next(line.split() for line in keylog.read_text().splitlines() if line.startswith("CLIENT_RANDOM"))
    assert bytes.fromhex(written[1]) == until_key[0][6:38]
    assert master.hex() == written[2]


def test_by_default_nothing_in_the_handshake_is_encrypted_to_the_key_file(backends, start_gateway, scratch, rsa):
    gateway = start_gateway(backends("pyftpdlib"), identity=rsa)
    recorder, cipher = record_session(gateway, rsa, scratch / "keys", BOTH)
    assert cipher.startswith("ECDHE")
    # What the client sends is its half of a key agreement: 65 bytes of a point or 32 of X25519, and no RSA ciphertext.
    key_exchange = next(message for kind, message in handshake_messages(recorder.from_client) if kind == 16)
    assert len(key_exchange) - 5 in (32, 65, 97)
