"""`daemon.queue`: the event queue for all threads.

Atomic operations relied on: looking an item up in a set and in a dict, `list.append`, and storing
an attribute. The keys of the dict of chains are a user's events, but no thread changes that dict.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Literal

from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.runtime import Runtime
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.chain_state import ChainState
from zenactors.core.clock import Clock, to_seconds
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.event_queue import MAX_RUN
from zenactors.core.messages import (
    GONE,
    NO_RUN,
    ManyScheduled,
    OpenRun,
    QueuePosition,
    Scheduled,
    Sent,
)
from zenactors.core.text import short_repr
from zenactors.core.tokens import OnDone, Origin, ReplayToken, Token, Tracked
from zenactors.errors import NotRunningError, QueueFullError, UnknownEventError

ON_DONE_ELSEWHERE = (
    "on_done belongs to a component's own thread: give it in setup() and in callbacks, for an event"
    " that is no control event."
)
STOP_CHECK = 1.0  # seconds: how often a blocked producer checks if the dispatcher has halted

_new: Callable[[type[Sent]], Sent] = object.__new__
LAST_OF_RUN = MAX_RUN - 1
_LIMITED = (QueuePosition.BACK, QueuePosition.FRONT)


class LiveQueue:
    """The methods of `EventQueueManager`, safe from any thread.

    Events that a callback schedules are submitted after it has returned: with its batch, or after
    about a millisecond; or before, if it asks a question such as `count()`. Events that other
    threads schedule are handed over at once.

    A thread outside never holds the dispatcher's state: a question of it, such as `count()`, is
    answered by another thread, after everything that it has scheduled before.

    Args:
        loop: Runs the dispatcher's state.
        clock: The source of time.
        runners: The runner of each component's thread, by the thread's identity.
        runtime: Identifies threads, and makes the notifier for producers that wait.
        accepts_all: True: an event without a chain is accepted.
        limit: How many events ahead a thread outside may be; None for no limit.
        when_full: The behaviour of `schedule` at that limit: it raises `QueueFullError`, or
            blocks until there is room.
    """

    def __init__(
        self,
        loop: DispatchLoop,
        clock: Clock,
        runners: Mapping[int, BatchRunner],
        runtime: Runtime,
        *,
        accepts_all: bool,
        limit: int | None,
        when_full: Literal["raise", "block"],
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"queue_limit must be at least 1 or None, not {limit!r}.")
        if when_full not in ("raise", "block"):
            raise ValueError(f"queue_full must be 'raise' or 'block', not {when_full!r}.")
        self._loop = loop
        self._lifecycle = loop.state.lifecycle
        self._clock = clock
        self._runners = runners
        self._ident = runtime.ident
        self._producers = runtime.producers
        self._own_threads = loop.own_threads
        self._chain_states = loop.state.chain_states
        self._is_global = loop.state.ordering == "global"
        self._accepts_all = accepts_all
        self._limit = limit
        self._when_full = when_full
        self._room = runtime.notifier()

    def schedule(
        self,
        event: Any,
        args: Any = None,
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Scheduled:
        """Queue an event behind all others of this producer (this component, or this thread).

        Args:
            event: Any hashable object.
            args: Passed unchanged to the first callback of the chain.
            on_done: Called with a `TokenOutcome` when this event and everything that came of it has
                ended, once, in the calling component's thread; unless the component is made anew
                before. Only a component can give one.
            position: Where the source has read the event, for its dead letter; only with `on_done`.

        Returns:
            The handle that cancels it.

        Raises:
            UnknownEventError: If no component handles the event.
            NotRunningError: In a thread outside, once no event starts any more. `AbandonedError`:
                in a component's thread that was abandoned.
            QueueFullError: If a limit is set and this thread has reached it.
            RuntimeError: `on_done` is given by another thread than a component's.
            TypeError: `on_done` cannot be called.

        Thread: any. Blocks only a thread outside: with `queue_full="block"`, and for up to 0.1 s
        while the dispatcher is thousands of events behind.
        """
        # The shortest path: each step adds to the cost of a flood. Identity, not equality: 1 and
        # True have one chain, but come out as they went in.
        run = self._producers.run
        if run.event is event and run.watched and on_done is None and not self._lifecycle.halted:
            box, runner = run.box, run.runner
            if runner is not None:
                children = runner.children
                if not children or children[-1] is not run or runner.token is not None:
                    box = None
            if box is not None:
                run.box = None
                number = len(box)
                box.append(args)
                run.box = box
                if number >= LAST_OF_RUN or not run.watched:
                    self._appended(run)
                sent = _new(Sent)
                sent.run = run
                sent.number = number
                sent.args = args
                return sent
        ident, chain_state = self._ident(), self._chain_states.get(event)
        if chain_state is None or self._limit is not None or self._lifecycle.halted:
            return self._put(QueuePosition.BACK, event, args, 0.0, on_done, position)
        if ident not in self._own_threads:
            if on_done is not None:
                raise RuntimeError(ON_DONE_ELSEWHERE)
            return self._send(event, args, chain_state)
        runner = self._runners.get(ident)
        if runner is None or not runner.collects:
            return self._put(QueuePosition.BACK, event, args, 0.0, on_done, position)
        token = runner.token
        if token is not None or on_done is not None:
            token = self._token_for(runner, on_done, chain_state, position)
        elif (children := runner.children) and children[-1].event is event:
            producer = None if self._is_global else runner.name
            run = OpenRun(self, event, producer, chain_state, runner)
            sent = _append_first(run, args)
            runner.children.append(run)  # not `children`: a finalizer may have submitted these
            self._producers.run = run
            return sent
        scheduled = Scheduled(
            self, QueuePosition.BACK, event, args, 0.0, runner.name, chain_state, token
        )
        runner.children.append(scheduled)
        return scheduled

    def _send(self, event: Any, args: Any, chain_state: ChainState) -> Scheduled:
        """Hand an event over, and open a run for the next ones if it is one of many."""
        producers, loop = self._producers, self._loop
        # A lone event starts at once. If the dispatcher's thread has something to do already, what
        # follows is for it to find.
        if producers.last is event and not self._is_global and loop.wants_open_run():
            run = OpenRun(self, event, producers.current, chain_state, None)
            sent = _append_first(run, args)
            run.box = None  # nothing is appended before it is handed over
            self._leave_run()
            producers.run = run
            loop.hand_over(run)
            run.box = run.args
            if producers.run is not run:  # something has interrupted this, and scheduled
                self._leave_run()
            return sent
        producers.last = event
        producer = None if self._is_global else producers.current
        scheduled = Scheduled(self, QueuePosition.BACK, event, args, 0.0, producer, chain_state)
        self._hand_over(scheduled)
        return scheduled

    def _appended(self, run: OpenRun) -> None:
        """Go on after an event that was appended to a run that is full, or watched no more."""
        if run.runner is not None:
            self._leave_run()
            if not run.watched:  # a finalizer has submitted it, in the middle of `schedule`
                run.runner.children.append(run)
            return
        if not run.watched:
            self._hand_over(run)
            return
        self._leave_run()
        if not run.taken:
            self._loop.await_progress()  # it would be two runs ahead

    def _hand_over(self, submission: Scheduled | ManyScheduled | OpenRun) -> None:
        """Hand over what comes behind the open run of the calling thread."""
        self._leave_run()
        self._loop.hand_over(submission)
        if self._producers.run is not NO_RUN:
            self._leave_run()  # something has interrupted this: its run is before the submission

    def _leave_run(self) -> None:
        """Append no more to the open run of the calling thread: something else comes behind it."""
        run = self._producers.run
        if run is not NO_RUN:
            run.is_over = True
            self._producers.run = NO_RUN

    def schedule_many(
        self,
        event: Any,
        args: Iterable[Any],
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> ManyScheduled:
        """Queue an event for each of `args`, as `schedule` does, but in one go.

        It costs little more than making a list of them. No other event of this producer comes
        between them.

        Args:
            event: Any hashable object.
            args: The args of each event. All are read before the first is queued.
            on_done: Called once, when all these events and everything that came of them has ended,
                with the worst outcome. Otherwise as for `schedule`.
            position: Where the source has read them, for their dead letters; only with `on_done`.

        Returns:
            The handle that cancels those that were not started: its `cancel()` returns how many
            that are.

        Raises:
            QueueFullError: If a limit is set and there is no room for all: none is queued. With
                `queue_full="block"` they are queued in parts, as there is room.
            UnknownEventError, NotRunningError, RuntimeError, TypeError: As for `schedule`.

        Thread: any. Blocks only a thread outside, and only if a limit is set: until they are taken
        in, which is soon; with `queue_full="block"` until there was room for all.
        """
        items = list(args)
        chain_state = self._chain_states.get(event)
        if chain_state is None:
            raise UnknownEventError(event, known=self._chain_states)
        if self._ident() in self._own_threads:
            runner = self._own_runner()
            token = None
            if runner is not None:
                token = self._token_for(runner, on_done, chain_state, position)
            elif on_done is not None:
                raise RuntimeError(ON_DONE_ELSEWHERE)
            producer = self._producers.current if runner is None else runner.name
            many = self._many(event, producer, chain_state, token)
            if not items:
                return many
            many.chunks += _chunks(items, token)
            if runner is not None and runner.collects:
                runner.children.append(many)
            else:
                self._loop.schedule([many])
            return many
        if on_done is not None:
            raise RuntimeError(ON_DONE_ELSEWHERE)
        producer = self._producers.current
        many = self._many(event, producer, chain_state, None)
        limit = self._limit if self._lifecycle.admits else None
        step = limit if limit is not None and self._when_full == "block" else len(items)
        for begin in range(0, len(items), step or 1):
            part = items[begin : begin + step]
            if self._lifecycle.halted:
                raise NotRunningError(
                    f"Event {event!r} was not scheduled: the dispatcher has stopped."
                )
            if limit is not None:
                self._make_room(event, producer, limit, len(part))
            many.chunks += _chunks(part, None)
            self._hand_over(many)
            if limit is not None:
                # `_make_room` trusts that only few events are on their way.
                self._loop.ask(lambda _: None)
        return many

    def _many(
        self, event: Any, producer: Hashable, chain_state: ChainState, token: Token | None
    ) -> ManyScheduled:
        return ManyScheduled(self, event, None if self._is_global else producer, chain_state, token)

    def cancel_many(self, many: ManyScheduled) -> int:
        """Cancel those of many events that were not started yet. Return how many. Thread: any.

        For a finalizer that runs in the middle of the dispatcher's own work, it is 0: they are
        cancelled right after that, unless they have been started.
        """
        self._own_runner()
        cancelled: int = self._loop.change(lambda state: state.cancel_many(many), refused=0)
        return cancelled

    def schedule_next(
        self,
        event: Any,
        args: Any = None,
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Scheduled:
        """Queue an event before all others of this producer. Otherwise as `schedule`."""
        return self._put(QueuePosition.FRONT, event, args, 0.0, on_done, position)

    def schedule_at(
        self,
        tstamp: float,
        event: Any,
        args: Any = None,
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Scheduled:
        """Queue an event for the Unix time `tstamp`. Never blocks. Thread: any.

        `on_done` and `position` are as for `schedule`.

        Raises:
            UnknownEventError: If no component handles the event.
            ValueError: If `tstamp` is NaN or infinite.
        """
        return self._put(
            QueuePosition.AT, event, args, to_seconds("tstamp", tstamp), on_done, position
        )

    def schedule_after(
        self,
        delay: float,
        event: Any,
        args: Any = None,
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Scheduled:
        """Queue an event for `delay` seconds from now. Never blocks. Thread: any.

        `on_done` and `position` are as for `schedule`.

        Raises:
            UnknownEventError: If no component handles the event.
            ValueError: If `delay` is NaN or infinite.
        """
        when = self._clock.monotonic() + to_seconds("delay", delay)
        return self._put(QueuePosition.AFTER, event, args, when, on_done, position)

    def schedule_priority(self, event: Any, args: Any = None) -> Scheduled:
        """Queue an event that overtakes all others, in the components' mailboxes too.

        Thread: any. A thread outside waits a moment if the dispatcher is thousands behind.
        """
        return self._put(QueuePosition.PRIORITY, event, args, 0.0)

    def replay(self, token: ReplayToken) -> None:
        """Queue the event of a dead letter's replay. Otherwise as `schedule`, but without a limit.

        Raises:
            NotRunningError: No event starts any more. `AbandonedError`: as for `schedule`.
        """
        runner = self._own_runner()
        if self._lifecycle.halted:
            raise NotRunningError(f"Event {token.event!r} is not replayed: the dispatcher stops.")
        chain_state = self._chain_states[token.event]
        producer, back = self._producers.current, QueuePosition.BACK
        scheduled = Scheduled(
            self, back, token.event, token.letter.args, 0.0, producer, chain_state, token
        )
        if self._ident() in self._own_threads:
            self._put_inside(scheduled, runner)
        else:
            self._hand_over(scheduled)

    def check_not_abandoned(self) -> None:
        """Raise `AbandonedError` if the calling thread was abandoned. Thread: any."""
        self._own_runner()

    def prepare_priority(self, event: Any) -> Scheduled:
        """Return a priority event of the calling thread that is not submitted yet."""
        producer, chain_state = self._producers.current, self._chain_states[event]
        return Scheduled(self, QueuePosition.PRIORITY, event, None, 0.0, producer, chain_state)

    def cancel(self, scheduled: Scheduled) -> bool:
        """Cancel an event. False: it was started or cancelled before. Thread: any.

        For a finalizer that runs in the middle of the dispatcher's own work, it is False as well:
        the event is cancelled right after that, unless it has been started.
        """
        self._own_runner()
        args = scheduled.args  # kept until here: they die in this thread, not in the dispatcher's
        cancelled: bool = self._loop.change(lambda state: state.cancel(scheduled), refused=False)
        del args
        return cancelled

    def ahead(self) -> int:
        """Return how many events of the calling producer wait to be started. Thread: any.

        With `ordering="global"` there is one order for all: it counts those of every producer.
        """
        runner = self._own_runner()
        unsent = sum(map(_size, runner.children)) if runner else 0
        producer = runner.name if runner else self._producers.current
        sent: int = self._loop.ask(lambda state: state.ahead(producer))
        return unsent + sent

    def next(self) -> tuple[Any, Any]:
        """Take the next event out of the queue instead of having it dispatched. Thread: any.

        Raises:
            QueueEmptyException: If the queue is empty.
            RuntimeError: A finalizer calls it in the middle of the dispatcher's own work.
        """
        if self._loop.holds():
            raise RuntimeError("A finalizer cannot take events out of the queue.")
        taken: tuple[Any, Any] = self._ask(lambda state: state.take_next())
        return taken

    def when(self) -> float:
        """Return the Unix time of the next event; now, if one is ready. Thread: any.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        when: float = self._ask(lambda state: state.queue.when())
        return when

    def wait(self) -> float:
        """Return the seconds until the next event is due. Returns at once. Thread: any.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        seconds: float = self._ask(lambda state: state.queue.wait())
        return seconds

    def count(self) -> int:
        """Return how many events are queued, timed ones included. Thread: any."""
        count: int = self._ask(lambda state: state.queue.count())
        return count

    def _ask(self, look: Callable[[DispatchState], Any]) -> Any:
        """Return `look(state)`; the state knows of everything that the thread has scheduled."""
        runner = self._own_runner()
        if runner is not None and runner.children and not self._loop.holds():
            # The list stays the runner's: a finalizer may ask while something is put in it.
            children = runner.children.copy()
            del runner.children[: len(children)]
            for child in children:
                if type(child) is OpenRun:
                    child.watched = False
            self._loop.schedule(children)
        return self._loop.ask(look)

    def _put(
        self,
        where: QueuePosition,
        event: Any,
        args: Any,
        when: float,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Scheduled:
        # Looked up here, because it may run code of the event: not while the state is held.
        chain_state = self._chain_states.get(event)
        if chain_state is None and not self._accepts_all:
            raise UnknownEventError(event, known=self._chain_states)
        if self._ident() in self._own_threads:
            runner = self._own_runner()
            token = None
            if runner is not None and where is not QueuePosition.PRIORITY:
                token = self._token_for(runner, on_done, chain_state, position)
            elif on_done is not None:
                raise RuntimeError(ON_DONE_ELSEWHERE)
            return self._put_inside(
                Scheduled(self, where, event, args, when, None, chain_state, token), runner
            )
        if on_done is not None:
            raise RuntimeError(ON_DONE_ELSEWHERE)
        producer = self._producers.current
        if self._lifecycle.halted:
            raise NotRunningError(f"Event {event!r} was not scheduled: the dispatcher has stopped.")
        if self._limit is not None and where in _LIMITED and self._lifecycle.admits:
            self._make_room(event, producer, self._limit)
        scheduled = Scheduled(self, where, event, args, when, producer, chain_state)
        if where is QueuePosition.PRIORITY:
            self._loop.hand_over_urgent(scheduled)
        else:
            self._hand_over(scheduled)
        return scheduled

    def _own_runner(self) -> BatchRunner | None:
        """Return the runner of the calling thread; None if that is not a component's.

        Raises:
            AbandonedError: The thread was abandoned.
        """
        runner = self._runners.get(self._ident())
        if runner is not None:
            runner.check_not_abandoned()
        return runner

    def _token_for(
        self,
        runner: BatchRunner,
        on_done: OnDone | None,
        chain_state: ChainState | None,
        position: Any,
    ) -> Token | None:
        """Return the token of an event that a component schedules; None if it has none."""
        if chain_state is None or chain_state.chain.is_control_event:
            if on_done is not None:
                raise RuntimeError(ON_DONE_ELSEWHERE)
            return None  # these belong to no event
        if runner.token is not None and type(position) is not Origin:
            runner.token.begets(chain_state.chain.event)
        if on_done is None:
            return runner.token
        if not callable(on_done):
            raise TypeError(f"on_done must be callable, not {short_repr(on_done)}.")
        now = self._clock.monotonic()
        incarnation = runner.supervisor.incarnation
        return Token(runner.index, incarnation, on_done, runner.token, now, position)

    def _put_inside(self, scheduled: Scheduled, runner: BatchRunner | None) -> Scheduled:
        scheduled.producer = self._producers.current if runner is None else runner.name
        if (
            runner is not None
            and runner.collects
            and scheduled.position is not QueuePosition.PRIORITY
        ):
            runner.children.append(scheduled)
        else:
            self._loop.submit(scheduled)
        return scheduled

    def _make_room(self, event: Any, producer: Hashable, limit: int, count: int = 1) -> None:
        most = limit - count  # that may be ahead

        def has_room(state: DispatchState) -> bool:
            return state.ahead(producer) <= most

        loop = self._loop
        # Far from the limit, a look from outside will do: the state cannot know less than this.
        if loop.state.ahead(producer) + loop.backlog() <= most or loop.ask(has_room):
            return
        if self._when_full == "raise":
            raise QueueFullError(
                f"Event {event!r} was not scheduled: this thread is {limit} events ahead, which is"
                " the queue's limit. Schedule it again later, or use queue_full='block'."
            )
        with self._room.subscribed() as wait:
            watch = loop.watch(has_room, self._room.notify)
            while not self._lifecycle.halted and not watch.met:
                wait(STOP_CHECK)
        if self._lifecycle.halted:
            raise NotRunningError(f"Event {event!r} was not scheduled: the dispatcher has stopped.")


def _append_first(run: OpenRun, args: Any) -> Sent:
    """Append the first event to an open run, and return its handle."""
    run.args.append(args)
    sent = _new(Sent)
    sent.run, sent.number, sent.args = run, 0, args
    return sent


def _size(child: Any) -> int:
    """Return how many events a submission of a component schedules."""
    if type(child) is OpenRun:
        return len(child.args) - child.taken - child.withdrawn
    if type(child) is ManyScheduled:
        return sum(map(len, child.chunks))
    return int(child.location is not GONE)


def _chunks(items: list[Any], token: Token | None) -> Iterator[list[Any]]:
    """Yield the items in lists that can be runs."""
    for begin in range(0, len(items), MAX_RUN):
        chunk = items[begin : begin + MAX_RUN]
        yield chunk if token is None else [Tracked(each, token) for each in chunk]
