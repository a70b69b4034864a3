"""F1: no-op chains of 1, 3 and 8 components against pyzenkit's own loop.

Prefilled: 300,000 events are scheduled before the measurement. Ours lasts from
`Dispatcher.start()` to the end of `drain()`, which includes the start of all actors. pyzenkit's
lasts from the call of its `_event_loop` until the loop finds its queue empty.

Live: the dispatcher runs before. Ours lasts from the first `schedule()`, in another thread, until
all events are drained. pyzenkit's loop ends at an empty queue and has only one thread, so its
figure includes scheduling all events and then running the loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from benchmarks import ours, pyzenkit_peer
from benchmarks.common import Options, Row, Target, interleave, paired_row, require
from zenactors.actors.dispatcher import Dispatcher

ID = "F1"
EVENTS = 300_000
TARGETS = {1: 1.0, 3: 0.75, 8: 0.6}


def run(options: Options) -> Iterator[Row]:
    count = options.size(EVENTS)
    for length, bound in TARGETS.items():
        _check_same_work(length)
        samples = interleave(
            lambda length=length: ours.rate_of_chain(length, count),  # type: ignore[misc]
            lambda length=length: pyzenkit_peer.rate_of_chain(length, count),  # type: ignore[misc]
            options.pairs,
        )
        yield paired_row(
            ID,
            f"chain of {length}, prefilled",
            samples,
            unit="events/s",
            peer_name=pyzenkit_peer.PEER,
            target=Target(bound=bound, at_least=True),
        )
    for length in TARGETS:
        samples = interleave(
            lambda length=length: live_rate(length, count),  # type: ignore[misc]
            lambda length=length: pyzenkit_rate_with_scheduling(length, count),  # type: ignore[misc]
            options.repeats(3),
        )
        yield paired_row(
            ID,
            f"chain of {length}, live producer",
            samples,
            unit="events/s",
            peer_name=pyzenkit_peer.PEER,
            target=None,
            note="pyzenkit: schedule all, then run, in one thread",
        )


def _check_same_work(length: int) -> None:
    expected = list(range(1_000))
    require(ours.seen_by_last(length, 1_000) == expected, "zenactors lost or reordered events")
    peers = pyzenkit_peer.seen_by_last(length, 1_000)
    require(peers == expected, "pyzenkit lost or reordered events")


def live_rate(length: int, count: int) -> float:
    """Return events/s, with a producer in a thread outside."""
    dispatcher = Dispatcher([ours.Noop() for _ in range(length)])
    began: list[float] = []

    def produce() -> None:
        schedule = dispatcher.queue.schedule
        began.append(time.perf_counter())
        for number in range(count):
            schedule(ours.EVENT, number)

    dispatcher.start()
    producer = threading.Thread(target=produce)
    producer.start()
    producer.join()
    dispatcher.drain()
    elapsed = time.perf_counter() - began[0]
    ours.finish(dispatcher, count)
    return count / elapsed


def pyzenkit_rate_with_scheduling(length: int, count: int) -> float:
    """Return events/s of pyzenkit's loop, scheduling all events included."""
    daemon = pyzenkit_peer.PeerDaemon([pyzenkit_peer.PeerNoop() for _ in range(length)])
    schedule = daemon.queue.schedule
    begin = time.perf_counter()
    for number in range(count):
        schedule(ours.EVENT, number)
    daemon.run_loop()
    elapsed = time.perf_counter() - begin
    pyzenkit_peer.finish(daemon)
    return count / elapsed
