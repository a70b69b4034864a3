"""Parse lines of syslog (RFC 5424, RFC 3164, and the files of syslog daemons) into records."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Unpack
from zoneinfo import ZoneInfo

from zenactors.components.parsers.base import LineParser, ParserOptions
from zenactors.components.parsers.format import BEFORE, Format

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
_MOST_YEARS = 8  # between two leap years, at most
_AHEAD = timedelta(days=1)  # how far another host's clock may be ahead


class SyslogParser(LineParser):
    r"""Turn lines of syslog into records.

    Takes `lines` events with `Lines` or a list of bytes, and passes on a list of dicts. All have
    the same keys; a value that the line does not give is None.

    - `facility` and `severity`: their names, such as "authpriv" and "warning". Files of syslog
      daemons often have none.
    - `time`: ISO 8601 with offset. A line of RFC 3164 gives neither year nor offset: then `time`
      is its text, such as "Oct  3 22:14:15", unless there is a `zone`.
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
        zone: Time zone of times that give none: "Europe/Berlin", "UTC" or "local", the machine's.
            Then they become ISO 8601, too. Their year is the latest in which they are not more than
            a day ahead of the clock, so lines must be parsed within 364 days. A time that comes
            twice, when clocks are set back, is the first one. None: such times stay texts.
        **common: The options of all parsers: `add_source` and `rejects`.

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

    def __init__(
        self,
        *,
        zone: str | None = None,
        **common: Unpack[ParserOptions],
    ) -> None:
        super().__init__(**common)
        self.zone = zone
        self._format = syslog_format(zone, self._now)

    def _now(self) -> float:
        now: float = self.clock.time()  # the clock is another one under a harness
        return now


def syslog_format(zone: str | None, now: Callable[[], float]) -> Format:
    """Return the format of syslog.

    Args:
        zone: The time zone of times without year and offset. None: they stay texts.
        now: Returns the Unix time that tells their year.

    Raises:
        ValueError: There is no such zone.
    """
    if zone is None:
        return Format("a syslog message", parse_syslog)
    dated = _Dated(_zone_of(zone), now)
    return Format("a syslog message", dated.parse)


def parse_syslog(text: str) -> dict[str, Any] | None:
    """Return the message that a line is; None if it is none."""
    if text[:1] in BEFORE:
        text = text.lstrip(BEFORE)
    match = _match_5424(text)
    if match is not None:
        return _record_5424(match)
    match = _match_3164(text)
    return None if match is None else _record_3164(match)


class _Dated:
    """Syslog whose times get the year and the offset that they lack.

    Args:
        zone: The time zone; None: the machine's.
        now: Returns the Unix time.
    """

    def __init__(self, zone: tzinfo | None, now: Callable[[], float]) -> None:
        self._zone = zone
        self._now = now
        self._time_in = ""
        self._time_out = ""

    def parse(self, text: str) -> dict[str, Any] | None:
        record = parse_syslog(text)
        if record is not None and record["time"] and record["time"][0].isalpha():
            if record["time"] != self._time_in:  # a busy host writes many lines in one second
                self._time_in, self._time_out = record["time"], self._date(record["time"])
            record["time"] = self._time_out
        return record

    def _date(self, text: str) -> str:
        """Return the latest such time that is not more than a day ahead, as ISO 8601."""
        now = datetime.fromtimestamp(self._now(), UTC)
        latest = now + _AHEAD
        for year in range(latest.year + 1, latest.year - _MOST_YEARS - 1, -1):
            iso = _iso_of(text, year)
            try:
                time = datetime.fromisoformat(_without_leap_second(iso))
            except ValueError:  # the 29th of February
                continue
            time = time.replace(tzinfo=self._zone) if self._zone else time.astimezone()
            if time <= latest:
                offset = time.isoformat()[19:]
                return iso + offset
        return text


def _zone_of(name: Any) -> tzinfo | None:
    """Return a time zone; None for that of the machine."""
    if name == "local":
        return None
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, TypeError, OSError):  # a directory is an OSError
        raise ValueError(
            f"zone is {name!r}, but a time zone is expected, such as 'Europe/Berlin', 'UTC' or"
            " 'local', the machine's."
        ) from None


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


@functools.lru_cache(maxsize=16)  # a busy host writes many lines in one second
def _is_time(text: str) -> bool:
    if text[0].isalpha():
        if text[:3] not in _MONTHS:
            return False
        text = _iso_of(text, _LEAP_YEAR)
    try:
        datetime.fromisoformat(_without_leap_second(text))
    except ValueError:
        return False
    return True


def _iso_of(text: str, year: int) -> str:
    """Return `Oct  3 22:14:15` in a year as ISO 8601, without an offset."""
    month, day = _MONTHS.index(text[:3]) + 1, text[4:6].replace(" ", "0")
    return f"{year:04}-{month:02}-{day}T{text[7:]}"


def _without_leap_second(text: str) -> str:
    """Return a time that `datetime` accepts: it refuses leap seconds, which are valid."""
    return f"{text[:17]}59{text[19:]}" if text[17:19] == "60" else text
