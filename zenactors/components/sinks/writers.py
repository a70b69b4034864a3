"""Sinks that write their events to a file or to standard output.

Atomic operations relied on: storing an attribute (`interrupt`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from zenactors.advice import reason
from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._json_text import encode_json, encode_strict_json
from zenactors.components._options import check_name, check_positive
from zenactors.components._replace_file import sync
from zenactors.components.output_checkpoint import OutputCheckpoint
from zenactors.components.sinks._output import can_block, is_regular, open_output, repair_json_lines
from zenactors.components.sinks._output_history import OutputHistory, is_kept_in
from zenactors.components.tail.lines import Lines
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
_LOOK_INTERVAL = 0.1  # seconds between two looks for an interrupt


class _Writer(ZenDaemonComponent):
    """The base class of writers: each event is written completely, or not at all.

    Attributes:
        files: The file system of the output; a simulation sets its own before `setup`.
    """

    files: Files = SYSTEM_FILES

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
        if not isinstance(append, bool):
            raise ValueError(f"append is {append!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        if path is not None:
            check_name("path", path)
        self.path = None if path == "-" else path
        self.append = append
        self.reopen_interval = (
            None
            if reopen_interval is None
            else check_positive("reopen_interval", reopen_interval, unit="seconds")
        )
        self._place = self.path or _STANDARD_OUTPUT
        self._fd: int | None = None
        self._blocks = False  # the output is one whose reader may not read
        self._is_interrupted = False
        self._unwritten = b""  # the rest of what an interrupt has broken off
        self._write_some: Callable[[memoryview], int] | None = None
        self._reported = False
        self._next_look: Cancellable | None = None
        self._stays = False  # the last attempt to reopen the output has failed
        self._history: OutputHistory | None = None  # once a source takes checkpoints
        self._damage: str | None = None  # why no checkpoint can be taken any more

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and the path of the output."""
        return {**super().get_state(), "path": self.path or "-"}

    def setup(self, daemon: Daemon) -> None:
        """Open the file."""
        self._reported = self._stays = False
        self._history = self._damage = None
        if self.path is not None:
            self._place = located(self.path, daemon)
            self._use_file(self._open(append=self.append))
            self._resume_history(daemon)
            return
        standard_output = self.files.open_standard_output()
        if standard_output is None:
            raise ZenDaemonComponentException(
                "Cannot write to standard output: there is none. Give this writer a path."
            )
        self._use(*standard_output)

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

    def _use_file(self, fd: int) -> None:
        self._use(fd, lambda data: self.files.write(fd, data))

    def _use(self, fd: int | None, write_some: Callable[[memoryview], int]) -> None:
        self._fd = fd
        self._write_some = write_some
        self._unwritten = b""
        self._blocks = fd is not None and can_block(fd, self.files)
        if fd is not None and self._blocks:
            self._write_some = lambda data: self.files.write_now(fd, data)

    def interrupt(self) -> None:
        """Break off a write to a pipe, a socket or a terminal that nothing reads. Thread: any.

        Its event fails. If a part of it was written, the rest is written before the next one.
        """
        self._is_interrupted = True

    def teardown(self, daemon: Daemon) -> None:
        """Close the file; standard output stays open."""
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        fd, self._fd = self._fd, None
        self._write_some = None
        if self._unwritten:
            self.log.warning(
                "{bytes} bytes of a record were not written to {path}: its reader does not read",
                bytes=len(self._unwritten),
                path=self._place,
            )
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

    def _look(self) -> None:
        """Go over to the file at the path, if the open one was renamed or deleted."""
        if self.path is None or self._fd is None or self._unwritten or self._is_in_place():
            return
        try:
            self._change_file(self._fd)
        except (ZenDaemonComponentException, StateStoreError) as cause:
            if not self._stays:
                self._stays = True
                self.log.warning(
                    "The file that was {path} was renamed or deleted, but is still written to: no"
                    " new one can be opened. {reason}",
                    path=self._place,
                    reason=cause,
                )

    def _is_in_place(self) -> bool:
        assert self._fd is not None
        try:
            there = self.files.stat(self._place)
        except OSError:
            return False
        here = self.files.fstat(self._fd)
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
        self._use_file(new)
        self._stays = False
        self.files.close(old)
        self.inc_statistic("reopened")
        self.log.info("Opened {path} anew: it was renamed or deleted", path=self._place)

    # -- exactly once ----------------------------------------------------------------------

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon: Daemon, args: Any) -> None:
        """Note how far the output is written; first cut it back to what the last run noted.

        Raises:
            ConfigurationError: There is no `state_dir`, which it needs too.
            StateStoreError: Nothing can be kept there.
            ZenDaemonComponentException: The output cannot be brought to the disk.
        """
        if not isinstance(args, OutputCheckpoint):
            raise TypeError(f"{self} takes an OutputCheckpoint, but got {type(args).__name__}.")
        refusal = self._refusal(args)
        if refusal is not None:
            args.refused[self.name] = refusal
            return
        assert self._fd is not None
        if self._damage is not None:
            raise ZenDaemonComponentException(self._damage)
        try:
            if self._history is None:
                store = daemon.state_store()
                self._history = OutputHistory(self._place, store, self.files, self.log)
            if args.restore is not None and self.name in args.restore:
                self._history.restore(args.restore[self.name], self._fd)
            args.taken[self.name] = self._history.take_checkpoint(self._fd)
        except OSError as cause:
            raise self._cannot_sync(cause) from cause

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
        if self._fd is None:
            raise ValueError(f"{self} is not open: setup() comes first.")
        if not is_regular(self._fd, self.files):
            return f"writes to {self._place}, which is not a regular file, so it cannot be cut back"
        if not self.append:
            return f"truncates {self._place} at each start. Set append to true"
        if self.name in args.taken:
            return "has the name of another sink. Give it one of its own"
        return None

    # -- writing ---------------------------------------------------------------------------

    def _write(self, daemon: Daemon, data: bytes, lines: int) -> None:
        """Write all of `data`; if that fails, remove the written part from the file, and exit."""
        if self._write_some is None:
            raise ValueError(f"{self} is not open: setup() comes first.")
        if self.reopen_interval is not None and self._next_look is None:
            self._look_and_wait(daemon)
        begin = self._position()
        rest = memoryview(self._unwritten + data if self._unwritten else data)
        try:
            self._is_interrupted = False  # that one came too late
            while rest:
                if self._blocks and not self._may_write():
                    self._break_off(rest, len(data))
                try:
                    rest = rest[self._write_some(rest) :]
                except BlockingIOError:
                    if not self._blocks:
                        raise
            self._unwritten = b""
        except BrokenPipeError:
            if self.path is not None:
                self._failed("its reader has left", lines, begin, max(0, len(data) - len(rest)))
                raise SystemExit(EXIT_IO_ERROR) from None
            if not self._reported:
                self._reported = True
                self.log.info("The reader of standard output has left; ending")
            raise SystemExit(EXIT_OK) from None
        except OSError as cause:
            why = reason(cause)
            self._failed(why, lines, begin, max(0, len(data) - len(rest)))
            raise SystemExit(EXIT_IO_ERROR) from cause
        self.inc_statistic("lines", lines)
        self.inc_statistic("bytes", len(data))

    def _may_write(self) -> bool:
        """Wait until the output takes data. False: the wait was interrupted."""
        assert self._fd is not None
        while not self.files.wait_writable(self._fd, _LOOK_INTERVAL):
            if self._is_interrupted:
                return False
        return True

    def _break_off(self, rest: memoryview, size: int) -> None:
        """Fail an event of `size` bytes. What was begun is written before the next one."""
        self._unwritten = bytes(rest if len(rest) < size else rest[: len(rest) - size])
        raise ZenDaemonComponentException(
            f"The write to {self._place} was interrupted: its reader does not read."
        )

    def _position(self) -> int | None:
        """Return the offset of the next write; None if the output cannot be truncated to it."""
        if self._fd is None or not is_regular(self._fd, self.files):
            return None
        if self.files.is_append(self._fd):
            return self.files.fstat(self._fd).st_size
        return self.files.lseek(self._fd, 0, os.SEEK_CUR)

    def _failed(self, why: str, lines: int, begin: int | None, written: int) -> None:
        left = 0 if self._take_back(begin, written) else written
        if left:
            self._damage = f"{self._place} ends with an incomplete write: no checkpoint is taken."
        if self._reported:
            return
        self._reported = True
        self.log.error(
            "Cannot write to {path}: {reason}. {lines} lines were not written; {left} bytes of them"
            " are in the output. Free some space or repair the output, then start again",
            path=self._place,
            reason=why,
            lines=lines,
            left=left,
        )

    def _take_back(self, begin: int | None, written: int) -> bool:
        """Cut off the incomplete end of the file; return True if nothing of it is left."""
        if not written:
            return True
        if self._fd is None or begin is None:
            return False
        # If the file is longer than this writer made it, another program wrote to it: leave it.
        if self.files.fstat(self._fd).st_size != begin + written:
            return False
        try:
            self.files.ftruncate(self._fd, begin)
            self.files.lseek(self._fd, begin, os.SEEK_SET)
        except OSError:
            return False
        return True


