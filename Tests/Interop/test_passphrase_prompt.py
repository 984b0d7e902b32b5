"""A passphrase typed at a terminal: asked for without an echo, judged, and the terminal left as it was."""

import os
import pty
import select
import signal
import subprocess
import termios
import time

import pytest
from gateway import binary


class Terminal:
    """`ftpsgate cert ...` on a terminal of its own, and someone who types."""

    def __init__(self, folder, *arguments):
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # which some test runners ignore
                os.chdir(folder)
                os.execv(binary(), ["ftpsgate", "cert", *map(str, arguments)])
            finally:
                os._exit(127)
        self.shown = ""
        self._status = None

    def wait_for(self, text, timeout=20.0):
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            assert self._read(deadline), f"{text!r} does not come; on the screen: {self.shown!r}"
        self.shown = self.shown.split(text, 1)[1]

    def _read(self, deadline):
        readable, _, _ = select.select([self.screen], [], [], max(0, deadline - time.monotonic()))
        if not readable:
            return False
        try:
            chunk = os.read(self.screen, 4096)
        except OSError:  # the other end is closed
            return False
        self.shown += chunk.decode()
        return bool(chunk)

    def type(self, text):
        os.write(self.screen, text.encode())

    @property
    def echoes(self):
        return bool(termios.tcgetattr(self.screen)[3] & termios.ECHO)

    def end(self, timeout=20.0):
        """The exit status, negative after a signal, and what was still shown."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        while self._status is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self._status = os.waitstatus_to_exitcode(status)
                break
            assert time.monotonic() < deadline, f"it does not end; on the screen: {self.shown!r}"
            time.sleep(0.01)
        return self._status, self.shown.replace("\r\n", "\n")

    def close(self):
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.screen)


@pytest.fixture
def terminal(scratch):
    opened = []

    def open_one(*arguments):
        one = Terminal(scratch, *arguments)
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        one.close()


def create(terminal, *answers, name="joe"):
    """`cert create --encrypt`, with what is typed twice."""
    typist = terminal("create", name, "--encrypt")
    typist.wait_for(f"New passphrase of {name}.key: ")
    assert not typist.echoes
    typist.type(answers[0] + "\n")
    typist.wait_for("The same again: ")
    typist.type(answers[1] + "\n")
    return typist


def test_a_new_passphrase_is_typed_twice_and_not_shown(terminal, scratch):
    typist = create(terminal, "ge heim ü", "ge heim ü")
    status, shown = typist.end()
    assert status == 0 and "joe.key" in shown
    assert "heim" not in shown
    key = (scratch / "joe.key").read_text()
    assert key.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    subprocess.run(
        ["openssl", "pkey", "-in", scratch / "joe.key", "-passin", "pass:ge heim ü", "-noout"],
        check=True,
        capture_output=True,
        timeout=30,
    )


@pytest.mark.parametrize("answers", [("one", "two"), ("", ""), ("one", "")])
def test_two_that_differ_and_an_empty_one_make_no_key(terminal, scratch, answers):
    status, shown = create(terminal, *answers).end()
    assert status == 64
    assert shown.endswith("ftpsgate: The two passphrases differ, or are empty; try again.\n"), shown
    assert not (scratch / "joe.key").exists()


def test_an_encrypted_key_opens_with_what_is_typed_and_with_nothing_else(terminal, scratch):
    assert create(terminal, "right", "right").end()[0] == 0
    cases = {
        "right": (0, "joe.crt is good until"),
        "wrong": (64, "ftpsgate: The passphrase does not open joe.key; give the one that it was made with.\n"),
        "": (64, "ftpsgate: The passphrase does not open joe.key; give the one that it was made with.\n"),
    }
    for answer, (expected, words) in cases.items():
        typist = terminal("check", "joe")
        typist.wait_for("Passphrase of joe.key: ")
        assert not typist.echoes
        typist.type(answer + "\n")
        status, shown = typist.end()
        assert status == expected and words in shown, shown
        assert not answer or answer not in shown.split("\n")[0]


def test_a_bundle_asks_for_its_own_passphrase(terminal, scratch):
    assert create(terminal, "of the key", "of the key").end()[0] == 0
    typist = terminal("export", "joe")
    typist.wait_for("Passphrase of joe.key: ")
    typist.type("of the key\n")
    typist.wait_for("New passphrase of joe.p12: ")
    typist.type("of the bundle\n")
    typist.wait_for("The same again: ")
    typist.type("of the bundle\n")
    assert typist.end()[0] == 0
    subprocess.run(
        ["openssl", "pkcs12", "-in", scratch / "joe.p12", "-passin", "pass:of the bundle", "-noout"],
        check=True,
        capture_output=True,
        timeout=30,
    )


def test_ctrl_d_is_no_answer(terminal):
    assert create(terminal, "x", "x").end()[0] == 0
    typist = terminal("check", "joe")
    typist.wait_for("Passphrase of joe.key: ")
    typist.type("\x04")
    status, shown = typist.end()
    assert status == 64 and "joe.key is encrypted, and no passphrase was given" in shown


def test_ctrl_c_ends_it_and_the_terminal_echoes_again(terminal, scratch):
    typist = terminal("create", "joe", "--encrypt")
    typist.wait_for("New passphrase of joe.key: ")
    assert typist.echoes is False
    typist.type("half\x03")
    status, _ = typist.end()
    assert status == -signal.SIGINT
    assert typist.echoes
    assert not (scratch / "joe.key").exists()
