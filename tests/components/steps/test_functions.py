"""Steps that apply plain functions."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from zenactors import RestartComponent, Retry, Supervision, TokenOutcome
from zenactors.components import Filter, FlatMap, Lines, Map
from zenactors.testing import Crash, Harness, Probe

from .stepping import Sender, example_of, run_step

DONE, FAILED = TokenOutcome.DONE, TokenOutcome.FAILED


def tenfold(record: dict[str, Any], *, by: int = 10) -> dict[str, Any]:
    record["x"] *= by  # in place: it is a copy
    return record


def picky(record: dict[str, Any]) -> Any:
    if record["x"] < 0:
        raise ValueError(f"{record['x']} is negative")
    return record


def up_to(record: dict[str, Any]) -> Any:
    for number in range(record["x"]):
        yield {"x": number}
    if record["x"] == 3:
        raise ValueError("three")


def xs(*values: int) -> list[dict[str, int]]:
    return [{"x": value} for value in values]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root refuses modules")
def test_root_imports_no_function_that_others_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "others_can_write.py"
    module.write_text("def double(record):\n    return [record, record]\n")
    module.chmod(0o666)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"function is .* can be written by others \(mode 666\)"):
        FlatMap(function="others_can_write:double")
    module.chmod(0o644)
    assert FlatMap(function="others_can_write:double").name == "FlatMap"


def test_map_replaces_each_record_and_leaves_the_args_as_they_came():
    args = xs(1, 2)
    seen = run_step(Map(function=tenfold), args, xs(3))

    assert seen.passed_on == [xs(10, 20), xs(30)]
    assert args == xs(1, 2)
    assert seen.outcomes == [DONE, DONE]


def test_map_gives_further_arguments():
    assert run_step(Map(function=tenfold, args={"by": 3}), xs(1)).passed_on == [xs(3)]


def test_lines_come_as_dicts():
    step = Map(function=lambda record: record["line"])

    assert run_step(step, Lines("f", 0, b"a\nb\n")).passed_on == [["a", "b"]]


@pytest.mark.parametrize(
    "step", [Map(function=picky), Filter(function=picky), FlatMap(function=lambda r: [picky(r)])]
)
def test_a_record_that_fails_is_a_dead_letter_of_its_own_and_the_others_go_on(step):
    seen = run_step(step, xs(1, -2, 3, -4))

    assert seen.passed_on == [xs(1, 3)]
    assert [(letter.event, letter.args) for letter in seen.letters] == [
        ("lines", xs(-2)),
        ("lines", xs(-4)),
    ]
    assert str(seen.letters[0].cause) == "-2 is negative"
    assert seen.outcomes == [DONE]
    assert step.statistics_cur == {"failed": 2, "records": 4, "passed_on": 2}


def test_an_event_of_which_every_record_fails_ends_at_this_step():
    seen = run_step(Map(function=picky), xs(-1))

    assert seen.passed_on == []
    assert seen.outcomes == [DONE]


def test_records_that_fail_are_dropped_if_that_is_wanted_and_the_first_is_logged():
    step = Map(function=picky, on_error="drop")
    seen = run_step(step, xs(1, -2, -3), xs(-4))

    assert seen.passed_on == [xs(1)]
    assert seen.letters == []
    assert step.statistics_cur["failed"] == 3
    assert [line for line in seen.logs if "dropped" in line] == [
        "A record is dropped: ValueError: -2 is negative. Further ones are only counted (failed)"
    ]


def test_the_whole_event_fails_if_that_is_wanted():
    seen = run_step(Map(function=picky, on_error="fail"), xs(1, -2, 3))

    assert seen.passed_on == []
    assert [letter.args for letter in seen.letters] == [xs(1, -2, 3)]
    assert seen.outcomes == [FAILED]


def test_a_function_that_returns_none_has_failed():
    (letter,) = run_step(Map(function=lambda record: None), xs(1)).letters

    assert "returned None" in str(letter.cause)


@pytest.mark.parametrize("on_error", ["dead-letter", "drop", "fail"])
def test_a_request_of_a_function_for_the_engine_is_no_failure_of_a_record(on_error):
    def restart(record: Any) -> Any:
        raise RestartComponent("as asked")

    seen = run_step(Map(function=restart, on_error=on_error), xs(1, 2))

    assert [letter.args for letter in seen.letters] == [xs(1, 2)]
    assert any("It is made anew" in line for line in seen.logs)


def test_a_letter_is_replayed_into_the_step_and_passes_on_alone():
    is_mended: list[bool] = []

    def function(record: dict[str, Any]) -> Any:
        return record if is_mended else picky(record)

    with Harness([Map(function=function), probe := Probe("lines")]) as harness:
        harness.queue.schedule("lines", xs(1, -2))
        harness.run_until_idle()
        harness.daemon.dead_letters.replay()
        harness.run_until_idle()
        assert [letter.deliveries for letter in harness.dead_letters()] == [2]  # still one
        is_mended.append(True)
        harness.daemon.dead_letters.replay()
        harness.run_until_idle()

        assert harness.dead_letters() == []
        assert [args for _, args in probe.received] == [xs(1), xs(-2)]


def test_a_replay_of_several_records_of_which_some_fail_keeps_all_of_them():
    step = Map(function=picky)
    with Harness([step, probe := Probe("lines")]) as harness:
        harness.daemon.dead_letter("lines", xs(1, -2, 3, -4), "as planned")
        harness.daemon.dead_letters.replay()
        harness.run_until_idle()

        (letter,) = harness.dead_letters()
        assert letter.args == xs(1, -2, 3, -4)
        assert probe.received == []


def test_flat_map_passes_on_all_that_a_record_yields_or_nothing():
    seen = run_step(FlatMap(function=up_to), xs(2, 3, 0, 1))

    assert seen.passed_on == [xs(0, 1, 0)]
    assert [letter.args for letter in seen.letters] == [xs(3)]


def test_an_endless_generator_is_a_failure_of_its_record():
    step = FlatMap(function=itertools.repeat, max_results=3)
    (letter,) = run_step(step, xs(1)).letters

    assert str(letter.cause) == "The function made more than 3 records of one (max_results)."


@pytest.mark.parametrize("found", ["text", b"bytes", {"x": 1}])
def test_a_function_that_returns_one_record_instead_of_a_list_has_failed(found):
    (letter,) = run_step(FlatMap(function=lambda record: found), xs(1)).letters

    assert "not a list of records" in str(letter.cause)


RECORDS: list[dict[str, Any]] = [
    {"n": 0, "status": 404, "user": "ann"},
    {"n": 1, "status": "404", "user": None},
    {"n": 2, "status": 200},
    {"n": 3, "status": [404]},
    {"n": 4, "status": True, "user": {}},
    {"n": 5},
]


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ({"status": 404}, [0]),
        ({"status": 404.0}, [0]),
        ({"status": "404"}, [1]),
        ({"status": [200, "404"]}, [1, 2]),
        ({"status": True}, [4]),
        ({"status": 1}, []),
        ({"user": {"exists": True}}, [0, 1, 4]),
        ({"user": {"exists": False}, "status": {"exists": True}}, [2, 3]),
        ({"status": [404, 200], "user": "ann"}, [0]),
    ],
)
def test_filter_by_fields(where, numbers):
    passed_on = run_step(Filter(where=where), RECORDS).passed_on
    others = run_step(Filter(where=where, negate=True), RECORDS).passed_on

    assert [record["n"] for records in passed_on for record in records] == numbers
    assert sorted(record["n"] for records in [*passed_on, *others] for record in records) == [
        *range(6)
    ]


def test_what_has_no_fields_is_a_dead_letter_that_says_what_to_do():
    (letter,) = run_step(Filter(where={"x": 1}), [b"x=1"]).letters

    assert "put a parser" in str(letter.cause)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (Map, {"function": "nowhere_at_all:f"}, "'nowhere_at_all' cannot be imported.*--app-dir"),
        (Map, {"function": "json:dump_s"}, "'json' has no 'dump_s'; did you mean 'dumps'"),
        (Map, {"function": "json.dumps"}, '"module:name" is expected'),
        (Map, {"function": "json:"}, '"module:name" is expected'),
        (Map, {"function": "sys:maxsize"}, "is of type int and cannot be called"),
        (Map, {"function": "this is:f"}, '"module:name" is expected'),
        (Map, {"function": len, "args": [1]}, r"args is \[1\], but a table"),
        (
            Map,
            {"function": len, "on_error": "ignore"},
            "on_error is 'ignore', but \"dead-letter\", ",
        ),
        (FlatMap, {"function": len, "max_results": 0}, "max_results is 0"),
        (Filter, {}, "needs where, such as"),
        (Filter, {"where": {"x": 1}, "function": len}, "not both"),
        (Filter, {"where": {"x": 1}, "args": {"y": 1}}, "args are for function"),
        (Filter, {"where": {"x": 1}, "negate": 1}, "negate is 1"),
        (Filter, {"where": {}}, r"where is \{\}, but a table"),
        (Filter, {"where": {"x": []}}, r"where.x is \[\]"),
        (Filter, {"where": {"x": None}}, r"where.x is None"),
        (Filter, {"where": {"x": {"exists": 1}}}, "where.x is .* exists = true"),
        (Filter, {"where": {"x": {"above": 1}}}, "where.x is .* exists = true"),
    ],
)
def test_a_wrong_option_is_refused_by_name(cls, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        cls(**options)
    assert "\n" not in str(caught.value)


class Retried(Map):
    supervision = Supervision(retry=Retry(attempts=3))


@pytest.mark.parametrize("seed", range(5))
def test_a_step_that_is_called_again_gets_the_records_as_they_came(seed):
    failures = iter([False, False, True, False, True])

    def function(record: dict[str, Any]) -> Any:
        record = tenfold(record)
        if record["x"] == 10 and next(failures, False):
            raise ConnectionError("once more")
        return record

    step = Retried(function=function, on_error="fail")
    sender = Sender(*[xs(number + 2, 1) for number in range(20)])
    crash = Crash(component="Retried", event="lines", nth=9)
    probe = Probe("lines")
    with Harness([sender, step, probe], faults=[crash], seed=seed) as harness:
        harness.advance(10)
        assert harness.dead_letters() == []

    assert [args for _, args in probe.received] == [xs(10 * n + 20, 10) for n in range(20)]
    assert sender.outcomes == [DONE] * 20


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Map, [{"status": 200, "site": "example.org"}, {"status": 404, "site": "example.org"}]),
        (FlatMap, [{"status": 200}, {"status": 200}, {"status": 404}, {"status": 404}]),
        (Filter, [{"status": 404}]),
    ],
)
def test_the_example_runs(cls, expected, run_spec, tmp_path):
    assert run_spec(example_of(cls), tmp_path) == (0, expected)


def test_a_function_beside_the_file_is_found_and_a_wrong_name_by_the_check(
    run_spec, stock_forks, tmp_path: Path
):
    (tmp_path / "mine.py").write_text("def shout(record):\n    return record['line'].upper()\n")
    (tmp_path / "in.log").write_text("one\ntwo\n")
    spec = (
        "name = 'shout'\n[[component]]\nuse = 'zenactors.components:FileTailer'\n"
        "options = { patterns = ['in.log'], start = 'beginning' }\n"
        "[[component]]\nuse = 'zenactors.components:Map'\noptions = { function = 'mine:shout' }\n"
        "[[component]]\nuse = 'zenactors.components:JsonLinesWriter'\n"
        "options = { path = '-' }\n"
    )
    assert run_spec(spec, tmp_path) == (0, ["ONE", "TWO"])
    (tmp_path / "wrong.toml").write_text(spec.replace("mine:shout", "mine:shut"))
    result = stock_forks.run("-m", "zenactors", "check", "wrong.toml", cwd=tmp_path)
    assert result.returncode != 0
    assert "'mine' has no 'shut'; did you mean 'shout'?" in result.stdout + result.stderr
