"""Apply a plain function to each record."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from zenactors.components._functions import load_function
from zenactors.components._options import check_count
from zenactors.components.steps._fallible import FallibleStep, OnError
from zenactors.components.steps._selection import Where


class Map(FallibleStep):
    """Replace each record by what a function returns for it.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. The
    function gets a record; of a dict, a copy, so it may change that and return it. Only values
    inside of values must stay as they are. A function that returns None has failed, because a
    `return` is probably missing: `Filter` drops records.

    A record on which the function raises becomes a dead letter, and the others go on.

    Statistics: `records` that came, `passed_on`, and `failed`.

    Promises:
        loss: None. A record on which the function fails is in its dead letter, which a replay
            brings back to this step. With `on_error = "drop"` it is lost, and counted.
        duplicates: None of its own. After a crash, records of events that were not done come again.
        order: Records keep their order.
        memory: One event at a time; nothing is kept.
        threads: The function runs in this component's thread, one record at a time.

    Args:
        function: The function, as `"module:function"` in a file. Modules are found in `--app-dir`.
        args: Further keyword arguments of the function.
        on_error: What becomes of a record on which the function raises. "dead-letter": it alone
            becomes a dead letter, and its source hears that it is done. "drop": it is counted.
            "fail": the whole event becomes a dead letter, and its source hears that it failed.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "map"
        schedule = [["lines", [{ status = 200 }, { status = 404 }]]]

        [[component]]
        use = "zenactors.components:Map"
        options = { function = "builtins:dict", args = { site = "example.org" } }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
    """

    def __init__(
        self,
        *,
        function: str | Callable[..., Any],
        args: dict[str, Any] | None = None,
        on_error: OnError = "dead-letter",
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(on_error=on_error, name=name, event_map=event_map)
        self._function = load_function("function", function, args)

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Append what the function returns."""
        result = self._function(_own_copy(record))
        if result is None:
            raise ValueError("The function returned None: let it return the record.")
        passed_on.append(result)


class FlatMap(FallibleStep):
    """Replace each record by any number of records, which a function returns or yields.

    Takes `lines` events as `Map` does. The function returns a list or another iterable, or is a
    generator. If it raises, nothing of what it yielded before goes on, and its record becomes a
    dead letter.

    Statistics: `records` that came, `passed_on`, and `failed`.

    Promises:
        loss: None. A record on which the function fails is in its dead letter, which a replay
            brings back to this step. With `on_error = "drop"` it is lost, and counted.
        duplicates: None of its own. After a crash, records of events that were not done come again.
        order: Records keep their order; those made of one record follow each other.
        memory: At most `max_results` records for each one of an event; more are a failure.
        threads: The function runs in this component's thread, one record at a time.

    Args:
        function: The function, as `"module:function"` in a file. Modules are found in `--app-dir`.
        args: Further keyword arguments of the function.
        max_results: The most records that may be made of one.
        on_error: What becomes of a record on which the function raises. See `Map`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "flat-map"
        schedule = [["lines", [{ status = 200 }, { status = 404 }]]]

        [[component]]
        use = "zenactors.components:FlatMap"
        options = { function = "itertools:repeat", args = { times = 2 } }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
    """

    def __init__(
        self,
        *,
        function: str | Callable[..., Any],
        args: dict[str, Any] | None = None,
        max_results: int = 10_000,
        on_error: OnError = "dead-letter",
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(on_error=on_error, name=name, event_map=event_map)
        self._function = load_function("function", function, args)
        self.max_results = check_count("max_results", max_results)

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Append what the function returns, one by one."""
        results = self._function(_own_copy(record))
        if not isinstance(results, list):
            if isinstance(results, str | bytes | Mapping):
                raise TypeError(
                    f"The function returned a {type(results).__name__}, not a list of records."
                )
            results = list(itertools.islice(results, self.max_results + 1))
        if len(results) > self.max_results:
            raise ValueError(
                f"The function made more than {self.max_results:,} records of one (max_results)."
            )
        passed_on += results


class Filter(FallibleStep):
    """Pass on only some of the records.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. Give
    `where`, the fields that a record must have, or `function`, which returns true for a record that
    is to go on and must not change it.

    In `where`, each condition is a value that the field must equal; a list of values, of which it
    must have one; or `{ exists = true }` or `{ exists = false }`. All of them must hold. A number
    does not equal its text: `404` is not `"404"`.

    Statistics: `records` that came, `passed_on`, and `failed`.

    Promises:
        loss: Only what the filter refuses is dropped; the difference of the counters says how much.
            A record on which it fails is in its dead letter.
        duplicates: None of its own. After a crash, records of events that were not done come again.
        order: Records keep their order.
        memory: One event at a time; nothing is kept.
        threads: The function runs in this component's thread, one record at a time.

    Args:
        where: The conditions by field. They are for dicts.
        function: The function, as `"module:function"` in a file, instead of `where`.
        args: Further keyword arguments of the function.
        negate: Pass on the other records instead.
        on_error: What becomes of a record that cannot be judged. See `Map`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "filter"
        schedule = [["lines", [{ status = 200 }, { status = 404 }, { status = 500 }]]]

        [[component]]
        use = "zenactors.components:Filter"
        options = { where = { status = [404, 410] } }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
    """

    def __init__(
        self,
        *,
        where: dict[str, Any] | None = None,
        function: str | Callable[..., Any] | None = None,
        args: dict[str, Any] | None = None,
        negate: bool = False,
        on_error: OnError = "dead-letter",
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(on_error=on_error, name=name, event_map=event_map)
        if (where is None) == (function is None):
            raise ValueError(
                "Filter needs where, such as { status = 404 }, or function, and not both."
            )
        if not isinstance(negate, bool):
            raise ValueError(f"negate is {negate!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        if function is not None:
            self._accepts = load_function("function", function, args)
        elif args:
            raise ValueError("args are for function, and this filter has where.")
        else:
            self._accepts = Where("where", where).matches
        self.negate = negate

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Append the record if it is accepted."""
        if bool(self._accepts(record)) is not self.negate:
            passed_on.append(record)


def _own_copy(record: Any) -> Any:
    return dict(record) if isinstance(record, dict) else record
