"""Give lines to a program, and take its answers, without ever waiting for only one of both.

The pipes do not block. At most the lines of one event are in a buffer on their way to the program,
and one line on its way back.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from zenactors.components._child import (
    Backoff,
    Program,
    RunningProgram,
    describe_status,
    wait_ready,
    write_some,
)
from zenactors.components._error_log import ErrorLog
from zenactors.components.tail.cutter import LineCutter
from zenactors.components.tail.cutter_rules import CutterRules
from zenactors.core.clock import Clock
from zenactors.core.daemon_api import Daemon, Hold
from zenactors.errors import ZenDaemonComponentException

if TYPE_CHECKING:
    from loguru import Logger

MOST_SENDS = 3  # how often an event is given to a program that ends instead of answering
_BLOCK = 65_536
_REST_BLOCKS = 64  # of an ended program's output: a stray process may go on writing


@dataclasses.dataclass(slots=True, eq=False)
class Question:
    """An event whose lines go to the program.

    Attributes:
        args: As they came.
        data: The lines.
        wanted: How many answers it gets; 0: it is done when its lines are written.
        hold: Keeps the event from counting as done.
        sends: How often it was given to a program.
        answers: Those that have come.
        has_source: Whether a source hears how it ends, and sends it again if it was left. The hold
            says so no more when it has ended.
    """

    args: Any
    data: bytes
    wanted: int
    hold: Hold
    sends: int = 0
    answers: list[bytes] = dataclasses.field(default_factory=list)
    has_source: bool = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.has_source = self.hold.token is not None


class Dialog:
    """The questions, and the program that answers them. It is run again when it has ended.

    Args:
        program: The program.
        log: The component's logger.
        clock: The component's clock.
        random: The component's random numbers.
        rules: How to cut what it prints into lines.
        timeout: Seconds without an answer, or without reading, after which it is killed.
        errors: Gets its standard error; None: that is discarded.
        count: Adds to the component's counters.
        on_answered: Gets a question that is done.
        on_failed: Gets a question that the program does not answer, and the reason.
        on_line: Gets a line that answers no question.
        before_close: Called before a descriptor is closed: nothing may wait for it then.

    Attributes:
        running: The program.
        questions: Those that are not done, in order.
        is_ending: The program's input has ended.
        start_at: When the program may run again, on the monotonic clock.
        failures: How often in a row it has ended without an answer.
        last_activity: When something was read or written.

    Thread: own, except `kill`.
    """

    def __init__(
        self,
        program: Program,
        log: Logger,
        clock: Clock,
        random: Random,
        rules: CutterRules,
        timeout: float,
        errors: ErrorLog | None,
        count: Callable[[str, float], object],
        on_answered: Callable[[Question], object],
        on_failed: Callable[[Question, Exception], object],
        on_line: Callable[[bytes], object],
        before_close: Callable[[], object],
    ) -> None:
        self._program = program
        self._log = log
        self._clock = clock
        self._rules = rules
        self._timeout = timeout
        self._errors = errors
        self._count = count
        self._on_answered = on_answered
        self._on_failed = on_failed
        self._on_line = on_line
        self._before_close = before_close
        self._backoff = Backoff(random)
        self._cutter = LineCutter(rules)
        self._rest = memoryview(b"")  # of the last question that is asked
        self._asked = 0  # how many of the questions, from the first one on, were given to it
        self._suspects = 0  # how many may have ended an earlier program: each is asked alone
        self._since = 0.0  # nothing has moved since then
        self._begun = 0.0
        self.running: RunningProgram | None = None
        self.questions: deque[Question] = deque()
        self.is_ending = False
        self.start_at = 0.0
        self.failures = 0
        self.last_activity = clock.monotonic()

    @property
    def has_input(self) -> bool:
        """True if something is to be written to the program."""
        return bool(self._rest)

    @property
    def waits_until(self) -> float | None:
        """When the program is killed if nothing moves; None: nothing is expected of it."""
        return self._since + self._timeout if self._asked else None

    def start(self, daemon: Daemon) -> None:
        """Run the program.

        Raises:
            ZenDaemonComponentException: It cannot be run.
        """
        self.running = self._program.start(
            daemon, self._clock, stdin=True, stdout=True, errors=self._errors
        )
        self._begun = self._clock.monotonic()
        self._count("starts", 1)

    def end_input(self) -> None:
        """Let the program read the end of its input. It is run again only after `reopen`."""
        self.is_ending = True
        if self.running is not None:
            self._before_close()
            self.running.close_stdin()

    def reopen(self) -> None:
        """Let another program run for questions that come after the end of the input."""
        if self.is_ending and self.running is None:
            self.is_ending = False

    def kill(self) -> None:
        """Kill the program. Thread: any."""
        running = self.running
        if running is not None:
            running.kill()

    def close(self) -> None:
        """End the program."""
        running, self.running = self.running, None
        if running is not None:
            running.finish()
        if self._errors is not None:
            self._errors.close()

    def move(self, daemon: Daemon, seconds: float, *, may_read: bool = True) -> bool:
        """Do all that can be done now; if that is nothing, wait up to `seconds` seconds.

        Returns:
            False if nothing could be done. If the program does not run, and may not do so yet, that
            is at once.
        """
        if self.running is None and not self._start_again(daemon):
            return False
        running = self.running
        assert running is not None
        self._ask(running)
        reading = [running.exited]
        reading += [] if running.stderr is None else [running.stderr]
        reading += [] if running.stdout is None or not may_read else [running.stdout]
        writing = [running.stdin] if self._rest and running.stdin is not None else []
        ready = wait_ready(reading, writing, seconds)
        running.read_errors(ready, self._before_close)
        if writing and running.stdin in ready:
            self._write(running)
        if may_read and running.stdout in ready:
            self._read(running)
        if running.exited in ready:
            self._ended(running)
        elif not may_read:
            self._since = self._clock.monotonic()
        else:
            self._look_at_time(running)
        if self.running is not None:
            self._ask(running)  # so that `has_input` says whether to wait for room
        return bool(ready)

    # --- to the program ---------------------------------------------------------------------------

    def _ask(self, running: RunningProgram) -> None:
        """Take the next question, if the one before it was written."""
        if self._rest or self._asked >= len(self.questions):
            return
        if self._asked and (self._suspects or not self.questions[0].wanted):
            return
        question = self.questions[self._asked]
        if not self._asked and question.wanted and running.stdout is not None:
            self._read(running)  # what it has printed before is no answer
        question.sends += 1
        self._rest = memoryview(question.data)
        if not self._asked:
            self._since = self._clock.monotonic()
        self._asked += 1

    def _write(self, running: RunningProgram) -> None:
        assert running.stdin is not None
        try:
            written = write_some(running.stdin, self._rest)
        except BrokenPipeError:  # it has ended, or it does not want to know more
            self._rest = memoryview(b"")
            running.kill()
            return
        if written:
            self.last_activity = self._clock.monotonic()
        self._rest = self._rest[written:]
        if not self.questions[0].wanted:
            self._since = self.last_activity
            if not self._rest:
                self._done(self.questions[0])

    def _done(self, question: Question) -> None:
        self.questions.popleft()
        self._asked -= 1
        self._suspects = max(0, self._suspects - 1)
        self.failures = 0
        self._on_answered(question)

    # --- from the program -------------------------------------------------------------------------

    def _read(self, running: RunningProgram) -> bool:
        """Take what it has printed. False: nothing, or its end."""
        assert running.stdout is not None
        try:
            block = os.read(running.stdout, _BLOCK)
        except BlockingIOError:
            return False
        if block:
            self._since = self.last_activity = self._clock.monotonic()
            for piece in self._cutter.feed(block):
                for line in piece.to_lines(self._rules, path="").lines():
                    self._take(line)
            return True
        self._before_close()
        fd, running.stdout = running.stdout, None
        os.close(fd)
        running.kill()  # if it lives: nothing more will come of it
        return False

    def _take(self, line: bytes) -> None:
        question = self.questions[0] if self._asked else None
        if question is None or not question.wanted:
            self._on_line(line)
            return
        question.answers.append(line)
        if len(question.answers) == question.wanted:
            self._done(question)

    # --- its end ----------------------------------------------------------------------------------

    def _look_at_time(self, running: RunningProgram) -> None:
        until = self.waits_until
        if until is not None and self._clock.monotonic() >= until:
            self._log.warning(
                "{program} has not answered for {timeout:g} s; it is killed",
                program=self._program.name,
                timeout=self._timeout,
            )
            self._count("timeouts", 1)
            self._since = self._clock.monotonic()
            running.kill()

    def _ended(self, running: RunningProgram) -> None:
        for _ in range(_REST_BLOCKS):
            if running.stdout is None or not self._read(running):
                break
        for piece in self._cutter.flush():
            for line in piece.to_lines(self._rules, path="").lines():
                if not self._asked:  # a part of an answer is none
                    self._on_line(line)
        status = running.status()
        self._before_close()
        running.end(0.0)
        self.running = None
        self._cutter = LineCutter(self._rules)
        if self.is_ending and status == 0:
            return
        how = describe_status(status or 0)
        self._fail(f"{self._program.name}: {how}.")

    def _fail(self, why: str) -> None:
        """Ask again what was not answered, or give it up. The program may run after a delay."""
        delay = self._backoff.delay(self._clock.monotonic() - self._begun)
        self.start_at = self._clock.monotonic() + delay
        self._count("failures", 1)
        self.failures += 1
        self._log.warning(
            "{why} It may run again in {delay:.1f} s; events that it has not answered: {asked}",
            why=why,
            delay=delay,
            asked=self._asked,
        )
        self._suspects = max(self._suspects, self._asked)
        asked = [self.questions.popleft() for _ in range(self._asked)]
        self._asked = 0
        self._rest = memoryview(b"")
        for question in reversed(asked):
            question.answers.clear()
            if question.sends < MOST_SENDS:
                self.questions.appendleft(question)
        for question in asked:
            if question.sends >= MOST_SENDS:
                self._suspects = max(0, self._suspects - 1)
                self._on_failed(question, ZenDaemonComponentException(why))

    def _start_again(self, daemon: Daemon) -> bool:
        if self.is_ending or self._clock.monotonic() < self.start_at:
            return False
        try:
            self.start(daemon)
        except ZenDaemonComponentException as cause:
            self._begun = self._clock.monotonic()
            if self.questions:
                self.questions[0].sends += 1
                self._asked = 1
            self._fail(str(cause))
            return False
        return True
