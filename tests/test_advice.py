"""An error text ends with the step that fits what went wrong."""

from __future__ import annotations

import errno
import os
from typing import Literal

import pytest

from zenactors.advice import advice_for, reason


@pytest.mark.parametrize(
    ("number", "access", "advice"),
    [
        (errno.ENOENT, "write", "Create the directory /var/{log} first"),
        (errno.EACCES, "write", "Give this user permission to write there"),
        (errno.EROFS, "write", "Mount the file system writable"),
        (errno.EDQUOT, "write", "Free some space"),
        (errno.EACCES, "read", "Give this user permission to read it"),
        (errno.EMFILE, "read", "Raise the limit of open files (ulimit -n)"),
        (errno.EMFILE, "write", "Raise the limit of open files (ulimit -n)"),
        (errno.ENOENT, "read", "Check the path and the file system"),
        (errno.EBUSY, "write", "Check the path and the file system"),
        (None, "write", "Check the path and the file system"),
    ],
)
def test_the_advice_fits_what_is_wrong(
    number: int | None, access: Literal["read", "write"], advice: str
) -> None:
    cause = OSError("text") if number is None else OSError(number, os.strerror(number))

    assert advice_for(cause, "/var/{log}/x.log", access) == advice


def test_an_unknown_error_has_the_callers_advice() -> None:
    cause = OSError(errno.EBUSY, "Device or resource busy")

    assert advice_for(cause, "x.log", "write", "Choose another file") == "Choose another file"


def test_a_relative_path_is_in_the_current_directory() -> None:
    cause = FileNotFoundError(errno.ENOENT, "No such file or directory")

    assert advice_for(cause, "x.log", "write") == "Create the directory . first"


def test_the_reason_is_never_empty() -> None:
    assert reason(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert reason(OSError("short write")) == "short write"
