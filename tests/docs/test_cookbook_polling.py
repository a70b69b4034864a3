"""The page on polling an API: its programs run as pasted, and show what it says."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.running import LIMIT, ROOT
from tests.test_cookbook import without_its_tests
from tests.test_docs import blocks_of

PAGE = ROOT / "docs/cookbook-polling.md"
BLOCKS = blocks_of(PAGE)
SERVER = next(block.text for block in BLOCKS if block.language == "python")
SPEC = next(block.text for block in BLOCKS if block.language == "toml")
(RUN_LOG, READINGS, REQUESTS, REFUSED, BROKEN, SLOW) = (
    block.text for block in BLOCKS if block.language == "text"
)
PATIENT = ("--set", "components.poller.timeout=30")  # this machine may be busy
QUICK = (*PATIENT, "--set", "components.poller.interval=0.1")


class Pasted:
    """A directory with the files of the page, whose server has a port that is free."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for name, text in (("weather.py", SERVER), ("poll_api.toml", SPEC)):
            assert text.count("8080") == 1
            (directory / name).write_text(text.replace("8080", str(self.port)))
            (directory / name).chmod(0o644)  # as root, what others can change is refused
        directory.chmod(0o755)

    def lines(self, name: str) -> list[str]:
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def has_readings(self, count: int) -> bool:
        return len(self.lines("readings.jsonl")) >= count

    @contextmanager
    def running(self, *argv: str, output: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.directory / output).open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, *argv],
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.kill()  # as in kill -9, unless it has ended
            process.wait(LIMIT)

    @contextmanager
    def serving(self, *argv: str) -> Iterator[None]:
        with self.running("weather.py", *argv, output="requests.txt"):
            wait_until(self.is_served, self)
            yield

    def is_served(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    @contextmanager
    def polling(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        argv = ("-m", "zenactors", "run", "poll_api.toml", "--no-summary", *options)
        with self.running(*argv, output="log.txt") as process:
            yield process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0, self.lines("log.txt")

    def logged(self) -> list[str]:
        """Return the log as the page shows it: without times and figures that vary."""
        return [self.shown(line) for line in self.lines("log.txt")]

    def shown(self, line: str) -> str:
        line = re.sub(r"^\d{4}-\d\d-\d\d [\d:.]+ ", "", line).replace(str(self.port), "8080")
        return re.sub(r"in [\d.]+ s$", "in N s", line)


@pytest.fixture(name="pasted")
def _pasted(tmp_path: Path) -> Pasted:
    return Pasted(tmp_path)


def wait_until(fact: Callable[[], bool], pasted: Pasted) -> None:
    """Look until a fact is there: programs change files, and there is no event to wait for."""
    poll = select.poll()
    for _ in range(int(LIMIT / 0.02)):
        if fact():
            return
        poll.poll(20)
    raise AssertionError(pasted.lines("log.txt"))


def test_the_example_is_that_of_the_page() -> None:
    assert without_its_tests((ROOT / "examples/poll_api.toml").read_text()) == SPEC


def test_the_page_shows_what_the_programs_write(pasted: Pasted) -> None:
    with pasted.serving():
        with pasted.polling(*QUICK) as process:
            readings = READINGS.splitlines()
            wait_until(lambda: pasted.has_readings(len(readings)), pasted)
            pasted.stop(process)
        assert pasted.lines("readings.jsonl")[: len(readings)] == readings
        requests = REQUESTS.splitlines()
        assert pasted.lines("requests.txt")[: len(requests)] == requests
        logged = [pasted.shown(line) for line in RUN_LOG.splitlines()]
        assert pasted.logged()[: len(logged)] == logged

        before = len(pasted.lines("requests.txt"))
        last = json.loads(pasted.lines("readings.jsonl")[-1])["reading"]
        with pasted.polling(*QUICK) as process:
            wait_until(lambda: len(pasted.lines("requests.txt")) > before, pasted)
            pasted.stop(process)
        assert pasted.lines("requests.txt")[before].startswith(f'seen "{last}" answered')
        assert "If-None-Match" in (pasted.directory / "state/poller.store").read_text()


@pytest.mark.parametrize("trouble", ["broken", "slow", None])
def test_what_is_broken_on_purpose_is_reported_as_the_page_shows(
    pasted: Pasted, trouble: str | None
) -> None:
    shown = {"broken": BROKEN, "slow": SLOW, None: REFUSED}[trouble]
    expected = [pasted.shown(line) for line in shown.splitlines()]

    def is_reported() -> bool:
        return set(expected) <= set(pasted.logged())

    server = contextlib.nullcontext() if trouble is None else pasted.serving(trouble)
    with server, pasted.polling("--log-level", "DEBUG") as process:
        wait_until(is_reported, pasted)
        pasted.stop(process)


def test_a_kill_loses_no_reading(pasted: Pasted) -> None:
    with pasted.serving():
        for wanted in (2, 4, 8):
            with pasted.polling(*PATIENT):
                wait_until(functools.partial(pasted.has_readings, wanted), pasted)
        found = {json.loads(line)["reading"] for line in pasted.lines("readings.jsonl")}
        assert found == set(range(max(found) + 1))
