"""Run SPEC many times in virtual time, each time with another random seed."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.cli.exploration import Exploration, TraceFile, show_progress, stopping_at_once
from zenactors.cli.logs import set_up_logs
from zenactors.cli.output import write
from zenactors.cli.simulated import need_the_extra, replay_command, replay_words, whole_number
from zenactors.daemon.command_line import UsageError, assignments_in
from zenactors.errors import EXIT_FAILURE, EXIT_FORCED_STOP, EXIT_OK

if TYPE_CHECKING:
    from zenactors.config.assignments import Assignment
    from zenactors.testing import Scenario

# Not a docstring, which `python -OO` drops.
USAGE = """\
Run SPEC many times in virtual time, each time with another random seed.

Usage:
  zenactors simulate [options] [--set KEY=VALUE]... SPEC
  zenactors simulate (-h | --help)

SPEC is the path of a TOML file, or package.module:attribute, which is a Scenario, a
ZenDaemon, a subclass of it, or a function without arguments that returns components, a
ZenDaemon or a Scenario. The first seed that fails ends the command, which shows what
happened.

Options:
  --app-dir DIR     First directory to search for modules; default: the current one.
  --set KEY=VALUE   Set one key, as for zenactors run; may be repeated. SPEC must
                    be a file, or build a ZenDaemon.
  --exit-when-idle  End each run when all input is read and handled.
  --seeds N         Number of seeds to run; default: 100.
  --from SEED       First seed; default: 0.
  --seed SEED       Run only this seed, and show what happens even if it does not fail.
  --for SECONDS     Virtual seconds of a run without a drive, at most; default: 3600.
  --trace FILE      Write everything that happens in the run that fails, or else in the
                    last run, one line each. Replaces FILE; - is standard output.
  --crash P         Let each callback fail with probability P, from 0 to 1.
  --delay P         Let each callback take a second longer with probability P.
  --kills N         Kill the process up to N times a run, at any moment, as kill -9 does, and
                    start it again with the files that are left; default: those of SPEC.
  --power-failures N
                    The same, but writes that were not synced are kept, torn or lost.
  --interrupt P     Interrupt each callback in the middle with probability P; default: 0.1.
  -h, --help        Show this help.

Files are read from the disk; written data stays in memory. Ctrl-C ends the command at once.
Status 0: no seed fails. 1: a seed fails. 75: interrupted before all seeds were run. 78: SPEC
is wrong, or the extra is missing: pip install 'zenactors[test]'.
"""

SEEDS = 100
ROWS = 40  # of the picture that the first failure shows
ROWS_OF_ONE = 400  # the same with --seed

_OPTIONS_THAT_MATTER = (
    "--app-dir",
    "--for",
    "--crash",
    "--delay",
    "--kills",
    "--power-failures",
    "--interrupt",
)
_FLAGS = ("--exit-when-idle",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line, checked.

    Attributes:
        spec: The SPEC.
        app_dir: The first directory to search for modules.
        assignments: Single values that take precedence over SPEC.
        seeds: The seeds, in order.
        one: True if --seed was given.
        seconds: Virtual seconds; None: those of the scenario.
        crash: The probability that a callback fails.
        delay: The probability that a callback takes longer.
        interrupt: The probability that a callback is interrupted; None: that of the scenario.
        kills: How many times the process is killed at most; None: as in the scenario.
        power_failures: How many times the power fails at most; None: as in the scenario.
        exit_when_idle: End each run when there is nothing more to read.
        trace: The file for the trace.
        replay: The command that repeats a run, without the seed.
    """

    spec: str
    app_dir: Path
    assignments: Sequence[Assignment]
    seeds: range
    one: bool
    seconds: float | None
    crash: float
    delay: float
    interrupt: float | None
    kills: int | None
    power_failures: int | None
    exit_when_idle: bool
    trace: str | None
    replay: Sequence[str]

    def replay_of(self, seed: int) -> str:
        """Return the command that repeats the run of a seed, for a shell."""
        return replay_command(self.replay, seed, self.spec)


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    options = _read(arguments)
    # The harness collects the log lines; none of them must reach the terminal.
    set_up_logs("INFO")
    from loguru import logger  # noqa: PLC0415 - slow to import; --help must be fast

    logger.remove()
    need_the_extra("simulate")
    from zenactors.core.clock import SystemClock  # noqa: PLC0415

    scenario = _scenario(options)
    trace = TraceFile(options.trace)
    exploration = Exploration(options.seeds, options.replay_of, scenario, trace, SystemClock())
    with stopping_at_once(), nullcontext() if options.one else show_progress(exploration):
        exploration.run()
    trace.write()
    _print(
        "".join(f"{line}\n" for line in _report(exploration, one=options.one)),
        aside=options.trace == "-",
    )
    if exploration.failure is not None:
        return EXIT_FAILURE
    return EXIT_OK if exploration.complete else EXIT_FORCED_STOP


