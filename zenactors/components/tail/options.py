"""The options of a tailer, checked."""

from __future__ import annotations

import dataclasses
from typing import Literal

from zenactors.components._options import check_bool, check_count, check_positive
from zenactors.components.tail.cutter_rules import CutterRules, rules_for


@dataclasses.dataclass(frozen=True, kw_only=True)
class TailOptions:
    """How files are followed; see `FileTailer`.

    Raises:
        ValueError: A value is wrong.
    """

    start: Literal["beginning", "end"]
    poll_interval: float
    max_line_bytes: int
    long_lines: Literal["truncate", "split", "skip"]
    encoding: str
    delimiter: str | None
    multiline: str | None
    multiline_timeout: float
    max_record_lines: int
    line_timeout: float | None
    rate_limit: float | None
    rotate_wait: float
    notifications: bool
    exactly_once: bool
    _rules: CutterRules = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.start not in ("beginning", "end"):
            raise ValueError(f"start is {self.start!r}, but 'beginning' or 'end' is expected.")
        check_count("max_line_bytes", self.max_line_bytes)
        check_count("max_record_lines", self.max_record_lines)
        for option in ("poll_interval", "multiline_timeout", "rotate_wait"):
            check_positive(option, getattr(self, option), unit="seconds")
        if self.line_timeout is not None:
            check_positive("line_timeout", self.line_timeout, unit="seconds")
        if self.rate_limit is not None:
            check_positive("rate_limit", self.rate_limit, unit="lines a second")
        check_bool("notifications", self.notifications)
        check_bool("exactly_once", self.exactly_once)
        object.__setattr__(self, "_rules", self._make_rules(b""))

    def _make_rules(self, head: bytes) -> CutterRules:
        return rules_for(
            self.encoding,
            self.delimiter,
            head,
            max_line_bytes=self.max_line_bytes,
            long_lines=self.long_lines,
            multiline=self.multiline,
            max_record_lines=self.max_record_lines,
        )

    def rules_for(self, head: bytes) -> CutterRules:
        """Return the rules for a file that begins with these bytes: its byte order may differ."""
        return self._rules if self._rules.unit == 1 else self._make_rules(head)

    @property
    def hold_time(self) -> float | None:
        """Seconds until what is held of a file is handed over; None: not before its end."""
        return self.line_timeout if self.multiline is None else self.multiline_timeout
