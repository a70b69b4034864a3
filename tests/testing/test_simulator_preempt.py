from __future__ import annotations

import functools
import gc
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pluggy import HookspecMarker

from tests.running import run_python
from zenactors import Daemon, ZenDaemonComponent, handles
from zenactors.core.statistics import calc_statistics
from zenactors.testing import Harness
from zenactors.testing._simulator.preempt import interrupted

LOCK = threading.Lock()
MOST = 300  # more instructions than any function here has
SOURCE = Path(__file__).read_text().splitlines()


@pytest.fixture(autouse=True)
def tracing_is_left_as_it_was() -> Iterator[None]:
    before = sys.gettrace()
    yield
    assert sys.gettrace() is before


def places(function: Callable[[], Any]) -> set[int]:
    """Return the lines at which the function can be interrupted."""
    found: list[str] = []
    for instructions in range(1, MOST):
        interrupted(function, instructions, found.append)
    lines = set()
    for place in found:
        name, _, line = place.partition(":")
        assert name == Path(__file__).name
        lines.add(int(line))
    return lines


def marked(mark: str) -> set[int]:
    return {number for number, line in enumerate(SOURCE, start=1) if line.endswith(f"# {mark}")}


def helper(value: int) -> int:
    return value + 1  # helper


def plain() -> int:
    number = helper(1)  # plain
    number += 1  # plain
    return number  # plain


def locked() -> int:
    number = 1  # before
    with LOCK:  # held
        number += helper(1)  # held
        number += 1  # held
    return number  # after


def steps() -> Iterator[int]:
    number = 1  # outside
    yield number  # outside
    number += 1  # not here, because its caller may hold a lock
    yield number  # outside
    number += 1  # outside
    yield number  # outside


def advance(generator: Iterator[int]) -> int:
    return next(generator)


def going_on_locked() -> int:
    generator = steps()  # outside
    number = next(generator)  # outside
    with LOCK:
        number += next(generator)
    return number + next(generator)  # outside


def other_task() -> None:
    with LOCK:  # what the simulation does when a task waits and another one runs
        trace = sys.gettrace()
        sys.settrace(None)
        waiting(wait=False)
        sys.settrace(trace)


def waiting(*, wait: bool) -> int:
    number = 1  # waiting
    if wait:  # waiting
        other_task()  # waiting
    number += 1  # waiting
    return number  # waiting


def nesting(*, deep: bool) -> int:
    number = 1  # nesting
    if deep:  # nesting
        with LOCK:
            number += nesting(deep=False)
    number += 1  # nesting
    return number  # nesting


class Finalized:
    def __del__(self) -> None:
        self.gone = helper(1)


def dropping() -> None:
    Finalized()  # dropped


