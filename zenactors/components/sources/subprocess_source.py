"""`SubprocessSource`: the lines that a supervised program prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from zenactors.advice import reason
from zenactors.components._child import (
    Backoff,
    RunningProgram,
    check_program,
    describe_status,
)
from zenactors.components._error_log import ErrorLog
from zenactors.components._files import SYSTEM_FILES
from zenactors.components._options import check_choice
from zenactors.components.sources._line_stream import LineStreamSource
from zenactors.components.tail.streams import Stream
from zenactors.core.callbacks import handles
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.errors import EXIT_NO_INPUT, ZenDaemonComponentException

_REST_WITHIN = 1.0  # seconds of silence after a program's end: a stray process has its pipe


class SubprocessSource(LineStreamSource):
    r"""Run a program, and schedule the lines that it prints; run it again when it ends.

    The program is run without a shell. Its standard input is empty. While too many events are
    unfinished, nothing is read of its output, so that it waits as soon as the pipe is full.

    If it is to run again, it does so 0.2 s after its end, then after twice as long each time, up to
    30 s. Up to half of that is left out by chance. After 60 s of health the delay begins anew.

    If it is not to run again, this source has finished: if no other is active, the daemon ends by
    itself. It ends with status 66 if the program has not ended with status 0. If the daemon exits
    when idle, the program is run only once, whatever `restart` says.

    A program that cannot be run makes the start fail. If it cannot be run again later, that counts
    as a failure of the program.

    The program leads a process group, which ends with it. At a stop the group gets SIGTERM, and
    after `stop_grace` seconds SIGKILL. A program that closes its output, but does not end within
    `stop_grace` seconds, is ended in the same way.

    Each event has `Lines`. Its `path` is the program, with ":stderr" appended if it has written
    them to its standard error. Its `offset` counts from the start of the program. A last line
    without an end is handed over when the output ends, or at a stop, as a piece (`Lines.complete`
    is False).

    Statistics: `lines` and `bytes` handed over, `lines_truncated`, `starts` of the program and its
    `failures`, `stderr_lines`, and `stderr_unlogged` (not logged, because there were too many).

    Promises:
        loss: What was read of the program is handed over, also at a stop; what it has written, but
            was not read by then, is lost. An event that fails, or that a stop leaves undone, is not
            read again.
        duplicates: None, unless the program repeats itself when it runs again.
        order: As printed. Between standard output and standard error there is no order.
        memory: At most 256 events, or 8 MiB of them, are unfinished; of the log of standard error,
            50 lines in 10 s are written.
        threads: None of its own. The component waits for the program only at its teardown, for
            `stop_grace` seconds.

    Args:
        command: The program and its arguments, such as `["journalctl", "-f"]`. One without a slash
            is looked up on the PATH. A path is relative to the directory in which the daemon was
            started, or to its `work_dir`.
        stderr: Its standard error is written to the log (`"log"`, at most 50 lines in 10 s),
            handed over like its output (`"lines"`), or discarded (`"discard"`).
        restart: Run it again after each end (`"always"`), if it has not ended with status 0
            (`"on-failure"`), or never (`"never"`).
        environment: Variables in addition to those of the daemon, such as `{ LANG = "C" }`.
        working_directory: Its current directory; None: that of the daemon.
        max_line_bytes: The limit of a line.
        long_lines: Longer lines are cut off (`"truncate"`), handed on in pieces of that size
            (`"split"`), or left out (`"skip"`).
        encoding: A codec of Python, such as `"latin-1"`.
        delimiter: The text that ends a line; None: `"\n"`.
        stop_grace: Seconds between SIGTERM and SIGKILL.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "system"

        [[component]]
        use = "zenactors.components:SubprocessSource"
        [component.options]
        command = ["uname", "-a"]

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "system.jsonl"
    """

    def __init__(
        self,
        *,
        command: list[str],
        stderr: Literal["log", "lines", "discard"] = "log",
        restart: Literal["always", "on-failure", "never"] = "on-failure",
        environment: dict[str, str] | None = None,
        working_directory: str | None = None,
        max_line_bytes: int = 102_400,
        long_lines: Literal["truncate", "split", "skip"] = "truncate",
        encoding: str = "utf-8",
        delimiter: str | None = None,
        stop_grace: float = 2.0,
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
        self._program = check_program(command, environment, working_directory, stop_grace)
        self.stderr = check_choice("stderr", stderr, ("log", "lines", "discard"))
        self.restart = check_choice("restart", restart, ("always", "on-failure", "never"))
        self._running: RunningProgram | None = None
        self._status: int | None = None  # of the program that runs, once it has ended
        self._begun = 0.0
        self._registered: dict[str, Cancellable] = {}
        self._errors: ErrorLog | None = None
        self._backoff: Backoff | None = None

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and the PID of the program."""
        running = self._running
        return {**super().get_state(), "pid": None if running is None else running.pid}

    def setup(self, daemon: Daemon) -> None:
        """Run the program."""
        super().setup(daemon)
        self._backoff = Backoff(self.random)
        self._run(daemon)

    @handles("stop")
    def cbk_event_stop(self, daemon: Daemon, args: object) -> None:
        """Hand over a last line without an end, and let the program begin to end."""
        super().cbk_event_stop(daemon, args)
        if self._running is not None:
            self._running.terminate()

    def teardown(self, daemon: Daemon) -> None:
        """End the program."""
        for registered in list(self._registered):
            self._cancel(registered)
        running, self._running = self._running, None
        if running is not None:
            running.end()
        if self._errors is not None:
            self._errors.close()
        super().teardown(daemon)

    # --- one run of the program ------------------------------------------------------------------

    def _run(self, daemon: Daemon) -> None:
        if self.stderr == "log" and self._errors is None:
            self._errors = ErrorLog(self._program.name, self.log, self.clock, self.inc_statistic)
        running = self._program.start(
            daemon, self.clock, stdout=True, stderr=self.stderr == "lines", errors=self._errors
        )
        self._running, self._status = running, None
        self._begun = self.clock.monotonic()
        self.inc_statistic("starts")
        self.log.debug("{program} runs: PID {pid}", program=self._program.name, pid=running.pid)
        self._registered["exit"] = daemon.io.add_reader(running.exited, self._look_for_end)
        fd, running.stdout = running.stdout, None
        self._streams = [self._open_stream(daemon, self._program.name, fd)]
        if self.stderr == "lines":
            fd, running.stderr = running.stderr, None
            self._streams.append(self._open_stream(daemon, f"{self._program.name}:stderr", fd))
        elif running.stderr is not None:
            self._registered["stderr"] = daemon.io.add_reader(running.stderr, self._log_errors)

    def _open_stream(self, daemon: Daemon, path: str, fd: int | None) -> Stream:
        def ended(cause: OSError | None) -> None:
            if cause is not None:
                self.log.error("Cannot read from {path}: {reason}", path=path, reason=reason(cause))
            self._stream_ended(daemon)

        return Stream(
            path,
            daemon,
            SYSTEM_FILES,
            self._rules_for,
            self._hand_on,
            lambda: self.is_full,
            ended,
            fd,
        )

    def _log_errors(self, daemon: Daemon) -> None:
        running = self._running
        if running is None or running.stderr is None:
            return
        running.read_errors({running.stderr}, lambda: self._cancel("stderr"))

    def _look_for_end(self, daemon: Daemon) -> None:
        assert self._running is not None
        self._status = self._running.status()
        if self._status is not None:
            self._cancel("exit")
            self._cancel("end")
            self._look_for_rest(daemon)

    def _look_for_rest(self, daemon: Daemon, read_before: int = -1) -> None:
        """Wait for the ends of the streams, as long as more comes, or nothing may be read."""
        if all(stream.has_ended for stream in self._streams):
            self._ended(daemon)
            return
        read = sum(stream.bytes_read for stream in self._streams)
        if read == read_before and not self.is_full:
            self.log.warning(
                "{program} has ended, but another process has its output; it is not read any more",
                program=self._program.name,
            )
            self._ended(daemon)
            return
        self._registered["rest"] = daemon.io.call_later(
            _REST_WITHIN, lambda daemon: self._look_for_rest(daemon, read)
        )

    def _stream_ended(self, daemon: Daemon) -> None:
        if not all(stream.has_ended for stream in self._streams):
            return
        if self._status is not None:
            self._ended(daemon)
        elif self._running is not None:
            grace = self._program.stop_grace
            self._registered["end"] = daemon.io.call_later(grace, self._terminate)

    def _terminate(self, daemon: Daemon) -> None:
        assert self._running is not None
        self.log.warning(
            "{program} has closed its output, but does not end; it is ended",
            program=self._program.name,
        )
        self._running.terminate()
        grace = self._program.stop_grace
        self._registered["end"] = daemon.io.call_later(grace, self._kill)

    def _kill(self, daemon: Daemon) -> None:
        assert self._running is not None
        self._running.kill()

    # --- after its end ---------------------------------------------------------------------------

    def _ended(self, daemon: Daemon) -> None:
        """Decide what follows after a program that has ended, and whose output was read."""
        assert self._running is not None
        assert self._status is not None
        for registered in list(self._registered):
            self._cancel(registered)
        for stream in self._streams:
            stream.flush()
            stream.close()
        running, self._running = self._running, None
        running.end()
        self._follow_up(daemon, describe_status(self._status), failed=self._status != 0)

    def _follow_up(self, daemon: Daemon, how: str, *, failed: bool) -> None:
        if failed:
            self.inc_statistic("failures")
        wanted = self.restart == "always" or (failed and self.restart == "on-failure")
        if wanted and not daemon.exit_when_idle:
            assert self._backoff is not None
            delay = self._backoff.delay(self.clock.monotonic() - self._begun)
            self.log.log(
                "WARNING" if failed else "INFO",
                "{program}: {how}. It runs again in {delay:.1f} s",
                program=self._program.name,
                how=how,
                delay=delay,
            )
            self._registered["start"] = daemon.io.call_later(delay, self._run_again)
        elif failed:
            self.log.error(
                "{program}: {how}. It does not run again, and the daemon will end with status"
                " {status}",
                program=self._program.name,
                how=how,
                status=EXIT_NO_INPUT,
            )
            daemon.set_exit_status(EXIT_NO_INPUT)
        else:
            self.log.info("{program}: {how}", program=self._program.name, how=how)

    def _run_again(self, daemon: Daemon) -> None:
        self._cancel("start")
        self._begun = self.clock.monotonic()
        try:
            self._run(daemon)
        except ZenDaemonComponentException as cause:
            self._follow_up(daemon, str(cause).removesuffix("."), failed=True)

    def _cancel(self, registered: str) -> None:
        found = self._registered.pop(registered, None)
        if found is not None:
            found.cancel()
