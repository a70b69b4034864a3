from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from tests.actors.fakes import DEADLINE, Fake, Gate, begin_to_stop, raising
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.reactor import ComponentReactor
from zenactors.core.clock import SystemClock, VirtualClock
from zenactors.core.component import ZenDaemonComponent
from zenactors.errors import EXIT_SOFTWARE, ComponentStartError
from zenactors.testing import Harness

Logged = list[tuple[str, str, dict[str, Any]]]
Pair = tuple[socket.socket, socket.socket]


def reactor(clock: Any = None) -> ComponentReactor:
    made = ComponentReactor(clock or SystemClock(), lambda _active: None, raising(AssertionError()))
    made.open()
    return made


def run_due(reactor: ComponentReactor) -> None:
    if reactor.due():
        for callback in reactor.take_due():
            callback(None)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_reader_is_called_in_the_components_thread_whenever_there_is_data(
    pair: Pair,
) -> None:
    received: list[bytes] = []
    threads: set[str] = set()
    everything = threading.Event()

    def read(_daemon: Any) -> None:
        received.append(pair[0].recv(1))
        threads.add(threading.current_thread().name)
        if b"".join(received) == b"abc":
            everything.set()

    with Dispatcher([Fake(setup=lambda daemon: daemon.io.add_reader(pair[0], read))]):
        pair[1].send(b"ab")
        pair[1].send(b"c")
        assert everything.wait(DEADLINE)
    assert threads == {"zenactors:fake"}


def test_a_writer_and_a_reader_share_a_descriptor_and_are_cancelled_separately(pair: Pair) -> None:
    written = threading.Event()
    received = threading.Event()
    handles: dict[str, Any] = {}

    def write(_daemon: Any) -> None:
        pair[0].send(b"out")
        assert handles["writer"].cancel()
        assert not handles["writer"].cancel()
        written.set()

    def read(_daemon: Any) -> None:
        pair[0].recv(10)
        received.set()

    def setup(daemon: Any) -> None:
        handles["reader"] = daemon.io.add_reader(pair[0], read)
        handles["writer"] = daemon.io.add_writer(pair[0].fileno(), write)
        with pytest.raises(ValueError, match="registered already"):
            daemon.io.add_reader(pair[0], read)

    with Dispatcher([Fake(setup=setup)]) as dispatcher:
        assert written.wait(DEADLINE)
        assert not received.is_set()
        pair[1].send(b"in")
        assert received.wait(DEADLINE)
    assert pair[1].recv(10) == b"out"
    assert dispatcher.stop().stuck == ()


def test_a_cancelled_reader_is_not_called_and_may_be_registered_again(pair: Pair) -> None:
    io = reactor()
    calls: list[str] = []
    first = io.add_reader(pair[0], lambda _: calls.append("first"))
    pair[1].send(b"x")
    assert first.cancel()
    assert not first.cancel()
    run_due(io)
    assert calls == []
    io._next_poll = 0.0
    io.add_reader(pair[0], lambda _: calls.append("second"))
    run_due(io)
    assert calls == ["second"]
    io.close()


def test_a_registration_that_a_callback_cancels_is_not_called_in_the_same_round(pair: Pair) -> None:
    io = reactor()
    calls: list[str] = []

    def close_connection(_daemon: Any) -> None:
        calls.append("reader")
        assert writer.cancel()

    io.add_reader(pair[0], close_connection)
    writer = io.add_writer(pair[0], lambda _: calls.append("writer"))
    pair[1].send(b"x")  # it is readable and writable at the first look
    run_due(io)
    assert calls == ["reader"]
    io.close()


def test_of_two_timers_due_together_the_first_can_cancel_the_second() -> None:
    clock = VirtualClock()
    io = reactor(clock)
    calls: list[str] = []
    cancelled: list[bool] = []
    io.call_later(1.0, lambda _: cancelled.append(second.cancel()))
    second = io.call_later(1.0, lambda _: calls.append("second"))
    clock.advance(1.0)
    run_due(io)
    assert (cancelled, calls) == ([True], [])
    assert not io._registered


