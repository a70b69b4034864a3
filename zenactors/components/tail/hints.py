"""Hints of the file system: watch the directories of the followed files, if that can be done."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zenactors.advice import reason
from zenactors.components._watch import Hints
from zenactors.components.tail.discovery import fixed_directory
from zenactors.components.tail.rotation import directory_of

if TYPE_CHECKING:
    from zenactors.components._files import Files
    from zenactors.components._watch import Watch
    from zenactors.components.tail.file_set import FileSet
    from zenactors.components.tail.followed import Followed
    from zenactors.components.tail.options import TailOptions
    from zenactors.core.component import ZenDaemonComponent
    from zenactors.core.daemon_api import Cancellable, Daemon

_ADVICE = {
    errno.EMFILE: "Raise the limit of inotify instances (sysctl fs.inotify.max_user_instances)",
    errno.ENOSPC: "Raise the limit of watches (sysctl fs.inotify.max_user_watches)",
}
_NONE = Hints()


class DirectoryHints:
    """Hints of changes. They may be missing: then changes are found by looking, later.

    Args:
        tailer: Its log gets a warning if there are none.
        daemon: What `setup` gets.
        files: The file system.
        options: Say whether hints are wanted.
        on_hint: Called when there are hints, while they are waited for.

    Attributes:
        are_complete: All directories of followed files are watched.
    """

    def __init__(
        self,
        tailer: ZenDaemonComponent,
        daemon: Daemon,
        files: Files,
        options: TailOptions,
        on_hint: Callable[[Any], None],
    ) -> None:
        self._tailer = tailer
        self._daemon = daemon
        self._files = files
        self._options = options
        self._on_hint = on_hint
        self._waiting: Cancellable | None = None
        self._directories: set[str] = set()
        self._real: dict[str, Followed] = {}  # files by their paths without links
        self._has_warned = False
        self._must_renew = False
        self.are_complete = False
        self._watch = self._open()

    def _open(self) -> Watch | None:
        if not self._options.notifications:
            return None
        try:
            watch: Watch | None = self._files.watch()
        except OSError as cause:
            self._warn(cause)
            return None
        return watch

    def close(self) -> None:
        """Watch no more."""
        self.wait(watch=False)
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def take(self) -> Hints:
        """Return the hints since the last call. Never blocks."""
        if self._watch is None:
            return _NONE
        hints = self._watch.take()
        if hints.renamed or hints.overflow:
            self._must_renew = True
        return hints

    def wait(self, *, watch: bool) -> None:
        """Let hints begin a turn, or not."""
        if self._watch is None:
            return
        if watch and self._waiting is None:
            self._waiting = self._daemon.io.add_reader(self._watch, self._on_hint)
        elif not watch and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def file_at(self, path: str, files: FileSet) -> Followed | None:
        """Return the file that a hint is about, if it is followed."""
        by_path = files.by_path
        real = self._real.get(path)
        if real is not None and real.is_gone:  # it would be read, and opened, again
            real = None
        return by_path.get(path) or real or by_path.get(path.removeprefix("./"))

    def watch_directories(self, patterns: list[str], files: FileSet) -> None:
        """Watch the directories of patterns and files."""
        if self._watch is None:
            return
        wanted = set(map(fixed_directory, patterns))
        wanted.update(map(directory_of, files.by_path))
        gone = [path for path, followed in self._real.items() if followed.is_gone]
        for path in gone:
            del self._real[path]
        for followed in files.take_appeared():
            real = followed.real_path
            if real != followed.path:
                self._real[real] = followed
                wanted.add(directory_of(real))
        if self._must_renew:
            # A directory may have been replaced by another one with its name.
            self._directories.clear()
            self._must_renew = False
        missing = 0
        for directory in wanted - self._directories:
            missing += not self._add(directory)
        self.are_complete = not missing and not self._has_warned

    def _add(self, directory: str) -> bool:
        assert self._watch is not None
        if self._files.is_network(directory):
            return False  # changes by other machines are not reported
        try:
            self._watch.add(directory)
        except FileNotFoundError:
            return False
        except OSError as cause:
            self._warn(cause)
            return False
        self._directories.add(directory)
        return True

    def _warn(self, cause: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._tailer.log.warning(
                "The file system gives no hints of changes ({reason}): files are looked at every"
                " {seconds:g} s. {advice}",
                reason=reason(cause),
                seconds=self._options.poll_interval,
                advice=_ADVICE.get(cause.errno or 0, "Nothing is lost by that"),
            )
