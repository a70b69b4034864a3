"""Record what the engine does in the trace: scheduled events, calls of callbacks, their results.

Callbacks are also interrupted here, in the middle of their code, by chance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import TYPE_CHECKING, Any

from zenactors.core.callbacks import (
    FLAG_CONTINUE,
    FLAG_STOP,
    Handler,
    answer_error,
    invalid_answer,
    read_answer,
)
from zenactors.core.messages import (
    GONE,
    NO_OWNER,
    ManyScheduled,
    OpenRun,
    QueuePosition,
    Scheduled,
    TokenChange,
)
from zenactors.core.tokens import Tracked as WithToken
from zenactors.core.turn import ThreadAbandoned
from zenactors.testing._simulator.hub import OUTSIDE, Abandoned, Hub, Task
from zenactors.testing._simulator.preempt import code_of, interrupted
from zenactors.testing._trace.describe import describe
from zenactors.testing._trace.trace import OUTSIDE as OUTSIDE_NAME
from zenactors.testing._trace.trace import Trace, Tracked

if TYPE_CHECKING:
    from zenactors.core.batch_runner import BatchRunner

MAX_INSTRUCTIONS = 60  # the most after which a callback is interrupted


class Recorder:
    """Record what tasks and components do, by their names.

    Args:
        hub: Lets the tasks move.
        trace: Everything that happens is noted in it.
        interrupt: The probability that a callback is interrupted in the middle.

    Attributes:
        names: The tasks' names, by their identities.
        components: The components' names, in order of registration.
        runners: The components' runners, by the identities of their tasks.
        instructions: Returns the number of instructions after which the next callback is
            interrupted; 0: it is not.
    """

    def __init__(self, hub: Hub, trace: Trace, interrupt: float) -> None:
        self.hub = hub
        self.trace = trace
        self.names: dict[Any, str] = {}
        self.components: list[str] = []
        self.runners: Mapping[int, BatchRunner] = {}
        self.instructions = self._instructions_by_chance
        self._chunks: dict[int, list[Any]] = {}  # of events scheduled at once, noted, by identity
        self._noted: dict[int, tuple[OpenRun, list[Scheduled]]] = {}  # of open runs, by identity
        self._under_way: dict[Any, tuple[str, Tracked]] = {}  # calls, by the identity of their task
        self._interrupt = interrupt if hub.rng is not None else 0.0

    def name(self, task: Task, name: str) -> None:
        """Name a task, for the trace."""
        task.name = self.names[task.number] = name

    def note_scheduled(self) -> None:
        """Note the events that the running component has scheduled so far."""
        runner = self.runners.get(self.hub.ident())
        if runner is not None:
            for scheduled in runner.children:
                if type(scheduled) is ManyScheduled:
                    self.scheduled_at_once(scheduled)
                elif type(scheduled) is OpenRun:
                    self.appended(scheduled, len(scheduled.args))
                elif type(scheduled) is not TokenChange:
                    self.scheduled(scheduled)

    def scheduled(self, scheduled: Scheduled) -> None:
        """Note a scheduled event, unless it was noted before."""
        producer = scheduled.producer
        who = producer if isinstance(producer, str) else self.who(producer)
        self.trace.scheduled(who, scheduled, _how(scheduled, self.hub))

    def scheduled_at_once(self, many: ManyScheduled) -> None:
        """Note those of events scheduled at once that were not noted before."""
        for chunk in many.chunks:
            if id(chunk) not in self._chunks:
                self._chunks[id(chunk)] = chunk
                for item in chunk:
                    args = item.args if type(item) is WithToken else item
                    self.scheduled_without_handle(many, args)

    def appended(self, run: OpenRun, end: int) -> list[Scheduled]:
        """Note those of the first `end` events of an open run that were not noted before.

        Returns:
            The stand-ins of all that were noted so far.
        """
        _, noted = self._noted.setdefault(id(run), (run, []))
        for args in run.args[len(noted) : end]:
            noted.append(self.scheduled_without_handle(run, args))
        return noted

    def scheduled_without_handle(self, origin: ManyScheduled | OpenRun, args: Any) -> Scheduled:
        """Note an event of those that are kept together. Return what stands for it."""
        stand_in = Scheduled(NO_OWNER, QueuePosition.BACK, origin.event, args)
        stand_in.producer = origin.producer
        stand_in.location = GONE  # none of them is cancelled by this
        self.scheduled(stand_in)
        return stand_in

    @contextlib.contextmanager
    def under_way(self, component: str, tracked: Tracked) -> Iterator[None]:
        """Remember the event of a call, for the case that its task is abandoned.

        Raises:
            ThreadAbandoned: It was abandoned meanwhile.
        """
        ident = self.hub.ident()
        self._under_way[ident] = component, tracked
        try:
            yield
        finally:
            if self._under_way.pop(ident, None) is None and not self.hub.closing:
                self.trace.note(component, "late", tracked.label)
                raise ThreadAbandoned

    def call_abandoned(self, runner: BatchRunner, cause: BaseException) -> None:
        """Note that the task of a runner was abandoned in its call."""
        ident = next(ident for ident, each in self.runners.items() if each is runner)
        called = self._under_way.pop(ident, None)
        if called is not None:  # otherwise it is no call of an event's callback
            self.trace.raised(*called, cause)

    def who(self, ident: object) -> str:
        """Return the name of a task; `outside` for all others."""
        return OUTSIDE_NAME if ident == OUTSIDE else self.names.get(ident, OUTSIDE_NAME)

    def component(self, index: int) -> str:
        """Return a component's name."""
        return self.components[index]

    def call(
        self, component: str, label: str, first: CodeType | None, callback: Callable[[], Any]
    ) -> Any:
        """Call a callback whose code is `first`, and perhaps interrupt it."""
        instructions = 0 if first is None else self.instructions()
        if not instructions:
            return callback()

        def give_way(position: str) -> None:
            self.trace.note(component, "interrupt", label, text=f"at {position}")
            self.hub.give_way()

        return interrupted(callback, instructions, give_way, first=first)

    def _instructions_by_chance(self) -> int:
        rng = self.hub.rng
        if rng is None or not self._interrupt or rng.random() >= self._interrupt:
            return 0
        return int(MAX_INSTRUCTIONS ** rng.random())


