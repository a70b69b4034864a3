"""A dispatcher whose threads do not run, or wait for the thread that asks: nothing hangs."""

from __future__ import annotations

import pytest

from tests.attack import strangers
from tests.attack.child import Attack
from tests.forking import ForkServer

LIMIT = 30.0  # seconds: only a hang takes that long


@pytest.mark.parametrize("phase", ["new", "running", "stopped"])
@pytest.mark.parametrize(
    ("method", "expected"),
    [("count", "NotRunningError"), ("drain", "NotRunningError"), ("stop", "returned")],
)
def test_a_finalizer_at_the_interpreters_end_does_not_hang(
    fork_server: ForkServer, method: str, expected: str, phase: str
) -> None:
    done = fork_server.run(
        strangers.at_the_interpreters_end, limit=LIMIT, method=method, phase=phase
    )
    assert (done.stdout, done.returncode) == (f"{expected} True\n", 0), done.stderr


def test_a_question_is_answered_while_a_log_sink_holds_up_the_dispatchers_thread(
    attack: Attack,
) -> None:
    answers = attack(strangers.with_a_lock_that_a_log_sink_takes, limit=LIMIT)
    assert answers == ["True", "0", "True"]
