# ruff: noqa: PTH100, PTH102, PTH103, PTH120, PTH123, PTH207, PTH211
# The tested functions take strings, spelled in any way.

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import stat as stat_bits
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.core.clock import VirtualClock
from zenactors.testing.files import VirtualFiles

# -- the same as the system ------------------------------------------------------------------


class OnDisk:
    """The methods of `VirtualFiles` for tests, on the real disk."""

    def put(self, path: str, data: bytes) -> None:
        self._write(path, "wb", data)

    def append(self, path: str, data: bytes) -> None:
        self._write(path, "ab", data)

    def _write(self, path: str, mode: str, data: bytes) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, mode) as file:
            file.write(data)

    def content(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def mkdir(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def symlink(self, target: str, path: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)

    rename = staticmethod(os.rename)
    remove = staticmethod(os.remove)
    truncate = staticmethod(os.truncate)


class Side:
    """One of the two file systems that are compared, with paths below a directory of its own."""

    def __init__(self, files: Files, world: Any, root: str) -> None:
        self.files = files
        self.world = world
        self.root = root
        self.fds: list[int] = []

    def path(self, path: str) -> str:
        return f"{self.root}/{path}" if path else ""

    def result(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except OSError as cause:
            names = [cause.filename, cause.filename2]
            return type(cause), cause.errno, cause.strerror, [self._relative(n) for n in names]

    def _relative(self, name: str | None) -> str | None:
        return None if name is None else name.removeprefix(self.root)

    def described(self, stat: Any) -> Any:
        if not isinstance(stat, os.stat_result):
            return stat
        if stat_bits.S_ISDIR(stat.st_mode):
            return "directory"
        return oct(stat.st_mode), stat.st_nlink, stat.st_size

    def do(self, name: str, *args: Any) -> Any:
        return getattr(self, f"do_{name}")(*args)

    def do_open(self, path: str, flags: int) -> Any:
        fd = self.result(self.files.open, self.path(path), flags, 0o640)
        if not isinstance(fd, int):
            return fd
        self.fds.append(fd)
        return "open", self.do_fstat(-1)

    def _on_fd(self, name: str, which: int, *args: Any) -> Any:
        fd = self.fds[which % len(self.fds)] if self.fds else 1_000_000
        return self.result(getattr(self.files, name), fd, *args)

    def do_close(self, which: int) -> Any:
        # A number that is surely closed takes its place: the system may use the old one again.
        result = self._on_fd("close", which)
        if self.fds:
            self.fds[which % len(self.fds)] = 1_000_000
        return result

    def do_read(self, which: int, size: int) -> Any:
        return self._on_fd("read", which, size)

    def do_pread(self, which: int, size: int, offset: int) -> Any:
        return self._on_fd("pread", which, size, offset)

    def do_write(self, which: int, data: bytes) -> Any:
        return self._on_fd("write", which, memoryview(data))

    def do_lseek(self, which: int, offset: int, whence: int) -> Any:
        if self.do_fstat(which) == "directory":
            return None  # the result depends on the file system
        return self._on_fd("lseek", which, offset, whence)

    def do_ftruncate(self, which: int, size: int) -> Any:
        return self._on_fd("ftruncate", which, size)

    def do_is_append(self, which: int) -> Any:
        return self._on_fd("is_append", which)

    def do_set_blocking(self, which: int) -> Any:
        return self._on_fd("set_blocking", which, True)  # noqa: FBT003 - as in `os`

    def do_mkdir(self, path: str) -> Any:
        result = self.result(self.files.mkdir, self.path(path), 0o700)
        return result[:3] if isinstance(result, tuple) else result

    def do_fsync(self, which: int) -> Any:
        return self._on_fd("fsync", which)

    def do_lock(self, which: int) -> Any:
        return self._on_fd("lock", which)

    def do_fchmod(self, which: int, mode: int) -> Any:
        return self._on_fd("fchmod", which, mode)

    def do_fstat(self, which: int) -> Any:
        return self.described(self._on_fd("fstat", which))

    def do_stat(self, path: str) -> Any:
        return self.described(self.result(self.files.stat, self.path(path)))

    def do_lexists(self, path: str) -> Any:
        return self.files.lexists(self.path(path))

    def do_realpath(self, path: str) -> Any:
        if not path:
            return None  # it is outside
        stat = self.result(self.files.stat, self.path(path))
        if isinstance(stat, tuple) and stat[1] == errno.ELOOP:
            return "round in circles"  # Python's versions differ in where they give up
        return self.files.realpath(self.path(path)).removeprefix(self.root)

    def do_entries(self, path: str) -> Any:
        entries = self.result(self.files.entries, self.path(path))
        if not isinstance(entries, dict):
            return entries
        stats = {
            name: self.result(self.files.stat, self.path(f"{path}/{name}")) for name in entries
        }
        same = {n: getattr(stats[n], "st_ino", None) == inode for n, inode in entries.items()}
        return sorted(same.items())

    def do_symlink(self, path: str, target: str) -> Any:
        result = self.result(self.world.symlink, target, self.path(path))
        return result[:3] if isinstance(result, tuple) else result  # as for `MAKING`

    def do_world(self, name: str, path: str, *args: Any) -> Any:
        result = self.result(getattr(self.world, name), self.path(path), *args)
        # The error is compared, but not which step of making directories failed.
        return result[:3] if isinstance(result, tuple) and name in MAKING else result

    def do_rename(self, old: str, new: str) -> Any:
        return self.result(self.world.rename, self.path(old), self.path(new))

    def do_rename_exclusive(self, old: str, new: str) -> Any:
        return self.result(self.files.rename_exclusive, self.path(old), self.path(new))

    def do_glob(self, pattern: str) -> Any:
        found = self.files.glob(self.path(pattern))
        # Up to Python 3.11, "missing/**" matches "missing/".
        found = [path for path in {*found} if self.files.lexists(path)]
        return sorted(path.removeprefix(self.root) for path in found)

    def everything(self) -> Any:
        """Return all paths, contents and descriptions, and which of them are the same file."""
        found = self.do_glob("**") + self.do_glob("**/.*")
        paths = [path.removeprefix("/") for path in found]
        stats = [self.result(self.files.stat, self.path(path)) for path in paths]
        stats += [self.result(self.files.fstat, fd) for fd in self.fds]
        identities = [(s.st_dev, s.st_ino) for s in stats if isinstance(s, os.stat_result)]
        return (
            [(path, self.do_world("content", path)) for path in paths],
            [self.described(stat) for stat in stats],
            # Only at one moment: the disk uses a number again when its file is gone.
            [identities.index(identity) for identity in identities],
        )


MAKING = {"put", "append", "mkdir"}
NAMES = st.sampled_from(["a", "b", "c.log", ".hid", "[x]"])
ENDS = st.sampled_from(["", "", "", "", "/", "/.", "/.."])
PATHS = st.builds(
    lambda names, end: "/".join(names) + end, st.lists(NAMES, min_size=1, max_size=3), ENDS
) | st.sampled_from(["", ".", "a/../b", "a//b", "./a"])
PLAIN = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
SPELLED = PLAIN | st.sampled_from(["", "a/../b", "a//b", "./a"])
FLAGS = st.builds(
    lambda access, more: access | sum(more),
    st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]),
    st.sets(
        st.sampled_from([os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_CLOEXEC]),
        max_size=4,
    ),
).filter(lambda flags: not flags & os.O_EXCL or flags & os.O_CREAT)  # otherwise it is undefined


def means_a_file_to_create(step: tuple[str, str, int]) -> bool:
    _, path, flags = step
    return not (flags & os.O_CREAT and path.endswith("/"))


def removes_no_link_as_a_directory(step: tuple[str, str, str]) -> bool:
    return not step[2].endswith("/")


def stays_inside(pattern: str) -> bool:
    depth = 0
    for batch in pattern.split("/"):
        depth += -1 if batch == ".." else batch not in ("", ".", "**")
        if depth < 0:
            return False
    return True


PATTERNS = st.builds(
    lambda batches, end: "/".join(batches) + end,
    st.lists(
        st.sampled_from(["*", "**", "**", "?", "a", "b", "*.log", ".*", "[ab]", "[!a]*", ".", ".."])
        | NAMES,
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["", "", "/"]),
).filter(stays_inside)
WHICH = st.integers(-1, 3)
DATA = st.binary(max_size=6)
SIZES = st.integers(-1, 9)

STEPS = st.one_of(
    st.tuples(st.just("open"), PATHS, FLAGS).filter(means_a_file_to_create),
    st.tuples(st.just("open"), PLAIN, st.just(os.O_RDWR | os.O_CREAT)),
    st.tuples(st.just("close"), WHICH),
    st.tuples(st.just("read"), WHICH, SIZES),
    st.tuples(st.just("write"), WHICH, DATA),
    st.tuples(st.just("lseek"), WHICH, st.integers(-4, 9), st.integers(0, 2)),
    st.tuples(st.just("ftruncate"), WHICH, SIZES),
    st.tuples(st.just("open"), PATHS, st.just(os.O_RDONLY | os.O_DIRECTORY)),
    st.tuples(st.sampled_from(["fstat", "is_append", "set_blocking", "fsync", "lock"]), WHICH),
    st.tuples(st.just("fchmod"), WHICH, st.sampled_from([0o600, 0o644, 0o700])),
    st.tuples(st.sampled_from(["stat", "lexists"]), PATHS),
    st.tuples(st.just("world"), st.sampled_from(["put", "append"]), PLAIN, DATA),
    st.tuples(st.just("world"), st.just("mkdir"), PLAIN),
    st.tuples(st.just("world"), st.just("content"), PATHS),
    st.tuples(st.just("world"), st.just("remove"), PATHS).filter(removes_no_link_as_a_directory),
    st.tuples(st.just("world"), st.just("truncate"), PATHS, SIZES),
    st.tuples(st.just("mkdir"), PLAIN),
    st.tuples(st.just("rename"), SPELLED, SPELLED),
    st.tuples(st.just("rename"), PLAIN, PLAIN),
    st.tuples(st.just("rename_exclusive"), PLAIN, PLAIN),
    st.tuples(st.just("glob"), PATTERNS),
    st.tuples(st.just("pread"), WHICH, SIZES, SIZES),
    st.tuples(st.sampled_from(["realpath", "entries"]), PATHS),
    st.tuples(st.just("symlink"), PLAIN, NAMES | st.just("a/b")),
)


@contextlib.contextmanager
def directory_of_disk() -> Iterator[str]:
    before = os.umask(0o022)
    root = tempfile.mkdtemp()
    try:
        yield root
    finally:
        os.umask(before)
        shutil.rmtree(root)


def compare(steps: list[Any], disk: Side, memory: Side) -> None:
    try:
        for step in steps:
            assert memory.do(*step) == disk.do(*step), step
            assert memory.everything() == disk.everything(), step
    finally:
        for fd in disk.fds:
            with contextlib.suppress(OSError):
                os.close(fd)


# Cases that chance seldom finds.
BEHIND_THE_END = [
    ("open", "a", os.O_RDWR | os.O_CREAT),
    ("lseek", 0, 5, os.SEEK_SET),
    ("write", 0, b"x"),
    ("lseek", 0, 9, os.SEEK_SET),
    ("write", 0, b""),
    ("read", 0, 1),
]
SLASHES = [
    ("world", "put", "a", b"1"),
    ("world", "mkdir", "b"),
    *((name, path) for name in ("stat", "lexists") for path in ("a", "a/", "b/", "c/", "a/.")),
    *(("open", path, flags) for path in ("a/", "b/", "c/") for flags in (0, 1)),
]


LOCKED = [
    ("open", "a", os.O_RDWR | os.O_CREAT),
    ("open", "a", os.O_RDWR | os.O_CREAT),
    ("lock", 0),
    ("lock", 0),
    ("lock", 1),
    ("close", 0),
    ("lock", 1),
]
EXCLUSIVE = [
    ("world", "put", "a", b"1"),
    ("world", "put", "b", b"2"),
    ("rename_exclusive", "a", "b"),
    ("rename_exclusive", "a", "c"),
    ("rename_exclusive", "a", "d"),
    ("rename_exclusive", "c", "c"),
    ("rename_exclusive", "c", "missing/c"),
]
APPENDING = [
    ("world", "put", "a", b"12"),
    ("open", "a", os.O_WRONLY | os.O_APPEND),
    ("write", 0, b"3"),
    ("lseek", 0, 0, os.SEEK_SET),
    ("write", 0, b"4"),
]
REPEATED_STARS = ["**/**", "**/**/", "**/**/**", "a/**/**", "**/**/*", "./**/**"]


def do_in_memory_and_on_disk(steps):
    files = VirtualFiles()
    files.mkdir("/top/of/all")
    with directory_of_disk() as root:
        os.makedirs(f"{root}/top/of/all")
        disk = Side(SYSTEM_FILES, OnDisk(), f"{root}/top/of/all")
        compare(steps, disk, Side(files, files, "/top/of/all"))


@settings(max_examples=50)
@given(steps=st.lists(STEPS, min_size=1, max_size=25))
@example(steps=BEHIND_THE_END)
@example(steps=SLASHES)
@example(steps=LOCKED)
@example(steps=EXCLUSIVE)
@example(steps=APPENDING)
def test_whatever_is_done_the_system_would_have_given_the_same(steps):
    do_in_memory_and_on_disk(steps)


@pytest.mark.slow
@settings(max_examples=3_000)
@given(steps=st.lists(STEPS, min_size=1, max_size=25))
def test_whatever_is_done_often_the_system_would_have_given_the_same(steps):
    do_in_memory_and_on_disk(steps)


def snapshot(root: str) -> list[Any]:
    """Return everything in a real directory, read without the code under test."""
    return [
        (path, path.lstat().st_ino, path.lstat().st_mtime, path.is_file() and path.read_bytes())
        for path in sorted(Path(root).rglob("*"))
    ]


def do_in_copy_and_on_disk(before, steps):
    with directory_of_disk() as root:
        for side in ("disk", "copied"):
            os.mkdir(f"{root}/{side}")
            for path, data in before.items():
                with contextlib.suppress(OSError):  # one name cannot be a file and a directory
                    OnDisk().put(f"{root}/{side}/{path}", data)
        untouched = snapshot(f"{root}/copied")
        files = VirtualFiles(from_disk=True)
        disk = Side(SYSTEM_FILES, OnDisk(), f"{root}/disk")
        compare(steps, disk, Side(files, files, f"{root}/copied"))

        assert snapshot(f"{root}/copied") == untouched
        for fd, _ in files.open_descriptors():
            files.close(fd)


COPIED = {
    "before": st.dictionaries(PLAIN, DATA, max_size=5),
    "steps": st.lists(STEPS, min_size=1, max_size=20),
}


@settings(max_examples=50)
@given(**COPIED)
@example(before={"a": b"1", "b/c": b"2"}, steps=SLASHES[2:])
@example(before={"a/b": b""}, steps=[("glob", pattern) for pattern in REPEATED_STARS])
def test_a_copy_of_the_disk_does_the_same_and_leaves_the_disk_alone(before, steps):
    do_in_copy_and_on_disk(before, steps)


@pytest.mark.slow
@settings(max_examples=3_000)
@given(**COPIED)
def test_many_copies_of_the_disk_do_the_same_and_leave_the_disk_alone(before, steps):
    do_in_copy_and_on_disk(before, steps)


@settings(max_examples=60)
@given(paths=st.lists(PLAIN, max_size=6), pattern=PATTERNS)
def test_a_relative_glob_matches_the_same(paths, pattern):
    files = VirtualFiles()
    with directory_of_disk() as root, contextlib.chdir(root):
        inside = VirtualFiles()  # relative to the directory in which it was made
        for path in paths:
            for world in (OnDisk(), inside, files):
                with contextlib.suppress(OSError):
                    world.put(path if world is files else f"{root}/{path}", b"")
        found = {p for p in glob.glob(pattern, recursive=True) if os.path.lexists(p)}
        expected = sorted(found)
        assert inside.glob(pattern) == expected
        assert files.glob(pattern) == expected


# -- copies of the disk ----------------------------------------------------------------------


def test_a_real_file_is_copied_once_it_is_opened_and_who_reads_it_goes_on(from_disk, tmp_path):
    real = tmp_path / "a.log"
    real.write_bytes(b"one\n")
    fd = from_disk.open(str(real), os.O_RDONLY)
    assert from_disk.read(fd, 2) == b"on"
    from_disk.append(str(real), b"two\n")

    assert from_disk.read(fd, 100) == b"e\ntwo\n"
    assert from_disk.fstat(fd).st_size == 8
    assert from_disk.paths() == [str(real)]
    assert real.read_bytes() == b"one\n"


def test_a_real_file_that_is_removed_is_readable_to_the_end_by_who_has_it_open(from_disk, tmp_path):
    real = tmp_path / "a.log"
    real.write_bytes(b"one\n")
    fd = from_disk.open(str(real), os.O_RDONLY)
    from_disk.remove(str(real))

    assert not from_disk.lexists(str(real))
    assert from_disk.glob(f"{tmp_path}/*") == []
    assert from_disk.fstat(fd).st_nlink == 0
    assert from_disk.read(fd, 100) == b"one\n"
    from_disk.put(str(real), b"new\n")
    assert from_disk.stat(str(real)).st_ino == 2
    from_disk.remove(str(real))
    with pytest.raises(FileNotFoundError):
        from_disk.stat(str(real))
    assert real.read_bytes() == b"one\n"


def test_real_links_are_followed_and_a_moved_one_stays_one(from_disk, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a").write_bytes(b"one\n")
    (tmp_path / "current").symlink_to("logs")
    (tmp_path / "dead").symlink_to(tmp_path / "later")
    (tmp_path / "loop").symlink_to("loop")
    from_disk.append(f"{tmp_path}/current/a", b"two\n")

    assert from_disk.content(f"{tmp_path}/logs/a") == b"one\ntwo\n"
    assert from_disk.paths() == [f"{tmp_path}/logs/a"]
    assert from_disk.lexists(f"{tmp_path}/dead")
    with pytest.raises(FileNotFoundError):
        from_disk.stat(f"{tmp_path}/dead")
    from_disk.put(f"{tmp_path}/dead", b"made\n")
    assert from_disk.content(f"{tmp_path}/later") == b"made\n"
    with pytest.raises(OSError, match="symbolic links") as caught:
        from_disk.stat(f"{tmp_path}/loop")
    assert caught.value.errno == errno.ELOOP
    from_disk.rename(f"{tmp_path}/current", f"{tmp_path}/moved")
    assert from_disk.content(f"{tmp_path}/moved/a") == b"one\ntwo\n"
    assert from_disk.glob(f"{tmp_path}/*/a") == [f"{tmp_path}/logs/a", f"{tmp_path}/moved/a"]
    assert not (tmp_path / "later").exists()


def test_pipes_and_devices_of_the_disk_cannot_be_opened(from_disk):
    for flags in (os.O_RDONLY, os.O_WRONLY):
        with pytest.raises(PermissionError):
            from_disk.open("/dev/null", flags)


def test_the_disk_is_copied_as_it_was_at_the_first_look(from_disk, tmp_path):
    (tmp_path / "later").mkdir()
    (tmp_path / "a").write_bytes(b"one\n")
    assert from_disk.glob(f"{tmp_path}/*") == [f"{tmp_path}/a", f"{tmp_path}/later"]
    assert not from_disk.lexists(f"{tmp_path}/b")
    assert from_disk.paths() == []
    for path in ("b", "c", "later/d"):
        (tmp_path / path).write_bytes(b"two\n")
    with open(f"{tmp_path}/a", "ab") as real:
        real.write(b"two\n")
    assert from_disk.stat(f"{tmp_path}/a").st_size == 4

    assert from_disk.content(f"{tmp_path}/a") == b"one\n"
    assert from_disk.stat(f"{tmp_path}/a").st_size == 4
    assert from_disk.glob(f"{tmp_path}/**") == [
        f"{tmp_path}/{name}" for name in ("", "a", "later", "later/d")
    ]
    assert from_disk.paths() == [f"{tmp_path}/a"]


def test_a_real_directory_is_renamed_with_all_that_is_in_it(from_disk, tmp_path):
    (tmp_path / "logs" / "old").mkdir(parents=True)
    (tmp_path / "logs" / "old" / "a").write_bytes(b"one\n")
    from_disk.rename(f"{tmp_path}/logs", f"{tmp_path}/moved")
    from_disk.mkdir(f"{tmp_path}/logs")

    assert from_disk.content(f"{tmp_path}/moved/old/a") == b"one\n"
    assert from_disk.entries(f"{tmp_path}/logs") == {}
    assert (tmp_path / "logs" / "old" / "a").read_bytes() == b"one\n"


def test_equal_files_of_the_disk_get_equal_numbers(tmp_path):
    for name in ("b", "c", "a"):
        (tmp_path / name).touch()
    for _ in range(2):
        files = VirtualFiles(from_disk=True)
        assert files.entries(str(tmp_path)) == {"a": 1, "b": 2, "c": 3}


def test_a_renamed_real_file_is_the_same_file(from_disk, tmp_path):
    real = tmp_path / "a.log"
    real.write_bytes(b"one\n")
    before = from_disk.stat(str(real))
    from_disk.rename(str(real), f"{tmp_path}/a.log.1")

    assert from_disk.glob(f"{tmp_path}/*") == [f"{tmp_path}/a.log.1"]
    assert from_disk.content(f"{tmp_path}/a.log.1") == b"one\n"
    assert from_disk.stat(f"{tmp_path}/a.log.1").st_ino == before.st_ino
    assert real.read_bytes() == b"one\n"


# -- only in memory --------------------------------------------------------------------------


def test_equal_calls_give_equal_numbers_and_a_descriptor_is_never_used_twice():
    for _ in range(2):
        files = VirtualFiles()
        files.put("/var/log/a", "žluť\n")
        files.put("b", b"")
        first = files.open("/var/log/a", os.O_RDONLY)
        second = files.open("b", os.O_WRONLY)
        assert (first, second) == (10_000, 10_001)
        assert files.open_descriptors() == [(first, "/var/log/a"), (second, "b")]
        files.close(first)
        assert files.open("b", os.O_RDONLY) == 10_002
        assert (files.stat("/var/log/a").st_ino, files.stat("b").st_ino) == (1, 2)
        assert files.stat("b").st_dev == 1
        assert files.content("/var/log/a").decode() == "žluť\n"
        assert files.paths() == sorted(["/var/log/a", os.path.abspath("b")])
        assert files.glob("b") == ["b"]


def test_changes_are_stamped_with_the_clock():
    clock = VirtualClock(1000.5)
    files = VirtualFiles(clock=clock)
    files.put("a", b"x")
    assert files.stat("a").st_mtime == 1000.5
    clock.advance(2.0)
    assert files.stat("a").st_mtime == 1000.5
    files.append("a", b"y")

    assert files.stat("a").st_mtime == 1002.5
    assert VirtualFiles().stat(".").st_mtime == 0


def test_a_null_byte_is_refused_as_the_system_does():
    for files in (SYSTEM_FILES, VirtualFiles()):
        assert not files.lexists("a\0b")
        with pytest.raises(ValueError, match=r"embedded null (byte|character)"):
            files.stat("a\0b")
