"""The benchmark of tailers counts lost, duplicated, torn and reordered lines as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tail_lines import Count, Log, count, make_lines, preserved_lines

LINES = [make_lines([number]) for number in range(5)]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"".join(LINES), Count()),
        (b"".join([*LINES[:2], *LINES[3:]]), Count(lost=1)),
        (b"".join([*LINES, *LINES[1:3]]), Count(duplicated=2)),
        (b"".join([LINES[0], LINES[2], LINES[1], *LINES[3:]]), Count(reordered=1)),
        (b"".join([*LINES[:4], LINES[4][:50]]), Count(lost=1, torn=1)),
        (b"".join([*LINES[:2], LINES[2][:50], *LINES[2:]]), Count(torn=1)),
        (b"".join([*LINES, make_lines([5])]), Count(torn=1)),
    ],
    ids=["all", "lost", "duplicated", "reordered", "no end", "begun twice", "never written"],
)
def test_each_kind_of_error_is_counted(output: bytes, expected: Count) -> None:
    assert count(output, len(LINES)) == expected


def test_lines_that_no_file_has_are_not_lost() -> None:
    found = count(LINES[0] + LINES[1], 5, preserved=bytearray([1, 0, 0, 1, 1]))
    assert found == Count(lost=2, gone=2, rescued=1)


@pytest.mark.parametrize("kind", ["rename", "late writer", "gzip", "copytruncate", "link", "dated"])
def test_rotations_preserve_what_was_written_before_them(tmp_path: Path, kind: str) -> None:
    log = Log(tmp_path, kind)
    for line in LINES[:4]:
        log.write(line)
        log.rotate()
    log.write(LINES[4])
    log.close()
    preserved = preserved_lines(tmp_path, 6)
    # Beside a writer that does not pause, only the last line may have been cut off.
    assert preserved[-1] == 0
    assert kind == "copytruncate" or preserved == bytearray([1, 1, 1, 1, 1, 0])
    assert log.rotations == 4
