"""Callbacks past their hard limit: interrupted, and then their threads are replaced."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import tenacity
from loguru import logger

from tests.actors.fakes import DEADLINE, Fake, Gate
from zenactors import Dispatcher
from zenactors.actors.component_messages import Change
from zenactors.core import hangs
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.hangs import MAX_ABANDONED
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import Supervision
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import (
    EXIT_GAVE_UP,
    AbandonedError,
    HardLimitError,
    NotRunningError,
    ReloadError,
)
from zenactors.testing.harness import Harness

LIMIT = Supervision(hard_limit=5.0, delay=0.0)
FOR_EVER = 1_000_000.0


class Stuck(ZenDaemonComponent):
    """Waits on some events, in virtual time, and writes down its life over all objects."""

    supervision = LIMIT

    def __init__(self, life: list[str], stuck_on: Any = "stuck", **options: Any) -> None:
        super().__init__(**options)
        self.life = life
        self.stuck_on = stuck_on
        self.awake = False

    def setup(self, daemon: Any) -> None:
        self.life.append(f"setup {self.incarnation}")

    def teardown(self, daemon: Any) -> None:
        self.life.append(f"teardown {self.incarnation}")

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> None:
        self.life.append(f"{args} in {self.incarnation}")
        if args == self.stuck_on:
            self.hang(daemon)
        self.inc_statistic("done")

    def hang(self, daemon: Any) -> None:
        daemon.wait(FOR_EVER)


def texts(harness: Harness, part: str) -> list[str]:
    return [record.message for record in harness.logs if part in record.message]


@pytest.mark.parametrize("seed", [None, *range(10)])
def test_the_thread_of_a_callback_past_its_hard_limit_is_replaced(seed: int | None) -> None:
    life: list[str] = []
    stuck, probe = Stuck(life), Fake({"x": None})
    with Harness([stuck, probe], seed=seed) as harness:
        for args in ("a", "stuck", "b", "c"):
            harness.queue.schedule("x", args)
        harness.advance(4)
        assert life[:3] == ["setup 1", "a in 1", "stuck in 1"]
        harness.advance(10)
        # No teardown: the old thread still uses the old object.
        assert life == ["setup 1", "a in 1", "stuck in 1", "setup 2", "b in 2", "c in 2"]
        assert probe.seen == ["a", "b", "c"]
        (letter,) = harness.daemon.dead_letters()
        assert (letter.event, letter.args, letter.callback) == ("x", "stuck", "cbk_x")
        assert isinstance(letter.cause, HardLimitError)
        assert harness.daemon.readiness() == []
        assert harness.daemon.abandoned() == ["Stuck"]
    assert life[-1] == "teardown 2"
    assert "teardown 1" not in life


def test_a_component_of_another_name_goes_on_meanwhile() -> None:
    stuck, other = Stuck([]), Fake({"y": None})
    with Harness([stuck, other]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.advance(1)
        harness.queue.schedule("y", 1)
        harness.advance(1)
        assert other.seen == [1]


def test_the_counters_go_on_and_the_old_object_changes_them_no_more() -> None:
    class Counting(Stuck):
        def hang(self, daemon: Any) -> None:
            daemon.wait(20)
            self.inc_statistic("late")
            objects.append(self)

    objects: list[Counting] = []
    with Harness([Counting([])]) as harness:
        for args in ("a", "stuck", "b"):
            harness.queue.schedule("x", args)
        harness.advance(30)
        counters = harness.daemon.get_statistics("test")["Counting"]
        assert counters["done"]["cnt"] == 2
        assert "late" not in counters
        assert objects[0].statistics_cur["late"] == 1
        assert harness.daemon.abandoned() == []


def test_an_abandoned_thread_reaches_nothing_of_the_daemon() -> None:
    refused: list[str] = []
    answers: list[Any] = []

    class Late(Stuck):
        def hang(self, daemon: Any) -> None:
            handle = daemon.queue.schedule_after(1000, "y")
            daemon.wait(20)
            letters = daemon.dead_letters
            calls: dict[str, Callable[[], Any]] = {
                "schedule": lambda: daemon.queue.schedule("y"),
                "next": lambda: daemon.queue.schedule_next("y"),
                "after": lambda: daemon.queue.schedule_after(1, "y"),
                "at": lambda: daemon.queue.schedule_at(1, "y"),
                "priority": lambda: daemon.queue.schedule_priority("y"),
                "on_done": lambda: daemon.queue.schedule("y", on_done=answers.append),
                "cancel": lambda: daemon.queue.cancel(handle),
                "count": daemon.queue.count,
                "ahead": daemon.queue.ahead,
                "hold": daemon.hold,
                "incarnation": lambda: daemon.incarnation,
                "wait": lambda: daemon.wait(1),
                "io": lambda: daemon.io,
                "set_done": daemon.set_done,
                "set_exit_status": lambda: daemon.set_exit_status(3),
                "replay": lambda: letters.replay(into="y"),
                "purge": letters.purge,
                "reload": lambda: daemon.reconfigure({}, lambda: None),
            }
            for name, call in calls.items():
                try:
                    call()
                except AbandonedError:
                    refused.append(name)
            answers.append(daemon.is_done())
            assert refused == list(calls)
            raise ValueError("too late to be a dead letter")

    other = Fake({"y": None})
    with Harness([Late([]), other]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.advance(100)
        assert len(refused) == 18
        assert answers == [True]
        assert other.seen == []
        assert harness.daemon.dead_letter_count() == 1
        assert not harness.daemon.is_done()
        harness.advance(1000)
        # What was scheduled before counts.
        assert len(other.seen) == 1
    assert texts(harness, "An abandoned thread of component 'Late' has ended")


def test_what_the_callback_scheduled_before_is_accepted_and_its_token_is_left() -> None:
    outcomes: list[TokenOutcome] = []

    class Source(ZenDaemonComponent):
        def setup(self, daemon: Any) -> None:
            daemon.io.call_later(
                0, lambda daemon: daemon.queue.schedule("x", "stuck", on_done=outcomes.append)
            )

    class Parent(Stuck):
        supervision = Supervision(hard_limit=5.0, delay=1000.0, max_delay=1000.0)

        def hang(self, daemon: Any) -> None:
            daemon.queue.schedule("y", "child")
            daemon.hold()
            daemon.wait(FOR_EVER)

    other = Fake({"y": None})
    with Harness([Source(), Parent([]), other]) as harness:
        harness.advance(3)
        assert (outcomes, harness.daemon.open_tokens()[0]) == ([], 1)
        harness.advance(10)
        assert outcomes == [TokenOutcome.LEFT]  # its hold was never released
        assert harness.daemon.open_tokens()[0] == 0
        assert other.seen == ["child"]


def test_an_interrupt_that_helps_keeps_thread_and_object() -> None:
    life: list[str] = []

    class Socket(Stuck):
        def hang(self, daemon: Any) -> None:
            while not self.awake:
                daemon.wait(1)

        def interrupt(self) -> None:
            self.life.append("interrupt")
            self.awake = True

    with Harness([Socket(life)]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.queue.schedule("x", "b")
        harness.advance(20)
        assert life == ["setup 1", "stuck in 1", "interrupt", "b in 1"]
        assert harness.daemon.dead_letter_count() == 0
        assert harness.daemon.abandoned() == []


def test_an_interrupt_that_raises_or_hangs_delays_nothing() -> None:
    class Raises(Stuck):
        def interrupt(self) -> None:
            raise OSError("no such socket")

    class Hangs(Stuck):
        def interrupt(self) -> None:
            harness.daemon.wait(FOR_EVER)

    class HasNone(Stuck):
        @property
        def interrupt(self) -> Any:
            raise OSError("not connected")

    for component in (Raises([]), Hangs([]), HasNone([])):
        with Harness([component]) as harness:
            harness.queue.schedule("x", "stuck")
            harness.queue.schedule("x", "b")
            harness.advance(20)
            assert component.life[-2:] == ["setup 2", "b in 2"]


def test_a_timer_past_its_hard_limit() -> None:
    life: list[str] = []

    class Timer(Stuck):
        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            daemon.io.call_every(1, self.tick)

        def tick(self, daemon: Any) -> None:
            self.life.append(f"tick {self.incarnation}")
            if self.incarnation == 1:
                daemon.wait(FOR_EVER)

    with Harness([Timer(life)]) as harness:
        harness.advance(20)
        assert life.count("tick 1") == 1
        assert life.count("tick 2") > 5
        assert not harness.daemon.is_idle()
        assert harness.daemon.dead_letter_count() == 0


def test_a_source_whose_thread_was_abandoned_may_end() -> None:
    class Source(Stuck):
        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            if self.incarnation == 1:
                daemon.io.call_every(1, lambda daemon: daemon.wait(FOR_EVER))

    with Harness([Source([])]) as harness:
        harness.advance(4)
        assert not harness.daemon.is_idle()
        harness.advance(10)
        assert harness.daemon.is_idle()


def test_an_on_done_past_its_hard_limit_does_not_keep_the_daemon_from_being_idle() -> None:
    class Source(Stuck):
        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            if self.incarnation == 1:
                daemon.io.call_later(0, self.send)

        def send(self, daemon: Any) -> None:
            daemon.queue.schedule("x", "a", on_done=lambda _: daemon.wait(FOR_EVER))

    life: list[str] = []
    with Harness([Source(life)]) as harness:
        harness.advance(20)
        assert life == ["setup 1", "a in 1", "setup 2"]
        assert harness.daemon.is_idle()


def test_a_priority_event_past_its_hard_limit_and_those_behind_it() -> None:
    life: list[str] = []
    stuck, probe = Stuck(life), Fake({"x": None})
    with Harness([stuck, probe]) as harness:
        for args in ("stuck", "b"):
            harness.queue.schedule_priority("x", args)
        harness.queue.schedule("x", "c")
        harness.advance(20)
        # As for every component that is down: a priority event passes it by.
        assert life == ["setup 1", "stuck in 1", "setup 2", "c in 2"]
        assert probe.seen == ["b", "c"]
        assert harness.daemon.dead_letter_count() == 1


def test_a_setup_of_a_restart_past_its_hard_limit() -> None:
    life: list[str] = []

    class Slow(Stuck):
        supervision = Supervision(hard_limit=5.0, on_error="restart", delay=0.0)

        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            if self.incarnation == 2:
                daemon.wait(FOR_EVER)

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            if args == "bad":
                raise ValueError(args)
            self.life.append(f"{args} in {self.incarnation}")

    with Harness([Slow(life)]) as harness:
        harness.queue.schedule("x", "bad")
        harness.queue.schedule("x", "good")
        harness.advance(30)
        assert life == ["setup 1", "teardown 1", "setup 2", "setup 3", "good in 3"]


def test_the_new_object_is_made_with_the_options_that_hold() -> None:
    class Optional(Stuck):
        def __init__(self, *, word: str = "default", name: str) -> None:
            super().__init__([], name=name)
            self.word = word
            words.append(word)

    words: list[str] = []
    with Harness([Optional(word="given", name="mine")]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.advance(20)
        assert words == ["given", "given"]
        assert harness.daemon.names[-1] == "mine"
        assert texts(harness, "Component 'mine' works again: incarnation 2")


def test_a_constructor_that_fails_uses_up_the_budget() -> None:
    class Fails(Stuck):
        supervision = Supervision(hard_limit=5.0, max_restarts=3, delay=0.1)
        made = 0

        def __init__(self) -> None:
            super().__init__([])
            type(self).made += 1
            if self.made > 1:
                raise OSError("no more")

    with Harness([Fails()]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.advance(30)
        assert Fails.made == 4
        assert harness.daemon.status == EXIT_GAVE_UP


@pytest.mark.parametrize("when_exhausted", ["stop", "suspend"])
def test_no_more_than_four_threads_of_a_component_are_abandoned(when_exhausted: Any) -> None:
    class Always(Stuck):
        supervision = Supervision(
            hard_limit=5.0, max_restarts=100, delay=0.0, when_exhausted=when_exhausted
        )

        def hang(self, daemon: Any) -> None:
            harness._runtime.event().wait()

    life: list[str] = []
    stuck = Always(life)
    with Harness([stuck]) as harness:
        for _ in range(10):
            harness.queue.schedule("x", "stuck")
        harness.advance(200)
        assert f"stuck in {MAX_ABANDONED + 1}" in life
        assert f"setup {MAX_ABANDONED + 2}" not in life
        assert harness.daemon.abandoned() == ["Always"] * MAX_ABANDONED
        if when_exhausted == "stop":
            assert harness.daemon.status == EXIT_GAVE_UP
        else:
            assert harness.daemon.readiness()
            assert len(texts(harness, "cannot be replaced: too many threads")) == 1


def test_each_thread_that_cannot_be_replaced_is_logged() -> None:
    class Returns(Stuck):
        supervision = Supervision(
            hard_limit=5.0, max_restarts=100, delay=0.0, when_exhausted="suspend"
        )

        def hang(self, daemon: Any) -> None:
            harness._runtime.event().wait(40)

    with Harness([Returns([])]) as harness:
        for _ in range(20):
            harness.queue.schedule("x", "stuck")
        harness.advance(200)
        assert len(texts(harness, "cannot be replaced: too many threads")) > 1


def test_an_abandoned_thread_gives_its_place_back_when_it_ends() -> None:
    class Returns(Stuck):
        supervision = Supervision(hard_limit=5.0, max_restarts=100, delay=0.0)

        def hang(self, daemon: Any) -> None:
            daemon.wait(20)

    life: list[str] = []
    with Harness([Returns(life)]) as harness:
        for _ in range(10):
            harness.queue.schedule("x", "stuck")
        harness.queue.schedule("x", "last")
        harness.advance(200)
        assert life[-1] == "last in 11"
        assert harness.daemon.abandoned() == []


def test_the_trace_shows_when_an_event_died_and_when_its_callback_returned() -> None:
    class Returns(Stuck):
        def hang(self, daemon: Any) -> None:
            daemon.wait(20)

    with Harness([Returns([]), Fake({"x": None})]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.advance(60)
        entries = [(each.who, each.kind) for each in harness.trace.entries if each.event == "x#1"]
        assert entries[-3:] == [("Returns", "call"), ("Returns", "raise"), ("Returns", "late")]


def test_an_object_without_a_recipe_is_not_replaced() -> None:
    class Plain:
        name = "plain"
        supervision = Supervision(hard_limit=5.0, when_exhausted="suspend")

        def get_events(self) -> list[Any]:
            def wait(daemon: Any, _args: Any) -> None:
                daemon.wait(50)

            return [ZenDaemonComponent.gen_event_handler("x", wait)]

    with Harness([Plain()]) as harness:
        harness.queue.schedule("x")
        harness.advance(30)
        assert len(texts(harness, "is no ZenDaemonComponent")) == 1
        assert harness.daemon.dead_letter_count() == 0
        harness.advance(30)
        assert harness.daemon.readiness() == []


def test_a_new_object_with_other_events_is_refused_in_one_line() -> None:
    class Changing(Stuck):
        supervision = Supervision(hard_limit=5.0, max_restarts=1, delay=0.0)
        made = 0

        def __init__(self) -> None:
            super().__init__([])
            type(self).made += 1

        def get_events(self) -> list[Any]:
            more = [self.gen_event_handler("y", self.cbk_x)] if self.made > 1 else []
            return [*super().get_events(), *more]

    with Harness([Changing()]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.advance(30)
        assert texts(harness, "the new object of 'Changing' handles other events than the one")
        assert harness.daemon.status == EXIT_GAVE_UP


def test_on_error_stop_ends_the_daemon() -> None:
    class Strict(Stuck):
        supervision = Supervision(hard_limit=5.0, on_error="stop")

    life: list[str] = []
    with Harness([Strict(life)]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.queue.schedule("x", "b")
        harness.advance(20)
        assert life == ["setup 1", "stuck in 1"]
        assert harness.daemon.status == EXIT_GAVE_UP


def test_on_error_stop_makes_nothing_anew_while_the_daemon_drains() -> None:
    class Strict(Stuck):
        supervision = Supervision(hard_limit=5.0, on_error="stop")

        def hang(self, daemon: Any) -> None:
            harness._runtime.event().wait()

    life: list[str] = []
    with Harness([Strict(life)]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.queue.schedule("x", "b")
        report = harness.stop()
        assert report.left == 1
        assert life == ["setup 1", "stuck in 1"]
        assert harness.daemon.status == EXIT_GAVE_UP


@pytest.mark.parametrize("seed", [None, *range(5)])
def test_a_replica_is_replaced_as_well_and_the_order_holds(seed: int | None) -> None:
    lives: list[list[str]] = []

    def make() -> Stuck:
        lives.append([])
        return Stuck(lives[-1], stuck_on=3)

    replicas, probe = Replicas(make, 3), Fake({"x": None})
    with Harness([replicas, probe], seed=seed) as harness:
        for number in range(10):
            harness.queue.schedule("x", number)
        harness.advance(20)
        assert probe.seen == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert sum(life.count("setup 2") for life in lives) == 1
        for number in range(10, 20):
            harness.queue.schedule("x", number)
        harness.advance(20)
        assert len(probe.seen) == 19


def test_a_stop_during_the_delay_handles_what_waits() -> None:
    class Later(Stuck):
        supervision = Supervision(hard_limit=5.0, delay=1000.0, max_delay=1000.0)

        def hang(self, daemon: Any) -> None:
            harness._runtime.event().wait()

    life: list[str] = []
    with Harness([Later(life)]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.queue.schedule("x", "b")
        harness.advance(20)
        assert life == ["setup 1", "stuck in 1"]
        report = harness.daemon.stop()
    assert life == ["setup 1", "stuck in 1", "setup 2", "b in 2", "teardown 2"]
    assert report.drained
    assert report.abandoned == ("Later",)


class Tuned(ZenDaemonComponent):
    """Hangs on its first event, and writes down with which option each object works."""

    supervision = Supervision(hard_limit=5.0, delay=100.0, max_delay=100.0)

    def __init__(self, *, seen: list[Any], word: str = "old") -> None:
        super().__init__()
        self.seen = seen
        self.word = word

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> None:
        if args == "stuck":
            daemon.wait(FOR_EVER)
        self.seen.append((args, self.word, self.incarnation))


def test_a_reload_makes_a_component_anew_whose_thread_was_abandoned() -> None:
    seen: list[Any] = []
    with Harness([tuned := Tuned(seen=seen)]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.queue.schedule("x", 1)
        harness.advance(20)
        change = Change({"seen": seen, "word": "old"}, {"seen": seen, "word": "new"})
        harness.spawn(lambda: harness.daemon.reconfigure({"Tuned": change}, lambda: None))
        harness.advance(1)
        assert seen == [(1, "new", 2)]
        # The abandoned thread's object is untouched.
        assert (tuned.word, tuned.incarnation) == ("old", 1)


def test_a_reload_that_is_refused_leaves_it_to_its_restart() -> None:
    class Refusing(ZenDaemonComponent):
        def reconfigure(self, daemon: Any, options: Any) -> None:
            raise ValueError("never")

    seen: list[Any] = []
    with Harness([Tuned(seen=seen), Refusing()]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.queue.schedule("x", 1)
        harness.advance(20)
        changes = {
            "Tuned": Change({"seen": seen, "word": "old"}, {"seen": seen, "word": "new"}),
            "Refusing": Change({}, {}),
        }

        def reload() -> None:
            with pytest.raises(ReloadError):
                harness.daemon.reconfigure(changes, lambda: None)

        harness.spawn(reload)
        harness.advance(2)
        assert seen == []
        harness.advance(200)
        assert [(args, word) for args, word, _ in seen] == [(1, "old")]


def test_a_late_cancel_does_not_touch_the_timers_of_the_new_object() -> None:
    refused: list[str] = []

    class Timer(Stuck):
        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            self.io = daemon.io
            self.timer = self.io.call_every(1, self.tick)

        def tick(self, daemon: Any) -> None:
            self.life.append(f"tick {self.incarnation}")
            if self.incarnation == 1:
                daemon.wait(20)
                calls: dict[str, Callable[[], Any]] = {
                    "cancel": self.timer.cancel,
                    "later": lambda: self.io.call_later(1, self.tick),
                    "every": lambda: self.io.call_every(1, self.tick),
                    "alive": self.io.keep_alive,
                    "reader": lambda: self.io.add_reader(0, self.tick),
                }
                for name, call in calls.items():
                    try:
                        call()
                    except AbandonedError:
                        refused.append(name)
                assert refused == list(calls)

    life: list[str] = []
    with Harness([Timer(life)]) as harness:
        harness.advance(100)
        assert len(refused) == 5
        assert life.count("tick 1") == 1
        assert life.count("tick 2") > 80
        assert harness.daemon.abandoned() == []


def test_a_timer_that_hangs_as_part_of_an_event_leaves_no_trace_of_that_event() -> None:
    class Source(ZenDaemonComponent):
        def setup(self, daemon: Any) -> None:
            daemon.io.call_later(0, self.send)

        def send(self, daemon: Any) -> None:
            daemon.queue.schedule("x", "a", on_done=lambda _: None, position="of a")

    class Batching(Stuck):
        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            self.holding = daemon.hold()
            daemon.io.call_later(1, self.flush)

        def flush(self, daemon: Any) -> None:
            with daemon.part_of(self.holding):
                daemon.wait(FOR_EVER)

        @handles("y")
        def cbk_y(self, daemon: Any, args: Any) -> None:
            daemon.queue.schedule("z", args)

        @handles("z")
        def cbk_z(self, daemon: Any, args: Any) -> None:
            raise ValueError(args)

    with Harness([Source(), Batching([])]) as harness:
        harness.advance(20)
        harness.queue.schedule("y", "b")
        harness.advance(1)
        (letter,) = harness.daemon.dead_letters()
        assert (letter.event, letter.args, letter.position) == ("z", "b", None)


def test_an_abandoned_thread_tries_nothing_again_whatever_the_retry_says() -> None:
    class Again(Stuck):
        supervision = Supervision(
            hard_limit=5.0,
            delay=0.0,
            retry={
                "stop": tenacity.stop_after_attempt(5),
                "retry": tenacity.retry_if_not_exception_type(KeyError),
            },
        )

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            self.life.append(f"{args} in {self.incarnation}")
            if self.life.count("a in 1") == 1:
                raise OSError("first attempt")
            if args == "a":
                daemon.wait(20)
                raise OSError("second attempt, too late")

    life: list[str] = []
    probe = Fake({"x": None})
    with Harness([Again(life), probe]) as harness:
        for args in ("a", "b"):
            harness.queue.schedule("x", args)
        harness.advance(60)
        assert life == ["setup 1", "a in 1", "a in 1", "setup 2", "b in 2"]
        assert probe.seen == ["b"]
        assert harness.daemon.abandoned() == []
        assert not harness.daemon.is_done()


def test_the_other_callbacks_of_a_control_event_run_in_the_new_object() -> None:
    class Twice(Stuck):
        supervision = Supervision(hard_limit=1.0, delay=0.0)

        @handles("signal_usr1")
        def cbk_first(self, daemon: Any, args: Any) -> None:
            self.life.append(f"first in {self.incarnation}")
            daemon.wait(FOR_EVER)

        @handles("signal_usr1")
        def cbk_second(self, daemon: Any, args: Any) -> None:
            self.life.append(f"second in {self.incarnation}")
            if self.incarnation == 2:
                daemon.wait(FOR_EVER)

        @handles("signal_usr1")
        def cbk_third(self, daemon: Any, args: Any) -> None:
            self.life.append(f"third in {self.incarnation}")

    life: list[str] = []
    probe = Fake({"signal_usr1": None})
    with Harness([Twice(life), probe]) as harness:
        harness.queue.schedule_priority("signal_usr1")
        harness.advance(60)
        assert [each for each in life if "setup" not in each] == [
            "first in 1",
            "second in 2",
            "third in 3",
        ]
        assert len(probe.seen) == 1
        counts = harness.daemon.counts()["signal_usr1"]
        assert (counts.completed, counts.dead, counts.in_flight) == (1, 0, 0)
        assert harness.daemon.dead_letter_count() == 2


def test_a_setup_past_its_hard_limit_while_the_daemon_drains() -> None:
    class Slow(Stuck):
        supervision = Supervision(hard_limit=1.0, delay=0.0)

        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            if self.incarnation == 2:
                harness._runtime.event().wait(10)

        def hang(self, daemon: Any) -> None:
            harness._runtime.event().wait(10)

    life: list[str] = []
    with Harness([Slow(life)]) as harness:
        for args in ("stuck", *range(20)):
            harness.queue.schedule("x", args)
        report = harness.stop()
        assert report.drained
        assert life[-2:] == ["19 in 3", "teardown 3"]
        assert harness.daemon.status == 0
    assert not texts(harness, "A bug")


class RefusingLater(ZenDaemonComponent):
    """Refuses its new options after a second."""

    def __init__(self, *, word: str = "old") -> None:
        super().__init__()

    def reconfigure(self, daemon: Any, options: Any) -> None:
        daemon.wait(1)
        if options["word"] == "new":
            raise ValueError("never")


def test_a_rollback_does_not_give_a_new_thread_the_object_of_an_abandoned_one() -> None:
    objects: list[int] = []

    class Noting(Tuned):
        def setup(self, daemon: Any) -> None:
            objects.append(id(self))

    seen: list[Any] = []
    with Harness([noting := Noting(seen=seen), RefusingLater()]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.queue.schedule("x", 1)
        harness.advance(20)
        changes = {
            "Noting": Change({"seen": seen, "word": "old"}, {"seen": seen, "word": "new"}),
            "RefusingLater": Change({"word": "old"}, {"word": "new"}),
        }

        def reload() -> None:
            with pytest.raises(ReloadError):
                harness.daemon.reconfigure(changes, lambda: None)

        harness.spawn(reload)
        harness.advance(20)
        harness.queue.schedule("x", 2)
        harness.advance(200)
        assert seen[-1][:2] == (2, "old")
        assert objects.count(id(noting)) == 1
        assert (noting.word, noting.incarnation) == ("old", 1)


def test_a_stop_past_its_deadline_interrupts_what_hangs() -> None:
    class Socket(Stuck):
        supervision = Supervision()

        def hang(self, daemon: Any) -> None:
            harness._runtime.hub.wait(lambda: self.awake)

        def interrupt(self) -> None:
            self.life.append("interrupt")
            self.awake = True

    life: list[str] = []
    with Harness([Socket(life)]) as harness:
        harness.queue.schedule("x", "stuck")
        harness.run_until_idle()
        report = harness.stop()
        assert life == ["setup 1", "stuck in 1", "interrupt", "teardown 1"]
        assert report.timed_out
        assert report.stuck == ()
        assert 28.0 <= harness.now <= 31.0


def test_a_stop_is_not_held_up_by_a_teardown_that_hangs_but_can_be_interrupted() -> None:
    class Socket(Stuck):
        def teardown(self, daemon: Any) -> None:
            harness._runtime.hub.wait(lambda: self.awake)
            super().teardown(daemon)

        def interrupt(self) -> None:
            self.awake = True

    life: list[str] = []
    with Harness([Socket(life)]) as harness:
        report = harness.stop()
        assert report.stuck == ()
        assert life == ["setup 1", "teardown 1"]


# --- real threads -----------------------------------------------------------------------------


class Blocked(ZenDaemonComponent):
    """Blocks its thread for good on the first event."""

    supervision = Supervision(hard_limit=0.05, delay=0.0)

    def __init__(self, gate: Gate, seen: list[Any], more: threading.Semaphore) -> None:
        super().__init__()
        self.gate = gate
        self.seen = seen
        self.more = more

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> None:
        if args == "stuck":
            self.gate(daemon, args)
            try:
                daemon.queue.schedule("y", "from the old thread")
            except NotRunningError as cause:
                self.seen.append(type(cause).__name__)
        else:
            self.seen.append((args, self.incarnation))
        self.more.release()


def test_real_threads_are_replaced_and_the_old_one_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hangs, "INTERRUPT_GRACE", 0.05)
    gate, more = Gate(), threading.Semaphore(0)
    seen: list[Any] = []
    other = Fake({"y": None})
    with Dispatcher([Blocked(gate, seen, more), other]) as dispatcher:
        for args in ("a", "stuck", "b", "c"):
            dispatcher.queue.schedule("x", args)
        for _ in range(3):
            assert more.acquire(timeout=DEADLINE)
        assert seen == [("a", 1), ("b", 2), ("c", 2)]
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.abandoned() == ["Blocked"]
        counts = dispatcher.counts()["x"]
        assert (counts.completed, counts.dead) == (3, 1)
        gate.open()
        assert more.acquire(timeout=DEADLINE)
        assert seen[-1] == "AbandonedError"
        dispatcher.queue.schedule("x", "d")
        assert more.acquire(timeout=DEADLINE)
        assert dispatcher.drain(DEADLINE)
        assert other.seen == []
    assert seen[-1] == ("d", 2)


def test_the_object_of_an_abandoned_thread_goes_with_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hangs, "INTERRUPT_GRACE", 0.05)
    gate = Gate()
    objects: list[weakref.ref[Any]] = []

    class Heavy(ZenDaemonComponent):
        supervision = Supervision(hard_limit=0.05, delay=0.0)

        def setup(self, daemon: Any) -> None:
            objects.append(weakref.ref(self))

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            if args == "stuck":
                gate(daemon, args)

    with Dispatcher([Heavy()]) as dispatcher:
        dispatcher.queue.schedule("x", "stuck")
        dispatcher.queue.schedule("x", "b")
        assert dispatcher.drain(DEADLINE)
        gate.open()
        dispatcher.dead_letters.purge()

        def is_gone() -> bool:
            gc.collect()
            return objects[0]() is None

        for _ in range(100):  # its thread has yet to end
            if is_gone():
                break
            dispatcher.queue.schedule("x", "c")
            assert dispatcher.drain(DEADLINE)
        assert is_gone()
        assert objects[1]() is not None


def test_options_that_a_new_object_cannot_be_set_up_with_are_rolled_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With real threads, because a thread claims its object, which nothing else can take then."""
    monkeypatch.setattr(hangs, "INTERRUPT_GRACE", 0.05)
    gate = Gate()
    was_set_up: list[str] = []

    class Picky(ZenDaemonComponent):
        supervision = Supervision(hard_limit=0.05, delay=1000.0, max_delay=1000.0)

        def __init__(self, *, word: str = "old") -> None:
            super().__init__()
            self.word = word

        def setup(self, daemon: Any) -> None:
            was_set_up.append(self.word)
            if self.word == "new":
                raise ValueError("not this word")

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            gate(daemon, args)

    planned = threading.Event()  # nothing else tells that a new object waits for its delay
    sink = logger.add(
        lambda message: planned.set() if "is made anew" in message else None, level="WARNING"
    )
    with Dispatcher([Picky()]) as dispatcher:
        for number in range(2):
            dispatcher.queue.schedule("x", number)
        assert planned.wait(DEADLINE)
        assert dispatcher.readiness()
        change = Change({"word": "old"}, {"word": "new"})
        with pytest.raises(ReloadError, match="not this word"):
            dispatcher.reconfigure({"Picky": change}, lambda: None)
        gate.open()
    logger.remove(sink)
    assert was_set_up == ["old", "new", "old"]


