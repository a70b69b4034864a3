"""Keep the lines that were handed over since the last checkpoint of the outputs.

When components have left some of them undone, the outputs are cut back to that checkpoint, and all
of them are handed over again. They are kept because they may be nowhere else by then: their file
was deleted or truncated, or they came from standard input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenactors.components.tail.lines import Lines
    from zenactors.core.checkpoint_flow import Item

MOST_BYTES = 16 << 20  # kept until a checkpoint is taken
_TOO_MANY = 4 * MOST_BYTES  # if none can be taken
_COST = 1_000  # bytes of an event beside its lines, roughly


@dataclasses.dataclass(slots=True)
class SentLines:
    """Lines of one event.

    Attributes:
        key: The file.
        lines: The lines.
        position: Where to go on once they are done.
        item: What `Checkpoints.schedule` has returned for them last; None: nothing.
        times_left: How many times components have left them undone.
        is_given_up: They are not handed over again: a dead letter has them.
    """

    key: str
    lines: Lines
    position: Any
    item: Item | None = None
    times_left: int = 0
    is_given_up: bool = False


class KeptLines:
    """The lines since the last checkpoint, in the order in which they were handed over.

    Attributes:
        is_wanted: Lines are to be kept.
        is_complete: None of them is missing. If no checkpoint can be taken for long, they are
            forgotten, because there would be too many.
    """

    def __init__(self) -> None:
        self._kept: list[SentLines] = []
        self._bytes = 0
        self.is_wanted = False
        self.is_complete = True

    def __iter__(self) -> Iterator[SentLines]:
        return iter(self._kept)

    @property
    def is_full(self) -> bool:
        """True if it is time for a checkpoint."""
        return self._bytes >= MOST_BYTES

    def add(self, sent: SentLines) -> None:
        """Keep lines, if that is wanted."""
        if not self.is_wanted:
            return
        self._kept.append(sent)
        self._bytes += len(sent.lines.data) + _COST
        if self._bytes >= _TOO_MANY:
            self._kept.clear()
            self._bytes = 0
            self.is_complete = False

    def clear(self) -> None:
        """Forget the lines, because a checkpoint has them."""
        self._kept.clear()
        self._bytes = 0
        self.is_complete = True
