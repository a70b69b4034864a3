"""Check tables against pydantic models: for each error, the key and a description.

Pure functions of models and tables; any thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
import pydantic_core

from zenactors.config.redaction import plain
from zenactors.config.wording import nearest, one_line
from zenactors.core.recipe import NeedsRestart, key_of, keys_of
from zenactors.core.text import short_repr
from zenactors.errors import did_you_mean
from zenactors.secret_text import REDACTED, SECRET, redacted

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from zenactors.config.places import KeyPath

Finding = tuple["KeyPath", str]  # the place of an error, and its description

STRICT = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

_WRONG_TYPE = ("_type", "_parsing", "literal_error", "is_instance_of")


def as_key(path: KeyPath) -> str:
    """Name a place in a table as a key: `key 'signals.SIGWINCH'`."""
    return f"key {_dotted(path)!r}"


def as_option(path: KeyPath) -> str:
    """Name a place in the table of a component as an option: `option 'path'`."""
    return f"option {_dotted(path)!r}"


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def default_tables(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    """Return the defaults that are tables; a table of a source is merged into its default."""
    found = {}
    for name, field in model.model_fields.items():
        default = None
        # A factory that takes other values cannot be called yet; its table is not merged.
        with contextlib.suppress(TypeError, ValueError):
            default = field.get_default(call_default_factory=True)
        if isinstance(default, pydantic.BaseModel):
            default = default.model_dump(by_alias=True)
        elif dataclasses.is_dataclass(default) and not isinstance(default, type):
            default = dataclasses.asdict(default)
        if isinstance(default, Mapping):
            found[key_of(name, field)] = default
    return found


def restart_paths(
    model: type[pydantic.BaseModel], within: KeyPath = (), inside: tuple[Any, ...] = ()
) -> Iterator[KeyPath]:
    """Yield the keys that are marked with `NeedsRestart`, those of tables in it included."""
    for name, field in model.model_fields.items():
        path = (*within, key_of(name, field))
        inner = plain_type(field.annotation)
        if NeedsRestart in field.metadata or _is_marked(field.annotation):
            yield path
        elif _is_model(inner) and inner not in (*inside, model):
            yield from restart_paths(inner, path, (*inside, model))


def _is_marked(type_: Any) -> bool:
    return any(each is NeedsRestart or _is_marked(each) for each in typing.get_args(type_))


def accept_as_in_json(
    value: Any, strictly: Callable[[Any], Any], adapter: Callable[[], pydantic.TypeAdapter[Any]]
) -> Any:
    """Check a value strictly, but accept it if it would be right as JSON.

    In strict mode a string is no `Path` and a list is no tuple, but files and command lines have
    no other way to write them.

    Args:
        value: The value as it was written.
        strictly: The strict check; its error is raised if both fail.
        adapter: Returns the type's adapter; only called if the strict check fails.
    """
    try:
        return strictly(value)
    except pydantic.ValidationError:
        with contextlib.suppress(pydantic.ValidationError, ValueError):
            return adapter().validate_json(pydantic_core.to_json(value), strict=True)
        raise


def adapter_of(field: FieldInfo) -> pydantic.TypeAdapter[Any]:
    """Return an adapter that checks values of one field, without the rest of its model."""
    type_: Any = field.annotation
    if field.metadata:
        type_ = Annotated[(type_, *field.metadata)]
    return pydantic.TypeAdapter(type_, config=adapter_config(field.annotation))


def adapter_config(type_: Any) -> pydantic.ConfigDict | None:
    """Return the config for a type's adapter; None for a type with a config of its own."""
    own = isinstance(type_, type) and (
        issubclass(type_, pydantic.BaseModel) or dataclasses.is_dataclass(type_)
    )
    return None if own else pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True)


