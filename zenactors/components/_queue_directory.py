"""The directories of a queue of files, which several processes may use at once.

A file is in one of `incoming`, `pending`, `done` and `errors`, and each step is an atomic rename.
The name of a pending file is `OWNER.ATTEMPT.NAME`: the owner has the lock of the file `.OWNER.lock`
there for as long as it lives, so that others can tell whether it does.
"""

# ruff: noqa: PTH118 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import heapq
import os
import re
import secrets
from dataclasses import dataclass
from random import Random
from stat import S_ISREG
from typing import Literal

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._replace_file import make_directory, sync_directory

MOST_NAME_BYTES = 200  # so that there is room for the rest of a pending name
MOST_FOUND = 10_000  # files of one look
TEMPORARY = ".tmp"
_PENDING = re.compile(r"([0-9a-f]{16})\.(\d{1,9})\.(.+)", re.DOTALL)
_LOCK = re.compile(r"\.([0-9a-f]{16})\.lock")
_ASIDE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NUMBERED = 9  # names with "~2", "~3" and so on that are tried
_MODE = 0o644
_LOCK_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be claimed.

    Attributes:
        name: Its name in `incoming`.
        path: Where it is.
        attempts: How many processes have died while they had it.
    """

    name: str
    path: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that this process has.

    Attributes:
        name: Its name in `incoming`.
        path: Where it is, in `pending`.
        attempt: 1 for the first process that has it.
    """

    name: str
    path: str
    attempt: int


class QueueDirectory:
    """The directory of a queue, as one worker sees it.

    Args:
        path: The directory.
        files: The file system.
        random: Chooses the worker's identity.

    Raises:
        OSError: From every method: the file system refuses.

    Thread: one.
    """

    def __init__(self, path: str, files: Files, random: Random) -> None:
        self.incoming, self.pending = os.path.join(path, "incoming"), os.path.join(path, "pending")
        self._ends = {end: os.path.join(path, end) for end in ("done", "errors")}
        self._files = files
        self._random = random
        for directory in (self.incoming, self.pending, *self._ends.values()):
            make_directory(directory, files)
        self._owner, self._lock = self._enter()

    def _enter(self) -> tuple[str, int]:
        """Take an identity, and the lock that says that its owner lives."""
        used = set(map(_owner_of, self._files.entries(self.pending)))
        while True:
            owner = f"{self._random.getrandbits(64):016x}"
            if owner in used:  # by a dead process whose random numbers were the same
                continue
            path = self._lock_path(owner)
            try:
                fd = self._files.open(path, _ASIDE, _LOCK_MODE)
            except FileExistsError:
                continue
            try:
                self._files.lock(fd)
                if self._files.lexists(path):  # else another worker took it for a dead one's
                    return owner, fd
            except BlockingIOError:
                pass
            self._files.close(fd)

    def close(self) -> None:
        """Give the identity up. What is still claimed by it may be claimed by others."""
        with contextlib.suppress(OSError):
            self._files.remove(self._lock_path(self._owner))
        self._files.close(self._lock)

    def find(self) -> list[Found]:
        """Return the files that may be claimed, by name: first those that dead processes had."""
        found = [
            Found(name, os.path.join(self.incoming, name))
            for name in heapq.nsmallest(
                MOST_FOUND, filter(is_complete, self._files.entries(self.incoming))
            )
        ]
        return self._find_abandoned() + found

    def _find_abandoned(self) -> list[Found]:
        claimed: dict[str, list[Found]] = {}
        for entry in self._files.entries(self.pending):
            if match := _PENDING.fullmatch(entry):
                path = os.path.join(self.pending, entry)
                claimed.setdefault(match[1], []).append(Found(match[3], path, int(match[2])))
            elif match := _LOCK.fullmatch(entry):
                claimed.setdefault(match[1], [])
        claimed.pop(self._owner, None)
        found = [
            each
            for owner, files in claimed.items()
            if self._is_dead(owner, forget=not files)
            for each in files
        ]
        return heapq.nsmallest(MOST_FOUND, found, key=lambda each: (each.name, each.path))

    def _is_dead(self, owner: str, *, forget: bool) -> bool:
        """Return True if nothing has the lock of an owner; remove its file if that is wanted."""
        path = self._lock_path(owner)
        try:
            fd = self._files.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except PermissionError:  # another user's: there is no way to know
            return False
        try:
            self._files.lock(fd)
            if forget:
                with contextlib.suppress(FileNotFoundError):
                    self._files.remove(path)
        except BlockingIOError:
            return False
        finally:
            self._files.close(fd)
        return True

    def claim(self, found: Found) -> Claim | None:
        """Claim a file; None if another process has it, or if it is none that can be claimed."""
        try:
            if not S_ISREG(self._files.stat(found.path).st_mode):
                return None
            attempt = found.attempts + 1
            path = os.path.join(self.pending, f"{self._owner}.{attempt}.{found.name}")
            self._files.rename(found.path, path)
        except FileNotFoundError:
            return None
        try:
            is_left_over = self._has_another_name(path, found.name)
        except OSError:  # of the one who claims it, it would not be found again
            with contextlib.suppress(OSError):  # but the next run does so
                self._files.rename_exclusive(path, found.path)
            raise
        if is_left_over:
            self._files.remove(path)
            return None
        return Claim(found.name, path, attempt)

    def _has_another_name(self, path: str, name: str) -> bool:
        """Return True if a process died while it renamed the file, so that it has both names."""
        status = self._files.stat(path)
        if status.st_nlink == 1:
            return False
        others = [os.path.join(each, name) for each in (self.incoming, *self._ends.values())] + [
            os.path.join(self.pending, entry)
            for entry, inode in self._files.entries(self.pending).items()
            if inode == status.st_ino and os.path.join(self.pending, entry) != path
        ]
        return any(self._is_at(each, status) for each in others)

    def _is_at(self, path: str, status: os.stat_result) -> bool:
        try:
            there = self._files.stat(path)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino)

    def put_back(self, claim: Claim) -> None:
        """Let another process, or the next run, have the file.

        If `incoming` has another file of that name by now, this one stays in `pending`, where it is
        found once this worker has closed.
        """
        with contextlib.suppress(FileExistsError):
            self._files.rename_exclusive(claim.path, os.path.join(self.incoming, claim.name))

    def end(self, claim: Claim, end: Literal["done", "errors"]) -> str:
        """Move a file to where it stays; return its path there, which was free."""
        first = os.path.join(self._ends[end], claim.name)
        names = [first, *(f"{first}~{number}" for number in range(2, _NUMBERED + 1))]
        for path in names:
            with contextlib.suppress(FileExistsError):
                self._files.rename_exclusive(claim.path, path)
                return path
        path = f"{first}~{self._random.getrandbits(64):016x}"
        self._files.rename_exclusive(claim.path, path)
        return path

    def remove(self, claim: Claim) -> None:
        """Remove a file."""
        self._files.remove(claim.path)

    def _lock_path(self, owner: str) -> str:
        return os.path.join(self.pending, f".{owner}.lock")


