"""Import the object that `package.module:attribute` names and, if it is a function, call it.

Thread: main, before any other thread exists.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zenactors.config.wording import because
from zenactors.core.text import short_repr
from zenactors.errors import ConfigurationError
from zenactors.spec.importing import Problem, import_attribute


def import_object(spec: str, app_dir: Path) -> Any:
    """Return the object that `spec` names.

    Raises:
        ConfigurationError: It cannot be imported.
    """
    try:
        return import_attribute(spec, app_dir)
    except Problem as problem:
        raise ConfigurationError(f"{spec}: {problem}") from problem.__cause__


def make(
    spec: str, found: Any, forms: str, *, ready: tuple[type, ...], made: tuple[type, ...]
) -> Any:
    """Return the object if it is ready; otherwise call it, and return the result.

    Args:
        spec: The SPEC that names the object, for messages.
        found: The object.
        forms: The forms that a SPEC may have, for messages.
        ready: The types of objects that are not called.
        made: The types that a call may return. A class is called only if it is one of them, or a
            subclass.

    Raises:
        ConfigurationError: The object has none of these forms, or the call raises.
    """
    if isinstance(found, ready):
        return found
    if not callable(found) or (isinstance(found, type) and not issubclass(found, made)):
        raise ConfigurationError(f"{spec} is {short_repr(found)}, which is not {forms}")
    try:
        inspect.signature(found).bind()
    except TypeError as cause:
        raise ConfigurationError(
            f"{spec} cannot be called without arguments ({cause}); SPEC must be {forms}"
        ) from cause
    result = call(spec, found)
    if not isinstance(result, made):
        raise ConfigurationError(f"{spec} returns {short_repr(result)}; SPEC must be {forms}")
    return result


def call(spec: str, function: Callable[[], Any]) -> Any:
    """Return what the function of a SPEC returns.

    Raises:
        ConfigurationError: The function raises.
    """
    try:
        return function()
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as cause:
        raise ConfigurationError(f"{spec} raises {because(cause)}") from cause
