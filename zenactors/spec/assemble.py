"""Assemble the daemon that a SPEC describes, or report everything that is wrong with it.

All problems of a file are found before anything is started, and are reported together: one line
per problem, with its place in the file. Thread: main, before any other thread exists.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from zenactors.config.assignments import Assignment, value_in
from zenactors.config.checking import check_table
from zenactors.config.merge import COMPONENTS, PROGRAM
from zenactors.config.merge import load as load_layers
from zenactors.config.options import NOT_IN_FILES, DaemonOptions
from zenactors.config.places import KeyPath, line_of
from zenactors.config.plan import Plan, entries_of, sections_of
from zenactors.config.sources import Layer
from zenactors.config.supervision import SUPERVISION, is_own_option
from zenactors.config.wording import nearest
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.text import short_repr
from zenactors.daemon.reload import differing
from zenactors.errors import ConfigurationError, ReloadError, did_you_mean
from zenactors.spec.components import (
    build_component,
    handled_by,
    unheard,
)
from zenactors.spec.importing import look_first_in
from zenactors.spec.objects import import_object, make
from zenactors.spec.spec_file import SpecFile, names_beside, read_spec

if TYPE_CHECKING:
    from zenactors.config.merge import Sections
    from zenactors.daemon.zendaemon import ZenDaemon
    from zenactors.spec.cases import Case, CaseTable

# For each list of events, the first value of an entry, if it is not the event's name.
_SCHEDULES = {
    "schedule": "",
    "schedule_next": "",
    "schedule_at": "Unix time",
    "schedule_after": "seconds",
}


class DaemonTable(DaemonOptions):
    """A whole file, without its components, which are checked one by one."""

    description: str = ""
    ordering: Literal["component", "global", "event"] = "component"
    schedule: list[Any] = pydantic.Field(default=[])
    schedule_next: list[Any] = pydantic.Field(default=[])
    schedule_at: list[Any] = pydantic.Field(default=[])
    schedule_after: list[Any] = pydantic.Field(default=[])
    component: list[dict[str, Any]] = pydantic.Field(default=[])
    tests: list[dict[str, Any]] = pydantic.Field(default=[])


Replace = Callable[[str, ZenDaemonComponent], ZenDaemonComponent]
"""Returns the component to use instead of one of this name, or the same."""

_ELSEWHERE = {
    **dict.fromkeys(NOT_IN_FILES, "SPEC is the only file"),
    "action": NOT_IN_FILES["action"],
    "components": "write their options as [component.options]",
}


def load(
    spec: str,
    app_dir: Path = Path(),
    settings: Mapping[str, Any] | None = None,
    assignments: Sequence[Assignment] = (),
    *,
    replace: Replace | None = None,
) -> ZenDaemon:
    """Return the daemon that `spec` describes. Imports the code that it names.

    A daemon described by a file runs in the foreground and without a PID file, unless the file or
    `settings` say otherwise. At a reload it reads the file again.

    Args:
        spec: The path of a TOML file, or `package.module:attribute`: a `ZenDaemon`, a
            subclass of it, or a function without arguments that returns one.
        app_dir: The directory that is searched first for modules. It stays first on `sys.path`,
            because components may import more when they run.
        settings: Configuration keys, and `ordering`, that take precedence over those of the file.
            If code makes the daemon, its `configure` gets them.
        assignments: Single values that take precedence over all else (`--set`).
        replace: Replaces components of a file by others with the same events.

    Raises:
        ConfigurationError: One line for each problem.
    """
    return load_with_tests(spec, app_dir, settings, assignments, replace=replace)[0]


def load_with_tests(
    spec: str,
    app_dir: Path = Path(),
    settings: Mapping[str, Any] | None = None,
    assignments: Sequence[Assignment] = (),
    *,
    replace: Replace | None = None,
) -> tuple[ZenDaemon, list[Case]]:
    """Return the daemon that `spec` describes, and the tests in the file; see `load`."""
    app_dir = absolute_app_dir(app_dir)
    look_first_in(app_dir)
    if is_file(spec):
        given = _Given(dict(settings or {}), assignments, replace)
        loaded = _load_file(Path(spec), app_dir, given)
        return loaded.daemon, loaded.cases
    if ":" not in spec:
        raise ConfigurationError(
            f"SPEC {spec!r} is neither a file nor of the form 'package.module:attribute'"
            f"{did_you_mean(spec, names_beside(Path(spec)))}"
        )
    if "ordering" in (settings or {}):
        raise ConfigurationError(
            f"{spec}: 'ordering' can be set for a TOML file only;"
            " give it to the ZenDaemon in the code"
        )
    return _load_object(spec, app_dir, _Given(settings or {}, assignments)), []


def is_file(spec: str) -> bool:
    """Return True if `spec` is the path of a file, and not `package.module:attribute`."""
    return spec.endswith(".toml") or os.path.exists(spec)  # noqa: PTH110 - Path.exists() raises for a name too long


def absolute_app_dir(app_dir: Path) -> Path:
    """Return the absolute path of a directory with modules.

    Raises:
        ConfigurationError: It is none; or it is relative, and the current directory was deleted.
    """
    try:
        absolute = app_dir.absolute()
    except FileNotFoundError:
        raise ConfigurationError(
            f"--app-dir {str(app_dir)!r} is relative, and the current directory is gone: give an"
            " absolute path"
        ) from None
    if not absolute.is_dir():
        raise ConfigurationError(f"--app-dir {str(absolute)!r} is not a directory")
    return absolute


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
    """What takes precedence over a SPEC.

    Attributes:
        settings: Configuration keys, and `ordering`.
        assignments: Single values, stronger still.
        replace: Replaces components; None: none of them.
    """

    settings: Mapping[str, Any]
    assignments: Sequence[Assignment]
    replace: Replace | None = None

    def no_daemon(self, default: Any) -> Any:
        """Return the value of the key `no_daemon`."""
        value = self.settings.get("no_daemon", default)
        for each in self.assignments:
            if each.path == ("no_daemon",):
                value = value_in(DaemonOptions, each.path, each.text)
        return value


def _load_object(spec: str, app_dir: Path, given: _Given) -> ZenDaemon:
    from zenactors.daemon.zendaemon import ZenDaemon  # noqa: PLC0415 - the engine, when needed

    found: ZenDaemon = make(
        spec,
        import_object(spec, app_dir),
        "a ZenDaemon, a subclass of it, or a function without arguments that returns one",
        ready=(ZenDaemon,),
        made=(ZenDaemon,),
    )
    in_foreground: dict[str, Any] = {"no_daemon": True}
    if given.no_daemon(default=True) and "action" not in given.settings:
        in_foreground["pid_file"] = None
    found.configure({**in_foreground, **given.settings}, given.assignments)
    problems = list(unheard(found.components, set(found.chains())))
    if problems:
        raise ConfigurationError("\n".join(f"{spec}: {problem}" for _, problem in problems))
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Loaded:
    """A file that was loaded.

    Attributes:
        daemon: The daemon, ready to serve.
        plan: Its configuration, and its components.
        structure: The values that a reload cannot change.
        cases: The tests.
    """

    daemon: ZenDaemon
    plan: Plan
    structure: dict[str, Any]
    cases: list[Case]


def _load_file(
    path: Path,
    app_dir: Path,
    given: _Given,
    default: Mapping[str, Any] | None = None,
) -> _Loaded:
    file = read_spec(path, app_dir)
    table, findings = check_table(DaemonTable, file.data, elsewhere=_ELSEWHERE)
    for where, problem in findings:
        file.add(where, problem)
    components = [
        _add_component(file, index, component, given.assignments)
        for index, component in enumerate(_tables(file.data.get("component")))
    ]
    tests = _checked_tests(file)
    settings = table.model_dump(exclude_unset=True, exclude={"component", "tests"}) if table else {}
    for key, before in _SCHEDULES.items():
        entries = file.data.get(key)
        settings[key] = [
            _entry(file, (key, index), entry, before)
            for index, entry in enumerate(entries if isinstance(entries, list) else [])
        ]
    settings |= given.settings
    daemon = None
    # If a component is missing, the events that it handles would seem unknown.
    built = [component for component in components if component is not None]
    if len(built) == len(components):
        if given.replace is not None:
            built = [given.replace(each.name, each.component) for each in entries_of(built)]
        daemon = _wire(file, settings, built)
    cases = _cases(file, tests, daemon) if tests and daemon else []
    if file.problems or daemon is None:
        raise ConfigurationError(file.report())
    tables = _tables(file.data.get("component"))
    structure = {"ordering": settings.get("ordering")}
    structure |= {
        f"component {number} ({key})": table.get(key)
        for number, table in enumerate(tables, start=1)
        for key in ("use", "name", "events")
    }
    at_start = default is None
    if default is None:
        no_daemon = given.no_daemon(default=file.data.get("no_daemon"))
        in_background = no_daemon is False or "action" in {**file.data, **given.settings}
        default = daemon.default_files(in_background=in_background)
    loaded = _Loaded(daemon, _plan_of(file, built, given, default), structure, cases)
    if at_start:  # at a reload, only `plan` is used, by the daemon that serves
        again = functools.partial(_load_again, path.absolute(), app_dir, given, default, structure)
        daemon.use_spec(loaded.plan, again)
    return loaded


def _load_again(
    path: Path,
    app_dir: Path,
    given: _Given,
    default: Mapping[str, Any],
    structure: Mapping[str, Any],
) -> Plan:
    # Use the defaults of the start: by now, directory and user of the process may be others.
    loaded = _load_file(path, app_dir, given, default)
    if different := differing(structure, loaded.structure):
        raise ReloadError(f"Only a restart can change: {', '.join(different)}")
    return loaded.plan


def _plan_of(
    file: SpecFile,
    components: list[ZenDaemonComponent],
    given: _Given,
    default: Mapping[str, Any],
) -> Plan:
    own = {key: file.data[key] for key in file.data if key in DaemonOptions.model_fields}
    if "parallel" in file.data:
        own["parallel"] = file.data["parallel"]
    settings = {key: value for key, value in given.settings.items() if key != "ordering"}
    entries = entries_of(components)
    sections = sections_of(entries)
    policies, lines = _policies_of(file, sections)
    configuration = load_layers(
        DaemonOptions,
        [
            Layer(kind="default", label="default", data={"no_daemon": True, **default}),
            Layer(kind="file", label=str(file.path), data=own | policies, lines=lines),
            Layer(kind="command line", label="command line", data=settings),
        ],
        sections,
        given.assignments,
    )
    # The program that gives the components their options is the file.
    origins = dict(configuration.origins)
    for index, entry in enumerate(entries):
        for path, origin in configuration.origins.items():
            if path[:2] == ("components", entry.name) and origin == PROGRAM:
                line = line_of(file.lines, ("component", index, "options", *path[2:]))
                origins[path] = f"{file.path}:{line}"
    return Plan(entries, dataclasses.replace(configuration, origins=origins))


def _policies_of(file: SpecFile, sections: Sections) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Return the policies in a file as a part of a configuration, and the line of each key."""
    found: dict[str, Any] = {}
    lines = dict(file.lines)
    tables = _tables(file.data.get("component"))
    for index, (name, table) in enumerate(zip(sections, tables, strict=True)):
        if SUPERVISION in table and not is_own_option(sections[name]):
            found[name] = {SUPERVISION: table[SUPERVISION]}
            lines |= {
                (COMPONENTS, name, *path[2:]): line
                for path, line in file.lines.items()
                if path[:3] == ("component", index, SUPERVISION)
            }
    return ({COMPONENTS: found} if found else {}), lines


