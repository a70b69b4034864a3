"""The components of a `ZenDaemon`: those given to it, and those of its `make_components`.

They get their options when the configuration is known. Thread: main before the start, control at
a reload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zenactors.config.plan import Plan, entries_of, made_early, sections_of
from zenactors.config.redaction import without_secrets
from zenactors.config.wording import because
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from zenactors.config.merge import Sections
    from zenactors.daemon.daemon_base import DaemonBase


class ComponentSet:
    """The components of one daemon.

    Args:
        daemon: The daemon.

    Attributes:
        plan: The components as they are configured; None before that.
        read: Returns the plan that all sources describe now.
        is_making: True while `make_components` runs.
    """

    def __init__(self, daemon: DaemonBase) -> None:
        self.plan: Plan | None = None
        self.read: Callable[[], Plan] = self._read
        self.is_making = False
        self._daemon = daemon
        self._given: list[Any] | None = None

    def sections(self) -> Sections:
        """Return the options that each component takes."""
        return sections_of(self.plan.entries if self.plan else entries_of(self._program()))

    def apply(self, plan: Plan) -> None:
        """Apply a configuration, and give all components their options. Before the start.

        Raises:
            ConfigurationError: A constructor refuses them, or the engine was used already.
        """
        daemon = self._daemon
        daemon.apply_configuration(plan.configuration)
        components, changed = plan.make()
        if (engine := vars(daemon).get("dispatcher")) is not None:
            engine.exchange(components, changed)
        if self._given is not None:
            self._given = components[: len(self._given)]
        daemon.components[:] = components
        self.plan = Plan(entries_of(components), plan.configuration)

    def _program(self) -> list[Any]:
        """Return the components that were given to the daemon."""
        if self._given is None:
            self._given = made_early(self._daemon.components)
        return self._given

    def _read(self) -> Plan:
        """Read all sources, and let `make_components` make its components by them.

        It reads `config`, so the daemon's own keys are applied before.

        Raises:
            ConfigurationError: One line for each problem.
        """
        daemon, components = self._daemon, self._program()
        layers = daemon.read_layers()
        if daemon.has_component_hook():
            known = sections_of(entries_of(components))
            daemon.apply_configuration(daemon.merge(layers, known, complete=False))
            components = [*components, *made_early(self._made())]
        entries = entries_of(components)
        return Plan(entries, daemon.merge(layers, sections_of(entries)))

    def _made(self) -> list[Any]:
        self.is_making = True
        try:
            return self._daemon.make_components()
        except ValueError as cause:  # of a component's constructor: it refuses an option
            reason = without_secrets(because(cause), self._daemon.config)
            raise ConfigurationError(f"make_components() raises {reason}") from cause
        finally:
            self.is_making = False
