"""How a dispatcher stops: drain, halt, tear down, and report what was left undone.

Atomic operations relied on: `list` of a dict or of its items, and its copy; `set.issuperset`.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors.actors.component_messages import Quiesce, ReadStatistics, TearDown, TokensEnded
from zenactors.actors.engine import ASK_TIMEOUT
from zenactors.actors.hang_guard import abandoned_names
from zenactors.actors.incidents import survive_log
from zenactors.core.clock import Deadline
from zenactors.core.events import EVENT_STOP
from zenactors.core.phase import Phase

if TYPE_CHECKING:
    from zenactors.actors.engine import Engine
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.core.dispatch_state import DispatchState
    from zenactors.core.messages import Scheduled
    from zenactors.core.tokens import Token
    from zenactors.process.children import Children

HASTY_PATIENCE = 0.25  # seconds to wait for one teardown before the next, when in haste
HASTY_TIMEOUT = 1.0  # seconds for all of them then
HASTY_SHARE = 0.25  # of what is left: the patience with one component, when in haste
CHILDREN_GRACE = 2.0  # seconds that programs have between SIGTERM and SIGKILL


@dataclasses.dataclass(frozen=True, slots=True)
class StopReport:
    """The work that a stop left undone.

    Attributes:
        drained: True if all queued events were handled, except those for later.
        timed_out: True if the time ran out before all queued events were handled.
        stuck: Names of the components that did not stop; their threads were left behind.
        left: How many events were not handled, although they were queued or in flight.
        later: How many events still waited for their time, maintenance events excepted.
        dead_letters: How many events could not be handled, in the whole run.
        dead_letters_of: For each component that could not handle some, its name and how many; the
            most first.
        restarts: How many times a component was made anew after a failure, in the whole run.
        suspended: The components that were down at the end.
        abandoned: The component of each thread that was abandoned and still runs.
    """

    drained: bool = True
    timed_out: bool = False
    stuck: tuple[str, ...] = ()
    left: int = 0
    later: int = 0
    dead_letters: int = 0
    restarts: int = 0
    suspended: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    dead_letters_of: tuple[tuple[str, int], ...] = ()


class Shutdown:
    """Stop an engine, once.

    Args:
        engine: In any phase but `DOWN`.
        queue: Where the `stop` event is scheduled.
        children: The programs that end with the components.

    Attributes:
        statistics: The components' last statistics.
    """

    def __init__(self, engine: Engine, queue: LiveQueue, children: Children) -> None:
        self._engine = engine
        self._queue = queue
        self._children = children
        self.statistics: dict[str, Any] = {}
        self._stop_event: Scheduled | None = None

    def run(self, deadline: Deadline, setting_up: int | None) -> StopReport:
        """Stop everything. Blocks until the deadline, and a moment longer if components hang.

        Can be called again if an exception interrupted it.

        Args:
            deadline: When components that hang are left behind.
            setting_up: The component whose setup was requested last. If its setup is not over, it
                is torn down afterwards.
        """
        engine = self._engine
        was_up = engine.all_set_up()
        self._request()
        in_time = was_up and self._drain(deadline)
        halted = engine.halted and not in_time
        engine.halt()
        drained = in_time or engine.drained()
        timed_out = was_up and not halted and not drained
        patience = None
        if halted or timed_out:
            if timed_out:  # nothing of its time is left
                engine.hangs.interrupt_all()
                deadline = Deadline(engine.clock, HASTY_TIMEOUT)
            deadline = deadline.at_most(HASTY_TIMEOUT)
            patience = (deadline.remaining() or 0.0) * HASTY_SHARE
        if was_up:
            answer_by = deadline.at_most(ASK_TIMEOUT if patience is None else patience)
            # A signal handler that stops in the middle of this one asks, too.
            self.statistics.update(
                engine.ask_all(ReadStatistics("final"), timeout=answer_by.remaining())
            )
        stuck = self._tear_down(deadline, setting_up, patience=patience)
        self._end_children(deadline)
        engine.stop_actors()
        self._join_threads(stuck)
        report = self._report(stuck, drained=drained, timed_out=timed_out)
        engine.enter(Phase.DOWN)
        return report

    def sweep(self, report: StopReport) -> None:
        """End the actors that a start has made although a signal handler had stopped meanwhile.

        Args:
            report: Names those that hang.
        """
        engine = self._engine
        if not engine.loop.is_cut_off():
            engine.stop_actors()
            self._join_threads([engine.names.index(name) for name in report.stuck])

    def _request(self) -> None:
        """Silence the sources, and send the `stop` event past all queued events.

        If an exception interrupts it, another call does the rest.
        """
        engine = self._engine
        engine.lifecycle.stop_requested = True
        engine.done.set()
        engine.notifier.notify()
        engine.tell_all(Quiesce(drains=not engine.halted))
        if engine.lifecycle.phase is Phase.OPEN:
            is_sent = engine.policy.start_and_stop == "sent"
            if is_sent and EVENT_STOP in engine.state.chain_states:
                self._stop_event = self._stop_event or self._queue.prepare_priority(EVENT_STOP)
                # No effect, if it was handed over before.
                engine.loop.hand_over_urgent(self._stop_event)
            engine.enter(Phase.DRAINING)

    def _drain(self, deadline: Deadline) -> bool:
        """Wait until the queued events are handled. Halt at that very moment: nothing starts after.

        Even if a callback hangs, the teardown has its share of the time.
        """
        engine, lifecycle = self._engine, self._engine.lifecycle
        ended: list[Phase | None] = []

        def drained(state: DispatchState) -> bool:
            if lifecycle.phase < Phase.OPEN:
                return not state.in_flight()  # only the `start` event may be in flight
            if lifecycle.halted or not engine.is_drained(state):
                return False
            ended.append(lifecycle.advance(Phase.HALTED))
            return True

        in_time = engine.wait_for_state(
            drained, deadline.less(HASTY_TIMEOUT), unless=lambda: engine.halted and not ended
        )
        for phase in ended:
            engine.log_phase(phase, Phase.HALTED)
        return in_time

    def _tear_down(
        self, deadline: Deadline, setting_up: int | None, *, patience: float | None
    ) -> list[int]:
        """Tear down what is set up, in reverse; return the components that did not answer.

        One that does not answer in time is interrupted, if it can be, and has a moment more.
        """
        engine = self._engine
        up = [index for index, cause in list(engine.setup_results.items()) if cause is None]
        ordered = list(up)
        if setting_up is not None and setting_up not in engine.setup_results:
            ordered.append(setting_up)
        for index in reversed(ordered):
            if index in engine.torn_down:
                continue  # an earlier stop, which was interrupted, did it
            # Reported first. The sinks, which come first, may have released them in their teardown.
            if failed := engine.loop.ask(functools.partial(_fail_tokens, owner=index)):
                engine.tell(index, TokensEnded(failed, is_last=True))
            engine.tell(index, TearDown())
            limit = deadline if patience is None else deadline.at_most(patience)
            is_down = functools.partial(engine.torn_down.__contains__, index)
            if not engine.wait_for(is_down, limit):
                engine.hangs.interrupt(index)
        # If one component used up the time, those after it must not look stuck.
        last = HASTY_PATIENCE if patience is None else patience
        engine.wait_for(lambda: engine.torn_down.issuperset(up), deadline.at_least(last))
        return [index for index in ordered if index not in engine.torn_down]

    def _end_children(self, deadline: Deadline) -> None:
        grace = deadline.at_most(CHILDREN_GRACE).remaining() or 0.0
        for child in self._children.stop(grace):
            with survive_log():
                logger.error(
                    "Program {args} does not end: PID {pid}", args=child.args, pid=child.pid
                )

    def _join_threads(self, stuck: list[int]) -> None:
        engine = self._engine
        for index, thread in list(engine.threads.items()):
            if index not in stuck:
                # It only has to leave pykka's loop.
                engine.runtime.join(thread, HASTY_TIMEOUT)
        if engine.dispatcher_thread is not None:
            engine.runtime.join(engine.dispatcher_thread, HASTY_TIMEOUT)

    def _report(self, stuck: list[int], *, drained: bool, timed_out: bool) -> StopReport:
        engine = self._engine
        left, later, given_back = engine.loop.ask(_what_is_left)
        return StopReport(
            drained=drained and not given_back,
            timed_out=timed_out,
            stuck=tuple(engine.names[index] for index in stuck),
            left=left,
            later=later,
            dead_letters=engine.dead_letters.total(),
            restarts=sum(engine.restarts.copy().values()),
            suspended=tuple(engine.names[index] for index in sorted(engine.down)),
            abandoned=tuple(abandoned_names(engine.runners)),
            dead_letters_of=_most_first(engine.dead_letters.by_component()),
        )


def _most_first(counts: dict[str, int]) -> tuple[tuple[str, int], ...]:
    found = [(name, count) for name, count in counts.items() if count]
    return tuple(sorted(found, key=lambda each: (-each[1], each[0])))


def _fail_tokens(state: DispatchState, owner: int) -> list[Token]:
    """End the open tokens of a component that is about to be torn down."""
    return state.tokens.fail_those_of(owner)


def _what_is_left(state: DispatchState) -> tuple[int, int, int]:
    """Return how many events were not handled, and how many wait for their time.

    The third number is that of the events among the first that components have given back undone.
    """
    queue = state.queue
    given_back = sum(counts.left for _, counts in state.counts())
    left = queue.untimed + state.in_flight() + given_back
    return left, queue.timed - queue.timed_maintenance, given_back
