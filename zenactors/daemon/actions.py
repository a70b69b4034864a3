"""Actions: what a command line does to a running daemon, or shows of it, instead of running one.

Each action returns an `Outcome` and writes nothing. Its exit status is 0 only if it has reached
every process that was meant. Thread: main, in a process that is not a daemon itself.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import inspect
import json
import select
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from zenactors.advice import reason
from zenactors.config.schema import json_schema
from zenactors.config.view import config_tree
from zenactors.core.clock import SystemClock
from zenactors.daemon.application import BaseApp
from zenactors.daemon.runlog import RunlogEntry, RunlogStore
from zenactors.daemon.runlog_text import runlog_text, runlogs_text
from zenactors.errors import (
    EXIT_DATA_ERROR,
    EXIT_IO_ERROR,
    EXIT_NO_INPUT,
    EXIT_NO_PERMISSION,
    EXIT_NOT_RUNNING,
    EXIT_OK,
)
from zenactors.process.pidfile import instances, look_up, signal_holder
from zenactors.process.polling import poll_for
from zenactors.process.signals import SIGNALS_TO_NAMES_DICT

SIGNAL_ACTIONS = {
    "signal-check": 0,
    "signal-alrm": signal.SIGALRM,
    "signal-hup": signal.SIGHUP,
    "signal-int": signal.SIGINT,
    "signal-term": signal.SIGTERM,
    "signal-usr1": signal.SIGUSR1,
    "signal-usr2": signal.SIGUSR2,
}
"""The signal that each action sends; 0 sends none and only checks that one could be sent."""

PATIENCE = 10.0
"""Seconds that an action waits for a file that the daemon writes."""

_INTERVAL = 0.02  # seconds between two looks for it
_PREFIX = "cbk_action_"

WAITED_FOR = ("signal-usr1", "signal-usr2")
"""The actions that wait for a file, whose place is in the configuration."""

_Version = tuple[int, int]  # inode and time of modification

# The status of several instances is the one that says most: the last of these.
_GRAVITY = (EXIT_OK, EXIT_NOT_RUNNING, EXIT_IO_ERROR, EXIT_DATA_ERROR, EXIT_NO_PERMISSION)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an action.

    Attributes:
        text: For the user, one fact a line.
        status: The exit status of the command.
    """

    text: str
    status: int = EXIT_OK


