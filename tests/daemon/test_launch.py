"""A daemon as a whole program, as real processes: from the command line to the end."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.daemon.conftest import NOBODY, Launched, Whole
from tests.daemon.whole import NAME, SECRET
from tests.forked import ForkServer
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_FORCED_STOP,
    EXIT_OK,
    EXIT_OS_ERROR,
    EXIT_START_FAILED,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change user or root")

STARTS = 12  # at once
MANY_STARTS = 50
KILLS = 5
MANY_KILLS = 200
MOMENTS = 4  # of the start-up, at which a signal is sent
MANY_MOMENTS = 60
WITHIN = 10.0  # seconds; the promise is 1, but machines may be busy


def proc_status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def modes(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- in the background ------------------------------------------------------------------------


def test_the_launching_process_leaves_with_0_when_every_component_has_started(whole: Whole) -> None:
    launched = whole.launch()
    begun, ready = whole.hear("begun"), whole.hear("setup")

    assert launched.end() == (EXIT_OK, "", "")  # and says nothing
    assert begun["pid"] == launched.process.pid != ready["pid"]
    assert whole.hear("ready")["pid"] == ready["pid"]  # the program's own hook
    assert whole.pid_file.read_text().splitlines()[0] == str(ready["pid"])


def test_a_daemon_has_left_the_terminal_the_directory_and_the_streams(whole: Whole) -> None:
    launched = whole.launch(environ={"TERM": "vt100", "KEPT": "yes"}, cwd=whole.directory)
    said = whole.hear("setup")
    pid, environ = said["pid"], said["environ"]
    assert launched.end() == (EXIT_OK, "", "")
    os.kill(pid, signal.SIGUSR1)
    whole.hear("usr1")  # so its main thread has closed its end of the launch dialogue
    proc = Path(f"/proc/{pid}")
    status = proc_status(pid)
    descriptors = {
        int(each.name): str(each.readlink())
        for each in (proc / "fd").iterdir()
        if not str(each.readlink()).startswith(("anon_inode:", "pipe:"))
    }

    assert status["PPid"] == [str(os.getpid())]  # this process adopts orphans; elsewhere init does
    assert os.getsid(pid) not in (pid, os.getsid(0))  # it leads no session: it gets no terminal
    assert (proc / "stat").read_text().rpartition(")")[2].split()[4] == "0"  # has none
    assert (proc / "cwd").readlink() == Path("/")
    assert status["Umask"] == ["0022"]
    assert {descriptors[0], descriptors[1], descriptors[2]} == {"/dev/null"}
    assert sorted(descriptors.values()) == ["/dev/null"] * 3 + [str(whole.log), str(whole.pid_file)]
    assert int(status["SigBlk"][0], 16) == 0
    assert environ["KEPT"] == "yes"
    assert "TERM" not in environ


def test_a_daemon_keeps_what_the_program_opened_and_closes_what_it_inherited(whole: Whole) -> None:
    shell = ("sh", "-c", 'exec 7< /dev/zero 8< /dev/full; exec "$@"', "sh")
    launched = whole.launch(words="holds-descriptors", through=shell)
    pid = whole.hear("setup")["pid"]

    assert whole.hear("holds")["own"]  # not another file with the socket's number
    assert launched.end() == (EXIT_OK, "", "")
    links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    assert Path(f"/proc/{pid}/fd/7").readlink() == Path("/dev/zero")
    assert "/dev/full" not in links
    assert links.count("/dev/null") == 3


@pytest.mark.parametrize("stage", ["setup", "start"])
@pytest.mark.parametrize("where", ["background", "foreground"])
def test_a_component_that_raises_is_shown_and_nothing_is_left(
    whole: Whole, stage: str, where: str
) -> None:
    options = ["--no-daemon"] if where == "foreground" else []

    status, out, err = whole.do(*options, words=f"{stage}-raises")

    assert (status, out) == (EXIT_START_FAILED, "")
    assert f"Component 'subject' failed in {stage}" in err
    assert "OSError" in err
    assert "no such device" in err
    if where == "background":
        assert whole.status_of(int(whole.hear("setup")["pid"])) == EXIT_START_FAILED
        assert "no such device" in whole.logged()
    assert whole.children() == set()
    assert not whole.pid_file.exists()


def test_a_component_that_hangs_in_setup_ends_the_start_in_time(whole: Whole) -> None:
    status, _, err = whole.do(
        "--start-timeout", "0.2", "--stop-timeout", "0.2", words="setup-hangs"
    )

    assert status == EXIT_START_FAILED
    assert "'subject'" in err
    assert "0.2" in err
    assert whole.status_of(int(whole.hear("setup")["pid"])) == EXIT_START_FAILED
    assert whole.children() == set()
    assert not whole.pid_file.exists()


def test_a_reader_of_the_launching_process_is_not_held_up(whole: Whole) -> None:
    reader, writer = os.pipe()
    end = Path(f"/proc/self/fd/{writer}")
    pid = whole.daemon(stdout=end, stderr=end)
    os.close(writer)

    with os.fdopen(reader) as stream:
        assert stream.read() == ""  # to its end, though the daemon runs
    assert pid in whole.children()


# --- hostile beginnings -----------------------------------------------------------------------


@pytest.mark.parametrize("where", ["background", "foreground"])
@pytest.mark.parametrize(
    "hostile",
    [
        'exec "$@" <&- >&- 2>&-',
        "trap '' INT TERM HUP USR1; exec \"$@\"",  # as a shell starts what is in its background
        'cd "$WHOLE_DIRECTORY" && mkdir gone && cd gone && rmdir ../gone && exec "$@"',
    ],
    ids=["closed-streams", "ignored-signals", "deleted-directory"],
)
def test_from_any_beginning_it_runs_and_stops_in_order(
    whole: Whole, hostile: str, where: str
) -> None:
    options = ["--no-daemon"] if where == "foreground" else []
    launched = whole.launch(*options, through=["sh", "-c", hostile, "sh"])
    pid = whole.hear("ready")["pid"]
    for stream in range(3):  # output to it must not end in a file of the daemon's
        target = Path(f"/proc/{pid}/fd/{stream}").readlink()
        assert target not in (whole.pid_file, whole.log)

    if where == "foreground":
        os.kill(pid, signal.SIGUSR1)
        whole.hear("usr1")
        os.kill(pid, signal.SIGINT)
        assert launched.left() == EXIT_OK
    else:
        assert launched.left() == EXIT_OK
        os.kill(pid, signal.SIGUSR1)
        whole.hear("usr1")
        os.kill(pid, signal.SIGINT)
        assert whole.status_of(pid) == EXIT_OK
    assert not whole.pid_file.exists()


# --- one at a time ----------------------------------------------------------------------------


def test_a_second_start_is_refused_and_names_the_first(whole: Whole) -> None:
    first = whole.daemon()

    for options in ([], ["--no-daemon"]):
        status, out, err = whole.do(*options)

        assert (status, out) == (EXIT_ALREADY_RUNNING, "")
        assert f"process {first} holds the PID file" in err
        assert "--action signal-int" in err  # the stop that loses no work
        assert err.count("\n") == 1
    assert whole.pid_file.read_text().startswith(f"{first}\n")


def of_many_starts_one_wins(whole: Whole, count: int) -> None:
    launched = [whole.launch() for _ in range(count)]

    statuses = [each.left() for each in launched]

    assert sorted(statuses) == [EXIT_OK] + [EXIT_ALREADY_RUNNING] * (count - 1)
    winner = int(whole.pid_file.read_text().splitlines()[0])
    for pid in whole.children() - {winner}:  # those refused may not be reaped yet
        assert whole.status_of(pid) == EXIT_ALREADY_RUNNING
    os.kill(winner, signal.SIGINT)
    assert whole.status_of(winner) == EXIT_OK
    assert not whole.pid_file.exists()


def test_of_starts_at_once_exactly_one_wins(whole: Whole) -> None:
    of_many_starts_one_wins(whole, STARTS)


@pytest.mark.slow
def test_of_fifty_starts_at_once_exactly_one_wins(whole: Whole) -> None:
    of_many_starts_one_wins(whole, MANY_STARTS)


def killed_it_starts_again(whole: Whole, rounds: int) -> None:
    for _ in range(rounds):
        pid = whole.daemon()
        whole.kill(pid)
        assert whole.pid_file.read_text().startswith(f"{pid}\n")  # it was not removed
    pid = whole.daemon()
    os.kill(pid, signal.SIGTERM)
    assert whole.status_of(pid) == EXIT_OK
    assert not whole.pid_file.exists()


def test_after_a_kill_it_starts_again(whole: Whole) -> None:
    killed_it_starts_again(whole, KILLS)


@pytest.mark.slow
def test_after_two_hundred_kills_it_starts_again(whole: Whole) -> None:
    killed_it_starts_again(whole, MANY_KILLS)


@needs_root
def test_a_daemon_that_became_another_user_empties_its_pid_file(whole: Whole) -> None:
    log = ["--log-file", "/dev/null", "--runlog-dir", ""]
    for _ in range(2):  # the second start uses the empty file
        pid = whole.daemon("--user", NOBODY, "--group", NOBODY, *log)
        os.kill(pid, signal.SIGTERM)

        assert whole.status_of(pid) == EXIT_OK
        assert whole.pid_file.read_bytes() == b""


# --- stopped while it starts ------------------------------------------------------------------


def read_by(pid: int) -> int:
    """Return how many bytes a process has read: how far it is in its start."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["rchar"])


