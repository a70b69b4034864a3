"""Files in memory, for components that are not to use the machine's files."""

# ruff: noqa: PTH120 - paths are strings here, and keep their spelling

from __future__ import annotations

import copy
import errno
import functools
import os
import weakref
from collections.abc import Callable, Collection
from random import Random
from stat import S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IMODE
from typing import TYPE_CHECKING, Any, TypeVar, cast

from zenactors.components._files import STANDARD_OUTPUT
from zenactors.testing._files.node import Change, Descriptor, Node, error, require
from zenactors.testing._files.tree import Tree
from zenactors.testing._files.watch import VirtualWatch

if TYPE_CHECKING:
    from zenactors.core.clock import Clock

_FIRST_FD = 10_000  # a process's own descriptors count from 0, and stay below its limit
_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_Called = Callable[[str, int], tuple[int, bool]]
_Method = TypeVar("_Method", bound=Callable[..., Any])


def _call(method: _Method) -> _Method:
    """Make a method a call in which faults happen: see `VirtualFiles.observe`."""
    name = method.__name__.strip("_")

    @functools.wraps(method)
    def call(self: VirtualFiles, *args: Any, **options: Any) -> Any:
        size = len(args[1]) if name == "write" else 1
        if self._observer is None or size == 0:
            return method(self, *args, **options)
        called, die = self._observer
        done, dies = called(name, size)
        try:
            if name == "write":
                return method(self, args[0], args[1][:done])
            return method(self, *args, **options) if done else None
        finally:  # also if the call fails, because there is no such file, say
            if dies:
                die()

    return cast("_Method", call)


