"""Check options that several components have."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, TypeVar

_Choice = TypeVar("_Choice", bound=str)


def check_strings(option: str, value: Any, *, of: str, example: str) -> list[str]:
    """Return `value` as a list if it is a list of non-empty strings."""
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - wrong options are ValueErrors
            f"{option} is {value!r}, but a list of {of} is expected: write [{value!r}]."
        )
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
        raise ValueError(
            f"{option} is {value!r}, but a list of {of} is expected, such as {example}."
        )
    for each in value:
        check_name(option, each)
    return list(value)


def check_name(option: str, value: str) -> None:
    """Raise a `ValueError` if no file can have this name."""
    if "\0" in value:
        raise ValueError(f"{option} has a null character: {value!r}. No file's name can have one.")
    try:
        os.fsencode(value)
    except UnicodeEncodeError as cause:
        raise ValueError(f"{option} is {value!a}, which no file's name can be.") from cause


def check_positive(option: str, value: Any, *, unit: str) -> float:
    """Return `value` as a float if it is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{option} is {value!r}, but a number of {unit} above 0 is expected.")
    return float(value)


def check_count(option: str, value: Any) -> int:
    """Return `value` if it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{option} is {value!r}, but a whole number of at least 1 is expected.")
    return value


def check_bool(option: str, value: Any) -> bool:
    """Return `value` if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{option} is {value!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
    return value


def check_choice(option: str, value: _Choice, choices: Sequence[str]) -> _Choice:
    """Return `value` if it is one of several texts."""
    if value not in choices:
        expected = ", ".join(f'"{each}"' for each in choices[:-1]) + f' or "{choices[-1]}"'
        raise ValueError(f"{option} is {value!r}, but {expected} is expected.")
    return value


def check_path(option: str, value: Any, *, of: str) -> str:
    """Return `value` if it can be the path of something."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{option} is {value!r}, but the path of {of} is expected.")
    check_name(option, value)
    return value
