"""Files in memory, for components that are not to use the machine's files."""

# ruff: noqa: PTH120 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import os
import weakref
from collections.abc import Callable, Collection, Iterator
from random import Random
from stat import S_IFDIR, S_IFIFO, S_IFMT, S_IFREG
from typing import TYPE_CHECKING

from zenactors.components._files import STANDARD_OUTPUT
from zenactors.testing._files.node import Change, Node, error
from zenactors.testing._files.tree import Tree
from zenactors.testing._files.watch import VirtualWatch

if TYPE_CHECKING:
    from zenactors.core.clock import Clock

_FIRST_FD = 10_000  # a process's own descriptors count from 0, and stay below its limit


def _ends_as_usual(_: str, size: int) -> tuple[int, bool]:
    """Let a call do all, and the process live."""
    return size, False


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
        from_disk: Copy from the real disk what memory does not have, when it is first looked for.
            What is appended or created later is not seen, and the disk is never written to. The
            content of a file is read when it is first opened: until then, it must not be
            overwritten. Pipes and devices of the disk cannot be opened.
        clock: The source of `st_mtime`; None: it is always 0.

    Attributes:
        network_directories: Directories for which `is_network` returns True, with all in them.
    """

    def __init__(self, *, from_disk: bool = False, clock: Clock | None = None) -> None:
        self._now: Callable[[], float] = float if clock is None else clock.time
        self._next_fd = _FIRST_FD
        self._hints_dropped = False
        self.network_directories: set[str] = set()
        self._hold(Tree(from_disk=from_disk, now=self._now), Node(0, S_IFIFO | 0o600, self._now()))

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
        self._change(node, Change(size))
        node.sync()

    def symlink(self, target: str, path: str) -> None:
        """Make a link at `path` that leads to `target`, with the directories above it."""
        known = self._tree.unsynced
        self._tree.make_directories(os.path.dirname(path) or ".")
        place, node = self._tree.walk(path, follow=False)
        if node is not None:
            raise error(errno.EEXIST, target, path)
        self._tree.make_link(place, target)
        self._tree.sync_from(known)

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
            self._tree.name({place: None})

    def rename(self, old: str, new: str) -> None:
        """Rename a file or a directory, as `os.rename` does.

        A file replaces a file that has the new name, and a directory an empty one.
        """
        try:
            source, node = self._tree.walk(old, follow=False)
            target, replaced = self._tree.walk(new, follow=False)
        except OSError as cause:
            raise error(cause.errno or 0, old, new) from None
        if node is None:
            raise error(errno.ENOENT, old, new)
        if node is replaced:
            return
        if obstacle := self._tree.obstacle(node, target, replaced):
            raise error(obstacle, old, new)
        with self._calling("rename"):
            if replaced is not None:
                replaced.links = 0
            self._tree.move(source, target)

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
        after._hold(tree, printed)  # noqa: SLF001 - of its own class
        return after

    def observe(
        self, called: Callable[[str, int], tuple[int, bool]], die: Callable[[], object]
    ) -> None:
        """For `zenactors.testing`: observe the calls, and let the process die in one of them.

        Args:
            called: Called at the beginning of a call with its name, and how many bytes it writes;
                1 for other calls than `write`. It may raise the call's error. It returns how many
                of the bytes are written, and if the process then dies. A call of which 0 is done
                takes no effect; only `fsync` can do so without dying.
            die: Called when the process is to die. In a harness it does not return.
        """
        self._called, self._die = called, die

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
        data = self._read("read", descriptor, size, descriptor.offset)
        descriptor.offset += len(data)
        return data

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes from `offset` on; the position stays as it is."""
        if size < 0 or offset < 0:
            raise error(errno.EINVAL)
        return self._read("pread", self._descriptor(fd), size, offset)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write all of `data`, unless a `ShortWrite` happens."""
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
            self._change(node, Change(descriptor.offset, block[:done]))
            descriptor.offset += done
            if node is self._printed:
                node.sync()  # it is gone
        return done

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
            self._change(node, Change(size))

    def fsync(self, fd: int) -> None:
        """Bring the content of a file, or the names in a directory, to the disk."""
        node = self._descriptor(fd).node
        if node is self._printed:
            raise error(errno.EINVAL)
        with self._calling("fsync") as done:
            if done:
                self._tree.sync(node) if node.is_a(S_IFDIR) else node.sync()

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
        node = self._descriptor(fd).node
        with self._calling("fstat"):
            return node.stat()

    def stat(self, path: str) -> os.stat_result:
        """Describe the file or directory at a path."""
        with self._calling("stat"):
            return self._tree.find(path)[1].stat()

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

    def watch(self) -> VirtualWatch:
        """Return a watch that gets a hint of each change, unless a test drops it."""
        watch = VirtualWatch(self._find_watched)
        self._watches.add(watch)
        return watch

    def realpath(self, path: str) -> str:
        """Return the absolute path without links and dots."""
        return self._tree.real_path(path)

    def entries(self, path: str) -> dict[str, int]:
        """Return the names in a directory, sorted, and their inodes."""
        with self._calling("entries"):
            return self._tree.entries(path)

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

    def _hold(self, tree: Tree, printed: Node) -> None:
        self._tree = tree
        self._printed = printed
        self._watches: weakref.WeakSet[VirtualWatch] = weakref.WeakSet()
        tree.renamed = self._renamed
        self._open = {STANDARD_OUTPUT: _Descriptor(printed, "-", os.O_WRONLY)}
        self._locked: dict[Node, int] = {}  # by which descriptor; free once that is closed
        self.observe(_ends_as_usual, float)

    def _find_watched(self, path: str) -> Node:
        with self._calling("watch"):
            node = self._tree.find(path)[1]
            if not node.is_a(S_IFDIR):
                raise error(errno.ENOTDIR, path)
            return node

    def _change(self, node: Node, change: Change) -> None:
        node.change(change, self._now())
        if self._watches and not self._hints_dropped:
            directory = self._tree.at(os.path.dirname(node.place))
            for watch in self._watches:
                watch.note_content(directory, node.place)

    def _renamed(self, places: Collection[str]) -> None:
        if self._watches and not self._hints_dropped:
            own = [place for place in places if os.path.dirname(place) not in places]
            nodes = [
                self._tree.at(each) for place in own for each in (place, os.path.dirname(place))
            ]
            for watch in self._watches:
                watch.note_names(nodes)

    def _read(self, call: str, descriptor: _Descriptor, size: int, offset: int) -> bytes:
        if not descriptor.readable:
            raise error(errno.EBADF)
        if descriptor.node.is_a(S_IFDIR):
            raise error(errno.EISDIR)
        with self._calling(call):
            return descriptor.node.read(offset, size)

    def _descriptor(self, fd: int) -> _Descriptor:
        try:
            return self._open[fd]
        except KeyError:
            raise error(errno.EBADF) from None

    def _reach(self, path: str, flags: int, mode: int = 0o666) -> Node:
        """Do all that `open` does, except for the descriptor: find or create, load, truncate."""
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
        node.load()
        if flags & os.O_TRUNC:
            self._change(node, Change(0))
        return node

    def _fill(self, path: str, flags: int, data: bytes | str) -> None:
        known = self._tree.unsynced
        self._tree.make_directories(os.path.dirname(path) or ".")
        file = self._reach(path, os.O_WRONLY | flags)
        block = data.encode() if isinstance(data, str) else bytes(data)
        self._change(file, Change(len(file.data), block))
        file.sync()
        self._tree.sync_from(known)

    @contextlib.contextmanager
    def _calling(self, call: str, size: int = 1) -> Iterator[int]:
        """Surround what a call does; yield how many of its bytes are written."""
        done, dies = self._called(call, size)
        if dies and done == 0:
            self._die()
        try:
            yield done
        finally:  # also if the call fails, because there is no such file, say
            if dies:
                self._die()
