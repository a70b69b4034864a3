"""Sinks of an application: no line lost or doubled, no secret shown, nobody who logs fails."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from zenactors.errors import ConfigurationError
from zenactors.logs.file import LogFile, open_log_file
from zenactors.logs.sinks import LEVELS, LogOptions, Logs

Capture = pytest.CaptureFixture[str]
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture(autouse=True)
def clean_process() -> Iterator[None]:
    """Leave loguru without sinks, and logging as it was."""
    sources = (logging.getLogger(), logging.getLogger("pykka"))
    before = [(list(each.handlers), each.level, each.propagate) for each in sources]
    logger.remove()
    yield
    logger.remove()
    for source, (handlers, level, propagate) in zip(sources, before, strict=True):
        source.handlers[:] = handlers
        source.setLevel(level)
        source.propagate = propagate


def objects(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in lines(file)]


def lines(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def messages(file: Path) -> list[str]:
    return [line.split(maxsplit=3)[3] for line in lines(file)]


# --- what is written ------------------------------------------------------------------------


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


def test_a_line_of_json_tells_all_that_is_known(tmp_path: Path) -> None:
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
        for level in ("DEBUG", "INFO"):  # which come by two handlers
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


def test_fields_of_json_that_a_text_would_not_show_are_redacted(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    with Logs(LogOptions(file=file, json=True, console=False)):
        logger.info("Connected to {host}", host="db", password="hunter2", url="redis://:hunter2@db")

    assert objects(file)[0]["url"] == "redis://:***@db"
    assert "hunter2" not in file.read_text()


# --- the file -------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_others_cannot_read_a_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        os.close(open_log_file(tmp_path / "a.log"))
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a.log").stat().st_mode) == 0o640 & ~umask


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none/a.log", "No such file or directory. Make its folder first."),
        (".", "Is a directory. Give the path of a file."),
        ("..", "Is a directory. Give the path of a file."),
        ("file/a.log", "Not a directory. Choose another file."),
        ("pipe", "No such device or address. Choose another file."),  # nobody reads it
        ("loop", "Too many levels of symbolic links. Choose another file."),
    ],
)
def test_what_cannot_be_opened_is_one_line_and_changes_nothing(
    tmp_path: Path, path: str, reason: str, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    number = logger.add(sys.stderr, format="{message}")

    with pytest.raises(ConfigurationError) as error:
        Logs(LogOptions(file=tmp_path / path)).open()

    assert str(error.value) == f"Log file '{tmp_path / path}' cannot be opened: {reason}"
    logger.info("as before")
    assert capsys.readouterr().err == "as before\n"
    assert not (tmp_path / "none").exists()
    logger.remove(number)


def test_a_pipe_that_somebody_reads_holds_lines_up_and_loses_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    fd = open_log_file(tmp_path / "pipe")
    blocking = os.get_blocking(fd)
    os.close(fd)
    os.close(reader)

    assert blocking


def test_links_of_ones_own_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "relative").symlink_to("real")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative" / ".." / "relative")
    (tmp_path / "real" / "link.log").symlink_to("../real/a.log")
    fd = open_log_file(tmp_path / "absolute" / "link.log")
    os.write(fd, b"x")
    os.close(fd)

    assert (tmp_path / "real" / "a.log").read_text() == "x"


@pytest.fixture
def open_to_all(tmp_path: Path) -> Path:
    """Return a folder like /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.mark.parametrize("mode", [0o1777, 0o757, 0o775])
def test_links_in_a_folder_that_others_can_write_are_not_followed(
    tmp_path: Path, open_to_all: Path, mode: int
) -> None:
    if mode == 0o775:
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder to another group")
        os.chown(open_to_all, -1, 12345)
    target = tmp_path / "passwd"
    target.write_text("root")
    (open_to_all / "a.log").symlink_to(target)
    (open_to_all / "sub").symlink_to(tmp_path)
    (open_to_all / "new.log").symlink_to(tmp_path / "new")
    (tmp_path / "trusted.log").symlink_to(open_to_all / "a.log")
    open_to_all.chmod(mode)

    for path in ("tmp/a.log", "tmp/sub/b.log", "tmp/new.log", "trusted.log"):
        with pytest.raises(PermissionError, match="symbolic link in a folder that others") as error:
            open_log_file(tmp_path / path)
        assert error.value.filename == str(tmp_path / path)

    assert target.read_text() == "root"
    assert not (tmp_path / "b.log").exists()
    assert not (tmp_path / "new").exists()


