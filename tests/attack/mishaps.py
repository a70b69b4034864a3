"""Random programs of components that fail in every way, and a ledger of what really happened.

Everything follows from the seed: the components, their policies, what each does with which event,
and how the run ends. The ledger outlives all incarnations, so that the checks compare the engine's
own books with the facts: what it counts, acknowledges and orders.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import operator
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from random import Random
from typing import Any, NamedTuple

from zenactors.core.callbacks import FLAG_STOP, gen_event_handler
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.dispatch_state import Ordering
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import Retry, Supervision
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import (
    AbandonedError,
    NotRunningError,
    RestartComponent,
    ZenDaemonStopException,
)

EVENTS = ("a", "b", "c")
MOST_HANGS = 2  # of a component
NUMBERS = 30  # that the source sends
BOUND = 8  # of these are unacknowledged at a time
MAX_DEPTH = 3
ORDERINGS: tuple[Ordering, ...] = ("component", "global", "event")
ENDINGS = ("idle", "idle", "stop", "hasty stop")

Root = tuple[int, int]  # a number, and the source's incarnation that sent it


class Tag(NamedTuple):
    """The args of an event: where it comes from."""

    root: Root | None  # None: it carries no token
    path: tuple[Hashable, ...]  # unique, with the root
    origin: str  # the component that scheduled it
    number: int | None  # the how manyth of that producer; None: it is for later


class Unprintable(Tag):
    """Args that cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("no repr")


class UnprintableError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no str")


@dataclasses.dataclass
class Plan:
    """What follows from a seed for a run as a whole."""

    seed: int
    ordering: Ordering = "component"
    opens_pipes: bool = False
    hard_limit: float = 5.0  # seconds, of components that hang, in half of the plans
    rng: Random = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        rng = self.rng = Random(self.seed)
        self.ending = rng.choice(ENDINGS)
        self.early = rng.random() * 0.02  # seconds until an early stop
        self.ends_itself = rng.random() < 0.15  # a callback may end everything
        self.suspends = rng.random() < 0.2  # restarts may be used up
        self.hangs = rng.random() < 0.3  # a callback may not return before the end
        self.is_limited = self.hangs and rng.random() < 0.5  # then its thread is replaced
        self.wakes = rng.random() < 0.5  # they return before the stop
        self.start_fails = rng.random() < 0.05
        self.reloads = rng.choice([0, 0, 0, 1, 3])
        self.clock_jumps = rng.random() < 0.3
        self.fails = rng.choice([0.0, 0.5, 1.0])  # how often components fail, of the usual


