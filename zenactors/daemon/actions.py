"""Actions: what a command line does to a running daemon, or shows of it, instead of running one.

Each returns an `Outcome` and writes nothing. The exit status is 0 only if every process that was
meant has been reached. Thread: main, in a process that is no daemon itself.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterable
from pathlib import Path

from zenactors.errors import (
    EXIT_DATA_ERROR,
    EXIT_NO_PERMISSION,
    EXIT_NOT_RUNNING,
    EXIT_OK,
)
from zenactors.process.pidfile import instances, signal_holder
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
"""The signal that each action sends; 0 only asks whether one could be sent."""

# When several instances answer differently, the status is the one that says most.
_GRAVITY = (EXIT_OK, EXIT_NOT_RUNNING, EXIT_DATA_ERROR, EXIT_NO_PERMISSION)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What an action did.

    Attributes:
        text: For the user, one line a fact.
        status: The exit status of the command.
    """

    text: str
    status: int = EXIT_OK


def send_signal(number: int, pid_file: Path | None, *, parallel: bool) -> Outcome:
    """Send a signal to the daemon that holds a pid file.

    Args:
        number: The signal; 0 only checks that there is somebody.
        pid_file: The file; None if the daemon is configured to have none.
        parallel: True: to each instance whose file has that name and a serial.
    """
    if pid_file is None:
        return Outcome("This daemon has no pid file: give its --pid-file.", EXIT_NOT_RUNNING)
    if not parallel:
        return _send(number, pid_file)
    try:
        files = instances(pid_file)
    except OSError as cause:
        return Outcome(_unreadable(pid_file.parent, cause), EXIT_NO_PERMISSION)
    if not files:
        name = pid_file.with_name(f"{pid_file.stem}.*{pid_file.suffix}")
        return Outcome(f"Not running: there is no pid file {name}", EXIT_NOT_RUNNING)
    return _all_of(_send(number, each) for each in files)


def _all_of(outcomes: Iterable[Outcome]) -> Outcome:
    found = list(outcomes)
    if any(each.status == EXIT_OK for each in found):
        # One that was killed leaves its file behind; that is no failure if others are there.
        found = [each for each in found if each.status != EXIT_NOT_RUNNING]
    status = max((each.status for each in found), key=_GRAVITY.index)
    return Outcome("\n".join(each.text for each in found), status)


def _send(number: int, pid_file: Path) -> Outcome:
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
            return Outcome(f"Not running: there is no pid file {pid_file}", EXIT_NOT_RUNNING)
        case "stale":
            who = "" if holder.pid is None else f": process {holder.pid} has ended"
            return Outcome(f"Not running: the pid file {pid_file} is stale{who}", EXIT_NOT_RUNNING)
        case "malformed":
            return Outcome(
                f"{pid_file} is no pid file of a zenactors daemon. If no daemon runs, remove it.",
                EXIT_DATA_ERROR,
            )
    if number == 0:
        return Outcome(f"Running: process {holder.pid} ({pid_file})")
    name = SIGNALS_TO_NAMES_DICT.get(number, str(number))
    return Outcome(f"Sent {name} to process {holder.pid} ({pid_file})")


def _unreadable(path: Path, cause: OSError) -> str:
    return f"{path} cannot be read: {cause.strerror}"
