"""F4: a chain of 4 components that each block 5 ms, as on I/O.

200 events are scheduled before. `time.sleep` in the callbacks represents a read or a request: it
lets other threads run. The interval is that of F1: ours from `start()` to the end of `drain()`,
pyzenkit's the run of its `_event_loop`. The best possible ratio for 4 actors is 4, and with 8
replicas of each 32.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks import ours, pyzenkit_peer
from benchmarks.common import Options, Row, Target, interleave, paired_row
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.replicas import Replicas

ID = "F4"
EVENTS = 200
REPLICAS = 8
REPLICATED_EVENTS = 1600  # as many for each replica
LENGTH = 4
BLOCKS = 0.005  # seconds
PAIRS = 3  # sleeps vary little


class Blocking(ZenDaemonComponent):
    """Block, then pass the event on."""

    @handles(ours.EVENT)
    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        time.sleep(BLOCKS)
        return (daemon.FLAG_CONTINUE, args)


class PeerBlocking(pyzenkit_peer.PeerNoop):
    """Block, then pass the event on."""

    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        time.sleep(BLOCKS)
        return (daemon.FLAG_CONTINUE, args)


def run(options: Options) -> Iterator[Row]:
    count = options.size(EVENTS, quick=100)
    samples = interleave(
        lambda: our_rate(count), lambda: _pyzenkit_rate(count), options.repeats(PAIRS)
    )
    yield paired_row(
        ID,
        f"chain of {LENGTH}, each blocks 5 ms",
        samples,
        unit="events/s",
        peer_name=pyzenkit_peer.PEER,
        target=Target(bound=3.5, at_least=True),
        note=f"{count} events; ceiling {LENGTH}",
    )
    count = options.size(REPLICATED_EVENTS, quick=800)
    samples = interleave(
        lambda: our_rate(count, replicas=REPLICAS),
        lambda: _pyzenkit_rate(options.size(EVENTS, quick=100)),
        options.repeats(PAIRS),
    )
    yield paired_row(
        ID,
        f"chain of {LENGTH}, {REPLICAS} replicas each",
        samples,
        unit="events/s",
        peer_name=pyzenkit_peer.PEER,
        target=Target(bound=25, at_least=True),
        note=f"{count} events; ceiling {LENGTH * REPLICAS}",
    )


def our_rate(count: int, replicas: int = 1) -> float:
    """Return events/s."""
    chain = [Replicas(Blocking, replicas) if replicas > 1 else Blocking() for _ in range(LENGTH)]
    dispatcher = ours.prefilled(chain, count)
    begin = time.perf_counter()
    dispatcher.start()
    dispatcher.drain()
    elapsed = time.perf_counter() - begin
    ours.finish(dispatcher, count)
    return count / elapsed


def _pyzenkit_rate(count: int) -> float:
    daemon = pyzenkit_peer.prefilled([PeerBlocking() for _ in range(LENGTH)], count)
    begin = time.perf_counter()
    daemon.run_loop()
    elapsed = time.perf_counter() - begin
    pyzenkit_peer.finish(daemon)
    return count / elapsed
