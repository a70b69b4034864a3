"""Run the daemon that SPEC describes, until it ends or is stopped.

Usage:
  zenactors run [options] SPEC
  zenactors run (-h | --help)

SPEC is the path of a TOML file, or package.module:attribute, which is a ZenDaemon, a
subclass of it, or a function without arguments that returns one. Whatever a SPEC says,
the options here take precedence.

Options:
  --app-dir DIR              Where modules are looked for first; default: the current folder.
  --exit-when-idle           End, with status 0, when all input is read and worked off.
  --ordering ORDER           component, global or event: overrides the TOML file.
  --no-summary               Do not show the counters at the end.
  -h, --help                 Show this help.

Logs:
  --log-level LEVEL          TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL; default: INFO.
  --log-file FILE            Log to this file too, at its end; SIGHUP opens it anew.
  --log-json                 Write the log file as JSON lines.

Process:
  --daemon                   Detach, and run in the background; return when it has started.
  --parallel                 Let several instances run, each with files of its own.
  --pid-file FILE            Hold this file, so that a second start is refused; ends in .pid.
  --user USER                User to run as, name or number.
  --group GROUP              Group to run as, name or number.
  --chroot-dir DIR           Make this folder the root folder.
  --work-dir DIR             Folder to work in; with --daemon /, unless given.
  --umask MASK               Rights that new files do not get, an octal number.

Operation:
  --action ACTION            Do this instead: signal-check, signal-hup, signal-int, signal-term,
                             signal-usr1, signal-usr2, signal-alrm, config-view, config-schema,
                             runlog-view or runlogs-list.
  --state-file FILE          Where SIGUSR2 writes the state.
  --runlog-dir DIR           Folder for a summary of each run.
  --stats-interval SECONDS   Seconds between two statistics in the log; 0: none.
  --runlog-interval SECONDS  Seconds between two savings of the runlog; 0: only at the end.
  --start-timeout SECONDS    Seconds that each component has to start.
  --stop-timeout SECONDS     Seconds that a graceful stop may take.
  --sigterm MEANING          What SIGTERM does: terminate (at once) or stop (gracefully).

Ctrl-C (SIGINT) stops after what is under way has been worked off; three times: at once.
SIGTERM stops at once. SIGHUP reads SPEC again. Logs and the summary go to standard error.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from zenactors.cli.serving import serve
from zenactors.daemon.command_line import choice, keys_in
from zenactors.errors import ConfigurationError


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    doc = __doc__ or ""
    settings: dict[str, Any] = {}
    if arguments["--ordering"] is not None:
        orders = ("component", "global", "event")
        settings["ordering"] = choice(doc, "--ordering", arguments["--ordering"], orders)

    # All of these are slow to import, and --help is to be fast.
    from zenactors import spec  # noqa: PLC0415
    from zenactors.cli.logs import set_up_logs  # noqa: PLC0415
    from zenactors.config.options import DaemonOptions  # noqa: PLC0415
    from zenactors.daemon.launch import (  # noqa: PLC0415
        act,
        explain_failure,
        run_process,
        signal_directly,
    )

    settings |= keys_in(arguments, doc, DaemonOptions)
    if arguments["--daemon"]:
        settings["no_daemon"] = False
    if (status := signal_directly(settings)) is not None:
        return status
    logs = set_up_logs(settings.get("log_level", "INFO"))
    try:
        daemon = spec.load(arguments["SPEC"], Path(arguments["--app-dir"] or "."), settings)
    except ConfigurationError as cause:
        raise ConfigurationError(explain_failure(cause, settings)) from cause
    if daemon.c("action"):
        return act(daemon, daemon.c("action"))
    daemon.keep_runlogs = bool(arguments["--daemon"])
    if arguments["--exit-when-idle"]:
        daemon.exit_when_idle = True
    logs.close()
    run = functools.partial(run_process, daemon)
    return serve(daemon, run, summary=not arguments["--no-summary"])
