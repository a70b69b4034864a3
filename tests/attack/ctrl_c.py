"""Attacks: Ctrl-C on a program that embeds a dispatcher, at any moment.

Each round forks a program, so that it has a main thread of its own, and one that hangs can be
counted. The signals are real.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import os
import random
import select
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.actors.fakes import Fake
from tests.attack.checks import PATIENCE, unbalanced, within
from zenactors.actors.dispatcher import Dispatcher
from zenactors.errors import QueueFullError

STOP_TIMEOUT = 2.0  # seconds
GRACE = 4.0  # seconds that a slow machine may add
LONGEST_DELAY = 0.01  # seconds from the start of the block to the signal
LATER = 3600.0  # seconds
MOMENT = 0.001  # seconds
MOST_FAILURES = 3  # each may cost all time-outs

READY, LEFT = b"r", b"l"  # what a program writes: its block begins; its block was left


class Returned:
    """How many events the calls that returned have scheduled, and cancelled."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.scheduled: Counter[str] = Counter()
        self.doubtful = 0  # cancels that did not return

    def schedule(self, event: str = "x") -> Any:
        handle = self.dispatcher.queue.schedule(event)
        self.scheduled[event] += 1
        return handle

    def schedule_after(self, delay: float, event: str = "x") -> Any:
        handle = self.dispatcher.queue.schedule_after(delay, event)
        self.scheduled[event] += 1
        return handle

    def cancel(self, handle: Any) -> None:
        self.doubtful += 1
        self.scheduled[handle.event] -= handle.cancel()
        self.doubtful -= 1


Body = Callable[[Returned, int], object]


def _look(returned: Returned, number: int) -> None:
    returned.schedule()
    dispatcher = returned.dispatcher
    (dispatcher.queue.ahead, dispatcher.queue.count, dispatcher.counts)[number % 3]()


def _schedule_both(returned: Returned, number: int) -> None:
    returned.schedule("xy"[number % 2])


def _schedule_within_a_limit(returned: Returned, number: int) -> None:
    with contextlib.suppress(QueueFullError):
        returned.schedule()


def _drain(returned: Returned, number: int) -> None:
    returned.schedule()
    returned.dispatcher.drain(MOMENT)


def _cancel(returned: Returned, number: int) -> None:
    returned.cancel(returned.schedule_after(LATER) if number % 2 else returned.schedule("y"))


def _schedule_after(returned: Returned, number: int) -> None:
    returned.schedule_after((number % 3) * MOMENT)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A program's loop, and the options of its dispatcher."""

    body: Body
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


VARIANTS = {
    "schedule": Variant(_schedule_both),
    "look": Variant(_look),
    "block": Variant(_schedule_within_a_limit, {"queue_limit": 5, "queue_full": "block"}),
    "refuse": Variant(_schedule_within_a_limit, {"queue_limit": 5, "queue_full": "raise"}),
    "drain": Variant(_drain),
    "cancel": Variant(_cancel),
    "schedule_after": Variant(_schedule_after),
}


def interrupt_programs(
    variant: str, *, rounds: int, seed: int, signals: int = 1, during: str = "body"
) -> dict[str, Any]:
    """Run a program for each round, and interrupt it. Return what went wrong, and the times.

    Args:
        variant: The program's loop.
        rounds: How many programs.
        seed: Decides the moments.
        signals: How many signals each gets, one soon after the other.
        during: `"body"`: the block has begun; `"start"`: it may still be starting.
    """
    # A forked process would wait for the thread behind it. Every wait here has a time-out.
    faulthandler.cancel_dump_traceback_later()
    rng = random.Random(seed)
    failures: list[str] = []
    seconds: list[float] = []
    for number in range(rounds):
        delays = [rng.uniform(0.0, LONGEST_DELAY) for _ in range(signals)]
        failure, took = _one_round(variant, delays, during)
        seconds.append(took)
        if failure:
            failures.append(f"round {number}: {failure}")
        if len(failures) == MOST_FAILURES:
            break
    return {"broken": failures, "struck": len(seconds), "slowest": max(seconds)}


def _one_round(variant: str, delays: list[float], during: str) -> tuple[str, float]:
    reader, writer = os.pipe()
    with tempfile.TemporaryFile("w+") as output:
        pid = os.fork()
        if pid == 0:
            raise SystemExit(_be_the_program(variant, writer, output, during))
        os.close(writer)
        result = _interrupt(pid, reader, output, delays)
        os.close(reader)
        return result


def _interrupt(pid: int, reader: int, output: Any, delays: list[float]) -> tuple[str, float]:
    if select.select([reader], [], [], STOP_TIMEOUT + GRACE)[0]:
        os.read(reader, 1)  # it is ready
    for delay in delays:
        if not select.select([reader], [], [], delay)[0]:
            os.kill(pid, signal.SIGINT)
    begin = time.monotonic()
    hung_in = ""
    with open(os.pidfd_open(pid), "rb") as its_end:  # noqa: PTH123 - a descriptor
        if not select.select([reader], [], [], STOP_TIMEOUT + GRACE)[0]:
            hung_in = "the block"
        took = time.monotonic() - begin
        if not hung_in and not select.select([its_end], [], [], STOP_TIMEOUT + GRACE)[0]:
            hung_in = "what follows the block"
        if hung_in:
            os.kill(pid, signal.SIGABRT)  # it writes its stacks
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    output.seek(0)
    text = output.read()[-6000:]
    if hung_in:
        return f"it hung in {hung_in}:\n{text}", took
    return (f"status {status}:\n{text}" if status != 0 else ""), took


def _be_the_program(variant: str, writer: int, output: Any, during: str) -> int:
    """Run the program in the forked process, and return its exit status."""
    faulthandler.enable(output)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output.fileno(), 2)
    try:
        _program(VARIANTS[variant], writer, during)
    except Exception:
        traceback.print_exc(file=output)
        output.flush()
        return 1
    return 0


def _program(variant: Variant, writer: int, during: str) -> None:
    components = [Fake({"x": None, "y": None}), Fake({"x": None}, name="second")]
    dispatcher = Dispatcher(components, stop_timeout=STOP_TIMEOUT, **variant.options)
    returned = Returned(dispatcher)

    def block() -> None:
        if during == "start":
            os.write(writer, READY)
        with dispatcher:
            if during == "body":
                os.write(writer, READY)
            number = 0
            while True:
                number += 1
                variant.body(returned, number)

    try:
        try:
            block()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # the second one, a moment after the first has left the block
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(writer, LEFT)
    within(STOP_TIMEOUT + PATIENCE, dispatcher.stop)
    _assert_all_is_accounted_for(returned)


def _assert_all_is_accounted_for(returned: Returned) -> None:
    dispatcher = returned.dispatcher
    wrong = within(PATIENCE, unbalanced, dispatcher)
    assert not wrong, wrong
    counts = within(PATIENCE, dispatcher.counts)
    for event, scheduled in returned.scheduled.items():
        accepted = counts[event].accepted - counts[event].cancelled
        least = scheduled - returned.doubtful  # the call that was interrupted may have scheduled
        assert least <= accepted <= scheduled + 1, (event, scheduled, accepted, returned.doubtful)
