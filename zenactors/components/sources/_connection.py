"""One accepted connection: handshake, input, output with a limit, and a clean end."""

from __future__ import annotations

import abc
import contextlib
import enum
import math
import socket
import ssl
from typing import Any, Protocol

from zenactors.core.daemon_api import Cancellable, Reactor

CHUNK = 65_536  # bytes that are read at once: at least a whole TLS record, so that TLS keeps none
MAX_OUTPUT = 262_144  # bytes that wait for a peer that does not read
HANDSHAKE_TIMEOUT = 10.0  # seconds
LINGER_TIMEOUT = 5.0  # seconds that a peer has to read the last answer
_LINGER_BYTES = 4 << 20  # that it may send meanwhile

_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)


class State(enum.Enum):
    """The state of a connection."""

    HANDSHAKE = enum.auto()
    OPEN = enum.auto()
    FINISHING = enum.auto()  # the output is sent, then it ends
    LINGERING = enum.auto()  # the output has ended; what comes is thrown away
    CLOSED = enum.auto()


class Server(Protocol):
    """What a connection needs of its server; see `StreamServer`."""

    is_paused: bool
    io: Reactor

    def now(self) -> float:
        """Return the time on the monotonic clock."""
        ...

    def count(self, key: str, increment: float = 1, /) -> None:
        """Add to a counter."""
        ...

    def watch_deadline(self, deadline: float) -> None:
        """Look at the deadlines in time for this one."""
        ...

    def forget(self, connection: Any) -> None:
        """Take note that a connection has closed."""
        ...


