"""A whole daemon for the process tests; environment variables choose its behaviour.

`WHOLE` holds words; see `Subject`. The daemon reports events, one connection a word, to the
abstract socket that `WHOLE_SOCKET` names. So a report arrives from another root directory, from
another user and from behind a fork, and the daemon does not wait for the test to listen.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from zenactors import Supervision, ZenDaemon, ZenDaemonComponent, ZenDaemonStopException, handles
from zenactors.config.options import DaemonOptions, Table

NAME = "whole"
DIRECTORY = "WHOLE_DIRECTORY"
MODES = "WHOLE"
ACTIONS = "WHOLE_ACTIONS"
SOCKET = "WHOLE_SOCKET"
Answer = tuple[int, Any]

SECRET = "s3cr3t-of-whole"  # must not be in any file


def say(word: str, **facts: Any) -> None:
    """Report to the test. Does nothing if the test has ended."""
    data = json.dumps({"word": word, "pid": os.getpid(), **facts}).encode()
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(f"\0{os.environ[SOCKET]}")
            link.sendall(data)
        except OSError:
            return


def hang() -> None:
    """Block: read from a pipe without a writer."""
    reader, _writer = os.pipe()
    os.read(reader, 1)


class BugError(Exception):
    """An exception that no code expects."""


class SignalListener(ZenDaemonComponent):
    """Calls `heard` with a word for each event of a signal."""

    def heard(self, word: str) -> None:
        raise NotImplementedError

    @handles("signal_hup")
    def cbk_event_signal_hup(self, daemon: ZenDaemon, args: Any) -> None:
        self.heard("hup")

    @handles("signal_usr1")
    def cbk_event_signal_usr1(self, daemon: ZenDaemon, args: Any) -> None:
        self.heard("usr1")

    @handles("signal_usr2")
    def cbk_event_signal_usr2(self, daemon: ZenDaemon, args: Any) -> None:
        self.heard("usr2")

    @handles("resized")
    def cbk_event_resized(self, daemon: ZenDaemon, args: Any) -> None:
        self.heard("winch")


class Subject(SignalListener):
    """Stays until it is stopped, and acts by the words."""

    class Options(Table):
        """Its section in the configuration."""

        api_key: str = SECRET
        pace: int = 1

    def __init__(self, words: set[str]) -> None:
        super().__init__(name="subject")
        self.words = words
        self.password = SECRET
        if "holds-descriptors" in words:
            self.own = socket.socket(socket.AF_UNIX)
            self.own.bind("\0" + os.environ[SOCKET] + "-own")
            self.unwanted = open(os.devnull)  # noqa: SIM115, PTH123 - until it is detached
            self.keep_descriptors, self.close_descriptors = [7], [self.unwanted]

    def get_state(self) -> dict[str, Any]:
        if "broken-state" in self.words:
            raise BugError("no state")
        return {"password": self.password, "url": f"nats://me:{SECRET}@host", "mark": "visible"}

    def get_statistics(self, reader: Any = "statistics") -> dict[Any, Any]:
        if "broken-statistics" in self.words:
            raise BugError("no statistics")
        return super().get_statistics(reader)

    def reconfigure(self, daemon: ZenDaemon, options: Any) -> None:
        say("reconfigured", pace=options["pace"])

    def setup(self, daemon: ZenDaemon) -> None:
        say("setup", environ=dict(os.environ))
        if "holds-descriptors" in self.words:
            say("holds", own=self.own.getsockname().startswith(b"\0zenactors-"))
        if "setup-hangs" in self.words:
            hang()
        if "setup-raises" in self.words:
            raise OSError("no such device")
        if "idle" not in self.words:
            daemon.io.keep_alive()

    def teardown(self, daemon: ZenDaemon) -> None:
        say("teardown")
        if "teardown-hangs" in self.words:
            hang()

    @handles("start")
    def cbk_event_start(self, daemon: ZenDaemon, args: Any) -> Answer:
        if "start-raises" in self.words:
            raise OSError("no such device")
        for word in ("hangs", "swallows", "exits", "stops", "raises"):
            if word in self.words:
                daemon.queue.schedule(word)
        return daemon.FLAG_CONTINUE, args

    @handles("hangs")
    def cbk_event_hangs(self, daemon: ZenDaemon, args: Any) -> Answer:
        say("hangs")
        hang()
        return daemon.FLAG_CONTINUE, args

    @handles("swallows")
    def cbk_event_swallows(self, daemon: ZenDaemon, args: Any) -> Answer:
        say("swallows")
        reader, _writer = os.pipe()
        while True:
            try:
                os.read(reader, 1)
            except:  # noqa: E722 - as in some programs
                continue

    @handles("exits")
    def cbk_event_exits(self, daemon: ZenDaemon, args: Any) -> Answer:
        raise SystemExit(5)

    @handles("stops")
    def cbk_event_stops(self, daemon: ZenDaemon, args: Any) -> Answer:
        raise ZenDaemonStopException("enough")

    @handles("raises")
    def cbk_event_raises(self, daemon: ZenDaemon, args: Any) -> Answer:
        daemon.set_done()
        raise BugError("in a callback")

    def heard(self, word: str) -> None:
        say(word)


class Counting(SignalListener):
    """Counts signals, and reports the counts when it is torn down."""

    def __init__(self) -> None:
        super().__init__(name="counting")
        self.counts: Counter[str] = Counter()

    def heard(self, word: str) -> None:
        self.counts[word] += 1

    def teardown(self, daemon: ZenDaemon) -> None:
        say("counts", **self.counts)


class Busy(ZenDaemonComponent):
    """Computes, and schedules its own next event, for as long as the daemon runs."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"busy-{number}")
        self.event_name = f"busy-{number}"

    def get_events(self) -> list[Any]:
        return [
            self.gen_event_handler("start", self.cbk_event_busy),
            self.gen_event_handler(self.event_name, self.cbk_event_busy),
        ]

    def cbk_event_busy(self, daemon: ZenDaemon, args: Any) -> Answer:
        sum(range(5_000))
        if not daemon.is_done():
            daemon.queue.schedule(self.event_name)
        return daemon.FLAG_CONTINUE, args


