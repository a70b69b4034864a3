"""How much is handed over at a time, and how fast."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.components import Lines
from zenactors.components.tail.delivery import FEWEST_BYTES, MOST_BYTES, Delivery, RateLimit
from zenactors.core.tokens import TokenOutcome

from .fakes import FakeDaemon


class Sink:
    """A delivery to a fake daemon."""

    def __init__(self, rate: float | None = None) -> None:
        self.daemon: Any = FakeDaemon()  # Any: it has only what a delivery uses
        self.progress = 0
        daemon: Any = self.daemon  # it has only what a delivery uses
        self.delivery = Delivery(
            daemon,
            "lines",
            self.daemon.clock,
            checkpoints=None,
            rate=None if rate is None else RateLimit(rate, self.daemon.clock),
            on_progress=self._note,
        )

    def _note(self) -> None:
        self.progress += 1

    def put(self, data: bytes, offset: int = 0) -> None:
        self.delivery.put("a", Lines("a.log", offset, data), None)

    def end_one(self) -> Lines:
        _, lines, on_done = self.daemon.scheduled.popleft()
        on_done(TokenOutcome.DONE)
        assert isinstance(lines, Lines)
        return lines


def fill(sink: Sink, size: int = 1 << 16) -> int:
    count = 0
    while not sink.delivery.is_full:
        sink.put(b"x" * (size - 1) + b"\n")
        count += 1
    return count * size


def test_there_is_room_again_once_half_is_done():
    sink = Sink()
    fill(sink)
    events = len(sink.daemon.scheduled)
    ended = 0
    sink.daemon.clock.advance(0.1)  # neither slow nor fast: the limit stays
    while sink.delivery.is_full:
        sink.end_one()
        ended += 1

    assert ended == events // 2
    assert sink.progress == ended


@pytest.mark.parametrize(("took", "expected"), [(0.0, MOST_BYTES), (1.0, FEWEST_BYTES)])
def test_a_slow_sink_gets_less_at_a_time_and_a_fast_one_more(took, expected):
    sink = Sink()
    under_way = 0
    for _ in range(40):
        under_way = under_way or fill(sink)
        sink.daemon.clock.advance(took)
        while sink.daemon.scheduled:
            sink.end_one()
        under_way = fill(sink)

    assert under_way == expected


def test_everything_is_done_once_all_has_ended():
    sink = Sink()
    assert sink.delivery.is_idle
    sink.put(b"one\n")
    assert not sink.delivery.is_idle
    sink.end_one()
    assert sink.delivery.is_idle


def test_a_pause_holds_everything_back_in_order():
    sink = Sink()
    sink.delivery.paused = True
    sink.put(b"one\n")
    sink.put(b"two\n", 4)
    assert sink.delivery.is_full
    assert not sink.daemon.scheduled
    sink.delivery.paused = False
    sink.delivery.pump()

    assert [sink.end_one().data for _ in range(2)] == [b"one\n", b"two\n"]


def test_a_rate_limit_spreads_lines_over_time_in_small_bursts():
    sink = Sink(rate=100)
    sink.put(b"x\n" * 1000)
    moments = []
    while (delay := sink.delivery.delay) is not None:
        sink.daemon.clock.advance(delay)
        sink.delivery.pump()
        moments.append((sink.daemon.clock.monotonic(), len(sink.daemon.scheduled)))

    begin = moments[0][0]
    for now, count in moments:
        assert 5 * count <= 100 * (now - begin) + 15
    assert moments[-1][0] - begin == pytest.approx(10, abs=0.5)


@given(st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"")), min_size=1))
def test_parts_of_limited_lines_are_the_whole(texts):
    data = b"".join(text + b"\n" for text in texts)
    sink = Sink(rate=1)
    sink.put(data, 7)
    sink.delivery.hand_over_all()
    parts = [sink.end_one() for _ in range(len(sink.daemon.scheduled))]

    assert b"".join(part.data for part in parts) == data
    assert [part.data for part in parts] == [text + b"\n" for text in texts]
    offset = 7
    for part in parts:
        assert part.offset == offset
        offset += len(part.data)
