"""The floor of what components cost: bare threads in a ring, with a `SimpleQueue` between two.

One item goes round. Each thread takes it from its queue, calls its function, if it has one, and
puts the result into the next thread's queue. So each round wakes each thread once.
"""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.common import BenchmarkError

Work = Callable[[Any], Any]
Queue = queue.SimpleQueue[Any]


def rate(works: Sequence[Work | None], *, warm_up: float, seconds: float) -> float:
    """Return rounds/s of a ring with a thread for each of `works`. The first item is 1."""
    queues = [Queue() for _ in works]
    passed = 0
    failures: list[Exception] = []

    def bare(source: Queue, sink: Queue) -> None:
        while (item := source.get()) is not None:
            sink.put(item)

    def working(source: Queue, sink: Queue, work: Work) -> None:
        while (item := source.get()) is not None:
            sink.put(work(item))

    def counting(source: Queue, sink: Queue) -> None:
        nonlocal passed
        while (item := source.get()) is not None:
            passed += 1
            sink.put(item)

    def counting_and_working(source: Queue, sink: Queue, work: Work) -> None:
        nonlocal passed
        while (item := source.get()) is not None:
            passed += 1
            sink.put(work(item))

    def run(loop: Callable[..., None], *arguments: Any) -> None:
        try:
            loop(*arguments)
        except Exception as cause:  # it would leave the others waiting for ever
            failures.append(cause)
        finally:
            arguments[1].put(None)

    threads: list[threading.Thread] = []
    for source, sink, work in zip(queues, [*queues[1:], queues[0]], works, strict=True):
        if work is None:
            arguments: tuple[Any, ...] = (bare if threads else counting, source, sink)
        else:
            arguments = (working if threads else counting_and_working, source, sink, work)
        threads.append(threading.Thread(target=run, args=arguments))
    for thread in threads:
        thread.start()
    queues[0].put(1)
    try:
        time.sleep(warm_up)
        gc.collect()
        before, begin = passed, time.perf_counter()
        time.sleep(seconds)
        after, elapsed = passed, time.perf_counter() - begin
    finally:
        queues[0].put(None)
        for thread in threads:
            thread.join()
    if failures:
        raise BenchmarkError(f"a thread of the ring failed: {failures[0]!r}") from failures[0]
    return (after - before) / elapsed
