"""The PID file's promises, on real files and real processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT
from zenactors.errors import AlreadyRunningError, ConfigurationError, ProcessSetupError
from zenactors.process import pidfile, procfs
from zenactors.process.pidfile import (
    Holder,
    PidFile,
    instances,
    look_up,
    signal_holder,
    with_serial,
)

DEADLINE = 120.0  # seconds: generous, so that only a hang fails
FOREIGN = 12_345  # a user id that is neither root's nor ours

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change user or root")
needs_user = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is refused to root")


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.process.pidfile_program", *map(str, arguments)]


def answer(*arguments: object) -> Any:
    done = subprocess.run(
        program(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextlib.contextmanager
def holder_of(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run another process that holds the file, until the context ends."""
    process = subprocess.Popen(
        program("hold", path), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def bystander(
    name: str = "bystander", user: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that has no connection with any PID file."""
    source = f"""
import os
open('/proc/self/comm', 'w').write({name!r})
if {user} is not None:
    os.setresuid({user}, {user}, {user})
print(flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def survived(process: subprocess.Popen[bytes]) -> bool:
    """Let a bystander end, and return True if it ended by itself."""
    process.communicate(b"\n")
    return process.returncode == 0


def start_time(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def written(path: Path, pid: int, began: int, boot: str | None = None) -> Path:
    path.write_text(f"{pid}\n{began}\n{boot_id() if boot is None else boot}\n")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "daemon.pid"


@pytest.fixture
def held(path: Path) -> Iterator[PidFile]:
    pid_file = PidFile(path)
    pid_file.acquire()
    yield pid_file
    pid_file.release()


@pytest.mark.parametrize("name", ["daemon", "daemon.lock", "daemon.pid.old", ".pid"])
def test_a_name_that_does_not_end_in_pid_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}' must end in '.pid'"):
        PidFile(name)


def test_the_first_line_is_the_pid_alone_and_the_second_the_start_time(
    path: Path, held: PidFile
) -> None:
    lines = path.read_text().split("\n")

    assert lines == [str(os.getpid()), str(start_time(os.getpid())), boot_id(), ""]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_its_mode_is_0644_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        pid_file = PidFile(path)
        pid_file.acquire()
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    pid_file.release()


def test_the_lock_is_held_until_the_release(path: Path, held: PidFile) -> None:
    def lockable() -> bool:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    assert not lockable()
    os.link(path, path.with_suffix(".link"))  # the file itself, when its name is gone
    held.release()
    path.with_suffix(".link").rename(path)
    assert lockable()


def test_programs_do_not_inherit_it(path: Path, held: PidFile) -> None:
    listing = "import os; print(*map(os.path.realpath, os.scandir('/proc/self/fd')))"
    done = subprocess.run(
        [sys.executable, "-c", listing], close_fds=False, capture_output=True, check=True
    )

    assert str(path) in [str(each.readlink()) for each in descriptors()]
    assert str(path) not in done.stdout.decode()


def descriptors() -> list[Path]:
    return [each for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    with holder_of(path) as process:
        with pytest.raises(AlreadyRunningError) as caught:
            PidFile(path).acquire()

        assert (caught.value.path, caught.value.pid) == (path, process.pid)
        assert f"process {process.pid} holds the PID file '{path}'" in str(caught.value)
        assert look_up(path) == Holder("running", process.pid, start_time(process.pid))


def test_a_holder_that_has_not_written_its_pid_yet_is_another_process(path: Path) -> None:
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunningError, match="another process") as caught:
            PidFile(path).acquire()

    assert caught.value.pid is None


def test_the_pid_of_an_earlier_holder_is_not_reported_as_the_running_one(path: Path) -> None:
    with bystander() as process:
        written(path, process.pid, start_time(process.pid) - 1)
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(AlreadyRunningError) as caught:
                PidFile(path).acquire()

    assert caught.value.pid is None


def test_one_object_does_not_acquire_twice(held: PidFile) -> None:
    with pytest.raises(RuntimeError, match="already held"):
        held.acquire()


def test_release_removes_it_and_may_be_repeated(path: Path) -> None:
    pid_file = PidFile(path)
    pid_file.release()
    for _ in range(2):
        pid_file.acquire()
        assert path.exists()
        pid_file.release()
        pid_file.release()
        assert not path.exists()


def test_a_relative_path_is_relative_to_the_directory_at_that_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    pid_file = PidFile(path.name)
    pid_file.acquire()
    monkeypatch.chdir("/")
    pid_file.release()

    assert not path.exists()


def test_a_file_that_took_its_place_is_not_removed(path: Path, held: PidFile) -> None:
    path.unlink()
    path.write_text("another's")

    held.release()

    assert path.read_text() == "another's"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"12", b"abc\n", b"\0" * 5000, b"1\n1\n\n", b"-1\n5\n\n"]
)
def test_a_file_that_is_not_held_is_taken_over(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    pid_file = PidFile(path)
    pid_file.acquire()

    assert look_up(path).pid == os.getpid()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    pid_file.release()


def test_a_file_with_the_pid_of_another_living_process_is_taken_over(path: Path) -> None:
    with bystander() as process:
        written(path, process.pid, start_time(process.pid))
        pid_file = PidFile(path)
        pid_file.acquire()

        assert look_up(path).pid == os.getpid()
        pid_file.release()


def test_a_hard_link_to_another_file_is_replaced_and_that_file_stays_as_it_is(path: Path) -> None:
    other = path.with_name("precious")
    other.write_text("precious")
    other.chmod(0o600)
    os.link(other, path)
    pid_file = PidFile(path)
    pid_file.acquire()

    assert other.read_text() == "precious"
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    assert look_up(path).pid == os.getpid()
    pid_file.release()


@needs_root
def test_a_file_of_another_user_is_replaced(path: Path) -> None:
    path.touch()
    os.chown(path, FOREIGN, FOREIGN)
    with path.open("w") as theirs:
        pid_file = PidFile(path)
        pid_file.acquire()
        theirs.write("1\n1\n\n")  # a process that had it open can change nothing

    assert path.stat().st_uid == 0
    assert look_up(path).pid == os.getpid()
    pid_file.release()


def test_a_symbolic_link_is_not_followed(path: Path) -> None:
    target = path.with_name("target.pid")
    path.symlink_to(target)

    with pytest.raises(ProcessSetupError) as caught:
        PidFile(path).acquire()

    assert not target.exists()
    assert str(caught.value) == (
        f"Cannot write the PID file '{path}': It is a symbolic link."
        " Remove it, or give another --pid-file."
    )
    assert look_up(path).state == "malformed"


def test_anything_but_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pid")
    (tmp_path / "directory.pid").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        # A short path: a socket's address holds at most 107 bytes.
        before = Path.cwd()
        os.chdir(tmp_path)
        listener.bind("socket.pid")
        os.chdir(before)
    for name in ("fifo.pid", "directory.pid", "socket.pid"):
        with pytest.raises(ProcessSetupError, match=f"{name}.*Remove it"):
            PidFile(tmp_path / name).acquire()
        assert look_up(tmp_path / name).state == "malformed"


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run" / "daemon.pid"

    with pytest.raises(ProcessSetupError) as caught:
        PidFile(path).acquire()

    assert str(caught.value) == (
        f"Cannot write the PID file '{path}': No such file or directory."
        f" Create the directory {path.parent} first, or give another --pid-file."
    )
    assert look_up(path) == Holder("absent")
    assert look_up(path.with_name("daemon.pid") / "x.pid") == Holder("absent")


def test_a_refusal_of_the_system_is_one_line() -> None:
    # In /proc/sys not even root can create a file.
    with pytest.raises(ProcessSetupError) as caught:
        PidFile("/proc/sys/zenactors.pid").acquire()

    assert str(caught.value).startswith("Cannot write the PID file '/proc/sys/zenactors.pid': ")
    assert "\n" not in str(caught.value)


def test_without_proc_the_error_names_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "start_time", lambda _pid: None)

    with pytest.raises(ProcessSetupError) as caught:
        PidFile(path).acquire()

    assert str(caught.value) == (
        f"Cannot write the PID file '{path}': It is missing ('/proc/self/stat'). Mount /proc."
    )
    assert not path.exists()


@needs_user
def test_a_directory_without_permission_is_named(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(
            ProcessSetupError, match=r"Permission denied.*Give this user permission"
        ):
            PidFile(path).acquire()
    finally:
        path.parent.chmod(0o700)


def test_a_refused_start_leaves_no_descriptor(path: Path) -> None:
    with holder_of(path):
        before = descriptors()
        for _ in range(10):
            with pytest.raises(AlreadyRunningError):
                PidFile(path).acquire()

        assert descriptors() == before


def test_after_kill_9_the_next_start_takes_over(path: Path) -> None:
    with holder_of(path) as process:
        process.kill()
        process.wait()
        assert look_up(path) == Holder("stale", process.pid, look_up(path).start_time)
        pid_file = PidFile(path)
        pid_file.acquire()

        assert look_up(path).pid == os.getpid()
        pid_file.release()


@pytest.mark.parametrize("kills", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_starts_and_kills_leave_no_trace(kills: int, path: Path) -> None:
    assert answer("kill", path, kills) == []


@pytest.mark.parametrize("races", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_of_50_concurrent_starts_exactly_one_wins(races: int, path: Path) -> None:
    for outcome in answer("race", path, races, 50):
        assert outcome["failed"] == []
        assert outcome["answers"] == 50
        assert len(outcome["won"]) == 1
        # A process that was refused before the winner wrote its PID cannot name it.
        assert set(outcome["named"]) <= {str(outcome["won"][0]), "None"}


@pytest.mark.parametrize("starts", [100, pytest.param(400, marks=pytest.mark.slow)])
def test_starts_and_releases_at_once_never_have_two_winners_or_disturb_readers(
    starts: int, path: Path
) -> None:
    outcome = answer("churn", path, starts, 4)

    assert outcome["complaints"] == ""
    assert outcome["wins"] >= 4
    assert outcome["statuses"] == [0] * 5
    assert outcome["left"] == "absent"


@pytest.mark.parametrize("starts", [500, pytest.param(2_000, marks=pytest.mark.slow)])
def test_a_reader_never_makes_a_start_fail(starts: int, path: Path) -> None:
    source = f"""
from zenactors.process.pidfile import look_up
print(flush=True)
while True:
    look_up({str(path)!r})
"""
    reader = subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"\n"
        pid_file = PidFile(path)
        for _ in range(starts):
            pid_file.acquire()
            pid_file.release()
        assert reader.poll() is None
    finally:
        reader.kill()
        reader.communicate()


def test_a_forked_child_that_releases_it_changes_nothing(path: Path) -> None:
    assert answer("child_releases", path) == ["running", "absent"]


@needs_root
def test_a_file_that_cannot_be_removed_is_emptied_and_taken_over(path: Path) -> None:
    for directory in path.parents:
        if directory.stat().st_uid == os.geteuid() and not directory.stat().st_mode & 0o001:
            directory.chmod(0o711)  # the other user may pass through, no more

    assert answer("drop", path, FOREIGN) == ["running", "stale", 0]
    pid_file = PidFile(path)
    pid_file.acquire()
    pid_file.release()
    assert not path.exists()


@needs_root
def test_after_a_chroot_it_is_emptied_and_no_other_file_touched(path: Path) -> None:
    assert answer("chroot", path, path.parent / "root") == [0, "another's"]
    assert look_up(path) == Holder("stale")


@pytest.mark.parametrize(
    "content",
    [
        b"12",
        b"12\n",
        b"12\n34\n",
        b"12 \n34\n\n",
        b"0\n34\n\n",
        b"-12\n34\n\n",
        b"012\n34\n\n",
        b"\xd9\xa1\n34\n\n",  # a digit of another script
        b"9999999999\n34\n\n",  # above every PID
        b"12\n34\n\nmore",
        b"12\n34\n\n" * 1000,
        b"\0\xff",
    ],
)
def test_content_that_zenactors_did_not_write_is_malformed(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert look_up(path) == Holder("malformed")
    assert signal_holder(path, signal.SIGTERM) == Holder("malformed")


def test_an_empty_file_is_stale(path: Path) -> None:
    path.touch()

    assert look_up(path) == Holder("stale")


@pytest.mark.parametrize("name", ["plain", "a b", "x) S 1 2", "((", ") Z 1"])
def test_the_start_time_is_found_whatever_the_process_is_called(path: Path, name: str) -> None:
    with bystander(name) as process:
        assert Path(f"/proc/{process.pid}/comm").read_text() == f"{name}\n"
        began = start_time(process.pid)

        assert look_up(written(path, process.pid, began)).state == "running"
        assert look_up(written(path, process.pid, began + 1)).state == "stale"


def test_a_process_of_another_boot_is_stale(path: Path) -> None:
    with bystander() as process:
        written(path, process.pid, start_time(process.pid), "0" * 8)

        assert look_up(path).state == "stale"


def test_a_zombie_does_not_run(path: Path) -> None:
    with bystander() as process:
        written(path, process.pid, start_time(process.pid))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert look_up(path).state == "stale"
        assert signal_holder(path, signal.SIGTERM).state == "stale"


@needs_user
def test_a_file_that_may_not_be_read_is_an_error(path: Path) -> None:
    path.write_bytes(b"")
    path.chmod(0)

    with pytest.raises(PermissionError):
        look_up(path)


def test_a_signal_reaches_the_holder(path: Path) -> None:
    with holder_of(path) as process:
        assert signal_holder(path, 0).pid == process.pid
        assert process.poll() is None
        assert signal_holder(path, signal.SIGTERM) == Holder(
            "running", process.pid, look_up(path).start_time
        )

        assert process.wait(DEADLINE) == -signal.SIGTERM


def test_no_signal_reaches_another_process_with_the_same_pid(path: Path) -> None:
    with bystander() as process:
        written(path, process.pid, start_time(process.pid) + 1)

        assert signal_holder(path, signal.SIGKILL).state == "stale"
        assert survived(process)


def test_no_signal_reaches_a_process_that_got_the_pid_after_the_lookup(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bystander() as process:
        began = start_time(process.pid)
        written(path, process.pid, began - 1)
        answers = iter([began - 1, began])  # the PID is reused between the two
        monkeypatch.setattr(pidfile, "start_time", lambda _pid: next(answers))

        assert signal_holder(path, signal.SIGKILL).state == "stale"
        assert survived(process)


def test_a_process_that_ended_after_the_lookup_is_stale(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bystander() as process:
        began = start_time(process.pid)
        written(path, process.pid, began)
    monkeypatch.setattr(pidfile, "start_time", lambda _pid: began)

    assert signal_holder(path, signal.SIGKILL).state == "stale"


@needs_root
def test_a_process_that_may_not_be_signalled_is_an_error(path: Path) -> None:
    with holder_of(path):
        path.chmod(0o644)
        for directory in path.parents:
            if not directory.stat().st_mode & 0o001:
                directory.chmod(0o711)
        source = f"""
import os
from zenactors.process.pidfile import look_up, signal_holder
os.setresuid({FOREIGN}, {FOREIGN}, {FOREIGN})
print(look_up({str(path)!r}).state)
for number in (0, 15):
    try:
        signal_holder({str(path)!r}, number)
    except PermissionError:
        print("refused")
"""
        done = subprocess.run(
            [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
        )

        assert done.stdout.split() == ["running", "refused", "refused"]


@needs_root
def test_root_does_not_signal_a_process_that_another_user_names(path: Path) -> None:
    with bystander() as process:
        written(path, process.pid, start_time(process.pid))
        os.chown(path, FOREIGN, FOREIGN)

        with pytest.raises(PermissionError, match=f"belongs to user {FOREIGN}"):
            signal_holder(path, signal.SIGKILL)
        assert survived(process)


@needs_root
def test_root_signals_a_users_daemon_by_that_users_file(path: Path) -> None:
    with bystander(user=FOREIGN) as process:
        written(path, process.pid, start_time(process.pid))
        os.chown(path, FOREIGN, FOREIGN)

        assert signal_holder(path, signal.SIGTERM).state == "running"
        assert process.wait(DEADLINE) == -signal.SIGTERM


def test_the_end_of_the_holder_can_be_waited_for(path: Path) -> None:
    with holder_of(path) as process:
        holder = look_up(path)
        assert holder.pid is not None
        descriptor = os.pidfd_open(holder.pid)
        signal_holder(path, signal.SIGKILL)

        assert select.select([descriptor], [], [], DEADLINE)[0]
        os.close(descriptor)
        assert process.wait(DEADLINE) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("path", "pid", "expected"),
    [
        ("/run/daemon.pid", 1, "/run/daemon.00001.pid"),
        ("/run/daemon.state", 0xABCDE, "/run/daemon.abcde.state"),
        ("a.b.runlog", 0x123456, "a.b.123456.runlog"),
    ],
)
def test_instances_have_the_serial_of_pyzenkit(path: str, pid: int, expected: str) -> None:
    assert with_serial(path, pid) == Path(expected)


def test_instances_are_found_by_their_serials(tmp_path: Path) -> None:
    mine = ["daemon.00abc.pid", "daemon.123456.pid", "daemon.pid"]
    others = [
        "daemon.0abc.pid",  # too short
        "daemon.000abc.pid",  # too many zeros
        "daemon.00ABC.pid",
        "daemon.spool.pid",
        "daemon.00abc.state",
        "daemon.00abc.pid.old",
        "daemons.00abc.pid",
        "x.daemon.00abc.pid",
        "daemon00abc.pid",
    ]
    for name in mine + others:
        (tmp_path / name).touch()

    assert [each.name for each in instances(tmp_path / "daemon.pid")] == mine
    assert instances(tmp_path / "none" / "daemon.pid") == []
