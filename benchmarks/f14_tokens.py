"""F14: what completion tokens and restarts cost.

Tokens: a source component schedules events in blocks, each of which it starts when the one before
is done; the chain has three more components. With tokens it gives each event an `on_done`, and a
block is done when all of them were called; the peer is the same without tokens, where a last event
ends a block. Restart: the time from a failure, with many events waiting behind it, to the callback
of the first of these in the new incarnation; the declared delay is 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.common import (
    Options,
    Row,
    Target,
    interleave,
    paired_row,
    repeat,
    require,
    single_row,
)
from benchmarks.ours import EVENT, Noop
from zenactors import RestartComponent, Supervision, TokenOutcome
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent

ID = "F14"
EVENTS = 1_000_000
BLOCK = 1000
WAITING = 100_000
REPEATS = 5


class Source(ZenDaemonComponent):
    """Schedule events, block by block."""

    def __init__(self, blocks: int, *, tokens: bool) -> None:
        super().__init__()
        self.ended = 0
        self._left = blocks
        self._tokens = tokens

    @handles("block")
    def cbk_event_block(self, daemon: Any, args: Any) -> None:
        self._left -= 1
        schedule = daemon.queue.schedule
        if self._tokens:
            self._open = BLOCK
            self._daemon = daemon
            for number in range(BLOCK):
                schedule(EVENT, number, on_done=self._one_ended)
        else:
            for number in range(BLOCK):
                schedule(EVENT, number)
            schedule("end of block")

    @handles("end of block")
    def cbk_event_end_of_block(self, daemon: Any, args: Any) -> None:
        self.ended += BLOCK
        if self._left:
            daemon.queue.schedule("block")

    def _one_ended(self, outcome: TokenOutcome) -> None:
        self._open -= 1
        if not self._open:
            self.cbk_event_end_of_block(self._daemon, None)


class Failing(ZenDaemonComponent):
    """Fail on the first event."""

    supervision = Supervision(on_error="restart", delay=0.0)

    def __init__(self, moments: list[float]) -> None:
        super().__init__()
        self.moments = moments

    @handles(EVENT)
    def cbk_event_x(self, daemon: Any, args: Any) -> None:
        if len(self.moments) < 2:
            self.moments.append(time.perf_counter())
        if args == 0:
            raise RestartComponent("the first event")


def run(options: Options) -> Iterator[Row]:
    count = options.size(EVENTS) // BLOCK * BLOCK
    yield paired_row(
        ID,
        "chain of 3, each event with a token, against none",
        interleave(
            lambda: _rate(count, tokens=True),
            lambda: _rate(count, tokens=False),
            options.repeats(REPEATS),
        ),
        unit="events/s",
        peer_name="without tokens",
        target=Target(bound=1 / 1.5, at_least=True),
        note=f"{count:,} events in blocks of {BLOCK:,}",
    )
    waiting = options.size(WAITING)
    seconds = repeat(lambda: _restart(waiting), options.repeats(REPEATS))
    yield single_row(
        ID,
        f"restart with {waiting:,} events waiting",
        [second * 1000 for second in seconds],
        unit="ms",
        target=None,
    )


def _rate(count: int, *, tokens: bool) -> float:
    source = Source(count // BLOCK, tokens=tokens)
    with Dispatcher([source, Noop(), Noop(), Noop()]) as dispatcher:
        begin = time.perf_counter()
        dispatcher.queue.schedule("block")
        dispatcher.drain()
        elapsed = time.perf_counter() - begin
    require(source.ended == count, f"{source.ended:,} of {count:,} events have ended")
    return count / elapsed


def _restart(waiting: int) -> float:
    moments: list[float] = []
    dispatcher = Dispatcher([Failing(moments)])
    for number in range(waiting):
        dispatcher.queue.schedule(EVENT, number)
    dispatcher.start()
    dispatcher.drain()
    report = dispatcher.stop()
    require(report.restarts == 1, f"{report}")
    return moments[1] - moments[0]
