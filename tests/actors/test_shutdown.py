from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from loguru import logger

from tests.actors.fakes import (
    DEADLINE,
    Fake,
    Gate,
    assert_conserved,
    await_fact,
    begin_to_stop,
    in_threads,
)
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.runtime import Runtime
from zenactors.actors.shutdown import StopReport
from zenactors.actors.startup import Startup
from zenactors.errors import NotRunningError


def test_stop_drains_queued_events_and_those_that_they_schedule() -> None:
    def cbk(daemon: Any, args: int) -> None:
        if args < 100:
            daemon.queue.schedule("x", args + 1)

    component = Fake({"x": cbk})
    dispatcher = Dispatcher([component])
    dispatcher.start()
    dispatcher.queue.schedule("x", 0)
    assert dispatcher.stop() == StopReport()
    assert component.seen == list(range(101))


def test_stop_does_not_wait_for_events_for_later() -> None:
    component = Fake({"x": None})
    dispatcher = Dispatcher([component])
    dispatcher.start()
    dispatcher.queue.schedule_after(600.0, "x")
    dispatcher.queue.schedule_at(time.time() + 600.0, "x")
    report = dispatcher.stop()
    assert (report.drained, report.left, report.later) == (True, 0, 2)
    assert component.seen == []


def test_the_stop_event_runs_before_queued_events() -> None:
    gate = Gate()
    component = Fake({"x": gate, "stop": None})
    dispatcher = Dispatcher([component])
    dispatcher.start()
    for _ in range(50):
        dispatcher.queue.schedule("x", "x")
    gate.await_entered()
    stopping = begin_to_stop(dispatcher)
    gate.open()
    stopping.join(DEADLINE)
    assert component.seen.count("x") == 50
    assert component.seen.index(None) < 49  # the stop event's args


def test_repeated_stops_return_the_same_report() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    dispatcher.start()
    report = dispatcher.stop()
    assert dispatcher.stop() is report
    assert dispatcher.stop(drain=False, timeout=0.0) is report


@pytest.mark.parametrize("drain", [True, False])
def test_concurrent_stops_all_wait_for_the_first(*, drain: bool) -> None:
    torn: list[int] = []
    component = Fake({"x": None}, teardown=lambda _: torn.append(1))
    dispatcher = Dispatcher([component])
    dispatcher.start()
    for number in range(1_000):
        dispatcher.queue.schedule("x", number)
    reports = in_threads(8, lambda _: dispatcher.stop(drain=drain))
    assert all(report is reports[0] for report in reports)
    assert isinstance(reports[0], StopReport)
    assert torn == [1]
    assert_conserved(dispatcher)


def test_a_stop_without_draining_cuts_a_draining_one_short() -> None:
    gate = Gate()
    component = Fake({"x": gate})
    dispatcher = Dispatcher([component])
    dispatcher.start()
    for _ in range(2_000):
        dispatcher.queue.schedule("x")
    gate.await_entered()
    draining = begin_to_stop(dispatcher)
    hasty = threading.Thread(target=lambda: dispatcher.stop(drain=False))
    hasty.start()
    assert await_fact(dispatcher, lambda: dispatcher.halted)
    gate.open()
    draining.join(DEADLINE)
    hasty.join(DEADLINE)
    assert not draining.is_alive()
    assert not hasty.is_alive()
    report = dispatcher.stop()
    assert not report.drained
    assert not report.timed_out
    assert report.left + len(component.seen) == 2_000


@pytest.mark.parametrize("method", ["stop", "drain"])
@pytest.mark.parametrize("where", ["event", "setup", "teardown"])
def test_a_callback_that_waits_for_its_own_end_gets_an_error_at_once(
    method: str, where: str
) -> None:
    causes: list[Any] = []

    def wait_for_own_end(daemon: Any, *_: Any) -> None:
        with pytest.raises(RuntimeError, match="callback cannot wait") as info:
            getattr(daemon, method)()
        causes.append(info.value)

    hooks: dict[str, Any] = {} if where == "event" else {where: wait_for_own_end}
    component = Fake({"x": wait_for_own_end if where == "event" else None}, **hooks)
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x")
    assert len(causes) == 1
    assert dispatcher.stop().drained


def test_after_the_stop_a_new_thread_is_not_taken_for_a_component_that_had_its_identifier() -> None:
    dispatcher = Dispatcher([Fake(name=str(n)) for n in range(4)])
    dispatcher.start()
    idents = {thread.ident for thread in dispatcher._engine.threads.values()}
    dispatcher.stop()
    seen: list[Any] = []

    def stop_again() -> None:
        if threading.get_ident() in idents:
            try:
                seen.append(dispatcher.stop())
            except RuntimeError as cause:
                seen.append(cause)

    for _ in range(200):
        thread = threading.Thread(target=stop_again)
        thread.start()
        thread.join(DEADLINE)
    assert dispatcher._engine.runners == {}  # holds even if the system reused none
    assert all(isinstance(each, StopReport) for each in seen)


