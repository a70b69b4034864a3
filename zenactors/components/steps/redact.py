"""Hide secrets in records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from zenactors.components._options import check_strings
from zenactors.components.steps.base import RecordStep
from zenactors.core.daemon_api import Daemon
from zenactors.secret_text import REDACTED, SECRET, redacted, without_arguments

_MAX_DEPTH = 20  # deeper values are cut
_CUT = "…"


class Redact(RecordStep):
    """Replace secrets in records by `***`.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. By
    default it hides what zenactors hides in its own logs and states: values whose keys look like
    those of a secret (`password`, `api_key`, `Authorization` and so on), passwords in URLs, and
    what follows `password=` or `--token` in a text. `keys` and `patterns` add to that.

    Tables and lists are searched 20 levels deep; deeper values are cut. Texts and bytes are
    searched as a whole. Objects of other types stay as they are.

    Statistics: `records` that came, `passed_on`, and `redacted` records, in which something was
    hidden.

    Promises:
        loss: No record is lost. What is hidden cannot be brought back.
        duplicates: None of its own. After a crash, records of events that were not done come again.
        order: Records keep their order.
        memory: One event at a time; nothing is kept. A changed record is a copy.
        threads: Works in its own thread. The default takes linear time; a pattern of yours takes
            what it takes.

    Args:
        keys: Further keys whose values are hidden, at any depth and in any case of letters.
        patterns: Regular expressions; what they match in a text becomes `***`.
        defaults: Hide also what zenactors itself takes for a secret.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "redact"
        schedule = [["lines", [{ url = "http://ann:pw@host/", card = "4000-1234", token = "x" }]]]

        [[component]]
        use = "zenactors.components:Redact"
        options = { patterns = ['\\d{4}-\\d{4}'] }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
    """

    def __init__(
        self,
        *,
        keys: list[str] | None = None,
        patterns: list[str] | None = None,
        defaults: bool = True,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        if not isinstance(defaults, bool):
            raise ValueError(f"defaults is {defaults!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self.keys = check_strings("keys", keys or [], of="keys", example='["card"]')
        self.patterns = check_strings(
            "patterns", patterns or [], of="regular expressions", example=r"['\d{16}']"
        )
        self.defaults = defaults
        if not (self.keys or self.patterns or defaults):
            raise ValueError("Redact would hide nothing: give keys or patterns.")
        self._keys = {key.lower() for key in self.keys}
        self._patterns = [_compiled(pattern) for pattern in self.patterns]

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        """Return the records without secrets; one that has none is the same object."""
        passed_on = [self._hidden(record, _MAX_DEPTH, ()) for record in records]
        changed = sum(new is not old for new, old in zip(passed_on, records, strict=True))
        if changed:
            self.inc_statistic("redacted", changed)
        return passed_on

    def _hidden(self, value: Any, depth: int, inside: tuple[int, ...]) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bytes):
            text = value.decode(errors="surrogateescape")
            new = self._text(text)
            return value if new is text else new.encode(errors="surrogateescape")
        if not isinstance(value, Mapping | list | tuple | set | frozenset):
            return value
        if depth <= 0 or id(value) in inside:
            return _CUT
        inside = (*inside, id(value))
        if isinstance(value, Mapping):
            return self._table(value, depth, inside)
        parts = without_arguments(value) if self.defaults else iter(value)
        new_parts = [self._hidden(each, depth - 1, inside) for each in parts]
        if all(map(_is_same, new_parts, value)):
            return value
        return _like(value, new_parts)

    def _table(self, table: Mapping[Any, Any], depth: int, inside: tuple[int, ...]) -> Any:
        found: dict[Any, Any] = {}
        is_same = True
        for key, each in table.items():
            if self._is_secret(str(key)):
                new: Any = each if each == REDACTED else REDACTED
            else:
                new = self._hidden(each, depth - 1, inside)
            new_key = self._text(key) if isinstance(key, str) else key
            found[new_key] = new
            is_same = is_same and new is each and new_key is key
        return table if is_same else found

    def _is_secret(self, key: str) -> bool:
        return key.lower() in self._keys or (self.defaults and bool(SECRET.search(key)))

    def _text(self, text: str) -> str:
        new = redacted(text) if self.defaults else text
        for pattern in self._patterns:
            new = pattern.sub(REDACTED, new)
        return text if new == text else new


def _is_same(new: Any, old: Any) -> bool:
    return new is old


def _like(value: Iterable[Any], parts: list[Any]) -> Any:
    """Return the parts in a collection as the value is one."""
    if isinstance(value, tuple):
        return tuple(parts)
    if isinstance(value, set | frozenset):
        return type(value)(parts)
    return parts


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as cause:
        raise ValueError(
            f"patterns has {pattern!r}, which is no regular expression: {cause}."
        ) from cause
