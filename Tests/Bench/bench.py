#!/usr/bin/env python3
"""Measures the gateway beside its peers: `make bench`, or

    Tests/Bench/bench.py [--quick] [--only SCENARIO,...] [--peers NAME,...] [--rounds N] [--scale X] [--add]

Prints a table; writes results.json, table.md and plot.svg. CPU is what /proc says of the peer's processes, and is the figure to
compare: seconds on the clock depend on the load generator, which shares the machine. README.md beside this file says more.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import peers
import plot
import report
import scenarios
from processes import PROJECT, Backend, Missing, compile_programs, raise_limits, scratch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about two minutes, with more noise")
    parser.add_argument("--only", default="", help=f"scenarios, with commas: {','.join(scenarios.ALL)}")
    parser.add_argument("--peers", default="", help="only these beside the gateway, with commas; 'none' for none")
    parser.add_argument("--rounds", type=int, help="turns of each comparison; default 5, quick 1")
    parser.add_argument("--scale", type=float, help="size of each measurement; default 1, quick 0.25")
    parser.add_argument("--add", action="store_true", help="add to what earlier runs have left in the output folder")
    parser.add_argument("--output", type=Path, default=PROJECT / ".build" / "bench")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(scenarios.ALL)
    unknown = [name for name in chosen if name not in scenarios.ALL]
    if unknown:
        parser.error(f"no scenario is named {', '.join(unknown)}; there are {', '.join(scenarios.ALL)}")
    try:
        peers.Gateway.program()
    except Missing as error:
        sys.exit(f"bench: {error}")
    run(arguments, chosen)


def run(arguments, chosen):
    raise_limits()
    load, backend_program = compile_programs()
    folder = scratch()
    backend = Backend(backend_program, folder)
    began = time.monotonic()

    def say(text):
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    bench = scenarios.Bench(
        folder,
        load,
        backend,
        peers.Certificate(folder),
        say,
        rounds=arguments.rounds or (1 if arguments.quick else 5),
        scale=arguments.scale or (0.25 if arguments.quick else 1),
        only=[name.strip() for name in arguments.peers.split(",")] if arguments.peers else [],
    )
    if arguments.add and (arguments.output / "results.json").exists():
        bench.values = json.loads((arguments.output / "results.json").read_text())["values"]
    try:
        for name in chosen:
            say(f"{name}: {scenarios.ALL[name].__doc__}")
            scenarios.ALL[name](bench)
    finally:
        backend.stop()
        shutil.rmtree(folder, ignore_errors=True)
    write(arguments.output, bench)


def write(output, bench):
    output.mkdir(parents=True, exist_ok=True)
    results = bench.results()
    found = {
        "machine": {"processors": os.cpu_count(), "kernel": platform.release(), "model": processor()},
        "medians": results,
        "values": bench.values,
        "skipped": bench.skipped,
    }
    (output / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    table = report.table(results, bench.skipped)
    (output / "table.md").write_text(table)
    (output / "plot.svg").write_text(plot.draw(results))
    print(table)
    print(f"written: {output}/results.json, table.md, plot.svg")


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
