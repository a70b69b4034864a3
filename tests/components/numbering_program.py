"""A daemon whose source numbers its events, and whose sink appends them to a file; for kills.

    python -m tests.components.numbering_program DIRECTORY LIMIT BOUND [exit=N|raise=N ...]

It prints each number that it has appended, and at its end the numbers that are dead letters.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from zenactors import Checkpoints, ZenDaemon, ZenDaemonComponent, handles


class Numbers(ZenDaemonComponent):
    """The source: the position behind a number is the number."""

    def __init__(self, limit: int, bound: int) -> None:
        super().__init__()
        self.limit = limit
        self.bound = bound

    def setup(self, daemon: Any) -> None:
        self.checkpoints = Checkpoints(daemon, bound=self.bound, on_room=self.read)
        self.number: int = self.checkpoints.resume() or 0
        self.read()

    def read(self) -> None:
        while not self.checkpoints.is_full and self.number < self.limit:
            self.number += 1
            self.checkpoints.schedule("number", self.number, self.number)

    def teardown(self, daemon: Any) -> None:
        self.checkpoints.close()


class Appender(ZenDaemonComponent):
    """The sink: one write for each number."""

    def __init__(self, path: Path, exits: set[int], raises: set[int]) -> None:
        super().__init__()
        self.path = path
        self.exits = exits
        self.raises = raises

    def setup(self, daemon: Any) -> None:
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @handles("number")
    def cbk_event_number(self, daemon: Any, number: int) -> None:
        if number in self.exits:
            os._exit(1)
        if number in self.raises:
            raise SystemExit(1)
        line = b"%d\n" % number
        os.write(self.fd, line)
        os.write(1, line)

    def teardown(self, daemon: Any) -> None:
        os.close(self.fd)


def main() -> int:
    """Run to the end."""
    directory, limit, bound, *poison = sys.argv[1:]
    numbers = {
        how: {int(each.split("=")[1]) for each in poison if each.startswith(how)}
        for how in ("exit", "raise")
    }
    path = Path(directory)
    daemon = ZenDaemon(
        name="numbering",
        components=[
            Numbers(int(limit), int(bound)),
            Appender(path / "out", numbers["exit"], numbers["raise"]),
        ],
        default_state_dir=str(path / "state"),
    )
    status = daemon.serve()
    for letter in daemon.dispatcher.dead_letters():
        os.write(1, f"dead {letter.args}: {letter.cause}\n".encode())
    return status


if __name__ == "__main__":
    sys.exit(main())
