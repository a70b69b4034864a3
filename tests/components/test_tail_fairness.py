"""Slow files beside a fast one, and sinks that are slow or blocked."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.running import LIMIT
from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.components import FileTailer, Lines
from zenactors.core.clock import Deadline, SystemClock
from zenactors.testing import Probe

from .tail_scene import Scene

SLACK = 2.0  # seconds beyond the time-out of a stop, in which what is stuck is left behind
SLOW = 99
SPEED = 1 << 20  # bytes a second that the slow sink takes
LINE = b"x" * 99 + b"\n"


def is_slow(lines: Lines) -> bool:
    return "slow" in lines.path


def p99(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


def test_slow_files_do_not_wait_behind_a_firehose_in_virtual_time() -> None:
    scene = Scene("/log/*.log", cost=lambda lines: len(lines.data) / SPEED)
    written: dict[tuple[str, int], float] = {}
    with scene:
        for number in range(SLOW):
            scene.files.put(f"/log/slow{number}.log", "")
        scene.files.put("/log/hose.log", LINE * 100_000)
        for _ in range(100):  # 20 s: there is always more in the fast file than the sink takes
            scene.files.append("/log/hose.log", LINE * (SPEED // 400))
            for number in range(0, SLOW, 10):
                path = f"/log/slow{number}.log"
                written[path, scene.files.stat(path).st_size] = scene.now
                scene.files.append(path, "slow\n")
            scene.advance(0.2)
        late = [
            heard.when - written[heard.lines.path, offset]
            for heard in scene.heard
            if is_slow(heard.lines)
            for offset in heard.lines.offsets()
        ]
        hose = sum(len(each.lines.data) for each in scene.heard if not is_slow(each.lines))
    assert len(late) >= len(written) * 0.9
    assert p99(late) <= 1.0
    assert hose >= SPEED * 20 * 0.8  # and the sink was never idle


class Metered(ZenDaemonComponent):
    """A sink that takes so many bytes a second, and notes how late the slow lines come."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []
        self.round = threading.Semaphore(0)

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Lines) -> None:
        daemon.wait(len(args.data) / (20 * SPEED))
        if is_slow(args):
            now = self.clock.monotonic()
            for text in args.texts():
                self.late.append(now - float(text))
                self.round.release()


def test_slow_files_do_not_wait_behind_a_firehose_in_real_time(tmp_path: Path) -> None:
    hose = tmp_path / "hose.log"
    hose.write_bytes(LINE * 400_000)
    paths = [tmp_path / f"slow{number}.log" for number in range(SLOW)]
    for path in paths:
        path.touch()
    sink = Metered()
    tailer = FileTailer(patterns=[str(tmp_path / "*.log")], start="beginning")
    with Dispatcher([tailer, sink]):
        for _ in range(5):
            with hose.open("ab") as file:
                file.write(LINE * 40_000)
            for path in paths:
                with path.open("a") as file:
                    file.write(f"{time.monotonic()!r}\n")
            for _ in paths:
                assert sink.round.acquire(timeout=LIMIT)
        assert hose.stat().st_size > tailer.statistics_cur["bytes"]  # it was busy all the time
    assert p99(sink.late) <= 1.0


class Gate(ZenDaemonComponent):
    """A sink that is blocked until it is opened, or the daemon stops."""

    def __init__(self) -> None:
        super().__init__(name="gate")
        self.opened = threading.Event()
        self.reached = threading.Event()

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Lines) -> None:
        self.reached.set()
        self.opened.wait(LIMIT)


class Other(ZenDaemonComponent):
    """Another chain: a number that counts itself down."""

    def __init__(self) -> None:
        super().__init__(name="other")
        self.done = threading.Event()

    @handles("tick")
    def cbk_event_tick(self, daemon: Any, left: int) -> None:
        if left:
            daemon.queue.schedule("tick", left - 1)
        else:
            self.done.set()


def rss() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.parametrize(
    "size", [64 << 20, pytest.param(1 << 30, marks=pytest.mark.slow)], ids=["64MB", "1GB"]
)
def test_a_blocked_sink_bounds_memory_and_leaves_other_chains_alone(
    size: int, tmp_path: Path
) -> None:
    with (tmp_path / "a.log").open("wb") as file:
        file.truncate(size)
    gate, other = Gate(), Other()
    tailer = FileTailer(
        patterns=[str(tmp_path / "a.log")], start="beginning", long_lines="split", delimiter="\0"
    )
    before = rss()
    dispatcher = Dispatcher([tailer, gate, other])
    dispatcher.start()
    try:
        assert gate.reached.wait(LIMIT)
        dispatcher.queue.schedule("tick", 1_000)
        assert other.done.wait(LIMIT)
        # Whatever the tailer may still read, it has read after a few of its turns.
        for _ in range(20):
            other.done.clear()
            dispatcher.queue.schedule("tick", 100)
            assert other.done.wait(LIMIT)
        assert rss() - before < 64 << 20
        assert tailer.statistics_cur["bytes"] < 16 << 20
        deadline = Deadline(SystemClock(), 1.0 + SLACK)
        report = dispatcher.stop(timeout=1.0)
        assert not deadline.over()
        assert report.stuck == ("gate",)
    finally:
        gate.opened.set()
        dispatcher.stop(timeout=LIMIT)


def test_a_blocked_sink_holds_back_a_backlog_in_virtual_time() -> None:
    scene = Scene(cost=lambda lines: 60.0, more=lambda: [Probe("other")])
    scene.files.put("/log/a.log", LINE * 300_000)
    with scene:
        scene.advance(50.0)
        read, known = scene.tailer.progress()
        assert known == len(LINE) * 300_000
        assert read <= 5 << 20
        probe = scene.harness.component("probe")
        scene.harness.queue.schedule("other", 1)
        probe.expect("other", 1)
        begin = scene.now
        scene.stop()
        assert scene.now - begin <= 130.0  # two events of 60 s


def test_a_backlog_comes_in_large_events_however_soon_they_are_done():
    scene = Scene(cost=lambda lines: len(lines.data) / (128 << 20))
    with scene:
        scene.files.put("/log/a.log", (b"x" * 199 + b"\n") * 100_000)
        scene.advance(2.0)
        sizes = [len(lines.data) for lines in scene.take()]

    assert sum(sizes) == 20_000_000
    # If each event that has ended made room for another one, they would shrink to 64 KiB.
    assert sum(sizes) / len(sizes) >= 256 << 10
