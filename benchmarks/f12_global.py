"""F12: a load like a real client's under `ordering="global"`, against pyzenkit's own loop.

Five components share an event. The first reads the next line of a log and schedules the event
again, as pyzenkit's sources do; the others split the line, look up the names of its codes, count,
and format a line to write. Each takes a few microseconds. In the second case the last component
also waits for a millisecond, as on I/O, and lets the interpreter go meanwhile.

With `ordering="global"` one event goes through all five threads before the next one starts, as in
pyzenkit. The floor is a ring of five bare threads that call the same functions: five hand-overs an
event. Each side works for a while, and must have done the same to each line.
"""

from __future__ import annotations

import gc
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import bare_ring, pyzenkit_peer
from benchmarks.common import Options, Row, Target, paired_row, require, rounds
from benchmarks.ours import EVENT
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent

ID = "F12"
SECONDS, QUICK_SECONDS = 2.0, 0.3
WARM_UP = 0.5  # seconds
PAIRS = 5
IO = 0.001  # seconds
TARGET = Target(bound=0.8, at_least=True)
COMPONENTS = 5
CODES = {"200": "ok", "301": "moved", "404": "not found", "500": "server error"}
METHODS = {"GET": "read", "HEAD": "read", "POST": "write", "PUT": "write", "DELETE": "write"}
LINES = [
    f'192.0.2.{number % 200} - - [27/Nov/2026:10:00:{number % 60:02}] "{method} /page/{number}"'
    f" {code} {number * 37 % 5000}"
    for number, (method, code) in enumerate(
        (method, code) for _ in range(10) for method in METHODS for code in CODES
    )
]


class Client:
    """The work of all components: functions from args to args."""

    def __init__(self, io: float) -> None:
        self.io = io
        self.read_lines = 0
        self.by_code: Counter[str] = Counter()
        self.by_path: Counter[tuple[str, str]] = Counter()
        self.size = 0
        self.last: deque[str] = deque(maxlen=100)

    def read(self, _: Any) -> Any:
        line = LINES[self.read_lines % len(LINES)]
        self.read_lines += 1
        return line

    def split(self, line: str) -> dict[str, Any]:
        head, request, tail = line.split('"')
        method, path = request.split()
        code, size = tail.split()
        host = head.partition(" ")[0]
        return {"host": host, "method": method, "path": path, "code": code, "size": int(size)}

    def look_up(self, record: dict[str, Any]) -> dict[str, Any]:
        code, host = record["code"], record["host"]
        found = {"meaning": CODES.get(code, "unknown"), "class": code[0] + "xx"}
        found["kind"] = METHODS.get(record["method"], "unknown")
        found["network"] = host.rpartition(".")[0] + ".0"
        return {**record, **found}

    def count(self, record: dict[str, Any]) -> dict[str, Any]:
        self.by_code[record["code"]] += 1
        self.by_path[record["network"], record["path"]] += 1
        self.by_path[record["class"], record["kind"]] += 1
        self.size += record["size"]
        return record

    def write(self, record: dict[str, Any]) -> dict[str, Any]:
        self.last.append(
            f"{record['network']} {record['kind']} {record['path']}: {record['meaning']},"
            f" {record['size']:,} bytes, {self.size:,} in all\n"
        )
        if self.io:
            time.sleep(self.io)
        return record

    def works(self) -> list[Callable[[Any], Any]]:
        return [self.read, self.split, self.look_up, self.count, self.write]

    def require_all_done(self) -> None:
        counted = self.by_code.total()
        require(counted == self.read_lines > 0, f"{counted:,} of {self.read_lines:,} lines counted")


class Step(ZenDaemonComponent):
    """One of the functions; the first schedules the event again."""

    def __init__(self, work: Callable[[Any], Any], *, first: bool) -> None:
        super().__init__()
        self.work = work
        self.first = first

    @handles(EVENT)
    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        if self.first and not daemon.is_done():
            daemon.queue.schedule(EVENT, None)
        return (daemon.FLAG_CONTINUE, self.work(args))


class PeerStep(pyzenkit_peer.PeerNoop):
    """The same in pyzenkit. The first ends the loop when its time is over."""

    def __init__(self, work: Callable[[Any], Any], *, first: bool, until: float) -> None:
        super().__init__()
        self.work = work
        self.first = first
        self.until = until

    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        if self.first and time.perf_counter() < self.until:
            daemon.queue.schedule(EVENT, None)
        return (daemon.FLAG_CONTINUE, self.work(args))


def run(options: Options) -> Iterator[Row]:
    seconds = QUICK_SECONDS if options.quick else SECONDS
    for case, io in (("no I/O", 0.0), (f"{IO * 1000:g} ms of I/O per event", IO)):
        samples = rounds(
            {
                "ours": lambda io=io: our_rate(io, seconds),  # type: ignore[misc]
                "peer": lambda io=io: pyzenkit_rate(io, seconds),  # type: ignore[misc]
                "floor": lambda io=io: floor_rate(io, seconds),  # type: ignore[misc]
            },
            options.repeats(PAIRS),
        )
        for peer, name, target in (
            ("peer", pyzenkit_peer.PEER, TARGET),
            ("floor", f"{COMPONENTS} bare hand-overs", None),
        ):
            yield paired_row(
                ID,
                f'ordering="global", five components, {case}',
                list(zip(samples["ours"], samples[peer], strict=True)),
                unit="events/s",
                peer_name=name,
                target=target,
                tags={"io": io, "peer": peer},
            )


def our_rate(io: float, seconds: float) -> float:
    """Return events/s."""
    client = Client(io)
    steps = [Step(work, first=number == 0) for number, work in enumerate(client.works())]
    dispatcher = Dispatcher(steps, ordering="global")
    dispatcher.start()
    dispatcher.queue.schedule(EVENT)
    time.sleep(WARM_UP)
    gc.collect()
    before, begin = client.read_lines, time.perf_counter()
    time.sleep(seconds)
    after, elapsed = client.read_lines, time.perf_counter() - begin
    report = dispatcher.stop()
    require(report.drained, f"{report}")
    client.require_all_done()
    return (after - before) / elapsed


def pyzenkit_rate(io: float, seconds: float) -> float:
    """Return events/s of pyzenkit's loop."""
    client = Client(io)
    begin = time.perf_counter()
    steps = [
        PeerStep(work, first=number == 0, until=begin + seconds)
        for number, work in enumerate(client.works())
    ]
    daemon = pyzenkit_peer.PeerDaemon(steps)
    daemon.queue.schedule(EVENT, None)
    daemon.run_loop()
    elapsed = time.perf_counter() - begin
    pyzenkit_peer.finish(daemon)
    client.require_all_done()
    return client.read_lines / elapsed


def floor_rate(io: float, seconds: float) -> float:
    """Return events/s of bare threads with the same functions."""
    client = Client(io)
    rate = bare_ring.rate(client.works(), warm_up=WARM_UP, seconds=seconds)
    client.require_all_done()
    return rate
