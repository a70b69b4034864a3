"""Callbacks: their return values, and how a component declares which events they handle."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from typing import Any, TypedDict, TypeVar, cast

from zenactors.core.text import short_repr
from zenactors.errors import ZenDaemonComponentException, ZenDaemonStopException


class Flag(enum.IntEnum):
    """A callback's decision about the rest of its chain. The values are pyzenkit's."""

    STOP = 0
    CONTINUE = 1


FLAG_STOP = Flag.STOP
"""The event ends here: no further callback of its chain is called."""

FLAG_CONTINUE = Flag.CONTINUE
"""The event continues along its chain."""

ANSWER_SIZE = 2  # a flag and args

Event = Hashable
Callback = Callable[[Any, Any], "tuple[int, Any] | None"]
F = TypeVar("F", bound=Callable[..., Any])


class Handler(TypedDict):
    """One entry of `get_events()`, in pyzenkit's form.

    Attributes:
        event: The event, by its name in the daemon.
        callback: Called with `(daemon, args)`; returns `(flag, args)`, or `None` to continue.
        prepend: True puts it first in the chain.
    """

    event: Any
    callback: Callback
    prepend: bool


def gen_event_handler(event: Event, callback: Callback, prepend: bool = False) -> Handler:  # noqa: FBT001, FBT002 - pyzenkit's signature
    """Return one entry for `get_events()`.

    Args:
        event: The event, by its name in the daemon.
        callback: Called with `(daemon, args)`; returns `(flag, args)`, or `None` to continue.
        prepend: True puts it first in the chain.
    """
    return {"event": event, "callback": callback, "prepend": prepend}


def handles(event: Event, *, prepend: bool = False) -> Callable[[F], F]:
    """Mark a method as the callback of an event. May be repeated for several events.

    The method is called with `(daemon, args)`. It returns `(flag, args)`, or `None`
    for "continue with the same args".

    Args:
        event: The event, by the component's own name for it.
        prepend: True puts the callback first in the chain.
    """

    def mark(method: F) -> F:
        marks = getattr(method, "zen_handles", ())
        # Decorators apply from the bottom up; in the chain the topmost comes first.
        method.zen_handles = ((event, prepend), *marks)  # type: ignore[attr-defined]
        return method

    return mark


def read_answer(result: object, *, unpacked: bool) -> tuple[bool, Any] | None:
    """Return what a callback returned: does the event go on, and with which args? None: invalid.

    Valid is a tuple, or a named tuple, of a flag and args. The flag is a `Flag`, or the integer 0
    or 1. Their equals, such as `True` and `1.0`, are no flags, and other sequences of two are no
    answers: most of them are data returned by mistake. With `unpacked` anything that unpacks into
    two is valid, and every flag that does not equal `FLAG_CONTINUE` stops the event.

    Args:
        result: What the callback returned, except None, which depends on the caller.
        unpacked: See `EventPolicy.answers`.

    Raises:
        BaseException: With `unpacked`, what unpacking raises: it may run the program's code.
    """
    flag: Any
    given = cast("tuple[Any, ...]", result)
    # Not by the object's own methods, which may be the program's code.
    if issubclass(type(given), tuple) and tuple.__len__(given) == ANSWER_SIZE:
        flag, args = tuple.__iter__(given)
        if type(flag) is Flag or (type(flag) is int and flag in {0, 1}):
            return flag == FLAG_CONTINUE, args
    if unpacked and result is not None:
        flag, args = given  # in truth it may be anything
        return bool(flag == FLAG_CONTINUE), args
    return None


def invalid_answer(callback: Callable[..., Any], result: Any) -> ZenDaemonComponentException:
    """Return the error for an invalid return value of a callback."""
    return ZenDaemonComponentException(
        f"{short_repr(callback)} returned {short_repr(result)}; expected (flag, args),"
        " or None to continue."
    )


def answer_error(callback: Callable[..., Any], result: Any, cause: BaseException) -> BaseException:
    """Return the error to keep if reading what a callback returned has raised `cause`.

    It says what was returned, unless `cause` says more: a component's own error, no memory, or a
    request to stop.
    """
    if isinstance(
        cause,
        ZenDaemonComponentException
        | ZenDaemonStopException
        | MemoryError
        | SystemExit
        | KeyboardInterrupt,
    ):
        return cause
    error = invalid_answer(callback, result)
    error.__cause__ = cause
    return error


def callback_name(callback: Any) -> str:
    """Return a callback's name for messages, whatever the callback is."""
    try:
        name = getattr(callback, "__name__", None)
    except Exception:  # a property of the user's
        name = None
    return name if type(name) is str else type(callback).__name__