def _add_component(
    file: SpecFile, index: int, table: dict[str, Any], assignments: Sequence[Assignment]
) -> ZenDaemonComponent | None:
    component, findings = build_component(index, table, file.app_dir, assignments)
    for where, problem in findings:
        file.add(where, problem)
    return component


def _tables(found: Any) -> list[dict[str, Any]]:
    tables = found if isinstance(found, list) else []
    return [table for table in tables if isinstance(table, dict)]


def _checked_tests(file: SpecFile) -> list[CaseTable | None]:
    """Check the tables of the tests; return those that are right, or None."""
    tables = _tables(file.data.get("tests"))
    if not tables:
        return []
    from zenactors.spec.cases import check_tests  # noqa: PLC0415 - slow to import, seldom needed

    tests, findings = check_tests(tables)
    for where, problem in findings:
        file.add(where, problem)
    return tests


def _cases(file: SpecFile, tests: list[CaseTable | None], daemon: ZenDaemon) -> list[Case]:
    """Return the tests, and check the names in them."""
    from zenactors.spec.cases import Case, unknown_names  # noqa: PLC0415 - as above

    cases = []
    for index, test in enumerate(tests):
        if test is not None:
            for where, problem in unknown_names(
                index, test, daemon.dispatcher.names[1:], daemon.chains()
            ):
                file.add(where, problem)
            cases.append(Case(index + 1, test, functools.partial(file.place, index)))
    return cases


