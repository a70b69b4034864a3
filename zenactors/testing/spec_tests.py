"""Run the `[[tests]]` of a SPEC in the simulation.

Thread: the calling one does everything.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zenactors import spec
from zenactors.errors import ConfigurationError, did_you_mean
from zenactors.testing._cases.faults import check_faults, faults_of
from zenactors.testing._cases.isolation import isolated
from zenactors.testing._cases.outcome import UnexpectedOutcome, check_outcome
from zenactors.testing._cases.stub import Stubs
from zenactors.testing._cases.world import World
from zenactors.testing.simulation import Scenario, SimulationFailure, simulate

if TYPE_CHECKING:
    from zenactors.config.assignments import Assignment
    from zenactors.daemon.zendaemon import ZenDaemon
    from zenactors.spec.cases import Case


@dataclasses.dataclass(frozen=True, slots=True)
class FailedTest:
    """A test of a SPEC that fails.

    Attributes:
        seed: The first seed that fails.
        report: What was expected and what came, several lines.
        cause: The failure of the run.
    """

    seed: int
    report: Sequence[str]
    cause: SimulationFailure


class SpecTests:
    """The tests in a SPEC.

    Args:
        path: The TOML file.
        app_dir: The first directory to search for modules.
        assignments: Single values that take precedence over SPEC.

    Attributes:
        cases: The tests, in the order of the file.

    Raises:
        ConfigurationError: The file is wrong, one line for each problem.
    """

    def __init__(
        self, path: str, app_dir: Path = Path(), assignments: Sequence[Assignment] = ()
    ) -> None:
        self._path = path
        self._app_dir = app_dir
        self._assignments = assignments
        if not path.endswith(".toml") and not Path(path).exists():
            raise ConfigurationError(f"SPEC {path!r} is not a file; only TOML files have [[tests]]")
        daemon, self.cases = spec.load_with_tests(path, app_dir, assignments=assignments)
        check_faults(self.cases, daemon)
        if not self.cases:
            raise ConfigurationError(f"{path}: it has no [[tests]]")
        named = [path for case in self.cases for path in case.table.expect.files]
        self._directories = _directories_of(named)

    def named(self, text: str) -> list[Case]:
        """Return the test with this name, or all with this text in their names.

        Raises:
            ConfigurationError: There is none.
        """
        names = [case.table.name for case in self.cases]
        found = [case for case in self.cases if case.table.name == text] or [
            case for case in self.cases if text in case.table.name
        ]
        if not found:
            hint = did_you_mean(text, names) or f"; tests: {', '.join(map(repr, names))}"
            raise ConfigurationError(f"{self._path}: no test is called {text!r}{hint}")
        return found

    def run(self, case: Case, seeds: Iterable[int]) -> FailedTest | None:
        """Run a test with each seed, up to the first that fails; None: none fails."""
        for seed in seeds:
            scenario = self._scenario(case)
            with isolated() as refused:
                try:
                    harness = simulate(scenario, seed=seed)
                    if refused:  # the component has gone on without it
                        raise SimulationFailure(seed, harness, str(refused[0]), "")
                except SimulationFailure as failure:
                    return FailedTest(seed, _report(failure, refused), failure)
        return None

    def _scenario(self, case: Case) -> Scenario:
        test = case.table
        world, stubs = World(test), Stubs(test.stubs)
        return Scenario(
            build=lambda: self._build(stubs),
            drive=world.drive,
            check=lambda harness: check_outcome(test.expect, world, stubs, harness),
            files={**self._directories, **test.files},
            from_disk=False,
            faults=list(faults_of(case)),
            kills=test.kills,
            power_failures=test.power_failures,
            status=test.expect.exit_status or 0,
        )

    def _build(self, stubs: Stubs) -> ZenDaemon:
        return spec.load(
            self._path, self._app_dir, assignments=self._assignments, replace=stubs.replace
        )


def run_spec_tests(path: str, *, only: str | None = None, seeds: int | None = None) -> None:
    """Run the `[[tests]]` of a SPEC, as `zenactors test` does.

    Args:
        path: The TOML file.
        only: Run only the test with this name, or those with this text in their names.
        seeds: The number of seeds for each test; None: as the test says.

    Raises:
        AssertionError: Tests fail; the text shows what was expected and what came.
        ConfigurationError: The file is wrong, one line for each problem.
    """
    __tracebackhide__ = True
    tests = SpecTests(path)
    failures = []
    for case in tests.cases if only is None else tests.named(only):
        failed = tests.run(case, range(seeds or case.table.seeds))
        if failed is not None:
            failures += [f"{case.table.name}: seed {failed.seed} fails", *failed.report]
    if failures:
        raise AssertionError("\n".join(failures))


def _directories_of(paths: Iterable[str]) -> Mapping[str, str]:
    """Return the directories above paths, as files to make."""
    above = {posixpath.dirname(path) for path in paths}
    return {f"{directory}/": "" for directory in sorted(above) if directory.strip("/")}


def _report(failure: SimulationFailure, refused: Sequence[Exception]) -> list[str]:
    if refused:
        return [str(refused[0])]
    cause = failure.__cause__
    if isinstance(cause, UnexpectedOutcome):
        return str(cause).splitlines()
    errors = [each.message for each in failure.harness.logs if each.level in ("ERROR", "CRITICAL")]
    return [failure.reason, *(f"  the log says: {error.splitlines()[0]}" for error in errors[-1:])]
