"""F6: the latency from a signal to its callback, with 8 busy actors and 1,000 circulating events.

A daemon (`f06_child`) runs in a process of its own. Its actors form a ring: each works on an event
(it sleeps 1 ms, or computes for about half a millisecond) and schedules it for the next. In the row
of the flood, four threads outside schedule events in a loop, and the actors only count them. This
process writes the time (`monotonic_ns`) into a shared file and sends SIGWINCH. The callback of the
signal's event first records the time since then. The next signal follows after the last has
arrived, and after a random pause. The target applies to a callback in a component of its own. The
rows for a callback in a busy component are only reported; a flood has none.
"""

from __future__ import annotations

import importlib.util
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import (
    ROOT,
    BenchmarkError,
    Options,
    Row,
    Target,
    percentile,
    require,
    single_row,
    wait_until,
)

ID = "F6"
SIGNALS = {"own": 200, "busy": 100}
WARM_UP = 20  # signals
DAEMONS_INTERVAL = 0.0005  # seconds, the default of a `ZenDaemon`
BOUNDS = {"wait": 10.0, "compute": 50.0, "flood": 50.0}  # ms
ROWS = [
    ("own", "wait"),
    ("own", "compute"),
    ("busy", "wait"),
    ("busy", "compute"),
    ("own", "flood"),
]
SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.012  # seconds


def run(options: Options) -> Iterator[Row]:
    lifecycle = importlib.util.find_spec("zenactors.daemon.zendaemon")
    for handler, work in ROWS:
        where = "an idle" if handler == "own" else "a busy"
        load = "four flooding threads" if work == "flood" else f"actors {work}"
        case = f"signal to callback p99, {load}, in {where} component"
        target = Target(bound=BOUNDS[work], at_least=False, of="ours", unit="ms")
        if lifecycle is None:
            note = "zenactors.daemon.zendaemon is missing"
            yield Row(id=ID, case=case, target=target, verdict="not built", note=note)
            continue
        latencies, work_rate = measure(work, handler, options.size(SIGNALS[handler], quick=40))
        p50, p99, worst = (percentile(latencies, p) for p in (50, 99, 100))
        yield single_row(
            ID,
            case,
            [p99],
            unit="ms",
            target=target if handler == "own" else None,
            note=f"{len(latencies)} signals; p50 {p50:.2f}, worst {worst:.1f} ms;"
            f" meanwhile {work_rate:,.0f} work events/s",
        )


def measure(
    work: str,
    handler: str,
    count: int,
    policy: str = "default",
    interval: float = DAEMONS_INTERVAL,
) -> tuple[list[float], float]:
    """Return the latencies in milliseconds, and the work events per second meanwhile."""
    # Not at the top: the child's module needs the daemon, which may be missing.
    from benchmarks.f06_child import ACTORS, CAUGHT, LATENCIES, SENT, WORK  # noqa: PLC0415

    total = WARM_UP + count
    with tempfile.TemporaryDirectory(prefix="bench-f06-") as directory:
        path = Path(directory, "board")
        path.write_bytes(bytes(8 * (LATENCIES + total)))
        log = Path(directory, "log")
        with path.open("r+b") as file:
            cells = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        with log.open("wb") as output:
            arguments = [str(path), work, handler, policy, str(interval)]
            child = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.f06_child", *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

        def alive(predicate: bool) -> bool:  # noqa: FBT001
            require(child.poll() is None, f"the daemon ended with status {child.returncode}")
            return predicate

        def work_done() -> int:
            return sum(cells[WORK : WORK + ACTORS])

        try:
            wait_until(
                lambda: alive(all(cells[WORK : WORK + ACTORS])), what="all actors to be busy"
            )
            time.sleep(0.3)
            before, begin = work_done(), time.monotonic()
            for number in range(total):
                time.sleep(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
                cells[SENT] = time.monotonic_ns()
                os.kill(child.pid, signal.SIGWINCH)
                wait_until(
                    lambda number=number: alive(cells[CAUGHT] > number),  # type: ignore[misc]
                    timeout=10.0,
                    what="a signal's callback",
                )
            elapsed, done = time.monotonic() - begin, work_done() - before
            require(done > 0, "no events circulated")
        except BenchmarkError as cause:
            child.kill()
            child.wait()
            raise BenchmarkError(f"{cause}\n{log.read_text()[-2000:]}") from cause
        finally:
            _end(child)
        latencies = [
            nanoseconds / 1e6 for nanoseconds in cells[LATENCIES + WARM_UP : LATENCIES + total]
        ]
    require(min(latencies) > 0, "a latency is missing")
    return latencies, done / elapsed


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(10.0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
