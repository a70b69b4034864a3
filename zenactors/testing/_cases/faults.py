"""The faults of a test in a SPEC."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Any

from zenactors.core.clock import VirtualClock
from zenactors.errors import ConfigurationError, did_you_mean
from zenactors.testing.faults import (
    ClockJump,
    Crash,
    Delay,
    Fault,
    Faults,
    Kill,
    LostSync,
    PowerFailure,
    ShortWrite,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zenactors.daemon.zendaemon import ZenDaemon
    from zenactors.spec.cases import Case, FaultTable

_KINDS: dict[str, type[Fault]] = {
    "crash": Crash,
    "delay": Delay,
    "clock jump": ClockJump,
    "kill": Kill,
    "power failure": PowerFailure,
    "short write": ShortWrite,
    "lost sync": LostSync,
}


def check_faults(cases: Iterable[Case], daemon: ZenDaemon) -> None:
    """Check that the faults of tests can happen.

    Raises:
        ConfigurationError: One line for each that cannot, with its place in the file.
    """
    problems = []
    for case in cases:
        for number, table in enumerate(case.table.faults):
            try:
                faults = Faults([_fault(table)], Random(0), VirtualClock(), _ignore)  # noqa: S311
                faults.check(daemon.dispatcher.names, daemon.chains())
            except (ValueError, TypeError, ConfigurationError) as cause:
                place = case.place(("faults", number))
                problems.append(f"{place}: test {case.number} ({case.table.name}): {cause}")
    if problems:
        raise ConfigurationError("\n".join(problems))


def faults_of(case: Case) -> Iterator[Fault]:
    """Yield the faults of a test."""
    return map(_fault, case.table.faults)


def _ignore(_component: str, _text: str) -> None:
    pass


def _fault(table: FaultTable) -> Fault:
    options: dict[str, Any] = table.model_dump(exclude={"fault"}, exclude_none=True)
    if "error" in options:
        options["error"] = _error(options["error"])
    kind = _KINDS[table.fault]
    for option in options:
        if option not in kind.__dataclass_fields__:
            raise ValueError(f"a {table.fault} has no {option!r}: leave it out")
    if table.fault in ("delay", "clock jump") and table.seconds is None:
        raise ValueError(f"a {table.fault} needs its seconds: give seconds = 10.0")
    return kind(**options)


def _error(name: str) -> OSError:
    if name in errno.errorcode.values():
        number = getattr(errno, name)
        return OSError(number, os.strerror(number))
    hint = did_you_mean(name, errno.errorcode.values())
    raise ValueError(
        f"error must be the name of a system error, such as 'ENOSPC', not {name!r}{hint}"
    )
