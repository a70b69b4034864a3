"""Repetitions are counted without a lock, and none is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zenactors.core.repetition import Repetitions


class Key:
    """A key whose hash, when it is computed for the nth time, is the turn of another thread."""

    def __init__(self, moment: int, other_thread: Callable[[], object]) -> None:
        self.moment = moment
        self.other_thread = other_thread

    def __hash__(self) -> int:
        self.moment -= 1
        if self.moment == -1:
            self.other_thread()
        return 1

    def __eq__(self, other: object) -> bool:
        return self is other


def test_each_key_is_counted_by_itself() -> None:
    counts = Repetitions()
    assert [counts.add(key) for key in "aabab"] == [1, 2, 1, 3, 2]


@pytest.mark.parametrize("moment", range(4))
def test_a_count_is_not_lost_to_another_thread(moment: int) -> None:
    counts = Repetitions()
    seen: list[int] = []
    key = Key(moment, lambda: seen.append(counts.add(key)))
    seen += [counts.add(key), counts.add(key), counts.add(key), counts.add(key)]
    assert sorted(seen) == [1, 2, 3, 4, 5]
