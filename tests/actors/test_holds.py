"""What one hold of the dispatcher's state does, and what it leaves to the next one."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, in_threads
from tests.attack.checks import within
from tests.policies import OTHER
from zenactors.actors.dispatch_loop import MAX_BACKLOG, MAX_OPENED, MAX_ROUNDS, DispatchLoop
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.intake import MAX_TAKEN
from zenactors.actors.mailbox import Mailbox
from zenactors.actors.questions import Question
from zenactors.actors.runtime import Runtime
from zenactors.core.chain import build_chains
from zenactors.core.clock import VirtualClock
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.control_events import PATIENCE
from zenactors.core.dispatch_state import MAX_SERVED, DispatchState
from zenactors.core.event_queue import MAX_PROMOTED, MAX_RUN
from zenactors.core.events import EVENT_SIGNAL_USR1
from zenactors.core.messages import Batch, QueuePosition, Scheduled, ScheduledEvents
from zenactors.core.phase import Phase
from zenactors.errors import NotRunningError, UnknownEventError

FAR_AHEAD = MAX_OPENED * MAX_RUN  # events


class Problems:
    """Notes what a loop reports."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.skipped: list[tuple[Any, int]] = []

    def loop_failed(self, cause: Exception) -> None:
        self.failures.append(cause)

    def component_skipped(self, event: Any, component: int) -> None:
        self.skipped.append((event, component))


class LoopDriver:
    """A loop without threads: the test is the thread of an actor, or of none."""

    def __init__(self, *, open_: bool = True) -> None:
        self.clock = VirtualClock()
        self.state = DispatchState(
            build_chains(
                [("c", Fake({"x": None, "y": None, EVENT_SIGNAL_USR1: None}).get_events())]
            ),
            clock=self.clock,
        )
        self.mailbox = Mailbox()
        self.problems = Problems()
        self.loop = DispatchLoop(
            self.state,
            self.clock,
            mailboxes=[self.mailbox],
            listener=self.problems,
            runtime=Runtime(),
        )
        self.loop.begin_serving()
        if open_:
            for phase in (Phase.SETTING_UP, Phase.STARTING, Phase.OPEN):
                self.state.lifecycle.advance(phase)

    def event(
        self, args: Any = None, position: QueuePosition = QueuePosition.BACK, when: float = 0.0
    ) -> Scheduled:
        return Scheduled(self.state, position, "x", args, when, "p")

    def ended(self, *children: Scheduled) -> Batch:
        """Return a batch in flight that its component has handled, with what that scheduled."""
        self.loop.submit(self.event("parent"))
        (batch,) = self.delivered()
        batch.step = 1
        batch.end()
        batch.children = list(children)
        return batch

    def delivered(self) -> list[Batch]:
        data, control = self.mailbox._data, self.mailbox._control
        found: list[Any] = [data.get_nowait() for _ in range(data.qsize())]
        found += [control.popleft() for _ in range(len(control))]
        return [batch for batch in found if isinstance(batch, Batch)]


# --- bounded ------------------------------------------------------------------------------------


def test_a_hold_takes_in_a_bounded_part_of_what_a_callback_has_scheduled() -> None:
    driver = LoopDriver(open_=False)
    holds: list[int] = []
    children = [driver.event(number) for number in range(3 * MAX_TAKEN + 10)]
    driver.loop._inbox.append(ScheduledEvents(children))
    while driver.loop._inbox:
        before = driver.state.queue.count()
        driver.loop._run(outside=False)
        holds.append(driver.state.queue.count() - before)
    assert holds == [MAX_TAKEN, MAX_TAKEN, MAX_TAKEN, 10]


