"""`DirectoryWatcher`: reports files that have appeared and are complete."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from stat import S_ISREG
from typing import Any, Literal

from zenactors.advice import advice_for, reason
from zenactors.components._directory_hints import DirectoryWakeUps
from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._options import (
    check_bool,
    check_choice,
    check_count,
    check_positive,
    check_strings,
)
from zenactors.components._watch import Hints
from zenactors.components.sources._settled_files import SettledFiles, Status
from zenactors.components.sources.base import AcknowledgingSource
from zenactors.components.tail.discovery import excluder, fixed_directory, located_patterns
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.core.tokens import TokenOutcome

_EXISTING = ("report", "ignore")
_RECORD_BYTES = 500  # of memory
_REST = 20  # times as long as a look has taken, until the next one


class DirectoryWatcher(AcknowledgingSource):
    """Report each file that has appeared and is complete, as one event with one record.

    The record has `path`, `name`, `directory`, `size`, and `mtime` (Unix seconds). The file itself
    is not opened. It is complete when its size and its time have stayed the same for `settle`
    seconds; and with `on_close`, when the program that wrote it has closed it.

    If the daemon has a `state_dir`, the component remembers there which files it has reported, so
    that each is reported once, also across restarts. It forgets those that are gone: a file that
    comes back is a new one. So is another file of the same name, if its inode number is another
    one.

    If the daemon exits when idle, the component finishes as soon as all files that are there have
    been reported.

    Statistics: `files` reported and done, `failed`, and `gone` before they were complete or
    forgotten.

    Promises:
        loss: With a `state_dir`, a file that was not done before a crash is reported again. Without
            one, all files are reported again after a restart.
        duplicates: A file is reported again if the process dies before that is saved, up to a
            second after it was done.
        order: By path, among the files that have become complete at the same look.
        memory: About 300 bytes for each of `max_files`. Files beyond them wait until others are
            gone.
        threads: None of its own. A look blocks its own thread; there is a rest of 20 times that
            until the next one.

    Args:
        patterns: The files: globs as in a shell, `**` for any depth of directories. Relative ones
            are relative to the directory in which the daemon was started, or to its `work_dir`.
        exclude: Globs for paths that are left out, such as `["*.part"]`.
        settle: Seconds that a file must stay the same to be complete.
        on_close: Take a file for complete when it is closed by a program that may have written to
            it, or renamed into its directory, if the file system says so (extra `inotify`).
        existing: Files that are there at the first start: `"report"` or `"ignore"` them.
        changed: Report a file again when its size or its time has changed.
        max_files: How many files are remembered at most.
        poll_interval: Seconds between two looks.
        notifications: Look at once when the file system hints at a change (extra `inotify`) in a
            directory in which a pattern begins; deeper ones are looked at every `poll_interval`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system; a simulation sets its own before `setup`.

    Example:
        name = "new-files"

        [[component]]
        use = "zenactors.components:DirectoryWatcher"
        options = { patterns = ["*.toml"], settle = 0.1 }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "files.jsonl" }
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        patterns: list[str],
        exclude: list[str] | None = None,
        settle: float = 2.0,
        on_close: bool = False,
        existing: Literal["report", "ignore"] = "report",
        changed: bool = False,
        max_files: int = 100_000,
        poll_interval: float = 1.0,
        notifications: bool = True,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.patterns = check_strings(
            "patterns", patterns, of="paths or globs", example='["upload/*.csv"]'
        )
        if not self.patterns:
            raise ValueError("patterns is [], but at least one path or glob is expected.")
        self.exclude = check_strings("exclude", exclude or [], of="globs", example='["*.part"]')
        self.settle = check_positive("settle", settle, unit="seconds")
        self.on_close = check_bool("on_close", on_close)
        self.existing = check_choice("existing", existing, _EXISTING)
        self.changed = check_bool("changed", changed)
        self.max_files = check_count("max_files", max_files)
        self.poll_interval = check_positive("poll_interval", poll_interval, unit="seconds")
        self.notifications = check_bool("notifications", notifications)
        self._known = self._make_known(None)
        self._ready: deque[tuple[str, Status]] = deque()
        self._under_way: dict[str, Status] = {}
        self._wake_ups: DirectoryWakeUps | None = None
        self._timer: Cancellable | None = None
        self._rest_until = 0.0
        self._completed: set[str] = set()  # paths, since the last look
        self._reported: set[str] = set()

    def _make_known(self, stored: Any) -> SettledFiles:
        return SettledFiles(
            settle=self.settle, changed=self.changed, most=self.max_files, stored=stored
        )

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and how many files are known."""
        return {**super().get_state(), "known": len(self._known.reported)}

    # --- its life -------------------------------------------------------------------------------

    def setup(self, daemon: Daemon) -> None:
        """Look for the first time."""
        super().setup(daemon)
        self._ready, self._under_way = deque(), {}
        self._rest_until, self._completed, self._reported = 0.0, set(), set()
        self.use_checkpoints(daemon, collect=self._collect, clock=self.clock)
        stored = None if self.checkpoints is None else self.checkpoints.data
        self._known = self._make_known(stored)
        self._located = located_patterns(self.patterns, daemon)
        inside = [f"*/{each}" for each in self.exclude if not each.startswith("/")]
        self._matches_exclude = excluder([*self.exclude, *inside])
        if stored is None and self.existing == "ignore":
            for path, status in self._find()[0].items():
                self._known.report(path, status)
        if stored is None and self.checkpoints is not None:
            self.checkpoints.changed()
            self.checkpoints.save()  # or a crash would make this the first start again
        self._wake_ups = DirectoryWakeUps(
            self,
            daemon,
            self.files,
            on_wake=self._look,
            poll_interval=self.poll_interval,
            notifications=self.notifications,
            completed=self.on_close,
        )
        self._wake_ups.watch(sorted(set(map(fixed_directory, self._located))))
        self._look(Hints())

    def teardown(self, daemon: Daemon) -> None:
        """Look no more, and save what was reported."""
        wake_ups, self._wake_ups = self._wake_ups, None
        if wake_ups is not None:
            wake_ups.close()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        super().teardown(daemon)

    def _collect(self) -> dict[str, Any]:
        return self._known.to_store()

    def on_room(self) -> None:
        """Go on reporting."""
        self._hand_on()

    # --- looking --------------------------------------------------------------------------------

    def _look(self, hints: Hints) -> None:
        begin = self.clock.monotonic()
        self._completed |= hints.completed
        if self._daemon.is_done():
            return
        if begin < self._rest_until:
            if hints and self._timer is None:
                seconds = self._rest_until - begin
                self._timer = self._daemon.io.call_later(seconds, self._look_again)
            return
        found, is_complete = self._find()
        gone = [path for path in self._known.reported if path not in found]
        if is_complete and gone and self._known.forget(gone):
            self.inc_statistic("gone", len(gone))
            if self.checkpoints is not None:
                self.checkpoints.changed()
        self._ready = deque(
            self._known.look(found, begin, completed=self._completed, under_way=self._under_way)
        )
        self._completed = set()
        self._tell_if_full()
        self._hand_on()
        now = self.clock.monotonic()
        self._rest_until = now + _REST * (now - begin)
        if self._daemon.exit_when_idle and self._known.waits and self._timer is None:
            self._timer = self._daemon.io.call_later(self.settle, self._look_again)

    def _look_again(self, _daemon: Any) -> None:
        self._timer = None
        self._rest_until = 0.0
        self._look(Hints())

    def _find(self) -> tuple[dict[str, Status], bool]:
        """Return the files that match, and whether all directories could be read."""
        unreadable: dict[str, OSError] = {}
        found: dict[str, Status] = {}
        for pattern in self._located:
            try:
                paths = self.files.glob(pattern, unreadable)
            except OSError as cause:  # a network file system does not answer
                unreadable[pattern] = cause
                continue
            for path in paths:
                if path in found or self._is_excluded(path):
                    continue
                try:
                    stat = self.files.stat(path)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as cause:
                    unreadable[path] = cause
                    continue
                if S_ISREG(stat.st_mode):
                    found[path] = Status.of(stat)
        self._report_problems(unreadable)
        return found, not unreadable

    def _is_excluded(self, path: str) -> bool:
        if path in self.exclude:
            return True
        return self._matches_exclude is not None and bool(self._matches_exclude(path))

    def _report_problems(self, unreadable: Mapping[str, OSError]) -> None:
        for path, cause in unreadable.items():
            if path not in self._reported:
                self.log.error(
                    "Cannot look into {path}: {reason}. {advice}; it is tried again",
                    path=path,
                    reason=reason(cause),
                    advice=advice_for(cause, path, "read"),
                )
        self._reported = set(unreadable) | (self._reported & {""})

    def _tell_if_full(self) -> None:
        if self._known.is_full and "" not in self._reported:
            self._reported.add("")
            self.log.error(
                "There are more than {max_files} files: the others are reported when some of these"
                " are gone. Move files that are done, or raise max_files",
                max_files=self.max_files,
            )
        elif not self._known.is_full:
            self._reported.discard("")

    # --- reporting ------------------------------------------------------------------------------

    def _hand_on(self) -> None:
        while self._ready and not self.is_full and not self._daemon.is_done():
            self._hand_on_one(*self._ready.popleft())

    def _hand_on_one(self, path: str, status: Status) -> None:
        directory, name = os.path.split(path)
        record = {
            "path": path,
            "name": name,
            "directory": directory,
            "size": status.size,
            "mtime": status.mtime / 1e9,
        }
        self._under_way[path] = status

        def ended(outcome: TokenOutcome) -> None:
            del self._under_way[path]
            if outcome is not TokenOutcome.LEFT:
                self._known.report(path, status)
                self.inc_statistic("files" if outcome is TokenOutcome.DONE else "failed")

        self.hand_over(
            [record],
            size=_RECORD_BYTES + 2 * len(path),
            position=[path, *status],
            on_done=ended,
            again=self.checkpoints is None,
        )
