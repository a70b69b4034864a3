"""The example `guard.py`: an application of stock components, over crashes, HTTP and reloads."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.components.http_server import Reply, serving
from tests.databases import close_left_over
from tests.running import LIMIT, ROOT
from zenactors import VirtualClock
from zenactors.testing import Harness
from zenactors.testing.files import VirtualFiles

PROGRAM = ROOT / "examples/guard.py"
NOW = 1_750_000_000.0  # the times in the log have no year, which must not be before 1970
BAD, GOOD, WORSE = "198.51.100.7", "192.0.2.10", "203.0.113.99"


@pytest.fixture(autouse=True)
def no_database_is_left_open() -> Iterator[None]:
    yield
    close_left_over()


def failed(address: str, number: int) -> str:
    minute, second = divmod(number, 60)
    return (
        f"Jun 18 04:{minute:02}:{second:02} web1 sshd[{number}]: Failed password for invalid user x"
        f" from {address} port {number} ssh2\n"
    )


def rows(directory: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(directory / "guard.db")) as database:
        return database.execute("SELECT address, count FROM alarms").fetchall()


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_example_has_less_than_80_lines() -> None:
    assert len(PROGRAM.read_text().splitlines()) < 80


# --- crashes, in virtual time ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def guard() -> Any:
    spec = importlib.util.spec_from_file_location("guard_example", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


QUICK = (17, 18)  # of the first 40, those that fail if the tailer is not exactly-once


@pytest.mark.parametrize(
    "seed",
    [*QUICK, *(pytest.param(each, marks=pytest.mark.slow) for each in range(17))],
)
def test_each_alarm_is_there_once_after_crashes_and_rotations(
    guard: Any, tmp_path: Path, seed: int
) -> None:
    def daemon() -> Any:
        config = {"log": "/log/auth.log", "directory": str(tmp_path), "failures": 3}
        return guard.Guard(
            name="guard",
            default_state_dir="/state",
            **{f"default_{key}": value for key, value in config.items()},
        )

    random, files = Random(seed), VirtualFiles()
    files.mkdir(str(tmp_path))
    files.mkdir("/log")
    files.put("/log/auth.log", b"")
    counts: Counter[str] = Counter()
    number = 0

    def append(harness: Harness) -> None:
        nonlocal number
        for _ in range(random.randrange(1, 4)):
            address = random.choice([BAD, GOOD, WORSE])
            counts[address] += 1
            number += 1
            harness.files.append("/log/auth.log", failed(address, number).encode())

    harness = Harness(daemon(), files=files, seed=seed, clock=VirtualClock(NOW))
    harness.__enter__()
    for life in range(3):
        for _ in range(random.randrange(1, 5)):
            append(harness)
            if random.random() < 0.3:
                harness.files.rename("/log/auth.log", f"/log/auth.log.{number}")
                harness.files.put("/log/auth.log", b"")
            harness.advance(random.choice([0.01, 0.3, 1.5]))
        if life < 2:
            for _ in range(random.randrange(50)):
                harness.step()
            harness.kill()
            harness = harness.next_life(daemon())
            harness.__enter__()
    harness.advance(30)
    harness.stop()
    written = harness.files.content(f"{tmp_path}/alarms.jsonl").splitlines()
    harness.close()

    wanted = sorted(address for address, count in counts.items() if count >= 3)
    assert sorted(json.loads(line)["address"] for line in written) == wanted
    assert sorted(address for address, _ in rows(tmp_path)) == wanted


# --- as a process ---------------------------------------------------------------------------------


@contextlib.contextmanager
def running(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    (directory / "auth.log").touch()
    with subprocess.Popen(
        [
            *(sys.executable, str(PROGRAM), "--no-daemon", "--config-dir-silent"),
            *("--log", "auth.log", "--directory", ".", "--state-dir", "state", *options),
        ],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TZ": "UTC"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_log(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return
    pytest.fail(f"no {text!r} in {seen}")


def wait_for_alarms(directory: Path, count: int) -> list[str]:
    """Return the addresses of the alarms, once there are as many; there is no event to wait for."""
    poll = select.poll()
    for _ in range(int(LIMIT / 0.02)):
        alarms = lines_of(directory / "alarms.jsonl")
        if len(alarms) >= count:
            return [alarm["address"] for alarm in alarms]
        poll.poll(20)
    pytest.fail(f"{alarms}")


def append(directory: Path, *addresses: str, begin: int = 0) -> None:
    with (directory / "auth.log").open("a") as file:
        for number, address in enumerate(addresses):
            file.write(failed(address, begin + number))


def test_the_log_of_the_examples_raises_the_alarms_that_the_page_shows(tmp_path: Path) -> None:
    (tmp_path / "auth.log").write_bytes((ROOT / "examples/data/auth.log").read_bytes())
    page = (ROOT / "docs/cookbook-alarms.md").read_text()
    shown = page.partition("```json\n")[2].partition("```")[0].splitlines()
    with running(tmp_path, "--config-file-silent") as process:
        wait_for_alarms(tmp_path, len(shown))
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0

    def without_year(alarm: dict[str, Any]) -> dict[str, Any]:
        return {key: str(value)[4 * (key in ("begin", "end")) :] for key, value in alarm.items()}

    written = lines_of(tmp_path / "alarms.jsonl")
    assert [*map(without_year, written)] == [without_year(json.loads(line)) for line in shown]


def test_addresses_of_the_allow_list_raise_no_alarm(tmp_path: Path) -> None:
    body = json.dumps([{"address": GOOD}]).encode()
    with serving(Reply(200, body, {"Content-Type": "application/json"})) as server:
        options = ("--config-file-silent", "--allow-url", f"{server.url}/allowed")
        with running(tmp_path, *options) as process:
            wait_for_log(process, "1 addresses are allowed")
            append(tmp_path, *[GOOD, BAD] * 5)
            assert wait_for_alarms(tmp_path, 1) == [BAD]
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT) == 0
    assert rows(tmp_path) == [(BAD, 5)]


def test_a_reload_changes_what_raises_an_alarm(tmp_path: Path) -> None:
    config = tmp_path / "guard.toml"
    config.write_text("failures = 5\n")
    with running(tmp_path, "--config-file", "guard.toml") as process:
        wait_for_log(process, "guard starts")
        append(tmp_path, *[BAD] * 5)
        assert wait_for_alarms(tmp_path, 1) == [BAD]
        config.write_text("failures = 2\n")
        process.send_signal(signal.SIGHUP)
        wait_for_log(process, "Configuration reloaded")
        append(tmp_path, WORSE, WORSE, begin=100)
        assert wait_for_alarms(tmp_path, 2) == [BAD, WORSE]
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0


def test_a_kill_loses_no_failure(tmp_path: Path) -> None:
    with running(tmp_path, "--config-file-silent") as process:
        wait_for_log(process, "guard starts")
        append(tmp_path, *[BAD] * 5, *[WORSE] * 4)
        assert wait_for_alarms(tmp_path, 1) == [BAD]
        process.kill()
    append(tmp_path, WORSE, begin=100)
    with running(tmp_path, "--config-file-silent") as process:
        assert wait_for_alarms(tmp_path, 2) == [BAD, WORSE]
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0
    assert sorted(rows(tmp_path)) == [(BAD, 5), (WORSE, 5)]
