"""Keep a simulated run away from the real world: network, programs, databases, the disk.

`sys.addaudithook` is the way to see every attempt, whatever library makes it. A hook cannot be
removed, so there is one for the process, which does nothing outside of `isolated`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from zenactors.core.component import ZenDaemonComponent

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NETWORK = "uses the network"
_PROGRAM = "starts a program"
_REASONS = {
    **dict.fromkeys(("socket.bind", "socket.connect", "socket.sendto", "socket.sendmsg"), _NETWORK),
    **dict.fromkeys(("socket.getaddrinfo", "socket.gethostbyname"), _NETWORK),
    **dict.fromkeys(("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"), _PROGRAM),
    **dict.fromkeys(("os.exec", "os.system"), _PROGRAM),
}
_CHANGES = ("open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link")


class RealWorldError(OSError):
    """A component of a test has tried to leave the simulation.

    An `OSError`, because libraries clean up after those.
    """


class _Guard(threading.local):
    refused: list[RealWorldError] | None = None  # None: nothing is refused in this thread


_guard = _Guard()


@contextlib.contextmanager
def isolated() -> Iterator[list[RealWorldError]]:
    """Refuse to leave the simulation, in this thread. Returns a list of what was refused."""
    _install()
    before, _guard.refused = _guard.refused, []
    try:
        yield _guard.refused
    finally:
        _guard.refused = before


@functools.cache
def _install() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if _guard.refused is None:
        return
    reason = _reason(event, args)
    if reason is None:
        return
    name = _component()
    who, stub = (f"component {name!r}", f"stubs = [{name!r}]") if name else ("it", "a stub for it")
    problem = RealWorldError(f"{who} {reason}, which cannot be simulated; give the test {stub}")
    _guard.refused.append(problem)
    raise problem


def _reason(event: str, args: tuple[Any, ...]) -> str | None:
    if event == "sqlite3.connect":
        return None if args[0] == ":memory:" else "opens an SQLite database"
    if event in _CHANGES:
        path = str(args[0])
        harmless = path.startswith("/dev/") or ".pyc" in path or "__pycache__" in path
        # `args` of "open" are path, mode and flags.
        reads = event == "open" and not (isinstance(args[2], int) and args[2] & _WRITING)
        return None if harmless or reads else f"changes a file of the disk ({path})"
    return _REASONS.get(event)


def _component() -> str | None:
    """Return the name of the component whose code is running."""
    frame = sys._getframe()  # noqa: SLF001 - documented
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ZenDaemonComponent):
            return str(owner)
        frame = frame.f_back  # type: ignore[assignment] # of the first frame, None
    return None
