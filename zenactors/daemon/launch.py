"""A daemon as a whole program: from its command line to its exit status.

The order, and why it is that: everything that may be wrong in the configuration is found while
the terminal is there; then the process detaches, for nothing of what follows survives a fork; the
pid file is written by root; then rights are dropped; then the log file is opened, so that it can
be opened again later with the same rights; then threads begin.

Signals are blocked from before the fork until the main thread handles them: one that comes
meanwhile waits. Thread: main.
"""

from __future__ import annotations

import errno
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TextIO

from loguru import logger

from zenactors._version import __version__
from zenactors.core.clock import SystemClock
from zenactors.daemon.actions import SIGNAL_ACTIONS, Outcome, send_signal
from zenactors.daemon.command_line import HelpShown, UsageError, parse_daemon, usage
from zenactors.daemon.main_loop import SIGNAL_EVENTS
from zenactors.daemon.paths import make_user_folders
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_CONFIG,
    EXIT_IO_ERROR,
    EXIT_OK,
    EXIT_OS_ERROR,
    EXIT_SOFTWARE,
    EXIT_START_FAILED,
    EXIT_USAGE,
    AlreadyRunningError,
    ConfigurationError,
    ProcessSetupError,
    ZenDaemonException,
)
from zenactors.logs.sinks import LogOptions, Logs
from zenactors.process.daemonize import detach
from zenactors.process.launcher import Launcher
from zenactors.process.pidfile import PidFile, with_serial
from zenactors.process.privileges import drop, enter, resolve_group, resolve_user
from zenactors.process.signals import stopping_quietly
from zenactors.process.streams import fill_standard_streams, give_up_stdout

if TYPE_CHECKING:
    import pydantic

    from zenactors.actors.shutdown import StopReport


class Application(Protocol):
    """What is needed of a `ZenDaemon`; see there."""

    description: str
    config: dict[str, Any]
    paths: dict[str, str]
    components: list[Any]
    outcome: Outcome | None
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

    def use_instance_files(self, pid: int) -> None:
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
    mapped = {getattr(signal, name) for name in daemon.c("signals", {})}
    for number in {*SIGNAL_EVENTS, *mapped}:  # it ends: nobody can hurry it, or kill it half-way
        with suppress(ValueError):  # not in the main thread
            signal.signal(number, signal.SIG_IGN)
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
        outcome = actions[action]() or daemon.outcome or Outcome("")
    except (ZenDaemonException, OSError) as cause:
        outcome = Outcome(f"{action}: {cause}", EXIT_IO_ERROR)
    return show(outcome)


def signal_directly(given: Mapping[str, Any]) -> int | None:
    """Do a signal's action if the command line says to which pid file; None if that is not so.

    No configuration is read for it: a daemon can be stopped whose configuration is broken.
    """
    action, pid_file = given.get("action"), given.get("pid_file")
    if action not in SIGNAL_ACTIONS or not pid_file:
        return None
    parallel = bool(given.get("paralel") or given.get("parallel"))
    return show(send_signal(SIGNAL_ACTIONS[action], Path(pid_file), parallel=parallel))


def explain_failure(cause: ConfigurationError, given: Mapping[str, Any]) -> str:
    """Return what is wrong with a configuration, and how an action may do without it."""
    action = given.get("action")
    if action not in SIGNAL_ACTIONS:
        return str(cause)
    return f"{cause}\nThe action needs no configuration if you add: --pid-file FILE"


def show(outcome: Outcome) -> int:
    """Write what an action says: to standard output, or what went wrong to standard error."""
    text = outcome.text.rstrip("\n") + "\n" if outcome.text else ""
    if outcome.status != EXIT_OK:
        _write(sys.stderr, text)
        return outcome.status
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as cause:
        give_up_stdout()
        if not isinstance(cause, BrokenPipeError):  # then its reader wants no more
            _complain(f"Standard output cannot be written: {cause.strerror}")
        return EXIT_IO_ERROR
    return EXIT_OK


