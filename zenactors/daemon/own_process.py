"""The process that a daemon has to itself, from its fork to its end.

The order: the process detaches first, because nothing of what follows survives a fork. Root
writes the PID file. Then privileges are dropped. Then the log file is opened, so that it can be
reopened later with the same privileges. Then threads begin.

Signals are blocked from before the fork until the main thread handles them: one that comes in
between waits. Thread: main.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from loguru import logger

from zenactors.actors.incidents import survive_log, try_to_log
from zenactors.actors.shutdown import CHILDREN_GRACE
from zenactors.actors.tracebacks import log_failure
from zenactors.core.clock import SystemClock
from zenactors.core.replicas import Replicas
from zenactors.core.text import harmless
from zenactors.daemon.daemon_base import DaemonBase
from zenactors.daemon.paths import advice_without_home, current_directory, make_user_directories
from zenactors.daemon.signal_events import SIGNAL_EVENTS
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_CONFIG,
    EXIT_OS_ERROR,
    EXIT_SOFTWARE,
    EXIT_START_FAILED,
    AlreadyRunningError,
    ConfigurationError,
    ProcessSetupError,
)
from zenactors.logs.sinks import LogOptions, Logs
from zenactors.process.daemonize import detach
from zenactors.process.forks import disown_in_children, end_multiprocessing_children
from zenactors.process.launcher import Launcher
from zenactors.process.pidfile import PidFile, with_serial
from zenactors.process.privileges import drop, enter, resolve_group, resolve_user
from zenactors.process.procfs import own_identity
from zenactors.process.signals import children_have_statuses
from zenactors.process.streams import fill_standard_streams, write_to
from zenactors.process.terminal import Terminal


def handled_signals(daemon: DaemonBase) -> set[int]:
    """Return the signals that a daemon handles: the fixed ones, and those it is configured for."""
    return {*SIGNAL_EVENTS, *(getattr(signal, name) for name in daemon.c("signals", {}))}


def run_process(daemon: DaemonBase, *, final: bool = False) -> int:
    """Make this process, or one in the background, the daemon's, and serve.

    Args:
        daemon: A configured daemon.
        final: The process ends with the daemon, so the handlers of signals are not restored.

    Returns:
        The exit status; with a daemon in the background, in that process only.
    """
    fill_standard_streams()
    signals = handled_signals(daemon)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    daemon.terminal = Terminal()
    try:
        with children_have_statuses():
            return _OwnProcess(daemon, signals).run(restore=not final)
    finally:
        if not final:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _OwnProcess:
    """The process of one daemon.

    Args:
        daemon: A configured daemon.
        signals: The signals that it handles; blocked until it does.
    """

    def __init__(self, daemon: DaemonBase, signals: Iterable[int]) -> None:
        self._daemon = daemon
        self._signals = signals
        self._launcher: Launcher | None = None
        self._pid_file: PidFile | None = None
        self._logs = Logs(log_options(daemon.config))

    def run(self, *, restore: bool) -> int:
        """Become a daemon, serve, and clean up. Return the exit status."""
        status = EXIT_OS_ERROR
        try:
            self._become_daemon()
            with _ignoring(self._signals, restore=restore):
                status = self._serve()
                self._end_forked_children()
                self._clean_up()
        except AlreadyRunningError as cause:
            self._complain(cause)
            status = EXIT_ALREADY_RUNNING
        except ProcessSetupError as cause:
            self._complain(f"{cause}{advice_without_home(self._daemon.paths)}")
        except ConfigurationError as cause:
            self._complain(cause)
            status = EXIT_CONFIG
        except Exception as cause:  # a bug, of the program or of zenactors: it must be seen
            with survive_log():
                message = "A bug ends the daemon: {cause!r}"
                log_failure(logger, "ERROR", message, cause, cause=cause)
            self._complain("".join(traceback.format_exception(cause)))
            status = EXIT_SOFTWARE
        finally:
            self._clean_up()
            if self._launcher is not None:
                # After `ready` it changes nothing. Before it, no daemon runs, whatever the cause.
                self._launcher.failed(status or EXIT_START_FAILED)
        return status

    def _become_daemon(self) -> None:
        daemon = self._daemon
        # Looked up while the system's own files are visible, and errors are on the terminal.
        group = None if daemon.c("group") is None else resolve_group(daemon.c("group"))
        user = None if daemon.c("user") is None else resolve_user(daemon.c("user"), group)
        pid_file = daemon.c("pid_file")
        if not daemon.c("no_daemon"):
            started_in = current_directory()
            self._launcher = detach(
                # The time that all components may take, and some for the rest.
                start_timeout=daemon.c("start_timeout") * (len(daemon.components) + 2),
                now=SystemClock().monotonic,
                mask=self._signals,
                keep=_descriptors(daemon, "keep_descriptors"),
                close=_descriptors(daemon, "close_descriptors"),
            )
            disown_in_children(self._launcher)
            if daemon.c("work_dir") is None and daemon.c("chroot_dir") is None:
                daemon.left_directory = None if started_in is None else str(started_in)
        if daemon.c("paralel"):
            daemon.use_instance_files(os.getpid())
            pid_file = pid_file and with_serial(pid_file, os.getpid())
        daemon.identity = own_identity()  # /proc may be outside chroot_dir
        make_user_directories(daemon.paths)
        if pid_file:
            self._pid_file = PidFile(pid_file)
            self._pid_file.acquire()
        enter(daemon.c("chroot_dir"), daemon.c("work_dir"), daemon.c("umask"))
        if user is not None or group is not None:
            drop(user, group)
        self._logs.open()

    def _serve(self) -> int:
        daemon, launcher = self._daemon, self._launcher
        daemon.reopen_logs = lambda config: self._logs.reopen(log_options(config))
        if launcher is None:
            return daemon.serve()
        sink = logger.add(
            lambda message: launcher.write(harmless(message)),
            level="WARNING",
            format=_one_line,
            diagnose=False,
        )
        on_ready = daemon.on_ready

        def ready() -> None:
            if on_ready is not None:
                on_ready()
            launcher.ready()
            logger.remove(sink)

        daemon.on_ready = ready
        return daemon.serve()

    def _end_forked_children(self) -> None:
        for name in end_multiprocessing_children(SystemClock().monotonic, CHILDREN_GRACE):
            try_to_log("WARNING", "Child {name!r} did not end: killed", name=name)

    def _clean_up(self) -> None:
        self._logs.close()
        if self._pid_file is not None:
            self._pid_file.release()

    def _complain(self, problem: object) -> None:
        if self._launcher is not None:
            self._launcher.write(f"{harmless(str(problem))}\n")
        else:
            write_to(sys.stderr, f"{harmless(str(problem))}\n")


def log_options(config: Mapping[str, Any]) -> LogOptions:
    """Return the options of the logs in a configuration."""
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
def _ignoring(signals: Iterable[int], *, restore: bool) -> Iterator[None]:
    """Ignore signals that come when the daemon has ended and cleans up."""

    def ignore(_number: int, _frame: FrameType | None) -> None: ...

    before = {number: signal.signal(number, ignore) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items() if restore else ():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _descriptors(daemon: DaemonBase, attribute: str) -> set[int]:
    """Return the descriptors that the components declare: numbers, or objects with a `fileno`."""
    declared = (
        each
        for component in daemon.components
        for one in (component.instances if isinstance(component, Replicas) else [component])
        for each in getattr(one, attribute, ())
    )
    return {each if isinstance(each, int) else each.fileno() for each in declared}


def _one_line(_record: Any) -> str:
    return "{level}: {message}\n"  # without the traceback, which is in the log
