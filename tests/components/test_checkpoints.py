"""Sources with checkpoints, under the real engine and in virtual time."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.sweeps import seeds, swept
from zenactors import (
    Checkpoints,
    ProcessDiedError,
    RestartComponent,
    Supervision,
    TokenOutcome,
    ZenDaemonComponent,
    ZenDaemonStopException,
    handles,
)
from zenactors.components._state_store import StateStore
from zenactors.core.clock import VirtualClock
from zenactors.errors import EXIT_GAVE_UP
from zenactors.testing import Harness
from zenactors.testing.files import VirtualFiles

DIES = "the process dies"


class Numbers(ZenDaemonComponent):
    """Sends the numbers up to a limit, for each key; a number is the position behind itself."""

    supervision = Supervision(delay=0.0)

    def __init__(self, limit: int, keys: tuple[str, ...] = ("",), **options: Any) -> None:
        super().__init__()
        self.limit = limit
        self.keys = keys
        self.given = options

    def setup(self, daemon: Any) -> None:
        self.checkpoints = Checkpoints(daemon, on_room=self.read, **self.given)
        self.next = {key: (self.checkpoints.resume(key) or 0) + 1 for key in self.keys}
        daemon.io.call_later(0.0, lambda _: self.read())
        daemon.io.keep_alive()

    def read(self) -> None:
        for key in self.keys:
            while not self.checkpoints.is_full and self.next[key] <= self.limit:
                number, self.next[key] = self.next[key], self.next[key] + 1
                self.checkpoints.schedule("number", (key, number), number, key=key)

    @handles("call")
    def cbk_event_call(self, daemon: Any, function: Callable[[Numbers], Any]) -> None:
        function(self)

    def teardown(self, daemon: Any) -> None:
        self.checkpoints.close()

    def read_to(self, limit: int) -> None:
        self.limit = limit
        self.read()

    def read_all(self) -> None:
        for number in range(self.next[""], 101):
            self.checkpoints.schedule("number", ("", number), number)


def fail(source: Numbers) -> None:
    raise RestartComponent("as asked")


def carefully(harness: Harness) -> list[str]:
    """Return the lines about careful starts, up to their verb."""
    lines = [each.message for each in harness.logs if "without progress" in each.message]
    return [line.partition(" one at a time")[0] for line in lines]


class Sink(ZenDaemonComponent):
    """Remembers the numbers; `at` is called with each before, and may raise.

    If it returns `DIES`, the process is to die there.
    """

    supervision = Supervision(delay=0.0)

    def __init__(self, got: list[Any], at: Callable[[int], Any] = lambda number: None) -> None:
        super().__init__()
        self.got = got
        self.at = at
        self.has_died = False

    @handles("number")
    def cbk_event_number(self, daemon: Any, args: Any) -> None:
        key, number = args
        if self.at(number) is DIES:
            self.has_died = True
            daemon.wait(None)
            return
        self.got.append((key, number) if key else number)


class World:
    """The files, and what the sinks of all runs have got."""

    def __init__(self) -> None:
        self.files = VirtualFiles()
        self.got: list[Any] = []

    def harness(
        self, limit: int, at: Callable[[int], Any] = lambda number: None, **options: Any
    ) -> Harness:
        seed, clock = options.pop("seed", None), options.pop("harness_clock", None)
        components = [Numbers(limit, **options), Sink(self.got, at)]
        return Harness(components, files=self.files, state_dir="/state", seed=seed, clock=clock)

    def run(
        self, limit: int, at: Callable[[int], Any] = lambda number: None, **options: Any
    ) -> Any:
        """Run until everything is handled, and stop in order. Return the dead letters' causes."""
        with self.harness(limit, at, **options) as harness:
            harness.advance(10.0)
            harness.stop()
            letters = harness.dead_letters()
        return [(letter.args[1], type(letter.cause)) for letter in letters]

    def kill(
        self,
        limit: int,
        seconds: float,
        at: Callable[[int], Any] = lambda number: None,
        **options: Any,
    ) -> bool:
        """Run for some time, or until a callback dies. Then nothing is torn down.

        Return True if a callback has died.
        """
        harness = self.harness(limit, at, **options)
        sink = harness.component("Sink")
        try:
            harness.start()
            harness.wait_until(lambda: sink.has_died, within=seconds)
        finally:
            harness.close()
        return bool(sink.has_died)

    @property
    def saved(self) -> Any:
        return StateStore("/state/Numbers.store", files=self.files).value


