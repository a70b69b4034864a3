"""Parse lines of `key=value` pairs (logfmt) into records."""

from __future__ import annotations

import json
import re
from typing import Any

from zenactors.components.parsers.base import LineParser
from zenactors.components.parsers.format import BEFORE, Format, is_unicode

# Possessive quantifiers (*+): a line that does not match is rejected in one pass, at any length.
# They contain no group: with one, `re` raises a SystemError for some lines.
_BLANK = r"[ \t\r\n]"
_KEY = r'[^\x00-\x20="\x7f]++'
_QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = r'[^\x00-\x20"\x7f]*+'
_is_logfmt = re.compile(
    rf"{_BLANK}*+(?:{_KEY}(?:=(?:{_QUOTED}|{_PLAIN}))?+(?:{_BLANK}++|$))++", re.DOTALL
).fullmatch
_find_pairs = re.compile(rf"({_KEY})(?:(=)(?:({_QUOTED})|({_PLAIN})))?", re.DOTALL).findall
_replace_escapes = re.compile(r"\\(.)", re.DOTALL).sub
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def parse_logfmt(text: str) -> dict[str, Any] | None:
    """Return the pairs of a line; None if it is not in logfmt."""
    if text[:1] in BEFORE:
        text = text.lstrip(BEFORE)
    if _is_logfmt(text) is None:
        return None
    pairs = _find_pairs(text)
    record = {
        key: (_unquote(quoted) if quoted else value) if equals else True
        for key, equals, quoted, value in pairs
    }
    if len(record) != len(pairs) or not any(equals for _, equals, _, _ in pairs):
        return None
    return record


LOGFMT = Format("in logfmt", parse_logfmt)


class LogfmtParser(LineParser):
    r"""Turn lines of `key=value` pairs (logfmt) into records.

    Takes `lines` events with `Lines` or a list of bytes, and passes on a list of dicts: the keys in
    the order of the line, with texts as values. Pairs are separated by blanks. A value may be
    quoted; then the escapes of JSON apply (``\"``, ``\\``, ``\n``, ``\u00e9`` and so on), and
    others are kept as they are. A value without quotes may have `=`, but neither blanks nor quotes.
    A key alone has the value True, and `key=` the empty text.

    A line without one `key=value` is no record, and neither is one in which a key comes twice.

    Lines that are no records are counted and left out; the state has the last 100 of them. If no
    record remains, the chain ends here. A piece of a line (`Lines.complete` is False, or
    `Lines.truncated` True) is never taken for a record. If the daemon exits when idle, and not one
    line of a file was a record, its exit status is 65.

    Statistics: `lines`, `records`, `unmatched`, `pieces` (of lines that were cut off or too long),
    `bad_utf8` (lines decoded with replacement) and `rejects_failed` (lines that could not be
    written to `rejects`).

    Promises:
        loss: Lines that are no records, and pieces of lines, are left out, and counted; `rejects`
            keeps them.
        duplicates: None of its own: a line that comes twice becomes two records.
        order: That of the lines.
        memory: One event, the last 100 lines that were left out, up to 200 characters of each, and
            the path of each file.
        threads: Its own. It waits only for the disk of `rejects`.

    Example:
        name = "logfmt"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["app.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:LogfmtParser"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "app.jsonl"
    """

    _format = LOGFMT


def _unquote(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        text: str = _decode(quoted)
    except ValueError:  # it has an escape that JSON does not know
        return _replace_escapes(_unescape, quoted[1:-1])
    return text if is_unicode(text) else _replace_escapes(_unescape, quoted[1:-1])


def _unescape(escape: re.Match[str]) -> str:
    return _ESCAPES.get(escape[1], escape[0])


_decode = json.JSONDecoder(strict=False).decode  # not strict: a text may have a tab, say