class Ledger:
    """What happened, over all incarnations.

    Threads share it: each operation on a part that is not one component's is atomic.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.wrong: list[str] = []  # what must never happen, as it was seen
        # Of events; a key is a root and a path.
        self.scheduled: dict[Root | None, list[tuple[str, Tag]]] = {}
        self.accepted: list[str] = []
        self.taken_back: list[str] = []
        self.attempts: Counter[Any] = Counter()  # by component and key
        self.returned: dict[Any, dict[int, bool]] = {}  # by key: place, and if the chain goes on
        self.cancelled: set[Any] = set()
        self.ended_all: list[str] = []  # ZenDaemonStopException was raised in them
        self.order: dict[Any, int] = {}
        self.numbers: dict[str, Iterator[int]] = {}
        # Of holds and tokens.
        self.holds: set[tuple[Root, Any]] = set()  # those not released
        self.sent: list[Root] = []
        self.outcomes: list[tuple[Root, TokenOutcome]] = []
        self.parts: dict[int, tuple[Life, list[TokenOutcome]]] = {}
        self.mark = 0  # of the source: all smaller numbers are acknowledged
        self.acknowledged: set[int] = set()
        self.source = 0  # its incarnation; 0 while it is down
        # Of components.
        self.up: dict[str, Life] = {}
        self.made: Counter[str] = Counter()
        self.hangs: Counter[str] = Counter()

    def schedule(self, daemon: Any, who: str, root: Root | None, path: tuple[Any, ...]) -> Any:
        """Schedule an event by chance; return its handle, with its tag as the args."""
        rng = self.rng(who, root, path)
        event = rng.choice(EVENTS)
        later = rng.random() < 0.3
        kind = Unprintable if rng.random() < 0.1 else Tag
        number = None if later else next(self.numbers.setdefault(who, itertools.count()))
        tag = kind(root, path, who, number)
        on_done, ends = None, list[TokenOutcome]()
        if rng.random() < 0.2 and root is not None and who in self.up:
            on_done = functools.partial(self._part_ended, ends)
            self.parts[len(self.parts)] = self.up[who], ends
        self.scheduled.setdefault(root, []).append((event, tag))
        if later:
            handle = daemon.queue.schedule_after(rng.random() / 100, event, tag, on_done=on_done)
        else:
            handle = daemon.queue.schedule(event, tag, on_done=on_done)
        self.accepted.append(event)
        if rng.random() < 0.1 and handle.cancel():
            self.cancelled.add((root, path))
            self.taken_back.append(event)
        return handle

    def _part_ended(self, ends: list[TokenOutcome], outcome: TokenOutcome) -> None:
        ends.append(outcome)
        if outcome is TokenOutcome.FAILED and self.plan.fails and len(self.parts) % 7 == 0:
            raise OSError("on_done fails")

    def rng(self, *what: Any) -> Random:
        """Return random numbers that depend on the seed, and on nothing but `what` besides."""
        return Random(f"{self.plan.seed}{what}")

    @contextlib.contextmanager
    def alone(self, who: str, life: Life) -> Iterator[None]:
        """Note that a component runs: one callback at a time, and only of the object it is."""
        if life.is_busy:
            self.wrong.append(f"{who} runs two callbacks at once")
        if self.up.get(who) is not life:
            self.wrong.append(f"{who} runs a callback, but is not set up")
        life.is_busy = True
        try:
            yield
        finally:
            life.is_busy = False


class Life:
    """One incarnation."""

    is_busy = False
    hangs = False
    over = False
    stopping = False  # it has handled `stop`


class Failing(ZenDaemonComponent):
    """Does with an event what the event's own random numbers say.

    Args:
        name: Its name.
        who: A name of its own, also among replicas.
        place: Its number in each chain; replicas have the same.
        events: Those that it handles.
        supervision: Its policy.
        ledger: Where it notes what it does.
        hang: Does not return before the end of the run.
    """

    def __init__(
        self,
        *,
        name: str,
        who: str,
        place: int,
        events: tuple[str, ...],
        supervision: Supervision,
        ledger: Ledger,
        hang: Callable[[Any], object],
    ) -> None:
        super().__init__(name=name, supervision=supervision)
        self._who, self._place, self._events = who, place, events
        self._ledger, self._plan, self._hang = ledger, ledger.plan, hang
        self._life = Life()
        self._pipe: tuple[int, ...] = ()
        ledger.made[who] += 1
        if self._fails("made", ledger.made[who], 0.1) and ledger.made[who] > 2:
            raise OSError("the constructor fails")

    def __repr__(self) -> str:
        if self._fails("repr", 1, 0.3):
            raise ValueError("no repr")
        return self._who

    def _fails(self, what: str, number: Any, chance: float) -> bool:
        return self._ledger.rng(self._who, what, number).random() < chance * self._plan.fails

    def get_events(self) -> list[Any]:
        return [
            *(gen_event_handler(each, functools.partial(self.cbk, each)) for each in self._events),
            gen_event_handler("stop", self.cbk_stop),
        ]

    def setup(self, daemon: Any) -> None:
        ledger, who = self._ledger, self._who
        if who in ledger.up and not (self._plan.is_limited and ledger.up[who].hangs):
            ledger.wrong.append(f"{who} is set up twice")
        if self.incarnation == 1:
            if self._plan.start_fails and self._place == 1:
                raise OSError("the first setup fails")
        else:
            if self._fails("setup", self.incarnation, 0.2):
                raise OSError("the setup fails")
            if ledger.rng(who, "setup sends", self.incarnation).random() < 0.1:
                with contextlib.suppress(NotRunningError):
                    ledger.schedule(daemon, who, None, ("setup", who, self.incarnation))
        self._life = ledger.up[who] = Life()  # after a rollback this object comes up again
        if ledger.plan.opens_pipes:
            self._open_pipe(daemon)
        if ledger.rng(who, "ticks").random() < 0.3:
            self._tick(daemon, self._life)

    def _tick(self, daemon: Any, life: Life) -> None:
        left = iter(range(3))

        def tick(daemon: Any) -> None:
            if life.over or life.stopping:
                self._ledger.wrong.append(f"a timer of {self._who} calls back after its end")
            number = next(left, None)
            if number is None:
                timer.cancel()
            elif self._fails("tick", (self.incarnation, number), 0.1):
                raise UnprintableError

        timer = daemon.io.call_every(0.002, tick)

    def _open_pipe(self, daemon: Any) -> None:
        reader, writer = self._pipe = os.pipe()

        def read(daemon: Any) -> None:
            os.read(reader, 1)
            registration.cancel()
            if self._fails("pipe", self.incarnation, 0.1):
                raise UnprintableError

        os.write(writer, b"x")
        registration = daemon.io.add_reader(reader, read)

    def teardown(self, daemon: Any) -> None:
        for descriptor in self._pipe:
            os.close(descriptor)
        self._pipe = ()
        ledger, who = self._ledger, self._who
        if ledger.up.pop(who, None) is not self._life:
            ledger.wrong.append(f"{who} is torn down, but is not set up")
        if self._life.is_busy:
            ledger.wrong.append(f"{who} is torn down while a callback runs")
        self._life.over = True
        if self._fails("teardown", self.incarnation, 0.2):
            raise OSError("the teardown fails")

    def cbk_stop(self, daemon: Any, args: Any) -> None:
        self._life.stopping = True
        if self._fails("stop", 1, 0.1):
            raise ValueError("the stop callback fails")

    def cbk(self, event: str, daemon: Any, args: Tag) -> Any:
        ledger, key = self._ledger, (args.root, args.path)
        with ledger.alone(self._who, self._life):
            attempt = ledger.attempts[self._who, key] = ledger.attempts[self._who, key] + 1
            if attempt == 1:
                self._check_order(event, args)
            if key in ledger.cancelled:
                ledger.wrong.append(f"{key} was taken back, but is handled")
            answer = self._handle(event, daemon, args, attempt)
            returned = ledger.returned.setdefault(key, {})
            if self._place in returned:
                ledger.wrong.append(f"{self._who} handles {key} twice")
            if not all(returned.values()):
                ledger.wrong.append(f"{self._who} handles {key}, which has ended")
            returned[self._place] = answer is None
        return answer

    def _check_order(self, event: str, args: Tag) -> None:
        if args.number is None:
            return
        name = event if self._plan.ordering == "event" else None
        before = self._ledger.order.get((self._who, args.origin, name), -1)
        if before >= args.number:
            self._ledger.wrong.append(
                f"{self._who} gets no. {args.number} of {args.origin} after no. {before}"
            )
        self._ledger.order[self._who, args.origin, name] = args.number

    def _handle(self, event: str, daemon: Any, args: Tag, attempt: int) -> Any:
        rng = self._ledger.rng(self._who, args.root, args.path)
        self._fail(event, rng, attempt, daemon)
        what = rng.random()
        if what < 0.12:
            return FLAG_STOP, args
        if what < 0.45 and len(args.path) < MAX_DEPTH:
            for number in range(rng.randrange(1, 3)):
                path = (*args.path, f"{self._who}.{attempt}.{number}")
                self._ledger.schedule(daemon, self._who, args.root, path)
        elif what < 0.6:
            self._hold(daemon, args, rng)
        elif what < 0.65:
            daemon.wait(rng.random() / 500)
        if rng.random() < 0.05 * self._plan.fails:
            raise RestartComponent("after its work")
        return None

    def _fail(self, event: str, rng: Random, attempt: int, daemon: Any) -> None:
        what = rng.random() / (self._plan.fails or 1e-9)
        if what < 0.04:
            raise ValueError("always")
        if what < 0.06:
            raise UnprintableError
        if what < 0.09 and attempt == 1:
            raise ConnectionError("the first time")  # a second attempt will do
        if what < 0.12:
            raise RestartComponent("always")
        if what < 0.14 and attempt == 1:
            raise RestartComponent("the first time")
        if what < 0.145 and self._plan.ends_itself:
            ending = rng.choice([SystemExit(3), ZenDaemonStopException(), KeyboardInterrupt()])
            if isinstance(ending, ZenDaemonStopException):
                self._ledger.ended_all.append(event)
            raise ending
        if what < 0.155 and self._plan.hangs and self._ledger.hangs[self._who] < MOST_HANGS:
            self._ledger.hangs[self._who] += 1
            self._hang_for_long(daemon)

    def _hang_for_long(self, daemon: Any) -> None:
        life = self._life
        life.hangs = True
        self._hang(daemon)
        if self._plan.is_limited and self._is_abandoned(daemon, life):
            raise OSError("too late")
        life.hangs = False

    def _is_abandoned(self, daemon: Any, life: Life) -> bool:
        """Return True if this thread was abandoned. Then nothing that it does has an effect."""
        if self._ledger.up.get(self._who) is life:  # but perhaps there was no restart left
            with contextlib.suppress(AbandonedError):
                return daemon.io is None
            return True
        for act in (lambda: daemon.queue.schedule("a"), daemon.hold, lambda: daemon.io):
            with contextlib.suppress(AbandonedError):
                act()
                self._ledger.wrong.append(f"an abandoned thread of {self._who} does something")
        return True

    def _hold(self, daemon: Any, args: Tag, rng: Random) -> None:
        hold, life = daemon.hold(), self._life
        if args.root is None:
            return
        open_hold = args.root, object()
        self._ledger.holds.add(open_hold)
        if rng.random() < 0.1 * self._plan.fails:
            hold.fail()
            return
        goes_on = rng.random() < 0.3

        def release(daemon: Any) -> None:
            if life.over or life.stopping:
                self._ledger.wrong.append(f"a timer of {self._who} calls back after its end")
            if goes_on and hold.token is not None:
                with daemon.part_of(hold):
                    path = (*args.path, f"{self._who}.held")
                    self._ledger.schedule(daemon, self._who, args.root, path)
            if hold.token is not None:
                self._ledger.holds.discard(open_hold)
            hold.release()

        daemon.io.call_later(rng.random() / 100, release)


class Source(ZenDaemonComponent):
    """Sends numbers, a few at a time; made anew, it begins again at its mark."""

    def __init__(self, *, name: str, ledger: Ledger) -> None:
        super().__init__(
            name=name,
            supervision=Supervision(max_restarts=10_000, delay=0.001, max_delay=0.002),
        )
        self._ledger = ledger
        self._next = ledger.mark
        self._open = 0

    def get_events(self) -> list[Any]:
        return [gen_event_handler("send", self.cbk_send)]

    def setup(self, daemon: Any) -> None:
        self._daemon = daemon
        self._ledger.source = self.incarnation
        with contextlib.suppress(NotRunningError):
            daemon.queue.schedule("send")

    def cbk_send(self, daemon: Any, args: Any) -> None:
        if daemon.is_done():
            return
        while self._open < BOUND and self._next < NUMBERS:
            root = self._next, self.incarnation
            self._next, self._open = self._next + 1, self._open + 1
            tag = Tag(root, (), self.name, self._number())
            event = self._ledger.rng("source", root).choice(EVENTS)
            self._ledger.sent.append(root)
            self._ledger.scheduled[root] = [(event, tag)]
            daemon.queue.schedule(event, tag, on_done=functools.partial(self._ended, root))
            self._ledger.accepted.append(event)

    def _number(self) -> int:
        return next(self._ledger.numbers.setdefault(self.name, itertools.count()))

    def _ended(self, root: Root, outcome: TokenOutcome) -> None:
        ledger = self._ledger
        ledger.outcomes.append((root, outcome))
        if root[1] != self.incarnation:
            ledger.wrong.append(f"incarnation {self.incarnation} of the source hears of {root}")
        if self._daemon.is_done():
            return  # what fails now comes again at the next start
        self._open -= 1
        if ledger.rng("source fails", root).random() < 0.02 * ledger.plan.fails:
            ledger.source = 0
            raise RestartComponent("before it is noted")
        ledger.acknowledged.add(root[0])
        while ledger.mark in ledger.acknowledged:
            ledger.mark += 1
        self._daemon.queue.schedule("send")


def _policy(rng: Random, plan: Plan) -> Supervision:
    few = plan.suspends and rng.random() < 0.3
    return Supervision(
        on_error=rng.choice(["dead-letter", "restart"]),
        retry=rng.choice([None, Retry(attempts=2, delay=0.0), Retry(attempts=3, delay=0.001)]),
        max_restarts=rng.randrange(4) if few else 10_000,
        delay=rng.choice([0.0, 0.001]),
        max_delay=0.002,
        when_exhausted=rng.choice(["suspend", "suspend", "stop"]),
        hard_limit=plan.hard_limit if plan.is_limited else None,
    )


@dataclasses.dataclass
class Program:
    """The components of a run.

    Attributes:
        components: For a dispatcher.
        chains: The places of the components that handle each event, in order.
        remakers: Of each component that can be replaced: makes another one of its name.
    """

    components: list[Any]
    chains: dict[str, list[int]]
    remakers: dict[str, Callable[[], Any]]


def program(plan: Plan, ledger: Ledger, hang: Callable[[Any], object]) -> Program:
    """Make the components of a plan."""
    rng = plan.rng
    made = Program([Source(name="source", ledger=ledger)], {each: [] for each in EVENTS}, {})
    count = rng.randrange(1, 5)
    for place in range(count + 1):
        name = f"failing {place}"
        # The last one handles everything, so that each event has a handler.
        wanted = rng.randrange(1, 4) if place < count else len(EVENTS)
        events = tuple(sorted(rng.sample(EVENTS, wanted)))
        for event in events:
            made.chains[event].append(place)
        make = functools.partial(
            Failing,
            name=name,
            place=place,
            events=events,
            supervision=_policy(rng, plan),
            ledger=ledger,
            hang=hang,
        )
        if place < count and rng.random() < 0.25:
            numbers = itertools.count(1)
            made.components.append(
                Replicas(
                    lambda make=make, name=name, numbers=numbers: make(  # type: ignore[misc]
                        who=f"{name}/{next(numbers)}"
                    ),
                    2,
                )
            )
        else:
            made.components.append(make(who=name))
            made.remakers[name] = functools.partial(make, who=name)
    return made


# --- checks -------------------------------------------------------------------------------------


def complaints(dispatcher: Any, ledger: Ledger, made: Program, report: Any) -> list[str]:
    """Return what is wrong with a run that has ended; empty if nothing is."""
    wrong = list(ledger.wrong)
    wrong += [f"{who} was not torn down" for who, life in ledger.up.items() if not life.hangs]
    stuck = {name.partition("/")[0] for name in report.stuck}
    hung = {who.partition("/")[0] for who in ledger.hangs}
    if hung:
        hung.add("daemon")  # it asks all components for their state, say
    if not {name.partition("/")[0] for name in report.abandoned} <= hung:
        wrong.append(f"abandoned: {report.abandoned}, but only {sorted(hung)} hang")
    if not stuck <= hung:
        wrong.append(f"stuck: {report.stuck}, but only {sorted(hung)} hang")
    wrong += _tokens(dispatcher, ledger, made)
    if not stuck:
        cut_off = report.left > 0 or report.timed_out or dispatcher.ended_by is not None
        wrong += _counts(dispatcher, ledger, made, cut_off=cut_off)
    return wrong


def not_acknowledged(dispatcher: Any, ledger: Ledger, made: Program) -> list[str]:
    """Return what is wrong with a daemon that has done everything that it had to do."""
    wrong = [
        f"{number} was never acknowledged"
        for number in range(NUMBERS)
        if number not in ledger.acknowledged
    ]
    if dispatcher.open_tokens()[0]:
        wrong.append(f"open tokens: {dispatcher.open_tokens()}")
    wrong += [
        f"{root} is done, but its token says {outcome}"
        for root, outcome in ledger.outcomes
        if outcome is not TokenOutcome.DONE and _is_complete(root, ledger, made)
    ]
    return wrong


def _is_complete(root: Root, ledger: Ledger, made: Program) -> bool:
    return root not in {each for each, _ in ledger.holds} and all(
        _is_handled(event, tag, ledger, made) for event, tag in ledger.scheduled[root]
    )


def _is_handled(event: str, tag: Tag, ledger: Ledger, made: Program) -> bool:
    returned = ledger.returned.get((tag.root, tag.path), {})
    for place in made.chains[event]:
        if place not in returned:
            return False
        if not returned[place]:
            return True  # it ended with FLAG_STOP
    return True


def _tokens(dispatcher: Any, ledger: Ledger, made: Program) -> list[str]:
    wrong = [
        f"{root} is acknowledged, but not all of it was done"
        for root, outcome in ledger.outcomes
        if outcome is TokenOutcome.DONE and not _is_complete(root, ledger, made)
    ]
    ended = Counter(root for root, _ in ledger.outcomes)
    wrong += [f"{root} ended {n} times" for root, n in ended.items() if n > 1]
    wrong += [
        f"{root} never ended"
        for root in ledger.sent
        if root not in ended and root[1] == ledger.source
    ]
    wrong += [f"a part ended {len(e)} times" for _, e in ledger.parts.values() if len(e) > 1]
    if dispatcher.open_tokens()[0]:
        wrong.append(f"open tokens: {dispatcher.open_tokens()}")
    return wrong


def _counts(dispatcher: Any, ledger: Ledger, made: Program, *, cut_off: bool) -> list[str]:
    books = dispatcher.accounting()
    wrong = [books.imbalance()] if books.imbalance() else []
    all_letters = dispatcher.dead_letters()
    letters = Counter(letter.event for letter in all_letters)
    stopped = Counter(ledger.ended_all)
    completed: Counter[str] = Counter()
    for event, tag in itertools.chain.from_iterable(ledger.scheduled.values()):
        if _is_handled(event, tag, ledger, made):
            through = all(ledger.returned[tag.root, tag.path].values())
            (completed if through else stopped)[event] += 1
    for event, counts in books.events.items():
        if event not in EVENTS:
            continue
        known = counts.dead, counts.stopped, counts.completed
        facts = letters[event], stopped[event], completed[event]
        # What the end has cut off in the middle of a batch may have been handled, but not counted.
        fits = all(map(operator.le, known, facts)) if cut_off else known == facts
        if not fits:
            wrong.append(f"{event!r}: dead, stopped, completed: {facts}, but {counts}")
        facts = ledger.accepted.count(event), ledger.taken_back.count(event), 0
        if not cut_off and (counts.accepted, counts.cancelled, counts.in_flight) != facts:
            wrong.append(f"{event!r}: scheduled, cancelled, in flight: {facts}, but {counts}")
    failed = Counter(letter.component for letter in all_letters)
    known_failed = {name: each.failed for name, each in books.components.items() if each.failed}
    if known_failed != failed:
        wrong.append(f"dead letters of components: {failed}, but {known_failed}")
    return wrong
