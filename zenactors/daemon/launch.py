"""A daemon as a whole program: from its command line to its exit status.

Everything that may be wrong in the configuration is found here, while the terminal is there.
Then `own_process` takes over. Thread: main.
"""

from __future__ import annotations

import errno
import inspect
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zenactors._version import __version__
from zenactors.advice import reason
from zenactors.core.text import harmless
from zenactors.daemon.actions import SIGNAL_ACTIONS, WAITED_FOR, Outcome, send_signal
from zenactors.daemon.application import program_name
from zenactors.daemon.command_line import HelpShown, UsageError, parse_daemon, usage
from zenactors.daemon.daemon_base import DaemonBase
from zenactors.daemon.ending import leave
from zenactors.daemon.own_process import handled_signals, run_process
from zenactors.daemon.signal_events import SIGNAL_EVENTS
from zenactors.errors import (
    EXIT_CONFIG,
    EXIT_IO_ERROR,
    EXIT_OK,
    EXIT_SOFTWARE,
    EXIT_USAGE,
    ConfigurationError,
    ZenDaemonException,
)
from zenactors.process.signals import stopping_quietly
from zenactors.process.streams import escape_what_cannot_be_encoded, give_up_stdout, write_to

if TYPE_CHECKING:
    from zenactors.config.assignments import Assignment


def run(daemon: DaemonBase, argv: Sequence[str] | None = None) -> NoReturn:
    """Obey a command line, and end the process; see `ZenDaemon.run`."""
    escape_what_cannot_be_encoded()
    status = _obey(daemon, sys.argv[1:] if argv is None else argv)
    leave(status, daemon.stop_report, handled_signals(daemon))


def _obey(daemon: DaemonBase, argv: Sequence[str]) -> int:
    given: dict[str, Any] = {}
    try:
        with stopping_quietly():
            try:
                given, assignments = _parse(daemon, argv)
            except HelpShown as shown:
                if shown.lost is not None:
                    return _lose_output(shown.lost)
                return EXIT_OK if sys.stdout is None else show(Outcome(""))  # flushes the help
            if (status := signal_directly(given)) is not None:
                return status
            daemon.configure(given, assignments)
            daemon.keep_runlogs = True
            if daemon.c("action"):
                return act(daemon, daemon.c("action"))
            daemon.chains()  # wires everything, and so finds the errors in that
            # From here on the daemon answers these signals, as soon as it can.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNAL_EVENTS)
    except KeyboardInterrupt:
        return EXIT_OK  # stopped before it began: as asked
    except UsageError as cause:
        _complain(f"{cause}\n{cause.usage}")
        return EXIT_USAGE
    except ConfigurationError as cause:
        if (status := signal_directly(given, configured=False)) is not None:
            return status
        _complain(explain_failure(cause, given))
        return EXIT_CONFIG
    except Exception:  # a bug, of the program or of zenactors: show all of it
        write_to(sys.stderr, traceback.format_exc())
        return EXIT_SOFTWARE
    return run_process(daemon, final=True)


def _parse(daemon: DaemonBase, argv: Sequence[str]) -> tuple[dict[str, Any], Sequence[Assignment]]:
    actions = {
        action: (inspect.getdoc(callback) or "").partition("\n")[0]
        for action, callback in daemon.actions().items()
    }
    places = daemon.default_places()
    doc = usage(program_name(), daemon.description, daemon.Options, actions, places)
    return parse_daemon(argv, doc, daemon.Options, actions=actions, version=__version__)


def act(daemon: DaemonBase, action: str) -> int:
    """Perform an action, write its text, and return its exit status.

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


def signal_directly(given: Mapping[str, Any], *, configured: bool = True) -> int | None:
    """Send a signal if the command line names both the action and the PID file, else return None.

    No configuration is read for it: a daemon with a broken configuration can be stopped.

    Args:
        given: The command line.
        configured: The configuration may be read. So an action that waits for a file, whose name
            is in there, is not performed now.
    """
    action, pid_file = given.get("action"), given.get("pid_file")
    if action not in SIGNAL_ACTIONS or not pid_file:
        return None
    if configured and action in WAITED_FOR:
        return None
    parallel = bool(given.get("paralel") or given.get("parallel"))
    return show(send_signal(SIGNAL_ACTIONS[action], Path(pid_file), parallel=parallel))


def explain_failure(cause: ConfigurationError, given: Mapping[str, Any]) -> str:
    """Return the problems of a configuration, and the way for an action to do without it."""
    action = given.get("action")
    if action not in SIGNAL_ACTIONS:
        return str(cause)
    return f"{cause}\nThe action needs no configuration if you add: --pid-file FILE"


def show(outcome: Outcome) -> int:
    """Write an outcome to standard output, or a failure to standard error. Return its status."""
    text = outcome.text.rstrip("\n") + "\n" if outcome.text else ""
    if outcome.status != EXIT_OK:
        write_to(sys.stderr, harmless(text))
        return outcome.status
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as cause:
        return _lose_output(cause)
    return EXIT_OK


def _lose_output(cause: OSError) -> int:
    give_up_stdout()
    if not isinstance(cause, BrokenPipeError):  # after that, the reader wants no more
        _complain(f"Standard output cannot be written: {reason(cause)}")
    return EXIT_IO_ERROR


def _complain(problem: object) -> None:
    write_to(sys.stderr, f"{harmless(str(problem))}\n")