@pytest.mark.parametrize("seed", range(3))
def test_a_callback_that_returns_at_the_limit_counts_once(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Each event is either handled or dead, whichever thread wins the turn."""
    limit, count = 0.005, 100
    monkeypatch.setattr(hangs, "INTERRUPT_GRACE", 0.0)
    for name in ("MAX_ABANDONED", "MAX_ABANDONED_IN_ALL"):  # a busy machine ends threads late
        monkeypatch.setattr(hangs, name, count)
    handled: list[int] = []

    class Close(ZenDaemonComponent):
        supervision = Supervision(hard_limit=limit, delay=0.0, max_restarts=count)

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            number, seconds = args
            daemon.queue.schedule("y", number)
            daemon.wait(seconds)

    other = Fake({"x": lambda daemon, args: handled.append(args[0]), "y": None})
    rng = random.Random(seed)
    with Dispatcher([Close(), other]) as dispatcher:
        for number in range(count):
            dispatcher.queue.schedule("x", (number, limit * (0.5 + rng.random() * 2)))
        assert dispatcher.drain(DEADLINE)
        counts = dispatcher.counts()
        dead = [letter.args[0] for letter in dispatcher.dead_letters()]
    assert sorted(handled + dead) == list(range(count))
    assert handled == sorted(handled)
    assert (counts["x"].completed, counts["x"].dead) == (len(handled), len(dead))
    assert counts["y"].completed == count
    assert dead, "no call was too long: the test tests nothing"
    assert handled


def test_a_component_in_chains_of_the_program_is_not_replaced() -> None:
    gate = Gate()
    seen: list[Any] = []
    component = Blocked(gate, seen, threading.Semaphore(0))
    with Dispatcher([component], chains={"x": [component.cbk_x]}) as dispatcher:
        dispatcher.queue.schedule("x", "stuck")
        assert dispatcher.wait_for_end(DEADLINE)
        assert dispatcher.status == EXIT_GAVE_UP
        assert dispatcher.abandoned() == []
        gate.open()
