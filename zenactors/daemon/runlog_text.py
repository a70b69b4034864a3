"""Runlogs as text for people: one as a table, several as a list. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from zenactors.core.text import printable
from zenactors.daemon.runlog import RunlogEntry


def runlog_text(runlog: Mapping[str, Any]) -> str:
    """Return a runlog as text for people."""
    status, books = runlog.get("status"), runlog.get("accounting")
    accounting = books if isinstance(books, Mapping) else {}
    rows = {
        "daemon": runlog["name"],
        "process": str(runlog["pid"]),
        "zenactors": runlog.get("version", "unknown"),
        "Python": _interpreter(runlog.get("python")),
        "command": " ".join(map(str, runlog.get("argv") or ())) or "unknown",
        "started": _for_people(runlog["start"]),
        "ended" if status is not None else "saved": _for_people(runlog["end"]),
        "duration": _duration(_spent(runlog)),
        "result": runlog.get("result") or "unknown",
        "exit status": "none yet" if status is None else str(status),
        **({"all events": accounting["text"]} if accounting.get("text") else {}),
        "dead letters": runlog.get("dead_letter_count", 0),
        **{f"left: {' '.join(path)}": value for path, value in _leaves(runlog.get("left"))},
    }
    width = max(map(len, rows))
    lines = [f"{key:<{width}}  {_cell(value)}" for key, value in rows.items()]
    for title in ("events", "statistics"):
        lines += _table(title, runlog.get(title))
        if title == "events":
            for part in ("components", "best_effort"):
                if accounting.get(part):
                    lines += _table(part.replace("_", " "), accounting[part])
    if runlog.get("statistics"):
        lines += ["", "inc, spd: the increase, and its rate per second, before the last saving"]
    return "\n".join(map(printable, lines)) + "\n"


def _interpreter(found: Any) -> str:
    if not isinstance(found, Mapping) or "version" not in found:
        return "unknown"  # as earlier versions wrote it
    return f"{found['version']}{'' if found.get('gil', True) else ', without the GIL'}"


def runlogs_text(entries: Iterable[RunlogEntry]) -> str:
    """Return a list of runlogs as text for people."""
    rows = [("STARTED", "DURATION", "STATUS", "RESULT", "FILE")]
    problems = []
    for entry in entries:
        runlog = entry.runlog
        if runlog is None:
            problems.append(f"{entry.path}: {entry.problem}")
            continue
        status = runlog.get("status")
        rows.append(
            (
                _for_people(runlog["start"]),
                _duration(_spent(runlog)),
                "-" if status is None else str(status),
                str(runlog.get("result", "unknown")),
                str(entry.path),
            )
        )
    lines = _aligned(rows) if len(rows) > 1 else ["There are no runlogs."]
    if problems:
        lines += ["", "Not to be read:", *problems]
    return "\n".join(map(printable, lines)) + "\n"


def _for_people(tstamp: float) -> str:
    try:
        return f"{datetime.fromtimestamp(tstamp, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # a number, but not a time
        return str(tstamp)


def _spent(runlog: Mapping[str, Any]) -> float:
    found = runlog.get("duration")
    return found if isinstance(found, int | float) else runlog["end"] - runlog["start"]


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours:02}:{minutes:02}:{seconds:02}"


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each value that is not empty, with the keys that lead to it."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, (*path, str(key)))
    elif value not in (None, [], ""):
        yield path, value


def _table(title: str, data: Any) -> list[str]:
    """Return a row for each innermost dict, with its keys as columns."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for path, value in _leaves(data):
        rows.setdefault(path[:-1], {})[path[-1] if path else ""] = value
    if not rows:
        return ["", f"{title}: none"]
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = [(title, *columns)]
    cells += [
        (" ".join(path), *(_cell(row.get(column, "")) for column in columns))
        for path, row in rows.items()
    ]
    return ["", *_aligned(cells, right=True)]


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | list):
        return str(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Return lines with columns; `right` aligns all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" if right and index else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
