"""Layers put on top of each other: one configuration, checked, and where each value is from.

Tables are merged key by key; everything else is replaced. What is wrong is found in every layer,
also where a stronger one overrides it, and told at once. Pure functions of layers; any thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic

from zenactors.config.checking import (
    Finding,
    as_key,
    as_option,
    check_table,
    key_of,
)
from zenactors.config.options import NOT_IN_FILES, as_flag, canonical
from zenactors.config.wording import nearest
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from zenactors.config.places import KeyPath
    from zenactors.config.sources import Layer

Sections = Mapping[str, type[pydantic.BaseModel] | None]
"""The components that have a section: the model of its options, or None if it takes none."""

COMPONENTS = "components"
DEFAULT = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """What holds in the end.

    Attributes:
        values: Every key with its checked value, in plain dicts.
        origins: For every value that is no table, or is an empty one, where it is from:
            `default`, `program`, `command line`, or a file with the line, `/etc/x.conf:12`.
    """

    values: dict[str, Any]
    origins: dict[KeyPath, str]


def load(
    model: type[pydantic.BaseModel], layers: Sequence[Layer], sections: Sections | None = None
) -> Configuration:
    """Put layers on top of each other, the weakest first, and check the result.

    Args:
        model: What there is to configure; usually a `DaemonOptions`.
        layers: Where it is configured.
        sections: What stands under `components`. A component that is not mentioned anywhere has
            its defaults; so it is a problem if one of its options has none.

    Raises:
        ConfigurationError: One line for each problem of each layer.
    """
    sections = sections or {}
    merged = _Merged(model, sections)
    problems = [problem for layer in layers for problem in merged.add(layer)]
    values, findings = _check(model, merged.data, sections, as_key, partial=False)
    # What is wrong in a layer has been told with its place there. New is only what is missing
    # in all of them, or wrong with values that are right by themselves.
    problems += [
        f"{merged.origin(path) or 'configuration'}: {text}"
        for path, text in findings
        if path not in merged.wrong
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    origins = {path: merged.origin(path) or DEFAULT for path in leaves(values)}
    return Configuration(values, origins)


def leaves(table: Mapping[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield where the values of nested tables are that are no tables, or empty ones."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


class _Merged:
    """The layers so far, as one table."""

    def __init__(self, model: type[pydantic.BaseModel], sections: Sections) -> None:
        self.data: dict[str, Any] = {}
        self.wrong: set[KeyPath] = set()  # what has been told already
        self._origins: dict[KeyPath, str] = {}  # of what is no table
        self._empty: dict[KeyPath, str] = {}  # of tables that were given empty
        self._model = model
        self._sections = sections
        # What is a table by default is merged into, as the tables of layers are.
        tables = _default_tables(model)
        for name, section in sections.items():
            tables.setdefault(COMPONENTS, {})[name] = _default_tables(section) if section else {}
        self._put(tables, (), lambda _: DEFAULT, nulls=True)

    def add(self, layer: Layer) -> list[str]:
        """Put a layer on top; return what is wrong with it, a line each."""
        _, findings = _check(
            self._model,
            layer.data,
            self._sections,
            as_flag if layer.kind == "command line" else as_key,
            elsewhere=NOT_IN_FILES if layer.is_file else {},
            partial=True,
        )
        self.wrong.update(canonical(path) for path, _ in findings)
        self._put(layer.data, (), layer.place, nulls=not layer.is_file)
        # A file is read from the top; stable, so that one line's stay in order.
        findings.sort(key=lambda finding: layer.line(finding[0]))
        return [*layer.problems, *(f"{layer.place(path)}: {text}" for path, text in findings)]

    def origin(self, path: KeyPath) -> str | None:
        """Return where a value is from, or the value that it is a part of."""
        if path in self._empty and path not in self._origins:
            return self._empty[path]
        while path and path not in self._origins:
            path = path[:-1]
        return self._origins.get(path)

    def _put(
        self,
        table: Mapping[str, Any],
        within: KeyPath,
        place: Callable[[KeyPath], str],
        *,
        nulls: bool,
        kept_within: KeyPath = (),
    ) -> None:
        for key, value in table.items():
            written = (*within, key)
            path = canonical((*kept_within, key))
            if value is None and not nulls:
                continue
            into = self._table(path[:-1])
            if not isinstance(value, Mapping):
                if isinstance(into.get(path[-1]), dict):
                    self._forget(path)
                into[path[-1]] = value
                self._origins[path] = place(written)
                continue
            self._table(path)
            if not value:
                self._empty[path] = place(written)
            self._put(value, written, place, nulls=nulls, kept_within=path)

    def _table(self, path: KeyPath) -> dict[str | int, Any]:
        """Return the table at a place; made, if there is none."""
        table: dict[Any, Any] = self.data
        for end, key in enumerate(path, 1):
            if not isinstance(table.get(key), dict):
                self._forget(path[:end])
                table[key] = {}
            table = table[key]
        return table

    def _forget(self, path: KeyPath) -> None:
        for origins in (self._origins, self._empty):
            for known in [known for known in origins if known[: len(path)] == path]:
                del origins[known]


def _default_tables(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    found = {}
    for name, field in model.model_fields.items():
        default = None
        # A factory that looks at other values cannot be asked yet; what it makes is not merged.
        with contextlib.suppress(TypeError, ValueError):
            default = field.get_default(call_default_factory=True)
        if isinstance(default, pydantic.BaseModel):
            default = default.model_dump(by_alias=True)
        if isinstance(default, Mapping):
            found[key_of(name, field)] = default
    return found


def _check(
    model: type[pydantic.BaseModel],
    table: Mapping[str, Any],
    sections: Sections,
    called: Callable[[KeyPath], str],
    *,
    elsewhere: Mapping[str, str] | None = None,
    partial: bool,
) -> tuple[dict[str, Any], list[Finding]]:
    """Check a table and what it says about components; return its values, and what is wrong."""
    checked, findings = check_table(model, table, called, elsewhere=elsewhere, partial=partial)
    values = checked.model_dump(by_alias=True) if checked else {}
    components = table.get(COMPONENTS)
    for name, options in components.items() if isinstance(components, Mapping) else ():
        where = (COMPONENTS, name)
        section = sections.get(name)
        if name not in sections:
            findings.append((where, f"unknown component {name!r}{nearest(name, sections)}"))
        elif not isinstance(options, Mapping):
            continue  # the model has told
        elif section is None:
            findings += [
                ((*where, key), f"component {name!r} takes no options, but got {key!r}")
                for key in options
            ]
        else:
            own, wrong = check_table(section, options, as_option, partial=partial)
            findings += [
                ((*where, *path), f"component {name!r}: {problem}") for path, problem in wrong
            ]
            if own and values:
                values[COMPONENTS][name] = own.model_dump(by_alias=True)
    return values, findings
