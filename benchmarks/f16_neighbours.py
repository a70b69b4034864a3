"""F16: the throughput of components beside others that misbehave.

One daemon has 20 components. Five are bad: one crashes on each event until its restarts are used
up and it is suspended; one hangs for ever and has a hard limit; one is 100 times too slow; one
floods: a timer schedules events that pile up, 10,000 in a second or as many as one thread can; one
leaks timers: it sets one more at each of 50 calls in a second, and cancels none. Events circulate
on the chains of the other 15: two components block for 5 ms, as on I/O, and the last one counts.
The figure is how many events come through these chains per second. The peer is the same daemon,
whose bad components are left in peace.

In separate chains, the 15 form 5 chains of 3, and share no component with the bad ones. With a
shared sink, 14 form 7 chains, and the 15th is the last component of all chains, those of the bad
ones too. With `ordering="component"` that sink waits for the bad ones, as documented, so the figure
is about 0 as soon as one of them never goes on.

Each run is a process of its own, and ends with a stop that must keep its deadline.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal, cast

from benchmarks.common import (
    Options,
    Row,
    Target,
    in_fresh_process,
    interleave,
    paired_row,
    require,
)
from zenactors import Supervision
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import gen_event_handler
from zenactors.core.component import ZenDaemonComponent

ID = "F16"
PAIRS = 2
SECONDS, QUICK_SECONDS = 3.0, 1.0
WARM_UP = 2.0  # seconds: then the one that hangs has been replaced once
BLOCKS = 0.005  # seconds
SLOW = 100 * BLOCKS
CIRCULATING = 4  # events on each good chain
RATE = 10_000  # events per second of the flood
LEAKS = 50  # timers per second
STOP_TIMEOUT = 2.5  # seconds
SLACK = 2.0  # seconds after it, in which those that hang are left behind
CASES: list[tuple[str, str, str, str, Target | None]] = [
    ("separate chains", "separate", "component", "paced", Target(bound=0.9, at_least=True)),
    ("separate chains, unlimited flood", "separate", "component", "unlimited", None),
    ('shared sink, ordering="component"', "shared", "component", "paced", None),
    ('shared sink, ordering="event"', "shared", "event", "paced", None),
]


def run(options: Options) -> Iterator[Row]:
    seconds = QUICK_SECONDS if options.quick else SECONDS
    for case, sharing, ordering, flood, target in CASES:
        runs: list[dict[str, Any]] = []

        def rate(
            flood: str, sharing: str = sharing, ordering: str = ordering, runs: Any = runs
        ) -> float:
            found = in_fresh_process("f16_neighbours", sharing, ordering, flood, seconds)
            runs.append(found)
            return float(found["rate"])

        samples = interleave(
            lambda flood=flood: rate(flood),  # type: ignore[misc]
            lambda: rate("none"),
            options.repeats(PAIRS),
        )
        disturbed = runs[::2]
        yield paired_row(
            ID,
            case,
            samples,
            unit="events/s",
            peer_name="undisturbed",
            target=target,
            note=f"{min(each['bad'] for each in disturbed):,} events of the bad ones handled;"
            f" stops took up to {max(each['stop'] for each in runs):.1f} of {STOP_TIMEOUT:g} s",
        )


# --- in the fresh process ---------------------------------------------------------------------


class Good(ZenDaemonComponent):
    """Blocks, and passes the event on."""

    def __init__(self, *, event: str, step: int) -> None:
        super().__init__(name=f"{event}.{step}")
        self._event = event

    def get_events(self) -> list[Any]:
        return [gen_event_handler(self._event, self.cbk)]

    def cbk(self, daemon: Any, args: Any) -> None:
        time.sleep(BLOCKS)


class Last(ZenDaemonComponent):
    """The end of some chains: counts their events, and lets those of good ones circulate."""

    def __init__(self, *, name: str, good: list[str], bad: list[str]) -> None:
        super().__init__(name=name)
        self._good, self._bad = good, bad
        self.good = self.bad = 0

    def get_events(self) -> list[Any]:
        handlers = [gen_event_handler("start", self.cbk_start)]
        for event in self._good:

            def again(daemon: Any, args: Any, event: str = event) -> None:
                self.good += 1
                if not daemon.is_done():
                    daemon.queue.schedule(event)

            handlers.append(gen_event_handler(event, again))
        return [*handlers, *(gen_event_handler(event, self.cbk_bad) for event in self._bad)]

    def cbk_start(self, daemon: Any, args: Any) -> None:
        for event in self._good:
            for _ in range(CIRCULATING):
                daemon.queue.schedule(event)

    def cbk_bad(self, daemon: Any, args: Any) -> None:
        self.bad += 1


class Bad(ZenDaemonComponent):
    """One that misbehaves, unless it is left in peace; its event has its name."""

    def __init__(self, *, name: str, flood: str, supervision: Supervision | None = None) -> None:
        super().__init__(name=name, supervision=supervision)
        self._flood = flood
        self.calls = 0

    def get_events(self) -> list[Any]:
        return [
            gen_event_handler("start", self.cbk_start),
            gen_event_handler(self.name, getattr(self, self.name)),
        ]

    def cbk_start(self, daemon: Any, args: Any) -> None:
        if self._flood == "none":
            return
        if self.name == "flooding" and self._flood == "paced":
            daemon.io.call_every(0.01, self._schedule_some)
        elif self.name == "leaking":
            daemon.io.call_every(1 / LEAKS, lambda daemon: daemon.queue.schedule("leaking"))
        else:
            for _ in range(20):
                daemon.queue.schedule(self.name)

    def _schedule_some(self, daemon: Any) -> None:
        for _ in range(RATE // 100):
            daemon.queue.schedule("flooding")

    def crashing(self, daemon: Any, args: Any) -> None:
        raise ConnectionError("always")

    def hanging(self, daemon: Any, args: Any) -> None:
        NEVER.wait()

    def slow(self, daemon: Any, args: Any) -> None:
        time.sleep(SLOW)
        daemon.queue.schedule("slow")

    def flooding(self, daemon: Any, args: Any) -> None:
        if self._flood == "unlimited" and not daemon.is_done():
            daemon.queue.schedule("flooding")

    def leaking(self, daemon: Any, args: Any) -> None:
        daemon.io.call_every(1.0, lambda _: None)


NEVER = threading.Event()
BAD = {
    "crashing": Supervision(on_error="restart", when_exhausted="suspend"),
    "hanging": Supervision(hard_limit=0.5, when_exhausted="suspend"),
    "slow": None,
    "flooding": None,
    "leaking": None,
}


def _components(sharing: str, flood: str) -> tuple[list[Any], list[Last]]:
    bad = [
        Bad(name=name, flood=flood, supervision=supervision) for name, supervision in BAD.items()
    ]
    events = [f"good {number}" for number in range(5 if sharing == "separate" else 7)]
    good = [Good(event=event, step=step) for event in events for step in (1, 2)]
    if sharing == "separate":
        last = [Last(name=f"{event}, last", good=[event], bad=[]) for event in events]
    else:
        last = [Last(name="sink", good=events, bad=list(BAD))]
    components = [*bad, *good, *last]
    require(len(components) == 20, f"{len(components)} components")
    return components, last


def main(sharing: str, ordering: str, flood: str, seconds: float) -> dict[str, float]:
    """Return the rate, the events of the bad ones, and the seconds of the stop."""
    components, last = _components(sharing, flood)
    dispatcher = Dispatcher(
        components,
        ordering=cast("Literal['component', 'event']", ordering),
        stop_timeout=STOP_TIMEOUT,
    )
    dispatcher.start()
    time.sleep(WARM_UP)
    before, begin = sum(each.good for each in last), time.perf_counter()
    time.sleep(seconds)
    count, elapsed = sum(each.good for each in last) - before, time.perf_counter() - begin
    counts = dispatcher.counts()
    bad = sum(counts[name].completed + counts[name].dead for name in BAD)
    begin = time.perf_counter()
    report = dispatcher.stop()
    stop = time.perf_counter() - begin
    require(stop <= STOP_TIMEOUT + SLACK, f"the stop took {stop:.1f} s")
    require(set(report.stuck) <= set(BAD), f"others were stuck: {report.stuck}")
    require(flood == "none" or bad > 0, "the bad ones were left in peace")
    return {"rate": count / elapsed, "bad": bad, "stop": stop}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))))
    sys.stdout.flush()
