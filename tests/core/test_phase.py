"""Every transition between the phases of an engine: the allowed ones, and all others."""

from __future__ import annotations

import itertools

import pytest

from tests.actors.fakes import in_threads
from zenactors.core.phase import Lifecycle, Phase

IN_ORDER = list(Phase)


def entered(phase: Phase) -> Lifecycle:
    """Return a lifecycle that has entered all phases up to this one."""
    lifecycle = Lifecycle()
    for each in IN_ORDER[1 : phase + 1]:
        assert lifecycle.advance(each) is not None
    assert lifecycle.phase is phase
    return lifecycle


@pytest.mark.parametrize(("here", "there"), list(itertools.product(Phase, Phase)))
def test_a_phase_leads_to_the_next_one_and_to_halted_and_nowhere_else(
    here: Phase, there: Phase
) -> None:
    lifecycle = entered(here)
    if there <= here:
        assert lifecycle.advance(there) is None
        assert lifecycle.phase is here
    elif there == here + 1 or there is Phase.HALTED:
        assert lifecycle.advance(there) is here
        assert lifecycle.phase is there
    else:
        with pytest.raises(ValueError, match=f"{here.name} cannot be followed by {there.name}"):
            lifecycle.advance(there)
        assert lifecycle.phase is here


def test_the_flags_read_for_every_event_follow_from_the_phase() -> None:
    read = {phase: (entered(phase).admits, entered(phase).halted) for phase in Phase}
    assert [phase for phase, (admits, _) in read.items() if admits] == [Phase.OPEN, Phase.DRAINING]
    assert [phase for phase, (_, halted) in read.items() if halted] == [Phase.HALTED, Phase.DOWN]


def test_of_two_threads_that_end_a_phase_at_once_only_one_enters_the_next() -> None:
    for _ in range(200):
        lifecycle = entered(Phase.STARTING)
        wanted = [Phase.OPEN, Phase.HALTED]
        ended = in_threads(2, lambda number: lifecycle.advance(wanted[number]))  # noqa: B023
        assert lifecycle.phase is Phase.HALTED
        assert ended in (
            [Phase.STARTING, Phase.OPEN],
            [None, Phase.STARTING],
        )
