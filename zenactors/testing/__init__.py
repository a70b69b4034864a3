"""Testing daemons: a harness with virtual time, and simulation by a seed.

Needs the extra `zenactors[test]`. Importing it loads next to nothing, because every pytest imports
it for the plugin: a name's module is imported when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenactors._lazy import lazy_names

if TYPE_CHECKING:
    from zenactors.testing._simulator.hub import EndlessMotionError as EndlessMotionError
    from zenactors.testing._simulator.hub import NothingMovesError as NothingMovesError
    from zenactors.testing._trace.log_capture import LogRecord as LogRecord
    from zenactors.testing.crashes import nothing_lost as nothing_lost
    from zenactors.testing.faults import ClockJump as ClockJump
    from zenactors.testing.faults import Crash as Crash
    from zenactors.testing.faults import Delay as Delay
    from zenactors.testing.faults import Fault as Fault
    from zenactors.testing.faults import InjectedCrash as InjectedCrash
    from zenactors.testing.faults import Kill as Kill
    from zenactors.testing.faults import LostSync as LostSync
    from zenactors.testing.faults import PowerFailure as PowerFailure
    from zenactors.testing.faults import ProcessCrashed as ProcessCrashed
    from zenactors.testing.faults import ShortWrite as ShortWrite
    from zenactors.testing.files import VirtualFiles as VirtualFiles
    from zenactors.testing.harness import Harness as Harness
    from zenactors.testing.probe import ANY as ANY
    from zenactors.testing.probe import Probe as Probe
    from zenactors.testing.probe import Received as Received
    from zenactors.testing.simulation import Scenario as Scenario
    from zenactors.testing.simulation import SimulationFailure as SimulationFailure
    from zenactors.testing.simulation import explore as explore
    from zenactors.testing.simulation import simulate as simulate
    from zenactors.testing.spec_tests import run_spec_tests as run_spec_tests
    from zenactors.testing.stateful import DaemonMachine as DaemonMachine

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "_simulator.hub": "EndlessMotionError NothingMovesError",
            "_trace.log_capture": "LogRecord",
            "crashes": "nothing_lost",
            "faults": "ClockJump Crash Delay Fault InjectedCrash Kill LostSync PowerFailure"
            " ProcessCrashed ShortWrite",
            "files": "VirtualFiles",
            "harness": "Harness",
            "probe": "ANY Probe Received",
            "simulation": "Scenario SimulationFailure explore simulate",
            "spec_tests": "run_spec_tests",
            "stateful": "DaemonMachine",
        },
    )
