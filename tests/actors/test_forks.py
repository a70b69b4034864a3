"""A dispatcher in a forked child, which has none of its threads: refused or harmless."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.fakes import Fake
from tests.process.test_forks import in_child
from zenactors.actors.dispatcher import Dispatcher


def tried(work: Callable[[], Any]) -> str:
    try:
        return repr(work())
    except Exception as cause:
        return type(cause).__name__


USES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "schedule": (lambda daemon: daemon.queue.schedule("x"), "NotRunningError"),
    "schedule_after": (lambda daemon: daemon.queue.schedule_after(1, "x"), "NotRunningError"),
    "priority": (lambda daemon: daemon.queue.schedule_priority("x"), "NotRunningError"),
    "count": (lambda daemon: daemon.queue.count() >= 0, "True"),
    "is_done": (lambda daemon: daemon.is_done(), "True"),
    "wait": (lambda daemon: daemon.wait(None), "True"),
    "set_done": (lambda daemon: daemon.set_done(), "None"),
    "wait_for_end": (lambda daemon: daemon.wait_for_end(), "True"),
    "counts": (lambda daemon: sorted(daemon.counts()), "['x']"),
    "drain": (lambda daemon: daemon.drain() in {True, False}, "True"),
    "statistics": (lambda daemon: isinstance(daemon.get_statistics(), dict), "True"),
    "state": (lambda daemon: isinstance(daemon.get_state(), dict), "True"),
    "io": (lambda daemon: daemon.io, "RuntimeError"),
    "spawn": (lambda daemon: daemon.spawn(["true"]), "RuntimeError"),
    "start": (lambda daemon: daemon.start(), "NotRunningError"),
    "stop": (lambda daemon: daemon.stop().drained, "False"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("where", ["outside", "callback"])
def test_a_use_in_a_forked_child_is_refused_or_harmless(use: str, where: str) -> None:
    work, expected = USES[use]
    found: list[str] = []

    def fork(daemon: Any, _args: Any = None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: threads run
            found.append(in_child(lambda: tried(lambda: work(daemon))))

    component = Fake({"x": fork if where == "callback" else None})
    with Dispatcher([component]) as dispatcher:
        if where == "outside":
            fork(dispatcher)
        dispatcher.queue.schedule("x")
    assert found == [repr(expected)]
    assert len(component.seen) == 1  # the parent has gone on


def test_a_child_does_not_disturb_the_descriptors_that_its_parent_waits_for() -> None:
    reader, writer = os.pipe()
    seen: list[bytes] = []

    def close_all(daemon: Any, registration: Any) -> str:
        registration.cancel()
        return "cancelled"

    def use(daemon: Any, _args: Any) -> None:
        def read(_daemon: Any) -> None:
            seen.append(os.read(reader, 1))
            registration.cancel()

        registration = daemon.io.add_reader(reader, read)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert in_child(lambda: close_all(daemon, registration)) == repr("cancelled")
        os.write(writer, b"!")

    with Dispatcher([Fake({"x": use})]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.wait_for_end(30.0)  # once the only source is gone
    os.close(reader)
    os.close(writer)
    assert seen == [b"!"]


def test_a_dispatcher_that_was_not_started_can_be_started_in_the_child() -> None:
    component = Fake({"x": None})
    dispatcher = Dispatcher([component])

    def run() -> list[Any]:
        with dispatcher:
            dispatcher.queue.schedule("x", 7)
        return component.seen

    assert in_child(run) == "[7]"
