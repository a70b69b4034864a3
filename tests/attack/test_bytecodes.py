"""An exception at any bytecode of any thread leaves the engine whole."""

from __future__ import annotations

import sys

import pytest

from tests.attack.bytecodes import NAMES, strike_call, strike_own_thread, strike_stop
from tests.attack.child import assert_nothing_broke, attack

STEP = 3  # in the short tests: each strikes every third bytecode
STRIDE = 41  # where each strike needs a dispatcher of its own
SECONDS = 2.0  # for a short test of these
PARTS = 6  # of all bytecodes, in the long tests
LONG = 50.0  # seconds: pytest takes a test of a minute for one that hangs
LIMIT = 60.0  # seconds beyond: only hangs take them

can_trace_threads = pytest.mark.skipif(
    sys.version_info[:2] == (3, 12),
    reason="Python 3.12 crashes when the bytecodes of several threads are traced",
)


@pytest.mark.parametrize("name", NAMES)
def test_an_exception_at_a_third_of_the_bytecodes_of_a_call_breaks_nothing(name: str) -> None:
    offset = NAMES.index(name)
    assert_nothing_broke(attack(strike_call, limit=LIMIT, name=name, step=STEP, offset=offset))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_exception_at_each_bytecode_of_a_call_breaks_nothing(name: str) -> None:
    assert_nothing_broke(attack(strike_call, limit=LONG + LIMIT, name=name, step=1, offset=0))


def test_a_stop_that_an_exception_interrupts_can_be_repeated() -> None:
    result = attack(strike_stop, limit=LIMIT, step=STRIDE, offset=7, seconds=SECONDS)
    assert_nothing_broke(result)


@pytest.mark.slow
@pytest.mark.parametrize("offset", range(PARTS))
def test_a_stop_can_be_repeated_after_an_exception_at_each_bytecode(offset: int) -> None:
    result = attack(strike_stop, limit=LONG + LIMIT, step=PARTS, offset=offset, seconds=LONG)
    assert_nothing_broke(result)


@can_trace_threads
@pytest.mark.parametrize("whose", ["component", "dispatcher"])
def test_an_exception_in_a_thread_of_the_engine_leaves_no_question_unanswered(whose: str) -> None:
    result = attack(
        strike_own_thread, limit=LIMIT, whose=whose, step=STRIDE, offset=3, seconds=SECONDS
    )
    assert_nothing_broke(result)


@can_trace_threads
@pytest.mark.slow
@pytest.mark.parametrize("offset", range(PARTS))
@pytest.mark.parametrize("whose", ["component", "dispatcher"])
def test_an_exception_at_each_bytecode_of_such_a_thread_leaves_none_either(
    whose: str, offset: int
) -> None:
    result = attack(
        strike_own_thread,
        limit=LONG + LIMIT,
        whose=whose,
        step=PARTS,
        offset=offset,
        seconds=LONG,
    )
    assert_nothing_broke(result)
