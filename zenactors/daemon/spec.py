"""From a SPEC to a `ZenDaemon`: a TOML file, or `package.module:attribute`.

All problems of a file are found before anything is started, and are told at once: one
line a problem, with its place in the file. Thread: main, before any other thread exists.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import functools
import importlib
import importlib.machinery
import importlib.util
import inspect
import operator
import os
import pkgutil
import re
import reprlib
import stat
import sys
import tomllib
import traceback
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
import pydantic_core

from zenactors.core.component import ZenDaemonComponent
from zenactors.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from zenactors.daemon.lifecycle import ZenDaemon

KeyPath = tuple[str | int, ...]
Finding = tuple[KeyPath, str]  # where something is wrong, and what

_STRICT = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

_PACKAGE = Path(__file__).parent.parent

# What a constructor takes but [component.options] does not give, and where it is given instead.
_GIVEN_ELSEWHERE = {
    "name": "write it as a key of [[component]] itself",
    "event_map": "write it as [component.events]",
    "clock": "it cannot be given in a file",
}


def load(spec: str, app_dir: Path = Path(), settings: Mapping[str, Any] | None = None) -> ZenDaemon:
    """Return the daemon that `spec` describes. Imports the code that it names.

    Args:
        spec: The path of a TOML file, or `package.module:attribute`: a `ZenDaemon`, a
            subclass of it, or a function without arguments that returns one.
        app_dir: Where modules are looked for first. It stays first on `sys.path`, for
            components may import more when they run.
        settings: Arguments of `ZenDaemon` that take precedence over those of the file. Only
            for a TOML file: in the other form the daemon is made by other people's code.

    Raises:
        ConfigurationError: One line for each problem that was found.
    """
    app_dir = app_dir.absolute()
    if not app_dir.is_dir():
        raise ConfigurationError(f"--app-dir {str(app_dir)!r} is not a folder")
    _look_first_in(app_dir)
    if spec.endswith(".toml") or os.path.exists(spec):  # noqa: PTH110 - Path.exists() raises for a name too long
        return _load_file(Path(spec), app_dir, dict(settings or {}))
    if ":" not in spec:
        raise ConfigurationError(
            f"SPEC {spec!r} is neither a file nor of the form 'package.module:attribute'"
            f"{did_you_mean(spec, _names_beside(Path(spec)))}"
        )
    if settings:
        raise ConfigurationError(
            f"{spec}: {', '.join(map(repr, settings))} can be set for a TOML file only;"
            f" give it to the ZenDaemon in the code"
        )
    return _load_object(spec, app_dir)


def _look_first_in(app_dir: Path) -> None:
    # A folder in which others can write could shadow any module with one of their own: as
    # root, nothing is imported from it (and `_find_module` says so if something should be).
    if str(app_dir) not in sys.path[:1] and not _who_else_can_write(app_dir):
        sys.path.insert(0, str(app_dir))
        importlib.invalidate_caches()


def _names_beside(path: Path) -> list[str]:
    try:
        return [str(path.parent / beside.name) for beside in path.parent.iterdir()]
    except OSError:
        return []


def _who_else_can_write(path: Path) -> str:
    """Say why root must not trust `path`; an empty string if it may, or is not root."""
    if os.geteuid() != 0:
        return ""
    found = path.stat()
    trusted = {"0", os.environ.get("SUDO_UID", "0")}  # who may use sudo is root anyway
    if str(found.st_uid) not in trusted:
        return f"belongs to user {found.st_uid}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


def _refusal(path: Path) -> str:
    reason = _who_else_can_write(path)
    return reason and (
        f"{path} {reason}, and it names code that would run as root;"
        f" use: chown root {path} && chmod go-w {path}"
    )


class _Problem(Exception):  # noqa: N818 - a finding on its way to the list of findings
    """One thing that is wrong, without its place."""


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _because(cause: BaseException) -> str:
    """Describe an exception of other people's code, and where in it, in one line."""
    frames = [
        frame
        for frame in traceback.extract_tb(cause.__traceback__)
        if not frame.filename.startswith("<frozen ")
    ]
    # Where zenactors itself raises, it is the message that helps, not the place.
    theirs = bool(frames) and not Path(frames[-1].filename).is_relative_to(_PACKAGE)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if theirs else ""
    if isinstance(cause, SyntaxError):
        place = f" ({cause.filename}:{cause.lineno})"
        return f"{type(cause).__name__}: {_one_line(cause.msg)}{place}"
    return f"{type(cause).__name__}: {_one_line(cause)}{place}"


