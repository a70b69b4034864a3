"""The world around the daemon in a test of a SPEC: its events and steps, at their times."""

from __future__ import annotations

import functools
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from zenactors.errors import EXIT_DATA_ERROR, EXIT_OK
from zenactors.testing.faults import Kill, PowerFailure, ProcessCrashed

if TYPE_CHECKING:
    from zenactors.spec.cases import CaseTable, Event, Step
    from zenactors.testing.harness import Harness

_ENDS = {"stop": Kill, "kill": Kill, "power failure": PowerFailure}


class _Action(NamedTuple):
    step: int  # from 1; 0: at the start
    after: float
    run: Callable[[Harness], object]


class World:
    """Play the events and steps of a test, once, through all crashes of the process.

    Args:
        test: The test.
    """

    def __init__(self, test: CaseTable) -> None:
        self._seconds = test.seconds
        self._left = deque(_actions(test))
        self._last: float | None = None  # when the last action was due

    @property
    def next_step(self) -> int | None:
        """The number of the first step that was not played; None: all were."""
        return self._left[0].step if self._left else None

    def drive(self, harness: Harness) -> None:
        """Play what is left. Each start of the process calls it.

        Raises:
            ProcessCrashed: The process has died, and must be started again.
        """
        if self._last is None:
            self._last = harness.clock.monotonic()
        while self._left:
            action = self._left[0]
            due = self._last + action.after
            seconds = due - harness.clock.monotonic()
            if (seconds > 0 and harness.run(seconds) is not None) or harness.status is not None:
                return  # it has ended by itself
            if _ends_process(action):
                self._played(due)
                action.run(harness)
            else:
                action.run(harness)
                self._played(due)
        harness.run(self._seconds)

    def _played(self, due: float) -> None:
        self._left.popleft()
        self._last = due


def _ends_process(action: _Action) -> bool:
    return isinstance(action.run, functools.partial) and action.run.func is _restart


def _actions(test: CaseTable) -> Iterator[_Action]:
    for event in test.events:
        yield _Action(0, 0.0, functools.partial(_schedule, event))
    for number, step in enumerate(test.steps, 1):
        after = step.after
        for run in _of_step(step):
            yield _Action(number, after, run)
            after = 0.0


def _of_step(step: Step) -> Iterator[Callable[[Harness], object]]:
    """Yield the parts of a step's action; each is done, or not done, when the process dies."""
    for path, text in step.append.items():
        yield functools.partial(_append, path, text)
    for path, text in step.write.items():
        yield functools.partial(_write, path, text)
    for old, new in step.rename.items():
        yield functools.partial(_rename, old, new)
    for path in step.remove:
        yield functools.partial(_remove, path)
    for event in step.events:
        yield functools.partial(_schedule, event)
    if step.signal:
        yield functools.partial(_send, step.signal)
    if step.clock:
        yield functools.partial(_set_clock, step.clock)
    if step.restart:
        yield functools.partial(_restart, step.restart)
    if step.model_fields_set <= {"after"}:
        yield _wait


def _append(path: str, text: str, harness: Harness) -> None:
    harness.files.append(path, text)


def _write(path: str, text: str, harness: Harness) -> None:
    harness.files.put(path, text)


def _rename(old: str, new: str, harness: Harness) -> None:
    harness.files.rename(old, new)
    _sync_directory(new, harness)


def _remove(path: str, harness: Harness) -> None:
    harness.files.remove(path)
    _sync_directory(path, harness)


def _sync_directory(path: str, harness: Harness) -> None:
    """Let a power failure keep the names, as it keeps what the test has written."""
    fd = harness.files.open(str(PurePath(path).parent), os.O_RDONLY)
    harness.files.fsync(fd)
    harness.files.close(fd)


def _schedule(event: Event, harness: Harness) -> None:
    harness.queue.schedule(event.event, event.arguments())


def _send(name: str, harness: Harness) -> None:
    harness.signal(signal.Signals[name])


def _set_clock(seconds: float, harness: Harness) -> None:
    harness.clock.step(seconds)


def _wait(_harness: Harness) -> None:
    pass


def _restart(how: str, harness: Harness) -> None:
    fault = _ENDS[how](point="step", nth=1)
    if how == "stop":
        harness.stop()
        if harness.status not in (EXIT_OK, EXIT_DATA_ERROR):
            raise AssertionError(f"the daemon ended with status {harness.status} at a restart")
    harness.kill(power_failure=how == "power failure", seconds=fault.seconds)
    raise ProcessCrashed(fault)