def test_closing_a_descriptor_before_cancelling_it_harms_nothing() -> None:
    one, other = socket.socketpair()
    io = reactor()
    reader = io.add_reader(one, print)
    writer = io.add_writer(one, print)
    one.close()
    assert writer.cancel()
    assert reader.cancel()
    io.add_reader(other, print)
    io.add_writer(other, print)
    other.close()
    io.close()
    assert not io._registered


def test_a_teardown_that_closes_its_socket_does_not_look_stuck() -> None:
    one, other = socket.socketpair()

    def setup(daemon: Any) -> None:
        daemon.io.add_reader(one, lambda _: None)
        daemon.io.add_writer(one, lambda _: None)

    with Dispatcher([Fake(setup=setup, teardown=lambda _: one.close())]) as dispatcher:
        assert not dispatcher.is_idle()
    other.close()
    assert dispatcher.stop().stuck == ()


def test_a_file_that_cannot_be_waited_for_raises_in_the_caller(tmp_path: Any) -> None:
    io = reactor()
    with (tmp_path / "file").open("w") as file, pytest.raises(PermissionError):
        io.add_reader(file, print)
    assert not io._registered
    io.close()


def test_timers_run_in_order_of_time_and_simultaneous_ones_in_order_of_registration() -> None:
    clock = VirtualClock()
    io = reactor(clock)
    calls: list[str] = []
    note: Callable[[str], Any] = lambda name: lambda _: calls.append(name)  # noqa: E731
    for delay, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (3.0, "d")):
        io.call_later(delay, note(name))
    assert io.timeout() == 1.0
    clock.advance(2.5)
    run_due(io)
    assert calls == ["a", "b", "c"]
    clock.advance(1.0)
    run_due(io)
    assert calls == ["a", "b", "c", "d"]
    assert not io._registered


def test_a_repeated_timer_stays_in_step_and_leaves_out_missed_calls() -> None:
    clock = VirtualClock(0.0)
    io = reactor(clock)
    calls: list[float] = []
    timer = io.call_every(1.0, lambda _: calls.append(clock.monotonic()))
    for now in (0.5, 1.25, 1.75, 2.25, 5.5, 6.0):
        clock.advance(now - clock.monotonic())
        run_due(io)
    assert calls == [1.25, 2.25, 5.5, 6.0]
    assert timer.cancel()
    clock.advance(10.0)
    run_due(io)
    assert len(calls) == 4


def test_a_step_of_the_wall_clock_moves_no_timer() -> None:
    clock = VirtualClock()
    io = reactor(clock)
    calls: list[int] = []
    io.call_later(10.0, lambda _: calls.append(1))
    clock.step(3600.0)
    run_due(io)
    assert calls == []
    clock.step(-7200.0)
    clock.advance(10.0)
    run_due(io)
    assert calls == [1]


def test_an_interval_too_short_for_the_clock_ends_the_round_even_so() -> None:
    clock = VirtualClock()
    io = reactor(clock)
    calls: list[int] = []
    timer = io.call_every(1e-12, lambda _: calls.append(1))
    clock.advance(1.0)
    run_due(io)
    assert calls == [1]
    assert timer.cancel()


