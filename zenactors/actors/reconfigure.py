"""A reload as the components see it: all of them get their new options, or none does.

Each component changes in its own thread, between two of its events. Whoever reloads waits for
all of them; if one fails, or is not through in time, those that have changed change back.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(slots=True, eq=False)
class Change:
    """New options for one component.

    Attributes:
        old: Its options until now.
        new: Its options from now on.
        replacement: What takes its place if it has no `reconfigure`. None: the component itself
            is torn down and set up again.
        previous: What stood in its place before; set while it is being replaced.
    """

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    replacement: Any = None
    previous: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reconfigure:
    """Order a component to change. Answered through the `Reconfiguration`."""

    reload: Reconfiguration


@dataclasses.dataclass(frozen=True, slots=True)
class Rollback:
    """Order a component that has changed to change back."""

    reload: Reconfiguration


class Reconfiguration:
    """One reload: who has changed, and whether it counts. Thread: any.

    Args:
        changes: By the component's index.
        on_rollback: Called once if the reload does not count, before anybody changes back.
        notify: Called when a component has answered.
    """

    def __init__(
        self,
        changes: Mapping[int, Change],
        on_rollback: Callable[[], None],
        notify: Callable[[], None],
    ) -> None:
        self.changes = dict(changes)
        self._give_up = on_rollback
        self._notify = notify
        self._lock = threading.Lock()
        self._counts: bool | None = None  # None: not decided yet
        self._busy: set[int] = set()
        self._changed: set[int] = set()
        self._failures: dict[int, BaseException] = {}

    # --- what whoever reloads asks ------------------------------------------------------------

    def answered(self) -> bool:
        """Return True if all have changed, or one could not."""
        with self._lock:
            return bool(self._failures) or len(self._changed) == len(self.changes)

    def decide(self) -> bool:
        """Decide whether it counts: True if all have changed. If not, nobody changes any more."""
        with self._lock:
            self._decide(len(self._changed) == len(self.changes))
            return bool(self._counts)

    def failures(self) -> dict[int, BaseException]:
        """Return what those raised who could not change."""
        with self._lock:
            return dict(self._failures)

    def unanswered(self) -> list[int]:
        """Return who has neither changed nor said that it cannot."""
        with self._lock:
            return sorted(self.changes.keys() - self._changed - self._failures.keys())

    def changed(self) -> list[int]:
        """Return who has changed, and not changed back."""
        with self._lock:
            return sorted(self._changed)

    def settled(self) -> bool:
        """Return True if nobody is changing, forth or back, or has yet to change back."""
        with self._lock:
            return not self._busy and (self._counts is not False or not self._changed)

    # --- what the components' actors tell -----------------------------------------------------

    def begin(self, index: int) -> Change | None:
        """Return what is to change; None: it is too late for that, everything stays as it is."""
        with self._lock:
            if self._counts is not None:
                return None
            self._busy.add(index)
            return self.changes[index]

    def finish(self, index: int) -> bool:
        """Tell that a component has changed. False: in vain, it must change back."""
        with self._lock:
            counts = self._counts is not False
            if counts:
                self._busy.discard(index)
                self._changed.add(index)
        self._notify()
        return counts

    def fail(self, index: int, cause: BaseException) -> None:
        """Tell that a component cannot change. The reload does not count then."""
        with self._lock:
            self._failures[index] = cause
            self._decide(False)  # noqa: FBT003

    def rolled_back(self, index: int) -> None:
        """Tell that a component has its old options again."""
        with self._lock:
            self._busy.discard(index)
            self._changed.discard(index)
        self._notify()

    def is_changed(self, index: int) -> bool:
        """Return True if a component has changed, and not changed back."""
        with self._lock:
            return index in self._changed

    def _decide(self, counts: bool) -> None:  # noqa: FBT001
        if self._counts is None:
            self._counts = counts
            if not counts:
                self._give_up()
