"""The members of `ZenDaemon` that its parts use: its reload, snapshots, process and command line.

`ZenDaemon` imports those parts, so they cannot import it.
"""

from __future__ import annotations

import abc
import os
from typing import TYPE_CHECKING, Any

from zenactors.daemon.actions import Actions
from zenactors.daemon.callback_api import CallbackApi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zenactors.actors.shutdown import StopReport
    from zenactors.process.terminal import Terminal


class DaemonBase(CallbackApi, Actions):
    """A daemon as its parts see it; see `ZenDaemon`."""

    components: list[Any]
    stop_report: StopReport | None = None
    """The result of the stop; None while the daemon runs."""
    keep_runlogs = False
    """Save the runlog now and then and at the end, even if no directory is configured."""
    terminal: Terminal | None = None
    """The terminal of the process in the foreground; None: `serve` looks for it."""
    left_directory: str | None = None
    """The directory that a daemon in the background was started in, and has left for `/`."""
    identity: tuple[int, str] | None = None
    """The process's start time and boot; None: `/proc` is still visible and has them."""
    on_ready: Callable[[], None] | None = None
    """Called when every component has started. Thread: main."""
    reopen_logs: Callable[[Mapping[str, Any]], None] | None = None
    """Called by a reload with the new configuration of the logs. For `zenactors.daemon`."""

    def resolve_path(self, path: str) -> str:
        """Return a path as the user who started the daemon meant it.

        A relative path becomes absolute if the daemon has left the directory in which it was
        started: in the background, without `work_dir` and `chroot_dir`. Otherwise it is relative
        to the current directory.
        """
        return os.path.join(self.left_directory or "", path)  # noqa: PTH118 - keeps the spelling

    def make_components(self) -> list[Any]:
        """Return components that come behind those given to the constructor.

        Called when the configuration is known, so it may read it with `c()`; and again by each
        reload, with the new one. A component whose options differ then, and that has no
        `reconfigure`, is replaced by the new object. If the engine is used before the
        configuration is read (`queue`, `chains()`), it is called with the program's own. The
        engine does not exist yet when it runs.
        """
        return []

    def has_component_hook(self) -> bool:
        """Return True if `make_components` is overridden. For `zenactors.daemon`."""
        made = getattr(self.make_components, "__func__", self.make_components)
        return made is not DaemonBase.make_components

    @abc.abstractmethod
    def serve(self) -> int:
        """Run from start to stop."""

    @abc.abstractmethod
    def get_statistics(self, reader: str = "daemon") -> dict[str, Any]:
        """Return every component's statistics."""

    @abc.abstractmethod
    def get_state(self) -> dict[str, Any]:
        """Return the state; a subclass may add to it."""

    @abc.abstractmethod
    def get_runlog(self, status: int | None = None) -> dict[str, Any]:
        """Return the runlog; a subclass may add to it."""
