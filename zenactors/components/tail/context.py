"""What the parts of a tailer share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from zenactors.components._files import Files
    from zenactors.components.tail.cutter_rules import CutterRules
    from zenactors.components.tail.fates import Fates
    from zenactors.components.tail.followed import Followed
    from zenactors.components.tail.identity import Identities
    from zenactors.components.tail.memory import Memory
    from zenactors.components.tail.piece import Piece
    from zenactors.components.tail.problems import Problems
    from zenactors.core.clock import Clock


class HandOver(Protocol):
    """Hands over pieces of a file; `last`: the end of a line in them will not come."""

    def __call__(self, followed: Followed, pieces: list[Piece], *, last: bool = False) -> None:
        """Hand over the pieces."""
        ...


@dataclasses.dataclass(frozen=True)
class TailContext:
    """What the parts of a tailer share.

    Attributes:
        files: The file system.
        identities: Tell files apart.
        memory: What is remembered of them.
        problems: Get the errors.
        fates: Get what happened.
        clock: The source of time.
        rules_for: Returns the rules for a file that begins with these bytes.
        hand_over: Hands over pieces of a file.
    """

    files: Files
    identities: Identities
    memory: Memory
    problems: Problems
    fates: Fates
    clock: Clock
    rules_for: Callable[[bytes], CutterRules]
    hand_over: HandOver
