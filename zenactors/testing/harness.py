"""`Harness`: components under the real engine, on the calling thread, in virtual time."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Self

from zenactors.actors.dead_letters import letters_after
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.chain_state import Counts
from zenactors.core.clock import VirtualClock
from zenactors.core.dispatch_state import Ordering
from zenactors.core.policy import EventPolicy
from zenactors.core.supervision import Supervision
from zenactors.daemon.zendaemon import ZenDaemon
from zenactors.errors import NotRunningError, UnknownEventError, did_you_mean
from zenactors.testing._adopt import adopt, virtual_files
from zenactors.testing._simulator.hub import Hub, Task
from zenactors.testing._simulator.main_thread import SimulatedMain
from zenactors.testing._simulator.runtime import HookFailure, SimulatedRuntime
from zenactors.testing._trace.describe import describe, without_addresses
from zenactors.testing._trace.log_capture import LogCapture, LogRecord
from zenactors.testing._trace.trace import SHOWN, Trace
from zenactors.testing.faults import Fault, Faults, InjectedCrash
from zenactors.testing.files import VirtualFiles
from zenactors.testing.probe import Probe

if TYPE_CHECKING:
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.messages import DeadLetter

INTERRUPT = 0.1  # with a seed, the probability that a callback is interrupted in the middle
_STARTING = ("setup", "setup_dump")  # if they raise, the start fails and reports it
MOVES_OUTSIDE = 3  # with a seed, the most moves that others make between two calls from outside


class Harness:
    """Run components, or a whole daemon, on the calling thread, in virtual time.

        with Harness([Parser(), probe := Probe("record")]) as harness:
            harness.queue.schedule("line", "hello")
            probe.expect("record", {"text": "hello"})

    Engine, mailboxes and life-cycle are those of production; only the threads are replaced.
    Everything runs inside a call that waits: `run_until_idle`, `advance`, a probe's `expect` …
    Virtual time passes only when no task can move.

    Without a `seed` the machine is quiet: the task that has not moved for longest moves next, as
    far as it can. With one, the seed chooses everything that differs from run to run on real
    threads: which task moves next, how large batches are, whether a callback is interrupted in
    the middle.

    Args:
        what: The components, as for `Dispatcher`; or a `ZenDaemon`, whose main thread runs too.
        seed: A number, or a `random.Random` that makes the choices.
        ordering: As for `Dispatcher`; a `ZenDaemon` has its own.
        policy: As for `Dispatcher`.
        supervision: As for `Dispatcher`; a `ZenDaemon` has its own.
        config: As for `Dispatcher`.
        exit_when_idle: As for `Dispatcher`.
        clock: The virtual clock; `step()` lets its wall time jump. Also an attribute.
        files: The files that the stock components use instead of the disk: `VirtualFiles`, or
            contents by path. None: the disk.
        faults: Faults that happen on purpose.
        interrupt: With a seed, the probability that a callback is interrupted.
        keep: Remember the whole trace, not only its end.
        sink: Called with each line of the trace.

    Attributes:
        daemon: The daemon that callbacks get.
        trace: Everything that happened, in order.

    Thread: one.
    """

    def __init__(
        self,
        what: Sequence[Any] | ZenDaemon,
        *,
        seed: int | Random | None = None,
        ordering: Ordering = "component",
        policy: EventPolicy | None = None,
        supervision: Supervision | None = None,
        config: Mapping[str, Any] | None = None,
        exit_when_idle: bool = False,
        clock: VirtualClock | None = None,
        files: VirtualFiles | Mapping[str, str | bytes] | None = None,
        faults: Sequence[Fault] = (),
        interrupt: float = INTERRUPT,
        keep: bool = False,
        sink: Callable[[str], object] | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self._files = virtual_files(files)
        self._report: StopReport | None = None
        if seed is not None and not isinstance(seed, int | Random):
            raise TypeError(f"seed must be a whole number or a random.Random, not {seed!r}.")
        rng = Random(seed) if isinstance(seed, int) else seed  # noqa: S311 - to be repeated
        self._seed = seed
        self._thread = threading.get_ident()
        self._begun = self.clock.monotonic()
        self._hub = Hub(self.clock, rng)
        self.trace = Trace(lambda: self.now, keep=keep, sink=sink)
        self._logs = LogCapture(self.trace)
        self._hub.passed = self._time_passes
        own = Random(rng.random()) if rng is not None else Random(0)  # noqa: S311
        self._faults = Faults(faults, own, self.clock, self._note_fault)
        self._runtime = SimulatedRuntime(self._hub, self.trace, self._faults, interrupt=interrupt)
        self._main: SimulatedMain | None = None
        self._spawned: set[Task] = set()
        self._hooks_read = 0
        self._interrupts = contextlib.ExitStack()
        self._last_read: DeadLetter | None = None
        self.daemon: Any
        if isinstance(what, ZenDaemon):
            self._main = SimulatedMain(what, self._runtime, self.clock, self._files)
            self.daemon = what
            self._dispatcher = what.dispatcher
        else:
            if not isinstance(what, Sequence) or isinstance(what, str):
                raise TypeError(
                    f"A harness takes a list of components, or a ZenDaemon, not {describe(what)}."
                )
            self.daemon = self._dispatcher = Dispatcher(
                what,
                ordering=ordering,
                policy=policy,
                supervision=supervision,
                config=config,
                exit_when_idle=exit_when_idle,
                clock=self.clock,
                runtime=self._runtime,
            )
        self._faults.check(self._dispatcher.names, self._dispatcher.chains())
        for entry in self._dispatcher.entries:
            if isinstance(entry.component, Probe):
                entry.component.attach(self._hub.wait, self.situation)
            adopt(entry.name, entry.component, clock=self.clock, seed=seed, files=self._files)

    @property
    def policy(self) -> EventPolicy:
        """What the engine makes of events in special cases."""
        return self._dispatcher.policy

    @property
    def ended_by(self) -> BaseException | None:
        """The first exception that ended everything, or None."""
        return self._dispatcher.ended_by

    # --- life -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # __exit__ is not called then
            self.close()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and not self._hub.closing:
                self.stop()
        finally:
            self.close()

    def start(self) -> None:
        """Set up the components, and let them handle `start`.

        A `ZenDaemon` is started by its main thread. If that fails, it logs the reason and ends
        with `status`.

        Raises:
            ComponentStartError: As `Dispatcher.start`.
        """
        self._logs.open()
        self._interrupts.enter_context(self._hub.interruptible())
        (self._main or self._dispatcher).start()

    def stop(self) -> StopReport:
        """Stop gracefully, as `Dispatcher.stop` or SIGINT do, and return the report."""
        if self.report is None:
            self._check_runs()
            if self._main is None:
                self._report = self._dispatcher.stop()
            else:
                self.daemon.set_done()
                self._main.wait()
        assert self.report is not None
        return self.report

    def close(self) -> None:
        """End every task where it is. Unfinished work is left undone."""
        self._dispatcher.set_done()  # ends loops on daemon.wait(), even those that catch all errors
        self._hub.close()
        self._interrupts.close()
        self._logs.close()

    @property
    def files(self) -> VirtualFiles:
        """The virtual files.

        Raises:
            RuntimeError: The harness has none, and the components use the disk.
        """
        if self._files is None:
            raise RuntimeError(
                "This harness has no files: give it files={'in.log': 'a line\\n'}, or files={}."
                " Without them the components use the disk."
            )
        return self._files

    # --- letting things happen ----------------------------------------------------------------

    @property
    def queue(self) -> LiveQueue:
        """The event queue, as a thread outside sees it."""
        task, rng = self._hub.current, self._hub.rng
        if (
            rng is not None
            and self._logs.is_open
            and (task is None or task in self._spawned)  # a callback uses its own daemon's queue
        ):
            let_move = self._hub.step if task is None else self._hub.give_way
            for _ in range(rng.randrange(MOVES_OUTSIDE)):
                let_move()
        return self._dispatcher.queue

    def run_until_idle(self) -> None:
        """Let all tasks move until none can. No time passes.

        Raises:
            EndlessMotionError: It never ends, because events schedule events.
        """
        self._check_runs()
        while self._hub.step():
            pass

    def step(self) -> bool:
        """Let one task move. Return False if none can before time passes."""
        self._check_runs()
        return self._hub.step()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and everything happen that is due in them.

        Time goes from one moment at which something is due to the next. At each of them all
        tasks move until none can.

        Raises:
            ValueError: `seconds` is negative or not finite.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds must be finite and not negative, not {seconds!r}.")
        self.run_until_idle()
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self._hub.pass_time(end)
            self.run_until_idle()

    def wait_until(self, predicate: Callable[[], object], *, within: float = 5.0) -> bool:
        """Let things happen until `predicate()` is true. Return False if it is not in time."""
        self._check_runs()
        self._hub.wait(predicate, within)
        return bool(predicate())

    def run(self, seconds: float = 3600.0) -> int | None:
        """Let things happen until the daemon ends by itself, for at most `seconds`.

        Returns:
            The exit status; None if it still runs.
        """
        self._check_runs()
        if self._main is not None:
            self._main.wait(seconds)
        else:
            self._dispatcher.wait_for_end(seconds)
        return self.status

    def spawn(self, run: Callable[[], object], name: str = "thread") -> Task:
        """Run a function as another thread outside the daemon.

        Its calls on the daemon or the queue may wait. An exception in it is raised by the call
        that lets it move.
        """
        task = self._hub.spawn(name, run)
        self._spawned.add(task)
        self._runtime.recorder.name(task, name)
        return task

    def signal(self, number: int) -> None:
        """Send a signal to a `ZenDaemon`.

        Raises:
            NotRunningError: The daemon does not run.
            ValueError: The daemon does not trap that signal.
        """
        trap = None if self._main is None else self._main.trap
        if trap is None or self.status is not None:
            raise NotRunningError("Only a ZenDaemon that runs can be sent a signal.")
        self.trace.note("outside", "signal", to=self.daemon.name, text=str(number))
        trap.send(number)

    # --- looking ------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The virtual seconds since the harness was made."""
        return self.clock.monotonic() - self._begun

    @property
    def status(self) -> int | None:
        """The exit status of a `ZenDaemon` that has ended, else None."""
        return None if self._main is None else self._main.status

    @property
    def report(self) -> StopReport | None:
        """The report of the stop; None before it."""
        return self._report if self._main is None else self._main.report

    def component(self, name: str) -> Any:
        """Return a component by its name.

        Raises:
            ValueError: No component has that name.
        """
        for entry in self._dispatcher.entries:
            if entry.name == name:
                return entry.component
        hint = did_you_mean(name, self._dispatcher.names) or "."
        raise ValueError(f"No component is called {name!r}{hint}")

    @property
    def logs(self) -> list[LogRecord]:
        """The lines that were logged while the harness was open."""
        return self._logs.records

    @property
    def statistics(self) -> dict[str, Any]:
        """The statistics of each component, as `get_statistics` returns them."""
        return self._dispatcher.get_statistics("harness")

    def counts(self) -> dict[Any, Counts]:
        """Return the counts of each chain's events."""
        return self._dispatcher.counts()

    def completed(self, event: Any) -> int:
        """Return how many events of this name came through their whole chain.

        Raises:
            UnknownEventError: No component handles it.
        """
        counts = self.counts()
        if event not in counts:
            raise UnknownEventError(event, known=counts)
        return counts[event].completed

    def dead_letters(self) -> list[DeadLetter]:
        """Return the events that could not be handled, oldest first, and mark them as read."""
        letters = self._dispatcher.dead_letters()
        self._last_read = letters[-1] if letters else None
        return letters

    def unread_dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters that `dead_letters()` has not returned yet."""
        return letters_after(self._last_read, self._dispatcher.dead_letters())

    def hook_failures(self) -> list[HookFailure]:
        """Return the exceptions of timers' callbacks and of `teardown`, and mark them as read."""
        failures = self._runtime.failures
        self._hooks_read = len(failures)
        return [each for each in failures if each.hook not in _STARTING]

    def unread_hook_failures(self) -> list[HookFailure]:
        """Return those that `hook_failures()` has not returned yet, without injected crashes."""
        return [
            each
            for each in self._runtime.failures[self._hooks_read :]
            if each.hook not in _STARTING and not isinstance(each.cause, InjectedCrash)
        ]

    def situation(self) -> str:
        """Return the last 20 events and where each is, as a failure shows them."""
        seed = "" if self._seed is None else f", seed {self._seed}"
        self._dispatcher.is_idle()  # so that what was scheduled last is in the trace, too
        head = f"The last {SHOWN} events, {self.now:g} s after the start{seed}:"
        return f"{head}\n{self.trace.last_events(SHOWN)}"

    # --- inside -------------------------------------------------------------------------------

    def _check_runs(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "A harness belongs to the thread that made it. For another thread outside, give a"
                " function to spawn()."
            )
        if self._hub.closing:
            raise NotRunningError("The harness is closed; make a new one.")
        if not self._logs.is_open:
            raise NotRunningError(
                "The harness is not started: use `with Harness(...) as harness:`, or the fixture"
                " zen_harness."
            )

    def _time_passes(self, seconds: float) -> None:
        self.trace.note("time", "passes", text=f"{seconds:.6f}")
        if self._faults:
            self._faults.at("time", "time")

    def _note_fault(self, component: str, text: str) -> None:
        self.trace.note(component, "fault", text=without_addresses(text))
