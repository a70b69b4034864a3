"""Run Python in a process of its own, with the package of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 60.0  # seconds; generous: only a hang takes that long


def run_python(
    *argv: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end.

    Args:
        argv: Its arguments.
        cwd: Its directory. Default: the checkout.
        environment: Variables that are added to the environment.
    """
    return subprocess.run(
        [sys.executable, *map(str, argv)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
