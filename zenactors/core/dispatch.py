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
    Lane,
    Place,
    Run,
    Scheduled,
)
from zenactors.core.messages import Batch
from zenactors.errors import UnknownEventError

Ordering = Literal["global", "component", "event"]
ORDERINGS: tuple[Ordering, ...] = ("global", "component", "event")

MIN_WINDOW = 16
MAX_WINDOW = 1024
REFILL = 4  # once full, a window is filled up again when this fraction of it is free
FAST_WINDOW = 0.005  # seconds: a full window that takes no longer lets the window double
SLOW_WINDOW = 0.020  # seconds: one that takes longer halves it

EVENT_START = "start"
PATIENCE = 5.0  # seconds that an event of the daemon's life waits for a component that is busy
EVENT_HUP = "signal_hup"
RELOAD_PATIENCE = 15.0  # the same for this one: what a reload takes, and what comes with it
CHORES = frozenset({"log_statistics", "save_runlog"})


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


class Flow:
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
        self.waiting: deque[Lane] = deque()  # producers held back by the window
        self.mark = -1  # when so many events are done, the window that was full is through
        self.marked_at = 0.0


class Round:
    """An event of the daemon's life on its way from component to component.

    Attributes:
        flow: The event's.
        args: What the next component gets.
        ways: A chain of one step for each component.
        step: Where it is.
        due: When it goes on without the component that it is with, on the monotonic clock.
        part: What is there; None at the end.
    """

    __slots__ = ("args", "due", "flow", "part", "step", "ways")

    def __init__(self, flow: Flow, args: Any) -> None:
        chain = flow.chain
        self.flow = flow
        self.args = args
        self.ways = [
            Chain(chain.event, chain.number, (step,), revisits=False, persistent=True)
            for step in chain.steps
        ]
        self.step = 0
        self.due = 0.0
        self.batch: Batch | None = None


