"""From signals to events: which signal becomes which event, and when it becomes none.

A signal is merged with an earlier one of its kind while the event of that one is pending: queued,
with no callback begun. Its callbacks answer both signals, because they begin after both.

Guarantees:

- After each signal, the callbacks of its event begin once more; unless the daemon stops first.
- A burst of signals costs one event, and one more for those that come while its callbacks run.
- An event that the program schedules itself is never merged.
- A signal is merged only if the daemon's own callback is the first in the chain, because only
  that one reports that it begins. It is merged for at most `MERGE_TIMEOUT` seconds, so that an
  event that was taken out of the queue, or is stuck, cannot swallow later signals for good.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Hashable, Mapping
from typing import TYPE_CHECKING, Any

from zenactors.core import events
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from zenactors.core.clock import Clock

SIGNAL_EVENTS: dict[int, str | None] = {
    signal.SIGINT: events.EVENT_STOP,
    signal.SIGTERM: events.EVENT_TERMINATE,
    signal.SIGHUP: events.EVENT_SIGNAL_HUP,
    signal.SIGUSR1: events.EVENT_SIGNAL_USR1,
    signal.SIGUSR2: events.EVENT_SIGNAL_USR2,
    signal.SIGALRM: None,  # only wakes the main thread
    signal.SIGQUIT: None,  # logs the stack of every thread
}
"""The signals that the main thread traps, and the event that each becomes."""

# Seconds. A component that is too busy for a control event is passed over after 5 seconds or
# more: within this time, no callback of a pending event has begun behind the daemon's back.
MERGE_TIMEOUT = 5.0


class PendingEvents:
    """The events of signals that are queued and have not begun.

    Thread: main for `add`; any for `begun`. Both rely on single operations of a dict being
    atomic.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._since: dict[Hashable, float] = {}

    def add(self, event: Hashable) -> bool:
        """Note that an event is about to be queued. False: one is pending, so do not queue it."""
        since, now = self._since.get(event), self._now()
        if since is not None and now - since < MERGE_TIMEOUT:
            return False
        self._since[event] = now
        return True

    def begun(self, event: Hashable) -> None:
        """Note that the first callback of an event begins: from now on, signals need another."""
        self._since.pop(event, None)


def mapped_signals(configured: Mapping[str, Any], events: Collection[Any]) -> dict[int, Any]:
    """Return the signals of the configuration key `signals`, each with its event.

    Args:
        configured: Events by the names of signals.
        events: The events that a component handles.

    Raises:
        ConfigurationError: No component handles an event.
    """
    signals: dict[int, Any] = {}
    for name, event in configured.items():
        if event not in events:
            raise ConfigurationError(
                f"signals: {name} becomes event {event!r}, which no component handles"
            )
        signals[getattr(signal, name)] = event
    return signals
