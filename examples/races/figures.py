"""Count the runs of a plain test that pass, and the seeds with which the simulation fails.

python examples/races/figures.py lost_update 1000
"""

import importlib
import sys

from loguru import logger

from zenactors.testing import SimulationFailure, simulate


def main(name: str, count: int) -> None:
    module = importlib.import_module(name)
    logger.remove()  # a thousand failures on purpose are not worth a line each
    for _ in range(count):
        module.test_plain()
    print(f"{name}: {count} of {count} plain test runs pass")
    failed = []
    for seed in range(count):
        try:
            simulate(module.scenario, seed=seed)
        except SimulationFailure:
            failed.append(seed)
    print(f"{name}: {len(failed)} of {count} seeds fail, the first is {min(failed, default=None)}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
