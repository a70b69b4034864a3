"""Every status that a daemon can leave with, as real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.daemon.conftest import Whole
from tests.forked import ForkServer
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_CONFIG,
    EXIT_DATA_ERROR,
    EXIT_FAILURE,
    EXIT_FORCED_STOP,
    EXIT_IO_ERROR,
    EXIT_NO_INPUT,
    EXIT_NO_PERMISSION,
    EXIT_NOT_RUNNING,
    EXIT_OK,
    EXIT_OS_ERROR,
    EXIT_SOFTWARE,
    EXIT_START_FAILED,
    EXIT_USAGE,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a daemon of root is needed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_0_stopped_by_a_signal(whole: Whole, number: int) -> None:
    launched = whole.launch("--no-daemon")
    whole.hear("ready")
    launched.process.send_signal(number)

    assert launched.left() == EXIT_OK


@pytest.mark.parametrize("words", ["idle", "stops", "stops policy"])
def test_0_ended_by_itself(whole: Whole, words: str) -> None:
    assert whole.do("--no-daemon", words=words)[0] == EXIT_OK


@pytest.mark.parametrize(
    ("words", "status"), [("raises", EXIT_DATA_ERROR), ("raises policy", EXIT_FAILURE)]
)
def test_an_error_in_a_callback_ends_everything_only_by_policy_but_is_reported(
    whole: Whole, words: str, status: int
) -> None:
    assert whole.do("--no-daemon", words=words)[0] == status


@pytest.mark.parametrize("words", ["exits", "exits policy"])
def test_a_callbacks_own_status(whole: Whole, words: str) -> None:
    assert whole.do("--no-daemon", words=words)[0] == 5


def test_3_no_daemon_to_act_on(whole: Whole) -> None:
    assert whole.act("signal-term")[0] == EXIT_NOT_RUNNING


def test_64_wrong_command_line(whole: Whole) -> None:
    wrong = ["--no-such", "--umask=9", "--action=dance", "--log-level=loud", "word"]
    launched = [whole.launch(each) for each in wrong]

    for each in launched:
        status, out, err = each.end()

        assert (status, out) == (EXIT_USAGE, "")
        assert "Usage:" in err
        assert "Traceback" not in err


def test_65_malformed_pid_file(whole: Whole) -> None:
    whole.pid_file.write_text("me\n")

    assert whole.act("signal-check")[0] == EXIT_DATA_ERROR


def test_66_no_runlog(whole: Whole) -> None:
    assert whole.act("runlog-view")[0] == EXIT_NO_INPUT


@pytest.mark.parametrize("words", ["setup-raises", "start-raises policy"])
def test_69_component_that_does_not_start(whole: Whole, words: str) -> None:
    status, _, err = whole.do("--no-daemon", words=words)

    assert status == EXIT_START_FAILED
    assert "'subject'" in err


def test_70_bug_before_the_start(whole: Whole) -> None:
    status, _, err = whole.act("break")

    assert status == EXIT_SOFTWARE
    assert "in an action" in err
    assert "Traceback" in err


@pytest.mark.parametrize("where", ["background", "foreground"])
def test_70_bug_after_the_fork(whole: Whole, where: str) -> None:
    options = ["--no-daemon"] if where == "foreground" else []

    # Each of several instances derives values again, for its own files.
    status, _, err = whole.do("--paralel", *options, words="becoming-raises")

    assert status == EXIT_SOFTWARE
    assert "in derive" in err
    for pid in whole.children():
        assert whole.status_of(pid) == EXIT_SOFTWARE


@pytest.mark.parametrize("where", ["background", "foreground"])
def test_71_system_that_refuses(whole: Whole, where: str) -> None:
    options = ["--no-daemon"] if where == "foreground" else []

    status, _, err = whole.do("--pid-file", whole.directory / "none" / "x.pid", *options)

    assert status == EXIT_OS_ERROR
    assert err.count("\n") == 1
    assert "Create the directory" in err


@pytest.mark.parametrize("where", ["background", "foreground"])
def test_73_running_already(whole: Whole, where: str) -> None:
    options = ["--no-daemon"] if where == "foreground" else []
    whole.daemon()

    assert whole.do(*options)[0] == EXIT_ALREADY_RUNNING


@pytest.mark.parametrize("options", [["--action", "config-view"], ["--help"]], ids=str)
def test_74_output_that_cannot_be_written(whole: Whole, options: list[str]) -> None:
    status, _, err = whole.do(*options, stdout=Path("/dev/full"))

    assert status == EXIT_IO_ERROR
    assert "Traceback" not in err


def test_75_stop_that_took_too_long(whole: Whole) -> None:
    launched = whole.launch("--no-daemon", "--stop-timeout=0.2", words="teardown-hangs")
    whole.hear("ready")
    launched.process.send_signal(signal.SIGINT)

    assert launched.left() == EXIT_FORCED_STOP


@needs_root
def test_77_daemon_of_another_user(whole: Whole, nobody: ForkServer) -> None:
    whole.daemon()

    assert whole.act("signal-check", server=nobody)[0] == EXIT_NO_PERMISSION


def test_78_wrong_configuration(whole: Whole) -> None:
    launched = {}
    for number, text in enumerate(["stats_interval = 'often'\n", "no_such = 1\n", "= broken"]):
        file = whole.directory / f"{number}.toml"
        file.write_text(text)
        launched[file] = whole.launch("--config-file", file)

    for file, each in launched.items():
        status, out, err = each.end()

        assert (status, out) == (EXIT_CONFIG, "")
        assert f"{file}:1" in err
        assert "Traceback" not in err


@pytest.mark.parametrize("options", [["--user", "no-such-user"], ["--group", "no-such-group"]])
def test_78_unknown_user_or_group(whole: Whole, options: list[str]) -> None:
    status, _, err = whole.do(*options)

    assert status == EXIT_CONFIG
    assert options[1] in err


def test_78_first_event_without_a_handler(whole: Whole) -> None:
    status, _, err = whole.do("--no-daemon", words="unknown-event")

    assert status == EXIT_CONFIG
    assert "'unheard'" in err


def test_78_signal_for_an_event_without_a_handler(whole: Whole) -> None:
    (whole.directory / "whole.toml").write_text('[signals]\nwinch = "unheard"\n')

    status, _, err = whole.do()

    assert status == EXIT_CONFIG
    assert "SIGWINCH becomes event 'unheard', which no component handles" in err
