"""Thousands of sessions at once: the benchmark's load generator before the gateway, and its backend behind it."""

import importlib.util
import resource
from concurrent.futures import ThreadPoolExecutor

from processes import PROJECT

# Its processes are another module than the tests' own.
_spec = importlib.util.spec_from_file_location("bench_processes", PROJECT / "Tests" / "Bench" / "processes.py")
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)


class Crowd:
    """Sessions of the load generator in one of its modes, which are there when this is, until `end`."""

    processes = 4

    def __init__(self, folder):
        bench.raise_limits()
        self._folder = folder
        self._load, program = bench.compile_programs()
        self._backend = bench.Backend(program, folder)
        self._loads = []
        self.address = f"127.0.0.1:{self._backend.ftp}"

    def join(self, gateway, mode, count, **settings):
        """Each of the load generator's processes logs in one after the other."""

        def some(_):
            return bench.Load(
                self._load, mode, self._folder, port=gateway.port(), connections=count // self.processes, **settings
            )

        with ThreadPoolExecutor(self.processes) as pool:
            self._loads += pool.map(some, range(self.processes))

    def end(self):
        for process in [*self._loads, self._backend]:
            process.stop()


def descriptors():
    """How many a process here may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
