"""Make the runner of each component: with its supervision, and with the sink of its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors.actors.incidents import survive_log
from zenactors.core.batch_runner import BatchRunner, ResultSink
from zenactors.core.failure_handler import TryAgain
from zenactors.core.messages import Batch, CopiesHandled
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
        sink: ResultSink = self._loop
        if entry.router is not None:
            sink = ReplicaSink(self._loop, entry.router)
        elif supervision.best_effort:
            sink = BestEffortSink(self._loop, index, entry.name)
        supervisor = self._supervisor(supervision)
        return BatchRunner(
            index,
            entry.name,
            self._daemon,
            sink,
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

        def is_over(retry: Mapping[str, Any], attempts: int) -> bool:
            from zenactors.actors.retries import is_over  # noqa: PLC0415 - slow to import

            return is_over(retry, attempts)

        supervisor = Supervisor(supervision, delay_of, self._runtime.chance, is_over)
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


def best_effort_limits(
    entries: Sequence[ComponentEntry], supervisions: Sequence[Supervision]
) -> dict[int, int]:
    """Return how many events of a chain may be pending in each best-effort component, by its index.

    Args:
        entries: The components.
        supervisions: Their policies.

    Raises:
        ConfigurationError: One of them has replicas.
    """
    limits = {}
    for index, (entry, supervision) in enumerate(zip(entries, supervisions, strict=True)):
        if not supervision.best_effort:
            continue
        if entry.router is not None or isinstance(entry.component, Replicas):
            raise ConfigurationError(
                f"Component {entry.name!r} is best effort and has replicas: the router of replicas"
                " keeps every event. Declare best_effort=False, or use one component."
            )
        limits[index] = supervision.best_effort_limit
    return limits


class BestEffortSink:
    """Takes a best-effort component's results. Its copies of events end here.

    Args:
        loop: Takes everything else.
        index: The component's index.
        name: The component's name.

    Thread: the component's.
    """

    def __init__(self, loop: DispatchLoop, index: int, name: str) -> None:
        self.forward = loop.forward
        self.schedule = loop.schedule
        self._loop = loop
        self._name = name
        self._taps = {tap.chain: tap for tap in loop.state.taps if tap.component == index}
        self._has_lost = self._has_answered = False

    def report(self, batch: Batch) -> None:
        """Count a copy. Its children are submitted before it."""
        tap = self._taps.get(batch.chain)
        if tap is None:  # a control event, or `start`
            self._loop.report(batch)
            return
        if batch.children is not None:
            self.schedule(batch.children)
            batch.children = None
        if tap.end(batch):
            self._log_answer(batch)
        counts = tap.counts()
        if counts.lost and not self._has_lost:
            self._log_loss(batch)
        if not counts.pending:
            self._loop.submit(CopiesHandled())

    def _log_answer(self, batch: Batch) -> None:
        if not self._has_answered:
            self._has_answered = True
            with survive_log():
                logger.bind(component=self._name).warning(
                    "Component {name!r} is best effort, so what its callback answers on event"
                    " {event} has no effect: neither FLAG_STOP nor other args",
                    name=self._name,
                    event=short_repr(batch.chain.event),
                )

    def _log_loss(self, batch: Batch) -> None:
        self._has_lost = True
        with survive_log():
            logger.bind(component=self._name).warning(
                "Component {name!r} is best effort, and too slow: events {event} are lost to it."
                " daemon.accounting() counts them",
                name=self._name,
                event=short_repr(batch.chain.event),
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
