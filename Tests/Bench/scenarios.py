"""What is measured. Each scenario runs its peers in turn (A B C, A B C, ...), so that what the machine does meanwhile hits all
of them alike, and keeps the median of each."""

import json
import statistics
import subprocess
import time
from contextlib import contextmanager

import peers
from processes import Backend, Load, Missing, find, tls_alone

GIB = 1 << 30
# What no peer can be better than: OpenSSL's own part.
FLOOR = "TLS alone"
CIPHERS = {
    "AES-128-GCM": "TLS_AES_128_GCM_SHA256",
    "AES-256-GCM": "TLS_AES_256_GCM_SHA384",
    "ChaCha20": "TLS_CHACHA20_POLY1305_SHA256",
}


class Bench:
    """One run: what it has started, and what it has found."""

    def __init__(self, folder, load, backend, certificate, say, rounds, scale, only):
        self.folder, self.load_program, self.backend, self.certificate = folder, load, backend, certificate
        self.say, self.rounds, self.scale, self.only = say, rounds, scale, only
        self.skipped = {}
        # scenario, peer: values of the rounds.
        self.values = {}

    def record(self, scenario, peer, value):
        self.values.setdefault(scenario, {}).setdefault(peer, []).append(value)

    def results(self):
        return {
            scenario: {peer: statistics.median(values) for peer, values in of_peers.items()}
            for scenario, of_peers in self.values.items()
        }

    def load(self, mode, peer, **settings):
        return Load(self.load_program, mode, self.folder, port=peer.port, kind=peer.kind, **{**peer.login, **settings})

    @contextmanager
    def running(self, kinds, **more):
        """Those of the peers that can be started, all at once."""
        started = []
        try:
            for kind in kinds:
                if self.only and kind.name not in self.only and not issubclass(kind, peers.Gateway):
                    continue
                if kind.name in self.skipped:
                    continue
                try:
                    started.append(kind(self.fresh_folder(), self.backend, self.certificate, **more))
                except (Missing, RuntimeError) as error:
                    self.skipped[kind.name] = str(error).strip()
                    self.say(f"  skipped: {kind.name}: {error}")
            yield started
        finally:
            for peer in started:
                peer.stop()

    def fresh_folder(self):
        self.count = getattr(self, "count", 0) + 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        return folder

    def interleave(self, started, body):
        """A peer that fails is left out of this comparison, and named: what remains is still one."""
        taking_part = list(started)
        for _ in range(self.rounds):
            for peer in list(taking_part):
                try:
                    body(peer)
                except RuntimeError as error:
                    if peer.name == peers.Gateway.name:
                        raise
                    taking_part.remove(peer)
                    self.skipped[f"{peer.name} once"] = str(error).strip()
                    self.say(f"  left out: {peer.name}: {error}")

    def measure(self, peer, mode, **settings):
        """One load's result, with the CPU seconds that the peer has spent on it."""
        load = self.load(mode, peer, **settings)
        before = peer.process.cpu()
        load.go()
        result = load.result()
        spent = peer.process.cpu() - before
        load.close()
        return result, max(spent, 1e-9)


def bulk(bench):
    """CPU seconds for a GiB."""
    total = int(bench.scale * GIB)
    with bench.running([peers.Gateway, *peers.RAW, *peers.FTPS]) as started:
        for cipher, connections in (("AES-128-GCM", 8), ("AES-128-GCM", 1), ("AES-256-GCM", 8), ("ChaCha20", 8)):
            for direction in ("down", "up"):

                def once(peer, cipher=cipher, connections=connections, direction=direction):
                    result, cpu = bench.measure(
                        *(peer, "bulk"), direction=direction, connections=connections, bytes=total, cipher=CIPHERS[cipher]
                    )
                    bench.record(f"cpu s/GiB, {direction}, {connections} conn, {cipher}", peer.name, cpu * GIB / result["bytes"])

                bench.interleave(started, once)


