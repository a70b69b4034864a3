"""F11: a pipeline of three stages, fed while it runs, one item at a time, against its peers.

The stages do nothing but pass the item on. The producer is a thread of its own; in the source's
case it is a component that schedules some items and then itself again (`pipelines`). The switch
interval is the interpreter's: 5 ms by default, 0.5 ms in a `ZenDaemon`. F18 has more ways to write
the same pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.common import (
    Measure,
    Options,
    Row,
    Target,
    interleave,
    paired_row,
    switch_interval,
)
from benchmarks.pipelines import (
    asyncio_rate,
    bounded_rate,
    fed_rate,
    many,
    source_rate,
    unbounded_rate,
)

ID = "F11"
ITEMS = 200_000
INTERVALS = (0.005, 0.0005)  # seconds
PAIRS = 5


def run(options: Options) -> Iterator[Row]:
    count = options.size(ITEMS)
    for seconds in INTERVALS:
        with switch_interval(seconds):
            yield from _rows(count, options, f"switch interval {seconds * 1000:g} ms")


def _rows(count: int, options: Options, where: str) -> Iterator[Row]:
    # The way, our rate, the peer, its rate, and the target.
    asyncios = Target(bound=2.5, at_least=True)
    cases: tuple[tuple[str, Measure, str, Callable[[int], float], Target | None], ...] = (
        ("schedule()", lambda: fed_rate(count), "asyncio", asyncio_rate, asyncios),
        ("schedule()", lambda: fed_rate(count), "threads, queue.Queue", bounded_rate, None),
        ("a source", lambda: source_rate(count), "asyncio", asyncio_rate, asyncios),
        (
            "schedule_many()",
            lambda: fed_rate(count, many),
            "threads, SimpleQueue",
            unbounded_rate,
            Target(bound=0.8, at_least=True),
        ),
    )
    for name, our_rate, peer, peer_rate, target in cases:
        samples = interleave(
            our_rate,
            lambda rate=peer_rate: rate(count),  # type: ignore[misc]
            options.repeats(PAIRS),
        )
        yield paired_row(
            ID, f"{name}, {where}", samples, unit="items/s", peer_name=peer, target=target
        )
