"""Standard streams that are closed, full, unread or buffered: programs of their own show it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.running import LIMIT, ROOT
from zenactors.process.streams import write_to

LOSE_STDOUT = """
    import sys
    from zenactors.process.streams import give_up_stdout
    sys.stdout.write("lost")
    give_up_stdout()
"""


def program(text: str, *, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        check=False,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LIMIT,
    )


@pytest.mark.parametrize(("writable", "result"), [("True", "1"), ("False", "EBADF")])
def test_a_closed_stream_is_filled_so_that_no_file_gets_its_number(
    writable: str, result: str
) -> None:
    done = program(f"""
        import errno, os, sys
        from zenactors.process.streams import fill_standard_streams
        os.close(1)
        fill_standard_streams(writable={writable})
        opened = os.open("/dev/zero", os.O_RDONLY)
        try:
            result = os.write(1, b"x")
        except OSError as cause:
            result = errno.errorcode[cause.errno]
        sys.stderr.write(f"{{os.readlink('/proc/self/fd/1')}} {{opened > 2}} {{result}}")
    """)

    assert (done.returncode, done.stderr) == (0, f"/dev/null True {result}")


def test_open_streams_are_not_replaced_by_filling() -> None:
    done = program("""
        from zenactors.process.streams import fill_standard_streams
        fill_standard_streams()
        print("seen")
    """)

    assert (done.returncode, done.stdout) == (0, "seen\n")


@pytest.mark.parametrize("closed", ["", "0", "01", "012", "12"])
def test_all_three_are_connected_to_dev_null_whichever_are_closed(
    closed: str, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    program(f"""
        import os
        from zenactors.process.streams import connect_standard_streams
        for number in map(int, {closed!r}):
            os.close(number)
        connect_standard_streams()
        links = [os.readlink(f"/proc/self/fd/{{number}}") for number in range(3)]
        inherited = [os.get_inheritable(number) for number in range(3)]
        extra = os.open("/dev/zero", os.O_RDONLY)
        with open({str(seen)!r}, "w") as file:
            print(set(links), set(inherited), extra, file=file)
    """)

    assert seen.read_text() == "{'/dev/null'} {True} 3\n"


def test_text_is_written_at_once() -> None:
    stream = io.TextIOWrapper(io.BytesIO())

    write_to(stream, "a line\n")

    assert stream.buffer.getvalue() == b"a line\n"


def test_writing_to_a_stream_that_is_closed_or_missing_is_no_error() -> None:
    closed = io.StringIO()
    closed.close()

    write_to(closed, "lost")
    write_to(None, "lost")


def test_exit_at_once_flushes_and_waits_for_no_thread() -> None:
    done = program("""
        import sys, threading
        from zenactors.process.streams import exit_at_once
        threading.Thread(target=threading.Event().wait).start()
        sys.stdout.write("out")
        sys.stderr.write("err")
        exit_at_once(75)
    """)

    assert (done.returncode, done.stdout, done.stderr) == (75, "out", "err")


@pytest.mark.parametrize("close", ["sys.stdout = None", "sys.stdout.close()", "os.close(1)"])
def test_exit_at_once_accepts_a_closed_stream(close: str) -> None:
    done = program(f"""
        import os, sys
        from zenactors.process.streams import exit_at_once
        sys.stdout.write("x")
        {close}
        exit_at_once(75)
    """)

    assert (done.returncode, done.stderr) == (75, "")


def test_buffered_output_does_not_fail_again_once_stdout_is_given_up() -> None:
    with Path("/dev/full").open("wb") as full:
        done = program(LOSE_STDOUT, stdout=full.fileno())

    assert (done.returncode, done.stderr) == (0, "")


def test_nor_does_output_for_a_reader_that_has_left() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = program(LOSE_STDOUT, stdout=writer)
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_stdout_can_be_given_up() -> None:
    done = program("""
        import sys
        from zenactors.process.streams import give_up_stdout
        sys.stdout = None
        give_up_stdout()
    """)

    assert (done.returncode, done.stderr) == (0, "")
