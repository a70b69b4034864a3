"""The lines of the console and the file: no value breaks one, and no secret is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loguru import logger

from tests.logs.conftest import TIME, Capture, lines, objects
from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.logs.sinks import LogOptions, Logs


def test_console_and_file_get_the_same_lines_each_from_its_level_up(
    tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "{app}.log"
    file.write_text("before\n")
    with Logs(LogOptions(level="error", file=file, file_level="DEBUG", console_level="Warning")):
        logger.trace("nowhere")
        logger.debug("in the file")
        logger.bind(component="tailer").warning("in {both}", both="{both}")

    before, low, both = lines(file)
    assert before == "before"
    assert re.fullmatch(TIME + r" DEBUG    in the file", low)
    assert re.fullmatch(TIME + r" WARNING  tailer: in \{both\}", both)
    assert capsys.readouterr() == ("", f"{both}\n")


def test_a_traceback_shows_no_values(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "app.log"
    secret = "hunter2"
    with Logs(LogOptions(file=file)):
        try:
            int(secret[:0])
        except ValueError:
            logger.exception("Failed")

    text = file.read_text()
    assert "Failed\nTraceback (most recent call last):\n" in text
    assert "ValueError: invalid literal" in text
    assert text == capsys.readouterr().err
    assert "hunter2" not in text.replace('secret = "hunter2"', "")


def test_a_line_of_json_has_all_fields(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    with Logs(LogOptions(file=file, json=True, console=False)):
        logger.bind(component="tailer").info("Read {count} of {path}", count=3, path="/x")
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            logger.exception("Größe\nfailed")

    first, second = objects(file)
    assert list(first) == ["time", "level", "component", "message", "count", "path"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d", first.pop("time"))
    assert first == {
        "level": "INFO",
        "component": "tailer",
        "message": "Read 3 of /x",
        "count": 3,
        "path": "/x",
    }
    assert list(second) == ["time", "level", "message", "exception"]
    assert second["message"] == "Größe\nfailed"
    assert second["exception"].startswith("Traceback (most recent call last):\n")
    assert second["exception"].endswith("\nZeroDivisionError: division by zero")
    assert "Größe" in file.read_text()


class Odd:
    def __init__(self, answer: Callable[[], str]) -> None:
        self.answer = answer

    def __repr__(self) -> str:
        return self.answer()


class OddMapping(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no")


def log_from_a_repr() -> str:
    logger.warning("from a repr")
    logger.error("from a repr")
    return "logged"


ODD = {
    "surrogate": "\udc80 \ud800",
    "nan": float("nan"),
    "infinite": [float("inf"), -float("inf")],
    "bytes": b"\xff\n",
    "huge": 10**10_000,
    "object": object,
    "raises": Odd(lambda: str(1 / 0)),
    "mapping": OddMapping(a=1),
    "keys": {1: 2, None: 3, (4,): {5}},
    "lines": "a\nb\r\u2028\x00\x1b",
    "logs": Odd(log_from_a_repr),
    "message_": 0,
}


def test_no_value_breaks_a_line_of_json(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    loop: list[Any] = []
    loop.append(loop)
    with Logs(LogOptions(file=file, json=True, console=False)) as logs:
        logs.reopen(LogOptions(file=file, json=True, console=False, level="DEBUG"))
        for level in ("DEBUG", "INFO"):  # they come through two handlers
            logger.log(level, "odd \udc80\n", **ODD, loop=loop)
        logger.bind(component=Odd(lambda: "\n")).info("{message}", message=1, time=2, exception=3)

    *_, low, high, taken = [each for each in objects(file) if each["message"] != "from a repr"]
    assert low["level"] == "DEBUG"
    for each in (low, high):
        assert each["message"] == "odd \udc80\n"
        assert each["surrogate"] == "\udc80 \ud800"
        assert (each["nan"], each["infinite"]) == ("nan", ["inf", "-inf"])
        assert each["raises"] == "<Odd whose repr raises ZeroDivisionError>"
        assert each["mapping"] == "<OddMapping that raises RuntimeError>"
        assert each["keys"] == {"1": 2, "None": 3, "(4,)": [5]}
        assert each["loop"] == ["…"]
    assert (taken["message"], taken["component"]) == ("1", "\n")
    assert (taken["message_"], taken["time_"], taken["exception"]) == (1, 2, 3)


def test_fields_that_only_json_shows_are_redacted(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    with Logs(LogOptions(file=file, json=True, console=False)):
        logger.info("Connected to {host}", host="db", password="hunter2", url="redis://:hunter2@db")

    assert objects(file)[0]["url"] == "redis://:***@db"
    assert "hunter2" not in file.read_text()


FORGED = "a.log\n2026-11-26 07:00:00.000 ERROR    backup: All is lost\x1b[2J\x9b2J\u202e"


def test_a_name_from_outside_stays_on_its_line(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "app.log"
    with Logs(LogOptions(file=file)):
        logger.bind(component="x\x1b[2J").warning("{path} was deleted", path=FORGED)

    (line,) = lines(file)
    assert line.split(maxsplit=2)[2] == (
        "WARNING  x\\x1b[2J: a.log\\n2026-11-26 07:00:00.000 ERROR    backup: All is lost"
        "\\x1b[2J\\x9b2J\\u202e was deleted"
    )
    assert capsys.readouterr().err == f"{line}\n"


def test_no_text_forges_a_line_or_steers_a_terminal(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "app.log"
    with Logs(LogOptions(file=file)):
        logger.info("Report:\n{text}", text=f"one\n\ttwo {FORGED}")
        try:
            raise ValueError(FORGED)
        except ValueError:
            logger.exception(FORGED)

    text = file.read_text()
    assert "Report:\none\n\ttwo a.log\n" in text  # several lines on purpose
    assert len(re.findall(rf"^{TIME} ", text, re.MULTILINE)) == 2
    assert text.isascii()
    assert set(text) & {chr(code) for code in range(32)} == {"\n", "\t"}
    assert capsys.readouterr().err == text


def test_json_has_the_text_as_it_is_and_steers_no_terminal(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    with Logs(LogOptions(file=file, json=True, console=False)):
        logger.info("Deleted: {path}", path=FORGED)

    assert file.read_text().isascii()
    assert objects(file)[0]["path"] == FORGED


def test_a_traceback_begins_at_the_users_code(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "app.log"

    class Broken(ZenDaemonComponent):
        @handles("x")
        def cbk_event_x(self, daemon: Any, args: Any) -> None:
            raise ValueError("broken")

    with Logs(LogOptions(file=file)), Dispatcher([Broken()]) as dispatcher:
        dispatcher.queue.schedule("x")

    _, _, traceback = file.read_text().partition("Traceback (most recent call last):\n")
    assert traceback.startswith(f'  File "{__file__}", line ')
    assert traceback.count("  File ") == 1
    assert capsys.readouterr().err == file.read_text()