def lost_by_python(launched: Launched, words: set[str]) -> bool:
    """Return True if the process goes on because Python has dropped a `KeyboardInterrupt`.

    It does so where it cannot pass an exception on: in its own start, and in callbacks of the
    import system. Both come before the program calls `run`, and leave a traceback.
    """
    if "begun" in words:
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        launched.process.wait(WITHIN)
        return False
    assert "KeyboardInterrupt" in launched.err.read_text()
    return True


def stopped_at(whole: Whole, progress: float, number: int, *options: str) -> set[str]:
    """Send a signal at this point of the start; return the words said until the end."""
    launched = whole.launch(*options, words="setup-hangs", fresh=True)
    words: set[str] = set()
    while "setup" not in words and read_by(launched.process.pid) < progress:
        words |= {each["word"] for each in whole.said()}
    words |= {each["word"] for each in whole.said()}
    launched.process.send_signal(number)
    if lost_by_python(launched, words):
        launched.process.send_signal(number)

    status = launched.process.wait(WITHIN)

    words |= {each["word"] for each in whole.said()}
    # The launching process reports that no daemon runs, unless nothing had begun.
    known = {EXIT_OK} if "--no-daemon" in options else {EXIT_OK, EXIT_START_FAILED}
    if "configured" not in words:  # Python handles the signal until the program does
        known |= {-number, 1}
    assert status in known, (words, launched.texts())
    for left in whole.children():  # the daemon: its last word may be heard before its end
        assert whole.status_of(left) == EXIT_OK
    assert not whole.pid_file.exists()
    return words