class JsonLinesWriter(_Writer):
    """Write records as JSON, one compact object per line, in UTF-8.

    Takes `lines` events with a list of dicts, or with `Lines`: these become objects with `file`,
    `id` and `generation` (see `Lines`; only if the source sets them), `offset` and `line` (decoded
    with replacement), `partial` for a piece of a line, and `truncated` for a line without its end.
    Values that JSON cannot hold are written as their `str()`; NaN and infinities as null.

    Each event is written completely before the next begins. If a write fails, an incomplete end is
    cut off, and the daemon stops at once with status 74; if the reader of standard output has left,
    with status 0. Let only one writer write to a file.

    If the file is renamed or deleted, the writer opens a new one at SIGHUP, or by itself (see
    `reopen_interval`). An event is written completely to the old file or completely to the new one.
    If no new one can be opened, the old one is used until one can.

    It takes `checkpoint` events, for outputs with each line exactly once.

    Statistics: `lines` and `bytes` written, `bad_lines` (lines decoded with replacement) and
    `reopened` (how many times the file was opened anew).

    Promises:
        loss: An event counts as done when the system has its data, which is not yet on the disk.
            With a source that takes checkpoints, such as `FileTailer` with `exactly_once`, nothing
            is lost by a crash or a power failure.
        duplicates: None in a file, with a source that takes checkpoints. Otherwise an event that
            its source hands on again after a crash is written again.
        order: That of the events. Each is written whole before the next.
        memory: One event, and its JSON.
        threads: Its own, which waits while the output takes no data. `interrupt` ends the wait for
            a pipe that nothing reads.

    Args:
        path: The file; None or "-" is standard output. It is created if necessary, but not its
            directory. A relative path is relative to the directory in which the daemon was started,
            or to its `work_dir`.
        append: Keep the content of the file. False: truncate it at the start.
        repair: At the start, cut off a last line without a line end if it is the beginning of a
            record, up to 1 MiB, and give any other one its line end.
        reopen_interval: Look at the path before a write, but not again for this many seconds, and
            open the file anew if it was renamed or deleted. None: only at SIGHUP.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "to-json"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["access.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "lines.jsonl"
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        append: bool = True,
        repair: bool = True,
        reopen_interval: float | None = None,
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
        if not isinstance(repair, bool):
            raise ValueError(f"repair is {repair!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self.repair = repair

    def _repair(self, fd: int) -> None:
        if self.repair:
            repair_json_lines(fd, self._place, self.files, self.log)

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Write the records."""
        if isinstance(args, Lines):
            records = _records_of(args)
            bad = args.bad_lines()
        elif isinstance(args, list):
            records = [encode_json(record) for record in args]
            bad = 0
        else:
            raise TypeError(
                f"{self} takes a list of dicts or Lines, but got {type(args).__name__}."
            )
        if not records:
            return
        text = "\n".join(records) + "\n"
        # A lone surrogate cannot be encoded as UTF-8; escaped, it is valid JSON.
        self._write(daemon, text.encode("utf-8", errors="backslashreplace"), len(records))
        if bad:
            self.inc_statistic("bad_lines", bad)


