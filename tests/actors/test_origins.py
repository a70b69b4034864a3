"""Origins: where a source has read an event, as a sink gets to know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zenactors import Dispatcher, TokenOutcome, ZenDaemonComponent, handles
from zenactors.core.tokens import Origin
from zenactors.testing import Harness

ORIGIN = Origin("x", "source", "k", [0], [5], [0], {"line": 5})


class Source(ZenDaemonComponent):
    def __init__(self, position: Any = ORIGIN) -> None:
        super().__init__()
        self.position = position
        self.outcomes: list[TokenOutcome] = []

    @handles("go")
    def cbk_event_go(self, daemon: Any, args: Any) -> None:
        daemon.queue.schedule("x", args, on_done=self.outcomes.append, position=self.position)


class Step(ZenDaemonComponent):
    def __init__(self, callback: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.callback = callback

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> Any:
        return self.callback(daemon, args)


class Sink(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[Any, Origin | None] = {}

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None:
        hold = daemon.hold()
        self.origins[args] = hold.origin
        hold.release()

    @handles("y")
    def cbk_event_y(self, daemon: Any, args: Any) -> None:
        self.cbk_event_x(daemon, args)


def origins_after(callback: Callable[[Any, Any], Any], source: Source | None = None) -> Any:
    sink = Sink()
    with Harness([source or Source(), Step(callback), sink]) as harness:
        harness.queue.schedule("go", "first")
        harness.run_until_idle()
    return sink.origins


def test_a_sink_gets_the_origin_through_a_chain():
    assert origins_after(lambda _, args: None) == {"first": ORIGIN}
    assert origins_after(lambda _, args: (1, "changed")) == {"changed": ORIGIN}


def test_a_position_that_is_no_origin_is_none():
    assert origins_after(lambda _, args: None, Source(position=[1, 2])) == {"first": None}


def test_an_event_that_a_component_schedules_has_none():
    def schedule(daemon: Any, args: Any) -> None:
        daemon.queue.schedule("y", "derived")

    assert origins_after(schedule) == {"first": ORIGIN, "derived": None}


def test_two_events_of_one_name_have_none():
    # They would be taken for one: a crash between them would lose the second.
    def schedule_again(daemon: Any, args: Any) -> None:
        if args == "first":
            daemon.queue.schedule("x", "second")

    assert origins_after(schedule_again) == {"first": None, "second": None}


def test_two_events_of_one_name_have_none_even_with_tokens_of_their_own():
    def schedule_again(daemon: Any, args: Any) -> None:
        if args == "first":
            daemon.queue.schedule("x", "second", on_done=lambda _: None)

    assert origins_after(schedule_again) == {"first": None, "second": None}


def test_a_component_may_send_it_on_with_its_own_name_in_the_path():
    def send_on(daemon: Any, args: Any) -> None:
        hold = daemon.hold()
        position = hold.origin.through("rou/ter", "y")
        daemon.queue.schedule("y", "sent on", on_done=lambda _: None, position=position)
        hold.release()

    found = origins_after(send_on)
    assert found["first"] == ORIGIN
    assert found["sent on"] == ORIGIN._replace(event="y", path="source/rou%2Fter:y")


def test_the_source_waits_for_what_is_sent_on():
    source = Source()
    holds = []

    def send_on(daemon: Any, args: Any) -> None:
        position = ORIGIN.through("router", "y")
        daemon.queue.schedule("y", "sent on", on_done=lambda _: None, position=position)

    class Keeper(ZenDaemonComponent):
        @handles("y")
        def cbk_event_y(self, daemon: Any, args: Any) -> None:
            holds.append(daemon.hold())

        @handles("release")
        def cbk_event_release(self, daemon: Any, args: Any) -> None:
            holds.pop().release()

    with Harness([source, Step(send_on), Keeper()]) as harness:
        harness.queue.schedule("go")
        harness.run_until_idle()
        assert source.outcomes == []
        harness.queue.schedule("release")
        harness.run_until_idle()
        assert source.outcomes == [TokenOutcome.DONE]


def test_a_dead_letter_has_the_position_of_the_source():
    def fail(daemon: Any, args: Any) -> None:
        raise ValueError("as asked")

    with Harness([Source(), Step(fail)]) as harness:
        harness.queue.schedule("go")
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
    assert letter.position == {"line": 5}


def test_an_event_of_a_timer_has_the_origin_of_none():
    sink = Sink()

    class Timer(ZenDaemonComponent):
        @handles("x")
        def cbk_event_x(self, daemon: Any, args: Any) -> None:
            hold = daemon.hold()

            def later(daemon: Any) -> None:
                with daemon.part_of(hold):
                    daemon.queue.schedule("y", "later")
                hold.release()

            daemon.io.call_later(1.0, later)

    with Harness([Source(), Timer(), sink]) as harness:
        harness.queue.schedule("go", "first")
        harness.advance(2)
    assert sink.origins == {"first": ORIGIN, "later": None}


def test_it_is_there_on_real_threads():
    sink = Sink()
    with Dispatcher([Source(), Step(lambda _, args: None), sink]) as dispatcher:
        for number in range(100):
            dispatcher.queue.schedule("go", number)
        dispatcher.drain()
    assert sink.origins == dict.fromkeys(range(100), ORIGIN)