def test_a_component_that_hangs_is_named_and_does_not_hold_up_the_stop() -> None:
    gate = Gate()
    torn = threading.Event()
    hangs = Fake({"x": gate}, name="hangs", teardown=lambda _: torn.set())
    good = Fake({"y": None}, name="good")
    dispatcher = Dispatcher([good, hangs])
    dispatcher.start()
    for _ in range(10):
        dispatcher.queue.schedule("x")
    gate.await_entered()
    begin = time.monotonic()
    report = dispatcher.stop(timeout=0.3)
    assert time.monotonic() - begin < 0.3 + 1.5
    assert report.stuck == ("hangs",)
    assert (report.drained, report.timed_out, report.left) == (False, True, 10)
    assert_conserved(dispatcher)
    gate.open()
    assert torn.wait(DEADLINE)  # it is torn down even so


def test_a_teardown_that_hangs_does_not_make_the_others_look_stuck() -> None:
    gate = Gate()
    torn: list[str] = []

    def noting(name: str) -> Fake:
        return Fake(name=name, teardown=lambda _: torn.append(name))

    others = [noting(name) for name in "abc"]
    dispatcher = Dispatcher([*others, Fake(name="hangs", teardown=gate)])
    dispatcher.start()
    report = dispatcher.stop(timeout=0.2)
    gate.open()
    assert report.stuck == ("hangs",)
    assert sorted(torn) == ["a", "b", "c"]


def test_many_components_that_hang_do_not_add_up() -> None:
    gate = Gate()
    entered = threading.Semaphore(0)

    def hang(*_: Any) -> None:
        entered.release()
        gate()

    hanging = [Fake({f"x{n}": hang}, name=str(n)) for n in range(8)]
    dispatcher = Dispatcher([Fake(name="good"), *hanging])
    dispatcher.start()
    for number in range(8):
        dispatcher.queue.schedule(f"x{number}")
    for _ in range(8):
        assert entered.acquire(timeout=DEADLINE)
    begin = time.monotonic()
    report = dispatcher.stop(drain=False)
    elapsed = time.monotonic() - begin
    gate.open()
    assert elapsed < 1.5
    assert sorted(report.stuck) == [str(n) for n in range(8)]


def test_events_that_a_hasty_stop_leaves_are_counted() -> None:
    second_gate = Gate()
    first, second = Fake({"x": None}, name="first"), Fake({"x": second_gate}, name="second")
    dispatcher = Dispatcher([first, second])
    dispatcher.start()
    for number in range(3_000):
        dispatcher.queue.schedule("x", number)
    dispatcher.queue.schedule_after(600.0, "x")
    second_gate.await_entered()
    stopping = threading.Thread(target=lambda: dispatcher.stop(drain=False))
    stopping.start()
    assert await_fact(dispatcher, lambda: dispatcher.halted)
    second_gate.open()
    stopping.join(DEADLINE)
    report = dispatcher.stop()
    counts = dispatcher.counts()["x"]
    assert_conserved(dispatcher)
    assert counts.accepted == 3_001
    assert report.later == 1
    assert report.left == 3_000 - counts.completed
    assert report.left > 0


def test_a_wait_of_a_callback_ends_with_the_daemon() -> None:
    waiting = threading.Event()
    results: list[bool] = []

    def cbk(daemon: Any, _args: Any) -> None:
        waiting.set()
        results.append(daemon.wait(60.0))

    dispatcher = Dispatcher([Fake({"x": cbk})])
    dispatcher.start()
    dispatcher.queue.schedule("x")
    assert waiting.wait(DEADLINE)
    begin = time.monotonic()
    report = dispatcher.stop()
    assert time.monotonic() - begin < 1.0
    assert results == [True]
    assert report == StopReport()


def test_set_done_asks_for_a_stop_and_stops_nothing_by_itself() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        assert not dispatcher.is_done()
        assert not dispatcher.wait(0.0)
        dispatcher.set_done()
        assert dispatcher.is_done()
        assert dispatcher.wait(60.0)
        assert dispatcher.wait_for_end(DEADLINE)
        dispatcher.queue.schedule("x", 1)
        assert dispatcher.drain(DEADLINE)
        assert not dispatcher.halted
    assert component.seen == [1]


