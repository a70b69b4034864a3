"""Records without their secrets."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors import TokenOutcome
from zenactors.components import Lines, Redact
from zenactors.testing import Crash, Harness, Probe

from .stepping import Sender, example_of, run_step


def redact(*records: Any, **options: Any) -> Any:
    """Return the records without secrets, and show that those that came are unchanged."""
    args = list(records)
    before = copy.deepcopy(args)
    seen = run_step(Redact(**options), args)
    assert args == before
    assert seen.letters == []
    return seen.passed_on[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"password": "x", "user": "ann"}, {"password": "***", "user": "ann"}),
        ({"Authorization": ["Bearer x"]}, {"Authorization": "***"}),
        ({"a": {"b": [{"api_key": 1}, 2]}}, {"a": {"b": [{"api_key": "***"}, 2]}}),
        ({"url": "http://ann:pw@host/x"}, {"url": "http://ann:***@host/x"}),
        ({"url": "http://ann@host/x?y=1"}, {"url": "http://ann@host/x?y=1"}),
        ({"argv": ["run", "--token", "x", "y"]}, {"argv": ["run", "--token", "***", "y"]}),
        ({"argv": ("run", "TOKEN=x y")}, {"argv": ("run", "TOKEN=***")}),
        ({"text": "login with password=x failed"}, {"text": "login with password=*** failed"}),
        ({"raw": b"password=x \xff"}, {"raw": b"password=*** \xff"}),
        (b"GET http://u:p@h/ \xfc", b"GET http://u:***@h/ \xfc"),
        ({"tags": {"password=x"}}, {"tags": {"password=***"}}),
        ({"http://u:p@h/": 1}, {"http://u:***@h/": 1}),
        ({1: {"secret": None}}, {1: {"secret": "***"}}),
        ("password=x", "password=***"),
        (7, 7),
    ],
)
def test_what_zenactors_takes_for_a_secret_is_hidden(value, expected):
    assert redact(value) == [expected]


def test_keys_and_patterns_add_to_the_default():
    record = {"Card": {"number": "4000"}, "text": "4000-1234 and key K-17", "token": "x"}

    assert redact(record, keys=["card"], patterns=[r"\d{4}-\d{4}", "K-[0-9]+"]) == [
        {"Card": "***", "text": "*** and key ***", "token": "***"}
    ]


def test_without_the_default_only_keys_and_patterns_count():
    record = {"card": 1, "token": "x", "argv": ["--token", "y"]}

    assert redact(record, keys=["card"], defaults=False) == [
        {"card": "***", "token": "x", "argv": ["--token", "y"]}
    ]


def test_what_has_no_secret_is_the_same_object_and_the_others_are_counted():
    plain, secret = {"user": "ann", "tags": ["a", ("b",)]}, {"token": "x"}
    step = Redact()
    (passed_on,) = run_step(step, [plain, secret, {"token": "***"}]).passed_on

    assert passed_on[0] is plain
    assert step.statistics_cur == {"records": 3, "passed_on": 3, "redacted": 1}


def test_lines_become_dicts_whose_text_is_searched():
    (passed_on,) = run_step(Redact(), Lines("f", 0, b"token=x\n")).passed_on

    assert passed_on == [{"file": "f", "offset": 0, "line": "token=***"}]


def test_what_is_too_deep_or_contains_itself_is_cut():
    deep: Any = "password=x"
    for _ in range(1_000):
        deep = [deep]
    endless: dict[str, Any] = {"token": "x"}
    endless["again"] = [endless, endless]
    (passed_on,) = run_step(Redact(), [deep, endless]).passed_on

    assert json.dumps(passed_on[0]) == "[" * 20 + '"\\u2026"' + "]" * 20
    assert passed_on[1] == {"token": "***", "again": ["…", "…"]}


SECRET_TEXT = "s3cr3t-value"
TREES = st.recursive(
    st.sampled_from([f"password={SECRET_TEXT}", f"//u:{SECRET_TEXT}@h", "text", 1, None]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b"]), inner)
        | st.fixed_dictionaries({"token": st.just([SECRET_TEXT])})
    ),
    max_leaves=30,
)


@given(st.lists(TREES, max_size=5))
def test_no_secret_passes_wherever_it_is(records):
    step: Any = Redact()

    assert SECRET_TEXT not in json.dumps(step.apply(None, records))


def test_an_event_on_which_a_step_fails_passes_nothing_on():
    sender, probe = Sender([{"token": 1}], [{"token": 2}]), Probe("lines")
    crash = Crash(component="Redact", event="lines", nth=1)
    with Harness([sender, Redact(), probe], faults=[crash]) as harness:
        harness.run_until_idle()
        harness.dead_letters()

    assert [args for _, args in probe.received] == [[{"token": "***"}]]
    assert sender.outcomes == [TokenOutcome.FAILED, TokenOutcome.DONE]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": "card"}, r"keys is 'card'.*write \['card'\]"),
        ({"patterns": [1]}, r"patterns is \[1\], but a list of regular expressions"),
        ({"patterns": ["("]}, r"patterns has '\(', which is no regular expression: missing \)"),
        ({"defaults": "no"}, "defaults is 'no'"),
        ({"defaults": False}, "would hide nothing"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Redact(**options)


def test_the_example_runs(run_spec, tmp_path):
    expected = {"url": "http://ann:***@host/", "card": "***", "token": "***"}

    assert run_spec(example_of(Redact), tmp_path) == (0, [expected])
