"""Pass on a part of the records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zenactors.components._options import check_count, check_strings
from zenactors.components.steps._fallible import FallibleStep
from zenactors.components.steps._selection import digest_of

_BITS = 64


class Sample(FallibleStep):
    """Pass on one record in `one_in`: by chance, or all of some keys and none of the others.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. With
    `keys`, a digest of these fields decides. So all records of a user, say, pass or none do, in
    each run and on each machine, and a sample one in 20 is a part of that one in 10.

    Statistics: `records` that came, `passed_on`, and `failed`.

    Promises:
        loss: What is not in the sample is dropped; the difference of the counters says how much.
        duplicates: None of its own. By chance, a record that comes again after a crash may then be
            in the sample; with `keys`, it is in it again or not again.
        order: Records keep their order.
        memory: One event at a time; nothing is kept.
        threads: Works in its own thread.

    Args:
        one_in: Of how many records one passes, on average. 1: all pass.
        keys: The fields that make up the key. Records that lack one of them are dropped. Empty:
            chance decides for each record.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "sample"
        schedule = [["lines", [{ user = "ann" }, { user = "lee" }, { user = "max" }]]]

        [[component]]
        use = "zenactors.components:Sample"
        options = { one_in = 2, keys = ["user"] }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
    """

    def __init__(
        self,
        *,
        one_in: int = 10,
        keys: list[str] | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=event_map)
        self.one_in = check_count("one_in", one_in)
        self.keys = check_strings("keys", keys or [], of="fields", example='["user"]')

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Append the record if it is in the sample."""
        if self.keys:
            digest = digest_of(record, self.keys)
            # As a share of the whole range, so that a smaller sample is a part of a larger one.
            chosen = digest is not None and (
                int.from_bytes(digest[: _BITS // 8]) * self.one_in < 1 << _BITS
            )
        else:
            chosen = self.random.random() * self.one_in < 1.0
        if chosen:
            passed_on.append(record)
