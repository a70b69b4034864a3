"""Faults of files: calls that fail, that do less than they say, and hints of their changes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from zenactors import ZenDaemonComponent, handles
from zenactors.components import SYSTEM_FILES, Files
from zenactors.testing import (
    Crash,
    Fault,
    Harness,
    Kill,
    LostSync,
    PowerFailure,
    ProcessCrashed,
    ShortWrite,
)
from zenactors.testing.files import VirtualFiles

LINE = b"0123456789\n"


class Calls(ZenDaemonComponent):
    """Call what the event says, with a file's descriptor; note the results and errors."""

    files: Files = SYSTEM_FILES

    def setup(self, daemon: Any) -> None:
        self.fd = self.files.open("log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.found: list[Any] = []

    @handles("call")
    def cbk_event_call(self, daemon: Any, call: Callable[[Files, int], Any]) -> None:
        try:
            self.found.append(call(self.files, self.fd))
        except OSError as cause:
            self.found.append(cause)


def prepared(*faults: Fault, seed: int | None = None) -> Harness:
    return Harness([Calls()], files={"log": "one\n"}, faults=faults, seed=seed)


def started(*faults: Fault, seed: int | None = None) -> Harness:
    harness = prepared(*faults, seed=seed)
    harness.start()
    return harness


def results(harness: Harness, *calls: Callable[[Files, int], Any]) -> list[Any]:
    for call in calls:
        harness.queue.schedule("call", call)
    harness.advance(1)
    return list(harness.component("Calls").found)


def write(files: Files, fd: int) -> int:
    return files.write(fd, LINE)


def sync(files: Files, fd: int) -> None:
    files.fsync(fd)


# -- errors ----------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Files, int], Any]] = {
    "open": lambda files, _: files.open("log", os.O_RDONLY),
    "read": lambda files, fd: files.read(fd, 1),
    "pread": lambda files, fd: files.pread(fd, 1, 0),
    "write": write,
    "ftruncate": lambda files, fd: files.ftruncate(fd, 0),
    "fsync": sync,
    "stat": lambda files, _: files.stat("log"),
    "fstat": lambda files, fd: files.fstat(fd),
    "entries": lambda files, _: files.entries("."),
    "rename": lambda files, _: files.rename("log", "log.1"),
    "rename_exclusive": lambda files, _: files.rename_exclusive("log", "log.1"),
    "remove": lambda files, _: files.remove("log"),
    "mkdir": lambda files, _: files.mkdir("directory"),
}


@pytest.mark.parametrize("call", CALLS)
def test_each_call_can_fail_once_and_then_leaves_all_as_it_was(call):
    failure = OSError(errno.EIO, "Input/output error")
    faults = [Crash(point="file", event=call, nth=1 + (call == "open"), error=failure)]
    with prepared(*faults) as harness:
        before = harness.files.content("log"), harness.files.entries(".")
        [error] = results(harness, CALLS[call])
        assert error is failure
        assert (harness.files.content("log"), harness.files.entries(".")) == before
        assert "crash: OSError(5, 'Input/output error')" in harness.trace.text()
        [_, result] = results(harness, CALLS[call])
        assert not isinstance(result, OSError)


def test_a_directory_may_be_one_too_many_to_watch():
    full = OSError(errno.ENOSPC, "No space left on device")

    def add(files: Files, _: int) -> None:
        watch = files.watch()
        assert watch is not None
        watch.add(".")

    with prepared(Crash(point="file", event="watch", nth=1, error=full)) as harness:
        assert results(harness, add, add) == [full, None]


# -- calls that do less ----------------------------------------------------------------------


def test_a_short_write_returns_how_much_it_wrote_and_the_next_one_goes_on_there():
    found = set()
    for seed in range(25):
        with prepared(ShortWrite(nth=1), seed=seed) as harness:
            [count, again] = results(harness, write, write)
            assert again == len(LINE)
            assert harness.files.content("log") == b"one\n" + LINE[:count] + LINE
            assert "short write" in harness.trace.text()
        found.add(count)
    assert found == set(range(1, len(LINE)))