def stopped_at_any_point(whole: Whole, moments: int, number: int, *options: str) -> None:
    launched = whole.launch(*options, words="setup-hangs", fresh=True)
    whole.hear("setup")
    work = read_by(launched.process.pid)
    launched.process.send_signal(number)
    in_foreground = "--no-daemon" in options
    assert launched.process.wait(WITHIN) == (EXIT_OK if in_foreground else EXIT_START_FAILED)
    for left in whole.children():
        assert whole.status_of(left) == EXIT_OK

    # Half of the moments are near the end, where little is loaded and much is done; some after it.
    parts = [each / moments for each in range(0, moments, 2)]
    parts += [0.9 + 0.2 * each / moments for each in range(1, moments, 2)]
    reached = [stopped_at(whole, part * work, number, *options) for part in parts]

    assert any("setup" in words for words in reached)  # the sweep has reached both ends
    assert any("configured" not in words for words in reached)


@pytest.mark.parametrize(
    ("number", "options"), [(signal.SIGTERM, []), (signal.SIGINT, ["--no-daemon"])], ids=str
)
def test_a_stop_is_honoured_at_any_moment_of_the_start(
    whole: Whole, number: int, options: list[str]
) -> None:
    stopped_at_any_point(whole, MOMENTS, number, *options)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["configuring", "becoming"])
