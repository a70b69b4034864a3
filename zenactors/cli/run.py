"""Run the daemon that SPEC describes until it ends or is stopped."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from zenactors.cli.serving import serve
from zenactors.daemon.command_line import assignments_in, choice, keys_in
from zenactors.errors import ConfigurationError

# Not a docstring, which `python -OO` drops.
USAGE = """\
Run the daemon that SPEC describes until it ends or is stopped.

Usage:
  zenactors run [options] [--set KEY=VALUE]... SPEC
  zenactors run (-h | --help)

SPEC is the path of a TOML file, or package.module:attribute, which is a ZenDaemon, a
subclass of it, or a function without arguments that returns one. The options here take
precedence over SPEC.

Options:
  --app-dir DIR              Search this directory first for modules; default: the current
                             directory.
  --exit-when-idle           Exit with status 0 when all input is read and handled.
  --ordering ORDER           component, global or event; overrides the TOML file.
  --set KEY=VALUE            Set one key, also of a table or of a component, such as
                             components.tailer.start=end; may be repeated.
  --no-summary               Do not show the counters at the end.
  -h, --help                 Show this help.

Logs:
  --log-level LEVEL          Minimum log level: TRACE, DEBUG, INFO, WARNING, ERROR or
                             CRITICAL; default: INFO.
  --log-file FILE            Append log lines to this file, too; SIGHUP reopens it.
  --log-json                 Write the log file as JSON lines.

Process:
  --daemon                   Detach and run in the background; return when it has started.
  --parallel                 Allow several instances, each with its own files.
  --pid-file FILE            File that holds the PID; must end in .pid. While it is held, another
                             instance is refused.
  --user USER                User to run as, name or number.
  --group GROUP              Group to run as, name or number.
  --chroot-dir DIR           Directory to make the root directory (chroot).
  --work-dir DIR             Working directory; default: / with --daemon, otherwise the current
                             directory.
  --umask MASK               File-mode creation mask (umask), octal.

Operation:
  --action ACTION            Perform this action instead of running: signal-check, signal-hup,
                             signal-int, signal-term, signal-usr1, signal-usr2, signal-alrm,
                             config-view, config-schema, runlog-view or runlogs-list.
  --state-file FILE          File to which SIGUSR2 writes the state.
  --dead-letter-file FILE    Append events that fail to this file, as JSON lines.
  --state-dir DIR            Directory of what components keep from one run to the next (state
                             stores).
  --runlog-dir DIR           Directory for runlogs: a summary of each run.
  --stats-interval SECONDS   Seconds between statistics in the log; 0: none.
  --runlog-interval SECONDS  Seconds between saves of the runlog; 0: only at the end.
  --start-timeout SECONDS    Time limit for the start of each component, in seconds.
  --stop-timeout SECONDS     Time limit for a graceful stop, in seconds.
  --sigterm MEANING          Effect of SIGTERM: terminate (at once) or stop (gracefully).

With --daemon, and for --action, the default files are NAME.pid and NAME.state in /var/run,
NAME.log and the directory NAME of runlogs in /var/log; for another user than root, all of
them in $XDG_STATE_HOME or ~/.local/state. Otherwise the state is NAME.state in the current
directory. NAME is the daemon's name in SPEC.

Ctrl-C (SIGINT) stops gracefully: queued events are handled first. Three times: at once.
SIGTERM stops at once. SIGHUP reads SPEC again. Logs and the summary go to standard error.
"""


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    doc = USAGE
    settings: dict[str, Any] = {}
    if arguments["--ordering"] is not None:
        orders = ("component", "global", "event")
        settings["ordering"] = choice(doc, "--ordering", arguments["--ordering"], orders)

    # These are slow to import, and --help must be fast.
    from zenactors import spec  # noqa: PLC0415
    from zenactors.cli.logs import set_up_logs  # noqa: PLC0415
    from zenactors.config.options import DaemonOptions  # noqa: PLC0415
    from zenactors.daemon.launch import act, explain_failure, signal_directly  # noqa: PLC0415
    from zenactors.daemon.own_process import run_process  # noqa: PLC0415

    settings |= keys_in(arguments, doc, DaemonOptions)
    assignments = assignments_in(arguments, doc)
    if arguments["--daemon"]:
        settings["no_daemon"] = False
    if (status := signal_directly(settings)) is not None:
        return status
    logs = set_up_logs(settings.get("log_level", "INFO"))
    try:
        app_dir = Path(arguments["--app-dir"] or ".")
        daemon = spec.load(arguments["SPEC"], app_dir, settings, assignments)
    except ConfigurationError as cause:
        if (status := signal_directly(settings, configured=False)) is not None:
            return status
        raise ConfigurationError(explain_failure(cause, settings)) from cause
    if daemon.c("action"):
        return act(daemon, daemon.c("action"))
    daemon.keep_runlogs = bool(arguments["--daemon"])
    if arguments["--exit-when-idle"]:
        daemon.exit_when_idle = True
    logs.close()
    run = functools.partial(run_process, daemon)
    return serve(daemon, run, summary=not arguments["--no-summary"])