def test_in_a_folder_that_others_can_write_a_file_of_ones_own_is_fine(open_to_all: Path) -> None:
    for _ in range(2):
        os.close(open_log_file(open_to_all / "a.log"))


def test_what_others_may_have_put_there_is_not_written_to(
    tmp_path: Path, open_to_all: Path
) -> None:
    (tmp_path / "passwd").write_text("root")
    os.link(tmp_path / "passwd", open_to_all / "second name")
    os.mkfifo(open_to_all / "pipe")
    reader = os.open(open_to_all / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    for name in ("second name", "pipe"):
        with pytest.raises(PermissionError, match="others have put it there"):
            open_log_file(open_to_all / name)
    os.close(reader)


@needs_root
def test_another_users_file_is_not_written_to_in_a_folder_of_all(open_to_all: Path) -> None:
    (open_to_all / "a.log").write_text("")
    os.chown(open_to_all / "a.log", 12345, 12345)

    with pytest.raises(PermissionError):  # our own words, or the kernel's
        open_log_file(open_to_all / "a.log")


@needs_root
def test_another_users_folder_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "his").mkdir()
    (tmp_path / "his" / "a.log").symlink_to(tmp_path / "passwd")
    os.chown(tmp_path / "his", 12345, 12345)

    with pytest.raises(PermissionError, match="symbolic link"):
        open_log_file(tmp_path / "his" / "a.log")


def test_standard_output_may_be_the_log_file_also_as_a_pipe() -> None:
    program = (
        "from pathlib import Path; from loguru import logger;"
        "from zenactors.logs.sinks import Logs, LogOptions;"
        "logs = Logs(LogOptions(file=Path('/dev/stdout'), console=False)); logs.open();"
        "logger.info('one'); logs.reopen(); logger.info('two')"
    )
    out = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60)

    assert [line.split()[-1] for line in out.splitlines()] == ["one", "two"]


