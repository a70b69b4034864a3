"""`SubprocessFilter`: lets a program change records.

Atomic operations relied on: storing an attribute (`interrupt`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from zenactors.components._child import check_program
from zenactors.components._error_log import ErrorLog
from zenactors.components._options import check_choice, check_count, check_positive
from zenactors.components._program_text import decode_line, encode_record
from zenactors.components.records import records_of
from zenactors.components.steps._dialog import Dialog, Question
from zenactors.components.tail.cutter_rules import rules_for
from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import FLAG_STOP, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.errors import ZenDaemonComponentException

_WAIT = 0.1  # seconds between two looks while this component waits for the program
_ROOM_WAIT = 0.05  # seconds between two looks while what follows is behind
_ROOM_WAITS = 20
_BEHIND = 64  # events that wait for what follows: then nothing is read of the program
_QUIET = 0.5  # seconds without a line until a program counts as idle
_END_WAIT = 0.02  # seconds between two looks whether more lines come at a stop
_FLOOD_GRACES = 5  # how many times `stop_grace` a program may go on printing after the last event
_LOGGED_BYTES = 200


class SubprocessFilter(ZenDaemonComponent):
    """Give the records of `lines` events to a program, and schedule its answers as `filtered`.

    A `lines` event ends here: what follows handles `filtered`, for example a sink with
    `lines = "filtered"` in its `[component.events]`. Records are given one line each, and each line
    that the program prints is a record.

    With `mode = "one-to-one"` the program answers each line with exactly one line, in order, and
    writes it at once: most programs need an option for that, such as `sed -u`. The answers to an
    event become one `filtered` event, which is a part of it. In JSON, the answer `null` leaves a
    record out.

    If the program ends, its unanswered events are given to a new one: each alone, so that one that
    ends the program again is found. One that was given three times becomes a dead letter. So does
    an event with an answer that is no JSON. If no answer comes for `timeout` seconds, the program
    is killed.

    With `mode = "stream"` the program prints when, and as much as, it likes. An event is done when
    it was written to the program, and `filtered` events are no part of it. At a stop, when nothing
    is left to do, its input ends, and what it prints then is handed on, too. Therefore even `sort`
    can be a filter. Unless the daemon exits when idle, it does not end by itself while the program
    may print something.

    The program is run without a shell. It runs again 0.2 s after its end, then after twice as long
    each time, up to 30 s; after 60 s of health the delay begins anew. It leads a process group,
    which ends with it. A program that cannot be run makes the start fail.

    At a stop the program goes on to answer, until it is silent for `stop_grace` seconds, or, in
    `"stream"`, for five times as long in all. Then its input ends; it gets SIGTERM after half of
    `stop_grace`, and SIGKILL after the other half.

    Statistics: `records` given to the program and `passed_on` of it, `left_out` (answered by
    `null`), `failed` (of dead letters), `unexpected` lines that answered nothing, `bad_answers`
    that are no JSON, `starts` of the program and its `failures`, `timeouts`, `stderr_lines`, and
    `stderr_unlogged` (not logged, because there were too many).

    Promises:
        loss: `"one-to-one"`: none; an event is done when its answers are. What is not answered at a
            stop is left to its source, or becomes a dead letter if it has none that acknowledges.
            `"stream"`: what the program has read, or has in its pipe, is lost if it ends.
        duplicates: A program may see an event up to three times, but is heard only once. In
            `"stream"`, only a part of an event is written again.
        order: `"one-to-one"`: as the events came, except that those that failed are missing.
            `"stream"`: as printed.
        memory: At most `max_in_flight` events are unanswered; then this component waits, and so
            does what is before it. While 64 `filtered` events are not taken up, but some of them
            are from time to time, it waits up to a second for each event.
        threads: None of its own. `interrupt()` kills the program, if the component waits for it.

    Args:
        command: The program and its arguments, such as `["sed", "-u", "s/a/b/"]`. One without a
            slash is looked up on the PATH. A path is relative to the directory in which the daemon
            was started, or to its `work_dir`.
        mode: One answer for each line (`"one-to-one"`), or as many as it likes (`"stream"`).
        format: Records as lines of JSON in both directions (`"json"`), or as text (`"text"`): the
            line itself, or a record's `line`. Answers in text are passed on as `Lines`, whose
            `path` is the program.
        timeout: Seconds without an answer, or in which the program reads nothing of an event, after
            which it is killed.
        max_in_flight: How many events may be unanswered.
        max_line_bytes: The limit of an answer; a longer one is cut off.
        stderr: Its standard error is written to the log (`"log"`, at most 50 lines in 10 s, while
            there are unanswered events), or discarded (`"discard"`).
        environment: Variables in addition to those of the daemon, such as `{ LANG = "C" }`.
        working_directory: Its current directory; None: that of the daemon.
        stop_grace: Seconds of silence that the program is granted at a stop, and those that it has
            to end.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "loud"

        [[component]]
        use = "zenactors.components:SubprocessSource"
        [component.options]
        command = ["uname", "-a"]

        [[component]]
        use = "zenactors.components:SubprocessFilter"
        [component.options]
        command = ["tr", "a-z", "A-Z"]
        mode = "stream"
        format = "text"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "loud.jsonl"
        [component.events]
        lines = "filtered"
    """

    emits = ("filtered", "end_input")

    def __init__(
        self,
        *,
        command: list[str],
        mode: Literal["one-to-one", "stream"] = "one-to-one",
        format: Literal["json", "text"] = "json",  # noqa: A002 - the option's name
        timeout: float = 30.0,
        max_in_flight: int = 16,
        max_line_bytes: int = 1 << 20,
        stderr: Literal["log", "discard"] = "log",
        environment: dict[str, str] | None = None,
        working_directory: str | None = None,
        stop_grace: float = 2.0,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self._program = check_program(command, environment, working_directory, stop_grace)
        self.mode = check_choice("mode", mode, ("one-to-one", "stream"))
        self.format = check_choice("format", format, ("json", "text"))
        self.timeout = check_positive("timeout", timeout, unit="seconds")
        self.max_in_flight = check_count("max_in_flight", max_in_flight)
        self.max_line_bytes = check_count("max_line_bytes", max_line_bytes)
        self.stderr = check_choice("stderr", stderr, ("log", "discard"))
        self._daemon: Daemon | None = None
        self._dialog: Dialog | None = None
        self._printed: list[bytes] = []  # lines that answer no question
        self._offset = 0  # how many bytes of text were passed on
        self._registered: dict[str, Cancellable] = {}
        self._silent_for = 0.0  # seconds since the program was heard, at a stop
        self._taken_at = 0.0  # when the last event came, or the stop
        self._ends_input = False  # the event for it is scheduled
        self._waits_in_vain = False  # what follows does not go on before this component does
        self._is_interrupted = False

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the events that wait for an answer, and the program's PID."""
        dialog = self._dialog
        running = None if dialog is None else dialog.running
        return {
            **super().get_state(),
            "unanswered": 0 if dialog is None else len(dialog.questions),
            "pid": None if running is None else running.pid,
        }

    def setup(self, daemon: Daemon) -> None:
        """Start the program."""
        self._daemon = daemon
        self._printed = []
        self._silent_for = 0.0
        errors = None
        if self.stderr == "log":
            errors = ErrorLog(self._program.name, self.log, self.clock, self.inc_statistic)
        self._dialog = Dialog(
            self._program,
            self.log,
            self.clock,
            self.random,
            rules_for(max_line_bytes=self.max_line_bytes),
            self.timeout,
            errors,
            self.inc_statistic,
            self._answered,
            self._failed,
            self._printed.append,
            self._unwatch,
        )
        self._dialog.start(daemon)
        self._watch(daemon)

    def teardown(self, daemon: Daemon) -> None:
        """End the program. Events without a source that acknowledges become dead letters."""
        self._unwatch()
        dialog, self._dialog = self._dialog, None
        if dialog is None:
            return
        try:
            cause = ZenDaemonComponentException(
                f"{self._program.name} has not answered before the end."
            )
            for question in dialog.questions:
                if not question.has_source:
                    self._give_up(daemon, question, cause)
        finally:
            dialog.close()

    def interrupt(self) -> None:
        """Kill the program, and wait for it no longer. Thread: any."""
        self._is_interrupted = True
        dialog = self._dialog
        if dialog is not None:
            dialog.kill()

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> tuple[int, Any]:
        """Give the records to the program."""
        lines = self._encode(args)
        if lines:
            self._is_interrupted = False  # that one came too late
            dialog = self._make_room(daemon)
            wanted = len(lines) if self.mode == "one-to-one" else 0
            dialog.questions.append(Question(args, b"".join(lines), wanted, daemon.hold()))
            self.inc_statistic("records", len(lines))
            dialog.last_activity = self._taken_at = self.clock.monotonic()
            if daemon.is_done():
                self._answer_at_stop(daemon)
            else:
                self._on_ready(daemon)
        return FLAG_STOP, args

    @handles("stop")
    def cbk_event_stop(self, daemon: Daemon, args: Any) -> None:
        """Take the answers that are still missing."""
        self._is_interrupted = False
        self._silent_for = 0.0
        self._taken_at = self.clock.monotonic()
        self._answer_at_stop(daemon)

    @handles("end_input")
    def cbk_event_end_input(self, daemon: Daemon, args: Any) -> None:
        """End the program's input at a stop, as soon as no other event is under way."""
        if args != self.name or self._dialog is None:  # another filter's
            return
        if self._others_are_pending(daemon) and not self._has_given_up():
            self._move(daemon, _END_WAIT)
            daemon.queue.schedule(self.event("end_input"), self.name)
            return
        self._ends_input = False
        self._dialog.end_input()
        self._silent_for = 0.0
        while self._dialog.running is not None and not self._has_given_up():
            self._move(daemon, _WAIT)

    # --- the program ------------------------------------------------------------------------------

    def _encode(self, args: Any) -> list[bytes]:
        is_text = self.format == "text"
        records = args.lines() if is_text and isinstance(args, Lines) else records_of(args)
        return [encode_record(record, self.format) for record in records]

    def _make_room(self, daemon: Daemon) -> Dialog:
        """Wait until the program has answered enough, and what follows has taken enough."""
        assert self._dialog is not None
        self._wait_for_what_follows(daemon)
        while len(self._dialog.questions) >= self.max_in_flight and not self._has_given_up():
            if not self._move(daemon, _WAIT) and self._dialog.running is None:
                daemon.wait(_WAIT)
            if self._is_interrupted:
                self._watch(daemon)
                raise ZenDaemonComponentException(
                    f"{self._program.name} does not answer: the wait for it was interrupted."
                )
        return self._dialog

    def _wait_for_what_follows(self, daemon: Daemon) -> None:
        if not self._is_behind(daemon):
            self._waits_in_vain = False
        elif not self._waits_in_vain:
            before = daemon.queue.ahead()
            for _ in range(_ROOM_WAITS):
                if daemon.wait(_ROOM_WAIT) or not self._is_behind(daemon):
                    return
            # With the ordering "global", it waits for this event.
            self._waits_in_vain = daemon.queue.ahead() >= before

    def _answer_at_stop(self, daemon: Daemon) -> None:
        """Wait for all answers: descriptors call back no more."""
        assert self._dialog is not None
        self._dialog.reopen()
        while self._dialog.questions and not self._has_given_up():
            self._move(daemon, _WAIT)
        if self.mode == "stream" and not self._ends_input:
            self._ends_input = True
            daemon.queue.schedule(self.event("end_input"), self.name)

    def _others_are_pending(self, daemon: Daemon) -> bool:
        """Return True if there are events from which more lines may come."""
        books = daemon.accounting()
        own = books.events[self.event("end_input")].pending
        return books.total.pending > own

    def _move(self, daemon: Daemon, seconds: float) -> bool:
        """Go on; wait up to `seconds` seconds for the program."""
        assert self._dialog is not None
        if daemon.is_done():
            self._dialog.start_at = 0.0
        moved = self._dialog.move(daemon, seconds)
        self._pass_on_printed(daemon)
        self._silent_for = 0.0 if moved else self._silent_for + seconds
        return moved

    def _has_given_up(self) -> bool:
        """Return True if, at a stop, nothing more is to be expected of the program."""
        assert self._daemon is not None
        assert self._dialog is not None
        if not self._daemon.is_done():
            return False
        grace = self._program.stop_grace
        floods = self.mode == "stream" and (
            self.clock.monotonic() - self._taken_at >= _FLOOD_GRACES * grace
        )
        return (
            self._is_interrupted
            or floods
            or self._silent_for >= grace
            or self._dialog.failures > self.max_in_flight
        )

    def _is_behind(self, daemon: Daemon) -> bool:
        return daemon.queue.ahead() >= _BEHIND

    # --- answers ----------------------------------------------------------------------------------

    def _answered(self, question: Question) -> None:
        assert self._daemon is not None
        daemon = self._daemon
        if question.wanted:
            try:
                answers = [decode_line(line, self.format) for line in question.answers]
            except ValueError as cause:
                self.inc_statistic("bad_answers")
                self._failed(question, cause)
                return
            with daemon.part_of(question.hold):
                self._pass_on(daemon, answers)
        question.hold.release()

    def _failed(self, question: Question, cause: Exception) -> None:
        assert self._daemon is not None
        self._give_up(self._daemon, question, cause)
        question.hold.fail()

    def _give_up(self, daemon: Daemon, question: Question, cause: Exception) -> None:
        self.inc_statistic("failed", question.data.count(b"\n"))
        with daemon.part_of(question.hold):
            daemon.dead_letter(
                self.event("lines"), question.args, cause, callback=self.cbk_event_lines
            )

    def _pass_on_printed(self, daemon: Daemon) -> None:
        printed = self._printed.copy()
        self._printed.clear()
        if not printed:
            return
        if self.mode == "one-to-one":
            if not self.statistics_cur.get("unexpected"):
                self.log.warning(
                    "{program} has printed a line that answers nothing: {line!r}. Such lines are"
                    " only counted",
                    program=self._program.name,
                    line=printed[0][:_LOGGED_BYTES],
                )
            self.inc_statistic("unexpected", len(printed))
            return
        records = []
        for line in printed:
            try:
                records.append(decode_line(line, self.format))
            except ValueError as cause:
                self.inc_statistic("bad_answers")
                daemon.dead_letter(self.event("filtered"), line, cause)
        self._pass_on(daemon, records)

    def _pass_on(self, daemon: Daemon, answers: list[Any]) -> None:
        records = [answer for answer in answers if answer is not None]
        if len(records) < len(answers):
            self.inc_statistic("left_out", len(answers) - len(records))
        if records:
            self.inc_statistic("passed_on", len(records))
            args = self._to_lines(records) if self.format == "text" else records
            daemon.queue.schedule(self.event("filtered"), args)

    def _to_lines(self, answers: list[bytes]) -> Lines:
        data = b"".join([line + b"\n" for line in answers])
        offset = self._offset
        self._offset += len(data)
        return Lines(self._program.name, offset, data, count=len(answers))

    # --- descriptors and timers -------------------------------------------------------------------

    def _on_ready(self, daemon: Daemon) -> None:
        assert self._dialog is not None
        self._dialog.move(daemon, 0.0, may_read=not self._is_behind(daemon))
        self._pass_on_printed(daemon)
        self._watch(daemon)

    def _watch(self, daemon: Daemon) -> None:
        """Wait for what can happen next. If that is nothing, this component is not active."""
        assert self._dialog is not None
        fds, timers = self._wanted(daemon, self._dialog)
        for name in list(self._registered):
            if name not in timers and name not in fds:
                self._cancel(name)
        for name, fd in fds.items():
            if name not in self._registered:
                add = daemon.io.add_writer if name == "stdin" else daemon.io.add_reader
                self._registered[name] = add(fd, self._on_ready)
        for name, seconds in timers.items():
            if name not in self._registered:
                self._registered[name] = daemon.io.call_later(seconds, self._timer_of(name))

    def _wanted(self, daemon: Daemon, dialog: Dialog) -> tuple[dict[str, int], dict[str, float]]:
        """Return the descriptors to wait for, and the timers."""
        now = self.clock.monotonic()
        running = dialog.running
        timers: dict[str, float] = {}
        if not dialog.questions:
            if self.mode == "one-to-one" or running is None:
                return {}, {}
            if daemon.exit_when_idle:
                quiet_for = now - dialog.last_activity
                if quiet_for >= _QUIET:
                    return {}, {}
                timers["quiet"] = _QUIET - quiet_for
        if running is None:
            return {}, {"start": max(0.0, dialog.start_at - now)}
        if dialog.waits_until is not None:
            timers["timeout"] = max(0.0, dialog.waits_until - now)
        fds: dict[str, int | None] = {"exited": running.exited, "stderr": running.stderr}
        if dialog.has_input:
            fds["stdin"] = running.stdin
        if self._is_behind(daemon):
            timers["room"] = _ROOM_WAIT
        else:
            fds["stdout"] = running.stdout
        return {name: fd for name, fd in fds.items() if fd is not None}, timers

    def _timer_of(self, name: str) -> Callable[[Daemon], None]:
        def expired(daemon: Daemon) -> None:
            self._registered.pop(name, None)
            self._on_ready(daemon)

        return expired

    def _cancel(self, name: str) -> None:
        self._registered.pop(name).cancel()

    def _unwatch(self) -> None:
        for name in list(self._registered):
            self._cancel(name)
