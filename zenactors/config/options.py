"""Every configuration key of a daemon, as a pydantic model.

The model is all there is: command line, files, JSON Schema and documentation are made from it.
Any thread.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import pydantic
import pydantic_core

from zenactors.config.checking import STRICT, adapter_of
from zenactors.errors import ConfigurationError, did_you_mean

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

_NOT_CATCHABLE = "the system lets no process catch it"
_FAULT = "it tells of a fault in the process, which would happen again and again"
_TAKEN = "the daemon uses it itself"

_SIGNALS_NOT_MAPPED = {
    "SIGKILL": _NOT_CATCHABLE,
    "SIGSTOP": _NOT_CATCHABLE,
    **dict.fromkeys(("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"), _FAULT),
    "SIGINT": f"{_TAKEN}: it stops it; handle event 'stop'",
    "SIGTERM": f"{_TAKEN}: see sigterm",
    "SIGHUP": f"{_TAKEN}; handle event 'signal_hup'",
    "SIGUSR1": f"{_TAKEN}; handle event 'signal_usr1'",
    "SIGUSR2": f"{_TAKEN}; handle event 'signal_usr2'",
    "SIGALRM": f"{_TAKEN}: it wakes it",
    "SIGQUIT": f"{_TAKEN}: it shows the stacks of all threads",
}

# Not SIGNALS_TO_NAMES_DICT, which has one name a number: SIGCHLD is also called SIGCLD.
_MAPPABLE = {
    name
    for name, number in signal.Signals.__members__.items()
    if number.name not in _SIGNALS_NOT_MAPPED
}


def signal_name(text: str) -> str:
    """Return a signal's one whole name: `SIGWINCH` for `winch`; also if there is none such."""
    name = "SIG" + text.upper().removeprefix("SIG")
    known = signal.Signals.__members__.get(name)
    return known.name if known else name


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


def _check_signals(value: Any) -> Any:
    names = [signal_name(key) for key in value] if isinstance(value, Mapping) else []
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} is given twice, in two spellings")
    return value


def _check_signal(text: str) -> str:
    name = signal_name(text)
    if reason := _SIGNALS_NOT_MAPPED.get(name):
        raise ValueError(f"{name} cannot be mapped to an event: {reason}")
    if name not in _MAPPABLE:
        hint = did_you_mean(name, _MAPPABLE) or "; use the name of a signal, as SIGWINCH"
        raise ValueError(f"there is no signal {name}{hint}")
    return name


def _check_name(text: str) -> str:
    if "/" in text or "\0" in text:
        raise ValueError("must be fit for names of files: without '/'")
    return text


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _parse_umask(value: Any) -> Any:
    from zenactors.process.privileges import parse_umask  # noqa: PLC0415 - only if one is given

    expected = 'must be an octal text such as "022", or a number from 0 to 0o777'
    if not isinstance(value, str | int):
        raise ValueError(expected)  # noqa: TRY004 - pydantic takes ValueErrors for findings
    try:
        return parse_umask(value)
    except ConfigurationError as cause:
        raise ValueError(expected) from cause


def _check_pid_file(value: str | None) -> str | None:
    if value is not None and not value.endswith(".pid"):
        raise ValueError("must end in .pid")
    return value


def _any_case(text: str) -> str:
    """Return a pattern for a text in any case, in the regular expressions of JSON Schema."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in text)


def _any_of(names: Iterable[str]) -> str:
    return "|".join(map(_any_case, sorted(names)))


Text = Annotated[str, pydantic.Field(min_length=1)]
Name = Annotated[Text, pydantic.AfterValidator(_check_name)]
MaybeText = Annotated[str | None, pydantic.BeforeValidator(_none_if_empty)]
"""A text that may be left out: an empty one unsets what a weaker source has set."""
Account = Annotated[
    str | Annotated[int, pydantic.Field(ge=0)] | None, pydantic.BeforeValidator(_none_if_empty)
]
_Level = Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Level = Annotated[
    _Level,
    pydantic.BeforeValidator(_upper),
    pydantic.WithJsonSchema({"type": "string", "pattern": f"^({_any_of(get_args(_Level))})$"}),
]
PidFile = Annotated[
    MaybeText,
    pydantic.AfterValidator(_check_pid_file),
    pydantic.WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^(.*\.pid)?$"}, {"type": "null"}]}
    ),
]
Umask = Annotated[
    int,
    pydantic.BeforeValidator(_parse_umask),
    pydantic.WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 0o777},
                {"type": "string", "pattern": "^(0o)?[0-7]+$"},
            ]
        }
    ),
]
Seconds = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
Interval = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
Signals = Annotated[
    dict[Annotated[str, pydantic.AfterValidator(_check_signal)], Text],
    pydantic.BeforeValidator(_check_signals),
    pydantic.WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {
                "pattern": f"^([Ss][Ii][Gg])?({_any_of(name[3:] for name in _MAPPABLE)})$"
            },
            "additionalProperties": {"type": "string", "minLength": 1},
        }
    ),
]


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
        # Strictly, a string is no Path and a list is no tuple; but files and command lines have no
        # other way to write them, so what would be right as JSON is right here.
        try:
            return strictly(value)
        except pydantic.ValidationError:
            field = cls.model_fields[str(info.field_name)]
            with contextlib.suppress(pydantic.ValidationError, ValueError):
                return adapter_of(field).validate_json(pydantic_core.to_json(value), strict=True)
            raise


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
