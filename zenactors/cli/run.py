"""Run the daemon that SPEC describes, in the foreground, until it ends or is stopped.

Usage:
  zenactors run [options] SPEC
  zenactors run (-h | --help)

SPEC is the path of a TOML file, or package.module:attribute, which is a ZenDaemon, a
subclass of it, or a function without arguments that returns one.

Options:
  --app-dir DIR       Where modules are looked for first; default: the current folder.
  --exit-when-idle    End, with status 0, when all input is read and worked off.
  --log-level LEVEL   TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL [default: INFO].
  --log-file FILE     Log to this file too, at its end.
  --ordering ORDER    component, global or event: overrides the TOML file.
  --state-file FILE   Where SIGUSR2 writes the state: overrides the TOML file.
  --no-summary        Do not show the counters at the end.
  -h, --help          Show this help.

Ctrl-C (SIGINT) stops after what is under way has been worked off; three times: at once.
SIGTERM stops at once. Logs and the summary go to standard error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zenactors.cli.logs import check_level, set_up_logs
from zenactors.cli.serving import serve
from zenactors.daemon.command_line import choice


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    doc = __doc__ or ""
    level = check_level(doc, arguments["--log-level"])
    settings: dict[str, Any] = {}
    if arguments["--ordering"] is not None:
        orders = ("component", "global", "event")
        settings["ordering"] = choice(doc, "--ordering", arguments["--ordering"], orders)
    if arguments["--state-file"] is not None:
        settings["state_file"] = arguments["--state-file"]
    set_up_logs(level, arguments["--log-file"])

    from zenactors.daemon import spec  # noqa: PLC0415 - slow to import; --help is to be fast

    daemon = spec.load(arguments["SPEC"], Path(arguments["--app-dir"] or "."), settings)
    if arguments["--exit-when-idle"]:
        daemon.exit_when_idle = True
    return serve(daemon, summary=not arguments["--no-summary"])
