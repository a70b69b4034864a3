"""Duplicates are dropped, and nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from zenactors import RestartComponent, Supervision, TokenOutcome, ZenDaemonComponent, handles
from zenactors.components import (
    SYSTEM_FILES,
    AcknowledgingSource,
    Deduplicator,
    Files,
)
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash, Harness, Probe, Scenario, explore

from .stepping import Sender, example_of, run_step

DONE, FAILED, LEFT = TokenOutcome.DONE, TokenOutcome.FAILED, TokenOutcome.LEFT


def ids(*values: Any) -> list[dict[str, Any]]:
    return [{"id": value} for value in values]


def unique_of(step: Deduplicator, *batches: Any) -> list[Any]:
    seen = run_step(step, *batches, events=("unique",))
    assert seen.letters == []
    assert {event for event, _ in seen.received} <= {"unique"}
    return [record for _, args in seen.received for record in args]


def test_a_key_passes_once_and_records_without_one_always():
    step = Deduplicator(keys=["id"])

    assert unique_of(step, ids(1, 2, 1), ids(2, 3), [{}, {}]) == [*ids(1, 2, 3), {}, {}]
    assert step.statistics_cur == {
        "records": 7,
        "passed_on": 5,
        "duplicates": 2,
        "without_key": 2,
    }


def test_values_of_different_types_are_different_keys_and_any_value_is_one():
    values = [1, "1", True, 1.5, None, [1], [1, 2], {"a": 1, "b": 2}, b"x", "\udc80", {(1, 2): 3}]
    step = Deduplicator(keys=["id"])

    assert unique_of(step, ids(*values), ids(*values, {"b": 2, "a": 1})) == ids(*values)


def test_a_key_may_have_several_fields():
    step = Deduplicator(keys=["a", "b"])
    records = [{"a": 1, "b": 2}, {"a": 12, "b": ""}, {"a": 1, "b": 2, "c": 3}, {"a": 1}]

    assert unique_of(step, records) == [records[0], records[1], records[3]]


def test_hostile_keys_are_dead_letters_of_their_own():
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    endless: list[Any] = []
    endless.append(endless)
    step = Deduplicator(keys=["id"])
    with Harness(
        [Sender(ids(deep, 1, endless), [b"x"]), step, probe := Probe("unique")]
    ) as harness:
        harness.run_until_idle()
        causes = [str(letter.cause) for letter in harness.dead_letters()]
        harness.daemon.dead_letters.purge()

    assert [args for _, args in probe.received] == [ids(1)]
    assert [cause.split(":")[0] for cause in causes] == [
        "The key of a record is nested too deep.",
        "Circular reference detected",
        "A record is a bytes, which has no fields",
    ]
    while deep:  # or its end would be as deep
        (deep,) = deep


class World:
    """A deduplicator, and a sink that ends each event as a test wants."""

    def __init__(self, outcome: Callable[[Any], str] = lambda args: "done", **options: Any) -> None:
        self.sender = Sender()
        self.step = Deduplicator(keys=["id"], **options)
        self.sink = Sink(outcome)
        self.components = [self.sender, self.step, self.sink]


class Sink(ZenDaemonComponent):
    """Remembers ids; releases, fails or keeps each event."""

    supervision = Supervision(delay=0.0)

    def __init__(self, outcome: Callable[[Any], str]) -> None:
        super().__init__(event_map={"lines": "unique"})
        self.outcome = outcome
        self.got: list[Any] = []
        self.holds: list[Any] = []

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        hold = daemon.hold()
        self.got.extend(record["id"] for record in args)
        outcome = self.outcome(args)
        if outcome == "done":
            hold.release()
        elif outcome == "failed":
            hold.fail()
        self.holds.append(hold)

    @handles("call")
    def cbk_event_call(self, daemon: Any, function: Callable[[Sink], Any]) -> None:
        function(self)


def test_a_key_counts_for_the_window_once_its_record_is_done():
    world = World(window=60.0)
    with Harness(world.components) as harness:
        for seconds in (0, 59.9, 0.1, 59.9, 0.1):
            harness.advance(seconds)
            harness.queue.schedule("send", ids(1))
            harness.run_until_idle()

        assert harness.component("Sink").got == [1, 1, 1]
        assert world.step.statistics_cur["duplicates"] == 2


def test_the_oldest_keys_are_forgotten_beyond_the_limit():
    world = World(max_keys=3)
    with Harness(world.components) as harness:
        for value in (1, 2, 3, 2, 4, 2, 1, 3):
            harness.queue.schedule("send", ids(value))
            harness.run_until_idle()
            assert world.step.get_state()["done"] <= 3

        assert world.sink.got == [1, 2, 3, 4, 1]
        assert world.step.statistics_cur["evicted"] == 2


def test_so_are_those_under_way_if_there_are_too_many():
    world = World(lambda args: "keep", max_keys=2)
    with Harness(world.components) as harness:
        harness.queue.schedule("send", ids(1, 2, 3, 1))
        harness.run_until_idle()
        assert world.sink.got == [1, 2, 3, 1]
        assert world.step.get_state()["under_way"] == 2
        harness.queue.schedule("call", lambda sink: [hold.release() for hold in sink.holds])
        harness.run_until_idle()
        assert world.step.get_state()["done"] == 2


def test_while_a_record_is_under_way_others_with_its_key_are_dropped():
    world = World(lambda args: "keep", window=1.0)
    with Harness(world.components) as harness:
        harness.queue.schedule("send", ids(1))
        harness.advance(5)
        harness.queue.schedule("send", ids(1))
        harness.advance(5)
        assert world.sink.got == [1]
        assert world.sender.outcomes == [DONE]  # of the duplicate
        harness.queue.schedule("call", lambda sink: sink.holds[0].release())
        harness.run_until_idle()
        assert world.sender.outcomes == [DONE, DONE]


def test_the_key_of_a_record_that_failed_is_forgotten():
    outcomes = iter(["failed", "done", "done"])
    world = World(lambda args: next(outcomes))
    with Harness(world.components) as harness:
        for _ in range(3):
            harness.queue.schedule("send", ids(1))
            harness.run_until_idle()

        assert world.sink.got == [1, 1]
        assert world.sender.outcomes == [FAILED, DONE, DONE]


def test_so_is_that_of_a_record_that_was_left_because_a_sink_was_made_anew():
    def restart(sink: Sink) -> None:
        raise RestartComponent("as asked")

    outcomes = iter(["keep", "done"])
    world = World(lambda args: next(outcomes))
    with Harness(world.components) as harness:
        harness.queue.schedule("send", ids(1))
        harness.run_until_idle()
        harness.queue.schedule("call", restart)
        harness.advance(1)
        assert world.sender.outcomes == [LEFT]
        harness.queue.schedule("send", ids(1))
        harness.advance(1)
        assert world.sender.outcomes == [LEFT, DONE]
        harness.dead_letters()  # of the call


def test_an_event_that_cannot_be_sent_leaves_no_keys():
    step = Deduplicator(keys=["id"])
    with Harness([Sender(ids(1)), step]) as harness:
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
        assert "'unique' was scheduled, but no component handles it" in str(letter.cause)
        assert step.get_state()["under_way"] == 0


# --- across runs ----------------------------------------------------------------------------------


def remembering(outcome: str = "done", **options: Any) -> World:
    return World(lambda args: outcome, remember=True, **options)


def start(world: World, files: Any, **options: Any) -> Harness:
    return Harness(world.components, files=files, state_dir="/state", **options)


def send(harness: Harness, *values: Any) -> None:
    harness.queue.schedule("send", ids(*values))
    harness.run_until_idle()


def test_keys_survive_a_stop_and_what_is_not_done_does_not():
    with start(remembering(), {}) as harness:
        send(harness, 1, 2)
        harness.stop()
        files = harness.files
    with start(remembering("keep"), files) as harness:
        send(harness, 3, 1)
    second = remembering()
    with start(second, files) as harness:
        send(harness, 1, 2, 3, 4)

    assert second.sink.got == [3, 4]


@pytest.mark.parametrize(("seconds", "got"), [(9.9, [1, 2]), (10.1, [2])])
def test_a_kill_forgets_at_most_the_keys_since_the_last_save(seconds, got):
    harness = start(remembering(save_interval=10.0), {})
    harness.start()
    send(harness, 1)
    harness.advance(seconds)
    harness.kill(power_failure=True)
    second = remembering()
    with harness.next_life(second.components) as harness:
        send(harness, 1, 2)

    assert second.sink.got == got


@pytest.mark.parametrize(("passed", "got"), [(50.0, []), (61.0, [1]), (-500.0, [])])
def test_the_window_goes_on_while_the_process_does_not_run(passed, got):
    with start(remembering(window=60.0), {}) as harness:
        send(harness, 1)
        harness.stop()
        files, clock = harness.files, harness.clock
    clock.step(passed)
    second = remembering(window=60.0)
    with start(second, files, clock=clock) as harness:
        send(harness, 1)

    assert second.sink.got == got


def test_a_wall_clock_that_was_set_back_does_not_prolong_the_window():
    with start(remembering(window=60.0), {}) as harness:
        send(harness, 1)
        harness.stop()
        files, clock = harness.files, harness.clock
    clock.step(-500.0)
    second = remembering(window=60.0)
    with start(second, files, clock=clock) as harness:
        harness.advance(61)
        send(harness, 1)

    assert second.sink.got == [1]


@pytest.mark.parametrize("options", [{"keys": ["name"]}, {"max_keys": 2}])
def test_what_other_options_have_saved(options):
    with start(remembering(), {}) as harness:
        send(harness, 1, 2, 3)
        harness.stop()
        files = harness.files
    step = Deduplicator(**{"keys": ["id"], "remember": True, **options})
    with Harness([step, Probe("unique")], files=files, state_dir="/state") as harness:
        other_fields = "keys" in options
        assert step.get_state()["done"] == (0 if other_fields else 2)
        warnings = [log for log in harness.logs if log.level == "WARNING"]
        assert bool(warnings) is other_fields


def test_it_needs_a_state_directory():
    step = Deduplicator(keys=["id"], remember=True)
    with pytest.raises(ComponentStartError, match="state_dir"):
        Harness([step, Probe("unique")]).start()


def test_a_full_disk_costs_no_record_and_is_logged_once():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    world = remembering(save_interval=1.0)
    faults = [Crash(point="file", event="write", chance=1.0, error=full)]
    with start(world, {}, faults=faults) as harness:
        for value in range(3):
            send(harness, value)
            harness.advance(2)
        harness.stop()
        errors = [log.message for log in harness.logs if log.level == "ERROR"]

    assert world.sink.got == [0, 1, 2]
    assert world.step.statistics_cur["save_failures"] >= 3
    assert len(errors) == 1
    assert "No space left" in errors[0]


LAST = 12


class Numbers(AcknowledgingSource):
    """Sends each number twice in a row of two events, and goes on where the last run was."""

    max_unfinished = 6

    def setup(self, daemon: Any) -> None:
        super().setup(daemon)
        self.use_checkpoints(daemon)
        assert self.checkpoints is not None
        self.next = (self.checkpoints.resume("") or 0) + 1
        daemon.io.call_later(0.0, lambda _: self.on_room())
        daemon.io.keep_alive()

    def on_room(self) -> None:
        while not self.is_full and self.next <= 2 * LAST:
            number, self.next = self.next, self.next + 1
            self.hand_over(ids((number + 1) // 2), size=8, position=number)


class SlowWriter(ZenDaemonComponent):
    """Has each record on the disk a moment after it came."""

    files: Files = SYSTEM_FILES
    supervision = Supervision(on_error="restart", delay=0.0, max_restarts=1_000)

    def __init__(self) -> None:
        super().__init__(event_map={"lines": "unique"})

    def setup(self, daemon: Any) -> None:
        self.waiting: list[Any] = []
        self.fd = self.files.open("/out/ids", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        directory = self.files.open("/out", os.O_RDONLY | os.O_DIRECTORY)
        self.files.fsync(directory)
        self.files.close(directory)

    def teardown(self, daemon: Any) -> None:
        self.files.close(self.fd)

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        self.waiting.append((args[0]["id"], daemon.hold()))
        daemon.io.call_later(0.05, self.write)

    def write(self, daemon: Any) -> None:
        for value, hold in self.waiting:
            self.files.write(self.fd, b"\n%d\n" % value)  # the last one may be torn
            self.files.fsync(self.fd)
            hold.release()
        self.waiting.clear()


def numbers_in(harness: Harness) -> list[int]:
    return [int(line) for line in harness.files.content("/out/ids").split() if line.isdigit()]


def check_none_is_lost(harness: Harness) -> None:
    assert {*numbers_in(harness)} >= {*range(1, LAST + 1)}


def test_no_record_is_lost_by_kills_power_failures_and_restarts():
    scenario = Scenario(
        build=lambda: [Numbers(), remembering(save_interval=0.1).step, SlowWriter()],
        drive=lambda harness: harness.advance(60),
        check=check_none_is_lost,
        files={"/out/.keep": ""},
        faults=[Crash(point="timer", component="SlowWriter", chance=0.1)],
        state_dir="/state",
        kills=2,
        power_failures=1,
    )
    explore(scenario, seeds=range(20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": []}, "keys is empty"),
        ({"keys": "id"}, r"write \['id'\]"),
        ({"keys": ["id"], "window": 0}, "window is 0"),
        ({"keys": ["id"], "max_keys": 0}, "max_keys is 0"),
        ({"keys": ["id"], "remember": 1}, "remember is 1"),
        ({"keys": ["id"], "save_interval": -1}, "save_interval is -1"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Deduplicator(**options)


def test_the_example_runs(run_spec, tmp_path):
    assert run_spec(example_of(Deduplicator), tmp_path) == (0, ids(1, 2))


def test_two_processes_one_after_the_other_write_each_record_once(run_spec, tmp_path):
    example = example_of(Deduplicator)
    spec = example.replace('keys = ["id"]', 'keys = ["id"], remember = true').replace(
        "schedule", 'state_dir = "state"\nschedule', 1
    )
    assert run_spec(spec, tmp_path) == (0, ids(1, 2))
    assert run_spec(spec.replace("{ id = 2 }", "{ id = 3 }"), tmp_path) == (0, ids(3))
