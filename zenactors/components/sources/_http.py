"""One HTTP connection of an `HttpListener`: requests in, answers out. h11 speaks the protocol."""

from __future__ import annotations

import http
import socket
from collections.abc import Callable
from typing import Any, Protocol

import h11

from zenactors.components.sources._connection import Connection, Server
from zenactors.components.sources._http_request import Refusal, Request
from zenactors.core.tokens import TokenOutcome


class Listener(Protocol):
    """What a connection needs of its component; see `HttpListener`."""

    max_header_bytes: int
    request_timeout: float
    idle_timeout: float

    @property
    def answer(self) -> str:
        """When a client is answered: `"done"` or `"accepted"`."""
        ...

    @property
    def is_ending(self) -> bool:
        """True once the daemon stops."""
        ...

    def check(self, request: Request) -> None:
        """Look at the head of a request; raise `Refusal` if it is not taken."""
        ...

    def check_size(self, size: int) -> None:
        """Look at the size of a body; raise `Refusal` if it is too large."""
        ...

    def count_body(self, size: int) -> None:
        """Count the bytes of all bodies that are being received."""
        ...

    def unavailable(self, text: str) -> Refusal:
        """Return the answer 503."""
        ...

    def deliver(self, request: Request, on_done: Callable[[TokenOutcome], object] | None) -> bool:
        """Hand over a whole request. False: there is nothing in it."""
        ...

    def date(self) -> str:
        """Return the time, as HTTP writes it."""
        ...


class HttpConnection(Connection):
    """A connection that brings requests. The next one is read when the last one is answered.

    Attributes:
        body_bytes: How many bytes of a body have come.
    """

    def __init__(self, listener: Listener, server: Server, sock: socket.socket, peer: str) -> None:
        super().__init__(server, sock, peer)
        self.body_bytes = 0
        self._listener = listener
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=listener.max_header_bytes)
        self._request: Request | None = None
        self._has_begun = False
        self._is_waiting = False  # for the end of an event
        self._method = ""

    # --- the connection -------------------------------------------------------------------------

    def opened(self) -> None:
        """Give the peer its time to begin."""
        self.expire_in(self._listener.idle_timeout)

    def received(self, data: bytes) -> None:
        """Go on with a request."""
        self._begin()
        self._http.receive_data(data)
        self._go_on()

    def ended(self) -> None:
        """Take note that no further request comes; one that is whole is still answered."""
        self.read(on=False)
        if self._is_waiting:
            return
        self._http.receive_data(b"")
        self._go_on()

    def expired(self) -> None:
        """Answer a peer that is too slow; disconnect one that sends nothing."""
        self._server.count("timeouts")
        if self._has_begun and not self._is_waiting:
            self._refuse(Refusal(408, "the request took too long"))
        else:
            self.close()

    def closed(self) -> None:
        """Forget the body of an unfinished request."""
        self._forget_request()

    def stop(self) -> None:
        """End, because the daemon stops: only requests that are whole are still answered."""
        if self._is_waiting:
            return
        if self._has_begun:
            self._refuse(self._listener.unavailable("the daemon stops"))
        else:
            self.close()

    def give_up(self) -> None:
        """Answer a request whose event was not done before the end."""
        if self._is_waiting:
            self._is_waiting = False
            self._refuse(self._listener.unavailable("the daemon stops"))

    # --- a request ------------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self.expire_in(self._listener.request_timeout)

    def _go_on(self) -> None:
        """Take in what h11 makes of the input, as far as it has come."""
        try:
            while self.is_open and not self._is_waiting:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    self._let_it_continue()
                    return
                if event is h11.PAUSED:
                    return
                self._take(event)
        except h11.RemoteProtocolError as cause:
            self._refuse(Refusal(cause.error_status_hint, "this is no request that can be read"))
        except Refusal as refusal:
            self._refuse(refusal)

    def _take(self, event: Any) -> None:
        if isinstance(event, h11.Request):
            self._method = event.method.decode("ascii")
            self._request = Request(event.method, event.target, event.headers, self.peer)
            self._listener.check(self._request)
        elif isinstance(event, h11.Data):
            self._take_body(event.data)
        elif isinstance(event, h11.EndOfMessage):
            request, self._request = self._request, None
            assert request is not None
            self._finish_request(request)
        else:  # the peer has closed
            self.finish()

    def _take_body(self, data: bytes) -> None:
        assert self._request is not None
        self.body_bytes += len(data)
        self._listener.count_body(len(data))
        self._listener.check_size(self.body_bytes)
        self._request.body += data

    def _finish_request(self, request: Request) -> None:
        self._forget_request()
        self.expire_in(None)
        if self._listener.answer == "accepted":
            self._listener.deliver(request, None)
            self._server.count("requests")
            self._respond(202, "accepted")
            return
        self._is_waiting = True
        try:
            has_content = self._listener.deliver(request, self._answer)
        except Refusal:
            self._is_waiting = False
            raise
        self._server.count("requests")
        if has_content:
            self.read(on=False)
        else:
            self._is_waiting = False
            self._respond(200, "done")

    def _answer(self, outcome: TokenOutcome) -> None:
        """Answer a request whose event has ended."""
        if not self._is_waiting:
            return  # the peer has left, or was given up
        self._is_waiting = False
        if outcome is TokenOutcome.DONE:
            self._respond(200, "done")
        elif outcome is TokenOutcome.FAILED:
            self._respond(500, "failed")
        else:
            self._refuse(self._listener.unavailable("left undone"))
        if self.is_open:
            self.read(on=True)
            self._go_on()

    def _forget_request(self) -> None:
        self._listener.count_body(-self.body_bytes)
        self.body_bytes = 0
        self._request = None

    # --- answers --------------------------------------------------------------------------------

    def _let_it_continue(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            answer = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
            self.send(self._http.send(answer) or b"")

    def _refuse(self, refusal: Refusal) -> None:
        self._server.count(f"status_{refusal.status}")
        self._forget_request()
        self._respond(refusal.status, str(refusal), *refusal.headers)

    def _respond(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        """Send an answer, and begin anew, or end if the rest of the request has not been read."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.close()
            return
        body = b"" if self._method == "HEAD" else f"{text}\n".encode()
        is_over = self._http.their_state is not h11.DONE or self._listener.is_ending
        answer = h11.Response(
            status_code=status,
            reason=http.HTTPStatus(status).phrase,
            headers=[
                ("Date", self._listener.date()),
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(text) + 1)),
                *headers,
                *([("Connection", "close")] if is_over else []),
            ],
        )
        parts = (answer, h11.Data(data=body), h11.EndOfMessage())
        self.send(b"".join(self._http.send(part) or b"" for part in parts))
        if not self.is_open:
            return
        if self._http.states != {h11.SERVER: h11.DONE, h11.CLIENT: h11.DONE}:
            self.finish()
            return
        self._http.start_next_cycle()
        self._has_begun = False
        self._method = ""
        if self._http.trailing_data[0]:
            self._begin()
        else:
            self.expire_in(self._listener.idle_timeout)
