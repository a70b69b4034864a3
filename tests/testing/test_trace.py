from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenactors import Daemon, Replicas, ZenDaemonComponent, ZenDaemonStopException, handles
from zenactors.core.dispatch_state import ORDERINGS, Ordering
from zenactors.testing import Harness, Probe
from zenactors.testing._trace import trace as trace_module
from zenactors.testing._trace.trace import Trace


class Fate(ZenDaemonComponent):
    """Handles an event as its args say."""

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> Any:
        match args:
            case "stop":
                return daemon.FLAG_STOP, args
            case "raise":
                raise LookupError("no such thing")
            case "wrong":
                return 5
            case "hang":
                daemon._runtime.event().wait()
            case "change":
                return daemon.FLAG_CONTINUE, {"changed": True}
            case "child":
                daemon.queue.schedule("y", args)
        return None

    @handles("y")
    def cbk_event_y(self, daemon: Daemon, args: Any) -> None:
        self.inc_statistic("y")


def shown(harness: Harness) -> dict[str, str]:
    """Return the lines of a failure, by event."""
    lines = [line for line in harness.situation().splitlines() if line.startswith("  ")]
    return dict(re.fullmatch(r"  (\S+) +(.*)", line).groups() for line in lines)  # type: ignore[union-attr,misc]


def kinds_of(harness: Harness, label: str) -> list[str]:
    return [f"{entry.who} {entry.kind}" for entry in harness.trace.entries if entry.event == label]


def test_a_failure_says_of_each_event_where_it_is() -> None:
    with Harness([Fate(name="fate"), Probe("x", name="next")]) as harness:
        for args in ("go", "stop", "raise", "wrong", "change"):
            harness.queue.schedule("x", args)
        harness.run_until_idle()
        harness.queue.schedule_after(60.0, "x", "after")
        harness.queue.schedule_after(90.0, "x", "taken back").cancel()
        harness.queue.schedule("x", "hang")
        harness.run_until_idle()
        harness.queue.schedule("x", "behind")
        assert shown(harness) == {
            "x#1": "'go': completed",
            "x#2": "'stop': stopped by fate",
            "x#3": "'raise': dead in fate: LookupError: no such thing",
            "x#4": (
                "'wrong': dead in fate: ZenDaemonComponentException: <bound method"
                " Fate.cbk_event_x of <tests.testing.test_trace.Fate object>> returned 5;"
                " expected (flag, args), or None to continue."
            ),
            "x#5": "{'changed': True}: completed",
            "x#6": "'after': queued in 60 s",
            "x#7": "'taken back': cancelled",
            "x#8": "'hang': in fate",
            "x#9": "'behind': on its way to fate",
        }


def test_events_with_the_same_args_are_not_taken_for_each_other() -> None:
    with Harness([Fate(name="fate")]) as harness:
        later = harness.queue.schedule_after(60.0, "x")
        harness.queue.schedule("x")
        harness.run_until_idle()
        assert shown(harness) == {"x#1": "None: queued in 60 s", "x#2": "None: completed"}
        assert later.cancel()
        assert shown(harness) == {"x#1": "None: cancelled", "x#2": "None: completed"}
        assert not harness.trace._by_scheduled
        assert not harness.trace._in_flight


def test_an_event_that_is_taken_out_of_the_queue_is_not_remembered_as_queued() -> None:
    harness = Harness([Fate(name="fate")])
    harness.queue.schedule("x", "go")
    assert harness.queue.next() == ("x", "go")
    assert shown(harness) == {"x#1": "'go': taken out by outside"}
    assert not harness.trace._by_scheduled
    assert not harness.trace._in_flight


def test_a_control_event_that_reaches_every_replica_is_one_event() -> None:
    replicas = Replicas(lambda: Fate(name="fate"), 3)
    with Harness([replicas, Fate(name="next")]) as harness:
        harness.queue.schedule_priority("x", {"for": "all"})
        harness.run_until_idle()
        assert shown(harness) == {"x#1": "{'for': 'all'}: completed"}
        calls = [each for each in kinds_of(harness, "x#1") if each.endswith(" call")]
        assert sorted(calls) == ["fate/1 call", "fate/2 call", "fate/3 call", "next call"]
        assert not harness.trace._in_flight


def test_an_event_between_two_components_is_on_its_way() -> None:
    places = []
    with Harness([Fate(name="one"), Fate(name="two"), Fate(name="three")]) as harness:
        harness.queue.schedule("x", "go")
        harness.queue.schedule_next("x", "next")
        while harness.step():
            places.append(shown(harness)["x#1"])
    assert list(dict.fromkeys(places)) == [
        "'go': on its way to one",
        "'go': on its way to two",
        "'go': on its way to three",
        "'go': completed",
    ]