class Dispatch:
    """Decide which events start when. Thread: whoever holds the dispatcher's turn.

    Args:
        chains: The wiring, from `build_chains`.
        ordering: What may overlap; see the model's documentation.
        clock: Where time comes from.
        widths: How many replicas a component has, by its index, for those that have any. A
            chain's window is that many times wider, to give each of them something to do.
        strict: What `accept` does with an event that has no chain. True: raise. False: take it
            and report it by `turn` when its time has come, as the seed does.
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
        self.queue = EventQueueManager(clock=self._clock, chores=CHORES)
        for chain in chains.values():
            for step in chain.steps:
                # A component has one order for all its chains, or one for each of them.
                step.order = (step.component, chain.number if ordering == "event" else -1)
        self.flows = {event: Flow(chain, widths or {}) for event, chain in chains.items()}
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
        self._held: dict[Lane, tuple[Flow, deque[Lane]]] = {}
        self._sources = 0
        self.rounds: list[Round] = []
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
        flow = self.flows.get(scheduled.event)
        if scheduled.home is not NEW:
            return  # cancelled before it came here
        if flow is not None:
            flow.accepted += 1
        elif self._strict:
            raise UnknownEventError(scheduled.event, known=self.flows)
        if self._one_by_one:
            scheduled.producer = None  # one order for all
        self.queue.insert(scheduled)
        if scheduled.place is Place.FRONT:
            self._release(scheduled.lane())

    def cancel(self, scheduled: Scheduled) -> bool:
        """Take an event back. False: it was started or cancelled before."""
        home = scheduled.home
        cancelled = self.queue.cancel(scheduled)
        if cancelled and home is not NEW:
            self._withdraw(scheduled.event)
            if isinstance(home, Run):
                self._release(home.lane)  # what follows may wait for another chain, or for none
        return cancelled

    def take_next(self) -> tuple[Any, Any]:
        """Take the next event out of the queue instead of starting it."""
        for lane in list(self._held):
            self._release(lane)  # the queue looks at what is ready only
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
        if batch.control and type(batch.origin) is Round:
            return self._next_stop(batch.origin, batch)
        flow = self.flows[batch.chain.event]
        size = batch.size
        flow.completed += len(batch.items)
        flow.stopped += batch.stopped
        flow.dead += batch.dead
        self._in_flight -= size
        if batch.control:
            flow.control_in_flight -= size
        else:
            flow.in_flight -= size
            flow.passed += size
            self._adapt(flow)
            if flow.waiting:
                # Not before there is room for a batch worth sending.
                flow.full = flow.in_flight > flow.window - flow.window // REFILL
                if not flow.full:
                    self._release(flow.waiting[0])
            else:
                flow.full = flow.in_flight >= flow.window
        if self._barrier and not self._in_flight:
            self._barrier = False
        return None

    def source_changed(self, change: int) -> None:
        """Note that a component became (+1) or ceased to be (-1) an active source."""
        self._sources += change

    # --- what may start --------------------------------------------------------------------

    def start_barrier(self, args: Any = None) -> list[Batch]:
        """Start the `start` event; nothing else starts before its chain has ended."""
        flow = self.flows.get(EVENT_START)
        if flow is None:
            return []
        flow.accepted += 1
        self._barrier = True
        return [self._start_control(flow, args)]

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
        if self.rounds:
            self._pass_over(started)
        queue = self.queue
        queue.promote()
        if self._one_by_one:
            return started + self._turn_one_by_one()
        for _ in range(MAX_PRIORITY_STREAK):
            scheduled = queue.next_priority()
            if scheduled is None:
                break
            started.append(self._start_control(self._flow(scheduled.event), scheduled.args))
        latest: dict[int, Batch] = {}
        # Serving one may let another go on that was held back, also a due one.
        while lanes := queue.due or queue.ready:
            self._serve(lanes, started, latest)
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
        flow = self.flows.get(scheduled.event)
        if (
            flow is None
            or scheduled.home is not NEW
            or scheduled.place is not Place.BACK
            or self._barrier
            or not self.open
            or (self._one_by_one and self._in_flight)
            or flow.in_flight >= flow.window
            or self.queue.waiting()
        ):
            return None
        scheduled.home = GONE
        flow.accepted += 1
        batch = self._start(flow, [scheduled.args])
        if flow.in_flight >= flow.window:
            self._note_if_full(flow)
        return batch

    # --- how things stand ------------------------------------------------------------------

    def drained(self) -> bool:
        """Return True if nothing is under way and nothing waits but timed events."""
        return not self._in_flight and not self.queue.waiting()

    def idle(self) -> bool:
        """Return True if nothing will ever happen again by itself: time to end.

        Housekeeping is nothing, unless what is in the queue is all that counts, as in the seed.
        """
        waiting = self.queue.busy() if self._strict else self.queue.count()
        return not (self._in_flight or self._missed or self._sources or waiting)

    def next_due(self) -> float | None:
        """Return the seconds until the next timed event is due, or None. None while held up."""
        if not self.open or self._barrier:
            return None
        due = self.queue.next_due()
        if self.rounds:
            late = min(each.due for each in self.rounds) - self._clock.monotonic()
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
                accepted=flow.accepted,
                completed=flow.completed,
                stopped=flow.stopped,
                dead=flow.dead,
                waiting=waiting.get(event, 0),
                in_flight=flow.in_flight + flow.control_in_flight,
            )
            for event, flow in self.flows.items()
        }

    def ahead(self, producer: Hashable) -> int:
        """Return how many events of a producer wait to be started."""
        return self.queue.ahead(None if self._one_by_one else producer)

    def unknown(self) -> Iterable[Any]:
        """Return the queued events that no component handles."""
        return [event for event in self.queue.pending() if event not in self.flows]

    # --- inside ----------------------------------------------------------------------------

    def _withdraw(self, event: Any) -> None:
        flow = self.flows.get(event)
        if flow is not None:
            flow.accepted -= 1

    def _flow(self, event: Any) -> Flow:
        flow = self.flows.get(event)
        if flow is None:
            raise UnknownEventError(event, known=self.flows)
        return flow

    def _serve(self, lanes: deque[Lane], started: list[Batch], latest: dict[int, Batch]) -> None:
        """Start what the first lane may start, and put the lane where it belongs then.

        Args:
            lanes: Where the lane is the first.
            started: What this turn starts.
            latest: The last batch that this turn starts on each component.
        """
        lane = lanes[0]
        run = lane.runs[0]
        flow = self._flow(run.event)
        room = flow.window - flow.in_flight
        if run.cancelled == len(run.args):
            room = len(run.args)  # nothing of it starts, so it needs no room
        if room <= 0:
            self._held[lanes.popleft()] = (flow, lanes)
            flow.waiting.append(lane)
            return
        items = self.queue.take(lane, 1 if flow.chain.revisits else room)
        self.queue.rotate(lanes)
        if items and not self._join(flow, items, latest):
            batch = self._start(flow, items)
            started.append(batch)
            for component in flow.components:
                latest[component] = batch
        if not self._note_if_full(flow) and flow.waiting:
            self._release(flow.waiting[0])

    def _join(self, flow: Flow, items: list[Any], latest: dict[int, Batch]) -> bool:
        """Let events travel with a batch of their chain that this turn has started before.

        They may pass over what was started since on chains that share no component with
        theirs: no component can tell the difference.
        """
        batch = latest.get(flow.components[0])
        if batch is None or batch.chain is not flow.chain or batch.chain.revisits:
            return False
        for component in flow.components:
            if latest.get(component) is not batch:
                return False
        batch.items += items
        batch.size += len(items)
        flow.in_flight += len(items)
        self._in_flight += len(items)
        return True  # `started_log` shares the list with the batch, and so shows them too

    def _note_if_full(self, flow: Flow) -> bool:
        if flow.in_flight < flow.window:
            return False
        flow.full = True
        if flow.mark < 0:
            flow.mark = flow.passed + flow.in_flight
            flow.marked_at = self._clock.monotonic()
        return True

    def _release(self, lane: Lane) -> None:
        """Let a producer that a window held back try again."""
        held = self._held.pop(lane, None)
        if held is not None:
            flow, lanes = held
            flow.waiting.remove(lane)  # almost always the first
            lanes.append(lane)

    def _turn_one_by_one(self) -> list[Batch]:
        queue = self.queue
        while not self._in_flight and queue.waiting():
            scheduled = queue.priority_in_turn()
            if scheduled is not None:
                return [self._start_control(self._flow(scheduled.event), scheduled.args)]
            lanes = queue.due or queue.ready
            lane = lanes[0]
            flow = self._flow(lane.runs[0].event)
            items = queue.take(lane, 1)
            queue.rotate(lanes)
            if items:
                return [self._start(flow, items)]
        return []

    def _start(self, flow: Flow, items: list[Any]) -> Batch:
        tickets = self._tickets
        drawn = []
        for order in flow.orders:
            ticket = tickets.get(order, 0)
            tickets[order] = ticket + 1
            drawn.append(ticket)
        size = len(items)
        flow.in_flight += size
        self._in_flight += size
        if self.started_log is not None:
            self.started_log.append((flow.chain.event, items))
        return Batch(flow.chain, 0, tuple(drawn), items, size)

    def _start_control(self, flow: Flow, args: Any) -> Batch:
        self._in_flight += 1
        flow.control_in_flight += 1
        if flow.chain.persistent and self._strict and not self._one_by_one:
            self.rounds.append(Round(flow, args))
            return self._stop_at(self.rounds[-1], 0)
        return Batch(flow.chain, 0, (), [args], 1, control=True)

    # An event of the daemon's life goes from component to component by way of the dispatcher, so
    # that it can go on behind one that hangs.

    def _stop_at(self, round_: Round, step: int) -> Batch:
        round_.step = step
        patience = RELOAD_PATIENCE if round_.flow.chain.event == EVENT_HUP else PATIENCE
        round_.due = self._clock.monotonic() + patience
        round_.batch = Batch(round_.ways[step], 0, (), [round_.args], 1, control=True)
        round_.batch.origin = round_
        return round_.batch

    def _next_stop(self, round_: Round, batch: Batch) -> Batch | None:
        if batch is not round_.batch:
            self._missed -= 1  # it has gone on without this component, which is through only now
            return None
        if batch.items:
            round_.args = batch.items[0]
            if round_.step + 1 < len(round_.ways):
                return self._stop_at(round_, round_.step + 1)
        self.rounds.remove(round_)
        round_.batch = None
        flow = round_.flow
        flow.completed += len(batch.items)
        flow.stopped += batch.stopped
        flow.dead += batch.dead
        self._in_flight -= 1
        flow.control_in_flight -= 1
        return None

    def _pass_over(self, started: list[Batch]) -> None:
        """Let rounds go on behind components that have been busy for too long."""
        now = self._clock.monotonic()
        for round_ in [each for each in self.rounds if each.due <= now]:
            step = round_.flow.chain.steps[round_.step]
            self.passed_over.append((round_.flow.chain.event, step.component))
            assert round_.batch is not None
            missed = Batch(round_.ways[round_.step], 0, (), [round_.args], 1, control=True)
            round_.batch = missed
            self._missed += 1
            if (onward := self._next_stop(round_, missed)) is not None:
                started.append(onward)

    def _adapt(self, flow: Flow) -> None:
        """Fit the window once the events that were under way when it was full are done."""
        if flow.mark < 0 or flow.passed < flow.mark:
            return
        flow.mark = -1
        elapsed = self._clock.monotonic() - flow.marked_at
        if elapsed <= FAST_WINDOW:
            flow.window = min(MAX_WINDOW, flow.window * 2)
        elif elapsed > SLOW_WINDOW:
            flow.window = max(flow.least_window, flow.window // 2)
