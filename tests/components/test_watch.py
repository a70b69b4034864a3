"""Hints of changes in directories: what inotify reports of real files, and what memory reports."""

from __future__ import annotations

import errno
import os
import resource
import select
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._watch import Hints, InotifyWatch, Watch
from zenactors.testing.files import VirtualFiles

OVERFLOW = struct.pack("iIII", -1, 0x4000, 0, 0)


class World:
    """Files and a watch on their directory `top`, on the disk or in memory."""

    def __init__(self, files: Files, top: str) -> None:
        self.files = files
        self.top = top
        files.mkdir(top)
        watch = files.watch()
        assert watch is not None
        self.watch: Watch = watch

    def path(self, name: str) -> str:
        return f"{self.top}/{name}"

    def write(self, name: str, data: bytes = b"x") -> None:
        fd = self.files.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.files.write(fd, data)
        self.files.close(fd)

    def take(self) -> tuple[set[str], bool, bool]:
        """Return the hints, with the names of the files instead of their paths."""
        readable = bool(select.select([self.watch], [], [], 0)[0])
        hints = self.watch.take()
        assert bool(hints) == readable
        assert not select.select([self.watch], [], [], 0)[0]
        names = {path.removeprefix(f"{self.top}/") for path in hints.changed}
        return names, hints.renamed, hints.overflow


@pytest.fixture(params=["disk", "memory"])
def world(request, tmp_path) -> Iterator[World]:
    files: Files = SYSTEM_FILES if request.param == "disk" else VirtualFiles()
    world = World(files, f"{tmp_path}/top")
    yield world
    world.watch.close()


NOTHING: tuple[set[str], bool, bool] = (set(), False, False)


# -- the same on the disk and in memory ------------------------------------------------------


def test_a_file_that_is_written_is_a_hint_and_a_file_that_is_read_is_none(world):
    world.write("a")
    world.write("b")
    world.watch.add(world.top)
    assert world.take() == NOTHING
    world.write("a")
    assert world.take() == ({"a"}, False, False)
    assert world.take() == NOTHING
    fd = world.files.open(world.path("b"), os.O_RDWR)
    world.files.read(fd, 1)
    world.files.pread(fd, 1, 0)
    assert world.take() == NOTHING
    world.files.ftruncate(fd, 0)
    world.files.close(fd)
    assert world.take() == ({"b"}, False, False)


def test_files_that_are_closed_or_renamed_are_complete_if_that_is_wanted(world):
    def completed() -> set[str]:
        return {os.path.basename(path) for path in world.watch.take().completed}  # noqa: PTH119

    world.watch.add(world.top)
    world.write("a")
    world.files.rename(world.path("a"), world.path("b"))
    assert completed() == set()
    world.watch.add(world.top, completed=True)
    fd = world.files.open(world.path("c"), os.O_WRONLY | os.O_CREAT)
    world.files.write(fd, b"x")
    assert completed() == set()
    world.files.close(fd)
    assert completed() == {"c"}
    world.files.close(world.files.open(world.path("c"), os.O_RDONLY))
    assert completed() == set()
    world.files.rename(world.path("c"), world.path("d"))
    assert completed() == {"d"}
    world.files.rename_exclusive(world.path("d"), world.path("e"))
    assert completed() <= {"e"}  # on the disk, it has both names for a moment
    world.watch.remove(world.top)
    world.watch.add(world.top)
    world.write("f")
    assert completed() == set()


