"""Attacks: code that runs where the engine does not expect it, and asks the queue something."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from loguru import logger

from tests.actors.fakes import Fake, raising, switch_interval
from tests.attack.checks import (
    DRAIN,
    PATIENCE,
    Beacon,
    assert_stops,
    assert_whole,
    explained,
    within,
)
from zenactors.actors.dispatcher import Dispatcher
from zenactors.errors import ZenDaemonException
from zenactors.testing._leaks import stack_of

STOP_TIMEOUT = 3.0  # seconds
LATER = 3600.0  # seconds
LIMIT = 20.0  # seconds that a producer may take
EVENTS = 60
TICK = 0.000_2  # seconds between two signals


class Intruder:
    """Asks the queue one thing after the other, in whatever thread it is called.

    It does not interrupt itself.

    Attributes:
        dispatcher: The dispatcher to ask; None: it does nothing.
        calls: How often it has asked.
        failures: What was raised, except clear refusals.
    """

    def __init__(self) -> None:
        self.dispatcher: Dispatcher | None = None
        self.calls = 0
        self.failures: list[str] = []
        self._local = threading.local()

    def __call__(self, *_: object) -> None:
        """Ask the next question."""
        if self.dispatcher is None or getattr(self._local, "inside", False):
            return
        self._local.inside = True
        try:
            questions = self._questions(self.dispatcher)
            self._ask(questions[self.calls % len(questions)])
        finally:
            self._local.inside = False

    def _ask(self, question: Callable[[], object]) -> None:
        self.calls += 1
        try:
            question()
        except Exception as cause:
            # A refusal is one of these, with a text; everything else is a fault.
            if not isinstance(cause, RuntimeError | ZenDaemonException) or not str(cause):
                self.failures.append(explained(cause))

    @staticmethod
    def _questions(dispatcher: Dispatcher) -> list[Callable[[], object]]:
        queue = dispatcher.queue
        return [
            queue.count,
            queue.ahead,
            dispatcher.counts,
            dispatcher.is_idle,
            lambda: queue.schedule("aside"),
            lambda: queue.schedule_priority("aside"),
            lambda: queue.schedule_after(LATER, "aside").cancel(),
        ]


class Odd:
    """An object, of which each method that the interpreter calls asks the queue."""

    def __init__(self, intruder: Intruder, name: str = "odd") -> None:
        self._intruder = intruder
        self._name = name

    def __hash__(self) -> int:
        self._intruder()
        return hash(self._name)

    def __eq__(self, other: object) -> bool:
        self._intruder()
        return isinstance(other, Odd) and other._name == self._name

    def __repr__(self) -> str:
        self._intruder()
        return self._name

    def __del__(self) -> None:
        self._intruder()


def _dispatcher(*components: Any, **options: Any) -> Dispatcher:
    aside = Fake({"aside": None}, name="aside")
    return Dispatcher([*components, aside, Beacon()], stop_timeout=STOP_TIMEOUT, **options)


def _produce(dispatcher: Dispatcher, event: Any, make: Callable[[], Any]) -> None:
    """Schedule and cancel events in every way."""
    queue = dispatcher.queue
    for number in range(EVENTS):
        queue.schedule(event, make())
        queue.schedule_next(event, make())
        queue.schedule_priority(event, make())
        queue.schedule_after(0.0, event, make())
        queue.schedule_after(LATER, event, make()).cancel()
        if number % 10 == 0:
            dispatcher.counts()
            dispatcher.drain(0.0)


# --- who intrudes -----------------------------------------------------------------------------


@contextlib.contextmanager
def _by_a_log_sink(intruder: Intruder) -> Iterator[tuple[Dispatcher, Any, Callable[[], Any]]]:
    sink = logger.add(intruder, level="TRACE", format="{message}", catch=True)
    fails = Fake({"x": raising(LookupError("no such thing"))}, name="fails")
    yield _dispatcher(fails, Fake({"x": None})), "x", object
    logger.remove(sink)


@contextlib.contextmanager
def _by_dying_args(intruder: Intruder) -> Iterator[tuple[Dispatcher, Any, Callable[[], Any]]]:
    yield _dispatcher(Fake({"x": _forget})), "x", lambda: Odd(intruder)


@contextlib.contextmanager
def _by_a_weak_reference(intruder: Intruder) -> Iterator[tuple[Dispatcher, Any, Callable[[], Any]]]:
    class Args:
        pass

    kept: list[Any] = []

    def make() -> Args:
        args = Args()
        kept.append(weakref.ref(args, intruder))
        return args

    yield _dispatcher(Fake({"x": _forget})), "x", make


@contextlib.contextmanager
def _by_the_collector(intruder: Intruder) -> Iterator[tuple[Dispatcher, Any, Callable[[], Any]]]:
    before = gc.get_threshold()
    gc.callbacks.append(intruder)
    gc.set_threshold(1)
    yield _dispatcher(Fake({"x": _forget})), "x", lambda: [Odd(intruder)]
    gc.set_threshold(*before)
    gc.callbacks.remove(intruder)


@contextlib.contextmanager
def _by_cycles(intruder: Intruder) -> Iterator[tuple[Dispatcher, Any, Callable[[], Any]]]:
    """Objects that only the collector frees, in whatever thread it runs."""
    before = gc.get_threshold()
    gc.freeze()  # with few objects to look at, it looks at the old ones often
    gc.set_threshold(1, 1, 1)

    def make() -> list[Any]:
        cycle: list[Any] = [Odd(intruder)]
        cycle.append(cycle)
        return cycle

    yield _dispatcher(Fake({"x": _forget})), "x", make
    gc.set_threshold(*before)
    gc.unfreeze()


@contextlib.contextmanager
def _by_a_signal(intruder: Intruder) -> Iterator[tuple[Dispatcher, Any, Callable[[], Any]]]:
    def handle(*_: object) -> None:
        intruder()
        signal.setitimer(signal.ITIMER_REAL, TICK)  # from now, so that the program gets on

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, TICK)
    yield _dispatcher(Fake({"x": None})), "x", object
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _by_an_event(intruder: Intruder) -> Iterator[tuple[Dispatcher, Any, Callable[[], Any]]]:
    yield _dispatcher(Fake({Odd(intruder): None})), Odd(intruder), object


@contextlib.contextmanager
def _by_a_callback(intruder: Intruder) -> Iterator[tuple[Dispatcher, Any, Callable[[], Any]]]:
    yield _dispatcher(Fake({"x": intruder}), Fake({"x": None}, name="next")), "x", object


def _forget(*_: Any) -> tuple[int, None]:
    return (1, None)


WAYS = {
    "log sink": _by_a_log_sink,
    "__del__ of args": _by_dying_args,
    "weak reference": _by_a_weak_reference,
    "garbage collector": _by_the_collector,
    "cycles": _by_cycles,
    "signal handler": _by_a_signal,
    "event object": _by_an_event,
    "callback": _by_a_callback,
}


def intrude(way: str) -> dict[str, Any]:
    """Let something ask the queue everything while the engine works. List what broke.

    The events are scheduled in this thread, which is the one of signal handlers, and in another.
    """
    intruder = Intruder()
    broken: list[str] = []
    with WAYS[way](intruder) as (dispatcher, event, make), switch_interval(TICK):
        dispatcher.start()
        intruder.dispatcher = dispatcher
        try:
            _work(dispatcher, event, make)
        except AssertionError as failure:
            broken.append(explained(failure))
        intruder.dispatcher = None
        if not broken:
            try:
                assert_whole(dispatcher)
                assert_stops(dispatcher)
            except AssertionError as failure:
                broken.append(explained(failure))
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    return {"broken": [*broken, *intruder.failures[:3]], "struck": intruder.calls}


def _work(dispatcher: Dispatcher, event: Any, make: Callable[[], Any]) -> None:
    other = threading.Thread(target=_produce, args=(dispatcher, event, make), daemon=True)
    other.start()
    _produce(dispatcher, event, make)
    other.join(LIMIT)
    assert not other.is_alive(), f"a producer hangs:\n{stack_of(other)}"
    within(PATIENCE + DRAIN, dispatcher.drain, DRAIN)


def refuse_a_stop() -> dict[str, Any]:
    """Ask for a stop, in a callback and in the `__del__` of its args: it is refused."""
    refusals: list[str] = []
    dispatchers: list[Dispatcher] = []

    class Args:
        def __del__(self) -> None:
            ask()

    def ask(*_: Any) -> tuple[int, None]:
        begin = time.monotonic()
        try:
            dispatchers[0].stop(timeout=STOP_TIMEOUT)
        except RuntimeError as refused:
            refusals.append(f"{refused}, after {time.monotonic() - begin:.1f} s")
        return (1, None)

    dispatcher = _dispatcher(Fake({"x": ask}))
    dispatchers.append(dispatcher)
    dispatcher.start()
    dispatcher.queue.schedule("x", Args())
    broken: list[str] = []
    try:
        assert_whole(dispatcher)
        assert_stops(dispatcher)
    except AssertionError as failure:
        broken.append(explained(failure))
    return {"broken": broken, "struck": len(refusals), "refusals": refusals}
