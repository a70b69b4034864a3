"""F18: the pipeline of F11 in each way in which a user may write it, in one run.

In a round each way is measured once, so the ratios of one round are comparable. A peer of ours
stands beside `schedule()` with stages that return `(FLAG_CONTINUE, args)`; each of our ways stands
beside asyncio, whose stages call no function. There are two kinds of stage for each way:

- A peer's stage calls no function ("no call"), or one that returns its argument ("a call").
- Ours, which is always a function, returns None ("None"): the event goes on unchanged. Or it
  returns the pair ("a pair").

pyzenkit's loop ends at an empty queue, and has one thread: all items are scheduled before. Its
figure "prefilled" leaves the scheduling out, like ours of that name; the other one includes it.
A case begins with the interpreter's switch interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import f01_chain, ours, pyzenkit_peer
from benchmarks.common import Measure, Options, Row, paired_row, rounds, switch_interval
from benchmarks.pipelines import (
    STAGES,
    asyncio_rate,
    bounded_rate,
    direct_rate,
    fed_rate,
    many,
    pykka_rate,
    source_rate,
    unbounded_rate,
)
from benchmarks.recording import INTERVALS, LONG, OURS, PEERS

ID = "F18"
ITEMS = 100_000
PYKKA_ITEMS = 20_000
DIRECT_ITEMS = 1_000_000
PRODUCERS = 4
ROUNDS = 5

BASE = ("schedule()", "a pair")
OUR_PEER = ("asyncio queues", "no call")

# The way and the kind of its stages.
Way = tuple[str, str]


def run(options: Options) -> Iterator[Row]:
    for seconds in INTERVALS:
        mine, peers = our_ways(options), peers_ways(options)
        with switch_interval(seconds):
            samples = rounds({**mine, **peers}, options.repeats(ROUNDS))
        for way in (*peers, *mine):
            yield row(way, samples, seconds, PEERS if way in peers else OURS)


def row(way: Way, samples: dict[Way, list[float]], seconds: float, side: str) -> Row:
    """Return the row of a way: ours and a peer, whichever of these it is."""
    mine, peer = (way, OUR_PEER) if side == OURS else (BASE, way)
    name, stages = way
    return paired_row(
        ID,
        f"{seconds * 1000:g} ms: {name} ({stages})",
        list(zip(samples[mine], samples[peer], strict=True)),
        unit="items/s",
        peer_name="asyncio" if side == OURS else name,
        target=None,
        note="" if side == OURS else "ours: schedule() (a pair)",
        tags={"side": side, "way": name, "stages": stages, "interval": seconds},
    )


def our_ways(options: Options) -> dict[Way, Measure]:
    """Return our measures, by way."""
    count = options.size(ITEMS)
    ways: dict[Way, Measure] = {}

    def under(policy: str, stage: Callable[[], object]) -> Measure:
        def measure() -> float:
            with ours.supervision(policy):
                return fed_rate(count, stage=stage)

        return measure

    def add(stages: str, stage: Callable[[], object]) -> None:
        measures: dict[str, Measure] = {
            "prefilled": partial(ours.rate_of_chain, STAGES, count, stage),
            "schedule()": partial(fed_rate, count, stage=stage),
            "a source component": partial(source_rate, count, stage=stage),
            "schedule_many()": partial(fed_rate, count, many, stage=stage),
            "a source, with tokens": partial(source_rate, count, stage=stage, tokens=True),
            "schedule(), supervised": under("supervised", stage),
            "schedule(), with a hard limit": under("limited", stage),
            f"schedule(), {PRODUCERS} producers": partial(
                fed_rate, count, stage=stage, producers=PRODUCERS
            ),
            f"schedule(), {LONG} stages": partial(fed_rate, count, stage=stage, stages=LONG),
        }
        ways.update({(name, stages): measure for name, measure in measures.items()})

    add("None", ours.Silent)
    add("a pair", ours.Noop)
    return ways


def peers_ways(options: Options) -> dict[Way, Measure]:
    """Return the peers' measures, by way."""
    count = options.size(ITEMS)
    ways: dict[Way, Measure] = {
        ("direct calls", "a call"): lambda: direct_rate(options.size(DIRECT_ITEMS)),
    }
    for stages, call in (("no call", False), ("a call", True)):
        measures: dict[str, Measure] = {
            "threads, SimpleQueue": partial(unbounded_rate, count, call=call),
            "threads, queue.Queue": partial(bounded_rate, count, call=call),
            "asyncio queues": partial(asyncio_rate, count, call=call),
            "pykka, tell": partial(pykka_rate, options.size(PYKKA_ITEMS), call=call),
        }
        ways.update({(name, stages): measure for name, measure in measures.items()})
    ways["pyzenkit, prefilled", "a pair"] = partial(pyzenkit_peer.rate_of_chain, STAGES, count)
    ways["pyzenkit, with scheduling", "a pair"] = partial(
        f01_chain.pyzenkit_rate_with_scheduling, STAGES, count
    )
    return ways
