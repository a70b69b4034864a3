"""`FileTailer`: follows many files from one component, without a thread of its own.

A timer polls for new files and new content; reading itself is driven by events. At most one `read`
event is in flight: its callback reads one block, schedules the lines and then the next `read`.
A producer's events are admitted in order, so a full chain behind `lines` holds up the next `read`:
a slow sink stops the reading, and memory stays bounded.
"""

from __future__ import annotations

import glob
import os
import stat as stat_bits
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._options import check_count, check_positive, check_strings
from zenactors.components.tail.discovery import Discovery, discover, is_glob
from zenactors.components.tail.followed import (
    Followed,
    ReadyQueue,
    has_false_size,
    is_within_line,
    open_file,
)
from zenactors.components.tail.identity import Fate, Identity, identities_of, identity_of
from zenactors.components.tail.lines import Lines
from zenactors.components.tail.problems import Problems
from zenactors.components.tail.reader import FileReader
from zenactors.components.tail.rotation import (
    report_finished,
    report_moved,
    report_renamed,
    report_truncated,
)
from zenactors.core.callbacks import Handler, gen_event_handler, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.errors import EXIT_NO_INPUT


class FileTailer(ZenDaemonComponent):
    """Follow files and schedule the appended data as `lines` events with `Lines`.

    A file is identified by device and inode, so two paths to one file are one file. A file that is
    renamed or replaced is read to its end; then the new file of that name is read from its
    beginning. A last line without an end is held back until its end arrives; it is handed on
    without one when the daemon stops or the file is deleted, as a piece (`Lines.complete` is
    False). So is the rest of a line in whose middle the reading begins.

    The page "Guarantees" (docs/guarantees.md) says what is promised about loss, order and memory.

    If the daemon exits when idle, the tailer finishes as soon as every file was read to its end.
    It sets exit status 66 if a named file is missing or a file could not be read.

    Statistics: `files` opened, `blocks`, `bytes` and `lines` read, `lines_split`, `truncated`,
    `rotated`, `vanished`, and `errors` reported.

    Args:
        patterns: The files: globs as in a shell, `**` for any depth of directories, each entered
            once, even if links lead round in circles. A pattern without glob characters names one
            file; it may appear later. Relative ones are relative to the directory in which the
            daemon was started, or to its `work_dir`.
        start: Where to begin in files that exist at the start: at their `"beginning"` or their
            `"end"`. Later files are always read from their beginning.
        poll_interval: Seconds between two polls for new files and new content.
        max_line_bytes: Longer lines are handed on in pieces of this size.
        exclude: Files that are never read under any path: the outputs of this daemon.
            `"-"` is standard output.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system; a simulation sets its own before `setup`.
    """

    emits = ("lines",)
    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        patterns: list[str],
        start: Literal["beginning", "end"] = "end",
        poll_interval: float = 0.25,
        max_line_bytes: int = 1_048_576,
        exclude: list[str] | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.patterns = check_strings(
            "patterns", patterns, of="paths or globs", example='["/var/log/*.log"]'
        )
        if not self.patterns:
            raise ValueError("patterns is [], but at least one path or glob is expected.")
        if start not in ("beginning", "end"):
            raise ValueError(f"start is {start!r}, but 'beginning' or 'end' is expected.")
        self.start = start
        self.poll_interval = check_positive("poll_interval", poll_interval, unit="seconds")
        self.max_line_bytes = check_count("max_line_bytes", max_line_bytes)
        self.exclude = check_strings("exclude", exclude or [], of="paths", example='["out.log"]')
        self._patterns, self._exclude = self.patterns, self.exclude  # as `_locate` leaves them
        self._event_read = f"{self.name}.read"
        self._polled = False
        self._begin_at: dict[Identity, int] = {}  # of files not opened yet, if not 0
        self._left_at: dict[Identity, int] = {}  # of files that the options do not name now
        self._problems = Problems(self)
        self._reset()

    def _reset(self) -> None:
        self._files: dict[Identity, Followed] = {}
        self._ready = ReadyQueue()
        self._timers: list[Cancellable] = []
        self._under_way = False  # a read event is scheduled
        self._ended = False  # nothing will be read any more

    def get_events(self) -> list[Handler]:
        """Return the callbacks: `stop`, and the `read` event of this instance."""
        return [*super().get_events(), gen_event_handler(self._event_read, self.cbk_event_read)]

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and how far each file was read."""
        files = [followed.state() for followed in self._files.values()]
        return {**super().get_state(), "files": sorted(files, key=lambda file: str(file["path"]))}

    def setup(self, daemon: Daemon) -> None:
        """Poll for the first time, open the files, start the timer."""
        self._reset()
        self._locate(daemon)
        found = discover(self._patterns, self.files)
        if not self._polled and self.start == "end":
            self._begin_at = {i: found.stats[path].st_size for i, path in found.paths.items()}
        self._polled = True
        self._open_new(found, exit_when_idle=daemon.exit_when_idle)
        self._start_timers(daemon)

    def teardown(self, daemon: Daemon) -> None:
        """Close every file."""
        self._cancel_timers()
        for followed in self._files.values():
            # A restarted component goes on where it stopped.
            self._begin_at[followed.identity] = followed.reader.line_offset
            followed.reader.close()
        self._files.clear()
        self._ready = ReadyQueue()

    def reconfigure(self, daemon: Daemon, config: Mapping[str, Any]) -> None:
        """Replace the options; files that stay followed go on at their offsets.

        A file that no pattern matches any more is closed. An existing file that only the new
        patterns match begins as `start` says, or where an earlier change left it.

        Raises:
            ValueError: An option is wrong. Nothing has changed.
        """
        wanted = type(self)(**{"patterns": self.patterns, **config}, name=self.name)
        # In this order, so that a file that appears in between counts as a later one, which is read
        # from its beginning.
        found = discover(_located(wanted.patterns, daemon), self.files)
        before = discover(self._patterns, self.files)
        for option in wanted.options:
            setattr(self, option, getattr(wanted, option))
        self._locate(daemon)
        for followed in self._files.values():
            followed.reader.limit_lines(self.max_line_bytes)
        for identity in before.paths.keys() - found.paths.keys():
            if identity in self._files:
                self._leave(self._files[identity])
        for identity in found.paths.keys() - before.paths.keys() - self._files.keys():
            size = found.stats[found.paths[identity]].st_size
            begin = size if self.start == "end" else 0
            left_at = self._left_at.pop(identity, begin)
            self._begin_at[identity] = left_at if left_at <= size else 0
        self._cancel_timers()
        self._start_timers(daemon)

    def _locate(self, daemon: Daemon) -> None:
        self._patterns = _located(self.patterns, daemon)
        self._exclude = [each if each == "-" else located(each, daemon) for each in self.exclude]

    def _leave(self, followed: Followed) -> None:
        self._left_at[followed.identity] = followed.reader.line_offset
        followed.reader.close()
        del self._files[followed.identity]
        self._ready.remove(followed)
        for other in self._files.values():
            if other.behind is followed:
                other.behind = None

    def _start_timers(self, daemon: Daemon) -> None:
        self._timers = [
            daemon.io.call_every(self.poll_interval, self._poll),
            daemon.io.call_later(0, self._poll),
        ]

    @handles("stop")
    def cbk_event_stop(self, daemon: Daemon, args: Any) -> None:
        """Stop reading; hand on the unfinished last lines."""
        self._end(daemon)

    def cbk_event_read(self, daemon: Daemon, args: Any) -> None:
        """Read one block of the next file that has something to read."""
        self._under_way = False
        if self._ended or daemon.is_done():
            return
        followed = self._ready.take()
        if followed is not None:
            self._read(daemon, followed)
        self._wake(daemon)
        if not self._under_way and daemon.exit_when_idle:
            # Poll now: the rest of the interval would only delay the end.
            self._timers[1] = daemon.io.call_later(0, self._poll)

    def _poll(self, daemon: Daemon) -> None:
        if self._ended or daemon.is_done():
            return
        found = discover(self._patterns, self.files)
        left = self._check_all(daemon, found)
        self._open_new(found, left, exit_when_idle=daemon.exit_when_idle)
        self._wake(daemon)
        if not self._under_way and daemon.exit_when_idle:
            self._finish(daemon)

    # -- finding files ---------------------------------------------------------------------

    def _open_new(
        self,
        found: Discovery,
        left: Mapping[str, Followed] | None = None,
        *,
        exit_when_idle: bool,
    ) -> None:
        """Open the files that are not followed yet. `left`: the files that had a path before."""
        if self._begin_at:  # forget deleted files: the system gives their inodes to new ones
            self._begin_at = {i: o for i, o in self._begin_at.items() if i in found.paths}
        self._problems.report_missing(self._patterns, found, exit_when_idle=exit_when_idle)
        self._problems.report_unreadable(found)
        outputs = identities_of(self._exclude, self.files)
        for path, stat in found.stats.items():
            if identity_of(stat) in outputs:
                # The daemon would read its own output, and write it again, for ever.
                self._problems.report(
                    path, "excluded", "it is an output", "Write to a file elsewhere"
                )
                continue
            followed = self._files.get(identity_of(stat))
            if followed is not None:
                if followed.reader.fd is not None:
                    self._problems.opened(path)
            elif stat_bits.S_ISREG(stat.st_mode):
                self._open(path, (left or {}).get(path))
            elif path in found.named:
                self._problems.report_irregular(path, stat)

    def _open(self, path: str, predecessor: Followed | None) -> None:
        try:
            fd, stat = open_file(path, self.files)
        except FileNotFoundError:
            return  # deleted since the poll began; the next poll reports it
        except OSError as cause:
            self._problems.report_error(path, "open", cause)
            return
        try:
            if stat_bits.S_ISREG(stat.st_mode) and has_false_size(fd, self.files):
                self._problems.report_false_size(path)
                self.files.close(fd)
                return
        except OSError as cause:
            self._problems.report_error(path, "read", cause)
            self.files.close(fd)
            return
        identity = identity_of(stat)
        # Another file may have taken the path since the poll began.
        if identity in self._files or not stat_bits.S_ISREG(stat.st_mode):
            self.files.close(fd)
            return
        offset = self._begin_at.pop(identity, 0)
        reader = FileReader(
            path,
            fd,
            files=self.files,
            offset=offset,
            max_line_bytes=self.max_line_bytes,
            within_line=is_within_line(fd, offset, self.files),
        )
        followed = Followed(reader, identity, size=stat.st_size)
        if predecessor is not None and predecessor.ready:
            followed.behind = predecessor
        self._files[identity] = followed
        self._problems.opened(path)
        self.inc_statistic("files")
        self.log.debug("Following {path} from byte {offset}", path=path, offset=offset)
        if followed.has_more:
            self._ready.add(followed)

    # -- watching the followed files -------------------------------------------------------

    def _check_all(self, daemon: Daemon, found: Discovery) -> dict[str, Followed]:
        """Check every followed file; return those that left their path, by that path."""
        left = {}
        for followed in list(self._files.values()):
            path = followed.reader.path
            fate = self._check(daemon, followed, found)
            if fate in (Fate.REPLACED, Fate.VANISHED) or followed.reader.path != path:
                left[path] = followed
            followed.polled_offset = followed.reader.offset
        return left

    def _check(self, daemon: Daemon, followed: Followed, found: Discovery) -> Fate:
        reader = followed.reader
        at_path = found.stats.get(reader.path)
        if reader.fd is None and not self._reopen(daemon, followed, at_path):
            return Fate.SAME
        if reader.fd is None:
            return Fate.VANISHED
        try:
            if found.may_hide(reader.path):  # it goes on being read
                at_path = self.files.fstat(reader.fd)
            fate = followed.check(self.files, at_path)
        except OSError as cause:
            self._read_failed(followed, cause)
            return Fate.SAME
        if fate is Fate.TRUNCATED:
            report_truncated(self, followed)
            self._hand_on_rest(daemon, reader.restart())
        elif fate in (Fate.REPLACED, Fate.MOVED) and followed.identity in found.paths:
            self._rename(followed, found.paths[followed.identity])
            fate = Fate.SAME
        elif fate is Fate.MOVED and self._problems.is_new(reader.path, "moved"):
            # Its writer may still have it open: read on until a new file has the name.
            report_moved(self, followed)
        if followed.has_more:
            self._ready.add(followed)
        elif fate in (Fate.REPLACED, Fate.VANISHED) and followed.is_finished:
            self._drop(daemon, followed)
            report_finished(self, followed, fate)
        return fate

    def _rename(self, followed: Followed, path: str) -> None:
        report_renamed(self, followed, path)
        followed.reader.path = path
        self._problems.renamed(path)

    def _drop(self, daemon: Daemon, followed: Followed) -> None:
        self._hand_on_rest(daemon, followed.reader.flush())
        followed.reader.close()
        del self._files[followed.identity]

    def _reopen(self, daemon: Daemon, followed: Followed, at_path: os.stat_result | None) -> bool:
        """Open again a file that could not be read. True: open, or dropped."""
        if daemon.exit_when_idle:
            return False  # no second attempt: the daemon would not become idle
        path = followed.reader.path
        if at_path is None or identity_of(at_path) != followed.identity:
            self._problems.end(path, "read")
            self._drop(daemon, followed)
            return True
        try:
            if not followed.reopen(self.files):
                return False  # replaced since the poll began; the next poll drops it
        except OSError as cause:
            self._problems.report_error(path, "open", cause)
            return False
        self._problems.end(path, "open")
        return True

    # -- reading ---------------------------------------------------------------------------

    def _read(self, daemon: Daemon, followed: Followed) -> None:
        reader = followed.reader
        split_before = reader.lines_split
        try:
            size, batches = reader.read()
        except OSError as cause:
            self._read_failed(followed, cause)
            return
        self._problems.end(reader.path, "read")
        self.inc_statistic("blocks")
        self.inc_statistic("bytes", size)
        if reader.lines_split > split_before:
            self._problems.report_split(reader, reader.lines_split - split_before)
        self._hand_on(daemon, batches)
        if not reader.at_end:
            self._ready.add(followed)
        elif daemon.exit_when_idle:  # otherwise, the next poll tries again
            followed.ends_at = (followed.size, reader.offset)

    def _read_failed(self, followed: Followed, cause: OSError) -> None:
        followed.reader.close()
        self._ready.remove(followed)
        self._problems.report_error(followed.reader.path, "read", cause)

    def _hand_on(self, daemon: Daemon, batches: Iterable[Lines]) -> None:
        for lines in batches:
            # A line in pieces counts once: with its end.
            self.inc_statistic("lines", lines.data.count(b"\n"))
            daemon.queue.schedule(self.event("lines"), lines)

    def _hand_on_rest(self, daemon: Daemon, pieces: list[Lines]) -> None:
        """Hand on a last line that has no end."""
        self.inc_statistic("lines", len(pieces))
        self._hand_on(daemon, pieces)

    def _wake(self, daemon: Daemon) -> None:
        if self._ready and not self._under_way:
            self._under_way = True
            daemon.queue.schedule(self._event_read)

    # -- the end ---------------------------------------------------------------------------

    def _finish(self, daemon: Daemon) -> None:
        """End because everything was read and the daemon exits when idle."""
        self._end(daemon)
        if self._problems.input_is_missing():
            daemon.set_exit_status(EXIT_NO_INPUT)

    def _end(self, daemon: Daemon) -> None:
        self._ended = True
        self._cancel_timers()
        for followed in self._files.values():
            self._hand_on_rest(daemon, followed.reader.flush())

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()


def _located(patterns: Iterable[str], daemon: Daemon) -> list[str]:
    found = []
    for pattern in patterns:
        path = located(pattern, daemon)
        if is_glob(pattern):  # the directory in which the daemon was started is no pattern
            path = glob.escape(path.removesuffix(pattern)) + pattern
        found.append(path)
    return found
