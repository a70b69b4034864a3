"""The reference says what the code says, and leaves out nothing that is public."""

from __future__ import annotations

import enum
import functools
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import zenactors
from docs.docstrings import parameters, parse
from docs.generate_reference import (
    BY_USER,
    EXCEPTIONS,
    LIBRARY,
    PAGE,
    PUBLIC,
    TABLES,
    TEMPLATE,
    about,
    configuration_keys,
    constant,
    family,
    library,
    linked,
    members_of,
    page,
)

CLASSES = {name: each for name, each in PUBLIC.items() if isinstance(each, type)}
FUNCTIONS = {name: each for name, each in PUBLIC.items() if isinstance(each, FunctionType)}


def test_the_committed_reference_is_up_to_date() -> None:
    fresh = page(TEMPLATE.read_text())
    assert PAGE.read_text() == fresh, "the code has changed: `make reference`"


def test_the_committed_list_of_the_library_is_up_to_date() -> None:
    text = LIBRARY.read_text()
    assert library(text) == text, "a component has changed: `make reference`"
    assert "| [`RawWriter`](reference.md#rawwriter) | Write the data of `Lines`" in text


def test_the_list_of_the_library_is_written_between_its_marks() -> None:
    text = library("Before.\n<!-- components -->\nold\n<!-- end -->\nAfter.\n")
    assert text.startswith("Before.\n<!-- components -->\n\n### Sources\n\n| component |")
    assert text.endswith(" |\n\n<!-- end -->\nAfter.\n")
    assert "old" not in text
    assert library(text) == text


def test_every_public_name_has_a_heading_or_a_row() -> None:
    text = PAGE.read_text()
    shown = {*re.findall(r"^###? (\w+)$", text, re.MULTILINE)}
    shown |= {*re.findall(r"^\| (?:\d+ \| )?`(\w+)` \|", text, re.MULTILINE)}
    assert PUBLIC.keys() - shown == set()


def test_a_public_name_must_be_in_the_template() -> None:
    template = TEMPLATE.read_text()
    with pytest.raises(LookupError, match=r"reference\.template does not list Outcome\."):
        page(template.replace(" Outcome ", " "))


def test_no_public_name_is_in_the_template_twice() -> None:
    template = TEMPLATE.read_text()
    with pytest.raises(LookupError, match=r"reference\.template lists Lines, Outcome twice\."):
        page(f"{template}\n<!-- Outcome Lines -->\n")


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(KeyError, match="Engine"):
        page("<!-- Engine -->\n")


def unknown_words(template: str) -> set[str]:
    """Return the identifiers in a template's text that occur nowhere in the package."""
    text = re.sub(r"^```.*?^```$|^<!--.*?-->$", "", template, flags=re.MULTILINE | re.DOTALL)
    words = {word for each in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", each)}
    package = Path(zenactors.__file__).parent
    known = {
        word for path in package.rglob("*.py") for word in re.findall(r"\w+", path.read_text())
    }
    return {word for word in words - known if not any(map(re.compile(word).match, known))}


def test_the_template_speaks_of_nothing_that_is_not_there() -> None:
    assert unknown_words(TEMPLATE.read_text()) == set()
    assert unknown_words("`no_such(what)`\n```\n`elsewhere_`\n```\n") == {"no_such"}


# --- docstrings have what the reference needs -----------------------------------------------------


def undescribed(name: str, what: Any) -> list[str]:
    """Return what a docstring lacks, or says of arguments that are not there."""
    doc = parse(what.__doc__)
    if not doc.text:
        return [f"{name} has no docstring"]
    described = doc.entries.get("Args", {}).keys()
    if not described:
        return []
    taken = {each.name for each in parameters(what)} | inspect.signature(what).parameters.keys()
    return [f"{name} has no argument {each}" for each in sorted(described - taken)]


def unmentioned_arguments(name: str, what: Any) -> list[str]:
    """Return the arguments that a docstring, and those of the base classes, say nothing of."""
    docs = " ".join(each.__doc__ or "" for each in getattr(what, "__mro__", [what]))
    return [
        f"{name} does not describe {each.name}"
        for each in parameters(what)
        if not re.search(rf"\b{each.name}\b", docs)
    ]


def unknown_attributes(name: str, *bases: type) -> list[str]:
    """Return the described attributes that none of a class and its bases has or assigns."""
    assigned = [
        each
        for base in bases
        for each in parse(base.__doc__).entries.get("Attributes", {})
        if not hasattr(bases[0], each)
    ]
    sources = "".join(map(source_of, bases)) if assigned else ""
    return [
        f"{name} has no attribute {each}"
        for each in assigned
        if not re.search(rf"^    {each}: |self\.{each}\b.*=", sources, re.MULTILINE)
    ]


source_of = functools.cache(inspect.getsource)  # it parses the whole module


def is_protocol(cls: type) -> bool:
    return getattr(cls, "_is_protocol", False)


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_is_described(name: str) -> None:
    cls = CLASSES[name]
    problems = undescribed(name, cls) + unknown_attributes(name, *family(cls))
    problems += [
        f"{name}.{each} has no docstring" for each, text in members_of(cls).items() if not text
    ]
    for base in family(cls):
        for member, value in vars(base).items():
            if isinstance(value, FunctionType) and not member.startswith("_"):
                problems += undescribed(f"{name}.{member}", value)
    if not issubclass(cls, BaseException | enum.Enum | dict) and not is_protocol(cls):
        problems += unmentioned_arguments(name, cls)
    assert problems == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_described(name: str) -> None:
    function = FUNCTIONS[name]
    assert undescribed(name, function) + unmentioned_arguments(name, function) == []


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - CLASSES.keys() - FUNCTIONS.keys()))
def test_a_public_constant_is_described(name: str) -> None:
    assert constant(name) != ""


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_has_a_meaning(name: str) -> None:
    _, rows = TABLES[name]
    found = list(rows())
    assert len(found) > 2
    assert [cells for cells in found if not all(cells)] == []


