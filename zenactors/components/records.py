"""What an event `lines` brings, as a list of records, and how large it is."""

from __future__ import annotations

from typing import Any

from zenactors.components.tail.lines import Lines

_SAMPLES = 64
_RECORD_BYTES = 64  # of memory, besides the values


def records_of(args: Any) -> list[Any]:
    """Return the records of a `lines` event: a list as it is, and each line of `Lines` as a dict.

    Such a dict has `file`, `offset` and `line`; `id` and `generation` if the source knows which
    file it is; and `partial` or `truncated`, which are true, if they apply.

    Raises:
        TypeError: The args are neither.
    """
    if isinstance(args, list):
        return args
    if not isinstance(args, Lines):
        raise TypeError(f"A list or Lines is expected, but got {type(args).__name__}.")
    common: dict[str, Any] = {"file": args.path}
    if args.file_id:
        common |= {"id": args.file_id, "generation": args.generation}
    marks = {"partial": not args.complete, "truncated": args.truncated}
    after = {mark: True for mark, applies in marks.items() if applies}
    return [
        {**common, "offset": offset, "line": text, **after}
        for offset, text in zip(args.offsets(), args.texts(), strict=True)
    ]


def size_of(args: Any) -> int:
    """Estimate how many bytes the args of a `lines` event take: of many records, by some of them.

    Args:
        args: `Lines`, or a list of records.
    """
    if isinstance(args, Lines):
        return len(args.data)
    if not args:
        return 0
    step = len(args) // _SAMPLES + 1
    samples = args[::step]
    total = sum(map(_size_of_one, samples))
    return total * len(args) // len(samples)


def _size_of_one(record: Any) -> int:
    values = record.values() if isinstance(record, dict) else (record,)
    sizes = (len(value) if isinstance(value, str | bytes) else 8 for value in values)
    return _RECORD_BYTES + sum(sizes)
