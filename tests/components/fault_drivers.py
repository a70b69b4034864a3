"""The table of `test_faults.py`: how each stock component is driven."""

from __future__ import annotations

import json
from typing import Any

from tests.components import fault_partners as partners
from tests.components.fault_world import ITEMS, Driver, World
from zenactors import components as stock

JSON_LINES = r'(\{"id":"item-\d+","kind":"good"\}\n)*'
LINES = r"(item-\d+\n)*"


def content(path: str) -> Any:
    def held(world: World) -> str:
        if not world.files.lexists(path):
            return ""
        return world.files.content(path).decode()

    return held


def contents(directory: str) -> Any:
    def held(world: World) -> str:
        if not world.files.lexists(directory):
            return ""
        names = [name for name in world.files.entries(directory) if not name.startswith(".")]
        return "".join(world.files.content(f"{directory}/{name}").decode() for name in names)

    return held


def line(text: str) -> Any:
    """Return an item that is one line of text, with its number for `%d`."""
    return lambda number: [(text % number).encode()]


def step(cls: Any, taken: str = "lines", **options: Any) -> Driver:
    return Driver(build=lambda _: cls(**options), taken=taken)


def parser(cls: Any, text: str, **options: Any) -> Driver:
    return Driver(build=lambda _: cls(rejects="rejects.txt", **options), item=line(text))


def source(build: Any, feed: Any = None, **options: Any) -> Driver:
    """Return the driver of a source; without `feed`, its items come by themselves."""
    return Driver(build=build, feed=feed or (lambda *_: None), item=None, **options)


def put_into_queue(world: World, _: Any, number: int) -> None:
    world.files.put(f"q/incoming/{number}.txt", f"item-{number}\n")


SERVER_ENDS_LATER = {"leak": "The threads of the test's own server end some time after a request."}
NO_POWER = {"power failure": "It uses no virtual files, and the power of a real disk cannot fail."}
REAL_THINGS = {
    "kill": "Its real descriptors would outlive the simulated process.",
    "power failure": "Its real descriptors would outlive the simulated process.",
}