def planted(first: int, *, second: str = "") -> None:
    """Do something.

    Args:
        first: The first.
        third: A third.
    """


class Planted:
    """A class.

    Attributes:
        gone: It was removed.
        here: It is there.
    """

    def __init__(self, size: int) -> None:
        self.here = size


def test_the_rules_for_docstrings_are_able_to_fail() -> None:
    assert undescribed("planted", planted) == ["planted has no argument third"]
    assert undescribed("nothing", lambda: None) == ["nothing has no docstring"]
    assert unmentioned_arguments("Planted", Planted) == ["Planted does not describe size"]
    assert unknown_attributes("Planted", Planted) == ["Planted has no attribute gone"]


# --- parts of the page ----------------------------------------------------------------------------


def test_a_class_is_shown_without_what_its_public_base_has() -> None:
    text = "\n\n".join(about(["Delay"]))
    assert text.startswith("### Delay\n\n`Delay(*, seconds, ...)`\n\n")
    assert text.strip().endswith("It also has all members of `Fault`.")
    assert "chance" not in text


def test_members_that_only_zenactors_uses_are_left_out() -> None:
    assert "cancel()" in members_of(zenactors.Scheduled)
    assert hasattr(zenactors.Scheduled, "position")
    assert not any("position" in each for each in members_of(zenactors.Scheduled))


def test_configuration_keys_have_their_options_and_defaults() -> None:
    rows = {
        key.strip("`"): (options, default, text)
        for key, options, default, text in configuration_keys()
    }
    assert rows.keys() == zenactors.ZenDaemon.Options.model_fields.keys()
    assert rows["stop_timeout"][:2] == ("`--stop-timeout`", "`30.0`")
    assert rows["paralel"][:2] == ("`--paralel`, `--parallel`", "`false`")
    assert rows["umask"][1] == '`"022"`'
    assert rows["signals"][:2] == ("none", "`{}`")
    assert rows["action"][2].endswith("Not in files.")
    assert "Not in files" not in rows["log_level"][2]


def test_defaults_by_user_are_those_in_the_guide() -> None:
    guide = Path(PAGE).with_name("operating.md").read_text()
    _, _, rest = guide.partition("\n## Where files go\n")
    table, _, _ = rest.partition("\n- ")
    keys = {line.split("|")[2].strip(" `") for line in table.splitlines() if line.startswith("| ")}
    assert keys - {"key", "---"} == {*BY_USER}


def test_names_become_links_outside_of_code() -> None:
    text = linked("### Lines\n\n`Lines`, `ReloadError` and `lines`.\n\n```text\n`Lines`\n```\n")
    assert text == (
        "### Lines\n\n[`Lines`](#lines), [`ReloadError`](#errors) and `lines`.\n\n"
        "```text\n`Lines`\n```\n"
    )
    assert "ReloadError" in EXCEPTIONS
