"""The base of sources: bounded, and told of the end of each event."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from zenactors import RestartComponent, TokenOutcome, UnknownEventError, ZenDaemonComponent, handles
from zenactors.components import AcknowledgingSource
from zenactors.testing import Harness
from zenactors.testing.files import VirtualFiles

DONE, FAILED, LEFT = TokenOutcome.DONE, TokenOutcome.FAILED, TokenOutcome.LEFT


class Numbers(AcknowledgingSource):
    max_unfinished = 3

    def __init__(self, count: int = 10, size: int = 1, *, remembers: bool = False) -> None:
        super().__init__()
        self.count = count
        self.size = size
        self.remembers = remembers
        self.outcomes: list[tuple[int, TokenOutcome]] = []

    def setup(self, daemon: Any) -> None:
        super().setup(daemon)
        self.next = 0
        if self.remembers:
            self.use_checkpoints(daemon)
        if self.checkpoints is not None:
            self.next = self.checkpoints.resume() or 0
        self.on_room()

    def on_room(self) -> None:
        while not self.is_full and self.next < self.count:
            number, self.next = self.next, self.next + 1
            self.hand_over(
                [number],
                size=self.size,
                position=number + 1,
                on_done=functools.partial(self.ended, number),
            )

    def ended(self, number: int, outcome: TokenOutcome) -> None:
        self.outcomes.append((number, outcome))


class Keeper(ZenDaemonComponent):
    """Holds each event until it is told to release one."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: list[tuple[Any, Any]] = []
        self.seen: list[Any] = []

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, records: Any) -> None:
        self.holds.append((records, daemon.hold()))
        self.seen += records

    @handles("release")
    def cbk_event_release(self, daemon: Any, fails: Any) -> None:
        _, hold = self.holds.pop(0)
        if fails:
            hold.fail()
        else:
            hold.release()


def test_it_is_full_with_so_many_unfinished_events_and_goes_on_when_one_is_done():
    source, keeper = Numbers(), Keeper()
    with Harness([source, keeper]) as harness:
        harness.run_until_idle()
        assert keeper.seen == [0, 1, 2]
        harness.queue.schedule("release")
        harness.run_until_idle()
        assert keeper.seen == [0, 1, 2, 3]
        assert source.outcomes == [(0, DONE)]
        assert source.get_state()["unfinished"] == 3
        assert source.get_state()["full"] is True


def test_it_is_full_with_so_many_bytes():
    source, keeper = Numbers(size=100), Keeper()
    source.max_unfinished_bytes = 150
    with Harness([source, keeper]) as harness:
        harness.run_until_idle()
        assert keeper.seen == [0, 1]
        assert source.get_state()["unfinished_bytes"] == 200


def test_an_event_larger_than_the_limit_is_alone():
    source, keeper = Numbers(size=1_000), Keeper()
    source.max_unfinished_bytes = 10
    with Harness([source, keeper]) as harness:
        harness.run_until_idle()
        assert keeper.seen == [0]
        harness.queue.schedule("release")
        harness.run_until_idle()
        assert keeper.seen == [0, 1]


def test_a_failure_makes_room_too_and_is_told():
    source, keeper = Numbers(), Keeper()
    with Harness([source, keeper]) as harness:
        harness.run_until_idle()
        harness.queue.schedule("release", "fail")
        harness.run_until_idle()
        assert source.outcomes == [(0, FAILED)]
        assert keeper.seen == [0, 1, 2, 3]


def test_what_cannot_be_scheduled_does_not_count():
    source = Numbers(count=0)
    with Harness([source, Keeper()]) as harness:
        harness.run_until_idle()
        for _ in range(5):
            with pytest.raises(UnknownEventError):
                source.hand_over([1], size=100, event="unknown")
        state = source.get_state()
        assert (state["unfinished"], state["unfinished_bytes"]) == (0, 0)


def test_after_a_stop_it_reads_no_more():
    source, keeper = Numbers(), Keeper()
    with Harness([source, keeper]) as harness:
        harness.run_until_idle()
        harness.stop()
    assert keeper.seen == [0, 1, 2]
    assert [outcome for _, outcome in source.outcomes] == [LEFT, LEFT, LEFT]


def test_without_a_state_dir_positions_have_no_effect():
    source, keeper = Numbers(remembers=True), Keeper()
    with Harness([source, keeper]) as harness:
        harness.run_until_idle()
        assert source.checkpoints is None
        assert keeper.seen == [0, 1, 2]


def test_with_checkpoints_the_next_run_begins_behind_what_is_done():
    files = VirtualFiles()
    first = Keeper()
    with Harness([Numbers(remembers=True), first], state_dir="/state", files=files) as harness:
        harness.run_until_idle()
        harness.queue.schedule("release")
        harness.advance(2)
        assert first.seen == [0, 1, 2, 3]
        harness.kill()
        source, second = Numbers(remembers=True), Keeper()
        with harness.next_life([source, second]) as again:
            again.run_until_idle()
            assert second.seen == [1, 2, 3]
            assert source.get_state()["checkpoints"]["unacknowledged"] == 3


def test_with_checkpoints_an_event_that_was_left_comes_again_by_itself():
    class Forgetful(Keeper):
        @handles("forget")
        def cbk_event_forget(self, daemon: Any, args: Any) -> None:
            raise RestartComponent("as asked")

    source = Numbers(count=1, remembers=True)
    with Harness([source, keeper := Forgetful()], state_dir="/state", files={}) as harness:
        harness.run_until_idle()
        harness.queue.schedule("forget")
        harness.advance(1)
        assert keeper.seen == [0]  # by the new object
        harness.queue.schedule("release")
        harness.advance(1)
        assert source.outcomes == [(0, DONE)]
