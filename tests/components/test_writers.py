from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import select
import sys
import threading
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zenactors.components import FileTailer, JsonLinesWriter, Lines, RawWriter
from zenactors.components._files import SYSTEM_FILES
from zenactors.components.tail.rotation import is_compressed
from zenactors.errors import EXIT_IO_ERROR, ZenDaemonComponentException

from .fakes import FakeDaemon

DAEMON: Any = FakeDaemon()
DEADLINE = 10.0  # seconds: far more than anything here takes


@pytest.fixture
def open_writer():
    writers = []

    def open_writer(cls, path=None, **options):
        writers.append(cls(path=None if path is None else str(path), **options))
        writers[-1].setup(DAEMON)
        return writers[-1]

    yield open_writer
    for writer in writers:
        writer.teardown(DAEMON)


def write(writer, args) -> None:
    assert writer.cbk_event_lines(DAEMON, args) is None


def fail_after(monkeypatch, budget: int, error: int) -> None:
    """Let the disk take `budget` bytes more and then fail."""
    real = SYSTEM_FILES.write

    def writing(fd, data):
        nonlocal budget
        if not budget:
            raise OSError(error, os.strerror(error))
        written = real(fd, bytes(data)[:budget])
        budget -= written
        return written

    monkeypatch.setattr(SYSTEM_FILES, "write", writing)


# -- what is written -------------------------------------------------------------------------


def test_records_become_compact_json_lines(open_writer, tmp_path):
    writer = open_writer(JsonLinesWriter, tmp_path / "out")
    write(writer, [{"a": 1, "b": "žluť"}, {"day": date(2024, 2, 29)}])
    write(writer, [])

    assert (tmp_path / "out").read_text("utf-8") == '{"a":1,"b":"žluť"}\n{"day":"2024-02-29"}\n'
    assert writer.statistics_cur == {
        "lines": 2,
        "bytes": (tmp_path / "out").stat().st_size,
    }


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"x": float("nan"), "y": [float("inf"), 1.5]}, {"x": None, "y": [None, 1.5]}),
        ({(1, 2): {3: "x"}}, {"(1, 2)": {"3": "x"}}),
        ({"x": "lone \ud800"}, {"x": "lone \ud800"}),
        ({"x": b"bytes"}, {"x": "b'bytes'"}),
        ({"x": "two\nlines"}, {"x": "two\nlines"}),
    ],
)
def test_a_record_that_json_cannot_hold_still_gives_one_valid_line(
    open_writer, tmp_path, record, expected
):
    write(open_writer(JsonLinesWriter, tmp_path / "out"), [record])

    text = (tmp_path / "out").read_text("utf-8")
    assert text.count("\n") == 1
    assert json.loads(text, parse_constant=pytest.fail) == expected


def test_lines_become_objects_with_their_source(open_writer, tmp_path):
    writer = open_writer(JsonLinesWriter, tmp_path / "out")
    write(writer, Lines("f", 10, b"one\n\xff\n"))
    write(writer, Lines("f", 16, b"pie", complete=False))

    assert [json.loads(line) for line in (tmp_path / "out").read_text("utf-8").splitlines()] == [
        {"file": "f", "offset": 10, "line": "one"},
        {"file": "f", "offset": 14, "line": "\ufffd"},
        {"file": "f", "offset": 16, "line": "pie", "partial": True},
    ]


def test_the_objects_of_lines_have_what_identifies_the_line(open_writer, tmp_path):
    writer = open_writer(JsonLinesWriter, tmp_path / "out")
    write(writer, Lines("f", 0, b"a\n", file_id="1-2", generation=3))
    write(writer, Lines("f", 2, b'"\n', complete=False, truncated=True, encoding="latin-1"))
    write(writer, Lines('f"', 4, b"\xe9\n", encoding="latin-1"))

    assert (tmp_path / "out").read_text("utf-8").splitlines() == [
        '{"file":"f","id":"1-2","generation":3,"offset":0,"line":"a"}',
        r'{"file":"f","offset":2,"line":"\"","partial":true,"truncated":true}',
        r'{"file":"f\"","offset":4,"line":"é"}',
    ]
    assert "bad_lines" not in writer.statistics_cur


def test_lines_that_cannot_be_decoded_are_counted(open_writer, tmp_path):
    writer = open_writer(JsonLinesWriter, tmp_path / "out")
    write(writer, Lines("f", 0, b"a\n\xff\nb\n\xfe"))

    assert writer.statistics_cur["bad_lines"] == 2
    assert writer.statistics_cur["lines"] == 4


