"""Rows of events, taken in at once, against the same events one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zenactors.core.callbacks import gen_event_handler
from zenactors.core.chain import build_chains
from zenactors.core.clock import VirtualClock
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.event_queue import MAX_RUN
from zenactors.core.messages import NEW, QueuePosition, Scheduled, Sender, Sent

EVENTS = ("x", "y")


class Side:
    """A state, and what it has accepted."""

    def __init__(self) -> None:
        handlers = [gen_event_handler(event, lambda *_: None) for event in EVENTS]
        self.state = DispatchState(build_chains([("c", handlers)]), clock=VirtualClock())
        self.senders = {
            (producer, event): Sender(
                self.state, event, producer, self.state.chain_states[event], None
            )
            for producer in ("a", "b")
            for event in EVENTS
        }

    def sent(self, producer: str, event: str, args: Any) -> Sent:
        sent: Sent = object.__new__(Sent)
        sent.sender, sent.args, sent.location = self.senders[producer, event], args, NEW
        return sent

    def scheduled(self, producer: str, event: str, args: Any) -> Scheduled:
        return Scheduled(self.state, QueuePosition.BACK, event, args, 0.0, producer)

    def content(self) -> list[Any]:
        taken = []
        while self.state.queue.count():
            taken.append(self.state.take_next())
        return taken

    def counts(self) -> list[Any]:
        return self.state.counts()


ITEMS = st.tuples(st.sampled_from("ab"), st.sampled_from(EVENTS), st.booleans(), st.integers(0, 9))


@given(st.lists(ITEMS, max_size=40), st.integers(1, 45), st.sets(st.integers(0, 39)))
def test_a_row_is_the_same_as_its_events_one_by_one(items, step, cancelled_later):
    rows, single = Side(), Side()
    row: list[Any] = []
    for number, (producer, event, is_sent, fate) in enumerate(items):
        for side, into in ((rows, row), (single, [])):
            make = side.sent if is_sent else side.scheduled
            each = make(producer, event, number)
            into.append(each)
            if fate == 0:
                assert side.state.cancel(each)  # on its way
            if side is single:
                side.state.accept(each)
    at = 0
    while at < len(row):
        if type(row[at]) is Sent:
            behind = rows.state.accept_row(row, at, min(len(row), at + step))
            assert behind > at
            at = behind
        else:
            rows.state.accept(row[at])
            at += 1
    assert rows.counts() == single.counts()
    for number in cancelled_later:
        if number < len(row):
            assert rows.state.cancel(row[number]) == (items[number][3] != 0)
    expected = [(event, args) for event, args in single.content() if args not in cancelled_later]
    assert rows.content() == expected


def test_a_long_row_becomes_several_runs():
    side = Side()
    row = [side.sent("a", "x", number) for number in range(2 * MAX_RUN + 1)]
    assert side.state.accept_row(row, 0, len(row)) == len(row)
    assert side.state.ahead("a") == len(row)
    assert [each.cancel() for each in row[MAX_RUN - 1 : MAX_RUN + 1]] == [True, True]
    args = [args for _, args in side.content()]
    assert args == [n for n in range(len(row)) if n not in (MAX_RUN - 1, MAX_RUN)]
