"""Snapshots of a running daemon: its state, for debugging, and the runlog, the summary of a run.

A snapshot that cannot be written is one line in the log, and the daemon goes on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors._version import __version__
from zenactors.actors.incidents import survive_log, try_to_log
from zenactors.advice import advice_for, reason
from zenactors.daemon.runlog import RunlogStore, make_runlog, time_text
from zenactors.process.interpreter import describe_interpreter
from zenactors.process.procfs import own_identity

if TYPE_CHECKING:
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.accounting import Accounting
    from zenactors.core.clock import Clock
    from zenactors.core.dead_letters import DeadLetter
    from zenactors.daemon.daemon_base import DaemonBase

SHOWN_DEAD_LETTERS = 20  # the newest, in the state

SaveJson = Callable[[Path, Any], None]


class Snapshots:
    """Take and save the snapshots of one daemon.

    Args:
        daemon: The daemon.
        clock: The clock of the run.
        save: Writes a value as JSON to a file.
        simulated: True: there is one runlog, with a fixed name, and none is removed.

    Thread: control; main once the daemon has stopped.
    """

    def __init__(
        self, daemon: DaemonBase, clock: Clock, save: SaveJson, *, simulated: bool = False
    ) -> None:
        self._daemon = daemon
        self._now = clock.time
        self._monotonic = clock.monotonic
        self._begun = clock.time()
        self._begun_monotonic = clock.monotonic()
        self._save = save
        self._simulated = simulated

    def state(self, reload: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the state of the daemon and its components.

        Args:
            reload: The outcome of the last reload.
        """
        daemon, dispatcher = self._daemon, self._daemon.dispatcher
        books = dispatcher.accounting()
        letters = dispatcher.dead_letters()[-SHOWN_DEAD_LETTERS:]
        return {
            "time": time_text(self._now()),
            "uptime": self._uptime(),
            "version": __version__,
            "python": describe_interpreter(),
            "name": daemon.name,
            "pid": os.getpid(),
            "done": dispatcher.is_done(),
            "config": _readable(daemon.config),
            "paths": daemon.paths,
            "reload": reload and {**reload, "time": time_text(reload["time"])},
            "chains": dispatcher.chains(),
            "queued": dispatcher.queue.count(),
            "not_ready": dispatcher.readiness(),
            "abandoned_threads": dispatcher.abandoned(),
            "open_tokens": books.open_tokens,
            "events": _events(books),
            "accounting": _summary(books),
            "components": dispatcher.get_state(),
            "dead_letters": [_letter(letter) for letter in letters],
        }

    def runlog(self, status: int | None) -> dict[str, Any]:
        """Return the summary of this run so far; with the exit status, at its end."""
        daemon, books = self._daemon, self._daemon.dispatcher.accounting()
        return make_runlog(
            name=daemon.name,
            pid=os.getpid(),
            start=self._begun,
            end=self._now(),
            duration=self._uptime(),
            identity=None if self._simulated else daemon.identity or own_identity(),
            status=status,
            statistics=daemon.get_statistics("runlog"),
            events=_events(books),
            accounting=_summary(books),
            dead_letters=daemon.dispatcher.dead_letter_count(),
            left=_left(daemon.stop_report) if daemon.stop_report else None,
            argv=sys.argv,
            python=describe_interpreter(),
        )

    def save_state(self) -> None:
        """Write the state to `state_file`."""
        path = self._daemon.c("state_file")
        if not path:
            try_to_log("WARNING", "No state is saved: no file is configured for it (state_file)")
            return
        try:
            self._save(Path(path), self._daemon.get_state())
        except OSError as cause:
            _log_not_written("state", Path(path), cause, "another file (state_file)")
        else:
            try_to_log("INFO", "State written to {path}", path=path)

    def save_runlog(self, status: int | None) -> None:
        """Write the runlog to `runlog_dir`, in place of this run's earlier one."""
        directory = self._daemon.c("runlog_dir")
        if not directory:
            try_to_log(
                "WARNING", "No runlog is saved: no directory is configured for it (runlog_dir)"
            )
            return
        try:
            path = self._save_runlog(Path(directory), self._daemon.get_runlog(status))
        except OSError as cause:
            _log_not_written("runlog", Path(directory), cause, "another one (runlog_dir)")
        else:
            try_to_log("DEBUG", "Runlog saved: {path}", path=path)

    def log_statistics(self) -> None:
        """Log a line for each component that has counters and does not log them itself."""
        dispatcher = self._daemon.dispatcher
        chain = dispatcher.chains().get(self._daemon.EVENT_LOG_STATISTICS, [])
        themselves = {component for component, _ in chain}
        for component, statistics in self._daemon.get_statistics("log").items():
            counters = ", ".join(_counters(statistics))
            if counters and component not in themselves:
                with survive_log():
                    logger.bind(component=component).info("Statistics: {text}", text=counters)

    def keeps_runlogs(self) -> bool:
        """Return True if runlogs are saved now and then, and at the end."""
        origins = self._daemon.configuration.origins
        return self._daemon.keep_runlogs or origins.get(("runlog_dir",), "default") != "default"

    def _save_runlog(self, directory: Path, runlog: dict[str, Any]) -> Path:
        if not self._simulated:
            return RunlogStore(directory, self._daemon.name).save(runlog)
        path = directory / f"{self._daemon.name}.runlog"
        self._save(path, runlog)
        return path

    def _uptime(self) -> float:
        return self._monotonic() - self._begun_monotonic


def _events(books: Accounting) -> dict[str, Any]:
    return {str(event): _fields(each) for event, each in books.events.items()}


def _summary(books: Accounting) -> dict[str, Any]:
    """Return everything of the books but the counts of each event."""
    total = books.total
    return {
        "text": str(total),
        "balanced": books.is_balanced,
        "total": _fields(total),
        "open_tokens": books.open_tokens,
        "oldest_token": books.oldest_token,
        "components": {name: _fields(each) for name, each in books.components.items()},
        "best_effort": {
            name: {**_fields(each), "pending": each.pending}
            for name, each in books.best_effort.items()
        },
    }


def _log_not_written(what: str, path: Path, cause: OSError, instead: str) -> None:
    where = cause.filename or path
    try_to_log(
        "ERROR",
        "The {what} cannot be written to {path}: {reason}. {advice}, or choose {instead}.",
        what=what,
        path=path,
        reason=reason(cause),
        advice=advice_for(cause, where, "write", "Make its directory writable"),
        instead=instead,
    )


def _counters(statistics: Mapping[Any, Any], above: str = "") -> Iterator[str]:
    """Yield each counter with its increase and its rate since the last time."""
    for key, value in statistics.items():
        if not isinstance(value, Mapping):
            continue
        if isinstance(value.get("cnt"), int | float):
            yield f"{above}{key} {value['cnt']:,} (+{value['inc']:,}, {value['spd']:,.1f}/s)"
        else:
            yield from _counters(value, f"{above}{key} ")


def _readable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as people write it: the umask in octal."""
    umask = config.get("umask")
    return {**config, **({"umask": f"{umask:03o}"} if isinstance(umask, int) else {})}


def _letter(letter: DeadLetter) -> dict[str, Any]:
    fields = {**_fields(letter), "traceback": letter.traceback}
    return {name: value for name, value in fields.items() if name not in ("trace", "number")}


def _left(report: StopReport) -> dict[str, Any]:
    return {**_fields(report), "dead_letters_of": dict(report.dead_letters_of)}


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}
