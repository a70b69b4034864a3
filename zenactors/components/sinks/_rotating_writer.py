"""The base of writers that rotate their file by themselves, and can bring it to the disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Literal, TypedDict

from zenactors.advice import advice_for, reason
from zenactors.components._options import check_bool, check_choice, check_count, check_positive
from zenactors.components._replace_file import sync, sync_directory
from zenactors.components.sinks._file_writer import FileWriter
from zenactors.components.sinks._old_files import OldFiles
from zenactors.components.sinks._output import is_regular
from zenactors.components.sinks._output_stream import OutputError
from zenactors.components.sinks._rotation import Rotation
from zenactors.core.daemon_api import Cancellable, Daemon

_FSYNC = ("never", "interval", "always")
_TIDY_DELAY = 0.01  # seconds between two steps
_SAFE_AFTER = 2  # checkpoints: the source has saved the first when it takes the second


class RotatingOptions(TypedDict, total=False):
    """The options of `RotatingWriter`, for the `**` argument of a subclass's constructor."""

    path: str | None
    append: bool
    repair: bool
    reopen_interval: float | None
    rotate_bytes: int | None
    rotate_interval: float | None
    keep: int | None
    gzip: bool
    fsync: Literal["never", "interval", "always"]
    fsync_interval: float
    name: str | None
    event_map: Mapping[str, str] | None