def network(bench):
    """CPU seconds for a GiB that comes at a gigabit a second, over one connection: what a network brings, in small pieces."""
    rate, fast = 125_000_000, bench.backend
    total = int(bench.scale * GIB / 4)
    bench.backend = Backend(fast.program, bench.fresh_folder(), rate)
    try:
        with bench.running([peers.Gateway, *peers.RAW]) as started:
            for direction in ("down", "up"):

                def once(peer, direction=direction):
                    result, cpu = bench.measure(
                        *(peer, "bulk"), direction=direction, bytes=total, rate=rate, cipher=CIPHERS["AES-128-GCM"]
                    )
                    bench.record(f"cpu s/GiB at 1 Gbit/s, {direction}", peer.name, cpu * GIB / result["bytes"])

                bench.interleave(started, once)
    finally:
        bench.backend.stop()
        bench.backend = fast


def small_files(bench):
    """Files of 4 KiB for each second of the peer's CPU: over one session, and over eight at a time."""
    with bench.running([peers.Gateway, *peers.FTPS]) as started:
        for version, resume in (("1.3", 1), ("1.3", 0), ("1.2", 1), ("1.2", 0)):
            for sessions in (1, 8) if resume else (1,):
                what = f"TLS {version}, {'resumed' if resume else 'not resumed'}{', 8 sessions' if sessions > 1 else ''}"

                def once(peer, version=version, resume=resume, sessions=sessions, what=what):
                    result, cpu = bench.measure(
                        *(peer, "files"), seconds=bench.scale, version=version, resume=resume, connections=sessions
                    )
                    bench.record(f"4 KiB files/cpu s, {what}", peer.name, result["count"] / cpu)
                    bench.record(f"4 KiB file ms p50, {what}", peer.name, result["p50_us"] / 1000)
                    if peer is started[0]:
                        microseconds = tls_alone(bench.certificate, version, resume)
                        bench.record(f"4 KiB files/cpu s, {what}", FLOOR, 1e6 / microseconds)
                    if resume and sessions == 1:
                        bench.record(f"4 KiB file ms p99, {what}", peer.name, result["p99_us"] / 1000)
                        bench.record(f"resumed share, TLS {version}", peer.name, result["resumed"] / result["count"])

                bench.interleave(started, once)


def logins(bench):
    """Connect, TLS, USER, PASS, PBSZ, PROT, TYPE, QUIT: for each second of the peer's CPU."""
    with bench.running([peers.Gateway, *peers.FTPS]) as started:

        def once(peer):
            result, cpu = bench.measure(peer, "logins", seconds=bench.scale)
            bench.record("logins/cpu s", peer.name, result["count"] / cpu)

        bench.interleave(started, once)
    with bench.running([peers.Gateway, *peers.RAW]) as started:

        def handshakes(peer):
            # Relays connect to the backend at once, the gateway when USER comes; it has AUTH TLS instead.
            result, cpu = bench.measure(peer, "handshakes", seconds=bench.scale)
            bench.record("TLS handshakes/cpu s", peer.name, result["count"] / cpu)

        bench.interleave(started, handshakes)


def commands(bench):
    """NOOPs for each second of CPU, one after the other."""
    with bench.running([peers.Gateway, *peers.FTPS]) as started:

        def once(peer):
            result, cpu = bench.measure(peer, "noop", seconds=bench.scale)
            bench.record("NOOPs/cpu s", peer.name, result["count"] / cpu)
            bench.record("NOOP us p50", peer.name, result["p50_us"])
            bench.record("NOOP us p99", peer.name, result["p99_us"])

        bench.interleave(started, once)


