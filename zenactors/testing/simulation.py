"""Simulation: run the same daemon many times, each time with another random seed."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from zenactors.core.clock import VirtualClock
from zenactors.core.dispatch_state import Ordering
from zenactors.core.policy import EventPolicy
from zenactors.core.supervision import Supervision
from zenactors.core.text import format_error
from zenactors.daemon.zendaemon import ZenDaemon
from zenactors.errors import (
    EXIT_DATA_ERROR,
    EXIT_OK,
    EXIT_START_FAILED,
    ComponentStartError,
    did_you_mean,
)
from zenactors.testing._trace.diagram import draw
from zenactors.testing._trace.trace import SHOWN, stable_error
from zenactors.testing.crashes import crashes_by_chance
from zenactors.testing.faults import Crash, Fault, InjectedCrash, Kill, ProcessCrashed
from zenactors.testing.files import VirtualFiles
from zenactors.testing.harness import INTERRUPT, Harness

if TYPE_CHECKING:
    from zenactors.actors.shutdown import StopReport

SEED_VARIABLE = "ZENACTORS_SEED"
DRAWN = 40  # rows of a failure's picture
MAX_LIVES = 100  # starts of a process that dies again and again


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """A daemon to simulate, the world around it, and the checks of its results.

    Args:
        build: Returns new components, or a new `ZenDaemon`, at every call. Runs must share
            nothing.
        drive: Plays the world outside: called with the started `Harness`, as another thread.
            None: the daemon runs until it ends by itself, or for `seconds`.
        check: Called with the `Harness` after the stop; raises if something is wrong.
        files: Contents by path of files that the stock components read; a path that ends in / is
            a directory. Nothing is written to the disk.
        from_disk: Copy other files from the disk when they are first used. False: there are none,
            and the files have the virtual time.
        faults: Faults on purpose. An event that died of an `InjectedCrash` is no failure.
        seconds: Virtual seconds to run, if there is no `drive`.
        status: The exit status that a `ZenDaemon` must end with.
        ordering: As for `Dispatcher`; a `ZenDaemon` has its own.
        policy: As for `Dispatcher`.
        supervision: As for `Dispatcher`; a `ZenDaemon` has its own.
        config: As for `Dispatcher`.
        exit_when_idle: As for `Dispatcher`.
        state_dir: As for `Dispatcher`.
        dead_letter_file: As for `Dispatcher`, but among the files of the run.
        interrupt: The probability that a callback is interrupted in the middle.
        kills: How many times, at most, the process is killed and started again, at moments that
            the seed chooses. Each start calls `build` and `drive`; `check` is called once, after
            the last. The files are as the crash left them.
        power_failures: As `kills`, but what was not synced is kept, torn or lost.
    """

    build: Callable[[], Sequence[Any] | ZenDaemon]
    drive: Callable[[Harness], object] | None = None
    check: Callable[[Harness], object] | None = None
    files: Mapping[str, str | bytes] = dataclasses.field(default_factory=dict)
    from_disk: bool = True
    faults: Sequence[Fault] = ()
    seconds: float = 3600.0
    status: int = EXIT_OK
    ordering: Ordering = "component"
    policy: EventPolicy | None = None
    supervision: Supervision | None = None
    config: Mapping[str, Any] | None = None
    exit_when_idle: bool = False
    state_dir: str | None = None
    dead_letter_file: str | None = None
    interrupt: float = INTERRUPT
    kills: int = 0
    power_failures: int = 0


class SimulationFailure(AssertionError):  # noqa: N818 - the failure of a test
    """A run that failed.

    Attributes:
        seed: The seed.
        harness: The run, closed; its `trace` shows everything that happened.
        reason: The cause in one line.
        replay: The command that repeats the run; empty if there is none.
        death: The situation when a callback raised, if that was the cause; else None.
    """

    def __init__(
        self,
        seed: int,
        harness: Harness,
        reason: str,
        replay: str,
        root: BaseException | None = None,
    ) -> None:
        self.seed = seed
        self.death = next((each for each in harness.trace.deaths if each.cause is root), None)
        self.harness = harness
        self.reason = reason
        self.replay = replay
        super().__init__(seed, reason)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.reason}"]
        if self.replay:
            lines.append(f"Run it again: {self.replay}")
        lines += self.picture()
        return "\n".join(lines)

    def picture(self) -> list[str]:
        """Return paragraphs: where the last events are, and a picture of what happened."""
        trace = self.harness.trace
        if self.death is None:
            head = f"The end of {trace.count} things that happened:"
            return [self.harness.situation(), head, draw(list(trace.entries), rows=DRAWN)]
        return [
            f"The last {SHOWN} events when it raised:\n{self.death.events}",
            "What happened before:",
            draw(self.death.entries, rows=DRAWN),
        ]


class CheckFailed(Exception):  # noqa: N818 - a finding, not an error of the program
    """A check failed that has no exception of its own."""


def simulate(
    build: Scenario | Callable[[], Sequence[Any] | ZenDaemon],
    *,
    seed: int,
    replay: str = "",
    keep: bool = False,
    sink: Callable[[str], object] | None = None,
    **options: Any,
) -> Harness:
    """Run a scenario once with a seed.

    If the process dies, by a fault or by chance, it is started again: `build` and `drive` are
    called once more, and so on until a start comes to its end.

    It fails if `drive` or `check` raises; if an event dies, but not of an injected crash, and
    `drive` or `check` does not read `dead_letters()`; if a component hangs; if an event is lost
    or counted twice; or if a daemon ends with the wrong status.

    Args:
        build: The scenario; or its `build`, with its other arguments as `options`.
        seed: Chooses everything that differs from run to run on real threads. The same seed
            gives the same trace, byte for byte, in every process.
        replay: The command that repeats the run, shown with a failure.
        keep: Remember the whole trace, not only its end.
        sink: Called with each line of the trace.
        options: Arguments of `Scenario`.

    Returns:
        The harness of the last start, closed; its `trace` shows everything that happened.

    Raises:
        SimulationFailure: The run failed.

    Thread: the calling one does everything.
    """
    __tracebackhide__ = True
    scenario = _scenario(build, options)
    clock = VirtualClock()
    files = VirtualFiles(from_disk=scenario.from_disk, clock=None if scenario.from_disk else clock)
    for path, content in scenario.files.items():
        if path.endswith("/"):
            files.mkdir(path)
        else:
            files.put(path, content)
    harness = Harness(
        scenario.build(),
        seed=seed,
        ordering=scenario.ordering,
        policy=scenario.policy,
        supervision=scenario.supervision,
        config=scenario.config,
        exit_when_idle=scenario.exit_when_idle,
        state_dir=scenario.state_dir,
        dead_letter_file=scenario.dead_letter_file,
        clock=clock,
        files=files,
        faults=[*scenario.faults, *_crashes(scenario, seed)],
        interrupt=scenario.interrupt,
        keep=keep,
        sink=sink,
    )
    try:
        while not _survives(scenario, harness):
            harness = harness.next_life(scenario.build())
    except _failures() as cause:
        reason = str(cause) if isinstance(cause, CheckFailed) else format_error(cause)
        first = reason.splitlines()[0] if reason else type(cause).__name__
        root = cause.__cause__ if isinstance(cause, CheckFailed) else cause
        raise SimulationFailure(seed, harness, first, replay or _replay(seed), root) from cause
    finally:
        harness.close()
    return harness


def explore(
    build: Scenario | Callable[[], Sequence[Any] | ZenDaemon],
    *,
    seeds: Iterable[int],
    **options: Any,
) -> int:
    """Run a scenario with many seeds, up to the first that fails.

    The environment variable `ZENACTORS_SEED` replaces the seeds by one, to repeat a test's failure
    without changing the test.

    Args:
        build: As for `simulate`.
        seeds: The seeds.
        options: Arguments of `Scenario`.

    Returns:
        The number of seeds run.

    Raises:
        SimulationFailure: A seed failed. The others are not run.
    """
    __tracebackhide__ = True
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be several, such as range(1000), not {seeds!r}.")
    done = 0
    for seed in _only_seed() or seeds:
        simulate(build, seed=seed, **options)
        done += 1
    if not done:
        raise ValueError("There are no seeds to run: give seeds=range(1000).")
    return done


def _scenario(
    build: Scenario | Callable[[], Sequence[Any] | ZenDaemon], options: dict[str, Any]
) -> Scenario:
    known = [field.name for field in dataclasses.fields(Scenario)]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known) or f"; it has {', '.join(known)}"
            raise TypeError(f"A scenario has no option {option!r}{hint}")
    if isinstance(build, Scenario):
        return dataclasses.replace(build, **options)
    return Scenario(build=build, **options)


def _only_seed() -> list[int]:
    only = os.environ.get(SEED_VARIABLE, "")
    if not only:
        return []
    if not only.isdecimal():
        raise ValueError(f"{SEED_VARIABLE} must be a whole number, not {only!r}.")
    return [int(only)]


def _crashes(scenario: Scenario, seed: int) -> list[Kill]:
    chance = Random(f"{seed}:crashes")  # noqa: S311 - to be repeated
    return crashes_by_chance(scenario.kills, scenario.power_failures, chance)


def _survives(scenario: Scenario, harness: Harness) -> bool:
    """Run the program from a start to its end. Return False if the process has died."""
    __tracebackhide__ = True
    try:
        _run(scenario, harness)
    except ProcessCrashed as crash:
        if len(harness.lives) < MAX_LIVES:
            return False
        raise CheckFailed(f"the process has died {MAX_LIVES} times, last of a {crash}") from None
    return True


def _run(scenario: Scenario, harness: Harness) -> None:
    __tracebackhide__ = True
    try:
        harness.start()
    except ComponentStartError as cause:
        if _is_injected(cause.__cause__, scenario):
            return  # the fault was to make the start fail
        raise
    if harness.status is None:
        if scenario.drive is None:
            harness.run(scenario.seconds)
        else:
            scenario.drive(harness)
    report = harness.stop()
    if harness.status == EXIT_START_FAILED and _start_crashed(scenario, harness):
        return  # the fault was to make the start fail
    _check(scenario, harness, report)


def _check(scenario: Scenario, harness: Harness, report: StopReport) -> None:
    __tracebackhide__ = True
    if scenario.check is not None:
        try:
            scenario.check(harness)
        except _failures():
            _check_dead_letters(scenario, harness)  # may be the cause of what the check found
            raise
    _check_dead_letters(scenario, harness)
    for failure in harness.unread_hook_failures():
        if not _is_injected(failure.cause, scenario):
            raise CheckFailed(
                f"{failure.hook} of {failure.component} raised {stable_error(failure.cause)}"
            ) from failure.cause
    if report.stuck:
        raise CheckFailed(f"did not stop: {', '.join(report.stuck)}")
    if report.timed_out and harness.status is None:  # a daemon's status shows it
        raise CheckFailed(f"did not come to an end: {report.left} events were not handled")
    if problem := harness.accounting().imbalance():
        raise CheckFailed(problem)
    expected = (None, scenario.status, *_WITH_DEAD_LETTERS.get(scenario.status, ()))
    if harness.status not in expected and not _ended_by_crash(scenario, harness):
        errors = [each.message for each in harness.logs if each.level in ("ERROR", "CRITICAL")]
        why = f": {errors[-1]}" if errors else ""
        raise CheckFailed(
            f"the daemon ended with status {harness.status}, not {scenario.status}{why}"
        )


_WITH_DEAD_LETTERS = {EXIT_OK: (EXIT_DATA_ERROR,)}  # the letters themselves were checked before


def _check_dead_letters(scenario: Scenario, harness: Harness) -> None:
    for letter in harness.unread_dead_letters():
        if not _is_injected(letter.cause, scenario):
            failure = CheckFailed(
                f"event {letter.event!r} died in {letter.component}: {stable_error(letter.cause)}"
            )
            failure.add_note(letter.traceback)
            raise failure from letter.cause


def _ended_by_crash(scenario: Scenario, harness: Harness) -> bool:
    """Return True if an injected crash has ended a daemon, by the policy of a component."""
    return _is_injected(harness.ended_by, scenario)


def _start_crashed(scenario: Scenario, harness: Harness) -> bool:
    return any(fault.point == "setup" for fault in scenario.faults) or any(
        letter.event == "start" and _is_injected(letter.cause, scenario)
        for letter in harness.unread_dead_letters()
    )


def _is_injected(cause: BaseException | None, scenario: Scenario) -> bool:
    if isinstance(cause, InjectedCrash):
        return True
    errors = [fault.error for fault in scenario.faults if isinstance(fault, Crash)]
    return any(
        cause is error or (isinstance(error, type) and type(cause) is error) for error in errors
    )


def _failures() -> tuple[type[BaseException], ...]:
    """Return the exceptions of a failing test. Those of pytest.fail() are no `Exception`."""
    pytest = sys.modules.get("pytest")
    return (Exception,) if pytest is None else (Exception, pytest.fail.Exception)


def _replay(seed: int) -> str:
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if not test:
        return ""
    path, colons, inside = test.partition("::")  # relative to pytest's root, which may be above
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / path).exists():
            path = os.path.relpath(directory / path, here)
            break
    return f"{SEED_VARIABLE}={seed} python -m pytest {shlex.quote(path + colons + inside)}"
