"""The `[[tests]]` of a file: their keys, and the checks of the names that they mention.

`zenactors.testing` runs them. Thread: main, before any other thread exists.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import pydantic

from zenactors.config.checking import Finding, check_table
from zenactors.config.options import Table
from zenactors.config.places import KeyPath
from zenactors.config.value_types import Text
from zenactors.config.wording import nearest

SEEDS = 20
SECONDS = 60.0

Count = Annotated[int, pydantic.Field(ge=0)]
Duration = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]


def _as_table(value: Any) -> Any:
    """Return a short form of `Content` as a table."""
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return {"lines": value}
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return {"records": value}
    if isinstance(value, dict | Content):
        return value
    raise ValueError("must be a text, a list of lines or of records, or a table")


class Content(Table):
    """What a file must hold, or a stub must have received.

    Attributes:
        text: The whole text.
        lines: The lines, without their ends.
        records: A record for each line, or for each record received. Keys that an expected record
            does not have may have any value.
        contains: Texts that must occur.
        count: The number of lines or records.
        ordered: Whether `lines` and `records` must come in that order.
        repeats: Whether equal lines or records may come several times.
        exists: Whether the file must exist.
    """

    text: str | None = None
    lines: list[str] | None = None
    records: list[dict[str, Any]] | None = None
    contains: list[str] = pydantic.Field(default=[])
    count: Count | None = None
    ordered: bool = True
    repeats: bool = False
    exists: bool = True

    @pydantic.model_validator(mode="after")
    def _check(self) -> Content:
        given = [key for key in ("text", "lines", "records") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[0]!r} and {given[1]!r} are two ways to say it; leave out one")
        if not self.exists and self.model_fields_set != {"exists"}:
            raise ValueError("a file that must not exist has no content; leave out the other keys")
        return self


AnyContent = Annotated[Content, pydantic.BeforeValidator(_as_table)]


class Event(Table):
    """An event that a test schedules.

    Attributes:
        event: Its name.
        args: Its args, as they are.
        lines: Raw lines, as a source schedules them: a text or a list of texts.
    """

    event: Text
    args: Any = None
    lines: str | list[str] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> Event:
        if {"args", "lines"} <= self.model_fields_set:
            raise ValueError("'args' and 'lines' are two ways to give its args; leave out one")
        return self

    def arguments(self) -> Any:
        """Return new args for one event."""
        if self.lines is None:
            return _copied(self.args)
        if isinstance(self.lines, list):
            return [line.encode() for line in self.lines]
        return self.lines.removesuffix("\n").encode().split(b"\n")


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _check_signal(name: str) -> str:
    if name not in signal.Signals.__members__:
        raise ValueError(f"must be the name of a signal{nearest(name, signal.Signals.__members__)}")
    return name


class Step(Table):
    """A moment of a test, and what happens then. It has one action at most.

    Attributes:
        after: Virtual seconds since the step before, or since the start.
        append: Texts by path, added to the ends of files.
        write: Texts by path, as the new contents of files.
        rename: New paths by old ones.
        remove: Paths of files.
        events: Events to schedule.
        signal: The name of a signal to send to the daemon.
        clock: Seconds to set the wall clock forward, or back.
        restart: The way in which the process ends, before it is started again.
    """

    after: Duration = 0.0
    append: dict[str, str] = pydantic.Field(default={})
    write: dict[str, str] = pydantic.Field(default={})
    rename: dict[str, str] = pydantic.Field(default={})
    remove: list[str] = pydantic.Field(default=[])
    events: list[Event] = pydantic.Field(default=[])
    signal: Annotated[str, pydantic.AfterValidator(_check_signal)] = ""
    clock: Annotated[float, pydantic.Field(allow_inf_nan=False)] = 0.0
    restart: Literal["stop", "kill", "power failure"] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> Step:
        actions = sorted(self.model_fields_set - {"after"})
        if len(actions) > 1:
            raise ValueError(
                f"a step has one action, not {' and '.join(map(repr, actions))}; make a step of"
                " each"
            )
        return self


class FaultTable(Table):
    """A fault on purpose; `zenactors.testing.faults` says what each does, and where."""

    fault: Literal[
        "crash", "delay", "clock jump", "kill", "power failure", "short write", "lost sync"
    ]
    point: Text | None = None
    component: Text | None = None
    event: Text | None = None
    nth: int | None = None
    chance: float | None = None
    seconds: float | None = None
    error: Text | None = None


class Expectations(Table):
    """What must be true after a run.

    Attributes:
        files: Contents by path.
        received: What each stub has received.
        statistics: Counters of components; others may have any value.
        dead_letters: The number of dead letters.
        exit_status: The exit status.
        log: Texts that must occur in log messages.
    """

    files: dict[str, AnyContent] = pydantic.Field(default={})
    received: dict[str, AnyContent] = pydantic.Field(default={})
    statistics: dict[str, dict[str, Any]] = pydantic.Field(default={})
    dead_letters: Count | None = None
    exit_status: Count | None = None
    log: list[str] = pydantic.Field(default=[])


class CaseTable(Table):
    """One `[[tests]]` of a file.

    Attributes:
        name: Its name.
        files: The files that exist at the start, by path; a path that ends in / is a directory.
        events: Events that are scheduled at the start.
        steps: What happens later.
        faults: Faults on purpose.
        kills: How many times, at most, the process is killed at a moment that the seed chooses.
        power_failures: The same for power failures.
        stubs: Components that only record what they receive.
        seeds: The number of random seeds.
        seconds: Virtual seconds from the last step to the stop.
        expect: What must be true then.
    """

    name: Text
    files: dict[str, str] = pydantic.Field(default={})
    events: list[Event] = pydantic.Field(default=[])
    steps: list[Step] = pydantic.Field(default=[])
    faults: list[FaultTable] = pydantic.Field(default=[])
    kills: Count = 0
    power_failures: Count = 0
    stubs: list[str] = pydantic.Field(default=[])
    seeds: Annotated[int, pydantic.Field(ge=1)] = SEEDS
    seconds: Duration = SECONDS
    expect: Expectations = Expectations()


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A test of a SPEC.

    Attributes:
        number: Its number in the file, from 1.
        table: Its keys.
        place: Returns the place of a key in it: `x.toml:12`.
    """

    number: int
    table: CaseTable
    place: Callable[[KeyPath], str]


