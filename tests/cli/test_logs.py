"""Sinks of the command line: standard error, and pykka's lines led into loguru."""

from __future__ import annotations

import logging
import re

import pytest
from loguru import logger

from zenactors.cli.logs import set_up_logs

Capture = pytest.CaptureFixture[str]
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"


def test_lines_from_the_level_up_go_to_standard_error(capsys: Capture) -> None:
    set_up_logs("WARNING")
    logger.info("quiet")
    logger.warning("loud {braces}", braces="{x}")
    logger.bind(component="tailer").error("named")

    shown = capsys.readouterr()
    assert shown.out == ""
    plain, named = shown.err.splitlines()
    assert re.fullmatch(TIME + r" WARNING  loud \{x\}", plain)
    assert re.fullmatch(TIME + r" ERROR    tailer: named", named)


def test_a_traceback_shows_no_values(capsys: Capture) -> None:
    set_up_logs("INFO")
    secret = "hunter2"
    try:
        int(secret[:0])
    except ValueError:
        logger.exception("Failed")

    shown = capsys.readouterr().err
    assert "ValueError: invalid literal" in shown
    assert "'hunter2'" not in shown.replace('secret = "hunter2"', "")


def test_pykka_is_heard_from_warnings_up_and_only_once(capsys: Capture) -> None:
    set_up_logs("DEBUG")
    set_up_logs("DEBUG")
    logging.getLogger("pykka").info("quiet")
    logging.getLogger("pykka").error("an {actor} failed")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("ERROR    pykka: an {actor} failed")


def test_the_next_command_replaces_them(capsys: Capture) -> None:
    set_up_logs("INFO")
    set_up_logs("WARNING")
    logger.info("quiet")
    logger.warning("loud")

    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["loud"]
