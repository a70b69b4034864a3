"""The main thread of a `ZenDaemon` as a task of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.config.redaction import json_text
from zenactors.daemon.json_file import save_json
from zenactors.testing._simulator.simulated import SimulatedTrap

if TYPE_CHECKING:
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.clock import Clock
    from zenactors.daemon.zendaemon import ZenDaemon
    from zenactors.testing._simulator.hub import Hub
    from zenactors.testing._simulator.runtime import SimulatedRuntime
    from zenactors.testing.files import VirtualFiles


class SimulatedMain:
    """Run a `ZenDaemon` to its end.

    Args:
        daemon: The daemon; it gets the runtime, the clock and the signals of the simulation.
        runtime: Its runtime.
        clock: Its clock.
        files: The files to which it writes its state; None: the disk.

    Attributes:
        status: The exit status; None before the end.
        report: The report of its stop; None before the end.
        trap: The trap for its signals; None until it serves.
    """

    def __init__(
        self,
        daemon: ZenDaemon,
        runtime: SimulatedRuntime,
        clock: Clock,
        files: VirtualFiles | None,
    ) -> None:
        self.status: int | None = None
        self.report: StopReport | None = None
        self.trap: SimulatedTrap | None = None
        self._daemon = daemon
        self._runtime = runtime
        self._hub: Hub = runtime.hub
        self._files = files
        daemon.attach_runtime(runtime, clock, trap=self._make_trap, save=self._save)

    def start(self) -> None:
        """Let it run until its components are open for events, or it has ended."""
        task = self._hub.spawn(self._daemon.name, self._serve)
        self._runtime.recorder.name(task, self._daemon.name)
        self._hub.wait(lambda: self.status is not None or self._daemon.dispatcher.is_open)

    def wait(self, seconds: float | None = None) -> None:
        """Let it run to its end, for at most `seconds`."""
        self._hub.wait(lambda: self.status is not None, seconds)

    def _serve(self) -> None:
        status = self._daemon.serve()
        self.report = self._daemon.stop_report
        self.status = status

    def _make_trap(self, signals: Any) -> SimulatedTrap:
        self.trap = SimulatedTrap(self._hub, signals)
        return self.trap

    def _save(self, path: Path, value: Any) -> None:
        if self._files is None:
            save_json(path, value)
        else:
            self._files.put(str(path), json_text(value))
