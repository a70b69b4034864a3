"""Write the SPEC of a new pipeline: its components, and their options with their defaults.

No component is set up. Thread: main, before any other thread exists.
"""

from __future__ import annotations

import dataclasses
import textwrap
import tomllib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zenactors.config.checking import check_table
from zenactors.core.component import ZenDaemonComponent
from zenactors.spec.assemble import DaemonTable
from zenactors.spec.catalogue import Entry, Option
from zenactors.spec.components import build_component, handled_by
from zenactors.spec.importing import Problem
from zenactors.spec.toml_words import key_in_toml, value_in_toml

_WIDTH = 100
_HEAD = """\
# A pipeline. Save this as FILE, fill in the options, and then:
#
#   zenactors check FILE    validates it
#   zenactors run FILE      runs it until Ctrl-C
#
# An option behind a # has its default. `zenactors components NAME` explains all of a component.
"""
_LINES = "lines"
_PLACEHOLDERS = {"integer": 1, "number": 1.0, "true": True, "table": {}, "array": []}


@dataclasses.dataclass(slots=True)
class _Part:
    """A component of the pipeline.

    Attributes:
        entry: What the catalogue says of it.
        options: Those that are written with a value.
        component: It, with these options.
        events: Other names for its events.
        note: What there is to know about it, besides its summary.
    """

    entry: Entry
    options: Mapping[str, Any]
    component: ZenDaemonComponent
    events: dict[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""


def pipeline(name: str, entries: Sequence[Entry], app_dir: Path) -> str:
    """Return a SPEC whose events pass through components in the given order.

    Args:
        name: The daemon's name.
        entries: A source, any steps, a sink.
        app_dir: The directory whose files root must be able to trust.

    Raises:
        Problem: They are no pipeline, the name is wrong, or a component can be constructed neither
            with the options that it requires nor with those of its example.
    """
    _, findings = check_table(DaemonTable, {"name": name}, lambda _: "--name")
    for _, problem in findings:
        raise Problem(problem)
    _check_order(entries)
    parts = [_part_of(entry, app_dir) for entry in entries]
    _rename_lines(parts)
    parts += _takers(parts)
    return "\n".join(
        [_HEAD, *_settings(name), *(line for part in parts for line in _table(part)), ""]
    )


def _check_order(entries: Sequence[Entry]) -> None:
    for number, entry in enumerate(entries, 1):
        if number == 1 and entry.kind not in {"source", ""}:
            raise Problem(f"{entry.name} is a {entry.kind}: a pipeline begins with a source")
        if number > 1 and entry.kind == "source":
            raise Problem(f"{entry.name} is a source: only the first component can be one")
    last = entries[-1]
    if last.kind not in {"sink", ""} or len(entries) == 1:
        raise Problem(
            f"a pipeline ends with a sink, such as JsonLinesWriter: add one to {last.name}"
        )


def _settings(name: str) -> Iterator[str]:
    yield f"name = {value_in_toml(name)}"
    yield ""
    yield "# Where components remember how far they are, for the next run."
    yield f"#state_dir = {value_in_toml(f'{name}-state')}"
    yield ""
    yield "# Each event passes through the components in this order."


def _part_of(entry: Entry, app_dir: Path) -> _Part:
    example = _example_of(entry)
    required: dict[str, Any] = {
        option.name: example.get(option.name, _placeholder(option))
        for option in entry.options
        if option.required
    }
    problem = ""
    # Some components need one of several options, none of which is required by itself.
    pairs = [{**required, name: example[name]} for name in example]
    for options in (required, *pairs, {**example, **required}):
        table = {"use": entry.use, "options": options}
        component, findings = build_component(0, table, app_dir)
        if component is not None:
            return _Part(entry, options, component)
        problem = problem or findings[0][1]
    raise Problem(f"{entry.use} cannot be constructed: {problem}")


def _example_of(entry: Entry) -> dict[str, Any]:
    """Return the options of a component in its own example."""
    tables = _tables_from(entry)
    return dict(tables[0].get("options", {})) if tables else {}


def _tables_from(entry: Entry) -> list[dict[str, Any]]:
    """Return the components of a component's example, from the component itself on."""
    try:
        tables = tomllib.loads(entry.example).get("component", [])
    except tomllib.TOMLDecodeError:
        return []
    for number, table in enumerate(tables):
        if str(table.get("use")).rpartition(":")[2] == entry.name:
            return list(tables[number:])
    return []


def _placeholder(option: Option) -> Any:
    first = option.type.split()[0].rstrip(",")
    if first.startswith('"'):
        return first.strip('"')
    if option.type == "array of strings":
        return [option.name]
    return _PLACEHOLDERS.get(first, option.name)


def _rename_lines(parts: Sequence[_Part]) -> None:
    """Give components the event that the step before them goes on with, if that is not `lines`."""
    event = _LINES
    for part in parts:
        if event != _LINES and _LINES in handled_by(part.component):
            part.events[_LINES] = event
        event = _event_after(part) or event


def _event_after(part: _Part) -> str:
    """Return the event of this component that all behind it take in its example, or `""`."""
    events = {table.get("events", {}).get(_LINES, _LINES) for table in _tables_from(part.entry)[1:]}
    event = str(events.pop()) if len(events) == 1 else ""
    return event if event != _LINES and event in part.component.emits else ""


def _takers(parts: Sequence[_Part]) -> Iterator[_Part]:
    """Let every event be handled: rename those of sources, and yield sinks for all others."""
    handled: set[Hashable] = set()
    for part in parts:
        handled |= {part.events.get(str(each), each) for each in handled_by(part.component)}
    sink = parts[-1]
    for part in parts:
        for event in part.component.emits:
            if event in handled:
                continue
            if _LINES not in handled_by(part.component):
                part.events[str(event)] = _LINES
                continue
            handled.add(event)
            note = f"It takes the event {event!r} of {part.entry.name}: give it other options."
            given = [each for each in sink.entry.options if each.name in sink.options]
            entry = dataclasses.replace(sink.entry, options=given)
            yield dataclasses.replace(sink, entry=entry, events={_LINES: str(event)}, note=note)


def _table(part: _Part) -> Iterator[str]:
    entry = part.entry
    yield ""
    yield from _comment(f"{entry.name}: {entry.summary}" if entry.summary else entry.name)
    yield from _comment(part.note)
    yield "[[component]]"
    yield f"use = {value_in_toml(entry.use)}"
    yield f"#name = {value_in_toml(entry.name)}"
    if part.events:
        yield "[component.events]"
        yield from (
            f"{key_in_toml(own)} = {value_in_toml(name)}" for own, name in part.events.items()
        )
    if entry.options:
        yield "[component.options]"
    for option in entry.options:
        yield from _comment(option.first_sentence)
        yield _assignment(option, part.options)


def _comment(text: str) -> Iterable[str]:
    indent = "# "
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _assignment(option: Option, values: Mapping[str, Any]) -> str:
    if option.name in values:
        line = f"{option.name} = {value_in_toml(values[option.name])}"
        return f"{line}  # {option.type}"
    if option.default is None:
        return f"#{option.name} =  # {option.type}; not set by default"
    return f"#{option.name} = {option.default}  # {option.type}"
