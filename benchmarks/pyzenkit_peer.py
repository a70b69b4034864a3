"""The same work, done by pyzenkit 0.67 with its own queue, components and `_event_loop`.

Only the code around the loop (configuration, command line, daemonization) is left out: the daemon
is made without its constructor and gets the attributes that the loop reads.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from pyzenkit import zendaemon

from benchmarks.common import require
from benchmarks.ours import EVENT

PEER = "pyzenkit 0.67"


class PeerDaemon(zendaemon.ZenDaemon):  # type: ignore[misc]
    """pyzenkit's daemon, reduced to its event loop."""

    def __init__(self, components: list[Any]) -> None:
        # Not super().__init__(): that reads the command line and files.
        self.queue = zendaemon.EventQueueManager()
        self.components: list[Any] = []
        self.callbacks: dict[Any, Any] = {}
        self.flag_loop_done = 0
        self.logger = logging.getLogger("pyzenkit")
        self._init_components(components=components)

    def run_loop(self) -> None:
        """Run pyzenkit's loop until the queue is empty."""
        try:
            self._event_loop()
        except zendaemon.QueueEmptyException:
            return


class PeerNoop(zendaemon.ZenDaemonComponent):  # type: ignore[misc]
    """Pass every event on."""

    def get_events(self) -> list[dict[str, Any]]:
        return [self.gen_event_handler(EVENT, self.cbk_event_x)]

    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        return (daemon.FLAG_CONTINUE, args)


class PeerRecorder(PeerNoop):
    """Keep the args in order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        self.seen.append(args)
        return (daemon.FLAG_CONTINUE, args)


def prefilled(components: list[Any], count: int) -> PeerDaemon:
    """Return a pyzenkit daemon with `count` events queued."""
    daemon = PeerDaemon(components)
    schedule = daemon.queue.schedule
    for number in range(count):
        schedule(EVENT, number)
    return daemon


def finish(daemon: PeerDaemon) -> None:
    require(daemon.queue.count() == 0, "pyzenkit's loop left events in its queue")


def rate_of_chain(length: int, count: int) -> float:
    """Return events/s of pyzenkit's loop, with all events queued before."""
    daemon = prefilled([PeerNoop() for _ in range(length)], count)
    begin = time.perf_counter()
    daemon.run_loop()
    elapsed = time.perf_counter() - begin
    finish(daemon)
    return count / elapsed


def seen_by_last(length: int, count: int) -> list[Any]:
    """Return the args that the last component of a chain receives."""
    last = PeerRecorder()
    daemon = prefilled([*(PeerNoop() for _ in range(length - 1)), last], count)
    daemon.run_loop()
    finish(daemon)
    return last.seen
