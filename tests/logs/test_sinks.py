"""Opening, reopening and closing: no line lost or duplicated, loguru left as it was."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from tests.logs.conftest import TIME, Capture, lines, messages
from tests.running import ROOT, run_python
from zenactors.errors import ConfigurationError
from zenactors.logs.levels import LEVELS
from zenactors.logs.sinks import LogOptions, Logs


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none/a.log", "No such file or directory. Create the directory {directory} first."),
        (".", "Is a directory. Give the path of a file, not of a directory."),
        ("..", "Is a directory. Give the path of a file, not of a directory."),
        ("file/a.log", "Not a directory. Choose a path whose parents are all directories."),
        ("pipe", "No such device or address. Start the reader of this pipe first."),
        ("loop", "Too many levels of symbolic links. Choose another file."),
    ],
)
def test_a_file_that_cannot_be_opened_is_one_line_and_changes_nothing(
    tmp_path: Path, path: str, reason: str, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    number = logger.add(sys.stderr, format="{message}")

    with pytest.raises(ConfigurationError) as error:
        Logs(LogOptions(file=tmp_path / path)).open()

    expected = reason.replace("{directory}", str(tmp_path / "none"))
    assert str(error.value) == f"Log file '{tmp_path / path}' cannot be opened: {expected}"
    logger.info("as before")
    assert capsys.readouterr().err == "as before\n"
    assert not (tmp_path / "none").exists()
    logger.remove(number)


def test_standard_output_may_be_the_log_file_even_as_a_pipe() -> None:
    program = (
        "from pathlib import Path; from loguru import logger;"
        "from zenactors.logs.sinks import Logs, LogOptions;"
        "logs = Logs(LogOptions(file=Path('/dev/stdout'), console=False)); logs.open();"
        "logger.info('one'); logs.reopen(); logger.info('two')"
    )
    out = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60)

    assert [line.split()[-1] for line in out.splitlines()] == ["one", "two"]


def test_a_relative_file_is_relative_to_the_directory_at_that_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = LogOptions(file=Path("a.log"), console=False)
    monkeypatch.chdir("/")
    with Logs(options) as logs:
        logger.info("one")
        (tmp_path / "a.log").rename(tmp_path / "a.log.1")
        logs.reopen()
        logger.info("two")

    assert messages(tmp_path / "a.log.1") + messages(tmp_path / "a.log") == ["one", "two"]


def test_a_failed_reopen_raises_and_the_log_continues_as_before(
    tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "a.log"
    wrong = LogOptions(file=tmp_path / "none" / "a.log", level="DEBUG", console=False, root=True)
    with Logs(LogOptions(file=file)) as logs:
        options = logs.options
        with pytest.raises(ConfigurationError, match=r"none/a\.log' cannot be opened"):
            logs.reopen(wrong)
        assert logs.options is options
        logger.debug("too low")
        logger.info("goes on")
        logging.getLogger("elsewhere").error("not taken in")

    assert messages(file) == ["goes on"]
    assert capsys.readouterr().err == file.read_text()


def test_a_reopen_may_change_all_options(tmp_path: Path, capsys: Capture) -> None:
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    steps = [
        LogOptions(file=a, level="WARNING"),
        LogOptions(file=a, level="DEBUG", json=True),
        LogOptions(console=False),
        LogOptions(file=b, file_level="TRACE", level="CRITICAL"),
        LogOptions(file=b, level="INFO"),
        LogOptions(level="ERROR"),
    ]
    with Logs(steps[0]) as logs:
        for number, options in enumerate(steps):
            logs.reopen(options)
            for level in LEVELS:
                logger.log(level, "{}{}", number, level)

    def expected_lines(number: int, lowest: str) -> list[str]:
        return [f"{number}{level}" for level in LEVELS[LEVELS.index(lowest) :]]

    shown = [line.split()[-1] for line in capsys.readouterr().err.splitlines()]
    assert shown == [
        *expected_lines(0, "WARNING"),
        *expected_lines(1, "DEBUG"),
        *expected_lines(3, "CRITICAL"),
        *expected_lines(4, "INFO"),
        *expected_lines(5, "ERROR"),
    ]
    plain, formed = lines(a)[:3], lines(a)[3:]
    assert [line.split()[-1] for line in plain] == expected_lines(0, "WARNING")
    assert [json.loads(line)["message"] for line in formed] == expected_lines(1, "DEBUG")
    assert messages(b) == [*expected_lines(3, "TRACE"), *expected_lines(4, "INFO")]


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Interrupt threads often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("each", [500, pytest.param(1_500, marks=pytest.mark.slow)])
def test_no_line_is_lost_or_duplicated_while_files_levels_and_formats_change(
    each: int, tmp_path: Path
) -> None:
    file = tmp_path / "app.log"
    threads = 4
    running = threading.Barrier(threads + 1)

    def work(number: int) -> None:
        running.wait(30.0)
        for count in range(each):
            logger.log(("INFO", "WARNING", "ERROR")[count % 3], "{}-{}", number, count)
            logger.debug("debug")
            logging.getLogger("pykka").error("pykka-%d-%d", number, count)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    with Logs(LogOptions(file=file, console=False)) as logs:
        for worker in workers:
            worker.start()
        running.wait(30.0)
        rounds = 0
        while any(worker.is_alive() for worker in workers):
            file.rename(tmp_path / f"app.log.{rounds}")
            logs.reopen(
                LogOptions(
                    file=file,
                    console=False,
                    json=bool(rounds % 2),
                    level=("INFO", "DEBUG", "INFO", "TRACE")[rounds % 4],
                )
            )
            rounds += 1
        for worker in workers:
            worker.join()

    assert rounds > 10
    counts: Counter[str] = Counter()
    for path in tmp_path.iterdir():
        found = lines(path)
        if found and found[0].startswith("{"):
            counts.update(json.loads(line)["message"] for line in found)
        else:
            counts.update(messages(path))
    del counts["debug"]
    expected = {f"{n}-{count}" for n in range(threads) for count in range(each)}
    assert counts.keys() == expected | {f"pykka: pykka-{name}" for name in expected}
    assert set(counts.values()) == {1}


def test_an_error_of_misuse_names_the_next_step(tmp_path: Path) -> None:
    logs = Logs(LogOptions(console=False))
    with pytest.raises(RuntimeError, match=r"use open\(\)"):
        logs.reopen()
    logs.close()
    with logs, pytest.raises(RuntimeError, match=r"use reopen\(\)"):
        logs.open()
    logs.close()


def test_each_unknown_level_is_a_line() -> None:
    with pytest.raises(ConfigurationError) as error:
        LogOptions(level="verbose", file_level="wrning")

    first, second = str(error.value).splitlines()
    assert first == f"level 'verbose' is not a log level (levels: {', '.join(LEVELS)})"
    assert second.startswith("file_level 'wrning' is not a log level; did you mean 'WARNING'?")


def test_only_open_changes_loguru_and_logging_and_close_restores_them(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"  # a file: loguru could show the values in its lines
    program.write_text("""if True:
        import logging, sys
        from loguru import logger
        from zenactors.logs.sinks import LogOptions, Logs

        def look():
            root, pykka = logging.getLogger(), logging.getLogger("pykka")
            return [
                (list(each.handlers), each.level, each.propagate) for each in (root, pykka)
            ]

        before = look()
        logs = Logs(LogOptions(root=True))
        logger.info("default")
        mine = logger.add(sys.stdout, format="mine {message}")
        with logs:
            logger.info("opened")
            assert look() != before
        assert look() == before, look()
        logger.remove(mine)
        def fail(secret):
            raise ValueError(secret[:0])
        try:
            fail("hunter" + "2")
        except ValueError:
            logger.exception("closed")
    """)
    result = run_python(program)

    assert result.stdout.splitlines() == ["mine opened"]
    default, opened, after, *_ = result.stderr.splitlines()
    assert default.endswith(" - default")  # loguru's own format
    assert re.fullmatch(TIME + " INFO     opened", opened)
    assert re.fullmatch(TIME + " ERROR    closed", after)
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("default_sink", ["1", "0"])
def test_a_line_comes_once_with_and_without_a_default_sink(default_sink: str) -> None:
    program = """if True:
        from loguru import logger
        from zenactors.logs.sinks import LogOptions, Logs
        with Logs(LogOptions()):
            logger.info("once")
    """
    result = run_python("-c", program, LOGURU_AUTOINIT=default_sink)
    assert len(result.stderr.splitlines()) == 1


def test_a_programs_sink_with_the_default_sinks_number_stays() -> None:
    program = """if True:
        import sys
        from loguru import logger
        from zenactors.logs.sinks import LogOptions, Logs
        assert logger.add(sys.stdout, format="mine {message}") == 0
        with Logs(LogOptions()):
            logger.info("opened")
    """
    result = run_python("-c", program, LOGURU_AUTOINIT="0")
    assert result.stdout == "mine opened\n"


def test_started_without_standard_error_no_sink_is_taken_for_the_default_one(
    tmp_path: Path,
) -> None:
    program = """if True:
        import sys
        from pathlib import Path
        from loguru import logger
        from zenactors.logs.sinks import LogOptions, Logs
        if "mine" in sys.argv:
            assert logger.add("mine.log", format="mine {message}") == 0
        with Logs(LogOptions(file=Path("app.log"))):
            logger.info("opened")
        if "mine" in sys.argv:
            logger.info("closed")
    """
    for word in ("", "mine"):
        closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", program, word]
        subprocess.run(closed, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)

    assert messages(tmp_path / "app.log") == ["opened", "opened"]
    assert lines(tmp_path / "mine.log") == ["mine opened", "mine closed"]