def test_a_run_goes_on_behind_what_the_one_before_has_done() -> None:
    world = World()
    world.run(10)
    world.run(25)
    assert world.got == list(range(1, 26))
    assert world.saved["positions"] == {"": 25}


def test_after_a_crash_no_more_comes_twice_than_the_bound() -> None:
    world = World()
    for number in range(1, 8):
        world.kill(number * 90, 0.5, bound=40)
    world.run(700, bound=40)
    assert {*world.got} == {*range(1, 701)}
    assert len(world.got) - 700 <= 7 * 40


def test_a_checkpoint_that_has_moved_is_saved_after_an_interval() -> None:
    world = World()
    with world.harness(3) as harness:
        harness.advance(0.09)
        assert world.saved["positions"] == {}
        harness.advance(0.02)
        assert world.saved["positions"] == {"": 3}


def test_the_intervals_grow_up_to_the_one_that_is_given() -> None:
    """So a process that lives for a second makes progress, and a longer one saves seldom."""
    world = World()
    saved: list[float] = []
    with world.harness(0, save_interval=1.0) as harness:
        harness.advance(0.05)
        begin = harness.now
        while harness.now - begin < 5.0:
            before = world.saved
            harness.queue.schedule("call", lambda source: source.read_to(source.next[""]))
            harness.advance(0.01)
            if before is not None and world.saved != before:
                saved.append(harness.now - begin)
    assert saved == pytest.approx([0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 4.5], abs=0.15)


class SlowDisk(VirtualFiles):
    """Each sync takes a tenth of a second."""

    clock: Any = None

    def fsync(self, fd: int) -> None:
        super().fsync(fd)
        if self.clock is not None:
            self.clock.advance(0.1)


@pytest.mark.parametrize(("measures", "expected"), [(True, 3), (False, 12)])
def test_saves_take_no_more_than_a_twentieth_of_the_time(*, measures: bool, expected: int) -> None:
    world = World()
    world.files = files = SlowDisk()
    clock = VirtualClock()
    options: dict[str, Any] = {"clock": clock} if measures else {}
    changes = 0
    with world.harness(0, save_interval=1.0, harness_clock=clock, **options) as harness:
        files.clock = clock
        begin = harness.now
        while harness.now - begin < 15.0:
            before = world.saved
            harness.queue.schedule("call", lambda source: source.read_to(source.next[""]))
            harness.advance(0.02)
            changes += world.saved != before
    # A save syncs the file and the directory; the first one is before the first event.
    assert expected <= changes <= expected + 4


def test_with_a_clock_a_daemon_that_ends_when_it_is_idle_saves_after_the_interval() -> None:
    saved: list[float] = []

    class Steady(Numbers):
        def setup(self, daemon: Any) -> None:
            self.checkpoints = Checkpoints(daemon, **self.given)
            self.checkpoints.schedule("number", ("", 1), 1)

        @handles("tick")
        def cbk_event_tick(self, daemon: Any, number: int) -> None:
            value = StateStore("/s/Steady.store", files=files).value
            saved.append(value["positions"].get("", 0))
            if number < 20:
                self.checkpoints.schedule("number", ("", number), number)
                daemon.queue.schedule_after(0.05, "tick", number + 1)

    clock = VirtualClock()
    cases: list[tuple[dict[str, Any], int]] = [({}, 0), ({"clock": clock}, 17)]
    for given, most in cases:
        files = VirtualFiles()
        saved.clear()
        components = [Steady(1, **given), Sink([])]
        with Harness(
            components, files=files, state_dir="/s", exit_when_idle=True, clock=clock
        ) as harness:
            harness.queue.schedule("tick", 2)
            harness.run()
        assert saved[0] == 0
        assert saved[-1] <= most
        assert (saved[-1] > 10) == bool(most)


