from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from loguru import logger

from zenactors import (
    ComponentStartError,
    Daemon,
    Dispatcher,
    VirtualClock,
    ZenDaemonComponent,
    handles,
)
from zenactors.core.clock import SystemClock
from zenactors.testing import ClockJump, Crash, Delay, Fault, Harness, InjectedCrash
from zenactors.testing.faults import Faults, FaultyRuntime

EVENTS = 10


class Work(ZenDaemonComponent):
    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.log_of_life: list[Any] = []

    def setup(self, daemon: Daemon) -> None:
        self.log_of_life.append("setup")

    @handles("x")
    @handles("y")
    def cbk_event_any(self, daemon: Daemon, args: Any) -> None:
        self.log_of_life.append(args)

    def teardown(self, daemon: Daemon) -> None:
        self.log_of_life.append("teardown")


def under_harness(
    faults: Sequence[Fault], components: list[Work], seed: int | None = None
) -> list[Any]:
    """Run 10 events "x" and one "y"; return the dead ones' args."""
    with Harness(components, faults=faults, seed=seed) as harness:
        for number in range(EVENTS):
            harness.queue.schedule("x", number)
        harness.queue.schedule("y", "y")
        harness.advance(10.0)
        return [letter.args for letter in harness.dead_letters()]


def on_threads(faults: Sequence[Fault], components: list[Work]) -> list[Any]:
    runtime = FaultyRuntime(Faults(faults, random.Random(1), None, lambda *_: None))
    with Dispatcher(components, runtime=runtime) as dispatcher:
        for number in range(EVENTS):
            dispatcher.queue.schedule("x", number)
        dispatcher.queue.schedule("y", "y")
        assert dispatcher.drain(10.0)
        return [letter.args for letter in dispatcher.dead_letters()]


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    logger.disable("zenactors")
    yield
    logger.enable("zenactors")


# --- the same under the harness and on threads --------------------------------------------------

RUNS = pytest.mark.parametrize("run", [under_harness, on_threads])
Runner = Callable[[Sequence[Fault], list[Work]], list[Any]]


@RUNS
def test_a_callback_crashes_the_so_manieth_time(run: Runner) -> None:
    one, two = Work("one"), Work("two")
    assert run([Crash(component="two", event="x", nth=3)], [one, two]) == [2]
    assert one.log_of_life == ["setup", *range(EVENTS), "y", "teardown"]
    assert two.log_of_life == ["setup", 0, 1, *range(3, EVENTS), "y", "teardown"]


@RUNS
def test_a_callback_crashes_by_chance(run: Runner) -> None:
    assert run([Crash(event="x", chance=1.0)], [Work("one")]) == list(range(EVENTS))
    dead = run([Crash(event="x", chance=0.5)], [Work("one")])
    assert 0 < len(dead) < EVENTS


@RUNS
def test_a_crash_may_be_any_exception(run: Runner) -> None:
    cause = LookupError("not there")
    assert run([Crash(nth=1, error=cause), Crash(nth=2, error=KeyError)], [Work("one")]) == [0, 1]


@RUNS
def test_a_setup_crashes(run: Runner) -> None:
    one, two = Work("one"), Work("two")
    with pytest.raises(ComponentStartError, match="two") as failure:
        run([Crash(point="setup", component="two", nth=1)], [one, two])
    assert isinstance(failure.value.__cause__, InjectedCrash)
    assert one.log_of_life == ["setup", "teardown"]
    assert two.log_of_life == []


@RUNS
def test_a_teardown_crashes_and_the_others_are_torn_down(run: Runner) -> None:
    one, two = Work("one"), Work("two")
    assert run([Crash(point="teardown", component="two", nth=1)], [one, two]) == []
    assert one.log_of_life[-1] == "teardown"
    assert two.log_of_life[-1] == "y"


@RUNS
def test_a_delay_takes_its_time(run: Runner) -> None:
    ends: list[float] = []

    class Timed(Work):
        @handles("y")
        def cbk_event_timed(self, daemon: Daemon, args: Any) -> None:
            ends.append(self.clock.monotonic() - begin)

    one = Timed("one")
    begin = (SystemClock() if run is on_threads else VirtualClock()).monotonic()
    assert run([Delay(event="y", component="one", seconds=0.02, nth=1)], [one]) == []
    assert ends[0] >= 0.02


