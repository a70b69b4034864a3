"""Paths below the application's root directory, and variables from `.env` files."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

ROOT_VARIABLE = "APP_ROOT_PATH"
_NAMES = (".env.local", ".env")  # the first file that sets a variable wins


def get_resource_path(fs_path: str, *more_chunks: str) -> str:
    """Return a path below `APP_ROOT_PATH` (default: /). An absolute one stays as it is."""
    # Not by pathlib: a trailing slash and ".." stay as the program has written them.
    return os.path.join(os.environ.get(ROOT_VARIABLE, "/"), fs_path, *more_chunks)  # noqa: PTH118


def get_resource_path_fr(fs_path: str, *more_chunks: str) -> str:
    """Return a path below `APP_ROOT_PATH`, even if `fs_path` is absolute."""
    return get_resource_path(fs_path.strip(os.sep), *more_chunks)


def load_dotenv(path: str | None = None) -> bool:
    """Set the variables of a `.env` file; those that are set already stay.

    Args:
        path: The file. None: the nearest `.env.local` and `.env` from the current directory
            upwards; the current directory becomes that of the first.

    Returns:
        True if a file was found. False without python-dotenv.
    """
    dotenv = _dotenv()
    if dotenv is None:
        return False
    if path is not None:
        return bool(dotenv.load_dotenv(path))
    found = [each for name in _NAMES if (each := dotenv.find_dotenv(name, usecwd=True))]
    for each in found:
        dotenv.load_dotenv(each)
    if found:
        os.chdir(Path(found[0]).parent)
    return bool(found)


def load_dotenv_cwd() -> None:
    """Set the variables of `.env.local` and `.env` in the current directory, if they exist."""
    dotenv = _dotenv()
    for name in _NAMES:
        if dotenv is not None and Path(name).is_file():
            dotenv.load_dotenv(name)


def _dotenv() -> Any:
    try:
        return importlib.import_module("dotenv")
    except ImportError:
        if any(Path(name).is_file() for name in _NAMES):
            sys.stderr.write("The .env files here are not read: python-dotenv is not installed.\n")
        return None
