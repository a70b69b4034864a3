"""Files in memory, for components whose files are not to be the machine's."""

# ruff: noqa: PTH120, PTH123 - paths are strings here, and stay as they are spelled

from __future__ import annotations

import dataclasses
import errno
import os
import stat as stat_bits
from collections.abc import Callable
from typing import TYPE_CHECKING

from zenactors.components._files import STANDARD_OUTPUT
from zenactors.testing._files.tree import File, Folder, Place, Tree, error

if TYPE_CHECKING:
    from zenactors.core.clock import Clock

_FIRST_FD = 10_000  # a process's own descriptors count from 0, and stay below its limit


@dataclasses.dataclass(slots=True, eq=False)
class _Descriptor:
    node: File | Folder
    path: str
    flags: int
    offset: int = 0

    @property
    def readable(self) -> bool:
        return self.flags & os.O_ACCMODE != os.O_WRONLY

    @property
    def writable(self) -> bool:
        return self.flags & os.O_ACCMODE != os.O_RDONLY


class VirtualFiles:
    """A file system in memory: what components see as `files`, and what tests do to it.

    It behaves as Linux does, for a user who may do everything, and raises the same errors; but
    equal calls give equal results, on any machine: files get the inode numbers 1, 2, 3 and so on
    and descriptors 10000, 10001 and so on; none is used twice. In the beginning there is only
    the working folder, where relative paths begin. Rights are kept but not checked.

    Thread: one at a time.

    Args:
        below: Let the real disk show through wherever memory holds nothing. It is never
            written to: a file that is opened for writing goes into memory first, as the same
            file by device and inode, and what is removed is only hidden. Its pipes and devices
            cannot be opened. Folders on it are expected to stay as they are.
        clock: Where `st_mtime` comes from; None: it is always 0.
    """

    def __init__(self, *, below: bool = False, clock: Clock | None = None) -> None:
        self._now: Callable[[], float] = float if clock is None else clock.time
        self._tree = Tree(below=below, now=self._now)
        self._printed = File(0, stat_bits.S_IFIFO | 0o600, self._now())
        self._open = {STANDARD_OUTPUT: _Descriptor(self._printed, "-", os.O_WRONLY)}
        self._next_fd = _FIRST_FD

    # -- for tests -------------------------------------------------------------------------

    def put(self, path: str, data: bytes | str = b"") -> None:
        """Create a file, with the folders above it, or replace the content of the one there."""
        file = self._writable(path, os.O_CREAT | os.O_TRUNC)
        file.data[:] = _bytes(data)
        self._changed(file)

    def append(self, path: str, data: bytes | str) -> None:
        """Add to the end of a file; it is made if need be, with the folders above it."""
        file = self._writable(path, os.O_CREAT)
        file.data += _bytes(data)
        self._changed(file)

    def content(self, path: str) -> bytes:
        """Return what a file holds."""
        file = self._file(path)
        if file.below is not None:
            with open(file.below, "rb") as real:
                return real.read()
        return bytes(file.data)

    def truncate(self, path: str, size: int = 0) -> None:
        """Cut a file off, or fill it up with zeros, as `os.truncate` does."""
        if size < 0:
            raise error(errno.EINVAL, path)
        self._resize(self._writable(path), size)

    def mkdir(self, path: str) -> None:
        """Make a folder and those above it, as far as they are not there."""
        self._tree.make_folders(path)

    def remove(self, path: str) -> None:
        """Take a file's name away, as `os.remove` does: who has it open may read on."""
        place = self._tree.walk(path, follow=False)
        if isinstance(place.node, Folder):
            raise error(errno.EISDIR, path)
        if place.node is None:
            raise error(errno.ENOENT, path)
        if place.slash:
            raise error(errno.ENOTDIR, path)
        self._unlink(place)

    def rename(self, old: str, new: str) -> None:
        """Move a file or folder, as `os.rename` does: a file that has the name is replaced."""
        try:
            source = self._tree.walk(old, follow=False)
            target = self._tree.walk(new, follow=False)
        except OSError as cause:
            raise error(cause.errno or 0, old, new) from None
        code = _refusal(source, target)
        if code:
            raise error(code, old, new)
        node = source.node
        if node is target.node or node is None:
            return
        if target.node is not None:
            self._unlink(target)
        if isinstance(node, Folder):
            node.parent = target.folder
        self._tree.take(source.folder, source.name)
        self._tree.put(target.folder, target.name, node)

    def paths(self) -> list[str]:
        """Return the absolute paths of all files in memory, sorted."""
        return sorted(path for path, _ in self._tree.files())

    def open_descriptors(self) -> list[tuple[int, str]]:
        """Return what was opened and not closed, with the paths it was opened by."""
        return [(fd, d.path) for fd, d in self._open.items() if fd != STANDARD_OUTPUT]

    @property
    def standard_output(self) -> bytes:
        """What was written to standard output."""
        return bytes(self._printed.data)

    # -- for components: see `Files` -------------------------------------------------------

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """Open a file. Flags that mean nothing in memory are not looked at."""
        node = self._reach(path, flags, mode)
        if isinstance(node, File):
            if node.below is not None and node.below_fd is None:
                node.below_fd = os.open(node.below, os.O_RDONLY | os.O_CLOEXEC)
            node.opened += 1
        fd = self._next_fd
        self._next_fd += 1
        self._open[fd] = _Descriptor(node, path, flags)
        return fd

    def close(self, fd: int) -> None:
        """Close a descriptor; its number is not used again."""
        node = self._descriptor(fd).node
        del self._open[fd]
        if isinstance(node, File):
            node.opened -= 1
            if not node.opened:
                node.release()

    def read(self, fd: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file."""
        if size < 0:
            raise error(errno.EINVAL)
        descriptor = self._descriptor(fd)
        node = descriptor.node
        if not descriptor.readable:
            raise error(errno.EBADF)
        if isinstance(node, Folder):
            raise error(errno.EISDIR)
        offset = descriptor.offset
        if node.below_fd is not None:
            data = os.pread(node.below_fd, size, offset)
        else:
            data = bytes(memoryview(node.data)[offset : offset + size])
        descriptor.offset += len(data)
        return data

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write all of `data`."""
        descriptor = self._descriptor(fd)
        node = descriptor.node
        if not descriptor.writable or isinstance(node, Folder):
            raise error(errno.EBADF)
        block = bytes(data)
        if not block:
            return 0
        end = len(node.data)
        if descriptor.flags & os.O_APPEND or node is self._printed:
            descriptor.offset = end
        elif descriptor.offset > end:
            node.data += bytes(descriptor.offset - end)
        node.data[descriptor.offset : descriptor.offset + len(block)] = block
        descriptor.offset += len(block)
        self._changed(node)
        return len(block)

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        """Set the position; it may lie behind the end."""
        descriptor = self._descriptor(fd)
        node = descriptor.node
        if node is self._printed:
            raise error(errno.ESPIPE)
        if whence == os.SEEK_CUR:
            offset += descriptor.offset
        elif whence == os.SEEK_END:
            offset += self.fstat(fd).st_size
        elif whence != os.SEEK_SET:
            raise error(errno.EINVAL)
        if offset < 0:
            raise error(errno.EINVAL)
        descriptor.offset = offset
        return offset

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut an open file off, or fill it up with zeros."""
        if size < 0:
            raise error(errno.EINVAL)
        descriptor = self._descriptor(fd)
        node = descriptor.node
        if not descriptor.writable or isinstance(node, Folder) or node is self._printed:
            raise error(errno.EINVAL)
        self._resize(node, size)

    def fstat(self, fd: int) -> os.stat_result:
        """Describe an open file, and standard output as a pipe."""
        node = self._descriptor(fd).node
        return node.stat or node.describe()

    def stat(self, path: str) -> os.stat_result:
        """Describe what stands at a path."""
        node = self._tree.find(path)
        return node.stat or node.describe()

    def lexists(self, path: str) -> bool:
        """Return True if something stands at a path."""
        return self._tree.lexists(path)

    def glob(self, pattern: str) -> list[str]:
        """Return what matches, as `glob.glob` would find it, sorted."""
        return self._tree.glob(pattern)

    def is_append(self, fd: int) -> bool:
        """Return True if the descriptor was opened with `O_APPEND`."""
        return bool(self._descriptor(fd).flags & os.O_APPEND)

    def set_blocking(self, fd: int, blocking: bool) -> None:  # noqa: FBT001 - as in `os`
        """Do nothing: memory never lets anybody wait."""
        self._descriptor(fd)

    def wait_writable(self, fd: int) -> None:
        """Do nothing: memory never lets anybody wait."""
        self._descriptor(fd)

    def open_standard_output(self) -> tuple[int | None, Callable[[memoryview], int]] | None:
        """Return the descriptor of what `standard_output` collects, and what writes to it."""
        return STANDARD_OUTPUT, lambda data: self.write(STANDARD_OUTPUT, data)

    # -- inside ----------------------------------------------------------------------------

    def _descriptor(self, fd: int) -> _Descriptor:
        try:
            return self._open[fd]
        except KeyError:
            raise error(errno.EBADF) from None

    def _reach(self, path: str, flags: int, mode: int = 0o666) -> File | Folder:
        """Do what opening does, except for the descriptor: find or make, lift, truncate."""
        create = bool(flags & os.O_CREAT)
        exclusive = create and bool(flags & os.O_EXCL)
        changes = flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)
        place = self._tree.walk(path, follow=not exclusive)
        node = place.node
        if create and place.slash and place.has_name:
            raise error(errno.EISDIR, path)
        if node is None:
            if not create:
                raise error(errno.ENOENT, path)
            return self._tree.make_file(place, mode)
        if exclusive:
            raise error(errno.EEXIST, path)
        if isinstance(node, Folder):
            if create or changes:
                raise error(errno.EISDIR, path)
            return node
        assert isinstance(node, File)  # links were followed
        if place.slash:
            raise error(errno.ENOTDIR, path)
        if node.below is not None:
            if not stat_bits.S_ISREG(node.mode):
                raise error(errno.EACCES, path)
            if changes:
                node.lift(content=not flags & os.O_TRUNC)
            self._tree.put(place.folder, place.name, node)  # it stays this one from now on
        if flags & os.O_TRUNC:
            self._resize(node, 0)
        return node

    def _file(self, path: str) -> File:
        node = self._tree.find(path)
        if isinstance(node, Folder):
            raise error(errno.EISDIR, path)
        return node

    def _writable(self, path: str, flags: int = 0) -> File:
        """Return the file at a path, in memory; with the flag `O_CREAT` it is made if need be."""
        try:
            file = self._file(path)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            self._tree.make_folders(os.path.dirname(path) or ".")
        else:
            if file.below is None:
                return file
        self._reach(path, os.O_WRONLY | flags)
        return self._file(path)

    def _resize(self, file: File, size: int) -> None:
        del file.data[size:]
        file.data += bytes(size - len(file.data))
        self._changed(file)

    def _changed(self, file: File) -> None:
        file.mtime, file.stat = self._now(), None

    def _unlink(self, place: Place) -> None:
        file = place.node
        if isinstance(file, File):
            if file.opened:
                file.lift(content=True)  # its name is all that the real disk keeps
            file.links -= 1
            file.stat = None
        self._tree.take(place.folder, place.name)


def _refusal(source: Place, target: Place) -> int:
    """Return the system's error number, or 0 if `source` may be moved to `target`."""
    if not source.has_name or not target.has_name:
        return errno.EBUSY
    if source.node is None:
        return errno.ENOENT
    moves_folder = isinstance(source.node, Folder)
    if not moves_folder and (source.slash or target.slash):
        return errno.ENOTDIR
    if target.folder.lies_in(source.node):
        return errno.EINVAL
    if source.folder.lies_in(target.node):
        return errno.ENOTEMPTY
    if target.node is None or target.node is source.node:
        return 0
    if not moves_folder:
        return errno.EISDIR if isinstance(target.node, Folder) else 0
    if not isinstance(target.node, Folder):
        return errno.ENOTDIR
    return errno.ENOTEMPTY if target.node.names() else 0


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data
