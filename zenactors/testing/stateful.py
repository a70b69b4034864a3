"""`DaemonMachine`: a hypothesis state machine of a daemon, which shrinks failures.

Only this module needs hypothesis.
"""

from __future__ import annotations

import abc
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    StateMachineMeta,
    initialize,
    precondition,
    rule,
)

from zenactors.core.dispatch_state import Ordering
from zenactors.core.policy import EventPolicy
from zenactors.core.supervision import Supervision
from zenactors.testing._simulator.hub import Task
from zenactors.testing._trace.diagram import draw
from zenactors.testing.harness import Harness

if TYPE_CHECKING:
    from zenactors.daemon.zendaemon import ZenDaemon
    from zenactors.testing.faults import Fault

MAX_ABLE = 8  # tasks that a rule can name; there may be fewer or more
MAX_MOVES = 10  # in one rule
MAX_INSTRUCTIONS = 40  # the most after which a callback is interrupted
MAX_NOISE = 10_000
PERIODS = (0.01, 1.0, 60.0, 3600.0)  # seconds that a rule lets pass
DRAWN = 60  # entries of the trace that a failure draws


class _AbstractMachineType(StateMachineMeta, abc.ABCMeta):
    """Hypothesis's metaclass, and a refusal to run a machine without `build`."""


