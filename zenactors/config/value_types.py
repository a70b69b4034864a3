"""Types of configuration values: how each is checked, and its JSON Schema.

Pure functions of values; any thread.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

import pydantic

from zenactors.errors import ConfigurationError, did_you_mean

_NOT_CATCHABLE = "no process can catch it"
_FAULT = "it reports a fault in the process, which would occur again at once"
_TAKEN = "the daemon uses it"

_SIGNALS_NOT_MAPPED = {
    "SIGKILL": _NOT_CATCHABLE,
    "SIGSTOP": _NOT_CATCHABLE,
    **dict.fromkeys(("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"), _FAULT),
    "SIGINT": f"{_TAKEN} to stop; handle event 'stop'",
    "SIGTERM": f"{_TAKEN}; see key 'sigterm'",
    "SIGHUP": f"{_TAKEN}; handle event 'signal_hup'",
    "SIGUSR1": f"{_TAKEN}; handle event 'signal_usr1'",
    "SIGUSR2": f"{_TAKEN}; handle event 'signal_usr2'",
    "SIGALRM": f"{_TAKEN} to wake up",
    "SIGQUIT": f"{_TAKEN} to print the stacks of all threads",
}

# SIGNALS_TO_NAMES_DICT would not do: it has one name per number, but SIGCHLD is also SIGCLD.
_MAPPABLE = {
    name
    for name, number in signal.Signals.__members__.items()
    if number.name not in _SIGNALS_NOT_MAPPED
}


def signal_name(text: str) -> str:
    """Return a signal's full name, `SIGWINCH` for `winch`, even if there is no such signal."""
    name = "SIG" + text.upper().removeprefix("SIG")
    known = signal.Signals.__members__.get(name)
    return known.name if known else name


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
        hint = did_you_mean(name, _MAPPABLE) or "; use the name of a signal, such as SIGWINCH"
        raise ValueError(f"there is no signal {name}{hint}")
    return name


def _check_name(text: str) -> str:
    if "/" in text or "\0" in text:
        raise ValueError("must be usable in file names: without '/'")
    return text


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _check_system_text(value: Any) -> Any:
    """Refuse a text that the system cannot take as the name of a file or an account."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("must not have a null character")
        try:
            os.fsencode(value)
        except UnicodeEncodeError as cause:
            wrong = ascii(value[cause.start])
            raise ValueError(f"has a character that no name can have: {wrong}") from cause
    return value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _parse_umask(value: Any) -> Any:
    from zenactors.process.privileges import parse_umask  # noqa: PLC0415 - needed only if one is given

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
    """Return a JSON Schema pattern that matches a text in any case."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in text)


def _any_of(names: Iterable[str]) -> str:
    return "|".join(map(_any_case, sorted(names)))


Text = Annotated[str, pydantic.Field(min_length=1)]
Name = Annotated[Text, pydantic.AfterValidator(_check_name)]
MaybeText = Annotated[
    str | None,
    pydantic.BeforeValidator(_none_if_empty),
    pydantic.AfterValidator(_check_system_text),
]
"""A text that may be missing: an empty text unsets the value of a weaker source."""
Account = Annotated[
    str | Annotated[int, pydantic.Field(ge=0)] | None,
    pydantic.BeforeValidator(_none_if_empty),
    pydantic.AfterValidator(_check_system_text),
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
