"""The progress of `zenactors tail`: how much of a backlog is read, how fast, and what is left."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

from zenactors.cli.output import console
from zenactors.cli.status_line import StatusLine
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from zenactors.core.clock import Clock
    from zenactors.core.daemon_api import Cancellable, Daemon

_INTERVAL = 0.5  # seconds
_BAR_COLUMNS = 20


@contextlib.contextmanager
def status_line(*, wanted: bool, data_on_stdout: bool) -> Iterator[StatusLine | None]:
    """Put a status line in place of standard error. None, and no change, if there is no terminal.

    Args:
        wanted: False: None.
        data_on_stdout: Standard output gets data, which on a terminal leaves no room for the line.
    """
    taken = data_on_stdout and _is_terminal(sys.stdout)
    if not wanted or taken or not _is_terminal(sys.stderr):
        yield None
        return
    line = StatusLine(sys.stderr)
    with contextlib.redirect_stderr(cast("TextIO", line)):
        try:
            yield line
        finally:
            line.leave()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


class TailProgress(ZenDaemonComponent):
    """Show the progress of a tailer until it has caught up for the first time.

    It is the first component behind the tailer. Lines pass it unchanged, and they let it look at
    the progress: a timer of its own would keep a daemon running that exits when idle.

    Args:
        progress: Returns how many bytes were read, and how many there are.
        line: The line on the terminal.
    """

    def __init__(self, progress: Callable[[], tuple[int, int]], line: StatusLine) -> None:
        super().__init__()
        self._progress = progress
        self._line = line
        self._timer: Cancellable | None = None
        self._shown: tuple[Progress, TaskID] | None = None
        self._caught_up = False

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Look at the progress soon, unless that is due already. Pass the lines on."""
        if not self._caught_up and self._timer is None:
            self._timer = daemon.io.call_later(_INTERVAL, self._look)

    def teardown(self, daemon: Daemon) -> None:
        """Show the last figures, and leave them on the terminal."""
        if not self._caught_up:
            self._show()
        self._line.leave()

    def _look(self, daemon: Daemon) -> None:
        self._timer = None
        self._caught_up = self._show()
        if self._caught_up:
            self._line.leave()

    def _show(self) -> bool:
        """Return True if the tailer has caught up."""
        read, known = self._progress()
        if not known:
            return True
        if self._shown is None:
            self._shown = _make_progress(self.clock, read, known)
        progress, task = self._shown
        progress.update(task, completed=read, total=known)
        rendered = io.StringIO()
        terminal = console(cast("TextIO", self._line), rendered)
        terminal.width = self._line.columns - 1
        terminal.print(progress.get_renderable())
        self._line.show(rendered.getvalue().split("\n", 1)[0].rstrip())
        return read >= known


def _make_progress(clock: Clock, read: int, known: int) -> tuple[Progress, TaskID]:
    from rich.progress import (  # noqa: PLC0415 - slow to import, not always needed
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    progress = Progress(
        BarColumn(bar_width=_BAR_COLUMNS),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        get_time=clock.monotonic,
        auto_refresh=False,
    )
    return progress, progress.add_task("", completed=read, total=known)