def test_a_daemon_that_ends_when_it_is_idle_does_not_wait_for_a_save() -> None:
    class Once(Numbers):
        def setup(self, daemon: Any) -> None:
            self.checkpoints = Checkpoints(daemon)
            self.checkpoints.schedule("number", ("", 1), 1)

    got: list[Any] = []
    files = VirtualFiles()
    components = [Once(1), Sink(got)]
    with Harness(components, files=files, state_dir="/s", exit_when_idle=True) as harness:
        harness.run()
        assert (harness.now, got) == (0.0, [1])
    assert StateStore("/s/Once.store", files=files).value["positions"] == {"": 1}


def test_each_key_has_a_position_of_its_own() -> None:
    world = World()
    world.run(5, keys=("a", "b"))
    world.run(7, keys=("b", "c"))
    expected = [("a", 5), ("b", 7), ("c", 7)]
    assert {*world.got} == {(key, n) for key, last in expected for n in range(1, last + 1)}
    assert len(world.got) == 19
    assert world.saved["positions"] == dict(expected)


@pytest.mark.parametrize(
    "exception", [SystemExit(3), KeyboardInterrupt(), ZenDaemonStopException()]
)
def test_an_event_that_ends_the_daemon_each_time_is_passed_at_last(
    exception: BaseException,
) -> None:
    def at(number: int) -> None:
        if number == 5:
            raise exception

    world = World()
    for start in range(1, 6):  # the first one makes progress
        letters = world.run(9, at, bound=2)
        expected = [] if isinstance(exception, ZenDaemonStopException) else [(5, type(exception))]
        assert letters == expected, start
        assert world.saved["positions"] == {"": 4}, start

    assert world.run(9, at, bound=2) == [(5, ProcessDiedError)]
    assert {*world.got} == {1, 2, 3, 4, 6, 7, 8, 9}
    assert world.got[-4:] == [6, 7, 8, 9]


def test_an_event_during_which_the_process_dies_is_passed_after_four_deaths() -> None:
    def at(number: int) -> Any:
        return DIES if number in {5, 6} else None

    world = World()
    for _ in range(6):  # four for the first; two for the one behind it
        assert world.kill(9, 0.05, at)
    assert world.run(9, at) == [(6, ProcessDiedError)]
    assert {*world.got} == {1, 2, 3, 4, 7, 8, 9}


def test_an_end_in_order_is_no_death() -> None:
    world = World()
    for _ in range(9):
        world.run(3)
    with world.harness(9) as harness:
        harness.advance(10.0)
        assert carefully(harness) == []


def test_a_careful_start_and_its_end_are_logged() -> None:
    world = World()
    for limit in (1, 2):
        world.kill(limit, 0.05, bound=12)
    with world.harness(20, bound=12) as harness:
        harness.advance(10.0)
        lines = [each.message for each in harness.logs if each.level in {"WARNING", "INFO"}]
    assert lines == [
        "The process ended 2 times without progress: events go one at a time now",
        "Progress: events go at full speed again",
    ]


def test_a_failed_event_is_left_to_its_dead_letter() -> None:
    def at(number: int) -> None:
        if number == 3:
            raise ValueError(number)

    world = World()
    assert world.run(5, at) == [(3, ValueError)]
    assert world.run(6, at) == []
    assert world.got == [1, 2, 4, 5, 6]


def test_a_failed_event_that_is_held_comes_again_in_the_next_run() -> None:
    def at(number: int) -> None:
        if number == 3:
            raise ValueError(number)

    world = World()
    with world.harness(100, at, bound=10, on_failed="hold") as harness:
        harness.advance(60.0)
        harness.dead_letters()
        assert world.got == [1, 2, *range(4, 13)]  # then it is full: ten are not behind it
        assert harness.component("Numbers").checkpoints.get_state() == {
            "unacknowledged": 10,
            "waiting": 0,
            "careful": [],
            "full": True,
        }
        errors = [each.message for each in harness.logs if each.level == "ERROR"]
        assert errors[-1] == (
            "Event 'number' at 3 failed: the checkpoint stays before it, and it comes again in the"
            " next run"
        )
    assert world.saved["positions"] == {"": 2}
    world.got.clear()
    world.run(5)
    assert world.got == [3, 4, 5]


