"""A sink that sends records to another program: over TCP, TLS, UDP and Unix sockets."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from typing import Any, Literal, TypeGuard, Unpack

from zenactors.components._addresses import DATAGRAMS, network_reason, parse_address
from zenactors.components._files import located
from zenactors.components._json_text import encode_json
from zenactors.components._options import check_choice, check_path, check_positive
from zenactors.components._tls import client_context
from zenactors.components.sinks.base import BatchingOptions, BatchingSink
from zenactors.core.daemon_api import Daemon
from zenactors.errors import RestartComponent

_CHUNK = 65_536
_LONGEST_GOODBYE = 2.0  # seconds
_MOST_CHUNKS = 64  # that a peer may have sent, and that are thrown away
_EXAMPLE = "tcp://127.0.0.1:5140"


class SocketSink(BatchingSink):
    """Send records as lines over TCP, TLS, UDP or a Unix socket.

    It connects when it has something to send, and again when the connection is lost: to
    `tcp://127.0.0.1:5140`, `tls://logs.example.org:6514`, `udp://127.0.0.1:514`,
    `unix:///run/x.sock` or `unixgram:///dev/log`. Over TLS it verifies the server's certificate and
    name. What the peer sends is thrown away. A datagram has one record.

    A batch that cannot be sent is tried again on a new connection, from its beginning, so the peer
    may get a part of it twice, and the last line of the broken connection cut off.

    Statistics: `records` and `batches` sent, `bytes`, `connects`, `retries`, and `failed` records.

    Promises:
        loss: An event is done when the system has taken its records to send them. The peer does
            not say what it has got: what is on the way when a connection breaks is lost, and so is
            any datagram that is dropped. What could not be sent at all is a dead letter.
        duplicates: A batch that fails is sent again as a whole.
        order: Records are sent in the order in which they come.
        memory: One batch, and its bytes.
        threads: None of its own. It blocks while the peer does not read, for `timeout` seconds at
            most, then the batch is tried again; `interrupt` ends that.

    Args:
        address: What to connect to.
        content: Whether each record is sent as JSON (`"json"`), or as its text (`"lines"`): bytes
            as they are, and of a dict the value of `line`.
        framing: `"line"`: a line end follows each message, and those in it become spaces.
            `"octet"`: its length is before it, as in RFC 6587. Datagrams need neither.
        timeout: Seconds that connecting, and sending a batch, may take.
        tls_ca: The file of the issuers to trust, in PEM format. None: those that the system trusts.
        tls_certificate: The file of a certificate to show to the server.
        tls_key: The file of its private key, if it is not in the same file.
        **batching: The options of `BatchingSink`.

    Example:
        name = "forward"

        [[component]]
        use = "zenactors.components:FileTailer"

        [component.options]
        patterns = ["access.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:SocketSink"

        [component.options]
        address = "tcp://127.0.0.1:5140"
        content = "lines"
    """

    temporary = (OSError,)

    def __init__(
        self,
        *,
        address: str,
        content: Literal["json", "lines"] = "json",
        framing: Literal["line", "octet"] = "line",
        timeout: float = 10.0,
        tls_ca: str | None = None,
        tls_certificate: str | None = None,
        tls_key: str | None = None,
        **batching: Unpack[BatchingOptions],
    ) -> None:
        super().__init__(**batching)
        self.address = address
        self._address = parse_address(
            "address", address, schemes=("tcp", "tls", *DATAGRAMS, "unix"), example=_EXAMPLE
        )
        if not self._address.path and not self._address.port:
            raise ValueError(f"address is {address!r}, but a port above 0 is expected.")
        self.content = check_choice("content", content, ("json", "lines"))
        self.framing = check_choice("framing", framing, ("line", "octet"))
        self.timeout = check_positive("timeout", timeout, unit="seconds")
        self.tls_ca = self._tls_file("tls_ca", tls_ca)
        self.tls_certificate = self._tls_file("tls_certificate", tls_certificate)
        self.tls_key = self._tls_file("tls_key", tls_key)
        self._context: ssl.SSLContext | None = None
        self._socket: socket.socket | None = None
        self._is_interrupted = False

    def _tls_file(self, option: str, value: str | None) -> str | None:
        if value is not None and self._address.scheme != "tls":
            raise ValueError(
                f"{option} is given, but address is '{self._address}': nothing would be encrypted."
                " Write tls://."
            )
        return None if value is None else check_path(option, value, of="a file in PEM format")

    def setup(self, daemon: Daemon) -> None:
        """Read the files for TLS."""
        super().setup(daemon)
        if self._address.path:
            self._address = self._address.at(located(self._address.path, daemon))
        if self._address.scheme == "tls":
            files = (self.tls_ca, self.tls_certificate, self.tls_key)
            self._context = client_context(
                *(None if each is None else located(each, daemon) for each in files)
            )

    def teardown(self, daemon: Daemon) -> None:
        """Send what is left, and disconnect."""
        super().teardown(daemon)
        self._hang_up()

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and whether it is connected."""
        return {**super().get_state(), "connected": self._socket is not None}

    def interrupt(self) -> None:
        """End a wait for the peer: the connection is shut down. Thread: any."""
        self._is_interrupted = True
        connected = self._socket  # read once: the component's thread may replace it
        if connected is not None:
            with contextlib.suppress(OSError):  # it is not connected yet, or no more
                connected.shutdown(socket.SHUT_RDWR)

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Send records; when this returns, the system has them."""
        messages = [self._message(record) for record in records]
        self._is_interrupted = False  # that one came too late
        try:
            self._send(messages)
        except OSError as cause:
            self._disconnect()
            if cause.errno == errno.EMSGSIZE:
                raise ValueError(
                    f"A record is too long for a datagram to {self._address}."
                ) from cause
            if self._is_interrupted:
                raise RestartComponent(f"Sending to {self._address} was interrupted.") from cause
            raise ConnectionError(
                f"cannot send to {self._address}: {network_reason(cause)}"
            ) from cause
        self.inc_statistic("bytes", sum(map(len, messages)))

    def _message(self, record: Any) -> bytes:
        """Return a record as it is sent, with its frame."""
        if self.content == "json":
            shown = {"line": record.decode(errors="replace")} if _is_raw(record) else record
            message = encode_json(shown).encode("utf-8", errors="backslashreplace")
        else:
            message = _text_of(record)
        if self._address.is_datagram:
            return message
        if self.framing == "octet":
            return b"%d %b" % (len(message), message)
        return message.replace(b"\n", b" ") + b"\n"

    def _send(self, messages: list[bytes]) -> None:
        if self._socket is not None and not self._address.is_datagram and self._has_left():
            self._disconnect()
        if self._socket is None:
            self._connect()
        assert self._socket is not None
        if self._address.is_datagram:
            for message in messages:
                self._socket.send(message)
        else:
            self._socket.sendall(b"".join(messages))

    def _connect(self) -> None:
        family, kind, where = self._address.resolve()
        # `interrupt` may shut it down while it connects.
        made = self._socket = socket.socket(family, kind)
        made.settimeout(self.timeout)
        made.connect(where)
        if self._context is not None:
            self._socket = self._context.wrap_socket(made, server_hostname=self._address.host)
        self.inc_statistic("connects")

    def _has_left(self) -> bool:
        """Return True if the peer has closed the connection. Throw away what it has sent."""
        assert self._socket is not None
        self._socket.settimeout(0.0)
        try:
            for _ in range(_MOST_CHUNKS):
                if not self._socket.recv(_CHUNK):
                    return True
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            return True
        self._socket.settimeout(self.timeout)
        return False

    def _hang_up(self) -> None:
        """Disconnect so that the peer gets what was sent: unread input would reset the connection.

        With TLS there is always some, so both sides have to say that they are at the end.
        """
        connected = self._socket
        with contextlib.suppress(OSError, ValueError):  # the peer need not answer
            if isinstance(connected, ssl.SSLSocket):
                connected.settimeout(min(self.timeout, _LONGEST_GOODBYE))
                connected.unwrap()
            elif connected is not None and not self._address.is_datagram:
                self._has_left()
        self._disconnect()

    def _disconnect(self) -> None:
        connected, self._socket = self._socket, None
        if connected is not None:
            connected.close()


def _is_raw(record: Any) -> TypeGuard[bytes]:
    return isinstance(record, bytes)


def _text_of(record: Any) -> bytes:
    text = record.get("line") if isinstance(record, dict) else record
    if isinstance(text, str):
        return text.encode("utf-8", errors="backslashreplace")
    if _is_raw(text):
        return text
    raise TypeError(
        f"content is 'lines', but a record is {type(record).__name__} without the text 'line':"
        " use content = 'json'."
    )
