"""The exceptions of zenactors: one base class and the few that a caller tells apart."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# Exit statuses, after sysexits.h where it has a name for the case.
EXIT_OK = 0
EXIT_FAILURE = 1  # compat="pyzenkit": any error while running; simulate: a seed fails
EXIT_NOT_RUNNING = 3  # an action found no daemon to act on; init scripts know this number
EXIT_USAGE = 64  # EX_USAGE: wrong command line
EXIT_DATA_ERROR = 65  # EX_DATAERR: a pid file or runlog cannot be understood
EXIT_NO_INPUT = 66  # EX_NOINPUT: an input file cannot be read
EXIT_START_FAILED = 69  # EX_UNAVAILABLE: a component did not start
EXIT_SOFTWARE = 70  # EX_SOFTWARE: a bug in zenactors or in a component ended the daemon
EXIT_OS_ERROR = 71  # EX_OSERR: the system refused to detach, to write the pid file, to drop rights
EXIT_ALREADY_RUNNING = 73  # EX_CANTCREAT: another process holds the pid file
EXIT_IO_ERROR = 74  # EX_IOERR: output cannot be written
EXIT_FORCED_STOP = 75  # EX_TEMPFAIL: left before the work was done
EXIT_NO_PERMISSION = 77  # EX_NOPERM: an action may not signal the daemon
EXIT_CONFIG = 78  # EX_CONFIG: something is wrong with the configuration


class ZenDaemonException(Exception):  # noqa: N818 - pyzenkit's name
    """Describe a problem of a daemon. Base class of all errors of zenactors.

    Takes pyzenkit's form, `(description, **params)`; `str()` is the description.
    """

    def __init__(self, description: str = "", **params: Any) -> None:
        super().__init__(description)
        self.description = description
        self.params = params


class ZenDaemonComponentException(ZenDaemonException):
    """Describe a problem of one component."""


class ZenDaemonStopException(BaseException):
    """Raise in a callback to stop the daemon in order, but at once.

    Not an error: the exit status is 0. What is queued is not worked off.
    """


class QueueEmptyException(ZenDaemonException, LookupError):  # noqa: N818 - pyzenkit's name
    """The event queue holds nothing at all, not even an event for later."""


class UnknownEventError(ZenDaemonException, LookupError):
    """An event was scheduled that no callback chain handles."""

    def __init__(self, event: Any, *, known: Iterable[Any]) -> None:
        self.event = event
        names = sorted(map(str, known))
        super().__init__(
            f"Event {event!r} was scheduled, but no component handles it"
            f"{did_you_mean(event, names) or '.'}"
            f" Let a component handle {event!r} (get_events() or @handles), or schedule one of:"
            f" {', '.join(names) or '(no event is handled)'}."
        )


class QueueFullError(ZenDaemonException):
    """A producer is further ahead than the queue's limit allows."""


class ComponentStartError(ZenDaemonComponentException):
    """A component did not start. The original exception is the `__cause__`.

    Attributes:
        component: The component's name.
        stage: What it was doing: `"setup"` or `"start"`.
    """

    def __init__(self, component: str, stage: str, reason: str) -> None:
        self.component = component
        self.stage = stage
        super().__init__(f"Component {component!r} failed in {stage}: {reason}")


class ConfigurationError(ZenDaemonException):
    """A SPEC, an option or an event name is wrong. The message has one line a problem."""


class ReloadError(ZenDaemonException):
    """The new configuration cannot be taken over; the old one goes on."""


class ProcessSetupError(ZenDaemonException):
    """The operating system refused what makes a process a daemon. The message is for the user."""


class AlreadyRunningError(ProcessSetupError):
    """Another process holds the pid file.

    Attributes:
        path: The pid file.
        pid: The other process; None if it has not written its number yet.
    """

    def __init__(self, path: object, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        who = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"Already running: {who} holds the pid file {str(path)!r}. Stop it first"
            " (--action signal-term), or run several at a time with --parallel."
        )


class NotRunningError(ZenDaemonException):
    """The dispatcher is not running: it has not been started yet, or it was stopped."""


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