def test_raw_data_is_written_as_it_is(open_writer, tmp_path):
    writer = open_writer(RawWriter, tmp_path / "out")
    write(writer, Lines("f", 0, b"\xff\r\n\x00\n"))
    write(writer, Lines("f", 5, b"rest", complete=False))

    assert (tmp_path / "out").read_bytes() == b"\xff\r\n\x00\nrest"
    assert writer.statistics_cur == {"lines": 3, "bytes": 9}


@given(data=st.binary(max_size=400), limit=st.integers(1, 60))
def test_a_file_passes_from_tailer_to_writer_byte_for_byte(tmp_path_factory, data, limit):
    assume(not is_compressed("", data))
    directory = tmp_path_factory.mktemp("pass")
    (directory / "in").write_bytes(data)
    daemon: Any = FakeDaemon(exit_when_idle=True)
    tailer = FileTailer(
        patterns=[str(directory / "in")],
        start="beginning",
        max_line_bytes=limit,
        long_lines="split",
    )
    writer = RawWriter(path=str(directory / "out"))
    tailer.setup(daemon)
    writer.setup(daemon)
    daemon.run_until_ended(tailer)
    for lines in daemon.take():
        write(writer, lines)
    writer.teardown(daemon)
    tailer.teardown(daemon)

    assert (directory / "out").read_bytes() == data


def test_a_file_is_appended_to_by_default(open_writer, tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old\n")
    write(open_writer(RawWriter, path), Lines("f", 0, b"new\n"))
    assert path.read_bytes() == b"old\nnew\n"

    write(open_writer(RawWriter, path, append=False), Lines("f", 0, b"only\n"))
    assert path.read_bytes() == b"only\n"


def test_a_new_file_has_mode_0644(open_writer, tmp_path):
    before = os.umask(0)
    try:
        open_writer(RawWriter, tmp_path / "out")
    finally:
        os.umask(before)

    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("cls", [JsonLinesWriter, RawWriter])
def test_args_of_another_kind_are_refused(open_writer, tmp_path, cls):
    with pytest.raises(TypeError, match=r"takes .*Lines, but got str"):
        open_writer(cls, tmp_path / "out").cbk_event_lines(DAEMON, "text")


def test_raw_writer_names_the_writer_for_records(open_writer, tmp_path):
    with pytest.raises(TypeError, match="use JsonLinesWriter"):
        open_writer(RawWriter, tmp_path / "out").cbk_event_lines(DAEMON, [{}])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"path": ""}, "path is ''"), ({"path": 1}, "path is 1"), ({"append": 0}, "append is 0")],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        JsonLinesWriter(**options)


# -- opening ---------------------------------------------------------------------------------


def test_a_missing_directory_is_reported_with_the_next_step(open_writer, tmp_path):
    with pytest.raises(ZenDaemonComponentException) as caught:
        open_writer(RawWriter, tmp_path / "no" / "out")

    assert str(tmp_path / "no" / "out") in str(caught.value)
    assert f"Create the directory {tmp_path / 'no'} first" in str(caught.value)


def test_a_directory_cannot_be_written_to(open_writer, tmp_path):
    with pytest.raises(ZenDaemonComponentException, match="Give the path of a file"):
        open_writer(RawWriter, tmp_path)


def test_a_pipe_without_a_reader_fails_at_once(open_writer, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ZenDaemonComponentException, match="Start the reader of this pipe first"):
        open_writer(RawWriter, tmp_path / "pipe")


def test_a_writer_that_is_not_set_up_raises():
    with pytest.raises(ValueError, match="setup"):
        RawWriter(path="x").cbk_event_lines(DAEMON, Lines("f", 0, b"x\n"))


# -- when it cannot be written ---------------------------------------------------------------


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_half_written(open_writer, tmp_path, monkeypatch, logged, error):
    path = tmp_path / "out"
    writer = open_writer(JsonLinesWriter, path)
    write(writer, [{"n": 1}])
    with monkeypatch.context() as full:
        fail_after(full, 10, error)
        with pytest.raises(SystemExit) as caught:
            write(writer, [{"n": 2}, {"n": 3}])

    assert caught.value.code == EXIT_IO_ERROR
    assert path.read_bytes() == b'{"n":1}\n'
    assert writer.statistics_cur["lines"] == 1
    assert len(logged.of("ERROR")) == 1
    for part in (str(path), os.strerror(error), "2 lines were not written; 0 bytes"):
        assert part in logged.of("ERROR")[0]
    write(writer, [{"n": 4}])
    assert path.read_bytes() == b'{"n":1}\n{"n":4}\n'