def idle(bench):
    """Memory of a session that does nothing: KiB."""
    for kind in [peers.Gateway, *peers.RAW, *peers.FTPS]:
        count = 50 if kind.forks else 5000 if kind is peers.Gateway else 2000
        if bench.scale < 0.5:
            count = max(50, count // 5)
        with bench.running([kind]) as started:
            for peer in started:
                before = peer.process.memory()
                load = bench.load("idle", peer, connections=count)
                held = peer.process.memory()
                load.close()
                bench.record("idle session KiB", peer.name, (held - before) / count / 1024)
                if kind is peers.Gateway:
                    bench.record("sessions in that", peer.name, count)
                    time.sleep(7)
                    bench.record("MB when they are gone", peer.name, peer.process.resident() / 1e6)


def slow_readers(bench):
    """Downloads that nobody reads: KiB for each, and a NOOP's time beside them."""
    count = 200
    with bench.running([peers.Gateway]) as started:
        for peer in started:
            before = peer.process.resident()
            load = bench.load("slow", peer, connections=count)
            time.sleep(1)
            bench.record("stalled download KiB", peer.name, (peer.process.resident() - before) / count / 1024)
            result, _ = bench.measure(peer, "noop", seconds=1, interval_us=1000)
            bench.record("NOOP ms p99 beside 200 stalled downloads", peer.name, result["p99_us"] / 1000)
            load.close()


def latency(bench):
    """NOOPs beside four downloads; their clients are nice, since on a network they would have machines of their own."""
    with bench.running([peers.Gateway, peers.ModProxy]) as started:

        def once(peer):
            noop = bench.load("noop", peer, seconds=max(1, 3 * bench.scale), interval_us=2000)
            beside = bench.load("bulk", peer, connections=4, bytes=256 * GIB, nice=19)
            beside.go()
            noop.go()
            try:
                result = noop.result()
            finally:
                beside.stop()
            noop.close()
            bench.record("NOOP ms p50 beside 4 downloads", peer.name, result["p50_us"] / 1000)
            bench.record("NOOP ms p99 beside 4 downloads", peer.name, result["p99_us"] / 1000)

        bench.interleave(started, once)


def start_up(bench):
    """From the start of the process to the first byte that its first client gets; memory then."""
    for _ in range(3 * bench.rounds):
        for kind in (peers.ImplicitGateway, peers.HAProxy, peers.Nginx, peers.Hitch, peers.Stunnel):
            with bench.running([kind], stopwatch=bench.load_program.parent / "start") as started:
                for peer in started:
                    line = peer.process.popen.stdout.readline()
                    if not line:
                        bench.skipped[f"{peer.name} once"] = peer.process.log.read_text()[-600:]
                        continue
                    found = json.loads(line)
                    bench.record("start ms, port open", peer.name, found["open"])
                    bench.record("start ms, first client served", peer.name, found["served"])
                    time.sleep(0.3)
                    bench.record("base MB (RSS)", peer.name, peer.process.resident(pid=found["pid"]) / 1e6)


def system_calls(bench):
    """System calls for a GiB over one connection, counted by strace."""
    try:
        strace = find("strace")
    except Missing as error:
        bench.skipped["strace"] = str(error)
        return
    with bench.running([peers.Gateway, *peers.RAW]) as started:
        for direction in ("down", "up"):

            def once(peer, direction=direction):
                bench.record(f"system calls/GiB, {direction}", peer.name, count_calls(bench, strace, peer, direction))

            rounds, bench.rounds = bench.rounds, min(bench.rounds, 3)
            bench.interleave(started, once)
            bench.rounds = rounds


def count_calls(bench, strace, peer, direction, total=GIB // 2):
    """System calls that the peer makes for one GiB."""
    load = bench.load("bulk", peer, direction=direction, bytes=total, cipher=CIPHERS["AES-128-GCM"])
    return _traced(bench, strace, peer, load)[0] * GIB / total


def count_calls_of_files(bench, strace, peer):
    """System calls that the peer makes for one file of 4 KiB."""
    calls, result = _traced(bench, strace, peer, bench.load("files", peer, seconds=20, count=200))
    return calls / result["count"]


def _traced(bench, strace, peer, load):
    summary = bench.folder / "strace"
    pids = [argument for pid in peer.process.tree() for argument in ("-p", str(pid))]
    tracer = subprocess.Popen(
        [strace, "-q", "-c", "-f", "-o", summary, *pids], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        time.sleep(0.5)
        load.go()
        result = load.result()
    finally:
        tracer.terminate()
        tracer.wait(10)
    load.close()
    totals = [line.split() for line in summary.read_text().splitlines() if line.endswith(" total")]
    if not totals:
        raise Missing("strace counted nothing: it may not trace processes here")
    return int(totals[-1][3]), result


ALL = {
    "bulk": bulk,
    "network": network,
    "files": small_files,
    "logins": logins,
    "commands": commands,
    "idle": idle,
    "slow": slow_readers,
    "latency": latency,
    "start": start_up,
    "calls": system_calls,
}
