"""`Harness`: components under the real engine, on the calling thread, in virtual time."""

from __future__ import annotations

import contextlib
import functools
import math
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from loguru import logger

from zenactors.actors.dead_letters import letters_after
from zenactors.actors.dispatcher import Dispatcher
from zenactors.components._files import SYSTEM_FILES
from zenactors.config.redaction import json_text
from zenactors.core.chain_state import Counts
from zenactors.core.clock import VirtualClock
from zenactors.core.component import Unseeded, ZenDaemonComponent, set_clock
from zenactors.core.dispatch_state import Ordering
from zenactors.daemon.json_file import save_json
from zenactors.daemon.zendaemon import ZenDaemon
from zenactors.errors import (
    ConfigurationError,
    NotRunningError,
    UnknownEventError,
    did_you_mean,
)
from zenactors.testing._simulator.hub import Hub, Task
from zenactors.testing._simulator.runtime import HookFailure, SimulatedRuntime
from zenactors.testing._simulator.simulated import SimulatedTrap
from zenactors.testing._trace.describe import describe, without_addresses
from zenactors.testing._trace.trace import SHOWN, Trace
from zenactors.testing.faults import Fault, Faults, InjectedCrash
from zenactors.testing.files import VirtualFiles
from zenactors.testing.probe import Probe

if TYPE_CHECKING:
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.messages import DeadLetter

_USED = "_zenactors_in_a_harness"  # set on a component: it cannot be in another
INTERRUPT = 0.1  # how probable it is, with a seed, that a callback is interrupted in the middle
MOVES_OUTSIDE = 3  # with a seed, how many moves others make at most between two calls from outside


class LogRecord(NamedTuple):
    """One line that was logged."""

    level: str
    component: str
    message: str


