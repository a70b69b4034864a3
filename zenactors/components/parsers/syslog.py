"""Parse lines of syslog (RFC 5424, RFC 3164, and the files of syslog daemons) into records."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from zenactors.components.parsers.base import BEFORE, LineParser

_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
_SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_NIL = "-"

# Possessive quantifiers (*+): a line that does not match is rejected in one pass, at any length.
# They contain no group: with one, `re` raises a SystemError for some lines.
_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?+(?:Z|[+-]\d\d:\d\d)"
_PARAMETER = r' [^ =\]"]++="[^"\\\]]*+(?:\\.[^"\\\]]*+)*+"'
_ELEMENT = rf'\[[^ =\]"]++(?:{_PARAMETER})*+\]'
_match_5424 = re.compile(
    rf"<(\d{{1,3}})>[1-9]\d{{0,2}} ({_ISO}|-) (\S++) (\S++) (\S++) (\S++) (-|(?:{_ELEMENT})++)"
    r"(?: (.*+))?",
    re.ASCII | re.DOTALL,
).fullmatch
_match_3164 = re.compile(
    rf"(?:<(\d{{1,3}})>)?({_ISO}|[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d) (.*+)",
    re.ASCII | re.DOTALL,
).fullmatch
# A host may be an IPv6 address. A tag ends with a colon, perhaps behind a PID; if the first word is
# one already, the line names no host.
_match_origin = re.compile(
    r"(?:([^\s\[\]]++)(?<!:) )?(?:([^\s:\[\]]++)(?:\[([^\s\[\]]*+)\])?:(?:\s|$))?(.*+)",
    re.ASCII | re.DOTALL,
).fullmatch
_find_elements = re.compile(_ELEMENT, re.DOTALL).findall
_find_parameters = re.compile(r' ([^ =\]"]++)="([^"\\\]]*+(?:\\.[^"\\\]]*+)*+)"', re.DOTALL).findall
_find_id = re.compile(r'\[([^ =\]"]++)').match
_unescape = re.compile(r'\\(["\\\]])').sub
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LEAP_YEAR = 2000  # any day of any year is one of a leap year


class SyslogParser(LineParser):
    r"""Turn lines of syslog into records.

    Takes `lines` events with `Lines` or a list of bytes, and passes on a list of dicts. All have
    the same keys; a value that the line does not give is None.

    - `facility` and `severity`: their names, such as "authpriv" and "warning". Files of syslog
      daemons often have none.
    - `time`: ISO 8601 with offset. A line of RFC 3164 gives neither year nor offset: then `time`
      is its text, such as "Oct  3 22:14:15".
    - `host`, `app`, `pid`: texts; a `pid` need not be a number.
    - `msgid`: a text. Only RFC 5424 has it.
    - `structured_data`: a dict of dicts, by the ids of the elements and the names of their
      parameters. The value of a name that comes twice in one element is a list. ``\"``, ``\\`` and
      ``\]`` are unescaped. Only RFC 5424 has it.
    - `message`: the rest of the line, a text, perhaps an empty one.

    Understood are RFC 5424, RFC 3164, and both forms in which syslog daemons write files, without
    `<PRI>`: with the time of RFC 3164 or with that of RFC 5424. In the last three, what follows the
    host is a message as a whole if it begins with no tag (`app`).

    Lines that do not match are counted and left out; the state has the last 100 of them. If no
    record remains, the chain ends here. A piece of a line (`Lines.complete` is False, or
    `Lines.truncated` True) is never taken for a record. If the daemon exits when idle, and not one
    line of a file was a record, its exit status is 65.

    Statistics: `lines`, `records`, `unmatched`, `pieces` (of lines that were cut off or too long),
    `bad_utf8` (lines decoded with replacement) and `rejects_failed` (lines that could not be
    written to `rejects`).

    Promises:
        loss: Lines that do not match, and pieces of lines, are left out, and counted; `rejects`
            keeps them.
        duplicates: None of its own: a line that comes twice becomes two records.
        order: That of the lines.
        memory: One event, the last 100 lines that were left out, up to 200 characters of each, and
            the path of each file.
        threads: Its own. It waits only for the disk of `rejects`.

    Args:
        add_source: Add `file`, `offset`, `id` and `generation` to each record that came from
            `Lines`. The last three together identify a line for ever.
        rejects: Append lines that do not match to this file, unchanged. A relative path is
            relative to the directory in which the daemon was started, or to its `work_dir`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system of `rejects`; a simulation sets its own before `setup`.

    Example:
        name = "syslog"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["auth.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:SyslogParser"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "auth.jsonl"
    """

    _expected = "a syslog message"

    def _parse(self, text: str) -> dict[str, Any] | None:
        if text[:1] in BEFORE:
            text = text.lstrip(BEFORE)
        match = _match_5424(text)
        if match is not None:
            return _record_5424(match)
        match = _match_3164(text)
        return None if match is None else _record_3164(match)


def _record_5424(match: re.Match[str]) -> dict[str, Any] | None:
    priority, time, host, app, pid, msgid, elements, message = match.groups()
    data = {} if elements == _NIL else _structured_data(elements)
    if data is None or not (time == _NIL or _is_time(time)):
        return None
    return _record(
        priority,
        time=_value(time),
        host=_value(host),
        app=_value(app),
        pid=_value(pid),
        msgid=_value(msgid),
        structured_data=data or None,
        message=(message or "").removeprefix("\ufeff"),
    )


def _record_3164(match: re.Match[str]) -> dict[str, Any] | None:
    priority, time, rest = match.groups()
    if not _is_time(time):
        return None
    origin = _match_origin(rest)
    assert origin is not None  # every part of it is optional
    host, app, pid, message = origin.groups()
    return _record(
        priority,
        time=time,
        host=host,
        app=app,
        pid=pid,
        msgid=None,
        structured_data=None,
        message=message,
    )


def _record(priority: str | None, **fields: Any) -> dict[str, Any] | None:
    if priority is None:
        return {"facility": None, "severity": None, **fields}
    facility, severity = divmod(int(priority), len(_SEVERITIES))
    if facility >= len(_FACILITIES):
        return None
    return {"facility": _FACILITIES[facility], "severity": _SEVERITIES[severity], **fields}


def _value(text: str) -> str | None:
    return None if text == _NIL else text


def _structured_data(text: str) -> dict[str, Any] | None:
    """Return the elements by their ids; None if an id comes twice."""
    found: dict[str, Any] = {}
    elements = _find_elements(text)
    for element in elements:
        identity = _find_id(element)
        assert identity is not None  # it was found by its id
        values: dict[str, list[str]] = {}
        for name, value in _find_parameters(element):
            values.setdefault(name, []).append(_unescape(r"\1", value))
        found[identity[1]] = {
            name: several if several[1:] else several[0] for name, several in values.items()
        }
    return found if len(found) == len(elements) else None


def _is_time(text: str) -> bool:
    if text[0].isalpha():
        if text[:3] not in _MONTHS:
            return False
        month, day = _MONTHS.index(text[:3]) + 1, text[4:6].replace(" ", "0")
        text = f"{_LEAP_YEAR}-{month:02}-{day}T{text[7:]}"
    if text[17:19] == "60":  # a leap second is valid, although `datetime` refuses it
        text = f"{text[:17]}59{text[19:]}"
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