def test_the_queue_says_how_an_event_was_scheduled() -> None:
    harness = Harness([Fate(name="fate")])
    harness.queue.schedule("x", 1)
    harness.queue.schedule_next("x", 2)
    harness.queue.schedule_priority("x", 3)
    harness.queue.schedule_at(1_000_060.0, "x", 4)
    harness.start()
    harness.run_until_idle()
    lines = harness.trace.text().splitlines()
    texts = [line.partition(": ")[2] for line in lines if ": schedule" in line]
    assert texts == [
        "schedule x#1 1",
        "schedule x#2 2 before others",
        "schedule x#3 3 with priority",
        "schedule x#4 4 at 1000060.000000",
    ]
    harness.close()


def test_a_childs_line_stands_before_its_parents_end() -> None:
    with Harness([Fate(name="fate")]) as harness:
        harness.queue.schedule("x", "child")
        harness.run_until_idle()
        assert kinds_of(harness, "y#1")[0] == "fate schedule"
        events = [(entry.kind, entry.event) for entry in harness.trace.entries]
        assert events.index(("schedule", "y#1")) < events.index(("answer", "x#1"))


ARGS = st.lists(st.sampled_from([None, 0, 1, "same", "stop", "raise"]), max_size=30)


def follow_events(ordering: Ordering, args: list[Any], seed: int) -> None:
    components = [Fate(name="one"), Replicas(lambda: Fate(name="many"), 2), Fate(name="last")]
    with Harness(components, seed=seed, ordering=ordering, keep=True) as harness:
        for each in args:
            harness.queue.schedule("x", each)
        harness.run_until_idle()
        harness.dead_letters()
        labels = {f"x#{number}" for number in range(1, len(args) + 1)}
        assert {entry.event for entry in harness.trace.entries if entry.event} == labels
        places = shown(harness)
        for number, each in list(enumerate(args, start=1))[-20:]:
            calls = [kind for kind in kinds_of(harness, f"x#{number}") if kind.endswith("call")]
            end = {"stop": "stopped by one", "raise": "dead in one: LookupError: no such thing"}
            assert places[f"x#{number}"] == f"{each!r}: {end.get(each, 'completed')}"
            assert len(calls) == (1 if each in end else 3)
            assert calls[0] == "one call"


@pytest.mark.parametrize("ordering", ORDERINGS)
@settings(max_examples=15)
@given(args=ARGS, seed=st.integers(0, 2**32))
def test_events_keep_their_numbers_also_if_their_args_are_the_same_object(
    ordering: Ordering, args: list[Any], seed: int
) -> None:
    follow_events(ordering, args, seed)


@pytest.mark.slow
@pytest.mark.parametrize("ordering", ORDERINGS)
@settings(max_examples=1_000)
@given(args=ARGS, seed=st.integers(0, 2**32))
def test_events_of_many_runs_keep_their_numbers(
    ordering: Ordering, args: list[Any], seed: int
) -> None:
    follow_events(ordering, args, seed)


def test_nothing_is_held_on_to_once_an_event_has_ended() -> None:
    with Harness([Fate(name="one"), Fate(name="two")], seed=1) as harness:
        for number in range(50):
            harness.queue.schedule("x", number)
            harness.queue.schedule_after(60.0, "x", "late").cancel()
        harness.run_until_idle()
        assert not harness.trace._by_scheduled
        assert not harness.trace._in_flight


def test_what_happens_between_events_is_in_the_trace_too() -> None:
    class Timed(ZenDaemonComponent):
        def setup(self, daemon: Daemon) -> None:
            daemon.io.call_later(1.5, self.wake)

        def wake(self, daemon: Daemon) -> None:
            self.log.info("awake")

    with Harness([Timed(name="timed")]) as harness:
        harness.advance(2.0)
    lines = harness.trace.text().splitlines()
    begin = lines.index("0.000000 time: passes 1.500000")
    assert lines[begin : begin + 4] == [
        "0.000000 time: passes 1.500000",
        "1.500000 timed: hook wake",
        "1.500000 timed: log INFO awake",
        "1.500000 time: passes 0.500000",
    ]


def test_who_stops_everything_is_in_the_trace() -> None:
    class Ender(ZenDaemonComponent):
        @handles("x")
        def cbk_event_x(self, daemon: Daemon, args: Any) -> None:
            raise ZenDaemonStopException("enough")

    with Harness([Ender(name="ender")]) as harness:
        harness.queue.schedule("x")
        harness.run()
        assert kinds_of(harness, "x#1")[-1] == "ender raise"


def test_the_end_is_remembered_or_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_module, "KEPT", 5)
    some, everything, lines = Trace(float), Trace(float, keep=True), list[str]()
    sinking = Trace(float, sink=lines.append)
    for number in range(8):
        for trace in (some, everything, sinking):
            trace.note("who", "kind", text=f"line\n{number}")
    assert [entry.text[-1] for entry in some.entries] == list("34567")
    assert len(everything.entries) == some.count == 8
    assert len(lines) == 8
    assert (
        lines[0] == "0.000000 who: kind line\\n0"
    )  # each is one line, even with line breaks in it


def test_a_failure_without_events_says_so() -> None:
    with Harness([Fate()], seed=7) as harness:
        assert harness.situation() == (
            "The last 20 events, 0 s after the start, seed 7:\n  no event was scheduled"
        )
