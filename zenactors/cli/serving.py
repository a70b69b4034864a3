"""Run a daemon to its end, show its counters, and exit. Thread: main."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zenactors.cli.output import show_tables
from zenactors.core.text import printable
from zenactors.errors import EXIT_CONFIG, EXIT_FORCED_STOP, EXIT_START_FAILED
from zenactors.process.streams import exit_at_once

if TYPE_CHECKING:
    from rich.table import Table

    from zenactors.daemon.zendaemon import ZenDaemon

_NO_SUMMARY = (EXIT_CONFIG, EXIT_START_FAILED, EXIT_FORCED_STOP)


def serve(daemon: ZenDaemon, run: Callable[[], int], *, summary: bool) -> int:
    """Run a daemon and return its exit status; end the process if a thread did not stop.

    Args:
        daemon: The daemon.
        run: Serves from start to stop; returns the exit status.
        summary: Show the counters at the end.
    """
    status = run()
    report = daemon.stop_report
    stuck = list(report.stuck) if report else []
    try:
        if summary and report and report.drained and status not in _NO_SUMMARY:
            show_summary(daemon, stuck)
    except KeyboardInterrupt:
        pass  # only the summary is cut short: the daemon has ended, with a known status
    finally:
        if stuck:
            exit_at_once(status)
    return status


def show_summary(daemon: ZenDaemon, stuck: list[str]) -> None:
    """Write each component's counters and its own summary to standard error."""
    from rich.table import Table  # noqa: PLC0415

    tables: list[Table] = []
    counters = Table("component", "counter", "count", "per second", title="Summary")
    counters.columns[2].justify = counters.columns[3].justify = "right"
    for component, statistics in daemon.get_statistics().items():
        for key, value in statistics.items():
            if "cnt" in value and not isinstance(value["cnt"], Mapping):
                row = (
                    printable(str(component)),
                    printable(str(key)),
                    f"{value['cnt']:,}",
                    f"{value['spd']:,.1f}",
                )
                counters.add_row(*row)
        counters.add_section()
    tables.append(counters)
    # The engine's names, which are unique; the first entry is the daemon itself.
    for entry in daemon.dispatcher.entries[1:]:
        name, component = entry.name, entry.component
        # The thread of a stuck component may still change the values that are read here.
        if hasattr(component, "summary") and name not in stuck:
            for key, values in component.summary():
                tables.append(_top(f"{name}: {key}", values))
    show_tables(*tables)


def _top(title: str, values: list[tuple[str, int]]) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(title, "count")
    table.columns[1].justify = "right"
    for value, count in values:
        table.add_row(printable(str(value)), f"{count:,}")
    return table
