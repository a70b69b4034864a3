"""What a component's constructor takes, as a pydantic model, and tables checked against models.

Pure functions of classes and tables: no option is written down twice, once for the code
and once for the file. Any thread.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import operator
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pydantic
import pydantic_core

from zenactors.core.component import ZenDaemonComponent
from zenactors.daemon.spec.locate import KeyPath
from zenactors.daemon.spec.wording import nearest, one_line
from zenactors.errors import did_you_mean

Finding = tuple[KeyPath, str]  # where something is wrong, and what

STRICT = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

# What a constructor takes but [component.options] does not give, and where it is given instead.
_GIVEN_ELSEWHERE = {
    "name": "write it as a key of [[component]] itself",
    "event_map": "write it as [component.events]",
    "clock": "it cannot be given in a file",
}

_WRONG_TYPE = ("_type", "_parsing", "literal_error", "is_instance_of")


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
        component.__name__, __config__=STRICT, **fields
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


def check_table(
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
            hint = nearest(key, fields)
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
            problem = f"{kind} {key!r}: {one_line(reason)}, got {reprlib.repr(table[key])}"
        # Of one key, one problem: a value that fits no member of a union has one for each.
        findings.setdefault(key, (error["loc"], problem))
    return None, list(findings.values())


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
