"""Send records to the events that are meant for them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from zenactors.components._functions import load_function
from zenactors.components._options import check_strings
from zenactors.components.steps._fallible import FallibleStep, OnError
from zenactors.components.steps._selection import Where, check_fields
from zenactors.core.daemon_api import Daemon
from zenactors.core.tokens import TokenOutcome

PASS = "pass"  # noqa: S105 - a choice, no password
DROP = "drop"
_ROUTE = '{ where = { status = 404 }, to = "missing" }'
_ONE_OF = "Router needs one of routes, key or function, or an event in otherwise"


class Router(FallibleStep):
    """Send each record to one of several events, by its fields.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. The
    event of a record is chosen in one of three ways: by `routes`, whose first one that matches
    counts; by `key`, a field whose value has an event in `to`; or by `function`, which returns one
    of `events`, or None. `otherwise` says what becomes of the rest; alone, of all records, so that
    several chains are led into one.

    The records of one event that go to the same event are one event there: a list, in their order.
    It is part of the event that came, whose source hears of the end after it. Components behind
    this one that handle `lines` get what is passed on; the others handle `missing`, say, by
    `events = { lines = "missing" }`.

    Statistics: `records` that came, `passed_on`, `routed`, `dropped`, and `failed`.

    Promises:
        loss: None, except by `otherwise = "drop"`, which is counted. A record on which the function
            fails is in its dead letter. Events that were sent count as part of the one that came.
        duplicates: None of its own. After a crash, records of events that were not done come again.
        order: Records that go to one event keep their order. Those of different events have none.
        memory: At most one event per event that came and per target. Nothing is kept.
        threads: The function runs in this component's thread, one record at a time.

    Args:
        routes: A list of tables, each with `where`, as `Filter` takes it, and `to`, an event.
        key: The field whose value chooses the event. For dicts.
        to: The event for each value of that field, as text: `{ "404" = "missing" }`.
        function: The function, as `"module:function"` in a file. It gets a record, which it must
            not change.
        args: Further keyword arguments of the function.
        events: All events that the function may return.
        otherwise: What becomes of a record that no event is chosen for. "pass": it goes on in the
            chain. "drop": it is counted. Another text: the event it is sent to.
        on_error: What becomes of a record that cannot be judged. See `Map`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "router"
        schedule = [["lines", [{ status = 200 }, { status = 404 }]]]

        [[component]]
        use = "zenactors.components:Router"
        options = { routes = [{ where = { status = 404 }, to = "missing" }] }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "good.jsonl" }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        name = "missing"
        options = { path = "-" }
        events = { lines = "missing" }
    """

    def __init__(
        self,
        *,
        routes: list[dict[str, Any]] | None = None,
        key: str | None = None,
        to: dict[str, str] | None = None,
        function: str | Callable[..., Any] | None = None,
        args: dict[str, Any] | None = None,
        events: list[str] | None = None,
        otherwise: str = PASS,
        on_error: OnError = "dead-letter",
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(on_error=on_error, name=name, event_map=event_map)
        ways = sum(way is not None for way in (routes, key, function))
        if ways > 1 or (ways == 0 and otherwise in (PASS, DROP)):
            raise ValueError(f"{_ONE_OF}, and not several: routes = [{_ROUTE}].")
        if (key is None and to is not None) or (function is None and (args or events)):
            raise ValueError(f"{_ONE_OF}: to belongs to key; args and events to function.")
        self._choose: Callable[[Any], str | None]
        if routes is not None:
            self._choose, targets = _by_routes(routes)
        elif key is not None:
            self._choose, targets = _by_key(key, to)
        elif function is None:
            self._choose, targets = _by_nothing, []
        else:
            targets = check_strings("events", events or [], of="events", example='["missing"]')
            self._choose = _by_function(load_function("function", function, args), targets)
        self.otherwise = check_strings("otherwise", [otherwise], of="texts", example='"drop"')[0]
        for word in (PASS, DROP):
            if word in targets:
                raise ValueError(
                    f"Router sends records to {word!r}, a word of otherwise: give the event another"
                    " name here, and rename it by event_map ([component.events] in a file)."
                )
        if self.otherwise not in (PASS, DROP):
            targets = [*targets, self.otherwise]
        own = self.event("lines")
        if own in map(self.event, targets):
            raise ValueError(
                f"Router sends records to {own!r}, from where they would come again:"
                ' choose another event, or otherwise = "pass".'
            )
        self.emits = tuple(dict.fromkeys(targets))
        self._routed: dict[Hashable, list[Any]] = {}

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        """Send the records to their events; return those that go on here."""
        self._routed = {}
        passed_on = super().apply(daemon, records)
        routed, self._routed = self._routed, {}
        for name, chosen in routed.items():
            self._send(daemon, name, chosen)
            self.inc_statistic("routed", len(chosen))
        return passed_on

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Add the record to those of its event."""
        event = self._choose(record) or self.otherwise
        if event == DROP:
            self.inc_statistic("dropped")
        elif event == PASS:
            passed_on.append(record)
        else:
            # One event of each name: to sinks that leave out what they have, a second one is it.
            self._routed.setdefault(self.event(event), []).append(record)

    def _send(self, daemon: Daemon, name: Hashable, records: list[Any]) -> None:
        hold = daemon.hold()
        origin = hold.origin
        hold.release()  # what is scheduled here counts as part of the event anyway
        if origin is None:
            daemon.queue.schedule(name, records)
        else:  # so that a sink knows them again after a crash
            position = origin.through(self.name, name)
            daemon.queue.schedule(name, records, on_done=_ignore, position=position)