def test_data_of_another_writer_is_not_cut_off(open_writer, tmp_path, monkeypatch, logged):
    path = tmp_path / "out"
    writer = open_writer(RawWriter, path)
    real = SYSTEM_FILES.write

    def writing(fd, data):
        if len(data) < 4:
            with path.open("ab") as other:
                other.write(b"theirs\n")
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[:1])

    monkeypatch.setattr(SYSTEM_FILES, "write", writing)
    with pytest.raises(SystemExit):
        write(writer, Lines("f", 0, b"abc\n"))

    assert path.read_bytes() == b"atheirs\n"
    assert "1 bytes of them are in the output" in logged.of("ERROR")[0]


def test_a_full_device_ends_with_the_status_of_output_errors(open_writer, logged):
    writer = open_writer(RawWriter, "/dev/full")
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            write(writer, Lines("f", 0, b"x\n"))
        assert caught.value.code == EXIT_IO_ERROR

    assert len(logged.of("ERROR")) == 1
    assert "/dev/full: No space left on device. 1 lines" in logged.of("ERROR")[0]


def test_short_writes_are_completed(open_writer, tmp_path, monkeypatch):
    real = SYSTEM_FILES.write
    monkeypatch.setattr(SYSTEM_FILES, "write", lambda fd, data: real(fd, data[:3]))
    write(open_writer(RawWriter, tmp_path / "out"), Lines("f", 0, b"0123456789\n"))

    assert (tmp_path / "out").read_bytes() == b"0123456789\n"


# -- standard output -------------------------------------------------------------------------


@pytest.mark.parametrize("path", [None, "-"])
def test_standard_output_is_written_after_printed_text_and_stays_open(capfd, path):
    writer = RawWriter(path=path)
    sys.stdout.write("before\n")
    writer.setup(DAEMON)
    write(writer, Lines("f", 0, b"x\n"))
    writer.teardown(DAEMON)
    sys.stdout.write("after\n")
    sys.stdout.flush()

    assert capfd.readouterr().out == "before\nx\nafter\n"
    assert writer.get_state()["path"] == "-"


