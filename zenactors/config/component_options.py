"""The options of components: one pydantic model for each class.

It is the class's own `Options` or, if it declares none, derived from its constructor, so that no
option is declared twice. Pure functions of classes and values; any thread.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import operator
import types
import typing
from collections.abc import Mapping
from typing import Any

import pydantic

from zenactors.config.checking import (
    Finding,
    accept_as_in_json,
    adapter_config,
    adapter_of,
    as_option,
    check_table,
    default_tables,
)
from zenactors.config.options import Table
from zenactors.core.component import make, recipe_of
from zenactors.core.recipe import (
    GIVEN_ELSEWHERE,
    Factory,
    Recipe,
    key_of,
    keys_of,
    own_model,
    read_constructor,
    spellings,
    takes_any_option,
    values_of,
)
from zenactors.errors import ConfigurationError

_BY_PROGRAM = "only the program can give it"


@dataclasses.dataclass(frozen=True, slots=True)
class _InCode:
    """A value that the program has given: its type is the type checker's business."""

    value: Any


class _Derived(Table):
    """The base class of models that are derived from constructors."""

    @pydantic.field_validator("*", mode="wrap")
    @classmethod
    def _as_in_json(
        cls,
        value: Any,
        strictly: pydantic.ValidatorFunctionWrapHandler,
        info: pydantic.ValidationInfo,
    ) -> Any:
        if isinstance(value, _InCode):
            return value
        field = cls.model_fields[str(info.field_name)]
        return accept_as_in_json(value, strictly, lambda: adapter_of(field))


@dataclasses.dataclass(frozen=True)
class Effective:
    """The options of one component, checked.

    Attributes:
        options: All of them, with their defaults.
        set_here: Those that the configuration sets.
        arguments: Those that its constructor must be given besides what the program gives it.
    """

    options: dict[str, Any]
    set_here: dict[str, Any]
    arguments: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Section:
    """The options that a component takes, and those that the program has given.

    Attributes:
        recipe: The component's recipe.
    """

    recipe: Recipe

    @property
    def model(self) -> type[pydantic.BaseModel]:
        """The options, with their types and defaults."""
        return options_model(self.recipe.cls)

    @functools.cached_property
    def given(self) -> dict[str, Any]:
        """The options that the program has given."""
        return self.recipe.options

    @property
    def is_derived(self) -> bool:
        """True if the model is that of a constructor. Then values in code are not checked."""
        return own_model(self.recipe.cls) is None

    @property
    def elsewhere(self) -> dict[str, str]:
        """The arguments that are no options, each with the place where it is given."""
        accepts, keys = read_constructor(self.recipe.cls).accepts, keys_of(self.model)
        return {name: _BY_PROGRAM for name in accepts if name not in keys}

    def standard(self, key: str | int) -> str | int:
        """Return the standard spelling of an option."""
        return spellings(self.recipe.cls).get(str(key), key)

    def check(self, table: Mapping[str, Any]) -> list[Finding]:
        """Return what is wrong in one of several sources."""
        return check_table(self.model, table, as_option, elsewhere=self.elsewhere, partial=True)[1]

    def resolve(
        self, table: Mapping[str, Any], elsewhere: Mapping[str, str] | None = None
    ) -> tuple[Effective | None, list[Finding]]:
        """Return all options if `table` overrides what is given, or None and what is wrong.

        Args:
            table: The values of the configuration.
            elsewhere: Keys that cannot be set in it, each with the remedy.
        """
        weaker = default_tables(self.model) | self.given
        whole = {key: overridden(weaker.get(key), value) for key, value in table.items()}
        in_code: Mapping[str, Any] = self.given
        if self.is_derived:
            in_code = {key: _InCode(value) for key, value in self.given.items()}
        checked, findings = check_table(
            self.model,
            {**in_code, **whole},
            as_option,
            elsewhere=self.elsewhere | {**(elsewhere or {})},
        )
        return (None if checked is None else self._effective(checked, table)), findings

    def _effective(self, checked: pydantic.BaseModel, table: Mapping[str, Any]) -> Effective:
        keys = keys_of(self.model)
        written = {id(keys[key]) for key in table if key in keys}
        more = checked.model_extra or {}
        values = dict(more)
        set_here = {key: value for key, value in more.items() if key in table}
        for name, field in self.model.model_fields.items():
            key = key_of(name, field)
            values[key] = getattr(checked, name)
            if id(field) in written:
                set_here[key] = values[key]
        constructor = read_constructor(self.recipe.cls)
        if self.is_derived:
            return Effective(constructor.values({**self.given, **set_here}), set_here, set_here)
        # A constructor may have the field's name, because an alias is perhaps no Python name.
        called = {id(field): key for key, field in reversed(keys.items())}
        called |= {
            id(field): name
            for name, field in [*keys.items(), *self.model.model_fields.items()]
            if name in constructor.accepts
        }
        stored = {key_of(name, field): field for name, field in self.model.model_fields.items()}
        arguments = {}
        for key, value in values.items():
            name = called.get(id(stored.get(key)), key)
            is_missing = constructor.requires(name) and name not in self.recipe.arguments
            takes_it = name in constructor.accepts or constructor.is_open
            if (key in set_here or is_missing) and name not in GIVEN_ELSEWHERE and takes_it:
                arguments[name] = value
        return Effective(values_of(checked), set_here, arguments)


def section_of(component: Any) -> Section | None:
    """Return the section of a component, or of a recipe; None if it takes no options."""
    recipe = component if isinstance(component, Recipe) else recipe_of(component)
    if recipe is None:
        return None
    takes_some = options_model(recipe.cls).model_fields or takes_any_option(recipe.cls)
    return Section(recipe) if takes_some else None


def make_component(recipe: Recipe) -> Any:
    """Make the component of a recipe, without a configuration.

    Raises:
        ConfigurationError: One of its options is missing or wrong.
        Exception: Its constructor's.
    """
    section = section_of(recipe)
    if section is None:
        return make(recipe, {}, {})
    effective, findings = section.resolve({})
    if effective is None:
        raise ConfigurationError("\n".join(problem for _, problem in findings))
    return make(recipe, effective.options, effective.arguments)


def options_model(component: type) -> type[pydantic.BaseModel]:
    """Return the model of the options of a class of components."""
    model: type[pydantic.BaseModel] = own_model(component) or _derived_model(component)
    return model


@functools.lru_cache(maxsize=256)  # a simulation needs the same few classes for each seed
def _derived_model(component: type) -> type[pydantic.BaseModel]:
    fields: dict[str, Any] = {}
    for index, (name, option) in enumerate(read_constructor(component).options.items()):
        parameter, _ = option
        type_ = _type_of(*option)
        # An alias, because an option may have the name of an attribute of pydantic's models.
        fields[f"option_{index}"] = (type_, pydantic.Field(**_default_of(parameter), alias=name))
    model: type[pydantic.BaseModel] = pydantic.create_model(
        component.__name__, __base__=_Derived, **fields
    )
    return model


def _default_of(parameter: inspect.Parameter) -> dict[str, Any]:
    if parameter.default is parameter.empty:
        return {}
    if isinstance(parameter.default, Factory):
        return {"default_factory": parameter.default.make}
    return {"default": parameter.default}


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


def overridden(weaker: Any, value: Any) -> Any:
    """Return a value; a table merged into the weaker one, if that is a table, too."""
    if not (isinstance(weaker, Mapping) and isinstance(value, Mapping)):
        return value
    return {**weaker, **{key: overridden(weaker.get(key), each) for key, each in value.items()}}
