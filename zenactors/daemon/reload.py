"""Reload as a transaction: all of the new configuration holds in the end, or all of the old one."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

from loguru import logger

from zenactors.actors.component_messages import Change
from zenactors.actors.entries import ComponentEntry, component_entries
from zenactors.config.merge import Configuration
from zenactors.core.component import set_options
from zenactors.core.replicas import Replicas
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


@dataclasses.dataclass(frozen=True, slots=True)
class TargetConfig:
    """What the sources say now.

    Attributes:
        configuration: All of it.
        options: Each component's options, by its name.
        fresh: Makes new objects, for components without a `reconfigure`; called when the new
            configuration is in its place.
    """

    configuration: Configuration
    options: Mapping[str, Mapping[str, Any]]
    fresh: Callable[[], Mapping[str, Any]]


def changes_of(
    wanted: TargetConfig, config: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, Change]:
    """Return what changes for each component; those whose options are the same are left out.

    Args:
        wanted: What is to hold.
        config: The configuration that holds.
        options: The components' options that hold.

    Raises:
        ReloadError: Something differs that only a restart can change.
    """
    values = wanted.configuration.values
    fixed = [key for key in NEED_RESTART if key in values and values[key] != config.get(key)]
    if fixed:
        raise ReloadError(f"Only a restart can change: {', '.join(fixed)}")
    if wanted.options.keys() != options.keys():
        names = sorted(wanted.options.keys() ^ options.keys())
        raise ReloadError(f"Only a restart can add or remove components: {', '.join(names)}")
    return {
        name: Change(options[name], new)
        for name, new in wanted.options.items()
        if new != options[name]
    }


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, sorted."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


class Reloadable(Protocol):
    """What is needed of a `ZenDaemon`; see there."""

    name: str
    components: list[Any]
    made: slice
    config: dict[str, Any]
    configuration: Configuration
    reopen_logs: Callable[[Mapping[str, Any]], None]

    def read_configuration(self) -> Configuration:
        """Read all sources as they are now."""
        ...

    def apply_configuration(self, configuration: Configuration) -> None:
        """Let `config` be this from now on."""
        ...

    def make_components(self) -> list[Any]:
        """Return new components."""
        ...

    def reconfigure(self, changes: Mapping[str, Change], on_rollback: Callable[[], None]) -> None:
        """Give components new options: all of them, or none."""
        ...


class Reloader:
    """What the components of a daemon are configured with, and how that changes.

    Args:
        daemon: The daemon.

    Attributes:
        last: What the last reload did, for the state; None if there was none.
    """

    def __init__(self, daemon: Reloadable) -> None:
        self.last: dict[str, Any] | None = None
        self._daemon = daemon
        self._options: dict[str, dict[str, Any]] = {}
        self._read: Callable[[], TargetConfig] = self._read_sources
        self._lock = threading.Lock()  # one at a time; nobody waits for it

    def entries(self) -> list[ComponentEntry]:
        """Return the components by the names that configurations have for them."""
        # The daemon's own callbacks come first, as in the engine: another of that name gets `-2`.
        _, *found = component_entries(
            self._daemon.components, SimpleNamespace(name=self._daemon.name)
        )
        return [entry for entry in found if entry.router is None]

    def use_spec(self, wanted: TargetConfig, read: Callable[[], TargetConfig]) -> None:
        """Take everything from a description of the whole, now and by each reload."""
        self._read = read
        self._options = _copied(wanted.options)
        self._daemon.apply_configuration(wanted.configuration)

    def assign_options(self) -> None:
        """Let each component have its options. Called before the start."""
        if not self._options:
            self._options = self._options_in(self._daemon.config)
        for entry in self.entries():
            if options := self._options.get(entry.name):
                for each in instances_of(entry):
                    set_options(each, options)

    def reload(self, now: float) -> bool:
        """See `ZenDaemon.reload`.

        Args:
            now: Unix time, for the state.
        """
        if not self._lock.acquire(blocking=False):
            logger.warning("Configuration not reloaded: another reload is under way")
            return False
        try:
            before = self._daemon.configuration
            try:
                components = self._reload()
            except (ConfigurationError, ReloadError) as cause:
                problems = str(cause).splitlines()
                if cause.__cause__ is not None and isinstance(cause, ReloadError):
                    logger.opt(exception=cause.__cause__).debug("The original exception")
            except Exception as cause:  # the program's own code: the old configuration goes on
                logger.exception("A bug: {cause!r}", cause=cause)
                problems = [repr(cause)]
            else:
                changed = differing(before.values, self._daemon.configuration.values)
                self.last = {
                    "time": now, "done": True, "changed": changed, "components": components,
                }  # fmt: skip
                logger.info(
                    "Configuration reloaded; changed: {changed}; components: {components}",
                    changed=", ".join(changed) or "nothing",
                    components=", ".join(components) or "none",
                )
                return True
            self.last = {"time": now, "done": False, "problems": problems}
            self._reopen_logs_as_before()
            for problem in problems:
                logger.error("Configuration not reloaded: {problem}", problem=problem)
            return False
        finally:
            self._lock.release()

    def _reload(self) -> list[str]:
        daemon = self._daemon
        wanted = self._read()
        changes = changes_of(wanted, daemon.configuration.values, self._options)
        with self._rolling_back() as rollback:
            daemon.apply_configuration(wanted.configuration)
            self._options = _copied(wanted.options)
            daemon.reopen_logs(daemon.config)
            for name, component in wanted.fresh().items() if changes else ():
                if name in changes:
                    changes[name].replacement = component
            daemon.reconfigure(changes, rollback)
        return sorted(changes)

    @contextlib.contextmanager
    def _rolling_back(self) -> Iterator[Callable[[], None]]:
        daemon = self._daemon
        before = daemon.configuration, daemon.config, self._options

        def rollback() -> None:
            daemon.configuration, daemon.config, self._options = before

        try:
            yield rollback
        except BaseException:  # whatever it was, half of the new one must not hold
            rollback()
            raise

    def _reopen_logs_as_before(self) -> None:
        try:
            self._daemon.reopen_logs(self._daemon.config)
        except ConfigurationError as cause:
            logger.error("{cause}", cause=cause)

    def _read_sources(self) -> TargetConfig:
        configuration = self._daemon.read_configuration()
        return TargetConfig(configuration, self._options_in(configuration.values), self._make_anew)

    def _make_anew(self) -> dict[str, Any]:
        made = self._daemon.make_components()
        # Others were given to the daemon; nobody can make them anew.
        replaceable = self.entries()[self._daemon.made]
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

    def _options_in(self, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        sections = values.get("components", {})
        return {entry.name: sections.get(entry.name, {}) for entry in self.entries()}


def instances_of(entry: ComponentEntry) -> list[Any]:
    """Return a component or, of `Replicas`, all there are."""
    component = entry.component
    return component.instances if isinstance(component, Replicas) else [component]


def _copied(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: dict(each) for name, each in options.items()}
