"""A tailer in virtual time, on files in memory, with a sink that notes when each event came."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

from zenactors import ZenDaemonComponent, handles
from zenactors.components import FileTailer, Lines
from zenactors.core.clock import VirtualClock
from zenactors.testing import Fault, Harness, VirtualFiles


class Heard(NamedTuple):
    """An event, and the virtual second in which it was handled."""

    when: float
    lines: Lines


class Sink(ZenDaemonComponent):
    """Notes what it gets.

    Args:
        heard: Gets it.
        cost: Returns how many virtual seconds the event takes.
    """

    def __init__(self, heard: list[Heard], cost: Callable[[Lines], float] | None = None) -> None:
        super().__init__(name="sink")
        self.heard = heard
        self.cost = cost

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Lines) -> None:
        if self.cost is not None:
            daemon.wait(self.cost(args))
        self.heard.append(Heard(self.clock.monotonic(), args))


class CountingFiles(VirtualFiles):
    """Files that note which calls were made, and let some fail.

    Attributes:
        calls: The names of calls.
        watched: The directories that were watched at any time.
        failing: Calls that fail, and with which error number.
        before_open: By path, what happens once, before the file there is opened.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.calls: list[str] = []
        self.watched: set[str] = set()
        self.failing: dict[str, int] = {}
        self.before_open: dict[str, Callable[[], object]] = {}

    def _note(self, name: str, path: str = "") -> None:
        self.calls.append(name)
        number = self.failing.get(name)
        if number is not None:
            raise OSError(number, os.strerror(number), path)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self._note("pread")
        return super().pread(fd, size, offset)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        self._note("open", path)
        self.before_open.pop(path, lambda: None)()
        return super().open(path, flags, mode)

    def fstat(self, fd: int) -> os.stat_result:
        self._note("fstat")
        return super().fstat(fd)

    def stat(self, path: str) -> os.stat_result:
        self._note("stat", path)
        return super().stat(path)

    def entries(self, path: str) -> dict[str, int]:
        self._note("entries", path)
        return super().entries(path)

    def watch(self) -> Any:
        self._note("watch")
        watch = super().watch()
        add = watch.add

        def noted(directory: str) -> None:
            self._note("add", directory)
            self.watched.add(directory)
            add(directory)

        watch.add = noted  # type: ignore[method-assign, assignment]
        return watch


class Scene:
    """Files in memory, and a program that follows them.

    Args:
        patterns: Those of the tailer.
        state: The program has a state directory.
        cost: Of the sink, for each event.
        more: Returns more components.
        faults: Of the harness.
        exit_when_idle: Of the harness.
        options: Those of the tailer; `start` is "beginning" by default.

    Attributes:
        heard: All that came, in all runs.
    """

    def __init__(
        self,
        *patterns: str,
        state: bool = False,
        cost: Callable[[Lines], float] | None = None,
        more: Callable[[], Sequence[Any]] = tuple,
        faults: Sequence[Fault] = (),
        exit_when_idle: bool = False,
        **options: Any,
    ) -> None:
        self.patterns = patterns or ("/log/a.log",)
        self.options = {"start": "beginning", **options}
        self.state = state
        self.clock = VirtualClock()
        self.begun = self.clock.monotonic()
        self.files = CountingFiles(self.clock)
        self.files.mkdir("/log")
        self.files.mkdir("/state")
        root = self.files.open("/", os.O_RDONLY)
        self.files.fsync(root)  # they are still there after a power failure
        self.files.close(root)
        self.files.calls.clear()
        self.heard: list[Heard] = []
        self.cost, self.more = cost, more
        self.exit_when_idle = exit_when_idle
        self.faults = faults
        self.harness = self._make()

    def build(self) -> list[Any]:
        """Return new components."""
        tailer = FileTailer(patterns=list(self.patterns), **self.options)
        return [tailer, *self.more(), Sink(self.heard, self.cost)]

    def _make(self) -> Harness:
        return Harness(
            self.build(),
            clock=self.clock,
            files=self.files,
            faults=self.faults,
            state_dir="/state" if self.state else None,
            exit_when_idle=self.exit_when_idle,
        )

    def __enter__(self) -> Self:
        self.harness.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self.harness.status is None:
            self.harness.stop()
        self.harness.close()
        self.files.close_watches()

    def stop(self) -> None:
        """Stop in order."""
        self.harness.stop()
        self.harness.close()

    def start_again(self) -> None:
        """Start the next run, after a stop."""
        self.harness = self._make()
        self.harness.start()

    def kill(
        self, *, power_failure: bool = False, between: Callable[[], object] = lambda: None
    ) -> None:
        """Let the process die, and start the next one a second later.

        Args:
            power_failure: Cut the power.
            between: Called before the next start.
        """
        self.harness.kill(power_failure=power_failure)
        self.harness = self.harness.next_life(self.build())
        self.files = self.harness.files  # type: ignore[assignment]
        between()
        self.harness.start()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.harness.advance(seconds)

    @property
    def now(self) -> float:
        """The virtual second."""
        return self.clock.monotonic()

    def take(self) -> list[Lines]:
        """Return what came since the last call."""
        taken = [each.lines for each in self.heard]
        self.heard.clear()
        return taken

    def text(self) -> bytes:
        """Return the data that came since the last call."""
        return b"".join(each.data for each in self.take())

    def warnings(self) -> list[str]:
        """Return the warnings and errors of this process."""
        return [each.message for each in self.harness.logs if each.level in ("WARNING", "ERROR")]

    def statistic(self, name: str) -> int:
        """Return one of the tailer's statistics in this run."""
        return int(self.tailer.statistics_cur.get(name, 0))

    @property
    def tailer(self) -> Any:
        """The tailer of this run."""
        return self.harness.component("FileTailer")
