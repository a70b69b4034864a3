"""Recipes: the class of a component, and the arguments that it is made with.

`ZenDaemonComponent` remembers its recipe, so that the configuration can override arguments, and
a reload can make the component anew. Pure functions of classes and values; any thread.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import pickle
from collections.abc import Callable, Mapping
from typing import Any

GIVEN_ELSEWHERE = ("name", "event_map", "clock", "supervision")
"""The arguments of every component that are no options."""


class _NeedsRestart:
    def __repr__(self) -> str:
        return "NeedsRestart"

    def __reduce__(self) -> str:
        return "NeedsRestart"


NeedsRestart = _NeedsRestart()
"""Marks an option that only a restart can change: `port: Annotated[int, NeedsRestart] = 514`.

For the keys of a daemon's `Options`, and for the options of a component, in its `Options` or in
the signature of its constructor. A reload that would change the value is refused.
"""


@dataclasses.dataclass(frozen=True)
class Factory:
    """The default of an argument that a dataclass makes anew for each object."""

    make: Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Constructor:
    """The arguments of a component's constructor.

    Attributes:
        accepts: The parameter of each argument, and the function that has it.
        is_open: True: other arguments reach `ZenDaemonComponent` through `**kwargs`.
    """

    accepts: dict[str, tuple[inspect.Parameter, Any]]
    is_open: bool

    @functools.cached_property
    def options(self) -> dict[str, tuple[inspect.Parameter, Any]]:
        """The arguments that are options."""
        return {name: each for name, each in self.accepts.items() if name not in GIVEN_ELSEWHERE}

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of each option: the one given or, if it has one, its default."""
        values = {name: parameter.default for name, (parameter, _) in self.options.items()}
        values |= {name: value for name, value in given.items() if name in values}
        return {
            name: value.make() if isinstance(value, Factory) else value
            for name, value in values.items()
            if value is not inspect.Parameter.empty
        }

    def requires(self, name: str) -> bool:
        """Return True if `name` is an option without a default."""
        found = self.options.get(name)
        return found is not None and found[0].default is inspect.Parameter.empty


@functools.lru_cache(maxsize=256)  # a simulation needs the same few classes for each seed
def read_constructor(component: type) -> Constructor:
    """Read a constructor's signature and, while it takes `**kwargs`, those of its base classes."""
    found: dict[str, tuple[inspect.Parameter, Any]] = {}
    is_open = False
    for cls in component.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        constructor = vars(cls)["__init__"]
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                found.setdefault(parameter.name, (_with_factory(cls, parameter), constructor))
        is_open = any(each.kind is each.VAR_KEYWORD for each in parameters)
        if not is_open or _is_base_of_all(cls):
            break
    return Constructor(found, is_open)