def test_names_that_come_go_and_change_are_a_hint(world):
    world.watch.add(world.top)
    fd = world.files.open(world.path("a"), os.O_WRONLY | os.O_CREAT)
    assert world.take() == (set(), True, False)
    world.files.rename(world.path("a"), world.path("b"))
    assert world.take() == (set(), True, False)
    world.files.write(fd, b"x")
    assert world.take() == ({"b"}, False, False)
    world.files.mkdir(world.path("inside"))
    assert world.take() == (set(), True, False)
    world.files.rename(world.path("b"), world.path("inside/b"))
    assert world.take() == (set(), True, False)
    world.files.write(fd, b"x")
    assert world.take() == NOTHING  # in a directory that is not watched
    world.files.rename(world.path("inside/b"), world.path("c"))
    assert world.take() == (set(), True, False)
    world.files.remove(world.path("c"))
    assert world.take()[1:] == (True, False)
    world.files.close(fd)
    world.take()  # the disk's file is gone only now


def test_many_changes_of_some_files_are_one_hint_each(world):
    world.watch.add(world.top)
    for name in ("a", "b", "a") * 200:
        world.write(name)
    assert world.take() == ({"a", "b"}, True, False)


def test_a_directory_is_watched_until_it_is_removed_from_the_watch(world):
    world.watch.add(world.top)
    world.watch.add(world.top)
    world.write("a")
    assert world.take() == ({"a"}, True, False)
    world.watch.remove(world.top)
    world.watch.remove(world.top)
    world.watch.remove("/never/added")
    world.watch.take()  # the kernel says that it has removed its watch
    world.write("a")
    assert world.take() == NOTHING
    world.watch.add(world.top)
    world.write("a")
    assert world.take() == ({"a"}, False, False)


def test_each_path_of_a_directory_gets_the_hint_in_its_own_spelling(world):
    world.write("a")
    world.watch.add(world.top)
    world.watch.add(f"{world.top}/.")
    world.write("a")
    assert world.watch.take().changed == {f"{world.top}/a", f"{world.top}/./a"}
    world.watch.remove(world.top)
    world.write("a")
    assert world.watch.take().changed == {f"{world.top}/./a"}


def test_a_directory_that_takes_the_place_of_another_is_watched_once_it_is_added(world):
    world.files.mkdir(world.path("d"))
    world.watch.add(world.path("d"))
    world.files.rename(world.path("d"), world.path("old"))
    assert world.take() == (set(), True, False)
    world.files.mkdir(world.path("d"))
    world.watch.add(world.path("d"))
    world.write("d/a")
    assert world.take()[0] == {"d/a"}
    world.write("old/b")
    assert world.take() == NOTHING


def test_a_directory_above_that_is_renamed_is_no_hint(world):
    world.files.mkdir(world.path("d/e"))
    world.write("d/e/a")
    world.watch.add(world.path("d/e"))
    world.files.rename(world.path("d"), world.path("old"))
    assert world.take() == NOTHING
    world.write("old/e/a")
    assert world.take() == ({"d/e/a"}, False, False)


@pytest.mark.parametrize(
    ("name", "code"), [("missing", errno.ENOENT), ("file", errno.ENOTDIR), ("", None)]
)
def test_only_a_directory_can_be_watched(world, name, code):
    world.write("file")
    if code is None:
        world.watch.add(world.path(name))
        return
    with pytest.raises(OSError, match=name) as caught:
        world.watch.add(world.path(name))
    assert (caught.value.errno, caught.value.filename) == (code, world.path(name))
    world.watch.remove(world.path(name))


def test_a_closed_watch_has_no_descriptor(world):
    number = world.watch.fileno()
    os.fstat(number)
    world.watch.close()
    world.watch.close()
    with pytest.raises(ValueError, match="closed"):
        world.watch.fileno()
    with pytest.raises(ValueError, match="closed"):
        world.watch.take()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


# -- only on the disk ------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path) -> Iterator[World]:
    world = World(SYSTEM_FILES, f"{tmp_path}/top")
    yield world
    world.watch.close()


def test_a_directory_that_is_removed_is_a_hint_and_can_be_added_again(disk):
    disk.watch.add(disk.top)
    Path(disk.top).rmdir()
    assert disk.take() == (set(), True, False)
    disk.watch.remove(disk.top)
    Path(disk.top).mkdir()
    disk.watch.add(disk.top)
    disk.write("a")
    assert disk.take() == ({"a"}, True, False)


