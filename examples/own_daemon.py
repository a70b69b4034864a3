"""A custom daemon: it checks whether a TCP port accepts connections, and logs each change.

python examples/own_daemon.py --config-file examples/own_daemon.toml --port 8080
"""

import socket
from typing import Any

from pydantic import Field

from zenactors import Daemon, ZenDaemon, ZenDaemonComponent, handles


class PortWatch(ZenDaemonComponent):
    state = "unknown"

    @handles("start")
    @handles("look")
    def cbk_event_look(self, daemon: Daemon, args: Any) -> None:
        try:
            socket.create_connection((daemon.c("host"), daemon.c("port")), timeout=2.0).close()
            state = "open"
        except OSError as cause:
            state = f"closed: {cause.strerror or cause}"
        if state != self.state:
            self.log.warning("Port {port} is {state}", port=daemon.c("port"), state=state)
        self.state = state
        daemon.queue.schedule_after(daemon.c("look_interval"), "look")


class PortWatchDaemon(ZenDaemon):
    class Options(ZenDaemon.Options):
        host: str = Field("127.0.0.1", description="Host to check.")
        port: int = Field(80, ge=1, le=65535, description="Port to check.")
        look_interval: float = Field(10.0, gt=0, description="Seconds between two checks.")


if __name__ == "__main__":
    PortWatchDaemon(name="port-watch", components=[PortWatch()]).run()
