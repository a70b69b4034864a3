"""A TCP line server: a component with sockets and a timer, all in its actor's one thread.

It returns each line in capitals, and sends a heartbeat to every client once a second.

    python examples/heartbeat_socket.py [--port PORT] [--once]

Try it with `nc 127.0.0.1 PORT`. Ctrl-C ends it. With --once it ends when a client disconnects.
"""

import argparse
import functools
import socket
import sys
from dataclasses import dataclass, field
from typing import Any

from zenactors import Daemon, Flag, ZenDaemon, ZenDaemonComponent, handles

MAX_LINE_BYTES = 65_536
MAX_UNSENT_BYTES = 1_048_576


@dataclass(eq=False)
class Client:
    connection: socket.socket
    received: bytes = b""
    unsent: bytearray = field(default_factory=bytearray)
    reader: Any = None
    writer: Any = None
    gone: bool = False


@dataclass(frozen=True)
class Line:
    client: Client
    text: str


class Shouter(ZenDaemonComponent):
    """Turn lines into capitals. It does not touch sockets, so a test can give it a plain `Line`."""

    @handles("line")
    def cbk_event_line(self, daemon: Daemon, args: Line) -> tuple[Flag, Line]:
        return daemon.FLAG_CONTINUE, Line(args.client, args.text.upper())


class LineServer(ZenDaemonComponent):
    """Accept connections, read lines and write replies.

    All methods run in the component's own thread, so the sockets need no lock.

    Args:
        port: Port on the loopback interface; 0 for any free port.
        once: End the daemon when the first client disconnects.
        interval: Seconds between two heartbeats.
    """

    emits = ("line",)

    def __init__(
        self, *, port: int = 0, once: bool = False, interval: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.port = port
        self.once = once
        self.interval = interval
        self.clients: set[Client] = set()

    def setup(self, daemon: Daemon) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.listener.settimeout(0.0)  # never block
        daemon.io.add_reader(self.listener, self._accept)
        daemon.io.call_every(self.interval, self._beat)
        print(f"listening on port {self.listener.getsockname()[1]}", flush=True)

    def teardown(self, daemon: Daemon) -> None:
        for client in list(self.clients):
            self._drop(client)
        self.listener.close()

    @handles("line")
    def cbk_event_line(self, daemon: Daemon, args: Line) -> None:
        self._send(daemon, args.client, args.text)

    def _accept(self, daemon: Daemon) -> None:
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            return  # the client has already disconnected
        connection.settimeout(0.0)
        client = Client(connection)
        client.reader = daemon.io.add_reader(connection, functools.partial(self._read, client))
        self.clients.add(client)
        self.inc_statistic("clients")

    def _read(self, client: Client, daemon: Daemon) -> None:
        if client.gone:
            return
        try:
            data = client.connection.recv(MAX_LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:  # reset by the peer
            data = b""
        *lines, client.received = (client.received + data).split(b"\n")
        for line in lines:
            daemon.queue.schedule("line", Line(client, line.decode(errors="replace")))
        self.inc_statistic("lines", len(lines))
        if not data or len(client.received) > MAX_LINE_BYTES:
            self._drop(client)
            if self.once:
                daemon.set_done()

    def _beat(self, daemon: Daemon) -> None:
        for client in list(self.clients):
            self._send(daemon, client, "still here")

    def _send(self, daemon: Daemon, client: Client, text: str) -> None:
        if not client.gone:
            client.unsent += text.encode() + b"\n"
            self._write(client, daemon)

    def _write(self, client: Client, daemon: Daemon) -> None:
        if client.gone:
            return
        try:
            del client.unsent[: client.connection.send(client.unsent)]
        except BlockingIOError:
            pass  # the client is slow: the writer sends the rest when there is room
        except OSError:
            client.unsent.clear()  # the client has disconnected; the next read reports it
        if len(client.unsent) > MAX_UNSENT_BYTES:
            self._drop(client)
        elif client.unsent and client.writer is None:
            write = functools.partial(self._write, client)
            client.writer = daemon.io.add_writer(client.connection, write)
        elif not client.unsent and client.writer is not None:
            client.writer.cancel()
            client.writer = None

    def _drop(self, client: Client) -> None:
        # Cancel first, then close: the kernel may reuse a closed descriptor's number at once.
        client.gone = True
        for registration in (client.reader, client.writer):
            if registration is not None:
                registration.cancel()
        client.connection.close()
        self.clients.discard(client)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send each line back in capitals.")
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on; default: any free port"
    )
    parser.add_argument("--once", action="store_true", help="end when a client disconnects")
    options = parser.parse_args()
    daemon = ZenDaemon(
        name="heartbeat",
        components=[Shouter(), LineServer(port=options.port, once=options.once)],
    )
    sys.exit(daemon.serve())
