"""F2: the no-op chain of F1 against plain pykka with one `ask` per step.

The peer is the obvious way to build a chain on pykka: a `ThreadingActor` per component, and a
loop in the main thread that asks each in turn and waits for its answer. It gets fewer events,
because it is slow; the rates are compared. Neither figure includes making the events. Ours
includes the start of its actors; pykka's have been started before.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator
from typing import Any

import pykka

from benchmarks import ours
from benchmarks.common import Options, Row, Target, interleave, paired_row, require
from zenactors.core.callbacks import FLAG_CONTINUE

ID = "F2"
EVENTS = 100_000
PEER_STEPS = 8_000
LENGTHS = (1, 8)


class AskedActor(pykka.ThreadingActor):
    """One step of the chain."""

    def on_receive(self, message: Any) -> tuple[int, Any]:
        return (FLAG_CONTINUE, message)


def run(options: Options) -> Iterator[Row]:
    count = options.size(EVENTS)
    for length in LENGTHS:
        peer_count = options.size(PEER_STEPS) // length
        samples = interleave(
            lambda length=length: ours.rate_of_chain(length, count),  # type: ignore[misc]
            lambda length=length, n=peer_count: _rate_of_asks(length, n),  # type: ignore[misc]
            options.pairs,
        )
        yield paired_row(
            ID,
            f"chain of {length}, against one ask a step",
            samples,
            unit="events/s",
            peer_name=f"pykka {importlib.metadata.version('pykka')}",
            target=Target(bound=100, at_least=True),
            note=f"{count:,} events; pykka {peer_count:,}",
        )


def _rate_of_asks(length: int, count: int) -> float:
    refs = [AskedActor.start() for _ in range(length)]
    through = 0
    try:
        begin = time.perf_counter()
        for number in range(count):
            args: Any = number
            for ref in refs:
                flag, args = ref.ask(args)
                if flag != FLAG_CONTINUE:
                    break
            through += args == number
        elapsed = time.perf_counter() - begin
    finally:
        for ref in refs:
            ref.stop()
    require(through == count, f"pykka: {through:,} of {count:,} events came through")
    return count / elapsed
