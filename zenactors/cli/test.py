"""Run the [[tests]] of SPEC in virtual time, each with many random seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.cli.exploration import stopping_at_once
from zenactors.cli.logs import set_up_logs
from zenactors.cli.output import write
from zenactors.cli.simulated import need_the_extra, replay_command, replay_words, whole_number
from zenactors.daemon.command_line import UsageError, assignments_in
from zenactors.errors import EXIT_FAILURE, EXIT_FORCED_STOP, EXIT_OK

if TYPE_CHECKING:
    from zenactors.spec.cases import Case
    from zenactors.testing.spec_tests import FailedTest, SpecTests

# Not a docstring, which `python -OO` drops.
USAGE = """\
Run the [[tests]] of SPEC in virtual time, each with many random seeds.

Usage:
  zenactors test [options] [--set KEY=VALUE]... SPEC
  zenactors test (-h | --help)

SPEC is the path of a TOML file. Each test gives the daemon files and events, perhaps faults, and
says what must come out: see the guide "Testing a SPEC". Files are in memory; a component that uses
the network, a program or the disk needs a stub. The first seed that fails ends a test.

Options:
  --app-dir DIR    First directory to search for modules; default: the current one.
  --set KEY=VALUE  Set one key, as for zenactors run; may be repeated.
  --only NAME      Run only the test with this name, or those with this text in their names.
  --seeds N        Number of seeds for each test; default: what the test says, or 20.
  --seed SEED      Run only this seed.
  -v, --verbose    Of a test that fails, also show the last events and a picture of the run.
  -h, --help       Show this help.

Ctrl-C ends the command at once. Status 0: all tests pass. 1: a test fails. 75: interrupted before
all tests were run. 78: SPEC is wrong or has no tests, or the extra is missing: pip install
'zenactors[test]'.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class _Options:
    seeds: range | None  # None: those of each test
    verbose: bool
    spec: str
    replay: Sequence[str]

    def seeds_of(self, case: Case) -> range:
        return range(case.table.seeds) if self.seeds is None else self.seeds


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    options = _read(arguments)
    assignments = assignments_in(arguments, USAGE)
    # The harness collects the log lines; none of them must reach the terminal.
    set_up_logs("INFO")
    from loguru import logger  # noqa: PLC0415 - slow to import; --help must be fast

    logger.remove()
    need_the_extra("test")
    from zenactors.testing.spec_tests import SpecTests  # noqa: PLC0415

    tests = SpecTests(options.spec, Path(arguments["--app-dir"] or "."), assignments)
    cases = tests.cases if arguments["--only"] is None else tests.named(arguments["--only"])
    return _run(tests, cases, options)


def _read(arguments: dict[str, Any]) -> _Options:
    seed, count = arguments["--seed"], arguments["--seeds"]
    if seed is not None and count is not None:
        raise UsageError("--seed runs one seed only; leave out --seeds", USAGE)
    for name in ("--app-dir", "--only", "SPEC"):
        if arguments[name] == "":
            raise UsageError(f"{name} is empty; give a value", USAGE)
    seeds = None
    if seed is not None:
        first = whole_number(USAGE, "--seed", seed, 0)
        seeds = range(first, first + 1)
    elif count is not None:
        seeds = range(whole_number(USAGE, "--seeds", count, 1))
    return _Options(
        seeds=seeds,
        verbose=arguments["--verbose"],
        spec=arguments["SPEC"],
        replay=replay_words("test", arguments, ("--app-dir",)),
    )


def _run(tests: SpecTests, cases: Sequence[Case], options: _Options) -> int:
    from zenactors.cli.failures import fit  # noqa: PLC0415 - slow to import

    done = failed = 0
    try:
        with stopping_at_once():
            for case in cases:
                failure = tests.run(case, options.seeds_of(case))
                write(fit("".join(f"{line}\n" for line in _result(case, failure, options))))
                done += 1
                failed += failure is not None
    except KeyboardInterrupt:
        write(f"interrupted after {done} of {_number(len(cases))}\n")
        return EXIT_FAILURE if failed else EXIT_FORCED_STOP
    write(f"{_number(done)}: {f'{failed} failed' if failed else 'all passed'}\n")
    return EXIT_FAILURE if failed else EXIT_OK


def _result(case: Case, failure: FailedTest | None, options: _Options) -> Iterator[str]:
    name = case.table.name
    if failure is None:
        seeds = options.seeds_of(case)
        yield f"ok      {name} ({f'{len(seeds)} seeds' if len(seeds) > 1 else f'seed {seeds[0]}'})"
        return
    yield f"FAILED  {name} ({case.place(())}), seed {failure.seed}:"
    yield from (f"  {line}" for line in failure.report)
    if options.verbose:
        yield from ("", *failure.cause.picture(), "")
    words = [*options.replay, "--only", name]
    yield f"  Run it again: {replay_command(words, failure.seed, options.spec)}"


def _number(count: int) -> str:
    return "1 test" if count == 1 else f"{count} tests"
