"""The demonstration does the same as pyzenkit's, and its advice at the start is right."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import zenactors.demo
from tests.forked import ForkServer
from tests.running import LIMIT, ROOT
from zenactors import DemoDaemonComponent, DemoZenDaemon, ZenDaemon
from zenactors.errors import EXIT_NOT_RUNNING, EXIT_OK, EXIT_OS_ERROR, EXIT_USAGE
from zenactors.testing import Harness

TEMPORARY = Path(zenactors.demo._directory()).name


def messages(harness: Harness) -> list[str]:
    return [record.message for record in harness.logs]


def test_component_works_once_a_second_and_counts() -> None:
    with Harness([DemoDaemonComponent()]) as harness:
        harness.advance(3.5)
        counted = harness.component("DemoDaemonComponent").statistics_cur
        assert counted == {"cnt_default": 3, "cnt_another": 15}
        assert "Performing component startup..." in messages(harness)


def test_a_component_asked_to_stop_ends_its_unit_and_begins_none() -> None:
    with Harness([DemoDaemonComponent()]) as harness:
        harness.advance(1.5)
        before = harness.now
        report = harness.stop()
        assert harness.now == before  # it did not wait for the end of the second
        assert (report.drained, report.left) == (True, 0)
        assert harness.component("DemoDaemonComponent").statistics_cur["cnt_default"] == 2
        assert messages(harness)[-2:] == ["Work unit 2 done.", "Performing component shutdown..."]


def test_component_logs_sum_increase_and_rate() -> None:
    with Harness([DemoDaemonComponent()]) as harness:
        for moment in (9.5, 19.5):  # it is logged when the unit under way has ended
            harness.queue.schedule_after(moment, "log_statistics")
        harness.advance(20.5)
        logged = [text for text in messages(harness) if "Processing statistics" in text]
        numbers = [re.findall(r"(cnt_\w+) +(\d+) \( +\+(\d+), +([\d.]+) #/s", t) for t in logged]
        assert numbers == [
            [("cnt_default", "10", "10", "1.00"), ("cnt_another", "50", "50", "5.00")],
            [("cnt_default", "20", "10", "1.00"), ("cnt_another", "100", "50", "5.00")],
        ]


def test_component_logs_zeros_before_its_first_unit_of_work() -> None:
    with Harness([DemoDaemonComponent()]) as harness:
        harness.queue.schedule_priority("log_statistics")
        harness.run_until_idle()
        (logged,) = [text for text in messages(harness) if "Processing statistics" in text]
        assert re.findall(r"(cnt_\w+) +(\d+)", logged) == [
            ("cnt_default", "0"),
            ("cnt_another", "0"),
        ]


def test_daemon_stays_in_the_foreground_and_logs_statistics_every_5_seconds() -> None:
    daemon = DemoZenDaemon()
    assert isinstance(daemon, ZenDaemon)
    assert (daemon.name, daemon.description) == (
        "demo-zendaemon.py",
        "DemoZenDaemon - Demonstration daemon",
    )
    with Harness(daemon) as harness:
        assert daemon.c(daemon.CONFIG_NODAEMON) is True
        harness.advance(20.5)
        logged = [text for text in messages(harness) if "Processing statistics" in text]
        assert len(logged) == 4
        assert harness.status is None  # it goes on


def test_daemon_takes_a_name_and_a_description() -> None:
    daemon = DemoZenDaemon("mine", "My daemon")
    assert (daemon.name, daemon.description) == ("mine", "My daemon")


def test_daemon_ends_by_itself_after_its_number_of_work_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    daemon = DemoZenDaemon()
    daemon.configure({"work_units": 3})
    with Harness(daemon) as harness:
        assert harness.run() == EXIT_OK
        assert harness.now == 3.0
        assert harness.component("DemoDaemonComponent").statistics_cur["cnt_default"] == 3


def command(directory: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "zenactors.demo", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def demo(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    with command(directory, *options) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out, err


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Return the first line of the log that matches. The test fails if there is none."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        if re.search(pattern, line):
            return line
        seen.append(line)
    raise AssertionError(f"no {pattern!r} in {''.join(seen)}")


def test_module_runs_and_its_files_are_in_a_private_directory(tmp_path: Path) -> None:
    with demo(tmp_path, "--work-units", "1") as process:
        status, out, err = end(process)
    assert (status, out) == (EXIT_OK, ""), err
    assert "Work unit 1 done." in err
    (directory,) = tmp_path.iterdir()
    assert directory.name == TEMPORARY
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {path.name for path in directory.iterdir()} == {"demo-zendaemon.py"}
    assert [path.suffix for path in (directory / "demo-zendaemon.py").iterdir()] == [".runlog"]


def test_its_advice_at_the_start_works(tmp_path: Path) -> None:
    directory = tmp_path / TEMPORARY
    with demo(tmp_path) as process:
        said = read_until(process, r"This is process \d+")
        assert f"This is process {process.pid}." in said
        read_until(process, r"startup")
        process.send_signal(signal.SIGUSR2)
        assert str(directory / "demo-zendaemon.py.state") in read_until(process, "State written")
        (directory / "demo-zendaemon.py.conf").write_text('{"stats_interval": 2.5}')
        process.send_signal(signal.SIGHUP)
        assert "stats_interval" in read_until(process, "Configuration reloaded")
        with demo(tmp_path, "--action", "signal-int") as action:
            status, out, err = end(action)
            assert status == EXIT_OK, err
            assert f"process {process.pid}" in out
        status, _, err = end(process)
        assert status == EXIT_OK, err
        assert "ended with status 0" in err
    with demo(tmp_path, "--action", "signal-check") as action:
        assert end(action)[0] == EXIT_NOT_RUNNING


def test_help_lists_the_demonstrations_own_option(tmp_path: Path, forks: ForkServer) -> None:
    command = ("-m", "zenactors.demo")
    done = forks.run(*command, "--help", cwd=tmp_path)
    assert done.returncode == EXIT_OK
    assert "--work-units NUMBER" in done.stdout
    done = forks.run(*command, "--work-units", "few", cwd=tmp_path)
    assert done.returncode == EXIT_USAGE
    assert "--work-units" in done.stderr


@pytest.mark.parametrize("planted", ["link", "open"])
def test_a_directory_that_another_user_may_have_made_is_refused(
    tmp_path: Path, forks: ForkServer, planted: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if planted == "link":
        (tmp_path / TEMPORARY).symlink_to(elsewhere)
    else:
        (tmp_path / TEMPORARY).mkdir()
        (tmp_path / TEMPORARY).chmod(0o777)
    command = ("-m", "zenactors.demo", "--work-units", "1")
    done = forks.run(*command, cwd=tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == EXIT_OS_ERROR
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / TEMPORARY) in done.stderr
    assert list(elsewhere.iterdir()) == []
