"""Functions and classes that options name: objects in code, `"module:name"` in files.

They are imported when a component is constructed, so that a check of a file finds a wrong name.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zenactors import trust
from zenactors.errors import did_you_mean


def load_function(
    option: str, value: Any, args: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Return the function that an option means, with further keyword arguments bound to it.

    Args:
        option: The option's name, for the error.
        value: A function, or `"module:function"`.
        args: The keyword arguments.

    Raises:
        ValueError: It cannot be imported, or cannot be called; or `args` is no table.
    """
    function = load_object(option, value)
    if not callable(function):
        raise ValueError(  # noqa: TRY004 - wrong options are ValueErrors
            f"{option} is {value!r}, which is of type {type(function).__name__} and cannot be"
            ' called: give a function, or "module:function".'
        )
    if args is not None and not isinstance(args, Mapping):
        raise ValueError(f"args is {args!r}, but a table of keyword arguments is expected.")
    return functools.partial(function, **args) if args else function


def _check_trust(option: str, value: str, module_name: str) -> None:
    """Refuse a module that others can write if it would run as root; as for `use` in a SPEC.

    Of a package, only the module itself is looked at: one that is not there is no finding here.
    """
    if module_name in sys.modules or not sys.path:
        return
    try:
        found = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        return  # the import says what is wrong
    if found is None or not (found.has_location and found.origin):
        return
    origin = Path(found.origin)
    if origin.is_relative_to(Path(sys.path[0]).absolute()):
        refusal = trust.refusal(origin, origin.stat(), "it has code that would run as root")
        if refusal:
            raise ValueError(f"{option} is {value!r}, but {refusal}")


def load_object(option: str, value: Any) -> Any:
    """Return `value`; if it is a text, the object that it names.

    Raises:
        ValueError: It cannot be imported.
    """
    if not isinstance(value, str):
        return value
    module_name, _, path = value.partition(":")
    if not (path and all(map(str.isidentifier, module_name.split(".")))):
        raise ValueError(f'{option} is {value!r}, but "module:name" is expected.')
    _check_trust(option, value, module_name)
    try:
        found = importlib.import_module(module_name)
    except (Exception, SystemExit) as cause:
        raise ValueError(
            f"{option} is {value!r}, but module {module_name!r} cannot be imported:"
            f" {type(cause).__name__}: {cause}. Give a module in --app-dir or on sys.path."
        ) from cause
    for part in path.split("."):
        if not hasattr(found, part):
            public = [name for name in dir(found) if not name.startswith("_")]
            raise ValueError(
                f"{option} is {value!r}, but {module_name!r} has no"
                f" {part!r}{did_you_mean(part, public) or '.'}"
            )
        found = getattr(found, part)
    return found
