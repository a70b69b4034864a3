"""The cookbook's directory queue: real processes, of which one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.running import LIMIT, ROOT, run_python

EXAMPLE = ROOT / "examples/directory_queue.py"
FILES = 12
RECORDS = 5  # in each file


class Worker:
    """A process that works on the queue in a directory."""

    def __init__(self, name: str, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLE), "work", name],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.done: list[str] = []

    def wait_for_files(self, *, enough: int) -> None:
        """Read what it prints until it has done so many files; the process dies if that hangs."""
        timer = threading.Thread(target=self._kill_late, daemon=True)
        timer.start()
        assert self.process.stdout is not None
        while len(self.done) < enough:
            line = self.process.stdout.readline()
            assert line, "the worker has ended"
            self.done.append(line.split()[1])

    def _kill_late(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(LIMIT)
            return
        self.process.kill()

    def kill(self) -> None:
        self.process.kill()
        rest, _ = self.process.communicate(timeout=LIMIT)
        self.done += [line.split()[1] for line in rest.splitlines()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=LIMIT)
        self.done += [line.split()[1] for line in rest.splitlines()]
        return self.process.returncode


@contextlib.contextmanager
def workers(cwd: Path, *names: str) -> Iterator[list[Worker]]:
    started = [Worker(name, cwd) for name in names]
    try:
        yield started
    finally:
        for each in started:
            each.process.kill()
            each.process.communicate()


def queue_of(cwd: Path) -> dict[str, list[str]]:
    return {
        end: sorted(path.name for path in (cwd / "queue" / end).glob("[!.]*"))
        for end in ("incoming", "pending", "done", "errors")
    }


def records_in(*paths: Path) -> Counter[tuple[str, int]]:
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return Counter((record["file"], record["record"]) for record in map(json.loads, lines))


LAST = """
import sys
import directory_queue
sys.exit(directory_queue.make_worker("last", exit_when_idle=True).serve())
"""


def test_two_processes_lose_no_file_when_one_is_killed(tmp_path):
    filled = run_python(EXAMPLE, "fill", str(FILES), cwd=tmp_path)
    assert filled.returncode == 0, filled.stderr
    before = {path.name: path.read_bytes() for path in (tmp_path / "queue/incoming").iterdir()}
    assert len(before) == FILES

    with workers(tmp_path, "one", "two") as (one, two):
        one.wait_for_files(enough=1)
        one.kill()
        others = {f"file-{number:03}" for number in range(1, FILES + 1)} - set(one.done)
        while not others <= set(two.done):  # those among them that `one` had when it died
            two.wait_for_files(enough=len(two.done) + 1)
        assert two.stop() == 0
    # Perhaps `one` has printed a file that was not in `done` when it died.
    last = run_python("-c", LAST, cwd=tmp_path, PYTHONPATH=f"{ROOT}:{EXAMPLE.parent}")
    assert last.returncode == 0, last.stderr

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


def test_the_program_of_the_page_is_the_example_and_runs(tmp_path):
    page = (ROOT / "docs/cookbook-directory-queue.md").read_text()
    program = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert program is not None
    assert program[1] == EXAMPLE.read_text()
    done = run_python(EXAMPLE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"one: file-00{number}" for number in (1, 2, 3)]


def test_the_page_shows_what_becomes_of_a_bad_file(tmp_path):
    page = (ROOT / "docs/cookbook-directory-queue.md").read_text()
    (tmp_path / "queue/incoming").mkdir(parents=True)
    commands = re.findall(r"^echo .*\nmv .*\n", page, re.MULTILINE)
    subprocess.run(["sh", "-c", commands[0]], cwd=tmp_path, check=True)
    last = run_python("-c", LAST, cwd=tmp_path, PYTHONPATH=f"{ROOT}:{EXAMPLE.parent}")
    assert last.returncode == 0, last.stderr
    shown = re.search(r"^\{\"file\": \"bad.jsonl\".*$", page, re.MULTILINE)
    assert shown is not None
    found = json.loads((tmp_path / "queue/errors/bad.jsonl.why.json").read_text())
    assert {**json.loads(shown[0]), "time": 0} == {**found, "time": 0}
