"""`SubprocessSink`: gives records to a program.

Atomic operations relied on: storing an attribute (`interrupt`).
"""

from __future__ import annotations

from typing import Any, Literal, Unpack

from zenactors.components._child import (
    HEALTHY,
    RunningProgram,
    check_program,
    describe_status,
    wait_ready,
    write_some,
)
from zenactors.components._error_log import ErrorLog
from zenactors.components._options import check_choice, check_positive
from zenactors.components._program_text import encode_record
from zenactors.components.sinks.base import BatchingOptions, BatchingSink
from zenactors.core.daemon_api import Daemon
from zenactors.errors import ZenDaemonComponentException


class ProgramFailedError(ZenDaemonComponentException):
    """A program has not taken a batch. Another attempt may succeed."""


class SubprocessSink(BatchingSink):
    """Write records to the standard input of a program, one line each.

    With `mode = "stream"` one program gets all batches. It is started with the daemon, and again
    when there is a batch for it after it has ended. At a stop its input ends; it then has half of
    `stop_grace` to finish, gets SIGTERM, and after the other half SIGKILL.

    With `mode = "batch"` a program is started for each batch, and its input ends with the batch. If
    it ends with status 0, the batch is done; otherwise it is tried again.

    The program is run without a shell. Its standard output is discarded. It leads a process group,
    which ends with it. A program that cannot be run makes the start fail.

    Statistics: `records` and `batches` written, `retries`, and `failed` records; `starts` of the
    program and its `failures`, `stderr_lines`, and `stderr_unlogged` (not logged, because there
    were too many).

    Promises:
        loss: `"batch"`: none that the program does not report by its status. `"stream"`: an event
            is done when it was written to the pipe, and so what the program has not read yet, up to
            64 KiB, is lost if it ends or is killed. What fails in the end becomes a dead letter.
        duplicates: A batch that is tried again may have been read in part, or as a whole.
        order: As they come. Events that are tried again alone come behind the others.
        memory: One batch, and the events that are collected for the next one. Of standard error,
            50 lines in 10 s are logged.
        threads: None of its own. The component waits while the program reads, at most `timeout`
            seconds for each attempt; `interrupt()` kills the program.

    Args:
        command: The program and its arguments, such as `["psql", "-c", "COPY …"]`. One without a
            slash is looked up on the PATH. A path is relative to the directory in which the daemon
            was started, or to its `work_dir`.
        mode: One program for all batches (`"stream"`), or one for each batch (`"batch"`).
        format: Records as lines of JSON (`"json"`), or as text (`"text"`): the line itself, or a
            record's `line`.
        timeout: Seconds that a program for a batch may run, or that a program for all may read
            nothing; then it is killed, and the batch is tried again.
        stderr: Its standard error is written to the log (`"log"`, at most 50 lines in 10 s, while a
            batch is written), or discarded (`"discard"`).
        environment: Variables in addition to those of the daemon, such as `{ LANG = "C" }`.
        working_directory: Its current directory; None: that of the daemon.
        stop_grace: Seconds that the program has to end at a stop.
        **batching: The options of `BatchingSink`.

    Example:
        name = "system"

        [[component]]
        use = "zenactors.components:SubprocessSource"
        [component.options]
        command = ["uname", "-a"]

        [[component]]
        use = "zenactors.components:SubprocessSink"
        [component.options]
        command = ["tee", "-a", "system.txt"]
        mode = "batch"
        format = "text"
    """

    temporary = (ProgramFailedError,)

    def __init__(
        self,
        *,
        command: list[str],
        mode: Literal["stream", "batch"] = "stream",
        format: Literal["json", "text"] = "json",  # noqa: A002 - the option's name
        timeout: float = 60.0,
        stderr: Literal["log", "discard"] = "log",
        environment: dict[str, str] | None = None,
        working_directory: str | None = None,
        stop_grace: float = 2.0,
        **batching: Unpack[BatchingOptions],
    ) -> None:
        super().__init__(**batching)
        self._program = check_program(command, environment, working_directory, stop_grace)
        self.mode = check_choice("mode", mode, ("stream", "batch"))
        self.format = check_choice("format", format, ("json", "text"))
        self.timeout = check_positive("timeout", timeout, unit="seconds")
        self.stderr = check_choice("stderr", stderr, ("log", "discard"))
        self._running: RunningProgram | None = None
        self._begun = 0.0
        self._errors: ErrorLog | None = None
        self._is_interrupted = False

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the records that wait, and the PID of the program."""
        running = self._running
        return {**super().get_state(), "pid": None if running is None else running.pid}

    def setup(self, daemon: Daemon) -> None:
        """Start the program, or look if there is one."""
        super().setup(daemon)
        if self.stderr == "log":
            self._errors = ErrorLog(self._program.name, self.log, self.clock, self.inc_statistic)
        if self.mode == "stream":
            self._start(daemon)
        else:
            self._program.check_exists(daemon)

    def interrupt(self) -> None:
        """Kill the program, so that a write to it ends: its events fail. Thread: any."""
        self._is_interrupted = True
        running = self._running
        if running is not None:
            running.kill()

    def flush(self, daemon: Daemon) -> None:
        """Write the batch now, if there is one. Blocks."""
        self._is_interrupted = False  # that one came too late
        super().flush(daemon)

    def teardown(self, daemon: Daemon) -> None:
        """Write what is left, and let the program end."""
        try:
            super().teardown(daemon)
        finally:
            self._finish()

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Give records to the program."""
        data = b"".join(encode_record(record, self.format) for record in records)
        if self.mode == "stream":
            self._write_to_stream(daemon, data)
        else:
            self._write_to_new(daemon, data)

    # --- one program for all batches --------------------------------------------------------------

    def _write_to_stream(self, daemon: Daemon, data: bytes) -> None:
        self._check_not_interrupted()
        running = self._running
        now = self.clock.monotonic()
        if running is not None and (status := running.wait(now)) is not None:
            self._drop()
            if now - self._begun < HEALTHY:  # it runs again after the delay
                raise self._failure(describe_status(status))
            self.log.warning(
                "{program}: {how}. It runs again, because there is a batch for it",
                program=self._program.name,
                how=describe_status(status),
            )
            running = None
        try:
            self._write_all(running or self._start_again(daemon), data)
        except ProgramFailedError:
            self._drop()
            raise

    def _write_all(self, running: RunningProgram, data: bytes) -> None:
        rest = memoryview(data)
        deadline = self.clock.monotonic() + self.timeout
        while rest:
            written = self._write_some(running, rest, deadline)
            if written is None:
                status = running.wait(self.clock.monotonic())
                how = "it has closed its input" if status is None else describe_status(status)
                raise self._failure(how)
            if written:
                rest = rest[written:]
                deadline = self.clock.monotonic() + self.timeout

    # --- one program for each batch ---------------------------------------------------------------

    def _write_to_new(self, daemon: Daemon, data: bytes) -> None:
        self._check_not_interrupted()
        running = self._start_again(daemon)
        try:
            deadline = self._begun + self.timeout
            rest = memoryview(data)
            while rest:
                written = self._write_some(running, rest, deadline)
                if written is None:
                    break  # it reads no more: its status says whether that is right
                rest = rest[written:]
            running.close_stdin()
            status = running.wait(deadline)
            if status is None:
                raise self._failure(f"it has not ended within {self.timeout:g} s")
            if status != 0:
                raise self._failure(describe_status(status))
        finally:
            self._drop()

    # --- both -------------------------------------------------------------------------------------

    def _start(self, daemon: Daemon) -> RunningProgram:
        if self._errors is not None:
            self._errors.last = ""
        running = self._program.start(daemon, self.clock, stdin=True, errors=self._errors)
        self._running = running
        self._begun = self.clock.monotonic()
        self.inc_statistic("starts")
        if self._is_interrupted:  # meanwhile: it did not know of this program
            running.kill()
        return running

    def _start_again(self, daemon: Daemon) -> RunningProgram:
        try:
            return self._start(daemon)
        except ZenDaemonComponentException as cause:
            self.inc_statistic("failures")
            raise ProgramFailedError(str(cause)) from cause

    def _write_some(self, running: RunningProgram, data: memoryview, deadline: float) -> int | None:
        """Write what there is room for; wait until there is some. None: it reads no more."""
        assert running.stdin is not None
        reading = [running.exited] if running.stderr is None else [running.exited, running.stderr]
        ready = wait_ready(reading, [running.stdin], deadline - self.clock.monotonic())
        running.read_errors(ready)
        if running.exited in ready:
            return None
        if running.stdin not in ready:
            if self.clock.monotonic() >= deadline or not ready:
                raise self._failure(f"it has read nothing for {self.timeout:g} s")
            return 0
        try:
            return write_some(running.stdin, data)
        except BrokenPipeError:
            return None

    def _check_not_interrupted(self) -> None:
        if self._is_interrupted:
            raise ZenDaemonComponentException(
                f"The write to {self._program.name} was interrupted: it does not read."
            )

    def _failure(self, how: str) -> Exception:
        self.inc_statistic("failures")
        self._check_not_interrupted()
        if self._errors is not None and self._errors.last:
            how += f"; its last message: {self._errors.last}"
        return ProgramFailedError(f"{self._program.name}: {how}.")

    def _drop(self) -> None:
        """Kill the program, if it still runs."""
        running, self._running = self._running, None
        if running is not None:
            running.kill()
            running.end(0.0)

    def _finish(self) -> None:
        """End the input of the program, and wait for its end."""
        running = self._running
        if running is not None:
            status = running.finish()
            self._running = None
            if status:
                self.log.warning(
                    "{program}: {how}. It has perhaps not handled its last records",
                    program=self._program.name,
                    how=describe_status(status),
                )
        if self._errors is not None:
            self._errors.close()
