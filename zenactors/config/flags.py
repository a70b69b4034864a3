"""The options of a daemon's command line, generated from the model of its configuration.

Pure functions of models; any thread.
"""

from __future__ import annotations

import dataclasses
import enum
import pathlib
import typing
from typing import TYPE_CHECKING, Any, Literal

from zenactors.config.checking import members_of
from zenactors.config.options import GROUPS, flag_of
from zenactors.core.recipe import key_of

if TYPE_CHECKING:
    import pydantic
    from pydantic.fields import FieldInfo

REPEATED = "verbosity"  # its option may be repeated, and is counted

_VALUES = {"int": "NUMBER", "float": "NUMBER"}
_VALUES_BY_KEY = {
    "action": "ACTION",
    "dir": "DIR",
    "file": "FILE",
    "group": "GROUP",
    "interval": "SECONDS",
    "level": "LEVEL",
    "name": "NAME",
    "timeout": "SECONDS",
    "umask": "MASK",
    "user": "USER",
}
_TAKEN = ("--help", "--version", "--set")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One option of the command line.

    Attributes:
        option: Its spelling: `--work-dir`.
        key: The configuration key that it sets.
        value: The placeholder for its value in the help; None if it takes no value.
        sets: The value that it sets if it takes none.
        group: The heading above it in the help; None for the keys that a subclass adds.
        help: The help text.
    """

    option: str
    key: str
    value: str | None
    sets: bool = True
    group: str | None
    help: str


def flags_of(model: type[pydantic.BaseModel]) -> list[Flag]:
    """Return the options for all keys of a model that are neither tables nor lists.

    Raises:
        ValueError: Two keys would have the same option.
    """
    flags = [flag for name, field in model.model_fields.items() for flag in _flags(name, field)]
    taken = dict.fromkeys(_TAKEN, "every command line")
    for flag in flags:
        if flag.option in taken:
            raise ValueError(
                f"Key {flag.key!r} of {model.__name__} would have the option {flag.option}, which"
                f" {taken[flag.option]} has already: rename it."
            )
        taken[flag.option] = f"key {flag.key!r}"
    return flags


def _flags(name: str, field: FieldInfo) -> list[Flag]:
    members = members_of(field.annotation)
    if not all(map(_is_scalar, members)):
        return []
    key = key_of(name, field)
    flag = Flag(
        option=flag_of(key),
        key=key,
        value=_value(key, members),
        group=next((group for group, keys in GROUPS.items() if key in keys), None),
        help=_help(key, field, members),
    )
    if members == [bool] and field.default is True:
        off = f"--no-{flag.option.removeprefix('--')}"
        flag = dataclasses.replace(flag, option=off, sets=False, help=f"Disable: {flag.help}")
    # Other spellings of the key.
    choices = getattr(field.validation_alias, "choices", [])
    return [
        flag,
        *(
            dataclasses.replace(flag, option=flag_of(choice), help=f"Same as {flag.option}.")
            for choice in choices
            if isinstance(choice, str) and choice != key
        ),
    ]


def _is_scalar(type_: Any) -> bool:
    if typing.get_origin(type_) is Literal:
        return True
    scalars = (str, int, float, enum.Enum, pathlib.PurePath)
    return isinstance(type_, type) and issubclass(type_, scalars)


def _value(key: str, members: list[Any]) -> str | None:
    if members == [bool] or key == REPEATED:
        return None
    by_key = _VALUES_BY_KEY.get(key.rpartition("_")[2])
    names = {_VALUES.get(getattr(member, "__name__", ""), "VALUE") for member in members}
    return by_key or (names.pop() if len(names) == 1 else "VALUE")


def _help(key: str, field: FieldInfo, members: list[Any]) -> str:
    text = (field.description or "").strip()
    known = [str(each) for member in members for each in typing.get_args(member)]
    if any(each.lower() not in text.lower() for each in known):
        text = f"{text.rstrip('.')}: {', '.join(known)}.".removeprefix(": ")
    default = field.default
    if key == REPEATED or members == [bool] or default in {None, ""}:
        return text
    if field.is_required() or field.default_factory is not None:
        return text
    if key == "umask":
        default = f"{default:03o}"  # umasks are written in octal
    return f"{text} Default: {f'{default:g}' if isinstance(default, float) else default}.".strip()
