"""Run what SPEC describes in virtual time, again and again, each time as another seed chooses.

Usage:
  zenactors simulate [options] SPEC
  zenactors simulate (-h | --help)

SPEC is the path of a TOML file, or package.module:attribute, which is a Scenario, a
ZenDaemon, a subclass of it, or a function without arguments that returns components, a
ZenDaemon or a Scenario. It ends at the first seed that fails, and shows what happened.

Options:
  --app-dir DIR     Where modules are looked for first; default: the current folder.
  --exit-when-idle  Let each run end when all input is read and worked off.
  --seeds N         Run so many seeds; default: 100.
  --from SEED       The first of them; default: 0.
  --seed SEED       Run this one only, and show what happens, whether it fails or not.
  --for SECONDS     Virtual seconds that a run without a drive may last; default: 3600.
  --trace FILE      Write all that happens in the run that fails, else in the last one, a
                    line each, instead of what FILE holds. - is standard output.
  --crash P         Let each callback fail with probability P, from 0 to 1.
  --delay P         Let each callback take a second longer with probability P.
  --interrupt P     Interrupt each callback in its middle with probability P; default: 0.1.
  -h, --help        Show this help.

Files are read from the disk, but what is written stays in memory. Ctrl-C ends it at once.
Status 0: no seed fails. 1: one does. 75: left before all were run. 78: SPEC is wrong, or
the extra is missing: pip install 'zenactors[test]'.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.cli.logs import set_up_logs
from zenactors.cli.output import console, write
from zenactors.daemon.command_line import UsageError
from zenactors.errors import EXIT_FAILURE, EXIT_FORCED_STOP, EXIT_OK, ConfigurationError

if TYPE_CHECKING:
    from types import FrameType

    from zenactors.core.clock import Clock
    from zenactors.testing import Harness, Scenario, SimulationFailure

SEEDS = 100
ROWS = 40  # of the picture that the first failure shows
ROWS_OF_ONE = 400  # the same, if one seed was asked for
REFRESH = 0.1  # seconds between two looks of the progress bar

_OPTIONS_THAT_MATTER = ("--app-dir", "--for", "--crash", "--delay", "--interrupt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says, checked.

    Attributes:
        spec: What is run.
        app_dir: Where modules are looked for first.
        seeds: The seeds, in order.
        one: One seed was asked for by its number.
        seconds: Virtual seconds; None: as the scenario says.
        crash: How probable it is that a callback fails.
        delay: How probable it is that one takes longer.
        interrupt: How probable it is that one is interrupted; None: as the scenario says.
        exit_when_idle: Let each run end when there is nothing more to read.
        trace: The file for the trace.
        replay: The command that runs a seed again, without the seed.
    """

    spec: str
    app_dir: Path
    seeds: range
    one: bool
    seconds: float | None
    crash: float
    delay: float
    interrupt: float | None
    exit_when_idle: bool
    trace: str | None
    replay: Sequence[str]

    def replay_of(self, seed: int) -> str:
        """Return the command that runs a seed again, for a shell."""
        spec = ["--", self.spec] if self.spec.startswith("-") else [self.spec]
        return shlex.join([*self.replay, "--seed", str(seed), *spec])


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    options = _read(arguments)
    # The harness collects what is logged; nothing of it is to reach the terminal.
    set_up_logs("INFO")
    from loguru import logger  # noqa: PLC0415 - slow to import; --help is to be fast

    logger.remove()
    _need_the_extra()
    from zenactors.core.clock import SystemClock  # noqa: PLC0415

    scenario = _scenario(options)
    trace = _Trace(options.trace)
    exploration = _Exploration(options, scenario, trace, SystemClock())
    with _stopping_at_once(), _progress(exploration):
        exploration.run()
    trace.write()
    _tell("".join(f"{line}\n" for line in _report(exploration)), aside=options.trace == "-")
    if exploration.failure is not None:
        return EXIT_FAILURE
    return EXIT_OK if exploration.complete else EXIT_FORCED_STOP


def _need_the_extra() -> None:
    try:
        import zenactors.testing._simulator.hub  # noqa: F401, PLC0415
    except ModuleNotFoundError as cause:
        if cause.name != "greenlet":
            raise
        raise ConfigurationError(
            "zenactors simulate needs the extra: pip install 'zenactors[test]'"
        ) from cause


