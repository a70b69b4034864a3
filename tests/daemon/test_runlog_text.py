"""Runlogs as text: aligned, complete, and safe for a terminal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.test_runlog import BEGAN, run
from zenactors.daemon.runlog import RunlogStore
from zenactors.daemon.runlog_text import runlog_text, runlogs_text


def test_people_get_aligned_text() -> None:
    text = runlog_text(
        run(
            pid=77,
            argv=["demo", "-v"],
            dead_letters=2,
            accounting={
                "text": "12,001 accepted = 12,001 completed",
                "components": {"tailer": {"handled": 7, "failed": 0}},
            },
            events={"line": {"accepted": 12_000, "completed": 11_998}, "x": {"accepted": 1}},
            statistics={"tailer": {"lines": {"cnt": 12_000, "spd": 1.5}}, "idle": {}},
            left={"queued": 0, "unfinished": ["writer", "tailer"], "nothing": []},
        )
    )

    for line in (
        "daemon                 demo",
        "process                77",
        "command                demo -v",
        "started                2026-11-24 10:15:00 UTC",
        "duration               00:01:16",
        "result                 stopped in order",
        "exit status            0",
        "all events  12,001 accepted = 12,001 completed",
        "dead letters           2",
        "left: unfinished       writer, tailer",
        "events  accepted  completed",
        "line      12,000     11,998",
        "x              1",
        "components  handled  failed",
        "tailer  7  0",
        "statistics       cnt   spd",
        "tailer lines  12,000  1.50",
    ):
        assert line.split() in [each.split() for each in text.splitlines()], line
    assert "line      12,000     11,998" in text.splitlines()
    assert "nothing" not in text
    columns = {
        line.index(word) for line, word in zip(text.splitlines(), ("demo", "77"), strict=False)
    }
    assert len(columns) == 1


@pytest.mark.parametrize(
    ("python", "shown"),
    [
        ({"version": "3.13.0", "gil": True}, "3.13.0"),
        ({"version": "3.14.0", "gil": False}, "3.14.0, without the GIL"),
        (None, "unknown"),
    ],
)
def test_it_shows_the_interpreter(python: dict[str, Any] | None, shown: str) -> None:
    head, *_ = runlog_text(run(python=python)).split("\n\n")
    rows = dict(line.split(maxsplit=1) for line in head.splitlines())
    assert rows["Python"] == shown


def test_a_list_shows_each_run_in_a_line(tmp_path: Path) -> None:
    store = RunlogStore(tmp_path, "demo")
    paths = [
        store.save(run(0)),
        store.save(run(9, status=None, end=BEGAN + 200_000, pid=os.getpid())),
    ]

    head, newest, oldest = runlogs_text(store.list()).splitlines()

    assert head.split() == ["STARTED", "DURATION", "STATUS", "RESULT", "FILE"]
    assert newest.split() == [
        *("2026-11-24", "10:15:09", "UTC", "2", "d", "07:33:11", "-", "running"),
        str(paths[1]),
    ]
    assert oldest.index("stopped in order") == newest.index("running") == head.index("RESULT")


def test_a_run_that_was_killed_is_listed_as_killed(tmp_path: Path) -> None:
    store = RunlogStore(tmp_path, "demo")
    store.save(run(status=None))

    (entry,) = store.list()
    assert runlogs_text([entry]).splitlines()[1].split()[-2] == "killed"
    assert entry.runlog is not None
    assert ["result", "killed"] in [each.split() for each in runlog_text(entry.runlog).splitlines()]


def test_control_characters_are_shown_and_not_sent_to_a_terminal() -> None:
    text = runlog_text(run(name="a\x1b[2Jb\nc\udc80"))

    assert "a\\x1b[2Jb\\nc\\udc80" in text
    assert "\x1b" not in text


def test_an_edited_runlog_does_not_crash() -> None:
    odd = {**run(), "events": [1], "statistics": {"x": 3}, "left": "l", "argv": None, "start": 1e30}

    assert "1e+30" in runlog_text(odd)
    assert "events" in runlog_text({key: run()[key] for key in ("name", "pid", "start", "end")})
