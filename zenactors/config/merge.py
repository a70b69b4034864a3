"""Merge layers into one checked configuration that knows the origin of each value.

Tables are merged key by key; every other value is replaced by that of the stronger layer. Errors
are found in every layer, even if a stronger one overrides the value, and are reported together.
Pure functions of layers; any thread.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zenactors.config.assignments import layers_of
from zenactors.config.checking import Finding, as_key, check_table, default_tables
from zenactors.config.component_options import Section
from zenactors.config.options import NOT_IN_FILES, as_flag, canonical
from zenactors.config.supervision import SUPERVISION, is_own_option, read_supervision
from zenactors.config.wording import nearest
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    import pydantic

    from zenactors.config.assignments import Assignment
    from zenactors.config.places import KeyPath
    from zenactors.config.sources import Layer

Sections = Mapping[str, Section | None]
"""The components that may have a section, each with its options; None if it takes none."""

COMPONENTS = "components"
DEFAULT = "default"
PROGRAM = "program"


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """The merged configuration.

    Attributes:
        values: Every key with its checked value, in plain dicts.
        origins: The origin of every value that is no table, or is an empty one: `default`,
            `program`, `command line`, `--set x.y`, or a file with the line, `/etc/x.conf:12`.
        tables: The options that the sources set for each component, as they are written.
        supervision: The values that the sources set in the policies of components, for
            `zenactors.core.supervision.with_values`.
    """

    values: dict[str, Any]
    origins: dict[KeyPath, str]
    tables: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    supervision: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def load(
    model: type[pydantic.BaseModel],
    layers: Sequence[Layer],
    sections: Sections | None = None,
    assignments: Sequence[Assignment] = (),
    *,
    complete: bool = True,
) -> Configuration:
    """Merge layers, the weakest first, and check the result.

    Args:
        model: The keys; usually a `DaemonOptions`.
        layers: The sources.
        sections: The tables under `components`. A component that no layer mentions has its
            defaults, so it is an error if one of its options has none.
        assignments: Single values that are stronger than all layers.
        complete: False: there may be more sections, which are neither checked nor in the result.

    Raises:
        ConfigurationError: One line for each problem of each layer.
    """
    sections = sections or {}
    merged = _Merged(model, sections, complete=complete)
    everything = [*layers, *layers_of(assignments, model, sections)]
    problems = [problem for layer in everything for problem in merged.add(layer)]
    values, findings = merged.result()
    # The errors of each layer are in the list already, with their places. New are only keys that
    # are missing in all layers, and values that are right alone but wrong together.
    problems += [
        f"{merged.origin(path) or 'configuration'}: {text}"
        for path, text in findings
        if path not in merged.wrong
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    origins = {
        path: merged.origin(path) or merged.origin_within(path) or DEFAULT
        for path in leaves(values, merged.in_code)
    }
    tables = {name: merged.table(name) for name in sections}
    return Configuration(values, origins, tables, merged.supervision)


def leaves(
    table: Mapping[str, Any], whole: Container[KeyPath] = (), path: KeyPath = ()
) -> Iterator[KeyPath]:
    """Yield the paths of all values in nested tables that are no tables, or are empty ones.

    Args:
        table: The nested tables.
        whole: The paths of values that are not looked into: a program's own objects.
        path: The path of the table.
    """
    for key, value in table.items():
        where = (*path, key)
        if isinstance(value, Mapping) and value and where not in whole:
            yield from leaves(value, whole, where)
        else:
            yield where


class _Merged:
    """The layers so far, as one table."""

    def __init__(
        self, model: type[pydantic.BaseModel], sections: Sections, *, complete: bool
    ) -> None:
        self.data: dict[str, Any] = {}
        self.wrong: set[KeyPath] = set()  # places of errors that a layer has
        self._origins: dict[KeyPath, str] = {}  # of values that are no tables
        self._empty: dict[KeyPath, str] = {}  # of empty tables
        self.supervision: dict[str, Mapping[str, Any]] = {}
        self._model = model
        self._sections = sections
        self._complete = complete
        # A table that is a default is merged with those of the layers, not replaced by them.
        self._put(default_tables(model), (), lambda _: DEFAULT, nulls=True)

    def add(self, layer: Layer) -> list[str]:
        """Merge a stronger layer; return its problems, one line each."""
        _, findings = check_table(
            self._model,
            layer.data,
            as_flag if layer.kind == "command line" else as_key,
            elsewhere=NOT_IN_FILES if layer.is_file or layer.kind == "assignment" else {},
            partial=True,
        )
        components = layer.data.get(COMPONENTS)
        for name, table in components.items() if isinstance(components, Mapping) else ():
            findings += self._check_section(name, table)
        self.wrong.update(self._standard(path) for path, _ in findings)
        self._put(layer.data, (), layer.place, nulls=not layer.is_file)
        # In the order of the file. The sort is stable: findings of one line keep their order.
        findings.sort(key=lambda finding: layer.line(finding[0]))
        return [*layer.problems, *(f"{layer.place(path)}: {text}" for path, text in findings)]

    def _check_section(self, name: str, table: Any) -> list[Finding]:
        section = self._sections.get(name)
        if name not in self._sections:
            problem = f"unknown component {name!r}{nearest(name, self._sections)}"
            return [((COMPONENTS, name), problem)] if self._complete else []
        if not isinstance(table, Mapping):
            return []  # the model has reported it
        findings: list[Finding] = []
        if SUPERVISION in table and not is_own_option(section):
            table = dict(table)
            if (policy := table.pop(SUPERVISION)) is not None:
                _, wrong = read_supervision(policy, SUPERVISION, partial=True)
                findings = [((SUPERVISION, *path), problem) for path, problem in wrong]
        if section is not None:
            return _of_component(name, findings + section.check(table))
        return _of_component(name, findings) + [
            ((COMPONENTS, name, key), f"component {name!r} takes no options, but got {key!r}")
            for key in table
        ]

    def result(self) -> tuple[dict[str, Any], list[Finding]]:
        """Return all values, and what is wrong with them together."""
        own = {**self.data, COMPONENTS: {}} if COMPONENTS in self.data else self.data
        checked, findings = check_table(self._model, own)
        values = checked.model_dump(by_alias=True) if checked else {}
        for name, section in self._sections.items():
            options: dict[str, Any] = {}
            if section is not None:
                effective, wrong = section.resolve(self.table(name))
                findings += _of_component(name, wrong)
                options = {} if effective is None else effective.options
            if policy := self._policy(name):
                self.supervision[name], wrong = read_supervision(policy, SUPERVISION)
                findings += _of_component(name, [((SUPERVISION, *path), p) for path, p in wrong])
                options = {**options, SUPERVISION: self.supervision[name]}
            if COMPONENTS in values:
                values[COMPONENTS][name] = options
        return values, findings

    def table(self, name: str) -> Mapping[str, Any]:
        """Return the options that the layers set for a component."""
        table = self._everything(name)
        if is_own_option(self._sections.get(name)):
            return table
        return {key: value for key, value in table.items() if key != SUPERVISION}

    def _policy(self, name: str) -> Any:
        """Return what the layers set in the policy of a component, if they do."""
        is_option = is_own_option(self._sections.get(name))
        return None if is_option else self._everything(name).get(SUPERVISION)

    def _everything(self, name: str) -> Mapping[str, Any]:
        found: Any = self.data.get(COMPONENTS)
        table = found.get(name) if isinstance(found, Mapping) else None
        return table if isinstance(table, Mapping) else {}

    @functools.cached_property
    def in_code(self) -> frozenset[KeyPath]:
        """The paths of options that the program has given, and no layer."""
        return frozenset(
            (COMPONENTS, name, key)
            for name, section in self._sections.items()
            if section is not None
            for key in section.given.keys() - self.table(name).keys()
        )

    def origin(self, path: KeyPath) -> str | None:
        """Return the origin of a value, or of the value that it is a part of."""
        if path in self._empty and path not in self._origins:
            return self._empty[path]
        if path[:3] in self.in_code:
            return PROGRAM
        while path and path not in self._origins:
            path = path[:-1]
        return self._origins.get(path)

    def origin_within(self, path: KeyPath) -> str | None:
        """Return the origin of a part of a value, which is an object made from a table."""
        return self._origins_within.get(path)

    @functools.cached_property
    def _origins_within(self) -> dict[KeyPath, str]:
        found: dict[KeyPath, str] = {}
        for path, origin in self._origins.items():
            for end in range(1, len(path) + 1):
                found.setdefault(path[:end], origin)
        return found

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
            path = self._standard((*kept_within, key))
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
                if key in table:
                    self._forget(path[:end])
                table[key] = {}
            table = table[key]
        return table

    def _standard(self, path: KeyPath) -> KeyPath:
        """Return the standard spelling of a path, those of options included."""
        if path[:1] != (COMPONENTS,) or not path[2:]:
            return canonical(path)
        section = self._sections.get(str(path[1]))
        return path if section is None else (*path[:2], section.standard(path[2]), *path[3:])

    def _forget(self, path: KeyPath) -> None:
        for origins in (self._origins, self._empty):
            for known in [known for known in origins if known[: len(path)] == path]:
                del origins[known]


def _of_component(name: str, findings: list[Finding]) -> list[Finding]:
    return [
        ((COMPONENTS, name, *path), f"component {name!r}: {problem}") for path, problem in findings
    ]
