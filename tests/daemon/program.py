"""A daemon for the process tests: reports events on standard output, one word a line."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from loguru import logger

from zenactors import Supervision, ZenDaemon, ZenDaemonComponent, ZenDaemonStopException, handles
from zenactors.daemon.ending import leave
from zenactors.daemon.signal_events import SIGNAL_EVENTS

Answer = tuple[int, Any]

BACKLOG = 100  # events: more than one batch
DEADLINE = 30.0  # seconds: generous, so that only a hang takes it


def say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def hang() -> None:
    """Block: read from a pipe without a writer."""
    reader, _writer = os.pipe()
    os.read(reader, 1)


class Subject(ZenDaemonComponent):
    """Acts by its mode."""

    def __init__(self, mode: str) -> None:
        super().__init__(name="subject")
        self.mode = mode
        self.work = 0

    def setup(self, daemon: ZenDaemon) -> None:
        if self.mode == "setup-blocks":
            say("setup")
            hang()
        if self.mode == "setup-raises":
            raise OSError("no such device")
        if self.mode in ("waits", "backlog", "thread"):
            daemon.io.keep_alive()

    def teardown(self, daemon: ZenDaemon) -> None:
        if self.mode == "teardown-blocks":
            say("tearing down")
            hang()
        say(f"teardown after {self.work}" if self.work else "teardown")

    @handles("start")
    def cbk_event_start(self, daemon: ZenDaemon, args: Any) -> Answer:
        if self.mode == "start-raises":
            raise OSError("no such device")
        daemon.queue.schedule("work")
        if self.mode == "backlog":
            for _ in range(BACKLOG):
                daemon.queue.schedule("work")
        return daemon.FLAG_CONTINUE, args

    @handles("work")
    def cbk_event_work(self, daemon: ZenDaemon, args: Any) -> Answer:
        self.work += 1
        if self.work == 1:
            say("ready")
        match self.mode:
            case "work-blocks":
                say("blocked")
                hang()
            case "exits":
                raise SystemExit(3)
            case "stops":
                raise ZenDaemonStopException("enough")
            case "raises":
                raise ValueError("bad work")
            case "backlog":
                assert daemon.wait(DEADLINE)  # until the stop has begun
            case "thread":
                signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        return daemon.FLAG_CONTINUE, args

    @handles("stop")
    def cbk_event_stop(self, daemon: ZenDaemon, args: Any) -> Answer:
        say("stop")
        return daemon.FLAG_CONTINUE, args

    @handles("signal_usr1")
    def cbk_event_signal_usr1(self, daemon: ZenDaemon, args: Any) -> Answer:
        say("usr1")
        return daemon.FLAG_CONTINUE, args

    @handles("signal_usr2")
    def cbk_event_signal_usr2(self, daemon: ZenDaemon, args: Any) -> Answer:
        say("state")
        return daemon.FLAG_CONTINUE, args


def main() -> None:
    mode, state_file, *options = sys.argv[1:]
    logger.remove()
    logger.add(sys.stderr, format="{level} {message}", backtrace=False, diagnose=False)
    daemon = ZenDaemon(
        name="program",
        components=[Subject(mode)],
        schedule={"unknown-event": [("unheard", 1)], "limited": [("work", 1)] * 5}.get(mode, []),
        queue_limit=2 if mode == "limited" else None,
        queue_full="block",
        state_file=state_file,
        default_runlog_dir=f"{state_file}.runlogs",
        stop_timeout=float(options[0]) if options else 30.0,
        ordering="global" if "policy" in options else "component",
        supervision=Supervision(on_error="stop", status=1) if "policy" in options else None,
    )
    status = daemon.serve()
    leave(status, daemon.stop_report, SIGNAL_EVENTS)


if __name__ == "__main__":
    main()
