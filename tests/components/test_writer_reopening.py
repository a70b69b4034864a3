"""Writers whose file is renamed or deleted while they write."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from zenactors import ZenDaemon
from zenactors.components import JsonLinesWriter, Lines, RawWriter
from zenactors.testing import Harness, VirtualFiles

from .fakes import FakeDaemon

DAEMON: Any = FakeDaemon()


def raw(data: bytes) -> Lines:
    return Lines("in", 0, data)


class RefusingFiles(VirtualFiles):
    """Files of which no more can be opened for writing while `refusal` is set."""

    refusal: int | None = None
    opened = 0

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        self.opened += 1
        if self.refusal is not None and flags & os.O_WRONLY:
            raise OSError(self.refusal, os.strerror(self.refusal), path)
        return super().open(path, flags, mode)


class Output:
    """A writer to `/d/out` in memory."""

    def __init__(self, **options: Any) -> None:
        self.files = RefusingFiles()
        self.files.mkdir("/d")
        self.writer = RawWriter(path="/d/out", **options)
        self.writer.files = self.files
        self.writer.setup(DAEMON)

    def write(self, data: bytes) -> None:
        self.writer.cbk_event_lines(DAEMON, raw(data))

    def hang_up(self) -> None:
        assert self.writer.cbk_event_signal_hup(DAEMON, None) is None

    def content(self, *names: str) -> list[bytes]:
        return [self.files.content(f"/d/{name}") for name in names]


@pytest.fixture
def output() -> Iterator[Output]:
    made = Output()
    yield made
    made.writer.teardown(DAEMON)
    assert made.files.open_descriptors() == []


def test_a_renamed_file_is_written_to_until_the_signal(output):
    output.write(b"a\n")
    output.files.rename("/d/out", "/d/out.1")
    output.write(b"b\n")
    output.hang_up()
    output.write(b"c\n")

    assert output.content("out.1", "out") == [b"a\nb\n", b"c\n"]
    assert output.writer.statistics_cur["reopened"] == 1


def test_a_deleted_file_is_made_anew_at_the_signal(output):
    output.write(b"a\n")
    output.files.remove("/d/out")
    output.hang_up()
    output.write(b"b\n")

    assert output.content("out") == [b"b\n"]


def test_a_file_in_place_is_not_opened_again(output, logged):
    output.write(b"a\n")
    before = output.files.opened
    output.hang_up()

    assert output.files.opened == before
    assert output.writer.statistics_cur == {"lines": 1, "bytes": 2}
    assert logged.records == []


def test_a_new_file_is_not_truncated_even_without_append():
    output = Output(append=False)
    output.files.rename("/d/out", "/d/out.1")
    output.files.put("/d/out", b"theirs\n")
    output.hang_up()
    output.write(b"a\n")

    assert output.content("out") == [b"theirs\na\n"]


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EACCES, errno.EMFILE])
def test_the_old_file_is_used_until_a_new_one_can_be_opened(output, logged, error):
    output.files.rename("/d/out", "/d/out.1")
    output.files.refusal = error
    for data in (b"a\n", b"b\n", b"c\n"):
        output.write(data)
        output.hang_up()
    assert output.content("out.1") == [b"a\nb\nc\n"]
    (warning,) = logged.of("WARNING")
    assert "/d/out" in warning
    assert os.strerror(error) in warning

    output.files.refusal = None
    output.hang_up()
    output.write(b"d\n")
    assert output.content("out.1", "out") == [b"a\nb\nc\n", b"d\n"]

    output.files.rename("/d/out", "/d/out.2")
    output.files.refusal = error
    output.hang_up()
    assert len(logged.of("WARNING")) == 2
    output.files.refusal = None


def test_a_named_pipe_at_the_path_that_has_no_reader_is_not_waited_for(tmp_path, logged):
    writer = RawWriter(path=str(tmp_path / "out"))
    writer.setup(DAEMON)
    (tmp_path / "out").rename(tmp_path / "old")
    os.mkfifo(tmp_path / "out")
    writer.cbk_event_signal_hup(DAEMON, None)
    writer.cbk_event_lines(DAEMON, raw(b"a\n"))
    writer.teardown(DAEMON)

    assert (tmp_path / "old").read_bytes() == b"a\n"
    assert "Start the reader of this pipe first" in logged.of("WARNING")[0]


def test_standard_output_is_left_alone_at_the_signal(capfd):
    writer = RawWriter()
    writer.setup(DAEMON)
    writer.cbk_event_signal_hup(DAEMON, None)
    writer.cbk_event_lines(DAEMON, raw(b"a\n"))
    writer.teardown(DAEMON)

    assert capfd.readouterr().out == "a\n"


def test_the_end_of_a_file_that_was_put_there_is_repaired():
    files = VirtualFiles()
    writer = JsonLinesWriter(path="/out")
    writer.files = files
    writer.setup(DAEMON)
    files.remove("/out")
    files.put("/out", b'{"a":1}\n{"b')
    writer.cbk_event_signal_hup(DAEMON, None)
    writer.cbk_event_lines(DAEMON, [{"c": 2}])

    assert files.content("/out") == b'{"a":1}\n{"c":2}\n'


def test_a_real_file_is_opened_anew(tmp_path):
    writer = JsonLinesWriter(path=str(tmp_path / "out"))
    writer.setup(DAEMON)
    writer.cbk_event_lines(DAEMON, [{"n": 1}])
    (tmp_path / "out").rename(tmp_path / "out.1")
    (tmp_path / "out").touch()
    writer.cbk_event_signal_hup(DAEMON, None)
    writer.cbk_event_lines(DAEMON, [{"n": 2}])
    writer.teardown(DAEMON)

    assert (tmp_path / "out.1").read_bytes() == b'{"n":1}\n'
    assert (tmp_path / "out").read_bytes() == b'{"n":2}\n'


def test_a_daemon_passes_the_signal_to_its_writer():
    files = VirtualFiles()
    daemon = ZenDaemon(
        name="d",
        components=[RawWriter(path="/out")],
        schedule_after=[(60.0, "lines", raw(b"b\n"))],
    )
    with Harness(daemon, files=files) as harness:
        files.rename("/out", "/out.1")
        harness.signal(signal.SIGHUP)
        harness.advance(70.0)

    assert files.content("/out.1") == b""
    assert files.content("/out") == b"b\n"


# -- by itself -------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [0, -1.0, True, "5", float("nan")])
def test_an_interval_that_is_no_number_above_0_is_refused(interval):
    with pytest.raises(ValueError, match="reopen_interval is"):
        RawWriter(reopen_interval=interval)


@pytest.fixture
def watching() -> Iterator[Harness]:
    writer = RawWriter(path="/out", reopen_interval=5.0)
    with Harness([writer], files=VirtualFiles()) as harness:
        yield harness


def write(harness: Harness, data: bytes) -> None:
    harness.queue.schedule("lines", raw(data))
    harness.run_until_idle()


def test_a_writer_notices_after_its_interval(watching):
    write(watching, b"a\n")
    watching.files.rename("/out", "/out.1")
    write(watching, b"b\n")
    watching.advance(4.9)
    write(watching, b"c\n")
    watching.advance(0.2)
    assert watching.files.content("/out") == b""  # the old file is closed without a write, too
    write(watching, b"d\n")

    assert watching.files.content("/out.1") == b"a\nb\nc\n"
    assert watching.files.content("/out") == b"d\n"


def test_the_first_write_after_a_pause_notices_at_once(watching):
    write(watching, b"a\n")
    watching.advance(60.0)
    watching.files.rename("/out", "/out.1")
    write(watching, b"b\n")

    assert watching.files.content("/out.1") == b"a\n"
    assert watching.files.content("/out") == b"b\n"


def test_an_idle_writer_does_not_look(watching):
    write(watching, b"a\n")
    watching.advance(60.0)
    watching.files.remove("/out")
    watching.advance(60.0)

    assert watching.files.paths() == []


def test_a_daemon_that_exits_when_idle_is_not_kept_by_the_interval():
    writer = RawWriter(path="/out", reopen_interval=5.0)
    with Harness([writer], files=VirtualFiles(), exit_when_idle=True) as harness:
        write(harness, b"a\n")
        harness.files.rename("/out", "/out.1")
        write(harness, b"b\n")
        assert harness.now == 0.0
        assert harness.files.content("/out") == b"b\n"


def test_a_teardown_ends_the_wait():
    output = Output(reopen_interval=5.0)
    daemon: Any = FakeDaemon()
    daemon.io.call_later = daemon.io.call_every
    output.writer.cbk_event_lines(daemon, raw(b"a\n"))
    assert len(daemon.io.active) == 1
    output.writer.teardown(daemon)
    assert daemon.io.active == []


def test_between_two_looks_a_write_is_one_call():
    output = Output(reopen_interval=5.0)
    daemon: Any = FakeDaemon()
    daemon.io.call_later = daemon.io.call_every
    calls: list[tuple[str, int]] = []
    looks: list[str] = []
    stat = output.files.stat
    output.files.stat = lambda path: looks.append(path) or stat(path)  # type: ignore[func-returns-value, method-assign]

    def called(call: str, size: int) -> tuple[int, bool]:
        if call == "write":
            calls.append((call, size))
        return size, False

    output.files.observe(called, list)
    for _ in range(3):
        output.writer.cbk_event_lines(daemon, raw(b"x" * (1 << 20)))

    assert calls == [("write", 1 << 20)] * 3
    assert looks == ["/d/out"]
