"""The policy of a component in a file or on a command line. Pure functions of tables; any thread.

A SPEC has it in `[component.supervision]`, a daemon's configuration in
`[components.NAME.supervision]`.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pydantic

from zenactors.config.checking import STRICT, Finding, as_key, check_table
from zenactors.config.wording import one_line
from zenactors.core.recipe import keys_of
from zenactors.core.supervision import Retry, Supervision

if TYPE_CHECKING:
    from zenactors.config.component_options import Section

SUPERVISION = "supervision"
"""The key of the table, among the options of a component."""

_IN_CODE = {"retry", "on", "wait"}  # exceptions and waits cannot be written in a file


def is_own_option(section: Section | None) -> bool:
    """Return True if a component has an option of its own that is called `supervision`."""
    return section is not None and SUPERVISION in keys_of(section.model)


@functools.cache
def supervision_model() -> type[pydantic.BaseModel]:
    """Return the keys and types of the table."""
    retry = _model(Retry)
    return _model(Supervision, retry=(retry | None, None))


def _model(cls: type, **more: Any) -> type[pydantic.BaseModel]:
    types = typing.get_type_hints(cls)
    fields: dict[str, Any] = {
        field.name: (types[field.name], field.default)
        for field in dataclasses.fields(cls)
        if field.name not in _IN_CODE
    }
    model: type[pydantic.BaseModel] = pydantic.create_model(
        cls.__name__, __config__=STRICT, **fields, **more
    )
    return model


def read_supervision(
    table: Any, within: str = "", *, partial: bool = False
) -> tuple[dict[str, Any], list[Finding]]:
    """Return the values that a table sets, for `with_values`, and what is wrong with them.

    Args:
        table: The table.
        within: The key of the table, for the messages.
        partial: The table is one of several layers: a key that is None is no error.
    """
    keys = (within,) if within else ()
    if not isinstance(table, Mapping):
        return {}, [((), f"{as_key(keys)}: expected a table, got {table!r}")]
    checked, findings = check_table(
        supervision_model(), table, lambda path: as_key((*keys, *path)), partial=partial
    )
    if checked is None:
        return {}, findings
    values = {
        key: value
        for key, value in checked.model_dump(exclude_unset=True).items()
        if value is not None or not partial
    }
    prefix = f"{within}." if within else ""
    return values, [
        (path, f"{prefix}{problem}")
        for kind, path, each in _each_value(values)
        if (problem := _refusal(kind, each))
    ]


def _each_value(
    values: Mapping[str, Any],
) -> typing.Iterator[tuple[type, tuple[str, ...], dict[str, Any]]]:
    """Yield each value alone, with the class that checks it and its place."""
    for key, value in values.items():
        if key == "retry":
            for name, each in (value or {}).items():
                if each is not None:  # in one of several layers
                    yield Retry, (key, name), {name: each}
        else:
            yield Supervision, (key,), {key: value}


def _refusal(kind: Callable[..., object], values: Mapping[str, Any]) -> str:
    try:
        kind(**values)
    except ValueError as cause:
        return one_line(cause)
    return ""
