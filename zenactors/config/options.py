"""Every configuration key of a daemon, as a pydantic model.

The model is all there is: command line, files, JSON Schema and documentation are made from it.
Any thread.
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

if TYPE_CHECKING:
    from zenactors.config.places import KeyPath

NOT_IN_FILES = {
    **{
        key: f"files are found by it; use --{key.replace('_', '-')} on the command line"
        for key in ("config_file", "config_dir", "config_file_silent", "config_dir_silent")
    },
    "action": "it would be done at every start; use --action on the command line",
}
"""The keys that a configuration file cannot set, each with the reason."""


def canonical(path: KeyPath) -> KeyPath:
    """Return the one spelling of a key's path that stands for all of them."""
    if path == ("parallel",):
        return ("paralel",)
    if len(path) == 2 and path[0] == "signals":  # noqa: PLR2004 - the table and a key in it
        return ("signals", signal_name(str(path[1])))
    return path


def flag_of(key: str) -> str:
    """Return the long option of the command line that sets a key."""
    return "--verbose" if key == "verbosity" else f"--{key.replace('_', '-')}"


def as_flag(path: KeyPath) -> str:
    """Call a key as the command line does: `--work-dir`."""
    return flag_of(str(path[0]))


class Table(pydantic.BaseModel):
    """A table of a configuration: unknown keys are wrong, and so are values of another type.

    The base of models for parts of a daemon's configuration, and for options of components.
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

    Defaults that depend on the daemon's name or folders are put beneath this by whoever runs it.
    """

    name: Name = pydantic.Field(description="Name of the daemon, for logs and files.")

    config_file: MaybeText = pydantic.Field(
        default=None, description="Configuration file: TOML (.toml) or JSON with comments."
    )
    config_dir: MaybeText = pydantic.Field(
        default=None, description="Folder of configuration files, read in the order of their names."
    )
    config_file_silent: bool = pydantic.Field(
        default=False, description="Go on without the configuration file if there is none."
    )
    config_dir_silent: bool = pydantic.Field(
        default=False, description="Go on without the configuration folder if there is none."
    )

    log_file: MaybeText = pydantic.Field(default=None, description="Append log lines to this file.")
    log_level: Level = pydantic.Field(
        default="INFO",
        description="Least level to log.",
    )
    log_json: bool = pydantic.Field(
        default=False, description="Write the log file as JSON lines, one object a line."
    )
    debug: bool = pydantic.Field(default=False, description="Log from level debug up.")
    quiet: bool = pydantic.Field(default=False, description="Write only errors to the terminal.")
    verbosity: Annotated[int, pydantic.Field(ge=0)] = pydantic.Field(
        default=0, description="Tell more on the terminal; each time more."
    )

    no_daemon: bool = pydantic.Field(
        default=False, description="Stay in the foreground: everything but detaching."
    )
    paralel: bool = pydantic.Field(
        default=False,
        validation_alias=pydantic.AliasChoices("paralel", "parallel"),
        description="Let several instances run, each with its own files.",
    )
    pid_file: PidFile = pydantic.Field(
        default=None, description="File that holds the process number; must end in .pid."
    )
    user: Account = pydantic.Field(default=None, description="User to run as, name or number.")
    group: Account = pydantic.Field(default=None, description="Group to run as, name or number.")
    chroot_dir: MaybeText = pydantic.Field(
        default=None, description="Make this folder the root folder."
    )
    work_dir: MaybeText = pydantic.Field(default=None, description="Folder to work in.")
    umask: Umask = pydantic.Field(
        default=0o022, description="Rights that new files do not get, an octal number."
    )

    action: MaybeText = pydantic.Field(
        default=None, description="Do this instead of running; see the list of actions."
    )
    state_file: MaybeText = pydantic.Field(
        default=None, description="Where SIGUSR2 writes the state, as JSON."
    )
    runlog_dir: MaybeText = pydantic.Field(
        default=None, description="Folder for the runlogs: a summary of each run, as JSON."
    )
    stats_interval: Interval = pydantic.Field(
        default=300.0, description="Seconds between two statistics in the log; 0: none."
    )
    runlog_interval: Interval = pydantic.Field(
        default=300.0, description="Seconds between two savings of the runlog; 0: only at the end."
    )

    start_timeout: Seconds = pydantic.Field(
        default=30.0, description="Seconds that each component has to start."
    )
    stop_timeout: Seconds = pydantic.Field(
        default=30.0, description="Seconds that a graceful stop may take."
    )
    sigterm: Literal["terminate", "stop"] = pydantic.Field(
        default="terminate",
        description="What SIGTERM does: terminate at once, or stop in order.",
    )
    signals: Signals = pydantic.Field(
        default={},
        description="Signals and the events that they become; not those that have a meaning.",
    )

    components: dict[str, dict[str, Any]] = pydantic.Field(
        default={}, description="Options of each component, by the component's name."
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
        "action", "state_file", "runlog_dir", "stats_interval", "runlog_interval",
        "start_timeout", "stop_timeout", "sigterm",
    ),
}  # fmt: skip
"""The keys as people look for them; a subclass's own keys are a group of their own."""
