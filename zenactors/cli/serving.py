"""Run a daemon to its end, show what it counted, and leave. Thread: main."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zenactors.cli.output import console
from zenactors.errors import EXIT_CONFIG, EXIT_FORCED_STOP, EXIT_START_FAILED

if TYPE_CHECKING:
    from zenactors.daemon.zendaemon import ZenDaemon

_NO_SUMMARY = (EXIT_CONFIG, EXIT_START_FAILED, EXIT_FORCED_STOP)


def serve(daemon: ZenDaemon, run: Callable[[], int], *, summary: bool) -> int:
    """Return the exit status of `run`; with threads that did not stop, end the process.

    Args:
        daemon: What is run.
        run: Serves, from start to stop.
        summary: Show the counters at the end.
    """
    status = run()
    report = daemon.stop_report
    stuck = list(report.stuck) if report else []
    try:
        if summary and report and report.drained and status not in _NO_SUMMARY:
            show_summary(daemon, stuck)
    except KeyboardInterrupt:
        pass  # the work is done and its status known: only the summary is cut short
    except BrokenPipeError:
        pass  # nobody reads standard error
    finally:
        if stuck:
            # The interpreter would wait for these threads, however long they sleep.
            for stream in (sys.stdout, sys.stderr):
                with suppress(AttributeError, OSError, ValueError):
                    stream.flush()
            os._exit(status)
    return status


def show_summary(daemon: ZenDaemon, stuck: list[str]) -> None:
    """Write each component's counters and what it sums up itself to standard error."""
    from rich.table import Table  # noqa: PLC0415

    out = console(sys.stderr)
    counters = Table("component", "counter", "count", "per second", title="Summary")
    counters.columns[2].justify = counters.columns[3].justify = "right"
    for component, statistics in daemon.get_statistics().items():
        for key, value in statistics.items():
            if "cnt" in value and not isinstance(value["cnt"], Mapping):
                row = (str(component), str(key), f"{value['cnt']:,}", f"{value['spd']:,.1f}")
                counters.add_row(*row)
        counters.add_section()
    out.print(counters)
    # Names as the engine tells components apart; the first is the daemon's own.
    for entry in daemon.dispatcher.entries[1:]:
        name, component = entry.name, entry.component
        # The thread of a stuck component may still be at work on what would be read here.
        if hasattr(component, "summary") and name not in stuck:
            for key, values in component.summary():
                _show_top(out, f"{name}: {key}", values)


def _show_top(out: Any, title: str, values: list[tuple[str, int]]) -> None:
    from rich.table import Table  # noqa: PLC0415

    table = Table(title, "count")
    table.columns[1].justify = "right"
    for value, count in values:
        table.add_row(str(value), f"{count:,}")
    out.print(table)