class Actions(BaseApp):
    """An application's actions: its methods `cbk_action_*`. A subclass adds its own."""

    outcome: Outcome | None = None
    """The result of the last `send_signal`."""

    def actions(self) -> dict[str, Callable[[], Outcome | None]]:
        """Return all actions by name: `do-it` is the method `cbk_action_do_it`."""
        return {
            attribute.removeprefix(_PREFIX).replace("_", "-").lower(): getattr(self, attribute)
            for attribute, _ in inspect.getmembers_static(type(self), callable)
            if attribute.startswith(_PREFIX)
        }

    def send_signal(self, sign: int) -> Outcome:
        """Send a signal to the running daemon; with `paralel`, to all its instances.

        The outcome is also kept: it is the result of an action that returns None.
        """
        pid_file = self.c(self.CONFIG_PID_FILE)
        parallel = bool(self.c(self.CONFIG_PARALEL))
        path = Path(pid_file) if pid_file else None
        written: list[Path] = []
        runlogs: list[Path] = []
        if sign == signal.SIGUSR1:
            runlogs = self._places(self.CONFIG_RUNLOG_DIR, path)
        elif sign == signal.SIGUSR2:
            written = self._places(self.CONFIG_STATE_FILE, path)
        self.outcome = send_signal(
            sign,
            path,
            parallel=parallel,
            written=written,
            runlogs=[RunlogStore(each, self.name) for each in runlogs],
        )
        return self.outcome

    def _places(self, key: str, pid_file: Path | None) -> list[Path]:
        """Return where the daemon may write a file, as seen from outside its `chroot_dir`.

        If nothing configures it, a daemon in the foreground may write it where that was started.
        """
        file, root = self.c(key), self.c(self.CONFIG_CHROOT_DIR)
        if not file:
            return []
        places = [Path(root, str(file).lstrip("/")) if root else Path(file)]
        if self.configuration.origins.get((key,), "default") == "default" and pid_file:
            places += [
                directory / Path(self._foreground_files()[key]).name
                for directory in _current_directories(pid_file)
            ]
        return places

    def cbk_action_config_view(self) -> Outcome:
        """Show the merged configuration and the source of each value."""
        return Outcome(config_tree(self.configuration))

    def cbk_action_config_schema(self) -> Outcome:
        """Show the JSON Schema of a configuration file."""
        return Outcome(json.dumps(json_schema(self.Options, self._sections()), indent=2))

    def cbk_action_runlog_view(self) -> Outcome:
        """Show the newest runlog."""
        for entry in self._runlogs():
            if entry.runlog is not None:
                return Outcome(runlog_text(entry.runlog))
        return self._no_runlog()

    def cbk_action_runlogs_list(self) -> Outcome:
        """List the runlogs, newest first."""
        entries = self._runlogs()
        return Outcome(runlogs_text(entries)) if entries else self._no_runlog()

    def cbk_action_signal_check(self) -> Outcome:
        """Report whether the daemon runs."""
        return self.send_signal(SIGNAL_ACTIONS["signal-check"])

    def cbk_action_signal_alrm(self) -> Outcome:
        """Send SIGALRM: wake the daemon."""
        return self.send_signal(SIGNAL_ACTIONS["signal-alrm"])

    def cbk_action_signal_hup(self) -> Outcome:
        """Send SIGHUP: read the configuration again and reopen the log file."""
        return self.send_signal(SIGNAL_ACTIONS["signal-hup"])

    def cbk_action_signal_int(self) -> Outcome:
        """Send SIGINT: stop after the queued events have been handled."""
        return self.send_signal(SIGNAL_ACTIONS["signal-int"])

    def cbk_action_signal_term(self) -> Outcome:
        """Send SIGTERM: stop at once, unless configured otherwise (sigterm)."""
        return self.send_signal(SIGNAL_ACTIONS["signal-term"])

    def cbk_action_signal_usr1(self) -> Outcome:
        """Send SIGUSR1: save the runlog, and wait until it is written."""
        return self.send_signal(SIGNAL_ACTIONS["signal-usr1"])

    def cbk_action_signal_usr2(self) -> Outcome:
        """Send SIGUSR2: save the state, and wait until it is written."""
        return self.send_signal(SIGNAL_ACTIONS["signal-usr2"])

    def _runlogs(self) -> list[RunlogEntry]:
        directory = self.c(self.CONFIG_RUNLOG_DIR)
        return RunlogStore(Path(directory), self.name).list() if directory else []

    def _no_runlog(self) -> Outcome:
        directory = self.c(self.CONFIG_RUNLOG_DIR)
        text = f"There is no runlog in {directory}" if directory else "No runlog_dir is configured"
        return Outcome(text, EXIT_NO_INPUT)


def send_signal(
    number: int,
    pid_file: Path | None,
    *,
    parallel: bool,
    written: Sequence[Path] = (),
    runlogs: Sequence[RunlogStore] = (),
) -> Outcome:
    """Send a signal to the daemon that holds a PID file.

    Args:
        number: The signal; 0 only checks that the daemon runs.
        pid_file: The file; None if the daemon is configured without one.
        parallel: True: to each instance whose file has that name and a serial.
        written: The files of which the daemon writes one when it gets the signal: wait for it, for
            10 seconds at most. With `parallel`, each instance's has its serial.
        runlogs: Where the daemon writes its runlog when it gets the signal: wait for it as well.
    """
    if pid_file is None:
        return Outcome("This daemon has no PID file: give its --pid-file.", EXIT_NOT_RUNNING)
    if not parallel:
        return _send(number, pid_file, _expected(written, runlogs))
    try:
        files = instances(pid_file)
    except OSError as cause:
        return Outcome(_unreadable(pid_file.parent, cause), EXIT_NO_PERMISSION)
    if not files:
        name = pid_file.with_name(f"{pid_file.stem}.*{pid_file.suffix}")
        return Outcome(f"Not running: there is no PID file {name}", EXIT_NOT_RUNNING)
    return _combine(
        _send(number, each, _expected([_of_instance(w, each) for w in written], runlogs))
        for each in files
    )


def _combine(outcomes: Iterable[Outcome]) -> Outcome:
    found = list(outcomes)
    if any(each.status == EXIT_OK for each in found):
        # A killed instance leaves its file behind. That is no failure if others run.
        found = [each for each in found if each.status != EXIT_NOT_RUNNING]
    status = max((each.status for each in found), key=_GRAVITY.index)
    return Outcome("\n".join(each.text for each in found), status)


