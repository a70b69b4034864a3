"""Settings for every test: no leak, and hypothesis without deadlines or a database.

zenactors' own plugin checks for leaked threads, descriptors and children (`zen_leaks = all`). It
is loaded by name, so it also works where zenactors is not installed.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "zenactors.testing.plugin"]

# Shared machines may stall at any moment, so the time of an example means nothing.
_SLOW = (HealthCheck.too_slow,)
settings.register_profile("local", deadline=None, database=None, suppress_health_check=_SLOW)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