# --- the command line -------------------------------------------------------------------------


def _read(arguments: dict[str, Any]) -> Options:
    only, first, count = (arguments[name] for name in ("--seed", "--from", "--seeds"))
    if only is not None and (first is not None or count is not None):
        other = "--seeds" if first is None else "--from"
        raise UsageError(f"--seed runs one seed only; leave out {other}", USAGE)
    begin = whole_number(USAGE, "--seed" if only else "--from", only or first or "0", 0)
    number = 1 if only is not None else whole_number(USAGE, "--seeds", count or str(SEEDS), 1)
    for name in ("--app-dir", "--trace", "SPEC"):
        if arguments[name] == "":
            raise UsageError(f"{name} is empty; give a path", USAGE)
    chances = {
        name: None if arguments[name] is None else _probability(name, arguments[name])
        for name in ("--crash", "--delay", "--interrupt")
    }
    crashes = {
        name: None if arguments[name] is None else whole_number(USAGE, name, arguments[name], 0)
        for name in ("--kills", "--power-failures")
    }
    seconds = arguments["--for"]
    return Options(
        spec=arguments["SPEC"],
        app_dir=Path(arguments["--app-dir"] or "."),
        assignments=assignments_in(arguments, USAGE),
        seeds=range(begin, begin + number),
        one=only is not None,
        seconds=None if seconds is None else _seconds("--for", seconds),
        crash=chances["--crash"] or 0.0,
        delay=chances["--delay"] or 0.0,
        interrupt=chances["--interrupt"],
        kills=crashes["--kills"],
        power_failures=crashes["--power-failures"],
        exit_when_idle=arguments["--exit-when-idle"],
        trace=arguments["--trace"],
        replay=replay_words("simulate", arguments, _OPTIONS_THAT_MATTER, _FLAGS),
    )


def _seconds(option: str, text: str) -> float:
    seconds = _number(text)
    if not 0 < seconds < math.inf:
        raise UsageError(f"{option} must be a number of seconds above 0, not {text!r}", USAGE)
    return seconds


def _probability(option: str, text: str) -> float:
    chance = _number(text)
    if not 0 <= chance <= 1:
        raise UsageError(f"{option} must be a probability from 0 to 1, not {text!r}", USAGE)
    return chance


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _scenario(options: Options) -> Scenario:
    from zenactors.cli.scenarios import Source  # noqa: PLC0415
    from zenactors.testing import Crash, Delay  # noqa: PLC0415

    source = Source(options.spec, options.app_dir, options.assignments)
    scenario = source.scenario(exit_when_idle=options.exit_when_idle)
    faults = list(scenario.faults)
    if options.crash:
        faults.append(Crash(chance=options.crash))
    if options.delay:
        faults.append(Delay(chance=options.delay, seconds=1.0))
    changes: dict[str, Any] = {"faults": faults}
    for name in ("seconds", "interrupt", "kills", "power_failures"):
        value = getattr(options, name)
        if value is not None:
            changes[name] = value
    return dataclasses.replace(scenario, **changes)


# --- output -----------------------------------------------------------------------------------


def _report(found: Exploration, *, one: bool) -> Iterator[str]:
    from zenactors.cli.failures import explain, picture  # noqa: PLC0415

    failure = found.failure
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
        so_far = "" if found.complete else f" so far. It was interrupted in seed {found.seed}"
        yield f"{how}: no failure{so_far}."


def _print(text: str, *, aside: bool) -> None:
    """Write to standard output; with `aside` to standard error."""
    from zenactors.cli.failures import fit  # noqa: PLC0415

    if not aside:
        write(fit(text))
    elif sys.stderr is not None:
        sys.stderr.write(text)