def test_a_hold_takes_in_a_bounded_part_of_the_children_of_a_batch_and_then_the_batch() -> None:
    driver = LoopDriver()
    driver.loop.submit(driver.event("parent"))
    (batch,) = driver.delivered()
    batch.step = 1
    batch.end()
    batch.children = [driver.event(number) for number in range(MAX_TAKEN + 5)]
    driver.loop._inbox.append(batch)
    driver.loop._run(outside=False)
    assert not driver.state.drained()
    assert driver.state.counts()[0][1].completed == 0
    driver.loop._run(outside=False)
    assert driver.state.counts()[0][1].completed == 1
    assert driver.state.counts()[0][1].accepted == MAX_TAKEN + 6


def test_a_hold_takes_in_a_bounded_number_from_outside() -> None:
    driver = LoopDriver(open_=False)
    for number in range(2 * MAX_TAKEN):
        driver.loop.hand_over(driver.event(number))
    driver.loop.run_once()
    assert driver.state.queue.count() == MAX_TAKEN
    driver.loop.run_once()
    assert driver.state.queue.count() == 2 * MAX_TAKEN


def test_a_hold_takes_in_a_bounded_number_of_priority_events() -> None:
    driver = LoopDriver(open_=False)
    for number in range(MAX_TAKEN + 10):
        driver.loop.hand_over_urgent(driver.event(number, QueuePosition.PRIORITY))
    driver.loop._run(outside=False)
    assert driver.state.queue.count() == MAX_TAKEN
    driver.loop._run(outside=False)
    assert driver.state.queue.count() == MAX_TAKEN + 10


def test_a_hold_answers_threads_outside_whatever_the_actors_submit() -> None:
    driver = LoopDriver(open_=False)
    driver.loop._inbox.append(ScheduledEvents([driver.event() for _ in range(3 * MAX_TAKEN)]))
    question = Question(lambda state: state.queue.count())
    driver.loop.outside.put(question)
    driver.loop._run(outside=True)
    assert question.result(DEADLINE) == MAX_TAKEN


def test_the_dispatchers_thread_is_not_parked_while_objects_of_users_die() -> None:
    driver = LoopDriver()
    loop, counts = driver.loop, []

    class Asking:
        def __del__(self) -> None:
            question = Question(lambda state: state.queue.count())
            loop.outside.put(question)
            loop._run_instead()
            counts.append(question.result(DEADLINE))

    handle = driver.event(Asking(), QueuePosition.AFTER, driver.clock.monotonic() + 1.0)
    loop.hand_over(handle)
    loop.run_and_park(["sleep not"], 1.0)
    loop.outside.put(Question(lambda state: state.cancel(handle)))
    loop.run_and_park([], DEADLINE)
    assert counts == [0]


def test_the_dispatchers_thread_does_not_sleep_while_a_message_waits() -> None:
    driver = LoopDriver()
    # The wake-up that follows the message was taken by another holder.
    within(DEADLINE, driver.loop.run_and_park, ["a message"], DEADLINE)
    assert not driver.loop._parked


def test_a_question_whose_answer_is_broken_off_is_refused() -> None:
    driver = LoopDriver()

    def struck(_state: DispatchState) -> None:
        raise SystemExit

    question = Question(struck)
    with pytest.raises(SystemExit):
        question.reply(driver.state)
    with pytest.raises(NotRunningError, match="struck"):
        question.result(0.0)


def test_a_thread_with_work_of_its_own_leaves_the_rest_to_the_dispatchers_thread() -> None:
    driver = LoopDriver(open_=False)
    for _ in range(MAX_ROUNDS + 2):
        driver.loop._inbox.append(ScheduledEvents([driver.event() for _ in range(MAX_TAKEN)]))
    assert not driver.loop.outside.qsize()
    driver.loop.submit(driver.event())
    assert driver.state.queue.count() == MAX_ROUNDS * MAX_TAKEN
    assert driver.loop.outside.get_nowait() is None  # the wake-up


