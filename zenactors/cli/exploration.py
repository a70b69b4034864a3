"""The runs of `zenactors simulate`: seed after seed, with progress, and the trace of one."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zenactors.cli.output import console, write
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from types import FrameType

    from zenactors.core.clock import Clock
    from zenactors.testing import Harness, Scenario, SimulationFailure

REFRESH = 0.1  # seconds between two updates of the progress bar


class TraceFile:
    """The trace of the present run, and the file for it."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._lines: list[str] = []
        self.sink = None if path is None else self._lines.append
        if path is not None and path != "-":
            self._write_file(path)  # an error is reported before the work is done

    def begin(self) -> None:
        """Begin with the next run: forget the lines of the last."""
        self._lines.clear()

    def write(self) -> None:
        """Write the lines of the last run."""
        if self._path == "-":
            from zenactors.cli.failures import fit  # noqa: PLC0415

            write(fit("".join(f"{line}\n" for line in self._lines)))
        elif self._path is not None:
            self._write_file(self._path)

    def _write_file(self, path: str) -> None:
        text = "".join(f"{line}\n" for line in self._lines)
        try:
            Path(path).write_bytes(text.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError) as cause:
            reason = getattr(cause, "strerror", None) or str(cause)
            raise ConfigurationError(f"--trace {path!r} cannot be written: {reason}") from cause


class Exploration:
    """Run one seed after the other, up to the first that fails.

    Args:
        seeds: The seeds.
        replay_of: Returns the command that repeats the run of a seed.
        scenario: The scenario.
        trace: Gets the lines of each run.
        clock: Measures real time.

    Attributes:
        done: The number of seeds run.
        seed: The present or last seed.
        failure: The failure, if a seed has failed.
        last: The last run that did not fail.
        complete: True if all seeds were run.
        seconds: Real seconds since the first run began.
        progress: Called after each run.
    """

    def __init__(
        self,
        seeds: range,
        replay_of: Callable[[int], str],
        scenario: Scenario,
        trace: TraceFile,
        clock: Clock,
    ) -> None:
        self.seeds = seeds
        self.done = 0
        self.seed = seeds[0]
        self.failure: SimulationFailure | None = None
        self.last: Harness | None = None
        self.complete = False
        self.seconds = 0.0
        self.progress: Callable[[], object] | None = None
        self._replay_of = replay_of
        self._scenario = scenario
        self._trace = trace
        self._clock = clock
        self._begun = clock.monotonic()

    def run(self) -> None:
        """Run the seeds."""
        from zenactors.testing import SimulationFailure, simulate  # noqa: PLC0415

        try:
            for seed in self.seeds:
                self.seed = seed
                self._trace.begin()
                self.last = simulate(
                    self._scenario,
                    seed=seed,
                    sink=self._trace.sink,
                    replay=self._replay_of(seed),
                )
                self._count()
            self.complete = True
        except SimulationFailure as failure:
            self.failure = failure
            self._count()
        except KeyboardInterrupt:
            pass  # the report says how far it came
        self.seconds = self._clock.monotonic() - self._begun

    def rate(self) -> float:
        """Return the number of seeds run per minute."""
        return self.done * 60 / max(self.seconds, 1e-6)

    def _count(self) -> None:
        self.done += 1
        self.seconds = self._clock.monotonic() - self._begun
        if self.progress is not None:
            self.progress()


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the runs at once.

    The exception is raised outside of callbacks. In one, the engine would contain it as an error.
    """
    from greenlet import getcurrent  # noqa: PLC0415

    outside = getcurrent()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if getcurrent() is not outside:
            outside.throw(KeyboardInterrupt)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def show_progress(exploration: Exploration) -> Iterator[None]:
    """Show a progress bar on standard error, if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich import progress  # noqa: PLC0415

    bar = progress.Progress(
        progress.TextColumn("seeds"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]:,.0f} a minute,"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("left"),
        console=console(sys.stderr),
        auto_refresh=False,  # its thread could hold a lock when a signal arrives
        transient=True,
    )
    shown = -REFRESH
    with bar:
        task = bar.add_task("seeds", total=len(exploration.seeds), rate=0.0)

        def show() -> None:
            nonlocal shown
            if exploration.seconds - shown >= REFRESH:
                shown = exploration.seconds
                bar.update(task, completed=exploration.done, rate=exploration.rate(), refresh=True)

        exploration.progress = show
        yield
