"""Join whole lines to multi-line records. Pure: pieces in, pieces out."""

from __future__ import annotations

from dataclasses import replace

from zenactors.components.tail.cutter_rules import CutterRules
from zenactors.components.tail.lines import Lines
from zenactors.components.tail.piece import Piece


class RecordJoiner:
    """Hold the last record of a file until its end is known.

    A record ends where the next one begins. A line begins one if it matches the pattern, if it is
    the first line, or if the record before has reached a limit. A truncated line and a piece of a
    line end the record before them and are returned as they are.

    Args:
        rules: The pattern and the limits; `multiline` must not be None.

    Attributes:
        records_cut: How many times a record reached a limit, so that its rest became another one.
    """

    __slots__ = ("_held", "_lines", "_start", "records_cut", "rules")

    def __init__(self, rules: CutterRules) -> None:
        self.rules = rules
        self.records_cut = 0
        self._held = bytearray()  # one record, whole lines
        self._start = 0  # its offset in the file
        self._lines = 0  # how many lines it has

    @property
    def held_bytes(self) -> int:
        """How many bytes are held."""
        return len(self._held)

    @property
    def held_offset(self) -> int:
        """The offset of the first byte that is held; meaningless if none is."""
        return self._start

    def add(self, piece: Piece) -> list[Piece]:
        """Return the records that the piece completes."""
        if not piece.complete or piece.truncated:
            return [*self.flush(), piece]
        out = [] if self._continues(piece) else self.flush()
        lines_before = self._lines
        starts = [self._start] if self._held else []
        self._find_starts(piece, starts)
        cut = starts[-1] - piece.offset
        if len(starts) > 1:  # otherwise the record that is held goes on
            data = b"".join((self._held, memoryview(piece.data)[:cut]))
            lines = lines_before + piece.lines - self._lines
            out.append(_records(starts[:-1], data, lines))
            self._held.clear()
        self._held += memoryview(piece.data)[max(cut, 0) :]
        self._start = starts[-1]
        return out

    def finish(self, piece: Piece) -> list[Piece]:
        """Return the held record and an unfinished line, which is perhaps the record's last one."""
        (text,) = self._lines_of(piece).texts()
        if not self._held or not self._continues(piece) or self._begins(text, piece.end):
            return [*self.flush(), piece]
        data = b"".join((self._held, piece.data))
        joined = replace(piece, offset=self._start, data=data, lines=self._lines, starts=(0,))
        self._forget()
        return [joined]

    def flush(self) -> list[Piece]:
        """Return what is held as a record."""
        if not self._held:
            return []
        record = _records([self._start], bytes(self._held), self._lines)
        self._forget()
        return [record]

    def _continues(self, piece: Piece) -> bool:
        """Return whether the piece follows what is held: a skipped line leaves a gap."""
        return self._start + len(self._held) == piece.offset

    def _lines_of(self, piece: Piece) -> Lines:
        return piece.to_lines(self.rules, path="")

    def _find_starts(self, piece: Piece, starts: list[int]) -> None:
        """Append the offset in the file of each record that begins in the piece."""
        lines = self._lines_of(piece)
        width = len(self.rules.delimiter)
        offsets = lines.offsets()
        ends = [*offsets[1:], piece.offset + len(piece.data)]
        for text, offset, end in zip(lines.texts(), offsets, ends, strict=True):
            if not starts or self._begins(text, end - width):
                starts.append(offset)
                self._start = offset
                self._lines = 0
            self._lines += 1

    def _begins(self, text: str, end: int) -> bool:
        """Return whether a line begins a record, although another one precedes it."""
        rules = self.rules
        assert rules.multiline is not None
        if rules.multiline.match(text):
            return True
        full = self._lines >= rules.max_record_lines or end - self._start > rules.max_record_bytes
        self.records_cut += full
        return full

    def _forget(self) -> None:
        self._held.clear()
        self._lines = 0


def _records(starts: list[int], data: bytes, lines: int) -> Piece:
    offset = starts[0]
    relative = tuple([start - offset for start in starts])
    return Piece(offset, offset + len(data), data, lines, starts=relative)
