"""The messages to a component's actor, except batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from zenactors.core.supervision import Supervision

if TYPE_CHECKING:
    from zenactors.core.tokens import Token


@dataclasses.dataclass(frozen=True, slots=True)
class SetUp:
    """Order a component's `setup`. Reported by `ComponentListener.setup_is_over`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Open:
    """Order descriptors and timers to call back from now on: every component has started."""


@dataclasses.dataclass(frozen=True, slots=True)
class Quiesce:
    """Order descriptors and timers to call back no more.

    Attributes:
        drains: True: the events under way are handled before the end.
    """

    drains: bool


@dataclasses.dataclass(frozen=True, slots=True)
class TearDown:
    """Order a component's `teardown`. Reported by `ComponentListener.teardown_is_over`."""


@dataclasses.dataclass(frozen=True, slots=True)
class TokensEnded:
    """Tell a component that tokens of its events have ended; it calls their `on_done`.

    Attributes:
        tokens: The tokens.
        is_last: True: it is about to be torn down, and need not report that it has done so.
    """

    tokens: list[Token]
    is_last: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class LeaveProcess:
    """Order the end of a forked child whose callback has returned."""


@dataclasses.dataclass(frozen=True, slots=True)
class ReadStatistics:
    """Ask for a component's statistics, as seen by `reader`."""

    reader: str


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """Ask for a call of `function(daemon)`. Answered by its result, and what it raised or None."""

    function: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ReadState:
    """Ask for a component's state."""


@dataclasses.dataclass(slots=True, eq=False)
class Change:
    """New options for one component.

    Attributes:
        old: Its options until now.
        new: Its options from now on.
        replacement: The object that replaces it if it has no `reconfigure`. None: the component
            itself is torn down and set up again.
        remake: Initialises the component itself again; for replicas, with the number of one, from
            0. None: it stays as it is.
        number: The number for `remake`, and in `supervision`.
        places: Where the configuration sets each option that is new, for errors.
        supervision: Its policy from now on; for `Replicas`, that of each. Empty: as it is.
        only_supervision: True: its options stay as they are, and so does its object if it works.
        policy: Its policy until now; set during the change.
        previous: The object that was replaced; set during the replacement.
        attributes: Its attributes, if it was initialised again.
        was_down: True if it was down before, and was made anew for its new options.
    """

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    replacement: Any = None
    remake: Callable[[Any, int], None] | None = None
    number: int = 0
    places: Mapping[str, str] = dataclasses.field(default_factory=dict)
    supervision: Sequence[Supervision] = ()
    only_supervision: bool = False
    policy: Supervision | None = None
    previous: Any = None
    attributes: dict[str, Any] | None = None
    was_down: bool = False


class ChangeTransaction(Protocol):
    """A transaction in which components change; see `zenactors.actors.reconfigure`."""

    changes: dict[int, Change]

    def begin(self, index: int) -> Change | None:
        """Return the change. None: it is too late, and the component keeps its options."""
        ...

    def finish(self, index: int) -> bool:
        """Note that a component has changed. False: it must roll back at once."""
        ...

    def fail(self, index: int, cause: BaseException) -> None:
        """Note that a component cannot change: the transaction fails."""
        ...

    def is_changed(self, index: int) -> bool:
        """Return True if a component has changed, and not rolled back."""
        ...

    def rolled_back(self, index: int) -> None:
        """Note that a component has its old options again."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Reconfigure:
    """Order a component to change. Answered through the transaction."""

    transaction: ChangeTransaction


@dataclasses.dataclass(frozen=True, slots=True)
class Rollback:
    """Order a component that has changed to roll back."""

    transaction: ChangeTransaction
