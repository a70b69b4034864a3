"""`Stdin`: the lines of standard input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from zenactors.advice import reason
from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components.sources._line_stream import LineStreamSource
from zenactors.components.tail.streams import STANDARD_INPUT, Stream
from zenactors.core.daemon_api import Daemon
from zenactors.errors import EXIT_NO_INPUT


class Stdin(LineStreamSource):
    r"""Schedule the lines of standard input, to its end.

    Standard input may be a terminal, a pipe or a file. At its end this source has finished: if no
    other is active, the daemon ends by itself, whether or not it exits when idle. A daemon in the
    background has no standard input: there it ends at once. To read it together with files, use
    `FileTailer` with the pattern `"-"`.

    Each event has `Lines` whose `path` is "-". A last line without an end is handed over when the
    input ends, or at a stop, as a piece (`Lines.complete` is False).

    If it cannot be read, that is logged, and the daemon ends with status 66.

    Statistics: `lines` and `bytes` handed over, and `lines_truncated`.

    Promises:
        loss: What was read is handed over, also at a stop. What is not read yet is left in the
            pipe. An event that fails, or that a stop leaves undone, is not read again.
        duplicates: None.
        order: As read.
        memory: At most 256 events, or 8 MiB of them, are unfinished; then nothing is read, and a
            program that writes to the pipe waits.
        threads: None of its own.

    Args:
        max_line_bytes: The limit of a line.
        long_lines: Longer lines are cut off (`"truncate"`), handed on in pieces of that size
            (`"split"`), or left out (`"skip"`).
        encoding: A codec of Python, such as `"latin-1"`.
        delimiter: The text that ends a line; None: `"\n"`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: Reads standard input.

    Example:
        # Give it something to read: zenactors run SPEC --exit-when-idle < access.log
        name = "input"

        [[component]]
        use = "zenactors.components:Stdin"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "lines.jsonl"
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        max_line_bytes: int = 102_400,
        long_lines: Literal["truncate", "split", "skip"] = "truncate",
        encoding: str = "utf-8",
        delimiter: str | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            max_line_bytes=max_line_bytes,
            long_lines=long_lines,
            encoding=encoding,
            delimiter=delimiter,
            name=name,
            event_map=event_map,
        )

    def setup(self, daemon: Daemon) -> None:
        """Begin to read."""
        super().setup(daemon)

        def ended(cause: OSError | None) -> None:
            if cause is not None:
                self.log.error(
                    "Cannot read standard input: {reason}. Check where it comes from",
                    reason=reason(cause),
                )
                daemon.set_exit_status(EXIT_NO_INPUT)

        stream = Stream(
            STANDARD_INPUT,
            daemon,
            self.files,
            self._rules_for,
            self._hand_on,
            lambda: self.is_full,
            ended,
        )
        self._streams = [stream]
