from __future__ import annotations

from typing import Any

import pytest

from tests.core.supervised import supervised, unsupervised
from zenactors.core.supervision import Retry, Supervision, Verdict
from zenactors.errors import RestartComponent


def test_the_default_is_to_go_on() -> None:
    assert unsupervised().verdict(ValueError()) is Verdict.GO_ON


@pytest.mark.parametrize(
    ("on_error", "verdict"),
    [("dead-letter", Verdict.GO_ON), ("restart", Verdict.RESTART), ("stop", Verdict.STOP)],
)
def test_a_policy_says_what_follows_an_error(on_error: Any, verdict: Verdict) -> None:
    supervisor = supervised(Supervision(on_error=on_error))
    assert supervisor.verdict(ValueError()) is verdict
    assert supervisor.verdict(RestartComponent("asked for")) is Verdict.RESTART


def test_delays_double_and_half_of_each_may_be_left_out_by_chance() -> None:
    policy = Supervision(delay=0.2)
    delays = [
        supervised(policy).plan_restart(0.0),
        supervised(policy, chance=1.0).plan_restart(0.0),
    ]
    assert delays == [0.2, 0.1]

    supervisor = supervised(policy)
    assert [supervisor.plan_restart(0.0) for _ in range(3)] == [0.2, 0.4, 0.8]


def test_the_budget_is_that_of_a_period_and_failed_restarts_count() -> None:
    supervisor = supervised(Supervision(max_restarts=2, period=60.0))
    assert supervisor.plan_restart(0.0) is not None
    assert supervisor.plan_restart(30.0) is not None  # the first one has failed
    assert supervisor.plan_restart(59.9) is None
    assert supervisor.restarts_left(59.9) == 0
    assert supervisor.plan_restart(60.0) is not None
    assert supervisor.restarts_left(60.0) == 0


def test_without_a_budget_there_is_no_restart() -> None:
    assert supervised(Supervision(max_restarts=0)).plan_restart(0.0) is None


def test_after_a_time_of_health_the_delay_is_short_again() -> None:
    supervisor = supervised(Supervision(delay=1.0, healthy_after=60.0, max_restarts=9))
    assert supervisor.plan_restart(0.0) == 1.0
    supervisor.came_up(1.0)
    assert supervisor.plan_restart(60.9) == 2.0  # not healthy for long enough
    supervisor.came_up(63.0)
    assert supervisor.plan_restart(123.0) == 1.0
    # A start that fails is no health, however long it takes.
    assert supervisor.plan_restart(223.0) == 2.0


@pytest.mark.parametrize(
    ("attempts", "more"),
    [(1, True), (2, True), (3, False)],
)
def test_an_event_is_tried_again_as_often_as_the_policy_says(attempts: int, *, more: bool) -> None:
    assert supervised(Supervision(retry=Retry(attempts=3))).may_try_again(attempts) is more
    assert supervised(Supervision(retry={})).may_try_again(attempts)  # tenacity's own options
    assert supervised(Supervision(retry={"stop": 3})).may_try_again(attempts) is more
    assert not unsupervised().may_try_again(attempts)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (
            {"on_error": "ignore"},
            "on_error is 'ignore', but one of 'dead-letter', 'restart', 'stop'",
        ),
        ({"when_exhausted": "retry"}, "when_exhausted is 'retry', but one of 'stop', 'suspend'"),
        ({"max_restarts": -1}, "max_restarts is -1, but a whole number of at least 0"),
        ({"max_restarts": True}, "max_restarts is True, but a whole number"),
        ({"period": 0}, "period is 0, but a number of seconds from 0.001"),
        ({"delay": float("nan")}, "delay is nan, but a number of seconds from 0"),
        ({"max_delay": float("inf")}, "max_delay is inf, but a number of seconds"),
        ({"healthy_after": "1"}, "healthy_after is '1', but a number of seconds"),
        ({"retry": 3}, "retry is 3, but a Retry or tenacity's options"),
        ({"retry": {"attempts": 3}}, "retry has 'attempts', but only tenacity's own"),
        ({"retry": {"sleep": print}}, "retry has 'sleep', but only tenacity's own"),
        ({"wait": 3}, "wait is 3, but a wait of tenacity's"),
    ],
)
def test_a_wrong_policy_is_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}"):
        Supervision(**wrong)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"attempts": 1}, "retry.attempts is 1, but a whole number of at least 2"),
        ({"delay": -1}, "retry.delay is -1, but a number of seconds from 0"),
        ({"max_delay": "x"}, "retry.max_delay is 'x', but a number of seconds"),
        ({"on": (ValueError, "x")}, "retry.on is .*, but a tuple of exception types"),
        ({"on": [ValueError]}, "retry.on is .*, but a tuple of exception types"),
    ],
)
def test_a_wrong_retry_is_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}"):
        Retry(**wrong)
