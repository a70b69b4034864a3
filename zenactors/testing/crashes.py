"""Crashes of the process at moments that the seed chooses, and the check that nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from zenactors.testing.faults import Kill, PowerFailure

if TYPE_CHECKING:
    from zenactors.testing.harness import Harness

MOST_STEPS = 10_000  # the latest step at which a process dies
MOST_CALLS = 1_000  # the latest call of the files
MAX_SECONDS = 10.0  # until the next start


def crashes_by_chance(kills: int, power_failures: int, chance: Random) -> list[Kill]:
    """Return faults of which each happens at most once: between two steps, or in a call of files.

    They are as likely among the first 10 as among the next 90 of them, and so on. If a run ends
    before that, a fault does not happen.
    """
    kinds = [Kill] * kills + [PowerFailure] * power_failures
    return [_by_chance(kind, chance) for kind in kinds]


def _by_chance(kind: type[Kill], chance: Random) -> Kill:
    seconds = chance.random() * MAX_SECONDS
    if chance.random() < 0.5:  # noqa: PLR2004 - half of them
        return kind(point="step", nth=int(MOST_STEPS ** chance.random()), seconds=seconds)
    return kind(point="file", nth=int(MOST_CALLS ** chance.random()), seconds=seconds)


def nothing_lost(given: str, held: str, *, repeats: int | None = None) -> Callable[[Harness], None]:
    """Return a `check` for scenarios: each line of the file `given` is in the file `held`.

    It is for a program that reads one file and writes another, and that has read all of the first
    when the run ends. The lines of `given` are to be different ones. Other lines of `held` do not
    matter: a line that a crash has torn remains, if the program leaves it.

    Args:
        given: The path of the file with the lines that the program gets.
        held: The path of the file to which it writes them.
        repeats: How many lines may be in `held` once more after each crash; None: any number.
    """

    def check(harness: Harness) -> None:
        wanted = Counter(_lines(harness, given))
        found = Counter(_lines(harness, held))
        missing = list(wanted - found)
        if missing:
            raise AssertionError(
                f"{len(missing)} of the {wanted.total()} lines of {given} are not in {held},"
                f" after {_crashes(harness)}: {_shown(missing)}"
            )
        again = [line for line in (found - wanted).elements() if line in wanted]
        crashes = len(harness.lives) - 1
        if repeats is not None and len(again) > repeats * crashes:
            raise AssertionError(
                f"{len(again)} lines are in {held} again, after {_crashes(harness)}:"
                f" {_shown(again)}"
            )

    return check


def _lines(harness: Harness, path: str) -> list[bytes]:
    """Return the whole lines of a file; none if there is no such file."""
    if not harness.files.lexists(path):
        return []
    return harness.files.content(path).split(b"\n")[:-1]


def _crashes(harness: Harness) -> str:
    count = len(harness.lives) - 1
    return "1 crash" if count == 1 else f"{count} crashes"


def _shown(lines: list[bytes]) -> str:
    first = ", ".join(line.decode("utf-8", "backslashreplace") for line in lines[:5])
    return first + ", …" * (len(lines) > 5)  # noqa: PLR2004 - as many as are shown
