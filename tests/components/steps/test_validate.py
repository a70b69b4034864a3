"""Records that are as a model or a schema says."""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

import pydantic
import pytest

from zenactors import TokenOutcome
from zenactors.components import Validate
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash, Harness, Probe

from .stepping import Sender, example_of, run_step


class Request(pydantic.BaseModel):
    status: int
    user: str = "nobody"
    depth: Any = None


SCHEMA = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "integer", "minimum": 100}},
}
RECORDS: list[Any] = [{"status": 200}, {"status": "none"}, {"status": 404}, {}, 7]
VALID = [{"status": 200}, {"status": 404}]


@pytest.mark.parametrize(
    ("step", "causes"),
    [
        (
            Validate(model=Request),
            [
                "status: Input should be a valid integer, unable to parse string as an integer",
                "status: Field required",
                "Input should be a valid dictionary or instance of Request",
            ],
        ),
        (
            Validate(json_schema=SCHEMA),
            [
                '$.status is against the rule type = "integer"',
                '$ is against the rule required = ["status"]',
                '$ is against the rule type = "object"',
            ],
        ),
    ],
)
def test_what_is_not_valid_is_a_dead_letter_with_one_line_and_the_others_go_on(step, causes):
    seen = run_step(step, RECORDS)

    assert seen.passed_on == [VALID]
    assert [letter.args for letter in seen.letters] == [[{"status": "none"}], [{}], [7]]
    assert [str(letter.cause) for letter in seen.letters] == causes
    assert not any("validate.py" in letter.traceback for letter in seen.letters)
    assert seen.outcomes == [TokenOutcome.DONE]
    assert step.statistics_cur == {"failed": 3, "records": 5, "passed_on": 2}


def test_more_mistakes_are_counted_and_no_value_is_shown():
    (letter,) = run_step(
        Validate(model=Request), [{"status": "s3cr3t", "user": ["s3cr3t"]}]
    ).letters

    assert str(letter.cause).endswith("as an integer (and 1 more)")
    assert "s3cr3t" not in str(letter.cause)


@pytest.mark.parametrize("given", [{"model": Request}, {"json_schema": SCHEMA}])
def test_what_is_not_valid_can_be_dropped_or_routed(given):
    step = Validate(**given, on_invalid="drop")
    seen = run_step(step, RECORDS)
    assert seen.passed_on == [VALID]
    assert seen.letters == []
    assert step.statistics_cur["failed"] == 3

    step = Validate(**given, on_invalid="route")
    assert step.emits == ("invalid",)
    seen = run_step(step, RECORDS, events=step.emits)
    assert sorted(seen.received) == [
        ("invalid", [{"status": "none"}, {}, 7]),
        ("lines", VALID),
    ]
    assert step.statistics_cur["failed"] == 3
    assert seen.outcomes == [TokenOutcome.DONE]


def test_records_go_on_as_they_came_or_as_the_model_makes_them():
    record = {"status": "404", "depth": [1, 2]}

    (same,) = run_step(Validate(model=Request), [record]).passed_on[0]
    assert same is record
    assert run_step(Validate(model=Request, convert=True), [{"status": "404"}]).passed_on == [
        [{"status": 404, "user": "nobody", "depth": None}]
    ]


NESTED = {"properties": {"inner": {"$ref": "#"}, "n": {"type": "integer"}}}


def test_hostile_records_are_not_valid():
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"inner": deep}
    long = {"x" * 10_000: "y" * 10_000, "n": "z" * 10_000}
    seen = run_step(Validate(json_schema=NESTED), [deep, long, {"n": 1}])

    assert seen.passed_on == [[{"n": 1}]]
    assert [str(letter.cause) for letter in seen.letters] == [
        "The record is nested too deep.",
        '$.n is against the rule type = "integer"',
    ]
    del seen
    while deep:  # or its end would be as deep
        deep = deep.pop("inner")


