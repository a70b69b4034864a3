"""A daemon as a whole program: from its command line to its exit status.

The order, and why it is that: everything that may be wrong in the configuration is found while
the terminal is there; then the process detaches, for nothing of what follows survives a fork; the
pid file is written by root; then rights are dropped; then the log file is opened, so that it can
be opened again later with the same rights; then threads begin.

Signals are blocked from before the fork until the main thread handles them: one that comes
meanwhile waits. Thread: main.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TextIO

from loguru import logger

from zenactors._version import __version__
from zenactors.core.clock import SystemClock
from zenactors.daemon.actions import Outcome
from zenactors.daemon.command_line import HelpShown, UsageError, parse_daemon, usage
from zenactors.daemon.logs import LogOptions, Logs
from zenactors.daemon.main_thread import SIGNAL_EVENTS
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_CONFIG,
    EXIT_IO_ERROR,
    EXIT_OK,
    EXIT_OS_ERROR,
    EXIT_SOFTWARE,
    EXIT_USAGE,
    AlreadyRunningError,
    ConfigurationError,
    ProcessSetupError,
    ZenDaemonException,
)
from zenactors.process.daemonize import Launcher, detach
from zenactors.process.pidfile import PidFile, with_serial
from zenactors.process.privileges import drop, enter, resolve_group, resolve_user
from zenactors.process.signals import stopping_quietly

if TYPE_CHECKING:
    import pydantic

    from zenactors.actors.life import StopReport


class Application(Protocol):
    """What is needed of a `ZenDaemon`; see there."""

    description: str
    config: dict[str, Any]
    components: list[Any]
    stop_report: StopReport | None
    keep_runlogs: bool
    on_ready: Callable[[], None]
    reopen_logs: Callable[[Mapping[str, Any]], None]

    @property
    def Options(self) -> type[pydantic.BaseModel]:  # noqa: N802 - the name of the class's
        """The configuration keys."""
        ...

    def c(self, key: str, default: Any = None) -> Any:
        """Return the value of a configuration key."""
        ...

    def configure(self, command_line: Mapping[str, Any]) -> None:
        """Merge the configuration."""
        ...

    def be_one_of_several(self, pid: int) -> None:
        """Use files of one's own."""
        ...

    def actions(self) -> dict[str, Callable[[], Outcome | None]]:
        """Return all actions by name."""
        ...

    def chains(self) -> Any:
        """Wire everything."""
        ...

    def serve(self) -> int:
        """Run from start to stop."""
        ...


def run(daemon: Application, argv: Sequence[str] | None = None) -> NoReturn:
    """Obey a command line, and end the process; see `ZenDaemon.run`."""
    leave(daemon, _obey(daemon, sys.argv[1:] if argv is None else argv))


def leave(daemon: Application, status: int) -> NoReturn:
    """End the process, without those threads that did not stop."""
    if daemon.stop_report is not None and daemon.stop_report.stuck:
        # A thread that hangs in a callback would hang again when the interpreter waits for
        # its locks: leave without it.
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


def act(daemon: Application, action: str) -> int:
    """Do an action, write what it says, and return its exit status.

    Raises:
        ConfigurationError: There is no such action.
    """
    actions = daemon.actions()
    if action not in actions:
        raise ConfigurationError(
            f"action: there is no action {action!r}; there are: {', '.join(sorted(actions))}"
        )
    try:
        outcome = actions[action]() or Outcome("")
    except (ZenDaemonException, OSError) as cause:
        outcome = Outcome(f"{action}: {cause}", EXIT_IO_ERROR)
    stream = sys.stdout if outcome.status == EXIT_OK else sys.stderr
    _write(stream, outcome.text.rstrip("\n") + "\n" if outcome.text else "")
    return outcome.status