def run_process(daemon: Application, *, final: bool = False) -> int:
    """Make this process, or one in the background, the daemon's, and serve.

    Args:
        daemon: Configured.
        final: The process ends with it, so nothing of its signals is restored.

    Returns:
        The exit status; with a daemon in the background, in that process only.
    """
    fill_standard_streams()
    signals = {*SIGNAL_EVENTS, *(getattr(signal, name) for name in daemon.c("signals"))}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        return _Process(daemon, signals).run(restore=not final)
    finally:
        if not final:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _Process:
    """The process that a daemon has to itself.

    Args:
        daemon: Configured.
        signals: What it handles; blocked until it does.
    """

    def __init__(self, daemon: Application, signals: Iterable[int]) -> None:
        self._daemon = daemon
        self._signals = signals
        self._launcher: Launcher | None = None
        self._holder: PidFile | None = None
        self._logs = Logs(log_options(daemon.config))

    def run(self, *, restore: bool) -> int:
        """Become a daemon, serve, and tidy up. Return the exit status."""
        status = EXIT_OS_ERROR
        try:
            self._become_daemon()
            with _unhurried(self._signals, restore=restore):
                status = self._serve()
                self._tidy_up()
        except AlreadyRunningError as cause:
            self._complain(cause)
            status = EXIT_ALREADY_RUNNING
        except ProcessSetupError as cause:
            self._complain(cause)
        except ConfigurationError as cause:
            self._complain(cause)
            status = EXIT_CONFIG
        except Exception as cause:  # a bug, of the program or of ours: somebody has to see it
            logger.exception("A bug ends the daemon: {cause!r}", cause=cause)
            self._complain("".join(traceback.format_exception(cause)))
            status = EXIT_SOFTWARE
        finally:
            self._tidy_up()
            if self._launcher is not None:
                # After `ready` it changes nothing; before it, nothing runs, for whatever reason.
                self._launcher.failed(status or EXIT_START_FAILED)
        return status

    def _become_daemon(self) -> None:
        daemon = self._daemon
        # Looked up while the system's own files are in sight, and what is wrong on the terminal.
        group = None if daemon.c("group") is None else resolve_group(daemon.c("group"))
        user = None if daemon.c("user") is None else resolve_user(daemon.c("user"), group)
        pid_file = daemon.c("pid_file")
        if not daemon.c("no_daemon"):
            self._launcher = detach(
                # What the components may take together, and the rest.
                start_timeout=daemon.c("start_timeout") * (len(daemon.components) + 2),
                now=SystemClock().monotonic,
                mask=self._signals,
            )
        if daemon.c("paralel"):
            daemon.use_instance_files(os.getpid())
            pid_file = pid_file and with_serial(pid_file, os.getpid())
        make_user_folders(daemon.paths)
        if pid_file:
            self._holder = PidFile(pid_file)
            self._holder.acquire()
        enter(daemon.c("chroot_dir"), daemon.c("work_dir"), daemon.c("umask"))
        if user is not None or group is not None:
            drop(user, group)
        self._logs.open()

    def _serve(self) -> int:
        daemon, launcher = self._daemon, self._launcher
        daemon.reopen_logs = lambda config: self._logs.reopen(log_options(config))
        if launcher is None:
            return daemon.serve()
        shown = logger.add(launcher.write, level="WARNING", format=_plainly, diagnose=False)
        on_ready = daemon.on_ready

        def ready() -> None:
            on_ready()
            launcher.ready()
            logger.remove(shown)

        daemon.on_ready = ready
        return daemon.serve()

    def _tidy_up(self) -> None:
        self._logs.close()
        if self._holder is not None:
            self._holder.release()

    def _complain(self, problem: object) -> None:
        if self._launcher is not None:
            self._launcher.write(f"{problem}\n")
        else:
            _complain(problem)


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


@contextmanager
def _unhurried(signals: Iterable[int], *, restore: bool) -> Iterator[None]:
    """Let signals that come when the daemon has ended, and tidies up, do nothing."""

    def ignore(_number: int, _frame: FrameType | None) -> None: ...

    before = {number: signal.signal(number, ignore) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items() if restore else ():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _plainly(_record: Any) -> str:
    return "{level}: {message}\n"  # without the traceback, which is in the log


def _obey(daemon: Application, argv: Sequence[str]) -> int:
    given: dict[str, Any] = {}
    try:
        with stopping_quietly():
            actions = {
                action: (inspect.getdoc(callback) or "").partition("\n")[0]
                for action, callback in daemon.actions().items()
            }
            program, options = Path(sys.argv[0]).name, daemon.Options
            doc = usage(program, daemon.description, options, actions)
            try:
                given = parse_daemon(argv, doc, options, actions=actions, version=__version__)
            except HelpShown:
                if sys.stdout is not None:  # closed
                    sys.stdout.flush()  # here, where what goes wrong is told
                return EXIT_OK
            if (status := signal_directly(given)) is not None:
                return status
            daemon.configure(given)
            daemon.keep_runlogs = True
            if daemon.c("action"):
                return act(daemon, daemon.c("action"))
            daemon.chains()  # wires everything, so finds what is wrong there
            # From here on the daemon answers for them, as soon as it can.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNAL_EVENTS)
    except KeyboardInterrupt:
        return EXIT_OK  # stopped before it began: as asked
    except BrokenPipeError:
        give_up_stdout()  # whoever read our output wants no more: nobody to tell
        return EXIT_IO_ERROR
    except OSError as cause:
        if cause.errno != errno.ENOSPC:
            traceback.print_exc()
            return EXIT_SOFTWARE
        give_up_stdout()
        _complain(f"standard output cannot be written: {cause.strerror}")
        return EXIT_IO_ERROR
    except UsageError as cause:
        _complain(f"{cause}\n{cause.usage}")
        return EXIT_USAGE
    except ConfigurationError as cause:
        _complain(explain_failure(cause, given))
        return EXIT_CONFIG
    except Exception:  # a bug, of the program or of ours: keep all that is known of it
        traceback.print_exc()
        return EXIT_SOFTWARE
    return run_process(daemon, final=True)


def _complain(problem: object) -> None:
    _write(sys.stderr, f"{problem}\n")


def _write(stream: TextIO | None, text: str) -> None:
    with suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads it
        assert stream is not None
        stream.write(text)
        stream.flush()
