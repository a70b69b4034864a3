"""Files in memory, for components that are not to use the machine's files."""

# ruff: noqa: PTH120 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import os
from collections.abc import Callable, Iterator
from random import Random
from stat import S_IFDIR, S_IFIFO, S_IFMT, S_IFREG
from typing import TYPE_CHECKING

from zenactors.components._files import STANDARD_OUTPUT
from zenactors.testing._files.tree import Change, Node, Tree, error

if TYPE_CHECKING:
    from zenactors.core.clock import Clock

_FIRST_FD = 10_000  # a process's own descriptors count from 0, and stay below its limit


def _lives(*_: object) -> None:
    """Let a call end as usual."""


@dataclasses.dataclass(slots=True, eq=False)
class _Descriptor:
    node: Node
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
    """A file system in memory: the `files` of components, with more methods for tests.

    It behaves as Linux does for a user who may do everything, and raises the same errors. But equal
    calls give equal results on any machine: files get the inode numbers 1, 2, 3 and so on, and
    descriptors 10000, 10001 and so on; none is used twice. At first there is only the working
    directory, where relative paths begin. Permissions are kept but not checked.

    Thread: one at a time.

    Args:
        below: Let the real disk show through wherever memory holds nothing. It is never written
            to: content that is written goes into memory, under the same device and inode, and a
            removed file is only hidden. Pipes and devices of the disk cannot be opened. The disk
            is expected not to change, except for new files.
        clock: The source of `st_mtime`; None: it is always 0.
    """

    def __init__(self, *, below: bool = False, clock: Clock | None = None) -> None:
        self._now: Callable[[], float] = float if clock is None else clock.time
        self._next_fd = _FIRST_FD
        self._hold(Tree(below=below, now=self._now), Node(0, S_IFIFO | 0o600, self._now()))

    # -- for tests -------------------------------------------------------------------------

    def put(self, path: str, data: bytes | str = b"") -> None:
        """Create a file, with the directories above it, or replace the content of an old one."""
        self._fill(path, os.O_CREAT | os.O_TRUNC, data)

    def append(self, path: str, data: bytes | str) -> None:
        """Add to the end of a file. Creates it, and the directories above it, if missing."""
        self._fill(path, os.O_CREAT, data)

    def content(self, path: str) -> bytes:
        """Return the content of a file."""
        node = self._reach(path, os.O_RDONLY)
        if node.is_a(S_IFDIR):
            raise error(errno.EISDIR, path)
        return node.read(0, -1)

    def truncate(self, path: str, size: int = 0) -> None:
        """Cut a file off, or extend it with zeros, as `os.truncate` does."""
        if size < 0:
            raise error(errno.EINVAL, path)
        node = self._reach(path, os.O_WRONLY)
        node.change(Change(size), self._now())
        node.sync()

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a directory and those above it, if they do not exist. `mode` is for the last one."""
        with self._calling("mkdir"):
            self._tree.make_directories(path, mode)

    def remove(self, path: str) -> None:
        """Remove a file, as `os.remove` does. Open descriptors can still read it."""
        place, node = self._tree.walk(path, follow=False)
        if node is None:
            raise error(errno.ENOENT, path)
        if node.is_a(S_IFDIR):
            raise error(errno.EISDIR, path)
        with self._calling("remove"):
            node.links = 0
            self._tree.take(place)

    def rename(self, old: str, new: str) -> None:
        """Rename a file, as `os.rename` does: it replaces a file that has the new name.

        Directories cannot be renamed.
        """
        try:
            source, node = self._tree.walk(old, follow=False)
            target, replaced = self._tree.walk(new, follow=False)
        except OSError as cause:
            raise error(cause.errno or 0, old, new) from None
        if node is None:
            raise error(errno.ENOENT, old, new)
        if node.is_a(S_IFDIR):
            raise error(errno.EOPNOTSUPP, old, new)
        if replaced is not None and replaced.is_a(S_IFDIR):
            inside = source.startswith(f"{target}/")
            raise error(errno.ENOTEMPTY if inside else errno.EISDIR, old, new)
        if node is replaced:
            return
        with self._calling("rename"):
            if replaced is not None:
                replaced.links = 0
            self._tree.move(source, target, node)

    def paths(self) -> list[str]:
        """Return the absolute paths of all files in memory, sorted."""
        return self._tree.files()

    def open_descriptors(self) -> list[tuple[int, str]]:
        """Return all open descriptors, each with the path that was opened."""
        return [(fd, d.path) for fd, d in self._open.items() if fd != STANDARD_OUTPUT]

    def crash(self, power: Random | None = None) -> VirtualFiles:
        """Return the files as the next process finds them, without descriptors and locks.

        This object stays as it is, for what still runs of the process that died. What is left, see
        [process crashes](testing.md#process-crashes).

        Args:
            power: For a power failure, chooses what is left of each change that was not synced.
                None: the process is killed, and all of them are left.
        """
        after = copy.copy(self)
        tree, printed = self._tree.after_crash(power), self._printed.after_crash(None)
        after._hold(tree, printed)  # noqa: SLF001 - of its own class
        return after

    def observe(self, called: Callable[[str, int], int | None], die: Callable[[], object]) -> None:
        """For `zenactors.testing`: observe the calls, and let the process die in one of them.

        Args:
            called: Called at the beginning of a call with its name, and how many bytes it writes.
                It may raise the call's error. It returns None, or how many bytes are written
                before the process dies; for other calls than `write` 0 or 1.
            die: Called when the process is to die. In a harness it does not return.
        """
        self._called, self._die = called, die

    @property
    def standard_output(self) -> bytes:
        """The bytes that were written to standard output."""
        return bytes(self._printed.data)

    # -- for components: see `Files` -------------------------------------------------------

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """Open a file. Flags without a meaning in memory are ignored."""
        with self._calling("open"):
            node = self._reach(path, flags, mode)
        fd = self._next_fd
        self._next_fd += 1
        self._open[fd] = _Descriptor(node, path, flags)
        return fd

    def close(self, fd: int) -> None:
        """Close a descriptor; its number is not used again."""
        node = self._descriptor(fd).node
        del self._open[fd]
        if self._locked.get(node) == fd:
            del self._locked[node]

    def read(self, fd: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file."""
        if size < 0:
            raise error(errno.EINVAL)
        descriptor = self._descriptor(fd)
        if not descriptor.readable:
            raise error(errno.EBADF)
        if descriptor.node.is_a(S_IFDIR):
            raise error(errno.EISDIR)
        with self._calling("read"):
            data = descriptor.node.read(descriptor.offset, size)
        descriptor.offset += len(data)
        return data

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write all of `data`."""
        descriptor = self._descriptor(fd)
        node = descriptor.node
        if not descriptor.writable or node.is_a(S_IFDIR):
            raise error(errno.EBADF)
        block = bytes(data)
        if not block:
            return 0
        if descriptor.flags & os.O_APPEND or node is self._printed:
            descriptor.offset = len(node.data)
        with self._calling("write", len(block)) as done:
            node.change(Change(descriptor.offset, block[:done]), self._now())
            descriptor.offset += len(block)
            if node is self._printed:
                node.sync()  # it is gone
        return len(block)

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        """Set the position; it may be behind the end."""
        descriptor = self._descriptor(fd)
        if descriptor.node is self._printed:
            raise error(errno.ESPIPE)
        if whence == os.SEEK_CUR:
            offset += descriptor.offset
        elif whence == os.SEEK_END:
            offset += descriptor.node.stat().st_size
        elif whence != os.SEEK_SET:
            raise error(errno.EINVAL)
        if offset < 0:
            raise error(errno.EINVAL)
        descriptor.offset = offset
        return offset

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut an open file off, or extend it with zeros."""
        if size < 0:
            raise error(errno.EINVAL)
        descriptor = self._descriptor(fd)
        node = descriptor.node
        if not descriptor.writable or node.is_a(S_IFDIR) or node is self._printed:
            raise error(errno.EINVAL)
        with self._calling("ftruncate"):
            node.change(Change(size), self._now())

    def fsync(self, fd: int) -> None:
        """Bring the content of a file, or the names in a directory, to the disk."""
        node = self._descriptor(fd).node
        if node is self._printed:
            raise error(errno.EINVAL)
        with self._calling("fsync"):
            if node.is_a(S_IFDIR):
                self._tree.sync(node)
            else:
                node.sync()

    def fchmod(self, fd: int, mode: int) -> None:
        """Give an open file its permissions."""
        node = self._descriptor(fd).node
        node.mode = S_IFMT(node.mode) | mode & 0o7777

    def lock(self, fd: int) -> None:
        """Lock a file for this descriptor, until it is closed."""
        node = self._descriptor(fd).node
        holder = self._locked.get(node, fd)
        if holder != fd and holder in self._open:
            raise error(errno.EWOULDBLOCK)
        self._locked[node] = fd

    def fstat(self, fd: int) -> os.stat_result:
        """Describe an open file, and standard output as a pipe."""
        return self._descriptor(fd).node.stat()

    def stat(self, path: str) -> os.stat_result:
        """Describe the file or directory at a path."""
        return self._tree.find(path)[1].stat()

    def lexists(self, path: str) -> bool:
        """Return True if the path leads to anything, even to a link to nowhere."""
        return self._tree.lexists(path)

    def glob(self, pattern: str, unreadable: dict[str, OSError] | None = None) -> list[str]:
        """Return the paths that match, as `glob.glob` finds them, sorted; all can be read."""
        return self._tree.glob(pattern)

    def is_append(self, fd: int) -> bool:
        """Return True if the descriptor was opened with `O_APPEND`."""
        return bool(self._descriptor(fd).flags & os.O_APPEND)

    def set_blocking(self, fd: int, blocking: bool) -> None:  # noqa: FBT001 - as in `os`
        """Do nothing: memory never blocks."""
        self._descriptor(fd)

    def wait_writable(self, fd: int, timeout: float) -> bool:
        """Return True: memory never blocks."""
        self._descriptor(fd)
        return True

    def open_standard_output(self) -> tuple[int | None, Callable[[memoryview], int]] | None:
        """Return the descriptor behind `standard_output`, and the function that writes to it."""
        return STANDARD_OUTPUT, lambda data: self.write(STANDARD_OUTPUT, data)

    # -- inside ----------------------------------------------------------------------------

    def _hold(self, tree: Tree, printed: Node) -> None:
        self._tree = tree
        self._printed = printed
        self._open = {STANDARD_OUTPUT: _Descriptor(printed, "-", os.O_WRONLY)}
        self._locked: dict[Node, int] = {}  # by which descriptor; free once that is closed
        self.observe(_lives, _lives)

    def _descriptor(self, fd: int) -> _Descriptor:
        try:
            return self._open[fd]
        except KeyError:
            raise error(errno.EBADF) from None

    def _reach(self, path: str, flags: int, mode: int = 0o666) -> Node:
        """Do all that `open` does, except for the descriptor: find or create, lift, truncate."""
        create = bool(flags & os.O_CREAT)
        exclusive = create and bool(flags & os.O_EXCL)
        changes = flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)
        place, node = self._tree.walk(path, follow=not exclusive)
        if node is None:
            if not create:
                raise error(errno.ENOENT, path)
            return self._tree.make_file(place, mode)
        if exclusive:
            raise error(errno.EEXIST, path)
        if node.is_a(S_IFDIR):
            if create or changes:
                raise error(errno.EISDIR, path)
            return node
        if flags & os.O_DIRECTORY:
            raise error(errno.ENOTDIR, path)
        if not node.is_a(S_IFREG):
            raise error(errno.EACCES, path)
        if flags & os.O_TRUNC:
            node.lift()
            node.change(Change(0), self._now())
        elif changes:
            node.lift()
        return node

    def _fill(self, path: str, flags: int, data: bytes | str) -> None:
        known = self._tree.unsynced
        self._tree.make_directories(os.path.dirname(path) or ".")
        file = self._reach(path, os.O_WRONLY | flags)
        block = data.encode() if isinstance(data, str) else bytes(data)
        file.change(Change(len(file.data), block), self._now())
        file.sync()
        self._tree.sync_from(known)

    @contextlib.contextmanager
    def _calling(self, call: str, size: int = 1) -> Iterator[int]:
        """Surround what a call does; yield how many of its bytes are written."""
        done = self._called(call, size)
        if done == 0:
            self._die()
        yield size if done is None else done
        if done is not None:
            self._die()