# --- with virtual time --------------------------------------------------------------------------


def test_a_delay_of_virtual_time_is_as_long_as_it_says() -> None:
    with Harness([Work("one")], faults=[Delay(nth=1, seconds=60.0)]) as harness:
        harness.queue.schedule("x")
        harness.advance(59.0)
        assert harness.completed("x") == 0
        harness.advance(1.0)
        assert harness.completed("x") == 1
        assert "fault delay of 60 s" in harness.trace.text()


def test_a_delay_of_a_setup_is_waited_for() -> None:
    with Harness([Work("one")], faults=[Delay(point="setup", nth=1, seconds=7.0)]) as harness:
        assert harness.now == 7.0


def test_a_delay_ends_with_the_stop() -> None:
    with Harness([Work("one")], faults=[Delay(nth=1, seconds=1e9)]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        assert harness.stop().drained
        assert harness.now == 0.0


def test_the_wall_clock_jumps_and_delays_do_not_mind() -> None:
    fault = ClockJump(point="time", nth=1, seconds=-3600.0)
    with Harness([Work("one")], faults=[fault]) as harness:
        wall = harness.clock.time()
        harness.queue.schedule_at(wall + 5.0, "x", "at")
        harness.queue.schedule_after(5.0, "x", "after")
        harness.advance(10.0)
        assert harness.clock.time() == wall + 10.0 - 3600.0
        assert harness.component("one").log_of_life == ["setup", "after"]
        harness.advance(3600.0)
        assert harness.component("one").log_of_life == ["setup", "after", "at"]


def test_a_jump_forward_makes_calendar_times_due() -> None:
    fault = ClockJump(nth=1, seconds=3600.0)
    with Harness([Work("one")], faults=[fault]) as harness:
        harness.queue.schedule_at(harness.clock.time() + 3000.0, "x", "at")
        harness.queue.schedule("y", "jump")
        harness.advance(2.0)
        assert harness.component("one").log_of_life == ["setup", "jump", "at"]


def test_chance_is_the_seeds() -> None:
    def dead(seed: int) -> list[Any]:
        return under_harness([Crash(event="x", chance=0.5)], [Work("one")], seed)

    found = [dead(seed) for seed in range(10)]
    assert found == [dead(seed) for seed in range(10)]
    assert len({tuple(each) for each in found}) > 5


def test_what_happened_stands_in_the_trace() -> None:
    with Harness([Work("one")], faults=[Crash(nth=1, error=KeyError("k"))]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        assert "one: fault crash: KeyError('k')\n" in harness.trace.text()
        assert "dead in one: KeyError: 'k'" in harness.situation()


# --- wrong faults -------------------------------------------------------------------------------


def test_a_fault_that_never_happens_is_refused() -> None:
    with pytest.raises(ValueError, match="never happens"):
        Crash()
    with pytest.raises(ValueError, match="teardown, time"):
        Crash(point="tear", nth=1)  # type: ignore[arg-type]


def test_a_jump_needs_a_clock_that_can_be_set() -> None:
    with pytest.raises(ValueError, match="clock that can be changed"):
        Faults([ClockJump(nth=1, seconds=1.0)], random.Random(1), None, lambda *_: None)


# --- faults that are wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Crash(nth=0), "nth must be at least 1, not 0"),
        (lambda: Crash(chance=2), "chance must be between 0 and 1, not 2"),
        (lambda: Delay(nth=1, seconds=-1), "seconds must be finite and not negative, not -1"),
        (lambda: Delay(nth=1, seconds=float("inf")), "not inf"),
        (
            lambda: Crash(nth=1, error="oops"),  # type: ignore[arg-type]
            "must be an exception or a class of exceptions, not 'oops'",
        ),
        (lambda: Crash(nth=1, point="setup", event="x"), "no event at the point 'setup'"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        make()


def test_a_fault_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="'boom'"):
        Harness([Work("work")], faults=["boom"])  # type: ignore[list-item]
