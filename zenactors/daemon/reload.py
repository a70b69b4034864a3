"""Reload as a transaction: after it, either the whole new configuration is in force or the old.

The steps are those of `Reloader._transact`, from top to bottom. Each logs one DEBUG line. If a
step fails, the daemon keeps, or gets back, the configuration that it had. The components' half
of the transaction is `Dispatcher.reconfigure`.
"""

from __future__ import annotations

import dataclasses
import operator
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from loguru import logger

from zenactors.actors.component_messages import Change
from zenactors.actors.entries import ComponentEntry, component_entries
from zenactors.actors.incidents import survive_log, try_to_log
from zenactors.actors.tracebacks import log_failure
from zenactors.config.merge import Configuration
from zenactors.core.component import set_options
from zenactors.core.replicas import Replicas
from zenactors.daemon.daemon_base import DaemonBase
from zenactors.errors import ConfigurationError, ReloadError

NEED_RESTART = (
    "name",
    "user",
    "group",
    "chroot_dir",
    "work_dir",
    "umask",
    "pid_file",
    "no_daemon",
    "paralel",
    "signals",
    "sigterm",
    "start_timeout",
    "stop_timeout",
)
"""The keys that a running process cannot change."""

Options = Mapping[str, Mapping[str, Any]]
"""Each component's options, by its name."""


@dataclasses.dataclass(frozen=True, slots=True)
class TargetConfig:
    """The configuration that a reload aims at: the present content of all sources.

    Attributes:
        configuration: All of it.
        options: The options of each component.
        make_components: Returns new objects by name, for components without a `reconfigure`.
            Called when the new configuration has been applied.
    """

    configuration: Configuration
    options: Options
    make_components: Callable[[], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Before:
    """The configuration that a rollback restores."""

    configuration: Configuration
    config: dict[str, Any]
    options: dict[str, dict[str, Any]]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, sorted."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


class Reloader:
    """The options of a daemon's components, and the reload that changes them.

    Args:
        daemon: The daemon.
        made: The position of those components that `make_components` has made.

    Attributes:
        last: The outcome of the last reload, for the state; None if there was none.
    """

    def __init__(self, daemon: DaemonBase, made: slice) -> None:
        self.last: dict[str, Any] | None = None
        self._daemon = daemon
        self._made = made
        self._options: dict[str, dict[str, Any]] = {}
        self._read: Callable[[], TargetConfig] = self._read_sources
        self._lock = threading.Lock()  # held by one reload; no thread waits for it

    # --- before the start ---------------------------------------------------------------------

    def entries(self) -> list[ComponentEntry]:
        """Return the components by their names in a configuration."""
        # The daemon's own callbacks come first, as in the engine: a component of that name
        # becomes `-2`.
        _, *found = component_entries(
            self._daemon.components, SimpleNamespace(name=self._daemon.name)
        )
        return [entry for entry in found if entry.router is None]

    def use_spec(self, target: TargetConfig, read: Callable[[], TargetConfig]) -> None:
        """Use a SPEC for the configuration and all options, now and at each reload."""
        self._read = read
        self._options = _copied(target.options)
        self._daemon.apply_configuration(target.configuration)

    def assign_options(self) -> None:
        """Give each component its options."""
        if not self._options:
            self._options = self._options_in(self._daemon.config)
        for entry in self.entries():
            if options := self._options.get(entry.name):
                for each in instances_of(entry):
                    set_options(each, options)

    # --- the reload ---------------------------------------------------------------------------

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
        daemon = self._daemon
        before = _Before(daemon.configuration, daemon.config, self._options)

        try_to_log("DEBUG", "Reload: reading and checking the configuration")
        target = self._read()

        try_to_log("DEBUG", "Reload: looking for changes that need a restart")
        _refuse_what_needs_restart(target, before)

        changes = _changes_between(before.options, target.options)
        try_to_log("DEBUG", "Reload: components that change: {names}", names=_listed(changes))
        try:
            try_to_log("DEBUG", "Reload: applying the configuration")
            daemon.apply_configuration(target.configuration)
            self._options = _copied(target.options)

            try_to_log("DEBUG", "Reload: reopening the logs")
            self._reopen_logs()

            try_to_log("DEBUG", "Reload: reconfiguring the components")
            _add_replacements(changes, target)
            daemon.dispatcher.reconfigure(changes, lambda: self._roll_back(before))
        except BaseException:  # whatever it was, half of the new configuration must not hold
            self._roll_back(before)
            raise
        return sorted(changes)

    def _roll_back(self, before: _Before) -> None:
        daemon = self._daemon
        applied = (daemon.configuration, daemon.config, self._options)
        if all(map(operator.is_, applied, (before.configuration, before.config, before.options))):
            return  # nothing was applied, or a component that failed has rolled it back
        try_to_log("DEBUG", "Reload: rolling back the configuration")
        daemon.configuration, daemon.config = before.configuration, before.config
        self._options = before.options

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

    # --- the sources of a daemon without a SPEC -----------------------------------------------

    def _read_sources(self) -> TargetConfig:
        configuration = self._daemon.read_configuration()
        options = self._options_in(configuration.values)
        return TargetConfig(configuration, options, self._make_components)

    def _options_in(self, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        sections = values.get("components", {})
        return {entry.name: sections.get(entry.name, {}) for entry in self.entries()}

    def _make_components(self) -> dict[str, Any]:
        made = self._daemon.make_components()
        # The other components were given to the daemon, which cannot make them again.
        replaceable = self.entries()[self._made]
        if len(made) != len(replaceable):
            raise ReloadError(
                "Only a restart can add or remove components: make_components() returned"
                f" {len(replaceable)} at the start, and {len(made)} now"
            )
        return {
            entry.name: component
            for entry, component in zip(replaceable, made, strict=True)
            if not isinstance(component, Replicas)
        }


def _refuse_what_needs_restart(target: TargetConfig, before: _Before) -> None:
    """Raise a `ReloadError` if something differs that only a restart can change."""
    old, new = before.configuration.values, target.configuration.values
    fixed = [key for key in NEED_RESTART if key in new and new[key] != old.get(key)]
    if fixed:
        raise ReloadError(f"Only a restart can change: {', '.join(fixed)}")
    if names := target.options.keys() ^ before.options.keys():
        raise ReloadError(
            f"Only a restart can add or remove components: {', '.join(sorted(names))}"
        )


def _changes_between(old: Options, new: Options) -> dict[str, Change]:
    """Return the change of each component whose options differ."""
    return {name: Change(old[name], new[name]) for name in new if new[name] != old[name]}


def _add_replacements(changes: Mapping[str, Change], target: TargetConfig) -> None:
    """Add new objects to the changes, for components without a `reconfigure`."""
    made = target.make_components() if changes else {}
    for name, component in made.items():
        if name in changes:
            changes[name].replacement = component


def instances_of(entry: ComponentEntry) -> list[Any]:
    """Return a component, or all instances of `Replicas`."""
    component = entry.component
    return component.instances if isinstance(component, Replicas) else [component]


def _copied(options: Options) -> dict[str, dict[str, Any]]:
    return {name: dict(each) for name, each in options.items()}


def _listed(names: Mapping[str, Any] | list[str]) -> str:
    return ", ".join(sorted(names)) or "none"
