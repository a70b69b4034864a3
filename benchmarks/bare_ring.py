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

Work = Callable[[Any], Any]
Queue = queue.SimpleQueue[Any]


def rate(works: Sequence[Work | None], *, warm_up: float, seconds: float) -> float:
    """Return rounds/s of a ring with a thread for each of `works`."""
    queues = [Queue() for _ in works]
    passed = 0

    def bare(source: Queue, sink: Queue) -> None:
        while (item := source.get()) is not None:
            sink.put(item)
        sink.put(None)

    def working(source: Queue, sink: Queue, work: Work) -> None:
        while (item := source.get()) is not None:
            sink.put(work(item))
        sink.put(None)

    def count(source: Queue, sink: Queue) -> None:
        nonlocal passed
        while (item := source.get()) is not None:
            passed += 1
            sink.put(item)
        sink.put(None)

    def count_and_work(source: Queue, sink: Queue, work: Work) -> None:
        nonlocal passed
        while (item := source.get()) is not None:
            passed += 1
            sink.put(work(item))
        sink.put(None)

    threads: list[threading.Thread] = []
    for source, sink, work in zip(queues, [*queues[1:], queues[0]], works, strict=True):
        plain, calling = (bare, working) if threads else (count, count_and_work)
        threads.append(
            threading.Thread(target=plain, args=(source, sink))
            if work is None
            else threading.Thread(target=calling, args=(source, sink, work))
        )
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
    return (after - before) / elapsed