DRIVERS: dict[str, Driver] = {
    # --- sources
    "DirectoryQueue": source(
        lambda _: stock.DirectoryQueue(path="q"),
        put_into_queue,
        files={"q/incoming/": ""},
        aside=contents("q/errors"),
    ),
    "DirectoryWatcher": source(
        lambda _: stock.DirectoryWatcher(patterns=["in/*"], settle=1.0),
        lambda world, _, number: world.files.put(f"in/item-{number}", "x"),
        files={"in/": ""},
        pattern=r"'path': 'in/item-(\d+)",
    ),
    "FileTailer": source(
        lambda _: stock.FileTailer(patterns=["in.log"], start="beginning"),
        lambda world, _, number: world.files.append("in.log", f"item-{number}\n"),
        files={"in.log": ""},
    ),
    "Generate": source(
        lambda _: stock.Generate(kind="records", count=ITEMS, rate=1.0, batch=1),
        pattern=r"'number': (\d+)",
    ),
    "HttpListener": source(
        lambda _: stock.HttpListener(listen=["http://127.0.0.1:0"]),
        lambda world, _, number: world.partner.unanswered.append(number),
        partner=partners.HttpClients,
        not_for=REAL_THINGS,
        comes_again=True,
    ),
    "HttpPoller": source(
        lambda world: stock.HttpPoller(url=world.partner.url, interval=5.0),
        lambda world, _, number: partners.show(world),
        partner=partners.server,
        not_for=SERVER_ENDS_LATER | REAL_THINGS,
        comes_again=True,
    ),
    "LineListener": source(
        lambda _: stock.LineListener(listen=["tcp://127.0.0.1:0"]),
        partners.send_line,
        not_for=REAL_THINGS,
        acknowledges=False,
    ),
    "Stdin": source(
        lambda _: stock.Stdin(),
        lambda world, _, number: world.partner.write(b"item-%d\n" % number),
        partner=partners.standard_input,
        not_for={**REAL_THINGS, "files": "It reads a descriptor, and no file by its name."},
        on_disk=True,
        acknowledges=False,
    ),
    "SubprocessSource": source(
        lambda _: stock.SubprocessSource(command=["prog"], stop_grace=0.01),
        lambda world, _, number: world.partner.last.prints(b"item-%d\n" % number),
        partner=partners.Programs,
        not_for=REAL_THINGS,
        acknowledges=False,
    ),
    "Ticker": source(
        lambda _: stock.Ticker(interval=1.0, count=ITEMS, catch_up="all", overlap=True),
        taken="tick",
        repeats=True,  # a new object counts its ticks anew
        pattern=r"'number': (\d+)",
    ),
    # --- parsers
    "AccessLogParser": parser(
        stock.AccessLogParser,
        '192.0.2.1 - - [10/Oct/2025:13:55:36 +0000] "GET /item-%d HTTP/1.1" 200 1',
    ),
    "CsvParser": parser(stock.CsvParser, "item-%d,x", columns=["id", "kind"]),
    "JsonParser": parser(stock.JsonParser, '{"id": "item-%d"}'),
    "LogfmtParser": parser(stock.LogfmtParser, "id=item-%d"),
    "Parse": parser(stock.Parse, '{"id": "item-%d"}', format="json"),
    "RegexParser": parser(stock.RegexParser, "item-%d x", pattern="(?P<id>\\S+) x"),
    "SyslogParser": parser(stock.SyslogParser, "<13>Oct  3 22:14:15 web a[7]: item-%d"),
    # --- steps
    "Batcher": step(stock.Batcher, "batch", batch_count=2, batch_time=3.0),
    "Deduplicator": step(stock.Deduplicator, "unique", keys=["id"], remember=True),
    "Enrich": Driver(
        build=lambda _: stock.Enrich(path="kinds.csv", key="kind"),
        files={"kinds.csv": "kind,price\ngood,7\n"},
    ),
    "Filter": step(stock.Filter, where={"kind": "good"}),
    "FlatMap": step(stock.FlatMap, function=lambda each: [each]),
    "Map": step(stock.Map, function=dict),
    "RateLimiter": step(stock.RateLimiter, limit=1_000),
    "Redact": step(stock.Redact),
    "Router": step(stock.Router, "routed", key="kind", to={"good": "routed"}),
    "Sample": step(stock.Sample, one_in=1),
    "Statistics": step(stock.Statistics, by=["kind"]),
    "Validate": Driver(
        build=lambda _: stock.Validate(json_schema="schema.json"),
        files={"schema.json": json.dumps({"required": ["id"]})},
    ),
    "WindowedCounter": Driver(
        build=lambda _: stock.WindowedCounter(by=["id"], size=10.0, lateness=1.0),
        taken="counts",
        late=True,
    ),
    "SubprocessFilter": Driver(
        build=lambda _: stock.SubprocessFilter(command=["prog"], stop_grace=0.01),
        taken="filtered",
        partner=partners.Echoes,
        not_for=REAL_THINGS,
    ),
    # --- sinks
    "BlackHole": Driver(
        build=lambda _: stock.BlackHole(),
        taken="",
        held=lambda world: " ".join(f"item-{number}" for number in world.given),
        comes_again=True,
    ),
    "HttpSink": Driver(
        build=lambda world: stock.HttpSink(url=world.partner.url),
        taken="",
        held=lambda world: " ".join(str(each.body) for each in world.partner.requests),
        partner=partners.server,
        not_for=SERVER_ENDS_LATER | REAL_THINGS,
    ),
    "SocketSink": Driver(
        build=lambda world: stock.SocketSink(address=world.partner.address),
        taken="",
        held=lambda world: world.partner.received().decode(),
        partner=partners.Peer,
        not_for=REAL_THINGS,
    ),
    "SqliteSink": Driver(
        build=lambda world: stock.SqliteSink(path=str(world.directory / "out.db")),
        taken="",
        held=partners.rows,
        not_for=NO_POWER,
    ),
    "SubprocessSink": Driver(
        build=lambda _: stock.SubprocessSink(command=["prog"], stop_grace=0.01),
        taken="",
        held=lambda world: world.partner.read().decode(),
        partner=partners.Programs,
        not_for=REAL_THINGS,
    ),
    "DirectoryQueueWriter": Driver(
        build=lambda _: stock.DirectoryQueueWriter(path="q"),
        taken="",
        held=contents("q/incoming"),
        whole=JSON_LINES,
    ),
    "Fallback": Driver(
        build=lambda _: stock.Fallback(
            first=stock.JsonLinesWriter(path="first.jsonl", fsync="always"),
            second=stock.JsonLinesWriter(path="second.jsonl", fsync="always"),
        ),
        taken="",
        held=lambda world: content("first.jsonl")(world) + content("second.jsonl")(world),
        whole=JSON_LINES,
    ),
    "JsonLinesWriter": Driver(
        build=lambda _: stock.JsonLinesWriter(path="out.jsonl", fsync="always"),
        taken="",
        held=content("out.jsonl"),
        whole=JSON_LINES,
    ),
    "LineWriter": Driver(
        build=lambda _: stock.LineWriter(path="out.txt", fsync="always"),
        item=line("item-%d"),
        taken="",
        held=content("out.txt"),
        whole=LINES,
    ),
    "RawWriter": Driver(
        build=lambda _: stock.RawWriter(path="out.txt"),
        item=lambda number: stock.Lines("in.log", 100 * number, b"item-%d\n" % number),
        taken="",
        held=content("out.txt"),
        whole=LINES,
        not_for={"power failure": "It syncs nothing, and promises only to survive a kill."},
    ),
}
