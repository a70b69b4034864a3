"""Functions and classes that options name: objects in code, `"module:name"` in files.

They are imported when a component is constructed, so that a check of a file finds a wrong name.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

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