def _names_of_modules(parent: str) -> list[str]:
    if not parent:
        return [module.name for module in pkgutil.iter_modules()]
    path = getattr(sys.modules[parent], "__path__", [])
    return [module.name for module in pkgutil.iter_modules(path, f"{parent}.")]


def _find_module(name: str, app_dir: Path) -> None:
    """Check that module `name` is there and may be imported, before it is."""
    parent = name.rpartition(".")[0]
    if name in sys.modules:
        return
    reason = "" if parent else _who_else_can_write(app_dir)
    if reason and importlib.machinery.PathFinder.find_spec(name, [str(app_dir)]):
        raise _Problem(
            f"module {name!r} is not imported as root from {app_dir}, for that folder {reason};"
            f" use another --app-dir, or: chown root {app_dir} && chmod go-w {app_dir}"
        )
    found = importlib.util.find_spec(name)
    if found is None:
        raise _Problem(
            f"there is no module {name!r} (looked in {app_dir} and where Python looks)"
            f"{did_you_mean(name, _names_of_modules(parent))}"
        )
    origin = Path(found.origin) if found.has_location and found.origin else None
    if origin and origin.is_relative_to(app_dir) and (refusal := _refusal(origin)):
        raise _Problem(refusal)


def _import_module(name: str, app_dir: Path) -> types.ModuleType:
    parts = name.split(".")
    if not all(map(str.isidentifier, parts)):
        raise _Problem(f"{name!r} is not the name of a module")
    module = None
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        if module and not hasattr(module, "__path__"):
            raise _Problem(f"there is no module {part!r}: {module.__name__!r} is not a package")
        _find_module(part, app_dir)
        try:
            module = importlib.import_module(part)
        except (Exception, SystemExit) as cause:
            raise _Problem(f"module {part!r} cannot be imported: {_because(cause)}") from cause
    assert module is not None  # for the type checker: every name has a part
    return module


def _import_attribute(reference: str, app_dir: Path) -> Any:
    """Return what `module:attribute` names.

    Raises:
        _Problem: If it cannot be had.
    """
    module_name, colon, attribute = reference.partition(":")
    if not (module_name and colon and attribute):
        head, _, tail = reference.rpartition(".")
        hint = f"; did you mean '{head}:{tail}'?" if head and not colon else ""
        raise _Problem(f"{reference!r} is not of the form 'package.module:attribute'{hint}")
    found: Any = _import_module(module_name, app_dir)
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in dir(found) if not name.startswith("_")]
            raise _Problem(f"{module_name!r} has no attribute {part!r}{did_you_mean(part, public)}")
        found = getattr(found, part)
    return found


def _load_object(spec: str, app_dir: Path) -> ZenDaemon:
    from zenactors.daemon.lifecycle import ZenDaemon  # noqa: PLC0415 - the engine, when needed

    try:
        found = _import_attribute(spec, app_dir)
    except _Problem as problem:
        raise ConfigurationError(f"{spec}: {problem}") from problem.__cause__
    forms = "a ZenDaemon, a subclass of it, or a function without arguments that returns one"
    if not isinstance(found, ZenDaemon):
        if not callable(found) or (isinstance(found, type) and not issubclass(found, ZenDaemon)):
            raise ConfigurationError(f"{spec} is {reprlib.repr(found)}, which is not {forms}")
        try:
            inspect.signature(found).bind()
        except TypeError as cause:
            raise ConfigurationError(
                f"{spec} cannot be called without arguments ({cause}); SPEC must be {forms}"
            ) from cause
        try:
            found = found()
        except ConfigurationError:
            raise
        except (Exception, SystemExit) as cause:
            raise ConfigurationError(f"{spec} raises {_because(cause)}") from cause
    if not isinstance(found, ZenDaemon):
        raise ConfigurationError(f"{spec} returns {reprlib.repr(found)}; SPEC must be {forms}")
    problems = list(_unheard(found.components, set(found.chains())))
    if problems:
        raise ConfigurationError("\n".join(f"{spec}: {problem}" for _, problem in problems))
    return found


