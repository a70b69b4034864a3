"""The state file: everything that helps debugging, as JSON, secrets redacted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zenactors.core.host import shown

SECRET = re.compile(r"passw|secret|token|api_?key|credential|private", re.IGNORECASE)
REDACTED = "***"
MAX_DEPTH = 20  # deeper is cut: a component's state may contain itself


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Turn any value into what JSON can hold, with the values of secret-looking keys redacted."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth <= 0:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if SECRET.search(str(key)) else plain(each, depth - 1)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each, depth - 1) for each in value]
    return shown(value)


def json_text(value: Any) -> str:
    """Return a value as JSON for people, with the values of secret-looking keys redacted."""
    # Escaped, as not everything that a str can hold has a place in a file: lone surrogates.
    return json.dumps(plain(value), indent=2) + "\n"


def save_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all; the file is the owner's alone (0600).

    Raises:
        OSError: If it cannot be written. What was there before is still there then.
    """
    text = json_text(value)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - symmetrical to mkstemp
    except BaseException:  # whatever it was, no half-written file stays behind
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
