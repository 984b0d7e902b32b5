#!/usr/bin/env python3
"""Kernel TLS on a kernel that has it, whatever this machine's own has. `make test-ktls`

Boots Debian's kernel in qemu, without a network and without a disk: the guest sees this machine's files, read-only, and so runs
the gateway, the servers and the clients of the interop tests. In there `inside.sh` runs the tests of --ktls, and others under
--ktls=on. Nothing is left behind but what is under .build/kernel; the guest ends with this program, and after 15 minutes.

    Tests/Kernel/run.py                                   all
    Tests/Kernel/run.py test_kernel_tls -k 'aborts'       words for pytest, after the modules, instead of the lists below
"""

import ctypes
import gzip
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / ".build" / "kernel"
LIMIT = int(os.environ.get("FTPSGATE_KERNEL_SECONDS", "900"))

# What the kernel needs to see this machine's files, and to encrypt.
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "tls", "aesni_intel", "ghash_clmulni_intel", "gcm", "ctr"]
MODULES += ["chacha20poly1305", "chacha_x86_64", "poly1305_x86_64"]
# All of these must run and pass: a test that finds no kernel TLS is left out where it runs elsewhere.
OWN = ["test_kernel_tls"]
# These know nothing of kernel TLS, and must not notice it.
OTHERS = ["test_truncation", "test_abort"]
# This one wants control groups of version 2, which not every machine has.
OTHERS += ["test_workers"]

INIT = """#!/bin/sh
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in {modules}; do modprobe $module || echo "kernel: no module $module"; done
mkdir -p /host
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /host || echo "kernel: no 9p"
for fs in proc sys dev; do mount -o bind /$fs /host/$fs; done
mount -t cgroup2 cgroup /host/sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /host/run
ip link set lo up
FTPSGATE={binary} chroot /host /bin/bash {inside} {words}
echo "kernel: status $?"
poweroff -f
"""


class Problem(Exception):
    """What is missing, and what to do."""


def kernel():
    """The folder of the newest unpacked kernel (Tests/dependencies.sh kernel)."""
    found = sorted(FOLDER.glob("image/boot/vmlinuz-*"))
    if not found:
        raise Problem(f"no kernel under {FOLDER}: run Tests/dependencies.sh kernel")
    return found[-1]


def make_ramdisk(image, words):
    """The first file system: BusyBox, the modules, and `init`."""
    version = image.name.removeprefix("vmlinuz-")
    modules = FOLDER / "image/lib/modules" / version
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        name, _, rest = line.partition(":")
        needs[re.sub(r"\.ko.*", "", Path(name).name).replace("-", "_")] = [name, *rest.split()]
    files = {}
    for wanted in MODULES:
        if wanted not in needs:
            raise Problem(f"{image.name} has no module {wanted}: is it Debian's?")
        for name in needs[wanted]:
            files[f"lib/modules/{version}/{name}"] = (0o644, (modules / name).read_bytes())
    files[f"lib/modules/{version}/modules.dep"] = (0o644, (modules / "modules.dep").read_bytes())
    busybox = Path("/bin/busybox").read_bytes()
    for name in ("sh", "mount", "modprobe", "mkdir", "ip", "chroot", "poweroff", "echo"):
        files[f"bin/{name}"] = (0o755, busybox)
    inside = Path(__file__).with_name("inside.sh")
    binary = os.environ.get("FTPSGATE") or PROJECT / ".build/release/ftpsgate"
    script = INIT.format(
        modules=" ".join(MODULES), inside=shlex.quote(str(inside)), binary=shlex.quote(str(binary)), words=shlex.join(words)
    )
    files["init"] = (0o755, script.encode())
    target = FOLDER / "ramdisk.gz"
    with gzip.open(target, "wb", compresslevel=1) as archive:
        archive.write(_cpio(files))
    return target


def _cpio(files):
    """An archive of the format `newc`, with the folders that the files are in; the same file under several names is kept once."""
    entries = [(folder, 0o040755, b"") for folder in _folders(files) | {"proc", "sys", "dev", "host"}]
    entries.sort()
    entries += [(name, 0o100000 | mode, content) for name, (mode, content) in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    out = bytearray()
    for number, (name, mode, content) in enumerate(entries, 1):
        fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4)
        out += content
        out += bytes(-len(out) % 4)
    return bytes(out)


def _folders(files):
    return {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}


def boot(image, ramdisk):
    """Runs the guest to its end, and gives every line of its console."""
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024"),
        *("-nodefaults", "-nic", "none", "-display", "none", "-serial", "stdio", "-no-reboot"),
        *("-kernel", image, "-initrd", ramdisk, "-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
        *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
    ]
    lines = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_end_with_parent
    ) as guest:
        clock = threading.Timer(LIMIT, guest.kill)
        clock.start()
        try:
            for line in guest.stdout:
                text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line.decode(errors="replace")).rstrip()
                lines.append(text)
                print(text, flush=True)
        finally:
            clock.cancel()
            guest.kill()
    return lines


def _end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def judge(lines, words):
    """Everything that is wrong."""
    problems = []
    if "kernel: status 0" not in lines:
        problems.append(f"the guest did not end well, or not within {LIMIT} s")
    results = dict(re.findall(r"^(Tests/Interop/\S+::\S+(?: .*\])?) (PASSED|FAILED|ERROR|SKIPPED)", "\n".join(lines), re.M))
    problems += [f"{name}: {result}" for name, result in results.items() if result in ("FAILED", "ERROR")]
    own = {name: result for name, result in results.items() if any(f"/{module}.py::" in name for module in OWN)}
    problems += [f"{name}: {result}" for name, result in own.items() if result == "SKIPPED"]
    if not words:
        for module in OWN + OTHERS:
            if not any(f"/{module}.py::" in name for name in results):
                problems.append(f"{module}: none of its tests ran")
    passed = sum(result == "PASSED" for result in results.values())
    stat = re.findall(r"^kernel: (Tls\w+)\s+(\d+)$", "\n".join(lines), re.M)
    counts = ", ".join(f"{name} {count}" for name, count in stat if count != "0")
    print(f"\ntest-ktls: {passed} passed, {len(problems)} problems; the kernel counted {counts or 'nothing'}")
    return problems


def main():
    words = sys.argv[1:]
    try:
        image = kernel()
        ramdisk = make_ramdisk(image, words or [*OWN, *OTHERS])
        problems = judge(boot(image, ramdisk), words)
    except Problem as problem:
        sys.exit(f"test-ktls: {problem}")
    for problem in problems:
        print(f"test-ktls: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
