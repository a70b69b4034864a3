"""Connections of urllib3 that keep to one deadline, and that another thread can interrupt.

urllib3's own time-outs are for each call of a socket: a server that sends a byte now and then would
hold the component for ever. Here every call that may block first asks `Limits` how long it may.

Atomic operations relied on: storing and reading an attribute (`Limits.interrupt`).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from zenactors.core.clock import Clock, Deadline


class Limits:
    """How long the request under way may take, and which socket it waits for. Thread: own.

    Attributes:
        is_interrupted: The request under way, or the last one, was interrupted.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadline = Deadline(clock, None)
        self._waits_for: socket.socket | None = None
        self.is_interrupted = False

    def begin_request(self, seconds: float) -> None:
        """Let a request, with its redirects, take so many seconds from now on."""
        self._deadline = Deadline(self._clock, seconds)

    def allow(self) -> None:
        """Forget an interrupt: the next request is another one's."""
        self.is_interrupted = False

    def guard(self, sock: socket.socket) -> None:
        """Limit the call of a socket that follows.

        Raises:
            TimeoutError: The time is over.
            OSError: It was interrupted.
        """
        self._waits_for = sock  # first: an interrupt after the check finds it
        if self.is_interrupted:
            raise OSError("interrupted")
        remaining = self._deadline.remaining()
        if remaining == 0.0:
            raise TimeoutError("timed out")
        sock.settimeout(remaining)

    def interrupt(self) -> None:
        """End the request under way, and refuse others until `allow`. Thread: any."""
        self.is_interrupted = True
        sock = self._waits_for
        if sock is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not the method of a TLS socket, which would change what the own thread uses.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget the socket."""
        self._waits_for = None


def make_pool_manager(limits: Limits, *, ca_file: str | None) -> urllib3.PoolManager:
    """Return a pool manager whose connections keep to `limits`.

    Certificates and host names are checked.

    Args:
        limits: For every connection.
        ca_file: Certificates of the authorities to trust. None: the system's.

    Raises:
        OSError: The file cannot be read, or has no certificates.
    """
    context = ssl.create_default_context(cafile=ca_file)

    class PlainSocket(_Guarded, socket.socket):
        guard = staticmethod(limits.guard)

    class TlsSocket(_Guarded, ssl.SSLSocket):
        guard = staticmethod(limits.guard)

        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as in `ssl`
            self.guard(self)
            super().do_handshake(block)

    class PlainConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(PlainSocket, self._dns_host, self.port)

    class TlsConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(PlainSocket, self._dns_host, self.port)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    context.sslsocket_class = TlsSocket
    manager = urllib3.PoolManager(num_pools=4, maxsize=1, ssl_context=context)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return manager


class _Guarded:
    """The calls of a socket that http.client uses, each within the limits."""

    guard: Any

    def connect(self, address: Any) -> None:
        self.guard(self)
        super().connect(address)  # type: ignore[misc] # a socket follows in the order of bases

    def recv_into(self, *args: Any, **options: Any) -> int:
        self.guard(self)
        received: int = super().recv_into(*args, **options)  # type: ignore[misc]
        return received

    def sendall(self, *args: Any, **options: Any) -> None:
        self.guard(self)
        super().sendall(*args, **options)  # type: ignore[misc]


def _connect(kind: type[socket.socket], host: str, port: int | None) -> socket.socket:
    """Return a socket that is connected to the first address of a host that accepts."""
    failure = OSError(f"{host} has no address")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as cause:
        raise failure from cause
    for family, type_, protocol, _, address in found:
        sock = kind(family, type_, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
        except OSError as cause:
            sock.close()
            failure = cause
        else:
            return sock
    raise failure
