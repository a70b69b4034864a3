"""What goes wrong in a running engine, and what follows from it.

Everything acts first and logs afterwards, and survives a log sink that raises: an operator's broken
log must not change what the daemon does.

Atomic operations relied on: `dict.setdefault`; storing, deleting and reading one item of a dict;
storing an attribute. Each component's thread writes only items of its own.
"""

from __future__ import annotations

import abc
import contextlib
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors.actors.dead_letters import DeadLetters
from zenactors.actors.tracebacks import log_failure
from zenactors.core.events import EVENT_START
from zenactors.core.phase import Lifecycle, Phase
from zenactors.core.repetition import LOGGED, Repetitions
from zenactors.core.text import short_repr
from zenactors.errors import (
    EXIT_FAILURE,
    EXIT_SOFTWARE,
    TerminateException,
    UnknownEventError,
    ZenDaemonStopException,
)
from zenactors.process.streams import exit_child

if TYPE_CHECKING:
    from zenactors.actors.notifier import Notifier
    from zenactors.core.dead_letters import DeadLetter
    from zenactors.core.policy import EventPolicy
    from zenactors.core.supervision import Supervision


def survive_log() -> contextlib.suppress:
    """Ignore what a log sink, or a patcher, of the program raises."""
    return contextlib.suppress(Exception)


def try_to_log(level: str, message: str, **fields: Any) -> None:
    """Log a line, and ignore what a log sink, or a patcher, of the program raises."""
    with survive_log():
        logger.opt(depth=1).log(level, message, **fields)


