"""The forms of a log line: text for the console and the file, and JSON lines for programs.

The console's text is formatted by loguru, which colours it. The file's lines are formatted here,
so that the form can change while the file stays open.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zenactors.config.redaction import plain
from zenactors.core.text import short_repr

if TYPE_CHECKING:
    from datetime import datetime

    from loguru import Message, Record


def console_format(record: Record) -> str:
    """Return loguru's format string for a line on the console."""
    component = "{extra[component]}: " if "component" in record["extra"] else ""
    return (
        "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <8}</level> "
        f"<cyan>{component}</cyan>" + "{message}\n{exception}"
    )


def exception_format(_record: Record) -> str:
    """Return loguru's format string for the traceback only: `file_line` makes the rest."""
    return "{exception}"


def file_line(message: Message, *, as_json: bool) -> bytes:
    """Return a line for the file, with its newline.

    Runs users' code (a field's `repr`), which may log or wait.

    Args:
        message: Its record is the line; its text is the traceback, if the record has one.
        as_json: Return a JSON object instead of text.
    """
    record = message.record
    fields = dict(record["extra"])
    return _render(
        record["time"],
        record["level"].name,
        fields.pop("component", None),
        record["message"],
        fields,
        str(message) if record["exception"] else "",
        as_json=as_json,
    )


def warning_line(time: datetime, text: str, *, as_json: bool) -> bytes:
    """Return a line for the file that is a warning of the log itself. Runs no users' code."""
    return _render(time, "WARNING", None, text, {}, "", as_json=as_json)


def _render(
    time: datetime,
    level: str,
    component: Any,
    message: str,
    fields: dict[str, Any],
    exception: str,
    *,
    as_json: bool,
) -> bytes:
    name = component if component is None or isinstance(component, str) else short_repr(component)
    if as_json:
        return _json_line(time, level, name, message, fields, exception)
    prefix = "" if name is None else f"{name}: "
    line = f"{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <8} {prefix}{message}\n{exception}"
    return line.encode("utf-8", "backslashreplace")


def _json_line(
    time: datetime,
    level: str,
    component: str | None,
    message: str,
    fields: dict[str, Any],
    exception: str,
) -> bytes:
    found: dict[str, Any] = {"time": time.isoformat(timespec="microseconds"), "level": level}
    if component is not None:
        found["component"] = component
    found["message"] = message
    if exception:
        found["exception"] = exception.rstrip("\n")
    for key, value in fields.items():
        name = str(key)
        while name in found:
            name += "_"
        found[name] = _json_value(name, value)
    # A lone surrogate becomes \udc80, which is also its form in JSON.
    return (json.dumps(found, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _json_value(key: str, value: Any) -> Any:
    """Return a value that JSON can hold, redacted: JSON shows fields that text does not."""
    try:
        (found,) = plain({key: value}).values()
    except Exception as cause:  # a user's object may raise anything when it is inspected
        return f"<{type(value).__name__} that raises {type(cause).__name__}>"
    return found
