"""Copy the lines of a file to another one, so that no crash loses a line: "kill -9 anywhere".

The reader notes how far the writer has come, but only of lines that are on the disk. The
simulation kills the process and cuts the power at any moment, and checks that no line is missing:

    zenactors simulate --app-dir examples kept_lines:scenario --seeds 1000
    zenactors simulate --app-dir examples kept_lines:hasty --seeds 1000       # this one loses lines
    zenactors simulate --app-dir examples kept_lines:short --seeds 1000       # by Checkpoints
"""

import functools
import os
from typing import Any

from zenactors import Checkpoints, Daemon, TokenOutcome, ZenDaemonComponent, handles
from zenactors.components import SYSTEM_FILES, Files
from zenactors.testing import Harness, Scenario, nothing_lost

LINES = 30
AHEAD = 4  # lines that are read, but not on the disk yet

GIVEN = "in.log"
OUT, HELD = "out", "out/out.log"
STATE, MARK = "state", "state/mark"


class Reader(ZenDaemonComponent):
    """Schedule the lines of a file from its mark on, and move the mark behind those done."""

    emits = ("line",)
    files: Files = SYSTEM_FILES  # a simulation sets its own

    def __init__(self, *, hasty: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hasty = hasty

    def setup(self, daemon: Daemon) -> None:
        files = self.files
        self.fd = files.open(GIVEN, os.O_RDONLY)
        self.done = 0  # the offset behind the last line that is done, with all before it
        if files.lexists(MARK):
            fd = files.open(MARK, os.O_RDONLY)
            self.done = int(files.read(fd, 100))
            files.close(fd)
        self.read = self.done
        self.open: dict[int, bool] = {}  # the lines scheduled, by their ends: done?

    def teardown(self, daemon: Daemon) -> None:
        self.files.close(self.fd)

    @handles("start")
    def cbk_event_start(self, daemon: Daemon, args: Any) -> None:
        self.go_on(daemon)

    def go_on(self, daemon: Daemon) -> None:
        self.files.lseek(self.fd, self.read, os.SEEK_SET)
        for line in self.files.read(self.fd, 1000).splitlines(keepends=True):
            if len(self.open) >= AHEAD or not line.endswith(b"\n"):
                return
            self.read += len(line)
            self.open[self.read] = False
            ended = functools.partial(self.ended, daemon, self.read)
            daemon.queue.schedule("line", line, on_done=ended)
            if self.hasty:
                self.save(self.read)  # too early: nobody knows what becomes of the line

    def ended(self, daemon: Daemon, end: int, outcome: TokenOutcome) -> None:
        if outcome is not TokenOutcome.DONE:
            return  # the next start begins at the mark
        self.open[end] = True
        before = self.done
        while self.open and self.open[first := min(self.open)]:
            del self.open[first]
            self.done = first
        if self.done != before and not self.hasty:
            self.save(self.done)
        self.go_on(daemon)

    def save(self, offset: int) -> None:
        """Replace the mark: after a crash there is the old one or the new one, whole."""
        files = self.files
        fd = files.open(f"{MARK}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        files.write(fd, str(offset).encode())
        files.fsync(fd)
        files.close(fd)
        files.rename(f"{MARK}.new", MARK)
        sync_directory(files, STATE)


class ShortReader(ZenDaemonComponent):
    """The same as `Reader`; `Checkpoints` does what that one does by itself."""

    emits = ("line",)
    files: Files = SYSTEM_FILES

    def setup(self, daemon: Daemon) -> None:
        self.fd = self.files.open(GIVEN, os.O_RDONLY)
        self.checkpoints = Checkpoints(daemon, bound=AHEAD, on_room=self.go_on)
        self.read = self.checkpoints.resume() or 0

    def teardown(self, daemon: Daemon) -> None:
        self.checkpoints.close()
        self.files.close(self.fd)

    @handles("start")
    def cbk_event_start(self, daemon: Daemon, args: Any) -> None:
        self.go_on()

    def go_on(self) -> None:
        self.files.lseek(self.fd, self.read, os.SEEK_SET)
        for line in self.files.read(self.fd, 1000).splitlines(keepends=True):
            if self.checkpoints.is_full or not line.endswith(b"\n"):
                return
            self.read += len(line)
            self.checkpoints.schedule("line", line, self.read)


class Writer(ZenDaemonComponent):
    """Append each line to a file. When its callback returns, the line is on the disk."""

    files: Files = SYSTEM_FILES

    def setup(self, daemon: Daemon) -> None:
        files = self.files
        self.fd = files.open(HELD, os.O_RDWR | os.O_CREAT)
        sync_directory(files, OUT)  # the name of a new file is on the disk, too
        content = files.read(self.fd, files.fstat(self.fd).st_size)
        whole = content.rfind(b"\n") + 1
        files.ftruncate(self.fd, whole)  # a crash may have torn the last line
        files.lseek(self.fd, whole, os.SEEK_SET)

    def teardown(self, daemon: Daemon) -> None:
        self.files.close(self.fd)

    @handles("line")
    def cbk_event_line(self, daemon: Daemon, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[self.files.write(self.fd, rest) :]
        self.files.fsync(self.fd)


def sync_directory(files: Files, path: str) -> None:
    fd = files.open(path, os.O_RDONLY | os.O_DIRECTORY)
    files.fsync(fd)
    files.close(fd)


def drive(harness: Harness) -> None:
    harness.advance(60)


scenario = Scenario(
    build=lambda: [Reader(), Writer()],
    drive=drive,
    check=nothing_lost(GIVEN, HELD, repeats=AHEAD),
    files={
        GIVEN: "".join(f"line {number}\n" for number in range(LINES)),
        f"{OUT}/.keep": "",
        f"{STATE}/.keep": "",
    },
    kills=2,
    power_failures=2,
)

hasty = Scenario(
    build=lambda: [Reader(hasty=True), Writer()],
    drive=drive,
    check=scenario.check,
    files=scenario.files,
    kills=2,
    power_failures=2,
)

short = Scenario(
    build=lambda: [ShortReader(), Writer()],
    drive=drive,
    check=scenario.check,
    files={GIVEN: scenario.files[GIVEN], f"{OUT}/.keep": ""},
    state_dir=f"{STATE}/of/lines",
    kills=2,
    power_failures=1,
)