class RawWriter(_Writer):
    """Write the data of `Lines` exactly as it was read.

    Each event is written completely before the next begins. If a write fails, an incomplete end is
    cut off, and the daemon stops at once with status 74; if the reader of standard output has left,
    with status 0. Let only one writer write to a file.

    If the file is renamed or deleted, the writer opens a new one at SIGHUP, or by itself (see
    `reopen_interval`). An event is written completely to the old file or completely to the new one.
    If no new one can be opened, the old one is used until one can.

    It takes `checkpoint` events, for outputs with each line exactly once.

    Its data may end in the middle of a line, so the end of the file is not repaired at the start.

    Statistics: `lines` (a piece of a line counts as one) and `bytes` written, and `reopened` (how
    many times the file was opened anew).

    Promises:
        loss: An event counts as done when the system has its data, which is not yet on the disk.
            With a source that takes checkpoints, such as `FileTailer` with `exactly_once`, nothing
            is lost by a crash or a power failure.
        duplicates: None in a file, with a source that takes checkpoints. Otherwise an event that
            its source hands on again after a crash is written again.
        order: That of the events. Each is written whole before the next.
        memory: One event.
        threads: Its own, which waits while the output takes no data. `interrupt` ends the wait for
            a pipe that nothing reads.

    Args:
        path: The file; None or "-" is standard output. It is created if necessary, but not its
            directory. A relative path is relative to the directory in which the daemon was started,
            or to its `work_dir`.
        append: Keep the content of the file. False: truncate it at the start.
        reopen_interval: Look at the path before a write, but not again for this many seconds, and
            open the file anew if it was renamed or deleted. None: only at SIGHUP.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "copy"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["access.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:RawWriter"
        [component.options]
        path = "copy.log"
        reopen_interval = 10.0
    """

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Write the data."""
        if not isinstance(args, Lines):
            raise TypeError(
                f"{self} takes Lines, but got {type(args).__name__}:"
                " use JsonLinesWriter for records, or put RawWriter before the parser."
            )
        self._write(daemon, args.data, len(args))


def _records_of(lines: Lines) -> list[str]:
    """Return the lines as JSON. What they have in common is encoded once."""
    source: dict[str, Any] = {"file": lines.path}
    if lines.file_id:
        source |= {"id": lines.file_id, "generation": lines.generation}
    marks = {"partial": not lines.complete, "truncated": lines.truncated}
    before = encode_strict_json(source)[:-1]
    after = "".join(f',"{mark}":true' for mark, applies in marks.items() if applies)
    return [
        f'{before},"offset":{offset},"line":{encode_strict_json(text)}{after}}}'
        for offset, text in zip(lines.offsets(), lines.texts(), strict=True)
    ]