def test_what_a_hold_has_left_to_start_is_started_by_the_next_ones() -> None:
    driver = LoopDriver()
    count = 3 * MAX_SERVED
    for chain_state in driver.state.chain_states.values():
        chain_state.window = count
    for number in range(count):
        driver.state.accept(Scheduled(driver.state, QueuePosition.BACK, "xy"[number % 2], number))
    driver.loop.submit(driver.event("last"))
    started = [number for batch in driver.delivered() for number in batch.items]
    assert sorted(started, key=str) == sorted([*range(count), "last"], key=str)
    assert not driver.state.unfinished


def test_the_dispatchers_thread_does_not_sleep_while_there_is_something_to_start() -> None:
    driver = LoopDriver()
    driver.state.unfinished = True
    assert driver.loop.prepare_sleep() == 0.0
    driver.loop.run_once()
    assert driver.loop.prepare_sleep() is None


def test_a_look_at_the_clock_moves_a_bounded_number_of_due_events() -> None:
    driver = LoopDriver()
    for number in range(2 * MAX_PROMOTED + 3):
        driver.state.accept(driver.event(number, QueuePosition.AFTER, driver.clock.monotonic()))
    moved = []
    while driver.state.queue.timed:
        before = driver.state.queue.timed
        driver.state.queue.promote()
        moved.append(before - driver.state.queue.timed)
        assert driver.state.next_due() in (0.0, None)
    assert moved == [MAX_PROMOTED, MAX_PROMOTED, 3]


def test_a_priority_event_from_outside_passes_a_backlog() -> None:
    driver = LoopDriver()
    for number in range(MAX_BACKLOG - 1):
        driver.loop.hand_over(driver.event(number))
    driver.loop.hand_over_urgent(driver.event("urgent", QueuePosition.PRIORITY))
    driver.loop.submit(driver.event())  # any holder sees it
    assert [b.items for b in driver.delivered() if b.on_control_lane] == [["urgent"]]
    while driver.loop.has_submissions():
        driver.loop.run_once()
    assert not [b for b in driver.delivered() if b.on_control_lane]  # it is not started twice


def test_a_producer_outside_waits_for_a_dispatcher_that_is_far_behind() -> None:
    held = Gate()
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        loop = dispatcher._engine.loop
        asking = threading.Thread(target=loop.ask, args=(lambda _state: held(),))
        asking.start()
        held.await_entered()
        scheduled: list[int] = []

        def produce(_: int) -> None:
            while loop.outside.qsize() < MAX_OPENED + 2 and len(scheduled) < FAR_AHEAD:
                dispatcher.queue.schedule("x")
                scheduled.append(len(scheduled))

        producing = threading.Thread(target=produce, args=(0,))
        producing.start()
        producing.join()  # the last ones took a moment each: it never blocks for good
        assert loop.outside.qsize() > MAX_OPENED
        held.open()
        asking.join()
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.counts()["x"].completed == len(scheduled)


# --- an event that comes alone --------------------------------------------------------------------


@pytest.mark.parametrize("with_its_batch", [True, False])
def test_the_only_event_that_a_callback_schedules_starts_and_is_counted(
    *, with_its_batch: bool
) -> None:
    driver = LoopDriver()
    batch = driver.ended(driver.event("child"))
    if with_its_batch:
        driver.loop.submit(batch)
    else:
        children, batch.children = batch.children, None
        driver.loop.submit(ScheduledEvents(children or []))
        driver.loop.submit(batch)
    assert [each.items for each in driver.delivered()] == [["child"]]
    counts = driver.state.counts()[0][1]
    assert (counts.accepted, counts.completed, counts.in_flight, counts.waiting) == (2, 1, 1, 0)


def test_the_only_event_that_a_callback_schedules_waits_behind_those_that_wait() -> None:
    driver = LoopDriver()
    state = driver.state.chain_states["x"]
    state.window = 1
    batch = driver.ended(driver.event("last"))
    for number in range(2):
        driver.loop.submit(driver.event(number))
    driver.loop.submit(batch)
    order = []
    while batches := driver.delivered():
        for batch in batches:
            order += batch.items
            batch.step = 1
            batch.end()
            driver.loop.submit(batch)
    assert order == [0, 1, "last"]


