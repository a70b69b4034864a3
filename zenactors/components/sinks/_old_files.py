"""The old files of a rotated output: compress them in small steps, and remove the oldest.

A crash at any moment leaves either the file or the whole compressed one, or both: then the next run
removes the first.
"""

# ruff: noqa: PTH118, PTH119 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Callable
from stat import S_IMODE
from typing import TYPE_CHECKING

from zenactors.advice import advice_for, reason
from zenactors.components._replace_file import sync_directory
from zenactors.components.sinks._rotation import COMPRESSED, STAMP

if TYPE_CHECKING:
    from loguru import Logger

    from zenactors.components._files import Files

_SLICE = 256 << 10  # bytes that are compressed between two events: some milliseconds
_LEVEL = 6
_GZIP = 31  # `wbits` of a gzip file
_TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_TO_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class OldFiles:
    """What is done with old files, one step at a time.

    Args:
        path: The output, without links.
        files: The file system.
        log: Gets what cannot be done.
        keep: How many of them are kept; None: all.
        compress: Compress them.
        on_removed: Called for each that was removed.
        on_compressed: Called for each that was compressed.

    Thread: own.
    """

    def __init__(
        self,
        path: str,
        files: Files,
        log: Logger,
        *,
        keep: int | None,
        compress: bool,
        on_removed: Callable[[], object],
        on_compressed: Callable[[], object],
    ) -> None:
        self._directory, name = os.path.split(path)
        self._pattern = re.compile(
            rf"(?P<hidden>\.?)(?P<stem>{re.escape(name)}\.{STAMP})"
            rf"(?P<end>|{re.escape(COMPRESSED)}|{re.escape(COMPRESSED)}\.tmp)"
        )
        self._files = files
        self._log = log
        self._keep = keep
        self._compress = compress
        self._on_removed = on_removed
        self._on_compressed = on_compressed
        self._compression: _Compression | None = None
        self._failed: set[str] = set()

    @property
    def has_work(self) -> bool:
        """True if old files are to be compressed or removed at all."""
        return self._keep is not None or self._compress

    def step(self, is_free: Callable[[str], bool], open_inode: int | None) -> bool:
        """Do a little. Return True if there is more to be done. Blocks for some milliseconds.

        Args:
            is_free: True of the name of a file that nothing needs as it is.
            open_inode: The file that is still written to, whatever its name.
        """
        try:
            if self._compression is not None:
                self._go_on(self._compression)
                return True
            return self._begin(is_free, open_inode)
        except OSError as cause:
            self._give_up(cause)
            return False

    def clean_up(self) -> None:
        """Remove what a crash has left. Never raises an `OSError`.

        A compressed file is whole, and only made of a file that nothing needs as it is.
        """
        try:
            entries = self._files.entries(self._directory)
            for entry in entries:
                match = self._pattern.fullmatch(entry)
                if match is None:
                    continue
                is_aside = match["hidden"] and match["end"].endswith(".tmp")
                is_double = not match["hidden"] and not match["end"]
                if is_aside or (is_double and entry + COMPRESSED in entries):
                    self._files.remove(os.path.join(self._directory, entry))
        except OSError as cause:
            self._give_up(cause)

    def _begin(self, is_free: Callable[[str], bool], open_inode: int | None) -> bool:
        found: dict[str, str | None] = {}  # what follows the time in the name; None: leave it alone
        for entry, inode in self._files.entries(self._directory).items():
            match = self._pattern.fullmatch(entry)
            if match is not None and not match["hidden"] and not match["end"].endswith(".tmp"):
                is_ours = inode != open_inode and is_free(match["stem"])
                found[match["stem"]] = match["end"] if is_ours else None
        self._failed &= found.keys()
        stems = sorted(found)
        surplus = [] if self._keep is None else stems[: max(0, len(stems) - self._keep)]
        for stem in surplus:
            end = found[stem]
            if end is not None:
                self._files.remove(os.path.join(self._directory, stem + end))
                self._on_removed()
                return True
        for stem in stems if self._compress else ():
            if found[stem] == "" and stem not in self._failed:
                self._compression = _Compression(self._directory, stem, self._files)
                return True
        return False

    def _go_on(self, compression: _Compression) -> None:
        if compression.step():
            self._compression = None
            self._on_compressed()

    def _give_up(self, cause: OSError) -> None:
        what = "tidy up beside"
        path = self._directory
        if self._compression is not None:
            what, path = "compress", self._compression.path
            self._failed.add(os.path.basename(path))
        self.close()
        self._log.warning(
            "Cannot {what} {path}: {reason}. It stays as it is. {advice}",
            what=what,
            path=path,
            reason=reason(cause),
            advice=advice_for(cause, path, "write"),
        )

    def close(self) -> None:
        """Break off what is under way: it begins again in the next run."""
        compression, self._compression = self._compression, None
        if compression is not None:
            compression.abandon()


class _Compression:
    """One file that is being compressed."""

    def __init__(self, directory: str, name: str, files: Files) -> None:
        self._files = files
        self._directory = directory
        self.path = os.path.join(directory, name)
        self._aside = os.path.join(directory, f".{name}{COMPRESSED}.tmp")
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        with contextlib.ExitStack() as failed:
            self._source = files.open(self.path, _TO_READ)
            failed.callback(files.close, self._source)
            self._target = files.open(self._aside, _TO_WRITE, 0o600)
            failed.callback(files.close, self._target)
            files.fchmod(self._target, S_IMODE(files.fstat(self._source).st_mode))
            failed.pop_all()

    def step(self) -> bool:
        """Compress a slice. Return True at the end."""
        block = self._files.read(self._source, _SLICE)
        if block:
            self._write(self._compressor.compress(block))
            return False
        self._write(self._compressor.flush())
        self._files.fsync(self._target)
        self._close()
        self._files.rename(self._aside, f"{self.path}{COMPRESSED}")
        sync_directory(self._directory, self._files)
        self._files.remove(self.path)
        return True

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._files.write(self._target, rest) :]

    def _close(self) -> None:
        source, self._source = self._source, -1
        if source >= 0:
            self._files.close(source)
            self._files.close(self._target)

    def abandon(self) -> None:
        """Remove what was written."""
        self._close()
        with contextlib.suppress(OSError):
            self._files.remove(self._aside)
