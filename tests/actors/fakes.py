"""Components made of functions, and waits that fail instead of hanging."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.notifier import ThreadNotifier, Wait
from zenactors.core.clock import Deadline, SystemClock
from zenactors.core.component import ZenDaemonComponent

DEADLINE = 10.0  # seconds: far more than anything here takes

Hook = Callable[[Any], Any]


class Fake(ZenDaemonComponent):
    """A component with the given callbacks; `seen` holds the args of its events, in order."""

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
        self._seen_more = threading.Condition()
        self._callbacks = dict(callbacks or {})
        self._hooks = {"setup": setup, "teardown": teardown}

    def get_events(self) -> list[Any]:
        return [
            self.gen_event_handler(event, self._wrap(callback))
            for event, callback in self._callbacks.items()
        ]

    def await_seen(self, expected: list[Any]) -> None:
        """Wait until it has seen exactly these events."""
        with self._seen_more:
            self._seen_more.wait_for(lambda: self.seen == expected, DEADLINE)
            assert self.seen == expected

    def await_count(self, count: int) -> None:
        """Wait until it has seen this many events."""
        with self._seen_more:
            assert self._seen_more.wait_for(lambda: len(self.seen) >= count, DEADLINE)

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
            with self._seen_more:
                self.seen.append(args)
                self._seen_more.notify_all()
            return None if callback is None else callback(daemon, args)

        return cbk


class Gate:
    """A callback that waits until the test opens it. `entered` is set when it is called."""

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


class ObservedQueue(queue.SimpleQueue[Any]):
    """A queue that reports when a thread sleeps in `get`, because the queue is empty."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._asleep_for = 0.0

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as the original
        if not block or not self.empty():
            return super().get(block, timeout)
        self._report_sleep(float("inf") if timeout is None else timeout)
        try:
            return super().get(timeout=timeout)
        finally:
            self._report_sleep(0.0)

    def await_sleeper(self, shortest: float = float("inf"), longest: float = float("inf")) -> None:
        """Wait until a thread sleeps with a time-out in this range; infinite: without one."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: shortest <= self._asleep_for <= longest, DEADLINE
            ), f"asleep for {self._asleep_for}"

    def _report_sleep(self, seconds: float) -> None:
        with self._changed:
            self._asleep_for = seconds
            self._changed.notify_all()


class ObservedNotifier(ThreadNotifier):
    """A notifier that reports when a thread waits, because its fact is not true yet."""

    def __init__(self) -> None:
        super().__init__()
        self._waited = threading.Event()

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Wait]:
        with super().subscribed() as wait:

            def reported(timeout: float | None) -> None:
                self._waited.set()
                wait(timeout)

            yield reported

    def await_waiter(self) -> None:
        assert self._waited.wait(DEADLINE)


def await_fact(dispatcher: Dispatcher, predicate: Callable[[], bool]) -> bool:
    """Wait for a fact about the engine. False: it did not come true in time."""
    return dispatcher._engine.wait_for(predicate, Deadline(SystemClock(), DEADLINE))


def begin_to_stop(dispatcher: Dispatcher) -> threading.Thread:
    """Stop gracefully in a thread; return when it waits for the queued events."""
    notifier = dispatcher._engine.notifier = ObservedNotifier()
    stopping = threading.Thread(target=dispatcher.stop)
    stopping.start()
    notifier.await_waiter()
    return stopping


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(number)` in `count` threads at once; return their results or exceptions."""
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
    """Set the interpreter's switch interval."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def assert_conserved(dispatcher: Dispatcher) -> None:
    """Every event that was accepted is accounted for."""
    assert not dispatcher.accounting().imbalance()
