"""The stock components on files in memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.fakes import FakeDaemon
from zenactors.components import FileTailer, JsonLinesWriter, Lines, RawWriter
from zenactors.core.component import set_clock
from zenactors.errors import ZenDaemonComponentException
from zenactors.testing.files import VirtualFiles


def fake_daemon() -> Any:  # Any: it has only the members that these components use
    return FakeDaemon()


class Tail:
    """A tailer on files in memory, driven by hand."""

    def __init__(self, files: VirtualFiles, *patterns: str, **options: Any) -> None:
        self.daemon = fake_daemon()
        options = {"start": "beginning", "rotate_wait": 0.5, "long_lines": "split", **options}
        self.tailer = FileTailer(patterns=list(patterns), **options)
        self.tailer.files = files
        set_clock(self.tailer, self.daemon.clock)
        self.tailer.setup(self.daemon)

    def text(self, times: int = 1) -> bytes:
        self.daemon.poll(self.tailer, times)
        return b"".join(lines.data for lines in self.daemon.take())

    def count(self, key: str) -> int:
        return int(self.tailer.statistics_cur.get(key, 0))


@pytest.fixture
def files():
    return VirtualFiles()


def test_a_tailer_follows_a_file_in_memory(files):
    tail = Tail(files, "/log/a.log")
    assert tail.text(2) == b""
    files.append("/log/a.log", "one\ntw")
    assert tail.text() == b"one\n"
    files.append("/log/a.log", "o\n" + "x" * 200_000 + "\n")
    assert tail.text() == b"two\n" + b"x" * 200_000 + b"\n"

    tail.tailer.teardown(tail.daemon)
    assert files.open_descriptors() == []


def test_a_tailer_reads_a_renamed_file_to_its_end_and_then_the_new_one(files):
    files.put("/log/a.log", b"one\n")
    tail = Tail(files, "/log/a.log")
    assert tail.text() == b"one\n"
    files.rename("/log/a.log", "/log/a.log.1")
    files.append("/log/a.log.1", b"last\n")
    files.put("/log/a.log", b"first\n")

    assert tail.text(3) == b"last\nfirst\n"
    assert tail.count("rotated") == 1
    assert [path for _, path in files.open_descriptors()] == ["/log/a.log"]


def test_a_tailer_follows_a_rename_within_its_pattern(files):
    files.put("/log/a.log", b"one\n")
    tail = Tail(files, "/log/**/*.log")
    assert tail.text() == b"one\n"
    files.mkdir("/log/old")
    files.rename("/log/a.log", "/log/old/b.log")
    files.append("/log/old/b.log", b"two\n")

    assert tail.text(2) == b"two\n"
    assert tail.tailer.get_state()["files"][0]["at"] == "/log/old/b.log"


def test_a_tailer_begins_again_after_truncation(files):
    files.put("/log/a.log", b"one\ntwo\n")
    tail = Tail(files, "/log/a.log")
    assert tail.text() == b"one\ntwo\n"
    files.truncate("/log/a.log")
    files.append("/log/a.log", b"new\n")

    assert tail.text(2) == b"new\n"
    assert tail.count("truncated") == 1


def test_a_tailer_reads_a_deleted_file_to_its_end_and_lets_it_go(files):
    files.put("/log/a.log", b"one\n")
    tail = Tail(files, "/log/a.log")
    files.append("/log/a.log", b"last")
    files.remove("/log/a.log")

    assert tail.text(4) == b"one\nlast"
    assert tail.count("vanished") == 1
    assert files.open_descriptors() == []
    files.put("/log/a.log", b"again\n")
    assert tail.text(2) == b"again\n"


def test_a_tailer_does_not_read_the_output_of_what_it_feeds(files):
    files.put("/log/a.log", b"one\n")
    files.put("/log/out.log", b"never\n")

    assert Tail(files, "/log/*.log", exclude=["/log/out.log", "-"]).text(3) == b"one\n"


def written(files: VirtualFiles, writer: Any, *events: Any) -> None:
    daemon = fake_daemon()
    writer.files = files
    writer.setup(daemon)
    for event in events:
        writer.cbk_event_lines(daemon, event)
    writer.teardown(daemon)
    assert files.open_descriptors() == []


def test_a_writer_appends_or_begins_again(files):
    files.put("/out", b"old\n")
    written(files, RawWriter(path="/out"), Lines("f", 0, b"a\nb\n"), Lines("f", 4, b"c\n"))
    assert files.content("/out") == b"old\na\nb\nc\n"
    written(files, JsonLinesWriter(path="/out", append=False), [{"a": 1}])
    assert files.content("/out") == b'{"a":1}\n'


def test_a_writer_goes_on_in_the_file_it_opened_after_a_rename(files):
    daemon = fake_daemon()
    writer = RawWriter(path="/out")
    writer.files = files
    writer.setup(daemon)
    writer.cbk_event_lines(daemon, Lines("f", 0, b"a\n"))
    files.rename("/out", "/out.1")
    writer.cbk_event_lines(daemon, Lines("f", 2, b"b\n"))
    assert files.paths() == ["/out.1"]
    files.truncate("/out.1")
    writer.cbk_event_lines(daemon, Lines("f", 4, b"c\n"))

    assert files.content("/out.1") == b"c\n"


def test_a_writer_to_standard_output_is_heard(files, capfd):
    written(files, RawWriter(), Lines("f", 0, b"a\n"))
    written(files, JsonLinesWriter(path="-"), [{"a": 1}])

    assert files.standard_output == b'a\n{"a":1}\n'
    assert capfd.readouterr().out == ""


def test_a_missing_directory_is_reported_as_on_the_disk(files):
    with pytest.raises(ZenDaemonComponentException, match="Create the directory /no/such first"):
        written(files, RawWriter(path="/no/such/out"))


def test_a_writer_on_a_copy_leaves_the_real_file_alone(from_disk, tmp_path):
    real = tmp_path / "out"
    real.write_bytes(b"old\n")
    written(from_disk, RawWriter(path=str(real)), Lines("f", 0, b"a\n"))

    assert from_disk.content(str(real)) == b"old\na\n"
    assert real.read_bytes() == b"old\n"
