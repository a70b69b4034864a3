"""An error text ends with the step that fits what went wrong."""

from __future__ import annotations

import errno
import os

import pytest

from zenactors.process.advice import advice_for_writing, reason


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOENT, "Create the directory /var/{log} first"),
        (errno.EACCES, "Give this user permission to write there"),
        (errno.EROFS, "Mount the file system writable"),
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
    ],
)
def test_the_advice_fits_what_is_wrong(number: int, advice: str) -> None:
    assert advice_for_writing(OSError(number, os.strerror(number)), "/var/{log}/x.log") == advice


def test_an_unknown_error_has_the_callers_advice() -> None:
    cause = OSError(errno.EBUSY, "Device or resource busy")

    assert advice_for_writing(cause, "x.log", "Choose another file") == "Choose another file"


def test_a_relative_path_is_in_the_current_directory() -> None:
    cause = FileNotFoundError(errno.ENOENT, "No such file or directory")

    assert advice_for_writing(cause, "x.log") == "Create the directory . first"


def test_the_reason_is_never_empty() -> None:
    assert reason(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert reason(OSError("short write")) == "short write"
