"""Hand pieces of files over as `Lines`, with what identifies them and their positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zenactors.components.tail.file_record import Position
from zenactors.components.tail.identity import NO_MARK, mark_of
from zenactors.components.tail.memory import Memory

if TYPE_CHECKING:
    from zenactors.components.tail.delivery import Delivery
    from zenactors.components.tail.followed import Followed
    from zenactors.components.tail.lines import Lines
    from zenactors.components.tail.piece import Piece
    from zenactors.core.component import ZenDaemonComponent


class Handover:
    """Hand lines over.

    Args:
        tailer: Its statistics count them.
        memory: If it lasts, lines have positions.
        delivery: Takes the lines.

    Attributes:
        on_sent: Called when something was handed over; None: nothing is.
    """

    def __init__(self, tailer: ZenDaemonComponent, memory: Memory, delivery: Delivery) -> None:
        self._tailer = tailer
        self._memory = memory
        self._delivery = delivery
        self.on_sent: Callable[[], object] | None = None

    def pieces(self, followed: Followed, pieces: list[Piece], *, last: bool = False) -> None:
        """Hand over pieces of a file. A line in pieces counts once: with its end."""
        cutter = followed.cutter
        for piece in pieces:
            assert cutter is not None
            record = followed.record
            lines = piece.to_lines(
                cutter.rules,
                path=record.path,
                file_id=record.file_id,
                generation=followed.generation,
            )
            position = None
            # What was overtaken has the key of what is read now, which must not go back.
            if self._memory.lasts and not (followed.is_rest and followed.is_overtaken):
                whole = piece.end == piece.offset + len(piece.data) and not piece.truncated
                if whole:
                    mark = mark_of(piece.data)
                else:
                    is_last = piece.end == followed.done_offset
                    mark = followed.position().mark if is_last else NO_MARK
                position = Position(followed.generation, piece.end, mark, piece.within).as_json()
            self._tailer.inc_statistic("lines", max(piece.lines, last))
            self._delivery.put(record.file_id, lines, position)
        if pieces and self.on_sent is not None:
            self.on_sent()

    def lines(self, lines: Lines) -> None:
        """Hand over lines of a stream."""
        self._tailer.inc_statistic("bytes", len(lines.data))
        self._tailer.inc_statistic("lines", len(lines))
        self._delivery.put("", lines, None)
        if self.on_sent is not None:
            self.on_sent()
