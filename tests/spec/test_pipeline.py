"""A new pipeline: its SPEC is right, and says what can be changed."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from zenactors import spec
from zenactors.spec.catalogue import entry_of, kind_of, stock
from zenactors.spec.importing import Problem
from zenactors.spec.pipeline import pipeline

PARTS = '''
from zenactors import ZenDaemonComponent, handles
from zenactors.components import BatchingSink, RecordStep
from zenactors.components.sources.base import AcknowledgingSource


class Clock(AcknowledgingSource):
    emits = ("tick",)


class Fork(RecordStep):
    """Send records elsewhere."""

    emits = ("errors", "lines")

    def apply(self, daemon, records):
        return records


class Store(BatchingSink):
    """Store records.

    Args:
        table: The table, e.g. of a database. There may be several.
        mode: How.
        keys: The keys.
    """

    def __init__(self, *, table: str, mode: int, keys: list[str], sizes: list[int], **more):
        super().__init__(**more)

    def write_batch(self, daemon, records):
        pass


class Either(BatchingSink):
    """Write here or there.

    Example:
        [[component]]
        use = "more:Either"
        [component.options]
        size = 7
        there = "b"
    """

    def __init__(
        self, *, size: int = 1, here: str | None = None, there: str | None = None, **more
    ):
        super().__init__(**more)
        if here is there is None:
            raise ValueError("here or there is needed.")

    def write_batch(self, daemon, records):
        pass


class Both(Either):
    """Write here and there.

    Example:
        [[component]]
        use = "more:Both"
        options = { here = "a", there = "b" }
    """

    def __init__(self, **more):
        super().__init__(**more)
        if "here" not in more or "there" not in more:
            raise ValueError("here and there are needed.")


class Never(Either):
    """Write nowhere.

    Example:
        this is no TOML
    """
'''


@pytest.fixture
def make(app: Path) -> Any:
    """Return a function that makes a pipeline and returns its text, after a check."""
    write(app / "more.py", PARTS)

    def make(*names: str, name: str = "pipeline") -> str:
        text = pipeline(name, [entry_of(each, app) for each in names], app)
        write(app / "new.toml", text)
        spec.load("new.toml", app)
        return text

    return make


def of_kind(*kinds: str) -> list[str]:
    return [name for name, cls in stock().items() if kind_of(cls) in kinds]


def test_every_source_and_every_sink_make_a_pipeline(make: Any) -> None:
    for source, sink in itertools.product(of_kind("source"), of_kind("sink")):
        tables = tomllib.loads(make(source, sink))["component"]
        uses = [table["use"].removeprefix("zenactors.components:") for table in tables]
        assert uses[:2] == [source, sink]


@pytest.mark.parametrize("step", of_kind("parser", "step"))
def test_every_step_fits_into_a_pipeline(make: Any, step: str) -> None:
    assert f'use = "zenactors.components:{step}"' in make("FileTailer", step, "JsonLinesWriter")


def test_required_options_have_the_values_of_the_example(make: Any) -> None:
    text = make("FileTailer", "RegexParser", "RawWriter")
    tailer, parser, writer = tomllib.loads(text)["component"]
    assert tailer["options"] == {"patterns": ["access.log"]}
    assert parser["options"].keys() == {"pattern"}
    assert writer["options"] == {}


def test_the_other_options_are_comments_with_help_and_default(make: Any) -> None:
    lines = make("FileTailer", "JsonLinesWriter").splitlines()
    at = lines.index('#start = "end"  # "beginning" or "end"')
    assert lines[at - 1].startswith("# Where to begin in files that exist at the first start")
    assert "#line_timeout =  # number; not set by default" in lines
    assert "#max_line_bytes = 102_400  # integer" in lines
    assert all(len(line) <= 100 for line in lines)


def test_each_commented_default_can_be_uncommented(make: Any) -> None:
    entry = entry_of("FileTailer", Path())
    lines = make("FileTailer", "RawWriter").splitlines()
    given = {
        line[1:].partition(" =")[0]: line[1:]
        for line in lines
        if line.startswith("#") and " = " in line and not line.startswith("# ")
    }
    for option in entry.options:
        if option.default is not None:
            assert tomllib.loads(given[option.name])[option.name] is not None


def test_an_option_that_no_example_has_gets_a_value_of_its_type(make: Any) -> None:
    source, sink = tomllib.loads(make("more:Clock", "more:Store"))["component"]
    assert source["use"] == "more:Clock"
    expected = {"table": "table", "mode": 1, "keys": ["keys"], "sizes": []}
    assert sink["options"] == expected
    assert "# The table, e.g. of a database.\ntable = " in make("more:Clock", "more:Store")


def test_if_required_options_do_not_suffice_those_of_the_example_are_written(make: Any) -> None:
    _, one = tomllib.loads(make("more:Clock", "more:Either"))["component"]
    assert one["options"] == {"there": "b"}
    _, all_of_them = tomllib.loads(make("more:Clock", "more:Both"))["component"]
    assert all_of_them["options"] == {"here": "a", "there": "b"}


def test_a_component_that_cannot_be_constructed_is_a_problem(make: Any) -> None:
    with pytest.raises(Problem, match=r"more:Never cannot be constructed: .*ValueError: here or"):
        make("more:Clock", "more:Never")


def test_the_event_of_a_source_is_renamed(make: Any) -> None:
    text = make("more:Clock", "RawWriter")
    source, _ = tomllib.loads(text)["component"]
    assert source["events"] == {"tick": "lines"}
    assert '\n[component.events]\ntick = "lines"\n' in text


def test_a_further_event_of_a_step_gets_a_sink_of_its_own(make: Any) -> None:
    text = make("FileTailer", "more:Fork", "more:Store")
    *_, sink, further = tomllib.loads(text)["component"]
    assert "events" not in sink
    assert further == {**sink, "events": {"lines": "errors"}}
    _, note, copy = text.partition("# It takes the event 'errors' of Fork: give it other options.")
    assert note
    assert "table = " in copy
    assert "#batch_count" not in copy  # as above


def test_what_follows_a_step_takes_the_event_that_the_step_goes_on_with(make: Any) -> None:
    text = make("Generate", "Deduplicator", "Filter", "Batcher", "JsonLinesWriter")
    assert [each.get("events") for each in tomllib.loads(text)["component"]] == [
        None,
        None,
        {"lines": "unique"},
        {"lines": "unique"},
        {"lines": "batch"},
    ]


@pytest.mark.parametrize("name", ["x\ny = 1", 'x"', "größer \\"])
def test_a_name_is_quoted(make: Any, name: str) -> None:
    assert tomllib.loads(make("FileTailer", "RawWriter", name=name))["name"] == name


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (
            "FileTailer",
            "a pipeline ends with a sink, such as JsonLinesWriter: add one to FileTailer",
        ),
        (
            "FileTailer JsonParser",
            "a pipeline ends with a sink, such as JsonLinesWriter: add one to JsonParser",
        ),
        ("JsonParser RawWriter", "JsonParser is a parser: a pipeline begins with a source"),
        ("RawWriter", "RawWriter is a sink: a pipeline begins with a source"),
        (
            "FileTailer FileTailer RawWriter",
            "FileTailer is a source: only the first component can be one",
        ),
    ],
)
def test_components_in_another_order_are_no_pipeline(make: Any, names: str, problem: str) -> None:
    with pytest.raises(Problem) as caught:
        make(*names.split())
    assert str(caught.value) == problem


def test_a_component_of_no_kind_can_be_anywhere(make: Any, app: Path) -> None:
    write(app / "odd.py", "from zenactors import ZenDaemonComponent as Odd\n")
    assert make("odd:Odd", "odd:Odd", "odd:Odd").count('use = "odd:Odd"') == 3


def test_a_name_that_no_daemon_can_have_is_a_problem(make: Any) -> None:
    with pytest.raises(Problem, match=r"^--name: must be usable in file names"):
        make("FileTailer", "RawWriter", name="a/b")
