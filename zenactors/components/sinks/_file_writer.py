"""The base of sinks that write to a file or to standard output."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from zenactors.advice import advice_for, reason
from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._options import check_bool, check_name, check_positive
from zenactors.components._replace_file import sync
from zenactors.components.output_checkpoint import OutputCheckpoint, checked_checkpoint
from zenactors.components.sinks._output import is_regular, open_output
from zenactors.components.sinks._output_history import OutputHistory, is_kept_in
from zenactors.components.sinks._output_stream import OutputError, OutputStream
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.errors import (
    EXIT_IO_ERROR,
    EXIT_OK,
    ConfigurationError,
    StateStoreError,
    ZenDaemonComponentException,
)

_STANDARD_OUTPUT = "standard output"


class FileWriter(ZenDaemonComponent):
    """The base class of writers: each event is written completely, or not at all.

    Args:
        path: The file; None or "-" is standard output. It is created if necessary, but not its
            directory. A relative path is relative to the directory in which the daemon was started,
            or to its `work_dir`.
        append: Keep the content of the file. False: truncate it at the start.
        reopen_interval: Look at the path before a write, but not again for this many seconds, and
            open the file anew if it was renamed or deleted. None: only at SIGHUP.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system of the output; a simulation sets its own before `setup`.
    """

    files: Files = SYSTEM_FILES
    no_replicas = "a file has one writer. Take one; it writes in the order of the events."

    def __init__(
        self,
        *,
        path: str | None = None,
        append: bool = True,
        reopen_interval: float | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        if path is not None and (not isinstance(path, str) or not path):
            raise ValueError(
                f"path is {path!r}, but the path of a file is expected, or '-' for standard output."
            )
        if path is not None:
            check_name("path", path)
        self.path = None if path == "-" else path
        self.append = check_bool("append", append)
        self.reopen_interval = (
            None
            if reopen_interval is None
            else check_positive("reopen_interval", reopen_interval, unit="seconds")
        )
        self._place = self.path or _STANDARD_OUTPUT
        self._output = OutputStream(self._place, self.files)
        self._reported = False
        self._next_look: Cancellable | None = None
        self._stays = False  # the last attempt to reopen the output has failed
        self._source: str | None = None  # whose checkpoints it takes
        self._history: OutputHistory | None = None  # once a source takes checkpoints
        self._damage: str | None = None  # why no checkpoint can be taken any more

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and the path of the output."""
        return {**super().get_state(), "path": self.path or "-"}

    def setup(self, daemon: Daemon) -> None:
        """Open the file."""
        try:
            self._set_up(daemon)
        except BaseException as cause:  # there is no teardown after it
            self._close()
            if isinstance(cause, OSError):
                raise ZenDaemonComponentException(
                    f"Cannot write to {self._place}: {reason(cause)}."
                    f" {advice_for(cause, self._place, 'write')}.",
                    path=self._place,
                ) from cause
            raise

    def _set_up(self, daemon: Daemon) -> None:
        self._reported = self._stays = False
        self._history = self._damage = None
        if self.path is not None:
            self._place = located(self.path, daemon)
            self._output = OutputStream(self._place, self.files)
            self._output.use_file(self._open(append=self.append))
            self._resume_history(daemon)
            return
        standard_output = self.files.open_standard_output()
        if standard_output is None:
            raise ZenDaemonComponentException(
                "Cannot write to standard output: there is none. Give this writer a path."
            )
        self._output = OutputStream(self._place, self.files)
        self._output.use(*standard_output)

    def _resume_history(self, daemon: Daemon) -> None:
        """Go on noting the files of the output, if the object before this one did so."""
        if getattr(daemon, "incarnation", 1) > 1:  # a test's daemon has none
            with contextlib.suppress(ConfigurationError):  # there is no state_dir
                store = daemon.state_store()
                if is_kept_in(store, self._place):
                    self._history = OutputHistory(self._place, store, self.files, self.log)

    def _open(self, *, append: bool) -> int:
        fd = open_output(self._place, self.files, append=append)
        try:
            self._repair(fd)
        except OSError as cause:
            self.files.close(fd)
            raise ZenDaemonComponentException(
                f"Cannot repair the end of {self._place}: {reason(cause)}."
                " Repair or remove the file.",
                path=self._place,
            ) from cause
        return fd

    def _repair(self, fd: int) -> None:
        """Repair the end of a file before anything is written to it."""

    def interrupt(self) -> None:
        """Break off a write to a pipe, a socket or a terminal that nothing reads. Thread: any.

        Its event fails. If a part of it was written, the rest is written before the next one.
        """
        self._output.interrupt()

    def teardown(self, daemon: Daemon) -> None:
        """Close the file; standard output stays open."""
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if self._output.unwritten:
            self.log.warning(
                "{bytes} bytes of a record were not written to {path}: its reader does not read",
                bytes=len(self._output.unwritten),
                path=self._place,
            )
        self._close()

    def _close(self) -> None:
        fd = self._output.release()
        if fd is not None and self.path is not None:
            self.files.close(fd)

    # -- another file at the path ----------------------------------------------------------

    @handles("signal_hup")
    def cbk_event_signal_hup(self, daemon: Daemon, args: Any) -> None:
        """Open the file anew if it was renamed or deleted."""
        self._look()

    def _look_and_wait(self, daemon: Daemon) -> None:
        """Look at the path now; in `reopen_interval` seconds, the next write looks again."""
        self._look()
        if not daemon.exit_when_idle:  # a timer would keep it from being idle
            self._next_look = daemon.io.call_later(self.reopen_interval or 0.0, self._wait_ended)

    def _wait_ended(self, daemon: Daemon) -> None:
        self._next_look = None
        self._look()

    def _look(self, cause: str = "it was renamed or deleted") -> None:
        """Go over to the file at the path, if the open one was renamed or deleted."""
        if (
            self.path is None
            or self._output.fd is None
            or self._output.unwritten
            or self._is_in_place()
        ):
            return
        try:
            self._change_file(self._output.fd)
        except (ZenDaemonComponentException, StateStoreError) as error:
            if not self._stays:
                self._stays = True
                self.log.warning(
                    "The file that was {path} was renamed or deleted, but is still written to: no"
                    " new one can be opened. {reason}",
                    path=self._place,
                    reason=error,
                )
        else:
            self.log.info("Opened {path} anew: {cause}", path=self._place, cause=cause)

    def _is_in_place(self) -> bool:
        assert self._output.fd is not None
        try:
            there = self.files.stat(self._place)
        except OSError:
            return False
        try:
            here = self.files.fstat(self._output.fd)
        except OSError:  # a disk that fails: the next write will say so
            return True
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def _change_file(self, old: int) -> None:
        new = self._open(append=True)  # even without `append`: this is not the start
        try:
            if self._history is not None:
                self._sync(old)  # the next checkpoint is taken of the new one
                self._history.begin(new)
        except (StateStoreError, ZenDaemonComponentException):
            self.files.close(new)
            raise
        self._output.use_file(new)
        self._stays = False
        self.files.close(old)
        self.inc_statistic("reopened")

    # -- exactly once ----------------------------------------------------------------------

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon: Daemon, args: Any) -> None:
        """Note how far the output is written; first cut it back to what the last run noted.

        Raises:
            ConfigurationError: There is no `state_dir`, which it needs too.
            StateStoreError: Nothing can be kept there.
            ZenDaemonComponentException: The output cannot be brought to the disk.
        """
        args = checked_checkpoint(self, args)
        try:
            refusal = self._refusal(args)
            if refusal is not None:
                args.refused[self.name] = refusal
                return
            assert self._output.fd is not None
            self._source = args.source
            if self._damage is not None:
                raise ZenDaemonComponentException(self._damage)
            if self._history is None:
                store = daemon.state_store()
                self._history = OutputHistory(self._place, store, self.files, self.log)
            if args.restore is not None and self.name in args.restore:
                self._history.restore(args.restore[self.name], self._output.fd)
            args.taken[self.name] = self._history.take_checkpoint(self._output.fd)
            self._checkpoint_taken(daemon)
        except OSError as cause:
            raise self._cannot_sync(cause) from cause

    def _checkpoint_taken(self, daemon: Daemon) -> None:
        """Note that the source has another checkpoint."""

    def _sync(self, fd: int) -> None:
        try:
            sync(fd, self.files)
        except OSError as cause:
            raise self._cannot_sync(cause) from cause

    def _cannot_sync(self, cause: OSError) -> ZenDaemonComponentException:
        # After a failed sync the system may forget what it could not write, and the next sync
        # succeeds: so no later checkpoint is to be believed.
        self._damage = (
            f"Cannot bring {self._place} to the disk: {reason(cause)}. No checkpoint is taken any"
            " more. Repair the output, then start again."
        )
        return ZenDaemonComponentException(self._damage)

    def _refusal(self, args: OutputCheckpoint) -> str | None:
        """Return why this output cannot be cut back; None if it can."""
        if self.path is None:
            return "writes to standard output, which cannot be cut back. Give it a path"
        if self._output.fd is None:
            raise ValueError(f"{self} is not open: setup() comes first.")
        if not is_regular(self._output.fd, self.files):
            return f"writes to {self._place}, which is not a regular file, so it cannot be cut back"
        if not self.append:
            return f"truncates {self._place} at each start. Set append to true"
        if self._source not in (None, args.source):
            return (
                f"belongs to {self._source} already: what one source has to cut off, another one"
                " may have saved. Give each a sink of its own, or use SqliteSink"
            )
        if self.name in args.taken:
            return "has the name of another sink. Give it one of its own"
        return None

    # -- writing ---------------------------------------------------------------------------

    def _write(self, daemon: Daemon, data: bytes, lines: int) -> None:
        """Write all of `data` or nothing of it; if that fails, exit."""
        try:
            self._append(daemon, data, lines)
        except OutputError as cause:
            if cause.reader_left and self.path is None:
                if not self._reported:
                    self._reported = True
                    self.log.info("The reader of standard output has left; ending")
                raise SystemExit(EXIT_OK) from None
            self._report(cause, lines)
            raise SystemExit(EXIT_IO_ERROR) from cause

    def _append(self, daemon: Daemon, data: bytes, lines: int) -> None:
        """Write all of `data`, or raise an `OutputError`, and remove what was written of it."""
        if not self._output.is_open:
            raise ValueError(f"{self} is not open: setup() comes first.")
        if self.reopen_interval is not None and self._next_look is None:
            self._look_and_wait(daemon)
        self._before_write(daemon, len(data))
        try:
            begin = self._output.write(data)
            self._finish_write(daemon, begin, len(data))
        except OutputError as cause:
            if cause.left:
                self._damage = (
                    f"{self._place} ends with an incomplete write: no checkpoint is taken."
                )
            raise
        self.inc_statistic("lines", lines)
        self.inc_statistic("bytes", len(data))

    def _before_write(self, daemon: Daemon, size: int) -> None:
        """Prepare the output for that many bytes."""

    def _finish_write(self, daemon: Daemon, begin: int | None, size: int) -> None:
        """Do what is to be done before an event counts as written, or raise an `OutputError`."""

    def _report(self, cause: OutputError, lines: int) -> None:
        if self._reported:
            return
        self._reported = True
        self.log.error(
            "Cannot write to {path}: {reason}. {lines} lines were not written; {left} bytes of them"
            " are in the output. Free some space or repair the output, then start again",
            path=self._place,
            reason=cause.why,
            lines=lines,
            left=cause.left,
        )
