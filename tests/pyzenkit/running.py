"""Run a program of pyzenkit's as a real process, under pyzenkit or under zenactors.pyzenkit."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.running import LIMIT, ROOT

PROGRAMS = Path(__file__).parent / "programs"
MANY = 1_000  # lines; no program has so much to say
PACKAGES = ("pyzenkit", "zenactors.pyzenkit")
LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:(?P<name>\S+) \[(?P<pid>\d+)\] )?"
    r"(?P<level>[A-Z]+): (?P<text>.*)$",
    re.M,
)


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
    directory: Directory,
    program: str,
    *options: str,
    signals: Sequence[int | str] = (),
    background: bool = False,
) -> Outcome:
    """Run a program to its end.

    Args:
        directory: Its directory.
        program: Its name.
        options: Its options, in which `DIRECTORY` stands for the directory.
        signals: Sent to the daemon one by one, each when it has said "ready"; or the actions that
            send them.
        background: Whether it goes to the background.
    """
    path = directory.path
    environment = {
        **{key: value for key, value in os.environ.items() if key != "LOGURU_LEVEL"},
        "APP_ROOT_PATH": str(path),
        "TRACE": str(path / "trace"),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, program, *(each.replace("DIRECTORY", str(path)) for each in options)],
        cwd=path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=0o027,
    )
    pid = process.pid
    daemon: int | None = None
    waiting = list(signals)
    said: list[str] = []
    try:
        for line in _lines(directory.reader):
            assert len(said) < MANY, said[-20:]
            said.append(line.replace(str(path), "DIRECTORY"))
            if background and daemon is None and (files := list((path / "run").glob("*.pid"))):
                daemon = pid = int(files[0].read_text().partition("\n")[0])
            if line == "ready" and waiting:
                sign = waiting.pop(0)
                if isinstance(sign, int):
                    os.kill(pid, sign)
                else:
                    action = [sys.executable, program, "--action", sign]
                    subprocess.run(
                        action, cwd=path, env={**environment, "TRACE": os.devnull}, check=True
                    )
        out, err = process.communicate(timeout=LIMIT)
        ended = _reaped()
    finally:
        for each in (pid, process.pid):
            if process.returncode is None or each == daemon:
                _kill(each)
    assert not waiting, f"it was never ready: {said} {err}"
    return Outcome(
        said,
        process.returncode,
        ended.get(daemon),
        _unframed(out).replace(str(path), "DIRECTORY"),
        list(_own_lines(_log(path))),
        list(_own_lines(err)),
        dict(_files(path)),
        err.replace(str(path), "DIRECTORY"),
    )


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


def _reaped() -> dict[int | None, int]:
    """Wait for all children, adopted ones too; return their exit statuses."""
    ended: dict[int | None, int] = {}
    with contextlib.suppress(ChildProcessError):  # there are no more
        while True:
            pid, status = os.waitpid(-1, 0)
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


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
