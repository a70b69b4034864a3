"""`Fallback`: writes to another sink while the first one fails."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Literal, Unpack

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._functions import load_object
from zenactors.components._options import check_positive
from zenactors.components.sinks.base import BatchingOptions, BatchingSink
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent, set_clock
from zenactors.core.daemon_api import Daemon
from zenactors.errors import RestartComponent, RetryInterruptedError

_KEYS = {"use", "options"}


class Fallback(BatchingSink):
    """Write each batch to a first sink, and while that fails, to a second one.

    Both are sinks with a `write_batch`, such as `JsonLinesWriter`, `LineWriter`, `SqliteSink` or
    `HttpSink`. The daemon does not know them: they are set up and torn down with this component,
    run in its thread, and get its batches instead of events. Their own options for batches and
    attempts have no effect. Lines become dicts with `line` before they are written.

    After the first sink has raised an exception, the batch goes to the second one at once, and so
    do all others for `retry_after` seconds; then the first one is tried again. If the second fails,
    too, the batch is tried again if that makes sense to the second sink, and becomes dead letters
    in the end.

    Statistics: records written to the `first` and to the `second` sink; `first_failed` batches;
    `records` and `batches` in all, `retries`, and `failed` records.

    Promises:
        loss: None, if the source acknowledges: events are done when one of the sinks has them.
        duplicates: If the first sink has written a part of a batch before it failed, both have it.
        order: As events come, in each sink.
        memory: One batch, and what the two sinks need.
        threads: None of its own. It blocks its own thread for as long as its sinks do.

    Args:
        first: The first sink: a component, or in a file a table with `use`, as
            `"zenactors.components:JsonLinesWriter"`, and `options`.
        second: The second sink.
        retry_after: Seconds until the first sink is tried again after a failure.
        **batching: The options of `BatchingSink`.

    Attributes:
        files: The file system; a simulation sets its own before `setup`, and the sinks get it.

    Example:
        name = "fallback"

        [[component]]
        use = "zenactors.components:Generate"
        options = { count = 100, kind = "records" }

        [[component]]
        use = "zenactors.components:Fallback"
        [component.options.first]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "/dev/full" }
        [component.options.second]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "spare.jsonl" }
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        first: Any,
        second: Any,
        retry_after: float = 30.0,
        **batching: Unpack[BatchingOptions],
    ) -> None:
        super().__init__(**batching)
        self.first = self._make("first", first)
        self.second = self._make("second", second)
        if self.first is self.second:
            raise ValueError("first and second are one object, but two sinks are expected.")
        self.retry_after = check_positive("retry_after", retry_after, unit="seconds")
        self.temporary = getattr(self.second, "temporary", ())
        self._try_first_at = 0.0
        self._has_failed = False

    def _make(self, option: Literal["first", "second"], value: Any) -> Any:
        sink = value
        if isinstance(value, Mapping):
            if not {"use"} <= value.keys() <= _KEYS:
                raise ValueError(
                    f"{option} has the keys {', '.join(map(str, value)) or '(none)'}, but use and"
                    " options are expected."
                )
            cls = load_object(f"{option}.use", value["use"])
            try:
                sink = cls(**{"name": f"{self.name}.{option}", **value.get("options", {})})
            except (TypeError, ValueError) as cause:
                raise ValueError(f"{option}: {cause}") from cause
        if not isinstance(sink, ZenDaemonComponent) or not hasattr(sink, "write_batch"):
            raise ValueError(
                f"{option} is {value!r}, but a sink with write_batch() is expected, or a table with"
                " its use and options."
            )
        return sink

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and the states of both sinks."""
        sinks = {"first": self.first.get_state(), "second": self.second.get_state()}
        return {**super().get_state(), **sinks}

    def setup(self, daemon: Daemon) -> None:
        """Set both sinks up."""
        super().setup(daemon)
        self._try_first_at = 0.0
        self._has_failed = False
        with contextlib.ExitStack() as done:
            for sink in (self.first, self.second):
                set_clock(sink, self.clock)
                sink.random = self.random
                if hasattr(type(sink), "files"):
                    sink.files = self.files
                sink.setup(daemon)
                done.callback(sink.teardown, daemon)
            done.pop_all()

    def teardown(self, daemon: Daemon) -> None:
        """Write what is left, and tear both sinks down."""
        try:
            super().teardown(daemon)
        finally:
            with contextlib.ExitStack() as done:
                done.callback(self.first.teardown, daemon)
                done.callback(self.second.teardown, daemon)

    def interrupt(self) -> None:
        """Break off what the sinks do. Thread: any."""
        for sink in (self.first, self.second):
            if hasattr(sink, "interrupt"):
                sink.interrupt()

    @handles("signal_hup")
    def cbk_event_signal_hup(self, daemon: Daemon, args: Any) -> None:
        """Let both sinks open their files anew, if these were renamed or deleted."""
        for sink in (self.first, self.second):
            if hasattr(sink, "cbk_event_signal_hup"):
                sink.cbk_event_signal_hup(daemon, args)

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Write the records to the first sink that takes them."""
        if self.clock.monotonic() >= self._try_first_at and self._write_first(daemon, records):
            return
        self.second.write_batch(daemon, records)
        self.inc_statistic("second", len(records))

    def _write_first(self, daemon: Daemon, records: list[Any]) -> bool:
        try:
            self.first.write_batch(daemon, records)
        except (RestartComponent, RetryInterruptedError):
            raise
        except Exception as cause:
            self._try_first_at = self.clock.monotonic() + self.retry_after
            self.inc_statistic("first_failed")
            if not self._has_failed:
                self.log.warning(
                    "{first} fails: {reason}. Writing to {second}, and trying again every"
                    " {seconds:g} s",
                    first=self.first,
                    second=self.second,
                    reason=str(cause).removesuffix("."),
                    seconds=self.retry_after,
                )
            self._has_failed = True
            return False
        self.inc_statistic("first", len(records))
        if self._has_failed:
            self._has_failed = False
            self.log.info("{first} works again", first=self.first)
        return True
