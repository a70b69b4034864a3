"""Merge layers into one checked configuration that knows the origin of each value.

Tables are merged key by key; every other value is replaced by that of the stronger layer. Errors
are found in every layer, even if a stronger one overrides the value, and are reported together.
Pure functions of layers; any thread.
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
    """The merged configuration.

    Attributes:
        values: Every key with its checked value, in plain dicts.
        origins: The origin of every value that is no table, or is an empty one:
            `default`, `program`, `command line`, or a file with the line, `/etc/x.conf:12`.
    """

    values: dict[str, Any]
    origins: dict[KeyPath, str]


def load(
    model: type[pydantic.BaseModel], layers: Sequence[Layer], sections: Sections | None = None
) -> Configuration:
    """Merge layers, the weakest first, and check the result.

    Args:
        model: The keys; usually a `DaemonOptions`.
        layers: The sources.
        sections: The tables under `components`. A component that no layer mentions has its
            defaults, so it is an error if one of its options has none.

    Raises:
        ConfigurationError: One line for each problem of each layer.
    """
    sections = sections or {}
    merged = _Merged(model, sections)
    problems = [problem for layer in layers for problem in merged.add(layer)]
    values, findings = _check(model, merged.data, sections, as_key, partial=False)
    # The errors of each layer are in the list already, with their places. New are only keys that
    # are missing in all layers, and values that are right alone but wrong together.
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
    """Yield the paths of all values in nested tables that are no tables, or are empty ones."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


class _Merged:
    """The layers so far, as one table."""

    def __init__(self, model: type[pydantic.BaseModel], sections: Sections) -> None:
        self.data: dict[str, Any] = {}
        self.wrong: set[KeyPath] = set()  # places of errors that a layer has
        self._origins: dict[KeyPath, str] = {}  # of values that are no tables
        self._empty: dict[KeyPath, str] = {}  # of empty tables
        self._model = model
        self._sections = sections
        # A table that is a default is merged with those of the layers, not replaced by them.
        tables = _default_tables(model)
        for name, section in sections.items():
            tables.setdefault(COMPONENTS, {})[name] = _default_tables(section) if section else {}
        self._put(tables, (), lambda _: DEFAULT, nulls=True)

    def add(self, layer: Layer) -> list[str]:
        """Merge a stronger layer; return its problems, one line each."""
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
        # In the order of the file. The sort is stable: findings of one line keep their order.
        findings.sort(key=lambda finding: layer.line(finding[0]))
        return [*layer.problems, *(f"{layer.place(path)}: {text}" for path, text in findings)]

    def origin(self, path: KeyPath) -> str | None:
        """Return the origin of a value, or of the value that it is a part of."""
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
        """Return the table at a place; create it if there is none."""
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
        # A factory that takes other values cannot be called yet; its table is not merged.
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
    """Check a table and its tables of components; return its values and its errors."""
    checked, findings = check_table(model, table, called, elsewhere=elsewhere, partial=partial)
    values = checked.model_dump(by_alias=True) if checked else {}
    components = table.get(COMPONENTS)
    for name, options in components.items() if isinstance(components, Mapping) else ():
        where = (COMPONENTS, name)
        section = sections.get(name)
        if name not in sections:
            findings.append((where, f"unknown component {name!r}{nearest(name, sections)}"))
        elif not isinstance(options, Mapping):
            continue  # the model has reported it
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