@pytest.mark.parametrize("interval", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_interval_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        reactor().call_every(interval, print)


def test_a_callback_that_raises_is_logged_and_the_rest_goes_on(
    logged: list[tuple[str, str, dict[str, Any]]],
) -> None:
    after = threading.Event()

    def setup(daemon: Any) -> None:
        daemon.io.call_later(0.0, raising(ValueError("oops")))
        daemon.io.call_later(0.0, lambda _: after.set())

    component = Fake({"x": None}, setup=setup)
    with Dispatcher([component]) as dispatcher:
        assert after.wait(DEADLINE)
        dispatcher.queue.schedule("x", 1)
        assert dispatcher.drain(DEADLINE)
        assert not dispatcher.halted
    assert component.seen == [1]
    failures = [record for record in logged if "oops" in record[1]]
    assert [(level, extra["component"]) for level, _, extra in failures] == [("ERROR", "fake")]
    assert dispatcher.dead_letters() == []


def test_timers_run_during_a_flood_of_events() -> None:
    ticks = threading.Semaphore(0)
    state = {"flooding": True}

    def again(daemon: Any, args: Any) -> None:
        if state["flooding"]:
            daemon.queue.schedule("x", args)

    def setup(daemon: Any) -> None:
        daemon.io.call_every(0.001, lambda _: ticks.release())
        for number in range(2_000):
            daemon.queue.schedule("x", number)

    with Dispatcher([Fake({"x": again}, setup=setup)]):
        for _ in range(20):
            assert ticks.acquire(timeout=DEADLINE)
        state["flooding"] = False


def test_a_timer_that_raises_is_logged_ten_times_and_then_summed_up() -> None:
    def fail(_daemon: Any) -> None:
        raise OSError("no such device")

    lines: list[Any] = []
    sink = logger.add(lambda line: lines.append(line.record), level="ERROR")
    component = ZenDaemonComponent(name="timed")
    component.setup = lambda daemon: daemon.io.call_every(1.0, fail)  # type: ignore[method-assign]
    try:
        with Harness([component]) as harness:
            harness.advance(1_005.0)
    finally:
        logger.remove(sink)

    assert len(lines) == 12
    assert [bool(line["exception"]) for line in lines] == [True] * 10 + [False] * 2
    assert lines[9]["message"].endswith("; 10 times by now, the next are summed up")
    assert lines[11]["message"].endswith("; 1,000 times by now, the next are summed up")


def test_a_descriptor_is_served_during_a_flood_of_events(pair: Pair) -> None:
    read = threading.Event()
    state = {"flooding": True}

    def again(daemon: Any, args: Any) -> None:
        if state["flooding"]:
            daemon.queue.schedule("x", args)

    def reader(_daemon: Any) -> None:
        pair[0].recv(10)
        read.set()

    def setup(daemon: Any) -> None:
        daemon.io.add_reader(pair[0], reader)
        for number in range(2_000):
            daemon.queue.schedule("x", number)

    with Dispatcher([Fake({"x": again}, setup=setup)]):
        pair[1].send(b"x")
        assert read.wait(DEADLINE)
        state["flooding"] = False


def test_events_are_handled_while_a_timer_is_always_due() -> None:
    ticks: list[None] = []
    component = Fake(
        # Due again before the next look at the clock: no call is as quick as a nanosecond.
        {"x": None},
        setup=lambda daemon: daemon.io.call_every(1e-9, lambda _: ticks.append(None)),
    )
    with Dispatcher([component]) as dispatcher:
        for number in range(200):
            dispatcher.queue.schedule("x", number)
        assert dispatcher.drain(DEADLINE)
    assert component.seen == list(range(200))
    assert ticks


def test_a_dispatcher_is_idle_only_when_no_registration_is_left(pair: Pair) -> None:
    handles: list[Any] = []

    def setup(daemon: Any) -> None:
        handles.append(daemon.io.add_reader(pair[0], print))
        handles.append(daemon.io.call_later(3600.0, print))
        handles.append(daemon.io.call_every(3600.0, print))
        handles.append(daemon.io.keep_alive())

    component = Fake({"cancel": lambda *_: handles.pop().cancel()}, setup=setup)
    with Dispatcher([component, Fake({"x": None})]) as dispatcher:
        while handles:
            assert not dispatcher.is_idle()
            assert not dispatcher.wait_for_end(0.0)
            dispatcher.queue.schedule("cancel")
            assert dispatcher.drain(DEADLINE)
        assert dispatcher.wait_for_end(DEADLINE)
        assert dispatcher.is_idle()


@pytest.mark.parametrize("last_act", ["schedule", "register"])
def test_a_timer_that_renews_itself_never_looks_idle_in_between(last_act: str) -> None:
    gate, second = Gate(), threading.Event()

    def renew(daemon: Any) -> None:
        gate()
        if last_act == "schedule":
            daemon.queue.schedule("x")
        else:
            daemon.io.call_later(0.0, lambda _: second.set())

    component = Fake(
        {"x": lambda *_: second.set()}, setup=lambda daemon: daemon.io.call_later(0.0, renew)
    )
    with Dispatcher([component]) as dispatcher:
        gate.await_entered()
        assert not dispatcher.is_idle()
        gate.open()
        assert dispatcher.wait_for_end(DEADLINE)
        assert second.is_set()


def test_a_reader_that_ends_itself_is_active_until_its_events_are_submitted(
    pair: Pair,
) -> None:
    gate = Gate()
    handles: list[Any] = []

    def read_last(daemon: Any) -> None:
        handles[0].cancel()
        gate()
        daemon.queue.schedule("x", "last line")

    component = Fake(
        {"x": None}, setup=lambda daemon: handles.append(daemon.io.add_reader(pair[0], read_last))
    )
    with Dispatcher([component]) as dispatcher:
        pair[1].send(b"x")
        gate.await_entered()
        assert not dispatcher.is_idle()
        gate.open()
        assert dispatcher.wait_for_end(DEADLINE)
        assert component.seen == ["last line"]


def test_a_component_without_descriptors_has_no_selector() -> None:
    quiet = Fake({"x": None}, name="quiet")
    timers = Fake(name="timers", setup=lambda daemon: daemon.io.call_later(3600.0, print))
    before = open_descriptors()
    with Dispatcher([quiet, timers]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)
        inboxes = [ref.actor_inbox for ref in dispatcher._engine.refs]
        assert inboxes[0].reactor is None  # type: ignore[attr-defined]
        assert not inboxes[1].reactor.has_descriptors()  # type: ignore[attr-defined]
        assert open_descriptors() == before


def test_all_descriptors_are_closed_after_the_stop() -> None:
    before = open_descriptors()
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(each) for each in socket.socketpair()]

            def setup(daemon: Any, sockets: Any = sockets) -> None:
                for each in sockets:
                    daemon.io.add_reader(each, lambda _: None)

            with Dispatcher([Fake(setup=setup)]):
                assert open_descriptors() > before + 2
    assert open_descriptors() == before


