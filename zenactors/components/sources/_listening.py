"""The base of sources that listen: addresses, TLS, time limits, reload and stop."""

from __future__ import annotations

import abc
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from zenactors.components._addresses import Address, parse_address
from zenactors.components._files import located
from zenactors.components._options import check_count, check_path, check_positive, check_strings
from zenactors.components._tls import server_context
from zenactors.components.sources._bound import BoundSocket, bind
from zenactors.components.sources._connection import Connection
from zenactors.components.sources._server import StreamServer
from zenactors.components.sources.base import AcknowledgingSource
from zenactors.core.callbacks import handles
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.errors import ZenDaemonComponentException

_MODES = 0o777


class ListeningSource(AcknowledgingSource, abc.ABC):
    """The base of sources that listen.

    Attributes:
        listening: The addresses of the sockets that are open, with the ports that the system has
            chosen.
    """

    _schemes: tuple[str, ...] = ()
    _secure_schemes: tuple[str, ...] = ()
    _example = ""

    def __init__(
        self,
        *,
        listen: list[str],
        max_clients: int,
        idle_timeout: float,
        mode: int,
        tls_certificate: str | None,
        tls_key: str | None,
        tls_client_ca: str | None,
        name: str | None,
        event_map: Mapping[str, str] | None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.listen = check_strings(
            "listen", listen, of="addresses", example=f'["{self._example}"]'
        )
        if not self.listen:
            raise ValueError("listen is [], but at least one address is expected.")
        self.max_clients = check_count("max_clients", max_clients)
        self.idle_timeout = check_positive("idle_timeout", idle_timeout, unit="seconds")
        if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode <= _MODES:
            raise ValueError(f"mode is {mode!r}, but permissions such as 0o660 are expected.")
        self.mode = mode
        self.tls_certificate = _path_or_none("tls_certificate", tls_certificate)
        self.tls_key = _path_or_none("tls_key", tls_key)
        self.tls_client_ca = _path_or_none("tls_client_ca", tls_client_ca)
        self.listening: list[str] = []
        self._addresses = [
            parse_address("listen", each, schemes=self._schemes, example=self._example)
            for each in self.listen
        ]
        self._check_tls()
        self._bound: dict[Address, BoundSocket] = {}
        self._datagrams: dict[BoundSocket, Cancellable] = {}
        self._server: StreamServer | None = None

    def _check_tls(self) -> None:
        secure = [each for each in self._addresses if each.scheme in self._secure_schemes]
        if secure and self.tls_certificate is None:
            raise ValueError(
                f"listen has '{secure[0]}', but tls_certificate is not given: set it to the file of"
                " a certificate."
            )
        for option in ("tls_certificate", "tls_key", "tls_client_ca"):
            if getattr(self, option) is not None and not secure:
                raise ValueError(
                    f"{option} is given, but listen has no address that begins with"
                    f" {self._secure_schemes[0]}://: nothing would be encrypted."
                )

    # --- for subclasses -------------------------------------------------------------------------

    @abc.abstractmethod
    def make_connection(self, server: StreamServer, sock: socket.socket, peer: str) -> Connection:
        """Make the protocol's connection."""

    def take_datagrams(self, bound: BoundSocket) -> None:
        """Read the datagrams of a socket, if the protocol has any."""

    def hand_over_rest(self) -> None:
        """Hand over what was received, because the daemon stops."""

    def open_secrets(self, daemon: Daemon) -> ssl.SSLContext | None:
        """Read the files of certificates, and whatever else is secret.

        Raises:
            ZenDaemonComponentException: One cannot be used. Nothing has changed.
        """
        if self.tls_certificate is None:
            return None
        files = (self.tls_certificate, self.tls_key, self.tls_client_ca)
        certificate, key, ca = (None if each is None else located(each, daemon) for each in files)
        assert certificate is not None
        return server_context(certificate, key, ca)

    # --- life -----------------------------------------------------------------------------------

    def setup(self, daemon: Daemon) -> None:
        """Read certificates, and listen."""
        super().setup(daemon)
        context = self.open_secrets(daemon)
        self._bound = {}
        self._datagrams = {}
        self._server = StreamServer(self, daemon, self.make_connection, self._last_has_left)
        try:
            self._use(self._bind_all(daemon), context)
        except BaseException:  # whatever it was, no socket stays open
            self._end()
            raise

    def teardown(self, daemon: Daemon) -> None:
        """Close all connections and sockets."""
        self._end()
        super().teardown(daemon)

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the addresses, and how many clients are connected."""
        clients = 0 if self._server is None else len(self._server.connections)
        return {**super().get_state(), "listening": list(self.listening), "clients": clients}

    @handles("stop")
    def cbk_event_stop(self, daemon: Daemon, args: Any) -> None:
        """Listen no more, and hand over what was received."""
        self._close_sockets()
        self.hand_over_rest()

    @handles("signal_hup")
    def cbk_event_signal_hup(self, daemon: Daemon, args: Any) -> None:
        """Read the certificates and secrets again, for connections from now on."""
        try:
            context = self.open_secrets(daemon)
        except ZenDaemonComponentException as cause:
            self.log.error("{problem} The old ones are used on", problem=str(cause))  # noqa: TRY400 - no bug
            return
        self._use(self._bound, context)

    def reconfigure(self, daemon: Daemon, config: Mapping[str, Any]) -> None:
        """Replace the options. Sockets whose addresses stay are kept, and so are all connections.

        Raises:
            ValueError: An option is wrong. Nothing has changed, as with the other exceptions.
            ZenDaemonComponentException: An address cannot be bound, or a file cannot be used.
        """
        wanted = type(self)(**{**config, "name": self.name})
        context = wanted.open_secrets(daemon)
        bound = wanted._bind_all(daemon, self._bound)  # noqa: SLF001 - of its own class
        for option in config:
            setattr(self, option, getattr(wanted, option))
        self._addresses = wanted._addresses  # noqa: SLF001
        self.take_secrets(wanted)
        for each in [each for each in self._bound.values() if each not in bound.values()]:
            self._close_socket(each)
        self._use(bound, context)

    def take_secrets(self, wanted: Any) -> None:
        """Take over what another object of this class has read in `open_secrets`."""

    # --- sockets --------------------------------------------------------------------------------

    def _bind_all(
        self, daemon: Daemon, there: Mapping[Address, BoundSocket] | None = None
    ) -> dict[Address, BoundSocket]:
        """Bind to each address, except where a socket is there already."""
        bound: dict[Address, BoundSocket] = {}
        new: list[BoundSocket] = []
        try:
            for address in self._addresses:
                found = (there or {}).get(address)
                if found is None:
                    where = address.at(located(address.path, daemon)) if address.path else address
                    found = bind(where, self.mode)
                    new.append(found)
                bound[address] = found
        except BaseException:  # all of them, or none
            for each in new:
                each.close()
            raise
        return bound

    def _use(self, bound: Mapping[Address, BoundSocket], context: ssl.SSLContext | None) -> None:
        assert self._server is not None
        self._server.max_clients = self.max_clients
        there, self._bound = self._bound, dict(bound)
        for address, each in bound.items():
            if address not in there:
                self.log.info("Listening on {address}", address=each.text)
            if not address.is_datagram:
                self._server.listen(
                    each, context if address.scheme in self._secure_schemes else None
                )
        self.listening = [each.text for each in bound.values()]
        self.read_datagrams()

    def read_datagrams(self, on: bool = True) -> None:  # noqa: FBT001, FBT002 - as one says it
        """Read the sockets of datagrams, or let the system keep, and then drop, what comes."""
        for each in self._bound.values():
            if not each.address.is_datagram:
                continue
            if on and each not in self._datagrams:
                take = _call_with(self.take_datagrams, each)
                self._datagrams[each] = self._daemon.io.add_reader(each.socket, take)
            elif not on and each in self._datagrams:
                self._datagrams.pop(each).cancel()

    def _close_socket(self, bound: BoundSocket) -> None:
        if bound.address.is_datagram:
            reader = self._datagrams.pop(bound, None)
            if reader is not None:
                reader.cancel()
        elif self._server is not None:
            self._server.stop_listening(bound)
        bound.close()

    def _close_sockets(self) -> None:
        for each in self._bound.values():
            self._close_socket(each)
        self._bound = {}
        self.listening = []

    def _end(self) -> None:
        self._close_sockets()
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _last_has_left(self) -> None:
        if self._daemon.exit_when_idle and not self._daemon.is_done():
            self.log.info("The last client has left; ending")
            self._close_sockets()


def _path_or_none(option: str, value: str | None) -> str | None:
    return None if value is None else check_path(option, value, of="a file in PEM format")


def _call_with(take: Any, bound: BoundSocket) -> Any:
    return lambda _daemon: take(bound)
