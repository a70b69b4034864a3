"""A real HTTP server on loopback that answers as a test scripts it."""

from __future__ import annotations

import dataclasses
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.running import LIMIT


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer, and how it is sent: `stall` sends nothing, and `drip` an endless head."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    how: Literal["whole", "cut", "stall", "drip", "reset"] = "whole"


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(ThreadingHTTPServer):
    """Answers with the replies, one after another; the last one again and again."""

    daemon_threads = True
    block_on_close = True

    def __init__(self, *replies: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = list(replies)
        self.requests: list[Request] = []
        self.connections = 0
        self.asked = threading.Event()  # there was a request
        self.stalled = threading.Event()  # a request waits for its answer
        self.closing = threading.Event()
        self.gave_up = False  # nobody has ended a stalled request
        self.lock = threading.Lock()
        self.tls: ssl.SSLContext | None = None

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def next_reply(self, request: Request) -> Reply:
        with self.lock:
            self.requests.append(request)
            self.asked.set()
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        self.connections += 1
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client is gone: some tests want that."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def handle_any(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(size))
        reply = self.server.next_reply(request)
        send = {
            "whole": self.send_whole,
            "cut": self.send_cut,
            "stall": self.stall,
            "drip": self.drip,
            "reset": self.reset,
        }
        send[reply.how](reply)

    do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - names of http.server

    def send_whole(self, reply: Reply) -> None:
        self.send_response(reply.status)
        size = {} if "Transfer-Encoding" in reply.headers else {"Content-Length": len(reply.body)}
        for name, value in {**size, **reply.headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(reply.body)

    def send_cut(self, reply: Reply) -> None:
        self.send_whole(dataclasses.replace(reply, headers={"Content-Length": "1000000"}))
        self.close_connection = True

    def stall(self, _reply: Reply) -> None:
        self.server.stalled.set()
        self.server.gave_up = not self.server.closing.wait(LIMIT)
        self.close_connection = True

    def drip(self, _reply: Reply) -> None:
        """Send a byte of an endless head now and then."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        self.server.stalled.set()
        while not self.server.closing.wait(DRIP):
            self.wfile.write(b"x")

    def reset(self, _reply: Reply) -> None:
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Nothing."""


DRIP = 0.05  # seconds between two bytes


@contextmanager
def serving(*replies: Reply, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(*replies or (Reply(),))
    server.tls = tls
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="http-server")
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join(LIMIT)
        server.server_close()
        assert not thread.is_alive()
        assert not server.gave_up
