"""`Lines`: the data of a tailer's events, a stretch of one file. Pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lines:
    r"""A stretch of one file: whole lines, or one piece of a line.

    A line ends with ``\n``; a ``\r`` before it is part of the line.

    Attributes:
        path: The file, spelled as in the pattern.
        offset: The offset of `data` in the file.
        data: The bytes of the file, line ends included.
        complete: True: `data` is whole lines. False: it is a piece of one line that is
            unfinished, or longer than the limit, or was begun before the first byte that is read.
            The last piece ends with ``\n`` if the line has an end.
    """

    path: str
    offset: int
    data: bytes
    complete: bool = True

    def __len__(self) -> int:
        """Return the number of lines; a piece counts as one."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n") and bool(self.data))

    def lines(self) -> list[bytes]:
        """Return the lines without their line ends."""
        lines = self.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines

    def offsets(self) -> list[int]:
        """Return the offset in the file of each of `lines()`."""
        offsets = []
        offset = self.offset
        for line in self.lines():
            offsets.append(offset)
            offset += len(line) + 1
        return offsets
