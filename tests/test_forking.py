"""Processes that are forked from a server end, fail and hang as others do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.forking import ForkServer
from tests.running import LIMIT


def speak(words: str, status: int) -> int:
    sys.stdout.write(words)
    sys.stderr.write(words.upper())
    return status


def fail() -> None:
    raise LookupError("no such thing")


def leave_a_child_behind() -> None:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(writer)
        os.read(reader, 1)  # until the process that has forked it ends
        sys.exit(5)


def leave_one_behind_that_hangs() -> None:
    if os.fork() == 0:
        signal.pause()


def hang() -> None:
    sys.stdout.write("before")
    sys.stdout.flush()
    signal.pause()


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer("tests.test_forking") as server:
        yield server


def test_each_has_streams_and_a_status_of_its_own(server: ForkServer) -> None:
    for status, words in enumerate(("one", "two")):
        done = server.run(speak, limit=LIMIT, words=words, status=status)
        assert (done.stdout, done.stderr, done.returncode) == (words, words.upper(), status)


def test_one_that_raises_shows_its_traceback(server: ForkServer) -> None:
    done = server.run(fail, limit=LIMIT)
    assert done.returncode == 1
    assert done.stderr.endswith("LookupError: no such thing\n")


def test_one_that_hangs_is_killed_at_its_limit_and_the_next_runs(server: ForkServer) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as hung:
        server.run(hang, limit=1.0)
    assert "before".startswith(str(hung.value.stdout))  # under load it may not have come so far
    assert server.run(speak, limit=LIMIT, words="on", status=0).stdout == "on"


def test_a_signal_reaches_one_that_runs(server: ForkServer) -> None:
    with server.start_and_read(hang) as process:
        assert process.stdout.read(6) == b"before"
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == -signal.SIGTERM


def test_one_has_ended_when_those_that_it_leaves_behind_have(server: ForkServer) -> None:
    with server.start_and_read(leave_a_child_behind) as process:
        assert process.wait(LIMIT) == 0
        assert sorted(process.statuses.values()) == [0, 5]


def test_one_that_hangs_and_was_left_behind_is_killed_too(server: ForkServer) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        server.run(leave_one_behind_that_hangs, limit=1.0)
    assert server.run(speak, limit=LIMIT, words="on", status=0).stdout == "on"
