"""Parse lines that a regular expression matches into records."""

from __future__ import annotations

import re
from typing import Any, Unpack

from zenactors.components.parsers.base import LineParser, ParserOptions
from zenactors.components.parsers.format import Format


def regex_format(pattern: str | None) -> Format:
    """Return the format of lines that a pattern matches.

    Raises:
        ValueError: The pattern is wrong.
    """
    search = _compile(pattern).search

    def parse_regex(text: str) -> dict[str, Any] | None:
        try:
            match = search(text)
        except SystemError:  # a bug of `re`: some groups within possessive repetitions
            return None
        return None if match is None else match.groupdict()

    return Format("matched by the pattern", parse_regex)


class RegexParser(LineParser):
    r"""Turn lines that a regular expression matches into records of its named groups.

    Takes `lines` events with `Lines` or a list of bytes, and passes on a list of dicts: for each
    named group of the pattern what it has matched, a text, or None if it took no part.

    The match may begin anywhere in the line; `^` and `$` tie it to the ends. A record of several
    lines is one text: a dot does not match its line breaks unless the pattern begins with `(?s)`.
    A pattern such as ``(a+)+b`` takes endless time for some lines: write ``(a++)+b``, or do not
    repeat what is repeated.

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
        threads: Its own. It waits only for the disk of `rejects`; the time that a pattern takes is
            not bounded.

    Args:
        pattern: A regular expression of the module `re` with one or more named groups,
            ``(?P<name>...)``.
        **common: The options of all parsers: `add_source` and `rejects`.

    Example:
        name = "logins"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["auth.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:RegexParser"
        [component.options]
        pattern = 'Failed password for (?P<user>\S+) from (?P<address>\S+)'

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "logins.jsonl"
    """

    def __init__(
        self,
        *,
        pattern: str,
        **common: Unpack[ParserOptions],
    ) -> None:
        super().__init__(**common)
        self.pattern = pattern
        self._format = regex_format(pattern)


def _compile(pattern: Any) -> re.Pattern[str]:
    if not isinstance(pattern, str) or not pattern:
        raise ValueError(
            f"pattern is {pattern!r}, but a regular expression with named groups is expected."
        )
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as cause:
        raise ValueError(f"pattern is {pattern!r}, which is no regular expression: {cause}.") from (
            cause
        )
    if not compiled.groupindex:
        raise ValueError(
            f"pattern is {pattern!r}, which has no named group: name what a record shall have,"
            " as in (?P<user>[a-z]+)."
        )
    return compiled
