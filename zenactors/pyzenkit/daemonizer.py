"""PID files, as pyzenkit's programs read and write them. `ZenDaemon` detaches by itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def get_logger_files(logger: Any) -> list[Any]:
    """Return the streams and sockets that the handlers of a standard logger write to."""
    targets = (
        getattr(handler, attribute, None)
        for handler in logger.handlers
        for attribute in ("stream", "socket")
    )
    return [each for each in targets if hasattr(each, "fileno")]


def write_pid(pid_file: str, pid: int) -> None:
    """Write a PID into a new file.

    Raises:
        TypeError: `pid` is no integer.
        FileExistsError: There is such a file.
    """
    if not isinstance(pid, int):
        raise TypeError(f"A PID must be an integer, not {pid!r}.")
    descriptor = os.open(pid_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
        file.write(f"{pid}\n")


def read_pid(pid_file: str) -> int:
    """Return the PID in the first line of a file.

    Raises:
        ValueError: There is none.
    """
    return int(Path(pid_file).read_text(encoding="ascii").partition("\n")[0])
