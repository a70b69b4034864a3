"""Thousands of files: few descriptors and threads, little memory and time."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import LIMIT
from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.components import FileTailer, Lines
from zenactors.components._files import SYSTEM_FILES
from zenactors.components.tail.file_set import MOST_IDLE_OPEN
from zenactors.components.tail.identity import Identities
from zenactors.components.tail.rotation import rotated_files

from .tail_scene import Scene
from .tailing import open_handles

FEW = 2_000
MANY = 10_000
ACTIVE = 100
PAGE = os.sysconf("SC_PAGE_SIZE")


class Sink(ZenDaemonComponent):
    """Counts lines, and notes when each marked line came."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.expected = 0
        self.late: list[float] = []
        self.reached = threading.Event()
        self.marked = threading.Semaphore(0)
        self.passed = threading.Event()

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Lines) -> None:
        self.lines += len(args)
        now = time.monotonic()
        for text in args.texts():
            if text.startswith("at "):
                self.late.append(now - float(text[3:]))
                self.marked.release()
        if self.lines >= self.expected:
            self.reached.set()

    @handles("wait")
    def cbk_event_wait(self, daemon: Any, seconds: float) -> None:
        daemon.io.call_later(seconds, lambda _: self.passed.set())


def rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def make_files(directory: Path, count: int) -> list[Path]:
    paths = [directory / f"{number:05d}.log" for number in range(count)]
    for path in paths:
        path.write_text(f"one line of {path.name}\n")
    return paths


def mark(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"at {time.monotonic()!r}\n")


@pytest.fixture
def usual_limit() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY + ACTIVE, marks=pytest.mark.slow)], ids=str
)
def test_many_files_take_few_descriptors_and_threads_and_little_memory(
    count: int, tmp_path: Path, usual_limit: int
) -> None:
    paths = make_files(tmp_path, count)
    handles_before, rss_before, threads_before = open_handles(), rss(), threading.active_count()
    sink = Sink()
    sink.expected = count
    tailer = FileTailer(patterns=[str(tmp_path / "*.log")], start="beginning")
    with Dispatcher([tailer, sink]):
        assert sink.reached.wait(LIMIT)
        assert open_handles() - handles_before <= usual_limit // 2 + 20  # and those of the engine
        assert threading.active_count() - threads_before <= 4
        for path in paths[:: count // ACTIVE]:
            mark(path)
            assert sink.marked.acquire(timeout=LIMIT)
        (tmp_path / "new.log").touch()
        mark(tmp_path / "new.log")
        assert sink.marked.acquire(timeout=LIMIT)
        assert rss() - rss_before < 200 << 20
    assert sorted(sink.late)[len(sink.late) * 99 // 100 - 1] <= 1.0


def test_after_a_while_idle_files_are_closed() -> None:
    with Scene("/log/*.log") as scene:
        for number in range(300):
            scene.files.put(f"/log/{number}.log", "one\n")
        scene.advance(5.0)
        assert len(scene.files.open_descriptors()) > 2 * MOST_IDLE_OPEN
        for _ in range(20):
            for number in range(10):
                scene.files.append(f"/log/{number}.log", "more\n")
            scene.advance(1.0)
        assert len(scene.files.open_descriptors()) <= MOST_IDLE_OPEN + 10
        opened = {path for _, path in scene.files.open_descriptors()}
        assert {f"/log/{number}.log" for number in range(10)} <= opened


def test_the_search_counts_among_the_costs_of_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene("/log/*.log", notifications=False)
    searches = 0

    def search(*args: Any) -> list[str]:
        nonlocal searches
        searches += 1
        return []

    # Each search takes 0.1 s of the processor.
    monkeypatch.setattr(scene.clock, "cpu_time", lambda: searches * 0.1, raising=False)
    monkeypatch.setattr(scene.files, "glob", search)
    with scene:
        scene.advance(100.0)
    assert 20 <= searches <= 45


@pytest.mark.slow
@pytest.mark.parametrize("notifications", [True, False])
def test_ten_thousand_idle_files_take_a_twentieth_of_a_core(
    tmp_path: Path, *, notifications: bool
) -> None:
    count, seconds = MANY + ACTIVE, 20.0
    paths = make_files(tmp_path, count)
    handles_before = open_handles()
    sink = Sink()
    sink.expected = count
    tailer = FileTailer(
        patterns=[str(tmp_path / "*.log")], start="beginning", notifications=notifications
    )
    with Dispatcher([tailer, sink]) as dispatcher:
        assert sink.reached.wait(LIMIT)
        for _ in range(2):  # in the first one it comes to rest
            begun = time.process_time()
            sink.passed.clear()
            dispatcher.queue.schedule("wait", seconds)
            assert sink.passed.wait(LIMIT)
            share = (time.process_time() - begun) / seconds
        assert share <= 0.06  # 5 %, if nothing else runs
        assert open_handles() - handles_before <= MOST_IDLE_OPEN + 20
        for path in paths[:: ACTIVE if notifications else 10 * ACTIVE]:
            mark(path)
            assert sink.marked.acquire(timeout=LIMIT)
    assert sorted(sink.late)[len(sink.late) * 99 // 100 - 1] <= (1.0 if notifications else 11.0)
    print(f"{share:.1%} of a core, {max(sink.late):.3f} s")  # noqa: T201 - for the record


def test_the_names_of_other_files_cost_little(tmp_path):
    for path in make_files(tmp_path, FEW):
        path.touch()
    (tmp_path / "app.log.1").touch()
    log, system = str(tmp_path / "app.log"), SYSTEM_FILES
    identities = Identities(system)

    def seconds(look: Any) -> float:
        times = []
        for _ in range(5):
            begin = time.process_time()
            look()
            times.append(time.process_time() - begin)
        return min(times)

    (found,) = rotated_files(log, system, identities)
    assert found.path == f"{log}.1"
    # A rotation of all files of a directory looks at all names for each of them.
    listing = seconds(lambda: system.entries(str(tmp_path)))
    assert seconds(lambda: list(rotated_files(log, system, identities))) < 3 * listing
