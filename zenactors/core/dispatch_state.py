"""The dispatcher's decisions, as a state machine: what may start now, and what is done.

No thread, no I/O. Whoever holds the dispatcher's turn feeds it what has happened
(`accept`, `complete`) and sends on their way the batches that `turn` returns.

Three rules bound and order everything:

* A *window* per chain limits how many of its events are under way; it grows while the chain
  is quick and shrinks while it is slow.
* A batch draws a *ticket* at every step of its chain when it starts. A component runs batches
  in ticket order, so it sees events in exactly the order in which they were started.
* Admission is first in, first out per producer: if the chain of a producer's next event is
  full, its later events wait, and those of others do not.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal

from zenactors.core.chain import Chain, Order
from zenactors.core.clock import Clock, SystemClock
from zenactors.core.event_queue import (
    GONE,
    MAX_PRIORITY_STREAK,
    NEW,
    EventQueueManager,
    EventRun,
    ProducerQueue,
    QueuePosition,
    Scheduled,
)
from zenactors.core.events import EVENT_SIGNAL_HUP, EVENT_START, MAINTENANCE_EVENTS
from zenactors.core.messages import Batch
from zenactors.errors import UnknownEventError

Ordering = Literal["global", "component", "event"]
ORDERINGS: tuple[Ordering, ...] = ("global", "component", "event")

MIN_WINDOW = 16
MAX_WINDOW = 1024
REFILL = 4  # once full, a window is filled up again when this fraction of it is free
FAST_WINDOW = 0.005  # seconds: a full window that takes no longer lets the window double
SLOW_WINDOW = 0.020  # seconds: one that takes longer halves it

PATIENCE = 5.0  # seconds that an event of the daemon's life waits for a component that is busy
RELOAD_PATIENCE = 15.0  # the same for this one: what a reload takes, and what comes with it


@dataclasses.dataclass(slots=True)
class Counts:
    """What became of the events of one chain. At any time between two turns,
    `accepted == completed + stopped + dead + waiting + in_flight`.

    Attributes:
        accepted: Taken over by the dispatcher, less those withdrawn again.
        completed: Came through the whole chain.
        stopped: Ended by a callback's FLAG_STOP, or by a request to stop everything.
        dead: Dead-lettered.
        waiting: In the queue.
        in_flight: Under way in the chain.
    """

    accepted: int = 0
    completed: int = 0
    stopped: int = 0
    dead: int = 0
    waiting: int = 0
    in_flight: int = 0

    def __add__(self, other: Counts) -> Counts:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Counts(*(a + b for a, b in pairs))


class ChainState:
    """What the dispatcher knows of one chain. `full` may be read by any thread as a hint."""

    __slots__ = (
        "accepted",
        "chain",
        "completed",
        "components",
        "control_in_flight",
        "dead",
        "full",
        "in_flight",
        "least_window",
        "mark",
        "marked_at",
        "orders",
        "passed",
        "stopped",
        "waiting",
        "window",
    )

    def __init__(self, chain: Chain, widths: Mapping[int, int]) -> None:
        self.chain = chain
        width = max(widths.get(step.component, 1) for step in chain.steps)
        self.least_window = min(MAX_WINDOW, MIN_WINDOW * width)
        self.orders = tuple(step.order for step in chain.steps)
        self.components = tuple(step.component for step in chain.steps)
        self.window = self.least_window
        self.full = False
        self.in_flight = 0  # data events: what the window limits
        self.control_in_flight = 0
        self.passed = 0  # data events that have left the chain, whatever became of them
        self.accepted = self.completed = self.stopped = self.dead = 0
        self.waiting: deque[ProducerQueue] = deque()  # producers held back by the window
        self.mark = -1  # when so many events are done, the window that was full is through
        self.marked_at = 0.0


class ControlEvent:
    """An event of the daemon's life on its way from component to component.

    Attributes:
        flow: The event's.
        args: What the next component gets.
        ways: A chain of one step for each component.
        step: Where it is.
        due: When it goes on without the component that it is with, on the monotonic clock.
        part: What is there; None at the end.
    """

    __slots__ = ("args", "batch", "chain_state", "due", "step", "ways")

    def __init__(self, chain_state: ChainState, args: Any) -> None:
        chain = chain_state.chain
        self.chain_state = chain_state
        self.args = args
        self.ways = [
            Chain(chain.event, chain.number, (step,), revisits=False, is_control_event=True)
            for step in chain.steps
        ]
        self.step = 0
        self.due = 0.0
        self.batch: Batch | None = None


class DispatchState:
    """Decide which events start when. Thread: whoever holds the dispatcher's turn.

    Args:
        chains: The wiring, from `build_chains`.
        ordering: What may overlap; see the model's documentation.
        clock: Where time comes from.
        widths: How many replicas a component has, by its index, for those that have any. A
            chain's window is that many times wider, to give each of them something to do.
        strict: What `accept` does with an event that has no chain. True: raise. False: take it
            and report it by `turn` when its time has come, as pyzenkit does.
    """

    def __init__(
        self,
        chains: Mapping[Any, Chain],
        *,
        ordering: Ordering = "component",
        clock: Clock | None = None,
        widths: Mapping[int, int] | None = None,
        strict: bool = True,
    ) -> None:
        if ordering not in ORDERINGS:
            raise ValueError(f"ordering must be one of {', '.join(ORDERINGS)}, not {ordering!r}.")
        self._clock: Clock = clock or SystemClock()
        self.queue = EventQueueManager(clock=self._clock, maintenance=MAINTENANCE_EVENTS)
        for chain in chains.values():
            for step in chain.steps:
                # A component has one order for all its chains, or one for each of them.
                step.order = (step.component, chain.number if ordering == "event" else -1)
        self.chain_states = {
            event: ChainState(chain, widths or {}) for event, chain in chains.items()
        }
        self.ordering = ordering
        self.open = False
        """False: nothing starts. Set when every component is set up."""
        self.started_log: list[tuple[Any, list[Any]]] | None = None
        """If a list: every started batch is noted here, `(event, args)`. For tests."""
        self._one_by_one = ordering == "global"
        self._strict = strict
        self._in_flight = 0  # of all chains, control included
        self._barrier = False
        self._tickets: dict[Order, int] = {}
        self._held: dict[ProducerQueue, tuple[ChainState, deque[ProducerQueue]]] = {}
        self._sources = 0
        self.control_events: list[ControlEvent] = []
        """The events of the daemon's life that are on their way."""
        self.passed_over: deque[tuple[Any, int]] = deque()
        """Which events went on without which component. Whoever logs it empties it."""
        self._missed = 0  # of these, how many the components have yet to come to

    # --- what has happened -----------------------------------------------------------------

    def accept(self, scheduled: Scheduled) -> None:
        """Take over an event that was scheduled.

        Raises:
            UnknownEventError: If no component handles it, and unknown ones are not let in.
        """
        chain_state = self.chain_states.get(scheduled.event)
        if scheduled.location is not NEW:
            return  # cancelled before it came here
        if chain_state is not None:
            chain_state.accepted += 1
        elif self._strict:
            raise UnknownEventError(scheduled.event, known=self.chain_states)
        if self._one_by_one:
            scheduled.producer = None  # one order for all
        self.queue.insert(scheduled)
        if scheduled.position is QueuePosition.FRONT:
            self._release(scheduled.producer_queue())

    def cancel(self, scheduled: Scheduled) -> bool:
        """Take an event back. False: it was started or cancelled before."""
        location = scheduled.location
        cancelled = self.queue.cancel(scheduled)
        if cancelled and location is not NEW:
            self._withdraw(scheduled.event)
            if isinstance(location, EventRun):
                self._release(
                    location.producer_queue
                )  # what follows may wait for another chain, or for none
        return cancelled

    def take_next(self) -> tuple[Any, Any]:
        """Take the next event out of the queue instead of starting it."""
        for producer_queue in list(self._held):
            self._release(producer_queue)  # the queue looks at what is ready only
        before = self.queue.count()
        event, args = self.queue.next()
        if self.queue.count() < before:
            self._withdraw(event)
        return event, args

    def complete(self, batch: Batch) -> Batch | None:
        """Note that a part has left the last step of its chain.

        Returns:
            Of an event of the daemon's life: what to send to the next component of its chain.
        """
        if batch.on_control_lane and type(batch.origin) is ControlEvent:
            return self._next_stop(batch.origin, batch)
        chain_state = self.chain_states[batch.chain.event]
        size = batch.size
        chain_state.completed += len(batch.items)
        chain_state.stopped += batch.stopped
        chain_state.dead += batch.dead
        self._in_flight -= size
        if batch.on_control_lane:
            chain_state.control_in_flight -= size
        else:
            chain_state.in_flight -= size
            chain_state.passed += size
            self._adapt(chain_state)
            if chain_state.waiting:
                # Not before there is room for a batch worth sending.
                chain_state.full = (
                    chain_state.in_flight > chain_state.window - chain_state.window // REFILL
                )
                if not chain_state.full:
                    self._release(chain_state.waiting[0])
            else:
                chain_state.full = chain_state.in_flight >= chain_state.window
        if self._barrier and not self._in_flight:
            self._barrier = False
        return None

    def source_changed(self, change: int) -> None:
        """Note that a component became (+1) or ceased to be (-1) an active source."""
        self._sources += change

    # --- what may start --------------------------------------------------------------------

    def start_barrier(self, args: Any = None) -> list[Batch]:
        """Start the `start` event; nothing else starts before its chain has ended."""
        chain_state = self.chain_states.get(EVENT_START)
        if chain_state is None:
            return []
        chain_state.accepted += 1
        self._barrier = True
        return [self._start_control(chain_state, args)]

    def turn(self) -> list[Batch]:
        """Start what may start now.

        Returns:
            The batches to send, each to the component of its first step, in this order.

        Raises:
            UnknownEventError: If the next event has no chain (only with `strict=False`).
        """
        started: list[Batch] = []
        if self._barrier or not self.open:
            return started
        if self.control_events:
            self._pass_over(started)
        queue = self.queue
        queue.promote()
        if self._one_by_one:
            return started + self._turn_one_by_one()
        for _ in range(MAX_PRIORITY_STREAK):
            scheduled = queue.next_priority()
            if scheduled is None:
                break
            started.append(self._start_control(self._chain_state(scheduled.event), scheduled.args))
        latest: dict[int, Batch] = {}
        # Serving one may let another go on that was held back, also a due one.
        while producer_queues := queue.due or queue.ready:
            self._serve(producer_queues, started, latest)
        return started

    def more_priority(self) -> bool:
        """Return True if the last turn left priority events, because of their streak's limit."""
        return (
            self.open and not self._barrier and self.queue.has_priority() and not self._one_by_one
        )

    def start_alone(self, scheduled: Scheduled) -> Batch | None:
        """Accept an event and start it at once, past the queue. None: it has to queue.

        What an idle daemon does with a lone event, without the detour.
        """
        chain_state = self.chain_states.get(scheduled.event)
        if (
            chain_state is None
            or scheduled.location is not NEW
            or scheduled.position is not QueuePosition.BACK
            or self._barrier
            or not self.open
            or (self._one_by_one and self._in_flight)
            or chain_state.in_flight >= chain_state.window
            or self.queue.waiting()
        ):
            return None
        scheduled.location = GONE
        chain_state.accepted += 1
        batch = self._start(chain_state, [scheduled.args])
        if chain_state.in_flight >= chain_state.window:
            self._note_if_full(chain_state)
        return batch

    # --- how things stand ------------------------------------------------------------------

    def drained(self) -> bool:
        """Return True if nothing is under way and nothing waits but timed events."""
        return not self._in_flight and not self.queue.waiting()

    def idle(self) -> bool:
        """Return True if nothing will ever happen again by itself: time to end.

        Housekeeping is nothing, unless what is in the queue is all that counts, as in pyzenkit.
        """
        waiting = self.queue.busy() if self._strict else self.queue.count()
        return not (self._in_flight or self._missed or self._sources or waiting)

    def next_due(self) -> float | None:
        """Return the seconds until the next timed event is due, or None. None while held up."""
        if not self.open or self._barrier:
            return None
        due = self.queue.next_due()
        if self.control_events:
            late = min(each.due for each in self.control_events) - self._clock.monotonic()
            due = max(0.0, late) if due is None else min(due, max(0.0, late))
        return due

    def in_flight(self) -> int:
        """Return how many events are under way."""
        return self._in_flight

    def counts(self) -> dict[Any, Counts]:
        """Return what became of the events of each chain."""
        waiting: dict[Any, int] = {}
        for event in self.queue.pending():
            waiting[event] = waiting.get(event, 0) + 1
        return {
            event: Counts(
                accepted=chain_state.accepted,
                completed=chain_state.completed,
                stopped=chain_state.stopped,
                dead=chain_state.dead,
                waiting=waiting.get(event, 0),
                in_flight=chain_state.in_flight + chain_state.control_in_flight,
            )
            for event, chain_state in self.chain_states.items()
        }

    def ahead(self, producer: Hashable) -> int:
        """Return how many events of a producer wait to be started."""
        return self.queue.ahead(None if self._one_by_one else producer)

    def unknown(self) -> Iterable[Any]:
        """Return the queued events that no component handles."""
        return [event for event in self.queue.pending() if event not in self.chain_states]

    # --- inside ----------------------------------------------------------------------------

    def _withdraw(self, event: Any) -> None:
        chain_state = self.chain_states.get(event)
        if chain_state is not None:
            chain_state.accepted -= 1

    def _chain_state(self, event: Any) -> ChainState:
        chain_state = self.chain_states.get(event)
        if chain_state is None:
            raise UnknownEventError(event, known=self.chain_states)
        return chain_state

    def _serve(
        self, producer_queues: deque[ProducerQueue], started: list[Batch], latest: dict[int, Batch]
    ) -> None:
        """Start what the first lane may start, and put the lane where it belongs then.

        Args:
            lanes: Where the lane is the first.
            started: What this turn starts.
            latest: The last batch that this turn starts on each component.
        """
        producer_queue = producer_queues[0]
        run = producer_queue.runs[0]
        chain_state = self._chain_state(run.event)
        room = chain_state.window - chain_state.in_flight
        if run.cancelled == len(run.args):
            room = len(run.args)  # nothing of it starts, so it needs no room
        if room <= 0:
            self._held[producer_queues.popleft()] = (chain_state, producer_queues)
            chain_state.waiting.append(producer_queue)
            return
        items = self.queue.take(producer_queue, 1 if chain_state.chain.revisits else room)
        self.queue.rotate(producer_queues)
        if items and not self._join(chain_state, items, latest):
            batch = self._start(chain_state, items)
            started.append(batch)
            for component in chain_state.components:
                latest[component] = batch
        if not self._note_if_full(chain_state) and chain_state.waiting:
            self._release(chain_state.waiting[0])

    def _join(self, chain_state: ChainState, items: list[Any], latest: dict[int, Batch]) -> bool:
        """Let events travel with a batch of their chain that this turn has started before.

        They may pass over what was started since on chains that share no component with
        theirs: no component can tell the difference.
        """
        batch = latest.get(chain_state.components[0])
        if batch is None or batch.chain is not chain_state.chain or batch.chain.revisits:
            return False
        for component in chain_state.components:
            if latest.get(component) is not batch:
                return False
        batch.items += items
        batch.size += len(items)
        chain_state.in_flight += len(items)
        self._in_flight += len(items)
        return True  # `started_log` shares the list with the batch, and so shows them too

    def _note_if_full(self, chain_state: ChainState) -> bool:
        if chain_state.in_flight < chain_state.window:
            return False
        chain_state.full = True
        if chain_state.mark < 0:
            chain_state.mark = chain_state.passed + chain_state.in_flight
            chain_state.marked_at = self._clock.monotonic()
        return True

    def _release(self, producer_queue: ProducerQueue) -> None:
        """Let a producer that a window held back try again."""
        held = self._held.pop(producer_queue, None)
        if held is not None:
            chain_state, producer_queues = held
            chain_state.waiting.remove(producer_queue)  # almost always the first
            producer_queues.append(producer_queue)

    def _turn_one_by_one(self) -> list[Batch]:
        queue = self.queue
        while not self._in_flight and queue.waiting():
            scheduled = queue.priority_in_turn()
            if scheduled is not None:
                return [self._start_control(self._chain_state(scheduled.event), scheduled.args)]
            producer_queues = queue.due or queue.ready
            producer_queue = producer_queues[0]
            chain_state = self._chain_state(producer_queue.runs[0].event)
            items = queue.take(producer_queue, 1)
            queue.rotate(producer_queues)
            if items:
                return [self._start(chain_state, items)]
        return []

    def _start(self, chain_state: ChainState, items: list[Any]) -> Batch:
        tickets = self._tickets
        drawn = []
        for order in chain_state.orders:
            ticket = tickets.get(order, 0)
            tickets[order] = ticket + 1
            drawn.append(ticket)
        size = len(items)
        chain_state.in_flight += size
        self._in_flight += size
        if self.started_log is not None:
            self.started_log.append((chain_state.chain.event, items))
        return Batch(chain_state.chain, 0, tuple(drawn), items, size)

    def _start_control(self, chain_state: ChainState, args: Any) -> Batch:
        self._in_flight += 1
        chain_state.control_in_flight += 1
        if chain_state.chain.is_control_event and self._strict and not self._one_by_one:
            self.control_events.append(ControlEvent(chain_state, args))
            return self._stop_at(self.control_events[-1], 0)
        return Batch(chain_state.chain, 0, (), [args], 1, on_control_lane=True)

    # An event of the daemon's life goes from component to component by way of the dispatcher, so
    # that it can go on behind one that hangs.

    def _stop_at(self, control_event: ControlEvent, step: int) -> Batch:
        control_event.step = step
        patience = (
            RELOAD_PATIENCE
            if control_event.chain_state.chain.event == EVENT_SIGNAL_HUP
            else PATIENCE
        )
        control_event.due = self._clock.monotonic() + patience
        control_event.batch = Batch(
            control_event.ways[step], 0, (), [control_event.args], 1, on_control_lane=True
        )
        control_event.batch.origin = control_event
        return control_event.batch

    def _next_stop(self, control_event: ControlEvent, batch: Batch) -> Batch | None:
        if batch is not control_event.batch:
            self._missed -= 1  # it has gone on without this component, which is through only now
            return None
        if batch.items:
            control_event.args = batch.items[0]
            if control_event.step + 1 < len(control_event.ways):
                return self._stop_at(control_event, control_event.step + 1)
        self.control_events.remove(control_event)
        control_event.batch = None
        chain_state = control_event.chain_state
        chain_state.completed += len(batch.items)
        chain_state.stopped += batch.stopped
        chain_state.dead += batch.dead
        self._in_flight -= 1
        chain_state.control_in_flight -= 1
        return None

    def _pass_over(self, started: list[Batch]) -> None:
        """Let rounds go on behind components that have been busy for too long."""
        now = self._clock.monotonic()
        for control_event in [each for each in self.control_events if each.due <= now]:
            step = control_event.chain_state.chain.steps[control_event.step]
            self.passed_over.append((control_event.chain_state.chain.event, step.component))
            assert control_event.batch is not None
            missed = Batch(
                control_event.ways[control_event.step],
                0,
                (),
                [control_event.args],
                1,
                on_control_lane=True,
            )
            control_event.batch = missed
            self._missed += 1
            if (onward := self._next_stop(control_event, missed)) is not None:
                started.append(onward)

    def _adapt(self, chain_state: ChainState) -> None:
        """Fit the window once the events that were under way when it was full are done."""
        if chain_state.mark < 0 or chain_state.passed < chain_state.mark:
            return
        chain_state.mark = -1
        elapsed = self._clock.monotonic() - chain_state.marked_at
        if elapsed <= FAST_WINDOW:
            chain_state.window = min(MAX_WINDOW, chain_state.window * 2)
        elif elapsed > SLOW_WINDOW:
            chain_state.window = max(chain_state.least_window, chain_state.window // 2)
