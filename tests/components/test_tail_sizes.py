"""Files whose sizes lie: those of /proc and /sys, sparse ones, and those that shrink."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.components import FileTailer
from zenactors.components._files import SystemFiles
from zenactors.errors import EXIT_NO_INPUT
from zenactors.testing import Harness

PAGE = 4_096  # bytes: the size of each file in /sys


class Sizes(SystemFiles):
    """The disk, on which files have another size than their content, and reads are counted."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.reads = 0

    def _seen(self, found: os.stat_result, name: str) -> os.stat_result:
        size = self.sizes.get(name, found.st_size)
        return os.stat_result((*found[: stat.ST_SIZE], size, *found[stat.ST_SIZE + 1 :]))

    def stat(self, path: str) -> os.stat_result:  # type: ignore[override]
        return self._seen(Path(path).stat(), Path(path).stem)

    def fstat(self, fd: int) -> os.stat_result:
        return self._seen(os.fstat(fd), Path(f"/proc/self/fd/{fd}").readlink().stem)

    def read(self, fd: int, size: int) -> bytes:
        self.reads += 1
        return os.read(fd, size)


class Sink(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__()
        self.text = b""

    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        self.text += args.data


def tailer_of(path: str, files: Sizes | None = None) -> FileTailer:
    tailer = FileTailer(patterns=[path], start="beginning")
    if files is not None:
        tailer.files = files
    return tailer


def harness_of(tailer: FileTailer, sink: Sink, *, exit_when_idle: bool) -> Harness:
    return Harness([tailer, sink], exit_when_idle=exit_when_idle)


def test_a_file_with_less_than_its_size_is_read_once_and_is_no_reason_to_wait(tmp_path) -> None:
    (tmp_path / "page.log").write_text("always [never]\n")
    sink, files = Sink(), Sizes(page=PAGE)
    tailer = tailer_of(str(tmp_path / "*.log"), files)
    with harness_of(tailer, sink, exit_when_idle=True) as harness:
        harness.run(10.0)
        assert harness.now < 1.0
    assert sink.text == b"always [never]\n"
    assert files.reads < 10


def test_a_file_with_less_than_its_size_is_looked_at_once_a_poll(tmp_path) -> None:
    page = tmp_path / "page.log"
    page.write_text("one\n")
    sink, files = Sink(), Sizes(page=PAGE)
    with harness_of(tailer_of(str(page), files), sink, exit_when_idle=False) as harness:
        harness.advance(10.0)
        assert files.reads < 2 * 10 / 0.25
        with page.open("a") as file:
            file.write("two\n")
        harness.advance(1.0)
    assert sink.text == b"one\ntwo\n"


def test_a_file_that_has_shrunk_to_nothing_and_grown_again_is_read_again(tmp_path) -> None:
    page = tmp_path / "a.log"
    page.write_text("one\n")
    sink = Sink()
    tailer = FileTailer(patterns=[str(page)], start="beginning")
    with Harness([tailer, sink]) as harness:
        harness.advance(1.0)
        page.write_text("")
        harness.advance(1.0)
        page.write_text("two\n")
        harness.advance(1.0)
    assert sink.text == b"one\ntwo\n"


def test_a_file_without_a_size_is_named_once_and_not_read_for_ever() -> None:
    sink = Sink()
    tailer = FileTailer(patterns=["/proc/version", "/proc/versio[n]"], start="beginning")
    with harness_of(tailer, sink, exit_when_idle=True) as harness:
        harness.run(10.0)
        told = [each.message for each in harness.logs if "Not reading" in each.message]
        assert harness.daemon.status == EXIT_NO_INPUT
    assert told == [
        "Not reading /proc/version: its size is 0 although it has content, as in /proc, so it"
        " cannot be followed. Leave it out"
    ]
    assert sink.text == b""


def test_an_empty_file_is_no_such_file(tmp_path) -> None:
    (tmp_path / "a.log").touch()
    sink = Sink()
    tailer = FileTailer(patterns=[str(tmp_path / "a.log")])
    with Harness([tailer, sink]) as harness:
        harness.advance(1.0)
        (tmp_path / "a.log").write_text("one\n")
        harness.advance(1.0)
        assert [each.message for each in harness.logs if "Not reading" in each.message] == []
    assert sink.text == b"one\n"


def test_a_hole_is_read_in_pieces(tmp_path) -> None:
    class Counter(ZenDaemonComponent):
        longest = size = 0

        @handles("lines")
        def cbk_event_lines(self, daemon, args):
            self.longest = max(self.longest, len(args.data))
            self.size += len(args.data)

    with (tmp_path / "sparse.log").open("wb") as file:
        file.truncate(40 << 20)
    counter = Counter()
    tailer = FileTailer(
        patterns=[str(tmp_path / "sparse.log")],
        start="beginning",
        max_line_bytes=1 << 20,
        long_lines="split",
    )
    with Dispatcher([tailer, counter], exit_when_idle=True) as dispatcher:
        dispatcher.wait_for_end(60.0)
    assert (counter.size, counter.longest) == (40 << 20, 1 << 20)
