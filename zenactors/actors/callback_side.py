"""The part of a `Dispatcher` that callbacks use. They get it as their `daemon`.

Atomic operations relied on: reading one item of a dict, and the copy of one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zenactors.actors.hang_guard import abandoned_names
from zenactors.actors.token_holds import TokenHold
from zenactors.core.accounting import Accounting, Counts
from zenactors.core.callbacks import callback_name
from zenactors.core.clock import to_seconds
from zenactors.core.dead_letters import DeadLetter
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.names import DaemonNames
from zenactors.errors import ZenDaemonComponentException

if TYPE_CHECKING:
    import subprocess

    import tenacity

    from zenactors.actors.engine import Engine
    from zenactors.actors.letter_box import LetterBox
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.actors.percent_logger import PercentLogger
    from zenactors.actors.reactor import ComponentReactor
    from zenactors.actors.runtime import Runtime
    from zenactors.actors.state_directory import StateDirectory
    from zenactors.components._state_store import StateStore
    from zenactors.core.batch_runner import BatchRunner
    from zenactors.core.clock import Clock
    from zenactors.process.children import Children


class CallbackSide(DaemonNames):
    """The part of a `Dispatcher` that its components use.

    Attributes:
        logger: Takes `%s` arguments, as the standard library's, and writes to loguru.
        clock: The source of time.
        queue: The event queue. Safe from any thread.
    """

    logger: PercentLogger
    clock: Clock
    queue: LiveQueue
    _engine: Engine
    _runtime: Runtime
    _children: Children
    _state: StateDirectory
    _letters: LetterBox

    def set_done(self) -> None:
        """Ask the program that runs the dispatcher for a graceful stop. Returns at once."""
        self._check_not_abandoned()
        self._engine.done.set()
        self._engine.notifier.notify()

    def is_done(self) -> bool:
        """Return True once it is time to stop. Then produce no new work.

        It is also True in a thread that was abandoned.
        """
        if self._engine.done.is_set():
            return True
        runner = self._engine.runners.get(self._runtime.ident())
        return runner is not None and runner.is_abandoned

    def wait(self, period: float | None) -> bool:
        """Wait `period` seconds, or until it is time to stop. Return True if it is.

        Args:
            period: None, or infinity, waits until it is time to stop. A negative one, however
                large, returns at once.

        Raises:
            ValueError: `period` is NaN.
            AbandonedError: The calling thread was abandoned before.
        """
        left = None
        if period is not None and period != math.inf:
            left = 0.0 if period == -math.inf else max(0.0, to_seconds("period", period))
        self._check_not_abandoned()
        return self._engine.done.wait(left)

    def retrying(self, **options: Any) -> tenacity.Retrying:
        """Return tenacity's `Retrying`, whose waits end when it is time to stop.

            for attempt in daemon.retrying(wait=tenacity.wait_exponential(max=60)):
                with attempt:
                    self.connect()

        Args:
            options: Those of tenacity, except `sleep`. Without `stop`, it tries for ever.

        Raises:
            RetryInterruptedError: Raised by the loop instead of another attempt once the daemon
                stops. If a callback lets it pass, its event counts as left undone.
        """
        from zenactors.actors.retries import retrying  # noqa: PLC0415 - slow to import

        return retrying(self.wait, **options)

    def spawn(self, argv: Sequence[str], **popen_options: Any) -> subprocess.Popen[Any]:
        """Run a program that does not outlive the components: a stop ends it after the teardowns.

        It begins with no signal blocked or ignored, in a process group of its own, without a
        shell. Blocks until it runs. Thread: any.

        Args:
            argv: The program and its arguments.
            popen_options: Those of `subprocess.Popen`, except group, session and `shell`.

        Raises:
            OSError: The program cannot be run.
            RuntimeError: The programs have been ended already.
        """
        self._check_not_abandoned()
        return self._children.spawn(argv, **popen_options)

    def state_store(self) -> StateStore:
        """Return the calling component's state store: one JSON value that survives the process.

        It is a file in `state_dir`, named after the component; each replica has its own. Blocks
        while the file is read. Thread: own.

        Raises:
            ConfigurationError: There is no `state_dir`.
            StateStoreError: The directory or the file cannot be used, or another daemon uses the
                directory.
            RuntimeError: If the calling thread is not a component's, or the daemon has stopped.
        """
        return self._state.open(self._own_runner("state_store()").name)

    @property
    def ends_cleanly(self) -> bool:
        """False once an exception out of a callback, or a bug, ends the daemon."""
        return self._engine.ends_cleanly

    def resolve_path(self, path: str) -> str:
        """Return `path`: it is relative to the current directory, unless a daemon has left that."""
        return path

    def dbgout(self, message: str) -> None:
        """Log a debugging message."""
        self.logger.debug(message)

    def set_exit_status(self, status: int) -> None:
        """Set the exit status. The first one set counts."""
        self._check_not_abandoned()
        self._engine.set_exit_status(status)

    @property
    def io(self) -> ComponentReactor:
        """The calling component's descriptors and timers.

        Raises:
            RuntimeError: If the calling thread is not a component's.
            AbandonedError: If it was abandoned.

        Thread: own.
        """
        reactor = self._engine.reactors.get(self._runtime.ident())
        if reactor is None:
            raise RuntimeError(
                "daemon.io belongs to a component's own thread: use it in setup() and in callbacks."
            )
        self._check_not_abandoned()
        return reactor

    def hold(self) -> TokenHold:
        """Keep the event under way from counting as done until the hold is released.

        Raises:
            RuntimeError: If the calling thread is not a component's.

        Thread: own.
        """
        return TokenHold(self._own_runner("hold()"), self._runtime.ident)

    @contextlib.contextmanager
    def part_of(self, hold: TokenHold) -> Iterator[None]:
        """Let what is scheduled in this block, in a timer say, count as part of a held event.

        Raises:
            RuntimeError: If the calling thread is not a component's, or if the hold is another's.

        Thread: own.
        """
        runner = self._own_runner("part_of()")
        hold.check_thread()
        before, runner.token = runner.token, hold.token
        open_until_the_end = self.hold()  # even if the block releases the other one
        try:
            yield
        finally:
            open_until_the_end.release()
            runner.token = before

    def open_tokens(self) -> tuple[int, float]:
        """Return how many events with an `on_done` are not done, and the age of the oldest.

        The age is in seconds; 0 if there is none.
        """

        def look(state: DispatchState) -> tuple[int, float | None]:
            return state.tokens.count(), state.tokens.oldest()

        count, oldest = self._engine.loop.ask(look)
        return count, 0.0 if oldest is None else self.clock.monotonic() - oldest

    @property
    def incarnation(self) -> int:
        """How many objects the calling component has been, from 1: a number for fencing.

        Raises:
            RuntimeError: If the calling thread is not a component's.

        Thread: own.
        """
        return self._own_runner("incarnation").supervisor.incarnation

    def _own_runner(self, what: str) -> BatchRunner:
        runner = self._engine.runners.get(self._runtime.ident())
        if runner is None:
            raise RuntimeError(
                f"daemon.{what} belongs to a component's own thread: use it in setup() and in"
                " callbacks."
            )
        runner.check_not_abandoned()
        return runner

    def _check_not_abandoned(self) -> None:
        runner = self._engine.runners.get(self._runtime.ident())
        if runner is not None:
            runner.check_not_abandoned()

    def abandoned(self) -> list[str]:
        """Return the component of each abandoned thread that still runs. Thread: any."""
        return abandoned_names(self._engine.runners)

    def readiness(self) -> list[str]:
        """Return why the components do not all work now; empty if they do. Thread: any."""
        engine = self._engine
        reasons = [*engine.down.copy().items(), *engine.hanging.copy().items()]
        return [why for _, why in sorted(reasons)]

    def accounting(self) -> Accounting:
        """Return the books: where each accepted event is, and what each component has done.

        They are balanced at each moment, through restarts, reloads, cancels and stops, and after a
        stop. An event counts from its acceptance on: not yet while the callback that schedules it
        runs. Thread: any.
        """

        def look(state: DispatchState) -> tuple[list[tuple[Any, Counts]], int, float | None]:
            return state.counts(), state.tokens.count(), state.tokens.oldest()

        counts, open_tokens, oldest = self._engine.loop.ask(look)
        age = 0.0 if oldest is None else self.clock.monotonic() - oldest
        engine = self._engine
        return Accounting(
            dict(counts),
            engine.component_counts(),
            open_tokens,
            age,
            engine.best_effort_counts(),
        )

    def dead_letter(
        self,
        event: Any,
        args: Any,
        cause: BaseException | str,
        *,
        position: Any = None,
        callback: Any = None,
    ) -> DeadLetter:
        """Make an event a dead letter that this component gives up by itself.

        For a source that must not hand on a record, and for a sink whose callback has returned
        before it failed: the event is counted, logged and kept as one is whose callback raises, and
        policies do not apply. It need not have been scheduled, and no failure of a component is
        counted.

        Args:
            event: The event.
            args: Its args.
            cause: The reason: an exception, from which the traceback is taken, or a text.
            position: Where the source has read it.
            callback: The calling component's, at which a replay begins, with these args. None: it
                begins with the first callback of the event's chain.

        Returns:
            The letter as it is kept.

        Raises:
            AbandonedError: The calling thread was abandoned.

        Thread: any; a thread outside of components gives it up as `"outside"`.
        """
        self._check_not_abandoned()
        runner = self._engine.runners.get(self._runtime.ident())
        if not isinstance(cause, BaseException):
            cause = ZenDaemonComponentException(str(cause))
        if runner is None:
            letter = DeadLetter(event, args, "outside", "", cause, attempts=0, position=position)
        else:
            name = "" if callback is None else callback_name(callback)
            letter = runner.letter(event, args, name, cause, 0, position)
        return self._engine.event_given_up(letter)

    @property
    def dead_letters(self) -> LetterBox:
        """The last 1,000 events that could not be handled; called, it returns them as a list."""
        return self._letters

    @property
    def replaying(self) -> DeadLetter | None:
        """The dead letter whose replay the event under way is, or has come of; None otherwise.

        Raises:
            RuntimeError: If the calling thread is not a component's.

        Thread: own.
        """
        token = self._own_runner("replaying").token
        replay = None if token is None else token.replay()
        return None if replay is None else replay.letter