def test_a_name_that_is_no_text_is_that_of_the_files(disk):
    disk.watch.add(disk.top)
    path = os.fsencode(disk.top) + b"/\xff"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    os.truncate(path, 1)
    assert {os.fsencode(each) for each in disk.watch.take().changed} == {path}


def test_more_reports_than_one_read_takes_are_taken_later(disk):
    disk.watch.add(disk.top)
    names = [f"{number:0200}" for number in range(400)]
    for name in names:
        disk.write(name)
    first = disk.watch.take()
    assert 0 < len(first.changed) < len(names)
    found = first.changed
    while select.select([disk.watch], [], [], 0)[0]:
        found |= disk.watch.take().changed
    assert found == {disk.path(name) for name in names}


def test_reports_that_were_lost_are_an_overflow(disk):
    disk.watch.add(disk.top)
    watch = cast("InotifyWatch", disk.watch)
    assert watch.interpret(OVERFLOW) == Hints(overflow=True)
    disk.write("a")
    reports = os.read(watch.fileno(), 1000)
    assert watch.interpret(reports + OVERFLOW) == Hints({disk.path("a")}, True, True)  # noqa: FBT003


@pytest.mark.skipif(
    not Path("/proc/sys/fs/inotify/max_queued_events").exists(), reason="needs Linux"
)
def test_the_kernel_reports_an_overflow_as_expected(disk):
    disk.watch.add(disk.top)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"the kernel's queue has {limit} places")
    first, second = (os.open(disk.path(n), os.O_WRONLY | os.O_CREAT) for n in "ab")
    for _ in range(limit // 2 + 1):
        os.write(first, b"")
        os.truncate(first, 1)
        os.truncate(second, 1)
    os.close(first)
    os.close(second)
    overflow = False
    while select.select([disk.watch], [], [], 0)[0]:
        overflow |= disk.watch.take().overflow
    assert overflow


def test_a_limit_of_the_system_is_passed_on(disk):
    class Full:
        def fileno(self) -> int:
            return cast("int", disk.watch.fileno())

        def add_watch(self, path: str, mask: int) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device") as caught:
        InotifyWatch(cast("Any", Full())).add(disk.top)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, disk.top)


def test_without_a_descriptor_there_is_no_watch():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = os.open("/", os.O_RDONLY)
    os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            SYSTEM_FILES.watch()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_without_the_package_there_is_no_watch(monkeypatch):
    monkeypatch.setitem(sys.modules, "inotify_simple", None)
    assert SYSTEM_FILES.watch() is None


# -- only in memory --------------------------------------------------------------------------


def test_a_test_can_drop_hints_and_lose_them():
    files = VirtualFiles()
    files.put("d/a")
    watch = files.watch()
    watch.add("d")
    files.drop_hints()
    files.append("d/a", "x")
    files.put("d/b", "x")
    assert not watch.take()
    files.drop_hints(drop=False)
    files.append("d/a", "x")
    assert watch.take() == Hints({"d/a"})
    files.overflow_hints()
    assert select.select([watch], [], [], 0)[0]
    assert watch.take() == Hints(overflow=True)
    files.truncate("d/a")
    files.symlink("a", "d/link")
    assert watch.take() == Hints({"d/a"}, renamed=True)
    files.append("d/link", "x")
    assert watch.take() == Hints({"d/a"})


def test_a_watch_that_is_forgotten_is_closed():
    watch = VirtualFiles().watch()
    number = watch.fileno()
    del watch
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_test_says_what_is_on_a_network():
    files = VirtualFiles()
    files.put("/net/logs/a")
    files.symlink("/net", "/link")
    assert not files.is_network("/net/logs/a")
    files.network_directories.add("/link/logs")
    assert files.is_network("/net/logs/a")
    assert files.is_network("/link/logs")
    assert not files.is_network("/net/logs2")
