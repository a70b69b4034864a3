"""A component that holds lines is made anew: the outputs are cut back, and all comes again.

The invariant: each line is in each output once, whatever restarts when.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain as chain_of
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any, ClassVar

import pytest

from tests.databases import close_left_over
from tests.running import LIMIT
from zenactors import Dispatcher, RestartComponent, Supervision, ZenDaemonComponent, handles
from zenactors.components import (
    AccessLogParser,
    Batcher,
    Deduplicator,
    FileTailer,
    JsonLinesWriter,
    Router,
    SqliteSink,
    WindowedCounter,
)
from zenactors.errors import ProcessDiedError
from zenactors.testing import Harness, VirtualFiles

ANEW = Supervision(on_error="restart", delay=0.1, max_restarts=1_000)
SEEDS = range(10)


class Fragile(ZenDaemonComponent):
    """Is made anew on demand."""

    supervision = ANEW

    @handles("fail")
    def cbk_event_fail(self, daemon: Any, name: str) -> None:
        if name == self.name:
            raise RestartComponent("on purpose")


class Holder(Fragile):
    """Holds each event for a while."""

    seconds = 0.3

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        hold = daemon.hold()
        daemon.io.call_later(self.seconds, lambda _: hold.release())


class Slow(ZenDaemonComponent):
    """Takes a while for each event, in virtual time."""

    seconds = 0.05

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        daemon.wait(self.seconds)


class FragileBatcher(Fragile, Batcher):
    """A batcher that is made anew on demand."""


class FragileDeduplicator(Fragile, Deduplicator):
    """A deduplicator that is made anew on demand."""


class FragileTailer(Fragile, FileTailer):
    """A tailer that is made anew on demand."""


def tailer(patterns: list[str] | None = None, **options: Any) -> FragileTailer:
    patterns = patterns or ["/log/a.log"]
    return FragileTailer(
        patterns=patterns, **{"start": "beginning", "exactly_once": True, "name": "tail", **options}
    )


def batcher(**options: Any) -> FragileBatcher:
    return FragileBatcher(**{"batch_count": 7, "batch_time": 0.2, "name": "batcher", **options})


def writer(path: str = "/out/before", event: str = "lines", **options: Any) -> JsonLinesWriter:
    return JsonLinesWriter(path=path, name=path, event_map={"lines": event}, **options)


def behind(component: type[ZenDaemonComponent], **options: Any) -> ZenDaemonComponent:
    """Return a component that takes the batches."""
    return component(event_map={"lines": "batch"}, **options)


CHAINS: dict[str, Callable[[], list[Any]]] = {
    "before": lambda: [tailer(), writer(), Holder(name="holder")],
    "behind": lambda: [tailer(), Holder(name="holder"), Slow(), writer()],
    "rotated": lambda: [
        tailer(),
        writer(rotate_bytes=300, keep=100),
        Holder(name="holder"),
        writer("/out/too", rotate_bytes=200),
    ],
    "batches": lambda: [tailer(), writer(), batcher(), writer("/out/batches", "batch")],
    "slow batches": lambda: [
        tailer(),
        batcher(),
        behind(Slow),
        writer("/out/batches", "batch"),
        behind(Holder, name="holder"),
    ],
    "routed": lambda: [
        tailer(),
        Router(key="line", to={str(number): "far" for number in range(5, 15)}, otherwise="near"),
        writer("/out/far", "far"),
        writer("/out/near", "near"),
        Holder(name="holder", event_map={"lines": "far"}),
    ],
}


def numbers_in(files: VirtualFiles, path: str) -> list[int]:
    """Return the lines in an output, and in its old files, in order."""
    paths = sorted(each for each in files.paths() if each == path or each.startswith(f"{path}."))
    content = b"".join(map(files.content, paths))
    return sorted(int(json.loads(line)["line"]) for line in content.splitlines())


@pytest.fixture(autouse=True)
def close_databases() -> Iterator[None]:
    """Close those of processes that were killed."""
    yield
    close_left_over()


class World:
    """A log, and a program that follows it."""

    def __init__(self, build: Callable[[], list[Any]], **options: Any) -> None:
        self.build = build
        self.files = VirtualFiles()
        self.files.put("/log/a.log", b"")
        self.files.mkdir("/out")
        self.written = 0
        self.harness = Harness(build(), files=self.files, state_dir="/state", **options)
        self.harness.start()

    def append(self, count: int = 1, path: str = "/log/a.log") -> None:
        for _ in range(count):
            self.harness.files.append(path, b"%d\n" % self.written)
            self.written += 1

    def fail(self, name: str) -> None:
        self.harness.queue.schedule("fail", name)

    def die(self) -> None:
        self.harness.kill()
        self.harness = self.harness.next_life(self.build())
        self.harness.start()

    def end(self) -> None:
        self.harness.advance(30)
        assert {each.event for each in self.harness.unread_dead_letters()} <= {"fail"}
        assert self.harness.daemon.open_tokens()[0] == 0
        self.harness.stop()
        self.files = self.harness.files
        self.harness.close()

    def paths(self) -> list[str]:
        return [each.name for each in self.build() if isinstance(each, JsonLinesWriter)]


def play(world: World, random: Random, *, deaths: bool) -> None:
    """Let lines come, and components fail, at random moments."""
    names = [each.name for each in world.build() if isinstance(each, Fragile)]
    for number in range(6):
        world.append(random.randrange(1, 6))
        world.harness.advance(random.choice([0.0, 0.03, 0.15, 0.4, 1.1]))
        for _ in range(random.randrange(40)):
            world.harness.step()
        if deaths and number == 3:
            world.harness.dead_letters()
            world.die()
        elif number in (1, 4):  # a third time would make dead letters
            world.fail(random.choice(names))


@pytest.mark.parametrize("chain", CHAINS)
def test_each_line_is_there_once_after_restarts_at_random_moments(chain):
    for seed in SEEDS:
        random = Random(f"{chain} {seed}")
        world = World(CHAINS[chain], seed=seed)
        play(world, random, deaths=seed % 3 == 0)
        world.end()
        found = {path: numbers_in(world.files, path) for path in world.paths()}
        if chain == "routed":
            found = {"all": sorted(chain_of.from_iterable(found.values()))}
        wanted = list(range(world.written))
        assert found == dict.fromkeys(found, wanted), f"seed {seed}"


@pytest.mark.parametrize("steps", range(0, 120, 8))
def test_each_line_is_there_once_whichever_step_a_batcher_fails_in(steps):
    world = World(CHAINS["batches"])
    world.append(20)
    for _ in range(steps):
        world.harness.step()
    world.fail("batcher")
    world.append(3)
    world.end()
    assert numbers_in(world.files, "/out/before") == list(range(23))
    assert numbers_in(world.files, "/out/batches") == list(range(23))


def poisonous(number: int) -> type[ZenDaemonComponent]:
    class Poisoned(Holder):
        """Is made anew of one line, a moment after it has come."""

        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> None:
            super().cbk_event_lines(daemon, args)
            if f"{number}" in args.texts():
                daemon.io.call_later(0.1, self.die)

        def die(self, daemon: Any) -> None:
            raise RestartComponent("of poison")

    return Poisoned


def test_lines_of_which_components_die_become_one_dead_letter_and_are_in_no_file():
    world = World(lambda: [tailer(), writer(), poisonous(3)(name="poisoned")])
    for _ in range(6):
        world.append()
        world.harness.advance(0.02)
    world.harness.advance(60)
    (letter,) = [each for each in world.harness.dead_letters() if each.event == "lines"]
    assert letter.args.texts() == ["3"]
    assert "made anew 3 times" in str(letter.cause)
    assert numbers_in(world.files, "/out/before") == [0, 1, 2, 4, 5]
    world.append()
    world.die()  # the dead letter is behind the checkpoint
    world.end()
    assert numbers_in(world.files, "/out/before") == [0, 1, 2, 4, 5, 6]


def test_lines_that_fail_each_time_they_are_left_end_as_dead_letters():
    class Deadly(Holder):
        """Is made anew of whatever comes."""

        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> None:
            super().cbk_event_lines(daemon, args)
            daemon.io.call_later(0.01, self.die)

        def die(self, daemon: Any) -> None:
            raise RestartComponent("of anything")

    world = World(lambda: [tailer(), writer(), Deadly(name="deadly")])
    for _ in range(10):
        world.append()
        world.harness.advance(0.02)
    world.harness.advance(300)
    assert numbers_in(world.files, "/out/before") == []
    letters = world.harness.dead_letters()
    texts = [text for each in letters for text in each.args.texts()]
    assert sorted(texts) == [str(number) for number in range(10)]
    world.end()


def test_lines_of_a_file_that_is_gone_come_again():
    world = World(lambda: [tailer(["/log/*"]), writer(), Holder(name="holder")])
    world.harness.advance(3)
    world.append(3)
    world.harness.files.put("/log/b.log", b"")
    world.harness.advance(0.01)
    world.append(3, "/log/b.log")
    world.harness.advance(0.05)
    world.harness.files.remove("/log/a.log")
    world.harness.files.truncate("/log/b.log")
    world.fail("holder")
    world.end()
    assert numbers_in(world.files, "/out/before") == list(range(6))


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.05, 0.15, 0.35, 0.5])
def test_a_stop_at_any_moment_of_going_back_leaves_each_line_once(moment):
    world = World(CHAINS["before"])
    world.append(3)
    world.harness.advance(3)
    world.append(3)
    world.harness.advance(0.02)
    world.fail("holder")
    world.harness.advance(moment)
    world.harness.stop()
    world.harness.dead_letters()
    world.harness.close()
    world.harness = Harness(world.build(), files=world.files, state_dir="/state")
    world.harness.start()
    world.end()
    assert numbers_in(world.files, "/out/before") == list(range(6))


def test_a_daemon_that_exits_when_idle_ends_behind_all_lines():
    world = World(CHAINS["slow batches"], exit_when_idle=True)
    world.append(30)
    world.harness.advance(0.1)
    world.fail("batcher")
    world.harness.run(60)
    assert world.harness.now < 10
    world.harness.stop()
    world.harness.dead_letters()
    world.harness.close()
    assert numbers_in(world.files, "/out/batches") == list(range(30))


class FragileCounter(Fragile, WindowedCounter):
    """A counter that is made anew on demand."""


class FragileSqlite(Fragile, SqliteSink):
    """A sink for a table that is made anew on demand."""


class Table(ZenDaemonComponent):
    """Keeps the rows of each window as a table with a key does."""

    @handles("counts")
    def cbk_event_counts(self, daemon: Any, rows: Any) -> None:
        self.table |= {row["status"]: row["count"] for row in rows}

    def __init__(self, table: dict[str, int]) -> None:
        super().__init__()
        self.table = table


def query(path: Path, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(statement).fetchall()


LINE = '1.2.3.4 - - [01/Jan/2024:10:00:00 +0000] "GET /{} HTTP/1.0" {} 10\n'


@pytest.mark.parametrize("seed", range(12))
def test_files_tables_and_counts_have_each_line_once_in_one_chain(tmp_path, seed):
    table: dict[str, int] = {}
    database = tmp_path / "x.db"

    def build() -> list[Any]:
        return [
            tailer(),
            AccessLogParser(),
            writer(),
            FragileCounter(
                by=["status"], size=60.0, time="time", threshold=3, updates=0.5, name="counter"
            ),
            FragileSqlite(path=str(database), synchronous="normal", name="sqlite"),
            Holder(name="holder"),
            writer("/out/alarms", "alarm"),
            Holder(name="alarms", event_map={"lines": "alarm"}),
            Table(table),
        ]

    random = Random(seed)
    world = World(build, seed=seed)
    names = [each.name for each in build() if isinstance(each, Fragile)]
    wanted: Counter[str] = Counter()
    for number in range(6):
        for _ in range(random.randrange(1, 4)):
            status = random.choice(["200", "404", "500"])
            wanted[status] += 1
            line = LINE.format(world.written, status)
            world.harness.files.append("/log/a.log", line.encode())
            world.written += 1
        world.harness.advance(random.choice([0.0, 0.03, 0.15, 0.4, 1.1]))
        for _ in range(random.randrange(60)):
            world.harness.step()
        if number == 3 and seed % 3 == 0:
            world.harness.dead_letters()
            world.die()
        elif number in (1, 4):
            world.fail(random.choice(names))
    world.end()
    numbers = list(range(world.written))
    before = [json.loads(line) for line in world.files.content("/out/before").splitlines()]
    assert sorted(int(each["path"][1:]) for each in before) == numbers
    rows = query(database, "SELECT path FROM records")
    assert sorted(int(path[1:]) for (path,) in rows) == numbers
    assert table == wanted
    alarms = [json.loads(line) for line in world.files.content("/out/alarms").splitlines()]
    reached = {status: 1 for status, count in wanted.items() if count >= 3}
    found = Counter(each["status"] for each in alarms)
    # What a crash has left of alarms comes again by itself, and no source goes back for it.
    assert (found.keys() == reached.keys()) if seed % 3 == 0 else (found == reached)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("remember", [True, False])
def test_a_record_that_is_cut_off_is_no_duplicate_when_it_comes_again(seed, remember):
    def build() -> list[Any]:
        return [
            tailer(),
            FragileDeduplicator(keys=["line"], remember=remember, save_interval=0.2, name="once"),
            writer("/out/unique", "unique"),
            Holder(name="holder", event_map={"lines": "unique"}),
        ]

    random = Random(seed)
    world = World(build, seed=seed)
    play(world, random, deaths=seed % 2 == 0)
    world.end()
    assert numbers_in(world.files, "/out/unique") == list(range(world.written))


class Keeping(Holder):
    """Holds lines until it is told to let go."""

    def setup(self, daemon: Any) -> None:
        self.holds: list[Any] = []

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        self.holds.append(daemon.hold())

    @handles("let go")
    def cbk_event_let_go(self, daemon: Any, args: Any) -> None:
        for hold in self.holds:
            hold.release()


def test_a_checkpoint_comes_before_too_many_lines_are_kept(monkeypatch):
    monkeypatch.setattr("zenactors.components.tail.sent_lines.MOST_BYTES", 10_000)
    world = World(lambda: [tailer(), writer(), Keeping(name="keeping")])
    world.harness.advance(3)
    for _ in range(30):
        world.append(10)
        world.harness.advance(0.01)
    # Each event counts as 1,000 bytes more than it has: no further ones are handed over.
    assert len(world.harness.component("keeping").holds) == 10
    world.harness.queue.schedule("let go")
    world.harness.advance(0.05)
    assert len(world.harness.component("keeping").holds) > 10
    for _ in range(9):
        world.harness.queue.schedule("let go")
        world.harness.advance(2)
    world.end()
    assert numbers_in(world.files, "/out/before") == list(range(300))


class FailingCheckpoints(ZenDaemonComponent):
    """Fails at each checkpoint but the first few."""

    succeed = 1

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon: Any, args: Any) -> None:
        self.succeed -= 1
        if self.succeed < 0:
            raise ValueError("on purpose")


def test_without_a_checkpoint_for_long_the_tailer_is_made_anew_to_go_back(monkeypatch):
    monkeypatch.setattr("zenactors.components.tail.sent_lines.MOST_BYTES", 10_000)
    monkeypatch.setattr("zenactors.components.tail.sent_lines._TOO_MANY", 20_000)
    world = World(lambda: [tailer(), writer(), FailingCheckpoints(), Holder(name="holder")])
    for _ in range(100):
        world.append()
        world.harness.advance(0.1)
    world.harness.component("FailingCheckpoints").succeed = 1_000
    world.append(5)
    world.harness.advance(0.05)
    world.fail("holder")
    world.harness.advance(0.5)
    assert any("Component 'tail' works again" in each.message for each in world.harness.logs)
    world.harness.advance(30)
    assert numbers_in(world.files, "/out/before") == list(range(105))
    world.harness.dead_letters()
    world.end()


def test_what_is_under_way_for_ever_is_not_waited_for():
    class Stranger(ZenDaemonComponent):
        @handles("start")
        def cbk_event_start(self, daemon: Any, args: Any) -> None:
            daemon.queue.schedule("strange", on_done=bool)

        @handles("strange")
        def cbk_event_strange(self, daemon: Any, args: Any) -> None:
            daemon.hold()

    world = World(lambda: [Stranger(), tailer(), writer(), Holder(name="holder")])
    world.append(3)
    world.harness.advance(0.05)
    world.fail("holder")
    world.harness.advance(9)
    assert numbers_in(world.files, "/out/before") == [0, 1, 2]
    world.harness.advance(5)
    world.append()
    world.harness.advance(5)
    (warning,) = [each.message for each in world.harness.logs if "are there twice" in each.message]
    assert warning.startswith("Events have been under way for 10 s.")
    world.harness.dead_letters()
    world.harness.stop()
    world.harness.close()
    assert numbers_in(world.files, "/out/before") == [0, 1, 2, 3]


def test_a_line_of_which_processes_died_is_not_handed_over_again():
    handed: list[str] = []

    class Noting(Holder):
        """Notes what is handed over."""

        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> None:
            handed.extend(args.texts())
            super().cbk_event_lines(daemon, args)

    world = World(lambda: [tailer(), writer(), Noting(name="holder")])
    world.append()
    for _ in range(4):
        world.harness.advance(0.05)
        world.die()
    world.append()
    world.harness.advance(0.05)
    (letter,) = world.harness.dead_letters()
    assert isinstance(letter.cause, ProcessDiedError)
    handed.clear()
    world.fail("holder")
    world.append()
    world.end()
    assert handed == ["1", "2"]
    assert numbers_in(world.files, "/out/before") == [1, 2]


# --- in real time ---------------------------------------------------------------------------------


LINES = 5_000


class Unlucky(ZenDaemonComponent):
    """Is made anew a moment after some events have come."""

    supervision = Supervision(on_error="restart", delay=0.001, max_restarts=1_000)
    left: ClassVar[dict[str, int]] = {}

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> Any:
        self.left[self.name] -= 1
        if self.left[self.name] == 0:
            daemon.io.call_later(0.001, self.die)
        if isinstance(self, Batcher):
            return Batcher.cbk_event_lines(self, daemon, args)
        hold = daemon.hold()
        daemon.io.call_later(0.002, lambda _: hold.release())
        return None

    def die(self, daemon: Any) -> None:
        raise RestartComponent("on purpose")


class UnluckyBatcher(Unlucky, Batcher):
    """A batcher that is made anew a moment after some events have come."""


@pytest.mark.parametrize("moment", [1, 2])
def test_each_line_is_there_once_in_real_time(tmp_path, moment):
    text = "".join(f"{number} {'x' * 100}\n" for number in range(LINES))
    (tmp_path / "in.log").write_text(text)
    Unlucky.left |= {"batcher": moment, "holder": 2 * moment}
    before, behind = tmp_path / "before", tmp_path / "behind"
    components = [
        tailer([str(tmp_path / "in.log")]),
        writer(str(before), rotate_bytes=300_000),
        Unlucky(name="holder"),
        UnluckyBatcher(name="batcher", batch_count=1_000),
        writer(str(behind), "batch"),
    ]
    state = str(tmp_path / "state")
    with Dispatcher(components, state_dir=state, exit_when_idle=True) as dispatcher:
        dispatcher.wait_for_end(LIMIT)
    assert dispatcher.readiness() == []
    for path in (before, behind):
        lines = [
            int(json.loads(line)["line"].split()[0])
            for each in tmp_path.glob(f"{path.name}*")
            for line in each.read_text().splitlines()
        ]
        assert sorted(lines) == list(range(LINES))


def test_lines_of_a_pipe_come_again_too(tmp_path):
    pipe, out = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(pipe)
    came: SimpleQueue[Any] = SimpleQueue()

    class Telling(Keeping):
        """Tells what has come."""

        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> None:
            super().cbk_event_lines(daemon, args)
            came.put(args.texts())

    components = [tailer([str(pipe)]), writer(str(out)), Telling(name="keeping")]
    with Dispatcher(components, state_dir=str(tmp_path / "state")) as dispatcher:
        with pipe.open("w") as file:
            file.write("one\ntwo\n")
        assert came.get(timeout=LIMIT) == ["one", "two"]
        dispatcher.queue.schedule("fail", "keeping")
        assert came.get(timeout=LIMIT) == ["one", "two"]
        dispatcher.queue.schedule("let go")
    assert [json.loads(line)["line"] for line in out.read_text().splitlines()] == ["one", "two"]
