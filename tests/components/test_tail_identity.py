"""Files are told apart by inode and content, also if they changed while no tailer ran."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.running import LIMIT
from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.components import FileTailer, Lines
from zenactors.components._files import SystemFiles

from .tail_scene import Scene

SIZES = [1, 2, 50, 63, 64, 65, 300, 1_023, 1_024, 1_025, 5_000]


def content(size: int, character: bytes) -> bytes:
    """Return lines of so many bytes in all."""
    return (character * 29 + b"\n") * (size // 30) + b"\n" * (size % 30)


@pytest.mark.parametrize("more", [0, 1, 3_000])
@pytest.mark.parametrize("size", SIZES)
def test_another_content_of_any_size_is_read_from_its_beginning(size: int, more: int) -> None:
    with Scene(state=True) as scene:
        scene.files.put("/log/a.log", content(size, b"a"))
        scene.advance(2.0)
        scene.stop()
        scene.take()
        new = b"b" + content(size + more, b"c")[1:]
        scene.files.put("/log/a.log", new)  # the same inode
        scene.start_again()
        scene.advance(2.0)
        assert scene.text() == (new if new.endswith(b"\n") else b"")
        if new != b"b":
            assert scene.statistic("truncated") == 1


@pytest.mark.parametrize("at", [0, 1_000, 4_950, 4_998])
def test_one_other_byte_at_the_beginning_or_before_the_offset_is_another_content(at: int) -> None:
    with Scene(state=True) as scene:
        old = content(5_000, b"a")
        scene.files.put("/log/a.log", old)
        scene.advance(2.0)
        scene.stop()
        scene.take()
        new = old[:at] + b"b" + old[at + 1 :] + b"more\n"
        scene.files.put("/log/a.log", new)
        scene.start_again()
        scene.advance(2.0)
        assert scene.text() == new


@pytest.mark.parametrize("size", [0, *SIZES])
def test_a_file_of_any_size_that_has_grown_goes_on(size: int) -> None:
    with Scene(state=True) as scene:
        scene.files.put("/log/a.log", content(size, b"a"))
        scene.advance(2.0)
        scene.stop()
        scene.take()
        scene.files.append("/log/a.log", content(400, b"c"))
        scene.start_again()
        scene.advance(2.0)
        assert scene.text() == content(400, b"c")
        assert scene.statistic("truncated") == 0


@pytest.mark.parametrize("size", [30, 300, 3_000])
def test_files_with_equal_contents_are_two_files(size: int) -> None:
    with Scene("/log/*.log", state=True) as scene:
        for name in ("a", "b"):
            scene.files.put(f"/log/{name}.log", content(size, b"a"))
        scene.advance(15.0)
        assert scene.text() == 2 * content(size, b"a")
        scene.stop()
        for name in ("a", "b"):
            scene.files.append(f"/log/{name}.log", f"{name}\n")
        scene.start_again()
        scene.advance(15.0)
        assert sorted(scene.text().split()) == [b"a", b"b"]


def test_a_copy_that_was_made_while_no_tailer_ran_has_the_lines_that_were_not_read() -> None:
    with Scene(state=True) as scene:
        scene.files.put("/log/a.log", content(900, b"a"))
        scene.advance(2.0)
        scene.stop()
        scene.take()
        scene.files.append("/log/a.log", "last\n")
        scene.files.put("/log/a.log.1", scene.files.content("/log/a.log"))
        scene.files.put("/log/a.log", "new\n")
        scene.start_again()
        scene.advance(20.0)
        assert scene.text() == b"last\nnew\n"


def test_a_file_that_was_rotated_several_times_while_no_tailer_ran_is_read_in_order() -> None:
    with Scene(state=True) as scene:
        scene.files.put("/log/a.log", "0\n")
        scene.advance(2.0)
        scene.stop()
        for number in range(1, 5):
            scene.files.append("/log/a.log", f"{number}\n")
            scene.clock.advance(1.0)
            for old in range(number - 1, 0, -1):
                scene.files.rename(f"/log/a.log.{old}", f"/log/a.log.{old + 1}")
            scene.files.rename("/log/a.log", "/log/a.log.1")
            scene.files.put("/log/a.log", f"file {number}\n")
        scene.start_again()
        scene.advance(5.0)
        expected = [b"0", *(line for n in range(1, 5) for line in (b"%d" % n, b"file %d" % n))]
        assert scene.text().splitlines() == expected


@pytest.mark.parametrize("state", [False, True])
def test_what_was_compressed_after_it_was_read_is_not_read_again(*, state: bool) -> None:
    with Scene("/log/a.log*", state=state, rotate_wait=1.0) as scene:
        scene.files.put("/log/a.log", content(3_000, b"a"))
        scene.advance(2.0)
        scene.files.rename("/log/a.log", "/log/a.log.1")
        scene.files.put("/log/a.log", "new\n")
        scene.advance(5.0)
        if state:
            scene.stop()
        packed = gzip.compress(scene.files.content("/log/a.log.1"))
        scene.files.put("/log/a.log.1.gz", packed)
        scene.files.put("/log/a.log.2", packed)  # the name does not tell
        scene.files.remove("/log/a.log.1")
        if state:
            scene.start_again()
        scene.advance(15.0)
        assert scene.text() == content(3_000, b"a") + b"new\n"
        assert scene.statistic("compressed") == 2


class Hanging(SystemFiles):
    """A server that does not answer for one file."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self.answers = threading.Event()
        self.asked = threading.Event()

    def is_network(self, path: str) -> bool:
        return path.startswith(self.directory)

    def stat(self, path: str) -> Any:  # type: ignore[override]
        if path == f"{self.directory}/dead.log":
            self.asked.set()
            self.answers.wait(LIMIT)
        return SystemFiles.stat(path)


