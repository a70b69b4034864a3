"""The demonstration: a daemon that works a little every second and explains its signals.

    python -m zenactors.demo

It runs until it is stopped, so that signals can be tried. With `--work-units 5` it ends by itself.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pydantic

from zenactors.advice import reason
from zenactors.core.callbacks import Handler
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon
from zenactors.daemon.zendaemon import ZenDaemon
from zenactors.errors import EXIT_OS_ERROR, ProcessSetupError

NAME = "demo-zendaemon.py"
UNIT = 1.0  # seconds that one unit of work takes

WHAT_TO_TRY = """\
This is process {pid}. Try, in another terminal:
    kill -USR1 {pid}    save the runlog: {runlog_dir}
    kill -USR2 {pid}    save the state: {state_file}
    kill -HUP {pid}     read the configuration again: {config_file}
    kill -QUIT {pid}    log the stack of every thread
    kill -INT {pid}     stop gracefully, as Ctrl-C does; the third one: at once
    kill -TERM {pid}    stop at once
    python -m zenactors.demo --action signal-check    and other actions; see --help"""


class DemoDaemonComponent(ZenDaemonComponent):
    """Work a little, again and again, and count it."""

    def get_events(self) -> list[Handler]:
        """Return this component's callbacks."""
        return [
            self.gen_event_handler("default", self.cbk_event_default),
            self.gen_event_handler("log_statistics", self.cbk_event_log_statistics),
            self.gen_event_handler("start", self.cbk_event_start),
            self.gen_event_handler("stop", self.cbk_event_stop),
        ]

    def cbk_event_default(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Do one unit of work, and schedule the next."""
        daemon.logger.debug("Working...")
        daemon.wait(UNIT)  # unlike a sleep, it ends when the daemon stops
        self.inc_statistic("cnt_default")
        self.inc_statistic("cnt_another", 5)
        done, wanted = self.statistics_cur["cnt_default"], daemon.c("work_units", 0)
        daemon.logger.info("Work unit %d done.", done)
        if wanted and done >= wanted:
            daemon.set_done()
        # A daemon that stops only ends what it has begun, so ask before scheduling new work.
        if not daemon.is_done():
            daemon.queue.schedule("default")
        return daemon.FLAG_CONTINUE, None

    def cbk_event_log_statistics(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Log the counters: the sum, its increase since the last time, and the rate."""
        zero = {"cnt": 0, "inc": 0, "spd": 0.0}
        statistics = self.get_statistics()
        text = ""
        for key in ("cnt_default", "cnt_another"):
            of_key = statistics.get(key, zero)
            text = self.pattern_stats.format(text, key, of_key["cnt"], of_key["inc"], of_key["spd"])
        daemon.logger.info("Component '%s': *** Processing statistics ***%s", self, text)
        return daemon.FLAG_CONTINUE, args

    def cbk_event_start(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Schedule the first unit of work."""
        daemon.logger.warning("Performing component startup...")
        daemon.queue.schedule("default")
        return daemon.FLAG_CONTINUE, args

    def cbk_event_stop(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Log the stop."""
        daemon.logger.warning("Performing component shutdown...")
        return daemon.FLAG_CONTINUE, args


class DemoZenDaemon(ZenDaemon):
    """A daemon of one `DemoDaemonComponent`: in the foreground, statistics every 5 seconds.

    `run` makes a temporary directory for its files.

    Args:
        name: The daemon's name, for logs and files. Default: `demo-zendaemon.py`.
        description: One line on its purpose.
    """

    DEMO_INTERVAL_STATS = 5.0

    class Options(ZenDaemon.Options):
        """The configuration keys of every daemon, and one more."""

        work_units: int = pydantic.Field(
            default=0, ge=0, description="Units of work until the end; 0: run until stopped."
        )

    def __init__(self, name: str | None = None, description: str | None = None) -> None:
        directory = str(_directory())
        super().__init__(
            name=name or NAME,
            description=description or "DemoZenDaemon - Demonstration daemon",
            path_bin=directory,
            path_cfg=directory,
            path_var=directory,
            path_log=directory,
            path_run=directory,
            path_tmp=directory,
            default_no_daemon=True,
            default_stats_interval=self.DEMO_INTERVAL_STATS,
            components=[DemoDaemonComponent()],
        )

    def run(self, argv: Sequence[str] | None = None) -> NoReturn:
        """Be the whole program; see `ZenDaemon.run`."""
        try:
            _make_private(_directory())
        except ProcessSetupError as cause:
            sys.stderr.write(f"{cause}\n")
            sys.exit(EXIT_OS_ERROR)
        super().run(argv)

    def cbk_event_start(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Log the start and the signals to try."""
        answer = super().cbk_event_start(daemon, args)
        text = WHAT_TO_TRY.format(pid=os.getpid(), **self.config)
        self.logger.info("%s", text)
        return answer


def _directory() -> Path:
    return Path(tempfile.gettempdir(), f"zenactors-demo-{os.geteuid()}")


def _make_private(directory: Path) -> None:
    """Make a directory that only this user can enter, in one that every user can write.

    Raises:
        ProcessSetupError: It cannot be made, or another user can enter it.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as cause:
        raise ProcessSetupError(
            f"The demonstration's directory {directory} cannot be made: {reason(cause)}. Choose"
            " another place for it (TMPDIR)."
        ) from cause
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ProcessSetupError(
            f"{directory} is not a directory of this user's alone. Remove it, or choose another"
            " place for it (TMPDIR)."
        )


if __name__ == "__main__":
    DemoZenDaemon().run()