@pytest.mark.parametrize("options", [[], ["--no-daemon"]], ids=["background", "foreground"])
def test_a_stop_that_comes_before_the_main_thread_waits_is_not_lost(
    whole: Whole, number: signal.Signals, moment: str, options: list[str]
) -> None:
    status, _, err = whole.do("--paralel", *options, words=f"{moment}-gets-{number.name}")

    no_daemon = EXIT_OK if options or moment == "configuring" else EXIT_START_FAILED
    assert (status, "Traceback" in err) == (no_daemon, False)
    for pid in whole.children():
        assert whole.status_of(pid) == EXIT_OK
    assert "ready" not in {each["word"] for each in whole.said()}
    assert list(whole.directory.glob("*.pid")) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", [[], ["--no-daemon"]], ids=["background", "foreground"])
def test_a_stop_is_honoured_at_each_of_many_moments_of_the_start(
    whole: Whole, number: int, options: list[str]
) -> None:
    stopped_at_any_point(whole, MANY_MOMENTS, number, *options)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_impatient_signals_do_not_break_the_end_off(whole: Whole, number: int) -> None:
    launched = whole.launch("--no-daemon")
    whole.hear("ready")
    launched.process.send_signal(signal.SIGTERM)
    whole.hear("teardown")
    while launched.process.poll() is None:  # as fast as possible, until it has ended
        launched.process.send_signal(number)

    assert launched.left() == EXIT_OK
    assert not whole.pid_file.exists()
    assert len(list(whole.runlogs.iterdir())) == 1


# --- reload ----------------------------------------------------------------------------------


def test_a_hangup_applies_a_good_file_and_refuses_a_broken_one(whole: Whole) -> None:
    file = whole.directory / "here.toml"
    file.write_text("[components.subject]\npace = 1\n")
    # A relative name: it means another file once the daemon has changed to "/".
    pid = whole.daemon("--config-file", file.name, cwd=whole.directory)

    file.write_text("[components.subject]\npace = 2\n")
    os.kill(pid, signal.SIGHUP)
    assert whole.hear("reconfigured")["pace"] == 2
    whole.hear("hup")

    file.write_text("[components.subject]\npace = 'fast'\ncolour = 1\n")
    os.kill(pid, signal.SIGHUP)
    whole.hear("hup")
    log = whole.logged()
    assert "Configuration reloaded; changed: components; components: subject" in log
    assert "Configuration not reloaded: " in log
    assert f"{file}:2" in log  # all problems at once
    assert f"{file}:3" in log

    file.unlink()
    os.kill(pid, signal.SIGHUP)
    whole.hear("hup")
    assert "there is no such file" in whole.logged()

    os.kill(pid, signal.SIGUSR2)
    whole.hear("usr2")
    state = json.loads(whole.state.read_text())
    assert state["config"]["components"]["subject"]["pace"] == 2
    assert state["reload"]["done"] is False


