"""The file of a state store: whole, or set aside; and what errors leave behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._state_store import MOST_SET_ASIDE, StateStore
from zenactors.errors import StateStoreError
from zenactors.testing.files import VirtualFiles

PATH = "/state/a.store"
VALUE = {"offset": 12, "names": ["ä", "\udc80"]}


def memory() -> VirtualFiles:
    files = VirtualFiles()
    files.mkdir("/state")
    return files


class Failing(VirtualFiles):
    """Files of which one operation fails, once it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.mkdir("/state")
        self.failing: tuple[str, int] | None = None
        self.short = 1_000_000

    def _check(self, operation: str) -> None:
        if self.failing is not None and self.failing[0] == operation:
            raise OSError(self.failing[1], os.strerror(self.failing[1]))

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self._check("create")
        return super().open(path, flags, mode)

    def read(self, fd: int, size: int) -> bytes:
        self._check("read")
        return super().read(fd, size)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        written = super().write(fd, memoryview(data)[: self.short])
        self._check("write")  # as a full disk: after a part of it
        return written

    def fsync(self, fd: int) -> None:
        self._check("fsync")
        super().fsync(fd)

    def rename(self, old: str, new: str) -> None:
        self._check("rename")
        super().rename(old, new)


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, str]:
    if request.param == "memory":
        return memory(), PATH
    return SYSTEM_FILES, str(tmp_path / "a.store")


def test_what_was_saved_is_there_for_the_next_process(place: tuple[Files, str]) -> None:
    files, path = place
    store = StateStore(path, files=files)
    assert store.value is None

    store.save(VALUE)
    copy = store.value
    assert copy is not None
    copy["offset"] = 99
    assert store.value == VALUE
    assert StateStore(path, files=files).value == VALUE
    store.save([1])

    assert StateStore(path, files=files).value == [1]
    assert [Path(each).name for each in files.glob(f"{Path(path).parent}/*")] == ["a.store"]
    assert files.glob(f"{Path(path).parent}/.*") == []
    assert stat.S_IMODE(files.stat(path).st_mode) == 0o600


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).filter(lambda value: "inf" not in repr(value))


@settings(max_examples=30)
@given(JSON_VALUES)
def test_every_json_value_comes_back(value: Any) -> None:
    check_comes_back(value)


@pytest.mark.slow
@settings(max_examples=1_000)
@given(JSON_VALUES)
def test_each_of_many_json_values_comes_back(value: Any) -> None:
    check_comes_back(value)


def check_comes_back(value: Any) -> None:
    files = memory()
    StateStore(PATH, files=files).save(value)
    assert StateStore(PATH, files=files).value == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({9: "a", 10: "b"}, {"9": "a", "10": "b"}),
        ({2: "a", "1": "b", None: "c"}, {"2": "a", "1": "b", "null": "c"}),
        ([(1, {10.5: 1, 9.5: (2,)})], [[1, {"10.5": 1, "9.5": [2]}]]),
    ],
)
def test_keys_become_text_and_the_file_is_whole_nevertheless(value: object, expected: Any) -> None:
    files, lines = memory(), list[str]()
    store = StateStore(PATH, files=files)
    store.save(value)
    assert store.value == expected
    assert StateStore(PATH, files=files, warn=lines.append).value == expected
    assert lines == []


@pytest.mark.parametrize("value", [float("nan"), {"a": object()}, {("a", 1): 2}])
def test_what_json_cannot_hold_is_refused_and_the_old_value_stays(value: object) -> None:
    files = memory()
    store = StateStore(PATH, files=files)
    store.save(1)
    with pytest.raises((TypeError, ValueError)):
        store.save(value)
    assert (store.value, StateStore(PATH, files=files).value) == (1, 1)


def saved() -> bytes:
    files = memory()
    StateStore(PATH, files=files).save(VALUE)
    return files.content(PATH)


def opened_with(content: bytes) -> tuple[StateStore, VirtualFiles, list[str]]:
    files, lines = memory(), list[str]()
    files.put(PATH, content)
    return StateStore(PATH, files=files, warn=lines.append), files, lines


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"\x00" * 200, "it is damaged"),
        (b"[]", "it is damaged"),
        (b"{}", "it is damaged"),
        (b'{"store": "1", "value": 1}', "it is no file of a state store"),
        (b'{"store": true, "value": 1}', "it is no file of a state store"),
        (b'{"store": 2, "anything": 1}', "it has version 2, and this program knows 1"),
        (b"[" * 100_000, "it is damaged"),
    ],
)
def test_a_file_that_is_of_no_use_is_set_aside_and_its_new_name_told(
    content: bytes, why: str
) -> None:
    store, files, lines = opened_with(content)

    assert store.value is None
    assert lines == [
        f"{PATH} cannot be used: {why}. The component begins without it; it is now {PATH}.broken-1"
    ]
    assert files.content(f"{PATH}.broken-1") == content
    store.save(2)
    assert StateStore(PATH, files=files).value == 2


def test_a_torn_file_is_set_aside_wherever_it_was_torn() -> None:
    whole = saved()
    for length in range(len(whole) - 1):  # the last byte is the end of the line
        store, _, lines = opened_with(whole[:length])
        assert (store.value, len(lines)) == (None, 1), length


