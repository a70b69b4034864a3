"""A server of streams on the reactor of its component: accepting, time limits, back-pressure."""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

import tenacity

from zenactors.advice import advice_for, reason
from zenactors.components._addresses import join
from zenactors.components.sources._bound import BoundSocket
from zenactors.components.sources._connection import Connection
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon, Reactor

ACCEPTED_AT_ONCE = 64
_GRAIN = 0.1  # seconds between two looks at the deadlines, at least
_LOG_INTERVAL = 60.0  # seconds
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BACK_OFF = tenacity.wait_exponential(multiplier=0.1, max=5.0)

MakeConnection = Callable[["StreamServer", socket.socket, str], Connection]


class StreamServer:
    """Accept connections, and watch over them. Nothing blocks.

    Args:
        component: Whose counters and log it uses: `connections`, `refused`, `accept_errors`,
            `tls_failed`, `slow_readers` and `broken`.
        daemon: What `setup` gets.
        make_connection: Makes the protocol's `Connection`.
        on_last_left: Called when a connection has closed and none is left.

    Attributes:
        max_clients: How many connections may be open; further ones are closed at once.
        connections: The open ones.
        is_paused: True: no connection is read.
        io: The component's reactor.

    Thread: own.
    """

    def __init__(
        self,
        component: ZenDaemonComponent,
        daemon: Daemon,
        make_connection: MakeConnection,
        on_last_left: Callable[[], object],
    ) -> None:
        self.max_clients = 1
        self.connections: dict[Connection, None] = {}
        self.is_paused = False
        self.io: Reactor = daemon.io
        self.count = component.inc_statistic
        self.now = component.clock.monotonic
        self._log = component.log
        self._make_connection = make_connection
        self._on_last_left = on_last_left
        self._accepting: dict[BoundSocket, ssl.SSLContext | None] = {}
        self._readers: dict[BoundSocket, Cancellable] = {}
        self._reserve = _open_reserve()
        self._failures = 0
        self._logged_at = -math.inf
        self._again: Cancellable | None = None
        self._look: Cancellable | None = None
        self._look_at = math.inf
        self._paused_at = 0.0

    # --- listening ------------------------------------------------------------------------------

    def listen(self, bound: BoundSocket, context: ssl.SSLContext | None) -> None:
        """Accept the connections of a socket, from now on with this context."""
        self._accepting[bound] = context
        self._watch(bound)

    def stop_listening(self, bound: BoundSocket) -> None:
        """Accept no more connections of a socket, which is about to be closed."""
        self._accepting.pop(bound, None)
        reader = self._readers.pop(bound, None)
        if reader is not None:
            reader.cancel()

    def close(self) -> None:
        """Close every connection, and stop listening. The sockets themselves stay open."""
        for bound in list(self._accepting):
            self.stop_listening(bound)
        for connection in list(self.connections):
            connection.close()
        self._stop_looking()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    # --- back-pressure --------------------------------------------------------------------------

    def pause(self) -> None:
        """Read from no connection. Their time limits stop, too."""
        if not self.is_paused:
            self.is_paused = True
            self._paused_at = self.now()
            self._update_all()

    def resume(self) -> None:
        """Read from the connections again."""
        if self.is_paused:
            self.is_paused = False
            seconds = self.now() - self._paused_at
            for connection in self.connections:
                connection.deadline += seconds
            self._update_all()
            self.watch_deadline(min((c.deadline for c in self.connections), default=math.inf))

    def _update_all(self) -> None:
        for connection in list(self.connections):
            try:
                connection.update()
            except OSError as cause:  # the system watches no more descriptors
                self._log_failure(cause)
                connection.close()

    # --- time limits ----------------------------------------------------------------------------

    def watch_deadline(self, deadline: float) -> None:
        """Look at the deadlines in time for this one. There is one timer for all of them."""
        if deadline >= self._look_at:
            return
        self._stop_looking()
        self._look_at = deadline
        self._look = self.io.call_later(max(deadline - self.now(), 0.0), self._look_at_deadlines)

    def _stop_looking(self) -> None:
        look, self._look = self._look, None
        self._look_at = math.inf
        if look is not None:
            look.cancel()

    def _look_at_deadlines(self, _daemon: Any) -> None:
        self._look = None
        self._look_at = math.inf
        if self.is_paused:
            return
        now = self.now()
        for connection in [c for c in self.connections if c.deadline <= now]:
            connection.expire()
        earliest = min((c.deadline for c in self.connections), default=math.inf)
        if earliest < math.inf:
            self.watch_deadline(max(earliest, now + _GRAIN))

    # --- connections ----------------------------------------------------------------------------

    def forget(self, connection: Connection) -> None:
        """Take note that a connection has closed."""
        if connection in self.connections:
            del self.connections[connection]
            if not self.connections:
                self._stop_looking()  # a timer counts as something to do
                self._on_last_left()

    def _watch(self, bound: BoundSocket) -> None:
        if bound not in self._readers and self._again is None:
            accept = functools.partial(self._accept, bound)
            self._readers[bound] = self.io.add_reader(bound.socket, accept)

    def _accept(self, bound: BoundSocket, _daemon: Any) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if bound not in self._accepting:
                return  # the last client has left
            try:
                sock, address = bound.socket.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                self.count("accept_errors")
            except OSError as cause:
                self._back_off(bound, cause)
                return
            else:
                self._failures = 0
                self._take(bound, sock, address)

    def _take(self, bound: BoundSocket, sock: socket.socket, address: Any) -> None:
        if len(self.connections) >= self.max_clients:
            self.count("refused")
            sock.close()
            if self._may_log():
                self._log.warning(
                    "{count} clients are connected, as many as max_clients allows. Further ones are"
                    " disconnected and counted (refused)",
                    count=self.max_clients,
                )
            return
        self.count("connections")
        peer = bound.text if isinstance(address, str | bytes) else join(*address[:2])
        try:
            connection = self._make_connection(self, self._prepared(bound, sock), peer)
        except (OSError, ValueError):  # the peer has left before the handshake
            self.count("tls_failed")
            sock.close()
            return
        self.connections[connection] = None
        try:
            connection.start()
        except OSError as cause:
            connection.close()
            self._back_off(bound, cause)

    def _prepared(self, bound: BoundSocket, sock: socket.socket) -> socket.socket:
        sock.settimeout(0.0)
        if not bound.address.is_local:
            with contextlib.suppress(OSError):  # the peer has left
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = self._accepting[bound]
        if context is None:
            return sock
        return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    # --- out of descriptors ---------------------------------------------------------------------

    def _back_off(self, bound: BoundSocket, cause: OSError) -> None:
        """Accept nothing for a while: the same error would come again at once."""
        self.count("accept_errors")
        self._log_failure(cause)
        self._failures += 1
        if cause.errno in _OUT_OF:
            self._shed(bound)
        for reader in self._readers.values():
            reader.cancel()
        self._readers.clear()
        if self._again is None:
            state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type] # of no call
            state.attempt_number = self._failures
            self._again = self.io.call_later(float(_BACK_OFF(state)), self._accept_again)

    def _accept_again(self, _daemon: Any) -> None:
        self._again = None
        for bound in self._accepting:
            self._watch(bound)

    def _shed(self, bound: BoundSocket) -> None:
        """Disconnect a client that waits, by the descriptor in reserve."""
        if self._reserve is not None:
            os.close(self._reserve)
            with contextlib.suppress(OSError):
                bound.socket.accept()[0].close()
                self.count("refused")
        self._reserve = _open_reserve()

    def _may_log(self) -> bool:
        """Return True at most once a minute: who attacks must not fill the disk."""
        now = self.now()
        if now - self._logged_at < _LOG_INTERVAL:
            return False
        self._logged_at = now
        return True

    def _log_failure(self, cause: OSError) -> None:
        if self._may_log():
            self._log.error(
                "Cannot accept a connection: {reason}. {advice}. Trying again",
                reason=reason(cause),
                advice=advice_for(cause, "", "read", otherwise="Check the network"),
            )


def _open_reserve() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
