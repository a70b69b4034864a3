"""What a recorded run says: its machine, the rate of each way, and the costs that follow from them.

A recorded run is a JSON file that `python -m benchmarks --json FILE` has written. Everything here
depends on its content alone.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.common import BenchmarkError

OURS, PEERS = "ours", "peers"
WAYS = "F18"
INTERVALS = (0.005, 0.0005)  # seconds; the second one is that of a daemon
STAGES = 3
LONG = 8  # stages of the longer pipeline


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """The rate of a way to write the pipeline, in items/s."""

    way: str
    stages: str
    side: str
    interval: float
    median: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """What something costs, in microseconds at each of the `INTERVALS`."""

    what: str
    microseconds: tuple[float, ...]


class Recording:
    """A recorded run."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.environment: dict[str, Any] = content["environment"]
        self.rows: list[dict[str, Any]] = content["rows"]

    @classmethod
    def load(cls, path: Path) -> Recording:
        return cls(json.loads(path.read_text("utf-8")))

    def machine(self) -> str:
        """Return the machine, the interpreter and the day in one line.

        The load is that of the minute before the run: a busy machine has other figures.
        """
        env = self.environment
        gil = "" if env.get("gil", True) else " without the GIL"
        quick = " · a quick run: the figures mean nothing" if env["quick"] else ""
        return (
            f"{env['cpu']}, {env['cpus']} CPUs, load {env['load_before'][0]:.1f} before · Python"
            f" {env['python']}{gil} · {env['date'][:10]}{quick}"
        )

    def of(self, id_: str) -> list[dict[str, Any]]:
        """Return the rows of a benchmark, without those that have no figure."""
        return [row for row in self.rows if row["id"] == id_ and row["ours"] is not None]

    def row(self, id_: str, **tags: Any) -> dict[str, Any]:
        """Return the only row of a benchmark with these tags."""
        found = [row for row in self.of(id_) if tags.items() <= row["tags"].items()]
        if len(found) != 1:
            raise BenchmarkError(f"{len(found)} rows of {id_} have {tags}: record it again")
        return found[0]

    def figures(self) -> list[Figure]:
        """Return the rates of all ways, in the order of the run."""
        return [_figure(row) for row in self.of(WAYS)]

    def figure(self, way: str, stages: str, interval: float) -> Figure:
        return _figure(self.row(WAYS, way=way, stages=stages, interval=interval))

    def costs(self) -> list[Cost]:
        """Return what things cost, as differences of the time per item of two ways.

        The figures are the fastest of each way: what disturbs a run makes it slower.
        """

        def us(way: str, interval: float, stages: str = "None") -> float:
            return 1e6 / self.figure(way, stages, interval).high

        def cost(what: str, way: str, *, less: str = "", stages: str = "None", by: int = 1) -> Cost:
            return Cost(
                what,
                tuple(
                    (us(way, each, stages) - (us(less, each) if less else 0.0)) / by
                    for each in INTERVALS
                ),
            )

        plain, source = "schedule()", "a source component"
        supervised = "schedule(), supervised"
        return [
            cost("an event by `schedule()`, through three stages", plain),
            cost("an event of a source component, through three stages", source),
            cost(
                "an event of a `schedule_many()` of 1,000, through three stages", "schedule_many()"
            ),
            cost("one more stage", f"schedule(), {LONG} stages", less=plain, by=LONG - STAGES),
            cost(
                "a stage that returns `(FLAG_CONTINUE, args)` instead of None",
                plain,
                less=plain,
                stages="a pair",
                by=STAGES,
            ),
            cost("a token (`on_done`)", "a source, with tokens", less=source),
            cost("a declared retry and restart", supervised, less=plain),
            cost("a hard limit besides", "schedule(), with a hard limit", less=supervised),
            cost("three more threads that schedule", "schedule(), 4 producers", less=plain),
        ]


def _figure(row: dict[str, Any]) -> Figure:
    tags = row["tags"]
    place = 0 if tags["side"] == OURS else 1
    rates = [pair[place] for pair in row["samples"]]
    return Figure(
        way=tags["way"],
        stages=tags["stages"],
        side=tags["side"],
        interval=tags["interval"],
        median=statistics.median(rates),
        low=min(rates),
        high=max(rates),
    )
