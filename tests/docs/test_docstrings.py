"""Docstrings and signatures become Markdown."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from docs.docstrings import (
    arguments,
    call,
    cell,
    members,
    parse,
    promises,
    strings_below,
    table,
)  # fmt: skip


def test_a_docstring_is_split_into_text_and_sections() -> None:
    doc = parse(
        """Do it.

        At once.

        Args:
            what: What to do;
                at most once.
            *more: The rest.

        Returns:
            True: it is
            done.

        Raises:
            ValueError: It cannot be done.

        Thread: any.
        """
    )
    assert doc.text == "Do it.\n\nAt once.\n\nThread: any."
    assert doc.entries == {
        "Args": {"what": "What to do; at most once.", "more": "The rest."},
        "Raises": {"ValueError": "It cannot be done."},
    }
    assert doc.returns == "True: it is done."


def test_indented_blocks_become_code() -> None:
    doc = parse(
        """Do it.

            it = Doing()

            it.do()

        Or configure it:

            [doing]
            what = "it"
        Or draw it:
            A ──> B
        """
    )
    assert doc.text == (
        "Do it.\n\n```python\nit = Doing()\n\nit.do()\n```\n\nOr configure it:\n\n"
        '```toml\n[doing]\nwhat = "it"\n```\n\nOr draw it:\n\n```text\nA ──> B\n```'
    )


def test_no_docstring_is_an_empty_one() -> None:
    assert parse(None) == ("", {}, "", "")


def test_promises_are_a_table_and_an_example_is_kept_as_it_is() -> None:
    doc = parse(
        """Do it.

        Promises:
            loss: None, even if
                it fails.
            order: That of a | b.

        Example:
            name = "it"

            [it]
            is = [
                "indented",
            ]
        """
    )
    assert doc.text == "Do it."
    assert promises(doc).splitlines() == [
        "| promise | meaning |",
        "| --- | --- |",
        "| loss | None, even if it fails. |",
        "| order | That of a \\| b. |",
    ]
    assert doc.example == 'name = "it"\n\n[it]\nis = [\n    "indented",\n]'


class Base:
    """A base.

    Attributes:
        size: How large it is.
    """

    unit = "m"
    """What it is measured in."""

    undescribed = 1

    def __init__(self) -> None:
        self.size = 1
        self.ready: bool = False
        """True once it can be used."""

    @property
    def area(self) -> int:
        """The area."""
        return self.size**2


class Derived(Base):
    """A derived class."""

    def grow(self, by: int = 1, *, unit: str = "m", **more: Any) -> None:
        """Make it larger.

        Args:
            by: How much.

        Raises:
            ValueError: It is too large.
        """


def test_strings_below_assignments_are_found() -> None:
    found = {"unit": "What it is measured in.", "ready": "True once it can be used."}
    assert strings_below(Base) == found


def test_members_of_a_class_and_its_bases() -> None:
    grow = 'grow(by=1, *, unit="m", **more)'
    assert members([Derived, Base], lambda name: not name.startswith("_")) == {
        "size": "How large it is.",
        "unit": "What it is measured in.",
        "ready": "True once it can be used.",
        grow: "Make it larger.<br>`by`: How much.<br>Raises `ValueError`: It is too large.",
        "area": "The area.",
    }
    assert members([Base], lambda name: name == "area") == {"area": "The area."}


@dataclasses.dataclass
class Many:
    """Has many arguments.

    Args:
        one: The first, 1 | 2.
        three: The third.
    """

    one: int | None
    two: str = "2"
    three: list[str] = dataclasses.field(default_factory=list)
    four: type = int


def test_a_call_is_written_with_its_defaults() -> None:
    assert call("Many", Many) == 'Many(one, two="2", three=new, four=int)'
    assert call("Many", Many, limit=3) == 'Many(one, two="2", three=new, ...)'
    assert call("dump", json.dump, limit=3) == "dump(obj, fp, ...)"


def test_described_arguments_are_a_table() -> None:
    assert arguments(Many, parse(Many.__doc__)).splitlines() == [
        "| argument | type | default | meaning |",
        "| --- | --- | --- | --- |",
        "| `one` | `int or None` | required | The first, 1 \\| 2. |",
        "| `three` | `list[str]` | `new` | The third. |",
    ]


def test_a_table_without_rows_is_none() -> None:
    assert table(("a", "b"), []) == ""


def test_paragraphs_share_a_cell() -> None:
    assert cell("One\nline.\n\nTwo.", "", "Three.") == "One line.<br>Two.<br>Three."
