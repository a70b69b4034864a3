"""Actions on a daemon in every state, as real processes: text and status."""

from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import Whole
from tests.daemon.whole import ACTIONS as EACH
from tests.forked import ForkServer
from zenactors.daemon.actions import send_signal
from zenactors.daemon.runlog import RunlogStore, make_runlog
from zenactors.errors import (
    EXIT_DATA_ERROR,
    EXIT_IO_ERROR,
    EXIT_NO_INPUT,
    EXIT_NO_PERMISSION,
    EXIT_NOT_RUNNING,
    EXIT_OK,
)
from zenactors.process.pidfile import PidFile, instances

SIGNALS = {
    "signal-alrm": signal.SIGALRM,
    "signal-hup": signal.SIGHUP,
    "signal-usr1": signal.SIGUSR1,
    "signal-usr2": signal.SIGUSR2,
    "signal-int": signal.SIGINT,
    "signal-term": signal.SIGTERM,
}
ACTIONS = ["signal-check", *SIGNALS]
INSTANCES = 5

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a daemon of root is needed")


def all_actions(whole: Whole, **how: Any) -> dict[str, tuple[int, str, str]]:
    """Perform all signal actions in one process; return each one's status, output and errors."""
    assert whole.do(environ={EACH: " ".join(ACTIONS)}, **how) == (0, "", "")
    said = {each["word"]: each for each in whole.said()}
    return {
        action: (said[action]["status"], said[action]["out"], said[action]["err"])
        for action in ACTIONS
    }


def test_with_no_daemon_each_action_says_so(whole: Whole) -> None:
    expected = (EXIT_NOT_RUNNING, "", f"Not running: there is no PID file {whole.pid_file}\n")

    assert all_actions(whole) == dict.fromkeys(ACTIONS, expected)


def test_with_a_stale_pid_file_each_action_says_so_and_signals_no_process(whole: Whole) -> None:
    # The process runs, but began at another time: its PID was reused.
    whole.pid_file.write_text(f"{os.getpid()}\n1\n{boot_id()}\n")
    text = f"Not running: the PID file {whole.pid_file} is stale: process {os.getpid()} has ended\n"

    assert all_actions(whole) == dict.fromkeys(ACTIONS, (EXIT_NOT_RUNNING, "", text))


@pytest.mark.parametrize("content", [b"me\n", b"\0\xff", b"-1\n1\n\n"], ids=repr)
def test_with_a_malformed_pid_file_each_action_says_so(whole: Whole, content: bytes) -> None:
    whole.pid_file.write_bytes(content)
    text = f"{whole.pid_file} is no PID file of a zenactors daemon. If no daemon runs, remove it.\n"

    assert all_actions(whole) == dict.fromkeys(ACTIONS, (EXIT_DATA_ERROR, "", text))


def test_a_running_daemon_is_found_and_gets_each_signal(whole: Whole) -> None:
    pid = whole.daemon()
    where = f"process {pid} ({whole.pid_file})\n"

    assert whole.act("signal-check") == (EXIT_OK, f"Running: {where}", "")
    for action in ("signal-alrm", "signal-hup", "signal-usr1", "signal-usr2"):
        name = SIGNALS[action].name
        assert whole.act(action) == (EXIT_OK, f"Sent {name} to {where}", "")
        if action != "signal-alrm":
            whole.hear(action.removeprefix("signal-"))
    assert whole.act("signal-int") == (EXIT_OK, f"Sent SIGINT to {where}", "")
    assert whole.status_of(pid) == EXIT_OK
    assert "Received SIGALRM" in whole.logged()
    assert whole.act("signal-check")[0] == EXIT_NOT_RUNNING


def test_the_state_is_written_when_its_action_returns(whole: Whole) -> None:
    pid = whole.daemon()
    for _ in range(3):
        whole.state.unlink(missing_ok=True)
        assert whole.act("signal-usr2", "--pid-file", whole.pid_file)[0] == EXIT_OK
        assert json.loads(whole.state.read_text())["pid"] == pid


