"""The exceptions and exit statuses of zenactors.

One base class, and only those subclasses that a caller would catch separately.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# Exit statuses. From 64 on they have the numbers, and nearly the meanings, of sysexits.h.
EXIT_OK = 0  # stopped as requested; a launched daemon is ready; an action reached its daemons
EXIT_FAILURE = 1  # by policy: an unknown event; simulate, test: a seed fails
EXIT_NOT_RUNNING = 3  # an action found no daemon; init scripts use this number
EXIT_USAGE = 64  # EX_USAGE: the command line is wrong
EXIT_DATA_ERROR = 65  # EX_DATAERR: events became dead letters; a PID file or runlog is malformed
EXIT_NO_INPUT = 66  # EX_NOINPUT: an input file is missing or cannot be read
EXIT_START_FAILED = 69  # EX_UNAVAILABLE: a component or the daemon did not start in time
EXIT_SOFTWARE = 70  # EX_SOFTWARE: a bug in zenactors or in a component ended the daemon
EXIT_OS_ERROR = 71  # EX_OSERR: the system refused to detach, write the PID file, drop privileges
EXIT_ALREADY_RUNNING = 73  # EX_CANTCREAT: another process holds the PID file
EXIT_IO_ERROR = 74  # EX_IOERR: output cannot be written
EXIT_FORCED_STOP = 75  # EX_TEMPFAIL: the process ended before its work was done
EXIT_GAVE_UP = 76  # a component failed, and its policy does not let the daemon go on without it
EXIT_NO_PERMISSION = 77  # EX_NOPERM: an action may not signal the daemon, or not read its PID file
EXIT_CONFIG = 78  # EX_CONFIG: the configuration is wrong


class ZenDaemonException(Exception):  # noqa: N818 - pyzenkit's name
    """Base class of all errors of zenactors. It does not include `ZenDaemonStopException`.

    It has pyzenkit's form, `(description, **params)`; `str()` is the description.
    """

    def __init__(self, description: str = "", **params: Any) -> None:
        super().__init__(description)
        self.description = description
        self.params = params


class ZenDaemonComponentException(ZenDaemonException):
    """One component has a problem. Other components may continue."""


class ZenDaemonStopException(BaseException):
    """Raise in a callback to stop the daemon in order, but at once: queued events are not run.

    It is not an error: the exit status is 0. As a `BaseException`, it passes `except Exception`.
    """


class TerminateException(ZenDaemonStopException):
    """SIGTERM: the daemon's own callback raises it. The end is as clean as one by SIGINT."""


class RestartComponent(ZenDaemonComponentException):
    """Raise in a callback to have the component made anew, whatever its policy for errors is.

    For a component that knows that it is of no use any more: its connection is gone, say. The event
    is tried again by the new object if the component's policy has a `retry`, and becomes a dead
    letter otherwise.
    """


class HardLimitError(ZenDaemonComponentException):
    """A callback did not return within its component's hard limit: its thread was abandoned.

    It is the cause of the dead letter. The callback may have done all of its work, or none.
    """


class QueueEmptyException(ZenDaemonException, LookupError):  # noqa: N818 - pyzenkit's name
    """The event queue holds no event. An event that is not due yet does not count as none."""


class UnknownKeyError(ZenDaemonException, LookupError):
    """The configuration has no such key, and no default was given."""

    def __init__(self, key: str, *, known: Iterable[str]) -> None:
        keys = sorted(str(each) for each in known if each != "__core__")
        hint = did_you_mean(str(key), keys) or f"; keys: {', '.join(keys) or 'none'}"
        super().__init__(f"there is no configuration key {key!r}{hint}")


class UnknownEventError(ZenDaemonException, LookupError):
    """An event was scheduled that no callback chain handles. The event was not queued.

    Attributes:
        event: The event.
    """

    def __init__(self, event: Any, *, known: Iterable[Any]) -> None:
        super().__init__()
        self.event = event
        self._known = tuple(known)

    def __str__(self) -> str:
        # Not before it is read: it runs code of the event, which may be any object.
        event, names = self.event, sorted(map(str, self._known))
        return (
            f"Event {event!r} was scheduled, but no component handles it"
            f"{did_you_mean(event, names) or '.'}"
            f" Let a component handle {event!r} (get_events() or @handles), or schedule one of:"
            f" {', '.join(names) or '(no event is handled)'}."
        )


class QueueFullError(ZenDaemonException):
    """A producer has as many events in flight as the queue's limit allows.

    The event was not queued. Other producers may still schedule: each has a limit of its own.
    """


class ComponentStartError(ZenDaemonComponentException):
    """A component did not start. The original exception, if there is one, is the `__cause__`.

    It does not mean that the daemon runs without the component: the daemon's start has failed.

    Attributes:
        component: The component's name.
        stage: The step that failed: `"setup"` or `"start"`.
    """

    def __init__(self, component: str, stage: str, reason: str) -> None:
        self.component = component
        self.stage = stage
        super().__init__(f"Component {component!r} failed in {stage}: {reason}")


class ConfigurationError(ZenDaemonException):
    """A SPEC, an option or an event name is wrong. The message has one line for each problem.

    The message is for the user. It never means a bug, so no traceback is shown.
    """


class StateStoreError(ZenDaemonException):
    """A component's state store cannot be opened, read or written. The message is for the user.

    What was saved before is still there.
    """


class ProcessDiedError(ZenDaemonException):
    """The cause of a dead letter: earlier processes died while they handled the event.

    Nothing raises it. The event was not handled again; see `Checkpoints`.

    Attributes:
        times: How many processes died.
    """

    def __init__(self, times: int) -> None:
        self.times = times
        super().__init__(f"the process died here {times} time{'s' * (times != 1)}")


class ReloadError(ZenDaemonException):
    """The new configuration cannot be applied. The daemon continues with the old one."""


class ProcessSetupError(ZenDaemonException):
    """The operating system refused a step of becoming a daemon. The message is for the user.

    The configuration may be right: the same call can succeed with other permissions or limits.
    """


class AlreadyRunningError(ProcessSetupError):
    """Another process holds the PID file.

    Attributes:
        path: The PID file.
        pid: The other process; None if it has not written its PID yet.
    """

    def __init__(self, path: object, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"Already running: {holder} holds the PID file {str(path)!r}. Stop it first"
            " (--action signal-int: it finishes its work), or run several at a time with"
            " --parallel."
        )


class NotRunningError(ZenDaemonException):
    """The dispatcher is not running: it has not been started yet, or has been stopped.

    It is no failure of the dispatcher, and stopping one that has stopped does not raise it.
    """


class AbandonedError(NotRunningError):
    """The calling thread was abandoned: its callback took longer than its hard limit.

    Another thread goes on in its place. What this one still does has no effect in the daemon.
    """

    def __init__(self) -> None:
        super().__init__(
            "This thread was abandoned: its callback took longer than the hard limit of its"
            " component, and another thread goes on in its place. Return from the callback."
        )


class RetryInterruptedError(NotRunningError):
    """The daemon stops while a callback waits for its next attempt: its event is left undone."""


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the closest known name, or an empty string."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
