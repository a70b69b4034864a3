"""Entries of the catalogue: what classes, constructors and docstrings say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pydantic
import pytest

import zenactors.components
from tests.config.sample import write
from tests.spec.sample import PARTS
from zenactors.components import BatchingSink, FileTailer
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.spec.catalogue import KINDS, describe, entry_of, kind_of, stock
from zenactors.spec.docstrings import split
from zenactors.spec.importing import Problem


class Base(ZenDaemonComponent):
    """A base.

    Args:
        size: The size of the base.
        weight: How heavy it is. In kilograms,
            or None.
    """

    emits = ("b", "a")

    def __init__(
        self,
        *,
        size: int = 1,
        weight: float | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))

    @handles("start")
    def cbk_event_start(self, daemon: object, args: object) -> None:
        """Do nothing."""


class Whole(Base):
    """Do
    it.

    Needs the extra `web`; `pip install 'zenactors[cron]'`
    too.

        it = Whole()

    Statistics: `done` and
    `undone`.

    Thread: own.

    Promises:
        loss: None.
        order: Any, or
            none.

    Args:
        by: The keys.
        size: The size.

    Example:
        name = "whole"

        [[component]]
        use = "x:Whole"
    """

    def __init__(self, *, by: list[str], **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type] # whatever it takes

    @handles("lines")
    @handles("more")
    def cbk_event_lines(self, daemon: object, args: object) -> None:
        """Do nothing."""


def test_an_entry_has_what_the_class_says() -> None:
    entry = describe(Whole, "x:Whole")
    assert (entry.name, entry.use, entry.kind) == ("Whole", "x:Whole", "")
    assert entry.summary == "Do it."
    assert entry.text == (
        "Needs the extra `web`; `pip install 'zenactors[cron]'`\ntoo.\n\n"
        "    it = Whole()\n\nThread: own."
    )
    assert entry.statistics == "`done` and `undone`."
    assert entry.promises == {"loss": "None.", "order": "Any, or none."}
    assert entry.handles == ["lines", "more", "start"]
    assert entry.emits == ["a", "b"]
    assert entry.extras == ["cron", "web"]
    assert entry.example == 'name = "whole"\n\n[[component]]\nuse = "x:Whole"'


def test_options_are_those_of_the_bases_too_and_required_ones_come_first() -> None:
    options = describe(Whole, "x:Whole").options
    assert [(each.name, each.type, each.required, each.default, each.help) for each in options] == [
        ("by", "array of strings", True, None, "The keys."),
        ("size", "integer", False, "1", "The size."),
        ("weight", "number", False, None, "How heavy it is. In kilograms, or None."),
    ]
    assert options[2].first_sentence == "How heavy it is."
    assert options[1].first_sentence == "The size."


def test_options_of_a_model_have_its_descriptions() -> None:
    class Mailer(ZenDaemonComponent):
        """Send mail.

        Args:
            retries: How often.
        """

        class Options(pydantic.BaseModel):
            to: str = pydantic.Field(description="Recipient.")
            retries: int = 3
            lists: list[str] = pydantic.Field(default_factory=lambda: ["a"])

    found = [(each.name, each.default, each.help) for each in describe(Mailer, "x:M").options]
    assert found == [
        ("to", None, "Recipient."),
        ("retries", "3", "How often."),
        ("lists", '["a"]', ""),
    ]


def test_a_class_that_says_nothing_has_an_entry() -> None:
    class Silent(ZenDaemonComponent):
        emits = "one"  # type: ignore[assignment] # a common mistake

    Silent.__doc__ = None
    entry = describe(Silent, "x:Silent")
    assert (entry.summary, entry.text, entry.options, entry.promises) == ("", "", [], {})
    assert entry.emits == ["one"]


def test_without_docstrings_nothing_is_known() -> None:
    assert split(None) == ("", {})
    assert split(None).entries("Args") == {}


def test_an_entry_without_a_colon_is_none() -> None:
    assert split("A.\n\nArgs:\n    a: One.\n    nonsense\n").entries("Args") == {"a": "One."}


def test_the_stock_is_sorted_by_kind_and_has_no_bases() -> None:
    names = list(stock())
    assert names[0] == min(each for each in names if kind_of(stock()[each]) == "source")
    kinds = [KINDS.index(kind_of(cls)) for cls in stock().values()]
    assert kinds == sorted(kinds)
    assert set(kinds) == set(range(len(KINDS)))
    bases = {"AcknowledgingSource", "BatchingSink", "RecordStep"}
    assert bases & {*names} == set()
    assert bases < {*zenactors.components.__all__}


def test_a_component_has_the_kind_of_the_base_that_it_extends() -> None:
    class Own(BatchingSink):
        def write_batch(self, daemon: object, records: list[object]) -> None:
            """Do nothing."""

    assert kind_of(Own) == "sink"
    assert kind_of(FileTailer) == "source"
    assert kind_of(ZenDaemonComponent) == ""


def test_a_component_of_a_user_is_found(app: Path) -> None:
    write(app / "more.py", PARTS)
    entry = entry_of("more:SubSource", app)
    assert (entry.name, entry.use, entry.emits) == ("SubSource", "more:SubSource", ["line"])
    assert {"extra", "pattern", "start"} <= {each.name for each in entry.options}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("FileTailor", "there is no component 'FileTailor'; did you mean 'FileTailer'?"),
        ("x", "there is no component 'x'; `zenactors components` lists all"),
        ("BatchingSink", "there is no component 'BatchingSink'; `zenactors components` lists all"),
        ("nowhere_to_be:Found", "there is no module 'nowhere_to_be' .*"),
        ("parts:Sourc", "'parts' has no attribute 'Sourc'; did you mean 'Source'?"),
        ("json:dumps", "'json:dumps' is <function .*>, not a subclass of ZenDaemonComponent"),
    ],
)
def test_a_component_that_is_not_there_is_a_problem(app: Path, name: str, problem: str) -> None:
    with pytest.raises(Problem, match=f"^{problem.replace('?', '[?]')}$"):
        entry_of(name, app)