class VirtualFiles:
    """A file system in memory: the `files` of components, with more methods for tests.

    It behaves as Linux does for a user who may do everything, and raises the same errors. But equal
    calls give equal results on any machine: files get the inode numbers 1, 2, 3 and so on, and
    descriptors 10000, 10001 and so on; none is used twice. At first there is only the working
    directory, where relative paths begin. Permissions are kept but not checked.

    Thread: one at a time.

    Args:
        from_disk: Copy from the real disk what memory does not have, when it is first looked for.
            What is appended or created later is not seen, and the disk is never written to. The
            content of a file is read when it is first opened: until then, it must not be
            overwritten. Pipes and devices of the disk cannot be opened.
        clock: The source of `st_mtime`; None: it is always 0.

    Attributes:
        network_directories: Directories for which `is_network` returns True, with all in them.
    """

    _observer: tuple[_Called, Callable[[], object]] | None

    def __init__(self, *, from_disk: bool = False, clock: Clock | None = None) -> None:
        self._now: Callable[[], float] = float if clock is None else clock.time
        self._next_fd = _FIRST_FD
        self._hints_dropped = False
        self._boots = 1
        self.network_directories: set[str] = set()
        printed = Node(mode=S_IFIFO | 0o600, mtime=self._now(), links=1)
        self._begin(Tree(from_disk=from_disk, now=self._now), printed)

    # -- for tests -------------------------------------------------------------------------

    def put(self, path: str, data: bytes | str = b"") -> None:
        """Create a file, with the directories above it, or replace the content of an old one."""
        self._fill(path, os.O_CREAT | os.O_TRUNC, data)

    def append(self, path: str, data: bytes | str) -> None:
        """Add to the end of a file. Creates it, and the directories above it, if missing."""
        self._fill(path, os.O_CREAT, data)

    def content(self, path: str) -> bytes:
        """Return the content of a file."""
        return bytes(self._reach(path, os.O_RDWR).data)

    def truncate(self, path: str, size: int = 0) -> None:
        """Cut a file off, or extend it with zeros, as `os.truncate` does."""
        require(size >= 0, errno.EINVAL, path)
        node = self._reach(path, os.O_WRONLY)
        self._change(node, Change(size))
        node.sync()

    def symlink(self, target: str, path: str) -> None:
        """Make a link at `path` that leads to `target`, with the directories above it."""
        with self._tree.on_disk():
            self._tree.make_directories(os.path.dirname(path) or ".")
            node = self._tree.walk(path, follow=False)
            if node.links:
                raise error(errno.EEXIST, target, path)
            self._tree.make(node, S_IFLNK | 0o777, target)

    @_call
    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a directory and those above it, if they do not exist. `mode` is for the last one."""
        self._tree.make_directories(path, mode)

    @_call
    def remove(self, path: str) -> None:
        """Remove a file, as `os.remove` does. Open descriptors can still read it."""
        node = self._tree.walk(path, follow=False)
        require(node.links, errno.ENOENT, path)
        require(not node.is_a(S_IFDIR), errno.EISDIR, path)
        self._tree.name({node.at: None})

    @_call
    def rename(self, old: str, new: str) -> None:
        """Rename a file or a directory, as `os.rename` does.

        A file replaces a file that has the new name, and a directory an empty one.
        """
        try:
            source, target = (self._tree.walk(path, follow=False) for path in (old, new))
            self._tree.move(source, target)
        except OSError as cause:
            raise error(cause.errno or 0, old, new) from None
        self._completed(source)

    @_call
    def rename_exclusive(self, old: str, new: str) -> None:
        """Rename a file, unless anything has the new name."""
        try:
            source = self._tree.walk(old, follow=False)
            require(source.links, errno.ENOENT)  # before the new name is looked at, as on the disk
            target = self._tree.walk(new, follow=False)
            require(not target.links, errno.EEXIST)
            self._tree.move(source, target)
        except OSError as cause:
            raise error(cause.errno or 0, old, new) from None
        self._completed(source)

    def paths(self) -> list[str]:
        """Return the absolute paths of all files, sorted: of the disk's, those that were opened."""
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
        after._begin(tree, printed)  # noqa: SLF001 - of its own class
        after._boots += power is not None  # noqa: SLF001
        return after

    def observe(self, called: _Called, die: Callable[[], object]) -> None:
        """For `zenactors.testing`: observe the calls, and let the process die in one of them.

        Args:
            called: Called at the beginning of a call with its name, and how many bytes it writes;
                1 for other calls than `write`. It may raise the call's error. It returns how many
                of the bytes are written, and if the process then dies. A call of which 0 is done
                takes no effect; only `fsync` can do so without dying.
            die: Called when the process is to die. In a harness it does not return.
        """
        self._observer = called, die

    @property
    def standard_output(self) -> bytes:
        """The bytes that were written to standard output."""
        return bytes(self._printed.data)

    def drop_hints(self, drop: bool = True) -> None:  # noqa: FBT001, FBT002 - the only argument
        """Let later changes give no hints to watches, or give them again."""
        self._hints_dropped = drop

    def overflow_hints(self) -> None:
        """Let all watches report that hints were lost."""
        for watch in self._watches:
            watch.note_overflow()

    def close_watches(self) -> None:
        """Close all watches, as the system does when a process ends."""
        for watch in self._watches:
            watch.close()

    # -- for components: see `Files` -------------------------------------------------------

    @_call
    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """Open a file. Flags without a meaning in memory are ignored."""
        node = self._reach(path, flags, mode)
        fd = self._next_fd
        self._next_fd += 1
        self._open[fd] = Descriptor(node, path, flags)
        return fd

    def close(self, fd: int) -> None:
        """Close a descriptor; its number is not used again."""
        descriptor = self._descriptor(fd)
        node = descriptor.node
        del self._open[fd]
        if descriptor.allows(os.O_WRONLY):
            self._completed(node)
        if node.locked_by == fd:
            node.locked_by = None

    @_call
    def read(self, fd: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file."""
        require(size >= 0, errno.EINVAL)
        return self._descriptor(fd).read(size)

    @_call
    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes from `offset` on; the position stays as it is."""
        require(size >= 0 and offset >= 0, errno.EINVAL)
        return self._descriptor(fd).read(size, offset)

    @_call
    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        """Write all of `data`, unless a `ShortWrite` happens."""
        descriptor = self._descriptor(fd)
        node = descriptor.node
        require(descriptor.allows(os.O_WRONLY), errno.EBADF)
        if data:
            if descriptor.flags & os.O_APPEND or node.is_a(S_IFIFO):
                descriptor.offset = len(node.data)
            self._change(node, Change(descriptor.offset, bytes(data)))
            descriptor.offset += len(data)
        return len(data)

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        """Set the position; it may be behind the end."""
        descriptor = self._descriptor(fd)
        require(not descriptor.node.is_a(S_IFIFO), errno.ESPIPE)
        end = descriptor.node.stat().st_size
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: descriptor.offset, os.SEEK_END: end}.get(whence)
        if origin is None or origin + offset < 0:
            raise error(errno.EINVAL)
        descriptor.offset = origin + offset
        return descriptor.offset

    @_call
    def ftruncate(self, fd: int, size: int) -> None:
        """Cut an open file off, or extend it with zeros."""
        require(size >= 0, errno.EINVAL)
        descriptor = self._descriptor(fd)
        require(descriptor.allows(os.O_WRONLY) and descriptor.node.is_a(S_IFREG), errno.EINVAL)
        self._change(descriptor.node, Change(size))

    @_call
    def fsync(self, fd: int) -> None:
        """Bring the content of a file, or the names in a directory, to the disk."""
        node = self._descriptor(fd).node
        require(not node.is_a(S_IFIFO), errno.EINVAL)
        self._tree.sync([node])
        node.sync()

    def fchmod(self, fd: int, mode: int) -> None:
        """Give an open file its permissions."""
        node = self._descriptor(fd).node
        node.mode = S_IFMT(node.mode) | mode & 0o7777

    def lock(self, fd: int) -> None:
        """Lock a file for this descriptor, until it is closed."""
        node = self._descriptor(fd).node
        require(node.locked_by in (None, fd), errno.EWOULDBLOCK)
        node.locked_by = fd

    @_call
    def fstat(self, fd: int) -> os.stat_result:
        """Describe an open file, and standard output as a pipe."""
        return self._descriptor(fd).node.stat()

    @_call
    def stat(self, path: str) -> os.stat_result:
        """Describe the file or directory at a path."""
        return self._tree.find(path).stat()

    def lexists(self, path: str) -> bool:
        """Return True if the path leads to anything, even to a link to nowhere."""
        return self._tree.lexists(path)

    def glob(self, pattern: str, unreadable: dict[str, OSError] | None = None) -> list[str]:
        """Return the paths that match, sorted."""
        return self._tree.glob(pattern, {} if unreadable is None else unreadable)

    def is_network(self, path: str) -> bool:
        """Return True if the path is one of `network_directories`, or in one."""
        place = f"{self._tree.real_path(path)}/"
        network = map(self._tree.real_path, self.network_directories)
        return any(place.startswith(f"{directory.rstrip('/')}/") for directory in network)

    def boot_id(self) -> str:
        """Return another text after each power failure."""
        return f"boot {self._boots}"

    def watch(self) -> VirtualWatch:
        """Return a watch that gets a hint of each change, unless a test drops it."""
        watch = VirtualWatch(self._watch)
        self._watches.add(watch)
        return watch

    def realpath(self, path: str) -> str:
        """Return the absolute path without links and dots."""
        return self._tree.real_path(path)

    @_call
    def entries(self, path: str) -> dict[str, int]:
        """Return the names in a directory, sorted, and their inodes."""
        names = self._tree.listing(self._tree.find(path, directory=True))
        return {name: node.inode for name, node in sorted(names.items())}

    def is_append(self, fd: int) -> bool:
        """Return True if the descriptor was opened with `O_APPEND`."""
        return bool(self._descriptor(fd).flags & os.O_APPEND)

    def set_blocking(self, fd: int, blocking: bool) -> None:  # noqa: FBT001 - as in `os`
        """Do nothing: memory never blocks."""
        self._descriptor(fd)

    def write_now(self, fd: int, data: memoryview) -> int:
        """Write: memory never blocks."""
        return self.write(fd, data)

    def wait_writable(self, fd: int, timeout: float) -> bool:
        """Return True: memory never blocks."""
        self._descriptor(fd)
        return True

    def open_standard_output(self) -> tuple[int | None, Callable[[memoryview], int]] | None:
        """Return the descriptor behind `standard_output`, and the function that writes to it."""
        return STANDARD_OUTPUT, lambda data: self.write(STANDARD_OUTPUT, data)

    # -- inside ----------------------------------------------------------------------------

    def _begin(self, tree: Tree, printed: Node) -> None:
        self._tree = tree
        self._printed = printed
        self._watches: weakref.WeakSet[VirtualWatch] = weakref.WeakSet()
        tree.renamed = self._renamed
        self._open = {STANDARD_OUTPUT: Descriptor(printed, "-", os.O_WRONLY)}
        self._observer = None

    @_call
    def _watch(self, path: str) -> Node:
        return self._tree.find(path, directory=True)

    def _change(self, node: Node, change: Change) -> None:
        node.change(change, self._now())
        for watch in self._hinted():
            watch.note_content(node)

    def _renamed(self, nodes: Collection[Node]) -> None:
        for watch in self._hinted():
            watch.note_names(nodes)

    def _completed(self, node: Node) -> None:
        for watch in self._hinted():
            watch.note_completed(node)

    def _hinted(self) -> Collection[VirtualWatch]:
        return () if self._hints_dropped else self._watches

    def _descriptor(self, fd: int) -> Descriptor:
        try:
            return self._open[fd]
        except KeyError:
            raise error(errno.EBADF) from None

    def _reach(self, path: str, flags: int, mode: int = 0o666) -> Node:
        """Do all that `open` does, except for the descriptor: find or create, load, truncate."""
        exclusive = flags & os.O_CREAT and flags & os.O_EXCL
        node = self._tree.walk(path, follow=not exclusive)
        if not node.links:
            require(flags & os.O_CREAT, errno.ENOENT, path)
            self._tree.make(node, S_IFREG | S_IMODE(mode))
            return node
        require(not exclusive, errno.EEXIST, path)
        if node.is_a(S_IFDIR):
            require(not flags & _CHANGING, errno.EISDIR, path)
            return node
        require(not flags & os.O_DIRECTORY, errno.ENOTDIR, path)
        require(node.is_a(S_IFREG), errno.EACCES, path)
        node.load()
        if flags & os.O_TRUNC:
            self._change(node, Change(0))
        return node

    def _fill(self, path: str, flags: int, data: bytes | str) -> None:
        with self._tree.on_disk():
            self._tree.make_directories(os.path.dirname(path) or ".")
            file = self._reach(path, os.O_WRONLY | flags)
        block = data.encode() if isinstance(data, str) else bytes(data)
        self._change(file, Change(len(file.data), block))
        file.sync()
