"""Wake a component when names in a directory have changed, and at intervals."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from zenactors.advice import reason
from zenactors.components._watch import Hints

if TYPE_CHECKING:
    from zenactors.components._files import Files
    from zenactors.components._watch import Watch
    from zenactors.core.component import ZenDaemonComponent
    from zenactors.core.daemon_api import Cancellable, Daemon


class DirectoryWakeUps:
    """A timer, and the file system's hints. A daemon that exits when idle gets neither.

    Args:
        component: Its log gets a line if there are no hints.
        daemon: What `setup` gets.
        files: The file system.
        on_wake: Called with the hints; with none of them at intervals.
        poll_interval: Seconds between two calls at most.
        notifications: Use hints.
        completed: Wake for files that are complete, too.

    Thread: own.
    """

    def __init__(
        self,
        component: ZenDaemonComponent,
        daemon: Daemon,
        files: Files,
        *,
        on_wake: Callable[[Hints], object],
        poll_interval: float,
        notifications: bool,
        completed: bool = False,
    ) -> None:
        self._component = component
        self._files = files
        self._on_wake = on_wake
        self._of_completed = completed
        self._registered: list[Cancellable] = []
        self._watch: Watch | None = None
        self._directories: list[str] = []
        if daemon.exit_when_idle:
            return
        self._registered.append(daemon.io.call_every(poll_interval, self._poll))
        if notifications:
            self._watch = self._open()
        if self._watch is not None:
            self._registered.append(daemon.io.add_reader(self._watch, self._hinted))

    def _open(self) -> Watch | None:
        try:
            return self._files.watch()
        except OSError as cause:
            self._tell(cause)
        return None

    def watch(self, directories: Iterable[str]) -> None:
        """Let changes of names in these directories wake the component."""
        self._directories = list(directories)
        self._renew()

    def _renew(self) -> None:
        if self._watch is None:
            return
        for directory in self._directories:
            try:
                if not self._files.is_network(directory):
                    self._watch.add(directory, completed=self._of_completed)
            except OSError as cause:
                if cause.errno != errno.ENOENT:
                    self._tell(cause)

    def _tell(self, cause: OSError) -> None:
        self._component.log.info(
            "The file system gives no hints of changes ({reason}): new files are found by looking",
            reason=reason(cause),
        )

    def _hinted(self, _daemon: Any) -> None:
        if self._watch is None:
            return
        hints = self._watch.take()
        if hints.renamed or hints.overflow:
            self._renew()  # the directory may be another one now
        if hints.renamed or hints.overflow or hints.completed:
            self._on_wake(hints)

    def _poll(self, _daemon: Any) -> None:
        self._on_wake(Hints())

    def close(self) -> None:
        """Wake no more."""
        for each in self._registered:
            each.cancel()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