def check_tests(tables: Iterable[Any]) -> tuple[list[CaseTable | None], list[Finding]]:
    """Check tables; return those that are right, or None, and all errors."""
    found: list[CaseTable | None] = []
    findings: list[Finding] = []
    first: dict[str, int] = {}
    for index, table in enumerate(tables):
        if not isinstance(table, Mapping):
            continue  # the check of the whole file reports it
        checked, wrong = check_table(CaseTable, table)
        assert checked is None or isinstance(checked, CaseTable)
        found.append(checked)
        findings += _labelled(index, table.get("name"), wrong)
        if checked is not None:
            before = first.setdefault(checked.name, index)
            if before != index:
                problem = f"key 'name': test {before + 1} has this name, too; give it another"
                findings += _labelled(index, checked.name, [(("name",), problem)])
    return found, findings


def unknown_names(
    index: int, test: CaseTable, components: Collection[str], events: Collection[Any]
) -> list[Finding]:
    """Return an error for each component and event of a test that the file does not have.

    Args:
        index: The test's number in the file, from 0.
        test: The test.
        components: The names of the components.
        events: The events that they handle.
    """
    return _labelled(index, test.name, _unknown_names(test, components, events))


def _unknown_names(
    test: CaseTable, components: Collection[str], events: Collection[Any]
) -> Iterator[Finding]:
    named: list[KeyPath] = [("stubs", number) for number in range(len(test.stubs))]
    named += [("expect", key, name) for key in ("received", "statistics")
              for name in getattr(test.expect, key)]  # fmt: skip
    for path in named:
        name = test.stubs[int(path[1])] if path[0] == "stubs" else str(path[-1])
        if name not in components:
            key = ".".join(map(str, path[:2])) if path[0] == "expect" else "stubs"
            problem = f"key {key!r}: no component is called {name!r}{nearest(name, components)}"
            yield path, problem
        elif path[1] == "received" and name not in test.stubs:
            yield (
                path,
                f"key 'expect.received': {name!r} is no stub, and only stubs record what they"
                f" receive; add it: stubs = [{name!r}]",
            )
    scheduled: list[tuple[KeyPath, Event]] = [
        (("events", number), event) for number, event in enumerate(test.events)
    ]
    for step, each in enumerate(test.steps):
        scheduled += [
            (("steps", step, "events", number), event) for number, event in enumerate(each.events)
        ]
    for path, event in scheduled:
        if event.event not in events:
            handled = [str(each) for each in events]
            problem = f"no component handles event {event.event!r}{nearest(event.event, handled)}"
            yield path, f"key {'.'.join(map(str, path))!r}: {problem}"


def _labelled(index: int, name: Any, findings: Iterable[Finding]) -> list[Finding]:
    label = f"test {index + 1}" + (f" ({name})" if isinstance(name, str) and name else "")
    return [(("tests", index, *where), f"{label}: {problem}") for where, problem in findings]
