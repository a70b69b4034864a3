"""Reload as a transaction: after it, either the whole new configuration is in force or the old.

The steps are those of `Reloader._transact`, from top to bottom. Each logs one DEBUG line. If a
step fails, the daemon keeps, or gets back, the configuration that it had. The components' half
of the transaction is `Dispatcher.reconfigure`.
"""

from __future__ import annotations

import dataclasses
import operator
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors.actors.component_messages import Change
from zenactors.actors.incidents import survive_log, try_to_log
from zenactors.actors.tracebacks import log_failure
from zenactors.config.checking import restart_paths
from zenactors.core.component import recipe_of
from zenactors.core.recipe import Recipe, same
from zenactors.core.replicas import Replicas
from zenactors.errors import ConfigurationError, ReloadError

if TYPE_CHECKING:
    import pydantic

    from zenactors.config.merge import Configuration
    from zenactors.config.places import KeyPath
    from zenactors.config.plan import Plan
    from zenactors.core.supervision import Supervision
    from zenactors.daemon.component_set import ComponentSet
    from zenactors.daemon.daemon_base import DaemonBase

Options = Mapping[str, Mapping[str, Any]]
"""Each component's options, by its name."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Before:
    """What a rollback restores."""

    configuration: Configuration
    config: dict[str, Any]
    plan: Plan | None


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, sorted."""
    keys = before.keys() | after.keys()
    return sorted(key for key in keys if not same(before.get(key), after.get(key)))


