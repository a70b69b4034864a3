"""Hints that the kernel gives about changes in directories, from inotify."""

from __future__ import annotations

import dataclasses
import errno
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import inotify_simple

_MODIFY = 0x0000_0002
_CLOSE_WRITE = 0x0000_0008
_MOVED_FROM = 0x0000_0040
_MOVED_TO = 0x0000_0080
_CREATE = 0x0000_0100
_DELETE = 0x0000_0200
_DELETE_SELF = 0x0000_0400
_MOVE_SELF = 0x0000_0800
_UNMOUNT = 0x0000_2000
_OVERFLOW = 0x0000_4000
_IGNORED = 0x0000_8000
_ONLY_DIRECTORIES = 0x0100_0000

_NAMES = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_GONE = _UNMOUNT | _IGNORED
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_AT_ONCE = 65_536  # bytes; what is left keeps the descriptor readable


@dataclasses.dataclass(slots=True)
class Hints:
    """What may have changed since the last look. A hint may be wrong, and may be missing.

    Attributes:
        changed: Paths of files whose content may have changed: the directory as it was added, and
            the name that the file had then. A file of which two changes were reported is there
            once.
        renamed: Names were added, removed or changed, or a watched directory was removed or
            renamed. Its watch is gone then, or follows it to its new name: add it again.
        overflow: Hints were lost, of any kind.
        completed: Paths of files that were renamed into a directory which is watched for that, or
            closed there by a program that may have written to them.
    """

    changed: set[str] = dataclasses.field(default_factory=set)
    renamed: bool = False
    overflow: bool = False
    completed: set[str] = dataclasses.field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.changed) or self.renamed or self.overflow or bool(self.completed)


class Watch(Protocol):
    """Watches directories, but not those inside them. Thread: one at a time."""

    def fileno(self) -> int:
        """Return a descriptor that is readable while there are hints. It is not to be read."""
        ...

    def add(self, directory: str, /, *, completed: bool = False) -> None:
        """Watch a directory; links are followed. Harmless if it is watched.

        If the path has come to lead to another directory, that one is watched instead.

        Args:
            directory: Its path.
            completed: Report files that are complete, too.

        Raises:
            OSError: It cannot be watched: it is missing, or (`ENOSPC`) there are too many watches.
        """
        ...

    def remove(self, directory: str, /) -> None:
        """No longer watch a directory, given as it was added. Harmless if it is not watched."""
        ...

    def take(self) -> Hints:
        """Return hints, and forget them. Never blocks.

        If there are very many, some are left; `fileno` stays readable then.
        """
        ...

    def close(self) -> None:
        """Close the descriptor. The second of two calls does nothing."""
        ...


def open_watch() -> Watch | None:
    """Return a watch by inotify; None if the package `inotify-simple` is not installed.

    Raises:
        OSError: There is none to be had: `EMFILE`, for instance, at a limit of the system.
    """
    try:
        import inotify_simple  # noqa: PLC0415 - an extra
    except (ImportError, AttributeError):  # not installed; no Linux
        return None
    return InotifyWatch(inotify_simple.INotify(nonblocking=True))


class InotifyWatch:
    """A `Watch` by inotify.

    The kernel reports changes that this machine makes by calls. It does not report those that
    another machine makes on a network file system, and those that are made through `mmap`.

    Args:
        inotify: The descriptor of the kernel's queue; it does not block.
    """

    def __init__(self, inotify: inotify_simple.INotify) -> None:
        self._inotify = inotify
        self._numbers: dict[str, int] = {}
        # What the paths of files begin with, by the paths that lead to the directory.
        self._prefixes: dict[int, dict[str, str]] = {}
        self._completed: set[int] = set()  # watched for complete files

    def fileno(self) -> int:
        """Return the descriptor of the queue."""
        fd: int = self._inotify.fileno()
        return fd

    def add(self, directory: str, *, completed: bool = False) -> None:
        """Watch a directory."""
        mask = _MODIFY | _NAMES | _ONLY_DIRECTORIES | (_CLOSE_WRITE if completed else 0)
        try:
            number = self._inotify.add_watch(directory, mask)
        except OSError as cause:  # without the path
            raise OSError(cause.errno, cause.strerror, directory) from None
        if completed:
            self._completed.add(number)
        if self._numbers.get(directory) != number:
            self.remove(directory)
            self._numbers[directory] = number
            prefixes = self._prefixes.setdefault(number, {})
            prefixes[directory] = os.path.join(directory, "")  # noqa: PTH118

    def remove(self, directory: str) -> None:
        """No longer watch a directory."""
        number = self._numbers.pop(directory, None)
        if number is None:
            return
        left = self._prefixes[number]
        del left[directory]
        if not left:
            del self._prefixes[number]
            self._completed.discard(number)
            try:
                self._inotify.rm_watch(number)
            except OSError as cause:
                if cause.errno != errno.EINVAL:  # it has gone with the directory
                    raise

    def take(self) -> Hints:
        """Return the hints of one read."""
        try:
            return self.interpret(os.read(self.fileno(), _AT_ONCE))
        except BlockingIOError:
            return Hints()

    def interpret(self, data: bytes) -> Hints:
        """Return the hints in bytes that the kernel gave."""
        hints = Hints()
        for number, mask, name in _parse(data):
            if mask & _OVERFLOW:
                hints.overflow = True
            prefixes = self._prefixes.get(number)
            if prefixes is None:  # it was removed
                continue
            if mask & _MODIFY:
                for prefix in prefixes.values():
                    hints.changed.add(prefix + name)
            if mask & (_CLOSE_WRITE | _MOVED_TO) and number in self._completed:
                hints.completed.update(prefix + name for prefix in prefixes.values())
            if mask & (_NAMES | _GONE):
                hints.renamed = True
        return hints

    def close(self) -> None:
        """Close the queue, and with it all watches."""
        self._inotify.close()


def _parse(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield the watch, the mask and the name of each report; equal reports only once."""
    header = _HEADER.unpack_from
    size = _HEADER.size
    reports: dict[bytes, None] = {}
    at, end = 0, len(data)
    while at < end:
        after = at + size + header(data, at)[3]
        reports[data[at:after]] = None
        at = after
    for report in reports:
        number, mask, _, _ = header(report)
        yield number, mask, os.fsdecode(report[size:].rstrip(b"\0"))