class WholeDaemon(ZenDaemon):
    """The program."""

    class Options(DaemonOptions):
        """The daemon's own keys."""

        db_password: str = SECRET

    derived = 0

    def derive(self, config: dict[str, Any]) -> None:
        say("configured")
        self.derived += 1
        # With several instances: again, in the process that becomes the daemon.
        moment = "configuring" if self.derived == 1 else "becoming"
        if f"{moment}-raises" in words():
            raise BugError("in derive")
        for number in (signal.SIGINT, signal.SIGTERM):
            if f"{moment}-gets-{number.name}" in words():
                os.kill(os.getpid(), number)

    def cbk_action_break(self) -> None:
        """Fail as only a bug can."""
        raise BugError("in an action")


def words() -> set[str]:
    return set(os.environ.get(MODES, "").split())


def daemon() -> WholeDaemon:
    """Return the daemon that the environment describes."""
    chosen, directory = words(), os.environ[DIRECTORY]
    busy = [Busy(number) for number in range(4)] if "busy" in chosen else []
    daemon = WholeDaemon(
        name=NAME,
        description="Does what the test says.",
        components=[Subject(chosen), *([Counting()] if busy else []), *busy],
        schedule=[("unheard",)] if "unknown-event" in chosen else [],
        ordering="global" if "policy" in chosen else "component",
        supervision=Supervision(on_error="stop", status=1) if "policy" in chosen else None,
        path_run=directory,
        path_log=directory,
        path_cfg=directory,
    )
    daemon.on_ready = lambda: say("ready")
    return daemon


def do_each(actions: Iterable[str]) -> None:
    """Perform several actions in one process, for speed; report each one's status and texts."""
    for action in actions:
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            try:
                daemon().run(["--action", action])
            except SystemExit as left:
                status = left.code
        say(action, status=status, out=out.getvalue(), err=err.getvalue())


def main() -> None:
    say("begun")
    if ACTIONS in os.environ:
        do_each(os.environ[ACTIONS].split())
    else:
        daemon().run()


if __name__ == "__main__":
    main()
