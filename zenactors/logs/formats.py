"""The forms of a log line: text for the console and the file, and JSON lines for programs.

Lines are formatted here, not by loguru: so the form can change while the file stays open, and
what comes from outside (the name of a file, a received text) cannot steer a terminal that shows
the log, nor look like a line of the log.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zenactors.actors.tracebacks import StandIn, traceback_text
from zenactors.config.redaction import plain
from zenactors.core.text import harmless, one_record, printable, short_repr

if TYPE_CHECKING:
    from datetime import datetime

    from loguru import Message, Record, RecordException

_BOLD, _GREEN, _CYAN = "1", "32", "36"
_COLOURS = {
    "TRACE": "1;36",
    "DEBUG": "1;34",
    "SUCCESS": "1;32",
    "WARNING": "1;33",
    "ERROR": "1;31",
    "CRITICAL": "1;41",
}


def no_format(_record: Record) -> str:
    """Return loguru's format string for nothing: all of the line is made here."""
    return ""


def console_line(message: Message, *, coloured: bool) -> str:
    """Return a line for the console, with its newline. Runs users' code, as `file_line` does.

    Args:
        message: Its record is the line.
        coloured: Colour the time, the level and the component.
    """
    record = message.record
    fields = dict(record["extra"])
    return _text_line(
        record["time"],
        record["level"].name,
        fields.pop("component", None),
        _in_one_line(record["message"], fields),
        _traceback(record["exception"]),
        coloured=coloured,
    )


def file_line(message: Message, *, as_json: bool) -> bytes:
    """Return a line for the file, with its newline.

    Runs users' code (a field's `repr`), which may log or wait.

    Args:
        message: Its record is the line.
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
        _traceback(record["exception"]),
        as_json=as_json,
    )


def _traceback(exception: RecordException | None) -> str:
    """Return a traceback that begins where zenactors has called other code, if it has."""
    if exception is None or exception.value is None:
        return ""
    value = exception.value
    if isinstance(value, StandIn):
        return traceback_text(value.original, value.original.__traceback__)
    return traceback_text(value, exception.traceback)


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
    if as_json:
        name = None if component is None else _name(component)
        return _json_line(time, level, name, message, fields, exception)
    line = _text_line(time, level, component, _in_one_line(message, fields), exception)
    return line.encode("utf-8", "backslashreplace")


def _text_line(
    time: datetime,
    level: str,
    component: Any,
    message: str,
    exception: str,
    *,
    coloured: bool = False,
) -> str:
    def paint(text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if coloured and text else text

    name = "" if component is None else f"{printable(_name(component))}: "
    return (
        f"{paint(f'{time:YYYY-MM-DD HH:mm:ss.SSS}', _GREEN)}"
        f" {paint(f'{level: <8}', _COLOURS.get(level, _BOLD))} {paint(name, _CYAN)}"
        + one_record(f"{message}\n{exception}")
    )


def _name(component: Any) -> str:
    return component if isinstance(component, str) else short_repr(component)


def _in_one_line(message: str, fields: dict[str, Any]) -> str:
    """Return a message with the values of its fields on one line.

    Text that is meant to have several lines begins with one of its own, or is all of the message.
    """
    for value in fields.values():
        if isinstance(value, str) and not value.isprintable() and value in message:
            own = value == message or f"\n{value}" in message
            message = message if own else message.replace(value, printable(value))
    return message


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
    return (_json_text(found) + "\n").encode("utf-8", "backslashreplace")


def _json_text(found: dict[str, Any]) -> str:
    """Return JSON whose characters that steer a terminal are escaped; json does only some."""
    text = json.dumps(found, ensure_ascii=False)
    return harmless(text, "\\u{:04x}")


def _json_value(key: str, value: Any) -> Any:
    """Return a value that JSON can hold, redacted: JSON shows fields that text does not."""
    try:
        (found,) = plain({key: value}).values()
    except Exception as cause:  # a user's object may raise anything when it is inspected
        return f"<{type(value).__name__} that raises {type(cause).__name__}>"
    return found
