"""`Lines`: the data of a tailer's events, a stretch of one file. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

_CHUNK_BYTES = 65_536
_SHORT_LINE_BYTES = 40


@dataclass(frozen=True, slots=True)
class Lines:
    r"""A stretch of one file: whole lines or records, or one piece of a line.

    `file_id`, `generation` and `offset` together identify a line for ever. Immutable, so any thread
    may use it.

    Attributes:
        path: The file as it was first found. It stays the same if the file is renamed.
        offset: The offset of `data` in the file, in bytes.
        data: The bytes of the file, line ends included.
        complete: True: `data` is whole lines. False: it is a piece of one line that is unfinished,
            or longer than the limit and split, or begun before the first byte that is read. The
            last piece ends with the delimiter if the line has an end. Of multi-line records, the
            last line is such a piece.
        file_id: The file itself: the same after a rename and after a restart.
        generation: How many times the file was truncated and began again at offset 0.
        delimiter: The bytes that end a line.
        encoding: The codec of the text, with its byte order: "utf-16-le", never "utf-16".
        starts: Where each multi-line record begins in `data`. None: each line is a record.
        truncated: The line was longer than the limit. `data` is its beginning and a delimiter; the
            file has more bytes in between.
        count: The number of lines or records if it is known already; otherwise they are counted.
    """

    path: str
    offset: int
    data: bytes
    complete: bool = True
    file_id: str = ""
    generation: int = 0
    delimiter: bytes = b"\n"
    encoding: str = "utf-8"
    starts: tuple[int, ...] | None = None
    truncated: bool = False
    count: int | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __len__(self) -> int:
        """Return the number of lines or records; a piece counts as one."""
        if self.count is not None:
            return self.count
        if self.starts is not None:
            return len(self.starts)
        return len(self._raw_lines())

    def lines(self) -> list[bytes]:
        r"""Return the lines or records without their line ends.

        If the delimiter is ``\n``, a ``\r`` before it belongs to the line end. A record keeps the
        line ends inside it. A byte order mark at the beginning of a file is kept.
        """
        lines = self._raw_lines()
        carriage_return = self._carriage_return()
        if not carriage_return or carriage_return not in self.data:
            return lines
        rest = [] if self.data.endswith(self.delimiter) else [lines.pop()]
        return [line.removesuffix(carriage_return) for line in lines] + rest

    def offsets(self) -> list[int]:
        """Return the offset in the file of each of `lines()`, in bytes."""
        if self.starts is not None:
            return [self.offset + start for start in self.starts]
        width = len(self.delimiter)
        lines = self._raw_lines()
        sizes = [len(line) + width for line in lines[:-1]]
        return list(accumulate(sizes, initial=self.offset)) if lines else []

    def texts(self) -> list[str]:
        """Return `lines()` decoded. U+FFFD replaces bytes that the encoding does not have.

        A byte order mark at the beginning of the file is not part of the first text.
        """
        texts = self._decoded_as_a_whole()
        if texts is None:
            texts = self._decoded_one_by_one()
        if texts and not self.offset:
            texts[0] = texts[0].removeprefix("\ufeff")
        return texts

    def bad_lines(self) -> int:
        """Return how many of `lines()` have bytes that the encoding does not have."""
        begins_character = not self.offset % self._unit
        if begins_character and not self._is_bad(self.data):
            return 0
        return sum(map(self._is_bad, self.lines()))

    @property
    def _unit(self) -> int:
        return unit_of(self.encoding)

    def _raw_lines(self) -> list[bytes]:
        if self.truncated:  # its end and the delimiter may look like an earlier delimiter
            return [self.data.removesuffix(self.delimiter)]
        if self.starts is None:
            return split_lines(self.data, self.delimiter, self._unit, self.offset)
        width = len(self.delimiter)
        ends = [start - width for start in self.starts[1:]]
        ends.append(len(self.data) - (width if self.complete else 0))
        return [self.data[start:end] for start, end in zip(self.starts, ends, strict=True)]

    def _carriage_return(self) -> bytes:
        newline = "\n".encode(self.encoding)
        return "\r".encode(self.encoding) if self.delimiter == newline else b""

    def _decoded_as_a_whole(self) -> list[str] | None:
        """Return the texts, or None if they have to be decoded one by one."""
        if self.truncated or self.starts is not None or self.offset % self._unit:
            return None
        try:
            text = self._decode(self.data, "strict")
        except UnicodeDecodeError:
            return None
        if self._carriage_return():
            text = text.replace("\r\n", "\n")
        texts = text.split(self.delimiter.decode(self.encoding))
        if not texts[-1]:
            texts.pop()
        return texts

    def _decoded_one_by_one(self) -> list[str]:
        lines = self.lines()
        texts = [self._decode(line, "replace") for line in lines]
        part = -self.offset % self._unit
        if texts and part:  # the first line begins inside a code unit
            texts[0] = "\ufffd" + self._decode(lines[0][part:], "replace")
        return texts

    def _decode(self, data: bytes, errors: str) -> str:
        return data.decode(self.encoding, errors)

    def _is_bad(self, line: bytes) -> bool:
        try:
            self._decode(line, "strict")
        except UnicodeDecodeError:
            return True
        return False


def unit_of(encoding: str) -> int:
    """Return the bytes of a code unit: 2 for UTF-16 and 4 for UTF-32 with a byte order, else 1."""
    return {"utf-16": 2, "utf-32": 4}.get(encoding[:6], 1)


def find_delimiter(data: bytes, delimiter: bytes, unit: int, offset: int, begin: int) -> int:
    """Return where the first delimiter at or behind `begin` is, or -1.

    Args:
        data: Where to look.
        delimiter: The bytes to look for.
        unit: Only a multiple of this counts, from the first byte of the file.
        offset: The offset of `data` in the file.
        begin: Where to begin in `data`.
    """
    at = data.find(delimiter, begin)
    while at >= 0 and (offset + at) % unit:
        at = data.find(delimiter, at + 1)
    return at


def split_lines(data: bytes, delimiter: bytes, unit: int, offset: int) -> list[bytes]:
    """Return the lines in `data` without delimiters; the last one need not have an end."""
    if unit == 1:
        lines = data.split(delimiter)
    else:
        lines = []
        begin = 0
        while (at := find_delimiter(data, delimiter, unit, offset, begin)) >= 0:
            lines.append(data[begin:at])
            begin = at + len(delimiter)
        lines.append(data[begin:])
    if not lines[-1]:
        lines.pop()
    return lines


def count_delimiters(data: bytes, delimiter: bytes, unit: int, offset: int) -> int:
    """Return the number of lines in `data`, all of which have an end."""
    if unit > 1:
        return len(split_lines(data, delimiter, unit, offset))
    if len(delimiter) > 1:
        return data.count(delimiter)
    # Python compares every byte to count one, but has memchr look for one to leave out. Therefore
    # leaving out is several times as fast, unless lines are short.
    found = 0
    dense = len(data) < _CHUNK_BYTES
    for begin in range(0, len(data), _CHUNK_BYTES):
        if dense:
            count = data.count(delimiter, begin, begin + _CHUNK_BYTES)
        else:
            chunk = data[begin : begin + _CHUNK_BYTES]
            count = len(chunk) - len(chunk.replace(delimiter, b""))
        dense = count > _CHUNK_BYTES // _SHORT_LINE_BYTES
        found += count
    return found
