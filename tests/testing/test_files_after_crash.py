"""The files that the next process finds, against the rules that the documentation gives."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zenactors.testing.files import VirtualFiles

DIRECTORIES = ("/a", "/b")
PATHS = ("/a/1", "/a/2", "/b/1")


def changed(content: bytes, offset: int, block: bytes | None) -> bytes:
    """Return the content of a file after `pwrite`, or after `truncate` if there is no block."""
    padded = content.ljust(offset, b"\0")
    if block is None:
        return padded[:offset]
    return padded[:offset] + block + padded[offset + len(block) :]


Names = dict[str, "int | None"]


def renamed(names: dict[str, int], changes: Names) -> dict[str, int]:
    """Return the names after a change of them."""
    new: Names = {**names, **changes}
    return {path: file for path, file in new.items() if file is not None}


class Rules:
    """What the documentation promises, told in another way than the code does.

    It knows each content that a file may have, and each state that the names may be in.
    """

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.cache: dict[int, bytes] = {}
        self.allowed: dict[int, set[bytes]] = {}
        self.now: dict[str, int] = {}
        self.durable: dict[str, int] = {}
        self.pending: list[Names] = []

    def name(self, changes: Names) -> None:
        self.now = renamed(self.now, changes)
        self.pending.append(changes)

    def create(self, path: str) -> int:
        if path not in self.now:
            number = next(self.numbers)
            self.cache[number], self.allowed[number] = b"", {b""}
            self.name({path: number})
        return self.now[path]

    def change(self, file: int, offset: int, block: bytes | None) -> None:
        self.cache[file] = changed(self.cache[file], offset, block)
        parts = [None] if block is None else [block[:size] for size in range(1, len(block) + 1)]
        self.allowed[file] |= {
            changed(content, offset, part) for content in self.allowed[file] for part in parts
        }

    def sync(self, file: int) -> None:
        self.allowed[file] = {self.cache[file]}

    def sync_directory(self, directory: str) -> None:
        synced = {directory}
        later: list[Names] = []
        now: list[Names] = []
        for changes in self.pending[::-1]:
            touched = {str(Path(path).parent) for path in changes}
            if touched.isdisjoint(synced):
                later.insert(0, changes)
            else:
                now.insert(0, changes)
                synced |= touched
        for changes in now:
            self.durable = renamed(self.durable, changes)
        self.pending = later

    def allows(self, found: dict[str, bytes]) -> bool:
        states = itertools.accumulate(self.pending, renamed, initial=self.durable)
        return any(
            found.keys() == names.keys()
            and all(found[path] in self.allowed[file] for path, file in names.items())
            for names in states
        )


class Both:
    """The virtual files and the rules, of which the same is asked."""

    def __init__(self) -> None:
        self.files = VirtualFiles()
        self.rules = Rules()
        for path in DIRECTORIES:
            self.files.mkdir(path)
        sync(self.files, "/")

    def write(self, path: str, offset: int, block: bytes) -> None:
        file = self.rules.create(path)
        if block:
            self.rules.change(file, offset, block)
        fd = self.files.open(path, os.O_WRONLY | os.O_CREAT)
        self.files.lseek(fd, offset, os.SEEK_SET)
        self.files.write(fd, block)
        self.files.close(fd)

    def append(self, path: str, block: bytes) -> None:
        file = self.rules.create(path)
        if block:
            self.rules.change(file, len(self.rules.cache[file]), block)
        fd = self.files.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.files.write(fd, block)
        self.files.close(fd)

    def truncate(self, path: str, size: int) -> None:
        if path in self.rules.now:
            self.rules.change(self.rules.now[path], size, None)
            fd = self.files.open(path, os.O_WRONLY)
            self.files.ftruncate(fd, size)
            self.files.close(fd)

    def replace(self, path: str) -> None:
        known = path in self.rules.now
        file = self.rules.create(path)
        if known:
            self.rules.change(file, 0, None)
        self.files.close(self.files.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))

    def sync(self, path: str) -> None:
        if path in self.rules.now:
            self.rules.sync(self.rules.now[path])
            sync(self.files, path)

    def sync_directory(self, path: str) -> None:
        self.rules.sync_directory(path)
        sync(self.files, path)

    def rename(self, old: str, new: str) -> None:
        if old in self.rules.now and old != new:
            self.rules.name({old: None, new: self.rules.now[old]})
            self.files.rename(old, new)

    def remove(self, path: str) -> None:
        if path in self.rules.now:
            self.rules.name({path: None})
            self.files.remove(path)


def sync(files: VirtualFiles, path: str) -> None:
    fd = files.open(path, os.O_RDONLY)
    files.fsync(fd)
    files.close(fd)


def contents(files: VirtualFiles) -> dict[str, bytes]:
    return {path: files.content(path) for path in files.paths()}


ONE = st.sampled_from(PATHS)
BLOCKS = st.binary(max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("write"), ONE, st.integers(0, 4), BLOCKS),
    st.tuples(st.just("append"), ONE, BLOCKS),
    st.tuples(st.just("truncate"), ONE, st.integers(0, 4)),
    st.tuples(st.sampled_from(["replace", "sync", "sync", "remove"]), ONE),
    st.tuples(st.just("sync_directory"), st.sampled_from(DIRECTORIES)),
    st.tuples(st.just("rename"), ONE, ONE),
)


def done(steps: list[Any]) -> Both:
    both = Both()
    for name, *args in steps:
        getattr(both, name)(*args)
    return both


RENAMED_INTO_A_SYNCED_DIRECTORY = [
    ("append", "/b/1", b"x"),
    ("rename", "/b/1", "/a/1"),
    ("append", "/b/1", b"y"),
    ("sync_directory", "/a"),
]


RENAMED_AND_SYNCED = [
    ("append", "/a/1", b""),
    ("replace", "/b/1"),
    ("rename", "/a/1", "/a/2"),
    ("sync", "/a/2"),
]


def cut_the_power_after(steps, seed):
    both = done(steps)
    before = contents(both.files)
    chance = Random(seed)
    for _ in range(5):
        after = both.files.crash(chance)
        assert both.rules.allows(contents(after))
        assert contents(after.crash(chance)) == contents(after)  # all that is found is on the disk
    assert contents(both.files) == before


@settings(max_examples=100)
@given(steps=st.lists(STEPS, max_size=9), seed=st.integers(0, 1000))
@example(steps=RENAMED_AND_SYNCED, seed=0)
@example(steps=RENAMED_INTO_A_SYNCED_DIRECTORY, seed=0)
def test_after_a_power_failure_the_files_are_what_the_rules_allow(steps, seed):
    cut_the_power_after(steps, seed)


@pytest.mark.slow
@settings(max_examples=5_000)
@given(steps=st.lists(STEPS, max_size=9), seed=st.integers(0, 1000))
def test_after_many_power_failures_the_files_are_what_the_rules_allow(steps, seed):
    cut_the_power_after(steps, seed)


@settings(max_examples=50)
@given(steps=st.lists(STEPS, max_size=9))
def test_after_a_kill_the_files_are_as_they_were(steps):
    both = done(steps)
    found = contents(both.files.crash())
    assert found == contents(both.files)
    assert found == {path: both.rules.cache[file] for path, file in both.rules.now.items()}


def after_crashes(files: VirtualFiles, count: int = 2000) -> Iterator[dict[str, bytes]]:
    chance = Random(1)
    return (contents(files.crash(chance)) for _ in range(count))


def test_whatever_the_rules_allow_does_happen():
    both = done(
        [
            ("append", "/a/1", b"xy"),
            ("sync", "/a/1"),
            ("sync_directory", "/a"),
            ("append", "/a/1", b"z"),
            ("write", "/a/1", 0, b"AB"),
            ("rename", "/a/1", "/b/1"),
        ]
    )
    texts = {b"xy", b"xyz", b"Ay", b"Ayz", b"AB", b"ABz"}
    allowed = {(path, text) for path in ("/a/1", "/b/1") for text in texts}
    found = {item for names in after_crashes(both.files) for item in names.items()}
    assert found == allowed


def test_a_write_that_is_kept_behind_one_that_is_lost_leaves_zeros_between():
    both = done([("append", "/a/1", b"12"), ("append", "/a/1", b"34"), ("sync_directory", "/a")])
    assert {"/a/1": b"\0\x0034"} in list(after_crashes(both.files))


def test_a_file_that_was_saved_with_all_syncs_is_the_old_one_or_the_new_one():
    files = VirtualFiles()
    files.put("/s/mark", "old")
    seen: set[bytes] = set()
    chance = Random(2)

    def look(_: str = "", size: int = 0) -> tuple[int, bool]:
        seen.update(files.crash(chance).content("/s/mark") for _ in range(20))
        return size, False

    files.observe(look, look)
    fd = files.open("/s/mark.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    files.write(fd, b"new")
    files.fsync(fd)
    files.close(fd)
    files.rename("/s/mark.new", "/s/mark")
    assert seen == {b"old"}
    look()
    assert seen == {b"old", b"new"}
    sync(files, "/s")
    seen.clear()
    look()
    assert seen == {b"new"}


def test_the_next_process_has_no_descriptors_and_no_locks_and_finds_the_same_files():
    files = VirtualFiles()
    files.put("/a", "one\n")
    inode = files.stat("/a").st_ino
    fd = files.open("/a", os.O_RDWR | os.O_APPEND)
    files.lock(fd)
    after = files.crash()
    assert after.open_descriptors() == []
    for call in (lambda: after.read(fd, 1), lambda: after.write(fd, b"x"), lambda: after.close(fd)):
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            call()
        assert caught.value.errno == errno.EBADF
    new = after.open("/a", os.O_RDONLY)
    assert new != fd
    after.lock(new)
    assert after.stat("/a").st_ino == inode


def test_the_dead_process_reaches_the_files_of_the_next_one_no_more():
    files = VirtualFiles()
    files.put("/a", "one\n")
    fd = files.open("/a", os.O_RDWR | os.O_APPEND)
    after = files.crash()
    files.write(fd, b"late\n")
    files.fsync(fd)
    files.put("/b", "late\n")
    files.remove("/a")
    assert contents(after) == {"/a": b"one\n"}
    after.append("/a", "two\n")
    assert contents(files) == {"/b": b"late\n"}
    assert contents(after) == {"/a": b"one\ntwo\n"}


def test_what_a_test_puts_into_files_is_on_the_disk():
    files = VirtualFiles()
    files.put("/a", "one\n")
    files.append("/a", "two\n")
    files.put("/c/d", "12345")
    files.truncate("/c/d", 2)
    for found in after_crashes(files, 50):
        assert found == {"/a": b"one\ntwo\n", "/c/d": b"12"}


def test_what_a_test_adds_to_a_file_brings_no_name_to_the_disk():
    files = VirtualFiles()
    files.put("/in/given", "")
    files.mkdir("/out")
    files.close(files.open("/out/a", os.O_WRONLY | os.O_CREAT))
    files.append("/in/given", "1")
    files.truncate("/in/given")
    files.put("/in/more")
    found = {("/out/a" in names, "/in/more" in names) for names in after_crashes(files, 50)}
    assert found == {(True, True), (False, True)}


def test_what_was_printed_was_seen():
    files = VirtualFiles()
    opened = files.open_standard_output()
    assert opened is not None
    opened[1](memoryview(b"hello\n"))
    after = files.crash(Random(1))
    assert after.standard_output == b"hello\n"
    opened = after.open_standard_output()
    assert opened is not None
    opened[1](memoryview(b"again\n"))
    assert after.standard_output == b"hello\nagain\n"
    assert files.standard_output == b"hello\n"


def test_a_real_file_is_on_the_disk_and_changes_of_it_may_be_lost(tmp_path):
    real = tmp_path / "a"
    real.write_bytes(b"one")
    gone = tmp_path / "b"
    gone.write_bytes(b"two")
    files = VirtualFiles(from_disk=True)
    fd = files.open(str(real), os.O_WRONLY | os.O_TRUNC)
    files.write(fd, b"1")
    files.remove(str(gone))
    chance = Random(3)
    found = [files.crash(chance) for _ in range(100)]
    assert {after.content(str(real)) for after in found} == {b"", b"1", b"one", b"1ne"}
    assert {after.lexists(str(gone)) for after in found} == {True, False}
    back = next(after for after in found if after.lexists(str(gone)))
    assert back.content(str(gone)) == b"two"
    assert back.stat(str(gone)).st_nlink == 1


def test_a_new_directory_may_be_lost_with_all_that_is_in_it():
    files = VirtualFiles()
    files.put("/given", "")
    files.mkdir("/new")
    sync(files, "/")
    files.mkdir("/new/deep")
    fd = files.open("/new/deep/a", os.O_WRONLY | os.O_CREAT)
    files.write(fd, b"x")
    files.fsync(fd)
    sync(files, "/new/deep")
    chance = Random(4)
    found = [files.crash(chance) for _ in range(50)]
    assert {after.lexists("/new") for after in found} == {True}
    kept = {after.lexists("/new/deep"): contents(after) for after in found}
    assert kept == {False: {"/given": b""}, True: {"/given": b"", "/new/deep/a": b"x"}}
    sync(files, "/new")
    for names in after_crashes(files, 50):
        assert names == kept[True]