def test_a_failed_event_can_stop_the_daemon() -> None:
    def at(number: int) -> None:
        if number == 3:
            raise ValueError(number)

    world = World()
    with world.harness(5, at, on_failed="stop") as harness:
        harness.run(60.0)
        harness.dead_letters()
        assert harness.daemon.is_done()
        assert harness.daemon.status == EXIT_GAVE_UP
    assert world.saved["positions"] == {"": 2}


def test_what_a_stop_leaves_undone_comes_again() -> None:
    world = World()
    with world.harness(100) as harness:
        harness.wait_until(lambda: len(world.got) >= 10)
        harness.daemon.stop(drain=False)
    assert len(world.got) < 100
    world.run(100)
    assert {*world.got} == {*range(1, 101)}


class Batching(ZenDaemonComponent):
    """Holds what it gets, and loses it when it is made anew because of the number 4."""

    supervision = Supervision(delay=0.0)

    def __init__(self, got: list[Any], works_from: int = 2) -> None:
        super().__init__()
        self.got = got
        self.works_from = works_from
        self.batch: list[tuple[int, Any]] = []

    @handles("number")
    def cbk_event_number(self, daemon: Any, args: Any) -> None:
        _, number = args
        self.batch.append((number, daemon.hold()))
        if number == 4 and self.incarnation < self.works_from:
            daemon.io.call_later(0.1, self.fail)
        elif len(self.batch) == 3 or number == 7:
            for each, hold in self.batch:
                self.got.append(each)
                hold.release()
            self.batch.clear()

    def fail(self, daemon: Any) -> None:
        raise RestartComponent("the connection is lost")


def test_what_a_sink_held_when_it_was_made_anew_is_sent_to_it_again() -> None:
    got: list[Any] = []
    files = VirtualFiles()
    numbers = Numbers(4)
    with Harness([numbers, Batching(got)], files=files, state_dir="/state") as harness:
        harness.advance(1.0)
        assert got == [1, 2, 3]
        numbers.limit = 7
        harness.queue.schedule("call", Numbers.read)
        harness.advance(1.0)
    assert sorted(got) == [1, 2, 3, 4, 5, 6, 7]
    store = StateStore("/state/Numbers.store", files=files)
    assert store.value["positions"] == {"": 7}


def test_an_event_because_of_which_a_sink_is_made_anew_is_a_dead_letter_at_last() -> None:
    got: list[Any] = []
    files = VirtualFiles()
    sink = Batching(got, works_from=100)
    with Harness([Numbers(4), sink], files=files, state_dir="/state") as harness:
        harness.advance(30.0)
        [letter] = harness.dead_letters()
        assert (letter.args, letter.position) == (("", 4), 4)
        assert str(letter.cause) == "components that had it were made anew 3 times"
        assert sink.incarnation == 4
    assert got == [1, 2, 3]
    store = StateStore("/state/Numbers.store", files=files)
    assert store.value["positions"] == {"": 4}


def test_a_source_that_is_made_anew_goes_on_and_its_process_has_not_died() -> None:
    world = World()
    with world.harness(1, bound=10) as harness:
        for _ in range(4):
            harness.advance(1.0)
            harness.queue.schedule("call", fail)
            harness.advance(1.0)
            harness.queue.schedule("call", lambda source: source.read_to(source.next[""]))
        harness.advance(1.0)
        harness.dead_letters()
        assert carefully(harness) == []
    assert world.got == [1, 2, 3, 4, 5]
    assert world.saved["careful"] == {"keys": {}}


def test_a_source_that_is_made_anew_in_a_careful_start_goes_on_carefully() -> None:
    world = World()
    for limit in (1, 2):
        world.kill(limit, 0.05)
    with world.harness(3) as harness:
        harness.advance(0.5)
        harness.queue.schedule("call", fail)
        harness.advance(0.5)
        harness.queue.schedule("call", lambda source: source.read_to(4))
        harness.advance(0.5)
        harness.dead_letters()
        assert carefully(harness) == ["The process ended 2 times without progress: events go"] * 2


