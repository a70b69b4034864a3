"""What is done is let go of: after each way for an event to end, its args are free again."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE
from zenactors import Dispatcher, Replicas, ZenDaemonComponent, handles
from zenactors.core.callbacks import FLAG_STOP
from zenactors.core.dispatch_state import Ordering


class Resource:
    """Stands for a file, a socket or a lease in the args of an event."""


def stops(args: Any) -> Any:
    return FLAG_STOP, args


def raises(args: Any) -> Any:
    raise LookupError("no")


def answers_nonsense(args: Any) -> Any:
    return 5


def changes(args: Any) -> Any:
    return 1, None


def continues(args: Any) -> Any:
    return None


class Work(ZenDaemonComponent):
    def __init__(self, end: Callable[[Any], Any] = continues, name: str = "work") -> None:
        super().__init__(name=name)
        self.end = end

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> Any:
        return self.end(args)


ENDS = [continues, stops, raises, answers_nonsense, changes]


def is_free(reference: weakref.ref[Any]) -> bool:
    gc.collect()
    return reference() is None


@pytest.mark.parametrize("ordering", ["component", "event", "global"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("make", [Work, lambda end: Replicas(lambda: Work(end), 2)])
def test_an_idle_dispatcher_keeps_no_args(
    end: Callable[[Any], Any], ordering: Ordering, make: Callable[[Any], Any]
) -> None:
    with Dispatcher([make(end), Work(name="last")], ordering=ordering) as dispatcher:
        references = []
        for _ in range(3):
            args = Resource()
            references.append(weakref.ref(args))
            dispatcher.queue.schedule("x", args)
            del args
        assert dispatcher.drain(DEADLINE)
        dead = end in (raises, answers_nonsense)
        assert dispatcher.dead_letter_count() == (3 if dead else 0)
        if dead:  # a letter keeps its own args, so that it can be looked at
            dispatcher._engine.dead_letters._kept.clear()
        dispatcher.get_statistics()  # asked behind the batches: each component is through with them
        gc.collect()
        assert [each() for each in references if each() is not None] == []


def test_a_dead_letter_keeps_only_the_args_of_its_own_event() -> None:
    def fails_once(args: Any) -> Any:
        if args == "dies":
            raise LookupError("no")

    gate = threading.Event()

    class Gated(Work):
        @handles("open")
        def cbk_event_open(self, daemon: Any, args: Any) -> None:
            assert gate.wait(DEADLINE)

    with Dispatcher([Gated(fails_once)]) as dispatcher:
        dispatcher.queue.schedule("open")
        references = []
        for number in range(600):  # they travel as one batch
            args: Any = "dies" if number == 300 else Resource()
            if number != 300:
                references.append(weakref.ref(args))
            dispatcher.queue.schedule("x", args)
        del args
        gate.set()
        assert dispatcher.drain(DEADLINE)
        (letter,) = dispatcher.dead_letters()
        assert "in fails_once" in letter.traceback  # it says where it was raised
        dispatcher.get_statistics()  # as above
        gc.collect()
        assert sum(each() is not None for each in references) == 0


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("method", ["schedule", "schedule_next", "schedule_after", "schedule_at"])
def test_a_cancelled_event_lets_go_of_its_args_at_once(method: str, *, whole: bool) -> None:
    dispatcher = Dispatcher([Work()])  # not started: nothing starts meanwhile
    schedule = getattr(dispatcher.queue, method)
    times = {"schedule_after": (3600.0,), "schedule_at": (4e9,)}.get(method, ())
    others = [schedule(*times, "x", number) for number in range(3)]
    args = Resource()
    reference = weakref.ref(args)
    handle = schedule(*times, "x", args)
    if whole:  # else it is cancelled in the inbox
        assert dispatcher.queue.count() == 4
    del args
    assert reference() is not None
    assert handle.cancel()
    assert is_free(reference)
    assert dispatcher.queue.count() == len(others)
    dispatcher.stop(drain=False)
