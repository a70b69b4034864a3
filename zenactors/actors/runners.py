"""Make the runner of each component: with its supervision, and with the sink of its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zenactors.core.batch_runner import BatchRunner
from zenactors.core.failure_handler import TryAgain
from zenactors.core.replicas import ReplicaRouter, Replicas
from zenactors.core.supervision import Supervision, Supervisor, declared_by, with_values
from zenactors.core.text import short_repr
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from zenactors.actors.dispatch_loop import DispatchLoop
    from zenactors.actors.incidents import Incidents
    from zenactors.actors.notifier import Flag
    from zenactors.actors.runtime import Runtime
    from zenactors.core.clock import Clock
    from zenactors.core.entries import ComponentEntry
    from zenactors.core.messages import Batch


class RunnerMaker:
    """Makes the runner of each component.

    Args:
        loop: Takes their results.
        incidents: Handles their incidents.
        runtime: The source of chance, and of the clock for callbacks.
        clock: The source of time.
        done: Set when it is time to stop: it ends waits for another attempt.
        daemon: What callbacks get.
    """

    def __init__(
        self,
        loop: DispatchLoop,
        incidents: Incidents,
        runtime: Runtime,
        clock: Clock,
        done: Flag,
        daemon: Any,
    ) -> None:
        self._loop = loop
        self._incidents = incidents
        self._runtime = runtime
        self._clock = clock
        self._done = done
        self._daemon = daemon

    def make(self, index: int, entry: ComponentEntry, supervision: Supervision) -> BatchRunner:
        """Return the runner of a component with a policy."""
        stopwatch = self._runtime.stopwatch(self._clock)
        if isinstance(entry.component, Replicas):
            return ReplicaRouter(
                index,
                entry.name,
                entry.component,
                self._loop,
                self._incidents,
                stopwatch,
                self._supervisor(supervision),
            )
        supervisor = self._supervisor(supervision)
        return BatchRunner(
            index,
            entry.name,
            self._daemon,
            self._loop if entry.router is None else ReplicaSink(self._loop, entry.router),
            self._incidents,
            stopwatch,
            supervisor=supervisor,
            try_again=self._retries(supervisor),
            policy=self._incidents.policy,
        )

    def _supervisor(self, supervision: Supervision) -> Supervisor:
        def delay_of(number: int) -> float:
            from zenactors.actors.retries import restart_delay  # noqa: PLC0415 - slow to import

            return restart_delay(supervisor.policy, number)

        supervisor = Supervisor(supervision, delay_of, self._runtime.chance)
        return supervisor  # its policy may change

    def _retries(self, supervisor: Supervisor) -> TryAgain:
        def try_again(call: Callable[[], Any], cause: BaseException, attempts: int) -> Any:
            from zenactors.actors.retries import call_again  # noqa: PLC0415 - slow to import

            return call_again(self._done.wait, supervisor, call, cause, attempts)

        return try_again


def supervision_of(
    name: str, component: Any, default: Supervision, configured: Mapping[str, Any]
) -> Supervision:
    """Return the policy of a component.

    Args:
        name: The component's name.
        component: The component, which may declare one.
        default: That of a component that declares none.
        configured: The values that the configuration sets instead.

    Raises:
        ConfigurationError: The component declares something else.
    """
    declared = declared_by(component, default)
    if isinstance(declared, Supervision):
        return with_values(declared, configured)
    raise ConfigurationError(
        f"The supervision of component {name!r} is {short_repr(declared)}, but a"
        " Supervision is expected, such as Supervision(on_error='restart')."
    )


class ReplicaSink:
    """Takes a replica's results: batches go back to its router, scheduled events to the loop."""

    def __init__(self, loop: DispatchLoop, router: int) -> None:
        self.forward = loop.forward
        self.schedule = loop.schedule
        self._router = router

    def report(self, batch: Batch) -> None:
        """Hand a result to the router. Its children are submitted before it."""
        if batch.children is not None:
            self.schedule(batch.children)
            batch.children = None
        self.forward(self._router, batch)
