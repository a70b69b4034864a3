"""Which records are meant: by the values of their fields, and by a digest of their key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ABSENT: Any = object()
_COMPARED = (str, int, float)  # a tuple, because a union would be made for each record
_DIGEST_BYTES = 16
_encode = json.JSONEncoder(sort_keys=True, default=repr).encode

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
        for field, holds in self._conditions:  # noqa: SIM110 - faster than all()
            if not holds(record.get(field, _ABSENT)):
                return False
        return True


def check_fields(record: Any) -> None:
    """Raise a `TypeError` unless a record is a dict."""
    if type(record) is not dict and not isinstance(record, Mapping):
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
    if not values or not all(isinstance(value, _COMPARED) for value in values):
        raise ValueError(
            f"{option} is {wanted!r}, but a text, a number, true or false is expected, or a list"
            " of them."
        )
    truths = frozenset(value for value in values if isinstance(value, bool))
    others = frozenset(value for value in values if not isinstance(value, bool))

    def holds(value: Any) -> bool:
        if isinstance(value, bool):
            return value in truths
        return isinstance(value, _COMPARED) and value in others

    return holds


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
        # A text alone is the most frequent key. JSON of a list never begins as this does.
        text = f"={values[0]}" if [*map(type, values)] == [str] else _encode(values)
    except RecursionError:
        raise ValueError("The key of a record is nested too deep.") from None
    except TypeError:  # a table with keys of several types, which cannot be sorted
        text = repr(values)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()
