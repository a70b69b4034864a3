"""A daemon that uses everything, run under many seeds: prints their traces as JSON."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable
from typing import Any

from loguru import logger

from zenactors import Daemon, Replicas, ZenDaemon, ZenDaemonComponent, handles
from zenactors.components import FileTailer, JsonLinesWriter, Statistics
from zenactors.core import replicas
from zenactors.testing import ClockJump, Crash, Delay, Harness

LOG = "/log/lines.log"
OUT = "/out/records.jsonl"
FAULTS = (
    Crash(event="measure", component="Filter", chance=0.05),
    Crash(event="measure", component="Lookup/2", nth=3, error=LookupError("not there")),
    Delay(component="Lookup/1", nth=2, seconds=0.5),
    ClockJump(point="time", nth=5, seconds=-30.0),
)


class Plain:
    """An object with Python's own repr, which contains its address."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Source(ZenDaemonComponent):
    """Schedule events in every possible way."""

    def setup(self, daemon: Daemon) -> None:
        daemon.io.call_every(2.5, self.tick)
        daemon.io.call_later(self.random.random(), self.tick)

    def tick(self, daemon: Daemon) -> None:
        words = {self.random.choice(["red", "green", "blue", "grey"]) for _ in range(5)}
        daemon.queue.schedule("measure", {"words": words, "at": self.clock.time()})
        daemon.queue.schedule_after(self.random.random(), "measure", Plain(words))
        daemon.queue.schedule_next("note", {"by", "the", "way"})

    @handles("signal_hup")
    def cbk_event_signal_hup(self, daemon: Daemon, args: Any) -> None:
        self.log.info("Hung up at {now}", now=self.clock.monotonic())


class Filter(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__()
        self.words: set[str] = set()

    @handles("measure")
    def cbk_event_measure(self, daemon: Daemon, args: Any) -> Any:
        dice = self.random.random()
        if dice < 0.1:
            raise ValueError(f"do not like {args if isinstance(args, Plain) else 'it'}")
        if dice < 0.2:
            return daemon.FLAG_STOP, args
        if isinstance(args, dict):
            self.words |= args["words"]
            return daemon.FLAG_CONTINUE, {**args, "dice": dice}
        return None

    @handles("note")
    def cbk_event_note(self, daemon: Daemon, args: Any) -> None:
        daemon.queue.schedule_at(self.clock.time() + 1.0, "summary", set(self.words))


class Lookup(ZenDaemonComponent):
    @handles("measure")
    def cbk_event_measure(self, daemon: Daemon, args: Any) -> Any:
        if self.random.random() < 0.3:
            daemon.wait(self.random.random() / 10)
        return daemon.FLAG_CONTINUE, (args, Plain(self.name))


class Sink(ZenDaemonComponent):
    @handles("measure")
    @handles("note")
    @handles("summary")
    def cbk_event_any(self, daemon: Daemon, args: Any) -> None:
        self.inc_statistic(f"saw {type(args).__name__}")

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> Any:
        return daemon.FLAG_CONTINUE, [{"text": line.decode()} for line in args.lines()]


def key_of(args: Any) -> str:
    return "plain" if isinstance(args, Plain) else min(args["words"])


def build() -> ZenDaemon:
    return ZenDaemon(
        name="rich",
        components=[
            Source(),
            FileTailer(patterns=["/log/*.log"], start="beginning"),
            Filter(),
            Replicas(Lookup, 3, key=key_of),
            Sink(),
            Statistics(by=["text"], interval=5.0),
            JsonLinesWriter(path=OUT),
        ],
        schedule=[("measure", {"words": {"red"}, "at": 0.0}), ("note",)],
        schedule_next=[("note", frozenset({"first", "of", "all"}))],
        schedule_after=[(1.0, "summary", {"x": {"y", "z"}})],
        stats_interval=4.0,
        stop_timeout=5.0,
    )


def drive(harness: Harness) -> None:
    assert harness.files is not None
    producer = harness.spawn(lambda: produce(harness), "producer")
    for number in range(3):
        harness.files.append(LOG, f"line {number}\n" * 3)
        harness.queue.schedule("measure", {"words": {"amber", "blue"}, "at": number})
        taken_back = harness.queue.schedule_after(9.0, "note", Plain(number))
        harness.advance(2.0)
        if number == 1:
            taken_back.cancel()
    harness.signal(signal.SIGHUP)
    harness.advance(1.0)
    harness.signal(signal.SIGINT)
    harness.run()
    assert producer.done


def produce(harness: Harness) -> None:
    queue = harness.daemon.queue
    for number in range(8):
        queue.schedule("measure", {"words": {"violet", "grey"}, "number": number, "at": 0})
    queue.schedule_priority("summary", [Plain(1), {"a", "b"}])


def traces(seeds: Iterable[int]) -> dict[str, str]:
    """Return the trace of each seed, with the daemon's statistics and output."""
    found = {}
    for seed in seeds:
        lines: list[str] = []
        harness = Harness(
            build(), seed=seed, files={LOG: "begin\n", OUT: b""}, faults=FAULTS, sink=lines.append
        )
        with harness:
            drive(harness)
        assert harness.files is not None
        lines.append(f"status {harness.status}, {harness.report}")
        lines.append(
            f"{harness.counts()}\n{harness.statistics}\n{len(harness.dead_letters())} dead"
        )
        lines.append(harness.files.content(OUT).decode())
        found[str(seed)] = "\n".join(lines)
    return found


def main(seeds: int) -> None:
    logger.remove()
    sound = traces(range(seeds))
    # Python's own hash of a text, and so the choice of a replica, differs between processes.
    replicas._stable_hash = hash  # type: ignore[assignment]
    json.dump({"sound": sound, "broken": traces(range(3))}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
