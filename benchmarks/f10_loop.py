"""F10: the rate of one event that re-schedules itself.

Ours: after a warm-up the main thread reads a counter of the component that re-schedules, sleeps,
and reads it again. If the re-scheduling callback is first in the chain (as in pyzenkit's own
components), the next event may start while the last one is still in the rest of the chain. If it
is last, exactly one event is under way. A peer, for information, is pyzenkit's loop on the same
work.

The floor of that last case is a ring of as many bare threads, each of which takes the item from a
`SimpleQueue` and puts it into the next one's. A round of the ring wakes as many threads as an event
that passes through the chain and is scheduled again. It is measured in turn with the others.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks import bare_ring, pyzenkit_peer
from benchmarks.common import Options, Row, Target, paired_row, require, rounds
from benchmarks.ours import EVENT, Noop
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent

ID = "F10"
SECONDS = 2.0
QUICK_SECONDS = 0.3
WARM_UP = 0.5  # seconds
PAIRS = 3
PEER_ROUNDS = 300_000
# The chain's length, the place of the component that re-schedules, and the target.
CASES = ((1, 0, 50_000), (3, 0, 25_000), (3, 2, 25_000))
FLOOR = 1 / 1.5  # of the rate of the ring


class Again(ZenDaemonComponent):
    """Schedule the same event again, until the daemon stops."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    @handles(EVENT)
    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        self.rounds += 1
        if not daemon.is_done():
            daemon.queue.schedule(EVENT, args)
        return (daemon.FLAG_CONTINUE, args)


class PeerAgain(pyzenkit_peer.PeerNoop):
    """Schedule the same event again, a number of times."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.left = rounds

    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        self.left -= 1
        if self.left and not daemon.is_done():
            daemon.queue.schedule(EVENT, args)
        return (daemon.FLAG_CONTINUE, args)


def run(options: Options) -> Iterator[Row]:
    for length, place, bound in CASES:
        has_floor = place > 0  # otherwise more than one event may be under way, or no thread wakes
        samples = rounds(
            {
                "ours": partial(our_rate, length, place, options),
                "peer": partial(_pyzenkit_rate, length, place, options),
                **({"floor": partial(ring_rate, length, options)} if has_floor else {}),
            },
            options.repeats(PAIRS),
        )
        which = "itself" if length == 1 else ("the first" if place == 0 else "the last")
        case = f"chain of {length}, {which} re-schedules"
        yield paired_row(
            ID,
            case,
            list(zip(samples["ours"], samples["peer"], strict=True)),
            unit="events/s",
            peer_name=pyzenkit_peer.PEER,
            target=None if has_floor else Target(bound=bound, at_least=True, of="ours", unit="/s"),
            tags={"length": length, "place": place, "peer": "pyzenkit"},
        )
        if has_floor:
            yield paired_row(
                ID,
                f"{case}, against the floor",
                list(zip(samples["ours"], samples["floor"], strict=True)),
                unit="events/s",
                peer_name=f"{length} bare hand-overs",
                target=Target(bound=bound, at_least=True, of="ours", unit="/s", or_ratio=FLOOR),
                tags={"length": length, "place": place, "peer": "floor"},
            )


def our_rate(length: int, place: int, options: Options) -> float:
    """Return events/s."""
    again = Again()
    components: list[Any] = [Noop() for _ in range(length)]
    components[place] = again
    dispatcher = Dispatcher(components)
    dispatcher.start()
    dispatcher.queue.schedule(EVENT, 1)
    time.sleep(WARM_UP)
    gc.collect()
    first, begin = again.rounds, time.perf_counter()
    time.sleep(QUICK_SECONDS if options.quick else SECONDS)
    last, elapsed = again.rounds, time.perf_counter() - begin
    report = dispatcher.stop()
    counts = dispatcher.counts()[EVENT]
    require(
        report.drained and counts.completed == counts.accepted == again.rounds,
        f"events were lost: {counts}, {again.rounds} rounds",
    )
    return (last - first) / elapsed


def ring_rate(length: int, options: Options) -> float:
    """Return rounds/s of an item in a ring of bare threads."""
    seconds = QUICK_SECONDS if options.quick else SECONDS
    return bare_ring.rate([None] * length, warm_up=WARM_UP, seconds=seconds)


def _pyzenkit_rate(length: int, place: int, options: Options) -> float:
    rounds = options.size(PEER_ROUNDS)
    again = PeerAgain(rounds)
    components: list[Any] = [pyzenkit_peer.PeerNoop() for _ in range(length)]
    components[place] = again
    daemon = pyzenkit_peer.PeerDaemon(components)
    daemon.queue.schedule(EVENT, 1)
    begin = time.perf_counter()
    daemon.run_loop()
    elapsed = time.perf_counter() - begin
    pyzenkit_peer.finish(daemon)
    require(again.left == 0, "pyzenkit's loop ended early")
    return rounds / elapsed