def test_the_only_event_that_a_callback_schedules_may_have_been_cancelled() -> None:
    driver = LoopDriver()
    child = driver.event("child")
    batch = driver.ended(child)
    assert child.cancel()
    driver.loop.submit(batch)
    assert not driver.delivered()
    assert driver.state.drained()
    assert driver.state.counts()[0][1].cancelled == 1


def test_an_event_that_comes_alone_does_not_delay_the_look_at_overdue_components() -> None:
    driver = LoopDriver()
    batch = driver.ended(driver.event("child"))
    driver.loop.submit(Scheduled(driver.state, QueuePosition.PRIORITY, EVENT_SIGNAL_USR1, None))
    assert len(driver.delivered()) == 1  # to a component that is busy
    driver.clock.advance(PATIENCE)
    driver.loop.submit(batch)
    assert driver.problems.skipped == [(EVENT_SIGNAL_USR1, 0)]
    assert [each.items for each in driver.delivered()] == [["child"]]


# --- nothing of the user's ----------------------------------------------------------------------


class Grumpy:
    """An event, or args, whose code notes if it runs while the state is held."""

    def __init__(self, holds: Callable[[], bool], seen: list[bool]) -> None:
        self._holds = holds
        self._seen = seen

    def _note(self) -> None:
        self._seen.append(self._holds())

    def __hash__(self) -> int:
        self._note()
        return 1

    def __eq__(self, other: object) -> bool:
        self._note()
        return self is other

    def __repr__(self) -> str:
        self._note()
        return "grumpy"

    def __del__(self) -> None:
        self._note()


@pytest.mark.parametrize("ordering", ["component", "event", "global"])
def test_no_code_of_an_event_or_of_args_runs_while_the_state_is_held(ordering: Any) -> None:
    seen: list[bool] = []
    holders: list[Callable[[], bool]] = []

    def holds() -> bool:
        return any(each() for each in holders)

    event = Grumpy(holds, seen)

    class Forgetful(ZenDaemonComponent):
        def get_events(self) -> list[Any]:
            events = [self.gen_event_handler(event, self.cbk)]
            return [*events, self.gen_event_handler("x", self.cbk_event_x)]

        def cbk(self, daemon: Any, args: Any) -> tuple[Any, Any]:
            return daemon.FLAG_CONTINUE, Grumpy(holds, seen)

        def cbk_event_x(self, daemon: Any, args: Any) -> None:
            daemon.queue.schedule(event, Grumpy(holds, seen))

    components = [Forgetful(name="one"), Forgetful(name="two")]
    with Dispatcher(components, ordering=ordering) as dispatcher:
        holders.append(dispatcher._engine.loop.holds)
        queue = dispatcher.queue
        for _ in range(50):
            queue.schedule(event, Grumpy(holds, seen))
            queue.schedule_next(event, Grumpy(holds, seen))
            queue.schedule_after(0.0, event, Grumpy(holds, seen))
            queue.schedule_after(3600.0, event, Grumpy(holds, seen)).cancel()
            queue.schedule(event, Grumpy(holds, seen)).cancel()
            queue.schedule_priority(event, Grumpy(holds, seen))
            queue.schedule("x")
        dispatcher.counts()
        assert dispatcher.drain(DEADLINE)
    gc.collect()
    assert len(seen) > 500
    assert not any(seen)


def test_an_unknown_event_is_described_without_the_state(
    logged: list[tuple[str, str, dict[str, Any]]],
) -> None:
    seen: list[bool] = []
    holders: list[Callable[[], bool]] = []
    event = Grumpy(lambda: any(each() for each in holders), seen)
    with Dispatcher([Fake({"x": None})], ordering="global", policy=OTHER) as dispatcher:
        holders.append(dispatcher._engine.loop.holds)
        dispatcher.queue.schedule(event)
        assert dispatcher.wait(DEADLINE)
    assert any("grumpy" in message for _, message, _ in logged)
    assert seen[-1] is False