class Reloader:
    """Changes the configuration of a running daemon.

    Args:
        daemon: The daemon.
        components: Its components.

    Attributes:
        last: The outcome of the last reload, for the state; None if there was none.
    """

    def __init__(self, daemon: DaemonBase, components: ComponentSet) -> None:
        self.last: dict[str, Any] | None = None
        self._daemon = daemon
        self._components = components
        self._lock = threading.Lock()  # held by one reload; no thread waits for it

    def reload(self, now: float) -> bool:
        """Reload the configuration; see `ZenDaemon.reload`.

        Args:
            now: Unix time, for the state.
        """
        if not self._lock.acquire(blocking=False):
            try_to_log("WARNING", "Configuration not reloaded: another reload is running")
            return False
        try:
            before = self._daemon.configuration
            names = self._transact()
        except Exception as cause:
            self._report_failure(cause, now)
            return False
        else:
            self._report_success(before, names, now)
            return True
        finally:
            self._lock.release()

    def _transact(self) -> list[str]:
        """Take all steps of a reload, or none. Return the names of the components that changed."""
        daemon, components = self._daemon, self._components
        before = _Before(daemon.configuration, daemon.config, components.plan)
        assert components.plan is not None  # it was made before the start
        try:
            try_to_log("DEBUG", "Reload: reading and checking the configuration")
            plan = components.read()

            try_to_log("DEBUG", "Reload: looking for changes that need a restart")
            self._refuse_what_needs_restart(before.configuration, components.plan, plan)

            policies = self._policies(plan)
            options = self._changed(components.plan, plan)
            names = sorted({*options, *policies})
            try_to_log("DEBUG", "Reload: components that change: {names}", names=_listed(names))

            try_to_log("DEBUG", "Reload: applying the configuration")
            daemon.apply_configuration(plan.configuration)
            changes = self._changes(options, components.plan, plan)
            for name, supervision in policies.items():
                if name not in changes:
                    same_as_before = components.plan.options[name]
                    changes[name] = Change(same_as_before, same_as_before, only_supervision=True)
                changes[name].supervision = supervision
            components.plan = plan

            try_to_log("DEBUG", "Reload: reopening the logs")
            self._reopen_logs()

            try_to_log("DEBUG", "Reload: reconfiguring the components")
            daemon.dispatcher.reconfigure(changes, lambda: self._roll_back(before))
        except BaseException:  # whatever it was, half of the new configuration must not hold
            self._roll_back(before)
            raise
        return names

    def _roll_back(self, before: _Before) -> None:
        daemon, components = self._daemon, self._components
        applied = (daemon.configuration, daemon.config, components.plan)
        if all(map(operator.is_, applied, (before.configuration, before.config, before.plan))):
            return  # nothing was applied, or a component that failed has rolled it back
        try_to_log("DEBUG", "Reload: rolling back the configuration")
        daemon.configuration, daemon.config = before.configuration, before.config
        daemon.name = before.config[daemon.CONFIG_NAME]
        components.plan = before.plan

    # --- what changes -------------------------------------------------------------------------

    def _refuse_what_needs_restart(self, before: Configuration, old: Plan, new: Plan) -> None:
        """Raise a `ReloadError` if something differs that only a restart can change."""
        if names := old.options.keys() ^ new.options.keys():
            raise ReloadError(
                f"Only a restart can add or remove components: {', '.join(sorted(names))}"
            )
        found = _fixed(self._daemon.Options, before.values, new.configuration.values)
        for name, section in new.sections().items():
            if section is not None:
                keys = _fixed(section.model, old.options[name], new.options[name])
                found += [f"components.{name}.{key}" for key in keys]
        if found:
            raise ReloadError(f"Only a restart can change: {', '.join(found)}")

    def _changed(self, old: Plan, new: Plan) -> list[str]:
        """Return the names of the components whose options, or other arguments, differ."""
        running = self._running()
        return sorted(
            entry.name
            for entry in new.entries
            if not same(old.options[entry.name], new.options[entry.name])
            or not _of_one_recipe(running[entry.name], entry.component)
        )

    def _policies(self, plan: Plan) -> dict[str, tuple[Supervision, ...]]:
        """Return the policies that are new, of the components that get one."""
        running = self._running()
        components = {
            # A recipe that could not be made yet is that of the running component.
            entry.name: running[entry.name]
            if isinstance(entry.component, Recipe)
            else entry.component
            for entry in plan.entries
        }
        dispatcher = self._daemon.dispatcher
        return dispatcher.supervisions(components, plan.configuration.supervision)

    def _changes(self, names: list[str], old: Plan, new: Plan) -> dict[str, Change]:
        """Return the change of each of these components."""
        running = self._running()
        changes = {}
        for name in names:
            change = changes[name] = Change(
                old.options[name], new.options[name], places=new.places(name)
            )
            component = running[name]
            if isinstance(component, Replicas):
                change.remake = new.remaker(name)
            elif not callable(getattr(component, "reconfigure", None)):
                is_old = new.has_one_of(self._daemon.components, name)
                change.replacement = new.renewed(name) if is_old else new.made(name)
        return changes

    def _running(self) -> dict[str, Any]:
        entries = self._daemon.dispatcher.entries
        return {entry.name: entry.component for entry in entries if entry.router is None}

    def _reopen_logs(self) -> None:
        if self._daemon.reopen_logs is not None:
            self._daemon.reopen_logs(self._daemon.config)

    def _report_success(self, before: Configuration, names: list[str], now: float) -> None:
        changed = differing(before.values, self._daemon.configuration.values)
        self.last = {"time": now, "done": True, "changed": changed, "components": names}
        try_to_log(
            "INFO",
            "Configuration reloaded; changed: {changed}; components: {components}",
            changed=", ".join(changed) or "nothing",
            components=_listed(names),
        )

    def _report_failure(self, cause: Exception, now: float) -> None:
        if isinstance(cause, ConfigurationError | ReloadError):
            problems = str(cause).splitlines()
            if cause.__cause__ is not None and isinstance(cause, ReloadError):
                with survive_log():
                    log_failure(logger, "DEBUG", "The original exception", cause.__cause__)
        else:  # the program's own code
            with survive_log():
                log_failure(logger, "ERROR", "A bug: {cause!r}", cause, cause=cause)
            problems = [repr(cause)]
        self.last = {"time": now, "done": False, "problems": problems}
        try:
            self._reopen_logs()  # by the old configuration
        except ConfigurationError as problem:
            try_to_log("ERROR", "{problem}", problem=problem)
        for line in problems:
            try_to_log("ERROR", "Configuration not reloaded: {problem}", problem=line)


def _fixed(
    model: type[pydantic.BaseModel], old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[str]:
    """Return the keys of a model that differ, and that only a restart can change."""
    return [
        ".".join(map(str, path))
        for path in restart_paths(model)
        if not same(_value_at(path, old), _value_at(path, new))
    ]


def _value_at(path: KeyPath, table: Any) -> Any:
    for key in path:
        table = table.get(key) if isinstance(table, Mapping) else getattr(table, str(key), None)
    return table


def _of_one_recipe(old: Any, new: Any) -> bool:
    one, other = recipe_of(old), recipe_of(new)
    if one is None or other is None:
        return True
    return one.cls is other.cls and same(one.arguments, other.arguments)


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(names)) or "none"