def test_drain_gives_up_after_its_time() -> None:
    gate = Gate()
    with Dispatcher([Fake({"x": gate})]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert not dispatcher.drain(0.05)
        gate.open()
        assert dispatcher.drain(DEADLINE)


def test_a_drain_without_a_time_limit_ends_when_a_callback_stops_everything() -> None:
    gate = Gate()

    def cbk(*_: Any) -> None:
        gate()
        raise SystemExit(2)

    drained: list[bool] = []
    with Dispatcher([Fake({"x": cbk})]) as dispatcher:
        for _ in range(2_000):
            dispatcher.queue.schedule("x")
        gate.await_entered()
        draining = threading.Thread(target=lambda: drained.append(dispatcher.drain()))
        draining.start()
        gate.open()
        draining.join(DEADLINE)
        assert not draining.is_alive()
    assert drained == [False]
    assert dispatcher.status == 2


def test_the_first_exit_status_that_is_set_counts() -> None:
    with Dispatcher([Fake()]) as dispatcher:
        assert dispatcher.status == 0
        dispatcher.set_exit_status(5)
        dispatcher.set_exit_status(6)
    assert dispatcher.status == 5


def test_statistics_can_be_read_after_the_stop() -> None:
    component = Fake({"x": lambda *_: component.inc_statistic("lines")})
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x")
        dispatcher.queue.schedule("x")
    assert dispatcher.get_statistics()["fake"]["lines"]["cnt"] == 2


def test_a_stop_that_runs_out_of_time_during_the_start_tears_down_in_reverse() -> None:
    torn: list[str] = []
    gate = Gate()

    def component(name: str, **callbacks: Any) -> Fake:
        return Fake(callbacks, name=name, teardown=lambda _daemon: torn.append(name))

    components = [component("first"), component("hangs", start=gate), component("last")]
    dispatcher = Dispatcher(components)
    starting = threading.Thread(target=in_threads, args=(1, lambda _: dispatcher.start()))
    starting.start()
    gate.await_entered()

    report = dispatcher.stop(timeout=1.2)

    assert (report.timed_out, report.stuck) == (True, ("hangs",))
    assert torn == ["last", "first"]
    gate.open()
    starting.join(DEADLINE)


def test_a_stop_just_before_the_start_event_does_not_wait_for_queued_events() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    dispatcher.queue.schedule("x")
    engine = dispatcher._engine
    check = Startup._check_not_stopped
    stopped: list[StopReport] = []

    class Stopping(Startup):
        def _check_not_stopped(self) -> None:
            if engine.all_set_up() and not stopped:
                stopped.append(dispatcher.stop(timeout=DEADLINE))
            check(self)

    dispatcher._startup.__class__ = Stopping
    begun = time.monotonic()
    with pytest.raises(NotRunningError, match="while it was starting"):
        dispatcher.start()
    assert time.monotonic() - begun < DEADLINE / 2
    assert (stopped[0].timed_out, stopped[0].left) == (False, 1)


@pytest.mark.parametrize("fails_from", ["the beginning", "the stop"])
def test_a_log_sink_that_raises_holds_up_neither_start_nor_stop(fails_from: str) -> None:
    torn: list[None] = []
    failing = fails_from == "the beginning"

    def fail(_message: Any) -> None:
        if failing:
            raise OSError("no space left")

    sink = logger.add(fail, level="DEBUG", catch=False)
    try:
        dispatcher = Dispatcher([Fake({"x": None}, teardown=lambda _daemon: torn.append(None))])
        dispatcher.start()
        failing = True
        assert dispatcher.stop() == StopReport()
    finally:
        logger.remove(sink)
    assert len(torn) == 1


class InterruptingRuntime(Runtime):
    """Calls a function in the middle of a method, once, as a signal handler might."""

    def __init__(self, method: str, after: int = 0) -> None:
        super().__init__()
        self.handler: Callable[[], object] = list
        self._method = method
        self._after = after

    def start(self, *args: Any, **options: Any) -> Any:
        self._interrupt("start")
        return super().start(*args, **options)

    def join(self, thread: Any, timeout: float) -> None:
        self._interrupt("join")
        super().join(thread, timeout)

    def _interrupt(self, method: str) -> None:
        if method == self._method:
            self._after -= 1
            if self._after == -1:
                self.handler()


@pytest.mark.parametrize("after", range(5))
def test_a_signal_handler_that_stops_in_the_middle_of_a_start_leaves_no_thread(after: int) -> None:
    runtime = InterruptingRuntime("start", after)
    dispatcher = Dispatcher([Fake(name=str(number)) for number in range(4)], runtime=runtime)
    runtime.handler = dispatcher.stop
    with pytest.raises(NotRunningError, match="while it was starting"):
        dispatcher.start()
    threads = [*dispatcher._engine.threads.values(), dispatcher._engine.dispatcher_thread]
    assert len(threads) == 5
    assert not [thread for thread in threads if thread.is_alive()]


def test_a_signal_handler_that_stops_in_the_middle_of_a_stop_loses_no_statistics() -> None:
    class Counted(Fake):
        def get_statistics(self, reader: Hashable = None) -> dict[Any, Any]:
            return {"lines": 3}

    runtime = InterruptingRuntime("join")
    dispatcher = Dispatcher([Counted(name="counted")], runtime=runtime)
    reports: list[StopReport] = []
    runtime.handler = lambda: reports.append(dispatcher.stop())
    dispatcher.start()
    reports.append(dispatcher.stop())
    assert reports[0] is reports[1]
    assert dispatcher.get_statistics() == {"counted": {"lines": 3}}


def test_a_graceful_stop_halts_in_the_very_hold_that_finds_nothing_left() -> None:
    # Otherwise a timed event could start between this hold and the halt.
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        engine = dispatcher._engine
        notify = engine.notifier.notify
        halted_in_holds: list[bool] = []

        def noting() -> None:
            if engine.loop.holds():
                halted_in_holds.append(engine.halted)
            notify()

        engine.notifier.notify = noting  # type: ignore[method-assign]
        dispatcher.stop()
    assert halted_in_holds == [True]
