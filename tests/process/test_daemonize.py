"""The recipe of daemon(7), step by step, in real processes."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import DEADLINE, ROOT, Launch, Launched
from zenactors.errors import EXIT_OS_ERROR
from zenactors.process.daemonize import SESSION_VARIABLES, sanitise_environment
from zenactors.process.pidfile import look_up

NOBODY = 23_457  # a user that the system does not know, without processes

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change user or root")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The state of one daemon before and after, which was started as badly as possible."""
    directory = tmp_path_factory.mktemp("hostile")
    master, slave = pty.openpty()
    launched = Launched("hostile", os.ttyname(slave), directory)
    try:
        launched.accept()
        seen = launched.hear()
        seen["launching"] = launched.process.pid
        launched.order("ready")
        seen["status"], seen["shown"] = launched.left()
        seen["settled"] = launched.order("facts")
        seen["descriptor"] = os.ttyname(slave)
        yield seen
    finally:
        launched.clean_up()
        os.close(slave)
        os.close(master)


def test_step_01_closes_all_inherited_descriptors_except_the_standard_ones(
    seen: dict[str, Any],
) -> None:
    before, after = seen["before"]["descriptors"], seen["after"]["descriptors"]
    others = {n: what for n, what in after.items() if int(n) > 2 and what != "listing"}

    assert before[str(seen["high"])] == before["3"] == seen["descriptor"]
    assert sorted(what.partition(":")[0] for what in others.values()) == ["pipe", "socket"]


def test_step_01_leaves_nothing_open_after_the_final_status(seen: dict[str, Any]) -> None:
    settled = seen["settled"]["descriptors"]
    # The terminal and the socket to the test were opened after the step.
    others = {n: what for n, what in settled.items() if int(n) > 2 and what != "listing"}
    kinds = sorted(what.partition(":")[0] for what in others.values())

    assert kinds == sorted([seen["descriptor"], "socket"])


def test_step_01_keeps_what_the_program_has_opened_unless_it_is_declared_otherwise(
    launch: Launch,
) -> None:
    assert launch("owning").hear() == ["own", "wanted"]


def test_step_02_gives_every_signal_its_default_action(seen: dict[str, Any]) -> None:
    before, after = seen["before"]["handlers"], seen["after"]["handlers"]
    ignored = {int(number) for number, handler in after.items() if "SIG_IGN" in handler}
    others = {handler for number, handler in after.items() if int(number) not in ignored}

    assert "SIG_IGN" in before[str(int(signal.SIGHUP))]
    assert "lambda" in before[str(int(signal.SIGUSR1))]
    assert ignored == {signal.SIGPIPE, signal.SIGXFSZ}
    assert others == {repr(signal.SIG_DFL)}


def test_step_03_blocks_only_the_given_signals(seen: dict[str, Any]) -> None:
    assert set(seen["before"]["mask"]) == {signal.SIGUSR2, signal.SIGTERM, signal.SIGCHLD}
    assert seen["after"]["mask"] == [signal.SIGTERM]


def test_step_04_removes_the_variables_of_the_session(seen: dict[str, Any]) -> None:
    before, after = seen["before"]["environment"], seen["after"]["environment"]

    assert {"TERM", "NOTIFY_SOCKET", "LISTEN_FDS"} <= set(before)
    assert not SESSION_VARIABLES & set(after)
    assert {n: v for n, v in before.items() if n not in SESSION_VARIABLES} == after
    assert after["KEPT"] == "kept"


def test_step_05_continues_in_another_process(seen: dict[str, Any]) -> None:
    assert seen["before"]["pid"] == seen["launching"]
    assert seen["after"]["pid"] != seen["launching"]


def test_step_06_has_a_session_of_its_own_without_a_terminal(seen: dict[str, Any]) -> None:
    assert seen["before"]["terminal"] != 0
    assert seen["after"]["terminal"] == 0
    assert seen["after"]["session"] != seen["before"]["session"]
    assert seen["after"]["group"] == seen["after"]["session"]


def test_step_07_can_never_get_a_terminal_again(seen: dict[str, Any]) -> None:
    assert seen["after"]["session"] != seen["after"]["pid"]
    assert seen["descriptor"] in seen["then"]["descriptors"].values()
    assert seen["then"]["terminal"] == 0


def test_step_08_leaves_the_daemon_to_init(seen: dict[str, Any]) -> None:
    first_child = seen["after"]["session"]  # its leader

    assert seen["settled"]["parent"] not in (first_child, seen["launching"])
    assert not Path(f"/proc/{first_child}").exists()


def test_step_09_connects_the_standard_streams_to_dev_null(seen: dict[str, Any]) -> None:
    assert seen["before"]["descriptors"]["2"] != "/dev/null"
    assert [seen["after"]["descriptors"][n] for n in "012"] == ["/dev/null"] * 3


def test_step_10_resets_the_umask_and_lets_no_other_user_write(seen: dict[str, Any]) -> None:
    assert (seen["before"]["umask"], seen["after"]["umask"]) == (0o077, 0o022)


def test_step_11_changes_to_the_root_directory(seen: dict[str, Any]) -> None:
    assert seen["before"]["directory"] != "/"
    assert seen["after"]["directory"] == "/"