def _owner_of(entry: str) -> str | None:
    match = _PENDING.fullmatch(entry)
    return match[1] if match else None


def is_complete(name: str) -> bool:
    """Return True unless the name is that of a file that is still being written."""
    return not name.startswith(".") and not name.endswith(TEMPORARY)


def check_queued_name(name: str) -> None:
    """Raise a `ValueError` if a queue cannot have a file of this name."""
    if not name or "/" in name or "\0" in name or not is_complete(name):
        raise ValueError(
            f"name is {name!r}, but the name of a file is expected: without a slash, without a dot"
            f" at its beginning, and without {TEMPORARY} at its end."
        )
    if len(os.fsencode(name)) > MOST_NAME_BYTES:
        raise ValueError(
            f"name is {name!r}, which is longer than {MOST_NAME_BYTES} bytes. Choose a shorter one."
        )


def enqueue(
    directory: str | os.PathLike[str], name: str, data: bytes, *, files: Files | None = None
) -> None:
    """Put a file into the queue that a `DirectoryQueue` reads. Blocks until the disk has it.

    The file is written under another name first, so that it is never seen half written.

    Args:
        directory: The `path` of the queue. It is made if it does not exist.
        name: The file's name. Files are taken in the order of their names.
        data: Its content.
        files: The file system. Default: the machine's.

    Raises:
        FileExistsError: A file of this name waits in the queue.
        OSError: It cannot be written. No part of it is left, unless only the directory could not be
            synced: then it is in the queue, but a power failure may lose it.
        ValueError: The name cannot be one.

    Thread: any.
    """
    check_queued_name(name)
    files = files or SYSTEM_FILES
    incoming = os.path.join(os.fspath(directory), "incoming")
    make_directory(incoming, files)
    aside = os.path.join(incoming, f".{name}.{secrets.token_hex(4)}{TEMPORARY}")
    fd = files.open(aside, _ASIDE, _MODE)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[files.write(fd, rest) :]
            files.fsync(fd)
        finally:
            files.close(fd)
        files.rename_exclusive(aside, os.path.join(incoming, name))
    except BaseException:  # whatever it was, no half-written file remains
        with contextlib.suppress(OSError):
            files.remove(aside)
        raise
    with contextlib.suppress(PermissionError):  # a directory that can be used, but not read
        sync_directory(incoming, files)