class Harness:
    """Run components, or a whole daemon, on the calling thread, in virtual time.

        with Harness([Parser(), probe := Probe("record")]) as harness:
            harness.queue.schedule("line", "hello")
            probe.expect("record", {"text": "hello"})

    Engine, mailboxes and life-cycle are those of production; what is replaced is who runs
    when. Nothing runs but inside a call that waits: `run_until_idle`, `advance`, a probe's
    `expect` … Virtual time passes when nobody can move, and only then.

    Without a `seed`, whoever has not moved for longest moves next, and each does as much
    as it can: a quiet machine. With one, everything that differs from run to run on
    real threads is chosen by it: who moves next, how large batches are, whether a callback is
    interrupted in the middle.

    Args:
        what: The components, as for `Dispatcher`; or a `ZenDaemon`, whose main thread runs too.
        seed: What chooses; a number, or a `random.Random` to choose with.
        ordering: As for `Dispatcher`; a `ZenDaemon` has its own.
        compat: As for `Dispatcher`.
        config: As for `Dispatcher`.
        exit_when_idle: As for `Dispatcher`.
        clock: The virtual clock.
        files: What the stock components read and write instead of the disk: `VirtualFiles`, or
            contents by path. None: the disk.
        faults: What goes wrong on purpose.
        interrupt: With a seed, how probable it is that a callback is interrupted.
        keep: Remember the whole trace, not its end only.
        sink: Called with each line of the trace.

    Attributes:
        clock: The virtual clock; `step()` lets its wall time jump.
        daemon: What callbacks get as `daemon`.
        journal: What happened.
        logs: What was logged while the harness was open.
        report: What the stop left undone; None while it runs.

    Thread: one.
    """

    def __init__(
        self,
        what: Sequence[Any] | ZenDaemon,
        *,
        seed: int | Random | None = None,
        ordering: Ordering = "component",
        compat: Literal["pyzenkit"] | None = None,
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
        self._files = _made_of(files)
        self.logs: list[LogRecord] = []
        self.report: StopReport | None = None
        if seed is not None and not isinstance(seed, int | Random):
            raise TypeError(f"seed must be a whole number or a random.Random, not {seed!r}.")
        rng = Random(seed) if isinstance(seed, int) else seed  # noqa: S311 - to be repeated
        self._rng = rng
        self._seed = seed
        self._thread = threading.get_ident()
        self._begun = self.clock.monotonic()
        self._hub = Hub(self.clock, rng)
        self.trace = Trace(self._seconds, keep=keep, sink=sink)
        self._hub.passed = self._time_passes
        own = Random(rng.random()) if rng is not None else Random(0)  # noqa: S311
        self._faults = Faults(faults, own, self.clock, self._note_fault)
        self._runtime = SimulatedRuntime(self._hub, self.trace, self._faults, interrupt=interrupt)
        self._trap: SimulatedTrap | None = None
        self._main: Task | None = None
        self._status: int | None = None
        self._spawned: set[Task] = set()
        self._hooks_read = 0
        self._sink_id = -1
        self._interrupts = contextlib.ExitStack()
        self._last_read: DeadLetter | None = None
        self.daemon: Any
        if isinstance(what, ZenDaemon):
            what.attach_runtime(self._runtime, self.clock, trap=self._make_trap, save=self._save)
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
                compat=compat,
                config=config,
                exit_when_idle=exit_when_idle,
                clock=self.clock,
                runtime=self._runtime,
            )
        self._faults.check(self._dispatcher.names, self._dispatcher.chains())
        for entry in self._dispatcher.entries:
            self._adopt(entry.name, entry.component)

    # --- life -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # nobody will leave the block: what was made must go
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

        A `ZenDaemon` is started by its main thread; if that fails, it has logged why and
        has ended with `status`.

        Raises:
            ComponentStartError: As `Dispatcher.start`.
        """
        self._sink_id = logger.add(
            self._log,
            level="TRACE",
            format="{message}",
            backtrace=False,
            diagnose=False,
            catch=False,
        )
        self._pass_on_interrupts()
        if not isinstance(self.daemon, ZenDaemon):
            self._dispatcher.start()
            return
        self._main = self._hub.spawn(self.daemon.name, self._serve)
        self._runtime.name(self._main, self.daemon.name)
        self._hub.wait(lambda: self._status is not None or self._dispatcher.is_open)

    def stop(self) -> StopReport:
        """Stop gracefully, as `Dispatcher.stop`; a `ZenDaemon` as by SIGINT. Return the report."""
        if self.report is None:
            self._check_runs()
            if self._main is None:
                self.report = self._dispatcher.stop()
            else:
                self.daemon.set_done()
                self._hub.wait(lambda: self._status is not None)
        assert self.report is not None
        return self.report

    def close(self) -> None:
        """End everything where it stands: what is under way is left undone."""
        self._dispatcher.set_done()  # for loops that wait until then, whatever is raised in them
        self._hub.close()
        self._interrupts.close()
        if self._sink_id >= 0:
            logger.remove(self._sink_id)
            self._sink_id = -1

    @property
    def files(self) -> VirtualFiles:
        """The virtual files.

        Raises:
            RuntimeError: The harness was given none: the components use the disk.
        """
        if self._files is None:
            raise RuntimeError(
                "This harness has no files: give it files={'in.log': 'a line\\n'}, or files={}."
                " Without, the components use the disk."
            )
        return self._files

    # --- letting things happen ----------------------------------------------------------------

    @property
    def queue(self) -> LiveQueue:
        """The event queue, as a thread outside sees it."""
        task = self._hub.current
        if (
            self._rng is not None
            and self._sink_id >= 0
            and (task is None or task in self._spawned)  # a callback uses its own daemon's queue
        ):
            let_move = self._hub.step if task is None else self._hub.give_way
            for _ in range(self._rng.randrange(MOVES_OUTSIDE)):
                let_move()
        return self._dispatcher.queue

    def run_until_idle(self) -> None:
        """Let everybody move until nobody can. No time passes.

        Raises:
            EndlessMotionError: It never comes to an end, as events schedule events.
        """
        self._check_runs()
        while self._hub.step():
            pass

    def step(self) -> bool:
        """Let one of those who can move do so. False: nobody can before time passes."""
        self._check_runs()
        return self._hub.step()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and everything that happens in them.

        Time goes from one moment at which something is due to the next; at each of them
        everybody moves until nobody can.

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
        """Let things happen until `predicate()` is true. False: not within so many seconds."""
        self._check_runs()
        self._hub.wait(predicate, within)
        return bool(predicate())

    def run(self, seconds: float = 3600.0) -> int | None:
        """Let things happen until the daemon ends by itself, at most so many seconds.

        Returns:
            The status; None: it still runs.
        """
        self._check_runs()
        if self._main is not None:
            self._hub.wait(lambda: self._status is not None, seconds)
        else:
            self._dispatcher.wait_for_end(seconds)
        return self.status

    def spawn(self, run: Callable[[], object], name: str = "thread") -> Task:
        """Let a function be run by another thread outside: it moves as the others do.

        What it calls on the daemon or its queue may wait; what it raises is raised by the
        call that lets it move.
        """
        task = self._hub.spawn(name, run)
        self._spawned.add(task)
        self._runtime.name(task, name)
        return task

    def signal(self, number: int) -> None:
        """Send a signal to a `ZenDaemon`.

        Raises:
            NotRunningError: It does not serve.
            ValueError: It does not trap that signal.
        """
        if self._trap is None or self._status is not None:
            raise NotRunningError("Only a ZenDaemon that runs can be sent a signal.")
        self.trace.note("outside", "signal", to=self.daemon.name, text=str(number))
        self._trap.send(number)

    # --- how things stand ---------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The virtual seconds since the harness was made."""
        return self._seconds()

    @property
    def status(self) -> int | None:
        """The exit status of a `ZenDaemon` that has ended, else None."""
        return self._status

    def component(self, name: str) -> Any:
        """Return a component by its name.

        Raises:
            ValueError: There is none of that name.
        """
        for entry in self._dispatcher.entries:
            if entry.name == name:
                return entry.component
        hint = did_you_mean(name, self._dispatcher.names) or "."
        raise ValueError(f"No component is called {name!r}{hint}")

    @property
    def statistics(self) -> dict[str, Any]:
        """What each component has counted, as `get_statistics`."""
        return self._dispatcher.get_statistics("harness")

    def counts(self) -> dict[Any, Counts]:
        """Return what became of the events of each chain."""
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
        """Return the events that could not be handled, oldest first. They count as read then."""
        letters = self._dispatcher.dead_letters()
        self._last_read = letters[-1] if letters else None
        return letters

    def unread_dead_letters(self) -> list[DeadLetter]:
        """Return those that nobody has asked for."""
        return letters_after(self._last_read, self._dispatcher.dead_letters())

    def hook_failures(self) -> list[HookFailure]:
        """Return what components raised outside of events: in timers' callbacks, at teardown.

        They count as read then.
        """
        self._hooks_read = len(self._runtime.failures)
        return _outside_of_events(self._runtime.failures)

    def unread_hook_failures(self) -> list[HookFailure]:
        """Return those that nobody has asked for, but for what an injected crash raised."""
        return [
            each
            for each in _outside_of_events(self._runtime.failures[self._hooks_read :])
            if not isinstance(each.cause, InjectedCrash)
        ]

    def situation(self) -> str:
        """Return the last 20 events and where each is, as a failure shows them."""
        seed = "" if self._seed is None else f", seed {self._seed}"
        head = f"The last {SHOWN} events, {self.now:g} s after the begin{seed}:"
        return f"{head}\n{self.trace.last_events(SHOWN)}"

    # --- inside -------------------------------------------------------------------------------

    def _serve(self) -> None:
        status = self.daemon.serve()
        self.report = self.daemon.stop_report
        self._status = status

    def _make_trap(self, signals: Any) -> SimulatedTrap:
        self._trap = SimulatedTrap(self._hub, signals)
        return self._trap

    def _pass_on_interrupts(self) -> None:
        """Let Ctrl-C end the test, and not the callback that runs: there it would be contained."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return  # somebody else has decided what it does
        signal.signal(signal.SIGINT, self._hub.interrupt)
        self._interrupts.callback(signal.signal, signal.SIGINT, signal.default_int_handler)

    def _check_runs(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "A harness belongs to the thread that made it. To be another thread outside, give"
                " a function to spawn()."
            )
        if self._hub.closing:
            raise NotRunningError("The harness is closed: nothing happens any more.")
        if self._sink_id < 0:
            raise NotRunningError(
                "The harness is not started: use `with Harness(...) as harness:`, or the fixture"
                " zen_harness."
            )

    def _save(self, path: Path, value: Any) -> None:
        if self._files is None:
            save_json(path, value)
        else:
            self._files.put(str(path), json_text(value))

    def _adopt(self, name: str, component: Any) -> None:
        """Give a component virtual time, random numbers by the seed, and the virtual files."""
        if isinstance(component, Probe):
            component.attach(self._await, self.situation)
        if not isinstance(component, ZenDaemonComponent):
            return
        if vars(component).get(_USED):
            raise ConfigurationError(
                f"Component {name!r} was in a harness before: make new components for each, and"
                " in a scenario inside build()."
            )
        # Past what a component may have forbidden, as a frozen dataclass does.
        give = functools.partial(object.__setattr__, component)
        give(_USED, True)  # noqa: FBT003 - its value
        set_clock(component, self.clock)
        cls = type(component)
        own = vars(component).get("random")
        if cls.random is ZenDaemonComponent.random and (own is None or type(own) is Unseeded):
            give("random", Random(f"{self._seed_text()}:{name}"))  # noqa: S311
        if self._files is not None and getattr(cls, "files", None) is SYSTEM_FILES:
            give("files", self._files)

    def _seed_text(self) -> str:
        return str(self._seed) if isinstance(self._seed, int) else "0"

    def _await(self, predicate: Callable[[], bool], within: float) -> None:
        self._hub.wait(predicate, within)

    def _seconds(self) -> float:
        return self.clock.monotonic() - self._begun

    def _time_passes(self, seconds: float) -> None:
        self.trace.note("time", "passes", text=f"{seconds:.6f}")
        if self._faults:
            self._faults.at("time", "time")

    def _note_fault(self, component: str, text: str) -> None:
        self.trace.note(component, "fault", text=without_addresses(text))

    def _log(self, message: Any) -> None:
        record = message.record
        if "phase" in record["extra"]:  # the engine's own; a component has nothing to do with it
            return
        component = str(record["extra"].get("component", ""))
        self.logs.append(LogRecord(record["level"].name, component, record["message"]))
        text = without_addresses(f"{record['level'].name} {record['message']}")
        self.trace.note(component or "daemon", "log", text=text)


def _outside_of_events(failures: list[HookFailure]) -> list[HookFailure]:
    starting = ("setup", "setup_dump")  # these make the start fail, and are told so
    return [each for each in failures if each.hook not in starting]


def _made_of(files: VirtualFiles | Mapping[str, str | bytes] | None) -> VirtualFiles | None:
    if files is None or isinstance(files, VirtualFiles):
        return files
    if not isinstance(files, Mapping):
        raise TypeError(f"files must be VirtualFiles, or contents by path, not {describe(files)}.")
    made = VirtualFiles()
    for path, content in files.items():
        if not isinstance(content, str | bytes):
            raise TypeError(
                f"The content of {path!r} must be str or bytes, not {describe(content)}."
            )
        made.put(path, content)
    return made