def test_a_single_byte_or_none_cannot_be_written_shorter():
    with prepared(ShortWrite(nth=1)) as harness:
        assert results(harness, lambda files, fd: files.write(fd, b"")) == [0]
        assert "short write" not in harness.trace.text()
        assert results(harness, lambda files, fd: files.write(fd, b"x")) == [0, 1]
        assert "short write" in harness.trace.text()
        assert harness.files.content("log") == b"one\nx"


def test_a_position_moves_only_as_far_as_a_short_write():
    def write_twice(files: Files, _: int) -> int:
        fd = files.open("other", os.O_WRONLY | os.O_CREAT)
        written = files.write(fd, LINE)
        files.write(fd, LINE[written:])
        return written

    with prepared(ShortWrite(nth=1)) as harness:
        [written] = results(harness, write_twice)
        assert written < len(LINE)
        assert harness.files.content("other") == LINE


def after_power_failure(*faults: Fault, calls: list[Callable[[Files, int], Any]]) -> set[bytes]:
    """Return what the next process finds in the file, at one of many seeds each."""
    found = set()
    for seed in range(25):
        harness = started(*faults, seed=seed)
        results(harness, *calls)
        harness.kill(power_failure=True)
        found.add(harness.next_life([]).files.content("log").removeprefix(b"one\n"))
    return found


def test_what_a_lost_fsync_has_not_synced_may_be_lost():
    assert after_power_failure(calls=[write, sync]) == {LINE}
    lost = after_power_failure(LostSync(nth=1), calls=[write, sync])
    assert lost > {b"", LINE}
    assert after_power_failure(LostSync(nth=1), calls=[write, sync, sync]) == {LINE}


def test_a_lost_fsync_of_a_directory_may_lose_the_names():
    def rename(files: Files, _: int) -> None:
        files.rename("log", "log.1")
        directory = files.open(".", os.O_RDONLY | os.O_DIRECTORY)
        files.fsync(directory)

    for faults, expected in (([], {True}), ([LostSync(nth=1)], {True, False})):
        found = set()
        for seed in range(30):
            harness = started(*faults, seed=seed)
            results(harness, rename)
            assert ("fsync is lost" in harness.trace.text()) is bool(faults)
            harness.kill(power_failure=True)
            found.add(harness.next_life([]).files.lexists("log.1"))
        assert found == expected


def test_a_failed_fsync_leaves_the_data_unsynced():
    fault = Crash(point="file", event="fsync", nth=1, error=OSError(errno.EIO, "failed"))
    assert after_power_failure(fault, calls=[write, sync]) > {b"", LINE}


@pytest.mark.parametrize(
    "make",
    [
        lambda: ShortWrite(point="callback", nth=1),
        lambda: ShortWrite(event="read", nth=1),
        lambda: LostSync(event="write", nth=1),
        lambda: LostSync(event=None, nth=1),
    ],
)
def test_an_incomplete_call_is_a_call_that_can_be_incomplete(make):
    with pytest.raises(ValueError, match=r"happens in the call '(write|fsync)' of the files alone"):
        make()


def test_a_process_dies_in_a_call_that_changes_nothing_only_if_it_is_named():
    calls = [CALLS["stat"], CALLS["pread"], CALLS["entries"], CALLS["fstat"]]
    harness = started(Kill(point="file", nth=2))
    assert len(results(harness, *calls)) == 4
    with pytest.raises(ProcessCrashed):
        results(harness, write)
    harness.close()
    harness = started(PowerFailure(point="file", event="pread", nth=1))
    with pytest.raises(ProcessCrashed):
        results(harness, *calls)
    harness.close()


# -- hints -----------------------------------------------------------------------------------