class Incidents(abc.ABC):
    """The part of an engine that handles what goes wrong. Nothing on it blocks. Thread: any.

    Args:
        names: The components' names, by index.
        lifecycle: The phase of the engine.
        notifier: Notified of a failed start.
        dead_letters: Keeps the events that could not be handled.
        policy: What callbacks may return, and how control events go on.

    Attributes:
        dead_letters: As above.
        start_failure: The first `start` callback that failed.
        halted_with: The status with which a callback stopped everything, or None.
        supervisions: The policy of each component, by its index.
        down: Why a component does not work now, by its index.
        hanging: Which component's callback takes longer than its budget, by its index.
        restarts: How many times a component was made anew after a failure, by its index.
        ended_by: The first exception that ended everything, or None.
        is_forked: This is a forked child: an exception of a callback ends it.
        ends_cleanly: False once an exception, or a bug, ends everything.
    """

    def __init__(
        self,
        names: list[str],
        lifecycle: Lifecycle,
        notifier: Notifier,
        dead_letters: DeadLetters,
        *,
        policy: EventPolicy,
    ) -> None:
        self.names = names
        self.lifecycle = lifecycle
        self.notifier = notifier
        self.policy = policy
        self.dead_letters = dead_letters
        self._failures = Repetitions()
        self.start_failure: DeadLetter | None = None
        self._status: dict[str, int] = {}
        self.halted_with: int | None = None
        self.supervisions: list[Supervision] = []
        self.down: dict[int, str] = {}
        self.hanging: dict[int, str] = {}
        self.restarts: dict[int, int] = {}
        self.ended_by: BaseException | None = None
        self.is_forked = False
        self.ends_cleanly = True

    @abc.abstractmethod
    def halt(self) -> None:
        """Start no more events, and let the program that runs the dispatcher stop it."""

    def set_exit_status(self, status: int) -> None:
        """Set the exit status, unless one is set already."""
        self._status.setdefault("exit", status)

    @property
    def exit_status(self) -> int | None:
        """The exit status that was set first, or None."""
        return self._status.get("exit")

    def _end(self, status: int, *, cleanly: bool = False) -> None:
        """End everything, with this exit status if none is set already."""
        if not cleanly:  # only ever stored as False: of two threads, neither undoes the other's
            self.ends_cleanly = False
        self.set_exit_status(status)
        self.halt()

    # --- callbacks of events (core.batch_runner.IncidentHandler) -------------------------------

    def dead_letter(self, letter: DeadLetter) -> bool:
        """Keep an event that could not be handled: its callback has raised the letter's cause.

        Returns:
            True if the start-up fails by it.
        """
        starting = self.lifecycle.phase is Phase.STARTING
        letter = self.dead_letters.add(letter)
        start_fails = starting and letter.event == EVENT_START
        if start_fails:
            self.start_failure = self.start_failure or letter
            self.notifier.notify()
        if not starting:  # the start raises the exception
            with survive_log():
                self.dead_letters.log(letter)
            if not self._may_end_by(letter):  # pyzenkit's caller gets that exception
                self.dead_letters.let_go(letter)
        self._end_child(letter.cause)
        return start_fails

    def _may_end_by(self, letter: DeadLetter) -> bool:
        """Return True if the policy of a letter's component ends the daemon."""
        policy = self.supervisions[self.names.index(letter.component)]
        return policy.on_error == "stop"

    def event_given_up(self, letter: DeadLetter) -> DeadLetter:
        """Keep an event that a component gives up by itself. Return it as it is kept."""
        letter = self.dead_letters.add(letter)
        with survive_log():
            self.dead_letters.log(letter)
        self.dead_letters.let_go(letter)
        return letter

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        """Stop the daemon in an orderly way, because a callback asked for it."""
        if self.is_forked:
            exit_child(status)
        self.halted_with = status
        self.ended_by = self.ended_by or cause
        self._end(status, cleanly=isinstance(cause, TerminateException))
        with survive_log():
            level = "DEBUG" if isinstance(cause, ZenDaemonStopException) else "INFO"
            logger.log(level, "A callback stops everything: {cause}", cause=short_repr(cause))

    def _end_child(self, cause: BaseException) -> None:
        # The other two have a status of their own, which `stop_at_once` gets.
        if self.is_forked and not isinstance(cause, SystemExit | KeyboardInterrupt):
            exit_child(EXIT_FAILURE)

    # --- supervision (actors.component_listener.ComponentListener) --------------------------------

    def component_down(
        self, index: int, cause: BaseException, delay: float | None, left: int
    ) -> None:
        """Note that a component is to be made anew, and has `left` more restarts.

        Args:
            index: The component's index.
            cause: Its failure.
            delay: The seconds until then. None: the daemon stops, and only an event that waits for
                the component, or that still comes to it, makes it anew.
            left: How many more restarts it has.
        """
        name = self.names[index]
        self.down[index] = f"component {name!r} is made anew after {short_repr(cause)}"
        try_to_log(
            "WARNING",
            "Component {name!r} failed: {cause}. {what}; {left} more restarts left",
            name=name,
            cause=short_repr(cause),
            what="The daemon stops: it is made anew only if there are events for it"
            if delay is None
            else f"It is made anew in {delay:.1f} s",
            left=left,
        )

    def component_suspended(self, index: int, cause: BaseException) -> None:
        """Note that a component has used up its restarts, and does nothing more."""
        name = self.names[index]
        self.down[index] = f"component {name!r} is suspended after {short_repr(cause)}"
        try_to_log(
            "ERROR",
            "Component {name!r} failed: {cause}. It has no restarts left and is suspended: its"
            " events wait. A reload that changes its options or its policy makes it anew",
            name=name,
            cause=short_repr(cause),
        )

    def component_left_down(self, index: int, cause: BaseException) -> None:
        """Note that a component is not made anew, because the daemon stops."""
        name = self.names[index]
        self.down[index] = f"component {name!r} is down after {short_repr(cause)}"
        try_to_log(
            "ERROR",
            "Component {name!r} failed: {cause}. The daemon stops: its events are left",
            name=name,
            cause=short_repr(cause),
        )

    def component_up(self, index: int, incarnation: int) -> None:
        """Note that a component works again. Thread: the component's."""
        self.down.pop(index, None)
        self.restarts[index] = self.restarts.get(index, 0) + 1  # in its own thread: none is lost
        try_to_log(
            "INFO",
            "Component {name!r} works again: incarnation {incarnation}",
            name=self.names[index],
            incarnation=incarnation,
        )

    def hang_begins(self, index: int, seconds: float, stack: str) -> None:
        """Note that a callback takes longer than its budget.

        Args:
            index: The component's index.
            seconds: For how long by now.
            stack: The stack of its thread.
        """
        name = self.names[index]
        self.hanging[index] = f"component {name!r} does not return from its callback"
        try_to_log(
            "WARNING",
            "Component {name!r} has not returned from its callback for {seconds:.0f} s; its thread"
            " is here:\n{stack}",
            name=name,
            seconds=seconds,
            stack=stack,
        )

    def hang_is_over(self, index: int, seconds: float) -> None:
        """Note that a callback has returned after all."""
        self.hanging.pop(index, None)
        try_to_log(
            "INFO",
            "Component {name!r} has returned from its callback after {seconds:.0f} s",
            name=self.names[index],
            seconds=seconds,
        )

    def thread_abandoned(self, index: int, seconds: float, count: int) -> None:
        """Note that a component's thread was abandoned, and that another takes its place.

        Args:
            index: The component's index.
            seconds: For how long the callback had not returned.
            count: How many threads of this component were abandoned and still run.
        """
        self.hanging.pop(index, None)
        try_to_log(
            "ERROR",
            "Component {name!r} has not returned from its callback for {seconds:.1f} s: its thread"
            " is abandoned ({count} of this component), and another takes its place",
            name=self.names[index],
            seconds=seconds,
            count=count,
        )

    def thread_kept(self, index: int, why: str) -> None:
        """Note that a component's thread cannot be replaced: its events wait.

        Args:
            index: The component's index.
            why: The reason.
        """
        try_to_log(
            "ERROR",
            "The thread of component {name!r} cannot be replaced: {why}. Its events wait until its"
            " callback returns",
            name=self.names[index],
            why=why,
        )

    def abandoned_thread_ended(self, index: int) -> None:
        """Note that an abandoned thread has ended. Thread: that one."""
        try_to_log(
            "INFO",
            "An abandoned thread of component {name!r} has ended",
            name=self.names[index],
        )

    def gave_up(self, component: int, cause: BaseException) -> None:
        """Stop the daemon in an orderly way, as the policy of a component that failed says."""
        self.ended_by = self.ended_by or cause
        self._end(self.supervisions[component].status)
        try_to_log(
            "CRITICAL",
            "Component {name!r} failed: {cause}. Its policy ends the daemon; stopping",
            name=self.names[component],
            cause=short_repr(cause),
        )

    # --- everything else -----------------------------------------------------------------------

    def callback_failed(self, component: str, callback: str, cause: BaseException) -> None:
        """Log an exception that was raised outside of any event: ten times, then sum up."""
        count = self._failures.add((component, callback))
        if not self.is_forked and not self._failures.is_worth_a_line(count):
            return
        with survive_log():
            log_failure(
                logger.bind(component=component),
                "ERROR",
                "{callback} failed: {cause}{times}",
                cause if count <= LOGGED else None,
                callback=callback,
                cause=short_repr(cause),
                times=f"; {count:,} times by now, the next are summed up" * (count >= LOGGED),
            )
        self._end_child(cause)

    def rollback_failed(self, index: int, cause: BaseException) -> None:
        """End everything: a component works neither with its new options nor with its old ones."""
        self._end(EXIT_SOFTWARE)
        with survive_log():
            name = self.names[index]
            log_failure(
                logger.bind(component=name),
                "CRITICAL",
                "Component {name!r} cannot roll back to its old options: {cause}; stopping",
                cause,
                name=name,
                cause=short_repr(cause),
            )

    def component_skipped(self, event: Any, component: int) -> None:
        """Log that a control event went on without a component."""
        with survive_log():
            name = self.names[component]
            logger.bind(component=name).warning(
                "Component {name!r} is busy for too long: event {event!r} goes on without it",
                name=name,
                event=event,
            )

    def loop_failed(self, cause: Exception) -> None:
        """End everything, because the dispatcher's state raised."""
        if not isinstance(cause, UnknownEventError):
            self.broken(cause, "the dispatcher")
            return
        self.ended_by = self.ended_by or cause
        self._end(EXIT_FAILURE)
        with survive_log():
            logger.error("{cause}", cause=cause)

    def actor_lost(self, what: str, cause: BaseException | None) -> None:
        """End everything, because an actor ended and nothing asked it to.

        Args:
            what: Whose actor it was.
            cause: The exception that ended it, if one did.
        """
        self._end(EXIT_SOFTWARE)
        with survive_log():
            reason = "without being asked to" if cause is None else f"by {short_repr(cause)}"
            message = "The actor of {what} ended {reason}; stopping"
            log_failure(logger, "CRITICAL", message, cause, what=what, reason=reason)

    def descriptors_failed(self, component: str, cause: Exception) -> None:
        """End everything: a component would wait for ever for what it has registered."""
        self._end(EXIT_SOFTWARE)
        with survive_log():
            logger.bind(component=component).critical(
                "Component {name!r} cannot wait for its descriptors any more: {cause}; stopping."
                " Does its code close descriptors that it has not opened?",
                name=component,
                cause=short_repr(cause),
            )

    def broken(self, cause: BaseException, where: str) -> None:
        """End everything after a bug in zenactors itself, or for want of memory.

        Args:
            cause: The exception.
            where: The actor that met it.
        """
        self._end(EXIT_SOFTWARE)
        with survive_log():
            message = "A bug in zenactors, in {where}: {cause}; stopping. Please report it."
            if isinstance(cause, MemoryError):
                message = (
                    "Out of memory in {where}; stopping. Raise the limit of memory, or let fewer"
                    " events wait."
                )
            text = short_repr(cause)
            log_failure(logger, "CRITICAL", message, cause, where=where, cause=text)
