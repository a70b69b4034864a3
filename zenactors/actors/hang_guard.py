"""Callbacks that do not return: report them, interrupt them, and replace their threads.

The decisions are in `core.hangs`, and the hand-over from an abandoned thread to its successor in
`core.turn` and `ComponentLife`.

Atomic operations relied on: `list` of a dict's values; storing an item of a dict under a key that
it has already.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from zenactors.actors.incidents import try_to_log
from zenactors.core.hangs import Hang, HangWatch, Stage, may_be_replaced
from zenactors.core.phase import Phase
from zenactors.core.turn import Turn
from zenactors.errors import ComponentStartError, HardLimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zenactors.actors.component_listener import Inheritance, Life
    from zenactors.actors.incidents import Incidents
    from zenactors.actors.runtime import Runtime
    from zenactors.core.batch_runner import BatchRunner
    from zenactors.core.clock import Clock
    from zenactors.core.supervision import Supervision

LOOK_INTERVAL = 2.5  # seconds between two looks
HASTY_INTERVAL = 0.5  # the longest, if a component has a hard limit
LOOKS_PER_LIMIT = 4  # of the shortest hard limit


class HangGuard:
    """Look at what the components do, now and then. Thread: the dispatcher's.

    Args:
        incidents: Handles what is found.
        limits: As for `HangWatch`.
        clock: The source of time.
        runtime: Runs the interrupts, and knows the stacks.
        runners: The runner of each component's thread, by the thread's identity.
        lives: The life of each component, by its index.
        threads: The thread of each component, by its index.
        start: Starts an actor for a component, as `Engine.start_component` does.
    """

    def __init__(
        self,
        incidents: Incidents,
        limits: Mapping[int, tuple[float, float | None]],
        *,
        clock: Clock,
        runtime: Runtime,
        runners: Mapping[int, BatchRunner],
        lives: Mapping[int, Life],
        threads: Mapping[int, Any],
        start: Callable[[int, Any, BatchRunner, Inheritance], Any],
    ) -> None:
        self._incidents = incidents
        self._clock = clock
        self._runtime = runtime
        self._runners = runners
        self._lives = lives
        self._threads = threads
        self._start = start
        self._watch = HangWatch(limits)
        self._next_look = 0.0
        self._limits_changed = True
        self._interval = LOOK_INTERVAL
        self._kept: set[int] = set()  # the components whose threads cannot be replaced

    def limit(self, index: int, policy: Supervision) -> None:
        """Note how long a component's callbacks may take. Thread: any."""
        self._watch.limits[index] = policy.budget, policy.hard_limit
        self._limits_changed = True

    def interval(self) -> float:
        """Return the seconds from one look to the next. Thread: the dispatcher's."""
        if self._limits_changed:
            self._limits_changed = False  # first, because they may change again meanwhile
            hard_limits = [hard for _, hard in self._watch.limits.values() if hard is not None]
            self._interval = LOOK_INTERVAL
            if hard_limits:
                self._interval = min(HASTY_INTERVAL, min(hard_limits) / LOOKS_PER_LIMIT)
        return self._interval

    def look(self) -> None:
        """Look, if it is time to."""
        now = self._clock.monotonic()
        if now < self._next_look:  # that is all, each time the dispatcher wakes up
            return
        self._next_look = now + self.interval()
        places = {}
        for runner in list(self._runners.values()):  # an actor may start or end meanwhile
            place = None if runner.is_abandoned else runner.place()
            if place is not None:
                places[runner.index] = place
        for hang in self._watch.look(now, places):
            self._act(hang)

    def any_calls(self) -> bool:
        """Return True if components run callbacks now."""
        runners = list(self._runners.values())
        return any(runner.place() is not None and not runner.is_abandoned for runner in runners)

    def _act(self, hang: Hang) -> None:
        index = hang.component
        match hang.stage:
            case Stage.REPORT:
                stack = self._runtime.stack(self._threads[index])
                self._incidents.hang_begins(index, hang.seconds, stack)
            case Stage.OVER:
                self._kept.discard(index)
                self._incidents.hang_is_over(index, hang.seconds)
            case Stage.INTERRUPT if isinstance(hang.place, Turn) and self._may_act():
                self.interrupt(index)
            case Stage.ABANDON if isinstance(hang.place, Turn) and self._may_act():
                self._abandon(hang, hang.place)

    def _may_act(self) -> bool:
        # A start and the end have limits of their own.
        return Phase.OPEN <= self._incidents.lifecycle.phase < Phase.HALTED

    def interrupt_all(self) -> None:
        """Interrupt every component that runs a callback now. Thread: any."""
        for runner in list(self._runners.values()):
            if runner.place() is not None and not runner.is_abandoned:
                self.interrupt(runner.index)

    def interrupt(self, index: int) -> None:
        """Call a component's `interrupt()`, if it has one, in a thread of its own. Thread: any."""
        name = self._incidents.names[index]
        component = self._lives[index].component
        # No code of the component runs in this thread, not even that of a property.
        if inspect.getattr_static(component, "interrupt", None) is None:
            return

        def call() -> None:
            try:
                component.interrupt()
            except BaseException as cause:  # it is the user's code, in a thread of ours
                self._incidents.callback_failed(name, "interrupt", cause)

        try_to_log("WARNING", "Component {name!r} takes too long: interrupting it", name=name)
        self._runtime.help(call)

    def _abandon(self, hang: Hang, turn: Turn) -> None:
        index = hang.component
        life = self._lives[index]
        limit = self._watch.limits[index][1]
        if limit is None:
            return  # it has returned at this very moment, and has another policy already
        cause = HardLimitError(
            f"it did not return within {limit:g} s, so its thread was abandoned; it may have run"
        )
        abandoned = [runner.index for runner in list(self._runners.values()) if runner.is_abandoned]
        if life.why_not_anew() or not may_be_replaced(abandoned.count(index), len(abandoned)):
            self._keep(index, cause)
            return
        if not turn.end():
            return  # it has returned at this very moment
        self._watch.forget(index)
        self._kept.discard(index)
        self._incidents.thread_abandoned(index, hang.seconds, abandoned.count(index) + 1)
        self._runtime.thread_abandoned(life.runner, cause)
        inheritance = life.abandon(cause, turn)
        try:
            self._start(index, life.component, inheritance.runner, inheritance)
        except ComponentStartError as failure:
            self._incidents.gave_up(index, failure)

    def _keep(self, index: int, cause: BaseException) -> None:
        """Do without a replacement: what the component's policy says for that."""
        if index in self._kept:
            return
        self._kept.add(index)
        life = self._lives[index]
        if life.stops_when_exhausted():
            self._incidents.gave_up(index, cause)
            return
        too_many = "too many threads were abandoned and still run"
        self._incidents.thread_kept(index, life.why_not_anew() or too_many)


def abandoned_names(runners: Mapping[Any, Any]) -> list[str]:
    """Return the name of the component of each abandoned thread that still runs. Thread: any."""
    return sorted(runner.name for runner in list(runners.values()) if runner.is_abandoned)
