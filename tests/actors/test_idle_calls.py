"""`daemon.io.call_when_idle`: a call once the component has nothing else to do."""

from __future__ import annotations

import functools
import operator
import os
import threading
from typing import Any

import pytest

from tests.running import LIMIT
from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.testing import Harness


class Collector(ZenDaemonComponent):
    """Collects events, and writes what it has as soon as it is idle."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Any] = []
        self.written: list[list[Any]] = []
        self.waits: Any = None

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None:
        self.taken.append(args)
        if self.waits is None:
            self.waits = daemon.io.call_when_idle(self.write)

    @handles("cancel")
    def cbk_event_cancel(self, daemon: Any, args: Any) -> None:
        assert self.waits.cancel() is True
        assert self.waits.cancel() is False

    def write(self, daemon: Any) -> None:
        self.waits = None
        self.written.append(self.taken)
        self.taken = []


def test_it_comes_after_the_events_that_wait():
    with Harness([collector := Collector()]) as harness:
        for number in range(5):
            harness.queue.schedule("x", number)
        harness.run_until_idle()
        assert collector.written == [[0, 1, 2, 3, 4]]
        harness.queue.schedule("x", 5)
        harness.run_until_idle()
        assert collector.written == [[0, 1, 2, 3, 4], [5]]


@pytest.mark.parametrize("seed", range(30))
def test_whenever_it_comes_each_event_is_written_once(seed: int):
    with Harness([collector := Collector()], seed=seed) as harness:
        for number in range(20):
            harness.queue.schedule("x", number)
        harness.advance(1)
        assert functools.reduce(operator.iadd, collector.written, []) == list(range(20))
        assert collector.taken == []


def test_it_can_be_cancelled():
    with Harness([collector := Collector()]) as harness:
        harness.queue.schedule("x", 1)
        harness.queue.schedule("cancel")
        harness.advance(1)
        assert collector.written == []


def test_it_comes_before_a_daemon_without_anything_else_ends():
    with Harness([collector := Collector()], exit_when_idle=True) as harness:
        harness.queue.schedule("x", 1)
        harness.run()
        assert collector.written == [[1]]


def test_after_a_stop_it_does_not_come():
    with Harness([collector := Collector()]) as harness:
        harness.queue.schedule("x", 1)
        harness.stop()
        assert collector.taken == [1]
        assert collector.written == []


def test_on_real_threads_it_comes_when_the_mailbox_is_empty():
    entered, goes_on, written = threading.Event(), threading.Event(), threading.Event()

    class Slow(Collector):
        def write(self, daemon: Any) -> None:
            super().write(daemon)
            if len(self.written) == 1:
                entered.set()
                assert goes_on.wait(LIMIT)
            elif sum(map(len, self.written)) == 11:
                written.set()

    with Dispatcher([collector := Slow()]) as dispatcher:
        dispatcher.queue.schedule("x", 0)
        assert entered.wait(LIMIT)
        for number in range(1, 11):
            dispatcher.queue.schedule("x", number)
        goes_on.set()
        assert written.wait(LIMIT)
    assert functools.reduce(operator.iadd, collector.written, []) == list(range(11))
    assert len(collector.written) <= 3


def test_with_a_descriptor_it_comes_too():

    reader, writer = os.pipe()
    written = threading.Event()

    class Reading(Collector):
        def setup(self, daemon: Any) -> None:
            daemon.io.add_reader(reader, lambda _: os.read(reader, 100))

        def write(self, daemon: Any) -> None:
            super().write(daemon)
            written.set()

    try:
        with Dispatcher([Reading()]) as dispatcher:
            dispatcher.queue.schedule("x", 1)
            assert written.wait(LIMIT)
    finally:
        os.close(reader)
        os.close(writer)