_TOKEN = re.compile(
    r"""
    (?P<space> [ \t\r]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<text> \"{3} (?: \\[\s\S] | [^\\] )*? \"{3,5} | '{3} [\s\S]*? '{3,5}
            | "(?: \\. | [^"\\\n] )*" | '[^'\n]*' )
  | (?P<mark> [\[\]{}=.,] )
  | (?P<word> [^\s\[\]{}=.,\#"']+ )
    """,
    re.VERBOSE,
)


class _Locator:
    """A walk through a TOML text that `tomllib` took, to note where its keys stand."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {(): 1}
        self._counts: dict[KeyPath, int] = {}  # of the tables in each array of tables so far
        self._tokens: collections.deque[tuple[str, int]] = collections.deque()
        line = 1
        for found in _TOKEN.finditer(text):
            if found.lastgroup != "space":
                self._tokens.append((found[0], line))
            line += found[0].count("\n")
        table: KeyPath = ()
        while self._skip("\n"):
            if self._peek() == "[":
                table = self._header()
            else:
                self._value(self._key(table, "="))

    def _peek(self) -> str:
        return self._tokens[0][0] if self._tokens else ""

    def _skip(self, marks: str) -> bool:
        """Pass over all these marks; False at the end of the text."""
        while self._tokens and self._peek() in marks:
            self._tokens.popleft()
        return bool(self._tokens)

    def _key(self, table: KeyPath, end: str, *, array: bool = False) -> KeyPath:
        parts: list[tuple[str, int]] = []
        while self._tokens and self._peek() != end:
            part, line = self._tokens.popleft()
            if part[0] in "\"'":
                part = tomllib.loads(f"key = {part}")["key"]
            elif part == ".":
                continue
            parts.append((part, line))
        path = table
        for index, (part, line) in enumerate(parts, 1):
            path = (*path, part)
            if array and index == len(parts):
                self._counts[path] = self._counts.get(path, 0) + 1
            self.lines.setdefault(path, line)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self.lines.setdefault(path, line)
        self._skip(end)
        return path

    def _header(self) -> KeyPath:
        self._tokens.popleft()
        array = self._peek() == "["
        self._skip("[")
        return self._key((), "]", array=array)

    def _value(self, path: KeyPath) -> None:
        opening = self._peek()
        if opening not in {"[", "{"}:
            while self._tokens and self._peek() not in ",]}\n":
                self._tokens.popleft()
            return
        self._tokens.popleft()
        index = 0
        while self._skip(",\n") and self._peek() not in "]}":
            if opening == "{":
                self._value(self._key(path, "="))
            else:
                self.lines[(*path, index)] = self._tokens[0][1]
                self._value((*path, index))
                index += 1
        if self._tokens:
            self._tokens.popleft()


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line of each key, table and array element of a valid TOML text.

    The third key `use` of an array of tables is at `("component", 2, "use")`. Lines count
    from 1; a table that is opened in several places stands where it is first named.
    """
    return _Locator(text).lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of `path` or, if it is not in the text, of what it would stand in."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


_Seconds = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
_Text = Annotated[str, pydantic.Field(min_length=1)]


class ComponentTable(pydantic.BaseModel):
    """One `[[component]]` of a file."""

    model_config = _STRICT

    use: _Text
    name: _Text | None = None
    options: dict[str, Any] = {}
    events: dict[str, str] = {}


class DaemonTable(pydantic.BaseModel):
    """A whole file, but for its components: they are looked at one by one."""

    model_config = _STRICT

    name: _Text
    description: str = ""
    ordering: Literal["component", "global", "event"] = "component"
    compat: Literal["pyzenkit"] | None = None
    stats_interval: _Seconds = 300.0
    stop_timeout: _Seconds = 30.0
    state_file: _Text | None = None
    schedule: list[Any] = []
    schedule_next: list[Any] = []
    schedule_at: list[Any] = []
    schedule_after: list[Any] = []
    component: list[dict[str, Any]] = []


