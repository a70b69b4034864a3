"""F15: the figures of F1, F3, F4, F6, F8, F9 and F10 with supervision, beside those without.

Both sides are ours, and take turns. With supervision all components declare retries and restarts,
none of which is ever needed; without, they declare nothing. "A hard limit" is the same policy with
one more declaration: then the runner looks at the clock after each event, which is only reported.
The work is smaller than that of the benchmarks that it is taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks import (
    f01_chain,
    f03_latency,
    f04_blocking,
    f06_signal,
    f08_memory,
    f09_growth,
    f10_loop,
)
from benchmarks.common import Measure, Options, Row, Target, interleave, paired_row, percentile
from benchmarks.f09_growth import OwnEvent
from benchmarks.ours import EVENT, Noop, rate_of_chain, supervision

ID = "F15"
EVENTS = 100_000
SAMPLES = 1_000
SIGNALS = 100
BLOCKING_EVENTS = 100
PAIRS = 5
LONG_PAIRS = 3  # of what takes a second or more
RATE = Target(bound=0.9, at_least=True)
COST = Target(bound=1.1, at_least=False)
POLICIES = {"supervised": "supervised", "limited": "with a hard limit"}

By = Callable[[str], Measure]


def run(options: Options) -> Iterator[Row]:
    count = options.size(EVENTS)

    def under(measure: Measure) -> By:
        """Return a measure by the name of its policy, for the same process."""

        def by(policy: str) -> Measure:
            def measure_it() -> float:
                with supervision(policy):
                    return measure()

            return measure_it

        return by

    def handling(length: int) -> float:
        steps = count * length
        return f09_growth.seconds_of([Noop() for _ in range(length)], [EVENT], count)[1] / steps

    def many() -> float:
        events = [f"event{number}" for number in range(100)]
        return sum(f09_growth.seconds_of([OwnEvent(n) for n in range(100)], events, count)) / count

    def latency(percent: float) -> Measure:
        samples = options.size(SAMPLES)
        return lambda: percentile(f03_latency.one_round(samples)[0], percent) / 1_000

    def signals(work: str) -> By:
        number = options.size(SIGNALS, quick=20)
        return lambda policy: (
            lambda: percentile(f06_signal.measure(work, "own", number, policy)[0], 99)
        )

    def memory(kind: str, number: int) -> By:
        return lambda policy: f08_memory.measured(kind, number, policy)

    # The case, a measure by policy, its unit, the target, the pairs, and the policies.
    both, one = ("supervised", "limited"), ("supervised",)
    cases: list[tuple[str, By, str, Target, int, tuple[str, ...]]] = [
        *(
            (
                f"F1: chain of {length}, prefilled",
                under(lambda length=length: rate_of_chain(length, count)),  # type: ignore[misc]
                "events/s",
                RATE,
                PAIRS,
                both if length == 3 else one,
            )
            for length in (1, 3, 8)
        ),
        (
            "F1: chain of 3, live producer",
            under(lambda: f01_chain.live_rate(3, count)),
            "events/s",
            RATE,
            PAIRS,
            one,
        ),
        ("F3: idle latency, p50", under(latency(50)), "µs", COST, LONG_PAIRS, both),
        (
            "F4: chain of 4, each blocks 5 ms",
            under(lambda: f04_blocking.our_rate(options.size(BLOCKING_EVENTS, quick=20))),
            "events/s",
            RATE,
            LONG_PAIRS,
            both,
        ),
        ("F6: signal, actors wait, p99", signals("wait"), "ms", COST, LONG_PAIRS, one),
        ("F6: signal, actors compute, p99", signals("compute"), "ms", COST, LONG_PAIRS, one),
        ("F8: queued event", memory("prefilled", count), "bytes", COST, 2, one),
        (
            "F8: idle component",
            memory("idle", f08_memory.COMPONENTS),
            "KB",
            COST,
            LONG_PAIRS,
            both,
        ),
        (
            "F9: chain of 30, per step",
            under(lambda: handling(30) * 1e9),
            "ns",
            COST,
            LONG_PAIRS,
            one,
        ),
        ("F9: 100 components, in turn", under(lambda: many() * 1e9), "ns", COST, PAIRS, one),
        (
            "F10: an event that re-schedules itself",
            under(lambda: f10_loop.our_rate(1, 0, options)),
            "events/s",
            RATE,
            LONG_PAIRS,
            both,
        ),
        (
            "F10: chain of 3, the last re-schedules",
            under(lambda: f10_loop.our_rate(3, 2, options)),
            "events/s",
            RATE,
            LONG_PAIRS,
            one,
        ),
    ]
    for case, by, unit, target, pairs, policies in cases:
        for policy in policies:
            yield paired_row(
                ID,
                f"{case}, {POLICIES[policy]}",
                interleave(by(policy), by("default"), options.repeats(pairs)),
                unit=unit,
                peer_name="without supervision",
                target=target if policy == "supervised" else None,
            )
