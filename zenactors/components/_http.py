"""What the HTTP components share: a client without retries, whose errors are one line.

Requests are bounded in time and in the size of what is answered. Header values, and the user and
the query of a URL, are never in an error or a log.
"""

from __future__ import annotations

import dataclasses
import email.utils
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlunsplit

from zenactors.advice import advice_for, reason
from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._http_options import (
    HttpOptions,
    authorization_of,
    is_header_value,
    one_line,
    origin_of,
    shown_url,
    split_url,
)
from zenactors.core.clock import Clock
from zenactors.errors import ZenDaemonComponentException

if TYPE_CHECKING:
    import urllib3

    from zenactors.components._http_sockets import Limits
    from zenactors.core.daemon_api import Daemon

NOT_MODIFIED = 304
MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_TEMPORARY = (408, 425, 429)  # and all from 500 on
_SERVER_ERROR = 500
_LONGEST_RETRY_AFTER = 86_400.0
_CHUNK = 65_536
_MOST_HEADER_BYTES = 65_536

_is_seconds = re.compile(r"\s*\d{1,9}\s*", re.ASCII).fullmatch


class HttpError(ZenDaemonComponentException):
    """A request has failed, and the same one will fail again."""


class TemporaryHttpError(HttpError):
    """A request has failed, and another attempt may succeed.

    Attributes:
        retry_after: Seconds that the server wants the client to wait; None: it does not say.
    """

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a server has answered.

    Attributes:
        status: The status.
        headers: By names in lower case.
        body: The body, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Sends requests, one at a time, without retries. Thread: own, except `interrupt`.

    Args:
        options: The component's.
        clock: Its clock.
        daemon: What its `setup` gets.
        files: Where the files of secrets are.

    Raises:
        ZenDaemonComponentException: urllib3 is missing, or a file or variable.
    """

    def __init__(
        self, options: HttpOptions, clock: Clock, daemon: Daemon, files: Files = SYSTEM_FILES
    ) -> None:
        try:
            from zenactors.components._http_sockets import Limits, make_pool_manager  # noqa: PLC0415 - urllib3 is an extra
        except ImportError as cause:
            raise ZenDaemonComponentException(
                f"{options.place} needs an extra: pip install 'zenactors[http]'."
            ) from cause
        self._options = options
        self._clock = clock
        self._files = files
        self._paths = {name: located(path, daemon) for name, path in options.header_files.items()}
        self._limits: Limits = Limits(clock)
        self._headers = dict(options.headers) | _from_environment(options.header_environment)
        self._secret_headers()  # now: a missing file is an error of the start
        ca_file = None if options.ca_file is None else located(options.ca_file, daemon)
        try:
            self._manager: urllib3.PoolManager = make_pool_manager(self._limits, ca_file=ca_file)
        except OSError as cause:
            raise ZenDaemonComponentException(
                f"ca_file is {options.ca_file!r}, which cannot be used: {reason(cause)}."
                " Give a file of certificates in PEM."
            ) from cause

    def close(self) -> None:
        """Close the connections."""
        self._manager.clear()
        self._limits.close()

    def interrupt(self) -> None:
        """End the request under way with an error, and refuse others. Thread: any."""
        self._limits.interrupt()

    def allow(self) -> None:
        """Allow requests again, after an interrupt."""
        self._limits.allow()

    def request(
        self,
        method: str,
        *,
        headers: Mapping[str, str],
        max_bytes: int,
        body: bytes | None = None,
        redirects: int = 0,
        cut: bool = False,
    ) -> Answer:
        """Send a request, and return what the server answers, whatever its status.

        Blocks for `timeout` at most, besides the resolution of the host's name.

        Args:
            method: The method.
            headers: Those of this request. They override those of the options.
            max_bytes: The limit of the answer's body, decompressed.
            body: The request's body.
            redirects: How many redirects are followed. The headers of the options go to the same
                scheme, host and port only.
            cut: Cut a longer answer off, instead of raising an error.

        Raises:
            TemporaryHttpError: There is no answer, or it was cut off.
            HttpError: The answer is too large, or redirects to where it must not.
        """
        import urllib3  # noqa: PLC0415 - an extra

        parts = home = self._options.parts
        own = authorization_of(parts) | self._headers | self._secret_headers()
        self._limits.begin_request(self._options.timeout)
        for _ in range(redirects + 1):
            is_own_server = origin_of(parts) == origin_of(home)
            common = {"Accept-Encoding": "gzip", "User-Agent": "zenactors"}
            sent = common | (own if is_own_server else {}) | dict(headers)
            try:
                answer, target = self._request_once(method, parts, sent, body, max_bytes, cut=cut)
            except (OSError, urllib3.exceptions.HTTPError) as cause:
                raise self._failure(method, cause) from cause
            if target is None or not redirects:
                return answer
            parts = self._redirected(parts, target)
        raise HttpError(f"{method} {self._options.place}: more than {redirects} redirects")

    def check(self, method: str, answer: Answer, *, show_body: bool = False) -> None:
        """Raise an error unless the status says that all is well.

        Args:
            method: The method, for the error.
            answer: The answer.
            show_body: The error has the beginning of the body, too.

        Raises:
            TemporaryHttpError: The server is not well, or has too much to do.
            HttpError: The request is wrong.
        """
        if 200 <= answer.status < 300 or answer.status == NOT_MODIFIED:  # noqa: PLR2004 - statuses
            return
        text = f"{method} {self._options.place}: status {answer.status}"
        if show_body and answer.body:
            text = f"{text}: {one_line(answer.body.decode(errors='replace'))}"
        if answer.status in _REDIRECTS:
            raise HttpError(f"{text}, a redirect, which is not followed: give the new URL")
        if answer.status in _TEMPORARY or answer.status >= _SERVER_ERROR:
            raise TemporaryHttpError(text, retry_after=self._retry_after(answer))
        raise HttpError(text)

    # --- inside -----------------------------------------------------------------------------------

    def _request_once(
        self,
        method: str,
        parts: SplitResult,
        headers: Mapping[str, str],
        body: bytes | None,
        max_bytes: int,
        *,
        cut: bool,
    ) -> tuple[Answer, str | None]:
        response = self._manager.request(
            method,
            urlunsplit(parts),
            body=body,
            headers=headers,
            retries=False,
            redirect=False,
            preload_content=False,
            timeout=self._options.timeout,
        )
        try:
            content = self._read(method, response, max_bytes, cut=cut)
        finally:
            response.close()  # if the body was not read to its end, the connection is of no use
        found = {name.lower(): value for name, value in response.headers.items()}
        target = found.get("location") if response.status in _REDIRECTS else None
        return Answer(response.status, found, content), target

    def _read(
        self, method: str, response: urllib3.BaseHTTPResponse, max_bytes: int, *, cut: bool
    ) -> bytes:
        content = bytearray()
        for chunk in response.stream(_CHUNK, decode_content=True):
            content += chunk
            if len(content) > max_bytes:
                if cut:
                    return bytes(content[:max_bytes])
                raise HttpError(
                    f"{method} {self._options.place}: the answer has more than {max_bytes} bytes"
                )
        return bytes(content)

    def _redirected(self, parts: SplitResult, target: str) -> SplitResult:
        try:
            after = split_url(urljoin(urlunsplit(parts), target))
        except ValueError:  # it is no URL
            after = None
        if after is None or (parts.scheme == "https" and after.scheme != "https"):
            raise HttpError(
                f"GET {self._options.place}: it redirects to {shown_url(target)!r}, which is not"
                f" followed: only {'https' if parts.scheme == 'https' else 'http and https'} is"
            )
        return after

    def _failure(self, method: str, cause: BaseException) -> HttpError:
        import urllib3  # noqa: PLC0415 - an extra

        inner = _innermost(cause)
        text = f"{method} {self._options.place}"
        if self._limits.is_interrupted:
            return HttpError(f"{text}: interrupted")
        if isinstance(inner, TimeoutError | urllib3.exceptions.TimeoutError):
            return TemporaryHttpError(f"{text}: no answer within {self._options.timeout:g} s")
        if isinstance(inner, urllib3.exceptions.LocationValueError):
            return HttpError(f"{text}: no server has such a name")  # its own text has the URL
        words = reason(inner) if isinstance(inner, OSError) else str(inner)
        return TemporaryHttpError(f"{text}: {one_line(words or type(inner).__name__)}")

    def _retry_after(self, answer: Answer) -> float | None:
        text = answer.headers.get("retry-after", "")
        if _is_seconds(text):
            return min(float(text), _LONGEST_RETRY_AFTER)
        try:
            moment = email.utils.parsedate_to_datetime(text).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
        return min(max(0.0, moment - self._clock.time()), _LONGEST_RETRY_AFTER)

    def _secret_headers(self) -> dict[str, str]:
        """Return the headers that are in files. They are read each time, so they may change."""
        return {name: self._read_secret(name, path) for name, path in self._paths.items()}

    def _read_secret(self, name: str, path: str) -> str:
        try:
            descriptor = self._files.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                content = self._files.read(descriptor, _MOST_HEADER_BYTES)
            finally:
                self._files.close(descriptor)
        except OSError as cause:
            raise ZenDaemonComponentException(
                f"Cannot read {path}, which has the header {name!r}: {reason(cause)}."
                f" {advice_for(cause, path, 'read', 'Check header_files')}."
            ) from cause
        value = content.decode("latin-1").strip()
        if not is_header_value(value):
            raise ZenDaemonComponentException(
                f"{path} is to have the value of the header {name!r}, but has several lines, or"
                " characters that no header can have: write one line."
            )
        return value


def _from_environment(table: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, variable in table.items():
        value = os.environ.get(variable)
        if not value or not is_header_value(value):
            raise ZenDaemonComponentException(
                f"The header {name!r} is to be in the environment variable {variable}, which is not"
                " set, or has no text of one line: set it."
            )
        found[name] = value
    return found


def _innermost(cause: BaseException) -> BaseException:
    """Return the error inside of those that urllib3 has wrapped around it."""
    for _ in range(5):
        inside = [each for each in cause.args if isinstance(each, BaseException)]
        if not inside:
            break
        cause = inside[-1]
    return cause
