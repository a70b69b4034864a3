"""From signals to events: which signal becomes which event, and which of them need an answer.

Each signal becomes an event of its own, so that the components see all of them. The daemon's own
work for a signal (a reload, saving the runlog or the state) takes longer than a signal does, so
one answer serves all signals that came before it began.

Guarantees:

- After each signal the daemon does its work for it once more, unless the daemon stops first.
- A burst of signals costs the work once, and once more for those that come during the work.
- An event that the program schedules itself is always answered.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from zenactors.core import events
from zenactors.errors import ConfigurationError

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


class SignalAnswers:
    """Tells which events of signals the daemon has answered already. Counts by event.

    Thread: main for `received`, control for `is_due`. Each count is written by one thread only.
    """

    def __init__(self) -> None:
        self._received: Counter[Any] = Counter()
        self._answered: Counter[Any] = Counter()
        self._redundant: Counter[Any] = Counter()

    def received(self, event: Any) -> None:
        """Note that a signal is about to become this event."""
        self._received[event] += 1

    def is_due(self, event: Any) -> bool:
        """Return False if an earlier answer, which began after the event's signal, serves it."""
        unanswered = self._received[event] - self._answered[event]
        if not unanswered and self._redundant[event]:
            self._redundant[event] -= 1
            return False
        self._answered[event] += unanswered
        self._redundant[event] += max(0, unanswered - 1)
        return True


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