def run_process(daemon: Application, logs: Logs | None = None) -> int:
    """Make this process, or one in the background, the daemon's, and serve.

    Args:
        daemon: Configured.
        logs: Where log lines go; opened when that is possible. Default: as configured.

    Returns:
        The exit status; with a daemon in the background, in that process only.
    """
    pid_file, chroot_dir, work_dir = map(daemon.c, ("pid_file", "chroot_dir", "work_dir"))
    try:
        group = None if daemon.c("group") is None else resolve_group(daemon.c("group"))
        user = None if daemon.c("user") is None else resolve_user(daemon.c("user"), group)
        signals = {*SIGNAL_EVENTS, *(getattr(signal, name) for name in daemon.c("signals"))}
    except ConfigurationError as cause:
        _complain(cause)
        return EXIT_CONFIG
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    launcher: Launcher | None = None
    holder: PidFile | None = None
    status = EXIT_OS_ERROR
    logs = logs or Logs(log_options(daemon.config))
    try:
        if not daemon.c("no_daemon"):
            launcher = detach(
                # What the components may take together, and the rest.
                start_timeout=daemon.c("start_timeout") * (len(daemon.components) + 2),
                now=SystemClock().monotonic,
                mask=signals,
            )
        if daemon.c("paralel"):
            daemon.be_one_of_several(os.getpid())
            pid_file = pid_file and with_serial(pid_file, os.getpid())
        if pid_file:
            holder = PidFile(pid_file)
            holder.acquire()
        enter(chroot_dir, work_dir, daemon.c("umask"))
        if user is not None or group is not None:
            drop(user, group)
        logs.open()
        status = _serve(daemon, launcher, logs)
    except AlreadyRunningError as cause:
        _complain(cause, launcher)
        status = EXIT_ALREADY_RUNNING
    except ProcessSetupError as cause:
        _complain(cause, launcher)
    except ConfigurationError as cause:
        _complain(cause, launcher)
        status = EXIT_CONFIG
    finally:
        logs.close()
        if holder is not None:
            holder.release()
        if launcher is not None:
            launcher.failed(status)
    return status


def log_options(config: Mapping[str, Any]) -> LogOptions:
    """Return what a configuration says about logs."""
    logging = config["__core__"]["logging"]
    return LogOptions(
        level=logging["level"],
        console=logging["to_console"],
        console_level=logging["level_console"],
        file=logging["file"],
        file_level=logging["level_file"],
        json=config["log_json"],
    )


def _serve(daemon: Application, launcher: Launcher | None, logs: Logs) -> int:
    daemon.reopen_logs = lambda config: logs.reopen(log_options(config))
    if launcher is None:
        return daemon.serve()
    shown = logger.add(launcher.write, level="WARNING", format=_plainly, diagnose=False)

    def ready() -> None:
        launcher.ready()
        logger.remove(shown)

    daemon.on_ready = ready
    return daemon.serve()


def _plainly(_record: Any) -> str:
    return "{level}: {message}\n"  # without the traceback, which is in the log


def _obey(daemon: Application, argv: Sequence[str]) -> int:
    try:
        with stopping_quietly():
            actions = {
                action: (inspect.getdoc(callback) or "").partition("\n")[0]
                for action, callback in daemon.actions().items()
            }
            program, options = Path(sys.argv[0]).name, daemon.Options
            doc = usage(program, daemon.description, options, actions)
            given = parse_daemon(argv, doc, options, actions=actions, version=__version__)
            daemon.configure(given)
            daemon.keep_runlogs = True
            if daemon.c("action"):
                return act(daemon, daemon.c("action"))
            daemon.chains()  # wires everything, so finds what is wrong there
    except HelpShown:
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_OK  # stopped before it began: as asked
    except BrokenPipeError:
        _close_stdout()  # whoever read our output wants no more: nobody to tell
        return EXIT_IO_ERROR
    except UsageError as cause:
        _complain(f"{cause}\n{cause.usage}")
        return EXIT_USAGE
    except ConfigurationError as cause:
        _complain(cause)
        return EXIT_CONFIG
    except Exception:  # a bug, of the program or of ours: keep all that is known of it
        traceback.print_exc()
        return EXIT_SOFTWARE
    return run_process(daemon)


def _complain(problem: object, launcher: Launcher | None = None) -> None:
    text = f"{problem}\n"
    if launcher is not None:
        launcher.write(text)
    else:
        _write(sys.stderr, text)


def _close_stdout() -> None:
    # What is left in the buffer must not fail once more when the interpreter flushes at its end.
    with suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(stream: TextIO | None, text: str) -> None:
    with suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads it
        assert stream is not None
        stream.write(text)
        stream.flush()