class Watcher(ZenDaemonComponent):
    """Keep the hints by which it is woken."""

    files: Files = SYSTEM_FILES
    closes = True

    def setup(self, daemon: Any) -> None:
        watch = self.files.watch()
        assert watch is not None
        self.watch = watch
        self.watch.add("logs")
        self.hints: list[Any] = []
        daemon.io.add_reader(self.watch, lambda _: self.hints.append(self.watch.take()))

    def teardown(self, daemon: Any) -> None:
        if self.closes:
            self.watch.close()


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_a_component_is_woken_by_a_hint_before_time_passes(seed):
    with Harness([Watcher()], files={"logs/a": ""}, seed=seed) as harness:
        harness.advance(10)
        watcher = harness.component("Watcher")
        assert watcher.hints == []
        harness.files.append("logs/a", "x")
        harness.run_until_idle()
        assert [hints.changed for hints in watcher.hints] == [{"logs/a"}]
        harness.files.drop_hints()
        harness.files.append("logs/a", "x")
        harness.advance(10)
        assert len(watcher.hints) == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_watch_that_is_left_open_is_closed_with_the_harness(end):
    class Careless(Watcher):
        closes = False

    harness = Harness([Careless()], files={"logs/a": ""})
    harness.start()
    number = harness.component("Careless").watch.fileno()
    os.fstat(number)
    harness.kill() if end == "kill" else harness.stop()
    harness.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    harness.files.append("logs/a", "x")


def test_the_next_process_has_watches_of_its_own():
    harness = Harness([Watcher()], files={"logs/a": ""})
    harness.start()
    harness.kill()
    first = harness.component("Watcher")
    with harness.next_life([Watcher()]) as after:
        after.files.append("logs/a", "x")
        after.run_until_idle()
        assert [hints.changed for hints in after.component("Watcher").hints] == [{"logs/a"}]
        assert first.hints == []


# -- links and directories -------------------------------------------------------------------


def test_a_renamed_directory_is_kept_or_lost_as_a_whole_at_a_power_failure():
    files = VirtualFiles()
    files.put("/old/in/a", "1")
    files.put("/old/b", "2")
    files.rename("/old", "/new")
    old, new = ["/old/b", "/old/in/a"], ["/new/b", "/new/in/a"]
    assert files.paths() == new
    chance = Random(1)
    assert {tuple(files.crash(chance).paths()) for _ in range(30)} == {tuple(old), tuple(new)}
    fd = files.open("/", os.O_RDONLY | os.O_DIRECTORY)
    files.fsync(fd)
    assert {tuple(files.crash(chance).paths()) for _ in range(30)} == {tuple(new)}
    after = files.crash(chance)
    assert after.content("/new/in/a") == b"1"
    assert after.realpath("/new/in/../b") == "/new/b"


def test_a_link_survives_and_leads_where_it_led():
    files = VirtualFiles()
    files.put("/logs/a", "1")
    files.symlink("logs/a", "/current")
    with pytest.raises(FileExistsError):
        files.symlink("b", "/current")
    after = files.crash()
    assert after.content("/current") == b"1"
    assert after.realpath("/current") == "/logs/a"
    assert after.paths() == ["/logs/a"]
    after.rename("/logs/a", "/logs/b")
    assert after.lexists("/current")
    with pytest.raises(FileNotFoundError):
        after.stat("/current")


FAILING: dict[str, Callable[[Files], Any]] = {
    "open": lambda files: files.open("missing", os.O_RDONLY),
    "remove": lambda files: files.remove("missing"),
    "rename": lambda files: files.rename("missing", "log"),
    "fsync": lambda files: files.fsync(-1),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("call", FAILING)
def test_a_process_dies_in_a_call_that_fails_too(call, seed):
    harness = started(Kill(point="file", event=call, nth=1 + (call == "open")), seed=seed)
    with pytest.raises(ProcessCrashed):
        results(harness, lambda files, _: FAILING[call](files))
    assert harness.next_life([Calls()]).files.content("log") == b"one\n"
