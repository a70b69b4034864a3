"""`Harness`: components under the real engine, on the calling thread, in virtual time."""

from __future__ import annotations

import contextlib
import copy
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Self

from zenactors.actors.dead_letters import letters_after
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.accounting import Accounting, Counts
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
from zenactors.testing.faults import (
    Fault,
    Faults,
    InjectedCrash,
    Kill,
    LostSync,
    PowerFailure,
    ProcessCrashed,
    ShortWrite,
    in_words,
)
from zenactors.testing.files import VirtualFiles
from zenactors.testing.probe import Probe

if TYPE_CHECKING:
    from zenactors.actors.letter_box import LetterBox
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.dead_letters import DeadLetter

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
        dead_letter_file: As for `Dispatcher`; among `files`, if these are given.
        state_dir: As for `Dispatcher`; a `ZenDaemon` has the configuration key.
        clock: The virtual clock; `step()` lets its wall time jump. Also an attribute.
        files: The files of the stock components, dead letters and state stores instead of the disk:
            `VirtualFiles`, or contents by path. None: the disk.
        faults: Faults that happen on purpose.
        interrupt: With a seed, the probability that a callback is interrupted.
        keep: Remember the whole trace, not only its end.
        sink: Called with each line of the trace.

    Attributes:
        daemon: The daemon that callbacks get.
        trace: Everything that happened, in order.
        lives: The harnesses of all starts of the program, each after a crash but the first; the
            last is this one.

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
        dead_letter_file: str | None = None,
        state_dir: str | None = None,
        clock: VirtualClock | None = None,
        files: VirtualFiles | Mapping[str, str | bytes] | None = None,
        faults: Sequence[Fault] = (),
        interrupt: float = INTERRUPT,
        keep: bool = False,
        sink: Callable[[str], object] | None = None,
    ) -> None:
        if seed is not None and not isinstance(seed, int | Random):
            raise TypeError(f"seed must be a whole number or a random.Random, not {seed!r}.")
        self.clock = clock or VirtualClock()
        self._seed = seed
        self._rng = Random(seed) if isinstance(seed, int) else seed  # noqa: S311 - to be repeated
        self._thread = threading.get_ident()
        self._begun = self.clock.monotonic()
        self.trace = Trace(lambda: self.now, keep=keep, sink=sink)
        own = 0 if self._rng is None else self._rng.random()
        self._chance = Random(own)  # noqa: S311 - to be repeated
        self._faults = Faults(faults, self._chance, self.clock, self._note_fault)
        self._interrupt = interrupt
        self._options: dict[str, Any] = {
            "ordering": ordering,
            "policy": policy,
            "supervision": supervision,
            "config": config,
            "exit_when_idle": exit_when_idle,
            "dead_letter_file": dead_letter_file,
            "state_dir": state_dir,
        }
        self.lives = [self]
        self._make_process(what, virtual_files(files))

    def _make_process(self, what: Sequence[Any] | ZenDaemon, files: VirtualFiles | None) -> None:
        """Make all that is in the memory of the process."""
        self._files = files
        self._report: StopReport | None = None
        self._crash: ProcessCrashed | None = None
        self._left: VirtualFiles | None = None  # after the crash
        self._hub = Hub(self.clock, self._rng)
        self._logs = LogCapture(self.trace)
        self._hub.passed = self._time_passes
        self._runtime = SimulatedRuntime(
            self._hub, self.trace, self._faults, interrupt=self._interrupt
        )
        self._runtime.files = self._files
        self._main: SimulatedMain | None = None
        self._spawned: set[Task] = set()
        self._hooks_read = 0
        self._interrupts = contextlib.ExitStack()
        self._last_read = 0
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
                what, clock=self.clock, runtime=self._runtime, **self._options
            )
        if len(self.lives) == 1:
            self._faults.check(self._dispatcher.names, self._dispatcher.chains())
        self._let_crash()
        for entry in self._dispatcher.entries:
            if isinstance(entry.component, Probe):
                entry.component.attach(self._hub.wait, self.situation)
            adopt(
                entry.name,
                entry.component,
                clock=self.clock,
                seed=self._seed,
                files=self._files,
                life=len(self.lives),
            )

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
        if self._crash is not None:
            self._logs.close()  # what it says as it is cleared away is not heard
        self._dispatcher.set_done()  # ends loops on daemon.wait(), even those that catch all errors
        self._hub.close()
        self._dispatcher.release_resources()
        if self._files is not None:
            self._files.close_watches()
        self._interrupts.close()
        self._logs.close()

    # --- crashes ------------------------------------------------------------------------------

    def kill(self, *, power_failure: bool = False, seconds: float = 1.0) -> None:
        """Let the process die now, as a `Kill` or `PowerFailure` does, and close the harness.

        Args:
            power_failure: Cut the power.
            seconds: How long it is until the next start.

        In a callback, it does not return.
        """
        self._check_runs()
        fault = (PowerFailure if power_failure else Kill)(point="step", nth=1, seconds=seconds)
        self._note_fault("outside", in_words(fault))
        with contextlib.suppress(ProcessCrashed):
            self._kill(fault)
        self.close()

    def next_life(self, what: Sequence[Any] | ZenDaemon) -> Harness:
        """Return a harness for the next start of a program whose process has died.

        It has the clock, seed, faults and trace of this one, and the files as the crash left
        them. This one keeps those of the dead process.

        Args:
            what: New components, or a new `ZenDaemon`.

        Raises:
            RuntimeError: The process has not died.
        """
        if self._crash is None:
            raise RuntimeError("next_life() is for after a crash, and this process has not died.")
        self.close()
        fault = self._crash.fault
        after = copy.copy(self)
        after.lives = [*self.lives, after]
        self.trace.note("time", "passes", text=f"{fault.seconds:.6f}")
        self.clock.advance(fault.seconds)
        after._make_process(what, self._left)  # noqa: SLF001 - of its own class
        return after

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

    def accounting(self) -> Accounting:
        """Return the books: where each event is that was accepted; see `Dispatcher.accounting`."""
        return self._dispatcher.accounting()

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

    @property
    def dead_letters(self) -> LetterBox:
        """The events that could not be handled; called, it lists them and marks them as read."""
        return self._dispatcher.dead_letters.read_by(self._note_read)

    def _note_read(self, letters: Sequence[DeadLetter]) -> None:
        self._last_read = max((letter.number for letter in letters), default=self._last_read)

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
        if self._faults:
            self._faults.at("time", "time")
        self.trace.note("time", "passes", text=f"{seconds:.6f}")

    def _let_crash(self) -> None:
        self._faults.kill = self._kill
        if self._faults.any_at("step"):
            who = self._runtime.recorder.who
            self._hub.moving = lambda task: self._faults.at("step", who(task.number))
        if self._faults.any_at("file"):
            self.files.observe(self._file_called, self._die)

    def _file_called(self, call: str, size: int) -> tuple[int, bool]:
        task = self._hub.current
        if task is None or self._crash is not None:
            return size, False  # the test itself, or what is left of the process
        happened = self._faults.at("file", self._runtime.recorder.who(task.number), call)
        if self._crash is not None:
            return self._chance.randint(0, size), True
        for fault in happened:
            if isinstance(fault, ShortWrite):
                size = max(1, self._chance.randrange(size))
            elif isinstance(fault, LostSync):
                size = 0
        return size, False

    def _kill(self, fault: Kill) -> None:
        if self._crash is None:
            self._crash = ProcessCrashed(fault)
            if fault.point != "file":  # otherwise it dies within the call
                self._die()

    def _die(self) -> None:
        assert self._crash is not None
        if self._files is not None:  # now, because what is left of the process goes on for a while
            power = self._chance if isinstance(self._crash.fault, PowerFailure) else None
            self._left = self._files.crash(power)
        self._runtime.recorder.note_scheduled()
        self.trace.crashed()
        self._runtime.note_in(Trace(lambda: self.now))  # what is left of the process
        self._hub.die(self._crash)

    def _note_fault(self, component: str, text: str) -> None:
        self.trace.note(component, "fault", text=without_addresses(text))
