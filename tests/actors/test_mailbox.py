from __future__ import annotations

import threading
from collections import deque
from typing import Any, NamedTuple

import pykka

from tests.actors.fakes import DEADLINE, Fake, Gate, ObservedQueue, raising
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.mailbox import (
    MAX_CONTROL_STREAK,
    RESUME,
    RUN_REACTOR,
    InternalEnvelope,
    Mailbox,
)
from zenactors.actors.reactor import ComponentReactor
from zenactors.core.chain import Chain, Step
from zenactors.core.clock import SystemClock, VirtualClock
from zenactors.core.messages import Batch

CHAIN = Chain("x", 0, (Step(0, (lambda _daemon, _args: None,)),), revisits=False)


class Letter(NamedTuple):
    message: Any
    reply_to: Any = None


def data(number: int = 0) -> Batch:
    return Batch(CHAIN, 0, (0,), [number], 1)


def control(number: int = 0) -> Letter:
    return Letter(number)


def get_in_thread(mailbox: Mailbox) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(mailbox.get()), daemon=True)
    thread.start()
    return thread, got


def reactor_of(mailbox: Mailbox, clock: Any = None) -> ComponentReactor:
    mailbox.reactor = ComponentReactor(
        clock or SystemClock(), lambda _active: None, raising(AssertionError())
    )
    mailbox.reactor.open()
    return mailbox.reactor


def test_data_comes_out_in_the_order_of_arrival() -> None:
    mailbox = Mailbox()
    letters = [data(number) for number in range(10)]
    for letter in letters:
        mailbox.deliver(letter)
    assert [mailbox.get() for _ in letters] == letters


def test_a_control_message_overtakes_a_hundred_thousand_data_messages() -> None:
    mailbox = Mailbox()
    letter = data()
    for _ in range(100_000):
        mailbox.deliver(letter)
    first = control()
    mailbox.put(first)
    assert mailbox.get() is first
    assert mailbox.get() is letter


def test_a_stop_overtakes_a_hundred_thousand_events_in_the_queue() -> None:
    gate = Gate()
    component = Fake({"x": gate, "stop": lambda *_: order.append("stop")})
    order: list[str] = []
    with Dispatcher([component]) as dispatcher:
        for number in range(100_000):
            dispatcher.queue.schedule("x", number)
        gate.await_entered()
        dispatcher.queue.schedule_priority("stop", "now")
        assert dispatcher.counts()["stop"].in_flight == 1
        gate.open()
        dispatcher.stop(drain=False)
    # Only the event under way, and the rest of its stride, were handled before it.
    assert order == ["stop"]
    assert component.seen.index("now") <= 64


def test_after_a_hundred_control_messages_one_data_message_passes() -> None:
    mailbox = Mailbox()
    for number in range(1_000):
        mailbox.put(control(number))
    passed = [data(0), data(1), data(2)]
    for letter in passed:
        mailbox.deliver(letter)
    got = [mailbox.get() for _ in range(1_003)]
    positions = [index for index, letter in enumerate(got) if type(letter.message) is Batch]
    assert positions == [MAX_CONTROL_STREAK, 2 * MAX_CONTROL_STREAK + 1, 3 * MAX_CONTROL_STREAK + 2]
    assert [got[position] for position in positions] == passed
    controls = [letter.message for letter in got if type(letter.message) is not Batch]
    assert controls == list(range(1_000))


def test_a_batch_under_way_goes_on_after_a_hundred_control_messages_too() -> None:
    mailbox = Mailbox()
    mailbox.busy = True
    for number in range(250):
        mailbox.put(control(number))
    got = [mailbox.get() for _ in range(253)]
    assert [index for index, each in enumerate(got) if each is RESUME] == [100, 201, 252]


def test_an_actor_that_holds_unfinished_batches_is_resumed_before_data() -> None:
    mailbox = Mailbox()
    letter = data()
    mailbox.deliver(letter)
    mailbox.busy = True
    assert mailbox.get() is RESUME
    assert mailbox.get() is RESUME
    mailbox.busy = False
    assert mailbox.get() is letter


