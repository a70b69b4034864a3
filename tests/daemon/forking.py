"""A daemon with children of multiprocessing, one of which ignores SIGTERM; for `test_forks`.

    forking.py METHOD DIRECTORY [OPTION ...]

It says "ready" on standard output once the children run.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

from tests.daemon.pausing import work
from zenactors import ZenDaemon, ZenDaemonComponent


class Starter(ZenDaemonComponent):
    """Keeps the children, of every kind."""

    def __init__(self, method: str) -> None:
        super().__init__(name="starter")
        self.method = method
        self.pids: list[int] = []

    def setup(self, daemon: Any) -> None:
        context: Any = multiprocessing.get_context(self.method)
        for is_daemonic in (True, False):
            for deaf in (True, False):
                reader, writer = context.Pipe(duplex=False)
                options = {"deaf": deaf}
                context.Process(
                    target=work, args=(writer,), kwargs=options, daemon=is_daemonic
                ).start()
                self.pids.append(reader.recv())
        daemon.io.keep_alive()


def main() -> None:
    method, directory, *options = sys.argv[1:]
    starter = Starter(method)
    daemon = ZenDaemon(name="forking", components=[starter])

    def ready() -> None:
        Path(directory, "pids").write_text(" ".join(map(str, starter.pids)))
        os.write(1, b"ready\n")

    daemon.on_ready = ready
    daemon.run(["--no-daemon", "--pid-file", f"{directory}/x.pid", *options])


if __name__ == "__main__":
    main()
