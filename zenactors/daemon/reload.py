"""What a reload is to change: the new configuration against the one that holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zenactors.actors.reconfigure import Change
from zenactors.daemon.config.merge import Configuration
from zenactors.errors import ReloadError

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
class Wanted:
    """What the sources say now.

    Attributes:
        configuration: All of it.
        options: Each component's options, by its name.
        fresh: New objects made from it, for components without a `reconfigure`.
    """

    configuration: Configuration
    options: Mapping[str, Mapping[str, Any]]
    fresh: Mapping[str, Any]


def changes_of(
    wanted: Wanted, config: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]
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
        name: Change(options[name], new, wanted.fresh.get(name))
        for name, new in wanted.options.items()
        if new != options[name]
    }


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, sorted."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
