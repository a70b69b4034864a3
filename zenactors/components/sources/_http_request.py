"""A request of an `HttpListener`: what it brings, who may send it, and why it is refused."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NoReturn

from zenactors.advice import advice_for, reason
from zenactors.components._files import located
from zenactors.core.daemon_api import Daemon
from zenactors.errors import ZenDaemonComponentException

Body = Literal["json", "text", "ndjson", "lines"]

_JSON_SIZE = 4  # of the objects, compared with the text
_LINE_BYTES = 64  # of memory, besides the text
_RECORD_BYTES = 1_024


class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request is answered with an error.

    Attributes:
        status: The status of the answer.
        headers: Further headers of it.
    """

    def __init__(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class Request:
    """A request as it comes in.

    Args:
        method: Its method.
        target: What the client asks for: a path and perhaps a query.
        headers: Names in small letters, and values. The first one of a name counts.
        peer: Who sends it.

    Attributes:
        path: The path, without the query.
        query: What is behind the question mark.
        body: The body, as far as it has come.
    """

    def __init__(
        self, method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]], peer: str
    ) -> None:
        self.method = method.decode("ascii")
        path, _, self.query = target.decode("latin-1").partition("?")
        if "://" in path:  # as for a proxy
            path = "/" + path.partition("://")[2].partition("/")[2]
        self.path = path
        self.headers: dict[str, str] = {}
        for name, value in headers:
            self.headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        self.body = bytearray()
        self.peer = peer

    def announced(self) -> int:
        """Return the size of the body if the head says it, else 0."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isdecimal() else 0


def args_of(request: Request, body: Body, headers: list[str]) -> tuple[list[Any], int]:
    """Return the args of a request's event, and how much memory they take, roughly.

    Args:
        request: A whole request.
        body: What its body should be.
        headers: Those to keep in a record.

    Raises:
        Refusal: Its body is something else.
    """
    size = len(request.body)
    if body == "lines":
        lines = [line.removesuffix(b"\r") for line in bytes(request.body).split(b"\n")]
        if not lines[-1]:
            lines.pop()
        return lines, size + _LINE_BYTES * len(lines)
    if body == "ndjson":
        records = [_parse(line) for line in request.body.split(b"\n") if line.strip()]
        if not all(isinstance(each, dict) for each in records):
            raise Refusal(400, "a JSON object is expected in each line")
        return records, size * _JSON_SIZE + _LINE_BYTES * len(records)
    record: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "peer": request.peer,
    }
    kept = {each: request.headers[each.lower()] for each in headers if _has(request, each)}
    if kept:
        record["headers"] = kept
    if body == "json":
        record["json"] = _parse(request.body)
        return [record], size * _JSON_SIZE + _RECORD_BYTES
    record["text"] = request.body.decode(errors="replace")
    return [record], size + _RECORD_BYTES


def _has(request: Request, name: str) -> bool:
    return name.lower() in request.headers


def _parse(text: bytearray) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is no JSON") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and infinities are no JSON


class Keys:
    """The tokens and the secret by which senders show that they may send.

    Args:
        token_file: A file with a token in each line. None: none is needed.
        secret_file: A file with a secret. None: no signature is needed.
        signature_header: The header of the signature.
        daemon: Knows where the files are.

    Raises:
        ZenDaemonComponentException: A file cannot be read, or is empty.
    """

    def __init__(
        self, token_file: str | None, secret_file: str | None, signature_header: str, daemon: Daemon
    ) -> None:
        self._tokens = _read_secret("token_file", token_file, daemon).split()
        self._secret = _read_secret("secret_file", secret_file, daemon).strip()
        self._header = signature_header.lower()

    def check_token(self, request: Request) -> None:
        """Look at a request's bearer token.

        Raises:
            Refusal: It has none that is right.
        """
        if not self._tokens:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1")
        # Each of them is compared: the time that this takes must not say which one was close.
        right = [hmac.compare_digest(given, each) for each in self._tokens]
        if scheme.lower() != "bearer" or not any(right):
            raise Refusal(401, "a bearer token is needed", ("WWW-Authenticate", "Bearer"))

    def check_signature(self, request: Request) -> None:
        """Look at the signature of a whole request.

        Raises:
            Refusal: It has none that is right.
        """
        if not self._secret:
            return
        given = request.headers.get(self._header, "").removeprefix("sha256=").strip().lower()
        right = hmac.new(self._secret, request.body, "sha256").hexdigest()
        if not hmac.compare_digest(given.encode("latin-1", "replace"), right.encode()):
            raise Refusal(401, "the signature is wrong")


def _read_secret(option: str, path: str | None, daemon: Daemon) -> bytes:
    if path is None:
        return b""
    path = located(path, daemon)
    try:
        secret = Path(path).read_bytes()
    except OSError as cause:
        raise ZenDaemonComponentException(
            f"Cannot read {option} {path}: {reason(cause)}. {advice_for(cause, path, 'read')}."
        ) from cause
    if not secret.strip():
        raise ZenDaemonComponentException(
            f"{option} {path} is empty, so everyone could send requests. Write the secret into it."
        )
    return secret
