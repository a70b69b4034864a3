"""A campaign: random daemons whose components fail in every way, in virtual time and on threads.

Constructors, setups, callbacks, timers, teardowns and `__repr__` fail; callbacks hang, end the
daemon, or ask for a restart; restarts are used up; options change in mid-flight, clocks jump,
signals come, and the daemon stops at any moment. Whatever happens: events are conserved and keep
their order, no two incarnations overlap, each token ends once and tells the truth, and no thread
or descriptor is left. See `mishaps` for what a seed does.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE
from tests.attack.mishaps import (
    ORDERINGS,
    Ledger,
    Plan,
    Program,
    complaints,
    not_acknowledged,
    program,
)
from zenactors.actors.component_messages import Change
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.clock import SystemClock
from zenactors.daemon.zendaemon import ZenDaemon
from zenactors.errors import ComponentStartError, ReloadError
from zenactors.testing._leaks import Watch
from zenactors.testing.faults import ClockJump, SteppedClock
from zenactors.testing.harness import Harness

SOAK = float(os.environ.get("ZENACTORS_SOAK_SECONDS", "2700"))
SEEDS = 20  # of one test
FEW, FEW_ON_THREADS = 40, 20  # of all short ones
MANY = 250  # of a long one: about half a minute
ROUNDS = math.ceil(SOAK / 30)
LONG = 200.0  # virtual seconds: far more than all the work needs
STOP_TIMEOUT = 1.5  # real seconds, where a component hangs
MOST_JUMPS = 0.05  # of the moments at which time passes


def complain(wrong: list[str], plan: Plan, how: str) -> None:
    again = f"python -m tests.attack.test_failing_components {how} {plan.seed} {plan.ordering}"
    assert not wrong, "\n".join([f"seed {plan.seed}; again: {again}", *wrong[:20]])


def start_in_vain(start: Callable[[], object], ledger: Ledger) -> list[str]:
    """Start a daemon of which a setup fails; return what is wrong then."""
    try:
        start()
    except ComponentStartError:
        return [*ledger.wrong, *(f"{who} was not torn down" for who in ledger.up)]
    return ["it starts, although a setup fails"]


# --- in virtual time ------------------------------------------------------------------------------


def run_in_virtual_time(plan: Plan) -> None:
    ledger = Ledger(plan)
    made = program(plan, ledger, lambda _: gate.wait())
    what: Any = made.components
    serves = plan.rng.random() < 0.3 and not plan.start_fails
    if serves:
        what = ZenDaemon(name="daemon", components=made.components, ordering=plan.ordering)
        what.schedule_after = [(3600.0, "send", None)]  # so that it does not end by itself
    jumps = [
        ClockJump(point="time", chance=MOST_JUMPS, seconds=seconds) for seconds in (-1e5, 0.5, 1e5)
    ]
    harness = Harness(
        what,
        seed=plan.seed,
        ordering=plan.ordering,
        files={},
        faults=jumps if plan.clock_jumps and not serves else (),
    )
    gate = harness._runtime.event()
    if plan.start_fails:
        with contextlib.closing(harness):
            complain(start_in_vain(harness.start, ledger), plan, "virtual")
        return
    with harness:
        moment = plan.early if plan.ending != "idle" else LONG
        for _ in range(0 if serves else plan.reloads):
            harness.advance(step := plan.rng.random() * min(moment, 0.02) / plan.reloads)
            moment -= step
            harness.spawn(lambda: reload(harness._dispatcher, made, plan))
        if serves:
            disturb(harness, plan)
        harness.advance(moment)
        dispatcher = harness._dispatcher
        idle = plan.ending == "idle" and not dispatcher.halted and not dispatcher.readiness()
        imbalance = dispatcher.accounting().imbalance()  # whatever is under way
        wrong = [imbalance] if imbalance else []
        if idle and (plan.is_limited or not ledger.hangs):
            wrong += not_acknowledged(dispatcher, ledger, made)
        if plan.wakes:
            gate.set()
            harness.advance(plan.rng.random() * 0.01)
        if serves or plan.ending != "hasty stop":
            harness.stop()
        else:
            harness._report = dispatcher.stop(drain=False)
        assert harness.report is not None
        wrong += complaints(dispatcher, ledger, made, harness.report)
        harness.dead_letters()
        harness.hook_failures()
    complain(wrong, plan, "virtual")


def disturb(harness: Harness, plan: Plan) -> None:
    for _ in range(plan.rng.randrange(3)):
        if harness.status is None:
            harness.signal(plan.rng.choice([signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]))
            harness.advance(0.001)


def reload(dispatcher: Dispatcher, made: Program, plan: Plan) -> None:
    names = plan.rng.sample(sorted(made.remakers), plan.rng.randrange(1, len(made.remakers) + 1))
    try:
        changes = {name: Change({}, {}, replacement=made.remakers[name]()) for name in names}
        dispatcher.reconfigure(changes, lambda: None)
    except (ReloadError, OSError):
        return  # a constructor or a setup has failed, or the daemon stops


@pytest.mark.parametrize("first", range(0, FEW, SEEDS))
def test_in_virtual_time(first: int) -> None:
    for seed in range(first, first + SEEDS):
        run_in_virtual_time(Plan(seed, ORDERINGS[seed % 3]))


# --- on real threads ------------------------------------------------------------------------------


def run_on_threads(plan: Plan) -> None:
    ledger, gate, watch = Ledger(plan), threading.Event(), Watch()
    made = program(plan, ledger, lambda _: gate.wait(DEADLINE))
    clock = SteppedClock(SystemClock())
    watch.begin()
    dispatcher = Dispatcher(
        made.components,
        ordering=plan.ordering,
        stop_timeout=STOP_TIMEOUT if plan.hangs else DEADLINE,
        clock=clock,
    )
    if plan.start_fails:
        wrong = start_in_vain(dispatcher.start, ledger)
        complain([*wrong, *map(str, watch.end())], plan, "threads")
        return
    dispatcher.start()
    ends = plan.ending == "idle" and not plan.hangs and not plan.suspends
    wrong = []
    for _ in range(0 if plan.hangs else plan.reloads):  # one waits for what hangs
        dispatcher.wait_for_end(plan.early / plan.reloads)
        if plan.clock_jumps:
            clock.step(plan.rng.choice([-1e5, 0.5, 1e5]))
        reload(dispatcher, made, plan)
    if not dispatcher.wait_for_end(DEADLINE if ends else plan.early) and ends:
        wrong.append(f"it does not become idle: {dispatcher.counts()}")
    if ends and dispatcher.ended_by is None and not dispatcher.halted:
        wrong += not_acknowledged(dispatcher, ledger, made)
    report = dispatcher.stop(drain=plan.ending != "hasty stop")
    wrong += complaints(dispatcher, ledger, made, report)
    gate.set()
    wrong += [f"left behind: {thing}" for thing in watch.end()]
    complain(wrong, plan, "threads")


@pytest.mark.parametrize("first", range(0, FEW_ON_THREADS, 10))
def test_on_real_threads(first: int) -> None:
    for seed in range(first, first + 10):
        run_on_threads(Plan(seed, ORDERINGS[seed % 3], opens_pipes=True))


# --- for long -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, ROUNDS * MANY, MANY))
def test_for_long(first: int) -> None:
    for seed in range(first, first + MANY):
        run_in_virtual_time(Plan(seed, ORDERINGS[seed % 3]))
        if seed % 10 == 0:
            run_on_threads(Plan(seed, ORDERINGS[seed % 3], opens_pipes=True))


def main() -> None:
    where, seed, ordering = sys.argv[1:]
    if where == "virtual":
        run_in_virtual_time(Plan(int(seed), ordering))  # type: ignore[arg-type] # one of them
    else:
        run_on_threads(Plan(int(seed), ordering, opens_pipes=True))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