def test_a_hangup_reopens_a_log_file_that_was_moved_away(whole: Whole) -> None:
    pid = whole.daemon("--log-json")
    moved = whole.log.rename(whole.directory / "moved.log")
    os.kill(pid, signal.SIGUSR1)
    whole.hear("usr1")
    assert "SIGUSR1" in moved.read_text()
    os.kill(pid, signal.SIGHUP)
    whole.hear("hup")
    before = moved.read_text()
    os.kill(pid, signal.SIGUSR1)
    whole.hear("usr1")

    assert moved.read_text() == before
    lines = [json.loads(line) for line in whole.logged().splitlines()]
    assert "Received SIGUSR1" in [line["message"] for line in lines]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)


# --- user, group and directories ---------------------------------------------------------------


@needs_root
@pytest.mark.parametrize(
    ("user", "group"), [(NOBODY, NOBODY), ("nobody", None), (0, 23_457)], ids=str
)
def test_a_daemon_becomes_user_and_group_and_leaves_all_groups(
    whole: Whole, user: str | int, group: int | None
) -> None:
    writable = whole.directory / "own"
    writable.mkdir()
    writable.chmod(0o777)
    options = [*["--user", user], *(["--group", group] if group else [])]
    pid = whole.daemon(
        *options, "--log-file", writable / "x.log", "--umask", "027", groups=[23_458]
    )
    status = proc_status(pid)
    expected_user = 0 if user == 0 else NOBODY
    expected_group = group or pwd.getpwnam("nobody").pw_gid

    assert status["Uid"] == [str(expected_user)] * 4
    assert status["Gid"] == [str(expected_group)] * 4
    assert set(status["Groups"]) <= {str(expected_group), "0" if user == 0 else str(expected_group)}
    assert status["Umask"] == ["0027"]
    assert (writable / "x.log").stat().st_uid == expected_user


@needs_root
def test_a_daemon_lives_under_its_root_directory_and_all_of_it_works_there(whole: Whole) -> None:
    jail = whole.directory / "jail"
    (jail / "deep").mkdir(parents=True)
    pid = whole.daemon(
        *("--chroot-dir", jail, "--work-dir", "/deep", "--umask", "0o077"),
        *("--log-file", "/x.log", "--state-file", "/x.state", "--runlog-dir", "/runlogs"),
    )
    proc = Path(f"/proc/{pid}")

    assert (proc / "root").readlink() == jail
    assert (proc / "cwd").readlink() == jail / "deep"
    assert proc_status(pid)["Umask"] == ["0077"]
    for number, word in (
        (signal.SIGHUP, "hup"),
        (signal.SIGUSR1, "usr1"),
        (signal.SIGUSR2, "usr2"),
    ):
        os.kill(pid, number)
        whole.hear(word)
    assert json.loads((jail / "x.state").read_text())["pid"] == pid
    assert len(list((jail / "runlogs").iterdir())) == 1
    assert "ERROR" not in (jail / "x.log").read_text()
    os.kill(pid, signal.SIGTERM)
    assert whole.status_of(pid) == EXIT_OK


def test_a_daemon_works_in_its_directory_with_its_umask_also_in_the_foreground(
    whole: Whole,
) -> None:
    launched = whole.launch("--no-daemon", "--work-dir", whole.directory, "--umask", "77")
    pid = whole.hear("ready")["pid"]

    assert Path(f"/proc/{pid}/cwd").readlink() == whole.directory
    assert proc_status(pid)["Umask"] == ["0077"]
    launched.process.send_signal(signal.SIGINT)
    assert launched.left() == EXIT_OK


@pytest.mark.parametrize("where", ["background", "foreground"])
@pytest.mark.parametrize(
    "options", [["--user", "0", "--group", "0"], ["--group", "0"], ["--chroot-dir", "/"]], ids=str
)
def test_options_for_root_are_refused_to_others_in_one_line(
    whole: Whole, nobody: ForkServer, options: list[str], where: str
) -> None:
    whole.directory.chmod(0o777)
    foreground = ["--no-daemon"] if where == "foreground" else []

    status, out, err = whole.do(*options, *foreground, server=nobody)

    assert (status, out) == (EXIT_OS_ERROR, "")
    assert err.count("\n") == 1
    assert "Start as root" in err or "start as root" in err
    assert not whole.pid_file.exists()


