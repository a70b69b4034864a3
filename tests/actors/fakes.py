"""Components made of functions, and waits that fail instead of hanging."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.component import ZenDaemonComponent

DEADLINE = 10.0  # seconds: far more than anything here takes

Hook = Callable[[Any], Any]


class Fake(ZenDaemonComponent):
    """A component of the given functions; `seen` holds the args of its events, in order."""

    def __init__(
        self,
        callbacks: Mapping[Any, Callable[[Any, Any], Any] | None] | None = None,
        *,
        name: str = "fake",
        setup: Hook | None = None,
        teardown: Hook | None = None,
    ) -> None:
        super().__init__(name=name)
        self.seen: list[Any] = []
        self._callbacks = dict(callbacks or {})
        self._hooks = {"setup": setup, "teardown": teardown}

    def get_events(self) -> list[Any]:
        return [
            self.gen_event_handler(event, self._wrap(callback))
            for event, callback in self._callbacks.items()
        ]

    def setup(self, daemon: Any) -> None:
        self._run("setup", daemon)

    def teardown(self, daemon: Any) -> None:
        self._run("teardown", daemon)

    def _run(self, hook: str, daemon: Any) -> None:
        call = self._hooks[hook]
        if call is not None:
            call(daemon)

    def _wrap(self, callback: Callable[[Any, Any], Any] | None) -> Callable[[Any, Any], Any]:
        def cbk(daemon: Any, args: Any) -> Any:
            self.seen.append(args)
            return None if callback is None else callback(daemon, args)

        return cbk


class Gate:
    """A callback that says that it was entered, and waits until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, *_: Any) -> None:
        self.entered.set()
        assert self.opened.wait(DEADLINE)

    def await_entered(self) -> None:
        assert self.entered.wait(DEADLINE)

    def open(self) -> None:
        self.opened.set()


def raising(cause: BaseException) -> Callable[..., Any]:
    """Return a callback that raises `cause`."""

    def cbk(*_: Any) -> None:
        raise cause

    return cbk


def wait_until(fact: Callable[[], bool], timeout: float = DEADLINE) -> bool:
    """Wait for a fact that nobody announces. False: it did not come true in time."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not fact():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.002)
    return True


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(number)` in so many threads at once; return what they returned, or raised."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait(DEADLINE)
        try:
            results[number] = work(number)
        except BaseException as cause:
            results[number] = cause

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * DEADLINE)
        assert not thread.is_alive()
    return results


@contextlib.contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    """Let threads take turns so often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def assert_conserved(dispatcher: Dispatcher) -> None:
    """Every event that was accepted is accounted for."""
    for event, c in dispatcher.counts().items():
        total = c.completed + c.stopped + c.dead + c.waiting + c.in_flight
        assert c.accepted == total, (event, c)
