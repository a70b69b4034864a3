"""Who moves next: many tasks on one thread, and time that passes when nobody can move.

A task is a greenlet, so it may wait in the middle of anything, as a thread may: in a callback,
deep in the main thread's start. Between two waits nobody else runs, unless a task is interrupted
on purpose (`zenactors.testing._simulator.preempt`).
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from random import Random

import greenlet

from zenactors.core.clock import VirtualClock

OUTSIDE = 1  # the identity of whoever is no task: the test itself
MAX_LATE = 0.002  # seconds: with a seed, how late tasks may wake up
MAX_MOVES = 1_000_000  # at one moment of virtual time: more is a loop without end


class Abandoned(BaseException):
    """Raised in a task that will never go on, where it waits: the harness was closed."""


class EndlessMotionError(Exception):
    """So much happens at one moment that time will never pass."""


class NothingMovesError(Exception):
    """What is waited for cannot happen any more: nobody can move, and no timer runs."""


class Task:
    """Somebody who moves: an actor, the main thread, a producer.

    Attributes:
        name: For the trace.
        number: Its identity, as a thread's identifier is.
        awake: Set to let it move, whatever it waits for.
        done: True once it has ended.
    """

    __slots__ = (
        "_greenlet",
        "awake",
        "deadline",
        "done",
        "failure",
        "moved",
        "name",
        "number",
        "predicate",
    )

    def __init__(self, number: int, name: str, run: Callable[[], object]) -> None:
        self.number = number
        self.name = name
        self.done = False
        self.failure: BaseException | None = None
        self.awake = True
        self.predicate: Callable[[], object] | None = None
        self.deadline: float | None = None
        self.moved = 0
        self._greenlet = greenlet.greenlet(self._run_to_end(run))

    def move(self) -> None:
        """Let it go on until it waits or ends."""
        # Python's tracing belongs to the thread: without this, that of a callback which waits
        # before it is interrupted would go on in others, and stay.
        trace = sys.gettrace()
        self._greenlet.parent = greenlet.getcurrent()
        self._greenlet.switch()
        if sys.gettrace() is not trace:
            sys.settrace(trace)

    def abandon(self) -> None:
        """End it where it waits; what it has open there is released."""
        while not self.done:
            self._greenlet.parent = greenlet.getcurrent()
            if not self._greenlet:  # never begun: there is nothing to release
                self.done = True
                return
            self._greenlet.throw(Abandoned)

    def wait(self) -> None:
        """Go back to who moved it, until it is moved again. In the task itself."""
        parent = self._greenlet.parent
        assert parent is not None
        trace = sys.gettrace()
        parent.switch()
        if sys.gettrace() is not trace:
            sys.settrace(trace)

    def _run_to_end(self, run: Callable[[], object]) -> Callable[[], None]:
        def run_to_end() -> None:
            try:
                run()
            except Abandoned:
                pass
            except BaseException as cause:  # told to whoever moves it, not thrown at it
                self.failure = cause
            finally:
                self.done = True

        return run_to_end


class Hub:
    """Let tasks move, one at a time.

    Args:
        clock: Passes when nobody can move, and only then.
        rng: Chooses who moves; None: whoever has not moved for longest.

    Attributes:
        who: Chooses among those who can move, if there are several.
        current: The task that moves; None: whoever is outside.
        moves: How many moves there were.
        passed: Called with the seconds each time before time passes.
        look: Called when nobody can move: may make somebody able to, from outside. True: it did.
    """

    def __init__(self, clock: VirtualClock, rng: Random | None) -> None:
        self.clock = clock
        self.rng = rng
        self.who = longest_still if rng is None else self._by_chance
        self.current: Task | None = None
        self.moves = 0
        self.closing = False
        self.passed: Callable[[float], None] = _ignore
        self.look: Callable[[], bool] = _nothing_there
        self._outside = greenlet.getcurrent()
        self._tasks: list[Task] = []
        self._numbers = OUTSIDE
        self._at_this_moment = 0

    def ident(self) -> int:
        """Return the identity of who is running."""
        return OUTSIDE if self.current is None else self.current.number

    def spawn(self, name: str, run: Callable[[], object]) -> Task:
        """Add a task. It moves when it is chosen."""
        self._numbers += 1
        task = Task(self._numbers, name, run)
        self._tasks.append(task)
        return task

    def wait(self, predicate: Callable[[], object], timeout: float | None = None) -> None:
        """Let others move, until `predicate()` is true or `timeout` virtual seconds have passed.

        In a task, the others move at least once, if they can. Outside, it is this call that
        lets them move.

        Raises:
            NothingMovesError: Outside, with no `timeout`: it cannot become true any more.
        """
        task = self.current
        deadline = None if timeout is None else self.clock.monotonic() + max(0.0, timeout)
        if task is None:
            self._run(predicate, deadline)
            return
        self._suspend(task, predicate, deadline)

    def doze(self, timeout: float | None) -> None:
        """Let others move, until somebody sets `awake`, or `timeout` seconds have passed.

        In a task. Cheaper than `wait`: nobody looks at anything meanwhile.
        """
        assert self.current is not None
        deadline = None if timeout is None else self.clock.monotonic() + timeout
        self._suspend(self.current, None, deadline)

    def give_way(self) -> None:
        """Let others move; go on at any time. In a task."""
        task = self.current
        assert task is not None
        task.awake = True
        self._suspend(task, None, None)

    def step(self) -> bool:
        """Let one task move. False: nobody can.

        Raises:
            EndlessMotionError: More than a million moves at one moment.
            RuntimeError: In a task: whoever moves cannot let others move but by waiting.
        """
        if self.current is not None:
            raise RuntimeError(
                "step(), run_until_idle() and advance() belong to the test itself. A callback waits"
                " by daemon.wait(seconds), a function given to spawn() by that or wait_until()."
            )
        now = self.clock.monotonic()
        able = [
            task
            for task in self._tasks
            if task.awake
            or ((deadline := task.deadline) is not None and deadline <= now)
            or ((predicate := task.predicate) is not None and predicate())
        ]
        if not able:
            return self.look()
        task = able[0] if len(able) == 1 else self.who(able)
        self._at_this_moment += 1
        if self._at_this_moment > MAX_MOVES:
            raise EndlessMotionError(
                f"{MAX_MOVES:,} moves, and no time has passed; the last was {task.name}'s. Does a"
                " callback schedule its own event without a delay, or does somebody loop round"
                " daemon.wait() without asking whether it returned True, as it does at the stop?"
            )
        self.moves += 1
        task.moved = self.moves
        task.awake = False
        before, self.current = self.current, task
        try:
            task.move()
        finally:
            self.current = before
        if task.done:
            self._tasks.remove(task)
            if task.failure is not None:
                raise task.failure
        return True

    def pass_time(self, until: float | None) -> bool:
        """Let time pass to the next moment at which somebody can move, at most to `until`.

        Nobody must be able to move now. False: there is no such moment, or it is `until` already.
        """
        moments = [task.deadline for task in self._tasks if task.deadline is not None]
        if until is not None:
            moments.append(until)
        if not moments:
            return False
        now = self.clock.monotonic()
        seconds = min(moments) - now
        if seconds <= 0:
            return False
        if self.rng is not None:
            # Nobody wakes at the very moment; what is due shortly after is due at once, too.
            late = seconds + self.rng.random() * MAX_LATE
            seconds = late if until is None else min(late, max(seconds, until - now))
        self._at_this_moment = 0
        self.passed(seconds)
        self.clock.advance(seconds)
        return True

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let Ctrl-C end the test. In a callback the engine would contain it as an error."""
        usual = signal.default_int_handler
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not usual:
            yield  # only the main thread can, and the program may have a handler of its own
            return
        signal.signal(signal.SIGINT, self.interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    def interrupt(self, *_: object) -> None:
        """Raise KeyboardInterrupt outside, whichever task moves. A signal handler."""
        if greenlet.getcurrent() is not self._outside:
            self._outside.throw(KeyboardInterrupt)
        raise KeyboardInterrupt

    def close(self) -> None:
        """End every task where it waits."""
        self.closing = True
        for task in self._tasks:
            before, self.current = self.current, task
            task.abandon()
            self.current = before
        self._tasks.clear()

    def waiting(self) -> list[str]:
        """Return the names of the tasks that have not ended."""
        return [task.name for task in self._tasks]

    def _by_chance(self, able: list[Task]) -> Task:
        assert self.rng is not None
        return able[int(self.rng.random() * len(able))]

    def _suspend(
        self, task: Task, predicate: Callable[[], object] | None, deadline: float | None
    ) -> None:
        if self.closing:
            raise Abandoned
        task.predicate = predicate
        task.deadline = deadline
        task.wait()

    def _run(self, predicate: Callable[[], object], deadline: float | None) -> None:
        while not predicate():
            if self.step():
                continue
            if deadline is not None and self.clock.monotonic() >= deadline:
                return
            if not self.pass_time(deadline):
                raise NothingMovesError("Nobody can move any more, and no timer runs.")


def longest_still(able: list[Task]) -> Task:
    """Choose whoever has not moved for longest."""
    return min(able, key=_moved)


def _moved(task: Task) -> int:
    return task.moved


def _ignore(_: float) -> None:
    pass


def _nothing_there() -> bool:
    return False
