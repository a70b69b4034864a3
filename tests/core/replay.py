"""The calls that every component should have had, found without the engine.

A `Program` is plain data: the handlers of each component. `behave` is the behaviour of its
callbacks, a pure function of the component's state and the args. Each callback mixes its state
into the args and the args into its state, so one pair of events in the wrong order changes all
later calls. `replay` executes the dispatcher's log one event at a time.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, Handler
from zenactors.core.component import ZenDaemonComponent

URGENT = "urgent"  # a priority event: it has no place in any order, and changes no state


class Tag(NamedTuple):
    """The args of one event. `number` counts the events that `origin` scheduled by `how`."""

    origin: Hashable
    how: str
    number: int
    depth: int
    digest: int

    def __str__(self) -> str:
        return f"{self.origin}:{self.how}:{self.number}/{self.digest:08x}"


class Call(NamedTuple):
    """One callback that was called."""

    component: int
    event: str
    position: int  # of the callback in its component's get_events()
    args: Tag

    def __str__(self) -> str:
        return f"component {self.component} {self.event}[{self.position}]({self.args})"


@dataclasses.dataclass(frozen=True)
class Program:
    """Components, and how their callbacks behave.

    Attributes:
        handlers: For each component its handlers in order, `(event, prepend)`.
        stops: How many callbacks in a hundred return FLAG_STOP.
        fails: How many raise, or return an invalid value.
        children: How many schedule another event.
        ways: How they schedule it: "back", "next", "after".
        depth: How long a line of descendants may be.
        by_event: True if a component's state is kept apart by event (`ordering="event"`).
    """

    handlers: tuple[tuple[tuple[str, bool], ...], ...]
    stops: int = 5
    fails: int = 5
    children: int = 20
    ways: tuple[str, ...] = ("back", "next", "after")
    depth: int = 2
    by_event: bool = False

    def chain(self, event: str) -> list[tuple[int, int]]:
        """Return a chain as plain pairs: (component, which of its handlers)."""
        links: list[tuple[int, int]] = []
        for component, handlers in enumerate(self.handlers):
            for position, (name, prepend) in enumerate(handlers):
                if name == event:
                    links.insert(0 if prepend else len(links), (component, position))
        return links

    def events(self) -> list[str]:
        return sorted({name for handlers in self.handlers for name, _ in handlers})


class ChildEvent(NamedTuple):
    """An event that a callback schedules. `units` says how long it is delayed."""

    event: str
    args: Tag
    units: int


class Reaction(NamedTuple):
    """The result of one call of a callback."""

    state: tuple[int, int]
    answer: str  # "continue", "same" (None), "stop", "raise" or "wrong"
    args: Tag
    children: tuple[ChildEvent, ...]


def behave(program: Program, state: tuple[int, int], call: Call) -> Reaction:
    """Return what a callback does. Pure: state and args decide everything."""
    digest = zlib.crc32(repr((state, call)).encode())
    dice, count = digest % 100, state[1]
    answer = "same" if digest % 7 == 0 else "continue"
    if dice < program.stops:
        answer = "stop"
    elif dice < program.stops + program.fails:
        answer = "wrong" if digest % 3 == 0 else "raise"
    children: tuple[ChildEvent, ...] = ()
    if (digest >> 8) % 100 < program.children and call.args.depth < program.depth:
        events = program.events()
        how = program.ways[(digest >> 16) % len(program.ways)]
        origin = f"c{call.component}" + (f"-{call.event}" if program.by_event else "")
        child = Tag(origin, how, count, call.args.depth + 1, digest)
        children = (ChildEvent(events[(digest >> 4) % len(events)], child, (digest >> 20) % 4),)
        count += 1
    args = call.args if answer == "same" else call.args._replace(digest=digest)
    return Reaction((digest, count), answer, args, children)


@dataclasses.dataclass
class Run:
    """A finished run: every call in order, the ends of events, the children of each event.

    `completed` holds the events that came through their whole chain, with their last args.
    """

    calls: list[Call] = dataclasses.field(default_factory=list)
    ends: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    children: list[list[tuple[str, Tag]]] = dataclasses.field(default_factory=list)
    completed: list[tuple[str, Tag]] = dataclasses.field(default_factory=list)


def replay(program: Program, log: Iterable[tuple[str, list[Tag]]]) -> Run:
    """Execute the dispatcher's log, one event at a time. Shares no code with the engine."""
    run = Run()
    states: dict[tuple[int, str | None], tuple[int, int]] = {}
    for event, batch in log:
        for args in batch:
            end = "completed"
            run.children.append([])
            for component, position in program.chain(event):
                call = Call(component, event, position, args)
                run.calls.append(call)
                key = (component, event if program.by_event else None)
                reaction = behave(program, states.get(key, (component, 0)), call)
                states[key], args = reaction.state, reaction.args  # noqa: PLW2901 - passed on
                run.children[-1] += [(child.event, child.args) for child in reaction.children]
                if reaction.answer not in ("continue", "same"):
                    end = "stopped" if reaction.answer == "stop" else "dead"
                    break
            run.ends[event, end] += 1
            if end == "completed":
                run.completed.append((event, args))
    return run


