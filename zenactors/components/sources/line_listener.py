"""A source of lines that other programs send: over TCP, TLS, UDP and Unix sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any, Literal

from zenactors.components._addresses import join
from zenactors.components._options import check_bool, check_choice, check_count
from zenactors.components.sources._bound import BoundSocket
from zenactors.components.sources._connection import Connection
from zenactors.components.sources._framing import Framer, FramingError, cut_datagram
from zenactors.components.sources._listening import ListeningSource
from zenactors.components.sources._server import StreamServer
from zenactors.core.daemon_api import Cancellable, Daemon

_BATCH_LINES = 1_000
_BATCH_BYTES = 262_144
_LINE_BYTES = 64  # of memory, besides the text
_RECORD_BYTES = 320
_DATAGRAMS_AT_ONCE = 256
_MAX_DATAGRAM = 65_536
_DROPPED = struct.Struct("=I")  # the system's count, which wraps


class LineListener(ListeningSource):
    """Take lines that other programs send over TCP, TLS, UDP and Unix sockets.

    One component may listen on several addresses: `tcp://127.0.0.1:5140`, `tls://:6514`,
    `udp://:5140`, `unix:///run/x.sock` and `unixgram:///run/x.sock`. Without a host, only programs
    on this machine can connect (127.0.0.1); `0.0.0.0` is every interface. With port 0 the system
    chooses one, which is in the log and in the state. The socket file of a dead process is
    replaced, and the file is removed at the end.

    What has come since the last look is one `lines` event, of up to 1,000 lines: a list of bytes,
    or of records. If too many lines are not done, connections are not read, so their senders have
    to wait; datagrams are dropped by the system. SIGHUP reads the certificates again, and a reload
    keeps sockets and connections.

    Without clients it waits for some. With `--exit-when-idle` it ends when the last of them has
    left; datagrams alone do not end it.

    Statistics: `lines`, `bytes`, `connections` and `datagrams` received; `long_lines` (cut or left
    out), `unfinished_lines` (cut by the end of a connection), `bad_frames`, `dropped` datagrams (by
    the system), `refused` (over `max_clients`), `timeouts`, `tls_failed`, `broken` connections and
    `accept_errors`.

    Promises:
        loss: Raw lines and syslog have no acknowledgement, so a sender does not know what became of
            its lines. Those that are received and not handled are lost if the daemon dies or is
            terminated, and those that only the system has are lost at each stop. Datagrams may be
            dropped; the system's drops are counted.
        duplicates: None of its own.
        order: The lines of a connection, or of a datagram socket, are handed on in their order.
        memory: At most `max_clients` times `max_line_bytes`, 64 KiB of input, and 8 MiB of lines
            that are not done, however long a line is that comes.
        threads: None of its own. Each connection is read up to 64 KiB in turn, so that one that
            floods does not keep the others waiting.

    Args:
        listen: The addresses to listen on.
        framing: How a message ends in a stream. `"line"`: with a line end. `"octet"`: its length is
            before it, as in RFC 6587. `"auto"`: either, by whether it begins with a digit. In a
            datagram, `"line"` allows several lines; with the others, it is one message.
        max_line_bytes: The longest line. What comes behind it, up to its end, is left out.
        long_lines: Whether a longer line is cut (`"truncate"`), or left out as a whole (`"skip"`).
        unfinished_lines: Whether a line that the end of its connection has cut is handed on
            (`"keep"`) or left out (`"drop"`).
        add_peer: Hand on records with `line`, as text, and `peer`, the sender's address.
        max_clients: The most connections; further ones are closed at once.
        idle_timeout: Seconds until a connection is closed that sends nothing.
        mode: The permissions of new Unix sockets, such as 0o660. 384 is 0o600: only for the user.
        tls_certificate: The file of the certificate for `tls://`, in PEM format, with those that
            lead to its issuer.
        tls_key: The file of its private key, if it is not in the same file.
        tls_client_ca: The file of the issuers of clients' certificates. They are required then.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "collect"

        [[component]]
        use = "zenactors.components:LineListener"

        [component.options]
        listen = ["unix://lines.sock"]

        [[component]]
        use = "zenactors.components:JsonParser"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
    """

    _schemes = ("tcp", "tls", "udp", "unix", "unixgram")
    _secure_schemes = ("tls",)
    _example = "tcp://127.0.0.1:5140"

    def __init__(
        self,
        *,
        listen: list[str],
        framing: Literal["line", "octet", "auto"] = "line",
        max_line_bytes: int = 65_536,
        long_lines: Literal["truncate", "skip"] = "truncate",
        unfinished_lines: Literal["keep", "drop"] = "keep",
        add_peer: bool = False,
        max_clients: int = 500,
        idle_timeout: float = 600.0,
        mode: int = 0o600,
        tls_certificate: str | None = None,
        tls_key: str | None = None,
        tls_client_ca: str | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            listen=listen,
            max_clients=max_clients,
            idle_timeout=idle_timeout,
            mode=mode,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            name=name,
            event_map=event_map,
        )
        self.framing = check_choice("framing", framing, ("line", "octet", "auto"))
        self.max_line_bytes = check_count("max_line_bytes", max_line_bytes)
        self.long_lines = check_choice("long_lines", long_lines, ("truncate", "skip"))
        self.unfinished_lines = check_choice("unfinished_lines", unfinished_lines, ("keep", "drop"))
        self.add_peer = check_bool("add_peer", add_peer)
        self._batch: list[Any] = []
        self._batch_bytes = 0
        self._flush_timer: Cancellable | None = None
        self._drops: dict[BoundSocket, int] = {}

    def setup(self, daemon: Daemon) -> None:
        """Read certificates, and listen."""
        self._batch, self._batch_bytes, self._flush_timer = [], 0, None
        self._drops = {}
        super().setup(daemon)

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the addresses, and the bytes of unfinished lines."""
        connections = () if self._server is None else self._server.connections
        buffered = sum(each.buffered for each in connections if isinstance(each, LineConnection))
        return {**super().get_state(), "buffered_bytes": buffered}

    def on_room(self) -> None:
        """Read again, once half of what may be under way is done."""
        half = self.max_unfinished // 2, self.max_unfinished_bytes // 2
        if self._unfinished > half[0] or self._unfinished_bytes > half[1]:
            self._was_full = True  # ask again: to begin and cease at each event costs too much
        elif self._server is not None:
            self._server.resume()
            self.read_datagrams()

    def make_connection(self, server: StreamServer, sock: socket.socket, peer: str) -> Connection:
        """Make a connection that brings lines."""
        return LineConnection(self, server, sock, peer)

    def take_datagrams(self, bound: BoundSocket) -> None:
        """Read what has come, but not more than a bounded number."""
        for _ in range(_DATAGRAMS_AT_ONCE):
            if bound not in self._datagrams:
                return  # this source is full
            try:
                data, notes, _, sender = bound.socket.recvmsg(_MAX_DATAGRAM, _DROPPED.size * 8)
            except OSError:  # there is no more; or an ICMP error of an earlier answer
                return
            self.inc_statistic("datagrams")
            self._count_dropped(bound, notes)
            lines, long = cut_datagram(data, self.framing, self.max_line_bytes, self.long_lines)
            if long:
                self.inc_statistic("long_lines", long)
            is_remote = isinstance(sender, tuple)
            self.take(lines, join(*sender[:2]) if is_remote else bound.text, len(data))

    def _count_dropped(self, bound: BoundSocket, notes: list[tuple[int, int, bytes]]) -> None:
        """Add what the system has dropped since the last datagram, by its own count."""
        for level, _, data in notes:
            if level != socket.SOL_SOCKET or len(data) != _DROPPED.size:
                continue
            (total,) = _DROPPED.unpack(data)
            new = (total - self._drops.get(bound, 0)) % (1 << 32)
            if new:
                self._drops[bound] = total
                self.inc_statistic("dropped", new)

    # --- handing over ---------------------------------------------------------------------------

    def take(self, lines: list[bytes], peer: str, size: int) -> None:
        """Add lines to the batch, and hand it over if it is large enough."""
        self.inc_statistic("bytes", size)
        if not lines or self._server is None:
            return
        self.inc_statistic("lines", len(lines))
        self._batch_bytes += sum(map(len, lines))
        if self.add_peer:
            self._batch += [{"line": each.decode(errors="replace"), "peer": peer} for each in lines]
        else:
            self._batch += lines
        if len(self._batch) >= _BATCH_LINES or self._batch_bytes >= _BATCH_BYTES:
            self._flush()
        elif self._flush_timer is None:  # after all that is ready now
            self._flush_timer = self._daemon.io.call_later(0.0, self._wake_up_is_over)

    def hand_over_rest(self) -> None:
        """Hand over what was received, unfinished lines included."""
        if self._server is not None:
            for connection in list(self._server.connections):
                connection.close()
        self._flush()

    def _wake_up_is_over(self, _daemon: Any) -> None:
        self._flush_timer = None
        self._flush()

    def _flush(self) -> None:
        timer, self._flush_timer = self._flush_timer, None
        if timer is not None:
            timer.cancel()
        each = _RECORD_BYTES if self.add_peer else _LINE_BYTES
        size = self._batch_bytes + each * len(self._batch)
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        for begin in range(0, len(batch), _BATCH_LINES):
            part = batch[begin : begin + _BATCH_LINES]
            self.hand_over(part, size=size * len(part) // len(batch))
        if self.is_full and self._server is not None:
            self._server.pause()
            self.read_datagrams(on=False)


class LineConnection(Connection):
    """A connection that brings lines."""

    def __init__(
        self, listener: LineListener, server: StreamServer, sock: socket.socket, peer: str
    ) -> None:
        super().__init__(server, sock, peer)
        self._listener = listener
        self._framer = Framer(listener.framing, listener.max_line_bytes, listener.long_lines)

    @property
    def buffered(self) -> int:
        """How many bytes of an unfinished line are kept."""
        return self._framer.buffered

    def opened(self) -> None:
        """Give the peer its time to begin."""
        self.expire_in(self._listener.idle_timeout)

    def received(self, data: bytes) -> None:
        """Hand on the lines that have ended."""
        self.expire_in(self._listener.idle_timeout)
        try:
            lines = self._framer.feed(data)
        except FramingError as cause:
            self._server.count("bad_frames")
            self._take(cause.messages, len(data))
            self._framer.finish()
            self.close()
        else:
            self._take(lines, len(data))

    def expired(self) -> None:
        """Disconnect a peer that has been silent for too long."""
        self._server.count("timeouts")
        self.close()

    def closed(self) -> None:
        """Hand on an unfinished line, or leave it out."""
        rest = self._framer.finish()
        if rest is not None:
            self._server.count("unfinished_lines")
            self._take([rest] if self._listener.unfinished_lines == "keep" else [], 0)

    def _take(self, lines: list[bytes], size: int) -> None:
        if self._framer.long:
            self._server.count("long_lines", self._framer.long)
            self._framer.long = 0
        self._listener.take(lines, self.peer, size)
