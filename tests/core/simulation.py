"""The dispatch and its hosts in one thread, where a random scheduler says who moves next.

Messages to a component keep their order from the same sender, and nothing else: that is more
disorder than real mailboxes allow. News for the dispatcher is one queue.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.core.replay import URGENT, Player, Program, Tag
from zenactors.core import dispatch as dispatch_module
from zenactors.core import host as host_module
from zenactors.core.chain import build_chains
from zenactors.core.clock import VirtualClock
from zenactors.core.dispatch import Counts, Dispatch, Ordering
from zenactors.core.event_queue import Place, Scheduled
from zenactors.core.host import Host
from zenactors.core.messages import DeadLetter, Part

DISPATCHER = -1
UNIT = 0.001  # seconds of delay per unit of a program


@contextlib.contextmanager
def tuned(
    *, window: int | None = None, stride: int | None = None, part_after: float | None = None
) -> Iterator[None]:
    """Force tiny windows, short strides and early parts."""
    with pytest.MonkeyPatch.context() as patch:
        if window is not None:
            patch.setattr(dispatch_module, "MIN_WINDOW", window)
            patch.setattr(dispatch_module, "MAX_WINDOW", max(window, 8))
        if stride is not None:
            patch.setattr(host_module, "MAX_STRIDE", stride)
        if part_after is not None:
            patch.setattr(host_module, "PART_AFTER", part_after)
        yield


_HANDLERS = st.lists(
    st.tuples(st.sampled_from("xyz"), st.sampled_from([False, False, True])), max_size=4
).map(tuple)


def programs(*, ways: tuple[str, ...] = ("back", "next", "after"), by_event: bool = False) -> Any:
    """Return the strategy for programs: up to 4 components, repeats (A, B, A) included."""
    return st.builds(
        Program,
        handlers=st.lists(_HANDLERS, min_size=1, max_size=4).map(tuple).filter(any),
        stops=st.sampled_from([0, 5, 40]),
        fails=st.sampled_from([0, 5, 30]),
        children=st.sampled_from([0, 10, 40]),
        ways=st.just(ways),
        by_event=st.just(by_event),
    )


def outside_events(
    program: Program,
    rng: random.Random,
    *,
    producers: int = 3,
    each: int = 20,
    ways: tuple[str, ...] = ("back", "back", "back", "next", "after", "at"),
    urgent: float = 0.05,
) -> dict[str, list[tuple[str, Tag]]]:
    """Return what some threads outside schedule."""
    events = program.events()
    outside: dict[str, list[tuple[str, Tag]]] = {}
    for producer in range(rng.randint(1, producers)):
        who = f"p{producer}"
        outside[who] = [
            (rng.choice(events), Tag(who, rng.choice(ways), number, 0, number))
            for number in range(rng.randint(0, each))
        ]
        for number in range(each):
            if rng.random() < urgent:
                where = rng.randint(0, len(outside[who]))
                tag = Tag(who, "priority", number, 0, 0)
                outside[who].insert(where, (URGENT, tag))
    return outside


class SimulatedQueue:
    """`daemon.queue` of one component."""

    def __init__(self, simulation: Simulation, component: int) -> None:
        self._simulation = simulation
        self._component = component

    def schedule(self, event: Any, args: Any = None) -> Scheduled:
        return self._put(Place.BACK, event, args)

    def schedule_next(self, event: Any, args: Any = None) -> Scheduled:
        return self._put(Place.FRONT, event, args)

    def schedule_after(self, delay: float, event: Any, args: Any = None) -> Scheduled:
        when = self._simulation.clock.monotonic() + delay
        return self._put(Place.AFTER, event, args, when)

    def _put(self, place: Place, event: Any, args: Any, when: float = 0.0) -> Scheduled:
        simulation = self._simulation
        scheduled = Scheduled(simulation.dispatch, place, event, args, when, self._component)
        simulation.hosts[self._component].children.append(scheduled)
        return scheduled


class SimulatedDaemon:
    """What callbacks get as `daemon`."""

    def __init__(self, simulation: Simulation, component: int) -> None:
        self.queue = SimulatedQueue(simulation, component)


class SimulatedOutlet:
    """What a host sends goes into one of the simulation's mailboxes."""

    def __init__(self, simulation: Simulation, component: int) -> None:
        self._simulation = simulation
        self._component = component

    def forward(self, component: int, part: Part) -> None:
        self._simulation.post(self._component, component, part)

    def report(self, part: Part) -> None:
        self._simulation.news.append(part)

    def schedule(self, children: list[Scheduled]) -> None:
        self._simulation.news.append(children)

    def dead_letter(self, letter: DeadLetter) -> None:
        self._simulation.dead_letters.append(letter)

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        raise AssertionError("nobody asked for a stop") from cause


