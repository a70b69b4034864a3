"""A daemon that reports to descriptor 9, one word a line; for `test_inherited`.

    inherited.py serve|run WORD ...

Words: `spawns` reports the statuses of programs, `buffered` leaves text in standard output,
`nohup` and `sigchld` ignore a signal as a parent process may have done.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from zenactors import ZenDaemon, ZenDaemonComponent, handles


def say(word: str) -> None:
    os.write(9, f"{word}\n".encode())


class Subject(ZenDaemonComponent):
    """Stays until it is stopped, and acts by the words."""

    def __init__(self, words: list[str]) -> None:
        super().__init__()
        self.words = words

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()

    @handles("begin")
    def cbk_event_begin(self, daemon: Any, args: Any) -> None:
        if "spawns" in self.words:
            for script in ("exit 3", "kill -9 $$"):
                say(f"status {daemon.spawn(['sh', '-c', script]).wait()}")
        if "buffered" in self.words:
            sys.stdout.write("lost")
            daemon.set_done()
        say("ready")

    @handles("signal_hup")
    def cbk_event_signal_hup(self, daemon: Any, args: Any) -> None:
        say("hup")

    def teardown(self, daemon: Any) -> None:
        say("teardown")


def main() -> None:
    how, *words = sys.argv[1:]
    for word, number in (("nohup", signal.SIGHUP), ("sigchld", signal.SIGCHLD)):
        if word in words:
            signal.signal(number, signal.SIG_IGN)
    daemon = ZenDaemon(name="inherited", components=[Subject(words)], schedule=[("begin",)])
    if how == "serve":
        sys.exit(daemon.serve())
    daemon.run(["--no-daemon", "--pid-file", ""])


if __name__ == "__main__":
    main()