# --- the command line -------------------------------------------------------------------------


def _read(arguments: dict[str, Any]) -> Options:
    only, first, count = (arguments[name] for name in ("--seed", "--from", "--seeds"))
    if only is not None and (first is not None or count is not None):
        other = "--seeds" if first is None else "--from"
        raise UsageError(f"--seed runs one seed only; leave out {other}", __doc__)
    begin = _whole("--seed" if only else "--from", only or first or "0", 0)
    number = 1 if only is not None else _whole("--seeds", count or str(SEEDS), 1)
    for name in ("--app-dir", "--trace", "SPEC"):
        if arguments[name] == "":
            raise UsageError(f"{name} is empty; give a path", __doc__)
    chances = {
        name: None if arguments[name] is None else _probability(name, arguments[name])
        for name in ("--crash", "--delay", "--interrupt")
    }
    seconds = arguments["--for"]
    return Options(
        spec=arguments["SPEC"],
        app_dir=Path(arguments["--app-dir"] or "."),
        seeds=range(begin, begin + number),
        one=only is not None,
        seconds=None if seconds is None else _seconds("--for", seconds),
        crash=chances["--crash"] or 0.0,
        delay=chances["--delay"] or 0.0,
        interrupt=chances["--interrupt"],
        exit_when_idle=arguments["--exit-when-idle"],
        trace=arguments["--trace"],
        replay=_replay(arguments),
    )


def _whole(option: str, text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"{option} must be a whole number from {least} up, not {text!r}", __doc__)
    return number


def _seconds(option: str, text: str) -> float:
    seconds = _number(text)
    if not 0 < seconds < math.inf:
        raise UsageError(f"{option} must be a number of seconds above 0, not {text!r}", __doc__)
    return seconds


def _probability(option: str, text: str) -> float:
    chance = _number(text)
    if not 0 <= chance <= 1:
        raise UsageError(f"{option} must be a probability from 0 to 1, not {text!r}", __doc__)
    return chance


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _replay(arguments: dict[str, Any]) -> list[str]:
    started_as_module = Path(sys.argv[0]).parts[-2:] == ("zenactors", "__main__.py")
    words = [sys.executable, "-m", "zenactors"] if started_as_module else ["zenactors"]
    words.append("simulate")
    for option in _OPTIONS_THAT_MATTER:
        value = arguments[option]
        if value is not None:
            words += [f"{option}={value}"] if value.startswith("-") else [option, value]
    if arguments["--exit-when-idle"]:
        words.append("--exit-when-idle")
    return words


def _scenario(options: Options) -> Scenario:
    from zenactors.cli.scenarios import Source  # noqa: PLC0415
    from zenactors.testing import Crash, Delay  # noqa: PLC0415

    source = Source(options.spec, options.app_dir)
    scenario = source.scenario(exit_when_idle=options.exit_when_idle)
    faults = list(scenario.faults)
    if options.crash:
        faults.append(Crash(chance=options.crash))
    if options.delay:
        faults.append(Delay(chance=options.delay, seconds=1.0))
    changes: dict[str, Any] = {"faults": faults}
    if options.seconds is not None:
        changes["seconds"] = options.seconds
    if options.interrupt is not None:
        changes["interrupt"] = options.interrupt
    return dataclasses.replace(scenario, **changes)


# --- running ----------------------------------------------------------------------------------


