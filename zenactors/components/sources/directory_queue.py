"""`DirectoryQueue`: takes files out of a directory, one process at a time each."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zenactors.advice import advice_for, reason
from zenactors.components._directory_hints import DirectoryWakeUps
from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._options import (
    check_bool,
    check_choice,
    check_count,
    check_path,
    check_positive,
)
from zenactors.components._queue_directory import Claim, Found, QueueDirectory
from zenactors.components._replace_file import replace_file
from zenactors.components._watch import Hints
from zenactors.components.sources._file_events import CONTENTS, ContentError, FileEvents
from zenactors.components.sources.base import AcknowledgingSource
from zenactors.core.daemon_api import Daemon
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import EXIT_IO_ERROR, ZenDaemonComponentException

MOST_ATTEMPTS = 3  # processes that may die while they have a file


@dataclass(slots=True, eq=False)
class _Job:
    """A claimed file, and what has come of it."""

    claim: Claim
    events: FileEvents | None
    parts: int = 0
    unfinished: int = 0
    problem: str | None = None
    is_settled: bool = False


class DirectoryQueue(AcknowledgingSource):
    r"""Take files out of a directory, and keep each until everything that came of it is done.

    There are four directories in it, which are made if they are missing. A file that a producer has
    put into `incoming` is claimed by a rename into `pending`, so exactly one of several processes
    gets it. It is handed on in one event or, if it is large, in several. Once they are done, it
    goes to `done`; if one has failed, to `errors`, with a file `NAME.why.json` beside it. If the
    daemon stops before, it goes back to `incoming`. If there is a file of that name already, "~2"
    and so on is added.

    A producer writes a file under a name that begins with a dot or ends with `.tmp`, on the same
    file system, and renames it into `incoming` when it is complete. `zenactors.components.enqueue`
    does that. Directories, and all that is not a regular file, stay where they are.

    A process has a lock for as long as it lives. The files that a dead one has left in `pending`
    are taken first, and each of them alone, with no other beside it. A file that three processes
    had when they died goes to `errors`. All processes must be on one machine, or on a file
    system whose locks (`flock`) and renames work between machines.

    If the daemon exits when idle, the component finishes when nothing is left to take.

    Statistics: `claimed` files, and of these `recovered` from dead processes; `done`, `failed` and
    `put_back` files; `events`, and the `bytes` in them.

    Promises:
        loss: A file is in `incoming` or `pending` until its events are done. After a kill -9 or a
            power failure, it is taken again.
        duplicates: All events of a file come again if the process dies before the last is done.
            Two living processes never have the same file.
        order: By name, in each process: files are begun in this order, but several may be under
            way. Parts of a file come in order.
        memory: `max_unfinished_bytes` (8 MiB) of events, one more block of a file, and the names of
            up to 10,000 files.
        threads: None of its own. Reading blocks its own thread for as long as the disk takes.

    Args:
        path: The directory. A relative path is relative to the directory in which the daemon was
            started, or to its `work_dir`.
        content: The content of the events. `"lines"`: `Lines`, where a last line without an end
            gets one. `"records"`: the objects of JSON lines, as a list of dicts; a line that is no
            object ends the file, which goes to `errors`. `"path"`: one record with `path`, `name`
            and `size` for each file, which stays there until the event is done.
        keep_done: Keep the files that are done, in `done`. False: delete them.
        max_files: How many files may be claimed at a time. With 1, a file is done before the next
            begins.
        max_line_bytes: The limit of a line. A longer one comes in pieces, and is no record.
        poll_interval: Seconds between two looks for new files, and for those of dead processes.
        notifications: Look at once when the file system hints at a change (extra `inotify`).
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system; a simulation sets its own before `setup`.

    Example:
        name = "from-queue"

        [[component]]
        use = "zenactors.components:DirectoryQueue"
        options = { path = "queue", content = "records" }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "all.jsonl" }
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        path: str,
        content: Literal["lines", "records", "path"] = "lines",
        keep_done: bool = True,
        max_files: int = 4,
        max_line_bytes: int = 1 << 20,
        poll_interval: float = 1.0,
        notifications: bool = True,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.path = check_path("path", path, of="a directory")
        self.content = check_choice("content", content, CONTENTS)
        self.keep_done = check_bool("keep_done", keep_done)
        self.max_files = check_count("max_files", max_files)
        self.max_line_bytes = check_count("max_line_bytes", max_line_bytes)
        self.poll_interval = check_positive("poll_interval", poll_interval, unit="seconds")
        self.notifications = check_bool("notifications", notifications)
        self._queue: QueueDirectory | None = None
        self._wake_ups: DirectoryWakeUps | None = None
        self._jobs: list[_Job] = []
        self._found: deque[Found] = deque()
        self._may_look = True
        self._reported: set[str] = set()

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and the names of the claimed files."""
        return {**super().get_state(), "claimed_files": [job.claim.name for job in self._jobs]}

    # --- its life -------------------------------------------------------------------------------

    def setup(self, daemon: Daemon) -> None:
        """Make the directories, and take the first files."""
        super().setup(daemon)
        self._jobs, self._found = [], deque()
        self._reported = set()
        place = located(self.path, daemon)
        try:
            self._queue = QueueDirectory(place, self.files, self.random)
        except OSError as cause:
            raise ZenDaemonComponentException(
                f"Cannot use {place} as a queue: {reason(cause)}."
                f" {advice_for(cause, place, 'write')}.",
                path=place,
            ) from cause
        self._wake_ups = DirectoryWakeUps(
            self,
            daemon,
            self.files,
            on_wake=self._wake,
            poll_interval=self.poll_interval,
            notifications=self.notifications,
        )
        self._wake_ups.watch([self._queue.incoming])
        self._wake(Hints())

    def teardown(self, daemon: Daemon) -> None:
        """Put back what is not done."""
        wake_ups, self._wake_ups = self._wake_ups, None
        if wake_ups is not None:
            wake_ups.close()
        queue, self._queue = self._queue, None
        jobs, self._jobs = self._jobs, []
        if queue is not None:
            for job in jobs:
                self._put_back(queue, job)
            queue.close()
        super().teardown(daemon)

    def _put_back(self, queue: QueueDirectory, job: _Job) -> None:
        job.is_settled = True
        if job.events is not None:
            job.events.close()
        try:
            queue.put_back(job.claim)
            self.inc_statistic("put_back")
        except OSError as cause:  # the next run finds it in `pending`
            self._report(job.claim.name, "put back", cause)

    def on_room(self) -> None:
        """Go on reading."""
        self._go_on()

    def _wake(self, _hints: Hints) -> None:
        self._may_look = True
        self._reported.discard("")
        for job in list(self._jobs):
            self._settle_if_ended(job)  # again, if that has failed before
        self._go_on()

    # --- the way of a file ----------------------------------------------------------------------

    def _go_on(self) -> None:
        while self._queue is not None and not self.is_full and not self._daemon.is_done():
            job = next((job for job in self._jobs if job.events is not None), None)
            job = job or self._begin(self._queue)
            if job is None:
                return
            self._hand_on_next(job)

    def _begin(self, queue: QueueDirectory) -> _Job | None:
        """Claim the next file; None if there is none, or if no other may be claimed now."""
        while self._has_room_for_a_file():
            if not self._found and not self._look(queue):
                return None
            if self._found[0].attempts and self._jobs:
                return None  # one that may kill the process is taken alone
            found = self._found.popleft()
            try:
                claim = queue.claim(found)
            except OSError as cause:
                self._report(found.name, "take", cause)
                continue
            if claim is not None:
                self._may_look = True
                self.inc_statistic("claimed")
                self.inc_statistic("recovered", 1 if found.attempts else 0)
                job = self._open(queue, claim)
                if job is not None:
                    return job
        return None

    def _has_room_for_a_file(self) -> bool:
        return len(self._jobs) < self.max_files and all(
            job.claim.attempt == 1 for job in self._jobs
        )

    def _look(self, queue: QueueDirectory) -> bool:
        """Look for files, unless the last look has found nothing. Return True if there are some."""
        if not self._may_look:
            return False
        self._may_look = False
        try:
            self._found.extend(queue.find())
        except OSError as cause:
            self._report("", "look into", cause)
        return bool(self._found)

    def _open(self, queue: QueueDirectory, claim: Claim) -> _Job | None:
        """Begin to read a claimed file; None if it was settled at once."""
        job = _Job(claim, None)
        self._jobs.append(job)
        if claim.attempt > MOST_ATTEMPTS:
            job.problem = f"{MOST_ATTEMPTS} processes died while they had it"
        else:
            try:
                job.events = FileEvents(
                    claim.path,
                    shown=os.path.join(queue.incoming, claim.name),  # noqa: PTH118 - a str
                    name=claim.name,
                    content=self.content,
                    max_line_bytes=self.max_line_bytes,
                    files=self.files,
                )
            except OSError as cause:
                job.problem = f"it cannot be read: {reason(cause)}"
            except ContentError as cause:
                job.problem = str(cause)
        self._settle_if_ended(job)
        return job if job.events is not None else None

    def _hand_on_next(self, job: _Job) -> None:
        """Hand on the next event of a file, or note its end."""
        assert job.events is not None
        try:
            event = job.events.next()
        except OSError as cause:
            job.problem = f"it cannot be read: {reason(cause)}"
            event = None
        except ContentError as cause:
            job.problem = str(cause)
            event = None
        if event is None:
            job.events.close()
            job.events = None
            self._settle_if_ended(job)
            return
        job.parts += 1
        job.unfinished += 1
        self.inc_statistic("events")
        self.inc_statistic("bytes", event[1])
        position = {"file": job.claim.name, "part": job.parts}

        def ended(outcome: TokenOutcome) -> None:
            if outcome is not TokenOutcome.LEFT:  # else the file is put back
                job.unfinished -= 1
                if outcome is TokenOutcome.FAILED and job.problem is None:
                    job.problem = self._why(position)
                self._settle_if_ended(job)
                self._go_on()

        self.hand_over(event[0], size=event[1], position=position, on_done=ended, again=True)

    def _why(self, position: dict[str, Any]) -> str:
        """Return why an event has failed, in one line."""
        letters = self._daemon.dead_letters(where=lambda letter: letter.position == position)
        part = f"part {position['part']}"
        if not letters:
            return f"{part} failed"
        return f"{part} failed in {letters[-1].component}: {letters[-1].cause}"

    def _settle_if_ended(self, job: _Job) -> None:
        """Move a file to where it stays, if all of it is done or has failed."""
        queue = self._queue
        if job.is_settled or job.unfinished or job.events is not None or queue is None:
            return
        try:
            if job.problem is not None:
                self._move_to_errors(queue, job.claim, job.problem)
            elif self.keep_done:
                queue.end(job.claim, "done")
            else:
                with contextlib.suppress(FileNotFoundError):
                    queue.remove(job.claim)
        except OSError as cause:  # tried again at the next look
            self._report(job.claim.name, "move", cause)
            return
        job.is_settled = True
        self._jobs.remove(job)
        self._reported.discard(job.claim.name)
        self.inc_statistic("done" if job.problem is None else "failed")

    def _move_to_errors(self, queue: QueueDirectory, claim: Claim, problem: str) -> None:
        path = queue.end(claim, "errors")
        self.log.error("{path}: {problem}", path=path, problem=problem)
        why = {"file": claim.name, "reason": problem, "attempt": claim.attempt}
        why["time"] = self.clock.time()
        data = f"{json.dumps(why)}\n".encode()
        try:
            replace_file(
                f"{path}.why.json", data, self.files, aside=f"{path}.why.json.tmp", mode=0o644
            )
        except OSError as cause:
            self.log.warning(
                "Cannot write beside {path} why it is there: {reason}",
                path=path,
                reason=reason(cause),
            )

    def _report(self, name: str, what: str, cause: OSError) -> None:
        """Log an error once, until it is over."""
        if self._daemon.exit_when_idle:
            self._daemon.set_exit_status(EXIT_IO_ERROR)
        if name in self._reported:
            return
        if len(self._reported) < self.max_unfinished:
            self._reported.add(name)
        self.log.error(
            "Cannot {what} {file}: {reason}. {advice}; it is tried again",
            what=what,
            file=name or self.path,
            reason=reason(cause),
            advice=advice_for(cause, name or self.path, "write"),
        )
