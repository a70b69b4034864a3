"""A custom component behind the FileTailer: it counts lines, words and bytes of a file, and ends.

python examples/line_counter.py /var/log/dpkg.log
"""

import sys
from typing import Any

from zenactors import Daemon, ZenDaemon, ZenDaemonComponent, handles
from zenactors.components import FileTailer, Lines


class LineCounter(ZenDaemonComponent):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lines = self.words = self.bytes = 0

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Lines) -> None:
        """Count one block of whole lines."""
        self.lines += len(args)
        self.words += len(args.data.split())
        self.bytes += len(args.data)

    def teardown(self, daemon: Daemon) -> None:
        """Print the result. The last callback has returned, so the counts are complete."""
        print(f"{self.lines} lines, {self.words} words, {self.bytes} bytes")


def make_daemon(path: str) -> ZenDaemon:
    return ZenDaemon(
        name="line-counter",
        components=[FileTailer(patterns=[path], start="beginning"), LineCounter()],
        exit_when_idle=True,  # without it, the daemon keeps following the file
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/line_counter.py FILE")
    sys.exit(make_daemon(sys.argv[1]).serve())