class DaemonMachine(RuleBasedStateMachine, metaclass=_AbstractMachineType):
    """Let hypothesis choose what happens to a daemon, and when.

        class BankMachine(DaemonMachine):
            events = {"deposit": st.integers(1, 100), "withdraw": st.integers(1, 100)}

            def build(self):
                self.bank = {"balance": 0}
                return [Deposits(self.bank), Withdrawals(self.bank)]

            def check(self):
                assert self.bank["balance"] >= 0

        TestBank = BankMachine.TestCase

    Its rules schedule events (`schedule_deposit` …), let tasks move, interrupt callbacks in the
    middle, let time pass, or let everything happen that can; and with `crashes` they kill the
    process, or cut the power, and start it again with `build`. After each of them no event may be
    lost or counted twice, and none may have died. A subclass adds rules and invariants of its own,
    as to any state machine of hypothesis; they use `harness`.

    Failures are shrunk to the fewest rules, with the smallest args, and to a quiet machine if
    that is enough. A failure ends with a picture of what happened.

    Attributes:
        events: The events that rules schedule, each with a strategy for its args.
        allow_dead_letters: True: events may die. Otherwise a rule must read them with
            `harness.dead_letters()`.
        crashes: True: the process may die at any moment.
        ordering: As for `Harness`, as are the others.
        harness: The harness that runs the daemon, from the first rule on.

    Thread: one.
    """

    events: ClassVar[Mapping[Any, st.SearchStrategy[Any]]] = {}
    allow_dead_letters: ClassVar[bool] = False
    crashes: ClassVar[bool] = False
    ordering: ClassVar[Ordering] = "component"
    policy: ClassVar[EventPolicy | None] = None
    supervision: ClassVar[Supervision | None] = None
    config: ClassVar[Mapping[str, Any] | None] = None
    files: ClassVar[Mapping[str, str | bytes] | None] = None
    faults: ClassVar[Sequence[Fault]] = ()

    harness: Harness

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "crashes" in vars(cls):  # no rule that is never possible: hypothesis would try it
            cls.crash = _crash_rule() if cls.crashes else None
        if "events" not in vars(cls):
            return
        for base in cls.__mro__[1:]:
            for event in vars(base).get("events", {}):
                setattr(cls, _rule_name(event), None)  # a subclass has only its own events
        for event, args in cls.events.items():
            function = _schedule_rule(event)
            scheduling = precondition(_runs)(rule(args=args)(function))
            setattr(cls, function.__name__, scheduling)

    def __init__(self) -> None:
        super().__init__()
        self._chosen: int | None = None  # the number of the task that moves next
        self._instructions = 0  # before a callback is interrupted; 0: it is not

    # --- for subclasses -----------------------------------------------------------------------

    @abc.abstractmethod
    def build(self) -> Sequence[Any] | ZenDaemon:
        """Return new components, or a new `ZenDaemon`. Called for each start of the program."""

    def check(self) -> None:
        """Raise if something is wrong. Called whenever no task can move before time passes."""

    # --- rules --------------------------------------------------------------------------------

    @initialize(noise=st.integers(0, MAX_NOISE))
    def begin(self, noise: int) -> None:
        """Start the daemon. With `noise` 0 the machine is quiet, and only rules disturb it."""
        harness = Harness(
            self.build(),
            seed=Random(noise) if noise else None,  # noqa: S311 - to be repeated
            ordering=self.ordering,
            policy=self.policy,
            supervision=self.supervision,
            config=self.config,
            files=self.files,
            faults=self.faults,
        )
        self._start(harness)

    def _start(self, harness: Harness) -> None:
        self.harness = harness
        hub, runtime = self.harness._hub, self.harness._runtime  # noqa: SLF001 - it is ours
        otherwise = hub.choose

        def choose(able: list[Task]) -> Task:
            if self._chosen is None:
                return otherwise(able)
            return sorted(able, key=lambda task: task.moved)[self._chosen % len(able)]

        hub.choose = choose
        runtime.recorder.instructions = lambda: self._instructions
        self.harness.start()

    @rule(
        who=st.lists(st.integers(0, MAX_ABLE - 1), min_size=1, max_size=MAX_MOVES),
    )
    def move(self, who: list[int]) -> None:
        """Let tasks move, one after the other; 0 is the one that has not moved for longest."""
        for self._chosen in who:
            if not self.harness.step():
                break
        self._chosen = None
        self._look()

    @rule(after=st.integers(0, MAX_INSTRUCTIONS))
    def interrupt_callbacks(self, after: int) -> None:
        """Interrupt callbacks from now on, each after this many instructions; 0: do not."""
        self._instructions = after

    @rule(seconds=st.sampled_from(PERIODS))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.harness.advance(seconds)
        self._look()
        self.check()

    @rule()
    def run_until_idle(self) -> None:
        """Let everything happen that can before time passes."""
        self.harness.run_until_idle()
        self._look()
        self.check()

    # --- checks -------------------------------------------------------------------------------

    def _look(self) -> None:
        # Not an invariant of hypothesis, which would print its name after every rule.
        problem = self.harness.accounting().imbalance()
        if problem:  # no assert statement: `python -O` drops those
            raise AssertionError(problem)
        letters = [] if self.allow_dead_letters else self.harness.unread_dead_letters()
        for letter in letters:
            failure = AssertionError(
                f"event {letter.event!r} died in {letter.component}:"
                f" {type(letter.cause).__name__}: {letter.cause}"
            )
            failure.add_note(letter.traceback)
            raise failure from letter.cause

    def teardown(self) -> None:
        """Stop the daemon and look a last time; after a failure, show what happened."""
        harness = getattr(self, "harness", None)
        if harness is None:
            return
        try:
            if sys.exc_info()[0] is None:
                self._stop(harness)
        except BaseException:  # any failure is shown with the picture
            note(_Trace(harness))
            raise
        else:
            if sys.exc_info()[0] is not None:
                note(_Trace(harness))
        finally:
            harness.close()

    def _stop(self, harness: Harness) -> None:
        self.run_until_idle()
        report = harness.stop()
        if report.stuck:
            raise AssertionError(f"did not stop: {', '.join(report.stuck)}")
        if report.timed_out:
            raise AssertionError(f"did not come to an end: {report.left} events were left")
        self._look()


class _Trace:
    """The picture of a run, drawn only if hypothesis shows it."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - hypothesis's
        entries = list(self._harness.trace.entries)[-DRAWN:]
        for line in [self._harness.situation(), *draw(entries).splitlines()]:
            printer.text(line + "\n")


def _crash_rule() -> Any:
    def crash(self: DaemonMachine, power_failure: bool) -> None:  # noqa: FBT001 - hypothesis's
        self.harness.kill(power_failure=power_failure)
        self._start(self.harness.next_life(self.build()))

    return precondition(_runs)(rule(power_failure=st.booleans())(crash))


def _schedule_rule(event: Any) -> Callable[[DaemonMachine, Any], None]:
    def schedule(self: DaemonMachine, args: Any) -> None:
        self.harness.daemon.queue.schedule(event, args)

    schedule.__name__ = schedule.__qualname__ = _rule_name(event)
    return schedule


def _rule_name(event: Any) -> str:
    return "schedule_" + re.sub(r"\W", "_", str(event))


def _runs(machine: RuleBasedStateMachine) -> bool:
    assert isinstance(machine, DaemonMachine)
    harness = machine.harness
    return harness.status is None and not harness.daemon.is_done()
