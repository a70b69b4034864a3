"""Every stock component under the same faults: crashes, restarts, stops, bad disks, dead processes.

`DRIVERS` says how each is fed, and what must come out; `World` checks that.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from tests.components.fault_drivers import DRIVERS
from tests.components.fault_world import ITEMS, Driver, World, noting, text_of, world_of
from tests.databases import close_left_over
from zenactors import RestartComponent, Retry, Supervision
from zenactors.errors import (
    EXIT_IO_ERROR,
    EXIT_NO_INPUT,
    ComponentStartError,
    StateStoreError,
    ZenDaemonComponentException,
)
from zenactors.spec.catalogue import stock
from zenactors.testing import Crash, Harness, Kill, PowerFailure, ProcessCrashed

SEEDS = (None, 1, 2)
MOST = 4  # timers
MOST_CALLS = 2  # of each kind
PATIENT = Supervision(retry=Retry(attempts=3), delay=0.1)
FAULTS = ("leak", "crash", "restart", "timer", "stop", "files", "kill", "power failure")
NO_SPACE = ("open", "write", "ftruncate", "fsync", "mkdir")


def each_component(fault: str) -> pytest.MarkDecorator:
    """Run a test with each component that the fault is for."""
    names = [name for name in stock() if name in DRIVERS and fault not in DRIVERS[name].not_for]
    return pytest.mark.parametrize("name", names)


@pytest.fixture
def world(name: str, tmp_path: Path, quiet: None) -> Iterator[Callable[[], Any]]:
    """Make as many worlds as a test likes."""
    numbers = itertools.count()
    with noting() as tracebacks:
        yield lambda: world_of(name, DRIVERS[name], tmp_path / str(next(numbers)), tracebacks)


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    """Write no log to standard error: that would take more time than the faults."""
    with contextlib.suppress(ValueError):  # it is removed already
        logger.remove(0)
    yield
    logger.add(sys.stderr)


# --- the table ------------------------------------------------------------------------------------


def test_the_table_has_each_stock_component_and_no_other() -> None:
    assert DRIVERS.keys() == stock().keys()


def test_a_fault_is_left_out_for_a_reason() -> None:
    for name, driver in DRIVERS.items():
        for fault, why in driver.not_for.items():
            assert fault in FAULTS, name
            assert why.endswith("."), (name, fault)


def test_what_is_lost_is_noticed(tmp_path: Path) -> None:
    """The tests can fail: this world keeps nothing of the second item."""
    driver = Driver(
        build=DRIVERS["Filter"].build,
        item=lambda n: [{"kind": "bad"}] if n == 2 else [{"kind": "good", "id": f"item-{n}"}],
    )
    with pytest.raises(AssertionError, match="done, and nowhere"):
        lose(driver, tmp_path / "world")


def lose(driver: Driver, directory: Path) -> None:
    with world_of("Filter", driver, directory, []) as run, run.harness() as harness:
        run.give_all(harness)
        assert run.missing() == {2}


# --- a callback crashes ---------------------------------------------------------------------------


@each_component("crash")
def test_a_crash_costs_one_event_which_a_replay_brings_back(world: Any) -> None:
    for nth in range(1, ITEMS + 1):
        with (
            world() as run,
            run.harness([crash_of(run, nth)], seed=SEEDS[nth % len(SEEDS)]) as harness,
        ):
            run.give_all(harness)
            (letter,) = harness.dead_letters()
            failed = run.numbers_in(text_of(letter.args))
            assert failed
            if not run.driver.comes_again:
                assert set(run.given) - set(run.numbers()) == set(failed)
            harness.dead_letters.replay()
            run.settle(harness)
            assert harness.dead_letters() == []
            check(run, harness)
            check_once(run)
            assert run.missing() == set()


def crash_of(run: World, nth: int, **options: Any) -> Crash:
    """Return a crash of a callback: of the component; or behind it, if it is a source."""
    if run.driver.item is None:
        return Crash(component="taker", event=run.driver.taken, nth=nth, **options)
    return Crash(component=run.name, event="lines", nth=nth, **options)


def check(run: World, harness: Harness) -> None:
    """Fail if the books are wrong, or anything is lost."""
    assert not harness.accounting().imbalance()
    assert not harness.hook_failures()
    if run.driver.acknowledges:
        assert run.missing() == set()


def check_once(run: World) -> None:
    """Fail if an item has come out twice that should not."""
    if not run.driver.repeats and not run.driver.comes_again:
        assert run.repeated() == []


# --- a component is made anew ---------------------------------------------------------------------


@each_component("restart")
def test_a_restart_at_an_event_loses_nothing(world: Any) -> None:
    for nth in range(1, ITEMS + 1):
        with world() as run:
            fault = crash_of(run, nth, error=RestartComponent("on purpose"))
            with run.harness([fault], seed=SEEDS[nth % len(SEEDS)], supervision=PATIENT) as harness:
                run.give_all(harness)
                assert harness.dead_letters() == []
                check(run, harness)
                check_once(run)


@each_component("timer")
def test_a_restart_between_events_loses_nothing(world: Any) -> None:
    for nth in range(1, MOST + 1):
        with world() as run:
            fault = Crash(point="timer", component=run.name, nth=nth, error=RestartComponent("x"))
            with run.harness([fault], seed=SEEDS[nth % len(SEEDS)], supervision=PATIENT) as harness:
                run.give_all(harness)
                assert harness.dead_letters() == []
                assert not harness.accounting().imbalance()
                if run.driver.acknowledges:
                    assert run.missing() == set()
                check_once(run)
                happened = harness.component(run.name).incarnation > 1
        if not happened:
            return


# --- a stop in the middle -------------------------------------------------------------------------


@each_component("stop")
def test_a_stop_in_the_middle_leaves_to_the_source_what_is_not_done(world: Any) -> None:
    for number, steps in enumerate((1, 9, 30)):
        with world() as run:
            with run.harness(seed=SEEDS[number]) as harness:
                for item in range(1, ITEMS + 1):
                    run.give(harness, item)
                    for _ in range(steps):
                        harness.step()
                report = harness.stop()
                assert not report.stuck
                assert not report.timed_out
                assert not harness.accounting().imbalance()
                assert harness.dead_letters() == []
            assert run.is_whole()
            if run.driver.acknowledges:
                run_again(run)
            check_once(run)


def run_again(run: World) -> None:
    """Run the program once more without faults: now everything must come to its end."""
    with run.harness() as harness:
        run.give_all(harness)
        assert harness.dead_letters() == []
        check(run, harness)
    assert run.is_whole()


# --- the disk fails -------------------------------------------------------------------------------


@each_component("files")
def test_a_disk_that_fails_costs_one_line_and_nothing_is_lost(world: Any) -> None:
    with world() as run:
        calls = count_calls(run)
    for call, count in calls.items():
        for nth in range(1, min(count, MOST_CALLS) + 1):
            with world() as run:
                fail_once(run, call, nth)
                run_again(run)


def count_calls(run: World) -> Counter[str]:
    """Return how often each call of the files is made if nothing fails."""
    calls: Counter[str] = Counter()

    def called(call: str, size: int) -> tuple[int, bool]:
        calls[call] += 1
        return size, False

    harness = run.harness()
    run.files.observe(called, list)
    with harness:
        run.give_all(harness)
    return calls


def fail_once(run: World, call: str, nth: int) -> None:
    """Let a call of the files fail once."""
    code = errno.ENOSPC if call in NO_SPACE else errno.EIO
    error = OSError(code, os.strerror(code))
    fault = Crash(point="file", component=run.name, event=call, nth=nth, error=error)
    harness = run.harness([fault])
    failure: BaseException | None = None
    try:
        with harness:
            run.give_all(harness)
            assert not harness.accounting().imbalance()
            assert not harness.hook_failures()
            replay_all(run, harness)
            said = [each for each in harness.logs if each.level in ("WARNING", "ERROR")]
    except ComponentStartError as cause:
        said, failure = [], cause
    if failure is not None:
        assert isinstance(failure.__cause__, StateStoreError | ZenDaemonComponentException)
        assert "\n" not in str(failure)
    assert len([each for each in said if each.component == run.name]) <= 1
    assert run.is_whole()


def replay_all(run: World, harness: Harness) -> None:
    """Replay the dead letters, if the fault has not ended the daemon with a documented status."""
    letters = harness.dead_letters()
    if harness.daemon.is_done():
        assert harness.daemon.status in (EXIT_IO_ERROR, EXIT_NO_INPUT)
        return
    harness.dead_letters.replay(letters)
    run.settle(harness)
    assert harness.dead_letters() == []


# --- the process dies -----------------------------------------------------------------------------


@each_component("kill")
def test_a_kill_at_any_moment_loses_nothing(world: Any) -> None:
    die_at_moments(world, Kill)


@each_component("power failure")
def test_a_power_failure_at_any_moment_loses_nothing(world: Any) -> None:
    die_at_moments(world, PowerFailure)


def die_at_moments(world: Any, kind: type[Kill]) -> None:
    for nth in (3, 12, 25):
        with world() as run:
            live(run, kind(point="step", nth=nth), seed=nth)
    with world() as run:
        has_files = bool(count_calls(run))
    for nth in (2, 5, 11) if has_files else ():
        with world() as run:
            live(run, kind(point="file", component=run.name, nth=nth), seed=nth)


def live(run: World, fault: Kill, seed: int) -> None:
    """Run the program until it is killed, and again; then everything must come to its end."""
    harness = run.harness([fault], seed=seed)
    for _ in range(2):
        try:
            with harness:
                run.give_all(harness)
                assert harness.dead_letters() == []
                check(run, harness)
            break
        except ProcessCrashed:
            close_left_over()
            harness = run.next_life(harness)
    assert harness.report is not None
