"""Testing daemons: a harness with virtual time, and simulation by a seed.

Needs the extra `zenactors[test]`.
"""

from zenactors.testing.faults import ClockJump, Crash, Delay, Fault, InjectedCrash
from zenactors.testing.files import VirtualFiles
from zenactors.testing.harness import Harness, LogRecord
from zenactors.testing.hub import EndlessMotionError, NothingMovesError
from zenactors.testing.probe import ANY, Probe, Received
from zenactors.testing.simulate import Scenario, SimulationFailure, explore, simulate

__all__ = [
    "ANY",
    "ClockJump",
    "Crash",
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