# For each list of events what stands before the event's name in an entry.
_SCHEDULES = {
    "schedule": "",
    "schedule_next": "",
    "schedule_at": "Unix time",
    "schedule_after": "seconds",
}


@dataclasses.dataclass(frozen=True)
class Constructor:
    """What the constructor of a component takes.

    Attributes:
        options: For each argument its type and its default; `inspect.Parameter.empty` as
            the default of what must be given.
        accepts: Also the arguments that are given elsewhere than under `options`.
    """

    options: dict[str, tuple[Any, Any]]
    accepts: frozenset[str]


def read_constructor(component: type[ZenDaemonComponent]) -> Constructor:
    """Look at a constructor and, as long as it passes `**kwargs` on, those of its bases."""
    options: dict[str, tuple[Any, Any]] = {}
    for cls in component.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        constructor = vars(cls)["__init__"]
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                type_ = _type_of(parameter, constructor)
                options.setdefault(parameter.name, (type_, parameter.default))
        if cls is ZenDaemonComponent or not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    own = {name: option for name, option in options.items() if name not in _GIVEN_ELSEWHERE}
    return Constructor(own, frozenset(options))


def _type_of(parameter: inspect.Parameter, constructor: Any) -> Any:
    """Return the type that values are checked against; `Any` where none can be made out."""

    def probe() -> None: ...

    if parameter.annotation is parameter.empty:
        return Any
    probe.__annotations__ = {"value": parameter.annotation}
    scope = getattr(constructor, "__globals__", {})
    try:
        found = _readable(typing.get_type_hints(probe, scope, include_extras=True)["value"])
        pydantic.TypeAdapter(found, config=_adapter_config(found))
    except Exception:  # names for type checkers only, or a type that pydantic cannot check
        return Any
    return found


def _adapter_config(found: Any) -> pydantic.ConfigDict | None:
    # pydantic refuses a config beside a type that has one of its own.
    own = isinstance(found, type) and (
        issubclass(found, pydantic.BaseModel) or dataclasses.is_dataclass(found)
    )
    return None if own else pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True)


