"""`FileTailer`: follows many files from one component, without a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from zenactors.components._files import SYSTEM_FILES, Files, SystemFiles
from zenactors.components._options import check_strings
from zenactors.components.tail.discovery import fixed_directory, located_patterns
from zenactors.components.tail.loop import TailLoop
from zenactors.components.tail.memory import Memory
from zenactors.components.tail.options import TailOptions
from zenactors.components.tail.patient_files import PatientFiles
from zenactors.components.tail.streams import STANDARD_INPUT
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon

_FIXED = ("exactly_once", "notifications")  # options that a reload cannot change


class FileTailer(ZenDaemonComponent):
    r"""Follow files and schedule the appended data as `lines` events with `Lines`.

    A file is itself under any name: it is identified by device, inode, and a fingerprint of its
    first bytes. If it is renamed, it is read to its end, and until it was quiet for `rotate_wait`
    seconds; the new file of that name is read behind it, from its beginning. If it is copied and
    truncated, what was not read yet is read from the copy. Two paths to one file are one file. A
    compressed file is not read.

    If the daemon has a `state_dir`, the tailer remembers there how far each file is done, and the
    next run goes on at that place: every line comes at least once. Without one, a run begins as
    `start` says. Standard input and named pipes have no such places.

    A last line without an end is held back until its end comes. Without a `state_dir`, it is handed
    on without one when the daemon stops, as a piece (`Lines.complete` is False). So it is when its
    file has left its name and is closed, after `line_timeout`, and if the daemon exits when idle.

    New data is read at once if the file system gives hints of changes (the extra `inotify`), and
    otherwise at the next poll. If there is a lot, it is read every 2 to 20 ms.

    If the daemon exits when idle, the tailer finishes as soon as every file was read to its end.
    It sets exit status 66 if a named file is missing or a file could not be read.

    Statistics: `files` opened, `blocks`, `bytes` and `lines` read, `lines_truncated`, `lines_split`
    or `lines_skipped` because of their length, `truncated`, `rotated`, `vanished` and `compressed`
    files, those that were `cut_short` by a power failure, `bytes_lost` with vanished files, and
    `errors` reported.

    Promises:
        loss: Each line that is appended while it runs is handed on, whatever happens to the file's
            name. With a `state_dir`, so is each line that is appended while it does not run, and
            each that was not done when the process died. Lines that are deleted or truncated away
            before it reads them are lost.
        duplicates: None in one run. With a `state_dir`, at most 2,000 events come twice after a
            crash; with `exactly_once`, none in the outputs. Lines of a few seconds do if the log
            itself has lost its end in a power failure.
        order: That of each file. What a file has when it loses its name comes before the next file
            of that name; otherwise files come in any order.
        memory: At most 8 MiB of lines under way, a block, and a line and a record of each file; at
            most 4,096 open files. It reads no further while what follows is slow. With
            `exactly_once` and outputs that are cut back, the lines since the last checkpoint, too:
            16 MiB, or 64 MiB while none can be taken.
        threads: Its own. Files on network file systems are read in further threads, because such a
            file system may never answer.

    Args:
        patterns: The files: globs as in a shell, `**` for any depth of directories, each entered
            once, even if links lead round in circles. A pattern without glob characters names one
            file; it may appear later. Relative ones are relative to the directory in which the
            daemon was started, or to its `work_dir`. `"-"` is standard input.
        start: Where to begin in files that exist at the first start: at their `"beginning"` or
            their `"end"`. Later files are always read from their beginning.
        poll_interval: Seconds between two polls for new files and new content; at least a second
            while there are hints.
        exclude: Files that are never read: the outputs of this daemon, under any path, and globs
            for paths. `"-"` is standard output.
        max_line_bytes: The limit of a line.
        long_lines: Longer lines are cut off (`"truncate"`), handed on in pieces of that size
            (`"split"`), or left out (`"skip"`).
        encoding: A codec of Python, such as `"latin-1"` or `"utf-16"`.
        delimiter: The text that ends a line; None: `"\n"`.
        multiline: A regular expression: a line at whose beginning it matches begins a record, and
            the others continue it. None: each line is one.
        multiline_timeout: Seconds until the last record is handed on though none follows.
        max_record_lines: The limit of a record. Its rest becomes another one.
        line_timeout: Seconds until a line without an end is handed on as a piece; None: never.
        rate_limit: Lines a second that are handed on at most, on average.
        rotate_wait: Seconds that a file without a name must be quiet until it is closed.
        notifications: Use the hints of the file system.
        exactly_once: Save the outputs of sinks together with the positions in the files; the next
            run cuts them back to what is saved, and so does this one if a component that is made
            anew has left lines undone. Needs a `state_dir`, and sinks that take
            `checkpoint` events, as `RawWriter` and `JsonLinesWriter` do.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system; a simulation sets its own before `setup`.

    Example:
        name = "follow"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["access.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:RawWriter"
        [component.options]
        path = "copy.log"
    """

    emits = ("lines",)
    no_replicas = "each would read all files. Take one, or give each its own files and a name."
    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        patterns: list[str],
        start: Literal["beginning", "end"] = "end",
        poll_interval: float = 0.25,
        exclude: list[str] | None = None,
        max_line_bytes: int = 102_400,
        long_lines: Literal["truncate", "split", "skip"] = "truncate",
        encoding: str = "utf-8",
        delimiter: str | None = None,
        multiline: str | None = None,
        multiline_timeout: float = 5.0,
        max_record_lines: int = 1_000,
        line_timeout: float | None = None,
        rate_limit: float | None = None,
        rotate_wait: float = 10.0,
        notifications: bool = True,
        exactly_once: bool = False,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.patterns = check_strings(
            "patterns", patterns, of="paths or globs", example='["/var/log/*.log"]'
        )
        if not self.patterns:
            raise ValueError("patterns is [], but at least one path or glob is expected.")
        self.exclude = check_strings("exclude", exclude or [], of="paths", example='["out.log"]')
        self._how = TailOptions(
            start=start,
            poll_interval=poll_interval,
            max_line_bytes=max_line_bytes,
            long_lines=long_lines,
            encoding=encoding,
            delimiter=delimiter,
            multiline=multiline,
            multiline_timeout=multiline_timeout,
            max_record_lines=max_record_lines,
            line_timeout=line_timeout,
            rate_limit=rate_limit,
            rotate_wait=rotate_wait,
            notifications=notifications,
            exactly_once=exactly_once,
        )
        self._loop: TailLoop | None = None
        self._memory: Memory | None = None
        self._patient: PatientFiles | None = None

    def progress(self) -> tuple[int, int]:
        """Return how many bytes were read, and how many of the files are known. Thread: any."""
        loop = self._loop  # read once: `teardown` may come in between
        return (0, 0) if loop is None else loop.progress

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and how far each file was read."""
        state = {"files": []} if self._loop is None else self._loop.state()
        return {**super().get_state(), **state}

    def setup(self, daemon: Daemon) -> None:
        """Look for the first time, open the files, go on where an earlier run has ended."""
        patterns, exclude = self._located(daemon)
        self._patient = _patient_files(self.files, patterns)
        files = self._patient or self.files
        self._loop = TailLoop(self, daemon, files, self._how, self._memory)
        self._loop.set_patterns(patterns, exclude)
        self._memory = self._loop.memory
        self._loop.start()

    def teardown(self, daemon: Daemon) -> None:
        """Close every file, and save how far each is done."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()
        if self._patient is not None:
            self._patient.shutdown()

    @handles("stop")
    def cbk_event_stop(self, daemon: Daemon, args: Any) -> None:
        """Stop reading; without a `state_dir`, hand on the unfinished last lines."""
        if self._loop is not None:
            self._loop.stop()

    def reconfigure(self, daemon: Daemon, config: Mapping[str, Any]) -> None:
        """Replace the options; files that stay followed go on at their offsets.

        A file that no pattern matches any more is closed. An existing file that only the new
        patterns match begins as `start` says, or where an earlier change left it.

        Raises:
            ValueError: An option is wrong. Nothing has changed.
        """
        wanted = type(self)(**{"patterns": self.patterns, **config}, name=self.name)
        for option in _FIXED:
            if getattr(wanted._how, option) != getattr(self._how, option):  # noqa: SLF001 - of its own class
                raise ValueError(
                    f"{option} cannot be changed while the daemon runs: restart it for that."
                )
        self.patterns, self.exclude = wanted.patterns, wanted.exclude
        self._how = wanted._how  # noqa: SLF001
        if self._loop is not None:
            self._loop.reconfigure(self._how, *self._located(daemon))

    def _located(self, daemon: Daemon) -> tuple[list[str], list[str]]:
        return located_patterns(self.patterns, daemon), located_patterns(self.exclude, daemon)


def _patient_files(files: Files, patterns: Iterable[str]) -> PatientFiles | None:
    """Return files that do not wait for dead servers, if a pattern is on a network file system."""
    # In a simulation nothing hangs, and its files are for one thread.
    if not isinstance(files, SystemFiles):
        return None
    directories = {fixed_directory(each) for each in patterns if each != STANDARD_INPUT}
    return PatientFiles(files) if any(map(files.is_network, directories)) else None