class ObservedCallback:
    """A callback whose calls are noted in the trace."""

    def __init__(self, recorder: Recorder, component: str, handler: Handler) -> None:
        self.callback = handler["callback"]
        self._code = code_of(self.callback)
        self.position = 0
        self.to = ""
        self._recorder = recorder
        self.component = component
        self._event = handler["event"]
        self.__name__ = getattr(self.callback, "__name__", "callback")

    def __repr__(self) -> str:
        return describe(self.callback)

    def take_place_of(self, other: Any) -> None:
        """Take another callback's position in its chain."""
        self.position, self.to = other.position, other.to

    def __call__(self, daemon: Any, args: Any) -> Any:
        """Call the callback."""
        recorder, trace = self._recorder, self._recorder.trace
        if recorder.hub.closing:
            return FLAG_STOP, args  # the harness ends: no user code runs any more
        tracked = trace.called(self.component, self._event, self.position, args)
        try:
            with recorder.under_way(self.component, tracked):
                result = recorder.call(
                    self.component, tracked.label, self._code, lambda: self.callback(daemon, args)
                )
        except ThreadAbandoned:
            raise
        except Abandoned:
            return FLAG_STOP, args
        except BaseException as cause:  # noted and raised again
            recorder.note_scheduled()
            trace.raised(self.component, tracked, cause)
            raise
        recorder.note_scheduled()
        return self._note_answer(trace, tracked, args, result)

    def _note_answer(self, trace: Trace, tracked: Tracked, args: Any, result: Any) -> Any:
        """Return what the runner is to read: an answer such as a generator can be read once."""
        changed, stopped = args, False
        policy = self._recorder.runners[self._recorder.hub.ident()].policy
        unpacked = policy.answers == "unpacked"
        if result is not None or unpacked:
            try:
                answer = read_answer(result, unpacked=unpacked)
                if answer is None:
                    raise invalid_answer(self.callback, result)
            except BaseException as cause:  # noted, and dead-lettered by the runner
                error = answer_error(self.callback, result, cause)
                trace.raised(self.component, tracked, error)
                raise error from error.__cause__
            stopped, changed = not answer[0], answer[1]
            result = (FLAG_STOP if stopped else FLAG_CONTINUE, changed)
        trace.answered(
            self.component,
            tracked,
            changed,
            after=self.position + 1,
            to=self.to,
            stopped=stopped,
        )
        return result


def _how(scheduled: Scheduled, hub: Hub) -> str:
    match scheduled.position:
        case QueuePosition.FRONT:
            return "before others"
        case QueuePosition.PRIORITY:
            return "with priority"
        case QueuePosition.AFTER:
            return f"in {max(0.0, scheduled.when - hub.clock.monotonic()):.6g} s"
        case QueuePosition.AT:
            return f"at {scheduled.when:.6f}"
        case _:
            return ""
