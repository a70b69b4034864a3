"""What tests of listeners share: clients, a sink that collects, and a certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.running import LIMIT
from zenactors import ZenDaemonComponent, handles

DATA = Path(__file__).parent / "data"
CERTIFICATE = str(DATA / "server.pem")  # for localhost and 127.0.0.1, signed by itself, until 2126
KEY = str(DATA / "server.key")


class Collector(ZenDaemonComponent):
    """Collects what `lines` events bring; with `keeps`, holds each event until `release`."""

    def __init__(self, *, keeps: bool = False) -> None:
        super().__init__(name="collector")
        self.keeps = keeps
        self.events: list[list[Any]] = []
        self._holds: list[Any] = []
        self._changed = threading.Condition()

    @property
    def lines(self) -> list[Any]:
        return [line for event in self.events for line in event]

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        if self.keeps:
            self._holds.append(daemon.hold())
        with self._changed:
            self.events.append(args)
            self._changed.notify_all()

    @handles("release")
    def cbk_event_release(self, daemon: Any, args: Any) -> None:
        holds, self._holds = self._holds, []
        for hold in holds:
            hold.release()

    @handles("fail")
    def cbk_event_fail(self, daemon: Any, args: Any) -> None:
        holds, self._holds = self._holds, []
        for hold in holds:
            hold.fail()

    def wait_until(self, predicate: Callable[[], bool]) -> None:
        """On real threads: wait until enough has come."""
        with self._changed:
            assert self._changed.wait_for(predicate, LIMIT), f"{len(self.lines)} lines have come"


def connect(address: str, *, context: ssl.SSLContext | None = None) -> socket.socket:
    """Return a client of a listener, by one of its `listening` addresses."""
    scheme, _, rest = address.partition("://")
    client: socket.socket
    if scheme in ("unix", "unixgram"):
        kind = socket.SOCK_STREAM if scheme == "unix" else socket.SOCK_DGRAM
        client = socket.socket(socket.AF_UNIX, kind)
        target: Any = rest
    else:
        host, _, port = rest.rpartition(":")
        target = (host.strip("[]"), int(port))
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        client = socket.socket(family, socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM)
    client.settimeout(LIMIT)
    try:
        client.connect(target)
        if context is not None:
            client = context.wrap_socket(client, server_hostname="localhost")
    except OSError:
        client.close()
        raise
    return client


def trusting(*, with_certificate: bool = False) -> ssl.SSLContext:
    """Return the context of a client that trusts the certificate of the tests."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    if with_certificate:
        context.load_cert_chain(CERTIFICATE, KEY)
    return context


def receive_all(client: socket.socket) -> bytes:
    """Return what comes until the other side has closed."""
    received = b""
    try:
        while data := client.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    return received
