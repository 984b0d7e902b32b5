"""`--user`: started by root, the gateway gives root up for good once keys are read and ports are open."""

import os
import pwd
import re
import signal
from pathlib import Path

import pytest
from gateway import StartFailed
from processes import wait_until
from raw_client import RawClient, tls_context

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = pwd.getpwnam("nobody")


def identities(pid):
    """Real, effective, saved and file-system ids, and groups, of every thread."""
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        text = status.read_text()
        fields = {name: value.split() for name, value in re.findall(r"^(\w+):[ \t]*(.*)$", text, re.M)}
        yield fields["Uid"], fields["Gid"], fields["Groups"], fields["CapEff"], fields["CapPrm"], fields["NoNewPrivs"]


@pytest.mark.parametrize("account", ["nobody", f"nobody:{NOBODY.pw_gid}", f"{NOBODY.pw_uid}:{NOBODY.pw_gid}"])
def test_no_thread_stays_root(backends, start_gateway, scratch, account):
    backend = backends("pyftpdlib")
    gateway = start_gateway(backend, "--user", account, "--admin", "0", identity=None)
    users, groups = [str(NOBODY.pw_uid)] * 4, [str(NOBODY.pw_gid)] * 4
    for identity in identities(gateway.pid):
        assert identity == (users, groups, [], ["0" * 16], ["0" * 16], ["1"])
    with RawClient(gateway.address(), context=tls_context()) as client:
        client.expect(220)
        client.secure()
        client.login(backend.user, backend.password)
        backend.put("as-nobody", b"read")
        assert client.download(backend.path("as-nobody")) == b"read"


def test_its_own_certificate_can_still_be_read_again(backends, start_gateway):
    gateway = start_gateway(backends("pyftpdlib"), "--user", "nobody", identity=None)
    key = next(Path(gateway.log_path).parent.glob("state/*.key"))
    assert key.stat().st_uid == NOBODY.pw_uid and key.stat().st_mode & 0o777 == 0o600
    gateway.signal(signal.SIGHUP)
    gateway.wait_for_event("reload.done")


def test_a_key_that_only_root_may_read_is_read_first(backends, start_gateway, identity):
    os.chmod(identity.key, 0o400)
    gateway = start_gateway(backends("pyftpdlib"), "--user", "nobody")
    wait_until(lambda: identity_of(gateway.pid) == str(NOBODY.pw_uid), 5, "root is given up")


def identity_of(pid):
    return re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1]


@pytest.mark.parametrize("account", ["root", "0", "nobody-by-this-name", "nobody:no-group-by-this-name", ":", "nobody:x:y"])
def test_who_is_no_such_user(backends, start_gateway, account):
    with pytest.raises(StartFailed) as failure:
        start_gateway(backends("pyftpdlib"), "--user", account)
    assert failure.value.status == 64
    assert f"--user {account}: not a value that it can have" in failure.value.log
