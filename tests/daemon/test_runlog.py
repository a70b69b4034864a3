"""Runlogs: one file a run, whole or not at all, and only this daemon's old ones removed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from zenactors.daemon.runlog import RunlogError, RunlogStore, make_runlog
from zenactors.daemon.runlog_text import runlog_text, runlogs_text
from zenactors.process.procfs import own_identity

BEGAN = 1_795_515_300.0  # 2026-11-24 10:15:00 UTC
NO_PROCESS = 2**22 + 1  # above the PIDs that Linux gives


def run(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return the runlog of the run that began `number` seconds after the first."""
    start = BEGAN + number
    given = {"name": "demo", "pid": NO_PROCESS, "start": start, "end": start + 75.5, "status": 0}
    return make_runlog(**{**given, **changes})


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "demo.runlogs"


def test_a_run_has_one_file_named_after_its_start_and_process(directory: Path) -> None:
    store = RunlogStore(directory, "demo")
    path = store.save(run(status=None))

    assert path.parent == directory
    assert path.name.startswith("20261124T101500Z-")
    assert store.save(run(dead_letters=3)) == path
    assert RunlogStore(directory, "demo").save(run(dead_letters=4)) == path
    assert names(directory) == [path.name]
    assert store.load(path)["dead_letter_count"] == 4


def test_runs_that_begin_in_the_same_second_have_files_of_their_own(directory: Path) -> None:
    store = RunlogStore(directory, "demo")

    # In containers each PID is 1: then only the fraction of the second differs.
    same = [run(pid=1, start=BEGAN), run(pid=1, start=BEGAN + 0.25), run(pid=2, start=BEGAN)]
    assert len({store.save(each) for each in same}) == 3


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_directory_and_files_are_for_the_user_and_the_group(directory: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = RunlogStore(directory, "demo").save(run())
    finally:
        os.umask(before)

    assert stat.S_IMODE(directory.stat().st_mode) == 0o750 & ~umask
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_directory_whose_parent_is_missing_is_an_error_with_its_path(tmp_path: Path) -> None:
    directory = tmp_path / "no" / "runlogs"
    with pytest.raises(FileNotFoundError) as error:
        RunlogStore(directory, "demo").save(run())

    assert error.value.filename == str(directory)
    assert names(tmp_path) == []


def test_a_file_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    store = RunlogStore(tmp_path / "file", "demo")
    (tmp_path / "file").write_text("no directory")

    with pytest.raises(FileExistsError) as error:
        store.save(run())
    assert error.value.filename == str(tmp_path / "file")


def test_the_newest_are_kept_and_listed_newest_first(directory: Path) -> None:
    store = RunlogStore(directory, "demo", keep=3)
    paths = [store.save(run(number)) for number in (0, 1, 2, 3, 4)]

    assert [entry.path for entry in store.list()] == [paths[4], paths[3], paths[2]]
    assert [entry.start for entry in store.list()] == [BEGAN + 4, BEGAN + 3, BEGAN + 2]
    assert len(names(directory)) == 3


def test_an_old_runs_own_file_is_never_removed_by_itself(directory: Path) -> None:
    store = RunlogStore(directory, "demo", keep=2)
    newer = [store.save(run(number)) for number in (5, 6)]
    own = store.save(run(0))

    assert own.exists()
    assert names(directory) == sorted([own.name, newer[1].name])


def test_files_of_others_are_left_alone(directory: Path, tmp_path: Path) -> None:
    RunlogStore(directory, "other").save(run(0, name="other"))
    outside = tmp_path / "outside"
    outside.write_text("{}")
    foreign = {
        "20261124T101500Z-0a1b2.runlog.bak": "{}",
        "20261124T101500Z-0a1b2.json": "{}",
        "X20261124T101500Z-0a1b2.runlog": "{}",
        "20261124T101500Z-0A1B2.runlog": "{}",
        "20261124T101500Z-00000.runlog": "not JSON",
        "20261124T101500Z-00001.runlog": '["a list"]',
    }
    for name, text in foreign.items():
        (directory / name).write_text(text)
    (directory / "20261124T101500Z-00002.runlog").symlink_to(outside)
    before = names(directory)

    path = RunlogStore(directory, "demo", keep=1).save(run(1))

    assert names(directory) == sorted([*before, path.name])
    assert outside.exists()


def test_an_unreadable_file_is_listed_and_no_reason_to_fail(directory: Path) -> None:
    store = RunlogStore(directory, "demo")
    path = store.save(run())
    (directory / "20261124T101501Z-00001.runlog").write_text('{"format": 1, "na')
    (directory / "20261124T101502Z-00002.runlog").write_text(json.dumps({**run(), "format": 99}))
    (directory / "20261399T999999Z-00003.runlog").write_text("{}")
    (directory / "mine.runlog").write_text("{}")
    (directory / "20261124T101504Z-00004.runlog").mkdir()
    os.mkfifo(directory / "20261124T101505Z-00005.runlog")

    first, *others = store.list()

    assert (first.path, first.problem) == (path, "")
    problems = {entry.path.name: entry.problem for entry in others}
    assert len(problems) == 6
    assert "is no runlog: " in problems["20261124T101501Z-00001.runlog"]
    assert "has format 99" in problems["20261124T101502Z-00002.runlog"]
    assert "name is not that of a runlog" in problems["20261399T999999Z-00003.runlog"]
    assert "name is not that of a runlog" in problems["mine.runlog"]
    assert "directory" in problems["20261124T101504Z-00004.runlog"].lower()
    assert "not a regular file" in problems["20261124T101505Z-00005.runlog"]
    text = runlogs_text(store.list())
    for name, problem in problems.items():
        assert f"{directory / name}: {problem}" in text


def test_no_directory_means_no_runlogs(directory: Path) -> None:
    assert RunlogStore(directory, "demo").list() == []
    assert runlogs_text([]) == "There are no runlogs.\n"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": 2}, "has format 2, and this is zenactors"),
        ({"format": None}, "has format None"),
        ({"name": 7}, "name missing or wrong"),
        ({"start": "now", "end": None}, "start, end missing or wrong"),
        ({"start": float("nan")}, "start missing or wrong"),
    ],
)
def test_a_file_of_another_format_is_refused(
    directory: Path, change: dict[str, Any], expected: str
) -> None:
    store = RunlogStore(directory, "demo")
    path = store.save(run())
    path.write_text(json.dumps({**run(), **change}))

    with pytest.raises(RunlogError) as error:
        store.load(path)
    assert str(path) in str(error.value)
    assert expected in str(error.value)


