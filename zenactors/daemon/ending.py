"""The end of a daemon: the last lines of its log, and the end of its process. Thread: main."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from zenactors.actors.idle import is_idle
from zenactors.actors.incidents import try_to_log
from zenactors.process.diagnostics import stacks
from zenactors.process.streams import exit_at_once, give_up_unwritable_streams

if TYPE_CHECKING:
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.accounting import Accounting

SHOWN = 5  # components with dead letters


def log_report(report: StopReport, books: Accounting, *, on_purpose: bool, threads: bool) -> None:
    """Log what a stop has left undone.

    Args:
        report: The result of the stop.
        books: The books at the end.
        on_purpose: True: a callback ended the daemon and has logged the reason, so that lost
            events are no warning.
        threads: Log the stacks of the threads that did not stop.
    """
    if report.stuck:
        try_to_log(
            "ERROR", "Did not stop and were left behind: {names}", names=", ".join(report.stuck)
        )
        if threads:
            names = tuple(f"zenactors:{name}" for name in report.stuck)
            try_to_log(
                "ERROR", "What they are doing:\n{stacks}", stacks=stacks(names, is_idle=is_idle)
            )
    if report.abandoned:
        try_to_log(
            "ERROR",
            "Abandoned threads that still run, of: {names}",
            names=", ".join(report.abandoned),
        )
    if report.suspended:
        try_to_log("ERROR", "Down at the end: {names}", names=", ".join(report.suspended))
    if report.restarts:
        try_to_log("INFO", "Restarts of components: {restarts}", restarts=report.restarts)
    level = "INFO" if on_purpose else "WARNING"
    if report.left:
        try_to_log(level, "Events not handled: {left}", left=report.left)
    if report.later:
        try_to_log("INFO", "Events still waiting for their time: {later}", later=report.later)
    if report.dead_letters:
        try_to_log(
            level,
            "Dead letters: {dead} ({components}); for the first of each component, look for 'dead"
            " letter no.' in this log",
            dead=report.dead_letters,
            components=_counted(report.dead_letters_of),
        )
    for name, counts in books.best_effort.items():
        if counts.lost:
            try_to_log(
                "WARNING", "Lost to {name}, by best effort: {counts}", name=name, counts=counts
            )
    try_to_log("INFO", "Events: {counts}", counts=books.total)
    if problem := books.imbalance():
        try_to_log("ERROR", "A bug of zenactors: {problem}", problem=problem)


def _counted(components: Sequence[tuple[str, int]]) -> str:
    """Return the components and their counts, those with the most."""
    more = len(components) - SHOWN
    shown = [f"{name!r}: {count:,}" for name, count in components[:SHOWN]]
    return ", ".join(shown + ([f"and {more:,} more components"] if more > 0 else []))


def leave(status: int, report: StopReport | None, signals: Iterable[int]) -> NoReturn:
    """End the process. Threads that did not stop are not waited for.

    Args:
        status: The exit status.
        report: The result of the stop; None if nothing was started.
        signals: The signals that the daemon handled. They are ignored now, so that none can
            break the end off.
    """
    for number in signals:
        with suppress(ValueError):  # not on the main thread
            signal.signal(number, signal.SIG_IGN)
    give_up_unwritable_streams()
    if report is not None and (report.stuck or report.abandoned):
        # A thread that hangs in a callback would hang again when the interpreter waits for its
        # locks.
        exit_at_once(status)
    sys.exit(status)
