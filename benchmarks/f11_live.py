"""F11: a pipeline of three stages, fed while it runs, one item at a time, in the ways that exist.

Each side lasts from the first item that is put in until the last one has left the third stage. The
stages do nothing but pass the item on. The producer is a thread of its own; in the source's case it
is a component that schedules `SHARE` items and then itself again. asyncio has one thread for all of
it, with queues of `BOUND` items. The bare threads have unbounded `SimpleQueue`s, or bounded
`queue.Queue`s. The switch interval is the interpreter's: 5 ms by default, 0.5 ms in a `ZenDaemon`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks import ours
from benchmarks.common import Options, Row, Target, interleave, paired_row, require
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent

ID = "F11"
ITEMS = 200_000
STAGES = 3
BOUND = 1024
SHARE = 500  # items that the source schedules in a callback
MANY = 1000  # items of a `schedule_many`
INTERVALS = (0.005, 0.0005)  # seconds
PAIRS = 5

Feed = Callable[[Any, int], None]


def run(options: Options) -> Iterator[Row]:
    count = options.size(ITEMS)
    for seconds in INTERVALS:
        with _switch_interval(seconds):
            yield from _rows(count, options, f"switch interval {seconds * 1000:g} ms")


def _rows(count: int, options: Options, where: str) -> Iterator[Row]:
    cases: tuple[tuple[str, Feed | None, str, Callable[[int], float], Target | None], ...] = (
        ("schedule()", _one_by_one, "asyncio", asyncio_rate, Target(bound=2.5, at_least=True)),
        ("schedule()", _one_by_one, "threads, queue.Queue", bounded_rate, None),
        ("a source", None, "asyncio", asyncio_rate, Target(bound=2.5, at_least=True)),
        (
            "schedule_many()",
            _many,
            "threads, SimpleQueue",
            unbounded_rate,
            Target(bound=0.8, at_least=True),
        ),
    )
    for name, feed, peer, peer_rate, target in cases:
        samples = interleave(
            lambda feed=feed: our_rate(count, feed),  # type: ignore[misc]
            lambda rate=peer_rate: rate(count),  # type: ignore[misc]
            options.repeats(PAIRS),
        )
        yield paired_row(
            ID, f"{name}, {where}", samples, unit="items/s", peer_name=peer, target=target
        )


@contextlib.contextmanager
def _switch_interval(seconds: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


# --- ours --------------------------------------------------------------------------------------


def _one_by_one(queue: Any, count: int) -> None:
    schedule = queue.schedule
    for number in range(count):
        schedule(ours.EVENT, number)


def _many(queue: Any, count: int) -> None:
    for begin in range(0, count, MANY):
        queue.schedule_many(ours.EVENT, range(begin, min(begin + MANY, count)))


class Source(ZenDaemonComponent):
    """Schedules items, some in each callback."""

    @handles("go")
    def cbk_event_go(self, daemon: Any, args: tuple[int, int]) -> None:
        begin, count = args
        end = min(begin + SHARE, count)
        schedule = daemon.queue.schedule
        for number in range(begin, end):
            schedule(ours.EVENT, number)
        if end < count:
            schedule("go", (end, count))


def our_rate(count: int, feed: Feed | None) -> float:
    """Return items/s; without `feed`, of a source."""
    stages = [ours.Noop() for _ in range(STAGES)]
    dispatcher = Dispatcher([*stages, *([] if feed else [Source()])])
    dispatcher.start()
    begin = time.perf_counter()
    if feed is None:
        dispatcher.queue.schedule("go", (0, count))
    else:
        producer = threading.Thread(target=feed, args=(dispatcher.queue, count))
        producer.start()
        producer.join()
    dispatcher.drain()
    elapsed = time.perf_counter() - begin
    ours.finish(dispatcher, count if feed else count + -(-count // SHARE))
    return count / elapsed


# --- the peers ---------------------------------------------------------------------------------


def asyncio_rate(count: int) -> float:
    """Return items/s of tasks with bounded queues between them."""
    seen = 0

    async def stage(source: asyncio.Queue[Any], sink: asyncio.Queue[Any] | None) -> None:
        nonlocal seen
        while (item := await source.get()) is not None:
            if sink is None:
                seen += 1
            else:
                await sink.put(item)
        if sink is not None:
            await sink.put(None)

    async def everything() -> float:
        queues: list[asyncio.Queue[Any]] = [asyncio.Queue(BOUND) for _ in range(STAGES)]
        tasks = [
            asyncio.create_task(stage(source, sink))
            for source, sink in zip(queues, [*queues[1:], None], strict=True)
        ]
        begin = time.perf_counter()
        for number in range(count):
            await queues[0].put(number)
        await queues[0].put(None)
        await asyncio.gather(*tasks)
        return time.perf_counter() - begin

    elapsed = asyncio.run(everything())
    require(seen == count, "asyncio lost items")
    return count / elapsed


def unbounded_rate(count: int) -> float:
    """Return items/s of bare threads with `SimpleQueue`s."""
    return _threads_rate(count, [queue.SimpleQueue() for _ in range(STAGES)])


def bounded_rate(count: int) -> float:
    """Return items/s of bare threads with bounded `Queue`s."""
    return _threads_rate(count, [queue.Queue(BOUND) for _ in range(STAGES)])


def _threads_rate(count: int, queues: list[Any]) -> float:
    seen: list[int] = []

    def stage(source: Any, sink: Any) -> None:
        number = 0
        while (item := source.get()) is not None:
            if sink is None:
                number += 1
            else:
                sink.put(item)
        if sink is None:
            seen.append(number)
        else:
            sink.put(None)

    def produce(numbers: Iterable[int]) -> None:
        for number in numbers:
            queues[0].put(number)
        queues[0].put(None)

    threads = [
        threading.Thread(target=stage, args=pair)
        for pair in zip(queues, [*queues[1:], None], strict=True)
    ]
    threads.append(threading.Thread(target=produce, args=(range(count),)))
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    require(seen == [count], "the threads lost items")
    return count / elapsed
