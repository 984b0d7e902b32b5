"""Stops one thread of a process, as a loop that is stuck would be, and lets it go on."""

import ctypes
import os
from contextlib import contextmanager
from pathlib import Path

from processes import wait_until

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_ATTACH, _DETACH = 16, 17
_WALL = 0x40000000


def thread(pid, name):
    """The number of the thread of that name, as soon as it has it."""

    def found():
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return next((int(task.name) for task in tasks if (task / "comm").read_text().strip() == name), None)

    return wait_until(found, 5, f"process {pid} has a thread {name}")


@contextmanager
def stopped(number):
    """Within it the thread does not run; the others do. Only a child's, or root's to stop."""
    if _libc.ptrace(_ATTACH, number, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace({number})")
    os.waitpid(number, _WALL)
    try:
        yield
    finally:
        if _libc.ptrace(_DETACH, number, None, None) != 0:
            # The process has ended, and its thread waits for us to hear of it.
            os.waitpid(number, _WALL)