def test_no_flipped_bit_goes_unnoticed_or_is_fatal() -> None:
    whole = saved()
    for position in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << bit
            store, _, lines = opened_with(bytes(flipped))
            assert store.value == (None if lines else VALUE), (position, bit)


def test_of_many_broken_files_the_first_and_the_last_are_kept() -> None:
    files, lines = memory(), list[str]()
    for number in range(MOST_SET_ASIDE + 3):
        files.put(PATH, str(number))
        StateStore(PATH, files=files, warn=lines.append)

    kept = sorted(files.glob("/state/*"))
    assert len(kept) == MOST_SET_ASIDE
    assert [files.content(each) for each in (kept[0], kept[-1])] == [b"0", b"11"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("operation", ["create", "write", "fsync", "rename"])
def test_a_failed_save_leaves_the_old_file_and_no_litter(operation: str, code: int) -> None:
    files = Failing()
    store = StateStore(PATH, files=files)
    store.save("old")
    before = files.content(PATH)

    files.failing = operation, code
    with pytest.raises(StateStoreError) as error:
        store.save("new")

    assert str(error.value).startswith(f"Cannot save to {PATH}: {os.strerror(code)}; what was sav")
    assert "\n" not in str(error.value)
    assert (store.value, files.content(PATH)) == ("old", before)
    assert files.paths() == [PATH]
    assert files.open_descriptors() == []
    files.failing = None
    store.save("new")
    assert StateStore(PATH, files=files).value == "new"


def test_a_write_that_takes_only_a_part_is_continued() -> None:
    files = Failing()
    files.short = 7
    StateStore(PATH, files=files).save(VALUE)
    assert StateStore(PATH, files=files).value == VALUE


def test_a_file_that_the_disk_cannot_read_is_set_aside() -> None:
    files, lines = Failing(), list[str]()
    StateStore(PATH, files=files).save(1)
    files.failing = "read", errno.EIO
    assert StateStore(PATH, files=files, warn=lines.append).value is None
    assert lines == [
        f"{PATH} cannot be used: Input/output error. The component begins without it; it is now"
        f" {PATH}.broken-1"
    ]


def test_a_file_that_this_user_may_not_read_is_an_error_and_stays() -> None:
    files = Failing()
    StateStore(PATH, files=files).save(1)
    files.failing = "read", errno.EACCES
    with pytest.raises(StateStoreError, match=r"^Cannot read .*a\.store: Permission denied\. Give"):
        StateStore(PATH, files=files)
    assert files.paths() == [PATH]


def test_a_broken_file_that_cannot_be_renamed_is_replaced_by_the_next_save() -> None:
    files, lines = Failing(), list[str]()
    files.put(PATH, "{")
    files.failing = "rename", errno.EROFS
    store = StateStore(PATH, files=files, warn=lines.append)
    assert "it cannot be renamed (Read-only file system), and the next save" in lines[0]
    files.failing = None
    store.save(3)
    assert StateStore(PATH, files=files).value == 3


def test_a_crash_during_a_save_leaves_nothing_for_long() -> None:
    files = memory()
    StateStore(PATH, files=files).save(1)
    files.put("/state/.a.store.1", b"half a f")
    files.put("/state/.b.store.1", b"of another component")

    store = StateStore(PATH, files=files)
    store.save(2)
    assert files.paths() == ["/state/.b.store.1", PATH]


class SlowDisk(VirtualFiles):
    """At the first sync, something else happens first."""

    def __init__(self) -> None:
        super().__init__()
        self.mkdir("/state")
        self.meanwhile: Any = None

    def fsync(self, fd: int) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().fsync(fd)


def test_a_store_that_was_opened_again_meanwhile_replaces_nothing() -> None:
    files = SlowDisk()
    old = StateStore(PATH, files=files)
    old.save("old")

    def open_again() -> None:
        new = StateStore(PATH, files=files, generation=2)
        old.close("its component was made anew")
        new.save("new")

    files.meanwhile = open_again
    with pytest.raises(RuntimeError, match=r"Nothing is saved to .*: its component was made anew"):
        old.save("late")
    assert StateStore(PATH, files=files).value == "new"
    assert files.paths() == [PATH]


class Noted(VirtualFiles):
    """Notes what is done to which file, as the disk would see it."""

    def __init__(self) -> None:
        super().__init__()
        self.mkdir("/state")
        self.done: list[tuple[str, str]] = []

    def _path(self, fd: int) -> str:
        return dict(self.open_descriptors())[fd]

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.done.append(("write", self._path(fd)))
        return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self.done.append(("fsync", self._path(fd)))
        super().fsync(fd)

    def rename(self, old: str, new: str) -> None:
        self.done.append(("rename", new))
        super().rename(old, new)


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_save_returns() -> None:
    files = Noted()
    StateStore(PATH, files=files).save(1)
    aside = "/state/.a.store.1"
    assert files.done == [
        ("write", aside),
        ("fsync", aside),
        ("rename", PATH),
        ("fsync", "/state"),
    ]
