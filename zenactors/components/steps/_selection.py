"""Which records are meant: by the values of their fields, and by a digest of their key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ABSENT: Any = object()
_DIGEST_BYTES = 16

WHERE = '{ status = 404, method = ["GET", "HEAD"], user = { exists = true } }'
"""An example, for error texts."""


class Where:
    """The conditions of a table: a record matches if all of them hold.

    A condition is a value, which the field must have; a list of values, of which it must have one;
    or `{ exists = true }` or `{ exists = false }`. A number is not equal to its text, and true is
    not equal to 1. A record without the field does not match, except if that is asked for.

    Args:
        option: The option that the table comes from, for errors.
        table: The conditions by field.

    Raises:
        ValueError: It is no such table.
    """

    def __init__(self, option: str, table: Any) -> None:
        if not isinstance(table, Mapping) or not table:
            raise ValueError(
                f"{option} is {table!r}, but a table of fields is expected, such as {WHERE}."
            )
        self._conditions = [
            (field, _condition(f"{option}.{field}", wanted)) for field, wanted in table.items()
        ]

    def matches(self, record: Any) -> bool:
        """Return True if a record meets all conditions.

        Raises:
            TypeError: It is no dict.
        """
        check_fields(record)
        return all(holds(record.get(field, _ABSENT)) for field, holds in self._conditions)


def check_fields(record: Any) -> None:
    """Raise a `TypeError` unless a record is a dict."""
    if not isinstance(record, Mapping):
        raise TypeError(
            f"A record is a {type(record).__name__}, which has no fields:"
            " put a parser such as JsonParser before this step."
        )


def _condition(option: str, wanted: Any) -> Callable[[Any], bool]:
    if isinstance(wanted, Mapping):
        if list(wanted) != ["exists"] or not isinstance(wanted["exists"], bool):
            raise ValueError(
                f"{option} is {wanted!r}, but a value, a list of values or"
                " { exists = true } is expected."
            )
        exists: bool = wanted["exists"]
        return lambda value: (value is not _ABSENT) is exists
    values = wanted if isinstance(wanted, list | tuple) else [wanted]
    if not values or not all(isinstance(value, str | int | float) for value in values):
        raise ValueError(
            f"{option} is {wanted!r}, but a text, a number, true or false is expected, or a list"
            " of them."
        )
    allowed = {(isinstance(value, bool), value) for value in values}
    return lambda value: (
        isinstance(value, str | int | float) and (isinstance(value, bool), value) in allowed
    )


def digest_of(record: Any, fields: Sequence[str]) -> bytes | None:
    """Return a digest of fixed size of some fields' values; the same in every process.

    Any value that JSON can hold counts, lists and tables too; of other objects, their `repr`.

    Returns:
        None if the record lacks one of the fields.

    Raises:
        TypeError: It is no dict.
        ValueError: A value is nested too deep, or contains itself.
    """
    check_fields(record)
    values = [record.get(field, _ABSENT) for field in fields]
    if any(value is _ABSENT for value in values):
        return None
    try:
        text = json.dumps(values, sort_keys=True, default=repr)
    except RecursionError:
        raise ValueError("The key of a record is nested too deep.") from None
    except TypeError:  # a table with keys of several types, which cannot be sorted
        text = repr(values)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