def _with_factory(cls: type, parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter; of a dataclass, with the factory that its signature only hints at."""
    if type(parameter.default).__module__ != "dataclasses":
        return parameter
    field = vars(cls).get("__dataclass_fields__", {}).get(parameter.name)
    return parameter if field is None else parameter.replace(default=Factory(field.default_factory))


def _is_base_of_all(cls: type) -> bool:
    """Return True for `ZenDaemonComponent`."""
    inherits = any(hasattr(base, "accepts_any_option") for base in cls.__bases__)
    return hasattr(cls, "accepts_any_option") and not inherits


def own_model(component: type) -> Any:
    """Return the pydantic model `Options` that a class declares; None if it declares none."""
    model = getattr(component, "Options", None)
    return model if isinstance(model, type) and hasattr(model, "model_fields") else None


def keys_of(model: Any) -> dict[str, Any]:
    """Return a pydantic model's fields under every key that a table may use for them."""
    by_name = any(map(model.model_config.get, ("populate_by_name", "validate_by_name")))
    keys: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias or name
        choices = [*getattr(alias, "choices", [alias]), *([name] if by_name else [])]
        keys |= {choice: field for choice in choices if isinstance(choice, str)}
    return keys


def key_of(name: str, field: Any) -> str:
    """Return the key under which a field's value is stored."""
    key: str = field.serialization_alias or field.alias or name
    return key


@functools.lru_cache(maxsize=256)
def spellings(component: type) -> dict[str, str]:
    """Return the standard spelling of each option, under all names that it may be given by."""
    model = own_model(component)
    constructor = read_constructor(component)
    if model is None:
        return {name: name for name in constructor.options}
    keys = keys_of(model)
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        names = [key for key, each in keys.items() if each is field]
        stored_as = key_of(name, field)
        standard = stored_as if stored_as in names else next(iter(names), name)
        # A constructor may have the field's name, because an alias is perhaps no Python name.
        names += [name] if name in constructor.accepts else []
        found |= dict.fromkeys(names, standard)
    return found


def option_names(component: type) -> set[str]:
    """Return the names of the options of a class: of its `Options`, or of its constructor."""
    return set(spellings(component))


def values_of(options: Any) -> dict[str, Any]:
    """Return the values of a pydantic model, those that it excludes from its dumps too."""
    values: dict[str, Any] = options.model_dump(by_alias=True)
    for name, field in type(options).model_fields.items():
        if field.exclude:
            values[key_of(name, field)] = getattr(options, name)
    return values


def takes_any_option(component: type) -> bool:
    """Return True if the `Options` of a class allows further ones."""
    model = own_model(component)
    return model is not None and model.model_config.get("extra") == "allow"


class Recipe:
    """A class of components, and the arguments to make one.

        ZenDaemon(components=[Recipe(FileTailer, start="beginning"), JsonLinesWriter])

    In a list of components, a recipe is made when the configuration is known: so an argument
    that the constructor requires may come from there. A class alone is a recipe, too.

    Args:
        cls: The class, a subclass of `ZenDaemonComponent`.
        args: Arguments of its constructor, as in a call.
        kwargs: Further ones, by name.

    Raises:
        TypeError: `cls` is no class of components.
    """

    def __init__(self, cls: type, /, *args: Any, **kwargs: Any) -> None:
        if not hasattr(cls, "accepts_any_option"):
            raise TypeError(f"{cls!r} is not a subclass of ZenDaemonComponent.")
        self.cls = cls
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        return f"Recipe({', '.join([self.cls.__name__, *self.arguments])})"

    def __copy__(self) -> Recipe:
        return self  # it is never changed

    def __deepcopy__(self, _memo: Any) -> Recipe:
        return self  # a component can be copied, even if it was made with what cannot be

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            pickle.dumps((self.args, self.kwargs))
        except Exception:  # a component can be pickled, even if it was made with what cannot be
            return _recipe_of, (self.cls, (), {})
        return _recipe_of, (self.cls, self.args, self.kwargs)

    @property
    def name(self) -> str:
        """The name that the component probably has; known for certain when it is made."""
        name = self.arguments.get("name")
        accepts = read_constructor(self.cls).accepts
        if name is None and "name" in accepts:
            name = accepts["name"][0].default
        return name if isinstance(name, str) and name else self.cls.__name__

    @functools.cached_property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name; positional ones too, as far as they have one."""
        try:
            bound = self._bound(self.kwargs)
        except TypeError:  # there are options that it does not take; or the call will raise it
            return dict(self.kwargs)
        named: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                named |= value
            elif kind is not inspect.Parameter.VAR_POSITIONAL:
                named[name] = value
        named.pop(next(iter(bound.signature.parameters)), None)  # self
        return named

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that are options, and those that are nothing: they are to be refused."""
        constructor = read_constructor(self.cls)
        # An open constructor may take others out of its `**kwargs`; or it will refuse them.
        is_exact = takes_any_option(self.cls) or not constructor.is_open
        names = spellings(self.cls)
        return {
            names.get(name, name): value
            for name, value in self.arguments.items()
            if name not in GIVEN_ELSEWHERE
            and (name in names or (is_exact and name not in constructor.accepts))
        }

    def all_options(self) -> dict[str, Any]:
        """Return the options, and the defaults of those that are not given.

        Raises:
            ValueError: The class's `Options` refuses them.
        """
        model = own_model(self.cls)
        if model is None:
            return read_constructor(self.cls).values(self.options)
        return values_of(model.model_validate(self.options))

    def call_with(self, changes: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the named arguments of the call, with changes.

        Options that the constructor does not take are left out: they are in `options` only.
        """
        constructor = read_constructor(self.cls)
        elsewhere = set() if constructor.is_open else option_names(self.cls)
        elsewhere -= constructor.accepts.keys()
        kwargs = {name: each for name, each in self.kwargs.items() if name not in elsewhere}
        if not changes:
            return self.args, kwargs
        bound = self._bound(kwargs)
        rest = dict(changes)
        for name, parameter in bound.signature.parameters.items():
            if name in rest and parameter.kind is not parameter.VAR_KEYWORD:
                bound.arguments[name] = rest.pop(name)
        # The arguments must be in the order of the parameters; `**kwargs` come last.
        order = list(bound.signature.parameters)
        bound.arguments = dict(sorted(bound.arguments.items(), key=lambda at: order.index(at[0])))
        return bound.args[1:], {**bound.kwargs, **rest}

    def _bound(self, kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        signature = inspect.signature(self.cls.__init__)  # type: ignore[misc] # of this class
        return signature.bind_partial(None, *self.args, **kwargs)


def _recipe_of(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recipe:
    return Recipe(cls, *args, **kwargs)


def place_of(places: Mapping[str, str], cause: BaseException) -> str:
    """Return the place of the option that an error is probably about, with a colon; or nothing.

    Args:
        places: Where the configuration sets each option.
        cause: What a component's code raised.
    """
    text = str(cause)
    named = [place for option, place in places.items() if option in text]
    place = next(iter([*named, *places.values()]), "")
    return place and f"{place}: "


def same(one: Any, other: Any) -> bool:
    """Return True if two values of an option are equal, as far as they can be compared.

    Two objects whose class defines no equality say nothing, so they count as equal if they are of
    one class: a function or a client that a program makes anew is no change of the configuration.
    """
    try:
        return one is other or _same(one, other)
    except RecursionError:  # it contains itself
        return False


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return bool(_plain(one) and _plain(other) and one == other and not _mixes_bool(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    equality: Any = type(one).__eq__
    if equality is object.__eq__:
        return True
    try:
        return bool(one == other)
    except Exception:  # the object's own code, or an array that has no single answer
        return False


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str | bytes)


def _mixes_bool(one: Any, other: Any) -> bool:
    return isinstance(one, bool) or isinstance(other, bool)
