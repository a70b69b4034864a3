"""Construct components from the `[[component]]` tables of a file, and check their events.

No component is set up. Thread: main, before any other thread exists.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from zenactors.config.assignments import Assignment, value_in
from zenactors.config.checking import STRICT, Finding, check_table
from zenactors.config.component_options import (
    Section,
    make_component,
    overridden,
)
from zenactors.config.redaction import without_secrets
from zenactors.config.supervision import read_supervision
from zenactors.config.value_types import Text
from zenactors.config.wording import because, constructor_failure, nearest
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import Recipe, read_constructor
from zenactors.core.supervision import with_values
from zenactors.core.text import short_repr
from zenactors.spec.importing import Problem, import_attribute

# Arguments that [component.options] cannot set, and where they are set instead.
_ELSEWHERE = {
    "name": "write it as a key of [[component]] itself",
    "event_map": "write it as [component.events]",
    "clock": "it cannot be given in a file",
    "supervision": "write it as [component.supervision]",
}


class ComponentTable(pydantic.BaseModel):
    """One `[[component]]` of a file."""

    model_config = STRICT

    use: Text
    name: Text | None = None
    options: dict[str, Any] = {}
    events: dict[str, str] = {}
    supervision: dict[str, Any] = {}


def build_component(
    index: int, table: Mapping[str, Any], app_dir: Path, assignments: Sequence[Assignment] = ()
) -> tuple[ZenDaemonComponent | None, list[Finding]]:
    """Construct the component of one table; return it, or None and its errors.

    Args:
        index: The number of the table in the file, from 0.
        table: The values under `[[component]]`.
        app_dir: The directory whose files root must be able to trust.
        assignments: Those of the command line. The options among them override the table's, if
            they are right.
    """
    label = f"component {index + 1}"
    _, findings = check_table(ComponentTable, table)
    cls = component = None
    use, name, options, events = map(table.get, ("use", "name", "options", "events"))
    if isinstance(use, str) and use:
        try:
            cls = import_component(use, app_dir)
        except Problem as cause:
            findings.append((("use",), f"key 'use': {cause}"))
    if name or cls:
        label = f"{label} ({name or (cls and cls.__name__)})"
    if cls is not None:
        findings += _not_taken(cls, name=name, events=events)
        own = [
            each for each in assignments if each.path[:2] == ("components", name or cls.__name__)
        ]
        # Alone, the table may lack an option that the command line gives it.
        for overriding in ([], own) if own else ([],):
            given, wrong = _arguments(cls, options if isinstance(options, dict) else {}, overriding)
            if not findings and not wrong:
                given |= {"name": name} if name else {}
                component, wrong = _construct(cls, given, events or {})
            if component is not None:
                break
        findings += wrong
    if isinstance(table.get("supervision"), dict):
        policy, wrong = read_supervision(table["supervision"])
        findings += [(("supervision", *where), problem) for where, problem in wrong]
        if component is not None and not wrong:
            component.supervision = with_values(component.supervision, policy)
    return component, [
        (("component", index, *where), f"{label}: {problem}") for where, problem in findings
    ]


def import_component(use: str, app_dir: Path) -> type[ZenDaemonComponent]:
    """Return the class of components that `package.module:Class` names.

    Raises:
        Problem: It cannot be imported, or is no such class.
    """
    found = import_attribute(use, app_dir)
    if not (isinstance(found, type) and issubclass(found, ZenDaemonComponent)):
        raise Problem(f"{use!r} is {short_repr(found)}, not a subclass of ZenDaemonComponent")
    return found


def _arguments(
    cls: type[ZenDaemonComponent], options: Mapping[str, Any], assignments: Sequence[Assignment]
) -> tuple[dict[str, Any], list[Finding]]:
    section = Section(Recipe(cls))
    written = dict(options)
    for each in assignments:
        value = value_in(section.model, each.path[2:], each.text) if each.path[2:] else None
        for part in reversed(each.path[2:]):
            value = {str(part): value}
        if value and not section.check(value):
            written = overridden(written, value)
    effective, findings = section.resolve(written, _ELSEWHERE)
    return (effective.set_here if effective else {}), [
        (("options", *where), problem) for where, problem in findings
    ]


def _not_taken(cls: type[ZenDaemonComponent], *, name: Any, events: Any) -> list[Finding]:
    accepts = read_constructor(cls).accepts  # type: ignore[arg-type] # as above
    given = {"name": ("name", name), "event_map": ("events", events)}
    return [
        (
            (key,),
            f"{cls.__name__} takes no {argument!r}: let its __init__ take **kwargs and pass"
            f" them to super().__init__, or leave {key!r} out",
        )
        for argument, (key, value) in given.items()
        if value and argument not in accepts
    ]


def _construct(
    cls: type[ZenDaemonComponent], arguments: Mapping[str, Any], events: Mapping[str, str]
) -> tuple[ZenDaemonComponent | None, list[Finding]]:
    try:
        # First without its event_map, to get its own names of its events.
        component = make_component(Recipe(cls, **arguments))
    except (Exception, SystemExit) as cause:
        return None, [(("options",), without_secrets(constructor_failure(cause), arguments))]
    try:
        own = handled_by(component)
        emitted = set(_emitted_by(component))
        names = sorted(map(str, own | emitted))
        findings: list[Finding] = [
            (
                ("events", name),
                f"it neither handles nor emits event {name!r}{nearest(name, names)}",
            )
            for name in events
            if name not in own | emitted
        ]
        if events and not findings:
            event_map: Any = dict(events)  # Any: to mypy, strings as keys are no Hashables
            component = make_component(Recipe(cls, **arguments, event_map=event_map))
            if handled_by(component) != {events.get(str(name), name) for name in own}:
                problem = (
                    "events cannot be renamed, because its get_events() ignores its event_map:"
                    " use self.event(name)"
                )
                findings.append((("events",), problem))
    except (Exception, SystemExit) as cause:
        return None, [((), f"its events cannot be listed: {because(cause)}")]
    return (None if findings else component), findings


def handled_by(component: ZenDaemonComponent) -> set[Hashable]:
    """Return the events that a component handles, by their names in the daemon."""
    return {handler["event"] for handler in component.get_events()}


def _emitted_by(component: ZenDaemonComponent) -> Iterable[Hashable]:
    # In a daemon that the user's code makes, a component may be any object with get_events().
    emits: Iterable[Hashable] = getattr(component, "emits", ())
    return (emits,) if isinstance(emits, str) else emits


def emitted_by(component: ZenDaemonComponent) -> set[Hashable]:
    """Return the events that a component schedules, by their names in the daemon."""
    return {component.event(own) for own in _emitted_by(component)}


def unheard(components: Iterable[ZenDaemonComponent], handled: set[Hashable]) -> Iterator[Finding]:
    """Yield a finding for each event that a component emits and none handles."""
    components = list(components)
    theirs: set[Hashable] = set().union(*map(handled_by, components))
    for index, component in enumerate(components):
        for own in _emitted_by(component):
            event = component.event(own)
            if event not in handled:
                yield (
                    ("component", index, "events", str(own)),
                    f"component {index + 1} ({component}): it emits event {event!r}, but no"
                    f" component handles it{nearest(event, theirs)}",
                )