def _entry(file: SpecFile, where: KeyPath, entry: Any, before: str) -> tuple[Any, ...]:
    """Return a complete entry of a schedule: the time if it has one, the event, its args."""
    times = 1 if before else 0
    right = isinstance(entry, list) and len(entry) in {times + 1, times + 2}
    if right and before:
        right = isinstance(entry[0], int | float) and not isinstance(entry[0], bool)
        right = right and abs(entry[0]) <= sys.float_info.max  # False for NaN, too
    if not right or not isinstance(entry[times], str):
        form = f'{before}, "event"' if before else '"event"'
        expected = f"[{form}] or [{form}, its args]"
        file.add(where, f"key {where[0]!r}: expected {expected}, got {short_repr(entry)}")
        return ()
    return (*entry, None) if len(entry) == times + 1 else tuple(entry)


def _wire(
    file: SpecFile, settings: dict[str, Any], components: list[ZenDaemonComponent]
) -> ZenDaemon | None:
    """Construct the daemon and check that every event in the file has a callback."""
    from zenactors.daemon.zendaemon import ZenDaemon  # noqa: PLC0415 - the engine, when needed

    daemon = None
    try:
        if not file.problems:
            taken = settings.keys() & {"name", "description", "ordering", *_SCHEDULES}
            daemon = ZenDaemon(**{key: settings[key] for key in taken}, components=components)
        handled = set((daemon or ZenDaemon(name="check", components=components)).chains())
    except ConfigurationError as cause:
        for line in str(cause).splitlines():
            file.add((), line)
        return None
    theirs: set[Hashable] = set().union(*map(handled_by, components))
    for key, before in _SCHEDULES.items():
        for index, entry in enumerate(settings[key]):
            event = entry[1 if before else 0] if entry else None
            if entry and event not in handled:
                problem = f"no component handles event {event!r}{nearest(event, theirs)}"
                file.add((key, index), f"key {key!r}: {problem}")
    for place, problem in unheard(components, handled):
        file.add(place, problem)
    return daemon
