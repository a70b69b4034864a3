"""Probes: components that record the events of their chains."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from zenactors.core.callbacks import Handler
from zenactors.core.component import ZenDaemonComponent
from zenactors.testing._trace.describe import describe

ANY: Any = type("Any", (), {"__repr__": lambda _: "ANY"})()
"""Equal to everything, in `Probe.expect`."""

Await = Callable[[Callable[[], bool], float], None]


class Received(NamedTuple):
    """An event that a probe has received.

    Attributes:
        event: The event.
        args: Its args.
    """

    event: Hashable
    args: Any


class Probe(ZenDaemonComponent):
    """A component that records its events, and passes them on unchanged.

    Its place among the components is its place in the chains. Under a harness its waits let
    virtual time pass; in a daemon on real threads they wait. An event that one call has returned
    is not seen by the next.

    Args:
        events: The names of the events.
        name: The probe's name in logs and failures.

    Attributes:
        received: All events so far, in order, even those that were expected already.
    """

    def __init__(self, *events: Hashable, name: str = "probe") -> None:
        if not events:
            raise ValueError(
                "A probe needs the events that it records; give them, as in Probe('line')."
            )
        super().__init__(name=name)
        self.received: list[Received] = []
        self._events = events
        self._unread: deque[Received] = deque()
        self._inbox = threading.Condition()
        self._await: Await = self._await_on_threads
        self._situation: Callable[[], str] = self._what_came

    def get_events(self) -> list[Handler]:
        """Return a handler for each event."""
        return [self.gen_event_handler(event, self._keeper(event)) for event in self._events]

    def attach(self, wait: Await, situation: Callable[[], str]) -> None:
        """Set how to wait, and the text that a failure shows. For harnesses."""
        self._await = wait
        self._situation = situation

    def expect(self, event: Hashable = ANY, args: Any = ANY, *, within: float = 5.0) -> Any:
        """Wait for the next event; fail unless it is this one.

        Args:
            event: Its name. Default: any.
            args: Its args, compared by `==`. Default: any.
            within: Seconds to wait for it.

        Returns:
            The event's args.

        Raises:
            AssertionError: Another event came, or none in time.
            ValueError: The probe does not record that event.
        """
        __tracebackhide__ = True
        self._check_event(event)
        received = self._next(f"expected {_shown(event, args)}", within)
        if not (event is ANY or received.event == event) or not (
            args is ANY or received.args == args
        ):
            self._fail(f"expected {_shown(event, args)}, but got {_shown(*received)}")
        return received.args

    def expect_none(self, event: Hashable = ANY, *, within: float = 1.0) -> None:
        """Wait `within` seconds; fail if this event (default: any) comes.

        Raises:
            AssertionError: It came.
            ValueError: The probe does not record that event.
        """
        __tracebackhide__ = True
        self._check_event(event)

        def came() -> bool:
            return any(event is ANY or each.event == event for each in self._unread)

        self._await(came, within)
        if came():
            first = next(each for each in self._unread if event is ANY or each.event == event)
            what = "nothing" if event is ANY else f"no {event}"
            self._fail(f"expected {what} within {within:g} s, but got {_shown(*first)}")

    def receive_n(self, count: int, *, within: float = 5.0) -> list[Received]:
        """Return the next `count` events; wait at most `within` seconds for all of them.

        Raises:
            AssertionError: Fewer came in time.
        """
        __tracebackhide__ = True
        self._await(lambda: len(self._unread) >= count, within)
        if len(self._unread) < count:
            self._fail(f"expected {count} events within {within:g} s, but got {len(self._unread)}")
        return [self._unread.popleft() for _ in range(count)]

    def _check_event(self, event: Hashable) -> None:
        if event is not ANY and event not in self._events:
            taken = ", ".join(map(str, self._events))
            raise ValueError(f"{self.name} records {taken}, and not {event!r}.")

    def _next(self, wanted: str, within: float) -> Received:
        __tracebackhide__ = True
        self._await(lambda: bool(self._unread), within)
        if not self._unread:
            self._fail(f"{wanted} within {within:g} s, but nothing came")
        return self._unread.popleft()

    def _fail(self, message: str) -> None:
        __tracebackhide__ = True
        raise AssertionError(f"{self.name}: {message}.\n{self._situation()}")

    def _keeper(self, event: Hashable) -> Callable[[Any, Any], None]:
        def keep(_daemon: Any, args: Any) -> None:
            with self._inbox:
                self.received.append(Received(event, args))
                self._unread.append(self.received[-1])
                self._inbox.notify_all()

        return keep

    def _await_on_threads(self, predicate: Callable[[], bool], within: float) -> None:
        with self._inbox:
            self._inbox.wait_for(predicate, within)

    def _what_came(self) -> str:
        last = [f"  {_shown(*received)}" for received in self.received[-20:]]
        return "\n".join([f"The last of {len(self.received)} events that came:", *last])


def _shown(event: Any, args: Any) -> str:
    if event is ANY and args is ANY:
        return "an event"
    name = "an event" if event is ANY else str(event)
    return name if args is ANY else f"{name} with {describe(args)}"