def _readable(annotation: Any) -> Any:
    """Put lists for iterables: pydantic would check those only while they are iterated."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is collections.abc.Iterable:
        return list[arguments[0]]  # type: ignore[valid-type]
    if origin in {types.UnionType, typing.Union}:
        return functools.reduce(operator.or_, map(_readable, arguments))
    return annotation


def options_model(component: type[ZenDaemonComponent]) -> type[pydantic.BaseModel]:
    """Return a model of what may stand under `[component.options]`."""
    fields: dict[str, Any] = {}
    for index, (name, (type_, default)) in enumerate(read_constructor(component).options.items()):
        required = default is inspect.Parameter.empty
        # An alias, for an option may be called as one of the model's own attributes is.
        fields[f"option_{index}"] = (
            Annotated[type_, pydantic.WrapValidator(_as_in_json(type_))],
            pydantic.Field(... if required else default, alias=name),
        )
    model: type[pydantic.BaseModel] = pydantic.create_model(
        component.__name__, __config__=_STRICT, **fields
    )
    return model


def _as_in_json(type_: Any) -> Callable[[Any, Callable[[Any], Any]], Any]:
    # Strictly, a list is no tuple and a string is no Path; but TOML, as JSON, has no other way to
    # write them, so what would be right as JSON is right here.
    def validate(value: Any, strictly: Callable[[Any], Any]) -> Any:
        try:
            return strictly(value)
        except pydantic.ValidationError:
            adapter = pydantic.TypeAdapter(type_, config=_adapter_config(type_))
            return adapter.validate_json(pydantic_core.to_json(value), strict=True)

    return validate


def _type_name(type_: Any) -> str:
    if typing.get_origin(type_) is Literal:
        choices = [repr(choice) for choice in typing.get_args(type_)]
        return f"one of {', '.join(choices)}" if choices[1:] else choices[0]
    if typing.get_origin(type_) in {types.UnionType, typing.Union}:
        # TOML has no None.
        members = [part for part in typing.get_args(type_) if part is not types.NoneType]
        return " or ".join(map(_type_name, members))
    if typing.get_origin(type_) is dict or type_ is dict:
        return "a table"
    return inspect.formatannotation(type_)


def _choices(type_: Any) -> list[str]:
    if typing.get_origin(type_) is Literal:
        return list(map(str, typing.get_args(type_)))
    if typing.get_origin(type_) in {types.UnionType, typing.Union}:
        return [choice for part in typing.get_args(type_) for choice in _choices(part)]
    return []


_WRONG_TYPE = ("_type", "_parsing", "literal_error", "is_instance_of")


def _findings(
    model: type[pydantic.BaseModel], table: Mapping[str, Any], kind: str
) -> tuple[pydantic.BaseModel | None, list[Finding]]:
    """Check a table; return the model or, for each wrong key, where and what is wrong."""
    try:
        return model.model_validate(table), []
    except pydantic.ValidationError as cause:
        errors = cause.errors(include_url=False)
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    findings: dict[str, tuple[KeyPath, str]] = {}
    # A misspelled key is one problem, not also a missing one.
    meant = "".join(did_you_mean(key, fields) for key in table if key not in fields)
    for error in errors:
        key = str(error["loc"][0])
        if error["type"] == "extra_forbidden":
            hint = _nearest(key, fields)
            if kind == "option" and key in _GIVEN_ELSEWHERE:
                hint = f"; {_GIVEN_ELSEWHERE[key]}"
            problem = f"unknown {kind} {key!r}{hint}"
        elif error["type"] == "missing":
            if repr(key) in meant:
                continue
            problem = f"{kind} {key!r} is missing; it must be given"
        elif error["type"].endswith(_WRONG_TYPE):
            hint = did_you_mean(table[key], _choices(fields[key]))
            expected, got = _type_name(fields[key]), reprlib.repr(table[key])
            problem = f"{kind} {key!r}: expected {expected}, got {got}{hint}"
        else:
            reason = error["msg"][:1].lower() + error["msg"][1:]
            problem = f"{kind} {key!r}: {_one_line(reason)}, got {reprlib.repr(table[key])}"
        # Of one key, one problem: a value that fits no member of a union has one for each.
        findings.setdefault(key, (error["loc"], problem))
    return None, list(findings.values())


class _File:
    """One TOML file on its way to a daemon. Problems are collected, not raised."""

    def __init__(self, path: Path, text: str, app_dir: Path) -> None:
        self.path = path
        self.app_dir = app_dir
        self.data = tomllib.loads(text)
        self.problems: list[tuple[int, str]] = []
        self._lines = locate(text)

    def add(self, path: KeyPath, problem: object) -> None:
        self.problems.append((line_of(self._lines, path), str(problem)))

    def report(self) -> str:
        # Sorted, for a file is read from the top; stable, so that one line's stay in order.
        found = sorted(self.problems, key=operator.itemgetter(0))
        return "\n".join(f"{self.path}:{line}: {problem}" for line, problem in found)


def _read(path: Path) -> str:
    hint = did_you_mean(path, [n for n in _names_beside(path) if n.endswith(".toml")])
    try:
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder; SPEC must be a TOML file")
        if refusal := _refusal(path):
            raise ConfigurationError(refusal)
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as cause:
        raise ConfigurationError(f"{path}: there is no such file{hint}") from cause
    except OSError as cause:
        raise ConfigurationError(f"{path}: cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise ConfigurationError(
            f"{path}: byte {cause.start} is not UTF-8 text; a TOML file must be UTF-8"
        ) from cause


def _parse(path: Path, text: str, app_dir: Path) -> _File:
    try:
        return _File(path, text, app_dir)
    except tomllib.TOMLDecodeError as cause:
        reason, _, place = str(cause).partition(" (at ")
        numbers = re.findall(r"\d+", place)
        # "at end of document" has no numbers.
        line, column = numbers or (text.count("\n") + 1, len(text) - text.rfind("\n"))
        raise ConfigurationError(f"{path}:{line}:{column}: {reason}") from cause
    except RecursionError as cause:
        raise ConfigurationError(f"{path}: is nested too deeply") from cause


def _load_file(path: Path, app_dir: Path, overriding: Mapping[str, Any]) -> ZenDaemon:
    file = _parse(path, _read(path), app_dir)
    table, findings = _findings(DaemonTable, file.data, "key")
    for where, problem in findings:
        file.add(where, problem)
    components = [
        _build_component(file, index, component)
        for index, component in enumerate(_tables(file.data.get("component")))
    ]
    settings = dict(table.model_dump(exclude_unset=True, exclude={"component"})) if table else {}
    for key, before in _SCHEDULES.items():
        entries = file.data.get(key)
        settings[key] = [
            _entry(file, (key, index), entry, before)
            for index, entry in enumerate(entries if isinstance(entries, list) else [])
        ]
    settings |= overriding
    daemon = None
    # With a component missing, the events that it handles would seem unknown.
    built = [component for component in components if component is not None]
    if len(built) == len(components):
        daemon = _wire(file, settings, built)
    if file.problems or daemon is None:
        raise ConfigurationError(file.report())
    return daemon


def _tables(found: Any) -> list[dict[str, Any]]:
    tables = found if isinstance(found, list) else []
    return [table for table in tables if isinstance(table, dict)]


def _entry(file: _File, where: KeyPath, entry: Any, before: str) -> tuple[Any, ...]:
    """Return an entry of a schedule in full: time if it has one, event, args."""
    times = 1 if before else 0
    right = isinstance(entry, list) and len(entry) in {times + 1, times + 2}
    if right and before:
        right = isinstance(entry[0], int | float) and not isinstance(entry[0], bool)
        right = right and abs(entry[0]) < float("inf")  # false for NaN too
    if not right or not isinstance(entry[times], str):
        form = f'{before}, "event"' if before else '"event"'
        expected = f"[{form}] or [{form}, its args]"
        file.add(where, f"key {where[0]!r}: expected {expected}, got {reprlib.repr(entry)}")
        return ()
    return (*entry, None) if len(entry) == times + 1 else tuple(entry)


def _build_component(file: _File, index: int, table: dict[str, Any]) -> ZenDaemonComponent | None:
    """Return the component of one table; None, and at least one problem, if that cannot be."""
    label = f"component {index + 1}"
    _, findings = _findings(ComponentTable, table, "key")
    cls = component = None
    use, name, options, events = map(table.get, ("use", "name", "options", "events"))
    if isinstance(use, str) and use:
        try:
            cls = _import_component(use, file.app_dir)
        except _Problem as cause:
            findings.append((("use",), f"key 'use': {cause}"))
    if name or cls:
        label = f"{label} ({name or (cls and cls.__name__)})"
    if cls is not None:
        given, problems = _arguments(cls, options if isinstance(options, dict) else {})
        findings += problems + _not_taken(cls, name=name, events=events)
        if not findings:
            given |= {"name": name} if name else {}
            component, findings = _construct(cls, given, events or {})
    for where, problem in findings:
        file.add(("component", index, *where), f"{label}: {problem}")
    return component


def _import_component(use: str, app_dir: Path) -> type[ZenDaemonComponent]:
    found = _import_attribute(use, app_dir)
    if not (isinstance(found, type) and issubclass(found, ZenDaemonComponent)):
        raise _Problem(f"{use!r} is {reprlib.repr(found)}, not a subclass of ZenDaemonComponent")
    return found


def _arguments(
    cls: type[ZenDaemonComponent], options: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Finding]]:
    model = options_model(cls)
    checked, findings = _findings(model, options, "option")
    given = {
        str(model.model_fields[field].alias): getattr(checked, field)
        for field in (checked.model_fields_set if checked else ())
    }
    return given, [(("options", *where), problem) for where, problem in findings]


def _not_taken(cls: type[ZenDaemonComponent], *, name: Any, events: Any) -> list[Finding]:
    accepts = read_constructor(cls).accepts
    given = {"name": ("name", name), "event_map": ("events", events)}
    return [
        (
            (key,),
            f"{cls.__name__} takes no {argument!r}: let its __init__ take **kwargs and hand"
            f" them to super().__init__, or leave {key!r} out",
        )
        for argument, (key, value) in given.items()
        if value and argument not in accepts
    ]


def _construct(
    cls: type[ZenDaemonComponent], arguments: Mapping[str, Any], events: Mapping[str, str]
) -> tuple[ZenDaemonComponent | None, list[Finding]]:
    try:
        # Built without its event_map first, to learn what it calls its events itself.
        component = cls(**arguments)
    except (Exception, SystemExit) as cause:
        return None, [(("options",), f"its constructor raises {_because(cause)}")]
    try:
        own = _handled_by(component)
        emitted = set(_emitted_by(component))
        names = sorted(map(str, own | emitted))
        findings: list[Finding] = [
            (
                ("events", name),
                f"it neither handles nor emits event {name!r}{_nearest(name, names)}",
            )
            for name in events
            if name not in own | emitted
        ]
        if events and not findings:
            event_map: Any = dict(events)  # Any: mappings of strings are none of Hashables to mypy
            component = cls(**arguments, event_map=event_map)
            if _handled_by(component) != {events.get(str(name), name) for name in own}:
                reason = "its get_events() does not look at its event_map: use self.event(name)"
                findings.append((("events",), f"events cannot be renamed, for {reason}"))
    except (Exception, SystemExit) as cause:
        return None, [((), f"its events cannot be listed: {_because(cause)}")]
    return (None if findings else component), findings


def _handled_by(component: ZenDaemonComponent) -> set[Hashable]:
    return {handler["event"] for handler in component.get_events()}


def _emitted_by(component: ZenDaemonComponent) -> Iterable[Hashable]:
    # In a daemon made by other people's code a component may be any object with get_events().
    emits: Iterable[Hashable] = getattr(component, "emits", ())
    return (emits,) if isinstance(emits, str) else emits


def emitted_by(component: ZenDaemonComponent) -> set[Hashable]:
    """Return the events that a component schedules, by their names in the daemon."""
    return {component.event(own) for own in _emitted_by(component)}


def _nearest(name: object, known: Iterable[object]) -> str:
    names = sorted(map(str, known))
    return did_you_mean(name, names) or f"; known: {', '.join(names) or '(none)'}"


def _wire(
    file: _File, settings: dict[str, Any], components: list[ZenDaemonComponent]
) -> ZenDaemon | None:
    """Put the daemon together and check that every event named has a callback."""
    from zenactors.daemon.lifecycle import ZenDaemon  # noqa: PLC0415 - the engine, when needed

    daemon = None
    try:
        if not file.problems:
            daemon = ZenDaemon(**settings, components=components)
        handled = set((daemon or ZenDaemon(name="check", components=components)).chains())
    except ConfigurationError as cause:
        for line in str(cause).splitlines():
            file.add((), line)
        return None
    theirs: set[Hashable] = set().union(*map(_handled_by, components))
    for key, before in _SCHEDULES.items():
        for index, entry in enumerate(settings[key]):
            event = entry[1 if before else 0] if entry else None
            if entry and event not in handled:
                problem = f"no component handles event {event!r}{_nearest(event, theirs)}"
                file.add((key, index), f"key {key!r}: {problem}")
    for place, problem in _unheard(components, handled):
        file.add(("component", *place), problem)
    return daemon


def _unheard(
    components: Iterable[ZenDaemonComponent], handled: set[Hashable]
) -> Iterator[tuple[KeyPath, str]]:
    """Find the events that components emit and none handles."""
    components = list(components)
    theirs: set[Hashable] = set().union(*map(_handled_by, components))
    for index, component in enumerate(components):
        for own in _emitted_by(component):
            event = component.event(own)
            if event not in handled:
                yield (
                    (index, "events", str(own)),
                    f"component {index + 1} ({component}): it emits event {event!r}, but no"
                    f" component handles that{_nearest(event, theirs)}",
                )
