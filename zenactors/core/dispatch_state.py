"""The dispatcher's decisions, as a state machine: which events may start, and which are done.

No thread, no I/O. The thread that holds the state reports what has happened (`accept`, `complete`)
and delivers the batches that `admit` returns.

Three rules limit and order all events:

* A *window* per chain limits how many of its events are in flight; it grows while the chain
  is quick and shrinks while it is slow.
* A batch draws a *ticket* at every step of its chain when it starts. A component runs batches
  in ticket order, so it sees events in exactly the order in which they were started.
* Admission is first in, first out per producer: if the chain of a producer's next event is
  full, its later events wait, and those of other producers do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Any, Literal

from zenactors.core.accounting import Counts
from zenactors.core.best_effort import Tap, offer, pass_by
from zenactors.core.chain import ALL_CHAINS, Chain, Order
from zenactors.core.chain_state import ChainState
from zenactors.core.clock import Clock, SystemClock
from zenactors.core.control_events import ControlEvents
from zenactors.core.event_queue import MAX_PRIORITY_STREAK, EventQueueManager
from zenactors.core.events import EVENT_START, MAINTENANCE_EVENTS
from zenactors.core.messages import (
    GONE,
    NEW,
    Batch,
    ManyScheduled,
    OpenRun,
    QueuePosition,
    Scheduled,
    Sent,
    TokenChange,
)
from zenactors.core.phase import Lifecycle
from zenactors.core.policy import EventPolicy
from zenactors.core.producer_queue import EventRun, ProducerQueue
from zenactors.core.tokens import OpenTokens, TokenOutcome, Tracked
from zenactors.errors import UnknownEventError

MAX_SERVED = 256  # runs of events that one call of `admit` serves

Ordering = Literal["global", "component", "event"]
ORDERINGS: tuple[Ordering, ...] = ("global", "component", "event")


class DispatchState:
    """Decide which events start when. Thread: the one that holds the state.

    Args:
        chains: The wiring, from `build_chains`.
        ordering: Which events may overlap; see the model's documentation.
        clock: The source of time.
        widths: How many replicas a component has, by its index, for those that have any. A
            chain's window is that many times wider, to give each of them something to do.
        lifecycle: Its phase decides if events are admitted. Default: one that stays in `NEW`.
        policy: What becomes of unknown events, of control events and of `start`, and whether
            maintenance events keep an idle daemon running.

    Attributes:
        unfinished: True: `admit` has done its share and left some that may start. Call it again.
        tokens: The tokens that have not ended.
        taps: Where chains pass best-effort components.
        copies: The batches for these, with their components. The holder delivers them in this order
            before it releases the state, and empties it.
        passed: The batches of chains without other components. They have left their chains: the
            holder submits them, and empties it.
        dropped: What is no longer needed, in lists. The holder empties it, and lets go of it once
            it has released the state: the end of a user's object may run code.
    """

    def __init__(
        self,
        chains: Mapping[Any, Chain],
        *,
        ordering: Ordering = "component",
        clock: Clock | None = None,
        widths: Mapping[int, int] | None = None,
        lifecycle: Lifecycle | None = None,
        policy: EventPolicy | None = None,
    ) -> None:
        if ordering not in ORDERINGS:
            raise ValueError(f"ordering must be one of {', '.join(ORDERINGS)}, not {ordering!r}.")
        self._clock: Clock = clock or SystemClock()
        self.dropped: list[list[Any]] = []
        self.queue = EventQueueManager(
            clock=self._clock, maintenance=MAINTENANCE_EVENTS, dropped=self.dropped
        )
        for chain in chains.values():
            for step in chain.steps:
                # A component has one order for all its chains, or one for each of them.
                order = chain.number if ordering == "event" else ALL_CHAINS
                step.order = (step.component, order)
        self.chain_states = {
            event: ChainState(each, widths or {}) for event, each in chains.items()
        }
        self._by_number = {each.chain.number: each for each in self.chain_states.values()}
        self.ordering = ordering
        self.lifecycle = lifecycle or Lifecycle()
        self.control_events = ControlEvents(self._clock, self.dropped)
        self._one_by_one = ordering == "global"
        self.policy = policy or EventPolicy()
        self._in_flight = 0  # of all chains, those on the control lane included
        self._tickets: dict[Order, int] = {}
        self._held: dict[ProducerQueue, tuple[ChainState, deque[ProducerQueue]]] = {}
        self._sources = 0
        self.unfinished = False
        self.tokens = OpenTokens()
        self.taps: list[Tap] = []
        self.copies: deque[tuple[int, Batch]] = deque()
        self.passed: deque[Batch] = deque()

    def pass_by(self, limits: Mapping[int, int]) -> None:
        """Let the chains of data events pass best-effort components. Before any event starts.

        Args:
            limits: How many events of one chain may be pending in the component, by its index.
        """
        start = self.chain_states.get(EVENT_START)
        for chain_state in self.chain_states.values():
            if not chain_state.chain.is_control_event and chain_state is not start:
                self.taps += pass_by(chain_state.chain, limits, len(self.taps))
                chain_state.read_steps()

    # --- what has happened -----------------------------------------------------------------

    def accept(self, scheduled: Scheduled) -> None:
        """Put a scheduled event in the queue, unless it was cancelled meanwhile.

        Raises:
            UnknownEventError: If no component handles it, and the policy refuses it.
        """
        token = scheduled.token
        if scheduled.location is not NEW:
            self._take_back(scheduled)
            return
        if token is not None:
            self.tokens.add(token)
        chain_state = scheduled.chain_state
        if chain_state is None:
            chain_state = scheduled.chain_state = self.chain_states.get(scheduled.event)
        if chain_state is not None:
            chain_state.accepted += 1
            chain_state.waiting += 1
        elif self.policy.unknown_events == "refuse":
            raise UnknownEventError(scheduled.event, known=self.chain_states)
        if self._one_by_one:
            scheduled.producer = None  # one order for all
        self.queue.insert(scheduled)
        location = scheduled.location
        if scheduled.position is QueuePosition.FRONT and isinstance(location, EventRun):
            self._release(location.producer_queue)

    def accept_run(self, run: OpenRun, limit: int) -> int:
        """Put events in the queue that were appended to an open run: `limit` of them at most.

        Returns:
            How many that were.
        """
        count, cancelled = self.queue.insert_run(run, limit)
        chain_state = run.chain_state
        chain_state.accepted += count - cancelled
        chain_state.waiting += count - cancelled
        return count

    def accept_many(self, many: ManyScheduled, limit: int) -> int:
        """Put events in the queue that were scheduled at once: `limit` of their chunks at most.

        Returns:
            How many chunks that were.
        """
        chunks, count = self.queue.insert_many(many, limit)
        if many.token is not None and count:
            self.tokens.add(many.token, count)
        many.chain_state.accepted += count
        many.chain_state.waiting += count
        return chunks

    def cancel_many(self, many: ManyScheduled) -> int:
        """Cancel those of many events that were not started yet. Return how many."""
        chain_state, token = many.chain_state, many.token
        coming = sum(map(len, many.chunks))
        self.dropped += many.chunks
        many.chunks.clear()
        chain_state.accepted += coming
        chain_state.cancelled += coming
        queued = self.queue.cancel_many(many)
        chain_state.cancelled += queued
        chain_state.waiting -= queued
        if token is not None and coming:
            self.tokens.add(token, coming)
        if token is not None and coming + queued:
            self.tokens.end(token, TokenOutcome.FAILED, coming + queued)
        if queued:
            # The producer's next event may wait for another chain, or for none.
            self._release(many.places[0][0].producer_queue)
        many.places.clear()
        return coming + queued

    def _take_back(self, submission: Scheduled) -> None:
        """Take in a hold, or an event that was cancelled before it was accepted."""
        tokens, token = self.tokens, submission.token
        self.dropped.append([submission])
        if token is None:
            return
        if not isinstance(submission, TokenChange):
            tokens.add(token)  # it was cancelled before it counted
            tokens.end(token, TokenOutcome.FAILED)
        elif submission.outcome is None:
            tokens.add(token)
        else:
            tokens.end(token, submission.outcome)

    def cancel(self, scheduled: Scheduled) -> bool:
        """Cancel an event. False: it was started or cancelled before."""
        if type(scheduled) is Sent:
            return self._cancel_sent(scheduled)
        location = scheduled.location
        cancelled = self.queue.cancel(scheduled)
        if not cancelled:
            return False
        if location is NEW:  # it is on its way here: `accept` drops it
            chain_state = scheduled.chain_state or self.chain_states.get(scheduled.event)
            if chain_state is not None:
                chain_state.accepted += 1
                chain_state.cancelled += 1
        else:
            self._withdraw(scheduled.chain_state)
            if scheduled.token is not None:
                self.tokens.end(scheduled.token, TokenOutcome.FAILED)
            if isinstance(location, EventRun):
                # The producer's next event may wait for another chain, or for none.
                self._release(location.producer_queue)
        return True

    def _cancel_sent(self, sent: Sent) -> bool:
        run, number, chain_state = sent.run, sent.number, sent.chain_state
        if number >= run.taken:
            if not self.queue.withdraw(run, number):
                return False
            chain_state.accepted += 1
            chain_state.cancelled += 1
        else:
            queued_in = self.queue.cancel_sent(run, number)
            if queued_in is None:
                return False
            self._withdraw(chain_state)
            # The producer's next event may wait for another chain, or for none.
            self._release(queued_in.producer_queue)
        sent.args = None
        return True

    def take_next(self) -> tuple[Any, Any]:
        """Take the next event out of the queue, so that it is not started."""
        for producer_queue in list(self._held):
            self._release(producer_queue)  # `queue.next` passes over those held back
        taken = self.queue.take_next()
        if taken is None:
            return None, None
        self._withdraw(taken[0].chain_state)
        args = taken[1]
        if type(args) is Tracked:
            self.tokens.end(args.token, TokenOutcome.FAILED)
            args = args.args
        return taken[0].event, args

    def complete(self, batch: Batch) -> Batch | None:
        """Note that a batch has left the last step of its chain.

        Returns:
            For a control event: the batch for the next component of its chain.
        """
        if batch.origin is not None:
            onward = self.control_events.returned(batch)
            if onward is not batch:
                return onward
            batch.completed = len(batch.items)
            self.dropped.append(batch.items)
        chain_state = self._by_number[batch.chain.number]
        self._in_flight -= batch.size
        chain_state.complete(batch, self._clock)
        if batch.failed is not None:
            for token in batch.failed:
                self.tokens.end(token, TokenOutcome.FAILED)
        if batch.done is not None:
            self.tokens.end_done(batch.done)
        if chain_state.held_back and not chain_state.full:
            self._release(chain_state.held_back[0])
        return None

    def source_changed(self, change: int) -> None:
        """Note that a component became (+1) or ceased to be (-1) an active source."""
        self._sources += change

    # --- what may start --------------------------------------------------------------------

    def start_first(self, args: Any = None) -> list[Batch]:
        """Start the `start` event, before events are admitted, if the policy sends it."""
        chain_state = self.chain_states.get(EVENT_START)
        if chain_state is None or self.policy.start_and_stop == "scheduled":
            return []
        chain_state.accepted += 1
        chain_state.waiting += 1
        return [self._start_control(chain_state, args)]

    def admit(self, arriving: Scheduled | None = None) -> list[Batch]:
        """Start the events that may start now.

        Args:
            arriving: An event that goes behind all others of its producer and is not accepted
                yet. If nothing else is ready, it starts at once without passing through the
                queue. An idle daemon handles a lone event in this way.

        Returns:
            The batches to deliver, each to the component of its first step, in this order.

        Raises:
            UnknownEventError: If the next event has no chain.
        """
        queue, lifecycle = self.queue, self.lifecycle
        self.unfinished = False
        if lifecycle.halted or not lifecycle.opened:
            if arriving is not None:
                self.accept(arriving)
            return []
        if queue.timed:
            queue.promote()
        is_ready = queue.untimed > 0
        if arriving is not None:
            chain_state = arriving.chain_state
            if (
                chain_state is not None
                and chain_state.in_flight < chain_state.window
                and not is_ready
                and not self.control_events.in_flight
                and not (self._one_by_one and self._in_flight)
                and arriving.location is NEW
                and arriving.token is None
            ):
                arriving.location = GONE
                chain_state.accepted += 1
                chain_state.waiting += 1
                batch = self._start(chain_state, [arriving.args])
                if chain_state.in_flight >= chain_state.window:
                    chain_state.note_if_full(self._clock)
                return self._pass_first([batch]) if self.taps else [batch]
            self.accept(arriving)
            is_ready = True
        batches: list[Batch] = []
        if self.control_events.in_flight:
            self._skip_overdue(batches)
        if not is_ready:
            return batches
        if self._one_by_one:
            self._admit_one(batches)
        else:
            self._admit_all(batches)
        return self._pass_first(batches) if self.taps else batches

    # --- queries ---------------------------------------------------------------------------

    def drained(self) -> bool:
        """Return True if nothing is in flight and only timed events wait."""
        return not (
            self._in_flight or self.tokens.telling or self.queue.waiting() or self._copies_pend()
        )

    def idle(self) -> bool:
        """Return True if no event is queued or in flight and no source is active.

        The policy says whether queued maintenance events count.
        """
        counts_all = self.policy.maintenance == "busy"
        waiting = self.queue.count() if counts_all else self.queue.busy()
        unfinished = self._in_flight or self.control_events.unanswered or self.tokens.telling
        return not (unfinished or self._sources or waiting or self._copies_pend())

    def next_due(self) -> float | None:
        """Return the seconds until a timed event is due or a component is overdue.

        None: nothing will be due until something else happens.
        """
        if not self.lifecycle.admits:
            return None
        due = [self.queue.next_due(), self.control_events.next_due()]
        return min((each for each in due if each is not None), default=None)

    def in_flight(self) -> int:
        """Return how many events are in flight."""
        return self._in_flight

    def counts(self) -> list[tuple[Any, Counts]]:
        """Return the event of each chain, and its counts."""
        # Not as a dict: to make one, Python hashes the events, which may run code of the user.
        return [(event, each.counts()) for event, each in self.chain_states.items()]

    def ahead(self, producer: Hashable) -> int:
        """Return how many events of a producer wait to be started."""
        return self.queue.ahead(None if self._one_by_one else producer)

    def _copies_pend(self) -> bool:
        """Return True if best-effort components have yet to handle what they got."""
        return any(tap.counts().pending for tap in self.taps)

    # --- admission -------------------------------------------------------------------------

    def _admit_all(self, batches: list[Batch]) -> None:
        queue = self.queue
        latest: dict[int, Batch] = {}
        while True:
            for _ in range(MAX_PRIORITY_STREAK):
                scheduled = queue.next_priority()
                if scheduled is None:
                    break
                batches.append(self._start_control(self._chain_of(scheduled), scheduled.args))
            # Serving one producer may release another, even one with a due event.
            for _ in range(MAX_SERVED):
                producer_queues = queue.due or queue.ready
                if not producer_queues:
                    break
                self._serve(producer_queues, batches, latest)
            else:
                self.unfinished = True
                return
            if not queue.has_priority():
                return

    def _admit_one(self, batches: list[Batch]) -> None:
        queue = self.queue
        while not self._in_flight and queue.waiting():
            scheduled = queue.priority_in_turn()
            if scheduled is not None:
                batches.append(self._start_control(self._chain_of(scheduled), scheduled.args))
                return
            producer_queues = queue.due or queue.ready
            first = producer_queues[0]
            run = first.runs[0]
            chain_state = self._chain_of(run)
            items = queue.take(first, 1)
            queue.rotate(producer_queues)
            if items:
                batch = self._start(chain_state, items)
                batch.tracked = run.tracked
                batches.append(batch)
                return

    def _serve(
        self, producer_queues: deque[ProducerQueue], batches: list[Batch], latest: dict[int, Batch]
    ) -> None:
        """Start the events that the first producer may start. Then rotate it, or hold it back.

        Args:
            producer_queues: `queue.due` or `queue.ready`.
            batches: The batches that `admit` has started.
            latest: The last of these batches for each component.
        """
        first = producer_queues[0]
        run = first.runs[0]
        chain_state = self._chain_of(run)
        room = chain_state.window - chain_state.in_flight
        if run.cancelled == len(run.args):
            room = len(run.args)  # none of them starts, so they need no room
        if room <= 0:
            self._held[producer_queues.popleft()] = (chain_state, producer_queues)
            chain_state.held_back.append(first)
            return
        items = self.queue.take(first, 1 if chain_state.chain.revisits else room)
        self.queue.rotate(producer_queues)
        if items:
            if not self._join(chain_state, items, latest):
                batch = self._start(chain_state, items)
                batches.append(batch)
                for component in chain_state.components:
                    latest[component] = batch
            if run.tracked:
                latest[chain_state.components[0]].tracked = True
        if not chain_state.note_if_full(self._clock) and chain_state.held_back:
            self._release(chain_state.held_back[0])

    def _join(self, chain_state: ChainState, items: list[Any], latest: dict[int, Batch]) -> bool:
        """Add events to a batch of their chain that is about to be delivered, if possible.

        They may overtake events that were started since on chains that share no component with
        theirs: no component sees a difference.
        """
        batch = latest.get(chain_state.components[0])
        if batch is None or batch.chain is not chain_state.chain or batch.chain.revisits:
            return False
        for component in chain_state.components:
            if latest.get(component) is not batch:
                return False
        batch.items += items
        batch.size += len(items)
        chain_state.waiting -= len(items)
        chain_state.in_flight += len(items)
        self._in_flight += len(items)
        return True

    def _start(self, chain_state: ChainState, items: list[Any]) -> Batch:
        tickets = self._tickets
        drawn = []
        for order in chain_state.orders:
            ticket = tickets.get(order, 0)
            tickets[order] = ticket + 1
            drawn.append(ticket)
        size = len(items)
        chain_state.waiting -= size
        chain_state.in_flight += size
        self._in_flight += size
        return Batch(chain_state.chain, 0, tuple(drawn), items, size)

    def _start_control(self, chain_state: ChainState, args: Any) -> Batch:
        self._in_flight += 1
        chain_state.waiting -= 1
        chain_state.control_in_flight += 1
        chain = chain_state.chain
        guaranteed = self.policy.control_events == "guaranteed"
        if chain.is_control_event and guaranteed and not self._one_by_one:
            return self.control_events.start(chain, args)
        return Batch(chain, 0, (), [args], 1, on_control_lane=True)

    def _pass_first(self, batches: list[Batch]) -> list[Batch]:
        """Offer started batches to the best-effort components before their first steps.

        Returns:
            The batches that have a first step.
        """
        onward = []
        for batch in batches:
            chain = batch.chain
            if chain.taps is not None:
                offer(chain.taps[0], batch, lambda *copy: self.copies.append(copy))
            if chain.steps:
                onward.append(batch)
                continue
            batch.completed = len(batch.items)
            if batch.tracked:
                batch.done = [each.token for each in batch.items if type(each) is Tracked]
            self.dropped.append(batch.items)
            self.passed.append(batch)
        return onward

    def _skip_overdue(self, batches: list[Batch]) -> None:
        for batch in self.control_events.skip_overdue():
            onward = self.complete(batch)
            if onward is not None:
                batches.append(onward)

    def _release(self, producer_queue: ProducerQueue) -> None:
        """Let a producer that a window held back try again."""
        held = self._held.pop(producer_queue, None)
        if held is not None:
            chain_state, producer_queues = held
            chain_state.held_back.remove(producer_queue)  # almost always the first
            producer_queues.append(producer_queue)

    @staticmethod
    def _withdraw(chain_state: ChainState | None) -> None:
        if chain_state is not None:
            chain_state.cancelled += 1
            chain_state.waiting -= 1

    def _chain_of(self, next_in_turn: Scheduled | EventRun) -> ChainState:
        chain_state: ChainState | None = next_in_turn.chain_state
        if chain_state is None:
            raise UnknownEventError(next_in_turn.event, known=self.chain_states)
        return chain_state
