"""New options for running components, as one transaction: all of them get theirs, or none.

`Reconfiguration.run` is the transaction; it reads from top to bottom. Each component changes in
its own thread, between two of its events, and answers through the same object. If one cannot
change, or does not answer in time, those that have changed roll back.

Invariants: a component begins to change only while the outcome is open; once the outcome is
`ROLLED_BACK`, every component that has changed rolls back, even one that is changing at that
moment; `on_rollback` is called once, before any component rolls back.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zenactors.actors.component_messages import Change, Reconfigure, Rollback
from zenactors.config.redaction import without_secrets
from zenactors.core.clock import Deadline
from zenactors.core.component import ZenDaemonComponent, options_of
from zenactors.core.recipe import place_of, same
from zenactors.core.replicas import Replicas
from zenactors.core.text import format_error
from zenactors.errors import ReloadError

if TYPE_CHECKING:
    from zenactors.actors.engine import Engine

RELOAD_TIMEOUT = 10.0  # seconds until all have their new options, or their old ones again
ROLLBACK_TIMEOUT = 2.0  # seconds of these for those that must roll back


class Outcome(enum.Enum):
    """The outcome of a reconfiguration."""

    OPEN = enum.auto()
    COMMITTED = enum.auto()
    ROLLED_BACK = enum.auto()


class Reconfiguration:
    """One transaction over components. Thread: any; `run` the requester's.

    Args:
        engine: The engine whose components change.
        changes: By the component's name. The name of `Replicas` applies to all of them.
        on_rollback: Called once if the transaction fails, before any component rolls back.
    """

    def __init__(
        self, engine: Engine, changes: Mapping[str, Change], on_rollback: Callable[[], None]
    ) -> None:
        self._engine = engine
        self.changes = _by_index(engine, changes)
        self._on_rollback = on_rollback
        self._lock = threading.Lock()
        self._outcome = Outcome.OPEN
        self._busy: set[int] = set()
        self._changed: set[int] = set()
        self._failures: dict[int, BaseException] = {}

    # --- the transaction ----------------------------------------------------------------------

    def run(self) -> None:
        """Change all components, or none. Blocks for `RELOAD_TIMEOUT` at most.

        Raises:
            ReloadError: A component could not change, or not in time, or the daemon stops. All
                have their old options again, or will have them as soon as they are free.
        """
        engine = self._engine
        self._check_replacements()
        deadline = Deadline(engine.clock, RELOAD_TIMEOUT)
        for index in self.changes:
            engine.tell(index, Reconfigure(self))
        engine.wait_for(
            lambda: self._is_answered() or engine.done.is_set(), deadline.less(ROLLBACK_TIMEOUT)
        )
        if self._commit():
            return
        reason = self._explain_failure()
        for index in sorted(self._changed):
            engine.tell(index, Rollback(self))
        engine.wait_for(
            lambda: self._is_rolled_back() or engine.halted, deadline.at_most(ROLLBACK_TIMEOUT)
        )
        raise ReloadError(reason) from next(iter(self._failures.values()), None)

    def _check_replacements(self) -> None:
        for index, change in self.changes.items():
            replacement = change.replacement
            if replacement is not None and not self._engine.wiring.fits(index, replacement):
                raise ReloadError(
                    f"Component {self._engine.names[index]!r} would handle other events than now:"
                    " that needs a restart."
                )

    def _is_answered(self) -> bool:
        """Return True if all have changed, or one could not."""
        with self._lock:
            return bool(self._failures) or len(self._changed) == len(self.changes)

    def _commit(self) -> bool:
        """Decide: True if all have changed. Otherwise no component changes any more."""
        with self._lock:
            all_changed = len(self._changed) == len(self.changes)
            self._decide(Outcome.COMMITTED if all_changed else Outcome.ROLLED_BACK)
            return self._outcome is Outcome.COMMITTED

    def _is_rolled_back(self) -> bool:
        """Return True if no component is changing or has yet to roll back."""
        with self._lock:
            return not self._busy and not self._changed

    def _explain_failure(self) -> str:
        names = self._engine.names
        with self._lock:
            for index, cause in self._failures.items():
                change = self.changes[index]
                reason = without_secrets(format_error(cause), [change.old, change.new])
                return (
                    f"{place_of(change.places, cause)}component {names[index]!r}"
                    f" cannot take its new options: {reason}"
                )
            unanswered = sorted(self.changes.keys() - self._changed)
        late = ", ".join(repr(names[index]) for index in unanswered)
        if self._engine.done.is_set():
            return f"The daemon stops; not reconfigured: {late}"
        seconds = RELOAD_TIMEOUT - ROLLBACK_TIMEOUT
        return f"Not reconfigured in {seconds:g} s, because busy: {late}"

    def _decide(self, outcome: Outcome) -> None:
        if self._outcome is Outcome.OPEN:
            self._outcome = outcome
            if outcome is Outcome.ROLLED_BACK:
                self._on_rollback()

    # --- what the components' actors report ---------------------------------------------------

    def begin(self, index: int) -> Change | None:
        """Return the change. None: it is too late, and the component keeps its options."""
        with self._lock:
            if self._outcome is not Outcome.OPEN:
                return None
            self._busy.add(index)
            return self.changes[index]

    def finish(self, index: int) -> bool:
        """Note that a component has changed. False: it must roll back at once."""
        with self._lock:
            in_time = self._outcome is not Outcome.ROLLED_BACK
            if in_time:
                self._busy.discard(index)
                self._changed.add(index)
        self._engine.notifier.notify()
        return in_time

    def fail(self, index: int, cause: BaseException) -> None:
        """Note that a component cannot change: the transaction fails."""
        with self._lock:
            self._failures[index] = cause
            self._decide(Outcome.ROLLED_BACK)
        self._engine.notifier.notify()

    def rolled_back(self, index: int) -> None:
        """Note that a component has its old options again."""
        with self._lock:
            self._busy.discard(index)
            self._changed.discard(index)
        self._engine.notifier.notify()

    def is_changed(self, index: int) -> bool:
        """Return True if a component has changed, and not rolled back."""
        with self._lock:
            return index in self._changed


def _by_index(engine: Engine, changes: Mapping[str, Change]) -> dict[int, Change]:
    """Return the change of each single component; replicas share their router's."""
    by_index = {}
    for index, entry in enumerate(engine.entries):
        name = entry.name if entry.router is None else engine.names[entry.router]
        change = changes.get(name)
        if change is not None and not isinstance(entry.component, Replicas):
            if entry.router is None:
                by_index[index] = change
            else:
                by_index[index] = _of_replica(change, entry.component, index - entry.router - 1)
    return by_index


def _of_replica(change: Change, instance: Any, number: int) -> Change:
    """Return the change of one replica: the program may have given each options of its own."""
    old = options_of(instance) if isinstance(instance, ZenDaemonComponent) else dict(change.old)
    new = {
        key: value if not same(change.old.get(key), value) else old.get(key, value)
        for key, value in change.new.items()
    }
    return dataclasses.replace(change, old=old, new=new, number=number)