def _of_instance(file: Path, pid_file: Path) -> Path:
    serial = pid_file.suffixes[-2:-1]
    return file.with_name(f"{file.stem}{''.join(serial)}{file.suffix}")


class _Expected(abc.ABC):
    """A file that the daemon writes when it gets the signal."""

    name: str

    def __init__(self) -> None:
        self._before = self.versions(None)

    @abc.abstractmethod
    def versions(self, pid: int | None) -> set[_Version]:
        """Return what is different when it is written again; None: by any process."""

    def is_written(self, pid: int) -> bool:
        """Return True if a process has written it since this object was made."""
        return not self.versions(pid) <= self._before


class _ExpectedState(_Expected):
    def __init__(self, files: Sequence[Path]) -> None:
        self.name = " or ".join(map(str, files))
        self._files = files
        super().__init__()

    def versions(self, pid: int | None) -> set[_Version]:
        return _versions(self._files)


class _ExpectedRunlog(_Expected):
    def __init__(self, stores: Sequence[RunlogStore]) -> None:
        self.name = " or ".join(f"{store.directory}/*.runlog" for store in stores)
        self._stores = stores
        super().__init__()

    def versions(self, pid: int | None) -> set[_Version]:
        return _versions(path for store in self._stores for path in store.written_by(pid))


def _expected(states: Sequence[Path], runlogs: Sequence[RunlogStore]) -> _Expected | None:
    if states:
        return _ExpectedState(states)
    return _ExpectedRunlog(runlogs) if runlogs else None


def _current_directories(pid_file: Path) -> list[Path]:
    """Return the directory in which the process of a PID file works, if it can be found out."""
    with contextlib.suppress(OSError):
        pid = look_up(pid_file).pid
        return [] if pid is None else [Path(f"/proc/{pid}/cwd").readlink()]
    return []


def _send(number: int, pid_file: Path, written: _Expected | None) -> Outcome:
    try:
        holder = signal_holder(pid_file, number)
    except PermissionError as cause:
        return Outcome(
            f"Not permitted: {cause.strerror} ({cause.filename or pid_file}). Be root, or the user"
            " whose daemon it is.",
            EXIT_NO_PERMISSION,
        )
    except OSError as cause:
        return Outcome(_unreadable(pid_file, cause), EXIT_NO_PERMISSION)
    match holder.state:
        case "absent":
            return Outcome(f"Not running: there is no PID file {pid_file}", EXIT_NOT_RUNNING)
        case "stale":
            ended = "" if holder.pid is None else f": process {holder.pid} has ended"
            text = f"Not running: the PID file {pid_file} is stale{ended}"
            return Outcome(text, EXIT_NOT_RUNNING)
        case "malformed":
            return Outcome(
                f"{pid_file} is no PID file of a zenactors daemon. If no daemon runs, remove it.",
                EXIT_DATA_ERROR,
            )
    if number == 0:
        return Outcome(f"Running: process {holder.pid} ({pid_file})")
    name = SIGNALS_TO_NAMES_DICT.get(number, str(number))
    text = f"Sent {name} to process {holder.pid} ({pid_file})"
    assert holder.pid is not None
    if written is None or _await_writing(written, holder.pid, pid_file):
        return Outcome(text)
    missing = f"{written.name} has not been written within {PATIENCE:.0f} s. See the daemon's log"
    return Outcome(f"{text}\n{missing}", EXIT_IO_ERROR)


def _versions(files: Iterable[Path]) -> set[_Version]:
    """Return what is different when a file is written again, for those that can be examined."""
    found = set()
    for file in files:
        with contextlib.suppress(OSError):
            status = file.stat()
            found.add((status.st_ino, status.st_mtime_ns))
    return found


def _await_writing(file: _Expected, pid: int, pid_file: Path) -> bool:
    now = SystemClock().monotonic
    deadline = now() + PATIENCE
    while not file.is_written(pid):
        if now() > deadline or signal_holder(pid_file, 0).state != "running":
            return file.is_written(pid)
        poll_for(select.poll(), _INTERVAL)
    return True


def _unreadable(path: Path, cause: OSError) -> str:
    return f"{path} cannot be read: {reason(cause)}"
