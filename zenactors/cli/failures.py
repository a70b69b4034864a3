"""The report of a simulation's failure: the seed, the place, and what happened before."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

from zenactors.testing import Harness, SimulationFailure
from zenactors.testing._trace.diagram import draw

_PACKAGE = Path(__file__).parents[1]
_STDLIB = sysconfig.get_path("stdlib")
_WIDTHS = (60, 100, 200)  # of a picture: at least, without a terminal, at most
_ASCII = str.maketrans("│┃┇┏┗┠■●─┼╂·→…", "|#:[]!@*-+#.>~")  # for encodings without lines


def explain(failure: SimulationFailure, rows: int) -> Iterator[str]:
    """Yield the reason, its place in the users' code, and the end of what happened.

    Args:
        failure: The failure of a seed.
        rows: The most rows that the picture may have.
    """
    cause = failure.__cause__
    summary = None if failure.death is None else failure.death.summary
    if summary is None and cause is not None:
        summary = traceback.TracebackException.from_exception(cause)
    causes = _users_frames(summary)
    reason = failure.reason
    if type(cause) is AssertionError and not str(cause) and causes:
        reason = f"AssertionError: {causes[-1][1][-1].line}"  # it has no message
    yield f"seed {failure.seed} fails: {reason}"
    for each, frames in causes:
        lines = [*traceback.format_list(frames), *each.format_exception_only()]
        yield from "".join(lines).splitlines()
    yield ""
    if failure.death is None:
        yield failure.harness.situation()
        yield ""
        yield from picture(failure.harness, rows)
        return
    yield f"The last events when it raised:\n{failure.death.events}"
    yield ""
    yield "What happened before (--trace FILE writes all):"
    yield draw(failure.death.entries, rows=rows, width=_width())


def picture(harness: Harness, rows: int) -> Iterator[str]:
    """Yield a picture of the end of a run."""
    yield f"The end of {harness.trace.count:,} things that happened (--trace FILE writes all):"
    yield draw(harness.trace.entries, rows=rows, width=_width())


def fit(text: str) -> str:
    """Return the text in characters that standard output can encode."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _users_frames(
    cause: traceback.TracebackException | None,
) -> list[tuple[traceback.TracebackException, list[traceback.FrameSummary]]]:
    """Return an exception and its causes, the root first, as far as users' code raised them."""
    found: list[tuple[traceback.TracebackException, list[traceback.FrameSummary]]] = []
    while cause is not None:
        frames = [frame for frame in cause.stack if _is_theirs(frame)]
        if frames:
            found.insert(0, (cause, frames))
        context = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or context
    return found


def _is_theirs(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    if path.is_relative_to(_PACKAGE) or frame.filename.startswith("<frozen "):
        return False
    return not path.is_relative_to(_STDLIB) or "site-packages" in path.parts


def _width() -> int:
    least, usual, most = _WIDTHS
    if sys.stdout is None or not sys.stdout.isatty():
        return usual
    return min(max(shutil.get_terminal_size((usual, 24)).columns, least), most)
