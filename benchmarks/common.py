"""Shared parts of all benchmarks: rows, targets, interleaved pairs, medians and spreads."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

ROOT = Path(__file__).resolve().parent.parent

Verdict = Literal["reached", "missed", "reported", "not built", "failed"]
Measure = Callable[[], float]
Name = TypeVar("Name")


class BenchmarkError(Exception):
    """A benchmark did not do the work that it should measure, so its figures mean nothing."""


def require(predicate: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like assert
    """Raise `BenchmarkError` unless the work was done. Unlike `assert`, `python -O` keeps it."""
    if not predicate:
        raise BenchmarkError(otherwise)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The amount of work to measure."""

    quick: bool
    pairs: int

    def size(self, full: int, *, quick: int | None = None) -> int:
        """Return `full`, or with --quick `quick`, by default a tenth of it."""
        if not self.quick:
            return full
        return full // 10 if quick is None else quick

    def repeats(self, at_most: int) -> int:
        """Return the number of pairs for a measurement that is long or steady."""
        return min(self.pairs, at_most)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A bound for the ratio, or for our own figure.

    Attributes:
        or_ratio: A bound for the ratio that is as good as the bound for our own figure.
    """

    bound: float
    at_least: bool
    of: Literal["ratio", "ours"] = "ratio"
    unit: str = ""
    or_ratio: float | None = None

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        if self.of == "ratio":
            return f"{sign} {self.bound:g} x"
        otherwise = "" if self.or_ratio is None else f" or {sign} {self.or_ratio:.2g} x"
        return f"{sign} {self.bound:,g} {self.unit}".rstrip() + otherwise

    def met(self, *, ours: float, ratio: float | None) -> bool:
        if self.or_ratio is not None and self._within(ratio, self.or_ratio):
            return True
        return self._within(ratio if self.of == "ratio" else ours, self.bound)

    def _within(self, value: float | None, bound: float) -> bool:
        if value is None or not math.isfinite(value):
            raise BenchmarkError("no figure to compare with the target")
        return value >= bound if self.at_least else value <= bound


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table and of the JSON file.

    Attributes:
        ours: Median of our figures, in `unit`.
        peer: Median of the peer's figures, in `unit`; None without a peer.
        ratio: Median of the ratios ours / peer of each pair; `ours` / target if the target is
            absolute and there is no peer.
        low, high: The smallest and the largest ratio; without a ratio, of `ours`.
        samples: The raw figures, pair by pair.
        tags: What a program needs to find the row: the text of `case` is for people.
    """

    id: str
    case: str
    unit: str = ""
    ours: float | None = None
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    target: Target | None = None
    verdict: Verdict
    note: str = ""
    samples: Sequence[Any] = ()
    tags: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        target = None if self.target is None else dataclasses.asdict(self.target)
        return {**dataclasses.asdict(self), "target": target}


def interleave(ours: Measure, peer: Measure, pairs: int) -> list[tuple[float, float]]:
    """Measure ours, peer, ours, peer, …, each after a garbage collection."""
    samples = rounds({"ours": ours, "peer": peer}, pairs)
    return list(zip(samples["ours"], samples["peer"], strict=True))


def rounds(measures: Mapping[Name, Measure], times: int) -> dict[Name, list[float]]:
    """Measure each once, in order, then each again, …, each after a garbage collection."""
    samples: dict[Name, list[float]] = {name: [] for name in measures}
    for _ in range(times):
        for name, measure in measures.items():
            gc.collect()
            samples[name].append(measure())
    return samples


def repeat(measure: Measure, times: int) -> list[float]:
    """Measure a figure without a peer."""
    samples = []
    for _ in range(times):
        gc.collect()
        samples.append(measure())
    return samples


def paired_row(
    id_: str,
    case: str,
    samples: list[tuple[float, float]],
    *,
    unit: str,
    peer_name: str,
    target: Target | None,
    note: str = "",
    tags: Mapping[str, Any] | None = None,
) -> Row:
    """Return a row for pairs of figures."""
    ratios = [ours / peer for ours, peer in samples]
    ours = statistics.median(ours for ours, _ in samples)
    ratio = statistics.median(ratios)
    return Row(
        id=id_,
        case=case,
        unit=unit,
        ours=ours,
        peer=statistics.median(peer for _, peer in samples),
        peer_name=peer_name,
        ratio=ratio,
        low=min(ratios),
        high=max(ratios),
        target=target,
        verdict=_verdict(target, ours, ratio),
        note=note,
        samples=samples,
        tags=tags or {},
    )


def single_row(
    id_: str,
    case: str,
    samples: list[float],
    *,
    unit: str,
    target: Target | None,
    note: str = "",
    tags: Mapping[str, Any] | None = None,
) -> Row:
    """Return a row for figures without a peer; the ratio is to the target."""
    ours = statistics.median(samples)
    bound = None if target is None else target.bound
    return Row(
        id=id_,
        case=case,
        unit=unit,
        ours=ours,
        ratio=None if bound is None else ours / bound,
        low=min(samples) / (bound or 1.0),
        high=max(samples) / (bound or 1.0),
        target=target,
        verdict=_verdict(target, ours, None),
        note=note,
        samples=samples,
        tags=tags or {},
    )


def _verdict(target: Target | None, ours: float, ratio: float | None) -> Verdict:
    if target is None:
        return "reported"
    return "reached" if target.met(ours=ours, ratio=ratio) else "missed"


@contextlib.contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    """Let Python take the interpreter from a busy thread after `seconds` meanwhile."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def wait_until(predicate: Callable[[], bool], *, timeout: float = 30.0, what: str) -> None:
    """Call `predicate` every millisecond until it is true.

    Raises:
        BenchmarkError: It is still false after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"waited {timeout:g} s for {what}, which did not happen")
        time.sleep(0.001)


def in_fresh_process(module: str, *arguments: object) -> Any:
    """Run `python -m benchmarks.<module> …` and return the JSON that it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command[1:])} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)
