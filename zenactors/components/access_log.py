"""Parse lines of a web server's access log into records."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._options import check_name
from zenactors.components._output import open_output
from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon
from zenactors.errors import EXIT_DATA_ERROR

_KEPT_LINES = 100
_KEPT_CHARACTERS = 200
_BEFORE = "\ufeff\0"  # a byte order mark; what a writer leaves behind that was truncated

# Possessive quantifiers (*+): a line that does not match is rejected in one pass, at any length.
_QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_MORE = r'(?:[^\s"]|"[^"\\]*+(?:\\.[^"\\]*+)*+")++'
_match = re.compile(
    r"(\S++) (\S++) (\S++) \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    + _QUOTED
    + r" (\d{3}) (\d++|-)"
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

_MONTHS = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


class AccessLogParser(ZenDaemonComponent):
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
    record remains, the chain ends here. A piece of a line (`Lines.complete` is False) is never
    taken for a record. If the daemon exits when idle, and not one line of a file was a record, its
    exit status is 65.

    The page "Guarantees" (docs/guarantees.md) says what is promised about loss, order and memory.

    Statistics: `lines`, `records`, `unmatched`, `pieces` (of lines that were cut off or too long),
    `bad_utf8` (lines decoded with replacement) and `rejects_failed` (lines that could not be
    written to `rejects`).

    Args:
        add_source: Add `file` and `offset` to each record that came from `Lines`.
        rejects: Append lines that do not match to this file, unchanged. A relative path is
            relative to the directory in which the daemon was started, or to its `work_dir`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system of `rejects`; a simulation sets its own before `setup`.
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        add_source: bool = False,
        rejects: str | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        if not isinstance(add_source, bool):
            raise ValueError(f"add_source is {add_source!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        if rejects is not None and (not isinstance(rejects, str) or not rejects):
            raise ValueError(f"rejects is {rejects!r}, but the path of a file is expected.")
        if rejects is not None:
            check_name("rejects", rejects)
        self.add_source = add_source
        self.rejects = rejects
        self._rejects_fd: int | None = None
        self._unmatched: deque[str] = deque(maxlen=_KEPT_LINES)
        self._warned = False
        self._warned_of_pieces = False
        self._sources: dict[str, bool] = {}  # of each file, whether a line was a record
        self._rejects_failed = False
        self._time_in = ""
        self._time_out: str | None = None

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and the last lines that did not match."""
        return {**super().get_state(), "unmatched": list(self._unmatched)}

    def setup(self, daemon: Daemon) -> None:
        """Open the file for rejected lines, if there is one."""
        if self.rejects is not None:
            self._rejects_fd = open_output(located(self.rejects, daemon), self.files)

    def teardown(self, daemon: Daemon) -> None:
        """Close the file for rejected lines; log their number; report files without a record."""
        unmatched = self.statistics_cur.get("unmatched", 0)
        if unmatched > 1:  # the first one has been logged already
            self.log.warning("{count} lines did not match the log format", count=unmatched)
        self._report_sources(daemon)
        fd, self._rejects_fd = self._rejects_fd, None
        if fd is not None:
            self.files.close(fd)

    @handles("lines")
    def cbk_event_lines(
        self, daemon: Daemon, args: Lines | list[bytes]
    ) -> tuple[int, list[dict[str, Any]]]:
        """Parse the lines."""
        if isinstance(args, Lines) and not args.complete:
            self._leave_out(args)
            return FLAG_STOP, []
        lines = args.lines() if isinstance(args, Lines) else args
        self.inc_statistic("lines", len(lines))
        records: list[dict[str, Any]] = []
        unmatched: list[int] = []
        for number, text in enumerate(self._decode(lines)):
            record = self._parse(text)
            if record is None:
                unmatched.append(number)
            else:
                records.append(record)
        if self.add_source and isinstance(args, Lines):
            _add_source(records, args, unmatched)
        if unmatched:
            self._reject([lines[number] for number in unmatched], args)
        self.inc_statistic("records", len(records))
        if lines:
            source = _source_of(args)
            self._sources[source] = bool(records) or self._sources.get(source, False)
        return (FLAG_CONTINUE, records) if records else (FLAG_STOP, [])

    def _decode(self, lines: list[bytes]) -> list[str]:
        try:
            return [line.decode() for line in lines]
        except UnicodeDecodeError:
            pass
        texts = []
        for line in lines:
            try:
                texts.append(line.decode())
            except UnicodeDecodeError:
                self.inc_statistic("bad_utf8")
                texts.append(line.decode(errors="replace"))
        return texts

    def _parse(self, text: str) -> dict[str, Any] | None:
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
            host = host.lstrip(_BEFORE)
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
        return record

    def _leave_out(self, piece: Lines) -> None:
        self.inc_statistic("pieces")
        if not self._warned_of_pieces:
            self._warned_of_pieces = True
            self.log.warning(
                "A piece of a line of {path}, at byte {offset}, is left out: the line has no end,"
                " or its beginning was not read, or it is longer than max_line_bytes. Further"
                " pieces are only counted",
                path=piece.path,
                offset=piece.offset,
            )

    def _report_sources(self, daemon: Daemon) -> None:
        sources, self._sources = self._sources, {}
        for path, has_records in sources.items():
            if not has_records:
                self.log.error(
                    "Not one line of {path} is in Common or Combined Log Format", path=path
                )
                if daemon.exit_when_idle:
                    daemon.set_exit_status(EXIT_DATA_ERROR)

    def _reject(self, lines: list[bytes], args: Lines | list[bytes]) -> None:
        self.inc_statistic("unmatched", len(lines))
        for line in lines[-_KEPT_LINES:]:
            # In UTF-8, a character has at most 4 bytes. Do not decode megabytes for 200 characters.
            text = line[: 4 * _KEPT_CHARACTERS].decode(errors="replace")
            self._unmatched.append(text[:_KEPT_CHARACTERS])
        if not self._warned:
            self._warned = True
            self.log.warning(
                "A line of {path} is not in Common or Combined Log Format and is left out:"
                " {line!r}. Further lines are only counted; the state has the last of them",
                path=_source_of(args),
                line=lines[0][:_KEPT_CHARACTERS].decode(errors="replace"),
            )
        if self._rejects_fd is not None:
            self._write_rejects(lines)

    def _write_rejects(self, lines: list[bytes]) -> None:
        assert self._rejects_fd is not None  # checked by the caller
        rest = memoryview(b"\n".join(lines) + b"\n")
        try:
            while rest:
                rest = rest[self.files.write(self._rejects_fd, rest) :]
        except OSError as cause:  # go on: rejects only help to find errors
            self.inc_statistic("rejects_failed", len(lines))
            if not self._rejects_failed:
                self._rejects_failed = True
                self.log.error(  # noqa: TRY400 - a full disk is no bug: no traceback
                    "Cannot write rejected lines to {path}: {reason}. They are only counted now"
                    " (rejects_failed). Free some space or choose another file",
                    path=self.rejects,
                    reason=cause.strerror,
                )


