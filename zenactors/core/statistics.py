"""A component's counters: increments from any thread, rates for any number of readers."""

from __future__ import annotations

from collections.abc import Mapping
from threading import RLock
from typing import Any


def calc_statistics(
    stats_cur: Mapping[Any, Any], stats_prev: Mapping[Any, Any], tdiff: float
) -> dict[Any, Any]:
    """Compare two readings of counters.

    Args:
        stats_cur: The later reading.
        stats_prev: The earlier one; a counter that it lacks was 0.
        tdiff: The seconds between them.

    Returns:
        For each key of `stats_cur` a dict with `cnt` (the count), `inc` (its increase), `spd`
        (increase per second; 0.0 if `tdiff` is not positive) and `pct` (increase in percent
        of the count). Nested dicts are compared key by key.
    """
    result: dict[Any, Any] = {}
    for key, cur in stats_cur.items():
        prev = stats_prev.get(key)
        if isinstance(cur, Mapping):
            result[key] = calc_statistics(cur, prev if isinstance(prev, Mapping) else {}, tdiff)
            continue
        inc = cur - (prev if isinstance(prev, int | float) else 0)
        result[key] = {
            "cnt": cur,
            "inc": inc,
            "spd": inc / tdiff if tdiff > 0 else 0.0,
            "pct": inc / (cur / 100) if cur else 0.0,
        }
    return result


def copy_counters(counters: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a copy of counters, nested ones included."""
    return {k: copy_counters(v) if isinstance(v, Mapping) else v for k, v in counters.items()}


class CounterLock:
    """Guards the counters. A copied component gets a new lock."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        # Reentrant: a finalizer may run while its thread is counting, and count too.
        self.lock = RLock()

    def __reduce__(self) -> tuple[type[CounterLock], tuple[()]]:
        return CounterLock, ()