def test_the_runlog_is_written_when_its_action_returns(whole: Whole) -> None:
    pids = [whole.daemon("--parallel") for _ in range(2)]
    for _ in range(3):
        for path in whole.runlogs.iterdir() if whole.runlogs.exists() else ():
            path.unlink()
        assert whole.act("signal-usr1", "--parallel", "--pid-file", whole.pid_file)[0] == EXIT_OK
        written = [json.loads(path.read_text()) for path in whole.runlogs.glob("*.runlog")]
        assert sorted(each["pid"] for each in written) == sorted(pids)
        assert all(each["process_start"] for each in written)


def test_a_runlog_of_another_process_is_not_the_one_that_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zenactors.daemon.actions.PATIENCE", 0.1)
    store = RunlogStore(tmp_path, "x")
    other = make_runlog(name="x", pid=2**22 + 1, start=0.0, end=1.0)
    pid_file = PidFile(tmp_path / "x.pid")
    pid_file.acquire()
    previous = signal.signal(signal.SIGUSR1, lambda *_: store.save(other) and None)
    try:
        outcome = send_signal(signal.SIGUSR1, tmp_path / "x.pid", parallel=False, runlogs=[store])
    finally:
        signal.signal(signal.SIGUSR1, previous)
        pid_file.release()
    assert outcome.status == EXIT_IO_ERROR
    assert f"{tmp_path}/*.runlog has not been written within 0 s" in outcome.text


def test_a_state_that_is_never_written_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zenactors.daemon.actions.PATIENCE", 0.1)
    pid_file = PidFile(tmp_path / "x.pid")
    pid_file.acquire()
    try:
        outcome = send_signal(
            signal.SIGCONT,  # to this process, in which it does nothing
            tmp_path / "x.pid",
            parallel=False,
            written=[tmp_path / "x.state"],
        )
    finally:
        pid_file.release()
    assert outcome.status == EXIT_IO_ERROR
    assert f"{tmp_path}/x.state has not been written within 0 s" in outcome.text


def test_with_a_broken_configuration_the_state_can_be_asked_for(whole: Whole) -> None:
    pid = whole.daemon()
    (whole.directory / "whole.toml").write_text("wrong")
    status, out, err = whole.act("signal-usr2", "--pid-file", whole.pid_file)
    assert (status, err) == (EXIT_OK, "")
    assert out == f"Sent SIGUSR2 to process {pid} ({whole.pid_file})\n"
    whole.hear("usr2")


def test_a_termination_by_action_ends_a_daemon_that_hangs(whole: Whole) -> None:
    pid = whole.daemon(words="hangs")
    whole.hear("hangs")

    assert whole.act("signal-term")[0] == EXIT_OK
    assert whole.status_of(pid) == EXIT_OK


@needs_root
def test_an_ordinary_user_may_not_signal_roots_daemon(whole: Whole, nobody: ForkServer) -> None:
    pid = whole.daemon()

    found = all_actions(whole, server=nobody)

    for status, out, err in found.values():
        assert (status, out) == (EXIT_NO_PERMISSION, "")
        assert err.startswith("Not permitted: ")
        assert err.count("\n") == 1
    assert pid in whole.children()
    assert "Received" not in whole.logged()


@needs_root
def test_root_refuses_a_pid_file_of_another_user(whole: Whole) -> None:
    pid = whole.daemon()  # root's; another user wants root to end it
    forged = whole.directory / "forged.pid"
    forged.write_bytes(whole.pid_file.read_bytes())
    os.chown(forged, 23_457, 23_457)

    status, out, err = whole.act("signal-term", "--pid-file", forged)

    assert (status, out) == (EXIT_NO_PERMISSION, "")
    assert "belongs to user 23457" in err
    assert pid in whole.children()


def test_a_link_a_directory_and_a_pipe_are_not_pid_files(whole: Whole) -> None:
    pid = whole.daemon()
    link, directory, fifo = (
        whole.directory / f"{kind}.pid" for kind in ("link", "directory", "fifo")
    )
    link.symlink_to(whole.pid_file)
    directory.mkdir()
    os.mkfifo(fifo)

    launched = [
        whole.launch("--action", "signal-term", "--pid-file", path)
        for path in (link, directory, fifo)
    ]

    assert [each.left() for each in launched] == [EXIT_DATA_ERROR] * 3
    assert pid in whole.children()


