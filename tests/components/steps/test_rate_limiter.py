"""Records that are over a limit."""

from __future__ import annotations

from typing import Any

import pytest

from zenactors import TokenOutcome
from zenactors.components import RateLimiter
from zenactors.core.clock import VirtualClock
from zenactors.core.component import set_clock
from zenactors.testing import ClockJump, Crash, Harness, Probe

from .stepping import Sender, example_of, run_step

DAEMON: Any = None


def users(*names: Any) -> list[dict[str, Any]]:
    return [{"user": name} for name in names]


def limiter(**options: Any) -> tuple[RateLimiter, VirtualClock]:
    step, clock = RateLimiter(**options), VirtualClock()
    set_clock(step, clock)
    return step, clock


def test_a_full_bucket_passes_its_limit_at_once_and_then_fills_evenly():
    step, clock = limiter(limit=4, interval=2.0)
    passed = []
    for seconds in (0.0, 0.25, 0.25, 0.5, 1.5, 100.0):
        clock.advance(seconds)
        passed.append(len(step.apply(DAEMON, [1] * 6)))

    assert passed == [4, 0, 1, 1, 3, 4]
    assert step.statistics_cur == {"excess": 36 - 13}


def test_each_key_has_a_limit_and_records_without_one_share_one():
    step, _ = limiter(limit=1, keys=["user"])
    records = [*users("a", "a", ["b"], ["b"]), {}, {"x": 1}]

    assert step.apply(DAEMON, records) == [*users("a", ["b"]), {}]


def test_a_flood_of_keys_shares_one_bucket_and_memory_is_bounded():
    step, clock = limiter(limit=2, interval=1.0, keys=["user"], max_keys=3)
    step.apply(DAEMON, users("a", "b", "c"))
    passed = step.apply(DAEMON, users(*range(1_000), "a", "b", "c", "c"))

    assert passed == users(0, 1, "a", "b", "c")
    assert step.get_state()["keys"] <= 4
    assert step.statistics_cur["shared"] == 1_000
    clock.advance(1.0)  # all buckets are full again
    assert step.apply(DAEMON, users(7, 8)) == users(7, 8)
    assert step.get_state()["keys"] == 2


def test_a_key_that_is_used_keeps_its_bucket():
    step, clock = limiter(limit=2, interval=1.0, keys=["user"])
    assert step.apply(DAEMON, users("a", "a", "b")) == users("a", "a", "b")
    clock.advance(0.9)
    assert step.apply(DAEMON, users("a")) == users("a")
    clock.advance(0.2)
    assert step.apply(DAEMON, users("a", "a")) == users("a")
    assert step.get_state()["keys"] == 1  # that of b was not used for an interval


def test_a_bucket_holds_no_more_than_the_limit():
    step, clock = limiter(limit=4, interval=2.0)
    assert len(step.apply(DAEMON, [1])) == 1
    clock.advance(1.9)
    assert len(step.apply(DAEMON, [1] * 6)) == 4


def test_what_is_over_goes_to_another_event_that_is_a_part_of_the_one_that_came():
    step = RateLimiter(limit=1, on_excess="route")
    assert step.emits == ("excess",)
    seen = run_step(step, users("a", "b", "c"), users("d"), events=("excess",))

    assert sorted(seen.received, key=str) == [
        ("excess", users("b", "c")),
        ("excess", users("d")),
        ("lines", users("a")),
    ]
    assert seen.outcomes == [TokenOutcome.DONE] * 2


def test_what_is_over_is_dropped_by_default():
    step = RateLimiter(limit=1)
    assert step.emits == ()
    seen = run_step(step, users("a", "b"), users("c"))

    assert seen.passed_on == [users("a")]
    assert seen.outcomes == [TokenOutcome.DONE] * 2


def test_a_record_without_fields_is_a_dead_letter_if_there_are_keys():
    seen = run_step(RateLimiter(limit=1, keys=["user"]), [b"x", {"user": 1}])

    assert [letter.args for letter in seen.letters] == [[b"x"]]
    assert seen.passed_on == [users(1)]


def test_under_faults_no_more_pass_than_the_limit():
    sender, probe = Sender(), Probe("lines")
    faults = [
        Crash(component="RateLimiter", event="lines", nth=3),
        ClockJump(point="time", seconds=-3600.0, nth=2),
        ClockJump(point="time", seconds=7200.0, nth=5),
    ]
    step = RateLimiter(limit=5, interval=10.0)
    with Harness([sender, step, probe], faults=faults) as harness:
        for _ in range(100):
            harness.queue.schedule("send", users("a", "b"))
            harness.advance(1)
        assert len(harness.dead_letters()) == 1

    assert sum(len(args) for _, args in probe.received) == 5 + 49


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"limit": 1, "interval": 0}, "interval is 0"),
        ({"limit": 1, "keys": "user"}, r"write \['user'\]"),
        ({"limit": 1, "max_keys": -1}, "max_keys is -1"),
        ({"limit": 1, "on_excess": "delay"}, "on_excess is 'delay', but \""),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        RateLimiter(**options)


def test_the_example_runs(run_spec, tmp_path):
    assert run_spec(example_of(RateLimiter), tmp_path) == (0, users("a", "a", "b"))
