"""Derive a pydantic model of a component's options from its constructor.

So no option is declared twice, once for the code and once for the file. Pure functions of classes;
any thread.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any

import pydantic

from zenactors.config.checking import STRICT, accept_as_in_json, adapter_config
from zenactors.core.component import ZenDaemonComponent

# Arguments of a constructor that [component.options] cannot set, and where they are set instead.
GIVEN_ELSEWHERE = {
    "name": "write it as a key of [[component]] itself",
    "event_map": "write it as [component.events]",
    "clock": "it cannot be given in a file",
}


@dataclasses.dataclass(frozen=True)
class Constructor:
    """The arguments of a component's constructor.

    Attributes:
        options: The type and the default of each option; the default of a required one is
            `inspect.Parameter.empty`.
        accepts: The names of all arguments, even of those that `options` lacks because they are
            set elsewhere.
    """

    options: dict[str, tuple[Any, Any]]
    accepts: frozenset[str]


@functools.lru_cache(maxsize=256)  # a simulation needs the same few classes for each seed
def read_constructor(component: type[ZenDaemonComponent]) -> Constructor:
    """Read a constructor's signature and, while it takes `**kwargs`, those of its base classes."""
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
    own = {name: option for name, option in options.items() if name not in GIVEN_ELSEWHERE}
    return Constructor(own, frozenset(options))


def _type_of(parameter: inspect.Parameter, constructor: Any) -> Any:
    """Return the type that values are checked against; `Any` if it cannot be determined."""

    def probe() -> None: ...

    if parameter.annotation is parameter.empty:
        return Any
    probe.__annotations__ = {"value": parameter.annotation}
    scope = getattr(constructor, "__globals__", {})
    try:
        found = _readable(typing.get_type_hints(probe, scope, include_extras=True)["value"])
        pydantic.TypeAdapter(found, config=adapter_config(found))
    except Exception:  # names for type checkers only, or a type that pydantic cannot check
        return Any
    return found


def _readable(annotation: Any) -> Any:
    """Replace iterables by lists: pydantic would check an iterable only when it is iterated."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is collections.abc.Iterable:
        return list[arguments[0]]  # type: ignore[valid-type]
    if origin in {types.UnionType, typing.Union}:
        return functools.reduce(operator.or_, map(_readable, arguments))
    return annotation


@functools.lru_cache(maxsize=256)
def options_model(component: type[ZenDaemonComponent]) -> type[pydantic.BaseModel]:
    """Return a model of the table `[component.options]`."""
    fields: dict[str, Any] = {}
    constructor = read_constructor(component)  # type: ignore[arg-type] # a class is hashable
    for index, (name, (type_, default)) in enumerate(constructor.options.items()):
        required = default is inspect.Parameter.empty
        # An alias, because an option may have the name of an attribute of pydantic's models.
        fields[f"option_{index}"] = (
            Annotated[type_, pydantic.WrapValidator(_as_in_json(type_))],
            pydantic.Field(... if required else default, alias=name),
        )
    model: type[pydantic.BaseModel] = pydantic.create_model(
        component.__name__, __config__=STRICT, **fields
    )
    return model


def _as_in_json(type_: Any) -> Callable[[Any, Callable[[Any], Any]], Any]:
    def adapter() -> pydantic.TypeAdapter[Any]:
        return pydantic.TypeAdapter(type_, config=adapter_config(type_))

    return lambda value, strictly: accept_as_in_json(value, strictly, adapter)
