"""`--workers auto`: as many as the processors that the process may use."""

import contextlib
import os
from pathlib import Path

import pytest
from processes import wait_until

NOWHERE = "127.0.0.1:1"


def _workers(gateway):
    """All threads are there once the line `ready` is; each has the first one's name until it names itself."""
    process = Path(f"/proc/{gateway.pid}")

    def names():
        return [(task / "comm").read_text() for task in (process / "task").iterdir()]

    wait_until(lambda: names().count((process / "comm").read_text()) == 1, what="names of all threads but the first")
    return sum(name.startswith("worker-") for name in names())


def _start(start_gateway, *launcher):
    return start_gateway(NOWHERE, "--workers", "auto", launcher=launcher)


def test_as_many_as_processors(start_gateway):
    assert _workers(_start(start_gateway)) == len(os.sched_getaffinity(0))


def test_only_those_that_affinity_leaves(start_gateway):
    one = min(os.sched_getaffinity(0))
    assert _workers(_start(start_gateway, "taskset", "--cpu-list", str(one))) == 1


@pytest.fixture
def control_group():
    """Makes a control group of such a quota in microseconds for each 100 ms, with a group in it; gives the inner one's list of
    processes. They go with the test."""
    made = []

    def make(quota):
        root = Path("/sys/fs/cgroup")
        is_version_2 = (root / "cgroup.controllers").is_file()
        outer = (root if is_version_2 else root / "cpu") / f"ftpsgate-{os.getpid()}-{quota}"
        inner = outer / "inner"
        try:
            if is_version_2:
                (root / "cgroup.subtree_control").write_text("+cpu")
            for folder in (outer, inner):
                folder.mkdir()
                made.append(folder)
            if is_version_2:
                (outer / "cpu.max").write_text(f"{quota} 100000")
            else:
                (outer / "cpu.cfs_quota_us").write_text(str(quota))
        except OSError as error:
            pytest.skip(f"no control group for processors can be made here: {error}")
        return inner / "cgroup.procs"

    yield make
    for folder in reversed(made):
        with contextlib.suppress(OSError):
            wait_until(lambda folder=folder: not (folder / "cgroup.procs").read_text(), 10)
            folder.rmdir()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a quota below one processor is no other than none")
def test_only_those_that_a_quota_leaves(control_group, start_gateway):
    """A parent's quota counts as one's own does."""
    processes = control_group(90_000)
    gateway = _start(start_gateway, "sh", "-c", f'echo $$ > {processes}; exec "$@"', "sh")
    assert str(gateway.pid) in processes.read_text().split()
    assert _workers(gateway) == 1
