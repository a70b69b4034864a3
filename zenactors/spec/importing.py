"""Import the modules and objects that a SPEC names, unless root must not trust them.

A user who can write a module that root imports is root, so as root every file is checked before it
is used. Thread: main, before any other thread exists.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import pkgutil
import sys
import types
from pathlib import Path
from typing import Any

from zenactors import trust
from zenactors.config.wording import because
from zenactors.errors import did_you_mean

DANGER = "it names code that would run as root"


class Problem(Exception):  # noqa: N818 - a finding on its way to the list of findings
    """An error, without its place."""


def look_first_in(app_dir: Path) -> None:
    """Put `app_dir` first on `sys.path`, unless root must not trust it."""
    # Users who can write to the directory could shadow any module. Root imports nothing from it,
    # and `_find_module` reports it if a module is found only there.
    if str(app_dir) not in sys.path[:1] and not trust.who_else_can_write(app_dir.stat()):
        sys.path.insert(0, str(app_dir))
        importlib.invalidate_caches()


def import_attribute(reference: str, app_dir: Path) -> Any:
    """Return the object that `module:attribute` names.

    Raises:
        Problem: It cannot be imported.
    """
    module_name, colon, attribute = reference.partition(":")
    if not (module_name and colon and attribute):
        head, _, tail = reference.rpartition(".")
        hint = f"; did you mean '{head}:{tail}'?" if head and not colon else ""
        raise Problem(f"{reference!r} is not of the form 'package.module:attribute'{hint}")
    found: Any = _import_module(module_name, app_dir)
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in dir(found) if not name.startswith("_")]
            raise Problem(f"{module_name!r} has no attribute {part!r}{did_you_mean(part, public)}")
        found = getattr(found, part)
    return found


def _import_module(name: str, app_dir: Path) -> types.ModuleType:
    parts = name.split(".")
    if not all(map(str.isidentifier, parts)):
        raise Problem(f"{name!r} is not the name of a module")
    module = None
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        if module and not hasattr(module, "__path__"):
            raise Problem(f"there is no module {part!r}: {module.__name__!r} is not a package")
        _find_module(part, app_dir)
        try:
            module = importlib.import_module(part)
        except (Exception, SystemExit) as cause:
            raise Problem(f"module {part!r} cannot be imported: {because(cause)}") from cause
    assert module is not None  # for mypy: every name has a part
    return module


def _find_module(name: str, app_dir: Path) -> None:
    """Check that a module exists and may be imported. Does not import it."""
    parent = name.rpartition(".")[0]
    if name in sys.modules:
        return
    reason = "" if parent else trust.who_else_can_write(app_dir.stat())
    if reason and importlib.machinery.PathFinder.find_spec(name, [str(app_dir)]):
        raise Problem(
            f"module {name!r} is not imported as root from {app_dir}, because that directory"
            f" {reason}; use another --app-dir, or: chown root {app_dir} && chmod go-w {app_dir}"
        )
    found = importlib.util.find_spec(name)
    if found is None:
        raise Problem(
            f"there is no module {name!r} (searched {app_dir} and sys.path)"
            f"{did_you_mean(name, _names_of_modules(parent))}"
        )
    if not (found.has_location and found.origin):
        return
    origin = Path(found.origin)
    if origin.is_relative_to(app_dir):
        reason = trust.refusal(origin, origin.stat(), DANGER)
        if reason:
            raise Problem(reason)


def _names_of_modules(parent: str) -> list[str]:
    if not parent:
        return [module.name for module in pkgutil.iter_modules()]
    path = getattr(sys.modules[parent], "__path__", [])
    return [module.name for module in pkgutil.iter_modules(path, f"{parent}.")]
