"""Cut an output back to what was written to it at a checkpoint in an earlier run.

Each checkpoint has a number. A file that is begun after a checkpoint, because the one before was
renamed, is noted in a state store with that number before anything is written to it. So after a
crash all files are known that may have got something since: the one that the checkpoint was taken
of, and those that were begun later.

The file of a checkpoint is recognised by its inode and by the last bytes before its length. The
number of the device counts only where these bytes cannot be read: it may change when a machine
starts.
"""

# ruff: noqa: PTH118, PTH119, PTH120 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from zenactors.advice import reason
from zenactors.components._replace_file import sync, sync_directory
from zenactors.components.sinks._output import read_output

if TYPE_CHECKING:
    from loguru import Logger

    from zenactors.components._files import Files
    from zenactors.core.daemon_api import Store

_TAIL = 4096  # bytes that must be the same as at the checkpoint
_RESERVED = 1_000_000  # numbers of checkpoints at a time
_MOST_BEGUN = 100  # files that were begun since a checkpoint
_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# An archive may have got the inode of the file that it was made of.
_ARCHIVES = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".Z")


@dataclasses.dataclass(frozen=True, slots=True)
class _Checkpoint:
    path: str
    device: int
    inode: int
    length: int
    tail: str | None
    number: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Begun:
    """A file that was begun after a checkpoint: its inode and its length at that time."""

    inode: int
    length: int
    number: int


