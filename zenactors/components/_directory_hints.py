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
        on_wake: Called without arguments.
        poll_interval: Seconds between two calls at most.
        notifications: Use hints.

    Thread: own.
    """

    def __init__(
        self,
        component: ZenDaemonComponent,
        daemon: Daemon,
        files: Files,
        *,
        on_wake: Callable[[], object],
        poll_interval: float,
        notifications: bool,
    ) -> None:
        self._component = component
        self._files = files
        self._on_wake = on_wake
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
                    self._watch.add(directory)
            except OSError as cause:
                if cause.errno != errno.ENOENT:
                    self._tell(cause)

    def _tell(self, cause: OSError) -> None:
        self._component.log.info(
            "The file system gives no hints of changes ({reason}): new files are found by looking",
            reason=reason(cause),
        )

    def take(self) -> Hints:
        """Return the hints since the last call."""
        return Hints() if self._watch is None else self._watch.take()

    def _hinted(self, _daemon: Any) -> None:
        if self.take().renamed:
            self._renew()  # the directory may be another one now
            self._on_wake()

    def _poll(self, _daemon: Any) -> None:
        self._on_wake()

    def close(self) -> None:
        """Wake no more."""
        for each in self._registered:
            each.cancel()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
