"""The base of sources whose lines come out of a stream: standard input, or a program's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from zenactors.components.sources.base import AcknowledgingSource
from zenactors.components.tail.cutter_rules import CutterRules, rules_for
from zenactors.components.tail.lines import Lines
from zenactors.components.tail.streams import Stream
from zenactors.core.callbacks import handles
from zenactors.core.daemon_api import Daemon


class LineStreamSource(AcknowledgingSource):
    """Hand over the lines of streams, and read no more of them while too many are unfinished."""

    def __init__(
        self,
        *,
        max_line_bytes: int,
        long_lines: Literal["truncate", "split", "skip"],
        encoding: str,
        delimiter: str | None,
        name: str | None,
        event_map: Mapping[str, str] | None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self._line_options = (max_line_bytes, long_lines, encoding, delimiter)
        self._rules_for(b"")  # checks them
        self._streams: list[Stream] = []

    def on_room(self) -> None:
        """Read on."""
        for stream in self._streams:
            stream.wait()

    @handles("stop")
    def cbk_event_stop(self, daemon: Daemon, args: object) -> None:
        """Hand over a last line without an end: what was read cannot be read again."""
        for stream in self._streams:
            if not stream.has_ended:
                stream.flush()

    def teardown(self, daemon: Daemon) -> None:
        """Close the streams. A subclass calls this, too."""
        streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()
        super().teardown(daemon)

    def _hand_on(self, lines: Lines) -> None:
        self.inc_statistic("lines", len(lines))
        self.inc_statistic("bytes", len(lines.data))
        if lines.truncated:
            self.inc_statistic("lines_truncated")
        self.hand_over(lines, size=len(lines.data))

    def _rules_for(self, head: bytes) -> CutterRules:
        max_line_bytes, long_lines, encoding, delimiter = self._line_options
        return rules_for(
            encoding, delimiter, head, max_line_bytes=max_line_bytes, long_lines=long_lines
        )
