"""Attacks: hundreds of timed events that schedule themselves again, while everything stops."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from tests.attack.checks import PATIENCE, unbalanced, within
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent

TIMERS = 300
PERIOD = 0.02  # seconds
DRAIN = 20.0  # seconds
STOP_TIMEOUT = 20.0  # seconds
LONGEST_RUN = 0.05  # seconds
MOST_FAILURES = 5


class Timers(ZenDaemonComponent):
    """Timers that do not end before the daemon does."""

    def __init__(self) -> None:
        super().__init__(name="timers")
        self.torn_down = threading.Event()

    @handles("tick")
    def cbk_event_tick(self, daemon: Any, args: Any) -> None:
        if not daemon.is_done():
            daemon.queue.schedule_after(PERIOD, "tick", args)

    def teardown(self, daemon: Any) -> None:
        self.torn_down.set()


def drain_and_stop(*, rounds: int, drains: int, seed: int, seconds: float) -> dict[str, Any]:
    """Drain, and stop gracefully, at random moments. List the wrong answers.

    Args:
        rounds: How many dispatchers; fewer if the time is over before.
        drains: How many drains of each.
        seed: Decides the moments.
        seconds: How long it may take.
    """
    end = time.monotonic() + seconds
    rng = random.Random(seed)
    pause = threading.Event()
    broken: list[str] = []
    struck = 0
    for number in range(rounds):
        timers = Timers()
        with Dispatcher([timers], stop_timeout=STOP_TIMEOUT) as dispatcher:
            for timer in range(TIMERS):
                dispatcher.queue.schedule_after(rng.random() * PERIOD, "tick", timer)
            for _ in range(drains):
                struck += 1
                broken += _drain(dispatcher)
            pause.wait(rng.random() * LONGEST_RUN)
            broken += [f"round {number}: {each}" for each in _stop(dispatcher, timers)]
        if len(broken) >= MOST_FAILURES or time.monotonic() > end:
            break
    pause.set()
    return {"broken": broken, "struck": struck}


def _drain(dispatcher: Dispatcher) -> list[str]:
    begin = time.monotonic()
    drained = within(DRAIN + PATIENCE, dispatcher.drain, DRAIN)
    took = time.monotonic() - begin
    return [] if drained or took >= DRAIN else [f"drain({DRAIN}) is False after {took:.3f} s"]


def _stop(dispatcher: Dispatcher, timers: Timers) -> list[str]:
    begin = time.monotonic()
    report = within(STOP_TIMEOUT + PATIENCE, dispatcher.stop)
    took = time.monotonic() - begin
    wrong = []
    if took < STOP_TIMEOUT / 2 and (report.timed_out or report.stuck or not report.drained):
        wrong.append(f"after {took:.3f} s: {report}")
    if not timers.torn_down.is_set():
        wrong.append("not torn down")
    return wrong + unbalanced(dispatcher)