def test_a_control_message_wakes_a_sleeping_owner() -> None:
    mailbox = Mailbox()
    thread, got = get_in_thread(mailbox)
    letter = control()
    mailbox.put(letter)
    thread.join(DEADLINE)
    assert got == [letter]


def test_left_over_wake_ups_do_not_keep_the_owner_awake() -> None:
    mailbox = Mailbox()
    data_lane = mailbox._data = ObservedQueue()
    for number in range(10):
        mailbox.put(control(number))
    assert [mailbox.get().message for _ in range(10)] == list(range(10))
    thread, got = get_in_thread(mailbox)
    data_lane.await_sleeper()
    assert got == []
    letter = data()
    mailbox.deliver(letter)
    thread.join(DEADLINE)
    assert got == [letter]


def test_the_owner_wakes_when_a_timer_is_due() -> None:
    mailbox = Mailbox()
    reactor_of(mailbox).call_later(0.01, print)
    thread, got = get_in_thread(mailbox)
    thread.join(DEADLINE)
    assert got == [RUN_REACTOR]


def test_a_timer_that_is_always_due_lets_data_pass() -> None:
    mailbox = Mailbox()
    clock = VirtualClock()
    reactor_of(mailbox, clock).call_later(0.0, print)  # never taken: it stays due
    letters = [data(number) for number in range(3)]
    for letter in letters:
        mailbox.deliver(letter)
    got = [mailbox.get() for _ in range(6)]
    assert got == [RUN_REACTOR, letters[0], RUN_REACTOR, letters[1], RUN_REACTOR, letters[2]]


def test_a_message_wakes_an_owner_that_waits_for_its_descriptors(pair: Any) -> None:
    mailbox = Mailbox()
    reactor = reactor_of(mailbox)
    reactor.add_reader(pair[0], print)
    letters: tuple[Any, ...] = (data(), control())
    for letter in letters:
        thread, got = get_in_thread(mailbox)
        send = mailbox.deliver if isinstance(letter, Batch) else mailbox.put
        send(letter)
        thread.join(DEADLINE)
        assert got == [letter]
    pair[1].send(b"x")
    thread, got = get_in_thread(mailbox)
    thread.join(DEADLINE)
    assert got == [RUN_REACTOR]
    reactor.close()


def test_a_timer_far_in_the_future_does_not_break_the_wait(pair: Any) -> None:
    mailbox = Mailbox()
    reactor = reactor_of(mailbox)
    reactor.call_later(1e12, print)
    for _ in range(2):  # first without descriptors, then with
        thread, got = get_in_thread(mailbox)
        letter = data()
        mailbox.deliver(letter)
        thread.join(DEADLINE)
        assert got == [letter]
        reactor.add_reader(pair[_], print)
    reactor.close()


def test_a_readable_descriptor_does_not_end_waits_after_quiesce(
    pair: Any, monkeypatch: Any
) -> None:
    mailbox = Mailbox()
    reactor = reactor_of(mailbox)
    reactor.add_reader(pair[0], print)
    pair[1].send(b"x")
    reactor.quiesce()
    looks: list[Any] = []
    monkeypatch.setattr(reactor, "_select", looks.append)
    thread, got = get_in_thread(mailbox)
    letter = data()
    mailbox.deliver(letter)
    thread.join(DEADLINE)
    assert got == [letter]
    assert looks == []
    reactor.close()


def test_after_close_every_ask_is_answered() -> None:
    mailbox = Mailbox()
    mailbox.close()
    future = pykka.ThreadingFuture[Any]()
    mailbox.put(Letter("question", reply_to=future))
    assert mailbox.empty()
    try:
        future.get(timeout=0.0)
    except pykka.ActorDeadError as cause:
        answer = cause
    assert "before it handled" in str(answer)


def test_a_message_that_another_thread_refuses_first_does_not_break_the_owner() -> None:
    class Raced(deque[Any]):
        """Another thread pops between the look and the pop."""

        def popleft(self) -> Any:
            self.clear()
            raise IndexError

    mailbox = Mailbox()
    mailbox.put(control())
    mailbox.close()
    mailbox._control = Raced(mailbox._control)
    mailbox._data.get_nowait()  # its wake-up
    assert mailbox.get() == InternalEnvelope(None)
