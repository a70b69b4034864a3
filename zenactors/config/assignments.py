"""Single values from the command line: `--set KEY=VALUE`, stronger than all other sources.

The text of a value is read as the type of its key says, so it becomes a layer only when the keys,
and the components, are known. Pure functions of models and texts; any thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pydantic

from zenactors.config.checking import (
    adapter_config,
    adapter_of,
    members_of,
    plain_type,
    type_under,
)
from zenactors.config.sources import Layer
from zenactors.config.supervision import SUPERVISION, is_own_option, supervision_model
from zenactors.core.recipe import keys_of
from zenactors.core.text import short_repr
from zenactors.secret_text import REDACTED, SECRET

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from zenactors.config.component_options import Section
    from zenactors.config.places import KeyPath

OPTION = "--set"


@dataclasses.dataclass(frozen=True, slots=True)
class Assignment:
    """One `--set KEY=VALUE`.

    Attributes:
        key: The key as it is written: `components.tailer.start`.
        path: The parts of the key.
        text: The value as it is written.
    """

    key: str
    path: KeyPath
    text: str


def parse(words: Iterable[str]) -> list[Assignment]:
    """Return the assignments of a command line.

    Raises:
        ValueError: A word is not of the form KEY=VALUE.
    """
    return [_parse(word) for word in words]


def _parse(word: str) -> Assignment:
    key, equals, text = word.partition("=")
    path = _path_of(key)
    if not equals or not all(path):
        shown = REDACTED if SECRET.search(word) else short_repr(word)
        raise ValueError(
            f"{OPTION} expects KEY=VALUE, such as components.tailer.start=end, got {shown}"
        )
    return Assignment(key, path, text)


def _path_of(key: str) -> KeyPath:
    """Return the parts of a key, which may be quoted as in TOML: `components."a.b".size`."""
    with contextlib.suppress(tomllib.TOMLDecodeError):
        path: list[str] = []
        table: Any = tomllib.loads(f"{key} = 0") if "\n" not in key else {}
        while isinstance(table, dict) and len(table) == 1:
            [(part, table)] = table.items()
            path.append(part)
        if table == 0:
            return tuple(path)
    return tuple(key.split("."))


def layers_of(
    assignments: Sequence[Assignment],
    model: type[pydantic.BaseModel],
    sections: Mapping[str, Section | None],
) -> Iterator[Layer]:
    """Yield one layer for each assignment.

    Args:
        assignments: In order; a later one is stronger.
        model: The keys of the daemon.
        sections: The components, by name.
    """
    for each in assignments:
        data: Any = _value(each, model, sections)
        for part in reversed(each.path):
            data = {part: data}
        yield Layer(kind="assignment", label=f"{OPTION} {each.key}", data=data)


def _value(
    assignment: Assignment,
    model: type[pydantic.BaseModel],
    sections: Mapping[str, Section | None],
) -> Any:
    path: Sequence[str | int] = assignment.path
    if path[0] == "components" and len(path) > 2:  # noqa: PLR2004 - the table, and a name in it
        section = sections.get(str(path[1]))
        if path[2] == SUPERVISION and not is_own_option(section):
            return value_in(supervision_model(), path[3:], assignment.text)
        return (
            assignment.text
            if section is None
            else value_in(section.model, path[2:], assignment.text)
        )
    return value_in(model, path, assignment.text)


def value_in(model: type[pydantic.BaseModel], path: Sequence[str | int], text: str) -> Any:
    """Return the value of a text at a place in a table; the text itself, if it fits nothing."""
    if not path:  # the whole table
        return _structured(text)
    type_: Any = model
    for part in path[:-1]:
        type_ = _type_under(type_, part)
    if isinstance(type_, type) and issubclass(type_, pydantic.BaseModel):
        field = keys_of(type_).get(str(path[-1]))
        return text if field is None else typed(field, text)
    inner = _type_under(type_, path[-1])
    if inner is None:
        return text
    return _typed(pydantic.TypeAdapter(inner, config=adapter_config(inner)), inner, text)


def _type_under(type_: Any, key: str | int) -> Any:
    """Return the type under a key; None if it is unknown. Under any type, there may be any."""
    type_ = plain_type(type_)
    if type_ in {Any, dict}:
        return Any
    return None if type_ is None else plain_type(type_under(type_, key))


def typed(field: FieldInfo, text: str) -> Any:
    """Return the value of a text for a field; the text itself, if the field takes it."""
    return _typed(adapter_of(field), cast("Any", field.annotation), text)


def _typed(adapter: pydantic.TypeAdapter[Any], bare: Any, text: str) -> Any:
    is_container = any(map(_is_container, members_of(bare)))
    structured = _structured(text) if bare is Any or is_container else text
    if structured is not text and (bare is Any or text.startswith(("[", "{"))):
        return structured
    with contextlib.suppress(pydantic.ValidationError):
        adapter.validate_python(text)
        return text
    with contextlib.suppress(pydantic.ValidationError):
        return adapter.validate_strings(text)
    # The value is wrong in any case, but one of the right type has a better error.
    with contextlib.suppress(pydantic.ValidationError):
        value = pydantic.TypeAdapter(bare, config=adapter_config(bare)).validate_strings(text)
        try:
            adapter.validate_python(value)
        except pydantic.ValidationError:
            return value
    return structured


def _is_container(type_: Any) -> bool:
    origin = typing.get_origin(type_) or type_
    scalars = (str, int, float, bytes)
    return isinstance(origin, type) and not issubclass(origin, scalars)


def _structured(text: str) -> Any:
    """Return the value of a text as JSON or, if it is none, as TOML; otherwise the text."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    with contextlib.suppress(ValueError, RecursionError):
        found = tomllib.loads(f"value = {text}")
        if found.keys() == {"value"}:
            return found["value"]
    return text
