"""Rotations at every moment between two calls of the tailer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sweeps import swept

from .tail_scene import Scene

OLD = b"".join(b"old line %05d %s\n" % (number, b"x" * 80) for number in range(40))
NEW = b"a new line\n"
CALLS = 60  # more than the tailer makes from the look that finds the copy to the next one


class Moment:
    """Does something before the call with a number, counted from `count_from_now` on."""

    def __init__(self, scene: Scene, number: int, action: Any) -> None:
        self._left: int | None = None
        self._number = number
        self._action = action
        note = scene.files._note

        def noted(name: str, path: str = "") -> None:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    self._left = None
                    self._action()
            note(name, path)

        scene.files._note = noted  # type: ignore[method-assign]

    def count_from_now(self) -> None:
        self._left = self._number

    def let_come(self) -> bool:
        """Do it now if it was not done yet. Return whether it was."""
        if self._left is None:
            return True
        self._left = None
        self._action()
        return False


def scenes(step: int) -> Iterator[tuple[Scene, Moment]]:
    """Yield a scene for each moment."""
    for number in range(0, CALLS, step):
        scene = Scene("/log/a.log*")

        def truncate(scene: Scene = scene) -> None:
            scene.files.truncate("/log/a.log")
            scene.files.append("/log/a.log", NEW)

        yield scene, Moment(scene, number, truncate)


every_third = swept("step", [3], soak=[1])


@every_third
@pytest.mark.parametrize("empty_at_first", [False, True])
def test_whenever_the_original_is_truncated_its_copy_is_not_read_again(
    *, empty_at_first: bool, step: int
) -> None:
    came = 0
    for scene, moment in scenes(step):
        with scene:
            scene.files.put("/log/a.log", OLD)
            scene.advance(2.0)
            if empty_at_first:
                scene.files.put("/log/a.log.1", b"")
                scene.advance(2.0)
            scene.files.append("/log/a.log.1", OLD)
            moment.count_from_now()
            scene.advance(4.0)
            came += moment.let_come()
            scene.advance(20.0)
            assert scene.text() == OLD + NEW, scene.warnings()
    assert came * step > CALLS // 4


@every_third
def test_whenever_files_are_renamed_all_are_read_in_order(step: int) -> None:
    came = 0
    for number in range(0, CALLS, step):
        scene = Scene("/log/a.log")
        rotations = iter(range(1, 10))

        def rotate(scene: Scene = scene, rotations: Iterator[int] = rotations) -> None:
            index = next(rotations)
            scene.files.rename("/log/a.log", f"/log/a.log-{index}")
            scene.clock.advance(0.5)
            scene.files.put("/log/a.log", b"file %d\n" % index)

        def rotate_twice(rotate: Any = rotate) -> None:
            rotate()
            rotate()

        moment = Moment(scene, number, rotate_twice)
        with scene:
            scene.files.put("/log/a.log", b"file 0\n")
            scene.advance(2.0)
            rotate()
            rotate()
            moment.count_from_now()
            scene.advance(4.0)
            came += moment.let_come()
            scene.advance(20.0)
            assert scene.text() == b"".join(b"file %d\n" % index for index in range(5)), number
    assert came * step > CALLS // 4
