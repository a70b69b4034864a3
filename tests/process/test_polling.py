"""Waits in seconds: bounded, and over as soon as a descriptor is ready."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest

from zenactors.process.polling import LONGEST_WAIT, poll_for


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("seconds", [None, -1.0, 0.0, 60.0, LONGEST_WAIT, 1e12, float("inf")])
def test_a_wait_of_any_length_returns_the_ready_descriptors(
    pipe: tuple[int, int], seconds: float | None
) -> None:
    reader, writer = pipe
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    os.write(writer, b"x")

    assert poll_for(poll, seconds) == {reader}


@pytest.mark.parametrize("seconds", [-1.0, 0.0])
def test_no_time_left_is_one_look(pipe: tuple[int, int], seconds: float) -> None:
    poll = select.poll()
    poll.register(pipe[0], select.POLLIN)

    assert poll_for(poll, seconds) == set()
