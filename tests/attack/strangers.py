"""Uses of a dispatcher where its threads do not run, each in a process of its own."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from loguru import logger

from tests.attack.checks import Beacon
from zenactors.actors.dispatcher import Dispatcher
from zenactors.errors import NotRunningError


def _result(call: Callable[[], Any]) -> str:
    try:
        call()
    except NotRunningError:
        return "refused"
    return "returned"


class AsksAtTheEnd:
    """Calls a function when the interpreter ends."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._is_finalizing = sys.is_finalizing
        self._write = os.write
        self._me = self  # a cycle, which only the interpreter's end collects

    def __del__(self) -> None:
        try:
            self._call()
        except Exception as cause:
            self._write(1, f"{type(cause).__name__} {self._is_finalizing()}\n".encode())
        else:
            self._write(1, f"returned {self._is_finalizing()}\n".encode())


def at_the_interpreters_end(method: str, phase: str) -> None:
    """Leave an object behind that uses a dispatcher when the interpreter ends."""
    dispatcher = Dispatcher([Beacon()])
    if phase != "new":
        dispatcher.start()
    if phase == "stopped":
        dispatcher.stop()
    calls: dict[str, Callable[[], Any]] = {
        "count": dispatcher.queue.count,
        "stop": dispatcher.stop,
        "drain": dispatcher.drain,
    }
    AsksAtTheEnd(calls[method])


def with_a_lock_that_a_log_sink_takes() -> list[str]:
    """Ask while holding a lock for which a log sink waits, in the dispatcher's thread."""
    lock = threading.Lock()
    answers: list[str] = []

    def sink(_message: object) -> None:
        with lock:
            pass

    logger.add(sink, level="WARNING")
    with Dispatcher([Beacon()]) as dispatcher:
        handle = dispatcher.queue.schedule_after(1000, "beacon")
        with lock:
            loop = dispatcher._engine.loop
            loop.ask(lambda state: state.control_events.skipped.append(("beacon", 0)))
            answers.append(str(handle.cancel()))
            answers.append(str(dispatcher.queue.count()))
            answers.append(str(dispatcher.drain(0.0)))
    return answers