class _Trace:
    """The lines of the run under way, and the file that they are for."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._lines: list[str] = []
        self.sink = None if path is None else self._lines.append
        if path is not None and path != "-":
            self._write_file(path)  # if it cannot be written, say so before the work is done

    def begin(self) -> None:
        """Forget what there is: another run begins."""
        self._lines.clear()

    def write(self) -> None:
        """Write the lines of the last run."""
        if self._path == "-":
            from zenactors.cli.failures import fit  # noqa: PLC0415

            write(fit("".join(f"{line}\n" for line in self._lines)))
        elif self._path is not None:
            self._write_file(self._path)

    def _write_file(self, path: str) -> None:
        text = "".join(f"{line}\n" for line in self._lines)
        try:
            Path(path).write_bytes(text.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError) as cause:
            reason = getattr(cause, "strerror", None) or str(cause)
            raise ConfigurationError(f"--trace {path!r} cannot be written: {reason}") from cause


class _Exploration:
    """Run one seed after the other, up to the first that fails.

    Attributes:
        done: How many were run.
        seed: The one that runs, or ran last.
        failure: What went wrong.
        last: The last run that did not fail.
        complete: True if all seeds were run.
        seconds: Real seconds that it took.
        progress: Called after each run.
    """

    def __init__(self, options: Options, scenario: Scenario, trace: _Trace, clock: Clock) -> None:
        self.options = options
        self.done = 0
        self.seed = options.seeds[0]
        self.failure: SimulationFailure | None = None
        self.last: Harness | None = None
        self.complete = False
        self.seconds = 0.0
        self.progress: Callable[[], object] = _nothing
        self._scenario = scenario
        self._trace = trace
        self._clock = clock
        self._begun = clock.monotonic()

    def run(self) -> None:
        """Run the seeds."""
        from zenactors.testing import SimulationFailure, simulate  # noqa: PLC0415

        try:
            for seed in self.options.seeds:
                self.seed = seed
                self._trace.begin()
                self.last = simulate(
                    self._scenario,
                    seed=seed,
                    sink=self._trace.sink,
                    replay=self.options.replay_of(seed),
                )
                self._count()
            self.complete = True
        except SimulationFailure as failure:
            self.failure = failure
            self._count()
        except KeyboardInterrupt:
            pass  # as asked; what is known so far is told
        self.seconds = self._clock.monotonic() - self._begun

    def rate(self) -> float:
        """Return how many seeds a minute were run."""
        return self.done * 60 / max(self.seconds, 1e-6)

    def _count(self) -> None:
        self.done += 1
        self.seconds = self._clock.monotonic() - self._begun
        self.progress()


def _nothing() -> None:
    pass


@contextmanager
def _stopping_at_once() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the runs, wherever one of them is.

    What runs in a callback must not be told: the engine would take it for an error of the callback.
    """
    from greenlet import getcurrent  # noqa: PLC0415

    outside = getcurrent()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if getcurrent() is not outside:
            outside.throw(KeyboardInterrupt)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(exploration: _Exploration) -> Iterator[None]:
    """Show how far it is, on standard error, if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty() or exploration.options.one:
        yield
        return
    from rich import progress  # noqa: PLC0415

    bar = progress.Progress(
        progress.TextColumn("seeds"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]:,.0f} a minute,"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("left"),
        console=console(sys.stderr),
        auto_refresh=False,  # by a thread, which could hold a lock when the signal comes
        transient=True,
    )
    shown = -REFRESH
    with bar:
        task = bar.add_task("seeds", total=len(exploration.options.seeds), rate=0.0)

        def show() -> None:
            nonlocal shown
            if exploration.seconds - shown >= REFRESH:
                shown = exploration.seconds
                bar.update(task, completed=exploration.done, rate=exploration.rate(), refresh=True)

        exploration.progress = show
        yield


# --- what is told -----------------------------------------------------------------------------


def _report(found: _Exploration) -> Iterator[str]:
    from zenactors.cli.failures import explain, picture  # noqa: PLC0415

    one, failure = found.options.one, found.failure
    if failure is not None:
        yield from explain(failure, ROWS_OF_ONE if one else ROWS)
        yield ""
    elif one and found.last is not None:
        yield from picture(found.last, ROWS_OF_ONE)
        yield ""
    seeds = "1 seed" if found.done == 1 else f"{found.done:,} seeds"
    how = f"{seeds} in {found.seconds:.1f} s ({found.rate():,.0f} a minute)"
    if failure is not None:
        yield f"{how}: seed {failure.seed} fails. Run it again:"
        yield failure.replay
    else:
        so_far = "" if found.complete else f" so far. It ended while seed {found.seed} ran"
        yield f"{how}: no failure{so_far}."


def _tell(text: str, *, aside: bool) -> None:
    """Write to standard output or, aside, to standard error."""
    from zenactors.cli.failures import fit  # noqa: PLC0415

    if not aside:
        write(fit(text))
    elif sys.stderr is not None:
        sys.stderr.write(text)