def refuse_eventfd(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let the system have no descriptor left where a selector is open and its wake-up is not."""
    original = os.eventfd
    refused: list[None] = []

    def eventfd(*args: Any) -> int:
        if len(refused) < times:
            refused.append(None)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return original(*args)

    monkeypatch.setattr(os, "eventfd", eventfd)


def test_a_reactor_that_gets_half_of_its_descriptors_is_as_if_nothing_had_been_asked(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[bool] = []
    io = ComponentReactor(SystemClock(), changes.append, raising(AssertionError()))
    io.open()
    before = open_descriptors()
    refuse_eventfd(monkeypatch, 2)
    for _ in range(2):
        with pytest.raises(OSError, match=r"Too many open files.*ulimit -n") as info:
            io.add_reader(pair[0], print)
        assert info.value.errno == errno.EMFILE
        assert open_descriptors() == before
        assert not io.has_descriptors()
        assert not io.due()
    assert changes == []
    calls: list[str] = []
    io.add_reader(pair[0], lambda _: calls.append("read"))
    pair[1].send(b"x")
    run_due(io)
    assert calls == ["read"]
    io.close()
    assert open_descriptors() == before


def test_a_setup_without_a_descriptor_to_be_had_fails_with_the_reason(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_eventfd(monkeypatch, 1)
    component = Fake(setup=lambda daemon: daemon.io.add_reader(pair[0], print))
    with pytest.raises(ComponentStartError, match=r"'fake' failed in setup.*Too many open files"):
        Dispatcher([component]).start()


def test_a_callback_without_a_descriptor_to_be_had_fails_and_the_next_one_works(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = threading.Event()
    component = Fake(
        {"x": lambda daemon, _: (1, daemon.io.add_reader(pair[0], lambda _: read.set()))}
    )
    with Dispatcher([component]) as dispatcher:
        refuse_eventfd(monkeypatch, 1)
        dispatcher.queue.schedule("x", 1)
        dispatcher.queue.schedule("x", 2)
        assert dispatcher.drain(DEADLINE)
        pair[1].send(b"x")
        assert read.wait(DEADLINE)
        (letter,) = dispatcher.dead_letters()
        assert letter.args == 1
        assert "Too many open files" in str(letter.cause)
    assert dispatcher.status == 0


def test_a_descriptor_that_cannot_be_waited_for_changes_nothing(pair: Pair, tmp_path: Path) -> None:
    io = reactor()
    before = open_descriptors()
    with (
        (tmp_path / "regular").open("w") as file,
        pytest.raises(PermissionError, match=r"regular file .* is always ready"),
    ):
        io.add_writer(file, print)
    number = 1_000_000  # not open
    with pytest.raises(OSError, match="while it is open") as info:
        io.add_reader(number, print)
    assert info.value.errno == errno.EBADF
    assert open_descriptors() == before

    calls: list[str] = []
    io.add_reader(pair[0], lambda _: calls.append("read"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        io.add_reader(number, print)
    pair[1].send(b"x")
    run_due(io)
    assert calls == ["read"]
    io.close()


def test_a_descriptor_that_was_closed_while_registered_is_refused_until_it_is_cancelled() -> None:
    io = reactor()
    one, other = socket.socketpair()
    number = one.fileno()
    reader = io.add_reader(one, print)
    one.close()
    for _ in range(2):
        with pytest.raises(OSError, match=f"Cannot wait for descriptor {number}"):
            io.add_writer(number, print)
    assert reader.cancel()
    again = socket.socket(fileno=os.dup(other.fileno()))
    assert again.fileno() == number
    again.close()
    other.close()
    io.close()


@pytest.mark.parametrize("where", ["timer", "event"])
def test_a_selector_that_other_code_closes_ends_the_daemon_by_name_and_with_a_status(
    pair: Pair, logged: Logged, where: str
) -> None:
    """As `os.closerange` does in a component that is about to run a program."""
    torn_down = threading.Event()

    def close_everything(daemon: Any, _args: Any = None) -> None:
        selector = daemon.io._selector
        assert isinstance(selector, selectors.EpollSelector)
        os.close(selector.fileno())

    def setup(daemon: Any) -> None:
        daemon.io.add_reader(pair[0], print)
        if where == "timer":
            daemon.io.call_later(0.0, close_everything)

    component = Fake({"x": close_everything}, setup=setup, teardown=lambda _: torn_down.set())
    with Dispatcher([component]) as dispatcher:
        if where == "event":
            dispatcher.queue.schedule("x")
        assert dispatcher.wait(DEADLINE)
    assert torn_down.is_set()
    assert dispatcher.status == EXIT_SOFTWARE
    assert dispatcher.stop().stuck == ()
    (message,) = [message for level, message, _ in logged if level == "CRITICAL"]
    assert message.startswith("Component 'fake' cannot wait for its descriptors any more: OSError(")


def test_nothing_is_called_back_once_the_stop_has_begun(pair: Pair) -> None:
    gate = Gate()
    clock = VirtualClock()
    calls: list[str] = []
    timers = Fake(
        {"y": None},
        name="timers",
        setup=lambda daemon: (
            daemon.io.call_later(1.0, lambda _: calls.append("timer")),
            daemon.io.add_reader(pair[0], lambda _: calls.append("reader")),
        ),
    )
    slow = Fake({"x": gate}, name="slow")
    dispatcher = Dispatcher([timers, slow], clock=clock)
    dispatcher.start()
    dispatcher.queue.schedule("x")
    gate.await_entered()
    stopping = begin_to_stop(dispatcher)
    # Messages are handled in order, so the component has handled `Quiesce` now.
    assert dispatcher._engine.refs[0].ask(None, timeout=DEADLINE) is None
    pair[1].send(b"x")
    clock.advance(2.0)
    for number in (1, 2, 3):  # before each of them it would look for due callbacks
        dispatcher.queue.schedule("y", number)
        timers.await_count(number)
    gate.open()
    stopping.join(DEADLINE)
    assert calls == []


def test_descriptors_and_timers_belong_to_the_components_thread() -> None:
    with Dispatcher([Fake()]) as dispatcher, pytest.raises(RuntimeError, match="own thread"):
        dispatcher.io  # noqa: B018


def test_a_late_wake_up_never_writes_to_a_descriptor_that_was_reused() -> None:
    one, other = socket.socketpair()
    io = reactor()
    io.add_reader(one, print)
    wake_up = io._wake_up  # held by a thread that is about to wake
    assert wake_up is not None
    number = wake_up.fd
    io.close()
    os.fstat(number)  # still open, so no other file can have the number
    wake_up.set()
    del wake_up
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    one.close()
    other.close()


def test_the_selector_waits_for_reading_and_writing() -> None:
    one, other = socket.socketpair()
    io = reactor()
    io.add_reader(one, print)
    io.add_writer(one, print)
    assert io._selector is not None
    key = io._selector.get_key(one.fileno())
    assert key.events == selectors.EVENT_READ | selectors.EVENT_WRITE
    io.close()
    one.close()
    other.close()
