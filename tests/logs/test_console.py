"""A console without a reader: no thread that logs fails or waits."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

import pytest
from loguru import logger

from zenactors.logs.sinks import LogOptions, Logs


def test_a_console_without_a_reader_fails_no_thread_that_logs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", closefd=False)  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", stream)
    with Logs(LogOptions()):
        logger.info("lost")
        with pytest.raises(BrokenPipeError) as error:
            stream.flush()
        assert error.value.errno == errno.EPIPE
    os.close(writer)
    with pytest.raises(OSError, match="Bad file"):
        stream.close()


def test_a_console_that_is_not_read_blocks_no_thread_that_logs(
    full_pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = full_pipe
    with open(writer, "w", closefd=False) as console:
        monkeypatch.setattr(sys, "stderr", console)
        with Logs(LogOptions()):
            for number in range(1000):
                logger.info("lost {}", number)
            drained = 0
            os.set_blocking(reader, False)
            with contextlib.suppress(BlockingIOError):
                while chunk := os.read(reader, 65536):
                    drained += len(chunk)
            logger.info("read again, {}", "x" * 10_000)
            shown = os.read(reader, 65536).decode()

    assert drained % 4096 == 0  # none of the lines before
    assert shown.endswith("x" * 10_000 + "\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("value", "expected"), [("1", 0), ("", 1)])
def test_a_terminal_is_coloured_unless_the_environment_has_no_color(
    value: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("NO_COLOR", value)
    with Logs(LogOptions()):
        logger.warning("in colour")
    assert min(terminal.getvalue().count("\x1b"), 1) == expected
