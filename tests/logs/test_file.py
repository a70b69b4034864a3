"""A log file that cannot be written: lines are counted, and no thread that logs fails."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from tests.logs.conftest import Capture, lines, messages
from tests.running import run_python
from zenactors.errors import ConfigurationError
from zenactors.logs.file import LogFile
from zenactors.logs.sinks import LogOptions, Logs


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_reported_once_and_no_thread_fails(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    options = LogOptions(file=Path("/dev/full"), console=False)
    with Logs(options) as logs:
        for number in range(3):
            logger.info("lost {}", number)
        assert capsys.readouterr().err == (
            "Log file '/dev/full' cannot be written: No space left on device."
            " Free some space; lines are lost until then.\n"
        )
        logs.reopen(LogOptions(file=file, console=False))
        logger.info("written")
        logger.info("again")

    assert messages(file) == [
        "3 lines before this one are lost: No space left on device",
        "written",
        "again",
    ]
    assert capsys.readouterr().err == ""


def closed() -> Any:
    stream = open(os.devnull, "w")  # noqa: SIM115, PTH123
    stream.close()
    return stream


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("make", [closed, lambda: None])
def test_nor_does_one_fail_without_standard_error(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Logs(LogOptions(file=Path("/dev/full"))), monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", make())
        logger.info("lost")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", make())
        with Logs(LogOptions(file=Path("/dev/full"))):
            logger.info("lost")
        logging.getLogger("pykka").error("lost")


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    program = f"""if True:
        import resource, signal
        from pathlib import Path
        from loguru import logger
        from zenactors.logs.sinks import Logs, LogOptions
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        logs = Logs(LogOptions(file=Path({str(path)!r}), console=False, json=True))
        logs.open()
        logger.info("one")
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (Path({str(path)!r}).stat().st_size + 10, hard))
        logger.info("cut off")
        logger.info("not begun")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        logger.info("two")
    """
    result = run_python("-c", program)

    assert result.stderr == (
        f"Log file '{path}' cannot be written: File too large."
        " Check the file; lines are lost until then.\n"
    )
    first, torn, note, last = lines(path)
    assert (json.loads(first)["message"], json.loads(last)["message"]) == ("one", "two")
    assert len(torn) == 10
    assert json.loads(note)["message"] == "2 lines before this one are lost: File too large"


def test_a_vanished_directory_is_no_error_until_the_file_is_reopened(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "a.log"
    file.parent.mkdir()
    with Logs(LogOptions(file=file, console=False)) as logs:
        file.unlink()
        file.parent.rmdir()
        logger.info("lost")
        with pytest.raises(ConfigurationError, match="No such file or directory"):
            logs.reopen()
        file.parent.mkdir()
        logs.reopen()
        logger.info("written again")

    assert messages(file) == ["written again"]


def test_lines_after_the_stop_are_discarded(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log", 0, json=False)
    number = logger.add(file, format="{message}")
    file.stop()
    logger.error("too late")
    logger.remove(number)

    assert (tmp_path / "a.log").read_text() == ""


def test_a_log_file_that_is_a_pipe_without_a_reader_blocks_no_thread_that_logs(
    full_pipe: tuple[int, int], capsys: Capture
) -> None:
    reader, writer = full_pipe
    with Logs(LogOptions(console=False, file=Path(f"/proc/self/fd/{writer}"))):
        for number in range(1000):
            logger.info("lost {}", number)
        os.set_blocking(reader, False)
        with contextlib.suppress(BlockingIOError):
            while os.read(reader, 65536):
                pass
        logger.info("read again")
        shown = os.read(reader, 65536).decode()

    assert "1000 lines before this one are lost: Its reader has stopped reading" in shown
    assert shown.endswith("read again\n")
    assert (
        "cannot be written: Its reader has stopped reading."
        " Restart the reader; lines are lost until then.\n"
    ) in capsys.readouterr().err
