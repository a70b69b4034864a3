"""A dispatcher in a forked child, which has none of its threads: refused or harmless."""

from __future__ import annotations

import os
import select
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.fakes import Fake
from tests.process.test_forks import DEADLINE, in_child
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


def leave(how: str) -> None:
    if how == "raises":
        raise ValueError("in the child")
    if how == "exits":
        sys.exit(5)


@pytest.mark.parametrize(("how", "status"), [("returns", 0), ("raises", 1), ("exits", 5)])
@pytest.mark.parametrize("where", ["event", "timer"])
def test_a_child_that_leaves_the_callback_ends_and_handles_nothing_more(
    where: str, how: str, status: int
) -> None:
    reader, writer = os.pipe()
    children: list[int] = []

    def fork(_daemon: Any, _args: Any = None) -> None:
        os.write(writer, b"x")
        if children:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            children.append(os.pidfd_open(pid))
        else:
            children.append(-1)
            leave(how)

    def begin(daemon: Any, _args: Any) -> None:
        for _ in range(3):  # one batch
            daemon.queue.schedule("x")

    def wait(daemon: Any, _args: Any) -> None:
        daemon.io.call_later(0.0, fork)

    component = Fake({"x": fork, "begin": begin, "wait": wait})
    with Dispatcher([component]) as dispatcher:
        if where == "event":
            dispatcher.queue.schedule("begin")
        else:
            dispatcher.queue.schedule("wait")
        assert dispatcher.wait_for_end(30.0)
    [child] = children
    ended, _, _ = select.select([child], [], [], DEADLINE)
    if not ended:
        signal.pidfd_send_signal(child, signal.SIGKILL)
    result = os.waitid(os.P_PIDFD, child, os.WEXITED)
    assert ended, "the child goes on"
    assert result is not None
    assert (result.si_code, result.si_status) == (os.CLD_EXITED, status)
    os.close(writer)
    assert os.read(reader, 9) == (b"xxx" if where == "event" else b"x")
    os.close(reader)
    os.close(child)


def test_a_dispatcher_that_was_not_started_can_be_started_in_the_child() -> None:
    component = Fake({"x": None})
    dispatcher = Dispatcher([component])

    def run() -> list[Any]:
        with dispatcher:
            dispatcher.queue.schedule("x", 7)
        return component.seen

    assert in_child(run) == "[7]"
