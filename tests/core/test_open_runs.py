"""Open runs, taken in in parts, against the same events one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zenactors.core.callbacks import gen_event_handler
from zenactors.core.chain import build_chains
from zenactors.core.clock import VirtualClock
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.event_queue import MAX_RUN
from zenactors.core.messages import OpenRun, QueuePosition, Scheduled, Sent

EVENTS = ("x", "y")


class Side:
    """A state, and the handles of what is scheduled."""

    def __init__(self) -> None:
        handlers = [gen_event_handler(event, lambda *_: None) for event in EVENTS]
        self.state = DispatchState(build_chains([("c", handlers)]), clock=VirtualClock())
        self.handles: list[Scheduled] = []

    def content(self) -> list[Any]:
        taken = []
        while self.state.queue.count():
            taken.append(self.state.take_next())
        return taken


class Runs(Side):
    """Appends to open runs, as a producer's thread does."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[OpenRun] = []

    def schedule(self, event: str, args: Any) -> None:
        if not self.runs or self.runs[-1].event != event:
            chain_state = self.state.chain_states[event]
            self.runs.append(OpenRun(self.state, event, "p", chain_state, None))
        sent: Sent = object.__new__(Sent)
        sent.run, sent.args = self.runs[-1], args
        sent.number = len(sent.run.args)
        sent.run.args.append(args)
        self.handles.append(sent)

    def take(self, limit: int) -> int:
        """Take in so many events at most, of the first run with more. Return how many."""
        for run in self.runs:
            if run.has_more():
                return self.state.accept_run(run, limit)
        return 0


class Single(Side):
    """Schedules the same one by one."""

    def schedule(self, event: str, args: Any) -> None:
        scheduled = Scheduled(self.state, QueuePosition.BACK, event, args, 0.0, "p")
        self.handles.append(scheduled)
        self.state.accept(scheduled)


# What happens to both sides: an event is scheduled, one of those so far is cancelled. Only the one
# takes some in.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("schedule"), st.sampled_from(EVENTS)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("take"), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(STEPS)
def test_an_open_run_is_the_same_as_its_events_one_by_one(steps):
    runs, single = Runs(), Single()
    for number, (what, which) in enumerate(steps):
        if what == "schedule":
            runs.schedule(which, number)
            single.schedule(which, number)
        elif what == "take":
            runs.take(which)
        elif which < len(runs.handles):
            handle = runs.handles[which]
            assert runs.state.cancel(handle) == single.state.cancel(single.handles[which])
            assert handle.args is None
    while runs.take(MAX_RUN):
        pass
    assert runs.state.counts() == single.state.counts()
    assert runs.state.ahead("p") == single.state.ahead("p")
    assert runs.content() == single.content()
    assert not any(runs.state.cancel(handle) for handle in runs.handles)


def test_what_was_taken_in_keeps_nothing_alive():
    runs = Runs()
    runs.schedule("x", object())
    runs.schedule("x", object())
    runs.take(1)
    assert runs.runs[0].args[0] is None
    assert runs.runs[0].args[1] is not None


def test_a_long_row_becomes_several_runs():
    runs = Runs()
    for number in range(2 * MAX_RUN + 1):
        runs.schedule("x", number)
    assert runs.take(MAX_RUN - 1) == MAX_RUN - 1
    assert runs.take(MAX_RUN) == MAX_RUN
    assert runs.take(MAX_RUN) == 2
    assert runs.state.ahead("p") == 2 * MAX_RUN + 1
    cancelled = (MAX_RUN - 2, MAX_RUN - 1, 2 * MAX_RUN)
    assert all(runs.state.cancel(runs.handles[number]) for number in cancelled)
    args = [args for _, args in runs.content()]
    assert args == [number for number in range(2 * MAX_RUN + 1) if number not in cancelled]
