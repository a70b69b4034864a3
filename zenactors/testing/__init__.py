"""Testing daemons: a harness with virtual time, and simulation by a seed.

Needs the extra `zenactors[test]`. Importing it loads next to nothing, as every pytest does so for
the sake of the plugin: a name's module is imported when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenactors.testing._simulator.hub import EndlessMotionError, NothingMovesError
    from zenactors.testing.faults import ClockJump, Crash, Delay, Fault, InjectedCrash
    from zenactors.testing.files import VirtualFiles
    from zenactors.testing.harness import Harness, LogRecord
    from zenactors.testing.probe import ANY, Probe, Received
    from zenactors.testing.simulation import Scenario, SimulationFailure, explore, simulate
    from zenactors.testing.stateful import DaemonMachine

__all__ = [
    "ANY",
    "ClockJump",
    "Crash",
    "DaemonMachine",
    "Delay",
    "EndlessMotionError",
    "Fault",
    "Harness",
    "InjectedCrash",
    "LogRecord",
    "NothingMovesError",
    "Probe",
    "Received",
    "Scenario",
    "SimulationFailure",
    "VirtualFiles",
    "explore",
    "simulate",
]

_HOMES = {
    "ANY": "probe",
    "ClockJump": "faults",
    "Crash": "faults",
    "DaemonMachine": "stateful",
    "Delay": "faults",
    "EndlessMotionError": "_simulator.hub",
    "Fault": "faults",
    "Harness": "harness",
    "InjectedCrash": "faults",
    "LogRecord": "harness",
    "NothingMovesError": "_simulator.hub",
    "Probe": "probe",
    "Received": "probe",
    "Scenario": "simulation",
    "SimulationFailure": "simulation",
    "VirtualFiles": "files",
    "explore": "simulation",
    "simulate": "simulation",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - see the module's docstring

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