class Connection(abc.ABC):
    """One connection of a `StreamServer`. A subclass is the protocol.

    Args:
        server: The server.
        sock: The socket. It does not block.
        peer: The peer, for records.

    Attributes:
        peer: As above.
        deadline: When `expired` is called, on the monotonic clock.

    Thread: own.
    """

    def __init__(self, server: Server, sock: socket.socket, peer: str) -> None:
        self.peer = peer
        self.deadline = math.inf
        self._server = server
        self._sock = sock
        self._state = State.HANDSHAKE if isinstance(sock, ssl.SSLSocket) else State.OPEN
        self._output = bytearray()
        self._is_reading = True
        self._wants_to_write = False  # TLS has something to write before it can go on
        self._reader: Cancellable | None = None
        self._writer: Cancellable | None = None
        self._thrown_away = 0

    # --- the protocol ---------------------------------------------------------------------------

    def opened(self) -> None:  # noqa: B027 - need not be overridden
        """Begin: the connection is there, and the handshake is over."""

    @abc.abstractmethod
    def received(self, data: bytes) -> None:
        """Take the next bytes, never none."""

    def ended(self) -> None:
        """Take note that the peer sends no more. By default, close."""
        self.close()

    def expired(self) -> None:
        """Take note that the time of `expire_in` is over. By default, close."""
        self.close()

    def closed(self) -> None:  # noqa: B027 - need not be overridden
        """Take note that the connection is closed, for whatever reason. Called once."""

    # --- for the protocol -----------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True until the connection ends, or `finish` is called."""
        return self._state is State.OPEN

    def send(self, data: bytes) -> None:
        """Send, now or when the peer reads. A peer that lets too much wait is disconnected."""
        if self._state is not State.OPEN:
            return
        if len(self._output) > MAX_OUTPUT:
            self._server.count("slow_readers")
            self.close()
            return
        self._output += data
        self._write()

    def read(self, on: bool) -> None:  # noqa: FBT001 - as one says it
        """Read from the peer, or let it wait."""
        self._is_reading = on
        self.update()

    def expire_in(self, seconds: float | None) -> None:
        """Set the time limit anew. None: there is none."""
        self.deadline = math.inf if seconds is None else self._server.now() + seconds
        self._server.watch_deadline(self.deadline)

    def finish(self) -> None:
        """Close once the peer has what was sent. What it still sends is thrown away."""
        if self._state is State.OPEN:
            self._state = State.FINISHING
            self.expire_in(LINGER_TIMEOUT)
            self._write()

    def close(self) -> None:
        """Close now."""
        if self._state is State.CLOSED:
            return
        was_shaking_hands = self._state is State.HANDSHAKE
        if isinstance(self._sock, ssl.SSLSocket) and not was_shaking_hands:
            self._end_tls()
        self._state = State.CLOSED
        self.update()
        self._sock.close()
        self._server.forget(self)
        if not was_shaking_hands:
            self.closed()

    # --- for the server -------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to wait for the peer.

        Raises:
            OSError: The system does not watch so many descriptors.
        """
        if self._state is State.HANDSHAKE:
            self.expire_in(HANDSHAKE_TIMEOUT)
        self.update()
        if self._state is State.OPEN:
            self.opened()

    def expire(self) -> None:
        """End because the time is over."""
        if self._state is State.OPEN:
            self.deadline = math.inf
            self.expired()
            return
        if self._state is State.HANDSHAKE:
            self._server.count("tls_failed")
        self.close()

    def update(self) -> None:
        """Wait for what is wanted now, and for nothing else."""
        state = self._state
        reads = state in (State.HANDSHAKE, State.LINGERING) or (
            state is State.OPEN and self._is_reading and not self._server.is_paused
        )
        writes = state is not State.CLOSED and (bool(self._output) or self._wants_to_write)
        io = self._server.io
        # The other one is added first: a descriptor that leaves the selector in between costs more.
        if reads and self._reader is None:
            self._reader = io.add_reader(self._sock, self._can_read)
        if writes and self._writer is None:
            self._writer = io.add_writer(self._sock, self._can_write)
        if not reads and self._reader is not None:
            self._reader.cancel()
            self._reader = None
        if not writes and self._writer is not None:
            self._writer.cancel()
            self._writer = None

    # --- inside ---------------------------------------------------------------------------------

    def _can_read(self, _daemon: Any) -> None:
        if self._state is State.HANDSHAKE:
            self._shake_hands()
            return
        try:
            data = self._sock.recv(CHUNK)
        except _LATER:
            return
        except ssl.SSLWantWriteError:
            self._wants_to_write = True
            self.update()
            return
        except OSError:  # a reset, or what is no TLS
            self._server.count("broken")
            self.close()
            return
        if self._state is State.LINGERING:
            self._throw_away(data)
        elif data:
            self.received(data)
        else:
            self.ended()

    def _can_write(self, daemon: Any) -> None:
        if self._wants_to_write:
            self._wants_to_write = False
            self._can_read(daemon)
        self._write()

    def _shake_hands(self) -> None:
        assert isinstance(self._sock, ssl.SSLSocket)
        self._wants_to_write = False
        try:
            self._sock.do_handshake()
        except _LATER:
            pass
        except ssl.SSLWantWriteError:
            self._wants_to_write = True
        except (OSError, ValueError):  # no TLS, no certificate, or the peer has left
            self._server.count("tls_failed")
            self.close()
            return
        else:
            self._state = State.OPEN
            self.expire_in(None)
            self.opened()
        self.update()

    def _write(self) -> None:
        if self._state not in (State.OPEN, State.FINISHING):
            return
        try:
            while self._output:
                del self._output[: self._sock.send(bytes(self._output[:CHUNK]))]
        except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass  # after a read, too, it is tried again when there is room
        except OSError:
            self._server.count("broken")
            self.close()
            return
        if self._state is State.FINISHING and not self._output:
            self._linger()
        self.update()

    def _linger(self) -> None:
        # To close with input that nobody has read would reset the connection, and the peer might
        # never see the answer.
        if isinstance(self._sock, ssl.SSLSocket):
            self._end_tls()
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:  # the peer has left
            self.close()
            return
        self._state = State.LINGERING

    def _throw_away(self, data: bytes) -> None:
        self._thrown_away += len(data)
        if not data or self._thrown_away > _LINGER_BYTES:
            self.close()

    def _end_tls(self) -> None:
        assert isinstance(self._sock, ssl.SSLSocket)
        with contextlib.suppress(OSError, ValueError):  # it need not be heard
            self._sock.unwrap()
