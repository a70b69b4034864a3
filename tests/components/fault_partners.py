"""What runs beside the daemon in `test_faults.py`: clients, servers, programs, standard input."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.components.http_server import Reply, Server, serving
from tests.components.programs import Scripted, Stage
from tests.components.sockets import connect
from tests.running import LIMIT

if TYPE_CHECKING:
    from tests.components.fault_world import World
    from zenactors.testing import Harness


@contextlib.contextmanager
def server(_world: World) -> Iterator[Server]:
    with serving(Reply(200, b"[]", {"Content-Type": "application/json"})) as found:
        yield found


def show(world: World) -> None:
    """Let the server answer with all items that there are."""
    items = [{"id": f"item-{number}"} for number in world.given]
    body = json.dumps(items).encode()
    world.partner.script = [Reply(200, body, {"Content-Type": "application/json"})]


def address_of(harness: Harness, name: str) -> str | None:
    """Return where a listener listens at present; None if it does not."""
    found: list[str] = harness.component(name).listening
    return found[0].replace("http", "tcp") if found else None


def send_line(world: World, harness: Harness, number: int) -> None:
    address = address_of(harness, world.name)
    if address is not None:
        with connect(address) as client:
            client.sendall(b"item-%d\n" % number)


class HttpClients:
    """Clients that send what is not answered with 200 again."""

    def __init__(self, _world: World) -> None:
        self.unanswered: list[int] = []
        self._sent: dict[int, socket.socket] = {}

    def __enter__(self) -> HttpClients:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._sent.values():
            client.close()

    def play(self, world: World, harness: Harness) -> None:
        for number, client in list(self._sent.items()):
            try:
                answer = client.recv(1_000)
            except BlockingIOError:
                continue
            except OSError:
                answer = b""
            self._sent.pop(number).close()
            if not answer.startswith(b"HTTP/1.1 200 "):
                self.unanswered.append(number)
        address = address_of(harness, world.name)
        while self.unanswered and address is not None:
            number = self.unanswered.pop(0)
            try:
                client = connect(address)
            except OSError:  # it is down just now
                self.unanswered.append(number)
                return
            body = json.dumps({"id": f"item-{number}"}).encode()
            client.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            client.setblocking(False)  # noqa: FBT003 - the socket's signature
            self._sent[number] = client


class Input:
    """Standard input of this process, as a pipe."""

    def __init__(self) -> None:
        self._saved = os.dup(0)
        reader, self._writer = os.pipe()
        os.dup2(reader, 0)
        os.close(reader)

    def write(self, data: bytes) -> None:
        os.write(self._writer, data)

    def restore(self) -> None:
        os.close(self._writer)
        os.dup2(self._saved, 0)
        os.close(self._saved)


@contextlib.contextmanager
def standard_input(_world: World) -> Iterator[Input]:
    found = Input()
    try:
        yield found
    finally:
        found.restore()


class Reading(Scripted):
    """A program that reads everything before it ends."""

    has_read = b""

    def read_all(self) -> None:
        if self.stdin is not None:
            self.has_read += self.reads()

    def ends(self, status: int) -> None:
        self.read_all()
        super().ends(status)


class Programs(Stage):
    """Programs that end when they are told to, and have read everything by then."""

    kind = Reading

    def __init__(self, _world: World) -> None:
        super().__init__()

    def read(self) -> bytes:
        """Return what all of them have read."""
        programs = [each for each in self.programs if isinstance(each, Reading)]
        for program in programs:
            program.read_all()
        return b"".join(program.has_read for program in programs)


class Echoes(Programs):
    """Programs that print what they read."""

    def play(self, _world: World, _harness: Harness) -> None:
        for program in self.programs:
            if program.stdout is not None:
                program.prints(program.reads())


class Peer:
    """A server that reads what it is sent."""

    def __init__(self, _world: World) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.0)
        self._clients: list[socket.socket] = []
        self._data = b""
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._server, *self._clients):
            each.close()

    def received(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = self._server.accept()
                client.settimeout(0.0)
                self._clients.append(client)
        for client in self._clients:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                while data := client.recv(65_536):
                    self._data += data
        return self._data


def rows(world: World) -> str:
    path = world.directory / "out.db"
    if not path.exists():
        return ""
    with contextlib.closing(sqlite3.connect(path, timeout=LIMIT)) as database:
        has_table = database.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'records'"
        ).fetchall()
        found = database.execute("SELECT id FROM records").fetchall() if has_table else []
    return " ".join(each for (each,) in found)
