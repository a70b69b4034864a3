from __future__ import annotations

import errno

import pytest

from zenactors.components._advice import advice_for


@pytest.mark.parametrize(
    ("error", "access", "advice"),
    [
        (errno.EACCES, "read", "leave it out of the patterns"),
        (errno.EACCES, "write", "choose another path"),
        (errno.ENOENT, "write", "mkdir -p /var/{x}"),
        (errno.EMFILE, "read", "ulimit -n"),
        (errno.EMFILE, "write", "ulimit -n"),
        (errno.ESTALE, "read", "Check the path"),
        (None, "write", "Check the path"),
    ],
)
def test_an_error_has_a_next_step(error, access, advice):
    cause = OSError(error, "text") if error else OSError("text")

    assert advice in advice_for(cause, "/var/{x}/log", access)


def test_a_file_in_the_working_directory_is_in_a_directory_too():
    assert "mkdir -p ." in advice_for(OSError(errno.ENOENT, "text"), "log", "write")
