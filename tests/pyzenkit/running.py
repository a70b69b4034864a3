"""Run a program of pyzenkit's as a real process, under pyzenkit or under zenactors.pyzenkit."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.forking import ForkServer
from tests.running import LIMIT, ROOT

PROGRAMS = Path(__file__).parent / "programs"
VARIABLES = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
MANY = 1_000  # lines; no program has so much to say
PACKAGES = ("pyzenkit", "zenactors.pyzenkit")
LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:(?P<name>\S+) \[(?P<pid>\d+)\] )?"
    r"(?P<level>[A-Z]+): (?P<text>.*)$",
    re.M,
)


def be_program(
    directory: str, program: str, options: list[str], environment: dict[str, str]
) -> None:
    """Be a program, in a process that was forked."""
    _enter(directory, environment)
    sys.argv = [program, *options]
    sys.path[0] = directory
    runpy.run_path(program, run_name="__main__")


def become_program(
    directory: str, program: str, options: list[str], environment: dict[str, str]
) -> None:
    """Become a process that starts Python for a program."""
    _enter(directory, environment)
    os.execv(sys.executable, [sys.executable, program, *options])


def _enter(directory: str, environment: dict[str, str]) -> None:
    os.umask(0o027)
    os.chdir(directory)
    os.environ.pop("LOGURU_LEVEL", None)
    os.environ.update(environment)


@dataclasses.dataclass
class Outcome:
    """What one run has left.

    Attributes:
        said: What the program has written to its trace, line by line.
        status: The exit status of the process that was started.
        daemon_status: That of the daemon, if it went to the background.
        out: What the program has printed itself.
        logged: The program's own lines in its log file, with their levels.
        console: The same of its standard error.
        files: The files that are left, and the content of those in JSON.
        err: Its whole standard error.
    """

    said: list[str]
    status: int
    daemon_status: int | None
    out: str
    logged: list[tuple[str, str]]
    console: list[tuple[str, str]]
    files: dict[str, Any]
    err: str = dataclasses.field(compare=False)


class Directory:
    """A directory for one run, with everything that the programs expect."""

    def __init__(self, path: Path, package: str) -> None:
        self.path = path
        for name in ("run", "log", "etc", "spool", "spool.done", "etc/poller.py"):
            (path / name).mkdir(parents=True)
        (path / "etc/pipeline.py-x").mkdir()
        os.mkfifo(path / "trace")
        self.reader = os.open(path / "trace", os.O_RDONLY | os.O_NONBLOCK)
        for program in PROGRAMS.glob("*.py"):
            # As a user does it: sed s/pyzenkit/zenactors.pyzenkit/
            text = re.sub(r"\bpyzenkit(?=\.)", package, program.read_text())
            (path / program.name).write_text(text)

    def write(self, files: Mapping[str, Any]) -> None:
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (self.path / name).write_text(text.replace("DIRECTORY", str(self.path)))


def run(
    server: ForkServer,
    directory: Directory,
    program: str,
    *options: str,
    signals: Sequence[int | str] = (),
    background: bool = False,
    by: Callable[..., None] = be_program,
) -> Outcome:
    """Run a program to its end.

    Args:
        server: Forks its process.
        directory: Its directory.
        program: Its name.
        options: Its options, in which `DIRECTORY` stands for the directory.
        signals: Sent to the daemon one by one, each when it has said "ready"; or the actions that
            send them.
        background: Whether it goes to the background.
        by: What its process does: it runs the program at once, or starts Python for it.
    """
    path = directory.path
    environment = {"APP_ROOT_PATH": str(path), "TRACE": str(path / "trace")}
    with (
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
        server.start(
            by,
            stdout=stdout,
            stderr=stderr,
            directory=str(path),
            program=program,
            options=[each.replace("DIRECTORY", str(path)) for each in options],
            environment=environment,
        ) as process,
    ):
        pid = process.pid
        daemon: int | None = None
        waiting = list(signals)
        said: list[str] = []
        try:
            for line in _lines(directory.reader):
                assert len(said) < MANY, said[-20:]
                said.append(line.replace(str(path), "DIRECTORY"))
                if background and daemon is None and (found := _pids(path)):
                    (daemon,) = found
                    pid = daemon
                if line == "ready" and waiting:
                    sign = waiting.pop(0)
                    if isinstance(sign, int):
                        os.kill(pid, sign)
                    else:
                        _act(path, program, sign)
            status = process.wait(LIMIT)
        finally:
            for each in () if process.statuses else _pids(path):
                _kill(each)
        out, err = (_content(stream) for stream in (stdout, stderr))
    assert not waiting, f"it was never ready: {said} {err}"
    return Outcome(
        said,
        status,
        process.statuses.get(daemon or 0),
        _unframed(out).replace(str(path), "DIRECTORY"),
        list(_own_lines(_log(path))),
        list(_own_lines(err)),
        dict(_files(path)),
        err.replace(str(path), "DIRECTORY"),
    )


def _pids(path: Path) -> list[int]:
    """Return the PID of the daemon, if it has written it."""
    texts = [file.read_text() for file in (path / "run").glob("*.pid")]
    return [int(text.partition("\n")[0]) for text in texts if text]


def _lines(reader: int) -> Iterator[str]:
    """Yield the lines of a FIFO until its last writer has ended."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    rest, deadline = "", time.monotonic() + LIMIT
    while True:
        assert poll.poll(max(0.0, deadline - time.monotonic()) * 1000), "the program hangs"
        found = os.read(reader, 65_536).decode()
        if not found:
            assert not rest, rest
            return
        *lines, rest = (rest + found).split("\n")
        yield from lines


def _act(path: Path, program: str, action: str) -> None:
    """Run the program's action."""
    subprocess.run(
        [sys.executable, program, "--action", action],
        cwd=path,
        env={**os.environ, **VARIABLES, "APP_ROOT_PATH": str(path), "TRACE": os.devnull},
        check=True,
    )


def _content(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _log(path: Path) -> str:
    return "".join(each.read_text() for each in sorted((path / "log").iterdir()))


def _own_lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines that the programs log themselves: they begin with ">"."""
    for found in LINE.finditer(text):
        if found["text"].startswith("> "):
            yield found["level"], found["text"]


def _unframed(out: str) -> str:
    """Return what a program prints, without what the framework prints for it."""
    lines = out.splitlines()
    start = next((n for n, line in enumerate(lines) if line.startswith("{'callbacks'")), None)
    return "\n".join(lines[:start])  # pyzenkit prints the whole state; see DIFFERENT


def _files(path: Path) -> Iterator[tuple[str, Any]]:
    for each in sorted(path.rglob("*")):
        name = str(each.relative_to(path))
        if each.is_file() and not name.endswith((".py", ".log", ".pyc")):
            content = each.read_text()
            if "state" in name:
                yield name, "a state"
            else:
                yield name, content.replace(str(path), "DIRECTORY")
        elif each.is_file():
            yield re.sub(r"__pycache__/.*", "__pycache__", name), "a file"
