"""Components with options, for `test_component_options`: one with a model, one with a signature."""

from __future__ import annotations

import threading
from typing import Annotated, Any

from pydantic import BaseModel, Field

from zenactors import NeedsRestart, ZenDaemonComponent, handles


class Modelled(ZenDaemonComponent):
    """Its options are the fields of its model."""

    class Options(BaseModel):
        """Its options."""

        word: str = "modelled"
        times: int = Field(1, ge=1)
        port: Annotated[int, NeedsRestart] = 514

    emits = ("seen",)

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()
        daemon.queue.schedule("seen", self.options["word"] * self.options["times"])


class Signed(ZenDaemonComponent):
    """Its options are the arguments of its constructor."""

    emits = ("seen",)

    def __init__(
        self,
        word: str = "signed",
        *,
        times: int = 1,
        port: Annotated[int, NeedsRestart] = 514,
        client: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if times < 1:
            raise ValueError(f"times is {times}, but at least 1 is expected.")
        self.text = word * times
        self.port = port
        self.client = client

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()
        daemon.queue.schedule("seen", self.text)


class Collector(ZenDaemonComponent):
    """Collects what it sees."""

    def __init__(self) -> None:
        super().__init__(name="collector")
        self.seen: list[str] = []
        self.arrived = threading.Event()

    @handles("seen")
    def cbk_event_seen(self, daemon: Any, args: str) -> None:
        self.seen.append(args)
        self.arrived.set()

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        self.seen.append(args.data.decode().strip())
        self.arrived.set()
