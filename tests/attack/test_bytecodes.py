"""An exception at any bytecode of any thread leaves the engine whole."""

from __future__ import annotations

import sys

import pytest

from tests.attack.bytecodes import NAMES, strike_call, strike_own_thread, strike_stop
from tests.attack.child import Attack, assert_nothing_broke

STEP = 7  # in the short tests: each strikes every seventh bytecode
OWN_STEP = 83  # where each strike needs a dispatcher of its own
THREAD_STEP = 211  # where it needs one whose threads are traced
PARTS = 6  # of all bytecodes, in the long tests
THREAD_PARTS = 24
LIMIT = 300.0  # seconds: only hangs take them

# How many bytecodes a thread executes at least, and at most. They differ between the versions of
# Python, and those of the engine's threads from run to run.
STOP = 4_000, 8_000
WORK = {"component": (6_000, 14_000), "dispatcher": (4_500, 9_000)}

can_trace_threads = pytest.mark.skipif(
    sys.version_info[:2] == (3, 12),
    reason="Python 3.12 crashes when the bytecodes of several threads are traced",
)


@pytest.mark.parametrize("name", NAMES)
def test_an_exception_at_a_seventh_of_the_bytecodes_of_a_call_breaks_nothing(
    attack: Attack, name: str
) -> None:
    offset = NAMES.index(name)
    assert_nothing_broke(attack(strike_call, limit=LIMIT, name=name, step=STEP, offset=offset))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_exception_at_each_bytecode_of_a_call_breaks_nothing(attack: Attack, name: str) -> None:
    assert_nothing_broke(attack(strike_call, limit=LIMIT, name=name, step=1, offset=0))


def test_a_stop_that_an_exception_interrupts_can_be_repeated(attack: Attack) -> None:
    least, _ = STOP
    assert_nothing_broke(attack(strike_stop, limit=LIMIT, first=8, stop=least, step=OWN_STEP))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_stop_can_be_repeated_after_an_exception_at_each_bytecode(
    attack: Attack, part: int
) -> None:
    _, most = STOP
    result = attack(strike_stop, limit=LIMIT, first=1 + part, stop=most, step=PARTS)
    assert_nothing_broke(result)
    assert not result["last"], "a stop executes more bytecodes"


@can_trace_threads
@pytest.mark.parametrize("whose", WORK)
def test_an_exception_in_a_thread_of_the_engine_leaves_no_question_unanswered(
    attack: Attack, whose: str
) -> None:
    least, _ = WORK[whose]
    result = attack(
        strike_own_thread, limit=LIMIT, whose=whose, first=4, stop=least, step=THREAD_STEP
    )
    assert_nothing_broke(result)


@can_trace_threads
@pytest.mark.slow
@pytest.mark.parametrize("part", range(THREAD_PARTS))
@pytest.mark.parametrize("whose", WORK)
def test_an_exception_at_each_bytecode_of_such_a_thread_leaves_none_either(
    attack: Attack, whose: str, part: int
) -> None:
    _, most = WORK[whose]
    result = attack(
        strike_own_thread, limit=LIMIT, whose=whose, first=1 + part, stop=most, step=THREAD_PARTS
    )
    assert_nothing_broke(result)
    assert not result["last"], "such a thread executes more bytecodes"