def test_a_relative_file_stays_where_it_was_meant(
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


# --- reopening ------------------------------------------------------------------------------


def test_a_failed_reopen_goes_on_as_before_and_says_why(tmp_path: Path, capsys: Capture) -> None:
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


def test_options_may_change_all_there_is(tmp_path: Path, capsys: Capture) -> None:
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

    def wanted(number: int, lowest: str) -> list[str]:
        return [f"{number}{level}" for level in LEVELS[LEVELS.index(lowest) :]]

    shown = [line.split()[-1] for line in capsys.readouterr().err.splitlines()]
    assert shown == [
        *wanted(0, "WARNING"),
        *wanted(1, "DEBUG"),
        *wanted(3, "CRITICAL"),
        *wanted(4, "INFO"),
        *wanted(5, "ERROR"),
    ]
    plain, formed = lines(a)[:3], lines(a)[3:]
    assert [line.split()[-1] for line in plain] == wanted(0, "WARNING")
    assert [json.loads(line)["message"] for line in formed] == wanted(1, "DEBUG")
    assert messages(b) == [*wanted(3, "TRACE"), *wanted(4, "INFO")]


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads be interrupted often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_no_line_is_lost_or_doubled_while_files_levels_and_forms_change(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    threads, each = 4, 1_500
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


def test_misuse_says_what_to_do(tmp_path: Path) -> None:
    logs = Logs(LogOptions(console=False))
    with pytest.raises(RuntimeError, match=r"use open\(\)"):
        logs.reopen()
    logs.close()
    with logs, pytest.raises(RuntimeError, match=r"use reopen\(\)"):
        logs.open()
    logs.close()


def test_an_unknown_level_is_a_line_each() -> None:
    with pytest.raises(ConfigurationError) as error:
        LogOptions(level="verbose", file_level="wrning")

    first, second = str(error.value).splitlines()
    assert first == f"level 'verbose' is no log level (there are {', '.join(LEVELS)})"
    assert second.startswith("file_level 'wrning' is no log level; did you mean 'WARNING'?")


# --- what cannot be written -----------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_once_and_nobody_fails(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    options = LogOptions(file=Path("/dev/full"), console=False)
    with Logs(options) as logs:
        for number in range(3):
            logger.info("lost {}", number)
        assert capsys.readouterr().err == (
            "Log file '/dev/full' cannot be written: No space left on device. Lines are lost.\n"
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
def test_nor_does_anybody_fail_without_standard_error(
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
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    assert (
        result.stderr == f"Log file '{path}' cannot be written: File too large. Lines are lost.\n"
    )
    first, torn, note, last = lines(path)
    assert (json.loads(first)["message"], json.loads(last)["message"]) == ("one", "two")
    assert len(torn) == 10
    assert json.loads(note)["message"] == "2 lines before this one are lost: File too large"


def test_a_vanished_folder_is_no_error_until_it_is_reopened(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "a.log"
    file.parent.mkdir()
    with Logs(LogOptions(file=file, console=False)) as logs:
        file.unlink()
        file.parent.rmdir()
        logger.info("into nothing")
        with pytest.raises(ConfigurationError, match="No such file or directory"):
            logs.reopen()
        file.parent.mkdir()
        logs.reopen()
        logger.info("there again")

    assert messages(file) == ["there again"]


def test_a_console_that_nobody_reads_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_is_written_after_the_end_goes_nowhere(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log", 0, json=False)
    number = logger.add(file, format="{message}")
    file.stop()
    logger.error("too late")
    logger.remove(number)

    assert (tmp_path / "a.log").read_text() == ""


# --- loguru and logging, before and after ----------------------------------------------------


def test_only_an_application_changes_anything_and_closing_leaves_it_as_expected(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"  # a file: of its lines loguru could show the values
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
    result = subprocess.run(
        [sys.executable, program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    assert result.stdout.splitlines() == ["mine opened"]
    default, opened, after, *_ = result.stderr.splitlines()
    assert default.endswith(" - default")  # as loguru does it
    assert re.fullmatch(TIME + " INFO     opened", opened)
    assert after.endswith(" - closed")
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("variable", [{}, {"LOGURU_AUTOINIT": "0"}])
def test_it_works_with_and_without_a_default_sink(variable: dict[str, str]) -> None:
    program = """if True:
        from loguru import logger
        from zenactors.logs.sinks import LogOptions, Logs
        with Logs(LogOptions()):
            logger.info("once")
    """
    result = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variable},
    )
    assert len(result.stderr.splitlines()) == 1


def test_pykka_is_heard_from_warnings_up_and_only_once(capsys: Capture) -> None:
    first, second = Logs(LogOptions(level="DEBUG")), Logs(LogOptions(console=False))
    with first, second:
        logging.getLogger("pykka").info("quiet")
        logging.getLogger("pykka").error("an {actor} failed")
        logging.getLogger("elsewhere").info("not taken in")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("ERROR    pykka: an {actor} failed")


def test_all_of_standard_logging_can_be_taken_in(tmp_path: Path) -> None:
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
        source.warning("not taken in")

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


def test_a_line_whose_arguments_do_not_fit_comes_in_all_the_same(capsys: Capture) -> None:
    with Logs(LogOptions()):
        logging.getLogger("pykka").error("does %d fit", "x")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pykka: does %d fit ('x',) (TypeError)")


def test_lines_that_somebody_leads_back_into_logging_do_not_go_in_circles(
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


# --- nobody reads ---------------------------------------------------------------------------


@pytest.fixture
def full_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe that nobody reads and that takes nothing more."""
    monkeypatch.setattr("zenactors.logs.file.PATIENCE", 0.05)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_console_that_nobody_reads_holds_nobody_up(
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


def test_a_log_file_that_is_a_pipe_nobody_reads_holds_nobody_up(
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

    assert "1000 lines before this one are lost: Nobody reads it" in shown
    assert shown.endswith("read again\n")
    assert "cannot be written: Nobody reads it" in capsys.readouterr().err
