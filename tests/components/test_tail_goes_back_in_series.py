"""A component behind two batchers is made anew: each line is in each output once."""

from __future__ import annotations

import pytest

from tests.components.test_tail_goes_back import Holder, World, batcher, numbers_in, tailer, writer


@pytest.mark.parametrize("moment", [0.05, 0.4, 0.45, 0.6, 0.7])
def test_each_line_is_there_once_behind_two_batchers(moment: float) -> None:
    world = World(
        lambda: [
            tailer(),
            batcher(),
            batcher(name="second", event_map={"lines": "batch", "batch": "batches"}),
            writer("/out/batches", "batches"),
            Holder(name="holder", event_map={"lines": "batches"}),
        ]
    )
    world.append(10)
    world.harness.advance(moment)
    world.fail("holder")
    world.end()
    assert numbers_in(world.files, "/out/batches") == list(range(10))
