"""`DaemonMachine`: a hypothesis state machine of a daemon, so that what fails is made small.

The only module here that needs hypothesis.
"""

from __future__ import annotations

import abc
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
from zenactors.testing._simulator.hub import Task
from zenactors.testing._trace.diagram import draw
from zenactors.testing.harness import Harness

if TYPE_CHECKING:
    from zenactors.daemon.zendaemon import ZenDaemon
    from zenactors.testing.faults import Fault

MAX_ABLE = 8  # numbers of those who can move; there may be fewer, or more
MAX_MOVES = 10  # in one rule
MAX_INSTRUCTIONS = 40  # after so many a callback is interrupted at the latest
MAX_NOISE = 10_000
PERIODS = (0.01, 1.0, 60.0, 3600.0)  # seconds that a rule lets pass
DRAWN = 60  # entries of the trace that a failure draws


class _AbstractMachineType(StateMachineMeta, abc.ABCMeta):
    """Hypothesis has a metaclass of its own; a machine without `build` must not run."""


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

    Its rules schedule events (`schedule_deposit` …), let somebody move, interrupt callbacks
    in the middle, let time pass, or let everything happen that can. After each of them no event
    may be lost or counted twice, and none may have died. A subclass adds rules and
    invariants of its own as to any state machine of hypothesis; they use `harness`.

    What fails is made small: the fewest rules, with the smallest args, and a quiet machine
    wherever that is enough. The failure ends with a picture of what happened.

    Attributes:
        events: The events that rules schedule, each with a strategy for its args.
        allow_dead_letters: True: events may die. Otherwise `harness.dead_letters()` must
            have been read.
        ordering: As for `Harness`, as are the others.
        harness: What runs it all; there from the first rule on.

    Thread: one.
    """

    events: ClassVar[Mapping[Any, st.SearchStrategy[Any]]] = {}
    allow_dead_letters: ClassVar[bool] = False
    ordering: ClassVar[Ordering] = "component"
    compat: ClassVar[Literal["pyzenkit"] | None] = None
    config: ClassVar[Mapping[str, Any] | None] = None
    files: ClassVar[Mapping[str, str | bytes] | None] = None
    faults: ClassVar[Sequence[Fault]] = ()

    harness: Harness

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "events" not in vars(cls):
            return
        for base in cls.__mro__[1:]:
            for event in vars(base).get("events", {}):
                setattr(cls, _rule_name(event), None)  # a base class's events are not its own
        for event, args in cls.events.items():
            function = _schedule_rule(event)
            scheduling = precondition(_runs)(rule(args=args)(function))
            setattr(cls, function.__name__, scheduling)

    def __init__(self) -> None:
        super().__init__()
        self._chosen: int | None = None  # who moves next, by number
        self._instructions = 0  # after which callbacks are interrupted; 0: they are not

    # --- what a subclass says -----------------------------------------------------------------

    @abc.abstractmethod
    def build(self) -> Sequence[Any] | ZenDaemon:
        """Return new components, or a new `ZenDaemon`. Called once for each run."""

    def check(self) -> None:
        """Raise if all is not well. Called whenever nobody can move before time passes."""

    # --- rules --------------------------------------------------------------------------------

    @initialize(noise=st.integers(0, MAX_NOISE))
    def begin(self, noise: int) -> None:
        """Start it. With `noise` 0 the machine is quiet, and only rules disturb it."""
        self.harness = Harness(
            self.build(),
            seed=Random(noise) if noise else None,  # noqa: S311 - to be repeated
            ordering=self.ordering,
            compat=self.compat,
            config=self.config,
            files=self.files,
            faults=self.faults,
        )
        hub, runtime = self.harness._hub, self.harness._runtime  # noqa: SLF001 - it is ours
        otherwise = hub.who

        def who(able: list[Task]) -> Task:
            if self._chosen is None:
                return otherwise(able)
            return sorted(able, key=lambda task: task.moved)[self._chosen % len(able)]

        hub.who = who
        runtime.instructions = lambda: self._instructions
        self.harness.start()

    @rule(
        who=st.lists(st.integers(0, MAX_ABLE - 1), min_size=1, max_size=MAX_MOVES),
    )
    def move(self, who: list[int]) -> None:
        """Let some move, one after the other; 0 is whoever has not moved for longest."""
        for self._chosen in who:
            if not self.harness.step():
                break
        self._chosen = None
        self._look()

    @rule(after=st.integers(0, MAX_INSTRUCTIONS))
    def interrupt_callbacks(self, after: int) -> None:
        """From now on, let others move in each callback after so many instructions; 0: do not."""
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

    # --- what always holds --------------------------------------------------------------------

    def _look(self) -> None:
        # No invariants for hypothesis: it would print their names after every rule's.
        for event, count in self.harness.counts().items():
            known = count.completed + count.stopped + count.dead + count.waiting + count.in_flight
            assert known == count.accepted, f"events {event!r} do not add up: {count}"
        letters = [] if self.allow_dead_letters else self.harness.unread_dead_letters()
        for letter in letters:
            raise AssertionError(
                f"event {letter.event!r} died in {letter.component}:"
                f" {type(letter.cause).__name__}: {letter.cause}"
            ) from letter.cause

    def teardown(self) -> None:
        """Stop it, and look a last time; or show what happened, if that was a failure."""
        harness = getattr(self, "harness", None)
        if harness is None:
            return
        try:
            if sys.exc_info()[0] is None:
                self._stop(harness)
        except BaseException:  # whatever it was: the picture belongs to it
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
        assert not report.stuck, f"did not stop: {', '.join(report.stuck)}"
        assert not report.timed_out, f"did not come to an end: {report.left} events were left"
        self._look()


class _Trace:
    """The picture of a run, drawn only if hypothesis shows it."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - hypothesis's
        entries = list(self._harness.trace.entries)[-DRAWN:]
        for line in [self._harness.situation(), *draw(entries).splitlines()]:
            printer.text(line + "\n")


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