def calling_libraries() -> Any:
    text = json.dumps({"a": [1, 2]})  # own
    found = re.sub("a", lambda match: match.group() * 2, text)  # own
    with_key = sorted([3, 1, 2], key=lambda number: helper(-number))  # own
    HookspecMarker("x")  # own
    return calc_statistics({"x": len(found)}, {}, 1.0), with_key  # own


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Keep out the collector, which calls code of libraries that other tests have imported."""
    gc.disable()
    yield
    gc.enable()


def test_a_function_can_be_interrupted_at_each_of_its_lines() -> None:
    assert places(plain) == marked("plain") | marked("helper")


def test_it_is_never_interrupted_where_it_may_hold_a_lock() -> None:
    assert places(locked) == marked("before") | marked("after")


def test_a_generator_is_not_interrupted_while_its_caller_may_hold_a_lock() -> None:
    assert places(going_on_locked) == marked("outside")


def test_a_task_that_waited_can_be_interrupted_although_others_ran_its_code() -> None:
    assert places(functools.partial(waiting, wait=True)) == marked("waiting")


def test_a_function_that_calls_itself_with_a_lock_can_be_interrupted_afterwards() -> None:
    assert places(functools.partial(nesting, deep=True)) == marked("nesting")


def test_a_generator_left_over_is_not_interrupted_for_its_former_caller() -> None:
    for instructions in range(1, MOST):
        generator, former, later = steps(), list[str](), list[str]()
        interrupted(functools.partial(advance, generator), instructions, former.append)
        before = list(former)
        again = functools.partial(advance, generator)
        interrupted(again, MOST, later.append, first=plain.__code__)
        assert (former, later) == (before, [])


def test_the_first_call_in_a_process_is_interrupted_where_the_second_is() -> None:
    code = (
        "from tests.testing.test_simulator_preempt import interrupted, plain;"
        "places = [];"
        "interrupted(plain, 10, places.append); interrupted(plain, 10, places.append);"
        "first, second = places; assert first == second, places"
    )
    assert run_python("-c", code).stderr == ""


def test_a_finalizer_is_not_interrupted() -> None:
    # The garbage collector calls it at any time.
    assert places(dropping) == marked("dropped")


def test_it_is_never_interrupted_in_the_code_of_a_library() -> None:
    found = places(calling_libraries)
    assert marked("own") <= found
    assert found <= marked("own") | marked("helper")


def test_a_function_of_a_library_is_just_called() -> None:
    positions: list[str] = []
    assert interrupted(functools.partial(json.dumps, [1]), 1, positions.append) == "[1]"
    assert not positions


def test_it_is_interrupted_once_after_so_many_instructions() -> None:
    positions: list[str] = []
    assert interrupted(plain, 1, positions.append) == 3
    assert interrupted(plain, 5, positions.append) == 3
    assert len(positions) == 2
    assert interrupted(plain, MOST, positions.append) == 3
    assert len(positions) == 2  # it is shorter


@pytest.mark.parametrize("instructions", [1, MOST])
def test_what_it_raises_passes_through(instructions: int) -> None:
    def fail() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        interrupted(fail, instructions, lambda place: None)


def test_what_is_raised_at_the_interruption_is_raised_in_the_function() -> None:
    seen: list[str] = []

    def tidy() -> None:
        try:
            seen.append("begun")
        finally:
            seen.append("tidied")

    def give_way(place: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(tidy, 3, give_way)
    assert seen[-1] == "tidied"


def test_who_traced_before_traces_after() -> None:
    def trace(*_: Any) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        interrupted(plain, 2, lambda place: None)
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is trace


# --- under the harness --------------------------------------------------------------------------


class Counting(ZenDaemonComponent):
    """Add to a number that is shared with others."""

    def __init__(self, shared: dict[str, int], event: str, *, locking: bool) -> None:
        super().__init__(name=event)
        self._shared = shared
        self._event = event
        self._locking = locking

    def get_events(self) -> Any:
        add = self._add_locked if self._locking else self._add
        return [self.gen_event_handler(self._event, add)]

    def _add(self, daemon: Daemon, args: Any) -> None:
        number = self._shared["n"]
        self._shared["n"] = number + 1

    def _add_locked(self, daemon: Daemon, args: Any) -> None:
        with LOCK:
            number = self._shared["n"]
            self._shared["n"] = number + 1


def lost_updates(seeds: range, *, locking: bool = False, **options: Any) -> list[int]:
    found = []
    for seed in seeds:
        shared = {"n": 0}
        components = [Counting(shared, event, locking=locking) for event in "ab"]
        with Harness(components, seed=seed, **options) as harness:
            for _ in range(10):
                for event in "ab":
                    harness.queue.schedule(event)
            harness.run_until_idle()
        if shared["n"] != 20:
            found.append(seed)
    return found


def test_a_lost_update_within_one_callback_is_found() -> None:
    assert len(lost_updates(range(100))) > 6  # one seed in six finds it


def test_it_is_not_there_without_interruptions() -> None:
    assert lost_updates(range(50), interrupt=0.0) == []


def test_a_lock_prevents_it_and_no_task_hangs() -> None:
    assert lost_updates(range(50), locking=True, interrupt=1.0) == []


class Napping(ZenDaemonComponent):
    """Waits in the middle of a callback."""

    @handles("x")
    def cbk_event_x(self, daemon: Daemon, args: float) -> None:
        number = 1
        daemon.wait(args)
        self.inc_statistic("naps", number)


def test_who_waits_takes_its_interruption_along() -> None:
    before = sys.gettrace()
    for seed in range(20):
        with Harness([Napping(name="a"), Napping(name="b")], seed=seed, interrupt=1.0) as harness:
            for seconds in (3.0, 1.0, 2.0):
                harness.queue.schedule("x", seconds)
                harness.advance(0.5)
                assert sys.gettrace() is before
            harness.advance(20.0)
            assert sys.gettrace() is before
