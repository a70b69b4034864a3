"""The work of the children of `forking.py`. A child that is spawned imports only this module."""

from __future__ import annotations

import os
import signal
from typing import Any


def work(ready: Any, *, deaf: bool) -> None:
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.send(os.getpid())
    while True:
        signal.pause()
