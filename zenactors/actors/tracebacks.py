"""Log exceptions without the values of variables, with tracebacks that begin at users' code.

loguru's default sink shows the values of variables in a traceback (`diagnose`), and so secrets. An
application removes that sink. Without one, in a script or a test that uses only a `Dispatcher` or a
harness, it is there: then the sinks get a stand-in of the exception, without frames, whose note is
the traceback as text. Otherwise they get the exception itself, and their owners decide what they
show of it.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors.core.dead_letters import is_own, users_part
from zenactors.core.text import harmless

if TYPE_CHECKING:
    from loguru import Logger

DEFAULT_SINK = 0  # the number of loguru's own sink, to standard error, by its documentation
_FALSE = ("0", "false", "no", "n", "off", "nok")  # in loguru's variables of the environment

_COMPONENTS = ("zenactors.components", "zenactors.demo")


def log_failure(
    log: Logger,
    level: str,
    message: str,
    cause: BaseException | None,
    /,
    *args: Any,
    depth: int = 0,
    **fields: Any,
) -> None:
    """Log a message, and an exception's traceback if there is one.

    Args:
        log: loguru's logger, perhaps bound to a component.
        level: The level's name.
        message: As for loguru.
        cause: The exception.
        depth: How many callers of the caller do not count as the line's origin.
        args: The values of its fields without a name.
        fields: The values of the message's fields.

    Thread: any.
    """
    shown: Any = cause
    if cause is not None and has_default_sink():
        stand_in = _stand_in(cause)
        shown = (type(stand_in), stand_in, None)
    log.opt(depth=1 + depth, exception=shown).log(level, message, *args, **fields)


class StandIn(Exception):  # noqa: N818 - it has the name of the exception that it stands for
    """An exception without frames, for sinks that would show the values of their variables.

    Attributes:
        original: The exception that it stands for.
    """

    original: BaseException


def _stand_in(cause: BaseException) -> StandIn:
    kind = type(cause)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    try:
        text = harmless(str(cause))
    except Exception as problem:
        text = f"<its text raises {type(problem).__name__}>"
    found: StandIn = type(kind.__name__, (StandIn,), names)(text)
    found.original = cause
    found.add_note(harmless(traceback_text(cause, cause.__traceback__)).rstrip("\n"))
    return found


def traceback_text(cause: BaseException, found: TracebackType | None) -> str:
    """Return a traceback that begins where zenactors has called other code, if it has."""
    return "".join(traceback.format_exception(type(cause), cause, users_part(found)))


def makes_default_sink() -> bool:
    """Return True if loguru has added a sink of its own.

    It does unless the environment forbids it, or the program was started with standard error
    closed. Then the first sink that anybody adds has the number `DEFAULT_SINK`.
    """
    is_wanted = os.environ.get("LOGURU_AUTOINIT", "1").strip().lower() not in _FALSE
    return is_wanted and sys.__stderr__ is not None


def has_default_sink() -> bool:
    """Return True if loguru's own sink has not been removed, or if that cannot be known."""
    handlers = getattr(getattr(logger, "_core", None), "handlers", (DEFAULT_SINK,))
    return makes_default_sink() and DEFAULT_SINK in handlers


def is_outer(frame: FrameType) -> bool:
    """Return True for a frame on the way from a thread's start to the code of a component."""
    module = str(frame.f_globals.get("__name__"))
    return is_own(module) and not module.startswith(_COMPONENTS)