# --- state and runlogs ------------------------------------------------------------------------


def test_state_and_runlog_are_the_owners_and_hold_no_secret(whole: Whole) -> None:
    pid = whole.daemon("--db-password", SECRET)
    for number, word in ((signal.SIGUSR1, "usr1"), (signal.SIGUSR2, "usr2")):
        os.kill(pid, number)
        whole.hear(word)
    [runlog] = whole.runlogs.iterdir()
    state = json.loads(whole.state.read_text())

    assert modes(whole.state) == 0o600
    assert modes(runlog) & 0o007 == 0
    assert json.loads(runlog.read_text())["status"] is None  # it still runs
    assert state["components"]["subject"]["mark"] == "visible"
    assert state["config"]["db_password"] == "***"
    os.kill(pid, signal.SIGTERM)
    assert whole.status_of(pid) == EXIT_OK
    assert json.loads(runlog.read_text())["status"] == EXIT_OK
    for file in (whole.state, runlog, whole.log):
        assert SECRET not in file.read_text(), file


def test_of_many_runs_the_last_ten_runlogs_are_kept(whole: Whole) -> None:
    whole.runlogs.mkdir()
    for number in range(12):
        old = {"format": 1, "name": NAME, "pid": 1, "start": number, "end": number, "status": 0}
        path = whole.runlogs / f"20200101T0000{number:02}Z-00000.runlog"
        path.write_text(json.dumps(old))

    assert whole.do("--no-daemon", words="idle")[0] == EXIT_OK

    kept = sorted(each.name for each in whole.runlogs.iterdir())
    assert len(kept) == 10
    assert kept[0] == "20200101T000003Z-00000.runlog"
    assert not kept[-1].startswith("2020")


# --- files that cannot be written -------------------------------------------------------------


def test_a_full_disk_stops_no_daemon(whole: Whole) -> None:
    not_a_directory = whole.directory / "file"
    not_a_directory.touch()
    pid = whole.daemon(
        *("--log-file", "/dev/full", "--state-file", not_a_directory / "state"),
        *("--runlog-dir", not_a_directory / "runlogs"),
    )
    for number, word in (
        (signal.SIGHUP, "hup"),
        (signal.SIGUSR1, "usr1"),
        (signal.SIGUSR2, "usr2"),
    ):
        os.kill(pid, number)
        whole.hear(word)
    os.kill(pid, signal.SIGINT)

    assert whole.status_of(pid) == EXIT_OK
    assert not whole.pid_file.exists()


def test_the_state_replaces_only_a_regular_file(whole: Whole) -> None:
    device = whole.directory / "like-a-device"
    os.mkfifo(device)
    pid = whole.daemon("--state-file", device)

    os.kill(pid, signal.SIGUSR2)
    whole.hear("usr2")

    assert stat.S_ISFIFO(device.stat().st_mode)
    assert f"The state cannot be written to {device}" in whole.logged()


def test_a_directory_that_is_taken_away_stops_no_daemon(whole: Whole) -> None:
    directory = whole.directory / "taken"
    directory.mkdir()
    pid = whole.daemon(
        *("--log-file", directory / "x.log", "--state-file", directory / "x.state"),
        *("--runlog-dir", directory / "runlogs", "--pid-file", directory / "x.pid"),
    )
    shutil.rmtree(directory)
    for number, word in (
        (signal.SIGHUP, "hup"),
        (signal.SIGUSR1, "usr1"),
        (signal.SIGUSR2, "usr2"),
    ):
        os.kill(pid, number)
        whole.hear(word)
    os.kill(pid, signal.SIGINT)

    assert whole.status_of(pid) == EXIT_OK


