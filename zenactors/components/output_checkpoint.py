"""`OutputCheckpoint`: a source and its sinks agree on one moment, for exactly-once outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class OutputCheckpoint:
    """The args of a `checkpoint` event: what sinks restore, and what they note.

    A source schedules the event when all events that came of it are done, and saves `taken`
    together with its own positions. After a crash it reads on from there, so what was written
    later is written again; the sinks therefore cut it off first.

    A sink that gets the event takes back what it wrote after `restore[name]`, if `restore` has its
    name; then brings its output to the disk; then puts a JSON value under its name into `taken`. A
    sink that cannot do this gives the reason in `refused`. If it raises, the source saves nothing.

    A sink that keeps, in one step with its output, which events of which source it has applied has
    nothing to take back. Instead, it puts the ranges of this `source` into `applied`, under its
    name, in each event: the source then hands on again no event of which only a part
    is in them.

    Attributes:
        restore: The values that were saved last, by the names of the sinks: in the first event of a
            run those of the last one; and when the source goes back within a run, because a
            component was made anew and has left events undone. Otherwise None.
        taken: The value of each sink, by its name.
        refused: Why a sink has no value: the end of a sentence that begins with its name.
        source: The source's name.
        keys: The keys of its positions: sinks may forget all others. None: it does not say.
        applied: Of each sink by its name, the ranges it has applied, by the source's keys.
        states: Of each component by its name, a value that is to be restored together with those
            in `taken`. The source saves it only if there are such.
    """

    restore: Mapping[str, Any] | None = None
    taken: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    source: str = ""
    keys: frozenset[str] | None = None
    applied: dict[str, Mapping[str, list[Any]]] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)


def checked_checkpoint(component: object, args: Any) -> OutputCheckpoint:
    """Return the args of a `checkpoint` event that a component has got.

    Raises:
        TypeError: They are no `OutputCheckpoint`.
    """
    if not isinstance(args, OutputCheckpoint):
        raise TypeError(f"{component} takes an OutputCheckpoint, but got {type(args).__name__}.")
    return args
