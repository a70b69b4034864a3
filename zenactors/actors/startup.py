"""How a dispatcher starts: actors, setups in order, the `start` event, and then everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zenactors.actors.component_messages import ReadState, SetUp
from zenactors.core.clock import Deadline
from zenactors.core.events import EVENT_START
from zenactors.core.phase import Phase
from zenactors.core.text import format_error
from zenactors.errors import ComponentStartError, NotRunningError

if TYPE_CHECKING:
    from zenactors.actors.engine import Engine
    from zenactors.core.dispatch_state import DispatchState

HANGING_TIMEOUT = 1.0  # seconds to find out which component does not answer


class Startup:
    """Start an engine, once. A stop by another thread ends the start between two of its steps.

    Args:
        engine: In the phase `SETTING_UP`.
        timeout: Seconds that each component has for its setup, and all for `start`.

    Attributes:
        timeout: As given; may be changed before the start.
        setting_up: The component whose setup was requested last; None before the first.
        is_set_up: True once all components are.
    """

    def __init__(self, engine: Engine, timeout: float) -> None:
        self._engine = engine
        self.timeout = timeout
        self.setting_up: int | None = None
        self.is_set_up = False

    def set_up(self, daemon: Any) -> None:
        """Start the actors, and set up the components in order. Blocks until that is done.

        Raises:
            ComponentStartError: A component failed, or took longer than the time-out.
            NotRunningError: Another thread stopped the engine meanwhile.
        """
        engine = self._engine
        with engine.stop_lock:
            self._check_not_stopped()
            engine.start_actors(daemon)
        for index in range(len(engine.entries)):
            self._set_up(index)
        self.is_set_up = True

    def open(self) -> None:
        """Run the `start` event, and then let events start. Blocks until they do.

        Raises:
            ComponentStartError: A component failed, or took longer than the time-out.
            NotRunningError: Another thread stopped the engine meanwhile.
        """
        engine = self._engine
        self._run_start_event()
        with engine.stop_lock:
            self._check_not_stopped()
            engine.open()

    def _set_up(self, index: int) -> None:
        engine, name = self._engine, self._engine.names[index]
        with engine.stop_lock:  # it is requested before a stop begins, which then tears it down
            self._check_not_stopped()
            self.setting_up = index
            engine.tell(index, SetUp())
        in_time = self._wait_for(
            lambda: index in engine.setup_results or engine.lifecycle.stop_requested
        )
        if index not in engine.setup_results:
            self._check_not_stopped()
        if not in_time:
            raise ComponentStartError(name, "setup", f"no answer in {self.timeout:g} s")
        cause = engine.setup_results[index]
        if cause is not None:
            raise ComponentStartError(name, "setup", format_error(cause)) from cause

    def _run_start_event(self) -> None:
        engine = self._engine
        with engine.stop_lock:
            self._check_not_stopped()
            engine.enter(Phase.STARTING)
            engine.loop.start_first()
        deadline = Deadline(engine.clock, self.timeout)
        in_time = (
            engine.wait_for_state(_nothing_in_flight, deadline, unless=self._start_is_over)
            or self._start_is_over()
        )
        failure = engine.start_failure
        if failure is not None:
            raise ComponentStartError(
                failure.component, "start", format_error(failure.cause)
            ) from failure.cause
        if not in_time:
            raise ComponentStartError(
                self._where_start_hangs(), "start", f"no answer in {self.timeout:g} s"
            )

    def _start_is_over(self) -> bool:
        return self._engine.start_failure is not None or self._engine.halted

    def _wait_for(self, predicate: Callable[[], bool]) -> bool:
        return self._engine.wait_for(predicate, Deadline(self._engine.clock, self.timeout))

    def _check_not_stopped(self) -> None:
        if self._engine.lifecycle.stop_requested:
            raise NotRunningError("The dispatcher was stopped while it was starting.")

    def _where_start_hangs(self) -> str:
        engine = self._engine
        steps = engine.state.chain_states[EVENT_START].chain.steps
        # A component that is free answers at once; the first that does not is in its callback.
        answers = engine.ask_all(ReadState(), timeout=HANGING_TIMEOUT)
        names = [engine.names[step.component] for step in steps]
        return next((name for name in names if name not in answers), names[-1])


def _nothing_in_flight(state: DispatchState) -> bool:
    return not state.in_flight()
