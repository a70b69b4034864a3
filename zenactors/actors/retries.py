"""Waits and retries by tenacity. Imported late: it is slow to import, and few components retry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tenacity

from zenactors.actors.incidents import try_to_log
from zenactors.core.supervision import ON_PURPOSE, Retry, Supervision, Supervisor
from zenactors.core.text import short_repr
from zenactors.core.turn import ThreadAbandoned
from zenactors.errors import RetryInterruptedError


def retrying(wait: Callable[[float], bool], /, **options: Any) -> tenacity.Retrying:
    """Return tenacity's `Retrying`, whose waits end when it is time to stop.

    Args:
        wait: Waits for some seconds; returns True if it is time to stop.
        options: Those of tenacity, except `sleep`. Without `stop`, it tries for ever.
    """

    def sleep(seconds: float) -> None:
        if wait(seconds):
            raise RetryInterruptedError("The daemon stops: not tried again.")

    return tenacity.Retrying(sleep=sleep, **{"reraise": True, **options})


def call_again(
    wait: Callable[[float], bool],
    supervisor: Supervisor,
    call: Callable[[], Any],
    cause: BaseException,
    attempts: int,
) -> Any:
    """Call a function again that has raised, as the policy of its component says.

    Args:
        wait: As for `retrying`.
        supervisor: The component's.
        call: The function.
        cause: What it has raised.
        attempts: How often it was called so far.

    Returns:
        Its result.

    Raises:
        RetryInterruptedError: It is time to stop.
    """
    retry = supervisor.policy.retry
    options: dict[str, Any] = {"retry": tenacity.retry_if_exception(supervisor.may_retry)}
    if isinstance(retry, Retry):
        options["stop"] = tenacity.stop_after_attempt(retry.attempts - attempts + 1)
        options["wait"] = tenacity.wait_exponential(multiplier=retry.delay, max=retry.max_delay)
    else:
        options |= retry or {}
        options["retry"] = _never_on_purpose(options["retry"])
    failures = [cause]  # the attempt that was made already counts as tenacity's first

    def attempt() -> Any:
        if failures:
            raise failures.pop()
        return call()

    return retrying(wait, **options)(attempt)


def _never_on_purpose(
    wanted: Callable[[tenacity.RetryCallState], bool],
) -> Callable[[tenacity.RetryCallState], bool]:
    def decide(state: tenacity.RetryCallState) -> bool:
        outcome = state.outcome
        cause = None if outcome is None else outcome.exception()
        return not isinstance(cause, (*ON_PURPOSE, ThreadAbandoned)) and wanted(state)

    return decide


def is_over(retry: Mapping[str, Any], attempts: int) -> bool:
    """Return True if tenacity's own options allow no further attempt after so many."""
    stop = retry.get("stop")
    if stop is None:
        return False
    state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type] # of no call
    state.attempt_number = attempts
    state.outcome_timestamp = state.start_time  # no time counts: each incarnation begins anew
    try:
        return bool(stop(state))
    except Exception as cause:  # of the user's own
        problem = short_repr(cause)
        try_to_log("ERROR", "The stop of a retry failed: {problem}", problem=problem)
        return True


def restart_delay(policy: Supervision, number: int) -> float:
    """Return the seconds before the n-th restart in a row, without their random part."""
    try:
        seconds = _delay(policy, number)
    except Exception as cause:  # of the user's own wait
        problem = short_repr(cause)
    else:
        if 0 <= seconds < math.inf:
            return seconds
        problem = f"it returned {seconds}"
    try_to_log("ERROR", "The wait of a supervision failed: {problem}", problem=problem)
    return policy.max_delay


def _delay(policy: Supervision, number: int) -> float:
    wait = policy.wait or tenacity.wait_exponential(multiplier=policy.delay, max=policy.max_delay)
    state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type] # of no call
    state.attempt_number = number
    return float(wait(state))
