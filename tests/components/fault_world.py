"""What `test_faults.py` runs a stock component in: a feeder before it, a taker behind it.

Numbered items go in, and the world checks what comes out. It outlives the daemon: it has the files,
and remembers what was given, taken and acknowledged, as other programs and disks would.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from loguru import logger

from zenactors import RestartComponent, Supervision, TokenOutcome, ZenDaemonComponent, handles
from zenactors.components import AcknowledgingSource, Lines
from zenactors.testing import Fault, Harness, InjectedCrash, VirtualFiles

ITEMS = 3
MOVES = 6  # of a partner, in each while
SETTLE = 30.0  # virtual seconds in which retries, restarts and windows come to their end
STATE = "/state"
ON_PURPOSE = (InjectedCrash.__name__, RestartComponent.__name__)  # the log has copies of them


def record(number: int) -> list[Any]:
    return [{"id": f"item-{number}", "kind": "good"}]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Driver:
    """How a component is fed, and what must come out.

    Attributes:
        build: Makes the component.
        item: Returns the args of the `lines` event with an item; None: it is a source.
        feed: For a source: lets the world outside produce an item.
        taken: The event that is behind the component; empty: it is a sink.
        held: For a sink: returns all that it has written, as text.
        pattern: What an item looks like in what comes out.
        partner: What runs beside the daemon: a server, programs, clients. If it has `play`, that is
            called again and again; if it has `spawn`, the daemon runs its programs by that.
        files: Content of files by path; a path that ends in / is a directory.
        whole: For a sink: what all that it has written matches, at every moment.
        aside: Returns what the component has set aside, in directories for that, as text.
        acknowledges: For a source: what is not done comes again, also in the next run.
        comes_again: An item that was taken by nothing comes again, or need not be taken.
        on_disk: Whether it uses the disk, and not virtual files.
        repeats: Whether a restart of the component, or a stop, may bring an item again.
        late: Whether an event is done before its item is taken, because the item is saved.
        not_for: By fault, a sentence that says why it does not apply.
    """

    build: Callable[[World], Any]
    item: Callable[[int], Any] | None = record
    feed: Callable[[World, Harness, int], object] | None = None
    taken: str = "lines"
    held: Callable[[World], str] | None = None
    pattern: str = r"item-(\d+)"
    partner: Callable[[World], contextlib.AbstractContextManager[Any]] | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    whole: str = ".*"
    aside: Callable[[World], str] | None = None
    acknowledges: bool = True
    comes_again: bool = False
    on_disk: bool = False
    repeats: bool = False
    late: bool = False
    not_for: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Feeder(AcknowledgingSource):
    """A source that hands over what the world has given it until it is done, in any run."""

    def __init__(self, world: World) -> None:
        super().__init__(name="feeder")
        self.world = world

    def setup(self, daemon: Any) -> None:
        super().setup(daemon)
        self.sent = set(self.world.ended)

    @handles("start")
    def cbk_event_start(self, daemon: Any, args: Any) -> None:
        for number in self.world.given:
            self.send(number)

    @handles("feed")
    def cbk_event_feed(self, daemon: Any, args: Any) -> None:
        self.send(args)

    def send(self, number: int) -> None:
        if number in self.sent:
            return
        self.sent.add(number)
        assert self.world.driver.item is not None

        def ended(outcome: TokenOutcome) -> None:
            self.world.end(number, outcome)

        self.hand_over(self.world.driver.item(number), size=100, on_done=ended, again=True)


class Taker(ZenDaemonComponent):
    """What it gets is kept by the world, whatever becomes of the process."""

    def __init__(self, world: World, event: str) -> None:
        super().__init__(name="taker", event_map={"take": event})
        self.world = world

    @handles("take")
    def cbk_event_take(self, daemon: Any, args: Any) -> None:
        self.world.taken.append(text_of(args))


def text_of(args: Any) -> str:
    """Return args as a text in which items can be found."""
    return str(args.data if isinstance(args, Lines) else args)


class World:
    """Everything outside of the process."""

    def __init__(self, name: str, driver: Driver, directory: Path) -> None:
        self.name = name
        self.driver = driver
        self.directory = directory
        self.files = VirtualFiles()
        self.partner: Any = None
        self.given: list[int] = []
        self.taken: list[str] = []
        self.ended: dict[int, TokenOutcome] = {}
        self.too_early: list[int] = []
        for path, content in {f"{STATE}/": "", **driver.files}.items():
            # `put` makes directories that a power failure leaves.
            self.files.put(f"{path}.there" if path.endswith("/") else path, content)

    # --- a run ----------------------------------------------------------------------------------

    def components(self) -> list[Any]:
        component = self.component = self.driver.build(self)
        feeder = [] if self.driver.item is None else [Feeder(self)]
        taker = [Taker(self, self.driver.taken)] if self.driver.taken else []
        return [*feeder, component, *taker]

    def harness(
        self,
        faults: Sequence[Fault] = (),
        *,
        seed: int | None = None,
        supervision: Supervision | None = None,
    ) -> Harness:
        harness = Harness(
            self.components(),
            faults=faults,
            seed=seed,
            supervision=supervision,
            files=None if self.driver.on_disk else self.files,
            state_dir=str(self.directory) if self.driver.on_disk else STATE,
        )
        self.lend(harness)
        return harness

    def next_life(self, harness: Harness) -> Harness:
        """Return the next process after one that was killed."""
        after = harness.next_life(self.components())
        if not self.driver.on_disk:
            self.files = after.files
        self.lend(after)
        return after

    def lend(self, harness: Harness) -> None:
        """Let the partner play its part for a process."""
        if hasattr(self.partner, "spawn"):
            harness.daemon.spawn = self.partner.spawn

    def give(self, harness: Harness, number: int) -> None:
        """Let an item come."""
        self.given.append(number)
        if self.driver.feed is None:
            harness.queue.schedule("feed", number)
        else:
            self.driver.feed(self, harness, number)

    def give_all(self, harness: Harness) -> None:
        """Let those items come that have not come yet, one a second, while the daemon runs."""
        for number in range(1, ITEMS + 1):
            if number not in self.given and not harness.daemon.is_done():
                self.give(harness, number)
                self.pass_time(harness, 1.0)
        self.settle(harness)

    def settle(self, harness: Harness) -> None:
        """Let everything come to its end."""
        self.pass_time(harness, SETTLE)

    def pass_time(self, harness: Harness, seconds: float) -> None:
        if not hasattr(self.partner, "play"):
            harness.advance(seconds)
            return
        for _ in range(MOVES):
            self.partner.play(self, harness)
            harness.advance(seconds / MOVES)

    # --- what came of it ------------------------------------------------------------------------

    def end(self, number: int, outcome: TokenOutcome) -> None:
        if outcome is TokenOutcome.LEFT:
            return
        self.ended[number] = outcome
        if outcome is TokenOutcome.DONE and not self.driver.late and number not in self.numbers():
            self.too_early.append(number)

    def numbers(self) -> list[int]:
        """Return the items that have come out, in order."""
        text = "\n".join(self.taken) if self.driver.held is None else self.driver.held(self)
        return self.numbers_in(text)

    def is_whole(self) -> bool:
        """Return False if a sink has left something half written."""
        text = "" if self.driver.held is None else self.driver.held(self)
        return re.fullmatch(self.driver.whole, text, re.DOTALL) is not None

    def numbers_in(self, text: str) -> list[int]:
        return [int(number) for number in re.findall(self.driver.pattern, text)]

    def missing(self) -> set[int]:
        aside = "" if self.driver.aside is None else self.driver.aside(self)
        return set(self.given) - set(self.numbers()) - set(self.numbers_in(aside))

    def repeated(self) -> list[int]:
        """Return the items that have come out more than once."""
        found = self.numbers()
        return sorted({number for number in found if found.count(number) > 1})


@contextlib.contextmanager
def world_of(name: str, driver: Driver, directory: Path, tracebacks: list[str]) -> Iterator[World]:
    """Make a world; at its end, fail if something is left behind, or was logged as a bug is.

    Args:
        name: The component.
        driver: How it is driven.
        directory: A directory of the disk; it is made.
        tracebacks: What was logged with a traceback, while `noting` notes that.
    """
    before = descriptors(), threading.active_count()
    directory.mkdir()
    tracebacks.clear()
    world = World(name, driver, directory)
    with contextlib.ExitStack() as stack:
        if driver.partner is not None:
            world.partner = stack.enter_context(driver.partner(world))
        yield world
    after = descriptors(), threading.active_count()
    assert tracebacks == [], tracebacks
    assert world.too_early == [], f"done, and nowhere: {world.too_early}"
    assert world.files.open_descriptors() == [], world.files.open_descriptors()
    if "leak" not in driver.not_for:
        grown = [now - then for now, then in zip(after, before, strict=True)]
        assert max(grown) <= 0, f"(descriptors, threads) before: {before}, after: {after}"


@contextlib.contextmanager
def noting() -> Iterator[list[str]]:
    """Note what is logged with a traceback, except for exceptions that are made on purpose."""
    found: list[str] = []

    def note(message: Any) -> None:
        record = message.record
        if record["exception"].type.__name__ not in ON_PURPOSE:
            found.append(f"{record['message']} {record['exception'].value!r}")

    def is_bug(record: Any) -> bool:
        return record["exception"] is not None

    sink = logger.add(note, filter=is_bug, format="", backtrace=False, diagnose=False, catch=False)
    try:
        yield found
    finally:
        logger.remove(sink)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
