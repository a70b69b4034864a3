"""Parse lines of a web server's access log into records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Unpack

from zenactors.components._options import check_strings
from zenactors.components.parsers.base import LineParser, ParserOptions
from zenactors.components.parsers.format import BEFORE, Format

# Possessive quantifiers (*+): a line that does not match is rejected in one pass, at any length.
_QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_MORE = r'(?:[^\s"]|"[^"\\]*+(?:\\.[^"\\]*+)*+")++'
_match = re.compile(
    r"(\S++) (\S++) (\S++) \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    + _QUOTED
    + r" (\d{3}) (\d{1,18}|-)"
    + rf"(?: {_QUOTED} {_QUOTED}((?: {_MORE})*+))?"  # Combined, and what servers append to it
    + r"\s*+",
    re.ASCII,
).fullmatch
# The end of the first fields: a request follows, and they have no quotes of their own.
_find_time = re.compile(
    r' \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "', re.ASCII
).search
_is_virtual_host = re.compile(r"[^\s:]+:\d+", re.ASCII).fullmatch
_unescape = re.compile(r'\\(["\\])').sub
_find_fields = re.compile(_MORE, re.ASCII).findall
_is_quoted = re.compile(_QUOTED, re.ASCII).fullmatch
_is_number = re.compile(r"-?(?:0|[1-9]\d{0,14})(\.\d{1,15})?", re.ASCII).fullmatch
_NAMES = (
    *("host", "ident", "user", "time", "method", "path", "protocol", "status", "size"),
    *("referer", "agent", "more", "vhost", "proxies"),
)

_MONTHS = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


class AccessLogParser(LineParser):
    r"""Turn lines of the Common or Combined Log Format (Apache, nginx) into records.

    Takes `lines` events with `Lines` or a list of bytes, and passes on a list of dicts with
    `host`, `ident`, `user`, `time` (ISO 8601 with offset), `method`, `path`, `protocol`, `status`,
    `size` (0 for "-"), and for Combined `referer` and `agent`. In quoted fields ``\"`` and ``\\``
    are unescaped. If a request is not "METHOD path PROTOCOL", `path` is the whole request, and
    `method` and `protocol` are None. Bytes that are not UTF-8 are decoded with replacement.

    The variants that servers write are understood, too: a user with blanks, or an empty one; a
    virtual host before the client (`vhost`, "name:port"); several clients of a forwarded-for
    header (`host` is the first, `proxies` the others); fields behind the agent (`more`).

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
        extra: Names of the fields behind the agent, such as `["request_time", "upstream"]`. A field
            without quotes that is a number becomes one, and "-" becomes None, as does a field that
            the line lacks. Further fields are in `more`.
        **common: The options of all parsers: `add_source` and `rejects`.

    Example:
        name = "access"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["access.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:AccessLogParser"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "access.jsonl"
    """

    def __init__(
        self,
        *,
        extra: list[str] | None = None,
        **common: Unpack[ParserOptions],
    ) -> None:
        super().__init__(**common)
        self.extra = extra
        self._format = access_format(extra)


def access_format(extra: Sequence[str] | None = None) -> Format:
    """Return the format of access logs; `extra` names the fields behind the agent.

    Raises:
        ValueError: A name is no name, comes twice, or is one that a record has already.
    """
    example = '["request_time", "upstream"]'
    names = [] if extra is None else check_strings("extra", extra, of="names", example=example)
    for number, name in enumerate(names):
        if name in _NAMES or name in names[:number]:
            raise ValueError(f"extra has {name!r}, which another field has: choose another name.")
    return Format("in Common or Combined Log Format", _AccessLog(names).parse)


class _AccessLog:
    """Lines of access logs.

    Args:
        extra: Names of the fields behind the agent.
    """

    def __init__(self, extra: Sequence[str]) -> None:
        self._extra = extra
        self._time_in = ""
        self._time_out: str | None = None

    def parse(self, text: str) -> dict[str, Any] | None:
        """Return the record that a line is, or None."""
        match = _match(text)
        if match is not None:
            return self._record_of(match)
        # The first fields are perhaps not exactly host, ident and user.
        time = _find_time(text)
        if time is None or '"' in text[: time.start()]:
            return None
        client = _parse_client(text[: time.start()].split(" "))
        if client is None:
            return None
        match = _match(f"{client.pop('host')} - -{text[time.start() :]}")
        record = None if match is None else self._record_of(match)
        return None if record is None else record | client

    def _record_of(self, match: re.Match[str]) -> dict[str, Any] | None:
        host, ident, user, time, request, status, size, referer, agent, more = match.groups()
        if not host.isprintable():
            host = host.lstrip(BEFORE)
            if not host or not host.isprintable():
                return None
        if time != self._time_in:  # a busy server writes many lines in one second
            self._time_in, self._time_out = time, _iso_time(time)
        if self._time_out is None:
            return None
        if "\\" in request:
            request = _unescape(r"\1", request)
        method, _, rest = request.partition(" ")
        path, _, protocol = rest.rpartition(" ")
        if not (path and protocol.startswith("HTTP/") and method.replace("-", "").isalpha()):
            method, path, protocol = None, request, None
        record = {
            "host": host,
            "ident": ident,
            "user": user,
            "time": self._time_out,
            "method": method,
            "path": path,
            "protocol": protocol,
            "status": int(status),
            "size": 0 if size == "-" else int(size),
        }
        if referer is not None:
            record["referer"] = _unescape(r"\1", referer) if "\\" in referer else referer
            record["agent"] = _unescape(r"\1", agent) if "\\" in agent else agent
        if more:
            record["more"] = more[1:]
        if self._extra:
            self._name_fields(record)
        return record

    def _name_fields(self, record: dict[str, Any]) -> None:
        """Give the fields behind the agent their names; further ones remain in `more`."""
        fields: list[str] = _find_fields(record.pop("more", ""))
        record |= dict.fromkeys(self._extra)
        record |= zip(self._extra, map(_value, fields), strict=False)
        if further := fields[len(self._extra) :]:
            record["more"] = " ".join(further)


def _parse_client(fields: list[str]) -> dict[str, Any] | None:
    """Return the fields before the time; None if they are none of the known variants.

    The ident is "-" in these variants, which tells where the user begins.
    """
    found: dict[str, Any] = {}
    has_virtual_host = fields[1:2] != ["-"] or fields[2:3] == ["-"]
    if has_virtual_host and _is_virtual_host(fields[0]):
        found["vhost"] = fields.pop(0)
    count = next((n for n, field in enumerate(fields) if not field.endswith(",")), len(fields))
    hosts = [field[:-1] for field in fields[:count]]
    del fields[:count]
    if len(fields) < 3 or fields[1] != "-" or not all(map(str.isprintable, fields)):  # noqa: PLR2004 - host, ident, user
        return None
    hosts.append(fields[0])
    found |= {"host": hosts[0], "user": " ".join(fields[2:])}
    if hosts[1:]:
        found["proxies"] = hosts[1:]
    return found


def _value(field: str) -> str | int | float | None:
    """Return the value of a field behind the agent."""
    if field == "-":
        return None
    if quoted := _is_quoted(field):
        return _unescape(r"\1", quoted[1])
    if number := _is_number(field):
        return float(field) if number[1] else int(field)
    return field


def _iso_time(time: str) -> str | None:
    """Return `10/Oct/2000:13:55:36 -0700` as ISO 8601; None if there is no such time."""
    month = _MONTHS.get(time[3:6])
    iso = f"{time[7:11]}-{month}-{time[:2]}T{time[12:20]}{time[21:24]}:{time[24:26]}"
    try:
        datetime.fromisoformat(iso)
    except ValueError:
        # A leap second is valid, although `datetime` refuses it.
        if iso[17:19] != "60":
            return None
        return iso if _is_time(iso[:17] + "59" + iso[19:]) else None
    return iso


def _is_time(iso: str) -> bool:
    try:
        datetime.fromisoformat(iso)
    except ValueError:
        return False
    return True
