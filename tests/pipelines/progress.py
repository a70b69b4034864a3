"""A component that shows on standard output when events come."""

from __future__ import annotations

import os
import sys
from typing import Any

from zenactors import ZenDaemonComponent, handles


class Progress(ZenDaemonComponent):
    """Write a byte for each event."""

    @handles("records")
    def cbk_event_records(self, daemon: Any, args: Any) -> None:
        os.write(sys.stdout.fileno(), b".")
