"""What follows when a component fails: another attempt, a restart, or the end of the daemon.

Pure decisions, no thread. A component's runner and its actor carry them out.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

from zenactors.core.recipe import same
from zenactors.errors import (
    EXIT_GAVE_UP,
    RestartComponent,
    RetryInterruptedError,
    ZenDaemonStopException,
)

OnError = Literal["dead-letter", "restart", "stop"]
WhenExhausted = Literal["stop", "suspend"]

_TENACITY = {  # its options, except `sleep`
    "after",
    "before",
    "before_sleep",
    "reraise",
    "retry",
    "retry_error_callback",
    "retry_error_cls",
    "stop",
    "wait",
}


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"{name} is {value!r}, but one of {', '.join(map(repr, choices))} is expected."
        )


def _check_count(name: str, value: object, *, least: int, most: int | None = None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} is {value!r}, but a whole number {allowed} is expected.")


def _check_seconds(name: str, value: object, *, least: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not least <= value < math.inf
    ):
        raise ValueError(f"{name} is {value!r}, but a number of seconds from {least} is expected.")


def _check_retry(retry: object) -> None:
    if retry is None or isinstance(retry, Retry):
        return
    if not isinstance(retry, Mapping):  # a ValueError, as for every other value
        raise ValueError(  # noqa: TRY004
            f"retry is {retry!r}, but a Retry or tenacity's options are expected."
        )
    unknown = sorted(map(str, retry.keys() - _TENACITY))
    if unknown:
        raise ValueError(
            f"retry has {', '.join(map(repr, unknown))}, but only tenacity's own options are"
            f" possible: {', '.join(sorted(_TENACITY))}. Retry(attempts=3) needs none of them."
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, and after what waits, a callback is called again for the event it failed on.

    Args:
        attempts: Calls for one event in all, the first one included; 2 or more.
        delay: Seconds before the second call. Each further wait is twice as long.
        max_delay: The longest wait in seconds.
        on: The exceptions after which it is called again. Others fail at once.

    Raises:
        ValueError: A value makes no sense.
    """

    attempts: int = 3
    delay: float = 0.1
    max_delay: float = 1.0
    on: tuple[type[BaseException], ...] = (Exception,)

    def __post_init__(self) -> None:
        _check_count("retry.attempts", self.attempts, least=2)
        _check_seconds("retry.delay", self.delay, least=0)
        _check_seconds("retry.max_delay", self.max_delay, least=0)
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise ValueError(
                f"retry.on is {self.on!r}, but a tuple of exception types is expected."
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """A component's policy for failures: of its callbacks, its timers and descriptors.

    The default is to go on: one malformed line is not a broken component.

    Args:
        retry: First call the callback again: a `Retry`, or tenacity's own options except `sleep`.
            None: do not. The component waits meanwhile, and so do the events behind this one; for
            waits of more than a second rather schedule the event again. Only for events.
        on_error: If that did not help, the event becomes a dead letter. Then `"dead-letter"`: go
            on with the next event. `"restart"`: first make the component anew. `"stop"`: stop the
            daemon in order but at once, with `status`.
        max_restarts: How many restarts, failed ones included, are tried within `period`; 0: none.
        period: Seconds.
        delay: Seconds between a failure and the restart. It doubles with each restart after less
            than `healthy_after` seconds. Up to half of it is left out, by chance, so that
            components that failed together do not return together.
        max_delay: The longest of these waits in seconds.
        wait: A wait of tenacity's in place of `delay` and `max_delay`. If it raises, or returns no
            number of seconds, that is logged, and the wait is `max_delay`.
        healthy_after: Seconds without a failure after which the delay is short again.
        budget: Seconds that a callback may take. One that takes longer is logged once, with the
            stack of its thread, and `daemon.readiness()` names it until it returns.
        hard_limit: Seconds after which a callback is not waited for any more; None: for ever. First
            the component's own `interrupt()` is called, from another thread, so that it may close
            the socket or end the program that the callback waits for. If the callback has not
            returned a second later, its event becomes a dead letter and its thread is abandoned:
            a new object of the component goes on in a new thread, with the events that wait, by
            the same budget as after every other failure. Python cannot end a thread, so the old
            one goes on until its callback returns; then it ends. Needs a component that can be made
            anew, that is, a `ZenDaemonComponent`. Such a component looks at the clock after each
            event, which costs two or three microseconds.
        when_exhausted: The behavior when `max_restarts` are used up. `"stop"`: stop the daemon, as
            above. `"suspend"`: the component does nothing more. Its events wait, and so do their
            producers, until a reload that changes its options or its policy makes it anew, or the
            daemon stops.
        status: The exit status of a daemon that this policy stops, from 0 to 255.
        best_effort: True: chains pass the component without waiting for it. It gets a copy of each
            list of events, with the same args, and its answers have no effect. What it cannot take
            is lost to it, and counted. Not for control events and `start`, and not for `Replicas`.
        best_effort_limit: How many events of one chain may wait for it, or be under way in it; 1 or
            more. Further ones are lost.

    Raises:
        ValueError: A value makes no sense.
    """

    retry: Retry | Mapping[str, Any] | None = None
    on_error: OnError = "dead-letter"
    max_restarts: int = 5
    period: float = 60.0
    delay: float = 0.2
    max_delay: float = 30.0
    wait: Callable[[Any], float] | None = None
    healthy_after: float = 60.0
    budget: float = 10.0
    hard_limit: float | None = None
    when_exhausted: WhenExhausted = "stop"
    status: int = EXIT_GAVE_UP
    best_effort: bool = False
    best_effort_limit: int = 1024

    @property
    def wiring(self) -> tuple[bool, int]:
        """What the chains are wired by: only a restart of the daemon changes it."""
        return self.best_effort, self.best_effort_limit

    def __post_init__(self) -> None:
        _check_choice("on_error", self.on_error, ("dead-letter", "restart", "stop"))
        _check_choice("when_exhausted", self.when_exhausted, ("stop", "suspend"))
        _check_count("max_restarts", self.max_restarts, least=0)
        _check_seconds("period", self.period, least=0.001)
        _check_seconds("delay", self.delay, least=0)
        _check_seconds("max_delay", self.max_delay, least=0)
        _check_seconds("healthy_after", self.healthy_after, least=0)
        _check_seconds("budget", self.budget, least=0.001)
        if self.hard_limit is not None:
            _check_seconds("hard_limit", self.hard_limit, least=0.001)
        if not isinstance(self.best_effort, bool):  # a ValueError, as for every other value
            raise ValueError(  # noqa: TRY004
                f"best_effort is {self.best_effort!r}, but True or False is expected. The number"
                " of events is best_effort_limit."
            )
        _check_count("best_effort_limit", self.best_effort_limit, least=1)
        _check_count("status", self.status, least=0, most=255)
        _check_retry(self.retry)
        if self.wait is not None and not callable(self.wait):
            raise ValueError(f"wait is {self.wait!r}, but a wait of tenacity's is expected.")


DEFAULT = Supervision()


def with_values(policy: Supervision, values: Mapping[str, Any]) -> Supervision:
    """Return a policy with some values replaced by those of a configuration.

    Args:
        policy: What the code declares.
        values: By the names of `Supervision`. A table `retry` replaces single values of a `Retry`,
            and a `delay` takes the place of a `wait`.

    Raises:
        ValueError: A value makes no sense.
    """
    replaced = dict(values)
    retry = replaced.get("retry")
    if isinstance(retry, Mapping):
        own = policy.retry if isinstance(policy.retry, Retry) else Retry()
        replaced["retry"] = dataclasses.replace(own, **retry)
    if "delay" in replaced:
        replaced.setdefault("wait", None)
    return dataclasses.replace(policy, **replaced)


def differs(one: Supervision, other: Supervision) -> bool:
    """Return True if two policies are different, as far as they can be compared."""
    return not all(
        same(getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(Supervision)
    )


def declared_by(component: Any, default: Supervision = DEFAULT) -> Any:
    """Return the policy that a component declares; `default`, if it declares none."""
    declared = getattr(component, "supervision", DEFAULT)
    return default if declared is DEFAULT else declared


# They end the daemon, or report its end.
NO_FAILURES = (RetryInterruptedError, ZenDaemonStopException, SystemExit, KeyboardInterrupt)
ON_PURPOSE = (RestartComponent, *NO_FAILURES)  # they are never tried again


class Verdict(enum.Enum):
    """What follows a failure, after the event that failed was dealt with."""

    GO_ON = enum.auto()
    RESTART = enum.auto()
    STOP = enum.auto()


class Supervisor:
    """The failures and restarts of one component.

    Args:
        policy: The component's policy.
        delay_of: Returns the wait before the n-th restart in a row, from 1, without its random
            part.
        chance: Returns a random number from 0 up to 1, for that part.
        is_over: Returns True if a `retry` of tenacity's own options, which is given, makes no
            further attempt after so many.

    Attributes:
        policy: As given; a reload may replace it. The counts go on.
        incarnation: How many times the component was set up, or is to be, from 1. Its owner counts.

    Thread: the component's; another may read `incarnation`.
    """

    def __init__(
        self,
        policy: Supervision,
        delay_of: Callable[[int], float],
        chance: Callable[[], float],
        is_over: Callable[[Mapping[str, Any], int], bool],
    ) -> None:
        self.policy = policy
        self._is_over = is_over
        self.incarnation = 1
        self._delay_of = delay_of
        self._chance = chance
        self._restarts: deque[float] = deque()  # times on the monotonic clock, within the period
        self._in_a_row = 0
        self._up_since: float | None = None

    def verdict(self, cause: BaseException) -> Verdict:
        """Return what follows an exception that the component has raised."""
        if isinstance(cause, RestartComponent) or self.policy.on_error == "restart":
            return Verdict.RESTART
        return Verdict.STOP if self.policy.on_error == "stop" else Verdict.GO_ON

    def may_retry(self, cause: BaseException) -> bool:
        """Return True if the policy's `retry` is for such exceptions."""
        retry = self.policy.retry
        if retry is None:
            return False
        on = retry.on if isinstance(retry, Retry) else (Exception,)
        return isinstance(cause, on) and not isinstance(cause, ON_PURPOSE)

    def may_try_again(self, attempts: int) -> bool:
        """Return True if an event may be tried again after so many attempts."""
        retry = self.policy.retry
        if isinstance(retry, Retry):
            return attempts < retry.attempts
        return retry is not None and not self._is_over(retry, attempts)

    def plan_restart(self, now: float) -> float | None:
        """Take a restart from the budget.

        Args:
            now: Seconds on the monotonic clock.

        Returns:
            The seconds until the restart. None: the budget is used up.
        """
        if self.restarts_left(now) <= 0:
            return None
        up_since, self._up_since = self._up_since, None
        if up_since is not None and now - up_since >= self.policy.healthy_after:
            self._in_a_row = 0
        self._restarts.append(now)
        self._in_a_row += 1
        return self._delay_of(self._in_a_row) * (1 - self._chance() / 2)

    def restarts_left(self, now: float) -> int:
        """Return how many restarts the budget still has."""
        while self._restarts and now - self._restarts[0] >= self.policy.period:
            self._restarts.popleft()
        return self.policy.max_restarts - len(self._restarts)

    def came_up(self, now: float) -> None:
        """Note that the present incarnation has been set up."""
        self._up_since = now