def check_table(
    model: type[pydantic.BaseModel],
    table: Mapping[str, Any],
    called: Callable[[KeyPath], str] = as_key,
    *,
    elsewhere: Mapping[str, str] | None = None,
    partial: bool = False,
) -> tuple[pydantic.BaseModel | None, list[Finding]]:
    """Check a table; return the model or, if there are errors, all of them.

    Args:
        model: The keys and types that the table may have.
        table: The keys and values.
        called: Names a place in the table, for the messages.
        elsewhere: Keys that cannot be set in this table, each with the remedy.
        partial: The table is one of several layers: a missing key is no error, nor is None.
    """
    check = _Check(model, table, called, elsewhere or {}, partial=partial)
    return (None if check.findings else check.checked), list(check.findings.items())


class _Check:
    """One table against one model."""

    def __init__(
        self,
        model: type[pydantic.BaseModel],
        table: Mapping[str, Any],
        called: Callable[[KeyPath], str],
        elsewhere: Mapping[str, str],
        *,
        partial: bool,
    ) -> None:
        self.checked: pydantic.BaseModel | None = None
        self._model = model
        self._table = table
        self._called = called
        self._elsewhere = elsewhere
        self._partial = partial
        self._by_type: set[KeyPath] = set()  # places where only the type is wrong so far
        self.findings: dict[KeyPath, str] = {
            (key,): f"{called((key,))} cannot be set here; {elsewhere[key]}"
            for key in table
            if key in elsewhere and key in keys_of(model)
        }
        errors: list[Any] = []
        try:
            self.checked = model.model_validate(table)
        except pydantic.ValidationError as cause:
            errors = cause.errors(include_url=False)
        ignored = list(_ignored(model, table))
        unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
        # A misspelled key is one problem: the key that was meant does not count as missing.
        self._meant = {
            (*loc[:-1], key)
            for loc in [*unknown, *ignored]
            for key in self._known(loc)
            if repr(key) in did_you_mean(loc[-1], self._known(loc))
        }
        for error in errors:
            self._add(error)
        for loc in ignored:
            self._add_unknown(loc)

    def _add(self, error: Any) -> None:
        loc, kind = error["loc"], error["type"]
        path, type_, value = _descend(self._model, self._table, loc)
        if kind == "missing" and path == loc[:-1]:
            if not self._is_lenient(loc) and loc not in self._meant:
                problem = f"{self._called(loc)} is missing; it must be given"
                self.findings.setdefault(loc, problem)
        elif kind == "extra_forbidden" and self._is_in_table(loc):
            self._add_unknown(loc)
        elif not self._is_lenient(path) or (path and value is not None):
            # Report one problem for one key. A value that fits no member of a union has one for
            # each member; prefer that of a member whose type is right.
            by_type = kind.endswith(_WRONG_TYPE)
            if path not in self.findings or (path in self._by_type and not by_type):
                self.findings[path] = self._explain(error, path, type_, value)
                (self._by_type.add if by_type else self._by_type.discard)(path)

    def _is_in_table(self, loc: KeyPath) -> bool:
        return _descend(self._model, self._table, loc[:-1])[0] == loc[:-1]

    def _is_lenient(self, path: KeyPath) -> bool:
        """Return True if other layers may complete the value; they cannot inside a list."""
        return self._partial and not any(isinstance(part, int) for part in path)

    def _add_unknown(self, loc: KeyPath) -> None:
        key, known = str(loc[-1]), set(self._known(loc))
        elsewhere = self._elsewhere if len(loc) == 1 else {}
        if key in known:
            problem = f"{self._called(loc)} is given twice, in two spellings"
        else:
            where = f"; {elsewhere[key]}" if key in elsewhere else ""
            hint = where or nearest(key, known - set(elsewhere))
            problem = f"unknown {self._called(loc)}{hint}"
        self.findings.setdefault(loc, problem)

    def _known(self, loc: KeyPath) -> list[str]:
        """Return the keys that the table around a location may have."""
        inner = plain_type(_descend(self._model, self._table, loc[:-1])[1])
        return list(keys_of(inner)) if _is_model(inner) else []

    def _explain(self, error: Any, path: KeyPath, type_: Any, value: Any) -> str:
        got = f", got {_redacted_repr(path, value)}" if path and error["loc"][-1] != "[key]" else ""
        subject = f"{self._called(path)}: " if path else ""
        if path and error["type"].endswith(_WRONG_TYPE):
            # The value as the type saw it: a validator may have changed its spelling before.
            hint = did_you_mean(error["input"], _choices(type_))
            return f"{subject}expected {_type_name(type_)}{got}{hint}"
        if error["type"] in {"value_error", "assertion_error"}:
            return f"{subject}{one_line(error['ctx']['error'])}{got}"
        return f"{subject}{one_line(error['msg'][:1].lower() + error['msg'][1:])}{got}"