def test_an_object_in_place_of_standard_output_is_written_to(open_writer, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    write(open_writer(RawWriter), Lines("f", 0, b"x\n"))

    assert stream.buffer.getvalue() == b"x\n"


def test_without_standard_output_the_start_fails(open_writer, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)

    with pytest.raises(ZenDaemonComponentException, match="Give this writer a path"):
        open_writer(RawWriter)


@contextlib.contextmanager
def stdout_to_pipe():
    """Make standard output a pipe; return its read end.

    No fixture: between a test's setup and its call pytest puts its own object there.
    """
    out, into = os.pipe()
    with (
        os.fdopen(out, "rb", 0) as reader,
        os.fdopen(into, "w") as stdout,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", stdout)
        yield reader


def test_a_reader_that_left_on_purpose_is_no_error(open_writer, logged):
    with stdout_to_pipe() as reader:
        writer = open_writer(RawWriter)
        reader.close()
        for _ in range(2):
            with pytest.raises(SystemExit) as caught:
                write(writer, Lines("f", 0, b"x\n"))
            assert caught.value.code == 0

    assert len(logged.of("INFO")) == 1
    assert logged.of("ERROR") == []


def test_a_pipe_that_another_program_made_non_blocking_is_waited_for(open_writer):
    data = b"x" * 300_000 + b"\n"
    got = bytearray()
    with stdout_to_pipe() as reader:

        def read() -> None:
            while len(got) < len(data):
                got.extend(reader.read(65_536))

        writer = open_writer(RawWriter)
        os.set_blocking(sys.stdout.fileno(), False)
        thread = threading.Thread(target=read)
        thread.start()
        write(writer, Lines("f", 0, data))
        thread.join(DEADLINE)

    same = bytes(got) == data  # no comparison for pytest to print
    assert same


def test_standard_output_to_a_file_is_cut_back_too(open_writer, tmp_path, monkeypatch):
    with (tmp_path / "out").open("w") as stdout:
        stdout.write("before\n")
        monkeypatch.setattr(sys, "stdout", stdout)
        writer = open_writer(RawWriter)
        with monkeypatch.context() as full:
            fail_after(full, 2, errno.ENOSPC)
            with pytest.raises(SystemExit):
                write(writer, Lines("f", 0, b"lost\n"))
        write(writer, Lines("f", 5, b"kept\n"))

    assert (tmp_path / "out").read_bytes() == b"before\nkept\n"


# -- interrupts --------------------------------------------------------------------------------


@pytest.fixture
def unread(tmp_path):
    """The path of a named pipe that nothing reads yet, and its read end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def raw(data: bytes) -> Lines:
    return Lines("a.log", 0, data)


def read_all(reader: int) -> bytes:
    return b"".join(iter(lambda: os.read(reader, 1 << 20), b""))


def interrupted_write(writer, reader: int, long: bytes) -> bytes:
    """Interrupt a write of more than a pipe takes, and return what it takes."""
    errors = []

    def write_long() -> None:
        try:
            writer.cbk_event_lines(DAEMON, raw(long))
        except ZenDaemonComponentException as cause:
            errors.append(str(cause))

    thread = threading.Thread(target=write_long)
    thread.start()
    filled = select.poll()
    filled.register(writer._output.fd, select.POLLOUT)
    while filled.poll(0):
        thread.join(0.0)
    writer.interrupt()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert "was interrupted: its reader does not read." in errors[0]
    return os.read(reader, 1 << 20)


def test_an_interrupt_breaks_a_write_off_in_the_middle(open_writer, unread, logged):
    path, reader = unread
    writer = open_writer(RawWriter, path)
    long = b"x" * 200_000 + b"\n"
    begun = interrupted_write(writer, reader, long)
    assert 0 < len(begun) < len(long)

    writer.teardown(DAEMON)
    (warning,) = logged.of("WARNING")
    rest = len(long) - len(begun)
    assert warning.startswith(f"{rest} bytes of a record were not written to {path}")


def test_what_an_interrupt_left_is_written_before_the_next_event(open_writer, unread):
    path, reader = unread
    writer = open_writer(RawWriter, path)
    long = b"x" * 200_000 + b"\n"
    begun = interrupted_write(writer, reader, long)
    os.set_blocking(reader, True)
    drained: list[bytes] = []
    thread = threading.Thread(target=lambda: drained.append(read_all(reader)))
    thread.start()
    write(writer, raw(b"next\n"))
    writer.teardown(DAEMON)
    thread.join(DEADLINE)
    assert begun + drained[0] == long + b"next\n"


def test_a_signal_does_not_part_the_two_ends_of_an_interrupted_write(open_writer, unread):
    path, reader = unread
    writer = open_writer(RawWriter, path)
    long = b"x" * 100_000 + b"\n"
    begun = interrupted_write(writer, reader, long)
    path.rename(path.with_name("old"))
    writer.cbk_event_signal_hup(DAEMON, None)
    write(writer, raw(b"a\n"))
    writer.cbk_event_signal_hup(DAEMON, None)
    write(writer, raw(b"b\n"))

    assert begun + read_all(reader) == long + b"a\n"
    assert path.read_bytes() == b"b\n"


def test_an_interrupt_before_anything_was_written_leaves_nothing(open_writer, unread):
    path, reader = unread
    writer = open_writer(RawWriter, path)
    filler = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(filler, b"f" * select.PIPE_BUF)

    def write_in_vain() -> None:
        with pytest.raises(ZenDaemonComponentException):
            writer.cbk_event_lines(DAEMON, raw(b"lost\n"))

    writer_waits = threading.Thread(target=write_in_vain)
    writer_waits.start()
    while writer_waits.is_alive():  # the first interrupts may come before the write
        writer.interrupt()
        writer_waits.join(0.0)
    os.close(filler)
    assert set(os.read(reader, 1 << 20)) == set(b"f")
    write(writer, raw(b"next\n"))
    assert os.read(reader, 1 << 20) == b"next\n"


def test_an_interrupt_that_comes_too_late_has_no_effect(open_writer, unread):
    path, reader = unread
    writer = open_writer(RawWriter, path)
    writer.interrupt()
    write(writer, raw(b"a\n"))
    assert os.read(reader, 100) == b"a\n"


def test_a_file_cannot_block_so_an_interrupt_does_nothing(open_writer, tmp_path):
    writer = open_writer(RawWriter, tmp_path / "out")
    writer.interrupt()
    write(writer, raw(b"a\n"))
    assert (tmp_path / "out").read_bytes() == b"a\n"
