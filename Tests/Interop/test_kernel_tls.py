"""--ktls: the kernel encrypts long downloads where it can; where it cannot, all is as without it, unless that is refused.

What a kernel that can really does is tested on one: Tests/Kernel.
"""

import errno
import re
import socket
import subprocess
import urllib.request

import clients
import pytest
from clients import Route, some_bytes
from gateway import StartFailed, binary
from processes import wait_until

LONG = some_bytes(5 * 1024 * 1024 + 17)
TCP_ULP = 31


def _kernel_can():
    """Asked as the gateway asks, and by other means."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except OSError as error:
            return error.errno == errno.ENOTCONN
    return True


def _downloads(gateway):
    """Of the metrics: by whom how many were encrypted."""
    with urllib.request.urlopen(f"http://{gateway.ready['admin']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {by: int(count) for by, count in re.findall(r'^ftpsgate_encrypted_downloads_total\{by="(\w+)"\} (\d+)$', text, re.M)}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("choice", ["auto", "on", "off"])
def test_every_choice_moves_the_same_bytes(choice, version, start_backend, start_gateway, scratch):
    backend = start_backend("vsftpd")
    if choice == "on" and not _kernel_can():
        with pytest.raises(StartFailed) as failure:
            start_gateway(backend, "--ktls", choice)
        assert failure.value.status == 64
        assert "--ktls on: this kernel does not encrypt for sockets" in failure.value.log
        return
    gateway = start_gateway(backend, "--ktls", choice, "--admin", "127.0.0.1:0")
    route = Route(gateway, backend, tls=version)
    backend.put("long", LONG)
    backend.put("short", b"short")
    for client in (clients.curl, clients.lftp):
        assert client.download(route, "long") == LONG
        assert client.download(route, "short") == b"short"
        client.upload(route, "back", LONG)
        assert (backend.files / "back").read_bytes() == LONG
    wait_until(lambda: len(gateway.events("transfer")) >= 6, what="every transfer is in the log")
    counts = _downloads(gateway)
    told = {name for name in ("ktls.present", "ktls.absent") if gateway.events(name)}
    if choice == "off":
        assert counts == {} and told == set()
    elif _kernel_can():
        assert counts == {"kernel": 2, "gateway": counts["gateway"]} and told == {"ktls.present"}
    else:
        assert counts == {} and told == {"ktls.absent"}


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_check_says_whether_the_kernel_can(choice, scratch):
    command = [binary(), "check", "--backend", "127.0.0.1:21", "--state-directory", scratch, "--ktls", choice]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if choice == "auto" or _kernel_can():
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 64
        sentence = re.escape("this kernel does not encrypt for sockets (")
        assert re.fullmatch(rf"ftpsgate: --ktls on: {sentence}.*\); load its module with modprobe tls.*\n", done.stderr), (
            done.stderr
        )
