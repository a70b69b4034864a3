"""Send batches of records to an HTTP server."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any, Literal, Unpack

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._http import HttpClient, TemporaryHttpError
from zenactors.components._http_options import HttpOptions, check_header_name
from zenactors.components.sinks.base import BatchingOptions, BatchingSink
from zenactors.core.daemon_api import Daemon

_MOST_ANSWER_BYTES = 4_096  # of an answer's body: only for an error
_LONGEST_RETRY_AFTER = 300.0  # seconds that the component waits, because it takes no events then
_METHODS = ("POST", "PUT")
_CONTENT_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson"}


class HttpSink(BatchingSink):
    """Send records to an HTTP server, a batch with each request, as a JSON array or as NDJSON.

    Takes `lines` events with a list of records, or with `Lines`; a line of bytes becomes a record
    with `line`. What JSON does not have is sent as its text.

    The events of a batch are done when the server has answered with a status from 200 to 299. After
    status 408, 425, 429 or 500 and more, and if there is no whole answer, the batch is sent again,
    up to `attempts` times: 0.2 s later at first, then twice as long each time, or after the
    server's `Retry-After`, up to 300 s. After another status, each event of the batch is sent
    alone, and those that are refused again become dead letters. Redirects are not followed; the
    server's certificate is checked. `interrupt()` ends the request. It needs the extra `http`.

    Statistics: `records` and `batches` sent, `bytes`, `retries`, and `failed` records.

    Promises:
        loss: None, if the server keeps what it has accepted: what is not accepted is a dead letter,
            or comes again if its source acknowledges.
        duplicates: A batch whose answer was lost is sent again, with the same idempotency key: a
            server that takes each key once has no duplicates of it. After a crash, batches may be
            cut differently. Batches of equal content have equal keys, so records should differ.
        order: That of the events, except after an error.
        memory: One batch (`batch_count`, `batch_bytes`) and, while it is sent, its body.
        threads: None of its own. A request blocks this component for `timeout` at most, besides the
            resolution of the server's name; so do the waits between attempts.

    Args:
        url: Where to send to, with http or https. A user and a password in it are sent as Basic
            authentication. Neither these nor what follows a `?` is logged.
        method: `"POST"` or `"PUT"`.
        format: `"json"` is an array of records, `"ndjson"` a record on each line.
        compress: Send bodies compressed by gzip. Not every server takes them.
        headers: Headers of the request. Their values are not logged.
        header_files: Headers whose values are in files, which are read for each request.
        header_environment: Headers whose values are in environment variables.
        idempotency_header: The header that has the hash of the batch. None: there is none.
        timeout: Seconds that a request may take.
        ca_file: Certificates of the authorities to trust, in PEM. None: the system's.
        **batching: The options of `BatchingSink`.

    Attributes:
        files: The file system of `header_files`; a simulation sets its own before `setup`.

    Example:
        name = "push"

        [[component]]
        use = "zenactors.components:Generate"
        [component.options]
        count = 2_500
        kind = "records"

        [[component]]
        use = "zenactors.components:HttpSink"
        [component.options]
        url = "http://127.0.0.1:8765/items"
        format = "ndjson"
    """

    temporary = (TemporaryHttpError,)
    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        url: str,
        method: Literal["POST", "PUT"] = "POST",
        format: Literal["json", "ndjson"] = "json",  # noqa: A002 - the word that users look for
        compress: bool = False,
        headers: dict[str, str] | None = None,
        header_files: dict[str, str] | None = None,
        header_environment: dict[str, str] | None = None,
        idempotency_header: str | None = "Idempotency-Key",
        timeout: float = 30.0,
        ca_file: str | None = None,
        **batching: Unpack[BatchingOptions],
    ) -> None:
        super().__init__(**batching)
        if method not in _METHODS:
            raise ValueError(f"method is {method!r}, but 'POST' or 'PUT' is expected.")
        if format not in _CONTENT_TYPES:
            raise ValueError(f"format is {format!r}, but 'json' or 'ndjson' is expected.")
        if not isinstance(compress, bool):
            raise ValueError(f"compress is {compress!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self._http = HttpOptions(
            url=url,
            headers=headers or {},
            header_files=header_files or {},
            header_environment=header_environment or {},
            timeout=timeout,
            ca_file=ca_file,
        )
        if idempotency_header is not None:
            check_header_name("idempotency_header", idempotency_header)
        self.method = method
        self.format = format
        self.compress = compress
        self.idempotency_header = idempotency_header
        self._client: HttpClient | None = None

    def setup(self, daemon: Daemon) -> None:
        """Read the secrets; connect at the first batch."""
        super().setup(daemon)
        self._client = HttpClient(self._http, self.clock, daemon, self.files)

    def teardown(self, daemon: Daemon) -> None:
        """Send what is left, and close the connection."""
        super().teardown(daemon)
        if self._client is not None:
            self._client.close()

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, what waits, and the URL without secrets."""
        return {**super().get_state(), "url": self._http.place}

    def interrupt(self) -> None:
        """Let the batch that is sent now fail. Thread: any."""
        client = self._client
        if client is not None:
            client.interrupt()

    def flush(self, daemon: Daemon) -> None:
        """Send the batch now, if there is one. Blocks. Thread: own."""
        if self._client is not None:
            self._client.allow()  # an interrupt was for the batch before
        super().flush(daemon)

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Send records; return once the server has accepted them."""
        assert self._client is not None  # after `setup`
        body = self._body_of(records)
        headers = {"Content-Type": _CONTENT_TYPES[self.format]}
        if self.idempotency_header is not None:
            headers[self.idempotency_header] = hashlib.sha256(body).hexdigest()
        if self.compress:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, mtime=0)
        answer = self._client.request(
            self.method, headers=headers, body=body, max_bytes=_MOST_ANSWER_BYTES, cut=True
        )
        self._client.check(self.method, answer, show_body=True)
        self.inc_statistic("bytes", len(body))

    def retry_delay(self, cause: BaseException, attempt: int) -> float:
        """Return the seconds until a batch is sent again: the server may ask for more."""
        delay = super().retry_delay(cause, attempt)
        if isinstance(cause, TemporaryHttpError) and cause.retry_after is not None:
            return min(max(delay, cause.retry_after), _LONGEST_RETRY_AFTER)
        return delay

    def _body_of(self, records: list[Any]) -> bytes:
        texts = map(_json_of, records)
        if self.format == "json":
            return f"[{','.join(texts)}]".encode()
        return "".join(f"{text}\n" for text in texts).encode()


def _json_of(record: Any) -> str:
    if isinstance(record, bytes):
        record = {"line": record.decode(errors="replace")}
    # Escaped to ASCII: a lone surrogate has no UTF-8. NaN is no JSON, so such an event fails.
    return json.dumps(record, separators=(",", ":"), default=str, allow_nan=False)