def test_deeply_nested_garbage_does_not_crash(directory: Path) -> None:
    store = RunlogStore(directory, "demo")
    path = store.save(run())
    path.write_text("[" * 100_000)

    with pytest.raises(RunlogError, match="is no runlog"):
        store.load(path)


def test_a_process_that_still_runs_keeps_its_old_file(directory: Path) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        store = RunlogStore(directory, "demo", keep=1)
        running = store.save(run(0, pid=sleeper.pid, status=None))
        for number in (1, 2):
            store.save(run(number))
        assert running.exists()
        assert len(names(directory)) == 2
    finally:
        sleeper.communicate()

    last = store.save(run(3))  # it was killed: its file is not written again
    assert names(directory) == [last.name]


def test_a_killed_run_whose_pid_another_process_has_got_does_not_run(directory: Path) -> None:
    store = RunlogStore(directory, "demo", keep=1)
    began, boot = own_identity() or (0, "")
    own = store.save(run(3, pid=os.getpid(), status=None, identity=(began, boot)))
    for number, identity in enumerate([(began - 1, boot), (began, "another boot")]):
        store.save(run(number, pid=os.getpid(), status=None, identity=identity))
    results = {each.path: (each.runlog or {}).get("result") for each in store.list()}
    assert results.pop(own) == "running"
    assert list(results.values()) == ["killed"]  # of the other, only the newest was kept

    unknown = store.save(run(4, pid=os.getpid(), status=None))  # as earlier versions wrote it
    assert store.list()[0].path == unknown

    assert (store.list()[0].runlog or {})["result"] == "running"


def test_runlogs_are_as_old_as_their_runs_though_the_clock_began_in_1970(directory: Path) -> None:
    store = RunlogStore(directory, "demo", keep=2)
    for number in (0, 1):
        store.save(run(number))
    before = store.save(run(start=20.0, end=30.0, duration=10.0, status=None))
    late = store.save(run(start=20.0, end=BEGAN + 90, duration=80.0))
    assert late == before
    store.save(run(2))

    entries = store.list()
    assert entries[0].path == late
    assert [entry.start for entry in entries] == [BEGAN + 10, BEGAN + 2]
    assert "2026-11-24 10:15:10 UTC  00:01:20" in runlogs_text(entries)


@pytest.mark.parametrize("clock", [-7.0, 1e12, 1e300])
def test_a_clock_without_a_date_spoils_no_runlog(directory: Path, clock: float) -> None:
    path = RunlogStore(directory, "demo").save(run(start=clock, end=clock, duration=5.0))

    assert [entry.path for entry in RunlogStore(directory, "demo").list()] == [path]
    assert "5.0 s" in runlogs_text(RunlogStore(directory, "demo").list())


def test_many_that_save_at_once_end_with_as_many_as_are_kept(directory: Path) -> None:
    errors: list[BaseException] = []

    def save_many(first: int) -> None:
        store = RunlogStore(directory, "demo", keep=4)
        try:
            for number in range(first, first + 25):
                store.save(run(number))
                store.list()
        except BaseException as cause:
            errors.append(cause)

    threads = [threading.Thread(target=save_many, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []

    RunlogStore(directory, "demo", keep=4).save(run(1_000))
    assert len(names(directory)) == 4


def test_a_runlog_has_the_result_of_a_run() -> None:
    runlog = run(statistics={"tailer": {"lines": {"cnt": 5}}}, events={"line": {"accepted": 5}})

    assert runlog["start_text"] == "2026-11-24T10:15:00.000+00:00"
    assert runlog["end_text"] == "2026-11-24T10:16:15.500+00:00"
    assert (runlog["duration"], runlog["status"], runlog["result"]) == (75.5, 0, "stopped in order")
    assert set(runlog["units"]) <= {*runlog, "cnt", "inc", "spd", "pct", "oldest_token"}
    assert run(status=None)["result"] == "running"
    assert run(status=75)["result"] == "stopped by force"
    assert run(status=42)["result"] == "ended with status 42"
    assert run(end=BEGAN - 10)["duration"] == 0.0  # the clock was set back
    assert json.loads(json.dumps(runlog)) == runlog


def test_no_secret_gets_into_a_runlog(directory: Path) -> None:
    runlog = run(
        argv=["demo", "--password=hunter2", "--db-password", "hunter2", "amqp://me:hunter2@host"],
        left={"config": [{"token": "hunter2"}, b"redis://:hunter2@host"]},
        statistics={"c": {"api_key": "hunter2"}},
    )
    path = RunlogStore(directory, "demo").save(runlog)

    assert "hunter2" not in path.read_text()
    assert "amqp://me:***@host" in path.read_text()
    assert "hunter2" not in runlog_text(runlog)
