"""Records of the standard library's logging come into loguru, once."""

from __future__ import annotations

import logging
from pathlib import Path

from loguru import logger

from tests.logs.conftest import Capture, messages, objects
from zenactors.logs.sinks import LogOptions, Logs


def test_pykkas_warnings_and_errors_come_once(capsys: Capture) -> None:
    first, second = Logs(LogOptions(level="DEBUG")), Logs(LogOptions(console=False))
    with first, second:
        logging.getLogger("pykka").info("quiet")
        logging.getLogger("pykka").error("an {actor} failed")
        logging.getLogger("elsewhere").info("not routed")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("ERROR    pykka: an {actor} failed")


def test_all_standard_loggers_can_be_routed(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    source = logging.getLogger("some.library")
    with Logs(LogOptions(file=file, console=False, json=True, level="DEBUG", root=True)) as logs:
        for number in (5, 10, 20, 25, 30, 40, 50, 99):
            source.log(number, "at %d", number)
        try:
            raise ValueError("no")
        except ValueError:
            source.exception("{failed}")
        logging.getLogger("pykka").info("quiet")
        logs.reopen(LogOptions(file=file, console=False, json=True, root=True))
        source.debug("too low")
        source.info("last")
        logs.reopen(LogOptions(file=file, console=False, json=True))
        source.warning("not routed")

    found = objects(file)
    assert {each["logger"] for each in found} == {"some.library"}
    assert [(each["level"], each["message"].removeprefix("some.library: ")) for each in found] == [
        ("DEBUG", "at 10"),
        ("INFO", "at 20"),
        ("INFO", "at 25"),
        ("WARNING", "at 30"),
        ("ERROR", "at 40"),
        ("CRITICAL", "at 50"),
        ("CRITICAL", "at 99"),
        ("ERROR", "{failed}"),
        ("INFO", "last"),
    ]
    assert found[7]["exception"].endswith("ValueError: no")


def test_a_line_whose_arguments_do_not_fit_is_not_lost(capsys: Capture) -> None:
    with Logs(LogOptions()):
        logging.getLogger("pykka").error("does %d fit", "x")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pykka: does %d fit ('x',) (TypeError)")


def test_lines_routed_back_into_logging_make_no_endless_loop(
    tmp_path: Path, capsys: Capture
) -> None:
    class Back(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger("back").handle(record)

    def back(message: str) -> None:
        logging.getLogger("back").warning("again: %s", message)

    file = tmp_path / "a.log"
    with Logs(LogOptions(file=file, console=False, root=True)):
        number = logger.add(Back(), format="{message}")
        logger.info("from loguru")
        logger.remove(number)
        number = logger.add(back, format="{message}")
        logging.getLogger("library").warning("from logging")
        logger.remove(number)

    assert messages(file) == ["from loguru", "library: from logging"]
    assert "Logging error" not in capsys.readouterr().err