def test_steps_12_to_15_in_order_as_the_same_user(launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "daemon.pid"
    launched = launch("whole", path)
    launched.hear()

    assert (look_up(path).state, look_up(path).pid) == ("running", launched.pid)  # step 12
    assert launched.waits()
    facts = launched.order("facts")
    assert facts["umask"] == 0o027
    assert facts["users"] == [list(os.getresuid()), list(os.getresgid())]  # step 13: as before
    launched.order("ready")  # step 14
    assert launched.left() == (0, "")  # step 15
    assert launched.order("release") == "released"
    assert look_up(path).state == "absent"


@needs_root
def test_steps_12_to_15_in_order_as_root_with_chroot_and_user(
    launch: Launch, tmp_path: Path
) -> None:
    path = tmp_path / "daemon.pid"
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "mark").touch()
    launched = launch("whole", path, inside, NOBODY + 1, NOBODY)

    assert launched.hear() == {
        "root": ["mark"],
        "users": [[NOBODY] * 3, [NOBODY + 1] * 3],  # step 13
    }
    assert (look_up(path).state, look_up(path).pid) == ("running", launched.pid)  # step 12
    assert path.stat().st_uid == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert launched.waits()
    launched.order("ready")  # step 14
    assert launched.left() == (0, "")  # step 15
    assert launched.order("release") == "released"
    assert look_up(path).state == "stale"
    assert path.stat().st_size == 0


def test_step_12_a_second_instance_is_refused_by_the_launching_process(
    launch: Launch, tmp_path: Path
) -> None:
    path = tmp_path / "daemon.pid"
    first = launch("whole", path)
    second = launch("whole", path, calls=False)

    status, shown = second.left()
    assert status == EXIT_OS_ERROR
    assert f"process {first.pid} holds the PID file" in shown


def test_step_13_a_refusal_of_the_system_is_shown_by_the_launching_process(
    launch: Launch, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    launched = launch("whole", tmp_path / "daemon.pid", missing, 0, 0, calls=False)

    status, shown = launched.left()
    assert status == EXIT_OS_ERROR
    assert shown.startswith(f"Cannot change the root to '{missing}': No such file")


def test_step_14_the_launching_process_waits_for_the_daemons_report(launch: Launch) -> None:
    launched = launch("plain")
    for number in range(3):
        launched.order(f"write line {number}")
        assert launched.shown() == f"line {number}\n"
        assert launched.waits()
    launched.order("ready")

    assert launched.left() == (0, "")


@pytest.mark.parametrize("status", [0, 1, 69, 78, 255])
def test_step_15_leaves_with_the_reported_status(launch: Launch, status: int) -> None:
    launched = launch("plain")
    launched.order("write no such device")
    launched.order(f"failed {status}")

    assert launched.left() == (status, "no such device\n")


def test_a_signal_during_the_forks_is_harmless(launch: Launch) -> None:
    launched = launch("struck")
    launched.order("ready")

    assert launched.left() == (0, "")


def test_a_signal_to_the_daemon_waits_for_its_handlers(launch: Launch) -> None:
    launched = launch("plain")
    signal.pidfd_send_signal(launched.pidfd, signal.SIGTERM)

    assert launched.order("trap") == [signal.SIGTERM]
    launched.order("ready")
    assert launched.left() == (0, "")


def test_buffered_output_and_exit_handlers_take_effect_once(launch: Launch, tmp_path: Path) -> None:
    events = tmp_path / "events"
    launched = launch("buffered", events)
    launched.order("ready")
    out, err = launched.process.communicate(timeout=DEADLINE)
    assert launched.connection is not None
    launched.connection.shutdown(socket.SHUT_RDWR)
    assert launched.daemon_ended()

    assert (out, err) == (b"once", b"twice?")
    assert events.read_text() == "finally False\nexit False\n"


def test_streams_that_were_closed_are_connected_to_dev_null(launch: Launch) -> None:
    launched = launch("closed")
    descriptors = launched.order("facts")["descriptors"]
    launched.order("write without a reader")
    launched.order("ready")

    assert [descriptors[n] for n in "012"] == ["/dev/null"] * 3
    assert launched.left() == (0, "")


def test_other_threads_are_refused_by_name(launch: Launch) -> None:
    launched = launch("crowded")
    by_name, by_number = launched.hear()

    assert by_name.startswith("Cannot detach while other threads run: 'worker-7'.")
    assert "start threads in setup(), after detaching" in by_name
    assert by_number.startswith("Cannot detach while other threads run: thread ")
    launched.order("ready")  # joined threads do not matter
    assert launched.left() == (0, "")


def test_the_thread_of_a_forked_process_is_no_other_thread(launch: Launch) -> None:
    launched = launch("forked")  # its `Thread.native_id` may be the parent's
    launched.order("ready")

    assert launched.left() == (0, "")


@needs_root
def test_a_refused_first_fork_leaves_the_caller_unchanged(launch: Launch) -> None:
    status, shown = launch("limited", NOBODY + 2, 0, calls=False).left()

    assert status == 0, shown
    assert shown.startswith("Cannot detach: [Errno 11] Resource temporarily unavailable.")


@needs_root
def test_a_refused_second_fork_is_shown_by_the_launching_process(launch: Launch) -> None:
    status, shown = launch("limited", NOBODY + 3, 2, calls=False).left()

    assert status == EXIT_OS_ERROR
    assert shown.startswith("Cannot detach: [Errno 11] Resource temporarily unavailable.")
    assert shown.count("\n") == 1


def test_descriptors_are_closed_without_a_loop_over_the_limit() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.process.daemonize_program", "many", "20"],
        cwd=ROOT,
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    result = json.loads(done.stdout)
    took, loop, limit = result["took"], result["loop"], result["limit"]

    # For `pytest -s`. The promise is 50 ms with a limit of 1,048,576.
    sys.stdout.write(f"{took * 1000:.2f} ms, a loop {loop * 1000:.2f} ms, limit {limit:,}\n")
    assert result["left"] == [0, 1, 2, limit - 1]
    assert took < loop / 3


def test_an_environment_with_nothing_to_remove_is_unchanged() -> None:
    environ = {"HOME": "/", "LANG": "C"}
    sanitise_environment(environ)

    assert environ == {"HOME": "/", "LANG": "C"}
