#!/usr/bin/env python3
"""The regression gate: what is repeatable enough to fail a build, in about half a minute. `make bench-gate`

System calls for a GiB and for a small file are counted by strace; instructions for a NOOP, a small file, a start and a health
check by valgrind (callgrind), since CPU seconds on a busy machine are not repeatable; memory of idle sessions is read from
/proc. What is missing on the machine is named and left out.
"""

import shutil
import subprocess
import sys
import time

import peers
import scenarios
from processes import Backend, Missing, compile_programs, find, raise_limits, scratch

# No more than these: a third to a half over what is measured. Calls for a GiB vary with the client's pace: twice the measured.
LIMITS = {
    "system calls/GiB, download": 8_000,
    "system calls/GiB, upload": 8_000,
    "system calls/file": 60,
    "instructions/NOOP": 100_000,
    "instructions/file": 3_600_000,
    # Of a start and its end, with 10 passive ports: OpenSSL reads a key and a certificate in 17 million.
    "instructions/start": 42_000_000,
    "instructions/start, each passive port": 16_000,
    "instructions/healthcheck": 18_000_000,
    # Measured: 15.4 to 15.7; the goal is 16.
    "KiB/idle session": 16.2,
    "KiB/idle session after a file": 16.2,
    "KiB/idle session, TLS 1.2": 16.2,
}


class Callgrind(peers.Gateway):
    """The gateway on valgrind's processor, which counts instructions."""

    name, patience, passive_ports = "callgrind", 60, 10

    def arguments(self):
        program, *rest = super().arguments()
        return [*counting(program, self.folder), *rest]

    def instructions(self):
        """So many until its end, which this is."""
        self.stop()
        return counted(self.folder)


class CallgrindManyPorts(Callgrind):
    passive_ports = 510


def counting(program, folder):
    """Words before a program's arguments that have its instructions counted."""
    # Valgrind gives up at debug information that is newer than itself.
    stripped = folder / "ftpsgate"
    subprocess.run([find("strip"), "-o", stripped, program], check=True)
    log = folder / "callgrind.log"
    return [find("valgrind"), "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}", stripped]


def counted(folder):
    text = (folder / "callgrind.log").read_text()
    for line in text.splitlines():
        if "Collected" in line:
            return int(line.rpartition(":")[2])
    raise RuntimeError(f"callgrind counted nothing:\n{text[-1000:]}")


def system_calls(bench):
    strace = find("strace")
    with bench.running([peers.Gateway]) as started:
        for direction in ("down", "up"):
            # The lowest of three: what else runs on the machine makes batches smaller.
            counts = [scenarios.count_calls(bench, strace, started[0], direction) for _ in range(3)]
            yield f"system calls/GiB, {direction}load", min(counts)
        yield "system calls/file", scenarios.count_calls_of_files(bench, strace, started[0])


def memory(bench):
    """What so many idle sessions take more than a few: what the first ones warm up drops out."""
    few, many = 100, 1000
    for what, settings in (("", {}), (" after a file", {"files": 1}), (", TLS 1.2", {"version": "1.2"})):
        with bench.running([peers.Gateway]) as started:
            peer = started[0]
            first = bench.load("idle", peer, connections=few, **settings)
            before = peer.process.memory()
            rest = bench.load("idle", peer, connections=many, **settings)
            held = peer.process.memory() - before
            first.close()
            rest.close()
        yield f"KiB/idle session{what}", held / many / 1024


def instructions(bench):
    """The difference between many and few: start-up and login drop out."""
    find("valgrind")
    for what, mode, few, many in (("NOOP", "noop", 100, 1100), ("file", "files", 10, 110)):
        counts = []
        for count in (few, many):
            with bench.running([Callgrind]) as started:
                if not started:
                    raise Missing(f"the gateway does not run under valgrind: {bench.skipped}")
                load = bench.load(mode, started[0], seconds=60, count=count)
                load.go()
                load.result()
                load.close()
                time.sleep(0.1)
                counts.append(started[0].instructions())
        yield f"instructions/{what}", (counts[1] - counts[0]) / (many - few)


def instructions_of_starts(bench):
    """Of the shortest lives: ready, told to end, gone; and a health check beside a gateway."""
    counts = []
    for kind in (Callgrind, CallgrindManyPorts):
        with bench.running([kind]) as started:
            if not started:
                raise Missing(f"the gateway does not run under valgrind: {bench.skipped}")
            time.sleep(1)
            counts.append(started[0].instructions())
    yield "instructions/start", counts[0]
    yield "instructions/start, each passive port", (counts[1] - counts[0]) / 500
    with bench.running([GatewayWithAdmin]) as started:
        folder = bench.fresh_folder()
        words = [*counting(peers.Gateway.program(), folder), "healthcheck", *started[0].admin]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        yield "instructions/healthcheck", counted(folder)


class GatewayWithAdmin(peers.Gateway):
    """What a health check asks."""

    @property
    def admin(self):
        return ["--admin", f"unix:{self.folder}/admin"]

    def arguments(self):
        return [*super().arguments(), *self.admin]


def shown(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def main():
    raise_limits()
    load, backend_program = compile_programs()
    folder = scratch()
    backend = Backend(backend_program, folder)
    bench = scenarios.Bench(folder, load, backend, peers.Certificate(folder), lambda text: None, 1, 1, [])
    failed = False
    try:
        peers.Gateway.program()
        for measure in (system_calls, memory, instructions, instructions_of_starts):
            try:
                for what, value in measure(bench):
                    limit = LIMITS[what]
                    failed |= value > limit
                    print(f"{'FAIL' if value > limit else 'ok  '}  {what}: {shown(value)} (at most {limit:,})", flush=True)
            except Missing as error:
                print(f"left out: {error}", flush=True)
    except (Missing, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"bench-gate: {error}")
    finally:
        backend.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if failed:
        sys.exit("bench-gate: more than at most; see Tests/Bench/README.md, or raise the limit and say why in the commit.")


if __name__ == "__main__":
    main()
