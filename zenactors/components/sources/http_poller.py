"""Ask an HTTP server at an interval, and hand on what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import tenacity

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._http import (
    MOST_REDIRECTS,
    NOT_MODIFIED,
    Answer,
    HttpClient,
    HttpError,
    TemporaryHttpError,
)
from zenactors.components._http_options import HttpOptions, is_header_value
from zenactors.components._options import check_count, check_positive
from zenactors.components.sources._http_answers import FORMATS, AnswerError, items_of
from zenactors.components.sources.base import AcknowledgingSource
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import EXIT_NO_INPUT, ZenDaemonComponentException

_FIRST_BACKOFF = 1.0  # seconds
_MOST_VALIDATOR_CHARACTERS = 1_024  # a longer ETag is not worth remembering
_ATTEMPTS_WHEN_IDLE = 5  # until a daemon that exits when idle gives up


class HttpPoller(AcknowledgingSource):
    """Ask an HTTP server at an interval, and hand on the records or lines that it answers.

    A JSON list is a list of records, a JSON object is one record, and each line of NDJSON is one;
    other text is lines as bytes. An element that is no object becomes a record with `value`.

    The server is asked with the `ETag` and the `Last-Modified` of its last answer: with status 304,
    there is nothing new. With a `state_dir`, the next run remembers them. They count only once all
    records of that answer are done.

    After an error, the server is asked again after about one second, then after twice as long each
    time, up to `max_backoff`, and not before the time of its `Retry-After`. Each poll is one
    request: further pages (`Link: rel=next`) are not asked for. Up to 5 redirects are followed, but
    not from https to http; the server's certificate is checked. `interrupt()` ends the request.

    If the daemon exits when idle, it ends after one answer. If there is none in 5 attempts, its
    exit status is 66. It needs the extra `http`.

    Statistics: `polls`, `not_modified`, `errors`, `bytes`, `records`, and `bad_lines` of NDJSON.

    Promises:
        loss: None of an answer's records, with a `state_dir`. What the server shows only between
            two polls is not seen.
        duplicates: If the process ends before all records of an answer are done, the whole answer
            comes again. A server without `ETag` and `Last-Modified` sends everything each time.
        order: That of the answer.
        memory: Up to 8 MiB, or 256 events, that are not done, and one more answer
            (`max_body_bytes`).
        threads: None of its own. A request blocks this component for `timeout` at most, besides the
            resolution of the server's name.

    Args:
        url: Whom to ask, with http or https. A user and a password in it are sent as Basic
            authentication. Neither these nor what follows a `?` is logged.
        interval: Seconds from the beginning of a poll to the next.
        format: What the answers are. `"auto"` goes by their content type: NDJSON for
            `application/x-ndjson`, lines for `text/...`, otherwise JSON.
        records: Where the list of records is in a JSON answer, such as `"data.items"`.
        headers: Headers of the request. Their values are not logged.
        header_files: Headers whose values are in files, which are read for each request.
        header_environment: Headers whose values are in environment variables.
        timeout: Seconds that a request may take, with redirects.
        max_body_bytes: The limit of an answer, decompressed. A larger one is an error.
        max_backoff: The most seconds between two attempts after errors.
        batch: The most records of an event.
        ca_file: Certificates of the authorities to trust, in PEM. None: the system's.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system of `header_files`; a simulation sets its own before `setup`.

    Example:
        name = "poll"

        [[component]]
        use = "zenactors.components:HttpPoller"
        [component.options]
        url = "http://127.0.0.1:8765/items"
        records = "items"
        interval = 10.0

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "items.jsonl"
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        url: str,
        interval: float = 60.0,
        format: Literal["auto", "json", "ndjson", "lines"] = "auto",  # noqa: A002 - the user's word
        records: str | None = None,
        headers: dict[str, str] | None = None,
        header_files: dict[str, str] | None = None,
        header_environment: dict[str, str] | None = None,
        timeout: float = 30.0,
        max_body_bytes: int = 8 << 20,
        max_backoff: float = 300.0,
        batch: int = 1_000,
        ca_file: str | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self._http = HttpOptions(
            url=url,
            headers=headers or {},
            header_files=header_files or {},
            header_environment=header_environment or {},
            timeout=timeout,
            ca_file=ca_file,
        )
        self.interval = check_positive("interval", interval, unit="seconds")
        if format not in FORMATS:
            formats = ", ".join(map(repr, FORMATS))
            raise ValueError(f"format is {format!r}, but one of {formats} is expected.")
        self.format = format
        if records is not None and (not isinstance(records, str) or not all(records.split("."))):
            raise ValueError(
                f"records is {records!r}, but keys with dots between them are expected, such as"
                " 'data.items'."
            )
        self.path = [] if records is None else records.split(".")
        self.max_body_bytes = check_count("max_body_bytes", max_body_bytes)
        self.max_backoff = check_positive("max_backoff", max_backoff, unit="seconds")
        self.batch = check_count("batch", batch)
        self._client: HttpClient | None = None
        self._timer: Cancellable | None = None
        self._validators: dict[str, str] = {}  # of the last answer, for the next request
        self._number = 0  # of the last event: no two have the same position
        self._failures = 0  # in a row
        self._is_due = False  # a poll waits for room

    def setup(self, daemon: Daemon) -> None:
        """Begin to poll, with what an earlier run has remembered."""
        super().setup(daemon)
        self._client = HttpClient(self._http, self.clock, daemon, self.files)
        self.use_checkpoints(daemon)
        self._validators, self._number = {}, 0
        self._failures = 0
        self._is_due = False
        if self.checkpoints is not None and isinstance(found := self.checkpoints.resume(), dict):
            self._validators = dict(found.get("validators", {}))
            self._number = found.get("number", 0)
        self._timer = daemon.io.call_later(0.0, self._poll)

    def teardown(self, daemon: Daemon) -> None:
        """Close the connection, and save which answer is done."""
        self._stop_timer()
        super().teardown(daemon)
        if self._client is not None:
            self._client.close()

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the URL without secrets, and the errors in a row."""
        return {**super().get_state(), "url": self._http.place, "failures": self._failures}

    def interrupt(self) -> None:
        """End the request under way. Thread: any."""
        client = self._client
        if client is not None:
            client.interrupt()

    def on_room(self) -> None:
        """Make up for the poll that there was no room for."""
        if self._is_due:
            self._is_due = False
            self._timer = self._daemon.io.call_later(0.0, self._poll)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # --- polls ------------------------------------------------------------------------------------

    def _poll(self, daemon: Daemon) -> None:
        self._timer = None
        if self.is_full:
            self._is_due = True
            return
        if not daemon.exit_when_idle:
            self._timer = daemon.io.call_later(self.interval, self._poll)
        try:
            self._ask()
        except ZenDaemonComponentException as cause:  # a file of secrets is missing, for instance
            self._failed(daemon, cause)
            return
        if self._failures:
            self.log.info("{place} answers again", place=self._http.place)
            self._failures = 0

    def _ask(self) -> None:
        assert self._client is not None  # after `setup`
        self.inc_statistic("polls")
        self._client.allow()
        answer = self._client.request(
            "GET",
            headers=self._validators,
            max_bytes=self.max_body_bytes,
            redirects=MOST_REDIRECTS,
        )
        self._client.check("GET", answer)
        if answer.status == NOT_MODIFIED:
            self.inc_statistic("not_modified")
            return
        self.inc_statistic("bytes", len(answer.body))
        try:
            items, bad_lines = items_of(answer, self.format, self.path)
        except AnswerError as cause:
            raise HttpError(f"GET {self._http.place}: {cause}") from cause
        if bad_lines:
            self.inc_statistic("bad_lines", bad_lines)
            self.log.warning("{count} lines of an answer are no JSON", count=bad_lines)
        self._hand_over_all(items, answer)

    def _hand_over_all(self, items: list[Any], answer: Answer) -> None:
        before, self._validators = self._validators, _validators_of(answer)
        self.inc_statistic("records", len(items))
        share = len(answer.body) * self.batch // max(len(items), 1)
        for begin in range(0, len(items), self.batch):
            is_last = begin + self.batch >= len(items)
            self._number += 1
            # Up to the last one, a new run has to ask for the whole answer again.
            validators = self._validators if is_last else before
            self.hand_over(
                items[begin : begin + self.batch],
                size=min(share, len(answer.body)),
                position={"validators": validators, "number": self._number},
                on_done=self._ended,
            )

    def _ended(self, outcome: TokenOutcome) -> None:
        if outcome is TokenOutcome.LEFT:  # only without a state_dir: ask for everything again
            self._validators = {}

    def _failed(self, daemon: Daemon, cause: Exception) -> None:
        self._failures += 1
        self.inc_statistic("errors")
        if daemon.exit_when_idle and self._failures >= _ATTEMPTS_WHEN_IDLE:
            self.log.error("{reason}. Given up", reason=cause)
            daemon.set_exit_status(EXIT_NO_INPUT)
            return
        delay = self._backoff()
        if isinstance(cause, TemporaryHttpError) and cause.retry_after is not None:
            delay = max(delay, cause.retry_after)
        log = self.log.warning if self._failures == 1 else self.log.debug
        log("{reason}. Next attempt in {delay:.1f} s", reason=cause, delay=delay)
        self._stop_timer()
        self._timer = daemon.io.call_later(delay, self._poll)

    def _backoff(self) -> float:
        wait = tenacity.wait_exponential(multiplier=_FIRST_BACKOFF, max=self.max_backoff)
        state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type] # of no call
        state.attempt_number = self._failures
        # Clients that have failed together do not come back together.
        return float(wait(state)) * (0.75 + self.random.random() / 2)


def _validators_of(answer: Answer) -> dict[str, str]:
    """Return the headers by which the server can tell whether there is something new."""
    pairs = {"If-None-Match": "etag", "If-Modified-Since": "last-modified"}
    values = {header: answer.headers.get(found, "") for header, found in pairs.items()}
    return {
        header: value
        for header, value in values.items()
        if 0 < len(value) <= _MOST_VALIDATOR_CHARACTERS and is_header_value(value)
    }
