"""Every configuration key of a daemon, as a pydantic model.

The command line, the checks of files, the JSON Schema and the documentation are generated from this
model. Any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

from zenactors.config.checking import STRICT, accept_as_in_json, adapter_of
from zenactors.config.value_types import (
    Account,
    Interval,
    Level,
    MaybeText,
    Name,
    PidFile,
    Seconds,
    Signals,
    Umask,
    signal_name,
)
from zenactors.core.recipe import NeedsRestart

if TYPE_CHECKING:
    from zenactors.config.places import KeyPath

NOT_IN_FILES = {
    **{
        key: f"it names the configuration files; use --{key.replace('_', '-')} on the command line"
        for key in ("config_file", "config_dir", "config_file_silent", "config_dir_silent")
    },
    "action": "every start would perform it; use --action on the command line",
}
"""The keys that a configuration file cannot set, each with the reason."""


def canonical(path: KeyPath) -> KeyPath:
    """Return the standard spelling of a key's path."""
    if path == ("parallel",):
        return ("paralel",)
    if len(path) == 2 and path[0] == "signals":  # noqa: PLR2004 - the table and a key in it
        return ("signals", signal_name(str(path[1])))
    return path


def flag_of(key: str) -> str:
    """Return the long option of the command line that sets a key."""
    return "--verbose" if key == "verbosity" else f"--{key.replace('_', '-')}"


def as_flag(path: KeyPath) -> str:
    """Name a key as its option on the command line: `--work-dir`."""
    return flag_of(str(path[0]))


class Table(pydantic.BaseModel):
    """A table of a configuration; unknown keys and values of another type are errors.

    The base class of models for parts of a daemon's configuration, and for options of components.
    """

    model_config = STRICT

    @pydantic.field_validator("*", mode="wrap")
    @classmethod
    def _as_in_json(
        cls,
        value: Any,
        strictly: pydantic.ValidatorFunctionWrapHandler,
        info: pydantic.ValidationInfo,
    ) -> Any:
        field = cls.model_fields[str(info.field_name)]
        return accept_as_in_json(value, strictly, lambda: adapter_of(field))


class DaemonOptions(Table):
    """The configuration of a daemon.

    A subclass adds its own keys:

        class Options(DaemonOptions):
            greeting: str = Field("hello", description="What to say first.")

    The program that runs the daemon adds defaults that depend on the daemon's name or directories.
    """

    name: Annotated[Name, NeedsRestart] = pydantic.Field(
        description="Name of the daemon in logs and file names."
    )

    config_file: MaybeText = pydantic.Field(
        default=None, description="Configuration file: TOML (.toml) or JSON with comments."
    )
    config_dir: MaybeText = pydantic.Field(
        default=None, description="Directory of configuration files, read in order of their names."
    )
    config_file_silent: bool = pydantic.Field(
        default=False, description="Ignore a missing configuration file."
    )
    config_dir_silent: bool = pydantic.Field(
        default=False, description="Ignore a missing configuration directory."
    )

    log_file: MaybeText = pydantic.Field(default=None, description="Append log lines to this file.")
    log_level: Level = pydantic.Field(
        default="INFO",
        description="Minimum log level.",
    )
    log_json: bool = pydantic.Field(default=False, description="Write the log file as JSON lines.")
    debug: bool = pydantic.Field(default=False, description="Set the minimum log level to DEBUG.")
    quiet: bool = pydantic.Field(default=False, description="Write only errors to the terminal.")
    verbosity: Annotated[int, pydantic.Field(ge=0)] = pydantic.Field(
        default=0, description="More output on the terminal; may be repeated."
    )

    no_daemon: Annotated[bool, NeedsRestart] = pydantic.Field(
        default=False, description="Run in the foreground, without detaching."
    )
    paralel: Annotated[bool, NeedsRestart] = pydantic.Field(
        default=False,
        validation_alias=pydantic.AliasChoices("paralel", "parallel"),
        description="Allow several instances, each with its own files.",
    )
    pid_file: Annotated[PidFile, NeedsRestart] = pydantic.Field(
        default=None, description="File that holds the PID; must end in .pid."
    )
    user: Annotated[Account, NeedsRestart] = pydantic.Field(
        default=None, description="User to run as, name or number."
    )
    group: Annotated[Account, NeedsRestart] = pydantic.Field(
        default=None, description="Group to run as, name or number."
    )
    chroot_dir: Annotated[MaybeText, NeedsRestart] = pydantic.Field(
        default=None, description="Directory to make the root directory (chroot)."
    )
    work_dir: Annotated[MaybeText, NeedsRestart] = pydantic.Field(
        default=None, description="Working directory."
    )
    umask: Annotated[Umask, NeedsRestart] = pydantic.Field(
        default=0o022, description="File-mode creation mask (umask), octal."
    )

    action: MaybeText = pydantic.Field(
        default=None, description="Perform this action instead of running; see the list of actions."
    )
    state_file: MaybeText = pydantic.Field(
        default=None, description="File to which SIGUSR2 writes the state, as JSON."
    )
    dead_letter_file: Annotated[MaybeText, NeedsRestart] = pydantic.Field(
        default=None, description="Append events that fail to this file, as JSON lines."
    )
    state_dir: Annotated[MaybeText, NeedsRestart] = pydantic.Field(
        default=None,
        description="Directory of what components keep from one run to the next (state stores).",
    )
    runlog_dir: MaybeText = pydantic.Field(
        default=None, description="Directory for runlogs: a summary of each run, as JSON."
    )
    stats_interval: Interval = pydantic.Field(
        default=300.0, description="Seconds between statistics in the log; 0: none."
    )
    runlog_interval: Interval = pydantic.Field(
        default=300.0, description="Seconds between saves of the runlog; 0: only at the end."
    )

    start_timeout: Annotated[Seconds, NeedsRestart] = pydantic.Field(
        default=30.0, description="Time limit for the start of each component, in seconds."
    )
    stop_timeout: Annotated[Seconds, NeedsRestart] = pydantic.Field(
        default=30.0, description="Time limit for a graceful stop, in seconds."
    )
    sigterm: Annotated[Literal["terminate", "stop"], NeedsRestart] = pydantic.Field(
        default="terminate",
        description="Effect of SIGTERM: terminate (at once) or stop (gracefully).",
    )
    signals: Annotated[Signals, NeedsRestart] = pydantic.Field(
        default={},
        description="Events to schedule for signals that the daemon does not use itself.",
    )

    components: dict[str, dict[str, Any]] = pydantic.Field(
        default={}, description="Options of each component, by its name."
    )


GROUPS = {
    "Configuration": (
        "name", "config_file", "config_dir", "config_file_silent", "config_dir_silent",
    ),
    "Logs": ("log_file", "log_level", "log_json", "debug", "quiet", "verbosity"),
    "Process": (
        "no_daemon", "paralel", "pid_file", "user", "group", "chroot_dir", "work_dir", "umask",
    ),
    "Operation": (
        "action", "state_file", "dead_letter_file", "state_dir", "runlog_dir", "stats_interval",
        "runlog_interval", "start_timeout", "stop_timeout", "sigterm",
    ),
}  # fmt: skip
"""The groups of keys in the help; the keys that a subclass adds are a group of their own."""
