"""`FileTailer`: follows many files from one component, without a thread of its own.

A timer looks for work; reading itself is event driven. At most one `read` event is under way:
its callback reads one block, schedules the lines and then the next `read`. As a producer's
events are admitted in order, a full chain behind `lines` holds up the `read` behind it:
a slow sink stops the reading, and memory stays bounded.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import stat as stat_bits
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._options import check_count, check_positive, check_strings
from zenactors.components.tail.discovery import Discovery, discover
from zenactors.components.tail.identity import Fate, Identity, fate_of, identities_of, identity_of
from zenactors.components.tail.lines import Lines
from zenactors.components.tail.reader import FileReader
from zenactors.core.callbacks import Handler, gen_event_handler, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.errors import EXIT_NO_INPUT

# Without O_NONBLOCK, opening what turned into a named pipe meanwhile would wait for a writer.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_ADVICE = {
    errno.EACCES: "Give this process's user the right to read it, or leave it out of the patterns",
    errno.EPERM: "Give this process's user the right to read it, or leave it out of the patterns",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or follow fewer files",
    errno.ENFILE: "Raise the system's limit of open files (sysctl fs.file-max)",
    errno.EIO: "Check the disk and the system's log",
}


def _open_file(path: str, files: Files) -> tuple[int, os.stat_result]:
    fd = files.open(path, _OPEN_FLAGS)
    try:
        return fd, files.fstat(fd)
    except OSError:  # a network file system lost it meanwhile
        files.close(fd)
        raise


@dataclasses.dataclass(slots=True, eq=False)
class _Followed:
    """One file that is followed, and what the polls know about it."""

    reader: FileReader
    identity: Identity
    size: int = 0  # at the last poll
    polled_offset: int = -1  # how far it was read at the last poll
    ready: bool = False  # it stands in the tailer's queue of files with something to read
    behind: _Followed | None = None  # read that one to its end first: it had the path before


class FileTailer(ZenDaemonComponent):
    """Follow files and schedule what is appended to them as `lines` events with `Lines`.

    Files are told apart by device and inode, so two paths to one file are one file. A file that
    is renamed or replaced is read to its end, then the new one under its name is read from its
    beginning. A last line without an end is held back until its end arrives; it is handed
    on as it is when the daemon stops or the file goes away.

    If the daemon exits when idle, the tailer finishes as soon as every file was read to its end,
    and lets the process end with status 66 if a named file is missing or one could not be read.

    Statistics: `files` opened, `blocks`, `bytes` and `lines` read, `lines_split`, `truncated`,
    `rotated`, `vanished`, and `errors` reported.

    Args:
        patterns: The files: globs as in a shell, `**` for any depth of folders. A pattern
            without glob characters names one file; it may appear later.
        start: Where to begin in files that exist at the first look: at their `"beginning"` or
            `"end"`. Files that come later are always read from their beginning.
        poll_interval: Seconds between two looks for new files and new content.
        max_line_bytes: Longer lines are handed on in pieces of this size.
        exclude: Files that are never read, whatever path leads to them: the outputs of what is
            read. `"-"` is standard output.
        name: How logs, statistics and the state call this component.
        event_map: Other names for this component's events.

    Attributes:
        files: Where the files are; a simulation sets its own before `setup`.
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
        self._event_read = f"{self.name}.read"
        self._looked = False
        self._begin_at: dict[Identity, int] = {}  # files not opened yet that do not begin at 0
        self._left_at: dict[Identity, int] = {}  # how far files were read that no option names now
        self._seen: set[str] = set()  # paths that could be opened, once at least
        self._problems: set[tuple[str, str]] = set()  # reported, and not over yet
        self._reset()

    def _reset(self) -> None:
        self._files: dict[Identity, _Followed] = {}
        self._ready: deque[_Followed] = deque()
        self._timers: list[Cancellable] = []
        self._under_way = False  # a read event is scheduled
        self._ended = False  # nothing will be read any more

    def get_events(self) -> list[Handler]:
        """Return the callbacks: `stop`, and the `read` event of this instance."""
        return [*super().get_events(), gen_event_handler(self._event_read, self.cbk_event_read)]

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and how far each file was read."""
        files = [
            {
                "path": followed.reader.path,
                "offset": followed.reader.offset,
                "size": followed.size,
                "held": followed.reader.held_bytes,
            }
            for followed in self._files.values()
        ]
        return {**super().get_state(), "files": sorted(files, key=lambda file: str(file["path"]))}

    def setup(self, daemon: Daemon) -> None:
        """Take the first look, open what is there, start the timer."""
        self._reset()
        found = discover(self.patterns, self.files)
        if not self._looked and self.start == "end":
            self._begin_at = {i: found.stats[path].st_size for i, path in found.paths.items()}
        self._looked = True
        self._look(found, exit_when_idle=daemon.exit_when_idle)
        self._start_timers(daemon)

    def teardown(self, daemon: Daemon) -> None:
        """Close every file."""
        self._cancel_timers()
        for followed in self._files.values():
            # After a restart of the component, go on where it left off.
            self._begin_at[followed.identity] = followed.reader.line_offset
            followed.reader.close()
        self._files.clear()
        self._ready.clear()

    def reconfigure(self, daemon: Daemon, config: Mapping[str, Any]) -> None:
        """Take other options; what is still followed goes on where it is.

        Files that exist already, and that no pattern has named before, begin as `start` says, or
        where they were left by a change before. A file that no pattern names any more is left.

        Raises:
            ValueError: An option is wrong; nothing has changed then.
        """
        wanted = type(self)(**{"patterns": self.patterns, **config}, name=self.name)
        # In this order: what appears between the two looks is what the old patterns name, too.
        found = discover(wanted.patterns, self.files)
        before = discover(self.patterns, self.files)
        for option in ("patterns", "start", "poll_interval", "max_line_bytes", "exclude"):
            setattr(self, option, getattr(wanted, option))
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

    def _leave(self, followed: _Followed) -> None:
        self._left_at[followed.identity] = followed.reader.line_offset
        followed.reader.close()
        del self._files[followed.identity]
        if followed.ready:
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
        followed = self._next_ready()
        if followed is not None:
            self._read(daemon, followed)
        self._wake(daemon)
        if not self._under_way and daemon.exit_when_idle:
            # Look at once whether that was all, rather than after the rest of the interval.
            self._timers[1] = daemon.io.call_later(0, self._poll)

    def _poll(self, daemon: Daemon) -> None:
        if self._ended or daemon.is_done():
            return
        found = discover(self.patterns, self.files)
        left = self._check_all(daemon, found)
        self._look(found, left, exit_when_idle=daemon.exit_when_idle)
        self._wake(daemon)
        if not self._under_way and daemon.exit_when_idle:
            self._finish(daemon)

    # -- finding files ---------------------------------------------------------------------

    def _look(
        self,
        found: Discovery,
        left: Mapping[str, _Followed] | None = None,
        *,
        exit_when_idle: bool,
    ) -> None:
        """Open what is not followed yet. `left` are the files that had a path before."""
        if self._begin_at:  # forget what is gone: the system uses an inode's number again
            self._begin_at = {i: o for i, o in self._begin_at.items() if i in found.paths}
        self._report_missing(found, exit_when_idle=exit_when_idle)
        outputs = identities_of(self.exclude, self.files)
        for path, stat in found.stats.items():
            if identity_of(stat) in outputs:
                # Read, it would grow by what is read of it, for ever.
                self._report(path, "excluded", "it is an output", "Write to a file elsewhere")
                continue
            followed = self._files.get(identity_of(stat))
            if followed is not None:
                if followed.reader.fd is not None:
                    self._arrived(path)
            elif stat_bits.S_ISREG(stat.st_mode):
                self._open(path, (left or {}).get(path))
            elif path in found.named:
                if stat_bits.S_ISDIR(stat.st_mode):
                    advice = f"Name the files in it, as {os.path.join(path, '*')}"  # noqa: PTH118 - the pattern's spelling
                    self._report(path, "directory", "it is a folder", advice)
                else:
                    self._report(path, "special", "it is not a regular file", "Leave it out")

    def _report_missing(self, found: Discovery, *, exit_when_idle: bool) -> None:
        for pattern in found.unmatched:
            if pattern not in self._seen:
                advice = (
                    "Correct the pattern, or the permissions of the folder"
                    if exit_when_idle
                    else "Files are read as soon as they appear"
                )
                self._report(pattern, "missing", "it matches no file", advice)
        self._seen.update(set(self.patterns) - found.named - set(found.unmatched))
        for path, cause in found.errors.items():
            if not isinstance(cause, FileNotFoundError | NotADirectoryError):
                self._report_error(path, "open", cause)
            elif path in self._seen:
                pass  # what became of it is told by whoever follows it
            elif exit_when_idle:
                self._report(path, "missing", "there is no such file", "Correct the path")
            else:
                self._report(
                    path, "missing", "there is no such file", "It is read as soon as it appears"
                )

    def _open(self, path: str, predecessor: _Followed | None) -> None:
        try:
            fd, stat = _open_file(path, self.files)
        except FileNotFoundError:
            return  # gone since the look; the next one will tell
        except OSError as cause:
            self._report_error(path, "open", cause)
            return
        identity = identity_of(stat)
        # Between the look and the opening, the path may have come to mean something else.
        if identity in self._files or not stat_bits.S_ISREG(stat.st_mode):
            self.files.close(fd)
            return
        offset = self._begin_at.pop(identity, 0)
        reader = FileReader(
            path, fd, files=self.files, offset=offset, max_line_bytes=self.max_line_bytes
        )
        followed = _Followed(reader, identity, size=stat.st_size)
        if predecessor is not None and predecessor.ready:
            followed.behind = predecessor
        self._files[identity] = followed
        self._arrived(path)
        self.inc_statistic("files")
        self.log.debug("Following {path} from byte {offset}", path=path, offset=offset)
        if followed.size > offset:
            self._make_ready(followed)

    def _arrived(self, path: str) -> None:
        self._seen.add(path)
        if self._problems:
            for problem in ("missing", "directory", "special", "open", "moved"):
                self._problems.discard((path, problem))

    # -- watching the followed files -------------------------------------------------------

    def _check_all(self, daemon: Daemon, found: Discovery) -> dict[str, _Followed]:
        """Check every followed file; returns those that left their path, by that path."""
        left = {}
        for followed in list(self._files.values()):
            path = followed.reader.path
            fate = self._check(daemon, followed, found)
            if fate in (Fate.REPLACED, Fate.VANISHED) or followed.reader.path != path:
                left[path] = followed
            followed.polled_offset = followed.reader.offset
        return left

    def _check(self, daemon: Daemon, followed: _Followed, found: Discovery) -> Fate:
        reader = followed.reader
        at_path = found.stats.get(reader.path)
        if reader.fd is None and not self._reopen(daemon, followed, at_path):
            return Fate.SAME
        if reader.fd is None:
            return Fate.VANISHED
        try:
            stat = self.files.fstat(reader.fd)
        except OSError as cause:  # ESTALE: a network file system lost it
            self._read_failed(followed, cause)
            return Fate.SAME
        followed.size = stat.st_size
        fate = fate_of(stat, at_path, reader.offset)
        if fate is Fate.TRUNCATED:
            self._truncated(daemon, followed)
        elif fate in (Fate.REPLACED, Fate.MOVED) and followed.identity in found.paths:
            self._renamed(followed, found.paths[followed.identity])
            fate = Fate.SAME
        elif fate is Fate.MOVED and (reader.path, "moved") not in self._problems:
            # Its writer may not know yet: read on until a new file takes the name.
            self._problems.add((reader.path, "moved"))
            self.log.info(
                "{path} was renamed; it is read on until a new file has its name", path=reader.path
            )
        if followed.size > reader.offset:
            self._make_ready(followed)
        elif (
            fate in (Fate.REPLACED, Fate.VANISHED)
            and not followed.ready
            and followed.polled_offset == reader.offset
        ):
            # At its end, and nothing was added since the last poll either.
            self._retire(daemon, followed, fate)
        return fate

    def _truncated(self, daemon: Daemon, followed: _Followed) -> None:
        reader = followed.reader
        self.inc_statistic("truncated")
        self.log.warning(
            "{path} was truncated to {size} bytes after {offset} had been read; it is read again"
            " from its beginning. If a log rotation did that, let it rename (no copytruncate):"
            " what is written between copying and truncating is lost",
            path=reader.path,
            size=followed.size,
            offset=reader.offset,
        )
        self._hand_on_rest(daemon, reader.restart())

    def _renamed(self, followed: _Followed, path: str) -> None:
        self.inc_statistic("rotated")
        self.log.info(
            "{path} was renamed to {new_path} and is followed there",
            path=followed.reader.path,
            new_path=path,
        )
        followed.reader.path = path
        self._seen.add(path)

    def _retire(self, daemon: Daemon, followed: _Followed, fate: Fate) -> None:
        reader = followed.reader
        self._drop(daemon, followed)
        if fate is Fate.REPLACED:
            self.inc_statistic("rotated")
            self.log.info(
                "{path} was replaced: the old file was read to its end at byte {offset},"
                " the new one is read from its beginning",
                path=reader.path,
                offset=reader.offset,
            )
        else:
            self.inc_statistic("vanished")
            self.log.warning(
                "{path} was deleted; it was read to its end at byte {offset}."
                " A new file of that name will be read from its beginning",
                path=reader.path,
                offset=reader.offset,
            )

    def _drop(self, daemon: Daemon, followed: _Followed) -> None:
        self._hand_on_rest(daemon, followed.reader.flush())
        followed.reader.close()
        del self._files[followed.identity]

    def _reopen(self, daemon: Daemon, followed: _Followed, at_path: os.stat_result | None) -> bool:
        """Open again a file that could not be read. True: open, or given up for good."""
        if daemon.exit_when_idle:
            return False  # once is enough: this must come to an end
        reader = followed.reader
        if at_path is None or identity_of(at_path) != followed.identity:
            self._problems.discard((reader.path, "read"))
            self._drop(daemon, followed)
            return True
        try:
            fd, stat = _open_file(reader.path, self.files)
        except OSError as cause:
            self._report_error(reader.path, "open", cause)
            return False
        if identity_of(stat) != followed.identity:
            self.files.close(fd)
            return False  # replaced this very moment: the next poll will see it
        reader.attach(fd)
        self._problems.discard((reader.path, "open"))
        return True

    # -- reading ---------------------------------------------------------------------------

    def _make_ready(self, followed: _Followed) -> None:
        if not followed.ready:
            followed.ready = True
            self._ready.append(followed)

    def _next_ready(self) -> _Followed | None:
        # One of them waits for none: who waits does so for a file that stands in the queue too.
        for _ in range(len(self._ready)):
            followed = self._ready.popleft()
            if followed.behind is None or not followed.behind.ready:
                followed.behind = None
                return followed
            self._ready.append(followed)
        return None

    def _read(self, daemon: Daemon, followed: _Followed) -> None:
        reader = followed.reader
        followed.ready = False
        split_before = reader.lines_split
        try:
            size, batches = reader.read()
        except OSError as cause:
            self._read_failed(followed, cause)
            return
        if self._problems:
            self._problems.discard((reader.path, "read"))
        self.inc_statistic("blocks")
        self.inc_statistic("bytes", size)
        if reader.lines_split > split_before:
            self._report_split(reader, reader.lines_split - split_before)
        self._hand_on(daemon, batches)
        if not reader.at_end:
            self._make_ready(followed)

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
        """End because everything was read and the daemon is to exit when idle."""
        self._end(daemon)
        for path, problem in sorted(self._problems):
            if problem in ("open", "read") or (
                problem in ("missing", "directory", "special") and path not in self._seen
            ):
                daemon.set_exit_status(EXIT_NO_INPUT)
                return

    def _end(self, daemon: Daemon) -> None:
        self._ended = True
        self._cancel_timers()
        for followed in self._files.values():
            self._hand_on_rest(daemon, followed.reader.flush())

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()

    # -- reports: once for each file and problem -------------------------------------------

    def _read_failed(self, followed: _Followed, cause: OSError) -> None:
        followed.reader.close()
        if followed.ready:
            followed.ready = False
            self._ready.remove(followed)
        self._report_error(followed.reader.path, "read", cause)

    def _report_error(self, path: str, problem: str, cause: OSError) -> None:
        if (path, problem) in self._problems:
            return
        self._problems.add((path, problem))
        self.inc_statistic("errors")
        self.log.error(
            "Cannot {problem} {path}: {reason}. {advice}; it is tried again at every look",
            problem=problem,
            path=path,
            reason=cause.strerror or str(cause),
            advice=_ADVICE.get(cause.errno or 0, "Check the path and the file system"),
        )

    def _report(self, path: str, problem: str, reason: str, advice: str) -> None:
        if (path, problem) in self._problems:
            return
        self._problems.add((path, problem))
        self.log.warning(
            "Not reading {path}: {reason}. {advice}", path=path, reason=reason, advice=advice
        )

    def _report_split(self, reader: FileReader, count: int) -> None:
        self.inc_statistic("lines_split", count)
        if (reader.path, "split") in self._problems:
            return
        self._problems.add((reader.path, "split"))
        self.log.warning(
            "{path} has a line of more than {limit} bytes; it is handed on in pieces."
            " Raise max_line_bytes if lines of that length are meant",
            path=reader.path,
            limit=reader.max_line_bytes,
        )
