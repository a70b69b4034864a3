"""A log that has lost its end in a power failure: nothing of what follows may be left out."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.tail_scene import Scene
from tests.databases import close_left_over
from tests.sweeps import seeds
from zenactors.components import FileTailer, RawWriter, SqliteSink
from zenactors.components.tail.identity import Mark
from zenactors.components.tail.trail import DURABLE_AFTER, Place, is_durable, last_kept, noted
from zenactors.testing import Harness, VirtualFiles

LOG = "/log/a.log"
STORE = "/state/FileTailer.store"
FRAME = "{} of some lines that are all different, also if another one takes the place of one\n"


def lines(word: str, *numbers: int) -> str:
    return "".join(FRAME.format(f"{word} {number:04}") for number in numbers)


def names(texts: Any) -> list[str]:
    return re.findall(r"\w+ \d{4}", texts if isinstance(texts, str) else texts.decode())


SIZE = len(lines("old", 0))


# --- which places are remembered ------------------------------------------------------------------


def trail_of(count: int) -> list[Place]:
    trail: list[Place] = []
    for number in range(1, count + 1):
        trail = noted(trail, 100 * number, Mark(1, number), float(number))
    return trail


@settings(max_examples=30)
@given(st.integers(1, 2_000))
def test_few_places_are_remembered_the_last_ones_closely(count: int) -> None:
    ages = [count - place.number for place in trail_of(count)]
    assert len(ages) <= 16
    assert ages[-1] == 0
    for age in range(1, 65):
        assert count <= 4 * age or any(age <= each <= 4 * age for each in ages)


def test_the_last_place_counts_that_a_file_still_has() -> None:
    trail = trail_of(20)
    offsets = [place.offset for place in trail]
    assert last_kept(trail, 2_000, lambda _offset, _mark: True) == trail[-1]
    assert last_kept(trail, 1_950, lambda _offset, _mark: True) == trail[-2]
    kept = last_kept(trail, 2_000, lambda offset, _mark: offset <= offsets[1])
    assert kept == trail[1]
    assert last_kept(trail, 2_000, lambda _offset, _mark: False) is None


def test_places_are_not_needed_for_long() -> None:
    trail = trail_of(3)
    assert not is_durable(trail, 3.0 + DURABLE_AFTER)
    assert is_durable(trail, 3.1 + DURABLE_AFTER)


# --- the saved position is behind the end -----------------------------------------------------


def written_for(seconds: int, scene: Scene) -> None:
    for number in range(seconds):
        scene.files.append(LOG, lines("old", number))
        scene.advance(1.0)


@pytest.mark.parametrize("kept", [60.0, 60.5, 59.001, 40.0, 98.0])
@pytest.mark.parametrize("grows_first", [False, True])
def test_it_is_read_on_where_it_still_has_what_it_had(kept: float, *, grows_first: bool) -> None:
    with Scene(state=True) as scene:
        written_for(100, scene)
        assert len(scene.take()) > 50

        def lose() -> None:
            scene.files.truncate(LOG, int(kept * SIZE))
            if grows_first:
                scene.files.append(LOG, "\n" + lines("new", *range(20)))

        scene.kill(power_failure=True, between=lose)
        scene.advance(2.0)
        if not grows_first:
            scene.files.append(LOG, "\n" + lines("new", *range(20)))
        scene.advance(2.0)
        came = names(scene.text())
        old = [name for name in came if name.startswith("old")]
        assert [name for name in came if name.startswith("new")] == names(lines("new", *range(20)))
        still = names(scene.files.content(LOG))[:-20]
        assert old == still[len(still) - len(old) :]
        assert len(old) <= 3 * (100 - kept)
        assert scene.statistic("cut_short") == 1
        (warning,) = [
            each.message for each in scene.harness.logs if "has lost its end" in each.message
        ]
        assert warning.startswith(
            f"{LOG} has lost its end, as after a power failure; it is read from"
        )


@pytest.mark.parametrize("advanced", [0.0, 0.3, 3.0])
def test_it_is_read_on_there_although_the_process_dies_again(advanced: float) -> None:
    with Scene(state=True) as scene:
        written_for(60, scene)
        scene.take()
        scene.kill(power_failure=True, between=lambda: scene.files.truncate(LOG, 50 * SIZE))
        scene.advance(advanced)
        first = names(scene.text())
        scene.kill()
        scene.files.append(LOG, lines("new", *range(5)))
        scene.advance(3.0)
        second = names(scene.text())
        assert second[-5:] == names(lines("new", *range(5)))
        assert len(first) + len(second) <= 55
        old = sorted({*first, *second[:-5]})
        assert old == names(lines("old", *range(50 - len(old), 50)))


def test_a_file_that_is_shorter_in_the_same_run_of_the_system_was_written_anew() -> None:
    with Scene(state=True) as scene:
        written_for(20, scene)
        scene.take()

        def write_anew() -> None:
            scene.files.put(LOG, scene.files.content(LOG)[: 10 * SIZE])

        scene.kill(between=write_anew)
        scene.advance(2.0)
        assert names(scene.text()) == names(lines("old", *range(10)))
        assert scene.statistic("cut_short") == 0


def test_a_file_that_was_written_anew_is_read_from_its_beginning_after_a_power_failure() -> None:
    with Scene(state=True) as scene:
        written_for(20, scene)
        scene.take()
        scene.kill(
            power_failure=True, between=lambda: scene.files.put(LOG, lines("new", *range(10)))
        )
        scene.advance(2.0)
        assert names(scene.text()) == names(lines("new", *range(10)))


def test_a_file_that_does_not_grow_has_no_places_after_some_minutes() -> None:
    with Scene("/log/*.log", state=True) as scene:
        written_for(20, scene)
        assert b'"trail"' in scene.files.content(STORE)
        scene.advance(200.0)
        scene.files.append("/log/b.log", lines("other", 1))
        scene.advance(2.0)
        assert b'"trail"' not in scene.files.content(STORE)


@pytest.mark.parametrize("kept", [3, 45, 50])
@pytest.mark.parametrize("dies_again", [False, True])
def test_outputs_that_are_cut_back_have_every_line_after_it(kept: int, *, dies_again: bool) -> None:
    files = VirtualFiles()
    for directory in ("/log", "/state", "/out"):
        files.put(f"{directory}/other")

    def made() -> list[Any]:
        tailer = FileTailer(patterns=[LOG], start="beginning", exactly_once=True)
        return [tailer, RawWriter(path="/out/all")]

    harness = Harness(made(), files=files, state_dir="/state")
    harness.start()
    for number in range(50):
        harness.files.append(LOG, lines("old", number))
        harness.advance(1.0)
    harness.kill(power_failure=True)
    for _ in range(1 + dies_again):
        harness = harness.next_life(made())
        if len(harness.lives) == 2:
            harness.files.truncate(LOG, kept * SIZE)
        harness.start()
        harness.advance(0.5)
        harness.kill()
    harness = harness.next_life(made())
    harness.start()
    harness.files.append(LOG, lines("new", *range(8)))
    harness.advance(3.0)
    harness.stop()
    written = names(harness.files.content("/out/all"))
    harness.close()
    assert written[-8:] == names(lines("new", *range(8)))
    assert written[:50] == names(lines("old", *range(50)))
    again = written[50:-8]
    assert again == names(lines("old", *range(kept - len(again), kept)))
    assert bool(again) == (kept < 50)
    assert len(again) <= 3 * (50 - kept)


# --- sinks have applied what is gone --------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "out.db")
    close_left_over()


def components(path: str) -> list[Any]:
    return [
        FileTailer(patterns=[LOG], start="beginning", exactly_once=True),
        SqliteSink(path=path, table="t", synchronous="normal"),
    ]


def begin(path: str) -> Harness:
    files = VirtualFiles()
    files.put("/log/other")
    files.put("/state/other")  # so that the directory is on the disk
    harness = Harness(components(path), files=files, state_dir="/state")
    harness.start()
    return harness


def rows(path: str) -> list[str]:
    with sqlite3.connect(path) as database:
        found = database.execute("SELECT line FROM t ORDER BY rowid").fetchall()
    database.close()
    return names("\n".join(line for (line,) in found))


def next_life(harness: Harness, path: str, change: Any = lambda _files: None) -> Harness:
    following = harness.next_life(components(path))
    change(following.files)
    following.start()
    return following


@pytest.mark.parametrize("new", [1, 3, 8])
@pytest.mark.parametrize("grows_first", [False, True])
@pytest.mark.parametrize("dies_again", [None, 0.0, 0.01, 2.0])
def test_lines_are_not_taken_for_those_whose_place_they_have(
    path: str, new: int, dies_again: float | None, *, grows_first: bool
) -> None:
    harness = begin(path)
    for some, seconds in ((range(5), 3.0), ((5,), 0.02), (range(6, 12), 0.02)):
        harness.files.append(LOG, lines("old", *some))
        harness.advance(seconds)
    (position,) = json.loads(harness.files.content(STORE))["value"]["positions"].values()
    assert position[1] == 6 * SIZE  # more is only in the table
    assert rows(path) == names(lines("old", *range(12)))
    harness.kill(power_failure=True)

    def lose(files: VirtualFiles) -> None:
        files.truncate(LOG, 9 * SIZE)
        if grows_first:
            files.append(LOG, lines("new", *range(new)))

    harness = next_life(harness, path, lose)
    if dies_again is not None:
        harness.advance(dies_again)
        harness.kill()
        harness = next_life(harness, path)
    harness.advance(1.0)
    if not grows_first:
        harness.files.append(LOG, lines("new", *range(new)))
    harness.advance(3.0)
    harness.stop()
    harness.close()
    count = Counter(rows(path))
    assert [count[name] for name in names(lines("new", *range(new)))] == [1] * new
    assert [count[name] for name in names(lines("old", *range(12)))] == (
        [1] * 6 + [2] * 3 + [1] * 3
    )


@seeds(8, soak=80)
def test_no_line_is_lost_whatever_a_log_loses(path: str, seed: int) -> None:
    chance = Random(seed)
    harness = begin(path)
    durable: set[str] = set()
    number = 0
    for life in range(3):
        for _ in range(chance.randrange(1, 12)):
            count = chance.randrange(1, 9)
            harness.files.append(LOG, lines(f"life{life}", *range(number, number + count)))
            number += count
            harness.advance(chance.choice([0.001, 0.02, 0.4, 1.5]))
        harness.kill(power_failure=True)
        size = len(harness.files.content(LOG))
        kept = chance.randrange(max(0, size - 20 * SIZE), size + 1)

        def lose(files: VirtualFiles, kept: int = kept) -> None:
            files.truncate(LOG, kept)
            files.append(LOG, "\n")  # a logger that starts does not know of the torn line

        harness = next_life(harness, path, lose)
        durable = set(names(harness.files.content(LOG)))
    harness.files.append(LOG, lines("end", 1, 2, 3))
    harness.advance(5.0)
    harness.stop()
    harness.close()
    found = rows(path)
    assert durable <= set(found)
    assert found[-3:] == names(lines("end", 1, 2, 3))


def test_the_copy_of_a_log_that_has_lost_its_end_is_not_taken_for_what_was_applied(
    path: str,
) -> None:
    harness = begin(path)
    for number in range(40):
        harness.files.append(LOG, lines("old", number))
        harness.advance(1.0)
    harness.kill(power_failure=True)

    def lose_and_rotate(files: VirtualFiles) -> None:
        files.truncate(LOG, 30 * SIZE)
        files.append(LOG, lines("middle", *range(20)))  # at the places of the old ones
        files.put(f"{LOG}.1", files.content(LOG))
        files.truncate(LOG)
        files.append(LOG, lines("new", 1))

    harness = next_life(harness, path, lose_and_rotate)
    harness.advance(5.0)
    harness.stop()
    harness.close()
    found = [name for name in rows(path) if not name.startswith("old")]
    assert found == names(lines("middle", *range(20)) + lines("new", 1))
