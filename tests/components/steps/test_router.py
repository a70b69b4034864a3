"""Records that are sent to other events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from zenactors import TokenOutcome, ZenDaemonComponent, handles
from zenactors.components import Router
from zenactors.core.tokens import Origin
from zenactors.testing import Crash, Harness, Probe, explore

from .stepping import Sender, example_of, run_step

STATUSES: list[dict[str, Any]] = [
    {"status": status} for status in (200, 404, 500, "404", True, [1], None)
]
ROUTES = [
    {"where": {"status": [404, "404"]}, "to": "missing"},
    {"where": {"status": 404}, "to": "never"},
    {"where": {"status": 500}, "to": "broken"},
]


def sent(step: Router, *batches: Any, events: Iterable[Any] = ()) -> dict[Any, Any]:
    """Return the args of each event, by its name; one event per name."""
    seen = run_step(step, *batches, events=events)
    assert seen.outcomes == [TokenOutcome.DONE] * len(batches)
    found = dict(seen.received)
    assert len(found) == len(seen.received)
    return found


def test_the_first_route_that_matches_counts_and_the_rest_is_passed_on():
    step = Router(routes=ROUTES)

    assert step.emits == ("missing", "never", "broken")
    assert sent(step, STATUSES, events=step.emits) == {
        "missing": [{"status": 404}, {"status": "404"}],
        "broken": [{"status": 500}],
        "lines": [{"status": 200}, {"status": True}, {"status": [1]}, {"status": None}],
    }
    assert step.statistics_cur == {"routed": 3, "records": 7, "passed_on": 4}


@pytest.mark.parametrize("otherwise", ["pass", "drop", "rest"])
def test_otherwise(otherwise):
    step = Router(key="status", to={"404": "missing", "true": "odd"}, otherwise=otherwise)
    found = sent(step, STATUSES, events=step.emits)
    rest = [{"status": 200}, {"status": 500}, {"status": [1]}, {"status": None}]

    assert found.pop("missing") == [{"status": 404}, {"status": "404"}]
    assert found.pop("odd") == [{"status": True}]
    assert found == {"pass": {"lines": rest}, "drop": {}, "rest": {"rest": rest}}[otherwise]
    assert step.statistics_cur.get("dropped", 0) == (4 if otherwise == "drop" else 0)


def by_sign(record: dict[str, Any], *, zero: str | None = None) -> Any:
    x = record["x"]
    return ("plus" if x > 0 else "minus") if x else zero


def test_a_function_chooses():
    step = Router(function=by_sign, events=["plus", "minus", "none"], args={"zero": "none"})
    batch = [{"x": 1}, {"x": -1}, {"x": 0}, {"x": 2}]

    assert sent(step, batch, events=step.emits) == {
        "plus": [{"x": 1}, {"x": 2}],
        "minus": [{"x": -1}],
        "none": [{"x": 0}],
    }


def test_a_record_that_cannot_be_judged_is_a_dead_letter_of_its_own():
    step = Router(function=by_sign, events=["plus", "minus"], args={"zero": "nowhere"})
    seen = run_step(step, [{"x": 1}, {"x": 0}, {}, {"x": -1}], events=step.emits)

    assert seen.received == [("plus", [{"x": 1}]), ("minus", [{"x": -1}])]
    assert [str(letter.cause) for letter in seen.letters] == [
        "The function returned 'nowhere', which is none of events.",
        "'x'",
    ]


def test_if_the_event_is_to_fail_nothing_of_it_is_sent():
    step = Router(function=by_sign, events=["plus", "minus"], on_error="fail")
    seen = run_step(step, [{"x": 1}, {}], [{"x": 2}], events=step.emits)

    assert seen.received == [("plus", [{"x": 2}])]
    assert seen.outcomes == [TokenOutcome.FAILED, TokenOutcome.DONE]


def test_events_can_be_renamed_also_to_a_word_of_otherwise():
    step = Router(
        key="x",
        to={"1": "one", "2": "two"},
        otherwise="drop",
        event_map={"one": "uno", "two": "drop"},
    )

    assert sent(step, [{"x": 1}, {"x": 2}, {"x": 3}], events=("uno", "drop")) == {
        "uno": [{"x": 1}],
        "drop": [{"x": 2}],
    }


def test_two_targets_that_are_renamed_to_one_event_are_one_event_in_order():
    step = Router(key="x", to={"1": "one", "2": "two"}, event_map={"one": "both", "two": "both"})

    found = sent(step, [{"x": 2}, {"x": 1}, {"x": 2}], events=["both"])
    assert found == {"both": [{"x": 2}, {"x": 1}, {"x": 2}]}


class Holding(ZenDaemonComponent):
    """Keeps what it gets from being done."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: list[Any] = []

    @handles("missing")
    def cbk_event_missing(self, daemon: Any, args: Any) -> None:
        self.holds.append(daemon.hold())

    @handles("release")
    def cbk_event_release(self, daemon: Any, args: Any) -> None:
        for hold in self.holds:
            hold.release()


