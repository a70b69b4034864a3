"""A power failure, and a log that has not only lost its end, or not that at all."""

from __future__ import annotations

import pytest

from tests.components.tail_scene import Scene
from tests.components.test_tail_lost_end import LOG, SIZE, lines, names, written_for

HEADERS = ["time,level,message\n", f"# {1_200 * '='}\n"]  # the second has all of a fingerprint


@pytest.mark.parametrize("header", HEADERS)
def test_a_copied_and_truncated_file_with_the_same_header_has_not_lost_its_end(header: str) -> None:
    with Scene(state=True) as scene:
        scene.files.append(LOG, header)
        scene.advance(3.0)
        written_for(2, scene)
        scene.advance(3.0)
        before = scene.files.content(LOG)
        scene.take()

        def rotate() -> None:
            scene.files.put(f"{LOG}.1", before + lines("rest", 1, 2).encode())
            scene.files.truncate(LOG)
            scene.files.append(LOG, header + lines("new", 1, 2))

        scene.kill(power_failure=True, between=rotate)
        scene.advance(5.0)
        assert scene.text().decode() == lines("rest", 1, 2) + header + lines("new", 1, 2)
        assert scene.statistic("cut_short") == 0


def test_a_file_with_the_same_header_is_read_with_it() -> None:
    with Scene(state=True) as scene:
        scene.files.append(LOG, HEADERS[0])
        scene.advance(3.0)
        written_for(2, scene)
        scene.advance(3.0)
        scene.take()

        def write_anew() -> None:
            scene.files.truncate(LOG)
            scene.files.append(LOG, HEADERS[0] + lines("new", 1))

        scene.kill(power_failure=True, between=write_anew)
        scene.advance(5.0)
        assert scene.text().decode() == HEADERS[0] + lines("new", 1)


@pytest.mark.parametrize("advanced", [0.0, 0.3, 3.0])
def test_a_file_that_comes_only_in_the_second_run_may_have_lost_its_end(advanced: float) -> None:
    with Scene("/log/*.log", state=True) as scene:
        scene.files.mkdir("/away")
        written_for(40, scene)
        scene.take()

        def lose() -> None:
            scene.files.truncate(LOG, 30 * SIZE)
            scene.files.rename(LOG, "/away/a.log")  # not mounted yet
            scene.files.put("/log/b.log", "another one\n")

        scene.kill(power_failure=True, between=lose)
        scene.advance(advanced)
        scene.take()
        scene.kill(between=lambda: scene.files.rename("/away/a.log", LOG))
        scene.files.append(LOG, lines("new", 1))
        scene.advance(3.0)
        came = names(scene.text())
        assert came[-1] == "new 0001"
        assert len(came) < 30


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_place_behind_a_line_that_was_cut_off_counts_only_with_what_is_before_it(
    *, goes_on: bool
) -> None:
    new = range(3_000)
    with Scene(state=True) as scene:
        written_for(20, scene)
        scene.files.append(LOG, "x" * 150_000 + "\n")
        scene.advance(2.0)
        if goes_on:
            scene.files.append(LOG, lines("old", 20))
            scene.advance(2.0)
        scene.take()

        def lose() -> None:
            scene.files.truncate(LOG, 20 * SIZE)
            scene.files.append(LOG, lines("new", *new))  # past the place

        scene.kill(power_failure=True, between=lose)
        scene.advance(3.0)
        came = [name for name in names(scene.text()) if name.startswith("new")]
        assert came == names(lines("new", *new))


def test_a_file_that_has_lost_its_end_and_was_copied_and_truncated_is_read_in_its_copy() -> None:
    with Scene(state=True) as scene:
        written_for(40, scene)
        scene.take()

        def lose_and_rotate() -> None:
            scene.files.truncate(LOG, 30 * SIZE)
            scene.files.append(LOG, lines("middle", 1, 2))
            scene.files.put(f"{LOG}.1", scene.files.content(LOG))
            scene.files.truncate(LOG)
            scene.files.append(LOG, lines("new", 1))

        scene.kill(power_failure=True, between=lose_and_rotate)
        scene.advance(5.0)
        came = [name for name in names(scene.text()) if not name.startswith("old")]
        assert came == names(lines("middle", 1, 2) + lines("new", 1))
