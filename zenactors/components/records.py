"""What an event `lines` brings, as a list of records."""

from __future__ import annotations

from typing import Any

from zenactors.components.tail.lines import Lines


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
