"""From a SPEC to the scenario of a simulation, with new components for each run. Thread: main."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors import spec as specs
from zenactors.core.recipe import Recipe
from zenactors.core.text import short_repr
from zenactors.daemon.zendaemon import ZenDaemon
from zenactors.errors import ConfigurationError
from zenactors.spec.assemble import absolute_app_dir, is_file
from zenactors.spec.importing import look_first_in
from zenactors.spec.objects import call, import_object, make
from zenactors.testing import Scenario

if TYPE_CHECKING:
    from zenactors.config.assignments import Assignment

_FORMS = (
    "a Scenario, a ZenDaemon, a subclass of it, or a function without arguments that returns"
    " components, a ZenDaemon or a Scenario"
)


class Source:
    """Build the components or the daemon of a SPEC again for every run.

    Args:
        spec: The path of a TOML file, or `package.module:attribute`.
        app_dir: The first directory to search for modules.
        assignments: Single values that take precedence over SPEC.
    """

    def __init__(self, spec: str, app_dir: Path, assignments: Sequence[Assignment] = ()) -> None:
        self._assignments = assignments
        self._spec = spec
        self._app_dir = absolute_app_dir(app_dir)
        self._made: Any = None  # for the first run, if SPEC had to be built to see its kind
        self._before: list[object] = []  # kept alive, so that no new object has their identity

    def scenario(self, *, exit_when_idle: bool) -> Scenario:
        """Return the scenario.

        Args:
            exit_when_idle: End when there is nothing more to read, even if SPEC has it off.

        Raises:
            ConfigurationError: SPEC is wrong. `Scenario.build` may raise it, too.
        """
        first = self._make()
        if isinstance(first, Scenario):
            scenario, build = first, first.build
        else:
            self._made = first
            scenario, build = Scenario(build=list), self._make

        def build_again() -> Sequence[Any] | ZenDaemon:
            made = self._build(build)
            if isinstance(made, ZenDaemon) and exit_when_idle:
                made.exit_when_idle = True
            return made

        idle = scenario.exit_when_idle or exit_when_idle
        return dataclasses.replace(scenario, build=build_again, exit_when_idle=idle)

    def _build(self, build: Callable[[], Any]) -> Sequence[Any] | ZenDaemon:
        """Return new components or a new daemon, and check that they are new."""
        made, self._made = self._made, None
        if made is None:
            made = call(self._spec, build)
        if not isinstance(made, list | tuple | ZenDaemon):
            raise ConfigurationError(
                f"{self._spec} builds {short_repr(made)}; it must build components, in a list,"
                " or a ZenDaemon"
            )
        self._assign(made)
        listed = made.components if isinstance(made, ZenDaemon) else made
        # Of a class or a recipe, each run makes a component of its own.
        together = [made, *(each for each in listed if not isinstance(each, type | Recipe))]
        if any(new is old for new in together for old in self._before):
            raise ConfigurationError(
                f"{self._spec} gives the same components for every run, but they can run only"
                " once; name a function that makes new ones at every call"
            )
        self._before = together
        found: Sequence[Any] | ZenDaemon = made
        return found

    def _assign(self, made: Sequence[Any] | ZenDaemon) -> None:
        if isinstance(made, ZenDaemon):
            if not is_file(self._spec):
                made.use_assignments(self._assignments)
        elif self._assignments:
            raise ConfigurationError(
                f"{self._spec} builds components, which have no configuration: leave out --set, or"
                " let it build a ZenDaemon"
            )

    def _make(self) -> Any:
        """Return the object of SPEC: components, a daemon or a scenario."""
        spec = self._spec
        if is_file(spec) or ":" not in spec:
            return specs.load(spec, self._app_dir, assignments=self._assignments)
        if not self._app_dir.is_dir():
            raise ConfigurationError(f"--app-dir {str(self._app_dir)!r} is not a directory")
        look_first_in(self._app_dir)
        found = import_object(spec, self._app_dir)
        if isinstance(found, ZenDaemon) and self._before:
            # It has run. The module makes another when it is imported again.
            sys.modules.pop(spec.partition(":")[0], None)
            found = import_object(spec, self._app_dir)
        return make(
            spec,
            found,
            _FORMS,
            ready=(ZenDaemon, Scenario),
            made=(ZenDaemon, Scenario, list, tuple),
        )
