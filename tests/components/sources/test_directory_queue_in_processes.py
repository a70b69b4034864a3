"""The cookbook's directory queue: real processes, of which one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.forked import ForkServer
from tests.running import LIMIT, ROOT

EXAMPLE = ROOT / "examples/directory_queue.py"
FILES = 6
RECORDS = 5  # in each file


class Worker:
    """A process that works on the queue in a directory."""

    def __init__(self, forks: ForkServer, name: str, cwd: Path) -> None:
        ours, theirs = os.pipe()
        self.output = os.fdopen(ours, "rb", buffering=0)  # what was read is all that has come
        with os.fdopen(theirs, "wb") as stdout, Path(os.devnull).open("r+b") as null:
            argv = [str(EXAMPLE), "work", name]
            self.process = forks.start(
                argv, environ={}, stdin=null, stdout=stdout, stderr=null, cwd=cwd
            )
        self.done: list[str] = []

    def wait_for_files(self, *, enough: int) -> None:
        """Read what it prints until it has done so many files."""
        while len(self.done) < enough:
            assert select.select([self.output], [], [], LIMIT)[0], "the worker hangs"
            line = self.output.readline()
            assert line, "the worker has ended"
            self.done.append(file_in(line))

    def end(self, number: int) -> int:
        """Send it a signal, read the rest of what it prints, and return its status."""
        self.process.send_signal(number)
        status = self.process.wait(LIMIT)
        self.done += map(file_in, self.output)
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        self.output.close()


def file_in(line: bytes) -> str:
    return line.decode().split()[1]


@contextlib.contextmanager
def workers(forks: ForkServer, cwd: Path, *names: str) -> Iterator[list[Worker]]:
    started = [Worker(forks, name, cwd) for name in names]
    try:
        yield started
    finally:
        for each in started:
            each.close()


def queue_of(cwd: Path) -> dict[str, list[str]]:
    return {
        end: sorted(path.name for path in (cwd / "queue" / end).glob("[!.]*"))
        for end in ("incoming", "pending", "done", "errors")
    }


def records_in(*paths: Path) -> Counter[tuple[str, int]]:
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return Counter((record["file"], record["record"]) for record in map(json.loads, lines))


LAST = f"""
import sys
sys.path.insert(0, {str(EXAMPLE.parent)!r})
import directory_queue
sys.exit(directory_queue.make_worker("last", exit_when_idle=True).serve())
"""


def run_last(forks: ForkServer, cwd: Path) -> None:
    (cwd / "last.py").write_text(LAST)
    last = forks.run(cwd / "last.py", cwd=cwd)
    assert last.returncode == 0, last.stderr


def test_two_processes_lose_no_file_when_one_is_killed(stock_forks, tmp_path):
    filled = stock_forks.run(EXAMPLE, "fill", str(FILES), cwd=tmp_path)
    assert filled.returncode == 0, filled.stderr
    before = {path.name: path.read_bytes() for path in (tmp_path / "queue/incoming").iterdir()}
    assert len(before) == FILES

    with workers(stock_forks, tmp_path, "one", "two") as (one, two):
        one.wait_for_files(enough=1)
        one.end(signal.SIGKILL)
        others = {f"file-{number:03}" for number in range(1, FILES + 1)} - set(one.done)
        while not others <= set(two.done):  # those among them that `one` had when it died
            two.wait_for_files(enough=len(two.done) + 1)
        assert two.end(signal.SIGINT) == 0
    # Perhaps `one` has printed a file that was not in `done` when it died.
    run_last(stock_forks, tmp_path)

    assert queue_of(tmp_path) == {
        "incoming": [],
        "pending": [],
        "done": sorted(before),
        "errors": [],
    }
    assert {path.name: path.read_bytes() for path in (tmp_path / "queue/done").iterdir()} == before
    written = records_in(*tmp_path.glob("*.jsonl"))
    assert len(written) == FILES * RECORDS
    assert max(written.values()) <= 2
    in_hands = sum(count > 1 for count in written.values())
    assert in_hands <= 4 * RECORDS


def test_the_program_of_the_page_is_the_example_and_runs(stock_forks, tmp_path):
    page = (ROOT / "docs/cookbook-directory-queue.md").read_text()
    program = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert program is not None
    assert program[1] == EXAMPLE.read_text()
    done = stock_forks.run(EXAMPLE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"one: file-00{number}" for number in (1, 2, 3)]


def test_the_page_shows_what_becomes_of_a_bad_file(stock_forks, tmp_path):
    page = (ROOT / "docs/cookbook-directory-queue.md").read_text()
    (tmp_path / "queue/incoming").mkdir(parents=True)
    commands = re.findall(r"^echo .*\nmv .*\n", page, re.MULTILINE)
    subprocess.run(["sh", "-c", commands[0]], cwd=tmp_path, check=True)
    run_last(stock_forks, tmp_path)
    shown = re.search(r"^\{\"file\": \"bad.jsonl\".*$", page, re.MULTILINE)
    assert shown is not None
    found = json.loads((tmp_path / "queue/errors/bad.jsonl.why.json").read_text())
    assert {**json.loads(shown[0]), "time": 0} == {**found, "time": 0}