def test_an_unknown_event_says_so_only_when_it_is_read() -> None:
    seen: list[bool] = []
    error = UnknownEventError(Grumpy(lambda: True, seen), known=["x"])
    assert seen == []
    assert "grumpy" in str(error)


# --- asking from within -------------------------------------------------------------------------


def test_a_finalizer_in_the_middle_of_a_hold_is_answered() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        queue, loop = dispatcher.queue, dispatcher._engine.loop
        later = queue.schedule_after(3600.0, "x", "later")
        answers: list[Any] = []

        class Trash:
            def __del__(self) -> None:
                assert loop.holds()
                answers.extend([queue.count(), queue.ahead(), dispatcher.is_idle()])
                answers.append(dispatcher.counts()["x"].waiting)
                queue.schedule("x", "from a finalizer")
                queue.schedule_priority("x", "urgent")
                answers.append(later.cancel())
                for refused in (queue.next, dispatcher.stop, dispatcher.drain):
                    with pytest.raises(RuntimeError):
                        refused()
                answers.append("over")

        def held(_state: DispatchState) -> None:
            trash = Trash()
            del trash

        loop.ask(held)
        component.await_count(2)
        assert answers == [1, 0, False, 1, False, "over"]
        assert sorted(component.seen) == ["from a finalizer", "urgent"]
        assert not later.cancel()  # it was cancelled right after the hold
        assert queue.count() == 0


def test_a_finalizer_in_a_components_thread_between_two_events_schedules_at_once() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        mailbox = dispatcher._engine.mailboxes[0]
        get, scheduled = mailbox.get, threading.Event()

        def get_and_collect() -> Any:
            if not scheduled.is_set():
                scheduled.set()
                dispatcher.queue.schedule("x", "from a finalizer")
            return get()

        mailbox.get = get_and_collect  # type: ignore[method-assign]
        dispatcher.queue.schedule("x", "wakes the thread")
        component.await_count(2)
        assert sorted(component.seen) == ["from a finalizer", "wakes the thread"]


def test_a_log_sink_may_ask_in_every_thread(logged: list[Any]) -> None:
    del logged
    component = Fake({"x": lambda *_: 1 / 0})
    with Dispatcher([component]) as dispatcher:
        from loguru import logger  # noqa: PLC0415

        asked: list[int] = []
        sink = logger.add(lambda _: asked.append(dispatcher.queue.count()), level="DEBUG")
        try:
            in_threads(2, lambda _: dispatcher.queue.schedule("x"))
            assert dispatcher.drain(DEADLINE)
            dispatcher._engine.loop.ask(lambda state: state.control_events.skipped.append(("x", 0)))
            dispatcher.queue.schedule("x")
            component.await_count(3)
            assert dispatcher.drain(DEADLINE)
        finally:
            logger.remove(sink)
    assert len(asked) >= 4


# --- let go of ----------------------------------------------------------------------------------


def test_a_watch_that_nobody_waits_for_is_forgotten() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        loop = dispatcher._engine.loop
        watch = loop.watch(lambda _state: False, lambda: None)
        loop.ask(lambda _state: None)
        assert len(loop._watches) == 1
        gone = weakref.ref(watch)
        del watch
        loop.ask(lambda _state: None)
        assert gone() is None
        assert loop._watches == []


def test_what_comes_after_a_question_does_not_change_its_answer() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        loop = dispatcher._engine.loop
        has_submissions = loop.has_submissions
        loop.has_submissions = lambda: True  # type: ignore[method-assign] # say, a wake-up
        try:
            assert dispatcher.drain(0.0)
            assert dispatcher.is_idle()
        finally:
            loop.has_submissions = has_submissions  # type: ignore[method-assign]