def run_as_pyzenkit(program: Program, queue: list[tuple[str, Tag]]) -> list[tuple[str, list[Tag]]]:
    """Return the log of pyzenkit's loop: take the first event, run its chain to the end."""
    log: list[tuple[str, list[Tag]]] = []
    states: dict[int, tuple[int, int]] = {}
    queue = list(queue)
    while queue:
        event, args = queue.pop(0)
        log.append((event, [args]))
        for component, position in program.chain(event):
            call = Call(component, event, position, args)
            reaction = behave(program, states.get(component, (component, 0)), call)
            states[component], args = reaction.state, reaction.args
            for child in reaction.children:
                queue.insert(0 if child.args.how == "next" else len(queue), child[:2])
            if reaction.answer not in ("continue", "same"):
                break
    return log


def mismatch(saw: list[Call], expected: list[Call], ordering: str) -> str:
    """Compare two runs as far as an ordering promises; return the first difference, or ""."""

    def view(call: Call) -> Hashable:
        whole = {"global": "all", "component": f"component {call.component}"}
        return whole.get(ordering, f"component {call.component}, event {call.event}")

    views = sorted({str(view(call)) for call in [*saw, *expected]})
    for each in views:
        ours = [call for call in saw if view(call) == each]
        theirs = [call for call in expected if view(call) == each]
        for number in range(max(len(ours), len(theirs))):
            here, there = ours[number : number + 1], theirs[number : number + 1]
            if here != there:
                return (
                    f"{each}: call no. {number} of {len(ours)} (replay: {len(theirs)})\n"
                    f"  the engine ran  {here[0] if here else 'nothing more'}\n"
                    f"  the replay says {there[0] if there else 'nothing more'}"
                )
    return ""


def out_of_fifo(program: Program, log: Iterable[tuple[str, list[Tag]]]) -> str:
    """Check that what one producer scheduled one after the other was started in that order.

    Events may pass each other only on chains that share no component.
    """
    last: dict[tuple[Hashable, int], Tag] = {}
    for event, batch in log:
        components = {component for component, _ in program.chain(event)}
        for tag in batch:
            for component in components if tag.how == "back" else ():
                before = last.get((tag.origin, component))
                if before is not None and before.number >= tag.number:
                    return f"{tag} was started after {before}"
                last[tag.origin, component] = tag
    return ""


class Player(ZenDaemonComponent):
    """Play a program's component in the engine.

    Args:
        program: The program.
        index: The component's index.
        calls: The list to which the calls of all components are added.
        pause: Called in each callback, with its digest, to let time pass.
        unit: Seconds of delay per unit.
    """

    def __init__(
        self,
        program: Program,
        index: int,
        calls: list[Call],
        *,
        pause: Callable[[int], None],
        unit: float,
    ) -> None:
        super().__init__(name=f"c{index}")
        self.program = program
        self.index = index
        self.calls = calls
        self.saw: list[Call] = []
        self.urgent: list[Any] = []
        self.states: dict[str | None, tuple[int, int]] = {}
        self._pause = pause
        self._unit = unit

    def get_events(self) -> list[Handler]:
        own = [
            self.gen_event_handler(event, self._callback(event, position), prepend)
            for position, (event, prepend) in enumerate(self.program.handlers[self.index])
        ]
        return [*own, self.gen_event_handler(URGENT, self._be_urgent)]

    def _be_urgent(self, daemon: Any, args: Any) -> None:
        self.urgent.append(args)

    def _callback(self, event: str, position: int) -> Callable[[Any, Any], Any]:
        key = event if self.program.by_event else None

        def call_back(daemon: Any, args: Tag) -> Any:
            call = Call(self.index, event, position, args)
            self.saw.append(call)
            self.calls.append(call)
            reaction = behave(self.program, self.states.get(key, (self.index, 0)), call)
            self._pause(reaction.state[0])
            for child in reaction.children:
                queue = daemon.queue
                if child.args.how == "after":
                    queue.schedule_after(child.units * self._unit, child.event, child.args)
                elif child.args.how == "next":
                    queue.schedule_next(child.event, child.args)
                else:
                    queue.schedule(child.event, child.args)
            self.states[key] = reaction.state
            match reaction.answer:
                case "same":
                    return None
                case "continue":
                    return FLAG_CONTINUE, reaction.args
                case "stop":
                    return FLAG_STOP, reaction.args
                case "wrong":
                    return 5
                case _:
                    raise LookupError(str(reaction.args))

        return call_back
