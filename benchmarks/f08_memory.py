"""F8: the memory of a million queued events, and of one idle component.

Each figure is the growth of the resident set (RSS) of a fresh process that has imported and used
everything once before.

Queued events: bytes per event between the first and the last `schedule()`. The events' args are
integers from a list that is made before, so they are not counted. "Before the start": the
dispatcher has the events in its queue. "Behind a busy chain": the dispatcher runs, its only
component is blocked in a callback, and this thread schedules without a pause.

Idle components: 200, each with a chain of its own, from before `Dispatcher(…)` to the end of
`start()`, divided by 200. The peer, for information, is a plain pykka actor.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import (
    Options,
    Row,
    Target,
    in_fresh_process,
    interleave,
    paired_row,
    require,
)

ID = "F8"
EVENTS = 1_000_000
COMPONENTS = 200
PAIRS = 2  # memory varies little


def run(options: Options) -> Iterator[Row]:
    count = options.size(EVENTS)
    pairs = options.repeats(PAIRS)
    for kind, case in (
        ("prefilled", "queued event, before the start"),
        ("blocked", "queued event, behind a busy chain"),
    ):
        yield paired_row(
            ID,
            case,
            interleave(measured(kind, count), measured("pyzenkit", count), pairs),
            unit="bytes",
            peer_name="pyzenkit 0.67",
            target=Target(bound=1.5, at_least=False),
            note=f"{count:,} events",
        )
    yield paired_row(
        ID,
        "idle component",
        interleave(measured("idle", COMPONENTS), measured("pykka", COMPONENTS), pairs),
        unit="KB",
        peer_name="bare pykka actor",
        target=Target(bound=100, at_least=False, of="ours", unit="KB"),
        note=f"{COMPONENTS} components",
    )


def measured(kind: str, count: int, policy: str = "default") -> Callable[[], float]:
    """Return a measure: bytes for each event, or KB for each component, in a fresh process."""
    return lambda: float(in_fresh_process("f08_memory", kind, count, policy))


# --- in the fresh process ---------------------------------------------------------------------


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _arguments(count: int) -> list[int]:
    return list(range(1_000_000_000, 1_000_000_000 + count))


def _prefilled(count: int) -> float:
    from benchmarks.ours import EVENT, Noop, rate_of_chain  # noqa: PLC0415
    from zenactors.actors.dispatcher import Dispatcher  # noqa: PLC0415

    rate_of_chain(1, 1_000)
    arguments = _arguments(count)
    dispatcher = Dispatcher([Noop()])
    before = _resident()
    for args in arguments:
        dispatcher.queue.schedule(EVENT, args)
    grown = _resident() - before
    require(dispatcher.queue.count() == count, "events are missing in the queue")
    return grown / count


def _blocked(count: int) -> float:
    from benchmarks.ours import EVENT, finish, rate_of_chain  # noqa: PLC0415
    from zenactors.actors.dispatcher import Dispatcher  # noqa: PLC0415
    from zenactors.core.callbacks import handles  # noqa: PLC0415
    from zenactors.core.component import ZenDaemonComponent  # noqa: PLC0415

    blocked, release = threading.Event(), threading.Event()

    class Blocked(ZenDaemonComponent):
        @handles(EVENT)
        def cbk_event_x(self, daemon: Any, args: Any) -> None:
            blocked.set()
            release.wait()

    rate_of_chain(1, 1_000)
    arguments = _arguments(count)
    dispatcher = Dispatcher([Blocked()])
    dispatcher.start()
    try:
        dispatcher.queue.schedule(EVENT)
        require(blocked.wait(10), "the component was never called")
        before = _resident()
        for args in arguments:
            dispatcher.queue.schedule(EVENT, args)
        grown = _resident() - before
    finally:
        release.set()
    dispatcher.drain()
    finish(dispatcher, count + 1)
    return grown / count


def _pyzenkit(count: int) -> float:
    from benchmarks import pyzenkit_peer  # noqa: PLC0415

    pyzenkit_peer.rate_of_chain(1, 1_000)
    arguments = _arguments(count)
    daemon = pyzenkit_peer.PeerDaemon([pyzenkit_peer.PeerNoop()])
    before = _resident()
    for args in arguments:
        daemon.queue.schedule("x", args)
    grown = _resident() - before
    require(daemon.queue.count() == count, "events are missing in pyzenkit's queue")
    return grown / count


def _idle(count: int) -> float:
    from benchmarks.ours import rate_of_chain  # noqa: PLC0415
    from zenactors.actors.dispatcher import Dispatcher  # noqa: PLC0415
    from zenactors.core.callbacks import gen_event_handler  # noqa: PLC0415
    from zenactors.core.component import ZenDaemonComponent  # noqa: PLC0415

    class Idle(ZenDaemonComponent):
        def __init__(self, number: int) -> None:
            super().__init__(name=f"Idle{number}")
            self.number = number

        def get_events(self) -> list[Any]:
            return [gen_event_handler(f"event{self.number}", self.cbk_event)]

        def cbk_event(self, daemon: Any, args: Any) -> tuple[int, Any]:
            return (daemon.FLAG_CONTINUE, args)

    rate_of_chain(1, 1_000)
    before = _resident()
    dispatcher = Dispatcher([Idle(number) for number in range(count)])
    dispatcher.start()
    grown = _resident() - before
    require(threading.active_count() >= count, "components are missing")
    dispatcher.stop()
    return grown / count / 1000


def _pykka(count: int) -> float:
    import pykka  # noqa: PLC0415

    pykka.ThreadingActor.start().stop()
    before = _resident()
    refs = [pykka.ThreadingActor.start() for _ in range(count)]
    for ref in refs:
        ref.ask("are you up?")
    grown = _resident() - before
    for ref in refs:
        ref.stop()
    return grown / count / 1000


KINDS: dict[str, Callable[[int], float]] = {
    "prefilled": _prefilled,
    "blocked": _blocked,
    "pyzenkit": _pyzenkit,
    "idle": _idle,
    "pykka": _pykka,
}

if __name__ == "__main__":
    from benchmarks.ours import supervision

    with supervision(sys.argv[3]):
        print(json.dumps(KINDS[sys.argv[1]](int(sys.argv[2]))))