class Simulation:
    """Run a program.

    Args:
        program: The program.
        ordering: What may overlap.
        rng: Decides who moves next.
        outside: Events that threads outside schedule meanwhile: producer and what it schedules.
        slow: How many milliseconds a callback may take.
    """

    def __init__(
        self,
        program: Program,
        *,
        ordering: Ordering,
        rng: random.Random,
        outside: dict[str, list[tuple[str, Tag]]],
        slow: int = 2,
    ) -> None:
        self.rng = rng
        self.ordering = ordering
        self.clock = VirtualClock()
        self.calls: list[Any] = []
        self.players = [
            Player(program, index, self.calls, pause=self._pause, unit=UNIT)
            for index in range(len(program.handlers))
        ]
        chains = build_chains([(player.name, player.get_events()) for player in self.players])
        self.dispatch = Dispatch(chains, ordering=ordering, clock=self.clock)
        self.dispatch.started_log = []
        self.dispatch.open = True
        self.hosts = [
            Host(
                player.name, SimulatedDaemon(self, index), SimulatedOutlet(self, index), self.clock
            )
            for index, player in enumerate(self.players)
        ]
        self.mail: dict[tuple[int, int, bool], deque[Part]] = {}
        self.news: deque[Any] = (
            deque()
        )  # one queue, as the turn has it: what is scheduled comes first
        self.dead_letters: list[DeadLetter] = []
        self.outside = {who: deque(what) for who, what in outside.items() if what}
        self.handles: list[Scheduled] = []
        self.accepted: Counter[Any] = Counter()
        self.started: Counter[Any] = Counter()
        self.withdrawn: list[Tag] = []
        self._slow = slow
        self._accepted_handles: set[Scheduled] = set()

    def run(self, *, check: Callable[[Simulation], None] | None = None) -> None:
        """Let anybody move until nobody can. Fails if something is left undone then."""
        steps = 0
        while moves := self._moves():
            self.rng.choice(moves)()
            steps += 1
            if check is not None:
                check(self)
            assert steps < 200_000, "it goes on and on"
        assert self.dispatch.drained(), f"undrained: {self.dispatch.counts()}"

    def post(self, sender: int, receiver: int, part: Part) -> None:
        self.mail.setdefault((sender, receiver, part.control), deque()).append(part)

    # --- moves ------------------------------------------------------------------------------

    def _moves(self) -> list[Callable[[], None]]:
        """Return what may happen next. Each is one step of one thread."""
        moves: list[Callable[[], None]] = []
        for key, parts in self.mail.items():
            if parts:
                moves.append(lambda key=key: self._deliver(*key))  # type: ignore[misc]
        moves += [host.work for host in self.hosts if host.has_work()]
        if self.news:
            moves.append(self._take_in)
        for who, events in self.outside.items():
            if events:
                moves.append(lambda who=who: self._produce(who))  # type: ignore[misc]
        if self.handles and self.rng.random() < 0.05:
            moves.append(self._cancel)
        if not moves or self.rng.random() < 0.1:
            # Timers run while others work; but there is nothing to wait for for ever.
            due = self.dispatch.next_due()
            if due is not None:
                moves.append(lambda: self._pass_time(due))
        return moves

    def _deliver(self, sender: int, receiver: int, control: bool) -> None:  # noqa: FBT001
        part = self.mail[sender, receiver, control].popleft()
        if control:
            self.hosts[receiver].run_control(part)
        else:
            self.hosts[receiver].arrive(part)

    def _take_in(self) -> None:
        item = self.news.popleft()
        if isinstance(item, Part):
            for child in item.children or ():
                self._accept(child)
            self.dispatch.complete(item)
        elif isinstance(item, list):
            for child in item:
                self._accept(child)
        elif not self._start_alone(item):
            self._accept(item)
        if self.rng.random() < 0.9 or not self.news:
            self._turn()

    def _produce(self, who: str) -> None:
        event, args = self.outside[who].popleft()
        place = Place.PRIORITY if event == URGENT else Place.BACK
        when = 0.0
        if args.how == "next":
            place = Place.FRONT
        elif args.how in ("after", "at"):
            place = Place.AFTER if args.how == "after" else Place.AT
            now = self.clock.monotonic() if args.how == "after" else self.clock.time()
            when = now + self.rng.randrange(5) * UNIT
        scheduled = Scheduled(self.dispatch, place, event, args, when, who)
        self.news.append(scheduled)
        self.handles.append(scheduled)

    def _cancel(self) -> None:
        handle = self.handles.pop(self.rng.randrange(len(self.handles)))
        if handle.cancel():
            self.withdrawn.append(handle.args)
            if handle in self._accepted_handles:
                self.accepted[handle.event] -= 1
        assert not handle.cancel()

    def _pass_time(self, seconds: float) -> None:
        # A little more: sums of floats may fall short of the moment.
        self.clock.advance(seconds + 1e-6)
        self._turn()

    def _pause(self, digest: int) -> None:
        if self._slow and digest % 5 == 0:
            self.clock.advance((digest >> 12) % self._slow * UNIT)

    def _accept(self, scheduled: Scheduled) -> None:
        before = self.dispatch.queue.count()
        self.dispatch.accept(scheduled)
        if self.dispatch.queue.count() > before:  # else it had been cancelled on its way
            self.accepted[scheduled.event] += 1
            self._accepted_handles.add(scheduled)

    def _start_alone(self, scheduled: Scheduled) -> bool:
        """Do as the turn does with a lone event: start it past the queue, if that may be."""
        part = self.dispatch.start_alone(scheduled) if self.rng.random() < 0.8 else None
        if part is None:
            return False
        self.accepted[scheduled.event] += 1
        self._send(part)
        return True

    def _send(self, part: Part) -> None:
        self.started[part.chain.event] += len(part.items)
        self.post(DISPATCHER, part.chain.steps[0].component, part)

    def _turn(self) -> None:
        while True:
            for part in self.dispatch.turn():
                self._send(part)
            if not self.dispatch.more_priority():
                return

    # --- the books --------------------------------------------------------------------------

    def parts(self) -> Iterator[Part]:
        """Walk over every part that is anywhere."""
        for box in self.mail.values():
            yield from box
        yield from (item for item in self.news if isinstance(item, Part))
        for host in self.hosts:
            yield from host._ready
            for early in host._early.values():
                yield from early
            if host._part is not None:
                yield host._part

    def in_flight(self) -> Counter[Any]:
        found: Counter[Any] = Counter()
        for part in self.parts():
            found[part.chain.event] += part.size
        return found


def check_conservation(simulation: Simulation) -> None:
    """A2: accepted == completed + stopped + dead + waiting + in flight, for each chain."""
    in_flight = simulation.in_flight()
    for event, counts in simulation.dispatch.counts().items():
        accepted = simulation.accepted[event]
        waiting = accepted - simulation.started[event]
        done = counts.completed + counts.stopped + counts.dead
        assert accepted == done + waiting + in_flight[event], (event, counts, in_flight)
        assert counts == Counts(
            accepted, counts.completed, counts.stopped, counts.dead, waiting, in_flight[event]
        )
    if simulation.dispatch.drained():
        assert not any(in_flight.values())
        assert not any(isinstance(item, list) for item in simulation.news)
        assert not any(host.children for host in simulation.hosts)
    total = sum(simulation.dispatch.counts().values(), Counts())
    assert total.in_flight == simulation.dispatch.in_flight()
    assert total.waiting == simulation.dispatch.queue.count()
