"""Writers of JSON lines repair the end of their file at the start."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenactors.components import JsonLinesWriter, Lines, RawWriter
from zenactors.errors import ZenDaemonComponentException
from zenactors.testing import VirtualFiles

from .fakes import FakeDaemon

DAEMON: Any = FakeDaemon()
LIMIT = 1 << 20


def after_start(content: bytes, cls: Any = JsonLinesWriter, **options: Any) -> bytes:
    files = VirtualFiles()
    files.put("/out", content)
    writer = cls(path="/out", **options)
    writer.files = files
    writer.setup(DAEMON)
    writer.teardown(DAEMON)
    assert files.open_descriptors() == []
    return files.content("/out")


@pytest.mark.parametrize(
    "torn", [b"{", b'{"a', b'{"a":{}', b'{"a":1\0\0\0', b"\0\0\0\0", b"{" * 100_000]
)
@pytest.mark.parametrize("whole", [b"", b"{}\n", b'{"a":1}\n\n{"b":2}\n'])
def test_the_beginning_of_a_record_is_cut_off(logged, whole, torn):
    assert after_start(whole + torn) == whole

    (warning,) = logged.of("WARNING")
    assert warning.startswith(f"Cut {len(torn)} bytes off the end of /out:")


@pytest.mark.parametrize("end", [b'{"a":1}', b'{"a":1} ', b"\xff", b"text {", b"[1", b"1"])
@pytest.mark.parametrize("whole", [b"", b"{}\n"])
def test_any_other_last_line_gets_its_end(logged, whole, end):
    assert after_start(whole + end) == whole + end + b"\n"

    assert logged.of("WARNING") == ["The last line of /out had no line end; added one"]


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b'{"a\n', b"\0\n"])
def test_a_file_that_ends_with_a_line_end_stays_as_it_is(logged, content):
    assert after_start(content) == content
    assert logged.records == []


@pytest.mark.parametrize("whole", [b"", b"{}\n"])
def test_a_long_end_is_not_cut_off(whole):
    short = b"{".ljust(LIMIT - 1, b"x")
    assert after_start(whole + short) == whole
    assert after_start(whole + short + b"x") == whole + short + b"x\n"


def test_it_can_be_switched_off(logged):
    assert after_start(b'{}\n{"a', repair=False) == b'{}\n{"a'
    with pytest.raises(ValueError, match="repair is 1, but true or false is expected"):
        JsonLinesWriter(repair=1)  # type: ignore[arg-type]


def test_raw_data_may_end_anywhere(logged):
    assert after_start(b'{}\n{"a', RawWriter) == b'{}\n{"a'
    assert logged.records == []


RECORDS = st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5)), min_size=1)


@settings(max_examples=30)
@given(records=RECORDS, data=st.data())
def test_after_a_crash_anywhere_all_lines_are_whole_records(records, data):
    check_crash_anywhere(records, data)


@pytest.mark.slow
@settings(max_examples=1_000)
@given(records=RECORDS, data=st.data())
def test_after_many_crashes_all_lines_are_whole_records(records, data):
    check_crash_anywhere(records, data)


def check_crash_anywhere(records: list[Any], data: st.DataObject) -> None:
    files = VirtualFiles()
    writer = JsonLinesWriter(path="/out")
    writer.files = files
    writer.setup(DAEMON)
    writer.cbk_event_lines(DAEMON, records)
    content = files.content("/out")
    cut = data.draw(st.integers(0, len(content)))
    kept = content[:cut].count(b"\n")

    found = after_start(content[:cut]).split(b"\n")
    assert found[-1] == b""
    # One whole record may have lacked only its line end.
    assert found[:-1] in (content.split(b"\n")[:kept], content.split(b"\n")[: kept + 1])
    assert b"\n".join(found[:-1]) in content


def test_a_file_that_cannot_be_read_is_left_as_it_is(logged):
    class WriteOnly(VirtualFiles):
        def open(self, path: str, flags: int, mode: int = 0o777) -> int:
            if not flags & os.O_WRONLY:
                raise OSError(errno.EACCES, "Permission denied", path)
            return super().open(path, flags, mode)

    files = WriteOnly()
    files.put("/out", b"{")
    writer = JsonLinesWriter(path="/out")
    writer.files = files
    writer.setup(DAEMON)

    assert files.content("/out") == b"{"
    assert logged.records == []


def test_a_file_that_cannot_be_repaired_is_an_error_of_the_start():
    class Fixed(VirtualFiles):
        def ftruncate(self, fd: int, size: int) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

    files = Fixed()
    files.put("/out", b"{")
    writer = JsonLinesWriter(path="/out")
    writer.files = files
    with pytest.raises(ZenDaemonComponentException, match=r"end of /out: Operation not permitted"):
        writer.setup(DAEMON)
    assert files.open_descriptors() == []


def test_a_real_file_is_repaired(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b'{"n":1}\n{"n"')
    writer = JsonLinesWriter(path=str(path))
    writer.setup(DAEMON)
    writer.cbk_event_lines(DAEMON, [{"n": 2}])
    writer.teardown(DAEMON)

    assert path.read_bytes() == b'{"n":1}\n{"n":2}\n'


def test_a_pipe_is_not_looked_at(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    first = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.write(first, b'{"a')
    writer = JsonLinesWriter(path=str(tmp_path / "pipe"))
    writer.setup(DAEMON)
    writer.cbk_event_lines(DAEMON, Lines("f", 0, b"x\n"))
    writer.teardown(DAEMON)

    assert os.read(reader, 100) == b'{"a{"file":"f","offset":0,"line":"x"}\n'
    os.close(first)
    os.close(reader)