def _ignore(_outcome: TokenOutcome) -> None:
    """Do nothing: the source of the event that came hears of the end."""


_Choice = Callable[[Any], str | None]


def _by_nothing(_record: Any) -> None:
    """Choose no event."""


def _by_routes(routes: Any) -> tuple[_Choice, list[str]]:
    if not isinstance(routes, list | tuple) or not routes:
        raise ValueError(f"routes is {routes!r}, but a list is expected, such as [{_ROUTE}].")
    ways: list[tuple[Where, str]] = []
    for number, route in enumerate(routes):
        option = f"routes[{number}]"
        if not isinstance(route, Mapping) or {*route} != {"where", "to"}:
            raise ValueError(f"{option} is {route!r}, but where and to are expected: {_ROUTE}.")
        ways.append((Where(f"{option}.where", route["where"]), _event(f"{option}.to", route["to"])))

    def choose(record: Any) -> str | None:
        return next((event for where, event in ways if where.matches(record)), None)

    return choose, [event for _, event in ways]


def _by_key(key: Any, to: Any) -> tuple[_Choice, list[str]]:
    if not isinstance(key, str) or not key:
        raise ValueError(f"key is {key!r}, but the name of a field is expected.")
    if not isinstance(to, Mapping) or not to:
        raise ValueError(
            f"to is {to!r}, but a table with the event of each value of {key!r} is expected, such"
            ' as { "404" = "missing" }.'
        )
    events = {str(value): _event(f"to.{value}", event) for value, event in to.items()}

    def choose(record: Any) -> str | None:
        check_fields(record)
        value = record.get(key)
        if isinstance(value, bool):
            return events.get("true" if value else "false")
        return events.get(str(value)) if isinstance(value, str | int | float) else None

    return choose, list(events.values())


def _by_function(function: Callable[[Any], Any], events: list[str]) -> _Choice:
    if not events:
        raise ValueError('events is empty, but function chooses one of them: events = ["missing"].')

    def choose(record: Any) -> str | None:
        event: Any = function(record)
        if event is not None and event not in events:
            raise ValueError(f"The function returned {event!r:.200}, which is none of events.")
        return event  # type: ignore[no-any-return]

    return choose


def _event(option: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{option} is {value!r}, but the name of an event is expected.")
    return value
