"""Standard streams that are closed, broken or buffered: programs of their own show it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0  # seconds: generous, so that only a hang fails


def run(source: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize(("writable", "result"), [(True, "1"), (False, "EBADF")])
def test_a_closed_stream_is_filled_and_an_open_one_kept(writable: bool, result: str) -> None:  # noqa: FBT001 - a parameter
    done = run(f"""
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


def test_a_sudden_exit_writes_what_is_buffered_and_waits_for_no_thread() -> None:
    done = run("""
        import sys, threading
        from zenactors.process.streams import exit_without_threads
        stuck = threading.Lock()
        stuck.acquire()
        threading.Thread(target=stuck.acquire).start()
        sys.stdout.write("buffered")
        exit_without_threads(7)
    """)

    assert (done.returncode, done.stdout, done.stderr) == (7, "buffered", "")


@pytest.mark.parametrize("close", ["sys.stdout = None", "sys.stdout.close()", "os.close(1)"])
def test_a_sudden_exit_minds_no_closed_stream(close: str) -> None:
    done = run(f"""
        import os, sys
        from zenactors.process.streams import exit_without_threads
        sys.stdout.write("x")
        {close}
        exit_without_threads(7)
    """)

    assert (done.returncode, done.stderr) == (7, "")


def test_what_a_broken_stdout_did_not_take_fails_no_second_time() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(
            """
            import sys
            from zenactors.process.streams import give_up_stdout
            try:
                sys.stdout.write("x")
                sys.stdout.flush()
            except BrokenPipeError:
                give_up_stdout()
            """,
            stdout=writer,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")


def test_there_may_be_no_stdout_to_give_up() -> None:
    done = run("""
        import sys
        from zenactors.process.streams import give_up_stdout
        sys.stdout = None
        give_up_stdout()
    """)

    assert (done.returncode, done.stderr) == (0, "")