def test_a_stop_in_a_careful_start_does_not_wait_for_what_is_not_handed_over() -> None:
    world = World()
    for limit in (1, 2):
        world.kill(limit, 0.05)
    world.got.clear()
    with world.harness(3, bound=100) as harness:
        harness.wait_until(lambda: world.got)
        harness.queue.schedule("call", Numbers.read_all)
        harness.step()
    assert 0 < len(world.got) < 50
    position = world.saved["positions"][""]
    assert position == world.got[-1]
    world.got.clear()
    world.run(100)
    assert world.got == list(range(position + 1, 101))


class FullDisk(VirtualFiles):
    is_full = False

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fd, data)


def test_a_full_disk_stops_the_source_until_there_is_room() -> None:
    world = World()
    world.files = files = FullDisk()
    with world.harness(100, bound=8) as harness:
        harness.step()
        files.is_full = True
        harness.advance(60.0)
        assert len(world.got) <= 8
        errors = [each.message for each in harness.logs if each.level == "ERROR"]
        assert errors == [
            "Cannot save to /state/Numbers.store: No space left on device; what was saved before is"
            " kept. Free some space. Trying again until it works."
        ]
        files.is_full = False
        harness.advance(5.0)
        assert world.got == list(range(1, 101))
        assert harness.logs[-1].message == "Checkpoints are saved again"


def test_a_store_with_something_else_is_no_reason_to_fail() -> None:
    for value in ([1], {"offset": 3}, "x", {"positions": 5}, {"careful": {"keys": {"": {"x": 1}}}}):
        world = World()
        world.files.mkdir("/state")
        StateStore("/state/Numbers.store", files=world.files).save(value)
        world.run(3)
        assert world.got == [1, 2, 3], value


