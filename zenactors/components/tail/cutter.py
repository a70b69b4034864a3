"""Cut the bytes of a file into lines and records. Pure: bytes in, pieces out."""

from __future__ import annotations

import codecs

from zenactors.components.tail.cutter_rules import CutterRules, rules_for
from zenactors.components.tail.lines import count_delimiters, find_delimiter
from zenactors.components.tail.piece import Piece, Within
from zenactors.components.tail.records import RecordJoiner

__all__ = ["CutterRules", "LineCutter", "Piece", "rules_for"]


class LineCutter:
    """Cut one file into pieces. Blocks must be fed in file order, without gaps.

    The pieces are the same wherever blocks end. Memory is bounded by about the limits of a line and
    a record plus one block, also if a line never ends.

    Args:
        rules: How to cut.
        offset: The offset of the first byte that will be fed.
        within: "piece": that byte is inside a line, of which the rest is returned as a piece.
            "drop": the rest of that line is dropped. "": a line begins there.

    Attributes:
        offset: The offset behind the last byte fed.
        lines_truncated: How many lines were truncated.
        lines_split: How many lines were returned in pieces because of their length.
        lines_skipped: How many lines were left out.
    """

    __slots__ = (
        "_forwards",
        "_held",
        "_records",
        "_tail",
        "_width",
        "_within",
        "lines_skipped",
        "lines_split",
        "lines_truncated",
        "offset",
        "rules",
    )

    def __init__(self, rules: CutterRules, *, offset: int = 0, within: Within = "") -> None:
        self.rules = rules
        self.offset = offset
        self.lines_truncated = 0
        self.lines_split = 0
        self.lines_skipped = 0
        self._within: Within = within
        self._width = len(rules.delimiter)
        self._forwards = _overlaps_itself(rules.delimiter, rules.unit)
        # A line without its end. It contains no delimiter; `_tail` is perhaps the beginning of one.
        self._held = bytearray()
        self._tail = b""
        self._records = None if rules.multiline is None else RecordJoiner(rules)

    @property
    def held_bytes(self) -> int:
        """How many bytes were fed, but neither returned nor dropped yet."""
        records = self._records.held_bytes if self._records else 0
        return records + len(self._held) + len(self._tail)

    @property
    def held_offset(self) -> int:
        """The offset of the first byte that was neither returned nor dropped yet."""
        if self._records and self._records.held_bytes:
            return self._records.held_offset
        return self.offset - len(self._tail) - len(self._held)

    @property
    def within(self) -> Within:
        """The `within` of another cutter that begins at `held_offset`."""
        return "" if self._records and self._records.held_bytes else self._within

    @property
    def records_cut(self) -> int:
        """How many times a record reached a limit, so that its rest became another one."""
        return self._records.records_cut if self._records else 0

    def change_limits(self, rules: CutterRules) -> None:
        """Keep to other limits from the next block on.

        Raises:
            ValueError: The rules differ in more than limits: they are for another cutter.
        """
        before = self.rules
        if (before.delimiter, before.encoding, before.multiline) != (
            rules.delimiter,
            rules.encoding,
            rules.multiline,
        ):
            raise ValueError(
                "delimiter, encoding and multiline of a file cannot change while it is read:"
                " flush this LineCutter, and make another one."
            )
        self.rules = rules
        if self._records:
            self._records.rules = rules

    def feed(self, block: bytes) -> list[Piece]:
        """Return the pieces that the block completes, in file order."""
        pieces = self._cut(block) if block else []
        return pieces if self._records is None else self._join(self._records, pieces)

    def flush(self) -> list[Piece]:
        """Return all that is held; an unfinished line comes as an incomplete piece.

        For the end of a file. If it goes on nevertheless, the rest of the line is another piece,
        and a delimiter of several bytes that was half fed is no longer found.
        """
        pieces = self._flush_line()
        if self._records is None:
            return pieces
        if len(pieces) == 1 and not pieces[0].complete:
            return self._records.finish(pieces[0])
        return self._join(self._records, pieces) + self._records.flush()

    def flush_record(self) -> list[Piece]:
        """Return the whole lines that are held as a record. An unfinished line stays held.

        For a record that got no more lines for some time. More lines of it become another record.
        """
        return self._records.flush() if self._records else []

    def _join(self, records: RecordJoiner, pieces: list[Piece]) -> list[Piece]:
        return [record for piece in pieces for record in records.add(piece)]

    def _cut(self, block: bytes) -> list[Piece]:
        base = self.offset - len(self._tail)
        self.offset += len(block)
        if self._tail:
            block = self._tail + block
            self._tail = b""
        out: list[Piece] = []
        limit = self.rules.max_line_bytes
        begin = end = 0  # of the whole lines that make the next piece
        if self._held or self._within:
            at = self._find(block, base, 0)
            if at < 0:
                self._hold(block, out)
                return out
            end = at + self._width
            if self._within or len(self._held) + at > limit:
                self._end_line(block[:at], base + end, out)
                begin = end
        while True:
            end = self._last_end(block, base, end)
            if end > begin:
                out.append(self._whole_lines(block, base, begin, end))
            if len(block) - end <= limit:
                break
            at = self._find(block, base, end + limit + 1)
            if at < 0:
                break
            begin = at + self._width
            self._end_line(block[end:at], base + begin, out)
            end = begin
        if end < len(block):
            self._hold(block[end:], out)
        return out

    def _find(self, block: bytes, base: int, begin: int) -> int:
        return find_delimiter(block, self.rules.delimiter, self.rules.unit, base, begin)

    def _last_end(self, block: bytes, base: int, end: int) -> int:
        """Return the end of the last line before one that is too long or unfinished.

        Does not look at each line, only at the last one within `max_line_bytes` each time.
        """
        delimiter, unit, width = self.rules.delimiter, self.rules.unit, self._width
        limit = self.rules.max_line_bytes
        if self._forwards:
            while 0 <= (at := self._find(block, base, end)) <= end + limit:
                end = at + width
            return end
        while True:
            at = block.rfind(delimiter, end, end + limit + width)
            while at >= 0 and (base + at) % unit:
                at = block.rfind(delimiter, end, at + width - 1)
            if at < 0:
                return end
            end = at + width

    def _whole_lines(self, block: bytes, base: int, begin: int, end: int) -> Piece:
        offset = base + begin
        if self._held:
            offset -= len(self._held)
            data = b"".join((self._held, memoryview(block)[begin:end]))
            self._held.clear()
        else:
            data = block[begin:end]
        lines = count_delimiters(data, self.rules.delimiter, self.rules.unit, offset)
        return Piece(offset, base + end, data, lines)

    def _hold(self, data: bytes, out: list[Piece]) -> None:
        """Hold data without a delimiter, unless it makes the line too long."""
        self._tail = _begun(self.rules.delimiter, data)
        if self._within != "drop":
            self._held += data[: len(data) - len(self._tail)]
            if len(self._held) > self.rules.max_line_bytes:
                self._shorten(out)

    def _shorten(self, out: list[Piece]) -> None:
        """Return as much of a long line as can be returned before its end is known."""
        end = self.offset - len(self._tail)
        start = end - len(self._held)
        if self.rules.long_lines == "split":
            self.lines_split += not self._within
            self._split(start, out)
            return
        self._cut_off(bytes(self._held), start, end, "drop", out)
        self._held.clear()
        self._within = "drop"

    def _split(self, start: int, out: list[Piece]) -> None:
        """Take pieces off the held line, all but the last."""
        limit = self.rules.max_line_bytes
        begin = 0
        while len(self._held) - begin > limit:
            data = bytes(self._held[begin : begin + limit])
            begin += limit
            end = start + begin
            out.append(Piece(end - limit, end, data, 0, complete=False, within="piece"))
        del self._held[:begin]
        self._within = "piece"

    def _cut_off(self, line: bytes, start: int, end: int, within: Within, out: list[Piece]) -> None:
        """Return the beginning of a long line, or skip it."""
        if self.rules.long_lines == "skip":
            self.lines_skipped += 1
            return
        self.lines_truncated += 1
        data = line[: self._boundary(line, start)] + self.rules.delimiter
        complete = self._within != "piece"
        out.append(Piece(start, end, data, 1, complete, truncated=True, within=within))

    def _boundary(self, line: bytes, start: int) -> int:
        """Return the length of the longest beginning within the limit that ends a character."""
        decoder = codecs.getincrementaldecoder(self.rules.encoding)("replace")
        limit = self.rules.max_line_bytes
        decoder.decode(line[-start % self.rules.unit : limit])
        return limit - len(decoder.getstate()[0])

    def _end_line(self, rest: bytes, end: int, out: list[Piece]) -> None:
        """Return the held line, of which `rest` and a delimiter were found. It ends at `end`."""
        if self._within != "drop":
            self._held += rest
            start = end - self._width - len(self._held)
            long = len(self._held) > self.rules.max_line_bytes
            if long and self.rules.long_lines != "split":
                self._cut_off(bytes(self._held), start, end, "", out)
            else:
                if long:
                    self.lines_split += not self._within
                    self._split(start, out)
                data = b"".join((self._held, self.rules.delimiter))
                out.append(Piece(end - len(data), end, data, 1, complete=False))
        self._held.clear()
        self._within = ""

    def _flush_line(self) -> list[Piece]:
        out: list[Piece] = []
        tail, self._tail = self._tail, b""
        if self._within != "drop":
            self._held += tail
        if len(self._held) > self.rules.max_line_bytes:
            self._shorten(out)
        if self._held:
            data = bytes(self._held)
            start = self.offset - len(data)
            out.append(Piece(start, self.offset, data, 0, complete=False, within="piece"))
            self._held.clear()
            self._within = "piece"
        return out


def _begun(delimiter: bytes, data: bytes) -> bytes:
    """Return the end of `data` that is the beginning of a delimiter: the longest such end."""
    for size in range(min(len(delimiter) - 1, len(data)), 0, -1):
        if data.endswith(delimiter[:size]):
            return delimiter[:size]
    return b""


def _overlaps_itself(delimiter: bytes, unit: int) -> bool:
    """Return whether two delimiters can overlap, so that they must be looked for forwards."""
    return any(delimiter.endswith(delimiter[:size]) for size in range(unit, len(delimiter), unit))
