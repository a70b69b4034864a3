"""Many events become one, and end as it does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from zenactors import (
    RestartComponent,
    Supervision,
    TokenOutcome,
    ZenDaemon,
    ZenDaemonComponent,
    handles,
)
from zenactors.components import SYSTEM_FILES, AcknowledgingSource, Batcher, Files, Lines
from zenactors.testing import Crash, Harness, Probe, Scenario, explore

from .stepping import Sender, example_of

DONE, FAILED, LEFT = TokenOutcome.DONE, TokenOutcome.FAILED, TokenOutcome.LEFT


def ns(*numbers: int) -> list[dict[str, int]]:
    return [{"n": number} for number in numbers]


class Sink(ZenDaemonComponent):
    """Remembers batches, and keeps each until the test ends it."""

    supervision = Supervision(delay=0.0)

    def __init__(self, *, keeps: bool = False) -> None:
        super().__init__(event_map={"lines": "batch"})
        self.keeps = keeps
        self.got: list[Any] = []
        self.holds: list[Any] = []

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        self.got.append([record["n"] for record in args])
        if self.keeps:
            self.holds.append(daemon.hold())

    @handles("call")
    def cbk_event_call(self, daemon: Any, function: Callable[[Sink], Any]) -> None:
        function(self)


class World:
    """A sender, a batcher and a sink."""

    def __init__(self, *, keeps: bool = False, harness: Any = None, **options: Any) -> None:
        self.sender, self.step, self.sink = Sender(), Batcher(**options), Sink(keeps=keeps)
        components = [self.sender, self.step, self.sink]
        self.harness = Harness(components, **(harness or {}))

    def send(self, *numbers: int) -> None:
        self.harness.queue.schedule("send", ns(*numbers))
        self.harness.run_until_idle()

    def call(self, function: Callable[[Sink], Any]) -> None:
        self.harness.queue.schedule("call", function)
        self.harness.run_until_idle()


def test_a_batch_is_sent_when_it_has_enough_records():
    world = World(batch_count=3)
    with world.harness:
        world.send(1)
        world.send(2)
        assert world.sink.got == []
        assert world.step.get_state()["waiting"] == 2
        assert world.sender.outcomes == []
        world.send(3, 4)
        assert world.sink.got == [[1, 2, 3, 4]]  # an event is not split
        assert world.sender.outcomes == [DONE] * 3
        assert world.step.statistics_cur == {"records": 4, "batches": 1}


def test_a_batch_is_sent_when_its_first_event_has_waited():
    world = World(batch_time=5.0)
    with world.harness:
        world.send(1)
        world.harness.advance(4)
        world.send(2)
        world.harness.advance(0.9)
        assert world.sink.got == []
        world.harness.advance(0.2)
        assert world.sink.got == [[1, 2]]
        world.send(3)
        world.harness.advance(4.9)
        assert world.sink.got == [[1, 2]]


@pytest.mark.parametrize("args", [Lines("f", 0, b"x" * 99 + b"\n"), [b"x" * 36], [{"t": "x" * 36}]])
def test_a_batch_is_sent_when_it_has_enough_bytes(args):
    step, probe = Batcher(batch_bytes=300), Probe("batch")
    with Harness([step, probe]) as harness:
        for _ in range(2):
            harness.queue.schedule("lines", args)
        probe.expect_none(within=0.5)
        harness.queue.schedule("lines", args)
        harness.run_until_idle()
        ((_, batch),) = probe.received
        assert len(batch) == 3


def test_events_are_not_done_before_their_batch_is():
    world = World(keeps=True, batch_count=2)
    with world.harness:
        world.send(1)
        world.send(2)
        world.harness.advance(100)
        assert world.sender.outcomes == []
        assert world.step.get_state()["under_way"] == 1
        world.call(lambda sink: sink.holds[0].release())
        assert world.sender.outcomes == [DONE, DONE]
        assert world.step.get_state()["under_way"] == 0


def test_events_fail_with_their_batch_whose_letter_has_it_whole():
    world = World(
        batch_count=2, harness={"faults": [Crash(component="Sink", event="batch", nth=1)]}
    )
    with world.harness:
        for number in range(1, 5):
            world.send(number)
        assert world.sink.got == [[3, 4]]
        assert world.sender.outcomes == [FAILED, FAILED, DONE, DONE]
        assert [letter.args for letter in world.harness.dead_letters()] == [ns(1, 2)]


def test_a_batch_that_was_left_because_a_sink_was_made_anew_is_sent_again():
    def restart(sink: Sink) -> None:
        raise RestartComponent("as asked")

    world = World(keeps=True, batch_count=2)
    with world.harness:
        world.send(1)
        world.send(2)
        world.call(restart)
        world.harness.advance(1)
        sink = world.harness.component("Sink")
        assert sink.got == [[1, 2]]  # of the new object
        assert world.sender.outcomes == []
        world.call(lambda sink: sink.holds[0].release())
        assert world.sender.outcomes == [DONE, DONE]
        assert world.step.statistics_cur["resent"] == 1
        world.harness.dead_letters()


def test_a_batch_that_cannot_be_sent_is_a_dead_letter_and_its_events_fail():
    sender = Sender(ns(1), ns(2))
    with Harness([sender, Batcher(batch_count=2)]) as harness:
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
        assert letter.args == ns(1, 2)
        assert sender.outcomes == [FAILED, FAILED]


def test_at_a_stop_what_waits_is_sent_and_what_still_comes():
    world = World(batch_time=60.0)
    with world.harness:
        world.send(1)
        world.harness.queue.schedule("send", ns(2))
        world.harness.queue.schedule("lines", ns(3))
        world.harness.stop()

    assert sorted(number for batch in world.sink.got for number in batch) == [1, 2, 3]
    assert world.sender.outcomes == [DONE, DONE]
    assert world.harness.dead_letters() == []


def test_a_batch_that_waits_alone_is_sent_at_a_stop():
    world = World(batch_time=60.0)
    with world.harness:
        world.send(1)
        world.harness.stop()

    assert world.sink.got == [[1]]
    assert world.sender.outcomes == [DONE]


def test_at_a_sigterm_what_no_source_sends_again_is_a_dead_letter():
    sender, sink = Sender(), Sink()
    daemon = ZenDaemon(
        name="batches",
        components=[sender, Batcher(batch_time=60.0), sink],
        schedule=[("lines", ns(1)), ("send", ns(2))],
    )
    with Harness(daemon) as harness:
        harness.run_until_idle()
        harness.signal(signal.SIGTERM)
        harness.run()
        letters = harness.dead_letters()

    assert sink.got == []
    assert [(letter.event, letter.args) for letter in letters] == [("batch", ns(1))]
    assert sender.outcomes == [LEFT]


def test_what_a_sink_keeps_at_a_stop_counts_as_left():
    world = World(keeps=True, batch_count=2)
    with world.harness:
        world.send(1)
        world.send(2)
        world.harness.stop()

    assert world.sender.outcomes == [LEFT, LEFT]


def test_records_that_no_source_asks_about_survive_a_new_object():
    class Failing(Batcher):
        supervision = Supervision(delay=0.0)

        @handles("fail")
        def cbk_event_fail(self, daemon: Any, args: Any) -> None:
            raise RestartComponent("as asked")

    sender, step, sink = Sender(), Failing(batch_time=60.0), Sink()
    with Harness([sender, step, sink]) as harness:
        harness.queue.schedule("lines", ns(1))
        harness.queue.schedule("send", ns(2))
        harness.run_until_idle()
        harness.queue.schedule("fail")
        harness.advance(1)
        assert sink.got == [[1]]
        assert sender.outcomes == [LEFT]  # its source sends it again
        harness.dead_letters()


def test_with_exit_when_idle_nothing_waits_for_long():
    world = World(batch_time=60.0, harness={"exit_when_idle": True})
    with world.harness:
        world.send(1)
        world.harness.advance(0.1)
        assert world.sink.got == [[1]]


LAST = 40


class Numbers(AcknowledgingSource):
    """Sends each number, and goes on where the last run was."""

    max_unfinished = 10

    def setup(self, daemon: Any) -> None:
        super().setup(daemon)
        self.use_checkpoints(daemon)
        assert self.checkpoints is not None
        self.next = (self.checkpoints.resume("") or 0) + 1
        daemon.io.call_later(0.0, lambda _: self.on_room())
        daemon.io.keep_alive()

    def on_room(self) -> None:
        while not self.is_full and self.next <= LAST:
            number, self.next = self.next, self.next + 1
            self.hand_over(ns(number), size=8, position=number)


class SlowWriter(ZenDaemonComponent):
    """Has each batch on the disk a moment after it came."""

    files: Files = SYSTEM_FILES
    supervision = Supervision(on_error="restart", delay=0.0, max_restarts=1_000)

    def __init__(self) -> None:
        super().__init__(event_map={"lines": "batch"})

    def setup(self, daemon: Any) -> None:
        self.waiting: list[Any] = []
        self.fd = self.files.open("/out/ns", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def teardown(self, daemon: Any) -> None:
        self.files.close(self.fd)

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        self.waiting.append((args, daemon.hold()))
        daemon.io.call_later(0.05, self.write)

    def write(self, daemon: Any) -> None:
        for args, hold in self.waiting:
            for record in args:
                self.files.write(self.fd, b"\n%d\n" % record["n"])  # the last one may be torn
            hold.release()
        self.waiting.clear()


def check_none_is_lost(harness: Harness) -> None:
    content = harness.files.content("/out/ns")
    assert {*map(int, content.split())} >= {*range(1, LAST + 1)}


def test_no_record_is_lost_by_kills_and_restarts():
    scenario = Scenario(
        build=lambda: [Numbers(), Batcher(batch_count=4, batch_time=0.2), SlowWriter()],
        drive=lambda harness: harness.advance(60),
        check=check_none_is_lost,
        files={"/out/ns": ""},
        faults=[Crash(point="timer", component="SlowWriter", chance=0.1)],
        state_dir="/state",
        kills=2,
    )
    explore(scenario, seeds=range(20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_count": 0}, "batch_count is 0"),
        ({"batch_bytes": 0.5}, "batch_bytes is 0.5"),
        ({"batch_time": 0}, "batch_time is 0"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Batcher(**options)


def test_the_example_runs(run_spec, tmp_path):
    assert run_spec(example_of(Batcher), tmp_path) == (0, ns(1, 2, 3))
