"""A source of webhooks: it answers a request when its event is done."""

from __future__ import annotations

import email.utils
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from zenactors.components._options import (
    check_choice,
    check_count,
    check_path,
    check_positive,
    check_strings,
)
from zenactors.components.sources._connection import Connection
from zenactors.components.sources._http_request import Keys, Refusal, Request, args_of
from zenactors.components.sources._listening import ListeningSource
from zenactors.components.sources._server import StreamServer
from zenactors.core.daemon_api import Daemon
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import ZenDaemonComponentException

if TYPE_CHECKING:
    from zenactors.components.sources._http import HttpConnection


class HttpListener(ListeningSource):
    """Take webhooks and other small HTTP requests, and answer each when its event is done.

    Needs h11: `pip install 'zenactors[web]'`. It listens on `http://127.0.0.1:8080`,
    `https://:8443` or `unix:///run/x.sock`, one or several of them. Without a host, only programs
    on this machine can connect (127.0.0.1); `0.0.0.0` is every interface. With port 0 the system
    chooses one, which is in the log and in the state.

    The body of each request is one `lines` event. With `body = "json"` it is one record with
    `method`, `path`, `query`, `peer`, `headers` (if there are any to keep) and `json`, the value;
    with `"text"` the same with `text`. With `"ndjson"` each line is a JSON object, and a record;
    with `"lines"` it is a list of bytes, for a parser.

    The answer is 200 when everything that came of the event is done, and 500 if it has failed and
    is a dead letter; with `answer = "accepted"` it is 202 at once. It is 503 with `Retry-After` if
    too many events are not done, or if the daemon stops. A request that is wrong is answered 400,
    404, 405, 413, 431 or 501, one without the right token or signature 401, and one that takes too
    long 408.

    SIGHUP reads certificates, tokens and secrets again, and a reload keeps sockets and connections.
    Without clients it waits for some. With `--exit-when-idle` it ends when the last of them has
    left.

    Statistics: `requests` that were taken, `connections`, `status_N` (errors that were answered),
    `refused` (over `max_clients`), `timeouts`, `tls_failed`, `slow_readers`, `broken` connections
    and `accept_errors`.

    Promises:
        loss: With `answer = "done"`, a client that gets no 200 sends again, so only what the sinks
            lose is lost. With `"accepted"`, so is what is not done when the process dies.
        duplicates: If the daemon ends or the connection breaks after an event was done and before
            its answer has arrived, the client sends it again.
        order: The requests of a connection come one after the other; those of several connections
            in any order.
        memory: Per connection `max_header_bytes` and 64 KiB; all bodies that are being received
            have 8 MiB, and so have all events that are not done. What is beyond is answered 503.
        threads: None of its own.

    Args:
        listen: The addresses to listen on.
        paths: The paths that are taken; one that ends with `*` is the beginning of many. None: any.
        methods: The methods that are taken. None: only POST.
        body: What a body is: see above.
        headers: Headers to keep in records, such as `X-GitHub-Event`.
        answer: Whether a client is answered when its event is `"done"`, or `"accepted"` at once.
        token_file: A file with a bearer token in each line. Only requests with one of them are
            taken, the others are answered 401.
        secret_file: A file with a secret. Only requests are taken whose `signature_header` has the
            HMAC-SHA256 of the body with it, in hexadecimal, as GitHub does it.
        signature_header: The header of the signature.
        max_body_bytes: The longest body.
        max_header_bytes: The longest request line, with all headers.
        max_clients: The most connections; further ones are closed at once.
        request_timeout: Seconds that a request may take to come.
        idle_timeout: Seconds until a connection is closed on which no request begins.
        retry_after: Seconds after which clients are asked to try again.
        mode: The permissions of new Unix sockets, such as 0o660. 384 is 0o600: only for the user.
        tls_certificate: The file of the certificate for `https://`, in PEM format, with those that
            lead to its issuer.
        tls_key: The file of its private key, if it is not in the same file.
        tls_client_ca: The file of the issuers of clients' certificates. They are required then.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "hooks"

        [[component]]
        use = "zenactors.components:HttpListener"

        [component.options]
        listen = ["unix://hooks.sock"]
        paths = ["/hooks/*"]

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
    """

    _schemes = ("http", "https", "unix")
    _secure_schemes = ("https",)
    _example = "http://127.0.0.1:8080"

    def __init__(
        self,
        *,
        listen: list[str],
        paths: list[str] | None = None,
        methods: list[str] | None = None,
        body: Literal["json", "text", "ndjson", "lines"] = "json",
        headers: list[str] | None = None,
        answer: Literal["done", "accepted"] = "done",
        token_file: str | None = None,
        secret_file: str | None = None,
        signature_header: str = "X-Hub-Signature-256",
        max_body_bytes: int = 1 << 20,
        max_header_bytes: int = 16_384,
        max_clients: int = 500,
        request_timeout: float = 30.0,
        idle_timeout: float = 60.0,
        retry_after: float = 5.0,
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
        self.paths = None if paths is None else _check_paths(paths)
        self.methods = _check_methods(["POST"] if methods is None else methods)
        self.body = check_choice("body", body, ("json", "text", "ndjson", "lines"))
        self.headers = check_strings(
            "headers", headers or [], of="names of headers", example='["X-GitHub-Event"]'
        )
        self.answer = check_choice("answer", answer, ("done", "accepted"))
        self.token_file = _secret_or_none("token_file", token_file)
        self.secret_file = _secret_or_none("secret_file", secret_file)
        if not isinstance(signature_header, str) or not signature_header:
            raise ValueError(
                f"signature_header is {signature_header!r}, but the name of a header is expected."
            )
        self.signature_header = signature_header
        self.max_body_bytes = check_count("max_body_bytes", max_body_bytes)
        self.max_header_bytes = check_count("max_header_bytes", max_header_bytes)
        self.request_timeout = check_positive("request_timeout", request_timeout, unit="seconds")
        self.retry_after = check_positive("retry_after", retry_after, unit="seconds")
        self._keys: Keys
        self._body_bytes = 0
        self._connection: type[HttpConnection]

    # --- life -----------------------------------------------------------------------------------

    def setup(self, daemon: Daemon) -> None:
        """Read certificates, tokens and secrets, and listen."""
        try:
            from zenactors.components.sources._http import HttpConnection  # noqa: PLC0415 - optional
        except ImportError as cause:
            raise ZenDaemonComponentException(
                "HttpListener needs h11, which is not installed. Install it:"
                " pip install 'zenactors[web]'."
            ) from cause
        self._connection = HttpConnection
        self._body_bytes = 0
        super().setup(daemon)

    def teardown(self, daemon: Daemon) -> None:
        """Answer what is not done, and close all connections and sockets."""
        for connection in self._http_connections():
            connection.stop()  # without a graceful stop, nothing has done this
            connection.give_up()
        super().teardown(daemon)

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the addresses, and the bytes of unfinished bodies."""
        return {**super().get_state(), "body_bytes": self._body_bytes}

    def make_connection(self, server: StreamServer, sock: socket.socket, peer: str) -> Connection:
        """Make a connection that brings requests."""
        return self._connection(self, server, sock, peer)

    def hand_over_rest(self) -> None:
        """End connections, except those whose request waits for its answer."""
        for connection in self._http_connections():
            connection.stop()

    def open_secrets(self, daemon: Daemon) -> ssl.SSLContext | None:
        """Read certificates, tokens and secrets."""
        context = super().open_secrets(daemon)
        self._keys = Keys(self.token_file, self.secret_file, self.signature_header, daemon)
        return context

    def take_secrets(self, wanted: HttpListener) -> None:
        """Take over tokens and secrets."""
        self._keys = wanted._keys

    def _http_connections(self) -> list[HttpConnection]:
        if self._server is None:
            return []
        return [each for each in self._server.connections if isinstance(each, self._connection)]

    # --- requests -------------------------------------------------------------------------------

    def check(self, request: Request) -> None:
        """Look at the head of a request.

        Raises:
            Refusal: It is not taken.
        """
        if not self._is_known(request.path):
            raise Refusal(404, "no such path")
        if request.method not in self.methods:
            raise Refusal(405, "no such method", ("Allow", ", ".join(self.methods)))
        self._keys.check_token(request)
        if self.is_full:
            raise self.unavailable("too many requests are not done")
        self.check_size(request.announced())

    def check_size(self, size: int) -> None:
        """Look at the size of a body, as far as it is known.

        Raises:
            Refusal: It is too large, or all of them are.
        """
        if size > self.max_body_bytes:
            raise Refusal(413, f"a body may have {self.max_body_bytes} bytes")
        if self._body_bytes > max(self.max_unfinished_bytes, self.max_body_bytes):
            raise self.unavailable("too many bodies are being received")

    def count_body(self, size: int) -> None:
        """Count the bytes of all bodies that are being received."""
        self._body_bytes += size

    def unavailable(self, text: str) -> Refusal:
        """Return the answer 503."""
        return Refusal(503, text, ("Retry-After", str(max(1, round(self.retry_after)))))

    def deliver(self, request: Request, on_done: Callable[[TokenOutcome], object] | None) -> bool:
        """Hand over a whole request. False: there is nothing in it.

        Raises:
            Refusal: It is not taken.
        """
        self._keys.check_signature(request)
        if self.is_full or self.is_ending:
            raise self.unavailable("too many requests are not done")
        args, size = args_of(request, self.body, self.headers)
        if args:
            self.hand_over(args, size=size, on_done=on_done)
        return bool(args)

    def date(self) -> str:
        """Return the time, as HTTP writes it."""
        return email.utils.formatdate(self.clock.time(), usegmt=True)

    @property
    def is_ending(self) -> bool:
        """True once the daemon stops."""
        return self._daemon.is_done()

    def _is_known(self, path: str) -> bool:
        if self.paths is None:
            return True
        return any(
            path.startswith(each[:-1]) if each.endswith("*") else path == each
            for each in self.paths
        )


def _check_paths(paths: list[str]) -> list[str]:
    for each in check_strings("paths", paths, of="paths", example='["/hooks/*"]'):
        if not each.startswith("/") or not each.isascii() or "?" in each:
            raise ValueError(f"paths has {each!r}, but a path such as '/hooks/*' is expected.")
    if not paths:
        raise ValueError("paths is [], but at least one path is expected.")
    return list(paths)


def _check_methods(methods: list[str]) -> list[str]:
    for each in check_strings("methods", methods, of="methods", example='["POST", "PUT"]'):
        # After CONNECT, a connection would not speak HTTP any more.
        if not (each.isascii() and each.isalpha() and each.isupper()) or each == "CONNECT":
            raise ValueError(f"methods has {each!r}, but a method such as 'POST' is expected.")
    if not methods:
        raise ValueError("methods is [], but at least one method is expected.")
    return list(methods)


def _secret_or_none(option: str, value: str | None) -> str | None:
    return None if value is None else check_path(option, value, of="a file")