def test_the_event_that_came_is_done_after_those_that_came_of_it():
    sender = Sender([{"x": 1}, {"x": 2}])
    with Harness([sender, Router(key="x", to={"1": "missing"}), Holding()]) as harness:
        harness.run_until_idle()
        assert sender.outcomes == []
        harness.queue.schedule("release")
        harness.run_until_idle()
        assert sender.outcomes == [TokenOutcome.DONE]


def test_otherwise_alone_sends_all_records_to_one_event():
    stepping = run_step(Router(otherwise="all"), [{"x": 1}, {"x": 2}], events=("all",))
    assert stepping.received == [("all", [{"x": 1}, {"x": 2}])]


def test_in_every_interleaving_each_record_arrives_once_and_in_order():
    def build() -> list[Any]:
        sender = Sender(*[[{"x": n}, {"x": -n}] for n in range(1, 15)])
        router = Router(function=by_sign, events=["plus", "minus"])
        return [sender, router, Probe("plus", name="plus"), Probe("minus", name="minus")]

    def check(harness: Harness) -> None:
        lost = {letter.args[0]["x"] for letter in harness.dead_letters()}
        for name, sign in [("plus", 1), ("minus", -1)]:
            got = [args[0]["x"] for _, args in harness.component(name).received]
            assert got == [sign * n for n in range(1, 15) if sign * n not in lost]

    explore(
        build,
        drive=lambda harness: harness.advance(1),
        check=check,
        seeds=range(30),
        faults=[Crash(component="plus", event="plus", nth=3)],
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs one of routes, key or function"),
        ({"key": "x", "to": {"1": "a"}, "routes": ROUTES}, "not several"),
        ({"routes": ROUTES, "to": {"1": "a"}}, "to belongs to key"),
        ({"key": "x", "to": {"1": "a"}, "events": ["a"]}, "events to function"),
        ({"routes": []}, r"routes is \[\]"),
        ({"routes": [{"to": "a"}]}, r"routes\[0\] is .*where and to"),
        ({"routes": [{"where": {"x": []}, "to": "a"}]}, r"routes\[0\].where.x is \[\]"),
        ({"routes": [{"where": {"x": 1}, "to": ""}]}, r"routes\[0\].to is ''"),
        ({"key": "", "to": {"1": "a"}}, "key is ''"),
        ({"key": "x"}, "to is None"),
        ({"key": "x", "to": {"1": 2}}, "to.1 is 2"),
        ({"function": len}, "events is empty"),
        ({"function": len, "events": "a"}, r"write \['a'\]"),
        ({"key": "x", "to": {"1": "a"}, "otherwise": ""}, r"otherwise is \[''\]"),
        ({"key": "x", "to": {"1": "lines"}}, "would come again"),
        ({"key": "x", "to": {"1": "a"}, "event_map": {"a": "lines"}}, "would come again"),
        ({"key": "x", "to": {"1": "drop"}}, "'drop', a word of otherwise"),
        ({"key": "x", "to": {"1": "a"}, "on_error": "x"}, "on_error is 'x'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Router(**options)


def test_the_example_runs(run_spec, tmp_path):
    assert run_spec(example_of(Router), tmp_path) == (0, [{"status": 404}])
    assert (tmp_path / "good.jsonl").read_text() == '{"status":200}\n'


def test_what_is_sent_on_has_an_origin_of_its_own_by_the_way_it_took():
    origin = Origin("lines", "source", "k", [0], [5], [0], 5)
    found: list[Origin | None] = []

    class Source(ZenDaemonComponent):
        @handles("go")
        def cbk_event_go(self, daemon: Any, args: Any) -> None:
            daemon.queue.schedule("lines", [{"x": 1}], on_done=lambda _: None, position=origin)

    class Sink(ZenDaemonComponent):
        @handles("all")
        def cbk_event_all(self, daemon: Any, args: Any) -> None:
            hold = daemon.hold()
            found.append(hold.origin)
            hold.release()

    # Two ways to one event: with one origin for both, a sink would leave the second out.
    one = Router(routes=[{"where": {"x": 1}, "to": "all"}], name="one")
    two = Router(otherwise="all", name="two", event_map={"lines": "copied"})
    copy = Router(otherwise="copied", name="copy")
    first = [Source(), one, Sink()]
    with Harness(first) as harness:
        harness.queue.schedule("go")
        harness.run_until_idle()
    with Harness([Source(), copy, two, Sink()]) as harness:
        harness.queue.schedule("go")
        harness.run_until_idle()
    paths = ["source/one:all", "source/copy:copied/two:all"]
    assert found == [origin._replace(event="all", path=path) for path in paths]
