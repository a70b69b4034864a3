"""Write numbered lines to log files that are rotated, and check the copies of these lines.

Each line has its number, the time when it was written, and a filling to `LINE` bytes. The numbers
are given once, so the copies show which lines a tailer has lost, read twice, torn, or reordered.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

LINE = 200  # bytes, with the line end
_STAMP = 33  # bytes: number, space, time, space
_FILLING = b"x" * (LINE - _STAMP - 1) + b"\n"
BATCH = 0.001  # seconds
ROTATE_EVERY = 0.5  # seconds
LATE = 0.2  # seconds in which the writer goes on with a renamed file
GAP = 0.002  # seconds from the end of a copy to the truncation, as on a busy machine
PAUSE = 0.05  # seconds, before and after a file is copied and truncated


def make_lines(numbers: Iterable[int]) -> bytes:
    """Return lines that are written now."""
    rest = b" %019d " % time.monotonic_ns() + _FILLING
    return b"".join(b"%012d" % number + rest for number in numbers)


def number_of(line: bytes) -> int | None:
    """Return the number of a line without its end; None if this is not one whole line."""
    if len(line) != LINE - 1 or line[_STAMP:] != _FILLING[:-1] or not line[:12].isdigit():
        return None
    return int(line[:12])


def latency_of(line: bytes, arrival: int) -> float:
    """Return the seconds from the time when the line was written to `arrival`, in ns."""
    return (arrival - int(line[13 : _STAMP - 1])) / 1e9


@dataclasses.dataclass(kw_only=True)
class Count:
    """How a tailer treated the lines.

    Attributes:
        lost: Lines that the tailer could have read: the log or a copy of it still has them.
        duplicated: Copies of lines after the first one.
        torn: Lines of the output that are parts of lines, or of several lines.
        reordered: Lines with a smaller number than one before them.
        gone: Lines that the rotation cut off before it had copied them; of these, `rescued` were
            read in time.
    """

    lost: int = 0
    duplicated: int = 0
    torn: int = 0
    reordered: int = 0
    gone: int = 0
    rescued: int = 0

    @property
    def errors(self) -> int:
        return self.lost + self.duplicated + self.torn + self.reordered

    def __str__(self) -> str:
        text = f"lost {self.lost:,}, duplicated {self.duplicated:,}, torn {self.torn:,}"
        text += f", out of order {self.reordered:,}"
        if self.gone:
            text += f"; of {self.gone:,} lines in no file, read {self.rescued:,}"
        return text


def count(output: bytes, written: int, preserved: bytearray | None = None) -> Count:
    """Compare the output of a tailer with the lines 0 to `written` - 1.

    Args:
        preserved: One byte per line, 1 if a file still has it; by default, all are there.
    """
    found = Count()
    copies = bytearray(written)
    highest = -1
    for line in output.split(b"\n")[:-1]:
        number = number_of(line)
        if number is None or number >= written:
            found.torn += 1
            # A process was killed in the middle of a line, and its successor wrote the next one.
            number = number_of(line[1 - LINE :])
            if number is None or number >= written:
                continue
        if copies[number]:
            found.duplicated += 1
        elif number < highest:
            found.reordered += 1
        copies[number] = 1
        highest = max(highest, number)
    if output and not output.endswith(b"\n"):
        found.torn += 1
    if preserved is None:
        preserved = bytearray(b"\1") * written
    for is_copied, is_preserved in zip(copies, preserved, strict=True):
        if not is_preserved:
            found.gone += 1
            found.rescued += is_copied
        elif not is_copied:
            found.lost += 1
    return found


def preserved_lines(directory: Path, written: int) -> bytearray:
    """Return one byte per line: 1 if a file in `directory` has the line."""
    found = bytearray(written)
    for path in directory.iterdir():
        if path.is_symlink():
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in data.split(b"\n"):
            number = number_of(line)
            if number is not None:
                found[number] = 1
    return found


class Log:
    """A log as one program writes it, and another rotates it.

    Attributes:
        path: The log's path, the same for ever unless `pattern` has a wildcard.
        pattern: A glob for all files to follow.
    """

    def __init__(self, directory: Path, kind: str) -> None:
        self.directory = directory
        self.kind = kind
        self.rotations = 0
        self.path = directory / ("app-0000.log" if kind == "dated" else "app.log")
        self.pattern = str(directory / "app-*.log" if kind == "dated" else self.path)
        if kind == "link" and not self.path.is_symlink():
            self.path.symlink_to("target-0000")
        self._fd = _open(self.path)
        self._change: Callable[[], None] | None = None
        self._change_at = 0.0
        self._threads: list[threading.Thread] = []

    def write(self, data: bytes) -> None:
        """Append whole lines."""
        if self._change is not None and time.monotonic() >= self._change_at:
            self._change()
            self._change = None
        if os.write(self._fd, data) != len(data):
            raise OSError(f"{self.path} took a part of {len(data)} bytes")

    def close(self) -> None:
        """Wait for rotations that still run."""
        os.close(self._fd)
        for thread in self._threads:
            thread.join()

    def rotate(self) -> None:
        """Rotate as `kind` says; the writer goes on in the meantime, unless it has to pause."""
        self.rotations += 1
        getattr(self, "_" + self.kind.replace(" ", "_"))()

    def _none(self) -> None:
        self.rotations = 0

    def _rename(self) -> None:
        self._shift()
        self.path.rename(f"{self.path}.1")
        self._reopen()

    def _late_writer(self) -> None:
        self._shift()
        self.path.rename(f"{self.path}.1")
        os.close(_open(self.path))
        self._change, self._change_at = self._reopen, time.monotonic() + LATE

    def _gzip(self) -> None:
        old = self.path.rename(f"{self.path}-{self.rotations:04}")
        self._reopen()
        self._in_thread(lambda: _compress(old))

    def _paused_copytruncate(self) -> None:
        time.sleep(PAUSE)
        self._copy_and_truncate()
        time.sleep(PAUSE)

    def _copytruncate(self) -> None:
        for thread in self._threads:
            thread.join()
        self._in_thread(self._copy_and_truncate)

    def _link(self) -> None:
        target, new = f"target-{self.rotations:04}", self.directory / "new-link"
        os.close(_open(self.directory / target))
        new.symlink_to(target)
        new.replace(self.path)
        self._reopen()

    def _dated(self) -> None:
        self.path = self.directory / f"app-{self.rotations:04}.log"
        self._reopen()

    def _reopen(self) -> None:
        os.close(self._fd)
        self._fd = _open(self.path)

    def _shift(self) -> None:
        for number in range(self.rotations - 1, 0, -1):
            Path(f"{self.path}.{number}").rename(f"{self.path}.{number + 1}")

    def _copy_and_truncate(self) -> None:
        self._shift()
        shutil.copyfile(self.path, f"{self.path}.1")
        time.sleep(GAP)
        os.truncate(self.path, 0)

    def _in_thread(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def _compress(path: Path) -> None:
    new = Path(f"{path}.gz.new")
    with path.open("rb") as source, gzip.open(new, "wb", compresslevel=1) as copy:
        shutil.copyfileobj(source, copy)
    new.rename(f"{path}.gz")
    path.unlink()


def main(kind: str, directory: Path, rate: int, lines: int) -> dict[str, float]:
    """Write lines from number 1 on, and return how many rotations and seconds that took."""
    if kind == "many":
        return _write_to_many(sorted(directory.iterdir()), rate, lines)
    log = Log(directory, kind)
    begin = time.monotonic()
    rotate_at = begin + ROTATE_EVERY
    if kind == "none" and rate < 1 / BATCH:
        _write_one_by_one(log, lines)
    else:
        size = int(rate * BATCH)
        due = begin
        for number in range(1, lines + 1, size):
            now = time.monotonic()
            if now < due:
                time.sleep(due - now)
            due += BATCH
            log.write(make_lines(range(number, min(number + size, lines + 1))))
            if time.monotonic() >= rotate_at:
                log.rotate()
                rotate_at = time.monotonic() + ROTATE_EVERY
    seconds = time.monotonic() - begin
    log.close()
    return {"rotations": log.rotations, "seconds": seconds}


def _write_one_by_one(log: Log, lines: int) -> None:
    chance = random.Random(1)  # the same pauses in each run
    for number in range(1, lines + 1):
        time.sleep(chance.uniform(0.05, 0.1))
        log.write(make_lines([number]))


def _write_to_many(paths: list[Path], rate: int, lines: int) -> dict[str, float]:
    begin = time.monotonic()
    for number in range(lines):
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        fd = _open(paths[number % len(paths)])
        os.write(fd, make_lines([len(paths) + number]))
        os.close(fd)
    return {"rotations": 0, "seconds": time.monotonic() - begin}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
