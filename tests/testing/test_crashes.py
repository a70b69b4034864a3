"""Crashes of the process: the program is started again, with the files that are left."""

from __future__ import annotations

import dataclasses
import errno
import functools
import gc
import importlib
import itertools
import os
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import greenlet
import pytest

from tests.running import run_python
from zenactors import ZenDaemon, ZenDaemonComponent, handles
from zenactors.components import SYSTEM_FILES, Files, FileTailer, RawWriter
from zenactors.errors import ConfigurationError, NotRunningError
from zenactors.testing import (
    Crash,
    Delay,
    Fault,
    Harness,
    InjectedCrash,
    Kill,
    Probe,
    ProcessCrashed,
    Scenario,
    SimulationFailure,
    explore,
    nothing_lost,
    simulate,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
STRIDES = [  # each line brings nine or ten calls of files, and seven comes to each of them
    ("file", 7),
    ("step", 2),
    pytest.param("file", 1, marks=pytest.mark.slow),
    pytest.param("step", 1, marks=pytest.mark.slow),
]


@pytest.fixture
def kept_lines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "kept_lines", raising=False)
    return importlib.import_module("kept_lines")


# --- kill -9 anywhere, nothing lost -------------------------------------------------------------


@pytest.mark.parametrize("seeds", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_a_program_that_saves_its_mark_behind_what_is_done_loses_nothing(kept_lines, seeds):
    crashes = 0
    for seed in range(seeds):
        crashes += len(simulate(kept_lines.scenario, seed=seed).lives) - 1
    assert crashes > seeds


@pytest.mark.parametrize("seeds", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_a_source_with_checkpoints_loses_nothing(kept_lines, seeds):
    crashes = 0
    for seed in range(seeds):
        crashes += len(simulate(kept_lines.short, seed=seed).lives) - 1
    assert crashes > seeds / 2


@pytest.mark.parametrize("name", ["scenario", "short"])
@pytest.mark.parametrize(("point", "stride"), STRIDES)
def test_wherever_it_is_killed_it_loses_nothing(kept_lines, name, point, stride):
    scenario = dataclasses.replace(getattr(kept_lines, name), kills=0, power_failures=0)
    for nth in itertools.count(1, stride):
        faults = [Kill(point=point, nth=nth)]
        if len(simulate(scenario, seed=1, faults=faults).lives) == 1:
            break  # the run has no nth such moment
    assert nth > 50


class SomeFiles:
    """Files of which one call does nothing, for descriptors of one kind."""

    def __init__(self, files: Any, call: str, kind: int) -> None:
        self.files, self.call, self.kind = files, call, kind

    def __getattr__(self, name: str) -> Any:
        return self.skip if name == self.call else getattr(self.files, name)

    def skip(self, fd: int, *args: Any) -> None:
        if stat.S_IFMT(self.files.fstat(fd).st_mode) != self.kind:
            getattr(self.files, self.call)(fd, *args)


def without(call: str, method: str, component: Any, kind: int = stat.S_IFREG) -> Any:
    """Let a method of a component do without a call of its files."""
    usual = getattr(type(component), method)

    @functools.wraps(usual)
    def call_without(self: Any, *args: Any) -> Any:
        files = self.files
        self.files = SomeFiles(files, call, kind)
        try:
            return usual(self, *args)
        finally:
            self.files = files

    component.__class__ = type("Wrong", (type(component),), {method: call_without})
    return component


def appending(writer: Any) -> Any:
    """Let a writer append to the rest of a torn line."""

    def setup(self: Any, daemon: Any) -> None:
        super(type(self), self).setup(daemon)
        self.files.lseek(self.fd, 0, os.SEEK_END)

    writer = without("ftruncate", "setup", writer)
    writer.__class__ = type("Wrong", (type(writer),), {"setup": setup})
    return writer


BUGS: dict[str, Callable[[ModuleType], Sequence[Any]]] = {
    "the mark is saved before the line is done": lambda m: [m.Reader(hasty=True), m.Writer()],
    "the new mark is not synced before it replaces the old": lambda m: [
        without("fsync", "save", m.Reader()),
        m.Writer(),
    ],
    "the directory of the mark is not synced": lambda m: [
        without("fsync", "save", m.Reader(), stat.S_IFDIR),
        m.Writer(),
    ],
    "the written line is not synced": lambda m: [
        m.Reader(),
        without("fsync", "cbk_event_line", m.Writer()),
    ],
    "the directory of the written file is not synced": lambda m: [
        m.Reader(),
        without("fsync", "setup", m.Writer(), stat.S_IFDIR),
    ],
    "lines are appended to a torn one": lambda m: [m.Reader(), appending(m.Writer())],
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(kept_lines, bug):
    scenario = dataclasses.replace(kept_lines.scenario, build=lambda: BUGS[bug](kept_lines))
    with pytest.raises(SimulationFailure) as found:
        explore(scenario, seeds=range(300))
    with pytest.raises(SimulationFailure) as again:
        simulate(scenario, seed=found.value.seed)
    assert again.value.reason == found.value.reason
    assert len(again.value.harness.lives) > 1
    assert again.value.harness.trace.text() == found.value.harness.trace.text()


def test_lines_that_come_again_too_often_are_counted(kept_lines):
    def drive(harness: Harness) -> None:
        harness.advance(1)

    class Twice(ZenDaemonComponent):
        files: Files = SYSTEM_FILES

        def setup(self, daemon: Any) -> None:
            fd = self.files.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self.files.write(fd, b"1\n2\n")
            self.files.close(fd)

    faults = [Kill(point="time", nth=1)]
    scenario = Scenario(build=lambda: [Twice()], drive=drive, files={"in": "1\n2\n3"})
    simulate(scenario, seed=1, faults=faults, check=nothing_lost("in", "out", repeats=2))
    simulate(scenario, seed=1, faults=faults, check=nothing_lost("in", "out"))
    with pytest.raises(SimulationFailure, match="2 lines are in out again, after 1 crash: 1, 2"):
        simulate(scenario, seed=1, faults=faults, check=nothing_lost("in", "out", repeats=1))
    with pytest.raises(SimulationFailure, match="2 of the 2 lines of in are not in missing, after"):
        simulate(scenario, seed=1, faults=faults, check=nothing_lost("in", "missing"))


TRACES = """
import sys
sys.path.insert(0, sys.argv[1])
from loguru import logger
import kept_lines
from zenactors.testing import simulate
logger.remove()
for seed in range(6):
    simulate(kept_lines.scenario, seed=seed, sink=print)
"""


def test_a_seed_gives_the_same_crashes_in_every_process():
    first, second = (
        run_python("-c", TRACES, EXAMPLES, PYTHONHASHSEED=number).stdout for number in ("1", "2")
    )
    assert first == second
    assert "process killed" in first
    assert "power failure" in first


# --- the moment ---------------------------------------------------------------------------------


class Notes(ZenDaemonComponent):
    """Append what happens to a file, without syncs."""

    files: Files = SYSTEM_FILES

    def note(self, text: str) -> None:
        fd = self.files.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            self.files.write(fd, f"{text}\n".encode())
        finally:
            self.files.close(fd)

    def setup(self, daemon: Any) -> None:
        self.note("setup")
        daemon.io.call_every(10, self.tick)

    def tick(self, daemon: Any) -> None:
        self.note("tick")

    def teardown(self, daemon: Any) -> None:
        self.note("teardown")

    @handles("number")
    def cbk_event_number(self, daemon: Any, number: int) -> None:
        try:
            daemon.wait(5)
            self.note(str(number))
        finally:
            self.note(f"end of {number}")


def death(harness: Harness, *numbers: Any) -> ProcessCrashed:
    """Let a harness handle numbers for some time, in which its process dies."""

    def live() -> None:
        with harness:
            for number in numbers:
                harness.queue.schedule("number", number)
            harness.advance(12)

    with pytest.raises(ProcessCrashed) as crash:
        live()
    return crash.value


MOMENTS = {
    "callback": ["setup", "1", "end of 1"],
    "timer": ["setup", "1", "end of 1", "2", "end of 2"],
    "setup": None,
    "teardown": ["setup", "1", "end of 1", "2", "end of 2", "tick"],
    "time": ["setup"],  # before it passes for the first time
}


@pytest.mark.parametrize("point", MOMENTS)
@pytest.mark.parametrize("seed", [None, 1])
def test_the_process_dies_at_the_point_and_nothing_of_it_reaches_the_files(point, seed):
    nth = 2 if point == "callback" else 1
    fault = Kill(point=point, component=None if point == "time" else "Notes", nth=nth, seconds=100)
    harness = Harness([Notes()], files={}, faults=[fault], seed=seed)
    assert death(harness, 1, 2).fault is fault
    died = harness.now
    after = harness.next_life([Notes()])
    expected = MOMENTS[point]
    found = after.files.content("notes").decode().split() if after.files.lexists("notes") else None
    assert found == (None if expected is None else " ".join(expected).split())
    assert after.now == died + 100
    with after:
        after.advance(12)
    notes = after.files.content("notes").decode().splitlines()
    assert notes == [*(expected or []), "setup", "tick", "teardown"]
    assert after.completed("number") == 0  # the queue was in memory


@pytest.mark.parametrize("seed", [None, *range(20)])
def test_a_process_that_dies_in_a_write_has_written_a_part_of_it(seed):
    fault = Kill(point="file", component="Notes", event="write", nth=2)
    traced = sys.gettrace()
    harness = Harness([Notes()], files={}, faults=[fault], seed=seed, interrupt=1.0)
    assert str(death(harness, 1234)) == "process killed at the point 'file'"
    assert sys.gettrace() is traced
    after = harness.next_life([Notes()])
    assert b"setup\n1234\n".startswith(after.files.content("notes"))
    assert after.files.content("notes").startswith(b"setup\n")
    assert after.files.open_descriptors() == []


@pytest.mark.parametrize("seed", range(20))
def test_outside_of_the_dead_process_nothing_is_traced(seed):
    class Opening(ZenDaemonComponent):
        files: Files = SYSTEM_FILES

        def setup(self, daemon: Any) -> None:
            self.files.open("out", os.O_WRONLY | os.O_CREAT)

    traced = sys.gettrace()
    faults = [Kill(point="file", nth=1)]
    harness = Harness([Opening()], files={}, faults=faults, seed=seed, interrupt=1.0)
    with pytest.raises(ProcessCrashed):
        harness.start()
    assert sys.gettrace() is traced
    harness.close()


def test_the_events_that_were_scheduled_last_are_in_the_trace():
    class Source(ZenDaemonComponent):
        files: Files = SYSTEM_FILES

        @handles("number")
        def cbk_event_number(self, daemon: Any, number: int) -> None:
            daemon.queue.schedule("next", number + 1, on_done=self.set_done)
            if number == 2:
                self.files.open("out", os.O_WRONLY | os.O_CREAT)

        def set_done(self, outcome: Any) -> None:
            pass

    class Sink(ZenDaemonComponent):
        @handles("next")
        def cbk_event_next(self, daemon: Any, args: Any) -> None:
            pass

    faults = [Kill(point="file", nth=1)]
    harness = Harness([Source(), Sink()], files={}, faults=faults)
    harness.start()
    harness.queue.schedule("number", 1)
    harness.run_until_idle()
    harness.queue.schedule("number", 2)
    with pytest.raises(ProcessCrashed):
        harness.run_until_idle()
    harness.close()
    assert harness.situation().splitlines()[1:] == [
        "  number#1  1: completed",
        "  next#1    2: completed",
        "  number#2  2: in Source when the process died",
        "  next#2    3: queued when the process died",
    ]


def test_each_part_of_a_write_happens():
    found = set()
    for seed in range(100):
        harness = Harness([Notes()], files={}, faults=[Kill(point="file", nth=2)], seed=seed)
        with pytest.raises(ProcessCrashed):
            harness.start()
        found.add(harness.next_life([]).files.content("notes"))
    assert found == {b"setup\n"[:size] for size in range(7)}


def test_a_harness_is_killed_by_the_test_and_what_was_not_synced_is_lost_with_the_power():
    found = set()
    for seed in range(40):
        harness = Harness([Notes()], files={"given": "on the disk"}, seed=seed)
        harness.start()
        harness.kill(power_failure=True, seconds=3)
        with pytest.raises(NotRunningError):
            harness.advance(1)
        harness = harness.next_life([Notes()])
        assert harness.now == 3
        assert harness.files.content("given") == b"on the disk"
        found.add(harness.files.lexists("notes") and harness.files.content("notes"))
        with harness:
            harness.advance(1)
    assert {False, b"", b"setup\n"} < found


def test_the_dead_process_has_no_descriptors_any_more():
    class Watching(ZenDaemonComponent):
        def setup(self, daemon: Any) -> None:
            daemon.io.add_reader(reader, lambda _daemon: None)

    def descriptors() -> list[Path]:
        return sorted(Path("/proc/self/fd").iterdir())

    reader, writer = os.pipe()
    before = descriptors()
    harness = Harness([Watching(name="one"), Watching(name="two")])
    with harness:
        assert len(descriptors()) > len(before)
        harness.kill()
        assert descriptors() == before
    os.close(reader)
    os.close(writer)


def test_the_dead_process_says_nothing_more_and_leaves_nothing():
    class Loud(ZenDaemonComponent):
        def setup(self, daemon: Any) -> None:
            daemon.queue.schedule("wait", 1)

        @handles("wait")
        def cbk_event_wait(self, daemon: Any, args: Any) -> None:
            try:
                daemon.wait(1000)
            finally:
                self.log.info("cleared away")
                daemon.queue.schedule("wait", 2)

    def alive() -> int:
        gc.collect()
        return sum(isinstance(o, greenlet.greenlet) and not o.dead for o in gc.get_objects())

    before = alive()
    harness = Harness([Loud()], faults=[Kill(point="time", nth=2)])
    death(harness)
    assert alive() == before
    after = harness.next_life([Loud()])
    assert harness.logs == []
    assert "cleared" not in after.trace.text()
    assert "  wait#1  1: in Loud when the process died" in after.situation()
    assert "wait#2" not in after.situation()
    after.close()
    assert alive() == before


def test_each_life_has_random_numbers_of_its_own_and_the_same_in_each_run():
    def numbers() -> list[float]:
        found = []
        harness = Harness([component := Notes()], files={}, seed=5)
        for _ in range(3):
            harness.start()
            found.append(component.random.random())
            harness.kill()
            harness = harness.next_life([component := Notes()])
        return found

    assert len({*numbers()}) == 3
    assert numbers() == numbers()


def test_only_after_a_crash_there_is_another_life():
    with Harness([Notes()], files={}) as harness:
        harness.advance(1)
    with pytest.raises(RuntimeError, match="this process has not died"):
        harness.next_life([Notes()])


def test_a_callback_can_kill_its_process():
    class Suicidal(ZenDaemonComponent):
        @handles("number")
        def cbk_event_number(self, daemon: Any, kill: Callable[[], None]) -> None:
            try:
                kill()
            except BaseException:  # it must not get away
                self.inc_statistic("survived")

    harness = Harness([component := Suicidal()])
    death(harness, harness.kill)
    assert component.statistics_cur == {"survived": 1}  # as it was cleared away
    with harness.next_life([Suicidal()]) as after:
        after.run_until_idle()
        assert after.completed("number") == 0


# --- scenarios and daemons ----------------------------------------------------------------------


def daemon() -> ZenDaemon:
    tailer = FileTailer(patterns=["in.log"], start="beginning")
    return ZenDaemon(
        name="copier", components=[tailer, RawWriter(path="out.log")], exit_when_idle=True
    )


@pytest.mark.parametrize("seeds", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_a_whole_daemon_is_started_again(seeds):
    scenario = Scenario(
        build=daemon,
        files={"in.log": "1\n2\n3\n"},
        check=nothing_lost("in.log", "out.log"),
        kills=3,
    )
    lives = [simulate(scenario, seed=seed).lives for seed in range(seeds)]
    assert {len(each) for each in lives} == {1, 2, 3, 4}
    assert {harness.status for each in lives for harness in each[:-1]} == {None}
    assert {each[-1].status for each in lives} == {0}


def test_a_daemon_that_is_killed_while_it_stops_is_started_again():
    faults = [Kill(point="teardown", component="RawWriter", nth=1)]
    harness = Harness(daemon(), files={"in.log": "1\n2\n"}, faults=faults)
    death(harness)
    after = harness.next_life(ZenDaemon(name="copier", components=[Notes(), Probe("x")]))
    with after:
        after.signal(signal.SIGTERM)
        assert after.run() == 0
    assert after.files.content("out.log") == b"1\n2\n"


def test_drive_is_called_in_each_life_and_check_at_the_end():
    seen: list[int] = []

    def drive(harness: Harness) -> None:
        seen.append(len(harness.lives))
        harness.advance(10)

    def check(harness: Harness) -> None:
        seen.append(-len(harness.lives))
        assert [life.component("Notes") is not None for life in harness.lives] == [True] * 2

    faults = [Kill(point="timer", nth=1)]
    harness = simulate(lambda: [Notes()], drive=drive, check=check, faults=faults, seed=1, kills=0)
    assert seen == [1, 2, -2]
    assert len(harness.lives) == 2


def test_a_process_that_dies_again_and_again_is_a_failure():
    faults = [Kill(point="setup", chance=1.0)]
    with pytest.raises(SimulationFailure, match="has died 100 times, last of a process killed"):
        simulate(lambda: [Notes()], seed=1, faults=faults)


def test_a_program_that_cannot_be_started_again_is_a_failure():
    built = []

    def build() -> list[Any]:
        built.append(1)
        if len(built) > 1:
            raise ConfigurationError("no second time")
        return [Notes()]

    with pytest.raises(SimulationFailure, match="no second time"):
        simulate(build, seed=1, faults=[Kill(point="setup", nth=1)])


# --- faults -------------------------------------------------------------------------------------


def test_a_call_of_files_fails_on_purpose(zen_harness):
    full = OSError(errno.ENOSPC, "No space left on device")
    faults = [Crash(point="file", component="Notes", event="write", nth=2, error=full)]
    harness = zen_harness([Notes()], files={}, faults=faults)
    harness.queue.schedule("number", 1)
    harness.advance(6)
    (letter,) = harness.dead_letters()
    assert letter.cause is full
    assert harness.files.content("notes") == b"setup\nend of 1\n"
    assert harness.files.open_descriptors() == []


def test_a_harness_of_the_fixture_may_crash(zen_harness):
    harness = zen_harness([Notes()], files={}, faults=[Kill(point="callback", nth=1)])
    harness.queue.schedule("number", 1)
    with pytest.raises(ProcessCrashed):
        harness.advance(6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Delay(point="file", nth=1, seconds=1), "A Delay cannot happen at the point 'file"),
        (lambda: Crash(point="step", nth=1), "A Crash cannot happen at the point 'step'"),
        (lambda: Kill(point="file", event="sync", nth=1), "event must be one of open, read, write"),
        (lambda: Kill(point="step", event="x", nth=1), "There is no event at the point 'step'"),
        (lambda: Kill(nth=1, seconds=-1), "seconds must be finite and not negative, not -1"),
    ],
)
def test_impossible_faults_are_refused(make: Callable[[], Fault], message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_harness_without_files_cannot_die_in_a_call_of_them():
    with pytest.raises(RuntimeError, match="This harness has no files"):
        Harness([Notes()], faults=[Kill(point="file", nth=1)])


@pytest.mark.parametrize("fault", [Kill(nth=1), Crash(point="file", nth=1)])
def test_real_threads_do_not_die(zen_daemon, fault):
    with pytest.raises(ValueError, match="cannot happen on real threads"):
        zen_daemon([Notes()], faults=[fault])


def test_an_injected_crash_of_files_is_no_failure_of_a_scenario():
    fault = Crash(point="file", component="Notes", event="write", nth=2, error=InjectedCrash)
    simulate(
        lambda: [Notes()],
        seed=1,
        faults=[fault],
        drive=lambda harness: harness.queue.schedule("number", 1) and harness.advance(10),
    )