class RotatingWriter(FileWriter):
    """A writer that renames its file when that is full or its time is over, and begins another.

    Args:
        rotate_bytes: Rotate the file before it gets larger than this: it is renamed, and a new one
            begins. An event is never split. The name of an old file ends with the time in UTC, as
            in `out.log.20261127T130501.123456Z`, and never changes. None: whatever its size.
        rotate_interval: Rotate the file whenever a multiple of this many seconds since 1970 has
            passed: 3600 is each full hour, and 86400 midnight, in UTC. None: whatever its age.
        keep: How many old files are kept; the oldest are removed. None: all.
        gzip: Compress old files, in small steps between the events.
        fsync: When the file is brought to the disk: by the system some time (`"never"`), after
            `fsync_interval`, or with each event, which is done only then (`"always"`).
        fsync_interval: Seconds until what was written is brought to the disk, with `"interval"`.
        repair: Mend the end of the file at the start; a subclass says how.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        append: bool = True,
        repair: bool = True,
        reopen_interval: float | None = None,
        rotate_bytes: int | None = None,
        rotate_interval: float | None = None,
        keep: int | None = None,
        gzip: bool = False,
        fsync: Literal["never", "interval", "always"] = "never",
        fsync_interval: float = 1.0,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            path=path,
            append=append,
            reopen_interval=reopen_interval,
            name=name,
            event_map=event_map,
        )
        self.repair = check_bool("repair", repair)
        self.rotate_bytes = (
            None if rotate_bytes is None else check_count("rotate_bytes", rotate_bytes)
        )
        self.rotate_interval = (
            None
            if rotate_interval is None
            else check_positive("rotate_interval", rotate_interval, unit="seconds")
        )
        self.keep = None if keep is None else check_count("keep", keep)
        self.gzip = check_bool("gzip", gzip)
        self.fsync = check_choice("fsync", fsync, _FSYNC)
        self.fsync_interval = check_positive("fsync_interval", fsync_interval, unit="seconds")
        self._rotates = rotate_bytes is not None or rotate_interval is not None
        if self.path is None and (self._rotates or fsync != "never"):
            option = "rotated" if self._rotates else "synced"
            raise ValueError(f"path is {path!r}, but standard output cannot be {option}: give one.")
        if not self._rotates and (keep is not None or gzip):
            option = "gzip" if gzip else "keep"
            raise ValueError(
                f"{option} is {getattr(self, option)!r}, but there are no old files without"
                " rotate_bytes or rotate_interval: set one of them."
            )
        self._daemon: Daemon | None = None
        self._rotation: Rotation | None = None
        self._old_files: OldFiles | None = None
        self._rotated_at: dict[str, int] = {}  # names of old files, and checkpoints until then
        self._checkpoints = 0
        self._timers: dict[str, Cancellable] = {}
        self._is_unsynced = False
        self._is_named = False  # the disk has the file's name
        self._cannot_rotate = False

    # --- its life -------------------------------------------------------------------------------

    def _set_up(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._rotation = self._old_files = None
        self._timers, self._rotated_at = {}, {}
        self._checkpoints = 0
        self._is_unsynced = self._is_named = self._cannot_rotate = False
        super()._set_up(daemon)
        fd = self._output.fd
        if fd is None or self.path is None or not is_regular(fd, self.files):
            return
        path = self.files.realpath(self._place)
        if self._rotates:
            self._rotation = Rotation(
                path, self.files, most_bytes=self.rotate_bytes, interval=self.rotate_interval
            )
            self._rotation.begin(fd, self.clock.time())
            self._old_files = OldFiles(
                path,
                self.files,
                self.log,
                keep=self.keep,
                compress=self.gzip,
                on_removed=lambda: self.inc_statistic("removed"),
                on_compressed=lambda: self.inc_statistic("compressed"),
            )
            self._old_files.clean_up()
            self._wait_for_end_of_period(daemon)

    def teardown(self, daemon: Daemon) -> None:
        """Bring the file to the disk if that is wanted, and close it."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers = {}
        if self._old_files is not None:
            self._old_files.close()
        if self._is_unsynced:
            self._sync_now()
        super().teardown(daemon)

    def _change_file(self, old: int) -> None:
        if self._is_unsynced:
            self._sync(old)
            self._is_unsynced = False
        super()._change_file(old)
        fd = self._output.fd
        if self._rotation is not None and fd is not None:
            self._rotation.begin(fd, self.clock.time())
        self._is_named = False
        if self._daemon is not None:
            self._tidy_later(self._daemon)

    def _later(self, daemon: Daemon, callback: Callable[[Daemon], None], seconds: float) -> None:
        """Call a method later, unless that is planned already."""
        what = callback.__name__
        if what not in self._timers:

            def due(daemon: Daemon) -> None:
                del self._timers[what]
                callback(daemon)

            self._timers[what] = daemon.io.call_later(seconds, due)

    # --- rotation -------------------------------------------------------------------------------

    def _before_write(self, daemon: Daemon, size: int) -> None:
        rotation = self._rotation
        if rotation is None:
            return
        if self._history is None and not self._checkpoints:
            # A source that restores its sinks does so before its first event: none does here.
            self._checkpoints = _SAFE_AFTER
            self._tidy_later(daemon)
        self._rotate_if_due(rotation, size)

    def _rotate_if_due(self, rotation: Rotation, size: int) -> None:
        try:
            begin = self._output.position()
        except OSError:  # a disk that fails: the next write will say so
            return
        if begin is not None and rotation.is_due(begin, size, self.clock.time()):
            self._rotate(rotation)

    def _rotate(self, rotation: Rotation) -> None:
        """Rename the file, and go on in a new one. If that fails, go on in the old one."""
        if self._output.unwritten or (self._history is not None and not self._history.may_begin):
            return
        try:
            if not self._is_in_place():
                self._look()  # it has another name already
                return
            name = rotation.rename(self.clock.time())
        except OSError as cause:
            if not self._cannot_rotate:
                self._cannot_rotate = True
                self.log.warning(
                    "Cannot rotate {path}: {reason}. {advice}; going on in the same file",
                    path=self._place,
                    reason=reason(cause),
                    advice=advice_for(cause, self._place, "write"),
                )
            return
        self._cannot_rotate = False
        recent = {name: then for name, then in self._rotated_at.items() if not self._is_free(name)}
        self._rotated_at = recent
        if self._history is not None:
            self._rotated_at[name] = self._checkpoints
        self.inc_statistic("rotated")
        self._look(f"the old file is {name} now")

    def _wait_for_end_of_period(self, daemon: Daemon) -> None:
        assert self._rotation is not None
        seconds = self._rotation.seconds_left(self.clock.time())
        if seconds is not None and not daemon.exit_when_idle:  # a timer keeps it from being idle
            self._later(daemon, self._end_period, seconds)

    def _end_period(self, daemon: Daemon) -> None:
        assert self._rotation is not None
        self._rotate_if_due(self._rotation, 0)
        self._wait_for_end_of_period(daemon)

    def _checkpoint_taken(self, daemon: Daemon) -> None:
        self._checkpoints += 1
        self._tidy_later(daemon)

    def _tidy_later(self, daemon: Daemon) -> None:
        if self._old_files is not None and self._old_files.has_work:
            self._later(daemon, self._tidy, _TIDY_DELAY)

    def _tidy(self, daemon: Daemon) -> None:
        fd = self._output.fd
        assert self._old_files is not None
        try:
            inode = None if fd is None else self.files.fstat(fd).st_ino
        except OSError:  # a disk that fails
            is_more = True
        else:
            is_more = self._old_files.step(self._is_free, inode)
        if is_more:
            self._later(daemon, self._tidy, _TIDY_DELAY)

    def _is_free(self, name: str) -> bool:
        """Return True if no checkpoint can cut an old file back any more."""
        return self._checkpoints >= self._rotated_at.get(name, 0) + _SAFE_AFTER

    # --- the disk -------------------------------------------------------------------------------

    def _finish_write(self, daemon: Daemon, begin: int | None, size: int) -> None:
        if self.fsync == "never" or begin is None:
            return
        if self.fsync == "interval":
            self._is_unsynced = True
            if not daemon.exit_when_idle:
                self._later(daemon, self._sync_late, self.fsync_interval)
            return
        assert self._output.fd is not None
        try:
            sync(self._output.fd, self.files)
            self._sync_name()
        except OSError as cause:
            self._cannot_sync(cause)
            left = 0 if self._output.take_back(begin, size) else size
            raise OutputError(self._place, reason(cause), left) from cause

    def _sync_late(self, _daemon: Daemon) -> None:
        if self._is_unsynced:
            self._sync_now()

    def _sync_now(self) -> None:
        self._is_unsynced = False
        if self._output.fd is None:
            return
        try:
            sync(self._output.fd, self.files)
            self._sync_name()
        except OSError as cause:
            self.log.error("{reason}", reason=self._cannot_sync(cause))  # noqa: TRY400 - of the system's doing

    def _sync_name(self) -> None:
        """Bring the name of the file to the disk: without it, its content is lost."""
        if self._is_named:
            return
        with contextlib.suppress(PermissionError):  # a directory that can be used, but not read
            sync_directory(os.path.dirname(self.files.realpath(self._place)), self.files)  # noqa: PTH120
        self._is_named = True