class Names(ZenDaemonComponent):
    """Counts the lines of each file."""

    def __init__(self) -> None:
        super().__init__()
        self.came: dict[str, threading.Semaphore] = {
            name: threading.Semaphore(0) for name in ("dead", "live", "local")
        }

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Lines) -> None:
        for _ in args.lines():
            self.came[Path(args.path).stem].release()


def test_a_file_whose_server_does_not_answer_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    paths = {
        "dead": tmp_path / "net" / "dead.log",
        "live": tmp_path / "net" / "live.log",
        "local": tmp_path / "local.log",
    }
    for path in paths.values():
        path.write_text("one\n")
    files, names = Hanging(tmp_path / "net"), Names()
    tailer = FileTailer(patterns=[str(path) for path in paths.values()], start="beginning")
    tailer.files = files
    with Dispatcher([tailer, names]) as dispatcher:
        try:
            assert files.asked.wait(LIMIT)
            for _ in range(3):
                for name in ("live", "local"):
                    assert names.came[name].acquire(timeout=LIMIT)
                    with paths[name].open("a") as file:
                        file.write("more\n")
            assert not names.came["dead"].acquire(blocking=False)
        finally:
            files.answers.set()
        assert names.came["dead"].acquire(timeout=LIMIT)
        assert dispatcher.ended_by is None


@pytest.mark.parametrize("stopped", [False, True])
def test_two_files_that_swap_their_names_are_both_read_on(*, stopped: bool) -> None:
    with Scene("/log/*.log", state=True) as scene:
        for name in ("a", "b"):
            scene.files.put(f"/log/{name}.log", f"{name}\n")
        scene.advance(2.0)
        if stopped:
            scene.stop()
        scene.take()
        scene.files.rename("/log/a.log", "/log/c")
        scene.files.rename("/log/b.log", "/log/a.log")
        scene.files.rename("/log/c", "/log/b.log")
        for name in ("a", "b"):
            scene.files.append(f"/log/{name}.log", f"more {name}\n")
        if stopped:
            scene.start_again()
        scene.advance(5.0)
        assert sorted(scene.text().splitlines()) == [b"more a", b"more b"]
