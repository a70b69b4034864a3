"""A daemon that reports what it has of its configuration; for `test_configured`.

    configured.py HOW DIRECTORY [OPTION ...]

`HOW` is `program`, `arguments`, `file`, `command-line` or `--set`; for a SPEC, `zenactors run` uses
`Reporter` itself. The report is `DIRECTORY/report.json`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from loguru import logger

from zenactors import ZenDaemon, ZenDaemonComponent, handles

SETTINGS = {
    "name": "odd",
    "log_level": "TRACE",
    "log_json": True,
    "no_daemon": True,
    "paralel": True,
    "umask": "027",
    "stats_interval": 71.0,
    "runlog_interval": 72.0,
    "start_timeout": 73.0,
    "stop_timeout": 74.0,
    "sigterm": "stop",
    "signals": {"WINCH": "resized"},
}
ARGUMENTS = ("name", "stats_interval", "start_timeout", "stop_timeout", "state_file")


def settings(directory: Path) -> dict[str, Any]:
    """Return an unusual value for each key that a daemon shows without other privileges."""
    (directory / "work").mkdir(exist_ok=True)
    files = {
        "log_file": "odd.logs",
        "pid_file": "odd.pid",
        "work_dir": "work",
        "state_file": "odd.states",
        "state_dir": "odd.kept",
        "runlog_dir": "odd.runs",
    }
    return SETTINGS | {key: str(directory / name) for key, name in files.items()}


class Reporter(ZenDaemonComponent):
    """Looks at its daemon and its process, writes the report, and ends by SIGTERM."""

    def __init__(self, directory: str) -> None:
        super().__init__(name="reporter")
        self.directory = Path(directory)
        self.report: dict[str, Any] = {}

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()
        os.kill(os.getpid(), signal.SIGWINCH)

    @handles("resized")
    def cbk_event_resized(self, daemon: Any, args: Any) -> None:
        umask = os.umask(0o077)
        os.umask(umask)
        dispatcher = daemon.dispatcher
        self.report = {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "name": daemon.name,
            "umask": umask,
            "work_dir": str(Path.cwd()),
            "start_timeout": dispatcher._startup.timeout,
            "stop_timeout": dispatcher.stop_timeout,
            "dispatcher's": {key: dispatcher.c(key) for key in SETTINGS if key != "signals"},
            "intervals": sorted(daemon._maintenance_intervals().values()),
            "graceful": False,
        }
        logger.trace("looked")
        daemon.queue.schedule_priority("signal_usr2")

    @handles("signal_usr2")
    def cbk_event_signal_usr2(self, daemon: Any, args: Any) -> None:
        # The daemon's own callback has written the state.
        daemon.queue.schedule("written")
        os.kill(os.getpid(), signal.SIGTERM)
        daemon.wait(None)  # a graceful stop still handles the event

    @handles("written")
    def cbk_event_written(self, daemon: Any, args: Any) -> None:
        self.report["graceful"] = True

    def teardown(self, daemon: Any) -> None:
        (self.directory / "report.json").write_text(json.dumps(self.report))


def main() -> None:
    how, directory, *options = sys.argv[1:]
    unusual = settings(Path(directory))
    given: dict[str, Any] = {}
    if how == "command-line":  # it has no option for a table
        given = {"default_signals": unusual["signals"]}
    elif how not in {"file", "--set"}:
        given = {f"default_{key}": value for key, value in unusual.items() if key != "name"}
    if how == "arguments":
        given |= {key: unusual[key] for key in ARGUMENTS}
        given = {key: each for key, each in given.items() if key[8:] not in ARGUMENTS}
    name = "odd" if how in {"program", "arguments"} else "usual"
    daemon = ZenDaemon(**{"name": name} | given, components=[Reporter(directory)])
    daemon.queue.count()  # an early use of the engine must not fix its configuration
    daemon.run(options)


if __name__ == "__main__":
    main()
