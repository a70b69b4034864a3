"""`DirectoryQueueWriter`: batches become files that a `DirectoryQueue` takes."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from zenactors import Dispatcher
from zenactors.components import DirectoryQueue, DirectoryQueueWriter, Files, enqueue
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash, Harness, PowerFailure, Probe, ProcessCrashed, VirtualFiles


def written(files: VirtualFiles) -> list[list[Any]]:
    """Return the records of each file, by name."""
    names = [name for name in files.entries("q/incoming") if not name.startswith(".")]
    contents = [files.content(f"q/incoming/{name}").splitlines() for name in names]
    return [[json.loads(line)["n"] for line in lines] for lines in contents]


def send(harness: Harness, *numbers: int) -> None:
    for number in numbers:
        harness.queue.schedule("lines", [{"n": number}])


def test_each_batch_is_a_file_and_names_are_in_the_order_of_the_batches(zen_harness):
    files = VirtualFiles()
    harness = zen_harness([DirectoryQueueWriter(path="q", batch_count=2)], files=files)
    send(harness, *range(5))
    harness.advance(1)
    send(harness, 5)
    harness.advance(1)
    assert written(files) == [[0, 1], [2, 3], [4], [5]]


def test_a_queue_in_the_same_daemon_takes_them(zen_harness):
    files = VirtualFiles()
    writer = DirectoryQueueWriter(path="q", event_map={"lines": "fresh"})
    queue = DirectoryQueue(path="q", content="records")
    harness = zen_harness([writer, queue, probe := Probe("lines")], files=files)
    harness.queue.schedule("fresh", [{"text": "\ud800", "n": float("nan")}, {"n": 2}])
    harness.advance(2)
    assert probe.received == [("lines", [{"text": "\ud800", "n": None}, {"n": 2}])]


def test_a_full_disk_delays_the_batch_and_leaves_nothing_half_written(zen_harness):
    full = OSError(errno.ENOSPC, "No space left on device")
    faults = [Crash(point="file", event="write", nth=nth, error=full) for nth in (1, 2)]
    files = VirtualFiles()
    harness = zen_harness([DirectoryQueueWriter(path="q")], files=files, faults=faults)
    send(harness, 1)
    harness.advance(5)
    assert written(files) == [[1]]
    assert len(files.entries("q/incoming")) == 1
    assert harness.component("DirectoryQueueWriter").statistics_cur["retries"] == 2


def test_what_cannot_be_written_becomes_dead_letters(zen_harness):
    full = OSError(errno.ENOSPC, "No space left on device")
    faults = [Crash(point="file", event="write", chance=1.0, error=full)]
    writer = DirectoryQueueWriter(path="q", attempts=3)
    harness = zen_harness([writer], files=VirtualFiles(), faults=faults)
    send(harness, 1)
    harness.advance(60)
    (letter,) = harness.dead_letters()
    assert letter.cause is full


def test_what_is_done_survives_a_power_failure():
    for nth in range(1, 12):
        files = VirtualFiles()
        files.put("q/incoming/.directory")
        done: list[int] = []
        writer = DirectoryQueueWriter(path="q", batch_count=1)
        harness = Harness([writer], files=files, faults=[PowerFailure(point="file", nth=nth)])
        try:
            with harness:
                for number in range(3):
                    harness.queue.schedule("lines", [{"n": number}])
                    harness.advance(1)
                    done.append(number)
        except ProcessCrashed:
            harness = harness.next_life([DirectoryQueueWriter(path="q")])
        found = [each for each in written(harness.files) if each]
        assert [[number] for number in done] == found[: len(done)], nth


def test_a_directory_that_cannot_be_made_is_one_clear_line():
    files = VirtualFiles()
    files.put("q", "a file")
    harness = Harness([DirectoryQueueWriter(path="q")], files=files)
    with pytest.raises(ComponentStartError) as caught, harness:
        pass
    assert str(caught.value.__cause__).startswith("Cannot use q as a queue: Not a directory. ")


def test_on_a_real_disk(tmp_path):
    path = str(tmp_path / "q")
    with Dispatcher([DirectoryQueueWriter(path=path, batch_count=2)]) as dispatcher:
        for number in range(4):
            dispatcher.queue.schedule("lines", [{"n": number}])
        assert dispatcher.drain(30)
    contents = [each.read_text() for each in sorted((tmp_path / "q/incoming").iterdir())]
    assert contents == ['{"n":0}\n{"n":1}\n', '{"n":2}\n{"n":3}\n']


# --- enqueue --------------------------------------------------------------------------------


def test_enqueue_writes_a_file_that_only_its_owner_may_change(tmp_path):
    enqueue(tmp_path / "q", "a", b"1\n")
    (path,) = (tmp_path / "q/incoming").iterdir()
    assert path.read_bytes() == b"1\n"
    assert path.stat().st_mode & 0o777 & ~0o044 == 0o600


def test_enqueue_never_replaces_a_file():
    files = VirtualFiles()
    enqueue("q", "a", b"1\n", files=files)
    with pytest.raises(FileExistsError):
        enqueue("q", "a", b"2\n", files=files)
    assert files.entries("q/incoming").keys() == {"a"}
    assert files.content("q/incoming/a") == b"1\n"


@pytest.mark.parametrize("name", ["", ".hidden", "a.tmp", "a/b", "a\0b", "x" * 201, "é" * 101])
def test_enqueue_refuses_a_name_that_a_queue_cannot_have(name):
    with pytest.raises(ValueError, match=r"^name is "):
        enqueue("q", name, b"", files=VirtualFiles())


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename_exclusive"])
def test_enqueue_leaves_nothing_behind_when_it_fails(call):
    def fail(called: str, size: int) -> tuple[int, bool]:
        if called == call:
            raise OSError(errno.EIO, "Input/output error")
        return size, False

    files: Files = VirtualFiles()
    files.mkdir("q/incoming")
    assert isinstance(files, VirtualFiles)
    files.observe(fail, list)
    with pytest.raises(OSError, match="Input/output error"):
        enqueue("q", "a", b"1\n", files=files)
    assert files.entries("q/incoming") == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_power_failure_does_not_take_the_directories_that_it_has_made(seed):
    with Harness([DirectoryQueueWriter(path="new/q")], files={}, seed=seed) as harness:
        harness.queue.schedule("lines", [{"number": 1}])
        harness.advance(2)
        harness.kill(power_failure=True)
        files = harness.next_life([]).files
    assert len(files.entries("new/q/incoming")) == 1
