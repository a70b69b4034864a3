"""A tailer on a fake daemon, and files that fail."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

from zenactors.components import FileTailer, Lines
from zenactors.components._files import SYSTEM_FILES
from zenactors.core.component import set_clock

from .fakes import FakeDaemon


def fake_daemon(**options) -> Any:  # Any: it has only the part of a daemon that a tailer uses
    return FakeDaemon(**options)


class Tail:
    """A tailer on a fake daemon, set up."""

    def __init__(self, *patterns, exit_when_idle=False, **options) -> None:
        self.daemon = fake_daemon(exit_when_idle=exit_when_idle)
        options.setdefault("start", "beginning")
        options.setdefault("rotate_wait", 0.5)
        self.tailer = FileTailer(patterns=[str(pattern) for pattern in patterns], **options)
        set_clock(self.tailer, self.daemon.clock)
        self.tailer.setup(self.daemon)

    def poll(self, times: int = 1) -> list[Lines]:
        self.daemon.poll(self.tailer, times)
        return [unidentified(lines) for lines in self.daemon.take()]

    def text(self, times: int = 1) -> bytes:
        return b"".join(lines.data for lines in self.poll(times))

    def stop(self) -> list[Lines]:
        self.daemon.done = True
        self.daemon.schedule("stop")
        self.daemon.drain(self.tailer)
        return [unidentified(lines) for lines in self.daemon.take()]

    def run(self) -> bytes:
        self.daemon.run_until_ended(self.tailer)
        return b"".join(lines.data for lines in self.daemon.take())

    def count(self, key: str) -> int:
        return int(self.tailer.statistics_cur.get(key, 0))


def unidentified(lines: Lines) -> Lines:
    """Without what is different in each run."""
    return dataclasses.replace(lines, file_id="")


def append(path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def deny(monkeypatch, path, error=errno.EACCES):
    """Let opening `path` fail (root may open every file, so its permissions do not)."""
    real = SYSTEM_FILES.open

    def denied(name, *args, **kwargs):
        if str(name) == str(path):
            raise OSError(error, os.strerror(error), str(name))
        return real(name, *args, **kwargs)

    monkeypatch.setattr(SYSTEM_FILES, "open", denied)


def open_handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def fail_reads(monkeypatch):
    def failing(fd, count, offset):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(SYSTEM_FILES, "pread", failing)
