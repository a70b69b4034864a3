"""F9: the time per unit of work, if there is ten times as much work.

The events are scheduled before the start. The interval lasts from the call of the last `start`
callback, when the dispatcher opens, to the end of `drain()`. If the number of events or components
grows, the time of all `schedule()` calls is added. With longer chains it is not, and the start of
the actors never is: a part that is equal in the small and the large case would hide growth.

With ten times the components there are ten times the events, so each component has as many. They
come in turn (each event is another component's than the last) or in blocks of 100. The peer is the
same work ten times smaller. If cost grows linearly, the ratio of the times per unit is 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.common import Options, Row, Target, interleave, paired_row
from benchmarks.ours import EVENT, Noop, OpenedAt, finish
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import gen_event_handler
from zenactors.core.component import ZenDaemonComponent

ID = "F9"
EVENTS = 300_000
BLOCK = 100
TARGET = Target(bound=1.3, at_least=False)
Maker = Callable[[], list[Any]]


class OwnEvent(ZenDaemonComponent):
    """Handle an event that no other component handles."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"OwnEvent{number}")
        self.own_event = _event(number)

    def get_events(self) -> list[Any]:
        return [gen_event_handler(self.own_event, self.cbk_event_own)]

    def cbk_event_own(self, daemon: Any, args: Any) -> tuple[int, Any]:
        return (daemon.FLAG_CONTINUE, args)


def run(options: Options) -> Iterator[Row]:
    many = options.size(EVENTS)
    few = many // 10

    def chain(length: int) -> Maker:
        return lambda: [Noop() for _ in range(length)]

    def separate(number: int) -> Maker:
        return lambda: [OwnEvent(n) for n in range(number)]

    def nanoseconds(
        maker: Maker, events: list[str], count: int, *, steps: int | None = None
    ) -> Callable[[], float]:
        def measure() -> float:
            scheduling, handling = seconds_of(maker(), events, count)
            if steps is None:
                return (scheduling + handling) / count * 1e9
            return handling / (count * steps) * 1e9

        return measure

    cases = (
        (
            f"{many:,} events against {few:,}, per event",
            nanoseconds(chain(3), [EVENT], many),
            nanoseconds(chain(3), [EVENT], few),
        ),
        (
            "chain of 30 against 3, per step",
            nanoseconds(chain(30), [EVENT], few, steps=30),
            nanoseconds(chain(3), [EVENT], few, steps=3),
        ),
        (
            "100 components against 10, in turn, per event",
            nanoseconds(separate(100), _mixed(100, block=1), many),
            nanoseconds(separate(10), _mixed(10, block=1), few),
        ),
        (
            "100 components against 10, in blocks, per event",
            nanoseconds(separate(100), _mixed(100, block=BLOCK), many),
            nanoseconds(separate(10), _mixed(10, block=BLOCK), few),
        ),
    )
    for case, large, small in cases:
        yield paired_row(
            ID,
            case,
            interleave(large, small, options.pairs),
            unit="ns",
            peer_name="itself, smaller",
            target=TARGET,
        )


def _event(number: int) -> str:
    return f"event{number}"


def _mixed(components: int, *, block: int) -> list[str]:
    """Return a round of events: `block` for each component in turn."""
    return [_event(number) for number in range(components) for _ in range(block)]


def seconds_of(components: list[Any], events: list[str], count: int) -> tuple[float, float]:
    """Return the seconds of all `schedule()` calls, and of the handling."""
    opened = OpenedAt()
    dispatcher = Dispatcher([*components, opened])
    schedule = dispatcher.queue.schedule
    kinds = len(events)
    begin = time.perf_counter()
    for number in range(count):
        schedule(events[number % kinds], number)
    scheduled = time.perf_counter() - begin
    dispatcher.start()
    dispatcher.drain()
    handled = time.perf_counter() - opened.moment
    finish(dispatcher, count)
    return scheduled, handled
