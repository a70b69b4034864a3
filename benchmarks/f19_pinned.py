"""F19: what it does to bind a process to one CPU, as `taskset -c 0` does.

Both sides are ours, and take turns, each in a process of its own: one is bound to a CPU, the other
may run on all of them. Python runs one thread at a time in either case. On one CPU a thread that
another one wakes needs no other core to wake up, but must wait until the waker sleeps.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.common import Measure, Options, Row, in_fresh_process, interleave, paired_row

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
    for kind, case, unit in CASES:
        samples = interleave(
            _in_process(kind, "pinned", options),
            _in_process(kind, "free", options),
            options.repeats(PAIRS),
        )
        yield paired_row(
            ID,
            f"{case}, bound to one CPU",
            samples,
            unit=unit,
            peer_name=f"on {len(os.sched_getaffinity(0))} CPUs",
            target=None,
            tags={"kind": kind},
        )


def _in_process(kind: str, binding: str, options: Options) -> Measure:
    size = "quick" if options.quick else "full"
    return lambda: float(in_fresh_process("f19_pinned", kind, binding, size))


# --- in the fresh process ---------------------------------------------------------------------


def main() -> None:
    kind, binding, size = sys.argv[1:]
    if binding == "pinned":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps(_measures(Options(quick=size == "quick", pairs=1))[kind]()))


def _measures(options: Options) -> dict[str, Callable[[], Any]]:
    from benchmarks import f03_latency, f10_loop, pipelines  # noqa: PLC0415
    from benchmarks.common import percentile  # noqa: PLC0415

    samples = options.size(SAMPLES)
    return {
        "latency": lambda: percentile(f03_latency.one_round(samples)[0], 50) / 1e3,
        "tail": lambda: percentile(f03_latency.one_round(samples)[0], 99) / 1e3,
        "bare": lambda: percentile(f03_latency.one_round(samples)[1], 50) / 1e3,
        "loop": lambda: f10_loop.our_rate(3, 2, options),
        "ring": lambda: f10_loop.ring_rate(3, options),
        "live": lambda: pipelines.fed_rate(options.size(EVENTS)),
    }


if __name__ == "__main__":
    main()
