"""The scheduler of a simulation: many tasks on one thread, and virtual time.

A task is a greenlet, so it may wait anywhere, as a thread may: in a callback, or deep in the main
thread's start. Between two waits no other task runs, unless a task is interrupted on purpose
(`zenactors.testing._simulator.preempt`). Time passes only when no task can move.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import NoReturn

import greenlet

from zenactors.core.clock import VirtualClock

OUTSIDE = 1  # the identity of the test itself, which is no task
MAX_LATE = 0.002  # seconds by which, with a seed, tasks may wake up late
MAX_MOVES = 1_000_000  # at one moment of virtual time: more is an endless loop


class Abandoned(BaseException):
    """Raised where a task waits when the harness is closed: the task will never go on."""


class EndlessMotionError(Exception):
    """Tasks move without end at one moment, so that time never passes."""


class NothingMovesError(Exception):
    """A wait can never end: no task can move, and no timer runs."""


class Task:
    """The simulation of a thread: an actor, the main thread, a producer.

    Attributes:
        name: Its name in the trace.
        number: Its identity, like a thread's identifier.
        awake: Set it to let the task move, even if it waits for something else.
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
        # Tracing belongs to the thread. If a callback waits before it is interrupted, its tracing
        # would go on in other tasks, and stay.
        trace = sys.gettrace()
        self._greenlet.parent = greenlet.getcurrent()
        try:
            self._greenlet.switch()
        finally:
            if sys.gettrace() is not trace:
                sys.settrace(trace)

    def abandon(self) -> None:
        """End it where it waits. Its `finally` and `with` blocks are run."""
        while not self.done:
            self._greenlet.parent = greenlet.getcurrent()
            if not self._greenlet:  # it has not begun, so it has nothing to release
                self.done = True
                return
            self._greenlet.throw(Abandoned)

    def wait(self) -> None:
        """Return to the task that moved it, until it is moved again. Called in the task itself."""
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
            except BaseException as cause:  # `step` raises it in the task that moved this one
                self.failure = cause
            finally:
                self.done = True

        return run_to_end


class Hub:
    """Let tasks move, one at a time.

    Args:
        clock: The virtual clock. It passes only when no task can move.
        rng: Chooses the task that moves; None: the one that has not moved for longest.

    Attributes:
        choose: Chooses among several tasks that can move.
        current: The task that moves; None: the test itself.
        moves: The number of moves so far.
        passed: Called with the seconds each time before time passes.
        moving: Called with the task that is about to move.
        look: Called when no task can move. Returns True if it has woken one.
        call_waits: Called before a task waits for a flag, perhaps in a callback.
    """

    def __init__(self, clock: VirtualClock, rng: Random | None) -> None:
        self.clock = clock
        self.rng = rng
        self.choose = longest_still if rng is None else self._by_chance
        self.current: Task | None = None
        self.moves = 0
        self.closing = False
        self.passed: Callable[[float], None] | None = None
        self.moving: Callable[[Task], object] | None = None
        self.look: Callable[[], bool] | None = None
        self.call_waits: Callable[[], None] = lambda: None
        self._outside = greenlet.getcurrent()
        self._tasks: list[Task] = []
        self._numbers = OUTSIDE
        self._at_this_moment = 0
        self._death: BaseException | None = None

    def ident(self) -> int:
        """Return the identity of the running task."""
        return OUTSIDE if self.current is None else self.current.number

    def spawn(self, name: str, run: Callable[[], object]) -> Task:
        """Add a task."""
        self._numbers += 1
        task = Task(self._numbers, name, run)
        self._tasks.append(task)
        return task

    def wait(self, predicate: Callable[[], object], timeout: float | None = None) -> None:
        """Let others move, until `predicate()` is true or `timeout` virtual seconds have passed.

        In a task, the others move at least once, if they can. In the test itself, this call
        lets them move.

        Raises:
            NothingMovesError: In the test itself, without `timeout`: it can never become true.
        """
        task = self.current
        deadline = None if timeout is None else self.clock.monotonic() + max(0.0, timeout)
        if task is None:
            self._run(predicate, deadline)
            return
        self._suspend(task, predicate, deadline)

    def doze(self, timeout: float | None) -> None:
        """Let others move, until `awake` is set or `timeout` virtual seconds have passed.

        Called in a task. It is cheaper than `wait`, because there is no predicate to call.
        """
        assert self.current is not None
        deadline = None if timeout is None else self.clock.monotonic() + timeout
        self._suspend(self.current, None, deadline)

    def give_way(self) -> None:
        """Let others move, and go on at any time. Called in a task."""
        task = self.current
        assert task is not None
        task.awake = True
        self._suspend(task, None, None)

    def step(self) -> bool:
        """Let one task move. Return False if none can.

        Raises:
            EndlessMotionError: There were more than a million moves at one moment.
            RuntimeError: It was called in a task, which lets others move only by waiting.
        """
        if self.current is not None:
            raise RuntimeError(
                "step(), run_until_idle() and advance() belong to the test itself. A callback waits"
                " by daemon.wait(seconds), a function given to spawn() by that or wait_until()."
            )
        if self._death is not None:
            raise self._death
        now = self.clock.monotonic()
        able = [
            task
            for task in self._tasks
            if task.awake
            or ((deadline := task.deadline) is not None and deadline <= now)
            or ((predicate := task.predicate) is not None and predicate())
        ]
        if not able:
            return self.look is not None and self.look()
        task = able[0] if len(able) == 1 else self.choose(able)
        self._at_this_moment += 1
        if self._at_this_moment > MAX_MOVES:
            raise EndlessMotionError(
                f"{MAX_MOVES:,} moves, and no time has passed; the last was {task.name}'s. Does a"
                " callback schedule its own event without a delay, or does a loop ignore that"
                " daemon.wait() returns True at once when the daemon stops?"
            )
        if self.moving is not None:
            self.moving(task)
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
        """Let time pass to the next moment at which a task can move, at most to `until`.

        Call it only when no task can move. Return False if there is no such moment, or if it is
        `until` already.
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
            # No thread wakes exactly on time, so what is due shortly after is due as well.
            late = seconds + self.rng.random() * MAX_LATE
            seconds = late if until is None else min(late, max(seconds, until - now))
        self._at_this_moment = 0
        if self.passed is not None:
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
        self._raise_outside(KeyboardInterrupt())

    def die(self, cause: BaseException) -> NoReturn:
        """Raise `cause` outside, whichever task moves; from now on no task goes on."""
        self.closing = True
        self._death = cause
        self._raise_outside(cause)

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

    def _raise_outside(self, cause: BaseException) -> NoReturn:
        if greenlet.getcurrent() is not self._outside:
            self._outside.throw(cause)
        raise cause

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
                raise NothingMovesError(
                    "No task can move any more, and no timer runs: the wait would never end."
                )


def longest_still(able: list[Task]) -> Task:
    """Choose the task that has not moved for longest."""
    return min(able, key=_moved)


def _moved(task: Task) -> int:
    return task.moved
