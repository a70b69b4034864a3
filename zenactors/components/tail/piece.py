"""`Piece`: a stretch of a file, as a `LineCutter` returns it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zenactors.components.tail.cutter_rules import CutterRules
from zenactors.components.tail.lines import Lines

Within = Literal["", "piece", "drop"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines or records, or a piece of one line, as a `LineCutter` returns them.

    Attributes:
        offset: The offset of `data` in the file.
        end: The offset at which reading goes on once this piece and all before it are done. It is
            behind `data` and behind the bytes dropped so far.
        data: Bytes of the file, delimiters included.
        lines: How many lines end in it.
        complete: False: a piece of a line, or records of which the last line is unfinished.
        truncated: `data` is the beginning of a line and a delimiter.
        starts: Where each multi-line record begins in `data`; None: they are lines.
        within: The `within` of a `LineCutter` that goes on at `end`.
    """

    offset: int
    end: int
    data: bytes
    lines: int
    complete: bool = True
    truncated: bool = False
    starts: tuple[int, ...] | None = None
    within: Within = ""

    def to_lines(
        self, rules: CutterRules, *, path: str, file_id: str = "", generation: int = 0
    ) -> Lines:
        """Return the piece as the data of an event; does not copy or count anything."""
        count = self.lines if self.complete else max(self.lines, 1)
        return Lines(
            path,
            self.offset,
            self.data,
            self.complete,
            file_id,
            generation,
            rules.delimiter,
            rules.encoding,
            self.starts,
            self.truncated,
            count=count if self.starts is None else len(self.starts),
        )
