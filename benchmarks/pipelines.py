"""A pipeline of three stages, in the ways in which a user may write it.

Each figure lasts from the first item that is put in until the last one has left the third stage;
threads and actors that are not ours start in it. A producer is a thread of its own, but asyncio has
one thread for all of it. `call=True` lets each stage of a peer call one function that returns its
argument; otherwise its stages call nothing, and only pass the item on. Our stages, and pyzenkit's,
are always functions.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pykka

from benchmarks import ours
from benchmarks.common import require
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent

STAGES = 3
BOUND = 1024  # items in a bounded queue
SHARE = 500  # items that the source schedules in a callback
MANY = 1000  # items of a `schedule_many`

Feed = Callable[[Any, int], None]


def passed_on(item: Any) -> Any:
    """Return the item: the function that the stages of the peers call."""
    return item


# --- ours --------------------------------------------------------------------------------------


def one_by_one(queue: Any, count: int) -> None:
    schedule = queue.schedule
    for number in range(count):
        schedule(ours.EVENT, number)


def many(queue: Any, count: int) -> None:
    for begin in range(0, count, MANY):
        queue.schedule_many(ours.EVENT, range(begin, min(begin + MANY, count)))


class Source(ZenDaemonComponent):
    """Schedules items, some in each callback; with `tokens`, each with an `on_done`."""

    def __init__(self, *, tokens: bool = False) -> None:
        super().__init__()
        self.tokens = tokens
        self.done = 0

    @handles("go")
    def cbk_event_go(self, daemon: Any, args: tuple[int, int]) -> None:
        begin, count = args
        end = min(begin + SHARE, count)
        schedule = daemon.queue.schedule
        if self.tokens:
            for number in range(begin, end):
                schedule(ours.EVENT, number, on_done=self.one_done)
        else:
            for number in range(begin, end):
                schedule(ours.EVENT, number)
        if end < count:
            schedule("go", (end, count))

    def one_done(self, outcome: object) -> None:
        self.done += 1


def fed_rate(
    count: int,
    feed: Feed = one_by_one,
    *,
    stage: Callable[[], Any] = ours.Noop,
    stages: int = STAGES,
    producers: int = 1,
) -> float:
    """Return items/s, fed by one thread or several, each of which feeds its share."""
    dispatcher = Dispatcher([stage() for _ in range(stages)])
    dispatcher.start()
    share = count // producers
    threads = [
        threading.Thread(target=feed, args=(dispatcher.queue, share)) for _ in range(producers)
    ]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    dispatcher.drain()
    elapsed = time.perf_counter() - begin
    ours.finish(dispatcher, share * producers)
    return share * producers / elapsed


def source_rate(count: int, *, stage: Callable[[], Any] = ours.Noop, tokens: bool = False) -> float:
    """Return items/s of a source component."""
    source = Source(tokens=tokens)
    dispatcher = Dispatcher([*(stage() for _ in range(STAGES)), source])
    dispatcher.start()
    begin = time.perf_counter()
    dispatcher.queue.schedule("go", (0, count))
    dispatcher.drain()
    elapsed = time.perf_counter() - begin
    ours.finish(dispatcher, count + -(-count // SHARE))
    require(source.done == (count if tokens else 0), f"{source.done:,} tokens of {count:,}")
    return count / elapsed


# --- the peers ---------------------------------------------------------------------------------


def direct_rate(count: int) -> float:
    """Return items/s of three function calls in one thread."""
    first = second = third = passed_on
    begin = time.perf_counter()
    for number in range(count):
        last = third(second(first(number)))
    elapsed = time.perf_counter() - begin
    require(last == count - 1, "the functions lost items")
    return count / elapsed


def asyncio_rate(count: int, *, call: bool = False) -> float:
    """Return items/s of tasks with bounded queues between them."""
    seen = 0

    async def stage(source: asyncio.Queue[Any], sink: asyncio.Queue[Any] | None) -> None:
        nonlocal seen
        while (item := await source.get()) is not None:
            if call:
                item = passed_on(item)
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


def unbounded_rate(count: int, *, call: bool = False) -> float:
    """Return items/s of bare threads with `SimpleQueue`s."""
    return _threads_rate(count, [queue.SimpleQueue() for _ in range(STAGES)], call=call)


def bounded_rate(count: int, *, call: bool = False) -> float:
    """Return items/s of bare threads with bounded `Queue`s."""
    return _threads_rate(count, [queue.Queue(BOUND) for _ in range(STAGES)], call=call)


def _threads_rate(count: int, queues: list[Any], *, call: bool) -> float:
    seen: list[int] = []

    def stage(source: Any, sink: Any) -> None:
        number = 0
        while (item := source.get()) is not None:
            if sink is None:
                number += 1
            else:
                sink.put(item)
        _end(sink, number)

    def calling_stage(source: Any, sink: Any) -> None:
        number = 0
        while (item := source.get()) is not None:
            result = passed_on(item)
            if sink is None:
                number += 1
            else:
                sink.put(result)
        _end(sink, number)

    def _end(sink: Any, number: int) -> None:
        if sink is None:
            seen.append(number)
        else:
            sink.put(None)

    def produce(numbers: Iterable[int]) -> None:
        for number in numbers:
            queues[0].put(number)
        queues[0].put(None)

    threads = [
        threading.Thread(target=calling_stage if call else stage, args=pair)
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


class StageActor(pykka.ThreadingActor):
    """Tells each item to the next actor. The last one counts, and sets `ended` at a None."""

    def __init__(self, following: Any, ended: threading.Event, *, call: bool) -> None:
        super().__init__()
        self.following = following
        self.ended = ended
        self.call = call
        self.seen = 0

    def on_receive(self, message: Any) -> None:
        if self.call:
            message = passed_on(message)
        if self.following is not None:
            self.following.tell(message)
        elif message is None:
            self.ended.set()
        else:
            self.seen += 1


class LastActor(StageActor):
    """Answers how many items it has seen, too."""

    def on_receive(self, message: Any) -> Any:
        return self.seen if message is LastActor else super().on_receive(message)


def pykka_rate(count: int, *, call: bool = False) -> float:
    """Return items/s of an actor for each stage, each of which tells the next."""
    ended = threading.Event()
    last = LastActor.start(None, ended, call=call)
    refs: list[pykka.ActorRef[Any]] = [last]
    for _ in range(STAGES - 1):
        refs.insert(0, StageActor.start(refs[0], ended, call=call))

    def produce() -> None:
        tell = refs[0].tell
        for number in range(count):
            tell(number)
        tell(None)

    producer = threading.Thread(target=produce)
    try:
        begin = time.perf_counter()
        producer.start()
        require(ended.wait(120), "pykka's last actor did not see the end")
        elapsed = time.perf_counter() - begin
        producer.join()
        require(last.ask(LastActor) == count, "pykka lost items")
    finally:
        for ref in refs:
            ref.stop()
    return count / elapsed
