"""The benchmarks' ratios and targets, recorded runs, their picture and tables, and a quick run."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks import bare_ring, tables
from benchmarks.common import (
    BenchmarkError,
    Options,
    Row,
    Target,
    paired_row,
    percentile,
    rounds,
    single_row,
)
from benchmarks.picture import picture
from benchmarks.recording import INTERVALS, OURS, PEERS, Recording
from tests.running import ROOT, run_python

ENVIRONMENT = {
    "date": "2026-11-27T10:00:00+00:00",
    "python": "3.14.1",
    "cpu": "Some & Sons <fast>",
    "cpus": 4,
    "load_before": [0.123, 0.5, 2.0],
    "gil": True,
    "quick": False,
}
SVG = "{http://www.w3.org/2000/svg}"


# --- ratios and targets ---------------------------------------------------------------------------


def test_a_pair_s_ratio_is_the_median_of_ratios_not_the_ratio_of_medians() -> None:
    row = paired_row(
        "X", "case", [(10, 1), (20, 10), (90, 30)], unit="/s", peer_name="p", target=None
    )
    assert (row.ours, row.peer, row.ratio) == (20, 10, 3)
    assert (row.low, row.high, row.verdict) == (2, 10, "reported")


def test_a_figure_without_a_peer_has_its_ratio_to_the_target() -> None:
    target = Target(bound=50, at_least=False, of="ours", unit="ms")
    row = single_row("X", "case", [40.0, 20.0, 60.0], unit="ms", target=target)
    assert (row.ours, row.ratio, row.low, row.high) == (40.0, 0.8, 0.4, 1.2)
    assert row.verdict == "reached"


@pytest.mark.parametrize(
    ("target", "shown", "ours", "ratio", "met"),
    [
        (Target(bound=2.5, at_least=True), "≥ 2.5 x", 1.0, 2.5, True),
        (Target(bound=2.5, at_least=True), "≥ 2.5 x", 9.0, 2.4, False),
        (Target(bound=1.3, at_least=False), "≤ 1.3 x", 9.0, 1.2, True),
        (
            Target(bound=25_000, at_least=True, of="ours", unit="/s"),
            "≥ 25,000 /s",
            24_999,
            9,
            False,
        ),
    ],
)
def test_a_target_is_met_by_the_figure_that_it_is_about(
    target: Target, shown: str, ours: float, ratio: float, *, met: bool
) -> None:
    assert str(target) == shown
    assert target.met(ours=ours, ratio=ratio) is met


@pytest.mark.parametrize(
    ("ours", "ratio", "met"), [(30_000, 0.1, True), (9_000, 0.7, True), (9_000, 0.6, False)]
)
def test_a_target_may_be_met_by_the_figure_or_by_the_ratio(
    ours: float, ratio: float, *, met: bool
) -> None:
    target = Target(bound=25_000, at_least=True, of="ours", unit="/s", or_ratio=1 / 1.5)
    assert str(target) == "≥ 25,000 /s or ≥ 0.67 x"
    assert target.met(ours=ours, ratio=ratio) is met


def test_no_figure_is_no_verdict() -> None:
    with pytest.raises(BenchmarkError, match="no figure"):
        Target(bound=1, at_least=True).met(ours=1.0, ratio=None)


def test_rounds_measure_everything_once_before_anything_twice() -> None:
    numbers = iter(range(6))
    measures = dict.fromkeys(("a", "b", "c"), lambda: next(numbers))
    assert rounds(measures, 2) == {"a": [0, 3], "b": [1, 4], "c": [2, 5]}


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert percentile(range(100, 0, -1), percent) == expected


# --- the ring of bare threads ---------------------------------------------------------------------


def test_the_item_goes_round_the_ring_through_each_function() -> None:
    seen: list[str] = []

    def step(name: str) -> Any:
        def work(item: object) -> str:
            seen.append(f"{name}{item}")
            return name

        return work

    rate = bare_ring.rate([step(name) for name in "abc"], warm_up=0.0, seconds=0.01)
    assert rate > 0
    assert seen[0] == "a1"
    assert seen[1:] == list(islice(cycle(["ba", "cb", "ac"]), len(seen) - 1))


def test_a_function_that_fails_ends_the_ring() -> None:
    with pytest.raises(BenchmarkError, match="ZeroDivisionError"):
        bare_ring.rate([None, lambda item: item / 0, None], warm_up=0.0, seconds=0.0)


# --- a recorded run -------------------------------------------------------------------------------


def rate_of(way: str, stages: str, interval: float) -> float:
    """Return a made-up rate: µs per item, from a table, twice that at the shorter interval."""
    microseconds = {
        "direct calls": 0.1,
        "asyncio queues": 4.0,
        "schedule()": 2.0,
        "a source component": 1.5,
        "a source, with tokens": 2.25,
        "schedule(), supervised": 2.5,
        "schedule(), with a hard limit": 10.0,
        "schedule(), 4 producers": 3.0,
        "schedule(), 8 stages": 4.5,
    }.get(way, 1.0)
    if stages == "a pair":
        microseconds += 0.6
    return 1e6 / microseconds / (1 if interval == INTERVALS[0] else 2)


def recorded() -> Recording:
    """Return a run with the ways that the benchmark has, and made-up figures."""
    pytest.importorskip("pyzenkit.zendaemon", reason="pyzenkit is an extra: pip install .[bench]")
    from benchmarks import f18_ways  # noqa: PLC0415

    options = Options(quick=True, pairs=1)
    mine, peers = f18_ways.our_ways(options), f18_ways.peers_ways(options)
    rows = []
    for interval in INTERVALS:
        samples = {
            way: [rate_of(*way, interval) * each for each in (0.5, 1.0, 2.0)]
            for way in (*peers, *mine)
        }
        rows += [
            f18_ways.row(way, samples, interval, PEERS if way in peers else OURS)
            for way in (*peers, *mine)
        ]
    rows += [
        Row(id=id_, case=f"case of {id_}", ours=1234.0, unit="/s", verdict="reported")
        for id_ in tables.OTHERS
    ]
    rows.append(
        paired_row("F10", "a pair", [(0.5, 2.0)], unit="ms", peer_name="the peer", target=None)
    )
    content = {"environment": ENVIRONMENT, "rows": [row.as_json() for row in rows]}
    return Recording(json.loads(json.dumps(content)))


@pytest.fixture(name="recording")
def _recording() -> Recording:
    return recorded()


def test_costs_are_differences_of_the_time_per_item(recording: Recording) -> None:
    costs = {cost.what: cost.microseconds for cost in recording.costs()}
    assert len(costs) == 9
    for begin, expected in (
        ("an event by `schedule()`", 2.0),
        ("an event of a source", 1.5),
        ("an event of a `schedule_many()`", 1.0),
        ("one more stage", 0.5),
        ("a stage that returns", 0.2),
        ("a token", 0.75),
        ("a declared retry", 0.5),
        ("a hard limit", 7.5),
        ("three more threads", 1.0),
    ):
        [found] = [cost for what, cost in costs.items() if what.startswith(begin)]
        fastest = expected / 2  # of runs at half the rate, the rate, and twice the rate
        assert found == pytest.approx((fastest, 2 * fastest)), begin


def test_a_run_without_a_way_is_refused(recording: Recording) -> None:
    recording.rows = [row for row in recording.rows if row["tags"].get("way") != "schedule()"]
    with pytest.raises(BenchmarkError, match=r"^0 rows of .*'schedule\(\)'"):
        recording.costs()


def test_the_machine_is_named_with_python_and_day(recording: Recording) -> None:
    machine = "Some & Sons <fast>, 4 CPUs, load 0.1 before"
    assert recording.machine() == f"{machine} · Python 3.14.1 · 2026-11-27"
    recording.environment.update(quick=True, gil=False)
    assert recording.machine().endswith(
        "Python 3.14.1 without the GIL · 2026-11-27 · a quick run: the figures mean nothing"
    )


# --- the picture ----------------------------------------------------------------------------------


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_the_picture_shows_the_machine_and_the_ways_with_their_figures(
    recording: Recording,
) -> None:
    shown = texts(picture(recording))
    assert recording.machine() in shown
    line = shown.index("direct calls")
    assert shown[line : line + 2] == ["direct calls", "10 M / 5 M"]
    line = shown.index("schedule()")
    assert shown[line : line + 2] == ["schedule()", "500 k / 250 k"]
    assert "schedule(), 8 stages" not in shown  # another pipeline
    assert [shown.count(way) for way in ("asyncio queues", "prefilled")] == [1, 1]


def test_the_picture_s_ways_are_sorted_by_speed(recording: Recording) -> None:
    shown = texts(picture(recording))
    places = [
        shown.index(way)
        for way in ("a source component", "schedule()", "schedule(), with a hard limit")
    ]
    assert places == sorted(places)


def test_a_dot_is_where_its_value_is_on_the_axis(recording: Recording) -> None:
    svg = ET.fromstring(picture(recording))
    labels = {
        element.text: float(element.attrib["x"])
        for element in svg.iter(f"{SVG}text")
        if element.attrib["text-anchor"] == "middle"
    }
    dots = [float(element.attrib["cx"]) for element in svg.iter(f"{SVG}circle")]
    decade = labels["10 M"] - labels["1 M"]
    assert labels["100 k"] - labels["10 k"] == pytest.approx(decade, abs=0.2)
    assert labels["10 M"] in dots  # direct calls
    schedule = labels["1 M"] - math.log10(2) * decade  # 500 k
    assert min(abs(dot - schedule) for dot in dots) < 0.2


def test_the_picture_has_colours_for_light_and_dark(recording: Recording) -> None:
    light, _, dark = picture(recording).partition("@media (prefers-color-scheme: dark)")
    names = set(re.findall(r"\.(\w+) \{", light))
    assert names > {"ground", "text"}
    assert set(re.findall(r"\.(\w+) \{", dark)) == names


# --- the tables -----------------------------------------------------------------------------------

PAGE = "".join(f"text\n<!-- recorded: {name} -->\nold\n<!-- end -->\n" for name in tables.TABLES)


def test_each_table_takes_its_place_and_nothing_else_changes(recording: Recording) -> None:
    page = tables.with_tables(PAGE, recording)
    assert "old" not in page
    assert page.count("text\n") == len(tables.TABLES)
    assert "| ours | `schedule()` |" not in page
    assert "| others | direct calls | call one function | 10,000,000 | 40.00 | " in page
    assert "| ours | schedule() | return None | 500,000 | 2.00 | 250,000 | 2.00 |" in page
    assert "| a pair | 0.5 ms | 2 | 0.25 | the peer |" in page
    assert tables.with_tables(page, recording) == page


def test_a_page_must_have_a_place_for_each_table(recording: Recording) -> None:
    with pytest.raises(BenchmarkError, match="the page has places for"):
        tables.with_tables(PAGE.replace("recorded: costs", "recorded: coasts"), recording)


def test_every_benchmark_of_the_page_must_be_recorded(recording: Recording) -> None:
    recording.rows = [row for row in recording.rows if row["id"] != "F12"]
    with pytest.raises(BenchmarkError, match="F12 is not in the recorded run"):
        tables.others(recording)


# --- the program ----------------------------------------------------------------------------------


def test_a_quick_run_prints_its_progress_alone_and_writes_its_rows(tmp_path: Path) -> None:
    pytest.importorskip("pyzenkit.zendaemon", reason="pyzenkit is an extra: pip install .[bench]")
    path = tmp_path / "bench.json"
    done = run_python(
        *("-m", "benchmarks", "--quick", "--pairs", "1", "--only", "F11", "--json", str(path)),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"F11 … \d+\.\d s\n", done.stderr)
    recording = Recording.load(path)
    assert len(recording.of("F11")) == 8
    assert recording.machine().endswith("a quick run: the figures mean nothing")
    fields = {field.name for field in dataclasses.fields(Row)}
    assert {name for row in recording.rows for name in row} == fields