class OutputHistory:
    """What is known about the files of one output. Every method blocks for the disk.

    Args:
        path: The path that leads to the output.
        store: Keeps what is known for the next run.
        files: The file system.
        log: Gets all that is cut off, and all that cannot be.

    Raises:
        OSError: From every method: a file cannot be read, cut off or brought to the disk.
        StateStoreError: From `begin`, `take_checkpoint` and `restore`: nothing can be kept.

    Thread: one.
    """

    def __init__(self, path: str, store: Store, files: Files, log: Logger) -> None:
        self._path = path
        self._store = store
        self._files = files
        self._log = log
        self._begun = _begun_in(store.value, path)
        self._reserved = _reserved_in(store.value, path)
        self._number = max([self._reserved, *(each.number for each in self._begun)])

    @property
    def may_begin(self) -> bool:
        """False while so many files were begun that a further one would push out one of them.

        The source may not have saved the last checkpoint, so those since the one before count.
        """
        recent = sum(each.number >= self._number - 1 for each in self._begun)
        return recent < _MOST_BEGUN

    def begin(self, fd: int) -> None:
        """Note that a file is begun, before anything is written to it."""
        status = self._files.fstat(fd)
        self._begun.append(_Begun(status.st_ino, status.st_size, self._number))
        del self._begun[:-_MOST_BEGUN]
        self._save()

    def _save(self) -> None:
        begun = [dataclasses.asdict(each) for each in self._begun]
        self._store.save({"path": self._path, "begun": begun, "number": self._reserved})

    def take_checkpoint(self, fd: int) -> dict[str, Any]:
        """Bring the file to the disk; return how far it is written, as a JSON value."""
        files = self._files
        sync(fd, files)
        with contextlib.suppress(PermissionError):  # a directory that can be used, but not read
            sync_directory(self._directory(), files)
        status = files.fstat(fd)
        self._number += 1
        if self._number > self._reserved:
            # If the component is made anew, its numbers must be higher, and it must know that
            # checkpoints are taken.
            self._reserved = self._number + _RESERVED
            self._save()
        taken = _Checkpoint(
            path=self._path,
            device=status.st_dev,
            inode=status.st_ino,
            length=status.st_size,
            tail=self._digest(self._path, status.st_ino, status.st_size),
            number=self._number,
        )
        return dataclasses.asdict(taken)

    def restore(self, value: Any, fd: int) -> None:
        """Cut off what was written after a checkpoint, under whatever name it is now.

        What cannot be found, or has changed, is left as it is and reported.

        Args:
            value: What `take_checkpoint` returned, in an earlier run.
            fd: The file that is open now, for appending.
        """
        checkpoint = _checkpoint_in(value)
        if checkpoint is None:
            self._log.error(
                "The checkpoint of {path} is damaged: {value}. The output is left as it is: the"
                " records since the checkpoint may be in it twice",
                path=self._path,
                value=value,
            )
            return
        self._number = max(self._number, checkpoint.number)
        if checkpoint.path != self._path:
            self._log.warning(
                "The output was {old} in the last run, and is {path} now: the records that were"
                " written to the old one since the last checkpoint come again",
                old=checkpoint.path,
                path=self._path,
            )
        else:
            self._restore_begun(checkpoint, fd)
            self._restore_checkpoint(checkpoint, fd)
        if self._files.fstat(fd).st_ino != checkpoint.inode:
            self.begin(fd)

    def _restore_checkpoint(self, checkpoint: _Checkpoint, fd: int) -> None:
        """Cut back the file of the checkpoint: the open one, a renamed one, or a copy."""
        status = self._files.fstat(fd)
        if status.st_ino == checkpoint.inode:
            self._cut_back(checkpoint, fd, self._path)
            return
        renamed = self._open_renamed(checkpoint.inode, name="")
        if renamed is not None:
            try:
                self._cut_back(checkpoint, *renamed)
                sync(renamed[0], self._files)
            finally:
                self._files.close(renamed[0])
            return
        tail = self._digest(self._path, status.st_ino, checkpoint.length)
        if checkpoint.length and tail == checkpoint.tail is not None:  # moved to another disk
            self._cut_back(checkpoint, fd, self._path)
            return
        self._log.error(
            "The file that was {path} at the last checkpoint is no longer in its directory. The"
            " records since the checkpoint come again, and may be in that file, too",
            path=self._path,
        )

    def _cut_back(self, checkpoint: _Checkpoint, fd: int, path: str) -> None:
        """Cut the file of the checkpoint off at its length, unless its content has changed."""
        status = self._files.fstat(fd)
        if status.st_size < checkpoint.length:
            self._log.error(
                "{path} has {size} bytes, but it had {length} at the last checkpoint: {missing}"
                " bytes are missing. Either it was truncated or the disk has lost them. Going on at"
                " its end",
                path=path,
                size=status.st_size,
                length=checkpoint.length,
                missing=checkpoint.length - status.st_size,
            )
        elif not self._is_unchanged(checkpoint, status, path):
            self._log.error(
                "{path} is not as it was at the last checkpoint: it was truncated or edited. It is"
                " left as it is: the records since the checkpoint may be in it twice",
                path=path,
            )
        else:
            self._cut_off(fd, checkpoint.length, path)

    def _is_unchanged(self, checkpoint: _Checkpoint, status: os.stat_result, path: str) -> bool:
        tail = self._digest(path, status.st_ino, checkpoint.length)
        if tail is None or checkpoint.tail is None:
            return status.st_dev == checkpoint.device
        return tail == checkpoint.tail

    def _restore_begun(self, checkpoint: _Checkpoint, fd: int) -> None:
        """Cut back the files that were begun after the checkpoint.

        Their names must begin as the output's: another file may have got the inode of one that is
        gone, and nothing else tells that it is another file.
        """
        current = self._files.fstat(fd).st_ino
        name = os.path.basename(self._files.realpath(self._path)).partition(".")[0]
        for each in self._begun:
            if each.number < checkpoint.number or each.inode == checkpoint.inode:
                continue
            if each.inode == current:
                self._cut_off(fd, each.length, self._path)
                continue
            renamed = self._open_renamed(each.inode, name)
            if renamed is not None:
                try:
                    self._cut_off(renamed[0], each.length, renamed[1])
                    sync(renamed[0], self._files)
                finally:
                    self._files.close(renamed[0])

    def _cut_off(self, fd: int, length: int, path: str) -> None:
        size = self._files.fstat(fd).st_size
        if size > length:
            self._files.ftruncate(fd, length)
            self._log.info(
                "Cut {bytes} bytes off {path}: they were written after the last checkpoint, and"
                " come again",
                bytes=size - length,
                path=path,
            )

    def _open_renamed(self, inode: int, name: str) -> tuple[int, str] | None:
        """Open the file with this inode whose name begins like this; return its path, too."""
        path = directory = self._directory()
        try:
            for now, found in self._files.entries(directory).items():
                if found != inode or not now.startswith(name) or now.endswith(_ARCHIVES):
                    continue
                path = os.path.join(directory, now)
                fd = self._files.open(path, _OPEN)
                status = self._files.fstat(fd)
                if S_ISREG(status.st_mode) and status.st_ino == inode:
                    return fd, path
                self._files.close(fd)
        except OSError as cause:
            self._log.error(
                "Cannot cut back {path}: {reason}. The records since the last checkpoint may be in"
                " it twice",
                path=path,
                reason=reason(cause),
            )
        return None

    def _directory(self) -> str:
        return os.path.dirname(self._files.realpath(self._path))

    def _digest(self, path: str, inode: int, length: int) -> str | None:
        begin = max(0, length - _TAIL)
        tail = read_output(path, inode, self._files, begin, length - begin)
        return None if tail is None else hashlib.sha256(tail).hexdigest()


def _checkpoint_in(value: Any) -> _Checkpoint | None:
    with contextlib.suppress(TypeError):
        found = _Checkpoint(**value)
        numbers = (found.device, found.inode, found.length, found.number)
        if isinstance(found.path, str) and all(type(n) is int and n >= 0 for n in numbers):
            return found
    return None


def is_kept_in(store: Store, path: str) -> bool:
    """Return True if a component had checkpoints of an output taken, and was made anew since."""
    return _reserved_in(store.value, path) > 0


def _reserved_in(value: Any, path: str) -> int:
    if not isinstance(value, dict) or value.get("path") != path:
        return 0
    number = value.get("number", 0)
    return number if isinstance(number, int) else 0


def _begun_in(value: Any, path: str) -> list[_Begun]:
    """Return what a store has about the files of this path; nothing if it is of another one."""
    if not isinstance(value, dict) or value.get("path") != path:
        return []
    with contextlib.suppress(TypeError):
        return [_Begun(**each) for each in value["begun"]]
    return []