def test_without_a_pid_file_an_action_says_which_option_is_missing(whole: Whole) -> None:
    status, _, err = whole.act("signal-check", "--pid-file", "")

    assert status == EXIT_NOT_RUNNING
    assert "--pid-file" in err


# --- several instances ------------------------------------------------------------------------


def test_of_several_instances_each_has_its_files_and_an_action_reaches_all(whole: Whole) -> None:
    spellings = itertools.cycle(["--paralel", "--parallel"])
    launched = [whole.launch(next(spellings)) for _ in range(INSTANCES)]
    assert [each.end() for each in launched] == [(EXIT_OK, "", "")] * INSTANCES
    pids = {whole.hear("setup")["pid"] for _ in range(INSTANCES)}
    serials = sorted(f"{pid:05x}" for pid in pids)

    files = instances(whole.pid_file)
    assert [each.name for each in files] == [f"whole.{serial}.pid" for serial in serials]
    assert {int(each.read_text().splitlines()[0]) for each in files} == pids

    status, out, _ = whole.act("signal-usr2", "--paralel")
    assert status == EXIT_OK
    assert sorted(out.splitlines()) == sorted(
        f"Sent SIGUSR2 to process {pid} ({whole.directory}/whole.{pid:05x}.pid)" for pid in pids
    )
    assert {whole.hear("usr2")["pid"] for _ in pids} == pids
    states = [whole.directory / f"whole.{serial}.state" for serial in serials]
    assert {json.loads(each.read_text())["pid"] for each in states} == pids

    assert whole.act("signal-int", "--parallel")[0] == EXIT_OK
    assert [whole.status_of(pid) for pid in pids] == [EXIT_OK] * INSTANCES
    runlogs = [json.loads(each.read_text()) for each in whole.runlogs.iterdir()]
    assert {each["pid"] for each in runlogs} == pids
    assert instances(whole.pid_file) == []


def test_an_instance_that_was_killed_does_not_hide_that_the_others_were_reached(
    whole: Whole,
) -> None:
    killed, kept = whole.daemon("--paralel"), whole.daemon("--paralel")
    whole.kill(killed)

    assert whole.act("signal-int", "--paralel")[0] == EXIT_OK
    assert whole.status_of(kept) == EXIT_OK
    assert whole.act("signal-int", "--paralel")[0] == EXIT_NOT_RUNNING


# --- views ------------------------------------------------------------------------------------


def test_the_configuration_is_shown_with_the_origin_of_each_value(whole: Whole) -> None:
    file = whole.directory / "whole.toml"
    file.write_text('stats_interval = 7\n[components.subject]\napi_key = "hidden-from-view"\n')

    status, out, err = whole.act("config-view", "--umask", "027")

    assert (status, err) == (EXIT_OK, "")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert str(file) in rows["stats_interval"]
    assert "command line" in rows["umask"]
    assert "default" in rows["stop_timeout"]
    assert "hidden-from-view" not in out


def test_runlogs_are_listed_and_the_newest_is_shown(whole: Whole) -> None:
    status, out, err = whole.act("runlogs-list")
    assert (status, out, err) == (EXIT_NO_INPUT, "", f"There is no runlog in {whole.runlogs}\n")

    for _ in range(2):
        assert whole.do("--no-daemon", words="idle")[0] == EXIT_OK
    files = sorted(whole.runlogs.iterdir())

    status, out, err = whole.act("runlogs-list")
    assert (status, err) == (EXIT_OK, "")
    assert all(str(each) in out for each in files)

    status, out, err = whole.act("runlog-view")
    assert (status, err) == (EXIT_OK, "")
    newest = max((json.loads(each.read_text()) for each in files), key=lambda each: each["start"])
    assert str(newest["pid"]) in out.replace(",", "")


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