def _redacted_repr(path: KeyPath, value: Any) -> str:
    if any(SECRET.search(str(part)) for part in path):
        return REDACTED
    if isinstance(value, Mapping | list | str):
        return short_repr(plain(value))
    return redacted(short_repr(value))


def _ignored(type_: Any, value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the unknown and the repeated keys in models that ignore unknown keys."""
    type_ = plain_type(type_)
    ignores = _is_model(type_) and type_.model_config.get("extra", "ignore") == "ignore"
    keys = keys_of(type_) if ignores and isinstance(value, Mapping) else {}
    seen: set[int] = set()
    for key, each in _items(value):
        inner = type_under(type_, key)
        if inner is not None:
            yield from _ignored(inner, each, (*path, key))
        elif ignores and isinstance(value, Mapping):
            yield (*path, key)
        if (field := keys.get(str(key))) is not None:
            if id(field) in seen:
                yield (*path, key)
            seen.add(id(field))


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def _descend(model: Any, table: Any, loc: KeyPath) -> tuple[KeyPath, Any, Any]:
    """Follow a location as far as it leads; return that path, and its type and value."""
    path: KeyPath = ()
    type_, value = model, table
    for part in loc:
        inner, items = type_under(plain_type(type_), part), dict(_items(value))
        if inner is None or part not in items:
            break
        path, type_, value = (*path, part), inner, items[part]
    return path, type_, value


def type_under(type_: Any, key: str | int) -> Any:
    """Return the type of the value under a key; None if only the whole value is a place."""
    if _is_model(type_):
        field = keys_of(type_).get(str(key))
        return field and field.annotation
    arguments = typing.get_args(type_)
    if typing.get_origin(type_) is dict:
        return arguments[1]
    if typing.get_origin(type_) in {list, tuple} and _is_model(plain_type(arguments[0])):
        return arguments[0]  # a list of simple values is shown as a whole
    return None


def _is_model(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, pydantic.BaseModel)


def plain_type(type_: Any) -> Any:
    """Return a type without its annotations, and without "or None"."""
    if typing.get_origin(type_) is Annotated:
        return plain_type(typing.get_args(type_)[0])
    if typing.get_origin(type_) in {types.UnionType, typing.Union}:
        members = [part for part in typing.get_args(type_) if part is not types.NoneType]
        return plain_type(members[0]) if len(members) == 1 else type_
    return type_


def members_of(type_: Any) -> list[Any]:
    """Return the types that a value may have, without None, which no file can contain."""
    inner = plain_type(type_)
    if typing.get_origin(inner) in {types.UnionType, typing.Union}:
        return [
            member
            for part in typing.get_args(inner)
            if part is not types.NoneType
            for member in members_of(part)
        ]
    return [inner]


def _type_name(type_: Any) -> str:
    return " or ".join(map(_member_name, members_of(type_)))


def _member_name(type_: Any) -> str:
    if choices := [repr(choice) for choice in _choices_of(type_)]:
        return f"one of {', '.join(choices)}" if choices[1:] else choices[0]
    if typing.get_origin(type_) is dict or type_ is dict or _is_model(type_):
        return "a table"
    if typing.get_origin(type_) is list and _is_model(typing.get_args(type_)[0]):
        return "a list of tables"
    return inspect.formatannotation(type_)


def _choices(type_: Any) -> list[str]:
    return [str(choice) for member in members_of(type_) for choice in _choices_of(member)]


def _choices_of(type_: Any) -> list[Any]:
    """Return the values of a literal type, or of an enumeration; of another type, none."""
    if typing.get_origin(type_) is Literal:
        return list(typing.get_args(type_))
    is_enum = isinstance(type_, type) and issubclass(type_, enum.Enum)
    return [member.value for member in type_] if is_enum else []