def _source_of(args: Lines | list[bytes]) -> str:
    return args.path if isinstance(args, Lines) else "the input"


def _parse_client(fields: list[str]) -> dict[str, Any] | None:
    """Return the fields before the time; None if they are none of the known variants.

    The ident is "-" in these variants, which tells where the user begins.
    """
    found: dict[str, Any] = {}
    has_virtual_host = fields[1:2] != ["-"] or fields[2:3] == ["-"]
    if has_virtual_host and _is_virtual_host(fields[0]):
        found["vhost"] = fields.pop(0)
    hosts: list[str] = []
    while fields and fields[0].endswith(","):
        hosts.append(fields.pop(0)[:-1])
    if len(fields) < 3 or fields[1] != "-" or not all(map(str.isprintable, fields)):  # noqa: PLR2004 - host, ident, user
        return None
    hosts.append(fields[0])
    found |= {"host": hosts[0], "user": " ".join(fields[2:])}
    if hosts[1:]:
        found["proxies"] = hosts[1:]
    return found


def _add_source(records: list[dict[str, Any]], lines: Lines, unmatched: list[int]) -> None:
    offsets = lines.offsets()
    for number in reversed(unmatched):
        del offsets[number]
    for record, offset in zip(records, offsets, strict=True):
        record["file"] = lines.path
        record["offset"] = offset


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