def test_nothing_is_fetched_for_a_reference(monkeypatch):
    fetched: list[Any] = []
    monkeypatch.setattr(urllib.request, "urlopen", fetched.append)
    step = Validate(json_schema={"$ref": "http://127.0.0.1:9/schema.json"})
    (letter,) = run_step(step, [{}]).letters

    assert "Unresolvable: http://127.0.0.1:9/schema.json" in letter.cause_text
    assert fetched == []


def test_a_schema_may_be_a_file():
    step = Validate(json_schema="schema.json")
    with Harness(
        [step, probe := Probe("lines")], files={"schema.json": json.dumps(SCHEMA)}
    ) as all_:
        all_.queue.schedule("lines", RECORDS)
        all_.run_until_idle()
        all_.dead_letters()

    assert [args for _, args in probe.received] == [VALID]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"Cannot read the schema schema.json: No such file or directory\. .*\.$"),
        ("{", r"The schema schema.json is no JSON: Expecting property name.*Correct the file\.$"),
        ("\udc80", r"The schema schema.json is no JSON"),
        ("[" * 100_000, r"The schema schema.json is no JSON"),
        ("[]", r"The schema schema.json is wrong: \$: \[\] is not of type 'object'"),
        ('{"$schema": []}', r"The schema schema.json is wrong: a table is expected"),
        ('{"type": "number?"}', r"The schema schema.json is wrong: \$.type: 'number\?' is not"),
    ],
)
def test_a_schema_that_cannot_be_used_is_told_in_one_line(content, message):
    files = {} if content is None else {"schema.json": content.encode(errors="surrogateescape")}
    with pytest.raises(ComponentStartError, match=message) as caught:
        Harness([Validate(json_schema="schema.json")], files=files).start()
    assert "\n" not in str(caught.value)


def test_without_jsonschema_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ComponentStartError, match=r"pip install 'zenactors\[schema\]'"):
        Harness([Validate(json_schema=SCHEMA)]).start()


def test_under_faults_no_invalid_record_passes():
    sender, probe = (
        Sender(*[[{"status": n}, {"status": str(n)}] for n in range(100, 120)]),
        Probe("lines"),
    )
    crash = Crash(component="Validate", event="lines", nth=3)
    step = Validate(json_schema=SCHEMA, on_invalid="drop")
    with Harness([sender, step, probe], faults=[crash], seed=1) as harness:
        harness.run_until_idle()
        assert [letter.args[0]["status"] for letter in harness.dead_letters()] == [102]

    assert [args for _, args in probe.received] == [
        [{"status": n}] for n in range(100, 120) if n != 102
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs model or json_schema"),
        ({"model": Request, "json_schema": SCHEMA}, "not both"),
        ({"model": "json:loads"}, "model is 'json:loads', but a pydantic model"),
        ({"model": "json:Model"}, "'json' has no 'Model'"),
        ({"json_schema": 7}, "json_schema is 7"),
        ({"json_schema": "a\0b"}, "null character"),
        ({"json_schema": SCHEMA, "convert": True}, "convert is for model"),
        ({"model": Request, "convert": "yes"}, "convert is 'yes'"),
        ({"json_schema": SCHEMA, "on_invalid": "fail"}, "on_invalid is 'fail', but \""),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Validate(**options)


def test_the_example_runs(run_spec, tmp_path):
    assert run_spec(example_of(Validate), tmp_path) == (0, [{"status": 404}])


def test_a_model_beside_the_file_is_found(run_spec, tmp_path):
    (tmp_path / "models.py").write_text(
        "import pydantic\n\nclass Hit(pydantic.BaseModel):\n    status: int\n"
    )
    spec = example_of(Validate).replace(
        'options.json_schema = { properties = { status = { type = "integer" } } }',
        'options.model = "models:Hit"\noptions.convert = true',
    )
    assert run_spec(spec, tmp_path) == (0, [{"status": 404}])
