"""F19: what it does to bind a process to one CPU, as `taskset -c 0` does.

Both sides are ours, and take turns, each in a process of its own: one is bound to a CPU, the other
may run on all of them. Python runs one thread at a time in either case. On one CPU a thread that
another one wakes needs no other core to wake up, but must wait until the waker sleeps.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

from benchmarks import f03_latency, f10_loop, pipelines
from benchmarks.common import Options, Row, in_fresh_process, paired_row, percentile

ID = "F19"
PAIRS = 3
SAMPLES = 1_000
EVENTS = 100_000
CASES = (
    ("latency", "idle latency, p50", "µs"),
    ("tail", "idle latency, p99", "µs"),
    ("bare", "idle latency of a bare thread, p50", "µs"),
    ("loop", "chain of 3, the last re-schedules", "events/s"),
    ("ring", "three bare hand-overs", "rounds/s"),
    ("live", "schedule(), chain of 3", "items/s"),
)


def run(options: Options) -> Iterator[Row]:
    pinned: list[dict[str, float]] = []
    free: list[dict[str, float]] = []
    for _ in range(options.repeats(PAIRS)):
        for binding, figures in (("pinned", pinned), ("free", free)):
            size = "quick" if options.quick else "full"
            figures.append(in_fresh_process("f19_pinned", binding, size))
    for kind, case, unit in CASES:
        yield paired_row(
            ID,
            f"{case}, bound to one CPU",
            [(mine[kind], other[kind]) for mine, other in zip(pinned, free, strict=True)],
            unit=unit,
            peer_name=f"on {len(os.sched_getaffinity(0))} CPUs",
            target=None,
            tags={"kind": kind},
        )


# --- in the fresh process ---------------------------------------------------------------------


def main() -> None:
    binding, size = sys.argv[1:]
    if binding == "pinned":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps(measure(Options(quick=size == "quick", pairs=1))))


def measure(options: Options) -> dict[str, float]:
    """Return the figures of all cases, by kind."""
    mine, bare = f03_latency.one_round(options.size(SAMPLES))
    return {
        "latency": percentile(mine, 50) / 1e3,
        "tail": percentile(mine, 99) / 1e3,
        "bare": percentile(bare, 50) / 1e3,
        "loop": f10_loop.our_rate(3, 2, options),
        "ring": f10_loop.ring_rate(3, options),
        "live": pipelines.fed_rate(options.size(EVENTS)),
    }


if __name__ == "__main__":
    main()