def test_data_of_the_source_is_saved_too() -> None:
    def write(source: Numbers) -> None:
        assert source.checkpoints.data is None
        source.checkpoints.data = [7]
        assert source.checkpoints.save()
        assert source.checkpoints.keys() == [""]

    world = World()
    with world.harness(1) as harness:
        harness.advance(2.0)
        harness.queue.schedule("call", write)
        harness.run_until_idle()
        assert world.saved["data"] == [7]
    with world.harness(1) as harness:
        assert harness.component("Numbers").checkpoints.data == [7]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bound": 0}, "bound must be at least 1, not 0"),
        ({"save_interval": 0.0}, "save_interval must be greater than 0, not 0.0"),
        ({"on_failed": "retry"}, "on_failed must be one of 'go-on', 'hold', 'stop', not 'retry'"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Checkpoints(None, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("position", [b"x", {"offset": float("nan")}, object()])
def test_a_position_that_cannot_be_saved_is_refused_at_once(position: object) -> None:
    refused = []

    def schedule(source: Numbers) -> None:
        with pytest.raises((TypeError, ValueError)):
            source.checkpoints.schedule("number", ("", 1), position)
        refused.append(position)

    world = World()
    with world.harness(0) as harness:
        harness.queue.schedule("call", schedule)
        harness.advance(2.0)
    assert (len(refused), world.got) == (1, [])


def test_after_its_end_nothing_is_scheduled() -> None:
    world = World()
    with world.harness(3) as harness:
        harness.advance(2.0)
        checkpoints = harness.component("Numbers").checkpoints
    checkpoints.close()
    with pytest.raises(RuntimeError, match="schedule before teardown"):
        checkpoints.schedule("number", 4, 4)


@seeds(10, soak=100)
def test_whenever_it_is_killed_nothing_is_lost(seed: int) -> None:
    """The seed chooses the moments of the deaths, and how everything overlaps."""
    random = Random(seed)
    world = World()
    bound = random.randrange(1, 20)
    kills = random.randrange(1, 6)
    for _ in range(kills):
        harness = world.harness(300, bound=bound, seed=random.randrange(1_000))
        try:
            harness.start()
            for _ in range(random.randrange(400)):
                harness.step()
        finally:
            harness.close()
    letters = {number for number, _ in world.run(300, bound=bound)}
    assert {*world.got} | letters == {*range(1, 301)}
    assert len(world.got) - len({*world.got}) <= kills * bound
    assert json.loads(json.dumps(world.saved))["positions"] == {"": 300}


# -- kills from outside ----------------------------------------------------------------------------


class Steady(Numbers):
    """Sends a number each 50 ms, and more if it has fallen behind: a file that grows."""

    clock: VirtualClock
    started: float
    careful: list[bool]

    def read(self) -> None:
        self.limit = int((self.clock.monotonic() - self.started) / 0.05)
        super().read()
        self.careful.append(self.checkpoints.is_careful())

    def tick(self, daemon: Any) -> None:
        self.read()
        daemon.io.call_later(0.05, self.tick)


@swept("kills", [50], soak=[500])
@pytest.mark.parametrize("together", [False, True])
def test_a_source_that_is_killed_each_second_loses_nothing_and_blames_no_event(
    *, together: bool, kills: int
) -> None:
    files = VirtualFiles()
    clock = VirtualClock()
    got: list[Any] = []
    careful: list[bool] = []
    begin = clock.monotonic()
    letters: list[Any] = []

    def life(seconds: float) -> None:
        source = Steady(0, together=together, clock=clock, bound=1_000)
        source.clock, source.started, source.careful = clock, begin, careful
        harness = Harness([source, Sink(got)], files=files, state_dir="/state", clock=clock)
        try:
            harness.start()
            harness.queue.schedule("call", lambda each: each.tick(harness.daemon))
            harness.advance(seconds)
            letters.extend(harness.dead_letters())
        finally:
            harness.close()

    for _ in range(kills):
        life(1.0)
    life(3.0)
    assert {*got} == {*range(1, max(got) + 1)}
    assert max(got) > kills * 18
    assert letters == []
    assert not any(careful)


@seeds(5, soak=40)
def test_kills_at_any_moment_make_no_dead_letter_unless_two_hit_the_same_event(seed: int) -> None:
    """In careful starts, too: most of these processes make no progress."""
    random = Random(seed)
    world = World()
    kills, letters = 30, []
    deaths: dict[tuple[str, str], int] = {}
    for _ in range(kills):
        harness = world.harness(60, bound=20, seed=random.randrange(1_000))
        try:
            harness.start()
            for _ in range(random.randrange(40)):
                harness.step()
            letters += harness.dead_letters()
        finally:
            harness.close()
        if note := ((world.saved or {}).get("careful") or {}).get("note"):
            deaths[note[0], note[1]] = deaths.get((note[0], note[1]), 0) + 1
    letters += world.run(60, bound=20)
    numbers = [each[0] if isinstance(each, tuple) else each.args[1] for each in letters]
    assert {*world.got} | {*numbers} == {*range(1, 61)}
    assert all(deaths["", str(number)] >= 2 for number in numbers)


# -- several keys, and what the source saves -------------------------------------------------------


def test_a_checkpoint_that_is_begun_is_saved_and_not_moved_by_another_beginning() -> None:
    def begin(source: Numbers) -> None:
        source.checkpoints.begin(7, key="a")
        source.checkpoints.begin(8, key="a")
        assert source.checkpoints.resume("a") == 7

    world = World()
    with world.harness(0) as harness:
        harness.queue.schedule("call", begin)
        harness.advance(0.2)
        assert world.saved["positions"] == {"a": 7}
    world.run(9, keys=("a",))
    assert world.got == [("a", 8), ("a", 9)]


def test_what_the_source_collects_is_saved_with_each_checkpoint() -> None:
    world = World()
    collected = 0

    def collect() -> Any:
        nonlocal collected
        collected += 1
        return {"reads": collected}

    with world.harness(3, collect=collect) as harness:
        harness.advance(1.0)
        assert (collected, world.saved["data"]) == (2, {"reads": 2})  # before and behind the events
        harness.queue.schedule("call", lambda source: source.checkpoints.changed())
        harness.advance(1.0)
        assert world.saved["data"] == {"reads": 3}
        harness.advance(5.0)
    assert collected == 4  # and at the clean end
    with world.harness(0, collect=collect) as harness:
        harness.advance(0.01)
        assert harness.component("Numbers").checkpoints.data == {"reads": 4}


class Reporting(Numbers):
    """Notes how each event has ended, and where the checkpoint was then."""

    ends: list[Any]

    def read(self) -> None:
        while not self.checkpoints.is_full and self.next[""] <= self.limit:
            number, self.next[""] = self.next[""], self.next[""] + 1
            self.checkpoints.schedule("number", ("", number), number, on_done=self.ended(number))

    def ended(self, number: int) -> Callable[[TokenOutcome], None]:
        def done(outcome: TokenOutcome) -> None:
            self.ends.append((number, outcome, self.checkpoints.resume()))
            self.read()  # at once, as a source may that waits for this

        return done


def reported(
    at: Callable[[int], Any], limit: int, files: VirtualFiles, *, kill: bool = False, **options: Any
) -> list[Any]:
    source = Reporting(limit, **options)
    ends: list[Any] = []
    source.ends = ends
    harness = Harness([source, Sink([], at)], files=files, state_dir="/state")
    try:
        harness.start()
        if kill:
            harness.wait_until(lambda: harness.component("Sink").has_died, within=0.05)
        else:
            harness.advance(5.0)
            harness.dead_letters()
            harness.stop()
    finally:
        harness.close()
    return ends


def test_the_source_hears_how_each_event_has_ended_once_the_checkpoint_is_behind_it() -> None:
    def at(number: int) -> None:
        if number == 2:
            raise ValueError(number)

    outcomes = [(1, TokenOutcome.DONE), (2, TokenOutcome.FAILED), (3, TokenOutcome.DONE)]
    for on_failed, last in (("go-on", 3), ("hold", 1)):
        ends = reported(at, 3, VirtualFiles(), on_failed=on_failed)
        assert sorted(each[:2] for each in ends) == outcomes
        assert ends[-1][2] == last


def test_the_source_hears_of_an_event_of_which_earlier_processes_died() -> None:
    def at(number: int) -> Any:
        return DIES if number == 1 else None

    files = VirtualFiles()
    for _ in range(4):
        assert reported(at, 2, files, kill=True) == []
    assert reported(at, 2, files) == [
        (1, TokenOutcome.FAILED, 1),
        (2, TokenOutcome.DONE, 2),
    ]


def test_the_source_hears_of_an_event_that_was_left_too_often_but_not_before() -> None:
    source = Reporting(4)
    ends: list[Any] = []
    source.ends = ends
    sink = Batching([], works_from=100)
    with Harness([source, sink], files=VirtualFiles(), state_dir="/state") as harness:
        harness.advance(30.0)
        harness.dead_letters()
    assert [each[:2] for each in ends] == [
        *((number, TokenOutcome.DONE) for number in (1, 2, 3)),
        (4, TokenOutcome.FAILED),
    ]


def test_the_source_does_not_hear_of_an_event_that_the_stop_has_left() -> None:
    def at(number: int) -> None:
        if number == 2:
            raise ZenDaemonStopException

    assert reported(at, 3, VirtualFiles()) == [(1, TokenOutcome.DONE, 1)]


def test_a_source_of_many_keys_together_saves_once_before_its_first_event() -> None:
    options: dict[str, Any] = {"keys": tuple(map(str, range(300))), "bound": 10_000}

    def saves(*, together: bool) -> int:
        world, count = World(), itertools.count(1)
        options["collect"] = lambda: next(count)
        with world.harness(1, together=together, **options) as harness:
            harness.wait_until(lambda: len(world.got) == 300)
        return next(count) - 2  # the last one was at the end

    assert saves(together=True) == 1
    assert saves(together=False) == 300


def test_keys_together_go_carefully_together_and_the_source_can_ask() -> None:
    for together in (True, False):
        world = World()
        for _ in range(2):
            world.kill(1, 0.05, keys=("a",), together=together)
        with world.harness(0, keys=("a", "b"), together=together) as harness:
            harness.advance(0.01)
            checkpoints = harness.component("Numbers").checkpoints
            assert checkpoints.is_careful("a")
            assert checkpoints.is_careful("b") == together
            assert not checkpoints.is_careful("") or together
            assert checkpoints.get_state()["careful"] == []  # of those with events
