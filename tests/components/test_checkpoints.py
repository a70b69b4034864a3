"""Sources with checkpoints, under the real engine and in virtual time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from zenactors import (
    Checkpoints,
    ProcessDiedError,
    RestartComponent,
    Supervision,
    ZenDaemonComponent,
    ZenDaemonStopException,
    handles,
)
from zenactors.components._state_store import StateStore
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
        seed = options.pop("seed", None)
        components = [Numbers(limit, **options), Sink(self.got, at)]
        return Harness(components, files=self.files, state_dir="/state", seed=seed)

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
    with world.harness(3, save_interval=5.0) as harness:
        harness.advance(4.9)
        assert world.saved["positions"] == {}
        harness.advance(0.2)
        assert world.saved["positions"] == {"": 3}


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
def test_an_event_that_ends_the_daemon_each_time_is_passed_at_the_fourth_start(
    exception: BaseException,
) -> None:
    def at(number: int) -> None:
        if number == 5:
            raise exception

    world = World()
    for start in range(1, 4):
        letters = world.run(9, at, bound=2)
        expected = [] if isinstance(exception, ZenDaemonStopException) else [(5, type(exception))]
        assert letters == expected, start
        assert world.saved["positions"] == {"": 4}, start

    assert world.run(9, at, bound=2) == [(5, ProcessDiedError)]
    assert {*world.got} == {1, 2, 3, 4, 6, 7, 8, 9}
    assert world.got[-4:] == [6, 7, 8, 9]


def test_an_event_during_which_the_process_dies_is_passed_at_the_fourth_start() -> None:
    def at(number: int) -> Any:
        return DIES if number in {5, 6} else None

    world = World()
    for _ in range(4):
        assert world.kill(9, 10.0, at)
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
    for limit in (2, 4):
        world.kill(limit, 0.5, bound=4)
    with world.harness(9, bound=4) as harness:
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
        world.kill(limit, 0.5)
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
        world.kill(limit, 0.5)
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


@pytest.mark.parametrize("seed", range(60))
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