def test_a_component_without_its_state_stops_no_daemon(whole: Whole) -> None:
    pid = whole.daemon(words="broken-state broken-statistics")
    for number, word in ((signal.SIGUSR1, "usr1"), (signal.SIGUSR2, "usr2")):
        os.kill(pid, number)
        whole.hear(word)
    os.kill(pid, signal.SIGTERM)

    assert whole.status_of(pid) == EXIT_OK
    assert json.loads(whole.state.read_text())["pid"] == pid
    [runlog] = whole.runlogs.iterdir()
    assert json.loads(runlog.read_text())["status"] == EXIT_OK


# --- the end comes ----------------------------------------------------------------------------


def test_a_stuck_callback_holds_a_stop_until_its_time_out_and_is_named(whole: Whole) -> None:
    pid = whole.daemon("--stop-timeout", "0.3", words="hangs")
    whole.hear("hangs")
    os.kill(pid, signal.SIGINT)

    assert whole.status_of(pid) == EXIT_FORCED_STOP
    log = whole.logged()
    assert "Did not stop and were left behind: subject" in log
    assert "cbk_event_hangs" in log.partition("What they are doing")[2]
    assert not whole.pid_file.exists()


def test_sigquit_shows_what_the_daemon_does_and_counts_who_is_idle(whole: Whole) -> None:
    pid = whole.daemon()
    os.kill(pid, signal.SIGQUIT)
    assert whole.act("signal-int")[0] == EXIT_OK
    assert whole.status_of(pid) == EXIT_OK

    log = whole.logged().partition("What every thread is doing:\n")[2]
    assert log.startswith("MainThread:\n")
    assert "\nIdle: zenactors:dispatcher, zenactors:" in log


def test_the_third_interrupt_leaves_at_once(whole: Whole) -> None:
    launched = whole.launch("--no-daemon", words="swallows")  # with 30 seconds for its stop
    whole.hear("swallows")
    for _ in range(3):
        seen = launched.err.read_text().count("SIGINT")
        launched.process.send_signal(signal.SIGINT)
        while launched.process.poll() is None:
            # The kernel merges a signal with an earlier one that was not seen yet.
            if launched.err.read_text().count("Received SIGINT") > seen:
                break

    assert launched.process.wait(WITHIN) == EXIT_FORCED_STOP


def test_a_bare_except_swallows_no_termination(whole: Whole) -> None:
    pid = whole.daemon(words="swallows")
    whole.hear("swallows")
    os.kill(pid, signal.SIGTERM)

    assert whole.status_of(pid) == EXIT_OK
    assert not whole.pid_file.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_console_without_a_reader_does_not_hold_a_stop_up(whole: Whole, number: int) -> None:
    # Like a terminal held with Ctrl-S, or a pager that shows its first page.
    console = whole.directory / "console"
    os.mkfifo(console)
    reader = os.open(console, os.O_RDWR | os.O_NONBLOCK)
    try:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(reader, b"." * select.PIPE_BUF)
        launched = whole.launch("--no-daemon", stderr=console)
        whole.hear("ready")
        launched.process.send_signal(number)

        assert launched.left() == EXIT_OK
    finally:
        os.close(reader)


@needs_root
def test_behind_another_root_a_reload_forgets_nothing(whole: Whole) -> None:
    (whole.directory / f"{NAME}.toml").write_text(
        "stats_interval = 9\n[components.subject]\npace = 5\n"
    )
    jail = whole.directory / "jail"
    jail.mkdir()
    pid = whole.daemon(
        *("--chroot-dir", jail, "--log-file", "/x.log", "--state-file", "/x.state"),
        *("--runlog-dir", ""),
    )
    os.kill(pid, signal.SIGHUP)  # the file is out of reach now
    whole.hear("hup")
    os.kill(pid, signal.SIGUSR2)
    whole.hear("usr2")

    config = json.loads((jail / "x.state").read_text())["config"]
    assert config["stats_interval"] == 9
    assert config["components"]["subject"]["pace"] == 5
